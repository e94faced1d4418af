"""Record a function for rows of numbers, and find out whether a program can do what the function does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import is_
from typing import Any

from ...engine import Value
from ...graph.nan_to_num import refuse_nan_to_num
from ..data.captured import CapturedValue
from ..data.samples import Bucket
from ..data.treedef import objects_in
from ..surroundings.reach import Reach
from ..surroundings.reachable_code import ReachableCode
from ..surroundings.snapshot import Snapshot
from ..surroundings.surroundings import Surroundings
from .arguments import Arguments
from .caught import CatchingHooks, in_arrays
from .hooks import RecordingHooks
from .recording import Recording
from .reruns import Reruns
from .traced import Traced


class Recorder:
    """Record a function for samples, each of which is a row of numbers.

    A captured value was computed before the function was called. In all recordings, the same leaf stands for it.

    Args:
        arguments: the function and its arguments.

    Attributes:
        captured: a dict from captured values to the leaves that stand for them.
    """

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self.captured: dict[Value, CapturedValue] = {}
        # Whether the function may catch an error of an operator, and whether it may have numpy raise one
        self._catches = self._uses_errstate = False
        self._makes_cycles = False  # whether it may make leaves, and reference cycles that hold them
        self._names_nan_to_num = False  # whether it may call `np.nan_to_num`
        # The `roots` of the last call of `_snapshot`, and its result
        self._before: tuple[Sequence[Any], Snapshot | None] = (), None

    def record(self, bucket: Bucket, row: int, plain: bool = False, hides_numbers: bool = False) -> Recording:
        """Return a new recording (the graph of a call) for one sample, which is a row of `bucket`.

        If `plain` is set, the function gets plain `Value`s, whose numbers it can read and whose type is `Value`. If
        `hides_numbers` is set, strings made of parameters hide their numbers, unless they go to a log.
        """
        call: Callable[..., Any] = partial(self._arguments.call, bucket.static)
        numbers = bucket.row(row)
        if self._names_nan_to_num:
            call = partial(refuse_nan_to_num, call)
        kind: type[Value] = Value if plain else Traced
        hooks = RecordingHooks(kind, hides_numbers)
        if self._catches:
            inside = [x for _, part in bucket.treedef for x in in_arrays(part)]
            hooks = CatchingHooks(kind, hides_numbers, inside, self._uses_errstate)
        hooks.makes_cycles = self._makes_cycles
        return Recording(self._arguments.name, call, bucket.treedef, numbers, self.captured, hooks)

    def record_repeatable(self, bucket: Bucket, row: int) -> tuple[Recording, bool]:
        """Return a recording for a row, and whether a second recording was compared with it.

        The function is recorded a second time if it may do something else in each call, or has changed something. If it
        has made strings of parameters, other than for `print` and `logging`, it is also recorded with `HIDDEN` in place
        of the numbers in these strings; such a recording does not count as the second one. If the function may tell a
        `Value` from a number, or compares objects, it is also called with numbers. A warning says whether it computes
        something else for them.

        Raises:
            TypeError: the recordings differ, or the function raises an error when it is recorded again; or the function
                computes something else for numbers, and catches an arithmetic error that they raise.
        """
        roots = (self._arguments.function, *objects_in(bucket.static, bucket.treedef))
        code = self._code_of(roots)
        is_twice = code.may_change or code.has_iterators or code.asks_for_types
        before = _Before(roots, None if code.writes or is_twice else self._snapshot(roots, code))
        made = self.record(bucket, row)
        if before.has_changed():
            is_twice = code.writes = True
        made.code, made.snapshot = code, before.snapshot
        call = partial(self._arguments.call, bucket.static)
        reruns = Reruns(made, code, bucket, row, roots, before.leaves, self.record, call)
        if is_twice:
            reruns.refuse_difference()
        if made.refused_text:
            reruns.refuse_text(made.refused_text)
        if is_twice or made.refused_text:
            reruns.warn_of_changes()
        made.unsure = reruns.warn_if_numbers_differ()
        return made, is_twice

    def compare_numbers(self, made: Recording, bucket: Bucket, row: int) -> None:
        """Warn if the function computes something else for the numbers of a further sample than for `Value`s.

        `made` is a recording that may be used for this sample, which is a row of a bucket. Its `unsure` is 0 afterwards
        if there was a warning, and otherwise lower by 1.
        """
        roots = (self._arguments.function, *objects_in(bucket.static, bucket.treedef))
        call = partial(self._arguments.call, bucket.static)
        reruns = Reruns(made, ReachableCode(roots), bucket, row, roots, None, self.record, call)
        made.unsure = 0 if reruns.warn_if_sample_differs() else made.unsure - 1

    def _code_of(self, roots: Sequence[Any]) -> ReachableCode:
        """Return the code that the function may run, and note facts about it that decide how to record the function."""
        code = ReachableCode(roots)
        names = code.names
        self._catches |= code.catches
        self._makes_cycles |= code.makes_cycles
        self._names_nan_to_num |= "nan_to_num" in names
        self._uses_errstate |= not names.isdisjoint(("errstate", "seterr"))
        return code

    def _snapshot(self, roots: Sequence[Any], code: ReachableCode) -> Snapshot:
        """Return a snapshot of what the function can read, starting from `roots`: itself and objects in its arguments.

        If the last call was for the same `roots`, and nothing has changed since, return the same snapshot again. `code`
        is the code that the function may run.
        """
        before, known = self._before
        if not (known and len(before) == len(roots) and all(map(is_, before, roots)) and not known.has_changed()):
            known = Reach(roots, code).surroundings.snapshot()
            self._before = roots, known
        return known


class _Before:
    """What a function could read before it was recorded, kept to find out whether recording has changed it.

    If a snapshot is given, only the snapshot is kept, and otherwise the contents of all that the function can read.

    Attributes:
        snapshot: the snapshot that was given. It is None if there was none, if it leaves something out, and once
            `has_changed` has found a change.
        leaves: the leaves that the function could read. If a snapshot was given, they are None until `has_changed`
            finds a change.
    """

    def __init__(self, roots: Sequence[Any], snapshot: Snapshot | None) -> None:
        self.snapshot = self._seen = snapshot
        self.leaves: set[Value] | None = None
        if snapshot:
            if snapshot.leaves_out:
                self.snapshot = None
        else:
            around = Surroundings(roots)
            self._contents, self.leaves = around.contents(), {*around.leaves}

    def has_changed(self) -> bool:
        """Return whether the function has changed an object or variable outside of it.

        Its code may not show this: `y = outside; y += 1` changes `outside` if it is an array.
        """
        if not (seen := self._seen):
            return self._contents.has_changed()
        if seen.has_changed():
            self.snapshot, self.leaves = None, {*seen.leaves}
            return True
        return False
