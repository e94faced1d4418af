"""The playground reads typed text as the command line does: the same graphs, numbers, gradients and errors."""

import math

import pytest

from micrograd_cn import Op, Value, playground
from micrograd_cn.engine import topological_order
from micrograd_cn.flow.grammar import grammar
from micrograd_cn.flow.texts import EXPRESSION
from micrograd_cn.text.expression import CONSTANTS, ParseError, _tokens, functions, is_name, lists, parse, usage

from .pages import same
from .typing_texts import NAMES, texts

VALUES = dict(zip(NAMES, [0.75, -1.25, 2.0, 0.5, 0.1, 3.0], strict=True))
READ = """([texts, values]) => texts.map(text => {
    try {
        const made = readExpression(text, new Map(Object.entries(values)));
        if (!made.graph) return { value: exact(made.value), grads: {}, nodes: 0 };
        const { graph } = made, moves = movesOf(graph, ["backward"]);
        const state = replayed(graph, made, moves, moves.length);
        const grads = graph.nodes.map((node, i) => [node.name, exact(gradient(state, i))]);
        return {
            value: exact(made.data[graph.root]), nodes: graph.order.length, gets: graph.nodes[graph.root].gets,
            grads: Object.fromEntries(grads.filter(([name]) => made.values.has(name))),
        };
    } catch (error) {
        if (!(error instanceof ReadError)) return { failed: String(error.stack) };
        return { column: error.column, message: error.told(session.words) };
    }
})"""


def in_python(text, values):
    """Return what the page's parser should return, computed by the library."""
    variables = {name: Value(x, name) for name, x in values.items()}
    try:
        root = parse(text, variables)
    except ParseError as error:
        return {"column": error.column}
    if root.requires_grad:
        root.backward()
    used = {leaf for node in (root, *topological_order(root)) for leaf in (node, *node.parents)}
    grads = {name: leaf.grad for name, leaf in variables.items() if leaf in used and root.requires_grad}
    return {"value": root.data, "grads": grads, "nodes": len(topological_order(root))}


def near(a, b, scale=1.0):
    return same(a, b, 1e-7) or abs(a - b) <= 1e-9 * scale


def names_in(text):
    """Return the names of the variables: the page makes a variable of each name that it meets."""
    names = {token.text for token in _tokens(text, ()) if token.kind == "name"}
    return {name for name in names if is_name(name)} - functions().keys() - CONSTANTS.keys()


def assert_alike(room, written, values=VALUES):
    values = values | {name: 0.25 for text in written for name in names_in(text) - values.keys()}
    for text, got in zip(written, room.evaluate(READ, [written, values]), strict=True):
        expected = in_python(text, values)
        if "column" in expected:
            assert got.get("column") == expected["column"], (text, got, expected)
            continue
        assert "value" in got, (text, got, expected)
        assert got["nodes"] == expected["nodes"], text
        assert near(float(got["value"]), expected["value"]), (text, got, expected)
        assert got["grads"].keys() == expected["grads"].keys() or not expected["grads"], (text, got, expected)
        for name, grad in expected["grads"].items():
            largest = max(map(abs, expected["grads"].values()))
            assert near(float(got["grads"][name]), grad, largest), (text, name, got, expected)


def test_a_hundred_random_texts_are_read_as_in_python(room):
    assert_alike(room, texts(0, 120))


@pytest.mark.slow
def test_two_thousand_random_texts_are_read_as_in_python(room):
    assert_alike(room, texts(1, 4000))  # half of them have a mistake


MISTAKES = """
2 *
(a
a)
a b
2a
tanh
tanh()
tanh(a, b)
foo(a)
a ^ 2
a × b
[a]
sum(a)
sum([a], [b])
dot([a], [b, a])
logsumexp([])
elu(a, alpha=2, alpha=1)
elu(alpha=2, a)
a, b
elu(x=a, 2)
tanh(x=a)
lambda + 1
a + (b * [a])
（a）
sum([a, [b]])
a $ b
take(a, 1)
take([a], [1])
take([], 1)
mean([])
where(1, [a], b)
+
-
a +
*a
sum([a,])
sum(,)
🙂 + a
a + 🙂
学习率(2)
a((b))
a(b)
exp(a
exp(a]
(a, b)
a == b
a = b
1 = 2
e(a)
math.tanh(a)
np.pi * a
np.arctan(a)
a.tanh()
a.tanh.tanh()
a²
|a|
√a
a⁻¹
½ * a
aŀb
２ * a
a₁
【a】
a ≤ b
a if b else x
a and b
not a
a in b
tanh²(a)
""".strip().split("\n")
READABLE = """
sum([])
dot([], [])
--a
+a
2**-a
-a**2
a**b**2
a/b/x
a-b-x
elu(a, alpha=b)
sum(xs=[a, b], start=x)
sum([a, b], x)
dot([a], [b], bias=x)
take([a, b], 1)
take([a, b], w1 / 0.0 - w1 / 0.0) * x
take(index=0, xs=[a])
mean([a, b, x])
mean(xs=[a])
leaky_relu(a, negative_slope=0.5)
pi*a
π*a
a·b + a
2·a·(b·b)
inf*a
2
ｘ + 1
less(a, b)
where(less(a, b), a, b)
maximum(a, a)
a*a
logsumexp([a, b, x, w1])
a - a
1e3*a
.5*a
5.*a
""".strip().split("\n")


@pytest.mark.parametrize("text", ["", *MISTAKES])
def test_a_mistake_is_found_at_its_column(room, text):
    assert "column" in in_python(text, VALUES)
    assert_alike(room, [text])


@pytest.mark.parametrize("text", READABLE)
def test_what_can_be_read_is_read_alike(room, text):
    assert "value" in in_python(text, VALUES)
    assert_alike(room, [text])


def test_every_example_is_a_dozen_and_gives_what_python_gives(room):
    examples = room.evaluate("EXAMPLES")
    assert len(examples) == 12
    for name, text, values in examples:
        assert_alike(room, [text], values)
        assert {EXPRESSION[lang][f"example_{name}"] for lang in EXPRESSION} - {""}
        [got] = room.evaluate(READ, [[text], values])
        assert set(got["grads"]) == set(values), name


def test_examples_show_what_they_are_called(room):
    found = {name: in_python(text, values) for name, text, values in room.evaluate("EXAMPLES")}
    assert found["twice"]["grads"] == {"a": 2.0}
    assert set(found["dead"]["grads"].values()) == {0.0}
    assert found["newton"]["value"] == pytest.approx(math.sqrt(2), rel=1e-5)
    assert abs(found["vanishing"]["grads"]["x"]) < 0.05
    assert found["exploding"]["grads"]["x"] > 1000
    assert sum(found["softmax"]["grads"].values()) == pytest.approx(0, abs=1e-12)


def test_an_operation_of_one_s_own_of_any_number_of_operands_takes_no_list():
    own = Op("own", lambda *xs: 0.0, lambda y, *xs: (0.0,) * len(xs))
    assert (lists(own), usage("own", own)) == ([], "own(*xs)")


def test_the_page_s_functions_are_the_command_line_s(room):
    assert set(room.evaluate("Object.keys(page.grammar.functions)")) == set(functions())


def test_too_many_operands_are_refused_in_words(room):
    text = f"sum([{', '.join(['a'] * 18)}])"
    [got] = room.evaluate(
        READ,
        [
            [
                text,
            ],
            VALUES,
        ],
    )
    assert (got["column"], got["message"]) == (0, "'sum' may have at most 17 operands here")


# Typing.


@pytest.fixture
def typing(opened):
    return opened(playground("en"))


def write(page, text):
    page.page.locator("#text").fill(text)


def test_what_one_types_is_the_graph_at_once(typing):
    write(typing, "a*b + a")
    typing.page.keyboard.press("Escape")
    names = typing.nodes()
    assert set(names) == {"a", "b", "v1", "v2"}
    typing.click("end")
    values = {name: float(typing.nodes()[name]["value"]) for name in "ab"}
    y = in_python("a*b + a", values)
    assert {name: float(typing.nodes()[name]["grad"]) for name in "ab"} == y["grads"]


def test_an_error_has_lines_of_its_own_below_the_field(typing):
    page = typing.page
    write(typing, "tanh(w*x))")
    for width in (360, 768, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        fault = page.locator("#fault").bounding_box()
        assert fault["y"] >= (field := page.locator("#field").bounding_box())["y"] + field["height"], width
        assert fault["y"] < field["y"] + field["height"] + 10, width  # clear of the ring around a field with the focus
        for below in ("#numbers", *(["#functions", "#example"] if width == 768 else [])):
            assert page.locator(below).bounding_box()["y"] >= fault["y"] + fault["height"], (width, below)


def test_an_error_stands_below_its_column_and_the_last_graph_stays(typing):
    write(typing, "tanh(w*x + ")
    assert typing.page.locator("#fault").inner_text() == ""  # text that is half typed is no error yet
    typing.page.locator("#text").blur()
    fault = typing.page.locator("#fault").inner_text()
    assert fault.startswith(" " * 11 + "^\nthe expression ends")
    assert typing.page.locator("#text").get_attribute("aria-invalid") == "true"
    assert "w1" in typing.nodes()
    typing.click("other_language")
    assert "\n表达式不完整" in typing.page.locator("#fault").inner_text()
    write(typing, "tanh(w*x))")
    assert typing.page.locator("#fault").inner_text().startswith(" " * 9 + "^\n第 10 列：")
    write(typing, "tanh(w*x)")
    assert typing.page.locator("#fault").inner_text() == ""
    assert set(typing.nodes()) == {"w", "x", "v1", "v2"}


def test_a_variable_keeps_its_number_while_one_types(typing):
    write(typing, "a*b")
    typing.page.locator("[data-name=a] input").fill("7.5")
    write(typing, "a*b + a")
    assert typing.nodes()["a"]["value"] == "7.5"
    assert typing.page.locator("#numbers input").first.input_value() == "7.5"


def drag(page, selector, dx):
    box = page.page.locator(selector).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x + dx / 2, y)
    page.page.mouse.move(x + dx, y)
    page.page.mouse.up()


@pytest.mark.parametrize("selector", ["#numbers [data-name=a] label", ".node[data-name=a] .frame"])
def test_a_number_changes_by_dragging_and_all_downstream_moves(selector, typing):
    write(typing, "a*b")
    typing.page.locator("[data-name=a] input").fill("2")
    typing.page.keyboard.press("Tab")
    typing.click("end")
    drag(typing, selector, 50)
    shown = typing.nodes()
    assert float(shown["a"]["value"]) == pytest.approx(3, abs=0.05)
    assert float(shown["v1"]["value"]) == float(shown["a"]["value"]) * float(shown["b"]["value"])
    assert shown["b"]["grad"] == shown["a"]["value"]
    assert typing.page.locator("#numbers [data-name=a] input").input_value() == shown["a"]["value"]
    drag(typing, selector, -50)
    assert float(typing.nodes()["a"]["value"]) == pytest.approx(2, abs=0.05)


def test_a_link_opens_what_was_typed_with_its_numbers(typing, opened, tmp_path):
    write(typing, "sin(θ*t) + 1")
    typing.page.locator("#numbers input").first.fill("-0.125")
    url = typing.link
    typing.load(url)
    assert typing.page.locator("#text").input_value() == "sin(θ*t) + 1"
    assert typing.nodes()["θ"]["value"] == "-0.125"


HOSTILE = ["text=%", "text=<img src=x onerror=alert(1)>&=a=1", "room=board&layers=99999&rate=-1&seed=x&data=no"]


def test_a_hostile_link_does_no_harm(typing):
    for link in HOSTILE:
        typing.load(link)
        assert typing.page.locator("#text").count() == 1
        assert typing.page.locator("img").count() == 0
        assert typing.page.evaluate("session.board.trainer.network.sizes") == [2, 8, 8, 1]


def test_a_number_alone_has_no_gradient_and_says_so_in_the_chosen_language(typing):
    write(typing, "2*3")
    english = "= 6. There is no variable, so there is no gradient. The graph is still that of the expression before."
    assert typing.page.locator("#fault").inner_text() == english
    typing.page.locator("#step").focus()
    typing.press("l")
    assert typing.page.locator("#fault").inner_text() == "= 6。没有变量，也就没有梯度；下面仍是上一个表达式的图。"
    typing.press("l")
    assert typing.page.locator("#fault").inner_text() == english


def test_the_caret_of_an_error_stands_below_the_outline_of_the_field_and_a_number_alone_is_no_error(typing):
    looks = """() => {
        const [field, fault] = ["text", "fault"].map(id => byId(id).getBoundingClientRect());
        return [fault.top - field.bottom, getComputedStyle(byId("fault")).color];
    }"""
    write(typing, "foo(x")
    typing.press("Enter")
    below, error = typing.page.evaluate(looks)
    assert below >= 5  # an outline of 3 pixels is 2 pixels away
    write(typing, "log(0)")
    below, told = typing.page.evaluate(looks)
    assert below >= 5
    assert told != error


def test_the_examples_are_chosen_from_a_list(typing):
    typing.page.locator("#example").select_option("newton")
    assert typing.page.locator("#text").input_value().startswith("0.5*(")
    typing.click("end")
    y = in_python(typing.page.locator("#text").input_value(), {"a": 2.0})
    assert float(typing.nodes()["a"]["grad"]) == pytest.approx(y["grads"]["a"], rel=1e-12)


def test_the_page_is_given_numbers_with_names_as_numbers_if_json_has_them():
    assert grammar()["constants"] == {name: x if math.isfinite(x) else str(x) for name, x in CONSTANTS.items()}
    assert grammar()["constants"]["pi"] == math.pi


@pytest.mark.parametrize("name", sorted(functions()))
def test_the_page_allows_named_arguments_where_the_command_line_does(name):
    function = functions()[name]
    parameters = [parameter for parameter, *_ in grammar()["functions"][name]["parameters"]]
    texts = ["[1, 1]" if parameter in lists(function) else "1" for parameter in parameters]
    parse(f"{name}({', '.join(texts)})", {})
    for i, parameter in enumerate(parameters):
        call = f"{name}({', '.join([*texts[:i], f'{parameter}={texts[i]}'])}"
        call += "".join(f", {p}={text}" for p, text in list(zip(parameters, texts, strict=True))[i + 1 :]) + ")"
        try:
            parse(call, {})
        except ParseError:
            allowed = False
        else:
            allowed = True
        assert ("named" in grammar()["functions"][name]) == allowed, call


def test_half_typed_text_is_no_error(typing):
    text = "tanh(w*x + b) * 2"
    typing.page.locator("#text").fill("")
    for i, letter in enumerate(text):
        typing.page.locator("#text").press_sequentially(letter)
        assert typing.page.locator("#text").get_attribute("aria-invalid") == "false", text[: i + 1]
    assert typing.page.locator("#result").inner_text().startswith("= ")


def test_a_wrong_name_is_told_the_right_one(typing):
    for typed, meant in [("tahn(x)", "tanh"), ("max(x, 1)", "maximum"), ("ln(x)", "log"), ("Tanh(x)", "tanh")]:
        write(typing, typed)
        assert typing.page.locator("#fault").inner_text().endswith(f"did you mean '{meant}'?"), typed
    for typed in ("log10(x)", "np.log10(x)"):
        write(typing, typed)
        assert typing.page.locator("#fault").inner_text().endswith("write log(a)/log(10)"), typed


def test_a_function_is_inserted_where_the_caret_is(typing):
    write(typing, "x + 1")
    typing.page.locator("#text").evaluate("field => field.setSelectionRange(0, 1)")
    typing.page.locator("#functions").select_option("sigmoid")
    assert typing.page.locator("#text").input_value() == "sigmoid(x) + 1"


def test_the_position_stays_when_a_number_changes_or_the_text_is_edited(typing):
    write(typing, "w*x")
    for key, state in (("End", "complete"), ("Home", "waiting")):
        typing.page.locator("#graph").press(key)
        typing.page.locator("[data-name=w] input").fill("3")
        assert typing.nodes()["w"]["state"] == state
        typing.page.locator("#text").press("End")
        typing.page.locator("#text").press_sequentially(" + x")
        assert typing.nodes()["w"]["state"] == state
        write(typing, "w*x")


def test_at_first_the_forward_pass_is_done_and_the_result_stands_beside_the_expression(opened):
    page = opened(playground("en"), replays=False)
    assert page.page.locator("#result").inner_text() == "= 0.7163"
    assert all(node["value"] for node in page.nodes().values())
    assert not any(node["grad"] for node in page.nodes().values())
    page.click("start")
    assert page.nodes()["v1"]["value"] == ""


def test_the_changes_along_each_way_add_up_and_the_gradient_is_their_slope(typing):
    write(typing, "(a*b + a) * (b - a)")
    a, b = (typing.page.evaluate(f"session.typed.values.get('{name}')") for name in "ab")
    typing.page.evaluate("(() => { byId('change').value = 1; showWays(); })()")
    change = typing.page.evaluate("nudgeBy()")
    first, *rows = typing.cells("ways")
    assert first[0] == f"a +{change:.4g}"
    ways, (_, own, linear), (_, together, _) = rows[:-2], rows[-2], rows[-1]
    assert len(ways) == 3
    assert float(own) == pytest.approx(sum(float(x) for _, x, _ in ways), rel=2e-3)
    assert float(linear) == pytest.approx(sum(float(x) for _, _, x in ways), rel=2e-3)
    gradient = (b + 1) * (b - a) - (a * b + a)
    assert float(linear) == pytest.approx(gradient * change, rel=1e-3)
    y = lambda a: (a * b + a) * (b - a)  # noqa: E731
    assert float(together) == pytest.approx(y(a + change) - y(a), rel=1e-3)


def test_learning_one_step_writes_what_it_does_and_a_dead_relu_learns_nothing(typing):
    write(typing, "(w*x - 3) ** 2")
    w, x = (typing.page.evaluate(f"session.typed.values.get('{name}')") for name in "wx")
    typing.page.locator("#learning_title").click()
    typing.page.locator("#learn").click()
    now = w - 0.1 * 2 * (w * x - 3) * x
    assert typing.page.evaluate("session.typed.values.get('w')") == pytest.approx(now, rel=1e-12)
    assert typing.page.evaluate("session.typed.values.get('x')") == x  # an input
    [line] = typing.page.locator("#learned li").all_inner_texts()
    assert line.startswith(f"w ← {w:.4g} − 0.1 × ")
    assert line.endswith(f"= {now:.4g}")
    typing.page.locator("#example").select_option("dead")
    typing.page.locator("#graph").press("End")
    assert "stops here" in typing.page.locator("#graph").text_content()
    typing.page.locator("#learn").click()
    assert "nothing is learnt" in typing.page.locator("#learned").inner_text()


def test_no_result_is_that_of_the_expression_before(typing):
    opacity = "getComputedStyle(byId('graph')).opacity"
    for text, result in [("1/0", "= inf"), ("2 + 3", "= 5"), ("tahn(x)", ""), ("x +", "")]:
        write(typing, "a*3")
        assert typing.page.locator("#result").inner_text() == "= 6", text
        write(typing, text)
        assert typing.page.locator("#result").inner_text() == result, text
        assert float(typing.page.evaluate(opacity)) < 0.5, text
        write(typing, "a*4")
        assert typing.page.locator("#result").inner_text() == "= 8", text
        assert typing.page.evaluate(opacity) == "1", text


def test_full_width_digits_are_numbers(typing):
    write(typing, "a*3")
    typing.page.locator("#numbers input").fill("１２．５")
    assert typing.nodes()["a"]["value"] == "12.5"


def test_powers_of_ten_are_written_as_such_and_read_back(typing):
    write(typing, "a*1")
    field = typing.page.locator("#numbers input")
    for x, told in (("1e-7", "×10⁻⁷"), ("2e30", "×10³⁰")):
        field.fill(x)
        assert told in typing.page.locator(".node[data-name=a]").text_content()
        assert told in typing.page.locator("#result").inner_text()
        shown = typing.page.evaluate(f"shown({x})")
        field.fill("0")
        field.fill(shown)
        assert float(typing.nodes()["a"]["value"]) == float(x)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_table_of_a_change_stays_in_its_panel(lang, opened):
    page = opened(playground(lang), reduced_motion="reduce").page
    page.locator("#text").fill("weight*x + tanh(weight*1000)*weight + exp(weight)")
    page.evaluate("(() => { byId('change').value = 33; showWays(); })()")
    assert page.locator("#ways tr").count() > 4
    wide = "each => each.scrollWidth > each.clientWidth + 1"
    right = "[byId('ways'), document.querySelector('aside')].map(each => each.getBoundingClientRect().right)"
    for width in (360, 1000, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(f"[...byId('ways').querySelectorAll('th, td')].filter({wide}).length") == 0, width
        inner, outer = page.evaluate(right)
        assert inner <= outer - 8, width
