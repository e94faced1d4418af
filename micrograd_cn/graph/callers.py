"""Find out which function calls a method of a `Value`, from the instruction that the caller's stack frame is at.

numpy's C code and Python's `max` and `sorted` compare the elements of arrays and lists, and call methods such as
`__lt__` for this. Functions in C have no stack frame, so the frame above `__lt__` is that of the code that calls
`np.argmax` or `sorted`. The instruction at which this code stands says which function it calls, even if the code was
typed at Python's prompt and Python does not keep its text.
"""

from __future__ import annotations

import builtins
import os
import sys
import warnings
from collections.abc import Callable, Collection, Mapping
from functools import partial, reduce
from itertools import chain
from opcode import opmap
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, MethodType
from typing import Any, NamedTuple

__all__ = [
    "CALLS",
    "NOT_NUMPY",
    "PACKAGE",
    "Question",
    "asked_by",
    "called_function",
    "calls_builtin",
    "is_call",
    "is_numpys_code",
    "local_variables",
    "logical_function",
    "only_logs",
    "outside_numpy",
    "warn_at_user",
]

# The folder of this package, with the separator at its end. `pathlib` would add 5 ms to the import of the package.
PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")
CALLS = {code for name, code in opmap.items() if "CALL" in name}  # CPython 3.11 may call a method at PRECALL
OPERATORS = {code for name, code in opmap.items() if name in ("COMPARE_OP", "CONTAINS_OP", "IS_OP")}
# The numpy functions that are written in C and compare elements
COMPARING = {
    *("sort", "argsort", "partition", "argpartition", "lexsort", "searchsorted", "argmax", "argmin"),
    *("maximum", "minimum", "fmax", "fmin", "clip"),
}
IN_PYTHON = {("__lt__",), ("__le__",), ("__gt__",), ("__ge__",), ("__eq__",), ("__ne__",)}
COMPARING_IN_PYTHON = {"max", "min", "sorted", "lt", "le", "gt", "ge", *chain(*IN_PYTHON)}
CALLING_OTHERS = reduce, sum, any, all, next  # functions that may call a numpy function
# Types of functions in Python's own C code, and of functions written in Python. If the frame above `__lt__` calls one
# of the latter, this is `__lt__` itself: any other function that is written in Python would have a frame between them.
PYTHONS = BuiltinFunctionType, FunctionType, MethodType, type(list.sort)


def warn_at_user(message: str, library: str = PACKAGE) -> None:
    """Give a warning with the text `message`, at the line of the user's code that is running.

    The user's code is the innermost code outside this package, and outside the file `library`.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_code.co_filename.startswith((PACKAGE, library)):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


OF_FUNCTIONS = 1  # the flag of code whose variables are not in a dict; see `inspect.CO_OPTIMIZED`
ADDING = {"exec", "eval", "locals", "vars"}  # functions by which code may add variables to the dict of its frame
REFERENCES = 3  # how many references a dict has if only a frame, a variable and the call that counts them refer to it


class Question(NamedTuple):
    """The name of the numpy function that compares two objects, and whether this name is certain.

    Attributes:
        name: the name of the numpy function that compares, such as "argmax", or "maximum" for np.maximum.reduce. It is
            "" if something else compares: an operator such as `<`, or a built-in function such as `max`.
        is_known: whether `name` is certain. If it is not, `name` is the name of the method that is called, which may
            not be numpy's, or "" if this name is not known either.
    """

    name: str
    is_known: bool


class _Place(NamedTuple):
    """The function call or the operator at one instruction of a function's code.

    Attributes:
        is_operator: whether the instruction is an operator, such as `<`.
        is_call: whether the instruction calls a function.
        names: the parts of the dotted name of the function that is called. The first is "" if an expression is in its
            place, as in `f(x).argmax()`. A part in braces, such as "{name}", is a variable that contains the name of an
            attribute, as in `getattr(x, name)()`. The tuple is empty if not even the name of a method is known.
        is_global: whether the first of the names is a global variable.
        passed: the names of the keyword arguments in the call.
    """

    is_operator: bool
    is_call: bool
    names: tuple[str, ...] = ()
    is_global: bool = False
    passed: tuple[str, ...] = ()


_OPERATOR = _Place(True, False)
NOT_NUMPY = Question("", True)
VARIABLES = "LOAD_GLOBAL", "LOAD_NAME", "LOAD_FAST", "LOAD_DEREF", "LOAD_CLOSURE"
# For an array, numpy calls a method for each element, from the same instruction. So `_places` keeps the result of
# `_read` for the last instructions. The key is the id of the code, since it would take long to hash the code, and the
# offset of the instruction.
MAX_PLACES = 256
_places: dict[tuple[int, int], tuple[CodeType, _Place]] = {}


def _place(frame: FrameType) -> _Place:
    code, at = frame.f_code, frame.f_lasti
    while at > 0 and not code.co_code[at]:  # CPython 3.11 and 3.12 stop at the caches behind a call of Python code
        at -= 2
    known = _places.get((id(code), at))
    if known is None or known[0] is not code:
        while len(_places) >= MAX_PLACES:
            _places.pop(next(iter(_places)), None)
        known = _places[id(code), at] = code, _read(code, at)
    return known[1]


def _read(code: CodeType, at: int) -> _Place:
    """Return the `_Place` that describes the instruction with the offset `at` in `code`.

    If the instruction is neither an operator nor the call of a function, both `is_operator` and `is_call` are False.
    """
    instruction = code.co_code[at]
    if instruction in OPERATORS:
        return _OPERATOR
    if instruction not in CALLS:
        return _Place(False, False)
    import dis  # imported here, because correct programs do not need it

    names: tuple[str, ...] = ()
    loaded: list[str] = []  # the variables and texts that were loaded last, one after the other
    path: tuple[str, ...] = ()  # the variable that was loaded last, with attributes that were read from it
    passed: tuple[str, ...] = ()
    is_global = path_is_global = is_built = follows = False
    line, _, column, _ = [*code.co_positions()][at // 2]
    for found in dis.get_instructions(code):
        place, kind, argument = found.positions, found.opname, found.argval
        if found.offset >= at:
            break
        variables, is_attribute = _loaded_variables(kind, argument), kind in ("LOAD_ATTR", "LOAD_METHOD")
        if variables or type(argument) is str:
            loaded += [f"{{{name}}}" for name in variables] or [argument]
        elif kind not in ("PUSH_NULL", "PRECALL", "CALL"):
            loaded = []
        receiver, receiver_is_global = path, path_is_global
        if variables:
            path, path_is_global = variables[-1:], kind == "LOAD_GLOBAL"
        elif kind != "PUSH_NULL":
            path = (*path, argument) if is_attribute and path else ()
        if place is None or line is None or column is None:
            continue
        begins = (place.lineno, place.col_offset) == (line, column)
        if not begins and not (follows and is_attribute):  # an attribute on another line than the call
            follows = False
            continue  # the instructions that find the function begin where the call does
        follows = bool(variables) or is_attribute
        if variables:
            names, is_global = variables[:1], kind == "LOAD_GLOBAL"
        elif kind == "LOAD_SUPER_ATTR":
            names, is_global = ("", argument), False
        elif kind == "PUSH_NULL" and "CALL_KW" in opmap and not names:  # CPython 3.13 has it behind the function
            names, is_global = receiver, receiver_is_global
        elif is_attribute:
            if not names:
                names, is_global = receiver, receiver_is_global
            names = (*(("",) if is_built else names), argument)
        elif kind in ("KW_NAMES", "LOAD_CONST") and found.arg is not None:
            constant = code.co_consts[found.arg]
            passed = constant if type(constant) is tuple else passed
        elif kind == "CALL" and names == ("getattr",):  # getattr(x, "argmax")()
            x = loaded[-2].strip("{}") if loaded[-3:-2] == ["{getattr}"] else ""
            names, is_global = (x, loaded[-1] if loaded else ""), False  # "" for getattr(x, f"{name}_")()
        elif kind.startswith(("CALL", "BINARY", "COMPARE", "UNARY")) and not kind.startswith("CALL_INTRINSIC"):
            names = ("",)
        is_built = kind.startswith("BUILD")  # a list such as [xs] in [xs].sort(), or the arguments in f(*args)
    return _Place(False, True, names, is_global, passed)


def _loaded_variables(kind: str, argument: Any) -> tuple[str, ...]:
    """Return the names of the variables that an instruction loads. Some instructions of CPython 3.13 load two.

    `kind` is the name of the instruction, such as "LOAD_FAST", and `argument` is its argument as `dis` gives it.
    """
    if kind == "STORE_FAST_LOAD_FAST":
        return tuple(argument[1:])
    if not kind.startswith(VARIABLES):
        return ()
    return argument if type(argument) is tuple else (argument,)


_MISSING = object()


def local_variables(frame: FrameType) -> Mapping[str, Any]:
    """Return the local variables of `frame` by name, without making the frame keep them for longer than its code does.

    Before CPython 3.13, `frame.f_locals` of a function is a dict that the frame keeps until the function returns, so
    the objects would live on after their variables are deleted. So the dict is emptied, unless other code refers to it,
    as after a call of `locals()`, or `exec` may have added variables to it. Nothing is emptied while there is a trace
    function, as in a debugger: when the trace function returns, Python copies the dict back to the frame's variables.

    >>> import sys
    >>> def f(x):
    ...     return local_variables(sys._getframe())
    >>> f(3)["x"]
    3
    """
    code, held = frame.f_code, frame.f_locals
    if sys.version_info >= (3, 13) or not code.co_flags & OF_FUNCTIONS:
        return held
    found = dict(held)
    is_traced = sys.gettrace() or sys.getprofile()
    if sys.getrefcount(held) <= REFERENCES and ADDING.isdisjoint(code.co_names) and not is_traced:
        held.clear()
    return found


def _value(frame: FrameType, place: _Place) -> Any:
    """Return the function that `frame` calls at the instruction that `place` describes; None if it is not known."""
    names = place.names
    if not names or not names[0]:
        return None
    first, *rest = names
    found: Any = _MISSING if place.is_global else local_variables(frame).get(first, _MISSING)
    if found is _MISSING:
        found = frame.f_globals.get(first, _MISSING)
    if found is _MISSING:
        found = getattr(builtins, first, None)
    try:
        for name in rest:
            found = getattr(found, local_variables(frame)[name[1:-1]] if name.startswith("{") else name)
    except Exception:  # whatever a user's class raises when its attributes are read
        return None
    return found


def is_call(caller: FrameType) -> bool:
    """Return whether the frame `caller` is at the call of a function, rather than at an operator such as `==`."""
    return _place(caller).is_call


def called_function(frame: FrameType) -> Any:
    """Return the function that `frame` calls; None if it does not call one by a name, such as `f` or `np.sort`."""
    return _value(frame, _place(frame))


def calls_builtin(frame: FrameType, names: Collection[str]) -> bool:
    """Return whether `frame` calls a built-in Python function whose name is in `names`.

    A global variable that has the name of a built-in function is not the built-in function.
    """
    place = _place(frame)
    name = place.names[0] if len(place.names) == 1 and place.is_global else ""
    return name in names and name not in frame.f_globals


def asked_by(frame: FrameType) -> Question:
    """Return which function compares two objects. `frame` runs the code that calls that function, or uses an operator.

    The result has the function's name, or "" for an operator or if no name is found. Its attribute `is_known` is False
    if it is not certain which function compares. For example, the object whose method `argmax` is called may not be
    found, as in `xs[:].argmax()`, where it is no variable: then the method may be numpy's, or that of another class.

    >>> import sys
    >>> class Number:
    ...     def __lt__(self, other):
    ...         print(asked_by(sys._getframe(1)))
    ...         return True
    ...     __gt__ = __lt__
    >>> a = Number()
    >>> a < a and None
    Question(name='', is_known=True)
    >>> import numpy as np
    >>> xs = np.array([a, a])
    >>> np.lexsort([xs]) is None
    Question(name='lexsort', is_known=True)
    False
    >>> (xs[:].argmax(), [xs][0].argmin()) and None
    Question(name='argmax', is_known=False)
    Question(name='argmin', is_known=False)
    """
    place = _place(frame)
    if place.is_operator:
        return NOT_NUMPY
    if not place.is_call:  # such as a loop over map(np.ndarray.argmax, rows)
        return Question("", _speaks_for_python(frame))
    function = _value(frame, place)
    while isinstance(function, partial):
        function = function.func
    if function is None:
        is_pythons = place.names[-1:] in IN_PYTHON or (not place.names and _speaks_for_python(frame))
        return Question(place.names[-1] if place.names else "", is_pythons)
    held: Any = getattr(function, "__self__", None)
    if type(held).__name__ == "ufunc":  # the function is np.maximum.reduce, for example
        return Question(str(held.__name__), True)
    owner: type = getattr(function, "__objclass__", type(held))  # np.ndarray for np.ndarray.argmax and for xs.argmax
    if _is_numpys(type(function)) or _is_numpys(function) or any(map(_is_numpys, owner.__mro__)):
        return Question(str(getattr(function, "__name__", "")), True)
    calls_another = any(function is f for f in CALLING_OTHERS) or "key" in place.passed
    if calls_another and not COMPARING.isdisjoint(frame.f_code.co_names):
        return Question("", False)  # as in reduce(np.maximum, xs)
    return Question("", isinstance(function, PYTHONS) or _speaks_for_python(frame))


def _is_numpys(x: Any) -> bool:
    return str(getattr(x, "__module__", "")).partition(".")[0] == "numpy"


def _speaks_for_python(frame: FrameType) -> bool:
    """Return whether the names in the code of `frame` suggest that a built-in function such as `sorted` compares.

    This is so if the code has a name such as `sorted` or `max`, and none such as `argmax`, which would suggest that
    numpy compares. If the code is that of a comprehension or a generator expression, the names in the function that
    contains it count too.
    """
    names = frame.f_code.co_names
    if frame.f_code.co_name in ("<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>") and frame.f_back:
        names += frame.f_back.f_code.co_names
    return COMPARING.isdisjoint(names) and not COMPARING_IN_PYTHON.isdisjoint(names)


def logical_function(frame: FrameType) -> str:
    """Return "logical_and" or "logical_or" if `frame` calls this function of numpy, and otherwise "".

    A method such as `np.logical_or.reduce` counts as well. If the call passes a `dtype`, the result is "", since numpy
    then returns elements of this type, and not the operands.
    """
    place = _place(frame)
    function = None if "dtype" in place.passed else _value(frame, place)
    function = getattr(function, "__self__", function)  # np.logical_or for np.logical_or.reduce
    name = getattr(function, "__name__", "") if type(function).__name__ == "ufunc" else ""
    return name if name in ("logical_and", "logical_or") else ""


# The names of functions that only show a text, or keep it for people to read
LOGGING = {
    *("print", "pprint", "pp", "write", "writelines", "log", "debug", "info", "warning", "warn", "error", "critical"),
    *("exception", "echo", "secho", "add_scalar", "add_text", "set_description", "set_postfix", "set_postfix_str"),
}
# The beginnings of the names of instructions that only pass objects on, or make others of them
PASSING = (
    *("BINARY", "BUILD", "CALL", "CONVERT_VALUE", "DICT", "EXTENDED_ARG", "FORMAT", "KW_NAMES", "LIST", "LOAD", "NOP"),
    *("PRECALL", "PUSH_NULL"),
)


def only_logs(frame: FrameType, only_shows: Callable[[Any], bool]) -> bool:
    """Return whether the object that `frame` makes at its present instruction is only passed to a logging call.

    Such a call, as `print(x)` or `log.info(f"x is {x}")`, shows a string, and the code must drop what the call returns.
    The code may also first make another object of this one, such as a longer text, and pass that instead. A call with
    the argument `file` does not count, since the program may read the file.

    Args:
        frame: the frame of the code that makes the object.
        only_shows: takes the function that is called, and returns whether it only shows a string, so the program cannot
            read the string again.
    """
    import dis  # imported here, because correct programs do not need it

    code, at = frame.f_code, frame.f_lasti
    while at > 0 and not code.co_code[at]:  # as in `_place`
        at -= 2
    above, last = 0, at  # how many objects lie above the object on the stack, and the instruction that made the object
    following = [found for found in dis.get_instructions(code) if found.offset > at]
    if code.co_code[at] == opmap.get("PRECALL"):
        last = following.pop(0).offset
    for found in following:
        if found.opname == "POP_TOP" and not above:
            place = _read(code, last)
            logs = place.is_call and not LOGGING.isdisjoint(place.names[-1:]) and "file" not in place.passed
            return logs and only_shows(_value(frame, place))
        if not found.opname.startswith(PASSING):
            return False
        effect = dis.stack_effect(found.opcode, found.arg)
        above = max(above + effect, 0)
        if not above and found.opname not in ("EXTENDED_ARG", "KW_NAMES", "NOP"):
            last = found.offset
    return False


def is_numpys_code(frame: FrameType) -> bool:
    """Return whether `frame` runs code of numpy."""
    return str(frame.f_globals.get("__name__", "")).startswith("numpy.")


def outside_numpy(frame: FrameType) -> FrameType:
    """Return `frame`, or if it belongs to numpy, the innermost frame that called numpy.

    The method `__array_function__` of this package's arrays, to which numpy passes a call on, counts as numpy's.
    """
    while frame.f_back and (is_numpys_code(frame) or _passes_on(frame.f_code)):
        frame = frame.f_back
    return frame


def _passes_on(code: CodeType) -> bool:
    return code.co_name == "__array_function__" and code.co_filename.startswith(PACKAGE)


def is_of_this_package(x: object) -> bool:
    """Return whether `x`, a class or function, is defined in this package."""
    defined_in = getattr(x, "__module__", None) or ""  # None for a class that exec() makes
    return defined_in.partition(".")[0] == __name__.partition(".")[0]
