"""Define `RecordingStore`, which finds for each row the recording that computes it, and makes those that are missing.

A recording is the graph of one call. A function has a recording for each way in which its arguments are nested, for
each combination of static arguments, and for each branch. A row has the numbers of one sample. It is computed by the
recording that was made for the sample's nesting and static arguments, and whose comparisons all have the recorded
outcome for the row.
"""

from __future__ import annotations

import functools
import operator
import weakref
from array import array
from collections.abc import Callable, Container, Sequence
from itertools import chain
from typing import Any, TypeAlias

from ...engine import Value
from ...graph.interrupts import at_once
from ..data.samples import Bucket
from ..data.treedef import objects_in
from ..guards import raise_guard_error
from ..program import Program, Programs
from ..threads.forks import ForkSafeLock
from ..training.state import ParameterLayout
from .arguments import Arguments
from .merged import MergedRecordings
from .recorder import Recorder
from .recording import Recording

MAX_STATES = 16  # how many states of a static function, which all have the same programs, are remembered
RecordingRows: TypeAlias = "tuple[Recording, array[int]]"  # a recording, and the indices of its rows in a bucket


class Recordings(list[Recording]):
    """The recordings (graphs of calls of a function) for samples whose arguments are nested alike.

    Attributes:
        merged: an object that makes programs for all branches from these recordings; None until it is first needed.
    """

    merged: MergedRecordings | None = None
    _some: Recordings | None = None  # what `without` returned last

    def without(self, programs: Container[Program]) -> Recordings:
        """Return the recordings whose program is not in `programs`, as a `Recordings`.

        Successive calls with the same result return the same object, so its merged program is used again.
        """
        left = [recording for recording in self if recording.program not in programs]
        if len(left) == len(self):
            return self
        if self._some is None or self._some != left:
            self._some = Recordings(left)
        return self._some


class RecordingStore:
    """The recordings of a function (graphs of its calls), which are made when a sample first needs them.

    Several threads may use it at once.

    Args:
        arguments: the function and its arguments.
        recorder: records the function.
        branches: whether the function is recorded again for rows that take another branch. Otherwise such a row is an
            error.

    Attributes:
        branches: whether the function is recorded again for rows that take another branch.
        recordings: a dict from pairs, of static arguments and a treedef (how the other arguments are nested), to the
            recordings for samples that have them.
        programs: the programs of all recordings.
        parameters: the leaves that require a gradient in these programs, apart from the arguments. The list is replaced
            when a recording brings further parameters.
        layouts: a list of at most one `ParameterLayout`, which says where each of these parameters is in the arrays
            that the compiled loop of `fit` works on. It is kept so the next call of `fit` can use it again.
        when_published: a weak reference to a method, which is called with each recording that is added; None if there
            is none.
    """

    when_published: weakref.WeakMethod[Callable[[Recording], None]] | None = None

    def __init__(self, arguments: Arguments, recorder: Recorder, branches: bool) -> None:
        self._arguments, self._recorder, self.branches = arguments, recorder, branches
        self.recordings: dict[Any, Recordings] = {}
        # From the same keys to the objects in the arguments, through which the function may read something
        self._brought: dict[Any, list[Any]] = {}
        self.programs = Programs()
        self.parameters: list[Value] = []
        self.layouts: list[ParameterLayout] = []
        self._lock = ForkSafeLock()  # held while a recording is published, and never while code of the user runs
        self._turn = ForkSafeLock()  # held while the function is recorded, see `record_missing`

    def known(self, bucket: Bucket) -> Recordings | tuple[()]:
        """Return the recordings for samples that are nested as in `bucket`, and have the same static arguments."""
        return self.recordings.get((bucket.static, bucket.treedef), ())

    def dispatch(self, bucket: Bucket, rows: array[int], threads: int = 1) -> list[RecordingRows]:
        """Return the recordings for some rows of a bucket, each with the indices of the rows that it computes.

        `rows` has the indices of the rows in the bucket. Recordings that are missing are made.
        """
        found, left = self.dispatch_known(bucket, rows, threads)
        return [*found, *self.record_missing(bucket, left, threads)] if left else found

    def dispatch_known(
        self, bucket: Bucket, rows: array[int], threads: int, parameters: Callable[[], int] = lambda: 0
    ) -> tuple[list[RecordingRows], array[int]]:
        """Return the existing recordings for some rows, each with its rows, and the rows that have no recording yet.

        `parameters` returns the address of the parameters' current values while `fit` trains them, or 0 if these are
        the data of the `Value`s.
        """
        known = tuple(self.recordings.get((bucket.static, bucket.treedef), ()))
        address = parameters()  # after `known`, since another thread may bring new parameters with new recordings
        return _dispatch_among(known, bucket, rows, threads, address)

    def record_missing(self, bucket: Bucket, rows: array[int], threads: int) -> list[RecordingRows]:
        """Make recordings for rows that have none yet. Return the recordings for all rows, each with its rows.

        If several threads need a recording, one of them makes it, and the others wait and find it. If a thread has
        waited for long, several threads record the function at once, and all but the first of equal recordings are
        dropped.
        """
        return self._turn.in_turn(functools.partial(self._record_rows, bucket, rows, threads))

    def _record_rows(self, bucket: Bucket, rows: array[int], threads: int) -> list[RecordingRows]:
        """Make recordings for rows that have none yet, without waiting for other threads that record the function, too.

        Return the recordings for all rows, each with its rows.

        Raises:
            GuardError: a row takes another branch than the recorded samples, and `branches` is not set.
            RuntimeError: the function takes another branch when it is called again for the row that was just recorded.
        """
        known = self._recordings_for((bucket.static, bucket.treedef), Recordings())
        found: list[RecordingRows] = []
        tried = 0  # how many recordings, from the first in `known` on, were tried for the rows that are left
        while rows:
            if others := known[tried:]:
                more, rows = _dispatch_among(others, bucket, rows, threads)
                found += more
                tried += len(others)
                continue
            first = rows[0]
            made, is_twice = self._recorder.record_repeatable(bucket, first)
            if alike := [recording for recording in known if recording.outcomes == made.outcomes]:
                found.append((alike[0], rows[:1]))
                rows = rows[1:]  # near a tie, a program's rounding may give a comparison the other outcome
                continue
            if known and not self.branches:
                guard = known[-1].guard_broken_by(made)
                raise_guard_error(self._arguments.name, f"sample {bucket.samples[first]}", guard)
            has_states = is_twice and bool(bucket.static)
            if has_states:
                made = self._same_in_other_state(made, bucket) or made
            if self._publish(made, known, tried):  # the recording is compiled now, and is in `known`
                tried += 1
                if has_states:
                    self._publish_for_changed_values(made, bucket)
                holding, rows = self._split(made, bucket, rows, threads)
                found.append((made, holding))
        return found

    def _split(self, made: Recording, bucket: Bucket, rows: array[int], threads: int) -> tuple[array[int], array[int]]:
        """Return those of `rows` that a new recording computes, and the other ones.

        The recording was made for the first of `rows`.

        Raises:
            RuntimeError: the function takes another branch when it is called again for the first row.
        """
        holding, broken = made.guards.split(bucket.numbers, rows, threads)
        if rows[0] not in broken[:1]:
            return holding, broken
        if self._recorder.record(bucket, rows[0]).outcomes != made.outcomes:
            raise RuntimeError(
                f"{self._arguments.name} takes another branch for the sample that was just recorded; does it change a "
                "parameter?"
            )
        return rows[:1] + holding, broken[1:]

    def _publish(self, made: Recording, known: list[Recording], count: int) -> bool:
        """Compile a recording, and add it to `known`, the list of those for the same treedefs and static arguments.

        Return whether this was done. It is not done if the list has more than `count` recordings, since then another
        thread has added some, which have to be tried first.
        """
        if hasattr(made, "program"):  # the recording was compiled for another state of the static values
            with self._lock():
                if is_next := len(known) == count:
                    known.append(made)
            return is_next
        while len(known) == count:
            parameters = self.parameters
            made.compile(parameters)
            made.program.siblings = weakref.ref(self.programs)
            publish: list[Callable[[], None]] = [
                functools.partial(setattr, self, "parameters", made.program.parameters),
                functools.partial(self.programs.append, made.program),
                functools.partial(known.append, made),
            ]
            with self._lock():
                if not (self.parameters is parameters and len(known) == count):
                    continue
                at_once(map(operator.call, publish))
            if self.when_published and (method := self.when_published()):
                method(made)
            return True
        return False

    def _same_in_other_state(self, made: Recording, bucket: Bucket) -> Recording | None:
        """Return a compiled recording that equals `made`, but was made before a static value changed, or None.

        A static value may be, for example, a function that counts its calls. Its state is then another one after each
        recording. One program is used for all of these states, and only the last `MAX_STATES` states are remembered.
        """
        values = [id(x.value) for _, x in bucket.static]
        others = {
            key: list(recordings)
            for key, recordings in [*self.recordings.items()]
            if key[1] == bucket.treedef and [id(x.value) for _, x in key[0]] == values
        }
        same = next((known for known in chain.from_iterable(others.values()) if known.is_same(made)), None)
        if same is None:
            return None
        programs = {key: {known.program for known in recordings} for key, recordings in others.items()}
        for key in [*others][:-MAX_STATES]:
            found = programs.pop(key)
            if found <= set[Program]().union(*programs.values()):
                self.recordings.pop(key, None)
                self._brought.pop(key, None)
        return same

    def _publish_for_changed_values(self, made: Recording, bucket: Bucket) -> None:
        """Let later calls find a recording although the function has changed its static values.

        For example, a static value may be a function that counts its calls. The compiled function was recorded again
        with the changed values, and the two recordings did not differ. Without this method, each call would find
        another count than the call before, and would record the function anew.
        """
        static = self._arguments.static_now(bucket)
        if static != bucket.static:
            self._recordings_for((static, bucket.treedef), Recordings([made]))

    def _recordings_for(self, key: Any, new: Recordings) -> Recordings:
        """Return the recordings that are stored for `key`. If there are none, store `new` for it, and return `new`."""
        known = self.recordings.get(key)
        if known is None:
            if brought := objects_in(*key):
                self._brought[key] = brought
            known = self.recordings.setdefault(key, new)
        return known

    def objects(self) -> list[Any]:
        """Return the objects, apart from plain numbers and strings, that the function gets in the recorded samples.

        See `objects_in`.
        """
        brought = [*self._brought.values()]  # a copy, since another thread may record the function
        return [*{id(x): x for x in chain.from_iterable(brought)}.values()]

    def wrt_of(self, kind: str, wrt: Any, recording: Recording) -> Any:
        """Return the argument `wrt` for the method `kind` of the recording's program.

        Instead of "parameters", it is a list of all parameters of the function if another program of the function, for
        another branch, has parameters that this program does not have.

        Raises:
            ValueError: this list is needed, and a `Value` that was a constant when the function was recorded requires a
                gradient now.
        """
        if wrt == "parameters" and len(recording.program.parameters) < len(self.parameters):
            return recording.program.all_parameters(kind, self.parameters)
        return wrt

    def merged_of(self, known: Recordings | tuple[()]) -> MergedRecordings | None:
        """Return `known` as `MergedRecordings`; None if it is empty, or if its recordings have no guards.

        `known` has recordings for samples whose arguments are nested alike.
        """
        if not known or not known[0].guards.compiled:  # without guards there is no other recording
            return None
        if not (known.merged and known.merged.is_current(self.parameters)):
            known.merged = MergedRecordings(known, self.parameters)
        return known.merged

    def different(self) -> list[tuple[Any, Recording]]:
        """Return pairs of a key and a recording: each recording once, with the first of its keys in `recordings`.

        A recording has several keys if the function changes one of its static values.
        """
        found: dict[Program, tuple[Any, Recording]] = {}
        for key, recordings in [*self.recordings.items()]:  # a copy, since another thread may record the function
            for recording in [*recordings]:
                found.setdefault(recording.program, (key, recording))
        return [*found.values()]


def _dispatch_among(
    known: Sequence[Recording], bucket: Bucket, rows: array[int], threads: int, address: int = 0
) -> tuple[list[RecordingRows], array[int]]:
    """Find, for each of some rows, a recording in `known` whose guards hold for the row.

    A guard is a comparison that must have the same outcome as for the recorded sample. Return the recordings that were
    found, each with its rows, and the rows for which there is none. `address` is the address of the parameters' current
    values, or 0 if these are the data of the `Value`s.
    """
    found: list[RecordingRows] = []
    for recording in known:
        holding, rows = recording.guards.split(bucket.numbers, rows, threads, address)
        if holding:
            found.append((recording, holding))
        if not rows:
            break
    return found, rows
