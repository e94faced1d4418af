"""Operations that select pass nothing to operands that they did not select, in every kind of code."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

import micrograd_cn as mc
from micrograd_cn import OPS, Value, gradients
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.functional import grad, jvp, sparse_jacobian
from micrograd_cn.losses import binary_cross_entropy
from micrograd_cn.ops import Selection

Function = Callable[[Any], Any]

SINGULAR: dict[str, Function] = {  # each has an infinite or undefined derivative somewhere
    "sqrt": mc.sqrt,
    "log": mc.log,
    "log1p": mc.log1p,
    "reciprocal": lambda x: 1.0 / x,
    "power": lambda x: x**0.5,
    "asin": mc.asin,
    "hypot": lambda x: mc.hypot(x, 0.0),
    "overflow": lambda x: mc.exp(1000.0 * x),
    "x log x": lambda x: x * mc.log(x),
    "times inf": lambda x: 3.0 * (x * math.inf),
    "over zero": lambda x: x / 0.0,
    "dot with inf": lambda x: mc.dot([x, 2.0], [math.inf, x]),
    "plus nan": lambda x: x * math.nan,
}
SELECTING: dict[str, Callable[[Function], Function]] = {
    "f(relu)": lambda f: lambda x: f(x.relu()),
    "f(maximum)": lambda f: lambda x: f(mc.maximum(x, 0.0)),
    "f(minimum)": lambda f: lambda x: f(mc.minimum(x, 1.0)),
    "f(where)": lambda f: lambda x: f(mc.where(mc.less(0.0, x), x, 0.0)),
    "where(f)": lambda f: lambda x: mc.where(mc.less(0.0, x), f(x), 0.0),
    "where(f * x)": lambda f: lambda x: mc.where(mc.less(0.0, x), f(x) * x, x),
    "two choices": lambda f: lambda x: mc.where(mc.less(0.0, x), f(x), 0.0) + mc.where(mc.less(1.0, x), f(x), 0.0),
    "take(f)": lambda f: lambda x: mc.take([f(x), x], mc.less(x, 1.5)),
    "maximum(f)": lambda f: lambda x: mc.maximum(f(x), 1.0),
    "relu(f)": lambda f: lambda x: f(x).relu(),
}
POINTS = [-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0]
every_pair = pytest.mark.parametrize(("selecting", "singular"), list(product(SELECTING, SINGULAR)))


def backward(f: Function, x: float) -> float:
    leaf = Value(x)
    y = f(leaf)
    if y.requires_grad:
        y.backward()
    return leaf.grad


def same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or a == b or math.isclose(a, b, rel_tol=1e-12)


@every_pair
def test_every_way_to_a_derivative_selects_as_backward_does(selecting, singular):
    f = SELECTING[selecting](SINGULAR[singular])
    w = Value(1.0)
    program, parametric = compile(f), compile(lambda x: f(w * x))
    for x in POINTS:
        expected = backward(f, x)
        leaf = Value(x)
        [symbolic] = gradients(f(leaf), [leaf], create_graph=True)
        w.data, w.grad = x, 0.0
        parametric.backward([(1.0,)])
        found = {
            "create_graph": symbolic.data,
            "grad": grad(f)(x),
            "jvp": jvp(f, x, 1.0)[1],
            "jvp of jvp's level": grad(lambda t: jvp(f, t, 1.0)[0])(x),
            "sparse_jacobian": sum(sparse_jacobian(lambda v: [f(v[0])])([x]).values),
            "compiled backward": w.grad,
            "compiled gradient": float(program.gradient([(x,)])[0][0]),
        }
        assert all(same(g, expected) for g in found.values()), (x, expected, found)


@pytest.mark.parametrize("selecting", ["f(relu)", "f(maximum)", "f(minimum)", "f(where)"])
@pytest.mark.parametrize("singular", SINGULAR)
def test_what_was_not_selected_gets_nothing(selecting, singular):
    f = SELECTING[selecting](SINGULAR[singular])
    x = 2.0 if selecting == "f(minimum)" else -1.0
    assert backward(f, x) == 0.0
    leaf = Value(x)
    [first] = gradients(f(leaf), [leaf], create_graph=True)
    assert gradients(first, [leaf]) == [0.0]


@pytest.mark.parametrize("a", [2.0, -2.0])
def test_an_operation_may_select_one_operand_and_multiply_another(a):
    own = mc.Op(
        "own",
        lambda a, b: mc.relu(a) * b * b,
        (
            Selection(
                lambda g, a, b: mc.where(mc.less(0.0, a), g * b * b, 0.0), lambda a, b: b * b if a > 0.0 else None
            ),
            lambda y, a, b: 2.0 * mc.relu(a) * b,
        ),
    )
    plain = lambda a, b: a.relu() * b * b  # noqa: E731 -- the same, of rows of the table
    w, v = Value(a), Value(3.0)
    for f in (own, plain):
        x, y = Value(a), Value(3.0)
        z = f(x, y)
        [da, db] = gradients(z, [x, y], create_graph=True)
        second = gradients(db, [x, y]) if db.requires_grad else [0.0, 0.0]
        w.grad = v.grad = 0.0
        compile(lambda t, f=f: f(w * t, v)).backward([(1.0,)])
        entries = compile(lambda s, t, f=f: f(s, t)).hessian([(a, 3.0)], dense=True)
        relu = max(a, 0.0)
        assert (da.data, db.data) == (9.0 * (a > 0), 6.0 * relu)
        assert second == [6.0 * (a > 0), 2.0 * relu]
        assert (w.grad, v.grad) == (9.0 * (a > 0) * 1.0, 6.0 * relu)
        assert list(entries[0][1]) == [6.0 * (a > 0), 2.0 * relu]


def scaled_relu(scale):
    return mc.Op(
        "own",
        lambda x: mc.where(mc.less(0.0, x), scale * x, 0.0),
        (Selection(lambda g, x: mc.where(mc.less(0.0, x), scale * g, 0.0), lambda x: scale if x > 0.0 else None),),
    )


NEGATIVE, TINY = scaled_relu(-1.0), scaled_relu(1e-200)


@pytest.mark.parametrize(
    ("f", "slope"),  # the function of sqrt(x), and its derivative
    [
        (lambda root: 3.0 * mc.relu(root) + NEGATIVE(root), 2.0),  # what the root gets cancels, without the factor 3
        (lambda root: TINY(TINY(root)) * 1e300, 1e-100),  # what it gets underflows, without the factor 1e300
    ],
)
def test_a_gradient_reaches_a_node_also_where_contributions_cancel_or_underflow(f, slope):
    def of_root(x):
        return f(mc.sqrt(x))

    w, x = Value(4.0), Value(4.0)
    compile(lambda t: of_root(w * t)).backward([(1.0,)])
    [symbolic] = gradients(of_root(x), [x], create_graph=True)
    assert same(backward(of_root, 4.0), slope / 4.0)
    assert same(symbolic.data, slope / 4.0)
    assert same(w.grad, slope / 4.0)
    assert same(grad(grad(of_root))(4.0), -slope / 32.0)


def test_an_operand_beside_the_chosen_one_may_have_any_derivative():
    x, y = Value(2.0), Value(1.0)
    mc.take([mc.asin(x), y], 1).backward()
    assert (x.grad, y.grad) == (0.0, 1.0)


@pytest.mark.parametrize("logit", [-712.0, -740.0, -800.0, 40.0])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_binary_cross_entropy_has_a_gradient_at_every_probability(logit, target):
    x, w = Value(logit), Value(logit)
    binary_cross_entropy(x.sigmoid(), target).backward()
    assert math.isfinite(x.grad)
    compile(lambda t: binary_cross_entropy((w * t).sigmoid(), target)).backward([(1.0,)])
    assert same(w.grad, x.grad)


@pytest.mark.parametrize("op", [op for op in OPS.values() if op.selects], ids=lambda op: op.name)
def test_a_selection_passes_what_its_weight_says(op):
    n = op.arity or 3
    numbers = [-1.0, -0.0, 0.0, 1.0, 2.0, math.inf, -math.inf, math.nan]
    for operands in product(numbers, repeat=n):
        weights = op.local_derivatives(op.forward(*operands), *operands)
        for slot, contribution in enumerate(op.selection(operands)):
            if contribution is None:
                continue
            for g in (1.0, -3.0, math.inf):
                expected = weights[slot] * g if weights[slot] else 0.0
                assert (contribution(g) or 0.0) == expected, (operands, slot, g)


def test_the_operations_that_select_are_those_that_choose_among_operands():
    assert {op.name for op in OPS.values() if op.selects} == {"relu", "where", "maximum", "minimum", "clip", "take"}
    assert isinstance(OPS["relu"].partials[0], Selection)
