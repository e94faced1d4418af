"""`RMSprop`: gradient descent, with each step divided by the square root of a running mean of squared gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Never

from ..engine import Value
from ..ops import div, sqrt
from .optimizer import Optimizer, refuse_options

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012): p -= lr * g / (sqrt(v) + eps), where v is a running mean of g * g.

    Here g = p.grad + weight_decay * p, and v = alpha * v + (1 - alpha) * g * g, which is 0 at first. With momentum, the
    step is p -= lr * b instead, with the buffer b = momentum * b + g / (sqrt(v) + eps). With maximize, -p.grad stands
    in place of p.grad.

    Args:
        parameters: the `Value`s to train, which must be leaves.
        lr: learning rate.
        alpha: decay rate of v, at least 0 and less than 1.
        eps: added to the denominator.
        weight_decay: strength of the L2 penalty.
        momentum: decay rate of the buffer b; 0 for no momentum.
        maximize: whether to make the loss larger instead of smaller.

    Raises:
        TypeError: `parameters` is not a sequence of `Value`s, or `maximize` is not True or False.
        ValueError: `parameters` is empty, contains a computed node or the same leaf twice, or a number is out of range.

    >>> p = Value(1.0)
    >>> p.grad = 2.0
    >>> RMSprop([p], lr=0.1, alpha=0.75).step(); round(p.data, 6)
    0.8
    """

    options = ("lr", "alpha", "eps", "weight_decay", "momentum", "maximize")
    state_names = ("square_avg", "momentum_buffer")
    nonnegative = ("square_avg",)

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        *,
        maximize: bool = False,
        **wrong: Never,
    ) -> None:
        refuse_options(self, wrong)
        super().__init__(parameters, lr)
        self.alpha = self._checked_option("alpha", alpha)
        self.eps = self._checked_option("eps", eps)
        self.weight_decay = self._checked_option("weight_decay", weight_decay)
        self.momentum = self._checked_option("momentum", momentum)
        self.maximize = self._checked_option("maximize", maximize)

    def update(self, p: Value, state: dict[str, float]) -> None:
        """Change `p.data` by one step, and change `state`, which has the numbers that the optimiser keeps for `p`."""
        g = p.grad + self.weight_decay * p.data
        state["square_avg"] = v = self.alpha * state["square_avg"] + (1.0 - self.alpha) * g * g
        change = div(g, sqrt(v) + self.eps)
        if self.momentum:
            state["momentum_buffer"] = change = self.momentum * state["momentum_buffer"] + change
        p.data -= self.lr * change
