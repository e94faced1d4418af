"""An optimiser's update as instructions: it is traced, so that what `step()` does is written in one place."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

from ..formula import FormulaError, Term
from ..optim import SGD, Optimizer
from .instructions import BATCH, SAMPLE, Lowering, steps_of


def lower_update(optimizer: Optimizer, masked: bool) -> tuple[Lowering, list[int]]:
    """Return the instructions for one parameter, and the numbers of its new data and of what is kept of it.

    Inputs are data, gradient and what is kept, then, if `masked`, whether it is changed at all; parameters are the
    learning rate and the number of steps, this one included.

    Raises:
        TypeError: the update is not written in the table's operations, or it is not all that a step does.
    """
    if type(optimizer).step not in (Optimizer.step, SGD.step):
        raise TypeError(
            f"fit() runs the update() of {type(optimizer).__name__} and would pass over its own step(); use "
            "backward(rows) and its step()"
        )
    lr, steps, data, gradient = (Term(name) for name in ("lr", "steps", "data", "grad"))
    kept = {slot: Term(slot) for slot in optimizer.slots}
    traced: Any = copy.copy(optimizer)
    traced.lr, traced.steps = lr, steps
    traced.parameters = traced.state = None  # the code is used again for others
    p: Any = SimpleNamespace(data=data, grad=gradient, requires_grad=True)
    state: dict[str, Any] = dict(kept)
    try:
        traced.update(p, state)
    except FormulaError as error:
        raise TypeError(f"fit() cannot compile the update of {type(optimizer).__name__}: {error}") from error
    except TypeError as error:  # math.sqrt(term)
        raise TypeError(
            f"fit() cannot compile the update of {type(optimizer).__name__}, which is not written in the table's "
            f"operations: {error}; use backward(rows) and its step()"
        ) from error
    new = [p.data, *(state[slot] for slot in optimizer.slots)]
    code = Lowering()
    terms = [lr, steps, data, gradient, *kept.values()]
    numbers = [code.add(("parameter", i), BATCH) for i in range(2)]
    numbers += [code.add(("input", i), SAMPLE) for i in range(2 + len(kept))]
    results = code.instantiate(steps_of(terms, new), numbers)
    if masked:
        changed = code.add(("input", 2 + len(kept)), SAMPLE)
        results = [
            code.machine("select", changed, result, old)
            for result, old in zip(results, [numbers[2], *numbers[4:]], strict=True)
        ]
    return code, results
