"""Errors for code that would replace the leaves in a numpy array by constants inside `no_grad()`.

For `W -= G`, where W is an array of leaves, numpy computes `w - g` for each leaf w, and puts the result into W. Inside
`no_grad()` the results are constants, so training would not change the array any more. The same holds for
`np.subtract(W, G, out=W)`, `np.subtract.at(W, i, G)` and `W[:] = 0.9 * W`.

There are three ways to notice that leaves are replaced:

- If an operand is a single `Value`, numpy calls the `__array_ufunc__` of this `Value` and passes the array to it.
- Otherwise, numpy calls a method of each element, such as `__sub__`. This method can find out at which instruction the
  code of its caller stands, and so whether this is a statement such as `W -= G`.
- If the code calls a function, or stores the results later, the method cannot find out where the results go. So it
  keeps a copy of each array of leaves that it finds in the variables of its callers. When the `no_grad()` block ends,
  the arrays are compared with the copies.

For `W.fill(0.0)` and `W[:] = 0.0`, numpy calls nothing of this package. But a `Module` has copies of its arrays. If the
code of the block may fill arrays, the arrays of the modules are compared with their copies when the block ends.
"""

from __future__ import annotations

import opcode
import sys
from collections.abc import Collection, Iterable, Mapping
from operator import is_
from types import CodeType, FrameType, FunctionType, MethodType, SimpleNamespace
from typing import Any

from ..ops.number import number_or_none
from ..ops.operation import Op
from . import context
from .callers import CALLS, PACKAGE, called_function, calls_builtin, is_numpys_code, local_variables
from .operators import Operators
from .plain_numbers import variables

__all__ = [
    *("Remembered", "may_change_an_array", "may_fill_arrays", "refuse_array_update", "refuse_results_in"),
    "remember_arrays",
]

IN_PLACE = 13  # the argument of Python's instruction BINARY_OP is at least this for `+=` and the like; see `dis`
IN_PLACE_MATRIX_PRODUCT = IN_PLACE + 4
_BINARY_OP = opcode.opmap["BINARY_OP"]
_STORES_ATTRIBUTE = opcode.opmap["STORE_ATTR"]
_STORES_ITEM = [opcode.opmap[name] for name in ("STORE_SUBSCR", "STORE_SLICE") if name in opcode.opmap]
# The signs of Python's operators that call a numpy function
SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**", "remainder": "%"}
# Names of functions that change an array
FILLING = {"copyto", "fill", "fill_diagonal", "place", "put", "put_along_axis", "putmask"}
WITH_OPERATORS = {"__ceil__", "ceil", "deg2rad", "exp2", "rad2deg"}  # methods for numpy that are written with operators

# Built-in Python functions that put results into no array
FILLING_NOTHING = {"abs", "all", "any", "divmod", "max", "min", "pow", "round", "sorted", "sum"}

INSIDE_FUNCTIONS = ("<lambda>", "<listcomp>", "<genexpr>")  # code whose results the code around it may store

# What an instruction may do with the result of an operation: it is an operator such as `+=`; its function, or the code
# around it, may put the result into an array; or it belongs to a method that numpy has called.
_REPLACES, _FILLS, _BELONGS_TO_METHOD = 1, 2, 3
# For an array, numpy calls a method for each element, from the same instruction. So `_kinds` keeps the result of
# `_learn` for an instruction. The key is the id of the code plus the offset of the instruction, because it would take
# long to hash the code.
MAX_PLACES = 4096
_kinds: dict[int, tuple[CodeType, int]] = {}

_known_kind = _kinds.get


def may_change_an_array(caller: FrameType) -> bool:
    """Return whether the instruction at which `caller` stands may put its result into an array.

    The result is False only if `_learn` has read the instruction before and found that it puts no result into an array.
    So the fast operators of `quick` can skip the calls that would remember or refuse an update.
    """
    code = caller.f_code
    known = _known_kind(id(code) + caller.f_lasti)
    return known is None or known[1] > 0 or known[0] is not code


def _learn(frame: FrameType) -> tuple[CodeType, int]:
    """Find out what the instruction at which `frame` stands may do with a result, and store it in `_kinds`.

    Return a pair: the code of `frame`, and what the instruction does. This is `_REPLACES` if it puts the result in
    place of an array's elements, as `W -= G` does, `_FILLS` if it may do so later or by a call, `_BELONGS_TO_METHOD` in
    a method of this package that is written with operators, and otherwise 0.
    """
    if len(_kinds) >= MAX_PLACES:
        _kinds.clear()
    known = _kinds[id(frame.f_code) + frame.f_lasti] = frame.f_code, _read(frame)
    return known


def _read(frame: FrameType) -> int:
    code, at = frame.f_code, frame.f_lasti
    if code.co_filename.startswith(PACKAGE):
        return _BELONGS_TO_METHOD if code.co_name in WITH_OPERATORS else 0
    instructions = code.co_code
    if instructions[at] == _BINARY_OP and instructions[at + 1] >= IN_PLACE:
        return _REPLACES
    around: FrameType | None = frame
    while around is not None:
        if _may_call_filling(around) or _may_fill(around.f_code):
            return _FILLS
        if around.f_code.co_name not in INSIDE_FUNCTIONS:
            break
        around = around.f_back
    return 0


def _may_call_filling(frame: FrameType) -> bool:
    """Return whether `frame` calls a function, not written in Python, that may put results into an array.

    A function that is written in Python does not count, because its code has a frame of its own.
    """
    if frame.f_code.co_code[frame.f_lasti] not in CALLS or calls_builtin(frame, FILLING_NOTHING):
        return False
    return not isinstance(called_function(frame), (FunctionType, MethodType))


def _may_fill(code: CodeType) -> bool:
    """Return whether `code` assigns to items, or uses a function or the option `out` that may fill an array."""
    stores = any(instruction in code.co_code[::2] for instruction in _STORES_ITEM)
    return stores or not FILLING.isdisjoint(code.co_names) or any(_has_out(constant) for constant in code.co_consts)


def may_fill_arrays(caller: FrameType, classes: Collection[type]) -> bool:
    """Return whether the code of `caller`, or a function that it names, may put numbers into an array.

    Names in the code are looked up among global variables, and as methods of `classes` and of the class of the code's
    first argument. `classes` are those of the models that have arrays of parameters. The result is also True if a local
    variable of the code is a function, because this variable may be another function in the next call. For example, the
    wrapper of a function that `@no_grad()` decorates has such a variable.
    """
    code = caller.f_code
    known = _filling.get(id(code))
    if known is None or known[0] is not code or known[1] != len(classes):
        if len(_filling) >= MAX_PLACES:
            _filling.clear()
        local = local_variables(caller)
        local = {} if local is caller.f_globals else local
        owners = [*classes, *[type(local.get(name)) for name in code.co_varnames[: min(code.co_argcount, 1)]]]
        fills = FunctionType in map(type, local.values())
        fills = fills or _reaches_filling(code, caller.f_globals, owners, set())
        known = code, len(classes), fills
        _filling[id(code)] = known
    return known[2]


# What `may_fill_arrays` has returned, by the id of the code, and for how many classes
_filling: dict[int, tuple[CodeType, int, bool]] = {}


def _reaches_filling(code: CodeType, names: Mapping[str, Any], owners: Iterable[type], seen: set[CodeType]) -> bool:
    if code in seen or code.co_filename.startswith(PACKAGE) or len(seen) > MAX_ITEMS:
        return False
    seen.add(code)
    if _may_fill(code) or _assigns_flat(code):
        return True
    inside = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    held = [vars(base) for cls in owners for base in cls.__mro__]
    named = [x.get(name) for name in code.co_names for x in (names, *held)]
    called = [(x.__code__, x.__globals__) for x in named if isinstance(x, FunctionType)]
    return any(_reaches_filling(*each, owners, seen) for each in [*[(each, names) for each in inside], *called])


def _assigns_flat(code: CodeType) -> bool:
    """Return whether the code has a statement such as `W.flat = Y`."""
    return "flat" in code.co_names and any(
        instruction == _STORES_ATTRIBUTE and code.co_names[argument : argument + 1] == ("flat",)
        for instruction, argument in zip(code.co_code[::2], code.co_code[1::2], strict=True)
    )


def _has_out(constant: object) -> bool:
    """Return whether `constant`, from the code of a function, is a tuple that has the option name "out"."""
    return isinstance(constant, tuple) and "out" in constant


def refuse_array_update(op: Op, caller: FrameType) -> None:
    """Raise TypeError if `caller` stands at a statement such as `W -= G` inside `no_grad()`, where W has leaves.

    numpy then computes `op` of each leaf in W, and would put the result in the leaf's place. (The statement `w -= ...`
    for a single leaf w does not come here: `Node._changed_in_place` changes the leaf's data.) If other code may put the
    result into an array, this function raises no error. Like `remember_arrays`, it keeps copies of the arrays, which
    are compared at the end of the block.

    Args:
        op: the operation, whose first operand is a leaf.
        caller: the frame of the code that applies the operation.
    """
    code = caller.f_code
    known = _known_kind(id(code) + caller.f_lasti)
    if known is None or known[0] is not code:  # two places may have the same sum
        known = _learn(caller)
    if not known[1]:
        return
    if known[1] != _REPLACES:
        _remember(caller, known[0])
    elif context.here().no_grad:
        if code.co_code[caller.f_lasti + 1] == IN_PLACE_MATRIX_PRODUCT:
            raise TypeError(
                "W @= G inside no_grad(), where W is an array of leaves, would replace them by constants: write "
                "Y = W @ G, and then for w, y in zip(W.flat, Y.flat): w.data = y.data to change the leaves, or "
                "W = W @ G for a new array"
            )
        sign = op.notation.symbol
        raise TypeError(
            f"W {sign}= G inside no_grad(), where W is an array of leaves, would replace them by constants: write "
            f"for w, g in zip(W.flat, G.flat): w.data {sign}= g to change the leaves (w.data {sign}= g for one number "
            f"g), or W = W {sign} G for a new array"
        )


def remember_arrays(caller: FrameType) -> None:
    """Keep copies of the arrays of leaves that `caller` has in variables, if its code may put a result into an array.

    Nothing is done outside `no_grad()`. When the `no_grad()` block ends, the arrays are compared with the copies.

    Args:
        caller: the frame of the code that applies an operation to a leaf.
    """
    code = caller.f_code
    known = _known_kind(id(code) + caller.f_lasti)
    if known is None or known[0] is not code:
        known = _learn(caller)
    if known[1] >= _FILLS:
        _remember(caller, known[0])


def _remember(caller: FrameType, code: CodeType) -> None:
    """Keep copies of the arrays of leaves in the variables of `caller`, if `no_grad()` is on.

    `code` is the code of `caller`. Nothing is done if the variables were searched at this instruction before, in the
    same block.
    """
    here = context.here()
    if not here.no_grad:
        return
    remembered = here.blocks[-1][1].get("remembered")
    if remembered is None:
        block = next(changes for _, changes in reversed(here.blocks) if "no_grad" in changes)
        remembered = block.setdefault("remembered", Remembered())
    if remembered.places.get(id(code) + caller.f_lasti) is not code:
        remembered.look(caller)


class Remembered:
    """The arrays of leaves that were found in variables inside a `no_grad()` block, each with a copy.

    Attributes:
        places: a dict with an item for each instruction at which variables were searched. The key is the id of the code
            plus the offset of the instruction in it, and the item is the code.
        arrays: a dict from the id of an array to a tuple: the code for it, such as "model.W", the array itself, and the
            list of its items when the copy was made.
        held: the ids of leaves that are attributes of objects.
        of_models: the ids of arrays whose copies were made before the block, when a model was made or its parameters
            were listed, so the array may have been filled before the block.
    """

    def __init__(self) -> None:
        self.places: dict[int, CodeType] = {}
        self.arrays: dict[int, tuple[str, Any, list[Any]]] = {}
        self.held: set[int] = set()
        self.of_models: set[int] = set()

    def look(self, caller: FrameType, functions: int = 3) -> None:
        """Keep copies of the arrays of leaves in the variables of `caller` and of the functions that called it.

        At most so many functions are searched as `functions` says. Functions of numpy and of this package are left out
        and do not count. The search ends at the code of a module, whose variables are global.
        """
        self.places[id(caller.f_code) + caller.f_lasti] = caller.f_code
        if "numpy" not in sys.modules:
            return
        frame: FrameType | None = caller
        seen: set[int] = set()
        while frame is not None and functions:
            if not is_numpys_code(frame) and not frame.f_code.co_filename.startswith(PACKAGE):
                held, local = frame.f_globals, local_variables(frame)
                if local is held:
                    self._search(held, seen)
                    break
                self._search(local, seen)
                self._search({name: held[name] for name in frame.f_code.co_names if name in held}, seen)
                functions -= 1
            frame = frame.f_back

    def _search(self, variables: Mapping[str, Any], seen: set[int]) -> None:
        kind_of = _search_kinds.get
        found = [(name, x) for name, x in variables.items() if kind_of(type(x), True)]  # a new class counts as true
        waiting = [(name, x, 0) for name, x in found if not name.startswith("__")]
        while waiting and len(seen) < MAX_OBJECTS:
            name, x, depth = waiting.pop()
            if id(x) in seen:
                continue
            seen.add(id(x))
            kind = _search_as(type(x))
            if not kind:
                continue
            if kind == _ARRAY:
                if x.dtype.kind == "O" and _has_leaves(x):
                    self.arrays.setdefault(id(x), (name, x, x.ravel().tolist()))
                continue
            if depth == MAX_DEPTH or (kind != _OBJECT and len(x) > MAX_ITEMS):
                continue
            if kind == _SEQUENCE:
                if not any(kind_of(cls, True) for cls in {*map(type, x)}):  # for speed: rows of numbers
                    continue
                inside: Any = [(f"[{i}]", item) for i, item in enumerate(x) if kind_of(type(item), True)]
            elif kind == _DICT:
                inside = [(f"[{key!r}]", item) for key, item in [*x.items()] if kind_of(type(item), True)]
            else:
                attributes = x.__dict__
                self.held.update(id(item) for item in attributes.values() if isinstance(item, Operators))
                inside = [(f".{key}", item) for key, item in [*attributes.items()] if kind_of(type(item), True)]
            waiting += [(f"{name}{key}", item, depth + 1) for key, item in inside]

    def compare(self, raises: bool) -> None:
        """Put leaves back into the arrays where constants or numbers stand in their place.

        A leaf that is also in another array or an attribute is not put back: it is not lost, and the array may be a
        copy that is meant for results.

        Raises:
            TypeError: a leaf was put back, and `raises` is true.
        """
        now = {known: array.ravel().tolist() for known, (_, array, _) in self.arrays.items()}
        replaced = where = ""
        kept: set[int] | None = None
        for known, (name, array, items) in self.arrays.items():
            if len(items) != len(now[known]) or all(map(is_, items, now[known])):
                continue
            if kept is None:
                around = Remembered()
                around.look(sys._getframe(1), functions=MAX_OBJECTS)
                contents = [*now.values(), *[items for _, _, items in around.arrays.values()]]
                kept = around.held.union(self.held, *[map(id, found) for found in contents])
            for i, (x, y) in enumerate(zip(items, now[known], strict=True)):
                if x is not y and id(x) not in kept and _is_trained(x) and _is_constant(y):
                    array.flat[i] = x
                    replaced = name
                    where = "inside this no_grad() block" + " or before it" * (known in self.of_models)
        if replaced and raises:
            raise TypeError(
                f"{where}, constants replaced the leaves in the array {replaced}, which "
                f"nothing would train, so the leaves were put back: to change their numbers, write for w, y in "
                f"zip({replaced}.flat, Y.flat): w.data = y.data for an array Y of Values (w.data = y for numbers); for "
                f"a new array, write Y = ... without out={replaced}"
            )


MAX_OBJECTS, MAX_ITEMS, MAX_DEPTH = 5000, 100, 6
_ARRAY, _SEQUENCE, _DICT, _OBJECT = 1, 2, 3, 4
_search_kinds: dict[type, int] = {}  # for each class, what its objects are searched as; 0 if they are not searched


def _search_as(cls: type) -> int:
    kind = _search_kinds.get(cls)
    return _learn_class(cls) if kind is None else kind


def _learn_class(cls: type) -> int:
    """Return how objects of class `cls` are searched: as an array, a sequence, a dict or an object; 0 if not at all.

    Arrays are not looked for in objects of the standard library, of this package and of numpy. The result is stored in
    `_search_kinds`.
    """
    origin = str(cls.__module__).partition(".")[0]
    if issubclass(cls, sys.modules["numpy"].ndarray):
        kind = _ARRAY
    elif issubclass(cls, (list, tuple)):
        kind = _SEQUENCE
    elif issubclass(cls, dict):
        kind = _DICT
    elif issubclass(cls, (Operators, type)) or origin in ("numpy", PACKAGE_NAME):
        kind = 0
    else:
        of_library = origin in sys.stdlib_module_names and cls is not SimpleNamespace and origin != "__main__"
        kind = _OBJECT if cls.__dictoffset__ and not of_library else 0
    _search_kinds[cls] = kind
    return kind


PACKAGE_NAME = __name__.partition(".")[0]


def _is_trained(x: Any) -> bool:
    if not isinstance(x, Operators):
        return False
    node: Any = x
    around = variables.get()  # the arguments of a function that is differentiated stand for plain numbers
    return node.op is None and node.requires_grad and not (around and around.include(node))


def _is_constant(y: Any) -> bool:
    node: Any = y
    return node._is_constant_result if isinstance(y, Operators) else number_or_none(y) is not None


def refuse_results_in(arrays: Iterable[Any], function: str, caller: FrameType) -> None:
    """Raise TypeError inside `no_grad()` if one of `arrays`, into which numpy puts results, contains leaves.

    An array of arguments of a compiled function may take the results, because its elements stand for plain numbers.

    Args:
        arrays: the arrays. An object without elements, such as None, counts as an array without leaves.
        function: the name of the numpy function, such as "subtract".
        caller: the frame of the code that calls the function, or that has a statement such as `W -= g`.
    """
    if not context.here().no_grad or not any(map(_has_leaves, arrays)):
        return
    sign = SIGNS.get(function)
    change = f"w.data {sign}= c" if sign else "w.data = c"
    if sign and _is_assignment(caller):
        raise TypeError(
            f"W {sign}= g inside no_grad(), where W is an array of leaves and g a Value, would replace them by "
            f"constants: write c = g.data first, and then for w in W.flat: {change} to change the leaves, or "
            f"W = W {sign} g for a new array"
        )
    raise TypeError(
        f"np.{function}() would replace the leaves in an array W by constants inside no_grad(): write c = g.data for a "
        f"Value g first, and then for w in W.flat: {change} to change the leaves, or leave out the array for a new one"
    )


def _is_assignment(caller: FrameType) -> bool:
    """Return whether the frame `caller` is at a statement such as `W -= G`."""
    code, at = caller.f_code.co_code, caller.f_lasti
    return code[at + 1] >= IN_PLACE and code[at] == _BINARY_OP


def _has_leaves(array: Any) -> bool:
    items: Iterable[Any] = () if getattr(array, "has_arguments", False) else getattr(array, "flat", ())
    return any(map(_is_trained, items))
