"""Read the data of parameters if they may have changed, and add gradients to the parameters' `grad`."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count, repeat
from typing import Any, NamedTuple

from ...engine import Value, traverse
from ...graph import context, outdated
from ...graph.interrupts import at_once
from ...graph.references import held_elsewhere
from ...ops.number import number
from ...ops.operation import Op
from ...optim.optimizer import list_of_parameters
from ..instructions.graph import DETACH
from ..threads.forks import ForkSafeLock
from .arrays import flat_doubles, is_column
from .captured import CapturedValue
from .nodes import add_to_gradients, data_of, floats_of, set_data

_lock = ForkSafeLock()
_versions = count(1)  # a number for each version of the data of all nodes
_version = 0


class CachedData:
    """A function that returns the data of some nodes as one array, which is kept from call to call.

    The nodes are read again only if the `data` of any node at all has been assigned since the last call. Otherwise the
    same array object is returned.

    Attributes:
        watches: whether a program's constants are watched; see `watch`.
        watched_nodes: the constants that are watched.

    >>> x = Value(1)
    >>> data = CachedData([x])
    >>> before = data()
    >>> data() is before
    True
    >>> x.data = 2
    >>> before, data()
    (array('d', [1.0]), array('d', [2.0]))
    """

    def __init__(self, nodes: Sequence[Value]) -> None:
        self._nodes = nodes
        self.watches = False
        self.watched_nodes: list[Value] = []
        self._kept = b""
        self._cached = -1, array("d")  # the version when the data were read, and the data

    def __call__(self) -> array[float]:
        """Return the data of the nodes as an array, in the order of the nodes.

        Raises:
            ValueError: a constant that is watched has changed; see `check_constants`.
        """
        version, numbers = self._cached
        if context.data_changed or version != _version:  # that is, version != data_version()
            now = data_version()
            if context.active and (hooks := context.here().hooks):
                for p in self._nodes:
                    hooks.read(p, "what a compiled program reads")
            self.check_constants()
            numbers = data_of(self._nodes)
            self._cached = now, numbers
        return numbers

    def note(self, version: int, numbers: array[float]) -> None:
        """Note that `numbers` are the nodes' data: they are not read again while `data_version` returns `version`."""
        self._cached = version, numbers

    def watch(self, constants: Mapping[Value, float], noted: Mapping[Value, float] | None = None) -> None:
        """Watch a program's constants: a later call raises ValueError if one of them has other data by then.

        Args:
            constants: a dict from the constants of the program's graph to the data that the program keeps. Constants to
                which only the graph refers are not watched, since nobody can change them.
            noted: a dict from other constants to their data. They are not operands of the graph, but the graph would
                differ if they had other data. All of them are watched.
        """
        self.watches = True
        references = dict.fromkeys(constants, 2)  # one from the dict, and one from an operand of the graph
        kept = {x: constants[x] for x in held_elsewhere(references)} | dict(noted or {})
        self.watched_nodes = [*kept]
        self._kept = array("d", kept.values()).tobytes()

    def watch_as(self, other: CachedData) -> None:
        """Watch the constants that `other` watches."""
        self.watches, self.watched_nodes, self._kept = other.watches, other.watched_nodes, other._kept

    @property
    def watched(self) -> dict[Value, float]:
        """A dict from each constant that is watched (see `watch`) to the data that the program has for it."""
        return dict(zip(self.watched_nodes, array("d", self._kept), strict=True))

    def check_constants(self) -> None:
        """Raise ValueError if a constant that is watched has other data now than those that the program keeps.

        >>> c, w = Value(1.0, "c", requires_grad=False), Value(2.0)
        >>> y, data = c * w, CachedData([w])
        >>> data.watch({c: c.data})
        >>> c.data = 2
        >>> data()
        Traceback (most recent call last):
        ValueError: c is a constant of the program, since it required no gradient when the program was made, and was \
1.0 then; now it is 2.0, so compile anew, or make it an argument of the function
        """
        if self.watched_nodes and array("d", [x._data for x in self.watched_nodes]).tobytes() != self._kept:
            for x, number in zip(self.watched_nodes, array("d", self._kept), strict=True):
                if repr(x._data) != repr(number):
                    raise ValueError(
                        f"{x.label or 'a Value'} is a constant of the program, since it required no gradient when the "
                        f"program was made, and was {number} then; now it is {x._data}, so compile anew, "
                        "or make it an argument of the function"
                    )


def data_version() -> int:
    """Return a number that differs from that of the last call if the `data` of any node have been assigned since.

    It changes even if no program uses this node, and it changes at every call while a function is recorded.
    """
    global _version
    if context.data_changed:
        with _lock():
            _version = next(_versions)
            # The last line, so that data written before it belong to the new version
            context.data_changed = context.is_watched()
    return _version


def new_version() -> tuple[int, Iterator[object]]:
    """Return the number of a new version of the data, and an iterator that makes this version the current one.

    The caller assigns the data of nodes, and passes the iterator to `at_once` together with the iterators that assign
    them. As long as `data_version` returns the number, nobody has assigned the `data` of a node after that. While a
    function is recorded, `data_version` never returns it.
    """
    version = next(_versions)
    holders, names = [sys.modules[__name__], context], ["_version", "data_changed"]
    return version, map(setattr, holders, names, chain([version], context.asks_if_watched()))


def refuse_in_no_grad(method: str) -> None:
    """Raise RuntimeError inside `no_grad()`, where the plain function records no graph, so its `backward` fails, too.

    `method` is the method that would give gradients to parameters. Methods that return derivatives ignore the mode, as
    `functional.grad` does. Call this function only if `context.active` is set, which is faster.
    """
    if context.here().no_grad:
        raise RuntimeError(
            f"{method}() inside no_grad(), where the plain function has no gradient; call {method}() outside the "
            "block, or write forward() for the results, and value_and_grad() for a gradient that changes no grad"
        )


def parameters_to_vector(parameters: Iterable[Value]) -> Any:
    """Return the data of parameters as a numpy array if numpy is installed, and otherwise as an `array.array`.

    >>> parameters_to_vector([Value(1), Value(2)]).tolist()
    [1.0, 2.0]
    """
    nodes = list_of_parameters("parameters_to_vector", parameters)
    if context.active and (hooks := context.here().hooks):
        for p in nodes:
            hooks.read(p, "parameters_to_vector()")
    found = data_of(nodes)
    try:
        import numpy as np
    except ImportError:
        return found
    return np.frombuffer(found)


def vector_to_parameters(vector: Any, parameters: Iterable[Value]) -> None:
    """Assign the numbers of an array to the data of parameters, in their order.

    Raises:
        ValueError: there are more or fewer numbers than parameters.
        TypeError: the array has entries that are not real numbers.

    >>> parameters = [Value(1), Value(2)]
    >>> vector_to_parameters([3, 4], parameters); parameters[1].data
    4.0
    """
    nodes = list_of_parameters("vector_to_parameters", parameters)
    if is_column(vector):
        numbers = flat_doubles(vector)
    else:
        if not isinstance(vector, Iterable):
            kind = type(vector).__name__
            raise TypeError(f"vector_to_parameters(): vector must be an array or a list of numbers, got {kind}")
        floats = floats_of(vector) if type(vector) is list else None
        are_floats = type(vector) is list and (floats or {float}.issuperset(map(type, vector)))
        numbers = floats or array("d", vector if are_floats else map(number, vector))
    if len(numbers) != len(nodes):
        raise ValueError(f"vector_to_parameters(): {len(numbers)} numbers for {len(nodes)} parameters")
    set_data(nodes, numbers)


class Gradients(NamedTuple):
    """The derivatives of a program's mean output with respect to its parameters.

    Attributes:
        parameters: the parameters of the program, in the order of the derivatives.
        numbers: the derivative with respect to each parameter.
        weight: a factor by which the derivatives are multiplied before they are added to the parameters' `grad`.
        unreached: the indices of the parameters that the program does not use, or uses only detached.
        captured: if there are captured values among the parameters, a function without arguments, otherwise None. It
            returns the nodes to which a gradient flows regardless of what operations such as `where` select.
    """

    parameters: Sequence[Value]
    numbers: array[float]
    weight: float = 1.0
    unreached: Sequence[int] = ()
    captured: Callable[[], Collection[Value]] | None = None


def reached_nodes(outputs: Iterable[Value], unselected: bool = True) -> set[Value]:
    """Return the nodes to which a gradient can flow from `outputs`.

    If `unselected` is false, no gradient flows to an operand that an operation such as `where` may leave unselected.

    >>> from micrograd_cn import less, where
    >>> x, y, z = Value(1), Value(2), Value(3)
    >>> node = where(less(x, 0), y, z) + y
    >>> reached_nodes([node]) >= {y, z}, {x, z}.isdisjoint(reached_nodes([node], unselected=False))
    (True, True)
    """
    return _nodes_below(
        outputs, lambda op, slot: op.propagates_gradient_to(slot) and (unselected or not op.may_leave_out(slot))
    )


def visited_nodes(outputs: Iterable[Value]) -> set[Value]:
    """Return the nodes that `backward()` visits: those that `outputs` are computed from, but no operand of `detach`.

    After `backward()`, each of these nodes that is a leaf and requires a gradient has a `grad`. It is 0.0 if no
    gradient can flow to the leaf, as to an operand of a comparison. The set `reached_nodes` does not have such a leaf.

    >>> from micrograd_cn import less
    >>> x, k = Value(1), Value(2)
    >>> k in visited_nodes([less(k, x)]), k in reached_nodes([less(k, x)])
    (True, False)
    """
    return _nodes_below(outputs, lambda op, slot: op is not DETACH)


def _nodes_below(outputs: Iterable[Value], leads_to: Callable[[Op, int], bool]) -> set[Value]:
    """Return `outputs` and the nodes from which they are computed, without operands to which `leads_to` is false.

    `leads_to` gets an operation and the index of an operand.
    """
    waiting = [*outputs]
    found = set(waiting)
    whole: dict[Op, bool] = {}  # whether an operation leads to all of its operands
    for node in waiting:
        if not (op := node.op):
            continue
        if op not in whole:
            alike = op.arity is not None or not (op.lowerings.is_gather or op.selects)
            whole[op] = alike and all(leads_to(op, slot) for slot in range(op.arity or 1))
        operands = node.operands if whole[op] else [x for i, x in enumerate(node.operands) if leads_to(op, i)]
        for x in operands:
            if isinstance(x, Value) and x not in found:
                found.add(x)
                waiting.append(x)
    return found


def _grads(nodes: Iterable[Value]) -> list[float]:
    # In a function of its own: in CPython 3.13, an exception that a trace function raised in a comprehension skipped
    # the `except` block around it.
    return [node._grad for node in nodes]


def add_gradients(found: Iterable[Gradients]) -> None:
    """Add gradients to the `grad` of their parameters. If Ctrl-C interrupts this, no `grad` is changed.

    A `CapturedValue` stands for a value that was computed before the compiled function was called. Its gradient starts
    the `backward()` of that value, and so reaches the leaves from which the value was computed. If this gradient is 0,
    and an operation such as `where` may have left the value unselected, `backward()` is not called, since 0 times an
    infinite derivative would be nan: a `grad` that is None becomes 0.0. Parameters that require no gradient, or that
    `Gradients.unreached` lists, are left alone; their `grad` may be None.

    >>> w, v = Value(2), Value(3)
    >>> c = CapturedValue(w * 3)
    >>> v.grad = None
    >>> numbers = array("d", [1, 10, 0])
    >>> add_gradients([Gradients([w, c, v], numbers, unreached=[2], captured=lambda: {c})]); w.grad, v.grad
    (31.0, None)
    """
    parts = [*found]
    if outdated.expected:
        for part in parts:
            outdated.note_gradients(part.parameters)
    if len(parts) == 1:
        [(parameters, gradients, weight, unreached, captured)] = parts
        if not (unreached or captured) and add_to_gradients(parameters, gradients, weight):
            return
    changed: list[tuple[Iterable[Value], list[float]]] = []  # nodes, with the gradients that they had before
    try:
        for part in parts:
            _add_part(part, changed)
    except BaseException:
        for nodes, grads in reversed(changed):
            at_once(map(setattr, nodes, repeat("_grad"), grads))
        raise


def _add_part(part: Gradients, changed: list[tuple[Iterable[Value], list[float]]]) -> None:
    """Add gradients to the `grad` of their parameters, as `add_gradients` does.

    Before the `grad` of some nodes is changed, a pair is appended to `changed`: the nodes, and the `grad` of each of
    them. So the caller can restore them.
    """
    parameters, gradients, weight, unreached, captured = part
    if weight != 1.0:
        gradients = array("d", map(weight.__mul__, gradients))
    before = _grads(parameters)
    changed.append((parameters, before))
    for p, grad, gradient in zip(parameters, before, gradients, strict=True):
        if p.requires_grad:  # it may have been frozen since the program was made
            p._grad = (grad or 0.0) + gradient
    for i in unreached:
        parameters[i]._grad = before[i]
    if not captured:
        return
    left = {*map(parameters.__getitem__, unreached)}
    for p, grad, gradient in zip(parameters, before, gradients, strict=True):
        if type(p) is CapturedValue:
            p._grad = grad
            if p.original.requires_grad and p not in left:
                leaves = [*traverse(p.original)[1]]
                changed.append((leaves, _grads(leaves)))
                _backward_from(p, gradient, leaves, captured)


def _backward_from(p: CapturedValue, gradient: float, leaves: Iterable[Value], captured: Callable[[], Any]) -> None:
    """Pass `gradient` on to `leaves`, from which the captured value that `p` stands for was computed.

    This is done by `backward()` of the captured value. If the gradient is 0 and an operation may have left `p`
    unselected, `backward()` is not called, since 0 times an infinite derivative would be nan. The only change is then
    that the `grad` of a leaf becomes 0.0 if it is None. `captured()` returns the nodes that operations such as `where`
    cannot leave unselected, see `Gradients.captured`.
    """
    if gradient or p in captured():
        p.original.backward(gradient)
        return
    for leaf in leaves:
        if leaf.requires_grad and leaf._grad is None:
            leaf._grad = 0.0
