"""Imports in the package run one way, public names have docstrings, and only the table asks for one operation."""

import ast
import gc
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import micrograd_cn
from micrograd_cn import OPS, Op

ROOT = Path(micrograd_cn.__file__).parent


def module_name(path: Path) -> str:
    """Return the name of a module inside the package, such as "ops.table", or "" for the package itself."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
PACKAGES = {module_name(path) for path in ROOT.rglob("__init__.py")}


@cache
def trees() -> dict[str, ast.Module]:
    """Return the syntax tree of each module."""
    gc.disable()  # it would visit all trees again and again
    try:
        return {module: ast.parse(path.read_text("utf-8")) for module, path in MODULES.items()}
    finally:
        gc.enable()


# Imports

# A room is a file or a folder of the package. It imports only rooms that come before it in this list, so whoever reads
# the rooms in this order knows all names that a room uses.
ROOMS = (
    *("ops", "graph", "engine", "sequences", "quick", "gradients", "text", "parameters", "derivatives"),
    *("module", "init", "nn", "losses", "optim", "functional", "handwritten", "picture", "flow", "compiler"),
    "",  # the package itself, which imports the pictures when they are asked for
    *("testing", "__main__", "moved"),
)
# The order of the modules and folders inside a folder.
INSIDE = {
    "ops": (
        *("number", "registry", "options", "checks", "traits", "operation", "ieee", "special", "rounding", "table"),
        "linear",
    ),
    "graph": (
        *("interrupts", "operators", "callers", "handlers", "conversion", "plain_numbers", "nan_order", "groups"),
        *(
            "anomaly",
            "stepwise",
            "context",
            "unsupported",
            "array_updates",
            "numpy_methods",
            "numpy_errors",
            "operand_sets",
            "subclasses",
            "scopes",
            "closures",
            "outdated",
        ),
        *("node", "nan_to_num", "value_arrays", "references"),
    ),
    "derivatives": ("argument_binding", "finite_field", "selected", "arithmetic", "elimination", "sparse"),
    "parameters": (
        *("changes", "tree", "model", "members", "records", "states", "stored", "unheld", "lost", "opaque"),
        *("hidden", "copied", "calls", "repeated"),
        *("class_attributes", "structures", "functions", "assignment", "listing", "construction", "entries", "files"),
    ),
    "optim": ("by_optimizer", "optimizer", "sgd", "rmsprop", "adam", "clipping", "early_stopping", "schedules"),
    "text": ("absent", "words", "public_names", "expression", "formula"),
    "testing": (
        *("numeric", "inputs", "report", "value_checks", "arrays", "gradcheck", "drawing", "strategies"),
        *("checks_gradient", "operations", "find_functions", "pytest_plugin"),
    ),
    "compiler": (
        *("threads", "instructions", "llvm", "surroundings", "data", "python", "loops", "tables", "native", "runtime"),
        *("agreement", "training", "c", "wrt", "derivatives", "guards", "program", "function"),
    ),
    "compiler.function": (
        *(
            "traced",
            "hooks",
            "caught",
            "arguments",
            "number_calls",
            "advice",
            "differences",
            "leaves",
            "recording",
            "reruns",
            "recorder",
            "plain_errors",
            "refusals",
        ),
        *(
            "merged",
            "store",
            "batch",
            "variables",
            "stale",
            "array_calls",
            "merged_calls",
            "sub_batches",
            "fitting",
            "short_fits",
            "jit",
            "minimize",
        ),
    ),
}
ENTRIES = 24  # files and folders in the package's own folder, at most; a newcomer reads them as a table of contents
# Exceptions: imports inside functions, or for types alone, that point the other way, and the reason.
LAZY = {("", "testing"): "micrograd_cn.testing has its type for a type checker, and is imported when it is asked for"}
CYCLIC = {("", "testing"): "expressions print code that imports the package"}


def absolute(module: str, node: ast.ImportFrom) -> str | None:
    """Return the module of this package that `from ... import` names, or None if it names another package."""
    name = node.module or ""
    if not node.level:
        first, _, rest = name.partition(".")
        return rest if first == "micrograd_cn" else None
    parts = module.split(".") if module else []
    parts = parts[: len(parts) - node.level + (module in PACKAGES)]
    return ".".join([*parts, *([name] if name else [])])


def statements(block: ast.AST, lazy: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Yield the statements in a block, and whether each does not run when the module is imported."""
    for node in (
        node for field in ("body", "orelse", "finalbody", "handlers", "cases") for node in getattr(block, field, ())
    ):
        yield node, lazy
        types_alone = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        yield from statements(node, lazy or types_alone or isinstance(node, ast.FunctionDef))


def imported(module: str, tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Yield each module of the package that a module imports, and whether it does so lazily."""
    for node, lazy in statements(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first, _, rest = alias.name.partition(".")
                if first == "micrograd_cn":
                    yield rest, lazy
        elif isinstance(node, ast.ImportFrom) and (source := absolute(module, node)) is not None:
            for alias in node.names:
                name = f"{source}.{alias.name}".removeprefix(".")
                yield (name if name in MODULES else source), lazy


@cache
def edges() -> dict[tuple[str, str], bool]:
    """Return all pairs (module, module that it imports) in the package, and whether the import is lazy."""
    return {(module, target): lazy for module, tree in trees().items() for target, lazy in imported(module, tree)}


def room(module: str) -> str:
    """Return the file or folder of the package that a module is in."""
    return module.partition(".")[0]


def test_every_module_is_in_a_room_of_the_order():
    assert {room(module) for module in MODULES} <= set(ROOMS)
    assert {target for _, target in edges()} <= set(MODULES)
    assert len(edges()) > len(MODULES)


def test_a_room_imports_only_rooms_before_it():
    def backward(module: str, target: str) -> bool:
        return ROOMS.index(room(target)) > ROOMS.index(room(module))

    found = {edge: lazy for edge, lazy in edges().items() if backward(*edge)}
    assert {edge for edge, lazy in found.items() if not lazy} == set()
    assert found.keys() - LAZY.keys() == set()
    assert LAZY.keys() <= found.keys(), "an exception that is no longer needed; delete it"


@pytest.mark.parametrize("folder", INSIDE)
def test_inside_a_folder_imports_run_one_way_too(folder):
    def inside(module: str) -> str:
        """Return the module or folder in `folder` that `module` is in, or "" if it is elsewhere."""
        return module.removeprefix(f"{folder}.").partition(".")[0] if module.startswith(f"{folder}.") else ""

    rooms = {(inside(a), inside(b)) for a, b in edges() if inside(a) and inside(b)}
    assert {inside(module) for module in MODULES} - {""} == set(INSIDE[folder])
    assert [(a, b) for a, b in rooms if INSIDE[folder].index(b) > INSIDE[folder].index(a)] == []


def test_the_package_is_a_table_of_contents_and_each_folder_says_its_idea():
    """The package's own folder has few entries, and the first line of each folder's docstring is a sentence."""
    entries = [path.name for path in ROOT.iterdir() if path.suffix in ("", ".py") and path.name != "__pycache__"]
    assert len(entries) <= ENTRIES, entries
    for folder in ROOT.glob("*/__init__.py"):
        first, *_ = (ast.get_docstring(ast.parse(folder.read_text("utf-8"))) or "").splitlines()
        assert first.endswith("."), folder


def circle(imports: Iterable[tuple[str, str]]) -> str:
    """Return the names of modules that import each other in a circle, or "" if there are none."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for module, target in imports:
        sorter.add(module, target)
    try:
        sorter.prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return ""


def test_no_module_imports_itself_by_way_of_others():
    others = edges().keys() - CYCLIC.keys()
    assert circle(others) == ""
    for edge in CYCLIC:
        assert edge in edges(), f"{edge} is imported no more: delete the exception"
        assert circle({*others, edge}), f"{edge} closes no circle any more: delete the exception"


def test_tests_of_the_checker_import_no_private_names():
    found = {}
    for path in Path(__file__).parent.glob("testing/*.py"):
        imports = re.findall(r"^ *from micrograd_cn[\w.]* import (\([^)]*\)|.*)", path.read_text("utf-8"), re.MULTILINE)
        if private := re.findall(r"\b_\w+", " ".join(imports)):
            found[path.stem] = private
    assert found == {}


def test_the_folders_of_the_tests_are_those_of_the_package_and_the_demos():
    folders = {path.parent.name for path in Path(__file__).parent.glob("*/test_*.py")}
    assert folders - {"demos"} == {path.parent.name for path in ROOT.glob("*/__init__.py")}


# What is public

# Modules that users import by name, and those of the core that are read in order.
PUBLIC = (
    *("", "engine", "gradients", "functional", "nn", "module", "init", "losses"),
    *("ops", "optim", "picture", "handwritten", "flow", "testing", "compiler"),
)
NO_EXAMPLE: dict[str, str] = {}  # public names without an example, and why


@pytest.mark.parametrize("module", PUBLIC)
def test_a_module_says_what_of_it_is_public(module):
    """A module that users import by name has `__all__`, and all names in it exist."""
    loaded = importlib.import_module(f"micrograd_cn.{module}".removesuffix("."))
    assert hasattr(loaded, "__all__"), f"{loaded.__name__} has no __all__"
    assert all(hasattr(loaded, name) for name in loaded.__all__)


def documented(module: str) -> Iterator[tuple[str, str | None, str]]:
    """Yield the name, the docstring and the class's docstring of each public object of a module.

    These are functions, classes with their methods and properties, and operations.
    """
    loaded = importlib.import_module(f"micrograd_cn.{module}".removesuffix("."))
    for name in getattr(loaded, "__all__", ()):
        thing = getattr(loaded, name)
        if isinstance(thing, Op):
            yield name, thing.doc, ""
        elif inspect.isclass(thing):
            yield name, thing.__doc__, ""
            for base in thing.__mro__:
                if base.__module__.startswith("micrograd_cn"):
                    for attribute, member in vars(base).items():
                        if not attribute.startswith("_") and is_documentable(member):
                            yield f"{name}.{attribute}", member.__doc__, thing.__doc__ or ""
        elif inspect.isroutine(thing):
            yield name, inspect.getdoc(thing), ""


def is_documentable(member: object) -> bool:
    """Return whether a class's attribute is a method or a property."""
    return isinstance(member, (property, staticmethod, classmethod)) or inspect.isroutine(member)


@pytest.mark.parametrize("module", PUBLIC)
def test_what_is_public_has_a_docstring_with_an_example(module):
    """Each public object has a docstring, and an example in it or in the docstring of its class."""
    for name, text, class_text in documented(module):
        assert re.match(r"\S.*\S", text or ""), f"{name} has no docstring"
        assert (">>> " in text or ">>> " in class_text) != (name in NO_EXAMPLE), f"{name} has no example"


# Facts about one operation belong in its row

WORDS = {*OPS, *(op.notation.symbol for op in OPS.values())}  # the rows' names and symbols


class Hit(NamedTuple):
    """A line of code that asks for one operation, and the function that it is in."""

    place: str
    line: int
    text: str


class Scan:
    """Find code of a module that treats one operation in another way than others, instead of reading a fact in its row.

    Such code compares with an operation, its name or its symbol, has a collection of operations or a `match` with one,
    looks an operation up by a name, or sets the `op` of a node. Calling or recording an operation is allowed.
    """

    def __init__(self, tree: ast.AST) -> None:
        nodes = list(ast.walk(tree))
        self.tables = {"ops"}  # names that the module has for the table, and for operations
        self.rows: set[str] = set()
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                from_table = (node.module or "").rpartition(".")[2] in ("ops", "micrograd_cn")
                self.tables |= {alias.asname or "ops" for alias in node.names if alias.name == "ops"}
                self.rows |= {alias.asname or alias.name for alias in node.names if from_table and alias.name in OPS}
        plain = [n for n in nodes if isinstance(n, ast.Assign)]
        pairs = [(left, right) for n in plain for left, right in assignments(n) if self.is_row(right)]
        self.rows |= {left.id for left, _ in pairs if isinstance(left, ast.Name)}
        self.by_hand = {left for left, _ in pairs if is_attribute(left, "op")}
        # The two sides of `a, b = c, d` are tuples, but not collections of operations.
        self.unpacked = {side for n in plain if isinstance(n.targets[0], ast.Tuple) for side in (n.targets[0], n.value)}

    def is_row(self, node: ast.AST | None) -> bool:
        """Return whether an expression is an operation of the table."""
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=row):
                return name in self.tables and row in OPS
            case ast.Name(id=name):
                return name in self.rows
        return self.is_lookup(node)

    def is_lookup(self, node: ast.AST | None) -> bool:
        """Return whether an expression looks an operation up by a name that is written there."""
        match node:
            case ast.Subscript(value=ast.Name(id="OPS"), slice=ast.Constant()):
                return True
            case ast.Call(func=ast.Attribute(value=ast.Name(id="OPS"), attr="get"), args=[ast.Constant(), *_]):
                return True
            case ast.Call(func=ast.Name(id="getattr"), args=[ast.Name(id=name), ast.Constant(), *_]):
                return name in self.tables
        return False

    def singles_out(self, node: ast.AST) -> bool:
        """Return whether a node of the syntax tree treats one operation in another way than others."""
        match node:
            case ast.Compare(left=left, comparators=others):
                named = any(is_attribute(side, "name", "symbol", "_op") for side in (left, *others))
                return any(self.is_row(x) or (named and is_word(x)) for x in (left, *others))
            case ast.Match(subject=subject, cases=cases):
                patterns = [x.value for c in cases for x in ast.walk(c.pattern) if isinstance(x, ast.MatchValue)]
                named = is_attribute(subject, "name", "symbol", "_op")
                return any(self.is_row(x) or (named and is_word(x)) for x in patterns)
            case ast.List(elts=elements) | ast.Set(elts=elements) | ast.Tuple(elts=elements) | ast.Dict(keys=elements):
                return any(map(self.is_row, elements)) and node not in self.unpacked
        return node in self.by_hand or self.is_lookup(node)


def assignments(node: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield pairs of a target and the value that is assigned to it."""
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=False)
        else:
            yield target, node.value


def is_attribute(node: ast.AST, *names: str) -> bool:
    """Return whether a node is an attribute with one of these names."""
    return isinstance(node, ast.Attribute) and node.attr in names


def is_word(node: ast.expr) -> bool:
    """Return whether a node is the name or symbol of an operation, or contains one."""
    constants = node.elts if isinstance(node, (ast.Tuple, ast.List, ast.Set)) else [node]
    return any(isinstance(x, ast.Constant) and x.value in WORDS for x in constants)


def placed(node: ast.AST, place: str) -> Iterator[tuple[ast.AST, str]]:
    """Yield all nodes below a node, and the name of the function that each is in."""
    stack = [(node, place)]
    while stack:
        node, place = stack.pop()
        for child in ast.iter_child_nodes(node):
            yield child, place
            named = isinstance(child, (ast.FunctionDef, ast.ClassDef))
            stack.append((child, f"{place}.{child.name}" if named else place))


def scan(module: str, tree: ast.AST) -> list[Hit]:
    """Return all places of a module that treat one operation in another way than others."""
    scanner = Scan(tree)
    found = [(place, node) for node, place in placed(tree, module or "micrograd_cn") if scanner.singles_out(node)]
    return [Hit(place, node.lineno, ast.unparse(node).partition("\n")[0]) for place, node in found]


def test_no_module_but_the_table_singles_out_an_operation():
    hits = [hit for module, tree in trees().items() if module != "ops" for hit in scan(module, tree)]
    assert not hits, "a fact about an operation belongs in its row:\n" + "\n".join(
        f"{place}, line {line}: {text}" for place, line, text in hits
    )


@pytest.mark.parametrize(
    "source",
    [
        "op is ops.add",
        "ops.add == op",
        "node.op is not ops.dot",
        "op in (ops.add, ops.mul)",
        "op in {ops.add}",
        "KINDS = (ops.add, ops.mul)",
        "KINDS = {ops.add: 1}",
        "ADD = ops.add\nop is ADD",
        "from .ops import add\nop is add",
        "from ..ops import add as plus\nx = [plus]",
        "from . import ops as table\nop is table.add",
        "op.name == 'add'",
        "node.op.name in ('add', 'mul')",
        "op.symbol == '+'",
        "OPS['add']",
        "OPS.get('add')",
        "getattr(ops, 'add')",
        "node.op = ops.add",
        "node.op, node.parents = ops.add, xs",
        "match op:\n    case ops.add: pass",
        "match op.name:\n    case 'add' | 'mul': pass",
    ],
)
def test_the_scan_finds(source):
    """The scan finds each way to treat one operation in another way, so the test above can fail."""
    assert scan("m", ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "ops.add(x, y)",
        "record(ops.dot, operands)",
        "OPS[name]",
        "OPS.get(name)",
        "op.arity == 1",
        "op is other",
        "op in OPS.values()",
        "from .ops import div\ndiv(x, y) < 1",
        "path.name == 'a.svg'",
        "'add' in names",
        "kind, op = 'row', ops.add",
        "ops.where(x, y, z).data == 1",
        "total, count = ops.sum, 1",
    ],
)
def test_the_scan_passes_over(source):
    """The scan does not report code that uses operations, or looks for one that it does not name."""
    assert not scan("m", ast.parse(source))
