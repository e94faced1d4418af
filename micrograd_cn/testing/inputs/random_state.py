"""The states of the global random number generators, which `gradcheck` restores when it ends."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__tracebackhide__ = True


def generator_states() -> dict[str, Any]:
    """Return the states of the global random number generators of Python, numpy and PyTorch, keyed by name.

    numpy and PyTorch are left out if they have not been imported.
    """
    states: dict[str, Any] = {"random": random.getstate()}
    numpy: Any = sys.modules.get("numpy")
    torch: Any = sys.modules.get("torch")
    if numpy is not None:
        name, keys, *rest = numpy.random.get_state()
        states["numpy.random"] = (name, keys.tobytes(), *rest)
    if hasattr(torch, "get_rng_state"):
        states["torch"] = torch.get_rng_state().numpy().tobytes()
    return states


def advanced_generator(before: dict[str, Any], now: dict[str, Any] | None = None) -> str:
    """Return the name of a global random number generator that has been used since `before`; "" if there is none.

    `before` and `now` have the states of the generators, as `generator_states` returned them. By default, `now` has
    those of this moment.

    >>> before = generator_states()
    >>> advanced_generator(before), random.random() < 1.0, advanced_generator(before)
    ('', True, 'random')
    """
    now = generator_states() if now is None else now
    return next((name for name, state in before.items() if now[name] != state), "")


@contextmanager
def restored_generators() -> Iterator[None]:
    """Restore the states of the global random number generators at the end of the `with` block."""
    numpy: Any = sys.modules.get("numpy")
    torch: Any = sys.modules.get("torch")
    python, of_numpy = random.getstate(), numpy.random.get_state() if numpy is not None else None
    of_torch = torch.get_rng_state() if hasattr(torch, "get_rng_state") else None
    try:
        yield
    finally:
        random.setstate(python)
        if numpy is not None:
            numpy.random.set_state(of_numpy)
        if of_torch is not None:
            torch.set_rng_state(of_torch)
