"""A browser without a screen and a running Dagster, or a skip where there is no browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from geo_assets.demo import build_world
from geo_assets.demo.defects import Defects
from geo_assets_tests.browser.interface import Interface
from geo_assets_tests.browser.stack import Stack, running

DATES = ["2026-06-01", "2026-08-15"]

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


@contextmanager
def launched() -> Iterator[Any]:
    """Chromium of the system under Playwright, with WebGL drawn in software.

    Never open for longer than a test, because Playwright keeps an event loop running, and
    asynchronous tests cannot start theirs meanwhile.
    """
    driver = pytest.importorskip(
        "playwright.sync_api", reason="no Playwright here: pip install -e '.[browser]'"
    )
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium here (Debian, Ubuntu: apt install chromium)")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def chromium() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture
def page(chromium):
    """A page of its own."""
    context = chromium.new_context(viewport={"width": 900, "height": 600})
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Dagster over two scenes, 61 districts with four defects and three days of events."""
    with launched():
        pass  # or skip, before anything is started
    folder = tmp_path_factory.mktemp("stack")
    world = build_world(
        folder / "world", size_px=512, dates=DATES, polygons=60, events_per_day=300, days=3,
        defects=Defects(gap=1, overlap=1, bowtie=1, duplicate=1),
    )  # fmt: skip
    module = "geo_assets_tests.browser.definitions"
    with running(folder, Path(world.folder), module, DATES) as started:
        yield started


@pytest.fixture
def interface(chromium, stack: Stack) -> Iterator[Interface]:
    """Dagster's UI; what went wrong in the browser fails the test at its end."""
    context = chromium.new_context(viewport={"width": 1400, "height": 1000})
    opened = Interface(context.new_page(), stack.url)
    yield opened
    context.close()
    assert not opened.troubles
