"""Find facts about a function in its bytecode and names, and tell whether a file or module is the user's."""

from __future__ import annotations

import dis
import operator
import random
import sys
from array import array
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import CodeType, MappingProxyType
from typing import Any, NamedTuple

from ...engine import Value
from ...graph.callers import PACKAGE

PACKAGE_NAME = __name__.partition(".")[0]
STDLIB = str(Path(random.__file__).parent)  # the folder of Python's own modules
WRITING_OPCODES = {
    dis.opmap[name]
    for name in ("STORE_ATTR", "STORE_GLOBAL", "STORE_SUBSCR", "STORE_SLICE", "DELETE_ATTR", "DELETE_SUBSCR")
    if name in dis.opmap
}
MATCH_CLASS = dis.opmap["MATCH_CLASS"]
IS_OP, LOAD_CONST, EXTENDED_ARG = dis.opmap["IS_OP"], dis.opmap["LOAD_CONST"], dis.EXTENDED_ARG
PUSH_EXC_INFO, WITH_EXCEPT_START = dis.opmap["PUSH_EXC_INFO"], dis.opmap["WITH_EXCEPT_START"]
# Methods that change a collection: those that a similar but immutable class does not have, as tuple is for list
CHANGING_METHODS = {
    name
    for changes, does_not in (
        *((list, tuple), (deque, tuple), (set, frozenset), (bytearray, bytes), (array, tuple)),
        *((dict, MappingProxyType), (OrderedDict, MappingProxyType), (Counter, MappingProxyType)),
    )
    for name in {*dir(changes)}.difference(dir(does_not))
    if not name.startswith("_") or name in ("__setitem__", "__delitem__") or name.startswith("__i")
}
WRITING_NAMES = {
    *CHANGING_METHODS.difference(("copy", "tolist", "tobytes", "elements", "most_common", "total", "maxlen")),
    *("next", "send", "setattr", "delattr", "__setattr__", "__delattr__"),
    *("fill", "partition", "resize", "setfield", "put", "at"),  # of numpy's arrays and functions
    *("copyto", "place", "putmask", "fill_diagonal", "put_along_axis"),
    *[f"i{name.strip('_')}" for name in dir(operator) if f"__i{name.strip('_')}__" in dir(operator)],  # such as iadd
    *("setitem", "delitem", "heappush", "heappop", "heapify", "heapreplace", "heappushpop", "shuffle"),
    *("insort", "insort_left", "insort_right"),
}
ASKING = {"hasattr", "getattr"}  # names by which code asks for an attribute whose name is a text
# Names by which code may tell a `Value` from a number without a look at its class, or leave out an error of a `Value`
ASKING_FOR_KINDS = {"dtype", "dir", "getsizeof", "__sizeof__", "suppress"}
# Instructions that only move objects on the stack, and methods that add to a collection and return None
BETWEEN = {"CACHE", "EXTENDED_ARG", "SWAP", "COPY", "PRECALL", "PUSH_NULL", "NOP", "RESUME"}
ADDING_METHODS = {"append", "appendleft", "add", "extend", "extendleft", "insert", "update", "__setitem__"}
MAX_IN_UPDATE = 16  # instructions of `n += y`, at most
NAMESPACES = {"globals", "vars", "__dict__"}  # code that uses one of these may read variables by texts


class Facts(NamedTuple):
    """Facts about a function that are found in its code, without running it.

    Attributes:
        names: the names of the global variables, attributes and methods that the code uses.
        writes: whether the code may change a variable or an object outside of the function.
        asks: whether the code may tell a `Value` from a number: by an attribute, as `hasattr(x, "grad")` does, by the
            dtype of an array, by its size in bytes, by a class pattern, or by an error that it catches.
        compares_identity: whether the code compares objects by `is`, except with a constant such as None.
        asks_for_bools: whether the code compares an object with True or False by `is`, as `case True` does.
        catches: whether the code catches errors.
        makes_cycles: whether the code makes a class, or a function that calls itself. Both are parts of reference
            cycles.
    """

    names: frozenset[str]
    writes: bool
    asks: bool
    compares_identity: bool
    asks_for_bools: bool
    catches: bool
    makes_cycles: bool


@lru_cache(4096)
def facts_of(code: CodeType) -> Facts:
    """Return the `Facts` about the code of a function: the names that it uses, whether it writes, and so on.

    The code of functions that are defined inside it is included.

    >>> facts_of((lambda x: x.append(1)).__code__)
    Facts(names=frozenset({'append'}), writes=True, asks=False, compares_identity=False, \
asks_for_bools=False, catches=False, makes_cycles=False)
    """
    parts = [part for part in code.co_consts if issubclass(type(part), CodeType)]
    inner = [facts_of(part) for part in parts]
    names = frozenset(code.co_names).union(*[each.names for each in inner])
    if not NAMESPACES.isdisjoint(names):
        names = names.union([name for name in code.co_consts if type(name) is str and name.isidentifier()])
    instructions = code.co_code[::2]
    opcodes = {*instructions}
    if MATCH_CLASS in opcodes:  # `case Point(x=0)` has the names of attributes in a constant, and `case Point(0)` none
        names = names.union([x for part in code.co_consts if type(part) is tuple for x in part if type(x) is str])
        if any(code.co_code[i + 1] for i in range(0, len(code.co_code), 2) if code.co_code[i] == MATCH_CLASS):
            names = names.union(["__match_args__"])
    writes = not opcodes.isdisjoint(WRITING_OPCODES) or not WRITING_NAMES.isdisjoint(names)
    writes |= any("out" in constant for constant in code.co_consts if type(constant) is tuple)  # f(x, out=array)
    rebinds = bool(code.co_freevars) and dis.opmap["STORE_DEREF"] in opcodes
    texts = [x for x in code.co_consts if type(x) is str] if not ASKING.isdisjoint(names) else []
    asks = not ASKING_FOR_KINDS.isdisjoint(names) or MATCH_CLASS in opcodes
    asks |= any(hasattr(Value, name) is not hasattr(float, name) for name in texts)
    catches = instructions.count(PUSH_EXC_INFO) > instructions.count(WITH_EXCEPT_START)  # as in except, but not in with
    catches |= "suppress" in names
    makes_class = dis.opmap["LOAD_BUILD_CLASS"] in opcodes
    compared = _operands_of_is(code) if IS_OP in opcodes else []
    compares = any(not is_constant for is_constant, _ in compared)
    is_bool = any(isinstance(constant, bool) for _, constant in compared)
    return Facts(
        names,
        writes or rebinds or any(each.writes for each in inner),
        asks or catches or any(each.asks for each in inner),
        compares or any(each.compares_identity for each in inner),
        is_bool or any(each.asks_for_bools for each in inner),
        catches or any(each.catches for each in inner),
        makes_class
        or any(part.co_name in code.co_cellvars for part in parts)
        or any(each.makes_cycles for each in inner),
    )


def _operands_of_is(code: CodeType) -> list[tuple[bool, Any]]:
    """Return, for each `is` in the code, whether its right operand is a constant, and this constant or None."""
    found: list[tuple[bool, Any]] = []
    instructions, index = code.co_code, 0
    for k in range(0, len(instructions) - 2, 2):
        opcode, after = instructions[k], instructions[k + 2]
        index = index << 8 | instructions[k + 1]
        if after == IS_OP:
            found.append((True, code.co_consts[index]) if opcode == LOAD_CONST else (False, None))
        if opcode != EXTENDED_ARG:
            index = 0
    return found


def reads(code: CodeType, name: str) -> bool:
    """Return whether code reads a variable or attribute, or a key of a dict, except to change what it holds.

    Statements that only change it are `n += 1`, `n = n + 1`, `n[0] += 1`, `n[0] = 1`, `n.append(1)` and, for a key,
    `d["n"] += 1` and `d["n"] = 1`.

    >>> def f(x):
    ...     global n
    ...     n += 1
    ...     return n * x
    >>> reads(f.__code__, "n"), reads((lambda x: n.append(x)).__code__, "n")
    (True, False)
    """
    steps = [x for x in dis.get_instructions(code) if x.opname not in BETWEEN]
    for k, step in enumerate(steps):
        is_load = step.argval == name and step.opname.startswith("LOAD_") and step.opname != "LOAD_CLOSURE"
        is_load &= not step.opname.startswith("LOAD_FAST")  # a local variable of the same name as what is outside
        if is_load and not _is_update(steps, k):
            return True
    return any(reads(part, name) for part in code.co_consts if issubclass(type(part), CodeType))


def _is_update(steps: Sequence[dis.Instruction], k: int) -> bool:
    """Return whether instruction `k` loads an object to change it, or a key to change its value, and for no other use.

    `counts[key] += 1` and `names.append(x)` load `counts` and `names` in this way, and `d["n"] = 1` loads "n". A number
    that code computes with, or returns, is loaded for another use.
    """
    name, following = steps[k].argval, steps[k + 1 : k + MAX_IN_UPDATE]
    first, second, *_ = [*[x.opname for x in following], "", ""]
    if first in ("LOAD_ATTR", "LOAD_METHOD") and following[0].argval in ADDING_METHODS:
        return True
    if (first if steps[k].opname == "LOAD_CONST" else second) == "STORE_SUBSCR":  # d["n"] = 1, or n[0] = 1
        return True
    reads_item = False
    for before, step in pairwise(following):
        if step.argval == name and step.opname.startswith("LOAD_"):
            return False
        reads_item |= "BINARY_SUBSCR" in (before.opname, step.opname)
        if step.opname.startswith("STORE_") and (reads_item if step.opname == "STORE_SUBSCR" else step.argval == name):
            return before.opname == "BINARY_OP"  # n += 1, n = n + 1 or n[0] += 1
        if step.opname.startswith(("STORE_", "RETURN_", "POP_")):
            return False
    return False


def names_in_compiled(held: dict[str, Any]) -> list[str]:
    """Return the names of those attributes of a compiled function or a program that users' code may read.

    `held` is the `__dict__` of the compiled function or program, to which a user may have added attributes. Private
    attributes are left out, except `_f`, the function that was compiled. So are attributes that hold machine code.
    """
    return [name for name in held if name == "_f" or not (name.startswith("_") or name in ("compiled", "row"))]


def is_users(file: str) -> bool:
    """Return whether `file` belongs neither to Python, nor to an installed package, nor to this package."""
    return not (file.startswith((PACKAGE, STDLIB, "<frozen")) or "site-packages" in file or "dist-packages" in file)


@lru_cache(1024)
def is_users_module(name: str) -> bool:
    """Return whether the module `name` belongs neither to Python, nor to an installed package, nor to this package.

    The module of a notebook or of the interactive interpreter has no file, but is the user's. Cython's module has no
    file, either, and is not the user's.
    """
    if not isinstance(name, str) or name.startswith("_cython_"):
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return is_users(file) if file else name.partition(".")[0] not in sys.stdlib_module_names
