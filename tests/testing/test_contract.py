"""What a backward pass promises beside its numbers, each broken once."""

import random

import numpy as np
import pytest

from micrograd_cn.testing import GradientMismatch, NotDeterministic, gradcheck


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("kind", ["float64", "float32", "float16"])
def test_an_upstream_gradient_that_is_forgotten_in_a_scalar_is_found(kind):
    x = np.array([1.25, 1.5], kind)
    gradcheck(lambda x: (x**3).sum(), x, vjp=lambda x, g: 3 * g * x**2)
    with pytest.raises(
        GradientMismatch, match=r"upstream gradient not used: d/dx\[0\] is .* Multiply what is returned"
    ):
        gradcheck(lambda x: (x**3).sum(), x, vjp=lambda x, g: 3 * x**2)
    with pytest.raises(GradientMismatch, match=r"not linear in the upstream gradient: .* Multiply each term"):
        gradcheck(lambda x: x**3, np.array([0.5, 1.0]), vjp=lambda x, g: 3.0 * g * x**2 + 0.5)
    with pytest.raises(GradientMismatch, match=r"with -0\.5 times the upstream gradient 4\.6875, not -2\.34375"):
        gradcheck(lambda x: (x**3).sum(), x, vjp=lambda x, g: 3 * abs(g) * x**2 * (1 if g > 0 else 2))


def test_a_derivative_along_tangents_is_linear_in_them():
    gradcheck(np.tanh, draw(3), jvp=lambda x, t: t * (1 - np.tanh(x) ** 2))
    with pytest.raises(GradientMismatch, match=r"jvp= is not linear in the tangents: -0.5 times them give"):
        gradcheck(np.tanh, draw(3), jvp=lambda x, t: abs(t) * (1 - np.tanh(x) ** 2))


def test_a_gradient_of_chance_is_found_where_ones_as_weights_would_not_show_it():
    noise = np.random.default_rng(0)

    def softmax(x):
        e = np.exp(x - x.max())
        return e / e.sum()

    def vjp(x, g):
        p = softmax(x) * (1 + 1e-3 * noise.normal(size=x.shape))
        return p * (g - (g * p).sum() / p.sum())

    with pytest.raises(NotDeterministic, match="two calls of the gradient"):
        gradcheck(softmax, draw(6), vjp=vjp)


def test_whose_numbers_are_drawn_is_told():
    for draws, name in ((random.random, "random"), (np.random.random, "numpy.random")):
        with pytest.raises(NotDeterministic, match=f"f draws from {name}: seed it inside f"):
            gradcheck(lambda x, draws=draws: (x * draws()).sum(), draw(3), gradient=np.ones_like)


def test_global_generators_go_on_as_if_there_had_been_no_check():
    random.seed(3), np.random.seed(3)
    expected = random.random(), np.random.random()
    random.seed(3), np.random.seed(3)
    with pytest.raises(NotDeterministic):
        gradcheck(lambda x: (x * random.random() * np.random.random()).sum(), draw(3), gradient=np.ones_like)
    assert (random.random(), np.random.random()) == expected


def test_arguments_that_are_integers_may_not_be_changed_either():
    def f(x, rows):
        rows += 1
        return x[rows % 3]

    with pytest.raises(GradientMismatch, match=r"f changes its argument rows; its gradient would be taken"):
        gradcheck(f, draw(3), np.arange(3), vjp=lambda x, rows, g: (g, None))


def test_what_is_kept_from_other_points_does_not_count_here():
    once = {}

    def vjp(x, g):
        once.setdefault("factor", 2 * x)
        return g * once["factor"]

    with pytest.raises(GradientMismatch):
        gradcheck(np.square, draw(4), vjp=vjp)

    last = {}

    def f(x):
        last["x"] = x.copy()
        return x * x

    with pytest.raises((GradientMismatch, NotDeterministic)):
        gradcheck(f, draw(4), vjp=lambda x, g: 2 * g * last["x"])


def test_an_upstream_gradient_need_not_be_contiguous():
    def raw(x, g):
        flat = np.lib.stride_tricks.as_strided(g, (g.size,), (g.itemsize,))  # reads memory in a row
        return 2 * x * flat.reshape(x.shape)

    gradcheck(np.square, draw(3, 4), vjp=lambda x, g: 2 * x * g)
    with pytest.raises(GradientMismatch, match=r"upstream gradient is not contiguous \(\.contiguous\(\) makes it so\)"):
        gradcheck(np.square, draw(3, 4), vjp=raw)


@pytest.mark.parametrize("x", [draw(4, 3).T, draw(6)[::2], np.asfortranarray(draw(3, 4)), draw(4, 3)[:, 1:]])
def test_arguments_keep_their_strides(x):
    found = []

    def f(x):
        found.append(x.strides)
        return x * 1.0

    gradcheck(f, x, vjp=lambda x, g: g)
    assert set(found) == {x.strides}


def test_many_numbers_between_others_are_read_as_they_are():
    x = draw(4000)[::2]
    gradcheck(np.sin, x, vjp=lambda x, g: g * np.cos(x))
    with pytest.raises(GradientMismatch):
        gradcheck(np.sin, x, vjp=lambda x, g: 1.1 * g * np.cos(x))


# PyTorch.


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def square(torch):
    """Return a function that makes a square with the backward pass that is given."""

    def with_backward(backward):
        class Square(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

        Square.backward = staticmethod(backward)
        return Square

    return with_backward


def test_what_a_backward_pass_of_torch_must_stand(torch, square):
    x = torch.randn(3, 4, dtype=torch.float64)
    gradcheck(square(lambda ctx, g: 2 * ctx.saved_tensors[0] * g), x)
    for backward, message in (
        (lambda ctx, g: 2 * ctx.saved_tensors[0] * g.view(-1).view(g.shape), "fails if .* not contiguous"),
        (lambda ctx, g: 2 * ctx.saved_tensors[0] * g.mul_(1.0), "fails if .* expanded, as that of y.sum"),
        (lambda ctx, g: ctx.saved_tensors[0] * g.mul_(2.0), "the backward pass changes the upstream gradient"),
        (lambda ctx, g: 2 * ctx.saved_tensors[0], "upstream gradient not used"),
    ):
        with pytest.raises(GradientMismatch, match=f"gradcheck of Square at x = .*{message}"):
            gradcheck(square(backward), x)


def test_an_upstream_gradient_of_torch_may_be_none(torch):
    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.set_materialize_grads(False)
            return x * x, x.sin()

        @staticmethod
        def backward(ctx, a, b):
            (x,) = ctx.saved_tensors
            return 2 * x * a + x.cos() * b

    with pytest.raises(GradientMismatch, match=r"fails if the upstream gradient is None but for f\[0\]: TypeError"):
        gradcheck(Both, torch.randn(3, dtype=torch.float64))


def test_tensors_keep_their_strides(torch):
    x = torch.randn(3, 4, dtype=torch.float64).T
    found = set()
    gradcheck(lambda x: found.add(x.stride()) or x.sin(), x)
    assert found == {x.stride()}


def test_the_generator_of_torch_goes_on_as_if_there_had_been_no_check(torch):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with pytest.raises(NotDeterministic, match="f draws from torch"):
        gradcheck(lambda x: torch.nn.functional.dropout(x), torch.ones(50))
    assert torch.equal(torch.rand(1), expected)


def test_a_derivative_along_tangents_is_linear_in_each_of_them():
    for k in range(20):
        with pytest.raises(GradientMismatch, match="jvp= is not linear in the tangents"):
            gradcheck(np.tanh, draw(1), jvp=lambda x, t: abs(t) * (1 - np.tanh(x) ** 2), seed=k)
