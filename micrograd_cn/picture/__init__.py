"""Draw a graph, and how the gradient flows through it, as a `graphviz.Digraph`.

boxes.py decides which boxes and edges show the graph, and folds parts of a network into single boxes until there are
few enough to be read. dot.py writes the boxes and edges in the DOT language. For that, text.py shortens labels and
numbers, cells.py sets them in tables, metrics.py says how wide a text may become, and colours.py has the colours. The
result is the `Picture` of digraph.py. render.py draws it with the system's Graphviz or else with graphviz-pure, and
svg.py adapts an SVG to its viewers. steps.py goes through a backward pass edge by edge, for a picture of one step, and
animation.py joins the pictures of all steps into an animated SVG or a GIF. Only digraph.py imports the package
graphviz, and digraph.py is imported only when something is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dot import draw_dot
from .render import RenderError

if TYPE_CHECKING:
    from .digraph import Picture
else:

    def __getattr__(name: str) -> object:
        """Import and return `Picture`, which needs the package graphviz, when it is first asked for by this `name`."""
        if name == "Picture":
            from .digraph import Picture

            return Picture
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Picture", "RenderError", "draw_dot"]
