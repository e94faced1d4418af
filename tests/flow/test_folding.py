"""Parts open and close at any depth. Nothing overlaps then, and no number changes."""

import random
import sys

import pytest

from micrograd_cn import Value, draw_flow, mean, playground, scope, take, where
from micrograd_cn.engine import graph_nodes
from micrograd_cn.flow.texts import PAGE
from micrograd_cn.nn import MLP

from .pages import assert_gradients, example, labelled, position, same

BOXES = "session.shape.boxes.length"
OVERLAPS = """(() => {
    const right = a => a.x + a.width, low = a => a.y + a.height;
    const inside = (a, b) => a.x > b.x && a.y > b.y && right(a) < right(b) && low(a) < low(b);
    const apart = (a, b) => right(a) <= b.x || right(b) <= a.x || low(a) <= b.y || low(b) <= a.y;
    const { frames } = session.shape;
    const chain = frame => (frame < 0 ? [] : [frames[frame], ...chain(frames[frame].outer)]);
    const wrong = [];
    session.shape.boxes.forEach((a, i) => {
        for (const b of session.shape.boxes.slice(i + 1)) if (!apart(a, b)) wrong.push([a.name, b.name]);
        for (const frame of frames) {
            const fits = chain(a.frame).includes(frame) ? inside(a, frame) : apart(a, frame);
            if (!fits) wrong.push([a.name, frame.name]);
        }
    });
    return wrong;
})()"""


def network():
    model = MLP(2, [4, 3, 1], activation="tanh", seed=0)
    y = model([Value(0.5, "x1"), Value(-1, "x2")])
    with scope("error"):
        loss = (y - 1) ** 2
    loss.label = "loss"
    return loss


def attention(width=8, positions=5):
    """Return the loss of attention over a few positions, written in plain values."""
    rng = random.Random(0)
    weights = {n: [[Value(rng.gauss(0, 0.4)) for _ in range(width)] for _ in range(width)] for n in "qkvo"}
    xs = [[Value(rng.gauss(0, 1)) for _ in range(width)] for _ in range(positions)]

    def linear(x, rows):
        return [sum((a * b for a, b in zip(row, x, strict=True)), Value(0)) for row in rows]

    losses, keys, values = [], [], []
    for t, x in enumerate(xs):
        with scope(f"position {t}"):
            with scope("attention"):
                query = linear(x, weights["q"])
                keys.append(linear(x, weights["k"]))
                values.append(linear(x, weights["v"]))
                scores = [sum((a * b for a, b in zip(query, key, strict=True)), Value(0)).exp() for key in keys]
                total = sum(scores, Value(0))
                mixed = [
                    sum((s / total * v[i] for s, v in zip(scores, values, strict=True)), Value(0)) for i in range(width)
                ]
            with scope("projection"):
                out = linear(mixed, weights["o"])
            losses.append(sum((y * y for y in out), Value(0)))
    return mean(losses)


def click(page, name):
    page.page.locator(f".node[data-name='{name}'] .frame").first.click()


def test_a_click_opens_a_part_and_a_click_on_its_title_closes_it(opened):
    page = opened(draw_flow(network(), "en"))
    page.click("close_all")
    assert set(page.nodes()) == {"x1", "x2", "layers.0", "layers.1", "layers.2", "error"}
    click(page, "layers.1")
    assert {f"layers.1.neurons.{i}" for i in range(3)} < set(page.nodes())
    click(page, "layers.1.neurons.2")
    assert "layers.1.neurons.2.w0" in page.nodes()
    page.page.locator(".scope[data-name='layers.1'] .bar").click()
    assert set(page.nodes()) == {"x1", "x2", "layers.0", "layers.1", "layers.2", "error"}


def test_enter_and_space_open_and_close_and_the_focus_stays(opened):
    page = opened(draw_flow(network(), "en"))
    page.click("close_all")
    page.page.locator(".node[data-name='layers.0']").focus()
    focused = "document.activeElement.closest('[data-key]').dataset.name"
    for key, expanded in (("Enter", "true"), ("Enter", "false"), (" ", "true"), (" ", "false")):
        page.press(key)
        assert page.page.evaluate(focused) == "layers.0"
        assert page.page.evaluate("document.activeElement.getAttribute('aria-expanded')") == expanded
    assert position(page) == 0  # Space did not play


def test_a_tap_opens_a_part(opened):
    page = opened(draw_flow(network(), "en"), viewport={"width": 390, "height": 800}, has_touch=True)
    page.page.locator("#more").tap()
    page.page.locator("#close_all").tap()
    page.page.locator(".node[data-name='layers.0'] .frame").tap()
    assert "layers.0.neurons.0" in page.nodes()


def test_opening_and_closing_at_random_changes_no_number(opened):
    root = network()
    nodes = labelled(root)
    page, rng = opened(draw_flow(root, "en"), reduced_motion="reduce"), random.Random(1)
    page.press("End")
    root.backward()
    done = page.page.evaluate("session.chosen.done")
    known = {}
    for _ in range(15):
        groups = page.page.evaluate(
            "(({ boxes, frames }) => [...frames, ...boxes.filter(b => b.folded)].map(b => b.group))(session.shape)"
        )
        overlaps, now = page.page.evaluate(f"(toggle({rng.choice(groups)}), [{OVERLAPS}, session.chosen.done])")
        assert (overlaps, now) == ([], done)
        for name, facts in page.nodes().items():
            if name in nodes:
                assert same(float(facts["value"]), nodes[name].data)
            assert known.setdefault(name, facts) == facts
    page.click("open_all")
    shown = page.nodes()
    assert len(shown) == page.page.evaluate("session.graph.nodes.length")
    for name in ("x1", "x2", "loss"):
        assert float(shown[name]["grad"]) == nodes[name].grad


def test_a_part_may_be_closed_amid_its_steps_and_opened_again(opened):
    root = network()
    page = opened(draw_flow(root, "en"))
    page.click("open_all")
    page.page.evaluate("(() => { while (!byId('narration').textContent.includes('layers.1.neurons.1')) stepOn(); })()")
    before, told, done = page.nodes(), page.narration, page.page.evaluate("session.chosen.done")
    page.click("close_all")
    page.press("l", "l")
    page.click("open_all")
    assert (page.nodes(), page.narration) == (before, told)
    page.click("close_all")
    page.click("step")
    assert page.page.evaluate("session.chosen.done") > done
    page.press("End")
    root.backward()
    assert float(page.nodes()["x1"]["grad"]) == labelled(root)["x1"].grad


def test_what_surrounds_a_part_that_opens_stays_in_its_order_and_its_place(opened):
    page = opened(draw_flow(network(), "en"), reduced_motion="reduce")
    page.click("close_all")
    places = "Object.fromEntries(session.shape.boxes.map(b => [b.name, [b.x * viewport.zoom + viewport.x, b.y]]))"
    before = page.page.evaluate(places)
    click(page, "layers.1")
    after = page.page.evaluate(places)
    for name in ("x1", "x2", "layers.0"):  # what is to the left of it stays where it is on the screen
        assert after[name][0] == pytest.approx(before[name][0], abs=1e-6)
    names = sorted(before, key=lambda name: before[name][0])
    assert sorted(filter(after.__contains__, names), key=lambda name: after[name][0]) == [
        name for name in names if name in after
    ]


def test_a_graph_of_ten_thousand_nodes_opens_closed_and_down_to_its_last_product(opened):
    root = attention(12, 9)
    page = opened(draw_flow(root, "en"))
    assert page.page.evaluate("session.graph.nodes.length") > 10_000
    assert page.page.evaluate(BOXES) < 30
    elements = "document.querySelectorAll('*').length"  # a browser's time goes into these
    assert page.page.evaluate(f"2 * {elements} < session.graph.nodes.length")
    depth = 0
    while folded := page.page.evaluate("session.shape.boxes.filter(b => b.folded).map(b => b.group)"):
        page.page.evaluate(f"toggle({folded[-1]})")
        depth += 1
        if page.page.evaluate(f"session.graph.groups[{folded[-1]}].children.some(c => c.node !== undefined)"):
            break
    assert depth >= 2
    every = "session.graph.children.flatMap(c => (c.node === undefined ? nodesIn(session.graph, c.group) : [c.node]))"
    assert page.page.evaluate(f"new Set({every}).size === session.graph.nodes.length")
    most = "Math.max(session.graph.children.length, ...session.graph.groups.map(group => group.children.length))"
    assert page.page.evaluate(most) <= 24


@pytest.mark.parametrize(("lang", "words"), [("en", "part {} of {}"), ("zh", "第 {} 部分，共 {} 部分")])
def test_tables_name_the_parts_of_a_large_graph_in_words(lang, words, opened):
    page = opened(draw_flow(attention(4, 3), lang))
    for path in ("position 1", "position 1.attention"):
        page.page.evaluate(f"toggle(session.shape.boxes.find(box => box.name === '{path}').group)")
    names = {row[0] for row in page.cells("nodes")[1:]}
    parts = {words.format(i, 13) for i in range(1, 14)}
    parts |= {f"position 1.attention.{words.format(i, 12)}" for i in range(1, 13)}
    assert parts <= names
    assert {name for name in names - parts if not name.startswith("v")} == {
        *("position 0", "position 1.projection", "position 2")
    }
    assert {name for row in page.cells("edges")[1:] for name in row[:2]} == names


@pytest.mark.parametrize("width", [390, 1280])
def test_a_large_graph_opens_where_its_boxes_are(width, opened):
    page = opened(draw_flow(attention(4, 9), "en"), viewport={"width": width, "height": 800})
    in_sight = """(() => {
        const room = byId("graph").getBoundingClientRect();
        const inside = ({ left, top, right, bottom }) =>
            left >= room.left && top >= room.top && right <= room.right && bottom <= room.bottom;
        return [...document.querySelectorAll(".node")].filter(node => inside(node.getBoundingClientRect())).length;
    })()"""
    assert page.page.evaluate(in_sight) >= 4
    highest, lowest, height = page.page.evaluate(
        "(ys => [Math.min(...ys), Math.max(...ys), session.shape.size[1]])(["
        "...session.shape.boxes.flatMap(b => [b.y, b.y + b.height]),"
        "...session.shape.edges.flatMap(e => e.points.map(p => p[1]))])"
    )
    assert highest < 20  # nothing is left free above or below
    assert height - lowest < 20


def test_edges_without_labels_leave_a_box_as_one(opened):
    page = opened(draw_flow(attention(4, 9), "en"))
    assert not page.page.evaluate("viewport.picture.labelled")
    ways = page.page.evaluate(
        "session.shape.edges.filter(e => !e.middle.backward).map(({ source, points }) => [source, points.slice(0, 4)])"
    )
    parted = {}
    for source, points in ways:
        parted.setdefault(source, set()).add(tuple(map(tuple, points)))
    several = {source for source, _ in ways if sum(source == other for other, _ in ways) > 3}
    assert several
    assert all(len({points[:2] for points in parted[source]}) == 1 for source in several)


def test_the_end_of_a_large_graph_is_what_backward_gives(opened):
    root = attention(4, 3)
    nodes = labelled(root)
    page = opened(draw_flow(root, "en"))
    page.press("End")
    root.backward()
    grads = page.page.evaluate(
        "(() => { const s = replayed(session.graph, session.numbers, session.moves, session.moves.length);"
        "return Object.fromEntries(session.graph.nodes.map((n, i) => [n.name, gradient(s, i)])); })()"
    )
    assert all(grads[name] == node.grad for name, node in nodes.items() if node.requires_grad)


def test_the_work_for_a_page_and_its_text_grow_no_faster_than_its_graph():
    """A search for each node through all others, by equality or by name, would take more lines for each."""
    nodes, lines, letters = [], [], []

    def trace(frame, event, _):
        lines[-1] += 1  # a line, or a call, such as that of an `__eq__`
        return trace

    before = sys.gettrace()
    for size in range(2, 6):
        root = attention(size, size)
        for node in graph_nodes(root):
            node.label = "v"  # so the page looks for other names
        nodes.append(len(graph_nodes(root)))
        lines.append(0)
        sys.settrace(trace)
        try:
            letters.append(len(draw_flow(root).html))
        finally:
            sys.settrace(before)
    for counted in (lines, letters):
        [_, few, many] = [(counted[k + 1] - counted[k]) / (nodes[k + 1] - nodes[k]) for k in range(3)]
        assert many == pytest.approx(few, rel=0.1)


def test_no_gradient_goes_where_none_flows(opened):
    c, a, b = Value(0.0, "c"), Value(2, "a"), Value(3, "b")
    y = where(c, a, b) * take([a, b], Value(1, "i"))
    y.label = "y"
    nodes = labelled(y)
    page = opened(draw_flow(y, "en"))
    page.press("End")
    y.backward()
    assert_gradients(page.nodes(), nodes)
    carried = {(edge["src"], edge["dst"]): edge["contribution"] for edge in page.edges()}
    assert [carried[pair] for pair in carried if pair[0] in "ci"] == ["", ""]
    assert position(page) == 3 + 1 + 2 + 2 + 2


def test_an_infinite_factor_is_not_multiplied_where_none_flows(opened):
    c, x = Value(1.0, "c"), Value(0.0, "x")
    y = where(c, x, x.log()) * x.log()
    nodes = labelled(y)
    page = opened(draw_flow(y, "en"))
    page.press("End")
    y.backward()
    assert_gradients(page.nodes(), nodes)
    assert page.nodes()["c"]["grad"] == "0"


def test_long_edges_are_straight_and_boxes_do_not_overlap(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    assert page.page.evaluate(OVERLAPS) == []
    heights = page.page.evaluate(
        "session.shape.edges.map(e => e.points.slice(1, -1)).filter(points => points.length > 4)"
        ".map(points => [...new Set(points.map(p => Math.round(p[1])))])"
    )
    assert heights
    assert all(len(each) == 1 for each in heights)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_closed_part_says_what_it_sees_and_gives(lang, opened):
    root = network()
    page = opened(draw_flow(root, lang))
    page.click("close_all", lang)
    page.press("ArrowRight")
    expected = {
        "en": "Forward: layer 1 sees x1 = 0.5, x2 = -1 and gives 4 numbers, from 0.1963 to 0.8381.",
        "zh": "前向传播：第 1 层由 x1 = 0.5、x2 = -1 算出 4 个数，从 0.1963 到 0.8381。",
    }[lang]
    numbers = [n.data for n in labelled(root).values() if n.op and n.op.name == "tanh" and "layers.0" in str(n.group)]
    expected = expected.replace("0.1963", f"{min(numbers):.4g}").replace("0.8381", f"{max(numbers):.4g}")
    assert page.narration == expected
    assert PAGE[lang]["open_all"] in page.page.locator("#zooming").inner_text()


def test_an_edge_that_stands_for_several_is_a_constant_s_only_if_all_of_them_are(opened):
    c, x = Value(1.0, "c"), Value(2, "x")
    with scope("part"):
        y = where(x, x, 3.0) * where(c, 2.0, x) + where(c, x, 4.0)
    page = opened(draw_flow(y, "en"))
    page.click("close_all")
    page.press("End")
    look = (
        "Object.fromEntries([...document.querySelectorAll('.edge')].map(e => [e.dataset.src, e.matches('.constant')]))"
    )
    assert page.page.evaluate(look) == {"c": True, "x": False}
    y.backward()
    assert float(page.nodes()["x"]["grad"]) == x.grad


def test_neurons_stand_in_the_order_of_their_numbers(opened):
    page = opened(draw_flow(network(), "en"))
    names = page.page.evaluate("[...session.shape.boxes].sort((a, b) => a.y - b.y).map(box => box.name)")
    for layer in (0, 1):
        assert [name for name in names if name.startswith(f"layers.{layer}.")] == sorted(
            name for name in names if name.startswith(f"layers.{layer}.")
        )


def test_a_part_that_closes_beside_a_wider_one_stays_where_its_title_was(opened):
    page = opened(draw_flow(network(), "en"), reduced_motion="reduce")
    page.page.evaluate("viewport.touched = true")
    place = """name => {
        const found = [...session.shape.frames, ...session.shape.boxes].find(each => each.name === name);
        return [found.x * viewport.zoom + viewport.x, found.y * viewport.zoom + viewport.y];
    }"""
    toggle = "name => toggle(session.graph.groups.findIndex(each => each.path === name))"
    first, second = "layers.1.neurons.0", "layers.1.neurons.1"
    for name in (first, second, first, second, first):
        before = page.page.evaluate(place, name)
        page.page.evaluate(toggle, name)
        assert page.page.evaluate(place, name) == pytest.approx(before, abs=1e-6)


def test_the_list_of_leaves_has_those_that_are_drawn_and_opens_at_once(opened):
    page = opened(playground("en"), reduced_motion="reduce").page
    page.locator("#tab_model").click()
    page.locator("#m_width").select_option("32")
    page.locator("#m_layers").select_option("2")
    page.locator("#m_open_text").click()
    assert page.evaluate("session.graph.nodes.filter(isEditable).length") > 10_000
    assert page.locator("#leaf option").count() <= 2_000
    page.locator("#return").click()
    page.locator("#m_table").focus()
    for key in ("ArrowRight", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    assert page.locator("#leaf option:checked").inner_text().startswith("wte.")
    assert page.locator("#leaf option").count() <= 2_001
