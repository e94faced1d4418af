"""`backward` of samples that several programs compute, such as samples of several lengths, is one call of machine code.

Its results are those of a call for each program, and of the engine, in all cases in which a call is not the usual one.
"""

import gc
import math
import random
import threading

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.function import sub_batches
from micrograd_cn.compiler.function.sub_batches import SubBatchCalls
from micrograd_cn.compiler.runtime import prepared
from micrograd_cn.compiler.runtime.gradient_call import GradientCall
from micrograd_cn.losses import cross_entropy

from .common import is_native


@pytest.fixture
def answers(monkeypatch):
    """A list that says, for each batch of several programs, whether one call of machine code computed it."""
    monkeypatch.setattr(prepared, "CALLS_BEFORE_PREPARED", 0)
    found, gradient = [], SubBatchCalls.gradient

    def noted(self, name, buckets):
        result = gradient(self, name, buckets)
        if len(buckets) > 1:
            found.append(result is not None)
        return result

    monkeypatch.setattr(SubBatchCalls, "gradient", noted)
    return found


def warm_up(compiled, samples):
    """Call the gradient until one call of machine code computes it; `backward` would change the gradients."""
    for _ in range(4):
        compiled.value_and_grad(samples)


def network(a, b):
    """Return a recurrent network of two parameters, which takes a list of numbers and a target."""

    def loss(xs, y):
        h = 0.0
        for x in xs:
            h = mc.tanh(a * x + b * h)
        return (h - y) ** 2

    return loss


def eager(loss, samples, parameters):
    """Return the mean of the function over the samples, and the gradient of this mean, as the engine computes them."""
    total = sum([loss(*sample) for sample in samples]) * (1 / len(samples))
    kept = [p.grad for p in parameters]
    for p in parameters:
        p.grad = None
    total.backward()
    found = [p.grad for p in parameters]
    for p, grad in zip(parameters, kept, strict=True):
        p.grad = grad
    return total.data, found


def drawn(rng, lengths):
    """Return samples with lists of these lengths."""
    return [([rng.uniform(-2, 2) for _ in range(n)], rng.uniform(-1, 1)) for n in lengths]


def test_the_mean_and_the_gradient_are_those_of_the_engine(answers):
    """Batches of any lengths in any order, with other parameters in each call, as in a loop that trains."""
    a, b = Value(0.5), Value(-0.3)
    loss, rng = network(a, b), random.Random(0)
    compiled = compile(loss)
    for _ in range(12):
        samples = drawn(rng, rng.choices([1, 2, 3, 5], k=rng.choice([3, 9, 20])))
        a.grad, b.grad = rng.uniform(-1, 1), None
        expected, gradients = eager(loss, samples, [a, b])
        before = a.grad
        assert compiled.backward(samples) == pytest.approx(expected, rel=1e-12)
        assert [a.grad - before, b.grad] == pytest.approx(gradients, rel=1e-9)
        value, found = compiled.value_and_grad(samples, [a, b])
        assert [value, *found] == pytest.approx([expected, *gradients], rel=1e-9)
        a.data, b.data = rng.uniform(-1, 1), rng.uniform(-1, 1)
    assert answers[-1]
    assert answers.count(True) > 12


def test_the_lengths_of_two_arguments_and_of_nested_ones(answers):
    """Samples are also told apart by the length of a second list, and by that of lists in lists."""
    w = Value(0.7)

    def loss(xs, ys, rows):
        flat = [v for row in rows for v in row]
        return (w * sum(xs) - w * w * sum(ys)) ** 2 + sum([w * v for v in flat])

    rng = random.Random(1)

    def numbers(n):
        return [rng.uniform(-1, 1) for _ in range(n)]

    samples = [(numbers(j % 3 + 1), numbers(j % 2 + 1), [numbers(2) for _ in range(j % 4 + 1)]) for j in range(12)]
    compiled = compile(loss)
    warm_up(compiled, samples)
    expected, gradients = eager(loss, samples, [w])
    value, found = compiled.value_and_grad(samples)
    assert answers[-1]
    assert [value, *found] == pytest.approx([expected, *gradients], rel=1e-12)


def test_programs_become_native_code(answers, monkeypatch):
    """The time of a call counts for each of its programs, so they become native code, and the results stay the same."""
    a, b = Value(0.5), Value(-0.3)
    samples = drawn(random.Random(2), [4, 5, 6] * 3)
    compiled = compile(network(a, b))
    warm_up(compiled, samples)
    before = compiled.value_and_grad(samples)
    programs = [compiled.recording_of(*sample).loss for sample in samples[:3]]
    assert not any(is_native(program) for program in programs)
    monkeypatch.setattr("micrograd_cn.compiler.runtime.executable.SECONDS_BEFORE_NATIVE", 0)
    for _ in range(300):
        assert compiled.value_and_grad(samples) == before
    assert answers[-1]
    assert all(is_native(program) for program in programs)


@pytest.mark.parametrize("long_first", [False, True])
def test_a_parameter_that_no_sample_uses_gets_no_gradient(answers, long_first):
    """If only long samples use a parameter, its gradient stays None in a batch without them."""
    w, v = Value(0.5), Value(2.0)
    v.grad = None

    def loss(xs):
        return w * sum(xs) if len(xs) < 4 else w * v * sum(xs)

    short, long = [([1.0] * n,) for n in (1, 2, 3, 1, 2, 3, 1, 2)], [([2.0] * n,) for n in (1, 2, 4, 5, 4, 5, 4, 5)]
    compiled = compile(loss)
    if long_first:
        compiled.value_and_grad(long[2:4])
    warm_up(compiled, short)
    assert answers[-1] is not long_first
    warm_up(compiled, long)
    assert answers[-1]
    w.grad = 0.0
    compiled.backward(short)
    assert v.grad is None
    assert w.grad == eager(loss, short, [w])[1][0]
    compiled.backward(long)
    assert v.grad == pytest.approx(eager(loss, long, [v])[1][0])


def test_a_length_that_is_new_is_recorded(answers):
    """A sample of a new length gets a program of its own. The next call computes it together with the others."""
    a, b = Value(0.5), Value(-0.3)
    loss = network(a, b)
    compiled, rng = compile(loss), random.Random(3)
    samples = drawn(rng, [1, 2] * 4)
    warm_up(compiled, samples)
    assert answers[-1]
    samples += drawn(rng, [7])
    for is_known in (False, True):
        value, found = compiled.value_and_grad(samples, [a, b])
        assert answers[-1] is is_known
        expected, gradients = eager(loss, samples, [a, b])
        assert [value, *found] == pytest.approx([expected, *gradients], rel=1e-12)


def test_what_relu_does_not_select_has_gradient_zero(answers):
    """A gradient that would be 0 * inf = nan is computed by code with gates, also in later calls."""
    w, v = Value(1.0), Value(0.5)

    def loss(xs):
        return mc.relu(mc.dot([w, v], [sum(xs), 1.0])) + v * xs[0]

    compiled = compile(loss)
    samples = [([1.0] * n,) for n in (1, 2, 3)] * 3
    warm_up(compiled, samples)
    assert answers[-1]
    samples += [([0.0, -math.inf],)]
    for _ in range(3):
        value, found = compiled.value_and_grad(samples, [w, v])
        expected, gradients = eager(loss, samples, [w, v])
        assert answers[-1]
        assert [value, *found] == pytest.approx([expected, *gradients], rel=1e-12)


def test_functions_with_branches_are_computed_one_program_at_a_time(answers):
    """If a sample's branch decides what its program is, each program computes the samples of its branch."""
    w = Value(1.5)

    def loss(xs):
        return sum([w * x if x > 0 else w * w * x for x in xs])

    compiled = compile(loss, branches=True)
    rng = random.Random(4)
    positive = [([rng.uniform(0, 1) for _ in range(n)],) for n in (1, 2, 1, 2, 1, 2, 1, 2)]
    mixed = [([rng.uniform(-1, 1) for _ in range(n)],) for n in (1, 2, 1, 2, 1, 2, 1, 2)]
    for samples in 4 * [positive] + 4 * [mixed]:
        value, found = compiled.value_and_grad(samples)
        expected, gradients = eager(loss, samples, [w])
        assert [value, *found] == pytest.approx([expected, *gradients], rel=1e-12)
    assert True not in answers


@pytest.mark.parametrize("first", [1, 3])
def test_constants_are_checked(answers, first):
    """A constant that has other data now, or requires a gradient now, is refused, even if only long samples use it."""
    w, c = Value(2.0), Value(3.0, "c", requires_grad=False)
    compiled = compile(lambda xs: w * sum(xs) if len(xs) < 3 else w * c * sum(xs))
    lengths = [1, 2, 3] if first == 1 else [3, 2, 1]
    samples = [([1.0] * n,) for n in lengths] * 3
    warm_up(compiled, samples)
    assert answers[-1]
    c.requires_grad = True
    with pytest.raises(ValueError, match="c requires a gradient now"):
        compiled.backward(samples)
    c.requires_grad = False
    assert compiled.backward(samples) == pytest.approx(8.0)
    assert answers[-1]
    c.data = 4.0
    with pytest.raises(ValueError, match="c is a constant of the program"):
        compiled.backward(samples)


def test_a_value_from_before_the_call_passes_its_gradient_on(answers):
    """A gradient of 0 that a selection has stopped goes no further, and one that is 0 by a product does, as eagerly."""
    z = Value(0.0)
    root = mc.sqrt(z)

    def loss(xs):
        return mc.where(mc.less(xs[0], 0), root, xs[0]) if len(xs) == 1 else root * xs[0]

    selected = [([1.0],), ([2.0],), ([3.0, 1.0],)] * 3
    stopped = [([1.0],), ([2.0],), ([0.0, 1.0],)] * 3
    compiled = compile(loss)
    for samples in 3 * [selected] + 2 * [stopped]:
        z.grad = root.grad = 0.0
        compiled.backward(samples)
        found, z.grad = z.grad, 0.0
        total = sum([loss(*sample) for sample in samples]) * (1 / len(samples))
        total.backward()
        assert found == pytest.approx(z.grad, nan_ok=True)
    assert math.isnan(found)


def test_what_cannot_be_differentiated_is_refused_in_every_call(answers):
    """Functions of several results, and results that depend on no parameter, raise the same error again and again."""
    w = Value(2.0)
    samples = [([1.0] * n,) for n in (1, 2, 3)] * 3
    several = compile(lambda xs: [w * sum(xs), w])
    constant = compile(lambda xs: float(len(xs)))
    several.forward(samples)
    for _ in range(4):
        with pytest.raises(ValueError, match="returns several"):
            several.value_and_grad(samples)
        with pytest.raises(RuntimeError, match="it has no gradient"):
            constant.value_and_grad(samples)
    assert answers == [False] * 8


def test_some_samples_may_have_constant_results(answers):
    """The gradient of a constant is 0."""
    w = Value(2.0)

    def loss(xs):
        return w * sum(xs) if len(xs) > 1 else w.detach() * 3

    samples = [([1.0] * n,) for n in (1, 2, 3)] * 3
    compiled = compile(loss)
    warm_up(compiled, samples)
    assert answers[-1]
    assert compiled.value_and_grad(samples) == (pytest.approx(16 / 3), [pytest.approx(5 / 3)])


def test_frozen_parameters_are_refused_if_there_is_no_other(answers):
    """`backward` has nothing to give a gradient to if all parameters are frozen by now."""
    a, b = Value(0.5), Value(-0.3)
    compiled, samples = compile(network(a, b)), drawn(random.Random(5), [1, 2] * 4)
    warm_up(compiled, samples)
    assert answers[-1]
    a.requires_grad = False
    b.grad = 0.0
    compiled.backward(samples)
    assert b.grad
    assert not a.grad
    b.requires_grad = False
    with pytest.raises(RuntimeError, match="all are frozen"):
        compiled.backward(samples)


def test_a_class_out_of_range_is_refused(answers):
    """The mean is nan if a label is out of range, and the error names the sample."""
    w = Value(0.5)

    def loss(xs, label):
        return cross_entropy([w * sum(xs), w], label)

    compiled = compile(loss)
    samples = [([1.0] * n, n % 2) for n in (1, 2, 3, 1, 2, 3, 1, 2)]
    for _ in range(4):
        compiled.backward(samples)
    assert answers[-1]
    with pytest.raises(IndexError, match="sample 4"):
        compiled.backward([*samples[:4], ([1.0, 1.0], 5), *samples[4:]])


def test_a_result_that_is_nan_is_nan(answers):
    """A result that is nan is no error by itself."""
    w = Value(1.0)
    compiled = compile(lambda xs: w * sum(xs))
    samples = [([1.0] * n,) for n in (1, 2)] * 4
    warm_up(compiled, samples)
    assert answers[-1]
    value, found = compiled.value_and_grad([([math.nan],), *samples])
    assert math.isnan(value)
    assert math.isnan(found[0])


def test_detect_anomaly_names_the_operation(answers):
    """Inside `detect_anomaly()`, an infinite result is an error."""
    w = Value(0.0)
    compiled = compile(lambda xs: sum(xs) / w)
    samples = [([1.0] * n,) for n in (1, 2)] * 4
    warm_up(compiled, samples)
    with mc.detect_anomaly(), pytest.raises(FloatingPointError):
        compiled.backward(samples)


def test_several_threads_call_the_function_at_the_same_time(answers):
    """Each thread has memory of its own."""
    a, b = Value(0.5), Value(-0.3)
    compiled, rng = compile(network(a, b)), random.Random(6)
    batches = [drawn(rng, rng.choices([1, 2, 3, 4], k=16)) for _ in range(4)]
    for samples in batches:
        warm_up(compiled, samples)
    expected, differ = [compiled.value_and_grad(samples) for samples in batches], []

    def work(samples, alone):
        for _ in range(50):
            if compiled.value_and_grad(samples) != alone:
                differ.append(alone)

    threads = [threading.Thread(target=work, args=each) for each in zip(batches, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers[-1]
    assert not differ


def test_static_arguments_tell_programs_apart(answers):
    """The samples of a batch may differ in a static argument."""
    w = Value(0.5)

    def loss(xs, power):
        return sum([w * x**power for x in xs])

    compiled = compile(loss, static="power")
    samples = [([1.0 + j, 2.0], j % 2 + 1) for j in range(8)]
    warm_up(compiled, samples)
    value, found = compiled.value_and_grad(samples)
    expected, gradients = eager(loss, samples, [w])
    assert answers[-1]
    assert [value, *found] == pytest.approx([expected, *gradients], rel=1e-12)


def test_only_some_operands_are_kept(answers, monkeypatch):
    """A function may meet any number of lengths, and the memory for all but a few is freed."""
    monkeypatch.setattr(sub_batches, "MAX_KNOWN", 3)
    a, b = Value(0.5), Value(-0.3)
    loss = network(a, b)
    compiled, rng = compile(loss), random.Random(7)
    for k in range(8):
        samples = drawn(rng, [k + 1, k + 2] * 4)
        for _ in range(3):
            value, found = compiled.value_and_grad(samples, [a, b])
        expected, gradients = eager(loss, samples, [a, b])
        assert answers[-1]
        assert [value, *found] == pytest.approx([expected, *gradients], rel=1e-9)
    programs = {recording.loss.compiled for _, recording in compiled._store.different()}
    kept = [x for x in gc.get_objects() if type(x) is GradientCall and x.compiled in programs]
    assert len(programs) == 9
    assert len(kept) <= 3


@pytest.mark.parametrize("has_driver", [True, False])
def test_only_a_compiled_driver_is_called_after_a_few_calls(has_driver, answers, monkeypatch):
    monkeypatch.setattr(prepared, "CALLS_BEFORE_PREPARED", 3)
    monkeypatch.setattr(sub_batches, "has_driver", lambda name, lanes, fast: has_driver)
    begun = []
    monkeypatch.setattr(sub_batches.BackgroundTasks, "do", lambda self, key, work: begun.append(key))
    a, b = Value(0.5), Value(0.25)
    compiled = compile(network(a, b))
    for _ in range(200):
        compiled.value_and_grad([([1.0, 2.0], 0.5), ([1.0], 0.25)])
    assert [*dict.fromkeys(answers)] == [False, True][: 1 + has_driver]
    assert ("driver" in begun) is not has_driver
