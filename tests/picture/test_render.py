"""A picture is drawn by the renderer that is there; a message says what it cannot draw, and what to install."""

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest

from micrograd_cn import Value, draw_dot
from micrograd_cn.nn import MLP
from micrograd_cn.picture import RenderError, render
from micrograd_cn.picture.colours import DARK, NEGATIVE, PARAMETER, PART, POSITIVE, ZERO


def available():
    """Return the renderers on this machine."""
    beside = str(render.Path(render.sysconfig.get_path("scripts")) / "graphviz-pure")
    return [
        p
        for p in (render.shutil.which("dot"), render.shutil.which("graphviz-pure") or render.shutil.which(beside))
        if p
    ]


@pytest.mark.parametrize("program", available(), ids=lambda p: render.Path(p).stem)
def test_it_renders_with_either_renderer(program, monkeypatch, tmp_path):
    monkeypatch.setattr(render, "find_renderer", lambda: program)
    monkeypatch.setattr("micrograd_cn.picture.digraph.find_renderer", lambda: program)
    picture = draw_dot(Value(1, "x") * 2, format="png")
    assert picture.drawn_by == render.Path(program).stem
    assert picture.pipe().startswith(b"\x89PNG")
    assert picture.pipe("svg", encoding="utf-8").startswith("<?xml")
    assert "image/svg+xml" in picture._repr_mimebundle_()
    path = picture.render(outfile=tmp_path / "y.svg", cleanup=True)
    assert [p.name for p in tmp_path.iterdir()] == ["y.svg"]
    ET.parse(path)
    written = picture.render("graph", directory=tmp_path)
    assert written.endswith("graph.png")
    assert (tmp_path / "graph").read_text() == picture.source
    if picture.drawn_by == "dot":
        assert picture.pipe("pdf").startswith(b"%PDF")
    else:
        with pytest.raises(RenderError, match=r"graphviz-pure cannot draw pdf: install Graphviz"):
            picture.pipe("pdf")


@pytest.mark.parametrize("program", available(), ids=lambda p: render.Path(p).stem)
def test_a_picture_leaves_its_source_beside_it_only_where_that_is_asked_for(program, monkeypatch, tmp_path):
    monkeypatch.setattr(render, "find_renderer", lambda: program)
    monkeypatch.chdir(tmp_path)
    picture = draw_dot(Value(1, "x") * 2)

    def written():
        found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
        for name in found:
            (tmp_path / name).unlink()
        return found

    assert (picture.render(outfile="y.svg"), written()) == ("y.svg", ["y.svg"])
    picture.render(outfile="y.svg", cleanup=True)
    assert written() == ["y.svg"]
    picture.render(outfile="sub/folder/y.svg")  # the folder is made, as by graphviz
    assert written() == ["sub/folder/y.svg"]
    picture.render(outfile="y.svg", cleanup=False)
    assert written() == ["y.gv", "y.svg"]
    picture.render("source.gv", outfile="y.svg")
    assert written() == ["source.gv", "y.svg"]
    picture.render("graph.gv")
    assert written() == ["graph.gv", "graph.gv.svg"]
    picture.render("graph.gv", cleanup=True)
    assert written() == ["graph.gv.svg"]


def test_a_source_that_is_there_is_not_touched(tmp_path):
    (tmp_path / "y.gv").write_text("mine")
    for cleanup in (None, True):
        draw_dot(Value(1)).render(outfile=tmp_path / "y.svg", cleanup=cleanup)
    assert (tmp_path / "y.gv").read_text() == "mine"


def test_a_chinese_svg_says_that_it_is_chinese(tmp_path):
    a = Value(1, "a")
    for lang, attribute in (("zh", True), ("en", False)):
        path = draw_dot(a + a, lang=lang).render(outfile=tmp_path / f"{lang}.svg", cleanup=True)
        root = ET.parse(path).getroot()
        assert (root.get("{http://www.w3.org/XML/1998/namespace}lang") == "zh-CN") == attribute
    for path in (Path(__file__).parents[2] / "demos/pictures").glob("*.svg"):
        lang = ET.parse(path).getroot().get("{http://www.w3.org/XML/1998/namespace}lang")
        assert (lang == "zh-CN") == path.stem.endswith(".zh")


def test_a_png_never_shows_empty_squares_for_chinese(monkeypatch):
    picture = draw_dot(Value(1, "权重") * 2, lang="en")
    monkeypatch.setattr(render, "find_renderer", lambda: "/usr/bin/graphviz-pure")
    with pytest.raises(RenderError, match=r"graphviz-pure has no glyphs for 权重 in a png.*Noto Sans CJK"):
        picture.pipe("png")
    monkeypatch.setattr(render, "find_renderer", lambda: "/usr/bin/dot")
    monkeypatch.setattr(render, "_has_chinese_font", lambda: False)
    for form in ("png", "pdf"):
        with pytest.raises(RenderError, match=f"no Chinese font is installed, so a {form} .*fonts-noto-cjk"):
            picture.pipe(form)
    chinese = draw_dot(Value(1, "权重") * 2, lang="zh")
    with pytest.raises(RenderError, match=r"没有安装中文字体.*fonts-noto-cjk"):
        chinese.pipe("png")
    monkeypatch.setattr(render, "find_renderer", lambda: "/usr/bin/graphviz-pure")
    with pytest.raises(RenderError, match=r"graphviz-pure has no glyphs for सं"):
        draw_dot(Value(1, "संख्या") * 2).pipe("png")
    assert draw_dot(Value(1, "naïve Ω Ж →") * 2).source


ONE_FONT = "NotoSansCJK-Regular.ttc: Noto Sans CJK SC:style=Regular"


@pytest.mark.parametrize(
    ("fonts", "drawn"),
    [
        (f'test "$*" = :lang=zh && echo "{ONE_FONT}"', True),
        (f'test "$*" = :lang=zh || echo "{ONE_FONT}"', False),
        ("echo", False),
        (None, True),
    ],
    ids=["Chinese", "others", "an empty line", "not to be asked"],
)
def test_fontconfig_is_asked_for_a_chinese_font(fonts, drawn, monkeypatch, tmp_path):
    for name, commands in (("dot", "echo drawn"), ("fc-list", fonts)):
        if commands:
            (tmp_path / name).write_text(f"#!/bin/sh\n{commands}\n")
            (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    picture = draw_dot(Value(1, "权重"), format="png")
    if drawn:
        assert picture.pipe() == b"drawn\n"
    else:
        with pytest.raises(RenderError, match="no Chinese font is installed"):
            picture.pipe()


@pytest.mark.skipif(shutil.which("fc-list") is None, reason="there is no fontconfig")
def test_fontconfig_itself_answers_that_a_latin_font_is_not_chinese(monkeypatch, tmp_path):
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    (tmp_path / "fonts.conf").write_text(
        f'<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">'
        f"<fontconfig><dir>{fonts}</dir><cachedir>{tmp_path}</cachedir></fontconfig>"
    )
    monkeypatch.setenv("FONTCONFIG_FILE", str(tmp_path / "fonts.conf"))
    assert "DejaVu" in subprocess.run(["fc-list", ":lang=en"], capture_output=True, text=True).stdout
    monkeypatch.setattr(render, "find_renderer", lambda: "/usr/bin/dot")
    with pytest.raises(RenderError, match="no Chinese font is installed"):
        draw_dot(Value(1, "权重"), format="png").pipe()


def test_without_graphviz_drawing_says_what_to_install(tmp_path):
    """Importing, the command line's text and pages work without it."""
    start = "import sys; sys.modules['graphviz'] = None\n"
    drawing = "from micrograd_cn import Value, draw_dot; draw_dot(Value(1))"
    command = "from micrograd_cn.__main__ import main; sys.exit(main(['x*x', 'x=3', '--lang=en', *sys.argv[1:]]))"
    message = "drawing needs the Python package graphviz: pip install graphviz"

    def run(code, *argv):
        return subprocess.run([sys.executable, "-c", start + code, *argv], capture_output=True, text=True)

    assert run(drawing).stderr.splitlines()[-1] == f"ImportError: {message}"
    assert run(command).stdout.startswith("x*x = 9.0")
    for name in ("graph.svg", "graph.dot"):
        done = run(command, "-o", str(tmp_path / name))
        assert (done.returncode, done.stderr) == (1, f"cannot write {tmp_path / name}: {message}\n")
    assert run(command, "-o", str(tmp_path / "page.html")).returncode == 0  # a page lays itself out


@pytest.mark.parametrize(("lang", "tagged"), [("en", False), ("zh", True)])
def test_an_svg_says_its_language_and_keeps_thick_arrows_out_of_its_texts(lang, tagged):
    x = Value(2, "x")
    y = x * 3
    y.backward()
    text = draw_dot(y, lang=lang).pipe().decode()
    root = ElementTree.fromstring(text)
    assert (root.get("{http://www.w3.org/XML/1998/namespace}lang") == "zh-CN") == tagged
    assert ".edge text { paint-order: stroke;" in text


def test_without_a_renderer_the_source_works_and_drawing_says_what_to_install(monkeypatch):
    monkeypatch.setattr(render, "find_renderer", lambda: None)
    picture = draw_dot(Value(1) * 2)
    assert "->" in picture.source
    with pytest.raises(RenderError, match=r"pip install graphviz-pure"):
        picture.pipe()


def test_a_failing_or_hanging_renderer_is_an_error_that_names_it(monkeypatch, tmp_path):
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho broken >&2; exit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(render, "find_renderer", lambda: str(program))
    with pytest.raises(RenderError, match="dot could not draw svg: broken"):
        draw_dot(Value(1)).pipe()
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    monkeypatch.setattr(render, "TIMEOUT", 0.2)
    with pytest.raises(RenderError, match="still drawing svg"):
        draw_dot(Value(1)).pipe()


def test_view_opens_the_picture(monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr("graphviz.view", opened.append)
    draw_dot(Value(1)).render(outfile=tmp_path / "x.svg", view=True)
    assert opened == [str(tmp_path / "x.svg")]


@pytest.mark.parametrize("program", available(), ids=lambda p: render.Path(p).stem)
def test_every_colour_has_one_for_dark_pages(program, monkeypatch):
    monkeypatch.setattr(render, "find_renderer", lambda: program)
    w, x = Value(2, "w"), Value(-3, "x")
    y = (w * x + x.relu()) * 2 + MLP(1, [2, 1], seed=0)(x)
    y.backward()
    svg = draw_dot(y, fold="layer", parameters=[w]).pipe().decode()
    style, _, drawn = svg.partition("</style>")
    colours = set(re.findall(r'(?:fill|stroke)="([^"]*)"', drawn)) - {"none", "transparent"}
    assert colours > {POSITIVE, NEGATIVE, ZERO, PARAMETER, PART}
    assert "@media (prefers-color-scheme: dark)" in style
    for colour in colours:
        assert f'[fill="{colour}"] {{ fill: {DARK[colour]}; }}' in style
        assert f'[stroke="{colour}"] {{ stroke: {DARK[colour]}; }}' in style
