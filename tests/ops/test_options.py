"""A call with an option of another library, or without an argument, raises an error that says what to write."""

import inspect
import math
import pickle

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile as compiled
from micrograd_cn.functional import hvp, jvp
from micrograd_cn.losses import hinge_loss, huber_loss, l1_loss, mse_loss
from micrograd_cn.nn import Layer
from micrograd_cn.optim import SGD, clip_grad_norm, cosine_lr, linear_lr, step_lr, warmup

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
    "log, 2": (lambda: mc.log(W, 2), r"log\(\) takes 1 operand, got 2; write log\(x\) / log\(2\)"),
    "maximum of a list": (lambda: mc.maximum([W, W]), r"takes 2 operands, got 1; write max\(xs\)"),
    "minimum of three": (lambda: mc.minimum(W, 1.0, 2.0), r"takes 2 operands, got 3; write min\(\[x, y, z\]\)"),
    "softplus, beta": (lambda: mc.softplus(W, beta=2), r"got beta; write softplus\(beta \* x\) / beta"),
    "gelu, approximate": (lambda: mc.gelu(W, approximate="tanh"), r"write 0\.5 \* x \* \(1 \+ tanh\(0\.79788"),
    "relu, inplace": (lambda: mc.relu(W, inplace=True), r"got inplace; write x = relu\(x\)"),
    "sum of rows, by Python": (lambda: mc.sum([[W], [X]]), r"or builtins\.sum\(rows, \[\]\) for Python's own sum"),
    "softmax of rows": (lambda: mc.softmax([[W], X]), r"got a list of lists; write \[softmax\(row\) for row in rows\]"),
    "log_softmax of rows": (lambda: mc.log_softmax((X, X)), r"write \[log_softmax\(row\) for row in rows\]"),
    "mean of rows": (lambda: mc.mean([[W], [W]]), r"mean\(\) takes a list .*; write \[mean\(row\) for row in rows\]"),
    "sum of rows": (lambda: mc.sum([[W], [W]]), r"sum\(\) takes a list .*; write \[sum\(row\) for row in rows\]"),
    "mean of an array": (lambda: mc.mean(np.ones((2, 2))), r"list of ndarrays; write \[mean\(row\) for row in rows\]"),
    "softmax of an array": (lambda: mc.softmax(np.array([[W, W]])), r"write \[softmax\(row\) for row in rows\]"),
    "mse_loss, weight": (
        lambda: mse_loss(X, X, weight=X),
        r"mse_loss\(\) has no option weight; write dot\(weight, mse_loss\(.*\)\) / sum\(weight\), .* PyTorch's mean",
    ),
    "l1_loss, size_average": (
        lambda: l1_loss(X, X, size_average=True),
        'no option size_average; write reduction="mean"',
    ),
    "hinge_loss, reduce": (lambda: hinge_loss(X, X, reduce=False), 'no option reduce; write reduction="none"'),
    "clip_grad_norm": (lambda: clip_grad_norm([W], 1.0, norm_type=1), "no option norm_type; the norm is Euclidean; to"),
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


def test_what_messages_say_to_write_is_right():
    x, beta = 0.7, 2.0
    assert mc.softplus(beta * x) / beta == pytest.approx(math.log(1 + math.exp(2 * x)) / 2)
    tanh_form = 0.5 * x * (1 + mc.tanh(0.7978845608028654 * (x + 0.044715 * x**3)))
    assert tanh_form == pytest.approx(mc.gelu(x), abs=5e-4)
    assert mc.log(8.0) / mc.log(2) == pytest.approx(3.0)
    xs, ts, weight = [1.0, 2.0], [3.0, 5.0], [1.0, 0.5]
    assert mc.mean([w * loss for w, loss in zip(weight, mse_loss(xs, ts, reduction="none"), strict=True)]) == 4.25
    assert jvp(lambda x: (lambda a, b: a * b)(*x), (2.0, 3.0), (1.0, 0.0)) == (6.0, 3.0)


class OwnError(TypeError):
    pass


def raising(x):
    raise OwnError("of the user")


TUPLES = {
    "jvp": lambda f: jvp(f, (2.0,), (1.0,)),
    "hvp": lambda f: hvp(f, (2.0,), (1.0,)),
}


@pytest.mark.parametrize("name", TUPLES)
@pytest.mark.parametrize(("f", "kind"), [(lambda x: x * x, TypeError), (raising, OwnError)])
def test_an_error_of_f_for_a_tuple_says_how_its_entries_become_arguments(name, f, kind):
    with pytest.raises(kind) as caught:
        TUPLES[name](f)
    assert caught.type is kind
    assert f"write {name}(lambda x: f(*x), x, v)" in caught.value.__notes__[-1]
