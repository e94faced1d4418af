"""A training run is stored to the bit, in little room, and has a slider on the curve of its loss."""

import base64
import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrograd_cn import Tape, Value, draw_flow
from micrograd_cn.flow.columns import packed
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD

from .pages import DRAWN

SOME = st.sampled_from([0.0, -0.0, 1.0, 2.0, float("nan"), float("inf"), float("-inf")])
NUMBERS = st.one_of(SOME, SOME, st.floats())


def unpacked(tape, row):
    """Return the numbers of a snapshot, as the page finds them."""
    doubles = [x for (x,) in struct.iter_unpack("<d", base64.b64decode(tape["varying"]))]
    fixed, count = list(map(float, tape["fixed"])), max(tape["columns"], default=-1) + 1 - len(tape["fixed"])
    numbers = fixed + doubles[row * count : (row + 1) * count]
    return [numbers[k] for k in tape["columns"]]


def bits(xs):
    return [struct.pack("<d", x) if x == x else "nan" for x in xs]


@given(st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(NUMBERS, min_size=n, max_size=n), min_size=1, max_size=5)))
def test_every_number_comes_back_to_the_bit(rows):
    tape = packed([array("d", row) for row in rows])
    for i, row in enumerate(rows):
        assert bits(unpacked(tape, i)) == bits(row)


def test_numbers_that_are_always_equal_are_there_once():
    rows = [[x, 7.0, x, 2 * x, 7.0] for x in (1.0, 2.0, 3.0)]
    tape = packed([array("d", row) for row in rows])
    assert tape["fixed"] == [7.0]
    assert len(base64.b64decode(tape["varying"])) == 8 * 3 * 2


def trained(steps, sizes=(4, 4, 1)):
    model, tape = MLP(2, list(sizes), seed=0), Tape("en")
    optimizer = SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(steps):
        loss = (model([Value(0.5, "x1"), Value(-1.0, "x2")]) - 1) ** 2
        loss.label = "loss"
        tape.snapshot(loss)
        losses.append(loss.data)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return tape, losses


def test_a_thousand_snapshots_of_a_thousand_numbers_are_less_than_five_megabytes():
    few, many = (len(trained(steps, (16, 16, 1))[0].html) for steps in (2, 22))
    assert many + (many - few) / 20 * 978 < 5_000_000


@pytest.mark.browser
def test_the_slider_lies_on_the_curve_and_its_ends_are_the_curve_s(opened):
    tape, losses = trained(11)
    page = opened(draw_flow(tape), reduced_motion="reduce").page
    page.locator("#tape").scroll_into_view_if_needed()
    box = page.locator("#curve").bounding_box()
    drawn = page.evaluate(f"({DRAWN})(byId('curve'), () => session.choose({{}}))")
    points = max(drawn["lines"], key=len)
    assert len(points) == 11
    for i in (10, 0, 5, 3, 8):
        x = box["x"] + points[i][0]
        page.mouse.click(x, box["y"] + box["height"] / 2)
        assert page.locator("#tape").input_value() == str(i)
        assert float(page.evaluate("session.numbers.data[session.graph.root]")) == losses[i]


@pytest.mark.browser
def test_a_number_that_grows_during_a_run_does_not_touch_its_word(opened):
    tape, _ = trained(25)
    page = opened(draw_flow(tape), reduced_motion="reduce").page
    gaps = """[...document.querySelectorAll(".node")].map(node => {
        const word = node.querySelector(".word"), number = node.querySelector(".number");
        return number?.textContent && word
            ? (number.getBoundingClientRect().left - word.getBoundingClientRect().right) / viewport.zoom : Infinity;
    })"""
    for snapshot in (0, 12, 24):
        page.evaluate(f"session.choose({{ snapshot: {snapshot}, done: session.moves.length }})")
        assert min(page.evaluate(gaps)) > 3


def test_the_curve_does_not_tell_the_number_that_is_predicted(opened):
    tape, x = Tape("en"), Value(3, "x")
    for _ in range(2):
        y = x * x
        y.label = "y"
        tape.snapshot(y)
        x.data += 1
    page = opened(tape)  # at the first step
    page.click("predict")
    drawn = f"({DRAWN})(byId('curve'), () => session.tell({{ changes: {{}} }}))"
    told = page.page.locator("#tape_text")
    assert told.inner_text() == "step 1 of 2, y = ?"
    assert not {"y 9", "y 16"} & {*page.page.evaluate(drawn)["texts"]}
    assert page.page.evaluate(drawn)["dots"] == []
    page.press("ArrowRight")
    page.page.locator("#answer").fill("9")
    page.press("Enter")
    assert told.inner_text() == "step 1 of 2, y = 9"
    assert "y 9" in page.page.evaluate(drawn)["texts"]
