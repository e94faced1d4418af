"""Draw DOT text with a renderer: with the system's Graphviz, or else with graphviz-pure."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import unicodedata
from pathlib import Path

from ..text.words import WORDS
from .svg import fitted

TIMEOUT = 60.0  # seconds
PURE_FORMATS = ("svg", "png", "json", "dot", "plain", "xdot")
VIEWERS_FONTS = ("svg", "json", "dot", "plain", "xdot")  # formats whose texts a viewer draws, in its own fonts


class RenderError(RuntimeError):
    """No program that draws is installed, or the program failed, or it cannot draw this picture correctly.

    >>> try:
    ...     render("this is not DOT", "svg")
    ... except RenderError:
    ...     print("not drawn")
    not drawn
    """


def find_renderer() -> str | None:
    """Return the path of the program that draws: `dot` if the system has it, else `graphviz-pure`, else None."""
    beside_python = Path(sysconfig.get_path("scripts")) / "graphviz-pure"
    return shutil.which("dot") or shutil.which("graphviz-pure") or shutil.which(beside_python)


def render(source: str, format: str, lang: str = "en") -> bytes:  # noqa: A002 -- graphviz's name
    """Return the picture that the DOT text `source` describes, in a format such as "svg" or "png".

    Raises:
        RenderError: no renderer is installed; or the renderer cannot draw this format or these characters, failed, or
            took longer than `TIMEOUT` seconds. The message is in the language `lang`.
    """
    words = WORDS[lang]
    program = find_renderer()
    if program is None:
        raise RenderError(words["no_renderer"].format(format=format))
    name = Path(program).stem
    if name == "graphviz-pure" and format not in PURE_FORMATS:
        raise RenderError(words["no_format"].format(format=format))
    if format not in VIEWERS_FONTS:
        missing = "".join(dict.fromkeys(c for c in source if _beyond_pure(c)))
        if name == "graphviz-pure" and missing:
            raise RenderError(words["no_glyphs"].format(format=format, characters=missing[:8]))
        if any(unicodedata.east_asian_width(c) in "WF" for c in missing) and not _has_chinese_font():
            raise RenderError(words["no_font"].format(format=format))
    try:
        done = subprocess.run([program, f"-T{format}"], input=source.encode(), capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise RenderError(words["too_slow"].format(name=name, format=format, seconds=TIMEOUT)) from error
    if done.returncode or not done.stdout:
        message = done.stderr.decode(errors="replace").strip()
        raise RenderError(words["failed"].format(name=name, format=format, message=message))
    return fitted(done.stdout.decode(), lang).encode() if format == "svg" else done.stdout


def _beyond_pure(c: str) -> bool:
    """Return whether the character `c` may be missing in the fonts of graphviz-pure.

    These fonts have Latin, Greek, Cyrillic and Hebrew letters, and signs.
    """
    return not (ord(c) < 0x0600 or 0x1E00 <= ord(c) < 0x2300 or c == "�")


def _has_chinese_font() -> bool:
    """Return whether fontconfig, which finds Graphviz's fonts, knows a Chinese font; True if there is no fontconfig."""
    fc_list = shutil.which("fc-list")
    if fc_list is None:
        return True
    return bool(subprocess.run([fc_list, ":lang=zh"], capture_output=True, timeout=TIMEOUT).stdout.strip())
