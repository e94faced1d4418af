"""Flatten nested lists, tuples, dicts and arrays into a list of leaves, and nest other leaves in the same way."""

from __future__ import annotations

import itertools
import sys
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ..ops.number import is_of_numpy, refuse_masked

__all__ = ["ListOfArray", "arrays_to_lists", "flatten", "flatten_like", "is_array", "tuple_like"]


def flatten(tree: object, path: str = "", arrays: bool = True) -> tuple[list[tuple[str, Any]], Callable[..., Any]]:
    """Return (leaves, unflatten): pairs (path, leaf), and a function that builds the same structure with other leaves.

    The function takes the new leaves, one for each old leaf, in a list or in an `array.array` of doubles. A second
    argument is optional: the class of the numpy arrays that it makes if some new leaves are `Value`s.

    Lists, tuples, dicts (in their own order) and arrays are structures, and everything else is a leaf. A numpy array is
    unflattened to a numpy array: of bools if all new leaves are bools, of doubles if all are numbers, and of objects if
    some are `Value`s. If the new leaves are numpy arrays of one shape, they are stacked, and their axes come last. If
    some new leaves are other structures, the result is nested lists with the new leaves as items. An array of another
    library is unflattened to nested lists.

    Args:
        tree: the structure.
        path: the path to `tree` itself, with which all paths begin.
        arrays: whether an array is a structure; otherwise it is a leaf.

    >>> leaves, unflatten = flatten({"w": [1, 2], "b": 3}, "p")
    >>> leaves
    [("p['w'][0]", 1), ("p['w'][1]", 2), ("p['b']", 3)]
    >>> unflatten([4, 5, 6])
    {'w': [4, 5], 'b': 6}
    """
    if isinstance(tree, dict):
        items: list[tuple[Any, Any]] = list(tree.items())
    elif isinstance(tree, (list, tuple)):
        items = list(enumerate(tree))
    elif arrays and is_array(tree):
        return _flatten_array(tree, path)
    else:
        return [(path, tree)], lambda leaves, kind=None: leaves[0]
    if type(tree) is list and all(map(_is_leaf, {*map(type, tree)})):  # quicker, for long lists
        return [(f"{path}[{i}]", x) for i, x in enumerate(tree)], lambda leaves, kind=None: list(leaves)
    parts = [flatten(item, f"{path}[{key!r}]", arrays) for key, item in items]
    holds_leaves = all(len(part) == 1 and part[0][1] is item for (part, _), (_, item) in zip(parts, items, strict=True))

    def unflatten(leaves: list[Any], kind: type | None = None) -> Any:
        unflattened, start = [*leaves] if holds_leaves else [], 0
        for inside, unflatten_part in () if holds_leaves else parts:
            unflattened.append(unflatten_part(leaves[start : start + len(inside)], kind))
            start += len(inside)
        if type(tree) is tuple:
            return tuple(unflattened)
        if isinstance(tree, dict):
            kind_of_dict = OrderedDict if isinstance(tree, OrderedDict) else dict
            return kind_of_dict(zip(tree, unflattened, strict=True))
        if isinstance(tree, tuple):
            return tuple_like(tree, unflattened)
        return ListOfArray(unflattened) if kind and type(tree) is ListOfArray else unflattened

    return [leaf for inside, _ in parts for leaf in inside], unflatten


def tuple_like(model: tuple[Any, ...], items: Sequence[Any]) -> tuple[Any, ...]:
    """Return a tuple of `items`; if `model` is a namedtuple, a namedtuple of its class.

    The `__new__` of a user's class is not called, since it may compute other items from those it is given. But if the
    namedtuple has further attributes, `__new__` is called to make them.
    """
    kind = type(model) if hasattr(model, "_fields") else tuple
    return kind(*items) if getattr(model, "__dict__", None) else tuple.__new__(kind, items)


def _is_leaf(kind: type) -> bool:
    """Return whether every object of the class `kind` is a leaf, because none of them can have a method `tolist`."""
    if kind in (float, int):
        return True
    if kind.__dictoffset__ or issubclass(kind, (dict, list, tuple)):
        return False
    getattribute: Any = kind.__getattribute__
    return getattribute is object.__getattribute__ and not (hasattr(kind, "tolist") or hasattr(kind, "__getattr__"))


def is_array(x: object) -> bool:
    """Return whether `x` is an array of any library with at least one axis. An array without axes counts as a number.

    >>> from array import array
    >>> is_array(array("d", [1.0])), is_array([1.0]), is_array(1.0)
    (True, False, False)
    """
    if not hasattr(x, "tolist") or isinstance(x, type):
        return False
    return bool(x.shape) if hasattr(x, "shape") else hasattr(x, "__len__")


def arrays_to_lists(tree: Any) -> Any:
    """Return a copy of `tree`, a nested list, tuple, dict or array, with nested lists in place of arrays.

    >>> from array import array
    >>> arrays_to_lists((1, {"x": array("d", [2.0])}))
    (1, {'x': [2.0]})
    """
    leaves, unflatten = flatten(tree, arrays=False)
    return unflatten([x.tolist() if is_array(x) else x for _, x in leaves])


def _flatten_array(tree: Any, path: str) -> tuple[list[tuple[str, Any]], Callable[..., Any]]:
    if not is_of_numpy(tree):
        refuse_masked(tree)
        found, nested = flatten(tree.tolist(), path)
        if not hasattr(tree, "shape"):  # an array of the module `array`, whose operators are those of a list
            return found, nested
        return found, lambda leaves, kind=None: ListOfArray.of(nested(leaves)) if kind else nested(leaves)
    places = itertools.product(*map(range, tree.shape))
    names = [path + "".join([f"[{i}]" for i in place]) for place in places]
    own = sys.modules["numpy"].ndarray if type(tree).__name__ == "ArgumentArray" else type(tree)

    def unflatten(leaves: list[Any], kind: type | None = None) -> Any:
        return _array(tree.shape, leaves, kind if kind and own.__name__ == "ndarray" else own)

    return list(zip(names, tree.reshape(-1).tolist(), strict=True)), unflatten


class ListOfArray(list[Any]):
    """A list that a function gets as its argument in place of an array, such as a tensor of PyTorch.

    Operators of the array would compute with its elements, but + and * of a list join and repeat lists, and == compares
    the whole list. So + and * raise an error, and so does == with anything but a list.
    """

    __slots__ = ()
    __hash__ = None  # as for any list

    @classmethod
    def of(cls, nested: list[Any]) -> ListOfArray:
        """Return nested lists as nested lists of this class."""
        return cls([cls.of(x) if type(x) is list else x for x in nested])

    def _refuse(self, other: object) -> NoReturn:
        raise TypeError("a list that is in the place of an array has no operators of its elements; write np.asarray(x)")

    __add__ = __radd__ = __iadd__ = __mul__ = __rmul__ = __imul__ = _refuse

    def __getitem__(self, key: Any) -> Any:
        """Return an item, or a part of the list for a slice, as an object of the same class."""
        found = super().__getitem__(key)
        return ListOfArray(found) if isinstance(key, slice) else found

    def copy(self) -> ListOfArray:
        """Return a copy, which is of the same class."""
        return ListOfArray(self)

    def __eq__(self, other: object) -> bool:
        return list.__eq__(self, other) if isinstance(other, list) else self._refuse(other)

    def __ne__(self, other: object) -> bool:
        return not self == other


def _array(shape: tuple[int, ...], leaves: Sequence[Any], kind: type) -> Any:
    """Return `leaves` as a numpy array of the shape `shape`. If the leaves are objects, its class is `kind`.

    Arrays of one shape are stacked. If some leaves are lists, tuples, dicts or arrays of different shapes, return
    nested lists instead.
    """
    import numpy as np  # it is installed, since it made the array that was flattened

    if type(leaves) is array:
        return np.array(leaves).reshape(shape)
    if {*map(type, leaves)} == {float}:  # a shortcut for what is done below
        return np.array(leaves).reshape(shape)
    if all(isinstance(x, (float, int)) for x in leaves):
        kind = np.bool_ if leaves and all(isinstance(x, bool) for x in leaves) else np.float64
        return np.array(leaves, dtype=kind).reshape(shape)
    if all(isinstance(x, np.ndarray) for x in leaves) and len({x.shape for x in leaves}) == 1 and is_array(leaves[0]):
        return np.stack(leaves).reshape(shape + leaves[0].shape)
    made: Any = np.empty(len(leaves), dtype=object)
    for i, x in enumerate(leaves):
        made[i] = x
    made = made.reshape(shape).view(kind)
    return made.tolist() if any(isinstance(x, (list, tuple, dict, np.ndarray)) for x in leaves) else made


def flatten_like(tree: object, model: object, path: str = "") -> list[tuple[str, Any]]:
    """Return pairs (path, leaf) for the leaves of `tree`, in the order that the leaves of `model` have.

    `tree` must be nested like `model`, but the keys of its dicts may be in another order. An array counts as nested
    lists of its shape, and a tuple as a list. `path` is the path to `tree`, with which all paths begin.

    Raises:
        ValueError: `tree` is not nested like `model`.

    >>> flatten_like({"b": 1, "a": 2}, {"a": 0, "b": 0})
    [("['a']", 2), ("['b']", 1)]
    """
    tree, model = [x.tolist() if is_array(x) else x for x in (tree, model)]  # type: ignore[attr-defined]
    if isinstance(model, dict) and isinstance(tree, dict) and model.keys() == tree.keys():
        pairs = [(key, tree[key], model[key]) for key in model]
    elif isinstance(model, (list, tuple)) and isinstance(tree, (list, tuple)) and len(model) == len(tree):
        pairs = [(i, item, like) for i, (item, like) in enumerate(zip(tree, model, strict=True))]
    elif isinstance(tree, (dict, list, tuple)) or isinstance(model, (dict, list, tuple)):
        raise ValueError(f"the structures differ at {path or 'the top'}")
    else:
        return [(path, tree)]
    return [leaf for key, item, like in pairs for leaf in flatten_like(item, like, f"{path}[{key!r}]")]
