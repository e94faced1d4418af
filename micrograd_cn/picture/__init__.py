"""The picture: a graph and how the gradient flows through it, as a `graphviz.Digraph`.

boxes.py says what is shown of a graph: its boxes and edges, of a network folded until they can be read. dot.py writes
their looks in the DOT language, with text.py, which fits labels and numbers, cells.py, which sets them in rows as wide
as metrics.py says they may be in any font, and colours.py. The result is the `Picture` of digraph.py, which render.py
draws by the system's Graphviz, else by graphviz-pure; svg.py fits what they wrote to its viewers.
Only digraph.py imports graphviz, and is imported itself when something is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dot import draw_dot
from .render import RenderError

if TYPE_CHECKING:
    from .digraph import Picture
else:

    def __getattr__(name: str) -> object:
        """Import what needs graphviz only when it is asked for."""
        if name == "Picture":
            from .digraph import Picture

            return Picture
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Picture", "RenderError", "draw_dot"]
