"""Fetch what runs in the browser, and lay it into the site: Pyodide, Graphviz, the editor, and Python wheels.

npm and pip fetch the versions that package-lock.json and wheels.txt name, and refuse a file whose hash is another.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "micrograd_cn"
FETCHED = HERE.parent / "out"  # where npm and pip put what they fetch
PYODIDE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
SCRIPTS = {"cells.js": "iife", "editor.js": "esm", "start.js": "iife", "gradient.js": "iife", "worker.js": "esm"}
FIRST = ("graphviz",)  # the wheels that Python needs from the start
# What the first cells of the notebooks import. Python in the browser starts with it.
IMPORTED = (
    *("website.cells", "graphviz", "random", "statistics"),
    *("micrograd_cn.nn", "micrograd_cn.losses", "micrograd_cn.optim"),
    *("micrograd_cn.picture", "micrograd_cn.functional"),
)
LATER = {"hypothesis": ("sortedcontainers", "hypothesis"), "latex2mathml": ("latex2mathml",)}  # by the first import
IN_PYTHON = (
    "__init__.py",
    "cells.py",
    "dependencies.py",
    "formulas.py",
    "verdict.py",
)  # the files of this folder that run there
FETCHING_PATIENCE = 600  # seconds for npm or pip


class Missing(Exception):
    """What the site needs cannot be had here; the message says what, and how to get it."""


def fetched_from_npm() -> Path:
    """Return the folder node_modules with the packages of package-lock.json, installed if it is not there.

    Raises:
        Missing: there is no npm, or it fails.
    """
    npm = shutil.which("npm")

    def fetch(folder: Path) -> None:
        if npm is None:
            raise Missing("npm (Debian: apt-get install npm)")
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        called(command, folder, "the packages that npm fetches")

    return fetched_once("npm", HERE / "package-lock.json", fetch) / "node_modules"


def fetched_wheels() -> dict[str, Path]:
    """Return the wheels of wheels.txt by the names of their packages.

    Raises:
        Missing: pip fails.
    """

    def fetch(folder: Path) -> None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--platform=any", "--python-version=3.14", "--require-hashes"]
        called([*command, "--dest", str(folder), "--requirement", str(HERE / "wheels.txt")], folder, "wheels from pip")

    folder = fetched_once("wheels", HERE / "wheels.txt", fetch)
    return {path.name.partition("-")[0]: path for path in sorted(folder.glob("*.whl"))}


def fetched_once(kind: str, wanted: Path, fetch: Callable[[Path], None]) -> Path:
    """Return the folder with what the file `wanted` names, fetched if it is not there.

    The name of the folder depends on the contents of `wanted`. Several processes may fetch at once: each has a
    temporary folder, and the first one that has finished gives its folder the final name.
    """
    folder = FETCHED / f"{kind}-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        FETCHED.mkdir(parents=True, exist_ok=True)
        own = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=FETCHED))
        try:
            fetch(own)
            with contextlib.suppress(OSError):  # another process was first
                own.rename(folder)
        finally:
            shutil.rmtree(own, ignore_errors=True)
    return folder


def called(command: list[str], folder: Path, what: str, variables: dict[str, str] | None = None) -> None:
    environment = os.environ | (variables or {})
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": FETCHING_PATIENCE}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, check=False, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{what}: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise Missing(f"{what}: {lines[-1] if lines else 'no message'}")


def lay_into(out: Path, notebooks: list[list[str]]) -> dict[str, Any]:
    """Write what runs in the browser into the site, and return what its scripts have to know of it.

    Args:
        out: the site's folder.
        notebooks: for each notebook, the sources of its cells.

    Raises:
        Missing: npm or pip cannot fetch something, or Python does not start in Node.
    """
    modules, wheels = fetched_from_npm(), fetched_wheels()
    (out / "pyodide").mkdir(parents=True, exist_ok=True)
    for name in PYODIDE:
        shutil.copy(modules / "pyodide" / name, out / "pyodide" / name)
    shutil.copy(modules / "@viz-js/viz/dist/viz.js", out / "viz.js")
    for name, form in SCRIPTS.items():
        bundled(modules, name, form, out / name)
    for name in ("frame.html", "editor.css"):
        shutil.copy(HERE / name, out)
    (out / "wheels").mkdir(exist_ok=True)
    for path in wheels.values():
        shutil.copy(path, out / "wheels")
    files = packed([wheels[name] for name in FIRST])
    write_packed(out / "python.pack", files)
    keep_memory(modules, out / "python.snapshot", files, notebooks)
    names = {name: f"wheels/{path.name}" for name, path in wheels.items()}
    later = {module: [names[name] for name in needed] for module, needed in LATER.items()}
    large = [out / "pyodide" / name for name in ("pyodide.asm.wasm", "python_stdlib.zip")]
    large += [out / "python.pack", out / "python.snapshot"]
    version = json.loads((modules / "pyodide/package.json").read_text("utf-8"))["version"]
    [cdn] = re.findall(r"https://[\w.]+/pyodide/v\$", (modules / "pyodide/pyodide.mjs").read_text("utf-8"))
    return {
        "sizes": {path.name: path.stat().st_size for path in large},
        "wheels": later,
        "cdn": f"{cdn[:-1]}{version}/full/",
        "elsewhere": ["numpy", "matplotlib", "scipy", "PIL"],
        "licences": licences(modules, wheels),
    }


def bundled(modules: Path, name: str, form: str, out: Path) -> None:
    """Write a script of this folder, with what it imports, as one file.

    Raises:
        Missing: esbuild fails, as for a processor that it has no program for.
    """
    esbuild(modules, HERE / name, out, "--bundle", f"--format={form}", "--external:./viz.js")


def minify(out: Path, names: Iterable[str]) -> None:
    """Write scripts and style sheets of the site in fewer letters.

    Raises:
        Missing: esbuild fails, as for a processor that it has no program for.
    """
    modules = fetched_from_npm()
    for name in names:
        esbuild(modules, out / name, out / name, *(["--format=iife"] if name.endswith(".js") else []))


def esbuild(modules: Path, source: Path, out: Path, *options: str) -> None:
    programs = [*modules.glob("@esbuild/*/bin/esbuild"), *modules.glob("@esbuild/*/esbuild.exe")]
    if not programs:
        raise Missing("esbuild for this processor")
    command = [str(programs[0]), str(source), "--minify", *options, f"--outfile={out}", "--allow-overwrite"]
    command += ["--log-level=error", "--target=es2022", "--charset=utf8", "--legal-comments=none"]
    called(command, HERE, f"esbuild of {source.name}", {"NODE_PATH": str(modules)})


def packed(wheels: Iterable[Path]) -> dict[str, str]:
    """Return the texts of the files that Python in the browser has from the start, by their paths.

    They are the package, those files of this folder that run there, and the files of some wheels.
    """
    files = {file.relative_to(PACKAGE.parent): file for file in sorted(PACKAGE.rglob("*")) if file.is_file()}
    files |= {Path("website") / name: HERE / name for name in IN_PYTHON}
    found = {
        name.as_posix(): file.read_text("utf-8") for name, file in files.items() if "__pycache__" not in name.parts
    }
    for path in wheels:
        with zipfile.ZipFile(path) as archive:
            found |= {name: archive.read(name).decode() for name in archive.namelist() if not name.endswith("/")}
    return found


def write_packed(path: Path, files: dict[str, str]) -> None:
    """Write files as compressed JSON, from which a script writes them faster than Python unpacks an archive."""
    path.write_bytes(gzip.compress(json.dumps(files, ensure_ascii=False).encode(), mtime=0))


def keep_memory(modules: Path, out: Path, files: dict[str, str], notebooks: list[list[str]]) -> None:
    """Write a snapshot of the memory that Python has after its start, from which it starts faster in a browser.

    Raises:
        Missing: there is no Node, or Python does not start in it.
    """
    node = shutil.which("node")
    if node is None:
        raise Missing("node (Debian: apt-get install nodejs)")
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given.json"
        given.write_text(json.dumps({"files": files, "imports": IMPORTED, "notebooks": notebooks}), "utf-8")
        command = [node, str(HERE / "snapshot.mjs"), str(modules), str(given), str(out)]
        called(command, HERE, "Python's memory")


def licences(modules: Path, wheels: dict[str, Path]) -> list[tuple[str, str, str, str]]:
    """Return the name, version, licence and licence's text of each package whose code is in the site."""
    found = []
    for path in sorted(modules.glob("**/package.json")):
        facts = json.loads(path.read_text("utf-8"))
        name = facts.get("name", "")
        if path.parent != modules / name or "version" not in facts or name in NOT_IN_THE_SITE or "esbuild" in name:
            continue
        texts = [file.read_text("utf-8") for file in sorted(path.parent.glob("LICEN[SC]E*"))]
        found.append((name, facts["version"], str(facts.get("license", "")), "\n".join(texts)))
    for name, path in wheels.items():
        with zipfile.ZipFile(path) as archive:
            [metadata] = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
            head = archive.read(metadata).decode().partition("\n\n")[0]
            said = re.search(r"^License(?:-Expression)?: (.*)$", head, re.MULTILINE)
            texts = [archive.read(each).decode() for each in archive.namelist() if re.search(r"/LICEN[SC]E", each)]
        found.append((name, path.name.split("-")[1], said[1] if said else "", "\n".join(texts)))
    return found


NOT_IN_THE_SITE = ("ws", "@types/emscripten")  # Pyodide needs these in Node alone
