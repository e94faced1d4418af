"""The cells of the site run in Chromium, with nothing but the site's own files: what they show is what is stored."""

import hashlib
import html
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from .conftest import ROOT, Handler, Isolated, axe_script

pytestmark = pytest.mark.browser
NOTEBOOKS = {lang: nbformat.read(ROOT / f"demos/tutorial.{lang}.ipynb", as_version=4) for lang in ("en", "zh")}
LARGEST = 300_000  # bytes of a page with its style and scripts, before Python and the editor are loaded
STARTING_PATIENCE = 120_000  # milliseconds for Python to start on a machine that is busy
LONG = "general"  # the section that trains most
HOST = "https://cdn.jsdelivr.net/"

# A page that speaks with the worker as the site's own pages do, and keeps what it says.
TALK = """async ({ notebook }) => {
    const facts = JSON.parse(document.getElementById("cells_data").textContent);
    const worker = new Worker("worker.js", { type: "module" });
    window.said = [];
    worker.addEventListener("message", ({ data }) => said.push(data));
    worker.postMessage({ what: "start", base: new URL(".", location.href).href, ...facts, notebook, interrupt: null });
    window.ask = (targets, sources) => new Promise(tell => {
        const from = said.length;
        const listen = ({ data }) => {
            if (data.what !== "idle" && data.what !== "failed") return;
            worker.removeEventListener("message", listen);
            tell(said.slice(from));
        };
        worker.addEventListener("message", listen);
        worker.postMessage({ what: "run", targets, sources });
    });
}"""


class Opened:
    """A page of the site in a tab that reaches no other host; it keeps errors, and which other hosts were asked."""

    def __init__(self, context: Any, url: str) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(STARTING_PATIENCE)
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("console", self.said)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)

    def said(self, message: Any) -> None:
        if HOST not in message.location.get("url", ""):  # of which the page itself says that it cannot be reached
            self.errors.append(message.text)

    def cell(self, name: str) -> Any:
        return self.page.locator(f'[data-cell="{name}"]')

    def run(self, name: str) -> Any:
        cell = self.cell(name)
        cell.locator("details.hidden_code").evaluate_all("all => all.forEach(each => each.open = true)")
        cell.locator(".tools .run").click()
        return self.ended(name)

    def ended(self, name: str) -> Any:
        self.page.locator(f'[data-cell="{name}"]:is(.ran, .failed)').wait_for()
        return self.cell(name)

    def idle(self) -> None:
        self.page.locator(".bar .stop:disabled").wait_for()

    def write(self, name: str, text: str) -> None:
        cell = self.cell(name)
        cell.locator(".tools .edit").click()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)

    def output(self, name: str) -> str:
        return str(self.cell(name).locator(".output").inner_text())


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Callable[..., Opened]]:
    """Give a function that opens a page of the site. Pages share what the browser keeps, but for those with options."""
    contexts: dict[str, Any] = {}
    pages: list[Opened] = []

    def open_page(name: str, **options: Any) -> Opened:
        key = json.dumps(options)
        if key not in contexts:
            contexts[key] = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
            contexts[key].route(lambda url: not url.startswith(address), lambda route: route.abort())
        pages.append(Opened(contexts[key], address + name))
        return pages[-1]

    yield open_page
    for context in contexts.values():
        context.close()
    assert [page.errors for page in pages] == [[] for _ in pages]


def code_cells(lang: str) -> list[Any]:
    return [cell for cell in NOTEBOOKS[lang].cells if cell.cell_type == "code"]


def sections(lang: str) -> dict[str, str]:
    """Return the section of each code cell, by the cells' ids."""
    found, section = {}, ""
    for cell in NOTEBOOKS[lang].cells:
        if anchor := re.search(r'<a id="(\w+)"></a>', cell.source):
            section = anchor[1]
        if cell.cell_type == "code":
            found[cell.id] = section
    return found


def tag(cell: Any, kind: str) -> str:
    return next((t.removeprefix(f"{kind}-") for t in cell.metadata.get("tags", []) if t.startswith(f"{kind}-")), "")


def right_answers(lang: str) -> dict[str, str]:
    """Return the code of the answers that are unfolded below the exercises, by the exercises' numbers."""
    found = {}
    for cell in NOTEBOOKS[lang].cells:
        if number := tag(cell, "solution"):
            [found[number]] = re.findall(r"^```python\n(.*?)\n```$", cell.source, re.DOTALL | re.MULTILINE)
    return found


def stored(cell: Any) -> str:
    """Return the text that a cell has printed, with its formulas in TeX and the text of its value."""
    return "".join(
        output.get("text") or output.data.get("text/latex") or ("data" in output and result_text(output)) or ""
        for output in cell.outputs
    )


def result_text(output: Any) -> str:
    return f"{output.data['text/plain']}" if output.output_type == "execute_result" else ""


def told(said: list[dict[str, Any]]) -> dict[str, str]:
    """Return what `stored` returns, of what the worker said about each cell."""
    found: dict[str, str] = {}
    for message in said:
        text = ""
        if message["what"] == "stream" or (
            message["what"] == "show" and (message["kind"] == "text/latex" or message["result"])
        ):
            text = message["text"]
        elif message["what"] == "error":
            text = f"ERROR {message['text']}"
        if "cell" in message:
            found[message["cell"]] = found.get(message["cell"], "") + text
    return found


@pytest.mark.parametrize(
    ("lang", "long"), [("en", False), *(pytest.param(lang, True, marks=pytest.mark.slow) for lang in ("en", "zh"))]
)
def test_all_cells_show_what_is_stored_and_all_right_answers_are_right(
    lang: str, long: bool, browser: Any, address: str, made: Any
) -> None:
    context = browser.new_context()
    context.route(lambda url: not url.startswith(address), lambda route: route.abort())
    page = context.new_page()
    page.goto(f"{address}tutorial.{lang}.html")
    page.evaluate(TALK, {"notebook": f"tutorial.{lang}.cells.json"})
    where, cells = sections(lang), code_cells(lang)
    wanted = [cell for cell in cells if long or where[cell.id] != LONG]
    said = page.evaluate("names => ask(names, {})", [cell.id for cell in wanted])
    shown = told(said)
    lacking = {message["cell"] for message in said if message["what"] == "lacking"}
    fetched = {message["cell"] for message in said if message["what"] == "unreachable" and "numpy" in message["names"]}
    assert {where[name] for name in lacking} <= {"compiled", "gpt"}, "nothing else needs machine code"
    assert len(fetched) <= 4
    compared = [cell for cell in wanted if cell.id not in lacking | fetched]
    assert len(compared) > 0.85 * len(wanted)
    for cell in compared:
        assert shown[cell.id] == stored(cell), cell.source
    plots = {cell.id for cell in compared if any("matplotlib" in str(m) for m in said if m.get("cell") == cell.id)}
    assert {m["cell"] for m in said if m["what"] == "stored"} == plots, "a plot's cell shows its stored picture"
    assert len([m for m in said if m["what"] == "show" and m["kind"] == "image/svg+xml"]) >= 8, "graphs are drawn"

    answers = {tag(c, "answer"): c.id for c in cells if tag(c, "answer")}
    checks = {tag(c, "check"): c.id for c in cells if tag(c, "check")}
    solutions = right_answers(lang)
    assert solutions.keys() == checks.keys()
    for number, solution in solutions.items():
        said = page.evaluate(
            "([cells, changed]) => ask(cells, changed)", [[checks[number]], {answers[number]: solution}]
        )
        if checks[number] in lacking:
            assert "lacking" in {message["what"] for message in said}, number
        else:
            assert told(said)[checks[number]].startswith("✓"), number
    context.close()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_run_all_shows_what_is_stored_and_a_graph_is_drawn_and_stepped_through(opened: Any, lang: str) -> None:
    tab = opened(f"tutorial.{lang}.order.html")
    cells = tab.page.locator(".cell")
    before = cells.locator(".output").all_inner_texts()
    assert tab.page.evaluate("performance.getEntriesByType('resource').every(each => !each.name.includes('pyodide'))")
    tab.page.locator(".bar .all").click()
    tab.page.locator(".cell:is(.ran, .failed)").nth(len(before) - 1).wait_for()
    tab.idle()
    assert cells.locator(".output").all_inner_texts() == before
    assert tab.page.locator(".cell.failed").count() == 0
    graph = tab.page.locator(".output > img").first
    assert graph.evaluate("image => image.decode().then(() => image.naturalWidth)") > 200
    assert graph.evaluate("image => image.src.startsWith('blob:')")
    frame = tab.page.frame_locator("iframe.stepper")
    frame.locator(".node").first.wait_for()
    assert tab.page.locator("iframe.stepper").get_attribute("src").endswith("frame.html")
    told_first = frame.locator("#narration").inner_text()
    frame.locator("#graph").press("ArrowRight")
    assert frame.locator("#narration").inner_text() != told_first


def test_any_cell_may_be_run_first_and_what_it_needs_runs_before_it(opened: Any) -> None:
    tab = opened("tutorial.en.layers.html")
    [*names] = [cell.id for cell in code_cells("en") if sections("en")[cell.id] == "layers"]
    last = [name for name in names if "ex" not in name][-1]
    before = tab.output(last)
    tab.run(last)
    assert tab.output(last) == before
    assert tab.page.locator(".cell.failed").count() == 0
    ran = tab.page.locator(".cell.ran").count()
    assert 1 < ran < len(names), "what it does not need was not run"
    tab.run(names[0])
    assert tab.page.locator(".cell.ran").count() in (ran, ran + 1), "what has run is not run again"


def test_an_error_is_what_python_prints(opened: Any) -> None:
    tab = opened("tutorial.en.derive.html")
    first, second, *_ = [cell.id for cell in code_cells("en") if sections("en")[cell.id] == "derive"]
    tab.write(first, "def divided(a):\n    return 1 / a\n\n\ndivided(0)")
    tab.run(first)
    lines = [line for line in tab.output(first).splitlines() if not re.fullmatch(r"[ ~^]+", line)]
    number = tab.cell(first).get_attribute("data-number")
    assert lines == [
        "Traceback (most recent call last):",
        f'  File "<cell {number}>", line 5, in <module>',
        "    divided(0)",
        f'  File "<cell {number}>", line 2, in divided',
        "    return 1 / a",
        "ZeroDivisionError: division by zero",
    ]
    tab.write(second, "def (")
    tab.run(second)
    assert tab.output(second).splitlines()[-1] == "SyntaxError: invalid syntax"
    tab.write(second, "import numpy")
    tab.run(second)
    assert "ModuleNotFoundError" in tab.output(second)
    assert "The page could not fetch numpy from another host." in tab.output(second)
    tab.write(second, "nowhere")
    tab.run(second)
    assert "NameError: name 'nowhere' is not defined" in tab.output(second)
    assert "“Run all above”" in tab.output(second)
    tab.cell(first).locator(".tools .reset").click()
    plot = next(c.id for c in code_cells("en") if sections("en")[c.id] == "derive" and "Figure(" in c.source)
    tab.run(plot)
    assert tab.cell(plot).locator(".note").all_inner_texts() == [
        "The page could not fetch matplotlib, pillow from another host.",
        "This is the stored picture. Without matplotlib, no new one is drawn here.",
    ]
    assert tab.cell(plot).locator(".output img").count() == 1


@pytest.mark.parametrize("address", [Handler, Isolated], ids=["a plain server", "isolated"], indirect=True)
def test_stop_ends_an_endless_loop_within_a_second(opened: Any, address: str) -> None:
    tab = opened("tutorial.en.derive.html")
    first, second, *_ = [cell.id for cell in code_cells("en") if sections("en")[cell.id] == "derive"]
    isolated = tab.page.evaluate("crossOriginIsolated")
    tab.write(first, "def f(x):\n    return x - 3")
    tab.run(first)
    tab.write(second, "print('begins', flush=True)\nwhile True:\n    pass")
    tab.cell(second).locator(".tools .run").click()
    tab.cell(second).get_by_text("begins", exact=True).wait_for()
    # Python is ended within a second. Where it can be interrupted, it gets all the time that a slow machine needs here.
    waits = tab.page.evaluate(
        """interruptible => new Promise(tell => {
        const set = globalThis.setTimeout, waits = [], stop = document.querySelector(".bar .stop");
        globalThis.setTimeout = (f, ms) => {
            waits.push(ms);
            return interruptible ? 0 : set(f, ms);
        };
        stop.click();
        globalThis.setTimeout = set;
        const check = () => stop.disabled ? tell(waits) : set(check, 10);
        check();
    })""",
        isolated,
    )
    assert len(waits) == isolated
    assert max(waits, default=0) < 1000
    assert tab.cell(second).get_attribute("class").split() == ["cell", "changed", "failed"]
    said = tab.output(second)
    assert ("KeyboardInterrupt" in said) == isolated
    assert ("Python starts anew" in said) != isolated
    tab.write(second, "f(1)")
    tab.run(second)
    assert tab.output(second).strip() == "-2", "the cells that define what it needs have run again"


def test_python_goes_on_from_a_memory_in_which_the_package_is_imported_and_the_notebook_read(opened: Any) -> None:
    drawn = []
    for _ in range(2):
        tab = opened("tutorial.en.derive.html")
        first, second, *_ = [cell.id for cell in code_cells("en") if sections("en")[cell.id] == "derive"]
        tab.write(
            first, "import sys, website.cells as c\n'micrograd_cn.nn' in sys.modules, max(map(len, c.KNOWN_NEEDS))"
        )
        tab.run(first)
        assert tab.output(first).strip() == f"(True, {len(code_cells('en'))})"
        tab.write(second, "import random\nrandom.random()")
        tab.run(second)
        drawn.append(tab.output(second))
        tab.page.close()
    assert drawn[0] != drawn[1], "each start has random numbers of its own"


def test_two_tabs_do_not_disturb_each_other(opened: Any) -> None:
    one, two = opened("tutorial.en.derive.html"), opened("tutorial.en.graph.html")
    first, again = (
        next(c.id for c in code_cells("en") if sections("en")[c.id] == name) for name in ("derive", "graph")
    )
    one.write(first, "x = 'one'\nimport time\ntime.sleep(1)\nx")
    two.write(again, "x = 'two'\nx")
    one.cell(first).locator(".tools .run").click()
    two.run(again)
    one.ended(first)
    assert (one.output(first).strip(), two.output(again).strip()) == ("'one'", "'two'")
    for tab, name, text in ((one, first, "'one'"), (two, again, "'two'")):
        tab.page.reload()
        assert text in tab.cell(name).locator("pre.source").inner_text()
        assert tab.page.locator(".cell.changed").count() == 1


def test_changes_are_kept_and_reset_and_a_link_carries_them(opened: Any) -> None:
    tab = opened("tutorial.en.graph.html")
    first = next(c for c in code_cells("en") if sections("en")[c.id] == "graph")
    text = "y = 1 # ½ + 数"
    tab.write(first.id, text)
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.page.locator(".bar .copy").click()
    tab.page.locator(".said", has_text="copied").wait_for()
    link = tab.page.evaluate("navigator.clipboard.readText()")
    assert "#my=" in link
    other = opened(link.rpartition("/")[2], viewport={"width": 800, "height": 600})
    assert other.cell(first.id).locator("pre.source").inner_text() == text
    assert "as in the link" in other.page.locator(".said").inner_text()
    assert other.page.evaluate("localStorage.length") == 0, "what somebody sent is not kept as the reader's own"
    other.page.goto(link.partition("#")[0].replace("graph", "order"))
    assert other.page.locator(".cell.changed").count() == 0

    tab.page.goto(link.partition("#")[0])
    tab.page.reload()
    assert tab.cell(first.id).locator("pre.source").inner_text() == text, "kept in this browser"
    tab.cell(first.id).locator(".tools .reset").click()
    assert tab.cell(first.id).locator("pre.source").inner_text() == first.source.strip("\n")
    assert tab.page.evaluate("localStorage.length") == 0


def test_an_exercise_that_is_solved_is_counted_and_stays_so(opened: Any) -> None:
    tab = opened("tutorial.zh.derive.html")
    answer, check = (next(c.id for c in code_cells("zh") if tag(c, kind) == "1.1") for kind in ("answer", "check"))
    total = tab.page.locator("[data-check]").count()
    assert f"0 / {total}" in tab.page.locator(".bar .solved").inner_text()
    tab.write(answer, "answer = -987")
    tab.run(check)
    assert tab.output(check).startswith("✗")
    assert f"0 / {total}" in tab.page.locator(".bar .solved").inner_text()
    tab.write(answer, right_answers("zh")["1.1"])
    tab.run(check)  # the answer was changed, so it runs before its check
    assert tab.output(check).strip() == "✓"
    assert f"1 / {total}" in tab.page.locator(".bar .solved").inner_text()
    contents = opened("tutorial.zh.html")
    assert f"1 / {total}" in contents.page.locator("main span.solved").first.inner_text()


def test_the_keyboard_alone_edits_and_runs(opened: Any) -> None:
    tab = opened("tutorial.en.derive.html")
    first, second, *_ = [cell.id for cell in code_cells("en") if sections("en")[cell.id] == "derive"]
    source = tab.cell(first).locator("pre.source")
    source.focus()
    tab.page.keyboard.press("Enter")
    tab.cell(first).locator(".cm-content").wait_for()
    assert (
        tab.cell(first)
        .get_by_role("textbox", name=re.compile("Cell"))
        .evaluate("box => box.getRootNode().activeElement === box")
    )
    tab.page.keyboard.press("Control+A")
    tab.page.keyboard.insert_text("if True:")
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.type("print(7)")
    tab.page.keyboard.press("Shift+Enter")
    tab.ended(first)
    assert tab.output(first).strip() == "7", "the editor has indented the line"
    assert tab.cell(second).locator("pre.source").evaluate("source => source === document.activeElement")
    tab.page.keyboard.press("Shift+Enter")
    tab.ended(second)
    tab.cell(first).locator(".cm-content").focus()
    tab.page.keyboard.press("Escape")
    assert tab.cell(first).locator(".tools .run").evaluate("button => button === document.activeElement")


FIGURE = """
import sys
class Figure:
    def __init__(self, **options):  # it asks the same of IPython as the real one
        shell = sys.modules.get("IPython")
        assert shell is None or shell.version_info[:2] >= (8, 24) or shell.get_ipython() is None

    def __getattr__(self, name):
        return lambda *args, **kwargs: self

    def savefig(self, file, **options):
        file.write('<svg xmlns="http://www.w3.org/2000/svg" width="321" height="20"/>')
"""
MATPLOTLIB = f"""
import sys
__path__, rcParams, use = [], {{}}, lambda name: None
for name in ("figure", "font_manager"):
    sys.modules["matplotlib." + name] = type(sys)("matplotlib." + name)
exec({FIGURE!r}, sys.modules["matplotlib.figure"].__dict__)
sys.modules["matplotlib.font_manager"].fontManager = None
"""


def wheel(module: str, text: str, name: str) -> bytes:
    """Return a wheel with one module, whose file has the name that a package of Pyodide's host has."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(f"{module}.py", text)
        package, version = name.split("-")[:2]
        archive.writestr(f"{package}-{version}.dist-info/METADATA", f"Name: {package}\nVersion: {version}\n")
    return made.getvalue()


def test_matplotlib_takes_the_place_of_its_stand_in_when_a_cell_plots(opened: Any, site: Path) -> None:
    tab = opened("tutorial.en.derive.html")
    lock = json.loads((site / "pyodide/pyodide-lock.json").read_text("utf-8"))
    wheels = {}
    for package, module, text in (("matplotlib", "matplotlib", MATPLOTLIB), ("pillow", "PIL", "Image = None\n")):
        facts = lock["packages"][package]
        content = wheels[facts["file_name"]] = wheel(module, text, facts["file_name"])
        facts |= {"depends": [], "sha256": hashlib.sha256(content).hexdigest()}
    tab.page.context.route("**/pyodide-lock.json", lambda route: route.fulfill(json=lock))
    asked = []

    def answer(route: Any) -> None:
        asked.append(route.request.url)
        route.fulfill(body=wheels[route.request.url.rpartition("/")[2]], headers={"Access-Control-Allow-Origin": "*"})

    tab.page.context.route(f"{HOST}**", answer)
    plot = next(c.id for c in code_cells("en") if sections("en")[c.id] == "derive" and "Figure(" in c.source)
    tab.page.evaluate("""() => {
        window.heard = [];
        new MutationObserver(() => heard.push(said.textContent)).observe(said, { childList: true });
    }""")
    tab.run(plot)
    heard = tab.page.evaluate("heard")
    runs = f"Cell {tab.cell(plot).get_attribute('data-number')} runs …"
    assert heard[heard.index("Fetching matplotlib, pillow …") + 1] == runs, "it says that the fetching has ended"
    picture = tab.cell(plot).locator(".output img")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 321
    assert tab.cell(plot).locator(".note").count() == 0
    assert len(asked) == 2


def test_a_host_that_gives_no_answer_is_not_waited_for(opened: Any, site: Path) -> None:
    tab = opened("tutorial.zh.derive.html")
    script = (site / "worker.js").read_text("utf-8")
    assert script.count("3e4") == 1
    hasty = {"body": script.replace("3e4", "300"), "content_type": "text/javascript"}
    tab.page.context.route("**/worker.js", lambda route: route.fulfill(**hasty))
    asked: list[str] = []
    tab.page.context.route(f"{HOST}**", lambda route: asked.append(route.request.url))
    first, second, *_ = (c.id for c in code_cells("zh") if sections("zh")[c.id] == "derive" and "Figure(" in c.source)
    for plot in (first, second):
        tab.run(plot)
        assert tab.cell(plot).locator(".note").first.inner_text() == "网页无法从另一个网站下载 matplotlib, pillow。"
        assert tab.cell(plot).locator(".output img").count() == 1
    assert len(asked) == len(set(asked)) > 5, "it is asked once"


def test_pages_are_small_and_their_policy_is_strict(opened: Any, site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert {path.name for path in pages} >= {"playground.en.html", "playground.zh.html", "flow.en.html", "nn.html"}
    for path in pages:
        text = path.read_text("utf-8")
        fetched = re.findall(r'<script[^>]* src="([^"]*)"|<link rel="stylesheet"[^>]* href="([^"]*)"', text)
        files = [path, *(path.parent / (script or style) for script, style in fetched)]
        assert sum(file.stat().st_size for file in files) <= LARGEST, path
        if "cells_data" in text:
            [policy] = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)"', text)
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
            assert "unsafe" not in policy.replace("style-src-attr 'unsafe-inline'", "")


def test_pages_are_printed_on_white_paper_and_no_line_is_cut(opened: Any) -> None:
    for name in ("tutorial.en.derive.html", "api/micrograd_cn/testing.html"):
        page = opened(name, color_scheme="dark", viewport={"width": 700, "height": 900}).page
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)", name
        cut = "[...document.querySelectorAll('pre.source')].filter(code => code.scrollWidth > code.clientWidth).length"
        assert page.evaluate(cut) == 0


def test_where_the_site_has_an_address_the_readmes_and_previews_have_it(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = __import__("sys").modules["website.page"]
    if address := frame.address():
        for readme in ("README.md", "README.zh-CN.md"):
            assert address in "".join((ROOT / readme).read_text("utf-8").splitlines()[:5]), readme
    project = tmp_path / "pyproject.toml"
    project.write_text('[tool.site]\naddress = "https://example.org/micrograd_cn"\n', "utf-8")
    monkeypatch.setattr(frame, "PROJECT", project)
    frame.address.cache_clear()
    text = frame.page("zh", "题目", "<p>文</p>", description="说明")
    frame.address.cache_clear()
    assert 'property="og:image" content="https://example.org/micrograd_cn/preview.zh.png"' in text
    assert '<html lang="zh-CN">' in text


def test_without_npm_the_site_is_written_and_says_what_is_missing(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = __import__("sys").modules["website.packages"]
    monkeypatch.setattr(packages, "FETCHED", tmp_path / "fetched")
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    missing = made["write"](tmp_path / "site")
    assert missing == ["npm (Debian: apt-get install npm)"]
    for page in (tmp_path / "site").glob("*.html"):
        assert "cells.js" not in page.read_text("utf-8")
    text = (tmp_path / "site/tutorial.en.derive.html").read_text("utf-8")
    assert 'class="lacking" hidden' in text, "what a browser lacks is of no interest here"


@pytest.mark.parametrize(
    ("short", "verdicts"),
    [
        ("en", ["The gradient is wrong.", "The gradient agrees with numerical derivatives."]),
        ("zh", ["梯度有错。", "梯度与数值导数一致。"]),
    ],
)
def test_check_my_gradient_gives_a_verdict(opened: Any, short: str, verdicts: list[str]) -> None:
    tab = opened(f"gradient.{short}.html")
    for example, verdict in enumerate(verdicts):
        tab.page.locator("#example").select_option(str(example))
        tab.page.locator("#check").click()
        tab.page.locator("#said", has_text=verdict).wait_for()
        assert ("WRONG  df/dx0" in tab.page.locator("#verdict").inner_text()) == (example == 0)
    tab.page.locator("#gradient").fill("def gradient(w, x, b):\n    return 1")
    tab.page.locator("#gradient").press("Control+Enter")
    tab.page.locator("#verdict", has_text="gradient returns one number; f has 3 arguments").wait_for()
    tab.page.locator("#function").fill("import numpy as np\ndef f(x): return np.sum(x)")
    tab.page.locator("#check").click()
    tab.page.locator("#verdict", has_text="numpy").wait_for()
    said = {"en": "numpy could not be fetched from another host", "zh": "无法从另一个网站下载 numpy"}[short]
    assert said in tab.page.locator("#verdict").inner_text()


def test_a_gradient_of_arrays_is_checked_as_by_gradcheck(made: Any, capsys: pytest.CaptureFixture[str]) -> None:
    numpy = pytest.importorskip("numpy")
    check = __import__("sys").modules["website.own_gradient"]
    verdict = __import__("importlib").import_module("website.verdict").check_my_gradient
    assert made["own_gradient"] is check.own_gradient
    for name, right in (("softmax", False), ("cubes", True)):
        names: dict[str, Any] = {"__name__": "pasted"}
        f, gradient, point = check.EXAMPLES[name]
        exec(f"{f}\n{gradient}\npoint = ({point},)", names)
        assert isinstance(names["point"][0], numpy.ndarray)
        verdict(names["f"], names["gradient"], *names["point"])
        assert (capsys.readouterr().out == "✓\n") == right


def test_the_search_finds_sections_and_names_in_both_languages(site: Path, browser: Any, address: str) -> None:
    page = browser.new_page()
    queries = {"index.html": ("chain rule", "gradcheck"), "index.zh.html": ("链式法则", "gradcheck")}
    for name, (idea, function) in queries.items():
        page.goto((site / name).as_uri())  # from a disk, too
        results = page.locator("#found li")
        page.locator("#find").fill(idea)
        results.first.wait_for()
        [said] = results.first.locator("span").all_inner_texts()
        words = page.evaluate("SITE_TEXTS.map(({ text }) => ` ${text}`).join('')")
        beginning = said.removesuffix(" …")
        assert (beginning.replace("… ", " ") if name == "index.html" else beginning.replace("… ", "")) in words
        href = str(results.first.locator("a").get_attribute("href"))
        assert re.match(r"tutorial\.(en|zh)\.graph\.html#text-\d+", href)
        page.locator("#find").fill(function)
        page.locator('#found a[href="api/micrograd_cn/testing.html#gradcheck"]').wait_for()
        page.locator("#find").fill("qqqqqq")
        results.first.wait_for(state="detached")
    page.goto((site / href).as_uri().replace("%23", "#"))
    assert page.evaluate("document.querySelector(location.hash).textContent").count("链式法则")
    page.close()


def test_the_text_that_is_searched_has_no_gaps_in_its_words(made: Any) -> None:
    cell = '<div class="text" id="text-1"><p>a <strong>gap</strong>, <code>x</code>.</p><p>Next</p></div>'
    assert [each["text"] for each in made["texts_of_page"]("page.html", "title", [cell])] == ["a gap, x. Next"]


def test_all_that_runs_in_the_browser_has_its_licence_on_a_page(site: Path, address: str) -> None:
    text = (site / "licences.html").read_text("utf-8")
    for name in ("pyodide", "@viz-js/viz", "@codemirror/view", "minisearch", "hypothesis", "graphviz"):
        assert re.search(rf"<h2>{name} \d[\w.]*</h2>", text), name
    assert text.count("MPL-2.0") >= 2
    for start in ("index.html", "index.zh.html"):
        assert 'href="licences.html"' in (site / start).read_text("utf-8")
    said = re.findall(r"The policy of [\w ]+: <code>(.*?)</code>", text)
    assert {html.unescape(policy) for policy in said} == {
        policy
        for page in site.glob("*.html")
        for policy in re.findall(r'Content-Security-Policy" content="([^"]*)"', page.read_text("utf-8"))
        if "worker-src" in policy
    }


def test_the_reference_runs_its_own_scripts_alone_and_its_search_finds_names(opened: Any, site: Path) -> None:
    for path in site.rglob("api/micrograd_cn*/**/*.html"):
        [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', path.read_text("utf-8"))
        assert policy.startswith("default-src 'none'; script-src 'self' 'sha256-"), path
    tab = opened("api/micrograd_cn/nn.html")
    tab.page.get_by_role("searchbox").fill("Layer")
    tab.page.locator('main section a[href*="nn.html#Layer"]').first.wait_for(state="attached")
    assert tab.errors == ["using precompiled search index"]  # what pdoc itself reports
    tab.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), { text: 'window.ran = 1' }))"
    )
    assert tab.page.evaluate("window.ran") is None
    tab.errors.clear()  # the browser reports the script that it has not run


def test_axe_finds_nothing_on_pages_with_cells(opened: Any, request: pytest.FixtureRequest) -> None:
    script = axe_script(request)
    for name, scheme in (("tutorial.en.graph.html", "light"), ("gradient.zh.html", "dark"), ("index.html", "dark")):
        tab = opened(name, color_scheme=scheme)
        if name.startswith("tutorial"):
            first = str(tab.page.locator(".cell").first.get_attribute("data-cell"))
            tab.write(first, "1 / 0")
            tab.run(first)
        assert tab.errors == []
        tab.page.evaluate(script)
        found = tab.page.evaluate("axe.run(document, { resultTypes: ['violations'] }).then(it => it.violations)")
        tab.errors.clear()  # axe itself adds a style, which the page's policy forbids
        assert not [(each["id"], [node["html"][:160] for node in each["nodes"]][:3]) for each in found], name


@pytest.mark.parametrize(("lang", "width"), [("en", 360), ("zh", 1280)])
def test_figures_beside_the_sentences_are_stepped_through_without_python(opened: Any, lang: str, width: int) -> None:
    figures = __import__("sys").modules["website.figures"].FIGURES
    for section, (_, leaves) in figures.items():
        tab = opened(f"tutorial.{lang}.{section}.html", viewport={"width": width, "height": 800})
        tab.page.locator(".widget").scroll_into_view_if_needed()
        frame = tab.page.frame_locator(".widget iframe")
        frame.locator(".node").first.wait_for()
        for name, number in leaves.items():
            assert float(frame.locator(f'.node[data-name="{name}"]').get_attribute("data-value")) == number
        said, answer = frame.locator("#narration"), frame.locator("#answer")
        frame.locator("#graph").press("ArrowRight")
        assert "?" in said.inner_text(), "the number is asked for first"
        answer.fill("99")
        answer.press("Enter")
        assert frame.locator("#verdict").inner_text()
        answer.fill("1")
        answer.press("Enter")
        assert "?" not in said.inner_text()
        assert frame.locator("#leaf option:checked").inner_text() == next(iter(leaves)), "by the keyboard, too"
        frame.locator("#value").fill("1.5")
        leaf = frame.locator(f'.node[data-name="{next(iter(leaves))}"]')
        assert leaf.get_attribute("data-value") == "1.5"
        frame.locator("#zoom_fit").click()
        leaf.hover()  # once it has come to rest
        box = leaf.bounding_box()
        tab.page.mouse.move(box["x"] + 20, box["y"] + 20)
        tab.page.mouse.down()
        tab.page.mouse.move(box["x"] + 50, box["y"] + 20, steps=3)
        tab.page.mouse.up()
        assert float(leaf.get_attribute("data-value")) > 1.5, "it is dragged"
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        tab.page.emulate_media(media="print")
        assert not tab.page.locator(".widget").is_visible(), "in print the picture above is its still"
        assert tab.page.evaluate("performance.getEntriesByType('resource').every(it => !it.name.includes('pyodide'))")
        tab.page.close()


def test_the_start_page_opens_on_a_figure_that_moves(opened: Any) -> None:
    moving = opened("index.html").page
    said = moving.frame_locator("#figure").locator("#narration")
    said.wait_for()
    before = said.inner_text()
    for _ in range(600):
        if said.inner_text() != before:
            break
        moving.wait_for_timeout(100)
    assert said.inner_text() != before
    still = opened("index.zh.html", reduced_motion="reduce").page
    frame = still.frame_locator("#figure")
    frame.locator("#step").wait_for()
    before = frame.locator("#narration").inner_text()
    still.wait_for_timeout(1500)
    assert frame.locator("#narration").inner_text() == before
