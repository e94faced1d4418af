"""Record a function safely: guard its comparisons, and refuse what a program could not repeat for another sample.

A program computes what the function did for the sample that was recorded. This module notices where Python code could
do something else for another sample. A comparison becomes a guard, which is checked for every sample. Reading the
number of a value raises an error, unless the value is a constant.
"""

from __future__ import annotations

import dis
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property, partial
from io import StringIO
from operator import is_not
from types import FrameType
from typing import Any, NamedTuple, NoReturn, TypeVar

from ...engine import Value, constant, record, traverse
from ...graph import context
from ...graph.callers import PACKAGE, is_numpys_code, only_logs
from ...graph.context import FORMATTED, Hooks, enter, here, hook_other_threads, leave, recording
from ...graph.plain_numbers import FOR_NUMPY, is_users_code, stands_for_number
from ...graph.unsupported import refuse_logical
from ...ops import dot, less, maximum
from ...ops.number import number_or_none
from ...ops.operation import Op
from ...ops.registry import OPS
from ..data.captured import CapturedValue, capture, describe, with_kept_constants
from ..data.parameters import held_elsewhere
from ..data.partition import split_by_outcome
from ..data.surroundings import is_users_module
from ..derivatives import Program
from ..instructions.lowering import DETACH, check_gradient_flow
from ..threads.forks import ForkSafeLock

T = TypeVar("T")
READ_INSTEAD = (
    "the value itself, or its detach() without a gradient; for a branch compare it, or write where(less(x, y), a, b)"
)
LIBRARIES = sys.stdlib_module_names | {"numpy"}  # their functions compare values that the user passes to them
_inlining: ContextVar[bool] = ContextVar("micrograd_cn_inlining", default=False)
# What to write instead of numpy functions that ask whether two numbers are equal
INSTEAD_OF_EQUALITY = {
    "average": "(x * w).sum() / w.sum() for np.average(x, weights=w)",
    "array_equal": "(x == y).all() for np.array_equal(x, y)",
    "array_equiv": "(x == y).all() for np.array_equiv(x, y)",
    "isin": "(x == a) | (x == b) for np.isin(x, [a, b])",
}
SIGNS_WITH_OPERATION = ("<", "<=", "==")  # those for which the table has an operation
MANY_ROWS = 128  # for this many rows or more, a program that computes one number for all guards is worthwhile
HIDDEN = "?nan?-inf?"  # in the place of a number in a text: no number, and with all that a number may be recognised by
# Functions that make texts, or a part of a text, for the code that calls them
MAKING_TEXTS = ("<genexpr>", "<listcomp>", "__repr__", "__str__")
MAX_CONVERSIONS = 100  # errors whose tracebacks are looked at when the recording ends
MIRRORED = {">": "<", ">=": "<="}  # the same comparison with its operands exchanged


class GuardError(ValueError):
    """A comparison in a compiled function has another outcome for a sample than for the sample that was recorded.

    >>> from micrograd_cn.compiler import compile
    >>> @compile
    ... def size(x):
    ...     return x if x > 0 else -x
    >>> size(2)
    2.0
    >>> size(-3)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    micrograd_cn.compiler.function.guards.GuardError: size, sample 0: <doctest ...>, line 3: x > 0 does not hold, ...
    """


class Guard(NamedTuple):
    """A comparison that was made while a function was recorded. It must have the same outcome for other samples.

    Attributes:
        node: a node whose value is 1.0 if the comparison holds and 0.0 if not.
        held: whether the comparison held for the recorded sample.
        location: the file and line of the comparison in the user's code.
        text: the comparison as text, for messages.
        canonical: the text by which guards are compared with each other: b < a if `text` is a > b.
    """

    node: Value
    held: bool
    location: str
    text: str
    canonical: str

    @property
    def outcome(self) -> tuple[bool, str, str]:
        """Whether the comparison held, where it is, and what it compares.

        Guards of different recordings are the same if their outcomes are equal.

        The comparison a > b has the same text as b < a here: Python calls the method of b, which notes b < a, if the
        class of b is a subclass of the class of a.
        """
        return self.held, self.location, self.canonical

    @property
    def is_equality(self) -> bool:
        """Whether the comparison is == of two values, rather than `x == x`, which asks whether x is nan."""
        return self._is_equal and not self.asks_for_nan

    @property
    def asks_for_nan(self) -> bool:
        """Whether the comparison is `x == x`."""
        return self._is_equal and self.node.operands[0] is self.node.operands[1]

    @property
    def _is_equal(self) -> bool:
        return self.node.op is not None and self.node.op.lowerings.array == "=="


class Traced(Value):
    """A value that is computed while a function is recorded. Python code can neither read nor copy its number.

    The number that code would read is the number for the recorded sample, and the program would use this number for all
    samples. Once the function is recorded, its traced values become plain `Value`s.
    """

    __slots__ = ()

    @classmethod
    def _constant(cls, x: Any) -> Any:  # called for a number among the operands
        return constant(x)

    def backward(self, gradient: Any = 1.0, **options: Any) -> None:
        """Refuse to compute gradients: each later call would use the gradients of the recorded sample."""
        self._refuse("what backward() starts from", "gradients(y, xs, create_graph=True), or functional.grad")

    def __bool__(self) -> bool:
        """Refuse to be a condition if the value's number varies from sample to sample."""
        if self._varies():
            self._refuse("a condition", "where(x, a, b), or a comparison, such as x > 0")
        caller = sys._getframe(1)
        refuse_logical(caller)
        return self._data != 0.0 if stands_for_number(self, caller) else True

    def __eq__(self, other: object) -> bool:
        """Refuse to compare with a plain number, or with a `Value` that has the same number as this one now.

        A comparison with a `Value` that has another number is false, and becomes a guard. `x == x`, by which code asks
        whether x is nan, becomes a guard, too. A value whose number is the same for all samples is compared as usual.
        """
        if self is not other and not isinstance(other, Value) and number_or_none(other) is None:
            return NotImplemented  # so Python asks `other`, which may be an array that compares its elements
        if self is other or not self._varies():  # x == x asks whether it is nan
            same: bool = self._equals(other, sys._getframe(1))
            return same
        if not isinstance(other, Value) or other._data == self._data:
            frame: FrameType | None = sys._getframe(1)
            names = []
            while frame and (is_numpys_code(frame) or frame.f_code.co_filename in FOR_NUMPY):
                names.append(frame.f_code.co_name)
                frame = frame.f_back
            write = next((INSTEAD_OF_EQUALITY[name] for name in names if name in INSTEAD_OF_EQUALITY), None)
            self._refuse("an operand of ==", write or _instead_of_equality(sys._getframe(1)))
        if hooks := here().hooks:
            hooks.compared(self, "==", other, False)
        return False

    def __index__(self) -> int:  # where no index is needed, as in numpy, callers catch this error
        error = refusal(
            self,
            "an index or a plain number",
            "take(xs, index), x[m > 0] for a mask m of 0 and 1, or the table's operations, such as exp()",
        )
        raise context.refused(error)

    def __repr__(self) -> str:
        """Return a text without the value's number, since this is the number for the recorded sample."""
        text = f"Value({describe(self)})"
        return hooks.text(self, text, "a text") if (hooks := here().hooks) else text

    def __format__(self, spec: str) -> str:
        """Refuse to be formatted as a number, unless it goes to a log: then, return the text of `repr`."""
        if spec and not _goes_to_a_log():
            self._refuse(FORMATTED, READ_INSTEAD)
        return repr(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be copied: the copy would be a constant."""
        self._refuse("a copy", READ_INSTEAD)

    def __getstate__(self) -> object:
        """Refuse to return the contents of the slots, for a copy or a pickle, since they include the number."""
        self._refuse("a copy", READ_INSTEAD)

    @property
    def partials(self) -> tuple[float, ...]:
        """Refuse to give local derivatives to code outside this package if they vary from sample to sample."""
        if self._varies():
            self._refuse("what derivatives are read of", "gradients(y, xs, create_graph=True), or functional.grad")
        return super().partials

    def edges(self) -> list[tuple[Any, float]]:
        """Refuse to give local derivatives to code outside this package if they vary from sample to sample."""
        if self._varies():
            self._refuse("what derivatives are read of", "gradients(y, xs, create_graph=True), or functional.grad")
        return super().edges()

    @property
    def _backward(self) -> NoReturn:
        """Refuse to be read, since a call of `_backward()` would compute the gradients of the recorded sample."""
        self._refuse("what _backward() starts from", "gradients(y, xs, create_graph=True), or functional.grad")

    @_backward.setter
    def _backward(self, backward: object) -> None:
        """Refuse to be assigned, since no compiled program could call the function that is assigned."""
        self._refuse("a node with a _backward of its own", "an operation of your own, Op(name, forward, partials)")

    def __hash__(self) -> int:
        """Refuse to be a key in code outside this package if the value's number varies from sample to sample."""
        if self._varies():
            self._refuse("a key", "take(xs, index), or where(equal(x, y), a, b)")
        return super().__hash__()

    def _varies(self) -> bool:
        """Return whether code outside this package uses a value whose number varies from sample to sample.

        This method is called by methods such as `__hash__`. If code of this package has called `__hash__`, return
        False, since this package compares and hashes nodes, and not their numbers. numpy functions count as code
        outside this package, although they call the methods of a `Value` through this package.
        """
        caller = sys._getframe(2)
        if not is_users_code(caller):
            return False
        if caller.f_code.co_name == "linspace" and is_numpys_code(caller):
            return False  # it asks whether the step is 0, and computes the same numbers in either case
        return isinstance(self, TracedInput) or any(isinstance(x, TracedInput) for x in traverse(self)[1])

    def _refuse(self, what: str, instead: str) -> NoReturn:
        refuse(self, what, instead)


def _instead_of_equality(frame: FrameType) -> str:
    """Return the part of an error message that says what to write instead of ==.

    If the code in `frame` calls a function, this function may be `sorted`, which compares tuples by ==. The text then
    names `sorted`, too.
    """
    called = dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith("CALL")
    by_key = "key=lambda t: t[0] in sorted(), min() and max() of tuples t, or " if called else ""
    return f"{by_key}where(equal(x, y), a, b)"


class TracedCondition(Traced):
    """A value that is 0 or 1: an element of the result of a comparison of arrays, such as `X > 0`.

    It is a part of the recording like any other value. If Python code branches on it, as in `if X[0] > 0`, or in
    `(X > 0).all()`, the comparison becomes a guard, too.
    """

    __slots__ = ()
    is_condition = True

    def __bool__(self) -> bool:
        """Return whether the condition holds for the recorded sample. The comparison becomes a guard."""
        holds = self._data != 0.0
        if hooks := here().hooks:
            symbol = self.op.lowerings.array if self.op else ""
            a, b = self.operands if symbol in SIGNS_WITH_OPERATION else (0.5, self)
            hooks.compared(a, symbol if symbol in SIGNS_WITH_OPERATION else "<", b, holds)
        return holds

    def __add__(self, other: Any) -> Any:
        """Return whether at least one of two conditions holds, as + does for numpy's bools; add others as numbers."""
        if not isinstance(other, (bool, TracedCondition)) or sys._getframe(1).f_code.co_filename.startswith(PACKAGE):
            return super().__add__(other)  # numpy adds the elements of np.sum(x > 0) up as numbers
        found = maximum(self, float(other) if isinstance(other, bool) else other)
        return hooks.made_condition(found) if (hooks := here().hooks) else found

    __radd__ = __add__


class TracedInput(Traced):
    """A value that stands for one number of an argument while a function is recorded."""

    __slots__ = ()

    @property
    def data(self) -> float:
        """Refuse to be read, since this is the number for the recorded sample."""
        refuse(self, ".data", READ_INSTEAD)

    @data.setter
    def data(self, x: Any) -> None:
        refuse(self, ".data =", "a value of its own for what is computed")


for _kind in (Traced, TracedCondition, TracedInput):
    _kind.__name__ = _kind.__qualname__ = "Value"  # by which Python's own errors call it


def refuse(x: Value, what: str, instead: str) -> NoReturn:
    """Raise TypeError, since code reads the number of the value `x`, which may be different for another sample.

    If the code catches the error, it is raised again when the function has been recorded. `what` says what the number
    is used as, such as "a condition", and `instead` what to write instead.
    """
    raise remembered(refusal(x, what, instead), [x])


def remembered(error: TypeError, values: Iterable[Any] = ()) -> TypeError:
    """Return `error`, which is raised again when the recording ends, because the function may catch it.

    If this thread records nothing, the error is raised at the end of those recordings, in other threads, that have made
    one of `values`.
    """
    hooks = here().hooks
    if isinstance(hooks, (RecordingHooks, OtherThreads)):
        hooks.remember(error, values)
    return error


def refusal(x: Value, what: str, instead: str) -> TypeError:
    """Return a TypeError for a use of a value's number that no compiled program can repeat for another sample.

    Args:
        x: the value.
        what: what the number is used as, such as "a condition".
        instead: what to write instead.
    """
    inputs = [leaf for leaf in (traverse(x)[1] or [x]) if isinstance(leaf, TracedInput)]
    when = "for every sample" if inputs else "in all calls, whatever it becomes"
    static = f', or compile(f, static=["{x.label.partition("[")[0]}"]) for a program for each of its values'
    other = static if isinstance(x, TracedInput) else "" if inputs else ", or read it before the function is called"
    row = OPS.get(_user_frame().f_code.co_name)
    if row and "backward()" not in what:  # a method of the user's own, as in micrograd's lecture
        instead = f"{row.text(*'xyz'[: row.arity or 2])}, which is built in, instead of your {row.name}; or {instead}"
    return TypeError(
        f"{user_location()}: {describe(x)} as {what} would be the same number {when}; write {instead}{other}"
    )


def _refuse_changed_flag(x: Value) -> NoReturn:
    error = TypeError(
        f"{user_location()}: requires_grad of {describe(x)} changes while the function is recorded; write .detach() "
        "where no gradient is to flow to it"
    )
    raise remembered(error)


def user_location() -> str:
    """Return the file and line of the innermost call in the user's code."""
    frame = _user_frame()
    return f"{frame.f_code.co_filename}, line {frame.f_lineno}"


def _user_frame(frame: FrameType | None = None) -> FrameType:
    """Return the frame of the innermost call outside this package, numpy and the standard library.

    If there is none, return the frame of the innermost call outside this package. Calls inside `frame` are left out.
    """
    frame = frame or sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    user: FrameType | None = frame
    while user and (
        user.f_globals.get("__name__", "").partition(".")[0] in LIBRARIES
        or user.f_code.co_filename in FOR_NUMPY  # numpy calls methods of an array, which call numpy again
    ):
        user = user.f_back
    return user or frame


@contextmanager
def inline_compiled() -> Iterator[None]:
    """Inside the `with` block, run compiled functions as plain functions, which become parts of the recording."""
    before = _inlining.get()
    try:
        _inlining.set(True)
        yield
    finally:
        _inlining.set(before)


def _goes_to_a_log() -> bool:
    """Return whether the user's code makes a text of a `Value` only for a call such as `print(...)`."""
    frame = _user_frame()
    while frame.f_code.co_name in MAKING_TEXTS and frame.f_back:
        frame = _user_frame(frame.f_back)
    return only_logs(frame, _only_shows)


def _only_shows(function: Any) -> bool:
    """Return whether `function`, such as `print`, only shows a text. A user's function, or a StringIO, may keep it."""
    owner = sys.stdout if function is print else getattr(function, "__self__", None)
    parts = [x for x in (function, owner) if x is not None]
    modules = [x.__module__ if hasattr(x, "__code__") else type(x).__module__ for x in parts]
    return bool(parts) and not isinstance(owner, StringIO) and not any(map(is_users_module, modules))


class RecordingHooks(Hooks):
    """Hooks that are called while a function is recorded. They collect guards, and refuse what no program can repeat.

    A guard is a comparison that must have the same outcome for other samples.

    Args:
        kind: the class of the nodes that are made while the function is recorded.
        hides_numbers: whether texts of parameters have `HIDDEN` in the place of their numbers, unless they go to a log.

    Attributes:
        guards: the comparisons that may have another outcome for other samples. The list is filled when the recording
            ends.
        caught: a text with the first error that the function has caught where it needs a plain number, and its place;
            "" if there is none. A plain function gets no such error, so it may compute something else.
        refused_text: the error to raise if the recording depends on the text of a value whose number may be another
            one in the next call; None if no such text was made, except for a log.
        made_elsewhere: the addresses of the nodes that other threads have made since the recording began.
    """

    def __init__(self, kind: type[Value] = Traced, hides_numbers: bool = False) -> None:
        self._kind, self._hides_numbers = kind, hides_numbers
        self.refused_text: TypeError | None = None
        self.caught = ""
        self._conversions: list[Exception] = []
        self.guards: list[Guard] = []
        self.made_elsewhere: set[int] = set()
        self._refusal: TypeError | None = None  # the first refusal, which the function may have caught
        self._comparisons: dict[tuple[str, int, int], tuple[Any, str, Any, bool, str]] = {}
        self._not_nan: set[int] = set()  # the addresses of compared objects that cannot be nan if the guards hold
        self._nodes: list[Value] = []
        self._constants: dict[Value, None] = {}  # leaves whose numbers were read or used as constants
        self._inputs: Sequence[Value] = ()
        self._self_contained = True  # whether all operands of the new nodes are new too, or leaves

    def record_call(self, call: Callable[[], T], inputs: Sequence[Value]) -> T:
        """Record the function that `call()` calls, and return its result. `inputs` stand for the function's arguments.

        This must run in a copy of the context, by `contextvars.copy_context().run`, since it leaves some context
        variables changed.

        Raises:
            TypeError: the function does something that no program can repeat for another sample.
        """
        self._inputs = inputs
        try:
            _inlining.set(True)
            enter(self, hooks=self, no_grad=False)
            OTHER_THREADS.watch_for(self)
            result = call()
            self._note_caught()
            self._finish()
            return result
        finally:
            try:
                self._end()
            except BaseException:  # Ctrl-C may come after any call
                self._end()
                raise

    def _end(self) -> None:
        """Undo the changes of `record_call`. This may be called again if Ctrl-C has interrupted the first call."""
        OTHER_THREADS.forget(self)
        self._conversions = []  # whose tracebacks refer to the function's variables
        if here().hooks is self:
            leave(self)
        for x in (*self._nodes, *self._inputs):
            x.__class__ = Value  # Traced has the same slots
        vars(self).update(_NO_HOOKS)  # an asynchronous task that the function has begun still has these hooks

    def _finish(self) -> None:
        """Make guards from the comparisons.

        Raises:
            TypeError: an error was remembered, or a `requires_grad` has changed while the function was recorded.
        """
        if self._refusal:
            raise self._refusal
        for a, symbol, b, held, place in self._comparisons.values():
            same = MIRRORED.get(symbol, symbol)
            op = next(op for op in OPS.values() if op.lowerings.array == same)
            node = record(op, (b, a) if symbol in MIRRORED else (a, b))
            if node.requires_grad:
                left, right = describe(a), describe(b)
                text = f"{left} {symbol} {right}"
                canonical = f"{right} {same} {left}" if symbol in MIRRORED else text
                self.guards.append(Guard(node, held, place, text, canonical))
        self._self_contained = not _read_captured(self._nodes)
        check_gradient_flow(self._nodes)
        for x in (*self._inputs, *self._nodes, *_frozen_since(self._nodes)):
            if not x.requires_grad:
                _refuse_changed_flag(x)
        for x in self._constants:
            if x.requires_grad:
                _refuse_changed_flag(x)

    def text(self, x: Value, text: str, how: str) -> str:
        """Note that a text has the number of `x`, which may have another one in the next call, unless it goes to a log.

        In the place of the number, hide the number of a value that was not computed while the function was recorded.
        """
        if _goes_to_a_log():
            return text
        if not x.requires_grad:
            self._constants[x] = None
            return text
        self.refused_text = self.refused_text or refusal(x, how, READ_INSTEAD)
        if not self._hides_numbers or self.has_made(x):
            return text
        return HIDDEN if how == FORMATTED else text.replace(f"data={x._data}, grad={x.grad}", f"data={HIDDEN}")

    def refused(self, error: Exception) -> None:
        """Store an error of a conversion to a plain number, which the function may catch."""
        if len(self._conversions) < MAX_CONVERSIONS:
            self._conversions.append(error)

    def _note_caught(self) -> None:
        """Set `caught` if code outside this package and numpy has caught an error of a conversion.

        The traceback of an error begins with the frame that has caught it. C code that tries a conversion, as numpy
        does, has no frame, so the traceback then begins in this package.
        """
        for error in self._conversions:
            if (trace := error.__traceback__) and is_users_code(frame := trace.tb_frame) and not is_numpys_code(frame):
                self.caught = f"{frame.f_code.co_filename}, line {trace.tb_lineno}: {type(error).__name__}: {error}"
                break
        self._conversions = []

    def remember(self, error: TypeError, values: Iterable[Any] = ()) -> None:
        """Remember an error, so it is raised at the end of the recording even if the function catches it."""
        self._refusal = self._refusal or error

    def has_made(self, x: Any) -> bool:
        """Return whether `x` stands for a number of an argument, or was computed while the function was recorded."""
        return any(x is y for y in (*self._inputs, *self._nodes))

    def with_captured_leaves(
        self, outputs: Sequence[Value], known: dict[Value, CapturedValue]
    ) -> tuple[list[Value], list[Guard]]:
        """Return the outputs and the guards of the recording, with leaves in the place of captured values.

        A captured value is a node that was computed before the function was called. `known` is a dict from captured
        values to the leaves that stand for them. Leaves for further captured values are added to it.
        """
        made = set(self._nodes)
        if self._self_contained and made.issuperset([x for x in outputs if x.op]):
            return list(outputs), self.guards
        nodes = capture([*outputs, *[guard.node for guard in self.guards]], made, known, self.made_elsewhere)
        checks = [guard._replace(node=x) for guard, x in zip(self.guards, nodes[len(outputs) :], strict=True)]
        return nodes[: len(outputs)], checks

    def noted_constants(self) -> dict[Value, float]:
        """Return a dict from the constants whose numbers the function has used, to their data.

        The function has read the number of such a constant, has compared it with other constants, or has computed
        another constant from it, so the constant need not be an operand of the recorded graph. Constants that the
        function made itself are left out.
        """
        self._comparisons = {}  # which refer to constants, too
        return {x: x._data for x in held_elsewhere(self._constants, in_graph=False) if x.op is None}

    def compared(self, a: Any, symbol: str, b: Any, holds: bool) -> None:
        """Remember a comparison of `a` and `b`. It becomes a guard when the recording ends.

        `symbol` is the comparison's operator in Python, and `holds` its outcome.
        """
        key = (MIRRORED[symbol], id(b), id(a)) if symbol in MIRRORED else (symbol, id(a), id(b))
        if key not in self._comparisons:
            self._comparisons[key] = a, symbol, b, holds, user_location()
            if holds:
                self._not_nan |= {id(a), id(b)}

    def asked_for_nan(self, a: Any, b: Any) -> None:
        """Remember which of `a` and `b` are nan. This becomes a guard unless another guard says that they are not."""
        for x in (a, b):
            if isinstance(x, Value) and id(x) not in self._not_nan:
                self.compared(x, "==", x, x._data == x._data)

    def read(self, x: Value, how: str) -> None:
        """Refuse to let code read the number of `x` if `x` may have another number in the next call.

        `how` says in the error message how the number would be read.
        """
        if x.requires_grad or isinstance(x, Traced):
            refuse(x, how, READ_INSTEAD)
        self._constants[x] = None

    def before_write(self, x: Value) -> None:
        """Refuse to set the data of the value `x`: later calls run the compiled program, which would not set them."""
        error = TypeError(
            f"{user_location()}: {describe(x)} is given data while a function is recorded, but later calls would not "
            "give it; set .data outside the function"
        )
        raise remembered(error)

    def made_condition(self, x: Value) -> Value:
        """Return `x`, an element of the result of a comparison of arrays, such that Python code can branch on it."""
        if type(x) is self._kind:
            x.__class__ = TracedCondition  # it has the same slots
        return x

    def detached(self, x: Value) -> Value | None:
        """Return a node that copies `x` and passes no gradient on, so a program detaches the value for every sample.

        Return None if `x` requires no gradient.
        """
        if not x.requires_grad:
            self.made_constant((x,))
            return None
        with recording():
            return record(DETACH, (x,))

    def suppressed(self, op: Op, operands: Sequence[Any]) -> Value | None:
        """Return the detached result of an operation inside `no_grad()`, so a program computes it for every sample.

        Return None if no operand requires a gradient.
        """
        with recording():
            return self.detached(record(op, operands))

    def made_constant(self, operands: Sequence[Any]) -> None:
        """Note the operands of an operation whose result is a constant because none of them requires a gradient.

        The function might switch on the `requires_grad` of an operand later. `record_call` therefore checks the noted
        operands at the end. If an operand is a recorded node, it required a gradient when it was made, so the function
        has switched this off. Then TypeError is raised at once.
        """
        for x in operands:
            if isinstance(x, Traced):
                _refuse_changed_flag(x)
            if isinstance(x, Value):
                self._constants[x] = None

    def made_by_hand(self, op: Any, operands: Sequence[Any]) -> None:
        """Refuse a node with a `_backward` that the user has written, since no program could call this `_backward`."""
        raise remembered(TypeError(f"{user_location()}: {op.refusal(len(operands))}"))

    def new_node(self, kind: Any, a: Any, b: Any) -> Value:
        """Return an empty object, which becomes the new node. Its class is the one given to the hooks, not `kind`."""
        node = object.__new__(self._kind)
        self._nodes.append(node)
        return node


class OtherThreads(Hooks):
    """Hooks for threads that record nothing while another thread records a function.

    They refuse every use of a recorded value in these threads, since what another thread computes or compares is no
    part of the recording. A thread that uses no recorded value is not affected.
    """

    owns_nodes = False

    def __init__(self) -> None:
        self._recordings: tuple[RecordingHooks, ...] = ()
        self._lock = ForkSafeLock()

    def watch_for(self, hooks: RecordingHooks) -> None:
        """From now on, refuse what other threads do with the values that `hooks` records, until `forget(hooks)`."""
        with self._lock():
            self._recordings = (*self._recordings, hooks)
            hook_other_threads(self)
            context.note_change()  # so programs that the function calls read parameters, and are refused

    def forget(self, hooks: RecordingHooks) -> None:
        """Undo `watch_for(hooks)`; a no-op if this was not called. Other threads may use the values again."""
        with self._lock():
            self._recordings = tuple(filter(partial(is_not, hooks), self._recordings))
            hook_other_threads(self if self._recordings else None)

    def remember(self, error: TypeError, values: Iterable[Any] = ()) -> None:
        """Store `error` in each recording that has made one of `values`. The recording raises it at its end."""
        for hooks in self._recordings:
            if any(hooks.has_made(x) for x in values):
                hooks.remember(error)

    def compared(self, a: Any, symbol: str, b: Any, holds: bool) -> None:
        """Refuse to compare a recorded value in this thread."""
        self._refuse_traced((a, b))

    def text(self, x: Any, text: str, how: str) -> str:
        """Return the text, since the text of a recorded value has no number."""
        return text

    def read(self, x: Any, how: str) -> None:
        """Refuse to let this thread read the number of a recorded value."""
        self._refuse_traced((x,))

    def before_write(self, x: Any) -> None:
        """Refuse to let this thread set the data of a recorded value."""
        self._refuse_traced((x,))

    def detached(self, x: Any) -> None:
        """Refuse to detach a recorded value in this thread."""
        self._refuse_traced((x,))

    def suppressed(self, op: Op, operands: Sequence[Any]) -> None:
        """Refuse to compute a constant from a recorded value."""
        self._refuse_traced(operands)

    def made_constant(self, operands: Sequence[Any]) -> None:
        """Refuse to compute a constant from a recorded value."""
        self._refuse_traced(operands)

    def made_by_hand(self, op: Any, operands: Sequence[Any]) -> None:
        """Refuse a node with a `_backward` of the user's own that is made from a recorded value."""
        self._refuse_traced(operands)

    def new_node(self, kind: Any, a: Any, b: Any) -> Any:
        """Refuse to compute a node from a recorded value in this thread; note the addresses of all other new nodes."""
        self._refuse_traced(a if type(a) is tuple else (a, b))
        node = object.__new__(kind)
        for hooks in self._recordings:
            hooks.made_elsewhere.add(id(node))
        return node

    def _refuse_traced(self, operands: Sequence[Any]) -> None:
        for x in operands:
            if isinstance(x, Traced):
                error = TypeError(
                    f"{user_location()}: {describe(x)} is used in another thread, where nothing is recorded; use it in "
                    "the thread that calls the function"
                )
                raise remembered(error, [x])


OTHER_THREADS = OtherThreads()
_NO_HOOKS = {name: getattr(Hooks(), name) for name in vars(Hooks) if name in vars(RecordingHooks) and name[0] != "_"}


def _frozen_since(nodes: Iterable[Value]) -> Iterator[Value]:
    """Yield the leaves that require no gradient now, but did when they became operands of one of `nodes`.

    Such a node has kept a partial derivative for the leaf. An n-ary operation may compute partial derivatives for its
    constants, too, so nodes of n-ary operations are left out.
    """
    for node in nodes:
        for x, derivative in ((node._a, node._da), (node._b, node._db)):
            if derivative is not None and isinstance(x, Value) and x.op is None and not x.requires_grad:
                yield x


def _read_captured(nodes: Iterable[Value]) -> bool:
    """Return whether one of `nodes` has an operand that was computed before recording began."""
    for node in nodes:
        for x in node.operands:
            if type(x) is Value and x.op is not None:
                return True
    return False


def is_inlining() -> bool:
    """Return whether compiled functions run as plain functions here.

    They do while a function is recorded, and inside `inline_compiled()`.
    """
    return _inlining.get()


class CompiledGuards:
    """The guards of a recorded function, with a program that computes their comparisons for rows of numbers.

    A guard is broken if it has another outcome for a row than for the recorded sample. The program computes all guards,
    even after a broken one. This is harmless, since comparisons are true or false for any numbers, nan included.

    Args:
        guards: the guards.
        inputs: the leaves that stand for the numbers of a row.
        make: a function; `make(outputs, inputs)` returns a program that computes the outputs.

    Attributes:
        guards: the guards.
        expected: for each guard, 1.0 if it held for the recorded sample, and 0.0 if not.
        program: the program that computes the comparisons; None if there are no guards.
        parameter_free: whether the guards depend on no parameter, so their outcomes for a row never change.
    """

    def __init__(self, guards: Sequence[Guard], inputs: Sequence[Value], make: Callable[..., Program]) -> None:
        self.guards = guards
        self.program = make([guard.node for guard in guards], inputs) if guards else None
        leaves = traverse(*[guard.node for guard in guards])[1]
        self.parameter_free = all(leaf in set(inputs) or not leaf.requires_grad for leaf in leaves)
        self.expected = array("d", [float(guard.held) for guard in guards])

    def hold(self, numbers: Any) -> bool:
        """Return whether all guards have their recorded outcome for the row with these numbers."""
        return self.program is None or self.program.row(numbers) == self.expected

    def split(
        self, data: Any, index: array[int], threads: int = 1, parameters: int = 0
    ) -> tuple[array[int], array[int]]:
        """Return the rows for which all guards have their recorded outcome, and the other rows.

        Args:
            data: the numbers of all rows, one row after the other.
            index: the indices of the rows to check.
            threads: how many threads compute.
            parameters: the address of the parameters' current values while `fit` trains them; 0 if these are the data
                of the `Value`s.
        """
        if self.program is None or not index:
            return index, array("q")
        program, expected = self.program, self.expected
        if len(self.guards) > 1 and len(index) >= MANY_ROWS:
            program, expected = self._holds, _one
        outcomes = array("d", bytes(8 * len(expected) * len(index)))
        program.outputs_of(data, index, threads, outcomes, parameters)
        return split_by_outcome(index, outcomes, expected)

    def first_broken(self, numbers: Any) -> Guard:
        """Return the first guard that has another outcome than recorded for the row with these numbers.

        Return the last guard if none has another outcome. This happens if rounding decides a comparison: the code
        that found a broken guard may round differently from the code that this method runs.
        """
        assert self.program
        pairs = zip(self.guards, self.program.row(numbers), strict=True)
        return next((guard for guard, x in pairs if x != float(guard.held)), self.guards[-1])

    @cached_property
    def _holds(self) -> Program:
        """A program whose only output is 1.0 if all guards have their recorded outcome, and 0.0 if one has not.

        It adds up how many guards are broken. A guard is broken if it has another outcome than recorded.
        """
        assert self.program
        kept = with_kept_constants([guard.node for guard in self.guards], self.program.compiled.graph.constants)
        with recording():
            broken = dot([-1.0 if guard.held else 1.0 for guard in self.guards], kept)
            return self.program.with_outputs([less(broken, 0.5 - sum(self.expected))])


_one = array("d", [1.0])
