"""Record graphs, and put the page together that steps through them."""

from __future__ import annotations

import copy
import html
import os
from array import array
from itertools import chain
from pathlib import Path
from typing import Any

from ..engine import Value
from ..handwritten import GraphNode, Handwritten, is_handwritten
from ..text.words import WORDS, language
from .columns import packed
from .graph import Graph
from .javascript import Rows
from .sheet import sheet, words_of
from .texts import ERRORS, PAGE


class Tape:
    """Record graphs, one a training step, for a page with a slider over them.

    Args:
        lang: the language that the page starts in, "en" or "zh"; the browser's for None.

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
        self._chosen = lang
        self._rows = Rows()
        self._graphs: list[dict[str, Any]] = []
        self._snapshots: list[tuple[int, array[float]]] = []  # of which graph, and its numbers

    def __len__(self) -> int:
        return len(self._snapshots)

    def snapshot(self, root: Any) -> None:
        """Record the graph below `root` with its numbers as they are now, before the optimiser changes them.

        Of a class of your own, which `draw_flow` takes, the gradients that it has computed are recorded too.

        Raises:
            TypeError: `root` is neither a `Value` nor a node of such a class.
            ValueError: it is a constant, or a graph of your own is a circle.
        """
        errors = ERRORS[self.lang]
        handwritten = is_handwritten(root)
        if handwritten:
            root = Handwritten(root).root
        if not isinstance(root, Value):
            needed = WORDS[self.lang]["needed"] if hasattr(root, "data") else ""
            raise TypeError(errors["not_a_value"].format(kind=type(root).__name__) + needed)
        if not root.requires_grad:
            raise ValueError(errors["constant"].format(root=root))
        graph = Graph(root, handwritten)
        facts = graph.facts(self._rows)
        if facts not in self._graphs:
            self._graphs.append(facts)
        numbers = [[node.data for node in graph.nodes], *[node.partials for node in graph.nodes]]
        if handwritten:
            numbers.append([node.grad for node in graph.nodes])
        self._snapshots.append((self._graphs.index(facts), array("d", chain.from_iterable(numbers))))

    @property
    def html(self) -> str:
        """Return the page.

        Raises:
            ValueError: nothing was recorded.
        """
        if not self._snapshots:
            raise ValueError(ERRORS[self.lang]["empty"])
        tapes = [packed([row for i, row in self._snapshots if i == graph]) for graph in range(len(self._graphs))]
        data = {
            "lang": self._chosen,
            "words": words_of(PAGE),
            "graphs": self._graphs,
            "tapes": tapes,
            "snapshots": [graph for graph, _ in self._snapshots],
        }
        return sheet(self.lang, data, "stepper/stepper.js", {"rows.js": self._rows.module()}, PAGE)

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


def draw_flow(root: GraphNode, lang: str | None = None) -> Tape:
    """Return the graph below `root` as a page that goes through the chain rule one edge at a time.

    The page is one HTML file that needs no network: `.save("flow.html")` writes it, `.html` is its text, and a notebook
    shows it in a frame. It starts before `backward()`, whatever gradients there are, and its end is what one
    `backward()` gives. Layers, neurons and each `scope` are boxes that open and close; of a large graph, neighbours are
    put into such parts too, so that it may have tens of thousands of nodes. A batch's samples are boxes of their own if
    each is computed in a `with scope("sample 1"):`.

    A class of your own has a page as well, if its nodes keep `data`, `grad`, their operands `_prev` and the operation's
    name `_op`: the steps are those of the chain rule, and each box has the gradient that your class computed beside it.

    ![The page at its end: all boxes have their gradients](../../demos/pictures/flow.en.png)

    Scripts find what they need in attributes of the SVG's elements. Numbers are in full; what is not known yet is "".

    - `.node`: `data-name` is the label, or "v3", of a network's inputs "x1" (made unique where it is not: the second
      sample's is "x1#2"), or the closed part's name; `data-value`;
      `data-grad` (what has arrived so far; a closed part's norm); `data-state` is waiting, partial or complete (which a
      constant always is, for it waits for nothing); `data-theirs` is the gradient that a class of your own computed.
    - `.edge`: `data-src` is the operand's name, `data-dst` the result's, `data-slot` the operand slot, "" where several
      are drawn as one; `data-contribution` (of several, their norm).
    - `#narration` is the text of the step.

    Args:
        root: the value to differentiate, of ours or of a class of your own; or a `Tape` of a training run, which stays
            in its own language.
        lang: the language that the page starts in, "en" or "zh"; the tape's, else the browser's, for None.

    Raises:
        TypeError: `root` is none of these.
        ValueError: it is a constant, `lang` is neither, or a graph of your own is a circle.

    >>> a = Value(2, "a")
    >>> draw_flow(a + a, lang="en").html.startswith("<!doctype html>")
    True
    """
    if isinstance(root, Tape):
        translated = copy.copy(root)  # of the same recording
        if lang is not None:
            translated.lang = translated._chosen = language(lang)
        return translated
    page = Tape(lang)
    page.snapshot(root)
    return page
