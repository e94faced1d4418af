"""Executables: how large their memory is, how long they run, and what is worth native code or fast functions."""

import ctypes
import gc
import math
import re
from array import array
from itertools import count
from math import inf, nan

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import (
    compile,  # noqa: A004 -- the field's name
    drivers,
    executable,
)
from micrograd_cn.compiler.executable import ALIGNED, ALIKE, LEAST, PATIENCE, SOON, Executable
from micrograd_cn.compiler.instructions import AFTER, BATCH, SAMPLE
from micrograd_cn.compiler.machine import Memory, machine
from micrograd_cn.compiler.native import parts_of
from micrograd_cn.compiler.places import WORD
from micrograd_cn.compiler.plan import SLACK, Plan
from micrograd_cn.compiler.schedule import ALONE, CHUNK, LARGEST

from .common import close, executable_of, problem


def small(parameters=1):
    """Return a program, and its parameters."""
    x, ws = Value(0.5), [Value(0.25 * k) for k in range(parameters)]
    return compile(mc.sum([mc.sin(w * x) for w in ws]) + x, [x]), ws


def record(made):
    """Return the fields of an executable's record."""
    words = next(table for table in made.plan.tables if table.buffer_info()[0] == made.record)
    return dict(zip(drivers.FIELDS, words, strict=True))


# Memory


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("lanes", [True, False])
def test_memory_is_what_the_values_need_and_an_odd_number_of_slots(native, lanes):
    """An odd number, since blocks at multiples of a power of two would share the same few places of a cache."""
    for outputs in range(1, 4):
        x, w = Value(0.5), Value(0.25)
        made = executable_of(compile([mc.exp(w * x) for _ in range(outputs)], [x]), native, lanes, "forward")
        scalars, panel, totals = made.sizes
        slots = made.stages.places.slots
        assert scalars == made.stages.places.scalars + SLACK
        assert totals == made.plan.count + SLACK
        block = record(made)["block"]
        beyond = made.lanes * outputs if native and lanes else 0  # of a block that is not full, if code stores rows
        assert record(made)["stored"] == native
        assert panel == made.plan.blocks * block // WORD + beyond
        if lanes:
            assert block // (WORD * made.lanes) in (slots, slots + 1)
            assert block // (WORD * made.lanes) % 2 == 1
            assert block % (WORD * made.lanes) == 0
        else:
            assert block == 0
        assert record(made)["panel"] == made.plan.blocks


@pytest.mark.parametrize(("parameters", "pitch"), [(0, 16), (1, 16), (16, 16), (17, 32), (32, 32), (33, 48)])
def test_parameters_and_then_their_gradients_have_whole_blocks_of_the_widest_width(parameters, pitch):
    program, _ = small(parameters)
    assert ALIGNED == 16
    assert program.executables.pitch == pitch
    made = executable_of(program, native=False, lanes=False)
    assert record(made)["gradients_at"] == WORD * pitch
    others = [place for i, place in made.plan.scalar.items() if made.plan.code.instructions[i][0] != "parameter"]
    assert min([made.plan.columns_at, *others]) == 2 * pitch


def test_a_record_says_where_everything_is():
    program, ws = small(5)
    for lanes in (True, False):
        made = executable_of(program, native=False, lanes=lanes)
        plan, fields = made.plan, record(made)
        assert fields["columns"] == fields["outputs"] == made.outputs == 1
        assert fields["columns_at"] == WORD * plan.columns_at * made.lanes
        assert fields["totals_at"] == WORD * plan.totals_at
        assert fields["count"] == plan.count
        parts = (ctypes.c_int64 * (3 * fields["gradients"])).from_address(fields["gradient_table"])[:]
        found = {parts[k + 1] + n: parts[k] + WORD * n for k in range(0, len(parts), 3) for n in range(parts[k + 2])}
        assert found == {k: plan.at(i) for k, i in enumerate(program.executables.lowering.gradients)}
        assert len(found) == len(ws)
        seed = next(i for i in plan.schedule.needed if plan.code.instructions[i] == ("seed",))
        assert fields["seed_at"] == plan.at(seed)
        forward = record(executable_of(program, native=False, lanes=lanes, kind="forward"))
        assert forward["seed_at"] == -1
        assert forward["gradients"] == 0


def test_buffers_hold_the_constants_and_samples_of_single_rows_are_scalars():
    program, _ = small()
    for lanes in (True, False):
        made = executable_of(program, native=False, lanes=lanes)
        memory = made.memory([7.0])
        assert memory.s.data[0] == 7.0
        assert all(memory.s.data[place] == x for place, x in made.constants.items())
        assert [len(part.data) for part in (memory.s, memory.w, memory.a)] == [
            made.sizes[0],
            max(made.sizes[1], 1),
            made.sizes[2],
        ]
        assert memory.addresses == (memory.s.address, (memory.w if lanes else memory.s).address, memory.a.address)


def test_memory_is_used_again_and_is_no_other_threads():
    program, _ = small()
    made = executable_of(program, native=False)
    with made.memories([1.0], 3) as taken:
        assert len(set(map(id, taken))) == 3
    with made.memories([2.0], 2) as again:
        assert all(memory in taken for memory in again)
        assert [memory.s.data[0] for memory in again] == [2.0, 2.0]


@pytest.mark.parametrize("native", [True, False])
def test_a_list_of_stages_has_a_function_and_a_table_for_each_and_ends_with_zeros(native):
    xs, ws = [Value(0.5) for _ in range(9)], [Value(0.25 * k) for k in range(9)]
    made = executable_of(compile(mc.exp(mc.dot(ws, xs)) + mc.dot(xs, xs), xs), native)
    plan, fields = made.plan, record(made)
    tables = {table.buffer_info()[0]: list(table) for table in plan.tables}
    for phase, name in ((BATCH, "batch"), (SAMPLE, "sample"), (AFTER, "after")):
        words = tables[fields[name]]
        entries = [words[k : k + 2] for k in range(0, len(words), 2)]
        assert entries[-1] == [0] * 2
        assert all(function for function, *_ in entries[:-1])
        kept = parts_of(plan)[phase] if native else plan.stages[phase]
        assert len(entries) - 1 == len(kept) + len(plan.packed) * (phase == BATCH)
        for one, (_, table) in zip(kept, entries, strict=False):
            assert table == 0 if native and not one.shared else table in tables


# Time


@pytest.mark.parametrize("threads", [1, 2])
def test_seconds_are_those_of_all_runs(threads, monkeypatch):
    monkeypatch.setattr(executable, "PATIENCE", inf)
    _, program, rows, _ = problem()
    for kind, run in (("forward", program.forward), ("gradient", program.backward)):
        made = program.executables.best(kind, len(rows))
        before = made.seconds
        monkeypatch.setattr(executable.time, "perf_counter", map(float, count()).__next__)
        for k in range(1, 4):
            run(rows, threads=threads)
            assert made.seconds - before == pytest.approx(k)


def test_what_is_large_or_has_not_run_long_is_not_worth_native_code():
    program, _ = small()
    executables = program.executables
    made = executables.get("forward", False, False)
    schedule = made.plan.schedule
    for size in (1, LARGEST):
        schedule.size = size
        assert executables.worth(made, size * PATIENCE)
        assert not executables.worth(made, size * PATIENCE * 0.999)
    schedule.large = True
    assert not executables.worth(made, 1e9)
    assert not executables.worth(executables.get("forward", False, True), 1e9)


def test_what_runs_for_two_seconds_gets_native_code_whatever_its_size_and_fast_functions_soon_before():
    assert 1.0 < LARGEST * PATIENCE < 2.0
    assert 1e-3 < SOON < 1e-1


def test_a_program_says_what_it_is():
    x, w, v = Value(0.5), Value(1.5), Value(2.0)
    one, two = compile(w * x, [x]), compile(mc.tanh(w * x) * v, [x])
    assert repr(one) == "1 operation, 1 parameter, not run yet, 0 kB"
    two.forward([[1.0]])
    assert re.fullmatch(r"3 operations, 2 parameters, threaded code, \d+ kB", repr(two))
    two.executables.get("forward", lanes=False, native=True)
    assert ", native code, " in repr(two)


def test_a_program_says_how_large_it_is_to_the_nearest_kilobyte():
    parts = set()
    for n in range(1, 40, 3):
        x, w = Value(0.5), [Value(0.1 * k) for k in range(n)]
        program = compile(mc.dot(w, [x] * n), [x])
        program.forward([[1.0]])
        made = {x for x in program.executables._made.values() if isinstance(x, Executable)}
        size = sum(8 * sum(x.sizes) + sum(8 * len(t) for t in x.plan.tables) for x in made)
        assert repr(program).endswith(f", {round(size / 1000)} kB")
        parts.add(size % 1000 > 500)
    assert parts == {False, True}


def test_up_to_two_rows_are_done_one_by_one():
    best = small()[0].executables.best
    assert [best("forward", rows).lanes for rows in (1, 2, 3)] == [1, 1, machine().width]


def test_shared_functions_are_made_fast_once_for_what_runs_longer_than_that_takes(monkeypatch):
    program, _ = small()
    executables = program.executables
    made = executables.get("forward", False, False)
    missing = executables.machine.missing
    assert missing([*made.plan.makers, "another"]) == missing(made.plan.makers) + 1
    monkeypatch.setattr(executables.machine, "missing", lambda names: len([*names]))
    executables.hasten(made, SOON * len(made.plan.makers))
    assert not made.plan.fast
    executables.hasten(made, SOON * len(made.plan.makers) * 1.001)
    assert made.plan.fast
    assert missing(made.plan.makers) == 0
    linked = []
    made.plan.link = lambda fast: linked.append(fast)
    executables.hasten(made, 1.0)
    assert linked == []


def test_what_a_prepared_call_needs_is_compiled_together(monkeypatch):
    texts, text = [], machine().text
    monkeypatch.setattr(
        machine(), "text", lambda functions: texts.append([f.name for f in functions]) or text(functions)
    )
    monkeypatch.setattr(machine(), "addresses", ({}, {}))
    monkeypatch.setattr(machine(), "shared", {})
    n, out = 2 * ALONE, array("d", [0.0])
    xs, ws = [Value(1.0) for _ in range(n)], [Value(0.5) for _ in range(n)]
    rows = memoryview(array("d", [2.0] * n)).cast("B").cast("d", (1, n))
    assert compile(mc.exp(mc.dot(ws, xs) / n), [*xs]).prepare(rows, out)()[0] == pytest.approx(math.e)
    assert len([names for names in texts if any("prepared" in name for name in names)]) == 1
    assert len(texts) <= 2  # the program's own, and all that is shared


def test_native_code_of_an_executable_is_for_as_many_rows():
    program, _ = small()
    executables = program.executables
    for lanes in (True, False):
        made = executables.get("forward", lanes, native=False)
        assert made.lanes == (machine().width if lanes else 1)
        assert executables.native(made, "forward") is executables.get("forward", lanes, native=True)
        assert executables.native(made, "forward").lanes == made.lanes


@pytest.mark.parametrize("on", [True, False])
def test_the_garbage_collector_is_off_while_a_program_is_made_and_then_as_it_was(on):
    seen = []
    (gc.enable if on else gc.disable)()
    try:
        with executable.collector_off():
            seen.append(gc.isenabled())
        seen.append(gc.isenabled())
    finally:
        gc.enable()
    assert seen == [False, on]


def test_much_that_was_made_meanwhile_counts_as_old_unless_somebody_has_frozen_something(monkeypatch):
    def is_old(count=2 * executable.MANY_OBJECTS):
        with executable.collector_off():
            made = [[k] for k in range(count)]
        return any(made is x for x in gc.get_objects(generation=2))

    gc.collect()  # counts from 0
    gc.unfreeze()
    try:
        assert [is_old(), is_old(executable.MANY_OBJECTS // 2), gc.get_freeze_count()] == [True, False, 0]
    finally:
        gc.freeze()  # as it was: see conftest.py
    assert not is_old()
    assert gc.get_freeze_count()
    monkeypatch.setattr(gc, "get_freeze_count", None)  # slow where much is frozen
    assert not is_old(executable.MANY_OBJECTS // 2)


def test_memory_is_aligned_to_the_widest_vector():
    for size in (1, 3, 100):
        memory = Memory(size)
        assert memory.address % (WORD * 8) == 0
        assert len(memory.data) == size


@pytest.mark.parametrize("outputs", [*range(1, 10), 31, CHUNK, CHUNK + 1])
def test_outputs_of_every_row_are_where_they_belong_and_nothing_is_written_beyond(code, outputs):
    """Whatever they are: of the row or of none, checked sums, one twice, and more than are stored from registers."""
    parameter, fixed = Value(2.0), Value(7.0)
    fixed.requires_grad = False

    def f(a, b):
        exponential = mc.exp(b)
        made = [mc.sum([a, b, parameter, 1e3]), b * 3.0, fixed, parameter, a, exponential, parameter * parameter]
        made += [made[1], mc.sum([a, b, 5.0]) * exponential]
        made += [made[k % 6] * k - b for k in range(len(made), outputs)]
        return made[:outputs]

    xs = Value(0.5), Value(0.25)
    program = compile(f(*xs), xs)
    for n in (1, 2, 3, 8, 9, 16, 39):
        rows = [[0.5 * i, 1.0 - 0.25 * i] for i in range(n)]
        out = array("d", [nan] * (n * outputs + 3))
        program.forward(rows, out=memoryview(out)[: n * outputs])
        expected = [y.data for row in rows for y in f(*map(Value, row))]
        assert all(map(close, out, expected))
        assert all(map(math.isnan, out[n * outputs :]))


@pytest.fixture
def gathered(monkeypatch):
    """Return a function that says whether the plan of a graph gathers like instructions."""
    given = []
    monkeypatch.setattr(executable, "Plan", lambda *arguments: given.append(arguments[4]) or Plan(*arguments))

    def chosen(outputs, xs, lanes=False):
        compile(outputs, xs).executables.plan("forward", lanes)
        return given[-1]

    return chosen


@pytest.mark.parametrize(("like", "gathers"), [(4 * ALIKE, True), (ALIKE, True), (ALIKE - 1, False)])
def test_like_instructions_of_single_rows_are_gathered_where_a_level_has_many(like, gathers, gathered, monkeypatch):
    xs = [Value(0.5) for _ in range(int(like) + 1)]
    outputs = [mc.sin(x) for x in xs[: int(like)]]
    assert gathered(outputs, xs) is False  # they are too few
    monkeypatch.setattr(executable, "LEAST", 0)
    assert gathered(outputs, xs) is gathers
    assert gathered(outputs, xs, lanes=True) is False


def test_what_has_few_instructions_is_not_gathered(gathered, monkeypatch):
    xs = [Value(0.5) for _ in range(60)]
    outputs = [x * y for x in xs[:8] for y in xs[8:]]
    size = compile(outputs, xs).executables.plan("forward", lanes=False).schedule.size
    for least, gathers in ((size, True), (size + 1, False)):
        monkeypatch.setattr(executable, "LEAST", least)
        assert gathered(outputs, xs) is gathers
    assert 100 < LEAST < 300


def test_native_code_stores_outputs_itself_but_not_very_many():
    x = Value(0.5)
    for outputs, few in ((1, True), (CHUNK, True), (CHUNK + 1, False)):
        program = compile([x * k for k in range(2, outputs + 2)], [x])
        for lanes in (True, False):
            if lanes or outputs == 1:  # so many like ones of a single row are vectors, which lie in memory
                assert record(executable_of(program, True, lanes, "forward"))["stored"] == few
            assert record(executable_of(program, False, lanes, "forward"))["stored"] == 0
            if outputs == 1:
                assert record(executable_of(program, True, lanes, "gradient"))["stored"] == 0
