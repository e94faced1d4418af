"""Training on samples of several programs: when the compiled loop takes the steps, and that it is no other training."""

import random
from math import inf
from types import SimpleNamespace

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.executable import Executable
from micrograd_cn.compiler.mixture import Mixture
from micrograd_cn.compiler.training import Running, Training
from micrograd_cn.optim import SGD, linear_lr

from .common import OPTIMISERS, branching, choose, everything, mixed, trained


@pytest.fixture
def steps(monkeypatch):
    """Return a list that will have the numbers of steps between two returns to Python; 0 for one that Python takes."""
    found = []
    run, step = Training.run_mixed, Mixture._step

    def in_a_loop(self, index, plans, count, *rest):
        found.append(count)
        run(self, index, plans, count, *rest)

    def in_python(self, *rest):
        found.append(0)
        return step(self, *rest)

    monkeypatch.setattr(Training, "run_mixed", in_a_loop)
    monkeypatch.setattr(Mixture, "_step", in_python)
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
    assert steps[0] == 0
    assert steps.count(0) == 1  # samples of one form are all looked at before the first step
    assert sum(steps) == 4 * 5 - 1


def test_a_branch_of_which_parameters_decide_is_looked_at_in_each_step(steps):
    w, f, samples = mixed(branching)
    compile(f, branches=True).fit(samples, SGD(w, 0.01), 2, 4)
    assert steps == [0] * 16


def test_several_threads_are_begun_by_python(steps):
    w, f, samples = mixed()
    compile(f).fit(samples, SGD(w, 0.01), 2, 4, threads=2)
    assert steps == [0] * 16


@pytest.mark.parametrize("kind", ["threaded", "fused", "native"])
@pytest.mark.parametrize(("batch_size", "name"), [(1, "adam"), (3, "momentum"), (12, "adamw"), (None, "sgd")])
def test_the_compiled_loop_gives_the_numbers_of_steps_in_python(kind, batch_size, name, monkeypatch):
    choose(monkeypatch, kind)
    found = []
    for compiled in (True, False):
        for f in (None, by_sign):
            w, loss, samples = mixed()
            if f:
                loss, samples = f(w), [(t,) for _, t in samples]
            if not compiled:
                monkeypatch.setattr(Mixture, "_planned", lambda *_: None)
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


@pytest.mark.parametrize(("f", "parts"), [(None, 5), (branching, 0)])
def test_better_code_takes_the_place_of_what_runs(f, parts, monkeypatch):
    choose(monkeypatch, "threaded")
    w, f, samples = mixed(*[f] * bool(f))
    looked_at, expect, renew = [], Mixture._expect, Mixture._renew

    def renewed(self):
        renew(self)
        for part in self._parts.values():
            assert part.words[1] == part.running.executable.record
            scalars, panel, totals = part.running.memories[0].addresses
            if part.running.executable.lanes > 1:
                panel = self._panel.address  # that of all
            assert list(part.words[3:6]) == [scalars, panel, totals]
            assert len(self._panel.data) >= part.running.executable.sizes[1]

    def when_all_parts_are_there(self, seconds, left):
        if len(self._parts) >= parts and len(self._running) > 4 and left:
            if not looked_at:
                assert not any(running.executable.native for running in self._running.values())
            monkeypatch.setattr("micrograd_cn.compiler.executable.PATIENCE", 0.0)
            looked_at.append(self)
        worked = [part.running for part in self._parts.values() if part.work] or [*self._running.values()]
        expect(self, seconds, left)
        for running in worked if looked_at else ():
            assert running.executable.native

    monkeypatch.setattr(Mixture, "_expect", when_all_parts_are_there)
    monkeypatch.setattr(Mixture, "_renew", renewed)
    compile(f, branches=True).fit(samples, SGD(w, 0.01), 6, 10)
    assert looked_at


def test_seconds_are_those_of_steps_divided_by_the_work_of_their_programs(monkeypatch):
    w = [Value(0.5)] * 40
    now, told = 0.0, []

    def f(xs):
        nonlocal now
        now += 1000.0  # to record takes long, and is no step
        return mc.tanh(mc.dot([p.sin() for p in w[: len(xs)]], xs))

    def lasting(seconds, method):
        def call(*rest):
            nonlocal now
            result = method(*rest)
            now += seconds
            return result

        return call

    monkeypatch.setattr("micrograd_cn.compiler.epochs.TURN", 1e9)
    clock = SimpleNamespace(perf_counter=lambda: now)
    for room in ("epochs", "mixture"):
        monkeypatch.setattr(f"micrograd_cn.compiler.{room}.time", clock)
    monkeypatch.setattr(Mixture, "_step", lasting(2.0, Mixture._step))
    monkeypatch.setattr(Training, "run_mixed", lasting(8.0, Training.run_mixed))
    monkeypatch.setattr(Running, "expect", lambda self, *seconds: told.append((self.executable, *seconds)))
    compile(f).fit([([0.1],), ([0.2] * 40,), ([0.3],)], SGD(w[:1], 0.01), 3, 1)
    few, many = told[0][0], told[2][0]
    a, b = (executable.plan.schedule.size + 1 for executable in (few, many))
    first, last = ([k * a / (k * a + b), b / (k * a + b)] for k in (3, 2))  # shares of four steps, and of three
    assert [executable for executable, *_ in told] == [few, *[few, many] * 3]
    assert [taken for _, taken, _ in told] == pytest.approx([0.0] * 3 + [8.0 * share for share in first + last])
    assert [left for _, _, left in told] == pytest.approx([0.0, 7.0, 7.0, *(6.0 * share for share in first), 0.0, 0.0])


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
    assert steps.count(0) == 1


def test_a_branch_with_several_results_is_refused_where_it_is_met():
    w = Value(1.0)
    f = compile(lambda x: w * x if x > 0 else [w, x], branches=True)
    with pytest.raises(ValueError, match="returns several"):
        f.fit([(1.0,), (2.0,), (-1.0,)], SGD([w], 0.1), 3, 1)
    assert w.data == pytest.approx(1.0 - 0.1 - 0.2)


def test_memory_is_given_back():
    w, f, samples = mixed()
    compiled = compile(f)
    for _ in range(2):
        compiled.fit(samples, SGD(w, 0.01), 2, 4)
        executables = {id(found): found for found in (compiled.program(*sample).executables for sample in samples)}
        made = [x for found in executables.values() for x in found._made.values() if isinstance(x, Executable)]
        assert {len(executable._unused) for executable in made} == {1}
