"""Functions in the forms that users give them: keyword arguments, structures, modules, a value with its gradient."""

import collections
import dataclasses
import functools
import math
import operator
import types
import warnings

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.testing import GradientMismatch, NothingCompared, PartlyCompared, gradcheck
from micrograd_cn.testing.arrays.array_check import compare_arrays
from micrograd_cn.testing.inputs.pytrees import flatten_pytree, flatten_up_to, parts
from micrograd_cn.testing.inputs.random_state import advanced_generator, generator_states, restored_generators
from micrograd_cn.testing.inputs.subject import make_subject, parameter_names
from micrograd_cn.testing.inputs.subject import one_line as shown_in_a_line
from micrograd_cn.testing.report.reproduce import to_code

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
    with pytest.raises(TypeError, match="which holds no number"):
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
    with pytest.raises(GradientMismatch, match=r"wrong for c\.real, c\.imag, right for x"):
        gradcheck(lambda x, c: x * abs(c), X, np.array(1 + 2j), vjp=lambda x, c, g: (abs(c) * g, None))


def test_arguments_are_said_to_be_constants_by_name_or_number():
    def scaled(x, eps):
        return (x * x + eps).sum()

    wrong = {"gradient": lambda x, eps: (2 * x, 0.0)}
    with pytest.raises(GradientMismatch, match="wrong for eps, right for x"):
        gradcheck(scaled, X, 1e-5, **wrong)
    for static in (["eps"], [1], [-1]):
        gradcheck(scaled, X, 1e-5, static=static, **wrong)
    gradcheck(lambda x, n: x**n, 0.5, 2, static=["n"])
    with pytest.raises(TypeError, match=r"static='epsilon' is no argument of f, which has x, eps\. Give .* static=\["):
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
    leaves, rebuild = flatten_pytree(tree, "p")
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
    assert list(flatten_up_to(None, tree, "it")) == [None] * 6
    assert list(flatten_up_to([2.0] * 300, [1.0] * 300, "it")) == [2.0] * 300
    with pytest.raises(ValueError, match=r"it must have 2 parts for \['a'\], as a list of 2 has, got a float"):
        list(flatten_up_to({"a": 1.0, "b": None, "c": None}, tree, "it"))


def test_a_name_is_the_parameters_or_a_number():
    assert parameter_names(lambda x, y=1: x, 2) == ["x", "y"]
    assert parameter_names(lambda x, y: x, 1) == ["x"]
    assert parameter_names(lambda x, *rest: x, 3) == ["x", "x1", "x2"]
    assert parameter_names(np.add, 2) == ["x0", "x1"]
    assert parameter_names(lambda *, x: x, 1) == ["x0"]
    assert parameter_names(lambda x, *, k, **more: x, 2) == ["x0", "x1"]


def test_arguments_are_code_that_runs():
    tree = {"w": np.array([[1.5, np.nan]], "float32"), "n": (1,), "p": Pair([2.0], -np.inf)}
    text = to_code(tree)
    again = eval(text, {"np": np, "Pair": Pair, "inf": np.inf})
    assert again["w"].dtype == np.float32
    assert again["w"].shape == (1, 2)
    assert to_code(again) == text
    assert to_code((1, [2.5, (3, 4)])) == "(1, [2.5, (3, 4)])"
    assert to_code(np.ones(3, "float32"), 3) == "np.array([1.0, 1.0, 1.0], dtype='float32')"
    for kind, exact in (("float64", ""), ("float32", ".astype('float32')"), ("float16", ".astype('float16')")):
        for x in (-1.0, [0.0, 1.0, 1.0, 1.0]):
            assert to_code(np.array(x * np.ones(4), kind), 3) == f"np.random.default_rng(0).normal(size=(4,)){exact}"
    for x, one_line in ((X, True), (np.ones(99), False)):
        with pytest.raises(GradientMismatch) as caught:
            gradcheck(lambda x: x * x, x, vjp=lambda x, g: g * x)
        written = "import numpy as np\nx = np.array([1.25, -0.5], dtype='float64')\ngradcheck(f, x, vjp=vjp)"
        drawn = (
            "\nx = abs(np.random.default_rng(0).normal(size=(99,)))\n"
            "gradcheck(f, x, vjp=vjp)  # other numbers of the same type and shape: x"
        )
        assert (written in str(caught.value), drawn in str(caught.value)) == (one_line, not one_line)
    how = {"kwargs": {"p": 3}, "static": ["c"]}
    with pytest.raises(GradientMismatch, match=r"\ngradcheck\(f, x, c, vjp=vjp, kwargs=\{'p': 3\}, static=\['c'\]\)$"):
        gradcheck(lambda x, c, p: c * x**p, X, Y, **how, vjp=lambda x, c, g, p: (g * x, None))
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(lambda x, f: f(x), X, np.sin, vjp=lambda x, f, g: (g * x, None))
    assert "gradcheck(f, x" not in str(caught.value), "the name of a function is no code"


def test_what_is_rebuilt_has_other_leaves_and_what_it_was_made_of_has_its_own():
    layer, ordered = Layer(X, 3.0), collections.OrderedDict(a=1.0)
    leaves, rebuild = flatten_pytree([layer, ordered])
    assert len(leaves) == 4
    made = rebuild([Y, 5.0, "other", 2.0])
    assert (made[0].b, made[0].name, made[1]["a"]) == (5.0, "other", 2.0)
    assert (layer.b, layer.name, ordered["a"]) == (3.0, "layer", 1.0)


def test_what_only_looks_like_a_structure_is_a_leaf_and_a_field_makes_no_array():
    @dataclasses.dataclass
    class Typed:
        w: float
        dtype: str

    assert [path for path, _ in flatten_pytree(Typed(1.0, "float32"))[0]] == [".w", ".dtype"]
    for leaf in (Layer, types.SimpleNamespace(_fields=("w",)), np.ones(2), np.float32(1.0), None, "text"):
        assert parts(leaf) is None


def test_a_structure_that_differs_is_refused_by_its_parts_or_keys():
    @dataclasses.dataclass
    class Other:
        w: float
        b: float

    fields = {"w": 1.0, "b": 2.0, "name": None}
    assert list(flatten_up_to(fields, Layer(0.0, 0.0), "it")) == [1.0, 2.0, None]
    assert list(flatten_up_to(np.array([4.0]), [1.0], "it")) == [4.0]
    for tree, model, message in (
        (1.0, [2.0], "it must have 1 parts, as a list of 1 has, got a float$"),
        ([1.0, 2.0], [2.0], "it must have 1 parts, as a list of 1 has, got a list of 2$"),
        ([[1.0], 2.0], [[2.0, 3.0], 2.0], r"it must have 2 parts for \[0\], as a list of 2 has, got a list of 1$"),
        ({"a": 1.0}, {"a": 1.0, "b": 2.0, "c": 3.0}, r"keys \['a', 'b', 'c'\], got a dict of 1, which lacks 'b', 'c'$"),
        ({"a": 1.0, "b": 2.0}, {"a": 1.0}, r"the keys \['a'\], got a dict of 2$"),
        ([1.0], {"a": 1.0}, r"the keys \['a'\], got a list of 1$"),
        (Other(1.0, 2.0), Layer(1.0, 2.0), r"the keys \['w', 'b', 'name'\], got a Other$"),
    ):
        with pytest.raises(ValueError, match=message):
            list(flatten_up_to(tree, model, "it"))


def test_a_function_with_a_method_apply_or_backward_of_its_own_is_called_as_it_is():
    class Square:
        def __call__(self, x):
            return x * x

        forward = __call__

        def apply(self, x):
            return 0.0 * x

        def backward(self, x, g):
            return 2.0 * x * g

    class Doubled:
        apply = None

        def __new__(cls, x):
            return 2.0 * x

    square = Square()
    gradcheck(square, X, vjp=square.backward)
    gradcheck(Doubled, 0.5)
    gradcheck(Pair, X, 2.0, vjp=lambda w, b, g: (g.w, g.b))
    assert make_subject(square.apply, (X,), None, ()).name == "apply"
    assert parameter_names(square.forward, 1) == ["x"]


class Old:
    """A class like an `autograd.Function` of the old style."""

    @classmethod
    def apply(cls, x, *rest):
        return x

    @staticmethod
    def forward(ctx, x, n):
        return x

    backward = forward


class New(Old):
    @staticmethod
    def forward(x, n):
        return x

    setup_context = None


class Plain:
    @classmethod
    def make(cls, x, scale):
        return x

    @classmethod
    def add(cls, x, scale):
        return x

    def method(self, x):
        return x


def test_a_name_is_that_of_the_function_or_of_the_class_that_is_applied():
    for f, name, names in (
        (Old, "Old", ["x", "n"]),
        (New, "New", ["x", "n"]),
        (New.apply, "New", ["x", "n"]),
        (Plain.make, "make", ["x", "scale"]),
        (Plain.add, "add", ["x", "scale"]),
        (functools.wraps(Plain.make)(lambda *args: None), "make", ["x", "scale"]),
        (np.hypot, "hypot", ["x0", "x1"]),
        (functools.partial(math.hypot), "functools.partial(<built-in function hypot>)", ["x0", "x1"]),
    ):
        found = make_subject(f, (0.5, 2), None, ())
        assert (found.name, found.names) == (name, names)
    assert parameter_names(Plain().method, 1) == ["x"]
    assert parameter_names(functools.cache(lambda a, b: a), 2) == ["a", "b"]
    nameless = types.SimpleNamespace(name=3)
    assert make_subject(nameless, (0.5,), None, ()).name == "namespace(name=3)"


def test_a_heading_names_what_has_names_and_code_is_what_has_lines():
    for f, heading, shows in (
        (np.hypot, "gradcheck of hypot at 0.5, 2", ""),
        (lambda a, b: a, "gradcheck of <lambda> at a = 0.5, b = 2", ""),
        (lambda y, z: y, "gradcheck of <lambda> at y = 0.5, z = 2", ""),
        (types.SimpleNamespace(name="def f(x):\n    return x"), "gradcheck of f at 0.5, 2", "def f(x):\n    return x"),
    ):
        found = make_subject(f, (0.5, 2), None, ())
        assert (found.heading, found.code) == (heading, shows)


def test_one_tuple_stays_one_where_f_takes_one_or_does_not_say():
    pair = (X, Y)
    for f in (
        lambda pair: pair,
        lambda pair, scale=1.0: pair,
        lambda pair, scale=1.0, shift=0.0: pair,
        lambda pair, *, keep: pair,
        lambda *pairs: pairs,
        np.array,
        np.add,
    ):
        assert make_subject(f, (pair,), None, ()).args == (pair,)
    for f in (lambda x, y: x, lambda x, y, z=0.0: x, lambda x, y, /: x, operator.mul):
        assert make_subject(f, (pair,), None, ()).args is pair
    for args in (((3.0, 4.0),), ((),)):
        assert make_subject(math.hypot, args, None, ()).args is args, "no arrays are in it"
    for args in ((Pair(X, Y),), ([X, Y],), ((Value(1.0), Value(2.0)),), ((Value(1.0), X),), (pair, X)):
        assert make_subject(lambda x, y: x, args, None, ()).args is args


def test_a_constant_has_a_name_or_a_number_from_either_end():
    def static(*which):
        return make_subject(lambda x, eps: x, (X, 1e-5), None, which).static

    assert static() == frozenset()
    assert static(0) == static(-2) == static("x") == {"x"}
    assert static(1, "eps") == static(-1) == {"eps"}
    for which in (2, -3, "y"):
        with pytest.raises(TypeError, match=rf"static={which!r} is no argument of f, which has x, eps\. Give"):
            static(0, which)


def test_an_argument_is_shown_in_one_line():
    class Listed:
        shape = (2, 3)

        def tolist(self):
            return [[1.0] * 3] * 2

    class Lines:
        def __repr__(self):
            return "two\n   lines"

    assert shown_in_a_line(Listed()) == "Listed[2, 3]"
    assert shown_in_a_line(Lines()) == "two lines"
    assert shown_in_a_line(np.float32(0.5)) == repr(np.float32(0.5))
    assert shown_in_a_line(types.SimpleNamespace(shape=(2,))) == "namespace(shape=(2,))"
    assert shown_in_a_line((1.0, [2.0])) == "(1.0, [2.0])"
    assert shown_in_a_line([(X, 1.0), X]) == "[(float64[2], 1.0), float64[2]]"


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
            return 3 * x.detach() ** 2 * g  # right, but its own derivative is cut off by detach

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
    assert make_subject(cube, (x,), None, ()).names == ["x"]
    with jax.experimental.enable_x64() if hasattr(jax.experimental, "enable_x64") else jax.enable_x64(True):
        gradcheck(lambda x: x**3, jax.numpy.array([0.5, -1.25]), order=2)
    with pytest.raises(NothingCompared, match=r"but x holds integers; write x\.astype\(float\)"):
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


def test_a_module_is_a_function_of_copies_and_what_is_frozen_stays_so(torch):
    linear = torch.nn.Linear(3, 2).double()
    linear.bias.requires_grad_(False)
    x, labels, w = torch.randn(4, 3).double(), torch.arange(4), torch.randn(2, requires_grad=True)
    found = make_subject(linear, (x, labels, w), None, [0])
    parameters, copied, *others = found.args
    assert {name: p.requires_grad for name, p in parameters.items()} == {"weight": True, "bias": False}
    assert parameters["weight"] is not linear.weight
    assert torch.equal(parameters["weight"], linear.weight)
    assert (copied is not x, copied.requires_grad, x.requires_grad) == (True, True, False)
    assert others[0] is labels
    assert others[1] is w
    assert found.names[0] == "parameters"
    assert make_subject(linear, (x,), None, ["parameters"]).static == {"parameters"}
    assert make_subject(linear, (x,), None, [0]).static == {"input"}
    assert shown_in_a_line(x) == "float64[4, 3]"


def test_pytrees_that_jax_knows_are_taken_apart():
    jax = pytest.importorskip("jax")

    @jax.tree_util.register_pytree_node_class
    class Box:
        def __init__(self, *inside):
            self.inside = inside

        def tree_flatten(self):
            return self.inside, None

        @classmethod
        def tree_unflatten(cls, _, inside):
            return cls(*inside)

    for inside in ((), (1.0,), (1.0, [2.0, 3.0])):
        found, rebuild = parts(Box(*inside))
        assert tuple(part for _, part in found) == inside
        assert rebuild([4.0] * len(inside)).inside == (4.0,) * len(inside)
    assert [x for _, x in flatten_pytree({"a": Box(1.0, Box(2.0))})[0]] == [1.0, 2.0]
    for leaf in (None, 1.0, jax.numpy.ones(2), object()):
        assert parts(leaf) is None


@pytest.mark.parametrize("asks", [True, False])
def test_a_wrong_third_derivative_is_found_whether_the_tensor_asks_for_a_gradient_or_not(torch, asks):
    class Derived(torch.autograd.Function):
        """x**n with a given derivative."""

        @staticmethod
        def forward(ctx, x, f, df):
            ctx.save_for_backward(x)
            ctx.df = df
            return f(x)

        @staticmethod
        def backward(ctx, g):
            return g * ctx.df(ctx.saved_tensors[0]), None, None

    def cube(x, third):
        def second(x):
            return Derived.apply(x, lambda x: 6.0 * x, lambda x: third + 0.0 * x)

        return Derived.apply(x, lambda x: x**3, lambda x: Derived.apply(x, lambda x: 3.0 * x**2, second))

    x = torch.tensor([0.5, -1.25], dtype=torch.float64, requires_grad=asks)
    gradcheck(lambda x: cube(x, 6.0), x, order=3)
    gradcheck(lambda x: cube(x, 7.0), x, order=2)
    with pytest.raises(GradientMismatch, match=r"WRONG +dd2f(.*\n)*.*gradcheck\(f, x, order=3\)"):
        gradcheck(lambda x: cube(x, 7.0), x, order=3)


def test_a_derivative_of_higher_order_is_one_by_the_upstream_gradients_too(torch):
    x = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    comparisons, half_precision, _ = compare_arrays(make_subject(lambda x: x**3, (x,), None, ()), {}, 3, None, None, 0)
    assert [comparison.title for comparison in comparisons] == [
        "df/dx",
        *(f"dd1f[0]/d{by}" for by in ("x", "upstream")),
        *(f"dd2f[{k}]/d{by}" for k in (0, 1) for by in ("x", "upstream", "upstream3[0]")),
    ]
    assert [comparison.analytic for comparison in comparisons] == [0.75, 3.0, 0.75, 6.0, 3.0, 3.0, 3.0, 0.0, 0.75]
    assert all(comparison.agrees for comparison in comparisons)
    assert not half_precision
    wrong = compare_arrays(make_subject(lambda x: x.detach() * x, (x,), None, ()), {}, 3, None, None, 0)[0]
    assert [comparison.title for comparison in wrong] == ["df/dx"], "of a wrong gradient no derivative is of use"
    cubes = make_subject(lambda x, n: x**n, (torch.ones(2, dtype=torch.float64), 3), None, ["n"])
    drawn = [compare_arrays(cubes, {}, 2, None, None, seed)[0][4].analytic for seed in range(5)]
    assert len(set(drawn)) > 2, "the seed draws the upstream gradient"
    assert compare_arrays(cubes, {}, 2, None, None, 1)[0][4].analytic == drawn[1]


def test_it_is_said_whether_the_type_is_one_of_few_bits():
    for kind, few in (("float16", True), ("float32", False), ("float64", False)):
        asked = make_subject(lambda x: 2 * x, (np.ones(2, kind),), None, ())
        assert compare_arrays(asked, {"vjp": lambda x, g: 2 * g}, 1, None, None, 0)[1] is few


def test_how_one_tuple_is_taken_is_tried_with_the_keywords_on_copies_and_draws_nothing():
    def f(p, scale=1.0, *, power):
        np.random.random()
        np.add(p[0], 1.0, out=p[0])
        return float((p[0] ** power).sum() * np.sum(scale) + (p[1] ** power).sum())

    x, w = X.copy(), Y.copy()
    before = generator_states()
    found = make_subject(f, ((x, w),), {"power": 2}, ())
    assert found.names == ["p"]
    assert found.args == ((x, w),)
    assert (x == X).all()
    assert (w == Y).all()
    assert generator_states() == before


@pytest.mark.parametrize("drawn_before", [0, 1], ids=["none kept", "a normal number kept"])
@pytest.mark.parametrize("kind", [None, np.random.PCG64, np.random.SFC64, np.random.MT19937])
@pytest.mark.parametrize("draw", [np.random.random, np.random.standard_normal])
def test_a_draw_from_any_generator_of_numpy_is_noticed_and_undone(kind, drawn_before, draw):
    given = np.random.get_bit_generator()
    try:
        if kind is not None:
            np.random.set_bit_generator(kind(3))
        np.random.standard_normal(drawn_before)  # numpy makes two at once, and keeps one
        with restored_generators() as before:
            assert not advanced_generator(before)
            drawn = draw()
            assert advanced_generator(before) == "numpy.random"
            assert advanced_generator(before, generator_states()) == "numpy.random"
        assert not advanced_generator(before)
        assert generator_states() == before
        assert draw() == drawn
    finally:
        np.random.set_bit_generator(given)


def test_a_module_of_another_class_gets_the_parameters_of_the_one_that_it_stands_for(torch):
    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(3, 2).double()

        def forward(self, x):
            return self.linear(x)

    class Rounded(Plain):
        def forward(self, x):
            y = self.linear(x)
            return y + (y.round() - y).detach()

    x = torch.randn(4, 3).double()
    gradcheck(Rounded(), x, like=Plain())
    gradcheck(Plain(), x, like=Plain())
    with pytest.raises(GradientMismatch):
        gradcheck(Rounded(), x)
