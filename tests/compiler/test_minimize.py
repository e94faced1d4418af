"""`scipy_functions` gives `scipy.optimize.minimize` what the method calls, and says which functions it takes."""

import warnings

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile, scipy_functions  # noqa: A004 -- the field's name

optimize = pytest.importorskip("scipy.optimize")

# The functions that each method calls, and whether its Hessian must be an array.
METHODS = {
    **dict.fromkeys(["Nelder-Mead", "Powell", "COBYLA", "COBYQA"], ("fun",)),
    **dict.fromkeys(["CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP"], ("fun", "jac")),
    **dict.fromkeys(["Newton-CG", "trust-constr"], ("fun", "jac", "hess", "sparse")),
    **dict.fromkeys(["dogleg", "trust-ncg", "trust-krylov", "trust-exact"], ("fun", "jac", "hess", "array")),
}


def bowl(v):
    """Return a convex function, as dogleg needs it, whose minimum is at (1, -0.5)."""
    return (v[0] - 1) ** 2 + (v[0] - 1) ** 4 + 3 * (v[1] + 0.5) ** 2


def program():
    x, y = Value(0.0), Value(0.0)
    return compile(bowl([x, y]), [x, y])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make", [program, lambda: compile(bowl)], ids=["program", "function"])
def test_every_method_is_given_what_it_calls_and_warns_of_nothing(method, make):
    if method == "COBYQA" and not hasattr(optimize, "_cobyqa_py"):
        pytest.skip("this scipy has no COBYQA")
    names = [name for name in METHODS[method] if name in ("fun", "jac", "hess")]
    for spelling in (method, method.upper()):
        functions = scipy_functions(make(), method=spelling)
        assert [*functions] == [*names, "method"]
        if "hess" in names:
            assert isinstance(functions["hess"](np.zeros(2)), np.ndarray) == ("array" in METHODS[method])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = optimize.minimize(x0=[0.0, 0.0], **functions)
    assert found.x == pytest.approx([1.0, -0.5], abs=2e-3)


def test_without_a_method_there_are_all_functions_as_before():
    for dense in (None, False, True):
        functions = scipy_functions(program(), dense)
        assert [*functions] == ["fun", "jac", "hess"]
        assert isinstance(functions["hess"]([0.0, 0.0]), np.ndarray) == bool(dense)
    assert isinstance(scipy_functions(program(), method="trust-constr", dense=True)["hess"]([0, 0]), np.ndarray)
    assert not isinstance(scipy_functions(program(), method="trust-exact", dense=False)["hess"]([0, 0]), np.ndarray)


@pytest.mark.filterwarnings("ignore:Method nonsense does not use Hessian")
def test_a_method_that_scipy_does_not_have_is_passed_on_to_scipy():
    with pytest.raises(ValueError, match="Unknown solver nonsense"):
        optimize.minimize(x0=[0.0, 0.0], **scipy_functions(program(), method="nonsense"))

    def method_of_ones_own(fun, x0, args, jac, hess, **options):
        return optimize.OptimizeResult(x=x0 - np.linalg.solve(hess(x0).toarray(), jac(x0)), fun=fun(x0))

    found = optimize.minimize(x0=[1.0, 3.0], **scipy_functions(program(), method=method_of_ones_own))
    assert found.x == pytest.approx([1.0, -0.5])


@pytest.mark.parametrize("method", [None, "BFGS", "Powell", "trust-exact"])
@pytest.mark.parametrize("name", ["fun", "jac", "hess"])
def test_several_outputs_are_refused_with_what_to_compile_instead(method, name):
    x = Value(0.0)
    message = (
        "scipy_functions.. needs one output, the number to minimise, but .*; compile one Value, such as the sum of"
    )
    for outputs in ([x * x, x], [x * x]):
        with pytest.raises(ValueError, match=message):
            scipy_functions(compile(outputs, [x]), method=method)

    def residuals(v):
        return {"a": v[0] * v[0]}

    for f in (compile(lambda v: [v[0], v[1]]), compile(residuals), compile(lambda v: v * v)):
        functions = scipy_functions(f, method=method)
        if name in functions:
            with pytest.raises(ValueError, match=message):
                functions[name](np.ones(2))
    assert scipy_functions(compile(lambda v: mc.sum([r * r for r in residuals(v).values()])))["fun"]([2.0]) == 16.0


def test_a_function_of_several_arguments_is_refused_with_the_function_to_write():
    with pytest.raises(
        TypeError, match=r"one argument, a vector, got f\(a, b, c=1\); write compile\(lambda v: f\(v\[0\], v\[1\]\)"
    ):
        scipy_functions(compile(f))
    with pytest.raises(TypeError, match="one argument"):
        scipy_functions(compile(lambda: 1.0))
    assert scipy_functions(compile(lambda v, c=2: v[0] * c))["fun"]([3.0]) == 6.0


def f(a, b, c=1):
    return a * b * c


def test_a_constant_is_refused_where_a_gradient_is_needed():
    assert scipy_functions(compile(lambda v: 3.0), method="Powell")["fun"]([1.0]) == 3.0
    x = Value(1.0)
    fixed = compile(Value(3.0, requires_grad=False) * 1.0, [x])
    assert scipy_functions(fixed, method="COBYLA")["fun"]([1.0]) == 3.0
    for method in (None, "CG", "dogleg"):
        with pytest.raises(RuntimeError, match="has no gradient"):
            scipy_functions(fixed, method=method)


def test_a_plain_function_is_refused_with_what_to_write():
    with pytest.raises(TypeError, match=r"compiled function, got bowl; write scipy_functions\(compile\(f\), ...\)"):
        scipy_functions(bowl)


def test_the_value_and_the_gradient_are_those_of_the_parameters_that_there_are():
    """Value and gradient at a point are computed together, and again if a parameter or the sign of 0 changes."""
    w = Value(2.0)
    functions = scipy_functions(compile(lambda v: w * v[0] * v[0] + 1 / v[1]))
    for data in (2.0, 3.0):
        w.data = data
        for second, slope in ((1.0, -1.0), (2.0, -0.25)):
            assert functions["fun"]([1.5, second]) == data * 2.25 + 1 / second
            assert functions["jac"]([1.5, second]).tolist() == [data * 3.0, slope]
    assert functions["fun"]([1.0, 0.0]) == np.inf
    assert functions["fun"]([1.0, -0.0]) == -np.inf
    found = functions["jac"]([1.5, 2.0])
    found[:] = 7.0
    assert functions["jac"]([1.5, 2.0]).tolist() == [9.0, -0.25]


def test_scipy_builds_the_structure_of_sparse_hessians_once(monkeypatch):
    """Only entries are written for each further matrix; no matrix shares memory with another one."""
    sparse = pytest.importorskip("scipy.sparse")
    built = []
    original = sparse.coo_array.tocsr
    monkeypatch.setattr(sparse.coo_array, "tocsr", lambda self, *rest: built.append(self) or original(self, *rest))

    def chain(v):
        return mc.sum([(v[i + 1] * v[i]) ** 2 + v[i] ** 3 for i in range(4)]) + v[0] * v[4] * v[2]

    hess = scipy_functions(compile(chain), method="Newton-CG")["hess"]
    points = np.random.default_rng(0).normal(size=(4, 5))
    found = [hess(x) for x in points]
    assert len(built) == 1
    dense = scipy_functions(compile(chain), dense=True)["hess"]
    for x, matrix in zip(points, found, strict=True):
        assert matrix.has_canonical_format
        assert matrix.toarray().tolist() == dense(x).tolist()
    found[0].data[:] = 0.0
    found[0].eliminate_zeros()
    found[1].indices[:] = found[1].indices[::-1].copy()
    assert hess(points[2]).toarray().tolist() == found[2].toarray().tolist() == dense(points[2]).tolist()
    assert (hess(points[3]) - found[3]).nnz == 0
    assert hess([1.0, 2.0, 3.0, 4.0, 5.0]).shape == (5, 5)


def test_each_vector_gets_the_program_of_its_length_and_of_its_branch():
    def f(v):
        total = mc.sum([x * x for x in v])
        return 3.0 * total if v[0] > 0 else total

    functions = scipy_functions(compile(f, branches=True))
    for _ in range(2):
        for first, factor in ((1.0, 3.0), (-1.0, 1.0)):
            for n in (2, 3):
                x = np.array([first] + [2.0] * (n - 1))
                assert functions["fun"](x) == factor * (1 + 4 * (n - 1))
                assert functions["jac"](x).tolist() == (2 * factor * x).tolist()
                assert functions["hess"](x).toarray().tolist() == (2 * factor * np.eye(n)).tolist()
    plain = scipy_functions(compile(lambda v: mc.sum([x * x for x in v])), method="trust-exact")
    for n in (2, 3, 2):
        assert plain["hess"](np.ones(n)).tolist() == (2 * np.eye(n)).tolist()
        assert plain["jac"](np.ones(n)).tolist() == [2.0] * n


@pytest.mark.parametrize("name", ["fun", "jac", "hess"])
def test_a_number_that_has_changed_is_noticed(name):
    """A barrier method, for example, minimises the same function for one weight of the barrier after the other."""
    weight = 1.0
    f = compile(lambda v: v[0] ** 2 - weight * v[0])
    for functions in (scipy_functions(f), scipy_functions(f)):
        functions[name](np.array([2.0]))
    weight = 0.1
    for again in (functions, scipy_functions(f)):
        with pytest.raises(ValueError, match="is not what it was when its program was made"):
            again[name](np.array([2.0]))


def test_a_method_in_the_place_of_dense_is_refused():
    for f in (compile(bowl), compile(Value(2.0) ** 2, [])):
        with pytest.raises(TypeError, match=r"dense must be True or False, got .*; write method='Newton-CG'"):
            scipy_functions(f, "Newton-CG")
    with pytest.raises(TypeError, match=r"dense must be True or False, got .*; write method=\.\.\."):
        scipy_functions(compile(bowl), optimize.minimize)
    with pytest.raises(TypeError, match=r"takes no samples.*write scipy_functions\(compile\(f\)\)"):
        scipy_functions(compile(bowl), (np.arange(2000.0), np.arange(2000.0)))
    as_number = scipy_functions(compile(bowl), 1)
    assert as_number["hess"](np.ones(2)).tolist() == scipy_functions(compile(bowl), True)["hess"](np.ones(2)).tolist()
