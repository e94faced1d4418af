"""Nested lists, tuples, dicts and arrays of numbers, taken apart and put together again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["flatten", "is_array", "leaves_like", "listed"]


def flatten(tree: object, path: str = "", arrays: bool = True) -> tuple[list[tuple[str, Any]], Callable[..., Any]]:
    """Return the leaves, each with the path to it, and a function that puts as many others in their place.

    Dicts are walked in their own order; whatever is no list, tuple, dict or array is a leaf. In the place of a numpy
    array comes one: of doubles for numbers, of objects for `Value`s; of arrays of one shape, one with their axes at the
    end; and where other structures take the elements' place, nested lists of them. In the place of other libraries'
    arrays come nested lists.

    Args:
        tree: the structure.
        path: to it.
        arrays: whether an array is a structure; else it is a leaf.

    >>> leaves, rebuild = flatten({"w": [1, 2], "b": 3}, "p")
    >>> leaves
    [("p['w'][0]", 1), ("p['w'][1]", 2), ("p['b']", 3)]
    >>> rebuild([4, 5, 6])
    {'w': [4, 5], 'b': 6}
    """
    if isinstance(tree, dict):
        items: list[tuple[Any, Any]] = list(tree.items())
    elif isinstance(tree, (list, tuple)):
        items = list(enumerate(tree))
    elif arrays and is_array(tree):
        return _flatten_array(tree, path)
    else:
        return [(path, tree)], lambda leaves: leaves[0]
    parts = [flatten(item, f"{path}[{key!r}]", arrays) for key, item in items]

    def rebuild(leaves: list[Any]) -> Any:
        rebuilt, start = [], 0
        for inside, rebuild_part in parts:
            rebuilt.append(rebuild_part(leaves[start : start + len(inside)]))
            start += len(inside)
        if isinstance(tree, dict):
            return dict(zip(tree, rebuilt, strict=True))
        if isinstance(tree, tuple):
            return type(tree)(*rebuilt) if hasattr(tree, "_fields") else tuple(rebuilt)
        return rebuilt

    return [leaf for inside, _ in parts for leaf in inside], rebuild


def is_array(x: object) -> bool:
    """Return whether it is an array of any library, with at least one axis: without one, it is a number.

    >>> from array import array
    >>> is_array(array("d", [1.0])), is_array([1.0]), is_array(1.0)
    (True, False, False)
    """
    if not hasattr(x, "tolist") or isinstance(x, type):
        return False
    return bool(x.shape) if hasattr(x, "shape") else hasattr(x, "__len__")


def listed(tree: Any) -> Any:
    """Return a structure with nested lists in the place of its arrays.

    >>> from array import array
    >>> listed((1, {"x": array("d", [2.0])}))
    (1, {'x': [2.0]})
    """
    leaves, rebuild = flatten(tree, arrays=False)
    return rebuild([x.tolist() if is_array(x) else x for _, x in leaves])


def _flatten_array(tree: Any, path: str) -> tuple[list[tuple[str, Any]], Callable[[list[Any]], Any]]:
    if type(tree).__module__ != "numpy":
        return flatten(tree.tolist(), path)
    places = itertools.product(*map(range, tree.shape))
    names = [path + "".join([f"[{i}]" for i in place]) for place in places]
    return list(zip(names, tree.reshape(-1).tolist(), strict=True)), lambda leaves: _array(tree.shape, leaves)


def _array(shape: tuple[int, ...], leaves: Sequence[Any]) -> Any:
    """Return a numpy array of the leaves, as `flatten` says."""
    import numpy as np  # which made the array whose place this one takes

    if all(isinstance(x, (float, int)) for x in leaves):
        return np.array(leaves, dtype=np.float64).reshape(shape)
    if len({x.shape if isinstance(x, np.ndarray) else None for x in leaves} | {None}) == 2 and is_array(leaves[0]):
        return np.stack(leaves).reshape(shape + leaves[0].shape)
    made = np.empty(len(leaves), dtype=object)
    for i, x in enumerate(leaves):
        made[i] = x
    made = made.reshape(shape)
    return made.tolist() if any(isinstance(x, (list, tuple, dict, np.ndarray)) for x in leaves) else made


def leaves_like(tree: object, model: object, path: str = "") -> list[tuple[str, Any]]:
    """Return the leaves of `tree`, with their paths, in the order of those of `model`, which has the same structure.

    An array and nested lists of its shape are of one structure, and so are a list and a tuple.

    Raises:
        ValueError: the structures differ.

    >>> leaves_like({"b": 1, "a": 2}, {"a": 0, "b": 0})
    [("['a']", 2), ("['b']", 1)]
    """
    tree, model = [x.tolist() if is_array(x) else x for x in (tree, model)]  # type: ignore[attr-defined]
    if isinstance(model, dict) and isinstance(tree, dict) and model.keys() == tree.keys():
        pairs = [(key, tree[key], model[key]) for key in model]
    elif isinstance(model, (list, tuple)) and isinstance(tree, (list, tuple)) and len(model) == len(tree):
        pairs = [(i, item, like) for i, (item, like) in enumerate(zip(tree, model, strict=True))]
    elif isinstance(tree, (dict, list, tuple)) or isinstance(model, (dict, list, tuple)):
        raise ValueError(f"another structure at {path or 'the top'}")
    else:
        return [(path, tree)]
    return [leaf for key, item, like in pairs for leaf in leaves_like(item, like, f"{path}[{key!r}]")]
