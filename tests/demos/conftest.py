"""Fixtures for the tests of the site: the site itself, a browser, and a server that serves the site."""

import fcntl
import functools
import http.server
import json
import os
import runpy
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import chromium

ROOT = Path(__file__).parents[2]
REQUIRED = os.environ.get("MICROGRAD_CN_BROWSER") == "required"


@pytest.fixture(scope="session")
def made() -> Any:
    """Give the names that the script demos/site.py defines."""
    pytest.importorskip("pdoc")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "demos")
        yield runpy.run_path(str(ROOT / "demos/site.py"), run_name="site_of_the_project")


@pytest.fixture(scope="session")
def written(made: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Give the folder of the site, and what is missing here for cells that run. One process writes it for all."""
    base = tmp_path_factory.getbasetemp()
    out = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "site_of_all"
    told = out.with_suffix(".json")
    with out.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            out.mkdir(exist_ok=True)
            told.write_text(json.dumps(made["write"](out)), "utf-8")
    return out, json.loads(told.read_text("utf-8"))


@pytest.fixture(scope="session")
def site(written: tuple[Path, list[str]]) -> Path:
    """Give the folder of the site."""
    return written[0]


@pytest.fixture(scope="module")
def browser() -> Any:
    program = chromium()
    if not program and not REQUIRED:
        pytest.skip("there is no Chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serve files as `python -m http.server` does, without telling it to the terminal."""

    isolated = False

    def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 -- the name in http.server

    def end_headers(self) -> None:
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()


class Isolated(Handler):
    """A server that isolates its pages from others, so they may share memory with their workers."""

    isolated = True


@pytest.fixture(scope="module", params=[Handler], ids=["a plain server"])
def address(request: pytest.FixtureRequest, written: tuple[Path, list[str]]) -> Iterator[str]:
    """Give the address of a server of the site. Skip where cells cannot run, with the reason."""
    folder, missing = written
    if missing:
        pytest.skip(f"cells do not run here: {missing}")
    handler = functools.partial(request.param, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def axe_script(request: pytest.FixtureRequest) -> str:
    """Return axe-core's script, which npm fetches."""
    from tests.flow.test_axe import axe

    return str(axe.__wrapped__(request))
