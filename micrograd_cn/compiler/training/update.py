"""Compile the method `update` of an optimiser by tracing it: it is called with symbols in the place of numbers.

So the formula of a training step is written only once, in the optimiser.
"""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

from ... import optim
from ...engine import Value
from ...optim import Optimizer
from ...text.formula import FormulaError, FormulaSteps, Term, call_with_terms, formula_steps, remembered
from ..data.surroundings import ReachableCode, Snapshot, Surroundings
from ..instructions.builder import CodeBuilder
from ..instructions.code import BATCH, SAMPLE, Code
from ..llvm.machine import Memory, machine
from ..loops.places import WORD
from ..pipeline import CallLists, make_tables
from ..runtime import drivers

# The attributes in which optimisers with the same update may differ
UNCOMPILED_ATTRIBUTES = ("parameters", "lr", "steps", "skipped", "lazy_state", "_owners", "_list")
MAX_CACHED = 16  # this many compiled updates are kept: those that were used last
_cache: OrderedDict[Any, CompiledUpdate] = OrderedDict()

# The optimisers of this package. Their options determine their updates, so updates can be cached by the options.
OURS = tuple(kind for kind in vars(optim).values() if isinstance(kind, type) and issubclass(kind, Optimizer))
OPTIMIZER_METHODS = "step", "zero_grad", "update"  # these decide what a step of an optimiser does
OUR_METHODS = {getattr(kind, name) for kind in OURS for name in OPTIMIZER_METHODS}


class CompiledUpdate:
    """The compiled method `update` of an optimiser, for any count of parameters.

    This is a program whose samples are the parameters of the optimiser. The inputs of a sample are the parameter's
    data, its gradient and the numbers of its state, and the outputs are the parameter's new data and state. The
    program's own parameters are two scalars: the learning rate and the count of steps.

    Args:
        optimizer: the optimiser.
        masked: whether some of the parameters must not be changed. Each sample then has a further input, which says
            whether its parameter is changed.
        counts_skipped: whether some earlier steps have skipped a parameter, because it was frozen. Each sample then has
            a further input: the count of the steps that skipped its parameter.

    Attributes:
        header: the address of the header, a table that drivers read; see `runtime.drivers`.
        used_state_indices: the indices in the optimiser's `state_names` of the names whose numbers the update reads or
            changes.
        columns: how many inputs a sample has.
        lanes: how many samples a block has, one in each lane.
        block: how many doubles a block has.
        outputs: how many outputs the program has.
    """

    def __init__(self, optimizer: Optimizer, masked: bool, counts_skipped: bool) -> None:
        code, outputs = lower_update(optimizer, masked, counts_skipped)
        self.used_state_indices = used_state_indices(code, outputs)
        self.columns = 2 + len(optimizer.state_names) + counts_skipped + masked
        tables = make_tables(machine(), code, outputs, [], batched=True, width=self.columns, scalars=2)
        plan = tables.plan
        self._calls = calls = CallLists(tables, native=True)
        places = calls.places
        self.lanes, self.block = plan.lanes, places.vector_count * plan.lanes
        self.outputs = len(outputs)
        table = []
        for column, i in zip(
            [0, *range(2, len(outputs) + 1)], outputs, strict=True
        ):  # column 1, the gradient, does not change
            table += [int(plan.schedule.in_lanes(i)), plan.offset(i), WORD * self.lanes * column]
        fields = {"block": WORD * self.block, "outputs": len(outputs), "output_table": tables.table(table)}
        self.header = tables.table(drivers.header(**calls.addresses(), **fields))
        tables.link(fast=True)

    def new_scalars(self) -> Memory:
        """Return memory for the program's scalars, with its constants in it.

        Its first two numbers, which are not set yet, are for the learning rate and the count of steps.
        """
        places = self._calls.places
        found = Memory(places.scalar_count)
        places.fill(found.view)
        return found


def compiled_update(optimizer: Optimizer, masked: bool, counts_skipped: bool) -> CompiledUpdate:
    """Return the compiled update of an optimiser. Optimisers that differ only in learning rate and state share one.

    `masked` says whether some of the parameters must not be changed, and `counts_skipped` whether some earlier steps
    have skipped a parameter. The last `MAX_CACHED` updates are kept. If all updates were kept, a user who tries
    thousands of options would fill the memory with machine code.
    """
    key = update_key(optimizer, masked, counts_skipped)
    if key is None:
        return CompiledUpdate(optimizer, masked, counts_skipped)
    found = _cache.pop(key, None) or CompiledUpdate(optimizer, masked, counts_skipped)
    _cache[key] = found  # at the end of the dict, where the updates are that were used last
    while len(_cache) > MAX_CACHED:
        with suppress(KeyError):  # another thread may have taken the last one
            _cache.popitem(last=False)
    return found


def is_compiled(key: Any) -> bool:
    """Return whether the update with this key, which `update_key` has returned, is compiled and kept."""
    return key in _cache


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
        """Refuse to return other attributes, such as the label, since these differ from parameter to parameter."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise remembered(TypeError(f"it reads p.{name}"))


def lower_update(optimizer: Optimizer, masked: bool, counts_skipped: bool = False) -> tuple[Code, list[int]]:
    """Return the update of one parameter as instructions, and the instruction numbers of its new data and state.

    The inputs are, in this order: the data, the gradient, the numbers of the state, the count of steps that have
    skipped the parameter (only if `counts_skipped` is set), and a mask, which is 0 if the parameter must not be changed
    (only if `masked` is set). The program's parameters are the learning rate and the count of steps, including the step
    that is being taken.

    Raises:
        TypeError: the update is not written in the operations of `micrograd_cn.ops`, changes more than data and state,
            or may treat some parameters in another way than others; or the class has its own `step` or `zero_grad`.
    """
    name = type(optimizer).__name__
    instead = "use backward(rows) and its step()"
    key = update_key(optimizer, masked, counts_skipped)  # None for a class of the user's
    own = [name for name in ("step", "zero_grad") if name in vars(optimizer) or _overridden(type(optimizer), name)]
    if own:
        raise TypeError(f"only the update() of {name} can be compiled, and it has its own {own[0]}(); {instead}")
    lr, steps, data, gradient = (Term(name) for name in ("lr", "steps", "data", "grad"))
    state_terms = {each: Term(each) for each in optimizer.state_names}
    terms = [lr, steps, data, gradient, *state_terms.values()]
    for attribute, held in vars(optimizer).items():
        known = attribute in ("parameters", "lazy_state", "_owners", "_list")
        if not known and any(isinstance(x, Value) for x in _members(held)):
            raise TypeError(
                f"cannot compile the update of {name}, whose {attribute} holds parameters: it may ask which one it is "
                f"given; {instead}"
            )
    if key is None and _reaches_parameters(type(optimizer).update):
        raise TypeError(f"cannot compile the update of {name}, which may ask which parameter it is given; {instead}")
    found = []
    for _ in range(2):
        traced: Any = copy.copy(optimizer)
        traced.lr, traced.steps = lr, steps
        for attribute, term in (("lr", lr), ("steps", steps)):
            if vars(traced).get(attribute) is not term:  # a property, or a __setattr__ of the class
                raise TypeError(
                    f"cannot compile the update of {name}, whose {attribute} is computed when it is read; write "
                    f"fit(..., schedule=f) with a function f(epoch) for the learning rate, or {instead}"
                )
        traced.parameters = traced.state = traced.skipped = (
            None  # so the update cannot depend on them; its code is used for other optimisers, too
        )
        traced._owners = traced._list = ()  # their numbers may change meanwhile, in a thread that trains
        before = {option: repr(x) for option, x in vars(traced).items()}
        p: Any = TracedParameter(data, gradient)
        state: dict[str, Any] = dict(state_terms)
        try:
            call_with_terms(traced.update, p, state)
        except FormulaError as error:
            raise TypeError(f"cannot compile the update of {name}: {error}") from error
        except (TypeError, AttributeError) as error:  # for example math.sqrt(p.grad) or p.label
            raise TypeError(
                f"cannot compile the update of {name}, which is not written in the table's operations on p.data, "
                f"p.grad and the state: {error}; {instead}"
            ) from error
        after = {option: repr(x) for option, x in vars(traced).items()}
        changed = [f"self.{option}" for option in {**before, **after} if before.get(option) != after.get(option)]
        changed += [f"p.{attribute}" for attribute in vars(p) if attribute not in ("data", "grad", "requires_grad")]
        changed += ["p.requires_grad"] * (p.requires_grad is not True)
        changed += ["p.grad"] * (p.grad is not gradient)
        changed += [f"state[{name!r}], which is not among its state_names" for name in state if name not in state_terms]
        changed += [f"state[{name!r}], which is no longer there" for name in state_terms if name not in state]
        if changed:
            raise TypeError(f"cannot compile the update of {name}, which changes {changed[0]}; {instead}")
        found.append(formula_steps(terms, [p.data, *(state[each] for each in optimizer.state_names)]))
    formula, again = found
    if repr(formula) != repr(again):
        raise TypeError(f"cannot compile the update of {name}, which is not the same each time; {instead}")
    if key is None and not _gives_its_numbers(optimizer, formula):
        raise TypeError(f"cannot compile the update of {name}, which is not the same for numbers; {instead}")
    code = CodeBuilder()
    numbers = [code.append(("parameter", i), BATCH) for i in range(2)]
    numbers += [code.append(("input", i), SAMPLE) for i in range(2 + len(state_terms))]
    column = 2 + len(state_terms)
    if counts_skipped:
        skipped = code.append(("input", column), SAMPLE)
        numbers[1] = code.emit("fsub", numbers[1], skipped)
        column += 1
    old_numbers = [numbers[2], *numbers[4:]]
    results = code.instantiate(formula, numbers)
    if masked:
        changed_at_all = code.append(("input", column), SAMPLE)
        results = [
            result if result == old else code.emit("select", changed_at_all, result, old)
            for result, old in zip(results, old_numbers, strict=True)
        ]
    return code, results


def _reaches_parameters(update: Any) -> bool:
    """Return whether an optimiser's `update` may treat some parameters in another way than others.

    It may do so if its code asks for the identity of a parameter by `id(p)`, or if its code uses a global or enclosing
    variable that holds a `Value`, with which it may compare a parameter, as in `p is q`.
    """
    return ReachableCode([update]).asks_for_identity or bool(Surroundings([update]).leaves)


def _gives_its_numbers(optimizer: Optimizer, formula: FormulaSteps) -> bool:
    """Return whether the formula of an optimiser's update, `formula`, gives the results of the update itself.

    Both are computed for a few example numbers, and compared except for rounding. They differ if the update treats
    floats in another way than the terms with which it was traced, for example because it asks `isinstance(p.grad,
    float)`.
    """
    for steps, data, gradient in ((1, 0.75, -0.5), (3, -1.25, 2.0), (1000, 3.0, 1e-3)):
        state = {key: 0.25 + 0.125 * k for k, key in enumerate(optimizer.state_names)}
        values: list[Any] = [optimizer.lr, float(steps), data, gradient, *state.values()]
        plain: Any = copy.copy(optimizer)
        plain.steps, plain.parameters, plain.state, plain.skipped = steps, None, None, None
        p: Any = TracedParameter(data, gradient)
        try:
            plain.update(p, state)
            results = formula.run(values, lambda op, xs: op.forward(*xs), float)
        except ArithmeticError:  # such as a division by 0, which the loop in Python would meet too
            continue
        except Exception:  # whatever an update of a user's own raises for numbers, and did not raise for terms
            return False
        for ours, theirs in zip(results, [p.data, *[state[key] for key in optimizer.state_names]], strict=True):
            if not math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12) and (ours == ours or theirs == theirs):
                return False
    return True


def _members(held: Any) -> Iterable[Any]:
    """Return the members of `held` if it is a collection (keys and values of a dict), otherwise `held` alone."""
    if isinstance(held, dict):
        return (*held, *held.values())
    return held if isinstance(held, (list, tuple, set, frozenset)) else (held,)


def used_state_indices(code: Code, results: Sequence[int]) -> list[int]:
    """Return the indices of the state names whose numbers an update reads or changes.

    `code` and `results` are the two results of `lower_update`. SGD without momentum, for example, does not use its
    momentum buffer.
    """
    leaves = [i for i, instruction in enumerate(code.instructions) if instruction[0] == "input"][2 : 1 + len(results)]
    read = [j for used in code.operands for j in used]
    return [
        k
        for k, (i, new) in enumerate(zip(leaves, results[1:], strict=True))
        if i != new or i in read or results.count(i) > 1
    ]


def names_of_options(optimizer: Optimizer) -> tuple[str, ...]:
    """Return the names of those attributes of an optimiser that its update may read."""
    kind = type(optimizer)
    if kind in OURS:
        return optimizer.options
    own = chain(vars(optimizer), *map(vars, kind.__mro__[: kind.__mro__.index(Optimizer)]))
    read = ReachableCode([kind.update, optimizer]).names.intersection(own)
    return tuple(sorted({*optimizer.options, *read}.difference(UNCOMPILED_ATTRIBUTES) | {"lr"}))


def snapshot_of_options(optimizer: Optimizer) -> Snapshot | None:
    """Return the global variables and the collections that the update of a user's class reads, with what they hold now.

    The collections may be attributes of the optimiser, or global. Return None for an optimiser of this package, or if
    something that the update can read cannot be compared.
    """
    update = type(optimizer).update
    if type(optimizer) in OURS:
        return None
    held = [getattr(optimizer, name, None) for name in names_of_options(optimizer)]
    roots = [update, *[getattr(x, "__func__", x) for x in held]]  # a bound method would lead to what training changes
    code = ReachableCode(roots)
    found = Surroundings(roots, code.attributes, code.names).snapshot()
    return found if found.complete else None


def _overridden(kind: type[Optimizer], method: str) -> bool:
    return getattr(kind, method) not in OUR_METHODS


def update_key(optimizer: Optimizer, masked: bool, counts_skipped: bool) -> Any:
    """Return a key that is equal for optimisers with the same update, even if their learning rates and states differ.

    The key is None if the options of the optimiser do not determine the update: that of a user-defined class may depend
    on anything. `masked` says whether some of the parameters must not be changed, and `counts_skipped` whether some
    earlier steps have skipped a parameter.
    """
    kind = type(optimizer)
    if kind not in OURS or any(_overridden(kind, name) for name in ("step", "zero_grad", "update")):
        return None
    options = {name: x for name, x in vars(optimizer).items() if name not in UNCOMPILED_ATTRIBUTES}
    plain = all(
        isinstance(x, (float, int, str))
        for value in options.values()
        for x in (value if isinstance(value, tuple) else [value])
    )
    return (type(optimizer), masked, counts_skipped, repr(options)) if plain else None
