"""Initialisers: functions `(rng, nin, nout)` that return an initial weight for a layer.

`rng` is a random generator, and the layer has `nin` inputs and `nout` outputs. Xavier's and Kaiming's weights keep the
variance of activations about the same from layer to layer.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from numbers import Integral
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias

__all__ = [
    "constant",
    "kaiming_normal",
    "kaiming_uniform",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        """Raise an error for a name that this module does not have. It says what to write."""
        from .text.public_names import missing_name

        raise missing_name(name, sys._getframe(1), __name__)


class Generator(Protocol):
    """A random generator with the methods `uniform` and `gauss`, such as a `random.Random` or the module `random`.

    A numpy generator may be passed too: it has no `gauss`, so its method `normal` is called.

    >>> class Middle:
    ...     def uniform(self, a, b):
    ...         return (a + b) / 2
    ...     def gauss(self, mu, sigma):
    ...         return mu
    >>> xavier_uniform(Middle(), 3, 2)
    0.0
    """

    def uniform(self, a: float, b: float) -> float:
        """Return a random number between a and b."""

    def gauss(self, mu: float, sigma: float) -> float:
        """Return a normally distributed number with mean `mu` and standard deviation `sigma`."""


def _normal(rng: Any, deviation: float) -> float:
    """Draw a number with mean 0 and the standard deviation `deviation` from `rng`, a Python or numpy generator."""
    draw = rng.gauss if hasattr(rng, "gauss") else rng.normal
    return float(draw(0.0, deviation))


Initialiser: TypeAlias = Callable[[Generator, int, int], float]


def uniform(rng: Generator, nin: int, nout: int) -> float:
    """Draw a weight from uniform(-1, 1), which has variance 1/3, by the generator `rng`, as micrograd does.

    It does not depend on `nin` and `nout`, the counts of inputs and outputs.

    >>> uniform(random.Random(0), 3, 2) == random.Random(0).uniform(-1, 1)
    True
    """
    return rng.uniform(-1, 1)


def xavier_uniform(rng: Generator, nin: int, nout: int) -> float:
    """Draw a weight from uniform(-a, a) with a = sqrt(6 / (nin + nout)), which has variance 2 / (nin + nout).

    `rng` is the random generator, and the layer has `nin` inputs and `nout` outputs. This initialiser is made for tanh
    and sigmoid (Glorot & Bengio 2010).

    >>> xavier_uniform(random.Random(0), 4, 2) == random.Random(0).uniform(-1, 1)
    True
    """
    bound = math.sqrt(6.0 / (nin + nout))
    return rng.uniform(-bound, bound)


def xavier_normal(rng: Generator, nin: int, nout: int) -> float:
    """Draw a weight from the normal distribution with mean 0 and variance 2 / (nin + nout).

    `rng` is the random generator, and the layer has `nin` inputs and `nout` outputs. This initialiser is made for tanh
    and sigmoid (Glorot & Bengio 2010).

    >>> xavier_normal(random.Random(0), 3, 3) == random.Random(0).gauss(0, math.sqrt(1 / 3))
    True
    """
    return _normal(rng, math.sqrt(2.0 / (nin + nout)))


def kaiming_uniform(rng: Generator, nin: int, nout: int) -> float:
    """Draw a weight from uniform(-a, a) with a = sqrt(6 / nin), which has variance 2 / nin.

    `rng` is the random generator, and the layer has `nin` inputs. Its count of outputs, `nout`, does not matter. This
    initialiser is made for relu (He et al. 2015).

    >>> kaiming_uniform(random.Random(0), 6, 3) == random.Random(0).uniform(-1, 1)
    True
    """
    bound = math.sqrt(6.0 / nin)
    return rng.uniform(-bound, bound)


def kaiming_normal(rng: Generator, nin: int, nout: int) -> float:
    """Draw a weight from the normal distribution with mean 0 and variance 2 / nin.

    `rng` is the random generator, and the layer has `nin` inputs. Its count of outputs, `nout`, does not matter. This
    initialiser is made for relu (He et al. 2015).

    >>> kaiming_normal(random.Random(0), 2, 3) == random.Random(0).gauss(0, 1)
    True
    """
    return _normal(rng, math.sqrt(2.0 / nin))


def zeros(rng: Generator, nin: int, nout: int) -> float:
    """Return the weight 0, whatever the arguments `rng`, `nin` and `nout` are.

    Use it for a last layer only: in any other layer, neurons that start with equal weights keep equal weights.

    >>> zeros(random.Random(0), 3, 2)
    0.0
    """
    return 0.0


def constant(value: float) -> Initialiser:
    """Return an initialiser that gives every weight the value `value`.

    >>> constant(0.5)(random.Random(0), 3, 2)
    0.5
    """
    return lambda rng, nin, nout: value


NAMED: dict[str, Initialiser] = {
    f.__name__: f for f in (uniform, xavier_uniform, xavier_normal, kaiming_uniform, kaiming_normal, zeros)
}


def initialiser(init: str | Initialiser) -> Initialiser:
    """Return the initialiser that `init` names, or `init` itself if it is a function.

    Raises:
        ValueError: no initialiser has the name.
        TypeError: `init` is neither a name nor a function.

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
    """Return a random generator that starts with the int `seed`, or `seed` itself if it is a generator.

    If `seed` is None, return the module `random`, from which micrograd draws its weights.

    Raises:
        TypeError: `seed` is not an int, a generator or None.
        ValueError: `seed` is negative, and would draw the weights that the seed `-seed` draws, because Python ignores
            the sign.

    >>> generator(None) is random
    True
    """
    if seed is None:
        return random
    if isinstance(seed, (int, Integral)):  # numpy's integers are such numbers, too
        if seed < 0:
            raise ValueError(
                f"seed must be 0 or more, got {seed!r}: random.Random draws the same numbers for {-seed!r}"
            )
        return random.Random(int(seed))
    if not hasattr(seed, "uniform"):
        raise TypeError(f"seed must be an int, a random.Random or None, got {seed!r}")
    return seed
