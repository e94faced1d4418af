"""Make changes that Ctrl-C cannot leave half done.

In this package, no `while` loop with a condition stands in a `try` or `with` block. Python 3.13 handles signals when
such a loop jumps back to its beginning, but it does not run the handlers of the block then, so a lock would not be
released, for example. Instead, the loop is in a function of its own, which the block calls.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["at_once"]


def at_once(changes: Iterable[object]) -> bool:
    """Make all of `changes`. If Ctrl-C interrupts this, either all of them have been made, or none has.

    Python handles signals, such as that of Ctrl-C, only between two instructions of Python code. Here a single call
    into C makes all changes, so no signal is handled before the last one.

    Args:
        changes: an iterator that makes a change whenever it is advanced. It, and the function that it calls, must be
            written in C, for example `map(setattr, nodes, repeat("_data"), numbers)`. To make the changes of several
            such iterators, pass `map(any, iterators)`.

    Returns:
        True if each change has returned None or another false object. A change that returns a true object ends the
        call, so the changes after it are not made.

    >>> found = []
    >>> at_once(map(found.append, [1, 2, 3]))
    True
    >>> at_once(map(found.pop, [0, 0])), found
    (False, [2, 3])
    """
    return not any(changes)
