"""What a run tells on a terminal, line by line."""

from __future__ import annotations

import io

from geo_assets.commands.teller import Teller
from geo_assets.runner import News

STEP, SUM = "core/events", "checks of core/events"


def told(*news: News) -> list[str]:
    stream = io.StringIO()
    teller = Teller(stream)
    for one in news:
        teller.tell(one)
    return [line.strip() for line in stream.getvalue().splitlines()]


def verdict(step: str, partition: str | None, *, passed: bool = True) -> News:
    return News(kind="checked", step=step, partition=partition, asset="core/events",
                check="geometry", passed=passed, text="2 defects in 9 checked")  # fmt: skip


def test_the_sum_of_verdicts_that_were_told_is_not_told_again():
    lines = told(
        *(News(kind="made", step=STEP, partition=key, asset=STEP) for key in "ab"),
        verdict(STEP, "a"), verdict(STEP, "b", passed=False),
        News(kind="ended", step=STEP),
        News(kind="began", step=SUM), verdict(SUM, None, passed=False),
        News(kind="ended", step=SUM),
    )  # fmt: skip
    assert lines[0].startswith("core/events                2 partitions made")
    assert lines[1:] == ["core/events                FOUND  geometry[b]: 2 defects in 9 checked"]


def test_a_check_without_partitions_is_told_by_its_step():
    lines = told(
        News(kind="began", step=SUM), verdict(SUM, None), News(kind="ended", step=SUM)
    )  # fmt: skip
    assert lines == ["core/events                passed geometry"]


def test_partitions_that_only_the_step_has_looked_at_are_told():
    lines = told(
        verdict(STEP, "a"), News(kind="ended", step=STEP),
        News(kind="began", step=SUM), verdict(SUM, "b", passed=False),
        verdict(SUM, None, passed=False), News(kind="ended", step=SUM),
    )  # fmt: skip
    assert lines == [
        "core/events                passed geometry",
        "core/events                FOUND  geometry[b]: 2 defects in 9 checked",
    ]
