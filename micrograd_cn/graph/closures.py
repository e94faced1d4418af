"""The operation of a node that is made as in micrograd: `out = Value(t, (x,), "tanh"); out._backward = closure`.

The closure reads `out.grad` and adds to the gradients of the operands. `backward()` calls the closure, as micrograd
does, so the closure may use `out.grad` in any way, for example clip it. The engine sets an operand's gradient to 0
before the call, and afterwards adds the gradient that the closure has left there to the sum from other nodes. So a
closure that assigns, as in `x.grad = 2 * x.data * out.grad`, where micrograd needs `+=`, gives the right gradient here,
even if x is used twice. In micrograd, it overwrites what other nodes have added. Pictures, and other code that reads
local derivatives, get the number that the closure adds to an operand's gradient, divided by `out.grad`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from keyword import iskeyword
from typing import Any, NoReturn

from ..ops.number import number
from ..ops.operation import Op
from ..ops.registry import OPS
from ..ops.traits import Notation, Smoothness

__all__ = ["Closure", "sends_nothing"]


class Closure(Op):
    """The operation of one node, whose `_backward` is a function that the user has written.

    Nothing but this function says what the operation is, so it cannot be compiled, and has neither second
    derivatives nor a sparse Jacobian.

    Args:
        symbol: the name of the operation, which was passed as `_op` when the node was made.
        backward: the user's function; None until it is assigned.

    >>> from micrograd_cn import Value
    >>> x = Value(3)
    >>> y = Value(x.data**2, (x,), "square")
    >>> def backward():
    ...     x.grad += 2 * x.data * y.grad
    >>> y._backward = backward
    >>> (y + x).backward()
    >>> y.op, y.partials, x.grad
    (<operation square>, (6.0,), 7.0)
    """

    def __init__(self, symbol: str, backward: Callable[[], object] | None = None) -> None:
        name = symbol if symbol.isidentifier() and not iskeyword(symbol) else "made_by_hand"
        super().__init__(
            name, self._refuse, lambda y, *xs: self._refuse(*xs), smoothness=Smoothness(rounding=_usual_rounding)
        )
        self.notation = Notation(symbol, text=lambda *texts: f"{symbol or '?'}({', '.join(texts)})")
        self.backward = backward

    def sent(self, node: Any, upstream: float) -> list[float | None]:
        """Return what the closure adds to the gradient of each operand if the gradient of `node` is `upstream`.

        The list has None for an operand whose gradient the closure does not touch. The gradients of all nodes are the
        same after the call as before it.

        Raises:
            RuntimeError: no closure has been assigned to `node._backward`.
        """
        if self.backward is None:
            raise RuntimeError(
                f"backward() needs out._backward of {node!r}, which was made by Value(data, operands, "
                f"{self.notation.symbol!r}): assign a function that adds to the operands' grad, or lambda: None if no "
                "gradient is to flow to them"
            )
        operands, own = node.operands, node.grad
        before = [x.grad for x in operands]
        untouched = [float("0") for _ in operands]  # distinct objects: the closure has left alone those that remain
        for x, zero in zip(operands, untouched, strict=True):
            x.grad = zero
        node.grad = upstream
        try:
            self.backward()
            added = [x.grad for x in operands]
        finally:
            node.grad = own
            for x, grad in zip(operands, before, strict=True):
                x.grad = grad
        return [None if grad is zero else number(grad) for grad, zero in zip(added, untouched, strict=True)]

    def partials_of(self, node: Any) -> tuple[float | None, ...]:
        """Return the local derivatives of `node`, from what its closure adds to the gradients of the operands.

        A local derivative is what the closure adds if the gradient of `node` is 1. If the closure is not linear, for
        example because it clips gradients, it is instead what the closure adds for the gradient that the node has now,
        divided by this gradient. It is None for an operand whose gradient the closure does not touch, and nan for all
        operands until a closure is assigned.
        """
        if self.backward is None:
            return (math.nan,) * len(node.operands)
        partials = self.sent(node, 1.0)
        upstream = node.grad
        if upstream and upstream != 1.0 and math.isfinite(upstream):
            for slot, term in enumerate(self.sent(node, upstream)):
                partial = partials[slot]
                if term is None or partial is None or not math.isclose(term, partial * upstream, rel_tol=1e-12):
                    partials[slot] = None if term is None else term / upstream
        return tuple(partials)

    def instead(self, count: int) -> str:
        """Return a string that says what to write instead of making a node with `count` operands by hand.

        >>> print(Closure("**2").instead(1))
        pow is built in: delete your method, and write x ** 2
        """
        row, number_in_name = _built_in(self.notation.symbol, count)
        if row:
            written = row.text(*"xyz"[:count], *number_in_name)
            return f"{row.name} is built in: delete your method, and write {written}"
        return (
            "write the operation as a row: from micrograd_cn import Op, tanh\n"
            'own = Op("own", lambda x: tanh(x), (lambda y, x: 1.0 - y * y,))  # the value, and its derivative\n'
            "out = own(x)"
        )

    def refusal(self, count: int) -> str:
        """Return the error message for compiling a node that was made by hand, or for a graph of its derivatives.

        `count` is the number of the node's operands.
        """
        return (
            f"{self.notation.symbol or 'a node'} was made by hand, with a _backward of its own, so it cannot be "
            f"compiled, and has no second derivatives and no sparse Jacobian; {self.instead(count)}"
        )

    def _refuse(self, *operands: Any) -> NoReturn:
        raise TypeError(self.refusal(len(operands)))


def _built_in(symbol: str, count: int) -> tuple[Op | None, list[str]]:
    """Return the built-in operation that `symbol`, such as "ReLU" or "**2", means, and the numbers in `symbol`.

    The numbers are a list with one text, such as "2", or an empty list. `count` is how many operands the node has, not
    counting such a number. The operation is None if no built-in operation fits `symbol` and `count`.
    """
    name = symbol.strip().lower()
    stem = name.rstrip("0123456789.")
    stem = stem.removesuffix("-") or stem
    found = name[len(stem) :]
    for text, numbers in ((name, []), *([(stem, [found])] if found else [])):
        for op in OPS.values():
            if text in (op.name, op.notation.symbol) and count + len(numbers) in op.arities:
                return op, numbers
    return None, []


def _usual_rounding(y: float, *xs: float) -> tuple[float, ...]:
    """Return the rounding errors that a gradient check allows for the value y and each partial of a closure.

    They are relative errors in units of 1e-15: a number for y, and then one for each operand in xs. It is not known how
    the closure computes. So each number may have a relative error of 4e-15. The value y may also have an absolute error
    of 0.25e-15, which comes from rounding an intermediate result near 1.
    """
    return (4.0 + 0.25 / math.fabs(y) if y else 4.0, *[4.0 for _ in xs])


def sends_nothing(closure: object) -> bool:
    """Return whether `closure` is a function that does nothing, such as `lambda: None`, which micrograd's leaves have.

    >>> sends_nothing(lambda: None), sends_nothing(lambda: print())
    (True, False)
    """
    code = getattr(closure, "__code__", None)
    return code is not None and code.co_code == _NOTHING.co_code


_NOTHING = (lambda: None).__code__
