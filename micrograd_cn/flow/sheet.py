"""Put the HTML file of a page together from its texts, its data, and the files in the folders beside this one."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from keyword import kwlist
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..picture.animation import BACKWARD, FIRST, FORWARD, LAST, LEAVES
from ..picture.boxes import FULL_LABELS, MOST_BOXES, READABLE_EDGES
from ..picture.text import LONGEST_LABEL
from ..text.words import WORDS
from .bundle import bundle
from .squeeze import squeezed, squeezed_style

HERE = Path(__file__).parent
# The page folds a graph and cuts labels at the same sizes as a picture.
LIMITS = {"boxes": FULL_LABELS, "edges": READABLE_EDGES, "most": MOST_BOXES, "label": LONGEST_LABEL}
# An animation that the page saves shows its scenes for the same seconds as one that Python saves.
SECONDS = {"first": FIRST, "leaves": LEAVES, "forward": FORWARD, "backward": BACKWARD, "last": LAST}
# The page shares these words with pictures and the command line.
NARRATED = ("narrate_edge", "narrate_unselected", "narrate_unreached")
PASS = ("pass_title", "pass_moves")
SHARED_WORDS = ("data", "grad", "node_count", "grad_norm", "norm", "nothing", "unselected", *NARRATED, *PASS)
IN_THE_HTML = ("noscript", "description")  # no script reads these


def words_of(*pages: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return a dict from each language to the texts that a page's script reads.

    These are the texts of `pages`, without those that no script reads (`IN_THE_HTML`), and the texts that pages have in
    common with pictures (`SHARED_WORDS`). If several of `pages` have a text of the same name, that of the last one
    counts.
    """
    found: dict[str, dict[str, str]] = {}
    for lang in WORDS:
        own = {k: v for page in pages for k, v in page[lang].items() if k not in IN_THE_HTML}
        found[lang] = {key: WORDS[lang][key] for key in SHARED_WORDS} | own
    return found


def fragment(name: str) -> str:
    """Return the HTML of a part of a page, without indentation.

    `name` is the path of the part's file in this folder, without the ending .html.
    """
    return re.sub(r"\n +", "\n", _file(f"{name}.html"))


def sheet(
    lang: str,
    data: dict[str, Any],
    entry: str,
    modules: Mapping[str, str],
    words: dict[str, dict[str, str]],
    parts: Mapping[str, str] = MappingProxyType({}),
    styles: Sequence[str] = ("stepper/page",),
) -> str:
    """Return the text of the HTML file of a page.

    Args:
        lang: the language of the page before its script has run.
        data: the data of the page, which the script reads as JSON.
        entry: the path of the module that is run, relative to the folder of this file.
        modules: the text of the modules that are generated for this page, by their names.
        words: for each language, texts that include the title, the description, and the message that is shown if no
            script runs.
        parts: HTML for the places `tabs`, `rooms` and `entry` of stepper/page.html, by these names. The playground
            fills these places; in other pages they are empty.
        styles: the names of style sheets in the folders beside this file.
    """
    script = bundle(entry, {**scripts(), **modules}, squeezed)
    css = squeezed_style("\n".join([_file(f"{name}.css") for name in styles]))
    filled = {
        "tabs": "",
        "rooms": "",
        "entry": "",
        **parts,
        "lang": {"en": "en", "zh": "zh-CN"}[lang],
        "title": words[lang]["title"],
        "noscript": words[lang]["noscript"],
        "description": html.escape(words[lang]["description"]),
        "script_hash": _hash(script),
        "style_hash": _hash(css),
        "css": css,
        "data": _json(data | {"limits": LIMITS, "seconds": SECONDS, "keywords": kwlist}),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: filled[match[1]], fragment("stepper/page"))


def notebook_frame(title: str, page: str) -> str:
    """Return the HTML of a frame that contains `page`, the text of an HTML file, for a notebook to show.

    `title` is the title of the frame, for screen readers.

    >>> notebook_frame("a page", "<p>text")[:22]
    '<iframe title="a page"'
    """
    frame = 'width="100%" height="760" frameborder="0" sandbox="allow-scripts allow-forms allow-downloads"'
    # A page has a hundred double quotes for each single one. Between single quotes the double ones stay as they are,
    # so a notebook that stores the page is smaller.
    quoted = html.escape(page, quote=False).replace("'", "&#x27;")
    return f"""<iframe title="{html.escape(title)}" {frame} srcdoc='{quoted}'></iframe>"""


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


@cache
def scripts() -> Mapping[str, str]:
    """Return a dict from the paths of the JavaScript modules in the folders beside this file to their texts.

    A path is relative to the folder of this file, such as "stepper/ieee.js".
    """
    return {path.relative_to(HERE).as_posix(): path.read_text("utf-8") for path in HERE.glob("*/*.js")}


def _file(name: str) -> str:
    return (HERE / name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
