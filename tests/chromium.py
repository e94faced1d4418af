"""The browser of the tests."""

import shutil

# The shell is Chromium without windows: the same engine in fewer processes, so tests take three quarters of the time.
PROGRAMS = "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"


def chromium() -> str | None:
    """Return the path of a Chromium, or None if there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)
