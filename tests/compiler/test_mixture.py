"""Training on samples of several programs: when the compiled loop takes the steps, and that it is no other training."""

import random
from array import array
from math import inf
from types import SimpleNamespace

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.epochs import Course
from micrograd_cn.compiler.executable import Executable
from micrograd_cn.compiler.mixture import Division, Mixture, _Source
from micrograd_cn.compiler.samples import Table
from micrograd_cn.compiler.training import Running, Training
from micrograd_cn.optim import SGD, linear_lr

from .common import OPTIMISERS, branching, choose, everything, mixed, trained


@pytest.fixture
def steps(monkeypatch):
    """Return a list that will have the numbers of steps between two returns to Python; 0 if programs were asked for."""
    found, asked = [], []
    take, divided = Mixture._take, Mixture._divided

    def taken(self, *rest):
        asked.clear()
        losses = take(self, *rest)
        found.append(0 if asked else len(losses))
        return losses

    def noted(self, *rest):
        asked.append(rest)
        return divided(self, *rest)

    monkeypatch.setattr(Mixture, "_take", taken)
    monkeypatch.setattr(Mixture, "_divided", noted)
    return found


def by_sign(w):
    """Return a function that branches by its argument alone."""
    return lambda x: (w[0] * x if x > 0 else w[1] * x * x) ** 2


def test_the_compiled_loop_takes_all_steps_but_those_in_which_a_program_is_new(steps):
    w, f, samples = mixed()
    forms = [len(xs) for xs, _ in samples]
    compile(f).fit(samples, SGD(w, 0.01), 8, 1)
    assert steps.count(0) == len(set(forms)) == 5
    assert sum(steps) == 8 * len(samples) - 5
    assert max(steps) > len(samples)  # several epochs at once


def test_with_another_order_in_each_epoch_the_loop_ends_with_it(steps):
    w, f, samples = mixed()
    compile(f).fit(samples, SGD(w, 0.01), 50, 10, shuffle=random.Random(0))
    assert steps.count(0) <= 5
    assert sum(steps) + steps.count(0) == 50 * 3
    assert max(steps) == 3


def test_a_branch_of_which_the_sample_decides_is_known_before(steps):
    samples = [(x,) for x in (1.0, 2.0, -0.5, 3.0, -2.0)]
    w = [Value(0.5), Value(2.0)]
    compile(by_sign(w), branches=True).fit(samples, SGD(w), 4, 1)
    assert 0 not in steps  # samples of one form are all looked at before the first step
    assert sum(steps) == 4 * 5


def test_a_branch_of_which_parameters_decide_is_looked_at_in_each_step(steps):
    w, f, samples = mixed(branching)
    compile(f, branches=True).fit(samples, SGD(w, 0.01), 2, 4)
    assert steps == [0] * 16


def test_several_threads_are_begun_by_python(steps):
    w, f, samples = mixed()
    compile(f).fit(samples, SGD(w, 0.01), 2, 4, threads=2)
    assert len(steps) == 16
    assert {*steps} == {0, 1}


@pytest.mark.parametrize("kind", ["threaded", "fused", "native"])
@pytest.mark.parametrize(("batch_size", "name"), [(1, "adam"), (3, "momentum"), (12, "adamw"), (None, "sgd")])
def test_many_steps_at_once_give_the_numbers_of_single_ones(kind, batch_size, name, monkeypatch):
    choose(monkeypatch, kind)
    found = []
    for compiled in (True, False):
        for f in (None, by_sign):
            w, loss, samples = mixed()
            if f:
                loss, samples = f(w), [(t,) for _, t in samples]
            if not compiled:
                monkeypatch.setattr(Mixture, "_known_from", lambda *_: 0)
            w[1].requires_grad = False
            optimizer = OPTIMISERS[name]([*w[1:], Value(3.0)])
            shuffle = random.Random(3) if f else None
            losses = compile(loss, branches=bool(f)).fit(
                samples, optimizer, 4, batch_size, shuffle, linear_lr(0.05, 500), each_step=True
            )
            found.append((losses, *everything(w, optimizer), optimizer.lr))
    assert found[:2] == found[2:]


@pytest.mark.parametrize("batch_size", [1, 13])
def test_training_goes_on_with_native_code(batch_size, monkeypatch):
    choose(monkeypatch, "threaded")
    (ours, f, samples), (theirs, g, _) = mixed(), mixed()
    optimizers = [OPTIMISERS["adam"](w) for w in (ours, theirs)]
    tiers, expect = [], Running.expect

    def at_some_time(self, *seconds):
        tiers.append(self.executable.native)
        monkeypatch.setattr("micrograd_cn.compiler.executable.PATIENCE", 0.0 if 20 < len(tiers) < 40 else inf)
        expect(self, *seconds)

    monkeypatch.setattr(Running, "expect", at_some_time)
    monkeypatch.setattr("micrograd_cn.compiler.epochs.TURN", 0.0)  # a step a turn
    found = compile(f).fit(samples, optimizers[0], 9, batch_size)
    assert not any(tiers[:20])
    assert any(tiers[40:])
    assert found == pytest.approx(trained(g, samples, optimizers[1], 9, batch_size), rel=1e-9)
    assert [p.data for p in ours] == pytest.approx([p.data for p in theirs], rel=1e-9)


@pytest.mark.parametrize("f", [None, branching])
def test_better_code_takes_the_place_of_what_runs(f, monkeypatch):
    choose(monkeypatch, "threaded")
    w, f, samples = mixed(*[f] * bool(f))
    looked_at, expect, renew = [], Mixture._expect, _Source.renew

    def renewed(self, panel):
        renew(self, panel)
        executable = self.running.executable
        scalars, samples, totals = self.running.memories[0].addresses
        assert self.words[1] == executable.record
        assert list(self.words[3:6]) == [scalars, panel if executable.lanes > 1 else samples, totals]

    def when_all_programs_are_there(self, seconds, left):
        if len(self._running) > 4 and left:
            if not looked_at:
                assert not any(running.executable.native for running in self._running.values())
            monkeypatch.setattr("micrograd_cn.compiler.executable.PATIENCE", 0.0)
            looked_at.append(self)
        expect(self, seconds, left)
        for source in self._sources.values() if looked_at else ():
            assert source.running.executable.native

    monkeypatch.setattr(Mixture, "_expect", when_all_programs_are_there)
    monkeypatch.setattr(_Source, "renew", renewed)
    compile(f, branches=True).fit(samples, SGD(w, 0.01), 6, 10)
    assert looked_at


def test_seconds_are_those_of_steps_divided_by_the_work_of_their_programs(monkeypatch):
    w = [Value(0.5)] * 40
    now, told = 0.0, []

    def f(xs):
        nonlocal now
        now += 1000.0  # to record takes long, and is no step
        return mc.tanh(mc.dot([p.sin() for p in w[: len(xs)]], xs))

    def run(self, batches, first, steps, losses, *rest):
        nonlocal now
        now += 2.0 * steps

    monkeypatch.setattr("micrograd_cn.compiler.epochs.TURN", 1e9)
    clock = SimpleNamespace(perf_counter=lambda: now)
    for room in ("epochs", "mixture"):
        monkeypatch.setattr(f"micrograd_cn.compiler.{room}.time", clock)
    monkeypatch.setattr(Training, "run", run)
    monkeypatch.setattr(Running, "expect", lambda self, *seconds: told.append((self.executable, *seconds)))
    compile(f).fit([([0.1],), ([0.2] * 40,), ([0.3],)], SGD(w[:1], 0.01), 3, 1)
    few, many = told[0][0], told[2][0]
    a, b = (executable.plan.schedule.size + 1 for executable in (few, many))
    second, later = [a / (a + b), b / (a + b)], [3 * a / (3 * a + 2 * b), 2 * b / (3 * a + 2 * b)]
    assert [executable for executable, *_ in told] == [few, *[few, many] * 3]
    shares = [(2.0, second), (8.0, later), (6.0, later)]
    expected = [2.0, *(seconds * share for seconds, part in shares for share in part)]
    assert [taken for _, taken, _ in told] == pytest.approx(expected)
    shares = [(14.0, second), (6.0, later), (0.0, later)]
    expected = [0.0, *(seconds * share for seconds, part in shares for share in part)]
    assert [left for *_, left in told] == pytest.approx(expected)


def test_a_schedule_that_fails_ends_the_loop_where_it_does(steps):
    (ours, f, samples), (theirs, g, _) = mixed(), mixed()
    a, b = (OPTIMISERS["momentum"](w) for w in (ours, theirs))

    def schedule(step):
        return 0.05 if step < 21 else -1.0

    with pytest.raises(ValueError, match="learning rate"):
        compile(f).fit(samples, a, 5, 4, schedule=schedule)
    assert steps[-1] > 1
    for epochs, some in ((2, samples), (1, samples[:20])):
        trained(g, some, b, epochs, 4, schedule=lambda _: 0.05)
    assert a.steps == b.steps == 21
    assert [p.data for p in ours] == pytest.approx([p.data for p in theirs], rel=1e-12)


def test_parameters_that_a_later_form_alone_has_are_trained_too(steps):
    ours, theirs = ([Value(0.1 * k + 0.2) for k in range(40)] for _ in range(2))

    def of(w):
        return lambda xs: (mc.sum([w[k] * x for k, x in enumerate(xs)]) - 1.0) ** 2

    samples = [([0.1] * n,) for n in (1, 2, 1, 2, 40, 1, 3, 40)]
    found = compile(of(ours)).fit(samples, SGD(ours, 0.1, momentum=0.5), 4, 2)
    assert found == pytest.approx(trained(of(theirs), samples, SGD(theirs, 0.1, momentum=0.5), 4, 2), rel=1e-12)
    assert [p.data for p in ours] == pytest.approx([p.data for p in theirs], rel=1e-12)
    assert steps[0] == 0
    assert max(steps) > 1


def test_a_branch_that_has_parameters_of_its_own_may_be_known_before_it_is_met(steps):
    ours, theirs = ([Value(0.1 * k) for k in range(1, 60)] for _ in range(2))

    def of(w):
        return lambda x: (w[0] * x if x > 0 else mc.sum([p * x for p in w])) ** 2

    samples = [(x,) for x in (1.0, 2.0, -0.01, 3.0, -0.02)]
    found = compile(of(ours), branches=True).fit(samples, SGD(ours, 0.01), 3, 1)
    assert found == pytest.approx(trained(of(theirs), samples, SGD(theirs, 0.01), 3, 1), rel=1e-12)
    assert [p.data for p in ours] == pytest.approx([p.data for p in theirs], rel=1e-12)
    assert 0 not in steps


def test_a_branch_with_several_results_is_refused_before_the_first_step():
    w = Value(1.0)
    f = compile(lambda x: w * x if x > 0 else [w, x], branches=True)
    with pytest.raises(ValueError, match="returns several"):
        f.fit([(1.0,), (2.0,), (-1.0,)], SGD([w], 0.1), 3, 1)
    assert w.data == 1.0


def test_memory_is_given_back():
    w, f, samples = mixed()
    compiled = compile(f)
    for _ in range(2):
        compiled.fit(samples, SGD(w, 0.01), 2, 4)
        executables = {id(found): found for found in (compiled.program(*sample).executables for sample in samples)}
        made = [x for found in executables.values() for x in found._made.values() if isinstance(x, Executable)]
        assert {len(executable._unused) for executable in made} == {1}


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_that_are_given_to_a_program_in_several_parts_are_all_its_own(threads):
    ours, theirs, x = Value(0.5), Value(0.5), Value(1.0)
    rows = [[0.5], [1.0], [-2.0], [0.25], [3.0]]
    program, other = (compile(mc.tanh(w * x) * w, [x]) for w in (ours, theirs))
    table = Table(())
    table.numbers, table.samples = array("d", [number for row in rows for number in row]), range(len(rows))

    def known(_, chosen, parameters):
        assert (parameters() == 0) == (not seen)
        seen.append(len(chosen))
        return [(program.executables, chosen[:2]), (program.executables, chosen[2:])], array("q")

    seen = []
    division = Division(known, None, lambda _: (), lambda: program.parameters)
    optimizers = [OPTIMISERS["momentum"]([w]) for w in (ours, theirs)]
    found = Mixture([table], division, Course(optimizers[0], 3, batch_size=4, threads=threads)).fit()
    assert found == pytest.approx(other.fit(rows, optimizers[1], 3, batch_size=4, threads=threads), rel=1e-12)
    assert ours.data == pytest.approx(theirs.data, rel=1e-12)
    assert seen == [4, 1] * 3
