"""Put a page's one HTML file together: its words and data, the files in the folders beside this one, its policy."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..picture.boxes import FULL_LABELS, READABLE_EDGES
from ..words import WORDS

HERE = Path(__file__).parent
STEPPER = tuple(
    f"stepper/{name}"
    for name in (
        *("text", "engine", "graph", "fold", "order", "layout", "view", "narration"),
        *("arrow", "picture", "plot", "table", "tape", "viewport", "page", "moving"),
        *("ways", "learn", "copy", "controls", "start"),
    )
)
LIMITS = {"boxes": FULL_LABELS, "edges": READABLE_EDGES}
SHARED_WORDS = ("data", "grad", "node_count", "grad_norm", "norm", "narrate_edge")  # with pictures and the command line


def words_of(*pages: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return the words of a page in each language."""
    return {
        lang: {key: WORDS[lang][key] for key in SHARED_WORDS} | {k: v for page in pages for k, v in page[lang].items()}
        for lang in WORDS
    }


def fragment(name: str) -> str:
    """Return a part of a page that stands in a file of its own."""
    return _file(f"{name}.html")


def sheet(
    lang: str,
    data: dict[str, Any],
    scripts: Sequence[str],
    rows: str,
    words: dict[str, dict[str, str]],
    parts: Mapping[str, str] = MappingProxyType({}),
    styles: Sequence[str] = ("stepper/page",),
) -> str:
    """Return the file.

    Args:
        lang: what it is in before its script has run.
        data: for the script.
        scripts: what is run, after the functions that `rows` are.
        rows: the table's rows as JavaScript.
        words: the title, and what is said where no script runs.
        parts: what stands in the holes of the page that the stepper leaves empty.
        styles: style sheets.
    """
    script = _packed([_file("stepper/numbers.js"), rows, *[_file(f"{name}.js") for name in scripts]])
    css = _packed([_file(f"{name}.css") for name in styles])
    filled = {
        "tabs": "",
        "rooms": "",
        "entry": "",
        **parts,
        "lang": {"en": "en", "zh": "zh-CN"}[lang],
        "title": words[lang]["title"],
        "noscript": words[lang]["noscript"],
        "script_hash": _hash(script),
        "style_hash": _hash(css),
        "css": css,
        "data": json.dumps(data | {"limits": LIMITS}, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: filled[match[1]], _file("stepper/page.html"))


def _packed(texts: Iterable[str]) -> str:
    """Return the texts as one, without indentation and lines of comments, a sixth of a page."""
    return re.sub(r"(?m)^ *//.*\n|^ +", "", "\n".join(texts))


def _file(name: str) -> str:
    return (HERE / name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
