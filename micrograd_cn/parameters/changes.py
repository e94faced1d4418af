"""Tell optimisers that a model was made, copied or changed, so they look whether they still train its parameters.

To look in each step would take too long, so an optimiser looks for mistakes in its first steps and then rarely. When a
model is made, copied or unpickled, or gets another parameter or part, the optimisers look again soon.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["is_noted", "note_change"]

is_noted = False  # whether a change was noted after the last look of any optimiser
look_soon: Callable[[], None] | None = None  # has all optimisers look again soon; the folder `optim` sets it


def note_change() -> None:
    """Have the optimisers look again soon, unless they are going to do so for an earlier change.

    For speed, call this only if `is_noted` is False.
    """
    global is_noted
    is_noted = True
    if look_soon is not None:
        look_soon()
