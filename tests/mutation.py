"""Change one place of the package at a time, and print the changes that no test notices.

    nice python tests/mutation.py --jobs 2  # the core; or the modules that are named:
    nice python tests/mutation.py --sample 300 --seed 1 micrograd_cn/compiler/*.py

It needs cosmic-ray, whose operators make the mutants. This process imports what the tests import, but nothing of the
package; each mutant is a fork of it, in a copy of the tree, where its tests run until one fails: first those that have
killed mutants of the same statement, then those with its name, then the quick ones. It is killed if it cannot be
imported, as where Python warns of `is` beside a literal, if a test fails, or if one needs ten times its processor time,
or waits for minutes. Unchanged, the tests pass in two orders. Left out are mutants of what never runs or is only read
(annotations, which `from __future__ import annotations` makes text, stubs of `@overload`, `if TYPE_CHECKING`,
`__all__`), `strict=` of zip, which asserts what holds, `==` for `is` beside `type(x)`, None, True or False, which is
the same for what the types let stand there, and tests of over a second.
"""

import argparse
import ast
import compileall
import contextlib
import gc
import importlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict, namedtuple
from pathlib import Path
from py_compile import PycInvalidationMode

with contextlib.suppress(ImportError):  # as where pytest looks for examples in this file
    from cosmic_ray.commands.init import _all_work_items
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

ROOT, RESULT = Path(__file__).resolve().parent.parent, Path("result.json")
TESTS = {  # modules or folders: the files test_*.py that pin them
    "ops/table ops/operation ops/rounding ops/checks": "ops/table engine ops/higher_orders properties cli",
    "ops/ieee ops/registry ops/traits": "ops/table engine",
    "engine graph/node graph/operators ops/number "
    "graph/context graph/stepwise graph/anomaly gradients": "engine quick ops/table functional "
    "ops/higher_orders properties dropin",
    "quick": "quick engine ops/table",
    "graph/scopes graph/groups": "graph/scopes picture/boxes",
    "derivatives/sparse derivatives/elements derivatives/elimination": "derivatives/sparse functional "
    "compiler/derivatives",
    "derivatives/calls": "functional derivatives/sparse",
    "functional derivatives/tree": "functional derivatives/tree ops/higher_orders module properties",
    "module nn init": "nn module init dropin engine",
    "losses optim": "losses optim/optimizers dropin",
    "text/formula": "text/formula ops/table",
    "text/expression": "cli",
    "compiler/llvm/functions compiler/llvm/elementary compiler/llvm/vectors": "compiler/functions compiler/numbers",
    "compiler/c/file compiler/c/comment compiler/c/arrays compiler/c/loops compiler/c/text": "compiler/c_source "
    "compiler/c_text compiler/loops compiler/random_graphs",
    "compiler/python": "compiler/python_source compiler/own_rows compiler/program compiler/random_graphs",
    "compiler/llvm/machine compiler/llvm/text": "compiler/machine compiler/program compiler/own_rows compiler/loops "
    "compiler/functions compiler/numbers compiler/threads",
    "compiler/runtime/executable": "compiler/program compiler/tiers compiler/training_run compiler/threads compiler/prepared "
    "compiler/loops compiler/numbers compiler/calling",
    "compiler/training/update compiler/training/state compiler/training/epochs": "compiler/training compiler/training_run "
    "compiler/threads compiler/jit compiler/c_source",
    "compiler/training/run compiler/data/anomalies": "compiler/training_run compiler/jit compiler/training",
    "compiler/threads/tasks": "compiler/threads",
    "compiler/llvm/builtin": "compiler/prepared compiler/calling",
    "compiler/data/rows": "compiler/rows compiler/training compiler/jit",
    "compiler/runtime/prepared compiler/data/captured compiler/data/parameters compiler/threads/forks": "compiler/calling "
    "compiler/jit compiler/guards compiler/threads",
    "compiler/function/jit compiler/data/samples compiler/function/guards": "compiler/jit compiler/guards",
    "compiler/derivatives compiler/function/minimize": "compiler/derivatives compiler/rows",
    "compiler/program": "compiler/program compiler/prepared compiler/rows compiler/training compiler/threads "
    "compiler/derivatives compiler/takes",
    "compiler": "compiler/numbers compiler/loops compiler/takes compiler/own_rows compiler/tiers compiler/program "
    "compiler/planted_faults compiler/c_source compiler/training compiler/random_graphs",
    "flow/grammar": "flow/typing",
    "flow/playground": "flow/training flow/typing flow/offline",
    "flow/graph": "flow/labels flow/formulas flow/networks flow/folding flow/steps",
    "flow/javascript": "flow/formulas flow/arithmetic flow/training",
    "flow/sheet": "flow/offline flow/controls flow/labels",
    "flow": "flow/offline flow/networks flow/steps",
    "testing/numerical testing/compare testing/report": "testing/numerical testing/compare testing/report "
    "testing/gradcheck testing/foreign",
    "testing/gradcheck": "testing/gradcheck testing/foreign",
    "testing/lines testing/line testing/directions testing/intervals testing/half testing/tolerance": "testing/lines "
    "testing/directions testing/foreign testing/kinks testing/libraries testing/subject",
    "testing/corners": "testing/kinks testing/foreign testing/directions",
    "testing/contract testing/surroundings testing/subject testing/structures": "testing/contract testing/subject "
    "testing/libraries testing/foreign testing/gradcheck testing/problem",
    "testing/causes testing/reproduce testing/watch": "testing/report testing/subject testing/gradcheck "
    "testing/pytest_plugin",
    "testing/checking testing/finding testing/pytest_plugin": "testing/pytest_plugin testing/subject",
    "testing/analytic testing/libraries testing/vectors testing/problem": "testing/problem testing/libraries "
    "testing/foreign testing/contract testing/subject testing/lines",
    "testing/check_op": "testing/battery testing/check_op testing/failures testing/planted",
    "testing/recording testing/derivatives": "testing/derivatives testing/check_op testing/failures testing/planted",
    "testing/op_points": "testing/op_points testing/check_op testing/failures testing/planted",
    "testing/failures": "testing/messages testing/check_op testing/failures testing/planted",
    "testing/forms testing/javascript": "testing/form_results testing/forms testing/planted",
    "testing/expressions testing/dense": "testing/expressions testing/dense testing/strategies testing/planted",
    "testing/reals testing/smooth": "testing/reals testing/smooth testing/strategies testing/planted",
    "testing/strategies testing/arrays": "testing/leaves testing/arrays testing/strategies testing/planted",
}
CORE = [f"micrograd_cn/{name}.py" for names in list(TESTS)[:12] for name in names.split()]
TABLE = (
    "ops/table",
    "ops/operation",
    "ops/ieee",
    "ops/rounding",
)  # only these meet the tests of accuracy, the longest ones
OPTIONS = "-x -q -p no:cacheprovider --assert=plain --doctest-modules --basetemp=tmp -o addopts=--import-mode=importlib"
VARIABLES = "CI HYPOTHESIS_NO_PLUGINS PYTEST_DISABLE_PLUGIN_AUTOLOAD PYTHONDONTWRITEBYTECODE"
ENDS = (signal.SIGPROF, signal.SIGALRM, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
MEMORY, WAIT, SLOW = 4 << 30, 180, 1.0  # bytes, seconds
Mutant = namedtuple("Mutant", "path operator occurrence line statement")
seconds, kills = {}, defaultdict(Counter)  # of each test, unchanged; by statement: how many each test has killed


def files_of(path):
    """Return the files with a module's tests: its own, for the examples, then that of its name."""
    module = Path(path).with_suffix("").relative_to("micrograd_cn")
    rooms = {room.as_posix() for room in (module, *module.parents)}
    names = next(files.split() for modules, files in TESTS.items() if rooms & set(modules.split()))
    names.sort(key=lambda name: name != module.as_posix())
    tests = [Path("tests", name) for name in names]
    return [path, *[str(test.with_name(f"test_{test.name}.py")) for test in tests]]


def span(node):
    first = min([n.lineno for n in getattr(node, "decorator_list", ())], default=node.lineno)
    return (first, 0 if first < node.lineno else node.col_offset), (node.end_lineno, node.end_col_offset)


def idle(tree):
    """Yield the first and last position, (line, column), of what never runs or is only read."""
    for node in ast.walk(tree):
        yield from [span(part) for name in ("annotation", "returns") if (part := getattr(node, name, None))]
        yield from [span(node.value)] if isinstance(node, ast.keyword) and node.arg == "strict" else []
        words = [*getattr(node, "decorator_list", ()), *getattr(node, "targets", ()), getattr(node, "test", None)]
        if {"overload", "__all__", "TYPE_CHECKING"} & {word.id for word in words if isinstance(word, ast.Name)}:
            yield span(node)


def of_one(tree):
    """Yield the spans of comparisons with what there is one of, a type, None, True or False, for which `==` is `is`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            is_type = isinstance(node.left, ast.Call) and getattr(node.left.func, "id", "") == "type"
            single = any(isinstance(x, ast.Constant) and isinstance(x.value, bool | None) for x in node.comparators)
            yield from [span(node)] if is_type or single else []


def mutants_of(path):
    """Yield the mutants of a module, with the name of the statement that they are in."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    never, single = list(idle(tree)), list(of_one(tree))
    statements = [s for top in tree.body for s in (top.body if isinstance(top, ast.ClassDef) else [top])]
    for mutation in (item.mutations[0] for item in _all_work_items([Path(path)], {})):
        at = mutation.start_pos
        same = mutation.operator_name.removeprefix("core/ReplaceComparisonOperator_") in ("Is_Eq", "IsNot_NotEq")
        if not any(a <= at < b for a, b in never + single * same):
            inside = [s for s in statements if span(s)[0] <= at < span(s)[1]]
            name = next((getattr(s, "name", None) or ast.unparse(s).split(":")[0] for s in inside), "")
            yield Mutant(path, mutation.operator_name, mutation.occurrence, at[0], name)


def text_of(mutant, source):
    return mutate_code(source, get_operator(mutant.operator)(), mutant.occurrence)


class Session:
    """A plugin of pytest: which tests in which order, how long each may take, and the end at the first failure."""

    def __init__(self, order, limit):
        self.order, self.limit, self.seconds = order, limit, {}

    def pytest_collection_modifyitems(self, items):
        items[:] = sorted((i for i in items if self.limit(i.nodeid)), key=lambda item: self.order(item.nodeid))

    def pytest_runtest_logstart(self, nodeid):
        signal.setitimer(signal.ITIMER_PROF, self.limit(nodeid))  # its signal ends the process
        signal.alarm(WAIT)  # and this one's, if it waits for what never comes
        self.seconds[nodeid] = -time.process_time()

    def pytest_runtest_logfinish(self, nodeid):
        self.seconds[nodeid] += time.process_time()

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.end(1, report.nodeid)

    pytest_collectreport = pytest_runtest_logreport

    def end(self, code, failed):
        RESULT.write_text(json.dumps([code, failed, self.seconds, list(sys.modules)]), encoding="utf-8")
        os._exit(0)

    def run(self, path, files):
        signal.setitimer(signal.ITIMER_PROF, 60)
        warnings.simplefilter("error", SyntaxWarning)
        try:
            importlib.import_module(".".join(Path(path).with_suffix("").parts).removesuffix(".__init__"))
        except BaseException as error:
            self.end(1, repr(error))
        main = importlib.import_module("pytest").main
        self.end(int(main([*OPTIONS.split(), "-m", "not slow and not browser", *files], plugins=[self])), "")


def forked(session, path, files):
    """Return pytest's exit code in a child, what failed, the tests' seconds and the modules; 1 if a signal ends it."""
    RESULT.unlink(missing_ok=True)
    if not (pid := os.fork()):
        try:
            os.setpgid(0, 0)
            for stream in (0, 1, 2):
                os.dup2(os.open(os.devnull, os.O_RDWR), stream)
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))  # not of what a browser only reserves
            session.run(path, files)
        finally:
            os._exit(9)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what its tests have started
    if RESULT.exists():
        return json.loads(RESULT.read_text(encoding="utf-8"))
    tests_did_it = -status in ENDS  # not somebody
    return 1 if tests_did_it else status, f"exit code {status}", {}, ()


def enter(folder, tree):
    """Make a copy of the tree, from which the children import."""
    copy = tempfile.mkdtemp(dir=folder)
    shutil.copytree(tree, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"), dirs_exist_ok=True)
    compileall.compile_dir(copy, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)  # not by time and size
    os.chdir(copy)
    sys.path[0] = os.environ["PYTHONPATH"] = copy
    importlib.invalidate_caches()


def baseline(paths):
    """Measure the tests' seconds, unchanged; leave if one fails; import what they import, but not the package."""
    files = list(dict.fromkeys(file for path in paths for file in files_of(path)))
    order = Counter()
    for _ in range(2):  # in this order and in the reverse
        code, failed, found, modules = forked(Session(order.__getitem__, lambda test: WAIT), paths[0], files)
        if code:
            sys.exit(f"unchanged, pytest ends with {code}: {failed}")
        order.update({test: -i for i, test in enumerate(found)})
        for name in modules:
            if name.partition(".")[0] not in ("micrograd_cn", "tests"):
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)
    gc.freeze()
    seconds.update(found)


def run(mutant):
    """Return the mutant, the exit code of its tests, and which failed."""
    path, known, files = Path(mutant.path), kills[mutant.path, mutant.statement], files_of(mutant.path)

    def order(test):
        return -known[test], seconds[test] / (50 if mutant.statement in test.rpartition("::")[2] else 1)

    def limit(test):
        wanted = seconds.get(test, SLOW) < SLOW and (path.stem in TABLE or "accurate_over" not in test)
        return 2 + 10 * seconds[test] if wanted else 0

    first = {files[0], max(known, key=known.get, default=files[1]).partition("::")[0]}  # to collect all takes longer
    code = killer = 0
    source = path.read_text(encoding="utf-8")
    path.write_text(text_of(mutant, source), encoding="utf-8")
    try:
        for group in (first, [file for file in files if file not in first]):
            if group and not code:
                code, killer, *_ = forked(Session(order, limit), mutant.path, group)
        known.update([killer] * (killer in seconds))
    finally:
        path.write_text(source, encoding="utf-8")
    return mutant, code, killer


def show(mutant, code, killer):
    source = Path(mutant.path).read_text(encoding="utf-8")  # this process leaves its copy alone
    pairs = zip(source.split("\n"), text_of(mutant, source).split("\n"), strict=False)
    print(f"\n{mutant.path}:{mutant.line} {mutant.statement} {mutant.operator} {mutant.occurrence}: {killer or code}")
    print(
        *[f"{sign} {t.strip()}" for a, b in pairs if a != b for sign, t in zip("-+", (a, b), strict=True)],
        sep="\n",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", default=CORE)
    for name, default in (("jobs", 1), ("sample", 0), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    chosen = parser.parse_args()
    os.environ |= dict.fromkeys(VARIABLES.split(), "1")
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as folder:
        enter(folder, ROOT)
        baseline(chosen.paths)
        mutants = [m for path in chosen.paths for m in mutants_of(path)]
        slow = [test for test in seconds if seconds[test] >= SLOW]
        print(f"{len(seconds)} tests, {len(mutants)} mutants; left out:", *slow, flush=True)
        if 0 < chosen.sample < len(mutants):
            mutants = random.Random(chosen.seed).sample(mutants, chosen.sample)
        start, total, killed = time.perf_counter(), Counter(), Counter()
        with multiprocessing.get_context("fork").Pool(chosen.jobs, enter, [folder, Path.cwd()]) as pool:
            for mutant, code, killer in pool.imap(run, mutants):
                total[mutant.path] += 1
                killed[mutant.path] += code == 1
                if code != 1:
                    show(mutant, code, killer)
                else:
                    print(".", end="", flush=True)
    print(f"\n{(time.perf_counter() - start) / len(mutants):.3f} s a mutant\nfile: mutants, killed, survivors, score")
    for path, n, k in [*[(path, n, killed[path]) for path, n in total.items()], ("all", total.total(), killed.total())]:
        print(f"{path}: {n}, {k}, {n - k}, {k / n:.1%}")


if __name__ == "__main__":
    main()
