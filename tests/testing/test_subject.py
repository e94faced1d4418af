"""Functions in the forms that people have: keyword arguments, structures, modules, a value with its gradient."""

import collections
import dataclasses
import warnings

import numpy as np
import pytest

from micrograd_cn.testing import GradientMismatch, NothingCompared, PartlyCompared, gradcheck
from micrograd_cn.testing.reproduce import code
from micrograd_cn.testing.structures import flatten, in_place_of
from micrograd_cn.testing.subject import parameter_names, subject

X, Y = np.array([1.25, -0.5]), np.array([0.5, 2.0])


def test_one_tuple_is_unpacked_for_a_function_of_several_arguments():
    for factor in (1.0, 2.0):

        def gradient(x, y, factor=factor):
            return factor * y, x

        if factor == 1.0:
            gradcheck(lambda x, y: (x * y).sum(), (X, Y), gradient=gradient)
        else:
            with pytest.raises(GradientMismatch, match="wrong for x, right for y"):
                gradcheck(lambda x, y: (x * y).sum(), (X, Y), gradient=gradient)
    gradcheck(lambda pair: (pair[0] * pair[1]).sum(), (X, Y), gradient=lambda pair: (pair[1], pair[0]))
    gradcheck(lambda x, y: x * y, (0.5, 2.0))
    gradcheck(
        lambda pair, z: (pair[0] * pair[1] * z).sum(),
        (X, Y),
        X,
        gradient=lambda p, z: ((p[1] * z, p[0] * z), p[0] * p[1]),
    )
    with pytest.raises(TypeError, match="in which there is no number"):
        gradcheck(lambda nothing: (), ())


def test_keyword_arguments_go_to_f_and_to_its_derivative():
    def power(x, *, p, scale=1.0):
        return scale * (x**p).sum()

    def gradient(x, *, p, scale):
        return scale * p * x ** (p - 1)

    gradcheck(power, X, kwargs={"p": 3, "scale": 2.0}, gradient=gradient)
    with pytest.raises(GradientMismatch):
        gradcheck(power, X, kwargs={"p": 3, "scale": 2.0}, gradient=lambda x, p, scale: p * x ** (p - 1))
    gradcheck(lambda x, n: x**n, 0.5, kwargs={"n": 3})


def test_what_is_no_floating_point_number_is_a_constant():
    def along(x, axis, mode, keep):
        return x.sum(axis) if mode == "sum" and not keep else 0 * x

    def vjp(x, axis, mode, keep, g):
        return np.broadcast_to(np.expand_dims(g, axis), x.shape), None, None, None

    x = np.ones((2, 3))
    gradcheck(along, x, 1, "sum", False, vjp=vjp)
    gradcheck(along, x, 1, "sum", False, vjp=lambda *args: vjp(*args)[0])
    for constant in (
        *(np.array(3), np.array(True), np.array(["a"]), np.array([b"ab"]), np.array(["2026-11-28"], "M8[D]")),
        *(np.random.default_rng(0), np.dtype("float32"), np.float32, np.sin, len, slice(None), object(), None),
    ):
        gradcheck(lambda x, _: 2.0 * x, X, constant, vjp=lambda x, _, g: 2.0 * g)
    for constant in (np.array([np.nan, 1.0]), np.array([1j])):
        gradcheck(lambda x, c: 2.0 * x, X, constant, static=("c",), vjp=lambda x, c, g: (2.0 * g, None))
    with pytest.raises(TypeError, match="c is complex"):
        gradcheck(lambda x, c: 2.0 * x, X, np.array(1j), vjp=lambda x, c, g: (2.0 * g, None))


def test_arguments_are_said_to_be_constants_by_name_or_number():
    def scaled(x, eps):
        return (x * x + eps).sum()

    wrong = {"gradient": lambda x, eps: (2 * x, 0.0)}
    with pytest.raises(GradientMismatch, match="wrong for eps, right for x"):
        gradcheck(scaled, X, 1e-5, **wrong)
    for static in (["eps"], [1], [-1]):
        gradcheck(scaled, X, 1e-5, static=static, **wrong)
    gradcheck(lambda x, n: x**n, 0.5, 2, static=["n"])
    with pytest.raises(TypeError, match=r"static='epsilon' is no argument of f; they are x, eps\. Give .* static=\["):
        gradcheck(scaled, X, 1e-5, static=["epsilon"], **wrong)


def test_a_derivative_may_return_the_value_too():
    gradcheck(lambda x: (x**2).sum(), X, gradient=lambda x: ((x**2).sum(), 2 * x))
    gradcheck(lambda x, y: (x * y).sum(), X, Y, gradient=lambda x, y: ((x * y).sum(), (y, x)))
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: (x**2).sum(), X, gradient=lambda x: ((x**2).sum(), 3 * x))
    for how in ("gradient", "jacobian", "vjp", "jvp"):
        with pytest.raises(TypeError, match=f"{how}= returned None; does it end without a return"):
            gradcheck(lambda x: (x**2).sum(), X, **{how: lambda *args: None})


def test_no_gradient_for_a_floating_point_argument_is_wrong():
    for how in ({"gradient": lambda x, y: (y, None)}, {"vjp": lambda x, y, g: (g * y, None)}):
        with pytest.raises(
            GradientMismatch, match=r"wrong for y, right for x\n(.*\n)*likely, for y: a gradient is miss"
        ):
            gradcheck(lambda x, y: (x * y).sum(), X, X, **how)
    with pytest.raises(GradientMismatch, match=r"wrong for p\['b'\], right for p\['a'\]"):
        gradcheck(lambda p: (p["a"] * p["b"]).sum(), {"a": X, "b": X}, gradient=lambda p: {"a": p["b"], "b": None})
    with pytest.raises(ValueError, match=r"must have the keys \['a', 'b'\] for \[0\], .* which lacks 'b'"):
        gradcheck(lambda p: (p["a"] * p["b"]).sum(), {"a": X, "b": X}, gradient=lambda p: {"a": p["b"]})


def test_outputs_that_are_masked_are_told_and_others_compared():
    mask = np.array([0.0, -np.inf, 0.0])

    def masked(x):
        x = x + mask
        return x - np.log(np.exp(x).sum())

    def vjp(x, g, factor=1.0):
        g = np.where(np.isfinite(mask), g, 0.0)
        return factor * (g - np.exp(masked(x)) * g.sum())

    x = np.array([0.25, 0.5, -1.0])
    with pytest.warns(PartlyCompared, match=r"f\[1\] .*not finite at the point: 1 of 3 outputs"):
        gradcheck(masked, x, vjp=vjp)
    with pytest.raises(GradientMismatch):
        gradcheck(masked, x, vjp=lambda x, g: vjp(x, g, 1.1))


def test_complex_arguments_are_refused_with_a_reason():
    with pytest.raises(TypeError, match=r"z is complex; take real and imaginary parts .* libraries differ"):
        gradcheck(lambda z: abs(z).sum(), X * 1j, gradient=lambda z: z)


# Structures.


@dataclasses.dataclass(frozen=True)
class Layer:
    w: np.ndarray
    b: float
    name: str = "layer"

    def __post_init__(self):
        assert not isinstance(self.w, list)


Pair = collections.namedtuple("Pair", "w b")


@pytest.mark.parametrize("kind", [Layer, Pair])
def test_dataclasses_and_named_tuples_are_arguments_and_gradients(kind):
    def f(p):
        return kind(p.w * p.b, p.b)

    def vjp(p, g, factor=1.0):
        return kind(factor * g.w * p.b, (g.w * p.w).sum() + g.b)

    gradcheck(f, kind(X, 3.0), vjp=vjp)
    with pytest.raises(GradientMismatch, match=r"wrong for p\.w, right for p\.b\n(.*\n)*.*df\.w\[\d\]/dp\.w\[\d\]"):
        gradcheck(f, kind(X, 3.0), vjp=lambda p, g: vjp(p, g, 1.1))
    if kind is Layer:
        fields = {"gradient": lambda p: {"w": 0 * p.w + p.b, "b": p.w.sum(), "name": None}}
        gradcheck(lambda p: p.w.sum() * p.b, Layer(X, 3.0), **fields)


def test_a_structure_is_taken_apart_and_put_together():
    tree = collections.OrderedDict(a=[1.0, (2.0,)], b=Layer(X, 3.0), c=Pair(4.0, {}))
    leaves, rebuild = flatten(tree, "p")
    assert [path for path, _ in leaves] == [
        "p['a'][0]",
        "p['a'][1][0]",
        "p['b'].w",
        "p['b'].b",
        "p['b'].name",
        "p['c'].w",
    ]
    again = rebuild([x for _, x in leaves])
    assert repr(again) == repr(tree)  # arrays are not equal or unequal as a whole
    assert type(again) is collections.OrderedDict
    assert list(in_place_of(None, tree, "it")) == [None] * 6
    assert list(in_place_of([2.0] * 300, [1.0] * 300, "it")) == [2.0] * 300
    with pytest.raises(ValueError, match=r"it must have 2 parts for \['a'\], as a list of 2 has, got a float"):
        list(in_place_of({"a": 1.0, "b": None, "c": None}, tree, "it"))


def test_a_name_is_the_parameters_or_a_number():
    assert parameter_names(lambda x, y=1: x, 2) == ["x", "y"]
    assert parameter_names(lambda x, y: x, 1) == ["x"]
    assert parameter_names(lambda x, *rest: x, 3) == ["x", "x1", "x2"]
    assert parameter_names(np.add, 2) == ["x0", "x1"]
    assert parameter_names(lambda *, x: x, 1) == ["x0"]


def test_arguments_are_code_that_runs():
    tree = {"w": np.array([[1.5, np.nan]], "float32"), "n": (1,), "p": Pair([2.0], -np.inf)}
    text = code(tree)
    again = eval(text, {"np": np, "Pair": Pair, "inf": np.inf})
    assert again["w"].dtype == np.float32
    assert again["w"].shape == (1, 2)
    assert code(again) == text
    assert code((1, [2.5, (3, 4)])) == "(1, [2.5, (3, 4)])"
    assert code(np.ones(3, "float32"), 3) == "np.array([1.0, 1.0, 1.0], dtype='float32')"
    for kind, exact in (("float64", ""), ("float32", ".astype('float32')"), ("float16", ".astype('float16')")):
        assert code(-np.ones(4, kind), 3) == f"np.random.normal(size=(4,)){exact}"
    for x, shown in ((X, True), (np.ones(99), False)):
        with pytest.raises(GradientMismatch) as caught:
            gradcheck(lambda x: x * x, x, vjp=lambda x, g: g * x)
        written = (
            "import numpy as np\nx = np.array([1.25, -0.5], dtype='float64')\ngradcheck(f, x)  # the derivative, if"
        )
        drawn = "\nx = abs(np.random.normal(size=(99,)))\ngradcheck(f, x)  # arrays of random numbers have the type"
        assert (written in str(caught.value), drawn in str(caught.value)) == (shown, not shown)


# PyTorch and jax.


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def test_what_is_no_tensor_is_a_constant(torch):
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, _):
            return 2.0 * x

        @staticmethod
        def backward(ctx, g):
            return 2.0 * g, None

    x = torch.tensor([1.25, -0.5], dtype=torch.float64)
    for constant in (torch.float64, torch.device("cpu"), torch.Generator(), torch.Size([2]), torch.nn.Linear(2, 1)):
        gradcheck(Double, x, constant)


def test_of_a_module_all_parameters_are_compared_and_buffers_stay(torch):
    class Scale(torch.nn.Module):
        def __init__(self, lost):
            super().__init__()
            self.w, self.lost = torch.nn.Parameter(torch.randn(3, dtype=torch.float64)), lost

        def forward(self, x, power=1):
            w = self.w.detach() + 0.0 * self.w if self.lost else self.w
            return (x * w) ** power

    x = torch.randn(4, 3, dtype=torch.float64)
    gradcheck(Scale(False), x, kwargs={"power": 3})
    with pytest.raises(GradientMismatch, match=r"gradcheck of Scale at .*wrong for parameters\['w'\], right for x"):
        gradcheck(Scale(True), x)
    norm = torch.nn.BatchNorm1d(3).double()
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartlyCompared)
        gradcheck(norm, x)
    assert all(torch.equal(buffer, before[name]) for name, buffer in norm.named_buffers())
    assert norm.weight.grad is None


def test_second_derivatives_of_torch(torch):
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x.detach() ** 2 * g  # right, but for what it is differentiated by

    x = torch.randn(3, dtype=torch.float64)
    gradcheck(lambda x: x**3, x, order=3)
    gradcheck(lambda x, w: (x * w).sum(), x, x, order=2)
    gradcheck(Cube, x)
    with pytest.raises(GradientMismatch, match=r"Cube at x = float64\[3\]\n?(.*\n)*.*dd1f\[0\]\[0\]/dx\[0\]"):
        gradcheck(Cube, x, order=2)


def test_what_a_function_of_torch_refuses_is_outside_its_domain(torch):
    near = torch.tensor([[1.0, 0.9999], [0.9999, 1.0]], dtype=torch.float64)
    gradcheck(lambda a: torch.linalg.cholesky((a + a.T) / 2), near)


def test_custom_derivatives_of_jax():
    jax = pytest.importorskip("jax")

    @jax.custom_vjp
    def cube(x):
        return x**3

    cube.defvjp(lambda x: (x**3, x), lambda x, g: (3 * x**2 * g,))
    x = jax.numpy.array([0.5, -1.25, 2.0])
    gradcheck(cube, x)
    assert subject(cube, (x,), None, ()).names == ["x"]
    with jax.experimental.enable_x64() if hasattr(jax.experimental, "enable_x64") else jax.enable_x64(True):
        gradcheck(lambda x: x**3, jax.numpy.array([0.5, -1.25]), order=2)
    with pytest.raises(NothingCompared, match=r"x is of whole ones; write x\.astype\(float\)"):
        gradcheck(lambda x: x * x, jax.numpy.arange(3))


def test_functions_of_jax_are_compiled_where_they_can_be():
    jax = pytest.importorskip("jax")
    calls = []

    def traced(x):
        calls.append(x)
        return jax.numpy.tanh(x)

    gradcheck(traced, jax.numpy.linspace(-1.0, 1.0, 40))
    assert len(calls) < 20


def test_a_constant_argument_makes_no_constants_of_others():
    x = np.array([0.5, 1.5])
    f, wrong = (lambda a, b: a * b), (lambda a, b, g: (None, 2.0 * g * a))
    gradcheck(f, x, x, static=["a"], vjp=lambda a, b, g: (None, g * a))
    with pytest.raises(GradientMismatch, match="wrong for b"):
        gradcheck(f, x, x, static=["a"], vjp=wrong)


def test_of_a_list_beside_a_constant_the_gradient_is_a_list_alone():
    gradcheck(lambda xs, k: k * xs[0] * xs[1] + xs[2], [0.5, 2.0, 1.0], 3, gradient=lambda xs, k: [6.0, 1.5, 1.0])


def test_a_jacobian_may_have_many_numbers():
    a = np.random.default_rng(0).normal(size=(20, 30))
    gradcheck(lambda x: a @ x, np.ones(30), jacobian=lambda x: a)


def test_arguments_of_a_module_stay_as_they_are(torch):
    x = torch.randn(4, 3, dtype=torch.float64)
    gradcheck(torch.nn.Linear(3, 2).double(), x)
    assert not x.requires_grad
