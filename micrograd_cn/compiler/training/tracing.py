"""Trace the method `update` of an optimiser: call it with symbols in place of numbers, and return its formula.

The formula is computed for every parameter and in every step. So an update is refused if it may do something else for
another parameter, in another step or in another call.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from ...engine import Value
from ...graph.context import Hooks, hooked
from ...ops import equal, less, where
from ...optim import Optimizer
from ...text.formula import (
    FUNCTIONS_INSTEAD,
    RAISED,
    FormulaError,
    FormulaSteps,
    Term,
    call_with_terms,
    formula_steps,
    remembered,
)
from ..agreement import agree
from ..surroundings.facts import is_users_module
from ..surroundings.reach import Reach

# Attributes of an optimiser that an update must not read
HELD_PARAMETERS = ("parameters", "lazy_state", "skipped", "_skipped", "_owners", "_list")
LOOP_INSTEAD = "use backward(rows) and its step()"
# What to write for a list of parameters, or their state, in an update
PARAMETERS_INSTEAD = {
    "parameters": "for their number, write self.count = len(self.parameters) in __init__",
    "state": "for the numbers of p, write state['...']",
    "skipped": "for the count of the steps that have changed p, write self.steps",
}


class TracedParameter:
    """A stand-in for a parameter while an update is traced. Its data and its gradient are terms of a formula."""

    def __init__(self, data: Term | float, grad: Term | float) -> None:
        self.data: Any = data
        self.grad: Any = grad
        self.requires_grad = True

    def __eq__(self, other: object) -> bool:
        raise remembered(TypeError("it asks which parameter it is given"))

    def __hash__(self) -> int:
        raise remembered(TypeError("it asks which parameter it is given"))

    if not TYPE_CHECKING:

        @property
        def __class__(self) -> Any:
            """The class `Value`, so `isinstance(p, Value)` is true for this stand-in, as for a parameter."""
            return Value

    def __getattr__(self, name: str) -> NoReturn:
        """Raise TypeError, since other attributes, such as the label, differ from parameter to parameter.

        For names that begin with two underscores, raise AttributeError.
        """
        if name.startswith("__"):
            raise AttributeError(name)
        raise remembered(TypeError(f"it reads p.{name}"))


class Unreadable:
    """A stand-in for the parameters of an optimiser, or their state, while its update is traced.

    The code of an update is used for any parameters, so an update that reads a list of them is refused.

    Args:
        name: the name of the attribute.

    >>> len(Unreadable("parameters"))
    Traceback (most recent call last):
    TypeError: it reads self.parameters, and is compiled for any parameters; for their number, write self.count = \
len(self.parameters) in __init__
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def _refuse(self, *_: object) -> NoReturn:
        message = f"it reads self.{self._name}, and is compiled for any parameters; {PARAMETERS_INSTEAD[self._name]}"
        raise remembered(TypeError(message))

    __getitem__ = __len__ = __iter__ = __contains__ = __bool__ = __add__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse()


class RefusingParameters(Hooks):
    """Hooks that raise an error if an update that is traced reads or assigns the data of an actual parameter.

    The update may use its argument `p` alone, which stands in for the parameters.
    """

    owns_nodes = False

    def read(self, x: Any, how: str) -> None:
        """Raise TypeError, since the update reads the data of an actual parameter, which training changes."""
        raise remembered(TypeError("it reads the data of a parameter other than p"))

    def before_write(self, x: Any, name: str) -> None:
        """Raise TypeError, since the update assigns the data or the gradient of an actual parameter."""
        raise remembered(TypeError("it changes a parameter other than p"))


def reach_of_update(optimizer: Optimizer) -> Reach:
    """Return what the update of a user's optimiser can reach, besides its arguments.

    Attributes of the optimiser that the code of the update does not name are left out.
    """
    kind = type(optimizer)
    update = getattr(vars(optimizer).get("update"), "__func__", None) or vars(optimizer).get("update") or kind.update
    held = {name: x for name, x in vars(optimizer).items() if name not in HELD_PARAMETERS}
    for base in kind.__mro__[:-1]:
        if is_users_module(base.__module__):
            held = {**{name: x for name, x in vars(base).items() if not name.startswith("__")}, **held}
    reach = Reach([update])
    while True:  # the objects that the update reads from its optimiser have code, which may read further ones
        names, roots = reach.attributes, [update]
        for name, x in held.items():
            if name != "update" and (names is None or name in names):
                method = getattr(x, "__self__", None) is optimizer  # its attributes are looked at anyway
                roots.append(x.__func__ if method else x)
        if len(roots) == len(reach.roots):
            return reach
        reach = Reach(roots)


def trace_update(optimizer: Optimizer, is_users: bool) -> FormulaSteps:
    """Return the formula of an optimiser's update.

    Its inputs are the learning rate, the number of steps, the parameter's data, the gradient to descend along, and the
    numbers of the state. Its results are the new data and the new numbers of the state. If the update is a user's, and
    Python's operators in it raise an error for some floats, as in a division by 0, there is one more result: how many
    of these operators raise an error.

    Args:
        optimizer: the optimiser whose update is traced.
        is_users: whether the optimiser's class, its method `update` or an option is the user's, so the update may do
            anything.

    Raises:
        TypeError: the update is not written in the operations of `micrograd_cn.ops`, changes more than data and state,
            or may do something else for another parameter, in another step or in another call.
    """
    name = type(optimizer).__name__
    for attribute, held in vars(optimizer).items():
        if attribute not in HELD_PARAMETERS and any(isinstance(x, Value) for x in _members(held)):
            raise TypeError(
                f"cannot compile the update of {name}, whose {attribute} holds parameters: it may ask which one it is "
                f"given; {LOOP_INSTEAD}"
            )
    terms = [Term(each) for each in ("lr", "steps", "data", "grad", *optimizer.state_names)]
    _check_attributes(optimizer, terms)
    if not is_users:
        traced = copy.copy(optimizer)  # another thread may read the optimiser meanwhile
        _replace(traced, terms)
        return _same_twice(partial(_trace, traced, terms, None), name)
    # The attributes are replaced in place, and not in a copy, since functions that the update calls may read them, too.
    # If an attribute is another optimiser, the update may call the update of that optimiser.
    others = {id(x): x for x in vars(optimizer).values() if isinstance(x, Optimizer) and x is not optimizer}
    saved = [(x, dict(vars(x))) for x in (optimizer, *others.values())]
    reach = reach_of_update(optimizer)
    try:
        _replace(optimizer, terms)
        for other in others.values():
            _replace(other)
        with hooked(RefusingParameters()):
            return _trace_users(optimizer, reach, terms, saved[0][1]["lr"])
    finally:
        try:
            _put_back(saved)
        except KeyboardInterrupt:  # Ctrl-C may interrupt the first call, and a second call does the rest
            _put_back(saved)
            raise


def _trace_users(optimizer: Optimizer, reach: Reach, terms: Sequence[Term], lr: float) -> FormulaSteps:
    """Return the formula of the update of a user's optimiser.

    Args:
        optimizer: the optimiser. Its attributes have terms in place of numbers, see `_replace`.
        reach: what the update can read.
        terms: the inputs of the formula.
        lr: the learning rate of the optimiser, a number.

    Raises:
        TypeError: as for `trace_update`.
    """
    name = type(optimizer).__name__
    if reach.code.asks_for_identity or reach.followed().surroundings.has_values:  # by id(p), or by `is`
        raise TypeError(
            f"cannot compile the update of {name}, which may ask which parameter it is given, or read other "
            f"parameters; {LOOP_INSTEAD}"
        )
    kinds = [kind for kind in type(optimizer).__mro__[:-1] if is_users_module(kind.__module__)]
    around = Reach([*reach.roots, optimizer, *kinds], reach.code).surroundings
    first = around.contents()
    try:
        _fill_caches(optimizer, lr)
        before = around.contents()
        formula = _same_twice(lambda: _trace(optimizer, terms, []), name)
        if before.has_changed() and not around.iterators:  # which the last error of this function names
            raise TypeError(
                f"cannot compile the update of {name}, which changes something beside p.data and state, such as a "
                "counter or a list; read the count of steps as self.steps, and keep numbers in state, or "
                f"{LOOP_INSTEAD}"
            )
        if not _gives_its_numbers(optimizer, lr, formula):
            raise TypeError(f"cannot compile the update of {name}, which is not the same for numbers; {LOOP_INSTEAD}")
    finally:
        first.restore()
    if around.iterators or reach.code.may_change:
        raise TypeError(
            f"cannot compile the update of {name}, which may do something else in each step, since it can reach an "
            f"iterator, a clock or a generator of random numbers; {LOOP_INSTEAD}"
        )
    return formula


def _check_attributes(optimizer: Optimizer, terms: Sequence[Term]) -> None:
    """Raise TypeError if `lr` or `steps` is computed when it is read, as by a property of the optimiser's class.

    `terms` begins with the terms for the learning rate and the number of steps.
    """
    traced: Any = copy.copy(optimizer)
    for attribute, term in zip(("lr", "steps"), terms, strict=False):
        setattr(traced, attribute, term)
        if vars(traced).get(attribute) is not term:  # a property, or a __setattr__ of the class
            raise TypeError(
                f"cannot compile the update of {type(optimizer).__name__}, whose {attribute} is computed when it is "
                f"read; write fit(..., schedule=f) with a function f(step) for the learning rate, or {LOOP_INSTEAD}"
            )


def _replace(optimizer: Optimizer, terms: Sequence[Term] = ()) -> None:
    """Replace attributes of an optimiser before its update is traced, so the formula depends on no parameters.

    The learning rate and the number of steps become the first two of `terms`; if `terms` is empty, they stay numbers.
    With `terms`, `maximize` becomes False, since the caller makes the gradient the one to descend along. The list of
    parameters and the state become objects that raise an error when they are read.
    """
    parameters = Unreadable("parameters")
    vars(optimizer).update(
        zip(("lr", "steps"), terms, strict=False), parameters=parameters, _owners=parameters, _list=parameters,
        lazy_state=Unreadable("state"), _skipped=Unreadable("skipped"),
    )  # fmt: skip
    if terms:
        optimizer.maximize = False


def _put_back(saved: Sequence[tuple[Optimizer, dict[str, Any]]]) -> None:
    """Restore the attributes of optimisers. `saved` has pairs: an optimiser, and a dict of its old attributes."""
    for optimizer, attributes in saved:
        held = vars(optimizer)
        held.update(attributes)
        for name in held.keys() - attributes.keys():
            del held[name]


def _same_twice(trace: Callable[[], FormulaSteps], name: str) -> FormulaSteps:
    """Call `trace` twice, and return the formula that both calls return.

    `name` is the name of the optimiser's class, for the message.

    Raises:
        TypeError: the two formulas differ.
    """
    formula, again = trace(), trace()
    if repr(formula) != repr(again):
        raise TypeError(f"cannot compile the update of {name}, which is not the same each time; {LOOP_INSTEAD}")
    return formula


def _trace(optimizer: Optimizer, terms: Sequence[Term], raising: list[Term] | None) -> FormulaSteps:
    """Call the update with terms, and return its formula; raise TypeError if it does more than compute numbers.

    For the update of a user's class, `raising` is an empty list. It gets the terms of operators that raise an error for
    some floats, as a division by 0 does. For an optimiser of this package, it is None.
    """
    name, state_names = type(optimizer).__name__, optimizer.state_names
    _, _, data, gradient, *state_terms = terms
    state: dict[str, Any] = dict(zip(state_names, state_terms, strict=True))
    before = {option: _text(x) for option, x in vars(optimizer).items()}
    p: Any = TracedParameter(data, gradient)
    try:
        call_with_terms(optimizer.update, p, state, raising=raising)
    except FormulaError as error:
        raise TypeError(f"cannot compile the update of {name}: {error}") from error
    except (TypeError, AttributeError) as error:  # for example math.sqrt(p.grad) or p.label
        write = f"write {FUNCTIONS_INSTEAD}, or " if "Term" in str(error) else ""
        raise TypeError(
            f"cannot compile the update of {name}, which is not written in the table's operations on p.data, "
            f"p.grad and the state: {error}; {write}{LOOP_INSTEAD}"
        ) from error
    after = {option: _text(x) for option, x in vars(optimizer).items()}
    changed = [f"self.{option}" for option in {**before, **after} if before.get(option) != after.get(option)]
    changed += [f"p.{attribute}" for attribute in vars(p) if attribute not in ("data", "grad", "requires_grad")]
    changed += ["p.requires_grad"] * (p.requires_grad is not True)
    changed += ["p.grad"] * (p.grad is not gradient)
    changed += [f"state[{name!r}], which is not among its state_names" for name in state if name not in state_names]
    changed += [f"state[{name!r}], which is no longer there" for name in state_names if name not in state]
    if changed:
        raise TypeError(f"cannot compile the update of {name}, which changes {changed[0]}; {LOOP_INSTEAD}")
    errors = [sum(map(_raises, raising), 0.0)] if raising else []
    return formula_steps(terms, [p.data, *(state[each] for each in state_names), *errors])


def _raises(x: Term) -> Any:
    """Return a term that is 1 if the operator of `x`, a division, a remainder or a power, raises an error for floats.

    It is 0 otherwise.
    """
    assert x.op
    operands: Any = x.operands
    if OverflowError not in RAISED[x.op.name]:
        return equal(operands[1], 0.0)
    is_infinite = equal(abs(x), math.inf)
    for operand in operands:
        is_infinite = where(less(abs(operand), math.inf), is_infinite, 0.0)  # inf ** 2 raises no error
    return is_infinite


def _text(x: Any) -> str:
    """Return `repr(x)`. If it raises an error, return a string with only the class and the address of x.

    `repr` of a method of the optimiser, for example, reads the parameters, which raises an error while the update is
    traced.
    """
    try:
        return repr(x)
    except Exception:  # a user's `__repr__` may raise anything where it meets the refusal of a parameter
        return object.__repr__(x)


def _examples(lr: float, state_names: Sequence[str]) -> list[list[Any]]:
    """Return a few examples of the numbers that the formula of an update takes."""
    state = [0.25 + 0.125 * k for k, _ in enumerate(state_names)]
    numbers = (1, 0.75, -0.5), (3, -1.25, 2.0), (1000, 3.0, 1e-3)
    return [[lr, steps, data, gradient, *state] for steps, data, gradient in numbers]


def _updated(optimizer: Optimizer, numbers: Sequence[Any]) -> list[Any]:
    """Call the update with numbers, and return the new data and the new numbers of the state.

    `numbers` has the inputs of the formula that `trace_update` returns. The optimiser keeps the learning rate and the
    number of steps among them until `_put_back` restores its attributes.
    """
    lr, steps, data, gradient, *state_numbers = numbers
    vars(optimizer).update(lr=lr, steps=steps)
    p: Any = TracedParameter(data, gradient)
    state = dict(zip(optimizer.state_names, state_numbers, strict=True))
    optimizer.update(p, state)
    return [p.data, *[state[key] for key in optimizer.state_names]]


def _fill_caches(optimizer: Optimizer, lr: float) -> None:
    """Call the update of an optimiser once with numbers, to fill the caches that its first call fills.

    Later calls, with symbolic terms in place of the numbers, then change no cache. The attributes of the optimiser
    itself are put back. `lr` is the learning rate for this call.
    """
    saved = dict(vars(optimizer))
    with suppress(Exception):  # the call with terms raises it again
        _updated(optimizer, _examples(lr, optimizer.state_names)[0])
    _put_back([(optimizer, saved)])


def _gives_its_numbers(optimizer: Optimizer, lr: float, formula: FormulaSteps) -> bool:
    """Return whether the formula of an optimiser's update, `formula`, gives the results of the update itself.

    Both are computed for a few example numbers, and must be equal up to rounding. They differ if the update treats
    floats in another way than the symbols with which it was traced, for example because it asks `isinstance(p.grad,
    float)`.
    """
    for numbers in _examples(lr, optimizer.state_names):
        try:
            theirs = _updated(optimizer, numbers)
            ours = formula.run([*map(float, numbers)], lambda op, xs: op.forward(*xs), float)
        except ArithmeticError:  # such as a division by 0, which the loop in Python would meet too
            continue
        except Exception:  # whatever an update of a user's own raises for numbers, and did not raise for terms
            return False
        if not agree(ours[: len(theirs)], theirs):  # ours may end with a count of errors
            return False
    return True


def _members(held: Any) -> Iterable[Any]:
    """Return the members of `held` if it is a collection (keys and values of a dict), otherwise `held` alone."""
    if isinstance(held, dict):
        return (*held, *held.values())
    return held if isinstance(held, (list, tuple, set, frozenset)) else (held,)
