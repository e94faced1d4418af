"""The page of a reader's own class shows the steps of the chain rule, and beside them the class's gradients."""

import pytest

from micrograd_cn import Tape, draw_flow

pytestmark = pytest.mark.browser


class Mine:
    def __init__(self, data, _prev=(), _op="", label="", grad=0.0):
        self.data, self._prev, self._op, self.label, self.grad = data, set(_prev), _op, label, grad


def square(grad):
    a = Mine(3.0, label="a", grad=grad)
    return Mine(9.0, {a}, "*", "y", 1.0)


def lines(page, name):
    return page.page.locator(f'.node[data-name="{name}"] text').all_text_contents()


def test_a_box_has_the_gradient_that_their_class_computed(opened):
    page = opened(draw_flow(square(3.0), "en"))
    assert page.nodes()["a"]["theirs"] == "3"
    assert "yours 3" in lines(page, "a")
    page.press("End")
    assert page.nodes()["a"]["grad"] == "6"
    assert "yours 3 ≠ 6" in lines(page, "a")
    assert "yours 1 ✓" in lines(page, "y")
    page.press("l")
    assert "你的 3 ≠ 6" in lines(page, "a")


def test_numbers_that_are_changed_are_no_more_theirs(opened):
    page = opened(draw_flow(square(6.0), "en"))
    page.press("End")
    assert "yours 6 ✓" in lines(page, "a")
    page.page.locator("#value").fill("4")
    page.page.locator("#value").press("Enter")
    assert page.nodes()["a"]["grad"] == "8"
    assert not [line for name in "ay" for line in lines(page, name) if "yours" in line]


def test_below_an_unknown_operation_there_is_no_verdict(opened):
    a = Mine(3.0, label="a", grad=2.0)
    page = opened(draw_flow(Mine(5.0, {a}, "mystery", "y", 1.0), "en"))
    page.press("End")
    assert page.nodes()["a"]["grad"] == "nan"
    assert "yours 2" in lines(page, "a")


def test_a_training_run(opened):
    tape = Tape("en")
    for grad in (6.0, 5.0):
        tape.snapshot(square(grad))
    page = opened(tape)
    page.press("End")
    assert "yours 6 ✓" in lines(page, "a")
