"""Describe how an argument is nested in lists, tuples, dicts and arrays, without its numbers: a treedef, as in JAX."""

from __future__ import annotations

import itertools
import sys
from array import array
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from enum import Enum
from types import NoneType, SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

from ...engine import Value
from ...ops.number import number, number_or_none, own_operator
from ...parameters.tree import ListOfArray, flatten
from ..surroundings.facts import is_users_module
from ..surroundings.objects import EXACTLY_PLAIN
from .arrays import doubles, flat_doubles, is_column, is_matrix, is_tensor, number_without_axes, refuse_collection
from .columns import Columns
from .static_values import StaticValue, identity

# The treedef of a number is None, and that of an array is an ArrayDef. For a list or tuple, it is a pair: the type, and
# either the count of items, if all are numbers, or the treedefs of the items. For a dict, it is a tuple of the type,
# the keys, and the treedefs of the values. A key that is no string is a `StaticValue`.
TreeDef: TypeAlias = Any
PYTHON_NUMBERS = {float, int}
FLOAT, TEXT = frozenset([float]), frozenset([str])
NESTINGS = {list, tuple, dict, OrderedDict, defaultdict}
MAX_DEPTH = 100  # of lists, tuples and dicts inside each other
TOO_DEEP = (
    f"more than {MAX_DEPTH} lists, tuples or dicts inside each other, or one that contains itself; pass its numbers in "
    "one list"
)


class ArrayDef(NamedTuple):
    """The treedef of an array.

    Attributes:
        shape: the shape of the array.
        is_numpy: whether the array has the method `__array__`, as the arrays of most libraries have. If so, the
            function that is recorded gets a numpy array of `Value`s. If not, as for a memoryview, it gets nested lists.
        is_tensor: whether the array is a tensor of PyTorch.
    """

    shape: tuple[int, ...]
    is_numpy: bool
    is_tensor: bool = False


def numpy_like(samples: Any, numbers: Any) -> Any:
    """Return the results `numbers` as a numpy array if the samples are in numpy arrays, and otherwise unchanged.

    A list of results is also returned unchanged unless all are floats, or arrays of the same shape.

    >>> numpy_like([(1.0,)], [[2.0]])
    [[2.0]]
    """
    numpy = sys.modules.get("numpy")
    entries = samples if isinstance(samples, tuple) else (samples,)
    arrays = [x for x in entries if isinstance(x, (list, tuple)) or number_or_none(x) is None]
    if not (numpy and arrays and all(isinstance(x, numpy.ndarray) for x in arrays)):
        return numbers
    if isinstance(numbers, Columns):
        return numbers.giving_numpy()
    shapes = {() if type(x) is float else getattr(x, "shape", None) for x in numbers} if type(numbers) is list else {()}
    return numbers if None in shapes or len(shapes) > 1 else numpy.asarray(numbers)


def treedef_of(x: Any, numbers: array[float], depth: int = MAX_DEPTH) -> TreeDef:
    """Return the treedef of the argument `x`: how it is nested. Append the numbers in `x` to the array `numbers`.

    At most `depth` lists, tuples and dicts may lie inside each other.

    Raises:
        TypeError: the argument contains something that is not a number, or is nested too deeply.

    >>> found = array("d")
    >>> treedef_of({"x": [1, 2], "y": (3, [4.0])}, found), list(found)
    ((<class 'dict'>, ('x', 'y'), ((<class 'list'>, 2), (<class 'tuple'>, (None, (<class 'list'>, 1))))), [1.0, 2.0, \
3.0, 4.0])
    """
    kind = type(x)
    if kind is float:
        numbers.append(x)
        return None
    # Two shortcuts: what follows them would give the same, but takes longer
    if kind is list and depth and FLOAT.issuperset(map(type, x)):
        numbers.fromlist(x)
        return list, len(x)
    if kind is dict and depth and FLOAT.issuperset(map(type, x.values())) and TEXT.issuperset(map(type, x)):
        numbers.extend(x.values())
        return dict, tuple(x), (None,) * len(x)
    if kind in PYTHON_NUMBERS:
        numbers.append(number(x))
        return None
    if isinstance(x, float) and kind.__module__ == "numpy":
        numbers.append(x)
        return None
    if kind not in NESTINGS and isinstance(x, (list, tuple, dict)):
        refuse_subclass(x)
    if not depth and isinstance(x, (list, tuple, dict)):
        raise TypeError(TOO_DEEP)
    if isinstance(x, (list, tuple)):
        kinds = {*map(type, x)}
        if kinds <= PYTHON_NUMBERS:
            numbers.extend(doubles(x))
            return kind, len(x)
        inside = tuple([treedef_of(item, numbers, depth - 1) for item in x])
        return kind, len(x) if inside.count(None) == len(x) else inside
    if isinstance(x, dict):
        keys = [key if type(key) is str else StaticValue(key, identity(key)) for key in x]
        return kind, tuple(keys), tuple([treedef_of(item, numbers, depth - 1) for item in x.values()])
    if isinstance(x, Value):
        raise TypeError(f"a Value; {INSTEAD_OF_VALUE}")
    if hasattr(x, "shape"):
        if shape := tuple(x.shape):
            definition = array_def(x, shape)
            numbers.extend(flat_doubles(x))
            return definition
        if kind.__module__ != "numpy":
            _refuse_own_operators(kind)
        numbers.append(number_without_axes(x))
        return None
    if hasattr(x, "tolist") and hasattr(x, "__len__"):  # array.array
        return treedef_of(x.tolist(), numbers)
    if not hasattr(x, "__float__"):
        refuse_collection(x)
    if kind is not bool:
        _refuse_own_operators(kind)
    if isinstance(x, Enum):
        raise TypeError(f"{x!r}, a member of an enum, which a Value in its place is not; write x.value for its number")
    numbers.append(number(x))
    return None


def _refuse_own_operators(kind: type) -> None:
    """Raise TypeError if `kind` is a class of numbers whose operators are the user's, which a `Value` would not have.

    Numbers of other packages whose classes are not subclasses of float or int, such as mpmath's, are read as floats.
    """
    if (issubclass(kind, (float, int)) or is_users_module(kind.__module__)) and (operator := own_operator(kind)):
        raise TypeError(
            f"a {kind.__name__}, whose {operator} a Value in its place would not have; write float(x) for it"
        )


def refuse_subclass(x: list[Any] | tuple[Any, ...] | dict[Any, Any]) -> None:
    """Raise TypeError unless `x`, whose class is a subclass of list, tuple or dict, is a namedtuple.

    Such a class may read its items or add two lists in its own way, which a plain list of `Value`s would not do. A
    namedtuple with further attributes raises TypeError, too.
    """
    kind = type(x)
    if isinstance(x, tuple) and hasattr(kind, "_fields") and not getattr(x, "__dict__", None):
        return
    base = next(base for base in (list, tuple, dict) if isinstance(x, base)).__name__
    raise TypeError(f"a {kind.__name__}, which may not work as a {base} does; write {base}(x) for it")


def array_def(x: Any, shape: tuple[int, ...]) -> ArrayDef:
    """Return the treedef of an array of the shape `shape`: the array `x`, or a part of it.

    A treedef describes how an argument is nested, without its numbers.

    Raises:
        TypeError: in a user's code, the array behaves otherwise than the numpy array that takes its place: it is an
            `np.matrix`, has labels, or has operators of a user's class.
    """
    kind = type(x)
    if kind.__name__ == "matrix" or kind.__module__ != "numpy":
        if is_matrix(x):
            raise TypeError("an np.matrix, whose * is the product of matrices; write np.asarray(x), and @ for *")
        if hasattr(x, "iloc"):
            raise TypeError(f"a {kind.__name__}, which code may read by its labels; write x.to_numpy()")
        if is_users_module(kind.__module__) and (operator := own_operator(kind)):
            raise TypeError(
                f"a {kind.__name__}, whose {operator} an array in its place would not have; write np.asarray(x) for it"
            )
        if is_tensor(x):
            return ArrayDef(shape, True, True)
    return ArrayDef(shape, hasattr(x, "__array__"))


def has_tensors(treedef: TreeDef) -> bool:
    """Return whether an argument that is nested as `treedef` says is a tensor of PyTorch, or has one inside.

    >>> has_tensors((list, (None, ArrayDef((2,), True, True)))), has_tensors((list, 2))
    (True, False)
    """
    if treedef is None or isinstance(treedef, ArrayDef):
        return treedef is not None and treedef.is_tensor
    *_, parts = treedef
    return not isinstance(parts, int) and any(map(has_tensors, parts))


def unflatten(treedef: TreeDef, numbers: Iterator[Any]) -> Any:
    """Return an argument that is nested as `treedef` says; the inverse of `treedef_of`.

    The leaves of the argument come from the iterator `numbers`. They may be anything in place of numbers, for
    example `Value`s.

    >>> unflatten((list, (None, (tuple, 2))), iter("abc"))
    ['a', ('b', 'c')]
    """
    if treedef is None:
        return next(numbers)
    if isinstance(treedef, ArrayDef):
        return _unflatten_array(treedef, numbers)
    kind, inside, *parts = treedef
    if isinstance(inside, int):
        items = [next(numbers) for _ in range(inside)]
    else:
        items = [unflatten(part, numbers) for part in (parts[0] if parts else inside)]
    if parts:
        made = zip([key if type(key) is str else key.value for key in inside], items, strict=True)
        return OrderedDict(made) if kind is OrderedDict else dict(made)
    return tuple.__new__(kind, items) if issubclass(kind, tuple) else items


def _unflatten_array(treedef: ArrayDef, numbers: Iterator[Any]) -> Any:
    if treedef.is_numpy:
        import numpy as np

        from ...graph.value_arrays import ValueArray  # imported here, because it needs numpy

        made = np.empty(treedef.shape, dtype=object)
        for place in np.ndindex(*treedef.shape):
            made[place] = next(numbers)
        return made.view(ValueArray)

    def nested(shape: tuple[int, ...]) -> Any:
        return ListOfArray([nested(shape[1:]) for _ in range(shape[0])]) if shape else next(numbers)

    return nested(treedef.shape)


def objects_in(static: Iterable[tuple[str, StaticValue]], treedef: TreeDef) -> list[Any]:
    """Return the objects that arguments bring into a function, apart from plain numbers and strings.

    These are the values of static arguments, the users' classes of namedtuples, and the keys of dicts. `static` has the
    name and the value of each static argument, and `treedef` has the name of each other argument and its treedef, which
    describes how it is nested.
    """
    found = [x.value for _, x in static]
    waiting = [part for _, part in treedef if part is not None]
    while waiting:
        part = waiting.pop()
        if part is None or isinstance(part, ArrayDef):
            continue
        kind, inside, *parts = part
        if parts:
            found += [key.value for key in inside if type(key) is not str]
        elif kind not in NESTINGS and is_users_module(kind.__module__):
            found.append(kind)
        inside = parts[0] if parts else inside
        if not isinstance(inside, int):
            waiting += dict.fromkeys(inside)
    return [x for x in found if type(x) not in EXACTLY_PLAIN]


def plain_argument(x: Any) -> Any:
    """Return a copy of an argument for a call of the plain Python function, with floating-point numbers as doubles.

    Integers and booleans stay what they are. The copy is nested in the same way as the argument that the function gets
    while it is recorded.

    >>> plain_argument({"x": [1, True], "y": (2.5,)})
    {'x': [1, True], 'y': (2.5,)}
    """
    if isinstance(x, (list, tuple, dict)):
        items = [plain_argument(item) for item in (x.values() if isinstance(x, dict) else x)]
        if isinstance(x, dict):
            return (OrderedDict if isinstance(x, OrderedDict) else dict)(zip(x, items, strict=True))
        return tuple.__new__(type(x), items) if isinstance(x, tuple) else items
    if hasattr(x, "__array__"):
        import numpy as np

        made = np.array(x)
        return (made if made.dtype.kind in "biu" else made.astype(float))[()]
    return x.tolist() if hasattr(x, "tolist") else x if type(x) in (int, bool) else number(x)


def leaf_paths(treedef: TreeDef, name: str) -> list[str]:
    """Return, for each number in an argument called `name`, the Python expression that reads this number.

    >>> leaf_paths((dict, ("w", "b"), ((list, 2), None)), "p")
    ["p['w'][0]", "p['w'][1]", "p['b']"]
    """
    if treedef is None:
        return [name]
    return [path for path, _ in flatten(unflatten(treedef, itertools.repeat(0.0)), name)[0]]


INSTEAD_OF_VALUE = (
    "write f.__wrapped__(x) to differentiate through the call f(x), x.data for its number alone, or use it inside the "
    "function, which makes it a parameter"
)


def first_invalid(arguments: dict[str, Any]) -> str:
    """Return a text for error messages: the path to the first part of the arguments that is not a number, and why.

    >>> first_invalid({"x": [1, [2, "3"]]})
    "x[1][1]: expected a real number, got the str '3'; convert it with float() first"
    """
    for name, x in arguments.items():
        if _is_too_deep(x):
            return f"{name}: {TOO_DEEP}"
        for path, part in _nestings(x, name):
            try:
                refuse_subclass(part)
            except TypeError as error:
                return f"{path}: {error}"
        for path, part in flatten(x, name, arrays=False)[0]:
            try:
                treedef_of(part, array("d"))
            except TypeError as error:
                message = f"{path}: {error}"
                if isinstance(part, str) and path == name and not _is_number(part):
                    what = f"expected a real number, got the str {part!r}"
                    message = f"{path}: {what}; for the name of a class, pass its index"
                elif hasattr(part, "__dataclass_fields__"):
                    message += "; write dataclasses.asdict(x), a dict of its numbers"
                elif isinstance(part, SimpleNamespace):
                    message += "; write vars(x), a dict of its numbers"
                if path == name and _may_be_option(part):
                    message += f"; for an option, write compile(f, static={name!r})"
                inside = flatten(part, path)[0] if getattr(getattr(part, "dtype", None), "kind", "") == "O" else []
                return next((f"{place}: {said}" for place, x in inside if (said := _refusal(x))), message)
    return "unknown"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_too_deep(x: Any) -> bool:
    """Return whether lists, tuples and dicts in `x` are nested more than `MAX_DEPTH` deep."""
    level = {id(x): x}
    for _ in range(MAX_DEPTH + 1):
        nested = [y for y in level.values() if isinstance(y, (list, tuple, dict))]
        level = {id(item): item for y in nested for item in (y.values() if isinstance(y, dict) else y)}
    return bool(level)


def _nestings(x: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the path and the object for each collection in `x` whose class is a subclass that is refused.

    Such a class is a subclass of list, tuple or dict that is not in `NESTINGS`. `path` is the path to `x` itself.
    """
    if isinstance(x, (list, tuple, dict)):
        if type(x) not in NESTINGS:
            yield path, x
        for key, item in [*x.items()] if isinstance(x, dict) else enumerate(x):
            yield from _nestings(item, f"{path}[{key!r}]")


def _may_be_option(x: Any) -> bool:
    """Return whether an argument that is not a number could be meant as an option, such as a string or a function."""
    return isinstance(x, (str, NoneType, Enum)) or not (
        hasattr(x, "__iter__") or hasattr(x, "dtype") or isinstance(x, Value)
    )


def _refusal(x: Any) -> str:
    """Return why `x` is not a number; return "" if it is one, or if it is a list or an array."""
    if isinstance(x, (list, tuple)) or is_column(x):
        return ""
    try:
        number(x)
    except TypeError as error:
        return str(error)
    return ""
