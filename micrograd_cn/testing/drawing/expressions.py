"""Random expression graphs, each with a point at which every operation is smooth and rounding hides no derivative."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ...engine import Number, Value, record
from ...ops.number import whole_number
from ...ops.operation import Op
from ...ops.registry import OPS
from ...ops.traits import Interval
from .float_strategies import FULL_PRECISION_REACH, bounds, import_strategies, interior, reals
from .smooth_steps import NudgedValue, fits_domain, nudged_input, smooth_step
from .suspicious_intervals import arities_among, suspicious_intervals

__all__ = ["Expression", "build_steps", "expressions", "step_strategy", "with_small_numbers", "without_dead_steps"]

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True)
class Expression:
    """A function that is a sequence of steps, each of which applies an operation.

    Called with numbers, it returns a float. Called with `Value`s, it returns the root of the graph that it records.

    Attributes:
        point: numbers, one for each input, at which every step is smooth.
        steps: an operation and its operands for each step. An operand that is a float is a constant. An operand that is
            an int is an index into a list, which has the inputs first, and then the results of the steps. The last
            step gives the result.

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
        """Return the result of the last step for `inputs`: a float, or a `Value` if an input is a `Value`."""
        return self.nodes(*inputs)[-1]

    def nodes(self, *inputs: Number) -> list[Any]:
        """Return a list of the inputs and of the results of all steps.

        Raises:
            TypeError: `inputs` are more or fewer than the numbers in `point`.

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
            nodes.append(record(op, xs) if graph else op.forward(*map(float, xs)))
        return nodes

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    def __repr__(self) -> str:
        called = {op: call_name(op) for op, _ in self.steps}
        taken = {*called.values()}
        f, names = _unused_name("f", taken), [_unused_name(f"x{i}", taken) for i in range(len(self.point))]
        lines = [f"def {f}({', '.join(names)}):"]
        imports: set[Op] = set()
        own: set[Op] = set()
        for op, operands in self.steps:
            texts = [
                names[i] if isinstance(i, int) else f"({i!r})" if math.copysign(1.0, i) < 0.0 else repr(i)
                for i in operands
            ]
            text = op.text(*texts)
            if not op.notation.precedence:
                text = called[op] + text.removeprefix(op.name)
                (imports if is_public(op) else own).add(op)
            names.append(_unused_name(f"v{len(names)}", taken))
            lines.append(f"    {names[-1]} = {text}")
        last = lines.pop().partition(" = ")[2] if self.steps else names[-1]
        lines.append(f"    return {last}")
        public_names = sorted(called[op] for op in imports)
        comments = sorted(f"# {called[op]} is an operation of your own" for op in own)
        heading = [f"from micrograd_cn import {', '.join(public_names)}", ""] if public_names else []
        return "\n".join([*comments, *heading, *lines, "", f"{f}({', '.join(map(repr, self.point))})"])


def is_public(op: Op) -> bool:
    """Return whether `micrograd_cn` exports this operation under the operation's own name."""
    import micrograd_cn  # which imports this module

    return getattr(micrograd_cn, op.name, None) is op


def call_name(op: Op) -> str:
    """Return the name of the operation in printed code.

    A user-defined operation that is named like something in `micrograd_cn` gets the prefix "own_".
    """
    import micrograd_cn

    return op.name if is_public(op) or not hasattr(micrograd_cn, op.name) else f"own_{op.name}"


def _unused_name(name: str, taken: set[str]) -> str:
    """Return the name, with underscores appended until it is not in `taken`."""
    while name in taken:
        name += "_"
    return name


# An operation and, for each operand, a drawn integer that chooses what the operand is, and a number. The operand is an
# earlier result, the number as a new input, or the number as a constant.
StepRecipe: TypeAlias = tuple[Op, tuple[tuple[int, float | None], ...]]

# An integer below this chooses an operand: a constant, the latest result, an earlier result, or a new input.
OPERAND_CHOICES = 12
STEP_ARITIES = (1, 2, 3, 4, 5, 8)  # counts of operands that an n-ary operation is given
OWN_OP_WEIGHT = 4  # how many times as often a user-defined operation is drawn as one of the package's


def expressions(
    ops: Iterable[Op] | None = None,
    max_inputs: int = 3,
    max_steps: int = 8,
    min_value: float = -math.inf,
    max_value: float = math.inf,
) -> SearchStrategy[Expression]:
    """Return a Hypothesis strategy for random expression graphs with shared subexpressions, as inputs of `gradcheck`.

    Each expression has a point at which all of its steps are smooth. A step applies an operation to earlier results,
    new inputs, and constants. Inputs and constants are of every magnitude in the operand's domain. More of them are
    drawn near the ends of the domain, and where a partial of the operation changes fast or does not match the
    operation's values. A step is left out if a small change of an input takes its operands to a kink or out of a
    domain, or if rounding of its result hides the effect of an input. Therefore Hypothesis does not have to reject any
    draw, `gradcheck` does not call a correct derivative wrong, and a failing expression shrinks to few steps with
    simple numbers.

    A wrong partial may be missed if it is wrong only in an interval of the operand that is far shorter than 0.025. Such
    intervals are searched with steps of 0.025, so points in a shorter one are drawn only by chance.

    Args:
        ops: the operations to use, also user-defined ones; all of the package's by default.
        max_inputs: the largest number of inputs.
        max_steps: the largest number of operations.
        min_value: the least input and constant; by default, there is no other bound than the operands' domains. The
            bounds do not hold for the first operand of a gather, which is an index.
        max_value: the greatest input and constant; by default, there is no other bound than the operands' domains.

    Raises:
        ValueError: `ops` is empty, a maximum is less than 1, a bound is nan, or no number between the bounds is in the
            domain of any operation.
        TypeError: `ops` has something that is no operation, such as a name, or a maximum is not an int.

    >>> from hypothesis import find
    >>> from micrograd_cn import add, mul
    >>> smallest = find(expressions([add, mul]), lambda f: len(f.steps) > 0)
    >>> smallest.steps
    ((<operation add>, (0, 0.0)),)
    >>> find(expressions([mul], max_inputs=1), lambda f: f.steps and f.point[0] > 999).point
    (1000.0,)
    """
    table = list(OPS.values() if ops is None else [ops] if isinstance(ops, str) else ops)
    max_inputs, max_steps = (
        whole_number("expressions: max_inputs", max_inputs),
        whole_number("expressions: max_steps", max_steps),
    )
    if not table:
        raise ValueError("expressions: ops has no operations; leave it out for all")
    for op in table:
        if not isinstance(op, Op):
            names = op if isinstance(op, str) and op in OPS else "exp"
            raise TypeError(f"expressions: ops is a list of operations, got {op!r} in it; write [micrograd_cn.{names}]")
    low, high = bounds("expressions", min_value, max_value)
    usable = [op for op in table if any(a < high and low < b for a, b in op.smoothness.domain)]
    if not usable:
        names = ", ".join(op.name for op in table)
        raise ValueError(f"expressions: no number from {min_value} to {max_value} is in the domain of {names}")
    st = import_strategies()
    weights = [1 if OPS.get(op.name) is op else OWN_OP_WEIGHT for op in usable]

    @functools.cache
    def steps() -> list[SearchStrategy[StepRecipe]]:
        return [
            step_strategy(op, (low, high)) for op, weight in zip(usable, weights, strict=True) for _ in range(weight)
        ]

    # The strategies are made when a step is first drawn, since not every test that is collected runs. The step is
    # composite, because Hypothesis computes its repr often, and that must be short.
    step = st.composite(lambda draw: draw(st.one_of(steps())))()
    # Without unique=True, Hypothesis copies elements over others in five of six examples, and tries fewer numbers.
    recipes = st.lists(step, min_size=1, max_size=max_steps, unique=True)

    def expression(steps: list[StepRecipe]) -> Expression:
        nodes = build_steps(steps, max_inputs) or build_steps(
            [with_small_numbers(*step, low, high) for step in steps], max_inputs
        )
        return without_dead_steps(nodes) if nodes else Expression((min(max(low, 0.0), high),), ())

    return recipes.map(expression)  # type: ignore[no-any-return]


def step_strategy(op: Op, interval: Interval) -> SearchStrategy[StepRecipe]:
    """Return a Hypothesis strategy for recipes of a step: the operation `op`, and a pair for each operand.

    The first item of the pair is an integer that says whether the operand is an earlier result, a new input or a
    constant. The second item is the value that the operand has if it is a new input or a constant. It lies in
    `interval`, and is None if `interval` has no number in the domain of the operand.
    """
    st = import_strategies()
    operands = []
    for domain, focus in zip(op.smoothness.domain, suspicious_intervals(op), strict=True):
        number = reals(*interval, domain, focus)
        operands.append(st.tuples(st.integers(0, OPERAND_CHOICES - 1), st.none() if number.is_empty else number))
    tuples = []
    for n in arities_among(op, STEP_ARITIES):
        chosen = [*itertools.islice(itertools.cycle(operands), n)]
        if op.lowerings.is_gather:
            chosen[0] = st.tuples(st.just(0), st.integers(0, n - 2).map(float))
        tuples.append(st.tuples(*chosen))
    return st.tuples(st.just(op), st.sampled_from(range(len(tuples))).flatmap(tuples.__getitem__))  # type: ignore[no-any-return]


def with_small_numbers(op: Op, choices: tuple[tuple[int, float | None], ...], low: float, high: float) -> StepRecipe:
    """Return a recipe for a step of an expression, with small values in place of the drawn values in `choices`.

    The step applies `op`. `choices` has a pair for each operand: an integer that says whether the operand is an earlier
    result, a new input or a constant, and the value of the operand if it is a new input or a constant. The small values
    lie between `low` and `high`. The caller needs them if no step of the expression is possible with the drawn values.
    The integers and the index of a gather stay the same.
    """
    gentle = []
    for i, (choice, x) in enumerate(choices):
        a, b = interior(op.smoothness.domain[i % len(op.smoothness.domain)], FULL_PRECISION_REACH)
        small = min(max((2.0, 1.0, FULL_PRECISION_REACH)[i % 3], a, low), b, high)
        gentle.append((choice, x if x is None or (op.lowerings.is_gather and i == 0) else small))
    return op, tuple(gentle)


def build_steps(recipes: list[StepRecipe], max_inputs: int) -> list[NudgedValue]:
    """Return the inputs and the results of steps that apply operations to operands, as the recipes say.

    A recipe is an operation, and a pair for each operand: an integer that says whether the operand is an earlier
    result, a new input or a constant, and the value of the operand if it is a new input or a constant. A step is left
    out if no operands suit it, or if `smooth_step` rejects it. There are at most `max_inputs` inputs.
    """
    nodes: list[NudgedValue] = []
    inputs: list[NudgedValue] = []
    for op, choices in recipes:
        operands: list[NudgedValue | float] = []
        new: list[NudgedValue] = []
        for (choice, x), domain in zip(choices, itertools.cycle(op.smoothness.domain)):
            fitting = [node for node in [*nodes, *new] if fits_domain(node, domain)]
            room = x is not None and len(inputs) + len(new) < max_inputs
            chosen: NudgedValue | float | None
            if (operands or op.lowerings.is_gather) and choice < 2:
                chosen = x
            elif room and (choice > 8 or not fitting):
                chosen = nudged_input(x, len(inputs) + len(new), domain, op.smoothness.kink is not None)  # type: ignore[arg-type]
            elif fitting:  # often the latest result, which makes graphs deep
                chosen = fitting[-1 - max(0, choice - 5) % len(fitting)]
            else:
                chosen = None
            if chosen is None:
                break
            if isinstance(chosen, NudgedValue) and chosen not in fitting:
                new.append(chosen)
            operands.append(chosen)
        else:
            step = smooth_step(op, operands, [*inputs, *new])
            if step is not None:
                inputs += new
                nodes += [*new, step]
    return nodes


def without_dead_steps(nodes: list[NudgedValue]) -> Expression:
    """Return an expression that computes the last of `nodes`, without the inputs and steps that it does not need."""
    needed = {nodes[-1]}
    for node in reversed(nodes):
        if node in needed and node.step:
            needed.update(x for x in node.step[1] if isinstance(x, NudgedValue))
    inputs = [node for node in nodes if node in needed and not node.step]
    kept = [node for node in nodes if node in needed and node.step]
    place = {node: i for i, node in enumerate([*inputs, *kept])}
    steps = [node.step for node in kept if node.step]
    renumbered = [
        (op, tuple([place[x] if isinstance(x, NudgedValue) else x for x in operands])) for op, operands in steps
    ]
    return Expression(tuple([node.value for node in inputs]), tuple(renumbered))
