"""Adapt an SVG to its viewers: keep its texts in place in any font, and add colours for dark pages.

A renderer writes where a text starts, which depends on its guess of the text's width. This module anchors each text to
its box or edge instead: a title to the middle of the box, a word to the left side, a number to the right side, and the
text of an edge to the middle of its label.
"""

from __future__ import annotations

import re

from .cells import NOTE, NUMBER, PAD, TITLE
from .colours import DARK, PAPER

MARGIN = 5.0  # points between a box and its cells, which dot.py asks for
SIDES = {TITLE: "middle", NUMBER: "end", NOTE: "end"}  # where texts in a box are anchored; words are at the start
SHAPE = re.compile(r'<(?:path|polygon) fill="([^"]*)" stroke="([^"]*)"[^>]* (?:d|points)="([^"]*)"')
STYLE = (
    ".gradient-flow text { white-space: pre; }"
    ".gradient-flow .edge polygon { stroke-width: 1; }"
    f".gradient-flow .edge text {{ paint-order: stroke; stroke: {PAPER}; stroke-width: 3px; }}"
    "@media (prefers-color-scheme: dark) {"
    + "".join(
        f'.gradient-flow [fill="{light}"] {{ fill: {dark}; }}.gradient-flow [stroke="{light}"] {{ stroke: {dark}; }}'
        for light, dark in DARK.items()
    )
    + f".gradient-flow .edge text {{ stroke: {DARK[PAPER]}; }}"
    "}"
)


def fitted(svg: str, lang: str) -> str:
    """Return `svg` with anchored texts, the language `lang`, and colours for dark pages.

    A viewer needs the language to place Chinese punctuation.
    """
    opening, _, rest = svg.partition("<svg ")
    tag, end, inside = rest.partition(">")
    if not end:
        return svg
    language = 'xml:lang="zh-CN" ' if lang == "zh" else ""
    inside = re.sub(r'<g id="[^"]*" class="(node|edge)">.*?\n</g>', _tied, inside, flags=re.DOTALL)
    inside = inside.replace("&#160;", " ").replace("\u00a0", " ")
    return f'{opening}<svg class="gradient-flow" {language}{tag}><style>{STYLE}</style>{inside}'


def _tied(group: re.Match[str]) -> str:
    """Return the SVG text of a box or an edge, with each text in it anchored to the frame of the box or label.

    `group` is the match of a regular expression: the SVG group of a box or an edge, and its class, "node" or "edge".
    """
    text, in_box = group[0], group[1] == "node"
    frames = [
        [float(x) for x in re.findall(r"(-?[\d.]+),-?[\d.]+", points)]
        for fill, stroke, points in SHAPE.findall(text)
        if in_box or (fill == "none" and stroke in ("none", "transparent"))  # an edge's label has a transparent frame
    ]
    if not frames:
        return text
    left, right = min(frames[0]), max(frames[0])
    inset = MARGIN + PAD
    places = {"start": left + inset, "middle": (left + right) / 2, "end": right - inset}

    def placed(match: re.Match[str]) -> str:
        side = SIDES.get(round(float(match[3])), "start") if in_box else "middle"
        return f'text-anchor="{side}" x="{places[side]:.2f}"{match[2]}font-size="{match[3]}"'

    return re.sub(r'text-anchor="start" x="(-?[\d.]+)"([^>]*?)font-size="([\d.]+)"', placed, text)
