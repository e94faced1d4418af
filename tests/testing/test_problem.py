"""Functions of arrays as functions of one vector of doubles, and what is known of their precision."""

import array
import collections
import math

import numpy as np
import pytest

from micrograd_cn.testing import NotDeterministic, NothingCompared
from micrograd_cn.testing.analytic import Reverse
from micrograd_cn.testing.contract import examine, random_weights
from micrograd_cn.testing.numerical import Estimate
from micrograd_cn.testing.problem import Problem, power_of_2, rms, sizes, unit
from micrograd_cn.testing.vectors import Packed


def problem_of(f, *args, rtol=None, atol=None, **named):
    return Problem("check", f, args, named or {"vjp": lambda *args: args[:-1]}, rtol, atol)


# Precision.


@pytest.mark.parametrize(("kind", "bits"), [("float64", 52), ("float32", 23), ("float16", 10)])
def test_a_type_has_so_many_bits(kind, bits):
    x = np.ones(2, kind)
    problem = problem_of(lambda x: x, x)
    assert problem.eps == Packed([x, 1.0], "x").eps == Packed([1.0, x], "x").eps == 2.0**-bits
    assert Packed(x[0], "x").eps == 2.0**-bits
    assert problem.bits == bits
    assert problem.arguments.exact is (bits == 52)
    assert problem_of(lambda x: x.astype(float), x).eps == problem_of(lambda x: x.astype(kind), np.ones(2)).eps


def test_a_number_and_an_array_of_the_standard_library_are_doubles():
    for x in (0.5, 2, array.array("d", [1.0])):
        assert Packed(x, "x").eps == 2.0**-52
    assert Packed(array.array("f", [1.0]), "x").eps == 2.0**-23


def test_tolerances_are_those_that_are_given_or_suit_the_type():
    for kind, rtol in (("float64", 1e-6), ("float32", 8192 * 2.0**-23), ("float16", 0.005)):
        problem = problem_of(lambda x: x, np.ones(2, kind))
        assert problem.rtol == rtol
        assert problem.atol == 0.0
        assert problem.steps.enough == 0.01 * rtol
    given = problem_of(lambda x: x, np.ones(2), rtol=0.25, atol=0.5)
    assert (given.rtol, given.atol) == (0.25, 0.5)


def test_steps_for_doubles_are_those_for_values_and_fewer_digits_have_larger_ones():
    of = {kind: problem_of(lambda x: x, np.ones(2, kind)) for kind in ("float64", "float32", "float16")}
    exponents = {kind: [-math.log2(h) for h in (*p.steps.first, p.steps.finest)] for kind, p in of.items()}
    assert exponents == {"float64": [3, 9, 16, 24, 39], "float32": [1, 4, 7, 11, 17], "float16": [1, 2, 3, 5, 8]}
    assert {kind: sorted(p.noise_steps) for kind, p in of.items()} == {
        "float64": [16, 22, 28, 40],
        "float32": [7, 10, 12, 18],
        "float16": [3, 4, 5, 8],
    }
    assert all(p.steps.stops for p in of.values())
    assert of["float64"].steps.suffice(Estimate(1.0, 1e-9))


# The vector.


def test_every_number_has_its_place_and_its_name_and_goes_back_to_it():
    tree = {"w": np.float32([[1.0, 2.0], [3.0, 4.0]]), "n": np.arange(3), "b": (5.0, [np.array(6.0)]), "none": None}
    packed = Packed((tree,), ["x0"])
    assert packed.vector.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    names = ["x0['w'][0, 0]", "x0['w'][0, 1]", "x0['w'][1, 0]", "x0['w'][1, 1]", "x0['b'][0]", "x0['b'][1][0]"]
    assert [packed.names(i) for i in range(6)] == names
    with pytest.raises(IndexError):
        packed.names(6)
    with pytest.raises(IndexError):
        packed.names(-1)
    assert packed.slices() == [slice(0, 4), slice(4, 5), slice(5, 6)]
    [back] = packed.tree(np.arange(6.0) / 3.0)
    assert back["w"].dtype == np.float32
    assert back["w"].tolist() == np.float32([[0, 1 / 3], [2 / 3, 1]]).tolist()
    assert back["n"].tolist() == [0, 1, 2]
    assert back["n"] is not tree["n"], "a function that changes it spoils nothing"
    assert back["none"] is None
    assert back["b"][0] == 4.0 / 3.0
    assert packed.pack((back,)).tolist() == packed.stored(np.arange(6.0) / 3.0).tolist()
    assert packed.stored(np.arange(6.0) / 3.0)[1] == np.float32(1 / 3)
    assert not packed.missing


def test_what_does_not_vary_is_constant():
    packed = Packed([1.0, 2.0, True], "x", lambda path, leaf: path != "x[0]")
    assert packed.vector.tolist() == [2.0]
    assert packed.tree(np.array([5.0])) == [1.0, 5.0, True]
    assert Packed([], "x").vector.size == 0


def test_derivatives_take_the_place_of_what_they_are_of():
    packed = Packed([np.zeros((2, 1)), 3.0, {"a": np.zeros(2)}], "x")
    found = packed.derivative([np.array([[1.0], [2.0]]), np.array([4.0]), {"a": [5.0, 6.0]}], "it")
    assert found.tolist() == [1.0, 2.0, 4.0, 5.0, 6.0]
    assert not packed.missing
    found = packed.derivative([None, 4.0, {"a": None}], "it")
    assert found.tolist() == [0.0, 0.0, 4.0, 0.0, 0.0]
    assert packed.missing == {"x[0]", "x[2]['a']"}
    several = Packed([[1.0, 2.0], 3.0], "x")
    assert several.derivative([None, 5.0], "it").tolist() == [0.0, 0.0, 5.0]
    assert several.missing == {"x[0][0]", "x[0][1]"}


Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("tree", "model", "message"),
    [
        ([1.0, 2.0], np.zeros(3), r"it gave an array of shape \(2,\) for x, which has \(3,\)"),
        (1.0, np.zeros(2), r"it gave an array of shape \(\) for x, which has \(2,\)"),
        ([1.0], np.zeros(0), r"it gave an array of shape \(1,\) for x, which has \(0,\)"),
        ([1.0, 2.0], 1.0, r"it gave an array of shape \(2,\) for x, which has \(\)"),
        ([1.0], [1.0, 2.0], r"it must have 2 parts, as a list of 2 has, got a list of 1"),
        (np.ones(3), (1.0, 2.0), r"it must have 2 parts, as a tuple of 2 has, got a ndarray of shape \[3\]"),
        (1.0, [1.0, 2.0], r"it must have 2 parts, as a list of 2 has, got a float$"),
        ([1.0], {"a": 1.0}, r"it must have the keys \['a'\], got a list of 1"),
        ({"b": 1.0}, {"a": 1.0}, r"it must have the keys \['a'\], got a dict of 1"),
    ],
)
def test_another_structure_than_that_of_the_arguments_is_refused(tree, model, message):
    with pytest.raises(ValueError, match=message):
        Packed(model, "x").derivative(tree, "it")
    assert Packed(Point(1.0, 2.0), "x").derivative(np.array([3.0, 4.0]), "it").tolist() == [3.0, 4.0]


def test_what_is_no_number_is_refused():
    with pytest.raises(TypeError, match=r"x\['a'\] is complex; take real and imaginary parts for arguments"):
        Packed({"a": np.ones(2) * 1j}, "x")
    with pytest.raises(TypeError, match="x is complex"):
        Packed(1j, "x")
    assert Packed(["sum", 1.0], "x").vector.tolist() == [1.0], "text is a constant"
    with pytest.raises(TypeError, match=r"x is ndarray .*, not a number nor an array"):
        Packed(np.array([{}]), "x")


# The point.


def test_a_problem_tells_what_it_can_not_compare():
    with pytest.raises(TypeError, match="check: f returned list, in which there is no floating-point number"):
        problem_of(lambda x: [], np.ones(2))
    for n, write in ((np.arange(3), r"x0.astype\(float\)"), (2, "x0 = 2.0"), (True, "x0 = 1.0")):
        with pytest.raises(NothingCompared, match=f"compared nothing: .*, x0 is of whole ones; write {write}$"):
            problem_of(lambda n: 1.0, n)
    with pytest.raises(NothingCompared, match=r"no argument holds floating-point numbers$"):
        problem_of(lambda mode: 1.0, "sum")
    with pytest.raises(NothingCompared, match="check: outside the domain, the function is inf there"):
        problem_of(lambda x: math.inf, 1.0)
    with pytest.raises(NothingCompared, match=r"check: outside the domain, f\[0\] is nan there"):
        problem_of(lambda x: [math.nan, math.inf], 1.0)
    some = problem_of(lambda x: [1.0, math.nan, math.inf], 1.0, vjp=lambda x, g: 0.0)
    assert some.live.tolist() == [True, False, False]


@pytest.mark.parametrize(("apart", "same"), [(7.0, True), (-7.0, True), (9.0, False), (-9.0, False)])
def test_two_calls_may_differ_by_eight_last_bits_of_the_largest_output(apart, same):
    def f(x, calls=[]):  # noqa: B006
        calls.append(x)
        return np.array([2.0, -4.0, 1.0 + apart * 2.0**-50 * (len(calls) % 2)])

    if same:
        problem_of(f, 1.0, vjp=lambda x, g: 0.0)
    else:
        with pytest.raises(
            NotDeterministic, match=r"check: not deterministic, two calls of it, at f\[2\], gave \S+ and "
        ):
            problem_of(f, 1.0, vjp=lambda x, g: 0.0)


def test_nan_at_one_call_and_none_at_the_other_is_chance():
    for first, second in ((math.nan, 1.0), (1.0, math.nan)):
        values = iter([first, second])
        with pytest.raises(NotDeterministic, match=f"two calls of it gave {first} and {second}"):
            problem_of(lambda x, values=values: next(values), 1.0)
    gradients = iter([9.0, 1.0, 2.0])
    with pytest.raises(NotDeterministic, match=r"two calls of the gradient gave 1.0 and 2.0"):
        examine(problem_of(lambda x: x, 1.0, vjp=lambda x, g: next(gradients)), np.random.default_rng(0))


def test_a_function_may_refuse_what_is_outside_its_domain():
    def f(x):
        if x[0] > 2.0:
            raise ValueError("too large")
        return x

    problem = problem_of(f, np.ones(2))
    assert np.isnan(problem.value(np.array([3.0, 1.0]))).all()
    assert problem.value(np.array([1.5, 1.0])).tolist() == [1.5, 1.0]


def test_names_directions_and_sizes():
    problem = problem_of(lambda x, w: [x[0] * w, x[1]], np.array([8.0, 0.0]), 5.0, vjp=lambda x, w, g: (x * 0 + 3, 7.0))
    assert problem.title(1, 2) == "df[1]/dx1"
    assert problem.title(0, 1) == "df[0]/dx0[1]"
    assert problem_of(lambda x: x, 1.0).title(0, 0) == "df/dx0"
    assert problem.scale.tolist() == [8.0, 4.0, 4.0]
    assert problem.along(1).tolist() == [0.0, 4.0, 0.0]
    assert problem.typical(np.ones(2)) == pytest.approx(math.sqrt((24.0**2 + 12.0**2 + 28.0**2) / 3.0))
    infinite = problem_of(lambda x: x.sum(), np.ones(3), vjp=lambda x, g: np.array([math.inf, 3.0, math.nan]))
    assert infinite.typical(np.ones(1)) == 3.0
    nothing = problem_of(lambda x: x.sum(), np.ones(1), vjp=lambda x, g: np.array([math.inf]))
    assert nothing.typical(np.ones(1)) == 0.0
    assert problem_of(np.sin, np.ones(2), jvp=lambda x, t: t).typical(np.ones(2)) == 0.0


def test_sizes_are_powers_of_2():
    assert power_of_2(np.array([5.0, 4.0, 3.99, 0.3, 0.0])).tolist() == [4.0, 4.0, 2.0, 0.25, 0.0]
    assert sizes(np.array([-8.0, 0.0, 0.5])).tolist() == [8.0, 4.0, 4.0]
    assert sizes(np.array([0.0])).tolist() == [1.0]
    assert rms(np.array([3.0, -4.0])) == math.sqrt(12.5)
    assert unit(3, 2).tolist() == [0.0, 0.0, 1.0]


def test_outputs_are_weighted_by_one_over_the_size_of_their_array():
    problem = problem_of(lambda x: (64.0 * x, x / 64.0), np.ones(50), vjp=lambda x, g: 64.0 * g[0] + g[1] / 64.0)
    weighted = np.abs(random_weights(problem, np.random.default_rng(0)) * problem.y)
    assert ((weighted >= 0.5) & (weighted <= 1.0)).all()


def test_a_gradient_is_remembered_for_two_weights_that_take_turns():
    calls = []
    reverse = Reverse(lambda x, u: (calls.append(u), u * x)[1])
    x, all_of_them, one = np.ones(2), np.array([2.0, 3.0]), np.array([0.0, 1.0])
    for u in (all_of_them, one, all_of_them, one, all_of_them):
        assert reverse.gradient(x, u).tolist() == u.tolist()
    assert len(calls) == 2
    reverse.gradient(x.copy(), one)
    assert len(calls) == 3, "at another point"
    reverse.gradient(x, one.copy())
    assert len(calls) == 4, "of other weights"
