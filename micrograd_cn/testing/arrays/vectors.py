"""Pack a structure of numbers and arrays into one vector of doubles, and unpack the vector into such a structure.

The unpacked numbers and arrays have the types of the packed ones, such as float32.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..inputs.libraries import (
    array_maker,
    copy_doubles,
    empty_maker,
    is_any_array,
    is_tensor,
    library_of,
    number_kind,
    to_doubles,
    to_numpy,
)
from ..inputs.pytrees import describe, flatten_pytree, flatten_up_to, has_array_parts, leaves, parts

__tracebackhide__ = True

Vector: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.intp]
T = TypeVar("T")
DOUBLE_EPS = 2.0**-52  # the distance from 1.0 to the next double

NUMPY_TYPES = frozenset({np.ndarray, np.float64, np.float32})  # `to_doubles` of these does no more than numpy.array

CHUNK_SIZE = 2**13  # the size of the chunks in which long vectors are processed, so they stay in the processor's cache

FLOAT16_EPS = 2.0**-10  # the distance from 1.0 to the next float16; bfloat16 has more exponents, and a larger distance


class Packed:
    """A structure, such as the arguments of a function, whose floating-point numbers are packed into one vector.

    The structure is nested from lists, dicts and so on; its leaves are the numbers and arrays in them. Its variables
    are the leaves that hold floating-point numbers, unless `varies` excludes them. All other leaves are constants. The
    vector holds the numbers of the variables, one variable after the other; the slice of the vector that belongs to a
    variable is the variable's place. The path of a leaf is the text by which messages name it, such as "x['w']".

    Args:
        tree: the structure, nested from lists, tuples, dicts, dataclasses and pytrees; or a single number or array.
        name: what messages call the structure, or a list of the names of its parts.
        varies: takes the path and the value of a leaf, and returns whether it may be a variable.

    Attributes:
        template: the structure that was packed.
        names: the names of its parts, if they were given.
        vector: the numbers of the variables.
        missing: the paths of the variables for which a user's function gave None as the derivative.
        constants: the leaves that are constant, with their paths.
        has_array_parts: whether there are complex or sparse arrays, which are rebuilt from their parts when unpacked.
        writable: whether `empty_tree` works, since numpy can fill arrays of the types of all variables.
        in_doubles: whether all variables are doubles.
        eps: the distance from 1.0 to the next number, in the coarsest type of the variables.
        smallest_normal: about the smallest number that the coarsest type holds with all its digits.
        smallest_subnormal: about the smallest positive number that the coarsest type holds.

    Raises:
        TypeError: a leaf seems to hold floating-point numbers, but cannot be converted to doubles.

    >>> packed = Packed({"w": np.array([1.0, 2.0]), "b": 3.0}, "x")
    >>> packed.vector, packed.element_name(1), packed.unpack(np.zeros(3))
    (array([1., 2., 3.]), "x['w'][1]", {'w': array([0., 0.]), 'b': 0.0})
    """

    def __init__(
        self, tree: Any, name: str | Sequence[str], varies: Callable[[str, Any], bool] = lambda path, leaf: True
    ) -> None:
        if isinstance(name, str):
            named, self._rebuild = flatten_pytree(tree, name)
        else:
            named, self._rebuild = flatten_pytree(tree)
            named = [(re.sub(r"^\[(\d+)\]", lambda found: name[int(found[1])], path), x) for path, x in named]
        self._leaves, self._paths = [x for _, x in named], [path for path, _ in named]
        self.has_array_parts = has_array_parts(tree)
        self.names: Sequence[str] = () if isinstance(name, str) else name
        self.template, self._is_leaf = tree, parts(tree) is None
        self._is_tuple_of_leaves = type(tree) is tuple and all(parts(x) is None for x in tree)
        self._parts: list[
            tuple[int, str, tuple[int, ...], slice]
        ] = []  # index, path, shape and place of a variable leaf
        self.constants: list[tuple[str, Any]] = []
        self.missing: set[str] = set()
        values, start, self.eps = [np.zeros(0)], 0, DOUBLE_EPS
        for i, (path, x) in enumerate(named):
            found = None if x is None else number_kind(x)
            if found != "float" or not varies(path, x):
                self.constants.append((path, x))
                continue
            try:
                value = to_doubles(x)
            except (TypeError, ValueError) as error:
                raise TypeError(
                    f"gradcheck: {path} is {type(x).__name__} {x!r}, neither a number nor an array"
                ) from error
            self._parts.append((i, path, value.shape, slice(start, start + value.size)))
            values.append(value.ravel())
            start += value.size
            self.eps = max(self.eps, _machine_epsilon(x))
        self.vector: Vector = np.concatenate(values)
        self._is_single = self._is_leaf and len(self._parts) == 1
        blanks = [empty_maker(self._leaves[i]) for i, *_ in self._parts]
        self._empty_makers = [make for make in blanks if make is not None]
        self.writable = len(self._empty_makers) == len(blanks)
        self.in_doubles = self.eps == DOUBLE_EPS
        kinds = {to_numpy(self._leaves[i]).dtype for i, *_ in self._parts}
        self._all_float32 = kinds == {np.dtype(np.float32)}  # then numpy rounds the whole vector at once
        self._dtype = np.float32 if self._all_float32 else np.float64
        # None for an array of numpy that a reshaped slice of a vector of the type `_dtype` can stand for
        self._makers = [
            (place, shape, None if self._is_plain(self._leaves[i]) else array_maker(self._leaves[i]))
            for i, _, shape, place in self._parts
        ]
        # Tensors of float16 and bfloat16 are converted from a vector of doubles, so they never share memory with it.
        self._is_copied = all(
            is_tensor(x) and x.element_size() <= 2 for x in (self._leaves[i] for i, *_ in self._parts)
        )
        self._rounded_buffer: Vector | None = None
        self.smallest_normal = 2.0**-14 if self.eps == FLOAT16_EPS else 1e-37 if self.eps > DOUBLE_EPS else 1e-307
        self.smallest_subnormal = self.smallest_normal * self.eps
        self._variable_indices = varying = [i for i, *_ in self._parts]
        self._constant_arrays = [
            i
            for i, x in enumerate(self._leaves)
            if i not in varying and library_of(x) in ("numpy", "torch") and is_any_array(x)
        ]

    def unpack(self, vector: Vector) -> Any:
        """Return the structure with the numbers of `vector` in its variables: its floating-point numbers and arrays."""
        return self.with_variables(self._make_leaves(vector.astype(self._dtype, copy=not self._is_copied)))

    def unpack_later(self, vector: Vector) -> tuple[Callable[[], Any], Vector]:
        """Return a function without arguments that unpacks `vector`, and a copy of `vector` with rounded numbers.

        The numbers are rounded to the types of the structure's variables, which are the floating-point leaves that are
        not constants. The function returns the structure with the rounded numbers in its variables. The next call of
        `unpack_later` may overwrite the rounded copy. If all variables are doubles, `vector` itself is returned.
        """
        if self.in_doubles:
            return functools.partial(self.unpack, vector), vector
        if self._rounded_buffer is None:
            self._rounded_buffer = np.empty(self.vector.size)
        typed = vector.astype(self._dtype, copy=not self._is_copied)
        if self._all_float32:
            self._rounded_buffer[...] = typed
            return lambda: self.with_variables(self._make_leaves(typed)), self._rounded_buffer
        made = self._make_leaves(typed)
        for x, (*_, place) in zip(made, self._parts, strict=True):
            copy_doubles(x, self._rounded_buffer[place])
        return lambda: self.with_variables(made), self._rounded_buffer

    def empty_tree(self) -> tuple[Any, list[NDArray[Any]]]:
        """Return the structure with uninitialised arrays, and flat views of them through which numpy can fill them.

        This works only if `writable` is True.
        """
        made = [make() for make in self._empty_makers]
        return self.with_variables([array for array, _ in made]), [flat for _, flat in made]

    def split(self, vector: Vector) -> list[NDArray[Any]]:
        """Return the numbers of `vector` as a list of flat arrays, one of the right type for each variable.

        The variables are the floating-point leaves that are not constants.
        """
        return [vector[place].astype(to_numpy(self._leaves[i]).dtype) for i, *_, place in self._parts]

    def flat_leaves(self, tree: Any) -> list[NDArray[Any]]:
        """Return the variables in `tree`, its floating-point leaves that are not constants, as a list of flat arrays.

        `tree` is a structure with the same leaves as the one that was packed, but with other numbers.

        Raises:
            ValueError: an array of `tree` has another size than the packed array at the same position.
        """
        found = [to_numpy(x).reshape(-1) for x in self.variables(tree)]
        if [x.size for x in found] != [place.stop - place.start for place in self.slices()]:
            raise ValueError("an array has another size")
        return found

    def _make_leaves(self, vector: NDArray[Any]) -> list[Any]:
        """Return new numbers and arrays for the leaves that are not constant, filled with the numbers of `vector`.

        Some of the arrays share memory with `vector`.
        """
        return [
            vector[place].reshape(shape) if make is None else make(vector[place].reshape(shape))
            for place, shape, make in self._makers
        ]

    def _is_plain(self, leaf: Any) -> bool:
        """Return whether a leaf is an array of numpy that is contiguous, and has the type of the unpacked vectors."""
        return type(leaf) is np.ndarray and leaf.dtype == self._dtype and leaf.flags.c_contiguous

    def with_variables(self, variables: Sequence[Any]) -> Any:
        """Return the structure `template` with `variables` in place of its variables.

        The variables are the floating-point leaves that are not constants. Arrays that are constants are copied.
        """
        if len(variables) == len(self._leaves):  # there are no constants
            return tuple(variables) if self._is_tuple_of_leaves else self._rebuild(list(variables))
        found = list(self._leaves)
        for i, x in zip(self._variable_indices, variables, strict=True):
            found[i] = x
        for i in self._constant_arrays:  # copies, in case the function changes them
            found[i] = array_copy(found[i])
        return self._rebuild(found)

    def variables(self, tree: Any) -> list[Any]:
        """Return the variables in `tree`, which are its floating-point leaves that are not constants.

        `tree` is a structure with the same leaves as the one that was packed, but with other numbers.
        """
        found = [tree] if self._is_leaf else tree if self._is_tuple_of_leaves else leaves(tree)
        return [found[i] for i in self._variable_indices]

    def rounded(self, vector: Vector) -> Vector:
        """Return `vector` with each number rounded to the type of the variable that it belongs to, such as float32."""
        return vector if self.in_doubles else self.unpack_later(vector)[1].copy()

    def pack(self, tree: Any) -> Vector:
        """Return the numbers of the variables in `tree` as one vector.

        The variables are the floating-point leaves that are not constants. `tree` is a structure with the same leaves
        as the one that was packed, but with other numbers.
        """
        if self._is_single:
            return _flat_doubles(tree)
        return flat_doubles(self.variables(tree), self.vector.size)

    def matched_parts(self, tree: Any, what: str) -> Iterator[tuple[slice, tuple[int, ...], Any]]:
        """Yield, for each variable, its slice of the vector, its shape, and the part of `tree` at the same position.

        The variables are the floating-point leaves that are not constants.

        Args:
            tree: a structure that is built like `template`, but may have further structures in place of leaves.
            what: what messages call `tree`.
        """
        if self._is_tuple_of_leaves and type(tree) is tuple and len(tree) == len(self._leaves):  # most often
            found: Sequence[Any] = tree
        else:
            found = list(flatten_up_to(tree, self.template, what))
        for i, _, shape, place in self._parts:
            yield place, shape, found[i]

    def first_change(self, tree: Any, vector: Vector) -> str | None:
        """Return a string that names the first leaf of `tree` that a function has changed; None if it has changed none.

        Before the call of the function, the variables in `tree` had the numbers of `vector`, and its constant arrays
        were equal to those of `template`.
        """
        now = self.pack(tree)
        other = now != vector
        if other.any() and (other := other & ~(np.isnan(now) & np.isnan(vector))).any():
            i = int(np.argmax(other))
            return f"{self.element_name(i)} from {vector[i]:.6g} to {now[i]:.6g}"
        if not self._constant_arrays:
            return None
        found = leaves(tree)
        pairs = ((i, to_numpy(found[i]), to_numpy(self._leaves[i])) for i in self._constant_arrays)
        return next((self._paths[i] for i, x, before in pairs if x.tobytes() != before.tobytes()), None)

    def pack_derivative(self, tree: Any, what: str) -> Vector:
        """Return the vector of derivatives that a user's function gave; None stands for a derivative of 0.

        Args:
            tree: the derivatives, in a structure like `template`.
            what: what messages call the derivatives.

        Raises:
            ValueError: `tree` has another structure, an array in it has another shape, or a derivative is complex or
                not a number.
        """
        found = np.empty(self.vector.size)
        for (_, path, shape, place), (_, _, x) in zip(self._parts, self.matched_parts(tree, what), strict=True):
            if x is None:
                self.missing.add(path)
                found[place] = 0.0
                continue
            try:
                value = to_numpy(x)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"gradcheck: {what} gave {describe(x)} for {path}, which is no array of numbers"
                ) from error
            if np.iscomplexobj(value):
                raise ValueError(f"gradcheck: {what} gave complex numbers for {path}, which is real")
            if value.shape != shape and (value.size != 1 or found[place].size != 1):
                raise ValueError(
                    f"gradcheck: {what} gave an array of shape {value.shape} for {path}, which has {shape}"
                )
            found[place] = value.reshape(-1)
        return found

    def element_name(self, index: int) -> str:
        """Return the name of the element of the vector with this index, such as "x[0, 1]"."""
        for _, path, shape, place in self._parts:
            if place.start <= index < place.stop:
                inside, rest = list[str](), index - place.start
                for n in reversed(shape):
                    rest, k = divmod(rest, n)
                    inside.append(str(k))
                return f"{path}[{', '.join(reversed(inside))}]" if inside else path
        raise IndexError(index)

    def transposed_index(self, index: int) -> int:
        """Return the index in the vector that an element has after the matrix that holds the element is transposed.

        `index` is the element's index before. It is returned unchanged if the element is not in a matrix.

        >>> packed = Packed([np.zeros((2, 3))], "x")
        >>> [packed.transposed_index(i) for i in range(6)]
        [0, 2, 4, 1, 3, 5]
        """
        for _, _, shape, place in self._parts:
            if place.start <= index < place.stop and len(shape) == 2:
                i, j = divmod(index - place.start, shape[1])
                return int(place.start + j * shape[0] + i)
        return index

    def leaf_path(self, index: int) -> str:
        """Return the path of the leaf that holds the element of the vector with this index, such as "x['w']"."""
        return next(path for _, path, _, place in self._parts if place.start <= index < place.stop)

    def leaf_slices(self) -> list[tuple[str, slice]]:
        """Return, for each variable, a pair of its path and its slice of the vector.

        The variables are the floating-point leaves that are not constants.
        """
        return [(path, place) for _, path, _, place in self._parts]

    def variable_paths(self, argument: int) -> list[str]:
        """Return the paths of the variables in the argument with the index `argument`.

        The structure must be a tuple of arguments. The variables are its floating-point leaves that are not constants.
        """
        start = sum(len(leaves(tree)) for tree in self.template[:argument])
        inside = range(start, start + len(leaves(self.template[argument])))
        return [path for i, path, *_ in self._parts if i in inside]

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the shape of each variable.

        The variables are the floating-point leaves that are not constants.
        """
        return [shape for _, _, shape, _ in self._parts]

    def slices(self) -> list[slice]:
        """Return the slice of the vector that belongs to each variable.

        The variables are the floating-point leaves that are not constants.
        """
        return [place for *_, place in self._parts]


def chunks(place: slice) -> Iterator[slice]:
    """Split a slice of a vector into slices of at most `CHUNK_SIZE` elements, and yield these.

    >>> list(chunks(slice(0, 10000)))
    [slice(0, 8192, None), slice(8192, 10000, None)]
    """
    for start in range(place.start, place.stop, CHUNK_SIZE):
        yield slice(start, min(start + CHUNK_SIZE, place.stop))


def draw_from(values: Vector, n: int, random: np.random.Generator) -> Vector:
    """Return a vector of n numbers that are drawn at random from `values`, a vector of at most 256 numbers.

    >>> draw_from(np.array([0.5]), 2, np.random.default_rng(0))
    array([0.5, 0.5])
    """
    indices = random.integers(0, values.size, n, dtype=np.uint8)
    if n <= CHUNK_SIZE:
        return values[indices]
    found = np.empty(n)
    for some in chunks(slice(0, n)):
        np.take(values, indices[some], out=found[some], mode="clip")
    return found


def cached_by_identity(f: Callable[..., T], count: int = 2) -> Callable[..., T]:
    """Return the function `f` of vectors with a cache of its last `count` results.

    A cached result is returned if the function is called with the same vector objects again, which must not have
    changed. Equal vectors do not suffice.

    >>> double = cached_by_identity(lambda x: x + x)
    >>> x = np.ones(1)
    >>> double(x) is double(x), double(x) is double(x.copy())
    (True, False)
    """
    last: list[tuple[tuple[int, ...], tuple[Vector, ...], T]] = []

    def call(*vectors: Vector) -> T:
        key = tuple(map(id, vectors))  # no other vectors have these, as long as the vectors are kept in `last`
        for k, (other, _, found) in enumerate(last):
            if other == key:
                if k:
                    last.insert(0, last.pop(k))
                return found
        found = f(*vectors)
        last.insert(0, (key, vectors, found))
        del last[count:]
        return found

    return call


def concatenated(vectors: list[Vector]) -> Vector:
    """Return the vectors joined to one. If the list has only one vector, remove it and return it without a copy."""
    if len(vectors) == 1:
        return vectors.pop()
    return np.concatenate(vectors) if vectors else np.zeros(0)


def flat_doubles(arrays: Sequence[Any], size: int) -> Vector:
    """Return the numbers of some arrays and numbers as one new vector of doubles, one array after the other.

    `size` is an estimate of the count of numbers, which only chooses the method. Above `CHUNK_SIZE`, each array
    is converted directly into its part of the result, without a temporary copy.

    >>> flat_doubles([np.ones((2, 2)), 5], 5)
    array([1., 1., 1., 1., 5.])
    """
    if len(arrays) == 1:
        return _flat_doubles(arrays[0])
    if size <= CHUNK_SIZE:
        return concatenated([_flat_doubles(x) for x in arrays])
    sizes = [int(np.prod(np.shape(x))) for x in arrays]
    found, start = np.empty(sum(sizes)), 0
    for x, count in zip(arrays, sizes, strict=True):
        copy_doubles(x, found[start : start + count])
        start += count
    return found


def _flat_doubles(x: Any) -> Vector:
    """Return the numbers of an array or number as a new vector of doubles."""
    return (np.array(x, np.float64) if type(x) in NUMPY_TYPES else to_doubles(x)).reshape(-1)


def tied(vector: Vector) -> NDArray[np.bool_]:
    """Return a mask that is True for each number of the vector that is equal to another number of the vector.

    >>> tied(np.array([1.0, np.inf, 1.0, 2.0, np.inf, np.nan, np.nan]))
    array([ True,  True,  True, False,  True, False, False])
    """
    order, found = np.argsort(vector), np.zeros(vector.size, bool)
    in_order = vector[order]
    same = in_order[1:] == in_order[:-1]
    found[order[1:]] = same
    found[order[:-1]] |= same
    return found


def array_copy(x: Any) -> Any:
    """Return a copy of a numpy or PyTorch array."""
    return x.clone() if is_tensor(x) else x.copy()


def _machine_epsilon(x: Any) -> float:
    """Return the distance from 1.0 to the next number in the type of an array or number."""
    if not is_any_array(x) and not isinstance(x, (np.generic, np.ndarray)):
        return DOUBLE_EPS
    kind = type(x), getattr(x, "dtype", None)
    if kind in _epsilons:
        return _epsilons[kind]
    # Take a single element: the maker for a whole array copies its strides, which do not fit another shape.
    element = x.reshape(-1)[:1] if is_any_array(x) and hasattr(x, "reshape") else x
    above = to_doubles(array_maker(element)(1.0 + 2.0 ** -np.arange(1.0, 53.0)))
    found = 2.0 ** -int(np.count_nonzero(above > 1.0))
    if kind[1] is not None:
        _epsilons[kind] = found
    return found


_epsilons: dict[Any, float] = {}  # what `_machine_epsilon` has returned, by the type of an array and its dtype
