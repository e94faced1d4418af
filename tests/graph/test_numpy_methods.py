"""numpy's functions work on arrays of `Value`s, or say what to write instead."""

import itertools
import math

import numpy as np
import pytest

import micrograd_cn
from micrograd_cn import Value, gradients, maximum, no_grad
from micrograd_cn.compiler import compile as compile_function
from micrograd_cn.functional import grad
from micrograd_cn.graph.numpy_methods import FUNCTIONS, INSTEAD, NumpyMethods

ONE = ["arcsin", "arccos", "arctan", "fabs", "exp2", "deg2rad", "rad2deg", "radians", "degrees", "conjugate"]
TWO = ["arctan2", "hypot"]
NONE = ["log2", "log10", "cbrt", "arcsinh", "arccosh", "arctanh", "rint"]
NONE_OF_TWO = ["fmod", "logical_xor"]
POINTS = [-0.75, -0.25, 0.5]


def slope(f, x):
    return (f(x + 1e-6) - f(x - 1e-6)) / 2e-6


def test_every_method_is_tested_here():
    assert {name for name in vars(NumpyMethods) if not name.startswith("_")} == {*ONE, *TWO, *NONE, *NONE_OF_TWO}


@pytest.mark.parametrize("name", ONE)
def test_a_function_of_one_array_has_numpys_values_and_slopes(name):
    f = getattr(np, name)
    xs = np.array([Value(x) for x in POINTS])
    ys = f(xs)
    assert [y.data for y in ys] == pytest.approx(f(np.array(POINTS)).tolist(), rel=1e-15)
    for x, y in zip(xs, ys, strict=True):
        assert gradients(y, [x]) == pytest.approx([slope(f, x.data)], rel=1e-8)
    assert f(Value(0.5)).data == pytest.approx(f(0.5), rel=1e-15)
    assert compile_function(lambda x: f(x))(0.5) == pytest.approx(f(0.5), rel=1e-15)


@pytest.mark.parametrize("name", TWO)
def test_a_function_of_two_arrays_has_numpys_values_and_slopes(name):
    f = getattr(np, name)
    xs = np.array([Value(x) for x in POINTS])
    ys = f(xs, 2.0)
    assert [y.data for y in ys] == pytest.approx(f(np.array(POINTS), 2.0).tolist(), rel=1e-15)
    for x, y in zip(xs, ys, strict=True):
        assert gradients(y, [x]) == pytest.approx([slope(lambda t: f(t, 2.0), x.data)], rel=1e-8)


def test_floor_and_remainder_are_those_of_python():
    xs = np.array([Value(x) for x in (-0.75, 2.5)])
    for floor, expected in ((np.floor, [-1.0, 2.0]), (np.ceil, [-0.0, 3.0])):
        assert [y.data.hex() for y in floor(xs)] == [floor(x).data.hex() for x in xs] == [y.hex() for y in expected]
        assert gradients(floor(xs)[1] * xs[1], [xs[1]]) == [expected[1]]
        assert compile_function(lambda x, floor=floor: floor(x) * x)(2.5) == 2.5 * expected[1]
    assert (math.floor(xs[0]).data, math.ceil(xs[1]).data) == (-1.0, 3.0)
    for ys in (xs % 2, np.mod(xs, 2.0), np.remainder(xs, np.array([Value(2.0)]))):
        assert [y.data for y in ys] == [1.25, 0.5]
        assert gradients(ys[1], [xs[1]]) == [1.0]
    assert [y.data for y in 2 % xs] == [2 % -0.75, 2.0]
    assert gradients(np.logaddexp(xs[1], 2.5), [xs[1]]) == [0.5]
    assert np.mod(7, Value(4.0)).data == (np.array([7.0]) % Value(4.0))[0].data == 3.0


def test_variance_and_standard_deviation():
    xs = np.array([Value(1), Value(3), Value(8)])
    assert np.var(xs).data == pytest.approx(np.var([1, 3, 8]), rel=1e-15)
    y = np.std(xs)
    assert y.data == pytest.approx(np.std([1, 3, 8]), rel=1e-15)
    assert gradients(y, [xs[2]]) == pytest.approx([slope(lambda t: np.std([1, 3, t]), 8)], rel=1e-8)


@pytest.mark.parametrize("name", NONE)
def test_a_function_without_an_operation_says_what_to_write(name):
    x = Value(1.5 if name == "arccosh" else 0.5)
    with pytest.raises(
        TypeError, match=rf"^np\.{name}\(\) of a Value: there is no operation for it; write (.*)$"
    ) as found:
        getattr(np, name)(np.array([x]))
    code = found.value.args[0].partition("; write ")[2].partition(", ")[0]
    if name == "arcsinh":
        code = "(x + hypot(x, 1)).log()"
    y = eval(code, {"x": x, "math": math, "hypot": __import__("micrograd_cn").hypot})
    assert getattr(y, "data", y) == pytest.approx(getattr(np, name)(x.data), rel=1e-12)


X, Y = 0.75, 1.5


def arguments(name):
    """Return Values in the domain of numpy's function `name`, as many as it takes."""
    x = Value(1.75 if name == "arccosh" else X)
    return [x, Value(Y)][: getattr(np, name).nin]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_numpy_takes_values_beside_all_kinds_of_numbers_and_arrays(name):
    f, values = getattr(np, name), arguments(name)
    points = [v.data for v in values]
    expected = f(*points)
    y = f(*values)
    if isinstance(y, Value):
        assert y.data == pytest.approx(expected, rel=1e-15)
        for i, (x, d) in enumerate(zip(values, gradients(y, values), strict=True)):
            slopes = slope(lambda t, i=i: f(*points[:i], t, *points[i + 1 :]), x.data)
            assert d == pytest.approx(slopes, rel=1e-8, abs=1e-8)
    elif name not in ("equal", "not_equal"):  # these go by identity
        assert y == expected
    if f.nin == 1:
        return
    x, y = values
    for other in (
        np.float64,
        np.float32,
        np.longdouble,
        float,
        np.array,
        lambda t: np.array([[t, 2.0]]),
        lambda t: [t],
    ):
        for result, numbers in ((f(x, other(Y)), f(X, other(Y))), (f(other(X), y), f(other(X), Y))):
            assert np.shape(result) == np.shape(numbers)
            for got, want in zip(np.ravel(result), np.ravel(numbers), strict=True):
                if name in ("equal", "not_equal"):
                    assert got == (name == "not_equal")
                else:
                    assert (got.data if isinstance(got, Value) else got) == pytest.approx(float(want), rel=1e-7)


def test_a_function_of_numpy_compares_numbers_with_values_as_python_does():
    x, n = Value(2.0), np.array([1.0, 3.0])
    assert [np.less(n, x).tolist(), (n < x).tolist(), (x < n).tolist()] == [[True, False], [True, False], [False, True]]
    assert (n < x).dtype == np.less_equal(x, n).dtype == np.dtype(bool)
    assert (np.float64(1) < x, np.float64(3) < x) == (True, False)


@pytest.mark.parametrize(("f", "nan"), [(np.maximum, math.nan), (np.minimum, math.nan)])
def test_the_larger_and_the_smaller_of_a_value_and_a_number_are_those_of_the_operation(f, nan):
    x, y = Value(2.0), Value(2.0)
    assert gradients(f(x, y), [x, y]) == [0.5, 0.5]
    for z in (f(np.array([x, Value(nan)]), y), f(x, np.array([2.0, nan])), [f(x, 2.0), f(2.0, Value(nan))]):
        assert gradients(z[0], [x]) == [0.5]
        assert math.isnan(z[1].data)
    assert compile_function(lambda a: f(a, 0.5))(0.25) == f(0.25, 0.5)


def test_the_larger_element_of_two_arrays_is_that_of_the_operation_if_it_is_written_so():
    a, b = np.array([Value(2.0), Value(math.nan)]), np.array([Value(2.0), Value(1.0)])
    with np.errstate(invalid="ignore"):
        y = np.frompyfunc(maximum, 2, 1)(a, b)
    assert gradients(y[0], [a[0], b[0]]) == [0.5, 0.5]
    assert math.isnan(y[1].data)


@pytest.mark.parametrize(("x", "expected"), [(2.5, 1), (-0.5, -1), (0.0, 0), (-0.0, 0), (math.nan, math.nan)])
def test_the_sign_of_a_value_is_numpys(x, expected):
    assert np.sign(Value(x)) == pytest.approx(expected, nan_ok=True)


NAMES = {**vars(micrograd_cn), "math": math, "abs": abs, "round": round}
IN_SCIPY = {"expit", "logit", "erf", "erfc", "log_expit", "xlogy", "erfinv", "gammaln", "psi"}
VALUES_OF_NO_OTHER = {"divmod", "matmul"}


@pytest.mark.parametrize("name", sorted(set(INSTEAD) - IN_SCIPY - VALUES_OF_NO_OTHER))
def test_an_error_names_code_that_has_the_number_of_numpys_function(name):
    x, y = (Value(1.0), Value(0.0)) if name.startswith("logical") else (Value(1.75), Value(-0.5))
    x = Value(0.75) if name == "arctanh" else x
    given = [x, y, 1.0][: getattr(np, name).nin]
    if name == "ldexp":
        given = [x, y := Value(-2)]
    with pytest.raises(TypeError, match=rf"^np\.{name}\(\) of a Value: there is no operation for it; write (.*)$"):
        getattr(np, name)(*given)
    code = INSTEAD[name].partition(", for ")[0].partition(", wh")[0].partition(", without")[0]
    if name == "cbrt":
        code = "x ** (1 / 3)"
    written = eval(code, NAMES, {"x": x, "y": y})
    numbers = [int(v.data) if name == "ldexp" and v is y else v.data for v in given]
    if name == "float_power":
        numbers = [complex(numbers[0]), numbers[1]]
    expected = getattr(np, name)(*numbers)
    results = written if isinstance(written, tuple) else (written,)
    wanted = expected if isinstance(expected, tuple) else (expected,)
    assert [float(getattr(w, "data", w)) for w in results] == pytest.approx([float(np.real(w)) for w in wanted])
    if name not in {"frexp", "nextafter", "spacing"}:  # there are no operations for the bits of a number
        recorded = compile_function(eval(f"lambda x, y: {code}", NAMES)).recording_of(x.data, y.data)
        assert recorded.results == [float(getattr(w, "data", w)) for w in results]


@pytest.mark.parametrize("name", sorted(IN_SCIPY))
def test_an_error_names_code_for_scipys_functions_too(name):
    special = pytest.importorskip("scipy.special")
    x, y = Value(0.25), Value(1.5)
    given = [x, y][: getattr(special, name).nin]
    with pytest.raises(TypeError, match=rf"^np\.{name}\(\) of a Value: there is no operation for it; write "):
        getattr(special, name)(*given)
    written = eval(INSTEAD[name], NAMES, {"x": x, "y": y})
    assert written.data == pytest.approx(getattr(special, name)(*[v.data for v in given]))


@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (lambda x: np.divmod(x, 2), r"write floor\(x / y\) and x % y"),
        (lambda x: np.matmul(x, np.ones(2)), r"write dot\(xs, ys\) for lists"),
        (lambda x: np.ones(2) @ x, r"write dot\(xs, ys\) for lists"),
        (lambda x: np.interp(x, [0, 1], [1, 2]), r"np.interp\(\) of a Value would lose its graph"),
        (lambda x: np.gradient(np.array([x, x])), r"np.gradient\(\) of a Value would lose its graph"),
        (lambda x: np.logaddexp.reduce(x), r"logaddexp\(\) of a Value: there is no operation for it; write x.data"),
        (lambda x: np.fmod(np.array([x]), 2), r"np.fmod\(\) of a Value: there is no operation for it"),
        (lambda x: np.logical_xor([x], [x]), r"np.logical_xor\(\) of a Value: there is no operation for it"),
        (
            lambda x: np.ones(2).__iadd__(x),
            r"a Value does not fit into an array of floats; write a = a \+ x for",
        ),
    ],
)
def test_other_refusals_name_the_users_function_and_what_to_write(apply, message):
    with pytest.raises(TypeError, match=message):
        apply(Value(1.5))


def test_functions_that_numpy_composes_work_as_before():
    xs = [Value(x) for x in (1.0, 2.0, 4.0)]
    a = np.array(xs)
    assert np.quantile(a, 0.3).data == pytest.approx(np.quantile([1.0, 2.0, 4.0], 0.3), rel=1e-15)
    assert gradients(np.quantile(a, 0.25), xs) == pytest.approx([0.5, 0.5, 0.0])
    assert gradients(np.ptp(a), xs) == [-1.0, 0.0, 1.0]
    assert gradients(np.linalg.norm(a), xs) == pytest.approx([x.data / math.sqrt(21) for x in xs])
    assert np.std(xs[0]).data == 0.0
    assert gradients(np.add.reduce([xs[0], xs[1]]), xs) == [1.0, 1.0, 0.0]
    assert np.multiply.outer(xs[1], [1.0, 3.0])[1].data == 6.0
    assert type(np.add(np.ma.array([1.0, 2.0]), xs[1])) is np.ma.MaskedArray
    assert gradients(np.add(xs[1], 1.0, where=True), [xs[1]]) == [1.0]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array(["1", "2"]), "got the str '1'"),
        (np.array([b"1"]), "got the bytes b'1'"),
        (np.array([[1j, 2]]), r"got the complex 1j; use its .real or .imag"),
        (np.array([1, 2], "m8[s]"), r"for a number of seconds, write x / np.timedelta64\(1, 's'\)"),
        (np.array(["2020-01-01"], "M8[D]"), "for a number of days, write"),
        (np.array([(1.0, 2.0)], "f8, f8"), "got tuple"),
    ],
)
@pytest.mark.parametrize(
    "ufunc", [np.add, np.subtract, np.multiply, np.divide, np.power, np.less, np.maximum, np.hypot]
)
def test_an_array_of_what_is_no_number_beside_a_value_is_refused(array, message, ufunc):
    """Each element was NotImplemented, or True, which Python takes NotImplemented for."""
    x = Value(2.0)
    for operands in ((array, x), (x, array)):
        with pytest.raises(TypeError, match=message):
            ufunc(*operands)


def test_an_empty_array_of_text_beside_a_value_gives_an_empty_array():
    assert (np.array([], str) * Value(2.0)).shape == (Value(2.0) * np.array([], str)).shape == (0,)


MASKED = np.ma.masked_invalid([1.0, math.nan, 3.0])


@pytest.mark.parametrize(
    "apply",
    [
        *(lambda x: MASKED + x, lambda x: x - MASKED, lambda x: MASKED * x, lambda x: x / MASKED, lambda x: MASKED**x),
        *(lambda x: x > MASKED, lambda x: np.ma.exp(x), lambda x: np.ma.maximum(MASKED, x), lambda x: np.ma.array(x)),
        *(lambda x: np.ma.where(MASKED > 1, x, MASKED), lambda x: MASKED.copy().__setitem__(0, x)),
        lambda x: np.ma.array([x, x], mask=[False, True]) * x,
    ],
)
def test_a_masked_array_beside_a_value_is_refused(apply):
    """numpy.ma read the float `_data` of the `Value`, and no gradient flowed."""
    with pytest.raises(
        TypeError, match=r"a masked array beside a Value x would lose the graph; write np.array\(\[x\]\)"
    ):
        apply(Value(2.0))


def test_a_masked_array_takes_values_in_arrays():
    x = Value(2.0)
    product = MASKED * np.array([x])
    assert gradients(product[0] + product[2], [x]) == [4.0]
    assert product[1] is np.ma.masked
    assert np.ma.array([x, x], mask=[False, True]).sum().data == 2.0
    assert (MASKED.filled(0.0) * x)[2].data == 6.0


def test_a_subclass_may_have_an_attribute_of_the_name_that_masked_arrays_read():
    class Masked(Value):
        def __init__(self, x):
            super().__init__(x)
            self._mask = "mine"

    assert Masked(2.0)._mask == "mine"
    assert "_mask" not in dir(Value(2.0))


def numbers_of(result):
    """Return an array of floats for the numbers or `Value`s in an array, or for one of them."""
    return np.array([x.data if isinstance(x, Value) else float(x) for x in np.ravel(result)])


@pytest.mark.parametrize(
    "call",
    [
        lambda a: np.max(a),
        lambda a: np.min(a),
        lambda a: a.max(),
        lambda a: a.min(),
        lambda a: np.maximum(a, 0.0),
        lambda a: np.minimum(a, 0.0),
        lambda a: np.maximum(0.0, a),
        lambda a: np.minimum(0.0, a),
        lambda a: np.maximum(a, a[::-1]),
        lambda a: np.maximum([math.nan, 1.0, math.nan], a),
        lambda a: np.fmax(a, 0.0),
        lambda a: np.fmax(0.0, a),
        lambda a: np.fmin(a, 0.0),
        lambda a: np.fmin(0.0, a),
        lambda a: np.clip(a, -1.0, 0.5),
        lambda a: np.ptp(a),
        lambda a: np.nansum(a),
        lambda a: np.nanprod(a),
        lambda a: np.isclose(a, [1.0, math.inf, -2.0]),
        lambda a: np.array_equal(a, [1.0, 0.0, -2.0]),
        lambda a: np.greater_equal(a, 0.0),
        lambda a: a >= 0.0,
        lambda a: a <= 0.0,
    ],
)
def test_nan_and_inf_are_treated_as_in_arrays_of_floats(call):
    for numbers in itertools.product([1.0, math.nan, -2.0, math.inf, 0.0], repeat=3):
        with np.errstate(invalid="ignore"):
            expected = call(np.array(numbers))
            found = call(np.array([Value(x) for x in numbers]))
        np.testing.assert_array_equal(numbers_of(found), numbers_of(expected), str(numbers))


@pytest.mark.parametrize("call", [np.nanmax, np.nanmin, np.nanmean])
def test_functions_that_leave_nan_out_find_it(call):
    for numbers in itertools.product([1.0, math.nan, -2.0], repeat=3):
        if not all(map(math.isnan, numbers)):
            found = call(np.array([Value(x) for x in numbers]))
            assert numbers_of(found) == call(np.array(numbers)), numbers


def test_a_nan_that_is_left_out_gets_no_gradient():
    xs = [Value(1.0), Value(math.nan), Value(-2.0)]
    np.nansum(np.array(xs)).backward()
    assert [x.grad for x in xs] == [1.0, 0.0, 1.0]


def test_the_sign_of_0_is_0():
    parameters = np.array([Value(-2.0), Value(0.0), Value(3.0)])
    assert np.sign(parameters).tolist() == [-1, 0, 1]


@pytest.mark.filterwarnings("ignore:== of a Value and an equal number")  # which is what this test looks at
def test_comparisons_of_the_user_still_go_by_identity():
    """Only functions that numpy writes in Python compare numbers. As a float, a value that is nan differs from itself.

    Containers find it all the same, since they look for the same object first.
    """
    missing = Value(math.nan)
    assert [missing != missing, missing in [missing], missing in {missing}, [missing] == [missing]] == [True] * 4
    assert not missing == missing  # noqa: SIM201
    assert (np.array([missing, Value(1.0)]) != np.array([missing, Value(1.0)])).tolist() == [True, True]
    values = np.array([missing, Value(1.0)])
    assert (values != values).tolist() == [True, False]
    x, same = Value(2.0), Value(2.0)
    assert (np.array([x, same]) == x).tolist() == [True, False]
    assert (np.array([x]) == 2.0).tolist() == [False]
    assert [x in [same], x == 2.0, x == same, x != x, Value(math.nan) in [math.nan]] == [False] * 5
    assert np.isclose(Value(math.inf), math.inf)
    assert max([Value(math.nan), x]).data is not x.data


class Holder:
    """An object with an array of leaves."""


@pytest.mark.parametrize(
    "call",
    [
        lambda m: np.subtract(m.weights, 0.5, out=m.weights),
        lambda m: np.multiply(m.weights, 0.9, m.weights),
        lambda m: np.multiply(0.9, m.weights, out=m.weights[:]),
        lambda m: np.add(vars(m)["weights"], 1.0, out=m.weights),
        lambda m: np.add.at(m.weights, [0], 5.0),
    ],
)
def test_a_function_of_numpy_that_would_replace_leaves_is_refused_inside_no_grad(call):
    leaves = [Value(1.0), Value(2.0)]
    model = Holder()
    model.weights = np.array(leaves)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"write for w, y in zip\(m\w*\.weights\.flat, Y\.flat\)"), no_grad():
            call(model)
    assert all(a is b for a, b in zip(model.weights, leaves, strict=True))
    call(model)
    assert model.weights[0].op, "outside no_grad() it makes a graph"


def test_a_new_array_or_another_one_may_take_the_results_inside_no_grad():
    weights, other = np.array([Value(1.0), Value(2.0)]), np.empty(2, dtype=object)
    with no_grad():
        for result in (np.subtract(weights, 0.5), np.subtract(weights, 0.5, out=other), other, weights - 0.5):
            assert [x.data for x in result] == [0.5, 1.5]
        assert np.add.reduce(weights).data == sum(weights).data == 3.0


def test_the_error_for_rounding_names_the_function_that_was_called():
    """numpy calls np.rint for it. At Python's prompt, there is no source code that says so."""
    x = Value(2.5)
    for call in ("np.round(x)", "np.array([x]).round()", "xs.round()"):
        with pytest.raises(TypeError, match=r"^np\.round\(\) of a Value: there is no operation for it; write "):
            eval(call, {"np": np, "x": x, "xs": np.array([x, x])})
    with pytest.raises(TypeError, match=r"^np\.rint\(\) of a Value"):
        np.rint(x)


def logical_or_under_another_name(x):
    any_of = np.logical_or
    return any_of(x, x)


# as at Python's prompt, without source code
WITHOUT_SOURCE = eval("lambda x: (x, np.logical_or(x, x))[1]", {"np": np})
LOGICAL = {
    "and": lambda x: np.logical_and(x, [1.0, 0.0]),
    "or": lambda x: np.sum(np.logical_or(x, 0.0)),
    "reduce": lambda x: x.sum() * np.logical_or.reduce(x),
    "outer": lambda x: x.sum() * np.logical_and.outer(x, x).sum(),
    "in a loop": lambda x: np.stack([np.logical_and(a, x) for a in (x, [0.0, 1.0])]),
    "without source code": WITHOUT_SOURCE,
}


@pytest.mark.parametrize("name", LOGICAL)
def test_functions_that_would_return_operands_instead_of_bools_are_refused(name):
    f, message = LOGICAL[name], r"np.logical_(and|or)\(\) of an array of Values would give some of its elements"
    with pytest.raises(TypeError, match=message):
        f(np.array([Value(2.0), Value(3.0)]))
    with pytest.raises(TypeError, match=message):
        grad(lambda x: np.sum(f(x)))(np.array([2.0, 3.0]))


def test_logical_functions_that_give_bools_are_not_refused():
    x, values = np.array([2.0, 0.0]), np.array([Value(2.0), Value(0.0)])
    with pytest.raises(TypeError, match="would give some of its elements"):
        grad(lambda x: np.sum(logical_or_under_another_name(x)))(x)
    assert grad(lambda x: x.sum() * np.logical_or(x, 0.0, dtype=bool).sum())(x).tolist() == [1.0, 1.0]
    assert grad(lambda x: x.sum() * (3.0 + np.all(x) + 2 * x.any()))(x).tolist() == [5.0, 5.0]
    assert np.logical_or(values > 0, [False, True]).tolist() == [True, True]
    assert [np.logical_or(True, False) for v in values if v] == [True, True]
    assert compile_function(lambda x: x[0] * bool(np.logical_or(values > 0, [False, True]).all()))(x) == 2.0
    with pytest.raises(TypeError, match="would give some of its elements"):
        compile_function(lambda x: x[0] * np.logical_or(values * 2.0, values).sum())(x)


@pytest.mark.parametrize("row", [*itertools.permutations([math.nan, 1.0, 2.0])])
def test_numpy_orders_nan_as_in_an_array_of_floats(row):
    x, values = np.array(row), np.array([Value(v) for v in row])
    assert str([v.data for v in np.sort(values)]) == str(np.sort(x).tolist())
    ordered = values.copy()
    ordered.sort()
    assert str([v.data for v in ordered]) == str(np.sort(x).tolist())
    for f in (np.argsort, np.argmax, np.argmin, lambda v: v.argsort(), lambda v: v.argmax(), lambda v: v.argmin()):
        assert np.array_equal(f(values), f(x))
        assert grad(lambda v: v[0] * np.sum(f(v) * np.arange(1.0, 4.0)))(x)[0] == np.sum(f(x) * np.arange(1.0, 4.0))  # noqa: B023
    assert str([v.data for v in sorted(values)]) == str(sorted(row))
    for f in (np.median, lambda v: np.quantile(v, 0.5), lambda v: np.percentile(v, 20)):
        with pytest.raises(ValueError, match="of Values among which is nan"):
            f(values)
    assert np.nanmedian(values).data == 1.5


def test_sinc_of_a_single_value_says_what_to_write():
    """What the message says to write has right first and second derivatives, at 0 too."""
    with pytest.raises(
        AttributeError, match=r"no attribute 'dtype'; write where\(equal\(x, 0\), .* for np\.sinc"
    ) as error:
        np.sinc(Value(0.3))
    code, _, rest = str(error.value).partition("write ")[2].partition(", with y = ")
    y = rest.partition(", for")[0]

    def sinc(x):
        return eval(code, {**vars(micrograd_cn.ops), "x": x, "y": eval(y, {"math": math, "x": x})})

    assert (sinc(0.0), grad(sinc)(0.0), grad(grad(sinc))(0.0)) == (1.0, 0.0, pytest.approx(-(math.pi**2) / 3.0))
    assert sinc(Value(0.3)).data == pytest.approx(np.sinc(0.3), rel=1e-15)
    with pytest.raises(AttributeError, match=r"for the norm np\.linalg\.norm"):
        np.linalg.norm(np.array([Value(0.3)]), 3)
    with pytest.raises(AttributeError, match=r"write type\(x\.data\), which is float"):
        _ = Value(0.3).dtype


def test_a_function_that_numpy_has_for_floats_alone_is_answered_with_the_operation():
    with pytest.raises(TypeError) as error:
        grad(lambda x: np.logaddexp(x, 1.0).sum())(np.array([1.0, 2.0]))
    assert "write micrograd_cn.logaddexp(x, y), which does" in error.value.__notes__[0]
    assert grad(lambda x: micrograd_cn.logaddexp(x, 1.0).sum())(np.array([1.0, 1.0])) == pytest.approx([0.5, 0.5])
