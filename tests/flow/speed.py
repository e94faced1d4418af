"""Measure how quick the page is in Chromium: `python -m tests.flow.speed`.

It prints how many frames a second the page draws while it trains the largest language model and the largest network,
and how long a graph of 10,000 nodes takes to open and to step through. A busy machine makes all of it slower.
"""

import json
import tempfile
from pathlib import Path
from time import perf_counter

from playwright.sync_api import sync_playwright

from micrograd_cn import Value, draw_flow, playground

from ..chromium import chromium

SECONDS = 5
MODEL = "room=model&width=32&heads=4&layers=2&block=16&batch=32&steps=10000&speed=full"
NETWORK = "room=board&layers=16-16-16-16-16-16&batch=0&speed=full"
FRAMES = """seconds => new Promise(tell => {
    const times = [];
    const frame = now => {
        times.push(now);
        if (now - times[0] < 1000 * seconds) requestAnimationFrame(frame);
        else tell(times.slice(1).map((time, i) => time - times[i]));
    };
    requestAnimationFrame(frame);
})"""
STEP = """() => {
    const times = [];
    for (let i = 0; i < 20; i++) {
        const began = performance.now();
        document.getElementById("step").click();
        document.body.offsetHeight; // the layout, too
        times.push(performance.now() - began);
    }
    return times.sort((a, b) => a - b)[10];
}"""


def frames(page, address, play):
    """Return facts about the frames while a room trains."""
    page.goto(address)
    page.wait_for_timeout(500)
    resting = page.evaluate(FRAMES, 1)
    page.locator(play).click()
    page.wait_for_timeout(1000)
    times = sorted(page.evaluate(FRAMES, SECONDS))
    late = sum(time > 25 for time in times) / len(times)
    return {
        "frames a second": round(1000 * len(times) / sum(times), 1),
        "at rest": round(1000 * len(resting) / sum(resting), 1),
        "median (ms)": round(times[len(times) // 2], 1),
        "95 % (ms)": round(times[len(times) * 19 // 20], 1),
        "later than 25 ms": f"{late:.1%}",
    }


def main():
    """Print the measurements as JSON, one a line."""
    chain = Value(0.5, "x")
    for _ in range(10_000):
        chain = chain.sin()
    with sync_playwright() as p, tempfile.TemporaryDirectory() as folder:
        browser = p.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        address = playground("en").save(Path(folder) / "playground.html").as_uri()
        print(json.dumps({"largest model": frames(page, f"{address}#{MODEL}", "#m_run")}))
        page.goto("about:blank")
        print(json.dumps({"largest network": frames(page, f"{address}#{NETWORK}", "#run")}))
        large = draw_flow(chain, "en").save(Path(folder) / "large.html").as_uri()
        began = perf_counter()
        page.goto(large)
        opened = perf_counter() - began
        print(
            json.dumps({"10,000 nodes": {"opened (s)": round(opened, 2), "a step (ms)": round(page.evaluate(STEP), 1)}})
        )
        browser.close()


if __name__ == "__main__":
    main()
