"""`fit` refuses an index or class label that is out of range in any sample, and leaves the parameters as they were."""

import random

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.losses import cross_entropy, nll_loss
from micrograd_cn.optim import SGD, Adam

WRONG = [3.0, 7.0, -1.0, 1.5, float("nan"), float("inf")]


def weights(count=3):
    return [Value(0.1 * k + 0.3) for k in range(count)]


def functions(w):
    """Return functions of x and an index below 3, which is a class label, an index of `take`, or computed."""
    return {
        "cross_entropy": lambda x, y: cross_entropy([w[0] * x, w[1] * x, w[2]], y),
        "nll_loss": lambda x, y: nll_loss([w[0] * x, w[1] * x, w[2]], y),
        "ignore_index": lambda x, y: cross_entropy([w[0] * x, w[1] * x, w[2]], y, "sum", ignore_index=-100),
        "take": lambda x, y: mc.take(w, y) * x,
        "take rows": lambda x, y: mc.sum(mc.take([w, w[::-1], w], y)) * x,
        "computed": lambda x, y: mc.take(w, 2 - y) * x,
        "branch": lambda x, y: mc.take(w, y) * x if x > 0 else w[0] * x,
        "branch on a parameter": lambda x, y: mc.take(w, y) * x if w[0] > -100 else w[0] * x,
    }


def kept(w, optimizer):
    return [p.data for p in w], [p.grad for p in w], optimizer.state_dict()


@pytest.mark.parametrize("name", functions(weights()))
@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_an_index_out_of_range_is_an_error_of_fit_for_every_sample(name, batch_size):
    for threads in (1, 2):
        for wrong in WRONG if threads == 1 else WRONG[:1]:
            w = weights()
            optimizer = Adam(w, lr=0.01)
            f = compile(functions(w)[name], branches=True)
            f.fit([(1.0, 0.0), (2.0, 1.0)], optimizer, 2)  # the recorded samples are right
            before = kept(w, optimizer)
            samples = [(1.0, 0.0), (2.0, 2.0), (1.0, wrong), (0.5, 1.0)]
            shuffle = random.Random(0) if batch_size else None
            with pytest.raises(IndexError, match=r"fit\(\): sample 2: an index or class is .* numbers 0 to 2"):
                f.fit(samples, optimizer, 3, batch_size=batch_size, shuffle=shuffle, threads=threads)
            if name != "branch on a parameter" or batch_size is None:
                assert kept(w, optimizer) == before
            assert all(np.isfinite([p.data for p in w]))
            assert np.isfinite(f.fit([s for s in samples if s[1] is not wrong], optimizer, 1)).all()


@pytest.mark.parametrize("place", range(3))
def test_each_of_several_indices_is_checked(place):
    w = weights()
    f = compile(lambda a, b, c: mc.take(w, a) * mc.take(w, b) + mc.take(w, c))
    samples = [[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]
    assert np.isfinite(f.fit(samples, SGD(w, lr=0.01), 1)).all()
    samples[1][place] = 3.0
    with pytest.raises(IndexError, match=r"fit\(\): sample 1: an index or class is 3\.0"):
        f.fit(samples, SGD(w, lr=0.01), 1)
    with pytest.raises(IndexError, match=r"row 1.* 3\.0"):
        f.program(*samples[0]).fit(samples, SGD(w, lr=0.01), 1)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_program_refuses_rows_with_indices_out_of_range(wrong):
    w, x, y = weights(), Value(1.0), Value(0.0)
    program, optimizer = compile(mc.take(w, y) * x, [x, y]), SGD(w, lr=0.1)
    before = kept(w, optimizer)
    for rows in ([[1.0, 0.0], [1.0, wrong]], np.array([[1.0, 0.0], [1.0, wrong]])):
        with pytest.raises(IndexError, match=r"fit\(\): row 1: an index or class is .*, but there are 3"):
            program.fit(rows, optimizer, 2)
        assert kept(w, optimizer) == before
    assert program.fit([[1.0, 0.0], [1.0, 2.0]], optimizer, 1) == [pytest.approx(0.4)]


def test_an_index_that_where_does_not_choose_may_be_out_of_range():
    w = weights()
    f = compile(lambda x, y: mc.where(mc.less(y, 3), mc.take(w, y), 0.0) * x)
    assert f.fit([(1.0, 1.0), (1.0, 7.0)], SGD(w, lr=0.0), 1) == [pytest.approx(0.2)]


CLASSES = {
    "cross_entropy": cross_entropy,
    "nll_loss": nll_loss,
    "weighted": lambda row, t: cross_entropy(row, t, "sum", weight=[1, 2, 3]),
    "smoothed": lambda row, t: cross_entropy(row, t, label_smoothing=0.1),
    "ignoring": lambda row, t: cross_entropy(row, t, "sum", ignore_index=-100),
    "batch": lambda row, t: cross_entropy([row, row], [1, t]),
}


@pytest.mark.parametrize("name", CLASSES)
def test_derivatives_for_a_class_that_does_not_exist_are_refused(name):
    """The loss is nan, but its derivatives with respect to the scores would be those of another loss."""
    w = Value(1.5)
    f = compile(lambda x, t: CLASSES[name]([w * x, x, x * x], t))
    good = [(1.0, 0), (2.0, 2)] + ([(2.0, -100)] if name == "ignoring" else [])
    methods = (f.backward, f.gradient, f.jacobian, f.hessian, lambda samples: f.gradient(samples, wrt="parameters"))
    for wrong in WRONG:
        for method in methods:
            for samples in ([*good, (1.0, wrong)], [(1.0, wrong)], [(1.0, wrong), *good] * 9):
                with pytest.raises(
                    IndexError, match=rf"\w+\(\): sample {samples.index((1.0, wrong))}: .* but the classes"
                ):
                    method(samples)
        assert w.grad == 0.0
        assert np.isnan(f(1.0, wrong))
        assert np.isnan(f.forward([*good, (1.0, wrong)])).tolist() == [False] * len(good) + [True]
    for method in methods:
        assert np.isfinite(method(good)).all()


@pytest.mark.parametrize("place", range(3))
def test_derivatives_for_each_of_several_classes_that_does_not_exist_are_refused(place):
    f = compile(lambda x, *ts: sum(cross_entropy([x, 2.0 * x, 1.0], t) for t in ts))
    good = [1.0, 0, 1, 2]
    wrong = [*good]
    wrong[1 + place] = 3
    assert np.isfinite(f.gradient([good])).all()
    for samples, at in (([wrong], 0), ([good, wrong], 1)):
        with pytest.raises(IndexError, match=rf"gradient\(\): sample {at}: .* target is 3\.0, but the classes"):
            f.gradient(samples)


def test_derivatives_of_an_index_that_does_not_exist_are_those_of_the_plain_function():
    """The plain function raises nothing: `take` gives nan, and passes nothing on."""
    v, w = Value(2.0), Value(3.0)
    f = compile(lambda x, i: v * x + mc.take([w, x, v], i))
    assert f.gradient([(1.0, 7.0)]) == [[2.0, 0.0]]
    assert np.isnan(f.backward([(1.0, 7.0)]))
    assert (v.grad, w.grad) == (1.0, 0.0)


def test_a_loss_that_is_nan_for_another_reason_is_trained_with_as_in_a_loop():
    w = weights()
    f = compile(lambda x, y: mc.take(w, y) * mc.log(x))
    assert np.isnan(f.fit([(1.0, 1.0), (-1.0, 0.0)], SGD(w, lr=0.1), 2)).all()
    assert np.isnan(w[0].data)


def test_a_loss_that_is_nan_is_explained_at_most_once():
    """The function is called for it, which takes longer than an epoch."""

    def calls(epochs):
        w, called = weights(), []
        f = compile(lambda x, y: called.append(x) or mc.take(w, y) * mc.log(x))
        f.fit([(1.0, 1.0), (-1.0, 0.0)], SGD(w, lr=0.1), epochs, callback=lambda epoch, loss: None)
        return len(called)

    assert calls(9) == calls(2) == calls(1)


def test_an_index_that_only_training_puts_out_of_range_is_an_error():
    w, p = weights(), Value(1.0)
    losses = []
    f = compile(lambda x: mc.take(w, mc.floor(p)) * x + p)
    with pytest.raises(IndexError, match=r"fit\(\): sample 0: an index or class is -1\.0"):
        f.fit([(1.0,)], SGD([p], lr=0.5), 9, callback=lambda epoch, loss: losses.append(loss))
    assert losses == pytest.approx([1.4, 0.8, 0.3])


def test_what_the_function_itself_says_of_a_sample_is_raised():
    w = weights()
    f = compile(lambda x, y: cross_entropy([[w[0] * x, w[1]]], [y], ignore_index=-100))
    optimizer = SGD(w, lr=0.1)
    f.fit([(1.0, 0.0)], optimizer, 1)
    before = kept(w, optimizer)
    with pytest.raises(ValueError, match=r"fit\(\): sample 1: cross_entropy: every target is ignored"):
        f.fit([(1.0, 0.0), (1.0, -100.0)], optimizer, 1)
    with pytest.raises(ValueError, match=r"fit\(\): validation sample 0: cross_entropy: every target is ignored"):
        f.fit([(1.0, 0.0)], optimizer, 1, validation=[(1.0, -100.0)])
    assert kept(w, optimizer) == before


def test_steps_before_the_last_epoch_are_kept_if_a_callback_saw_them():
    w, seen = weights(), []
    f = compile(lambda x, y: mc.take(w, y) * x)
    samples = np.array([1.0, 1.0]), np.array([0.0, 1.0])
    f.fit(samples, SGD(w, lr=0.1), 2, callback=lambda epoch, loss: seen.append(w[0].data))
    assert w[0].data == seen[-1]


def test_a_label_of_validation_data_that_is_out_of_range_is_an_error():
    w = weights()
    f = compile(lambda x, y: mc.take(w, y) * x)
    before = [p.data for p in w]
    with pytest.raises(IndexError, match=r"fit\(\): validation sample 1: an index or class is 3\.0"):
        f.fit([(1.0, 0.0)], SGD(w, lr=0.1), 2, validation=[(1.0, 0.0), (1.0, 3.0)])
    assert [p.data for p in w] == before
    x, y = Value(1.0), Value(0.0)
    with pytest.raises(IndexError, match=r"fit\(\): validation row 1: an index or class is 3\.0"):
        compile(mc.take(w, y) * x, [x, y]).fit([[1.0, 0.0]], SGD(w), 2, validation=[[1.0, 0.0], [1.0, 3.0]])
