"""A function of one vector, its derivative, the point, and what is known of the precision of its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..tree import flatten
from .analytic import Derivative, derivative_of
from .libraries import library
from .numerical import Steps
from .report import NotDeterministic, NothingCompared
from .vectors import Packed, Vector

__tracebackhide__ = True

TELLING = 0.01  # the relative error of a derivative that must be seen


class Problem:
    """A function of one vector, its derivative, and the point."""

    def __init__(
        self,
        heading: str,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        named: dict[str, Callable[..., Any]],
        rtol: float | None,
        atol: float | None,
    ) -> None:
        self._f = f
        self.arguments = Packed(args, "args", _varying(args, named))
        output = f(*self.arguments.tree(self.arguments.vector))
        self.outputs = Packed(output, "f")
        self.x, self.y = self.arguments.vector, self.outputs.vector
        if not self.y.size:
            raise TypeError(
                f"{heading}: f returned {type(output).__name__}, in which there is no floating-point number"
            )
        if not self.x.size:
            raise NothingCompared(f"{heading} compared nothing: no argument holds floating-point numbers")
        self.eps = max(self.arguments.eps, self.outputs.eps)
        self._same("it", self.y, self.value(self.x), self.outputs, heading)
        if not np.isfinite(self.y).all():
            i = int(np.flatnonzero(~np.isfinite(self.y))[0])
            what = "the function" if self.y.size == 1 else self.outputs.names(i)
            raise NothingCompared(f"{heading}: outside the domain, {what} is {self.y[i]} there")
        self.derivative: Derivative = derivative_of(f, named, self.arguments, self.outputs)
        weights = self.outputs.stored(np.ones(self.y.size))
        gradient, again = (self.derivative.gradient(self.x, w) for w in (weights, weights.copy()))
        if gradient is not None and again is not None:
            self._same("the gradient", gradient, again, self.arguments, heading)
        self.rtol = min(max(1e-6, 8192.0 * self.eps), 0.5 * TELLING) if rtol is None else rtol
        self.atol = 0.0 if atol is None else atol
        self.scale = np.concatenate([sizes(self.x[place]) for place in self.arguments.places()])
        self.scale[self.arguments.left_out] = 0.0
        self.bits = bits = -math.log2(self.eps)
        first = sorted({round(bits * part) for part in (0.06, 0.17, 0.31, 0.46)})
        self.steps = Steps([2.0**-k for k in first], 2.0 ** -round(0.75 * bits), 1e-2 * self.rtol, stops=True)
        self.noise_steps = [round(bits * part) for part in (0.77, 0.54, 0.42, 0.31)]

    def value(self, x: Vector) -> Vector:
        """Return the outputs, nan where the function refuses what is outside its domain."""
        try:
            with np.errstate(all="ignore"):
                return self.outputs.pack(self._f(*self.arguments.tree(x)))
        except (ArithmeticError, ValueError, RuntimeWarning):
            return np.full(self.y.size, np.nan)

    def _same(self, what: str, first: Vector, second: Vector, packed: Packed, heading: str) -> None:
        with np.errstate(all="ignore"):
            apart = np.abs(first - second) > 8.0 * self.eps * np.max(np.abs(first))
        if (other := apart | (np.isnan(first) != np.isnan(second))).any():
            i = int(np.argmax(other))
            of = f"{what}, at {packed.names(i)}," if packed.vector.size > 1 else what
            raise NotDeterministic(f"{heading}: not deterministic, two calls of {of} gave {first[i]} and {second[i]}")

    def title(self, output: int, element: int) -> str:
        """Return the derivative's name."""
        name = "f" if self.y.size == 1 else self.outputs.names(output)
        return f"d{name}/d{self.arguments.names(element)}"

    def along(self, element: int) -> Vector:
        """Return the direction of one element, by its scale."""
        direction = unit(self.x.size, element)
        direction[element] = self.scale[element]
        return direction

    def typical(self, u: Vector) -> float:
        """Return the size of the derivatives along single elements."""
        g = self.derivative.gradient(self.x, u)
        if g is None:
            return 0.0
        steps = g * self.scale
        steps = steps[np.isfinite(steps)]
        return float(np.sqrt(np.mean(steps * steps))) if steps.size else 0.0


def _varying(args: tuple[Any, ...], named: dict[str, Any]) -> Callable[[Any], bool]:
    """Return which leaves are differentiated: all, or those of a library that does it; PyTorch's that require it."""
    leaves = [x for _, x in flatten(args, arrays=False)[0]]
    if named:
        return lambda leaf: not isinstance(leaf, bool)
    if any(library(x) == "torch" for x in leaves):
        chosen = any(getattr(x, "requires_grad", False) for x in leaves if library(x) == "torch")
        return lambda leaf: library(leaf) == "torch" and (leaf.requires_grad or not chosen)
    return lambda leaf: library(leaf) == "jax"


def rms(x: Vector) -> float:
    """Return the root of the mean square, 1.0 where there is nothing but 0.

    >>> rms(np.array([3.0, -3.0]))
    3.0
    """
    return float(np.sqrt(np.mean(x * x))) or 1.0 if x.size else 1.0


def sizes(x: Vector) -> Vector:
    """Return by how much each number may be moved: about its own size, at least that of its array; powers of 2.

    >>> sizes(np.array([8.0, 0.0]))
    array([8., 4.])
    """
    return power_of_2(np.maximum(np.abs(x), rms(x)))


def power_of_2(x: Vector) -> Vector:
    """Return the largest powers of 2 that are not above the numbers, 0 for 0.

    >>> power_of_2(np.array([5.0, 0.0]))
    array([4., 0.])
    """
    with np.errstate(divide="ignore"):
        powers: Vector = np.where(x > 0.0, 2.0 ** np.floor(np.log2(x)), 0.0)
    return powers


def unit(n: int, i: int) -> Vector:
    """Return the i-th unit vector.

    >>> unit(2, 1)
    array([0., 1.])
    """
    vector = np.zeros(n)
    vector[i] = 1.0
    return vector
