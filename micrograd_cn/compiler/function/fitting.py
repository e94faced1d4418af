"""Define `FunctionFit`, one call of `fit` of a compiled function, which finds the program for each row that is trained.

A recording is stale if the function would be recorded otherwise now. A recording that may be stale is compared with a
new one before its program is used; see `FitCheck`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from itertools import chain
from math import isnan

from ...engine import Value
from ...graph import context
from ..data.rows import row_numbers
from ..data.samples import Bucket
from ..program import Program
from ..runtime.executable import CompiledGraph
from ..training.epochs import History, TrainingOptions, naming_validation
from ..training.run import Dispatched, Dispatcher, TrainingRun
from ..training.state import check_trainable, undo_of_steps
from .plain_errors import PlainErrors
from .refusals import check_has_gradient, check_has_trainable, check_single
from .stale import FitCheck, StaleCheck
from .store import RecordingRows, RecordingStore

MANY_EPOCHS = 16  # fewer epochs are not left to `ShortFits`, since to prepare its code takes as long as some epochs


class FunctionFit(Dispatcher):
    """A call of `fit` of a compiled function, which lets `TrainingRun` train with the program of each row.

    Args:
        store: the recordings of the function.
        stale: checks that the recordings are not stale: new recordings would be the same.
        plain_errors: calls the plain function for a sample whose loss is nan, since its error may say why.
        name: the name of the function, for messages.
        options: how to train.
        buckets: the samples. Each bucket has samples whose arguments are nested alike, as rows of numbers.
        validation: the samples for the validation after each epoch; None if there is no validation.
        is_ready: a function that returns whether `ShortFits` can now take the remaining epochs. It is called after some
            epochs, while many remain.

    Attributes:
        left: whether epochs were left to `ShortFits`.
    """

    def __init__(
        self,
        store: RecordingStore,
        stale: StaleCheck,
        plain_errors: PlainErrors,
        name: str,
        options: TrainingOptions,
        buckets: Sequence[Bucket],
        validation: Sequence[Bucket] | None,
        is_ready: Callable[[], bool] = bool,
    ) -> None:
        self._is_ready, self.left = is_ready, False
        self._store, self._stale, self._plain_errors, self._name = store, stale, plain_errors, name
        self.layouts = store.layouts
        self._options, self._buckets, self._validation = options, buckets, validation
        self._check = FitCheck(stale, [*buckets, *(validation or ())], options.optimizer)
        self._uncompared = self._check.uncompared
        self.validation_programs: set[CompiledGraph] = set()
        self._merged_programs = set[Program]()  # the programs of the recordings that were merged, if guards may change

    def run(self) -> History:
        """Train, and return the mean losses as a `History`.

        Raises:
            TypeError, RuntimeError, GuardError, ValueError: as for `CompiledFunction.fit`.
        """
        options, store = self._options, self._store
        for recording in chain.from_iterable([store.known(bucket) for bucket in self._buckets]):
            for compiled in recording.compiled:
                check_trainable(options.optimizer, compiled)
                compiled.data.check_constants()
        self._check.before_training()
        if options.callback:
            options = self._check.with_checks_after_callback(options, self._leaves_after)
        if len(self._buckets) == 1:  # every program can be checked before the first step
            self._check_programs(self._buckets[0])
        validate = None
        if self._validation is not None:
            validate = self._mean_loss
            self._check_validation(self._validation)
        undo = undo_of_steps(options.optimizer) if self._check.may_read_optimizer else None
        history = TrainingRun(self._buckets, self, options, validate).fit()
        if undo and self._check.may_read_optimizer:
            self._check.after_training(undo)
        if options.epochs and (made := [x.program for bucket in self._buckets for x in store.known(bucket)]):
            # The programs for other treedefs and branches are known only now
            check_has_trainable("fit", self._name, made)
        return history

    def _leaves_after(self, number: int) -> bool:
        """Return whether to leave the epochs after the one with this number to `ShortFits`, and note it in `left`.

        `ShortFits` is asked after 1, 2, 4, 8, ... epochs whether it is ready, since its code may be made in the
        background.
        """
        if (number + 1).bit_count() == 1 and self._options.epochs - number > MANY_EPOCHS and self._is_ready():
            self.left = True
        return self.left

    # Before the first step

    def _check_programs(self, bucket: Bucket) -> None:
        """Raise an error before the first step if the function has no gradient, or several results.

        `bucket` has all samples. If a guard depends on a parameter, training may change the branches, so programs
        without a gradient are not refused yet.

        Raises:
            ValueError: the function returns several numbers.
            RuntimeError: all results are constants, or depend on no parameter that requires a gradient.
        """
        groups = self._store.dispatch(bucket, row_numbers(len(bucket.samples)), self._options.threads)
        self._graphs(groups)
        if all(recording.guards.parameter_free for recording, _ in groups):
            programs = [recording.program for recording, _ in groups]
            check_has_gradient("fit", self._name, programs)
            check_has_trainable("fit", self._name, programs)

    def _check_validation(self, buckets: Sequence[Bucket]) -> None:
        """Compute the mean loss of the validation data before the first step, so wrong samples raise an error at once.

        Raises:
            IndexError, TypeError, ValueError: the loss is nan, and the plain function raises an error for a sample.
        """
        with naming_validation():
            loss = self._mean_loss()
        if loss is not None and isnan(loss):
            self._explain_nan_of(buckets, "validation sample")

    # While it trains

    def parameters(self) -> Sequence[Value]:
        """Return the parameters of all existing programs."""
        return self._store.parameters

    def known(self, bucket: Bucket, rows: array[int], parameters: Callable[[], int]) -> tuple[Dispatched, array[int]]:
        """Return the existing programs for rows, each with its rows, and the rows that `record` has to handle.

        These are the rows that have no program yet, or one that must be compared with the function before it is used.
        `parameters` returns the address of the parameters' current values.
        """
        assigned, left = self._store.dispatch_known(bucket, rows, self._options.threads, parameters)
        if self._uncompared and (first := [part for part in assigned if part[0].program in self._uncompared]):
            assigned = [part for part in assigned if part not in first]
            left = array("q", chain(left, *[reached for _, reached in first]))
        return self._graphs(assigned), left

    def record(self, bucket: Bucket, rows: array[int]) -> Dispatched:
        """Return the programs for `rows`, each with its rows, after recording the function where this is necessary.

        `rows` are the rows that the method `known` has left over. There are two kinds. If no existing program computes
        a row, the function is recorded for it. If there is a recording for the row, but the recording may be stale, it
        is compared with the function.
        """
        threads = self._options.threads
        if self._uncompared:
            reached, _ = self._store.dispatch_known(bucket, rows, threads)
            self._check.compare_reached(bucket, reached)
        return self._graphs(self._store.record_missing(bucket, rows, threads))

    def merged(self, bucket: Bucket, rows: int, steps: int) -> CompiledGraph | None:
        """Return a program that computes all branches for the samples in `bucket`; None if there is none worth using.

        `fit` is going to take `steps` steps with `rows` rows each by this program.
        """
        recordings = self._store.known(bucket)
        if not recordings or not recordings[0].guards.compiled or context.active:
            return None
        is_fixed = all(made.guards.parameter_free for made in recordings)
        if is_fixed and self._options.shuffle is None and rows == len(bucket.samples):
            return None  # the rows are sorted once
        if not is_fixed:  # if a row takes a branch later that is left out, the merged program gives nan for it
            recordings = recordings.without(self._uncompared)
            self._merged_programs.update([made.program for made in recordings])
        merged = self._store.merged_of(recordings)
        program = merged.loss(rows, steps) if merged else None
        return program.compiled if program else None

    def may_merge(self) -> bool:
        """Return whether the merged programs, which compute all branches, may still be used.

        They may not while the recording of one of their branches has yet to be compared with a new one, since the
        function may have changed.
        """
        return self._uncompared.isdisjoint(self._merged_programs)

    def check(self, whole: bool) -> bool:
        """Compare the function with its recordings if something that it can read has changed. Return whether it has.

        If `whole` is set, objects that cannot be checked for changes count as changed.

        Raises:
            ValueError: the function is not what it was when its program was made.
        """
        if not self._stale.may_have_changed(whole):
            return False
        self._check.now()
        return True

    def parameter_free(self, bucket: Bucket) -> Dispatched:
        """Return compiled graphs, each with its rows, for rows whose recording never changes.

        The recording of such a row does not depend on the values of the parameters, since no comparison does.
        """
        found = []
        rows = row_numbers(len(bucket.samples))
        for recording in self._store.known(bucket):
            if not (rows and recording.single and recording.guards.parameter_free):
                break
            holding, rows = recording.guards.split(bucket.numbers, rows)
            if holding:
                found.append((recording.program.compiled, holding))
        return found

    def _graphs(self, found: Sequence[RecordingRows]) -> Dispatched:
        """Return, for each recording, its compiled graph and the indices of the rows that it computes.

        Raises:
            ValueError: the function returned more than one number for a recording.
        """
        for recording, _ in found:
            check_single("fit", self._name, recording)
        return [(recording.program.compiled, rows) for recording, rows in found]

    def _mean_loss(self, parameters: Callable[[], int] = lambda: 0) -> float | None:
        """Return the mean result for the samples of the validation, with the parameters' current data.

        `parameters()` returns the address of these data, or 0 if the `Value`s have them. Return None if the data are at
        an address, but are needed in the `Value`s. This is so if a sample has no recording yet, if a recording has yet
        to be compared with a new one, or if the engine has to compute the function.
        """
        losses, threads = array("d"), self._options.threads
        for bucket in self._validation or ():
            groups, left = self._store.dispatch_known(bucket, row_numbers(len(bucket.samples)), threads, parameters)
            address = parameters()
            if address and (left or self._uncompared or context.active):
                return None
            if left:
                groups += self._store.record_missing(bucket, left, threads)
            if self._uncompared:
                self._check.compare_reached(bucket, groups)
            for recording, rows in groups:
                check_single("fit", self._name, recording)
                compiled = recording.program.compiled
                if compiled not in self.validation_programs:
                    check_trainable(self._options.optimizer, compiled)  # a constant would keep its data from before
                    self.validation_programs.add(compiled)
                losses.extend(compiled.outputs_of(bucket.numbers, rows, threads, address))
        return sum(losses) / len(losses)

    def explain_nan(self) -> None:
        """Raise an error that says why the loss of a sample is nan, if the reason is found."""
        self._explain_nan_of(self._buckets, "sample")

    def _explain_nan_of(self, buckets: Sequence[Bucket], kind: str) -> None:
        """Raise an error that says why a loss is nan: an index that is out of range, or an error of the plain function.

        If there is no such error, nothing is raised. A message calls a row a `kind`, such as "sample".
        """
        for bucket in buckets:
            known, _ = self._store.dispatch_known(bucket, row_numbers(len(bucket.samples)), self._options.threads)
            for recording, rows in known:
                recording.program.check_indices(kind, bucket, rows)
                graph = recording.program.compiled.graph
                if graph.has_gathers or graph.has_checks:
                    self._plain_errors.call_where_nan("fit", recording, bucket, rows, kind)
