"""Write the labels of boxes, of edges and of the legend as tables, in the HTML that the DOT language allows.

Each kind of text has a font size of its own, by which svg.py recognises the text in the output of a renderer.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .colours import INK, QUIET
from .metrics import width

TITLE, NUMBER, SENT, WORD, NOTE = 14, 13, 12, 11, 10  # points; older renderers accept only whole ones
PAD = 3  # points around a text
BETWEEN = 8  # points, at least, between a word and its number, and between the parts of the legend
ABOVE = 14  # points above the legend, which would otherwise look like the caption of the lowest box


@dataclass(frozen=True)
class Text:
    """A text of one size, weight and colour, for a cell of a table."""

    text: str
    size: int
    colour: str = INK
    bold: bool = False

    @property
    def width(self) -> int:
        """The width that the cell of this text must have, in points."""
        return math.ceil(width(self.text, self.size, self.bold)) + 2 * PAD

    @property
    def html(self) -> str:
        """The text in DOT's HTML. Spaces are non-breaking, because renderers may leave out plain ones."""
        text = html.escape(self.text, quote=False).replace(" ", "&#160;")
        text = text.replace("]", "&#93;")  # a label of nothing but brackets is a syntax error in dot
        return f'<font point-size="{self.size}" color="{self.colour}">{f"<b>{text}</b>" if self.bold else text}</font>'


@dataclass(frozen=True)
class Roomy(Text):
    """A text in a cell that is wide enough for all texts that the animation shows there, one after the other.

    Attributes:
        room: the width of the cell in points.
    """

    room: int = 0

    @property
    def width(self) -> int:
        """The width of the cell, in points."""
        return self.room


def roomy(shown: Text | None, ever: Sequence[Text]) -> Roomy:
    """Return the text `shown`, or a blank one for None, in a cell that is wide enough for each of the texts `ever`."""
    like = shown or ever[0]
    text = shown.text if shown and shown.text else " "
    return Roomy(text, like.size, like.colour, like.bold, max(text.width for text in ever))


def title(text: str) -> Text:
    """Return `text` as the first line of a box: bold, and in the largest size."""
    return Text(text, TITLE, bold=True)


def pair(word: str, number: str, colour: str = INK, bold: bool = False) -> tuple[Text, Text]:
    """Return a line of a box as two texts, for two columns: a word, such as "grad", and its number.

    `colour` is the colour of the number, and `bold` says whether the number is bold.
    """
    return Text(word, WORD, QUIET), Text(number, NUMBER, colour, bold)


def box_label(rows: Iterable[Row]) -> str:
    """Return the label of a box. Each of `rows` is a line of the box: one text, or a pair of a word and a number.

    A single text spans both columns. A word is on the left, and a number on the right.
    """
    lines = []
    for row in rows:
        if isinstance(row, tuple):
            word, number = row
            left = f'<td align="left" width="{word.width + BETWEEN}">{word.html}</td>'
            lines.append(f'<tr>{left}<td align="right" width="{number.width}">{number.html}</td></tr>')
        else:
            side = "right" if row.size == NOTE else "center"
            lines.append(f'<tr><td colspan="2" width="{row.width}" align="{side}">{row.html}</td></tr>')
    return _table("".join(lines), PAD)


def edge_label(rows: Iterable[Text]) -> str:
    """Return the label of an edge, with a line for each of `rows`.

    The label has a transparent frame, by which svg.py finds it.
    """
    lines = "".join(f'<tr><td width="{row.width}">{row.html}</td></tr>' for row in rows)
    return _table(lines, 1, 'border="1" color="transparent"')


def no_label() -> str:
    """Return the label of an edge that shows no text.

    A renderer such as graphviz leaves room for this label, as for the labels of other edges.
    """
    return _table("<tr><td></td></tr>", 0)


def legend_label(texts: Iterable[Text], caption: Iterable[Text] = ()) -> str:
    """Return the label with the legend: a gap, a line for each text of `caption`, and then all `texts` in one line."""
    cells = [f'<td align="left" width="{text.width + BETWEEN}">{text.html}</td>' for text in texts]
    span = f'colspan="{len(cells) + 1}"'  # the last column takes what a wide caption needs beyond the legend
    lines = "".join(f'<tr><td {span} align="left" width="{line.width}">{line.html}</td></tr>' for line in caption)
    rest = "<td></td>" if lines else ""
    return _table(f'<tr><td height="{ABOVE}"></td></tr>{lines}<tr>{"".join(cells)}{rest}</tr>', PAD)


Row: TypeAlias = Text | tuple[Text, Text]  # a line of a box: one text, or a word and a number


def steady(now: Sequence[Row], ever: Sequence[Sequence[Row]]) -> list[Row]:
    """Return the rows `now` of a box or edge, with room for its rows at any other moment of the animation.

    `ever` has the rows of the box or edge at every moment. Because of the room, nothing moves from one moment to the
    next. A row that is not there yet is blank.
    """
    rows: list[Row] = []
    most = max(len(each) for each in ever)
    for i, last in enumerate(next(each for each in ever if len(each) == most)):
        shown = now[i] if i < len(now) else None
        same = [each[i] for each in ever if i < len(each)]
        if isinstance(last, tuple):
            words = [row[0] for row in same if isinstance(row, tuple)]
            numbers = [row[1] for row in same if isinstance(row, tuple)]
            word, number = shown if isinstance(shown, tuple) else (None, None)
            rows.append((roomy(word, words), roomy(number, numbers)))
        else:
            texts = [row for row in same if isinstance(row, Text)]
            rows.append(roomy(shown if isinstance(shown, Text) else None, texts))
    return rows


def _table(rows: str, pad: int, look: str = 'border="0"') -> str:
    return f'<<table {look} cellborder="0" cellspacing="0" cellpadding="{pad}">{rows}</table>>'
