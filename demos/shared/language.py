"""Choose the reader's language, English or Chinese, and print in it.

A script first calls `set_language_from_arguments()`. From then on `text(english, chinese)` returns the text in the
reader's language. This file does not import matplotlib, so a script that draws only at its end starts at once.
"""

import argparse
import unicodedata

from micrograd_cn.text.words import language

LANGUAGES = ("en", "zh")

current = "en"


def set_language(lang: str | None) -> None:
    """Make `lang` the language of all texts from now on; None stands for the language of the locale."""
    global current
    current = language(lang)


def set_language_from_arguments() -> None:
    """Set the language that --lang names on the command line, before the parser's help texts are written in it."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--lang", choices=LANGUAGES)
    set_language(first.parse_known_args()[0].lang)


def add_language_option(parser: argparse.ArgumentParser) -> None:
    """Add the option --lang to a parser; its default is the current language."""
    parser.add_argument("--lang", choices=LANGUAGES, default=current, help=text("language", "语言"))


def text(english: str, chinese: str) -> str:
    """Return the text that is in the reader's language."""
    return chinese if current == "zh" else english


def align_right(cell: str, columns: int) -> str:
    """Return the text `cell` with spaces before it, so its width is `columns` columns of a terminal."""
    return " " * (columns - text_width(cell)) + cell


def text_width(cell: str) -> int:
    """Return how many columns of a terminal a text fills: a Chinese character fills two."""
    return len(cell) + sum(unicodedata.east_asian_width(c) in "WF" for c in cell)
