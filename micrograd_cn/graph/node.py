"""`Node`, a node of a computation graph: a number, the operation that made it, its operands and local derivatives."""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from math import isnan
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, Self, SupportsFloat, SupportsIndex

from .. import ops
from ..ops.number import flag, number, number_instead, number_or_none
from ..ops.operation import Op
from . import context, outdated, plain_numbers
from .array_updates import refuse_array_update, remember_arrays
from .callers import is_numpys_code, warn_at_user
from .closures import Closure, sends_nothing
from .groups import Group
from .interrupts import at_once
from .nan_order import asks_for_nan, holds_with_nan
from .numpy_methods import NumpyMethods
from .operand_sets import NO_CHANGE, OperandSet
from .unsupported import no_operator

__all__ = ["Node", "assign_data", "set_gradients"]


def _comparison(holds: Callable[[Any, Any], bool], symbol: str) -> Callable[[Any, Any], bool]:
    """Return a method that compares a node's data with those of another node, or with a number.

    Args:
        holds: a function that compares two floats.
        symbol: the sign of the comparison, such as "<", which is passed to hooks.
    """
    is_greater = symbol.startswith(">")

    def compare(self: Any, other: Any) -> Any:
        try:
            y = other if type(other) is float else other._data if isinstance(other, Node) else number(other)
        except TypeError:
            if type(other).__module__ == "builtins":  # other classes may know how to compare themselves with a Value
                kind = type(other).__name__
                raise TypeError(f"there is no {symbol} of a Value and a {kind}{number_instead(other)}") from None
            return NotImplemented
        except OverflowError:  # Python compares a float with an integer of any size
            y = other
        held = holds(x := self._data, y)
        if context.active:
            if (here := context.here()).hooks:
                here.hooks.compared(self, symbol, other, held)
                if not held and asks_for_nan(symbol, sys._getframe(1)):
                    here.hooks.asked_for_nan(*((self, other) if is_greater else (other, self)))
            if here.no_grad and self.op is None and self.requires_grad:  # as for np.maximum(W, 0, out=W)
                remember_arrays(sys._getframe(1))
        if not held and (x != x or y != y):
            return holds_with_nan(symbol, self, other, x, y, sys._getframe(1))
        return held

    return compare


def _before_read(x: Any, how: str) -> None:
    """Call the hook `read`, if hooks are installed, before a number of `x` is read; `how` names what reads it."""
    if context.active and (hooks := context.here().hooks):
        hooks.read(x, how)


def _number_in_name(x: Any) -> str:
    """Return the number that micrograd writes into the name of an operation for the operand `x`, as "2" in "**2".

    `x` is a plain number or a node. For a node that requires a gradient, the result is "".
    """
    if isinstance(x, Node) and x.requires_grad:
        return ""
    constant: float = x.data if isinstance(x, Node) else x  # `.data` tells hooks that code reads the number
    return str(int(constant) if constant.is_integer() else constant)


def _refuse_conversion(conversion: str) -> NoReturn:
    """Raise the error for `float(x)`, `math.exp(x)` and the like, which would lose the graph.

    `conversion` is the name of the function that Python calls for the conversion, such as "float".
    """
    from .conversion import refusal  # imported here, because correct programs do not need it

    raise context.refused(refusal(conversion, sys._getframe(2), context.here().is_recorded)) from None


class Node(NumpyMethods):
    """A node y = op(operands) of a computation graph, or a leaf, which has no op.

    Args:
        data: a real number.
        _children: usually the label, as in `Value(3, "x")`. Code for micrograd passes a tuple of operands here, and
            then assigns `_backward`; see `graph.closures`. An empty tuple makes a leaf.
        _op: micrograd's name for the operation.
        label: a name, for messages and drawings.
        requires_grad: False for a constant, as in PyTorch.
        name: an option of other libraries. If you set it, an error says to write `label`.

    Attributes:
        data: the number, a float; any real number may be assigned.
        grad: d(root)/d(this node), where `backward()` was called on the root; 0.0 before. Any real number may be
            assigned, and becomes a float. None, by PyTorch's habit, may be assigned too, and counts as 0.
        op: the operation that made this node; None for a leaf.
        operands: a tuple of the operands of `op`, in order. For `a + a` the tuple has two entries. An operand that is a
            plain number is a float.
        parents: the operands, each of them a node: a number becomes a constant node when `parents` is first read.
        partials: d(this node)/d(operand) for each operand, computed when the node was made, so a later change of data
            does not corrupt the gradient. The entry is 0.0 for an operand that the operation did not select, such as
            the smaller operand of `maximum`. The entry of a constant operand is 0.0 too, rather than the true
            derivative, unless the operation computes all its partials together, as `sum` and `logsumexp` do.
        label: the name of the node in messages and drawings.
        requires_grad: False for a constant, such as the 2 in `x * 2` or a detached value. A constant gets no gradient,
            and backward does no work for it. Assign True or False. For speed, only the steps of optimisers
            check what is assigned, and anywhere else a string such as "False" counts as true. Assign True to a constant
            before you compute with it: nodes that were made before send it nothing, or only a part of its gradient. If
            you assign False to an interior node, no gradient flows through it any more, as after `detach()`, also where
            it was used before. PyTorch raises an error there.
        group: the part of a network or the `scope` that the node belongs to, which pictures draw as a box; None if it
            belongs to none.

    Raises:
        TypeError: `data` is not a real number, `label` or `_op` is not a str, `requires_grad` is not a bool, or an
            operand is not a `Value`.
        OverflowError: `data` is an integer or a fraction that is too large for a float, as for `float(data)`.

    >>> from micrograd_cn import Value
    >>> node = Value(3, "x") * 2
    >>> node.data, node.op, node.operands, node.partials
    (6.0, <operation mul>, (Value(data=3.0, grad=0.0, label='x'), 2.0), (2.0, 0.0))
    """

    # Python's cyclic garbage collector visits all objects again and again, and never finds garbage in a graph. So a
    # node with one or two operands is one object, without tuples: _a and _b are the operands, _da and _db the partials.
    # With any other number of operands, _a is the tuple of operands and _b that of partials. A partial is None where
    # no gradient flows. A leaf has no operands, and its _da is None; its _b is micrograd's name of an operation if one
    # was passed as `_op`, and its _db is 0.0 if it is a result of `detach`. A constant that an operation computed has
    # no operands either. Its _da is 0.0 or 1.0, as `_constant_result` says.
    __slots__ = ("_a", "_b", "_da", "_data", "_db", "_grad", "group", "label", "op", "requires_grad")

    _data: float
    _grad: float
    op: Op | None
    _a: Any
    _b: Any
    _da: float | None
    _db: float | None
    label: str
    group: Group | None
    requires_grad: bool

    def __init__(
        self,
        data: SupportsFloat,
        _children: str | Iterable[Any] = "",
        _op: str = "",
        label: str = "",
        *,
        requires_grad: bool = True,
        name: None = None,
    ) -> None:
        if name is not None:
            raise TypeError(f"a Value has no name; write Value(data, label={name!r})")
        if isinstance(data, Node):
            raise TypeError("Value() takes a number, got a Value; use it as it is, or .detach() it for a constant")
        self._data = data if type(data) is float else number(data)
        self._grad = 0.0
        self.op = None
        self._a = self._b = self._da = self._db = None
        self.group = None
        self.requires_grad = requires_grad if requires_grad is True else flag("requires_grad", requires_grad)
        if isinstance(_children, str) and isinstance(label, str) and _op == "":
            self.label = _children or label
        else:
            self._init_as_in_micrograd(_children, _op, label)

    def _init_as_in_micrograd(self, children: Any, symbol: Any, label: Any) -> None:
        """Finish `__init__` for arguments as micrograd takes them, as in `Value(t, (x,), "tanh")`.

        Raises:
            TypeError: `children` is neither a label nor a collection of `Value`s, or `symbol` or `label` is not a str.
        """
        if isinstance(children, str):
            children, label = (), label or children
        if isinstance(children, Node):
            raise TypeError(f"Value(data, operands) takes a tuple of operands, got the Value {children!r}; write (x,)")
        if not isinstance(label, str) or not isinstance(children, Iterable):
            wrong = label if isinstance(children, Iterable) else children
            raise TypeError(f"a label must be a str, got {type(wrong).__name__} {wrong!r}")
        if not isinstance(symbol, str):
            raise TypeError(f"_op must be a str, the operation's name, got {type(symbol).__name__} {symbol!r}")
        self.label = label
        self._b = symbol or None
        operands = tuple(dict.fromkeys(children))
        for x in operands:
            if not isinstance(x, Node):
                raise TypeError(f"the operands in Value(data, operands, {symbol!r}) must be Values, got {x!r}; wrap it")
        if operands:
            op = Closure(symbol)
            if hooks := context.here().hooks:
                hooks.made_by_hand(op, operands)
            if context.suppresses_recording(op, operands, self._data) or not any(x.requires_grad for x in operands):
                self.requires_grad, self._da = False, 0.0
            else:
                self.op, self._a, self._b = op, operands, None
                self.group = context.here().scope

    @classmethod
    def _constant(cls, x: SupportsFloat) -> Self:
        leaf = cls(x)
        leaf.requires_grad = False
        return leaf

    @classmethod
    def _constant_result(cls, y: float, of_parameters: bool = False) -> Self:
        """Return a constant with the result `y` of an operation. `+=` and the like never change it in place.

        `of_parameters` says whether the operation may have computed it from parameters, as inside `no_grad()`. The
        attribute `_da` of the constant is 1.0 if so, and otherwise 0.0.
        """
        node = cls._constant(y)
        node._da = 1.0 if of_parameters else 0.0
        return node

    @classmethod
    def _made_by(cls, op: Op, data: float, operands: Sequence[Any], partials: Sequence[float | None]) -> Self:
        """Return a new node for the result `data` of `op`.

        `operands` are nodes and floats. `partials` has the local derivative for each operand, or None if no gradient
        flows to the operand.
        """
        here = context.here()
        a, b = (*operands, None)[:2] if op.arity in (1, 2) else (tuple(operands), None)
        node: Self = here.hooks.new_node(cls, a, b) if here.hooks else object.__new__(cls)
        Node.__init__(node, data)
        node.op = op
        node.group = here.scope
        if op.arity in (1, 2):
            node._a, node._b = a, b
            node._da, node._db = (*partials, None)[:2]
        else:
            node._a = tuple([x if isinstance(x, Node) else cls._constant(x) for x in operands])
            node._b = tuple(partials)
        return node

    @property
    def _is_of_parameters(self) -> bool:
        """Whether an operation made this node from parameters, or may have done so inside `no_grad()`."""
        return self.op is not None or self._da == 1.0

    @property
    def _is_constant_result(self) -> bool:
        """Whether this node is a constant that an operation computed. Setting `requires_grad` makes it a leaf."""
        return self.op is None and self._da is not None and not self.requires_grad

    @property
    def data(self) -> float:
        """The number, a float."""
        if context.active:
            _before_read(self, ".data")
        return self._data

    @data.setter
    def data(self, x: SupportsFloat) -> None:
        if context.active and (hooks := context.here().hooks):
            hooks.before_write(self, "data")
        self._data = x if type(x) is float else number(x)
        context.data_changed = True

    @property
    def grad(self) -> float:
        """The gradient, a float; None if None was assigned."""
        if context.active:
            _before_read(self, ".grad")
        return self._grad

    @grad.setter
    def grad(self, x: SupportsFloat | None) -> None:
        if type(x) is not float and x is not None:
            try:
                x = number(x)
            except TypeError as error:
                raise TypeError(f"grad: {error}") from None
        if context.active and (hooks := context.here().hooks):
            hooks.before_write(self, "grad")
        self._grad = x  # type: ignore[assignment]  # None is an exception that types leave out

    @property
    def operands(self) -> tuple[Any, ...]:
        """The operands in order, so `a + a` has two: nodes, and floats for plain numbers."""
        a, b = self._a, self._b
        return a if type(a) is tuple else () if a is None else (a,) if b is None else (a, b)

    @property
    def parents(self) -> tuple[Self, ...]:
        """The operands, each of them a node: a number becomes a constant node when `parents` is first read."""
        if type(self._a) is float:
            self._a = self._constant(self._a)
        if type(self._b) is float:
            self._b = self._constant(self._b)
        return self.operands

    @property
    def partials(self) -> tuple[float, ...]:
        """The derivative with respect to each operand, a float; 0.0 where no gradient flows."""
        return tuple([0.0 if partial is None else partial for partial in self._partials])

    @property
    def _partials(self) -> tuple[float | None, ...]:
        if type(self._a) is tuple:
            partials: tuple[float | None, ...] = self._b
            return self.op.partials_of(self) if isinstance(self.op, Closure) else partials
        return () if self._a is None else (self._da,) if self._b is None else (self._da, self._db)

    def edges(self) -> list[tuple[Self, float]]:
        """Return the operands to which a gradient flows, each with its partial: the edges that backward walks.

        >>> from micrograd_cn import Value
        >>> x = Value(3)
        >>> (x * x).edges() == [(x, 3.0), (x, 3.0)], (x * 2).edges() == [(x, 2.0)]
        (True, True)
        """
        slots = zip(self.operands, self._partials, strict=True)
        return [(x, partial) for x, partial in slots if partial is not None and x.requires_grad]

    def _changed_in_place(self, op: Op, other: Any) -> Any:
        """Set the data of a leaf to `op(self, other)` inside `no_grad()`, as PyTorch does, and return the leaf.

        Everywhere else, and for a result of an operation, return NotImplemented. Python then evaluates `x += y` as
        `x = x + y`.

        Raises:
            TypeError: inside `no_grad()`, the node is a leaf and `other` is a `Value` or an array. It is not clear
                whether the user wants to change the leaf, as in PyTorch, or to compute a new value, as elsewhere.
        """
        if not context.active or self.op is not None or self._is_constant_result or not context.here().no_grad:
            if self.op is None and self.requires_grad and type(other) is float:
                outdated.expect_change(self, op, other)
            return NotImplemented
        sign = op.notation.symbol
        if isinstance(other, Node):
            raise TypeError(
                f"x {sign}= y inside no_grad(), where x is a leaf and y a Value: write x = x {sign} y for a new value, "
                f"or x.data {sign}= y.data to change the leaf"
            )
        if getattr(other, "shape", None):
            raise TypeError(
                f"x {sign}= a inside no_grad(), where x is a leaf and a is an array: write x = x {sign} a for a new "
                f"array, or x.data {sign}= a[i] to change the leaf"
            )
        result: Any = self._binary(op, other)
        if not isinstance(result, Node):  # NotImplemented, or a number of a user's class
            return result
        self.data = result._data
        return self

    def _unary(self, op: Op) -> Any:
        result = super()._unary(op)
        if context.active and self.op is None and self.requires_grad:
            remember_arrays(sys._getframe(2))
        return result

    def _binary(self, op: Op, other: Any) -> Any:
        result = super()._binary(op, other)
        if context.active and result is not NotImplemented and self.op is None and self.requires_grad:
            refuse_array_update(op, sys._getframe(2))
        return result

    def _reflected(self, op: Op, other: Any) -> Any:
        result = super()._reflected(op, other)
        if context.active and result is not NotImplemented and self.op is None and self.requires_grad:
            remember_arrays(sys._getframe(2))
        return result

    def _noted_in_array(self, caller: FrameType) -> None:
        """Called inside `no_grad()`. If this node is a leaf, copy those arrays of leaves that `caller` can read.

        The code of `caller` may put the result of an operation into an array in place of the leaf. When the
        `no_grad()` block ends, the arrays are compared with their copies; see `array_updates`.
        """
        if context.active and self.op is None and self.requires_grad:
            remember_arrays(caller)

    if not TYPE_CHECKING:  # to a type checker, `x += y` is `x = x + y`

        def __iadd__(self, other: Any) -> Any:
            """Inside `no_grad()`, add the number `other` to the data of a leaf. Otherwise, `x += y` is `x = x + y`.

            So `for p in parameters: p += -0.1 * p.grad` trains nothing outside `no_grad()`, because it only gives the
            name `p` to new nodes. Write it inside `no_grad()`, or write `p.data += -0.1 * p.grad`.
            """
            return self._changed_in_place(ops.add, other)

        def __isub__(self, other: Any) -> Any:
            """Inside `no_grad()`, subtract the number `other` from a leaf's data. Otherwise, `x -= y` is `x = x - y`.

            So `for p in parameters: p -= 0.1 * p.grad` trains nothing outside `no_grad()`, because it only gives the
            name `p` to new nodes. Write it inside `no_grad()`, or write `p.data -= 0.1 * p.grad`.
            """
            return self._changed_in_place(ops.sub, other)

        def __imul__(self, other: Any) -> Any:
            """Inside `no_grad()`, multiply a leaf's data by the number `other`. Otherwise, `x *= y` is `x = x * y`."""
            return self._changed_in_place(ops.mul, other)

        def __itruediv__(self, other: Any) -> Any:
            """Inside `no_grad()`, divide a leaf's data by the number `other`. Otherwise, `x /= y` is `x = x / y`."""
            return self._changed_in_place(ops.div, other)

        def __imod__(self, other: Any) -> Any:
            """Inside `no_grad()`, replace a leaf's data x by `x % other`. Otherwise, `x %= y` is `x = x % y`."""
            return self._changed_in_place(ops.remainder, other)

        def __ipow__(self, other: Any) -> Any:
            """Inside `no_grad()`, raise a leaf's data to the power `other`. Otherwise, `x **= y` is `x = x**y`."""
            return self._changed_in_place(ops.pow, other)

    if not TYPE_CHECKING:  # a type checker narrows types by a comparison that is inherited

        def __eq__(self, other: object) -> bool:
            """Compare this node with `other` by identity, or by data if both stand for plain numbers.

            A node stands for a plain number if it is computed from nothing but the arguments of a function that
            `functional` differentiates. Such a node may also be equal to a number that is no node. Functions that numpy
            writes in Python, such as `np.unique` and `np.isclose`, compare all nodes by data, but `np.equal` and
            `np.not_equal` do as `==` does. Like a float, a node is not equal to itself if its data is nan.

            There is a warning if the result is False for a number that the data is equal to.
            """
            if isinstance(other, float):
                if self._data != other and not context.active:
                    return False  # by identity and by data
            elif isinstance(other, Node) and self is not other:
                if self._data != other._data and not context.active:
                    return False
            elif self is other and not (context.active or isnan(self._data)):
                return True
            return self._equals(other, sys._getframe(1))

        __hash__ = object.__hash__

    def _equals(self, other: object, caller: FrameType) -> Any:
        """Return the result of `self == other` in the frame `caller`, by the rules in the docstring of `__eq__`."""
        if self is other:
            if not plain_numbers.is_users_code(caller):
                return True
            held = not isnan(self._data)  # `!=` of nan sets a flag, and numpy would warn of it
            if context.active and (hooks := context.here().hooks):
                hooks.compared(self, "==", self, held)
            return held
        derivative = plain_numbers.variables.get() is not None
        if is_node := isinstance(other, Node):
            held = self._data == other._data
        elif isinstance(other, (int, float)) or (derivative and number_or_none(other) is not None):
            held = bool(self._data == other)
        else:
            return NotImplemented
        hooks = context.here().hooks if context.active else None
        if hooks and plain_numbers.called_by_numpy(caller) and not plain_numbers.ignores_equality(caller):
            hooks.compared(self, "==", other, held)
        if not held:
            return NotImplemented
        if derivative and plain_numbers.stands_for_number(self, caller):
            if not is_node or plain_numbers.stands_for_number(other, caller):
                return True
        elif is_numpys_code(caller) if is_node else plain_numbers.called_by_numpy(caller):
            return True
        if not is_node and plain_numbers.is_users_code(caller):
            warn_at_user(
                "== of a Value and an equal number is False, and != is True, since a Value is compared by identity; "
                "to compare the numbers, write x.data for the Value x"
            )
        if type(other) is type(self) and not derivative:
            return False  # what Python finds after it has asked this method again, with `other` first
        return NotImplemented

    __lt__ = _comparison(operator.lt, "<")
    __le__ = _comparison(operator.le, "<=")
    __gt__ = _comparison(operator.gt, ">")
    __ge__ = _comparison(operator.ge, ">=")

    if not TYPE_CHECKING:  # a type checker shall go on saying that a Value has no such operators
        __floordiv__ = __rfloordiv__ = no_operator("//", "floor(x / y), whose derivative is 0")
        __and__ = __rand__ = no_operator("&", "a * b, which is 1 if both conditions are")
        __or__ = __ror__ = no_operator("|", "maximum(a, b), which is 1 if one of the conditions is")
        __invert__ = no_operator("~", "1 - a, which is 1 if the condition a is 0")
        __xor__ = __rxor__ = no_operator("^", "x ** y for a power")

    def item(self) -> float:
        """Return the data, a float, like PyTorch's method of this name.

        >>> from micrograd_cn import Value
        >>> Value(3).item()
        3.0
        """
        if context.active:
            _before_read(self, ".item()")
        return self._data

    if not TYPE_CHECKING:  # a type checker shall go on saying that a Value does not support float()

        def __float__(self) -> NoReturn:
            _refuse_conversion("float")

        def __int__(self) -> NoReturn:
            _refuse_conversion("int")

        def __trunc__(self) -> NoReturn:
            _refuse_conversion("math.trunc")

        def __round__(self, digits: object = None) -> NoReturn:
            _refuse_conversion("round")

    @property
    def _prev(self) -> set[Any]:
        """The set of operands, which micrograd's notebooks use to trace a graph. A change of the set is an error."""
        return OperandSet(self.parents)

    @_prev.setter
    def _prev(self, operands: object) -> NoReturn:
        raise AttributeError(f"_prev = ...: {NO_CHANGE}")

    @property
    def _op(self) -> str:
        """The operation's name as micrograd spells it, for its notebooks; "" for a leaf that was made without `_op`."""
        if self.op is None:
            return self._b or ""
        spelling: Callable[..., str] | None = self.op.notation.micrograd
        return spelling(*map(_number_in_name, self.operands)) if spelling else self.op.notation.symbol

    @_op.setter
    def _op(self, name: object) -> NoReturn:
        raise AttributeError(
            f"a Value cannot change its _op to {name!r}; write x.label = {name!r} to name a node in messages and "
            'drawings, or give the name when the node is made, as in Value(data, (x,), "name")'
        )

    @property
    def _backward(self) -> Callable[[], object]:
        """A function that sends this node's gradient to its operands, for micrograd's code, which calls or assigns it.

        Raises:
            TypeError: on assignment to a leaf that requires a gradient, unless the function does nothing, such as
                `lambda: None`.
        """
        if isinstance(self.op, Closure):
            return self.op.backward or functools.partial(self.op.sent, self, 1.0)
        edges = self.edges()

        def backward() -> None:
            for x, partial in edges:
                x.grad = (x.grad or 0.0) + self.grad * partial  # users of PyTorch may have set `x.grad = None`

        return backward

    @_backward.setter
    def _backward(self, backward: Callable[[], object]) -> None:
        if self.op is not None:
            operands = tuple(dict.fromkeys(self.parents))
            self.op, self._a, self._b, self._da, self._db = Closure(self._op, backward), operands, None, None, None
        elif self.requires_grad and not sends_nothing(backward):
            raise TypeError(
                f"{self!r} is a leaf, so its _backward would never be called; give the operands when the node is made: "
                'out = Value(data, (x,), "name"), then out._backward = backward'
            )

    def _sent(self, upstream: float) -> list[float | None]:
        """Return the terms that this node adds to its operands' gradients if its own gradient is `upstream`.

        The list has None for an operand to which no gradient flows.
        """
        if isinstance(self.op, Closure):
            return self.op.sent(self, upstream)
        return [None if partial is None else upstream * partial for partial in self._partials]

    def _terms(self, upstream: float) -> list[tuple[Self, float]]:
        """Return the operands to which a gradient flows, each with the term that backward adds to its gradient.

        `upstream` is the gradient of this node.
        """
        if isinstance(self.op, Closure):
            slots = zip(self.operands, self.op.sent(self, upstream), strict=True)
            return [(x, term) for x, term in slots if term is not None and x.requires_grad]
        slots = zip(self.operands, self._partials, strict=True)
        return [(x, upstream * partial) for x, partial in slots if partial is not None and x.requires_grad]

    def __repr__(self) -> str:
        label = f", label={self.label!r}" if self.label else ""
        text = f"Value(data={self._data}, grad={self._grad}{label})"
        return hooks.text(self, text, "a text") if context.active and (hooks := context.here().hooks) else text

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        text = format(self._data, spec)
        return hooks.text(self, text, context.FORMATTED) if context.active and (hooks := context.here().hooks) else text

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        if plain_numbers.variables.get() is not None and plain_numbers.stands_for_number(self, sys._getframe(1)):
            if sys._getframe(1).f_globals.get("__name__") == "copy":
                return ""  # to the module `copy`, a text says that the object itself is the copy, as for a float
            raise TypeError(
                "a pickle of a Value that stands for a number in a function to differentiate would have no derivative; "
                "use the Value itself, or its .data for the number"
            )
        if self.op:
            raise TypeError(
                f"cannot copy or pickle {self!r}, an interior node ({self.op.name}), without its whole graph; "
                "detach() it, or copy the leaves and compute it again"
            )
        _before_read(self, "a copy")
        return object.__reduce_ex__(self, max(2, operator.index(protocol)))  # older protocols do not store slots


Node.__init__.__qualname__ = "Value.__init__"  # for Python's messages about wrong arguments


def set_gradients(nodes: Sequence[Node], grad: float | None) -> None:
    """Set the gradients of some nodes to 0.0 or None, after the hook `before_write` was called for each."""
    if context.active and (hooks := context.here().hooks):
        for x in nodes:
            hooks.before_write(x, "grad")
    for x in nodes:
        x._grad = grad  # type: ignore[assignment]  # None is an exception that types leave out


def assign_data(nodes: Sequence[Node], numbers: Sequence[float]) -> None:
    """Assign floats to the data of nodes. If Ctrl-C interrupts this, either all nodes have their new data, or none has.

    This does not hold while hooks are installed, or if the class of a node overrides `data`, or `_data` as
    `compiler.data.captured.CapturedValue` does: Python code then runs at each assignment, and Ctrl-C may come between
    two of them.

    Raises:
        ValueError: there are more or fewer numbers than nodes.
    """
    if len(nodes) != len(numbers):
        raise ValueError(f"{len(numbers)} numbers for {len(nodes)} nodes")
    if (context.active and context.here().hooks) or any(type(node).data is not Node.data for node in nodes):
        for node, x in zip(nodes, numbers, strict=True):
            node.data = x
        return
    at_once(map(any, [map(setattr, nodes, repeat("_data"), numbers), map(operator.call, [context.note_change])]))
