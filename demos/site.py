"""Write the site: start page, tutorials, gradient checks, pages to play with, API reference: `python demos/site.py`.

The site is a folder of static files with relative links, in English and Chinese. It needs no network and also opens
from a disk: `demos/out/site/index.html`, or index.html in the folder that --out names. The tutorials are the notebooks
as they were run, one page for each section, with formulas as MathML. pdoc makes the reference from the docstrings.
It needs `'.[site]'`.

Where npm is installed, a reader can also edit and run the notebooks' cells: Python runs in their browser. For this,
pages have to come from a server, such as `python -m http.server` in the site's folder. The folder website/ has what it
takes.
"""

import argparse
import base64
import html
import inspect
import json
import re
import shutil
import sys
import warnings
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from string import Template
from typing import Any

import micrograd_cn
from gradient_flow import gate
from micrograd_cn import OPS
from micrograd_cn.flow import draw_flow, playground
from shared.language import add_language_option, set_language_from_arguments, text
from website.apart import apart
from website.figures import DRAGGED, dragged_files, with_figure
from website.notebook import Exported, exported, first_words, read, relinked, sections
from website.own_gradient import own_gradient
from website.packages import Missing, lay_into, minify
from website.page import EDITED, ICON, POLICY, address, page, reference_policy, with_policy, with_preview
from website.search import field, names_of_modules, script, texts_of_page
from website.texts import CELLS, TEXTS

HERE = Path(__file__).parent
MODULES = (
    *("micrograd_cn", "micrograd_cn.nn", "micrograd_cn.losses", "micrograd_cn.optim", "micrograd_cn.init"),
    *("micrograd_cn.module", "micrograd_cn.functional", "micrograd_cn.testing", "micrograd_cn.compiler"),
    *("micrograd_cn.picture", "micrograd_cn.flow"),
)
INSTALL = "python -m venv .venv && .venv/bin/python -m pip install -e '.[{}]' && .venv/bin/python {}"
COMMANDS = {
    short: {"train": INSTALL.format("demos", f"demos/digits.py{spoken}"), "test": INSTALL.format("test", "-m pytest")}
    for short, spoken in (("en", ""), ("zh", " --lang zh"))
}
ROOMS = {
    "expression": "",
    "network": "#room=board",
    "model": "#room=model",
}  # the end of the address that opens a room
# Files that are written as people read them, and minified where esbuild is there.
SHRUNK = ("playground.js", "playground.css", *(f"figure.{figure.name}.js" for figure in DRAGGED.values()))
BACK = (
    '<header><b>micrograd_cn</b><span><a href="index.html">Start page</a> '
    '<a href="index.zh.html" hreflang="zh-CN" lang="zh-CN">中文</a></span></header>'
)
POLICIES = {
    "pages": POLICY,
    "pages whose code can be edited": EDITED,
    "the reference, with the digest of the script in each page added": reference_policy(""),
}
STARTS = {"en": "index.html", "zh": "index.zh.html"}
START = Template("""<header><b>micrograd_cn</b><a href="$other_page" hreflang="$other_lang">$other</a></header>
<h1>$title</h1>
<p class="lead">$lead</p>
<figure class="widget"><iframe id="figure" title="$play" src="flow.$short.html#embed"></iframe>
<img class="still" src="neuron.$short.svg" alt="$picture"><figcaption>$play_text</figcaption></figure>
$search
<h2>$rooms</h2>
<nav class="rooms" aria-label="$rooms">
$pictures
</nav>
<nav class="cards">
$cards
</nav>
<h2>$run</h2>
<p>$train</p>
<pre><code>$command_train</code></pre>
<p>$test</p>
<pre><code>$command_test</code></pre>""")


class Runs:
    """What the pages of notebooks need so that a reader can run their cells.

    Args:
        facts: the dict that `packages.lay_into` returns, or None if cells do not run.
    """

    def __init__(self, facts: dict[str, Any] | None) -> None:
        self.facts = facts

    def of(self, name: str, short: str, more: dict[str, Any]) -> dict[str, Any] | None:
        """Return the data for the scripts of a page of the notebook `name`."""
        if self.facts is None:
            return None
        facts = {key: self.facts[key] for key in ("sizes", "wheels", "cdn", "elsewhere")}
        return facts | {"name": name, "notebook": f"{name}.cells.json", "words": CELLS[short]} | more

    def cells_of(self, name: str, made: Exported) -> dict[str, str]:
        """Return a dict from the name of a file to its text: the code of a notebook's cells, as JSON.

        The browser's Python reads the file. The dict is empty if cells do not run.
        """
        if self.facts is None:
            return {}
        return {f"{name}.cells.json": json.dumps(made.code, ensure_ascii=False, separators=(",", ":"))}


def start_page(short: str, pages: Iterable[str], runs: Runs) -> str:
    """Return the start page: the playground's rooms as pictures, a search, and a card for each page that exists."""
    words = TEXTS[short]
    pictures = [
        f'<a class="room" href="playground.{short}.html{where}"><img src="room_{room}.{short}.png" alt="" width="960" '
        f'height="600"><span><b>{words[f"room_{room}"]}</b>{words[f"room_{room}_text"]}</span></a>'
        for room, where in ROOMS.items()
    ]
    links = {
        "play": f"flow.{short}.html",
        "tutorial": f"tutorial.{short}.html",
        "own": f"gradient.{short}.html",
        "check": f"check.{short}.html",
        "teacher": f"teacher.{short}.html",
        "reference": "reference.html",
        "operations": "operations.html",
        "licences": "licences.html",
    }
    cards = [
        f'<a class="card" href="{link}"><b>{words[name]}</b>{words[f"{name}_text"]}</a>'
        for name, link in links.items()
        if link in pages
    ]
    other_lang = {"en": "zh-CN", "zh": "en"}[short]
    commands = {f"command_{name}": html.escape(command) for name, command in COMMANDS[short].items()}
    lists = {"pictures": "\n".join(pictures), "cards": "\n".join(cards)}
    lists["search"] = field(words) if runs.facts else ""
    body = START.substitute(words | commands | lists, short=short, other_lang=other_lang)
    data = {"lang": short, "words": CELLS[short]} if runs.facts else None
    scripts = ("start.js",) if data else ()
    body = f"<main>\n{body}\n</main>"
    return page(short, words["title"], body, description=words["lead"], scripts=scripts, data=data)


def licences(facts: dict[str, Any]) -> str:
    """Return a page with the licences of what runs in the browser."""
    rows = []
    for name, version, licence, full in facts["licences"]:
        details = f"<details><summary>{html.escape(licence)}</summary><pre>{html.escape(full)}</pre></details>"
        told = details if full else f"<p>{html.escape(licence)}</p>"
        rows.append(f'<section class="row"><h2>{html.escape(name)} {html.escape(version)}</h2>{told}</section>')
    words = TEXTS["en"]
    policies = [f"<p>The policy of {kind}: <code>{html.escape(policy)}</code></p>" for kind, policy in POLICIES.items()]
    body = [BACK, f"<h1>{words['licences']}</h1>", f"<p>{words['licences_text']}</p>", *rows, *policies]
    return page("en", words["licences"], "\n".join(["<main>", *body, "</main>"]), description=words["licences_text"])


def operations() -> str:
    """Return a page with every operation of the table: its name and its docstring."""
    rows = []
    for op in OPS.values():
        doc = html.escape(inspect.cleandoc(str(op.__doc__)))
        rows.append(f'<section class="row" id="{op.name}"><h2><code>{op.name}</code></h2>\n<pre>{doc}</pre></section>')
    title = f"{len(OPS)} operations"
    body = "\n".join(["<main>", BACK, f"<h1>{title}</h1>", *rows, "</main>"])
    return page("en", title, body, description=TEXTS["en"]["operations_text"])


def modules() -> str:
    """Return a page that links to each module of the API reference."""
    rows = []
    for name in MODULES:
        first = html.escape(str(import_module(name).__doc__).partition("\n")[0])
        link = f'<a href="api/{name.replace(".", "/")}.html"><code>{name}</code></a>'
        rows.append(f'<section class="row"><h2>{link}</h2>\n<p>{first}</p></section>')
    body = "\n".join(["<main>", BACK, "<h1>Reference</h1>", *rows, "</main>"])
    return page("en", "Reference", body, description=TEXTS["en"]["reference_text"])


def reference(out: Path) -> None:
    """Write the API reference into a folder."""
    import pdoc

    for name in micrograd_cn.__all__:  # makes attributes of the names that the package imports on first use
        setattr(micrograd_cn, name, getattr(micrograd_cn, name))
    for module in MODULES[1:]:
        import_module(module)
    templates = HERE / "website/reference"
    pdoc.render.env.globals["address"] = address()
    pdoc.render.configure(docformat="google", show_source=False, search=True, template_directory=templates)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about types that pdoc cannot resolve
        pdoc.pdoc(*MODULES, output_directory=out)
    known = {base64.b64encode(each.read_bytes()).decode(): each for each in (HERE / "pictures").glob("*.png")}
    for path in out.rglob("*.html"):
        up = "../" * (len(path.relative_to(out).parts) - 1)
        text, pictures = with_pictures(path.read_text("utf-8"), up, known)
        path.write_text(with_policy(text), "utf-8")
        for picture in pictures:
            shutil.copy(picture, out)


def with_pictures(text: str, up: str, known: dict[str, Path]) -> tuple[str, list[Path]]:
    """Return a page of the reference whose pictures are files in the reference's folder, and the list of these files.

    A docstring may be shown on the pages of two modules. On the page of the module that it stands in, pdoc has put the
    pictures into the page, as base64, which makes it large. On the other page, the relative paths of the pictures lead
    to no file.

    Args:
        text: the page.
        up: the path from the page's folder to that of the reference.
        known: the files of all pictures, by their contents in base64.
    """
    used = []

    def source(found: re.Match[str]) -> str:
        used.append(HERE / "pictures" / found["name"] if found["name"] else known[found["content"]])
        return f'src="{up}{used[-1].name}"'

    either = r'src="(?:[./]+demos/pictures/(?P<name>[\w.]+\.png)|data:image/png;base64,(?P<content>[\w+/=]+))"'
    return re.sub(either, source, text), used


def tutorial(short: str, runs: Runs) -> dict[str, str]:
    """Return the files of a tutorial by their names, from a notebook that was run: its pages, and what they need.

    Each anchor, `<a id="name"></a>`, begins a page. The first page is the text before the first anchor, and links to
    all others. Each page links to the one before it and to the one after it.
    """
    name, words = f"tutorial.{short}", TEXTS[short]
    made = exported(read(HERE / f"{name}.ipynb"), name, short)
    first = f"{name}.html"
    pages, titles = sections(made, first, name, words["contents"])
    files = made.files | runs.cells_of(name, made)
    names = list(pages)
    exercises = {page: [made.checks[i] for i in cells if made.checks[i]] for page, cells in pages.items()}
    for before, at, after in zip([None, *names], names, [*names[1:], None], strict=False):
        links = [f'<a href="{STARTS[short]}">{words["back"]}</a>'] if before is None else []
        links += [f'<a rel="prev" href="{before}">← {html.escape(titles[before])}</a>'] if before else []
        links += [f'<a href="{first}">{words["contents"]}</a>'] if before and before != first else []
        links += [f'<a rel="next" href="{after}">{html.escape(titles[after])} →</a>'] if after else []
        cells = relinked(with_figure("".join(made.cells[i] for i in pages[at]), at, short), name, pages)
        if at == first and runs.facts:
            how = f"<p><strong>{words['how']}</strong>"
            cells = cells[: cells.index(how)] + f"<p>{words['here']}</p>\n" + cells[cells.index(how) :]
        facts = {"exercises": {page: numbers for page, numbers in exercises.items() if numbers}} if at == first else {}
        files[at] = notebook_page(short, titles[at], cells, links, runs.of(name, short, facts))
    if runs.facts:
        texts = [t for at in names for t in texts_of_page(at, titles[at], (made.cells[i] for i in pages[at]))]
        files[f"search.{short}.js"] = script([*texts, *names_of_modules(MODULES)])
    return files


def whole_notebook(kind: str, short: str, runs: Runs) -> dict[str, str]:
    """Return the files of a notebook on one page: the page, with a link to the start page, and what it runs."""
    name = f"{kind}.{short}"
    made = exported(read(HERE / f"{name}.ipynb"), name, short)
    links = [f'<a href="{STARTS[short]}">{TEXTS[short]["back"]}</a>']
    cells = "".join(made.cells).replace(f'href="tutorial.{short}.ipynb"', f'href="tutorial.{short}.html"')
    body = notebook_page(short, TEXTS[short][kind], cells, links, runs.of(name, short, {}))
    return made.files | runs.cells_of(name, made) | {f"{name}.html": body}


def notebook_page(short: str, title: str, cells: str, links: list[str], data: dict[str, Any] | None) -> str:
    """Return a page of a notebook, with links to other pages above and below its cells."""
    if "<h1" not in cells:
        cells = re.sub(r"<h2(.*?)</h2>", r"<h1\1</h1>", cells, count=1, flags=re.DOTALL)
    labels = (TEXTS[short]["pages"], TEXTS[short]["pages_again"])
    above, below = (f'<nav class="pages" aria-label="{label}">{"".join(links)}</nav>' for label in labels)
    return page(
        short,
        f"{title} · micrograd_cn",
        f"{above}\n<main>\n{cells}</main>\n{below}",
        description=first_words(cells) or title,
        scripts=("cells.js",) if data else (),
        data=data,
        kind="notebook",
    )


def sources() -> list[list[str]]:
    """Return, for each notebook, the list of the sources of its code cells."""
    notebooks = [read(HERE / f"{kind}.{short}.ipynb") for kind in ("tutorial", "check", "teacher") for short in TEXTS]
    return [[cell.source for cell in notebook.cells if cell.cell_type == "code"] for notebook in notebooks]


def write(out: Path) -> list[str]:
    """Write all pages of the site into a folder.

    Return a list of what has to be installed so that readers can run cells; empty if nothing is missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    missing = []
    try:
        runs = Runs(lay_into(out, sources()))
    except Missing as error:
        missing.append(str(error))
        runs = Runs(None)
    shutil.copy(HERE / "website/site.css", out)
    (out / "icon.svg").write_text(ICON, "utf-8")
    for short in TEXTS:
        shutil.copy(HERE / f"pictures/neuron.{short}.svg", out)
        draw_flow(gate(), lang=short).save(out / f"flow.{short}.html")
        for room in ROOMS:
            shutil.copy(HERE / f"pictures/room_{room}.{short}.png", out)
        shutil.copy(HERE / f"pictures/room_network.{short}.png", out / f"preview.{short}.png")
        wholes = whole_notebook("check", short, runs) | whole_notebook("teacher", short, runs)
        figures = dragged_files(short) | apart(playground(lang=short).html, short)
        for name, content in (tutorial(short, runs) | wholes | figures).items():
            (out / name).write_text(content, "utf-8")
        own = own_gradient(short, STARTS[short], TEXTS[short], runs.facts, CELLS[short])
        (out / f"gradient.{short}.html").write_text(own, "utf-8")
    (out / "benchmarks").mkdir(exist_ok=True)
    shutil.copy(HERE / "benchmarks/backward_passes.py", out / "benchmarks")
    reference(out / "api")
    (out / "operations.html").write_text(operations(), "utf-8")
    (out / "reference.html").write_text(modules(), "utf-8")
    if runs.facts:
        minify(out, SHRUNK)
        (out / "licences.html").write_text(licences(runs.facts), "utf-8")
    for path in [*out.glob("flow.*.html"), *out.glob("playground.*.html")]:
        short = "zh" if ".zh." in path.name else "en"
        path.write_text(with_preview(path.read_text("utf-8"), short), "utf-8")
    pages = {path.relative_to(out).as_posix() for path in out.rglob("*.html")}
    for short, name in STARTS.items():
        (out / name).write_text(start_page(short, pages, runs), "utf-8")
    return missing


def main() -> None:
    set_language_from_arguments()
    parser = argparse.ArgumentParser(
        description=text(
            str(__doc__).partition("\n\n")[0], "写出网站：首页、教程、可以动手的网页和 API 参考手册，中英文都有"
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    where = text("directory for the site", "存放网站的目录")
    parser.add_argument("--out", type=Path, default=HERE / "out/site", help=where)
    complete = text("fail if cells cannot run", "单元格不能运行就算失败")
    parser.add_argument("--complete", action="store_true", help=complete)
    add_language_option(parser)
    chosen = parser.parse_args()
    missing = write(chosen.out)
    print(f"{text('wrote', '已写入')} {chosen.out / text('index.html', 'index.zh.html')}")
    for each in missing:
        print(text("cells do not run in the site; missing: ", "网站里的单元格不能运行，缺少：") + each)
    if missing and chosen.complete:
        sys.exit(1)


if __name__ == "__main__":
    main()
