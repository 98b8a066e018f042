"""Exit codes and formats, without running anything."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from geo_assets.commands.checking import Checked
from geo_assets.commands.reports import as_github, as_junit, exit_code, lines, summary


def verdict(status: Any, **fields: Any) -> Checked:
    values = {"asset": "core/a", "check": "crs", "partition": None, "description": "said"}
    return Checked(status=status, **{**values, **fields})


@pytest.mark.parametrize(
    ("statuses", "code", "strict"),
    [
        ([], 0, 0),
        (["passed"], 0, 0),
        (["passed", "warned"], 0, 1),
        (["passed", "failed"], 1, 1),
        (["passed", "unable"], 2, 2),
        (["unable", "failed"], 1, 1),
        (["unable", "warned"], 2, 1),
    ],
)
def test_exit_codes(statuses: list[Any], code: int, strict: int) -> None:
    verdicts = [verdict(status) for status in statuses]
    assert exit_code(verdicts, warn_as_error=False) == code
    assert exit_code(verdicts, warn_as_error=True) == strict


def test_junit_takes_any_text() -> None:
    odd = verdict("failed", description='a "<&>\x00\x1b[31m\ud800 b', partition="é<1>")
    text = as_junit([odd, verdict("warned"), verdict("unable")], warn_as_error=False)
    root = ET.fromstring(text.encode())
    assert [root.get(name) for name in ("tests", "failures", "errors")] == ["3", "1", "1"]
    assert root.find(".//system-out") is not None
    assert next(root.iter("testcase")).get("name") == "crs[é<1>]"


def test_github_escapes_what_would_end_a_command() -> None:
    sample = {"kind": "gap", "feature": "A+B", "lon": 14.0, "lat": 50.0, "detail": "1 m\nwide"}
    bad = verdict("failed", description="100 %\nof, it: all", samples=(sample,), partition="a,b:c")
    warned = verdict("warned")
    first, second = as_github([warned, bad], warn_as_error=False)
    assert first == (
        "::error title=core/a[a%2Cb%3Ac] crs::100 %25%0Aof, it: all"
        "%0Agap A+B at 14.00000, 50.00000: 1 m%0Awide"
    )
    assert second == "::warning title=core/a crs::said"
    assert next(as_github([warned], warn_as_error=True)).startswith("::error")


def test_people_read_one_line_for_what_passed_and_one_for_each_failure() -> None:
    verdicts = [
        verdict("passed", partition="1"),
        verdict("passed", partition="2"),
        verdict("passed", check="schema", partition="1"),
        verdict("failed", check="schema", partition="2"),
    ]
    passed, failed = [line for _, line in lines(verdicts)]
    assert passed.split() == ["passed", "core/a", "crs", "in", "2", "partitions"]
    assert failed.split() == ["FAILED", "core/a[2]", "schema:", "said"]
    assert summary(verdicts) == "4 checks: 3 passed, 1 failed"
    assert summary([]) == "Nothing to check."
