"""Figures that a reader steps through, beside the sentences of some sections: the playground in its compact form.

They need no Python. The picture above a figure is its still in print.
"""

from __future__ import annotations

import html
import re
from urllib.parse import quote, urlencode

from .texts import TEXTS

# For a section, the expression of the figure and the numbers of its leaves: those of the section's first picture.
FIGURES: dict[str, tuple[str, dict[str, float]]] = {
    "graph": ("(w*x + b)**2", {"w": -3, "x": 2, "b": 8}),
    "order": ("a*a + 3*a", {"a": 5}),
    "backward": ("tanh(w*x + b)**2", {"w": 0.5, "x": 2, "b": -0.75}),
}


def with_figure(cells: str, page: str, short: str) -> str:
    """Return the cells of a page with the figure of its section after the first picture of a graph.

    Args:
        cells: the cells in HTML.
        page: the name of the page's file, such as "tutorial.en.graph.html".
        short: its language, "en" or "zh".
    """
    section = page.split(".")[2]
    if section not in FIGURES:
        return cells
    text, leaves = FIGURES[section]
    facts = {"text": text, **{f"={name}": value for name, value in leaves.items()}, "lang": short}
    link = f"playground.{short}.html#embed&{urlencode(facts, quote_via=quote)}"
    words = TEXTS[short]
    figure = (
        f'<figure class="widget"><figcaption>{words["figure"]}</figcaption>'
        f'<iframe title="{html.escape(text)}" loading="lazy" src="{html.escape(link)}"></iframe></figure>\n'
    )
    picture = re.search(r'<div class="output"><img(?! class="plot")', cells)
    if picture is None:
        raise ValueError(f"{page} shows no graph")
    end = cells.index("</section>\n", picture.end()) + len("</section>\n")
    return cells[:end] + figure + cells[end:]
