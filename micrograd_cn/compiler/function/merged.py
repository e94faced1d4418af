"""Merge the recordings of a function that branches into one program, which selects a branch as `where` does.

The merged program computes all branches for each row, and selects the results of the branch that the row takes. For
small branches this takes less time than to sort the rows by their branches. Derivatives of each row are selected in the
same way. The first result is nan for a row for which there is no recording. A caller that gets a nan sorts the rows by
their branches, and computes each row with the program of its branch, as `micrograd_cn.compiler` explains.
"""

from __future__ import annotations

import weakref
from array import array
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from math import isnan, nan
from typing import Any, TypeAlias

from ... import ops
from ...engine import Value, constant
from ...graph.context import recording
from ..data.captured import with_kept_constants, with_leaves
from ..data.parameters import visited_nodes
from ..data.partition import compile_kernels
from ..derivatives import Kind
from ..instructions.graph import evaluation_order
from ..llvm.lanes import cost_in_operands
from ..llvm.machine import machine
from ..program import Program
from ..runtime.executable import MAX_SCALAR_ROWS
from ..threads.background import BackgroundTasks
from ..threads.forks import cached_property
from .recording import Recording

# Recordings with more operands are not merged, since to compile them takes a tenth of a second or more. A single
# recording, whose guards are merged with it, may have FACTOR_OF_ONE times as many.
MAX_OPERANDS, FACTOR_OF_ONE = 5_000, 20
# About how many nanoseconds are taken by
OPERAND_ALONE, OPERAND = 1.0, 0.1  # an operand of a row that is computed alone, and of one among others
CALL_ALONE, CALL = 500, 15_000  # a call of the program of one branch for one row, and for many rows
SORTED_ROW = 10  # sorting a row by its branch
# After CALLS_BEFORE_MADE calls, a background thread begins to make a merged program. That of a loss is only used after
# CALLS_BEFORE_LOSS calls, when it is usually ready, since to make it takes as long as some hundreds of calls. A call of
# `fit` that takes more than STEPS_BEFORE_LOSS steps waits for it.
CALLS_BEFORE_MADE, CALLS_BEFORE_LOSS, STEPS_BEFORE_LOSS = 20, 400, 100
ROWS_PER_CALL = 1_000  # this many rows count as a further call, since to sort them takes as long as a call
Outputs: TypeAlias = "tuple[Program, Sequence[Value]]"  # a program, and nodes of its graph


def _of_results(recorded: Recording) -> Outputs:
    return recorded.program, recorded.program.outputs


class MergedRecordings:
    """The recordings of a function for samples that are nested alike, merged into programs that are made when needed.

    A method such as `forward` returns None until it was called often enough. It takes the count of rows that its
    program is going to compute at each call; with 0, it only asks, and the call does not count. After some calls, a
    background thread begins to make a merged program. Once there is one, the method returns it. Only `loss` returns its
    program after a fixed number of calls, even if it has to wait for it. So the computer's speed does not decide which
    gradients of a mean are computed by a merged program. This matters since merged programs round these gradients in
    another way than the programs of single branches. Both round the results and derivatives of a row in the same way.

    Args:
        recordings: the recordings, as a list to which others may be added later. The list refers to this object, which
            has a weak reference to the list, so both are freed without the garbage collector.
        parameters: the parameters of the function.

    Attributes:
        recordings: the recordings that are merged.
        parameters: the parameters of the function.
    """

    def __init__(self, recordings: Sequence[Recording], parameters: Sequence[Value]) -> None:
        self._known, self.recordings, self.parameters = weakref.ref(recordings), tuple(recordings), parameters
        self._background = BackgroundTasks()
        self._made: dict[Any, Program | None] = {}
        self._programs: dict[Any, Program | None] = {}
        self._counts: dict[Any, int] = {}  # how many calls there were before, with further ones for ROWS_PER_CALL rows
        programs = [recorded.program for recorded in recordings]
        self._can_be_merged = not any(program.compiled.graph.runs_users_code for program in programs) and all(
            recorded.result_paths == recordings[0].result_paths and recorded.integers == recordings[0].integers
            for recorded in recordings
        )

    def is_current(self, parameters: Sequence[Value]) -> bool:
        """Return whether the function has the same recordings, and as many parameters, as when this object was made.

        `parameters` are the function's parameters now.
        """
        return len(self.recordings) == len(self._known() or ()) and len(parameters) == len(self.parameters)

    def call(self, rows: int = 1) -> Program | None:
        """Return a merged program that computes the result of a call, which has a single row; None if there is none.

        A merged program computes all branches. `rows` is 1, or 0 if this does not count as a call; see the class.
        """
        return self._programs.get("call") or self._program("call", rows, _of_results)  # the first part is for speed

    def forward(self, rows: int) -> Program | None:
        """Return a merged program that computes the results of several rows; None if there is none.

        A merged program computes all branches. `rows` is about how many rows it is going to compute at each call.
        """
        return self._program("forward", rows, _of_results)

    def loss(self, rows: int, calls: int = 1) -> Program | None:
        """Return a merged program that computes the mean result and its gradient with respect to the parameters.

        Return None if there is no such program. A merged program computes all branches. `rows` is about how many rows
        it is going to compute at each call, and `calls` is about how often it is going to be called.
        """
        for recorded in self.recordings:
            program = recorded.program
            if program.compiled.captured or not (recorded.single and program.has_gradient):
                return None
        self._counts["loss"] = self._counts.get("loss", 0) + calls - 1
        limit = CALLS_BEFORE_LOSS if calls == 1 else STEPS_BEFORE_LOSS
        return self._program("loss", rows, _of_results, work=3, limit=limit)

    def mean_gradient(
        self, name: str, program: Program, compute: Callable[[], tuple[float, array[float]]]
    ) -> tuple[Recording, Program, float, float, array[float]] | None:
        """Return the mean result of some rows and its gradient, as a `batch.MeanGradient`.

        Return None in three cases, in which the caller sorts the rows by their branches:

        - The mean is nan, for example because a row takes a branch that has not been recorded.
        - A constant of the program requires a gradient now, so the gradient may have to be refused.
        - The method is `backward`, and the branches that the rows take decide which parameters get a gradient; see
          `leaves_gradients_out`.

        Args:
            name: the method that needs the gradient.
            program: the program that `loss` has returned.
            compute: a function that computes the mean and the gradient by this program.
        """
        if program.unfrozen_constant() or (name == "backward" and self.leaves_gradients_out()):
            return None
        mean, gradient = compute()
        if isnan(mean):
            return None
        return self.recordings[0], program, 1.0, mean, gradient

    def leaves_gradients_out(self) -> bool:
        """Return whether some branch leaves out gradients, so `backward` must know which branches the rows take.

        If a row takes a branch without parameters that can be trained now, `backward` may have to raise an error. And
        if no row takes a branch that uses a parameter, a `grad` of the parameter that is None must stay None.
        """
        for recorded in self.recordings:
            if not recorded.program.has_trainable:
                return True
        partly_used = self._partly_used
        return bool(partly_used) and any(p._grad is None for p in partly_used)  # the first part is for speed

    @cached_property
    def _partly_used(self) -> Sequence[Value]:
        """The parameters that at least one recording does not use, or only in a comparison."""
        visited = [visited_nodes(recorded.program.outputs) for recorded in self.recordings]
        return [p for p in self.parameters if not all(p in nodes for nodes in visited)]

    def has_unfrozen_constant(self) -> bool:
        """Return whether a constant of a recording requires a gradient now.

        A derivative must be refused if a row takes the branch that uses the constant. A merged program does not tell
        which branch a row takes, so the caller sorts the rows by their branches.
        """
        return any(recorded.program.unfrozen_constant() for recorded in self.recordings)

    def derivative(self, kind: Kind, wrt: Callable[[Any], Any], key: Hashable, rows: int) -> Program | None:
        """Return a merged program that computes derivatives for each row; None if there is none.

        A merged program computes all branches.

        Args:
            kind: "gradient", or "value_and_grad" for the result and the gradient.
            wrt: a function that takes a recording, and returns the variables to differentiate with respect to.
            key: a key for the variables, by which the program is found again.
            rows: about how many rows the program is going to compute at each call.
        """

        def outputs(recorded: Recording) -> Outputs:
            found = recorded.program.derivative_with_gates(kind, wrt(recorded))
            return found.program or recorded.program, found.outputs

        if any(recorded.indices.counts for recorded in self.recordings):  # each row's indices have to be checked
            return None
        return self._program((kind, key), rows, outputs)

    def _program(
        self, key: Any, rows: int, outputs: Callable[[Any], Outputs], work: int = 1, limit: int | None = None
    ) -> Program | None:
        """Return a merged program once it was asked for often enough, otherwise None; see `MergedRecordings`.

        A merged program computes all branches.

        Args:
            key: a key for the program, by which it is found again.
            rows: about how many rows the program is going to compute at each call.
            outputs: a function that takes a recording, and returns a pair: a program for this recording, and those
                outputs of the program that the merged program computes.
            work: the time that the program takes for a row, relative to the time to compute only the results of the
                row. It is 3 for a loss with its gradient.
            limit: after how many calls the program is returned, even if this has to wait for it; None if it is returned
                once it is made.
        """
        if key in self._programs or not rows:
            return self._programs.get(key)
        if not self._can_be_merged:
            return None
        found = self._counts.get(key, 0)
        self._counts[key] = found + 1 + work * rows // ROWS_PER_CALL
        if found <= CALLS_BEFORE_MADE:
            return None
        make = partial(self._make, key, "gradient" if key == "loss" else "forward", rows, outputs, work)
        if limit is not None and found > limit:
            if begun := self._background.begun.pop(key, None):
                begun.wait()
            if key not in self._made:  # no thread has begun to make it, or only one of the parent process
                make()
        elif key not in self._made:
            self._background.do(key, make)
        if key in self._made and (limit is None or found > limit):
            self._programs[key] = self._made[key]
        return self._programs.get(key)

    def _make(self, key: Any, kind: str, rows: int, outputs: Callable[[Any], Outputs], work: int) -> None:
        """Make a merged program, or note that it is not worthwhile or not possible.

        A merged program computes, for each row, every branch that the user's function may take.

        Args:
            key: the key under which the program, or None, is stored.
            kind: the kind of code to make, "forward" or "gradient".
            rows: about how many rows the program is going to compute at each call.
            outputs: a function that takes a recording, and returns a program for it and the outputs to merge.
            work: the time that the program takes for a row, relative to the time to compute only the results of the
                row.
        """
        made: Program | None = None
        try:
            merged = _Merger([(recorded, *outputs(recorded)) for recorded in self.recordings], self.parameters)
            if merged.is_worthwhile(work * rows, key == "call"):
                made = merged.program(isinstance(key, str) and self.recordings[0].single)
                made.compiled.select_executable(kind, rows)
                compile_kernels()  # for the kernels that look for nan in the results
        except (TypeError, ValueError, RuntimeError):  # if a user should see it, the code that sorts the rows raises it
            made = None
        self._made[key] = made


class _Choice:
    """A node of a tree of comparisons, whose leaves are recordings.

    Attributes:
        condition: the comparison; None for a leaf, where all guards of a recording hold.
        key: an integer, which is the same for comparisons that compute the same number.
        following: a dict from the outcomes of the comparison, True and False, to the next nodes.
        recording: the index of the recording whose guards hold at a leaf; -1 if the node is not a leaf.
    """

    def __init__(self) -> None:
        self.condition: Value | None = None
        self.key = -1
        self.following: dict[bool, _Choice] = {}
        self.recording = -1


class _Merger:
    """The graphs of recordings with common inputs, and the tree of their comparisons.

    All recordings must begin with the same comparison. Those in which it has the same outcome must go on with the same
    next comparison, and so on. Otherwise the recordings cannot be merged.

    Args:
        parts: the recordings, each with the program whose outputs are merged, and these outputs.
        parameters: the parameters of the function.

    Raises:
        ValueError: the recordings cannot be merged.
    """

    def __init__(
        self, parts: Sequence[tuple[Recording, Program, Sequence[Value]]], parameters: Sequence[Value]
    ) -> None:
        self._parts, self._parameters = parts, parameters
        self._inputs = parts[0][0].program.inputs
        self._conditions, self._outputs = list[list[Value]](), list[list[Value]]()
        for recorded, program, outputs in parts:
            guards = [guard.node for guard in recorded.guards.guards]
            if recorded.guards.compiled:
                guards = with_kept_constants(guards, recorded.guards.compiled.graph.constants)
            nodes = [*guards, *with_kept_constants(outputs, program.compiled.graph.constants)]
            if recorded is not parts[0][0]:
                nodes = with_leaves(nodes, dict(zip(recorded.program.inputs, self._inputs, strict=True)))
            self._conditions.append(nodes[: len(guards)])
            self._outputs.append(nodes[len(guards) :])
        if len({*map(len, self._outputs)}) > 1:
            raise ValueError("the recordings have different numbers of results")
        self._keys, self._sizes = self._keys_and_sizes()
        self._tree = self._make_tree()

    def _keys_and_sizes(self) -> tuple[dict[Value, int], list[int]]:
        """Return a dict from nodes to integers, and a list of costs.

        Nodes that compute the same number have the same integer. The list has, for each integer, the cost of such a
        node: the number of its operands, and more for an elementary function.
        """
        known, keys, sizes = dict[Any, int](), dict[Value, int](), list[int]()
        parameters = {*self._parameters}

        def key(x: Any) -> Any:
            if isinstance(x, Value):
                if x in keys:
                    return keys[x]
                return x if x.requires_grad or x in parameters else repr(x._data)
            return repr(x)

        for nodes in (*self._conditions, *self._outputs):
            for node in evaluation_order(nodes):
                if node.op and node not in keys:
                    name = node.op, *map(key, node.operands)
                    if name not in known:
                        known[name] = len(known)
                        sizes.append(cost_in_operands(node))
                    keys[node] = known[name]
        return keys, sizes

    def _make_tree(self) -> list[_Choice]:
        """Return the nodes of the tree of comparisons, each node before its children.

        Raises:
            ValueError: the recordings do not make the same comparisons.
        """
        tree = [_Choice()]
        for number, ((recorded, _, _), conditions) in enumerate(zip(self._parts, self._conditions, strict=True)):
            at = tree[0]
            for guard, condition in zip(recorded.guards.guards, conditions, strict=True):
                key = self._keys[condition]
                if at.condition is None:
                    at.condition, at.key = condition, key
                if at.key != key or at.recording >= 0:
                    raise ValueError("the recordings do not make the same comparisons")
                if guard.held not in at.following:
                    at.following[guard.held] = _Choice()
                    tree.append(at.following[guard.held])
                at = at.following[guard.held]
            if at.condition is not None or at.recording >= 0:
                raise ValueError("the recordings do not make the same comparisons")
            at.recording = number
        return tree

    def is_worthwhile(self, rows: int, alone: bool) -> bool:
        """Return whether the merged program takes less time for `rows` rows than the programs of single branches.

        The merged program computes all branches for each row. For the programs of single branches, the rows have to be
        sorted first. `alone` says that there is a single row, the arguments of a call. Return False if the merged
        program would be large, since to compile it takes long.
        """
        alike = [
            {self._keys[node] for node in evaluation_order([*conditions, *outputs]) if node.op}
            for conditions, outputs in zip(self._conditions, self._outputs, strict=True)
        ]
        own = [sum(map(self._sizes.__getitem__, keys)) for keys in alike]
        together = sum(self._sizes) + 3 * len(self._tree) * len(self._outputs[0])
        if together > MAX_OPERANDS * (FACTOR_OF_ONE if len(own) == 1 else 1):
            return False
        more = max(0.0, together - sum(own) / len(own))
        if alone:
            return more * OPERAND_ALONE <= len(own) * CALL_ALONE
        in_lanes = OPERAND * max(rows, machine().width)
        each = rows * OPERAND_ALONE if rows <= MAX_SCALAR_ROWS else in_lanes
        return more * each <= len(own) * CALL + rows * SORTED_ROW

    def program(self, single: bool) -> Program:
        """Return the merged program, which computes all branches for each row and selects the row's outputs among them.

        If `single` is set, the program has one output, and otherwise a list of outputs.
        """
        with recording():
            outputs = [self._selected(k) for k in range(len(self._outputs[0]))]
        made = Program(outputs[0] if single else outputs, self._inputs, self._parameters)
        watched: dict[Value, float] = {}
        for recorded, _, _ in self._parts:
            watched |= recorded.program.compiled.data.watched
        made.compiled.data.watch({}, watched)
        return made

    def _selected(self, number: int) -> Value:
        """Return output `number` of the recording whose guards hold. Output 0 is nan if there is no such recording."""
        found: dict[int, Value] = {}
        nothing = constant(nan)
        for at in reversed(self._tree):
            if at.condition is None:
                found[id(at)] = self._outputs[at.recording][number]
                continue
            chosen = [found[id(at.following[held])] if held in at.following else None for held in (True, False)]
            if number and None in chosen:
                found[id(at)] = next(x for x in chosen if x is not None)
            else:
                found[id(at)] = ops.where(at.condition, *[nothing if x is None else x for x in chosen])
        return found[id(self._tree[0])]
