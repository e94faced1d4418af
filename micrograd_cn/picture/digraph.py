"""A `graphviz.Digraph` that draws itself. Only this module needs the package graphviz, and only drawing imports it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..ops.number import flag
from ..text.words import WORDS, language
from .render import find_renderer, render

try:
    import graphviz
except ModuleNotFoundError as error:
    raise ImportError(WORDS[language(None)]["no_graphviz"]) from error

__all__ = ["Picture"]

# The endings of files of pictures
PICTURES = {
    *(".svg", ".svgz", ".png", ".pdf", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tiff", ".ps", ".eps"),
}


class Picture(graphviz.Digraph):  # type: ignore[misc]  # graphviz has no type hints
    """A `graphviz.Digraph` that draws itself with whichever renderer is installed.

    Raises:
        RenderError: no renderer can draw the picture as it should look. Only drawing raises this, because `.source`,
            and `.save()` of DOT text, need no renderer.

    >>> from micrograd_cn import Value, draw_dot
    >>> picture = draw_dot(Value(1, "x") * 2)
    >>> type(picture), picture.source.count("->")
    (<class 'micrograd_cn.picture.digraph.Picture'>, 2)
    """

    lang = "en"  # the language of its errors

    @property
    def drawn_by(self) -> str | None:
        """The name of the program that draws the picture, or None if none is installed."""
        program = find_renderer()
        return Path(program).stem if program else None

    def pipe(self, format: str | None = None, *_: Any, encoding: str | None = None, **__: Any) -> Any:  # noqa: A002
        """Return the picture as bytes, or as text if `encoding` is the name of an encoding.

        `format` is the format of the picture, by default `self.format`. Further arguments of graphviz's method are
        ignored.
        """
        picture = render(self.source, format or self.format, self.lang)
        return picture.decode(encoding) if encoding else picture

    def save(
        self,
        filename: str | os.PathLike[str] | None = None,
        directory: str | os.PathLike[str] | None = None,
        *,
        skip_existing: bool | None = False,
    ) -> str:
        """Write the picture if the file has the ending of a picture, as "y.svg" has; otherwise write the DOT text.

        Return the path of the file. graphviz's method of this name always writes DOT text.

        Args:
            filename: where to write; by default "Picture.gv".
            directory: the folder that `filename` is relative to.
            skip_existing: whether to leave a file that exists as it is.

        Raises:
            RenderError: no renderer is installed, or it failed, or it cannot draw this picture as it should look.
            OSError: the file cannot be written.

        >>> import pathlib, tempfile
        >>> from micrograd_cn import Value, draw_dot
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = draw_dot(Value(1, "x") * 2).save(f"{folder}/y.svg")
        ...     "<svg" in pathlib.Path(path).read_text(encoding="utf-8")
        True
        """
        name, folder = filename or self.filename, directory or self.directory
        if (ending := Path(name).suffix.lower()) not in PICTURES:
            return str(super().save(filename, directory=directory, skip_existing=skip_existing))
        path = Path(folder or "", name)
        return str(path) if skip_existing and path.exists() else self.render(outfile=path, format=ending[1:])

    def render(
        self,
        filename: str | os.PathLike[str] | None = None,
        directory: str | os.PathLike[str] | None = None,
        view: bool = False,
        cleanup: bool | None = None,
        format: str | None = None,  # noqa: A002 -- graphviz's name
        *_: Any,
        outfile: str | os.PathLike[str] | None = None,
        **__: Any,
    ) -> str:
        """Write the picture, and also the DOT text unless `outfile` is given alone. Return the path of the picture.

        Args:
            filename: where to write the DOT text. The default is "Picture.gv".
            directory: the folder that `filename` and `outfile` are relative to.
            view: whether to open the picture.
            cleanup: True deletes the DOT file afterwards, even if drawing fails. False writes a DOT file even if
                `outfile` is given alone: beside it, with the ending .gv.
            format: the format of the picture. The default is the ending of `outfile`, or else `self.format`.
            outfile: where to write the picture. The default is `filename` with the format as a second ending.
            _: further positional arguments of graphviz's method, which are ignored.
            __: further keyword arguments of graphviz's method, which are ignored.

        Raises:
            RenderError: no renderer is installed, or it failed, or it cannot draw this picture as it should look.
            OSError: a file cannot be written.

        >>> import os, tempfile
        >>> from micrograd_cn import Value, draw_dot
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = draw_dot(Value(1, "x") * 2).render(outfile=f"{folder}/y.svg")
        ...     os.listdir(folder)
        ['y.svg']
        """
        view = flag("render(): view", view, "format")
        source = None
        if outfile is None:
            source = Path(super().save(filename, directory=directory))
            format = format or self.format  # noqa: A001
            target = source.with_name(f"{source.name}.{format}")
        else:
            target = Path(directory or "", outfile)
            format = format or target.suffix[1:] or self.format  # noqa: A001
            target.parent.mkdir(parents=True, exist_ok=True)
            if filename or cleanup is False:
                beside = target.with_suffix(".gv")
                source = Path(super().save(filename or beside, directory=directory if filename else None))
        try:
            target.write_bytes(render(self.source, format, self.lang))
        finally:
            if cleanup and source:
                source.unlink()
        if view:
            graphviz.view(str(target))
        return str(target)
