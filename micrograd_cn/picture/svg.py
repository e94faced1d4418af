"""Fit a renderer's SVG to its viewers: texts that keep their place in any font, and a look for dark pages.

A renderer places a text where it starts, by its own guess of the width. Here each text is tied to what it must keep
clear of: a title to the middle of its box, a word to the left side, a number to the right, an edge's to its middle.
"""

from __future__ import annotations

import re

from .cells import NOTE, NUMBER, PAD, TITLE
from .colours import DARK, PAPER

MARGIN = 5.0  # points between a box and its cells, as dot.py asks for
SIDES = {TITLE: "middle", NUMBER: "end", NOTE: "end"}  # of what stands in a box; words are on the left
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
    """Return the picture with its texts tied, its language, by which fonts place punctuation, and its dark look."""
    opening, _, rest = svg.partition("<svg ")
    tag, end, inside = rest.partition(">")
    if not end:
        return svg
    language = 'xml:lang="zh-CN" ' if lang == "zh" else ""
    inside = re.sub(r'<g id="[^"]*" class="(node|edge)">.*?\n</g>', _tied, inside, flags=re.DOTALL)
    inside = inside.replace("&#160;", " ").replace("\u00a0", " ")
    return f'{opening}<svg class="gradient-flow" {language}{tag}><style>{STYLE}</style>{inside}'


def _tied(group: re.Match[str]) -> str:
    """Return a box or an edge with each of its texts tied to the frame around them."""
    text, in_box = group[0], group[1] == "node"
    frames = [
        [float(x) for x in re.findall(r"(-?[\d.]+),-?[\d.]+", points)]
        for fill, stroke, points in SHAPE.findall(text)
        if in_box or (fill == "none" and stroke in ("none", "transparent"))  # the frame of an edge's label is not seen
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
