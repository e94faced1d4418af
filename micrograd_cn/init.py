"""Initial weights: functions of a random generator and a layer's numbers of inputs and outputs."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Protocol, TypeAlias

__all__ = [
    "constant",
    "kaiming_normal",
    "kaiming_uniform",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]


class Generator(Protocol):
    """What is needed of a random generator: the module `random`, or a `random.Random`.

    >>> class Middle:
    ...     def uniform(self, a, b):
    ...         return (a + b) / 2
    ...     def gauss(self, mu, sigma):
    ...         return mu
    >>> xavier_uniform(Middle(), 3, 2)
    0.0
    """

    def uniform(self, a: float, b: float) -> float:
        """Return a number between a and b."""

    def gauss(self, mu: float, sigma: float) -> float:
        """Return a normally distributed number."""


Initialiser: TypeAlias = Callable[[Generator, int, int], float]


def uniform(rng: Generator, nin: int, nout: int) -> float:
    """Return a weight of uniform(-1, 1), variance 1/3: micrograd's.

    >>> -1 <= uniform(random.Random(0), 3, 2) <= 1
    True
    """
    return rng.uniform(-1, 1)


def xavier_uniform(rng: Generator, nin: int, nout: int) -> float:
    """Return a weight of uniform(-a, a), a = sqrt(6 / (nin + nout)), variance 2 / (nin + nout) (Glorot & Bengio 2010).

    >>> abs(xavier_uniform(random.Random(0), 3, 3)) <= 1
    True
    """
    bound = math.sqrt(6.0 / (nin + nout))
    return rng.uniform(-bound, bound)


def xavier_normal(rng: Generator, nin: int, nout: int) -> float:
    """Return a weight of the normal distribution with variance 2 / (nin + nout) (Glorot & Bengio 2010).

    >>> xavier_normal(random.Random(0), 3, 3) == random.Random(0).gauss(0, math.sqrt(1 / 3))
    True
    """
    return rng.gauss(0.0, math.sqrt(2.0 / (nin + nout)))


def kaiming_uniform(rng: Generator, nin: int, nout: int) -> float:
    """Return a weight of uniform(-a, a), a = sqrt(6 / nin), variance 2 / nin, made for relu (He et al. 2015).

    >>> abs(kaiming_uniform(random.Random(0), 6, 3)) <= 1
    True
    """
    bound = math.sqrt(6.0 / nin)
    return rng.uniform(-bound, bound)


def kaiming_normal(rng: Generator, nin: int, nout: int) -> float:
    """Return a weight of the normal distribution with variance 2 / nin, made for relu (He et al. 2015).

    >>> kaiming_normal(random.Random(0), 2, 3) == random.Random(0).gauss(0, 1)
    True
    """
    return rng.gauss(0.0, math.sqrt(2.0 / nin))


def zeros(rng: Generator, nin: int, nout: int) -> float:
    """Return 0. Neurons of one layer that start alike stay alike, so use it to show that, or for a last layer.

    >>> zeros(random.Random(0), 3, 2)
    0.0
    """
    return 0.0


def constant(value: float) -> Initialiser:
    """Return an initialiser that gives `value`.

    >>> constant(0.5)(random.Random(0), 3, 2)
    0.5
    """
    return lambda rng, nin, nout: value


NAMED: dict[str, Initialiser] = {
    f.__name__: f for f in (uniform, xavier_uniform, xavier_normal, kaiming_uniform, kaiming_normal, zeros)
}


def initialiser(init: str | Initialiser) -> Initialiser:
    """Return the initialiser that `init` is or names.

    Raises:
        ValueError: no initialiser has this name.
        TypeError: it is neither a name nor a function.

    >>> initialiser("zeros") is zeros
    True
    """
    if callable(init):
        return init
    if not isinstance(init, str):
        raise TypeError(f"init must be a name or a function, got {init!r}")
    if init not in NAMED:
        raise ValueError(f"unknown initialiser {init!r}; known: {', '.join(NAMED)}")
    return NAMED[init]


def generator(seed: int | Generator | None) -> Generator:
    """Return the random generator that `seed` is or starts; the module `random`, which micrograd draws from, for None.

    Raises:
        TypeError: `seed` is none of them.

    >>> generator(None) is random
    True
    """
    if seed is None:
        return random
    if isinstance(seed, int):
        return random.Random(seed)
    if not hasattr(seed, "uniform"):
        raise TypeError(f"seed must be an int, a random.Random or None, got {seed!r}")
    return seed
