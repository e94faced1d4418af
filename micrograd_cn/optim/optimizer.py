"""`Optimizer`, the base class of optimisers: it holds parameters and their state, and saves and loads the state."""

from __future__ import annotations

import gc
import os
import weakref
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from itertools import repeat
from math import inf
from operator import add, attrgetter, is_
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Self, TypeAlias
from weakref import WeakKeyDictionary

from ..engine import Value
from ..graph import context, outdated
from ..graph.callers import is_of_this_package, warn_at_user
from ..graph.closures import Closure
from ..graph.node import set_gradients
from ..graph.outdated import expect_backward, take_others, was_left_out, was_missed
from ..ops import options as ops_options
from ..ops.number import flag
from ..parameters import changes
from ..parameters.calls import watch_calls
from ..parameters.functions import leaves_in_functions
from ..parameters.listing import ParametersOfModels, models_in, refuse_lost_parameters
from ..parameters.model import Model
from ..parameters.states import is_input
from ..parameters.unheld import users_of
from ..text.absent import SHORTEST_MISSPELT, Absent
from .by_optimizer import ByOptimizer

__all__ = ["Optimizer"]

States: TypeAlias = list[dict[str, float]]  # one dict for each parameter


class MachineCode(Protocol):
    """The type of an object that does the work of optimisers in machine code.

    The compiler assigns such an object to `machine_code`.
    """

    def step(self, optimizer: Optimizer) -> bool:
        """Take a step of `optimizer` and return True, or return False if Python code has to take it."""

    def clear_gradients(self, parameters: list[Value]) -> bool:
        """Set the gradients of `parameters` to 0 and return True, or return False if Python code has to do so."""

    def norm_of_gradients(self, parameters: list[Value]) -> float | None:
        """Return the Euclidean norm of the gradients of `parameters`, or None if Python code has to compute it."""

    def scale_gradients(self, parameters: list[Value], factor: float) -> bool:
        """Multiply the gradients of `parameters` by `factor`, and return True.

        Return False if Python code has to do so.
        """

    def finds_leaves(self, parameters: list[Any]) -> bool:
        """Return True if all of `parameters` are certainly leaves of the class `Value`.

        Return False if some may be something else; Python code then looks at each of them.
        """

    def finds_trained(self, parameters: list[Value]) -> bool:
        """Return True if the `requires_grad` of all `parameters` is found to be True.

        Return False if Python code has to find out which is not, or whether all are.
        """


MIN_PARAMETERS = 32  # for fewer parameters, Python code takes no longer
machine_code: MachineCode | None = None  # `micrograd_cn.compiler` sets it
# The class of leaves by which compiled functions represent values that were computed before; the compiler sets it, too
stand_in: type[Value] | None = None
# The counts of steps after which an optimiser looks for mistakes; see `look_for_mistakes`.
# In its first two steps it looks for all of them at once, and step 2 looks only at parameters that were new in step 1:
# whether something trains them. Later it looks in four steps one after the other, so none of them takes much longer.
FIRST_LOOKS = {0, 1}
PART_OF_STEP = {start + part: part for start in [30 * 2**k for k in range(20)] for part in range(4)}
LOOKING_STEPS = {*FIRST_LOOKS, 2, *PART_OF_STEP}
MOST_LOOKS = 100  # `look_again` drops the oldest steps beyond these, since a user may copy an optimiser in each step
SET_RATE = "optimizer.lr = schedule(optimizer.steps)"
# Options that files of version 0.2 do not have; the constructor's defaults do what 0.2 did.
ADDED_OPTIONS = ("amsgrad", "dampening", "maximize")


_IMMUTABLE = {float, int, bool}
_op, _requires_grad, _BOOLS = attrgetter("op"), attrgetter("requires_grad"), {bool}


def list_of_parameters(name: str, parameters: Iterable[Value]) -> list[Value]:
    """Return `parameters` as a list; messages begin with `name`, the optimiser or function that takes them.

    Raises:
        TypeError: `parameters` is not a sequence of `Value`s, for example because it is a model.
        ValueError: there are no parameters; or one of them is a computed node, whose change would affect nothing, or is
            the leaf that stands for a computed node in a compiled function.
    """
    if type(parameters) is list and _finds_leaves(parameters):
        return [*parameters]  # for speed
    if isinstance(parameters, Value):
        raise TypeError(f"{name} takes a sequence of parameters; write [p] for one")
    kind = type(parameters).__name__
    if not isinstance(parameters, Iterable):
        raise TypeError(f"{name} takes a sequence of parameters, got {kind}; write model.parameters()")
    if isinstance(parameters, (Mapping, set, frozenset)):
        named = isinstance(parameters, Mapping) and all(isinstance(p, Value) for p in parameters.values())
        write = "list(d.values())" if named else "model.parameters()"
        if isinstance(parameters, (set, frozenset)):
            write = "a list, because a set has no order"
        raise TypeError(f"{name} takes a sequence of parameters, got a {kind}; write {write}")
    consumed = hasattr(parameters, "__next__")
    found = list(parameters)
    if not found:
        write = "a generator is empty after its first use; write a list" if consumed else "write model.parameters()"
        raise ValueError(f"{name} was given no parameters; {write}")
    if {Value}.issuperset(map(type, found)) and not any(map(_op, found)):
        return found  # for speed
    for i, p in enumerate(found):
        if stand_in and isinstance(p, stand_in):
            raise ValueError(
                f"{name}: parameters[{i}], {p!r}, represents a value that was computed before the compiled function "
                "was called, and gets no gradient itself; compute this value in the function, or detach() it"
            )
        if not isinstance(p, Value):
            text = "" if hasattr(p, "__iter__") or hasattr(p, "parameters") else f" {p!r}"
            raise TypeError(f"{name}: parameters[{i}] is {type(p).__name__}{text}, not a Value{_instead_of(p)}")
        if p.op is not None:
            raise ValueError(
                f"{name}: parameters[{i}], {p!r}, is computed ({p.op.name}), not a leaf; write Value(x) with the "
                "number x that it begins with"
            )
    return found


def _finds_leaves(parameters: list[Any]) -> bool:
    """Return whether machine code finds that `parameters` are leaves. If it does not, Python code has to look."""
    return machine_code is not None and len(parameters) >= MIN_PARAMETERS and machine_code.finds_leaves(parameters)


def _finds_trained(parameters: list[Value]) -> bool:
    """Return whether machine code finds that all of `parameters` require gradients. If not, Python code has to look."""
    return machine_code is not None and len(parameters) >= MIN_PARAMETERS and machine_code.finds_trained(parameters)


def _instead_of(item: Any) -> str:
    """Return the end of an error message about `item`, which is not a `Value` but was passed among the parameters.

    The text says what to write instead. It is "" if that is not known.
    """
    if hasattr(item, "parameters"):
        return "; write [p for part in parts for p in part.parameters()]"
    if isinstance(item, Mapping):
        return "; there are no groups of parameters, so make an optimiser for each group"
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
        return "; write model.parameters()"
    if any(kind.__module__.partition(".")[0] == "torch" for kind in type(item).__mro__):
        return "; parameters of PyTorch are trained by the optimisers of torch.optim"
    if isinstance(item, Iterable) and not isinstance(item, str):
        return "; write [p for part in parts for p in part]"
    return ""


RATES = ("learning_rate", "learningrate", "eta", "eta0", "step_size", "stepsize")  # names that mean lr
INSTEAD = {
    **dict.fromkeys(RATES, "write lr=..."),
    **dict.fromkeys(("b1", "b2"), "write betas=(beta1, beta2)"),
    **dict.fromkeys(("l2", "penalty"), "write weight_decay=..., which is twice the factor of the sum of squares"),
    "decoupled": "write AdamW(...) for it",
    "beta1": "write betas=(beta1, beta2)",
    "beta2": "write betas=(beta1, beta2)",
    "beta_1": "write betas=(beta1, beta2)",
    "beta_2": "write betas=(beta1, beta2)",
    "epsilon": "write eps=...",
    **dict.fromkeys(("decay", "weightdecay"), "write weight_decay=..."),
    "rho": "write alpha=...",
    "wd": "write weight_decay=...",
    "params": "pass the parameters first, without a name",
    "decoupled_weight_decay": "write AdamW(...) for it",
    "centered": "leave it out, or write it in the update of a class of your own",
}
# Options of other libraries that are no options of an optimiser here, and what to write instead
ELSEWHERE = dict.fromkeys(
    ("gamma", "lr_decay", "schedule", "scheduler", "lr_schedule", "lr_scheduler"),
    f"write {SET_RATE} before each step()",
)
ELSEWHERE |= dict.fromkeys(
    ("clip", "clip_grad_norm", "clipnorm", "clipvalue", "global_clipnorm", "max_grad_norm", "max_norm"),
    "write clip_grad_norm(parameters, max_norm) before step(), or fit(..., clip_grad_norm=max_norm)",
)
INSTEAD |= ELSEWHERE


def at_least_0(name: str, x: float) -> float:
    """Return `x`, a finite number of at least 0, as a float. Error messages begin with `name`.

    Raises:
        ValueError: `x` is negative, inf, nan, a bool or a str.
        TypeError: `x` cannot be compared with a number.
    """
    return _in_range(name, x, inf, "0 or more")


def _below_1(name: str, x: float) -> float:
    return _in_range(name, x, 1.0, "at least 0 and less than 1")


def _in_range(name: str, x: float, end: float, meant: str) -> float:
    """Return `x`, a number from 0 to less than `end`, as a float.

    Error messages say that `name` must be `meant`, such as "at least 0 and less than 1".
    """
    try:
        if not isinstance(x, (str, bool)) and 0.0 <= x < end:
            return float(x)
    except (TypeError, ValueError):  # a ValueError is that of an array of several numbers, which is compared
        if isinstance(x, (list, tuple)) or getattr(x, "shape", None):
            raise TypeError(
                f"{name} must be one number, got {x!r}; write one number, and make an optimizer for each group of "
                "parameters that need another"
            ) from None
        write = "; write x.data for the number of a Value x" if isinstance(x, Value) else ""
        if callable(x):
            write = f"; write {SET_RATE}"
        raise TypeError(f"{name} must be {meant}, got {x!r}{write}") from None
    kind = f", a {type(x).__name__}, which is no number" if isinstance(x, (str, bool)) else ""
    raise ValueError(f"{name} must be {meant}, got {x!r}{kind}")


def _pair_below_1(name: str, pair: tuple[float, float]) -> tuple[float, float]:
    try:
        first, second = pair
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} must be two numbers, got {pair!r}") from None
    return _below_1(f"{name}[0]", first), _below_1(f"{name}[1]", second)


# For each option of an optimiser of this package, the function that checks and converts what is given for it
CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "lr": at_least_0,
    "alpha": _below_1,
    "amsgrad": flag,
    "betas": _pair_below_1,
    "dampening": at_least_0,
    "eps": at_least_0,
    "maximize": flag,
    "momentum": at_least_0,
    "nesterov": flag,
    "weight_decay": at_least_0,
}
# Wrong names that users give to the attributes, each with the option that they mean
MEANT = {name: "betas" for name in INSTEAD if name.startswith("beta")}
MEANT |= dict.fromkeys(("decay", "wd", "weightdecay"), "weight_decay") | dict.fromkeys(RATES, "lr")
MEANT |= {"epsilon": "eps", "rho": "alpha"}


_LOOP = "write optimizer.zero_grad(), loss.backward() and then optimizer.step()"
ATTRIBUTES = {"parameters", "lr", "steps", "_skipped", "lazy_state", "_owners", "_list"}  # of every optimiser


def refuse_closure() -> NoReturn:
    """Raise TypeError for a call of PyTorch's `optimizer.step(closure)`."""
    raise TypeError(f"step() takes no closure; {_LOOP}")


def refuse_options(optimizer: Optimizer, wrong: Iterable[str]) -> None:
    """Raise TypeError if `wrong`, which has the names of options that `optimizer` does not have, is not empty."""
    ops_options.refuse_options(type(optimizer).__name__, wrong, INSTEAD, optimizer.options)


class SkippedCounts:
    """The counts of the steps that have left parameters alone, while each step leaves the same parameters alone.

    An optimiser has such an object in place of the dict `skipped` while machine code takes its steps, so a step need
    not change one item of the dict for each frozen parameter. Whoever reads `Optimizer.skipped` gets the dict.

    Args:
        counts: the dict before the first of these steps.
        frozen: the indices of the parameters that these steps leave alone.
        steps: the optimiser's count of steps before the first of them.

    Attributes:
        steps: the optimiser's count of steps after the last of them. If `optimizer.steps` differs from it, the user has
            assigned `optimizer.steps`.
    """

    __slots__ = "_counts", "_first", "_frozen", "steps"

    def __init__(self, counts: dict[int, int], frozen: list[int], steps: int) -> None:
        self._counts, self._frozen, self._first, self.steps = counts, frozen, steps, steps

    def dict(self) -> dict[int, int]:
        """Return a dict from the index of each parameter that a step has left alone to the count of such steps."""
        if self.steps == self._first:
            return self._counts
        before = map(self._counts.get, self._frozen, repeat(0))
        return self._counts | dict(zip(self._frozen, map(add, before, repeat(self.steps - self._first)), strict=True))


class Optimizer:
    """Hold parameters and their state; a subclass defines `update`, which changes one parameter.

    A subclass also has these attributes: `state_names`, the names of the numbers that `update` keeps in the state of a
    parameter; `nonnegative`, the names of those among them that are never negative; and `options`, the names of the
    attributes that `state_dict` saves.

    A parameter has no gradient if its `grad` is None or its `requires_grad` is False. `step` does not change such a
    parameter, not even by weight decay. Its state and the number of its steps stay the same, too. A gradient of 0.0 is
    a gradient like any other: weight decay shrinks the parameter, and momentum moves it. `zero_grad` sets 0.0, so a
    parameter that the loss does not depend on is still decayed. If such parameters should not change, as is PyTorch's
    default, call `zero_grad(set_to_none=True)`. `backward` then gives a gradient to every parameter that the loss is
    computed from, except where it is detached. This is 0.0 if no gradient flows to it, as to k in `less(k, x)`.

    Compute the loss anew for each step. After its first steps, and some later ones, an optimiser lets the next
    `backward` warn if it goes again through a node that was computed before a step changed its operands. Its second
    step, and some later ones, give a warning if all gradients are 0 and no `backward` has followed `zero_grad`, or if a
    function of a model reads a leaf that gets a gradient and is in no optimiser, such as a default of its arguments.

    An optimiser has the leaves that it got, and knows nothing of the array from which they were taken, as in
    `SGD(list(W.flat))`. Code such as `W[:] = 0.0`, `W.fill(0.0)` and `np.exp(W, out=W)` puts other objects into W,
    which the optimiser does not have. To change the numbers, write `for w, x in zip(W.flat, xs): w.data = x`.

    Args:
        parameters: leaves, which `step` changes.
        lr: learning rate. It may be changed between steps, as may the other options of the subclasses. The first steps,
            some later ones, and each `fit` check what was assigned as the constructor does.

    Attributes:
        steps: the number of steps. While `update` runs for a parameter, `steps` is instead the number of the steps that
            have changed this parameter, including the current step.
        skipped: a dict from the index of each parameter that a step has left alone to the number of such steps.
        maximize: whether steps make the loss larger instead of smaller: every gradient is taken with the opposite sign.
            While `step` runs `update` for a parameter, `p.grad` already has this sign, and `maximize` is False. So
            `update` always descends along `p.grad`, and need not look at `maximize`.
        lazy_state: the list `state`, or a function that makes it, which is called when `state` is first read.

    Raises:
        TypeError: `parameters` is not a sequence of `Value`s.
        ValueError: `parameters` is empty, contains a computed node, a computed constant or the same leaf twice, or `lr`
            is negative, inf or nan.

    >>> from math import copysign
    >>> class Signs(Optimizer):
    ...     def update(self, p, state):
    ...         p.data -= copysign(self.lr, p.grad)
    >>> p = Value(1.0)
    >>> p.grad = 2.0
    >>> Signs([p], lr=0.25).step(); p.data
    0.75
    """

    state_names: tuple[str, ...] = ()
    nonnegative: tuple[str, ...] = ()
    options: tuple[str, ...] = ("lr",)
    maximize: bool = False
    if not TYPE_CHECKING:
        param_groups = Absent("read and set optimizer.lr; all parameters have the same options")
        add_param_group = Absent("make another optimiser for other parameters")
        learning_rate, set_lr, set_learning_rate = [Absent("read and set optimizer.lr") for _ in range(3)]
        params, variables = [Absent("read optimizer.parameters") for _ in range(2)]
        iterations = Absent("read optimizer.steps")
        defaults, get_config = [Absent("write optimizer.state_dict()") for _ in range(2)]
        minimize, apply_gradients = [Absent(_LOOP) for _ in range(2)]
        backward = Absent("write loss.backward()")
        zero_gradients = Absent("write optimizer.zero_grad()")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let an assignment to an option that the subclass `cls` does not have raise an error.

        This is done only for the optimisers of this package.
        """
        super().__init_subclass__(**kwargs)
        if is_of_this_package(cls) and "options" in vars(cls):
            for name in {*CHECKS, *MEANT, *ELSEWHERE} - {*cls.options}:
                meant = MEANT.get(name)
                write = f"read and set optimizer.{meant}" if meant in cls.options else ELSEWHERE.get(name)
                absent = Absent(write or f"its options are {', '.join(cls.options)}")
                absent.__set_name__(cls, name)
                setattr(cls, name, absent)

    def __init__(self, parameters: Iterable[Value], lr: float) -> None:
        _optimizers[self] = None
        self.parameters = self._checked_parameters(parameters)
        self.lr = self._checked_option("lr", lr)
        self.steps = 0
        self._skipped: dict[int, int] | SkippedCounts = {}
        zeros = [dict.fromkeys(self.state_names, 0.0)] * len(self.parameters)
        self.lazy_state: States | Callable[[], States] = partial(copy_states, zeros)
        self._owners = [*self.parameters]  # the parameters to which the items of the state belong
        self._list = self.parameters  # the list that they were in
        models = models_in(self.parameters)
        if models:
            _models[self] = models

    if not TYPE_CHECKING:

        def __new__(cls, *args: Any, **options: Any) -> Any:
            """Return a new object. Raise a helpful TypeError for PyTorch's keyword `params` among `options`.

            Python would only say that `parameters` is missing.
            """
            if "params" in options and not args and not _takes(cls.__init__, "params"):
                raise TypeError(f"{cls.__name__} has no option params; {INSTEAD['params']}")
            made = super().__new__(cls)
            _optimizers[made] = None  # here, too, since a user's `__init__` may not call that of `Optimizer`
            return made

    def _checked_option(self, name: str, x: Any) -> Any:
        """Return `x`, which is given for the option `name`, as a number, a pair of numbers or a bool.

        Raises:
            TypeError, ValueError: `x` is wrong.
        """
        return CHECKS[name](f"{type(self).__name__}: {name}", x)

    def _checked_parameters(self, parameters: Iterable[Value]) -> list[Value]:
        """Return `parameters` as a list.

        Raises:
            TypeError: `parameters` is not a sequence of `Value`s.
            ValueError: there are no parameters; or one of them is a computed node or a computed constant; or the same
                one occurs twice.
        """
        name = type(self).__name__
        found = list_of_parameters(name, parameters)
        for i, p in enumerate(() if _finds_leaves(found) else found):
            if p._da is not None and p._is_constant_result:
                raise ValueError(
                    f"{name}: parameters[{i}], {p!r}, is a constant that an operation computed, not a leaf; write "
                    "Value(x) with the number x that it begins with, p.data = x to change a parameter later, and "
                    "x.detach() for a constant x that is computed"
                )
        if len(set(found)) < len(found):
            i, p = next((i, p) for i, p in enumerate(found) if p in found[:i])
            raise ValueError(f"{name}: parameters[{i}], {p!r}, is there twice; write list(dict.fromkeys(parameters))")
        return found

    def __setstate__(self, state: Any) -> None:
        attributes, slots = state if isinstance(state, tuple) else (state, None)
        attributes = dict(attributes or {})
        if "kept" in attributes:  # the name in pickles of version 0.2
            attributes["lazy_state"] = attributes.pop("kept")
        attributes.setdefault("_skipped", attributes.pop("skipped", {}))  # the name in pickles of earlier versions
        attributes.setdefault("_owners", [*attributes.get("parameters", ())])
        attributes.setdefault("_list", attributes.get("parameters"))
        _optimizers[self] = None
        vars(self).update(attributes)
        for name, x in (slots or {}).items():  # a subclass may have __slots__
            setattr(self, name, x)
        look_again(self)

    def __getstate__(self) -> object:
        """Return the attributes, for a copy or a pickle.

        While machine code takes the steps, `_skipped` is no dict but a `SkippedCounts`. It is made a dict first.
        """
        getattr(self, "skipped", None)
        return super().__getstate__()

    def __repr__(self) -> str:
        """Return a string with the options, the number of parameters and the number of steps.

        >>> from micrograd_cn.optim import SGD
        >>> SGD([Value(1)], lr=0.1)
        <SGD of 1 parameter after 0 steps: lr=0.1, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, \
maximize=False>
        """
        counts = (len(self.parameters), "parameter"), (self.steps, "step")
        parameters, steps = [f"{n} {noun}{'s' * (n != 1)}" for n, noun in counts]
        options = ", ".join([f"{name}={getattr(self, name)!r}" for name in self.options])
        return f"<{type(self).__name__} of {parameters} after {steps}: {options}>"

    @property
    def skipped(self) -> dict[int, int]:
        """A dict from the index of each parameter that a step has left alone to the count of such steps.

        >>> from micrograd_cn.optim import SGD
        >>> optimizer = SGD([Value(1), Value(2, requires_grad=False)])
        >>> optimizer.step(); optimizer.skipped
        {1: 1}
        """
        found: Any = self._skipped
        if type(found) is SkippedCounts:
            found = self._skipped = found.dict()
        counts: dict[int, int] = found
        return counts

    @skipped.setter
    def skipped(self, counts: dict[int, int]) -> None:
        self._skipped = counts

    @property
    def _counts_may_be_too_large(self) -> bool:
        """Whether some counts in `skipped` may be greater than `steps`, since the user may have assigned either."""
        found = self._skipped
        return found.steps != self.steps if type(found) is SkippedCounts else bool(found)

    @property
    def state(self) -> States:
        """A list with a dict for each parameter: the numbers that `update` keeps from one step to the next, by name.

        >>> from micrograd_cn.optim import SGD
        >>> SGD([Value(1)], lr=0.1, momentum=0.9).state
        [{'momentum_buffer': 0.0}]
        """
        try:
            if callable(self.lazy_state):
                self.lazy_state = self.lazy_state()
            if self._owners != self.parameters:
                self.match_state()
        except AttributeError as error:
            if error.name in ("lazy_state", "_owners"):
                name = type(self).__name__
                raise AttributeError(
                    f"{name} has no state; call super().__init__(parameters, lr) in the __init__ of {name}"
                ) from error
            raise
        return self.lazy_state

    @state.setter
    def state(self, states: States) -> None:
        self.lazy_state = states

    def match_state(self) -> None:
        """Put the states in the order of `parameters`, if users have replaced or exchanged items of this list.

        A parameter that is new in the list begins with zeros, and with a count of 0 steps, as in PyTorch. But if users
        have assigned another list, all of whose items are new, as for an optimiser that was pickled without its model,
        these parameters take over the state in the order of the list.

        Raises:
            TypeError: an item is not a `Value`.
            ValueError: an item is a computed node.

        >>> from micrograd_cn.optim import SGD
        >>> a, b, c = Value(1), Value(2), Value(3)
        >>> optimizer = SGD([a, b], momentum=0.9)
        >>> optimizer.state[0]["momentum_buffer"] = 5.0
        >>> optimizer.parameters[:] = [c, a]
        >>> optimizer.state
        [{'momentum_buffer': 0.0}, {'momentum_buffer': 5.0}]
        """
        # The user may have made `steps` smaller
        if self._counts_may_be_too_large and self.skipped and max(self.skipped.values()) > self.steps:
            self.skipped = {i: min(count, self.steps) for i, count in self.skipped.items()}
        now = self.parameters
        if self._owners == now:
            return
        states = self.lazy_state() if callable(self.lazy_state) else self.lazy_state
        if not len(self._owners) == len(now) == len(states):
            return  # `step` raises an error for another number of parameters
        list_of_parameters(type(self).__name__, now)
        counts = [*map(self.skipped.get, range(len(states)), repeat(0))]
        if now is not self._list and {*now}.isdisjoint(self._owners):
            vars(self).update(_owners=[*now], _list=now)
            return
        known: dict[Value, Any] = dict(zip(self._owners, zip(states, counts, strict=True), strict=True))
        matched = [known.pop(p, None) or (dict.fromkeys(self.state_names, 0.0), self.steps) for p in now]
        skipped = {i: count for i, (_, count) in enumerate(matched) if count}
        # One call into C, so Ctrl-C cannot leave this half done
        vars(self).update(lazy_state=[state for state, _ in matched], _skipped=skipped, _owners=[*now], _list=now)

    def update(self, p: Value, state: dict[str, float]) -> None:
        """Change `p.data` by one step, and change `state`, which has the numbers that are kept for the parameter `p`.

        A subclass defines how. The step descends along `p.grad`; see the attribute `maximize`.
        """
        name = type(self).__name__
        raise NotImplementedError(
            f"define update(self, p, state) in the class {name}, such as p.data -= self.lr * p.grad"
        )

    def step(self, closure: None = None) -> None:
        """Change every parameter, except those whose `grad` is None and those that require no gradient.

        Args:
            closure: a PyTorch option. If you set it, an error says what to write instead.

        Raises:
            ValueError: `parameters` has become longer or shorter, or `lr` negative, inf or nan.
            TypeError: `lr` has become something that is not a number, `closure` is set, or a model has lost one of the
                parameters.

        >>> from micrograd_cn.optim import Adam
        >>> p = Value(1.0)
        >>> optimizer = Adam([p])
        >>> optimizer.step(); optimizer.steps
        1
        """
        if closure is not None:
            refuse_closure()
        steps = getattr(self, "steps", None)  # a subclass may not have called this __init__
        if steps in LOOKING_STEPS:
            look_for_mistakes(self)
        elif type(steps) is not int or steps < 0:
            self.check_steps()
        if machine_code and len(self.parameters) >= MIN_PARAMETERS:
            if (self._skipped and self._counts_may_be_too_large) or self._owners != self.parameters:
                self.match_state()
            if type(self.lr) is not float:  # such as a numpy scalar, which a schedule gives
                self.check_lr()
            if machine_code.step(self):
                return
        states = self.state
        self.check_parameter_count(len(states))
        if type(lr := self.lr) is not float or not 0.0 <= lr < inf:
            self.check_lr()
        if self._skipped:
            self.match_state()
            self.steps += 1
            self._step_with_own_counts(states)
            return
        self.steps += 1
        update, complete = self._update_of_step, True
        try:
            for p, state in zip(self.parameters, states, strict=True):
                if p.requires_grad is True and p._grad is not None:  # the property `grad` takes a tenth of the time
                    update(p, state)
                else:
                    complete = False
        except TypeError:
            self.check_options()
            raise
        if not complete:
            self._finish_step()

    @property
    def _update_of_step(self) -> Callable[[Value, dict[str, float]], None]:
        """The function that a step calls for each parameter: `update`, or `_ascend` if `maximize` is set."""
        return self._ascend if self.maximize else self.update

    def _ascend(self, p: Value, state: dict[str, float]) -> None:
        """Call `update` with the opposite gradient.

        `maximize` is False during the call, so an update that takes account of `maximize` itself still ascends.
        """
        gradient, maximize = p.grad, self.maximize
        opposite = -gradient
        try:
            p._grad, self.maximize = opposite, False
            self.update(p, state)
        finally:
            self.maximize = maximize
            if p._grad is opposite:
                p._grad = gradient
            elif p._grad is not None:  # the update has changed it, for example to clip it
                p._grad = -p._grad

    def check_steps(self) -> None:
        """Raise an error if a user has set `steps` to something other than a count of at least 0.

        With -2 steps, the averages of Adam would be divided by negative numbers, and become nan.
        """
        steps = getattr(self, "steps", 0)
        if not isinstance(steps, float) and not hasattr(steps, "__index__"):
            raise TypeError(f"{type(self).__name__}: steps must be an int, got {steps!r}; write optimizer.steps = 0")
        if steps < 0:
            raise ValueError(
                f"{type(self).__name__}: steps must be 0 or more, got {self.steps}; write optimizer.steps = 0 to begin "
                "again"
            )

    def _finish_step(self) -> None:
        """Finish a step that has changed the parameters whose `requires_grad` is True and whose gradient is not None.

        For every other parameter, 1 is added to its count in `skipped`. Before that, a `requires_grad` that is the
        number 1 or `np.True_` is replaced by True, and its parameter is changed, too.

        Raises:
            TypeError: a `requires_grad` is not a bool, such as the text "False".
        """
        skipped = self.skipped
        for i, p in enumerate(self.parameters):
            if type(p.requires_grad) is not bool:
                p.requires_grad = self._checked_requires_grad(i)
                if p.requires_grad and p._grad is not None:
                    total = self.steps
                    try:
                        self.steps = total - skipped.get(i, 0)
                        self._update_of_step(p, self.state[i])
                    finally:
                        self.steps = total
            if not p.requires_grad or p._grad is None:
                skipped[i] = skipped.get(i, 0) + 1

    def _checked_requires_grad(self, i: int) -> bool:
        """Return the `requires_grad` of the parameter `i` as a bool.

        It is a slot of a `Value`, so nothing has checked what was assigned.

        Raises:
            TypeError: it is not True or False, nor a number 1 or 0.
        """
        return flag(f"{type(self).__name__}: parameters[{i}].requires_grad", self.parameters[i].requires_grad)

    def _step_with_own_counts(self, states: States) -> None:
        """Take a step. While `update` changes a parameter, `steps` counts only the steps that have changed it.

        The counts differ between parameters, because earlier steps have left some of them alone. `states` has the state
        of each parameter.
        """
        total, update, skipped = self.steps, self._update_of_step, self.skipped
        try:
            for i, (p, state) in enumerate(zip(self.parameters, states, strict=True)):
                if p.requires_grad is True and p._grad is not None:
                    self.steps = total - skipped.get(i, 0)
                    update(p, state)
        finally:
            self.steps = total
        self._finish_step()

    def check_lr(self) -> float:
        """Return `lr`, which users may assign, as a float.

        Raises:
            ValueError: `lr` is negative, inf or nan.
            TypeError: `lr` is not a number.

        >>> from micrograd_cn.optim import SGD
        >>> optimizer = SGD([Value(1)])
        >>> optimizer.lr = 1
        >>> optimizer.check_lr()
        1.0
        """
        rate: float = self.lr
        if type(rate) is not float or not 0.0 <= rate < inf:
            self.lr = rate = self._checked_option("lr", rate)
        return rate

    def check_parameter_count(self, count: int) -> None:
        """Raise ValueError unless the optimiser has `count` parameters, as many as when it was made."""
        if count == 0 and self.parameters:
            raise ValueError(
                f"the list `state` of {type(self).__name__} is empty, although it has an item for each parameter at "
                "first; to begin anew, make another optimizer"
            )
        if count != len(self.parameters):
            raise ValueError(
                f"{type(self).__name__} was made for {count} parameter{'s' * (count != 1)} and has "
                f"{len(self.parameters)} now; make another one"
            )

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Set the gradient of every parameter to 0, or to None.

        After `zero_grad(set_to_none=True)`, `step` does not change a parameter to which no later `backward` has sent a
        gradient.

        >>> from micrograd_cn.optim import SGD
        >>> p = Value(1.0)
        >>> p.grad = 2.0
        >>> SGD([p]).zero_grad(); p.grad
        0.0
        """
        if type(set_to_none) is not bool:
            set_to_none = flag("zero_grad(): set_to_none", set_to_none)
        if outdated.expected or outdated.answered:
            outdated.note_cleared(self.parameters)
        many = len(self.parameters) >= MIN_PARAMETERS and not context.active
        if many and machine_code and not set_to_none and machine_code.clear_gradients(self.parameters):
            return
        set_gradients(self.parameters, None if set_to_none else 0.0)

    def state_dict(self) -> dict[str, Any]:
        """Return a dict for `load_state_dict`: the options, the number of steps and the parameters' states.

        If steps have left some parameters alone, the dict also has the list "skipped": for each parameter, the number
        of the steps that have left it alone.

        >>> from micrograd_cn.optim import SGD
        >>> SGD([Value(1)], lr=0.1, momentum=0.9).state_dict()["state"]
        [{'momentum_buffer': 0.0}]
        """
        options = {name: getattr(self, name) for name in self.options}
        if self.maximize != type(self).maximize:  # `step` obeys it also if a user's class has no such option
            options["maximize"] = self.maximize
        if self._owners != self.parameters:
            self.match_state()
        states = self.lazy_state() if callable(self.lazy_state) else copy_states(self.lazy_state)
        found = {"options": options, "steps": self.steps, "state": states}
        if self.skipped:
            found["skipped"] = [min(self.skipped.get(i, 0), self.steps) for i in range(len(states))]
        return found

    def check_options(self) -> None:
        """Raise the error that the constructor would raise if an option has been set to a wrong value.

        >>> from micrograd_cn.optim import SGD
        >>> optimizer = SGD([Value(1)])
        >>> optimizer.momentum = -0.5
        >>> optimizer.check_options()
        Traceback (most recent call last):
        ValueError: SGD: momentum must be 0 or more, got -0.5
        """
        if not is_of_this_package(type(self)):
            return
        given = [getattr(self, name) for name in self.options]
        known = _checked.get(self)
        if known and type(self) is known[0] and all(map(is_, given, known[1])):
            return
        for name, x in zip(self.options, given, strict=True):
            self._checked_option(name, x)
        parts = [y for x in given for y in (x if type(x) is tuple else [x])]
        if _IMMUTABLE.issuperset(map(type, parts)):  # other objects may change without another assignment
            _checked[self] = type(self), given

    def _with_options(self, options: Mapping[str, Any]) -> Self:
        """Return a new optimiser of the same class, with the same parameters and the options `options`.

        The `__init__` of a user's subclass may take other options, or change them. In this case, this method calls the
        `__init__` of the base class that defines the attribute `options`.

        Raises:
            TypeError, ValueError: an option is wrong.
        """
        kind: Any = type(self)
        owner: Any = next(base for base in kind.__mro__ if "options" in vars(base))
        if owner.__init__ is not kind.__init__:
            try:
                made: Self = kind(self.parameters, **options)
                if all(_is_given(getattr(made, name), x) for name, x in options.items()):
                    return made
            except TypeError:
                pass
        made = object.__new__(kind)
        try:
            owner.__init__(made, self.parameters, **options)
        except TypeError as error:
            raise TypeError(f"{kind.__name__}: wrong options {options!r}: {error}") from error
        return made

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue like the optimiser whose `state_dict` returned `state`. If `state` is invalid, nothing is changed.

        Raises:
            ValueError: an entry is missing, unexpected or out of range, or the number of parameters differs.
            TypeError: an entry is not a number, or `state` or something in it is not a dict or list where it should be
                one.

        >>> from micrograd_cn.optim import Adam
        >>> optimizer = Adam([Value(1)])
        >>> optimizer.load_state_dict(Adam([Value(2)], lr=0.5).state_dict()); optimizer.lr
        0.5
        """
        name = type(self).__name__
        _check_keys(name, "state_dict", state, {"options", "steps", "state", "skipped"}, {"skipped"})
        _check_keys(name, "options", state["options"], {*self.options, "maximize"}, ADDED_OPTIONS)
        if not isinstance(state["state"], list):
            raise TypeError(f"{name}: state must be a list, got {type(state['state']).__name__}")
        if len(state["state"]) != len(self.parameters):
            raise ValueError(f"{name}: state of {len(state['state'])} parameters for {len(self.parameters)}")
        steps = _count(f"{name}: steps", state["steps"])
        self.match_state()
        options = {key: x for key, x in state["options"].items() if key in self.options}
        checked = self._with_options(options)
        maximize = state["options"].get("maximize", type(self).maximize)
        if checked.maximize != maximize:
            checked.maximize = self._checked_option("maximize", maximize)
        for i, numbers in enumerate(state["state"]):
            _check_keys(name, f"state[{i}]", numbers, set(checked.state_names))
            for key, x in numbers.items():
                if isinstance(x, bool) or not isinstance(x, (int, float)):
                    raise TypeError(f"{name}: state[{i}][{key!r}] must be a number, got {type(x).__name__} {x!r}")
                if key in self.nonnegative and x < 0.0:
                    raise ValueError(f"{name}: state[{i}][{key!r}] must be 0 or more, got {x}")
        skipped = state.get("skipped", [0] * len(self.parameters))
        if not isinstance(skipped, list):
            raise TypeError(f"{name}: skipped must be a list, got {type(skipped).__name__}")
        if len(skipped) != len(self.parameters):
            raise ValueError(f"{name}: skipped has {len(skipped)} counts for {len(self.parameters)} parameters")
        for i, count in enumerate(skipped):
            if _count(f"{name}: skipped[{i}]", count) > steps:
                raise ValueError(f"{name}: skipped[{i}] is {count}, more than the {steps} steps that were taken")
        checked.steps = steps
        checked._owners, checked._list = [*self.parameters], self.parameters
        checked._skipped = {i: count for i, count in enumerate(skipped) if count}
        states = [{key: float(x) for key, x in numbers.items()} for numbers in state["state"]]
        checked.lazy_state = partial(copy_states, states)
        names = [*self.options, "steps", "_skipped", "lazy_state", "_owners", "_list"]
        if checked.maximize != self.maximize:
            names.append("maximize")
        if checked.state_names != self.state_names:
            names.append("state_names")
        found = {name: getattr(checked, name) for name in names}
        assigned_by_code = {name: x for name, x in found.items() if hasattr(_in_class(type(self), name), "__set__")}
        # One call into C, so Ctrl-C cannot leave this half done; properties such as `amsgrad` then change nothing more.
        vars(self).update({name: x for name, x in found.items() if name not in assigned_by_code})
        for name, x in assigned_by_code.items():
            setattr(self, name, x)
        look_again(self)


def _takes(function: Any, name: str) -> bool:
    """Return whether `function` has a parameter, or another local variable, with the name `name`.

    If it is not written in Python, this is not known, and the result is False.
    """
    return name in getattr(getattr(function, "__code__", None), "co_varnames", ())


def _is_given(x: Any, given: Any) -> bool:
    """Return whether an optimiser's attribute `x` is the option `given`, with which the optimiser was made.

    A list such as `betas` is kept as a tuple, so it is compared as a tuple.
    """
    return bool(x == (tuple(given) if isinstance(given, list) else given))


def _in_class(kind: type, name: str) -> Any:
    """Return the attribute `name` from the class `kind` or the nearest base that has it; None if there is none.

    A property is returned itself, and not its value.
    """
    return next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)


# For each optimiser, its class and those options that `check_options` has found right, if nothing can change them
_checked: ByOptimizer[tuple[type[Optimizer], list[Any]]] = ByOptimizer()
# For each class of optimisers, the options that its objects store; others are properties
_stored: WeakKeyDictionary[type[Optimizer], list[str]] = WeakKeyDictionary()


def refuse_misspelt_options(optimizer: Optimizer) -> None:
    """Raise an error if the user has set an option of `optimizer` to something wrong, or has misspelt the option.

    A misspelt option has no effect. Other attributes that the user has set are allowed, and so is any attribute of an
    optimiser whose class is a user's.

    Raises:
        AttributeError: an attribute is spelt nearly like an option.
        TypeError, ValueError: an option is wrong.

    >>> from micrograd_cn.optim import SGD
    >>> optimizer = SGD([Value(1)])
    >>> optimizer.momentun = 0.9
    >>> refuse_misspelt_options(optimizer)
    Traceback (most recent call last):
    AttributeError: SGD has no momentun; read and set optimizer.momentum
    """
    optimizer.check_options()
    kind = type(optimizer)
    stored = _stored.get(kind)
    if stored is None:
        _stored[kind] = stored = [name for name in kind.options if not hasattr(_in_class(kind, name), "__set__")]
    if len(gc.get_referents(optimizer)) == 1 + len(ATTRIBUTES.union(stored)):
        return  # it refers to its class and these attributes alone, and `vars` would make attributes slower in CPython
    others = [name for name in vars(optimizer) if name not in ATTRIBUTES and name not in kind.options]
    if not others or not is_of_this_package(kind):
        return
    from difflib import get_close_matches  # imported here, because correct programs do not need it

    options = [name for name in kind.options if len(name) >= SHORTEST_MISSPELT]
    for name in others:
        if name.lower() in kind.options:
            raise AttributeError(f"{kind.__name__} has no {name}; read and set optimizer.{name.lower()}")
        for meant in get_close_matches(name, options, n=1, cutoff=0.8):
            if meant not in name and not hasattr(kind, name):  # such as momentum0, where a schedule begins
                raise AttributeError(f"{kind.__name__} has no {name}; read and set optimizer.{meant}")


def look_again(optimizer: Optimizer) -> None:
    """Have `optimizer` look for mistakes before its next two steps, since it was just copied, unpickled or loaded.

    Its parameters may be copies of those of the model that computes the loss.
    """
    steps = vars(optimizer).get("steps")
    if type(steps) is not int:
        return
    _resumed[optimizer] = steps
    _add_looks((steps, steps + 1))


def _add_looks(counts: Iterable[int]) -> None:
    """Add `counts` to the counts of steps after which all optimisers look for mistakes.

    Only one optimiser needs these looks. But all optimisers share `LOOKING_STEPS`, so the others call
    `look_for_mistakes` at these counts, too.
    """
    for count in {*counts} - LOOKING_STEPS:
        _further_looks.append(count)
        LOOKING_STEPS.add(count)
        if len(_further_looks) > MOST_LOOKS:
            LOOKING_STEPS.discard(_further_looks.popleft())


_further_looks: deque[int] = deque()  # the counts that were added to `LOOKING_STEPS`
# For each optimiser that was copied, unpickled or loaded, the count of its steps then
_resumed: ByOptimizer[int] = ByOptimizer()


def _look_soon() -> None:
    """Have all optimisers look for mistakes before their next two steps, since a model was made, copied or changed.

    If models change again and again, the optimisers look less and less often.
    """
    for optimizer in _optimizers:
        steps = getattr(optimizer, "steps", None)
        if type(steps) is not int:
            continue
        last, wait = _woken.get(optimizer) or (0, 0)
        if last < steps:
            last, wait = max(steps, last + wait), 2 * wait + 1
            _woken[optimizer] = last, wait
            _add_looks((last, last + 1))


# For each optimiser that looks because some model was changed: the count of its steps before the first of its two
# looks, and how many steps later it may look for this reason again
_woken: ByOptimizer[tuple[int, int]] = ByOptimizer()
changes.look_soon = _look_soon


def look_for_mistakes(optimizer: Optimizer) -> None:
    """Warn of mistakes that keep parameters from being trained, and let the next `backward` look for outdated nodes.

    `optimizer` calls this before some of its steps. There is a warning in three cases:

    - A model has a new parameter that no optimiser trains. It may have replaced another parameter, or have been added.
    - A function of a model reads a leaf that no optimiser trains.
    - `backward` has reached none of the optimiser's parameters, or `zero_grad` was called after it.

    A node is outdated if it was computed before a step changed its operands. The next `backward` warns of such nodes.

    The first two steps check for all of this. So do the two steps after the optimiser was copied or loaded, or after a
    model was made or changed. Each later check is spread over four steps, whose parts are in `PART_OF_STEP`. Part 0
    checks the options, the gradients, and whether nodes are outdated; part 1 the parameters of the models; part 2 the
    leaves that functions read; and part 3 the gradients again. New parameters, and leaves that no optimiser trains, are
    checked once more in the next step.

    Raises:
        TypeError: a model has lost parameters, or the `requires_grad` of a parameter is not True or False.
        AttributeError: the user has set an attribute that is spelt like an option.
    """
    changes.is_noted = False
    since = optimizer.steps - (_resumed.get(optimizer) or 0)
    woken, _ = _woken.get(optimizer) or (-2, 0)
    whole = optimizer.steps in FIRST_LOOKS or since in (0, 1) or optimizer.steps - woken in (0, 1)
    part = PART_OF_STEP.get(optimizer.steps)
    if whole or part == 0:
        refuse_misspelt_options(optimizer)
        _check_requires_grad(optimizer)
    if whole or part == 1:
        listed = ParametersOfModels()
        warn_of_added(optimizer, listed)
        if since:  # before the first step, `__init__` of the models has looked
            refuse_lost_parameters(optimizer.parameters, listed)
            warn_of_replaced(optimizer, listed=listed)
    elif part in (None, 2) and optimizer in _added:
        warn_of_added(optimizer, ParametersOfModels())
    if whole or part == 2 or (part in (None, 3) and optimizer in _in_functions):
        warn_of_functions(optimizer)
    _watch_calls(optimizer)
    if (whole or part in (0, 3)) and since:
        trained = (p for p in optimizer.parameters if p.requires_grad)
        first = next(trained, None)
        if first is not None and not first._grad and not any(p._grad for p in trained):
            _warn_of_no_gradient(optimizer)
        elif first is not None:
            _warn_if_missed(optimizer)
    if whole or part == 0:
        expect_backward(optimizer)


def _check_requires_grad(optimizer: Optimizer) -> None:
    """Raise TypeError if the `requires_grad` of a parameter is not True or False."""
    parameters = optimizer.parameters
    if not _finds_trained(parameters) and not _BOOLS.issuperset(map(type, map(_requires_grad, parameters))):
        for i, p in enumerate(parameters):
            p.requires_grad = optimizer._checked_requires_grad(i)


def _warn_of_no_gradient(optimizer: Optimizer) -> None:
    """Warn if no `backward` has reached `optimizer.parameters`, whose gradients are all 0 or None, for this step.

    Also warn before the second step if `backward` has reached them, and their gradients were cleared after it by hand.
    If the optimiser's class is a user's, which may need no gradients, warn only if `backward` has reached other leaves.
    """
    name = type(optimizer).__name__
    if _warn_if_missed(optimizer):
        return
    if is_of_this_package(type(optimizer)) and was_left_out(optimizer):
        warn_at_user(
            f"all gradients of {name} are 0, since backward() has reached none of its parameters after the last "
            "zero_grad() or step(); write optimizer.zero_grad(), loss.backward() and then optimizer.step(), in this "
            "order"
        )
    elif is_of_this_package(type(optimizer)) and optimizer.steps == 1 and _were_cleared(optimizer.parameters):
        warn_at_user(
            f"all gradients of {name} are 0, but backward() has sent others to its parameters, so they were cleared "
            "after it, as by p.grad = 0; clear them before backward(), for which optimizer.zero_grad() does the same"
        )


def _warn_if_missed(optimizer: Optimizer) -> bool:
    """Warn if `backward` was called since an earlier look of `optimizer`, but reached none of its parameters.

    Return whether this is so. Gradients that are not 0 are then from earlier calls, so each step changes the parameters
    in the same direction.
    """
    step = was_missed(optimizer)
    if step is not None:
        name = type(optimizer).__name__
        are_0 = not any(p._grad for p in optimizer.parameters)
        _warn_once(
            optimizer,
            "missed",
            f"backward() has reached none of the parameters of {name} since its step {step + 1}, and "
            f"{'all their gradients are 0' if are_0 else 'their gradients are still those from before'}; make the "
            f"optimizer anew with the parameters of the model that computes the loss, as in {name}"
            "(model.parameters()), also after the model was copied, loaded or made anew",
        )
    return step is not None


def _were_cleared(parameters: Iterable[Value]) -> bool:
    """Return whether the gradients of `parameters`, which are all 0, were set to 0 after a call of `backward`.

    The nodes that have a parameter as an operand, as far as they still exist, show this: their own gradients say what
    `backward` has added to the parameter's. The result is True if these contributions do not add up to 0 for each
    parameter. Nodes whose data would be other numbers with the present data of their operands are left out, since they
    were computed before an earlier step.
    """
    sent = dict.fromkeys(parameters, 0.0)
    for node in users_of([*sent]):
        if not node._grad or node.op is None or isinstance(node.op, Closure):
            continue
        if node.op.evaluate(*[getattr(x, "_data", x) for x in node.operands]) == node._data:
            for x, term in node._terms(node._grad):
                if x in sent:
                    sent[x] += term
    return any(sent.values())


ADDED = (
    "; make the optimizer anew after a parameter or a layer was added, or write Value(x, requires_grad=False) for a "
    "constant"
)
_optimizers: ByOptimizer[None] = ByOptimizer()  # all that exist
# For each optimiser, the models whose parameters it got when it was made, each with the list of these parameters
_models: ByOptimizer[list[tuple[weakref.ref[Model], list[Value]]]] = ByOptimizer()


def warn_of_replaced(
    optimizer: Optimizer, read: Iterable[Value] = (), listed: ParametersOfModels | None = None
) -> None:
    """Warn if a model no longer has a leaf that `optimizer` got, but has another leaf that is in no optimiser.

    Also warn if a model has got a further leaf that is in no optimiser, and that is in `read`, the leaves that `fit`
    reads. `listed` has the parameters of models that were listed for other warnings.
    """
    listed = listed or ParametersOfModels()
    for reference, before in _models.get(optimizer) or ():
        model = reference()
        now = before if model is None else listed.of(model)
        if now == before or model is None:
            continue
        if {*before} <= {*now}:
            added = {*now}.difference(before).intersection(read)
            found = _without_optimizer(model) if added else []
            path, p = next(((path, p) for path, p in found if p in added and not is_input(p)), ("", None))
            if p is not None:
                _warn_of_added(f"{type(model).__name__}.{path}", p, optimizer, ADDED)
            continue
        path, p = next(((path, p) for path, p in _without_optimizer(model) if not is_input(p)), ("", None))
        if p is not None:
            _warn_of_added(
                f"{type(model).__name__}.{path}",
                p,
                optimizer,
                ", and goes on with a parameter that the model has no longer; make the optimizer anew after a parameter"
                " or a layer was replaced; to change the number of a parameter, write p.data = x; for a state that "
                "calls compute, begin with a number, as in self.h = 0.0",
            )


def warn_of_added(optimizer: Optimizer, listed: ParametersOfModels) -> None:
    """Warn if a model has got a parameter since `optimizer` was made, and this parameter is in no optimiser.

    This is called in some of the optimiser's steps. There is only a warning if the parameter was there in such a step
    before, its gradient has changed since then, and its number has not: then nothing trains it. Two kinds of leaves do
    not count: inputs, which a call of the model keeps in an attribute and each call makes anew, and parameters that the
    user's own code trains. `listed` has the parameters of models that were listed for other warnings.
    """
    if not (models := _models.get(optimizer)):
        return
    last = _added.pop(optimizer) or {}
    added: Added = {}
    for reference, before in models:
        model = reference()
        try:
            if model is None or (now := listed.of(model)) == before or not {*before} < {*now}:
                continue
        except TypeError:  # the model has lost parameters, and the next step raises this error
            continue
        found = _without_optimizer(model)
        for path, p in found:
            before_that = last.get(p, (None, None))
            if before_that and p._grad and before_that[0] != p._grad and before_that[1] == p._data:
                _added[optimizer] = {**last, **dict.fromkeys([p for _, p in found])}
                _warn_of_added(f"{type(model).__name__}.{path}", p, optimizer, ADDED)
                return
            added[p] = before_that and (p._grad, p._data)
    if added:
        _added[optimizer] = added


# For each optimiser the parameters that its models had got when it last looked, with their gradients and numbers then;
# None for those that were there when it warned
Added: TypeAlias = dict[Value, tuple[float | None, float] | None]
_added: ByOptimizer[Added] = ByOptimizer()


def warn_of_functions(optimizer: Optimizer, read: Container[Value] | None = None) -> None:
    """Warn if a function of a model reads a leaf as if it were a parameter, and the leaf is in no optimiser.

    The models are those whose parameters `optimizer` got. Such leaves are in closures, defaults and global variables,
    or in an iterator, a queue and the like, where the model looks for no parameters. Each call keeps the leaves that it
    finds. In a later call, there is only a warning for a leaf that the last call has found, too, whose gradient is not
    0 and has changed since then, and whose number has not changed. `fit` passes `read`, the leaves that it reads. There
    is then only a warning for a leaf that is in `read`, and that the last call has not found.
    """
    last = _in_functions.pop(optimizer) or {}
    found: dict[Value, tuple[float | None, float]] = {}
    for reference, _ in _models.get(optimizer) or ():
        model = reference()
        for path, p in leaves_in_functions(model) if model is not None else ():
            found[p] = p._grad, p._data
            gradient, number = last.get(p, (p._grad, None))
            changed = bool(p._grad) and gradient != p._grad and number == p._data
            if (changed if read is None else p in read and p not in last) and _in_no_optimizer([p]):
                _warn_of_read(optimizer, path, model, p)
                if read is None:
                    return
    if found:
        _in_functions[optimizer] = found


# For each optimiser the leaves that functions of its models read, with their gradients and numbers when it last looked
_in_functions: ByOptimizer[dict[Value, tuple[float | None, float]]] = ByOptimizer()


def _warn_of_read(optimizer: Optimizer, reader: str, model: Model | None, leaf: Value) -> None:
    """Warn that a function of `model` reads `leaf`, which no optimiser has; `reader` names the function."""
    _warn_once(
        optimizer,
        leaf,
        f"{reader} of this {type(model).__name__} reads {leaf!r}, which gets a gradient, but is in no optimizer, so "
        "nothing trains it. It is no parameter of the model, since none are looked for in the variables, defaults and "
        "arguments of functions, nor in iterators, queues and the like, and save() leaves it out. Keep it in an "
        "attribute of a Module whose __call__ uses it; or set its requires_grad = False if it is a constant",
    )


def _watch_calls(optimizer: Optimizer) -> None:
    """Look at the next calls of models if the last `backward` has reached leaves that are in no optimiser.

    There is a warning if a call reads such a leaf, although it is neither in the model nor in the arguments. Inputs are
    in the arguments, unless they are in global variables. There is no warning of a leaf whose number has changed
    meanwhile, since the user's own code trains it.
    """
    known = _causes.get(optimizer) or set()
    found = [(p, data) for p, data in take_others(optimizer) if p._grad and p not in known]
    models = [model for reference, _ in _models.get(optimizer) or () if (model := reference()) is not None]
    left = {*_in_no_optimizer([p for p, _ in found])} if found and models else set[Value]()
    if left:
        asked_by = weakref.ref(optimizer)

        def report(model: Model, method: str, leaves: list[Value]) -> None:
            asker, untrained = asked_by(), _in_no_optimizer(leaves)
            if asker is not None and untrained:
                first, *others = untrained
                _causes[asker] = (_causes.get(asker) or set()).union(others)
                _warn_of_read(asker, method, model, first)

        watch_calls(models, [(p, data) for p, data in found if p in left], report)


def _without_optimizer(model: Model) -> list[tuple[str, Value]]:
    """Return the parameters of `model` that require a gradient but are in no optimiser, each with its path."""
    named = [*model.named_parameters()]
    left = {*_in_no_optimizer([p for _, p in named])}
    return [(path, p) for path, p in named if p.requires_grad and p in left]


def _in_no_optimizer(parameters: Iterable[Value]) -> list[Value]:
    """Return those of `parameters` that no optimiser has."""
    held = {p for each in _optimizers for p in vars(each).get("parameters", ())}
    return [p for p in parameters if p not in held]


def _warn_of_added(where: str, leaf: Value, optimizer: Optimizer, rest: str) -> None:
    _warn_once(
        optimizer,
        leaf,
        f"{where} has come into the model since {type(optimizer).__name__} was made, which does not train it{rest}",
    )


def _warn_once(optimizer: Optimizer, cause: Value | str, message: str) -> None:
    """Give a warning with the text `message`, unless `optimizer` has warned of the same `cause` before.

    The cause is a leaf, or a name. Leaves are kept, since Python may give the id of a freed one to another.
    """
    known = _causes.get(optimizer) or set()
    if cause not in known:
        _causes[optimizer] = {*known, cause}
        warn_at_user(message)


_causes: ByOptimizer[set[Value | str]] = ByOptimizer()  # the causes of the warnings that an optimiser has given


def copy_states(states: States) -> States:
    """Return a copy of `states`, the list of the parameters' state dicts.

    Pickled optimisers refer to this function by its name, so it must not be renamed.
    """
    return [dict(state) for state in states]


def common_state(optimizer: Optimizer) -> dict[str, float] | None:
    """Return the state that all parameters of `optimizer` share, as before the first step; None if it may differ.

    The dict must not be changed.
    """
    lazy: Any = optimizer.lazy_state
    if type(lazy) is not partial or lazy.func is not copy_states:
        return None
    states: States = lazy.args[0]
    return states[0] if len(states) == len(optimizer.parameters) and len({*map(id, states)}) == 1 else None


def _count(name: str, x: Any) -> int:
    """Return `x` if it is an int of at least 0. Error messages begin with `name`.

    Raises:
        TypeError: `x` is not an int.
        ValueError: `x` is negative.
    """
    if isinstance(x, bool) or not isinstance(x, int):
        raise TypeError(f"{name} must be an int, got {x!r}")
    if x < 0:
        raise ValueError(f"{name} must be 0 or more, got {x}")
    return x


def _check_keys(name: str, what: str, given: Any, expected: set[str], optional: Iterable[str] = ()) -> None:
    """Raise TypeError if `given` is not a dict, or ValueError if its keys are not those in `expected`.

    A key that is also in `optional` may be missing. Messages begin with `name`, the name of the optimiser, and call the
    dict `what`.
    """
    if not isinstance(given, Mapping):
        write = ""
        if isinstance(given, Optimizer):
            write = "; write optimizer.load_state_dict(other.state_dict())"
        elif isinstance(given, (str, os.PathLike)):
            write = "; write json.loads(Path(path).read_text()) for a file that has json.dumps(other.state_dict())"
        raise TypeError(f"{name}: {what} must be a dict, got {type(given).__name__}{write}")
    for kind, keys in (
        ("missing", expected - given.keys() - {*optional}),
        ("unexpected", given.keys() - expected),
    ):
        if keys:
            verb = "is" if len(keys) == 1 else "are"
            another = "; make an optimizer of the class that the state is from" * (what == "options")
            raise ValueError(f"{name}: {', '.join(map(repr, sorted(keys)))} {verb} {kind} in {what}{another}")
