"""Find the functions of the user's that run between training steps, and what each may read and change.

The compiled loop of `fit` takes many steps before it returns to Python, and calls a schedule ahead of these steps. The
learning rates are right only if the schedule computes them from the index of the step. If a schedule, a `shuffle` or a
function for `progress` can reach the optimiser or one of its parameters, `fit` copies the results of the steps back
before it calls this function; see `TrainingRun`. The same is done for a schedule that can read what the function for
`progress` stores, such as the losses.

Each of these functions may also change what the compiled function reads. `fit` looks for such changes before it takes
steps, and after each call of a schedule whose code may change something.
"""

from __future__ import annotations

import dis
import sys
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType, NoneType
from typing import Any, NamedTuple

from ...optim import Optimizer, warmup
from ..surroundings.facts import facts_of, is_users_module
from ..surroundings.objects import EXACTLY_PLAIN
from ..surroundings.reach import Reach
from .epochs import TrainingOptions

# Code with one of these names may reach any object
OPAQUE_NAMES = {
    *("eval", "exec", "globals", "locals", "_getframe", "currentframe", "get_objects", "get_referrers"),
    *("modules", "import_module", "__import__"),
}
STORING = {"STORE_GLOBAL", "STORE_DEREF", "STORE_ATTR"}
GRADIENT_NAMES = {"grad", "clip_grad_norm"}  # names by which code reads gradients


def _reaches(reach: Reach, optimizer: Optimizer) -> bool:
    """Return whether a function may reach an optimiser or one of its parameters."""
    around = reach.surroundings
    return (
        not (around.complete and around.large_are_plain and OPAQUE_NAMES.isdisjoint(reach.names))
        or around.has_computed
        or any(x is optimizer for x in around.objects)
        or not {*around.leaves}.isdisjoint(optimizer.parameters)
    )


def _may_tell(first: Reach, second: Reach) -> bool:
    """Return whether the first of two functions may change something that the second one can read."""
    if not first.code.writes:
        return False
    stored = {name for f in first.functions for name in _stored_names(f.__code__)}
    return not first.surroundings.places(stored).isdisjoint(second.surroundings.places(stored))


def _sees_numbers_alone(f: Any) -> bool:
    """Return whether a function reads nothing but its arguments, numbers, strings and modules that are not the user's.

    This is a quick test for common schedules. It may return False although the function reads nothing else. A `Reach`,
    which takes more time, then tells what the function can read.
    """
    if type(f) is not FunctionType or f.__dict__ or f.__kwdefaults__:
        return False
    names = facts_of(f.__code__).names
    if not OPAQUE_NAMES.isdisjoint(names) or any(is_users_module(name) for name in names & sys.modules.keys()):
        return False
    known = f.__globals__
    try:
        held = [cell.cell_contents for cell in f.__closure__ or ()]
    except ValueError:  # a variable that has no value yet
        return False
    held += [*(f.__defaults__ or ()), *[known[name] for name in names if name in known]]
    return all(
        type(x) in EXACTLY_PLAIN
        or (type(x) is ModuleType and not is_users_module(x.__name__))
        or (type(x) is BuiltinFunctionType and type(x.__self__) in (ModuleType, NoneType))
        for x in held
    )


def _stored_names(code: CodeType) -> set[str]:
    """Return the names of the attributes, global variables and variables of closures that a function assigns."""
    found = {str(each.argval) for each in dis.get_instructions(code) if each.opname in STORING}
    return found.union(*[_stored_names(part) for part in code.co_consts if isinstance(part, CodeType)])


class Observers(NamedTuple):
    """What the user's functions that run between steps may read and change.

    Attributes:
        reading: the names of those arguments of `fit` whose functions may read the results of training. The names are
            among "schedule", "shuffle" and "progress". "schedule" is also among them if the function for `progress` may
            pass the losses on to the schedule. `fit` then takes the steps one at a time. Otherwise, which losses the
            schedule sees would depend on the speed of the machine.
        schedule_writes: whether the code of the schedule may change variables or objects.
    """

    reading: frozenset[str] = frozenset()
    schedule_writes: bool = False


def observers_of(options: TrainingOptions) -> Observers:
    """Return what the user's functions that run between steps may read and change, as an `Observers`.

    Raises:
        ValueError: the schedule may read gradients. It is called before the gradients of its step are computed, so it
            would read those of an earlier step.
    """
    names = options.called_between_steps
    if not names:
        return Observers()
    schedule: Any = options.schedule
    while type(schedule) is warmup:
        schedule = schedule.schedule
    shuffle = getattr(options.shuffle, "shuffle", None)
    functions = {"schedule": schedule, "shuffle": shuffle, "progress": options.progress}
    reached = {name: Reach([functions[name]]).followed() for name in names if not _sees_numbers_alone(functions[name])}
    found = {name for name, reach in reached.items() if _reaches(reach, options.optimizer)}
    if "schedule" in found and not GRADIENT_NAMES.isdisjoint(reached["schedule"].names):
        raise ValueError(
            "fit(): the schedule may read gradients, and is called before those of its step are computed; write a loop "
            "of optimizer.zero_grad(), f.backward(batch), optimizer.lr = schedule(optimizer.steps) and optimizer.step()"
        )
    if "schedule" in reached and "progress" in reached and _may_tell(reached["progress"], reached["schedule"]):
        found.add("schedule")
    if "schedule" in reached:
        may_write = reached["schedule"].code.writes or not OPAQUE_NAMES.isdisjoint(reached["schedule"].names)
        return Observers(frozenset(found), may_write)
    return Observers(frozenset(found), "schedule" in names and facts_of(schedule.__code__).writes)
