"""The list of texts that the search looks through: the tutorial's, and the names of the reference."""

from __future__ import annotations

import html
import inspect
import json
import re
from collections.abc import Iterable, Iterator
from importlib import import_module


def texts_of_page(name: str, title: str, cells: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield the texts of a page of a notebook, with the address of each."""
    for cell in cells:
        if place := re.match(r'<div class="text" id="([^"]*)">', cell):
            words = re.sub(r"</?(?:a|b|code|em|i|span|strong)\b[^>]*>", "", cell)  # these stand within a word
            words = re.sub(r"<(?:math|pre)\b.*?</(?:math|pre)>|<[^>]*>", " ", words, flags=re.DOTALL)
            text = " ".join(html.unescape(words).replace("¶", " ").split())
            if text:
                yield {"url": f"{name}#{place[1]}", "title": title, "text": text}


def names_of_modules(modules: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield each public name of the modules, with the first line of its docstring and its address in the reference."""
    for name in modules:
        module = import_module(name)
        page = f"api/{name.replace('.', '/')}.html"
        for each in getattr(module, "__all__", ()):
            doc = inspect.getdoc(getattr(module, each)) or ""
            yield {
                "url": f"{page}#{each}",
                "title": f"{name}.{each}",
                "text": doc.partition("\n\n")[0].replace("\n", " "),
            }


def script(texts: Iterable[dict[str, str]]) -> str:
    """Return a JavaScript text that contains `texts`: a page that was opened from a disk can load no JSON."""
    numbered = [{"id": number, **text} for number, text in enumerate(texts)]
    return f"globalThis.SITE_TEXTS={json.dumps(numbered, ensure_ascii=False, separators=(',', ':'))};\n"


def field(words: dict[str, str]) -> str:
    """Return the field for the search, in HTML."""
    label = html.escape(words["search"])
    return (
        f'<form class="search" role="search"><label for="find">{label}</label> '
        '<input type="search" id="find" autocomplete="off"> <span id="said" role="status"></span>'
        '<ol id="found"></ol></form>'
    )
