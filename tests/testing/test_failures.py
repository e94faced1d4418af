"""The failures of `check_op`: a title, the operation and the operands to blame, and code that runs when pasted."""

import json
import re
import subprocess
import sys

import pytest

import micrograd_cn as mc
from micrograd_cn import Op
from micrograd_cn.ops.traits import Lowerings
from micrograd_cn.testing import check_op

from . import wrong

LONGEST = 25  # lines of a failure in pytest, from the name of the test to the last line of the failure


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    """Return for each wrong operation, by name, the lines that pytest prints for its failure, and the exception."""
    path = tmp_path_factory.mktemp("failures") / "test_wrong.py"
    tests = [
        f"def test_{name}():\n    own = wrong.{name}\n    check_op(own, wrong.REFERENCES.get({name!r}), examples=4)\n"
        for name in wrong.ROWS
    ]
    folder = str(wrong.__file__).rpartition("/")[0]
    path.write_text(
        f"import sys\nsys.path.insert(0, {folder!r})\nimport wrong\nfrom micrograd_cn.testing import check_op\n\n"
        + "\n".join(tests),
        encoding="utf-8",
    )
    path.with_name("conftest.py").write_text(NOTING, encoding="utf-8")
    without = [f"-pno:{plugin}" for plugin in ("cacheprovider", "xdist", "micrograd_cn")]  # its summary is no failure
    command = [sys.executable, "-m", "pytest", *without, "-c", "/dev/null", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    failures = text.partition("= FAILURES =")[2].partition("= short test summary")[0]
    sections = re.split(r"^_+ test_(\w+) _+$", failures, flags=re.MULTILINE)[1:]
    raised = json.loads(path.with_name("raised.json").read_text("utf-8"))
    return {
        name: (text.strip("\n=").splitlines(), raised[f"test_{name}"])
        for name, text in zip(sections[::2], sections[1::2], strict=True)
    }


NOTING = """
import json
from pathlib import Path

import pytest

raised = {}

@pytest.hookimpl(tryfirst=True)
def pytest_exception_interact(node, call):
    error = call.excinfo.value
    raised[node.name] = [isinstance(error, AssertionError), str(error), repr(error.__context__)]

def pytest_sessionfinish():
    Path(__file__).with_name("raised.json").write_text(json.dumps(raised), "utf-8")
"""


def message(lines):
    """Return the lines of the failure itself."""
    return [line[1:].strip() for line in lines if re.match(r"E( |$)", line)]


TITLES = {  # after "check_op of own"
    "forward_raises": " at 1e+300: own.forward raised OverflowError: math range error",
    "forward_is_no_float": " at 0.0: own.forward gave int 1, not a float",
    "forward_is_no_function": " at 0.0: own.forward gave 1.0, then 2.0: it is not a function",
    "partial_raises": " at 1e+300: partial 0 of own raised OverflowError: math range error",
    "second_partial_raises": " at (0.0, 0.0): partial 1 of own raised ZeroDivisionError: float division by zero",
    "partial_takes_too_few": " at (0.0, 0.0): partial 1 of own raised TypeError: _unary() takes 2 "
    "positional arguments but 3 were given",
    "partial_is_no_number": " at 0.0: partial 0 of own gave None, not a number",
    "partials_raise": " at (0.0, 0.0): the function of own's partials raised IndexError: tuple index out of range",
    "too_few_partials": " at (0.0, 0.0): the function of own's partials raised RowError: own: for 2 operands, partials "
    "returned (1.0,); one function as partials makes an operation n-ary: `lambda y, *xs: (...)` returns a tuple, with "
    "a derivat...",
    "partials_are_no_tuple": " at 0.0: the function of own's partials raised RowError: own: for 1 operand, partials "
    "returned 1.0; one function as partials makes an operation n-ary: `lambda y, *xs: (...)` returns a tuple, with a "
    "derivative ...",
    "partial_of_math": " at 0.0: the partials of own, which must be written with the table's "
    "operations, raised TypeError: math.fabs() of a Value would lose its graph; write "
    "abs(x), or x.data for the number alone",
    "partial_differs_on_values": " at 0.0: partial 0 is 1.0 on floats, 1.0 when recorded, 1.001 on Values",
    "partial_is_no_function": " at 0.0: partial 0 is NUMBER on floats, NUMBER when recorded, NUMBER on Values",
    "partial_raises_near_0": " at 0.0: differentiating it raised KeyError: True",
    "long_message": " at 0.0: partial 0 of own raised ValueError: " + ("much to say " * 30)[:164] + "...",
    "called_otherwise": " at (0.0, 1.0): 1 of 6 derivatives wrong",
    "defined_elsewhere": " at 1.0: 1 of 2 derivatives wrong",
    "one_of_many_wrong": " at 21 operands (0.0, ...: 1 of 21 derivatives wrong",
    "kink_raises": " at 0.0: the kink of own raised ZeroDivisionError: float division by zero",
    "reference_raises": " at 0.0: the reference raised ValueError: unknown",
    "reference_differs": " at 1.0: its value is 2.0, the reference gives 1.0",
    "value_is_nan": " at -1.0: its value is nan, inside its domain",
    "partial_is_nan": " at 0.0: partial 0 is nan, inside its domain",
    "wrong_sign": " at 1.0: 1 of 2 derivatives wrong",
    "wrong_from_the_sixth": " at (0.0, 0.0, 0.0, 0.0, 0.0, 0.0): 1 of 6 derivatives wrong",
    "wrong_where_shared": " at (0.0, 0.0): where operands 0, 1 are one value, 1 of 2 derivatives wrong",
    "wrong_at_its_kink": " at 0.0: 1 of 1 derivatives wrong",
    "all_of_many_wrong": " at (1.0, 1.0): 2 of 6 derivatives wrong",
    "too_fast": " at 1.0: no derivative could be compared: state its kink or domain",
    "infinite": ": nowhere in its domain could its derivatives be compared",
    "formula_differs": " at 0.0: the formula gives 0.0, not 1.0",
    "formula_raises": " at 0.0: the formula raised ZeroDivisionError: float division by zero",
}


@pytest.mark.parametrize("name", wrong.ROWS)
def test_a_failure_is_short_and_its_title_names_the_culprit(failures, name):
    lines, _ = failures[name]
    assert len(lines) <= LONGEST, "\n".join(lines)
    title, *_ = message(lines)
    if name == "partial_is_no_function":
        title = re.sub(r"2\.0\d+", "NUMBER", title)
    if name == "one_of_many_wrong":
        assert any(line.startswith("WRONG  df/dx20 ") for line in message(lines))
        title = re.sub(r"(, 0\.0)+,?\.\.\.", ", ...", title)
    if name in ("partials_raise", "long_message", "reference_raises"):
        assert re.match(r"at wrong\.py, line \d+: ", message(lines)[1])
    assert title.partition("Error: " if title.startswith("A") else "Mismatch: ")[2] == f"check_op of own{TITLES[name]}"
    assert "hypothesis" not in "".join(lines).lower()
    assert not any("micrograd_cn" in line for line in lines if not line.startswith("E")), "no frame of the package"


@pytest.mark.parametrize("name", wrong.ROWS)
def test_the_code_of_a_failure_runs_and_shows_it(failures, name, capsys):
    own = getattr(wrong, name)
    _, (is_assertion, said, context) = failures[name]
    assert is_assertion
    assert context == "None"
    code = said.rpartition("\n\n")[2]
    assert "# own is an operation of your own\n" in code
    if name in wrong.RAISING:
        with pytest.raises(wrong.RAISING[name]):
            exec(code, {"own": own})
    else:
        exec(code, {"own": own})


def test_a_row_of_the_package_is_imported_in_the_code_and_special_numbers_are_too(monkeypatch):
    monkeypatch.setattr(
        mc.sigmoid, "lowerings", Lowerings(lambda x: mc.where(mc.less(1e308, x), 2.0, mc.div(1.0, 1.0 + mc.exp(-x))))
    )
    with pytest.raises(AssertionError, match=r"at inf: the formula gives 2\.0, not 1\.0") as caught:
        check_op(mc.sigmoid)
    code = str(caught.value).rpartition("\n\n")[2]
    assert code.startswith("from math import inf\nfrom micrograd_cn import sigmoid\n")
    exec(code, {})


@pytest.mark.thorough
def test_the_table_of_a_failure_is_cut_to_what_is_wrong():
    own = Op("own", lambda *xs: mc.sum(xs), lambda y, *xs: tuple([1.0 + (len(xs) > 5)] * len(xs)))
    with pytest.raises(AssertionError) as caught:
        check_op(own, examples=4)
    lines = str(caught.value).splitlines()
    assert lines[0] == "check_op of own at (0.0, 0.0, 0.0, 0.0, 0.0, 0.0): 6 of 6 derivatives wrong"
    own = Op("own", lambda *xs: mc.sum(xs), lambda y, *xs: tuple([1.0 + (len(xs) > 12)] * len(xs)))
    with pytest.raises(AssertionError) as caught:
        check_op(own, examples=4)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("check_op of own at (0.0, 0.0, ")
    assert [line.split()[:2] for line in lines[2:9]] == [["WRONG", f"df/dx{i}"] for i in range(7)]
    assert lines[9] == "... 5 lines more"
    assert lines[10].startswith("order: of f(x + h)")


def test_the_smallest_example_has_few_operands_and_simple_numbers():
    steep = Op("own", lambda *xs: mc.sum(xs), lambda y, *xs: tuple([1.0 + (x > 3.7) for x in xs]))
    with pytest.raises(AssertionError) as caught:
        check_op(steep)
    [found] = re.findall(r"at (.*): 1 of", str(caught.value).splitlines()[0])
    assert found in ("4.0", "3.8", "3.9", "3.71", "3.75")


def test_a_failure_has_no_frames_but_one():
    with pytest.raises(AssertionError) as caught:
        check_op(wrong.wrong_sign)
    assert [entry.name for entry in caught.traceback] == ["test_a_failure_has_no_frames_but_one", "check_op"]
