"""Where a Chromium is: CHROMIUM_PATH, PATH, else installed by apt (root on Debian) or Playwright.

`python -m tests.browser.chromium` prints the path, or one sentence on stderr and exit code 1.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def on_path() -> str | None:
    """CHROMIUM_PATH where it is set, else the first known name on PATH."""
    if given := os.environ.get("CHROMIUM_PATH"):
        return given
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def by_playwright() -> str | None:
    """The browser that Playwright downloaded, if it has."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def install() -> None:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update", "-qq"], ["install", "-y", "-qq", "chromium"]):
            subprocess.run(["apt-get", *command], stdout=sys.stderr, check=False)
    else:
        command = [sys.executable, "-m", "playwright", "install", "chromium"]
        subprocess.run(command, stdout=sys.stderr, check=False)


def find() -> str | None:
    found = on_path() or by_playwright()
    if not found:
        install()
        found = on_path() or by_playwright()
    return found


if __name__ == "__main__":
    if not (path := find()):
        sys.exit("No Chromium: install one and put it on PATH, or name it in CHROMIUM_PATH.")
    print(path)
