"""A browser plays the animated SVG of `draw_flow`, unless the user prefers reduced motion."""

import pytest

from micrograd_cn import Value, draw_flow


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_an_animation_moves_only_where_motion_is_welcome(browser, tmp_path, motion):
    a = Value(3, "a")
    file = draw_flow(a + a, "en").save(tmp_path / "pass.svg")
    page = browser.new_page(reduced_motion=motion)
    try:
        page.goto(file.as_uri())
        count = page.evaluate("document.getAnimations().length")
        assert (count > 0) == (motion == "no-preference")
        seconds = [0.5, 3] if count else [0]
        shown = []
        for second in seconds:
            page.evaluate("t => document.getAnimations().forEach(a => { a.pause(); a.currentTime = 1000 * t })", second)
            texts = "[...document.querySelectorAll('text')].filter(t => getComputedStyle(t).visibility === 'visible')"
            shown.append(page.evaluate(f"{texts}.map(t => t.textContent)"))
        assert "a.grad = 2" in shown[0]
        assert all("a = 3" in now for now in shown[1:])
        assert all("a.grad = 2" not in now for now in shown[1:])
    finally:
        page.close()
