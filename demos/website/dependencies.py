"""Say which earlier cells of a notebook a cell needs, and what it needs that a browser does not have.

A reader may run any cell first. Then the cells that it needs run before it: those that define a name that it reads, and
those that may have changed such a name since. This is read from the code, without running it, so it is a guess where
code changes a thing that it does not mention. It errs on the side of too many cells. `tests/demos/test_cells.py` runs
each section from these cells alone, and compares the outputs.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

# Calls of these change none of their arguments, and neither do calls of what is imported.
PURE = frozenset(dir(builtins)) - {"next", "setattr", "delattr", "exec", "eval"}
PURE |= {"agree", "say", "show", "matrix", "plot", "check", "drawn", "plain", "nudge"}  # the tutorial's own tools
PURE_METHODS = frozenset({"join", "format", "index", "count"})
# What a browser does not have, or fetches from another host, by the modules that need it.
MODULES = {
    "micrograd_cn.compiler": "native",
    "llvmlite": "native",
    "tensorflow": "tensorflow",
    "torch": "torch",
    "numpy": "numpy",
    "matplotlib.figure.Figure": "matplotlib",
    "matplotlib.pyplot": "matplotlib",
}


@dataclass
class Facts:
    """What a cell does with names.

    Attributes:
        reads: names of other cells whose values it uses.
        binds: names that it gives a value.
        changes: names whose values it may change.
        fixed: names that it binds by `def`, `class` or `import`. Their values change only if an attribute or an item of
            them is assigned.
        sets: names of whose values it assigns an attribute or an item.
        modules: for each name that an import binds, the modules that are imported. What a function imports inside is
            under the function's name.
        functions: for each function and class that it defines, the names that its body reads.
    """

    reads: set[str] = field(default_factory=set)
    binds: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)
    fixed: set[str] = field(default_factory=set)
    sets: set[str] = field(default_factory=set)
    modules: dict[str, set[str]] = field(default_factory=dict)
    functions: dict[str, set[str]] = field(default_factory=dict)


class Reader(ast.NodeVisitor):
    """Collect the facts of a cell, statement by statement."""

    def __init__(self, pure: frozenset[str]) -> None:
        self.pure = pure
        self.facts = Facts()
        self.late: list[set[str]] = []  # what functions read when they are called

    def read(self, names: Iterable[str]) -> None:
        """Note that the cell reads names, except those that it has bound itself before."""
        self.facts.reads |= {name for name in names if name not in self.facts.binds and not hasattr(builtins, name)}

    def bind(self, names: Iterable[str]) -> None:
        """Note that names are given values."""
        self.facts.binds |= set(names)

    def visit_Name(self, node: ast.Name) -> None:
        """Read a name, or bind it."""
        (self.read if isinstance(node.ctx, ast.Load) else self.bind)([node.id])

    def visit_Assign(self, node: ast.Assign) -> None:
        """Visit the value before the names that it is given to."""
        self.visit(node.value)
        for target in node.targets:
            self.target(target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Read and change a name."""
        self.visit(node.value)
        if isinstance(node.target, ast.Name):
            self.read([node.target.id])
            self.facts.changes.add(node.target.id)
        self.target(node.target)

    def target(self, node: ast.expr) -> None:
        """Visit the target of an assignment: a name, or an attribute or item of a name's value."""
        if isinstance(node, (ast.Attribute, ast.Subscript)) and (name := root(node)):
            self.facts.changes.add(name)
            self.facts.sets.add(name)
        self.visit(node)

    def visit_For(self, node: ast.For) -> None:
        """Visit a loop. If its body may change the loop variable, it may change the collection, too."""
        self.visit(node.iter)
        self.visit(node.target)
        before, self.facts.changes = self.facts.changes, set()
        for part in (*node.body, *node.orelse):
            self.visit(part)
        if self.facts.changes & names_in(node.target):  # what it loops over is changed piece by piece
            self.facts.changes |= names_in(node.iter)
        self.facts.changes |= before

    def visit_Call(self, node: ast.Call) -> None:
        """Note that a call may change its arguments, and the object whose method it is."""
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and (name := root(node.func)):
            self.facts.changes.add(name)
        called = root(node.func) if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called not in self.pure and getattr(node.func, "attr", "") not in PURE_METHODS:
            for part in (*node.args, *(keyword.value for keyword in node.keywords)):
                self.facts.changes |= names_in(part)

    def visit_Import(self, node: ast.Import) -> None:
        """Bind modules."""
        for alias in node.names:
            self.imported((alias.asname or alias.name).partition(".")[0], alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Bind what a module contains."""
        for alias in node.names:
            self.imported(alias.asname or alias.name, f"{node.module}.{alias.name}")

    def imported(self, name: str, module: str) -> None:
        """Bind a name by an import."""
        self.bind([name])
        self.facts.fixed.add(name)
        self.facts.modules.setdefault(name, set()).add(module)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        """Bind a function or class. Its body is visited only when the cell has ended and all of its names are bound."""
        inner = Reader(self.pure)
        for part in [*node.decorator_list, *getattr(node, "bases", [])]:
            self.visit(part)
        if isinstance(node, ast.FunctionDef):
            for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
                self.visit(default)
            inner.bind(arguments(node.args))
        for part in node.body:
            inner.visit(part)
        found = inner.finished().reads - {node.name}
        for modules in inner.facts.modules.values():
            self.facts.modules.setdefault(node.name, set()).update(modules)
        self.facts.functions[node.name] = found
        self.late.append(found)
        self.bind([node.name])
        self.facts.fixed.add(node.name)

    visit_ClassDef = visit_FunctionDef  # noqa: N815 -- ast's name

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Read what the function reads."""
        inner = Reader(self.pure)
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(default)
        inner.bind(arguments(node.args))
        inner.visit(node.body)
        self.late.append(inner.finished().reads)

    def comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        """Read what a comprehension reads, but for the names that it binds itself."""
        inner = Reader(self.pure)
        for part in node.generators:
            inner.visit(part.iter)
            inner.visit(part.target)
            for condition in part.ifs:
                inner.visit(condition)
        for value in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            inner.visit(value)
        found = inner.finished()
        self.read(found.reads)
        self.facts.changes |= found.changes - found.binds

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = comprehension  # noqa: N815 -- ast's names

    def finished(self) -> Facts:
        """Return the facts, once all statements were visited."""
        for names in self.late:
            self.read(names)
        return self.facts


def root(node: ast.expr) -> str:
    """Return the name at the beginning of an expression such as `a.b[0].c`, or ""."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def arguments(given: ast.arguments) -> Iterator[str]:
    for argument in [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]:
        if argument:
            yield argument.arg


def parsed(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):  # a cell that a reader is still writing
        return ast.Module([], [])


def facts_of(sources: Iterable[str]) -> list[Facts]:
    """Return what each cell does with names."""
    trees = [parsed(source) for source in sources]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imported = {
        alias.asname or alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    imported |= {alias.asname or alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    found = []
    for tree in trees:
        reader = Reader(PURE | imported)
        reader.visit(tree)
        found.append(reader.finished())
    return found


def needed_cells(cells: Sequence[Facts]) -> list[list[int]]:
    """Return, for each cell, the indices of the earlier cells that it needs, in order."""
    fixed = set[str]().union(*(cell.fixed for cell in cells))
    found = []
    for index, cell in enumerate(cells):
        wanted, chosen = set(cell.reads), []
        for earlier in range(index - 1, -1, -1):
            facts = cells[earlier]
            changed = {name for name in facts.changes & wanted if name not in fixed or name in facts.sets}
            changed = {name for name in changed if not (len(name) > 1 and name.isupper())}  # constants
            if facts.binds & wanted or changed - facts.binds:
                chosen.append(earlier)
                wanted = (wanted - facts.binds) | facts.reads
        found.append(chosen[::-1])
    return found


def missing_here(cells: Sequence[Facts], needed: Sequence[Sequence[int]]) -> list[set[str]]:
    """Return, for each cell, values of `MODULES`: what it needs that a browser lacks, or fetches from another host.

    A cell that reads what native code has computed needs native code, too.
    """
    where: dict[str, set[str]] = {}  # names to what is missing for them
    found: list[set[str]] = []
    for cell, earlier in zip(cells, needed, strict=True):
        imported = {name: set(filter(None, map(lacks, modules))) for name, modules in cell.modules.items()}
        own = set[str]().union(*(imported[name] for name in imported if name not in cell.reads | PLOTTING))
        where.update({name: missing for name, missing in imported.items() if missing})
        for name in cell.reads:
            own |= where.get(name, set())
        if any("native" in found[index] for index in earlier):
            own.add("native")
        for name, reads in cell.functions.items():
            if inherited := set[str]().union(*(where.get(read, set()) for read in reads)):
                where[name] = where.get(name, set()) | inherited
        found.append(own)
    return found


PLOTTING = frozenset({"Figure"})  # importing this needs nothing yet


def lacks(module: str) -> str:
    return next((what for name, what in MODULES.items() if f"{module}.".startswith(f"{name}.")), "")
