"""A Hypothesis strategy for numpy arrays, which serve as points at which a gradient is checked.

numpy is imported only when it is needed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...ops.number import number, whole_number
from ...ops.traits import Interval
from .float_strategies import MODERATE_MAGNITUDES, bounds, import_strategies, reals

__all__ = ["magnitude_windows", "points"]

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

# The largest element of an array is about 10 to one of these powers.
LARGEST_EXPONENTS = (0, *[sign * k for k in (1, 2, 4, 6, 8, 16, 32, 64) for sign in (1, -1)])
USUAL_SIZES = (0.1, 1.0, 10.0)  # of the largest element, as layers of a network meet them; other sizes are extreme
EXTREME_IN = 5  # the arrays of one in so many examples are of extreme magnitude, all of the same
SPAN = 1e3  # most magnitudes in an array differ by at most this factor, so rounding hides no element beside another
# Up to this size, the elements of an array are drawn and shrunk one by one. For a larger array, a seed is drawn.
MAX_DRAWN_SINGLY = 32


def points(
    shape: int | tuple[int, ...],
    dtype: Any = "float64",
    min_value: float = -1e6,
    max_value: float = 1e6,
    apart: float = 0.0,
) -> SearchStrategy[Any]:
    """Return a Hypothesis strategy for numpy arrays, at which the gradient of a function of arrays can be checked.

    In most arrays, as in a neural network, the absolute values go up to 0.1, 1 or 10, or up to that of the larger bound
    if it is below 10. In one of five examples of a test, arrays are extreme: much larger, much smaller, or with
    elements of very different magnitudes. All arrays of an example are extreme together, since rounding would hide the
    effect of a usual array beside that of a huge one. Some elements are 0.0 or -0.0.

    Args:
        shape: the shape of the arrays; () for a single number.
        dtype: the type of the elements: float64, float32 or float16.
        min_value: the least element; -inf for the least finite number.
        max_value: the greatest element; inf for the greatest finite number.
        apart: the least distance of elements from 0 and from each other, to keep away from kinks of relu, max and
            sorting.

    Raises:
        ValueError: a bound is nan, no finite number lies between the bounds, they leave no room for elements at
            distances of `apart`, or `apart` is negative or nan.
        TypeError: a bound is not a real number, or `dtype` is not a type of floating-point numbers.
        ImportError: hypothesis or numpy is missing.

    >>> from hypothesis import find
    >>> x = find(points(2, "float32", apart=0.25), lambda x: x.sum() > 0.5)
    >>> x.shape, x.dtype, bool(min(abs(x[0]), abs(x[1]), abs(x[1] - x[0])) >= 0.25)
    ((2,), dtype('float32'), True)
    """
    st = import_strategies()
    try:
        import numpy as np
    except ImportError as error:
        raise ImportError("points() draws numpy arrays: pip install numpy") from error
    kind = np.dtype(dtype)
    if kind.kind != "f":
        raise TypeError(f"points: dtype must be a type of floating-point numbers, such as float32, got {kind}")
    limits = np.finfo(kind)
    low, high = bounds("points", min_value, max_value, float(limits.max))
    if not isinstance(shape, Iterable):
        whole_number("points: shape", shape, 0)
    elif isinstance(shape, str):
        raise TypeError(f"points: shape must be an int or a tuple of ints, got {shape!r}")
    size = math.prod(shape if isinstance(shape, Iterable) else (shape,))
    apart = number(apart)
    if not apart >= 0.0 or (apart and sum(_capacity(kind.type, low, high, apart)) < size):
        raise ValueError(
            f"points: no room between {low} and {high} for {size} numbers of {kind} that are {apart} apart"
        )
    windows = magnitude_windows(low, high, float(limits.tiny))

    def array(xs: Sequence[float]) -> Any:
        rounded = [_round_within(x, kind.type, low, high) for x in xs]
        return np.array(_separated(rounded, kind.type, low, high, apart) if apart else rounded, kind).reshape(shape)

    def drawn(window: tuple[Interval, Interval]) -> Any:
        (least, most), magnitudes = window
        number = reals(least, most, magnitudes=magnitudes)
        if size <= MAX_DRAWN_SINGLY:
            # All count as different, or Hypothesis would copy elements over others in five of six examples.
            return st.lists(number, min_size=size, max_size=size, unique_by=lambda x: object())
        return st.integers(0, sys.maxsize).map(lambda seed: _draw_large(np.random.default_rng(seed), size, window))

    usual = [window for window in windows[:-1] if USUAL_SIZES[0] / 10.0 < window[1][1] <= USUAL_SIZES[-1]]
    extreme = [window for window in windows if window not in usual]
    # All arrays of an example draw the same number, which says whether they are extreme, and how.
    kinds = st.shared(st.integers(0, EXTREME_IN * len(LARGEST_EXPONENTS) - 1), key="micrograd_cn.testing.points")

    def of_kind(kind: int) -> Any:
        k, rest = divmod(kind, EXTREME_IN)
        if rest < EXTREME_IN - 1 and usual:
            return st.sampled_from(usual).flatmap(drawn)
        return drawn(extreme[k % len(extreme)])

    return kinds.flatmap(of_kind).map(array)  # type: ignore[no-any-return]


def magnitude_windows(low: float, high: float, tiny: float) -> list[tuple[Interval, Interval]]:
    """Return windows, which are ranges of numbers. All elements of an array are drawn from one of them.

    A window is a pair of an interval for the elements, and an interval for their absolute values. In each window but
    the last, the elements have similar magnitudes. `low` and `high` are the bounds of all elements. `tiny` is the
    smallest normal number of the array's type.
    """
    least, most = max(low, -high), max(-low, high)
    found: list[tuple[Interval, Interval]] = []
    for exponent in LARGEST_EXPONENTS:
        size = 10.0**exponent
        if size in USUAL_SIZES and size / 10.0 < most < size:
            size = most  # so elements of the size of a bound such as 4.0 are drawn often, too
        if size >= tiny * SPAN and least <= size <= most:
            found.append(((max(low, -size), min(high, size)), (size / SPAN, size)))
    return [*found, ((low, high), (max(tiny, MODERATE_MAGNITUDES[0]), max(most, MODERATE_MAGNITUDES[1])))]


def _draw_large(random: Any, size: int, window: tuple[Interval, Interval]) -> list[float]:
    """Return `size` random numbers from a window, for an array that is too large to be drawn number by number.

    A window is a pair of an interval for the numbers, and an interval for their absolute values.
    """
    (low, high), (least, most) = window
    signs = [math.copysign(1.0, low), math.copysign(1.0, high)]
    logarithms = random.uniform(math.log(least), math.log(most), size)
    xs = [sign * math.exp(x) for sign, x in zip(random.choice(signs, size).tolist(), logarithms, strict=True)]
    return [x if low <= x <= high else low + (high - low) * random.random() for x in xs]


def _round_within(x: float, kind: Callable[[float], Any], low: float, high: float) -> float:
    """Return the number of the type `kind` that is nearest to x and lies between the bounds `low` and `high`."""
    nearest = float(kind(x))
    return (
        _neighbour(x, kind, -math.inf)
        if nearest > high
        else _neighbour(x, kind, math.inf)
        if nearest < low
        else nearest
    )


def _capacity(kind: Callable[[float], Any], low: float, high: float, apart: float) -> tuple[int, int]:
    """Return how many negative and how many positive numbers have room between the bounds `low` and `high`.

    Each is a number of the type `kind`, and is at least `apart` from 0 and from the others.
    """
    import numpy as np

    def on(near: float, far: float) -> int:
        ulp = 2.0 * float(np.spacing(kind(0.5 * far)))  # from half of `far`, since its next float is finite
        free = far - ulp - max(near, apart)
        return max(0, 1 + int(free // (apart + ulp)))

    return on(-high, -low), on(low, high)


def _separated(xs: list[float], kind: Callable[[float], Any], low: float, high: float, apart: float) -> list[float]:
    """Return the numbers `xs`, but moved until each is at least `apart` from 0 and from all others.

    They stay between the bounds `low` and `high`, and their order stays the same.
    """
    negative, positive = _capacity(kind, low, high, apart)
    order = sorted(range(len(xs)), key=xs.__getitem__)
    below = min(max(sum(x < 0.0 for x in xs), len(xs) - positive), negative)
    moved = list(xs)
    for sign, part, near, far in ((-1.0, order[:below][::-1], -high, -low), (1.0, order[below:], low, high)):
        sizes = _spaced_out([sign * xs[i] for i in part], kind, max(near, apart), far, apart)
        for i, size in zip(part, sizes, strict=True):
            moved[i] = sign * size
    return moved


def _spaced_out(xs: list[float], kind: Callable[[float], Any], low: float, high: float, apart: float) -> list[float]:
    """Return the ascending numbers `xs`, moved up until they are at least `low`, and at least `apart` from each other.

    A number that gets beyond `high` is moved down again, and so are the numbers before it where that is necessary.
    """
    found: list[float] = []
    least = low
    for x in xs:
        found.append(_neighbour(max(x, least), kind, math.inf))
        least = found[-1] + apart
    most = high
    for k in range(len(found) - 1, -1, -1):
        if found[k] <= most:
            break
        found[k] = _neighbour(most, kind, -math.inf)
        most = found[k] - apart
    return found


def _neighbour(x: float, kind: Callable[[float], Any], towards: float) -> float:
    """Return x if it is a number of the type `kind`, else the nearest number of the type on the side of `towards`.

    `towards` is inf or -inf.
    """
    import numpy as np

    found = kind(x)
    return float(np.nextafter(found, kind(towards)) if (x - float(found)) * towards == math.inf else found)
