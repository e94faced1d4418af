"""In functions that `functional` differentiates, `==`, `!=`, `in` and truth go by the number, as for the arguments."""

import math
import re
from collections import ChainMap, UserDict
from types import MappingProxyType

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, compiler, no_grad
from micrograd_cn.functional import (
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    sparse_hessian,
    sparse_jacobian,
    value_and_grad,
    vjp,
)


def squares_if_one(v):
    """Return v[0]**2 if v[1] is 1, and v[0] otherwise."""
    return v[0] ** 2 if v[1] == 1 else v[0]


@pytest.mark.parametrize(
    ("f", "x", "value", "slope"),
    [
        (lambda d: d["w"] * 2 if d["label"] == 1 else -d["w"], {"w": 3.0, "label": 1}, 6.0, {"w": 2.0, "label": 0.0}),
        (lambda d: d["w"] * 2 if 1 == d["label"] else -d["w"], {"w": 3.0, "label": 1}, 6.0, {"w": 2.0, "label": 0.0}),  # noqa: SIM300 -- the case
        (lambda d: d["w"] if d["n"] in (1, 2) else -d["w"], {"w": 3.0, "n": 2}, 3.0, {"w": 1.0, "n": 0.0}),
        (lambda d: d["w"] if d["n"] != 2 else -d["w"], {"w": 3.0, "n": 2}, -3.0, {"w": -1.0, "n": 0.0}),
        (lambda x: x if x * 2 == 6 else -x, 3.0, 3.0, 1.0),
        (lambda x: x if x * 2 == x + 3 else -x, 3.0, 3.0, 1.0),
        (lambda x: x if [x, 1.0] == [3, 1] else -x, 3.0, 3.0, 1.0),
        (lambda x: 2 * x if x == x else -x, float("nan"), float("nan"), -1.0),
        (lambda x: x or x + 1.0, 0.0, 1.0, 1.0),
        (lambda x: x if not x - 3 else -x, 3.0, 3.0, 1.0),
        (lambda x: x if mc.less(x, 2) else -x, 3.0, -3.0, -1.0),
        (lambda xs: xs[0] * xs.index(2.0) + xs.count(1.0), [1.0, 2.0], 2.0, [1.0, 0.0]),
        (lambda xs: xs[0] * (2.0 if any(xs[1:]) else 3.0), [1.0, 0.0], 3.0, [3.0, 0.0]),
        (lambda x: x if np.equal(x, 3) and x == np.array([3.0])[0] else -x, 3.0, 3.0, 1.0),
    ],
)
def test_a_function_takes_the_branch_that_it_takes_for_numbers(f, x, value, slope):
    assert repr(f(x)) == repr(value), "the function itself, without a derivative"
    assert repr(value_and_grad(f)(x)) == repr((value, slope))


@pytest.mark.parametrize(
    ("f", "x", "slope"),
    [
        (lambda a: (a * (a == 2)).sum(), [1.0, 2.0], [0.0, 1.0]),
        (lambda a: a[a != 0].sum(), [1.0, 0.0, 2.0], [1.0, 0.0, 1.0]),
        (lambda a: np.where(a, 2 * a, a + 1).sum(), [1.0, 0.0], [2.0, 1.0]),
        (lambda a: a.sum() * np.count_nonzero(a), [1.0, 0.0], [1.0, 1.0]),
        (lambda a: a.sum() * len(np.unique(a)), [1.0, 1.0, 2.0], [2.0, 2.0, 2.0]),
        (lambda a: a.sum() * np.array_equal(a, [1.0, 2.0]), [1.0, 2.0], [1.0, 1.0]),
    ],
)
def test_functions_of_numpy_see_numbers_too(f, x, slope):
    assert grad(f)(np.array(x)).tolist() == slope


def test_every_derivative_is_of_this_branch():
    x = [3.0, 1]
    assert hessian(squares_if_one)(x) == [[2.0, 0.0], [0.0, 0.0]]
    assert jacobian(lambda v: [squares_if_one(v)])(x) == [[6.0, 0.0]]
    assert jvp(squares_if_one, x, [1.0, 1.0]) == (9.0, 6.0)
    assert hvp(squares_if_one, x, [1.0, 1.0]) == [2.0, 0.0]
    assert vjp(squares_if_one, x)[1](1.0) == [6.0, 0.0]
    assert sparse_hessian(squares_if_one)(x).values == [2.0]
    assert sparse_jacobian(squares_if_one)(x).values == [6.0]
    assert grad(grad(lambda t: t**3 if t == 2 else t))(2.0) == 12.0
    with no_grad():
        assert grad(squares_if_one)(x) == [6.0, 0.0]


@pytest.mark.filterwarnings("ignore:== of a Value and an equal number")  # which is what this test looks at
def test_values_of_the_user_are_compared_by_identity():
    """Without a derivative, the function compares them by identity too, and also what it computes from them."""
    w = Value(2.0)
    for f in (
        lambda x: x if w == 2 else -x,
        lambda x: x if w * x == 2 else -x,
        lambda x: x if w * x == w * x else -x,
        lambda x: x if x == w else -x,
        lambda x: x if w in (x, 2, Value(2.0)) else -x,
    ):
        assert f(1.0) == -1.0
        assert grad(f)(1.0) == -1.0
    assert grad(lambda x: x if w and w == w and w in [x, w] else -x)(1.0) == 1.0
    assert grad(lambda v: v if v == 2 else -v)(w).data == -1.0, "an argument that is a Value itself"


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: x == 2.0,
        lambda x: 2 in [x],
        lambda x: (x != np.int64(2)) is False,
        lambda x: x in [1, 2],
        lambda x: [x].count(2.0),
        lambda x: np.sum(np.array([x, x]) == np.array([2.0, 3.0])),
    ],
)
def test_a_value_and_an_equal_number_give_a_warning(ask):
    """As where a user counts right predictions: without a word, none would be right."""
    with pytest.warns(UserWarning, match=r"^== of a Value and an equal number is False.*write x\.data") as found:
        assert not ask(Value(2.0))
    assert found[0].filename == __file__
    assert not ask(Value(5.0))
    assert grad(lambda x: x if x == 2.0 else -x)(2.0) == 1.0


@pytest.mark.filterwarnings("ignore:== of a Value and an equal number")  # which is what this test looks at
def test_outside_of_derivatives_comparison_goes_by_identity():
    x, left = Value(2.0), []
    grad(lambda t: left.append(t) or t)(2.0)
    for value in (x, *left):
        assert value == value
        assert not value == 2.0  # noqa: SIM201 -- `!=` is another method
        assert value != 2.0
        assert value != Value(2.0)
        assert value * 0.0
    with pytest.raises(ZeroDivisionError):
        grad(lambda t: 1 / 0 * t)(2.0)
    assert x != 2.0, "after a function that raised an error"


def test_a_comparison_takes_no_longer_for_a_larger_graph():
    """Each node is visited once, although a node is compared at each of the steps that made it."""
    visits = []

    class Counted(Value):
        __slots__ = ()

        @property
        def operands(self):
            visits.append(self)
            return super().operands

    def f(t):
        for _ in range(50):
            t = t * 1.5
            t.__class__ = Counted
            if t == 0:
                return t
        return t

    before = len(visits)
    grad(f)(1.0)
    compared = [x for x in visits[before:] if x.op]
    assert len(compared) < 50 * 5, "once for each comparison, and some times for backward"


def test_a_bool_is_passed_as_it_is():
    """It can be a mask, and its derivative is 0. jax and PyTorch do not differentiate bools either."""
    x, mask = np.array([1.0, 2.0]), np.array([True, False])
    slope = grad(lambda p: p["x"][p["m"]].sum() + np.where(p["m"], p["x"], -p["x"]).sum())({"x": x, "m": mask})
    assert slope["x"].tolist() == [2.0, -1.0]
    assert slope["m"].tolist() == [0.0, 0.0]
    for flag in (True, np.bool_(True)):
        given = {"x": 3.0, "on": flag}
        assert grad(lambda d: d["x"] ** 2 * d["on"] if d["on"] == True else d["x"])(given) == {"x": 6.0, "on": 0.0}  # noqa: E712 -- the case
    assert jvp(lambda d: d["x"] if d["on"] is True else -d["x"], {"x": 3.0, "on": True}, {"x": 1.0, "on": 5.0}) == (
        3,
        1,
    )
    second = hessian(lambda d: d["x"] ** 2 if d["on"] is True else d["x"])({"x": 3.0, "on": True})
    assert second == {"x": {"x": 2.0, "on": 0.0}, "on": {"x": 0.0, "on": 0.0}}


@pytest.mark.parametrize(
    ("x", "write"),
    [(True, "float(x)"), ([True, False], "float(x)"), (np.array([True]), "1.0 * x"), (np.bool_(True), "float(x)")],
)
def test_an_argument_of_bools_alone_is_refused(x, write):
    message = r"grad: argument 1 contains bools alone.* by argnums, or write " + re.escape(write)
    with pytest.raises(TypeError, match=message):
        grad(lambda a, b: a, argnums=(0, 1))(1.0, x)
    assert grad(lambda a, b: a)(1.0, x) == 1.0


@pytest.mark.parametrize("x", [UserDict(a=1.0), ChainMap({"a": 1.0}), MappingProxyType({"a": 1.0})])
def test_a_mapping_that_is_no_dict_is_to_be_made_one(x):
    with pytest.raises(TypeError, match=r"write dict\(\.\.\.\)$"):
        grad(lambda p: p["a"])(x)
    assert grad(lambda p: p["a"])(dict(x)) == {"a": 1.0}


def test_compiled_functions_take_the_branch_too():
    w = Value(2.0)
    f = compiler.compile(lambda x: w * x * grad(lambda t: t if t * 1 == 2 and t - 1 else -t)(2.0))
    assert f(3.0) == 6.0
    g = compiler.compile(lambda x: w * grad(lambda t: t if t * 1 == 2 else -t)(x))
    with pytest.raises(TypeError, match="as an operand of == would be"):
        g(2.0)


def test_code_without_a_module_s_name_compares_nan():
    """`exec` and `eval` may be given a dict without `__name__`."""
    names = {"a": Value(math.nan), "b": 1.0, "np": np}
    exec("larger = max(a, b)", names)
    assert names["larger"] is names["a"]
    assert eval("a < b", names) is False
    del names["__builtins__"]
    assert len(eval("np.sort(np.array([b, a, 0.0]))", names)) == 3


@pytest.mark.filterwarnings("ignore:== of a Value and an equal number")  # which is what this test looks at
@pytest.mark.parametrize("order", [1, -1])
def test_a_node_that_uses_another_twice_is_searched_for_parameters_too(order):
    """The parameter is in an operand that is searched before the node that is used twice, or after it."""
    w = Value(2.0)

    def f(x):
        shared = x + 1.0
        square, product = (shared * shared, shared * w)[::order]
        return x if square + product == 8 else -x

    assert f(1.0) == -1.0
    assert grad(f)(1.0) == -1.0
    assert grad(lambda x: x if mc.sum([x + 1.0, x * x, x]) * x == 4 else -x)(1.0) == 1.0
