"""`Adam` and `AdamW`: running means of the gradient and of its square, with bias correction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Never

from ..engine import Value
from ..ops import div, maximum, sqrt
from .optimizer import Optimizer, refuse_options

__all__ = ["Adam", "AdamW"]

LARGEST = "max_exp_avg_sq"  # PyTorch's name, in the state, for the largest v of all steps up to now


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015): p -= lr * m / (1 - b1**t) / (sqrt(v / (1 - b2**t)) + eps) at step t, counted from 1.

    m = b1 * m + (1 - b1) * g and v = b2 * v + (1 - b2) * g * g are running means, both 0 at first, and
    g = p.grad + weight_decay * p. The division by 1 - b1**t and 1 - b2**t corrects for their start at 0. The step
    number t of a parameter counts only the steps in which the parameter has a gradient.

    With amsgrad, the largest v of all steps up to this one stands in place of v in the denominator (Reddi, Kale & Kumar
    2018). With maximize, -p.grad stands in place of p.grad.

    Args:
        parameters: the `Value`s to train, which must be leaves.
        lr: learning rate.
        betas: (b1, b2), the decay rates of m and v, from 0 to less than 1.
        eps: added to the denominator.
        weight_decay: strength of the L2 penalty.
        amsgrad: whether to use the largest v in the denominator.
        maximize: whether to make the loss larger instead of smaller.

    Raises:
        TypeError: `parameters` is not a sequence of `Value`s, `betas` is not a sequence, or `amsgrad` or `maximize` is
            not True or False.
        ValueError: `parameters` is empty, contains a computed node or the same leaf twice, `betas` has more or fewer
            than two numbers, or a number is out of range.

    >>> p = Value(1.0)
    >>> p.grad = 2.0
    >>> Adam([p], lr=0.1).step(); round(p.data, 6)
    0.9
    """

    options = ("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize")
    state_names: tuple[str, ...] = ("exp_avg", "exp_avg_sq")
    nonnegative = ("exp_avg_sq", LARGEST)

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **wrong: Never,
    ) -> None:
        refuse_options(self, wrong)
        super().__init__(parameters, lr)
        self.betas = self._checked_option("betas", betas)
        self.eps = self._checked_option("eps", eps)
        self.weight_decay = self._checked_option("weight_decay", weight_decay)
        self.maximize = self._checked_option("maximize", maximize)
        self.amsgrad = amsgrad

    @property
    def amsgrad(self) -> bool:
        """Whether the denominator uses the largest v of all steps up to now, which the optimiser's state then keeps.

        v is the running mean of squared gradients.
        """
        return LARGEST in self.state_names

    @amsgrad.setter
    def amsgrad(self, on: bool) -> None:
        if self._checked_option("amsgrad", on) == self.amsgrad:
            return
        others = tuple([name for name in self.state_names if name != LARGEST])
        more = {LARGEST: 0.0} if on else {}
        states = [{name: x for name, x in state.items() if name != LARGEST} | more for state in self.state]
        vars(self).update(state_names=(*others, *more), lazy_state=states)  # one call, so Ctrl-C cannot come between

    def update(self, p: Value, state: dict[str, float]) -> None:
        """Change `p.data` by one step, and change `state`, which has the numbers that the optimiser keeps for `p`."""
        self._descend(p, state, p.grad + self.weight_decay * p.data)

    def _descend(self, p: Value, state: dict[str, float], g: float) -> None:
        beta1, beta2 = self.betas
        m = state["exp_avg"]
        state["exp_avg"] = m = m + (1.0 - beta1) * (g - m)
        state["exp_avg_sq"] = v = beta2 * state["exp_avg_sq"] + (1.0 - beta2) * g * g
        if LARGEST in state:
            state[LARGEST] = v = maximum(state[LARGEST], v)
        steps = self.steps
        scale = sqrt(1.0 - beta2**steps)
        p.data -= div(self.lr / (1.0 - beta1**steps) * m, sqrt(v) / scale + self.eps)


class AdamW(Adam):
    """Adam with decoupled weight decay: p -= lr * weight_decay * p, then Adam's step (Loshchilov & Hutter 2019).

    The arguments and errors are those of `Adam`, but `weight_decay` is 0.01 by default. It is not added to the
    gradient.

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
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **wrong: Never,
    ) -> None:
        refuse_options(self, wrong)
        super().__init__(parameters, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)

    def update(self, p: Value, state: dict[str, float]) -> None:
        """Change `p.data` by one step, and change `state`, which has the numbers that the optimiser keeps for `p`."""
        p.data *= 1.0 - self.lr * self.weight_decay
        self._descend(p, state, p.grad)
