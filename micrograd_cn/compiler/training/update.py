"""An optimiser's update, compiled: it is traced, so that what `step()` does is written in one place."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from ...engine import Value
from ...optim import SGD, Adam, AdamW, Optimizer, RMSprop
from ...text.formula import FormulaError, Term, straight_line
from ..instructions.builder import CodeBuilder
from ..instructions.code import BATCH, SAMPLE, Code
from ..llvm.machine import machine
from ..loops.places import WORD
from ..loops.plan import Plan
from ..loops.schedule import Schedule
from ..runtime import drivers
from ..runtime.executable import StageLists
from ..tables.tables import Tables

UNCOMPILED_ATTRIBUTES = (
    "parameters",
    "lr",
    "steps",
    "kept",
)  # attributes in which optimisers with the same update may differ
MAX_CACHED = 16  # updates, of the options that were used last
_cache: OrderedDict[Any, CompiledUpdate] = OrderedDict()


class CompiledUpdate:
    """The compiled update of a kind of optimiser, for any number of parameters.

    Of each parameter there are, in blocks with one parameter in each lane: its data, its gradient, what the optimiser
    keeps of it, and, if `masked`, whether it is changed at all. Scalars are the learning rate and the number of steps.

    Attributes:
        header: the address of its header, see `drivers`.
        kept: which of the optimiser's slots it reads or changes.
        numbers: how many there are of a parameter.
        lanes: parameters of a block.
        block: doubles of a block.
        scalars: how many there are.
        constants: what scalars hold from the start.
    """

    def __init__(self, optimizer: Optimizer, masked: bool) -> None:
        code, outputs = lower_update(optimizer, masked)
        self.used_slots = used_slots(code, outputs)
        self.columns = 2 + len(optimizer.state_names) + masked
        on, schedule = machine(), Schedule(code, outputs, [], batched=True)
        plan = Plan(schedule, on.simd, on.width, self.columns, 2)
        tables = Tables(plan, on)
        self._stages = stages = StageLists(tables, native=True)
        places = stages.places
        self.lanes, self.block, self.constants = plan.lanes, places.vector_count * plan.lanes, places.constants
        self.scalars, self.outputs = places.scalar_count, len(outputs)
        table = []
        for column, i in zip([0, *range(2, len(outputs) + 1)], outputs, strict=True):  # the gradient, column 1, stays
            table += [int(schedule.in_lanes(i)), plan.offset(i), WORD * self.lanes * column]
        fields = {
            "batch": stages.address(BATCH, tables.pack_calls),
            "broadcast": stages.address_of_broadcasts(),
            "sample": stages.address(SAMPLE),
            "block": WORD * self.block,
            "outputs": len(outputs),
            "output_table": tables.table(table),
        }
        self.header = tables.table(drivers.header(**fields))
        tables.link(fast=True)


def compiled_update(optimizer: Optimizer, masked: bool) -> CompiledUpdate:
    """Return the update of an optimiser, made once for all that differ in learning rate and state alone.

    Those of the last few options are kept: a search among thousands would fill the memory with machine code.
    """
    key = update_key(optimizer, masked)
    if key is None:
        return CompiledUpdate(optimizer, masked)
    found = _cache.pop(key, None) or CompiledUpdate(optimizer, masked)
    _cache[key] = found  # the last one now
    while len(_cache) > MAX_CACHED:
        with suppress(KeyError):  # another thread has been quicker
            _cache.popitem(last=False)
    return found


class TracedParameter:
    """What stands for every parameter while an update is traced."""

    def __init__(self, data: Term, grad: Term) -> None:
        self.data: Any = data
        self.grad: Any = grad
        self.requires_grad = True

    def __eq__(self, other: object) -> bool:
        raise TypeError("it asks which parameter it is given")

    def __hash__(self) -> int:
        raise TypeError("it asks which parameter it is given")


def lower_update(optimizer: Optimizer, masked: bool) -> tuple[Code, list[int]]:
    """Return the instructions for one parameter, and the numbers of its new data and of what is kept of it.

    Inputs are data, gradient and what is kept, then, if `masked`, whether it is changed at all; parameters are the
    learning rate and the number of steps, this one included.

    Raises:
        TypeError: the update is not written in the table's operations, or it is not all that a step does.
    """
    name = type(optimizer).__name__
    instead = "use backward(rows) and its step()"
    own = [method for method in ("step", "zero_grad") if _overridden(type(optimizer), method)]
    if own:
        raise TypeError(f"compiled is the update() of {name} alone, not its own {own[0]}(); {instead}")
    lr, steps, data, gradient = (Term(name) for name in ("lr", "steps", "data", "grad"))
    kept = {slot: Term(slot) for slot in optimizer.state_names}
    terms = [lr, steps, data, gradient, *kept.values()]
    for attribute, held in vars(optimizer).items():
        if attribute not in ("parameters", "lazy_state") and any(isinstance(x, Value) for x in _members(held)):
            raise TypeError(
                f"cannot compile the update of {name}, whose {attribute} holds parameters: it may ask which one it is "
                f"given; {instead}"
            )
    found = []
    for _ in range(2):
        traced: Any = copy.copy(optimizer)
        traced.lr, traced.steps = lr, steps
        traced.parameters = traced.state = None  # the code is used again for others
        before = {option: repr(x) for option, x in vars(traced).items()}
        p: Any = TracedParameter(data, gradient)
        state: dict[str, Any] = dict(kept)
        try:
            traced.update(p, state)
        except FormulaError as error:
            raise TypeError(f"cannot compile the update of {name}: {error}") from error
        except (TypeError, AttributeError) as error:  # math.sqrt(term), p.label
            raise TypeError(
                f"cannot compile the update of {name}, which is not written in the table's operations on p.data, "
                f"p.grad and the state: {error}; {instead}"
            ) from error
        after = {option: repr(x) for option, x in vars(traced).items()}
        changed = [f"self.{option}" for option in {**before, **after} if before.get(option) != after.get(option)]
        changed += [f"p.{attribute}" for attribute in vars(p) if attribute not in ("data", "grad", "requires_grad")]
        changed += ["p.requires_grad"] * (p.requires_grad is not True)
        changed += ["p.grad"] * (p.grad is not gradient)
        changed += [f"state[{name!r}], which is not among its state_names" for name in state if name not in kept]
        changed += [f"state[{name!r}], which is no longer there" for name in kept if name not in state]
        if changed:
            raise TypeError(f"cannot compile the update of {name}, which changes {changed[0]}; {instead}")
        found.append(straight_line(terms, [p.data, *(state[slot] for slot in optimizer.state_names)]))
    line, again = found
    if repr(line) != repr(again):
        raise TypeError(f"cannot compile the update of {name}, which is not the same each time; {instead}")
    code = CodeBuilder()
    numbers = [code.append(("parameter", i), BATCH) for i in range(2)]
    numbers += [code.append(("input", i), SAMPLE) for i in range(2 + len(kept))]
    results = code.instantiate(line, numbers)
    if masked:
        changed_at_all = code.append(("input", 2 + len(kept)), SAMPLE)
        results = [
            result if result == old else code.emit("select", changed_at_all, result, old)
            for result, old in zip(results, [numbers[2], *numbers[4:]], strict=True)
        ]
    return code, results


def _members(held: Any) -> Iterable[Any]:
    """Return an attribute, or what is in it."""
    if isinstance(held, dict):
        return (*held, *held.values())
    return held if isinstance(held, (list, tuple, set, frozenset)) else (held,)


def used_slots(code: Code, results: Sequence[int]) -> list[int]:
    """Return which of an optimiser's slots an update reads or changes: without momentum, not its buffer."""
    leaves = [i for i, instruction in enumerate(code.instructions) if instruction[0] == "input"][2 : 1 + len(results)]
    read = [j for used in code.operands for j in used]
    return [
        k
        for k, (i, new) in enumerate(zip(leaves, results[1:], strict=True))
        if i != new or i in read or results.count(i) > 1
    ]


def _overridden(kind: type[Optimizer], method: str) -> bool:
    return getattr(kind, method) not in [getattr(ours, method) for ours in (Optimizer, SGD, RMSprop, Adam, AdamW)]


def update_key(optimizer: Optimizer, masked: bool) -> Any:
    """Return what is equal for optimisers with the same update: that differ in learning rate and state alone.

    It is None where that cannot be told from the options: the update of a class that is not the library's may depend on
    anything.
    """
    if type(optimizer) not in (SGD, RMSprop, Adam, AdamW):
        return None
    options = {name: x for name, x in vars(optimizer).items() if name not in UNCOMPILED_ATTRIBUTES}
    plain = all(
        isinstance(x, (float, int, str))
        for value in options.values()
        for x in (value if isinstance(value, tuple) else [value])
    )
    return (type(optimizer), masked, repr(options)) if plain else None
