"""No text of a picture touches a border or another text, whatever font its viewer has."""

import base64
from itertools import pairwise
from pathlib import Path

import matplotlib
import pytest

from micrograd_cn import Value, draw_dot
from micrograd_cn.nn import MLP, Neuron
from micrograd_cn.picture import render

from ..picture.test_render import available

FILES = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
FONTS = ("DejaVu Sans", "Verdana", "Noto Sans", "Noto Sans CJK SC")
LEAST = 1.0  # pixels between a text and a border
MEASURE = """() => {
    const box = each => { const {x, y, width, height} = each.getBBox(); return [x, y, x + width, y + height]; };
    const texts = group => [...group.querySelectorAll(':scope > text')].map(each => [each.textContent, ...box(each)]);
    const [, , width] = document.querySelector('svg').getAttribute('viewBox').split(' ').map(Number);
    return {
        width,
        legend: texts(document.querySelector('g.graph')),
        boxes: [...document.querySelectorAll('g.node')].map(g => [box(g.querySelector('path, polygon')), texts(g)]),
        labels: [...document.querySelectorAll('g.edge')].filter(g => g.querySelector('text')).map(
            g => [box([...g.querySelectorAll('polygon')].at(-1)), texts(g)]),
    };
}"""


def faces(family):
    """Return the font as CSS. Where there is no Verdana, it is DejaVu Sans, scaled to Verdana's width."""
    adjust = 103 if family == "Verdana" else 100
    found = []
    for weight, suffix in (("normal", ""), ("bold", "-Bold")):
        names = (f"{family} Bold",) if suffix else (family, f"{family} Regular")
        source = ", ".join(f"local('{name}')" for name in names)
        if family in ("DejaVu Sans", "Verdana"):
            data = base64.b64encode((FILES / f"DejaVuSans{suffix}.ttf").read_bytes()).decode()
            source = f"url(data:font/ttf;base64,{data}); size-adjust: {adjust}%"
        found.append(f"@font-face {{ font-family: here; font-weight: {weight}; src: {source}; }}")
    return "\n".join(found)


def graphs():
    wide = Value(-1.5e-300, "mmmmWWWW@%") * Value(2, "WWWW") - Value(float("nan"), "权重与偏置 m")
    wide.label = "长长的中文标签 loss"
    dead = (Neuron(2)([Value(1, "x1"), Value(-2, "x2")]) - 1) ** 2
    network = (MLP(2, [16, 16, 1], seed=0)([Value(0.5, "x1"), Value(-1, "x2")]) - 1) ** 2
    a = Value(-0.3333333, "a")
    for root in (wide, dead, network, y := a * a * a):
        root.backward()
    return wide, dead, network, y


@pytest.mark.browser
@pytest.mark.parametrize("program", available(), ids=lambda p: render.Path(p).stem)
@pytest.mark.parametrize(  # all letters of Verdana are wider
    "family", [pytest.param(x, marks=[pytest.mark.slow] * (x == "DejaVu Sans")) for x in FONTS]
)
def test_no_text_touches_a_border(family, program, browser, monkeypatch):
    monkeypatch.setattr(render, "find_renderer", lambda: program)
    page = browser.new_page()
    for root in graphs():
        for lang in ("en", "zh"):
            svg = draw_dot(root, lang=lang, parameters=[]).pipe().decode()
            style = f"{faces(family)} svg text {{ font-family: here, 'Noto Sans CJK SC' !important; }}"
            page.set_content(f"<style>{style}</style>{svg[svg.index('<svg') :]}")
            loaded = "Promise.all(['', 'bold '].map(w => document.fonts.load(w + '12px here')))"
            if not all(page.evaluate(f"{loaded}.then(all => all.map(each => each.length), () => [0])")):
                pytest.skip(f"the font {family} is not installed")
            found = page.evaluate(MEASURE)
            assert found["boxes"]
            assert found["labels"]
            for (left, _, right, _), texts in found["boxes"] + found["labels"]:
                for text, x0, _, x1, _ in texts:
                    assert left + LEAST <= x0, (text, x0 - left)
                    assert x1 + LEAST <= right, (text, right - x1)
            for (_, top, _, bottom), texts in found["boxes"]:
                assert top <= min(y0 for _, _, y0, _, _ in texts)
                assert max(y1 for *_, y1 in texts) <= bottom
            rows = [found["legend"], *(texts for _, texts in found["boxes"])]
            for texts in rows:
                for (one, _, height, right, _), (other, left, top, _, _) in pairwise(texts):
                    assert abs(top - height) > 5 or right + 2 <= left, (one, other)
            assert found["legend"][-1][3] < found["width"], "the legend ends inside the picture"
    page.close()
