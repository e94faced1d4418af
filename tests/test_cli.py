"""The command line prints tables, writes pictures and pages, and refuses wrong arguments with a message."""

import json
import math
import re
import subprocess
import sys

import pytest
from hypothesis import assume, given

import micrograd_cn
from micrograd_cn import Value
from micrograd_cn.__main__ import _name_steps, _tables, main
from micrograd_cn.engine import topological_order
from micrograd_cn.picture import render
from micrograd_cn.picture.text import columns
from micrograd_cn.testing import expressions
from micrograd_cn.text.expression import functions
from micrograd_cn.text.words import WORDS

from .picture.svg import lines


@pytest.fixture(autouse=True)
def english(monkeypatch):
    """Let the locale be one whose language is English, whatever the user's locale is."""
    monkeypatch.setenv("LC_ALL", "C")


@pytest.fixture
def run(capsys):
    """Return a function that runs the command in this process, and returns its exit status, output and errors."""

    def run(*argv):
        status = main(list(argv))
        out, err = capsys.readouterr()
        return status, out, err

    return run


def command(*argv, **environment):
    """Run the command in a process of its own, for tests of what only a process has, such as its locale."""
    return subprocess.run(
        [sys.executable, "-m", "micrograd_cn", *argv],
        capture_output=True,
        env={"PATH": "", "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1", **environment},
    )


def backward_rows(out):
    """Return the rows of the table of the backward pass, as lists of cells."""
    block = out.split("\n\n")[2].splitlines()
    return [re.split(r"\s{2,}", line) for line in block[2:]]


# Printing


def test_a_negative_operand_of_an_operator_is_put_in_parentheses_but_no_argument(run):
    _, out, _ = run("x * y + tanh(y)", "x=2", "y=-3")
    numbers = [re.split(r"\s{2,}", line)[2] for line in out.split("\n\n")[1].splitlines()[2:]]
    assert numbers == ["2 * (-3)", "tanh(-3)", "(-6) + (-0.995055)"]


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


def test_the_locale_chooses_the_language():
    done = command("x * x", "x=3", LC_ALL="zh_CN.UTF-8")
    assert "前向传播" in done.stdout.decode()
    assert "x.grad：3 + (局部导数 3 × 上游梯度 1) = 6" in done.stdout.decode()


def test_a_terminal_without_the_signs_is_no_error():
    """Where the terminal's encoding has no multiplication sign, the command prints "?" instead."""
    done = command("x * x", "x=3", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert b"(local 3 ? upstream 1)" in done.stdout


@pytest.mark.parametrize("terms", [2, 5000])
def test_a_reader_may_stop_reading(terms):
    """If the reader closes the pipe, as `head` does, the command ends without a traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "micrograd_cn", "+".join(["x"] * terms), "x=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"LC_ALL": "C.UTF-8"},  # PYTHONUNBUFFERED must not be set: short output then fails only when Python exits
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_columns_stand_below_each_other(run, lang):
    _, out, _ = run("tanh(权重*x) + dot([x, 偏置], [权重, 2])", "权重=-3", "x=2", "偏置=6.88", "--lang", lang)
    for block in out.split("\n\n")[1:3]:
        # Each wide character becomes two characters, so an index into the line is a column of the terminal.
        header, *rows = ["".join(c + "\0" * (columns(c) - 1) for c in line) for line in block.splitlines()[1:]]
        starts = [m.start() for m in re.finditer(r"(?<=  )\S", header)]
        assert len(starts) in (3, 6)
        for row in rows:
            for start in starts:
                assert row[start - 2 : start] == "  "
                assert row[start] != " "


def test_steps_are_numbered_as_they_are_written_and_names_are_not_taken_twice(run):
    """Nodes are named v1, v2 and so on in the order of the expression, without names that variables have."""
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
    """The tables show -0.0 as 0, and the gradients below them show it exactly."""
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
    """The table of the backward pass has a row for each edge, with what `backward` sends along it, in its order."""
    leaves = [Value(x, f"x{i}") for i, x in enumerate(f.point)]
    root = f(*leaves)
    assume(root.op is not None)
    root.backward()
    _name_steps(root, {leaf.label for leaf in leaves})
    lines = list(_tables(root, WORDS["en"]))
    rows = backward_rows("value\n\n" + "\n".join(lines))
    edges, reached = [], {root}
    for node in topological_order(root):
        for parent, partial in zip(node.parents, node._partials, strict=True):
            if parent.requires_grad:
                flows = node in reached and partial is not None
                reached |= {parent} if flows else set()
                upstream = f"{node.grad + 0.0:.6g}" if node in reached else "-"
                edges.append([upstream, f"{node.grad * partial + 0.0:.6g}" if flows else "0"])
    assert [row[4:6] for row in rows] == edges
    last = {row[2]: re.search(r" = (\S+)$|stays (\S+):", row[6]).group(1, 2) for row in rows}
    last = {name: sum_ or stays for name, (sum_, stays) in last.items()}
    for leaf in leaves:
        assert last.get(leaf.label, "0") == f"{leaf.grad + 0.0:.6g}"


NOTHING = "{name}.grad stays 0: nothing flows to {name}, because {reason}".format
SELECTED = {
    ("sqrt(relu(x))", "en"): [
        ["1", "v2", "v1", "inf", "1", "inf", "v1.grad: 0 + (local inf × upstream 1) = inf"],
        ["2", "v1", "x", "not selected", "inf", "0", NOTHING(name="x", reason="relu did not select it")],
    ],
    ("sqrt(relu(x))", "zh"): [
        ["1", "v2", "v1", "inf", "1", "inf", "v1.grad：0 + (局部导数 inf × 上游梯度 1) = inf"],
        ["2", "v1", "x", "未选中", "inf", "0", "x.grad 仍为 0：relu 没有选中 x，没有梯度传给它"],
    ],
    ("where(0, sqrt(x), 0)", "en"): [
        ["1", "v2", "v1", "not selected", "1", "0", NOTHING(name="v1", reason="where did not select it")],
        ["2", "v1", "x", "nan", "-", "0", NOTHING(name="x", reason="no gradient reached v1")],
    ],
    ("log(step(x))", "en"): [
        ["1", "v2", "v1", "inf", "1", "inf", "v1.grad: 0 + (local inf × upstream 1) = inf"],
        ["2", "v1", "x", "0", "inf", "0", "x.grad stays 0: the derivative of step with respect to x is 0 everywhere"],
    ],
}


@pytest.mark.parametrize(("text", "lang"), SELECTED)
def test_the_table_says_why_nothing_flows_to_an_operand(run, text, lang):
    _, out, _ = run(text, "x=-1", "--lang", lang)
    assert backward_rows(out) == SELECTED[text, lang]
    assert out.endswith("x.grad = 0.0\n")


# Refusing


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
        (["x", "None=3"], 1, "'None' is a reserved word of Python, not a name"),
        (["x", "lambda=0.1"], 1, "'lambda' is a reserved word of Python, not a name"),
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
    """The value of a variable may be an expression of constants, such as -pi/2."""
    assert run("x * y", "x = -pi/2", "y=1e-3")[1].startswith(f"x * y = {-math.pi / 2 * 1e-3!r}\n")


def test_an_expression_may_begin_with_a_minus(run):
    """An expression that begins with "-x", "-o" or "-h" is not taken for an option."""
    assert run("-x ** 2", "x=3", "--lang=en")[1].startswith("-x ** 2 = -9.0\n")
    assert run("-o*2", "o=3")[1].startswith("-o*2 = -6.0\n")
    assert run("-hypot(x,4)", "x=3")[1].startswith("-hypot(x,4) = -5.0\n")


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
    """The error about a wrong option is in the language that --lang asks for, wherever --lang is."""
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
    """An unknown language is refused in the language of the locale."""
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
    for text in (english, chinese):
        assert "+ - * / ** %\n" in text


# Writing files


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
    """The page gets a graph whose gradients are computed, and the language of --lang."""

    class Page:
        def __init__(self, root, lang):
            self.text = f"{root.parents[0].grad} {lang}"

        def save(self, path):
            path.write_text(self.text)

    monkeypatch.setattr(micrograd_cn, "draw_flow", Page, raising=False)
    assert run("x * x", "x=3", "-o", str(tmp_path / "flow.html"), "--lang", "zh")[0] == 0
    assert (tmp_path / "flow.html").read_text() == "6.0 zh"


def test_the_playground_is_written_in_the_language_or_the_browser_s(run, tmp_path):
    """With --lang, the playground has that language, and without it, the browser's."""
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
    """An argument such as -oz.html writes z.html, because of its ending, and -o*2. is an expression."""
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
    interior = {name for name, *facts in page["graphs"][0]["nodes"] if len(facts) > 2}  # the others are leaves
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
    """The picture shows inf + (-inf) as a sum, although its result is nan."""
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


def test_the_version_is_printed(run):
    assert run("--version") == (0, f"micrograd_cn {micrograd_cn.__version__}\n", "")


@pytest.mark.parametrize("text", ["x == 3", "x > 2", "x <= 2", "x != 1"])
def test_a_comparison_names_the_functions_to_write(run, text):
    status, _, err = run(text, "x=3", "--lang=en")
    assert status == 2
    assert "such as less(a, b) for a < b and equal(a, b) for a == b" in err


def test_no_other_function_is_suggested_for_softmax(run):
    _, _, err = run("softmax(x)", "x=3", "--lang=en")
    assert "'softmax' has no meaning here; write exp(a) / (exp(a) + exp(b))" in err
    assert "logsumexp" not in err


def test_the_command_writes_to_a_stdout_that_a_program_has_replaced():
    code = (
        "import io, runpy, sys\nsys.stdout, sys.argv = io.StringIO(), ['micrograd_cn', 'x*x', 'x=3']\n"
        "try: runpy.run_module('micrograd_cn', run_name='__main__')\n"
        "finally: print(sys.stdout.getvalue(), file=sys.__stdout__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "9" in done.stdout
