"""User-defined operations compile to what the engine computes, and those that cannot are refused with a reason."""

import itertools
import math
import random

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.instructions import formulas
from micrograd_cn.compiler.instructions.code import FORMULAS, MAX_INLINED
from micrograd_cn.compiler.llvm.machine import machine
from micrograd_cn.compiler.runtime import executable
from micrograd_cn.engine import record
from micrograd_cn.ops.operation import Selection
from micrograd_cn.ops.traits import Lowerings
from micrograd_cn.text.formula import Term

from .common import assert_like_eager


def test_an_own_row_compiles_if_it_is_written_in_rows(code):
    """An operation compiles if its value, or its `formula`, is written with the table's operations."""
    cube = Op("cube", lambda x: x * x * x, (lambda y, x: 3.0 * x * x,))
    w = Value(3.0)
    assert_like_eager(lambda x: cube(w * x) + mc.tanh(w), [Value(1.0)], [w], [[1.0], [-2.0]])
    bent = Op(
        "bent",
        lambda x: x if x > 0.0 else 0.0,
        (lambda y, x: mc.step(x),),
        lowerings=Lowerings(formula=lambda x: mc.where(mc.step(x), x, 0.0)),
    )
    assert_like_eager(lambda x: bent(w * x), [Value(1.0)], [w], [[1.0], [-2.0]])


def test_an_own_sum_of_two_may_have_a_number_beside_it(code):
    """An operation that lowers to summands may have a plain number as an operand, which is a constant term."""
    row = Op(
        "twice_and",
        lambda a, b: 2.0 * a + b,
        (lambda *_: 2.0, lambda *_: 1.0),
        lowerings=Lowerings(summands=lambda a, b: ((), (a, a, b))),
    )
    w = Value(3.0)
    assert_like_eager(lambda x: row(w * x, 2.0) + row(w, x * x), [Value(1.0)], [w], [[1.0], [-2.0]])


def test_an_own_formula_may_take_one_of_many(code):
    """A formula may contain `take`, which is compiled as a gather."""

    def value(x, i):
        return mc.take([x * k for k in range(1, 9)], i)

    row = Op("chosen", value, (lambda y, x, i: 1.0 + i, lambda y, x, i: 0.0 * x), lowerings=Lowerings(formula=value))
    w = Value(3.0)
    assert_like_eager(
        lambda x, i: record(row, (w * x, i)), [Value(1.0), Value(2.0)], [w], [[1.0, 0.0], [-2.0, 7.0], [0.5, 3.0]]
    )


generator, calls = random.Random(0), itertools.count(1.0)
CHANGING = {
    "random": (lambda x: x + random.random(), lambda y, x: 1.0),
    "a generator": (lambda x: x * generator.random(), lambda y, x: 1.0),
    "numpy": (lambda x: x * np.random.rand(), lambda y, x: 1.0),
    "a count": (lambda x: x * next(calls), lambda y, x: 1.0),
    "longer": (lambda x: [x, x * x][int(next(calls)) % 2], lambda y, x: 1.0),
    "a partial": (lambda x: x * x, lambda y, x: x * next(calls)),
    "a selection": (lambda x: x * 1.0, Selection(lambda g, x: g * next(calls), lambda x: next(calls))),
}


@pytest.mark.filterwarnings("ignore:<lambda> reads and changes calls")
@pytest.mark.parametrize("name", CHANGING)
def test_a_row_that_does_something_else_in_each_call_is_refused(name):
    """A program would use the number of the first call again and again."""
    forward, partial = CHANGING[name]
    row, w, x = Op("changing", forward, (partial,)), Value(2.0), Value(3.0)
    wrong = "in each call.*pass what changes from call to call, such as a random number, as an operand"
    if partial.__class__ is Selection or name == "a partial":
        f = compile(lambda x: row(w * x))
        assert f(3.0) == row(6.0)
        for derivative in (f.backward, f.gradient, lambda rows: f.gradient(rows, wrt="parameters")):
            with pytest.raises(TypeError, match=wrong):
                derivative([(3.0,)])
        return
    draws = name in ("random", "a generator", "numpy")
    with pytest.raises(TypeError, match="draws random numbers" if draws else "'changing': it computes something else"):
        compile(lambda x: row(w * x))(3.0)
    with pytest.raises(TypeError, match=r"the operation 'changing': it computes something else " + wrong):
        compile(row(w * x), [x])
    if name == "longer":  # the second recording takes the same of the two
        return
    for number in (lambda x: w * x * row(2.0), lambda x: w * x + row(x) + row(3.0)):
        with pytest.raises(TypeError, match="of two recordings for the same arguments, an operand of"):
            compile(number)(3.0)


def test_a_row_may_keep_what_it_has_computed():
    """A formula that is the same in each call is no random one, whatever its function stores."""
    held = {}

    def forward(x):
        held.setdefault("factor", math.sqrt(2.0))
        return held["factor"] * x * (0.0 + math.nan) if held.get("broken") else held["factor"] * x

    row, w = Op("kept", forward, (lambda y, x: math.sqrt(2.0),)), Value(3.0)
    assert_like_eager(lambda x: row(w * x), [Value(1.0)], [w], [[1.0], [-2.0]])
    assert compile(lambda x: row(w * x) + row(1.0)).backward([(1.0,)]) == 4.0 * math.sqrt(2.0)


@pytest.mark.parametrize(
    "row",
    [
        Op("odd_one", lambda x: math.sin(x), (lambda y, x: mc.cos(x),)),
        Op("odd_one", lambda x: x if x > 0.0 else 0.0, (lambda y, x: mc.step(x),)),
        Op("odd_one", lambda x: x * x, (lambda y, x: 2.0 if x > 0.0 else 3.0,)),
    ],
)
def test_an_own_row_that_cannot_be_compiled_is_named(row):
    """Python's `math`, or a branch on an operand, cannot be compiled, and the error names the operation."""
    x, w = Value(2.0), Value(3.0)
    with pytest.raises(TypeError, match="odd_one"):
        compile(record(row, (w * x,)), [x]).backward([[1.0]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formula": lambda x: None}, "odd.*TypeError in its formula"),
        ({"formula": lambda x: {1.0: 2.0}[x]}, "odd.*may not look an operand's number up in a dict"),
        ({"formula": lambda x: [][0]}, "odd.*IndexError in its formula"),
        ({"machine": "fadd"}, "odd.*has 1 operands, but its lowerings.machine='fadd' takes 2"),
        ({"machine": "fcmp xyz"}, "odd.*fcmp xyz.*a comparison is"),
        ({"machine": "fcmp"}, "odd.*a comparison is"),
        ({"machine": "sum"}, "odd.*'sum', which cannot name a function"),
        ({"machine": "no such"}, "odd.*'no such', which cannot name a function"),
    ],
)
def test_a_mistake_in_an_own_row_names_it(options, message):
    """If a formula raises or returns no number, or `lowerings.machine` is wrong, the error names the operation."""
    row = Op("odd", lambda x: 1.0, (lambda y, x: 0.0,), lowerings=Lowerings(**options))
    with pytest.raises(TypeError, match=message):
        compile(record(row, (Value(2.0),)), [])


def test_partials_that_cannot_be_compiled_name_the_row():
    for partial in (lambda y, x: None if isinstance(x, Term) else 1.0, lambda y, x: (1.0, 2.0)):
        program = compile(
            record(Op("odd", lambda x: x, (partial,), lowerings=Lowerings(formula=lambda x: x)), (Value(2.0),)), []
        )
        with pytest.raises(TypeError, match=r"odd.* in its partials"):
            program.backward([[]])


@pytest.mark.parametrize(
    ("form", "count"),
    [("nosuch", 1), ("kernel0", 1), ("totals", 2), ("gradient", 1), ("frem", 2), ("llvm.flor", 1), ("llvm.sqrt", 2)],
)
def test_an_own_row_with_an_unknown_machine_form_is_refused(code, form, count):
    """`lowerings.machine` may not name a function that C's library and LLVM lack, or one of the compiler's own.

    LLVM would crash on a call of an unknown intrinsic, so the compiler has to refuse it first.
    """
    row = Op("odd_one", lambda *xs: xs[0], (lambda *_: 1.0,) * count, lowerings=Lowerings(machine=form))
    within = Op("outer", lambda *xs: row(*xs) * 2.0, (lambda *_: 2.0,) * count)
    x, w = Value(2.0), Value(3.0)
    for odd in (row, within):
        for xs in ((x,) * count, (w,) * count):
            with pytest.raises(TypeError, match=f"'odd_one' has lowerings.machine='{form}'"):
                compile(record(odd, xs), [x]).forward([[1.0]])


def test_an_own_row_is_written_in_python_by_its_formula():
    """The Python source writes an operation by its formula, and refuses a formula that does not use the table."""
    w, x = Value(2.0), Value(3.0)
    cosine = Op(
        "cosine", math.cos, (lambda y, x: -mc.sin(x),), lowerings=Lowerings(formula=mc.cos.forward, machine="cos")
    )
    with pytest.raises(TypeError, match=r"'cosine' is not written in the table"):
        compile(record(cosine, (w * x,)), [x]).source("python")
    cosine = Op(
        "cosine", math.cos, (lambda y, x: -mc.sin(x),), lowerings=Lowerings(formula=lambda x: mc.cos(x), machine="cos")
    )
    text = compile(record(cosine, (w * x,)), [x]).source("python")
    assert "xp.cos(" in text
    assert "cosine" not in text


def test_an_own_row_may_have_any_intrinsic(code):
    """`lowerings.machine` may name any of LLVM's intrinsics, not only those that the table uses."""
    row = Op("whole", lambda x: float(math.floor(x)), (lambda y, x: 0.0,), lowerings=Lowerings(machine="llvm.floor"))
    x = Value(2.0)
    assert compile(record(row, (x,)), [x]).forward([[2.5], [-0.5]]) == [2.0, -1.0]


def test_own_operations_that_differ_in_numbers_share_machine_code(monkeypatch):
    """After a few operations that differ in numbers alone, further ones need no new opcode and no new kernel.

    The opcodes and kernels of a process are kept as long as it runs. Optimised kernels and native code, which are
    compiled once a program has run for long on a busy machine, would be counted, too.
    """
    monkeypatch.setattr(executable, "SECONDS_BEFORE_FAST_KERNELS", math.inf)
    monkeypatch.setattr(executable, "SECONDS_BEFORE_NATIVE", math.inf)
    w, kept = Value(2.0), []
    for k in range(MAX_INLINED + 4):
        c = 3.25 + k
        inner = Op("inner", lambda x, c=c: mc.sin(x) * (c + 0.5) + c, (lambda y, x, c=c: mc.cos(x) * (c + 0.5),))
        row = Op(
            "scaled",
            lambda x, c=c, inner=inner: mc.exp(x / c) + inner(x - c),
            (lambda y, x, c=c: mc.exp(x / c) / c + mc.cos(x - c) * (c + 0.5),),
        )
        f = compile(lambda x, row=row: row(x * w) * w)
        assert_like_eager(lambda x, row=row: row(w * x), [Value(1.0)], [w], [[1.0], [-2.0]])
        f.backward([(1.0,)] * 20)
        assert f(0.5) == pytest.approx((row(Value(0.5) * w) * w).data, rel=1e-14)
        kept.append((len(FORMULAS), len(machine().kernels), len(machine().addresses[False])))
    assert kept[0] < kept[MAX_INLINED]
    assert kept[MAX_INLINED + 1 :] == kept[MAX_INLINED : MAX_INLINED + 1] * 3


def test_formulas_of_helpers_of_the_table_are_traced_once_in_a_process(monkeypatch):
    """The derivative of x**2 with respect to 2 is written with a helper. A user's operation is traced each time."""
    w = Value(2.0)
    compile(lambda x: (w * x - 1.0) ** 2).backward([(3.0,)])
    traced = []
    trace_formula = formulas._trace_formula
    monkeypatch.setattr(formulas, "_trace_formula", lambda *args: traced.append(args) or trace_formula(*args))
    compile(lambda x: (w * x - 1.0) ** 2).backward([(3.0,)])
    assert not traced
    cube = Op("cube", lambda x: x * x * x, (lambda y, x: 3.0 * x * x,))
    compile(lambda x: cube(w * x)).backward([(3.0,)])
    assert traced


def safe_inverse(x):
    try:
        return 1 / x
    except ZeroDivisionError:
        return 0.0


def safe_square(x):
    try:
        return x**2
    except OverflowError:
        return 0.0


@pytest.mark.parametrize(
    ("forward", "partial", "message"),
    [
        (safe_inverse, lambda y, x: -y * y, "raises ZeroDivisionError, which the code catches"),
        (lambda x: x * x, lambda y, x: 2.0 / safe_inverse(x), "raises ZeroDivisionError, which the code catches"),
        (safe_square, lambda y, x: 2.0 * x, "raises OverflowError, which the code catches"),
        (lambda x: mc.floor(x) if isinstance(x, float) else x, lambda y, x: 1.0, "gives 0.0 for 0.625, but 0.625"),
        (lambda x: x * (1.0 if type(x) is float else 2.0), lambda y, x: 1.0, "gives 0.625 for 0.625, but 1.25"),
        (lambda x: x * getattr(x, "real", 7.0), lambda y, x: 1.0, "gives 0.390625 for 0.625"),
        (lambda x: x * len(str(x)), lambda y, x: 1.0, "gives 3.125 for 0.625, but 0.0"),
        (lambda x: x * np.float32(0.1), lambda y, x: 0.1, r"float\(c\) for a c of numpy's type float32"),
        (lambda x: x, lambda y, x: x if isinstance(x, float) else 1.0, "gives -0.875 for -1.25, -0.875, but 1.0"),
    ],
)
def test_a_row_that_does_something_else_for_floats_is_refused(forward, partial, message):
    """The functions of a row are traced with symbols, so a choice by a type, a text or an error is not in the trace."""
    row = Op("own", forward, (partial,))
    with pytest.raises(TypeError, match=message):
        compile(lambda x: row(x)).gradient([(2.0,)])


def test_a_row_may_divide_by_div_where_the_divisor_may_be_0(code):
    """`div` gives inf for floats and symbols alike, so no error is caught."""

    def value(x):
        try:
            return mc.where(mc.equal(x, 0.0), 0.0, mc.div(1.0, x)) + 1.0 / float("2")
        except ArithmeticError:
            return 7.0

    row = Op("inverse_or_0", value, (lambda y, x: mc.where(mc.equal(x, 0.0), 0.0, mc.div(-1.0, x * x)),))
    w = Value(3.0)
    assert_like_eager(lambda x: row(w * x), [Value(1.0)], [w], [[1.0], [-2.0], [0.0]])
