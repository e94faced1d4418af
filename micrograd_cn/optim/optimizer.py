"""`Optimizer`, the base class of optimisers: it holds parameters and their state, and saves and loads the state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias

from ..engine import Value

__all__ = ["Optimizer"]

States: TypeAlias = list[dict[str, float]]  # one dict for each parameter


class Optimizer:
    """Hold parameters and their state; a subclass defines `update`, which changes one parameter.

    A subclass also names the numbers that `update` keeps in a parameter's state (`state_names`), those of them that are
    never negative (`nonnegative`), and the attributes that `state_dict` saves (`options`).

    Args:
        parameters: leaves, which `step` changes; it skips those that require no gradient.
        lr: learning rate, which may be changed between steps.

    Attributes:
        steps: how many steps were taken.
        lazy_state: the state, or a function that makes it, which is called when `state` is first read.

    Raises:
        TypeError: `parameters` is not a sequence of `Value`s.
        ValueError: `parameters` is empty, one is not a leaf or is there twice, or `lr` is negative, inf or nan.

    >>> class Signs(Optimizer):
    ...     def update(self, p, state):
    ...         p.data -= math.copysign(self.lr, p.grad)
    >>> p = Value(1.0)
    >>> p.grad = 2.0
    >>> Signs([p], lr=0.25).step(); p.data
    0.75
    """

    state_names: tuple[str, ...] = ()
    nonnegative: tuple[str, ...] = ()
    options: tuple[str, ...] = ("lr",)

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
        zeros = [dict.fromkeys(self.state_names, 0.0)] * len(seen)
        self.lazy_state: States | Callable[[], States] = partial(copy_states, zeros)

    def __setstate__(self, state: Any) -> None:
        attributes, slots = state if isinstance(state, tuple) else (state, None)
        attributes = dict(attributes or {})
        if "kept" in attributes:  # the name in pickles of version 0.2
            attributes["lazy_state"] = attributes.pop("kept")
        vars(self).update(attributes)
        for name, x in (slots or {}).items():  # of a subclass with __slots__
            setattr(self, name, x)

    @property
    def state(self) -> States:
        """For each parameter, the numbers that one step leaves for the next, by name.

        >>> from micrograd_cn.optim import SGD
        >>> SGD([Value(1)], lr=0.1, momentum=0.9).state
        [{'momentum_buffer': 0.0}]
        """
        if callable(self.lazy_state):
            self.lazy_state = self.lazy_state()
        return self.lazy_state

    @state.setter
    def state(self, states: States) -> None:
        self.lazy_state = states

    def _at_least_0(self, name: str, x: float) -> float:
        return at_least_0(f"{type(self).__name__}: {name}", x)

    def _below_1(self, name: str, x: float) -> float:
        if isinstance(x, (str, bool)) or not 0.0 <= x < 1.0:
            raise ValueError(f"{type(self).__name__}: {name} must be at least 0 and less than 1, got {x!r}")
        return float(x)

    def update(self, p: Value, state: dict[str, float]) -> None:
        """Change one parameter by its gradient, and its state; a subclass defines how."""
        raise NotImplementedError

    def step(self) -> None:
        """Change every parameter by its gradient.

        Raises:
            ValueError: `parameters` has become longer or shorter.

        >>> from micrograd_cn.optim import Adam
        >>> p = Value(1.0)
        >>> optimizer = Adam([p])
        >>> optimizer.step(); optimizer.steps
        1
        """
        states = self.state
        self.check_parameter_count(len(states))
        self.steps += 1
        for p, state in zip(self.parameters, states, strict=True):
            if p.requires_grad and p.grad is not None:  # PyTorch's habit is `p.grad = None`
                self.update(p, state)

    def check_parameter_count(self, count: int) -> None:
        """Raise ValueError if there are not `count` parameters, as many as the optimiser has states for."""
        if count != len(self.parameters):
            raise ValueError(
                f"{type(self).__name__} was made for {count} parameter{'s' * (count != 1)} and has "
                f"{len(self.parameters)} now; make another one"
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
        """Return the options, the number of steps and the state of every parameter, as numbers in lists and dicts.

        >>> from micrograd_cn.optim import SGD
        >>> SGD([Value(1)], lr=0.1, momentum=0.9).state_dict()["state"]
        [{'momentum_buffer': 0.0}]
        """
        options = {name: getattr(self, name) for name in self.options}
        states = self.lazy_state() if callable(self.lazy_state) else copy_states(self.lazy_state)
        return {"options": options, "steps": self.steps, "state": states}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue like the optimiser whose `state_dict` this is; if anything in it is wrong, nothing is changed.

        Raises:
            ValueError: an entry is missing, unexpected or out of range, or the number of parameters differs.
            TypeError: an entry is not a number, or a part is not a dict or list.

        >>> from micrograd_cn.optim import Adam
        >>> optimizer = Adam([Value(1)])
        >>> optimizer.load_state_dict(Adam([Value(2)], lr=0.5).state_dict()); optimizer.lr
        0.5
        """
        name = type(self).__name__
        _check_keys(name, "state_dict", state, {"options", "steps", "state"})
        _check_keys(name, "options", state["options"], set(self.options))
        if not isinstance(state["state"], list):
            raise TypeError(f"{name}: state must be a list, got {type(state['state']).__name__}")
        if len(state["state"]) != len(self.parameters):
            raise ValueError(f"{name}: state of {len(state['state'])} parameters for {len(self.parameters)}")
        for i, numbers in enumerate(state["state"]):
            _check_keys(name, f"state[{i}]", numbers, set(self.state_names))
            for key, x in numbers.items():
                if isinstance(x, bool) or not isinstance(x, (int, float)):
                    raise TypeError(f"{name}: state[{i}][{key!r}] must be a number, got {type(x).__name__} {x!r}")
                if key in self.nonnegative and x < 0.0:
                    raise ValueError(f"{name}: state[{i}][{key!r}] must be 0 or more, got {x}")
        if isinstance(state["steps"], bool) or not isinstance(state["steps"], int):
            raise TypeError(f"{name}: steps must be an int, got {state['steps']!r}")
        if state["steps"] < 0:
            raise ValueError(f"{name}: steps must be 0 or more, got {state['steps']}")
        try:
            checked = type(self)(self.parameters, **state["options"])
        except TypeError as error:
            raise TypeError(f"{name}: wrong options {state['options']!r}: {error}") from error
        checked.steps = state["steps"]
        states = [{key: float(x) for key, x in numbers.items()} for numbers in state["state"]]
        checked.lazy_state = partial(copy_states, states)
        for attribute in (*self.options, "steps", "lazy_state"):
            setattr(self, attribute, getattr(checked, attribute))


def at_least_0(name: str, x: float) -> float:
    """Return a finite number that is not negative as a float; `name` is what messages call it.

    Raises:
        ValueError: it is negative, inf, nan, a bool or a str.
        TypeError: it cannot be compared with a number.
    """
    try:
        if not isinstance(x, (str, bool)) and 0.0 <= x < math.inf:
            return float(x)
    except TypeError:
        raise TypeError(f"{name} must be 0 or more, got {x!r}") from None
    raise ValueError(f"{name} must be 0 or more, got {x!r}")


def copy_states(states: States) -> States:
    """Return a copy of the states. It is a function of the module, so a pickle can name it."""
    return [dict(state) for state in states]


def _check_keys(name: str, what: str, given: Any, expected: set[str]) -> None:
    """Raise TypeError or ValueError if `given` is not a dict with the expected keys; messages call it `what`."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{name}: {what} must be a dict, got {type(given).__name__}")
    for kind, keys in (("missing", expected - given.keys()), ("unexpected", given.keys() - expected)):
        if keys:
            verb = "is" if len(keys) == 1 else "are"
            raise ValueError(f"{name}: {', '.join(map(repr, sorted(keys)))} {verb} {kind} in {what}")
