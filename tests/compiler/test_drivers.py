"""The loops around a program's stages: rows into lanes, panels that end ragged, updates."""

import ctypes
import math
import random
import re
from array import array
from itertools import chain

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import (
    compile,  # noqa: A004 -- the field's name
    drivers,
)
from micrograd_cn.compiler.machine import Memory, machine
from micrograd_cn.compiler.update import compiled
from micrograd_cn.optim import SGD, Adam

from .common import OPTIMISERS

WORD = 8
POINTER, COUNT, DOUBLE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
STAGE = ctypes.CFUNCTYPE(None, *[POINTER] * 4, COUNT, COUNT)


def function(name, lanes, result, *arguments):
    """Return one of the drivers for so many lanes."""
    writer = drivers.Drivers(machine(), lanes)
    called = writer.name[name]
    return ctypes.CFUNCTYPE(result, *arguments)(machine().address(called, writer.makers()[called], True))


def lanes_of(few):
    return 1 if few else machine().width


def record_of(**fields):
    """Return a program's record, and its address."""
    table = array("q", drivers.record(**fields))
    return table, table.buffer_info()[0]


# Rows into a block


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("columns", [0, 1, 3, 8, 13, 16])
def test_rows_are_put_into_lanes_and_the_last_one_fills_the_others(few, columns):
    lanes = lanes_of(few)
    load = function("load", lanes, None, POINTER, POINTER, POINTER, COUNT, DOUBLE, DOUBLE, POINTER)
    rows = array("d", [100.0 * row + column for row in range(20) for column in range(columns)] or [0.0])
    kept, record = record_of(columns=columns, columns_at=WORD * 2 * lanes, seed_at=WORD * lanes)
    for valid in range(1, lanes + 1):
        index = array("q", random.Random(valid).sample(range(20), valid))
        block = Memory((columns + 4) * lanes)
        block.data[:] = [-1.0] * len(block.data)
        load(record, rows.buffer_info()[0], index.buffer_info()[0], valid, 2.5, 0.5, block.address)
        slots = [block.data[k * lanes : (k + 1) * lanes] for k in range(columns + 4)]
        assert slots[1] == [2.5] * valid + [0.5] * (lanes - valid)
        chosen = [*index, *[index[-1]] * (lanes - valid)]
        assert slots[2 : 2 + columns] == [[100.0 * row + k for row in chosen] for k in range(columns)]
        assert [x for k in (0, columns + 2, columns + 3) for x in slots[k]] == [-1.0] * (3 * lanes)
    assert len(kept) == len(drivers.FIELDS)


def test_a_program_without_a_gradient_has_no_seed():
    lanes = machine().width
    load = function("load", lanes, None, POINTER, POINTER, POINTER, COUNT, DOUBLE, DOUBLE, POINTER)
    _kept, record = record_of(columns=1, columns_at=0, seed_at=-1)
    rows, index, block = array("d", [7.0]), array("q", [0]), Memory(2 * lanes)
    load(record, rows.buffer_info()[0], index.buffer_info()[0], 1, 2.5, 0.5, block.address)
    assert block.data[:] == [7.0] * lanes + [0.0] * lanes


# Stages


def test_stages_run_in_order():
    run = ctypes.CFUNCTYPE(None, *[POINTER] * 4, COUNT, COUNT)(
        machine().address(drivers.RUN, lambda: drivers.run(machine()), True)
    )
    calls = []

    def stage(name):
        return STAGE(lambda table, *rest: calls.append((name, table, *rest)))

    kept = stage("one"), stage("other")
    one, other = (ctypes.cast(f, POINTER).value for f in kept)
    stages = array("q", [one, 11, other, 12, one, 13, 0, 0, other, 14])  # the end, and what is behind it
    run(stages.buffer_info()[0], 1, 2, 3, 4, 5)
    assert [call[:2] for call in calls] == [("one", 11), ("other", 12), ("one", 13)]
    assert {call[2:] for call in calls} == {(1, 2, 3, 4, 5)}
    calls.clear()
    empty = array("q", [0] * drivers.ENTRY)
    run(empty.buffer_info()[0], 1, 2, 3, 4, 5)
    assert calls == []


def test_blocks_are_aligned_as_native_vectors_are_and_gradients_as_numbers_are():
    on = machine()
    for text, expected in (
        (str(drivers.update(on)), {8, 8 * on.native}),
        (str(drivers.Drivers(on, on.width).load()), {8}),
        (str(drivers.Drivers(on, on.width).finish()), {8}),
    ):
        assert set(map(int, re.findall(r"(?:load|store) <.*align (\d+)", text))) == expected


def test_single_rows_leave_no_lane_over_and_are_not_done_again():
    again = {lanes: "load_" in str(drivers.Drivers(machine(), lanes).finish()) for lanes in (1, 2, 8)}
    assert again == {1: False, 2: True, 8: True}


def test_totals_of_other_rows_are_added():
    add = function("add", machine().width, None, POINTER, POINTER, POINTER)
    count = 3 * machine().native
    _kept, record = record_of(count=count)
    ours, theirs = Memory(count + 1), Memory(count + 1)
    ours.data[:] = [float(k) for k in range(count + 1)]
    theirs.data[:] = [100.0] * (count + 1)
    add(record, ours.address, theirs.address)
    assert ours.data[:] == [*(100.0 + k for k in range(count)), float(count)]


# Panels


@pytest.fixture(params=[1, 2, 3])
def panels(request, monkeypatch):
    """Let panels have few blocks, so that there are many, and the last one is smaller."""
    monkeypatch.setattr("micrograd_cn.compiler.plan.MOST_BLOCKS", request.param)
    return request.param


def test_every_panel_and_every_lane_of_the_last_one_is_done(code, panels):
    w, v, x, y = Value(0.5), Value(-0.25), Value(1.0), Value(1.0)
    outputs = [w * x + y, v * w, mc.sum([w, v, x, y])]
    program, training = compile(outputs, [x, y]), compile(w * x * x + v * y, [x, y])
    size = panels * machine().width
    rng = random.Random(0)
    for n in {1, 2, 3, size - 1, size, size + 1, 2 * size, 2 * size + 1, 3 * size - 1}:
        rows = [[rng.randrange(-8, 9) * 0.25, rng.randrange(-8, 9) * 0.5] for _ in range(n)]  # sums are exact
        assert program.forward(rows) == [[0.5 * x + y, -0.125, 0.25 + x + y] for x, y in rows]
        w.grad = v.grad = 0.0
        mean = training.backward(rows)
        assert mean == pytest.approx(sum(0.5 * x * x - 0.25 * y for x, y in rows) / n, rel=1e-14, abs=1e-14)
        assert w.grad == pytest.approx(sum(x * x for x, _ in rows) / n, rel=1e-14, abs=1e-14)
        assert v.grad == pytest.approx(sum(y for _, y in rows) / n, rel=1e-14, abs=1e-14)


def test_panels_of_tables_and_sums_of_every_kind(code, panels):
    n = 9
    ws, xs = [Value(0.1 * k - 0.3) for k in range(2 * n)], [Value(0.1) for _ in range(n)]
    layer = [mc.dot(ws[k : k + n], xs) for k in range(4)]
    total = mc.dot(layer, layer) + mc.dot([x * x for x in xs], xs)
    program = compile(total, xs)
    rng = random.Random(0)
    for count in (3, panels * machine().width + 3):
        rows = [[rng.randrange(-8, 9) * 0.25 for _ in xs] for _ in range(count)]
        expected, gradients = 0.0, [0.0] * len(ws)
        for row in rows:
            sums = [sum(w.data * x for w, x in zip(ws[k:], row, strict=False)) for k in range(4)]
            expected += sum(s * s for s in sums) + sum(x**3 for x in row)
            for k, s in enumerate(sums):
                for j, x in enumerate(row):
                    gradients[k + j] += 2.0 * s * x / count
        for w in ws:
            w.grad = 0.0
        assert program.backward(rows) == pytest.approx(expected / count, rel=1e-12)
        assert [w.grad for w in ws] == pytest.approx(gradients, rel=1e-12, abs=1e-12)


class Guarded(Memory):
    """Memory after which nothing must be written."""

    made = ()

    def __init__(self, count):
        super().__init__(count + 24)
        self.end, self.data[:] = count, [math.pi] * (count + 24)
        if count:
            self.data[:count] = [0.0] * count
        self.whole, self.data = self.data, (ctypes.c_double * count).from_buffer(self.data)
        Guarded.made = (*Guarded.made, self)

    def kept(self):
        return self.whole[self.end :] == [math.pi] * 24


def test_nothing_is_written_behind_the_memory(code, panels, monkeypatch):
    for module in ("program", "executable", "training", "mixture"):
        monkeypatch.setattr(f"micrograd_cn.compiler.{module}.Memory", Guarded)
    monkeypatch.setattr(Guarded, "made", ())
    ws, xs = [Value(0.1 * k) for k in range(33)], [Value(0.5) for _ in range(11)]
    layer = [mc.tanh(mc.dot(ws[11 * k : 11 * k + 11], xs)) for k in range(3)]
    loss = mc.sum([*layer, *(w * w for w in ws)]) * mc.dot(layer, layer)
    program, outputs = compile(loss, xs), compile([*layer, ws[0] * 2.0], xs)
    for n in (1, 2, 3, machine().width * panels + 1):
        rows = [[0.01 * k * row for k in range(11)] for row in range(n)]
        outputs.forward(rows)
        program.backward(rows)
        program.fit(rows, Adam(ws, lr=0.01), 2, batch_size=max(n - 1, 1))
    assert len(Guarded.made) > 10
    assert all(memory.kept() for memory in Guarded.made)


# Updates


@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
def test_an_update_has_the_optimisers_columns(make):
    optimizer = make([Value(1.0)])
    update = compiled(optimizer, masked=False)
    assert update.columns == 2 + len(optimizer.slots)
    assert compiled(optimizer, masked=True).columns == update.columns + 1
    assert update.outputs == 1 + len(optimizer.slots)
    assert update.width == machine().width


@pytest.mark.parametrize("rate", [None, 0.25])
@pytest.mark.parametrize(("own", "blocks"), [(2, 5), (0, 1), (64, 64), (65, 130), (128, 129), (3, 65)])
def test_an_update_changes_the_programs_parameters_and_all_others_of_the_optimiser(own, blocks, rate):
    width = machine().width
    update = compiled(SGD([Value(1.0)], lr=0.1), masked=False)
    size = own * width
    s, gradients = Memory(size + 1), Memory(size + 1)
    us, uw = Memory(update.scalars + 16), Memory(blocks * update.block + update.outputs * width)
    for place, x in update.constants.items():
        us.data[place] = x
    us.data[0:2] = [0.1, 6.0]
    s.data[:] = [float(k) for k in range(size + 1)]
    gradients.data[:] = [1.0 + k % 3 for k in range(size + 1)]
    for block in range(blocks):
        start = block * update.block
        uw.data[start : start + width] = [float(block * width + k) for k in range(width)]
        uw.data[start + width : start + 2 * width] = [0.5] * width
    call = ctypes.CFUNCTYPE(None, *[POINTER] * 6, COUNT, COUNT)(
        machine().address(drivers.UPDATE, lambda: drivers.update(machine()), True)
    )
    rates = array("d", [rate or 0.0])
    at = us.address if rate is None else rates.buffer_info()[0]
    call(update.record, s.address, gradients.address, at, us.address, uw.address, own, blocks)
    expected = [k - (rate or 0.1) * g for k, g in enumerate(gradients.data[:size])]
    assert s.data[:] == pytest.approx([*expected, float(size)], rel=1e-15)
    starts = [block * update.block for block in range(blocks)]
    data, column = (list(chain(*(uw.data[k + at : k + at + width] for k in starts))) for at in (0, width))
    assert data[:size] == s.data[:size]
    # Of others, the gradient is in a column.
    assert data[size:] == [k - (rate or 0.1) * 0.5 for k in range(size, blocks * width)]
    assert column == [*gradients.data[:size], *[0.5] * (blocks * width - size)]
    assert us.data[0:2] == [rate or 0.1, 7.0]


def test_a_record_has_a_place_for_each_field():
    assert drivers.record(**{name: k for k, name in enumerate(drivers.FIELDS)}) == list(range(len(drivers.FIELDS)))
    with pytest.raises(TypeError):
        drivers.record(1)
