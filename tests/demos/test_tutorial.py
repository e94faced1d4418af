"""The tutorial notebooks have the same cells in both languages, store what they show, and check answers.

`python tests/demos/test_tutorial.py` runs them and stores what they show. Do that when the code or the library has
changed. What a framework gave that is not installed here stays stored. By default the tests run the Chinese notebook
once, with answers. With `-m slow` they run each language as it is, each cell twice, and sections again from the first.
"""

import ast
import asyncio
import copy
import functools
import html
import importlib.util
import inspect
import math
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import nbformat
import pytest
from nbclient import NotebookClient

DEMOS = Path(__file__).parents[2] / "demos"
LANGUAGES = ("zh", "en")
LARGEST = 1_260_000  # bytes of a notebook: two pages of 190 kB, and pictures of what networks learn
LARGEST_OUTPUT = 195_000  # characters: a page
HANGING = 300  # seconds: no cell takes as long
FRAMEWORKS = {"by_keras": "tensorflow", "by_pytorch": "torch"}  # the columns of the example that need a framework
CHINESE = re.compile(r"[\u4e00-\u9fff]")

# For each exercise a wrong answer, and right answers in another form than the ones that the notebooks unfold.
WRONG = {
    "1.1": "answer = 2",
    "1.2": "def slope_of_cube(x):\n    return 3 * x",
    "2.1": "answer = 8",
    "2.2": "def partials_of_division(a, b):\n    return 1 / b, a / b**2",
    "3.1": "def expression(a, b):\n    return a * b",
    "3.2": "def expression(a, b):\n    return a * b + b",
    "3.3": "def expression(a, b):\n    return a + a + b",
    "3.4": "answer = 3",
    "3.5": "def my_relu(a):\n    return Mine(max(0.0, a.data), (a,), (1.0,))",
    "3.6": "def my_division(a, b):\n    return Mine(a.data / b.data, (a, b), (1 / b.data, a.data / b.data**2))",
    "4.1": "count, gradient = 2, 13",
    "4.2": "answer = 26",
    "4.3": "answer = 6561",
    "5.1": "answer = -0.5",
    "5.2": "w1, w2, b = 1, 1, -0.5",
    "5.3": "answer = 12",
    "6.1": "answer = 41",
    "6.2": "v1, v2 = 1, -1",
    "7.1": "answer = 4 / 3",
    "7.2": "def my_cross_entropy(logits, target):\n    return -logits[target]",
    "7.3": "def stable_cross_entropy(z, target):\n    return -(z[target].exp() / sum(x.exp() for x in z)).log()",
    "8.1": "answer = 0.5",
    "8.2": "def hand_back(weight, g):\n    return [sum(row) for row in zip(*weight)]",
    "8.3": "forward_walks, reverse_walks = 1000, 3",
    "9.1": "def delta_of_entropy(p, t):\n    return [(a - b) * a * (1 - a) for a, b in zip(p, t)]",
    "9.2": "def delta_of_relu(carried, z1):\n    return carried",
    "9.3": "shape = (10, 20)",
    "10.1": "answer = 5.4",
    "10.2": "answer = 1",
    "10.3": "answer = 1",
    "10.4": "answer = 200",
    "10.5": "answer = 1.0",
    "11.1": "def combine(slopes, sizes):\n    return fmean(slopes)",
    "11.2": "v0, v1, c = 1, 1, 1",
    "11.3": "def train_xor(parameters):\n    for p in parameters:\n        p.data = 0.0",
    "12.1": "def best_epoch(losses, patience):\n    return losses.index(min(losses))",
    "12.2": "answer = 0.5",
    "13.1": "answer = 20",
    "13.2": "answer = 0.04",
    "13.3": "answer = 4",
    "14.1": "answer = 0",
    "14.2": "w0, b = 2, -1",
    "15.1": "def partial(y, x):\n    return -2 * x * y",
    "15.2": "answer = 0",
    "16.1": "def four_and_one(a, b):\n    return a * a + a + b",
    "16.2": "answer = 13",
    "17.1": "answer = 3",
    "17.2": "def both_branches(x):\n    return x * x",
    "18.1": "answer = [0, 0, 1]",
    "18.2": "answer = 1 / 27",
}
ALSO_WRONG = {
    "3.1": ["def expression(a, b):\n    return 5"],
    "2.2": ["def partials_of_division(a, b):\n    return -a / b**2, 1 / b"],
    "3.2": ["def expression(a, b):\n    return a * b * (a * b) + a * b"],
    "3.5": ["def my_relu(a):\n    return a"],
    "7.1": ["answer = -4", "answer = -2 / 3"],
    "11.3": [
        "def train_xor(parameters):\n    for _ in range(400):\n"
        "        sum(((xor_output(parameters, *x) - t) ** 2 for x, t in zip(*XOR)), Mine(0.0)).backward()\n"
        "        for p in parameters:\n            p.data = p.data - 0.1 * p.grad"
    ],
    "14.2": ["w0, b = -1, 1"],
    "7.2": ["def my_cross_entropy(logits, target):\n    return -math.log(math.exp(logits[target]))"],
    "7.3": [
        "def stable_cross_entropy(z, target):\n    m = max(x.data for x in z)\n"
        "    return -((z[target] - m).exp() / sum((x - m).exp() for x in z)).log()"
    ],
    "9.1": ["def delta_of_entropy(p, t):\n    return p - t"],
    "16.1": ["def four_and_one(a, b):\n    return 4"],
    "17.2": [
        "def both_branches(x):\n    return x * x if x > 0 else -x",
        "def both_branches(x):\n    return where(x > 0, x * x, -x)",
        "def both_branches(x):\n    return where(less(0, x), -x, x * x)",
        "def both_branches(x):\n    return where(less(0, x), x * x, x)",
    ],
}
ALSO_RIGHT: dict[str, str | list[str]] = {
    "1.1": ["import numpy\nanswer = numpy.array(4)", "from decimal import Decimal\nanswer = Decimal(4)"],
    "1.2": "import numpy\ndef slope_of_cube(x):\n    return numpy.array([3 * x * x])",
    "2.2": "def partials_of_division(a, b):\n    return [1 / b, -a * b**-2]",
    "3.1": "def expression(a, b):\n    return a + a",
    "3.5": [
        "def my_relu(a):\n    return a if a.data > 0 else Mine(0.0)",
        "def my_relu(a):\n    return a * (a.data > 0)",
    ],
    "3.6": "def my_division(a, b):\n    return Mine(a.data / b.data, (a, b), (1 / b.data, -a.data / b.data**2))",
    "4.1": "import numpy\ncount, gradient = numpy.array([3, 13])",
    "5.1": "answer = 0.0",
    "4.3": "answer = 4 * sum(3**k for k in range(8))",
    "5.2": "import numpy\nw1, w2, b = numpy.array([2, 2, -3])",
    "5.3": "answer = -4 * 3.0",
    "7.1": "from fractions import Fraction\nanswer = Fraction(-4, 3)",
    "7.2": "def my_cross_entropy(z, k):\n    return sum(x.exp() for x in z).log() - z[k]",
    "7.3": "from micrograd_cn import logsumexp\ndef stable_cross_entropy(z, k):\n    return logsumexp(z) - z[k]",
    "8.2": [
        "import numpy\ndef hand_back(weight, g):\n    return numpy.array(weight).T @ g",
        "def hand_back(weight, g):\n    return (sum(map(float.__mul__, column, g)) for column in zip(*weight))",
    ],
    "8.3": "import numpy\nforward_walks, reverse_walks = numpy.int32(3), 1000.0",
    "9.1": [
        "import numpy\ndef delta_of_entropy(p, t):\n    return numpy.subtract(p, t)",
        "def delta_of_entropy(p, t):\n    return [p[0] - t[0], p[1] - t[1]]",
    ],
    "9.2": "import numpy\ndef delta_of_relu(carried, z1):\n    return numpy.where(numpy.array(z1) > 0, carried, 0)",
    "9.3": "import numpy\nshape = (numpy.zeros((64, 20)).T @ numpy.zeros((64, 10))).shape",
    "10.2": "import numpy\nanswer = numpy.float32(0.5)",
    "11.1": [
        "import numpy\ndef combine(slopes, sizes):\n    return numpy.average(slopes, weights=sizes)",
        "def combine(slopes, sizes):\n    a, b, c = slopes\n    k, m, n = sizes\n"
        "    return (a * k + b * m + c * n) / (k + m + n)",
    ],
    "11.3": "def train_xor(parameters):\n    for _ in range(800):\n"
    "        for p in parameters:\n            p.grad = 0.0\n"
    "        for x, t in zip(*XOR):\n            ((xor_output(parameters, *x) + -t) ** 2).backward()\n"
    "        for p in parameters:\n            p.data -= 0.1 * p.grad",
    "12.2": "answer = 0.6931",
    "14.1": "answer = {1, 0}",
    "11.2": "import numpy\nv0, v1, c = numpy.array([-2.0, -2.0, 1.0])",
    "14.2": "import numpy\nw0, b = numpy.array([-3.0, 1.0])",
    "15.1": "def partial(y, x):\n    return -2 * x / (1 + x * x) ** 2",
    "16.1": "def four_and_one(a, b):\n    return a * a * a * a * b",
    "17.2": "def both_branches(x):\n    return where(less(x, 0), -x, x * x)",
    "18.1": "import numpy\nanswer = numpy.array([1, 1, 2]) / 4",
    "18.2": "answer = 3.296",
}

# For exercises whose answers are not single numbers: an answer for each remark of the notebook, in their order.
SLIPPED = {
    "1.2": [
        "def slope_of_cube(x):\n    return 3 * x",
        "def slope_of_cube(x):\n    return x**2",
        "def slope_of_cube(x):\n    return x**3",
        "def slope_of_cube(x):\n    return 3 * x**3",
    ],
    "5.2": [
        "w1, w2, b = 1, 1, -0.5",
        "w1, w2, b = 1, 1, -3",
        "w1, w2, b = 1, 1, 1",
        "w1, w2, b = 1, 0, -0.5",
        "w1, w2, b = 0, 1, -0.5",
    ],
    "5.3": [
        "answer = 12",
    ],
    "7.2": [
        "def my_cross_entropy(logits, target):\n    return -logits[target]",
        "def my_cross_entropy(logits, target):\n    return logits[target].exp() / sum(z.exp() for z in logits)",
        "def my_cross_entropy(logits, target):\n    return (logits[target].exp() / sum(z.exp() for z in logits)).log()",
        "def my_cross_entropy(logits, target):\n    return sum(z.exp() for z in logits).log()",
    ],
    "7.3": [
        "def stable_cross_entropy(logits, target):\n    m = max(z.data for z in logits)\n"
        "    return -((logits[target] - m).exp() / sum((z - m).exp() for z in logits)).log()",
        "def stable_cross_entropy(logits, target):\n    m = max(z.data for z in logits)\n"
        "    return sum((z - m).exp() for z in logits).log() - logits[target]",
        "def stable_cross_entropy(logits, target):\n    m = max(z.data for z in logits)\n"
        "    return logits[target] - m - sum((z - m).exp() for z in logits).log()",
    ],
    "8.2": [
        "def hand_back(weight, g):\n    return [sum(w * gi for w, gi in zip(row, g)) for row in weight]",
        "def hand_back(weight, g):\n    return [sum(column) for column in zip(*weight)]",
    ],
    "9.1": [
        "def delta_of_entropy(p, t):\n    return [(a - b) * a * (1 - a) for a, b in zip(p, t)]",
        "def delta_of_entropy(p, t):\n    return [b - a for a, b in zip(p, t)]",
        "def delta_of_entropy(p, t):\n    return [(a - b) / (a * (1 - a)) for a, b in zip(p, t)]",
    ],
    "9.2": [
        "def delta_of_relu(carried, z1):\n    return carried",
        "def delta_of_relu(carried, z1):\n    return [c * max(0, z) for c, z in zip(carried, z1)]",
        "def delta_of_relu(carried, z1):\n    return [max(0, c) for c in carried]",
        "def delta_of_relu(carried, z1):\n    return [float(z > 0) for z in z1]",
    ],
    "11.1": [
        "def combine(slopes, sizes):\n    return fmean(slopes)",
        "def combine(slopes, sizes):\n    return sum(g * n for g, n in zip(slopes, sizes))",
    ],
    "11.2": [
        "v0, v1, c = 1, 1, 1",
        "v0, v1, c = -1, -1, -3",
        "v0, v1, c = 1, 1, -1",
        "v0, v1, c = -1, -1, 0",
    ],
    "11.3": [
        "def train_xor(parameters):\n    for p in parameters:\n        p = p - 0.1 * p.grad",
    ],
    "12.1": [
        "def best_epoch(losses, patience):\n    return losses.index(min(losses))",
        "def best_epoch(losses, patience):\n    best = 0\n    for k, loss in enumerate(losses):\n"
        "        if loss < losses[best]:\n            best = k\n        elif k - best >= patience - 1:\n"
        "            break\n    return best",
        "def best_epoch(losses, patience):\n    best = 0\n    for k, loss in enumerate(losses):\n"
        "        if loss < losses[best]:\n            best = k\n        elif k - best == patience:\n"
        "            break\n    return k",
        "def best_epoch(losses, patience):\n    best = 0\n    for k, loss in enumerate(losses):\n"
        "        if loss < losses[best]:\n            best = k\n        elif k - best == patience:\n"
        "            break\n    return losses[best]",
        "def best_epoch(losses, patience):\n    best = 0\n    for k, loss in enumerate(losses):\n"
        "        if loss < losses[best]:\n            best = k\n        elif k - best == patience:\n"
        "            break\n    return best + 1",
    ],
    "14.2": [
        "w0, b = 2, -1",
        "w0, b = -1, 1",
        "w0, b = 1, 1",
        "w0, b = -2, 0",
    ],
    "15.1": [
        "def partial(y, x):\n    return -2 * x * y",
        "def partial(y, x):\n    return 2 * x * y * y",
        "def partial(y, x):\n    return -y * y",
    ],
    "16.1": [
        "def four_and_one(a, b):\n    return a * a + a + b",
        "def four_and_one(a, b):\n    return a + a + a + a + a + b",
        "def four_and_one(a, b):\n    return 4 * a + b",
        "def four_and_one(a, b):\n    return a * a * a * a",
    ],
    "17.2": [
        "def both_branches(x):\n    return x * x",
        "def both_branches(x):\n    return where(less(0, x), -x, x * x)",
        "def both_branches(x):\n    return where(less(0, x), x * x, x)",
    ],
}
# The cells that checks of these exercises need: first those that define names, then those that have to run.
NEEDED = {
    "1.2": ("cell-014 cell-019", ""),
    "7.2": ("cell-014 cell-019", "cell-117 cell-119"),
    "7.3": ("cell-117", ""),
    "8.2": ("cell-101", "cell-103 cell-117 cell-137"),
    "9.1": ("cell-117", ""),
    "9.2": ("", "cell-145 cell-147"),
    "11.2": ("", "one-neuron-code"),
    "11.3": ("xor-of-mine-code", "one-neuron-code"),
    "14.2": ("cell-246", ""),
    "15.1": ("cell-014 cell-019", ""),
    "16.1": ("cell-073", ""),
    "17.2": ("cell-280 cell-290", ""),
}
TRAINS = {"11.1"}  # its check needs a network that takes seconds to train


FEW_DIGITS = {"7.1": ["-1.33", "-1.3"], "12.2": ["0.69"], "18.2": ["3.3", "3.29"]}
UNTRAINED = {"11.3"}  # a training that does nothing leaves a network that answers, wrongly
WITHOUT_REMARKS = {"3.1", "3.2", "3.3"}  # there a wrong answer only fails to show the mistake: the hint says how
NOTHING = "Nothing arrived. Is a return missing, or did you print the result?"
TEXT = "This is text and not a number. Leave out the quotation marks."
CLOSE = "Close. Write four digits, please."


def tag(cell: Any, kind: str) -> str:
    """Return the number of the exercise whose "answer" or "check" the cell is, or "" if it is none."""
    found = [t.removeprefix(f"{kind}-") for t in cell.metadata.get("tags", []) if t.startswith(f"{kind}-")]
    return found[0] if found else ""


def execute(notebook: Any, directory: Path) -> Any:
    """Return the notebook as it is after a run from top to bottom in `directory`."""
    ran = copy.deepcopy(notebook)
    resources = {"metadata": {"path": directory}}
    client = NotebookClient(ran, timeout=HANGING, resources=resources, record_timing=False, coalesce_streams=True)
    asyncio.run(client.async_execute())  # it closes its event loop, which execute() leaves open
    ran.metadata = notebook.metadata
    return ran


def tools(lang: str = "en") -> dict[str, Any]:
    """Return the names that the notebook's own tools define, its words and hints, and the reader's class."""
    names: dict[str, Any] = {}
    for cell in CODE[lang]:
        if cell.source.startswith(("lang =", "import io")) or "forty-lines" in cell.metadata.get("tags", []):
            exec(cell.source, names)
    return names


@pytest.mark.parametrize(
    "given", ["[1, 2]", "(1.0, 2.0)", "[True, 2]", "range(1, 3)", "{1, 2}", "[one, 2]", "array", "[number, 2]"]
)
def test_any_right_form_of_an_answer_passes(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = tools()
    names["HINTS"] = {"0.1": "hint"}
    names["one"] = names["Value"](1.0)
    if given in ("array", "[number, 2]"):
        numpy = pytest.importorskip("numpy")
        names |= {"array": numpy.array([1, 2]), "number": numpy.float32(1)}
    for expected in ([1.0, 2.0], [1.0, 3.0], [1.0]):
        names["check"]("0.1", eval(given, names), expected)
    names["check"]("0.1", [..., 1], [1.0, 2.0])
    assert capsys.readouterr().out.split("\n")[:4] == ["✓", "✗ hint", "✗ hint", "?"]


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (None, 2.0, NOTHING),
        (lambda: [None, 1.0], [1.0, 1.0], NOTHING),
        (lambda: None + 1, 2.0, NOTHING),
        ("-2", -2.0, TEXT),
        (lambda: "-2" + 1, -2.0, TEXT),  # type: ignore[operator]
        (lambda: "-2" * 0.5, -2.0, TEXT),  # type: ignore[operator]
        (-1.33, -4 / 3, CLOSE),
        (-1.3, -4 / 3, CLOSE),
        (3.29, math.log(27), CLOSE),
        ([0.7, 3.0], [math.log(2), 3.0], CLOSE),
        (52, 51.0, "hint"),
        (0.0, 0.04, "hint"),
        (-1.34, -4 / 3, "hint"),
        (7.0, 8.0, "slip"),
        ([1, 2], [2.0, 1.0], "hint"),
    ],
)
def test_a_wrong_answer_gets_the_remark_that_fits_it(
    answer: Any, expected: Any, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tools()
    names["HINTS"] = {"0.1": "hint"}
    names["SLIPS"] = {"0.1": [([7], "slip")]}
    names["check"]("0.1", answer, expected)
    assert capsys.readouterr().out.splitlines()[0] == f"✗ {words}"


def test_a_stale_answer_is_told_from_a_wrong_one(capsys: pytest.CaptureFixture[str]) -> None:
    names = tools()
    names["HINTS"] = {"0.1": "first", "0.2": "second"}
    for exercise, answer in [("0.1", 5), ("0.2", 5), ("0.2", 6), ("0.2", 6)]:
        names["check"](exercise, answer, 7.0)
    stale = "This still answers exercise 0.1. Run the cell of this exercise."
    assert capsys.readouterr().out.splitlines() == ["✗ first", f"✗ {stale}", "✗ second", "✗ second"]


@pytest.mark.parametrize(
    ("written", "asked", "rewritten"),
    [
        ("answer = 5", "lambda: [answer + 1]", "answer = 4"),
        ("def term(a):\n    return a", "lambda given=term: given(5)", "def term(a):\n    return a + 1"),
    ],
)
def test_a_stale_answer_is_told_where_a_check_computes_with_it(
    written: str, asked: str, rewritten: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tools()
    names["HINTS"] = {"0.1": "first", "0.2": "second", "0.3": "third"}
    exec(f"{written}\ncheck('0.1', {asked}, 7)\ncheck('0.2', {asked}, 8)\n", names)
    exec(f"{rewritten}\ncheck('0.2', {asked}, 8)\ncheck('0.3', lambda: 5, 9)\ncheck('0.2', int.bit_count, 8)", names)
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("✗")]
    stale = "This still answers exercise 0.1. Run the cell of this exercise."
    assert told == ["✗ first", f"✗ {stale}", "✗ second", "✗ third", "✗ second"]


def test_slips_are_wrong_answers_to_exercises_and_alike_in_both_languages() -> None:
    english, chinese = (tools(lang)["SLIPS"] for lang in ("en", "zh"))
    assert {n: [given for given, _ in slips] for n, slips in english.items()} == {
        n: [given for given, _ in slips] for n, slips in chinese.items()
    }
    assert WRONG.keys() - english.keys() == WITHOUT_REMARKS
    assert sum(map(len, english.values())) >= 90
    for words in (words for slips in chinese.values() for _, words in slips):
        assert CHINESE.search(words)
        assert words.endswith("。")
    assert all(words.endswith(".") for slips in english.values() for _, words in slips)


def definitions(source: str) -> str:
    """Return the imports, the functions and the constants of a cell, without what it computes."""
    kept = [
        node
        for node in ast.parse(source).body
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef))
        or (isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant))
    ]
    return "\n".join(map(ast.unparse, kept))


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("number", [number for number in SLIPPED if number not in TRAINS])
def test_a_common_mistake_gets_its_remark_and_a_right_answer_none(
    lang: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tools(lang)
    names["display"] = lambda *shown: None
    cells = {cell.id: cell.source for cell in CODE[lang]}
    defining, running = NEEDED.get(number, ("", ""))
    for source in (*(definitions(cells[name]) for name in defining.split()), *map(cells.get, running.split())):
        exec(source or "", names)
    [check] = [cell.source for cell in CODE[lang] if tag(cell, "check") == number]

    def told(answer: str) -> str:
        capsys.readouterr()
        exec(answer, names)
        exec(check, names)
        return capsys.readouterr().out.splitlines()[0]

    slips = [f"✗ {words}" for _, words in names["SLIPS"][number]]
    assert [told(answer) for answer in SLIPPED[number]] == slips
    assert told(unfolds(NOTEBOOKS[lang])[number]) == "✓"
    for odd in odds(NOTEBOOKS[lang], number):
        nothing = names["say"](TEXT if '"' in odd else NOTHING)
        assert told(odd) == (slips[0] if number in UNTRAINED else f"✗ {nothing}")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_answer_that_fails_is_wrong_and_its_error_is_a_short_line(
    lang: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tools(lang)
    names["HINTS"] = {"0.1": "hint"}
    names["check"]("0.1", lambda: (5).grad, 1.0)
    for length in (500, 5_000):
        names["check"]("0.1", lambda length=length: int("\n" * length), 1.0)
    said = {"en": "(running the answer raised {})", "zh": "（运行这个答案时出错：{}）"}[lang]
    first, error, second, shortened, third, again = capsys.readouterr().out.splitlines()
    assert first == second == third == "✗ hint"
    assert error == said.format("AttributeError: 'int' object has no attribute 'grad'")
    assert shortened == again


def test_plain_numbers_stand_on_either_side_of_the_readers_own_value() -> None:
    a = tools()["Mine"](3.0)
    y = 2 * a * a + 1 + a * 4 + (1 + a)
    y.backward()
    assert (y.data, a.grad) == (35.0, 17.0)


def odds(notebook: Any, number: str) -> list[str]:
    """Return odd answers to an exercise: nothing, a text instead of a number, and too few digits."""
    [gap] = [cell.source for cell in notebook.cells if tag(cell, "answer") == number]
    if gap.startswith("def "):
        return [re.sub(r"return .*", "pass", gap)]
    found = [gap.replace("...", "None")]
    if gap == "answer = ...":
        found.append('answer = "2"')
    return found + [f"answer = {digits}" for digits in FEW_DIGITS.get(number, [])]


def wrongs(number: str) -> list[str]:
    """Return wrong answers to an exercise, among them some that raise an error."""
    return [WRONG[number], *ALSO_WRONG.get(number, []), *SLIPPED.get(number, [])]


def rights(notebook: Any, number: str) -> list[str]:
    """Return right answers to an exercise: the one that is unfolded, others in other forms, and the first one again."""
    unfolded, others = unfolds(notebook)[number], ALSO_RIGHT.get(number, [])
    others = [others] if isinstance(others, str) else others
    return [unfolded, *others, *([unfolded] if others else [])]


def unfolds(notebook: Any) -> dict[str, str]:
    """Return the code of the answers that are unfolded below the exercises, by the exercise."""
    found = {}
    for cell in notebook.cells:
        if number := tag(cell, "solution"):
            [found[number]] = re.findall(r"^```python\n(.*?)\n```$", cell.source, re.DOTALL | re.MULTILINE)
    return found


def answered(notebook: Any) -> Any:
    """Return the notebook with the answers of `odds`, `wrongs` and `rights`, and a check after each answer.

    At the end, all exercises have right answers and are checked once more, as by a reader who first runs everything.
    """
    filled = copy.deepcopy(notebook)
    filled.cells, again = [], []
    for cell in notebook.cells:
        number = tag(cell, "check")
        if number:
            for answer in (*odds(notebook, number), *wrongs(number), *rights(notebook, number)):
                filled.cells += [nbformat.v4.new_code_cell(answer), copy.deepcopy(cell)]
            again += copy.deepcopy(filled.cells[-2:])
        elif not tag(cell, "answer"):
            filled.cells.append(copy.deepcopy(cell))
    filled.cells += again
    for i, cell in enumerate(filled.cells):
        cell.id = f"cell-{i}"
    return filled


def twice(notebook: Any) -> Any:
    """Return the notebook with each cell twice, for a reader who runs cells again."""
    doubled = copy.deepcopy(notebook)
    doubled.cells = [copy.deepcopy(cell) for cell in notebook.cells for _ in range(1 + (cell.cell_type == "code"))]
    for i, cell in enumerate(doubled.cells):
        cell.id = f"cell-{i}"
    return doubled


def main_line(notebook: Any) -> Any:
    """Return the notebook without what may be skipped."""
    short = copy.deepcopy(notebook)
    short.cells = [cell for cell in short.cells if "deeper" not in cell.metadata.get("tags", [])]
    return short


def gone_back(notebook: Any) -> Any:
    """Return the notebook with its sections again at its end, the last one first, for a reader who goes back."""
    sections: list[list[Any]] = [[]]
    for cell in notebook.cells:
        sections += [[]] if cell.source.startswith('<a id="') else []
        sections[-1].append(cell)
    again = copy.deepcopy(notebook)
    again.cells += [copy.deepcopy(cell) for section in reversed(sections[1:]) for cell in section]
    for i, cell in enumerate(again.cells):
        cell.id = f"cell-{i}"
    return again


def texts(cell: Any) -> dict[str, str]:
    """Return what a cell printed and the plain text of its value, and the error if there is one."""
    shown: dict[str, str] = {}
    for output in cell.get("outputs", []):
        name = output.get("name", output.output_type)
        data = output.get("data", {})
        found = output.get("text") or output.get("evalue") or data.get("text/latex") or data.get("text/plain", "")
        shown[name] = shown.get(name, "") + found
    return {name: text for name, text in shown.items() if text}


def kinds(cell: Any) -> list[list[str]]:
    """Return the media types of what a cell displays."""
    return [sorted(output.data) for output in cell.outputs if "data" in output]


NOTEBOOKS = {lang: nbformat.read(DEMOS / f"tutorial.{lang}.ipynb", as_version=4) for lang in LANGUAGES}
PAIRS = list(zip(NOTEBOOKS["zh"].cells, NOTEBOOKS["en"].cells, strict=True))
CODE = {lang: [cell for cell in notebook.cells if cell.cell_type == "code"] for lang, notebook in NOTEBOOKS.items()}


def columns(cell: Any) -> dict[str, str]:
    """Return what each of the example's four columns printed; "–" if its framework was not installed."""
    return dict(line.split(maxsplit=1) for line in texts(cell)["stdout"].splitlines())


def example(lang: str) -> Any:
    """Return the cell that runs the example's four columns; the other one runs a batch."""
    _, found = (cell for cell in CODE[lang] if "columns" in cell.metadata.get("tags", []))
    return found


def installed(cell: Any, stored: Any) -> Any:
    """Return the cell with what `stored` has of the columns whose framework is not installed."""
    if "columns" in cell.metadata.get("tags", []):
        known = columns(stored)
        for output in cell.outputs:
            lines = output.text.splitlines()
            output.text = "\n".join(f"{x.split()[0]:16} {known[x.split()[0]]}" if "–" in x else x for x in lines) + "\n"
    return cell


def up_to_date(stored: Any, fresh: Any) -> None:
    fresh = installed(copy.deepcopy(fresh), stored)
    assert texts(stored) == texts(fresh), stored.source
    assert kinds(stored) == kinds(fresh), stored.source
    assert "stderr" not in texts(fresh)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Give a function that runs a notebook once, by its language, or changed by one of the functions above."""
    here = tmp_path_factory.mktemp("tutorial")
    notebooks = NOTEBOOKS | {"answered": answered(NOTEBOOKS["zh"])}
    notebooks |= {"twice": twice(NOTEBOOKS["en"]), "gone back": gone_back(NOTEBOOKS["zh"])}
    notebooks["main line"] = main_line(NOTEBOOKS["zh"])
    return functools.cache(lambda name: execute(notebooks[name], here))


def test_both_have_the_same_kinds_of_cells_and_the_same_code_but_for_the_language() -> None:
    assert [(zh.cell_type, zh.id, zh.metadata) for zh, _ in PAIRS] == [
        (en.cell_type, en.id, en.metadata) for _, en in PAIRS
    ]
    (chinese, *zh), (english, *en) = ([cell.source for cell in CODE[lang]] for lang in LANGUAGES)
    assert chinese.startswith('lang = "zh"\n')
    assert english.startswith('lang = "en"\n')
    assert zh == en
    assert unfolds(NOTEBOOKS["zh"]) == unfolds(NOTEBOOKS["en"])


def said(cell: Any) -> set[str]:
    """Return the words that the code prints or draws in the reader's language."""
    return set(re.findall(r"""(?:say|drawn)\(["']([^"']*)["']""", cell.source))


def test_every_word_that_is_printed_or_drawn_is_in_chinese_too() -> None:
    assert tools("en")["WORDS"] == {}
    words = tools("zh")["WORDS"]
    assert set().union(*map(said, CODE["zh"])) <= words.keys()
    assert all(CHINESE.search(chinese) or chinese == "logit" for chinese in words.values())
    for cell in CODE["zh"]:
        for line in texts(cell).get("stdout", "").splitlines():
            for english in said(cell):
                assert not re.search(rf"\b{re.escape(english)}\b", line) or words[english] in english, line
    pictures = [output.data for cell in CODE["zh"] for output in cell.outputs if "data" in output]
    plots = [svg for data in pictures if (svg := data.get("image/svg+xml")) and 'class="gradient-flow"' not in svg]
    assert sum(bool(CHINESE.search(plot)) for plot in plots) >= 5


def test_a_printed_line_that_has_chinese_words_has_chinese_punctuation() -> None:
    lines = [line for cell in CODE["zh"] for line in texts(cell).get("stdout", "").splitlines() if CHINESE.search(line)]
    assert len(lines) > 100
    assert not [line for line in lines if re.search(r": |[\u4e00-\u9fff] ?[,:;]", line)]


@pytest.mark.parametrize("installed", [True, False])
def test_without_a_font_that_has_them_pictures_have_no_chinese_words(
    installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.font_manager import FontEntry, fontManager

    monkeypatch.setattr(fontManager, "ttflist", [FontEntry(name="Noto Sans CJK SC")] if installed else [])
    with matplotlib.rc_context():
        names = tools("zh")
    assert (names["say"]("error"), names["say"]("error", 6)) == ("误差", "误差  ")
    assert names["drawn"]("error") == ("误差" if installed else "error")


def test_hints_are_sentences_in_each_language() -> None:
    for lang, end in (("zh", "[。？]"), ("en", "[.?]")):
        hints = tools(lang)["HINTS"]
        assert list(hints) == list(WRONG)
        assert all(
            re.search(rf"{end}$", hint) and bool(CHINESE.search(hint)) == (lang == "zh") for hint in hints.values()
        )


def test_code_is_in_neither_language() -> None:
    for cell in CODE["en"]:
        assert not CHINESE.search(cell.source)
    for cell in CODE["en"][1:]:
        assert "#" not in re.sub(r'"[^"]*"', "", cell.source)  # a comment


def test_texts_are_each_in_their_language_and_in_step() -> None:
    for zh, en in PAIRS:
        if zh.cell_type == "markdown":
            for block in re.sub(r"^```.*?^```$", "</", zh.source, flags=re.DOTALL | re.MULTILINE).split("\n\n"):
                assert CHINESE.search(block) or block.startswith(("$$", "<a id=", "> `", "</")), block
            has_chinese = {"glossary", "sources"} & {*en.metadata.get("tags", [])}  # the second names a Chinese title
            assert has_chinese or not CHINESE.search(en.source), en.source
            for pattern in (r"^#+ (\d*)", r"^\*\*(?:练习|Exercise) ([\d.]*\d)", r"(\$\$)", r"^(>) "):
                assert re.findall(pattern, zh.source, re.MULTILINE) == re.findall(pattern, en.source, re.MULTILINE)


def test_no_formula_is_broken_across_lines() -> None:
    """A line that begins with the minus of a formula would begin a list."""
    for cell in (cell for pair in PAIRS for cell in pair if cell.cell_type == "markdown"):
        assert not [line for line in cell.source.splitlines() if line.count("$") % 2], cell.source


def prose(lang: str) -> str:
    return "\n\n".join(cell.source for cell in NOTEBOOKS[lang].cells if cell.cell_type == "markdown")


def sections(lang: str) -> dict[str, str]:
    """Return the text of each section by its anchor, in order, those without a number included."""
    _, *parts = re.split(r'^<a id="(\w+)"></a>$', prose(lang), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_section_starts_from_a_question_and_ends_with_exercises(lang: str) -> None:
    numbered = [text.strip() for text in sections(lang).values() if re.match(r"\s*## \d", text)]
    said, name = {"en": ("eighteen", "README.md"), "zh": ("十八", "README.zh-CN.md")}[lang]
    assert all(said in (folder / name).read_text("utf-8") for folder in (DEMOS, DEMOS.parent))
    assert len(numbered) == 18  # as both READMEs say
    for number, section in enumerate(numbered, 1):
        heading, question = section.split("\n\n")[:2]
        assert re.match(rf"## {number}\b", heading)
        assert re.fullmatch(r"> .*[?？]", question)
        exercises = re.findall(r"^\*\*\w+ ([\d.]*\d)", section, re.MULTILINE)
        assert len(exercises) >= 2
        assert exercises == [f"{number}.{i}" for i in range(1, len(exercises) + 1)]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_main_line_takes_as_long_as_the_first_page_says_and_boxes_say_that_they_may_be_skipped(lang: str) -> None:
    """The minutes of the table add up, and what may be skipped begins with a text that says so."""
    first, *_ = NOTEBOOKS[lang].cells
    mark = {"zh": "选读", "en": "Going deeper"}[lang]
    [said] = re.findall({"zh": r"主线大约 (\d+) 分钟", "en": r"about (\d+) minutes"}[lang], first.source)
    minutes = dict(re.findall(r"\]\(#(\w+)\) \| (\d+) ", first.source))
    assert sum(map(int, minutes.values())) == int(said) == 90
    optional: dict[str, set[bool]] = {}
    for cell in NOTEBOOKS[lang].cells:
        if anchor := re.match(r'<a id="(\w+)"', cell.source):
            optional[anchor[1]] = set()
        if optional:
            optional[next(reversed(optional))].add("deeper" in cell.metadata.get("tags", []))
    numbered = re.findall(r"\| \d+ \| \[[^|]*\]\(#(\w+)\)", first.source)
    assert {n for n in numbered if optional[n] == {True}} == set(numbered) - minutes.keys()
    skipped = False
    for cell in NOTEBOOKS[lang].cells:
        deeper = "deeper" in cell.metadata.get("tags", [])
        if deeper and not skipped:
            assert cell.cell_type == "markdown"
            assert re.search(rf"^\*\*(练习|Exercise|{mark})", cell.source, re.MULTILINE), cell.source
            assert mark in cell.source
        skipped = deeper


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_section_is_in_the_table_and_every_link_leads_somewhere(lang: str) -> None:
    text, found = prose(lang), sections(lang)
    assert len(re.findall(r'<a id="', text)) == len(found)
    contents, _, _ = text.partition('<a id="')
    assert set(re.findall(r"\]\(#(\w+)\)", contents)) == found.keys()
    numbers = {name: re.findall(r"^## (\d+)", section, re.MULTILINE) for name, section in found.items()}
    for number, name in re.findall(r"\| (\d*) \| \[[^|]*\]\(#(\w+)\)", contents):
        assert [number] == (numbers[name] or [""])
    for number, name in re.findall(r"\[(?:第 |section )?(\d+)(?: 节)?\]\(#(\w+)\)", text):
        assert [number] == numbers[name]
    for target in re.findall(r"\]\(([^#)][^)]*)\)", text):
        assert (DEMOS / target.partition("#")[0]).is_file(), target
        assert f".{lang}." in target


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_articles_concepts_and_formulas_are_each_mapped_to_a_section(lang: str) -> None:
    rows = [line.strip("| ").split(" | ") for line in sections(lang)["map"].splitlines() if line.startswith("|")][2:]
    assert all(len(row) == 3 and "](#" in row[2] for row in rows)
    named = " ".join(concept for concept, *_ in rows)
    concepts = {
        "zh": "神经网络|层|隐藏层|神经元|激活函数|权重|偏置|初始值|损失函数|均方误差|交叉熵|前向传播|后向传播|转置|"
        "梯度下降|学习率|一百个样本",
        "en": "network|layer|hidden|neuron|activation|weight|bias|initial|loss function|mean squared error|"
        "cross entropy|forward|backward|transpose|gradient descent|learning rate|hundred samples",
    }
    for concept in concepts[lang].split("|"):
        assert concept in named, concept
    weight, given = {"zh": ("权重", "输入"), "en": ("weight", "input")}[lang]
    product, derivative = rf"\sigma(\text{{{weight}}} \times \text{{{given}}}", rf"{{\partial\,\text{{{weight}}}}}$"
    for formula in (product, derivative, r"- \alpha \times"):
        assert formula in named


def rows(lang: str, section: str) -> list[list[str]]:
    """Return the rows of the table of a section, without its head."""
    lines = [line for line in sections(lang)[section].splitlines() if line.startswith("|")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_each_correction_of_the_article_has_a_section_that_shows_it(lang: str) -> None:
    corrections = rows(lang, "article")
    assert len(corrections) >= 17
    assert all(len(row) == 3 and re.search(r"\[\d+\]\(#", row[2]) for row in corrections)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_article_is_corrected_where_a_reader_meets_the_idea(lang: str) -> None:
    found = {name for name, text in sections(lang).items() if "](#article)" in text}
    assert {"neuron", "layers", "loss", "backward", "hand", "descent", "general", "init", "parity"} <= found
    several = {"layers": 3, "loss": 2, "backward": 2, "descent": 2}
    assert {name: sections(lang)[name].count("](#article)") for name in several} == several


@pytest.mark.parametrize("lang", LANGUAGES)
def test_history_and_sources_are_named_and_formulas_refer_to_them(lang: str) -> None:
    named = sections(lang)["sources"]
    names = "Linnainmaa Werbos Rumelhart Hinton Williams Glorot Bengio Kingma Ba micrograd microgpt 深度学习应用"
    he = {"en": "Kaiming He", "zh": "何恺明"}[lang]
    assert not [name for name in [*names.split(), he, "github.com/karpathy/micrograd"] if name not in named]
    assert {"backward", "descent", "init"} <= {name for name, text in sections(lang).items() if "](#sources)" in text}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_weight_decay_of_the_experiment_is_as_many_times_the_default_as_the_text_says(lang: str) -> None:
    from micrograd_cn.optim import AdamW

    default = inspect.signature(AdamW).parameters["weight_decay"].default
    assert default == 0.01
    assert str(default) in sections(lang)["general"]
    assert {"en": "a hundred times", "zh": "一百倍"}[lang] in sections(lang)["general"]
    [times] = {
        re.search(r"decay=([\d.]+)\)", cell.source)[1] for cell in CODE[lang] if "kept_small = experi" in cell.source
    }
    assert float(times) == 100 * default


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_number_of_operations_is_the_tables(lang: str) -> None:
    from micrograd_cn import OPS

    said = {"en": f"It has {len(OPS)} operations.", "zh": f"它有 {len(OPS)} 种运算；"}[lang]
    assert said in " ".join(sections(lang)["build"].split())


def test_the_glossary_is_the_same_in_both_and_its_words_are_the_texts() -> None:
    assert [row[:2] for row in rows("zh", "glossary")] == [row[:2] for row in rows("en", "glossary")]
    body, _, _ = prose("zh").partition('<a id="glossary"></a>')
    english, _, _ = " ".join(prose("en").lower().split()).partition('<a id="glossary"></a>')
    for words, chinese, _ in rows("zh", "glossary"):
        for word in re.sub(r"（[^）]*）", "", chinese).split("、"):
            assert word in body, word
        for word in re.sub(r" \([^)]*\)", "", words).split(", "):
            assert word.lower() in english, word


def test_the_words_are_explained_before_they_are_used() -> None:
    words = sections("zh")["words"]
    listed = "偏导数 梯度 上游梯度 转置 自然对数 叶节点 根节点 操作数（父节点） 局部导数 贡献 种子"
    for word in listed.split():
        assert re.search(rf"^\|[^|]*\*\*[^|]*{word}", words, re.MULTILINE), word
    assert next(iter(sections("zh"))) == "words"


def test_the_readers_own_value_takes_about_forty_lines() -> None:
    [own] = [cell.source for cell in CODE["en"] if "forty-lines" in cell.metadata.get("tags", [])]
    assert 30 <= len([line for line in own.splitlines() if line.strip()]) <= 45
    assert own.startswith("class Mine:")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_number_is_printed_without_a_name(lang: str) -> None:
    for cell in CODE[lang]:
        for line in texts(cell).get("stdout", "").splitlines():
            assert not line.strip() or re.search(r"[^\W\d_]{1}|[✓✗?]", re.sub(r"\d[eE]", "", line)), cell.source


def test_dense_cells_are_collapsed() -> None:
    collapsed = [cell for cell in CODE["en"] if cell.metadata.get("jupyter", {}).get("source_hidden")]
    assert len(collapsed) >= 8
    for cell in CODE["en"]:
        hidden = cell in collapsed
        assert hidden == ("hide-input" in cell.metadata.get("tags", []))
        assert hidden or not cell.source.startswith(("figure = Figure(", "import io"))


def test_the_four_columns_of_the_example_agree() -> None:
    assert [cell.source.split("(")[0] for cell in CODE["en"] if "column" in cell.metadata.get("tags", [])] == [
        "def by_formulas",
        "def by_keras",
        "def by_pytorch",
        "def by_micrograd_cn",
    ]
    for lang in LANGUAGES:
        found = columns(example(lang))
        assert list(found) == ["by_formulas", "by_keras", "by_pytorch", "by_micrograd_cn"]
        assert re.fullmatch(r"(L\[\d+\] = 0\.\d{4} *){4}", found["by_formulas"])
        assert len(set(found.values())) == 1


@pytest.mark.parametrize(("column", "framework"), [*FRAMEWORKS.items(), ("by_micrograd_cn", "micrograd_cn")])
def test_a_column_gives_the_losses_of_the_formulas(column: str, framework: str) -> None:
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"needs {framework}")
    from statistics import fmean

    from micrograd_cn.losses import binary_cross_entropy_with_logits
    from micrograd_cn.nn import MLP
    from micrograd_cn.optim import SGD

    names: dict[str, Any] = {"math": math, "fmean": fmean, "MLP": MLP, "SGD": SGD}
    names["binary_cross_entropy_with_logits"] = binary_cross_entropy_with_logits
    for cell in CODE["en"]:
        if "column" in cell.metadata.get("tags", []):
            exec(cell.source, names)
    numbers, labels = [0.0, 1.0] * 50, [1.0, 0.0] * 50
    assert names[column](numbers, labels, 20) == pytest.approx(names["by_formulas"](numbers, labels, 20), rel=1e-5)


def test_matrices_of_a_batch_give_the_gradients_of_pytorch() -> None:
    pytest.importorskip("torch")
    [source] = [cell.source for cell in CODE["en"] if cell.source.startswith("def by_matrices")]
    names: dict[str, Any] = {"W1": [[0.5, -0.4], [0.8, 0.2], [-0.6, 0.9]], "b1": [0.1, 0.0, -0.2]}
    names |= {"W2": [[1.0, -0.5, 0.3], [-0.7, 0.4, 0.6]], "b2": [0.05, -0.1]}
    exec(source.partition("\n\n\nfor ")[0], names)
    batch = [([1.0, 2.0], [1.0, 0.0]), ([-0.5, 1.0], [0.0, 1.0]), ([0.3, -1.2], [1.0, 1.0])]
    for ours, theirs in zip(names["by_matrices"](batch), names["by_torch"](batch), strict=True):
        assert ours.tolist() == [pytest.approx(row, rel=1e-12) for row in theirs.tolist()]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_playground_is_linked_where_it_teaches(lang: str) -> None:
    places = [cell for cell in NOTEBOOKS[lang].cells if "playground" in cell.metadata.get("tags", [])]
    for cell, section in zip(places, ("order", "backward", "descent", "gpt"), strict=True):
        assert cell.source in sections(lang)[section]
        assert f"](pictures/playground.{lang}.html#" in cell.source


@pytest.mark.parametrize("lang", LANGUAGES)
def test_one_network_is_drawn_with_its_values_its_walks_its_error_terms_and_its_updates(lang: str) -> None:
    """Sections 6, 8, 9 and 10 draw the neurons of the network 2-3-2, with the numbers of a run by `Value`.

    Each section has the library's own picture of the network, too.
    """
    from micrograd_cn import Value

    drawn: dict[str, list[str]] = {}
    folded: dict[str, list[str]] = {}
    section = ""
    for cell in NOTEBOOKS[lang].cells:
        section = found[1] if (found := re.match(r'<a id="(\w+)"', cell.source)) else section
        for output in cell.get("outputs", []):
            picture = output.get("data", {}).get("image/svg+xml", "")
            words = [html.unescape(word) for word in re.findall(r"<text[^>]*>([^<]*)</text>", picture)]
            if any(word.startswith("h[2]") for word in words):
                drawn[section] = words
            if "layers.0.neurons.2" in words:
                folded[section] = words
    assert list(drawn) == ["layers", "backward", "descent"]
    assert list(folded) == ["layers", "backward", "hand", "descent"]

    weights = [[[0.5, -0.4], [0.8, 0.2], [-0.6, 0.9]], [[1.0, -0.5, 0.3], [-0.7, 0.4, 0.6]]]
    biases = [[0.1, 0.0, -0.2], [0.05, -0.1]]
    w1, w2 = ([[Value(w) for w in row] for row in rows] for rows in weights)
    b1, b2 = ([Value(b) for b in row] for row in biases)
    x = [Value(1.0), Value(2.0)]
    z1 = [sum((w * v for w, v in zip(row, x, strict=True)), b) for row, b in zip(w1, b1, strict=True)]
    h = [z.tanh() for z in z1]
    z2 = [sum((w * v for w, v in zip(row, h, strict=True)), b) for row, b in zip(w2, b2, strict=True)]
    p = [z.sigmoid() for z in z2]
    (sum((pk - tk) ** 2 for pk, tk in zip(p, [1.0, 0.0], strict=True)) / 2).backward()
    values = [f"{name}[{i}] = {v.data:.3f}" for name, column in (("h", h), ("p", p)) for i, v in enumerate(column)]
    assert {*values} <= {*drawn["layers"]}
    assert {f"{v.grad:.3f}" for v in (*h, *p)} <= {*drawn["backward"]}
    numbers = {f"{x:.4g}" for v in (*h, *z2) for x in (v.data, v.grad)}
    assert numbers <= {*folded["backward"]} & {*folded["hand"]}
    assert {f"{v.grad:.4g}" for v in x} <= {*folded["hand"]} - {*folded["backward"]}
    assert {f"× {w.data - w.grad:.4g}" for row in (*w1, *w2) for w in row} <= {*folded["descent"]}
    assert {f"{-w.grad:+.2f}" for row in (*w1, *w2, b1, b2) for w in row} <= {*drawn["descent"]}

    cells = {cell.id: cell for cell in NOTEBOOKS[lang].cells}
    for text, picture in [("two-ways", drawn["backward"]), ("net-step", texts(cells["net-step-picture"])["stdout"])]:
        stated = re.findall(r"\d\.\d{3}", cells[text].source)
        assert len(stated) >= 2
        assert set(stated) <= set(re.findall(r"\d\.\d{3}", " ".join(picture) if text == "two-ways" else picture))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_exercise_is_a_text_a_gap_and_a_check(lang: str) -> None:
    cells = NOTEBOOKS[lang].cells
    checks = [i for i, cell in enumerate(cells) if tag(cell, "check")]
    assert [tag(cells[i], "check") for i in checks] == list(WRONG)
    for i in checks:
        text, gap, check, solution = cells[i - 2 : i + 2]
        assert f'check("{tag(check, "check")}"' in re.sub(r"\s*\n\s*", "", check.source)
        assert tag(solution, "solution") == tag(check, "check")
        assert solution.source.startswith("<details><summary>")
        assert f" {tag(check, 'check')}" in text.source
        assert tag(gap, "answer") == tag(check, "check")
        assert "..." in gap.source
        assert texts(check) == {"stdout": "?\n"}


def test_both_show_the_same() -> None:
    facts = re.compile(r"[-+]?\d[\d.e%+-]*|[✓✗?→≠–]")
    for zh, en in zip(CODE["zh"], CODE["en"], strict=True):
        shown = [{name: facts.findall(text) for name, text in texts(cell).items()} for cell in (zh, en)]
        assert shown[0] == shown[1], en.source
        assert kinds(zh) == kinds(en), en.source


@pytest.mark.parametrize("lang", LANGUAGES)
def test_cells_are_numbered_as_by_a_run_from_top_to_bottom(lang: str) -> None:
    assert [cell.execution_count for cell in CODE[lang]] == list(range(1, len(CODE[lang]) + 1))
    assert not any(output.output_type == "error" for cell in CODE[lang] for output in cell.outputs)


@pytest.mark.slow
def test_right_answers_are_told_from_wrong_ones_and_what_is_stored_is_what_a_run_shows(
    runs: Callable[[str], Any],
) -> None:
    ran = [cell for cell in runs("answered").cells if cell.cell_type == "code"]
    shown = [texts(cell)["stdout"] for cell in ran if tag(cell, "check")]
    names = tools("zh")
    waiting, hints, words = iter(shown), names["HINTS"], names["WORDS"]
    for number in WRONG:
        slips = [slip for _, slip in names["SLIPS"].get(number, [])]
        fitting_slips = dict(zip(SLIPPED.get(number, []), slips, strict=False))
        told = [hints[number], *slips]
        for odd in odds(NOTEBOOKS["zh"], number):
            remark, *_ = next(waiting).splitlines()
            fitting = TEXT if '"' in odd else NOTHING if "None" in odd or "pass" in odd else CLOSE
            assert remark == f"✗ {slips[0] if number in UNTRAINED else words[fitting]}", odd
        for wrong in wrongs(number):
            hint, *error = next(waiting).splitlines()
            expected = [fitting_slips[wrong]] if wrong in fitting_slips else told
            assert hint in [f"✗ {remark}" for remark in expected], wrong
            assert all(re.fullmatch(r"（运行这个答案时出错：\w+Error: .{1,100}）", line) for line in error), wrong
        for right in rights(NOTEBOOKS["zh"], number):
            assert next(waiting) == "✓\n", right
    assert list(waiting) == ["✓\n"] * len(WRONG), "all are right at the end, too"
    fresh = {cell.source: cell for cell in reversed(ran)}
    for stored in CODE["zh"]:
        if not tag(stored, "check") and not tag(stored, "answer"):
            up_to_date(stored, fresh[stored.source])


@pytest.mark.slow
@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_is_stored_is_what_a_run_from_top_to_bottom_shows(lang: str, runs: Callable[[str], Any]) -> None:
    ran = [cell for cell in runs(lang).cells if cell.cell_type == "code"]
    for stored, fresh in zip(CODE[lang], ran, strict=True):
        up_to_date(stored, fresh)


@pytest.mark.slow
def test_cells_may_be_run_twice(runs: Callable[[str], Any]) -> None:
    ran = [cell for cell in runs("twice").cells if cell.cell_type == "code"]
    for stored, first, second in zip(CODE["en"], ran[::2], ran[1::2], strict=True):
        up_to_date(stored, first)
        up_to_date(stored, second)


@pytest.mark.slow
def test_the_main_line_needs_nothing_that_may_be_skipped(runs: Callable[[str], Any]) -> None:
    """Without the sections and paragraphs that may be skipped, every cell runs and shows what is stored."""
    stored = {cell.source: cell for cell in CODE["zh"]}
    ran = [cell for cell in runs("main line").cells if cell.cell_type == "code"]
    assert 100 < len(ran) < len(stored)
    for fresh in ran:
        up_to_date(stored[fresh.source], fresh)


@pytest.mark.slow
def test_a_section_may_be_run_again_from_its_first_cell(runs: Callable[[str], Any]) -> None:
    ran = [cell for cell in runs("gone back").cells if cell.cell_type == "code"]
    stored = {cell.source: cell for cell in CODE["zh"]}
    assert len(ran) > 1.9 * len(CODE["zh"])
    for fresh in ran[len(CODE["zh"]) :]:
        up_to_date(stored[fresh.source], fresh)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_files_are_small_and_know_no_machine(lang: str) -> None:
    text = (DEMOS / f"tutorial.{lang}.ipynb").read_text(encoding="utf-8")
    assert len(text.encode()) < LARGEST
    for cell in CODE[lang]:
        assert len(str(cell.outputs)) < LARGEST_OUTPUT
    assert not re.search(r"/(?:home|mnt|opt|root|tmp|usr|var|Users)/|[A-Z]:\\\\", text)
    assert str(DEMOS.parent) not in text
    assert " object at 0x" not in text
    assert set(NOTEBOOKS[lang].metadata.language_info) == {"name"}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_pictures_speak_the_notebooks_language(lang: str) -> None:
    pictures = [output.data for cell in CODE[lang] for output in cell.outputs if "data" in output]
    graphs = [data["image/svg+xml"] for data in pictures if 'class="gradient-flow"' in data.get("image/svg+xml", "")]
    assert len(graphs) >= 8
    for graph in graphs:
        assert ("数值" in graph, "data" in graph) == (lang == "zh", lang == "en")
        assert ('xml:lang="zh-CN"' in graph) == (lang == "zh")
    pages = [data["text/html"] for data in pictures if "text/html" in data]
    assert len(pages) == 2
    for page in pages:
        assert f'&lt;html lang="{"zh-CN" if lang == "zh" else "en"}"' in page


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as elsewhere:
        for lang, notebook in NOTEBOOKS.items():
            fresh = execute(notebook, Path(elsewhere))
            fresh.cells = [installed(new, old) for new, old in zip(fresh.cells, notebook.cells, strict=True)]
            nbformat.write(fresh, DEMOS / f"tutorial.{lang}.ipynb")
