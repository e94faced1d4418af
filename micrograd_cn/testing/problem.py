"""A function of one vector, its derivative, the point, and what is known of the precision of its numbers."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .analytic import Derivative, compiled, derivative_of
from .libraries import is_tensor, kind, library
from .numerical import OutOfCalls, Steps
from .pytrees import leaves
from .random_state import generators, moved_generator
from .report import GradientMismatch, NotDeterministic, NothingCompared
from .vectors import BLOCK, Packed, Vector, blocks, remembered, tied

__tracebackhide__ = True

T = TypeVar("T")
FEW = 16  # derivatives that are compared singly
CALLS = 300  # of the function, while nothing looks wrong
FEW_BITS = 12  # a type of so few is compared over an interval first
REMEMBERED = 1000  # points of so many numbers, and values, are not asked for twice
SMALLEST = 1e-280  # a sum of squares that has all its digits
TELLING = 0.01  # the relative error of a derivative that must be seen
REFUSALS = ArithmeticError, ValueError, RuntimeError, RuntimeWarning  # outside a domain; PyTorch's are the third


class Problem:
    """A function of one vector, its derivative, and the point.

    Args:
        heading: what messages begin with.
        f: the function.
        args: its arguments.
        named: the derivative that is given, by its name.
        rtol: relative tolerance.
        atol: absolute tolerance.
        names: of the arguments.
        static: names, or indices, of arguments that are constants.
        output: what its result is called.
    """

    def __init__(
        self,
        heading: str,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        named: dict[str, Callable[..., Any]],
        rtol: float | None,
        atol: float | None,
        names: Sequence[str] = (),
        static: Collection[str | int] = (),
        output: str = "f",
    ) -> None:
        self.calls = 0
        self.left: float = CALLS
        self._limit, self._firm = math.inf, False
        self._seen: dict[bytes, Vector] | None = {}

        def counted(*args: Any) -> Any:
            self.calls += 1
            return f(*args)

        self.f, self.heading = functools.update_wrapper(counted, f), heading
        self.names = list(names) or [f"x{i}" for i in range(len(args))]
        self.arguments = Packed(args, self.names, _varying(args, named, self.names, static))
        self.x = self.arguments.vector
        if not self.x.size:
            raise NothingCompared(f"{heading} compared nothing: {_without_floats(self.arguments)}")
        tree = self.arguments.tree(self.x)
        result = counted(*tree)
        if changed := self.arguments.changed(tree, self.x):
            raise GradientMismatch(
                f"{heading}: f changes its argument {changed}; its gradient would be taken at another point than its "
                "value. Let it compute with a copy"
            )
        self.outputs = Packed(result, output)
        self.y = self.outputs.vector
        if not self.y.size:
            raise TypeError(
                f"{heading}: f returned {type(result).__name__}, in which there is no floating-point number"
            )
        self._compiled: Callable[..., Any] | None = None
        self.live: NDArray[np.bool_] = np.isfinite(self.y)
        again = self.outputs.pack(counted(*self.arguments.tree(self.x)))
        self.eps = max(self.arguments.eps, self.outputs.eps)
        self._same("it", self.y, again, self.outputs, self._draws)
        if not self.live.any():
            what = "the function" if self.y.size == 1 else self.outputs.names(0)
            raise NothingCompared(f"{heading}: outside the domain, {what} is {self.y[0]} there")
        self.all_live = bool(self.live.all())
        self.y = np.where(self.live, self.y, 0.0)
        varying = self.arguments.variables(self.arguments.model)
        if not named and all(library(x) == "jax" for x in varying):
            self._compiled = compiled(lambda *xs: tuple(self.outputs.variables(f(*self.arguments.with_variables(xs)))))
        # in jax, f is called where it is compiled alone
        differentiated = counted if any(is_tensor(x) for x in varying) else f
        self.derivative: Derivative = derivative_of(differentiated, named, self.arguments, self.outputs)
        self.rtol = min(max(1e-6, 8192.0 * self.eps), 0.5 * TELLING) if rtol is None else rtol
        self.atol = 0.0 if atol is None else atol
        if self.x.size + self.y.size > REMEMBERED:
            self._seen = None
        many = self._seen is None
        self.in_types = many and self.all_live and self.arguments.fillable  # so that numpy moves them in their types
        self.point = self.arguments.typed(self.x) if many else []  # of many numbers, those of the point as they came
        self.results = self.outputs.typed(self.y) if many else []
        self.scale = np.concatenate([sizes(self.x[place]) for place in self.arguments.slices()])
        self.one = functools.cache(lambda output: unit(self.y.size, output))  # weights, of which one gradient is enough
        self.length = remembered(length, 3)
        self.scratch = np.empty(self.x.size)  # for what is needed a moment, as a point on a line
        self.least = max(self.arguments.least, self.outputs.least)
        self.bits = bits = -math.log2(self.eps)
        self.of_few_bits = bits <= FEW_BITS
        first = sorted({round(bits * part) for part in (0.06, 0.17, 0.31, 0.46)})
        self.steps = Steps([2.0**-k for k in first], 2.0 ** -round(0.75 * bits), 1e-2 * self.rtol, stops=True)
        self.noise_steps = [round(bits * part) for part in (0.77, 0.54, 0.42, 0.31)]

    def within(self, share: float, compare: Callable[[], T], firm: bool = False) -> T:
        """Return what `compare` returns from at most so many calls, which are taken from those that are left.

        Where something looks wrong, `suspect` lets it call as often as it needs, and takes nothing from the others,
        unless the share is `firm` and it is not sure.
        """
        before, self._limit, self._firm = self.calls, self.calls + share, firm
        found = compare()
        self.left -= self.calls - before if self._limit < math.inf else 0
        self._limit = math.inf
        return found

    def suspect(self, sure: bool = False) -> None:
        """Let what looks wrong be looked at until it is known; of few calls that are firm, what is wrong for `sure`."""
        if sure or not self._firm:
            self._limit = math.inf

    def value(self, x: Vector) -> Vector:
        """Return the outputs, nan where the function refuses what is outside its domain."""
        return self.at(x)[0]

    def at(self, x: Vector) -> tuple[Vector, Vector]:
        """Return the outputs near `x`, and the point at which they are: the nearest that the types hold."""
        made, held = self.arguments.held(x)
        key = b"" if self._seen is None else held.tobytes()
        if self._seen and key in self._seen:
            return self._seen[key], held
        if self.calls >= self._limit:
            raise OutOfCalls
        tree = made()
        try:
            if self._compiled is None:
                y = self.outputs.pack(self.f(*tree))
            else:
                self.calls += 1
                found = self._compiled(*self.arguments.variables(tree))
                y = np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in found])
        except REFUSALS:
            y = np.full(self.y.size, np.nan)
        y = y if self.all_live else np.where(self.live, y, 0.0)
        if self._seen is not None:
            self._seen[key] = y
        return y, held

    def result(self, tree: Any) -> tuple[Any, list[NDArray[Any]]] | None:
        """Return what the function gives, and its arrays' numbers; None where it refuses what is outside its domain."""
        if self.calls >= self._limit:
            raise OutOfCalls
        try:
            found = self.f(*tree)
            return found, self.outputs.flat(found)
        except REFUSALS:
            return None

    @functools.cached_property
    def output_sizes(self) -> list[float]:
        """Of each array of the outputs a power of 2 that is about its size."""
        sizes = (math.log2(rms(self.y[place])) for place in self.outputs.slices())
        return [2.0 ** round(min(max(size, -8.0), 8.0)) for size in sizes]

    @functools.cached_property
    def equal(self) -> NDArray[np.bool_]:
        """Which numbers of the point are equal to others."""
        return tied(self.x)

    def same_gradient(self, first: Vector, second: Vector) -> None:
        """Raise what says so unless two calls of the derivative gave the same."""
        self._same("the gradient", first, second, self.arguments, str)

    def _draws(self) -> str:
        """Return which generator the function draws random numbers from; "" if none."""
        before = generators()
        with contextlib.suppress(Exception):  # two calls have differed, which is told whatever a third one does
            self.f(*self.arguments.tree(self.x))
        return moved_generator(before)

    def _same(self, what: str, first: Vector, second: Vector, packed: Packed, draws: Callable[[], str]) -> None:
        if np.array_equal(first, second):
            return
        with np.errstate(all="ignore"):
            apart = np.abs(first - second) > 8.0 * self.eps * np.max(np.abs(first))
        if (other := apart | (np.isnan(first) != np.isnan(second))).any():
            i = int(np.argmax(other))
            of = f"{what}, at {packed.names(i)}," if packed.vector.size > 1 else what
            from_one = draws()
            cure = f"; f draws from {from_one}: seed it inside f, or let the numbers be an argument" if from_one else ""
            raise NotDeterministic(
                f"{self.heading}: not deterministic, two calls of {of} gave {first[i]} and {second[i]}{cure}"
            )

    def title(self, output: int, element: int) -> str:
        """Return the derivative's name."""
        name = self.outputs.names(output) if self.y.size > 1 else self.outputs.path(output)
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
        finite = int(np.count_nonzero(np.isfinite(g)))
        return length(g, self.scale) / math.sqrt(finite) if finite else 0.0


def _varying(
    args: tuple[Any, ...], named: dict[str, Any], names: Sequence[str], static: Collection[str | int]
) -> Callable[[str, Any], bool]:
    """Return which leaves are differentiated: all, or those of a library that does it; PyTorch's that require it."""
    constant = {names[i] if isinstance(i, int) else i for i in static}
    in_torch = [x for x in leaves(args) if is_tensor(x)]
    chosen = any(getattr(x, "requires_grad", False) for x in in_torch)

    def varies(path: str, leaf: Any) -> bool:
        if any(path == name or path.startswith((f"{name}[", f"{name}.")) for name in constant):
            return False
        if named:
            return True
        if in_torch:
            return is_tensor(leaf) and (leaf.requires_grad or not chosen)
        return library(leaf) == "jax"

    return varies


def _without_floats(arguments: Packed) -> str:
    """Return that nothing can be differentiated, and what to write instead."""
    for path, x in arguments.constant:
        if kind(x) == "int":
            floats = {"torch": ".double()", "": ""}.get(library(x), ".astype(float)")
            write = f"{path}{floats}" if floats else f"{path} = {float(x)}"
            return f"no argument holds floating-point numbers, {path} is of whole ones; write {write}"
    return "no argument holds floating-point numbers"


def rms(x: Vector) -> float:
    """Return the root of the mean square, 1.0 where there is nothing but 0.

    >>> rms(np.array([3.0, -3.0, 3.0, -3.0]))
    3.0
    """
    with np.errstate(all="ignore"):
        return length(x) / math.sqrt(x.size) or 1.0 if x.size else 1.0


def length(x: Vector, factors: Vector | None = None) -> float:
    """Return the length of a vector, or of its products with `factors`, without what is not finite.

    It is right however large or small the numbers are.

    >>> with np.errstate(all="ignore"):
    ...     [length(size * np.array([3.0, -4.0, np.nan])) / size for size in (1.0, 2.0**700, 2.0**-700)]
    [5.0, 5.0, 5.0]
    """
    if x.size <= BLOCK:
        return _length(x if factors is None else x * factors)
    places = blocks(slice(0, x.size))
    return math.hypot(*(_length(x[some] if factors is None else x[some] * factors[some]) for some in places))


def _length(x: Vector) -> float:
    if math.isfinite(total := float(x.dot(x))) and total > SMALLEST:
        return math.sqrt(total)
    x = x[np.isfinite(x)]
    largest = float(np.max(np.abs(x), initial=0.0))
    scale = math.ldexp(0.5, math.frexp(largest)[1])
    return scale * math.sqrt(float(np.sum((x / scale) ** 2)))


def sizes(x: Vector) -> Vector:
    """Return by how much each number may be moved: about its own size, at least that of its array; powers of 2.

    >>> sizes(np.array([8.0, 0.0])), sizes(np.array([8.0, np.nan]))
    (array([8., 4.]), array([8., 4.]))
    """
    found, least = np.empty(x.size), rms(x)
    for some in blocks(slice(0, x.size)):
        size = np.abs(x[some])
        found[some] = power_of_2(np.fmax(np.where(size < np.inf, size, 0.0), least))
    return found


def power_of_2(x: Vector) -> Vector:
    """Return the largest powers of 2 that are not above the numbers, 0 for 0.

    >>> power_of_2(np.array([5.0, 0.0]))
    array([4., 0.])
    """
    mantissa, exponent = np.frexp(x)
    powers: Vector = np.ldexp(np.where(mantissa > 0.0, 0.5, 0.0), exponent)
    return powers


def unit(n: int, i: int) -> Vector:
    """Return the i-th unit vector.

    >>> unit(2, 1)
    array([0., 1.])
    """
    vector = np.zeros(n)
    vector[i] = 1.0
    return vector
