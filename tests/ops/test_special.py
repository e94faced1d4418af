"""lgamma, digamma, its derivatives and erfinv agree with mpmath near roots and poles, and compiled with themselves."""

import copy
import math
import pickle
import random

import pytest
from mpmath import mp, mpf

import micrograd_cn as mc
from micrograd_cn import OPS, Value, gradients
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.ops import special, table

ROOTS = [special.ROOT, -0.504083008264455409, -1.573498473162390, -2.610720868444144, -10.687, -100.8]


def near(x, rng):
    """Return floats beside x, some of them its neighbours."""
    steps = [math.ulp(x) * k for k in (-3, -1, 0, 1, 2)] + [2.0 ** -rng.uniform(1, 50) for _ in range(20)]
    return [x + step for step in steps]


def errors(f, exact, xs, allowed=4):
    """Return the numbers at which f is further from the exact value than some units in the last place."""
    with mp.workprec(300):
        return [x for x in xs if abs(mpf(f(x)) - exact(mpf(x))) > allowed * math.ulp(float(exact(mpf(x))))]


def test_lgamma_keeps_its_digits_near_its_roots_1_and_2():
    rng = random.Random(0)
    assert not errors(mc.lgamma, mp.loggamma, [x for root in (1.0, 2.0) for x in near(root, rng)])
    assert mc.lgamma(1.0) == mc.lgamma(2.0) == 0.0


def test_digamma_keeps_its_digits_near_its_positive_root():
    assert not errors(mc.digamma, mp.digamma, near(special.ROOT, random.Random(0)))


@pytest.mark.parametrize("root", ROOTS[1:])
def test_the_error_of_digamma_near_a_negative_root_is_that_of_its_terms(root):
    with mp.workprec(300):
        for x in near(root, random.Random(root)):
            term = mp.digamma(1 - mpf(x))
            exact = mp.digamma(mpf(x))
            assert abs(mpf(mc.digamma(x)) - exact) < 6 * mpf(2) ** -53 * (abs(term) + abs(exact)), x


@pytest.mark.parametrize("order", [1, 2, 3, 4, 6])
def test_derivatives_of_digamma_of_higher_order_are_polygamma(order):
    rng = random.Random(order)
    xs = [*(rng.uniform(0, 20) for _ in range(30)), *(10 ** rng.uniform(-30, 30) for _ in range(20))]
    assert not errors(lambda x: mc.polygamma(order, x), lambda x: mp.psi(order, x), xs, 4 + order)
    below = [-rng.uniform(0, 8) for _ in range(20)]
    with mp.workprec(300):
        for x in below:
            exact, mirrored = mp.psi(order, mpf(x)), mp.psi(order, 1 - mpf(x))
            assert abs(mpf(mc.polygamma(order, x)) - exact) <= 2e-15 * (abs(exact) + abs(mirrored)), x
    x = Value(-2.75)
    node = mc.digamma(x)
    for _ in range(order):
        [node] = gradients(node, [x], create_graph=True)
    assert node.data == mc.polygamma(order, -2.75)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_formula_of_polygamma_has_its_bits_and_compiles(order):
    op = table._polygamma(order)
    xs = [-2.5, -0.125, -1e-300, 0.0, -0.0, 5e-324, 0.3, 1.0, 7.5, 1e10, 1e300, math.inf, -math.inf, -3.0, math.nan]
    w = Value(0.5)
    program = compile(op(w), [w])
    for x in xs:
        y = op.forward(x)
        assert op.lowerings.formula(x).hex() == y.hex(), x
        assert program.forward([(x,)])[0].hex() == y.hex() or y != y, x


@pytest.mark.parametrize("name", ["erfinv", "lgamma", "digamma", "floor"])
def test_scalars_have_the_same_bits_compiled(name):
    rng, w = random.Random(name), Value(0.5)
    program = compile(OPS[name](w), [w])
    for x in [0.0, -0.0, 5e-324, 1.0, -1.0, 8.0, 2.5, 1.5, *(rng.uniform(-9, 9) for _ in range(50)), math.inf]:
        x = x / 9 if name == "erfinv" and abs(x) != 1.0 else x
        assert program.forward([(x,)])[0].hex() == OPS[name](x).hex() or x != x or math.isnan(OPS[name](x)), x


def test_polygamma_of_order_0_is_digamma_and_other_orders_are_refused():
    x = Value(1.5)
    assert mc.polygamma(0, x).op is mc.digamma
    assert str(mc.polygamma(2, x).op) == "<operation polygamma2>"
    assert mc.polygamma(2, x).op.text("x") == "polygamma(2, x)"
    with pytest.raises(ValueError, match="order of at least 0, got -1"):
        mc.polygamma(-1, x)
    with pytest.raises(TypeError, match="takes the order n first, which is an int"):
        mc.polygamma(1.0, x)


def test_polygamma_is_pickled_by_its_order():
    x = Value(1.5)
    op = mc.polygamma(2, x).op
    assert op is pickle.loads(pickle.dumps(op)) is copy.deepcopy(op)


@pytest.mark.parametrize("xs", [[1.0, 2.0, 3.5], [0.0], [1000.0, -1000.0], [3.0, 3.0], [-math.inf, 1.0], [40.0, 0.0]])
def test_log_softmax_is_the_logarithm_of_softmax(xs):
    leaves = [Value(x) for x in xs]
    found = mc.log_softmax(leaves)
    with mp.workprec(3000):
        total = mp.fsum([mp.exp(mpf(x)) for x in xs])
        exact = [float(mpf(x) - mp.log(total)) for x in xs]
        slopes = [[float((i == j) - mp.exp(mpf(x)) / total) for j, x in enumerate(xs)] for i in range(len(xs))]
    assert mc.log_softmax(xs) == [y.data for y in found] == pytest.approx(exact, rel=1e-15, abs=0.0)
    for i, y in enumerate(found):
        assert gradients(y, leaves) == pytest.approx(slopes[i], rel=1e-15, abs=2e-16)


def test_the_percent_sign_is_remainder_and_changes_leaves_like_other_signs():
    x = Value(7.5)
    assert (x % 2).op is mc.remainder
    assert [(x % -2).data, (2 % x).data, (-x % 2).data] == [7.5 % -2, 2 % 7.5, -7.5 % 2]
    with mc.no_grad():
        x %= 2
    assert (x.data, x.op) == (1.5, None)
    with pytest.raises(TypeError, match="no operation for % of a Value and a list"):
        x % [1]
