"""Optimisers with PyTorch's names, defaults and order of updates; learning-rate schedules; gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from .engine import Value
from .ops import div, sqrt

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "clip_grad_norm", "cosine_lr", "step_lr"]


class Optimizer:
    """Hold parameters and their state; subclasses say how a step changes one of them.

    Attributes:
        parameters: what `step` changes; those that require no gradient are passed over.
        lr: the learning rate, which may be set between steps.
        state: for each parameter, the numbers that a step carries to the next.
        steps: how many steps were taken.

    >>> class Signs(Optimizer):
    ...     def update(self, p, state):
    ...         p.data -= math.copysign(self.lr, p.grad)
    >>> p = Value(1.0)
    >>> p.grad = 2.0
    >>> Signs([p], lr=0.25).step(); p.data
    0.75
    """

    slots: tuple[str, ...] = ()  # the names of a parameter's state
    nonnegative: tuple[str, ...] = ()  # those of them that are 0 or more
    options: tuple[str, ...] = ("lr",)  # the attributes that `state_dict` saves

    def __init__(self, parameters: Iterable[Value], lr: float) -> None:
        if isinstance(parameters, Value):
            raise TypeError(f"{type(self).__name__} takes a sequence of parameters; write [p] for one")
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError(f"{type(self).__name__} was given no parameters")
        seen: set[Value] = set()
        for i, p in enumerate(self.parameters):
            if not isinstance(p, Value):
                raise TypeError(f"{type(self).__name__}: parameters[{i}] is {type(p).__name__} {p!r}, not a Value")
            if p.op is not None:
                raise ValueError(
                    f"{type(self).__name__}: parameters[{i}], {p!r}, is computed ({p.op.name}), not a leaf"
                )
            if p in seen:
                raise ValueError(f"{type(self).__name__}: parameters[{i}], {p!r}, is there twice")
            seen.add(p)
        self.lr = self._at_least_0("lr", lr)
        self.steps = 0
        self.state = [dict.fromkeys(self.slots, 0.0) for _ in self.parameters]

    def _at_least_0(self, name: str, x: float) -> float:
        if isinstance(x, (str, bool)) or not 0.0 <= x < math.inf:
            raise ValueError(f"{type(self).__name__}: {name} must be 0 or more, got {x!r}")
        return float(x)

    def _below_1(self, name: str, x: float) -> float:
        if isinstance(x, (str, bool)) or not 0.0 <= x < 1.0:
            raise ValueError(f"{type(self).__name__}: {name} must be at least 0 and less than 1, got {x!r}")
        return float(x)

    def update(self, p: Value, state: dict[str, float]) -> None:
        """Change one parameter by its gradient and state; subclasses say how."""
        raise NotImplementedError

    def step(self) -> None:
        """Change every parameter by its gradient.

        >>> p = Value(1.0)
        >>> optimizer = Adam([p])
        >>> optimizer.step(); optimizer.steps
        1
        """
        self.steps += 1
        for p, state in zip(self.parameters, self.state, strict=True):
            if p.requires_grad:
                self.update(p, state)

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0.

        >>> p = Value(1.0)
        >>> p.grad = 2.0
        >>> SGD([p]).zero_grad(); p.grad
        0.0
        """
        for p in self.parameters:
            p.grad = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the options, the number of steps and every parameter's state, as numbers in lists and dicts.

        >>> SGD([Value(1)], lr=0.1, momentum=0.9).state_dict()["state"]
        [{'momentum_buffer': 0.0}]
        """
        options = {name: getattr(self, name) for name in self.options}
        return {"options": options, "steps": self.steps, "state": [dict(state) for state in self.state]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue as the optimiser that gave `state` would; if anything is wrong with it, nothing is changed.

        Raises:
            ValueError: an entry is missing or surplus, or there are not as many parameters; it is named.
            TypeError: an entry is no number; it is named.

        >>> optimizer = Adam([Value(1)])
        >>> optimizer.load_state_dict(Adam([Value(2)], lr=0.5).state_dict()); optimizer.lr
        0.5
        """
        name = type(self).__name__
        _same_keys(name, "state_dict", state, {"options", "steps", "state"})
        _same_keys(name, "options", state["options"], set(self.options))
        if not isinstance(state["state"], list):
            raise TypeError(f"{name}: state must be a list, got {type(state['state']).__name__}")
        if len(state["state"]) != len(self.parameters):
            raise ValueError(f"{name}: state of {len(state['state'])} parameters for {len(self.parameters)}")
        for i, slots in enumerate(state["state"]):
            _same_keys(name, f"state[{i}]", slots, set(self.slots))
            for slot, x in slots.items():
                if isinstance(x, bool) or not isinstance(x, (int, float)):
                    raise TypeError(f"{name}: state[{i}][{slot!r}] must be a number, got {type(x).__name__} {x!r}")
                if slot in self.nonnegative and x < 0.0:
                    raise ValueError(f"{name}: state[{i}][{slot!r}] must be 0 or more, got {x}")
        if isinstance(state["steps"], bool) or not isinstance(state["steps"], int):
            raise TypeError(f"{name}: steps must be an int, got {state['steps']!r}")
        if state["steps"] < 0:
            raise ValueError(f"{name}: steps must be 0 or more, got {state['steps']}")
        try:
            checked = type(self)(self.parameters, **state["options"])
        except TypeError as error:
            raise TypeError(f"{name}: wrong options {state['options']!r}: {error}") from error
        checked.steps = state["steps"]
        checked.state = [{slot: float(x) for slot, x in slots.items()} for slots in state["state"]]
        vars(self).update(vars(checked))


def _same_keys(name: str, what: str, given: Any, expected: set[str]) -> None:
    if not isinstance(given, Mapping):
        raise TypeError(f"{name}: {what} must be a dict, got {type(given).__name__}")
    for kind, keys in (("missing", expected - given.keys()), ("surplus", given.keys() - expected)):
        if keys:
            raise ValueError(f"{name}: {', '.join(map(repr, sorted(keys)))} is {kind} in {what}")


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
            if p.requires_grad:
                p.data -= lr * p.grad

    def update(self, p: Value, state: dict[str, float]) -> None:
        """Change one parameter by its gradient and state."""
        g = p.grad + self.weight_decay * p.data if self.weight_decay else p.grad
        if self.momentum:
            state["momentum_buffer"] = buffer = self.momentum * state["momentum_buffer"] + g
            g = g + self.momentum * buffer if self.nesterov else buffer
        p.data -= self.lr * g


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


def cosine_lr(step: int, steps: int, lr: float, lr_min: float = 0.0) -> float:
    """Return the learning rate at a step: half a cosine from `lr` at 0 down to `lr_min` at `steps` (Loshchilov 2017).

    Raises:
        ValueError: `steps` is not positive.

    >>> cosine_lr(0, 100, 0.1), round(cosine_lr(50, 100, 0.1), 6), cosine_lr(100, 100, 0.1)
    (0.1, 0.05, 0.0)
    """
    if steps < 1:
        raise ValueError(f"cosine_lr: steps must be positive, got {steps}")
    return lr_min + 0.5 * (lr - lr_min) * (1.0 + math.cos(math.pi * min(step, steps) / steps))


def step_lr(step: int, step_size: int, lr: float, gamma: float = 0.1) -> float:
    """Return the learning rate at a step: `lr`, multiplied by `gamma` after every `step_size` steps.

    Raises:
        ValueError: `step_size` is not positive.

    >>> step_lr(9, 10, 1.0), step_lr(10, 10, 1.0)
    (1.0, 0.1)
    """
    if step_size < 1:
        raise ValueError(f"step_lr: step_size must be positive, got {step_size}")
    return float(lr * gamma ** (step // step_size))


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
    parameters = list(parameters)
    norm = math.hypot(*[p.grad for p in parameters])
    if not math.isfinite(norm):
        raise ValueError(f"clip_grad_norm: the norm of the gradients is {norm}")
    factor = max_norm / (norm + 1e-6)
    if factor < 1.0:
        for p in parameters:
            p.grad *= factor
    return norm
