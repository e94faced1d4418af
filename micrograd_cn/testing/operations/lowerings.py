"""Compare the lowerings of an operation with its row in the table of operations.

The row is the `Op` itself, with a function of floats and its partials. A lowering is another form of the operation that
the package computes with: a formula, JavaScript, machine code, or code for numpy arrays. A lowering gives a tuple of
numbers for a point: the value in slot 0, and perhaps partial i in slot i + 1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import add, mul
from typing import Any, NamedTuple

from ...engine import Value, record
from ...flow.bundle import joined
from ...flow.javascript import Rows
from ...flow.sheet import scripts
from ...ops.number import number
from ...ops.operation import Op
from ...text.formula import FormulaError, OtherForFloats, expand
from ..numeric.numerical import rounding_error, stated_rounding
from ..numeric.thresholds import INTERMEDIATE_ROUNDING, SAME_VALUE, UNDERFLOW
from .javascript import javascript_engine
from .op_failures import Point, op_failure
from .op_recording import same_number

Results = list[tuple[float, ...]]  # for each point the value, and the partials if the lowering has them
CODE = "from micrograd_cn.testing.operations.lowerings import lowerings\nprint(lowerings(OP, XS))"


class Lowering(NamedTuple):
    """A form in which an operation is computed, such as JavaScript, other than the Python functions of its `Op`.

    Attributes:
        name: the name of the lowering in messages.
        field: a text for messages, with the name of the field of the `Op` from which the lowering is made, and the
            field's content; "" if there is none.
        evaluate: computes the operation at many points by this lowering.
    """

    name: str
    field: str
    evaluate: Callable[[Op, Sequence[Point]], Results]


class NotAvailable(Exception):
    """Raised for a lowering that an operation does not have, or that no installed program can run."""


class LoweringFailed(Exception):
    """Raised for a lowering that raised an error at a point, or did not return numbers.

    Args:
        xs: the point; () if it is not known.
        what: what happened.
    """

    def __init__(self, xs: Point, what: str) -> None:
        super().__init__(what)
        self.xs = xs


def compare_lowerings(op: Op, points: Iterable[Point]) -> dict[str, str]:
    """Compare every lowering of an operation with its row, the `Op` itself, at the points.

    Return a dict with the name of each lowering that could not be compared, and the reason.

    Raises:
        AssertionError: a lowering gives other numbers, or raises an error, or cannot be made since the operation does
            something else for floats than for symbols. The message names the field of the row that the lowering is made
            from.

    >>> from micrograd_cn import Op, cos, sin
    >>> from micrograd_cn.ops.traits import Lowerings
    >>> own = Op("own", lambda x: cos(x), (lambda y, x: -sin(x),), lowerings=Lowerings(lambda x: sin(x)))
    >>> compare_lowerings(own, [(0.5,)])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    AssertionError: check_op of own at 0.5: the formula gives 0.479425538604203, not 0.8775825618903728
    ...
    """
    chosen = list({repr(xs): xs for xs in points}.values())  # by repr, since 0.0 == -0.0
    expected = [_row(op, xs) for xs in chosen]
    missing = {}
    for lowering in lowerings_of(op):
        called = f"the {lowering.name}{lowering.field}"
        try:
            results = lowering.evaluate(op, chosen)
        except OtherForFloats as reason:
            raise op_failure(op, chosen[0], f"{called} cannot be made: {reason}", CODE) from None
        except (NotAvailable, FormulaError) as reason:
            missing[lowering.name] = str(reason)
            continue
        except LoweringFailed as reason:
            raise op_failure(op, reason.xs or chosen[0], f"{called} {reason}", CODE) from None
        except Exception as error:
            raise op_failure(op, chosen[0], f"{called} raised {type(error).__name__}: {error}", CODE) from error
        wrong = [
            (xs, slot, got[slot], true[slot])
            for xs, got, true in zip(chosen, results, expected, strict=True)
            for slot in range(len(got))
            if not _is_near(got[slot], true[slot], *_scale(op, xs, true, slot))
            and not math.fabs(got[slot] - true[slot]) <= INTERMEDIATE_ROUNDING * _rounding_on_the_way(op, xs, slot)
        ]
        if wrong:
            xs, slot, given, true = min(wrong, key=lambda found: _complexity(found[0]))
            of = f" of partial {slot - 1}" if slot else ""
            raise op_failure(op, xs, f"{called}{of} gives {given!r}, not {true!r}", CODE)
    return missing


def lowerings(op: Op, *xs: float) -> dict[str, tuple[float, ...] | str]:
    """Return a dict with the numbers that the row of an operation, and each of its lowerings, compute at `xs`.

    The keys are "row" for the row, which is the `Op` itself, and the names of the lowerings. Every operation has the
    lowerings "JavaScript form", "machine code" and "numpy form". Some also have "formula", which computes the operation
    by simpler ones, or "sum of its summands", which adds up the products and terms of a sum such as `dot`. The row,
    JavaScript and machine code give the value and the partials, and the other lowerings give the value alone. If a
    lowering raises an error, its item is the text of the error.

    >>> from micrograd_cn import mul
    >>> lowerings(mul, 2.0, 3.0)["row"]
    (6.0, 3.0, 2.0)
    """
    found: dict[str, tuple[float, ...] | str] = {"row": _row(op, xs)}
    for lowering in lowerings_of(op):
        try:
            [found[lowering.name]] = lowering.evaluate(op, [xs])
        except Exception as reason:
            found[lowering.name] = str(reason)
    return found


def lowerings_of(op: Op) -> list[Lowering]:
    """Return the lowerings of an operation. If one cannot be computed, its `evaluate` raises an error."""
    other = "formula" if op.lowerings.formula else "summands" if op.lowerings.summands else "forward"
    several = "summands" if op.lowerings.summands else ""
    found = []
    if op.lowerings.formula:
        found.append(Lowering("formula", "", _formula))
    if op.lowerings.summands:
        found.append(Lowering("sum of its summands", "", _summands))
    symbol = op.notation.symbol if op.notation.precedence else ""
    return [
        *found,
        Lowering("JavaScript form", _field("javascript", op.lowerings.javascript, other), _javascript),
        Lowering(
            "machine code", _field("machine", "" if several else op.lowerings.machine, several or other), _machine_code
        ),
        Lowering(
            "numpy form",
            _field("symbol" if symbol else "array", symbol or op.lowerings.array, several or other),
            _numpy,
        ),
    ]


def _field(name: str, text: str, fallback: str) -> str:
    """Return a string for messages that says which field of an operation a lowering is made from.

    The field has the name `name`, and its value, a string, is `text`. If `text` is empty, the operation has no such
    field, and the lowering is made from the field `fallback`.
    """
    if not text:
        return f" (of its {fallback})"
    return f" ({name}={text!r})" if len(text) < 50 else f" ({name}=...)"


def _row(op: Op, xs: Point) -> tuple[float, ...]:
    """Return the value and the partials that the operation's row, the `Op` itself, gives on floats."""
    y = op.forward(*xs)
    return (y, *op.local_derivatives(y, *xs))


def _formula(op: Op, points: Sequence[Point]) -> Results:
    """Return the value at each point, computed by the formula `op.lowerings.formula`."""
    assert op.lowerings.formula
    return [(_at(xs, op.lowerings.formula),) for xs in points]


def _summands(op: Op, points: Sequence[Point]) -> Results:
    """Return the value at each point: the sum of the products and terms that `op.lowerings.summands` returns."""

    def total(*xs: float) -> float:
        assert op.lowerings.summands
        pairs, terms = op.lowerings.summands(*xs)
        return reduce(add, [*terms, *(a * b for a, b in pairs)], 0.0)

    return [(_at(xs, total),) for xs in points]


def _at(xs: Point, function: Callable[..., Any]) -> float:
    """Return the number that `function` gives for the operands `xs`.

    Raises:
        LoweringFailed: the function raises an error, or returns something that is not a number.
    """
    try:
        return number(function(*xs))
    except Exception as error:
        raise LoweringFailed(xs, f"raised {type(error).__name__}: {error}") from error


def _javascript(op: Op, points: Sequence[Point]) -> Results:
    """Return the value and the partials at each point, computed by JavaScript functions.

    The HTML page that `draw_flow` writes uses the same functions. They are called at all points in one run of the
    JavaScript engine.

    Raises:
        NotAvailable: no JavaScript engine is installed, or it failed.
        LoweringFailed: the functions are wrong.
    """
    run = javascript_engine()
    if run is None:
        raise NotAvailable("neither the program node nor the package quickjs is installed")
    rows = Rows()
    names = {count: rows.add(op, count) for count in {*map(len, points)}}
    calls = ", ".join([f"[{json.dumps(names[len(xs)])}, [{', '.join(map(_literal, xs))}]]" for xs in points])
    try:
        source = joined("rows.js", {**scripts(), "rows.js": rows.module()}) + "return [forward, partials];"
    except ValueError as error:  # the JavaScript of the row calls a function that does not exist
        raise LoweringFailed((), str(error)) from error
    text = f"""(() => {{
      let forward, partials;
      const guarded = f => {{ try {{ return f(); }} catch (error) {{ return "raised " + error; }} }};
      const failure = guarded(() => {{ [forward, partials] = new Function({json.dumps(source)})(); }});
      return failure ?? [{calls}].map(([name, xs]) => guarded(() => {{
        const y = forward[name](...xs);
        return [y, ...partials[name](y, ...xs)].map(String).join(" ");
      }})).join("\\n");
    }})()"""
    try:
        lines = run(text).split("\n")
    except RuntimeError as error:
        raise NotAvailable(str(error)) from error
    if len(lines) < len(points):
        raise LoweringFailed((), lines[0])
    return [*map(_parsed, points, lines)]


def _literal(x: float) -> str:
    """Return a number as a JavaScript literal."""
    return repr(x).replace("inf", "Infinity").replace("nan", "NaN")


def _parsed(xs: Point, line: str) -> tuple[float, ...]:
    """Return the numbers in a line of the JavaScript output, which are the value and the partials at `xs`.

    Raises:
        LoweringFailed: the line has an error message, or something other than numbers.
    """
    if line.startswith("raised "):
        raise LoweringFailed(xs, line)
    try:
        return tuple(map(float, line.split(" ")))
    except ValueError:
        raise LoweringFailed(xs, f"gives {line}, not numbers") from None


def _programs(op: Op, points: Sequence[Point]) -> dict[int, Any]:
    """Return a compiled program of the operation for each number of operands among the points, keyed by this count.

    The operands are the parameters of the program.

    Raises:
        NotAvailable: the compiler cannot be imported.
    """
    try:
        from ...compiler import compile  # noqa: A004 -- the field's name
    except ImportError as error:
        raise NotAvailable(str(error)) from error
    return {n: compile(record(op, tuple([Value(0.5) for _ in range(n)])), []) for n in {*map(len, points)}}


def _machine_code(op: Op, points: Sequence[Point]) -> Results:
    """Return the value and the partials at each point, computed by machine code: by its forward and backward pass."""
    programs = _programs(op, points)
    results = []
    for xs in points:
        program = programs[len(xs)]
        for p, x in zip(program.parameters, xs, strict=True):
            p.data, p.grad = x, 0.0
        [y] = program.forward([[]])
        program.backward([[]])
        results.append((y, *[p.grad for p in program.parameters]))
    return results


def _numpy(op: Op, points: Sequence[Point]) -> Results:
    """Return the value at each point, computed by the compiler's Python source with numpy arrays.

    Raises:
        NotAvailable: numpy or the compiler cannot be imported.
    """
    try:
        import numpy
    except ImportError as error:
        raise NotAvailable("numpy is not installed") from error
    values = dict.fromkeys(range(len(points)), math.nan)
    for count, program in _programs(op, points).items():
        places = [i for i, xs in enumerate(points) if len(xs) == count]
        namespace: dict[str, Any] = {}
        exec(program.source("python"), namespace)
        columns = [*numpy.array([points[i] for i in places]).T]
        with numpy.errstate(all="ignore"):
            found = numpy.broadcast_to(namespace["f"](numpy, columns, []), len(places))
        values |= zip(places, found.tolist(), strict=True)
    return [(y,) for y in values.values()]


def _scale(op: Op, xs: Point, true: tuple[float, ...], slot: int) -> tuple[float, float]:
    """Return two numbers, `size` and `stated`, that tell how far a lowering may differ from the operation's row.

    The allowed difference is relative to the largest of `size` and the two numbers that are compared (see `_is_near`).
    For the value, `size` is the sum of |operand * partial|, since a relative rounding error r of the operands changes
    the value by up to r * `size`. For a partial derivative, `size` is 0.0, so the difference is relative to the
    compared numbers alone. `stated` is the relative rounding error that the operation states; 0.0 if it states none.

    Args:
        op: the operation that was lowered.
        xs: the operands at the point that is compared.
        true: the value and the partials that the row gives at the point.
        slot: 0 for the value, and i + 1 for partial i.
    """
    moved = [] if slot else map(math.fabs, map(mul, xs, true[1:]))
    return math.fsum(filter(math.isfinite, moved)), stated_rounding(op, true[0], xs, slot)


def _complexity(xs: Point) -> tuple[int, bool, int]:
    """Return a key by which points are sorted: fewer operands first, then finite ones, then shorter numbers."""
    return len(xs), not all(map(math.isfinite, xs)), len(repr(xs))


def _rounding_on_the_way(op: Op, xs: Point, slot: int) -> float:
    """Return how far rounding of intermediate results may change the value or a partial derivative of the operation.

    Slot 0 is the value, and slot i + 1 is partial i. The result is 0.0 if the rounding is not known.
    """
    inputs = [Value(x) for x in xs]
    try:
        y = op.local_derivatives(record(op, inputs), *inputs)[slot - 1] if slot else expand(op, *inputs)  # type: ignore[arg-type]
    except Exception:  # the operation is not written in the table's operations
        return 0.0
    return rounding_error(y) if isinstance(y, Value) else 0.0


def _is_near(a: float, b: float, size: float, stated: float) -> bool:
    """Return whether two numbers are equal, or both nan, or as near as rounding allows.

    The allowed difference is relative to the largest of |a|, |b| and `size`. `stated` is the relative rounding error
    that the operation states. If it is inf, any two numbers are near.
    """
    if same_number(a, b) or stated == math.inf:
        return True
    if not math.isfinite(a - b):
        return False
    stated = stated if math.isfinite(stated) else 0.0
    return math.fabs(a - b) <= (SAME_VALUE + stated) * max(math.fabs(a), math.fabs(b), size) + UNDERFLOW
