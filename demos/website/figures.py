"""Figures beside the sentences of some sections, each with a question that the reader answers first.

They need no Python. Some are the playground in its compact form, in which a reader steps through a graph, is asked for
each number before it is shown, and drags the numbers of the leaves. In print, the picture above such a figure takes its
place. In the other figures a reader drags a point, and they print as they are. Their scripts are in figure/, and
compute with parts of the playground: the graph that Python records, the engine that goes through it edge by edge, and
the network.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from micrograd_cn import OPS, Value
from micrograd_cn.flow.bundle import bundle
from micrograd_cn.flow.grammar import grammar
from micrograd_cn.flow.graph import Graph, operation_facts
from micrograd_cn.flow.javascript import Rows
from micrograd_cn.flow.sheet import LIMITS, scripts
from micrograd_cn.losses import mse_loss

from .page import page
from .texts import FIGURES as WORDS
from .texts import TEXTS

HERE = Path(__file__).parent
# For a section, the expression of the figure and the numbers of its leaves: those of the section's first picture.
FIGURES: dict[str, tuple[str, dict[str, float]]] = {
    "graph": ("(w*x + b)**2", {"w": -3, "x": 2, "b": 8}),
    "order": ("a*a + 3*a", {"a": 5}),
    "backward": ("tanh(w*x + b)**2", {"w": 0.5, "x": 2, "b": -0.75}),
}
ACTIVATIONS = ("tanh", "relu", "sigmoid")
BODY = """<main>
<div id="asking" role="group" aria-labelledby="question"><p id="question">{question}</p><div id="choices"></div></div>
<p id="verdict" role="status"></p>
<svg id="picture" role="img" aria-labelledby="told"></svg>
<fieldset id="numbers" disabled aria-label="{handles}"></fieldset>
<p id="told" aria-live="polite"></p>
</main>
<script type="application/json" id="data">{data}</script>"""


@dataclass
class Dragged:
    """A figure in which a reader drags numbers.

    Attributes:
        name: the name of its script in figure/.
        cell: the id of the code cell of the tutorial after which it stands.
        right: the index of the right answer to its question.
        facts: a function that returns the data that the script reads. It adds the operations that the script computes
            to its argument, which prints them as JavaScript functions.
    """

    name: str
    cell: str
    right: int
    facts: Callable[[Rows], dict[str, Any]]


def _recorded(root: Value, rows: Rows) -> dict[str, Any]:
    graph = Graph(root)
    return {"graph": graph.facts(rows), "numbers": [node.data for node in graph.nodes]}


def _parabola(rows: Rows) -> dict[str, Any]:
    x = Value(3.0, "x")
    return _recorded(x * x - 4 * x + 1, rows)


def _line_loss(rows: Rows) -> dict[str, Any]:
    w, b = Value(0.6, "w"), Value(1.2, "b")
    xs = [0.0, 1.0, 2.0, 3.0]
    return _recorded(mse_loss([w * x + b for x in xs], [2 * x - 1 for x in xs]), rows)


def _activations(rows: Rows) -> dict[str, Any]:
    functions = grammar()["functions"]
    return {
        "activations": ACTIVATIONS,
        "operations": {name: operation_facts(OPS[name], 1, rows) for name in ACTIVATIONS},
        "grammar": {"functions": {name: functions[name] for name in ACTIVATIONS}},
    }


DRAGGED = {
    "derive": Dragged("tangent", "cell-012", 0, _parabola),
    "descent": Dragged("valley", "cell-169", 1, _line_loss),
    "init": Dragged("layers", "cell-220", 2, _activations),
}


def dragged_files(short: str) -> dict[str, str]:
    """Return the pages of the figures in which numbers are dragged, in one language, and their scripts and style."""
    own = {f"figure/{path.name}": path.read_text("utf-8") for path in (HERE / "figure").glob("*.js")}
    files = {"figure.css": (HERE / "figure.css").read_text("utf-8")}
    for figure in DRAGGED.values():
        rows, words = Rows(), WORDS[short][figure.name]
        data = figure.facts(rows) | {"words": words, "right": figure.right, "limits": LIMITS}
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
        modules = {**scripts(), **own, "rows.js": rows.module()}
        files[f"figure.{figure.name}.js"] = bundle(f"figure/{figure.name}.js", modules)
        body = BODY.format(question=words["question"], handles=words["handles"], data=text)
        files[_page_of(figure, short)] = page(
            short,
            str(words["title"]),
            body,
            description=str(words["question"]),
            scripts=(f"figure.{figure.name}.js",),
            styles=("figure.css",),
            kind="figure asks",
        )
    return files


def _page_of(figure: Dragged, short: str) -> str:
    return f"figure.{figure.name}.{short}.html"


def with_figure(cells: str, page: str, short: str) -> str:
    """Return the cells of a page with the figure of its section.

    A figure to step through stands after the first picture of a graph.

    Args:
        cells: the cells in HTML.
        page: the name of the page's file, such as "tutorial.en.graph.html".
        short: its language, "en" or "zh".
    """
    section = page.split(".")[2]
    if section in DRAGGED:
        figure = DRAGGED[section]
        title = html.escape(str(WORDS[short][figure.name]["title"]))
        shown = f'<iframe title="{title}" src="{_page_of(figure, short)}"></iframe>'
        return _placed(cells, cells.index(f'data-cell="{figure.cell}"'), f'<figure class="widget dragged">{shown}')
    if section not in FIGURES:
        return cells
    text, leaves = FIGURES[section]
    facts = {"text": text, **{f"={name}": value for name, value in leaves.items()}, "lang": short, "predict": 1}
    link = f"playground.{short}.html#embed&{urlencode(facts, quote_via=quote)}"
    caption = f"<figcaption>{TEXTS[short]['figure']}</figcaption>"
    shown = f'<iframe title="{html.escape(text)}" loading="lazy" src="{html.escape(link)}"></iframe>'
    picture = re.search(r'<div class="output"><img(?! class="plot")', cells)
    if picture is None:
        raise ValueError(f"{page} shows no graph")
    return _placed(cells, picture.end(), f'<figure class="widget">{caption}{shown}')


def _placed(cells: str, at: int, figure: str) -> str:
    """Return the cells with a figure after the cell that the index `at` is in."""
    end = cells.index("</section>\n", at) + len("</section>\n")
    return f"{cells[:end]}{figure}</figure>\n{cells[end:]}"
