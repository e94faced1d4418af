"""Define `Guard`, a comparison that must have its recorded outcome, and `CompiledGuards`, which checks guards.

A program computes what the function did for the sample that was recorded. For another sample, a comparison may have
another outcome, and the function may take another branch. So each comparison is checked for every sample. A compiled
function does this itself, and finds the program of the branch that the sample takes. A program that is used without its
function checks its own guards, and raises `GuardError`. The numbers in a sample's arguments, one after the other, are
called a row.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence
from math import nan
from typing import Any, NamedTuple, NoReturn

from ..engine import Value, traverse
from ..graph import context
from ..graph.context import recording
from ..ops import dot, less, where
from .data.captured import with_kept_constants
from .data.columns import MAX_NUMBERS, Numbers, address, flat
from .data.partition import split_by_outcome
from .data.rows import row_numbers
from .runtime.executable import CompiledGraph
from .runtime.prepared import PreparedRunner, prepare_outputs
from .threads.forks import cached_property

MANY_ROWS = 128  # for this many rows or more, a program that computes one number for all guards is worthwhile
_one = array("d", [1.0])


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
    micrograd_cn.compiler.guards.GuardError: size, sample 0: <doctest ...>, line 3: x > 0 does not hold, ...
    """


class Guard(NamedTuple):
    """A comparison that was made while a function was recorded. It must have the same outcome for other samples.

    Attributes:
        node: a node whose value is 1.0 if the comparison holds and 0.0 if not.
        held: whether the comparison held for the recorded sample.
        location: the file and line of the comparison in the user's code.
        text: the comparison as text, for messages.
        canonical: the same text, except that it is "b < a" for "a > b". It is compared with that of other guards.
    """

    node: Value
    held: bool
    location: str
    text: str
    canonical: str

    @property
    def outcome(self) -> tuple[bool, str, str]:
        """Three things: whether the comparison held, the file and line where it is made, and its text.

        Guards of different recordings are the same if their outcomes are equal. The text of a > b is "b < a", since
        Python may call either method: if the class of b is a subclass of the class of a, it calls b.__lt__(a) for a >
        b.
        """
        return self.held, self.location, self.canonical

    @property
    def is_equality(self) -> bool:
        """Whether the comparison is == of two values, rather than `x == x`, which asks whether x is nan."""
        return self._is_equal and not self.asks_for_nan

    @property
    def asks_for_nan(self) -> bool:
        """Whether the comparison is `x == x`, which is False only if x is nan."""
        return self._is_equal and self.node.operands[0] is self.node.operands[1]

    @property
    def _is_equal(self) -> bool:
        return self.node.op is not None and self.node.op.lowerings.array == "=="


class CompiledGuards:
    """The guards of a recorded function, with code that computes their comparisons for rows of numbers.

    A guard is broken if it has another outcome for a row than for the recorded sample. The code computes all guards,
    even after a broken one. This is harmless, since comparisons are true or false for any numbers, nan included.

    Args:
        name: the name of the function, for messages.
        guards: the guards of one recording, in the order of its comparisons.
        inputs: the leaves that stand for the numbers of a row.
        parameters: leaves that come first among the parameters of `compiled`, as for `CompiledGraph`.

    Attributes:
        name: the name of the function, for messages.
        guards: the guards of the recording.
        expected: for each guard, 1.0 if it held for the recorded sample, and 0.0 if not.
        compiled: the compiled graph that computes the comparisons; None if there are no guards.
        parameter_free: whether the guards depend on no parameter, so their outcomes for a row never change.
    """

    compiled: CompiledGraph | None = None

    def __init__(
        self, name: str, guards: Sequence[Guard], inputs: Sequence[Value], parameters: Sequence[Value]
    ) -> None:
        self.name, self.guards = name, guards
        nodes = [guard.node for guard in guards]
        if guards:
            self.compiled = CompiledGraph(nodes, [*inputs], parameters)
            self._outcomes_of = PreparedRunner(self.compiled)
        self.parameter_free = all(leaf in set(inputs) or not leaf.requires_grad for leaf in traverse(*nodes)[1])
        self.expected = array("d", [float(guard.held) for guard in guards])
        self._held_for = b""  # the numbers of the rows for which all guards had their recorded outcome; see `_key`

    def hold(self, numbers: Any) -> bool:
        """Return whether all guards have their recorded outcome for the row with these numbers."""
        return self.compiled is None or self._outcomes_of(numbers) == self.expected

    def split(
        self, numbers: Any, index: array[int], threads: int = 1, parameters: int = 0
    ) -> tuple[array[int], array[int]]:
        """Return the indices of those rows of `index` for which all guards have their recorded outcome, and the others.

        Args:
            numbers: the numbers of all rows, one row after the other.
            index: the indices of the rows to check.
            threads: how many threads compute.
            parameters: the address of the parameters' current values while `fit` trains them; 0 if these are the data
                of the `Value`s.
        """
        if self.compiled is None or not index:
            return index, array("q")
        if self._held_for and self._key(numbers, index) == self._held_for:
            return index, array("q")
        compiled, expected = self.compiled, self.expected
        if len(self.guards) > 1 and len(index) >= MANY_ROWS:
            compiled, expected = self._holds, _one
        outcomes = compiled.outputs_of(numbers, index, threads, parameters)
        holding, others = split_by_outcome(index, outcomes, expected)
        if not others and (key := self._key(numbers, index)):
            self._held_for = key
        return holding, others

    def _key(self, numbers: Any, index: array[int]) -> bytes:
        """Return the numbers of all rows as a key, by which `split` notes that all guards hold for these rows.

        Several calls of `fit` may get the same rows. Return b"" if `split` shall not note this: if `index` does not
        have all rows in order, if there are many numbers or none, if the guards depend on parameters, whose data may
        change, or inside a block such as `detect_anomaly()`, in which each call has to compute the comparisons.
        """
        if context.active or not self.parameter_free or not 0 < len(numbers) <= MAX_NUMBERS or not self.compiled:
            return b""
        is_whole = len(index) * len(self.compiled.graph.inputs) == len(numbers) and index is row_numbers(len(index))
        return bytes(flat(numbers)) if is_whole else b""

    @cached_property
    def _holds(self) -> CompiledGraph:
        """A graph whose only output is 1.0 if all guards have their recorded outcome, and 0.0 if one has not.

        It adds up how many guards are broken. A guard is broken if it has another outcome than recorded.
        """
        assert self.compiled
        self.compiled.check_operations()
        graph = self.compiled.graph
        kept = with_kept_constants([guard.node for guard in self.guards], graph.constants)
        with recording():
            broken = dot([-1.0 if guard.held else 1.0 for guard in self.guards], kept)
            made = CompiledGraph([less(broken, 0.5 - sum(self.expected))], [*graph.inputs], graph.parameters)
        made.data.watch_as(self.compiled.data)
        return made

    def first_broken(self, numbers: Any) -> Guard:
        """Return the first guard that has another outcome than recorded for the row with these numbers.

        Return the last guard if none has another outcome. This happens if rounding decides a comparison: the code
        that found a broken guard may round differently from the code that this method runs.
        """
        pairs = zip(self.guards, self._outcomes_of(numbers), strict=True)
        return next((guard for guard, x in pairs if x != float(guard.held)), self.guards[-1])

    # What a program with these guards does

    def check(self, numbers: Numbers, n: int) -> None:
        """Raise `GuardError` if one of `n` rows breaks a guard: the function takes another branch for such a row.

        `numbers` has the numbers of the rows, one row after the other.
        """
        _, broken = self.split(numbers, row_numbers(n))
        if broken:
            assert self.compiled
            row, width = broken[0], len(self.compiled.graph.inputs)
            guard = self.first_broken(array("d", numbers[row * width : (row + 1) * width]))
            raise_guard_error(self.name, f"row {row}", guard)

    def checked_row(self, run: Callable[[Numbers], array[float]], numbers: Numbers) -> array[float]:
        """Return `run(numbers)`, which computes one row. Raise `GuardError` if a guard is broken in the row."""
        if not self.hold(numbers):
            self.check(numbers, 1)
        return run(numbers)

    def checked_call(self, run: Callable[[], Any], numbers: Numbers, n: int) -> Callable[[], Any]:
        """Return a function that checks the guards for the `n` rows in `numbers`, and then returns `run()`.

        Each call reads the rows that are in `numbers` at that time. It raises `GuardError` if one of them breaks a
        guard.
        """
        assert self.compiled
        found, expected = array("d", bytes(8 * n * len(self.guards))), self.expected * n
        compare = prepare_outputs(self.compiled, numbers, n, address(found), found)

        def checked() -> Any:
            compare()
            if found != expected:
                self.check(numbers, n)
            return run()

        return checked

    def nan_where_broken(self, outputs: Sequence[Value]) -> list[Any]:
        """Return `outputs` times a new node that is 1, or nan if a guard is broken.

        Then the outputs of a row that breaks a guard are nan, and so are their derivatives.
        """
        factor: Any = 1.0
        with recording():
            for guard in self.guards:
                factor = where(guard.node, *((factor, nan) if guard.held else (nan, factor)))
            return [factor * y for y in outputs]

    def commented(self, text: str, language: str, checks: bool) -> str:
        """Return the text of a program in a language, with a comment that says which comparisons the text assumes.

        `checks` says whether the text checks them, so results are nan where they do not hold.

        >>> from micrograd_cn.compiler import compile
        >>> size = compile(lambda x: x if x > 0 else -x)
        >>> size(2.0)
        2.0
        >>> print(size.source("python"))  # doctest: +ELLIPSIS
        # One branch of <lambda>, for which the following comparisons hold. Otherwise the results are nan.
        #     x > 0 (<doctest ...>, line 1)
        def f(xp, parameters, inputs):
            ...
        """
        otherwise = "Otherwise the results are nan." if checks else "They are not checked."
        lines = [f"One branch of {self.name}, for which the following comparisons hold. {otherwise}"]
        for guard in self.guards:
            location = re.split(r"[\\/]", guard.location)[-1]  # without folders, which are those of this machine
            lines.append(f"    {'' if guard.held else 'not '}{guard.text} ({location})")
        lines = [" ".join(line.splitlines()) for line in lines]
        if language == "c":
            comment = "\n".join([line.replace("*/", "* /").replace("/*", "/ *") for line in lines])
            return text.replace("/*\n", f"/*\n{comment}\n\n", 1)
        mark = "#" if language == "python" else ";"
        return "".join([f"{mark} {line}\n" for line in lines]) + text


def raise_guard_error(name: str, sample: str, guard: Guard) -> NoReturn:
    """Raise `GuardError`, since the function `name` takes another branch for `sample`, such as "row 2".

    The comparison of `guard` has another outcome for this sample than for the sample that was recorded.
    """
    if guard.asks_for_nan:
        x = guard.text.partition(" == ")[0]
        now, recorded = ("is nan", "was not") if guard.held else ("is not nan", "was")
        raise GuardError(
            f"{name}, {sample}: {guard.location}: {x} {now}, but {recorded} in the sample that was recorded; write "
            f"where(equal(a, a), x, y) instead of a branch, or compile({name}, branches=True)"
        )
    condition = "equal(a, b)" if guard.is_equality else "less(a, b)"
    raise GuardError(
        f"{name}, {sample}: {guard.location}: {guard.text} "
        f"{'does not hold, but held' if guard.held else 'holds, but did not'} in the sample that was recorded; "
        f"write where({condition}, x, y) instead of a branch, or compile({name}, branches=True)"
    )
