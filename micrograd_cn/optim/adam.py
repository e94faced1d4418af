"""`Adam` and `AdamW`: running means of the gradient and of its square, with bias correction."""

from __future__ import annotations

from collections.abc import Iterable

from ..engine import Value
from ..ops import div, sqrt
from .optimizer import Optimizer

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015): p -= lr * m / (1 - b1**t) / (sqrt(v / (1 - b2**t)) + eps) at step t, counted from 1.

    m = b1 * m + (1 - b1) * g and v = b2 * v + (1 - b2) * g * g are running means, both 0 at first, and
    g = p.grad + weight_decay * p. The divisions by 1 - b**t correct for that start.

    Args:
        parameters: leaves.
        lr: learning rate.
        betas: (b1, b2), the decay rates of m and v, from 0 to less than 1.
        eps: added to the denominator.
        weight_decay: strength of the L2 penalty.

    Raises:
        TypeError: `parameters` is not a sequence of `Value`s, or `betas` is not two numbers.
        ValueError: `parameters` is empty, one is not a leaf or is there twice, or a number is out of range.

    >>> p = Value(1.0)
    >>> p.grad = 2.0
    >>> Adam([p], lr=0.1).step(); round(p.data, 6)
    0.9
    """

    options = ("lr", "betas", "eps", "weight_decay")
    state_names = ("exp_avg", "exp_avg_sq")
    nonnegative = ("exp_avg_sq",)

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        try:
            first, second = betas
        except (TypeError, ValueError) as error:
            raise type(error)(f"{type(self).__name__}: betas must be two numbers, got {betas!r}") from None
        self.betas = (self._below_1("betas[0]", first), self._below_1("betas[1]", second))
        self.eps = self._at_least_0("eps", eps)
        self.weight_decay = self._at_least_0("weight_decay", weight_decay)

    def update(self, p: Value, state: dict[str, float]) -> None:
        """Change one parameter by its gradient, and its state."""
        self._descend(p, state, p.grad + self.weight_decay * p.data)

    def _descend(self, p: Value, state: dict[str, float], g: float) -> None:
        beta1, beta2 = self.betas
        state["exp_avg"] = m = state["exp_avg"] + (1.0 - beta1) * (g - state["exp_avg"])
        state["exp_avg_sq"] = v = beta2 * state["exp_avg_sq"] + (1.0 - beta2) * g * g
        scale = sqrt(1.0 - beta2**self.steps)
        p.data -= div(self.lr / (1.0 - beta1**self.steps) * m, sqrt(v) / scale + self.eps)


class AdamW(Adam):
    """Adam with decoupled weight decay: p -= lr * weight_decay * p, then Adam's step (Loshchilov & Hutter 2019).

    Arguments and errors are those of `Adam`, but here weight_decay is no part of g, and is 0.01 by default.

    >>> p = Value(1.0)
    >>> AdamW([p], lr=0.1).step(); round(p.data, 6)
    0.999
    """

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)

    def update(self, p: Value, state: dict[str, float]) -> None:
        """Change one parameter by its gradient, and its state."""
        p.data *= 1.0 - self.lr * self.weight_decay
        self._descend(p, state, p.grad)
