"""Details that are easily wrong unnoticed: coordinates, signs, texts of cells and tips, the tangent, movements."""

import math

import pytest

from micrograd_cn import Tape, Value, draw_flow, maximum
from micrograd_cn.nn import Neuron

from .pages import DRAWN, example, position

nan, inf = math.nan, math.inf


def tape_of(values):
    record = Tape("en")
    for x in values:
        record.snapshot(Value(x, "x") * 1)
    return record


SLIDER = "parseFloat(byId('reel').style.getPropertyValue(name))"


@pytest.mark.parametrize(
    ("values", "shares", "texts"),
    [
        ([400, 4, 40], [1, 0, 0.5], ["4", "400", "10", "100"]),
        ([4, 2, 0], [1, math.log(10) / math.log(20), 0], ["0", "4"]),  # 0 is a power of ten below the others
        ([3, 0, -1], [1, 0.25, 0], ["-1", "3", "0"]),
        ([3, 3, 3], [0, 0, 0], ["3"]),
        ([0, 0], [0, 0], ["0"]),
        ([1, nan, 100, inf], [0, None, 1, None], ["1", "100", "10"]),
    ],
)
def test_the_curve_goes_through_the_losses_and_its_point_is_at_the_step(values, shares, texts, opened):
    page = opened(tape_of(values))
    page.page.locator("#curve").scroll_into_view_if_needed()
    known = [i for i, share in enumerate(shares) if share is not None]
    for i in range(len(values)):
        drawn = page.page.evaluate(f"({DRAWN})(byId('curve'), () => session.choose({{ snapshot: {i} }}))")
        *_, line = (points for points in drawn["lines"] if points)  # those of the axis come first
        low = page.page.evaluate("byId('curve').clientHeight") - 10
        left, wide = page.page.evaluate(f"['--left', '--wide'].map(name => {SLIDER})")
        high = min(y for _, y in line)
        assert high < low or not any(shares)
        for (along, y), k in zip(line, known, strict=True):
            assert along == pytest.approx(left + wide * k / (len(values) - 1))
            assert y == pytest.approx(low - shares[k] * (low - high))
        assert drawn["dots"] == ([list(line[known.index(i)])] if i in known else [])
        assert drawn["texts"][1 if i in known else 0 :] == texts


def test_play_goes_on_to_the_next_training_step(opened):
    page = opened(tape_of([4, 2, 0]))
    page.stop_clock()
    page.press(" ")
    page.page.clock.run_for(5 * 1100)
    assert page.page.locator("#tape").input_value() == "1"
    page.page.clock.run_for(20 * 1100)
    assert (page.page.locator("#tape").input_value(), position(page)) == ("2", 3)
    assert page.page.locator("#play").inner_text() == "Play"


def test_blue_is_plus_and_orange_is_minus_and_zero_is_dashed(opened):
    x = Value(2, "x")
    y = x * 3 + (x * -3).exp() * 0 - x
    page = opened(draw_flow(y, "en"))
    page.press("End")
    looks = page.page.evaluate(
        """[...document.querySelectorAll(".edge")].map(edge => {
            const { stroke, strokeDasharray } = getComputedStyle(edge.querySelector(".line"));
            const halo = getComputedStyle(edge).filter !== "none";
            return [edge.dataset.contribution, stroke, strokeDasharray !== "none", edge.matches(".active"), halo];
        })"""
    )
    assert {float(size) > 0 for size, *_ in looks if size and float(size)} == {True, False}
    for size, stroke, dashed, active, halo in looks:
        if not size or float(size) == 0:
            assert stroke == "rgb(138, 138, 138)"
        else:
            assert stroke == ("rgb(0, 114, 178)" if float(size) > 0 else "rgb(184, 73, 0)")
        assert dashed == (not size or float(size) == 0)
        assert halo == active


def test_an_arrow_is_as_wide_as_its_contribution_is_large(opened):
    x = Value(2, "x")
    page = opened(draw_flow(x * 4 + x * -2 + x * 0, "en"))
    page.press("End")
    widths = page.page.evaluate(
        """Object.fromEntries([...document.querySelectorAll(".edge[data-src=x]")].map(edge =>
            [edge.dataset.contribution, Number(edge.querySelector(".line").getAttribute("stroke-width"))]))"""
    )
    assert widths == {"4": pytest.approx(5.5), "-2": pytest.approx(1.5 + 4 / 2), "0": pytest.approx(1.5)}


def test_the_state_column_and_the_cells_of_numbers(opened):
    x = Value(2, "x")
    page = opened(draw_flow(x * x + x * 3, "en"))
    states = {row[0]: row[5] for row in page.cells("nodes")[1:]}
    assert states == {"x": "waiting", "v1": "constant", "v2": "waiting", "v3": "waiting", "v4": "waiting"}
    page.press(*["ArrowRight"] * 6, "ArrowRight")
    states = {row[0]: row[5] for row in page.cells("nodes")[1:]}
    assert states["x"] == "partial: contributions 1/3"
    assert states["v4"] == "complete: contributions 1/1"
    classes = "[...document.querySelectorAll('#nodes tbody tr:first-child td')].map(cell => cell.className)"
    assert page.page.evaluate(classes) == ["", "", "number", "number", "", ""]


def test_a_tip_has_the_numbers_in_full(opened):
    y, named = example()
    page = opened(draw_flow(y, "en"))
    page.press("End")
    y.backward()
    tip = page.page.locator(".node[data-name=x] title").text_content()
    assert tip == f"x\ndata 0.5\ngrad {named['x'].grad!r}"
    [edge] = [e for e in page.edges() if e["dst"] == "y"]
    told = page.page.locator(".edge[data-dst=y] title").text_content()
    assert told == (
        f"{edge['src']} → y\nlocal derivative {y.partials[0]!r}\nupstream gradient 1\ncontribution {y.partials[0]!r}"
    )


def test_predict_asks_nothing_of_zero_grad(opened):
    page = opened(draw_flow(Value(2, "x") * 3, "en"))
    page.press("End")
    page.page.evaluate("session.choose({ actions: ['backward', 'zero', 'backward'] })")
    page.click("predict")
    page.click("step")
    assert "zero_grad()" in page.narration
    assert not page.page.locator("#ask").is_visible()
    page.click("step")
    assert page.page.locator("#ask").is_visible()


def test_a_wrong_accumulated_gradient_is_refused(opened):
    from .test_play import ask, right

    x = Value(2, "x")
    page = ask(opened(draw_flow(x * 3 + x * 4, "en")), 3 + 1 + 2 + 1)
    assert page.narration.startswith("x.grad: 4 + (local 3 × upstream 1)") or page.narration.startswith("x.grad: 3 +")
    assert right(page, "7", "7.0") == [True, True]
    assert right(page, "4", "3", "12", "6.8", "7.2", "1") == [False] * 6


def test_a_formula_is_not_told_twice(opened):
    x = Value(0.4, "x")
    y = -x
    page = opened(draw_flow(-y, "en"))
    page.press("ArrowRight", "ArrowRight")
    assert page.narration == "Forward: v2 = -v1 = -(-0.4) = 0.4"
    page = opened(draw_flow(-x, "en"))
    page.press("ArrowRight")
    assert page.narration == "Forward: v1 = -x = -0.4"


def test_nothing_is_said_to_have_arrived_before_backward_begins(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    body = "document.getElementById('graph').textContent"
    page.press(*["ArrowRight"] * 6)
    assert "/3" not in page.page.evaluate(body)
    page.press("ArrowRight")
    assert "0/3" in page.page.evaluate(body)
    assert "the seed" in page.page.locator(".node[data-name=y]").text_content()
    page.click("zero")
    assert "/3" not in page.page.evaluate(body)


def test_inputs_of_a_network_have_the_names_of_inputs_and_constants_are_their_numbers(opened):
    neuron = Neuron(2, activation="tanh", seed=0)
    page = opened(draw_flow((neuron([0.5, -1.0]) - 1) ** 2 + neuron([2.0, 3.0]), "en"))
    assert {"x1", "x2", "x1#2", "x2#2"} <= set(page.nodes())
    bare = page.page.locator(".node.bare text").all_text_contents()
    assert sorted(bare) == ["1", "2"]


# The tangent, and movements.


def test_the_plot_has_the_local_function_and_its_tangent(opened):
    x = Value(0.5, "x")
    y = x.tanh()
    page = opened(draw_flow(y, "en"))
    assert not page.page.locator("figure").is_visible()
    page.press("End")
    assert page.page.locator("figcaption").inner_text() == (
        f"tanh(x), as x varies. At x = 0.5 its slope is {y.partials[0]:.4g}: the local derivative."
    )
    read = """() => {
        const numbers = (element, ...names) => names.map(name => Number(element.getAttribute(name)));
        const line = document.querySelector("#plot .tangent"), [x1, y1, x2, y2] = numbers(line, "x1", "y1", "x2", "y2");
        const texts = document.querySelector("#plot .curve").getAttribute("points").split(" ");
        const points = texts.map(p => p.split(",").map(Number));
        const at = numbers(document.querySelector("#plot circle"), "cx", "cy");
        const i = points.findIndex(([x]) => x >= at[0]), [before, after] = [points[i - 1], points[i + 1]];
        return {
            tangent: (y2 - y1) / (x2 - x1), curve: (after[1] - before[1]) / (after[0] - before[0]),
            middle: [(x1 + x2) / 2, (y1 + y2) / 2], at, on: points[i], sign: line.getAttribute("class"),
        };
    }"""
    plot = page.page.evaluate(read)
    assert plot["tangent"] == pytest.approx(plot["curve"], rel=0.02)
    assert plot["middle"] == pytest.approx(plot["at"])
    assert plot["on"] == pytest.approx(plot["at"], abs=0.5)
    assert plot["sign"] == "tangent plus"


@pytest.mark.parametrize("f", [lambda x: x.log(), lambda x: x.sqrt(), lambda x: maximum(x, 0.0), lambda x: x / x])
def test_a_plot_of_any_numbers_is_drawn_or_left_out(f, opened):
    page = opened(draw_flow(f(Value(3.0, "x")), "en"))
    page.press("ArrowRight")
    for x in (0.0, 1e-300, 3.0, -2.0, 1e12):
        page.page.evaluate(f"session.edit(session.graph.nodes.findIndex(node => node.name === 'x'), {x!r})")
        assert page.page.locator("figure").is_visible() == math.isfinite(f(Value(x)).data)
        assert "NaN" not in page.page.locator("#plot").inner_html()


def test_a_contribution_moves_against_its_edge_and_not_where_motion_is_reduced(opened):
    x = Value(2, "x")
    y = x * 3
    y.label = "y"
    page = opened(draw_flow(y, "en"))
    page.press("ArrowRight", "ArrowRight", "ArrowRight")
    token = page.page.locator(".token")
    assert token.text_content() == "3"
    assert "plus" in token.get_attribute("class")
    numbers = "document.querySelector('.token').getAttribute('transform').match(/[\\d.]+/g).map(Number)"
    page.wait_for("document.querySelector('.token').matches('.landed')")
    ends = page.page.evaluate("[session.shape.edges[0].points[0], session.shape.edges[0].points.at(-1)]")
    landed = page.page.evaluate(numbers)
    assert ends[0][0] <= landed[0] < ends[0][0] + 14  # the arrow's head is there
    assert ends[0][0] < ends[1][0]
    page.page.emulate_media(reduced_motion="reduce")
    page.press("Home", "ArrowRight", "ArrowRight", "ArrowRight")
    assert page.page.locator(".token:not(.landed)").count() == 0
    page.page.emulate_media(reduced_motion="no-preference")


# The scrubber, the speed, steps of whole layers, and the part of the graph that is seen.


def test_the_scrubber_goes_to_any_step(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    scrub = page.page.locator("#scrub")
    scrub.fill("9")
    assert (position(page), scrub.get_attribute("aria-valuetext")) == (9, "step 9 of 18")
    before = page.nodes()
    page.press("End")
    scrub.fill("9")
    assert page.nodes() == before
    scrub.focus()
    page.press("ArrowRight")
    assert position(page) == 10


def test_speed_is_that_of_playing(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    page.stop_clock()
    page.page.locator("#speed").select_option("4")
    page.page.locator("#graph").focus()
    page.press(" ")
    page.page.clock.run_for(1100)
    assert position(page) == 5
    page.page.locator("#speed").select_option("0.5")
    page.page.clock.run_for(2200)
    assert position(page) == 6


def test_a_whole_layer_is_one_step(opened):
    from .test_folding import network

    page = opened(draw_flow(network(), "en"))
    page.click("open_all")
    groups = "session.steps.map(s => `${s.kind} ${layerOf(s)}`)"
    seen = []
    while page.page.locator("#layer_step").is_enabled():
        before = position(page)
        page.press("Shift+PageDown")
        after = position(page)
        units = page.page.evaluate(groups)
        assert len(set(units[before:after])) == 1
        assert after == len(units) or units[after] != units[after - 1]
        seen.append((before, after))
    assert len(seen) < position(page) / 2
    for before, _ in reversed(seen):
        page.press("Shift+PageUp")
        assert position(page) == before


def test_the_graph_is_dragged_and_zoomed(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    state = "[viewport.x, viewport.y, viewport.zoom]"
    x, y0, zoom = page.page.evaluate(state)
    page.page.mouse.move(300, 120)
    page.page.mouse.down()
    page.page.mouse.move(340, 150, steps=4)
    page.page.mouse.up()
    assert page.page.evaluate(state) == pytest.approx([x + 40, y0 + 30, zoom])
    page.page.mouse.wheel(0, -120)
    assert page.page.evaluate("viewport.zoom") > zoom
    page.click("zoom_fit")
    zoom = page.page.evaluate("viewport.zoom")
    page.press("+")
    assert page.page.evaluate("viewport.zoom") == pytest.approx(zoom * 1.25)
    page.press("0")
    assert page.page.evaluate("viewport.zoom") == pytest.approx(zoom)


def test_a_drag_that_begins_on_a_closed_part_moves_the_graph_and_opens_nothing(opened):
    from .test_folding import network

    page = opened(draw_flow(network(), "en"))
    page.click("close_all")
    x, names = page.page.evaluate("viewport.x"), set(page.nodes())
    box = page.page.locator(".node[data-name='layers.1'] .frame").bounding_box()
    page.page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 50, box["y"] + 20, steps=3)
    page.page.mouse.up()
    assert set(page.nodes()) == names
    assert page.page.evaluate("viewport.x") == pytest.approx(x + 30)


def test_the_theme_follows_the_system_and_a_button(opened):
    page = opened(draw_flow(Value(2, "x") * 3, "en"), color_scheme="dark")
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    assert page.page.evaluate(paper) == "rgb(21, 24, 28)"
    page.press("d")
    assert page.page.evaluate(paper) == "rgb(255, 255, 255)"


@pytest.mark.parametrize(("locale", "lang"), [("zh-TW", "zh-CN"), ("fr", "en")])
def test_without_a_language_the_browser_s_is_used(locale, lang, opened):
    page = opened(draw_flow(Value(2, "x") * 3), locale=locale)
    assert page.page.locator("html").get_attribute("lang") == lang


def test_boxes_show_their_roles(opened):
    neuron = Neuron(1, activation="tanh", seed=0)
    y = neuron([Value(0.5, "x")]) * 3
    y.label = "y"
    page = opened(draw_flow(y, "en"))
    roles = {
        role: set(page.page.locator(f".node.{role}").evaluate_all("all => all.map(node => node.dataset.name)"))
        for role in ("thick", "rounded", "dashed", "double", "filled")
    }
    assert roles["thick"] == {"w0", "b"}
    assert (roles["rounded"], roles["double"], roles["filled"]) == ({"x"}, {"y"}, set())
    assert len(roles["dashed"]) == 1
    page.click("close_all")
    assert page.page.locator(".node.filled").get_attribute("data-name") == "neuron"
