"""The page passes nothing to operands that an operation did not select, as `backward` does, and says so."""

import math

import pytest

from micrograd_cn import Tape, Value, draw_flow, where
from micrograd_cn.flow.graph import operation_facts
from micrograd_cn.flow.javascript import Rows
from micrograd_cn.losses import hinge_loss
from micrograd_cn.nn import MLP
from micrograd_cn.ops import OPS, Op, Selection, less_equal, mul

from .pages import assert_gradients, labelled
from .test_typing import assert_alike

SINGULAR = ("sqrt({})", "log({})", "1 / ({})", "({}) ** 0.5", "asin({})", "hypot({}, 0)", "exp(1000 * {})")
SELECTING = (
    "f(relu(x))",
    "f(maximum(x, 0))",
    "f(minimum(x, 1))",
    "f(where(less(0, x), x, 0))",
    "where(less(0, x), f(x), 0)",
    "take([f(x), x], less(x, 1.5))",
    "maximum(f(x), 1)",
    "relu(f(x))",
)
POINTS = (-2.0, -1.0, 0.0, 0.5, 1.0, 2.0)


@pytest.mark.browser
@pytest.mark.parametrize("selecting", SELECTING)
def test_the_playground_s_gradients_are_python_s(selecting, room):
    def text(f):
        inner = selecting[selecting.index("f(") + 2 :]
        depth, end = 1, 0
        while depth:
            depth += {"(": 1, ")": -1}.get(inner[end], 0)
            end += 1
        return selecting.replace(f"f({inner[:end]}", f.format(inner[: end - 1]))

    for x in POINTS:
        assert_alike(room, [text(f) for f in SINGULAR], {"x": x})


def hidden(x):
    """Return sqrt(relu(x)) beside an operand that is not selected, and the nodes by their labels."""
    x = Value(x, "x")
    r, s = x.relu(), x.sqrt()
    r.label, s.label = "r", "s"
    q = r.sqrt()
    q.label = "q"
    y = where(0.0, s, q)
    y.label = "y"
    return y, labelled(y)


TOLD = {
    "en": [
        "s.grad stays 0: nothing flows to s, because where did not select it",
        "x.grad stays 0: nothing flows to x, because relu did not select it",
        "x.grad stays 0: nothing flows to x, because no gradient reached s",
    ],
    "zh": [
        "s.grad 仍为 0：where 没有选中 s，没有梯度传给它",
        "x.grad 仍为 0：relu 没有选中 x，没有梯度传给它",
        "x.grad 仍为 0：s 没有收到梯度，也没有梯度传给 x",
    ],
}
CELLS = {"en": "not selected", "zh": "未选中"}
EDGES = {"en": ("stops here", "nothing"), "zh": ("梯度到此为止", "不传梯度")}


@pytest.mark.browser
@pytest.mark.parametrize("lang", TOLD)
def test_a_step_in_which_nothing_flows_says_why_and_shows_no_product(lang, opened):
    y, nodes = hidden(-1.0)
    page = opened(draw_flow(y, lang))
    told = []
    while page.page.locator("#step").is_enabled():
        page.press("ArrowRight")
        told.append(page.narration.split("\n")[0])
    assert sorted(text for text in told if text in TOLD[lang]) == sorted(TOLD[lang])
    y.backward()
    assert_gradients(page.nodes(), nodes)
    cells = {(row[0], row[1]): row[3:] for row in page.cells("edges")[1:]}
    assert cells["x", "r"] == [CELLS[lang], "inf", "0"]
    assert cells["x", "s"] == ["nan", "", "0"]
    assert cells["s", "y"] == [CELLS[lang], "1", "0"]
    for (source, target), said in {("x", "r"): EDGES[lang][0], ("x", "s"): EDGES[lang][1]}.items():
        edge = page.page.locator(f'.edge[data-src="{source}"][data-dst="{target}"]')
        assert "zero" in edge.get_attribute("class").split()  # it is drawn dashed
        assert "inf" not in edge.locator("title").text_content() or CELLS[lang] in edge.locator("title").text_content()
        assert said in page.page.locator("#graph").text_content()


@pytest.mark.browser
def test_a_prediction_is_asked_without_a_product_and_a_drag_selects(opened):
    x = Value(-1, "x")
    page = opened(draw_flow(x.relu().sqrt(), "en"))
    page.press(*["ArrowRight"] * 4)
    page.click("predict")
    page.click("step")
    assert page.narration == "x.grad: 0 + (what v1 sends to x) = ?"  # that relu did not select x is the answer
    page.page.keyboard.type("1\n")
    assert page.nodes()["x"]["grad"] == ""
    page.page.get_by_label("question mark").fill("0")
    page.click("check")
    assert page.nodes()["x"]["grad"] == "0"
    page.page.locator("#value").fill("4")
    page.page.locator("#value").press("Enter")
    assert page.nodes()["x"]["grad"] == "0.25"


@pytest.mark.browser
def test_a_recorded_run_passes_nothing_either(opened):
    tape, x = Tape("en"), Value(-1, "x")
    for number in (-1.0, 4.0, -2.0):
        x.data = number
        y = x.relu().sqrt()
        y.label = "y"
        tape.snapshot(y)
    page = opened(tape)
    page.press("End")
    for step, grad in enumerate(["0", "0.25", "0"]):
        page.page.evaluate(f"session.choose({{ snapshot: {step}, edits: new Map() }})")
        assert page.nodes()["x"]["grad"] == grad
    page.click("again")
    page.press("End")
    assert page.nodes()["x"]["grad"] == "0"


@pytest.mark.browser
def test_a_network_and_its_losses_pass_nothing_to_what_was_not_selected(room):
    given = {"data": "xor", "layers": [3, 2], "activation": "relu", "initialiser": "xavier_uniform", "batch": 0}
    given |= {"seed": 1, "loss": "hinge_loss", "optimizer": "SGD", "rate": 0.0}
    found = room.evaluate(
        """given => {
            const points = [{ inputs: [Infinity, 1], label: 1 }, { inputs: [-Infinity, 1], label: 0 }];
            return points.map(point => {
                const trainer = new Trainer(given, [point]);
                trainer.gradient([0]);
                return [...trainer.network.grad].map(String);
            });
        }""",
        given,
    )
    for inputs, target, grads in (([math.inf, 1.0], 1, found[0]), ([-math.inf, 1.0], -1, found[1])):
        model = MLP(2, [3, 2, 1], "relu", "xavier_uniform", seed=1)
        hinge_loss([model(inputs)], [target]).backward()
        expected = [p.grad for p in model.parameters()]
        got = [float(x.replace("Infinity", "inf")) for x in grads]
        assert [str(x) for x in got] == [str(x + 0.0) for x in expected]
        assert 0.0 in expected
        assert any(not math.isfinite(x) for x in expected)


@pytest.mark.browser
def test_a_program_of_the_model_room_passes_nothing_to_what_was_not_selected(room):
    got = room.evaluate(
        """() => [["relu", x => [x]], ["maximum", x => [x, new Constant(0)]],
            ["where", x => [new Constant(0), x, new Constant(0)]]].map(([name, operands]) => {
            const to = new Recorder([], true), x = to.leaf(null, 1, -1);
            const y = to.apply("sqrt", [to.apply(name, operands(x))]), sweeps = new Sweeps(to);
            sweeps.forward(0, sweeps.runs.length);
            sweeps.begin(y.i, 1, 0);
            sweeps.backward(0, sweeps.runs.length);
            return String(sweeps.grad[x.i]);
        })"""
    )
    assert got == ["0", "0", "0"]


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_the_facts_name_the_slots_that_may_be_left_unselected(op):
    count = op.arity or 3
    expected = {"relu": [0], "where": [1, 2], "maximum": [0, 1], "minimum": [0, 1], "clip": [0, 1, 2]}
    expected["take"] = [1, 2]
    assert operation_facts(op, count, Rows()).get("selects") == expected.get(op.name)


def test_an_operation_may_select_one_operand_and_multiply_another():
    gated = Op(
        "gated",
        lambda x, w: 0.0 if x <= 0.0 else x * w,
        (
            Selection(lambda g, x, w: where(less_equal(x, 0.0), 0.0, mul(g, w)), lambda x, w: None if x <= 0.0 else w),
            lambda y, x, w: where(less_equal(x, 0.0), 0.0, x),
        ),
    )
    assert operation_facts(gated, 2, Rows())["selects"] == [0]
