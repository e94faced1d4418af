"""Write the site: start page, tutorials, gradient checks, pages to play with, API reference: `python demos/site.py`.

The site is a folder of static files with relative links, in English and Chinese. It needs no network and also opens
from a disk: `demos/out/site/index.html`, or index.html in the folder that --out names. The tutorials are the notebooks
as they were run, one page for each section, with formulas as MathML. pdoc makes the reference from the docstrings.
It needs `'.[site]'`.
"""

import argparse
import base64
import html
import inspect
import re
import shutil
import warnings
from collections.abc import Iterable
from functools import partial
from importlib import import_module
from pathlib import Path
from string import Template
from typing import Any

import micrograd_cn
from gradient_flow import gate
from micrograd_cn import OPS
from micrograd_cn.flow import draw_flow, playground
from shared.language import add_language_option, set_language_from_arguments, text

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
TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "lang": "en",
        "other": "中文",
        "other_page": "index.zh.html",
        "title": "micrograd_cn: backpropagation to learn, to watch and to run",
        "lead": "A scalar autograd engine in plain Python. Each number remembers how it was computed; the chain rule "
        "leads from the result back to every one of them, and you can see it go.",
        "play": "Step through the chain rule",
        "play_text": "A page that explains every product of the way back, edge by edge. Change a number and watch.",
        "rooms": "Three rooms to play in",
        "room_expression": "An expression",
        "room_expression_text": "Type a function, drag its numbers, and step through the chain rule.",
        "room_network": "A network",
        "room_network_text": "Let it learn to tell points apart, and open any neuron, sample or loss.",
        "room_model": "A language model",
        "room_model_text": "Let it learn names, see where its attention goes, and open any letter's chance.",
        "tutorial": "Tutorial",
        "tutorial_text": "From the derivative of a function of one variable to a small GPT, with exercises.",
        "check": "Check a gradient",
        "check_text": "Three mistakes of hand-written backward passes, found; and how many others are, by whom.",
        "reference": "Reference",
        "reference_text": "Every class and function, with an example that runs.",
        "operations": "Operations",
        "operations_text": "The table: each operation is defined once, and everything else follows from its row.",
        "picture": "The graph of tanh(w·x + b): each box has its data and gradient, each edge its local derivative and "
        "the contribution that it carries.",
        "run": "Run it",
        "train": "From a clone of the repository, train a network on real handwritten digits:",
        "test": "Run the tests:",
        "back": "Start page",
        "contents": "Contents",
        "code": "Code",
        "drawing": "Picture",
    },
    "zh": {
        "lang": "zh-CN",
        "other": "English",
        "other_page": "index.html",
        "title": "micrograd_cn：学会、看见并运行反向传播",
        "lead": "用纯 Python 写成的标量自动求导引擎。每个数都记得自己是怎样算出来的；链式法则从结果出发，"
        "一步步回到每一个数，全程看得见。",
        "play": "一步一步看懂链式法则",
        "play_text": "一个网页，逐条边讲解反向传播中的每一次相乘。改一个数，看结果怎样变。",
        "rooms": "三个可以动手的页面",
        "room_expression": "表达式",
        "room_expression_text": "输入一个函数，拖动其中的数，一步一步看懂链式法则。",
        "room_network": "神经网络",
        "room_network_text": "让它学会把点分开，再打开任何一个神经元、样本或损失。",
        "room_model": "语言模型",
        "room_model_text": "让它学习名字，看注意力落在哪里，再打开任何一个字母的概率。",
        "tutorial": "教程",
        "tutorial_text": "从一元函数的导数，一直讲到一个小小的 GPT，附练习。",
        "check": "检验一个梯度",
        "check_text": "手写反向传播的三个错误，逐一找出；还有各种工具能找出多少错误。",
        "reference": "参考手册",
        "reference_text": "每个类和函数，各带一个能运行的例子（英文）。",
        "operations": "运算表",
        "operations_text": "每种运算只定义一次，其余一切都由这一行推出（英文）。",
        "picture": "tanh(w·x + b) 的计算图：方框里是数值和梯度，边上是局部导数和它带来的贡献。",
        "run": "运行",
        "train": "克隆仓库后，用真实的手写数字训练一个网络：",
        "test": "运行测试：",
        "back": "首页",
        "contents": "目录",
        "code": "代码",
        "drawing": "图",
    },
}
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --paper: #ffffff; --line: #d8dee4; --blue: #0072b2;
  --orange: #d55e00; --card: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4af; --paper: #0f1419; --line: #30363d;
  --blue: #56b4e9; --orange: #ff9e5e; --card: #171d24; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 18px/1.65 system-ui, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei",
  sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
header { display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; }
h1 { font-size: clamp(1.7rem, 5vw, 2.6rem); line-height: 1.2; margin: 1rem 0; letter-spacing: -0.01em; }
h2 { margin: 2.5rem 0 0.75rem; font-size: 1.35rem; }
a { color: var(--blue); }
.lead { font-size: 1.2rem; color: var(--soft); max-width: 44rem; }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); margin: 2rem 0; }
.card { display: block; padding: 1.1rem 1.25rem; border: 1px solid var(--line); border-radius: 12px; color: inherit;
  background: var(--card); text-decoration: none; }
.card:hover, .card:focus-visible { border-color: var(--blue); outline: none; }
.card b { display: block; font-size: 1.15rem; color: var(--blue); }
.rooms { display: grid; gap: 1.25rem; margin: 1rem 0 2rem;
  grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); }
.room { display: block; border: 1px solid var(--line); border-radius: 14px; overflow: hidden; color: inherit;
  background: var(--card); text-decoration: none; transition: transform 0.15s, border-color 0.15s; }
.room:hover, .room:focus-visible { border-color: var(--blue); outline: none; transform: translateY(-3px); }
.room img { display: block; width: 100%; height: auto; aspect-ratio: 8 / 5; background: #ffffff;
  border-bottom: 1px solid var(--line); }
.room span { display: block; padding: 0.8rem 1.1rem 1rem; line-height: 1.45; }
.room b { display: block; font-size: 1.15rem; color: var(--orange); }
@media (prefers-reduced-motion: reduce) { .room { transition: none; } .room:hover { transform: none; } }
figure { margin: 2rem 0; background: #ffffff; border: 1px solid var(--line); border-radius: 12px; padding: 1rem; }
figure img { display: block; max-width: 100%; margin: 0 auto; }
figcaption { color: #57606a; font-size: 0.95rem; text-align: center; margin-top: 0.75rem; }
pre { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 0.9rem 1rem; font: 0.85rem/1.5 ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace; }
code { font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace; }
.row { border-top: 1px solid var(--line); padding: 0.5rem 0; }
.row h2 { margin: 1rem 0 0; }
"""
READABLE = """
body { max-width: 920px; margin: 0 auto; overflow: visible !important; }
#notebook-container.container { width: auto; box-shadow: none; padding: 1rem; }
div.cell, div.output_wrapper, div.inner_cell { min-width: 0; }
div.cell, div.text_cell, div.code_cell { padding: 0; }
div.output_subarea { max-width: 100%; }
div.output_area, .rendered_html table, math[display="block"] { display: block; max-width: 100%; overflow-x: auto; }
img, svg { max-width: 100%; height: auto; }
img[data-wide] { max-width: max(100%, 640px) !important; }
.rendered_html, .rendered_html p, .rendered_html li, summary { font-size: 16px; line-height: 1.65; }
.rendered_html table, .rendered_html th, .rendered_html td { font-size: 15px; line-height: 1.45; }
.rendered_html code { white-space: normal; }
.rendered_html code .word { white-space: nowrap; }
.rendered_html pre, .highlight pre { font-size: 13px; white-space: pre; overflow-x: auto; }
.rendered_html pre code { white-space: pre; }
.rendered_html .highlight pre { margin: 0; padding: 0.5rem; background: transparent; }
div.output_area pre { font-size: 13px; white-space: pre-wrap; }
pre, code { word-break: normal !important; overflow-wrap: normal !important; }
summary { display: list-item; cursor: pointer; color: #57606a; padding: 0.4rem 0; }
.rendered_html table { margin-left: 0; }
.rendered_html th, .rendered_html td { text-align: left; }
nav.pages { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0.5rem 1.5rem; padding: 1rem; }
nav.pages a { padding: 0.5rem 0; }
"""
ROOMS = {
    "expression": "",
    "network": "#room=board",
    "model": "#room=model",
}  # the end of the address that opens a room
BACK = '<header><b>micrograd_cn</b><a href="index.html">Start page</a></header>'
STARTS = {"en": "index.html", "zh": "index.zh.html"}
PAGE = Template("""<!doctype html>
<html lang="$lang">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>$title</title>
<style>$style</style>
<main>
$body
</main>
</html>
""")
START = Template("""<header><b>micrograd_cn</b><a href="$other_page" hreflang="$other_lang">$other</a></header>
<h1>$title</h1>
<p class="lead">$lead</p>
<h2>$rooms</h2>
<nav class="rooms" aria-label="$rooms">
$pictures
</nav>
<nav class="cards">
$cards
</nav>
<figure><img src="neuron.$short.svg" alt="$picture"><figcaption>$picture</figcaption></figure>
<h2>$run</h2>
<p>$train</p>
<pre><code>$command_train</code></pre>
<p>$test</p>
<pre><code>$command_test</code></pre>""")


def start_page(short: str, pages: Iterable[str]) -> str:
    """Return the start page: the playground's rooms as pictures, and a card for each page that exists."""
    words = TEXTS[short]
    pictures = [
        f'<a class="room" href="playground.{short}.html{where}"><img src="room_{room}.{short}.png" alt="" width="960" '
        f'height="600"><span><b>{words[f"room_{room}"]}</b>{words[f"room_{room}_text"]}</span></a>'
        for room, where in ROOMS.items()
    ]
    links = {
        "play": f"flow.{short}.html",
        "tutorial": f"tutorial.{short}.html",
        "check": f"check.{short}.html",
        "reference": "reference.html",
        "operations": "operations.html",
    }
    cards = [
        f'<a class="card" href="{link}"><b>{words[name]}</b>{words[f"{name}_text"]}</a>'
        for name, link in links.items()
        if link in pages
    ]
    other_lang = {"en": "zh-CN", "zh": "en"}[short]
    commands = {f"command_{name}": html.escape(command) for name, command in COMMANDS[short].items()}
    lists = {"pictures": "\n".join(pictures), "cards": "\n".join(cards)}
    body = START.substitute(words | commands | lists, short=short, other_lang=other_lang)
    return PAGE.substitute(lang=words["lang"], title=words["title"], style=STYLE, body=body)


def operations() -> str:
    """Return a page with every operation of the table: its name and its docstring."""
    rows = []
    for op in OPS.values():
        doc = html.escape(inspect.cleandoc(str(op.__doc__)))
        rows.append(f'<section class="row" id="{op.name}"><h2><code>{op.name}</code></h2>\n<pre>{doc}</pre></section>')
    title = f"{len(OPS)} operations"
    return PAGE.substitute(lang="en", title=title, style=STYLE, body="\n".join([BACK, f"<h1>{title}</h1>", *rows]))


def modules() -> str:
    """Return a page that links to each module of the API reference."""
    rows = []
    for name in MODULES:
        first = html.escape(str(import_module(name).__doc__).partition("\n")[0])
        link = f'<a href="api/{name.replace(".", "/")}.html"><code>{name}</code></a>'
        rows.append(f'<section class="row"><h2>{link}</h2>\n<p>{first}</p></section>')
    return PAGE.substitute(
        lang="en", title="Reference", style=STYLE, body="\n".join([BACK, "<h1>Reference</h1>", *rows])
    )


def reference(out: Path) -> None:
    """Write the API reference into a folder."""
    import pdoc

    for name in micrograd_cn.__all__:  # makes attributes of the names that the package imports on first use
        setattr(micrograd_cn, name, getattr(micrograd_cn, name))
    for module in MODULES[1:]:
        import_module(module)
    pdoc.render.configure(docformat="google", show_source=False, search=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about types that pdoc cannot resolve
        pdoc.pdoc(*MODULES, output_directory=out)
    for page in out.rglob("*.html"):  # a docstring may be shown in two modules, and its pictures' paths fit only one
        text = page.read_text("utf-8")
        page.write_text(re.sub(r'src="[./]+demos/(pictures/\w+\.\w+\.png)"', _embedded, text), "utf-8")


def _embedded(source: re.Match[str]) -> str:
    return f'src="data:image/png;base64,{base64.b64encode((HERE / source[1]).read_bytes()).decode()}"'


def tutorial(notebook: Path, short: str) -> dict[str, str]:
    """Return the files of a tutorial by their names: its pages and their style sheet, from a notebook that was run.

    Each anchor, `<a id="name"></a>`, begins a page. The first page is the text before the first anchor, and links to
    all others. Each page links to the one before it and to the one after it.
    """
    head, cells, foot = exported(notebook, short)
    words, first = TEXTS[short], f"tutorial.{short}.html"
    pages: dict[str, list[str]] = {first: []}
    titles = {first: words["contents"]}
    for cell in cells:
        if anchor := re.search(r'<a id="(\w+)"></a>', cell):
            name = f"tutorial.{short}.{anchor[1]}.html"
            heading = re.search(r"<h2[^>]*>(.*?)<a class=", cell, re.DOTALL)
            assert heading, name
            pages[name], titles[name] = [], re.sub("<[^>]*>", "", heading[1])
        pages[next(reversed(pages))].append(cell)
    names = list(pages)
    style = "\n".join(re.findall(r"<style[^>]*>(.*?)</style>", head, re.DOTALL))
    head = re.sub(r"<style.*?</style>", "", head, flags=re.DOTALL)
    head = head.replace("</head>", '<link rel="stylesheet" href="tutorial.css"></head>')
    files = {"tutorial.css": style + READABLE}
    for before, name, after in zip([None, *names], names, [*names[1:], None], strict=False):
        links = [f'<a href="{STARTS[short]}">{words["back"]}</a>'] if before is None else []
        links += [f'<a rel="prev" href="{before}">← {titles[before]}</a>'] if before else []
        links += [f'<a href="{first}">{words["contents"]}</a>'] if before and before != first else []
        links += [f'<a rel="next" href="{after}">{titles[after]} →</a>'] if after else []
        nav = f'<nav class="pages">{"".join(links)}</nav>'
        top = re.sub(r"<title>.*?</title>", f"<title>{titles[name]} · micrograd_cn</title>", head, flags=re.DOTALL)
        top = re.sub(r"(<body[^>]*>)", rf"\1{nav}", top, count=1)
        body = re.sub(r'href="#(\w+)"', partial(_to_page, short, names), "".join(pages[name]))
        files[name] = f"{top}{body}{foot.replace('</main>', f'{nav}</main>')}"
    return files


def one_page(notebook: Path, short: str) -> str:
    """Return a notebook that was run as a single page with a link to the start page."""
    head, cells, foot = exported(notebook, short)
    nav = f'<nav class="pages"><a href="{STARTS[short]}">{TEXTS[short]["back"]}</a></nav>'
    head = head.replace("</head>", f"<style>{READABLE}</style></head>")
    return re.sub(r"(<body[^>]*>)", rf"\1{nav}", head, count=1) + "".join(cells) + foot


def _to_page(short: str, names: list[str], link: re.Match[str]) -> str:
    page = f"tutorial.{short}.{link[1]}.html"
    return f'href="{page}"' if page in names else link[0]


def exported(notebook: Path, short: str) -> tuple[str, list[str], str]:
    """Return a notebook in HTML: the part before its cells, the cells, and the part after them."""
    import nbformat
    from jinja2 import pass_context
    from latex2mathml.converter import convert
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def block_math(self, body: str) -> str:
            return str(convert(body, display="block"))

        def inline_math(self, body: str) -> str:
            return str(convert(body))

    class Exporter(HTMLExporter):
        @pass_context
        def markdown2html(self, context: Any, source: str) -> str:
            attachments = context.get("cell", {}).get("attachments", {})
            renderer = Renderer(escape=False, attachments=attachments, anchor_link_text="¶")
            return str(MarkdownWithMath(renderer=renderer).render(source))

    make: Any = Exporter
    exporter = make(template_name="classic", embed_images=True, exclude_input_prompt=True)
    exporter.exclude_output_prompt = True
    made, _ = exporter.from_notebook_node(nbformat.read(notebook, as_version=4))  # type: ignore[no-untyped-call]
    made = re.sub(r"<script.*?</script>", "", made, flags=re.DOTALL)  # scripts would load libraries from the network
    made = made.replace('href="pictures/', 'href="')  # in the site, the pages are in the same folder
    made = re.sub(r"<html[^>]*>", f'<html lang="{TEXTS[short]["lang"]}">', made, count=1)
    made = made.replace("</head>", '<link rel="icon" href="data:,"></head>', 1)
    made = re.sub(r'<img alt="No description[^"]*" src="data:image/([^"]*)"[^>]*>', partial(_picture, short), made)
    made = re.sub(r"<code>([^<]*)</code>", _words, made)
    made = re.sub(r'(<div class="output_latex[^>]*>)(.*?)(?=</div>)', _formulas, made, flags=re.DOTALL)
    head, *cells = re.split(r'(?=<div class="cell )', collapsed(made, TEXTS[short]["code"]))
    end = cells[-1].rindex("</div>\n</div>\n</main>")
    return head, [*cells[:-1], cells[-1][:end]], cells[-1][end:]


def _picture(short: str, image: re.Match[str]) -> str:
    """Return an image element with its alternative text, marked if it is illegible at the width of a phone."""
    kind, _, data = image[1].partition(";base64,")
    start = base64.b64decode(data[:4000])
    if kind.startswith("svg"):
        [width] = re.findall(rb'<svg[^>]*\bwidth="(\d+)', start)[:1] or [b"0"]
        pixels = int(width) * 4 // 3  # the width is in points
    else:
        pixels = int.from_bytes(start[16:20], "big")  # where a PNG has its width
    wide = " data-wide" * (pixels > 640)
    return f'<img{wide} alt="{TEXTS[short]["drawing"]}" src="data:image/{image[1]}" width="{pixels or 640}">'


def _words(code: re.Match[str]) -> str:
    """Return code whose lines may break between its words, but not at hyphens inside them."""
    return "<code>" + " ".join(f'<span class="word">{word}</span>' for word in code[1].split(" ")) + "</code>"


def _formulas(output: re.Match[str]) -> str:
    """Return a cell's output in TeX as MathML."""
    from latex2mathml.converter import convert

    formulas = re.findall(r"\$\\displaystyle (.*?)\$", html.unescape(output[2]), re.DOTALL)
    made = "".join(convert(formula, display="block") for formula in formulas)
    for side, bracket in (("prefix", "(<mtable>"), ("postfix", "</mtable>)")):  # brackets as high as the matrix
        old = bracket.replace("(", "<mo>&#x00028;</mo>").replace(")", "<mo>&#x00029;</mo>")
        made = made.replace(old, old.replace("<mo>", f'<mo form="{side}" stretchy="true">'))
    return output[1] + made


def collapsed(page: str, summary: str) -> str:
    """Return a page in which the code of hidden cells opens with a click."""
    first, *cells = re.split(r'(?=<div class="cell )', page)
    opened, closed = rf"<details><summary>{summary}</summary>\g<0>", r"</details>\g<0>"
    for n, cell in enumerate(cells):
        if "celltag_hide-input" in cell.partition(">")[0]:
            cell = re.sub(r'<div class="input">', opened, cell, count=1)
            cells[n] = re.sub(r'<div class="output_wrapper">|</div>\s*\Z', closed, cell, count=1)
    return "".join([first, *cells])


def write(out: Path) -> None:
    """Write all pages of the site into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    for short in TEXTS:
        shutil.copy(HERE / f"pictures/neuron.{short}.svg", out)
        draw_flow(gate(), lang=short).save(out / f"flow.{short}.html")
        for room in ROOMS:
            shutil.copy(HERE / f"pictures/room_{room}.{short}.png", out)
        playground(lang=short).save(out / f"playground.{short}.html")
        for name, page in tutorial(HERE / f"tutorial.{short}.ipynb", short).items():
            (out / name).write_text(page, "utf-8")
        (out / f"check.{short}.html").write_text(one_page(HERE / f"check.{short}.ipynb", short), "utf-8")
    (out / "benchmarks").mkdir(exist_ok=True)
    shutil.copy(HERE / "benchmarks/backward_passes.py", out / "benchmarks")
    reference(out / "api")
    (out / "operations.html").write_text(operations(), "utf-8")
    (out / "reference.html").write_text(modules(), "utf-8")
    pages = {path.relative_to(out).as_posix() for path in out.rglob("*.html")}
    for short, name in STARTS.items():
        (out / name).write_text(start_page(short, pages), "utf-8")


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
    add_language_option(parser)
    chosen = parser.parse_args()
    write(chosen.out)
    print(f"{text('wrote', '已写入')} {chosen.out / text('index.html', 'index.zh.html')}")


if __name__ == "__main__":
    main()
