"""Habits that users bring from PyTorch, jax, micrograd and unittest: each works, or is answered with what to write."""

import functools
import json
import math
import sys
import unittest
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import strategies

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.module import Module
from micrograd_cn.nn import MLP
from micrograd_cn.testing import (
    GradientMismatch,
    NothingCompared,
    PartlyCompared,
    TooNoisy,
    checks_gradient,
    find_functions,
    gradcheck,
)
from micrograd_cn.testing.pytest_plugin import COLUMNS, Summary

from . import stand_ins


def double(x):
    return 2 * x


def squares(x):
    return (x * x).sum()


def test_the_result_is_true_and_says_what_was_compared():
    found = gradcheck(lambda x, w: x * w, 0.5, -2.0)
    assert found
    assert repr(found) == "<2 derivatives agree>"
    assert [comparison.title for comparison in found.comparisons] == ["df/dx", "df/dw"]
    assert gradcheck(squares, np.ones(2), gradient=double)


@pytest.mark.filterwarnings("ignore::micrograd_cn.testing.PartlyCompared")
def test_the_result_counts_what_was_not_compared():
    assert repr(gradcheck(lambda x, w: x.sqrt() + w, 0.0, 1.0)) == "<1 derivative agrees, 1 not compared>"


@pytest.mark.parametrize(
    ("option", "cure"),
    [
        ({"eps": 1e-6}, "the steps of the numerical derivatives"),
        ({"fast_mode": True}, "exhaustive=True"),
        ({"raise_exception": False}, "except GradientMismatch"),
        ({"modes": ("rev",)}, "jvp="),
        ({"grad": double}, "gradient="),
        ({"axis": 0}, "kwargs="),
    ],
)
def test_options_of_other_checkers_are_answered(option, cure):
    with pytest.raises(TypeError, match=f"there is no option {next(iter(option))}=.*{cure}"):
        gradcheck(squares, np.ones(2), **option)


@pytest.mark.parametrize("args", [(np.ones(2), double), (double, np.ones(2)), (0.5, functools.partial(double))])
def test_a_gradient_that_is_no_keyword_argument_is_answered(args):
    with pytest.raises(TypeError, match=r"write gradcheck\(f, x, gradient=d"):
        gradcheck(squares, *args)


def test_a_function_that_is_an_argument_stays_one():
    gradcheck(lambda x, f: f(x), 0.5, double, static=["f"])
    gradcheck(lambda x, f: f(x).sum(), np.ones(2), double, gradient=lambda x, f: (2.0 * np.ones(2), None))


def test_arguments_in_a_tuple():
    gradcheck(lambda x, w: (x * w).sum(), (np.ones(2), np.ones(2)), gradient=lambda x, w: (w, x))
    gradcheck(lambda x: (x * x).sum(), (np.ones(2),), gradient=double)
    gradcheck(lambda pair: (pair[0] * pair[0]).sum(), (np.ones(2),), gradient=lambda pair: ((2 * pair[0],),))


def by_hand(local):
    """Return a square that is made as in micrograd; `local` returns what is added to the gradient of the operand."""

    def square(x):
        out = Value(x.data**2, (x,), "square")

        def backward():
            x.grad += local(x, out)

        out._backward = backward
        return out

    return square


@pytest.mark.parametrize("after", [lambda y: y, lambda y: y + 1.0, mc.tanh], ids=["alone", "sum", "tanh"])
def test_a_backward_by_hand_must_use_the_gradient_of_its_result(after):
    gradcheck(lambda x: after(by_hand(lambda x, out: 2 * x.data * out.grad)(x)), 0.75)
    forgets, squares_it = by_hand(lambda x, out: 2 * x.data), by_hand(lambda x, out: 2 * x.data * out.grad**2)
    for wrong in (forgets, squares_it):
        with pytest.raises(GradientMismatch, match=r"_backward of square adds 1\.5 if out\.grad is 1, and"):
            gradcheck(lambda x, wrong=wrong: after(wrong(x)), 0.75)


class Line(Module):
    def __init__(self, op):
        self.slope, self.offset, self.op = Value(2.0), Value(-1.0), op

    def forward(self, x):
        return self.op(self.slope) * x + self.offset


def test_parameters_of_a_module_are_checked():
    model = Line(lambda w: w * w)
    found = gradcheck(model, 0.5)
    assert [comparison.title for comparison in found.comparisons] == [
        "df/dx", "df/dparameters['slope']", "df/dparameters['offset']"
    ]  # fmt: skip
    assert (model.slope.data, model.offset.data, model.slope.grad) == (2.0, -1.0, 0.0)
    wrong = mc.Op("wrong", lambda x: x * x, (lambda y, x: x,))
    model = Line(wrong)
    for args in ([0.5], [Value(0.5)]):
        with pytest.raises(GradientMismatch, match=r"(?s)gradcheck of Line .*WRONG +df/dparameters\['slope'\]"):
            gradcheck(model, *args)
    assert (model.slope.data, model.offset.data) == (2.0, -1.0)
    model.slope.requires_grad = False
    assert len(gradcheck(model, 0.5).comparisons) == 2
    assert len(gradcheck(Line(lambda w: w * w), 0.5, order=2).comparisons) == 3 + 9


@pytest.mark.thorough
def test_of_many_parameters_a_sample_is_checked():
    model = MLP(4, [30, 1], seed=0)
    found = [comparison.title for comparison in gradcheck(model, [0.5, -1.0, 2.0, 0.25]).comparisons]
    assert 60 < len(found) <= 104
    assert any("layers.0" in title for title in found)
    assert any("layers.1" in title for title in found)


class TestInAClass:
    test_right = checks_gradient(squares, (2,), gradient=double, examples=2)


def test_a_unittest_case():
    class Case(unittest.TestCase):
        test_right = checks_gradient(squares, (2,), gradient=double, examples=2)
        test_wrong = checks_gradient(squares, (2,), gradient=squares, examples=2)

    found = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(found)
    assert found.testsRun == 2
    assert [test.id().rpartition(".")[2] for test, _ in [*found.failures, *found.errors]] == ["test_wrong"]


def absorbed_from(first, slope=1.0):
    """Return a test with points 0 to 9, at which rounding hides the derivative from the point `first` on."""
    offsets = strategies.integers(0, 9).map(lambda k: 1e17 if k >= first else 0.0)
    return checks_gradient(
        lambda x, big: (x + big) - big, 0.5, offsets, static=["big"], gradient=lambda x, big: slope, examples=40
    )


def test_a_test_minds_noise_only_if_it_hides_derivatives_at_most_points():
    absorbed_from(9)()
    with pytest.raises(TooNoisy, match="too noisy to tell"):
        absorbed_from(1)()
    with pytest.raises(GradientMismatch, match="wrong for x"):
        absorbed_from(9, slope=2.0)()
    partly = checks_gradient(
        lambda x, w: 2.0 * x + ((w + 1e17) - 1e17), 0.25, strategies.just(1.0), gradient=lambda x, w: (2.0, 1.0)
    )
    with pytest.warns(PartlyCompared, match=r"1 of 2 derivatives not compared \(w\)"):
        partly()


ROWS = [
    ["t.py::test_it[a|b]", "f", "x", 3, 0.5, "wrong", 2e4, 0, "float32"],
    ["t.py::test_nan", "g", "", 1, float("inf"), "wrong", float("inf"), 0, ""],
]


def test_the_suffix_of_the_table_says_how_it_is_written(tmp_path):
    def written(name):
        summary, shown = Summary(), []
        for nodeid, *row in ROWS:
            properties = [("other", 1), ("gradcheck", [row])]
            summary.pytest_runtest_logreport(SimpleNamespace(when="call", nodeid=nodeid, user_properties=properties))
        options = SimpleNamespace(getoption={"--gradcheck-table": str(tmp_path / name)}.get)
        summary.pytest_terminal_summary(SimpleNamespace(section=shown.append, line=shown.append), options)
        assert shown[-1] == f"table: {tmp_path / name}"
        return (tmp_path / name).read_text(encoding="utf-8")

    assert written("table.md").splitlines() == [
        f"| {' | '.join(COLUMNS)} |",
        f"|{' --- |' * len(COLUMNS)}",
        r"| t.py::test_it[a\|b] | f | x | 3 | 0.5 | wrong | 20000.0 | 0 | float32 |",
        "| t.py::test_nan | g |  | 1 | inf | wrong | inf | 0 |  |",
    ]
    found = json.loads(written("table.JSON"))
    assert [list(row) for row in found] == [COLUMNS] * 2
    assert list(found[0].values()) == ROWS[0]
    assert found[1]["largest error"] == "inf"
    assert written("table.csv").splitlines()[1] == "t.py::test_it[a|b],f,x,3,0.5,wrong,20000.0,0,float32"


def test_assertions_of_a_function_beside_the_point_are_the_edge_of_its_domain():
    def f(x):
        assert x[0] >= 1.0
        return (x * x).sum()

    assert gradcheck(f, np.array([1.0, 2.0]), gradient=double)
    with pytest.raises(GradientMismatch, match="wrong for x"):
        gradcheck(f, np.array([1.0, 2.0]), gradient=lambda x: 3 * x)


def test_a_function_of_exec_gets_a_verdict():
    namespace = {}
    exec("def f(x): return (x * x).sum()", namespace)
    namespace["f"].__module__ = None
    with pytest.raises(GradientMismatch, match=r"(?s)wrong for x.*gradcheck\(f, x, gradient="):
        gradcheck(namespace["f"], np.ones(2), gradient=lambda x: 3 * x)


# With PyTorch and jax.


def square_function(torch, factor):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return factor * g * ctx.saved_tensors[0]

    return Square


@pytest.mark.parametrize("point", [np.arange(1.0, 4.0), np.arange(1.0, 4.0, dtype="f"), np.float64(0.5), 0.5], ids=repr)
def test_a_function_of_pytorch_runs_its_backward_at_numpy_arrays(point):
    torch = pytest.importorskip("torch")
    assert gradcheck(square_function(torch, 2), point)
    for f in (square_function(torch, 3), square_function(torch, 3).apply):
        with pytest.raises(GradientMismatch, match="wrong for x"):
            gradcheck(f, point)


def test_pytorch_at_numpy_arrays():
    torch = pytest.importorskip("torch")
    assert gradcheck(torch.nn.Linear(3, 2).double(), np.ones((1, 3)))
    assert gradcheck(torch.nn.functional.softplus, np.ones(3))
    assert gradcheck(lambda x: x.sin(), (torch.ones(2, dtype=torch.float64),))
    with pytest.raises(TypeError, match=r"write gradcheck\(f, torch\.tensor\(x, dtype=torch\.float64\)\)"):
        gradcheck(lambda x: torch.sin(x), np.ones(2))


def test_code_to_paste_names_the_function_or_the_module():
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x) + x.detach()

    with pytest.raises(GradientMismatch, match=r"gradcheck\(f, x\)  # f: your Net, with the same"):
        gradcheck(Net(2, 2).double(), torch.ones(1, 2, dtype=torch.float64))


def test_jax_at_numpy_arrays():
    jax = pytest.importorskip("jax")
    own = jax.custom_vjp(lambda x: x * x)
    own.defvjp(lambda x: (x * x, x), lambda x, g: (3 * g * x,))
    for point in (np.ones(2), 1.0, (jax.numpy.ones(2),)):
        assert gradcheck(jax.numpy.sin, point)
        with pytest.raises(GradientMismatch):
            gradcheck(own, point)
    with pytest.raises(TypeError, match=r"write gradcheck\(f, jax\.numpy\.asarray\(x\)\)"):
        gradcheck(lambda x: jax.numpy.sin(x) * 2, np.ones(2))


def test_functions_with_gradients_of_their_own_are_found_in_a_class():
    torch = pytest.importorskip("torch")
    own = square_function(torch, 2)

    class Holder:
        f = own
        other = staticmethod(double)

    assert [*find_functions(Holder).values()] == [own]
    assert [*find_functions(own).values()] == [own]


# Surrogates, empty arrays, jax keys, and pairs of a value and a gradient.


def test_a_derivative_may_be_that_of_a_surrogate():
    def straight(x, u):
        return u * (np.abs(x) < 1.0)

    x = np.array([0.3, -0.2, 1.7])
    gradcheck(np.sign, x, vjp=straight, like=lambda x: np.clip(x, -1.0, 1.0))
    with pytest.raises(GradientMismatch, match="like=") as caught:
        gradcheck(np.sign, x, vjp=lambda x, u: 2.0 * straight(x, u), like=lambda x: np.clip(x, -1.0, 1.0))
    assert "a factor of 2 too much" in str(caught.value)
    with pytest.raises(GradientMismatch, match=r"f is constant .* write like=surrogate"):
        gradcheck(lambda x: np.clip(x, -1.0, 1.0), np.array([3.0]), vjp=lambda x, u: u)
    many = np.random.default_rng(0).normal(size=300)
    gradcheck(np.round, many, vjp=lambda x, u: u, like=lambda x: x)
    with pytest.raises(GradientMismatch):
        gradcheck(np.round, many, vjp=lambda x, u: 1.01 * u, like=lambda x: x)


def test_a_surrogate_serves_functions_of_values():
    sign = Op("sign", lambda x: math.copysign(1.0, x), (lambda y, x: 1.0 - mc.tanh(x) ** 2,))
    gradcheck(sign, 0.3, like=mc.tanh)
    with pytest.raises(GradientMismatch):
        gradcheck(sign, 0.3, like=mc.sin)


def test_a_surrogate_of_another_shape_or_for_second_derivatives_is_refused():
    with pytest.raises(ValueError, match=r"like= returns arrays of the shapes \(\), and f returns \(3,\)"):
        gradcheck(np.sign, np.ones(3), vjp=lambda x, u: u, like=np.sum)
    with pytest.raises(ValueError, match=r"arrays of the shapes \(3, 2\), and f returns \(2, 3\)"):
        gradcheck(np.square, np.ones((2, 3)), vjp=lambda x, u: 2.0 * x * u, like=lambda x: (x * x).T)
    for f, like in ((lambda x: [2 * x], lambda x: [2 * x, x]), (lambda x: [2 * x, x], lambda x: [2 * x])):
        with pytest.raises(ValueError, match=r"like= returns . in a structure, and f returns . in a structure"):
            gradcheck(f, 1.0, like=like)
    with pytest.raises(ValueError, match="like= is for order=1"):
        gradcheck(mc.tanh, 0.3, like=mc.tanh, order=2)


@pytest.mark.parametrize("f", [lambda x: 2 * x, lambda x: (2 * x).sum(), lambda x: x[:, :0]])
def test_the_shapes_of_gradients_of_empty_arrays_are_checked(f):
    def vjp(x, u):
        return np.zeros(x.shape)

    assert repr(gradcheck(f, np.zeros((0, 3)), vjp=vjp)) == "<1 derivative agrees>"
    with pytest.raises(ValueError, match=r"vjp= gave an array of shape \(3, 0\) for x, which has \(0, 3\)"):
        gradcheck(f, np.zeros((0, 3)), vjp=lambda x, u: np.zeros((3, 0)))


def test_an_empty_result_of_arguments_that_are_not_empty_is_not_compared():
    with pytest.raises(NothingCompared, match="f returned no number"):
        gradcheck(lambda x: x[x > 10.0], np.arange(3.0), vjp=lambda x, u: np.full(3, 99.0))


def test_the_shape_of_a_jvp_of_empty_arrays_is_checked():
    gradcheck(lambda x: 2 * x, np.zeros((0, 3)), jvp=lambda x, t: 2 * t)
    with pytest.raises(ValueError, match=r"jvp= gave an array of shape \(3, 0\)"):
        gradcheck(lambda x: 2 * x, np.zeros((0, 3)), jvp=lambda x, t: t.T)


def test_a_function_of_tensors_that_returns_value_and_gradient_is_told_to_say_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", stand_ins.torch)
    x = stand_ins.Tensor(np.linspace(0.5, 1.5, 3))
    with pytest.raises(TypeError, match=r"write gradcheck\(f, x, gradient=f\)"):
        gradcheck(lambda x: (stand_ins.Tensor(np.float64(1.0)), x), x)


def test_keys_of_jax_are_constants():
    jax = pytest.importorskip("jax")
    x = jax.numpy.linspace(1.0, 2.0, 3)

    def f(key, x):
        return x * jax.random.normal(key, x.shape)

    for key in (jax.random.key(0), jax.random.PRNGKey(0)):
        assert gradcheck(f, key, x)
        assert gradcheck(f, key, x, static=["key"])


def test_a_backward_pass_that_is_once_differentiable_is_refused_for_second_derivatives():
    torch = pytest.importorskip("torch")

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, u):
            return 3 * u * ctx.saved_tensors[0] ** 2

    x = torch.linspace(0.5, 1.5, 3, dtype=torch.float64)
    gradcheck(Cube, x)
    for f in (Cube, lambda x: Cube.apply(x) * x):
        with pytest.raises(TypeError, match=r"marked with once_differentiable.*; write order=1"):
            gradcheck(f, x, order=2)


@pytest.mark.parametrize("kind", ["csr_matrix", "coo_array"])
def test_a_sparse_jacobian_matrix_of_dense_arrays_is_checked(kind):
    matrix, x = getattr(pytest.importorskip("scipy.sparse"), kind), np.array([1.0, 2.0])

    def f(x):
        return np.array([x[0] ** 2, x[1]])

    assert gradcheck(f, x, jacobian=lambda x: matrix([[2 * x[0], 0], [0, 1]]))
    with pytest.raises(GradientMismatch, match="wrong for x"):
        gradcheck(f, x, jacobian=lambda x: matrix([[x[0], 0], [0, 1]]))


def test_a_check_without_a_point_is_answered():
    with pytest.raises(NothingCompared, match=r"give the arguments of f .*: gradcheck\(f, x\)"):
        gradcheck(lambda: 0.0)
    with pytest.raises(NothingCompared, match=r"give the arguments of f .*: gradcheck\(f, x\)"):
        gradcheck(lambda x: x * x, kwargs={"x": 2.0})
