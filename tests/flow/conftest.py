"""Fixtures that start a real browser and open pages in it."""

import functools
import itertools
import os
from collections import defaultdict
from contextlib import ExitStack, contextmanager

import pytest

from micrograd_cn import playground
from micrograd_cn.flow.playground import Playground

from ..chromium import chromium
from .pages import SEEN, USUAL, Opened, new_page


@pytest.fixture(scope="package")
def browser():
    """Give Chromium. Where there is none, skip these tests, or fail with MICROGRAD_CN_BROWSER=required.

    It is started once for all files of this folder, and closed after the last: as long as it runs, so does playwright's
    event loop, which other tests cannot have around them.
    """
    missing = []
    program = chromium()
    if program is None:
        missing.append("chromium (Debian: apt-get install chromium-headless-shell)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing.append("playwright (pip install playwright)")
    if missing:
        reason = f"the page is not tested: there is no {' and no '.join(missing)}"
        if os.environ.get("MICROGRAD_CN_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def blank(browser):
    """Give an empty page, in which a test runs JavaScript."""
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture(scope="package")
def tab(browser):
    """Give a context manager that opens a file. It asserts that no error was seen and nothing else was requested.

    Opening a tab takes longer than most of the tests, so a tab is used again, unless a test has stopped its clock.
    There is a tab for each set of options that an open tab cannot change.
    """
    free = defaultdict(list)

    @contextmanager
    def tab(path, replays=True, link="", **options):
        look = {name: options.pop(name) for name in USUAL if name in options}
        waiting = free[tuple(sorted(options.items()))]
        opened = waiting.pop() if waiting else Opened(browser, **options)
        try:
            opened.show(path, replays, link, **look)
            yield opened
            assert opened.errors == []
            assert opened.requests == {opened.url}
        except BaseException:
            opened.context.close()
            raise
        if opened.clock_stopped:
            opened.context.close()
        else:
            opened.leave()
            waiting.append(opened)

    yield tab
    for opened in itertools.chain.from_iterable(free.values()):
        opened.context.close()


@functools.cache
def text_of_the_playground(*given):
    """Return the text of a playground, which takes longer to make than many tests do."""
    return playground(*given).html


@pytest.fixture
def opened(tab, tmp_path):
    """Give a function that saves a page and opens it in a tab, which is closed when the test ends."""
    paths = (tmp_path / f"flow{i}.html" for i in itertools.count())
    with ExitStack() as tabs:

        def open_page(page, **options):
            path = next(paths)
            if type(page) is Playground:
                path.write_text(text_of_the_playground(page._chosen), "utf-8")
            else:
                page.save(path)
            return tabs.enter_context(tab(path, **options))

        yield open_page


@pytest.fixture(scope="package")
def room(browser, tmp_path_factory):
    """Give the playground in a tab, for tests that compute with its functions and do not change it.

    A new reader would see a pass that plays again and again. It would take a quarter of a core until the last test.
    """
    page = new_page(browser)
    page.add_init_script(SEEN)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(playground("en").save(tmp_path_factory.mktemp("play") / "playground.html").as_uri())
    yield page
    page.close()
    assert errors == []
