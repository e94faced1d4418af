"""Run DOT text through a renderer: the system's Graphviz, else graphviz-pure."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

TIMEOUT = 60.0  # seconds
INSTALL = "install Graphviz (its program `dot`) or `pip install 'micrograd-cn[viz]'`"


class RenderError(RuntimeError):
    """No renderer is installed, or the one that ran failed."""


def find_renderer() -> str | None:
    """Return the path of the program that will draw: `dot` if the system has it, else `graphviz-pure`, else None.

    >>> find_renderer() is None or Path(find_renderer()).exists()
    True
    """
    beside_python = Path(sysconfig.get_path("scripts")) / "graphviz-pure"
    return shutil.which("dot") or shutil.which("graphviz-pure") or shutil.which(beside_python)


def render(source: str, format: str) -> bytes:  # noqa: A002 -- graphviz's name
    """Return the DOT text `source` drawn as `format` ("svg", "png", ...).

    Raises:
        RenderError: there is no renderer, it does not know the format, it failed, or it took longer than `TIMEOUT`.
    """
    program = find_renderer()
    if program is None:
        raise RenderError(f"no renderer found to draw {format}: {INSTALL}")
    name = Path(program).stem
    try:
        done = subprocess.run([program, f"-T{format}"], input=source.encode(), capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise RenderError(f"{name} was still drawing {format} after {TIMEOUT:.0f} s; draw a smaller graph") from error
    if done.returncode or not done.stdout:
        raise RenderError(f"{name} could not draw {format}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
