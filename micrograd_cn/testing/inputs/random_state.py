"""The states of the global random number generators, which `gradcheck` restores when it ends."""

from __future__ import annotations

import ctypes
import pickle
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
    return _comparable(*_states())


def _states(reads_numpy: bool = True) -> tuple[Any, Any, Any]:
    """Return the states of the generators of Python, numpy and PyTorch; None for a library that is not imported.

    The state of numpy's generator is also None if `reads_numpy` is False.
    """
    numpy: Any = sys.modules.get("numpy")
    torch: Any = sys.modules.get("torch")
    of_numpy = numpy.random.get_state(legacy=False) if numpy is not None and reads_numpy else None
    return random.getstate(), of_numpy, torch.get_rng_state() if hasattr(torch, "get_rng_state") else None


def _comparable(python: Any, of_numpy: Any, of_torch: Any) -> dict[str, Any]:
    """Return three states of generators as objects that can be compared by ==, keyed by name."""
    states: dict[str, Any] = {"random": python}
    if of_numpy is not None:
        memory = None if of_numpy["has_gauss"] else _numpy_memory()
        states["numpy.random"] = memory or pickle.dumps(of_numpy)
    if of_torch is not None:
        states["torch"] = of_torch.numpy().tobytes()
    return states


def _numpy_memory() -> tuple[int, bytes] | None:
    """Return the address and the content of the memory in which numpy's global generator keeps its state.

    Two results differ if numbers were drawn in between, and reading the memory takes a hundredth of the time of
    `get_state`. The memory has the 624 words of a Mersenne Twister, and the index of the next word. If the generator is
    not a Mersenne Twister, None is returned.

    There is one exception: numpy draws normal numbers in pairs, and keeps the second of a pair elsewhere. Drawing the
    number that is kept does not change this memory, so the caller must know that none is kept.
    """
    numpy = sys.modules["numpy"]
    generator = numpy.random.get_bit_generator()
    if type(generator) is not numpy.random.MT19937:
        return None
    address: int = generator.ctypes.state_address
    return address, ctypes.string_at(address, 625 * 4)


def advanced_generator(before: dict[str, Any], now: dict[str, Any] | None = None) -> str:
    """Return the name of a global random number generator that has been used since `before`; "" if there is none.

    `before` and `now` have the states of the generators, as `generator_states` returned them. By default, `now` has
    those of this moment.

    >>> before = generator_states()
    >>> advanced_generator(before), random.random() < 1.0, advanced_generator(before)
    ('', True, 'random')
    """
    if now is None:
        python, of_numpy, of_torch = _states(reads_numpy=not _is_numpy_unchanged(before))
        now = {"numpy.random": before.get("numpy.random")} | _comparable(python, of_numpy, of_torch)
    return next((name for name, state in before.items() if now[name] != state), "")


def _is_numpy_unchanged(before: dict[str, Any]) -> bool:
    """Return whether the memory of numpy's generator is that in the states `before`; False if they do not have it."""
    return "numpy.random" in before and _numpy_memory() == before["numpy.random"]


@contextmanager
def restored_generators() -> Iterator[dict[str, Any]]:
    """Restore the states of the global random number generators at the end of the `with` block.

    The `with` statement gives these states to the block, as the dict that `generator_states` returns.
    """
    python, of_numpy, of_torch = _states()
    states = _comparable(python, of_numpy, of_torch)
    try:
        yield states
    finally:
        random.setstate(python)
        if of_numpy is not None and not _is_numpy_unchanged(states):
            sys.modules["numpy"].random.set_state(of_numpy)
        if of_torch is not None:
            sys.modules["torch"].set_rng_state(of_torch)
