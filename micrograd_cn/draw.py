"""Draw a graph and how the gradient flows through it: a box a value, an edge an operand slot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import graphviz

from .engine import Value, topological_order
from .render import render


class Picture(graphviz.Digraph):  # type: ignore[misc]  # graphviz has no type hints
    """A `graphviz.Digraph` that draws itself with whichever renderer is installed.

    Raises:
        RenderError: on drawing, if no renderer is installed or it failed. `.source` and `.save()` need none.
    """

    def pipe(self, format: str | None = None, *_: Any, encoding: str | None = None, **__: Any) -> Any:  # noqa: A002
        """Return the picture as bytes, or as text in `encoding`."""
        picture = render(self.source, format or self.format)
        return picture.decode(encoding) if encoding else picture

    def render(
        self,
        filename: str | os.PathLike[str] | None = None,
        directory: str | os.PathLike[str] | None = None,
        view: bool = False,
        cleanup: bool = False,
        format: str | None = None,  # noqa: A002 -- graphviz's name
        *_: Any,
        outfile: str | os.PathLike[str] | None = None,
        **__: Any,
    ) -> str:
        """Write the DOT text and the picture, and return the picture's path.

        The picture goes to `outfile`, whose ending is the format unless one is given, else to `filename` with the
        format's ending added; `cleanup` removes the DOT text again.
        """
        if outfile is None:
            source = Path(self.save(filename, directory=directory))
            format = format or self.format  # noqa: A001
            target = source.with_name(f"{source.name}.{format}")
        else:
            target = Path(directory or "", outfile)
            format = format or target.suffix[1:] or self.format  # noqa: A001
            source = Path(self.save(filename or target.with_suffix(".gv"), directory=directory if filename else None))
        target.write_bytes(render(self.source, format))
        if cleanup:
            source.unlink()
        if view:
            graphviz.view(str(target))
        return str(target)


def draw_dot(root: Value, format: str = "svg", rankdir: str = "LR") -> Picture:  # noqa: A002 -- micrograd's name
    """Return the graph below `root` as a picture: each value with its data and gradient, operands to results.

    An edge's label is the chain rule at work: the local derivative, and the contribution (that times the gradient of
    the result) which it carries to the operand.

    Args:
        root: the value to draw, usually the one `backward()` was called on.
        format: "svg" or "png".
        rankdir: "LR" from left to right, "TB" from top to bottom.

    Raises:
        TypeError: `root` is not a `Value`.
        ValueError: `rankdir` is neither "LR" nor "TB".

    >>> a = Value(2, "a")
    >>> draw_dot(a + a).source.count("->")
    2
    """
    if not isinstance(root, Value):
        raise TypeError(f"draw_dot() takes a Value, got {type(root).__name__}")
    if rankdir not in ("LR", "TB"):
        raise ValueError(f'rankdir must be "LR" or "TB", got {rankdir!r}')
    picture = Picture(format=format, graph_attr={"rankdir": rankdir})
    picture.attr("node", shape="box", fontname="sans-serif")
    picture.attr("edge", fontname="sans-serif", fontsize="10")
    interior = topological_order(root)
    nodes = dict.fromkeys(node for parent in reversed(interior) for node in (*parent.parents, parent)) or {root: None}
    names = {node: f"v{i}" for i, node in enumerate(nodes)}
    for node, name in names.items():
        title = " ".join(filter(None, [_plain(node.label), node.op.symbol if node.op else ""]))
        lines = [title, f"data {node.data:.4g}", f"grad {node.grad:.4g}" if node.requires_grad else ""]
        style = "solid" if node.requires_grad else "dashed"
        picture.node(name, graphviz.escape("\n".join(filter(None, lines))).replace("\n", r"\n"), style=style)
    for node in reversed(interior):
        for parent, partial in zip(node.parents, node.partials, strict=True):
            flow = f"×{partial:.4g} → {node.grad * partial:.4g}" if parent.requires_grad else ""
            picture.edge(names[parent], names[node], label=flow)
    return picture


def _plain(label: str) -> str:
    """Return the label so that it is shown as it is: no entities, and no control characters, which SVG may not hold."""
    return "".join(c if c.isprintable() else "�" for c in str(label)).replace("&", "&amp;")
