"""Hypothesis strategies: leaves, random expression graphs, and small networks, each with a point to evaluate it at."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..engine import Number, Value, record
from ..engine import values as as_values
from ..nn import MLP
from ..operation import OPS, Op, number

__all__ = ["MARGIN", "Expression", "expressions", "inside", "networks", "register", "values"]

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

MARGIN = 0.05  # how far from kinks, poles and edges of domains a point stays
LARGEST = 1e4  # no intermediate result and no partial is larger, so that rounding stays small


def _st() -> Any:
    try:
        from hypothesis import strategies
    except ImportError as error:
        raise ImportError("strategies need hypothesis: pip install 'micrograd-cn[test]'") from error
    return strategies


def _floats(low: float, high: float) -> SearchStrategy[float]:
    """Draw floats of a closed interval, whole numbers among them, which are what a failure shrinks to."""
    st = _st()
    low, high = max(low, -sys.float_info.max), min(high, sys.float_info.max)
    first, last = math.ceil(low), math.floor(high)
    whole = st.integers(first, last).map(float) if first <= last else st.nothing()
    return st.one_of(whole, st.floats(low, high, allow_subnormal=False))  # type: ignore[no-any-return]


def values(min_value: float = -3.0, max_value: float = 3.0) -> SearchStrategy[Value]:
    """Return a strategy for leaves, some of them labelled.

    Args:
        min_value: the least of their finite data; -inf for no bound.
        max_value: the greatest; inf for no bound.

    Raises:
        ValueError: a bound is nan, or no finite number lies between them.
        TypeError: a bound is not a real number.

    >>> from hypothesis import find
    >>> find(values(), lambda v: v.data >= 2)
    Value(data=2.0, grad=0.0)
    """
    st = _st()
    for name, bound in (("min_value", min_value), ("max_value", max_value)):
        if math.isnan(number(bound)):
            raise ValueError(f"values: {name} must be a number, or an infinity for no bound, got nan")
    if not (min_value <= max_value and min_value < math.inf and max_value > -math.inf):
        raise ValueError(
            "values: min_value must be at most max_value, with a finite number between, "
            f"got {min_value} and {max_value}"
        )
    return st.builds(Value, _floats(min_value, max_value), st.just("") | st.text(max_size=8))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Expression:
    """A graph to be computed: call it with numbers for a float, with `Value`s for the root of a recorded graph.

    Attributes:
        point: numbers, one an input, at which every step is smooth.
        steps: an operation and its operands each: an int is an input or, counting on, an earlier step; a float is a
            constant. The last step is the result.

    >>> from micrograd_cn import mul, tanh
    >>> f = Expression((0.5, 2.0), ((tanh, (0,)), (mul, (2, 2)), (mul, (3, 1))))
    >>> print(f)
    from micrograd_cn import tanh
    <BLANKLINE>
    def f(x0, x1):
        v2 = tanh(x0)
        v3 = v2 * v2
        return v3 * x1
    <BLANKLINE>
    f(0.5, 2.0)
    >>> f(0.5, 2.0) == f(*map(Value, f.point)).data
    True
    """

    point: tuple[float, ...]
    steps: tuple[tuple[Op, tuple[int | float, ...]], ...]

    def __call__(self, *inputs: Number) -> Any:
        """Return the result for `inputs`."""
        return self.nodes(*inputs)[-1]

    def nodes(self, *inputs: Number) -> list[Any]:
        """Return the inputs and the result of every step.

        >>> from micrograd_cn import mul
        >>> Expression((3.0,), ((mul, (0, 0)),)).nodes(3.0)
        [3.0, 9.0]
        """
        if len(inputs) != len(self.point):
            raise TypeError(f"the expression takes {len(self.point)} inputs, got {len(inputs)}")
        nodes: list[Any] = list(inputs)
        for op, operands in self.steps:
            xs = [nodes[i] if isinstance(i, int) else i for i in operands]
            graph = any(isinstance(x, Value) for x in xs)
            nodes.append(record(op, as_values(xs)) if graph else op.forward(*map(float, xs)))
        return nodes

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    def __repr__(self) -> str:
        called = {op: _call_name(op) for op, _ in self.steps}
        taken = {*called.values()}
        f, names = _free("f", taken), [_free(f"x{i}", taken) for i in range(len(self.point))]
        lines = [f"def {f}({', '.join(names)}):"]
        imports: set[Op] = set()
        own: set[Op] = set()
        for op, operands in self.steps:
            texts = [names[i] if isinstance(i, int) else f"({i!r})" if i < 0 else repr(i) for i in operands]
            text = op.text(*texts)
            if not op.precedence:
                text = called[op] + text.removeprefix(op.name)
                (imports if _is_public(op) else own).add(op)
            names.append(_free(f"v{len(names)}", taken))
            lines.append(f"    {names[-1]} = {text}")
        last = lines.pop().partition(" = ")[2] if self.steps else names[-1]
        lines.append(f"    return {last}")
        known = sorted(called[op] for op in imports)
        told = sorted(f"# {called[op]} is an operation of your own" for op in own)
        heading = [f"from micrograd_cn import {', '.join(known)}", ""] if known else []
        return "\n".join([*told, *heading, *lines, "", f"{f}({', '.join(map(repr, self.point))})"])


def _is_public(op: Op) -> bool:
    """Return whether it is the package's operation of this name."""
    import micrograd_cn  # which imports this module

    return getattr(micrograd_cn, op.name, None) is op


def _call_name(op: Op) -> str:
    """Return the name that printed code calls it by: one's own may not take that of another."""
    import micrograd_cn

    return op.name if _is_public(op) or not hasattr(micrograd_cn, op.name) else f"own_{op.name}"


def _free(name: str, taken: set[str]) -> str:
    """Return the name, with underscores if an operation has it."""
    while name in taken:
        name += "_"
    return name


def expressions(ops: Iterable[Op] | None = None, max_inputs: int = 3, max_steps: int = 8) -> SearchStrategy[Expression]:
    """Return a strategy for random expression graphs with shared subexpressions.

    Each comes with a point at which all its steps are smooth: operands are chosen among the results so far that lie in
    the operation's domain, away from its kinks; where there are none, a constant takes their place. So no draw is
    rejected, and a failing expression shrinks to few steps with simple numbers.

    Args:
        ops: the operations to use, one's own among them; the whole table by default.
        max_inputs: at most so many inputs.
        max_steps: at most so many operations.

    Raises:
        ValueError: `ops` is empty, or a maximum is less than 1.

    >>> from hypothesis import find
    >>> from micrograd_cn import add, mul
    >>> smallest = find(expressions([add, mul]), lambda f: len(f.steps) > 0)
    >>> smallest.steps
    ((<operation add>, (0, 0)),)
    """
    table = list(OPS.values() if ops is None else ops)
    if not table or max_inputs < 1 or max_steps < 1:
        raise ValueError(f"expressions() of {len(table)} operations, {max_inputs} inputs and {max_steps} steps")
    return _st().composite(_draw_expression)(table, max_inputs, max_steps)  # type: ignore[no-any-return]


def _draw_expression(draw: DrawFn, table: list[Op], max_inputs: int, max_steps: int) -> Expression:
    st = _st()
    windows = dict.fromkeys([(-3.0, 3.0), *(inside(domain, 3.0) for op in table for domain in op.domain)])
    point = draw(st.lists(st.one_of([_floats(*window) for window in windows]), min_size=1, max_size=max_inputs))
    data = list(point)
    flat = [False] * len(point)  # which nodes do not change near the point
    steps: list[tuple[Op, tuple[int | float, ...]]] = []
    wanted = draw(st.integers(1, max_steps))
    for _ in range(2 * wanted):  # a step whose operands do not suit it is left out
        if len(steps) == wanted:
            break
        op = draw(st.sampled_from(table))
        count = op.arity or draw(st.integers(1, 5))
        operands: list[int | float] = []
        for domain in itertools.islice(itertools.cycle(op.domain), count):
            low, high = inside(domain, 3.0)
            fitting = [i for i, x in enumerate(data) if low <= x <= high]
            constants = _floats(low, high)
            if fitting and not operands:  # often the latest result, so that graphs grow deep
                operands.append(draw(st.just(fitting[-1]) | st.sampled_from(fitting)))
            else:
                operands.append(draw(st.sampled_from(fitting) | constants if fitting else constants))
        if not any(isinstance(i, int) for i in operands):
            continue
        xs = [data[i] if isinstance(i, int) else i for i in operands]
        fixed = [flat[i] if isinstance(i, int) else True for i in operands]
        y = op.forward(*xs)
        if _is_smooth(op, xs, fixed) and math.fabs(y) <= LARGEST and not _is_steep(op, xs, y, fixed):
            steps.append((op, tuple(operands)))
            data.append(y)
            flat.append(all(not any(op.local(op.forward(*near), *near)) for near in _moved(xs, fixed)))
    return _pruned(tuple(point), steps)


def _is_smooth(op: Op, xs: list[float], fixed: list[bool]) -> bool:
    """Return whether no kink is reached by moving an operand that is not fixed by `MARGIN`."""
    if op.kink is None:
        return True
    here, around = op.kink(*xs), [op.kink(*near) for near in _moved(xs, fixed)]
    if not around:
        return here != 0.0
    unmoved = here != 0.0 and all(there == here for there in around)
    return unmoved or (math.fabs(here) >= MARGIN and all(there * here > 0.0 for there in around))


def _is_steep(op: Op, xs: list[float], y: float, fixed: list[bool]) -> bool:
    """Return whether the result changes fast near `xs`.

    A partial that says so, or is nan, is not believed where the result itself hardly changes: it may be wrong, which is
    what a check of gradients is to find.
    """
    if all(math.fabs(p) <= LARGEST for p in op.local(y, *xs)):
        return False
    changes = [math.fabs(op.forward(*near) - y) / MARGIN for near in _moved(xs, fixed)]
    return not all(change <= LARGEST / 100.0 for change in changes)


def _moved(xs: list[float], fixed: list[bool]) -> list[list[float]]:
    """Return the operands with each that is not fixed moved by `MARGIN`, down and up."""
    return [[*xs[:i], x + d, *xs[i + 1 :]] for i, x in enumerate(xs) if not fixed[i] for d in (-MARGIN, MARGIN)]


def inside(domain: tuple[float, float], reach: float) -> tuple[float, float]:
    """Return the part of an open interval within `reach` of 0, or of its near end, and away from its ends.

    >>> inside((0.0, math.inf), 3.0), inside((10.0, math.inf), 3.0), inside((0.0, 0.1), 3.0)
    ((0.05, 3.0), (10.05, 16.05), (0.025, 0.07500000000000001))
    """
    margin = min(MARGIN, (domain[1] - domain[0]) / 4.0)
    low, high = domain[0] + margin, domain[1] - margin
    if low > reach:
        return low, min(high, low + 2.0 * reach)
    if high < -reach:
        return max(low, high - 2.0 * reach), high
    return max(low, -reach), min(high, reach)


def _pruned(point: tuple[float, ...], steps: list[tuple[Op, tuple[int | float, ...]]]) -> Expression:
    """Return the expression of the last step, without the steps that it does not need."""
    n = len(point)
    needed = {n + len(steps) - 1}
    for i in range(n + len(steps) - 1, n - 1, -1):
        if i in needed:
            needed.update(j for j in steps[i - n][1] if isinstance(j, int))
    kept = [i for i in range(n, n + len(steps)) if i in needed]
    place = {i: i for i in range(n)} | {i: n + k for k, i in enumerate(kept)}
    renumbered = [
        (steps[i - n][0], tuple(place[j] if isinstance(j, int) else j for j in steps[i - n][1])) for i in kept
    ]
    return Expression(point, tuple(renumbered))


def networks(max_width: int = 3, activations: Iterable[str] = ("tanh", "sigmoid", "softplus", "gelu")) -> Any:
    """Return a strategy for pairs of a small `MLP` and inputs for it.

    >>> from hypothesis import find
    >>> model, x = find(networks(), lambda pair: len(pair[0].layers) == 1)
    >>> model, x
    (MLP(1, [1])
      layers.0: Layer(1, 1, linear), 2 parameters, [0.0])
    """
    return _st().composite(_draw_network)(max_width, list(activations))


def _draw_network(draw: DrawFn, max_width: int, activations: list[str]) -> tuple[MLP, list[float]]:
    st = _st()
    widths = draw(st.lists(st.integers(1, max_width), min_size=2, max_size=4))
    model = MLP(widths[0], widths[1:], draw(st.sampled_from(activations)), init="zeros", seed=0)
    for p in model.parameters():
        p.data = draw(_floats(-2.0, 2.0))
    return model, draw(st.lists(_floats(-2.0, 2.0), min_size=widths[0], max_size=widths[0]))


def register() -> None:
    """Let `hypothesis.strategies.from_type(Value)` draw leaves; hypothesis calls this when it is imported.

    >>> from hypothesis import find
    >>> from hypothesis.strategies import from_type
    >>> register()
    >>> find(from_type(Value), lambda v: v.data > 1)
    Value(data=2.0, grad=0.0)
    """
    _st().register_type_strategy(Value, values())
