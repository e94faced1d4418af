"""Work that a thread of its own does while the caller goes on, such as making native code.

Python runs one thread at a time, and lets a thread that waits have its turn after 5 milliseconds at the soonest. A call
of compiled code takes some microseconds. So a background thread must not keep the interpreter: code that runs for long
in Python calls `give_way` often.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# A background thread runs Python code for this long before others have their turn. If another thread never waits, it
# then keeps the interpreter for 5 milliseconds, so work in Python takes eleven times as long as alone.
SECONDS_AT_A_TIME = 5e-4
_background = threading.local()


def give_way() -> None:
    """In a background thread, let other threads run if this one has run for a while. Do nothing in other threads."""
    if hasattr(_background, "until") and time.perf_counter() > _background.until:
        time.sleep(1e-6)  # a sleep of 0 seconds would end before a waiting thread has woken up
        _background.until = time.perf_counter() + SECONDS_AT_A_TIME


class BackgroundWork:
    """A call of `work` in a new thread.

    Python waits for the thread at its exit, since the thread may be inside LLVM, which is taken down at the exit. In a
    child process after `os.fork`, the work counts as done: the child does not have the thread.

    Attributes:
        error: what `work` has raised, or None.

    >>> found = []
    >>> work = BackgroundWork(lambda: found.append(3))
    >>> while not work.done:
    ...     pass
    >>> found, work.error
    ([3], None)
    """

    def __init__(self, work: Callable[[], object]) -> None:
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), name="micrograd_cn native code", daemon=False)
        self._thread.start()

    def _run(self, work: Callable[[], object]) -> None:
        _background.until = 0.0
        try:
            work()
        except Exception as error:  # whatever it is, a later call raises it, where the user sees it
            self.error = error

    @property
    def done(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()
