"""The functions of a sequence, typed for lists that mix `Value`s and numbers: `sum([x, 2])` is a `Value`.

They are those of `ops`, the same objects. `ops` does not know `Value`: the type of a result follows there from the
types of the operands, and a type checker cannot find it in a mixed list. Here the result is named.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, SupportsFloat, overload

from .engine import Number, Value
from .ops import Op

__all__ = ["dot", "logsumexp", "mean", "softmax", "sum", "take"]

if TYPE_CHECKING:

    class SequenceOp(Op):
        """An operation of the table that takes a sequence of operands."""

        @overload  # type: ignore[override]  # the types of `Op.__call__` are those of any operand
        def __call__(self, *args: SupportsFloat | Iterable[SupportsFloat], **options: SupportsFloat) -> float: ...  # type: ignore[overload-overlap]
        @overload
        def __call__(self, *args: Number | Iterable[Number], **options: Number) -> Value: ...
        def __call__(self, *args: Any, **options: Any) -> Any: ...

    class Take(Op):
        """The operation `take`, which returns a list if it is given rows."""

        def __call__(self, xs: Iterable[Any], index: Any) -> Any: ...  # type: ignore[override]

    dot: SequenceOp
    logsumexp: SequenceOp
    sum: SequenceOp
    take: Take

    @overload
    def mean(xs: Iterable[SupportsFloat]) -> float: ...  # type: ignore[overload-overlap]
    @overload
    def mean(xs: Iterable[Number]) -> Value: ...
    def mean(xs: Iterable[Any]) -> Any:
        """Return the arithmetic mean of a sequence."""

    @overload
    def softmax(xs: Iterable[SupportsFloat]) -> list[float]: ...  # type: ignore[overload-overlap]
    @overload
    def softmax(xs: Iterable[Number]) -> list[Value]: ...
    def softmax(xs: Iterable[Any]) -> list[Any]:
        """Return exp(x_i) / sum_j exp(x_j) for each element of a sequence."""

else:
    from .ops import dot, logsumexp, mean, softmax, sum, take
