"""Switch the garbage collector off while many objects are made."""

from __future__ import annotations

import gc
import operator
from collections.abc import Callable
from typing import TypeVar

from .background import in_background

T = TypeVar("T")
MANY_OBJECTS = 10_000  # the garbage collector visits this many objects in about a millisecond


def without_collector(work: Callable[[], T]) -> T:
    """Return `work()`. The garbage collector, which would visit new objects repeatedly, is off while `work` runs.

    A background thread leaves it on, since it is the collector of the whole process. The user's code, which goes on
    meanwhile, may switch it itself, or read whether it is on, as `timeit` does. To make native code takes as long
    either way: most of that time is spent in LLVM.

    Compiled programs have no reference cycles that the collector could find. If many objects were made, all objects are
    moved to the collector's oldest generation afterwards. Otherwise the collector would visit the new objects as soon
    as it is switched on again.

    Ctrl-C cannot leave the collector off. Python handles signals after calls, and the `finally` block consists of one
    call of a function that is written in C.
    """
    if not gc.isenabled() or in_background():
        return work()
    restore = map(operator.call, [gc.enable])
    try:
        gc.disable()
        result = work()
        made, *_ = gc.get_count()
        if made >= MANY_OBJECTS and not gc.get_freeze_count():  # unfreeze() would thaw others' objects, too
            restore = map(operator.call, [gc.freeze, gc.unfreeze, gc.enable])  # all are in the oldest generation then
        return result
    finally:
        any(restore)  # each call returns None, so all of them are made
