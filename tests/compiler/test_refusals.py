"""A function that reads a number while it is recorded is refused, even if it catches the error or uses a thread.

The program would repeat the number of one sample in all calls.
"""

import asyncio
import contextlib
import dataclasses
import io
import math
import pprint
import re
import reprlib
import sys
import threading
from array import array
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pytest

from micrograd_cn import Op, Value, exp, functional, no_grad, sin
from micrograd_cn import sum as add_up
from micrograd_cn.compiler import compile, scipy_functions  # noqa: A004 -- the field's name
from micrograd_cn.compiler.runtime import prepared
from micrograd_cn.losses import mse_loss
from micrograd_cn.nn import MLP, Module, Neuron
from micrograd_cn.optim import SGD, Optimizer

w = Value(2.0, "w")
pool = ThreadPoolExecutor(1)


def in_thread(function):
    """Call a function in another thread, and return its result."""
    return pool.submit(function).result()


def attempt(function, otherwise):
    """Return what a function returns, or `otherwise` if it raises."""
    try:
        return function()
    except Exception:  # users write handlers as broad as this
        return otherwise


# Errors that the function catches


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: attempt(lambda: w * x if x.data > 0 else w, x * 100), "x as .data would be"),
        (lambda x: attempt(lambda: x * w.item(), x), r"w as .item\(\) would be"),
        (lambda x: attempt(lambda: x if x == 0 else w, x), "x as an operand of == would be"),
        (lambda x: attempt(lambda: {x: 1.0}[x] * x, x), "x as a key would be"),
        (lambda x: attempt(lambda: x if x * w else w, x), r"mul\(...\) as a condition would be"),
        (lambda x: attempt(lambda: x * float(f"{x:.3f}"), x), "x as a formatted text would be"),
        (lambda x: attempt(lambda: x * x.__getstate__()[1]["_data"], x), "x as a copy would be"),
        (lambda x: attempt(lambda: (x * w).backward(), x), r"mul\(...\) as what backward\(\) starts from would be"),
        (lambda x: attempt(lambda: setattr(w, "data", 1.0), x), "w is given data while"),
        (lambda x: attempt(lambda: Value(1.0, (x,), "own"), x), "own was made by hand"),
        (
            lambda x: attempt(lambda: helper.forward([(1.0,)])[0] * x, x),
            r"forward\(\) of <lambda> as a part of",
        ),
        (lambda x: attempt(lambda: in_thread(lambda: x > 0), True) and x, "x is used in another thread"),
    ],
)
def test_a_refusal_that_the_function_catches_is_raised_when_recording_ends(f, message):
    """A function that catches every error is refused all the same, once its recording ends."""
    with pytest.raises(TypeError, match=message):
        compile(f)(3.0)


def of_a_thread_that_fails(x):
    found = []
    attempt(lambda: in_thread(lambda: found.append(w * x)), None)
    return found[0]  # an IndexError


def test_a_refusal_is_raised_if_the_function_fails_later_without_it():
    """Such an error may be a consequence of the refusal, and does not tell what to write."""
    with pytest.raises(TypeError, match=r"x is used in another thread, .*; use it in the thread that calls") as caught:
        compile(of_a_thread_that_fails)(3.0)
    assert isinstance(caught.value.__cause__, IndexError)


helper = compile(lambda x: w * x)


@pytest.mark.parametrize(
    "read",
    [
        lambda: str(w).split("=")[1].split(",")[0],
        lambda: f"{w}".partition("data=")[2].split(",")[0],
        lambda: repr(w)[11:14],
        lambda: re.search(r"data=([\d.]+)", f"w is {w}").group(1),
        lambda: Decimal(("%s" % w)[11:14]),  # noqa: UP031 -- an old way to make a text
        lambda: len(str(w).partition(",")[0]) - 12,
        lambda: 1.0 + ("nan" not in str(w)),
        lambda: attempt(lambda: float(str(w)[11:14]), 5.0),
        lambda: f"{w:.3f}",
    ],
)
def test_the_number_in_the_text_of_a_parameter_is_not_read(read):
    """A program would keep it. The error is the same if the function is recorded twice, since it asks for a type."""
    for f in (lambda x: x * float(read()), lambda x: x * float(read()) if isinstance(type(x), type) else x):
        with pytest.raises(TypeError, match=r"w as a (formatted )?text would be the same number in all calls"):
            compile(f)(3.0)
    assert float(read()) == 2.0


def printed(say):
    print(w, str(w), f"w is {w:.2f}, {w}", reprlib.repr([w]), sep="; ")
    print(", ".join(str(p) for p in [w, w]))
    pprint.pprint(str(w).partition("=")[2])
    print(Shown())
    sys.stdout.write("%s\n" % w)  # noqa: UP031 -- an old way to make a text


class Shown:
    def __repr__(self):
        return f"Shown({w}, {str(w).split()})"


def kept(say):
    text = f"w is {w:.2f}, {w}"
    say.rows.append(text.split(", "))
    say.rows[-1] += [str(p) for p in [w]]


class Say:
    def __init__(self):
        self.rows = []


@pytest.mark.parametrize("log", [printed, kept])
def test_the_text_of_a_parameter_may_go_to_a_log(log, capsys):
    """It is the same as that of the plain function, and is written once."""
    plain, say = Say(), Say()
    log(plain)
    expected = capsys.readouterr().out, plain.rows
    f = compile(lambda x: (log(say), w * x)[1])
    assert f(3.0) == 6.0
    assert (capsys.readouterr().out, say.rows) == expected


def test_a_log_shows_which_argument_it_has_and_not_the_number_of_one_sample(capsys):
    def f(x):
        print(x, f"{x:.2f}, {x * w:6}")
        return w * x

    assert compile(f)(3.0) == 6.0
    assert capsys.readouterr().out == "Value(x) Value(x), Value(mul(...))\n"


def test_a_constant_whose_number_was_read_from_a_text_is_watched():
    c = Value(2.0, "c", requires_grad=False)
    f = compile(lambda x: float(str(c)[11:14]) * w * x)
    assert f(3.0) == 12.0
    c.data = 4.0
    with pytest.raises(ValueError, match="c is a constant of the program"):
        f(3.0)


CONVERSIONS = [math.log, float, int, round, math.trunc, lambda x: x // 1, np.cbrt, lambda x: [1.0, 2.0, 3.0, 4.0][x]]


@pytest.mark.parametrize("convert", CONVERSIONS)
def test_a_function_that_catches_the_error_of_a_conversion_is_warned_of_another_result(convert):
    """It would go on with the handler for ever, although it computes something else for numbers."""

    def f(x):
        try:
            y = convert(x)
        except Exception:
            y = -100.0
        return w * y

    compiled = compile(f)
    place = rf"{re.escape(__file__)}, line \d+: TypeError"
    with pytest.warns(UserWarning, match=rf"^f has caught .* instead of -\d.*{place}"):
        assert compiled(3.0) == -100.0 * w.data
    assert compiled(3.0) == -100.0 * w.data, "it warns once"
    with pytest.raises(AssertionError, match="for numbers"):
        compiled.check([(3,)])


def test_an_error_that_the_plain_function_gets_too_may_be_caught():
    """A function may try `math.exp` and catch its error, because that refuses any `Value`, recorded or not."""

    def f(x):
        try:
            return math.exp(x)
        except TypeError:
            return exp(x)

    assert compile(f)(1.0) == math.exp(1.0)


def test_another_error_is_raised_as_it_is():
    """If the function catches a refusal and raises another error, the caller gets that error."""

    def f(x):
        try:
            return x * x.data
        except TypeError as error:
            raise LookupError("mine") from error

    with pytest.raises(LookupError, match="mine"):
        compile(f)(1.0)


class Signs(Optimizer):
    """An optimiser that steps along the sign of the gradient, or in one direction if that is refused."""

    def update(self, p, state):
        p.data -= self.lr * attempt(lambda: math.copysign(1.0, p.grad), 1.0)


class Positive(Optimizer):
    """An optimiser that branches on the gradient, or takes it as it is if that is refused."""

    def update(self, p, state):
        p.data -= self.lr * attempt(lambda: p.grad if p.grad > 0 else 0.0, p.grad)


@pytest.mark.parametrize("kind", [Signs, Positive])
def test_an_update_that_catches_the_refusal_is_not_compiled(kind):
    """An update that catches a refusal and goes on in another way is refused before anything is trained."""
    p = Value(2.0)
    with pytest.raises(TypeError, match=f"cannot compile the update of {kind.__name__}"):
        compile(lambda x: -p * x).fit([(1.0,)], kind([p], 0.1), 3)
    assert p.data == 2.0


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: attempt(lambda: float(round(x)), x),
        lambda x: attempt(lambda: math.trunc(x) * 1.0, x),
        lambda x: attempt(lambda: x // 1.0, x),
        lambda x: attempt(lambda: float(f"{x:.0f}"), x),
        lambda x: attempt(lambda: x if x.is_integer() else -x, x),
        lambda x: attempt(lambda: x if x > 0 else 0.0 * x, x),
    ],
)
def test_an_own_operation_that_catches_the_refusal_is_not_compiled(forward):
    """A user-defined operation is refused if it catches a refusal, since its formula would be that of the handler."""
    own = Op("own", forward, (lambda y, x: 1.0,))
    with pytest.raises(TypeError, match="the operation 'own'"):
        compile(lambda x: own(x) * 1.0)(2.4)


# Other threads


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x > 0,
        lambda x: 0 < x,  # noqa: SIM300 -- the number on the left is the case
        lambda x: w < x,
        lambda x: max(x, 1.0),
        lambda x: x.data,
        lambda x: x.item(),
        lambda x: f"{x:.2f}",
        lambda x: x.detach(),
        lambda x: x * 2,
        lambda x: 2 * x,
        lambda x: w * x,
        lambda x: -x,
        lambda x: x.exp(),
        lambda x: add_up([w, x]),
        lambda x: no_grad()(lambda: x * 2)(),
        lambda x: functional.grad(lambda t: t * x)(2.0),
        lambda x: x == 3.0,
        lambda x: {x},
        lambda x: not x,
        lambda x: Value(1.0, (x,), "own"),
        lambda x: setattr(x, "data", 1.0),
    ],
)
@pytest.mark.parametrize("recorded", [lambda x: x, lambda x: w * x], ids=["an argument", "a result"])
def test_another_thread_can_neither_read_an_argument_nor_compute_with_it(look, recorded):
    """Nothing is recorded in another thread, so whatever it does with a recorded value is refused."""

    def f(x):
        y = recorded(x)
        in_thread(lambda: look(y))
        return x

    with pytest.raises(TypeError, match=r"another thread|would be the same number|given data"):
        compile(f)(3.0)


def test_what_another_thread_computes_from_a_parameter_is_refused():
    """A result that another thread computes during the recording would be a constant of the program, and is refused.

    A result that was computed before is a captured value, and may be used.
    """
    with pytest.raises(TypeError, match=r"mul\(...\) was computed in another thread while the function was recorded"):
        compile(lambda x: in_thread(lambda: w * 2) * x)(1.0)
    before = in_thread(lambda: w * 2)
    assert compile(lambda x: before * x)(3.0) == 12.0


def test_another_thread_that_has_nothing_to_do_with_the_function_works_as_always():
    """While one thread records, other threads compute, differentiate and call compiled functions as always."""
    v, found = Value(3.0), []

    def other():
        y = v * v + 1.0
        y.backward()
        v.data = 4.0
        found.extend([y.data, v.grad, type(y), v > 3, functional.grad(lambda t: t * t)(3.0), f"{v:.1f}", {v: 1}[v]])
        found.append(helper(1.0))

    def f(x):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return x * w

    assert compile(f)(2.0) == 4.0
    assert found == [10.0, 6.0, Value, True, 6.0, "4.0", 1, 2.0]


def test_a_task_that_outlives_the_recording_is_not_recorded():
    """A task that the function starts runs after the recording, and its operations are ordinary ones.

    The task has a copy of the function's context, in which the recording's hooks are still installed.
    """
    later = []

    async def background(x):
        await asyncio.sleep(0)
        later.extend([type(x), x.data, type(x * 2), (x * 2).data, w.data])

    async def main():
        def f(x):
            tasks.append(asyncio.ensure_future(background(x)))
            return x * w

        tasks = []
        assert compile(f)(3.0) == 6.0
        await tasks[0]

    asyncio.run(main())
    assert later[:5] == [Value, 3.0, Value, 6.0, 2.0]


# Programs that were made before


@pytest.mark.parametrize("run", ["prepare", "row"])
def test_the_result_of_a_program_cannot_be_read_in_a_function(run):
    """While it is recorded, a function may not run a prepared program or `row`, which would read parameters once."""
    v, y = Value(2.0, "v"), Value(1.0)
    program, numbers, out = compile(v * y, [y]), array("d", [3.0]), array("d", [0.0])
    prepared = program.prepare(memoryview(numbers).cast("B").cast("d", (1, 1)), out)
    call = prepared if run == "prepare" else lambda: program.row(numbers)
    assert call()[0] == 6.0
    with pytest.raises(TypeError, match="v as what a compiled program reads would be the same number in all calls"):
        compile(lambda x: x * call()[0])(1.0)
    v.data = 5.0
    assert call()[0] == 15.0


def test_fit_still_trains_while_another_thread_records():
    """While one thread records, programs in other threads still notice that parameters have changed."""
    p, begun, done = Value(0.0), threading.Event(), threading.Event()

    def slow(x):
        begun.set()
        done.wait(10)
        return x * w

    thread = threading.Thread(target=lambda: compile(slow)(1.0))
    thread.start()
    begun.wait(10)
    try:
        f = compile(lambda x: (p * x - 1.0) ** 2)
        f.fit([(1.0,)], SGD([p], 0.25), 30)
        assert (round(p.data, 6), round(f(1.0), 6), round(f.backward([(2.0,)]), 6)) == (1.0, 0.0, 1.0)
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (
            lambda v: v[int(v[0])],
            r"int\(\) of a Value would be the same number .*; write take\(xs, x\) for xs\[int\(x\)\]",
        ),
        (
            lambda v: v[0] * float(v[1]),
            r"float\(\) of a Value would be the same number for every sample; write x itself, since a Value needs no",
        ),
        (
            lambda v: v[0] * round(v[1]),
            r"round\(\) of a Value would be .*; write micrograd_cn.floor\(x \+ 0.5\)",
        ),
        (lambda v: np.array(v, dtype=float).sum(), r"np.array\(\) of Values .*; write np.array\(xs, dtype=object\)"),
        (lambda v: np.array(v).astype(float).sum(), r"astype\(\) of Values .*; write np.array\(xs, dtype=object\)"),
        (lambda v: np.full(2, v[0], float).sum(), r"np.full\(\) of Values .*; write np.array\(xs, dtype=object\)"),
        (
            lambda v: v[0] * math.exp(v[1]),
            r"math\.exp\(\) of a Value would be the same .*; write micrograd_cn\.exp",
        ),
    ],
)
def test_conversions_name_what_to_write_in_a_compiled_function(f, message):
    """The message does not propose `x.data`, which a compiled function refuses too."""
    with pytest.raises(TypeError, match=message) as caught:
        compile(f)([1.0, 2.0])
    assert ".data" not in str(caught.value)


def test_a_number_that_is_read_from_a_text_is_answered_with_what_to_write():
    for f in (lambda x: x * float(str(x)), lambda x: x * int(f"{x}")):
        with pytest.raises(ValueError, match=r"Value\(x\)") as caught:
            compile(f)(1.5)
        assert (
            "the text of a Value has no number, which would be the same for every sample" in caught.value.__notes__[0]
        )


def test_an_attribute_whose_cure_reads_the_data_is_answered_with_another_cure():
    """In a compiled function, .data would be the number of the recorded sample."""
    for f in (lambda x: x.numpy(), lambda x: x * x.value if hasattr(x, "value") else x.is_integer()):
        with pytest.raises(AttributeError) as caught:
            compile(f)(1.5)
        [note] = caught.value.__notes__
        assert "a number that is read by .data would be the same for every sample: write where(condition, a, b)" in note


@pytest.mark.parametrize(
    ("loss", "write"),
    [
        (lambda y, t: mse_loss(y, t), r"write targets\[0\], or pass targets.ravel\(\) to the compiled function"),
        (lambda y, t: [y - x for x in t], r"if t is an array of shape \(n, 1\), pass t.ravel\(\)$"),
    ],
)
def test_targets_in_an_array_with_one_column_are_answered_with_what_to_write(loss, write):
    """Each row of such an array is a list of one number."""
    rows, w = [([1.0, 2.0], [3.0])] * 4, Value(1.0)
    with pytest.raises(ValueError, match=write):
        compile(lambda x, t: loss(w * x[0] + x[1], t)).fit(rows, SGD([w], 0.1), 1)


def inside_no_grad(w, x, y):
    with no_grad():
        return (w * x - y) ** 2


@pytest.mark.parametrize(
    "loss",
    [
        lambda w, x, y: (w.detach() * x - y) ** 2,
        lambda w, x, y: (Value(1.0, requires_grad=False) * x - y) ** 2,
        lambda w, x, y: (x - y) ** 2,
        inside_no_grad,
    ],
)
def test_nothing_to_train_is_an_error_as_in_the_plain_function(loss):
    """Otherwise `fit` would return losses that never change."""
    w = Value(1.0)
    for samples in ([(1.0, 3.0)], [(1.0, 3.0), (1.0, 4.0)]):
        f = compile(lambda x, y: loss(w, x, y))
        with pytest.raises(
            RuntimeError, match=r"fit\(\) of <lambda>, whose result depends on no parameter that requires"
        ):
            f.fit(samples, SGD([w], 0.1), 2)
        with pytest.raises(RuntimeError, match=r"backward\(\) of <lambda>, wh"):
            f.backward(samples)
    nested = compile(lambda xs, y: loss(w, xs[0], y))
    with pytest.raises(RuntimeError, match="depends on no parameter"):
        nested.fit([([1.0], 3.0), ([1.0, 2.0], 3.0)], SGD([w], 0.1), 2, 1)


def test_no_gradient_is_given_to_parameters_inside_no_grad():
    """The plain loss is a constant there, and its `backward` an error, whatever was compiled or called before."""
    w, x = Value(3.0), Value(1.0)
    with no_grad():
        f, program = compile(lambda x: w * x), compile(exp(w) * x, inputs=[x])
    optimizer, columns = SGD([w], 0.1), (np.array([2.0, 3.0]),)
    for _ in range(prepared.CALLS_BEFORE_PREPARED + 10):  # arrays have a faster way, which checks it, too
        f.backward(columns)
    w.grad = 0.0
    calls = {
        "backward": [lambda: f.backward(columns), lambda: f.backward([(2.0,)]), lambda: program.backward([[1.0]])],
        "fit": [lambda: f.fit(columns, optimizer, 1), lambda: program.fit([[1.0]], optimizer, 1)],
    }
    for name, tries in calls.items():
        for call in tries:
            with (
                no_grad(),
                pytest.raises(RuntimeError, match=rf"{name}\(\) inside no_grad\(\).* write forward\(\) for"),
            ):
                call()
    assert (w.data, w.grad, optimizer.steps) == (3.0, 0.0, 0)
    with no_grad():  # as of `functional.grad`, which jax and PyTorch do not change by a mode around it, either
        assert f.value_and_grad([(2.0,)]) == (6.0, [2.0])
        assert f.gradient([(2.0,)]) == [[3.0]]
    assert f.backward([(2.0,)]) == 6.0
    assert w.grad == 2.0


def test_a_parameter_that_was_frozen_since_leaves_nothing_to_train():
    """Samples in arrays have a faster way, which checks it, too."""
    w = Value(1.0)
    f, columns = compile(lambda x, y: (w * x - y) ** 2), (np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    for _ in range(prepared.CALLS_BEFORE_PREPARED + 10):
        f.backward(columns)
    w.requires_grad = False
    for samples in (columns, [(1.0, 2.0)]):
        with pytest.raises(RuntimeError, match=r"backward\(\) of <lambda>, whose result depends on no parameter"):
            f.backward(samples)
    with pytest.raises(RuntimeError, match=r"fit\(\) of <lambda>, whose result depends on no parameter"):
        f.fit(columns, SGD([w], 0.1), 1)
    w.requires_grad = True
    assert f.fit(columns, SGD([w], 0.1), 1)


def test_a_parameter_that_only_some_samples_use_is_trained():
    """The gradient of a batch is that of the samples that use it."""
    w = Value(1.0)
    f = compile(lambda xs: w * xs[0] if len(xs) == 1 else xs[0] * 1.0)
    assert f.backward([([2.0],), ([4.0, 1.0],)]) == 3.0
    assert w.grad == 1.0
    assert f.fit([([2.0],), ([4.0, 1.0],)], SGD([w], 0.1), 2, 1)


@pytest.mark.parametrize("numpy", [False, True])
def test_keys_in_another_order_are_refused_where_results_have_a_column_for_each(numpy):
    """The columns of a row would be those of another row in another order."""
    w = Value(1.0)
    f = compile(lambda d: w * d["a"] ** 2 + d["b"]["x"] * 3.0 * d["b"]["y"])
    number = np.float64 if numpy else float
    samples = [
        ({"a": number(1.0), "b": {"x": number(2.0), "y": number(3.0)}},),
        ({"a": number(1.0), "b": {"y": number(3.0), "x": number(2.0)}},),
    ]
    message = r"samples 0 and 1 have the keys of a dict in another order, .*; write dict\(sorted\(x\.items\(\)\)\)"
    for run in (
        f.gradient,
        f.jacobian,
        f.hessian,
        lambda x: f.gradient(x, "d"),
        lambda x: f.gradient(x, ["d"]),
        lambda x: f.hessian(x, mean=True, dense=True),
        lambda x: f.value_and_grad(x, "inputs", each=True),
    ):
        with pytest.raises(ValueError, match=message):
            run(samples)
    assert f.forward(samples) == [19.0, 19.0]
    assert f.gradient(samples, "parameters") == [[1.0], [1.0]]
    assert f.value_and_grad(samples, "d", each=True)[1][1] == {"a": 2.0, "b": {"y": 6.0, "x": 9.0}}
    assert f.gradient([samples[0], samples[0]]) == [[2.0, 9.0, 6.0]] * 2


def test_samples_in_two_arguments_are_told_to_be_one_tuple():
    """As other libraries take them."""
    w = Value(1.0)
    loss, x, y = compile(lambda x, y: (w * x - y) ** 2), np.array([1.0, 2.0]), np.array([2.0, 3.0])
    for name in ("backward", "forward"):
        with pytest.raises(ValueError, match=rf"threads must be .*; write {name}\(\(X, Y\)\)"):
            getattr(loss, name)(x, y)
    with pytest.raises(TypeError, match=r"takes all samples as one argument: write fit\(\(X, Y\), optimizer, epochs\)"):
        loss.fit(x, y, SGD([w], 0.1), 3)


def test_dicts_without_tuples_are_told_to_be_in_tuples():
    """The dict is the one argument, so its values are no arguments."""
    f = compile(lambda d: d["a"] + d["b"])
    with pytest.raises(TypeError, match=r"write \[\(x,\) for x in samples\], since the dict is the one argument"):
        f.forward([{"a": 1.0, "b": 2.0}])
    assert f.forward([(x,) for x in [{"a": 1.0, "b": 2.0}]]) == [3.0]


@pytest.mark.parametrize("order", [sorted, max, lambda pairs: [*pairs].index((1.0, 5))])
def test_a_tie_in_tuples_that_python_orders_says_to_write_a_key(order):
    """Python asks whether the first items are equal before it compares the second ones."""
    f = compile(lambda v: order(zip(v, range(3), strict=True)) and v[0])
    with pytest.raises(TypeError, match=r"an operand of == would be .*; write key=lambda t: t\[0\] in sorted\(\), min"):
        f([1.0, 1.0, 2.0])
    with pytest.raises(TypeError, match=r"an operand of == would be .*; write where\(equal\(x, y\), a, b\)"):
        compile(lambda v: v[0] * (v[0] == v[1]))([1.0, 1.0])
    by_key = compile(lambda v: sorted(zip(v, range(3), strict=True), key=lambda t: t[0])[0][0])
    assert by_key([1.0, 1.0, 2.0]) == 1.0


@pytest.mark.parametrize("forward", [math.exp, lambda x: round(x) * x])
def test_an_operation_that_calls_math_or_round_says_what_to_write(forward):
    own = Op("own_math", forward, (lambda y, x: y,))
    with pytest.raises(TypeError, match=r"not Term; write micrograd_cn's functions, such as exp\(x\)"):
        compile(lambda x: own(x))(1.0)


def test_an_option_that_is_true_or_false_refuses_another_object():
    w, x = Value(2.0), Value(3.0)
    f, program = compile(lambda x: w * x**2), compile(w * x**2, [x])
    optimizer = SGD([w])
    for found, given in [(f, [(3.0,)]), (program, [[3.0]])]:
        for other in ("x", [x], None, np.ones(2), Value(1.0)):
            with pytest.raises(TypeError, match=r"hessian\(\): lower must be True or False, got .*; write wrt="):
                found.hessian(given, other)
            for name, call in {
                "dense": lambda found=found, given=given, other=other: found.jacobian(given, "inputs", other),
                "each": lambda found=found, given=given, other=other: found.value_and_grad(given, "parameters", other),
                "mean": lambda found=found, given=given, other=other: found.hessian(given, mean=other),
                "each_step": lambda found=found, given=given, other=other: found.fit(
                    given, optimizer, 1, each_step=other
                ),
            }.items():
                with pytest.raises(TypeError, match=rf"\(\): {name} must be True or False, got "):
                    call()
        assert found.hessian(given, np.True_) == found.hessian(given, 1) == found.hessian(given, True)
    with pytest.raises(TypeError, match=r"has_aux must be True or False, got 'x'"):
        f.value_and_grad([(3.0,)], has_aux="x")
    with pytest.raises(TypeError, match=r"lower must be True or False, got 'x'; write wrt='x'"):
        program.hessian_structure("x")
    with pytest.raises(TypeError, match=r"set_to_none must be True or False, got 'no'"):
        optimizer.zero_grad("no")
    with pytest.raises(TypeError, match=r"set_to_none must be True or False, got 'no'"):
        Neuron(1).zero_grad("no")
    assert w.data == 2.0


class Keeping:
    last = 0.0

    def info(self, text):
        self.last = float(text)


def written_and_read():
    file = io.StringIO()
    file.write(f"{w:.3f}")
    return float(file.getvalue())


def printed_and_read():
    file = io.StringIO()
    print(f"{w:.3f}", file=file)
    return float(file.getvalue())


def redirected_and_read():
    with contextlib.redirect_stdout(io.StringIO()) as file:
        print(f"{w:.3f}")
    return float(file.getvalue())


def kept_by_a_users_log():
    log = Keeping()
    log.info(f"{w:.3f}")
    return log.last


@pytest.mark.parametrize("read", [written_and_read, printed_and_read, redirected_and_read, kept_by_a_users_log])
def test_a_text_that_something_like_a_log_keeps_is_no_way_to_a_number(read):
    """What is called `write`, `print` or `info` may keep the text, and the code may read the number from it."""
    with pytest.raises(TypeError, match="a formatted text"):
        compile(lambda x: x * read())(3.0)


def relax(u):
    u[1:-1] = (u[:-2] + u[2:]) / 2
    return u.sum()


def add_key(d):
    d["y"] = d["x"] * 2
    return d["y"]


@pytest.mark.parametrize(
    ("f", "argument"),
    [
        (relax, np.ones(4)),
        (lambda v: v.append(3.0) or v[0], [1.0]),
        (lambda v: v.reverse() or v[0], [1.0, 2.0]),
        (lambda v: v[0].pop(), ([1.0],)),
        (add_key, {"x": 1.0}),
    ],
    ids=["array", "append", "reverse", "inside", "dict"],
)
def test_a_function_that_changes_its_argument_is_refused(f, argument):
    """A program does not change the array or the list of its caller, which the plain function does."""
    name = f.__code__.co_varnames[0]
    with pytest.raises(TypeError, match=rf"changes its argument {name}.*write {name} = {name}.copy\(\) at its begin"):
        compile(f)(argument)


def test_a_function_may_change_a_copy_of_its_argument():
    assert compile(lambda u: relax(u.copy()))(np.array([1.0, 5.0, 5.0, 1.0])) == 8.0


def test_results_keep_ordered_dicts_and_integers_that_no_data_change():
    """Row indices that are floats are of no use, so `dense()` of a compiled sparse matrix failed."""
    found = compile(functional.sparse_hessian(lambda v: v[0] ** 2 * v[1]))([1.0, 2.0])
    assert found.dense() == [[4.0, 2.0], [2.0, 0.0]]
    assert {*map(type, [*found.rows, *found.columns, *found.shape])} == {int}
    results = compile(lambda x: OrderedDict(b=x, a=(2, True))).forward([(1.0,), (3.0,)])
    assert repr(results[1]) == repr(OrderedDict(b=3.0, a=(2, True)))
    f = compile(lambda x: [x, 1 if x > 0 else 2], branches=True)
    for _ in range(200):  # so often that a merged program would compute both branches
        assert [f(1.0), f(-1.0)] == [[1.0, 1], [-1.0, 2]]


@pytest.mark.parametrize("result", [None, "text"])
def test_a_result_that_is_no_number_is_refused_with_what_to_write(result):
    w = Value(1.0)
    with pytest.raises(TypeError, match=r"at \[1\].*; or leave it out, and return numbers alone"):
        compile(lambda x: (w * x, result)).value_and_grad([(1.0,)], has_aux=True)


def test_parameters_are_in_the_order_in_which_the_program_reads_them():
    w, b, c = Value(2.0), Value(5.0), Value(7.0)
    f, g = compile(lambda x: w * x + b * x + c * x), compile(lambda x: sin(w * x) + sin(b * x) + c)
    assert f(1.0) == 14.0
    assert g(0.0) == 7.0
    assert (f.parameters, g.parameters) == ([c, b, w], [b, w, c])
    assert compile(lambda x: w * x + b * x).value_and_grad([(3.0,)], [w, b])[1] == [3.0, 3.0]


# What users look for in a compiled function


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("save", r"has no save; write model\.save\(...\) for the model that the function calls"),
        ("predict", r"has no predict; write f\(x\) for one sample, or f\.forward\(samples\) for many"),
        ("grad", r"has no grad; write f\.gradient\(samples\)"),
        ("vmap", r"has no vmap; write f\.forward\(samples\)"),
        ("minimize", r"write f\.fit\(samples, optimizer, epochs=10\)"),
        ("lower", r'write f\.source\("llvm"\)'),
        ("foo", "no attribute 'foo'"),
    ],
)
def test_an_attribute_that_a_compiled_function_does_not_have_is_answered_with_what_to_write(name, message):
    net = compile(Neuron(2))
    assert not hasattr(net, name)
    with pytest.raises(AttributeError, match=message):
        getattr(net, name)


def test_rows_that_a_model_takes_for_its_arguments_are_answered_with_samples_of_one_argument():
    net = compile(MLP(2, [1]))
    with pytest.raises(TypeError, match="MLP takes one list of inputs, got 2 arguments") as caught:
        net.forward([[1.0, 2.0], [3.0, 4.0]])
    assert "write [(x,) for x in samples]" in "\n".join(caught.value.__notes__)
    assert len(net.forward([(x,) for x in [[1.0, 2.0], [3.0, 4.0]]])) == 2


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda row: row["a"] * w, "an array has no labels, got 'a'; write x\\[0\\] for the first number"),
        (lambda row: row[["a", "b"]].sum(), r"an array has no labels, got \['a', 'b'\]; write x\[0\] for the first"),
        (lambda row: row.a * w, "a row of a table is an array, which has no labels: write x\\[0\\]"),
    ],
)
def test_a_row_of_a_table_that_is_read_by_labels_is_answered_with_what_to_write(f, message):
    table = np.array([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises((IndexError, AttributeError)) as caught:
        compile(f).forward((table,))
    assert re.search(message, "; ".join([str(caught.value), *getattr(caught.value, "__notes__", [])]))


@dataclasses.dataclass
class Point:
    x: float


@pytest.mark.parametrize(
    ("given", "write"),
    [(Point(1.0), r"dataclasses\.asdict\(x\)"), (SimpleNamespace(x=1.0), r"vars\(x\)")],
)
def test_an_object_of_numbers_is_answered_with_a_dict_of_them(given, write):
    with pytest.raises(TypeError, match=f"; write {write}, a dict of its numbers"):
        compile(lambda p: p.x * w)(given)


def test_two_optimizers_are_answered_with_a_loop():
    optimizers = [SGD([w]), SGD([Value(1.0)])]
    with pytest.raises(TypeError, match=r"for several, write a loop that calls loss\.backward\(samples\)"):
        compile(lambda x: x * w).fit([(1.0,)], optimizers, 1)


def test_the_name_of_a_class_is_answered_with_its_index():
    f = compile(lambda x, label: mse_loss([w * x], [label]))
    with pytest.raises(TypeError, match="got the str 'cat'; for the name of a class, pass its index"):
        f.fit(([1.0], ["cat"]), SGD([w]), 1)
    with pytest.raises(TypeError, match=r"got the str '1\.5'; convert it with float\(\) first"):
        f(1.0, "1.5")


ROWS = np.array([(1.0, 2.0), (3.0, 4.0)], dtype=[("a", float), ("b", float)])


@pytest.mark.parametrize("rows", [ROWS, ROWS.view(np.recarray)], ids=["structured", "record"])
def test_structured_arrays_are_refused_with_what_to_write(rows):
    f = compile(lambda r: r["a"])
    with pytest.raises(TypeError, match=r"the row \(1\.0, 2\.0\) of a structured array; write list\(x\)"):
        f(ROWS[0])
    with pytest.raises(TypeError, match="; write its fields as the columns of an array"):
        f(rows)
    with pytest.raises(TypeError, match="of a structured array; write list"):
        Value(1.0) * rows[0]


def test_a_class_of_models_is_no_function_to_compile():
    class Scale(Module):
        def __init__(self):
            self.w = Value(2.0)

        def __call__(self, x):
            return self.w * x

    with pytest.raises(TypeError, match=r"got the class Scale; write @compile before its method, such as __call__"):
        compile(Scale)
    assert compile(Scale())(3.0) == 6.0


def test_an_option_of_functional_is_answered_with_that_of_compiled_code():
    x, w = Value(2.0), Value(3.0)
    for compiled, samples in ((compile(w * x * x, [x]), [[2.0]]), (compile(lambda x: w * x * x), [(2.0,)])):
        with pytest.raises(TypeError, match=r"has no option argnums; write wrt=\['name'\], with the names of arg"):
            compiled.gradient(samples, argnums=0)


@pytest.mark.parametrize(
    ("missing", "use", "message"),
    [
        (
            "tqdm",
            lambda f, w: f.fit([(1.0,)], SGD([w], lr=0.1), 1, progress=True),
            r"fit\(progress=True\) needs tqdm: ",
        ),
        ("scipy.sparse", lambda f, w: scipy_functions(f), r"scipy_functions\(\) needs numpy and scipy: pip install"),
    ],
)
def test_without_a_library_the_message_says_what_to_install(missing, use, message, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, missing.partition(".")[0], None)
    w = Value(3.0)
    with pytest.raises(ImportError, match=message):
        use(compile(lambda x: w * x), w)
    assert w.data == 3.0
