"""Native code: what is one function, what it stores for others, and that it computes what threaded code does."""

import random
import re
import struct
from array import array
from itertools import chain
from types import SimpleNamespace

import llvmlite.binding as llvm
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import (
    compile,  # noqa: A004 -- the field's name
    native,
)
from micrograd_cn.compiler.executable import Executable
from micrograd_cn.compiler.instructions import BATCH, LONG, SAMPLE, START
from micrograd_cn.compiler.machine import machine
from micrograd_cn.compiler.native import LOOP, SMALL, UNROLLED
from micrograd_cn.compiler.products import TILE
from micrograd_cn.compiler.rows import address
from micrograd_cn.compiler.schedule import ALONE, CHUNK, Map, Stretch, Sums

from .common import Instructions, native_texts
from .test_plan import layer
from .test_schedule import random_graph


def parts(plan):
    return [part for found in native.parts_of(plan).values() for part in found]


def made_in(part):
    """Return what a part computes."""
    return {i for stage in part.stages for i in stage.numbers}


def read_by(plan, stage):
    """Return what a stage reads by name, and what it reads from memory."""
    if isinstance(stage, Stretch):
        return {j for i in stage.numbers for j in plan.schedule.reads(i)}, set()
    if isinstance(stage, Map):
        started = [plan.schedule.reads(i) for i in stage.numbers if stage.form == START]
        return set(), {j for read in started or map(plan.code.operands.__getitem__, stage.numbers) for j in read}
    return set(), set(plan.read_by(stage))


# Parts


@pytest.mark.parametrize("chunk", [10, CHUNK])
@pytest.mark.parametrize("lanes", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_a_part_keeps_what_others_read_and_nothing_else(seed, lanes, chunk, monkeypatch):
    monkeypatch.setattr(native, "CHUNK", chunk)
    made, roots, totals = random_graph(seed)
    plan = made.plan(*roots, totals=totals, lanes=lanes)
    found = parts(plan)
    for part in found:
        wanted = {*roots, *plan.places.filled, *plan.read_by_totals()}
        for other in found:
            for stage in other.stages:
                names, memory = read_by(plan, stage)
                wanted |= memory if other is part else memory | names
        assert part.kept & made_in(part) == (set() if part.shared else wanted & made_in(part))


@pytest.mark.parametrize("lanes", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_parts_are_all_stages_in_order_and_those_of_samples_compute_vectors(seed, lanes):
    made, roots, totals = random_graph(seed)
    plan = made.plan(*roots, totals=totals, lanes=lanes)
    for phase, found in native.parts_of(plan).items():
        assert [stage for part in found for stage in part.stages] == plan.stages[phase]
        assert all(part.stages for part in found)
        assert {part.lanes for part in found} <= {phase == SAMPLE and lanes}
        for part in found:
            assert bool(part.shared) == (len(part.stages) == 1 and not isinstance(part.stages[0], Stretch))


@pytest.mark.parametrize(
    ("weights", "parts"),
    [
        ([CHUNK - 1, 1], [2]),
        ([CHUNK - 1, 2], [1, 1]),
        ([CHUNK, 1, CHUNK - 2, 1, 1], [1, 3, 1]),
        ([CHUNK + 1, CHUNK + 1], [1, 1]),
        ([1, CHUNK + 1, 1], [1, 1, 1]),
    ],
)
def test_stretches_are_one_function_while_they_are_no_more_than_a_chunk(weights, parts):
    stages = [Stretch([weight - 1, 1]) for weight in weights]
    plan = SimpleNamespace(stages={SAMPLE: stages}, schedule=SimpleNamespace(weight=lambda i: i))
    assert [len(part) for part in native._joined(plan, SAMPLE)] == parts


def part_with(plan, phase, kind):
    """Return the part of a phase that has the one stage of a kind."""
    [part] = [part for part in native.parts_of(plan)[phase] if any(isinstance(stage, kind) for stage in part.stages)]
    return part


@pytest.mark.parametrize(("sums", "alone"), [(SMALL // 32, False), (SMALL // 32 + 1, True)])
def test_a_small_matrix_is_written_beside_what_it_starts_from_and_a_large_one_is_a_function_alone(sums, alone):
    made = Instructions(32 + sums, 32)
    plan = made.plan(*layer(made, sums, 32, terms=made.w[:1]), scalars=200)
    assert bool(part_with(plan, SAMPLE, Sums).shared) == alone


def test_a_small_matrix_that_starts_from_a_constant_is_a_function_alone_unless_something_reads_it():
    made = Instructions(LONG + 7, LONG)
    sums = layer(made, 7, LONG)
    assert part_with(made.plan(*sums), SAMPLE, Sums).shared
    plan = made.plan(*[made.code.apply(mc.tanh, [i]) for i in sums])
    part = part_with(plan, SAMPLE, Sums)
    assert [type(stage) for stage in part.stages] == [Sums, Stretch]
    assert not part.kept.intersection(sums)


def with_a_run(count):
    """Return instructions of which so many are a run, and one that reads the run; their numbers."""
    made = Instructions(max(count, LONG + 7), LONG)
    run = [made.code.machine("fmul", w, made.w[-1]) for w in made.w[:count]]
    return made, [*run, made.code.dot([(run[0], run[1]), (run[1], run[2])], [])]


@pytest.mark.parametrize(("count", "alone"), [(UNROLLED * machine().native + k, k > 0) for k in (0, 1)])
def test_a_short_run_is_written_beside_what_reads_it_and_a_long_one_is_a_function_alone(count, alone):
    made, numbers = with_a_run(count)
    assert bool(part_with(made.plan(*numbers, scalars=64), BATCH, Map).shared) == alone


def test_sums_that_are_none_of_a_matrix_are_functions_alone():
    made = Instructions(LONG, LONG)
    inner = made.code.dot(list(zip(made.x, made.x, strict=True)), [])
    scalars = made.code.dot(list(zip(made.w, made.w, strict=True)), [])
    plan = made.plan(*[made.code.dot([(a, a) for _ in range(40)], []) for a in (inner, scalars)])
    assert all(bool(part.shared) == isinstance(part.stages[0], Sums) for part in parts(plan))


@pytest.mark.parametrize(
    ("sums", "bias", "stages"), [(12, 1, [9, 9, 9]), (13, 1, [7, 6, 6]), (12, 0, [7, 7, 6]), (13, 0, [5, 5, 5])]
)
def test_matrices_share_a_function_until_it_is_a_chunk(sums, bias, stages):
    """What 12 sums start from counts 24 if they have a bias, and their loops 2 * LOOP; 13 sums have a loop more."""
    made = Instructions(30, 13)
    numbers = made.x
    for _ in range(20):
        pairs = [list(zip(made.w[k:], numbers, strict=False)) for k in range(sums)]
        numbers = [made.code.dot(few, made.w[:bias]) for few in pairs]
    found = native.parts_of(made.plan(*numbers))[SAMPLE]
    assert [len(part.stages) for part in found[:3]] == stages
    assert all(
        sum(LOOP * -(-sums // TILE) if isinstance(stage, Sums) else 2 * sums for stage in p.stages) <= CHUNK
        for p in found
    )


# What is written


@pytest.mark.parametrize("lanes", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_a_part_stores_what_it_keeps_and_what_its_sums_start_from(seed, lanes):
    made, roots, totals = random_graph(seed)
    plan = made.plan(*roots, totals=totals, lanes=lanes)
    for part in parts(plan):
        if all(isinstance(stage, Stretch) for stage in part.stages):
            numbers = [i for stage in part.stages for i in stage.numbers]
            stored = sum(i in plan.schedule.long or i in part.kept for i in numbers)
            assert str(native.function(plan, part, "f")).count("  store ") == stored


@pytest.mark.parametrize("lanes", [True, False])
def test_vectors_are_aligned_as_their_memory_is(lanes):
    on = machine()
    made, numbers = with_a_run(5)
    sums = layer(made, 7, LONG, terms=made.w[:1])
    text = "".join(native_texts(made.plan(*numbers, *sums, lanes=lanes, scalars=64)))
    aligned = {("double", 8), (f"<{on.native} x double>", 8), (f"<{on.width} x double>", 8 * on.native)}
    found = {
        (kind, int(align)) for kind, align in re.findall(r"(?:load|store) (<\d+ x double>|double).* align (\d+)", text)
    }
    assert found == {pair for pair in aligned if lanes or str(on.width) not in pair[0]}


@pytest.mark.parametrize("vectors", [1, 2, 3])
def test_a_run_is_as_many_vectors_as_hold_it(vectors):
    on = machine()
    for count in (on.native * vectors - 1, on.native * vectors):
        made, numbers = with_a_run(count)
        [text] = native_texts(made.plan(*numbers, scalars=64))
        assert text.count(f"fmul <{on.native} x double>") == vectors == text.count(f"store <{on.native} x double>")
        assert text.count(f"load <{on.native} x double>") == vectors


# Numbers


def mixed(n):
    """Return a program with matrices, inner products, runs, and conditions, and a row for it."""
    ws, xs = [Value(0.1 * k - 0.7) for k in range(n + 9)], [Value(0.1) for _ in range(9)]
    sums = [mc.dot([*ws[k : k + 9], xs[k % 9]], [*xs, xs[0]], ws[k]) for k in range(n)]
    active = [mc.relu(s) * w for s, w in zip(sums, ws, strict=False)]
    again = [mc.dot(ws[k : k + n], active) for k in range(7)]
    where = [mc.where(a > b, a - b, b) for a, b in zip(again, active, strict=False)]
    sums = [mc.dot(active, active), mc.sum(ws) * xs[0], mc.sum([*ws[:3], *xs, *(x * x for x in xs)])]
    return compile([*again, *where, *sums, mc.less(ws[0], xs[1])], xs)


def bits(rows):
    return [[struct.pack("d", x) if x == x else b"nan" for x in row] for row in rows]


@pytest.mark.parametrize("chunk", [4, CHUNK])
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("n", [8, 13])
def test_native_code_of_any_parts_gives_the_bits_of_threaded_code(n, rows, chunk, monkeypatch):
    monkeypatch.setattr(native, "CHUNK", chunk)
    program = mixed(n)
    data = [[scale * (0.3 * k - 1.0 + row) for k in range(9)] for row in range(rows) for scale in (1.0, -1e200, 1e308)]
    found = []
    for patience in (1e9, 0.0):
        monkeypatch.setattr("micrograd_cn.compiler.executable.PATIENCE", patience)
        found.append(bits([program.forward(data[k : k + rows])[0] for k in range(0, len(data), rows)]))
    assert program.executables.best("forward", rows).native
    assert found[0] == found[1]


def computed(plan, outputs, rows, parameters, is_native):
    """Return the outputs of a plan for all rows."""
    lowering = SimpleNamespace(outputs=outputs, columns=len(rows[0]))
    made = Executable(plan, lowering, [], len(parameters), is_native)
    data, index, out = (
        array("d", chain(*rows)),
        array("q", range(len(rows))),
        array("d", [0.0] * len(rows) * len(outputs)),
    )
    made.forward([made.memory(parameters)], address(data), address(index), len(rows), address(out))
    return [out[k : k + len(outputs)].tolist() for k in range(0, len(out), len(outputs))]


@pytest.mark.parametrize("lanes", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_native_code_of_any_graph_gives_the_bits_of_threaded_code(seed, lanes):
    rng = random.Random(seed)
    sizes = (0.0, -0.0, 1.0, 1e-200, 1e200)
    rows = [[rng.choice(sizes) * rng.uniform(-1.0, 1.0) for _ in range(20)] for _ in range(8)]
    rows += [[size] * 20 for size in sizes]
    parameters = [rng.choice((0.5, -0.0, -1.25, 3.0)) for _ in range(32)]
    found = []
    for is_native in (False, True):
        made, roots, _ = random_graph(seed)
        outputs = [i for i in roots if made.code.phase[i] == SAMPLE]
        plan = made.plan(*outputs, lanes=lanes)
        found.append(bits(computed(plan, outputs, rows, parameters, is_native)))
    assert found[0] == found[1]
    assert len(outputs) > 0


@pytest.mark.parametrize("lanes", [True, False])
@pytest.mark.parametrize("is_native", [True, False])
def test_sums_of_negative_zeros_are_negative_zeros(is_native, lanes):
    made = Instructions(LONG, LONG)
    w, x = made.w, made.x
    pairs = list(zip(w, x, strict=True))[: None if lanes else -1]  # a long sum of scalars is several, from 0.0 on
    sums = [
        made.code.dot(chosen, terms, form)
        for form in ("sum", "dot", "adjoint")
        for chosen, terms in ((pairs, []), (pairs, x[:1]), (pairs[:2], []), (pairs[:3], x[:2]), ([], x[:3]))
    ]
    sums = list(dict.fromkeys(i for i in sums if made.code.phase[i] == SAMPLE))
    found = computed(made.plan(*sums, lanes=lanes), sums, [[-0.0] * LONG] * 3, [1.0] * 32, is_native)
    assert bits(found) == bits([[-0.0] * len(sums)] * 3)


@pytest.mark.parametrize("lefts", ["w", "x"])
@pytest.mark.parametrize("is_native", [True, False])
def test_long_sums_start_anew_when_a_panel_is_used_again(is_native, lefts):
    made = Instructions(ALONE + 3, ALONE + 3)
    code = made.code
    pairs = [list(zip(getattr(made, lefts)[k:], made.x[:ALONE], strict=False)) for k in range(3)]
    terms = ([], [code.constant(0.0)], [code.constant(0.5)], made.w[:1])
    sums = [code.dot(few, part) for part in terms for few in pairs]
    outputs = [*sums[::2], *(code.machine("fneg", i) for i in sums[1::2])]
    plan = made.plan(*outputs, scalars=64)
    rows = [[0.25] * len(made.x)] * (2 * plan.blocks * plan.lanes + 1)
    size = ALONE * 0.25 * {"w": 1.0, "x": 0.25}[lefts]
    expected = [size + start for start in (0.0, 0.0, 0.5, 1.0) for _ in pairs]
    expected = [*expected[::2], *(-x for x in expected[1::2])]
    assert computed(plan, outputs, rows, [1.0] * len(made.w), is_native) == [expected] * len(rows)


def test_vectors_that_wait_on_the_stack_do_not_lie_across_lines_of_the_cache():
    """Found with 82 outputs: a quarter of the time went into that."""
    if not machine().triple.startswith("x86"):
        pytest.skip("it is looked for in x86's assembly")
    xs = [Value(0.1 * k + 0.1) for k in range(24)]
    squares = [x * y for x, y in zip(xs, xs[1:] + xs[:1], strict=True)]
    text = compile([mc.dot(squares, squares[k:] + squares[:k]) for k in range(0, 24, 2)], xs).source("llvm")
    assembly = machine().target(1).emit_assembly(llvm.parse_assembly(text))
    [part] = re.findall(r"^part0:.*?^\.Lfunc_end", assembly, re.M | re.S)
    width = {2: "x", 4: "y", 8: "z"}[machine().native]
    assert re.search(rf"%{width}mm\d+, -?\d*\(%rsp\)", part)  # some wait there
    assert f"andq\t$-{8 * machine().native}, %rsp" in part or machine().native == 2  # which is aligned to 16 anyway
