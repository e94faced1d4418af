"""Speak the reader's language: after `speak`, `text(english, chinese)` is what a demo prints.

It needs no matplotlib, so that demos which draw only at their end start at once.
"""

import argparse
import unicodedata
from importlib.util import find_spec

from micrograd_cn.text.words import language

LANGUAGES = ("en", "zh")

spoken = "en"


def speak(lang: str | None) -> None:
    """Speak the language `lang` from now on, the locale's for None."""
    global spoken
    spoken = language(lang)


def speak_as_asked() -> None:
    """Speak the language that the command line names with --lang, before the help texts are made in it."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--lang", choices=LANGUAGES)
    speak(first.parse_known_args()[0].lang)


def add_lang(parser: argparse.ArgumentParser) -> None:
    """Add the option --lang, whose default is the language that is spoken."""
    parser.add_argument("--lang", choices=LANGUAGES, default=spoken, help=text("language", "语言"))


def text(english: str, chinese: str) -> str:
    """Return the one that is in the reader's language."""
    return chinese if spoken == "zh" else english


def need(module: str, extra: str) -> None:
    """Stop, and say what to install, where there is no such module."""
    if find_spec(module) is None:
        install = f"python -m pip install -e '.[{extra}]'"
        raise SystemExit(text(f"this needs {module}: {install}", f"需要 {module}：{install}"))


def right(cell: str, room: int) -> str:
    """Return the text filled up with spaces at its left; a Chinese character is as wide as two."""
    return " " * (room - width(cell)) + cell


def width(cell: str) -> int:
    """Return in how many columns of a terminal the text is."""
    return len(cell) + sum(unicodedata.east_asian_width(c) in "WF" for c in cell)
