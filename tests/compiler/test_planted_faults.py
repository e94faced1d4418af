"""Faults are planted in each stage of the compiler, and a comparison with the eager engine must notice each of them.

This tests the tests: a comparison that misses a planted fault would miss a real one too.
"""

import random
from array import array
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import llvmlite.binding as llvm
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile, native, program  # noqa: A004 -- the field's name
from micrograd_cn.compiler.c import arrays as c_arrays
from micrograd_cn.compiler.c import loops as c_loops
from micrograd_cn.compiler.c.text import Text
from micrograd_cn.compiler.data import parameters, rows
from micrograd_cn.compiler.function import jit
from micrograd_cn.compiler.function.hooks import RecordingHooks
from micrograd_cn.compiler.instructions import fusion
from micrograd_cn.compiler.instructions.code import SAMPLE
from micrograd_cn.compiler.instructions.formulas import Formulas
from micrograd_cn.compiler.instructions.gradient import _ReverseMode
from micrograd_cn.compiler.instructions.lowering import CodeBuilder
from micrograd_cn.compiler.llvm import elementary
from micrograd_cn.compiler.llvm import machine as machines
from micrograd_cn.compiler.llvm.lanes import StraightLineLanes
from micrograd_cn.compiler.llvm.machine import Machine, machine
from micrograd_cn.compiler.llvm.operands import Vector
from micrograd_cn.compiler.llvm.text import FAST_KERNEL_PREFIX, KERNEL_PREFIX
from micrograd_cn.compiler.loops.places import WORD, Places
from micrograd_cn.compiler.loops.schedule import Schedule
from micrograd_cn.compiler.loops.stages import Map, OuterProduct
from micrograd_cn.compiler.loops.vectorizer import Vectorizer
from micrograd_cn.compiler.python import PythonWriter
from micrograd_cn.compiler.runtime.drivers import Drivers
from micrograd_cn.compiler.runtime.executable import Executable
from micrograd_cn.compiler.tables import gathers, sums
from micrograd_cn.compiler.tables.tables import Tables
from micrograd_cn.compiler.tables.threaded import Threaded
from micrograd_cn.compiler.training import update
from micrograd_cn.compiler.training.run import TrainingRun
from micrograd_cn.compiler.training.state import TrainingState
from micrograd_cn.nn import MLP

from . import test_calling, test_derivatives, test_guards, test_jit, test_python_source, test_takes, test_training
from .c_files import HAS_C, compiled
from .common import assert_like_eager, code_of

COMPILER = "micrograd_cn.compiler"


# The comparisons, some of which are tests of other files


def of_a_network():
    """Compare a network's loss and gradient with the engine's."""
    model = MLP(10, [8, 2], activation="silu", seed=1)
    rng = random.Random(0)
    rows = [[rng.gauss(0, 1) for _ in range(11)] for _ in range(21)]

    def loss(*row):
        return (mc.logsumexp(model(row[:10])) - row[10]) ** 2

    assert_like_eager(loss, [Value(0.3) for _ in range(11)], model.parameters(), rows)


def of_sums():
    """Compare a graph with the engine that has sums of all kinds, functions, constants and values of a batch."""
    rng = random.Random(1)
    ws = [Value(rng.gauss(0, 1)) for _ in range(12)]

    def f(*xs):
        shuffled = [ws[k] for k in (5, 3, 9, 0, 1, 1, 8, 2, 4)]
        inner = mc.dot([x - 0.5 for x in xs], [mc.tanh(x) for x in xs], ws[3] * xs[1])
        mixed = mc.dot([*shuffled, xs[0]], [*xs, xs[1]], 0.25) - mc.dot(ws[:9], xs, ws[10])
        early = mc.sum([mc.exp(w) - 0.1 for w in ws]) * mc.dot(ws, ws[::-1])
        bent = mc.elu(ws[0] * xs[0], 0.5) + mc.elu(ws[0] * xs[1], 2.0)
        return (
            bent + inner * mixed + early / (2.0 + xs[2] * xs[2]) + mc.where(mc.less(xs[0], ws[0]), xs[3], ws[1] - xs[4])
        )

    rows = [[rng.gauss(0, 1) for _ in range(9)] for _ in range(19)]
    assert_like_eager(f, [Value(0.5) for _ in range(9)], ws, rows)


def of_c():
    """Compare the C source with the program."""
    if not HAS_C:
        raise AssertionError("there is no C compiler, which would notice")
    ws, xs = [Value(0.3 * k - 1.0) for k in range(30)], [Value(0.1 * k) for k in range(9)]
    hidden = [mc.tanh(mc.dot(ws[k : k + 9], xs, ws[k])) - 0.5 * xs[k] for k in range(9)]
    y = mc.dot(hidden, hidden[::-1]) + mc.sum([mc.sigmoid(h) * x for h, x in zip(hidden, xs, strict=True)])
    y = y - mc.take([*ws[:5], xs[1]], xs[0]) + mc.exp(ws[1]) * xs[2]
    program, rows = compile(y, xs), [[2.0, *(0.1 * k - 0.3 * i for k in range(8))] for i in range(3)]
    mean = program.backward(rows)
    with TemporaryDirectory() as folder:
        file = compiled(program, Path(folder))
    numbers = [p.data for p in program.parameters]
    assert [file.forward(numbers, row)[0] for row in rows] == pytest.approx(program.forward(rows), rel=1e-12)
    found, gradient = file.gradient(numbers, rows)
    assert found == pytest.approx(mean, rel=1e-12)
    assert gradient == pytest.approx([p.grad for p in program.parameters], rel=1e-10)


def of_takes():
    test_takes.test_out_of_range_is_nan_in_its_own_row_alone(None, "mixed", 7)


def of_training():
    test_training.test_fit_is_the_eager_training_and_eager_training_goes_on_from_it()


def of_python():
    test_python_source.test_the_same_text_runs_on_math(lambda x, w: mc.tanh(x / 0.7) - x * w)


def of_branches():
    test_calling.test_guards_are_computed_with_parameters_as_they_are()


def of_what_was_computed_before():
    test_guards.test_what_was_computed_before_stays_what_it_was(lambda f: f)
    test_guards.test_its_gradient_goes_on_to_what_it_was_computed_from([(1.0,), (-2.0,), (0.5,)])


def of_samples():
    test_jit.test_training_is_that_of_an_eager_loop("forms", 4, 1)


def of_derivatives():
    test_derivatives.test_every_row_has_the_numbers_of_the_functions_derivatives(2, None)


# The faults. The name of each says what it makes wrong.


def change_result(patch, kind, name, change):
    """Let a function return `change(result, *operands)` instead of its result."""
    method = getattr(kind, name)
    patch.setattr(kind, name, lambda *operands, **more: change(method(*operands, **more), *operands))


def lost_contribution(patch):
    gradient = _ReverseMode._gradient_of

    def of_one_less(self, node, received):
        pairs = received.pairs
        pairs[node] = pairs[node][: max(len(pairs[node]) - 1, 1)]
        return gradient(self, node, received)

    patch.setattr(_ReverseMode, "_gradient_of", of_one_less)


def lost_product(patch):
    dot = CodeBuilder.dot

    def of_one_less(self, pairs, terms, form="dot"):
        pairs = list(pairs)
        return dot(self, pairs[len(pairs) > 3 :], terms, form)

    patch.setattr(CodeBuilder, "dot", of_one_less)


def stale_constant(patch):
    formula, first = Formulas.of, {}

    def of_the_first_constants(self, op, kind, known):
        kinds = tuple([x is None for x in known])
        return first.setdefault((op, kind, kinds), formula(self, op, kind, known))

    patch.setattr(Formulas, "of", of_the_first_constants)


def lost_last_product(patch):
    def without(groups, *_):
        for group in groups:
            lefts, rights = ([side[:-1] for side in sides] for sides in (group.lefts, group.rights))
            yield replace(group, lefts=lefts, rights=rights)

    change_result(patch, Schedule, "_group_sums", without)


def no_order_of_ranks(patch):
    def one_rank(ranks, *_):
        found = [*ranks]
        plain = sorted(i for rank in found if isinstance(rank, list) for i in rank)
        return [*([plain] if plain else []), *[rank for rank in found if not isinstance(rank, list)]]

    change_result(patch, Schedule, "_ranks", one_rank)


def one_place_for_two(patch):
    take, count = Places.allocate, [0]

    def sometimes_the_last(self, n):
        count[0] += n == 1
        return self.scalar_count - 1 if n == 1 and count[0] % 7 == 0 else take(self, n)

    patch.setattr(Places, "allocate", sometimes_the_last)


def rounded_index(patch):
    numbers = gathers._indices
    patch.setattr(gathers, "_indices", lambda lanes, x, count: numbers(lanes, x.intrinsic("llvm.floor"), count))


def no_nan_after_the_operands(patch):
    places = Tables._operand_table
    patch.setattr(Tables, "_operand_table", lambda self, xs, samples: places(self, (*xs, xs[-1]), samples))


def exchanged_in_a_difference(patch, language=StraightLineLanes):
    operation = language.operation

    def wrong(self, opcode, xs):
        return operation(self, opcode, xs[::-1] if opcode == "fsub" else xs)

    patch.setattr(language, "operation", wrong)


def lost_term(patch):
    sum_ = StraightLineLanes.sum
    patch.setattr(StraightLineLanes, "sum", lambda self, opcode, pairs, terms: sum_(self, opcode, pairs, [*terms][1:]))


def lost_value(patch):
    functions_and_loops = native.functions_and_loops

    def without_one(plan, outputs):
        found = functions_and_loops(plan, ())  # without outputs, all stored values are operands of later instructions
        for x in found[SAMPLE]:
            if isinstance(x, native.NativeFunction):
                x.stored.discard(max(x.stored & plan.vector.keys(), default=None))
        return found

    patch.setattr(f"{COMPILER}.native.functions_and_loops", without_one)


def wrong_coefficient(patch):
    first, *rest = elementary.EXP
    patch.setattr(elementary, "EXP", (first + 1e-9, *rest))


def lost_lane(patch):
    def without_last(found, vector, x, lane):
        return vector if lane == vector.count - 1 > 0 else found

    change_result(patch, Vector, "insert", without_last)


def lost_tail(patch):
    patch.setattr(Drivers, "_block_count", lambda self, n: (n // self.lanes).maximum(1))


def gradients_of_no_rows(patch):
    panel = Drivers._run_panel
    patch.setattr(
        Drivers,
        "_run_panel",
        lambda self, f, start, n, seeds, *rest: panel(self, f, start, n, seeds and (seeds[0], seeds[0]), *rest),
    )


def one_block_of_a_panel(patch):
    panel = Drivers._run_panel
    patch.setattr(Drivers, "_run_panel", lambda self, f, *rest: panel(self, f, *rest[:3], 1, *rest[4:]))


def unscaled_means(patch):
    means = Drivers._scale_totals
    patch.setattr(Drivers, "_scale_totals", lambda self, f, scale: means(self, f, scale * 2.0))


def unwritten_parameters(patch):
    patch.setattr(Executable, "write", lambda *_: None)


def exchanged_parts(patch):
    opcode = fusion._Trees.opcode
    patch.setattr(fusion._Trees, "opcode", lambda self, i, inputs: opcode(self, i, inputs[::-1]))


def exchanged_in_c(patch):
    exchanged_in_a_difference(patch, Text)


def one_place_for_two_in_c(patch):
    take, count = Places.allocate, [0]

    def sometimes_the_last(self, n):
        count[0] += 1
        found = take(self, n)
        return found - (count[0] % 2 == 0 and found > c_arrays.WORK)

    patch.setattr(Places, "allocate", sometimes_the_last)


def lost_total_in_c(patch):
    add = c_loops.Loops.add_each
    patch.setattr(c_loops.Loops, "add_each", lambda self, totals, place: add(self, totals[1:], place))


def lost_operation_in_python(patch):
    line = PythonWriter.assign
    patch.setattr(PythonWriter, "assign", lambda self, text, names: line(self, text.replace(" - ", " + "), names))


def comparisons_that_are_not_looked_at(patch):
    patch.setattr(RecordingHooks, "compared", lambda *_: None)


def a_call_with_old_parameters(patch):
    patch.setattr(parameters.CachedData, "__call__", cache(parameters.CachedData.__call__))


def captured_values_that_change(patch):
    patch.setattr(RecordingHooks, "with_captured_leaves", lambda self, outputs, known: (list(outputs), self.guards))


def gradients_that_end_at_captured_values(patch):
    patch.setattr(program, "add_gradients", add_plain)
    patch.setattr(jit, "add_gradients", add_plain)


def add_plain(parts):
    """Add gradients to leaves alone, and drop those of captured values."""
    for leaves, found, *_ in parts:
        for p, g in zip(leaves, found, strict=True):
            if type(p) is Value:
                p.grad += g


def samples_in_the_order_of_the_list(patch):
    patch.setattr(TrainingRun, "_set_order", lambda self, order: reorder(self, array("q", sorted(order))))


reorder = TrainingRun._set_order


# Faults that change what a method or a function returns
CHANGES = {
    "half_turned": (OuterProduct, "transpose", lambda found, *_: replace(found, rights=found.rights[::-1])),
    "other_partial": (CodeBuilder, "partials", lambda found, _, op, *rest: found[::-1] if op is mc.mul else found),
    "exchanged_operands": (
        CodeBuilder,
        "_formula_call",
        lambda call, *_: call and call._replace(operands=call.operands[::-1]),
    ),
    "lost_start_of_a_loop": (CodeBuilder, "_loop_products", lambda found, *_: (found[0], [])),
    "gathered_from_the_next_place": (Tables, "_padded", lambda found, *_: [*found[1:], found[0]]),
    "gathered_without_order": (Vectorizer, "_map", lambda found, *_: Map(found.opcode, found.numbers[::-1])),
    "wrong_distance": (Tables, "_strided", lambda found, *_: (found[0], found[1] + WORD)),
    "wrong_copies": (Tables, "_pack", lambda place, *_: place - WORD),
    "no_scalars_in_lanes": (Tables, "_broadcast_calls", lambda *_: []),
    "wrong_neighbour": (
        gathers,
        "_indices",
        lambda found, lanes, x, count: (found[0], [(k + 1) % count for k in found[1]]),
    ),
    "index_of_another_lane": (gathers, "_indices", lambda found, *_: (found[0], found[1][::-1])),
    "totals_of_one_lane": (sums, "horizontal_sums", lambda found, xs: xs[0]),
    "exchanged_in_a_table": (Threaded, "_operands", lambda found, *_: found[::-1] if len(found) == 2 else found),
    "no_constants": (Places, "fill", lambda _, self, view: [view.__setitem__(at, 0.0) for at in self.constants]),
    "state_as_data": (update, "lower_update", lambda found, *_: (found[0], [found[1][1], *found[1][1:]])),
    "other_learning_rate": (TrainingState, "__init__", lambda found, self, *_: self.scalars.view.__setitem__(0, 0.5)),
    "one_form_for_others": (
        fusion._Trees,
        "grow",
        lambda _, self, *rest: self.trees.update({i: (*tree[:2], len(tree[1])) for i, tree in self.trees.items()}),
    ),
    "other_index_in_c": (c_arrays, "linear", lambda found, *_: found.replace("+ i", "- -i * 0")),
    "a_sub_batch_of_one_structure": (TrainingRun, "_sub_batches", lambda found, *_: found[:1]),
    "values_of_other_entries": (
        program,
        "entries",
        lambda found, *_: found._replace(values=[*found.values[1:], found.values[0]]),
    ),
    "rows_of_other_columns": (rows, "_read_sequences", lambda found, *_: (found[0][::-1], found[1])),
}

# The faults, by the comparison that notices them and the kind of code that it runs
FAULTS = {
    (of_sums, "threaded"): [
        "other_partial",
        lost_contribution,
        lost_product,
        stale_constant,
        "exchanged_operands",
        lost_last_product,
        "lost_start_of_a_loop",
        no_order_of_ranks,
        "wrong_distance",
        "wrong_copies",
        one_place_for_two,
        "no_scalars_in_lanes",
        "totals_of_one_lane",
        exchanged_in_a_difference,
        "exchanged_in_a_table",
        wrong_coefficient,
        lost_lane,
        lost_tail,
        gradients_of_no_rows,
        one_block_of_a_panel,
        unscaled_means,
        unwritten_parameters,
        "no_constants",
        "rows_of_other_columns",
    ],
    (of_sums, "native"): [lost_product, exchanged_in_a_difference, lost_term, lost_value, "no_constants"],
    (of_sums, "gathered"): ["gathered_from_the_next_place", "gathered_without_order"],
    (of_a_network, "threaded"): ["half_turned"],
    (of_takes, "native"): ["wrong_neighbour"],
    (of_takes, "threaded"): ["wrong_neighbour", rounded_index, "index_of_another_lane", no_nan_after_the_operands],
    (of_training, "threaded"): ["state_as_data", "other_learning_rate"],
    (of_sums, "fused"): [exchanged_parts],
    (of_a_network, "fused"): ["one_form_for_others"],
    (of_c, "threaded"): [exchanged_in_c, one_place_for_two_in_c, "other_index_in_c", lost_total_in_c],
    (of_python, "threaded"): [lost_operation_in_python],
    (of_branches, "threaded"): [comparisons_that_are_not_looked_at, a_call_with_old_parameters],
    (of_what_was_computed_before, "threaded"): [captured_values_that_change, gradients_that_end_at_captured_values],
    (of_samples, "threaded"): [samples_in_the_order_of_the_list, "a_sub_batch_of_one_structure"],
    (of_derivatives, "threaded"): ["values_of_other_entries"],
}


@pytest.fixture(autouse=True)
def apart(monkeypatch):
    """Compile kernels and updates anew for each test, so they contain its fault, and restore the old ones later."""
    real, fresh = machine(), Machine()
    monkeypatch.setattr(machines, "_machine", fresh)
    monkeypatch.setattr(update, "_cache", {})
    yield
    for prefix, addresses in zip((KERNEL_PREFIX, FAST_KERNEL_PREFIX), real.addresses, strict=True):
        for name, address in addresses.items():
            llvm.add_symbol(name.replace(KERNEL_PREFIX, prefix), address)


@pytest.mark.parametrize("comparison", [of_sums, of_a_network])
def test_without_a_fault_there_is_no_difference(code, comparison):
    """The comparisons pass without a fault, so it is the fault that makes them fail."""
    comparison()


@pytest.mark.parametrize(
    ("comparison", "kind", "fault"),
    [(*key, fault) for key, faults in FAULTS.items() for fault in faults],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_a_planted_fault_is_noticed(comparison, kind, fault, monkeypatch):
    """With a planted fault, the comparison that FAULTS names for it fails."""
    if isinstance(fault, str):
        change_result(monkeypatch, *CHANGES[fault])
    else:
        fault(monkeypatch)
    with code_of(kind), pytest.raises((AssertionError, pytest.fail.Exception)):
        comparison()
