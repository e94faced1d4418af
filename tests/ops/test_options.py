"""A call with an option of another library, or without an argument, raises an error that says what to write."""

import inspect
import pickle

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile as compiled
from micrograd_cn.losses import huber_loss
from micrograd_cn.nn import Layer
from micrograd_cn.optim import SGD, cosine_lr, linear_lr, step_lr, warmup

X = [1.0, 2.0]
W = Value(1.0)


def trained(**options):
    f = compiled(lambda x: (W * x - 1.0) ** 2)
    return f.fit([(1.0,)], SGD([W], lr=0.1), 1, **options)


WRONG = {
    "mean, axis": (lambda: mc.mean(X, axis=0), r"mean\(\) has no option axis; .*write \[mean\(row\) for row in rows\]"),
    "softmax, axis": (lambda: mc.softmax(X, axis=1), r"softmax\(\) has no option axis; .*\[softmax\(row\) for row"),
    "log_softmax, dim": (lambda: mc.log_softmax(X, dim=-1), r"log_softmax\(\) has no option dim; .*\[log_softmax\(row"),
    "sum, axis": (lambda: mc.sum(X, axis=0), r"sum\(\): .*there is no axis; write \[sum\(row\) for row in rows\]"),
    "mean of numbers": (lambda: mc.mean(1.0, 2.0), r"mean\(\): it takes one list; write mean\(\[x, y\]\)"),
    "softmax of numbers": (lambda: mc.softmax(W, 2.0), r"softmax\(\): it takes one list; write softmax\(\[x, y\]\)"),
    "softmax and more": (lambda: mc.softmax(X, X), r"softmax\(\): it takes one list; write softmax\(xs\)"),
    "clip, min": (lambda: mc.clip(3.0, min=2), r"clip\(\): the argument max is missing; write clip\(x, min, max\)"),
    "clip alone": (lambda: mc.clip(3.0), r"the arguments min and max are missing; write clip\(x, min, max\)"),
    "clip, low": (lambda: mc.clip(3.0, low=2), r"clip\(\): there is no low; write clip\(x, min, max\)"),
    "dot": (lambda: mc.dot(X), r"dot\(\): the argument ys is missing; write dot\(xs, ys, bias\)"),
    "take": (lambda: mc.take(X), r"take\(\): the argument index is missing; write take\(xs, index\)"),
    "take of rows": (lambda: mc.take([X, X]), r"take\(\): the argument index is missing; write take\(xs, index\)"),
    "polygamma": (lambda: mc.polygamma(1.5, 2.0), r"takes the order n first, .*got 1.5; write polygamma\(n, x\)"),
    "zero_grad": (lambda: W.zero_grad(set_to_none=True), r"no option set_to_none; write x\.grad = None for each leaf"),
    "huber_loss": (lambda: huber_loss(X, X, beta=1.0), r"huber_loss\(\) has no option beta; write delta="),
    "cosine_lr": (lambda: cosine_lr(0.1, T_max=10), "cosine_lr has no option T_max; write steps="),
    "linear_lr": (lambda: linear_lr(0.1, total_iters=10), "linear_lr has no option total_iters; write steps="),
    "step_lr": (lambda: step_lr(0.1, stepsize=10), "step_lr has no option stepsize; write step_size="),
    "warmup": (lambda: warmup(step_lr(0.1, 2), warmup_steps=1), "warmup has no option warmup_steps; write steps="),
    "SGD": (lambda: SGD([W], learning_rate=0.1), "SGD has no option learning_rate; write lr="),
    "Layer": (lambda: Layer(1, 1, bias=False), r"Layer has no option bias; for none, write n\.b\.requires_grad"),
    "fit, lr": (lambda: trained(lr=0.1), r"fit\(\) has no option lr; write .*SGD\(model\.parameters\(\), lr=\.\.\.\)"),
    "fit, verbose": (lambda: trained(verbose=1), r"fit\(\) has no option verbose; write progress=True"),
    "fit, validation_data": (lambda: trained(validation_data=[]), r"option validation_data; write validation="),
    "fit, callbacks": (lambda: trained(callbacks=[]), r"fit\(\) has no option callbacks; write callback="),
    "fit, batchsize": (lambda: trained(batchsize=1), r"fit\(\) has no option batchsize; write batch_size="),
    "gradient": (
        lambda: compiled(lambda x: x * x).gradient([(1.0,)], argnums=0),
        r"gradient\(\) has no option argnums; write wrt=\['name'\]",
    ),
    "compile": (lambda: compiled(lambda x: x, static_argnums=0), r"option static_argnums; write static=\['name'\]"),
    "compile max": (lambda: compiled(max), r"arguments of max, .*; write compile\(lambda x, y: max\(x, y\)\)"),
}


@pytest.mark.parametrize(("call", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_call_says_what_to_write(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_an_option_that_no_list_of_options_knows_is_named():
    with pytest.raises(TypeError, match=r"^mean\(\) has no option nowhere$"):
        mc.mean(X, nowhere=1)


def test_right_calls_are_as_before():
    assert (mc.mean(xs=X), mc.take(X, index=1), mc.clip(3.0, min=2, max=None), mc.polygamma(True, 1)) == (
        *(1.5, 2.0, 3.0),
        mc.polygamma(1, 1),
    )
    assert (huber_loss([3.0], [0.0], delta=2.0), cosine_lr(lr=0.1, steps=2)(2), step_lr(0.1, 2, gamma=0.5)(2)) == (
        *(4.0, 0.0),
        0.05,
    )
    schedule = warmup(schedule=step_lr(0.1, 2), steps=3)
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert list(inspect.signature(cosine_lr).parameters) == ["lr", "steps", "lr_min"]
    assert trained(batch_size=1, progress=False)
