"""The context in which nodes are recorded: the modes, hooks and scope that `with` blocks have set.

Each thread and async task has a stack of the blocks that it is in. `here()` returns the context that the blocks of the
calling thread or task make together. The fast functions of `quick` read only `active`, which says whether any thread is
in a block.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from operator import attrgetter, is_not
from threading import RLock
from types import FrameType
from typing import Any, NoReturn, TypeVar

from ..ops.operation import Op
from . import anomaly
from .groups import Group

__all__ = [
    *("FORMATTED", "Context", "Hooks", "Mode", "detect_anomaly", "enter", "here", "hook_other_threads", "hooked"),
    *("leave", "no_grad", "note_change", "recording", "suppresses_recording", "with_anomaly_checks"),
]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
FORMATTED = "a formatted text"  # the argument `how` of the hook `text` for `format(x, spec)`


class Hooks:
    """Hooks for events of a computation, such as a comparison that Python code branches on, which no graph records.

    By default, no method changes what happens. A subclass overrides some of them, and `hooked` installs an instance.

    >>> class Printer(Hooks):
    ...     def compared(self, a, symbol, b, holds):
    ...         print(a.data, symbol, b.data, holds)
    >>> from micrograd_cn import Value
    >>> with hooked(Printer()):
    ...     max(Value(1), Value(2)).data
    2.0 > 1.0 True
    2.0

    Attributes:
        owns_nodes: True if the hooks record the computation, as those of the compiler do, so a node that is made while
            they are installed is a part of the recording. False if the hooks only watch.
    """

    owns_nodes = True

    def compared(self, a: Any, symbol: str, b: Any, holds: bool) -> None:
        """Called after a comparison of `a` with `b`, whose result is `holds`.

        `symbol` is "<", "<=", ">", ">=" or "==". There are two cases of "==": a value is compared with itself, to ask
        whether it is nan, or a numpy function such as `np.unique` compares two values.
        """

    def has_made(self, x: Any) -> bool:
        """Return whether the leaf `x` stands for a number in the arguments of the function that is being recorded.

        Hooks that do not know this return True.
        """
        return True

    def differentiated(self, xs: Sequence[Any]) -> None:
        """Called before a function is differentiated, in a call of `functional.grad(f)` or the like.

        `xs` are the numbers in the arguments to differentiate. Each of them is a `Value` or a plain number.
        """

    def asked_for_nan(self, a: Any, b: Any) -> None:
        """Called after a comparison of `a` with `b` that is False, but might be True if one of them were nan.

        This is so in functions such as `np.sort`, which sorts nan to the end, and `np.maximum`; see `nan_order`. The
        comparison was a > b or a >= b, or it was x < y or x <= y, and then a is y and b is x. So a hook cannot tell
        whether the code has x < y or y > x. Python does not tell it either: if the class of x is a subclass of the
        class of y, it calls `x.__lt__` for y > x, too.
        """

    def read(self, x: Any, how: str) -> None:
        """Called before a number of the node x is read. `how` names what reads it, such as ".data" or "a copy"."""

    def text(self, x: Any, text: str, how: str) -> str:
        """Called for `repr(x)` and `format(x, spec)`, which would give `text`. Return the string to use in its place.

        `how` is `FORMATTED` for `format`, and "a text" for `repr`. By default, the method calls `read`, since the
        string shows the number of x, and returns `text`.
        """
        self.read(x, how)
        return text

    def refused(self, error: Exception) -> None:
        """Called before `error` is raised because code such as `float(x)` needs a plain number, but has a `Value`."""

    def before_write(self, x: Any, name: str) -> None:
        """Called before a number is assigned to an attribute of the node x; `name` is "data" or "grad"."""

    def detached(self, x: Any) -> Any:
        """Called by `x.detach()`. Return the node to use as its result, or None for a constant."""

    def suppressed(self, op: Op, operands: Sequence[Any]) -> Any:
        """Called for an operation `op` inside `no_grad()`. Return the node for its result, or None for a constant.

        `operands` has the operands of `op`, which are nodes and numbers.
        """

    def made_constant(self, operands: Sequence[Any]) -> None:
        """Called when numbers of `operands`, which require no gradient, become constants of a graph.

        So a hook learns which numbers a graph has from nodes that are not in it, and that may require a gradient later.
        There are two cases. If no operand of an operation requires a gradient, its result is a constant, and `operands`
        are all operands. If a graph of derivatives is recorded, the partials of an operation may depend on operands
        that require no gradient: `operands` are these.
        """

    def made_by_hand(self, op: Any, operands: Sequence[Any]) -> None:
        """Called when user code makes a node with operands, as in `Value(t, (x,), "tanh")`; `op` is a `Closure`."""

    def made_condition(self, x: Any) -> Any:
        """Called when a comparison of arrays has made the node `x`, which is 0 or 1. Return the node to use for it."""
        return x

    def new_node(self, kind: Any, a: Any, b: Any) -> Any:
        """Called when an operation is recorded; return an empty object of the class `kind`, which becomes the node.

        `a` and `b` are the operands; `b` is None if there is only one. If there are more than two operands, or none,
        `a` is the tuple of all of them.
        """
        return object.__new__(kind)


class Context:
    """The settings that decide how operations are recorded.

    Args:
        blocks: the `with` blocks that the code is in.
        changes: the attributes that these blocks set, by name; the others have their defaults.

    Attributes:
        blocks: the `with` blocks that the code is in, outermost first. Each is a tuple of the owner, which was passed
            to `enter`, and a dict of the attributes that the block sets. The dict of a `no_grad()` block may also have
            the key "remembered", with copies of arrays of leaves. The module `array_updates` puts them there, to
            compare the arrays with them when the block ends.
        no_grad: whether nothing is recorded, so the results of operations are constants.
        detect_anomaly: whether a result or gradient that is not finite raises an error.
        hooks: the hooks to call; None if there are none.
        scope: the scope that new nodes belong to; None outside of all scopes.
        in_mode: whether `no_grad` or `detect_anomaly` is set.
    """

    __slots__ = ("blocks", "detect_anomaly", "hooks", "in_mode", "no_grad", "scope")

    def __init__(self, blocks: tuple[tuple[object, dict[str, Any]], ...] = (), **changes: Any) -> None:
        self.blocks = blocks
        self.no_grad: bool = changes.get("no_grad", False)
        self.detect_anomaly: bool = changes.get("detect_anomaly", False)
        self.hooks: Hooks | None = changes.get("hooks")
        self.scope: Group | None = changes.get("scope")
        self.in_mode = self.no_grad or self.detect_anomaly

    @property
    def is_recorded(self) -> bool:
        """Whether hooks are installed that record the computation of this thread or task, and do not only watch it."""
        return self.hooks is not None and self.hooks.owns_nodes


_outside = Context()  # the context of all threads and tasks that are in no block
_context: ContextVar[Context] = ContextVar("micrograd_cn_context", default=_outside)
_lock = RLock()
_entered = 0  # how many blocks all threads and tasks are in together
active = False  # whether `_entered` is more than 0
refusals = 0  # how often `refused` was called
data_changed = True  # set by every assignment to a node's data; code that copies data resets it
# Sets `data_changed`. It is written in C, as `interrupts.at_once` needs it.
note_change: Callable[[], None] = partial(setattr, sys.modules[__name__], "data_changed", True)
here: Callable[[], Context] = _context.get
# None, unless there are models with arrays of parameters. Then it is a function that `leave` calls when a `no_grad()`
# block ends. Its arguments are the `array_updates.Remembered` of the block, or None, and the frame of the block's code.
# It returns a `Remembered`, whose method `compare` is called next, or None.
look_at_models: Callable[[Any, FrameType], Any] | None = None
if hasattr(os, "register_at_fork"):  # a child would wait forever for a lock that another thread holds at the fork
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def refused(error: TypeError) -> TypeError:
    """Count `error`, call the hook `refused` with it, if hooks are installed, and return `error`.

    The error says that code needs a plain number, but has a `Value`. The count tells that there was such an error, even
    if the user's code has caught it.
    """
    global refusals
    refusals += 1
    if active and (hooks := here().hooks):
        hooks.refused(error)
    return error


def enter(owner: object, **changes: Any) -> None:
    """Begin a block in which attributes of the context have the values `changes`, until `leave(owner)`.

    Args:
        owner: any object, by which `leave` finds the block.
        changes: attributes of `Context`, by name.

    >>> owner = object()
    >>> enter(owner, no_grad=True)
    >>> here().no_grad
    True
    >>> leave(owner)
    >>> here().no_grad
    False
    """
    global _entered, active
    before, counted = here(), False
    try:
        _context.set(_of_blocks([*before.blocks, (owner, changes)]))
        with _lock:
            _entered += 1
            active = counted = True
    except BaseException:  # Ctrl-C may come after any call: either the block is entered, or nothing is changed
        leave(owner) if counted else _context.set(before)
        raise


_NOTHING: dict[str, Any] = {}


def leave(owner: object, *error: object) -> None:
    """End the last block that was entered with `owner`. This block need not be the innermost.

    A generator that is suspended inside a block may be closed inside another block, or in another thread or task. If
    the stack of this thread or task does not contain the block, it does not change.

    This function is also the `__exit__` of a `Mode`. Then `error` has the arguments that Python passes to `__exit__`,
    which are all None if no error ended the block.

    Raises:
        TypeError: a `no_grad()` block, which no error has ended, has replaced leaves in an array by constants.
    """
    global _entered, active
    before = here()
    blocks = before.blocks
    changes = blocks[-1][1] if blocks and blocks[-1][0] is owner else _NOTHING
    remembered = changes.get("remembered")
    try:
        _context.set(_without(before, owner))
    except BaseException:  # Ctrl-C may come after any call, and the block has to end all the same
        _context.set(_without(before, owner))
        raise
    finally:
        with _lock:
            _entered -= 1
            active = _entered > 0
    look = look_at_models  # once, since it becomes None when Python frees the last such model, at any time
    if look is not None and changes.get("no_grad"):
        remembered = look(remembered, sys._getframe(1))
    if remembered is not None:
        remembered.compare(raises=not any(error))


def _without(context: Context, owner: object) -> Context:
    """Return the context that `context` would be without the last block that was entered with `owner`."""
    if context.blocks and context.blocks[-1][0] is owner:
        return _of_blocks(context.blocks[:-1])
    blocks = [*context.blocks]
    for i in reversed(range(len(blocks))):
        if blocks[i][0] is owner:
            del blocks[i]
            return _of_blocks(blocks)
    return context


def hook_other_threads(hooks: Hooks | None) -> None:
    """Install `hooks` for all threads and tasks that are in no `with` block such as `no_grad()`; None removes them.

    If such a thread or task enters a block later, the hooks stay installed in the block. For speed, the hooks are only
    called while at least one other thread or task is in such a block, as the one that records a function is.
    """
    _outside.hooks = hooks


def is_watched() -> bool:
    """Return whether `hook_other_threads` has installed hooks."""
    return _outside.hooks is not None


def asks_if_watched() -> Iterator[bool]:
    """Return an iterator with one item, which `next` computes: the result of `is_watched()` at that time.

    The iterator runs no Python code, so Ctrl-C cannot interrupt it; see `interrupts.at_once`.
    """
    return map(is_not, map(attrgetter("hooks"), [_outside]), [None])


def _of_blocks(blocks: Sequence[tuple[object, dict[str, Any]]]) -> Context:
    """Return the context that `blocks`, outermost first, make together."""
    if not blocks:
        return _outside
    attributes: dict[str, Any] = {"hooks": _outside.hooks}
    for _, changes in blocks:
        attributes |= changes
    return Context(tuple(blocks), **attributes)


@contextmanager
def hooked(hooks: Hooks) -> Iterator[None]:
    """Install `hooks` for the `with` block. Inside it, hooks that an enclosing block has installed are not called."""
    owner = object()
    enter(owner, hooks=hooks)
    try:
        yield
    finally:
        leave(owner)


def suppresses_recording(op: Op, operands: Sequence[Any], data: float) -> bool:
    """Return whether `no_grad()` is on, so the result of an operation is not recorded but becomes a constant.

    Args:
        op: the operation that was computed.
        operands: the operands of the operation, nodes or numbers.
        data: the result of the operation.

    Raises:
        FloatingPointError: inside `detect_anomaly()`, the result is not finite.
    """
    context = here()
    if context.detect_anomaly:
        anomaly.check_value(op, operands, data)
    return context.no_grad


def with_anomaly_checks(nodes: Iterable[T]) -> Iterable[T]:
    """Return `nodes` for the loop of `backward`; inside `detect_anomaly()`, check what each node sends to its operands.

    In the body of the loop, a node sends contributions to the gradients of its operands. When the loop asks for the
    next node, these gradients are checked.

    Raises:
        FloatingPointError: a gradient is not finite.
    """
    return _with_anomaly_checks(nodes) if here().detect_anomaly else nodes


def _with_anomaly_checks(nodes: Iterable[T]) -> Iterator[T]:
    for node in nodes:
        yield node
        anomaly.check_gradients(node)


class Mode:
    """A mode such as `no_grad()`, used in a `with` statement or as a decorator.

    It can decorate generators, coroutines and async generators too. A decorated generator is in the mode while it runs,
    and its caller is not. (A `with` block in the body of a generator is different: it stays open while the generator is
    suspended, so the caller is in the mode too.) You can use the same `Mode` object any number of times, and in nested
    blocks.

    >>> @no_grad()
    ... def squares(xs):
    ...     for x in xs:
    ...         yield x * x
    >>> from micrograd_cn import Value
    >>> [(y.requires_grad, (y * Value(2)).requires_grad) for y in squares([Value(1)])]
    [(False, True)]
    """

    name: str

    def __enter__(self) -> None:
        enter(self, **{self.name: True})

    __exit__ = leave

    def __call__(self, function: F) -> F:
        """Return `function`, decorated to run in the mode.

        Raises:
            TypeError: `function` is a class, which the decorator would turn into a function.
        """
        if isinstance(function, type):
            name, mode = getattr(function, "__name__", "C"), type(self).__name__
            raise TypeError(f"@{mode}() stands before a function; in the class {name}, write it before each method")
        from .stepwise import run_inside  # imported here, because importing `inspect` takes longer than all the rest

        return run_inside(self, function)


class _WithBrackets(type):
    """The metaclass of `no_grad` and `detect_anomaly`. It raises an error for `with no_grad:`, without brackets."""

    def __enter__(cls) -> NoReturn:
        raise TypeError(f"write with {cls.__name__}(): for a block, with brackets")

    def __exit__(cls, *_: object) -> None:
        """Do nothing. A `with` statement needs this method, or it raises its own error before it calls `__enter__`."""


def _refuse_function(name: str, given: tuple[Any, ...]) -> None:
    """Raise TypeError if `given`, the arguments of `no_grad` or `detect_anomaly`, is not empty.

    If the decorator is written without brackets, as `@no_grad`, Python passes it the function. `name` is the name of
    the mode, "no_grad" or "detect_anomaly".
    """
    if given:
        raise TypeError(f"{name}() takes no arguments; write @{name}() before a function, with brackets")


class no_grad(Mode, metaclass=_WithBrackets):  # noqa: N801 -- PyTorch's name
    """Record no graph inside the `with` block or decorated function: results of operations are constants.

    >>> from micrograd_cn import Value
    >>> x = Value(2)
    >>> with no_grad():
    ...     y = x * x
    >>> y.data, y.requires_grad
    (4.0, False)

    Code that only selects a node, without computing anything, returns the node itself, with its graph. Python's
    `max(q)`, `sorted(q)`, `q[i]` and `a if a > b else b` do this, and so do numpy's functions that select elements of
    an array, such as `q.max()`, `np.clip(q, 0, 1)`, `np.where(q > 0, q, 0.0)` and the sum of one element. If no
    gradient should flow through such a result, write `.detach()` after it.

    As in PyTorch, `p -= 0.1 * p.grad` changes a leaf p in place, and so do `+=`, `*=`, `/=` and `**=` with a number. So
    every name and list that has this leaf has the new number. For example, `h = w` and then `h += 1.0` changes the
    weight w, whereas outside `no_grad()` it makes a new node. Write `h = h + 1.0`, which makes a new node everywhere.
    Constants that the user made, such as `Value(2, requires_grad=False)` and `x.detach()`, are changed too; results of
    operations are not. With a `Value` or an array on the right, as in `p += 0.1 * q`, nothing is changed, and an error
    says what to write.

    Outside `no_grad()`, `for p in parameters: p -= 0.1 * p.grad` changes no leaf and raises no error: as in micrograd,
    `p` becomes the name of a new node. Write `p.data -= 0.1 * p.grad`, which works everywhere.

    With a plain number on the left, as in `s += p` after `s = 0.0`, no leaf is changed: s becomes the name of a new
    constant.

    A numpy array of leaves keeps its leaves only if code changes their data, as in
    `for w, g in zip(W.flat, G.flat): w.data -= 0.1 * g`. Other code that changes the array would replace the leaves, so
    training would no longer change W:

    - `W -= 0.1 * G`, `W /= np.linalg.norm(W)` and the like raise an error, whether an array, a number or one `Value` is
      on the right.
    - `np.exp(W, out=W)`, `np.clip(W, -1, 1, out=W)`, `np.subtract.at(W, i, G)`, `W[:] = 0.9 * W` and the like put
      constants or floats in place of leaves. When the block ends, the leaves are put back, and an error says what
      to write. For this, the array has to be in a variable of the functions that are running, or in an object in such a
      variable, or in a list or dict of at most 100 items. Results may go into a copy of an array of leaves, such as h
      after `h = W.copy()`.
    - `W.fill(0.0)` and `W[:] = 0.0` are noticed if W is an attribute of a `Module`, or in a list, tuple or dict in one,
      and if the code in the block, or a function that it names, does this. For another array they raise no error if
      nothing in the block is computed from a leaf. `W[:] = softmax(W)` raises no error either.

    >>> p = Value(2)
    >>> with no_grad():
    ...     p -= 0.5
    >>> p.data, p.requires_grad
    (1.5, True)
    >>> with no_grad():  # doctest: +ELLIPSIS
    ...     p -= x
    Traceback (most recent call last):
    TypeError: x -= y inside no_grad(), where x is a leaf and y a Value: write x = x - y for a new value, or ...
    """

    def __init__(self, *given: Any) -> None:
        _refuse_function("no_grad", given)
        self.name = "no_grad"


class detect_anomaly(Mode, metaclass=_WithBrackets):  # noqa: N801 -- PyTorch's name
    """Raise an error at the first value or gradient that is inf or nan inside the `with` block or decorated function.

    Raises:
        FloatingPointError: a number is not finite; the message names the operation, its operands and their labels.

    >>> from micrograd_cn import Value
    >>> with detect_anomaly():
    ...     Value(0, "x").log()
    Traceback (most recent call last):
    FloatingPointError: log(x=0.0) gave -inf
    """

    def __init__(self, *given: Any) -> None:
        _refuse_function("detect_anomaly", given)
        self.name = "detect_anomaly"


@contextmanager
def recording() -> Iterator[bool]:
    """Record a graph inside the `with` block, even inside `no_grad()`; yield whether `no_grad()` was on.

    >>> from micrograd_cn import Value
    >>> with no_grad(), recording():
    ...     (Value(2) * 3).requires_grad
    True
    """
    if not here().no_grad:
        yield False
        return
    owner = object()
    enter(owner, no_grad=False)
    try:
        yield True
    finally:
        leave(owner)
