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
    python, of_numpy, of_torch = _states()
    return _comparable(python, of_numpy, of_torch)


def _states() -> tuple[Any, Any, Any]:
    """Return the states of the generators of Python, numpy and PyTorch; None for a library that is not imported."""
    numpy: Any = sys.modules.get("numpy")
    torch: Any = sys.modules.get("torch")
    of_numpy = numpy.random.get_state() if numpy is not None else None
    return random.getstate(), of_numpy, torch.get_rng_state() if hasattr(torch, "get_rng_state") else None


def _comparable(python: Any, of_numpy: Any, of_torch: Any) -> dict[str, Any]:
    """Return three states of generators as objects that can be compared by ==, keyed by name."""
    states: dict[str, Any] = {"random": python}
    if of_numpy is not None:
        name, keys, *rest = of_numpy
        states["numpy.random"] = (name, keys.tobytes(), *rest)
    if of_torch is not None:
        states["torch"] = of_torch.numpy().tobytes()
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
def restored_generators() -> Iterator[dict[str, Any]]:
    """Restore the states of the global random number generators at the end of the `with` block.

    The `with` statement gives these states to the block, as the dict that `generator_states` returns.
    """
    python, of_numpy, of_torch = _states()
    try:
        yield _comparable(python, of_numpy, of_torch)
    finally:
        random.setstate(python)
        if of_numpy is not None:
            sys.modules["numpy"].random.set_state(of_numpy)
        if of_torch is not None:
            sys.modules["torch"].set_rng_state(of_torch)
