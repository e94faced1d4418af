"""`Value`, a scalar that remembers how it was computed, and backpropagation through what it remembers.

A node keeps its operands (`parents`) and, captured when it was made, the derivative with respect to each (`partials`).
Backward walks the graph from the root, each node before its operands, and adds `grad * partial` to every operand's
`grad`: the chain rule, one edge at a time. There is no recursion anywhere: a graph may be as deep as memory allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, SupportsFloat, TypeAlias, overload

from . import ops
from .operation import Op, number

_NO_GRAD, _ANOMALY = 1, 2
_mode: ContextVar[int] = ContextVar("micrograd_cn_mode", default=0)  # one a thread and an async task
_get_mode = _mode.get
_new = object.__new__
_BOTH_ONE = (1.0, 1.0)


def _operators(op: Op) -> tuple[Callable[[Value, Number], Value], Callable[[Value, SupportsFloat], Value]]:
    """Return the two methods of a binary operator: `self op other` and `other op self`."""

    def forward(self: Value, other: Number) -> Value:
        operand = _operand(other)
        return NotImplemented if operand is None else record(op, (self, operand))

    def reflected(self: Value, other: SupportsFloat) -> Value:
        operand = _operand(other)
        return NotImplemented if operand is None else record(op, (operand, self))

    return forward, reflected


def method(op: Op) -> Callable[..., Value]:
    """Return the operation as a method of its first operand, which spares it asking whether that is a number.

    >>> method(ops.tanh)(Value(0))
    Value(data=0.0, grad=0.0)
    """

    def unary(self: Value) -> Value:
        return record(op, (self,))

    def general(self: Value, *rest: Number, **options: Number) -> Value:
        result: Value = op(self, *rest, **options)
        return result

    chosen = unary if op.arity == 1 else general
    chosen.__name__, chosen.__doc__ = op.name, op.doc.partition("\n")[0]
    return chosen


def _comparison(holds: Callable[[float, float], bool]) -> Callable[[Value, Number], bool]:
    """Return a comparison of data."""

    def compare(self: Value, other: Number) -> bool:
        operand = _operand(other)
        return NotImplemented if operand is None else holds(self.data, operand.data)

    return compare


class Group:
    """A part of a network: a name, and the larger part that it is in."""

    __slots__ = ("name", "outer")

    def __init__(self, name: str, outer: Group | None = None) -> None:
        self.name = name
        self.outer = outer

    def __str__(self) -> str:
        return f"{self.outer}.{self.name}" if self.outer else self.name


class Value:
    """Hold a float and how it was computed.

    Args:
        data: a real number.
        label: a name, for messages and drawings.

    Attributes:
        data: the float.
        grad: the gradient with respect to this value of what `backward()` was called on; 0.0 before.
        op: the operation that made it, None for a leaf.
        parents: its operands, one entry an operand slot: `a + a` has two.
        partials: the derivative with respect to each operand, captured when the node was made; 0.0 for a constant
            operand where it would have taken work.
        label: the name.
        requires_grad: False for a constant (a number that an operator wrapped, a detached value): it gets no gradient,
            and no work is spent on one.
        group: the neuron that it belongs to, by which pictures fold; None for none.

    `==` and `hash` are identity; `<`, `<=`, `>`, `>=` compare data. There is no `float(v)`, which would lose the graph
    in silence: read `v.data`.

    Raises:
        TypeError: `data` is not a real number, or `label` is not a str.

    >>> x = Value(3, "x")
    >>> y = x * x + 2
    >>> y.backward()
    >>> x
    Value(data=3.0, grad=6.0, label='x')
    """

    __slots__ = ("data", "grad", "group", "label", "op", "parents", "partials", "requires_grad")
    __array_ufunc__ = None  # a numpy scalar on the left leaves the operation to Value

    data: float
    grad: float
    group: Group | None
    label: str
    op: Op | None
    parents: tuple[Value, ...]
    partials: tuple[float, ...]
    requires_grad: bool

    def __init__(self, data: SupportsFloat, label: str = "") -> None:
        if isinstance(data, Value):
            raise TypeError("Value() takes a number, got a Value; use it as it is, or .detach() it for a constant")
        if not isinstance(label, str):
            raise TypeError(f"a label must be a str, got {type(label).__name__} {label!r}")
        self.data = number(data)
        self.grad = 0.0
        self.group = None
        self.label = label
        self.op = None
        self.parents = self.partials = ()
        self.requires_grad = True

    # Addition and multiplication of two values, most of a graph, are `record` written out for speed.

    def __add__(self, other: Number) -> Value:
        if type(other) is not Value or not (self.requires_grad and other.requires_grad) or _get_mode():
            return _add(self, other)
        node: Value = _new(Value)
        node.data = self.data + other.data
        node.grad = 0.0
        node.group = None
        node.label = ""
        node.op = ops.add
        node.parents = (self, other)
        node.partials = _BOTH_ONE
        node.requires_grad = True
        return node

    def __mul__(self, other: Number) -> Value:
        if type(other) is not Value or not (self.requires_grad and other.requires_grad) or _get_mode():
            return _mul(self, other)
        a, b = self.data, other.data
        node: Value = _new(Value)
        node.data = a * b
        node.grad = 0.0
        node.group = None
        node.label = ""
        node.op = ops.mul
        node.parents = (self, other)
        node.partials = (b, a)
        node.requires_grad = True
        return node

    _, __radd__ = _operators(ops.add)
    _, __rmul__ = _operators(ops.mul)
    __sub__, __rsub__ = _operators(ops.sub)
    __truediv__, __rtruediv__ = _operators(ops.div)
    __pow__, __rpow__ = _operators(ops.pow)
    __neg__ = method(ops.neg)
    __abs__ = method(ops.abs)

    def __pos__(self) -> Value:
        return self

    abs = method(ops.abs)
    exp = method(ops.exp)
    log = method(ops.log)
    sqrt = method(ops.sqrt)
    sin = method(ops.sin)
    cos = method(ops.cos)
    tan = method(ops.tan)
    sinh = method(ops.sinh)
    cosh = method(ops.cosh)
    tanh = method(ops.tanh)
    sigmoid = method(ops.sigmoid)
    relu = method(ops.relu)
    leaky_relu = method(ops.leaky_relu)
    elu = method(ops.elu)
    softplus = method(ops.softplus)
    gelu = method(ops.gelu)
    silu = method(ops.silu)

    __lt__ = _comparison(lambda a, b: a < b)
    __le__ = _comparison(lambda a, b: a <= b)
    __gt__ = _comparison(lambda a, b: a > b)
    __ge__ = _comparison(lambda a, b: a >= b)

    def backward(self) -> None:
        """Add to every leaf's `grad` the gradient of this value with respect to it.

        The chain rule: a node's gradient is the sum, over the places where it is used, of the user's gradient times the
        local derivative there. Interior nodes start at 0, leaves accumulate: call `zero_grad()` to start again.

        Raises:
            RuntimeError: this value is a constant, so there is nothing to differentiate.
            TypeError: called on something that is not a `Value`.
            FloatingPointError: inside `detect_anomaly()`, a gradient is not finite.

        >>> a, b = Value(2), Value(3)
        >>> (a * b + a).backward()
        >>> a.grad, b.grad
        (4.0, 2.0)
        """
        if not isinstance(self, Value):
            raise TypeError(f"backward() needs a Value, got {type(self).__name__}: the graph was lost on the way to it")
        if not self.requires_grad:
            raise RuntimeError(
                f"backward() on the constant {self!r}: it was made from constants alone, detached, or inside no_grad()"
            )
        order = topological_order(self)
        below: set[Value] = {self}
        for node in order:
            node.grad = 0.0
            below.update(node.parents)
        before = [(leaf, leaf.grad) for leaf in below if leaf.op is None and leaf.grad]
        for leaf, _ in before:  # it is added at the end, so that twice backward is exactly twice
            leaf.grad = 0.0
        self.grad = 1.0
        check = _get_mode() & _ANOMALY
        try:
            for node in order:
                upstream = node.grad
                for parent, partial in zip(node.parents, node.partials, strict=True):
                    if parent.requires_grad:
                        parent.grad += upstream * partial
                if check:
                    _check_gradients(node)
        finally:
            for leaf, grad in before:
                leaf.grad += grad

    def zero_grad(self) -> None:
        """Set `grad` to 0 on every node of the graph, leaves included.

        >>> x = Value(2)
        >>> y = x * x
        >>> y.backward(); y.zero_grad(); x.grad
        0.0
        """
        self.grad = 0.0
        for node in topological_order(self):
            node.grad = 0.0
            for parent in node.parents:
                parent.grad = 0.0

    def detach(self) -> Value:
        """Return a constant with the same data and label: no gradient flows through it.

        >>> x = Value(3)
        >>> y = x * x.detach()
        >>> y.backward(); x.grad
        3.0
        """
        node = constant(self.data)
        node.label = self.label
        return node

    def item(self) -> float:
        """Return the data, as PyTorch spells it.

        >>> Value(3).item()
        3.0
        """
        return self.data

    @property
    def _prev(self) -> frozenset[Value]:
        """The operands, as micrograd's notebooks trace them."""
        return frozenset(self.parents)

    @property
    def _op(self) -> str:
        """The operation's symbol, as micrograd's notebooks show it."""
        return self.op.symbol if self.op else ""

    def __repr__(self) -> str:
        label = f", label={self.label!r}" if self.label else ""
        return f"Value(data={self.data}, grad={self.grad}{label})"

    def __format__(self, spec: str) -> str:
        return format(self.data, spec) if spec else repr(self)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.op:
            raise TypeError(
                f"cannot copy or pickle {self!r}, an interior node ({self.op.name}): "
                "its graph would come along; detach() it, or copy the leaves and compute it again"
            )
        return _restore, (self.data, self.grad, self.label, self.requires_grad, self.group)


Number: TypeAlias = Value | SupportsFloat
_ONLY_VALUES = {Value}
_add, _ = _operators(ops.add)
_mul, _ = _operators(ops.mul)


def _restore(data: float, grad: float, label: str, requires_grad: bool, group: Group | None) -> Value:
    leaf = Value(data, label)
    leaf.grad, leaf.requires_grad, leaf.group = grad, requires_grad, group
    return leaf


def constant(x: SupportsFloat) -> Value:
    """Return a leaf that gets no gradient.

    >>> constant(2).requires_grad
    False
    """
    leaf: Value = _new(Value)
    leaf.data = number(x)
    leaf.grad = 0.0
    leaf.group = None
    leaf.label = ""
    leaf.op = None
    leaf.parents = leaf.partials = ()
    leaf.requires_grad = False
    return leaf


def values(xs: Iterable[Number]) -> tuple[Value, ...]:
    """Return the sequence with its numbers made constants.

    >>> x = Value(1)
    >>> values([x, 2])[0] is x
    True
    """
    xs = tuple(xs)
    if _ONLY_VALUES.issuperset(map(type, xs)):
        return xs  # type: ignore[return-value]
    return tuple([x if isinstance(x, Value) else constant(x) for x in xs])


def _operand(x: object) -> Value | None:
    """Return a binary operator's other operand as a `Value`, None if it is not one real number."""
    if isinstance(x, Value):
        return x
    try:
        return constant(x)  # type: ignore[arg-type]  # what is no number raises
    except TypeError:
        return None


def record(op: Op, parents: tuple[Value, ...]) -> Value:
    """Apply `op` and return the node that remembers it; a constant if none of its operands requires a gradient."""
    mode = _get_mode()
    node: Value = _new(Value)
    node.grad = 0.0
    node.group = None
    node.label = ""
    inputs = [parent.data for parent in parents if parent.requires_grad]
    needed = len(inputs)
    if needed != len(parents):
        inputs = [parent.data for parent in parents]
    node.data = data = op.forward(*inputs)
    if not needed or mode & _NO_GRAD:
        node.op = None
        node.parents = node.partials = ()
        node.requires_grad = False
    else:
        node.op = op
        node.parents = parents
        if needed == len(parents) or op.arity is None:
            node.partials = op.local(data, *inputs)
        else:
            node.partials = op.some(data, inputs, [parent.requires_grad for parent in parents])
        node.requires_grad = True
    if mode & _ANOMALY and not math.isfinite(data):
        raise FloatingPointError(f"{_in_words(op, parents)} gave {data}")
    return node


Value._record = staticmethod(lambda op, operands: record(op, values(operands)))  # type: ignore[attr-defined]  # how a row of the table finds the engine


def topological_order(root: Value) -> list[Value]:
    """Return the interior nodes below `root`, each before its operands.

    It is a depth-first search's order of finishing, reversed (Tarjan 1976); the search's stack is a list.

    >>> x = Value(1)
    >>> a = x.exp(); b = a * a
    >>> topological_order(b) == [b, a]
    True
    """
    if root.op is None:
        return []
    finished: list[Value] = []
    entered: set[Value] = set()
    stack: list[Value | None] = [root]
    while stack:
        node = stack.pop()
        if node is None:  # all below the next one is finished, and so is it
            finished.append(stack.pop())  # type: ignore[arg-type]
        elif node not in entered:
            entered.add(node)
            stack += (node, None)
            for parent in node.parents:
                if parent.op is not None and parent not in entered:
                    stack.append(parent)
    finished.reverse()
    return finished


@overload
def gradients(output: Value, inputs: Iterable[Value], create_graph: Literal[False] = False) -> list[float]: ...
@overload
def gradients(output: Value, inputs: Iterable[Value], create_graph: Literal[True]) -> list[Value]: ...
def gradients(output: Value, inputs: Iterable[Value], create_graph: bool = False) -> list[float] | list[Value]:
    """Return the gradient of `output` with respect to each of `inputs`, leaving every `grad` alone.

    Args:
        output: what to differentiate.
        inputs: leaves or interior nodes; the gradient is 0 with respect to one that `output` does not depend on.
        create_graph: return `Value`s, computed from those of the graph, which can be differentiated again.

    Raises:
        TypeError: `output` or one of `inputs` is not a `Value`.
        ValueError: one of `inputs` requires no gradient.
        RuntimeError: with create_graph, data was changed after the graph was recorded.
        FloatingPointError: inside `detect_anomaly()`, a gradient is not finite.

    >>> x = Value(2)
    >>> [first] = gradients(x ** 3, [x], create_graph=True)
    >>> first.data, gradients(first, [x])
    (12.0, [12.0])
    """
    if not isinstance(output, Value):
        raise TypeError(f"gradients() of {type(output).__name__} {output!r}: not a Value, so its graph was lost")
    if isinstance(inputs, Value):
        raise TypeError("gradients() takes a sequence of inputs; write [x] for one")
    inputs = list(inputs)
    for i, x in enumerate(inputs):
        if not isinstance(x, Value):
            raise TypeError(f"gradients() with respect to inputs[{i}]: {type(x).__name__} {x!r} is not a Value")
        if not x.requires_grad:
            raise ValueError(f"gradients() with respect to inputs[{i}]: the constant {x!r} requires no gradient")

    order = topological_order(output)
    relevant = set(inputs)  # the nodes on a path from an input to the output
    for node in reversed(order):
        for parent in node.parents:
            if parent in relevant:
                relevant.add(node)
                break
    check = _get_mode() & _ANOMALY
    terms: dict[Value, list[Any]] = {x: [] for x in relevant}
    terms.setdefault(output, []).append(1.0)
    for node in order:
        if node in relevant and terms[node]:
            upstream = _total(terms, node)
            if check:
                _check_total(upstream, node)
            partials = symbolic_partials(node, relevant) if create_graph else node.partials
            for parent, partial in zip(node.parents, partials, strict=True):
                if parent in relevant:
                    terms[parent].append(_product(upstream, partial) if create_graph else upstream * partial)
    totals = [_total(terms, x) for x in inputs]
    if check:
        for g, x in zip(totals, inputs, strict=True):
            _check_total(g, x)
    if create_graph:
        return [g if isinstance(g, Value) else constant(g) for g in totals]
    return totals


def _total(terms: dict[Value, list[Any]], node: Value) -> Any:
    """Return the sum of the contributions that `node` received, and keep it in their place."""
    received = terms[node]
    if len(received) > 1:
        received[:] = [received[0] + received[1] if len(received) == 2 else ops.sum(received)]
    return received[0] if received else 0.0


def _product(upstream: Any, partial: Any) -> Any:
    """Return the product; factors that are the numbers 0 and 1 vanish from the graph."""
    for a, b in ((upstream, partial), (partial, upstream)):
        if isinstance(a, float):
            if a == 0.0:
                return 0.0
            if a == 1.0:
                return b
    return upstream * partial


def symbolic_partials(node: Value, relevant: Collection[Value]) -> tuple[Any, ...]:
    """Return the partials as `Value`s: the table's formulas applied to the graph itself.

    A partial with respect to an operand that is not in `relevant` may be left 0.0.

    Raises:
        RuntimeError: data was changed after the node was recorded.

    >>> x = Value(3)
    >>> symbolic_partials(x * x, {x})[0] is x
    True
    """
    assert node.op is not None
    needed = [parent in relevant for parent in node.parents]
    operands = tuple([parent if parent.requires_grad else parent.data for parent in node.parents])
    partials = node.op.some(node, operands, needed)
    for slot, (partial, captured) in enumerate(zip(partials, node.partials, strict=True)):
        now = partial.data if isinstance(partial, Value) else partial
        if needed[slot] and now != captured and not (math.isnan(now) or math.isnan(captured)):
            raise RuntimeError(
                f"data was changed after {_in_words(node.op, node.parents)} was recorded: operand {slot} had the "
                f"partial {captured}, now {now}; compute the output again"
            )
    return partials


@contextmanager
def _switched_on(flag: int) -> Iterator[None]:
    token = _mode.set(_mode.get() | flag)
    try:
        yield
    finally:
        _mode.reset(token)


@contextmanager
def recording() -> Iterator[bool]:
    """Record inside the `with` block, even inside `no_grad()`; give whether that is around it.

    >>> with no_grad(), recording():
    ...     (Value(2) * 3).requires_grad
    True
    """
    mode = _mode.get()
    token = _mode.set(mode & ~_NO_GRAD)
    try:
        yield bool(mode & _NO_GRAD)
    finally:
        _mode.reset(token)


def no_grad() -> Any:
    """Record nothing inside the `with` block (or decorated function): results are constants.

    It holds in this thread and this async task alone.

    >>> x = Value(2)
    >>> with no_grad():
    ...     y = x * x
    >>> y.data, y.requires_grad
    (4.0, False)
    """
    return _switched_on(_NO_GRAD)


def detect_anomaly() -> Any:
    """Raise at the first value or gradient inside the `with` block that is inf or nan.

    Raises:
        FloatingPointError: it names the operation, its operands and their labels.

    >>> with detect_anomaly():
    ...     Value(0, "x").log()
    Traceback (most recent call last):
    FloatingPointError: log(x=0.0) gave -inf
    """
    return _switched_on(_ANOMALY)


def _in_words(op: Op, parents: Sequence[Value]) -> str:
    shown = [f"{p.label}={p.data}" if p.label else str(p.data) for p in parents]
    if len(shown) > 8:
        shown[4:-3] = ["..."]
    return f"{op.name}({', '.join(shown)})"


def _check_total(gradient: Any, node: Value) -> None:
    if not math.isfinite(gradient.data if isinstance(gradient, Value) else gradient):
        made = f" = {_in_words(node.op, node.parents)}" if node.op else ""
        raise FloatingPointError(f"gradients(): with respect to {node!r}{made} it is {gradient}")


def _check_gradients(node: Value) -> None:
    for slot, (parent, partial) in enumerate(zip(node.parents, node.partials, strict=True)):
        if parent.requires_grad and not math.isfinite(parent.grad):
            name = f" {node.label!r}" if node.label else ""
            raise FloatingPointError(
                f"backward through{name} {_in_words(node.op, node.parents)}: the gradient of operand {slot} became "  # type: ignore[arg-type]
                f"{parent.grad}; upstream gradient {node.grad}, local derivative {partial}"
            )


def check_tangent(node: Value, tangent: Any) -> None:
    """Check the derivative of an interior node in the direction of a `jvp`, inside `detect_anomaly()`.

    Raises:
        FloatingPointError: there it is not finite; the node's operation and operands are named.

    >>> with detect_anomaly():
    ...     check_tangent(Value(0, "x").sqrt(), math.inf)
    Traceback (most recent call last):
    FloatingPointError: jvp through sqrt(x=0.0): the tangent became inf; local derivatives (inf,)
    """
    if _get_mode() & _ANOMALY and not math.isfinite(tangent.data if isinstance(tangent, Value) else tangent):
        name = f" {node.label!r}" if node.label else ""
        raise FloatingPointError(
            f"jvp through{name} {_in_words(node.op, node.parents)}: the tangent became {tangent}; "  # type: ignore[arg-type]
            f"local derivatives {node.partials}"
        )
