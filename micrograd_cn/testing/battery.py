"""Every check that an operation of the table, or one of your own, should pass."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from math import inf, nan
from typing import Any

from ..engine import Value, gradients, record
from ..formula import FormulaError
from ..operation import Op
from .gradcheck import NothingCompared, PartlyCompared, gradcheck
from .strategies import MARGIN, _floats, _is_smooth, _st, inside

SPECIAL = (0.0, -0.0, 1.0, -1.0, 2.5, 5e-324, -5e-324, 1e300, -1e300, inf, -inf, nan)
AT_KINKS = (0.0, 1.0, -1.0, 0.5)
TOO_LARGE = 1e6  # a value or partial beyond which a numerical derivative is mostly noise


def check_op(op: Op, reference: Callable[..., float] | None = None, examples: int = 50) -> None:
    """Check one operation: values, derivatives to second order, kinks, special values, sharing, picture, machine code.

    In turn: no float, special ones included, makes it raise; on `Value`s it gives the numbers that it gives on floats,
    and so do its partials, to the bit; partials left out for constants change no other; at kinks the derivative is nan,
    or between those of the two sides; the picture has an edge an operand; over the domain, up to 100 from 0 or from its
    near end, derivatives agree with numerical ones to second order, also where one value is all the operands. With
    llvmlite, machine code gives the same values and derivatives, if the row is written in the table's operations.

    Args:
        op: the row.
        reference: the same function from an independent source, on floats; compared to 1e-12 relative.
        examples: how many points of the domain to draw.

    Raises:
        AssertionError: it says which check failed, and where.
        ImportError: hypothesis is missing.

    >>> from micrograd_cn import tanh
    >>> check_op(tanh, reference=lambda x: (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1))
    """
    _check_special_values(op)
    _check_kinks(op)
    _check_picture(op)
    compiled = _compiled(op)
    if op.arity:
        for xs in itertools.product(SPECIAL if op.arity < 3 else SPECIAL[::2], repeat=op.arity):
            _check_machine_code(op, xs, compiled)
    _over_the_domain(op, reference, examples, compiled)


def _counts(op: Op) -> tuple[int, ...]:
    return (op.arity,) if op.arity else (1, 2, 3)


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
            _check_recording(op, xs, y, partials)


def _check_recording(op: Op, xs: tuple[float, ...], y: float, partials: tuple[float, ...]) -> None:
    """Compare what is recorded with `Value`s, constants among them, with what floats gave."""
    inputs = tuple([Value(x) for x in xs])
    node = record(op, inputs)
    assert _same(node.data, y), f"{op.name}{xs} is {y} on floats but {node.data} on Values"
    symbolic = op.local(node, *inputs)
    for slot, (p, q, r) in enumerate(zip(partials, node.partials, symbolic, strict=True)):
        r = r.data if isinstance(r, Value) else r
        agree = _same(p, q) and (_same(p, r) or math.isnan(p) or math.isnan(r))
        assert agree, f"{op.name}{xs}: partial {slot} is {p} on floats, {q} when recorded, {r} on Values"
        alone = op.some(y, xs, [i == slot for i in range(len(xs))])[slot]
        assert _same(alone, p), f"{op.name}{xs}: partial {slot} is {p}, but {alone} when it alone is needed"


def _check_kinks(op: Op) -> None:
    if op.kink is None:
        return
    for count in _counts(op):
        for xs in itertools.product(AT_KINKS, repeat=count):
            if op.kink(*xs) == 0.0 and not any(map(math.isnan, op.local(op.forward(*xs), *xs))):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", PartlyCompared)
                    try:
                        gradcheck(_named(op), *xs)
                    except NothingCompared:
                        continue  # a jump or a pole: any derivative is a convention


def _check_picture(op: Op) -> None:
    from ..draw import draw_dot

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
        program = compile(record(op, tuple([Value(0.5) for _ in range(count)])), [])
        try:
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
    st = _st()
    from hypothesis import HealthCheck, Phase, assume, given, settings

    def operand(i: int) -> Any:
        domain = op.domain[i % len(op.domain)]
        return _floats(*inside(domain, 4.0)) | _floats(*inside(domain, 100.0))

    points = st.one_of([st.tuples(*map(operand, range(count))) for count in _counts(op)])

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
    @given(points)
    def at(xs: tuple[float, ...]) -> None:
        y = op.forward(*xs)
        partials = op.local(y, *xs)
        assume(_is_smooth(op, list(xs), [False] * len(xs)))
        assume(all(math.fabs(z) <= TOO_LARGE for z in (y, *partials)))
        _check_recording(op, xs, y, partials)
        _check_machine_code(op, xs, compiled)
        if reference is not None:
            expected = reference(*xs)
            close = math.isclose(y, expected, rel_tol=1e-12, abs_tol=1e-15)
            assert close, f"{op.name}{xs} is {y}, the reference gives {expected}"
        gradcheck(_named(op), *xs, order=2)
        for slot, partial in enumerate(gradients(record(op, inputs := tuple([Value(x) for x in xs])), inputs)):
            assert _same(partial, partials[slot]), f"{op.name}{xs}: gradient {slot} is {partial}, not {partials[slot]}"
        if len(xs) > 1:
            _check_shared(op, xs[0])

    at()


def _check_shared(op: Op, x: float) -> None:
    """Check the derivative where one value is every operand: the sum of the partials."""
    for count in _counts(op):
        fits = all(low + MARGIN <= x <= high - MARGIN for low, high in op.domain)
        if count > 1 and fits and _is_smooth(op, [x] * count, [False] * count):
            gradcheck(lambda v, count=count: _named(op)(*(v,) * count), x, order=2)
