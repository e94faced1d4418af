"""`gradcheck` of PyTorch and jax functions: the gradient comes from the library."""

import array
import subprocess
import sys
import types

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.testing import GradientMismatch, NothingCompared, gradcheck
from micrograd_cn.testing.arrays.analytic import ForwardMode, GradientFunction, ReverseMode, dot, jit_compiled
from micrograd_cn.testing.arrays.problem import Problem
from micrograd_cn.testing.arrays.vectors import Packed
from micrograd_cn.testing.inputs.libraries import (
    array_maker,
    empty_maker,
    is_any_array,
    library_of,
    number_kind,
    to_doubles,
    to_numpy,
)

from . import stand_ins
from .stand_ins import Array, Tensor, elementwise


@pytest.fixture(autouse=True)
def quiet():
    """Ignore numpy's warnings, as the check does at all points but the first."""
    with np.errstate(all="ignore"):
        yield


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
    """An array of an unknown library, which can only be converted to a list."""

    def __init__(self, values):
        self.values = values

    def tolist(self):
        return self.values


class Converted:
    """An array of an unknown library, which numpy can read."""

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
        (np.array(["a"]), "numpy", True, "other"),
        (np.str_("a"), "numpy", False, "other"),
        (np.complex64(1j), "numpy", False, "complex"),
        (np.ones(2).view(Array), "jax", True, "float"),
        (np.array(1.0).view(Array), "jax", True, "float"),
        (Tensor([1.0]), "torch", True, "float"),
        (Tensor(1.0), "torch", True, "float"),
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
    assert library_of(x) == whose
    assert is_any_array(x) is is_one
    assert number_kind(x) == of


def test_a_key_of_jax_is_an_array_without_numbers(monkeypatch):
    class Key(Array):
        """Numpy would read it as numbers."""

        dtype = "key<fry>"

    dtypes = types.SimpleNamespace(extended="key", issubdtype=lambda dtype, kind: str(dtype).startswith(kind))
    monkeypatch.setattr(stand_ins.jax, "dtypes", dtypes, raising=False)
    monkeypatch.setitem(sys.modules, "jax", stand_ins.jax)
    assert number_kind(np.ones(2).view(Key)) == "other"
    assert number_kind(np.ones(2).view(Array)) == "float"


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
        doubles = to_doubles(x)
        assert type(doubles) is np.ndarray
        assert doubles.dtype == np.float64
        assert doubles.tolist() == [1.0, 2.0]
        made = array_maker(x)(np.array([3.0, 4.0]))
        assert type(made) is type(x)
        assert getattr(made, "dtype", None) == getattr(x, "dtype", None)
        assert getattr(made, "typecode", None) == getattr(x, "typecode", None)
        assert getattr(made, "requires_grad", None) == getattr(x, "requires_grad", None)
        assert to_doubles(made).tolist() == [3.0, 4.0]
    assert to_doubles(Value(3.0)).tolist() == 3.0
    assert to_doubles(Converted([3.0])).tolist() == [3.0]
    for number in (2.0, np.float32(2.0)):
        made = array_maker(number)(np.array(5.0))
        assert type(made) is type(number)
        assert made == 5.0


def test_numbers_are_those_of_numpy_and_not_copied_if_they_need_not_be():
    x, asking = np.float32([1.0, 2.0]), Tensor(np.float32([1.0, 2.0]), requires_grad=True)
    assert to_numpy(x) is x
    assert to_numpy(asking) is asking.data
    for other in (x.view(Array), Tensor(np.float16([1.0, 2.0])), array.array("f", [1.0, 2.0]), Listed([1, 2])):
        found = to_numpy(other)
        assert type(found) is np.ndarray
        assert (found.dtype, found.tolist()) == (np.float64, [1.0, 2.0])


@pytest.mark.parametrize(
    "x",
    [
        np.ones((2, 3)).T,
        np.ones((4, 3), "float32")[::2, 1:],
        np.ones(6)[::-1],
        np.broadcast_to(np.ones(3), (2, 3)),
        np.ones((0, 3)).T,
        np.ones((2, 1, 3))[:, :, ::2],
    ],
)
def test_an_array_of_numpy_is_made_with_its_strides_if_they_are_above_0(x):
    values = np.arange(float(x.size)).reshape(x.shape)
    made = array_maker(x)(values)
    assert (made.dtype, made.tolist()) == (x.dtype, values.tolist())
    assert (made.strides == x.strides) is (x.size > 0 and min(x.strides) > 0)
    assert empty_maker(x) is None or x.flags.c_contiguous


def test_what_has_its_type_already_may_share_its_memory_and_has_its_shape():
    values = np.arange(6.0).reshape(2, 3)
    assert array_maker(np.ones((2, 3)))(values) is values
    assert array_maker(np.ones((2, 3), "float32"))(values).dtype == np.float32
    for x in (1.0, np.float64(1.0), np.ones((2, 3)).T, array.array("d", [1.0]), np.ones(2).view(Array), Listed([1.0])):
        assert empty_maker(x) is None
    made, flat = empty_maker(np.ones((2, 3), "float32"))()
    flat[:] = np.arange(6)
    assert (made.dtype, made.tolist()) == (np.float32, values.tolist())


def test_what_has_no_weight_counts_nothing():
    assert dot(np.array([1.0, np.inf, 3.0]), np.array([2.0, 0.0, -1.0])) == -1.0
    assert dot(np.array([1.0, 2.0]), np.array([2.0, 3.0])) == 8.0
    assert dot(np.array([np.inf, np.inf]), np.array([1.0, -1.0])) != 0.0
    assert dot(np.array([np.inf, 3.0]), np.array([-0.5, 1.0])) == -np.inf
    assert dot(np.array([2.0, 3.0]), np.array([np.inf, 1.0])) == np.inf
    many = np.arange(1.0, 20001.0)
    assert dot(many, np.ones(20000)) == 10000.0 * 20001.0
    weights = np.where(many == 9000.0, 0.0, 2.0)
    assert dot(np.where(many == 9000.0, np.inf, many), weights) == 20000.0 * 20001.0 - 18000.0


def test_a_derivative_along_directions_has_no_gradient():
    forward = ForwardMode(lambda x, d: np.array([x @ d, np.inf, 3.0 * d[0]]))
    x, u, d = np.array([1.0, 2.0]), np.array([2.0, 0.0, -1.0]), np.array([1.0, -1.0])
    assert forward.slope(x, u, d) == -5.0
    assert forward.gradient(x, u) is None


def test_a_gradient_is_computed_once_for_a_point_and_weights():
    calls = []
    derivative = ReverseMode(lambda x, u: calls.append((x, u)) or 2.0 * x * u)
    x, u, d = np.ones(2), np.array([3.0]), np.array([1.0, -2.0])
    assert derivative.gradient(x, u).tolist() == derivative.gradient(x, u).tolist() == [6.0, 6.0]
    assert derivative.slope(x, u, d) == -6.0
    assert len(calls) == 1
    assert derivative.gradient(x, u / 3.0).tolist() == [2.0, 2.0]
    assert derivative.gradient(3.0 * x, u).tolist() == [18.0, 18.0]
    assert len(calls) == 3


# What is written out.


def derivative_of(f, *args, **named):
    return Problem("check", f, args, named, None, None).derivative


def test_of_a_jacobian_the_rows_are_weighted_and_those_without_a_weight_count_nothing():
    rows = np.array([[1.0, 2.0], [np.nan, np.inf], [3.0, 5.0]])
    reverse = derivative_of(lambda x: np.ones(3), np.ones(2), jacobian=lambda x: rows)
    assert reverse.gradient(np.ones(2), np.array([2.0, 0.0, -1.0])).tolist() == [-1.0, -1.0]
    two = derivative_of(
        lambda x, y: [np.ones(2), 1.0], np.ones(2), 1.0, jacobian=lambda x, y: [(np.eye(2), [5.0, 7.0]), ([3, 4], 9.0)]
    )
    assert two.gradient(np.ones(3), np.array([1.0, -2.0, 0.5])).tolist() == [2.5, 0.0, -4.5]
    with pytest.raises(ValueError, match=r"jacobian= gave an array of shape \(0,\), not \(2,\)"):
        gradcheck(lambda x, y: x @ x * y, np.ones(2), 1.0, jacobian=lambda x, y: (None, 2.0))


def test_a_gradient_is_weighted_by_the_weight_of_the_only_output():
    reverse = derivative_of(lambda x: 1.0, np.ones(2), gradient=lambda x: 3.0 * x)
    assert reverse.gradient(np.array([1.0, 2.0]), np.array([-4.0])).tolist() == [-12.0, -24.0]


@pytest.mark.parametrize(
    ("args", "gradient"),
    [
        ((np.ones(2), 3), lambda x, k: 2.0 * x),
        (([1.0], 3), lambda x, k: [2.0]),
        (([1.0, 1.0, 1.0], 3), lambda x, k: [2.0, 2.0, 2.0]),
        (([1.0, 1.0], 3, "sum"), lambda x, k, how: [2.0, 2.0]),
        (((1.0, 1.0, 1.0), 3), lambda x, k: (2.0, 2.0, 2.0)),
        ((np.ones(2),), lambda x: (x @ x, 2.0 * x)),
        ((np.ones(2),), lambda x: (np.float32(x @ x), 2.0 * x)),
        ((np.ones(2), 3), lambda x, k: (x @ x, (2.0 * x, None))),
    ],
)
def test_constants_need_no_place_in_a_gradient_and_the_value_may_stand_before_it(args, gradient):
    gradcheck(lambda x, *rest: sum(t * t for t in x), *args, gradient=gradient)


@pytest.mark.parametrize(
    ("n", "how", "result"),
    [
        (2, "gradient", lambda x: 2.0 * x),
        (2, "gradient", lambda x: (Listed([1.0]), (2.0 * x, 2.0 * x))),
        (1, "gradient", lambda x: (1.0, 2.0 * x, None)),
        (1, "gradient", lambda x: (1.0,)),
        (1, "gradient", lambda x: (x, 2.0 * x)),
        (1, "gradient", lambda x: [1.0, 2.0 * x]),
        (1, "gradient", lambda x: ()),
        (1, "vjp", lambda x: (1.0, 2.0 * x)),
    ],
)
def test_what_is_no_gradient_of_the_arguments_is_refused(n, how, result):
    with pytest.raises(ValueError, match=f"{how}= (gave|must have)|inhomogeneous"):
        gradcheck(lambda *xs: sum(x @ x for x in xs), *[np.ones(3)] * n, **{how: lambda x, *rest: result(x)})


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


def test_of_what_a_function_of_tensors_returns_the_graph_is_that_of_what_asks_for_a_gradient(in_torch):
    sine, _, _ = in_torch
    x = random_tensor()
    problem = Problem("check", lambda x: [sine(x), 2.0, x.detach(), sine(x)], (x,), {}, None, None)
    assert problem.derivative.differentiable_outputs(problem.arguments.unpack(problem.x)) == [0, 3]


def test_calls_for_the_backward_pass_of_tensors_are_counted(in_torch, monkeypatch):
    sine, _, _ = in_torch
    monkeypatch.setitem(sys.modules, "jax", stand_ins.jax)
    for x, f, calls in ((random_tensor(), sine, 3), (np.ones(3).view(Array), np.sin, 2)):
        problem = Problem("check", f, (x,), {}, None, None)
        problem.derivative.gradient(problem.x, np.ones(3))
        assert problem.budget.calls == calls


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("kind", ["float64", "float32", "float16"])
@pytest.mark.parametrize("turned", [True, False])
def test_numpy_writes_the_numbers_of_tensors_that_lie_in_their_order(in_torch, kind, turned, asks):
    data = np.ones((2, 3), kind)
    x = Tensor(data.T if turned else data, requires_grad=asks)
    empty = empty_maker(x)
    assert (empty is None) is (turned or kind == "float16")
    if empty:
        made, flat = empty()
        flat[:] = np.arange(6)
        assert (made.dtype, made.requires_grad, made.data.tolist()) == (kind, asks, [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("parameter_asks", [True, False])
def test_all_second_derivatives_are_compared_whether_tensors_ask_for_gradients_or_not(in_torch, asks, parameter_asks):
    x, parameter = random_tensor(requires_grad=asks), random_tensor(requires_grad=parameter_asks)

    def shifted(f, derivative, **how):
        sum_ = elementwise(lambda x, w: f(x) + w, lambda x, w: derivative(x), lambda x, w: 1.0, **how)
        return lambda x: sum_(x, parameter)

    def triple(x):
        return 3.0 * x

    gradcheck(shifted(triple, lambda x: triple(np.ones(3))), x, order=2)
    without_graph = shifted(triple, lambda x: triple(np.ones(3)), once=True)
    curved = shifted(np.sin, np.cos)  # its gradient has no graph that leads to x here
    for f, wrong in ((without_graph, "upstream"), (curved, "x")):
        gradcheck(f, x)
        with pytest.raises(GradientMismatch, match=rf"WRONG .*/d{wrong}\[0\]"):
            gradcheck(f, x, order=2)


def test_whole_numbers_are_told_how_to_be_made_others_in_their_library():
    for x, write in ((Tensor([1, 2]), r"x0.double\(\)"), (array.array("i", [1]), r"x0.astype\(float\)")):
        with pytest.raises(NothingCompared, match=f"but x0 holds integers; write {write}$"):
            Problem("check", lambda x: 1.0, (x,), {}, None, None)


def test_beside_arrays_of_jax_those_of_others_are_constants(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", stand_ins.jax)
    x = np.ones(2).view(Array)
    problem = Problem("check", lambda *xs: x, (1.0, np.ones(2), x, array.array("d", [1.0])), {}, None, None)
    assert [path for path, _ in problem.arguments.leaf_slices()] == ["x2"]


def test_a_function_is_compiled_by_jax_until_that_fails(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", stand_ins.jax)
    calls = []

    def f(x):
        calls.append("f")
        return 2.0 * x

    def jit(f):
        def quick(x):
            calls.append("quick")
            if x < 0.0:
                raise TypeError("it branches")
            return f(x)

        return quick

    assert jit_compiled(f) is f, "without jit"
    monkeypatch.setattr(stand_ins.jax, "jit", jit, raising=False)
    quick = jit_compiled(f)
    assert [quick(x) for x in (1.0, -1.0, 3.0)] == [2.0, -2.0, 6.0]
    assert calls == ["quick", "f", "quick", "f", "f"]


def test_a_function_of_jax_is_compiled_unless_its_derivative_is_written_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", stand_ins.jax)
    made = []
    monkeypatch.setattr(stand_ins.jax, "jit", lambda f: made.append(f) or f, raising=False)
    x = np.ones(2).view(Array)
    Problem("check", np.sin, (x,), {"vjp": lambda x, g: g * np.cos(x)}, None, None)
    assert made == []
    problem = Problem("check", lambda x, k: [k * x, x.sum(keepdims=True)], (x, 3.0), {}, None, None)
    assert len(made) == 2, "the function, and its backward pass"
    assert problem.value(np.array([1.0, 2.0])).tolist() == [3.0, 6.0, 3.0]
    assert problem.budget.calls == 3
    assert problem.derivative.gradient(problem.x, np.array([1.0, 2.0, 5.0])) == pytest.approx([8.0, 11.0])


def test_the_gradient_is_a_function_of_the_arguments_and_of_the_weights(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", stand_ins.jax)

    def f(x, k, y):
        return {"n": 2, "y": k * x * y}

    args = np.array([1.0, 2.0]).view(Array), 3.0, np.array([5.0, 7.0]).view(Array)
    arguments = Packed(args, ["x", "k", "y"], lambda path, leaf: library_of(leaf) == "jax")
    gradient = GradientFunction(f, arguments, Packed(f(*args), "f"))
    by_x, by_y = gradient(*args, {"n": None, "y": np.array([1.0, -1.0]).view(Array)})
    assert by_x == pytest.approx([15.0, -21.0])
    assert by_y == pytest.approx([3.0, -6.0])


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


def test_of_what_is_linear_the_second_derivative_is_0(torch):
    x = torch.randn(3, dtype=torch.float64)
    gradcheck(lambda x: 3.0 * x, x, order=3)
    gradcheck(lambda x, w: x * x.sum() + w, x, x, order=2)


def test_the_gradient_of_tensors_is_0_where_nothing_depends_on_them(torch):
    def f(x, y, z):
        return x * x, 3.0, y.detach()

    x, y, z = (torch.tensor([1.0, t], dtype=torch.float64) for t in (2.0, 3.0, 4.0))
    arguments = Packed((x, y, z), ["x", "y", "z"])
    gradient = GradientFunction(f, arguments, Packed(f(x, y, z), "f"))
    found = gradient(x, y, z, (torch.ones(2, dtype=torch.float64), 1.0, y))
    assert [g.tolist() for g in found] == [[2.0, 4.0], [0.0, 0.0], [0.0, 0.0]]
    assert found[0].requires_grad
    constant = GradientFunction(lambda x, y, z: y.detach(), arguments, Packed(y, "f"))
    assert [g.tolist() for g in constant(x, y, z, y)] == [[0.0, 0.0]] * 3


def test_bfloat16_has_the_exponents_of_float32_and_fewer_digits(torch):
    x = torch.tensor([[1.5, -2.0, 3.0]], dtype=torch.bfloat16, requires_grad=True)
    packed = Packed(x, "x")
    assert (packed.eps, packed.smallest_normal, packed.smallest_subnormal) == (2.0**-7, 1e-37, 1e-37 * 2.0**-7)
    for found in (to_doubles(x), to_numpy(x)):
        assert (found.dtype, found.tolist()) == (np.float64, [[1.5, -2.0, 3.0]])
    made = array_maker(x)(np.array([[1.0 / 3.0, 1.0, 2.0]]))
    assert (made.dtype, made.requires_grad, to_doubles(made)[0, 0]) == (torch.bfloat16, True, 0.333984375)
    assert empty_maker(x) is None


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("kind", ["float64", "float32", "float16"])
def test_tensors_are_made_of_their_type_with_their_strides(torch, kind, asks):
    kind = getattr(torch, kind)
    flat = torch.ones(2, 3, dtype=kind)
    for x, strides in (
        (flat, (3, 1)),
        (flat.T, (1, 3)),
        (flat[:, ::2], (3, 2)),
        (flat[:1].expand(2, 3), (3, 1)),
        (flat[:0].T, (1, 1)),
    ):
        x = x.detach().requires_grad_(asks)
        values = np.arange(float(x.numel())).reshape(x.shape)
        made = array_maker(x)(values)
        assert (made.dtype, made.requires_grad, made.tolist()) == (kind, asks, values.tolist())
        assert made.stride() == strides or not x.numel()
        empty = empty_maker(x)
        assert (empty is None) is (kind is torch.float16 or not x.is_contiguous())
        if empty:
            made, numbers_of_it = empty()
            numbers_of_it[:] = values.ravel()
            assert (made.dtype, made.requires_grad, made.tolist()) == (kind, asks, values.tolist())
    shared = np.ones((2, 3), flat.numpy().dtype)
    assert np.shares_memory(to_numpy(array_maker(flat)(shared)), shared) is (kind is not torch.float16)


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
        gradcheck(
            lambda p: swish(p["x"]) * p["n"], {"x": x, "n": jax.numpy.arange(4)}, seed=1
        )  # one draw in a hundred hides too much
    else:
        with pytest.raises(GradientMismatch):
            gradcheck(swish, x)
