"""Write a notebook that was run as HTML: its texts with formulas as MathML, its code, and the outputs that it stores.

A code cell is a `<section data-cell="...">` with its code in `pre.source` and its outputs in `.output`, where
`cells.js` finds them. Pages that a cell shows, such as those of `draw_flow`, become files of their own.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .dependencies import facts_of, missing_here, needed_cells
from .formulas import mathml
from .texts import TEXTS


@dataclass
class Exported:
    """A notebook in HTML.

    Attributes:
        cells: the HTML of each cell.
        files: the pages that cells show, by the names of their files.
        code: the id, the title and the text of each code cell, as the browser's Python needs them.
        checks: for each cell, the number of the exercise that it checks, or "".
    """

    cells: list[str]
    files: dict[str, str]
    code: list[dict[str, str]]
    checks: list[str]


def exported(notebook: Any, name: str, short: str) -> Exported:
    """Return a notebook that was run as HTML.

    Args:
        notebook: the notebook, as nbformat reads it.
        name: the beginning of the names of its files, such as "tutorial.en".
        short: its language, "en" or "zh".
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    facts = facts_of(cell.source for cell in code)
    lacking = dict(zip((cell.id for cell in code), missing_here(facts, needed_cells(facts)), strict=True))
    numbers = {cell.id: number for number, cell in enumerate(code, 1)}
    render, files, cells = markdown(), dict[str, str](), []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            text = _tidied(render(cell.source))
            box = f'<div class="deeper">{text}</div>' if _may_be_skipped(cell) else text
            cells.append(f'<div class="text" id="text-{number}">{box}</div>\n')
        elif cell.cell_type == "code":
            shown = "".join(_output(output, f"flow.{name}.{cell.id}", short, files) for output in cell.outputs)
            cells.append(_code_cell(cell, numbers[cell.id], lacking[cell.id], shown, short))
    title = TEXTS[short]["cell_title"]
    told = [{"id": c.id, "title": title.format(number=numbers[c.id]), "source": c.source} for c in code]
    return Exported(cells, files, told, [tagged(cell, "check") for cell in notebook.cells])


def tagged(cell: Any, kind: str) -> str:
    """Return the number of the exercise whose "check" or "answer" the cell is, or ""."""
    tags = [tag.removeprefix(f"{kind}-") for tag in cell.metadata.get("tags", []) if tag.startswith(f"{kind}-")]
    return tags[0] if tags else ""


def _may_be_skipped(cell: Any) -> bool:
    return "deeper" in cell.metadata.get("tags", [])


def _code_cell(cell: Any, number: int, lacking: set[str], shown: str, short: str) -> str:
    words = TEXTS[short]
    check, hidden = tagged(cell, "check"), "hide-input" in cell.metadata.get("tags", [])
    facts = f' data-check="{check}"' if check else ""
    source = f'<div class="input"><pre class="source"><code>{highlighted(cell.source)}</code></pre></div>'
    if lacking:
        said = " ".join(words[f"lacks_{what}"] for what in sorted(lacking))
        source += f'<p class="lacking" hidden>{said}</p>'
    if hidden:
        source = f'<details class="hidden_code"><summary>{words["code"]}</summary>{source}</details>'
    kind = "cell deeper" if _may_be_skipped(cell) else "cell"
    return (
        f'<section class="{kind}" data-cell="{cell.id}" data-number="{number}"{facts}>{source}'
        f'<div class="output">{shown}</div></section>\n'
    )


def highlighted(source: str) -> str:
    """Return Python code as HTML with syntax highlighting; the text of each line is unchanged."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    lexer = PythonLexer(stripnl=False, ensurenl=False)
    return str(highlight(source, lexer, HtmlFormatter(nowrap=True))).removesuffix("\n")


def _output(output: Any, name: str, short: str, files: dict[str, str]) -> str:
    if output.output_type == "stream":
        return f'<pre class="{output.name}">{html.escape(output.text)}</pre>'
    if output.output_type == "error":
        return f'<pre class="error">{html.escape(f"{output.ename}: {output.evalue}")}</pre>'
    data: Mapping[str, str] = output.data
    if "text/html" in data:
        return _frame(data["text/html"], f"{name}.{len(files)}.html", short, files)
    if "image/svg+xml" in data:
        text = data["image/svg+xml"]
        return _picture("svg+xml", base64.b64encode(text.encode()).decode(), _width(text), short)
    if "image/png" in data:
        width = output.metadata.get("image/png", {}).get("width")
        return _picture("png", data["image/png"].strip(), width, short)
    if "text/latex" in data:
        return mathml(data["text/latex"])
    return f'<pre class="result">{html.escape(data["text/plain"])}</pre>'


def _width(svg: str) -> int:
    """Return the width of an SVG in pixels, from points."""
    [width] = re.findall(r'<svg[^>]*\bwidth="(\d+)', svg)[:1] or ["0"]
    return int(width) * 4 // 3


def _picture(kind: str, data: str, width: int | None, short: str) -> str:
    """Return an image element, marked if it is illegible at the width of a phone."""
    if kind == "png":
        width = int.from_bytes(base64.b64decode(data[:64])[16:20], "big")  # where a PNG has its width
    drawn = kind == "svg+xml" and "gradient-flow" in base64.b64decode(data[:2000]).decode(errors="ignore")
    marks = ' class="plot"' * (not drawn) + " data-wide" * ((width or 0) > 640)
    alt = TEXTS[short]["drawing"]
    return f'<img{marks} alt="{alt}" src="data:image/{kind};base64,{data}" width="{width or 640}">'


def _frame(shown: str, name: str, short: str, files: dict[str, str]) -> str:
    """Return a frame for a page that a cell shows, which becomes a file of its own."""
    found = re.search(r"""<iframe title="([^"]*)"[^>]* srcdoc='([^']*)'""", shown)
    assert found, f"{name}: only pages in frames are expected"
    files[name] = html.unescape(found[2])
    return (
        f'<iframe class="stepper" title="{found[1]}" sandbox="allow-scripts allow-forms allow-downloads" '
        f'loading="lazy" src="{name}"></iframe>'
    )


def markdown() -> Callable[[str], str]:
    """Return a function from Markdown to HTML, with formulas as MathML."""
    from latex2mathml.converter import convert
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def block_math(self, body: str) -> str:
            return str(convert(body, display="block"))

        def inline_math(self, body: str) -> str:
            return str(convert(body))

    return lambda text: str(
        MarkdownWithMath(renderer=Renderer(escape=False, attachments={}, anchor_link_text="¶")).render(text)
    )


def _tidied(text: str) -> str:
    """Return HTML without what the pages' Content-Security-Policy forbids, with links to the site's own files."""
    text = re.sub(r' style="text-align:\s*(\w+)"', r' class="\1"', text)
    text = text.replace(' style="break-before: page"', ' class="new_page"')
    text = text.replace('href="pictures/', 'href="').replace('src="pictures/', 'src="')
    return re.sub(r"<code>([^<]*)</code>", _words, text)


def _words(code: re.Match[str]) -> str:
    """Return inline code in HTML whose lines may break at spaces, but not at hyphens inside a word.

    `code` is the match of a regular expression for the code.
    """
    return "<code>" + " ".join(f'<span class="word">{word}</span>' for word in code[1].split(" ")) + "</code>"


def sections(made: Exported, first: str, name: str, contents: str) -> tuple[dict[str, list[int]], dict[str, str]]:
    """Return the cells of each page of a tutorial, by indices, and the title of each page.

    Each anchor, `<a id="name"></a>`, begins a page. The first page is the text before the first anchor.
    """
    pages: dict[str, list[int]] = {first: []}
    titles = {first: contents}
    for index, cell in enumerate(made.cells):
        if anchor := re.search(r'<a id="(\w+)"></a>', cell):
            page = f"{name}.{anchor[1]}.html"
            heading = re.search(r"<h2[^>]*>(.*?)<a class=", cell, re.DOTALL)
            assert heading, page
            pages[page], titles[page] = [], html.unescape(re.sub("<[^>]*>", "", heading[1]))
        pages[next(reversed(pages))].append(index)
    return pages, titles


def relinked(cells: str, name: str, pages: Mapping[str, list[int]]) -> str:
    """Return HTML in which links to sections lead to their pages."""
    return re.sub(r'href="#(\w+)"', partial(_to_page, name, pages), cells)


def _to_page(name: str, pages: Mapping[str, list[int]], link: re.Match[str]) -> str:
    page = f"{name}.{link[1]}.html"
    return f'href="{page}"' if page in pages else link[0]


def first_words(cells: str, most: int = 150) -> str:
    """Return the beginning of a page's text, for its description."""
    found = re.findall(r"<(?:p|blockquote)>\s*(?:<p>)?(.*?)</p>", cells, re.DOTALL)
    text = html.unescape(" ".join(" ".join(re.sub("<[^>]*>", "", part).split()) for part in found[:3]))
    return text if len(text) <= most else text[:most].rsplit(" ", 1)[0] + " …"


def read(path: Path) -> Any:
    """Return a notebook."""
    import nbformat

    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat has no types
