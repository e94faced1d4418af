"""Mutate the operation table and the engine, and print what no test notices: `python tests/mutation.py [workers]`.

Left out are mutants in code that never runs: annotations (the modules have `from __future__ import annotations`) and
the stubs of `@overload`.
"""

import ast
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG, SESSION = "tests/mutation.toml", "session.sqlite"


def spans_that_never_run(path):
    """Yield the first and last position, (line, column), of each annotation and stub."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if part:
                yield (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)
        for decorator in getattr(node, "decorator_list", ()):
            if isinstance(decorator, ast.Name) and decorator.id == "overload":
                yield (decorator.lineno, 0), (node.end_lineno, node.end_col_offset)


def main(workers):
    from cosmic_ray.config import load_config
    from cosmic_ray.work_db import use_db
    from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder, str(i)) for i in range(workers)]
        shutil.copytree(ROOT, copies[0], ignore=shutil.ignore_patterns(".*", "__pycache__", "demos"))
        print(f"the tests, unchanged, in {copies[0]}", flush=True)
        subprocess.run(shlex.split(load_config(ROOT / CONFIG).test_command), cwd=copies[0], check=True)
        subprocess.run(["cosmic-ray", "init", CONFIG, SESSION], cwd=copies[0], check=True)
        for copy in copies[1:]:
            shutil.copytree(copies[0], copy)

        with use_db(copies[0] / SESSION) as session:
            jobs = {item.job_id: item.mutations[0] for item in session.work_items}
        spans = {path: list(spans_that_never_run(copies[0] / path)) for path in {m.module_path for m in jobs.values()}}
        idle = {i for i, m in jobs.items() if any(a <= m.start_pos < b for a, b in spans[m.module_path])}
        for k, copy in enumerate(copies):
            with use_db(copy / SESSION) as session:
                others = {job for i, job in enumerate(sorted(jobs)) if i % workers != k}
                session.set_multiple_results(idle | others, WorkResult(WorkerOutcome.SKIPPED))

        print(f"{len(jobs)} mutants, {len(idle)} of them in code that never runs", flush=True)
        running = [subprocess.Popen(["cosmic-ray", "exec", CONFIG, SESSION], cwd=copy) for copy in copies]
        codes = [process.wait() for process in running]
        if any(codes):
            sys.exit("cosmic-ray failed")
        results = {}
        for copy in copies:
            with use_db(copy / SESSION) as session:
                results |= {job: r for job, r in session.results if r.worker_outcome != WorkerOutcome.SKIPPED}

    run, killed = Counter(), Counter()
    for job, result in sorted(
        results.items(), key=lambda pair: (str(jobs[pair[0]].module_path), jobs[pair[0]].start_pos)
    ):
        mutant = jobs[job]
        run[mutant.module_path] += 1
        if result.test_outcome == TestOutcome.KILLED:
            killed[mutant.module_path] += 1
        else:
            lines = (result.diff or result.output).split("\n")
            changed = [line for line in lines[3:] if line.startswith(("+", "-"))]
            print(f"\n{mutant.module_path}:{mutant.start_pos[0]} {mutant.operator_name}", *changed, sep="\n")
    print("\nfile: mutants, killed, survivors, score")
    for path in [*run, None]:
        n, k = (run[path], killed[path]) if path else (run.total(), killed.total())
        print(f"{path or 'all'}: {n}, {k}, {n - k}, {k / n:.1%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else os.cpu_count())
