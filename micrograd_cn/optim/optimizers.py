"""Optimisers with PyTorch's names, defaults and order of updates; learning-rate schedules; gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..engine import Value
from ..ops import div, sqrt
from .optimizer import Optimizer
from .schedules import cosine_lr, linear_lr, step_lr, warmup

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop"]
__all__ += ["clip_grad_norm", "cosine_lr", "linear_lr", "step_lr", "warmup"]


class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr * g, with g = p.grad + weight_decay * p.

    With momentum, g is replaced by the buffer b = momentum * b + g (the first time, b = g), with nesterov by
    g + momentum * b (Sutskever et al. 2013).

    Args:
        parameters: leaves.
        lr: learning rate.
        momentum: how much of the buffer is kept.
        weight_decay: L2 penalty.
        nesterov: look ahead.

    Raises:
        ValueError: a parameter is no leaf or there twice, there is none, a number is out of range, or nesterov is asked
            for without momentum.
        TypeError: a parameter is not a `Value`.

    >>> p = Value(1.0)
    >>> p.grad = 2.0
    >>> SGD([p], lr=0.1).step(); p.data
    0.8
    """

    options = ("lr", "momentum", "weight_decay", "nesterov")
    slots = ("momentum_buffer",)

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
        for p in self.parameters:  # `update` without its call, a third of the time
            if p.requires_grad and p.grad is not None:
                p.data -= lr * p.grad

    def update(self, p: Value, state: dict[str, float]) -> None:
        """Change one parameter by its gradient and state."""
        g = p.grad + self.weight_decay * p.data if self.weight_decay else p.grad
        if self.momentum:
            state["momentum_buffer"] = buffer = self.momentum * state["momentum_buffer"] + g
            g = g + self.momentum * buffer if self.nesterov else buffer
        p.data -= self.lr * g


class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012): p -= lr * g / (sqrt(v) + eps), where v is a running mean of g * g.

    g is p.grad + weight_decay * p, and v = alpha * v + (1 - alpha) * g * g, from 0. With momentum, p -= lr * b instead,
    with the buffer b = momentum * b + g / (sqrt(v) + eps).

    Args:
        parameters: leaves.
        lr: learning rate.
        alpha: how much of v is kept.
        eps: added to the denominator.
        weight_decay: L2 penalty.
        momentum: how much of the buffer is kept.

    Raises:
        ValueError: a parameter is no leaf or there twice, there is none, or a number is out of range.
        TypeError: a parameter is not a `Value`.

    >>> p = Value(1.0)
    >>> p.grad = 2.0
    >>> RMSprop([p], lr=0.1, alpha=0.75).step(); round(p.data, 6)
    0.8
    """

    options = ("lr", "alpha", "eps", "weight_decay", "momentum")
    slots = ("square_avg", "momentum_buffer")
    nonnegative = ("square_avg",)

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        self.alpha = self._below_1("alpha", alpha)
        self.eps = self._at_least_0("eps", eps)
        self.weight_decay = self._at_least_0("weight_decay", weight_decay)
        self.momentum = self._at_least_0("momentum", momentum)

    def update(self, p: Value, state: dict[str, float]) -> None:
        """Change one parameter by its gradient and state."""
        g = p.grad + self.weight_decay * p.data
        state["square_avg"] = v = self.alpha * state["square_avg"] + (1.0 - self.alpha) * g * g
        change = div(g, sqrt(v) + self.eps)
        if self.momentum:
            state["momentum_buffer"] = change = self.momentum * state["momentum_buffer"] + change
        p.data -= self.lr * change


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), with bias correction: p -= lr * m / (1 - b1**t) / (sqrt(v / (1 - b2**t)) + eps).

    m and v are running means of g and g * g, with g = p.grad + weight_decay * p, at step t.

    Args:
        parameters: leaves.
        lr: learning rate.
        betas: how much of m and of v is kept.
        eps: added to the denominator.
        weight_decay: L2 penalty.

    Raises:
        ValueError: a parameter is no leaf or there twice, there is none, or a number is out of range.
        TypeError: a parameter is not a `Value`.

    >>> p = Value(1.0)
    >>> p.grad = 2.0
    >>> Adam([p], lr=0.1).step(); round(p.data, 6)
    0.9
    """

    options = ("lr", "betas", "eps", "weight_decay")
    slots = ("exp_avg", "exp_avg_sq")
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
        """Change one parameter by its gradient and state."""
        self._descend(p, state, p.grad + self.weight_decay * p.data)

    def _descend(self, p: Value, state: dict[str, float], g: float) -> None:
        beta1, beta2 = self.betas
        state["exp_avg"] = m = state["exp_avg"] + (1.0 - beta1) * (g - state["exp_avg"])
        state["exp_avg_sq"] = v = beta2 * state["exp_avg_sq"] + (1.0 - beta2) * g * g
        scale = sqrt(1.0 - beta2**self.steps)
        p.data -= div(self.lr / (1.0 - beta1**self.steps) * m, sqrt(v) / scale + self.eps)


class AdamW(Adam):
    """Adam with decoupled weight decay: p -= lr * weight_decay * p first (Loshchilov & Hutter 2019).

    Arguments and errors are those of `Adam`; weight_decay is 0.01 by default.

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
        """Change one parameter by its gradient and state."""
        p.data *= 1.0 - self.lr * self.weight_decay
        self._descend(p, state, p.grad)


def clip_grad_norm(parameters: Iterable[Value], max_norm: float) -> float:
    """Scale the gradients so that their Euclidean norm is at most `max_norm`; return the norm that they had.

    As in PyTorch they are multiplied by max_norm / (norm + 1e-6) where that is less than 1.

    Raises:
        ValueError: `max_norm` is negative or nan, or the norm is inf or nan, which no factor could mend.

    >>> p = Value(0.0)
    >>> p.grad = 10.0
    >>> clip_grad_norm([p], 1.0), round(p.grad, 4)
    (10.0, 1.0)
    """
    if not max_norm >= 0.0:
        raise ValueError(f"clip_grad_norm: max_norm must be 0 or more, got {max_norm}")
    parameters = [p for p in parameters if p.grad is not None]
    norm = math.hypot(*[p.grad for p in parameters])
    if not math.isfinite(norm):
        raise ValueError(f"clip_grad_norm: the norm of the gradients is {norm}")
    factor = max_norm / (norm + 1e-6)
    if factor < 1.0:
        for p in parameters:
            p.grad *= factor
    return norm
