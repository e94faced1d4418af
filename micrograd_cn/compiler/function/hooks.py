"""Define the hooks of a recording, which notice where Python code could do something else for another sample.

`RecordingHooks` are called in the thread that records a function. They keep its comparisons, which become guards, and
refuse what no program could repeat for another sample. `OtherThreads` refuses every use of the recording's values in
other threads.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import compress
from operator import attrgetter, is_not
from typing import Any, NoReturn, TypeVar

from ...engine import Value, record
from ...graph import context
from ...graph.callers import is_numpys_code
from ...graph.context import FORMATTED, Hooks, enter, here, hook_other_threads, leave, recording
from ...graph.plain_numbers import is_users_code
from ...graph.references import held_elsewhere, operands_once, unheld
from ...ops.number import OPERATORS
from ...ops.operation import Op
from ...ops.registry import OPS
from ..data.captured import CapturedValue, capture, describe
from ..guards import Guard
from ..instructions.graph import DETACH, check_gradient_flow
from ..threads.forks import ForkSafeLock
from .traced import (
    GRAD_INSTEAD,
    READ_INSTEAD,
    RefusingHooks,
    Traced,
    TracedCondition,
    TracedInput,
    goes_to_a_log,
    refusal,
    refuse,
    remembered,
    user_location,
)

T = TypeVar("T")
_inlining: ContextVar[bool] = ContextVar("micrograd_cn_inlining", default=False)
# The text in the place of a number that is hidden. It cannot be converted to a number. Code that looks for a minus,
# "nan" or "inf" in the text of a number finds all of them.
HIDDEN = "?nan?-inf?"
MAX_CONVERSIONS = 100  # only the tracebacks of this many errors are looked at when the recording ends
RECORDED = {float, Traced, TracedCondition, TracedInput}  # classes of plain numbers, inputs and recorded nodes
BUILT_IN = {float, int, Value, Traced, TracedCondition, TracedInput}  # classes whose operators no user has written
_set_class: Any = vars(object)["__class__"].__set__  # without the property of `Traced`
MIRRORED = {">": "<", ">=": "<="}  # the same comparison with its operands exchanged


def is_inlining() -> bool:
    """Return whether a call of a compiled function runs the plain function in this context.

    It does while another function is recorded, and inside `inline_compiled()`.
    """
    return _inlining.get()


@contextmanager
def inline_compiled() -> Iterator[None]:
    """Inside the `with` block, run compiled functions as plain functions, which become parts of the recording."""
    before = _inlining.get()
    try:
        _inlining.set(True)
        yield
    finally:
        _inlining.set(before)


class RecordingHooks(RefusingHooks):
    """Hooks that are called while a function is recorded. They collect guards, and refuse what no program can repeat.

    A guard is a comparison that must have the same outcome for other samples.

    Args:
        kind: the class of the nodes that are made while the function is recorded.
        hides_numbers: whether strings made of parameters have `HIDDEN` in place of their numbers. Strings that go to a
            log keep the numbers.

    Attributes:
        kind: the class of the nodes that are made.
        makes_cycles: whether the function may make leaves, and reference cycles that hold them.
        guards: the comparisons that may have another outcome for other samples. The list is filled when the recording
            ends.
        caught: a string with an error and the place in the code where it was caught; "" if there is none. It is the
            first error that this package has raised because the function needs a plain number and got a `Value`. Called
            with numbers, the function gets no such error, so it may compute something else.
        raised: a string that names an operator that raises an arithmetic error if the function is called with numbers,
            where the function catches this error; "" if there is none.
        asked: the code by which the function may have found out that an argument is a `Value` and not a plain number,
            and what to write instead; "" if there is no such code.
        refused_text: the error to raise if the recording depends on the text of a value whose number may be another
            one in the next call; None if no such string was made, except for a log.
        differentiated_inputs: the indices of the inputs with respect to which a derivative in the function, such as
            that of `functional.grad`, is computed. If they were bools, there would be no such derivative.
        made_elsewhere: the addresses of the nodes that other threads have made since the recording began.
        unheld: the leaves that require a gradient, and to which only recorded nodes and comparisons refer when the
            function has returned. The function has made them itself.
    """

    def __init__(self, kind: type[Value], hides_numbers: bool) -> None:
        self.kind, self._hides_numbers, self.makes_cycles = kind, hides_numbers, False
        self.refused_text: TypeError | None = None
        self.caught = self.raised = self.asked = ""
        self._conversions: list[Exception] = []
        self.guards: list[Guard] = []
        self.made_elsewhere: set[int] = set()
        self.differentiated_inputs: set[int] = set()
        self.unheld: list[Value] = []
        self._refusal: TypeError | None = None  # the first refusal, which the function may have caught
        self._comparisons: dict[tuple[str, int, int], tuple[Any, str, Any, bool, str]] = {}
        self._not_nan: set[int] = set()  # the addresses of compared objects that cannot be nan if the guards hold
        self._nodes: list[Value] = []
        # Leaves whose numbers were read or used as constants, each with the count of references to it that are known:
        # the one from this dict, and at the end also those from nodes and comparisons
        self._constants: dict[Value, int] = {}
        self._inputs: Sequence[Value] = ()
        self._input_ids: set[int] = set()  # the addresses of the inputs
        self._self_contained = True  # whether all operands of the new nodes are new too, or leaves

    def record_call(self, call: Callable[[], T], inputs: Sequence[Value]) -> T:
        """Record the function that `call()` calls, and return its result. `inputs` stand for the function's arguments.

        This must run in a copy of the context, by `contextvars.copy_context().run`, since it leaves some context
        variables changed.

        Raises:
            TypeError: the function does something that no program can repeat for another sample.
        """
        self._inputs, self._input_ids = inputs, {*map(id, inputs)}
        try:
            _inlining.set(True)
            enter(self, hooks=self, no_grad=False)
            OTHER_THREADS.watch_for(self)
            result = call()
            self._note_caught()
            self._finish()
            return result
        except Exception as error:
            # Another thread may have raised the refusal, so the function finds no result
            if self._refusal and not _has_led_to(self._refusal, error):
                raise self._refusal from error
            raise
        finally:
            try:
                self._end()
            except BaseException:  # Ctrl-C may come after any call
                self._end()
                raise

    def _end(self) -> None:
        """Undo the changes of `record_call`. This may be called again if Ctrl-C has interrupted the first call."""
        OTHER_THREADS.forget(self)
        self._conversions = []  # the tracebacks of these errors refer to the function's variables
        if here().hooks is self:
            leave(self)
        for x in (*self._nodes, *self._inputs):
            _set_class(x, Value)  # Traced has the same slots
        vars(self).update(_NO_HOOKS)  # an asynchronous task that the function has begun still has these hooks

    def _finish(self) -> None:
        """Make guards from the comparisons, and find the leaves that only the recorded nodes refer to.

        Raises:
            TypeError: a hook has refused something while the function was recorded, even if the function has caught the
                error; or a `requires_grad` has changed meanwhile.
        """
        if self._refusal:
            raise self._refusal
        self._make_guards()
        kinds, references = self._operands_used()
        self._constants = {x: 1 + references.get(x, 0) for x in self._constants}
        self.unheld = self._leaves_only_in(references)
        for kind in filter(_overrides_operators, kinds - BUILT_IN):
            self.asked = self.asked or (
                f"An operand v is a {kind.__name__}, whose operators are not called where v is on the right of an "
                "argument x: write v * x for x * v"
            )
        check_gradient_flow(self._nodes)
        for x in (*self._inputs, *self._nodes, *_frozen_since(self._nodes)):
            if not x.requires_grad:
                _refuse_changed_flag(x)
        for x in self._constants:
            if x.requires_grad:
                _refuse_changed_flag(x)

    def _operands_used(self) -> tuple[set[type], dict[Value, int]]:
        """Return the classes of the operands of recorded nodes and of comparisons, and a dict.

        The keys of the dict are the operands that were not recorded, such as leaves. Its values say how many references
        from recorded nodes and comparisons there are to each of them. If `self.kind` is `Value`, recorded nodes have no
        class of their own, which would tell them from others, and the dict is empty.
        """
        used = operands_once(self._nodes)
        for a, _, b, *_ in self._comparisons.values():
            used += a, b
        kinds = {*map(type, used)}
        others = {kind for kind in kinds - RECORDED if issubclass(kind, Value)}
        outer = [*compress(used, map(others.__contains__, map(type, used)))] if others else []
        self._self_contained = {None}.issuperset(map(attrgetter("op"), outer))
        return kinds, Counter(outer) if self.kind is not Value else {}

    def _leaves_only_in(self, references: dict[Value, int]) -> list[Value]:
        """Return the leaves that require a gradient, and to which only recorded nodes and comparisons refer.

        `references` says how many references from recorded nodes and comparisons there are to each value that was not
        itself recorded; see `_operands_used`.
        """
        if self.makes_cycles:
            held = {*map(id, references)}.difference(map(id, unheld(references)))
            if held and _any_made_since(self, held):
                gc.collect(0)  # a leaf may be held by a reference cycle, which nobody can reach
        return [x for x in unheld(references) if x.op is None and x.requires_grad]

    def _make_guards(self) -> None:
        for a, symbol, b, held, place in self._comparisons.values():
            same = MIRRORED.get(symbol, symbol)
            op = next(op for op in OPS.values() if op.lowerings.array == same)
            node = record(op, (b, a) if symbol in MIRRORED else (a, b))
            if node.requires_grad:
                left, right = describe(a), describe(b)
                text = f"{left} {symbol} {right}"
                canonical = f"{right} {same} {left}" if symbol in MIRRORED else text
                self.guards.append(Guard(node, held, place, text, canonical))

    def text(self, x: Value, text: str, how: str) -> str:
        """Return the text of `x` that the function gets, and note that the result may depend on the number in it.

        Nothing is noted if the text goes to a log. If this object hides numbers, and `x` is a parameter or was computed
        from parameters before the recording began, `HIDDEN` replaces the number in the text. `text` is the text with
        the number, and `how` says how the function has made it.
        """
        if goes_to_a_log():
            return text
        if not x.requires_grad:
            self._constants[x] = 1
            return text
        self.refused_text = self.refused_text or refusal(x, how, READ_INSTEAD)
        if not self._hides_numbers or self.has_made(x):
            return text
        return HIDDEN if how == FORMATTED else text.replace(f"data={x._data}, grad={x._grad}", f"data={HIDDEN}")

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

    def asked_for_class(self) -> None:
        """Note that the function has asked for the class of a value, and got another answer than for a number."""
        self.asked = self.asked or (
            f"{user_location()} asks for the class of a Value that is in the place of a number: write "
            "isinstance(x, (int, float, Value)) for isinstance(x, (int, float))"
        )

    def remember(self, error: TypeError, values: Iterable[Any] = ()) -> None:
        """Store an error, so it is raised at the end of the recording even if the function catches it.

        `values` is not used: it matters only to `OtherThreads`.
        """
        self._refusal = self._refusal or error

    def differentiated(self, xs: Sequence[Any]) -> None:
        """Note which of the inputs are among `xs`."""
        places = {id(x): k for k, x in enumerate(self._inputs)}
        self.differentiated_inputs |= {places[id(x)] for x in xs if id(x) in places}

    def has_made(self, x: Any) -> bool:
        """Return whether `x` stands for a number of an argument, or was computed while the function was recorded."""
        return id(x) in self._input_ids or (x.op is not None and any(x is y for y in self._nodes))

    def with_captured_leaves(
        self, outputs: Sequence[Value], known: dict[Value, CapturedValue]
    ) -> tuple[list[Value], list[Guard]]:
        """Return the outputs and the guards of the recording, with leaves in place of captured values.

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
        another constant or a derivative from it, so the constant need not be an operand of the recorded graph.
        Constants that the function made itself are left out. Call this before anything but the recorded nodes refers to
        the operands of these nodes.
        """
        return {x: x._data for x in held_elsewhere(dict(self._constants)) if x.op is None}

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
        """Note which of `a` and `b` are nan, as a guard: the recording is only used for samples for which this holds.

        No guard is added if another guard already implies that a number is not nan.
        """
        for x in (a, b):
            if isinstance(x, Value) and id(x) not in self._not_nan:
                self.compared(x, "==", x, x._data == x._data)

    def read(self, x: Value, how: str) -> None:
        """Refuse to let code read the number of `x` if `x` may have another number in the next call.

        `how` is the part of the error message that says how the code reads the number.
        """
        if x.requires_grad or isinstance(x, Traced):
            refuse(x, how, GRAD_INSTEAD if how == ".grad" else READ_INSTEAD)
        self._constants[x] = 1

    def before_write(self, x: Value, name: str) -> None:
        """Raise TypeError, since later calls of the compiled function would not set the data or gradient of `x`.

        `name` is the attribute that is set, such as "data".
        """
        what, where = ("data", "set .data") if name == "data" else ("a gradient", "set .grad, or call zero_grad(),")
        error = TypeError(
            f"{user_location()}: {describe(x)} is given {what} while a function is recorded, but later calls would not "
            f"give it; {where} outside the function"
        )
        raise remembered(error)

    def made_condition(self, x: Value) -> Value:
        """Return `x`, an element of the result of a comparison of arrays, as a `TracedCondition`.

        Python code can branch on a `TracedCondition`, but not on other recorded values.
        """
        if type(x) is self.kind:
            _set_class(x, TracedCondition)  # it has the same slots
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
        """Note `operands`, none of which requires a gradient, and from which the function computes a new constant.

        The recorded graph has the number of the new constant, and need not have the operands. The function might switch
        on the `requires_grad` of an operand later, so `record_call` checks the noted operands at the end. TypeError is
        raised at once if an operand is a recorded node: it required a gradient when it was made, so the function has
        switched this off.
        """
        for x in operands:
            if isinstance(x, Traced):
                _refuse_changed_flag(x)
            if isinstance(x, Value):
                self._constants[x] = 1

    def made_by_hand(self, op: Any, operands: Sequence[Any]) -> None:
        """Refuse a node with a `_backward` that the user has written, since no program could call this `_backward`."""
        raise remembered(TypeError(f"{user_location()}: {op.refusal(len(operands))}"))

    def new_node(self, kind: Any, a: Any, b: Any) -> Value:
        """Return an empty object, which becomes the new node. Its class is `self.kind`, whatever `kind` is."""
        node = object.__new__(self.kind)
        self._nodes.append(node)
        return node


class OtherThreads(RefusingHooks):
    """Hooks for threads that record nothing while another thread records a function.

    They refuse every use of a recorded value in these threads, since what another thread computes or compares is not
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
        """Store `error` in each recording to which one of `values` belongs, so the recording raises it at its end."""
        for hooks in self._recordings:
            if any(hooks.has_made(x) for x in values):
                hooks.remember(error)

    def compared(self, a: Any, symbol: str, b: Any, holds: bool) -> None:
        """Refuse to compare a recorded value in this thread."""
        self._refuse_traced((a, b))

    def text(self, x: Any, text: str, how: str) -> str:
        """Return the text unchanged, since the text of a recorded value does not show the value's number."""
        return text

    def read(self, x: Any, how: str) -> None:
        """Raise TypeError if another thread is recording `x`, whose number this thread reads. `how` is not used."""
        self._refuse_traced((x,))

    def before_write(self, x: Any, name: str) -> None:
        """Raise TypeError if `x`, whose data or gradient this thread sets, is recorded."""
        self._refuse_traced((x,))

    def detached(self, x: Any) -> None:
        """Raise TypeError if `x`, which this thread detaches, is recorded."""
        self._refuse_traced((x,))

    def suppressed(self, op: Op, operands: Sequence[Any]) -> None:
        """Raise TypeError if one of the operands, from which this thread computes a constant, is recorded."""
        self._refuse_traced(operands)

    def made_constant(self, operands: Sequence[Any]) -> None:
        """Refuse to compute a constant from a recorded value in this thread."""
        self._refuse_traced(operands)

    def made_by_hand(self, op: Any, operands: Sequence[Any]) -> None:
        """Refuse a node with a `_backward` of the user's own that is made from a recorded value."""
        self._refuse_traced(operands)

    def new_node(self, kind: Any, a: Any, b: Any) -> Any:
        """Raise TypeError if a node is computed from a recorded value in this thread; otherwise return a new node.

        The recordings note the address of the new node. If a recorded function uses it, this is an error.
        """
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


def _has_led_to(first: Exception, error: BaseException | None) -> bool:
    """Return whether `error` is the error `first`, or was raised while `first` was handled."""
    while error and error is not first:
        error = error.__cause__ or error.__context__
    return error is first


OTHER_THREADS = OtherThreads()
_NO_HOOKS = {name: getattr(Hooks(), name) for name in vars(Hooks) if name in vars(RecordingHooks) and name[0] != "_"}


def _refuse_changed_flag(x: Value) -> NoReturn:
    error = TypeError(
        f"{user_location()}: requires_grad of {describe(x)} changes while the function is recorded; write .detach() "
        "where no gradient is to flow to it"
    )
    raise remembered(error)


def _frozen_since(nodes: Iterable[Value]) -> Iterator[Value]:
    """Yield the leaves that require no gradient now, but did when they became operands of one of `nodes`.

    Such a node has kept a partial derivative for the leaf. An n-ary operation may compute partial derivatives for its
    constants, too, so nodes of n-ary operations are left out.
    """
    for node in nodes:
        for x, derivative in ((node._a, node._da), (node._b, node._db)):
            if derivative is not None and isinstance(x, Value) and x.op is None and not x.requires_grad:
                yield x


def _any_made_since(marker: object, addresses: Container[int]) -> bool:
    """Return whether an object that was made after `marker` has one of some addresses.

    The result is right only if the garbage collector has not run since then: until it runs, its youngest generation has
    the objects in the order in which they were made.

    >>> _ = gc.collect()  # so the collector does not run soon
    >>> x, marker, y = Value(1), [], Value(2)
    >>> _any_made_since(marker, {id(x)}), _any_made_since(marker, {id(x), id(y)})
    (False, True)
    """
    for x in reversed(gc.get_objects(generation=0)):
        if x is marker:
            break
        if id(x) in addresses:
            return True
    return False


def _overrides_operators(kind: type) -> bool:
    return issubclass(kind, Value) and any(getattr(kind, name) is not getattr(Value, name) for name in OPERATORS)
