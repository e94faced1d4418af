"""A linter finds nothing in the workflows. Each change runs all checks, and a tag publishes the site."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WORKFLOWS = Path(__file__).parents[1] / ".github" / "workflows"
pytestmark = pytest.mark.skipif(not WORKFLOWS.is_dir(), reason="a source distribution has no workflows")


def linted(folder):
    """Return the exit status and the output of zizmor, without network.

    It finds mistakes in the schema, permissions that are too wide, and actions that are not pinned to a commit.
    """
    zizmor = shutil.which("zizmor", path=Path(sys.executable).parent) or shutil.which("zizmor")
    if zizmor is None:
        pytest.skip("the workflows are not checked: pip install zizmor")
    command = [zizmor, "--offline", "--no-progress", "--strict-collection", "--persona=pedantic", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_linter_finds_nothing():
    status, told = linted(WORKFLOWS)
    assert status == 0, told
    assert "No findings to report" in told


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("contents: read", "contents: wrong"), (" # v4.2.2", ""), ("persist-credentials: false", "fetch-depth: 1")],
)
def test_the_linter_finds_faults(right, wrong, tmp_path):
    text = (WORKFLOWS / "test.yml").read_text("utf-8")
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    changed = text.replace("@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2", "@v4") if not wrong else text
    (folder / "test.yml").write_text(changed.replace(right, wrong), "utf-8")
    assert linted(folder)[0] != 0


def test_a_change_runs_all_checks_and_a_tag_publishes_the_site():
    assert "- run: .ci/run\n" in (WORKFLOWS / "test.yml").read_text("utf-8")
    pages = (WORKFLOWS / "pages.yml").read_text("utf-8")
    assert 'on:\n  push:\n    tags: ["v*"]\n' in pages
    assert "- run: python demos/site.py --out site --complete\n" in pages
