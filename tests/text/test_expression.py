"""Text is read as Python reads it. The message for text that is no expression says where it is wrong."""

import ast
import math
import struct
from collections import Counter
from itertools import product

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from micrograd_cn import OPS, Value
from micrograd_cn.testing import expressions
from micrograd_cn.text.expression import MEANT, ParseError, functions, parse


def bits(x):
    return "nan" if math.isnan(x) else struct.pack("<d", x)


def value(text, **numbers):
    return parse(text, {name: Value(x, name) for name, x in numbers.items()}).data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-x ** 2", -9.0),
        ("2 ** -x ** 2", 2.0**-9),
        ("2 ** 3 ** 2", 512.0),
        ("8 / 4 / 2", 1.0),
        ("1 + 8 / 4 / 2", 2.0),
        ("1e308 * x / 10", math.inf),
        ("1 - 2 - x", -4.0),
        ("+-+x", -3.0),
        ("1e3 + .5 + 2.", 1002.5),
        ("leaky_relu(-x, 0.5)", -1.5),
        ("leaky_relu(-x, negative_slope=0.5)", -1.5),
        ("dot([x, 1], [2, 3])", 9.0),
        ("dot([x, 1], [2, 3], bias=x)", 12.0),
        ("sum([x, 1, 2])", 6.0),
        ("sum([], x)", 3.0),
        ("mean([x, 5])", 4.0),
        ("add(x, 1)", 4.0),
        ("maximum((x), 7)", 7.0),
        ("pi * e", math.pi * math.e),
        ("2 * π", 2 * math.pi),
        ("2·π·3", 6 * math.pi),
        ("2\u0387π", 2 * math.pi),
        ("-inf * x", -math.inf),
        ("10" + "0" * 400, math.inf),
        ("9**9**9", math.inf),
        ("x/0", math.inf),
    ],
)
def test_it_computes_as_python_reads(text, expected):
    assert value(text, x=3) == expected


@pytest.mark.parametrize("operators", [*product(("+", "-", "*", "/", "**"), repeat=2)], ids=" ".join)
def test_every_two_operators_bind_as_in_python(operators):
    for signs in product(("", "-"), repeat=3):
        a, b, c = (sign + x for sign, x in zip(signs, ("3.0", "2.0", "1.5"), strict=True))
        text = f"{a} {operators[0]} {b} {operators[1]} {c}"
        assert value(text) == eval(text), text


def test_a_variable_may_have_any_name():
    assert value("学习率 * ñ_1", 学习率=2, ñ_1=3) == 6.0
    assert value("pi + tanh(tanh) + e", pi=1, tanh=0, e=2) == 3.0
    assert value("π + math + np", π=1, math=2, np=3) == 6.0
    assert value("ab·b + ab", ab=2, b=3) == 8.0  # a middle dot is a product, although Unicode counts it as a letter
    assert value("ｘ * x", x=3) == 9.0  # a full-width letter, which Python reads as this one, too


def test_every_row_of_the_table_can_be_called():
    for name, op in OPS.items():
        lists = {"sum": "[x]", "logsumexp": "[x]", "dot": "[x], [0.5]", "take": "[0.5, x], x"}
        count = (op.arity or 0) - (name in ("leaky_relu", "elu"))
        text = lists.get(name) or ", ".join(["x"] * count)
        assert parse(f"{name}({text})", {"x": Value(0.5)}).op is op


def test_a_sign_belongs_to_its_factor():
    assert parse("-x * x", {"x": Value(3)}).op is OPS["mul"]
    assert parse("-x ** x", {"x": Value(3)}).op is OPS["neg"]


def test_what_numbers_alone_make_is_a_constant():
    assert not parse("2 + 3", {}).requires_grad
    x = Value(3, "x")
    root = parse("2 * 3 * x", {"x": x})
    constant, leaf = root.parents
    assert leaf is x
    assert (constant.data, constant.requires_grad) == (6.0, False)


TOKENS = st.sampled_from(["x", "y", "2.5", "+", "-", "*", "/", "**", "(", ")"])


NODES = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Name, ast.Constant, ast.operator, ast.unaryop, ast.expr_context)


INFIX = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow"}


def computed(node, numbers):
    """Return the number that Python's own syntax tree of the expression gives."""
    if isinstance(node, ast.BinOp):
        return OPS[INFIX[type(node.op)]](computed(node.left, numbers), computed(node.right, numbers))
    if isinstance(node, ast.UnaryOp):
        x = computed(node.operand, numbers)
        return OPS["neg"](x) if isinstance(node.op, ast.USub) else x
    return numbers[node.id] if isinstance(node, ast.Name) else float(node.value)


@st.composite
def formulas(draw):
    leaf = st.sampled_from(["x", "y", "2.5"])
    return draw(
        st.recursive(
            leaf,
            lambda inner: st.one_of(
                st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "**"]), inner).map("".join),
                st.tuples(st.sampled_from("-+"), inner).map("".join),
                inner.map("({})".format),
            ),
        )
    )


@given(formulas() | st.lists(TOKENS, max_size=12).map(" ".join), st.floats(-3, 3), st.floats(-3, 3))
def test_operators_are_read_as_python_reads_them(text, x, y):
    try:
        tree = ast.parse(text, mode="eval")
        readable = all(isinstance(node, NODES) for node in ast.walk(tree))
    except SyntaxError:
        readable = False
    numbers = {"x": x, "y": y}
    if readable:
        assert bits(value(text, **numbers)) == bits(computed(tree.body, numbers))
    else:
        with pytest.raises(ParseError):
            value(text, **numbers)


@given(expressions(max_steps=5))
def test_printed_expressions_are_read_back_bit_by_bit(f):
    uses = Counter(i for _, operands in f.steps for i in operands if isinstance(i, int) and i >= len(f.point))
    assume(all(count == 1 for count in uses.values()))  # a result used twice fits no expression
    texts = [f"x{i}" for i in range(len(f.point))]
    for op, operands in f.steps:
        texts.append(f"({op.text(*(texts[i] if isinstance(i, int) else f'({i!r})' for i in operands))})")
    mine, read = ([Value(x) for x in f.point] for _ in range(2))
    a, b = f(*mine), parse(texts[-1], {f"x{i}": x for i, x in enumerate(read)})
    assert bits(a.data) == bits(b.data)
    a.backward()
    b.backward()
    assert [bits(x.grad) for x in mine] == [bits(x.grad) for x in read]


PIECES = st.sampled_from(
    [*functions(), *"()[],=+-*/^.:<'\"@权重（×\\", "**", "x", "pi", "2", "1e5", "0x1", "2j", "lambda", "None", "  "]
)


@example("x " + "\ud800")
@example("dot([x], [x, x])")
@example("sum(xs=[x])")
@example("dot(ys=[x], [x])")
@given(st.text() | st.lists(PIECES, max_size=15).map("".join) | st.lists(PIECES, max_size=15).map(" ".join))
def test_any_text_is_an_expression_or_refused_at_a_column(text):
    for lang in ("en", "zh"):
        column = 0
        try:
            result = parse(text, {"x": Value(1)}, lang)
        except ParseError as error:
            column = error.column
        else:
            assert isinstance(result, Value)
        assert 0 <= column <= len(text)


REFUSED = [
    ("", 0, "ends"),
    ("x *", 3, "ends"),
    ("x x", 2, "product"),
    ("2x", 1, "product"),
    ("x (2)", 0, "variable"),
    ("3(x)", 1, "product"),
    ("x ^ 2", 2, "write **"),
    ("2 × x", 2, "write *"),
    ("sin（x）", 3, "write ("),
    ("x + * 2", 4, "expected a number"),
    ("x // 2", 2, "write floor(a / b)"),
    ("x < 2", 2, "no meaning"),
    ("x == 2", 2, "no meaning"),
    ("x.data", 1, "no meaning"),
    ("x = 2", 2, "no meaning"),
    ("'a' * x", 0, "no meaning"),
    ("x[0]", 1, "expected an operator"),
    ("[x]", 0, "a list"),
    ("([x])", 1, "a list"),
    ("sum(-[x])", 5, "a list"),
    ("sum([x] + 1)", 8, "a list"),
    ("dot([[x]], [x])", 5, "a list"),
    ("(x, x)", 2, "a comma"),
    ("x, x", 1, "a comma"),
    ("(x", 0, "never closed"),
    ("sin(x + (x)", 3, "never closed"),
    ("(1 * (2 + sin(x", 13, "never closed"),
    ("1 + [2] * 3", 4, "a list"),
    ("x)", 1, "closes no"),
    ("sum([x)", 6, "closes no"),
    ("()", 1, "expected a number"),
    ("sum([x,])", 7, "expected a number"),
    ("lambda x: x", 0, "reserved"),
    ("sum([y for y in x])", 5, "'y'"),
    ("x * True", 4, "reserved"),
    ("x * None", 4, "reserved"),
    ("x * 2j", 5, "product"),
    ("x * y", 4, "'y'"),
    ("x * xx", 4, "did you mean 'x'"),
    ("tanhh(x)", 0, "did you mean 'tanh'"),
    ("x * __import__('os')", 4, "no function"),
    ("softmax([x])", 0, "write exp(a) / (exp(a) + exp(b))"),
    ("x * tanh", 4, "parentheses"),
    ("1 + sin()", 4, "sin(x)"),
    ("sin(x, x)", 0, "sin(x)"),
    ("sin([x])", 0, "sin(x)"),
    ("sin(x=x)", 0, "sin(x)"),
    ("atan2(x)", 0, "atan2(y, x)"),
    ("sum(x, x)", 0, "sum([...], start)"),
    ("sum([x], [x])", 0, "sum([...], start)"),
    ("leaky_relu(x, slope=2)", 0, "leaky_relu(x, negative_slope=0.01)"),
    ("elu(x, alpha=1, alpha=2)", 0, "elu(x, alpha=1.0)"),
    ("elu(x, alpha=alpha=2)", 13, "'alpha'"),
    ("elu(x, 2 * alpha=3)", 11, "'alpha'"),
    ("elu(x, -alpha=3)", 8, "'alpha'"),
    ("elu(alpha=)", 10, "expected a number"),
    ("sin(-)", 5, "expected a number"),
    ("x ＜ 2", 2, "no meaning"),
    ("elu(alpha=1, x)", 0, "elu(x, alpha=1.0)"),
    ("mean([])", 0, "not empty"),
    ("dot([x], [x, x])", 0, "one length"),
    ("权 * x", 0, "'权'"),
    ("math.tanh(x)", 0, "write tanh(...)"),
    ("2 * np.pi", 4, "write pi"),
    ("torch.nn.functional.relu(x)", 0, "write relu(...)"),
    ("np.arctan(x)", 3, "did you mean 'atan'"),
    ("np.x", 3, "no function 'x'"),
    ("x.tanh()", 0, "write tanh(x)"),
    ("x.tanh.tanh()", 1, "no meaning"),
    ("x²", 1, "write (...)**2"),
    ("sin³(x)", 3, "write (...)**3"),
    ("x⁻¹", 1, "write (...)**-1"),
    ("|x|", 0, "write abs(...)"),
    ("sign(x)", 0, "write less(0, a) - less(a, 0)"),
    ("2 * cot(x)", 4, "write 1/tan(a)"),
    ("round(x)", 0, "write floor(a + 0.5)"),
    ("arctan2(x, 2)", 0, "did you mean 'atan2'"),
    ("√x", 0, "write sqrt(...)"),
    ("∛x", 0, "write (...)**(1/3)"),
    ("½ * x", 0, "write (1/2)"),
    ("x ÷ 2", 2, "write /"),
    ("ŀx", 1, "write *"),
    ("x ⋅ 2", 2, "write *"),
    ("2 * ∞", 4, "write inf"),
    ("２ * x", 0, "write 2"),
    ("x₁", 1, "write 1"),
    ("【x】", 0, "write ("),
    ("(x】", 2, "write )"),
    ("x ＾ 2", 2, "write **"),
    ("x ≤ 1", 2, "write less_equal(a, b)"),
    ("x ≥ 1", 2, "write less_equal(b, a)"),
    ("x ≠ 1", 2, "write 1 - equal(a, b)"),
    ("x if x else 1", 2, "write where(condition, a, b)"),
    ("x and 1", 2, "write a * b"),
    ("x or 1", 2, "write maximum(a, b)"),
    ("not x", 0, "write 1 - a"),
    ("PI * x", 0, "did you mean 'pi'"),
    ("ln x", 0, "did you mean 'log'"),
    ("log10(x)", 0, "'log10' has no meaning here; write log(a)/log(10)"),
    ("np.log2(x)", 3, "'log2' has no meaning here; write log(a)/log(2)"),
    ("square(x)", 0, "'square' has no meaning here; write a**2"),
    ("TANH(x)", 0, "did you mean 'tanh'"),
    ("x!", 1, "no meaning"),
    ("x in x", 2, "a product needs its *"),
]


@pytest.mark.parametrize(("text", "column", "said"), REFUSED)
def test_what_is_no_expression_is_refused_where_it_is_wrong(text, column, said):
    with pytest.raises(ParseError) as refused:
        value(text, x=1)
    assert (refused.value.column, said in str(refused.value)) == (column, True), refused.value
    with pytest.raises(ParseError) as in_chinese:
        parse(text, {"x": Value(1)}, "zh")
    assert in_chinese.value.column == column
    assert any("\u4e00" <= c <= "\u9fff" for c in str(in_chinese.value))


LONG = 100_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(" * LONG + "x" + ")" * LONG, 0.5),
        ("-" * LONG + "x", 0.5),
        ("+".join(["x"] * LONG), LONG / 2),
        ("**".join(["x"] * LONG), None),
        pytest.param("sum([" * LONG + "x" + "])" * LONG, 0.5, marks=pytest.mark.slow),
        ("sum([" + ",".join(["x"] * LONG) + "])", LONG / 2),
    ],
    ids=["brackets", "signs", "sum", "powers", "calls", "list"],
)
def test_an_expression_may_be_as_deep_as_it_is_long(text, expected):
    result = value(text, x=0.5)
    assert result == expected or expected is None


@pytest.mark.parametrize(
    "text", ["(" * (LONG // 10), ")" * LONG, "sum([" * (LONG // 10), "a" * LONG, "a" * LONG + "(x)"]
)
def test_a_long_text_is_refused_like_a_short_one(text):
    with pytest.raises(ParseError):
        value(text, x=1)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("log2", math.log2),
        ("log10", math.log10),
        ("square", lambda x: x * x),
        ("sign", lambda x: math.copysign(1.0, x)),
        ("cot", lambda x: math.cos(x) / math.sin(x)),
        ("ceil", math.ceil),
        ("round", round),
    ],
)
def test_what_is_suggested_for_a_function_of_another_library_computes_it(name, function):
    for x in (0.25, 1.75, 2.25):
        assert math.isclose(parse(MEANT[name], {"a": Value(x)}).data, function(x), rel_tol=1e-12)
