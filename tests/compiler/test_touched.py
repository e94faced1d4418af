"""Training with tables, of which a batch touches some rows: the other rows cost nothing, and every number is right.

If gradients are clipped, `fit` does everything for all parameters. With a norm that no gradient reaches, clipping
changes no number, so a fit with it tells what a fit without it must give, to the last bit.
"""

import random
from array import array

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.loops.touched import MIN_TOUCHED
from micrograd_cn.optim import SGD, Adam

from .common import close

NO_CLIP = {"clip_grad_norm": 1e300}


class Tables:
    """Two tables, whose rows have `width` and `width + 1` parameters, and some parameters beside them."""

    def __init__(self, rows=101, width=10, seed=0):
        rng = random.Random(seed)
        self.rows = rows
        self.left = [[Value(rng.gauss(0, 1)) for _ in range(width)] for _ in range(rows)]
        self.right = [[Value(rng.gauss(0, 1)) for _ in range(width + 1)] for _ in range(rows)]
        self.weights = [Value(rng.gauss(0, 1)) for _ in range(3)]

    def parameters(self):
        return [p for row in (*self.left, *self.right, self.weights) for p in row]

    def loss(self, i, j, y):
        *some, bias = mc.take(self.right, j)
        found = mc.dot(mc.take(self.left, i), some) + bias * self.weights[0] + self.weights[1] * y
        return (found - self.weights[2]) ** 2

    def branching(self, i, j, y):
        return self.loss(i, j, y) if y < 0.5 else (self.loss(j, i, y) * 0.5 + self.weights[0])

    def samples(self, count=60, seed=1):
        rng = random.Random(seed)
        return [(float(rng.randrange(self.rows)), float(rng.randrange(7)), rng.gauss(0, 1)) for _ in range(count)]

    def numbers(self):
        """Return the data and the gradients of all parameters, bit by bit."""
        nodes = self.parameters()
        return [array("d", [getattr(p, name) for p in nodes]).tobytes() for name in ("data", "grad")]


def trained(kind="loss", optimizer=SGD, width=10, rows=101, options=None, samples=None, **how):
    """Train new tables by `fit`, and return them with the losses."""
    tables = Tables(rows, width)
    tables.left[5][1].data = -0.0
    f = compile(getattr(tables, kind), branches=kind == "branching")
    found = optimizer(tables.parameters(), **(options or {"lr": 0.01}))
    how = {"epochs": 3, "batch_size": 8} | how
    losses = f.fit(samples or tables.samples(), optimizer=found, **how)
    return tables, [*losses]


def plan_of(tables, kind="gradient", rows_in_lanes=True):
    """Return the plan by which the gradient of the loss of `tables` is computed."""
    found = compile(tables.loss)
    samples = tables.samples()
    found.backward(samples)
    program = found.recording_of(*samples[0]).program
    return program.compiled.tiers(kind, rows_in_lanes).tables.plan


def test_totals_of_tables_are_touched_totals_if_there_are_enough_of_them():
    tables = Tables()
    assert len(plan_of(tables).touched.place) == len(tables.parameters()) - 3
    assert plan_of(Tables(rows=11)).touched is None
    assert MIN_TOUCHED > 11 * 21


HOWS = {
    "batches": {},
    "one step a call": {"batch_size": None, "epochs": 1},
    "single rows": {"batch_size": 1},
    "two rows": {"batch_size": 2},
    "ragged": {"batch_size": 7},
    "shuffled": {"shuffle": random.Random},
    "a rate of 0": {"schedule": lambda step: (0.01, 0.0, -0.0)[step % 3]},
    "validation": {"validation": Tables().samples(9, seed=5)},
    "a callback": {"callback": lambda epoch, loss: None},
}


@pytest.mark.parametrize("width", [8, 10, 32])
@pytest.mark.parametrize("how", HOWS)
def test_a_step_for_touched_rows_gives_the_numbers_of_a_step_for_all(how, width):
    def options():
        return {name: x(3) if x is random.Random else x for name, x in HOWS[how].items()}

    found, losses = trained(width=width, **options())
    expected, expected_losses = trained(width=width, **options(), **NO_CLIP)
    assert losses == expected_losses
    assert found.numbers() == expected.numbers()


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        (SGD, {"lr": 0.01, "momentum": 0.9}),
        (SGD, {"lr": 0.01, "weight_decay": 0.1}),
        (SGD, {"lr": 0.001, "maximize": True}),
        (Adam, {"lr": 0.01}),
    ],
    ids=lambda x: str(x),
)
def test_an_optimiser_that_moves_parameters_without_a_gradient_moves_all(optimizer, options):
    found, losses = trained(optimizer=optimizer, options=options)
    expected, expected_losses = trained(optimizer=optimizer, options=options, **NO_CLIP)
    assert (losses, found.numbers()) == (expected_losses, expected.numbers())
    untouched = found.left[0][0].data, Tables().left[0][0].data
    momentum_alone = "momentum" in options or optimizer is Adam or "maximize" in options
    assert momentum_alone or untouched[0] != untouched[1]


def test_the_steps_are_those_of_the_engine():
    tables, other = Tables(), Tables()
    samples = tables.samples(24)
    compile(tables.loss).fit(samples, optimizer=SGD(tables.parameters(), lr=0.01), epochs=2, batch_size=8)
    optimizer = SGD(other.parameters(), lr=0.01)
    for _ in range(2):
        for first in range(0, 24, 8):
            optimizer.zero_grad()
            batch = samples[first : first + 8]
            (mc.sum([other.loss(*row) for row in batch]) / 8.0).backward()
            optimizer.step()
    for name in ("data", "grad"):
        pairs = zip(tables.parameters(), other.parameters(), strict=True)
        assert all(close(getattr(p, name), getattr(q, name)) for p, q in pairs)


def test_gradients_of_rows_that_the_last_batch_did_not_touch_are_0():
    tables = Tables()
    samples = [(float(k), float(k), 0.5) for k in range(60)]
    compile(tables.loss).fit(samples, optimizer=SGD(tables.parameters(), lr=0.01), epochs=2, batch_size=8)
    nonzero = [any(p.grad for p in row) for row in tables.left]
    assert nonzero == [k in range(56, 60) for k in range(tables.rows)]


def test_steps_of_several_programs_alternate():
    """Batches of one program alone follow batches of several programs, which add their gradients up."""
    tables = Tables()
    low = [(i, j, -abs(y)) for i, j, y in tables.samples(40)]
    samples = [*low[:20], *tables.samples(16, seed=4), *low[20:], *[(i, j, abs(y) + 1.0) for i, j, y in low[:16]]]
    for options in ({}, {"threads": 2}):
        found, losses = trained("branching", samples=samples, **options)
        expected, expected_losses = trained("branching", samples=samples, **options, **NO_CLIP)
        assert (losses, found.numbers()) == (expected_losses, expected.numbers())


def test_threads_add_the_totals_that_each_has_touched():
    found, losses = trained(batch_size=30, threads=2)
    expected, expected_losses = trained(batch_size=30)
    assert all(map(close, losses, expected_losses))
    for p, q in zip(found.parameters(), expected.parameters(), strict=True):
        assert close(p.data, q.data)
        assert close(p.grad, q.grad)


def test_each_call_of_backward_forgets_what_the_one_before_has_touched():
    """So does a call after one whose gradient code with gates has computed anew."""
    tables = Tables()

    def guarded(i, j, y):
        huge = tables.weights[1] * (y * 1e307)
        return mc.where(mc.less(y, 5.0), tables.loss(i, j, y), huge * huge)

    f = compile(guarded)
    for seed in range(24):
        rows = tables.samples(5, seed)
        if seed % 3 == 1:
            rows[2] = (*rows[2][:2], -30.0)
        f.backward(rows)
        found = tables.numbers()[1]
        for p in tables.parameters():
            p.grad = 0.0
        (mc.sum([tables.loss(*row) for row in rows]) / 5.0).backward()
        assert np.allclose(np.frombuffer(found), np.frombuffer(tables.numbers()[1]), rtol=1e-12, atol=1e-14)
        for p in tables.parameters():
            p.grad = 0.0


def test_a_gradient_that_needs_gates_ends_the_steps_before_it():
    """Where 0 times an infinite factor spoils a gradient, code with gates takes the step, and the others are right."""

    def losses(options):
        tables = Tables()

        def loss(i, j, y):
            return mc.where(
                mc.less(y, 5.0), tables.loss(i, j, y), mc.dot([y * 1e308 * 10.0], [tables.weights[0]]) * 0.0
            )

        def guarded(i, j, y):
            huge = tables.weights[1] * (y * 1e307)
            return mc.where(mc.less(y, 5.0), tables.loss(i, j, y), huge * huge)

        samples = tables.samples(40)
        # In a batch that is not the first one of a call of the compiled loop
        samples[33] = (*samples[33][:2], -30.0)
        found = [*compile(guarded).fit(samples, optimizer=SGD(tables.parameters(), lr=0.001), batch_size=8, **options)]
        return found, tables.numbers()

    found, expected = losses({"epochs": 3}), losses({"epochs": 3} | NO_CLIP)
    assert found == expected
    assert np.isfinite(np.frombuffer(found[1][0])).all()


def test_an_error_between_steps_leaves_what_the_steps_before_it_gave():
    class Stop(Exception):
        pass

    def until(last):
        def schedule(step):
            if step == last:
                raise Stop
            return 0.01

        return schedule

    for last in (1, 2, 9):
        found = []
        for options in ({}, NO_CLIP):
            tables = Tables()
            f, optimizer = compile(tables.loss), SGD(tables.parameters(), lr=0.01)
            with pytest.raises(Stop):
                f.fit(tables.samples(), optimizer=optimizer, epochs=3, batch_size=8, schedule=until(last), **options)
            found.append((optimizer.steps, tables.numbers()))
        assert found[0] == found[1]
        assert found[0][0] == last


def test_frozen_rows_stay():
    def numbers(options):
        tables = Tables()
        f, optimizer = compile(tables.loss), SGD(tables.parameters(), lr=0.01)
        f(*tables.samples()[0])
        frozen = [p for row in tables.right[:4] for p in row]
        before = [p.data for p in frozen]
        for p in frozen:
            p.requires_grad = False
        f.fit(tables.samples(), optimizer=optimizer, epochs=2, batch_size=8, **options)
        assert [p.data for p in frozen] == before
        return tables.numbers()

    assert numbers({}) == numbers(NO_CLIP)


def test_a_program_lists_the_parameters_of_a_table_row_by_row():
    tables = Tables()
    program = compile(tables.loss).recording_of(*tables.samples()[0]).program
    place = {p: k for k, p in enumerate(program.parameters)}
    for table in (tables.left, tables.right):
        places = [k for row in table for k in sorted(place[p] for p in row)]
        assert places == [*range(places[0], places[0] + len(places))]
