"""A browser without a screen, or a skip where there is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def chromium():
    """Debian's Chromium under Playwright, with WebGL drawn in software.

    For one test, because Playwright keeps an event loop running as long as it is open, and
    asynchronous tests cannot start theirs meanwhile.
    """
    driver = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on this machine")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, tmp_path: Path):
    """A page of its own."""
    context = chromium.new_context(viewport={"width": 900, "height": 600})
    yield context.new_page()
    context.close()
