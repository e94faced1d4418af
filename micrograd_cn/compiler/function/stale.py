"""Define `StaleCheck` and `FitCheck`, which find stale recordings: the function would be recorded otherwise now.

The function's parameters, or numbers that it reads, may have been replaced since it was recorded. To find this, the
function is recorded again, and the two recordings are compared.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from math import inf
from time import perf_counter
from typing import Any, NamedTuple

from ...engine import Value
from ...optim import Optimizer
from ..data.rows import row_numbers
from ..data.samples import Bucket
from ..program import Program
from ..surroundings.objects import are_same
from ..surroundings.reach import Reach
from ..surroundings.reachable_code import ReachableCode
from ..surroundings.snapshot import Snapshot, Watched
from ..surroundings.surroundings import OF_VALUES, Surroundings
from ..training.epochs import TrainingOptions, call
from .arguments import Arguments
from .recorder import Recorder
from .recording import Recording
from .store import RecordingRows, RecordingStore

FIRST_CHECKS = 8  # so many checks are made in the first calls, at most two in a call
# After these, the next check is made once TIMES_AS_LONG times the duration of a check has passed, or, in a call of
# another method or with other shapes than the call before, TIMES_AFTER_OTHERS times
TIMES_AS_LONG, TIMES_AFTER_OTHERS = 100, 10
MANY_IN_A_ROW = 3  # after so many calls of one method with arrays of the same shapes, a call of another one checks
MAX_WITHOUT_EFFECT = 8  # a place is no longer watched after so many changes that changed no recording
ITEMS_PER_OPERAND = 32  # to record an operand of an operation takes about as long as to compare this many items


class _Known(NamedTuple):
    """What the function can read, and the programs that were recorded or compared while it could read this.

    Attributes:
        roots: the objects through which the function finds all that it can read.
        snapshot: what the function can read.
        writes: whether the function may change some of what it can read.
        compared: the programs whose recordings have been compared with a new recording since the snapshot was made.
        current: the programs in `compared`, and those that were first recorded since then.
    """

    roots: list[Any]
    snapshot: Snapshot
    writes: bool
    compared: frozenset[Program]
    current: frozenset[Program]

    def with_compared(self, programs: Sequence[Program]) -> _Known:
        """Return a copy of this object to which programs are added whose recordings have just been compared."""
        return self._replace(compared=self.compared.union(programs), current=self.current.union(programs))


class StaleCheck:
    """Check that the recordings of a function are not stale: a new recording would be the same.

    A recording is not compared again until something that the function can read has changed. In this class, "changed"
    has only this meaning. A recording need not be stale after a change: the function may still be recorded as before.

    Args:
        arguments: the function and its arguments.
        recorder: records the function again.
        store: the recordings of the function.

    Attributes:
        name: the name of the function, for messages.
        store: the recordings of the function.
        made_inside: the leaves that the function makes anew in each call, as far as comparisons of recordings have
            shown.
        due: the time, by `perf_counter`, from which on `has_changed` looks at what the function can read.
        latest: the method of the latest call, "" for a call of the function itself, and a key for the shapes of its
            arrays; None in place of the key if the arguments have no such shapes.
    """

    def __init__(self, arguments: Arguments, recorder: Recorder, store: RecordingStore) -> None:
        self._function, self.name = arguments.function, arguments.name
        self._recorder, self.store = recorder, store
        self.made_inside, self._changed = set[Value](), False
        self.due, self._checks = 0.0, 0
        self.latest: tuple[str, Any] = "", None
        self._in_a_row = 0  # how many calls with a key were like the latest one
        self._due_after_others = 0.0  # as `due`, for a call of another method than the one before
        self._last_look = self._last_comparison = inf  # how many seconds the last one of each kind took
        self._known_or_none: _Known | None = None
        self._watched: Watched | None = None  # what to compare at every call, if there is anything
        self._without_effect = Counter[Any]()  # how often each watched place has changed, and no recording with it
        self._unsure: list[Recording] = []  # recordings of a function that may tell a `Value` from a number
        # A snapshot, and leaves for which `could_read` has returned True
        self._could_read: tuple[Snapshot | None, list[Value]] = None, []
        self._incomplete_calls = 0  # how often `fit` was called while not all that the function can read was known
        self._known_leaves: tuple[list[Value], set[Value]] = [], set()  # the store's parameters, and a set of them

    @property
    def _known(self) -> _Known | None:
        return self._known_or_none

    @_known.setter
    def _known(self, known: _Known) -> None:
        before, self._known_or_none = self._known_or_none, known
        if before is None or before.snapshot is not known.snapshot:
            watched = known.snapshot.watched
            if too_often := {place for place, n in self._without_effect.items() if n >= MAX_WITHOUT_EFFECT}:
                watched = watched.without(too_often)
            self._watched = watched if watched else None

    @property
    def is_due(self) -> bool:
        """Whether `has_changed` looks now: since it is time, or since something that is watched has changed."""
        return perf_counter() >= self.due or (self._watched is not None and self._watched.have_changed())

    def note(self, made: Recording) -> None:
        """Note that `made` is a new recording of the function, which was just made and is not stale.

        It is not compared with a newer one until something that the function can read has changed.
        """
        if made.unsure:
            self._unsure.append(made)
        known, code, snapshot = self._known, made.code, made.snapshot
        made.code = made.snapshot = None
        if known is None:
            self._known = self._known_now([made.program], code, snapshot)
        elif not known.snapshot.has_changed():
            if not are_same(known.roots, self._roots()):  # other arguments bring other objects
                known = self._known_now([*known.current, made.program])._replace(compared=known.compared)
            self._known = known._replace(current=known.current | {made.program})

    def has_changed(self) -> bool:
        """Return whether something that the function can read has changed since its recordings were made or compared.

        If so, later calls return True, too, until `compare_if_changed` has compared the recordings. The first calls of
        this method look at everything that the function can read. So does a call of another method, or with arrays of
        other shapes, than several calls before. If a variable, attribute or collection that is `Watched` has changed,
        every call finds this. Apart from that, a look is followed by the next one only after about a hundred times as
        long as it took. So a call may miss a change of something else, which a later call notices. Places that cannot
        be looked at may change unnoticed, such as arrays of a library other than numpy, PyTorch and pandas, and items
        of collections of more than `MAX_COMPARED`.
        """
        if not self.is_due:
            return False
        start = perf_counter()
        known = self._known
        if known is None:  # an interrupt may have come after a recording was published, and before `note` was called
            self._changed = bool(self.store.programs)
        else:
            self._changed = known.snapshot.has_changed() or len(known.current) < len(self.store.programs)
            before, self._last_look = self._last_look, perf_counter() - start
            self._wait_after(min(before, self._last_look))
        return self._changed

    def note_call(self, name: str, key: Any = None) -> None:
        """Note a call of the method `name`, and let `has_changed` look now if the calls before were of another kind.

        It looks now if several calls before were those of another method, or had another key, or if the last key was
        None.

        A change between two calls, such as that of a flag for training, often comes with a call of another method.
        Where two methods are called in turn, a look at each call would take too long, so `has_changed` then looks so
        rarely that its looks take a tenth of the time. `key` stands for the shapes of the arrays in the call, or for
        samples in another form. It is None if the caller has not looked at the form of the samples.
        """
        self.note_kind((name, key))

    def note_kind(self, kind: tuple[str, Any]) -> None:
        """Set the attribute `latest` to `kind`, a pair of a method's name and a key, since there was such a call.

        If the call follows several calls of another kind, let `has_changed` look now; see `note_call`.
        """
        before, self.latest = self.latest, kind
        if before == kind:
            self._in_a_row += 1
            return
        if before[1] is None or self._in_a_row >= MANY_IN_A_ROW or perf_counter() >= self._due_after_others:
            self.due = 0.0
        self._in_a_row = 1

    @property
    def is_repeated(self) -> bool:
        """Whether so many calls in a row were like the latest one that more of them need not be noted."""
        return self._in_a_row >= MANY_IN_A_ROW

    def compare_if_changed(self, name: str, buckets: Sequence[Bucket]) -> None:
        """Compare the recordings for some samples with new ones if `has_changed` returns True.

        If the function may tell a `Value` from a number, it may also be called with the numbers of the first sample of
        each bucket. The results are then compared with those for `Value`s. `name` is the name of the method, for
        messages; "" for a call.

        Raises:
            ValueError: the function is not what it was when its program was made.
        """
        if name != self.latest[0]:
            self.note_call(name)
        if self._unsure and perf_counter() >= self.due:
            self._compare_numbers(buckets)
        if self.has_changed():
            start = perf_counter()
            if self._watched is not None:
                self._without_effect.update(self._watched.changed())
            self.compare(name, buckets, trusts_partial=True)
            self._changed = False
            before, self._last_comparison = self._last_comparison, perf_counter() - start
            self._wait_after(min(before, self._last_comparison))

    def _compare_numbers(self, buckets: Sequence[Bucket]) -> None:
        """Warn if the function computes something else for the numbers of a bucket's first sample than for `Value`s.

        There is at most one comparison for each bucket. It is left out for the sample that was recorded.
        """
        for bucket in buckets:
            numbers = bucket.row(0) if bucket.samples else ()
            for made in self.store.known(bucket):
                if made.unsure and [*made.bucket(bucket.static).numbers] != [*numbers] and made.guards.hold(numbers):
                    self._recorder.compare_numbers(made, bucket, 0)
                    break
        self._unsure = [made for made in self._unsure if made.unsure]

    def may_have_changed(self, whole: bool) -> bool:
        """Return whether something that the function can read has changed since its recordings were made or compared.

        Some objects that it can read cannot be checked for changes. If there are any, the result is True if `whole` is
        set, and otherwise they are left out.
        """
        known = self._known
        return known is None or (known.snapshot.may_have_changed() if whole else known.snapshot.has_changed())

    def agrees(self, program: Program, optimizer: Optimizer) -> bool:
        """Return whether `fit` may train with a program without comparing the program with the function first.

        It may not if something that the function can read has changed or cannot be checked, or if the function makes
        leaves anew in each call. Nor may it if the function may make parameters of the optimiser itself and the
        recording has not been compared yet.
        """
        known = self._known
        if known is None or self.made_inside or known.snapshot.may_have_changed():
            return False
        return program in (known.current if self.could_read(optimizer.parameters) else known.compared)

    def could_read(self, leaves: Sequence[Value]) -> bool:
        """Return whether all these leaves existed, where the function can read them, when it was recorded.

        If the function may change something that it can read, the result is False, since it may have made the leaves.
        """
        known = self._known
        if known is None or known.writes:
            return False
        snapshot, before = self._could_read
        if snapshot is known.snapshot and before == leaves:  # fast: nodes are compared by identity
            return True
        if found := known.snapshot.leaves.issuperset(leaves):
            self._could_read = known.snapshot, [*leaves]
        return found

    def reads_items_of(self, attributes: dict[str, Any]) -> bool:
        """Return whether the function can read items of `attributes`, the `__dict__` of an object, or may do so.

        It may do so if it was not recorded yet.
        """
        return self._known is None or self._known.snapshot.has_items_of(attributes)

    def _wait_after(self, seconds: float) -> None:
        """Set the time of the next check: `TIMES_AS_LONG` times `seconds` from now.

        `seconds` is how long a check takes. Callers measure the last two checks of the same kind, and pass the shorter
        time, since another thread or program may have interrupted one of them.
        """
        self._checks += 1
        if self._checks >= FIRST_CHECKS and not self._changed:
            now = perf_counter()
            self.due, self._due_after_others = now + TIMES_AS_LONG * seconds, now + TIMES_AFTER_OTHERS * seconds

    def _known_now(
        self, programs: Sequence[Program], code: ReachableCode | None = None, snapshot: Snapshot | None = None
    ) -> _Known:
        """Return a `_Known`, with a snapshot of all that the function can read, after recordings have been made.

        The programs are those of the recordings. `code` is the code that the function may run, and `snapshot` what it
        can read, if they are known already.

        The snapshot is complete even if a collection has many items, unless it takes longer to compare them than to
        record the programs again.
        """
        roots = self._roots()
        code = code or ReachableCode(roots)
        if snapshot is None:
            graphs = [program.compiled.graph for program in programs]
            operands = sum([len(node.operands) for graph in graphs for node, _ in graph.operations])
            snapshot = Reach(roots, code).surroundings.snapshot(ITEMS_PER_OPERAND * operands)
        return _Known(roots, snapshot, code.writes, frozenset(), frozenset(programs))

    def check_unused(self, name: str, wrt: Any, buckets: Sequence[Bucket]) -> None:
        """Raise ValueError if a variable is a leaf that the function uses now, but did not when it was recorded.

        The program's derivative with respect to a leaf that it does not use is 0. This is wrong if the function uses
        the leaf now. The recordings for the samples are therefore compared with new ones.

        Args:
            name: the name of the method, for messages.
            wrt: the variables to differentiate with respect to. Anything but a list of `Value`s is not looked at.
            buckets: the samples for which the derivative is computed.
        """
        if not isinstance(wrt, list):
            return
        parameters, known = self._known_leaves
        if parameters is not self.store.parameters:
            self._known_leaves = parameters, known = self.store.parameters, {*self.store.parameters}
        try:
            if known.issuperset(wrt):
                return
        except TypeError:  # something in it is not hashable, so it is no Value, and is refused later
            return
        if not all(isinstance(x, Value) for x in wrt) or all(x in known or x.op for x in wrt):
            return
        for bucket in buckets:
            self.store.dispatch(bucket, row_numbers(len(bucket.samples)))  # makes the recordings that are missing
        known = {*self.store.parameters}  # also the parameters of the recordings that have just been made
        if not all(x in known or x.op for x in wrt):
            self.compare(name, buckets)

    def compare_first(self, bucket: Bucket, found: Sequence[tuple[Recording, int]]) -> None:
        """Compare recordings with new ones, even if nothing that the function can read has changed.

        `found` has pairs of a recording and the index of a row in the bucket. The function is recorded again for the
        row.

        Raises:
            ValueError: the function is not what it was when its program was made.
        """
        whole = self._compared("fit", [(bucket, recording, row) for recording, row in found])
        known = self._known
        if whole and known and not known.snapshot.may_have_changed():
            self._known = known.with_compared(whole)

    def compare(
        self, name: str, buckets: Sequence[Bucket], finds_made: bool = False, trusts_partial: bool = False
    ) -> frozenset[Program]:
        """Compare the recordings for some samples with new ones, unless nothing has changed since the last comparison.

        Return the programs of all recordings that are known to agree with the function as it is now.

        The variables, collections and arrays that the function can read are remembered. A recording is not compared
        again until one of them has changed.

        Args:
            name: the name of the method, for messages; "" for a call.
            buckets: the samples. Recordings for other samples are not compared, unless a sample has no recording.
            finds_made: whether to compare a recording even if nothing has changed since it was made. This finds the
                leaves that the function makes anew in each call.
            trusts_partial: whether to trust a snapshot of what the function can read even if it is not complete: if it
                shows no change, nothing counts as changed.

        Raises:
            ValueError: the function is not what it was when its program was made.
        """
        known, is_due = self._known, True
        if known and (known.snapshot.has_changed() if trusts_partial else known.snapshot.may_have_changed()):
            if not (known.snapshot.complete or trusts_partial):
                self._incomplete_calls += 1
                is_due = self._incomplete_calls.bit_count() == 1  # after 1, 2, 4, 8, ... calls
            known = None
        agreeing = (known.compared if finds_made else known.current) if known else frozenset[Program]()
        if len(agreeing) == len(self.store.programs):
            return agreeing
        found = self._to_compare(buckets, agreeing)
        whole, programs = self._compared(name, found), [recording.program for _, recording, _ in found]
        if found and known:
            self._known = known.with_compared(whole)
        elif found and is_due:  # if the snapshot before was not complete, the next one may be, but to try takes time
            now = self._known_now(programs)
            self._known, self.due = now._replace(compared=frozenset(whole), current=frozenset(whole)), 0.0
        return agreeing.union(programs)

    def _to_compare(
        self, buckets: Sequence[Bucket], agreeing: frozenset[Program]
    ) -> list[tuple[Bucket, Recording, int]]:
        """Return the recordings that compute the rows of `buckets`, each with a bucket and a row to record again.

        The row is given by its index in the bucket. Recordings whose programs are in `agreeing` are left out.

        A row may break the guards of all recordings for its bucket. The reason may be that the function now compares
        with another number than the guards do. So all of these recordings are returned, each with the sample for which
        it was recorded. A recording is left out if this sample breaks the guards, too: then parameters have changed,
        and the sample takes another branch.
        """
        found: list[tuple[Bucket, Recording, int]] = []
        for bucket in buckets:
            reached, left = self.store.dispatch_known(bucket, row_numbers(len(bucket.samples)), 1)
            found += [(bucket, made, rows[0]) for made, rows in reached if made.program not in agreeing]
            if left:
                done = agreeing.union([made.program for made, _ in reached])
                others = [made for made in self.store.known(bucket) if made.program not in done]
                samples = [(made.bucket(bucket.static), made) for made in others]
                found += [(sample, made, 0) for sample, made in samples if made.guards.hold(sample.numbers)]
        return found

    def _compared(self, name: str, found: Sequence[tuple[Bucket, Recording, int]]) -> list[Program]:
        """Compare recordings with new ones, each for a row of a bucket. Return the programs that were fully compared.

        `name` is the name of the method, for messages; "" for a call.

        Raises:
            ValueError: as for `compare`.
        """
        return [
            made.program for bucket, made, row in found if self._compare_with_new_recording(bucket, made, row, name)
        ]

    def _compare_with_new_recording(self, bucket: Bucket, recording: Recording, row: int, name: str) -> bool:
        """Record the function again for a row of a bucket, and compare the new recording with `recording`.

        A bucket has samples whose arguments are nested alike, as rows of numbers. Return whether everything was
        compared. A value that is computed from frozen parameters alone is not compared, since the new recording has
        only its number. `name` is the name of the method, for messages; "" for a call.

        What the function changes in variables, collections, arrays and gradients is put back.

        Raises:
            ValueError: the two recordings differ, the function raises an error, or a user's operation has changed.
        """
        again, _ = self._recorded_and_restored(bucket, row, name)
        folded = recording.folded()
        leaves, others = folded.leaves(), again.leaves()
        known = leaves & others
        if leaves != others:  # the function makes some leaves itself, and may store them, or they have been replaced
            third, held = self._recorded_and_restored(bucket, row, name, find_held=True)
            # A leaf that the function makes itself is another `Value` in each recording
            known |= held | (others & third.leaves())
        where = f"{name}(): " if name else ""
        if difference := folded.difference(again, known):
            raise ValueError(
                f"{where}{self.name} is not what it was when its program was made: {difference}; compile it anew "
                "after a parameter, or a number that it reads, has been replaced; or pass the number as an argument"
            )
        for compiled in recording.compiled:
            compiled.check_operations(where)
        self.made_inside |= leaves - others
        return folded is recording

    def _recorded_and_restored(
        self, bucket: Bucket, row: int, name: str, find_held: bool = False
    ) -> tuple[Recording, set[Value]]:
        """Record the function for a row of a bucket, and put back what it changes. Return the recording, and leaves.

        Args:
            bucket: the bucket, which has samples whose arguments are nested alike, as rows of numbers.
            row: the index of the row.
            name: the name of the method, for messages.
            find_held: whether to find the leaves that the function can reach both before and after the recording. The
                second result is the set of these leaves; without `find_held` it is empty.

        Raises:
            ValueError: the function raises an error.
        """
        roots = self._roots()
        names = frozenset(OF_VALUES)  # so labels are put back, too
        around = Surroundings(roots, names=names) if find_held or ReachableCode(roots).writes else None
        with around.restored() if around else nullcontext():
            try:
                made = self._recorder.record(bucket, row, plain=True)
            except Exception as error:  # whatever the function raises
                where = f"{name}(): " if name else ""
                raise ValueError(
                    f"{where}{self.name} is not what it was when its program was made, since it raises "
                    f"{type(error).__name__} now: {error}"
                ) from error
            held = {*around.leaves}.intersection(Surroundings(roots).leaves) if around and find_held else set[Value]()
        return made, held

    def _roots(self) -> list[Any]:
        """Return the function and the objects among its arguments: all that it can read is reached from these."""
        return [self._function, *self.store.objects()]


class FitCheck:
    """The checks of one call of `fit`: the function still uses the same parameters, and makes none itself.

    Args:
        stale: compares the recordings of the function.
        buckets: the samples. Recordings for other samples are not compared.
        optimizer: the optimiser that trains, whose parameters the function must not make itself.

    Attributes:
        uncompared: the programs that were made for samples that are nested like these, but whose branch none of these
            samples takes now, so they have not been compared. They have to be compared before a sample uses them; see
            `compare_reached`.
    """

    def __init__(self, stale: StaleCheck, buckets: Sequence[Bucket], optimizer: Optimizer) -> None:
        self._stale, self._buckets, self._optimizer = stale, buckets, optimizer
        self.uncompared = set[Program]()

    def before_training(self) -> None:
        """Compare the recordings of the function, if there are any, with new ones, as `now` does.

        Raises:
            ValueError: the function uses other parameters now, or makes the optimiser's parameters itself.
        """
        if self._stale.store.programs:
            self.now()

    def now(self) -> None:
        """Raise ValueError if the function uses other parameters now, or makes the optimiser's parameters itself.

        The recordings for the samples are compared with new recordings. The variables, collections and arrays that the
        function can read are remembered, and a recording is not compared again until one of them has changed.
        """
        stale, buckets = self._stale, self._buckets
        compared = stale.compare("fit", buckets, finds_made=not stale.could_read(self._optimizer.parameters))
        self.uncompared.clear()
        if stale.store.branches:
            for bucket in buckets:
                known = stale.store.known(bucket)
                self.uncompared.update([made.program for made in known if made.program not in compared])
        parameters = self._optimizer.parameters
        made = stale.made_inside and stale.made_inside.intersection(parameters)
        for i, p in enumerate(parameters if made else ()):
            if p in made:
                raise ValueError(
                    f"fit(): {stale.name} makes parameters[{i}] of the optimizer, {p!r}, anew in each call, so "
                    "training would not change it; make it outside of the function"
                )

    @property
    def may_read_optimizer(self) -> bool:
        """Whether the function reads attributes of the optimiser, or may do so, since it was not recorded yet."""
        return self._stale.reads_items_of(vars(self._optimizer))

    def after_training(self, undo: Callable[[], None]) -> None:
        """Check the function after the last step, if it can read the optimiser, whose numbers training has changed.

        `undo` undoes all steps. It is called before an error is raised.

        Raises:
            ValueError: the function would be recorded otherwise now, for example since it reads `optimizer.steps`.
        """
        try:
            self.now()
        except ValueError as error:
            undo()
            raise ValueError(
                f"fit(): {self._stale.name} reads a number of the optimizer, such as its steps or lr, which training "
                "changes, and its program has the first one for all steps, so all steps were undone; make the number "
                "an argument of the function, and write a loop of zero_grad(), backward() and step()"
            ) from error

    def with_checks_after_callback(
        self, options: TrainingOptions, ends_early: Callable[[int], bool]
    ) -> TrainingOptions:
        """Return the options of `fit` with a callback that calls the user's callback, and then checks the function.

        The check is left out if no epoch follows. After the check, `ends_early(number)` is called with the number of
        the epoch, and returns whether to end training.
        """

        def callback(number: int, *losses: float) -> Any:
            assert options.callback
            answer = call("callback", options.callback, number, *losses)
            if number + 1 < options.epochs and (answer is None or answer is False):
                self.now()
                return ends_early(number)
            return answer

        return dataclasses.replace(options, callback=callback)

    def compare_reached(self, bucket: Bucket, reached: Iterable[RecordingRows]) -> None:
        """Compare recordings with new ones, if this has not been done yet because no row took their branch before.

        Args:
            bucket: the samples to which the rows belong.
            reached: recordings, each with its rows. Those that have been compared are left out.

        Raises:
            ValueError: the function is not what it was when its program was made.
        """
        found = [(recording, rows[0]) for recording, rows in reached if recording.program in self.uncompared]
        self._stale.compare_first(bucket, found)
        self.uncompared.difference_update([recording.program for recording, _ in found])
