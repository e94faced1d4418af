"""Define `Traced`, the values that a function computes while it is recorded, and refuse to let it read their numbers.

A program computes what the function did for the sample that was recorded. If Python code read the number of a value,
the program would use this number for every sample. So to read it raises an error. A comparison is allowed, since it
becomes a guard, see `hooks`. Once the function is recorded, its traced values become plain `Value`s.
"""

from __future__ import annotations

import dis
import sys
from abc import ABCMeta
from collections.abc import Iterable
from io import StringIO
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from ...engine import Value, constant, traverse
from ...graph import context
from ...graph.callers import PACKAGE, is_numpys_code, only_logs
from ...graph.context import FORMATTED, Hooks, here
from ...graph.plain_numbers import FOR_NUMPY, ignores_equality, is_users_code, stands_for_number
from ...graph.unsupported import refuse_logical
from ...ops import maximum
from ...ops.number import number_or_none
from ...ops.registry import OPS
from ..data.captured import describe
from ..surroundings.facts import is_users_module

READ_INSTEAD = (
    "the value itself, or its detach() without a gradient; for a branch compare it, or write where(less(x, y), a, b)"
)
GRAD_INSTEAD = "gradients(y, xs, create_graph=True) in the function, or pass the gradient as an argument"
LIBRARIES = sys.stdlib_module_names | {"numpy"}  # their functions compare values that the user passes to them
# What to write instead of numpy functions that ask whether two numbers are equal
INSTEAD_OF_EQUALITY = {
    "average": "(x * w).sum() / w.sum() for np.average(x, weights=w)",
    "array_equal": "(x == y).all() for np.array_equal(x, y)",
    "array_equiv": "(x == y).all() for np.array_equiv(x, y)",
    "isin": "(x == a) | (x == b) for np.isin(x, [a, b])",
}
SIGNS_WITH_OPERATION = ("<", "<=", "==")  # the comparison signs for which the table has an operation
# Functions that make texts, or a part of a text, for the code that calls them
MAKING_TEXTS = ("<genexpr>", "<listcomp>", "__repr__", "__str__")

# The file of the function by which `isinstance` asks an abstract class
ABC_FILE = ABCMeta.__instancecheck__.__code__.co_filename


class Traced(Value):
    """A value that is computed while a function is recorded. Python code can neither read nor copy its number.

    The number that code would read is the number for the recorded sample, and the program would use this number for all
    samples. Once the function is recorded, its traced values become plain `Value`s.
    """

    __slots__ = ()

    if not TYPE_CHECKING:

        @property
        def __class__(self) -> Any:
            """The class of the value. A hook is called if code outside this package asks for the class.

            `isinstance(x, float)` asks for the class if `type(x)` is not float. So do `case float()`,
            `functools.singledispatch` and `isinstance(x, numbers.Number)`. numpy's functions often ask for the class of
            a result, which changes nothing. But a function such as `np.isscalar` asks on behalf of the user's code.
            """
            caller = sys._getframe(1)
            if caller.f_code.co_filename == ABC_FILE and caller.f_back:
                caller = caller.f_back
            is_numpys_own = is_numpys_code(caller) and not caller.f_code.co_name.startswith("is")
            if not (caller.f_code.co_filename.startswith(PACKAGE) or is_numpys_own):
                hooks = here().hooks
                if isinstance(hooks, RefusingHooks):
                    hooks.asked_for_class()
            return type(self)

    @classmethod
    def _constant(cls, x: Any) -> Any:  # called for a number among the operands
        return constant(x)

    def backward(self, gradient: Any = 1.0, **options: Any) -> None:
        """Raise TypeError, since each later call would use the gradients of the recorded sample."""
        self._refuse("what backward() starts from", "gradients(y, xs, create_graph=True), or functional.grad")

    def __bool__(self) -> bool:
        """Return True, as for any object, or raise TypeError if the number varies from sample to sample.

        Where a node must be treated as its number (see `stands_for_number`), return whether the number is not 0.
        """
        if self._varies():
            self._refuse("a condition", "where(x, a, b), or a comparison, such as x > 0")
        caller = sys._getframe(1)
        refuse_logical(caller)
        return self._data != 0.0 if stands_for_number(self, caller) else True

    def __eq__(self, other: object) -> bool:
        """Return whether this value equals `other`, if a program can repeat the comparison; otherwise, raise TypeError.

        TypeError is raised in a comparison with a plain number, or with a `Value` that has the same number as this one
        now. A comparison with a `Value` that has another number is false, and becomes a guard. `x == x`, by which code
        asks whether x is nan, becomes a guard, too. A value whose number is the same for all samples is compared as
        usual.
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
        """Return a string without the value's number, since this is the number for the recorded sample."""
        text = f"Value({describe(self)})"
        return hooks.text(self, text, "a text") if (hooks := here().hooks) else text

    def __format__(self, spec: str) -> str:
        """Return the text of `repr`; raise TypeError if there is a format, such as ".2f".

        The format is ignored if the text goes to a log.
        """
        if spec and not goes_to_a_log():
            self._refuse(FORMATTED, READ_INSTEAD)
        return repr(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Raise TypeError instead of making a copy, since the copy would be a constant."""
        self._refuse("a copy", READ_INSTEAD)

    def __getstate__(self) -> object:
        """Raise TypeError, since a copy would contain the number, which may be different for another sample."""
        self._refuse("a copy", READ_INSTEAD)

    @property
    def partials(self) -> tuple[float, ...]:
        """The local derivatives; reading them raises TypeError in a user's code if they may vary from call to call."""
        self._refuse_derivatives(sys._getframe(1))
        return super().partials

    def edges(self) -> list[tuple[Any, float]]:
        """Return the operands with the local derivatives; raise TypeError if these may vary from call to call.

        No error is raised if code of this package calls the method.
        """
        self._refuse_derivatives(sys._getframe(1))
        return super().edges()

    def _refuse_derivatives(self, caller: FrameType) -> None:
        """Raise TypeError if a user's code asks for local derivatives that may be other numbers in the next call."""
        if self.requires_grad and is_users_code(caller):
            self._refuse("what derivatives are read of", "gradients(y, xs, create_graph=True), or functional.grad")

    @property
    def _backward(self) -> NoReturn:
        """Raise TypeError, since a call of `_backward()` would compute the gradients of the recorded sample."""
        self._refuse("what _backward() starts from", "gradients(y, xs, create_graph=True), or functional.grad")

    @_backward.setter
    def _backward(self, backward: object) -> None:
        """Raise TypeError, since no compiled program could call the function that is assigned."""
        self._refuse("a node with a _backward of its own", "an operation of your own, Op(name, forward, partials)")

    def __hash__(self) -> int:
        """Return the hash; raise TypeError if a user's code uses the value as a key, and its number varies.

        The number varies if it is another one for another sample.
        """
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
        if ignores_equality(caller):
            return False
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
        """Return a condition that holds if at least one of two conditions holds, as + does for numpy's bools.

        If `other` is neither a condition nor a bool, return the sum of the two numbers.
        """
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
        """Raise TypeError, since the number that would be read is that of the recorded sample."""
        refuse(self, ".data", READ_INSTEAD)

    @data.setter
    def data(self, x: Any) -> None:
        refuse(self, ".data =", "a value of its own for what is computed")


for _kind in (Traced, TracedCondition, TracedInput):
    _kind.__name__ = _kind.__qualname__ = "Value"  # the name of the class in Python's own errors


class RefusingHooks(Hooks):
    """Hooks of a recording, which ends with an error if a use of a value was refused, even if that error was caught."""

    def remember(self, error: TypeError, values: Iterable[Any] = ()) -> None:
        """No-op, called with an error before it is raised, since the function may catch it.

        A subclass stores the error, and raises it again when the recording ends. `values` are the values whose use was
        refused.
        """

    def asked_for_class(self) -> None:
        """No-op, called when code outside this package asks for the class of a value. A subclass notes this."""


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
    if isinstance(hooks, RefusingHooks):
        hooks.remember(error, values)
    return error


def refusal(x: Value, what: str, instead: str) -> TypeError:
    """Return a TypeError for a use of a value's number that no compiled program can repeat for another sample.

    Args:
        x: the value whose number is used.
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


def goes_to_a_log() -> bool:
    """Return whether user code makes the text of a `Value` only to pass it to a function such as `print`."""
    frame = _user_frame()
    while frame.f_code.co_name in MAKING_TEXTS and frame.f_back:
        frame = _user_frame(frame.f_back)
    return only_logs(frame, _only_shows)


def _only_shows(function: Any) -> bool:
    """Return whether `function` only shows a string, as `print` does, and does not keep it.

    A function of the user may keep the string, and so may a StringIO.
    """
    owner = sys.stdout if function is print else getattr(function, "__self__", None)
    parts = [x for x in (function, owner) if x is not None]
    modules = [x.__module__ if hasattr(x, "__code__") else type(x).__module__ for x in parts]
    return bool(parts) and not isinstance(owner, StringIO) and not any(map(is_users_module, modules))
