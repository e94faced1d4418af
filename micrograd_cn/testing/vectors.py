"""Structures of numbers and arrays as one vector of doubles, and back, in the types that they came in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..tree import flatten
from .libraries import is_array, kind, maker, read

__tracebackhide__ = True

Vector: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.intp]
DOUBLE = 2.0**-52  # distance from 1.0 to the next double


class Packed:
    """The floating-point numbers of a structure as a vector; what else it holds is constant.

    Args:
        tree: numbers, arrays, lists, tuples, dicts.
        name: what messages call it.
        varies: which leaves are no constants.

    Attributes:
        model: the structure.
        vector: the numbers.
        left_out: for which of them no derivative was given.
        eps: the distance from 1.0 to the next number of the coarsest type.

    Raises:
        TypeError: a leaf is complex, or neither a number nor an array.

    >>> packed = Packed({"w": np.array([1.0, 2.0]), "b": 3.0}, "x")
    >>> packed.vector, packed.names(1), packed.tree(np.zeros(3))
    (array([1., 2., 3.]), "x['w'][1]", {'w': array([0., 0.]), 'b': 0.0})
    """

    def __init__(self, tree: Any, name: str, varies: Callable[[Any], bool] = lambda leaf: True) -> None:
        leaves, self._rebuild = flatten(tree, name, arrays=False)
        leaves = [(re.sub(r"^args\[(\d+)\]", r"x\1", path), x) for path, x in leaves]
        self._leaves = [x for _, x in leaves]
        self.model = tree
        self._parts: list[tuple[int, str, tuple[int, ...], slice]] = []  # leaf, its name, its shape, its place
        values, start, self.eps = [np.zeros(0)], 0, DOUBLE
        for i, (path, x) in enumerate(leaves):
            found = None if x is None else kind(x)
            if found == "complex":
                raise TypeError(
                    f"gradcheck: {path} is complex; take real and imaginary parts for arguments and outputs"
                )
            if found != "float" or not varies(x):
                continue
            try:
                value = read(x)
            except (TypeError, ValueError) as error:
                raise TypeError(f"gradcheck: {path} is {type(x).__name__} {x!r}, not a number nor an array") from error
            self._parts.append((i, path, value.shape, slice(start, start + value.size)))
            values.append(value.ravel())
            start += value.size
            self.eps = max(self.eps, _spacing(x))
        self.vector: Vector = np.concatenate(values)
        self.left_out = np.zeros(self.vector.size, bool)
        self._makers = [maker(self._leaves[i]) for i, *_ in self._parts]
        self.exact = self.eps == DOUBLE

    def tree(self, vector: Vector) -> Any:
        """Return the structure with the numbers of `vector`, in the leaves' own types."""
        parts = zip(self._parts, self._makers, strict=True)
        return self.with_variables([make(vector[place].reshape(shape)) for (_, _, shape, place), make in parts])

    def with_variables(self, variables: Sequence[Any]) -> Any:
        """Return the structure with other leaves in the place of those that are no constants."""
        leaves = list(self._leaves)
        for (i, *_), x in zip(self._parts, variables, strict=True):
            leaves[i] = x
        return self._rebuild(leaves)

    def variables(self, tree: Any) -> list[Any]:
        """Return the leaves of a structure that are no constants."""
        leaves = [x for _, x in flatten(tree, arrays=False)[0]]
        return [leaves[i] for i, *_ in self._parts]

    def stored(self, vector: Vector) -> Vector:
        """Return the vector as its types hold it."""
        return vector if self.exact else self.pack(self.tree(vector))

    def pack(self, tree: Any) -> Vector:
        """Return the vector of a structure that is like this one."""
        return np.concatenate([np.zeros(0), *[read(x).ravel() for x in self.variables(tree)]])

    def blocks(self, tree: Any, what: str) -> Iterator[tuple[slice, tuple[int, ...], Any]]:
        """Yield the part of `tree` that stands in the place of each leaf: its place, its shape, and the part."""
        parts = list(_in_place_of(tree, self.model, what))
        for i, _, shape, place in self._parts:
            yield place, shape, parts[i]

    def derivative(self, tree: Any, what: str) -> Vector:
        """Return the vector of what was given as derivatives; an array for which that is None is left out.

        Raises:
            ValueError: it has another structure, or an array another shape.
        """
        found = np.zeros(self.vector.size)
        for (_, path, shape, place), (_, _, x) in zip(self._parts, self.blocks(tree, what), strict=True):
            if x is None:
                self.left_out[place] = True
                continue
            value = read(x)
            if value.shape != shape and (value.size != 1 or found[place].size != 1):
                raise ValueError(
                    f"gradcheck: {what} gave an array of shape {value.shape} for {path}, which has {shape}"
                )
            found[place] = value.ravel()
        return found

    def names(self, index: int) -> str:
        """Return what an element of the vector is called."""
        for _, path, shape, place in self._parts:
            if place.start <= index < place.stop:
                inside = np.unravel_index(index - place.start, shape) if shape else ()
                return f"{path}[{', '.join(map(str, inside))}]" if inside else path
        raise IndexError(index)

    def places(self) -> list[slice]:
        """Return the place of each leaf in the vector."""
        return [place for *_, place in self._parts]


def _in_place_of(tree: Any, model: Any, what: str) -> Iterator[Any]:
    """Yield what stands in `tree` in the place of each leaf of `model`."""
    if isinstance(model, dict):
        if not isinstance(tree, dict) or tree.keys() != model.keys():
            raise ValueError(f"gradcheck: {what} must have the keys {list(model)}, got {_kind(tree)}")
        for key in model:
            yield from _in_place_of(tree[key], model[key], what)
    elif isinstance(model, (list, tuple)):
        if tree is None:
            yield from [None] * len(flatten(model, arrays=False)[0])
            return
        if not hasattr(tree, "__len__") or len(tree) != len(model):
            raise ValueError(
                f"gradcheck: {what} must have {len(model)} parts, as {_kind(model)} has, got {_kind(tree)}"
            )
        for part, like in zip(tree, model, strict=True):
            yield from _in_place_of(part, like, what)
    else:
        yield tree


def _kind(tree: Any) -> str:
    size = (
        f" of {len(tree)}"
        if isinstance(tree, (list, tuple, dict))
        else f" of shape {list(tree.shape)}"
        if hasattr(tree, "shape")
        else ""
    )
    return f"a {type(tree).__name__}{size}"


def _spacing(x: Any) -> float:
    """Return the distance from 1.0 to the next number of an array's type."""
    if not is_array(x) and not isinstance(x, np.generic):
        return DOUBLE
    above = read(maker(x)(1.0 + 2.0 ** -np.arange(1.0, 53.0)))
    return 2.0 ** -int(np.count_nonzero(above > 1.0))
