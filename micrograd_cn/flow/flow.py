"""Put a page together: the graph and its numbers as data, the layout from DOT, and the files beside this one."""

from __future__ import annotations

import base64
import copy
import hashlib
import html
import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..engine import Value
from ..picture.boxes import MOST_BOXES, readable_flow
from ..words import PAGE, WORDS, language
from .graph import graph_facts, layout
from .javascript import Rows

SCRIPTS = tuple(
    f"{name}.js" for name in ("numbers", "text", "engine", "view", "narration", "picture", "table", "tape", "page")
)
LEGEND = ("legend_flow", "legend_edge", "legend_box", "legend_colour", "legend_fold")
SHARED_WORDS = ("data", "grad", "nodes", "narrate_edge", *LEGEND)  # with pictures and the command line


class Tape:
    """Record graphs, one a training step, for a page with a slider over them.

    Args:
        lang: the language that the page starts in, "en" or "zh"; the locale's for None.

    Raises:
        ValueError: there are no words in this language.

    >>> w = Value(1, "w")
    >>> record = Tape()
    >>> for step in range(3):
    ...     loss = (w - 3) ** 2
    ...     record.snapshot(loss)
    ...     w.grad = 0.0
    ...     loss.backward()
    ...     w.data -= 0.25 * w.grad
    >>> len(record)
    3
    """

    def __init__(self, lang: str | None = None) -> None:
        self.lang = language(lang)
        self._rows = Rows()
        self._graphs: list[dict[str, Any]] = []
        self._snapshots: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._snapshots)

    def snapshot(self, root: Value) -> None:
        """Record the graph below `root` with its numbers as they are now, before the optimiser changes them.

        Raises:
            TypeError: `root` is not a `Value`.
            ValueError: it is a constant, or the page would have too many boxes.
        """
        words = WORDS[self.lang]
        if not isinstance(root, Value):
            raise TypeError(words["page_not_a_value"].format(kind=type(root).__name__))
        if not root.requires_grad:
            raise ValueError(words["page_constant"].format(root=root))
        flow = readable_flow(root)
        if len(flow.boxes) > MOST_BOXES:
            raise ValueError(words["page_too_large"].format(boxes=len(flow.boxes), limit=MOST_BOXES))
        graph = graph_facts(flow, self._rows)
        if graph not in self._graphs:
            self._graphs.append(graph)
        numbers = {
            "graph": self._graphs.index(graph),
            "data": _encoded(node.data for node in flow.nodes),
            "partials": [_encoded(node.partials) for node in flow.nodes],
        }
        self._snapshots.append(numbers)

    @property
    def html(self) -> str:
        """Return the page.

        Raises:
            ValueError: nothing was recorded.
            RenderError: there is no renderer to lay the graph out.
        """
        if not self._snapshots:
            raise ValueError(WORDS[self.lang]["page_empty"])
        graphs = [graph | layout(graph, self.lang) for graph in self._graphs]
        words = {lang: PAGE[lang] | {key: WORDS[lang][key] for key in SHARED_WORDS} for lang in PAGE}
        data = {"lang": self.lang, "words": words, "graphs": graphs, "snapshots": self._snapshots}
        script = "\n".join([_file("numbers.js"), self._rows.source(), *map(_file, SCRIPTS[1:])])
        css = _file("page.css")
        parts = {
            "lang": {"en": "en", "zh": "zh-CN"}[self.lang],
            "title": PAGE[self.lang]["title"],
            "noscript": PAGE[self.lang]["noscript"],
            "script_hash": _hash(script),
            "style_hash": _hash(css),
            "css": css,
            "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
            "script": script,
        }
        return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _file("page.html"))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to `path` and return it."""
        path = Path(path)
        path.write_bytes(self.html.encode())
        return path

    def _repr_html_(self) -> str:
        """Return the page in a frame, for notebooks."""
        title = html.escape(PAGE[self.lang]["title"])
        frame = 'width="100%" height="760" frameborder="0" sandbox="allow-scripts allow-forms"'
        return f'<iframe title="{title}" {frame} srcdoc="{html.escape(self.html)}"></iframe>'


def draw_flow(root: Value | Tape, lang: str | None = None) -> Tape:
    """Return the graph below `root` as a page that goes through the chain rule one edge at a time.

    The page is one HTML file that needs no network: `.save("flow.html")` writes it, `.html` is its text, and a notebook
    shows it in a frame. It starts before `backward()`, whatever gradients there are, and its end is what one
    `backward()` gives. A network is folded as `draw_dot` folds it.

    Scripts find what they need in attributes of the SVG's elements. Numbers are in full; what is not known yet is "".

    - `.node`: `data-name` is the label, or "v3" (made unique where it is not), or the folded part's name; `data-value`;
      `data-grad` (what has arrived so far; a folded part's norm); `data-state` is waiting, partial or complete (which a
      constant always is, for it waits for nothing).
    - `.edge`: `data-src` is the operand's name, `data-dst` the result's, `data-slot` the operand slot, "" where several
      are drawn as one; `data-contribution` (of several, their norm).
    - `#narration` is the text of the step.

    Args:
        root: the value to differentiate, or a `Tape` of a training run, which stays in its own language.
        lang: the language that the page starts in, "en" or "zh"; the tape's, else the locale's, for None.

    Raises:
        TypeError: `root` is not a `Value`.
        ValueError: it is a constant, it has too many boxes, or `lang` is neither.

    >>> a = Value(2, "a")
    >>> draw_flow(a + a, lang="en").html.startswith("<!doctype html>")
    True
    """
    if isinstance(root, Tape):
        translated = copy.copy(root)  # of the same recording
        translated.lang = language(lang or root.lang)
        return translated
    page = Tape(lang)
    page.snapshot(root)
    return page


def _encoded(xs: Iterable[float]) -> list[float | str]:
    """Return the numbers for JSON, which has no nan and inf."""
    return [float(x) if math.isfinite(x) else str(float(x)) for x in xs]


def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
