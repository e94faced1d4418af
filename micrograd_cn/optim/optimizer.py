"""`Optimizer`: parameters, what is kept of each from step to step, and how both are saved and loaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias

from ..engine import Value

__all__ = ["Optimizer"]

States: TypeAlias = list[dict[str, float]]  # one of each parameter


class Optimizer:
    """Hold parameters and their state; subclasses say how a step changes one of them.

    Attributes:
        parameters: what `step` changes; those that require no gradient are passed over.
        lr: the learning rate, which may be set between steps.
        steps: how many steps were taken.
        kept: the state; as long as nobody has asked for it, a function that makes it.

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
        if not isinstance(parameters, Iterable):
            raise TypeError(
                f"{type(self).__name__} takes a sequence of parameters, got {type(parameters).__name__}; write "
                "model.parameters()"
            )
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
        self.kept: States | Callable[[], States] = partial(copied, [dict.fromkeys(self.slots, 0.0)] * len(seen))

    @property
    def state(self) -> States:
        """For each parameter, the numbers that a step carries to the next.

        >>> from micrograd_cn.optim import SGD
        >>> SGD([Value(1)], lr=0.1, momentum=0.9).state
        [{'momentum_buffer': 0.0}]
        """
        if callable(self.kept):
            self.kept = self.kept()
        return self.kept

    @state.setter
    def state(self, states: States) -> None:
        self.kept = states

    def _at_least_0(self, name: str, x: float) -> float:
        return at_least_0(f"{type(self).__name__}: {name}", x)

    def _below_1(self, name: str, x: float) -> float:
        if isinstance(x, (str, bool)) or not 0.0 <= x < 1.0:
            raise ValueError(f"{type(self).__name__}: {name} must be at least 0 and less than 1, got {x!r}")
        return float(x)

    def update(self, p: Value, state: dict[str, float]) -> None:
        """Change one parameter by its gradient and state; subclasses say how."""
        raise NotImplementedError

    def step(self) -> None:
        """Change every parameter by its gradient.

        Raises:
            ValueError: there are other parameters than the optimiser was made for.

        >>> from micrograd_cn.optim import Adam
        >>> p = Value(1.0)
        >>> optimizer = Adam([p])
        >>> optimizer.step(); optimizer.steps
        1
        """
        states = self.state
        self.check_count(len(states))
        self.steps += 1
        for p, state in zip(self.parameters, states, strict=True):
            if p.requires_grad and p.grad is not None:  # PyTorch's habit is `p.grad = None`
                self.update(p, state)

    def check_count(self, states: int) -> None:
        """Raise ValueError if there are not as many parameters as states.

        >>> Optimizer([Value(1)], lr=1.0).check_count(1)
        """
        if states != len(self.parameters):
            raise ValueError(
                f"{type(self).__name__} was made for {states} parameters and has {len(self.parameters)} now; make "
                "another one"
            )

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0.

        >>> from micrograd_cn.optim import SGD
        >>> p = Value(1.0)
        >>> p.grad = 2.0
        >>> SGD([p]).zero_grad(); p.grad
        0.0
        """
        for p in self.parameters:
            p.grad = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the options, the number of steps and every parameter's state, as numbers in lists and dicts.

        >>> from micrograd_cn.optim import SGD
        >>> SGD([Value(1)], lr=0.1, momentum=0.9).state_dict()["state"]
        [{'momentum_buffer': 0.0}]
        """
        options = {name: getattr(self, name) for name in self.options}
        states = self.kept() if callable(self.kept) else copied(self.kept)
        return {"options": options, "steps": self.steps, "state": states}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue as the optimiser that gave `state` would; if anything is wrong with it, nothing is changed.

        Raises:
            ValueError: an entry is missing or surplus, or there are not as many parameters; it is named.
            TypeError: an entry is no number; it is named.

        >>> from micrograd_cn.optim import Adam
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
        states = [{slot: float(x) for slot, x in slots.items()} for slots in state["state"]]
        checked.kept = partial(copied, states)
        for attribute in (*self.options, "steps", "kept"):
            setattr(self, attribute, getattr(checked, attribute))


def at_least_0(name: str, x: float) -> float:
    """Return a number of 0 or more as a float.

    Raises:
        ValueError: it is negative, inf or nan, a bool or a text.
        TypeError: it is nothing that can be compared with a number.
    """
    try:
        if not isinstance(x, (str, bool)) and 0.0 <= x < math.inf:
            return float(x)
    except TypeError:
        raise TypeError(f"{name} must be 0 or more, got {x!r}") from None
    raise ValueError(f"{name} must be 0 or more, got {x!r}")


def copied(states: States) -> States:
    """Return the same states in dicts of their own."""
    return [dict(state) for state in states]


def _same_keys(name: str, what: str, given: Any, expected: set[str]) -> None:
    if not isinstance(given, Mapping):
        raise TypeError(f"{name}: {what} must be a dict, got {type(given).__name__}")
    for kind, keys in (("missing", expected - given.keys()), ("surplus", given.keys() - expected)):
        if keys:
            raise ValueError(f"{name}: {', '.join(map(repr, sorted(keys)))} is {kind} in {what}")
