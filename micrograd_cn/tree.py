"""Nested lists, tuples and dicts of numbers, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["flatten", "leaves_like"]


def flatten(tree: object, path: str = "") -> tuple[list[tuple[str, Any]], Callable[[list[Any]], Any]]:
    """Return the leaves, each with the path to it, and a function that puts as many others in their place.

    Dicts are walked in their own order; whatever is no list, tuple or dict is a leaf.

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
    else:
        return [(path, tree)], lambda leaves: leaves[0]
    parts = [flatten(item, f"{path}[{key!r}]") for key, item in items]

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


def leaves_like(tree: object, model: object, path: str = "") -> list[tuple[str, Any]]:
    """Return the leaves of `tree`, with their paths, in the order of those of `model`, which has the same structure.

    Raises:
        ValueError: the structures differ.

    >>> leaves_like({"b": 1, "a": 2}, {"a": 0, "b": 0})
    [("['a']", 2), ("['b']", 1)]
    """
    if isinstance(model, dict) and isinstance(tree, dict) and model.keys() == tree.keys():
        pairs = [(key, tree[key], model[key]) for key in model]
    elif isinstance(model, (list, tuple)) and isinstance(tree, (list, tuple)) and len(model) == len(tree):
        pairs = [(i, item, like) for i, (item, like) in enumerate(zip(tree, model, strict=True))]
    elif isinstance(tree, (dict, list, tuple)) or isinstance(model, (dict, list, tuple)):
        raise ValueError(f"another structure at {path or 'the top'}")
    else:
        return [(path, tree)]
    return [leaf for key, item, like in pairs for leaf in leaves_like(item, like, f"{path}[{key!r}]")]
