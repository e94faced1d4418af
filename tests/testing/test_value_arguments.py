"""`gradcheck` of functions of `Value`s: which arguments are numbers to differentiate by, and which are constants."""

import enum
import math
import random
import warnings
from decimal import Decimal
from fractions import Fraction

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.functional import grad
from micrograd_cn.nn import MLP, Module
from micrograd_cn.testing import GradientMismatch, NotDeterministic, PartlyCompared, checks_gradient, gradcheck

np = pytest.importorskip("numpy")


class Mode(enum.Enum):
    """Members that are no numbers."""

    TRAIN = 1


class Level(enum.IntEnum):
    """Members that are whole numbers, too."""

    LOW = 2


def wrong(x):
    """Return x * x with half of the gradient."""
    return x * x.detach()


def matched(x, n):
    """Branch on a pattern."""
    match n:
        case 2:
            return wrong(x)
        case _:
            return x * x


def looked_up(x, n):
    """Branch on whether a dict has a key."""
    return {2: wrong}.get(n, lambda x: x * x)(x)


# Functions whose gradient is wrong only in the branch that they take for the number, not for a `Value`.
BRANCHES = {
    "==": (lambda x, n: wrong(x) if n == 2 else x**n, 2),
    "!=": (lambda x, n: x**n if n != 2 else wrong(x), 2),
    "== of a result": (lambda x, n: wrong(x) if n % 2 == 0 else x * x, 2),
    "in": (lambda x, n: wrong(x) if n in (2, 3) else x * x, 3),
    "truth of 0": (lambda x, n: x * x if n else wrong(x), 0),
    "truth of a flag": (lambda x, train: x * x if train else wrong(x), False),
    "truth of numpy's flag": (lambda x, train: x * x if train else wrong(x), np.bool_(False)),
    "is": (lambda x, train: wrong(x) if train is True else x * x, True),
    "is of None": (lambda x, w: wrong(x) if w is None else x * x, None),
    "text": (lambda x, how: wrong(x) if how == "sum" else x * x, "sum"),
    "member": (lambda x, mode: wrong(x) if mode is Mode.TRAIN else x * x, Mode.TRAIN),
    "member that is an int": (lambda x, level: wrong(x) if level is Level.LOW else x * x, Level.LOW),
    "min": (lambda x, n: wrong(x) if min(n, 3) == 3 else x * x, 3),
    "set": (lambda x, n: wrong(x) if n in {2, 3} else x * x, 2),
    "key": (looked_up, 2),
    "str": (lambda x, n: wrong(x) if f"{n}" == "2" else x * x, 2),
    "isinstance": (lambda x, n: wrong(x) if isinstance(n, int) else x * x, 2),
    "match": (matched, 2),
    "numpy's integer": (lambda x, n: wrong(x) if n == 2 else x * x, np.int64(2)),
    "array without an axis": (lambda x, n: wrong(x) if n == 2 else x * x, np.array(2)),
    "fraction": (lambda x, n: wrong(x) if n == Fraction(2) else x * x, Fraction(2)),
    "int()": (lambda x, n: wrong(x) if int(n) == 2 else x * x, 2),
    "range": (lambda x, n: sum(wrong(x) for _ in range(n)), 2),
}


@pytest.mark.parametrize(("f", "n"), BRANCHES.values(), ids=BRANCHES)
def test_the_branch_that_is_checked_is_the_one_that_f_takes_for_numbers(f, n):
    with pytest.raises(GradientMismatch, match=r"1 of 1 derivatives wrong"):
        gradcheck(f, 3.0, n)


def test_a_float_is_compared_as_a_number_too():
    f = lambda x: wrong(x) if x == 2 else x * x  # noqa: E731
    assert grad(f)(2.0) == 2.0
    with pytest.raises(GradientMismatch):
        gradcheck(f, 2.0)
    with pytest.warns(UserWarning, match="^== of a Value and an equal number is False"):
        assert gradcheck(f, Value(2.0))  # a `Value` that the user made equals no number


def test_a_loop_that_counts_down_to_0_ends():
    def power(x, n):
        r = 1
        while n:
            r, n = r * x, n - 1
        return r

    assert grad(power)(2.0, 3) == 12.0
    assert repr(gradcheck(power, 2.0, 3)) == "<1 derivative agrees; constants: n>"


def test_a_whole_number_that_is_used_as_a_number_is_differentiated_by():
    assert repr(gradcheck(lambda x, n: x**n, 3.0, 2)) == "<2 derivatives agree>"
    assert repr(gradcheck(lambda x, n: (x * n).sum(), np.ones(2), np.array([1, 2]))) == "<4 derivatives agree>"
    with pytest.raises(GradientMismatch, match="1 of 2 derivatives wrong"):
        gradcheck(lambda x, n: x ** n.detach(), 3.0, 2)
    with pytest.raises(GradientMismatch, match="1 of 1 derivatives wrong"):  # x is a whole number, too
        gradcheck(lambda x, n: wrong(x) if n == 2 else x**n, 3, 2)
    with pytest.raises(GradientMismatch, match="1 of 1 derivatives wrong"):  # nothing else is left
        gradcheck(lambda x: wrong(x) if x == 2 else x * x, 2)


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda x, n: sum(x[:n]), ([2.0, 3.0], 1)),
        (lambda x, n: x[n], ([2.0, 3.0], 1)),
        (lambda x, n: {1: x[0], 2: x[1]}[n], ([2.0, 3.0], 2)),
        (lambda x, n, m: sum(x[0] for _ in range(n)) + sum(x[1] for _ in range(m)), ([2.0, 3.0], 2, 3)),
        (lambda x, some: x[some].sum(), (np.array([2.0, 3.0]), slice(0, 1))),
        (lambda x, some: x[some].sum(), (np.array([2.0, 3.0]), np.array([True, False]))),
        (lambda x, some: x[some].sum(), (np.array([2.0, 3.0]), np.array([1, 1, 0]))),
        (lambda x, f: f(x[0]) + x[1], ([2.0, 3.0], mc.tanh)),
        (lambda x, f: f(x[0]) + x[1], ([2.0, 3.0], lambda x: x * x)),
    ],
)
def test_what_f_takes_only_as_it_is_is_a_constant(f, args):
    whole = [name for name, x in zip(("n", "m"), args[1:], strict=False) if isinstance(x, int)]
    whole = ["some"] if isinstance(args[1], np.ndarray) and args[1].dtype != bool else whole
    told = f"; constants: {', '.join(whole)}" if whole else ""
    assert repr(gradcheck(f, *args)) == f"<2 derivatives agree{told}>"


def test_a_whole_number_at_which_f_jumps_is_a_constant():
    def power(x, n):
        r = 1.0
        while n > 0:
            r, n = r * x, n - 1
        return r

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert repr(gradcheck(power, 2.0, 3)) == "<1 derivative agrees; constants: n>"
        assert repr(gradcheck(lambda x, n: x**n, -2.0, 3)) == "<1 derivative agrees; constants: n>"
    with pytest.warns(PartlyCompared):  # of a float, this is told
        gradcheck(power, 2.0, 3.0)


def test_a_wrong_derivative_by_what_may_be_a_constant_is_answered_with_static():
    def dropout(x, p):
        return x if p == 0.0 else x * (1.0 - p)

    with pytest.raises(GradientMismatch, match=r"WRONG +df/dp .* f asks whether .*; if p is a constant, .*\['p'\]"):
        gradcheck(dropout, 2.0, 0.0)
    with pytest.raises(GradientMismatch, match=r"WRONG +df/dn .* if n is a constant, write static=\['n'\]"):
        gradcheck(lambda x, n: x ** n.detach(), 3.0, 2)
    for args in ((2.0, 0.5), (2,)):
        with pytest.raises(GradientMismatch) as caught:
            gradcheck(lambda x, p=1.0: wrong(x) * p, *args)
        assert "static" not in str(caught.value)


def test_an_item_of_a_structure_may_be_a_constant():
    def f(p):
        return p["x"] * p["x"] if p["train"] or p["how"] == "mean" else wrong(p["x"])

    assert repr(gradcheck(f, {"x": 2.0, "train": True, "how": "sum"})) == "<1 derivative agrees>"
    with pytest.raises(GradientMismatch, match="1 of 1"):
        gradcheck(f, {"x": 2.0, "train": False, "how": "sum"})


def test_a_module_gets_its_flags_as_they_are():
    class Scale(Module):
        def __init__(self):
            self.w = Value(2.0)

        def forward(self, x, train):
            return self.w * x if train else self.w * x.detach()

        def parameters(self):
            return [self.w]

    assert repr(gradcheck(Scale(), 3.0, True)) == "<2 derivatives agree>"
    with pytest.raises(GradientMismatch, match="1 of 2 derivatives wrong"):
        gradcheck(Scale(), 3.0, False)


def test_drawn_and_fixed_flags_reach_f():
    st = pytest.importorskip("hypothesis.strategies")

    def f(x, train):
        return (x * x).sum() if train else sum(map(wrong, x))

    checks_gradient(f, (2,), True, examples=2)()
    for flag in (False, st.booleans()):
        with pytest.raises(GradientMismatch, match="2 of 2 derivatives wrong"):
            checks_gradient(f, (2,), flag, examples=20)()
    checks_gradient(lambda x, w: (x * x).sum() if w is None else x[0], (2,), None, examples=2)()


@pytest.mark.parametrize(
    "f",
    [
        lambda x, p: wrong(x) if p in {0.5} else x * x,
        lambda x, p: wrong(x) if f"{p}" == "0.5" else x * x,
        lambda x, p: wrong(x) if isinstance(p, float) else x * x,
    ],
)
def test_a_float_at_whose_type_text_or_hash_f_looks_is_refused(f):
    with pytest.raises(
        TypeError, match=r"if p is a Value than if it is 0\.5, .*; if p is a constant, .*static=\['p'\]"
    ):
        gradcheck(f, 2.0, 0.5)
    with pytest.raises(GradientMismatch):
        gradcheck(f, 2.0, 0.5, static=["p"])
    with pytest.raises(TypeError, match=r"c\['p'\] is a constant, make it an argument of its own"):
        gradcheck(lambda c: f(c["x"], c["p"]), {"x": 2.0, "p": 0.5})


def test_a_float_that_f_cannot_take_as_a_value_is_answered_with_static():
    with pytest.raises(TypeError, match=r"does not take a Value \(KeyError: .*\); if p is a constant, write static="):
        gradcheck(lambda x, p: {0.5: x}[p], 2.0, 0.5)
    with pytest.raises(TypeError, match=r"math\.exp\(\) of a Value .*; if p is a constant, write static=\['p'\]"):
        gradcheck(lambda x, p: x * math.exp(p), 2.0, 0.5)
    with pytest.raises(TypeError, match=r"; if a is a constant, write static=\['a'\]"):
        gradcheck(lambda x, a: x * np.linalg.det(a), 2.0, np.eye(2))


@pytest.mark.parametrize("given", [{1.0}, MLP(1, [1]), object()])
def test_what_may_hold_numbers_is_no_constant_unless_it_is_static(given):
    with pytest.raises(TypeError, match=r"w: expected a real number, .*; if w is a constant, write static=\['w'\]"):
        gradcheck(lambda x, w: x * x, 2.0, given)
    assert repr(gradcheck(lambda x, w: x * x, 2.0, given, static=["w"])) == "<1 derivative agrees>"


@pytest.mark.parametrize("kind", [Fraction, Decimal])
def test_a_fraction_or_decimal_is_a_whole_number_only_if_it_has_no_fraction(kind):
    def f(x, n):
        return x * math.floor(n.data if isinstance(n, Value) else n) + (wrong(x) if isinstance(n, Value) else x * x)

    assert gradcheck(lambda x, n: x * n, 2.0, kind(3)).comparisons[1].agrees
    with pytest.raises(GradientMismatch, match=r"WRONG  df/dx .* if f gets a Value as n\n"):
        gradcheck(f, 2.0, kind(3))
    with pytest.raises(TypeError, match="computes something else"):
        gradcheck(f, 2.0, kind("2.5"))


@pytest.mark.parametrize("seed", [4, 5, 22])
def test_a_function_with_dropout_is_not_deterministic_even_if_two_calls_agree(seed):
    generator = random.Random(seed)
    with pytest.raises(NotDeterministic):
        gradcheck(lambda x: sum(v * v * (generator.random() > 0.5) for v in x), [1.0, 2.0, 3.0])


@pytest.mark.parametrize("seed", [0, 5, 6])
def test_a_function_with_noise_is_not_deterministic_even_if_two_calls_agree_and_it_asks_for_a_type(seed):
    """The noise changes no derivative."""
    generator = random.Random(seed)
    with pytest.raises(NotDeterministic):
        gradcheck(lambda x, p: x * (2.0 if isinstance(p, Value) else p) + (generator.random() > 0.5), 2.0, 0.5)


def test_a_complex_constant_is_static():
    with pytest.raises(TypeError, match=r"complex.*; if .* is a constant, write static=\["):
        gradcheck(lambda x, w: x * x, 2.0, 2j)
    assert gradcheck(lambda x, w: x * x, 2.0, 2j, static=["w"])


@pytest.mark.parametrize("given", [True, np.array([True, False])])
def test_bools_alone_are_refused(given):
    with pytest.raises(TypeError, match="x contains bools alone"):
        gradcheck(lambda x: x * 2.0, given)


def test_a_function_of_chance_is_called_one_and_warnings_come_once():
    calls = iter(range(100))
    with pytest.raises(NotDeterministic):
        gradcheck(lambda x, p: x * p * next(calls), 2.0, 0.5)

    def f(x, n):
        if isinstance(n, int):
            warnings.warn("of the number alone", stacklevel=1)
        return x * n

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert repr(gradcheck(f, 2.0, 3)) == "<2 derivatives agree>"


def test_a_derivative_that_is_wrong_only_beside_a_value_is_found_although_a_whole_number_may_be_a_constant():
    def power(x, n):
        if not isinstance(n, Value):
            return x**n
        out = Value(x.data**n.data, (x, n), "pow")

        def _backward():
            x.grad += 2.0 * n.data * x.data ** (n.data - 1) * out.grad
            n.grad += out.data * math.log(x.data) * out.grad

        out._backward = _backward
        return out

    with pytest.raises(GradientMismatch, match=r"WRONG +df/dx +24 +12 .*if f gets a Value as n"):
        gradcheck(power, 2.0, 3)


def test_a_name_that_is_not_defined_is_told_and_makes_no_whole_number_a_constant():
    def scaled(x, n):
        return x * undefined if isinstance(n, Value) else x * n  # noqa: F821

    with pytest.raises(NameError, match="undefined") as caught:
        gradcheck(scaled, 2.0, 3)
    assert caught.value.__notes__ == ["gradcheck gave f a Value as n; if n is a constant, write static=['n']"]


def test_one_flag_among_whole_numbers_does_not_make_the_others_constants():
    def doubled(x, factor):
        out = Value(2.0 * x.data, (x,), "double")

        def _backward():
            x.grad += factor * out.grad

        out._backward = _backward
        return out

    def f(xs, w, factor):
        return sum([doubled(x, factor) * w for x in xs if x != 0], 0.0 * w)

    xs = np.array([0, 1, 2])
    assert repr(gradcheck(lambda xs, w: f(xs, w, 2.0), xs, 3.0)) == "<3 derivatives agree; constants: xs[0]>"
    with pytest.raises(GradientMismatch, match=r"WRONG +df/dxs\[1\] +15 +6"):
        gradcheck(lambda xs, w: f(xs, w, 5.0), xs, 3.0)
    labels = np.arange(300) % 2
    found = gradcheck(lambda x, y: sum([x[0] if k == 1 else x[1] for k in y]), np.array([1.0, 2.0]), labels)
    assert repr(found) == "<2 derivatives agree; constants: y>"


def test_a_large_array_of_labels_is_no_array_of_too_many_numbers():
    x, labels = np.array([1.0, 2.0, 4.0]), np.arange(300) % 3
    assert repr(gradcheck(lambda x, y: x[y].sum(), x, labels)) == "<3 derivatives agree; constants: y>"
    with pytest.raises(TypeError, match=r"303 numbers .* too many .*; if y is a constant, write static=\['y'\]"):
        gradcheck(lambda x, y: x.sum() * y.sum(), x, labels)


# Outputs that are numbers.


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.where(x > 0, x, 0),
        np.diag,
        np.tril,
        lambda x: np.pad(x, 1),
        lambda x: [v if v > 0 else 0 for v in x],
        lambda x: x[1] if x[1] > 0 else 0,
        lambda x: [x[0], np.float64(2.0), np.array(3)],
    ],
)
@pytest.mark.parametrize("order", [1, 2])
def test_a_number_in_the_result_is_a_constant(f, order):
    assert gradcheck(f, np.array([1.0, -2.0]), order=order)


@pytest.mark.parametrize(("f", "where"), [(lambda x: 2.0 * x.data, ""), (lambda x: [x, x.data], r" as output\[1\]")])
def test_a_number_that_depends_on_the_argument_is_a_lost_graph(f, where):
    with pytest.raises(TypeError, match=rf"f returned float \d\.0{where}, not a Value: its graph was lost"):
        gradcheck(f, 3.0)


@pytest.mark.parametrize("y", [True, None, "0"])
def test_what_is_no_number_in_the_result_is_refused(y):
    with pytest.raises(TypeError, match=r"as output\[1\], which is neither a Value nor a number"):
        gradcheck(lambda x: [x, y], 3.0)


# Compiled functions.

SQUARE_OFF = mc.Op("off", lambda x: x * x, (lambda y, x: 2.02 * x,))


@pytest.mark.parametrize(
    ("f", "args", "count"),
    [
        (lambda x: x * x, (2.0,), 1),
        (lambda x: x * x, (2,), 1),
        (lambda x: x * x, (Value(2.0),), 1),
        (lambda x: (x * x).sum(), (np.arange(1, 4),), 3),
        (lambda x: x * x, (np.arange(1.0, 4.0),), 9),
        (lambda p, w: {"a": p["w"] * w, "b": [p["b"]]}, ({"w": 2.0, "b": 3}, 5.0), 6),
    ],
)
def test_a_compiled_function_is_checked_by_its_own_gradient(f, args, count):
    assert len(gradcheck(compile(f), *args).comparisons) == count


def test_wrong_derivatives_static_arguments_and_keywords_of_compiled_functions():
    with pytest.raises(GradientMismatch, match=r"(?s)wrong for w, right for x.*df/dw +8.08 +8 "):
        gradcheck(compile(lambda x, w: x * SQUARE_OFF(w)), 2.0, 2.0)
    with pytest.raises(GradientMismatch, match=r"gradcheck of off at 2\.0"):
        gradcheck(compile(SQUARE_OFF), 2.0)
    f = compile(lambda x, train: x * x if train else wrong(x), static=["train"])
    assert gradcheck(f, 2.0, True)
    with pytest.raises(GradientMismatch, match="wrong for x"):
        gradcheck(f, 2.0, False)
    assert gradcheck(compile(lambda x, n: sum([x * x for _ in range(n)]), static=["n"]), 2.0, 3)  # 3 stays an int
    assert len(gradcheck(compile(lambda x, w: x * w), 2.0, kwargs={"w": 3.0}).comparisons) == 1
    assert len(gradcheck(compile(lambda x, w: x * w), 2.0, 3.0, static=["w"]).comparisons) == 1
    assert len(gradcheck(compile(lambda x, w: x * w), 2.0, True).comparisons) == 1
    assert gradcheck(compile(lambda x, w: x * w), (2.0, 3.0))
    with pytest.raises(TypeError):
        gradcheck(compile(lambda x: x * x), 2.0, 3.0)
    with pytest.raises(ValueError, match=r"order= .*; give the function without compile"):
        gradcheck(compile(lambda x: x * x), 2.0, order=2)


def test_a_value_and_its_gradient_are_refused_as_results_and_a_number_beside_them_is_not():
    x = np.array([1.0, 2.0])
    for pack in (lambda g: g, lambda g: [g], lambda g: (g,)):
        with pytest.raises(TypeError, match=r"^gradcheck: f returns a number and an array .* gradient=f\)"):
            gradcheck(lambda x, pack=pack: ((x * x).sum(), pack(2 * x)), x)
    for other in (3.0, [], [3.0]):
        assert gradcheck(lambda x, other=other: ((x * x).sum(), other), x)
