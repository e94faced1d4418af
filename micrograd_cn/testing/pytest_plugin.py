"""The pytest plugin: it collects the results of all gradient checks, and prints a summary at the end.

pytest loads this module automatically if the package is installed. PyTorch, jax and numpy are imported only by tests
that use them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .report.result_hooks import CheckResult

RESULTS = "gradcheck"  # the key of a test's results in its user properties, which xdist sends from its workers
COLUMNS = [
    *("test", "function", "argument", "points", "largest error", "verdict"),
    *("part of what is allowed", "points not compared", "types"),
]
MAX_SHOWN = 20  # lines of the summary


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option `--gradcheck-table`, which names a file that a table of all checks is written to."""
    group = parser.getgroup("micrograd_cn", "gradient checks")
    group.addoption(
        "--gradcheck-table",
        metavar="FILE",
        help="write which gradients were checked to a file: a table of Markdown if its name ends with .md, a list of "
        f"objects if with .json, and comma-separated values otherwise: {', '.join(COLUMNS)}",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Collect the results of the gradient checks in a test, and append them to `item.user_properties`.

    pytest passes these properties on to `Summary.pytest_runtest_logreport`.
    """
    from .report.result_hooks import result_hook

    found: dict[tuple[str, str], list[Any]] = {}

    def collect(check: CheckResult) -> None:
        first = [0, 0.0, "not compared", 0.0, 0, check.types]
        points, error, verdict, share, unknown, types = found.get((check.function, check.argument), first)
        unknown += check.verdict == "not compared" or check.partly
        worse = "wrong" if "wrong" in (verdict, check.verdict) else max(verdict, check.verdict)
        found[check.function, check.argument] = [
            points + 1,
            max(error, check.error),
            worse,
            max(share, check.share),
            unknown,
            types,
        ]

    try:
        with result_hook(collect):
            yield
    finally:
        if found:
            item.user_properties.append((RESULTS, [[*key, *values] for key, values in found.items()]))


class Summary:
    """The results of the gradient checks in all tests.

    With pytest-xdist, only the main process has a summary; it gets the results from the workers.
    """

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the results of the gradient checks in a test to the summary, also if a worker of pytest-xdist ran it."""
        if report.when == "call":
            for name, rows in report.user_properties:
                if name == RESULTS:
                    found: Any = rows  # pytest declares the value of a property as object
                    self.rows += [[report.nodeid, *row] for row in found]

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        """Print up to `MAX_SHOWN` results, those of wrong gradients first, and how many there are of each kind.

        All results are written to a file if `--gradcheck-table` names one. If nothing was checked, nothing is done.
        """
        if not self.rows:
            return
        terminalreporter.section("gradients checked")
        order = {"wrong": 0, "not compared": 1, "right": 2}
        rows = sorted(self.rows, key=lambda row: (order[row[5]], -row[6], -row[7], -row[4]))
        counts = [f"{sum(row[5] == verdict for row in rows)} {verdict}" for verdict in order]
        for row in rows[:MAX_SHOWN]:
            terminalreporter.line(_summary_line(*row))
        terminalreporter.line(", ".join(counts) + (f"; shown are {MAX_SHOWN}" if len(rows) > MAX_SHOWN else ""))
        if path := config.getoption("--gradcheck-table"):
            with Path(path).open("w", newline="", encoding="utf-8") as file:
                file.write(_table_text(Path(path).suffix.lower(), self.rows))
            terminalreporter.line(f"table: {path}")


def _summary_line(
    test: str,
    function: str,
    argument: str,
    points: int,
    error: float,
    verdict: str,
    share: float,
    unknown: int,
    types: str,
) -> str:
    """Return the line of the summary about the checks of one function with respect to one argument in one test.

    Args:
        test: the name of the test.
        function: the name of the function.
        argument: the name of the argument; "" if the result is about all arguments together.
        points: how many times the gradient was checked.
        error: the largest relative error of a derivative. Each row has it, but only the table of all checks shows it.
        verdict: "right", "wrong" or "not compared".
        share: the largest error of a derivative, as a multiple of the error that is allowed.
        unknown: how many of the checks could not compare the gradient, or only a part of it.
        types: the types of the arrays, such as "float32".
    """
    parts = [f"{verdict:12} {function}{f' by {argument}' if argument else ''}", *([types] if types else [])]
    parts.append(f"points: {points}{f' ({unknown} not compared)' if unknown else ''}")
    if 1.0 < share < float("inf"):
        parts.append(f"largest error: {share:.1g} times what is allowed")
    elif verdict == "right":
        parts.append(f"largest error: {share:.1g} of what is allowed")
    return f"{', '.join(parts)}  ({test})"


def _table_text(suffix: str, rows: list[list[Any]]) -> str:
    """Return the table of all checks as text: as JSON for the `suffix` ".json", as Markdown for ".md", and else as CSV.

    `suffix` is the end of the name of the file that the text is written to. Each row has an entry for each of
    `COLUMNS`.
    """
    if suffix == ".json":
        # JSON has no infinity
        named = [
            {name: str(x) if x == float("inf") else x for name, x in zip(COLUMNS, row, strict=True)} for row in rows
        ]
        return f"{json.dumps(named, indent=1)}\n"
    if suffix == ".md":
        lines = [COLUMNS, ["---"] * len(COLUMNS), *([str(x).replace("|", "\\|") for x in row] for row in rows)]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)
    text = io.StringIO(newline="")
    csv.writer(text).writerows([COLUMNS, *rows])
    return text.getvalue()


def pytest_configure(config: pytest.Config) -> None:
    """Register a `Summary` as a plugin, except in a worker of pytest-xdist."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Summary(), "micrograd_cn_summary")
