"""`gradcheck` of PyTorch's and jax's functions, where these are installed: the gradient is found by itself."""

import array
import subprocess
import sys

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.testing import GradientMismatch, NothingCompared, gradcheck
from micrograd_cn.testing.analytic import Reverse, dot
from micrograd_cn.testing.libraries import is_array, kind, library, maker, read

from . import stand_ins
from .stand_ins import Array, Tensor, elementwise


def test_no_library_is_imported_that_is_not_used():
    code = (
        "import sys\n"
        "from micrograd_cn import tanh\n"
        "from micrograd_cn.testing import gradcheck\n"
        "gradcheck(tanh, 0.5)\n"
        "print({'numpy', 'torch', 'jax'} & {*sys.modules})\n"
        "gradcheck(lambda x: x * x, 0.5, gradient=lambda x: 2 * x)\n"
        "print({'torch', 'jax'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\nset()\n"


def test_numpy_is_asked_for_where_it_is_needed():
    code = (
        "import sys\n"
        "sys.modules['numpy'] = None\n"
        "from micrograd_cn.testing import gradcheck\n"
        "try: gradcheck(lambda x: x * x, 0.5, gradient=lambda x: 2 * x)\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "gradcheck of other functions than those of Values needs numpy: pip install numpy\n"


# Whose an array is.


class Listed:
    """An array of a library that is not known."""

    def __init__(self, values):
        self.values = values

    def tolist(self):
        return self.values


class Converted:
    """An array that numpy can read."""

    def __init__(self, values):
        self.values = np.array(values)

    def __array__(self, dtype=None, copy=None):
        return self.values.astype(dtype or float)


@pytest.mark.parametrize(
    ("x", "whose", "is_one", "of"),
    [
        (1.0, "", False, "float"),
        (True, "", False, "int"),
        (2, "", False, "int"),
        ("a", "", False, "other"),
        (1j, "", False, "complex"),
        (Value(1.0), "", False, "float"),
        (np.ndarray, "", False, "other"),
        (np.float32(1.0), "numpy", False, "float"),
        (np.int32(1), "numpy", False, "int"),
        (np.array(1.0), "numpy", False, "float"),
        (np.ones(2), "numpy", True, "float"),
        (np.ones(2) * 1j, "numpy", True, "complex"),
        (np.arange(2), "numpy", True, "int"),
        (np.arange(2, dtype="uint8"), "numpy", True, "int"),
        (np.array([True]), "numpy", True, "int"),
        (np.ones(2).view(Array), "jax", True, "float"),
        (Tensor([1.0]), "torch", True, "float"),
        (Tensor([1j]), "torch", True, "complex"),
        (Tensor([1]), "torch", True, "int"),
        (array.array("d", [1.0]), "other", True, "float"),
        (array.array("i", [1]), "other", True, "int"),
        (Listed([1.0]), "other", True, "float"),
        (Listed([1]), "other", True, "int"),
        (Converted([1.0]), "other", True, "float"),
    ],
    ids=lambda x: repr(x) if isinstance(x, (str, bool)) else type(x).__name__,
)
def test_an_array_has_a_library_and_a_kind_of_numbers(x, whose, is_one, of):
    assert library(x) == whose
    assert is_array(x) is is_one
    assert kind(x) == of


def test_arrays_are_read_as_doubles_and_made_anew_in_their_own_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", stand_ins.torch)
    monkeypatch.setitem(sys.modules, "jax", stand_ins.jax)
    arrays = [
        np.float32([1.0, 2.0]),
        np.float32([1.0, 2.0]).view(Array),
        Tensor(np.float32([1.0, 2.0]), requires_grad=True),
        Tensor(np.float32([1.0, 2.0])),
        array.array("f", [1.0, 2.0]),
        Listed([1.0, 2.0]),
    ]
    for x in arrays:
        doubles = read(x)
        assert type(doubles) is np.ndarray
        assert doubles.dtype == np.float64
        assert doubles.tolist() == [1.0, 2.0]
        made = maker(x)(np.array([3.0, 4.0]))
        assert type(made) is type(x)
        assert getattr(made, "dtype", None) == getattr(x, "dtype", None)
        assert getattr(made, "typecode", None) == getattr(x, "typecode", None)
        assert getattr(made, "requires_grad", None) == getattr(x, "requires_grad", None)
        assert read(made).tolist() == [3.0, 4.0]
    assert read(Value(3.0)).tolist() == 3.0
    assert read(Converted([3.0])).tolist() == [3.0]
    for number in (2.0, np.float32(2.0)):
        made = maker(number)(np.array(5.0))
        assert type(made) is type(number)
        assert made == 5.0


def test_what_has_no_weight_counts_nothing():
    assert dot(np.array([1.0, np.inf, 3.0]), np.array([2.0, 0.0, -1.0])) == -1.0
    assert dot(np.array([1.0, 2.0]), np.array([2.0, 3.0])) == 8.0
    assert dot(np.array([np.inf, np.inf]), np.array([1.0, -1.0])) != 0.0


def test_a_gradient_is_computed_once_for_a_point_and_weights():
    calls = []
    derivative = Reverse(lambda x, u: calls.append((x, u)) or 2.0 * x * u)
    x, u, d = np.ones(2), np.array([3.0]), np.array([1.0, -2.0])
    assert derivative.gradient(x, u).tolist() == derivative.gradient(x, u).tolist() == [6.0, 6.0]
    assert derivative.slope(x, u, d) == -6.0
    assert len(calls) == 1
    assert derivative.gradient(x, u / 3.0).tolist() == [2.0, 2.0]
    assert derivative.gradient(3.0 * x, u).tolist() == [18.0, 18.0]
    assert len(calls) == 3


# Stand-ins for PyTorch and jax.


@pytest.fixture
def in_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", stand_ins.torch)
    sine = elementwise(np.sin, np.cos)
    product = elementwise(np.multiply, lambda x, w: w, lambda x, w: x)
    wrong = elementwise(np.sin, lambda x: 1.1 * np.cos(x))
    return sine, product, wrong


def random_tensor(n=3, kind="float64", **how):
    return Tensor(np.random.default_rng(n).normal(size=n).astype(kind), **how)


@pytest.mark.parametrize(("n", "kind"), [(2, "float64"), (2, "float32"), (5, "float64")])
def test_of_tensors_the_backward_pass_is_compared(in_torch, n, kind):
    sine, product, wrong = in_torch
    x, w = random_tensor(n, kind), random_tensor(n, kind)
    gradcheck(sine, x)
    gradcheck(product, x, w)
    gradcheck(lambda p: {"y": [sine(p["x"]), 3], "z": product(p["x"], p["w"])}, {"x": x, "w": w, "n": Tensor([2])})
    with pytest.raises(GradientMismatch, match=r"WRONG .*/dw\["):
        gradcheck(lambda x, w: (sine(x), wrong(w)), x, w)
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: sine(x.detach().requires_grad_()), x)


def test_tensors_that_ask_for_a_gradient_are_compared_alone(in_torch):
    sine, product, _ = in_torch
    x, w = random_tensor(), random_tensor(requires_grad=True)
    gradcheck(lambda x, w: (sine(w), Tensor(x.data)), x, w)
    with pytest.raises(GradientMismatch, match=r"/dx\["):
        gradcheck(lambda x, w: (sine(w), Tensor(x.data)), x, w.detach())
    gradcheck(lambda x, c: product(x, Tensor(c * np.ones(3))), x, 2.0)


def test_a_result_that_no_backward_pass_leads_to_is_told(in_torch):
    with pytest.raises(TypeError, match=r"no backward pass to check; does f use \.detach"):
        gradcheck(lambda x: x.detach(), random_tensor())
    with pytest.raises(NothingCompared, match="no argument holds"):
        gradcheck(lambda x: 1.0, Tensor([1, 2]))


def test_a_derivative_that_is_written_out_is_taken_instead_of_the_backward_pass(in_torch):
    _, _, wrong = in_torch
    x = random_tensor()
    gradcheck(wrong, x, vjp=lambda x, g: g.data * np.cos(x.data))
    with pytest.raises(GradientMismatch):
        gradcheck(wrong, x, jvp=lambda x, t: t.data * 1.1 * np.cos(x.data))


@pytest.mark.parametrize("n", [2, 5])
def test_of_arrays_of_jax_the_vjp_is_compared(monkeypatch, n):
    monkeypatch.setitem(sys.modules, "jax", stand_ins.jax)
    x = np.random.default_rng(0).normal(size=n).view(Array)
    gradcheck(lambda x: np.sin(x) * 2.0, x)
    gradcheck(lambda p: [np.sin(p["x"]), p["x"] * p["w"]], {"x": x, "w": x + 1.0, "n": 3.0, "k": np.arange(2)})
    right = stand_ins.jax.vjp
    monkeypatch.setattr(stand_ins.jax, "vjp", lambda f, *xs: (None, lambda w: [1.1 * g for g in right(f, *xs)[1](w)]))
    with pytest.raises(GradientMismatch):
        gradcheck(np.sin, x)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def swish(torch):
    """Return a function that makes an `autograd.Function` whose backward pass is off by a factor."""

    def off_by(factor):
        class Swish(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * torch.sigmoid(x)

            @staticmethod
            def backward(ctx, upstream):
                (x,) = ctx.saved_tensors
                s = torch.sigmoid(x)
                return factor * upstream * s * (1 + x * (1 - s))

        return Swish.apply

    return off_by


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(3, 4), (12, 10)])
def test_an_autograd_function_in_every_precision(torch, swish, shape, kind):
    torch.manual_seed(0)
    x = torch.randn(*shape, dtype=torch.float64).to(getattr(torch, kind))
    gradcheck(swish(1.0), x)
    for factor in (1.02 if kind == "bfloat16" else 1.01, 1.1, 0.5, -1.0):
        with pytest.raises(GradientMismatch, match=r"WRONG .*df\[.*/dx\["):
            gradcheck(swish(factor), x)


def test_tensors_that_require_a_gradient_are_chosen_if_there_are_any(torch):
    x, w = torch.randn(3), torch.randn(3, requires_grad=True)
    gradcheck(lambda x, w: (x.detach() * w).sum(), x, w)
    with pytest.raises(GradientMismatch, match=r"/dx\["):
        gradcheck(lambda x, w: (x.detach() * w).sum(), x, w.detach())


def test_modules_integers_and_several_outputs(torch):
    torch.manual_seed(0)
    labels = torch.tensor([0, 2, 1])
    gradcheck(lambda x, y: torch.nn.functional.cross_entropy(x, y), torch.randn(3, 4, dtype=torch.float64), labels)
    gradcheck(torch.nn.LayerNorm(4), torch.randn(3, 4))
    gradcheck(lambda x: x.double().max(-1), torch.randn(3, 4, dtype=torch.float64))  # values and indices
    gradcheck(torch.relu, torch.tensor([0.0, 1.0, -1.0]))
    embed = torch.nn.Embedding(5, 2).double()
    functional = torch.func.functional_call
    gradcheck(lambda w: functional(embed, {"weight": w}, (labels,)), embed.weight)


def test_a_second_derivative_is_that_of_the_gradient(torch):
    def df(x):
        x = x if x.requires_grad else x.requires_grad_()
        return torch.autograd.grad((x**3).sum(), x, create_graph=True)[0]

    gradcheck(df, torch.randn(3, dtype=torch.float64))


def test_a_graph_that_is_lost_is_told(torch):
    with pytest.raises(TypeError, match=r"no backward pass to check; does f use .detach"):
        gradcheck(lambda x: x.detach() ** 2, torch.randn(3))


def test_a_written_derivative_of_tensors(torch):
    x = torch.randn(3, dtype=torch.float64)
    gradcheck(torch.sin, x, vjp=lambda x, g: g * torch.cos(x))
    with pytest.raises(GradientMismatch):
        gradcheck(torch.sin, x, jvp=lambda x, t: -t * torch.cos(x))


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_a_custom_vjp_of_jax(kind, factor):
    jax = pytest.importorskip("jax")

    @jax.custom_vjp
    def swish(x):
        return x * jax.nn.sigmoid(x)

    def backward(x, g):
        s = jax.nn.sigmoid(x)
        return ((factor * g * s * (1 + x * (1 - s))).astype(x.dtype),)

    swish.defvjp(lambda x: (swish(x), x), backward)
    x = jax.random.normal(jax.random.key(0), (3, 4)).astype(kind)
    if factor == 1.0:
        gradcheck(swish, x)
        gradcheck(lambda p: swish(p["x"]) * p["n"], {"x": x, "n": jax.numpy.arange(4)})
    else:
        with pytest.raises(GradientMismatch):
            gradcheck(swish, x)
