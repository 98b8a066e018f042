"""Following a run's event log, whatever happens to it; the lines that are told."""

from __future__ import annotations

import io
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from geo_assets import runner
from geo_assets.commands.teller import Teller
from geo_assets.partitions import check_step, checked_in
from geo_assets.runner import News


class Log:
    """An event log that fails at times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.looks = 0

    def get_records_for_run(self, run_id: str, cursor: str | None = None) -> Any:
        self.looks += 1
        if self.looks <= self.failures:
            raise OSError("database is locked")
        return SimpleNamespace(records=[], cursor=cursor, has_more=False)


@pytest.mark.parametrize("failures", [0, 3, 1000])
def test_a_log_that_fails_never_harms_the_run_nor_holds_it(
    failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_POLL_S", 0.01)
    log: Any = Log(failures)
    with runner._narrated(log, "run", lambda _news: None):
        pass
    assert not [each for each in threading.enumerate() if each.name == "geo-narrator"]
    assert log.looks >= min(failures + 1, runner._PATIENCE)


def test_a_reader_that_leaves_does_not_harm_the_run() -> None:
    def gone(_news: News) -> None:
        raise BrokenPipeError

    assert not runner._told(gone, News(kind="began", step="a"))


def test_a_step_is_one_line_however_many_partitions_it_has() -> None:
    stream = io.StringIO()
    teller = Teller(stream)
    numbers = {"geo_assets/chunks": 4, "geo_assets/bytes": 1_000_000}
    teller.tell(News(kind="began", step="core/tiles"))
    for number in range(50):
        teller.tell(News(kind="made", step="core/tiles", partition=str(number), numbers=numbers))
    teller.tell(News(kind="ended", step="core/tiles"))
    teller.tell(News(kind="began", step="checks of core/tiles"))
    for number in range(50):
        teller.tell(News(
            kind="checked", step="checks of core/tiles", partition=str(number), asset="core/tiles",
            check="cog", passed=number % 10 != 0, text="bad",
        ))  # fmt: skip
    teller.tell(
        News(
            kind="checked",
            step="checks of core/tiles",
            asset="core/tiles",
            check="cog",
            passed=False,
        )
    )
    teller.tell(News(kind="ended", step="checks of core/tiles"))
    lines = stream.getvalue().splitlines()
    assert lines[0].split()[:-2] == [
        "core/tiles",
        *["50", "partitions", "made,", "200", "chunks,", "50.0", "MB,"],
    ]
    assert all(line.split()[0] == "core/tiles" for line in lines)
    assert [line.split("FOUND")[1].strip() for line in lines[1:]] == [
        "cog[0]: bad", "cog[10]: bad", "cog[20]: bad", "cog in 2 more partitions",
    ]  # fmt: skip


@pytest.mark.parametrize("family", ["", "stored", "references_a__b"])
def test_the_step_of_a_check_says_which_asset_it_is_of(family: str) -> None:
    step = check_step(("core", "scene_tiles"), family)
    assert checked_in(step) == "core/scene_tiles"
    assert checked_in("core__scene_tiles") is None
