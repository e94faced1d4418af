"""Call a recorded function again, to find out whether a program can replace it.

A function that draws random numbers, for example, is recorded again for the same sample, and refused since the two
recordings differ. A function that asks for the type of an argument is called with the plain numbers of the sample and
of a few others. A warning says if it computes something else for them. What the function changes meanwhile is put back.
"""

from __future__ import annotations

import copy
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import count
from typing import Any, NamedTuple

from ...engine import Value
from ...graph.callers import warn_at_user
from ...graph.context import recording
from ...parameters.tree import flatten
from ..data.samples import Bucket
from ..data.treedef import TreeDef, has_tensors, plain_argument, unflatten
from ..surroundings.objects import progress_of
from ..surroundings.reachable_code import ReachableCode
from ..surroundings.surroundings import Surroundings
from .caught import in_arrays
from .number_calls import SHOWN, Difference, difference, has_bools, results_from
from .recording import Recording

MAX_OTHER_ROWS = 3  # for how many further samples a function is called that may tell a `Value` from a number
ROUNDING = 1e-9, 1e-12  # the relative and the absolute tolerance of results and derivatives
LOW_PRECISION = 1e-2, 1e-5  # tolerances for numbers such as those of float16, in whose place a program has doubles
ASKS_FOR_KINDS = (
    "It may ask what an argument is, by isinstance, type, hasattr or dtype, by its text, or by an error that it "
    "catches: write isinstance(x, (int, float, Value)), so it does the same for both"
)
COMPARES_IDENTITY = (
    "It compares objects by `is` or `id`, but where numpy returns an element, as from q.max() or np.where, a compiled "
    "function has a new Value: write k = np.argmax(q), and compare indices"
)
DIFFERENTIATES_BOOLS = (
    "It is a derivative, which is 0 with respect to a bool: pass bools in another argument than the one that is "
    "differentiated, or write 1.0 * x for numbers"
)
INSTEAD_OF_HANDLER = (
    "Write the operation in the place of the function that raises the error, or let the handler compute the same with "
    "operations"
)
INSTEAD_OF_BOOLS = (
    "It asks whether an argument is True or False, by `is`, `match`, isinstance or type, which no Value is: write "
    "where(flag, a, b), or compile(f, static=['flag']) for a program for each of the two"
)
INSTEAD_OF_KINDS = (
    "A compiled function gets Values in the place of numbers of any class, and its arrays have the dtype object: "
    "convert the numbers before the call, or pass the choice as a static argument"
)
INSTEAD_OF_CATCHING = (
    "write where(equal(y, 0.0), a, div(x, y)) for an a in the place of x / 0, and where(less(abs(x), 1e100), "
    "pow(x, y), a) for an a in the place of x ** y that overflows, with functions of micrograd_cn"
)


class Reruns:
    """Further calls of a recorded function. The methods compare what it does in them with its recording.

    Args:
        made: the recording.
        code: the code that the function may run.
        bucket, row: a bucket, and the index of one of its rows. This row is the sample for which the function was
            recorded, except for `warn_if_sample_differs`.
        roots: the function, and the objects in its arguments. Everything that the function can read is found from
            these.
        known: the leaves that the function could read before it was recorded; None if these are the leaves that it can
            read now, since it changes nothing.
        record: `record(bucket, row, plain, hides_numbers)` records the function; see `Recorder.record`.
        call: a function that takes a dict of arguments, and calls the function with them.
    """

    def __init__(
        self,
        made: Recording,
        code: ReachableCode,
        bucket: Bucket,
        row: int,
        roots: Sequence[Any],
        known: set[Value] | None,
        record: Callable[..., Recording],
        call: Callable[[dict[str, Any]], Any],
    ) -> None:
        self._made, self._code, self._bucket, self._row = made, code, bucket, row
        self._roots, self._known, self._record, self._call = roots, known, record, call
        # The names of numbers and texts that the function reads and changes in each call, and the names of variables,
        # attributes and collections in which it keeps a `Value` that it computes
        self._changed: tuple[Sequence[str], Sequence[str]] = (), ()

    # The function is recorded again

    def refuse_difference(self) -> None:
        """Record the function again with plain `Value`s, and compare the two recordings.

        Call this if the function may do something else in each call.

        Raises:
            TypeError: the recordings differ, or the function raises an error.
        """
        text, cause = self._difference()
        if text:
            raise TypeError(
                f"{self._made.name} does not do the same in each call: of two recordings for the same arguments, "
                f"{text}. Pass whatever changes from call to call, such as random numbers, a time or a count, as "
                "an argument; compute a Value anew in each call, without a cache such as functools.cached_property; "
                "and write isinstance(x, Value) for type(x) is Value"
            ) from cause

    def refuse_text(self, refused: TypeError) -> None:
        """Record the function again, with strings of parameters, such as `str(w)`, that do not show the numbers.

        Call this if the function has made such strings.

        Raises:
            TypeError: the two recordings differ, so they depend on the number in a string, which may be another one in
                the next call. The error that is raised is `refused`.
        """
        text, cause = self._difference(hides_numbers=True)
        if text:
            raise refused from cause

    def _difference(self, hides_numbers: bool = False) -> tuple[str, Exception | None]:
        """Record the function again. Return a string that says how the two recordings differ, and an error.

        The string is "" if they do not differ. The error is the one that the function has raised when it was recorded
        again; None if it has raised none. If `hides_numbers` is set, text that the function makes of a parameter p, as
        by `str(p)`, does not have the number of p this time.
        """
        made, around = self._made, Surroundings(self._roots)
        known = {*around.leaves} if self._known is None else self._known
        generators, progress = around.generator_states(), [*map(progress_of, around.iterators)]
        with around.restored() as before:
            try:
                again = self._record(self._bucket, self._row, True, hides_numbers)
            except Exception as error:  # whatever the function raises, since the first recording raised nothing
                return f"one of them raises {type(error).__name__}: {error}", error
            text = made.difference(again, known)
            moved = [x for x, place in zip(around.iterators, progress, strict=True) if progress_of(x) != place]
            counts = [x for x in moved if type(x) is count]
            self._changed = before.numbers_read_and_changed(counts), before.values_kept()
        if not text and len(moved) > len(counts):
            text = "each takes an item from an iterator or a file, which a program would not do again"
        elif not text and around.generator_states() != generators:
            text = "each draws random numbers, which a program would not draw again"
        elif not text:
            made.note_repeated(again)
        return text, None

    def warn_of_changes(self) -> None:
        """Warn of what the function has changed when it was recorded again, since its program will not change it."""
        counted, kept = self._changed
        if counted:
            warn_at_user(
                f"{self._made.name} reads and changes {', '.join(counted)} in each call. The compiled "
                "function does so only when it is recorded, and goes on computing what it has recorded. If its result "
                "depends on what changes, pass that as an argument, and change it outside of the function"
            )
        if kept:
            warn_at_user(
                f"{self._made.name} keeps a Value that it computes in {', '.join(kept)}. The compiled "
                "function does so only when it is recorded, so the Value has the number of one sample ever after. To "
                "look at it, or to go on from it in the next call, return it beside the result, as in return loss, h"
            )

    # The function is called with numbers

    def warn_if_numbers_differ(self) -> int:
        """Warn if the function may tell a `Value` from a number, and computes something else for numbers.

        There is no warning if it runs other code for numbers that gives the same results and derivatives, as in `try:
        math.exp(x)`, `except TypeError: x.exp()`. Nor is there one if it raises an error for numbers, since it was then
        written for `Value`s. If it may tell a `Value` from a number, it is also called for a few further samples, since
        it may compare a number with another one, as in `isinstance(x, float) and x > 1`.

        Return for how many further samples, in later calls, the caller has to call `warn_if_sample_differs`.

        Raises:
            TypeError: the function computes something else for numbers, and has caught an arithmetic error.
        """
        asked = self._asked()
        if not (asked or self._made.caught):
            return 0
        tried = self._numbers_to_try(asked)
        return 0 if self._differs(tried, asked) else max(0, MAX_OTHER_ROWS + 1 - len(self._bucket.samples))

    def warn_if_sample_differs(self) -> bool:
        """Warn if the function computes something else for the numbers of this sample than for `Value`s.

        The sample is `row` of `bucket`, and not the one for which the function was recorded. Return whether there was a
        warning.

        Raises:
            TypeError: as for `warn_if_numbers_differ`.
        """
        asked = self._asked()
        return self._differs(self._of_sample(self._bucket.row(self._row), asked), asked)

    def _differs(self, tried: Iterable[_Numbers], asked: str) -> bool:
        """Return whether the function computes something else for some numbers than for `Value`s, and warn if so.

        `asked` says by which code the function may tell a `Value` from a number, for the warning.
        """
        with Surroundings(self._roots).restored(), recording():
            parameters = self._made.trainable_leaves()
            for numbers in tried:
                found = results_from(partial(self._call, numbers.arguments))
                if found is not None and (results := numbers.results()):
                    tolerances = LOW_PRECISION if numbers.as_given else ROUNDING
                    other = difference(found, results, () if numbers.recorded else parameters, *tolerances)
                    if other and numbers.recorded:  # the program may not be used for this sample
                        results = numbers.recorded()
                        other = difference(found, results, parameters, *tolerances) if results else None
                    if other:
                        self._warn_of_difference(numbers, other, asked)
                        return True
        return False

    def _asked(self) -> str:
        """Return a string that says how the function may tell a `Value` from a number, and what to write instead.

        The string is "" if the function cannot tell them apart.
        """
        made, code = self._made, self._code
        if made.asked:
            return made.asked
        if code.asks_for_kinds or made.refused_text:
            return ASKS_FOR_KINDS
        if code.compares_identity:
            return COMPARES_IDENTITY
        # The function gets an array in the place of a tensor, and no hook is called if it asks for an array's class
        asks = not code.names.isdisjoint(("isinstance", "is_tensor"))
        if asks and any(has_tensors(x) for _, x in self._bucket.treedef):
            return ASKS_FOR_KINDS
        given = self._given if made.differentiated_inputs else None
        return DIFFERENTIATES_BOOLS if given and has_bools(given) else ""

    @property
    def _given(self) -> Callable[[], dict[str, Any]] | None:
        """A function that returns the arguments as the user gave them; None if they are not known."""
        bucket = self._bucket
        return partial(bucket.given, bucket.samples[self._row]) if bucket.given else None

    def _numbers_to_try(self, asked: str) -> list[_Numbers]:
        """Return the numbers for which to call the function.

        These are the recorded sample's numbers as floats. Its integers are also passed as integers if the function
        needs integers or may ask for them. If some numbers are 0 or 1, and the function may ask for bools or compare
        objects, True and False are passed in their places. If some of the arguments are of another class or dtype, such
        as arrays of uint8, copies of them are passed. The numbers of a few further samples are passed as floats and
        integers.

        `asked` says by which code the function may tell a `Value` from a number, such as `isinstance`; it is "" if by
        none.
        """
        made, code, bucket = self._made, self._code, self._bucket
        numbers = bucket.row(self._row)
        found = self._with_integers(numbers, "this sample", asked, lambda: made.outputs)
        if asked and (code.asks_for_bools or code.compares_identity):
            found += self._with_bools(numbers, (None, True, False) if code.asks_for_bools else (None,))
        if asked and (given := self._given):
            found += self._as_given(given)
        for row in self._other_rows():
            found += self._of_sample(bucket.row(row), asked)
        if made.refused_text:  # it may do something else for a text with a minus sign
            found += self._of_sample([-x for x in numbers], asked)
        return found

    def _other_rows(self) -> list[int]:
        """Return the indices of a few samples that are spread over the bucket, without the sample that was recorded."""
        last = len(self._bucket.samples) - 1
        return sorted({last * k // MAX_OTHER_ROWS for k in range(MAX_OTHER_ROWS + 1)} - {self._row})[-MAX_OTHER_ROWS:]

    def _of_sample(self, numbers: Sequence[float], asked: str) -> list[_Numbers]:
        """Return the numbers of a sample other than the recorded one, as floats and as integers, to call the function.

        The function's results for these numbers are compared with those for `Value`s. Usually, plain `Value`s are
        passed for this, which is faster than a recording. Only if the results differ, the function is recorded for the
        sample, to be sure. But if the recording depends on the text of a `Value`, the function is recorded at once,
        since the text of a plain `Value` shows its number, and that of a recorded one does not. `asked` is as for
        `_with_integers`.
        """

        @cache
        def recorded() -> Sequence[Any]:
            bucket = self._bucket
            sample = Bucket(bucket.treedef, bucket.static, array("d", numbers), bucket.width, [0])
            try:
                again = self._record(sample, 0)
            except Exception:  # the function may raise anything for other numbers; a call with them raises it again
                return []
            return again.outputs if again.outcomes == self._made.outcomes else []  # else it is of another branch

        of = f"another sample, {SHOWN.repr([*numbers])}"
        if self._made.refused_text:
            return self._with_integers(numbers, of, asked, recorded)
        arguments = self._values_of(numbers)
        results = cache(partial(self._results_for, arguments))  # this is faster than a recording
        return [x._replace(recorded=recorded) for x in self._with_integers(numbers, of, asked, results)]

    def _values_of(self, numbers: Sequence[Any]) -> dict[str, Any]:
        """Return arguments with `Value`s in place of numbers."""
        values = iter([Value(x) for x in numbers])
        return {name: unflatten(part, values) for name, part in self._bucket.treedef}

    def _with_integers(
        self, numbers: Sequence[float], of: str, asked: str, results: Callable[[], Sequence[Any]]
    ) -> list[_Numbers]:
        """Return one or two versions of `numbers`: all of them as floats, and whole numbers among them as integers.

        The first version is left out if the function needs integers, as indices. The second one is left out unless the
        function needs integers, or some number is whole and the function may ask for the type of a number. `asked` says
        by which code the function may tell a `Value` from a number; it is "" if by none. `of` says which numbers they
        are, and `results` returns the results for `Value`s in their place.
        """
        integers = [int(x) if x.is_integer() else x for x in numbers]
        needs_integers = "as an index" in self._made.caught
        found = [] if needs_integers else [self._numbers(numbers, of, results)]
        if needs_integers or (asked and any(type(x) is int for x in integers)):
            found.append(self._numbers(integers, f"{of}, as integers", results))
        return found

    def _numbers(self, numbers: Sequence[Any], of: str, results: Callable[[], Sequence[Any]]) -> _Numbers:
        values = iter(numbers)
        arguments = {name: plain_argument(unflatten(part, values)) for name, part in self._bucket.treedef}
        return _Numbers(arguments, of, results, has_bools=any(type(x) is bool for x in numbers))

    def _with_bools(self, numbers: Sequence[float], flags: Sequence[bool | None]) -> Iterator[_Numbers]:
        """Yield the numbers with bools in the places of those that are 0 or 1 and not in an array, for each of `flags`.

        A flag is True or False, which is then put in all these places, or None, which puts True for 1 and False for 0.
        True and False are tried since a program is used for samples with other bools, too. A number with respect to
        which the function computes a derivative stays a number, since a derivative with respect to a bool is 0.
        """
        treedef: TreeDef = self._bucket.treedef
        inside = [x for _, part in treedef for x in in_arrays(part)]
        left_out = self._made.differentiated_inputs
        places = [k for k, x in enumerate(numbers) if x in (0.0, 1.0) and not inside[k] and k not in left_out]
        for flag in flags if places else ():
            given, results = [*numbers], lambda: self._made.outputs
            for k in places:
                given[k] = bool(numbers[k]) if flag is None else flag
            if flag is not None:
                results = partial(self._results_for, self._values_of(given))
            of = "this sample, as bools" if flag is None else f"this sample, with {flag}"
            yield self._numbers(given, of, results)

    def _results_for(self, arguments: dict[str, Any]) -> Sequence[Any]:
        """Return the results of the function for some arguments; an empty list if it raises an error."""
        return results_from(partial(self._call, arguments)) or []

    def _as_given(self, given: Callable[[], dict[str, Any]]) -> list[_Numbers]:
        """Return a list with a copy of the user's own arguments, or [] if all of their numbers are floats or ints.

        The numbers in the copy keep their types, such as numpy's float32. The list is empty, too, if the arguments
        cannot be copied, or read once more.
        """
        try:
            arguments = copy.deepcopy(given())
            leaves = [x for _, x in flatten(arguments, arrays=False)[0] if type(x) not in (float, int)]
        except Exception:  # the user's classes may raise anything
            return []
        others = sorted({f"{getattr(x, 'dtype', type(x).__name__)}" for x in leaves} - {"float64"})
        of = f"this sample as they are, {', '.join(others)}"
        return [_Numbers(arguments, of, lambda: self._made.outputs, as_given=True)] if others else []

    def _warn_of_difference(self, numbers: _Numbers, other: Difference, asked: str) -> None:
        """Warn that the function computes something else for `numbers` than for `Value`s with these numbers.

        `other` has both results. `asked` says by which code the function may tell a `Value` from a number.

        Raises:
            TypeError: the results differ because the function catches an arithmetic error, such as ZeroDivisionError,
                that operators raise for numbers, but not for `Value`s.
        """
        made = self._made
        if made.raised:
            raise TypeError(
                f"{made.name} computes {other.for_numbers} for the numbers of {numbers.of}, instead of "
                f"{other.for_values}, which the program would give. "
                f"At {made.raised}, which the code catches, while a Value gives inf or nan; {INSTEAD_OF_CATCHING}"
            )
        does = "has caught an error of its recording, and computes" if made.caught else "computes"
        why = f"{made.caught}. {INSTEAD_OF_HANDLER}" if made.caught else asked
        if numbers.as_given:
            why = f"{INSTEAD_OF_KINDS}. {why}"
        if numbers.has_bools:
            why = INSTEAD_OF_BOOLS
        warn_at_user(
            f"{made.name} {does} {other.for_numbers} for the numbers of {numbers.of}, instead of {other.for_values}, "
            f"which the program gives. {why}"
        )


class _Numbers(NamedTuple):
    """Numbers for a call of a function.

    Attributes:
        arguments: a dict of arguments that have the numbers.
        of: a string that says which numbers they are.
        results: a function that returns the results for `Value`s with these numbers, or [] if they are not known.
        has_bools: whether there are bools among them.
        as_given: whether they are copies of what the user has passed, such as numpy's float32, and not floats, ints and
            bools.
        recorded: None, or, if `results` calls the function with plain `Value`s for another sample than the recorded
            one, a function that records it for that sample. This returns the recorded results, or [] if the sample
            takes another branch or the function raises an error.
    """

    arguments: dict[str, Any]
    of: str
    results: Callable[[], Sequence[Any]]
    has_bools: bool = False
    as_given: bool = False
    recorded: Callable[[], Sequence[Any]] | None = None
