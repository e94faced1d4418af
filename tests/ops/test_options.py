"""A call with an option of another library, or without an argument, raises an error that says what to write."""

import inspect
import math
import pickle
from functools import partial

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, functional
from micrograd_cn.compiler import compile as compiled
from micrograd_cn.functional import hvp, jvp
from micrograd_cn.losses import hinge_loss, huber_loss, l1_loss, mse_loss
from micrograd_cn.nn import MLP, Layer
from micrograd_cn.optim import SGD, Adam, clip_grad_norm, cosine_lr, linear_lr, step_lr, warmup

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


def _square(x):
    return x * x


PAIR = compiled(lambda x, y: x * y + W)
PROGRAM = PAIR.program(1.0, 2.0)
# For each function: a right call of it, options that users of jax, PyTorch, Keras and scikit-learn write, and a part of
# the answer to all of them
FOREIGN = [
    *[
        (call, "argnums argnum", r"write wrt=\['name'\]")
        for each in (PAIR, PROGRAM)
        for call in (
            partial(each.jacobian, [(1.0, 2.0)]),
            partial(each.hessian, [(1.0, 2.0)]),
            partial(each.value_and_grad, [(1.0, 2.0)]),
            partial(each.gradient, [(1.0, 2.0)]),
        )
    ],
    *[
        (partial(method, [(1.0, 2.0)]), options, answer)
        for method in (PAIR.forward, PAIR.backward, PROGRAM.forward, PROGRAM.backward)
        for options, answer in (("batch_size", "samples are computed at once"), ("verbose strict", "leave it out"))
    ],
    (partial(PAIR.jacobian, [(1.0, 2.0)]), "create_graph", r"write|as in compile\(grad\(f\)\)"),
    (partial(PAIR.jacobian, [(1.0, 2.0)]), "den", r"write dense=\.\.\."),
    *[
        (partial(derive, _square), "argnum wrt", r"write argnums=\.\.\.")
        for derive in (functional.grad, functional.value_and_grad, functional.jacobian, functional.hessian)
    ],
    *[
        (partial(derive, lambda x: x[0] * x[1]), "wrt", r"write argnums=\.\.\.")
        for derive in (functional.sparse_jacobian, functional.sparse_hessian)
    ],
    (partial(functional.sparse_jacobian, _square), "sparsity", "leave it out"),
    (partial(functional.hessian, _square), "holomorphic vectorize strict", "leave it out"),
    (partial(jvp, _square, 1.0, 1.0), "argnums wrt", "pass a function of one argument"),
    (partial(hvp, _square, 1.0, 1.0), "argnums wrt", "pass a function of one argument"),
    (partial(functional.vjp, _square, 1.0), "argnums primals", "pass "),
    (partial(mc.gradients, W * W, [W]), "wrt argnums", r"gradients\(y, \[x\]\)"),
    (partial(mc.gradients, W * W, [W]), "materialize_grads", "leave it out"),
    (partial(compiled, _square), "fullgraph mode nopython jit_compile device", "leave it out"),
    (partial(compiled, _square), "optimizer loss metrics", r"write loss\.fit\("),
    (partial(SGD, [W], lr=0.1), "eta step_size", r"write lr=\.\.\."),
    (partial(SGD, [W], lr=0.1), "l2 decay", r"write weight_decay=\.\.\."),
    (partial(SGD, [W], lr=0.1), "max_norm global_clipnorm", r"write clip_grad_norm\("),
    (partial(SGD, [W], lr=0.1), "name foreach fused", "leave it out"),
    (partial(Adam, [W]), "b1 b2 beta1", "write betas="),
    (partial(MLP, 2, [1]), "hidden_sizes layers", r"write MLP\(nin, \[n1, n2, nout\]\)"),
    (partial(MLP, 2, [1]), "output_activation final_activation", r"as in sigmoid\(model\(x\)\)"),
    (partial(MLP, 2, [1]), "rng random_state key", r"write seed=\.\.\."),
    (partial(Layer, 2, 1), "kernel_initializer", r"write init=\.\.\."),
    (partial(Layer, 2, 1), "in_features units", r"write Layer\(nin, nout\)"),
    (trained, "n_iter max_iter nb_epoch", r"write epochs=\.\.\."),
    (trained, "sample_weight class_weight", r"w \* loss"),
    (trained, "random_state seed", "write shuffle="),
    (partial(mc.softmax, X), "temperature", r"write softmax\(\[x / temperature for x in xs\]\)"),
    (partial(mc.relu, W), "negative_slope alpha", "write leaky_relu"),
    (partial(mc.where, 1.0, W, W), "condition other", r"write where\(condition, a, b\)"),
    (partial(mc.exp, W), "dtype", "leave it out"),
    (MLP(2, [1]).load, "strict", r"write model\.load_state_dict\(.*strict=False\)"),
    (MLP(2, [1]).load, "map_location weights_only", "leave it out"),
    (MLP(2, [1]).state_dict, "prefix", r"for name, x in model\.state_dict\(\)\.items\(\)"),
    (partial(MLP(2, [1]).load_state_dict, {}), "assign", "leave it out"),
    (MLP(2, [1]).parameters, "recurse", "isinstance"),
    (lambda **options: list(MLP(2, [1]).named_parameters(**options)), "prefix", r"model\.named_parameters\(\)"),
    (partial(mc.draw_dot, W * W), "params", r"write parameters=\.\.\."),
    (partial(mc.draw_dot, W * W), "filename view", r"write draw_dot\(y\)\.render\("),
]


@pytest.mark.parametrize(
    ("call", "option", "answer"),
    [(call, option, answer) for call, options, answer in FOREIGN for option in options.split()],
)
def test_an_option_of_another_library_is_answered_with_what_to_write(call, option, answer):
    with pytest.raises(TypeError, match=rf"\b{option}; .*{answer}"):
        call(**{option: 1})


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
