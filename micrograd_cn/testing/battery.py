"""Every check that an operation of the table, or one of your own, should pass."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from math import inf, nan
from typing import Any

from ..engine import Value, record
from ..formula import FormulaError
from ..gradients import gradients
from ..operation import Op
from .gradcheck import NothingCompared, PartlyCompared, gradcheck
from .strategies import MARGIN, _floats, _is_smooth, _st, inside

FEW, MORE = (1, 2, 3), (1, 2, 3, 4, 5)  # operands of an n-ary row
SPECIAL = (0.0, -0.0, 1.0, -1.0, 2.5, 5e-324, -5e-324, 1e300, -1e300, inf, -inf, nan)
AT_KINKS = (0.0, 1.0, -1.0, 0.5)
REACH, FAR = 4.0, 100.0  # how far from 0, or from the domain's near end, points lie
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)  # of each operand, whose square root is irrational
LARGE = 1e6  # a value or partial beyond which the second derivative is not compared


def check_op(op: Op, reference: Callable[..., float] | None = None, examples: int = 50) -> None:
    """Check one operation: values, derivatives to second order, kinks, special values, sharing, picture, machine code.

    In turn: no float, special ones included, makes it raise; on `Value`s it gives the numbers that it gives on floats,
    and so do its partials, to the bit; partials left out for constants change no other; at kinks the derivative is nan,
    or between those of the two sides; the picture has an edge an operand; over the domain, up to 100 from 0 or from its
    near end, and close to its ends, no value is nan and derivatives agree with numerical ones, near 0 to second order,
    also where one value is all the operands. With llvmlite, machine code gives the same values and derivatives, if the
    row is written in the table's operations.

    Args:
        op: the row.
        reference: the same function from an independent source, on floats; compared to 1e-12 relative, or to what the
            last bits of the operands and the row's own `rounding` make of it.
        examples: how many points to try to second order: two thirds are spread over the domain, the others drawn.

    Raises:
        AssertionError: it says which check failed, and where.
        ImportError: hypothesis is missing.

    >>> from micrograd_cn import tanh
    >>> check_op(tanh, reference=lambda x: math.expm1(2 * x) / (math.expm1(2 * x) + 2))
    """
    _check_special_values(op)
    _check_kinks(op)
    _check_picture(op)
    compiled = _compiled(op)
    if op.arity:
        for xs in itertools.product(SPECIAL if op.arity < 3 else SPECIAL[::2], repeat=op.arity):
            _check_machine_code(op, xs, compiled)
    _over_the_domain(op, reference, examples, compiled)


def _counts(op: Op, counts: tuple[int, ...] = FEW) -> tuple[int, ...]:
    return (op.arity,) if op.arity else counts


def _named(op: Op) -> Callable[..., Value]:
    """Return the operation as a function of `Value`s that failures call by its name."""

    def apply(*operands: Value) -> Value:
        return record(op, operands)

    apply.__name__ = op.name
    return apply


def _same(a: float, b: float) -> bool:
    return a == b or (a != a and b != b)


def _check_special_values(op: Op) -> None:
    for count in _counts(op):
        special = SPECIAL if count < 3 else SPECIAL[::2]
        for xs in itertools.product(special, repeat=count):
            try:
                y = op.forward(*xs)
                partials = op.local(y, *xs)
            except Exception as error:
                raise AssertionError(f"{op.name}{xs} raises {type(error).__name__}: {error}") from error
            assert isinstance(y, float), f"{op.name}{xs} gave {type(y).__name__}, not a float"
            assert len(partials) == count, f"{op.name}{xs} has {count} operands but {len(partials)} partials"
            for slot, p in enumerate(partials):
                assert isinstance(p, (float, int)), f"{op.name}{xs}: partial {slot} is {p!r}, not a number"
            _check_recording(op, xs, y, partials)


def _check_recording(op: Op, xs: tuple[float, ...], y: float, partials: tuple[float, ...]) -> None:
    """Compare what is recorded with `Value`s, constants among them, with what floats gave."""
    inputs = tuple([Value(x) for x in xs])
    node = record(op, inputs)
    assert _same(node.data, y), f"{op.name}{xs} is {y} on floats but {node.data} on Values"
    try:
        symbolic = op.local(node, *inputs)
    except Exception as error:
        raise AssertionError(
            f"{op.name}: its partials of Values raise {type(error).__name__}: {error}; they must be written with the "
            "table's operations"
        ) from error
    for slot, (p, q, r) in enumerate(zip(partials, node.partials, symbolic, strict=True)):
        r = r.data if isinstance(r, Value) else r
        agree = _same(p, q) and (_same(p, r) or math.isnan(p) or math.isnan(r))
        assert agree, f"{op.name}{xs}: partial {slot} is {p} on floats, {q} when recorded, {r} on Values"
        alone = op.needed(y, xs, [i == slot for i in range(len(xs))])[slot] if op.flows(slot) else 0.0
        assert _same(alone, p), f"{op.name}{xs}: partial {slot} is {p}, but {alone} when it alone is needed"


def _check_kinks(op: Op) -> None:
    if op.kink is None:
        return
    for count in _counts(op):
        for xs in [*itertools.product(AT_KINKS, repeat=count), *_found_kinks(op, count)]:
            if op.kink(*xs) == 0.0 and not any(map(math.isnan, op.local(op.forward(*xs), *xs))):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", PartlyCompared)
                    try:
                        gradcheck(_named(op), *xs)
                    except NothingCompared:
                        continue  # a jump or a pole: any derivative is a convention


def _found_kinks(op: Op, count: int) -> Iterator[tuple[float, ...]]:
    """Give points at which the row's kink is 0, found by bisection along each operand, the others being the same."""
    kink = op.kink
    assert kink is not None
    for slot, other, (reach, cells) in itertools.product(range(count), (0.5, 3.0), ((REACH, 64), (FAR, 200))):

        def at(x: float, slot: int = slot, other: float = other) -> tuple[float, ...]:
            return tuple([x if i == slot else other for i in range(count)])

        low, high = inside(op.domain[slot % len(op.domain)], reach)
        grid = [low + (high - low) * k / cells for k in range(cells + 1)]
        yield from (at(x) for x in grid if kink(*at(x)) == 0.0)
        for left, right in itertools.pairwise(grid):
            if kink(*at(left)) * kink(*at(right)) < 0.0:
                while left < (middle := 0.5 * (left + right)) < right and kink(*at(middle)) != 0.0:
                    same = (kink(*at(middle)) < 0.0) == (kink(*at(left)) < 0.0)
                    left, right = (middle, right) if same else (left, middle)
                yield at(middle)


def _check_picture(op: Op) -> None:
    from ..picture import draw_dot

    for count in _counts(op):
        x = Value(0.5, "x")
        source = draw_dot(record(op, (x,) * count)).source
        assert source.count("->") == count, f"{op.name} of {count} operands is drawn with {source.count('->')} edges"


def _compiled(op: Op) -> dict[int, Any]:
    """Return the row's compiled program for each number of operands; none if it cannot be compiled here."""
    try:
        from ..compiler import compile  # noqa: A004 -- the field's name
    except ImportError:
        return {}
    programs = {}
    for count in _counts(op):
        try:
            program = compile(record(op, tuple([Value(0.5) for _ in range(count)])), [])
            program.source()
        except FormulaError:  # it may be a function of `math`, which only the eager engine can call
            return {}
        programs[count] = program
    return programs


def _check_machine_code(op: Op, xs: tuple[float, ...], compiled: dict[int, Any]) -> None:
    """Compare compiled values and partials with the row's, up to their condition."""
    if len(xs) not in compiled:
        return
    program = compiled[len(xs)]
    y = op.forward(*xs)
    partials = op.local(y, *xs)
    for p, x in zip(program.parameters, xs, strict=True):
        p.data, p.grad = x, 0.0
    [value] = program.forward([[]])
    program.backward([[]])
    size = math.fsum(filter(math.isfinite, [math.fabs(x * p) for x, p in zip(xs, partials, strict=True)]))
    assert _near(value, y, size), f"{op.name}{xs} is {y}, but {value} in machine code"
    for slot, (p, partial) in enumerate(zip(program.parameters, partials, strict=True)):
        assert _near(p.grad, partial, 0.0), f"{op.name}{xs}: partial {slot} is {partial}, but {p.grad} in machine code"


def _near(a: float, b: float, size: float) -> bool:
    return _same(a, b) or math.fabs(a - b) <= 1e-12 * max(math.fabs(a), math.fabs(b), size) + 1e-300


def _over_the_domain(op: Op, reference: Callable[..., float] | None, examples: int, compiled: dict[int, Any]) -> None:
    """Check points spread evenly, so that no part is left out, and points drawn, which are simple where they fail."""
    st = _st()
    from hypothesis import HealthCheck, Phase, assume, given, settings
    from hypothesis.errors import Unsatisfiable

    spread = [*_spread(op, examples // 2, REACH), *_spread(op, examples // 6, FAR)]
    compared = [_check_point(op, xs, reference, compiled) for xs in spread]
    for xs in [*_spread(op, 2 * examples, FAR), *_near_ends(op)]:
        _check_point(op, xs, reference, compiled, order=1)

    def operand(i: int) -> Any:
        domain = op.domain[i % len(op.domain)]
        return _floats(*inside(domain, REACH)) | _floats(*inside(domain, FAR))

    points = st.one_of([st.tuples(*map(operand, range(count))) for count in _counts(op, MORE)])

    @settings(
        max_examples=max(examples - len(spread), 1),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )
    @given(points)
    def at(xs: tuple[float, ...]) -> None:
        assume(_check_point(op, xs, reference, compiled))

    try:
        at()
    except Unsatisfiable:
        assert any(compared), f"{op.name}: nowhere in its domain could its derivatives be compared"


def _spread(op: Op, count: int, reach: float) -> Iterator[tuple[float, ...]]:
    """Give points that fill the domain evenly: multiples of irrational numbers, modulo 1 (Weyl 1916)."""
    counts = _counts(op, MORE)
    for k in range(1, count + 1):
        point = []
        for i in range(counts[k % len(counts)]):
            low, high = inside(op.domain[i % len(op.domain)], reach)
            x = low + (high - low) * (k * math.sqrt(PRIMES[i % len(PRIMES)]) % 1.0)
            point.append(round(x, 3) if low <= round(x, 3) <= high else x)
        yield tuple(point)


def _near_ends(op: Op) -> Iterator[tuple[float, ...]]:
    """Give points near the ends of the domain, each operand in turn, the others well inside."""
    for count in _counts(op):
        domains = [op.domain[i % len(op.domain)] for i in range(count)]
        middle = [0.5 * (low + high) for low, high in [inside(domain, REACH) for domain in domains]]
        for i, (low, high) in enumerate(domains):
            for end, inwards in ((low, 1.0), (high, -1.0)):
                for part in (0.4, 0.08, 0.001):
                    if math.isfinite(end):
                        x = end + inwards * part * min(MARGIN, 0.25 * (high - low))
                        yield (*middle[:i], x, *middle[i + 1 :])


def _check_point(
    op: Op, xs: tuple[float, ...], reference: Callable[..., float] | None, compiled: dict[int, Any], order: int = 2
) -> bool:
    """Check one point of the domain; return whether derivatives could be compared there."""
    if not _is_smooth(op, list(xs), [False] * len(xs)):
        return False
    y = op.forward(*xs)
    partials = op.local(y, *xs)
    assert not math.isnan(y), f"{op.name}{xs} is nan, inside its domain"
    if reference is not None:
        _check_reference(op, xs, y, partials, reference(*xs))
    _check_recording(op, xs, y, partials)
    _check_machine_code(op, xs, compiled)
    if math.isinf(y):
        return False
    for slot, p in enumerate(partials):
        assert not math.isnan(p), f"{op.name}{xs}: partial {slot} is {p}, inside its domain"
        assert math.isfinite(p) or math.fabs(y) > LARGE, f"{op.name}{xs}: partial {slot} is {p}, inside its domain"
    large = order == 1 or any(math.fabs(z) > LARGE for z in (y, *partials))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if large else "default", PartlyCompared)
        try:
            gradcheck(_named(op), *xs, order=1 if large else 2)
        except NothingCompared:
            if large:
                return False
            raise
    for slot, partial in enumerate(gradients(record(op, inputs := tuple([Value(x) for x in xs])), inputs)):
        assert _same(partial, partials[slot]), f"{op.name}{xs}: gradient {slot} is {partial}, not {partials[slot]}"
    if len(xs) > 1 and not large:
        _check_shared(op, xs[0])
    return True


def _check_reference(op: Op, xs: tuple[float, ...], y: float, partials: tuple[float, ...], expected: float) -> None:
    moved = [math.fabs(x * p) for x, p in zip(xs, partials, strict=True)]
    stated = op.rounding(y, *xs)[0] if op.rounding else 0.0
    allowed = (1e-12 + 1e-15 * stated) * math.fabs(expected) + 1e-15 * math.fsum(filter(math.isfinite, moved))
    close = _same(y, expected) or math.fabs(y - expected) <= allowed + 1e-300
    assert close, f"{op.name}{xs} is {y}, the reference gives {expected}"


def _check_shared(op: Op, x: float) -> None:
    """Check the derivative where one value is every operand: the sum of the partials."""
    for count in _counts(op):
        fits = all(low + MARGIN <= x <= high - MARGIN for low, high in op.domain)
        if count > 1 and fits and _is_smooth(op, [x] * count, [False] * count):
            gradcheck(lambda v, count=count: _named(op)(*(v,) * count), x, order=2)
