"""A function of arrays as a function of one vector of doubles, and the precision of its numbers."""

import array
import collections
import contextlib
import math

import numpy as np
import pytest

from micrograd_cn.testing import NotDeterministic, NothingCompared
from micrograd_cn.testing.arrays.analytic import ReverseMode
from micrograd_cn.testing.arrays.array_check import compare_problem
from micrograd_cn.testing.arrays.contract import check_contract, random_cotangent
from micrograd_cn.testing.arrays.problem import Problem, element_scales, floor_power_of_2, norm, rms, unit_vector
from micrograd_cn.testing.arrays.vectors import Packed, tied
from micrograd_cn.testing.numeric.call_budget import OutOfCalls
from micrograd_cn.testing.numeric.numerical import Estimate


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
    assert problem.arguments.in_doubles is (bits == 52)
    assert problem_of(lambda x: x.astype(float), x).eps == problem_of(lambda x: x.astype(kind), np.ones(2)).eps


def test_a_number_and_an_array_of_the_standard_library_are_doubles():
    for x in (0.5, 2, array.array("d", [1.0])):
        assert Packed(x, "x").eps == 2.0**-52
    assert Packed(array.array("f", [1.0]), "x").eps == 2.0**-23


def test_the_least_number_is_that_of_the_coarsest_type():
    double, single, half = np.ones(1), np.ones(2, "float32"), np.ones(3, "float16")
    for tree, least, eps in (
        (double, 1e-307, 2.0**-52),
        ([double, single], 1e-37, 2.0**-23),
        ([half, single, double], 2.0**-14, 2.0**-10),
    ):
        packed = Packed(tree, "x")
        assert (packed.smallest_normal, packed.smallest_subnormal) == (least, least * eps)
        assert problem_of(lambda x, tree=tree: tree, double, vjp=lambda x, g: x).smallest_normal == least
        assert problem_of(lambda *xs: double, *(tree if type(tree) is list else [tree])).smallest_normal == least


def test_tolerances_are_those_that_are_given_or_suit_the_type():
    for kind, rtol in (("float64", 1e-6), ("float32", 8192 * 2.0**-23), ("float16", 0.005)):
        problem = problem_of(lambda x: x, np.ones(2, kind))
        assert problem.rtol == rtol
        assert problem.atol == 0.0
        assert problem.steps.relative_error == 0.01 * rtol
    given = problem_of(lambda x: x, np.ones(2), rtol=0.25, atol=0.5)
    assert (given.rtol, given.atol) == (0.25, 0.5)


def test_steps_for_doubles_are_those_for_values_and_fewer_digits_have_larger_ones():
    of = {kind: problem_of(lambda x: x, np.ones(2, kind)) for kind in ("float64", "float32", "float16")}
    exponents = {kind: [-math.log2(h) for h in (*p.steps.first_steps, p.steps.finest)] for kind, p in of.items()}
    assert exponents == {"float64": [3, 9, 16, 24, 39], "float32": [1, 4, 7, 11, 17], "float16": [1, 2, 3, 5, 8]}
    assert {kind: sorted(p.noise_exponents) for kind, p in of.items()} == {
        "float64": [16, 22, 28, 40],
        "float32": [7, 10, 12, 18],
        "float16": [3, 4, 5, 8],
    }
    assert all(p.steps.stops_early for p in of.values())
    assert of["float64"].steps.suffice(Estimate(1.0, 1e-9))


# The vector.


def test_every_number_has_its_place_and_its_name_and_goes_back_to_it():
    tree = {"w": np.float32([[1.0, 2.0], [3.0, 4.0]]), "n": np.arange(3), "b": (5.0, [np.array(6.0)]), "none": None}
    packed = Packed((tree,), ["x0"])
    assert packed.vector.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    names = ["x0['w'][0, 0]", "x0['w'][0, 1]", "x0['w'][1, 0]", "x0['w'][1, 1]", "x0['b'][0]", "x0['b'][1][0]"]
    assert [packed.element_name(i) for i in range(6)] == names
    with pytest.raises(IndexError):
        packed.element_name(6)
    with pytest.raises(IndexError):
        packed.element_name(-1)
    assert packed.slices() == [slice(0, 4), slice(4, 5), slice(5, 6)]
    [back] = packed.unpack(np.arange(6.0) / 3.0)
    assert back["w"].dtype == np.float32
    assert back["w"].tolist() == np.float32([[0, 1 / 3], [2 / 3, 1]]).tolist()
    assert back["n"].tolist() == [0, 1, 2]
    assert back["n"] is not tree["n"], "a function that changes it spoils nothing"
    assert back["none"] is None
    assert back["b"][0] == 4.0 / 3.0
    assert packed.pack((back,)).tolist() == packed.rounded(np.arange(6.0) / 3.0).tolist()
    assert packed.rounded(np.arange(6.0) / 3.0)[1] == np.float32(1 / 3)
    assert not packed.missing


def test_what_does_not_vary_is_constant():
    packed = Packed([1.0, 2.0, True], "x", lambda path, leaf: path != "x[0]")
    assert packed.vector.tolist() == [2.0]
    assert packed.unpack(np.array([5.0])) == [1.0, 5.0, True]
    assert Packed([], "x").vector.size == 0


def test_what_is_constant_is_kept_with_its_path():
    rows, words = array.array("i", [1, 2]), {"n": 3, "z": 1j}
    packed = Packed([rows, np.ones(2), words, None], "x", lambda path, leaf: "z" not in path)
    assert packed.constants == [
        ("x[0]", rows),
        ("x[2]['n']", 3),
        ("x[2]['z'].real", 0.0),
        ("x[2]['z'].imag", 1.0),
        ("x[3]", None),
    ]
    assert packed.unpack(np.zeros(2))[0] is rows
    assert packed.unpack(np.zeros(2))[2:] == [words, None]


def test_every_element_knows_its_leaf_and_its_place_in_it():
    packed = Packed(([np.zeros(3), 1.0], np.zeros((2, 3)), {"n": 2, "a": np.zeros((2, 3, 2))}), ["x", "y", "z"])
    assert packed.leaf_slices() == [
        ("x[0]", slice(0, 3)),
        ("x[1]", slice(3, 4)),
        ("y", slice(4, 10)),
        ("z['a']", slice(10, 22)),
    ]
    assert [packed.leaf_path(i) for i in range(22)] == ["x[0]"] * 3 + ["x[1]"] + ["y"] * 6 + ["z['a']"] * 12
    assert [packed.element_name(i) for i in range(2, 10)] == [
        "x[0][2]",
        "x[1]",
        *[f"y[{i}, {j}]" for i in range(2) for j in range(3)],
    ]
    assert packed.element_name(10 + 7) == "z['a'][1, 0, 1]"
    by_columns = [4, 6, 8, 5, 7, 9]
    assert [packed.transposed_index(i) for i in range(22)] == [0, 1, 2, 3, *by_columns, *range(10, 22)]


def test_of_an_argument_are_the_leaves_in_it_that_are_no_constants():
    packed = Packed(([1.0, 2, np.zeros(2)], 3.0, {"n": 2, "a": 4.0}, "sum", [5.0, 6.0]), ["x", "y", "z", "mode", "w"])
    assert [packed.variable_paths(i) for i in range(5)] == [["x[0]", "x[2]"], ["y"], ["z['a']"], [], ["w[0]", "w[1]"]]


def test_arrays_that_are_not_filled_are_written_by_their_numbers():
    tree = {"a": np.ones((2, 2), "float32"), "n": np.arange(2), "b": np.ones(3)}
    made, [a, b] = Packed(tree, "x").empty_tree()
    assert [(x.dtype, x.shape) for x in (made["a"], made["b"])] == [(np.float32, (2, 2)), (np.float64, (3,))]
    a[:], b[:] = np.arange(4), np.arange(3)
    assert made["a"].tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert made["b"].tolist() == [0.0, 1.0, 2.0]
    assert made["n"].tolist() == [0, 1]
    assert len(Packed([np.ones(1)] * 300, "x").empty_tree()[1]) == 300
    for other in (1.0, np.float32(1.0), np.ones((2, 3)).T, array.array("d", [1.0])):
        assert not Packed([np.ones(2), other], "x").writable
    assert Packed([np.ones(2), np.ones(1, "float32")], "x").writable
    assert not Packed([np.ones(2), np.ones(1, "float16")], "x").writable, "of so few bits, what is off is made up for"


def test_the_numbers_of_each_leaf_keep_its_type():
    packed = Packed([np.float32([1.0, 2.0]), 3, np.ones((2, 2))], "x")
    flat = packed.flat_leaves([np.float32([3.0, 4.0]), 3, np.arange(4.0).reshape(2, 2)])
    typed = packed.split(np.array([3.0, 4.0, 0.0, 1.0, 2.0, 3.0]))
    for found in (flat, typed):
        assert [(x.dtype, x.tolist()) for x in found] == [(np.float32, [3.0, 4.0]), (np.float64, [0.0, 1.0, 2.0, 3.0])]
    for n in (3, 5):
        with pytest.raises(ValueError, match="an array has another size"):
            packed.flat_leaves([np.float32([3.0, 4.0]), 3, np.ones(n)])


def test_numbers_are_held_as_their_types_hold_them():
    third = np.full(3, 1.0 / 3.0)
    for kinds in (["float32"] * 2, ["float32", "float64"], ["float16", "float32"], ["float64"] * 2):
        packed = Packed([np.ones(n, kind) for n, kind in zip((1, 2), kinds, strict=True)], "x")
        first, second = (float(third.astype(kind)[0]) for kind in kinds)
        makes, held = packed.unpack_later(third)
        assert held.tolist() == packed.pack(makes()).tolist() == [first, second, second]
        assert packed.rounded(third).tolist() == packed.pack(packed.unpack(third)).tolist() == [first, second, second]
        assert [leaf.dtype for leaf in makes()] == [leaf.dtype for leaf in packed.unpack(third)] == kinds
    assert Packed([1, "sum"], "x").pack([1, "sum"]).tolist() == []


def test_what_a_function_changes_is_named():
    tree = [np.array([1.0, np.nan, 2.0]), np.arange(2), 4.0]
    packed = Packed(tree, "x")
    assert packed.first_change(tree, packed.vector) is None
    for i, value, message in (
        (0, 3.0, "x[0][0] from 1 to 3"),
        (0, np.nan, "x[0][0] from 1 to nan"),
        (1, 5.0, "x[0][1] from nan to 5"),
        (2, 1.0 / 3.0, "x[0][2] from 2 to 0.333333"),
    ):
        first = tree[0].copy()
        first[i] = value
        assert packed.first_change([first, *tree[1:]], packed.vector) == message
    assert packed.first_change([tree[0], np.array([0, 2]), 4.0], packed.vector) == "x[1]"


def test_derivatives_take_the_place_of_what_they_are_of():
    packed = Packed([np.zeros((2, 1)), 3.0, {"a": np.zeros(2)}], "x")
    found = packed.pack_derivative([np.array([[1.0], [2.0]]), np.array([4.0]), {"a": [5.0, 6.0]}], "it")
    assert found.tolist() == [1.0, 2.0, 4.0, 5.0, 6.0]
    assert not packed.missing
    found = packed.pack_derivative([None, 4.0, {"a": None}], "it")
    assert found.tolist() == [0.0, 0.0, 4.0, 0.0, 0.0]
    assert packed.missing == {"x[0]", "x[2]['a']"}
    several = Packed([[1.0, 2.0], 3.0], "x")
    assert several.pack_derivative([None, 5.0], "it").tolist() == [0.0, 0.0, 5.0]
    assert several.missing == {"x[0][0]", "x[0][1]"}


Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("tree", "model", "message"),
    [
        ([1.0, 2.0], np.zeros(3), r"it gave an array of shape \(2,\) for x, which has \(3,\)"),
        (1.0, np.zeros(2), r"it gave an array of shape \(\) for x, which has \(2,\)"),
        ([1.0], np.zeros(0), r"it gave an array of shape \(1,\) for x, which has \(0,\)"),
        ([1.0, 2.0], 1.0, r"it gave an array of shape \(2,\) for x, which has \(\)"),
        (np.ones(0), 1.0, r"it gave an array of shape \(0,\) for x, which has \(\)"),
        ([1.0], [1.0, 2.0], r"it must have 2 parts, as a list of 2 has, got a list of 1"),
        (np.ones(3), (1.0, 2.0), r"it must have 2 parts, as a tuple of 2 has, got a ndarray of shape \[3\]"),
        (1.0, [1.0, 2.0], r"it must have 2 parts, as a list of 2 has, got a float$"),
        ([1.0], {"a": 1.0}, r"it must have the keys \['a'\], got a list of 1"),
        ({"b": 1.0}, {"a": 1.0}, r"it must have the keys \['a'\], got a dict of 1"),
    ],
)
def test_another_structure_than_that_of_the_arguments_is_refused(tree, model, message):
    with pytest.raises(ValueError, match=message):
        Packed(model, "x").pack_derivative(tree, "it")
    assert Packed(Point(1.0, 2.0), "x").pack_derivative(np.array([3.0, 4.0]), "it").tolist() == [3.0, 4.0]


def test_what_is_no_number_is_refused():
    assert Packed(["sum", 1.0], "x").vector.tolist() == [1.0], "text is a constant"
    for x in ({}, "sum"):  # numpy raises TypeError, and ValueError
        with pytest.raises(TypeError, match=r"x is ndarray .*, neither a number nor an array"):
            Packed(np.array([x], object), "x")


# The point.


def test_a_problem_tells_what_it_can_not_compare():
    with pytest.raises(TypeError, match="check: f returned list, which holds no floating-point number"):
        problem_of(lambda x: [], np.ones(2))
    for n, write in ((np.arange(3), r"x0.astype\(float\)"), (2, "x0 = 2.0"), (True, "x0 = 1.0")):
        with pytest.raises(NothingCompared, match=f"compared nothing: .*, but x0 holds integers; write {write}$"):
            problem_of(lambda n: 1.0, n)
    with pytest.raises(NothingCompared, match=r"no argument holds floating-point numbers$"):
        problem_of(lambda mode: 1.0, "sum")
    with pytest.raises(NothingCompared, match="check: outside the domain, the function is inf there"):
        problem_of(lambda x: math.inf, 1.0)
    with pytest.raises(NothingCompared, match=r"check: outside the domain, f\[0\] is nan there"):
        problem_of(lambda x: [math.nan, math.inf], 1.0)
    some = problem_of(lambda x: [1.0, math.nan, math.inf], 1.0, vjp=lambda x, g: 0.0)
    assert some.finite_outputs.tolist() == [True, False, False]
    assert some.y.tolist() == some.value(np.array([2.0])).tolist() == [1.0, 0.0, 0.0]


def test_what_is_static_is_none_of_what_can_not_be_compared():
    with pytest.raises(NothingCompared, match=r"no argument holds floating-point numbers$"):
        Problem("check", lambda x, y: x * y, (1.0, np.ones(2)), {"gradient": abs}, None, None, static=[0, "x1"])


@pytest.mark.parametrize("static", ["a", "b", "c", 0, 1, 2])
def test_what_is_static_is_an_argument_with_all_its_parts(static):
    args = {"a": [1.0, 2.0], "b": 3.0, "c": {"x": np.ones(2)}, "ab": 4.0}
    problem = Problem("check", lambda *args: 1.0, tuple(args.values()), {"vjp": abs}, None, None, list(args), [static])
    paths = ["a[0]", "a[1]", "b", "c['x']", "ab"]
    name = static if isinstance(static, str) else list(args)[static]
    assert [path for path, _ in problem.arguments.leaf_slices()] == [p for p in paths if p.partition("[")[0] != name]


@pytest.mark.parametrize(("apart", "same"), [(8.0, True), (-8.0, True), (9.0, False), (-9.0, False)])
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
    gradients = iter([9.0, 1.0, 7.0, 7.0, 2.0])
    with pytest.raises(NotDeterministic, match=r"two calls of the gradient gave 1.0 and 2.0"):
        check_contract(problem_of(lambda x: x, 1.0, vjp=lambda x, g: next(gradients)), np.random.default_rng(0))


def test_of_two_numbers_the_one_that_chance_moves_is_named():
    values = iter([1.0, 2.0])
    with pytest.raises(NotDeterministic, match=r"two calls of it, at f\[1\], gave 1.0 and 2.0$"):
        problem_of(lambda x: [x, next(values)], 1.0)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError, OverflowError, ValueError, RuntimeError, RuntimeWarning, KeyError]
)
def test_errors_of_arithmetic_and_of_values_are_refusals(error):
    def f(x):
        if x[0] > 2.0:
            raise error
        return x

    problem, beyond = problem_of(f, np.ones(2)), np.array([3.0, 1.0])
    assert problem.evaluate_tree([np.ones(2)])[1][0].tolist() == [1.0, 1.0]
    for way in (problem.value, lambda x: problem.evaluate_tree([x])):
        if error is KeyError:
            with pytest.raises(KeyError):
                way(beyond)
        else:
            assert way(beyond) is None or np.isnan(way(beyond)).all()


# How often the function is called.


@pytest.mark.parametrize(("n", "m", "singly"), [(16, 1, True), (4, 4, True), (17, 1, False), (1, 17, False)])
def test_up_to_sixteen_derivatives_are_compared_singly(n, m, singly):
    a = np.arange(1.0, n * m + 1.0).reshape(m, n)
    rows = compare_problem(problem_of(lambda x: a @ x, np.ones(n), vjp=lambda x, g: g @ a), 0)
    assert any(row.title.startswith("direction") for row in rows) is not singly
    assert all(row.agrees for row in rows)


def test_two_calls_are_made_at_the_point_and_three_hundred_are_left():
    problem = problem_of(lambda x: x, np.ones(2))
    assert (problem.budget.calls, problem.budget.left) == (2, 300)


@pytest.mark.parametrize("share", [0, 3])
def test_a_comparison_calls_the_function_no_more_often_than_its_share_allows(share):
    problem = problem_of(lambda x: x, np.ones(2))
    for way in (problem.value, lambda x: problem.evaluate_tree([x])):
        before = problem.budget.calls

        def compare(way=way):
            with contextlib.suppress(OutOfCalls):
                for i in range(9):
                    way(np.full(2, float(i)))

        problem.budget.run(share, compare)
        assert problem.budget.calls - before == share
        assert len(problem.evaluate_tree([np.ones(2)])) == 2, "afterwards there is no limit"


@pytest.mark.parametrize(("n", "remembered"), [(500, True), (501, False)])
def test_points_of_up_to_a_thousand_numbers_and_values_are_not_asked_for_twice(n, remembered):
    problem = problem_of(lambda x: x[:500], np.ones(n))
    assert [len(problem.point_leaves), len(problem.output_leaves)] == ([0, 0] if remembered else [1, 1])
    for x in (2.0, 3.0, 2.0):
        assert problem.value(np.full(n, x)).tolist() == [x] * 500
    assert problem.budget.calls == (4 if remembered else 5)
    assert problem_of(lambda x: x[:1], np.ones(999)).point_leaves == []
    assert len(problem_of(lambda x: x[:1], np.ones(1000)).point_leaves) == 1
    if remembered:
        assert problem.budget.run(0, lambda: problem.value(np.full(n, 3.0))[0]) == 3.0, "which takes no calls"


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
    assert problem.derivative_name(1, 2) == "df[1]/dx1"
    assert problem.derivative_name(0, 1) == "df[0]/dx0[1]"
    assert problem_of(lambda x: x, 1.0).derivative_name(0, 0) == "df/dx0"
    assert problem_of(lambda x: x, np.ones(1)).derivative_name(0, 0) == "df/dx0[0]"
    assert problem_of(lambda x: {"a": np.zeros(0), "b": x}, 1.0).derivative_name(0, 0) == "df['b']/dx0"
    assert problem.scale.tolist() == [8.0, 4.0, 4.0]
    assert problem.element_direction(1).tolist() == [0.0, 4.0, 0.0]
    assert problem.typical_slope(np.ones(2)) == pytest.approx(math.sqrt((24.0**2 + 12.0**2 + 28.0**2) / 3.0))
    infinite = problem_of(lambda x: x.sum(), np.ones(3), vjp=lambda x, g: np.array([math.inf, 3.0, math.nan]))
    assert infinite.typical_slope(np.ones(1)) == 3.0
    nothing = problem_of(lambda x: x.sum(), np.ones(1), vjp=lambda x, g: np.array([math.inf]))
    assert nothing.typical_slope(np.ones(1)) == 0.0
    assert problem_of(np.sin, np.ones(2), jvp=lambda x, t: t).typical_slope(np.ones(2)) == 0.0


def test_numbers_are_tied_to_equal_ones():
    assert tied(np.array([1.0, 2.0, 1.0, 1.0, 2.0, 3.0])).tolist() == [True, True, True, True, True, False]


def test_sizes_are_powers_of_2():
    assert floor_power_of_2(np.array([5.0, 4.0, 3.99, 0.3, 0.0])).tolist() == [4.0, 4.0, 2.0, 0.25, 0.0]
    assert element_scales(np.array([-8.0, 0.0, 0.5])).tolist() == [8.0, 4.0, 4.0]
    assert element_scales(np.array([0.0])).tolist() == [1.0]
    assert rms(np.array([3.0, -4.0])) == pytest.approx(math.sqrt(12.5), rel=1e-15)
    assert rms(np.zeros(3)) == rms(np.zeros(0)) == 1.0
    assert unit_vector(3, 2).tolist() == [0.0, 0.0, 1.0]
    assert (
        element_scales(np.array([8.0, np.inf])).tolist()
        == element_scales(np.array([8.0, np.nan])).tolist()
        == [8.0, 4.0]
    )
    assert element_scales(np.array([0.25, np.nan])).tolist() == [0.25, 0.125]


@np.errstate(all="ignore")
def test_the_length_of_a_vector_is_that_of_what_is_finite_however_large_or_small():
    assert norm(np.array([2.0**-10, 2.0**-11])) == math.sqrt(1.25) * 2.0**-10
    assert norm(np.zeros(2)) == norm(np.array([np.nan])) == norm(np.zeros(0)) == 0.0
    assert norm(np.array([3.0 * 2.0**-600, np.inf])) == 3.0 * 2.0**-600
    assert norm(np.array([3.0, -4.0, np.inf, np.nan])) == 5.0
    assert norm(np.array([3.0, 2.0, np.inf]), np.array([1.0, -2.0, 3.0])) == 5.0
    assert norm(np.array([2.0**600, 1.0]), np.array([3.0 * 2.0**-600, 4.0])) == 5.0
    assert norm(np.full(30000, 2.0**-600)) == pytest.approx(2.0**-600 * math.sqrt(30000.0))
    assert [norm(size * np.array([3.0, -4.0])) / size for size in (2.0**-700, 2.0**-520, 2.0**700)] == [5.0] * 3


def test_the_size_of_an_array_of_outputs_is_a_power_of_2_that_is_not_far_from_1():
    outputs = [np.array([3.0, -3.0]), 1e9, -1e-9, np.full(4, 0.3), 2.0**7.9, 0.0]
    problem = problem_of(lambda x: outputs, 1.0, vjp=lambda x, g: 0.0)
    assert problem.output_scales == [4.0, 256.0, 2.0**-8, 0.25, 256.0, 1.0]
    assert problem_of(lambda x: 2.0**-7.4, 1.0).output_scales == [2.0**-7]


def test_outputs_are_weighted_by_one_over_the_size_of_their_array():
    problem = problem_of(lambda x: (64.0 * x, x / 64.0), np.ones(50), vjp=lambda x, g: 64.0 * g[0] + g[1] / 64.0)
    weighted = np.abs(random_cotangent(problem, np.random.default_rng(0)) * problem.y)
    assert ((weighted >= 0.5) & (weighted <= 1.0)).all()


def test_gradients_of_three_weights_are_remembered():
    calls = []
    reverse = ReverseMode(lambda x, u: (calls.append(u), u * x)[1])
    x, weights = np.ones(2), [np.array([2.0, 3.0]), np.array([0.0, 1.0]), np.array([1.0, 1.0])]
    for u in (*weights, *weights, weights[0]):
        assert reverse.gradient(x, u).tolist() == u.tolist()
    assert len(calls) == 3
    reverse.gradient(x.copy(), weights[0])
    assert len(calls) == 4, "at another point"
    reverse.gradient(x, weights[0].copy())
    assert len(calls) == 5, "of other weights"
    reverse.gradient(x, weights[1])
    assert len(calls) == 6, "no fourth is kept"


@pytest.mark.parametrize("same", [True, False])
def test_one_call_gives_the_outputs_and_the_gradient_if_they_do_not_depend_on_the_recording(same):
    torch = pytest.importorskip("torch")
    calls = []

    def f(x):
        calls.append(x.requires_grad)
        return x.sin() if same or x.requires_grad else x.sin() + 1.0

    problem = Problem("check", f, (torch.linspace(-1.0, 1.0, 9).bfloat16(),), {}, None, None)
    u = np.ones(9)
    for x in (problem.x, problem.x + 0.25, problem.x - 0.25):
        y, held, g = problem.evaluate_with_gradient(x, u)
        expected, at = problem.evaluate(x)
        assert np.array_equal(y, expected)
        assert np.array_equal(held, at)
        assert (g is not None) is same
        assert g is None or np.array_equal(g, problem.derivative.gradient(problem.arguments.rounded(x), u))
    before = len(calls)
    problem.evaluate_with_gradient(problem.x + 0.5, u)
    assert len(calls) == before + 1
    other = Problem("check", f, (torch.ones(2).bfloat16(),), {}, None, None, like=lambda x: f(x) + (x - 1.0))
    y, _, g = other.evaluate_with_gradient(other.x + 0.5, np.ones(2))
    assert g is None, "the values are not those of f"
    assert np.array_equal(y, other.value(other.x + 0.5))
