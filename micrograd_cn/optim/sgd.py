"""`SGD`: stochastic gradient descent, with momentum and weight decay."""

from __future__ import annotations

from collections.abc import Iterable

from ..engine import Value
from .optimizer import Optimizer

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr * g, with g = p.grad + weight_decay * p.

    With momentum, the step is p -= lr * b, with the buffer b = momentum * b + g, which is 0 at first. With nesterov, it
    is p -= lr * (g + momentum * b) (Sutskever et al. 2013).

    Args:
        parameters: leaves.
        lr: learning rate.
        momentum: decay rate of the buffer; 0 for none.
        weight_decay: strength of the L2 penalty.
        nesterov: whether to use Nesterov's momentum.

    Raises:
        TypeError: `parameters` is not a sequence of `Value`s.
        ValueError: `parameters` is empty, one is not a leaf or is there twice, a number is out of range, or nesterov is
            set without momentum.

    >>> p = Value(1.0)
    >>> p.grad = 2.0
    >>> SGD([p], lr=0.1).step(); p.data
    0.8
    """

    options = ("lr", "momentum", "weight_decay", "nesterov")
    state_names = ("momentum_buffer",)

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(parameters, lr)
        self.momentum = self._at_least_0("momentum", momentum)
        self.weight_decay = self._at_least_0("weight_decay", weight_decay)
        self.nesterov = nesterov
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov needs a momentum, got 0")

    def step(self) -> None:
        """Change every parameter by its gradient."""
        if self.momentum or self.weight_decay or type(self).update is not SGD.update:
            super().step()
            return
        self.steps += 1
        lr = self.lr
        for p in self.parameters:  # `update`, inlined: it takes a third of the time
            if p.requires_grad and p.grad is not None:
                p.data -= lr * p.grad

    def update(self, p: Value, state: dict[str, float]) -> None:
        """Change one parameter by its gradient, and its state."""
        g = p.grad + self.weight_decay * p.data if self.weight_decay else p.grad
        if self.momentum:
            state["momentum_buffer"] = buffer = self.momentum * state["momentum_buffer"] + g
            g = g + self.momentum * buffer if self.nesterov else buffer
        p.data -= self.lr * g
