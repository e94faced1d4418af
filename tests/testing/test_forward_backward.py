"""Gradients as courses write them: a forward and a backward pass, layers, and functions that return a gradient, too."""

import numpy as np
import pytest

from micrograd_cn import Op
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.testing import GradientMismatch, gradcheck
from micrograd_cn.testing.inputs.forward_backward import pair_of_compiled, pair_of_layer

X, W, B = np.arange(6.0).reshape(2, 3) - 2.5, np.array([[1.0, -2.0], [0.5, 3.0], [2.0, 0.25]]), np.array([0.5, -1.0])


def affine(x, w, b, options=None):
    return x @ w + b, (x, w)


def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(0)


def wrong_backward(dout, cache):
    return *affine_backward(dout, cache)[:2], dout.mean(0)


@pytest.mark.parametrize("constants", [(), (None,), ({"pad": 1},), ("text",), (np.arange(3),)], ids=repr)
def test_a_forward_and_a_backward_pass(constants):
    assert gradcheck(affine, X, W, B, *constants, backward=affine_backward)
    with pytest.raises(GradientMismatch, match=r"(?s)gradcheck of affine .*wrong for b.*backward=wrong_backward\)"):
        gradcheck(affine, X, W, B, backward=wrong_backward)
    with pytest.raises(GradientMismatch, match="wrong for b, right for x, w"):
        gradcheck(affine, X, W, B, *constants, backward=wrong_backward)


def test_a_forward_pass_without_a_cache_is_answered():
    with pytest.raises(TypeError, match=r"f must return \(out, cache\), got ndarray.*vjp="):
        gradcheck(lambda x: 2 * x, X, backward=affine_backward)
    with pytest.raises(TypeError, match="give one derivative, not vjp= and backward="):
        gradcheck(affine, X, W, B, backward=affine_backward, vjp=affine_backward)


def test_keyword_arguments_of_a_forward_pass():
    def forward(x, factor):
        return factor * x, factor

    assert gradcheck(forward, X, kwargs={"factor": 3.0}, backward=lambda dout, cache: cache * dout)


class Layer:
    def __init__(self, factor=1.0):
        self.w, self.factor, self.calls = W.copy(), factor, 0

    def forward(self, x):
        self.x = x
        self.calls += 1
        return x @ self.w

    def backward(self, dout):
        found = self.factor * dout @ self.w.T
        self.w -= 0.1 * self.x.T @ dout  # some layers train themselves
        return found


class WithCache:
    def forward(self, x, w):
        return x @ w, (x, w)

    def backward(self, dout, cache):
        x, w = cache
        return dout @ w.T, x.T @ dout


def test_layers():
    layer = Layer()
    assert gradcheck(layer, X)
    assert layer.calls == 0
    assert (layer.w == W).all()
    assert gradcheck(Layer, X)
    assert gradcheck(WithCache(), X, W)
    with pytest.raises(GradientMismatch, match=r"gradcheck of Layer at x = float64\[2, 3\]: wrong for x"):
        gradcheck(Layer(2.0), X)

    class Wrong(WithCache):
        def backward(self, dout, cache):
            return dout @ cache[1].T, 0.0 * cache[1]

    with pytest.raises(GradientMismatch, match="wrong for w, right for x"):
        gradcheck(Wrong, X, W)


class Static:
    @staticmethod
    def forward(x):
        Static.x = x
        return x * x

    @staticmethod
    def backward(dout):
        return 2.0 * Static.x * dout


class OfClass:
    @classmethod
    def forward(cls, x):
        cls.x = x
        return x * x

    @classmethod
    def backward(cls, dout):
        return 2.0 * cls.x * dout


class StaticWithCache:
    @staticmethod
    def forward(x, w):
        return x @ w, (x, w)

    backward = staticmethod(WithCache().backward)


@pytest.mark.parametrize(("layer", "args"), [(Static, [X]), (OfClass, [X]), (StaticWithCache, [X, W])])
def test_the_methods_of_a_layer_may_belong_to_its_class(layer, args):
    assert gradcheck(layer, *args)
    assert gradcheck(layer(), *args)


def test_a_wrong_static_backward_is_found():
    class Wrong(Static):
        @staticmethod
        def backward(dout):
            return 3.0 * Static.x * dout

    with pytest.raises(GradientMismatch, match=r"gradcheck of Wrong .*wrong for x"):
        gradcheck(Wrong, X)


def test_a_second_argument_of_backward_that_is_no_cache_is_answered():
    class Trained:
        def forward(self, x):
            self.x = x
            return x * x

        def backward(self, dout, learning_rate):
            return 2.0 * self.x * dout

    with pytest.raises(TypeError, match=r"backward of Trained needs learning_rate, .* give learning_rate a default"):
        gradcheck(Trained(), X)


def test_an_object_whose_backward_takes_no_gradient_is_a_function():
    class Graph:
        def __call__(self, x):
            return x * x

        forward = __call__

        def backward(self):
            raise AssertionError

    assert repr(gradcheck(Graph(), 2.0)) == "<1 derivative agrees>"


def test_values_after_one_that_is_left_out_reach_the_gradient_of_a_compiled_function():
    def f(x, a=1.0, b=1.0):
        return x * x * a * b

    def g(x, *, b=1.0):
        return x * x * b

    compiled = compile(f)
    assert gradcheck(compiled, 2.0, kwargs={"b": 3.0})
    assert pair_of_compiled(compiled)[1](2.0, 1.0, b=3.0) == 12.0
    for other in (g, lambda x, **options: x * x * options.get("b", 1.0)):
        with pytest.raises(TypeError, match=r"b is keyword-only, .* let f take b as a positional argument"):
            gradcheck(compile(other), 2.0, kwargs={"b": 3.0})


def test_a_compiled_function_takes_any_number_of_arguments_and_constants_among_them():
    def wrong_square(x):
        return Op("bad", lambda x: x * x, (lambda y, x: 2.02 * x,))(x)

    for square in (lambda x: x * x, wrong_square):
        sums = compile(lambda *xs, square=square: sum([square(x) * (k + 1.0) for k, x in enumerate(xs)]))
        powers = compile(lambda x, n, square=square: square(x) * n, static=["n"])
        named = compile(lambda *xs, n=2, square=square: sum(map(square, xs)) * n, static=["n"])
        cases = (sums, (0.5, 3.0, 2.0), {}, 3), (powers, (0.5, 3), {"static": ["n"]}, 1), (named, (0.5, 3.0), {}, 2)
        for f, args, how, count in cases:
            if square is wrong_square:
                with pytest.raises(GradientMismatch):
                    gradcheck(f, *args, **how)
            else:
                assert len(gradcheck(f, *args, **how).comparisons) == count
    with pytest.raises(
        ValueError, match=r"^gradcheck: order= is not for compiled functions; give the function without"
    ):
        gradcheck(sums, 0.5, order=2)


@pytest.mark.parametrize("n", [2, 2.0, (2.0,), "two"])
def test_a_static_argument_of_a_compiled_function_is_a_constant(n):
    """It was called wrong where it has floats: the program has no derivative with respect to it."""
    factor = {2: 2.0, (2.0,): 2.0, "two": 2.0}

    def f(x, n, y):
        return x * y * factor[n]

    assert len(gradcheck(compile(f, static=["n"]), 0.5, n, 3.0).comparisons) == 2
    assert len(gradcheck(compile(f, static=["n"]), 0.5, n, 3.0, static=[0]).comparisons) == 1


def test_a_class_that_needs_arguments_is_answered():
    class Needs(Layer):
        def __init__(self, size):
            super().__init__()

    with pytest.raises(TypeError, match=r"gradcheck\(Needs\(\.\.\.\), x\)"):
        pair_of_layer(Needs)


# A value and a gradient.


def loss(x, y):
    return (x * x).sum() * y, 2 * x * y


def wrong_loss(x, y):
    return (x * x).sum() * y, -5 * x * y


def test_a_function_that_returns_its_value_and_its_gradient():
    assert gradcheck(loss, X, 2, gradient=loss)
    assert gradcheck(loss, X, 2.0, static=["y"], gradient=loss)
    assert gradcheck(np.exp, np.ones(1), gradient=np.exp), "it is its own derivative"
    with pytest.raises(GradientMismatch, match=r"gradcheck of wrong_loss .*wrong for x"):
        gradcheck(wrong_loss, X, 2, gradient=wrong_loss)


@pytest.mark.parametrize("f", [loss, wrong_loss])
def test_an_array_beside_the_value_is_not_taken_for_a_second_result_in_silence(f):
    with pytest.raises(TypeError, match=r"^gradcheck: f returns a number and an array .* gradient=f\)"):
        gradcheck(f, X, 2.0, static=[1])
    gradcheck(lambda x: [(x * x).sum(), 2 * x], X)


def test_the_value_beside_the_gradient_is_checked():
    def value(x, y):
        return loss(x, y)[0]

    assert gradcheck(value, X, 2, gradient=loss)
    for factor in (1.001, 2.0, float("nan")):
        with pytest.raises(GradientMismatch, match=r"returns the value .* with the gradient, but f returns 35"):
            gradcheck(value, X, 2, gradient=lambda x, y, factor=factor: (factor * loss(x, y)[0], loss(x, y)[1]))


def test_gradients_may_leave_out_constants():
    def f(x, w, axis, options):
        return (x * w).sum()

    for df in (
        lambda x, w, *others: (w, x),
        lambda x, w, *others: [w, x],
        lambda x, w, *others: (w, x, None, None),
        lambda x, w, *others: ((x * w).sum(), (w, x)),
        lambda x, w, *others: ((x * w).sum(), [w, x, None, None]),
    ):
        assert gradcheck(f, X, X + 1.0, 0, {"a": True}, gradient=df)
    with pytest.raises(GradientMismatch, match="wrong for w, right for x"):
        gradcheck(f, X, X + 1.0, 0, {"a": True}, gradient=lambda x, w, *others: (w, w))
    assert gradcheck(f, X, X + 1.0, 0, None, static=["w"], gradient=lambda x, w, *others: (w,))
    assert gradcheck(f, X, X + 1.0, 0, None, static=["w"], gradient=lambda x, w, *others: w)
    for df in (lambda x, w, *others: (w, x, None), lambda x, w, *others: (w,)):
        with pytest.raises(ValueError, match=r"must have 4 parts|f takes 4 arguments; .* static=\['w'\]"):
            gradcheck(f, X, X + 1.0, 0, None, gradient=df)


def test_a_derivative_that_leaves_out_an_argument_names_static():
    mask = np.arange(15).reshape(5, 3) % 2

    def drop(x, p):
        return x * mask / p, mask

    def scaled_sum(x, p):
        return (x**2).sum() * p

    ones, pair = np.ones((5, 3)), np.ones(2)
    told = r"but f takes 2 arguments; return a derivative for each, or write static=\['p'\], which names"
    for backward in (lambda d, m: d * m / 0.5, lambda d, m: (d * m / 0.5,), lambda d, m: [d * m / 0.5]):
        with pytest.raises(ValueError, match=f"gradcheck: backward gave .*, {told}"):
            gradcheck(drop, ones, 0.5, backward=backward)
        assert gradcheck(drop, ones, 0.5, backward=backward, static=["p"])
    for kind, derivative in {
        "gradient": lambda x, p: 2 * x * p,
        "vjp": lambda x, p, d: 2 * x * p * d,
        "jacobian": lambda x, p: 2 * x * p,
    }.items():
        with pytest.raises(ValueError, match=f"gradcheck: {kind}= gave a ndarray of shape .2., {told}"):
            gradcheck(scaled_sum, pair, 0.5, **{kind: derivative})
        assert gradcheck(scaled_sum, pair, 0.5, **{kind: derivative}, static=["p"])
    with pytest.raises(ValueError, match=r"write static=\['x'\], which"):
        gradcheck(scaled_sum, pair, 0.5, gradient=lambda x, p: (x**2).sum())
    with pytest.raises(ValueError, match=r"write static=\[\.\.\.\], which"):
        gradcheck(lambda x, p: (x**2).sum() * p[0], pair, pair, gradient=lambda x, p: 2 * x * p[0])


def test_a_layers_derivative_is_called_backward_in_messages():
    class Wide:
        def forward(self, x):
            self.shape = x.shape
            return x.sum()

        def backward(self, dout):
            return np.ones(self.shape[0] + 1)

    with pytest.raises(ValueError, match=r"gradcheck: backward gave an array of shape \(3,\) for x, which has \(2,\)"):
        gradcheck(Wide(), np.ones(2))


def test_a_result_that_a_forward_pass_keeps_elsewhere_is_found():
    kept = {}

    def forward(x):
        kept["y"] = np.tanh(x)
        return kept["y"], None

    class Shared:
        y = None

        def forward(self, x):
            Shared.y = np.tanh(x)
            return Shared.y

        def backward(self, dout):
            return dout * (1 - Shared.y**2)

    with pytest.raises(GradientMismatch, match="changes after calls of f elsewhere: does f store a result"):
        gradcheck(forward, X, backward=lambda dout, cache: dout * (1 - kept["y"] ** 2))
    with pytest.raises(GradientMismatch, match="changes after calls of f elsewhere: does f store a result"):
        gradcheck(Shared(), X)


def test_a_backward_pass_leaves_the_cache_as_it_is():
    def changes_cache(dout, cache):
        found = dout * cache
        cache *= 0.5
        return found

    with pytest.raises(GradientMismatch, match="a second backward pass with the same cache gives another gradient"):
        gradcheck(lambda x: (np.exp(x), np.exp(x)), X, backward=changes_cache)
    assert gradcheck(lambda x: (np.exp(x), [x]), X, backward=lambda dout, cache: dout * np.exp(cache.pop()))


def test_a_layer_may_change_its_state_in_each_backward_pass():
    class Recurrent:
        def forward(self, x):
            self.x, self.later = x, 0.0
            return np.tanh(x)

        def backward(self, dout):
            self.later = self.later + dout
            return self.later * (1 - np.tanh(self.x) ** 2)

    assert gradcheck(Recurrent(), X)
