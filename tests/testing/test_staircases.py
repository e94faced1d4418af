"""Functions that stand still in small steps: a right derivative is never called wrong, and a wrong one is found."""

import math
import warnings

import numpy as np
import pytest

from micrograd_cn.testing import GradientMismatch, NothingCompared, PartlyCompared, TooNoisy, gradcheck
from micrograd_cn.testing.arrays.directional_function import DirectionalFunction
from micrograd_cn.testing.arrays.problem import Problem
from micrograd_cn.testing.arrays.staircases import is_step_function, tread_of

SEED = np.random.default_rng


def phi_of(f, x, v=None, u=None):
    x = np.asarray(x)
    problem = Problem("check", f, (x,), {"vjp": lambda x, u: 0.0 * x}, None, None)
    u = np.ones(problem.y.size) if u is None else np.array(u)
    return DirectionalFunction(problem, u, np.ones(x.size) if v is None else np.array(v), problem.x)


def hardshrink(x):
    """Return a step function near 0 that is no step function elsewhere."""
    return np.where(np.abs(x) > 1, x, np.zeros_like(x))


def none(x, u):
    """Return a gradient of 0, which is right for step functions alone."""
    return np.zeros_like(x)


def passes(f, *args, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("error", PartlyCompared)
        gradcheck(f, *args, **how)


def is_not_called_wrong(f, *args, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartlyCompared)
        try:
            gradcheck(f, *args, **how)
        except NothingCompared:
            return


# Rounding absorbs the changes.


def test_what_rounding_absorbs_beside_1_is_not_wrong():
    x = np.array([0, 0, -2.66e-65, 0, 0, -0.0, 0, 0, 5.08e-65, 0, -0.0, -7.06e-67])
    passes(lambda x: 1 - np.cos(x), x, vjp=lambda x, u: u * np.sin(x))
    cancelling = np.zeros(12)  # the outputs' changes cancel in some of their weighted sums
    cancelling[[2, 9, 11]] = 1e-16, 3.25e-19, -9.66e-18
    passes(lambda x: 1 - np.cos(x), cancelling, vjp=lambda x, u: u * np.sin(x))
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: 1 - np.cos(x), np.array([1e-9, 2e-9, -3e-9]), vjp=none)


X = np.array([[-0.0, 0, 0, -2.3e-18], [-3.79e-17, -3.68e-17, 0, 0], [0, -7.84e-17, -3.65e-17, -8.63e-18]])
W = np.array([[0, -2, 0.0925, -0.0], [-2.92, -0.0336, 4.14, 0.89]])


@pytest.mark.parametrize("wrong", [1.0, 1.01])
def test_outputs_that_absorb_their_changes_make_no_derivative_of_other_outputs_wrong(wrong):
    def vjp(x, w, b, u):
        return u @ w, wrong * (u.T @ x), u.sum(0)

    def linear(x, w, b):
        return x @ w.T + b

    is_not_called_wrong(linear, X, W, np.array([-908.0, -0.0]), vjp=lambda x, w, b, u: (u @ w, u.T @ x, u.sum(0)))
    if wrong > 1.0:
        with pytest.raises(GradientMismatch, match="wrong for w"):
            gradcheck(linear, 1e17 * X, W, np.array([-908.0, -0.0]), vjp=vjp)


@pytest.mark.parametrize("size", [1e-9, 1e-33])
def test_an_array_whose_changes_are_absorbed_alone_makes_no_derivative_of_other_arrays_wrong(size):
    def f(x, a):
        return -0.5 * (x * x).sum(-1) - np.log(1 + a @ a)

    def vjp(x, a, g, of_x=1.0):
        return -of_x * g[:, None] * x, -2 * g.sum() * a / (1 + a @ a)

    x, a = size * SEED(2).normal(size=(2, 3)), size * SEED(3).normal(size=3)
    is_not_called_wrong(f, x, a, vjp=vjp)
    with pytest.raises(GradientMismatch):
        gradcheck(f, x, a, vjp=lambda x, a, g: vjp(x, a, g, of_x=1.01))


def test_an_output_that_absorbs_its_change_is_told_from_one_that_does_not_depend_on_the_argument():
    def f(x):
        return np.concatenate([x * 1e-20 + 1000.0, x])

    x = np.array([0.3])
    is_not_called_wrong(f, x, vjp=lambda x, u: u[:1] * 1e-20 + u[1:])
    for wrong in (lambda x, u: u[:1] + u[1:], lambda x, u: u[:1] * 1e-20 + 1.5 * u[1:]):
        with pytest.raises(GradientMismatch):
            gradcheck(f, x, vjp=wrong)


def test_a_batch_norm_of_constant_columns_is_rounded():
    """The forward pass computes the mean in another way than the backward pass, and both are rounded."""

    def scale(x):
        return 1.0 / np.sqrt(((x - x.mean(0)) ** 2).mean(0) + 1e-5)

    def forward(w, x):
        return (x - (x * 0.2).sum(0)) * scale(x) * w

    def vjp(w, x, u):
        s, y = scale(x), (x - x.mean(0)) * scale(x)
        of_y = u * w
        return (u * y).sum(0), s * (of_y - of_y.mean(0) - y * (of_y * y).mean(0))

    for w in ([1.0, 1.0, 1.0], [1.0, 0.7, 1.3]):
        for size in (1 / 3, 0.1, 0.901):
            is_not_called_wrong(forward, np.array(w), np.full((5, 3), size), vjp=vjp)
    x = np.full((5, 3), 1 / 3)
    with pytest.raises(GradientMismatch):
        gradcheck(forward, np.ones(3), x, vjp=lambda w, x, u: tuple(part * [1.0, 1.0, 1.1] for part in vjp(w, x, u)))


def test_a_softmax_that_is_saturated_is_rounded():
    def loss(x):
        return np.logaddexp.reduce(x) - x[1]

    def gradient(x):
        p = np.exp(x - np.logaddexp.reduce(x))
        p[1] = -(p[0] + p[2] + p[3])
        return p

    is_not_called_wrong(loss, np.array([0.0, 669.0, 58.0, 0.0]), gradient=gradient)


def test_a_derivative_that_is_the_rounding_of_terms_that_cancel_is_right():
    a = np.array([[1e-06, 0.0, -1e-06, -1e-06], [1e-06, -0.0, -0.0, -1e-06], [-1e-06, 0.0, -1e-08, 0.0]])
    for seed in range(30):
        for terms in (lambda x: x.sum(0), lambda x: x[0] + (x[1] + x[2])):

            def vjp(a, b, u, terms=terms):
                return u @ b, terms(u[:, :, None] * a[:, None, :])

            is_not_called_wrong(lambda a, b: a @ b.T, a, np.zeros((2, 4)), vjp=vjp, seed=seed)


def by_tanh(x, clipped=False):
    """Return the gelu that is computed by a tanh with an error of one ulp, and its derivative.

    Below -6.4, the factor 1 + tanh(...) has one or two digits. XLA's tanh is `clipped`: it stays the same between -17.8
    and -20, and is -1 below, where its own derivative, 1 - tanh(...)**2, has jumped to 0.
    """
    inner, slope = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3), np.sqrt(2 / np.pi) * (1 + 0.134145 * x**2)
    y = np.round(np.tanh(inner) * 2.0**52) / 2.0**52
    if clipped:
        y = np.where(inner < -17.8, np.where(inner < -20, -1, -1 + 7 * 2.0**-53), y)
    return 0.5 * x * (1 + y), 0.5 * (1 + y) + 0.5 * x * (1 - y**2) * slope


def test_a_curved_function_times_a_number_of_one_digit_is_not_called_wrong():
    for x in (-6.5, -6.8, -7.0, -7.1):
        is_not_called_wrong(lambda x: by_tanh(x)[0], np.array([x]), vjp=lambda x, u: u * by_tanh(x)[1])
    for factor in (2.0, 0.0, -1.0):
        with pytest.raises(GradientMismatch):
            gradcheck(lambda x: by_tanh(x)[0], np.array([-5.8]), vjp=lambda x, u, k=factor: k * u * by_tanh(x)[1])
    for above in (1e-3, 1e-5):  # beside a kink, which the roughness of points on both sides must not excuse
        with pytest.raises(GradientMismatch):
            gradcheck(
                lambda x: x * np.clip(x + 3, 0, 6) / 6, np.array([above - 3]), vjp=lambda x, u: u * (2 * x + 3) / -6
            )


def test_a_tail_that_ends_in_a_wide_tread_of_a_factor_is_not_called_wrong():
    for x in (-7.01, -7.05, -7.1, -7.2, -7.3, -7.34):
        is_not_called_wrong(lambda x: by_tanh(x, True)[0], np.array([x]), vjp=lambda x, u: u * by_tanh(x, True)[1])
    for x, factor in ((-6.0, 2.0), (-6.0, -1.0), (-6.0, 0.0), (-7.2, -10.0), (-7.2, 10.0)):
        with pytest.raises(GradientMismatch):
            gradcheck(
                lambda x: by_tanh(x, True)[0], np.array([x]), vjp=lambda x, u, k=factor: k * u * by_tanh(x, True)[1]
            )


TAILS = [[-7.07, 0.0, -7.15, -6.53], [-7.38, -6.88, -7.4, -7.12], [-6.8, -7.54, -6.68, -7.28]]


def plateau_of_tanh(x):
    """Return a tanh as XLA computes it: it stays the same from 17.8 to 20, where the error is up to 7 half last bits.

    Its derivative is computed as (1 - y) * (1 + y). On the plateau, that is up to a hundred times too large.
    """
    y = np.where(np.abs(x) > 17.8, np.sign(x) * np.where(np.abs(x) > 20, 1, 1 - 7 * 2.0**-53), np.tanh(x))
    return y, (1 - y) * (1 + y)


def times_plateau(x):
    y, slope = plateau_of_tanh(x)
    return x * (1 + y), 1 + y + x * slope


def one_less_square_of_plateau(x):
    y, slope = plateau_of_tanh(x)
    return 1 - y * y, -2 * y * slope


def tail_of_float32(x):
    y = np.tanh(x)
    return 1 - y * y, -2 * y * (1 - y * y)


def gelu_of_plateau(x):
    inner, of_inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3), np.sqrt(2 / np.pi) * (1 + 0.134145 * x**2)
    y, slope = plateau_of_tanh(inner)
    return 0.5 * x * (1 + y), 0.5 * (1 + y) + 0.5 * x * slope * of_inner


@pytest.mark.parametrize(
    ("both", "points"),
    [
        (plateau_of_tanh, ([-18.1], [17.9])),
        (times_plateau, ([-18.0], [-17.85])),  # the plateau begins nearby, and ends 2 away
        (gelu_of_plateau, ([-7.07], [-7.08], TAILS)),
        (one_less_square_of_plateau, ([-18.4], [17.9], [19.4], [-18.1, 19.0, 17.95, -16.2, 33.0])),
        (tail_of_float32, (np.float32([9.373447, -8.315778, 9.327679, -9.989237, 7.661997]),)),  # on several treads
    ],
)
def test_a_plateau_of_a_tail_is_rounded_as_intermediate_results_are_however_low_its_next_jump(both, points):
    for x in map(np.array, points):
        is_not_called_wrong(lambda x: both(x)[0], x, vjp=lambda x, u: u * both(x)[1])
    for factor in (1.01, -1.0, 0.0):
        with pytest.raises(GradientMismatch):
            gradcheck(lambda x: both(x)[0], np.array([-3.0]), vjp=lambda x, u, k=factor: k * u * both(x)[1])


def noisy_plateau_of_tanh(x):
    """Return the tanh of `plateau_of_tanh` with errors of up to three half last bits beside the plateau."""
    y, _ = plateau_of_tanh(x)
    y = np.where(np.abs(x) > 17.8, y, y + 2.0**-53 * np.round(3 * np.sin(25 * x)))
    return y, (1 - y) * (1 + y)


NOISY_TAILS = [[-18.0332, -20.8714, -16.3077, 16.9903, -20.879], [-20.1744, -21.2658, -17.64993, 18.88133, -18.28385]]


def one_less_square_of_noisy_plateau(x):
    y, slope = noisy_plateau_of_tanh(x)
    return 1 - y * y, -2 * y * slope


def erf_less_tanh(x):
    erf = np.vectorize(math.erf)
    return erf(x) - np.tanh(x), 2 / np.sqrt(np.pi) * np.exp(-x * x) - 1 / np.cosh(x) ** 2


@pytest.mark.parametrize(
    ("both", "points"),
    [
        (one_less_square_of_noisy_plateau, NOISY_TAILS),
        (
            erf_less_tanh,
            ([19.67671230868108], [25.6834, -16.76926, -19.90547, -41.0, 35.2]),
        ),
    ],
)
def test_means_over_intervals_of_a_tail_are_off_by_errors_that_do_not_scatter(both, points):
    for x in map(np.array, points):
        is_not_called_wrong(lambda x: both(x)[0], x, vjp=lambda x, u: u * both(x)[1])
    for at, factor in ((-15.0, 1.1), (-16.0, 2.0), (-9.0, 0.0), (-17.0, -1.0)):
        with pytest.raises(GradientMismatch):
            gradcheck(lambda x: both(x)[0], np.array([at]), vjp=lambda x, u, k=factor: k * u * both(x)[1])


@pytest.mark.parametrize("x", [8.2, -2.95])
def test_a_tail_that_is_computed_in_float32_is_rounded_on_treads_that_become_wider_and_wider(x):
    def f(x):
        return (1 + np.tanh(x.astype("f"))).astype(float)

    is_not_called_wrong(f, np.array([x]), vjp=lambda x, u: u * (1 - np.tanh(x) ** 2))
    for factor in (1.01, -1.0):
        with pytest.raises(GradientMismatch):
            gradcheck(f, np.array([-1.3]), vjp=lambda x, u, k=factor: k * u * (1 - np.tanh(x) ** 2))


def test_the_gelu_of_jax_is_right_on_the_plateau_of_its_tanh():
    jax = pytest.importorskip("jax")
    with jax.experimental.enable_x64() if hasattr(jax.experimental, "enable_x64") else jax.enable_x64(True):
        f, df = jax.jit(jax.nn.gelu), jax.jit(lambda x, u: jax.vjp(jax.nn.gelu, x)[1](u)[0])
        for x in (-7.06, -7.08):
            is_not_called_wrong(lambda x: np.asarray(f(x)), np.array([x]), vjp=lambda x, u: np.asarray(df(x, u)))


@pytest.mark.parametrize("seeds", [range(1), pytest.param(range(1, 5), marks=pytest.mark.thorough)])
def test_a_tail_that_is_a_number_times_a_staircase_is_rounded(seeds):
    """Far below 0, gelu is computed as x times a number of few digits, which stays the same in small steps."""

    def tail(x):
        return 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))

    def vjp(x, u):
        return u * (tail(x) + x * np.exp(-x * x / 2.0) / math.sqrt(2.0 * math.pi))

    for last in (-7.966534450497927, -7.94, -7.5, -8.2, -6.0):
        x = np.array([-9.058221954460647, -11.631677552915885, -8.954778745365942, 12.857077331532913, last])
        for seed in seeds:
            is_not_called_wrong(lambda x: x * tail(x), x, vjp=vjp, seed=seed)
    is_not_called_wrong(lambda x: x * tail(x), np.array([-1.0, -2.0, -7.77, 6.48, 2.45]), vjp=vjp)
    for alone in (-8.2, -7.5):
        is_not_called_wrong(lambda x: x * tail(x), np.array([alone]), vjp=vjp)
        with pytest.raises(GradientMismatch):
            gradcheck(lambda x: x * tail(x), np.array([alone]), vjp=lambda x, u: -vjp(x, u))
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: x * tail(x), np.array([-2.0, 1.0, 0.5, -0.3, -4.0]), vjp=lambda x, u: u * tail(x))


@pytest.mark.parametrize("seeds", [range(1), pytest.param(range(1, 10), marks=pytest.mark.thorough)])
@pytest.mark.parametrize("row", [[16.0, -2460.0, -121.0, -78.5], [410.0, -0.0, 0.0, -0.0], [25.0, 10.0, 0.0, 958.0]])
def test_tiny_probabilities_beside_a_probability_of_1_are_rounded(row, seeds):
    def softmax(x):
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    def vjp(x, u):
        p = softmax(x)
        return p * (u - (p * u).sum(-1, keepdims=True))

    x = np.array([[25.0, 10.0, 0.0, 958.0], row, [1.0, 0.5, 0.0, 2.0]])
    for seed in seeds:
        is_not_called_wrong(softmax, x, vjp=vjp, seed=seed)
        is_not_called_wrong(softmax, np.stack([x[0], x[1], x[1]]), vjp=vjp, seed=seed)
    with pytest.raises(GradientMismatch):
        gradcheck(softmax, x, vjp=lambda x, u: 1.01 * vjp(x, u))


@pytest.mark.parametrize(
    "row",
    [
        pytest.param([-42.417979170140555, -15.448937239641856, 29.001279144841458], marks=pytest.mark.thorough),
        pytest.param([36.68270244964318, -60.75416115037897, -5.513828920042211], marks=pytest.mark.thorough),
        [-20.386907238632077, 10.358166403178336, -28.071588233895994],
        np.float32([-6.476353645324707, 15.771071434020996, -35.33788299560547]),
        pytest.param(
            np.float32([-2.214326858520508, 14.42633056640625, -8.85414981842041]), marks=pytest.mark.thorough
        ),
    ],
)
def test_what_the_largest_probability_absorbs_is_missing_in_the_entropy_without_noise(row):
    """The part 1 of a derivative -14.8 p is lost, since 1 - p is rounded to 1."""

    def softmax(x):
        e = np.exp(x - x.max())
        return e / e.sum()

    def entropy(x):
        return np.sum(softmax(x) * np.log(softmax(x) + x.dtype.type(1e-6)))

    def vjp(x, g, least=0.0, factor=1.0):
        p = softmax(x.astype(float))
        slope = np.log(p + 1e-6) + p / (p + 1e-6)
        return (factor * g * np.where(p < least, 0.0, p * (slope - p @ slope))).astype(x.dtype)

    x = np.array(row)
    is_not_called_wrong(entropy, x, vjp=vjp)
    for wrong in ({"factor": 0.0}, {"factor": 1.5}, {"least": 1e-3}):
        with pytest.raises((GradientMismatch, PartlyCompared)):
            gradcheck(entropy, x, vjp=lambda x, g, wrong=wrong: vjp(x, g, **wrong))


@pytest.mark.thorough
def test_treads_that_are_a_tenth_of_the_argument_wide():
    """In float32, x - tanh(x) is rounded as x is, not as the result is."""
    for seed in range(3):
        x = (1e-3 * SEED(seed).normal(size=5)).astype("f")
        is_not_called_wrong(lambda x: x - np.tanh(x), x, vjp=lambda x, u: u * np.tanh(x) ** 2)
    x = SEED(0).normal(size=5).astype("f")
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: x - np.tanh(x), x, vjp=lambda x, u: 1.05 * u * np.tanh(x) ** 2)


# Treads.


def test_a_tread_has_the_width_and_the_height_of_the_first_step():
    tread = tread_of(phi_of(lambda x: 1.0 - np.cos(x), [1e-20], [1e-20]))
    assert tread.width == pytest.approx(1.054e-8 / 1e-20, rel=0.01)
    assert tread.height == 2.0**-53
    assert tread.is_rounding
    few = tread_of(phi_of(np.sign, [1.5]))
    assert (few.height, few.is_rounding) == (2.0, False)
    assert few.width == pytest.approx(1.5, rel=0.01)
    assert tread_of(phi_of(np.tanh, [1.5])) is None
    assert tread_of(phi_of(lambda x: 0.0 * x + 1.0, [1.5])) is None
    masked = tread_of(phi_of(lambda x: np.maximum(x, 0.0), [-0.5]))
    assert masked.height < 1e-3, "it begins to climb, and does not jump"
    cancelling = tread_of(phi_of(lambda x: 1.0 - np.cos(x), [0.0, 0.0], u=[1.0, -1.0]))
    assert cancelling.width < 2e-8, "though the weighted sum never changes"


# Step functions.


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (np.floor, [1234.5]),
        (np.floor, [159000.5, 3.0]),
        (np.floor, np.float32([2700.5, 3.3])),
        (np.floor, [-3.0, 372.0, 0.0, 1.5, 2.0, -1.0]),
        (np.sign, np.float16([1.3, -0.4, 0.2, 0.9, -2.0])),
        (np.round, 100.0 * SEED(0).normal(size=300)),
        (np.round, (100.0 * SEED(0).normal(size=300)).astype("e")),
        (lambda x: np.round(16 * x) / 16, 100.0 * SEED(1).normal(size=300)),
        (lambda x: np.round(16 * x) / 16, SEED(1).normal(size=300).astype("f")),
        (np.floor, np.float32([15810435.0, 5761943.5, -2207736.0])),  # hardly any number between whole ones
        (np.floor, np.float32([1e8, -3e7, 3.0])),
        (np.trunc, [1.3e13, -0.4e12]),
        (np.ceil, [1e16]),
        (np.round, np.float16([3000.0, -400.0, 60000.0])),
        (lambda x: np.round(16 * x) / 16, np.float32([4e5, -2e6])),
        (lambda x: x // np.float32(3), np.float32([64042264, 4180988.5, -13611067])),
        *[(np.floor, [size, -0.7 * size]) for size in (1.5e20, 1.7e25, 1.5e300)],
        (np.round, np.float32([1.5e15, -1e30])),
        (lambda x: np.round(16 * x) / 16, [-1.3e19]),
        (lambda x: np.floor(x / np.float32(1e6)) * np.float32(1e6), np.float32([1.5e20])),
    ],
)
def test_the_gradient_of_a_step_function_is_0(f, x):
    passes(f, np.array(x), vjp=none)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: x.astype("f").astype(float), [1.3, 2.0]),
        (lambda x: x.astype("e").astype("f"), np.float32([1.3, 2.0])),
        (lambda x: x.astype("e").astype("f"), SEED(0).normal(size=300).astype("f")),
        (np.tanh, SEED(0).normal(size=300).astype("e")),
        (lambda x: x * np.float16(1.5), SEED(0).normal(size=5).astype("e")),
        (lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(), SEED(0).normal(size=4).astype("e")),
        pytest.param(lambda x: x + np.floor(x), SEED(0).normal(size=5), marks=pytest.mark.thorough),
        (lambda x: x + np.floor(x), np.float32([1e8, -3e7, 3.0])),
        (lambda x: x + x // np.float32(3), np.float32([64042264, 4180988.5, -13611067])),
        (lambda x: 1.0 * x, np.float32([1e8, -3e7, 3.0])),
        *[(lambda x: 1.0 * x, [size]) for size in (1.5e20, 1.7e25, 1.5e300)],
        (lambda x: x + np.floor(x), np.float32([1.5e15, -1e30])),
        (np.sqrt, [1.5e20]),
        *[(hardshrink, kind([4e3, -2e3])) for kind in (np.float32, np.float16)],
        *[(hardshrink, np.float32([size])) for size in (3, 2e5, 1e7, 1e8)],
    ],
)
def test_a_missing_gradient_is_found_where_rounding_makes_steps(f, x):
    with pytest.raises(GradientMismatch):
        gradcheck(f, np.array(x), vjp=none)


@pytest.mark.parametrize("x", [[0.3], [-2.5], [5.0], [-7.0], [-2.0, -1.2, 0.4, 2.0]])
def test_a_missing_gradient_is_not_called_right_where_rounding_in_float32_makes_steps_beside_a_constant(x):
    for f in (
        lambda x: (1 + np.tanh(x.astype("f"))).astype(float),
        lambda x: 3.7 * (1 + np.tanh(x.astype("f")).astype(float)),
        lambda x: np.log(1 + np.exp(x.astype("f"))).astype(float) + 0.3,
    ):
        with pytest.raises((GradientMismatch, NothingCompared, PartlyCompared)):
            passes(f, np.array(x), vjp=none)
    passes(lambda x: np.round(x, 7), np.array(x), vjp=none)


@pytest.mark.parametrize(
    "f", [lambda x: 1 - np.tanh(x) ** 2, lambda x: 1 + np.tanh(x), lambda x: np.tanh(2 * x) - np.tanh(x)]
)
def test_a_missing_gradient_is_not_called_right_where_rounding_alone_keeps_a_tail_flat(f):
    with pytest.raises(NothingCompared):
        gradcheck(f, np.float32([-8.3]), vjp=none)
    for flat in (np.floor, lambda x: np.maximum(x, 0), lambda x: np.clip(x, -1, 1), lambda x: np.round(x, 1), f):
        gradcheck(flat, np.float32([-20.0]), vjp=none)


def sawtooth(x):
    """Return a sawtooth whose slope is 1 between its jumps."""
    return np.fmod(x, x.dtype.type(3))


@pytest.mark.parametrize("x", [[1e5], [123456.78], [4e5, -2e5], [1e6], [3e6], [2e5, -3e5, 7e5], [1e8, -3e7]])
def test_a_sawtooth_is_no_step_function_where_floats_hardly_resolve_its_teeth(x):
    x = np.float32(x)
    is_not_called_wrong(sawtooth, x, vjp=lambda x, u: u)
    with pytest.raises((GradientMismatch, TooNoisy, PartlyCompared)):
        passes(sawtooth, x, vjp=none)


TEETH = {  # periodic functions, and their slopes
    "x - floor(x)": (lambda x: x - np.floor(x), np.ones_like),
    "x - round(x)": (lambda x: x - np.round(x), np.ones_like),
    "x % 7": (lambda x: x % 7, np.ones_like),
    "triangles": (lambda x: np.abs(x - 2 * np.floor(x / 2) - 1), lambda x: np.sign(x - 2 * np.floor(x / 2) - 1)),
    "x + floor(x)": (lambda x: x + np.floor(x), np.ones_like),
    "x * (x - floor(x))": (lambda x: x * (x - np.floor(x)), lambda x: 2 * x - np.floor(x)),
    "x * floor(x)": (lambda x: x * np.floor(x), np.floor),
}
FLOAT32 = [np.float32(x) for x in ([14554.426], [145544.25], [1455442.6], [14554426.0], [6e7, -3e8])]


POINTS = [*FLOAT32, np.array([1455442.69]), np.array([1455442612345.3, -7e11 - 0.4])]


@pytest.mark.parametrize(
    ("name", "x"),
    [
        pytest.param(name, x, marks=[pytest.mark.thorough] * ((i + k) % 2))
        for i, name in enumerate(TEETH)
        for k, x in enumerate(POINTS)
    ],
)
def test_teeth_that_are_narrower_than_the_steps_hide_no_mistake_and_make_no_derivative_wrong(name, x):
    f, slope = TEETH[name]
    is_not_called_wrong(f, x, vjp=lambda x, u: u * slope(x))
    for factor in (0.0, 2.0):
        with pytest.raises((GradientMismatch, TooNoisy, PartlyCompared)):
            passes(f, x, vjp=lambda x, u, k=factor: (k * u * slope(x)).astype(x.dtype))


AT_JUMPS = np.array([0.0, 0.309, -54.5, 0.625, 43.0, -72.7, 0.0, 78.0, -0.0, 0.4228, -0.0, -79.6])


@pytest.mark.parametrize("seed", range(1, 4))
def test_jumps_at_the_point_make_no_derivative_wrong_and_hide_no_mistake(seed):
    is_not_called_wrong(sawtooth_of_1, AT_JUMPS, vjp=lambda x, u: u, seed=seed)
    with pytest.raises(GradientMismatch):
        gradcheck(sawtooth_of_1, AT_JUMPS, vjp=lambda x, u: 1.01 * u, seed=seed)


def sawtooth_of_1(x):
    return x - np.floor(x)


@pytest.mark.parametrize("name", ["floor", "sign"])
def test_a_step_function_is_one_in_bfloat16_too_where_most_elements_are_at_jumps(name):
    torch = pytest.importorskip("torch")
    f, x = getattr(torch, name), torch.zeros(12, dtype=torch.bfloat16)
    x[:3] = torch.tensor([-5e-19, -1e-17, 3e-17])
    passes(f, x)
    with pytest.raises((GradientMismatch, NothingCompared, PartlyCompared)):
        passes(f, x, vjp=lambda x, u: u)


def direction_of(x):
    return x / np.maximum(np.abs(x), np.float32(1e-8))


def slope_of_direction(x):
    return np.where(np.abs(x) < 1e-8, np.float32(1e8), np.float32(0.0))


RAMPS = [
    *[([0.0], 0), ([0.0, 0.5, -3.0], 0), ([0.0, -0.0, 7.0, 0.25, -1.5], 1)],
    *[([0.0, -0.0, 7.0, 0.25, -1.5], 2), ([0.0, -0.0, 7.0, 0.25, -1.5], 4), ([*[0.0] * 8, *[1.0] * 3], 9)],
]


@pytest.mark.parametrize(("x", "seed"), RAMPS)
def test_a_ramp_that_is_narrower_than_the_finest_steps_is_no_step(x, seed):
    """Along some directions, jumps of two outputs cancel, or their sum has another sign than the sum of the ramps."""
    x = np.float32(x)
    is_not_called_wrong(direction_of, x, vjp=lambda x, u: u * slope_of_direction(x), seed=seed)
    for wrong in (lambda x: np.minimum(slope_of_direction(x), 1), lambda x: -slope_of_direction(x)):
        with pytest.raises((GradientMismatch, NothingCompared, PartlyCompared)):
            gradcheck(direction_of, x, vjp=lambda x, u, wrong=wrong: u * wrong(x))


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("seed", [0, 2])
def test_a_ramp_with_a_wrong_sign_is_found_though_the_function_hardly_changes_beside_it(place, seed):
    x = np.float32([0.0, -0.0, 7.0, 0.25, -1.5])
    wrong = slope_of_direction(x) * np.where(np.arange(x.size) == place, np.float32(-1.0), np.float32(1.0))
    with pytest.raises(GradientMismatch, match=rf"WRONG +df\[{place}\]/dx\[{place}\]"):
        gradcheck(direction_of, x, vjp=lambda x, u: u * wrong, seed=seed)


def quantised(x):
    return np.round(16 * x) / 16


QUANTISED = [
    (quantised, x)
    for x in (
        *[np.float32(x) for x in ([1511.82], [2e5, 3.0], [3.1], [10.3, 17.9], [64.3], SEED(0).uniform(30, 60, 12))],
        *[np.array(x) for x in ([2e5, 3.0], [4000.7], [1000.3, 1999.1], SEED(0).uniform(4e3, 8e3, 12))],
    )
]


@pytest.mark.parametrize(
    ("f", "x"),
    [
        *[(f, x) for f in (np.floor, lambda x: np.round(2 * x) / 2, lambda x: x // 3 * 3) for x in FLOAT32[:3]],
        *[(f, np.array([x])) for f in (np.floor, lambda x: np.round(2 * x) / 2) for x in (14554.426, 1.4554426e9)],
        *QUANTISED,
    ],
)
def test_a_straight_through_gradient_agrees_with_its_surrogate_alone(f, x):
    passes(f, x, vjp=lambda x, u: u, like=lambda x: 1 * x)
    with pytest.raises((GradientMismatch, NothingCompared, PartlyCompared)):
        passes(f, x, vjp=lambda x, u: u)


@pytest.mark.parametrize("steps", [1, 10, 16, 1024])
@pytest.mark.parametrize("x", [[0.3], [3.1, -4.2], [100.3], SEED(0).uniform(100, 200, 12)])
def test_a_straight_through_gradient_is_wrong_in_doubles_though_the_mean_slope_over_many_steps_is_1(x, steps):
    x = np.array(x)
    passes(lambda x: np.round(steps * x) / steps, x, vjp=none)
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: np.round(steps * x) / steps, x, vjp=lambda x, u: u)
    is_not_called_wrong(lambda x: (x + 2.0**20 * steps) - 2.0**20 * steps, x, vjp=lambda x, u: u)  # rounded to steps


def test_a_derivative_that_noise_hides_is_not_negligible_because_the_point_is_large():
    x = np.float32([145544.25])
    is_not_called_wrong(np.sin, x, vjp=lambda x, u: u * np.cos(x))
    with pytest.raises((GradientMismatch, TooNoisy)):
        gradcheck(np.sin, x, vjp=lambda x, u: 2 * u * np.cos(x))


@pytest.mark.parametrize("x", [np.float32([1e4, -3e5]), np.array([1e7])])
def test_rounding_to_a_coarser_type_is_no_feature(x):
    coarse = np.float16 if x.dtype == np.float32 else np.float32
    passes(lambda x: (x / 4096).astype(coarse).astype(x.dtype) * 4096, x, vjp=lambda x, u: u)


def test_a_missing_gradient_is_found_where_the_largest_steps_are_whole_periods():
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: x - np.floor(x), np.array([9.25]), vjp=none)


@pytest.mark.parametrize("x", [[1e-6], [1e-6, -2e-6], [3e-7, 1e-8]])
def test_a_factor_that_absorbs_most_of_the_point_makes_no_derivative_wrong(x):
    def f(x):
        return np.log(1 + x * x) * x

    def vjp(x, u):
        return u * (np.log1p(x * x) + 2 * x * x / (1 + x * x))

    is_not_called_wrong(f, np.array(x), vjp=vjp)
    for factor in (0.0, -1.0, 2.0):
        with pytest.raises(GradientMismatch):
            gradcheck(f, np.array(x), vjp=lambda x, u, factor=factor: factor * vjp(x, u))


def test_a_step_function_is_told_in_five_calls_from_one_that_changes_in_the_smallest_steps():
    phi = phi_of(np.tanh, [0.3])
    before = phi.problem.budget.calls
    assert not is_step_function(phi)
    assert phi.problem.budget.calls - before == 5
    assert is_step_function(phi_of(np.floor, [0.3]))
    assert not is_step_function(phi_of(lambda x: 1e-315 * np.sin(x), [0.3])), "numbers without digits"
    assert not is_step_function(phi_of(lambda x: 1.0 - np.cos(x), [1e-9])), "rounding makes steps of 1e-16"


def test_what_is_nothing_but_rounding_is_no_step_function():
    for seed in range(20):
        phi = phi_of(lambda x: np.log(np.exp(x)) - x, SEED(seed).uniform(-0.45, 0.45, 12))
        assert not is_step_function(phi)


@pytest.mark.parametrize("slope", [1.0, 1e-2, 1e-4])
def test_a_rounded_line_is_no_step_function_however_short_the_steps(slope):
    """Beside 1, short steps show one tread. Far steps show how many more there are, unlike those of a real step."""
    for size in (1e-6, 1e-8, 1e-10):
        assert not is_step_function(phi_of(lambda x: (slope * x + 1.0) - 1.0, [0.3 * size], [size])), "rounding"
        assert is_step_function(phi_of(lambda x: slope * np.sign(x), [0.3 * size], [size])), "a step"


# Features beside the point.


@pytest.mark.thorough
def test_kinks_nearer_than_the_finest_steps_are_no_mistakes():
    """In 300 sorted numbers of float32, the next change of order is often nearer than the finest steps."""

    def largest(x):
        return np.sort(x)[150:][::-1]

    def vjp(x, u):
        found = np.zeros_like(x)
        found[np.argsort(x)[150:][::-1]] = u
        return found

    for seed in range(6):
        x = (1e-8 * SEED(seed).normal(size=300)).astype("f")
        is_not_called_wrong(largest, x, vjp=vjp)
        with pytest.raises(GradientMismatch):
            gradcheck(largest, x, vjp=lambda x, u: 1.3 * vjp(x, u))


def poles(x):
    """Return a function of float32 that is as steep as lgamma far below 0, and has poles at whole numbers, too."""
    x = x.astype(float)
    return np.float32(12.0 * x + np.log(np.abs(np.sin(np.pi * x))))


def of_poles(x, u):
    return np.float32(u * (12.0 + np.pi / np.tan(np.pi * x.astype(float))))


@pytest.mark.parametrize("x", [-258651.875, -200123.4, -296976.34375, -82595.0234375, -16230.9990234375])
def test_poles_that_are_as_close_as_the_steps_make_no_derivative_wrong(x):
    with pytest.raises(NothingCompared, match="narrow"):
        gradcheck(poles, np.float32([x]), vjp=of_poles)
    with pytest.raises(GradientMismatch):
        gradcheck(poles, np.float32([x]), vjp=none)
    with pytest.raises((GradientMismatch, NothingCompared)):
        gradcheck(poles, np.float32([x]), vjp=lambda x, u: 2.0 * of_poles(x, u))


@pytest.mark.parametrize(
    ("f", "df"),
    [
        (np.log, lambda x: 1 / x),
        (lambda x: np.log(np.abs(x)), lambda x: 1 / x),
        (np.cbrt, lambda x: np.cbrt(x) / x / 3),
    ],
)
@pytest.mark.parametrize("least", [1e-3, 1.8e-3])
def test_an_element_that_is_smaller_than_the_finest_steps_makes_no_step_function(f, df, least):
    """The finest steps are as long as those of other elements. They cross 0, or leave the domain of log."""
    x = np.float32([3, 2.72, 51, 0.463, 6.72e-3, 286, 3, 8.21, 1, 19.4, least, 1370])
    off = np.where(x == np.float32(least), np.float32(1.02), 1)
    assert gradcheck(f, x, vjp=lambda x, u: u * df(x), exhaustive=True)
    with pytest.raises(GradientMismatch):
        gradcheck(f, x, vjp=lambda x, u: u * df(x) * off, exhaustive=True)


@pytest.mark.parametrize("seed", range(3))
def test_an_element_between_close_poles_makes_no_derivative_along_a_direction_wrong(seed):
    x = np.float32([90911.7, -41391.296875, 61443.8, 51215.6, 58262.3])

    def log_gamma(x):
        return np.float32([math.lgamma(one) for one in x.tolist()])

    def vjp(x, u, factor=1.0):
        above = np.where(x > 0.0, x, 1.0 - x).astype(float)
        poles = np.where(x > 0.0, 0.0, math.pi / np.tan(math.pi * x.astype(float)))
        return np.float32(u * factor * (np.log(above) - 0.5 / above - poles))

    with pytest.warns(PartlyCompared):
        gradcheck(log_gamma, x, vjp=vjp, seed=seed)
    with pytest.raises(GradientMismatch):
        gradcheck(log_gamma, x, vjp=lambda x, u: vjp(x, u, np.array([1.0, 1.0, 1.0, 1.02, 1.0])), seed=seed)


N = np.float32([0.0336, 0.505, 1.6534, 2.01, 0.9319, 0.1524])
D = np.float32([3.3085e-6, 3.9802, 5.1247e-7, 0.30183])


def pade(x, n, d):
    """Return a Padé activation, which has a kink where an entry of `d` is 0."""
    top, bottom = sum(c * x**k for k, c in enumerate(n)), 1 + sum(abs(c * x ** (k + 1)) for k, c in enumerate(d))
    return top / bottom


def of_pade(x, n, d, u):
    top, bottom = sum(c * x**k for k, c in enumerate(n)), 1 + sum(abs(c * x ** (k + 1)) for k, c in enumerate(d))
    of_bottom = -u * top / bottom**2
    slopes = sum((k + 1) * abs(c) * abs(x) ** k * np.sign(x) for k, c in enumerate(d))
    of_x = u * sum(k * c * x ** (k - 1) for k, c in enumerate(n) if k) / bottom + of_bottom * slopes
    of_d = [np.sign(c) * (of_bottom * abs(x) ** (k + 1)).sum() for k, c in enumerate(d)]
    return of_x, np.float32([(u * x**k / bottom).sum() for k in range(6)]), np.float32(of_d)


@pytest.mark.parametrize("seeds", [range(1), pytest.param(range(1, 12), marks=pytest.mark.thorough)])
def test_steps_that_cross_a_kink_at_0_of_a_tiny_element_are_no_mistakes(seeds):
    for seed in seeds:
        x = (SEED(seed).random(256) * 2 - 0.7).astype("f")
        is_not_called_wrong(pade, x, N, D, vjp=of_pade)
    with pytest.raises(GradientMismatch):
        gradcheck(pade, x, N, D, vjp=lambda *args: [1.05 * part for part in of_pade(*args)])


def test_near_the_edge_of_the_domain_steps_are_shorter():
    x, slope = 1.0 - 1e-12, -1.0 / math.sqrt(1.0 - (1.0 - 1e-12) ** 2)
    passes(math.acos, x, gradient=lambda x: slope)
    with pytest.raises((GradientMismatch, NothingCompared)):
        gradcheck(math.acos, x, gradient=lambda x: 1.1 * slope)


@pytest.mark.parametrize(
    ("f", "derivative"),
    [(lambda x: 3 * x, lambda x: 3), (np.sin, np.cos), (lambda x: np.maximum(x, 0), lambda x: x > 0)],
)
def test_in_half_precision_a_missing_gradient_is_found_where_all_elements_are_0(f, derivative):
    """An element that is 0 has no last bit by which it could be moved."""
    zeros = np.zeros(5, "float16")
    with pytest.raises(GradientMismatch):
        gradcheck(f, zeros, vjp=lambda x, g: 0 * g)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert gradcheck(f, zeros, vjp=lambda x, g: g * derivative(x))


def test_in_half_precision_a_step_function_is_one_where_all_elements_are_0():
    assert gradcheck(np.floor, np.zeros(5, "float16"), vjp=lambda x, g: 0 * g)


@pytest.mark.parametrize("power", [2, 3, 4])
def test_in_half_precision_a_function_that_begins_flat_is_no_step_function(power):
    """Its first change is by several last bits in steps that double, as if it jumped there."""
    for slope in (1.0, 1.3, 1.7, 2.2, 3.0, 3.9):

        def f(x, slope=slope):
            return np.minimum(100.0 + slope * np.abs(x.astype(float)) ** power, 6e4).astype("e")

        assert not is_step_function(phi_of(f, np.float16([0.0])))
    assert is_step_function(phi_of(lambda x: np.float16(100.0) + np.floor(x), np.float16([0.3])))


def test_in_half_precision_derivatives_that_agree_to_the_last_bit_are_not_warned_about():
    x = np.float16([0.0])
    passes(lambda x: np.float16(x + 300.0), x, vjp=lambda x, u: u)
    with pytest.warns(PartlyCompared, match="too noisy to tell"):
        gradcheck(lambda x: np.float16(x + 300.0), x, vjp=lambda x, u: np.float16(1.01) * u)


@pytest.mark.parametrize("height", [3.0, 6.0])
def test_in_half_precision_directions_stand_for_the_elements_of_a_loss_that_noise_hides(height):
    x, more = SEED(0).normal(size=12).astype("e"), np.r_[1.2, np.ones(11)]

    def loss(x):
        return np.float16(height + 0.04 * x.astype(float).sum())

    passes(loss, x, vjp=lambda x, u: np.full_like(x, 0.04 * u))
    with pytest.raises(GradientMismatch):
        gradcheck(loss, x, vjp=lambda x, u: np.float16(0.04 * u * more))


@pytest.mark.thorough
def test_in_half_precision_treads_of_what_cancels_make_no_derivative_wrong():
    x = np.float16([[0, -0.012, -0.00608, 0.0339], [-0.000938, 0.0786, 0, 0], [0, 0, 0.0417, -0.066]])
    for f, slope in ((lambda x: 1 - np.cos(x), np.sin), (lambda x: np.log(1 + x * x), lambda x: 2 * x / (1 + x * x))):
        passes(f, x, vjp=lambda x, u, slope=slope: u * slope(x))
        with pytest.raises(GradientMismatch):
            gradcheck(f, x, vjp=lambda x, u, slope=slope: np.float16(1.1) * u * slope(x))


@pytest.mark.thorough
def test_in_half_precision_kinks_at_elements_that_are_0_or_equal_are_compared_beside_them():
    x = np.float16([[0, -0.3, -2.2, 0.6], [-1.1, 0, 0, 0.8], [-0.7, -0.7, 0.4, 0.2]])

    def sort_vjp(x, u):
        found = np.zeros_like(x)
        np.put_along_axis(found, np.argsort(x, 1, kind="stable"), u, 1)
        return found

    passes(lambda x: np.maximum(x, 0), x, vjp=lambda x, u: u * (x > 0))
    passes(lambda x: np.sort(x, 1), x, vjp=sort_vjp)
    for factor in (0.9, 1.1):
        with pytest.raises(GradientMismatch):
            gradcheck(lambda x: np.maximum(x, 0), x, vjp=lambda x, u, k=factor: np.float16(k) * u * (x > 0))
        with pytest.raises(GradientMismatch):
            gradcheck(lambda x: np.sort(x, 1), x, vjp=lambda x, u, k=factor: np.float16(k) * sort_vjp(x, u))


def test_in_half_precision_small_elements_move_by_their_own_size_where_steps_of_large_ones_cross_a_pole():
    x = np.float16([[0.5, 0.001, 0.003, 0.2], [0.9, 0.07, 0.33, 0.11], [0.002, 0.6, 0.0013, 1]])
    passes(lambda x: np.log(np.abs(x)), x, vjp=lambda x, u: u / x)
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: np.log(np.abs(x)), x, vjp=lambda x, u: np.float16(1.1) * u / x)


@pytest.mark.parametrize("b", [30, 100])
def test_in_half_precision_what_rounding_absorbs_in_some_outputs_is_not_wrong(b):
    x, w = np.float16(1e-2 * SEED(0).normal(size=(3, 4))), np.float16(1e-3 * SEED(1).normal(size=(2, 4)))

    def vjp(x, w, b, u, factor=1):
        return factor * (u @ w), u.T @ x, u.sum(0)

    args = lambda x, w, b: x @ w.T + b, x, w, np.float16([b, 0])
    is_not_called_wrong(*args, vjp=vjp)
    with pytest.raises(GradientMismatch):
        gradcheck(*args, vjp=lambda *each: vjp(*each, factor=np.float16(2)))


def test_a_smooth_function_is_soon_told_from_a_step_function_though_rounding_makes_steps_near_0():
    calls = []

    def softmax(x):
        calls.append(x)
        return np.exp(x) / np.exp(x).sum()

    with pytest.raises(GradientMismatch):
        gradcheck(softmax, np.array([0.5, -1.25, 2.0, 0.25, -0.75]), vjp=none)
    assert len(calls) <= 500


SUMS_OF_STEPS = {
    "sum": lambda x: np.round(x).sum(),
    "mean": lambda x: (np.round(4 * x) / 4).mean(),
    "loss": lambda x: ((np.round(x) - np.float32(0.3)) ** 2).mean(),
}


@pytest.mark.parametrize("n", [100, 1000, 10_000])
@pytest.mark.parametrize("name", SUMS_OF_STEPS)
def test_a_sum_of_step_functions_is_not_called_wrong(name, n):
    """Some element jumps in each step that moves all of them, so the sum seems to climb."""
    for seed in range(3):
        x = (30 * SEED(seed).random(n)).astype(np.float32)
        with pytest.warns(PartlyCompared):  # for single elements, rounding of the sum may have made the steps
            gradcheck(SUMS_OF_STEPS[name], x, vjp=none)


@pytest.mark.parametrize("f", [np.sum, lambda x: np.tanh(x).mean(), lambda x: np.maximum(x - 15, 0).sum()])
def test_a_gradient_of_0_of_a_sum_that_climbs_is_found(f):
    for seed in range(3):
        with pytest.raises(GradientMismatch, match="WRONG"):
            gradcheck(f, (30 * SEED(seed).random(1000)).astype(np.float32), vjp=none)


def test_a_gradient_of_0_beside_a_sum_of_step_functions_is_found():
    """The elements along which the function is a step function do not move in a second comparison, and others do."""
    x, w = (SEED(0).random(1000, np.float32) * k for k in (30, 1))
    with pytest.raises(GradientMismatch, match="wrong for w, right for x"):
        gradcheck(lambda x, w: (np.round(x) + w).sum(), x, w, vjp=lambda x, w, u: (0 * x, 0 * w))
