"""`fit` on samples that need several programs takes many steps in one compiled loop, and trains as an eager loop does.

A sample's program depends on its structure and on the branch that it takes. The compiled loop can go on by itself
while all programs that it needs exist, and while no parameter can change a branch.
"""

import random
import threading
from array import array
from math import inf
from types import SimpleNamespace

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data import parameters
from micrograd_cn.compiler.runtime import executable
from micrograd_cn.compiler.training.epochs import TrainingOptions, take_epoch_means, train
from micrograd_cn.compiler.training.run import GradientRunner
from micrograd_cn.compiler.training.state import ParameterBlocks, TrainingState
from micrograd_cn.compiler.training.update import compiled_update
from micrograd_cn.graph import context
from micrograd_cn.optim import SGD, Adam, linear_lr

from .common import OPTIMISERS, branching, code_of, everything, is_native, mixed, settings, trained


@pytest.mark.parametrize("few", [0, inf])
@pytest.mark.parametrize("count", [1, 8, 9, 200])
def test_columns_of_the_memory_of_a_training_are_written_and_read_alone(few, count):
    """Machine code copies them, or Python code if there are fewer numbers than `few`."""
    update = compiled_update(Adam([Value(1.0)]), False, False)
    blocks = ParameterBlocks(update.executable, count)
    with settings({"data.partition.FEW_NUMBERS": few, "data.partition.NUMBERS_BEFORE_CODE": 0}):
        columns = [array("d", [100.0 * i + k for i in range(blocks.places)]) for k in range(4)]
        for k in (2, 0, 3, 1):
            blocks.write_column(k, columns[k])
        assert blocks.read_columns([3, 0, 1, 2], blocks.copied()) == [columns[k] for k in (3, 0, 1, 2)]


class Told(list):
    """A list of how many steps `fit` took before each return to Python, to be given as `progress`."""

    def __call__(self, losses):
        self.append(len(losses))


def by_sign(w):
    """Return a function whose branch depends on its argument alone, so no step can change it."""
    return lambda x: (w[0] * x if x > 0 else w[1] * x * x) ** 2


def test_the_compiled_loop_takes_many_steps_at_once_once_every_program_is_there():
    """The compiled loop takes several epochs at a time, or a whole epoch if the samples are shuffled."""
    w, f, samples = mixed()
    told, more = Told(), Told()
    compile(f).fit(samples, SGD(w, 0.01), 40, 1, progress=told)
    assert sum(told) == 40 * len(samples)
    assert max(told) > len(samples)  # more than an epoch at a time
    compile(f).fit(samples, SGD(w, 0.01), 50, 10, shuffle=random.Random(0), progress=more)
    assert (sum(more), max(more)) == (50 * 3, 3)  # Python shuffles before each epoch of three steps


def test_a_branch_of_which_the_sample_decides_is_known_before_and_one_of_parameters_looked_at_in_each_step():
    """The loop goes on by itself if samples alone decide the branches, and takes single steps if parameters do."""
    samples, told = [(x,) for x in (1.0, 2.0, -0.5, 3.0, -2.0)], Told()
    w = [Value(0.5), Value(2.0)]
    compile(by_sign(w), branches=True).fit(samples, SGD(w), 40, 1, progress=told)
    assert max(told) > 5
    w, f, samples = mixed(branching)
    told = Told()
    compile(f, branches=True).fit(samples, SGD(w, 0.01), 2, 4, progress=told)
    assert told == [1] * 16


@pytest.mark.parametrize("kind", ["threaded", "fused", "native"])
@pytest.mark.parametrize(("batch_size", "name"), [(1, "adam"), (3, "momentum"), (12, "adamw"), (None, "sgd")])
def test_many_steps_at_once_give_the_numbers_of_single_ones(kind, batch_size, name):
    """Many steps in the compiled loop give the same bits as a return to Python after each step."""
    found = []
    for turn in (0.05, 0.0):  # seconds between two returns to Python; with 0 there is one after each step
        for f in (None, by_sign):
            w, loss, samples = mixed()
            if f:
                loss, samples = f(w), [(t,) for _, t in samples]
            w[1].requires_grad = False
            optimizer = OPTIMISERS[name]([*(w if f else w[1:]), Value(3.0)])
            shuffle = random.Random(3) if f else None
            with code_of(kind), settings({"training.epochs.POLL_SECONDS": turn}):
                losses = compile(loss, branches=bool(f)).fit(
                    samples, optimizer, 4, batch_size, shuffle, linear_lr(0.05, 500), each_step=True
                )
            found.append((losses, *everything(w, optimizer), optimizer.lr))
    assert found[:2] == found[2:]


@pytest.mark.parametrize("f", [None, branching])
@pytest.mark.parametrize("batch_size", [1, 13])
def test_training_goes_on_with_native_code(batch_size, f):
    """All programs of a function may change to native code between two steps of `fit`."""
    (ours, f, samples), (theirs, g, _) = (mixed(*[f] * bool(f)) for _ in range(2))
    optimizers, told = [OPTIMISERS["adam"](w) for w in (ours, theirs)], []
    compiled = compile(f, branches=True)

    def progress(losses):
        told.append(is_native(compiled))
        executable.SECONDS_BEFORE_NATIVE = 0.0 if 9 < len(told) < 20 else inf

    with code_of("threaded"), settings({"training.epochs.POLL_SECONDS": 0.0}):  # step by step
        found = compiled.fit(samples, optimizers[0], 9, batch_size, progress=progress)
    assert not any(told[:9])
    assert all(told[20:])
    assert told[-1]
    assert found == pytest.approx(trained(g, samples, optimizers[1], 9, batch_size), rel=1e-9)
    assert [p.data for p in ours] == pytest.approx([p.data for p in theirs], rel=1e-9)


def test_a_schedule_that_fails_ends_the_loop_where_it_does():
    """If a schedule returns a wrong rate for step 21, `fit` raises, and the 21 steps before it count."""
    (ours, f, samples), (theirs, g, _) = mixed(), mixed()
    a, b = (OPTIMISERS["momentum"](w) for w in (ours, theirs))

    def schedule(step):
        return 0.05 if step < 21 else -1.0

    with pytest.raises(ValueError, match="learning rate"):
        compile(f).fit(samples, a, 5, 4, schedule=schedule)
    for epochs, some in ((2, samples), (1, samples[:20])):
        trained(g, some, b, epochs, 4, schedule=lambda _: 0.05)
    assert a.steps == b.steps == 21
    assert [p.data for p in ours] == pytest.approx([p.data for p in theirs], rel=1e-12)


def test_parameters_that_a_later_form_alone_has_are_trained_too():
    """Parameters that only samples of a later structure use are trained, although the loop starts without them."""
    ours, theirs = ([Value(0.1 * k + 0.2) for k in range(40)] for _ in range(2))

    def of(w):
        return lambda xs: (mc.sum([w[k] * x for k, x in enumerate(xs)]) - 1.0) ** 2

    samples = [([0.1] * n,) for n in (1, 2, 1, 2, 40, 1, 3, 40)]
    found = compile(of(ours)).fit(samples, SGD(ours, 0.1, momentum=0.5), 4, 2)
    assert found == pytest.approx(trained(of(theirs), samples, SGD(theirs, 0.1, momentum=0.5), 4, 2), rel=1e-12)
    assert [p.data for p in ours] == pytest.approx([p.data for p in theirs], rel=1e-12)


def test_a_branch_that_has_parameters_of_its_own_may_be_known_before_it_is_met():
    """The parameters of a branch that no sample took in the first steps are trained when one takes it."""
    ours, theirs = ([Value(0.1 * k) for k in range(1, 60)] for _ in range(2))

    def of(w):
        return lambda x: (w[0] * x if x > 0 else mc.sum([p * x for p in w])) ** 2

    samples = [(x,) for x in (1.0, 2.0, -0.01, 3.0, -0.02)]
    found = compile(of(ours), branches=True).fit(samples, SGD(ours, 0.01), 3, 1)
    assert found == pytest.approx(trained(of(theirs), samples, SGD(theirs, 0.01), 3, 1), rel=1e-12)
    assert [p.data for p in ours] == pytest.approx([p.data for p in theirs], rel=1e-12)


def test_a_branch_with_several_results_is_refused_before_the_first_step():
    w = Value(1.0)
    f = compile(lambda x: w * x if x > 0 else [w, x], branches=True)
    with pytest.raises(ValueError, match="returns several"):
        f.fit([(1.0,), (2.0,), (-1.0,)], SGD([w], 0.1), 3, 1)
    assert w.data == 1.0


def test_the_first_training_of_a_process_reads_the_parameters(monkeypatch):
    """The first version of all data has the number 0, and no memory has the data of this version yet."""
    monkeypatch.setattr(parameters, "_version", 0)
    monkeypatch.setattr(context, "data_changed", False)
    w, x = Value(2.0), Value(1.0)
    assert compile(w * x, [x]).fit([[3.0]], SGD([w], 0.0), 1) == [6.0]


@pytest.mark.parametrize("left", [0.0, 3.0])
def test_kernels_are_upgraded_only_while_training_goes_on(left):
    """`upgrade` asks for faster kernels if steps remain, and does not after the last step, when none would gain."""
    asked = []
    runner = GradientRunner.__new__(GradientRunner)
    runner.executable, runner.thread_buffers, runner._rows = SimpleNamespace(seconds=1.0, kind="gradient"), [], 4
    runner.compiled = SimpleNamespace(select_executable=lambda *given: asked.append(given) or runner.executable)
    runner.upgrade(0.5, left)
    assert runner.executable.seconds == 1.5
    assert asked == [("gradient", 4, left)] * bool(left)


class Halving(SGD):
    """SGD with a learning rate that is computed when it is read."""

    @property
    def lr(self):
        return 0.1 * 0.5 ** vars(self).get("steps", 0)

    @lr.setter
    def lr(self, given):
        pass


def test_a_learning_rate_that_is_computed_when_it_is_read_is_refused():
    """`fit` reads the learning rate once for many steps, so a rate that may change between steps is refused."""
    w = Value(10.0)
    with pytest.raises(TypeError, match=r"Halving, whose lr is computed .*, schedule=f\) with a function f\(step\)"):
        compile(lambda x: (w - x) ** 2).fit(([0.0],), Halving([w]), epochs=3)
    assert w.data == 10.0


def test_the_mean_losses_do_not_depend_on_how_many_steps_are_taken_at_a_time():
    """The compiled loop takes as many steps at a time as take about 50 ms, so that depends on the machine."""
    draw, found = random.Random(0), []
    of_steps = [draw.random() for _ in range(5 * 100)]
    for size in (1, 3, 500):
        means = array("d")
        losses = array("d")
        for start in range(0, 500, size):
            losses.extend(of_steps[start : start + size])
            take_epoch_means(losses, means, n=41, batch=9)
        found.append(means)
    assert found == [found[0]] * 3

    def losses_of(each_step, sizes, end_epoch=None):
        options = TrainingOptions(SGD([Value(0.0)]), 100, 9, each_step=each_step)
        draw = random.Random(0)

        def take_steps(first, most):
            return [draw.random() for _ in range(min(most, sizes.randint(1, 7)))]

        return train(options, 41, take_steps, lambda *_: None, lambda _: None, end_epoch)

    seen = []
    histories = [losses_of(False, random.Random(k)) for k in range(5)]
    losses_of(True, random.Random(9), lambda _, loss: seen.append(loss))
    assert histories == [[*found[0]]] * 5
    assert seen == [*found[0]]


def in_other_thread(work):
    """Call `work` in another thread, and return what it returns or the error that it raises."""
    found = []

    def run():
        try:
            found.append(work())
        except Exception as error:  # whatever it is, the test compares it with what it expects
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def test_two_threads_do_not_train_one_parameter_at_once():
    """`fit` writes its copy of the parameters back, so one of the two trainings would be lost without a word."""
    w, v, found = Value(0.0), Value(0.0), []

    def fit(p, **options):
        return compile(lambda x: (p * x - 1.0) ** 2).fit([(1.0,)], SGD([p], lr=0.1), 2, **options)

    def other_fits(_):
        if not found:
            found.extend([in_other_thread(lambda: fit(w)), in_other_thread(lambda: fit(v))])

    assert len(fit(w, progress=other_fits)) == 2
    assert "another thread is training a parameter of this optimizer by fit" in str(found[0])
    assert len(found[1]) == 2
    assert w.data == v.data == pytest.approx(0.36)
    fit(w, callback=lambda *_: found.append(in_other_thread(lambda: fit(w))))  # not at once: the callback waits
    assert w.data == pytest.approx(1 - 0.8**8)
    assert in_other_thread(lambda: len(fit(w))) == 2


def test_another_thread_is_noticed_inside_a_training_of_ones_own():
    """A thread that trains v may train w in a callback, but not while another thread trains w."""
    w, v, errors = Value(0.0), Value(0.0), []
    begun, done = threading.Event(), threading.Event()

    def fit(p, **options):
        return compile(lambda x: (p * x - 1.0) ** 2).fit([(1.0,)], SGD([p], lr=0.1), 2, **options)

    def wait(_):
        begun.set()
        assert done.wait(60)

    def meanwhile(_):
        if errors:
            return
        other = threading.Thread(target=fit, args=[w], kwargs={"progress": wait})
        other.start()
        assert begun.wait(60)
        try:
            fit(w)
        except ValueError as error:
            errors.append(str(error))
        finally:
            done.set()
            other.join()

    fit(v, progress=meanwhile)
    assert ["another thread is training a parameter" in error for error in errors] == [True]


@pytest.mark.parametrize("changed", ["the data of a parameter", "lr of the optimizer", "steps of the optimizer"])
def test_a_change_in_another_thread_is_not_lost_without_a_word(changed):
    w = Value(0.0)
    optimizer = SGD([w], lr=0.1)
    changes = {"the data": lambda: setattr(w, "data", 5.0), "lr of": lambda: setattr(optimizer, "lr", 0.0)}
    change = changes.get(" ".join(changed.split()[:2]), lambda: setattr(optimizer, "steps", 7))

    f = compile(lambda x: (w * x - 1.0) ** 2)
    f(1.0)
    before = TrainingState.run
    with pytest.MonkeyPatch.context() as patch:

        def run(*arguments):
            taken = before(*arguments)
            in_other_thread(change)
            return taken

        patch.setattr(TrainingState, "run", run)
        with pytest.warns(UserWarning, match=f"another thread has changed {changed} while fit trained"):
            f.fit([(1.0,)], optimizer, 1)
    assert w.data == pytest.approx(0.2)
