"""The text of the C source is short, allocates nothing and describes itself, and `source` refuses wrong options."""

import math
import random
import re
import shutil
import subprocess
from functools import cache

import pytest

import micrograd_cn as mc
from micrograd_cn import OPS, Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.engine import constant
from micrograd_cn.losses import cross_entropy
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam

from .c_files import CPP, C, run_compiler
from .common import problem
from .test_c_source import GRAPHS, numbered

# Length and memory


def lines_of(program, names=None):
    """Return how many lines the C file of a program has, without its tables and its comment."""
    text = re.sub(r"static const .*?};\n", "", program.source("c", names).partition("*/")[2], flags=re.DOTALL)
    return len(text.splitlines())


def work_of(program, **options):
    """Return how many numbers the caller's work array must have room for."""
    return int(re.search(r"#define F_WORK (\d+)", program.source("c", **options))[1])


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_wider_graph_has_no_more_lines(graph):
    """A graph of 80 parameters and inputs has no more lines of C than one of 40, because both are loops."""
    small, large = (lines_of(compile(GRAPHS[graph](numbered(n), xs), xs)) for n in (40, 80) for xs in [numbered(n)])
    assert large <= small


def test_the_gradient_of_a_network_has_no_more_lines_where_it_is_wider():
    found = []
    for n in (34, 50):
        model, xs = MLP(n, [n, n], seed=0), numbered(n)
        found.append(lines_of(compile(mc.sum([(y - 1.0) ** 2 for y in model(xs)]), xs), model))
    assert found[1] <= found[0]


@pytest.mark.slow
def test_the_training_step_of_a_large_network_has_no_more_lines_than_that_of_a_small_one():
    found = []
    for inputs, hidden in ((196, 64), (784, 128)):
        model, xs = MLP(inputs, [hidden, 10], seed=0), [*numbered(inputs), Value(3.0)]
        program = compile(cross_entropy(model(xs[:inputs]), xs[inputs]), xs)
        found.append(program.source("c", model, optimizer=Adam(model.parameters())).count("\n"))
    assert found[1] <= found[0]


def test_places_of_what_nobody_reads_any_more_are_used_again():
    """The work array of a deep graph needs room for the values that a later line reads, and not for all values."""
    w, x = Value(0.5), Value(0.3)
    y, steps = x, 100
    for _ in range(steps):
        y = mc.tanh(y * w)
    assert work_of(compile(y, [x])) < 3.1 * steps  # three numbers for each step, and none for its gradient
    model, xs = MLP(8, [16] * 12 + [1], activation="tanh", seed=0), numbered(8)
    biases = 12 * 16 + 1
    assert work_of(compile([model(xs)], xs), weights="embedded") < biases + 3 * 16 + 3, (
        "the work array has room for more than the biases and three layers"
    )


def test_factors_are_on_the_same_side_whatever_their_order():
    """A dot product whose pairs are in mixed order, (w, x) and (x, w), reads both arrays in place."""
    ws, xs = numbered(40), numbered(40)
    sides = [(w, x) if k % 3 else (x, w) for k, (w, x) in enumerate(zip(ws, xs, strict=True))]
    assert work_of(compile(mc.exp(mc.dot(*map(list, zip(*sides, strict=True)))), xs)) == 2  # without copies


# The text


@cache
def texts():
    """Return the nine C texts of `_texts`, which are written once."""
    return [*_texts()]


def _texts():
    """Yield C files with all options, of all operations, and of graphs that are as small as can be."""
    parameters, program, _, model = problem()
    w, x = Value(0.5, "*/ int x; /*"), Value(2.0, "??/\n")
    yield program.source("c", model, optimizer=Adam(parameters), name="network_1")
    yield program.source("c", precision="float", optimizer=SGD(parameters[2:], momentum=0.9))
    yield program.source("c", weights="embedded")
    yield compile([mc.take([x, w, 3.0, 2.0, x * w, 1.0], x), mc.sum([x] * 20), constant(math.nan)], [x]).source("c")
    yield compile(mc.exp(w) * w, []).source("c", optimizer=SGD([w]), name="inputs")
    yield compile(constant(-math.inf), [x]).source("c", precision="float")
    yield compile(constant(1.0), []).source("c", weights="embedded")
    yield compile([op(*[x] * (op.arity or 1)) if op.arity else x for op in OPS.values()], [x]).source("c")
    ws, xs = numbered(9), numbered(9)
    yield compile([y for graph in GRAPHS.values() for y in graph(ws, xs)], xs).source("c")


@pytest.mark.thorough
@pytest.mark.parametrize("number", range(9))
def test_no_compiler_warns_and_the_example_runs(tmp_path, number):
    """The C compiler and the C++ compiler accept each file without a warning, and the example in its comment runs."""
    text = texts()[number]
    example = text.partition("An example, which can be appended to this file:\n")[2].partition("*/")[0]
    assert "int main(void)" in example
    strict = ["-Wshadow", "-Wconversion", "-Wvla", "-Wstrict-prototypes"]
    program = run_compiler([*C, *strict, "-O1"], text + example, tmp_path, "-lm")
    assert subprocess.run([str(program)], capture_output=True, check=True).stdout
    if shutil.which("c++"):
        run_compiler([*CPP, "-fsyntax-only"], text + example, tmp_path)


@pytest.mark.parametrize("level", ["-O2", "-O3"])
def test_no_compiler_warns_of_a_sum_whose_length_it_knows(tmp_path, level):
    """The loop after the products that are added up four at a time is empty here, and gcc must see that it is."""
    ws, xs = numbered(40), numbered(40)
    run_compiler([*C, level, "-c"], compile(GRAPHS["backwards"](ws, xs), xs).source("c"), tmp_path)


def test_the_comment_says_what_is_where():
    """The comment names each input and parameter with its index, the state, and the functions; long lists are cut."""
    model, xs = MLP(3, [4, 1], seed=0), [Value(0.1, f"x{k}" if k else "") for k in range(3)]
    text = compile(model(xs), xs).source("c", model, optimizer=Adam(model.parameters(), lr=0.25), name="net")
    comment, _, body = text.partition("*/")
    for line in (
        "inputs: 3",
        "    [1] 'x1'",
        "parameters: 21",
        "    [0] to [11] 'layers.0.weight'",
        "    [12] to [15] 'layers.0.bias'",
        "    [20] 'layers.1.bias'",
        "    [0] steps taken",
        "    [1] to [21] exp_avg",
        "    [22] to [42] exp_avg_sq",
    ):
        assert line in comment.splitlines(), line
    sizes = {"INPUTS": 3, "OUTPUTS": 1, "PARAMETERS": 21, "STATE": 43}
    assert [f"#define NET_{name} {size}\n" in body for name, size in sizes.items()] == [True] * 4
    assert "Adam, whose learning rate was 0.25" in " ".join(comment.split())
    for call in ("forward(", "gradient(", "step("):
        assert comment.count(f"net_{call}") == 2, "the comment describes the function, and its example calls it"
    labels = [Value(0.1, f"x{k}") for k in range(85)]
    shown = compile(mc.sum(labels), labels).source("c").splitlines()
    assert [f"    [{k}] 'x{k}'" in shown for k in (0, 39, 40)] == [True, True, False]
    assert "    and 45 more lines" in shown


@pytest.mark.parametrize(
    ("precision", "x", "expected"),
    [
        ("double", 2.5, "2.5"),
        ("double", -2.5, "(-2.5)"),
        ("double", 1e300, "1e+300"),
        ("double", -math.inf, "(-HUGE_VAL)"),
        ("double", math.nan, "NAN"),
        ("float", math.inf, "HUGE_VALF"),
        ("float", 1e10, "1e+10f"),
        ("float", 1 / 3, "0.33333334f"),
        ("float", 8388609.0, "8388609.0f"),
        ("float", 1e-45, "1e-45f"),
    ],
)
def test_a_number_is_as_short_as_it_can_be(precision, x, expected):
    """A constant is written with the fewest digits that give it back in the file's precision."""
    assert f"outputs[0] = {expected};" in compile(constant(x), []).source("c", precision=precision)


def test_indices_of_tables_are_as_narrow_as_can_be():
    """A table of indices has the smallest integer type that holds them."""
    ws, xs = numbered(200), numbered(200)
    order = random.Random(0).sample(range(200), 200)
    text = compile([mc.tanh(ws[i] * x) for i, x in zip(order, xs, strict=True)], xs).source("c", {"w": ws})
    assert "static const unsigned short f_table0[200] = {" in text


@pytest.mark.parametrize("number", range(9))
def test_nothing_is_allocated_or_kept(number):
    """A C file allocates no memory, has no array on the stack and no variable that is not constant."""
    body = texts()[number].partition("*/")[2]
    assert re.findall(r"#include.*", body) == ["#include <math.h>"]
    for line in body.splitlines():
        assert not line.startswith("static") or "static const" in line or line.endswith(")"), line
        assert "static" not in line.strip() or line.startswith("static"), line
        assert len(line) <= 112, line
    assert not re.search(r"\b(malloc|alloca|free)\b", body)
    assert not re.search(r"^ +\w+ \w+\[", body, re.MULTILINE), "a function has an array on the stack"


def test_names_without_a_place_are_warned_of():
    ws, unused, k = [Value(2.0), Value(3.0), Value(4.0)], Value(5.0), Value(7.0, requires_grad=False)
    x = Value(1.0)
    program = compile(ws[0] * x + ws[2] * k, [x])
    names = {"unused": unused, "ws": ws, "k": k}
    with pytest.warns(
        UserWarning, match=r"no places for parameters\['unused'\], parameters\['ws'\]\[1\], .*\['k'\], bec"
    ):
        text = program.source("c", names)
    assert "parameters: 2\n    [0] to [1] 'ws'" in text
    program.source("c", {"ws": [ws[0], ws[2]]})
    compile(ws[0] * x, [x]).source("c", names, weights="embedded")


@pytest.mark.parametrize(
    ("options", "exception", "message"),
    [
        ({"name": "2d"}, ValueError, "name must be a letter, then"),
        ({"name": "größe"}, ValueError, "name must be a letter, then"),
        ({"precision": "half"}, ValueError, "precision must be 'double' or 'float', got 'half'"),
        ({"weights": "none"}, ValueError, "weights must be 'passed' or 'embedded', got 'none'"),
        ({"optimizer": 0.1}, TypeError, "optimizer must be one of micrograd_cn.optim, got float"),
        ({"parameters": 0.1}, TypeError, r'source\("c"\): parameters must be a module, or a dict'),
        ({"parameters": {}}, ValueError, r'source\("c"\): parameters\[0\] of the program, .* is not among those'),
    ],
)
def test_options_that_there_are_not(options, exception, message):
    """`source("c")` refuses wrong options, and says which ones there are."""
    x, w = Value(1.0), Value(2.0)
    with pytest.raises(exception, match=message):
        compile(w * x, [x]).source("c", **options)


def test_a_step_that_there_cannot_be():
    """`source("c")` refuses a training step of embedded or frozen weights, or without a loss of the parameters."""
    x, w, v = Value(1.0), Value(2.0), Value(3.0)
    program = compile(w * x, [x])
    with pytest.raises(ValueError, match='embedded weights are constants; write weights="passed"'):
        program.source("c", weights="embedded", optimizer=SGD([w]))
    with pytest.raises(ValueError, match=r"parameters\[1\] of the optimizer, .* is no parameter of the program"):
        program.source("c", optimizer=SGD([w, v]))
    for outputs in ([w * x, w], x * 2.0):
        with pytest.raises(ValueError, match="a training step needs one output, which depends on parameters"):
            compile(outputs, [x]).source("c", optimizer=SGD([w]))
    w.requires_grad = False
    with pytest.raises(ValueError, match="all parameters of the optimizer are frozen"):
        program.source("c", optimizer=SGD([w]))


@pytest.mark.parametrize(
    "options", [{"name": "g"}, {"precision": "float"}, {"weights": "embedded"}, {"optimizer": SGD([Value(1.0)])}]
)
@pytest.mark.parametrize("language", ["llvm", "python"])
def test_other_languages_have_no_such_options(language, options):
    """The options of C are refused for LLVM and Python, instead of being ignored."""
    x = Value(1.0)
    with pytest.raises(ValueError, match=f'{next(iter(options))} is an option of "c" alone'):
        compile(x * x, [x]).source(language, **options)


def test_a_compiled_function_has_the_same(tmp_path):
    """`source` of a compiled function takes the options of `source` of a program, and returns the same text."""
    w = Value(2.0)

    @compile
    def f(x, y):
        return w * x + y

    f(1.0, 2.0)
    options = {"name": "g", "precision": "float", "optimizer": Adam([w])}
    assert f.source("c", {"w": w}, **options) == f.program(1.0, 2.0).source("c", {"w": w}, **options)
    assert "float g_step(" in f.source("c", **options)
