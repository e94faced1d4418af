"""Run the cells of a notebook in the browser's Python, as Jupyter would: this module runs in the worker of a page.

`worker.js` makes one `Cells`, asks it what a cell needs, loads that, and runs the cell. Everything that a cell shows
goes to the page as JSON, by the function `tell`. The module imports nothing but the standard library when it starts, so
the first cell has to wait for nothing else.

matplotlib is large, and comes from another host. Until a cell plots, names of it are stand-ins, which remember what was
set in them. If matplotlib cannot be loaded, a figure takes every call and draws nothing, and the page shows the picture
that the notebook stores.
"""

from __future__ import annotations

import ast
import base64
import builtins
import importlib.abc
import importlib.machinery
import io
import json
import linecache
import sys
import time
import traceback
import types
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from website.dependencies import Facts, facts_of, missing_here, needed_cells

MOST = 200_000  # characters that a cell may print; a page with more than that is slow
PLACE = "/home/pyodide/lib"  # where the site's wheels are unpacked
MESSAGE_PAUSE = 0.05  # seconds between two messages with printed text
PLOTS = ("matplotlib.pyplot", "matplotlib.animation", "pylab", "seaborn")  # whoever imports these means to plot
PLOTTING = frozenset({"import matplotlib.figure.Figure"})
STAND_INS = ("matplotlib", "PIL")
# What matplotlib asks of a module of the name IPython: its version, and the shell. Here no shell runs, and the version
# is one for which matplotlib prepares nothing.
NO_SHELL = {"version_info": (9, 0, 0, ""), "get_ipython": lambda: None}


Needs = tuple[list[list[int]], list[set[str]]]  # for each cell, the cells that it needs, and what it lacks

# What was read of notebooks when the site was written: the facts of cells, by their sources, and what they need.
KNOWN: dict[str, Facts] = {}
KNOWN_NEEDS: dict[tuple[str, ...], Needs] = {}


def learn(notebooks: str) -> None:
    """Find out in advance what the cells of notebooks need.

    The argument is JSON: for each notebook, the list of its cells' sources.
    """
    for sources in json.loads(notebooks):
        facts = facts_of(sources)
        KNOWN.update(zip(sources, facts, strict=True))
        KNOWN_NEEDS[tuple(sources)] = needs_of(facts)


def needs_of(facts: list[Facts]) -> Needs:
    """Return two lists with an item for each cell: the earlier cells that it needs, and what a browser lacks for it.

    `facts` says what each cell of the notebook does with names (see `dependencies`).
    """
    needed = needed_cells(facts)
    return needed, missing_here(facts, needed)


class Asked:
    """Count how often code has asked an object that stands in for matplotlib for a number, which it cannot know."""

    times = 0


class Absorber:
    """An object in place of one of matplotlib's: any of its methods may be called, and nothing is drawn."""

    def __init__(self, path: str) -> None:
        self.__dict__["path"] = path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.__dict__[name] = Absorber(f"{self.path}.{name}")
        return self.__dict__[name]

    def __call__(self, *args: Any, **kwargs: Any) -> Absorber:
        """Take any call."""
        return Absorber(f"{self.path}()")

    def __getitem__(self, index: Any) -> Absorber:
        return Absorber(f"{self.path}[]")

    def __setitem__(self, index: Any, given: Any) -> None: ...

    def __setattr__(self, name: str, given: Any) -> None: ...

    def __iter__(self) -> Iterator[Absorber]:
        return iter(())

    def _number(self, *_: Any) -> int:
        Asked.times += 1
        return 0

    __len__ = __int__ = __index__ = _number

    def __bool__(self) -> bool:
        return bool(self._number())

    def __float__(self) -> float:
        return float(self._number())

    def _self(self, *_: Any) -> Absorber:
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __neg__ = _self
    __enter__ = _self

    def __exit__(self, *_: Any) -> None: ...


class Grid(Absorber):
    """The axes of a figure that draws nothing, in rows and columns as `plt.subplots` returns them."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__("axes")
        self.__dict__["shape"] = (rows, columns)

    def _parts(self) -> list[Any]:
        rows, columns = self.shape
        if rows == 1 or columns == 1:
            return [Absorber("ax") for _ in range(rows * columns)]
        return [Grid(1, columns) for _ in range(rows)]

    @property
    def flat(self) -> Iterator[Any]:
        """Return the axes, row by row."""
        rows, columns = self.shape
        return iter([Absorber("ax") for _ in range(rows * columns)])

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts())

    def __getitem__(self, index: Any) -> Any:
        return self._parts()[index] if isinstance(index, int) else Absorber("ax")

    def __len__(self) -> int:
        return len(self._parts())


class Figure(Absorber):
    """A figure that draws nothing, because matplotlib could not be loaded."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("figure")

    def subplots(self, nrows: int = 1, ncols: int = 1, **kwargs: Any) -> Any:
        """Return axes that draw nothing, in the form in which matplotlib returns axes."""
        return Absorber("ax") if nrows == ncols == 1 else Grid(nrows, ncols)


def stand_in(name: str) -> types.ModuleType:
    """Return a module in place of the module `name` of matplotlib or PIL, until the real one is loaded."""
    module = types.ModuleType(name)
    module.__path__ = []
    if name == "matplotlib":
        module.__dict__["rcParams"] = {}
    elif name == "matplotlib.figure":
        module.__dict__["Figure"] = Figure
    elif name == "matplotlib.font_manager":
        module.__dict__["fontManager"] = Absorber("fontManager")
        module.__dict__["fontManager"].__dict__["ttflist"] = []
    elif name == "PIL":
        module.__dict__["Image"] = Absorber("PIL.Image")
    return module


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """An import hook that gives code a stand-in for a module of matplotlib or PIL, which is not loaded yet."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Return the stand-in's spec for a part of matplotlib or PIL."""
        known = name.partition(".")[0] in STAND_INS and not name.startswith(PLOTS)
        return importlib.machinery.ModuleSpec(name, self) if known else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Return the stand-in."""
        return stand_in(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: a stand-in is complete when it is made."""


class Wheels(importlib.abc.MetaPathFinder):
    """An import hook that fetches wheels from the site when one of their modules is first imported.

    Args:
        wheels: for each module, the wheels that it is in and that it needs.
        fetch: a function from the name of a wheel to its bytes, or to None if it cannot be had.
    """

    def __init__(self, wheels: dict[str, list[str]], fetch: Callable[[str], Any]) -> None:
        self.wheels, self.fetch = wheels, fetch

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Fetch the wheels of a module that is imported for the first time, and return its spec."""
        for wheel in self.wheels.pop(name, []):
            content = self.fetch(wheel)
            if content is None:
                return None
            with zipfile.ZipFile(io.BytesIO(content.to_bytes())) as archive:
                archive.extractall(PLACE)
            importlib.invalidate_caches()
        return importlib.machinery.PathFinder.find_spec(name)


class Shown:
    """What `IPython.display` calls a picture or a formula: data of one media type."""

    kind = "text/plain"

    def __init__(self, data: Any = "", *_: Any, **options: Any) -> None:
        self.data, self.options = data, options

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {self.kind: self.data, "text/plain": f"<{type(self).__name__}>"}


class SVG(Shown):
    """A picture in SVG."""

    kind = "image/svg+xml"


class Image(Shown):
    """A picture in PNG."""

    kind = "image/png"


class Math(Shown):
    """A formula in TeX."""

    kind = "text/latex"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {self.kind: rf"$\displaystyle {self.data}$"}


class Latex(Shown):
    """A text with formulas in TeX."""

    kind = "text/latex"


class HTML(Shown):
    """A part of a page."""

    kind = "text/html"


KINDS = ("text/html", "image/svg+xml", "image/png", "text/latex", "text/plain")  # the richest first
METHODS = {"text/html": "_repr_html_", "image/svg+xml": "_repr_svg_", "image/png": "_repr_png_"}
METHODS |= {"text/latex": "_repr_latex_"}


def bundle(shown: Any, include: Any = None) -> dict[str, Any]:
    """Return what an object shows in Jupyter, by media types."""
    made: dict[str, Any] = {}
    if not isinstance(shown, type):
        if hasattr(shown, "_repr_mimebundle_"):
            found = shown._repr_mimebundle_(include=include, exclude=None)
            made |= found[0] if isinstance(found, tuple) else found
        for kind, method in METHODS.items():
            if kind not in made and hasattr(shown, method):
                made[kind] = getattr(shown, method)()
    made.setdefault("text/plain", repr(shown))
    return {kind: data for kind, data in made.items() if data is not None and (include is None or kind in include)}


class Stream(io.TextIOBase):
    """A text stream whose lines go to the page, a few times a second."""

    def __init__(self, name: str, tell: Callable[..., None]) -> None:
        self.name, self.send = name, tell
        self.waiting: list[str] = []
        self.count, self.told = 0, 0.0

    def writable(self) -> bool:
        """Return True: a stream of a cell can be written to."""
        return True

    def write(self, text: str) -> int:
        """Keep `text`, and send all that was kept to the page if the last message was sent a while ago."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        room = MOST - self.count
        if room > 0:
            self.waiting.append(text[:room])
            if len(text) > room:
                self.send("long", most=MOST)
        self.count += len(text)
        if time.monotonic() - self.told > MESSAGE_PAUSE:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Send the text that was kept to the page."""
        self.told = time.monotonic()
        if self.waiting:
            text, self.waiting = "".join(self.waiting), []
            self.send("stream", name=self.name, text=text)


def loaded(tree: ast.AST) -> set[str]:
    """Return the names that code reads, and a text such as "import numpy" for each module that it imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Import):
            found |= {f"import {alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {f"import {node.module}.{alias.name}" for alias in node.names}
    return found


class Cells:
    """The cells of a page, which share their names.

    Args:
        tell: a function that takes a message to the page, as JSON.
        draw: a function that takes DOT text, a layout engine and a format, and returns the picture as JSON.
        wheel: a function that fetches a wheel of the site by its name.
        later: as JSON, the wheels that are fetched when a module is first imported, by the module's name.
        packages: as JSON, the names of Pyodide's packages by the names that code imports.
        notebook: as JSON, the notebook's cells.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        draw: Callable[[str, str, str], str],
        wheel: Callable[[str], Any] = lambda name: None,
        later: str = "{}",
        packages: str = "{}",
        notebook: str = "[]",
    ) -> None:
        self._tell, self._draw = tell, draw
        self.packages: dict[str, str] = json.loads(packages)
        self.cells: list[dict[str, str]] = json.loads(notebook)
        self.ran: dict[str, str] = {}  # the sources of the cells that have run to their end
        self.facts = dict(KNOWN)  # by sources
        self.needed = dict(KNOWN_NEEDS)  # of the notebooks, and of this notebook as the reader has changed it
        sys.meta_path.append(Wheels(json.loads(later), wheel))
        self.reads: dict[str, set[str]] = {}  # what each name that a cell defines reads in its turn
        self.cell = ""
        self.out, self.err = Stream("stdout", self.tell), Stream("stderr", self.tell)
        self.names: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
        main = sys.modules["__main__"]
        main.__dict__.update(self.names)
        self.names = main.__dict__  # so that pickle finds what a cell defines
        builtins.__dict__["display"] = self.display
        ipython, shown = types.ModuleType("IPython"), types.ModuleType("IPython.display")
        for kind in (SVG, Image, Math, Latex, HTML):
            shown.__dict__[kind.__name__] = kind
        shown.__dict__["display"] = self.display
        ipython.__dict__.update(display=shown, __path__=[], **NO_SHELL)
        sys.modules.update({"IPython": ipython, "IPython.display": shown})
        self.stand_ins = StandIns()
        sys.meta_path.append(self.stand_ins)
        self._draw_without_programs()

    def tell(self, what: str, **facts: Any) -> None:
        """Send a message about the cell that runs."""
        self._tell(json.dumps({"what": what, "cell": self.cell, **facts}))

    def needs(self, source: str) -> str:
        """Return, as JSON, what must be fetched before a cell can run: packages of Pyodide's host."""
        try:
            tree = ast.parse(source)
        except SyntaxError:
            return "[]"
        waiting, seen, found = [loaded(tree)], set[str](), set[str]()
        own = {node.name: loaded(node) for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        reads = self.reads | own
        while waiting:
            for name in waiting.pop() - seen:
                seen.add(name)
                if name.startswith("import "):
                    module = name.removeprefix("import ")
                    name = module.partition(".")[0]
                    if name not in STAND_INS and name not in sys.modules and name in self.packages:
                        found.add(self.packages[name])
                    if f"{module}.".startswith(tuple(f"{each}." for each in PLOTS)):
                        found |= {"matplotlib", "pillow"}
                elif self.names.get(name) is Figure or (name == "Figure" and seen >= PLOTTING):
                    found |= {"matplotlib", "pillow"}
                elif name in reads:
                    waiting.append(reads[name])
        return json.dumps(sorted(package for package in found if not self._there(package)))

    def _there(self, package: str) -> bool:
        importlib.invalidate_caches()
        names = [name for name, of in self.packages.items() if of == package] or [package]
        return any(importlib.machinery.PathFinder.find_spec(name) is not None for name in names)

    def plan(self, targets: str, sources: str) -> str:
        """Return, as JSON, the cells to run, in order: those named in `targets`, and before them what these need.

        A cell that is only needed is left out if it has run, its text is unchanged since, and so are the cells that it
        needs itself.

        Args:
            targets: the cells' ids, as JSON.
            sources: the texts of cells as the reader has changed them, by their ids, as JSON.
        """
        own, wanted = json.loads(sources), json.loads(targets)
        cells = [{**cell, "source": own.pop(cell["id"], cell["source"])} for cell in self.cells]
        cells += [{"id": name, "source": source, "title": name} for name, source in own.items()]
        unread = [cell["source"] for cell in cells if cell["source"] not in self.facts]
        self.facts |= dict(zip(unread, facts_of(unread), strict=True))
        texts = tuple(cell["source"] for cell in cells)
        if texts not in self.needed:
            self.needed = KNOWN_NEEDS | {texts: needs_of([self.facts[text] for text in texts])}
        needed, lacks = self.needed[texts]
        chosen = {index for index, cell in enumerate(cells) if cell["id"] in wanted}
        before = {earlier for index in chosen if "native" not in lacks[index] for earlier in needed[index]}
        again: set[int] = set()
        for index in sorted(chosen | before):
            stale = self.ran.get(cells[index]["id"]) != cells[index]["source"]
            if index in chosen or stale or again.intersection(needed[index]):
                again.add(index)
        plan = [
            {
                "cell": cells[index]["id"],
                "source": cells[index]["source"],
                "title": cells[index]["title"],
                "lacks": "native" in lacks[index],
            }
            for index in sorted(again)
        ]
        return json.dumps(plan)

    def fetched(self) -> None:
        """Put the real modules of matplotlib and PIL in the place of their stand-ins, if matplotlib was fetched."""
        if not self._there("matplotlib") or self.stand_ins not in sys.meta_path:
            return
        sys.meta_path.remove(self.stand_ins)
        importlib.invalidate_caches()
        old = {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] in STAND_INS}
        matplotlib = importlib.import_module("matplotlib")
        matplotlib.use("agg")
        if "matplotlib" in old:
            matplotlib.rcParams.update(old["matplotlib"].__dict__["rcParams"])
        for name, module in old.items():
            real = importlib.import_module(name)
            for held, value in [*self.names.items()]:
                if value is module:
                    self.names[held] = real
                for part, kept in module.__dict__.items():
                    if value is kept and not part.startswith("__") and hasattr(real, part):
                        self.names[held] = getattr(real, part)

    def run(self, source: str, cell: str, title: str) -> bool:
        """Run a cell, send what it shows, and return whether it came to its end."""
        self.cell = cell
        self.ran.pop(cell, None)
        self.out.count = self.err.count = 0
        Asked.times = 0
        filename = f"<{title}>"
        lines = source.splitlines(keepends=True)
        linecache.cache[filename] = (len(source), None, lines, filename)
        streams, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), self.out, self.err
        try:
            tree = ast.parse(source, filename)
            for node in ast.walk(tree):
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    self.reads[node.name] = loaded(node)
            last = tree.body[-1] if tree.body else None
            if isinstance(last, ast.Expr):
                tree.body.pop()
            exec(compile(tree, filename, "exec", dont_inherit=True), self.names)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), filename, "eval", dont_inherit=True), self.names)
                if value is not None and not source.rstrip().endswith(";"):
                    self.names["_"] = value
                    self.show(bundle(value), result=True)
        except BaseException as error:
            self._flush()
            if isinstance(error, AssertionError) and Asked.times:  # the check asked for what only matplotlib knows
                self.tell("unasked", text="".join(traceback.format_exception_only(error)))
                self.ran[cell] = source
                return True
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            undefined = error.name if isinstance(error, NameError) else None
            self.tell("error", text=printed(error, filename), missing=missing, undefined=undefined)
            return False
        finally:
            self._flush()
            sys.stdout, sys.stderr = streams
        self.ran[cell] = source
        return True

    def _flush(self) -> None:
        self.out.flush()
        self.err.flush()

    def display(self, *things: Any, include: Any = None, **options: Any) -> None:
        """Show objects below the cell, as in Jupyter."""
        for thing in things:
            self.show(bundle(thing, include), width=getattr(thing, "options", {}).get("width"))

    def show(self, made: dict[str, Any], width: Any = None, result: bool = False) -> None:
        """Send what an object shows, in the richest of its media types."""
        self._flush()
        kind = next((kind for kind in KINDS if kind in made), "text/plain")
        data = made.get(kind, "")
        if kind.startswith("image/") and not data:
            self.tell("stored")
            return
        if kind == "text/latex":
            from website.formulas import mathml

            self.tell("show", kind=kind, data=mathml(data), text=data, result=result)
            return
        if isinstance(data, bytes):
            data = base64.b64encode(data).decode()
        self.tell("show", kind=kind, data=data, width=width, text=made.get("text/plain", ""), result=result)

    def _draw_without_programs(self) -> None:
        """Replace functions of `subprocess` and `shutil`, so the package finds a `dot` to draw its pictures with.

        In a browser no program runs, and a function of the page draws instead.
        """
        import shutil
        import subprocess

        found, engines = shutil.which, ("dot", "neato", "circo", "fdp", "sfdp", "twopi", "osage", "patchwork")

        def which(name: Any, *args: Any, **kwargs: Any) -> Any:
            return str(name) if name in engines else found(name, *args, **kwargs)

        def run(command: Any, *args: Any, **kwargs: Any) -> Any:
            program = str(command[0])
            if program not in engines:
                raise FileNotFoundError(2, "a browser runs no program", program)
            flag = next((str(part) for part in command[1:] if str(part).startswith("-T")), "-Tdot")
            given = kwargs.get("input") or b""
            text = given if isinstance(given, str) else given.decode()
            made = json.loads(self._draw(text, program, flag[2:].partition(":")[0]))
            out, err = (made["output"] or ""), made["error"]
            done = (out, err) if isinstance(given, str) else (out.encode(), err.encode())
            return subprocess.CompletedProcess(command, int(bool(err)), *done)

        shutil.__dict__["which"] = which
        subprocess.__dict__["run"] = run


def printed(error: BaseException, filename: str) -> str:
    """Return Python's text of an error, with the part of the traceback that begins in the cell."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != filename:
        frames = frames.tb_next
    if isinstance(error, SyntaxError) and frames is None:
        return "".join(traceback.format_exception_only(error))
    return "".join(traceback.format_exception(error.with_traceback(frames)))
