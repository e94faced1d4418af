"""Type signatures for `sum`, `dot` and other functions of sequences: if x is a `Value`, so is `sum([x, 2])`.

The functions are the same objects as in `ops`. The signatures in `ops` cannot name `Value`, because `engine`, which
defines it, imports `ops`. With the signatures in `ops`, a type checker infers the type of a result from the type of the
operands. But in a list of `Value`s and numbers the operands have no common type, so it needs the signatures of this
module.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, SupportsFloat, overload

from .engine import Number, Value
from .ops import Op

__all__ = ["dot", "log_softmax", "logsumexp", "mean", "softmax", "sum", "take"]

if TYPE_CHECKING:

    class SequenceOp(Op):
        """An operation of `micrograd_cn.ops` that takes a sequence of operands."""

        @overload  # type: ignore[override]  # `Op.__call__` has types for any operands
        def __call__(self, *args: SupportsFloat | Iterable[SupportsFloat], **options: SupportsFloat) -> float: ...  # type: ignore[overload-overlap]
        @overload
        def __call__(self, *args: Number | Iterable[Number], **options: Number) -> Value: ...
        def __call__(self, *args: Any, **options: Any) -> Any: ...

    class Take(Op):
        """The operation `take(xs, index)`: the item of `xs` at the position `index`, or nan if there is none.

        If `xs` is a list of lists, a call returns the inner list at this position.
        """

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
        """Return the arithmetic mean of the sequence xs."""

    @overload
    def softmax(xs: Iterable[SupportsFloat]) -> list[float]: ...  # type: ignore[overload-overlap]
    @overload
    def softmax(xs: Iterable[Number]) -> list[Value]: ...
    def softmax(xs: Iterable[Any]) -> list[Any]:
        """Return a list of exp(x_i) / sum_j exp(x_j) for each x_i of the sequence xs."""

    @overload
    def log_softmax(xs: Iterable[SupportsFloat]) -> list[float]: ...  # type: ignore[overload-overlap]
    @overload
    def log_softmax(xs: Iterable[Number]) -> list[Value]: ...
    def log_softmax(xs: Iterable[Any]) -> list[Any]:
        """Return a list of x_i - logsumexp(xs) for each x_i of the sequence xs."""

else:
    from .ops import dot, log_softmax, logsumexp, mean, softmax, sum, take
