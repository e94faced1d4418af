"""The command line: what it computes, what it tells, what it refuses."""

import ast
import json
import math
import re
import struct
import subprocess
import sys
from collections import Counter
from itertools import product
from types import SimpleNamespace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import micrograd_cn
from micrograd_cn import OPS, Value
from micrograd_cn.__main__ import _name_steps, _tables, main
from micrograd_cn.engine import topological_order
from micrograd_cn.picture import render
from micrograd_cn.picture.text import columns
from micrograd_cn.testing import expressions
from micrograd_cn.text.expression import ParseError, functions, parse
from micrograd_cn.text.words import WORDS, language

from .picture.svg import lines


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")


@pytest.fixture
def run(capsys):
    def run(*argv):
        status = main(list(argv))
        out, err = capsys.readouterr()
        return status, out, err

    return run


def command(*argv, **environment):
    return subprocess.run(
        [sys.executable, "-m", "micrograd_cn", *argv],
        capture_output=True,
        env={"PATH": "", "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1", **environment},
    )


def backward_rows(out):
    """Return the cells of the backward table's rows."""
    block = out.split("\n\n")[2].splitlines()
    return [re.split(r"\s{2,}", line) for line in block[2:]]


def bits(x):
    return "nan" if math.isnan(x) else struct.pack("<d", x)


# What it prints.

NEURON = """\
tanh(w*x + b) = 0.7064193203972353

Forward pass
step  node           numbers put in  data
1     v1 = w * x     (-3) * 2        -6
2     v2 = v1 + b    (-6) + 6.88     0.88
3     v3 = tanh(v2)  tanh(0.88)      0.706419

Backward pass: v3.grad = 1, then one edge at a time
step  from  to  local derivative  upstream gradient  contribution  gradient so far
1     v3    v2  0.500972          1                  0.500972      v2.grad: 0 + (local 0.500972 × upstream 1) = 0.500972
2     v2    v1  1                 0.500972           0.500972      v1.grad: 0 + (local 1 × upstream 0.500972) = 0.500972
3     v2    b   1                 0.500972           0.500972      b.grad: 0 + (local 1 × upstream 0.500972) = 0.500972
4     v1    w   2                 0.500972           1.00194       w.grad: 0 + (local 2 × upstream 0.500972) = 1.00194
5     v1    x   -3                0.500972           -1.50292      x.grad: 0 + (local -3 × upstream 0.500972) = -1.50292

Gradients
w.grad = 1.001943487539017
x.grad = -1.5029152313085254
b.grad = 0.5009717437695085
"""


def test_the_command_prints_value_partials_and_gradients():
    done = command("tanh(w*x + b)", "w=-3", "x=2", "b=6.88")
    assert (done.returncode, done.stderr) == (0, b"")
    shown, expected = done.stdout.decode(), NEURON
    full = r"(= -?\d\.\d{10})\d+"  # the last digits are the C library's
    assert re.sub(full, r"\1", shown) == re.sub(full, r"\1", expected)


@pytest.mark.parametrize(("menus", "chosen"), [(0x0804, "zh"), (0x0404, "zh"), (0x1004, "zh"), (0x0409, "en")])
def test_windows_chooses_the_language_where_no_locale_does(monkeypatch, menus, chosen):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    assert language(None) == "en"  # not Windows
    kernel = SimpleNamespace(GetUserDefaultUILanguage=lambda: menus)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr("ctypes.windll", SimpleNamespace(kernel32=kernel), raising=False)
    assert language(None) == chosen
    monkeypatch.setenv("LANG", "en_GB.UTF-8")  # as in a shell that came with one
    assert language(None) == "en"
    monkeypatch.setenv("LC_ALL", "zh_TW.UTF-8")
    assert language(None) == "zh"


def test_the_locale_chooses_the_language():
    done = command("x * x", "x=3", LC_ALL="zh_CN.UTF-8")
    assert "前向传播" in done.stdout.decode()
    assert "x.grad：3 + (局部导数 3 × 上游梯度 1) = 6" in done.stdout.decode()


def test_a_terminal_without_the_signs_is_no_error():
    done = command("x * x", "x=3", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert b"(local 3 ? upstream 1)" in done.stdout


@pytest.mark.parametrize("terms", [2, 5000])
def test_a_reader_may_stop_reading(terms):
    process = subprocess.Popen(
        [sys.executable, "-m", "micrograd_cn", "+".join(["x"] * terms), "x=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"LC_ALL": "C.UTF-8"},  # buffered, as it usually is
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_columns_stand_below_each_other(run, lang):
    _, out, _ = run("tanh(权重*x) + dot([x, 偏置], [权重, 2])", "权重=-3", "x=2", "偏置=6.88", "--lang", lang)
    for block in out.split("\n\n")[1:3]:
        # a wide character as itself and one more, so that indices are columns
        header, *rows = ["".join(c + "\0" * (columns(c) - 1) for c in line) for line in block.splitlines()[1:]]
        starts = [m.start() for m in re.finditer(r"(?<=  )\S", header)]
        assert len(starts) in (3, 6)
        for row in rows:
            for start in starts:
                assert row[start - 2 : start] == "  "
                assert row[start] != " "


def test_steps_are_numbered_as_they_are_written_and_names_are_not_taken_twice(run):
    _, out, _ = run("sin(v1) * cos(v3)", "v1=1", "v3=2")
    nodes = re.findall(r"v\d+ = .*?(?=  )", out.split("\n\n")[1])
    assert nodes == ["v2 = sin(v1)", "v4 = cos(v3)", "v5 = v2 * v4"]


def test_gradients_stand_in_the_order_given(run):
    _, out, _ = run("a * b", "b=2", "a=3")
    assert out.endswith("Gradients\nb.grad = 3.0\na.grad = 2.0\n")


def test_numbers_have_six_digits_in_tables_and_all_of_them_elsewhere(run):
    _, out, _ = run("x / 3", "x=1")
    assert out.startswith("x / 3 = 0.3333333333333333\n")
    assert "1 / 3           0.333333\n" in out
    assert out.endswith("x.grad = 0.3333333333333333\n")


def test_no_zero_has_a_sign(run):
    _, out, _ = run("-x * 0", "x=3")
    assert "-0" not in out.split("\n\n", 1)[1].replace("x.grad = -0.0", "")


def test_constants_get_no_gradient(run):
    _, out, _ = run("2 * x", "x=3")
    assert [row[1:3] for row in backward_rows(out)] == [["v1", "x"]]


def test_an_expression_without_operations_or_variables(run):
    assert run("x", "x=3")[1] == "x = 3.0\n\nGradients\nx.grad = 1.0\n"
    assert run("2 + 3")[1] == "2 + 3 = 5.0\n"


@given(expressions())
def test_the_table_is_what_backward_does(f):
    leaves = [Value(x, f"x{i}") for i, x in enumerate(f.point)]
    root = f(*leaves)
    assume(root.op is not None)
    root.backward()
    _name_steps(root, {leaf.label for leaf in leaves})
    lines = list(_tables(root, WORDS["en"]))
    rows = backward_rows("value\n\n" + "\n".join(lines))
    edges = [
        (partial, node.grad, node.grad * partial)
        for node in topological_order(root)
        for parent, partial in zip(node.parents, node.partials, strict=True)
        if parent.requires_grad
    ]
    assert [row[3:6] for row in rows] == [[f"{x + 0.0:.6g}" for x in edge] for edge in edges]
    last = {row[2]: row[6].rpartition(" = ")[2] for row in rows}
    for leaf in leaves:
        assert last.get(leaf.label, "0") == f"{leaf.grad + 0.0:.6g}"


# What it reads.


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
    assert value("ｘ * x", x=3) == 9.0  # typed full-width, as Python reads it


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
    """Return what Python's own reading of the expression computes."""
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
    assume(all(count == 1 for count in uses.values()))  # else it is no single expression
    texts = [f"x{i}" for i in range(len(f.point))]
    for op, operands in f.steps:
        texts.append(f"({op.text(*(texts[i] if isinstance(i, int) else f'({i!r})' for i in operands))})")
    mine, read = ([Value(x) for x in f.point] for _ in range(2))
    a, b = f(*mine), parse(texts[-1], {f"x{i}": x for i, x in enumerate(read)})
    assert bits(a.data) == bits(b.data)
    a.backward()
    b.backward()
    assert [bits(x.grad) for x in mine] == [bits(x.grad) for x in read]


# What it refuses.

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
    ("x // 2", 3, "expected a number"),
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
    ("softmax([x])", 0, "no function"),
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


def test_the_caret_stands_under_the_character(run):
    status, out, err = run("tanh(权重 * y)", "权重=2")
    assert (status, out) == (2, "")
    message, text, caret = err.splitlines()
    assert message.startswith("column 11: ")
    assert text == "  tanh(权重 * y)"
    assert len(caret) - 1 == columns(text[: text.index("y")])
    assert caret.strip() == "^"


@pytest.mark.parametrize(
    ("argv", "column", "said"),
    [
        (["x", "x=1", "z=3"], 1, "'z' does not occur"),
        (["x", "x=1", "x=2"], 1, "given twice"),
        (["x", "x"], 1, "name=number"),
        (["x", "x="], 1, "name=number"),
        (["x", "=3"], 1, "name=number"),
        (["x", "2x=3"], 1, "name=number"),
        (["x", "None=3"], 1, "name=number"),
        (["x₁*2", "x₁=1"], 1, "name=number"),
        (["x", "x=1j"], 4, "product"),
        (["x", "x = 1 +"], 8, "ends"),
        (["x*y", "x=2", "y=x"], 3, "'x'"),
        (["a\nb", "a=1"], 3, "product"),
        (["x \udcff", "x=1"], 3, "no meaning"),
    ],
)
def test_a_wrong_argument_is_shown_with_its_column(run, argv, column, said):
    for lang in ("en", "zh"):
        status, out, err = run(*argv, "--lang", lang)
        assert (status, out) == (2, "")
        lines = err.splitlines()
        assert len(lines) == 3
        assert lines[2] == "  " + " " * (column - 1) + "^"
        assert (said in err) == (lang == "en") or said in ("'x'",)


def test_numbers_are_expressions_of_constants(run):
    assert run("x * y", "x = -pi/2", "y=1e-3")[1].startswith(f"x * y = {-math.pi / 2 * 1e-3!r}\n")


def test_an_expression_may_begin_with_a_minus(run):
    assert run("-x ** 2", "x=3", "--lang=en")[1].startswith("-x ** 2 = -9.0\n")
    assert run("-o*2", "o=3")[1].startswith("-o*2 = -6.0\n")
    assert run("-hypot(x,4)", "x=3")[1].startswith("-hypot(x,4) = -5.0\n")


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


def test_the_command_refuses_without_a_traceback():
    done = command("x.__class__", "x=1", PYTHONIOENCODING="utf-8")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().splitlines()[1:] == ["  x.__class__", "   ^"]


@pytest.mark.parametrize(
    ("argv", "english", "chinese"),
    [
        (["--foo"], "there is no option --foo", "没有选项 --foo"),
        (["x", "x=1", "-o"], "-o needs the name of a file", "-o 后面要写文件名"),
        (["-o", "-h"], "-o needs the name of a file", "-o 后面要写文件名"),
        (["x", "x=1", "--output"], "-o needs the name of a file", "-o 后面要写文件名"),
    ],
)
def test_a_wrong_option_is_refused_in_the_language(run, argv, english, chinese):
    status, out, err = run(*argv)
    assert (status, out) == (2, "")
    assert err.startswith(english)
    assert err.endswith("Try: python -m micrograd_cn --help\n")
    for arguments in (["--lang=zh", *argv], [*argv, "--lang", "zh"]):
        status, out, err = run(*arguments)
        assert (status, out) == (2, "")
        assert err.startswith(chinese)
        assert err.endswith("用法见：python -m micrograd_cn --help\n")


@pytest.mark.parametrize("argv", [["--lang"], ["--lang", "fr"], ["--lang="]])
def test_a_language_that_there_is_not_is_refused_in_the_locale_s(run, argv, monkeypatch):
    status, out, err = run("x", "x=1", *argv)
    assert (status, out, err.splitlines()[0]) == (2, "", "--lang needs one of the languages en and zh")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert run("x", "x=1", *argv)[2].startswith("--lang 后面要写语言：en 或 zh\n")


def test_help_is_in_both_languages_and_names_every_function(run):
    (_, english, _), (status, chinese, err) = run("-h"), run("--help", "--lang", "zh")
    assert (status, err) == (0, "")
    assert english.startswith("usage:")
    assert chinese.startswith("用法：")
    for text in (english, chinese):
        assert set(functions()) <= set(re.findall(r"\w+", text))
    assert run() == (2, "", english)


# What it writes.


def test_pictures_are_written_beside_the_table(run, tmp_path):
    svg, dot = tmp_path / "graph.SVG", tmp_path / "graph.dot"
    status, out, err = run("x * x", "-o", str(svg), "x=3", "--output", str(dot), "--lang", "zh")
    assert (status, err) == (0, "")
    assert out.startswith("x * x = 9.0\n")
    assert f"已写入 {svg}\n已写入 {dot}\n" in out
    assert "= 3 + 3" in svg.read_text(encoding="utf-8")
    assert dot.read_text(encoding="utf-8").startswith("digraph")
    assert sorted(tmp_path.iterdir()) == [svg, dot]


def test_the_page_is_drawn_after_backward_in_the_language(run, tmp_path, monkeypatch):
    class Page:
        def __init__(self, root, lang):
            self.text = f"{root.parents[0].grad} {lang}"

        def save(self, path):
            path.write_text(self.text)

    monkeypatch.setattr(micrograd_cn, "draw_flow", Page, raising=False)
    assert run("x * x", "x=3", "-o", str(tmp_path / "flow.html"), "--lang", "zh")[0] == 0
    assert (tmp_path / "flow.html").read_text() == "6.0 zh"


def test_the_playground_is_written_in_the_language_or_the_browser_s(run, tmp_path):
    for more, lang in (([], "null"), (["--lang", "zh"], '"zh"')):
        path = tmp_path / "playground.html"
        assert run("--playground", "-o", str(path), *more)[0] == 0
        assert f'id="data">{{"lang":{lang},' in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", ["", "x*x -o p.html", "-o p.svg", "-o p.html -o p.png", "x=2 -o p.html"])
def test_the_playground_needs_a_page_s_name_and_nothing_else(run, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    status, out, err = run("--playground", *arguments.split(), "--lang", "en")
    assert (status, out) == (2, "")
    assert err == "--playground needs a page's name and nothing else, as in --playground -o playground.html\n"
    assert list(tmp_path.iterdir()) == []


def test_a_playground_that_cannot_be_written_says_why(run, tmp_path):
    path = tmp_path / "none" / "p.html"
    assert run("--playground", "-o", str(path), "--lang", "en") == (
        1,
        "",
        f"cannot write {path}: No such file or directory\n",
    )


def test_the_real_page_is_written(run, tmp_path):
    assert run("x * x", "x=3", "-o", str(tmp_path / "flow.html"))[0] == 0
    assert "<html" in (tmp_path / "flow.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("ending", ["html", "DOT"])
def test_a_file_s_name_may_follow_its_option_at_once(run, tmp_path, monkeypatch, ending):
    monkeypatch.chdir(tmp_path)
    assert run("o * 2", "o=3", f"-oz.{ending}")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"z.{ending}"]
    assert run("-o*2.", "o=3", "--lang=en")[1].startswith("-o*2. = -6.0\n")


@pytest.mark.parametrize(
    ("text", "count"),
    [("tanh(w*x + b) * x - 2 ** w", 6), ("2*x + 3*w - x/4 + 5*b", 7), ("v1 * x + w * b", 3), ("x", 0)],
)
def test_tables_page_and_picture_name_the_nodes_alike(run, tmp_path, text, count):
    page, picture = tmp_path / "flow.html", tmp_path / "graph.dot"
    numbers = [f"{name}={i + 2}" for i, name in enumerate(["v1", "w", "x", "b"]) if re.search(rf"\b{name}\b", text)]
    status, out, _ = run(text, *numbers, "-o", str(page), "-o", str(picture))
    assert status == 0
    tables = dict(re.findall(r"^\d+ +(v\d+) = .*?  .*?(\S+)$", out.partition("Backward")[0], re.MULTILINE))
    assert len(tables) == count
    [data] = re.findall('id="data">(.*?)</script>', page.read_text(encoding="utf-8"))
    page = json.loads(data)
    [tape] = page["tapes"]
    named = {name: i for i, (name, *_) in enumerate(page["graphs"][0]["nodes"])}
    assert not any("#" in name for name in named)
    interior = {name for name, *facts in page["graphs"][0]["nodes"] if len(facts) > 2}  # with an operation and operands
    assert interior == tables.keys()
    labels = re.findall(r"^\t(?:v\d+) \[label=<(.*?)>[^>]*\]$", picture.read_text(encoding="utf-8"), re.MULTILINE)
    drawn = [lines(label) for label in labels]
    for name, shown in tables.items():
        assert f"{tape['fixed'][tape['columns'][named[name]]]:.6g}" == shown
        [found] = [each for each in drawn if each[0].startswith(f"{name} = ")]
        assert found[1] == f"data {float(shown):.4g}"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_constant_has_a_value_and_a_picture_but_no_page(run, tmp_path, lang):
    page, picture = tmp_path / "flow.html", tmp_path / "graph.dot"
    status, out, err = run("3+4", "-o", str(picture), "-o", str(page), "--lang", lang)
    assert (status, out) == (1, "3+4 = 7.0\n")
    said = {"en": "cannot write {}: the expression has no variable", "zh": "无法写入 {}：表达式里没有变量"}[lang]
    assert err.startswith(said.format(page))
    assert err.count("\n") == 1
    assert run("3+4", "-o", str(picture))[0] == 0


@pytest.mark.parametrize(
    ("output", "status", "said"),
    [("graph.gif", 2, ".html, .svg, .png, .pdf, .dot"), ("graph", 2, ".html"), ("none/graph.svg", 1, "No such file")],
)
def test_a_file_that_cannot_be_written_is_named(run, tmp_path, output, status, said):
    path = str(tmp_path / output)
    found, out, err = run("x * x", "x=3", "-o", path)
    assert (found, out) == (status, "")
    assert err.startswith(f"cannot write {path}: ")
    assert said in err
    assert err.count("\n") == 1


def test_contributions_that_cancel_at_infinity_are_drawn(run, tmp_path):
    picture = tmp_path / "graph.dot"
    status, out, _ = run("sqrt(x) - sqrt(x)", "x=0", "-o", str(picture))
    assert status == 0
    assert out.startswith("sqrt(x) - sqrt(x) = 0.0\n")
    text = picture.read_text("utf-8").replace("&#160;", " ")
    assert "= inf + (-inf)" in text or "= (-inf) + inf" in text


def test_a_missing_renderer_says_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setattr(render, "find_renderer", lambda: None)
    status, out, err = run("x * x", "x=3", "-o", str(tmp_path / "graph.svg"), "--lang", "zh")
    assert (status, out) == (1, "")
    assert "请安装 Graphviz" in err


def test_a_graph_too_large_for_a_picture_says_so(run, tmp_path):
    status, out, err = run("*".join(["x"] * 1000), "x=1", "-o", str(tmp_path / "graph.svg"))
    assert (status, out) == (1, "")
    assert "max_nodes" in err
