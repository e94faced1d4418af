"""Text can be read, a graph fits into its window, a thumb can press the controls, and paper shows everything."""

import functools
import itertools

import pytest

from micrograd_cn import Value, draw_flow, playground

from .pages import example

REDUCED = {"reduced_motion": "reduce"}
SHOWN = "EXAMPLES.map(([name]) => name)"
# On a phone, the list of examples is behind a button.
EXAMPLE = """name => {
    byId("example").value = name;
    byId("example").dispatchEvent(new Event("change"));
}"""
SPEAK = "lang => session.choose({ lang })"
ABOUT = """(() => {
    const { lastStep: step, shape, graph } = session;
    return shape.boxes[step.kind === "send" ? shape.boxOf[receiver(graph, step.moves[0])] : step.box].name;
})()"""

pytestmark = pytest.mark.browser

SIZES = """[...document.querySelectorAll("#graph text")].filter(text => text.textContent).map(text => {
    return parseFloat(getComputedStyle(text).fontSize) * viewport.zoom;
})"""
# The boxes that are not whole in the graph's window, or that a bar at the bottom of a narrow window covers.
OUTSIDE = """(() => {
    const room = byId("graph").getBoundingClientRect();
    const bars = ["footer", "#narration"].map(each => document.querySelector(each));
    const sticky = bars.filter(bar => matchMedia("screen").matches && getComputedStyle(bar).position === "sticky");
    const bottom = Math.min(room.bottom, ...sticky.map(bar => bar.getBoundingClientRect().top));
    return session.shape.boxes.filter((_, i) => {
        const box = viewport.picture.boxes[i].group.getBoundingClientRect();
        return box.left < room.left || box.right > room.right || box.top < room.top || box.bottom > bottom;
    }).map(box => box.name);
})()"""

UNDER_BUTTONS = """(() => {
    const over = byId("zooming").getBoundingClientRect();
    return session.shape.boxes.filter((_, i) => {
        const box = viewport.picture.boxes[i].group.getBoundingClientRect();
        return box.left < over.right && box.right > over.left && box.top < over.bottom && box.bottom > over.top;
    }).map(box => box.name);
})()"""


def window(size):
    return {"width": size[0], "height": size[1]}


@pytest.mark.parametrize(
    "size",
    [
        (360, 740),
        (768, 1024),
        (1280, 800),
        *(pytest.param(x, marks=pytest.mark.slow) for x in ((390, 844), (1920, 1080))),
    ],
)
def test_at_first_all_text_of_the_graph_has_at_least_twelve_pixels(size, opened):
    page = opened(playground("en"), replays=False, viewport=window(size)).page
    assert page.evaluate("viewport.vertical") == (size[0] < 640)
    for lang in ("en", "zh"):
        page.evaluate(SPEAK, lang)
        for name in page.evaluate(SHOWN):
            page.evaluate(EXAMPLE, name)
            sizes = page.evaluate(SIZES)
            assert min(sizes) >= 12, (lang, name)


@pytest.mark.parametrize("size", [(390, 844), (768, 1024), (1280, 800), (1000, 500)])
def test_fit_shows_every_box_of_every_example_and_none_under_a_button(size, opened):
    page = opened(playground("zh"), viewport=window(size), reduced_motion="reduce").page
    for name in page.evaluate(SHOWN):
        page.evaluate(EXAMPLE, name)
        page.locator("#zoom_fit").click()
        assert page.evaluate(OUTSIDE) == [], name
        assert page.evaluate(UNDER_BUTTONS) == [], name


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("size", [(768, 1024), (1024, 768), (1280, 800)])
def test_the_first_graph_is_whole_before_and_after_its_pass(size, new, opened):
    page_open = opened(playground("en"), replays=False, new=new, viewport=window(size), reduced_motion="reduce")
    page = page_open.page
    formula = "byId('formula').scrollWidth - byId('formula').clientWidth"
    for lang in ("en", "zh"):
        page.evaluate(SPEAK, lang)
        for done in ("session.graph.order.length", "session.moves.length"):
            page.evaluate(f"session.choose({{ done: {done} }})")
            page_open.wait_for(f"!({OUTSIDE}).length")  # the graph is fitted a moment after a bar has changed its size
            assert min(page.evaluate(SIZES)) >= 12, (lang, done)
            assert page.evaluate(formula) <= 0, (lang, done)


def test_an_edge_crosses_neither_text_of_its_label_and_a_word_has_a_gap_to_its_number(opened):
    page = opened(playground("en"), viewport=window((1920, 1080)), **REDUCED).page
    page.evaluate(EXAMPLE, "squares")
    page.evaluate("commands.end()")
    # For each edge with a label, how far it rises in the middle half of its upper text, 8 pixels above the lower one.
    slopes = """viewport.picture.edges.filter(({ texts }) => texts[0]?.textContent).map(({ line, texts }) => {
        const { x, width } = texts[0].getBBox();
        const length = line.getTotalLength();
        const ys = Array.from({ length: 201 }, (_, k) => line.getPointAtLength((k * length) / 200))
            .filter(point => point.x > x + width / 4 && point.x < x + (3 * width) / 4).map(point => point.y);
        return Math.max(...ys) - Math.min(...ys);
    })"""
    found = page.evaluate(slopes)
    assert len(found) > 10
    assert max(found) < 7
    gaps = """[...document.querySelectorAll(".node .word")].filter(word => word.nextElementSibling.textContent)
        .map(word => {
            const [a, b] = [word, word.nextElementSibling].map(each => each.getBBox());
            return b.x - a.x - a.width;
        })"""
    for presents in (False, True):
        if presents:
            page.evaluate("commands.present()")
        for done in range(16, page.evaluate("session.moves.length")):
            page.evaluate("done => session.choose({ done })", done)
            assert min(page.evaluate(gaps)) >= 3, (presents, done)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_at_1280_by_800_nothing_that_the_page_tells_is_cut(lang, opened):
    page = opened(playground(lang), replays=False, viewport=window((1280, 800)), reduced_motion="reduce").page
    cut = """id => {
        const { scrollWidth, clientWidth, scrollHeight, clientHeight } = byId(id);
        return scrollWidth > clientWidth || scrollHeight > clientHeight;
    }"""
    page.locator("#nudge").click()
    box = page.locator("#message").bounding_box()
    assert box["y"] + box["height"] <= 800
    page.evaluate("commands.again(); commands.end()")  # an explanation of many lines
    assert not page.evaluate(cut, "narration")
    page.evaluate(EXAMPLE, "newton")
    for done in (33, 46):  # the widest equations, which were cut in Chinese
        page.evaluate("done => session.choose({ done })", done)
        assert not page.evaluate(cut, "formula"), done
    page.locator("#tab_board").click()
    page.locator(".unit").nth(12).click()  # a neuron with eight inputs
    assert not page.evaluate(cut, "lens")


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("size", [(360, 740), (390, 844)])
def test_on_a_phone_the_first_graph_is_whole(size, new, opened):
    page = opened(playground("en"), replays=False, new=new, viewport=window(size), reduced_motion="reduce").page
    for step in range(page.evaluate("session.steps.length + 1 - session.position")):
        for lang in ("zh", "en"):
            page.evaluate(SPEAK, lang)
            page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            assert page.evaluate(OUTSIDE) == [], (step, lang)
            assert min(page.evaluate(SIZES)) >= 12, (step, lang)
        page.evaluate("commands.step()")
    if new:
        page.locator("#try_own").click()
        assert page.locator("#numbers input").first.is_visible()


def test_a_graph_is_drawn_closer_together_only_while_this_makes_it_whole(opened):
    page_open = opened(playground("en"), viewport=window((1280, 800)), reduced_motion="reduce")
    page = page_open.page
    roomy = page.evaluate("viewport.size")
    page.set_viewport_size(window((1024, 768)))
    page_open.wait_for("viewport.tight")
    assert page.evaluate("viewport.size[0]") < roomy[0]
    assert page.evaluate(OUTSIDE) == []
    page.set_viewport_size(window((1280, 800)))
    page_open.wait_for("!viewport.tight")
    assert page.evaluate("viewport.size") == roomy
    page.evaluate(EXAMPLE, "vanishing")  # it is too long in any case
    assert not page.evaluate("viewport.tight")


@pytest.mark.parametrize("size", [(360, 640), (1280, 800)])
def test_the_node_of_every_step_is_in_view(size, opened):
    page = opened(playground("en"), viewport=window(size), reduced_motion="reduce").page
    for name in ("vanishing", "newton"):
        page.evaluate(EXAMPLE, name)
        page.evaluate("commands.start()")
        for step in range(page.evaluate("session.steps.length")):
            page.evaluate("commands.step()")
            assert page.evaluate(ABOUT) not in page.evaluate(OUTSIDE) + page.evaluate(UNDER_BUTTONS), (name, step)


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("size", [(360, 740), (390, 844), (768, 1024), (980, 900)])
def test_in_a_narrow_window_the_graph_ends_where_the_bars_begin(size, new, opened):
    page_open = opened(playground("en"), replays=False, new=new, viewport=window(size), reduced_motion="reduce")
    page = page_open.page
    below = """(() => {
        const bars = ["#narration", "footer"].map(each => document.querySelector(each).getBoundingClientRect().top);
        return Math.min(...bars) - byId("stage").getBoundingClientRect().bottom;
    })()"""
    frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    if new:
        page_open.wait_for(f"Math.abs({below}) <= 1")  # the greeting is shown a moment after the page
        page.locator("#text").fill("x")  # the greeting goes
    for text in ("tanh(w1*x1 + w2*x2 + b)", "a*b + c*d + e*f + g*h + k*l"):  # the fields of the second need more rows
        page.locator("#text").fill(text)
        page.evaluate(frames)
        for _ in range(3):
            page.evaluate("commands.step()")
            page.evaluate(frames)
            assert abs(page.evaluate(below)) <= 1, text


def test_the_page_knows_the_bars_of_each_window_and_where_its_graph_begins(opened):
    page_open = opened(playground("en"), replays=False, viewport=window((640, 740)), reduced_motion="reduce")
    page = page_open.page
    known = "name => getComputedStyle(document.documentElement).getPropertyValue(name)"
    footer = f"{page.evaluate('document.querySelector(`footer`).offsetHeight')}px"
    assert page.evaluate(known, "--below") == footer != "0px"
    page.set_viewport_size(window((640, 400)))  # the bars no longer stick, but are as high as before
    page_open.wait_for("getComputedStyle(document.documentElement).getPropertyValue('--below') === '0px'")
    page.set_viewport_size(window((640, 740)))
    page_open.wait_for(f"getComputedStyle(document.documentElement).getPropertyValue('--below') === '{footer}'")
    # Where the page was scrolled to makes no difference.
    page.evaluate("scrollTo(0, 300)")
    assert page.evaluate("scrollY") > 100
    before = page.evaluate(known, "--start")
    page.evaluate("byId('entry').style.minHeight = '240px'")
    frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    page.evaluate(frames)
    start = "Math.ceil(byId('stage').getBoundingClientRect().top + scrollY)"
    assert page.evaluate(known, "--start") == f"{page.evaluate(start)}px" != before
    # Another room has no stage, and this changes nothing for the one that has it.
    before = page.evaluate(known, "--start")
    page.evaluate("showRoom('board')")
    page.evaluate(frames)
    assert page.evaluate(known, "--start") == before


@pytest.mark.parametrize("size", [(360, 800), (390, 844)])
def test_on_a_phone_what_a_step_does_is_told_above_the_controls(size, opened):
    page = opened(playground("en"), viewport=window(size), reduced_motion="reduce").page
    hidden = """(() => {
        const text = document.createRange();
        text.selectNodeContents(byId("narration"));
        return text.getBoundingClientRect().bottom - document.querySelector("footer").getBoundingClientRect().top;
    })()"""
    for step in range(page.evaluate("session.steps.length")):
        page.evaluate("commands.step()")
        for lang in ("zh", "en"):
            page.evaluate(SPEAK, lang)
            assert page.evaluate(hidden) <= 0, (step, lang)


@pytest.mark.parametrize("opens", ["", "showLesson('vanishing', 1)"])
def test_the_node_that_is_told_of_is_in_view_at_first_and_in_a_lesson(opens, opened):
    x = Value(0.5, "x")
    y = functools.reduce(lambda y, _: y.tanh(), range(12), x)
    page = draw_flow(y, "en") if not opens else playground("en")
    page_open = opened(page, replays=False, viewport=window((1280, 800)), reduced_motion="reduce")
    page_open.page.evaluate(opens)
    page_open.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page_open.page.evaluate(OUTSIDE)  # it is larger than its window
    assert page_open.page.evaluate(ABOUT) not in page_open.page.evaluate(OUTSIDE)


def test_on_a_phone_five_controls_are_large_and_the_rest_behind_one(opened):
    page = opened(playground("en"), viewport={"width": 360, "height": 740}, has_touch=True).page
    shown = "[...document.querySelectorAll('footer :is(button, input, select)')].filter(each => each.checkVisibility())"
    sizes = f"{shown}.map(each => [each.id, each.getBoundingClientRect().height, each.getBoundingClientRect().width])"
    controls = page.evaluate(sizes)
    assert [name for name, *_ in controls] == ["back", "play", "step", "end", "more"]
    assert all(height >= 44 and width >= 44 for _, height, width in controls)
    page.locator("#end").tap()
    assert page.evaluate("[session.chosen.done === session.moves.length, session.chosen.actions.length]") == [True, 1]
    page.locator("#more").tap()
    assert len(page.evaluate(sizes)) > 10


@pytest.mark.parametrize(("height", "position"), [(740, "sticky"), (400, "static")])
def test_the_controls_stay_only_where_there_is_room(height, position, opened):
    page = opened(playground("en"), viewport={"width": 640, "height": height}).page  # 400: 1280 × 800 at 200 %
    assert page.evaluate("getComputedStyle(document.querySelector('footer')).position") == position
    graph = page.evaluate("byId('graph').getBoundingClientRect().toJSON()")
    page.evaluate("scrollTo(0, byId('graph').getBoundingClientRect().top)")
    covered = page.evaluate("document.querySelector('footer').getBoundingClientRect().top")
    assert covered >= min(graph["height"], height) - 1 or position == "sticky"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_paper_has_the_whole_graph_on_white(theme, opened):
    y, _ = example()
    page_open = opened(draw_flow(y, "en"), viewport={"width": 700, "height": 1000}, color_scheme=theme)
    page = page_open.page
    page.emulate_media(media="print", color_scheme=theme)
    page_open.wait_for("viewport.root.hasAttribute('viewBox')")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(OUTSIDE) == []
    page.emulate_media(media="screen", color_scheme=theme)
    page_open.wait_for("!viewport.root.hasAttribute('viewBox')")


def test_nothing_moves_while_one_steps(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en")).page
    places = "['editing', 'legend', 'transport'].map(id => byId(id).getBoundingClientRect().top)"
    at_start = page.evaluate(places)
    for _ in range(page.evaluate("session.steps.length")):
        page.keyboard.press("ArrowRight")
        assert page.evaluate(places) == pytest.approx(at_start, abs=1)


def test_every_control_is_large_enough_for_a_finger(opened):
    page = opened(playground("en"), replays=False).page
    small = """[...document.querySelectorAll("button, input:not([type=range]), select, summary")]
        .filter(each => each.checkVisibility() && !each.matches(".unit") && each.getBoundingClientRect().height < 43.9)
        .map(each => each.id)"""
    page.evaluate("showLesson('adding', 2)")
    for room in ("typing", "board", "model"):
        page.evaluate(f"showRoom('{room}')")
        page.evaluate("document.querySelector('footer').classList.add('all')")
        for width in (360, 768, 980):
            page.set_viewport_size(window((width, 800)))
            assert page.evaluate(small) == [], (room, width)


@pytest.mark.parametrize(
    ("room", "charts"), [("board", "#plane, #losses, #charts canvas"), ("model", "#m_curve, #m_table")]
)
def test_charts_are_drawn_in_the_size_in_which_they_are_shown(room, charts, opened):
    """They are not stretched: not at first, and not when the window has changed."""
    playing = opened(playground("en"), replays=False, link=f"room={room}", viewport=window((1300, 900)))
    page = playing.page
    right = f"""[...document.querySelectorAll("{charts}")].every(
        ({{ width, height, clientWidth, clientHeight }}) =>
            clientWidth > 50 && clientHeight > 0 && width === clientWidth && height === clientHeight)"""
    for size in ((1300, 900), (1100, 800)):
        page.set_viewport_size(window(size))
        playing.wait_for(right)


@pytest.mark.parametrize("width", [360, 390, 768, 1280, 1920])
def test_what_has_the_focus_is_under_no_bar(width, opened):
    page = opened(playground("en"), viewport={"width": width, "height": 740}, reduced_motion="reduce").page
    page.evaluate("showLesson('adding', 1)")
    page.evaluate("document.querySelector('footer').classList.remove('all')")
    hidden = """selector => [...document.querySelectorAll(selector)].filter(each => {
        if (!each.checkVisibility()) return false;
        scrollTo(0, each.getBoundingClientRect().top + scrollY - innerHeight + 20); // it is under the lower bars
        each.focus();
        const box = each.getBoundingClientRect(), bars = ["footer", "#narration", "#lesson"];
        return bars.map(bar => document.querySelector(bar)).some(bar => {
            const { top, bottom, left, right } = bar.getBoundingClientRect();
            const meets = box.left < right && box.right > left;
            return !bar.contains(each) && meets && box.top >= top - 1 && box.bottom <= bottom + 1;
        });
    }).map(each => each.id || each.outerHTML.slice(0, 60))"""
    for lang in ("en", "zh"):
        page.evaluate(SPEAK, lang)
        assert page.evaluate(hidden, "aside :is(button, input, select, summary, [tabindex])") == [], lang
    page.evaluate("showRoom('board')")
    for lang in ("en", "zh"):
        page.evaluate(SPEAK, lang)
        assert page.evaluate(hidden, "#board :is(button:not(.unit), input, select, canvas[tabindex])") == [], lang


@pytest.mark.parametrize("size", [(390, 844), (1280, 800)])
def test_a_part_of_the_graph_that_the_keyboard_reaches_comes_into_view(size, opened):
    page = opened(playground("en"), viewport=window(size), reduced_motion="reduce").page
    page.evaluate("(() => { showRoom('board'); openBatch(); session.choose({ done: session.moves.length }); })()")
    parts = page.locator("#graph [tabindex='0']").count()
    assert parts > 10
    inside = """(() => {
        const part = document.activeElement.getBoundingClientRect(), room = byId("graph").getBoundingClientRect();
        return part.left >= room.left && part.right <= room.right && part.top >= room.top && part.bottom <= room.bottom;
    })()"""
    page.locator("#graph").focus()
    for _ in range(parts):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.matches('#graph [tabindex]')")
        assert page.evaluate(inside), page.evaluate("document.activeElement.innerHTML")


def test_with_forced_colours_what_is_chosen_looks_chosen(opened):
    page = opened(playground("en"), forced_colors="active", reduced_motion="reduce").page
    looks = "id => (s => [s.backgroundColor, s.color, s.borderBottomColor].join())(getComputedStyle(byId(id)))"
    assert page.evaluate(looks, "tab_typing") != page.evaluate(looks, "tab_board")
    page.locator("#predict").click()
    assert page.evaluate(looks, "predict") != page.evaluate(looks, "again")
    page.locator("#tab_model").click()
    bars = "[...document.querySelectorAll('#m_chances button, #m_attention button')]"
    found = page.evaluate(f"{bars}.map(each => getComputedStyle(each).backgroundImage)")
    assert len(set(found)) > 10
    assert all("gradient" in image for image in found)


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080)])
def test_a_small_graph_fills_the_stage(size, opened):
    page = opened(playground("en"), viewport=window(size), reduced_motion="reduce").page
    for name in ("neuron", "paths"):
        page.evaluate(EXAMPLE, name)
        share = "Math.max(...viewport.size.map((size, i) => size * viewport.zoom / viewport.room[i]))"
        assert page.evaluate(share) > 0.8, name


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080)])
@pytest.mark.parametrize("name", ["neuron", "paths", "attention"])
def test_a_graph_uses_the_height_and_the_width_of_the_stage(name, size, opened):
    page_open = opened(playground("en"), viewport=window(size), reduced_motion="reduce")
    page = page_open.page
    page.evaluate(EXAMPLE, name)
    shares = "viewport.size.map((size, i) => size * viewport.zoom / viewport.room[i])"
    width, height = page.evaluate(shares)
    assert width > 0.9
    assert height > 0.8
    assert page.evaluate(OUTSIDE) == page.evaluate(UNDER_BUTTONS) == []
    page.set_viewport_size(window((1500, 800)))  # it is arranged anew for another window
    page_open.wait_for("viewport.stage.width === viewport.stageNow.width")
    assert page.evaluate(shares)[1] > 0.8
    assert page.evaluate(OUTSIDE) == []
    page.evaluate("viewport.zoomBy(2)")  # but not against the will of the reader
    before = page.evaluate("viewport.size")
    page.set_viewport_size(window((1500, 1100)))
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("viewport.size") == before


def test_lessons_is_the_one_accented_button(opened):
    page = opened(playground("en"), reduced_motion="reduce").page
    accented = """(() => {
        const style = element => getComputedStyle(element).backgroundColor;
        return [...document.querySelectorAll("button")]
            .filter(each => each.checkVisibility() && style(each) === style(byId("open_lessons")))
            .map(each => each.id);
    })()"""
    page.locator("#predict").click()
    for room, play in (("typing", "play"), ("board", "run"), ("model", "m_run")):
        page.evaluate(f"showRoom('{room}')")
        assert page.evaluate(accented) == ["open_lessons"]
        # Play differs from the other buttons all the same.
        looks = "id => (({ color, fontWeight }) => [color, fontWeight])(getComputedStyle(byId(id)))"
        other = {"typing": "back", "board": "reset", "model": "m_reset"}[room]
        assert all(a != b for a, b in zip(page.evaluate(looks, play), page.evaluate(looks, other), strict=True))
    page.evaluate("showLesson('dead')")
    assert page.evaluate(accented) == ["open_lessons"]


def test_a_button_in_a_bar_takes_the_focus_without_moving_the_page(opened):
    page = opened(playground("en"), viewport={"width": 390, "height": 844}, reduced_motion="reduce").page
    page.evaluate("showLesson('adding', 2)")
    for place in (0, 300):
        moved = """place => ["#lesson_next", "#step", "#more", "#lesson_back", "#play"].map(name => {
            scrollTo(0, place);
            const before = scrollY;
            document.activeElement.blur();
            document.querySelector(name).focus();
            return scrollY - before;
        })"""
        assert page.evaluate(moved, place) == [0] * 5


COVERED = """panel => [...panel.querySelectorAll("button, input, select, summary, h2, p, label, canvas, .caption, td")]
    .filter(each => each.checkVisibility() && (each.matches("canvas, input, select") || each.innerText.trim()))
    .filter(each => {
        each.scrollIntoView({ block: "center", behavior: "instant" });
        const { left, top, width, height } = each.getBoundingClientRect();
        const seen = document.elementFromPoint(left + width / 2, top + height / 2);
        return !each.contains(seen) && !seen?.contains(each);
    })
    .map(each => each.id || each.className || each.innerText)"""


@pytest.mark.parametrize(("room", "more"), [("board", "b_more"), ("model", "m_more")])
def test_nothing_in_a_room_is_covered_in_a_low_window(room, more, opened):
    page = opened(playground("en"), viewport=window((1000, 600)), reduced_motion="reduce").page
    page.locator(f"#tab_{room}").click()
    for size, lang in itertools.product([(1000, 600), (1024, 768), (1280, 640)], ["en", "zh"]):
        page.set_viewport_size(window(size))
        page.evaluate(SPEAK, lang)
        for opens in (False, True):
            page.evaluate("([more, opens]) => (byId(more).open = opens)", [more, opens])
            assert page.locator(f"#{room}").evaluate(COVERED) == [], (size, lang, opens)


@pytest.mark.parametrize("size", [(360, 740), (390, 844)])
def test_on_a_phone_a_label_stands_beside_its_edge_and_meets_no_other(size, opened):
    page = opened(playground("en"), viewport=window(size), **REDUCED).page
    # The texts that their own edge crosses, and the pairs of texts of different edges that overlap.
    found = """(() => {
        const edges = viewport.picture.edges.map(({ line, texts }) => ({
            points: Array.from({ length: 101 }, (_, k) => line.getPointAtLength((k * line.getTotalLength()) / 100)),
            boxes: texts.filter(text => text.textContent).map(text => text.getBBox()),
        }));
        const crossed = edges.flatMap(({ points, boxes }) => boxes.filter(({ x, y, width, height }) =>
            points.some(at => at.x > x && at.x < x + width && at.y > y + 3 && at.y < y + height - 3)));
        const meet = (a, b) => a.x + 1 < b.x + b.width && b.x + 1 < a.x + a.width
            && a.y + 4 < b.y + b.height && b.y + 4 < a.y + a.height;
        const met = edges.flatMap(({ boxes }, i) => boxes.filter(a =>
            edges.slice(i + 1).some(other => other.boxes.some(b => meet(a, b)))));
        return [crossed.length, met.length];
    })()"""
    for name in page.evaluate(SHOWN):
        page.evaluate(EXAMPLE, name)
        page.evaluate("commands.end()")
        assert page.evaluate(found) == [0, 0], name
