"""Symbolic derivatives choose as `backward` does where selections meet: products, sums and derivatives of them."""

import math
import random

import pytest

import micrograd_cn as mc
from micrograd_cn import Value, functional
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.nn import MLP
from micrograd_cn.ops.operation import Selection


def largest_of_both(x):
    n = mc.where(mc.less(0.0, x), mc.sqrt(x), x)
    return mc.maximum(n, -n)


def larger_multiple(x):
    n = mc.where(mc.less(0.0, x), mc.sqrt(x), 0.0)
    return mc.maximum(2.0 * n, n)


def roots_of_what_is_not_selected(x):
    return mc.sqrt(mc.maximum(mc.relu(x), 0.0)) + mc.sqrt(mc.maximum(mc.relu(x), -1.0))


def two_conditions(x):
    r = mc.relu(x)
    return mc.sqrt(mc.where(mc.less(x, 1.0), r, x)) + mc.sqrt(mc.where(mc.less(x, 2.0), r, x))


def polynomial(x):
    n = mc.relu(x * x)
    return n * n - 2.0 * n


FUNCTIONS = [largest_of_both, larger_multiple, roots_of_what_is_not_selected, two_conditions, polynomial]


@pytest.mark.parametrize("f", FUNCTIONS)
@pytest.mark.parametrize("x", [-1.0, -0.5, 0.0, 0.25, 1.0, 3.0])
def test_selections_of_selections_have_the_derivatives_of_backward(f, x):
    """A node that is not selected is left out, even if another selection, or an infinite derivative, multiplies it."""
    leaf = Value(x)
    f(leaf).backward()
    found = [
        functional.sparse_jacobian(f)(x).values,
        *compile(f).gradient([(x,)]),
        *compile(f).jacobian([(x,)], dense=True)[0],
    ]
    for slopes in found:
        assert math.isclose(sum(slopes), leaf.grad, rel_tol=1e-12) or (leaf.grad == slopes[0] == math.inf), slopes


@pytest.mark.parametrize("x", [-2.0, -1.0, 1.0, 1.5])
def test_a_selection_that_is_0_by_chance_keeps_its_derivatives(x):
    """At 1 the derivative of x**4 - 2 * x**2 is 0, and that is no reason to leave out what it is multiplied by."""
    leaf = Value(x)
    program = compile(polynomial(leaf), [leaf])
    second, third = 12.0 * x * x - 4.0, 24.0 * x
    assert program.derivative("gradient").program.jacobian([[x]], dense=True)[0][0] == pytest.approx([second])
    assert program.derivative("hessian").program.jacobian([[x]], dense=True)[0][0] == pytest.approx([third])
    [slope] = functional.sparse_jacobian(polynomial)(leaf).values
    slope.backward()
    assert leaf.grad == pytest.approx(second)


def test_the_units_of_a_layer_share_what_tells_whether_a_gradient_reaches_them():
    """For a wider network, the gradient of relu takes more operations than that of tanh in proportion to the units.

    The units of a layer get their gradients from the same units of the next layer. So one node tells all of them
    whether any of these was selected, instead of one such node for each pair of units.
    """

    def more(width):
        counts = {}
        for activation in ("relu", "tanh"):
            x = [Value(0.1), Value(0.2)]
            program = compile(MLP(2, [width, width, 1], activation=activation, seed=0)(x), x)
            counts[activation] = int(repr(program.derivative("gradient").program).split()[0].replace(",", ""))
        return counts["relu"] - counts["tanh"]

    assert more(32) - more(16) == 2 * (more(16) - more(8))


def operations(program):
    """Return how many operations a program has, as its repr says."""
    return int(repr(program).split()[0].replace(",", ""))


@pytest.mark.parametrize("select", [mc.relu, lambda x: mc.where(mc.less(0.5, x), x, 0.25)])
def test_the_derivative_of_a_long_chain_of_selections_takes_few_operations(select):
    """Whether all of them selected their operand takes two operations for each, and 0 is chosen once, at the end."""

    def chain(length):
        x = y = Value(1.0)
        for k in range(length):
            y = select(y * Value(1.0 + 0.01 * k))
        return operations(compile(y, [x]).derivative("gradient").program) / length

    assert chain(400) <= operations(compile(select(Value(1.0) * 2.0), [])) + 3.1


@pytest.mark.parametrize("kind", ["jacobian", "hessian"])
def test_the_matrices_of_a_network_of_relus_are_not_much_larger_programs_than_those_of_sigmoids(kind):
    """They choose 0 once for a unit, or for a sum, and not once for each path through the network."""
    counts = []
    for activation in ("relu", "sigmoid"):
        xs = [Value(0.1 * k) for k in range(4)]
        loss = MLP(4, [8, 8, 8, 1], activation=activation, seed=0)(xs) ** 2
        counts.append(operations(compile(loss, xs).derivative(kind).program))
    assert counts[0] <= 1.15 * counts[1]


def slopes_of(f, x):
    """Return the derivatives of f at the list x: those of backward, of a sparse Jacobian, and of compiled code."""
    leaves = [*map(Value, x)]
    f(leaves).backward()
    found = functional.sparse_jacobian(f)(x)
    sparse = [0.0] * len(x)
    for column, value in zip(found.columns, found.values, strict=True):
        sparse[column] = value
    program = compile(f)
    return [v.grad for v in leaves], sparse, program.gradient([(x,)])[0], program.jacobian([(x,)], dense=True)[0][0]


ABOVE = {
    "maximum": (lambda v: mc.dot([v[1], 1.0], [mc.maximum(v[0], 3.0), v[0]]), [-1.0, math.inf]),
    "where": (lambda v: mc.dot([mc.exp(v[1]), 1.0], [mc.where(mc.less(0.0, v[0]), v[0], 2.0), v[0]]), [-1.0, 800.0]),
    "two dots": (
        lambda v: mc.dot([v[1], v[1]], [mc.relu(mc.dot([v[0], v[0]], [1.0, v[2]])), mc.relu(v[0])]),
        [-1.0, math.inf, 2.0],
    ),
}


@pytest.mark.parametrize(("f", "x"), ABOVE.values(), ids=ABOVE)
def test_an_infinite_factor_in_a_dot_of_a_selection_reaches_no_unselected_operand(f, x):
    expected, *others = slopes_of(f, x)
    assert not any(map(math.isnan, expected))
    for found in others:
        assert [*map(float, found)] == expected


def dot_of_dots(rng, v, depth):
    """Return a dot of numbers in v, some of them selected or not, and of such dots."""

    def item():
        x = rng.choice(v) if depth == 1 or rng.random() < 0.5 else dot_of_dots(rng, v, depth - 1)
        return rng.choice([mc.relu, lambda x: mc.maximum(x, 0.5), lambda x: x, lambda x: x])(x)

    return mc.dot([item(), item()], [item(), item()])


@pytest.mark.parametrize("seed", range(4))
def test_dots_of_dots_beside_selections_have_the_derivatives_of_backward(seed):
    expected, *others = slopes_of(lambda v: dot_of_dots(random.Random(seed), v, 3), [0.75, -1.25, 2.0])
    for found in others:
        assert [*map(float, found)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("factor", [2.0, -1.0])
def test_the_selection_of_a_users_operation_may_have_a_factor(factor):
    """The factor becomes a coefficient of the derivative, and what remains still tells what was selected."""
    scaled = mc.Op(
        "scaled_relu",
        lambda x: factor * max(x, 0.0),
        (Selection(lambda g, x: factor * mc.where(mc.less(0.0, x), g, 0.0), lambda x: factor if x > 0.0 else None),),
    )
    assert functional.sparse_jacobian(lambda x: mc.sqrt(mc.abs(scaled(x))))(-1.0).values in ([], [0.0])


def test_whether_a_gradient_reaches_a_recurrence_takes_as_many_operations_for_each_step():
    """Each state gets gradients through its own selection and through later states. One node says whether any came."""

    def of_length(n):
        h, w, terms = Value(0.5), Value(1.1), []
        leaves = [h, w]
        for _ in range(n):
            h = mc.tanh(h * w)
            terms.append(mc.relu(h - 0.1))
        return operations(compile(mc.sum(terms), leaves).derivative("gradient").program)

    assert of_length(60) - of_length(40) == of_length(40) - of_length(20)
