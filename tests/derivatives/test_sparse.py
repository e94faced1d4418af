"""Sparse derivatives have no entry too few and none too many, and the numbers of the dense ones."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.derivatives.sparse import LinearisedGraph, sparse_gradient
from micrograd_cn.derivatives.sparse import sparse_hessian as hessian_entries
from micrograd_cn.functional import Sparse, grad, hessian, jacobian, sparse_hessian, sparse_jacobian
from micrograd_cn.testing.drawing.expressions import expressions


def places(found):
    return set(zip(found.rows, found.columns, strict=True))


def nonzero(matrices):
    """Return the places where one of the matrices is not zero, rounding aside."""
    found = set()
    for matrix in matrices:
        size = max([abs(x) for row in matrix for x in row if math.isfinite(x)], default=0.0)
        found |= {(i, j) for i, row in enumerate(matrix) for j, x in enumerate(row) if abs(x) > 1e-11 * size}
    return found


def largest(numbers):
    return max([abs(x) for x in numbers if math.isfinite(x)], default=0.0)


def assert_same(sparse, dense, near=None):
    """Compare two matrices, up to rounding. `near` is the dense matrix at a point that differs in the last bits.

    An entry such as the second derivative of asin(sin(x)) is nothing but rounding. How much, its change from the one
    point to the other shows.
    """
    size = largest(x for row in dense for x in row)
    noise = (
        largest(x - y for rows in zip(dense, near, strict=True) for x, y in zip(*rows, strict=True)) if near else 0.0
    )
    for ours, theirs in zip(sparse.dense(), dense, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            # an entry that is left out is 0.0, even if the dense one is 0 * inf, which is nan
            assert a == pytest.approx(b, rel=1e-9, abs=1e-11 * size + 1e-13 + 10.0 * noise, nan_ok=True) or (
                a == 0.0 and b != b
            )


SMOOTH = [
    *(lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / (2.0 + b * b), lambda a, b: 3.0 * a),
    *(lambda a, b: a**2, lambda a, b: a**3, lambda a, b: -a, lambda a, b: mc.sin(a), lambda a, b: mc.exp(mc.tanh(b))),
    *(lambda a, b: mc.dot([a, b], [b, 2.0], a), lambda a, b: mc.sum([a, b, a, 1.0]), lambda a, b: mc.logsumexp([a, b])),
]
KINKED = [
    *(lambda a, b: mc.relu(a), lambda a, b: mc.maximum(a, b), lambda a, b: mc.where(mc.less(a, b), a * b, b)),
    *(lambda a, b: mc.abs(a - b), lambda a, b: mc.less(a, b), lambda a, b: mc.take([a, b, a * b], mc.step(a) + 1.0)),
]


def random_graph(seed, kinds):
    """Return a function from a list of numbers to a list of results, whose graph has shared parts."""

    def f(xs):
        rng = random.Random(seed)
        nodes = list(xs)
        for _ in range(rng.randint(2, 14)):
            nodes.append(rng.choice(kinds)(rng.choice(nodes), rng.choice(nodes)))
        return [mc.sum([nodes[-1], rng.choice(nodes)]), rng.choice(nodes), nodes[-1]]

    return f


def points(seed, count=24, n=4):
    rng = random.Random(f"points {seed}")
    return [[rng.uniform(-1.6, 1.6) for _ in range(n)] for _ in range(count)]


@pytest.mark.parametrize("seed", range(40))
def test_an_entry_is_in_the_structure_if_and_only_if_some_point_makes_it_nonzero(seed):
    f, at = random_graph(seed, SMOOTH), points(seed)
    found = sparse_jacobian(f)(at[0])
    assert places(found) == nonzero(map(jacobian(f), at))
    found = sparse_hessian(lambda xs: f(xs)[0])(at[0])
    assert places(found) == nonzero(map(hessian(lambda xs: f(xs)[0]), at))


@pytest.mark.parametrize(
    "seed", [*range(15), 187, 291, 452, *(pytest.param(k, marks=pytest.mark.slow) for k in range(15, 40))]
)
def test_no_entry_is_lost_where_a_graph_chooses(seed):
    f, at = random_graph(seed, SMOOTH + KINKED * 2), points(seed)
    for xs in at[:3]:  # the structure is the same wherever it is recorded
        found = sparse_jacobian(f)(xs)
        assert places(found) >= nonzero(map(jacobian(f), at))
        assert_same(found, jacobian(f)(xs))
        found = sparse_hessian(lambda xs: f(xs)[0])(xs)
        assert places(found) >= nonzero(map(hessian(lambda xs: f(xs)[0]), at))
        assert_same(found, hessian(lambda xs: f(xs)[0])(xs))


@settings(max_examples=60, deadline=None)
@given(expressions(max_inputs=4, min_value=-50.0, max_value=50.0))
def test_the_numbers_are_those_of_the_dense_derivatives(f):
    def of(xs):
        return f(*xs)

    xs = list(f.point)
    near = [math.nextafter(x, 0.0) for x in xs]
    assert_same(sparse_hessian(of)(xs), hessian(of)(xs), hessian(of)(near))
    assert_same(sparse_jacobian(lambda v: [of(v), v[0]])(xs), jacobian(lambda v: [of(v), v[0]])(xs))


ALIKE = {  # in each, operations differ in one small thing that matters
    "a factor twice the other": lambda x, y, z: (2.0 * x) * x + y * z + z * y,
    "a factor twice the other, after": lambda x, y, z: y * z + z * y + (2.0 * x) * x,
    "a square first": lambda x, y, z: x * x + x * y + y * y * z,
    "a square after": lambda x, y, z: x * y + x * x + (z * z) * y,
    "another power": lambda x, y, z: x**2 + y**3 + z**2 * y**1 + x**0 + (x * y) ** 2,
    "a base that is zero": lambda x, y, z: (x - x) ** 2 + y**2 + (x + z) ** 2,
    "an exponent that is none": lambda x, y, z: x**y + (x + 1.0) ** 2 + y**z,
    "signs": lambda x, y, z: (x - y) ** 2 - (y - x) * z - (1.0 - y) * (y - 1.0),
    "a number on either side": lambda x, y, z: (3.0 - x) ** 2 + (x - 3.0) ** 2 * y + (z / 4.0) * (4.0 / z),
    "one times": lambda x, y, z: (1.0 * x) * y + (x * 1.0) * (z * 5.0) + (5.0 * z) * y,
}


@pytest.mark.parametrize("f", ALIKE.values(), ids=ALIKE)
def test_operations_that_are_not_quite_alike_have_derivatives_of_their_own(f):
    point = [0.75, 1.5, 2.25]
    for order in itertools.permutations(range(3)):

        def turned(xs, order=order):
            return f(*[xs[k] for k in order])

        assert_same(sparse_hessian(turned)(point), hessian(turned)(point))
        assert_same(sparse_jacobian(lambda xs: [turned(xs)])(point), [grad(turned)(point)])


@pytest.mark.parametrize("zeros", [(0.0, -0.0), (-0.0, 0.0)])
def test_quotients_by_zeros_of_either_sign_have_derivatives_of_their_own(zeros):
    x, y = Value(1.0), Value(1.0)
    found = sparse_gradient(x / zeros[0] + y / zeros[1], [x, y])
    assert found == [math.copysign(math.inf, zero) for zero in zeros]


@pytest.mark.parametrize("partials", ["partials", "local_derivatives"])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow"])
def test_a_user_row_has_the_derivatives_of_the_row_that_it_copies(name, partials):
    """One function for all partials also computes those with respect to operands that depend on no variable."""
    op = mc.OPS[name]
    arities = (2,) if partials == "local_derivatives" else ()
    copied = Op(name + "_", op.forward, getattr(op, partials), arities=arities, lowerings=op.lowerings)

    def results(row, xs):
        a, b = xs
        fixed = Value(3.0)
        return [row(a, b), row(a, fixed), row(fixed, b), row(a, 2.0), row(2.0, b), row(row(b, fixed), a)]

    ours, theirs = [sparse_jacobian(lambda xs, row=row: results(row, xs))([2.0, 5.0]) for row in (copied, op)]
    assert (ours.rows, ours.columns) == (theirs.rows, theirs.columns)
    a, b = [[x.data if isinstance(x, Value) else x for x in found.values] for found in (ours, theirs)]
    assert a == pytest.approx(b, rel=1e-15)


def test_the_numbers_are_those_of_central_differences():
    def f(v):
        return mc.exp(v[0] * v[1]) / (1.0 + v[2] ** 2) + mc.log(v[3]) * mc.sin(v[0]) + mc.atan2(v[2], v[3]) * v[1]

    xs, h = [0.3, -0.7, 1.1, 0.8], 1e-5
    found = sparse_hessian(f)(xs).dense()
    for j in range(4):
        ahead, behind = (grad(f)([x + s * h * (i == j) for i, x in enumerate(xs)]) for s in (1, -1))
        assert [row[j] for row in found] == pytest.approx(
            [(a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True)], abs=1e-8
        )


# `sparse_jacobian` and `sparse_hessian` of functions


def test_rows_and_columns_are_in_order_and_the_triangle_is_mirrored():
    def f(v):
        return v["a"] * v["b"][0] ** 2 * v["b"][1] + v["c"]

    at = {"a": 2, "b": [3, 5], "c": 7}
    found, lower = sparse_hessian(f)(at), sparse_hessian(f, lower=True)(at)
    assert list(zip(found.rows, found.columns, strict=True)) == sorted(places(found))
    assert found == Sparse(
        [30.0, 9.0, 30.0, 20.0, 12.0, 9.0, 12.0], [0, 0, 1, 1, 1, 2, 2], [1, 2, 0, 1, 2, 0, 1], (4, 4)
    )
    assert lower == Sparse([30.0, 20.0, 9.0, 12.0], [1, 1, 2, 2], [0, 1, 0, 1], (4, 4))
    found = sparse_jacobian(lambda x, y: {"u": [y[0] * x], "v": 3.0, "w": x}, argnums=(1, 0))(2, [5, 1])
    assert found == Sparse([2.0, 5.0, 1.0], [0, 0, 2], [0, 2, 2], (3, 3))


def test_sparse_derivatives_are_differentiated_by_other_levels():
    def f(v, w):
        return w * v[0] ** 3 * v[1] + w**2 * v[1] ** 2

    def outer(w):
        return mc.sum(sparse_hessian(f)([2.0, w], w).values)

    def dense(w):
        return mc.sum([x for row in hessian(f)([2.0, w], w) for x in row])

    assert (grad(outer)(3.0), grad(grad(outer))(3.0)) == (grad(dense)(3.0), grad(grad(dense))(3.0))
    w = Value(3.0)
    outer(w).backward()
    assert w.grad == grad(dense)(3.0)
    with mc.no_grad():
        assert sparse_hessian(lambda x: x**3)(2.0).values == [12.0]
        assert not outer(w).requires_grad


def test_mistakes_are_named():
    for f, args, exception, message in (
        (sparse_hessian(lambda v: v), ([1.0],), TypeError, "sparse_hessian: the function returned list"),
        (sparse_hessian(lambda *v: v[0], 1), (1.0,), ValueError, "sparse_hessian: argnums"),
        (sparse_jacobian(lambda v: ["no"]), (1.0,), TypeError, r"sparse_jacobian: output\[0\]"),
        (sparse_jacobian(lambda v: v), ("1",), TypeError, "sparse_jacobian: argument 0"),
    ):
        with pytest.raises(exception, match=message):
            f(*args)
    with pytest.raises(TypeError, match="argnums must be an int"):
        sparse_hessian(lambda v: v, "0")


def test_there_may_be_no_variables_and_no_outputs():
    assert sparse_jacobian(lambda v: [])([1.0, 2.0]) == Sparse([], [], [], (0, 2))
    assert sparse_hessian(lambda v: Value(1.0) ** 2)([]) == Sparse([], [], [], (0, 0))
    assert Sparse([], [], [], (0, 2)).dense() == []


# Adjoints and coefficients


def test_adjoints_may_be_those_of_interior_nodes_alone():
    x, y = Value(0.5), Value(2.0)
    output = mc.exp(x * y) * x + y * y

    def found(first):
        adjoints = LinearisedGraph([output], [x, y]).adjoints(output, first)
        return [a and (a[0], a[1] and a[1].data, a[2]) for a in adjoints]

    assert None not in found(0)
    assert found(2) == [None, None, *found(0)[2:]]


def test_a_factor_that_is_a_product_itself_is_no_coefficient_of_like_operations():
    xs = [Value(x) for x in (2.0, 3.0, 5.0)]
    y = sum((k * x) * x for k, x in enumerate(xs, 2))  # the partial of the second factor is the first, k * x
    assert [getattr(g, "data", g) for g in sparse_gradient(y, xs)] == [8.0, 18.0, 40.0]
    found = hessian_entries(y, xs)
    assert (found.rows, found.columns) == ([0, 1, 2], [0, 1, 2])
    assert [getattr(h, "data", h) for h in found.values] == [4.0, 6.0, 8.0]


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("toarray", r"sparse\.dense\(\)"),
        ("todense", r"sparse\.dense\(\)"),
        ("tocsr", r"scipy\.sparse\.coo_array\(\(sparse\.values, "),
        ("data", r"sparse\.values$"),
        ("T", r"Sparse\(sparse\.values, sparse\.columns, sparse\.rows"),
    ],
)
def test_attributes_of_scipys_sparse_matrices_say_what_to_write(name, write):
    sparse = Sparse([5.0], [0], [1], (1, 2))
    with pytest.raises(AttributeError, match=f"^Sparse has no {name}; write {write}"):
        getattr(sparse, name)
    assert not hasattr(sparse, "anything")
