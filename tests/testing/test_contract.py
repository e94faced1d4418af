"""The contract of a backward pass: each rule is broken once."""

import contextlib
import functools
import itertools
import math
import random
import re
import warnings

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.testing import GradientMismatch, NotDeterministic, NothingCompared, PartlyCompared, gradcheck
from micrograd_cn.testing.arrays.contract import check_contract, check_no_stale_state, random_cotangent
from micrograd_cn.testing.arrays.problem import Problem


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def problem_of(f, *args, rtol=None, **named):
    return Problem("check", f, args, named, rtol, None)


def seeded():
    return np.random.default_rng(0)


@pytest.mark.parametrize("kind", ["float64", "float32", "float16"])
def test_an_upstream_gradient_that_is_forgotten_in_a_scalar_is_found(kind):
    x = np.array([1.25, 1.5], kind)
    gradcheck(lambda x: (x**3).sum(), x, vjp=lambda x, g: 3 * g * x**2)
    with pytest.raises(
        GradientMismatch, match=r"upstream gradient not used: d/dx\[0\] is .* Multiply what is returned"
    ):
        gradcheck(lambda x: (x**3).sum(), x, vjp=lambda x, g: 3 * x**2)
    with pytest.raises(GradientMismatch, match=r"not linear in the upstream gradient: .* Multiply each term"):
        gradcheck(lambda x: x**3, np.array([0.5, 1.0]), vjp=lambda x, g: 3.0 * g * x**2 + 0.5)
    with pytest.raises(GradientMismatch, match=r"with -0\.5 times the upstream gradient 4\.6875, not -2\.34375"):
        gradcheck(lambda x: (x**3).sum(), x, vjp=lambda x, g: 3 * abs(g) * x**2 * (1 if g > 0 else 2))


def test_in_few_bits_a_term_that_is_too_small_to_be_held_is_no_mistake_and_one_that_is_not_linear_is():
    half = np.float16
    point = np.array([0.5, 1.0, 1.5], half), np.array([0.25, 0.375, 0.5], half)
    steep = half(10_000)  # a larger upstream gradient overflows to inf

    def f(x, y):
        return x + half(0.002) * y

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartlyCompared)  # y moves f by less than it is rounded
        gradcheck(f, *point, vjp=lambda x, y, g: (g, g * half(2.5e-7) * half(8000)))
        with pytest.raises(GradientMismatch, match="not linear in the upstream gradient: d/dy"):
            gradcheck(f, *point, vjp=lambda x, y, g: (g, g * abs(g) * half(0.002)))
        with np.errstate(over="ignore"), pytest.raises(GradientMismatch, match="not linear in the upstream gradient"):
            gradcheck(lambda x: steep * x, point[0] / steep, vjp=lambda x, g: steep * g * abs(g))


def test_a_derivative_along_tangents_is_linear_in_them():
    gradcheck(np.tanh, draw(3), jvp=lambda x, t: t * (1 - np.tanh(x) ** 2))
    with pytest.raises(GradientMismatch, match=r"jvp= is not linear in the tangents: it gives"):
        gradcheck(np.tanh, draw(3), jvp=lambda x, t: abs(t) * (1 - np.tanh(x) ** 2))


@pytest.mark.parametrize(
    "how",
    [
        {"gradient": lambda x: np.add(x, 1e-3, out=x) * 0 + np.cos(x)},
        {"jacobian": lambda x: np.cos(np.add(x, 1e-3, out=x))},
        {"jvp": lambda x, t: np.cos(np.add(x, 1e-3, out=x)) @ t},
    ],
    ids=lambda how: next(iter(how)),
)
def test_whatever_form_a_derivative_has_it_changes_no_argument(how):
    with pytest.raises(
        GradientMismatch, match=r"the derivative changes the argument x\[0\] from 0\.5 to 0\.501; let it"
    ):
        gradcheck(lambda x: np.sin(x).sum(), np.linspace(0.5, 1.0, 3), **how)


def test_a_gradient_of_chance_is_found_where_ones_as_weights_would_not_show_it():
    noise = np.random.default_rng(0)

    def softmax(x):
        e = np.exp(x - x.max())
        return e / e.sum()

    def vjp(x, g):
        p = softmax(x) * (1 + 1e-3 * noise.normal(size=x.shape))
        return p * (g - (g * p).sum() / p.sum())

    with pytest.raises(NotDeterministic, match="two calls of the gradient"):
        gradcheck(softmax, draw(6), vjp=vjp)


def test_whose_numbers_are_drawn_is_told():
    for draws, name in ((random.random, "random"), (np.random.random, "numpy.random")):
        with pytest.raises(NotDeterministic, match=f"f draws from {name}: seed it inside f"):
            gradcheck(lambda x, draws=draws: (x * draws()).sum(), draw(3), gradient=np.ones_like)


def coin(kind, seed):
    """Return a function that is True or False by chance: by a global generator, or by one of its own."""
    random.seed(seed), np.random.seed(seed)
    own = np.random.default_rng(seed)
    return {
        "random": lambda: random.random() > 0.5,
        "numpy.random": lambda: np.random.random() > 0.5,
        "own": lambda: own.random() > 0.5,
    }[kind]


@pytest.mark.parametrize("kind", ["random", "numpy.random"])
@pytest.mark.parametrize("seed", range(8))
def test_a_coin_in_a_function_never_passes(kind, seed):
    toss, x = coin(kind, seed), np.array([3.0, 2.0])
    for f, args, how in (
        (lambda x: x * x + toss(), (x,), {"vjp": lambda x, u: 2 * x * u}),
        (lambda x: (x * x).sum() * (1 + toss()), (x,), {"gradient": lambda x: 2 * x}),
        (lambda x: (x * x).sum(), (x,), {"gradient": lambda x: 2 * x * (1 + toss())}),
        (lambda x: x * x + toss(), (3.0,), {}),
        (lambda x, p: x * (2 if isinstance(p, Value) else p) + toss(), (3.0, 2.0), {}),
        (lambda x, k: x**k * (1 + toss()), (3.0, 2), {}),
    ):
        with pytest.raises(NotDeterministic, match="two calls of"):
            gradcheck(f, *args, **how)


@pytest.mark.parametrize("seed", range(6))
def test_a_coin_of_a_function_s_own_shows_where_its_values_jump(seed):
    toss = coin("own", seed)
    with pytest.raises(NotDeterministic):
        gradcheck(lambda x: x * x + toss(), 3.0)
    toss, x = coin("own", seed), np.arange(1.0, 9.0)
    with pytest.raises(NotDeterministic):
        gradcheck(lambda x: x * x + toss(), x, vjp=lambda x, u: 2 * x * u)


@pytest.mark.parametrize("call", [5, 10, 13, 22, 37])
def test_a_rare_event_is_found_where_it_has_happened(call):
    calls = itertools.count()
    with pytest.raises(NotDeterministic):
        gradcheck(lambda x: (x * x).sum() * (1 + (next(calls) == call)), np.arange(99.0), gradient=lambda x: 2 * x)


def test_random_numbers_that_change_nothing_are_warned_about_unless_they_are_seeded():
    def seeded(x):
        np.random.seed(0)
        return (x * x).sum() + np.random.random()

    assert gradcheck(seeded, draw(3), gradient=lambda x: 2 * x)
    for args, how in (((draw(3),), {"gradient": lambda x: 2 * x}), ((3.0,), {})):
        for generator in (random.random, np.random.random):
            name = "random" if generator is random.random else "numpy.random"
            with pytest.warns(PartlyCompared, match=f"f draws from {name}, so it may not be deterministic"):
                gradcheck(lambda x, draws=generator: np.sum(x * x) + 0.0 * draws(), *args, **how)


@pytest.mark.parametrize(("seeds", "of_f", "of_vjp"), [(0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1)])
def test_only_what_draws_without_a_seed_is_called_often_of_a_function_and_its_derivative(seeds, of_f, of_vjp):
    calls = []

    def f(x):
        calls.append("f")
        if seeds:
            np.random.seed(0)
        return x * x + 0.0 * sum(np.random.random(of_f))

    def vjp(x, u):
        calls.append("vjp")
        return 2.0 * x * u + 0.0 * sum(np.random.random(of_vjp))

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        gradcheck(f, draw(3), vjp=vjp)
    drawn = bool(of_f and not seeds)
    assert (calls.count("f") > 50, calls.count("vjp") > 30, bool(told)) == (drawn, bool(of_vjp), drawn)


def test_a_directional_derivative_is_warned_about_whose_function_draws():
    with pytest.warns(PartlyCompared, match="f draws from random, so it may not be deterministic"):
        gradcheck(lambda x: x * x + 0.0 * random.random(), draw(3), jvp=lambda x, d: 2.0 * x * d)


def test_global_generators_go_on_as_if_there_had_been_no_check():
    random.seed(3), np.random.seed(3)
    expected = random.random(), np.random.random()
    random.seed(3), np.random.seed(3)
    with pytest.raises(NotDeterministic):
        gradcheck(lambda x: (x * random.random() * np.random.random()).sum(), draw(3), gradient=np.ones_like)
    assert (random.random(), np.random.random()) == expected


def test_arguments_that_are_integers_may_not_be_changed_either():
    def f(x, rows):
        rows += 1
        return x[rows % 3]

    with pytest.raises(GradientMismatch, match=r"f changes its argument rows; its gradient would be taken"):
        gradcheck(f, draw(3), np.arange(3), vjp=lambda x, rows, g: (g, None))


def test_what_is_kept_from_other_points_does_not_count_here():
    once = {}

    def vjp(x, g):
        once.setdefault("factor", 2 * x)
        return g * once["factor"]

    with pytest.raises(GradientMismatch):
        gradcheck(np.square, draw(4), vjp=vjp)

    last = {}

    def f(x):
        last["x"] = x.copy()
        return x * x

    with pytest.raises((GradientMismatch, NotDeterministic)):
        gradcheck(f, draw(4), vjp=lambda x, g: 2 * g * last["x"])


def test_an_upstream_gradient_need_not_be_contiguous():
    def raw(x, g):
        flat = np.lib.stride_tricks.as_strided(g, (g.size,), (g.itemsize,))  # reads memory as if it were contiguous
        return 2 * x * flat.reshape(x.shape)

    gradcheck(np.square, draw(3, 4), vjp=lambda x, g: 2 * x * g)
    with pytest.raises(GradientMismatch, match=r"upstream gradient is not contiguous \(\.contiguous\(\) makes it so\)"):
        gradcheck(np.square, draw(3, 4), vjp=raw)


@pytest.mark.parametrize("x", [draw(4, 3).T, draw(6)[::2], np.asfortranarray(draw(3, 4)), draw(4, 3)[:, 1:]])
def test_arguments_keep_their_strides(x):
    found = []

    def f(x):
        found.append(x.strides)
        return x * 1.0

    gradcheck(f, x, vjp=lambda x, g: g)
    assert set(found) == {x.strides}


def test_many_numbers_between_others_are_read_as_they_are():
    x = draw(4000)[::2]
    gradcheck(np.sin, x, vjp=lambda x, g: g * np.cos(x))
    with pytest.raises(GradientMismatch):
        gradcheck(np.sin, x, vjp=lambda x, g: 1.1 * g * np.cos(x))


def test_outputs_that_are_not_finite_have_no_weight():
    problem = problem_of(lambda x: np.append(x, np.nan), np.ones(9), vjp=lambda x, g: g[:-1])
    weights = random_cotangent(problem, seeded())
    assert weights[9] == 0.0
    assert weights[:9].all()
    finite = problem_of(lambda x: 1.0 * x, np.ones(90), vjp=lambda x, g: g)
    assert set(random_cotangent(finite, seeded())) == {-1.0, -0.75, -0.5, 0.5, 0.75, 1.0}


def test_the_derivative_is_called_first_a_sixteenth_away_and_f_at_last():
    points, derived = [], []
    x = np.array([3.0, -5.0, 2.0, 9.0, 1.0, 7.0])
    problem = problem_of(
        lambda x: (points.append(x.copy()), 2.0 * x)[1], x, vjp=lambda x, g: (derived.append(x.copy()), 2.0 * g)[1]
    )
    kept = check_contract(problem, seeded())
    assert set(derived[0] / x - 1.0) == {-0.0625, 0.0625}
    assert all((other == x).all() for other in derived[1:])
    check_no_stale_state(problem, *kept)
    assert (points[-1] == x + problem.scale / 16.0).all()
    assert (derived[-1] == x).all()


def test_a_derivative_may_fail_elsewhere():
    x = np.array([3.0, -5.0])

    def vjp(at, g):
        assert (at == x).all()
        return 2.0 * g

    problem = problem_of(lambda x: 2.0 * x, x, vjp=vjp)
    u, g = check_contract(problem, seeded())
    assert (g == 2.0 * u).all()


@pytest.mark.parametrize(
    ("result", "how"),
    [
        (np.asarray, lambda last: {"vjp": lambda x, g: 2 * g * last["x"]}),
        (np.asarray, lambda last: {"jacobian": lambda x: np.diag(2 * last["x"])}),
        (np.sum, lambda last: {"gradient": lambda x: 2 * last["x"]}),
    ],
    ids=["vjp", "jacobian", "gradient"],
)
def test_what_f_keeps_from_other_points_is_told_whatever_form_the_derivative_has(result, how):
    last = {}

    def f(x):
        last["x"] = x.copy()
        return result(x * x)

    with pytest.raises(
        GradientMismatch, match=r"gradient for x\[0\] changes after calls of f elsewhere: does f store a"
    ):
        gradcheck(f, draw(4), **how(last))


@pytest.mark.parametrize("kind", ["float64", "float32", "float16"])
def test_a_backward_pass_that_uses_what_the_call_before_has_stored_is_told_so(kind):
    """In half precision, equal gradients may differ by more than those of points that are near to each other."""
    last = {}

    def forward(x):
        used, last["x"] = last.get("x", x), x.copy()
        return x + x.dtype.type(0.15) * x * x, used

    def backward(g, used):
        return (g * (1 + 0.3 * used)).astype(used.dtype)

    with pytest.raises(GradientMismatch, match=r"gradient for x\[0\] changes after calls of f elsewhere: does f store"):
        gradcheck(forward, np.array([0.1, 0.12], kind), backward=backward)
    gradcheck(lambda x: (forward(x)[0], x), np.array([0.1, 0.12], kind), backward=backward)


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_what_is_linear_may_be_off_by_64_last_bits_for_each_output(outputs, sign):
    def jvp(x, t, bits):
        return t[0] * np.ones(outputs) * (1.0 + (sign * bits * 2.0**-51 if abs(t[0]) < 4.0 else 0.0))

    def check(bits, rtol=0.0):
        f = (lambda x: x[0] * np.ones(4)) if outputs == 4 else lambda x: x[0]
        problem = problem_of(
            f, np.array([4.0]), rtol=rtol, jvp=lambda x, t: jvp(x, t, bits) if outputs == 4 else jvp(x, t, bits)[0]
        )
        return check_contract(problem, seeded())

    assert check(62.0 * outputs) is None
    with pytest.raises(
        GradientMismatch, match=r"jvp= is not linear in the tangents: it gives \S+, and \S+ for -0\.5 times"
    ):
        check(66.0 * outputs)
    assert check(1.9e-6 * 2.0**51, rtol=None) is None, "or by the relative tolerance"
    with pytest.raises(GradientMismatch, match="not linear"):
        check(2.1e-6 * 2.0**51, rtol=None)


def test_tangents_are_of_the_numbers_sizes():
    tangents = []
    x = np.array([8.0, 4.0, 9.0, 5.0, 8.5, 4.5])
    problem = problem_of(lambda x: x.sum(), x, jvp=lambda x, t: (tangents.append(t.copy()), t.sum())[1])
    check_contract(problem, seeded())
    once, other, nothing = tangents[-3:]
    assert (np.abs(once) == problem.scale).all()
    assert len(set(np.sign(once))) == 2
    assert (other == -0.5 * once).all()
    assert not nothing.any()


def test_a_derivative_along_tangents_that_is_no_number_is_wrong_and_not_called_nonlinear():
    with pytest.raises(GradientMismatch, match="wrong for x"):
        gradcheck(np.tanh, draw(3), jvp=lambda x, t: np.nan * t)


def test_what_is_not_linear_is_named_with_its_argument_and_element():
    used = "with -0.5 times the upstream gradient"
    for by_w, said in (
        (
            lambda g: 3.0,
            f"upstream gradient not used: d/dx1[1] is 3, {used} 3, not -1.5. Multiply what is returned for x1 by it",
        ),
        (
            lambda g: 3.0 * g * g,
            f"not linear in the upstream gradient: d/dx1[1] is 3, {used} 0.75, not -1.5. "
            "Multiply each term of what is returned for x1 by it once",
        ),
    ):
        problem = problem_of(
            lambda x, w: x + 3.0 * w[1:].sum(),
            2,
            np.ones(3),
            vjp=lambda x, w, g, by_w=by_w: (None, np.array([0.0, by_w(g), by_w(g)])),
        )
        with pytest.raises(GradientMismatch) as caught:
            check_contract(problem, seeded())
        assert str(caught.value) == f"check: {said}"


def test_of_what_a_backward_pass_raises_two_hundred_letters_are_shown_in_one_line():
    def vjp(x, g):
        if not g.flags.c_contiguous:
            raise RuntimeError("a\n  b " + 300 * "c")
        return 2.0 * g

    with pytest.raises(GradientMismatch) as caught:
        gradcheck(lambda x: 2.0 * x, draw(3), vjp=vjp)
    assert str(caught.value).endswith(": RuntimeError: a b " + 196 * "c")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_what_is_wrong_for_one_kind_of_upstream_gradient_is_named_with_both_numbers():
    def vjp(x, g):
        return 2.0 * g if g.flags.c_contiguous else np.where(np.arange(3) == 1, 7.0, 2.0 * g)

    problem = problem_of(lambda x: 2.0 * x, np.ones(3), vjp=vjp)
    with pytest.raises(GradientMismatch) as caught:
        check_contract(problem, seeded())
    expected = 2.0 * random_cotangent(problem, seeded())[1]
    form = "not contiguous (.contiguous() makes it so)"
    assert str(caught.value) == (
        f"check: the backward pass is wrong if the upstream gradient is {form}: d/dx0[1] is 7, not {expected:.6g}"
    )


def test_of_upstream_gradients_those_of_arrays_alone_are_spread_among_nan():
    def f(x):
        return [2.0 * x, np.array(x.sum()), 3.0 * float(x[0, 0]), x[:0]]

    def vjp(x, g):
        seen.append(g)
        return 2.0 * g[0] + g[1] + 3.0 * g[2] * first

    seen, first = [], np.eye(2, 3) * [1.0, 0.0, 0.0]
    gradcheck(f, np.ones((2, 3)), vjp=vjp)
    spread = [g for g in seen if not g[0].flags.c_contiguous]
    assert spread
    for array, *others in spread:
        across, along = array.strides
        assert along > array.itemsize
        assert across > 3 * along
        assert np.isnan(array.base).sum() == array.base.size - 6
        assert [np.shape(x) for x in others] == [(), (), (0, 3)]
        assert others[2].flags.c_contiguous
    seen.clear()
    gradcheck(lambda x: [x.sum(), x[:0]], np.ones(3), vjp=lambda x, g: (seen.append(g), g[0] + 0.0 * x)[1])
    assert all(np.shape(g[0]) == () and g[1].flags.c_contiguous for g in seen)


def test_an_upstream_gradient_that_is_changed_where_it_is_contiguous_alone_is_seen():
    def doubled(x, g):
        flat = g.reshape(-1)  # a copy if g is not contiguous
        flat *= 2.0
        return flat.reshape(x.shape)

    with pytest.raises(GradientMismatch, match="the backward pass changes the upstream gradient"):
        gradcheck(lambda x: 2.0 * x, np.ones((5, 4)), vjp=doubled)


def difference(change, of_x=(8.0, 1.0, 1.0), of_w=(1.0, -4.0, 1.0, 1.0), rtol=0.0):
    """Return which derivative a vjp is told to get wrong, which changes its gradients for some upstream gradients.

    The result is "" if it is not told. The gradients are `of_x` and `of_w` times the upstream gradients, and `change`
    is called with both if these are not contiguous.
    """

    def vjp(x, w, g):
        found = [np.array(slopes) * part for slopes, part in zip((of_x, of_w), g, strict=True)]
        if not g[0].flags.c_contiguous:
            change(*found)
        return tuple(found)

    problem = problem_of(lambda x, w: (1.0 * x, 1.0 * w), np.ones(3), np.ones(4), rtol=rtol, vjp=vjp)
    try:
        with np.errstate(all="ignore"):
            check_contract(problem, seeded())
    except GradientMismatch as error:
        [found] = re.findall(r"not contiguous.*: d/d(\S+) is", str(error))
        return found
    return ""


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_gradients_are_the_same_up_to_64_last_bits_of_the_largest_of_their_array(sign):
    def off(part, array, *at):
        def change(*gradients):
            gradients[array][[*at]] += sign * part * np.max(np.abs(gradients[array]))

        return change

    bit = 2.0**-52
    for array, at, name in ((0, 1, "x0[1]"), (1, 2, "x1[2]")):
        assert difference(off(62.0 * bit, array, at)) == ""
        assert difference(off(66.0 * bit, array, at)) == name
        assert difference(off(0.99e-6, array, at), rtol=1e-6) == ""
        assert difference(off(1.01e-6, array, at), rtol=1e-6) == name
    assert difference(off(1.0, 1, 1, 3)) == "x1[1]", "the first of them"


def test_a_gradient_of_0_may_be_off_by_what_no_type_holds_to_all_its_digits():
    for off, found in ((1e-310, ""), (1e-300, "x0[1]")):
        assert difference(lambda x, w, off=off: x.__setitem__(1, off), of_x=np.zeros(3)) == found


def test_linearity_is_asked_to_the_tolerance():
    """The backward pass of a logcumsumexp multiplies by exponentials, and loses digits where these are large."""
    x = np.array([1.5, 2.5])

    def vjp(x, g, lost):
        return g * (1.0 + np.where(np.abs(g) < 0.6, lost, 0.0))

    gradcheck(lambda x: 1.0 * x, x, vjp=lambda x, g: vjp(x, g, 0.5e-6))
    for lost, rtol in ((2e-6, None), (0.5e-6, 1e-7)):
        with pytest.raises(GradientMismatch):
            gradcheck(lambda x: 1.0 * x, x, vjp=lambda x, g, lost=lost: vjp(x, g, lost), rtol=rtol)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_terms_that_a_library_rounds_to_0_break_no_linearity(kind):
    """XLA rounds numbers below the smallest normal one to 0, as in the density of a normal distribution at -13."""
    least, factor = np.finfo(kind).tiny, np.dtype(kind).type(0.3989423)
    x = np.array([-13.176 if kind == "float32" else -37.63], kind)

    def flushed(z):
        return np.where(np.abs(z) < least, 0, z).astype(kind)

    def density(x):
        return flushed(factor * np.exp(-0.5 * x * x))

    def vjp(x, g):
        return -x * flushed(factor * g * np.exp(-0.5 * x * x))

    with contextlib.suppress(NothingCompared):
        gradcheck(density, x, vjp=vjp)
    with pytest.raises(GradientMismatch, match="not linear in the upstream gradient where that is large"):
        gradcheck(density, 0.9 * x, vjp=lambda x, g: vjp(x, np.clip(g, -1, 1)))


def test_what_is_not_finite_differs_from_nothing_and_hides_no_other_element():
    def wrong(*places, by=1.0):
        def change(*gradients):
            for array, at in places:
                gradients[array][at] += by

        return difference(change, of_x=(np.nan, 1.0, 2.0), of_w=(1.0, 1.0, np.inf, 1.0), rtol=None)

    assert wrong((0, 0), (1, 2)) == wrong((1, 3), by=1e-8) == ""
    assert wrong((0, 0), (0, 1)) == "x0[1]"
    assert wrong((1, 3)) == wrong((1, 3), by=np.nan) == "x1[3]"
    assert difference(lambda x, w: w.__setitem__(0, 7.0), of_x=[np.nan] * 3) == "x1[0]"


# PyTorch.


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def square(torch):
    """Return a function that makes a square with a given backward pass."""

    def with_backward(backward):
        class Square(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

        Square.backward = staticmethod(backward)
        return Square

    return with_backward


def test_what_a_backward_pass_of_torch_must_stand(torch, square):
    x = torch.randn(3, 4, dtype=torch.float64)
    gradcheck(square(lambda ctx, g: 2 * ctx.saved_tensors[0] * g), x)
    for backward, message in (
        (lambda ctx, g: 2 * ctx.saved_tensors[0] * g.view(-1).view(g.shape), "fails if .* not contiguous"),
        (lambda ctx, g: 2 * ctx.saved_tensors[0] * g.mul_(1.0), "fails if .* expanded, as that of y.sum"),
        (lambda ctx, g: ctx.saved_tensors[0] * g.mul_(2.0), "the backward pass changes the upstream gradient"),
        (lambda ctx, g: 2 * ctx.saved_tensors[0], "upstream gradient not used"),
    ):
        with pytest.raises(GradientMismatch, match=f"gradcheck of Square at x = .*{message}"):
            gradcheck(square(backward), x)


def test_an_upstream_gradient_of_torch_may_be_none(torch):
    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.set_materialize_grads(False)
            return x * x, x.sin()

        @staticmethod
        def backward(ctx, a, b):
            (x,) = ctx.saved_tensors
            return 2 * x * a + x.cos() * b

    with pytest.raises(GradientMismatch, match=r"fails if the upstream gradient is None but for f\[0\]: TypeError"):
        gradcheck(Both, torch.randn(3, dtype=torch.float64))


def test_tensors_keep_their_strides(torch):
    x = torch.randn(3, 4, dtype=torch.float64).T
    found = set()
    gradcheck(lambda x: found.add(x.stride()) or x.sin(), x)
    assert found == {x.stride()}


def test_the_generator_of_torch_goes_on_as_if_there_had_been_no_check(torch):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with pytest.raises(NotDeterministic, match="f draws from torch"):
        gradcheck(lambda x: torch.nn.functional.dropout(x), torch.ones(50))
    assert torch.equal(torch.rand(1), expected)


def test_a_derivative_along_tangents_is_linear_in_each_of_them():
    for k in range(20):
        with pytest.raises(GradientMismatch, match="jvp= is not linear in the tangents"):
            gradcheck(np.tanh, draw(1), jvp=lambda x, t: abs(t) * (1 - np.tanh(x) ** 2), seed=k)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("n", [3, 300])
def test_a_derivative_along_tangents_of_0_is_0(n, kind):
    """Tangents of which some are 0 tell nothing of a branch for the case that all are."""
    x = np.linspace(1.0, 2.0, n, dtype=kind)
    gradcheck(np.sin, x, jvp=lambda x, t: np.cos(x) * t)
    for at_0 in (np.cos, lambda x: 0 * x + np.dtype(kind).type(0.02)):
        with pytest.raises(GradientMismatch, match=r"jvp= gives \S+ for tangents of 0, and it must give 0"):
            gradcheck(np.sin, x, jvp=lambda x, t, at_0=at_0: np.cos(x) * t if t.any() else at_0(x))


def test_what_a_right_derivative_gives_along_tangents_of_0_may_be_nan_or_fail_or_be_a_small_residual():
    x = np.linspace(1.0, 2.0, 3)
    for jvp in (
        lambda x, t: np.cos(x) * t * np.linalg.norm(t) / np.linalg.norm(t),  # nan for 0
        lambda x, t: np.cos(x) * t + (0.0 if t.any() else np.inf),
        lambda x, t: np.cos(x) * t * (1.0 / float(np.abs(t).max()) > 0.0),  # fails
        lambda x, t: np.cos(x) * t + 1e-13,  # where steps towards a solution end
    ):
        gradcheck(np.sin, x, jvp=jvp, atol=1e-9)


def upstreams(torch, slopes, f):
    """Return the upstream gradients that a check gives to the backward pass of several multiples of a tensor.

    `f` takes a tensor of two numbers, and a function that returns a tuple of its multiples by `slopes`.
    """
    seen = []

    class Multiples(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return tuple([slope * x for slope in slopes])

        @staticmethod
        def backward(ctx, *upstream):
            seen.append(upstream)
            terms = [(slope * w).nan_to_num() for slope, w in zip(slopes, upstream, strict=True) if w is not None]
            return sum(terms[1:], terms[0]) if terms else None

    x = torch.tensor([0.5, 1.5], dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartlyCompared)
        gradcheck(lambda x: f(x, Multiples.apply), x)
    return seen


def is_expanded(upstream):
    return all(w is not None and set(w.stride()) == {0} for w in upstream)


def test_of_several_results_of_torch_three_upstream_gradients_are_each_tried_alone(torch):
    def between(x, multiples):
        first, *others = multiples(x)
        return (first, 0.0 * x.detach(), *others)

    seen = upstreams(torch, (2.0, 3.0, 5.0, 7.0), between)
    given = [tuple([i for i, w in enumerate(upstream) if w is not None]) for upstream in seen]
    assert {some for some in given if len(some) == 1} == {(0,), (1,), (2,)}, "of four, beside one that is a constant"
    assert any(not any(w is None or w.is_contiguous() for w in upstream) for upstream in seen)
    assert any(map(is_expanded, seen))
    seen = upstreams(torch, (2.0, 3.0), lambda x, multiples: tuple([y.sum() for y in multiples(x)]))
    given = {tuple([i for i, w in enumerate(upstream) if w is not None]) for upstream in seen}
    assert given >= {(0,), (1,)}


def test_an_upstream_gradient_of_torch_is_expanded_if_all_outputs_are_finite(torch):
    for factor in (1.0, torch.inf):
        slopes = torch.tensor([1.0, factor], dtype=torch.float64)
        seen = upstreams(torch, (slopes,), lambda x, multiples: multiples(x)[0])
        assert any(map(is_expanded, seen)) is (factor == 1.0)
        assert not any(w is None for upstream in seen for w in upstream)


def norm_of(sign):
    return lambda x: float(np.sqrt((x * x).sum())), {"gradient": lambda x: sign * x / np.sqrt((x * x).sum())}


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e-9, 1e-15])
def test_what_is_plain_in_steps_of_a_small_number_s_size_is_wrong_whatever_larger_ones_say(kind, size):
    for n in (2, 40):
        x = (size * np.linspace(1.0, 2.0, n)).astype(kind)
        f, right = norm_of(1.0)
        gradcheck(f, x, **right)
        for off in (-1.0, 0.0, 2.0):
            with pytest.raises(GradientMismatch):
                gradcheck(f, x, **norm_of(off)[1])
    mass = 9.1e-31
    momentum = np.array([1e-24, 2e-24])
    gradcheck(lambda p: p @ p / (2.0 * mass), momentum, gradient=lambda p: p / mass)
    for f, df in ((lambda x: 1.0 + x * x, lambda x: 2.0 * x), (math.exp, math.exp)):
        gradcheck(f, size, gradient=df)  # rounding leaves nothing of the number in the outputs
    for factor in (0.0, -100.0):
        with pytest.raises(GradientMismatch):
            gradcheck(lambda p: p @ p / (2.0 * mass), momentum, gradient=lambda p, factor=factor: factor * p / mass)


def test_gradients_of_single_outputs_add_up():
    w = np.arange(1.0, 7.0).reshape(2, 3)

    def last_alone(x, u):
        return next(w[j] * u[j] for j in (1, 0) if u[j] != 0.0)

    gradcheck(lambda x: w @ x, np.ones(3), vjp=lambda x, u: w.T @ u)
    with pytest.raises(GradientMismatch, match=r"not additive in the upstream gradient: d/dx\[0\] is .* Add up"):
        gradcheck(lambda x: w @ x, np.ones(3), vjp=last_alone)


@pytest.mark.parametrize("n", [1, 3, 40, 3000])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_a_backward_pass_is_linear_where_the_upstream_gradient_is_large(n, kind):
    x = np.linspace(1.0, 3.0, n, dtype=kind)
    gradcheck(lambda x: x * x, x, vjp=lambda x, u: 2 * x * u)
    with pytest.raises(GradientMismatch, match="not linear in the upstream gradient where that is large: d/dx"):
        gradcheck(lambda x: x * x, x, vjp=lambda x, u: 2 * x * np.clip(u, -1.0, 1.0))
    with pytest.raises(GradientMismatch, match="not linear in the upstream gradient where that is large: d/dx"):
        gradcheck(lambda x: x * x, x, vjp=lambda x, u: np.clip(2 * x * u, -1000.0, 1000.0))


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0])
def test_a_backward_pass_gives_0_for_an_upstream_gradient_of_0(size, kind):
    """The weights of small outputs are large, so a term without the upstream gradient is lost beside their gradient."""
    x, size = np.linspace(1.0, 2.0, 40, dtype=kind), np.dtype(kind).type(size)
    for part in (5e-3, 2e-3) if kind == "float32" else (1e-4, 1e-5, 2e-6):
        constant = (part * size).astype(kind)
        with pytest.raises(GradientMismatch, match=r"upstream gradient of 0 is .*must be 0|not linear in the upstream"):
            gradcheck(lambda x: size * np.sin(x), x, vjp=lambda x, u, c=constant: size * np.cos(x) * u + c)
    with pytest.raises(GradientMismatch, match=r"0 is 0\.002 with respect to x\[0\], and it must be 0\. Mult"):
        gradcheck(lambda x: np.sin(x), x.astype("float32"), vjp=lambda x, u: np.cos(x) * u + np.float32(2e-3))


def test_what_a_right_backward_pass_gives_for_an_upstream_gradient_of_0_may_be_nan_or_fail_or_be_a_small_residual():
    x, seen = np.linspace(1.0, 2.0, 40), []

    def rounded(u):  # it is not exactly linear, so an upstream gradient of 0 is tried
        seen.append(not u.any())
        return u * (1.0 + 1e-12 * np.abs(u))

    def fails(x, u):
        return rounded(u) * np.cos(x) * (1.0 / float(np.abs(u).max()) > 0.0)

    for vjp in (
        lambda x, u: rounded(u) * np.cos(x),
        lambda x, u: rounded(u) * np.cos(x) * np.linalg.norm(u) / np.linalg.norm(u),  # nan for 0
        lambda x, u: rounded(u) * np.cos(x) + np.where(u == 0.0, np.inf, 0.0),
        lambda x, u: rounded(u) * np.cos(x) + 1e-9,  # where steps towards a solution end
        fails,
    ):
        seen.clear()
        gradcheck(np.sin, x, vjp=vjp)
        assert seen.count(True) == 1
    gradcheck(lambda x, n: np.sin(x) * n, x, 3, vjp=lambda x, n, u: (rounded(u) * np.cos(x) * n, None))


def test_the_value_may_stand_before_the_gradient_beside_a_constant():
    gradcheck(lambda x, n: x**n, 2.0, 3, gradient=lambda x, n: (x**n, n * x ** (n - 1)))
    gradcheck(lambda x, n: x**n, np.array([2.0]), 3, gradient=lambda x, n: (x[0] ** n, n * x ** (n - 1)))
    gradcheck(lambda x, n: x**n, 2.0, 3, gradient=lambda x, n: (n * x ** (n - 1), None))
    gradcheck(lambda n, x: x**n, 3, 2.0, gradient=lambda n, x: (x**n, n * x ** (n - 1)))
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x, n: x**n, 2.0, 3, gradient=lambda x, n: (x**n, 2 * n * x ** (n - 1)))


def test_a_jacobian_of_another_shape_with_as_many_numbers_is_refused():
    with pytest.raises(ValueError, match=r"jacobian= gave an array of shape \(3, 2\), not \(2, 3\)"):
        gradcheck(lambda x: np.ones((2, 3)) @ x, np.ones(3), jacobian=lambda x: np.ones((3, 2)))


@pytest.mark.filterwarnings("ignore::micrograd_cn.testing.PartlyCompared", "ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("n", [3, 41])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_at_a_number_that_is_not_is_no_mistake(n, number):
    x = np.linspace(1.0, 2.0, n)
    x[1] = number
    gradcheck(lambda x: x * x, x, vjp=lambda x, u: 2 * x * u)
    gradcheck(lambda x: (x * x)[:1], x, vjp=lambda x, u: 2 * x * np.where(np.arange(n) == 0, u, 0.0))
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: x * x, x, vjp=lambda x, u: 3 * x * u)
    x[1] = 1.0
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: x * x, x, vjp=lambda x, u: np.where(np.arange(n) == 1, np.nan, 2 * x * u))


def test_complex_derivatives_and_tolerances_that_are_none_are_refused():
    x = np.ones(4)
    for how in ({"vjp": lambda x, u: 2 * x * u * (1 + 1j)}, {"jacobian": lambda x: np.diag(2 * x) * (1 + 1j)}):
        with pytest.raises(ValueError, match="gave complex numbers"):
            gradcheck(lambda x: x * x, x, **how)
    for name in ("rtol", "atol"):
        for tolerance in (-1.0, math.nan):
            with pytest.raises(ValueError, match=f"{name} must be 0 or more, got"):
                gradcheck(lambda x: x * x, 1.0, **{name: tolerance})


@pytest.mark.parametrize(
    ("kind", "sizes"), [("float64", (1e3, 1e9, 1e11, 1e13)), ("float32", (1e2, 1e3, 1e4, 1e5))], ids=["64", "32"]
)
def test_a_derivative_beside_a_steep_one_is_known_by_its_own_size(kind, sizes):
    number = np.dtype(kind).type
    for size in map(number, sizes):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PartlyCompared)  # where rounding hides it
            gradcheck(beside(size), number(1.0), number(1.0), gradient=lambda x, y, size=size: (size, number(1.0)))
        for off in (1.5, 10.0):
            how = {"gradient": lambda x, y, size=size, off=off: (size, number(off))}
            with pytest.raises(GradientMismatch):
                gradcheck(beside(size), number(1.0), number(1.0), **how)


def beside(size):
    return lambda x, y: size * x + y


def test_terms_that_cancel_are_rounded_as_they_are():
    """The backward pass of PyTorch's logcumsumexp adds up positive and negative terms apart."""
    x = np.array([0.5, -1.0, 0.25, 2.0])

    def vjp(x, u, error):
        return np.full(4, np.maximum(u, 0.0).sum() * (1.0 + error) - np.maximum(-u, 0.0).sum())

    for error, is_right in ((3e-6, True), (3e-4, False)):
        problem = problem_of(
            lambda x: np.array([x.sum(), 1.0 + x.sum()]), x, vjp=lambda x, u, error=error: vjp(x, u, error)
        )
        failures = 0
        for seed in range(40):
            try:
                check_contract(problem, np.random.default_rng(seed))
            except GradientMismatch:
                failures += 1
        assert (failures == 0) is is_right


def test_a_gradient_that_overflows_in_half_precision_is_checked_for_smaller_upstream_gradients():
    x, large, small = draw(5, 4).astype("e"), np.float16(300), np.float16(1e-5)
    with np.errstate(over="ignore", invalid="ignore"):
        assert gradcheck(lambda x: x * (large * small), x, vjp=lambda x, u: (u * large) * small)
        with pytest.raises(GradientMismatch):
            gradcheck(lambda x: x * (large * small), x, vjp=lambda x, u: np.float16(1.1) * (u * large) * small)


def test_rounding_of_a_gradient_that_cancels_is_no_mistake_of_upstream_gradients_that_are_not_contiguous():
    x, b = draw(5, 4).astype("e"), np.zeros(4, "e")

    def vjp(x, b, u, rounding=1e-3):
        return u, (rounding if u.flags.c_contiguous else -2 * rounding) * u.sum(0)

    with contextlib.suppress(PartlyCompared):
        gradcheck(lambda x, b: x + 1e-3 * b, x, b, vjp=vjp)
    with pytest.raises(GradientMismatch, match="not contiguous"):
        gradcheck(lambda x, b: x + b, x, b, vjp=functools.partial(vjp, rounding=1.0))


# For right functions of which a part is nothing but rounding: a warning says rightly that this part was not compared
PARTLY_ROUNDING = pytest.mark.filterwarnings("ignore::micrograd_cn.testing.PartlyCompared")


@PARTLY_ROUNDING
@pytest.mark.parametrize("seed", [1, 4])
def test_the_order_in_which_terms_that_cancel_are_added_is_no_mistake(seed):
    """The gradient of a bias before a batch norm is 0 but for rounding, which depends on the order."""
    rows = np.random.default_rng(seed).normal(size=(4, 2))

    def normalised(z):
        away = z - z.mean(0)
        deviation = np.sqrt((away * away).mean(0) + 1e-5)
        return away / deviation, deviation

    def vjp(b, u, off=0.0):
        y, deviation = normalised(rows + b)
        return np.ones(4) @ ((u - u.mean(0) - y * (u * y).mean(0)) / deviation) + off * u.sum(0)

    def f(b):
        return normalised(rows + b)[0]

    with contextlib.suppress(NothingCompared):  # for some seeds all of the gradient is rounding
        gradcheck(f, np.ones(2), vjp=vjp)
    with pytest.raises(GradientMismatch):
        gradcheck(f, np.ones(2), vjp=functools.partial(vjp, off=1e-6))


@pytest.mark.parametrize("off", [0.0, 1e-9])
def test_terms_that_cancel_may_be_added_in_another_order_if_the_upstream_gradient_is_not_contiguous(off):
    weights = 0.1 * np.array([1.0, -4.0, 1.0, 1.0, 1.0])

    def vjp(w, u):
        return np.dot(u, weights)[None] + (0.0 if u.flags.contiguous else off)

    with pytest.raises(GradientMismatch, match="not contiguous") if off else contextlib.nullcontext():
        assert gradcheck(lambda w: w * weights, np.ones(1), vjp=vjp)


def test_in_half_precision_too_a_second_backward_pass_gives_the_same(torch):
    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            [y] = ctx.saved_tensors
            found = g * y
            y.data.mul_(0.5)
            return found

    for dtype in (torch.bfloat16, torch.float16):
        with pytest.raises(GradientMismatch, match="a second backward pass through the same graph gives another"):
            gradcheck(Exp, torch.linspace(-1, 1, 50).to(dtype))


def test_a_view_of_an_upstream_gradient_fails_with_what_to_write_where_the_argument_is_not_contiguous(torch):
    class Flat(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, g):
            return 2 * g.view(-1).view(g.shape)

    x = torch.arange(6.0, dtype=torch.float64).reshape(2, 3)
    with pytest.raises(GradientMismatch, match=r"not contiguous \(.contiguous\(\) makes it so\): view size is not"):
        gradcheck(Flat, x.t())


def test_all_rules_of_a_right_backward_pass_are_checked_in_few_calls():
    """A backward pass that is exactly linear is called as often as there are points and kinds of upstream gradients."""
    calls = []

    def cube_backward(x, u):
        calls.append(x)
        return 3.0 * x * x * u

    gradcheck(lambda x: x**3, draw(5), vjp=cube_backward)
    assert len(calls) <= 8
