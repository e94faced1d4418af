"""Record a function: call it with `Value`s, and compile the graph and the comparisons that the call has made.

A `Recording` is for arguments with certain treedefs (nested in one way), for fixed static arguments, and for one
branch. `store` finds the recording for a sample, or has it made by the function's `recorder.Recorder`.
"""

from __future__ import annotations

import copy
import functools
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextvars import copy_context
from operator import is_
from typing import Any

from ...engine import Value, constant
from ...ops.number import is_array, is_of_numpy, number, number_instead
from ...parameters.tree import flatten
from ..data.captured import CapturedValue, describe, with_folded, with_leaves
from ..data.indices import Indices, indices_of
from ..data.nodes import some_frozen
from ..data.samples import Bucket
from ..data.treedef import TreeDef, has_tensors, leaf_paths, unflatten
from ..guards import CompiledGuards, Guard
from ..program import Program
from ..runtime.executable import CompiledGraph
from ..surroundings.reachable_code import ReachableCode
from ..surroundings.snapshot import Snapshot
from ..threads.collector import without_collector
from ..threads.forks import cached_property
from .advice import add_advice
from .differences import RecordedGraph, graph_difference
from .hooks import RecordingHooks
from .leaves import Leaves
from .traced import Traced, TracedInput


class Recording:
    """A function recorded for one sample: a program, and guards that tell for which samples it may be used.

    A guard is a comparison that must have the same outcome as for the recorded sample.

    Args:
        name: the name of the function, for messages.
        call: `call(arguments)` calls the function with a dict of its arguments, and returns the result.
        treedef: for each argument, a pair: its name and its treedef, which says how it is nested.
        numbers: the numbers of the sample that is recorded.
        captured: a dict from captured values, which were computed before the function was called, to the leaves that
            stand for them. Leaves for further captured values are added to it.
        hooks: the hooks of the recording. If they make plain `Value`s, the inputs are plain `Value`s, too.

    Attributes:
        name: the name of the function.
        raised: a string that names an operator that raises an arithmetic error if the function is called with numbers,
            where the function catches this error; "" if there is none.
        caught: a string with the first error that the function has caught because it got a `Value` where it needs a
            plain number, and the place in the code; "" if there is none.
        asked: the code by which the function may have told a `Value` from a number, and what to write instead; "" if
            there is no such code.
        differentiated_inputs: the indices of the numbers in the arguments with respect to which the function computes a
            derivative itself, as `functional.grad(f)` does.
        refused_text: the error to raise if the recording depends on the text of a value whose number may be another
            one in the next call; None if no such string was made, apart from strings for `print` and `logging`.
        outcomes: for each guard, whether its comparison held for the recorded sample, the file and line of the
            comparison, and the comparison as text.
        single: whether the function returned one number, and not numbers nested in lists and dicts.
        result_paths: for each number that the function returned, the Python expression that reads it from the result,
            such as "[0]"; it is "" if the result is one number.
        output_count: how many numbers the function returned.
        integers: a dict from indices of results to the results that are plain ints and bools. These do not depend on
            the arguments.
        rebuild: a function that takes a list of numbers, and returns them nested as in the result of the recorded
            function.
        shape: the shape of the result if it is a list of numbers or a numpy array, and otherwise None.
        program: the program that computes the outputs; `compile` makes it.
        guards: the compiled guards; `compile` makes them, too.
        compiled: the compiled graph of the outputs and, if there are guards, that of the guards.
        code: the code that the function may run; None if it is not known.
        snapshot: what the function could read when it was recorded; None if the recording may have changed something of
            this, or if the snapshot leaves something out.
        unsure: for how many further samples to call the function with numbers, and to compare its results with those
            for `Value`s, since it may tell a `Value` from a number.

    >>> from micrograd_cn.compiler import compile
    >>> [product] = compile(lambda x, y: x * y).recording_of(2.0, 3.0).program.outputs
    >>> product.op.name, [x.label for x in product.operands]
    ('mul', ['x', 'y'])
    """

    program: Program
    guards: CompiledGuards
    compiled: list[CompiledGraph]
    code: ReachableCode | None = None
    snapshot: Snapshot | None = None
    unsure = 0

    def __init__(
        self,
        name: str,
        call: Callable[..., Any],
        treedef: TreeDef,
        numbers: Sequence[float],
        captured: dict[Value, CapturedValue],
        hooks: RecordingHooks,
    ) -> None:
        self.name, self._treedef, self._captured = name, treedef, captured
        labels = [label for argument, part in treedef for label in leaf_paths(part, argument)]
        kind = TracedInput if hooks.kind is Traced else Value
        self._inputs = [kind(x, label) for x, label in zip(numbers, labels, strict=True)]
        values = iter(self._inputs)
        arguments = {argument: unflatten(part, values) for argument, part in treedef}
        result = self._result_of(call, arguments, hooks)
        self._read_result(result)
        self._leaves, self.refused_text = Leaves(self._inputs, hooks), hooks.refused_text
        self._outputs, self._guards = hooks.with_captured_leaves(self._recorded, captured)
        self.outcomes = [guard.outcome for guard in self._guards]
        self.caught, self.asked, self.raised = hooks.caught, hooks.asked, hooks.raised
        self.differentiated_inputs = hooks.differentiated_inputs

    def _result_of(self, call: Callable[..., Any], arguments: dict[str, Any], hooks: RecordingHooks) -> Any:
        """Call the function with `Value`s, and return its result. The hooks note the comparisons that it makes.

        Raises:
            TypeError: the function has changed an argument.
        """
        nested = [(argument, x) for argument, x in arguments.items() if not issubclass(type(x), Value)]
        given = [(argument, x, [*_leaves_in(x)]) for argument, x in nested]
        of_tensors = any(has_tensors(part) for _, part in self._treedef)
        try:
            called = functools.partial(hooks.record_call, functools.partial(call, arguments), self._inputs)
            context = copy_context()
            if of_tensors:
                from ...graph.value_arrays import stand_for_tensors  # imported here, because it needs numpy

                context.run(stand_for_tensors.set, True)
            result = without_collector(functools.partial(context.run, called))
        except (TypeError, ValueError, IndexError, AttributeError, RuntimeError, SystemError) as error:
            counts = {argument: part and len(leaf_paths(part, argument)) for argument, part in self._treedef}
            add_advice(self.name, error, of_tensors, counts)
            raise
        _refuse_changed_arguments(self.name, given)
        return result

    def _read_result(self, result: Any) -> None:
        """Find the numbers in the result of the function, and how they are nested.

        Raises:
            TypeError: the result contains no number, or something that is not a number.
        """
        leaves, rebuild = flatten(result)
        if not leaves:
            raise TypeError(f"{self.name} returned {result!r}, which contains no number")
        self.integers = {i: x for i, (path, x) in enumerate(leaves) if path and type(x) in (int, bool)}
        self.rebuild = functools.partial(_with_integers, rebuild, self.integers) if self.integers else rebuild
        is_pair = isinstance(result, (tuple, list)) and len(result) == 2
        self._rebuild_second = flatten(result[1])[1] if is_pair else None
        self.single, self.output_count = not leaves[0][0], len(leaves)
        self.result_paths = [path for path, _ in leaves]
        self._is_list = type(result) is list and self.result_paths == [f"[{i}]" for i in range(len(result))]
        self.shape: tuple[int, ...] | None = None
        if not self.integers and (self._is_list or is_array(result)):
            self.shape = (len(result),) if self._is_list else result.shape
        self._recorded = [_output(self.name, path, x) for path, x in leaves]

    @property
    def has_indices(self) -> bool:
        """Whether an operation, such as `take`, selects by an index. If an index is out of range, the result is nan."""
        return bool(self.indices.counts or self.indices.computed)

    @property
    def outputs(self) -> Sequence[Value]:
        """The numbers that the function returned, as the nodes that it computed."""
        return self._recorded

    @property
    def results(self) -> list[float]:
        """The numbers that the function returned."""
        return [x._data for x in self._recorded]

    def auxiliary(self, rows: Iterable[list[float]]) -> list[Any]:
        """Return the second items of the pairs that the function returns for several samples, whose numbers are `rows`.

        The first item of a pair is a number.
        """
        assert self._rebuild_second is not None  # `check_pair` has raised an error otherwise
        rebuild = self._rebuild_second
        if self.integers:
            after = {i - 1: x for i, x in self.integers.items() if i}
            rebuild = functools.partial(_with_integers, rebuild, after)
        return [rebuild(numbers[1:]) for numbers in rows]

    def nested_results(self, rows: Any) -> Any:
        """Return the results of several samples, of which `rows` has the numbers, nested as the function returned them.

        `rows` are in a list of lists, or in a numpy array with two axes. If they are in an array, and the result of
        each sample is a list of numbers or a numpy array, the results are one array, whose first axis runs over the
        samples. All other results are in a list.
        """
        if isinstance(rows, list):
            return rows if self._is_list and not self.integers else [*map(self.rebuild, rows)]
        return [*map(self.rebuild, rows.tolist())] if self.shape is None else rows.reshape(len(rows), *self.shape)

    def bucket(self, static: tuple[Any, ...]) -> Bucket:
        """Return the recorded sample as a bucket with one row. `static` has the static arguments of the sample."""
        return Bucket(self._treedef, static, array("d", [x._data for x in self._inputs]), len(self._inputs), [0])

    def compile(self, parameters: Sequence[Value]) -> None:
        """Make a program for the guards, the comparisons that must have the same outcome, and one for the outputs.

        `parameters` has the parameters of the function's earlier programs. The lists of parameters of the two new
        programs begin with these, in this order.
        """
        self.guards = CompiledGuards(self.name, self._with_constants_for_made_leaves(), self._inputs, parameters)
        of_guards = [self.guards.compiled] if self.guards.compiled else []
        if of_guards:
            parameters = of_guards[0].graph.parameters
        self.program = Program(self._outputs[0] if self.single else self._outputs, self._inputs, parameters)
        self.compiled = [self.program.compiled, *of_guards]
        self._leaves.watch_constants(self.compiled)

    def _with_constants_for_made_leaves(self) -> list[Guard]:
        """Put constants in place of leaves that the function makes anew in each call, since nobody can train them.

        They are put into the outputs of the program, and into the guards that are returned.
        """
        made = self._leaves.constants_for_made(self._recorded, self._outputs)
        if not made:
            return self._guards
        count, nodes = len(self._outputs), with_leaves(self._nodes(self._outputs), made)
        self._outputs = nodes[:count]
        return [guard._replace(node=x) for guard, x in zip(self._guards, nodes[count:], strict=True)]

    def note_repeated(self, again: Recording) -> None:
        """Note which leaves the function makes anew in each call: those that the equal recording `again` lacks."""
        self._leaves.note_made(self.leaves() - again.leaves())

    @cached_property
    def loss(self) -> Program:
        """A program that computes only the first number that the function returned, the one to differentiate."""
        if self.single:
            return self.program
        return self.program.with_outputs(self._outputs[0])

    @cached_property
    def arguments(self) -> dict[str, tuple[slice, TreeDef]]:
        """A dict from the name of each argument to a pair: the slice of a row that has its numbers, and its treedef.

        A treedef describes how an argument is nested, without its numbers.
        """
        found, end = {}, 0
        for argument, part in self._treedef:
            count = len(leaf_paths(part, argument))
            found[argument] = slice(end, end + count), part
            end += count
        return found

    @cached_property
    def branch(self) -> Program:
        """A program that computes the outputs and, if there are guards, checks them for all rows.

        A guard is a comparison that must have the same outcome as for the recorded sample.
        """
        return self.program.with_guards(self.guards) if self.guards.compiled else self.program

    @cached_property
    def indices(self) -> Indices:
        """The indices by which operations of the program select one of several operands, as `cross_entropy` does."""
        graph = self.program.compiled.graph
        return indices_of(graph) if graph.has_gathers else Indices({}, {}, {})

    def guard_broken_by(self, other: Recording) -> Guard:
        """Return the first guard of this recording whose comparison had another outcome in the recording `other`.

        If there is none, return the last guard.
        """
        pairs = zip(self._guards, other.outcomes, strict=False)
        return next((guard for guard, outcome in pairs if guard.outcome != outcome), self._guards[-1])

    def leaves(self) -> set[Value]:
        """Return the leaves of the recorded graph and of its guards, which are comparisons, without the inputs."""
        return self._leaves.of(self._nodes(self._recorded))

    def trainable_leaves(self) -> list[Value]:
        """Return the leaves that require a gradient, without inputs and leaves that the function makes anew."""
        return self._leaves.trainable(self._nodes(self._recorded))

    def _nodes(self, results: Sequence[Value]) -> list[Value]:
        """Return the results of the function, followed by the nodes of its comparisons, which are guards."""
        return [*results, *[guard.node for guard in self._guards]]

    def folded(self) -> Recording:
        """Return this recording as it would have been made now, if some of its parameters have been frozen since.

        A value that is computed from frozen parameters alone is then a constant, and a comparison of such constants is
        not a guard. If there are no such values, return this recording itself.
        """
        if not some_frozen(self.program.parameters):
            return self
        roots = self._nodes(self._recorded)
        nodes = with_folded(roots, self._leaves.unheld)
        if nodes == roots:
            return self
        made, count = copy.copy(self), len(self._recorded)
        made._recorded = nodes[:count]
        guards = [guard._replace(node=x) for guard, x in zip(self._guards, nodes[count:], strict=True)]
        made._guards = [guard for guard in guards if guard.node.op or guard.held != bool(guard.node._data)]
        made.outcomes = [guard.outcome for guard in made._guards]
        return made

    def _captured_values(self) -> set[CapturedValue]:
        """Return the leaves that stand for values which were computed before the function was called."""
        return Leaves.captured(self._nodes(self._outputs)) if self._captured else set()

    def is_same(self, other: Recording) -> bool:
        """Return whether the program of this recording can be used for `other`, a recording without a program.

        Return False if the function compares by ==, or if its result is nested: this method cannot tell then.
        """
        if not (self.single and other.single) or self.outcomes != other.outcomes:
            return False
        leaves = self.leaves()
        if any(guard.is_equality for guard in self._guards) or leaves != other.leaves():
            return False
        try:
            self.program.check_frozen("compile")
            self.program.compiled.data.check_constants()
            self.program.compiled.check_operations()
        except ValueError:  # the program has other constants, or an operation has changed
            return False
        return not self.difference(other, leaves)

    def difference(self, other: Recording, known: Container[Value] = ()) -> str:
        """Return a string that says how the graphs of this recording and of `other` differ; "" if they do not.

        Leaves that were made while the function was recorded count as the same if they have the same data, and both or
        neither require a gradient. Comparisons by == are left out, since plain `Value`s do not report them.

        Args:
            other: the recording to compare with, of the same function.
            known: leaves that were not made while the function was recorded.
        """
        for captured in self._captured_values() ^ other._captured_values():
            original = describe(captured.original)
            return f"one of them uses {original}, computed before the call, and the other another Value"
        ordered = [[guard for guard in made._guards if not guard.is_equality] for made in (self, other)]
        # Their texts may differ, since one may have the number of a value that is frozen now. Nodes are compared below
        if [(x.held, x.location) for x in ordered[0]] != [(x.held, x.location) for x in ordered[1]]:
            return "one of them makes other comparisons"
        if self.result_paths != other.result_paths:
            paths, other_paths = ", ".join(self.result_paths), ", ".join(other.result_paths)
            return f"one of them returns {paths or 'a number'}, the other {other_paths}"
        ours, theirs = [
            RecordedGraph([*made._recorded, *[guard.node for guard in guards]], made._inputs, made._leaves.unheld)
            for made, guards in zip((self, other), ordered, strict=True)
        ]
        return graph_difference(ours, theirs, known)


def _with_integers(rebuild: Callable[..., Any], integers: Mapping[int, int], numbers: Sequence[float]) -> Any:
    """Return `rebuild(numbers)`, after the numbers at the indices in `integers` are replaced by its ints and bools."""
    leaves: list[Any] = [*numbers]
    for i, x in integers.items():
        leaves[i] = x
    return rebuild(leaves)


def _leaves_in(x: Any) -> Iterator[Any]:
    """Yield the leaves of nested lists, tuples, dicts and numpy arrays."""
    kind = type(x)  # `isinstance` would ask a value for its class, which takes longer
    if issubclass(kind, (list, tuple, dict)):
        for item in x.values() if issubclass(kind, dict) else x:
            yield from _leaves_in(item)
    elif is_of_numpy(x) and x.shape:
        yield from x.flat
    else:
        yield x


def _refuse_changed_arguments(name: str, given: Iterable[tuple[str, Any, list[Any]]]) -> None:
    """Raise TypeError if the function `name` has changed an argument. A program would not change it for its caller.

    `given` has the name of each argument, the argument, and the leaves that it had before the call.
    """
    for argument, x, before in given:
        now = [*_leaves_in(x)]
        if len(now) != len(before) or not all(map(is_, now, before)):
            raise TypeError(
                f"{name} changes its argument {argument}, and a program would not change that of its caller; write "
                f"{argument} = {argument}.copy() at its beginning, and return what the caller needs of it"
            )


def _output(name: str, path: str, x: Any) -> Value:
    if is_of_numpy(x) and x.shape == ():  # what np.squeeze and np.where make of one Value
        x = x.item()
    try:
        return x if isinstance(x, Value) else constant(number(x))
    except TypeError as error:
        instead = "; or leave it out, and return numbers alone" if path and (x is None or isinstance(x, str)) else ""
        if isinstance(x, Iterator):  # a generator, or what map and zip return
            instead = "; return list(...) of it"
        elif x is None and not path:
            instead = "; it may lack a return"
        elif hasattr(x, "__dict__") and not hasattr(x, "__float__"):  # such as a dataclass
            instead = "; return its numbers in a list, a tuple or a dict"
        text = str(error).removesuffix(number_instead(x)) + instead if instead else str(error)
        raise TypeError(
            f"{name} returned something that is not a number{f' at {path}' if path else ''}: {text}"
        ) from None
