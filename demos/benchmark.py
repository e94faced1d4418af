"""Measure the engine beside its peers, every ratio within one run: `python demos/benchmark.py [table ...] [--json]`.

`--list` names the tables. Without a name all tables are measured. A peer that is not installed has no row.

The contenders of a table take turns, so a machine that slows down slows all of them alike, and each number is the
median of its turns. Everything runs on one core, except in the table that compares threads. Python's garbage collector
stays on, as in anyone's training loop, except in columns whose headings say otherwise. The tables are in the reader's
language (`--lang`), and `--json` prints them in English. The files in demos/benchmarks/ take the measurements.
"""

import argparse
import json
import os
import platform
import re
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import micrograd_cn as mg
from benchmarks.compiled_programs import first_step, functions, networks, recurrent, threads
from benchmarks.engine_costs import (
    bytes_per_operation,
    compile_time,
    cost_per_node,
    derivatives_of_many_inputs,
    import_time,
    one_operation,
    sixth_derivatives,
)
from benchmarks.gradient_checks import table as checks
from benchmarks.microgpt_steps import table as microgpt
from benchmarks.programs.measuring import programs
from benchmarks.sparse_derivatives import table as sparse_derivatives
from benchmarks.timing import Row
from benchmarks.training_times import attention_step, collector_cost, digits_step, moons_step, share_of_peak
from benchmarks.words import TITLES, chinese
from shared.language import add_language_option, align_right, set_language_from_arguments, text, text_width

TABLES: dict[str, tuple[str, Callable[[], list[Row]]]] = {
    "moons": ("One training step of the moons demo", moons_step),
    "digits": ("One training step of the digits demo", digits_step),
    "attention": ("An attention model in plain operators, one training step", attention_step),
    "collector": ("What the garbage collector costs a training step", collector_cost),
    "operation": ("One operation", one_operation),
    "peak": ("Share of the processor's peak, one thread", share_of_peak),
    "bytes": ("Bytes for one operation, in a graph of 100,000", bytes_per_operation),
    "chain": ("A chain of products, for each node", cost_per_node),
    "inputs": ("Derivatives of Rosenbrock's function of n inputs", derivatives_of_many_inputs),
    "orders": ("Higher derivatives at a point", sixth_derivatives),
    "sparse": ("Sparse Jacobians and Hessians", sparse_derivatives),
    "networks": ("A step of gradient descent, hinge loss", networks),
    "microgpt": ("microgpt's training step, and a thousand of them as a command", microgpt),
    "recurrent": ("A recurrent network, the gradient", recurrent),
    "functions": ("Functions on vectors, compiled", functions),
    "threads": ("MLP(8, [32, 32, 1]), 100,000 rows", threads),
    "programs": ("Programs from practice, beside the best peer", programs),
    "first": ("Before the second step", first_step),
    "compile": ("Compiling a graph", compile_time),
    "checks": ("Mistakes in hand-written backward passes, and who finds them", checks),
    "import": ("Import, beyond starting the interpreter", import_time),
}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _compiled_for() -> str:
    if not find_spec("llvmlite"):
        return "nothing, without llvmlite"
    from micrograd_cn.compiler.llvm.machine import machine

    on = machine()
    return f"{on.name or platform.machine()}, vectors of {on.simd} doubles"


def heading() -> dict[str, str]:
    """Return what the times depend on: the machine and the versions of Python and of the libraries."""
    cpu = Path("/proc/cpuinfo")  # on Linux, where platform.processor() returns an empty string
    models = re.findall(r"model name\s*: (.*)", cpu.read_text() if cpu.exists() else "")
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "processor": f"{os.cpu_count()} x {models[0] if models else platform.processor() or platform.machine()}",
        "compiled for": _compiled_for(),
        "micrograd_cn": mg.__version__,
        **{name: _installed(name) for name in ("llvmlite", "micrograd", "torch", "jax")},
    }


def layout(rows: list[Row]) -> Iterator[str]:
    """Yield the lines of a table, with the first column aligned left and the others aligned right."""
    if not rows:
        yield text("not measured: it needs llvmlite", "未测量：需要 llvmlite")
        return
    english = [list(rows[0]), *([_cell(x) for x in row.values()] for row in rows)]
    cells = [[text(cell, chinese(cell)) for cell in line] for line in english]
    widths = [max(map(text_width, column)) for column in zip(*cells, strict=True)]
    for first, *rest in cells:
        beside = [align_right(cell, room) for cell, room in zip(rest, widths[1:], strict=True)]
        yield "  ".join([first + " " * (widths[0] - text_width(first)), *beside])


def _cell(x: str | int | float | None) -> str:
    if isinstance(x, float):
        return f"{x:,.1f}" if x >= 1 or x == 0 else f"{x:.3g}"
    return "-" if x is None else f"{x:,}" if isinstance(x, int) else x


def main() -> None:
    set_language_from_arguments()
    about = text(str(__doc__).partition("\n")[0], "与同类库一起测量，各比值都出自同一次运行")
    parser = argparse.ArgumentParser(description=about)
    named = text("the name of one to measure, instead of all", "要测量的表的名称，不写则测量全部")
    parser.add_argument("tables", nargs="*", metavar=text("table", "表"), help=named)
    parser.add_argument("--list", action="store_true", help=text("print the names of the tables", "列出各表的名称"))
    meaning = text("print the same as JSON", "以 JSON 格式输出（英文）")
    parser.add_argument("--json", action="store_true", help=meaning)
    add_language_option(parser)
    options = parser.parse_args()
    titles = {name: text(title, TITLES[name]) for name, (title, _) in TABLES.items()}
    if options.list:
        print(*(f"{name:10}  {title}" for name, title in titles.items()), sep="\n")
        return
    if unknown := [name for name in options.tables if name not in TABLES]:
        known = ", ".join(TABLES)
        parser.error(
            text(
                f"there is no table {unknown[0]!r}; the tables are {known}",
                f"没有名为 {unknown[0]!r} 的表；可选的有 {known}",
            )
        )
    if hasattr(os, "sched_setaffinity"):  # on one core, libraries that start several threads gain nothing
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    chosen = {name: TABLES[name] for name in options.tables or TABLES}
    if options.json:
        measured = {title: measure() for title, measure in chosen.values()}
        print(json.dumps({"heading": heading()} | measured, indent=2))
        return
    for name, about in heading().items():
        name, about = (text(words, chinese(words)) for words in (name, about))
        print(f"{name}{' ' * (12 - text_width(name))}  {about}")
    for name, (_, measure) in chosen.items():
        print(f"\n{titles[name]}", *layout(measure()), sep="\n", flush=True)


if __name__ == "__main__":
    main()
