"""Fixtures that start a real browser and open pages in it."""

import itertools
import os
import shutil
from contextlib import ExitStack, contextmanager

import pytest

from micrograd_cn import playground

from .pages import Opened, new_page


@pytest.fixture(scope="package")
def browser():
    """Give Debian's chromium. Where there is none, skip these tests, or fail with MICROGRAD_CN_BROWSER=required.

    It is started once for all files of this folder, and closed after the last: as long as it runs, so does playwright's
    event loop, which other tests cannot have around them.
    """
    missing = []
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing.append("chromium (Debian: apt-get install chromium)")
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


@pytest.fixture(scope="module")
def blank(browser):
    """Give an empty page, in which a test runs JavaScript."""
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture(scope="module")
def tab(browser):
    """Give a context manager that opens a file. It asserts that no error was seen and no request was made.

    Opening a tab takes longer than most of the tests, so tabs without options are used again, unless a test has stopped
    their clock.
    """
    free = []

    @contextmanager
    def tab(path, **options):
        opened = free.pop() if free and not options else Opened(browser, **options)
        try:
            opened.show(path)
            yield opened
            assert opened.errors == []
            assert opened.requests == [opened.url]
        except BaseException:
            opened.context.close()
            raise
        if options or opened.clock_stopped:
            opened.context.close()
        else:
            free.append(opened)

    yield tab
    for opened in free:
        opened.context.close()


@pytest.fixture
def opened(tab, tmp_path):
    """Give a function that saves a page and opens it in a tab, which is closed when the test ends."""
    paths = (tmp_path / f"flow{i}.html" for i in itertools.count())
    with ExitStack() as tabs:

        def open_page(page, **options):
            page.save(path := next(paths))
            return tabs.enter_context(tab(path, **options))

        yield open_page


@pytest.fixture(scope="module")
def room(browser, tmp_path_factory):
    """Give the playground in a tab, for tests that compute with its functions and do not change it."""
    page = new_page(browser)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(playground("en").save(tmp_path_factory.mktemp("play") / "playground.html").as_uri())
    yield page
    page.close()
    assert errors == []
