"""Plant faults in the package, one at a time, and print those that no test notices.

    nice python tests/mutation.py --all --sample 200 --seed 1 --jobs 2  # 200 faults in lines of all rooms
    nice python tests/mutation.py micrograd_cn/graph micrograd_cn/quick.py  # every fault in these

A sample draws lines first and then one fault in each, so each line of code has the same chance. A fault replaces a
comparison, an operator of arithmetic, `and` or `or` by another, negates a condition, puts a number one up or one down,
returns None instead of a result, removes a call that is a statement, or takes away a loop, an exception or a decorator.
cosmic-ray has most of them, and coverage notes which tests run a line
(`pip install 'cosmic-ray>=8,<9' 'coverage>=7.6,<8'`).

The folders of `tests/` mirror the package, so they say which files have the tests of a room, and TESTS adds what they
do not say. Before a fault is planted, the files of all rooms with faults run once, unchanged, and coverage notes which
test runs which line. A fault then meets the tests that run its line, the quickest first, up to the first that fails or
to a minute of them. Those of the module's doctests and of the file of its name that are left come last. If no test runs
the line, or it runs when the module is imported, the fault meets all tests of its room. Tests that are marked slow or
need a browser are left out.

This process imports what the tests import, but nothing of the package. Each fault is planted in a copy of the tree, and
its tests run in a fork of this process. A fault is noticed if the module cannot be imported, if a test fails, or if a
test needs more than ten times its processor time, or waits for minutes. Tests that fail unchanged are named and left
out. Those that fail only while coverage traces them are not.

Some changes are never planted, since they change nothing: annotations, which `from __future__ import annotations` makes
text, stubs of `@overload`, `if TYPE_CHECKING`, `__all__`, and `==` for `is` beside `type(x)`, None, True or False.
`strict=` of zip and `@abstractmethod` are left alone, too, since they assert what holds: that lists are equally long,
and that each subclass has the method. mypy says so where one has not. Other decorators are not left alone. Without
`@functools.wraps`, for example, a user sees another name.
"""

import argparse
import ast
import compileall
import contextlib
import difflib
import gc
import importlib
import itertools
import json
import multiprocessing
import os
import random
import re
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

import pytest

ROOT, PACKAGE, RESULT = Path(__file__).resolve().parent.parent, "micrograd_cn", Path("result.json")
LINES = ".lines"  # how the files begin in which coverage notes lines
# The rooms of the core are one idea in several modules, which the same tests pin.
CORE = "test_engine.py test_gradients.py test_quick.py test_properties.py test_saved_files.py graph ops"
TESTS = {  # files and folders of tests/ that the layout does not give to a module or a room
    **dict.fromkeys(("ops", "graph", "engine", "quick", "gradients", "sequences"), CORE),
    "__init__": "test_package.py",
    "__main__": "test_cli.py",
    "derivatives": "test_functional.py test_saved_files.py compiler/test_compiled_habits.py "
    "graph/test_plain_numbers.py graph/test_value_arrays.py",
    "flow/flow": "picture/test_animation.py",
    "losses": "test_loss_options.py",
    **dict.fromkeys(("moved", "nn"), "test_saved_files.py"),
    "optim": "test_saved_files.py graph/test_outdated.py parameters compiler/test_single_steps.py",
    "module": "parameters test_nn.py test_saved_files.py",
    "parameters": "test_module.py test_nn.py test_saved_files.py graph/test_array_updates.py",
    "text/expression": "test_cli.py",
    "text/words": "test_cli.py picture",
}
OPTIONS = "-q -p no:cacheprovider --assert=plain --doctest-modules --basetemp=tmp -o addopts=--import-mode=importlib"
VARIABLES = "CI HYPOTHESIS_NO_PLUGINS PYTEST_DISABLE_PLUGIN_AUTOLOAD PYTHONDONTWRITEBYTECODE"
ENDS = (signal.SIGPROF, signal.SIGALRM, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
PASSED, FAILED, NOTHING = 0, 1, 5  # of pytest's exit codes; NOTHING where all tests of a file are left out
MEMORY, COLLECTION, WAIT = 4 << 30, 60, 180  # bytes, seconds
SPAN = 60  # processor seconds of the tests that run the line of a fault
Fault = namedtuple("Fault", "path operator occurrence line statement")
seconds, noticed = {}, defaultdict(Counter)  # of each test, unchanged; by statement: how many faults each test noticed
broken = set()  # tests that fail unchanged
runners = {}  # for each file and line: the quickest tests that run it


# The tests of a module


def modules(root):
    """Return the paths of the modules in a folder; or of the module, if it is one."""
    paths = [path.as_posix() for path in ([root] if root.is_file() else sorted(root.rglob("*.py")))]
    if not paths or not all(path.startswith(f"{PACKAGE}/") and path.endswith(".py") for path in paths):
        raise LookupError(f"{root} is no module of {PACKAGE}, and no folder of its modules")
    return paths


def room_of(path):
    return Path(path).relative_to(PACKAGE).with_suffix("").parts[0]


def tests_of(path):
    """Return the files with a module's tests: that of its name, then others of its room, those like it first."""
    module, tests = Path(path).relative_to(PACKAGE).with_suffix(""), Path("tests")
    room, words = room_of(path), {*re.split("[/_]", module.as_posix())}
    named = [tests / name for key in dict.fromkeys((module.as_posix(), room)) for name in TESTS.get(key, "").split()]
    if lost := [place.as_posix() for place in named if not place.exists()]:
        raise LookupError(f"{path}: there is no {', no '.join(lost)}; correct TESTS in tests/mutation.py")
    own = (tests / module).with_name(f"test_{module.name}.py")
    places = [tests / f"test_{room}.py", tests / room, *named]
    files = [file for place in places for file in (sorted(place.rglob("test_*.py")) or [place]) if file.is_file()]
    if not files:
        raise LookupError(f"{path} has no tests: no {own}, no folder tests/{room}; name them in TESTS")
    files.sort(key=lambda file: (file != own, -len(words.intersection(file.stem.split("_")))))
    return [file.as_posix() for file in dict.fromkeys(files)]


# The faults


def operators():
    """Return the operators by name: those of cosmic-ray that take no arguments, and three that it lacks."""
    from cosmic_ray.operators.operator import Operator
    from cosmic_ray.plugins import get_operator, operator_names
    from parso import parse

    class NegateCondition(Operator):
        """Negate what `if`, `elif`, `while`, `assert`, `x if c else y` or a comprehension asks."""

        examples = None

        def places(self, node):
            if node.type in ("if_stmt", "while_stmt", "assert_stmt", "comp_if", "test"):
                words = [getattr(child, "value", "") for child in node.children]
                return [i + 1 for i, word in enumerate(words) if word in ("if", "elif", "while", "assert")]
            return []

        def mutation_positions(self, node):
            return [(node.children[i].start_pos, node.children[i].end_pos) for i in self.places(node)]

        def mutate(self, node, index):
            place = self.places(node)[index]
            node.children[place] = parse(f" not ({node.children[place].get_code().strip()})")
            return node

    class ReturnNone(Operator):
        """Return None instead of the result."""

        examples = None

        def mutation_positions(self, node):
            if node.type == "return_stmt" and node.children[1].get_code().strip() != "None":
                yield node.start_pos, node.end_pos

        def mutate(self, node, index):
            node.children[1] = parse(" None")
            return node

    class RemoveCall(Operator):
        """Remove a call that is a statement."""

        examples = None

        def mutation_positions(self, node):
            call = node.children[0] if node.type == "simple_stmt" else node
            if call.type == "atom_expr" and call is not node and call.children[-1].get_code().startswith("("):
                yield call.start_pos, call.end_pos

        def mutate(self, node, index):
            node.children[0] = parse(node.get_first_leaf().prefix + "pass")
            return node

    theirs = {name: get_operator(name) for name in operator_names() if name != "core/AddNot"}
    ours = {operator.__name__: operator for operator in (NegateCondition, ReturnNone, RemoveCall)}
    return {name: operator() for name, operator in (theirs | ours).items() if not operator.arguments()}


def kind_of(fault):
    """Return the kind of a fault. A sample draws it first, so a kind with many replacements is no likelier."""
    return fault.operator.partition("_")[0]


def span(node):
    first = min([n.lineno for n in getattr(node, "decorator_list", ())], default=node.lineno)
    return (first, 0 if first < node.lineno else node.col_offset), (node.end_lineno, node.end_col_offset)


def idle(tree):
    """Yield the first and last position, (line, column), of what never runs or is only read."""
    for node in ast.walk(tree):
        yield from [span(part) for name in ("annotation", "returns") if (part := getattr(node, name, None))]
        yield from [span(node.value)] if isinstance(node, ast.keyword) and node.arg == "strict" else []
        decorators = getattr(node, "decorator_list", ())
        yield from [((x.lineno, 0), span(x)[1]) for x in decorators if getattr(x, "id", "") == "abstractmethod"]
        words = [*decorators, *getattr(node, "targets", ()), getattr(node, "test", None)]
        if {"overload", "__all__", "TYPE_CHECKING"} & {word.id for word in words if isinstance(word, ast.Name)}:
            yield span(node)


def of_one(tree):
    """Yield the spans of comparisons with what there is one of, a type, None, True or False, for which `==` is `is`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            is_type = isinstance(node.left, ast.Call) and getattr(node.left.func, "id", "") == "type"
            single = any(isinstance(x, ast.Constant) and isinstance(x.value, bool | None) for x in node.comparators)
            yield from [span(node)] if is_type or single else []


def faults_of(path, kinds):
    """Yield the faults of a module, with the name of the statement that they are in."""
    from cosmic_ray.ast import ast_nodes, get_ast

    source = Path(path).read_text(encoding="utf-8")
    tree, nodes = ast.parse(source), list(ast_nodes(get_ast(source)))
    never, single = list(idle(tree)), list(of_one(tree))
    statements = [s for top in tree.body for s in (top.body if isinstance(top, ast.ClassDef) else [top])]
    for name, operator in kinds.items():
        same = name.removeprefix("core/ReplaceComparisonOperator_") in ("Is_Eq", "IsNot_NotEq")
        starts = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, at in enumerate(starts):
            if not any(a <= at < b for a, b in never + single * same):
                inside = [s for s in statements if span(s)[0] <= at < span(s)[1]]
                statement = next((getattr(s, "name", None) or ast.unparse(s).split(":")[0] for s in inside), "")
                yield Fault(path, name, occurrence, at[0], statement)


def start_of(fault):
    """Return the first line of the innermost function whose body has the fault; None outside of functions."""
    bodies = [
        node.body[0].lineno
        for node in ast.walk(ast.parse(Path(fault.path).read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body[0].lineno <= fault.line <= node.end_lineno
    ]
    return max(bodies, default=None)


def tests_that_run(fault, tests):
    """Return the tests that run the line of a fault, the quickest first, as many as SPAN allows.

    Python notes no line for some lines of a long statement, so the nearest line above in the same function that has
    tests counts. What runs when the module is imported has none.

    Args:
        fault: a Fault.
        tests: a dict from the lines of its file to the names of tests that run them; "" is no test.
    """
    start = start_of(fault)
    lines = () if start is None else range(fault.line, start - 1, -1)
    found, total = [], 0
    for test in sorted(next(filter(None, ({*tests.get(line, ())} - {""} for line in lines)), ()), key=by_seconds):
        total += seconds.get(test, 0)
        if total > SPAN:
            break
        found.append(test)
    return found


def by_seconds(test):
    return seconds.get(test, 0), test


def text_of(fault, source):
    from cosmic_ray.mutating import mutate_code

    return mutate_code(source, operators()[fault.operator], fault.occurrence)


def is_program(fault):
    """Return whether the module with the fault is Python, and another program than without it."""
    source = Path(fault.path).read_text(encoding="utf-8")
    try:
        return ast.dump(ast.parse(text_of(fault, source))) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False


def drawn(faults, count, seed):
    """Draw `count` lines, and in each line a kind of fault and then a fault of this kind."""
    lines = defaultdict(lambda: defaultdict(list))
    for fault in faults:
        lines[fault.path, fault.line][kind_of(fault)].append(fault)
    found = []
    for path, line in random.Random(seed).sample(sorted(lines), len(lines)):
        draw = random.Random(f"{seed} {path} {line}")
        kinds = [draw.sample(of_kind, len(of_kind)) for of_kind in lines[path, line].values()]
        choices = itertools.chain(*draw.sample(kinds, len(kinds)))
        found += itertools.islice(filter(is_program, choices), 1)
        if len(found) == count:
            break
    return found


# The tests, run in a fork


class Session:
    """A plugin of pytest: which tests in which order, how long each may take, and the end at the first failure.

    Args:
        order: a function that returns, for the id of a test, by which to sort the tests.
        limit: a function that returns, for the id of a test, the processor seconds that it may take.
        keep_going: whether to run on after a failure.
        wanted: a function that returns whether to run a test.
        notes_lines: whether to note which lines of the package each test runs.
    """

    def __init__(self, order, limit, keep_going=False, wanted=lambda test: True, notes_lines=False):
        self.order, self.limit, self.keep_going, self.wanted = order, limit, keep_going, wanted
        self.seconds, self.failed, self.lines = {}, [], traced_lines() if notes_lines else None
        self.result = RESULT.absolute()  # since a test that fails may have changed the working directory

    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if item.nodeid not in broken and self.wanted(item.nodeid)]
        items.sort(key=lambda item: self.order(item.nodeid))

    def pytest_runtest_protocol(self, item):
        if self.lines:
            self.lines.switch_context(item.nodeid)

    def pytest_runtest_logstart(self, nodeid):
        signal.setitimer(signal.ITIMER_PROF, self.limit(nodeid))  # its signal ends the process
        signal.alarm(WAIT)  # and this one's, if it waits for what never comes
        self.seconds[nodeid] = -time.process_time()

    def pytest_runtest_logfinish(self, nodeid):
        self.seconds[nodeid] += time.process_time()

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.append(report.nodeid)
            if not self.keep_going:
                self.end(FAILED)

    def pytest_collectreport(self, report):
        if report.failed:
            self.failed.append(report.nodeid)
            self.end(FAILED)

    def end(self, code):
        if self.lines:
            self.lines.stop()
            self.lines.save()
        found = [code, self.failed, self.seconds, list(sys.modules)]
        self.result.write_text(json.dumps(found), encoding="utf-8")
        os._exit(0)

    def run(self, path, files):
        signal.setitimer(signal.ITIMER_PROF, COLLECTION)
        signal.alarm(WAIT)
        warnings.simplefilter("error", SyntaxWarning)
        if self.lines:
            self.lines.start()
        try:
            importlib.import_module(".".join(Path(path).with_suffix("").parts).removesuffix(".__init__"))
        except BaseException as error:
            self.failed.append(repr(error))
            self.end(FAILED)
        self.end(int(pytest.main([*OPTIONS.split(), "-m", "not slow and not browser", *files], plugins=[self])))


def traced_lines():
    """Return what notes the lines of the package that run, and writes them to a file in this copy of the tree."""
    from coverage import Coverage

    found = Coverage(LINES, data_suffix=True, config_file=False, include=[f"{PACKAGE}/*"], concurrency="thread")
    found.set_option("run:relative_files", True)  # so the notes of all copies of the tree are about the same files
    return found


def forked(session, path, files):
    """Run tests in a child. Return pytest's exit code, what failed, the tests' seconds, and the modules.

    The exit code is 1 if a signal ends the child.
    """
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
    return FAILED if tests_did_it else status, [f"exit code {status}"], {}, ()


def enter(folder, tree):
    """Make a copy of the tree, from which the children import."""
    copy = tempfile.mkdtemp(dir=folder)
    shutil.copytree(tree, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"), dirs_exist_ok=True)
    compileall.compile_dir(copy, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)  # not by time and size
    os.chdir(copy)
    sys.path[0] = os.environ["PYTHONPATH"] = copy
    importlib.invalidate_caches()


def baseline(faults, jobs, folder):
    """Run the tests of the faults' rooms, unchanged. Note their seconds, the lines they run, and which of them fail.

    Import what they import, too, but not the package.
    """
    from coverage import CoverageData

    paths = dict.fromkeys(fault.path for fault in faults)
    files = dict.fromkeys(file for path in paths for file in [path, *tests_of(path)])
    largest_first = sorted(files, key=lambda file: -Path(file).stat().st_size)
    with multiprocessing.get_context("fork").Pool(jobs, enter, [folder, Path.cwd()]) as pool:
        for file, code, failed, took, loaded in pool.imap_unordered(run_unchanged, largest_first, chunksize=1):
            if code not in (PASSED, FAILED, NOTHING) or not {*failed} <= took.keys():
                sys.exit(f"{file}: unchanged, its tests cannot be run: pytest ends with {code}, {failed}")
            broken.update(failed)
            seconds.update(took)
            for name in loaded:
                if name.partition(".")[0] not in (PACKAGE, "tests"):
                    with contextlib.suppress(ImportError):
                        importlib.import_module(name)
    notes = CoverageData(no_disk=True)
    for part in Path(folder).glob(f"*/{LINES}.*"):
        data = CoverageData(str(part))
        data.read()
        notes.update(data)
    for path, of_file in itertools.groupby(faults, key=lambda fault: fault.path):  # they are sorted by files
        tests = notes.contexts_by_lineno(path)
        runners.update(((path, fault.line), tests_that_run(fault, tests)) for fault in of_file)
    gc.freeze()


def run_unchanged(file):
    """Run the unchanged tests of a file. Return its path, and what `forked` returns; failed is what fails untraced."""
    package = f"{PACKAGE}/__init__.py"
    everything = Session(lambda test: 0, lambda test: WAIT, keep_going=True, notes_lines=True)
    code, failed, took, loaded = forked(everything, package, [file])
    if failed and {*failed} <= took.keys():
        again = Session(lambda test: 0, lambda test: WAIT, keep_going=True, wanted={*failed}.__contains__)
        code, failed, *_ = forked(again, package, [file])
    return file, code, failed, took, loaded


def run(fault):
    """Return the fault, the exit code of its tests, which failed, and how many ran."""
    path, known, chosen = Path(fault.path), noticed[fault.path, fault.statement], runners[fault.path, fault.line]
    first = dict.fromkeys([*sorted(known, key=lambda test: -known[test]), *chosen])
    rank = {test: k for k, test in enumerate(first)}
    own = [fault.path, *(tests_of(fault.path)[:1] if chosen else tests_of(fault.path))]

    def order(test):
        return rank.get(test, len(rank)), by_seconds(test)

    def limit(test):
        return 2 + 10 * seconds.get(test, 1)

    def is_wanted(test):
        return test in rank or file_of(test) in own

    source = path.read_text(encoding="utf-8")
    path.write_text(text_of(fault, source), encoding="utf-8")
    try:
        files = dict.fromkeys([*own, *map(file_of, rank)])
        code, failed, done, _ = forked(Session(order, limit, wanted=is_wanted), fault.path, files)
        known.update(test for test in failed if test in seconds)
    finally:
        path.write_text(source, encoding="utf-8")
    return fault, code, failed, len(done)


def file_of(test):
    return test.partition("::")[0]


def show(fault, code, failed, count):
    """Print a fault that none of so many tests noticed. If pytest itself broke down, say how."""
    source = Path(fault.path).read_text(encoding="utf-8")  # this process leaves its copy alone
    lines = difflib.unified_diff(source.split("\n"), text_of(fault, source).split("\n"), n=0, lineterm="")
    end = f"; {count} tests" if code in (PASSED, NOTHING) else f": pytest ended with {code}, {', '.join(failed)}"
    print(f"\n{fault.path}:{fault.line} {fault.statement[:40]} ({kind_of(fault)}){end}")
    print(*[f"    {line[0]} {line[1:].strip()}" for line in [*lines][3:] if line[0] in "+-"], sep="\n", flush=True)


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", help="modules, or folders of them")
    parser.add_argument("--all", action="store_true", help="plant faults in all rooms of the package")
    parser.add_argument("--sample", type=int, default=0, help="how many faults; without it, every one")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same faults of the same tree")
    parser.add_argument("--jobs", type=int, default=1, help="how many faults are tried at once")
    chosen = parser.parse_args()
    if chosen.all == bool(chosen.paths):
        parser.error("say --all, or name modules or folders")
    try:
        roots = [Path(path).resolve().relative_to(ROOT) for path in chosen.paths or [ROOT / PACKAGE]]
        chosen.paths = [path for root in roots for path in modules(root)]
        for path in modules(Path(PACKAGE)):  # all of them, so that a move shows wherever it was made
            tests_of(path)
        operators()
        importlib.import_module("coverage")
    except (LookupError, ValueError) as error:
        parser.error(str(error))
    except ImportError as error:
        parser.error(f"{error}: pip install 'cosmic-ray>=8,<9' 'coverage>=7.6,<8'")
    return chosen


def main():
    os.chdir(ROOT)
    chosen = options()
    os.environ |= dict.fromkeys(VARIABLES.split(), "1") | {"COVERAGE_CORE": "ctrace"}  # others know no contexts
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as folder:
        enter(folder, ROOT)
        kinds = operators()
        faults = [fault for path in chosen.paths for fault in faults_of(path, kinds)]
        total = f"{len(faults)} in {len({(fault.path, fault.line) for fault in faults})} lines"
        faults = drawn(faults, chosen.sample, chosen.seed) if chosen.sample else [*filter(is_program, faults)]
        faults.sort(key=lambda fault: (fault.path, fault.line))
        if not faults:
            sys.exit("there is nothing in these modules to plant a fault in")
        baseline(faults, chosen.jobs, folder)
        print(f"{len(faults)} faults of {total}; {len(seconds)} tests", flush=True)
        if broken:
            print("left out, since they fail unchanged:", *sorted(broken), sep="\n    ", flush=True)
        start, tried, missed = time.perf_counter(), Counter(), Counter()
        with multiprocessing.get_context("fork").Pool(chosen.jobs, enter, [folder, Path.cwd()]) as pool:
            for fault, code, failed, count in pool.imap(run, faults):
                tried[room_of(fault.path)] += 1
                if code != FAILED:
                    missed[room_of(fault.path)] += 1
                    show(fault, code, failed, count)
                else:
                    print(".", end="", flush=True)
    print(f"\n{(time.perf_counter() - start) / len(faults):.1f} s a fault\nroom: faults, noticed, not noticed")
    for room, n, k in [*[(room, n, missed[room]) for room, n in tried.items()], ("all", len(faults), missed.total())]:
        print(f"{room}: {n}, {n - k}, {k} ({1 - k / n:.1%} noticed)")


if __name__ == "__main__":
    main()
