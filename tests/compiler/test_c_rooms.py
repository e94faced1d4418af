"""The parts of a C file, one by one: places, indices, loops, numbers, sums, tables, the comment; no compiler runs."""

import math
import re
from textwrap import dedent

import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.c_comment import Interface
from micrograd_cn.compiler.c_elements import Elements, linear, repeated, split
from micrograd_cn.compiler.c_loops import Loops
from micrograd_cn.compiler.c_text import Text, block, wrapped
from micrograd_cn.compiler.formulas import Operations
from micrograd_cn.compiler.instructions import BATCH, SAMPLE
from micrograd_cn.compiler.update import kept_of
from micrograd_cn.engine import constant
from micrograd_cn.optim import SGD, Adam
from micrograd_cn.traits import Forms


def values(n, start=0.5):
    return [Value(start + k) for k in range(n)]


def placed(constants=(), **arrays):
    """Return what writes a function whose values are at these indices of arrays, and the values' numbers, by array."""
    code, place, numbers = Operations(), {}, {}
    for array, indices in arrays.items():
        numbers[array] = [code.leaf(("input", 0), SAMPLE) for _ in indices]
        place |= {i: (array, at) for i, at in zip(numbers[array], indices, strict=True)}
    numbers["constants"] = [code.constant(x) for x in constants]
    return Loops(Text("f", "double", {}), code, place), *numbers.values()


def body(text, function="forward"):
    """Return what is in a function's braces, long lines in one."""
    found = re.search(rf"\w+ f_{function}\([^)]*\)\n\{{\n(.*?)\n\}}", text, re.DOTALL)[1]
    return "\n" + re.sub(r"(?<![;{})])\n +", " ", found) + "\n"


def same(text, expected, function="forward"):
    """Compare a function's lines with those that it is to have."""
    assert dedent(body(text, function)) == dedent(expected)


# Places


def test_what_went_back_is_taken_again_where_it_suffices():
    places = Elements(Text("f", "double", {}), Operations(), {})
    assert [places.take(n) for n in (1, 3, 2, 1)] == [0, 1, 4, 6]
    places.give([4, 5])
    places.give([2, 1, 3])  # beside it, so that five are free
    assert [places.take(n) for n in (6, 4, 1, 1)] == [7, 1, 5, 13]
    assert places.work == 14


def test_what_is_free_at_the_end_grows():
    places = Elements(Text("f", "double", {}), Operations(), {})
    assert places.take(300) == 0
    places.give([299, 0])
    assert (places.take(4), places.work) == (299, 303)  # with the last place, not behind it
    assert [places.take(n) for n in (5, 1, 1)] == [303, 0, 308]
    places.give([302])
    assert [places.take(1) for _ in range(3)] == [302, 309, 310]
    places.give([310, 309])
    assert [places.take(n) for n in (1, 2)] == [309, 310]
    assert places.work == 312


def test_what_has_grown_is_taken_once():
    for more, expected in ((5, [5, 10]), (1, [5, 6])):
        places = Elements(Text("f", "double", {}), Operations(), {})
        places.take(3)
        places.give([2])
        assert places.take(3) == 2
        assert [places.take(more), places.take(1)] == expected
    places = Elements(Text("f", "double", {}), Operations(), {})
    places.take(3)
    places.give([2])
    places.take(3)
    places.give([4])
    assert [places.take(1) for _ in range(3)] == [4, 5, 6]


def test_places_that_go_back_are_put_together():
    places = Elements(Text("f", "double", {}), Operations(), {})
    places.take(600)
    places.give([0, 300, 500])
    places.give([503, 301, 501, 502])
    assert [places.take(n) for n in (4, 2, 1)] == [500, 300, 0]


def test_all_that_is_free_is_taken_before_there_is_more():
    places = Elements(Text("f", "double", {}), Operations(), {})
    places.take(5)
    places.give([0, 1, 4])
    assert [places.take(1) for _ in range(4)] == [0, 1, 4, 5]


def test_constants_are_in_no_array():
    places, work, constants = placed([1.5, 2.5], work=[3, 4])
    assert places.arrays([*constants, *work]) == ("", "", "work", "work")
    assert [places.index_of(i) for i in (*constants, *work)] == [0, 0, 3, 4]


def test_a_seed_is_the_constant_1():
    code = Operations()
    seed = code.leaf(("seed",), SAMPLE)
    assert Elements(Text("f", "double", {}), code, {}).element([[seed]]) == "1.0"


def test_lines_are_taken_once():
    places, _ = placed()
    places.loop(1, ["x = 1;"])
    assert places.taken() == ["x = 1;"]
    assert places.taken() == []


@pytest.mark.parametrize(
    ("count", "what", "expected"),
    [
        (1, ["x;"], ["x;"]),
        (1, ["x;", "y;"], ["{", "    x;", "    y;", "}"]),
        (2, ["x;"], ["for (long i = 0; i < 2; i++)", "    x;"]),
        (3, ["x;", "y;"], ["for (long i = 0; i < 3; i++) {", "    x;", "    y;", "}"]),
    ],
)
def test_braces_stand_where_there_are_several_lines(count, what, expected):
    places, _ = placed()
    places.loop(count, what)
    assert places.lines == expected


# Indices


@pytest.mark.parametrize(
    ("base", "parts", "expected"),
    [
        (0, [(-1, "i")], "-i"),
        (0, [(-2, "i"), (1, "k")], "-2 * i + k"),
        (4, [(1, "i"), (-1, "k")], "4 + i - k"),
        (4, [(2, "i"), (-3, "k")], "4 + 2 * i - 3 * k"),
        (-1, [(1, "i")], "-1 + i"),
        (0, [(1, "i"), (5, "k")], "i + 5 * k"),
        (0, [(0, "i"), (1, "k")], "k"),
        (0, [(21, "i"), (-31, "k")], "21 * i - 31 * k"),
        (0, [], "0"),
    ],
)
def test_a_sum_is_written_without_factors_of_1_and_terms_of_0(base, parts, expected):
    assert linear(base, *parts) == expected


@pytest.mark.parametrize(
    ("rows", "expected", "tables"),
    [
        ([[3, 5, 7]], "3 + 2 * k", 0),
        ([[9], [6], [3], [0]], "9 - 3 * i", 0),
        ([[0, 1, 2], [10, 11, 12], [20, 21, 22]], "10 * i + k", 0),
        ([[4, 9, 2], [5, 10, 3]], "4 + i + f_table0[k]", 1),  # the same distances in every row
        ([[1, 3], [5, 7], [6, 8]], "f_table0[i] + 2 * k", 1),
        ([[1, 3, 4], [5, 7, 8], [6, 8, 9]], "f_table0[i] + f_table1[k]", 2),
        ([[1, 3], [5, 6], [6, 8]], "f_table0[2 * i + k]", 1),
        ([[2, 5], [2, 6]], "f_table0[2 * i + k]", 1),
        ([[7, 7], [7, 7]], "7", 0),
    ],
)
def test_an_index_is_at_even_distances_or_in_tables(rows, expected, tables):
    places, _ = placed()
    found = places.fit(rows)
    assert found == expected
    assert len(places.text.tables) == tables
    read = {
        name: [*map(int, re.findall(r"-?\d+", text.partition("{")[2]))] for name, text in places.text.tables.values()
    }
    for i, row in enumerate(rows):
        for k, x in enumerate(row):
            assert eval(found, {}, read | {"i": i, "k": k}) == x
    assert places.fit([[3], [5]], "row") == "3 + 2 * row"
    assert places.fit([[3, 5]], "row", "column") == "3 + 2 * column"


def test_neighbours_at_even_distances_are_parts():
    def identity(x):
        return [x]

    assert split([4], identity) == [[4]]
    assert split([4, 9], identity) == [[4], [9]]  # two are no loop
    assert split([4, 5, 6], identity) == [[4, 5, 6]]
    assert split([4, 5, 9], identity) == [[4, 5, 9]]  # parts that are too short: all in one, by a table
    assert split([0, 1, 2, 3, 9, 11, 13, 15], identity) == [[0, 1, 2, 3], [9, 11, 13, 15]]
    assert split([0, 1, 2, 3, 9, 20, 21, 22, 23], identity) == [[0, 1, 2, 3], [9], [20, 21, 22, 23]]
    assert split([0, 1, 2, 3, 4, 9, 11], identity) == [[0, 1, 2, 3, 4], [9], [11]]
    assert split([0, 5, 6, 7, 8, 9], identity) == [[0], [5, 6, 7, 8, 9]]
    assert split([0, 1, 2, 3, 9, 11, 14, 15, 18], identity) == [[0, 1, 2, 3, 9, 11, 14, 15, 18]]
    assert split([0, 1, 2, 9, 11, 13], identity) == [[0, 1, 2], [9, 11, 13]]
    assert split([0, 1, 2, 3], lambda x: [x, x * x]) == [[0, 1, 2, 3]]  # even in one place alone


def test_a_loop_stands_in_braces_if_it_has_several_lines():
    assert repeated("k", 4, ["x;", "y;"]) == ["for (long k = 0; k < 4; k++) {", "    x;", "    y;", "}"]


# Elements


def test_an_element_is_written_where_it_is():
    places, inputs, work, constants = placed([1.5, 2.5, 1.5], inputs=[4, 6, 1], work=[3, 0, 7])
    a, b, c = constants[0], constants[1], inputs[:2]
    assert places.element([[a]]) == places.element([[a, a], [a, a]]) == "1.5"
    assert places.element([[x] for x in c]) == "inputs[4 + 2 * i]"
    assert places.element([[x] for x in c], "j") == "inputs[4 + 2 * j]"
    assert places.element([c]) == "inputs[4 + 2 * k]"
    assert places.element([work, work], "i", "n") == "work[3 + f_table0[n]]"
    assert places.element([[a], [b]]) == "f_table1[i]"
    assert places.element([[b], [a]], "j") == "f_table2[j]"
    assert places.element([[a, b]]) == "f_table1[k]"
    assert places.element([[b, a]], "i", "n") == "f_table2[n]"
    assert places.element([[a, b], [a, b]]) == "f_table3[2 * i + k]"
    assert places.lines == []
    assert places.columns([[a, inputs[0]], [b, inputs[1]]], "j") == ["f_table1[j]", "inputs[4 + 2 * j]"]


def test_what_lies_in_several_arrays_is_copied_once():
    places, inputs, work, constants = placed([1.5], inputs=[4, 5, 6], work=[0])
    places.take(3)
    rows = [[work[0], inputs[0]], [constants[0], inputs[2]]]
    assert places.element(rows) == "work[3 + 2 * i + k]"
    assert places.lines == ["work[3] = work[0];", "work[4] = inputs[4];", "work[6] = inputs[6];", "work[5] = 1.5;"]
    assert places.element(rows, "j") == "work[3 + 2 * j + k]"
    assert places.element([[rows[0][0], inputs[0], constants[0], inputs[2]]], "i", "n") == "work[3 + n]"
    assert len(places.lines) == 4
    assert places.work == 7


def test_copies_are_loops_where_they_lie_at_even_distances():
    places, inputs, work, constants = placed([1.5, 2.5], inputs=[0, 2, 4, 5], work=[0, 1])
    at = [("outputs", k) for k in (5, 4, 3, 0)]
    places.copy(at, inputs)
    assert places.taken() == ["for (long i = 0; i < 4; i++)", "    outputs[f_table0[i]] = inputs[f_table1[i]];"]
    places.copy(at[:3], inputs[:3])
    assert places.taken() == ["for (long i = 0; i < 3; i++)", "    outputs[3 + i] = inputs[4 - 2 * i];"]
    places.copy([*at[:2], ("state", 1)], [constants[1], work[1], constants[0]])
    assert places.taken() == ["outputs[5] = 2.5;", "outputs[4] = work[1];", "state[1] = 1.5;"]
    places.copy([], [])
    assert places.taken() == []


def test_a_pointer_is_to_numbers_at_one_distance():
    places, inputs, work, constants = placed([1.5, 2.5], inputs=[0, 2, 4, 5, 7, 9], work=[3, 2, 1, 0])
    assert places.strided([inputs[:3]], "i") == ("inputs", 2)
    assert places.strided([inputs[:3], inputs[3:]], "j") == ("inputs + 5 * j", 2)
    assert places.strided([inputs[3:], inputs[:3]], "i") == ("inputs + 5 - 5 * i", 2)
    assert places.strided([work], "i") == ("work + 3", -1)
    assert places.strided([[work[0], work[0], work[0]]], "i") == ("work + 3", 0)
    assert places.strided([inputs[:3], [inputs[0]] * 3], "i") is None  # another distance in another row
    assert places.strided([inputs[:4]], "i") is None
    assert places.strided([constants], "i") is None
    assert places.strided([[work[3], inputs[0]]], "i") is None
    assert places.lines == []


# Factors


def test_of_two_factors_the_left_one_is_of_the_array_that_comes_first():
    places, parameters, inputs, work, constants = placed([2.0, 3.0], parameters=[0, 1], inputs=[1], work=[2])
    [p, q], [x], [h], [c, d] = parameters, inputs, work, constants
    assert places._oriented([(x, p), (h, x), (h, p), (p, c)]) == [(p, x), (x, h), (p, h), (c, p)]
    assert places._oriented([(p, x), (x, h), (p, h), (c, p)]) == [(p, x), (x, h), (p, h), (c, p)]
    assert places._oriented([(x, x), (h, h)]) == [(x, x), (h, h)]
    assert places._oriented([(p, q), (q, p), (d, c)]) == [(p, q), (q, p), (d, c)]


def test_instructions_are_sorted_by_their_first_four_operands():
    places, xs, hs, _ = placed(inputs=range(6), work=range(10, 16))
    code = places.code
    total = code.add(("dot", tuple(zip(xs, hs, strict=True)), tuple(hs)))
    assert places._order(total) == [0, 10, 1, 11, 2, 12, 3, 13, 10, 11, 12, 13]
    assert places._order(code.add(("own", *xs))) == [0, 1, 2, 3]
    assert places._order(code.add(("fmul", hs[1], xs[5]))) == [5, 11]


# Tables


def test_embedded_weights_are_a_table_of_their_own_whatever_the_constants_are():
    ws, xs = [Value(x) for x in (2.0, 3.0, 5.0)], values(3)
    products = [mc.tanh(x * c) * w for x, c, w in zip(xs, (2.0, 3.0, 5.0), ws, strict=True)]
    text = compile(products, xs).source("c", {"w": ws}, weights="embedded")
    assert re.findall(r"static const double (\w+)\[3\] = \{\n    2\.0, 3\.0, 5\.0\n\};", text) == [
        "f_table0",
        "f_weights",
    ]
    assert "f_table0[i] * inputs[i]" in text
    assert "f_weights[i] * work[3 + i]" in text


# Numbers, expressions and lines


@pytest.mark.parametrize(
    ("kind", "x", "expected"),
    [
        ("double", 2.0, "2.0"),
        ("double", -2.5, "(-2.5)"),
        ("double", 1e300, "1e+300"),
        ("double", math.inf, "HUGE_VAL"),
        ("double", -math.inf, "(-HUGE_VAL)"),
        ("double", math.nan, "NAN"),
        ("float", math.inf, "HUGE_VALF"),
        ("float", math.nan, "NAN"),
        ("float", 2.0, "2.0f"),
        ("float", 16777216.0, "16777216.0f"),
        ("float", 1e10, "1e+10f"),
        ("float", -0.1, "(-0.1f)"),
        ("float", 1 / 3, "0.33333334f"),
        ("float", 8388609.0, "8388609.0f"),
        ("float", 1.1754943508222875e-38, "1.1754944e-38f"),
        ("float", 1e-45, "1e-45f"),
    ],
)
def test_a_number_is_as_short_as_it_can_be(kind, x, expected):
    assert Text("f", kind, {}).literal(x) == expected


@pytest.mark.parametrize(
    ("form", "double", "single"),
    [
        ("fmul", "x * y", "x * y"),
        ("fsub", "x - y", "x - y"),
        ("fcmp ole", "x <= y ? 1.0 : 0.0", "x <= y ? 1.0f : 0.0f"),
        ("select", "x != 0.0 ? y : z", "x != 0.0f ? y : z"),
        ("pow", "pow(x, y)", "powf(x, y)"),
        ("llvm.maxnum", "fmax(x, y)", "fmaxf(x, y)"),
        ("llvm.minnum", "fmin(x, y)", "fminf(x, y)"),
    ],
)
def test_an_operation_is_an_expression(form, double, single):
    xs, form = ["x", "y", "z"][: 3 if form == "select" else 2], "".join(form)  # not this very object
    assert Text("f", "".join("double"), {}).expression(form, xs) == double
    assert Text("f", "".join("float"), {}).expression(form, xs) == single


def test_a_product_of_an_operation_and_1_is_the_operation():
    assert Text("f", "double", {}).expression("fmul", ["x", "1.0"]) == "x"
    assert Text("f", "float", {}).expression("fmul", ["1.0f", "x"]) == "x"
    assert Text("f", "double", {}).expression("fmul", ["0.5", "(-2.0)"]) == "0.5 * (-2.0)"
    assert Text("f", "double", {}).expression("fmul", ["x", "0.5"]) == "x * 0.5"


def test_a_function_that_there_is_not_is_named_as_its_operation():
    with pytest.raises(ValueError, match=r"operation 'own' has the machine form 'llvm\.bessel'"):
        Text("f", "double", {"llvm.bessel": "own"}).expression("llvm.bessel", ["x"])
    with pytest.raises(ValueError, match=r"operation 'llvm\.bessel' has the machine form"):
        Text("f", "double", {}).expression("llvm.bessel", ["x"])


def test_instructions_in_a_row_are_constants_of_their_own():
    code = Operations()
    a, b = (code.leaf(("input", k), SAMPLE) for k in range(2))
    two = code.constant(2.0)
    product = code.add(("fmul", a, two))
    less = code.add(("fcmp olt", a, b))
    chosen = code.add(("".join("select"), less, product, b))
    other = code.add(("select", product, less, a))
    total = code.add(("adjoint", ((a, b), (two, chosen)), (other,)))
    of_condition = [code.add(("fmul", less, b)), code.add(("tanh", less)), code.add(("fcmp one", less, a))]
    names = {a: "a", b: "b"}
    assert Text("f", "double", {}).straight(code, names, range(len(code.instructions))) == [
        "const double v3 = a * 2.0;",
        "const double v5 = a < b ? v3 : b;",
        "const double v6 = v3 != 0.0 ? (a < b ? 1.0 : 0.0) : a;",
        "const double v7 = v6 + a * b + 2.0 * v5;",
        "const double v8 = (a < b ? 1.0 : 0.0) * b;",
        "const double v9 = tanh((a < b ? 1.0 : 0.0));",
    ]
    less_or_not = "(a < b ? 1.0 : 0.0)"
    assert (names[less], names[total]) == (less_or_not, "v7")
    assert names[of_condition[2]] == f"(({less_or_not} < a || {less_or_not} > a) ? 1.0 : 0.0)"


def test_a_formula_is_one_function_however_often_it_is_used():
    text = Text("f", "float", {})
    x, y = Value(0.5), Value(0.25)
    compiled = compile([mc.sigmoid(x), mc.sigmoid(y), mc.gelu(x), mc.sigmoid(x * y)], [x, y]).source("c")
    assert re.findall(r"static double (f_formula\d)\(double x0\)\n\{\n    const", compiled) == [
        "f_formula0",
        "f_formula1",
    ]
    assert compiled.count("= f_formula0(") == 3
    assert [text.dot(), text.index(), text.dot()] == ["f_dot", "f_index", "f_dot"]
    assert [*text.functions] == ["f_dot", "f_index"]


def test_a_table_has_lines_of_at_most_100_characters():
    text = Text("f", "double", {})
    assert text.table([100, *[10] * 50]) == "f_table0"
    assert text.table([100, 100, *[10] * 49]) == "f_table1"
    assert text.table([1.0, -2.0]) == "f_table2"
    (_, first), (_, second), (_, third) = text.tables.values()
    head, *rows, end = first.splitlines()
    assert (head, end) == ("static const unsigned short f_table0[51] = {", "};")
    assert rows == ["    100, " + "10, " * 22 + "10,", "    " + "10, " * 23 + "10,", "    10, 10, 10"]
    assert second.splitlines()[1] == "    100, 100, " + "10, " * 20 + "10,"
    assert third == "static const double f_table2[2] = {\n    1.0, -2.0\n};"


def test_a_line_of_more_than_110_characters_goes_on_with_a_wider_indent():
    line = "    " + " ".join(["word"] * 21) + " y"
    assert len(line) == 110
    assert wrapped(line) == [line]
    assert wrapped(line + "z") == [line[:-2], " " * 12 + "yz"]
    assert wrapped("    x" + "-x" * 100) == ["    x" + "-x" * 100]  # nowhere but at spaces
    assert wrapped("") == []


def test_a_block_leaves_empty_lines_empty():
    assert block("if (x)", ["a;", "", "b;"]) == ["if (x) {", "    a;", "", "    b;", "}"]


# The comment

EXAMPLE = "An example, which may stand at the end of this file:"


def test_no_more_names_than_40_lines_are_written():
    labels = [f"x{k}" for k in range(85)]
    text = Interface("f", "double", labels[:40], 1, labels, True, False, None).comment()
    first, _, second = text.partition("parameters: 85\n")
    assert first.partition("inputs: 40\n")[2].splitlines() == [f"    [{k}] x{k}" for k in range(40)]
    assert second.splitlines()[39:43] == ["    [39] x39", "    and 45 more lines", "", EXAMPLE]
    assert "more lines" not in first


def test_the_sizes_are_those_of_the_arrays():
    adam = Adam([Value(1.0)], lr=0.5)
    assert Interface("f", "double", ["x"], 2, ["w"] * 3, True, True, None).sizes() == {
        "INPUTS": 1,
        "OUTPUTS": 2,
        "PARAMETERS": 3,
    }
    interface = Interface("f", "double", ["x"], 1, ["w"] * 3, True, True, adam, ["first", "second"])
    assert interface.sizes() == {"INPUTS": 1, "OUTPUTS": 1, "PARAMETERS": 3, "STATE": 7}
    assert interface.state() == ["steps taken", "first", "first", "first", "second", "second", "second"]


def example_of(interface):
    """Return the declarations and the calls of the example."""
    found = interface.comment().partition(f"{EXAMPLE}\n\n")[2].splitlines()
    assert found[:4] == ["#include <stdio.h>", "", "int main(void)", "{"]
    assert found[-3:] == ["    return 0;", "}", "*/"]
    return [line.strip() for line in found[4:-3]]


def test_the_example_calls_every_function():
    adam = Adam([Value(1.0)], lr=0.5)
    assert example_of(Interface("net", "float", ["x"], 1, ["w"], True, True, adam, ["first"])) == [
        "static float inputs[NET_INPUTS];",
        "static float outputs[NET_OUTPUTS];",
        "static float parameters[NET_PARAMETERS];",
        "static float gradient[NET_PARAMETERS];",
        "static float state[NET_STATE];",
        "static float work[NET_WORK];",
        "net_forward(parameters, inputs, outputs, work);",
        'printf("%g\\n", (double)outputs[0]);',
        'printf("%g\\n", (double)net_gradient(parameters, inputs, 1, gradient, work));',
        'printf("%g\\n", (double)net_step(parameters, state, inputs, 1, (float)0.5, gradient, work));',
    ]
    assert example_of(Interface("f", "double", [], 1, ["w", "v"], True, True, None)) == [
        "static double outputs[F_OUTPUTS];",
        "static double parameters[F_PARAMETERS];",
        "static double gradient[F_PARAMETERS];",
        "static double work[F_WORK];",
        "f_forward(parameters, 0, outputs, work);",
        'printf("%g\\n", (double)outputs[0]);',
        'printf("%g\\n", (double)f_gradient(parameters, 0, 1, gradient, work));',
    ]
    assert example_of(Interface("f", "double", ["x"], 2, ["w"], False, False, None)) == [
        "static double inputs[F_INPUTS];",
        "static double outputs[F_OUTPUTS];",
        "static double work[F_WORK];",
        "f_forward(inputs, outputs, work);",
        'printf("%g\\n", (double)outputs[0]);',
    ]


def test_the_comment_names_the_functions_and_what_arrays_hold():
    adam = Adam([Value(1.0)], lr=0.5)
    whole = Interface("net", "float", ["", "/*x*/"], 1, ["w", "".join("w"), "b"], True, True, adam, ["first"]).comment()
    about, functions, arrays, *_ = whole.split("\n\n")
    assert about.startswith("/*\nWritten by micrograd_cn, as C99 or C++, from a recorded graph; ")
    assert all(90 < len(line) <= 110 for line in about.splitlines()[1:3])
    assert [line for line in functions.splitlines() if line.startswith("net_")] == [
        "net_forward(parameters, inputs, outputs, work) computes the outputs of one row of inputs.",
        "net_gradient(parameters, rows, n, gradient, work) returns the mean output of n rows, one after the other, n",
        "net_step(parameters, state, rows, n, rate, gradient, work) returns the mean output of n rows, sets its",
    ]
    assert "one step of Adam, whose learning rate was 0.5. The state" in " ".join(functions.split())
    assert arrays == dedent("""\
        inputs: 2
            [1] / *x* /
        parameters: 3
            [0] to [1] w
            [2] b
        state: 4
            [0] steps taken
            [1] to [3] first""")
    embedded = Interface("net", "float", ["x"], 1, ["w"], False, False, None).comment()
    _, functions, arrays, *_ = embedded.split("\n\n")
    assert functions == "net_forward(inputs, outputs, work) computes the outputs of one row of inputs."
    assert arrays == "inputs: 1\n    [0] x\nnet_weights: 1\n    [0] w"


def test_the_comment_has_the_labels_of_a_program():
    w, v, x, y = Value(0.5, "weight"), Value(0.25), Value(1.0), Value(2.0, "second")
    text = compile(w * x + v * y, [x, y]).source("c", optimizer=Adam([w, v], lr=0.25))
    assert (
        """
inputs: 2
    [1] 'second'
parameters: 2
    [1] 'weight'
state: 5
    [0] steps taken
    [1] to [2] exp_avg
    [3] to [4] exp_avg_sq
"""
        in text
    )


# Functions


def heads(text):
    return re.findall(r"^\w+ \*?f_.*\n\{$", text, re.MULTILINE)


def test_functions_have_the_arguments_that_they_need():
    w, x = Value(0.5), Value(1.0)
    program = compile(mc.tanh(w * x), [x])
    trained = program.source("c", optimizer=SGD([w]))
    assert heads(trained)[:2] == [
        "void f_forward(const double *parameters, const double *inputs, double *outputs, double *work)\n{",
        "double f_gradient(const double *parameters, const double *rows, long n, double *gradient, double *work)\n{",
    ]
    expected = """
double f_step(double *parameters, double *state, const double *rows, long n, double rate, double *gradient,
        double *work)
{
    const double loss"""
    assert f"\n{expected}" in trained
    assert "f_parameters" not in trained
    assert "parameters[1]" not in trained
    embedded = program.source("c", weights="".join("embedded"), precision="".join("float"))
    assert heads(embedded) == ["void f_forward(const float *inputs, float *outputs, float *work)\n{"]
    assert "static const float f_weights[1] = {\n    0.5f\n};" in embedded
    assert "f_gradient" in program.source("c", weights="".join("passed"))


def test_what_no_line_reads_is_named_as_unused():
    text = compile(constant(3.0), []).source("c", weights="embedded")
    same(text, "\n(void)inputs;\n(void)work;\noutputs[0] = 3.0;\n")
    assert "#define F_WORK 1\n" in text  # an array of C has an element
    assert "f_weights[" not in text
    w = Value(0.5)
    assert body(compile(w * w, []).source("c"), "gradient").startswith("\n    (void)rows;\n    double loss = 0;\n")


def test_parameters_with_the_same_gradient_have_it_both():
    v, w, x = Value(0.5), Value(0.25), Value(1.0)
    program = compile(mc.tanh((v + w) * x), [x])
    for names, copied in (
        ({"v": v, "w": w}, "gradient[0] = gradient[1]"),
        ({"w": w, "v": v}, "gradient[1] = gradient[0]"),
    ):
        assert f"    {copied};\n    return" in program.source("c", names)


def test_what_is_computed_once_a_batch_keeps_its_place_for_every_row():
    w, x = Value(0.5), Value(1.0)
    early = mc.exp(w)
    program = compile(mc.tanh(x * early) * mc.cos(mc.sin(early)), [x])  # read by the batch's instructions and a row's
    found = body(program.source("c"), "gradient")
    [place] = re.findall(r"(work\[\d+\]) = exp\(parameters\[0\]\);", found)
    assert found.count(f"{place} =") == 1
    assert f"inputs[0] * {place};" in found.partition("for (long row")[2]


def test_a_slot_is_kept_if_it_is_read_or_changed():
    code = Operations()
    for leaf in ("rate", "steps"):
        code.leaf(("parameter", leaf), BATCH)
    _, g, *slots = (code.leaf(("input", k), SAMPLE) for k in range(8))
    unused, read, changed, before, given, taken = slots
    new = code.add(("fsub", g, read))
    assert kept_of(code, [new, unused, read, new, g, given, given]) == [1, 2, 3, 4, 5]
    assert kept_of(code, [new, unused, changed, changed, before, given, taken]) == [1, 2]
    assert kept_of(code, [new, unused, read, changed, before, given, taken]) == [1]


def test_a_total_is_no_function_whatever_its_name():
    w, x = Value(0.5), Value(1.0)
    whole = Op("whole", lambda x: float(math.trunc(x)), (lambda y, x: 1.0,), forms=Forms(machine="trunc"))
    text = compile(whole(w * x), [x]).source("c")
    assert "    work[1] = trunc(work[0]);\n" in text
    assert "    gradient[0] += inputs[0];\n" in text


def test_what_an_optimizer_computes_of_its_steps_is_before_the_loop():
    w, v, x = Value(0.5), Value(0.25), Value(1.0)
    program = compile(mc.tanh(w * x + v), [x])
    found = body(program.source("c", {"w": w, "v": v}, optimizer=Adam([w, v], betas=(0.5, 0.75), eps=0.125)), "step")
    before, _, inside = found.partition("    for (long i = 0; i < F_PARAMETERS; i++) {\n")
    assert dedent(before) == dedent("""
        const double loss = f_gradient(parameters, rows, n, gradient, work);
        state[0] += 1.0;
        const double steps = state[0];
        const double v7 = pow(0.5, steps);
        const double v9 = 1.0 - v7;
        const double v10 = rate / v9;
        const double v25 = pow(0.75, steps);
        const double v26 = 1.0 - v25;
        const double v27 = sqrt(v26);
        """)
    first, *_, last = inside.split("const double v")
    assert dedent(first).split("\n") == [
        "const double p = parameters[i];",
        "const double g = gradient[i];",
        "const double s0 = state[1 + i];",
        "const double s1 = state[1 + F_PARAMETERS + i];",
        "",
    ]
    changed = re.findall(r"^ +(\S.*) = v\d+;$", last, re.MULTILINE)
    assert changed == ["parameters[i]", "state[1 + i]", "state[1 + F_PARAMETERS + i]"]
    assert re.findall(r"\b(?:pow|rate|steps|v7|v9|v25|v26)\b", inside) == []
