"""The text of a `check_op` failure: its title, where the error was raised, its table, and code to paste."""

import math
import re
import sys
from math import inf, nan

import pytest

import micrograd_cn as mc
from micrograd_cn import Op
from micrograd_cn.testing import GradientMismatch, check_op
from micrograd_cn.testing.operations.op_failures import (
    op_failure,
    op_reproduction,
    reraise_as_failure,
)
from micrograd_cn.testing.operations.op_recording import evaluate
from micrograd_cn.testing.report import ORDER_FOOTER

OWN = Op("own", lambda x: x, (lambda y, x: 1.0,))


def test_a_failure_has_a_title_a_table_and_code():
    assert str(op_failure(OWN, (0.5,), "it is wrong", "OP(XS)", ["head", "WRONG"])).splitlines() == [
        "check_op of own at 0.5: it is wrong",
        "head",
        "WRONG",
        "",
        "# own is an operation of your own",
        "own(0.5)",
    ]
    assert (
        str(op_failure(OWN, (), "it is wrong", "OP.smoothness.domain")).splitlines()[0]
        == "check_op of own: it is wrong"
    )
    assert str(op_failure(mc.mul, (1.0, 2.0), "it is wrong", "OP(XS)")).startswith(
        "check_op of mul at (1.0, 2.0): it is"
    )
    assert type(op_failure(OWN, (), "it is wrong", "")) is AssertionError
    assert type(op_failure(OWN, (), "it is wrong", "", (), GradientMismatch)) is GradientMismatch


def test_code_imports_what_it_needs_in_order():
    code = "from micrograd_cn.engine import record\nfrom micrograd_cn import Value\ny = OP(XS)\nprint(y)"
    assert op_reproduction(mc.mul, (inf, 0.5), code) == [
        "from math import inf",
        "from micrograd_cn import Value",
        "from micrograd_cn import mul",
        "from micrograd_cn.engine import record",
        "y = mul(inf, 0.5)",
        "print(y)",
    ]
    assert op_reproduction(mc.tanh, (nan,), "OP(XS)")[0] == "from math import nan"
    assert op_reproduction(mc.mul, (nan, -inf), "OP(XS)")[0] == "from math import inf, nan"
    assert op_reproduction(mc.tanh, (0.5,), "OP(XS)") == ["from micrograd_cn import tanh", "tanh(0.5)"]
    own = Op("tanh", OWN.forward, OWN.partials)
    assert op_reproduction(own, (0.5,), "OP(XS)") == ["# own_tanh is an operation of your own", "own_tanh(0.5)"]


def test_long_lines_of_code_are_broken_between_words():
    *_, first, second = op_reproduction(OWN, (0.25,) * 25, "OP(XS)")
    assert len(first) <= 100 < len(first) + len("0.25, ")
    assert second.startswith("    0.25")
    assert re.sub(r"\s+", " ", f"{first} {second}") == f"own({', '.join(['0.25'] * 25)})"
    word = "w" * 120
    assert op_reproduction(OWN, (), word)[-1] == word


# What was raised.


def raising(what, error):
    with reraise_as_failure(OWN, (0.5,), what, "OP(XS)"):
        deeper(error)


def deeper(error):
    raise error


def test_what_is_raised_is_blamed_on_what_raised_it():
    with pytest.raises(AssertionError) as caught:
        raising("own.forward", KeyError("x"))
    title, place, empty, *_ = str(caught.value).splitlines()
    assert title == "check_op of own at 0.5: own.forward raised KeyError: 'x'"
    assert re.fullmatch(r"at test_messages\.py, line \d+: raise error", place)
    assert empty == ""
    assert caught.value.__suppress_context__
    with reraise_as_failure(OWN, (0.5,), "own.forward", "OP(XS)"):
        pass


def test_what_a_function_of_c_raises_has_no_place():
    with pytest.raises(AssertionError) as caught:
        evaluate(Op("own", math.exp, (None,)), (1e300,))
    assert str(caught.value).splitlines()[1] == ""


def test_a_long_line_of_the_place_is_cut():
    with pytest.raises(AssertionError) as caught, reraise_as_failure(OWN, (0.5,), "own.forward", "OP(XS)"):
        assert not "a line that is so long, so very long, that it does not fit into the hundred columns of a terminal"
    place = str(caught.value).splitlines()[1]
    assert len(place) == 100
    assert place.startswith("at test_messages.py, line ")


def test_what_is_no_exception_is_not_blamed():
    with pytest.raises(KeyboardInterrupt):
        raising("own.forward", KeyboardInterrupt())
    assert sys.exc_info() == (None, None, None)


# What is cut.


def failure_of(op):
    """Return the lines of the message with which `check_op` fails."""
    with pytest.raises(AssertionError) as caught:
        check_op(op)
    return str(caught.value).splitlines()


def table_shown(*table):
    """Return the lines that a failure shows of a table of derivatives."""
    return str(op_failure(OWN, (0.5,), "it is wrong", "OP(XS)", table)).splitlines()[1:-3]


def test_a_long_point_is_cut():
    def of(count):
        return Op("own", lambda *xs: deeper(ValueError("no")), (None,) * count, arities=(count,))

    assert failure_of(of(3))[0] == "check_op of own at (0.0, 0.0, 0.0): own.forward raised ValueError: no"
    title, *_, first, second = failure_of(of(30))
    assert title.startswith("check_op of own at 30 operands (0.0, 1.0, 1.0, ")
    assert title.endswith("1.0,...: own.forward raised ValueError: no")
    assert len(title) < 150 < len(first + second), "the code has all operands"


def test_a_long_reason_is_one_line_and_cut():
    def of(text):
        return Op("own", lambda x: deeper(ValueError(text)), (None,))

    reason = "check_op of own at 0.0: own.forward raised ValueError: "
    assert failure_of(of("much\nto  say"))[0] == f"{reason}much to say"
    title = failure_of(of("x" * 300))[0]
    assert title.startswith(f"{reason}{'x' * 100}")
    assert title.endswith("xxx...")
    assert len(title) < 250


def test_a_short_table_is_shown_as_it_is_but_for_long_lines():
    assert table_shown() == []
    table = [f"line {k}" for k in range(9)]
    assert table_shown(*table) == table
    short, long = table_shown("x" * 100, "y" * 300)
    assert short == "x" * 100
    assert long.endswith("yyy...")
    assert len(long) < 250


def test_of_a_long_table_the_head_the_first_wrong_lines_and_the_footer_are_shown():
    rows = [f"{'right' if k % 2 else 'WRONG'} {k}" for k in range(30)]
    wrong = [line for line in rows if line.startswith("WRONG")][:7]
    assert table_shown("head", *rows, ORDER_FOOTER) == ["head", *wrong, "... 23 lines more", ORDER_FOOTER]
    assert table_shown("head", *rows) == ["head", *wrong, "... 23 lines more"]
    few = ["right"] * 9 + ["WRONG"]
    assert table_shown("WRONG head", *few, ORDER_FOOTER) == ["WRONG head", "WRONG", "... 9 lines more", ORDER_FOOTER]
    none = [f"right {k}" for k in range(9)]
    assert table_shown("head", *none) == ["head", *none[:7], "... 2 lines more"]
