"""What users of other libraries write for a compiled function is answered with what to write instead."""

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.losses import mse_loss
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam, step_lr

MODEL = MLP(2, [1], seed=0)
XS, YS = [[1.0, 2.0], [0.5, -1.0]], [1.0, 0.0]
WEIGHT = Value(2.0)


def loss():
    return compile(lambda x, y: (MODEL(x) - y) ** 2)


def fit(samples=(XS, YS), **options):
    return loss().fit(samples, SGD(MODEL.parameters(), lr=0.0), **{"epochs": 2, **options})


def text_of(call):
    """Return the message and the notes of the error that a call raises."""
    with pytest.raises((TypeError, ValueError, IndexError, AttributeError)) as caught:
        call()
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


BOTH = "write callback=lambda epoch, loss: print(epoch, loss)"
THREE = "write callback=lambda epoch, loss, validation: print(epoch, loss, validation)"
SAMPLES = "write [(x, y), ...], or (X, Y) for all values of two arguments x and y"
RECORDED = "is recorded with a number in x and a number in y; samples are [(x, y), ...], or (X, Y) with all values"


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda: fit(callback=lambda epoch: None), BOTH),
        (lambda: fit(callback=lambda: None), BOTH),
        (lambda: fit(callback=lambda epoch, loss, validation: None), BOTH),
        (lambda: fit(callback=lambda epoch, loss: None, validation=(XS, YS)), THREE),
        (lambda: fit(callback=lambda epoch: None, batch_size=1), BOTH),
        (lambda: fit(schedule=lambda: 0.1), "write schedule=lambda step: "),
        (lambda: fit(schedule=lambda epoch, step: 0.1), "write schedule=lambda step: "),
        (lambda: fit(schedule=step_lr), "write schedule=lambda step: "),
        (lambda: fit(progress=lambda: None), "write progress=lambda losses: print(losses[-1])"),
        (lambda: fit(validation=0.2), f"validation: expected samples, each a tuple of arguments, got float; {SAMPLES}"),
        (
            lambda: fit((XS, None)),
            "got a NoneType; leave it out, or write [(x, y), ...] with a number or a list for each",
        ),
        (lambda: fit(None), f"got NoneType; {SAMPLES}"),
        (lambda: fit((XS[0], YS)), RECORDED),
        (lambda: loss().fit(X=XS, y=YS, optimizer=None, epochs=1), "samples are one argument, fit((X, y), optimizer"),
        (lambda: loss().check(XS, YS), "rtol must be a number, got list; samples are one argument, check((X, y))"),
        (lambda: loss().check([(XS[0], 1.0)], tolerance=1e-6), "no option tolerance; write rtol=... and atol=..."),
        (lambda: loss().check([(XS[0], 1.0)], rtoll=1e-6), "no option rtoll; write rtol=..."),
        (lambda: loss().forward([[*XS, XS[0]], [*YS, 1.0]]), "as [(x, y), ...]: write (X, Y), a tuple, for all values"),
        (lambda: loss().forward(zip(XS)), "as [(x, y), ...]: write (X, Y), a tuple, for all values"),
        (lambda: loss()(XS[0]), "<lambda>(x, y): missing a required argument: 'y'"),
        (lambda: loss()(XS[0], 1.0, z=2.0), "<lambda>(x, y): got an unexpected keyword argument 'z'"),
        (lambda: compile(MODEL)(), "MLP(x): missing a required argument: 'x'"),
        (lambda: compile(MODEL).forward(XS), "write [(x,) for x in samples] if each x is a vector"),
        (lambda: compile(lambda v: WEIGHT * v[2]).forward(([[1.0, 2.0, 3.0], [1.0, 2.0]],)), "with 2 numbers in v"),
        (lambda: compile(lambda v: (v * v).sum() * WEIGHT)([1.0, 2.0]), "pass np.array(x) for an array"),
        (lambda: compile(lambda v: v.sum() * WEIGHT)([1.0, 2.0]), "pass np.array(x) for an array"),
        (lambda: compile(lambda i: [WEIGHT][i])(np.array([0, 0])), "write take(xs, i) for xs[i]"),
        (lambda: compile(lambda n: np.ones(n) * WEIGHT)(3), "a shape has integers, and no Values: write len(x)"),
        (lambda: compile(lambda x: mse_loss([WEIGHT], [None]))(1.0), "write math.nan for a missing number"),
        (lambda: compile(lambda x: None)(1.0), "got NoneType; it may lack a return"),
        (lambda: compile(MODEL, jit=True), "compile() has no option jit; its options are inputs, static, branches"),
    ],
)
def test_a_wrong_use_of_a_compiled_function_is_answered_with_what_to_write(call, cure):
    text = text_of(call)
    assert cure in text
    assert "others[0]" not in text


def test_a_type_error_in_a_callback_stays_as_it_is():
    def callback(epoch, loss):
        raise TypeError("of the user")

    assert text_of(lambda: fit(callback=callback)) == "of the user"
    assert text_of(lambda: fit(callback=callback, validation=(XS, YS))).endswith(THREE)


def test_a_function_of_c_without_a_signature_is_called():
    losses = []
    fit(progress=losses.extend)
    assert len(losses) == 2


def test_fit_refuses_steps_that_are_no_count():
    """With -2 steps, Adam made all parameters nan."""
    model = MLP(2, [1], seed=0)
    optimizer = Adam(model.parameters())
    optimizer.steps = -2
    with pytest.raises(ValueError, match=r"^Adam: steps must be 0 or more, got -2; write optimizer\.steps = 0"):
        compile(lambda x, y: (model(x) - y) ** 2).fit((XS, YS), optimizer, epochs=1)
    assert model(XS[0]).data == MLP(2, [1], seed=0)(XS[0]).data
