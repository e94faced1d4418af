"""Run DOT text through a renderer: the system's Graphviz, else graphviz-pure."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import unicodedata
from pathlib import Path

TIMEOUT = 60.0  # seconds
PURE_FORMATS = ("svg", "png", "json", "dot", "plain", "xdot")
INSTALL = "install Graphviz (its program `dot`) or `pip install 'micrograd-cn[viz]'`"


class RenderError(RuntimeError):
    """No renderer is installed, or the one there is cannot draw this as it should look, or it failed."""


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
        RenderError: there is no renderer, it cannot draw this format or its Chinese characters, it failed, or it took
            longer than `TIMEOUT`.
    """
    program = find_renderer()
    if program is None:
        raise RenderError(f"no renderer found to draw {format}: {INSTALL}")
    name = Path(program).stem
    if name == "graphviz-pure" and format not in PURE_FORMATS:
        raise RenderError(f"graphviz-pure cannot draw {format}: install Graphviz (its program `dot`)")
    if format not in ("svg", *PURE_FORMATS[2:]) and any(unicodedata.east_asian_width(c) in "WF" for c in source):
        if name == "graphviz-pure":
            raise RenderError(
                f"graphviz-pure has no Chinese glyphs for a {format}, which would show empty squares: draw an svg, or "
                "install Graphviz (its program `dot`) and a Chinese font such as Noto Sans CJK"
            )
        if not _has_chinese_font():
            raise RenderError(
                f"no Chinese font is installed, so a {format} would show empty squares: draw an svg, or install a "
                "Chinese font such as Noto Sans CJK (Debian: apt-get install fonts-noto-cjk)"
            )
    try:
        done = subprocess.run([program, f"-T{format}"], input=source.encode(), capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise RenderError(f"{name} was still drawing {format} after {TIMEOUT:g} s; draw a smaller graph") from error
    if done.returncode or not done.stdout:
        raise RenderError(f"{name} could not draw {format}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _has_chinese_font() -> bool:
    """Return whether fontconfig, which finds Graphviz's fonts, knows a Chinese one; True if it cannot be asked."""
    fc_list = shutil.which("fc-list")
    if fc_list is None:
        return True
    return bool(subprocess.run([fc_list, ":lang=zh"], capture_output=True, timeout=TIMEOUT).stdout.strip())
