"""Take pytrees apart, and put them together again.

A pytree, also called a structure, is nested from lists, tuples, dicts, dataclasses, and objects of classes that are
registered with jax. A complex or sparse array counts as a structure, too: it is taken apart into dense arrays of real
numbers (`array_parts`). Everything else is a leaf. A path is a string that says where in the structure a leaf is, such
as "['w'][0]". The module `parameters.tree` does the same for functions of `Value`s. It treats an array as a nested
list, but here a dense array of real numbers is a leaf.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ...parameters.tree import tuple_like
from .array_parts import array_parts, is_sparse, split_like
from .libraries import library_of

__tracebackhide__ = True

Parts = tuple[list[tuple[str, Any]], Callable[[list[Any]], Any]]


def parts(tree: Any) -> Parts | None:
    """Return the items or fields of a structure, and a function that builds such a structure from other items.

    Each item or field comes with its path, such as "['w']". None is returned for a leaf.

    >>> parts({"w": 1.0})[0], parts(2.0)
    ([("['w']", 1.0)], None)
    """
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and type(tree) is numpy.ndarray and tree.dtype.kind != "c":  # as most often
        return None
    if library_of(tree) in ("torch", "numpy") and hasattr(tree, "dtype"):
        return array_parts(tree)
    if isinstance(tree, dict) and not is_sparse(tree):
        return [(f"[{key!r}]", part) for key, part in tree.items()], lambda found: _dict_like(tree, found)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        fields = [(f".{name}", part) for name, part in zip(tree._fields, tree, strict=True)]
        return fields, lambda found: tuple_like(tree, found)
    if isinstance(tree, (list, tuple)):
        return [(f"[{i}]", part) for i, part in enumerate(tree)], tuple if isinstance(tree, tuple) else list
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        names = [field.name for field in dataclasses.fields(tree)]
        return [(f".{name}", getattr(tree, name)) for name in names], lambda found: _with_fields(tree, names, found)
    return array_parts(tree) or _jax_parts(tree)


def flatten_pytree(tree: Any, path: str = "") -> Parts:
    """Return the leaves of a structure with their paths, and a function that builds such a structure from other leaves.

    >>> leaves, rebuild = flatten_pytree({"w": [1.0, 2.0], "b": 3.0}, "p")
    >>> leaves, rebuild([4.0, 5.0, 6.0])
    ([("p['w'][0]", 1.0), ("p['w'][1]", 2.0), ("p['b']", 3.0)], {'w': [4.0, 5.0], 'b': 6.0})
    """
    found = parts(tree)
    if found is None:
        return [(path, tree)], _single_leaf
    inside = [flatten_pytree(part, path + suffix) for suffix, part in found[0]]
    if all(rebuild_part is _single_leaf for _, rebuild_part in inside):
        return [part[0] for part, _ in inside], found[1]

    def rebuild(leaves: list[Any]) -> Any:
        rebuilt, start = [], 0
        for part, rebuild_part in inside:
            rebuilt.append(rebuild_part(leaves[start : start + len(part)]))
            start += len(part)
        return found[1](rebuilt)

    return [leaf for part, _ in inside for leaf in part], rebuild


def _single_leaf(leaves: list[Any]) -> Any:
    return leaves[0]


def leaves(tree: Any) -> list[Any]:
    """Return the leaves of a structure: its numbers, arrays and other objects that are not structures themselves.

    >>> leaves({"w": [1.0, 2.0], "b": 3.0})
    [1.0, 2.0, 3.0]
    """
    found = parts(tree)
    return [tree] if found is None else [leaf for _, part in found[0] for leaf in leaves(part)]


def has_array_parts(tree: Any) -> bool:
    """Return whether a structure contains a complex number, or a complex or sparse array.

    >>> has_array_parts([1.0, {"z": 1j}]), has_array_parts([1.0])
    (True, False)
    """
    if array_parts(tree) is not None:
        return True
    found = parts(tree)
    return found is not None and any(has_array_parts(part) for _, part in found[0])


def flatten_up_to(tree: Any, model: Any, what: str, path: str = "") -> Iterator[Any]:
    """Yield, for each leaf of `model`, the part of `tree` at the same position.

    If `tree` has None where `model` has a structure, None is yielded for each leaf of that structure. `tree` may have a
    dict where `model` has a dataclass.

    Args:
        tree: a structure that is built like `model`, but may have further structures in place of leaves.
        model: the structure whose leaves decide how far `tree` is taken apart.
        what: what messages call `tree`.
        path: the path of `model` in messages.

    Raises:
        ValueError: the structures differ.
    """
    found = parts(model)
    if found is None:
        yield tree
        return
    if tree is None:
        yield from [None] * len(leaves(model))
        return
    if (split := split_like(tree, model)) is not None:
        for part, (suffix, like) in zip(split, found[0], strict=True):
            yield from flatten_up_to(part, like, what, path + suffix)
        return
    at = f" for {path}" if path else ""
    if isinstance(model, dict):
        given = _values_by_key(tree, list(model), what, at)
    elif dataclasses.is_dataclass(model):
        names = [field.name for field in dataclasses.fields(model)]
        given = (
            [getattr(tree, name) for name in names]
            if type(tree) is type(model)
            else _values_by_key(tree, names, what, at)
        )
    else:
        inside = parts(tree)
        given = [part for _, part in inside[0]] if inside else list(tree) if hasattr(tree, "__len__") else [tree]
        if len(given) != len(found[0]) or not (inside or hasattr(tree, "__len__")):
            raise ValueError(
                f"gradcheck: {what} must have {len(found[0])} parts{at}, as {describe(model)} has, got {describe(tree)}"
            )
    for part, (suffix, like) in zip(given, found[0], strict=True):
        yield from flatten_up_to(part, like, what, path + suffix)


def describe(tree: Any) -> str:
    """Return the type and size of a structure or an array, for messages.

    >>> describe([1.0, 2.0])
    'a list of 2'
    """
    if isinstance(tree, (list, tuple, dict)):
        return f"a {type(tree).__name__} of {len(tree)}"
    return f"a {type(tree).__name__}" + (f" of shape {list(tree.shape)}" if hasattr(tree, "shape") else "")


def _values_by_key(tree: Any, keys: list[Any], what: str, at: str) -> list[Any]:
    """Return the values of the dict `tree` in the order of `keys`; raise ValueError if they are not its keys.

    The message calls the dict `what`; `at` is a string that tells where in the whole structure it is.
    """
    if not isinstance(tree, dict) or tree.keys() != set(keys):
        missing = [key for key in keys if isinstance(tree, dict) and key not in tree]
        lacks = f", which lacks {', '.join(map(repr, missing))}" if missing else ""
        raise ValueError(f"gradcheck: {what} must have the keys {keys}{at}, got {describe(tree)}{lacks}")
    return [tree[key] for key in keys]


def _dict_like(tree: dict[Any, Any], found: list[Any]) -> Any:
    """Return a dict of the same class and with the same keys as `tree`, but with the values `found`."""
    made = copy.copy(tree)  # an OrderedDict or a defaultdict stays one
    made.update(zip(tree, found, strict=True))
    return made


def _with_fields(tree: Any, names: list[str], found: list[Any]) -> Any:
    """Return a copy of the dataclass `tree` whose fields `names` have the values `found`."""
    made = copy.copy(tree)
    for name, part in zip(names, found, strict=True):
        object.__setattr__(made, name, part)  # works for a frozen dataclass, too
    return made


def _jax_parts(tree: Any) -> Parts | None:
    """Return the parts of an object whose class is registered with jax, as `parts` does; None for other objects."""
    jax: Any = sys.modules.get("jax")
    if tree is None or not hasattr(jax, "tree_util"):
        return None
    util = jax.tree_util
    found, shape = util.tree_flatten_with_path(tree, is_leaf=lambda x: x is not tree)
    if util.treedef_is_leaf(shape) and len(found) == 1 and found[0][1] is tree:
        return None
    return [(util.keystr(path), part) for path, part in found], lambda leaves: util.tree_unflatten(shape, leaves)
