"""Speak the reader's language: after `speak`, `text(english, chinese)` is what a demo prints.

It needs no matplotlib, so that demos which draw only at their end start at once.
"""

import unicodedata

from micrograd_cn.words import language

LANGUAGES = ("en", "zh")

spoken = "en"


def speak(lang: str | None) -> None:
    """Speak the language `lang` from now on, the locale's for None."""
    global spoken
    spoken = language(lang)


def text(english: str, chinese: str) -> str:
    """Return the one that is in the reader's language."""
    return chinese if spoken == "zh" else english


def right(cell: str, width: int) -> str:
    """Return the text filled up with spaces at its left; a Chinese character is as wide as two."""
    return " " * (width - len(cell) - sum(unicodedata.east_asian_width(c) in "WF" for c in cell)) + cell
