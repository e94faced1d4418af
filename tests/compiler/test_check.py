"""`check` calls a function with the numbers of its samples, too, and finds what it does differently for `Value`s."""

import math
import operator
import sys
import warnings
from fractions import Fraction
from functools import singledispatch
from numbers import Number

import numpy as np
import pytest

from micrograd_cn import Value, no_grad
from micrograd_cn.compiler import Mismatch, compile  # noqa: A004 -- the field's name
from micrograd_cn.functional import grad
from micrograd_cn.nn import Module


def of_match(x):
    match x:
        case float():
            return W * x
        case _:
            return W * x * 2.0


def of_match_of_value(x):
    match x:
        case Value():
            return W * x
        case _:
            return W * x * 2.0


def of_an_error(x):
    try:
        return W * x.real
    except AttributeError:
        return W * x * 2.0


@singledispatch
def dispatched(x):
    return W * x * 2.0


@dispatched.register
def _(x: float):
    return W * x


def written(x):
    h = x.copy()
    h[0] = 1.7
    return W * h.sum()


class Squared(Value):
    def __mul__(self, other):
        return super().__mul__(other) ** 2


SQUARED = Squared(2.0)
W, BYTES = Value(1.5), np.array([[200, 3]], np.uint8)
OF_NUMBERS = {
    "isinstance": (lambda x: W * x if isinstance(x, (int, float)) else W * x * 2.0, [3.0]),
    "type": (lambda x: W * x if type(x) in (int, float) else W * x * 2.0, [3]),
    "np.isscalar": (lambda x: W * x if np.isscalar(x) else W * x * 2.0, [np.float32(3.0)]),
    "match": (of_match, [3.0]),
    "singledispatch": (dispatched, [3.0]),
    "dtype": (lambda x: W * x.sum() if x.dtype.kind == "f" else W * x.sum() * 2.0, np.ones((1, 3), np.float32)),
    "numbers in a dict": (lambda x: W * x["a"][0] * (1.0 if isinstance(x["a"][0], int) else 2.0), [{"a": (1,)}]),
    "an operator of a subclass": (lambda x: x * SQUARED, [3.0]),
    "an overflow": (lambda x: W * (2 * x).sum(), BYTES),
    "a difference": (lambda x: W * np.diff(x).sum(), BYTES),
    "a quotient": (lambda x: W * np.reciprocal(x).sum(), BYTES.astype(int)),
    "bools": (lambda x: W * (x @ x), BYTES > 0),
    "a copy": (written, BYTES),
    "full_like": (lambda x: W * np.full_like(x, 0.5).sum(), BYTES),
}


class Reversed(Value):
    def __rsub__(self, other):
        return other * 7.0


class Larger(Value):
    def __gt__(self, other):
        return True


REVERSED, LARGER = Reversed(2.0), Larger(2.0)
BY_KIND = {0: lambda x: W * x if type(x) is float else W}
FROM_DICT, FROM_LIST = BY_KIND.get, [*BY_KIND.values()].__getitem__
# Functions that may tell a `Value` from a number: the first call calls them with numbers, too, and compares
ASKING = {name: f for name, (f, _) in [*OF_NUMBERS.items()][:8]} | {
    "isinstance of a Value": lambda x: W * x if isinstance(x, Value) else W,
    "an abstract class": lambda x: W * x if isinstance(x, Number) else W,
    "__class__": lambda x: W * x if x.__class__ is float else W,
    "hasattr": lambda x: W * x if hasattr(x, "backward") else W,
    "getattr": lambda x: W if getattr(x, "is_integer", None) else W * x,
    "an int": lambda x: W * x if isinstance(x, int) else W,
    "a pattern of Value": of_match_of_value,
    "an error": of_an_error,
    "dir": lambda x: W * x if "backward" in dir(x) else W,
    "its size": lambda x: W * x if sys.getsizeof(x) == sys.getsizeof(W) else W,
    "a text": lambda x: W * x if "Value" in str(x) else W,
    "items": lambda xs: sum(W * x if isinstance(x, float) else W for x in xs),
    "a reversed operator": lambda x: x - REVERSED,
    "a comparison of a subclass": lambda x: W * x if x < LARGER else W,
    "a function that a method of a dict returns": lambda x: FROM_DICT(0)(x),
    "a function that a method of a list returns": lambda x: FROM_LIST(0)(x),
}
ARGUMENTS = {"dtype": np.ones(3), "numbers in a dict": {"a": (1,)}, "items": [3.0, 4.0]}
# Functions that may tell an element from a `Value` that is computed in its place
COMPARING = {
    "is": lambda q: sum(y if y is z else 2 * y for y, z in zip(q, np.clip(q, 0, 9), strict=True)),
    "is not": lambda q: sum(y for y in q if y is not q.max()),
    "in a function": lambda q: q[0] if (lambda y: q[1] is y)(np.where(q > 1, q, 0.0)[1]) else q[2],
    "id": lambda q: q[0] if id(q.max()) in map(id, q) else q[2],
    "operator.is_": lambda q: q[0] if operator.is_(np.maximum(q, 0.0)[1], q[1]) else q[2],
}


@pytest.mark.parametrize("name", ASKING)
def test_a_first_call_warns_of_a_function_that_gives_something_else_for_numbers(name):
    f = compile(ASKING[name])
    with pytest.warns(UserWarning, match=r"computes -?\d\S* for the numbers .* instead of .*: write (isin|v \* x)"):
        f(ARGUMENTS.get(name, 3.0))


@pytest.mark.parametrize("sign", ["in", "startswith"])
def test_a_first_call_warns_of_a_text_that_changes_the_result_of_another_sample(sign):
    f = {"in": lambda x: W * x if "-" in f"{x}" else W, "startswith": lambda x: W * x if str(x)[0] == "-" else W}[sign]
    for call in (lambda g: g(3.0), lambda g: g.value_and_grad([(4.0,), (3.0,), (-2.0,)])):
        with pytest.warns(UserWarning, match=r"computes -\d\S* for the numbers of another sample, \[-\d.*by its text"):
            call(compile(f))
    compile(lambda x: (lambda shown: W * x)([f"{x}"]))(3.0)  # the text changes nothing
    with pytest.warns(UserWarning, match=r"of another sample, \[(-1.0, ){19}-1.0\], instead"):  # the whole sample
        compile(lambda xs: sum(xs) * (1.0 if "-" in f"{xs[0]}" else W))([1.0] * 20)


def of_a_later_error(x):
    try:
        return W * x if x.is_integer() else W
    except AttributeError:
        return W


def of_a_later_match(x):
    match x:
        case float() if x > 1:
            return W * x
        case _:
            return W


# Functions that give something else for 3.0 than for a `Value`, but not for smaller numbers
LATER = {
    "isinstance": lambda x: W * x if isinstance(x, float) and x > 1 else W,
    "type": lambda x: (W * x if x > 1 else W) if type(x) is float else W,
    "hasattr": lambda x: W * x if not hasattr(x, "backward") and x > 1 else W,
    "np.isscalar": lambda x: W * x if np.isscalar(x) and x > 1 else W,
    "a text": lambda x: W * x if str(x) == "3.0" else W,
    "a text as a key": lambda x: {"3.0": W * x}.get(f"{x}", W),
    "a caught error": of_a_later_error,
    "a pattern": of_a_later_match,
}


@pytest.mark.parametrize("name", LATER)
@pytest.mark.parametrize("branches", [False, True])
def test_a_later_sample_warns_of_a_function_that_gives_something_else_for_its_numbers(name, branches):
    """The first sample may take a branch that numbers and `Value`s take alike."""
    f = compile(LATER[name], branches=branches)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (f(0.5), f(0.25), f(0.5)) == (1.5, 1.5, 1.5)
    with pytest.warns(
        UserWarning, match=r"computes 4.5 for the numbers of another sample, \[3.0\], instead of 1.5, "
    ) as w:
        assert (f(3.0), f(3.0), f(4.0)) == (1.5, 1.5, 1.5)
    assert [x.filename for x in w] == [__file__]
    for samples in ([(0.5,), (0.25,), (3.0,)], (np.array([0.5] * 40 + [3.0]),)):
        with pytest.warns(
            UserWarning, match=r"computes 4.5 for the numbers of another sample, \[3.0\], instead of 1.5, "
        ):
            compile(LATER[name], branches=branches).value_and_grad(samples)


def test_a_later_sample_does_not_warn_of_a_function_that_gives_the_same_for_its_numbers():
    f = compile(lambda x: W * x.exp() if isinstance(x, Value) else W * (math.exp(x) if x > 1 else np.exp(x)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x in (0.5, 3.0, -2.0, 7.0, 0.25):
            f(x)
        f.forward([(0.5,), (3.0,)])


class Keeping(Module):
    def __init__(self):
        self.w, self.hidden = Value(1.5), None
        self.parts, self.seen = {}, []

    def attribute(self, x):
        self.hidden = self.w * x
        return self.w * x

    def items(self, x):
        parts = self.w * x
        self.parts["h"] = parts
        return parts

    def appended(self, x):
        self.seen.append([self.w * x])
        return self.w * x

    def in_a_list(self, x):
        self.hidden = [self.w * x, 1.0]
        return self.w * x


class Reading(Module):
    def __init__(self):
        self.w, self.hidden = Value(1.5), None

    def __call__(self, x):
        self.hidden = self.w * x
        return self.hidden


@pytest.mark.parametrize(
    ("name", "place"), [("attribute", "hidden"), ("items", "h"), ("appended", "seen"), ("in_a_list", "hidden")]
)
def test_a_first_call_warns_of_a_value_that_the_function_keeps(name, place):
    """Users keep a prediction to look at it after the step. It would be that of the first sample."""
    f = compile(getattr(Keeping(), name))
    with pytest.warns(UserWarning, match=rf"^{name} keeps a Value that it computes in {place}\. .*return it beside"):
        f(3.0)
    f(4.0)


class Running(Module):
    """Models with a running mean, which a later call reads, while this call's result does not depend on it."""

    def __init__(self):
        self.w, self.mean, self.means = Value(1.5), 0.0, [0.0, 0.0]

    def attribute(self, x):
        self.mean = 0.9 * self.mean + 0.1 * x
        return self.w * x

    def without_gradient(self, x):
        with no_grad():
            self.mean = 0.9 * self.mean + 0.1 * x
        return self.w * x

    def detached(self, x):
        self.mean = 0.9 * self.mean + 0.1 * x.detach()
        return self.w * x

    def items(self, x):
        for i in range(2):
            self.means[i] = self.means[i] * 0.9 + x * i
        return self.w * x

    def another_list(self, x):
        self.means = [mean * 0.9 + x for mean in self.means]
        return self.w * x


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("attribute", "mean"),
        ("without_gradient", "mean"),
        ("detached", "mean"),
        ("items", "means"),
        ("another_list", "means"),
    ],
)
def test_a_first_call_warns_of_a_running_mean(name, place):
    """The function reads the mean of the call before, so it reads what it keeps. The mean would be that of one call."""
    f = compile(getattr(Running(), name))
    with pytest.warns(UserWarning, match=rf"^{name} keeps a Value that it computes in {place}\. .*or to go on from it"):
        assert f(3.0) == 4.5


class State(Module):
    """A state that begins anew in each call."""

    def __init__(self):
        self.w, self.hidden = Value(1.5), 0.0

    def __call__(self, xs):
        self.hidden = 0.0
        for x in xs:
            self.hidden = self.w * x + self.hidden
        return self.hidden


@pytest.mark.parametrize(("model", "argument"), [(Reading, 2.0), (State, [1.0, 1.0])])
def test_a_first_call_does_not_warn_of_what_the_function_reads_itself(model, argument):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compile(model())(argument) == 3.0


@pytest.mark.parametrize("name", COMPARING)
def test_a_first_call_warns_of_a_function_that_finds_another_object_than_numpys(name):
    f = compile(lambda x: COMPARING[name](W * x))
    with pytest.warns(UserWarning, match=r"computes .* by `is` or `id`.*: write k = np.argmax\(q\), and"):
        f(np.array([1.0, 3.0, 2.0]))


def of_match_of_bools(x, flag):
    match flag:
        case True:
            return W * x
        case _:
            return W * x * 2.0


YES = True
# Functions that ask whether an argument is True; the second name is of those whose code does not show it
ASKING_FOR_BOOLS = {
    "is": lambda x, flag: W * x if flag is True else W * x * 2.0,
    "is not": lambda x, flag: W * x if flag is not False else W * x * 2.0,
    "match": of_match_of_bools,
    "type": lambda x, flag: W * x if type(flag) is bool and flag else W * x * 2.0,
    "a variable": lambda x, flag: W * x if flag is YES else W * x * 2.0,
    "operator.is_": lambda x, flag: W * x if operator.is_(flag, YES) else W * x * 2.0,
}


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("name", ASKING_FOR_BOOLS)
def test_a_first_call_warns_of_a_function_that_asks_whether_an_argument_is_true(name, flag):
    if not flag and name in ("a variable", "operator.is_"):
        return  # False is no other object than YES was for a Value
    f = compile(ASKING_FOR_BOOLS[name])
    with pytest.warns(UserWarning, match=r"computes .* as bools|computes .*, with (True|False), .*: write where\(flag"):
        f(3.0, flag)


def test_a_first_call_does_not_warn_of_bools_that_change_nothing():
    compile(lambda x, flag=None: W * x if flag is None else W * x * flag)(1.0, True)
    compile(lambda x, flag: W * x * (flag if isinstance(flag, (bool, Value)) else float(flag)))(1.0, True)
    compile(lambda xs: sum(W * x * y for x in xs for y in xs if x is not y))([0.0, 2.0])


def test_a_first_call_does_not_warn_of_a_derivative_that_bools_in_the_place_of_its_variables_would_not_have():
    """The function asks `x is not y`, and `grad` takes True for no variable, but 1.0 for one."""
    f = grad(lambda xs: sum(x * x * y for x in xs for y in xs if x is not y))
    assert compile(f)([1.0, 0.5, 0.0]) == f([1.0, 0.5, 0.0])
    g = grad(lambda x, flag: x * x if flag is True else 3.0 * x)
    with pytest.warns(UserWarning, match=r"computes .*, with True, .*: write where\(flag"):
        compile(g)(1.0, 0.0)  # the flag is no variable


@pytest.mark.parametrize("wrap", [lambda f: f, lambda f: lambda p: f(p)])
@pytest.mark.parametrize(
    "p", [{"x": 2.0, "mask": True}, {"x": np.array([1.0, 2.0]), "mask": np.array([True, False])}, [2.0, np.True_]]
)
def test_a_first_call_warns_of_bools_among_the_variables_of_a_derivative(wrap, p):
    """The derivative with respect to a bool is 0, but that with respect to the number in its place is not."""
    f = grad(lambda p: np.sum(math.prod(p.values() if isinstance(p, dict) else p)))
    with pytest.warns(UserWarning, match="derivative, which is 0 with respect to a bool: pass bools in another arg"):
        compile(wrap(f))(p)
    with pytest.warns(UserWarning, match="with respect to a bool"):
        compile(wrap(f)).forward([(p,)])


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: W * x if isinstance(x, (int, float)) else W.detach() * x, 3.0),
        (lambda x: [2.0, W * x, W * x if isinstance(x, (int, float)) else W.detach() * x], 3.0),
        (lambda x: (lambda q: sum(y if y is not q.max() else y.detach() for y in q))(W * x), np.array([1.0, 2.0])),
    ],
)
def test_a_derivative_that_numbers_do_not_have_is_found_where_the_results_agree(f, x):
    compiled = compile(f)
    with pytest.warns(UserWarning, match="as the derivative with respect to a parameter for the numbers"):
        compiled(x)
    with pytest.raises(Mismatch, match=r"the derivative with respect to a parameter for numbers, but .* for Values"):
        compiled.check([(x,)])
    with no_grad():
        compiled.check([(x,)])  # compares the results alone


def test_a_first_call_puts_back_what_a_call_with_numbers_changes():
    seen, before = [], W.grad

    def f(x):
        seen.append(type(x).__name__ == "float")
        if isinstance(x, float):
            (W * x).backward()
        return W * x

    compile(f)(3.0)
    assert seen == [False]
    assert W.grad == before


def test_a_first_call_does_not_warn_of_a_function_that_computes_the_same_in_another_way():
    compile(lambda x: W * (x.exp() if isinstance(x, Value) else math.exp(x)))(1.0)
    compile(lambda x: W * (x if isinstance(x, (float, Value)) else x[0]))(1.0)
    compile(lambda x: W * (math.tanh(x) if isinstance(x, float) else x.tanh()))(1.0)
    compile(lambda x: SQUARED * x)(1.0)
    compile(lambda xs: sum(W * x for x in xs if x is not max(xs)))([3.0, 4.0])


@pytest.mark.filterwarnings("ignore:.* for the numbers of this sample")
@pytest.mark.parametrize("name", OF_NUMBERS)
def test_check_finds_a_function_that_gives_something_else_for_numbers_than_for_values(name):
    f, column = OF_NUMBERS[name]
    for samples in ((column,), [(x,) for x in column], ((x,) for x in column)):
        with pytest.raises(Mismatch, match=r"^sample 0, .* for numbers, but .* ask for a type\? Write isinstance"):
            compile(f).check(samples)


@pytest.mark.filterwarnings("ignore:.* for the numbers of")
@pytest.mark.parametrize("wrong", range(3))
def test_check_compares_the_results_for_the_numbers_of_every_sample(wrong):
    f = compile(lambda x, n: W * x if n or not isinstance(x, float) else W * x * 2.0, static="n")
    with pytest.raises(Mismatch, match=rf"^sample {wrong}, .* for numbers, but .* ask for a type\?"):
        f.check([(3.0, k != wrong) for k in range(3)])


def test_check_takes_functions_of_values_alone_and_numbers_of_all_kinds():
    compile(lambda x: x.tanh() * W).check([(0.5,), (2,)])
    compile(lambda x, y: (W * x[0] + y) / 3.0).check(
        [((np.float32(0.1), 1), True), ((Fraction(1, 3), 1), np.int8(3)), ((0.1, 1), np.float64(0.7))]
    )
    compile(lambda x: W * (x * 0.1).sum() / 3.0).check((np.array([[0.1, 0.7]], np.float32),))
    compile(lambda x, n: W * x * (2.0 if n == "a" else 1.0), static="n").check([(3.0, "a"), (3, "b")])
    compile(lambda x, *, y=2.0: W * x * y).check([(3.0,)])


class Table:
    """A table like pandas' DataFrame: a loop over it gives the labels of its columns."""

    columns = range(3)

    def __init__(self, numbers):
        self._numbers = np.array(numbers)
        self.shape = self._numbers.shape

    def __len__(self):
        return len(self._numbers)

    def __iter__(self):
        return iter(self.columns)

    def __array__(self, dtype=None, copy=None):
        return np.array(self._numbers, dtype)

    def to_numpy(self):
        return self._numbers


@pytest.mark.filterwarnings("ignore:.* for the numbers of this sample")
@pytest.mark.parametrize("numbers", [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.ones((3, 3))])
def test_check_reads_the_rows_of_a_table(numbers):
    compile(lambda row, k: np.sum(W * row) * k).check((Table(numbers), 2.0))
    with pytest.raises(Mismatch, match=r"^sample 0, .*row.*array.* for numbers, but .* ask for a type\?"):
        compile(lambda row: W * row[0] * (2.0 if isinstance(row[0], float) else 1.0)).check((Table(numbers),))
