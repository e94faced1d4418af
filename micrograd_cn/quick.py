"""The engine written out for speed: functions that replace slower ones in `engine` and `graph.operators`.

You need not read this module to understand the engine. Each function here is the twin of a plain function of the same
name there. It does the work itself if the operands are `Value`s and floats and neither `no_grad()` nor
`detect_anomaly()` is on. In any other case, it calls the plain function. If you change a function, change the plain one
first: `tests/test_quick.py` then fails until the twin here does the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, SupportsFloat

from . import ops
from .engine import Value
from .graph import context, outdated
from .graph.array_updates import may_change_an_array, refuse_array_update, remember_arrays
from .graph.operators import Operators, result_of_own_class
from .ops.checks import check_partial
from .ops.number import number, number_or_none
from .ops.operation import Op, Selection

__all__ = ["PLAIN", "QUICK", "install"]

_plain_record, _plain_backward = Value._record, Value.backward
_ONLY_VALUES, _new, _here, _getframe = {Value}, object.__new__, context.here, sys._getframe
_ADD, _MUL, _NEG = ops.add, ops.mul, ops.neg
_UNREACHED = float("0")  # an object of its own: a node whose gradient is still this object has received none


def _node(op: Op, data: float, a: Any, b: Any, da: float | None, db: float | None) -> Value:
    if context.active:
        return _node_in_block(op, data, a, b, da, db)
    node: Value = _new(Value)
    node._data = data
    node._grad = 0.0
    node.op = op
    node._a = a
    node._b = b
    node._da = da
    node._db = db
    node.label = ""
    node.group = None
    node.requires_grad = True
    return node


def _node_in_block(op: Op, data: float, a: Any, b: Any, da: float | None, db: float | None) -> Value:
    """Return a node for the result `data` of `op`, with the operands a and b, and the local derivatives da and db.

    Call this instead of `_node` if some `with` block is open, which may have installed hooks or a scope.
    """
    here = _here()
    node: Value = here.hooks.new_node(Value, a, b) if here.hooks else _new(Value)
    node._data = data
    node._grad = 0.0
    node.op = op
    node._a = a
    node._b = b
    node._da = da
    node._db = db
    node.label = ""
    node.group = here.scope
    node.requires_grad = True
    return node


def _constant_result(y: float, of_parameters: float = 1.0) -> Value:
    """Return a constant for `y`, the result of an operation.

    `of_parameters` is 0.0 if the result was computed from constants alone, and 1.0 if parameters may be among its
    operands.
    """
    node: Value = _new(Value)
    node._data = y
    node._grad = 0.0
    node.op = node._a = node._b = node._db = node.group = None
    node._da = of_parameters
    node.label = ""
    node.requires_grad = False
    return node


def _constant_leaf(x: Any) -> Value:
    """Return a constant for the operand x, which is not a `Value`."""
    leaf = _constant_result(x if type(x) is float else number(x))
    leaf._da = None  # unlike a result, a leaf may be changed in place
    return leaf


def _constant_of_operands(y: float, *operands: Any) -> Value:
    """Return a constant for the result `y` of an operation, none of whose operands requires a gradient."""
    if context.active and (hooks := _here().hooks):
        hooks.made_constant(operands)
    for x in operands:
        if type(x) is not float and (x.op is not None or x._da == 1.0):
            return _constant_result(y)
    return _constant_result(y, 0.0)


def _assignment_operator(op: Op) -> Callable[[Value, Any], Any]:
    """Return the method for the operator that assigns the result of `op`, such as `-=` if `op` is `sub`.

    Inside `no_grad()` the method changes the data of a leaf. Otherwise it returns a new node, or NotImplemented, after
    which Python evaluates `x -= y` as `x = x - y`.
    """

    def update(self: Value, other: Any) -> Any:
        if type(self) is Value and self.requires_grad and not (context.active and _here().in_mode):
            partials: Any = op.partials
            x = self._data
            if type(other) is float and self.op is not None:  # `_changed_in_place` notes that a leaf does not change
                y = op.forward(x, other)
                return _node(op, y, self, other, partials[0](y, x, other), None)
            if type(other) is Value and other.requires_grad:
                z = other._data
                y = op.forward(x, z)
                return _node(op, y, self, other, partials[0](y, x, z), partials[1](y, x, z))
        return self._changed_in_place(op, other)

    return update


class Quick(Value):
    """Fast twins of the plain functions of `Value`. It has no instances: `install` copies its functions to `Value`."""

    __slots__ = ()

    @staticmethod
    def _record(op: Op, operands: Any) -> Value:
        if context.active and _here().in_mode:
            return _plain_record(op, operands)
        if op.arity == 1:
            return Quick._record_unary(op, *operands)
        if op.arity == 2:
            return Quick._record_binary(op, *operands)
        if op.arity == 3:
            return Quick._record_ternary(op, *operands)
        xs: Any = tuple(operands)
        if not _ONLY_VALUES.issuperset(map(type, xs)):
            xs = tuple([x if isinstance(x, Value) else _constant_leaf(x) for x in xs])
        inputs = [x._data for x in xs]
        y = op.forward(*inputs)
        if type(y) is not float:
            y = op.evaluate(*inputs)
        for x in xs:
            if x.requires_grad:
                break
        else:
            return _constant_of_operands(y, *xs)
        partials: Any = op.partials
        if op.arity is None:
            found = partials(y, *inputs)
            if type(found) is tuple and len(found) == len(inputs):
                return _node(op, y, xs, found, None, None)
            return _node(op, y, xs, op.needed_partials(y, inputs, [x.requires_grad for x in xs]), None, None)
        slopes: list[float | None] = []
        for x, partial in zip(xs, partials, strict=True):
            dx = partial(y, *inputs) if partial and x.requires_grad else None
            if dx is None and partial and x.requires_grad and type(partial) is not Selection:
                check_partial(op, len(slopes), dx)
            slopes.append(dx)
        return _node(op, y, xs, tuple(slopes), None, None)

    @staticmethod
    def _record_unary(op: Op, x: Any) -> Value:
        if not isinstance(x, Value):
            return _constant_of_operands(op.evaluate(number(x)), number(x))
        data = x._data
        y = op.forward(data)
        if type(y) is not float:
            y = op.evaluate(data)
        if not x.requires_grad:
            return _constant_of_operands(y, x)
        partial = op.partials[0]
        da = partial(y, data) if partial else None
        if da is None and partial and type(partial) is not Selection:
            check_partial(op, 0, da)
        return _node(op, y, x, None, da, None)

    @staticmethod
    def _record_binary(op: Op, a: Any, b: Any) -> Value:
        da = db = None
        if isinstance(a, Value):
            x, needs_a = a._data, a.requires_grad
        else:
            a = x = number(a)
            needs_a = False
        if isinstance(b, Value):
            z, needs_b = b._data, b.requires_grad
        else:
            b = z = number(b)
            needs_b = False
        y = op.forward(x, z)
        if type(y) is not float:
            y = op.evaluate(x, z)
        if not (needs_a or needs_b):
            return _constant_of_operands(y, a, b)
        partial_a, partial_b = op.partials
        if needs_a and partial_a:
            da = partial_a(y, x, z)
            if da is None and type(partial_a) is not Selection:
                check_partial(op, 0, da)
        if needs_b and partial_b:
            db = partial_b(y, x, z)
            if db is None and type(partial_b) is not Selection:
                check_partial(op, 1, db)
        return _node(op, y, a, b, da, db)

    @staticmethod
    def _record_ternary(op: Op, a: Any, b: Any, c: Any) -> Value:
        if not isinstance(a, Value):
            a = _constant_leaf(a)
        if not isinstance(b, Value):
            b = _constant_leaf(b)
        if not isinstance(c, Value):
            c = _constant_leaf(c)
        x, z, t = a._data, b._data, c._data
        y = op.forward(x, z, t)
        if type(y) is not float:
            y = op.evaluate(x, z, t)
        needs_a, needs_b, needs_c = a.requires_grad, b.requires_grad, c.requires_grad
        if not (needs_a or needs_b or needs_c):
            return _constant_of_operands(y, a, b, c)
        da = db = dc = None
        partial_a, partial_b, partial_c = op.partials
        if needs_a and partial_a:
            da = partial_a.weight(x, z, t) if type(partial_a) is Selection else partial_a(y, x, z, t)
            if da is None and type(partial_a) is not Selection:
                check_partial(op, 0, da)
        if needs_b and partial_b:
            db = partial_b.weight(x, z, t) if type(partial_b) is Selection else partial_b(y, x, z, t)
            if db is None and type(partial_b) is not Selection:
                check_partial(op, 1, db)
        if needs_c and partial_c:
            dc = partial_c.weight(x, z, t) if type(partial_c) is Selection else partial_c(y, x, z, t)
            if dc is None and type(partial_c) is not Selection:
                check_partial(op, 2, dc)
        return _node(op, y, (a, b, c), (da, db, dc), None, None)

    @staticmethod
    def _traverse(*roots: Value) -> tuple[list[Value], set[Value]]:
        finished: list[Value] = []
        leaves: set[Value] = set()
        entered: set[Value] = set()
        stack: list[Any] = []
        pop, push, leaf = stack.pop, stack.append, leaves.add
        for root in roots:
            push(root) if root.op else leaf(root)
        while stack:
            node = pop()
            if node is None:  # it marks the node below it on the stack, whose operands are finished
                finished.append(pop())
            elif node not in entered:
                entered.add(node)
                push(node)
                push(None)
                a, b = node._a, node._b
                if type(a) is tuple:
                    for x in a:
                        if x.op is None:
                            leaf(x)
                        elif x not in entered:
                            push(x)
                    continue
                if type(a) is not float:
                    if a.op is None:
                        leaf(a)
                    elif a not in entered:
                        push(a)
                if b is not None and type(b) is not float:
                    if b.op is None:
                        leaf(b)
                    elif b not in entered:
                        push(b)
        finished.reverse()
        return finished, leaves

    def backward(
        self,
        gradient: SupportsFloat = 1.0,
        *,
        retain_graph: None = None,
        create_graph: None = None,
        inputs: None = None,
    ) -> None:
        if retain_graph is not None or create_graph is not None or inputs is not None:
            options: dict[str, Any] = {"retain_graph": retain_graph, "create_graph": create_graph, "inputs": inputs}
            return _plain_backward(self, gradient, **options)
        if (context.active and _here().in_mode) or not isinstance(self, Value) or not self.requires_grad:
            return _plain_backward(self, gradient)
        seed = number(gradient)
        order, leaves = Quick._traverse(self)
        if outdated.expected:
            outdated.warn_of_outdated(order, leaves)
        before, unreached, changed = [], _UNREACHED, False
        try:
            for leaf in leaves:
                if (grad := leaf._grad) != 0.0:
                    before.append((leaf, grad))
                leaf._grad = 0.0
            changed = True
            for node in order:
                node._grad = unreached
            self._grad = seed
            for node in order:
                upstream = node._grad
                if upstream is unreached:
                    continue
                if (partial := node._da) is not None:
                    a = node._a
                    if a.requires_grad:
                        a._grad += upstream * partial
                elif type(node._a) is tuple:
                    if node._b is None:  # user code made this node, as in micrograd, and assigned its `_backward`
                        for x, term in node._terms(upstream):
                            x.grad += term
                        continue
                    for x, partial in zip(node._a, node._b, strict=True):
                        if x.requires_grad and partial is not None:
                            x._grad += upstream * partial
                if (partial := node._db) is not None:
                    b = node._b
                    if b.requires_grad:
                        b._grad += upstream * partial
            for leaf, grad in before:
                if grad:  # it may be None
                    leaf._grad += grad
                elif grad is None and not leaf.requires_grad:
                    leaf._grad = None
        except BaseException:
            for leaf in leaves if changed else ():
                leaf._grad = 0.0
            for leaf, grad in before:
                leaf._grad = grad
            raise
        return None

    # Addition, multiplication and negation make most of a graph, so what the table of operations says about them is
    # inlined too. The same holds for `+=` and the like, which make a new node outside `no_grad()`.

    def __add__(self, other: Any) -> Any:
        if self.requires_grad and not (context.active and _here().in_mode):
            if type(other) is Value and other.requires_grad:
                return _node(_ADD, self._data + other._data, self, other, 1.0, 1.0)
            if type(other) is float:
                return _node(_ADD, self._data + other, self, other, 1.0, None)
        return self._binary(ops.add, other)

    def __radd__(self, other: Any) -> Any:
        if type(other) is float and self.requires_grad and not (context.active and _here().in_mode):
            return _node(_ADD, other + self._data, other, self, None, 1.0)
        return self._reflected(ops.add, other)

    def __mul__(self, other: Any) -> Any:
        if self.requires_grad and not (context.active and _here().in_mode):
            a = self._data
            if type(other) is Value and other.requires_grad:
                b = other._data
                return _node(_MUL, a * b, self, other, b, a)
            if type(other) is float:
                return _node(_MUL, a * other, self, other, other, None)
        return self._binary(ops.mul, other)

    def __rmul__(self, other: Any) -> Any:
        if type(other) is float and self.requires_grad and not (context.active and _here().in_mode):
            return _node(_MUL, other * self._data, other, self, None, other)
        return self._reflected(ops.mul, other)

    def __iadd__(self, other: Any) -> Any:
        if type(self) is Value and self.requires_grad and not (context.active and _here().in_mode):
            if type(other) is Value and other.requires_grad:
                return _node(_ADD, self._data + other._data, self, other, 1.0, 1.0)
            if type(other) is float and self.op is not None:
                return _node(_ADD, self._data + other, self, other, 1.0, None)
        return self._changed_in_place(ops.add, other)

    def __imul__(self, other: Any) -> Any:
        if type(self) is Value and self.requires_grad and not (context.active and _here().in_mode):
            a = self._data
            if type(other) is Value and other.requires_grad:
                b = other._data
                return _node(_MUL, a * b, self, other, b, a)
            if type(other) is float and self.op is not None:
                return _node(_MUL, a * other, self, other, other, None)
        return self._changed_in_place(ops.mul, other)

    __isub__ = _assignment_operator(ops.sub)
    __itruediv__ = _assignment_operator(ops.div)
    __ipow__ = _assignment_operator(ops.pow)

    def __neg__(self) -> Any:
        if self.requires_grad and not (context.active and _here().in_mode):
            return _node(_NEG, -self._data, self, None, -1.0, None)
        return self._unary(ops.neg)

    def _unary(self, op: Op) -> Any:
        if context.active and (here := _here()).no_grad:
            if self.op is None and self.requires_grad:
                frame = _getframe(2)
                if may_change_an_array(frame):
                    remember_arrays(frame)
            if not here.detect_anomaly and here.hooks is None:
                x = self._data
                y = op.forward(x)
                return _constant_result(y if type(y) is float else op.evaluate(x))
        partials: Any = op.partials
        if partials[0] is None or not self.requires_grad or (context.active and _here().in_mode):
            return _plain_record(op, (self,))
        x = self._data
        y = op.forward(x)
        return _node(op, y, self, None, partials[0](y, x), None)

    def _binary(self, op: Op, other: Any) -> Any:
        if type(other) is float or isinstance(other, Value):
            b: Any = other
        elif type(other) is int:
            try:
                b = float(other)
            except OverflowError:
                b = number_or_none(other)
        else:
            b = number_or_none(other)
            result: Any = NotImplemented if b is None else result_of_own_class(op, self, other)
            if result is not NotImplemented:
                return result
        if self.requires_grad and b is not None and not (context.active and _here().in_mode):
            partials: Any = op.partials
            x = self._data
            if type(b) is float:
                y = op.forward(x, b)
                return _node(op, y, self, b, partials[0](y, x, b), None)
            if b.requires_grad:
                z = b._data
                y = op.forward(x, z)
                return _node(op, y, self, b, partials[0](y, x, z), partials[1](y, x, z))
        if context.active and b is not None and (here := _here()).no_grad:
            if self.op is None and self.requires_grad:
                frame = _getframe(2)
                if may_change_an_array(frame):
                    refuse_array_update(op, frame)
            if not here.detect_anomaly and here.hooks is None:
                x, z = self._data, b if type(b) is float else b._data
                y = op.forward(x, z)
                return _constant_result(y if type(y) is float else op.evaluate(x, z))
        return Operators._binary(self, op, other)

    def _reflected(self, op: Op, other: Any) -> Any:
        a = other if type(other) is float else number_or_none(other)
        if self.requires_grad and a is not None and not (context.active and _here().in_mode):
            partials: Any = op.partials
            x = self._data
            y = op.forward(a, x)
            return _node(op, y, a, self, None, partials[1](y, a, x))
        if context.active and a is not None and (here := _here()).no_grad:
            if self.op is None and self.requires_grad:
                frame = _getframe(2)
                if may_change_an_array(frame):
                    remember_arrays(frame)
            if not here.detect_anomaly and here.hooks is None:
                x = self._data
                y = op.forward(a, x)
                return _constant_result(y if type(y) is float else op.evaluate(a, x))
        return Operators._reflected(self, op, other)


QUICK = {name: twin for name, twin in vars(Quick).items() if callable(twin) and hasattr(Value, name)}
PLAIN = {name: next(vars(kind)[name] for kind in Value.__mro__ if name in vars(kind)) for name in QUICK}


def install(twins: Mapping[str, Any] = QUICK) -> None:
    """Replace methods of `Value` by the functions in `twins`, a dict from the names of methods to functions.

    `install()` installs the quick functions, and `install(PLAIN)` puts the plain functions back.
    """
    for name in ("backward", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__"):
        QUICK[name].__doc__, QUICK[name].__qualname__ = PLAIN[name].__doc__, PLAIN[name].__qualname__  # for help()
    for name, twin in twins.items():
        setattr(Value, name, twin)
