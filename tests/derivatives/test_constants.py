"""No constants, however large, small or near to each other, make a derivative vanish or overflow.

The constants of random functions are powers of two with all exponents that a float has, their neighbours and
reciprocals, and sums and products of these. Derivatives of all kinds are compared with exact ones. Nothing is compared
where a node of the graph overflows, nor where constants make the derivative of `backward` or nested `grad` inf or 0.
"""

import itertools
import math
import random
from fractions import Fraction

import pytest
from mpmath import mp, mpf

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile, scipy_functions  # noqa: A004 -- the field's name
from micrograd_cn.derivatives.arithmetic import _sum, _times
from micrograd_cn.derivatives.sparse import sparse_gradient
from micrograd_cn.derivatives.sparse import sparse_jacobian as jacobian_entries
from micrograd_cn.engine import topological_order
from micrograd_cn.functional import hessian, jacobian, sparse_hessian, sparse_jacobian

from .exact import PRECISION, Exact

POINT = [1.25, 0.7, -1.6]
ROUNDING, LEAST = 1e-12, 2.0**-1068  # of a derivative: relative to the sum of its terms' sizes, and absolute


def extreme_constant(rng, reach):
    """Return a power of two with an exponent between -reach and reach, or a number that is made from such powers."""

    def power():
        return math.ldexp(1.0, rng.randint(-reach, min(reach, 1023)))

    kind, x = rng.randrange(6), power()
    if kind == 1:
        x = math.nextafter(x, rng.choice([0.0, math.inf]))
    elif kind == 2 and x > 2.0**-1022:
        x = 1.0 / x
    elif kind == 3:
        x += rng.choice([-1.0, 1.0]) * power()
    elif kind == 4:
        x *= power()
    return rng.choice([-1.0, 1.0]) * (x if 0.0 < abs(x) < math.inf else 1.0)


def random_function(seed):
    """Return a function of a list of three numbers, `Value`s or `Exact`, that computes with extreme constants.

    The list that it returns has two numbers.
    """

    def f(v):
        rng = random.Random(seed)
        x, y, w = v
        sine = mc.sin(x) if isinstance(x, Value) else x.sin()
        simple = [x, y, w, x * y, x * w, y * y, x * x * y, sine * w, x / y, 1.0 / w, x**3, y**-2]
        nodes = rng.sample(simple, 3)
        reach = rng.choice([120, 1074])  # with the greater reach, no nodes are multiplied: that would overflow
        for _ in range(rng.randint(1, 5)):
            a, b, kind = rng.choice(nodes), rng.choice(nodes), rng.randrange(7)
            c, d = [extreme_constant(rng, min(reach, 1022) if kind == 3 else reach) for _ in range(2)]
            if rng.random() < 0.5:  # it cancels if a power of two is taken for 1
                d = math.ldexp(math.frexp(c)[0], math.frexp(d)[1])
                nodes.append(rng.choice([a * c - a * d, c * a + b - a * d, -d * a - b + a * c]))
                continue
            if kind == 0:
                nodes.append(a * c + b * d)
            elif kind == 1:
                nodes.append(c * a - a * d)
            elif kind == 2:
                nodes.append(mc.dot([a, b, a], [c, d, -c]) if isinstance(a, Value) else a * c + b * d - a * c)
            elif kind == 3:
                nodes.append(a / c - b)
            elif kind == 4:
                nodes.append(-(a * c))
            elif kind == 5:
                nodes.append(a * b if reach < 1000 else a + b * c)
            else:
                nodes.append(a * c - b * d + a)
        return [nodes[-1], nodes[-1] - rng.choice(nodes) * extreme_constant(rng, reach)]

    return f


class Expected:
    """The derivatives of a function at POINT, exact ones and those of `backward` and nested `grad`.

    Attributes:
        compared: how many derivatives were compared.
        skipped: how many were not compared.
    """

    def __init__(self, f):
        with mp.workprec(PRECISION):
            first, second = f(Exact.variables(*POINT))
        self.eager = [backward(f, 0), backward(f, 1)], hessian(lambda v: f(v)[0])(POINT)
        nodes = topological_order(*f([Value(x) for x in POINT]))
        self.overflows = not all(math.isfinite(node.data) for node in nodes)
        self.matrices = [first.gradient, second.gradient], first.hessian
        self.compared = self.skipped = 0

    def check(self, order, found, structure=None):
        """Compare derivatives of order 1 (a Jacobian, or only its first row) or 2 (a Hessian).

        Every derivative that the engine has right must be right in `found`, a list of rows. If `structure` is given, it
        must have the places of all derivatives that are not zero.
        """
        for i, row in enumerate(found):
            for j, x in enumerate(row):
                exact, size = self.matrices[order - 1][i][j]
                if self.overflows or not is_right(self.eager[order - 1][i][j], exact, size):
                    self.skipped += 1
                    continue
                self.compared += 1
                assert is_right(x, exact, size), f"entry {i}, {j} is {x}, not {float(exact)}"
                if structure and abs(exact) > ROUNDING * size:
                    assert (i, j) in structure


def backward(f, output):
    variables = [Value(x) for x in POINT]
    f(variables)[output].backward()
    return [x.grad for x in variables]


def is_right(x, exact, size):
    with mp.workprec(PRECISION):
        return math.isfinite(x) and abs(mpf(x) - exact) <= ROUNDING * size + LEAST


def places(found):
    return set(zip(found.rows, found.columns, strict=True))


def check_sparse(seed):
    f = random_function(seed)
    expected = Expected(f)
    expected.check(1, jacobian(f)(POINT))
    found = sparse_jacobian(f)(POINT)
    expected.check(1, found.dense(), places(found))
    found = sparse_hessian(lambda v: f(v)[0])(POINT)
    expected.check(2, found.dense(), places(found))
    variables = [Value(x) for x in POINT]
    expected.check(1, [[getattr(x, "data", x) for x in sparse_gradient(f(variables)[0], variables)]])
    return expected


def check_compiled(seed):
    f = random_function(seed)
    expected = Expected(f)
    both, scalar = compile(f), compile(lambda v: f(v)[0])
    rows = [(POINT,)]
    expected.check(1, both.jacobian(rows, dense=True)[0])
    expected.check(1, scalar.gradient(rows))
    expected.check(2, scalar.hessian(rows, dense=True)[0])
    program = scalar.program(POINT)
    (at, columns), [values] = program.hessian_structure(), program.hessian([POINT])
    entries = dict(zip(zip(at, columns, strict=True), values, strict=True))
    expected.check(2, [[entries.get((i, j), 0.0) for j in range(3)] for i in range(3)], entries)
    pytest.importorskip("scipy")
    functions = scipy_functions(scalar, dense=True)
    expected.check(1, [functions["jac"](POINT)])
    expected.check(2, functions["hess"](POINT))
    parameters = [Value(x) for x in POINT]
    of_parameters = compile(lambda one: f(parameters)[0] * one)
    used = of_parameters.program(1.0).parameters
    gradient = dict(zip(used, of_parameters.gradient([(1.0,)], wrt="parameters")[0], strict=True))
    expected.check(1, [[gradient.get(x, 0.0) for x in parameters]])
    return expected


def test_any_two_powers_of_two_differ():
    exponents = range(-1074, 1024)
    pairs = [(low, low + k) for k in range(1, len(exponents)) for low in (max(-1074, -k // 2 - 25),)]
    pairs = [(low, high) for low, high in pairs if high in exponents]
    assert {high - low for low, high in pairs} == {*range(1, len(exponents))}
    x = Value(1.0)
    outputs = [x * math.ldexp(1.0, low) - x * math.ldexp(1.0, high) for low, high in pairs]
    found = jacobian_entries(outputs, [x])
    assert found.rows == [*range(len(pairs))]
    assert found.values == [math.ldexp(1.0, low) - math.ldexp(1.0, high) for low, high in pairs]


def test_the_cases_that_were_zero_modulo_a_mersenne_prime():
    assert compile(lambda x: x * 2.0**-52 - 512 * x).gradient([(1.0,)]) == [[2.0**-52 - 512.0]]
    w = Value(3.0)
    assert compile(lambda x: w * (x / 2**61 - x)).gradient([(1.0,)], wrt="parameters") == [[2.0**-61 - 1.0]]
    product = compile(lambda v: v[0] * v[1] * 2.0**31 - v[0] * v[1] * 2.0**-30)
    slope = 2.0**31 - 2.0**-30
    assert product.hessian([([1.0, 2.0],)], dense=True) == [[[0.0, slope], [slope, 0.0]]]


CHAINS = [*itertools.permutations([1e-200, 1e-200, 1e300, 1e250, -1e-180])][::5]


@pytest.mark.parametrize("factors", CHAINS)
def test_products_of_constants_leave_the_range_of_floats_on_the_way(factors):
    def scaled(u):
        for c in factors:
            u = u * c
        return u

    total, double = pytest.approx(-1e-30, rel=1e-12, abs=0.0), pytest.approx(-2e-30, rel=1e-12, abs=0.0)
    assert sparse_jacobian(lambda v: [scaled(v[0]), scaled(v[0] * v[1])])([1.0, 1.0]).values == [total] * 3
    assert sparse_hessian(lambda v: scaled(v[0] * v[1]))([1.0, 1.0]).values == [total] * 2
    assert compile(lambda x: scaled(x)).gradient([(1.0,)]) == [[total]]
    assert compile(lambda x: scaled(mc.sin(x) * x)).hessian([(0.0,)], dense=True) == [[[double]]]


@pytest.mark.parametrize("factors", CHAINS)
@pytest.mark.parametrize("point", [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0)])
def test_sums_with_such_constants_keep_each_term(factors, point):
    first, second, *others = factors

    def f(v):
        u = v[0] * v[0] * first + v[0] * v[1] * second
        for c in others:
            u = u * c
        return u

    with mp.workprec(PRECISION):
        exact = f(Exact.variables(*point))
    found, twice = sparse_jacobian(lambda v: [f(v)])(point).dense()[0], sparse_hessian(f)(point).dense()
    for i in range(2):
        assert is_right(found[i], *exact.gradient[i])
        for j in range(2):
            assert is_right(twice[i][j], *exact.hessian[i][j])


def test_coefficients_do_not_cancel_by_rounding():
    for order in itertools.permutations([1e100, 1.0, -1e100]):
        assert sparse_jacobian(lambda v, order=order: mc.dot([v, v, v], order))(2.0).values == [1.0]
        assert compile(lambda x, order=order: sum(c * x for c in order)).gradient([(2.0,)]) == [[1.0]]
    assert sparse_jacobian(lambda v: mc.dot([v, v, v], [1e308, 1e308, -1e308]))(2.0).values == [1e308]
    assert sparse_jacobian(lambda v: 1e308 * v + 1e308 * v)(2.0).values == [math.inf]
    assert sparse_jacobian(lambda v: (1e308 * v + 1e308 * v) * 1e-308)(2.0).values == [pytest.approx(2.0)]
    assert str(sparse_jacobian(lambda v: math.inf * v - math.inf * v)(2.0).values) == "[nan]"


@pytest.mark.parametrize(
    ("check", "seeds"),
    [
        (check_sparse, range(150, 300)),  # modulo 2**61 - 1, this and the next line find wrong zeros
        (check_compiled, range(220, 232)),
        pytest.param(check_sparse, range(300, 8000), marks=pytest.mark.slow),
        pytest.param(check_compiled, range(1000, 2000), marks=pytest.mark.slow),
    ],
)
def test_derivatives_with_extreme_constants_are_the_exact_ones(check, seeds):
    compared = skipped = 0
    for seed in seeds:
        try:
            found = check(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        compared, skipped = compared + found.compared, skipped + found.skipped
    assert compared > 5 * skipped


@pytest.mark.parametrize("x", [math.inf, -math.inf, math.nan])
def test_a_coefficient_that_is_not_finite_stays_so_beside_fractions(x):
    for fraction in (Fraction(10**400), Fraction(1, 10**400), Fraction(-(10**400)), Fraction(-1, 10**400)):
        product = x if fraction > 0 else -x
        assert [_times(x, fraction), _times(fraction, x)] == pytest.approx([product] * 2, nan_ok=True)
        assert [_sum([x, fraction]), _sum([fraction, 1.0, x])] == pytest.approx([x] * 2, nan_ok=True)
