"""`SGD`: stochastic gradient descent, with momentum and weight decay."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any, Never

from ..engine import Value
from ..ops import less, where
from . import optimizer as base
from .optimizer import LOOKING_STEPS, Optimizer, look_for_mistakes, refuse_closure, refuse_options

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr * g, with g = p.grad + weight_decay * p.

    With momentum, the step is p -= lr * b, with the buffer b = momentum * b + (1 - dampening) * g. In the first step
    the buffer is g itself. With nesterov, the step is p -= lr * (g + momentum * b) (Sutskever et al. 2013). With
    maximize, -p.grad stands in place of p.grad. PyTorch computes the same, with one exception: if `momentum` is 0 in
    the first step and is set later, the buffer begins here with (1 - dampening) * g, and in PyTorch with g.

    Args:
        parameters: the `Value`s to train, which must be leaves.
        lr: learning rate.
        momentum: decay rate of the buffer b; 0 for no momentum.
        dampening: the part of g that is not added to the buffer b, such as 0.1; 0 for no dampening.
        weight_decay: strength of the L2 penalty.
        nesterov: whether to use Nesterov's momentum.
        maximize: whether to make the loss larger instead of smaller.

    Raises:
        TypeError: `parameters` is not a sequence of `Value`s, or `nesterov` or `maximize` is not True or False.
        ValueError: `parameters` is empty, contains a computed node or the same leaf twice, a number is out of range, or
            nesterov is set without momentum or with dampening.

    >>> p = Value(1.0)
    >>> p.grad = 2.0
    >>> SGD([p], lr=0.1).step(); p.data
    0.8
    """

    options = ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize")
    state_names = ("momentum_buffer",)
    dampening: float = 0.0
    nesterov: bool = False

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **wrong: Never,
    ) -> None:
        refuse_options(self, wrong)
        super().__init__(parameters, lr)
        self.momentum = self._checked_option("momentum", momentum)
        self.weight_decay = self._checked_option("weight_decay", weight_decay)
        self.dampening = self._checked_option("dampening", dampening)
        self.maximize = self._checked_option("maximize", maximize)
        self.nesterov = self._checked_option("nesterov", nesterov)

    def _checked_option(self, name: str, x: Any) -> Any:
        x = super()._checked_option(name, x)
        if name == "nesterov" and x and not self.momentum:
            raise ValueError("SGD: nesterov needs a momentum, got 0")
        if name in ("nesterov", "dampening"):
            nesterov, dampening = (x, self.dampening) if name == "nesterov" else (self.nesterov, x)
            if nesterov and dampening:
                raise ValueError(f"SGD: nesterov needs a dampening of 0, got {dampening!r}")
        return x

    def step(self, closure: None = None) -> None:
        """Change every parameter, except those whose `grad` is None and those that require no gradient.

        `closure` is a PyTorch option. If you set it, an error says what to write instead.
        """
        if closure is not None:
            refuse_closure()
        if self.momentum or self.weight_decay or self.maximize or getattr(self.update, "__func__", None) is not _UPDATE:
            super().step()  # also if users have replaced `update`, in the object or in the class
            return
        parameters = self.parameters
        if self.steps in LOOKING_STEPS:
            look_for_mistakes(self)
        lr, complete = self.lr, True
        if type(lr) is not float or not 0.0 <= lr < inf:
            lr = self.check_lr()
        if base.machine_code and len(parameters) >= base.MIN_PARAMETERS and base.machine_code.step(self):
            return
        self.steps += 1
        for p in parameters:  # `update`, inlined: it takes a third of the time
            if p.requires_grad is True and (grad := p._grad) is not None:
                p.data = p._data - lr * grad  # to read the property `data` would take as long as to assign it
            else:
                complete = False
        if not complete:
            self._finish_step()

    def update(self, p: Value, state: dict[str, float]) -> None:
        """Change `p.data` by one step, and change `state`, which has the numbers that the optimiser keeps for `p`."""
        g = p.grad
        if decay := self.weight_decay:
            g = g + decay * p.data
        if momentum := self.momentum:
            buffer = momentum * state["momentum_buffer"]
            if self.dampening:
                buffer = buffer + where(less(1.0, self.steps), (1.0 - self.dampening) * g, g)
            else:
                buffer = buffer + g
            state["momentum_buffer"] = buffer
            g = g + momentum * buffer if self.nesterov else buffer
        p.data -= self.lr * g


_UPDATE = SGD.update
