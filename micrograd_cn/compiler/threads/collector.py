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

    In a background thread, the collector is left on: it is shared by all threads, and the user's code, which runs
    meanwhile, may switch it, or read whether it is on, as `timeit` does. Native code would not be made faster without
    it, since LLVM takes most of the time.

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
