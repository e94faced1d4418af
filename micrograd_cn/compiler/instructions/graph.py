"""Sort the nodes of a recorded graph into operations, parameters and constants, and check that they can be compiled."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import chain
from typing import Any

from ...engine import Value, topological_order, traverse
from ...ops.operation import Op, Selection
from ...ops.registry import is_known
from ...text.formula import FormulaSteps, OtherForFloats
from .formulas import Formulas, is_of_the_table

MAX_OPERANDS = 100_000  # graphs with more operands are not compared with others


class _Detach(Op):
    """The operation that `detach()` records in a compiled function: the identity, but no gradient flows through it."""

    is_step = False


DETACH = _Detach("detach", lambda x: x, (None,))


def evaluation_order(outputs: Sequence[Value]) -> list[Value]:
    """Return the interior nodes from which outputs are computed, followed by the outputs.

    Each interior node is in the first part once, after its operands. The outputs are added at the end because an output
    may be a leaf.

    >>> x = Value(1)
    >>> a = x.exp(); b = a * a
    >>> evaluation_order([a, b]) == [a, b, a, b]
    True
    """
    return [*reversed(topological_order(*reversed(outputs))), *outputs]


def is_check(operation: tuple[Value, Op]) -> bool:
    """Return whether an operation, given with its node, is a `where` one of whose operands is the constant nan.

    Losses check their targets by such a `where`: for a target that is out of range, it chooses nan. The examples are
    where(x, x, nan) and where(x, x, 0).

    >>> from micrograd_cn.ops import where
    >>> x = Value(1)
    >>> [is_check((y, y.op)) for y in (where(x, x, math.nan), where(x, x, 0.0))]
    [True, False]
    """
    node, op = operation
    return op.lowerings.machine == "select" and any(map(is_nan, node.operands))


def is_nan(x: Any) -> bool:
    """Return whether an operand is the constant nan, and not a node whose data are nan only at the moment."""
    return math.isnan(x._data) and not (x.op or x.requires_grad) if isinstance(x, Value) else math.isnan(x)


class Graph:
    """The operations of a recorded graph in order, and its leaves, sorted into inputs, parameters and constants.

    Attributes:
        operations: the interior nodes with their operations, operands first.
        parameters: the nodes in `first_parameters`, followed by the other leaves that require a gradient and are not
            inputs, in the order in which the graph uses them first. If gathers with one index take a row of a table,
            the parameters of a row follow each other.
        first_parameters: as in the arguments.
        constants: a dict from each leaf that is neither an input nor a parameter to its value.
        has_gathers: whether an operation is a gather: its first operand is an index, and it takes one of the others.
        runs_users_code: whether an operation is a user's own. Its functions are called when the graph is lowered or
            differentiated.
        users_formulas: the traced formulas of users' operations, which all code for this graph shares.
        has_checks: whether an operation is a `where` that chooses between a number and nan, as losses do to check their
            targets.

    Args:
        outputs: the nodes whose values are computed.
        inputs: the leaves that are inputs.
        first_parameters: leaves that are the first parameters, whether the graph uses them or not.

    Raises:
        TypeError: an operation cannot be compiled.
        ValueError: a node requires a gradient now, but did not when it became an operand of another node, see
            `check_gradient_flow`.

    >>> x, w = Value(2), Value(3)
    >>> graph = Graph([w * x + w], [x])
    >>> len(graph.operations), graph.parameters == [w], graph.constants
    (2, True, {})
    """

    def __init__(
        self, outputs: Sequence[Value], inputs: Sequence[Value], first_parameters: Sequence[Value] = ()
    ) -> None:
        self.outputs, self.inputs, self.first_parameters = outputs, inputs, first_parameters
        interior, leaves = traverse(*reversed(outputs))
        interior.reverse()
        self.operations = [(node, node.op) for node in interior if node.op]
        others = _in_order_of_use(self.operations, outputs, leaves.difference(inputs, first_parameters))
        self.parameters = [*first_parameters, *(x for x in others if x.requires_grad)]
        self.constants = {x: x.data for x in others if not x.requires_grad}
        self._kinds = dict.fromkeys([(op, op.arity or len(node.operands)) for node, op in self.operations])
        self.users_formulas: dict[Any, FormulaSteps] = {}
        self._partials_error: OtherForFloats | None = None
        self._formulas = self._checked_formulas(self.users_formulas)
        self.runs_users_code = not all(is_of_the_table(op) for op, _ in self._kinds)
        self._traced = self._trace_users_operations(self._formulas) if self.runs_users_code else {}
        self.has_gathers = any(op.lowerings.is_gather for op, _ in self._kinds)
        choosing = {op for op, _ in self._kinds if op.lowerings.machine == "select"}
        self.has_checks = any(map(is_check, [pair for pair in self.operations if pair[1] in choosing]))
        check_gradient_flow(interior, first_parameters)  # first parameters may be frozen while the graph is recorded

    def _checked_formulas(self, users_formulas: dict[Any, FormulaSteps]) -> Formulas:
        formulas = Formulas(users_formulas)
        for op, count in self._kinds:
            formulas.check(op, count)
        return formulas

    def _trace_users_operations(self, formulas: Formulas) -> dict[Any, FormulaSteps]:
        """Trace the partials of users' operations, and return the formulas of these operations and of their partials.

        `formulas` traces the partials, and has the formulas. No partials are traced if no output requires a gradient.
        If the partials of an operation cannot be traced, the error is raised only when they are needed, which may be
        never.
        """
        for op, count in self._kinds if any(y.requires_grad for y in self.outputs) else ():
            if not is_known(op):
                for kind in ("partials", "contributions") if op.selects else ("partials",):
                    try:
                        for step, used in formulas.of(op, kind, [None] * (count + 1)).traced.steps:
                            formulas.check(step, len(used))
                    except OtherForFloats as error:
                        self._partials_error = error
                    except TypeError:  # no formula can stand for some partials
                        pass
        return dict(formulas.of_users)

    def check_partials(self) -> None:
        """Raise FormulaError if partials of a user's operation compute something else for floats than for `Value`s."""
        if self._partials_error:
            raise self._partials_error

    def changed_operation(self) -> str:
        """Return the name of a user's operation that computes something else now than when the graph was made.

        Return "" if there is none. The functions of such an operation may read a variable, which can change. Code
        for this graph would go on computing what they computed when the graph was made.
        """
        if not self.runs_users_code:
            return ""
        now: dict[tuple[str, str, int], set[str]] = {}
        with suppress(TypeError):  # if an operation cannot be traced any more, it counts as changed
            now = _texts(self._trace_users_operations(self._checked_formulas({})))
        return next((key[0] for key, texts in _texts(self._traced).items() if now.get(key) != texts), "")

    @cached_property
    def structure(self) -> Any:
        """A key that equals those of other graphs that are lowered to the same instructions.

        It has the operations, the place of each operand among the leaves and operations, and the constants, bit by bit.
        It is None for graphs with operations of users, whose functions may change, and for graphs with very many
        operands.
        """
        if self.runs_users_code:
            return None
        operands = [node.operands for node, _ in self.operations]
        flat = [*chain.from_iterable(operands)]
        leaves = [*self.inputs, *self.parameters]
        known = dict.fromkeys([*leaves, *self.constants, *(node for node, _ in self.operations)])
        if len(flat) > MAX_OPERANDS or len(leaves) + len(self.constants) + len(self.operations) > len(known):
            return None  # a leaf that is there twice, for example as an input and as a parameter
        place = {x: k for k, x in enumerate(known)}
        places = [*map(place.get, flat, flat)]
        if not {int, float}.issuperset(map(type, places)):
            return None
        return (
            (len(self.inputs), len(self.parameters), len(self.constants)),
            (*(op for _, op in self.operations),),
            (*map(len, operands),),
            (*(x.hex() if type(x) is float else x for x in places),),  # -0.0 and 0.0 are equal, as are 1 and 1.0
            array("d", self.constants.values()).tobytes(),
            (*map(place.get, self.outputs),),
        )

    def take_formulas(self) -> Formulas:
        """Return `Formulas` whose method `check` has checked all operations of the graph.

        Each call returns another object, even if several threads call the method at the same time.
        """
        found: Formulas | None = vars(self).pop("_formulas", None)  # one call into C, so one thread alone gets it
        return found or self._checked_formulas(self.users_formulas)


def _texts(formulas: Mapping[Any, FormulaSteps]) -> dict[tuple[str, str, int], set[str]]:
    """Return a dict with the formulas of users' operations as text, so they can be compared with those traced later.

    A key has the name of the operation, the kind of formula, and the number of its inputs, and the value is a set of
    strings. Formulas in which an input is a constant are left out.
    """
    found: dict[tuple[str, str, int], set[str]] = {}
    for (op, kind, known), steps in formulas.items():
        if {*known} <= {None}:
            found.setdefault((op.name, kind, len(known)), set()).add(str(steps))
    return found


def _in_order_of_use(
    operations: Sequence[tuple[Value, Op]], outputs: Iterable[Value], leaves: set[Value]
) -> list[Value]:
    """Return the leaves in the order in which they are first used as operands, except for gathers.

    The gathers with one index and equally many operands take a row of a table, whose columns their operands are. These
    operands are met row by row, so a row lies together in memory. Leaves that are outputs, but no operands, come last.
    """
    if not leaves:
        return []
    columns: dict[tuple[Any, int], list[Sequence[Any]]] = {}
    used: list[Iterable[Any]] = []
    for node, op in operations:
        operands = node.operands
        if not op.lowerings.is_gather:
            used.append(operands)
            continue
        index, *column = operands
        if (key := (index, len(column))) not in columns:
            columns[key] = []
            used += [index], chain.from_iterable(_rows_of(columns[key]))
        columns[key].append(column)
    met = chain(chain.from_iterable(used), outputs)
    return [*filter(leaves.__contains__, dict.fromkeys(met))]  # by a loop in C, for speed


def _rows_of(columns: list[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table, whose columns are in `columns` when the first row is asked for."""
    yield from zip(*columns, strict=True)


def check_gradient_flow(nodes: Iterable[Value], exempt: Collection[Value] = ()) -> None:
    """Raise ValueError if an operand of a node requires a gradient now, but did not when the node was recorded.

    Such a node kept no partial derivative for the operand, so no gradient would flow to the operand. No error is raised
    for operands in `exempt`, and for operands to which the node's operation would pass no gradient anyway.

    >>> x, w = Value(2), Value(3, "w")
    >>> w.requires_grad = False
    >>> y = w * x
    >>> check_gradient_flow([y])
    >>> w.requires_grad = True
    >>> check_gradient_flow([y])
    Traceback (most recent call last):
    ValueError: compile(): Value(data=3.0, grad=0.0, label='w') requires a gradient, but did not when mul(...) was \
recorded with it, so it would get none there; record the graph again, and write .detach() where no gradient is wanted
    """
    for node in nodes:
        if node._da is None:
            _check_operand(node, 0, node._a, exempt)
        if node._db is None and node._b is not None:
            _check_operand(node, 1, node._b, exempt)


def _check_operand(node: Value, slot: int, x: Any, exempt: Collection[Value]) -> None:
    """Raise ValueError if the operand `x` in `slot` requires a gradient, since `node` has no partial derivative for it.

    No error is raised if x is in `exempt`, or if the operation of `node` passes no gradient to x in any case.
    """
    if not isinstance(x, Value) or not x.requires_grad:
        return
    op: Any = node.op
    partial = op.partials[slot]
    if type(partial) is Selection:  # if it does not select x, it sends nothing to x, whether x is frozen or not
        partial = partial.weight(*[each._data if isinstance(each, Value) else each for each in node.operands])
    if partial and x not in exempt:
        raise ValueError(
            f"compile(): {x!r} requires a gradient, but did not when {op.name}(...) was recorded with it, so it would "
            "get none there; record the graph again, and write .detach() where no gradient is wanted"
        )
