"""Dagster's UI as a user finds his way in it: by what buttons and tabs say."""

from __future__ import annotations

import re
from typing import Any

SLOW_MS = 60_000
"""A busy machine takes its time."""

_WIDTHS = "images => images.map(image => [image.alt, image.naturalWidth])"


class Interface:
    """One page of the UI."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.url = url
        self.troubles: list[str] = []
        """Errors of scripts and of the console, and requests to other machines."""
        page.set_default_timeout(SLOW_MS)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", self._heard)
        page.on("request", self._asked)

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.troubles.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.url, self.url.replace("http", "ws"), "data:", "blob:")):
            self.troubles.append(f"asked for {request.url}")

    def open(self, path: str) -> None:
        """Go to a page of the UI."""
        self.page.goto(self.url + path)

    def open_asset(self, key: str, view: str) -> None:
        """Go to one tab of an asset: overview, partitions, events or checks."""
        self.open(f"/assets/{key}?view={view}")

    def open_job(self, name: str) -> None:
        """Go to a job."""
        self.open(f"/locations/geo_assets/jobs/{name}")

    def materialize(self) -> Any:
        """Press the button of this page; the dialog that asks for partitions."""
        self.page.get_by_role("button", name="Materialize").first.click()
        return self.page.get_by_role("dialog")

    def launched(self, what: str) -> str:
        """The id in the message that something was launched: a `backfill` or a `run`."""
        message = self.page.get_by_text(re.compile(rf"(Created|Launched) {what}")).first
        message.wait_for()
        return str(message.inner_text().split()[-1])

    def states(self) -> dict[str, int]:
        """How many partitions are in each state, on the tab `partitions` of an asset."""
        pattern = re.compile(r"^(Failed|Materialized|Missing) \((\d+)\)$")
        labels = self.page.get_by_text(pattern)
        labels.nth(2).wait_for()
        found = (pattern.match(text.strip()) for text in labels.all_inner_texts())
        return {match[1]: int(match[2]) for match in found if match}

    def wait_for_check(self, name: str, verdict: str) -> None:
        """Wait until the tab `checks` of an asset lists a check with a verdict."""
        self.page.wait_for_function(
            "line => document.body.innerText.includes(line)", arg=f"\n{name}\n{verdict}\n"
        )

    def pictures(self, partition: str | None, *, inline: int) -> list[tuple[str, int]]:
        """Alternative text and width of each picture of an event, on the tab `events`.

        Args:
            partition: Whose newest event; None is the newest of all.
            inline: How many stand in the table; they are drawn last. The others open from a link.
        """
        if partition:
            self.page.get_by_text(partition, exact=True).first.click()
            self.page.get_by_text(f"Partition {partition} materialized").first.wait_for()
        found = self._drawn(self.page.locator("table"), inline)
        for link in self.page.get_by_text("[Show Markdown]", exact=True).all():
            link.click()
            dialog = self.page.get_by_role("dialog")
            found += self._drawn(dialog, 1)
            dialog.get_by_role("button", name="Close").click()
            dialog.wait_for(state="hidden")
        return found

    def _drawn(self, place: Any, number: int) -> list[tuple[str, int]]:
        images = place.locator("img[src^='data:image']")
        images.nth(number - 1).wait_for()
        self.page.wait_for_function("[...document.images].every(image => image.complete)")
        return [(text, width) for text, width in images.evaluate_all(_WIDTHS)]
