"""Find the entries of a gradient, Jacobian or Hessian in a graph, and say where they are in the matrix."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from typing import Any, Literal, Self

from ..derivatives.selected import Gates
from ..derivatives.sparse import Sparse, sparse_gradient, sparse_hessian, sparse_jacobian
from ..engine import Value, traverse
from ..gradients import gradients
from .data.arrays import FlatNumbers
from .data.captured import CapturedValue
from .data.rows import writable_address
from .threads.forks import cached_property

Kind = Literal["gradient", "jacobian", "hessian", "value_and_grad"]


class Structure(tuple[tuple[int, ...], tuple[int, ...]]):
    """The positions of a sparse matrix's entries: a tuple of row indices, and a tuple of column indices.

    IPOPT's callbacks and scipy.sparse take such a pair.

    Attributes:
        shape: the number of rows of the matrix, and the number of its columns.
        constant: for each entry, whether its value is the same for all values of inputs and parameters.
        entries: the number of entries.

    >>> rows, columns = Structure((0, 1), (1, 0), (2, 2), (True, False))
    >>> rows, columns
    ((0, 1), (1, 0))
    """

    shape: tuple[int, int]
    constant: tuple[bool, ...]
    entries: int

    def __new__(
        cls, rows: Iterable[int], columns: Iterable[int], shape: tuple[int, int], constant: Iterable[bool]
    ) -> Self:
        """Return the pair of row indices and column indices, with the attributes `shape` and `constant`."""
        self = super().__new__(cls, (tuple(rows), tuple(columns)))
        self.shape, self.constant = shape, tuple(constant)
        self.entries = len(self.constant)
        return self

    def __reduce__(self) -> Any:
        return Structure, (*self, self.shape, self.constant)

    def scattered(self, flat: FlatNumbers, n: int, numpy: Any, out: Any) -> Any:
        """Return n whole matrices, including zeros, one for each of n samples.

        `flat` has the entries of each matrix at the positions of this structure, one matrix after the other. `numpy`
        and `out` are as for `CompiledDerivative.shaped`.
        """
        (rows, columns), (height, width) = self, self.shape
        count, size = self.entries, height * width
        if numpy and out is None:
            out = numpy.empty((n, height, width))
        if out is None:
            each = [flat[k * count : (k + 1) * count].tolist() for k in range(n)]
            return [Sparse(values, list(rows), list(columns), (height, width)).dense() for values in each]
        if writable_address(out, n * size):
            view = memoryview(out).cast("B")
            if count and (numpy := sys.modules.get("numpy")):
                whole = numpy.frombuffer(view).reshape(n, size)
                whole.fill(0.0)
                whole[:, numpy.frombuffer(self._places, "q")] = numpy.frombuffer(flat).reshape(n, count)
                return out
            view[:] = bytes(len(view))
            numbers = view.cast("d")
            for k, place in enumerate(self._places):
                numbers[place::size] = memoryview(flat)[k::count]
        return out

    @cached_property
    def _places(self) -> array[int]:
        """The index of each entry in the dense matrix, whose numbers are stored row after row."""
        (rows, columns), width = self, self.shape[1]
        return array("q", [i * width + j for i, j in zip(rows, columns, strict=True)])


def split(found: Any, numpy: Any) -> tuple[Any, Any]:
    """Return the first number of each row of `found`, and the other numbers of each row.

    `found` and the results are numpy arrays if `numpy` is the module numpy, otherwise lists.
    """
    if numpy:
        return found[:, 0], found[:, 1:]
    return [row[0] for row in found], [row[1:] for row in found]


def as_list(numbers: array[float], numpy: Any) -> Any:
    """Return numbers as a list, or as a numpy array with the memory of `numbers` if `numpy` is the module numpy.

    >>> as_list(array("d", [1.0]), None)
    [1.0]
    """
    return numpy.frombuffer(numbers) if numpy else numbers.tolist()


def with_leaves_of_captured(derivatives: dict[Value, float]) -> dict[Value, float]:
    """Replace derivatives with respect to captured values by those with respect to the leaves that they depend on.

    `derivatives` is a dict from leaves of a program to the derivatives with respect to them. Some of these leaves may
    be `CapturedValue`s. A `CapturedValue` stands for a node that was computed from other leaves before the compiled
    function was called. Return a new dict without `CapturedValue`s: by the chain rule, the derivative with respect to
    each of them is passed on to the leaves from which its node was computed.

    >>> w = Value(2)
    >>> with_leaves_of_captured({w: 1.0, CapturedValue(w * 3): 10.0}) == {w: 31.0}
    True
    """
    found = {x: slope for x, slope in derivatives.items() if not isinstance(x, CapturedValue)}
    for x, slope in derivatives.items():
        if isinstance(x, CapturedValue):
            leaves = [leaf for leaf in traverse(x.original)[1] if leaf.requires_grad]
            for leaf, partial in zip(leaves, gradients(x.original, leaves), strict=True):
                found[leaf] = found.get(leaf, 0.0) + slope * partial
    return found


def entries(outputs: list[Value], kind: Kind, variables: list[Value], lower: bool, gates: Gates) -> Sparse:
    """Return those entries of a derivative of `outputs` that can be nonzero, and their positions.

    The arguments are those of `Program.derivative`, and `gates` says which gates the entries have. A gate replaces an
    infinite factor by 0 where no gradient reaches a node. Without all gates, an entry may be nan where it should be a
    number.
    """
    if kind == "jacobian":
        return sparse_jacobian(outputs, variables, gates)
    [output] = outputs
    if kind == "hessian":
        return sparse_hessian(output, variables, lower, gates)
    values = sparse_gradient(output, variables, gates)
    if kind == "value_and_grad":  # the output comes first
        values = [output, *values]
    n = len(values)
    return Sparse(values, [0] * n, list(range(n)), (1, n))
