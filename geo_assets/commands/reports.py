"""Verdicts for people, for JUnit, for GitHub and as JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from geo_assets.commands.checking import Checked
from geo_assets.commands.shared import FAILED, PASSED, UNABLE
from geo_assets.model import Json

SAMPLES_SHOWN = 3
"""Defects that are named one by one; JSON has them all."""

_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKS = {"passed": "passed", "warned": "WARN", "failed": "FAILED", "unable": "UNABLE"}


def exit_code(verdicts: Sequence[Checked], *, warn_as_error: bool) -> int:
    """1 if a check failed, else 2 if one could not be made, else 0."""
    statuses = {verdict.status for verdict in verdicts}
    if "failed" in statuses or (warn_as_error and "warned" in statuses):
        return FAILED
    return UNABLE if "unable" in statuses else PASSED


def lines(verdicts: Sequence[Checked]) -> Iterator[tuple[str, str]]:
    """Pairs of status and line: what passed in one line for each asset, everything else named."""
    for asset in dict.fromkeys(verdict.asset for verdict in verdicts):
        of_asset = [verdict for verdict in verdicts if verdict.asset == asset]
        bad = [verdict for verdict in of_asset if verdict.status != "passed"]
        names = dict.fromkeys(verdict.check for verdict in of_asset)
        good = [name for name in names if all(verdict.check != name for verdict in bad)]
        if good:
            partitions = len({v.partition for v in of_asset if v.check == good[0]})
            where = f" in {partitions} partitions" if partitions > 1 else ""
            yield "passed", f"{_MARKS['passed']:7} {asset:26} {', '.join(good)}{where}"
        for verdict in bad:
            text = f"{verdict.check}: {verdict.description}"
            yield verdict.status, f"{_MARKS[verdict.status]:7} {verdict.label:26} {text}"
            for sample in verdict.samples[:SAMPLES_SHOWN]:
                yield verdict.status, f"{'':34} {sample_text(sample)}"
            if (more := len(verdict.samples) - SAMPLES_SHOWN) > 0:
                yield verdict.status, f"{'':34} {more} more in --json"


def sample_text(sample: Mapping[str, Any]) -> str:
    """`gap D-17+D-18 at 14.01234, 50.12345: 1.9 m wide`."""
    what = [str(sample.get("kind", ""))]
    what += [str(sample["feature"])] if sample.get("feature") else []
    what += [f"pixels {sample['window']}"] if sample.get("window") else []
    text = " ".join(what)
    if sample.get("lon") is not None and sample.get("lat") is not None:
        text += f" at {sample['lon']:.5f}, {sample['lat']:.5f}"
    return f"{text}: {sample['detail']}" if sample.get("detail") else text


def summary(verdicts: Sequence[Checked]) -> str:
    """`17 checks: 13 passed, 4 failed`."""
    counts: Counter[str] = Counter(verdict.status for verdict in verdicts)
    told = {"passed": "passed", "failed": "failed", "warned": "warned",
            "unable": "could not run"}  # fmt: skip
    parts = [f"{counts[status]} {word}" for status, word in told.items() if counts[status]]
    noun = "check" if len(verdicts) == 1 else "checks"
    return f"{len(verdicts)} {noun}: {', '.join(parts)}" if parts else "Nothing to check."


def as_json(verdicts: Sequence[Checked], *, code: int, seconds: float) -> str:
    """One object: `exit_code`, `seconds`, `counts` by status, `checks` with all samples."""
    counts: dict[str, Json] = dict.fromkeys(_MARKS, 0)
    counts |= Counter(verdict.status for verdict in verdicts)
    value: dict[str, Json] = {
        "exit_code": code,
        "seconds": round(seconds, 3),
        "counts": counts,
        "checks": [verdict.as_dict() for verdict in verdicts],
    }
    return json.dumps(value, indent=1, ensure_ascii=False)


def as_junit(verdicts: Sequence[Checked], *, warn_as_error: bool) -> str:
    """JUnit XML: a suite for each asset, a case for each check and partition."""
    root = ET.Element("testsuites", name="geo-assets check")
    for asset in dict.fromkeys(verdict.asset for verdict in verdicts):
        of_asset = [verdict for verdict in verdicts if verdict.asset == asset]
        suite = ET.SubElement(root, "testsuite", name=_xml(asset))
        for verdict in of_asset:
            place = "" if verdict.partition is None else f"[{verdict.partition}]"
            case = ET.SubElement(
                suite, "testcase", classname=_xml(asset), name=_xml(verdict.check + place),
                time=f"{verdict.seconds:.3f}",
            )  # fmt: skip
            _judge(case, verdict, warn_as_error=warn_as_error)
        for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
            suite.set(name, str(sum(1 for _ in suite.iter(tag))))
        suite.set("time", f"{sum(verdict.seconds for verdict in of_asset):.3f}")
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, 0)) for suite in root)))
    ET.indent(root, " ")
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _judge(case: ET.Element, verdict: Checked, *, warn_as_error: bool) -> None:
    details = "\n".join(sample_text(sample) for sample in verdict.samples)
    failed = verdict.status == "failed" or (warn_as_error and verdict.status == "warned")
    if failed or verdict.status == "unable":
        tag = "failure" if failed else "error"
        said = ET.SubElement(case, tag, message=_xml(verdict.description))
        said.text = _xml(details)
    elif verdict.status == "warned":
        said = ET.SubElement(case, "system-out")
        said.text = _xml(f"WARN {verdict.description}\n{details}")


def as_github(verdicts: Sequence[Checked], *, warn_as_error: bool) -> Iterator[str]:
    """Workflow commands that GitHub shows as annotations, errors first."""
    levels = {"failed": "error", "unable": "error", "warned": "warning"}
    if warn_as_error:
        levels["warned"] = "error"
    noted = [verdict for verdict in verdicts if verdict.status in levels]
    for verdict in sorted(noted, key=lambda item: levels[item.status]):
        title = _github(f"{verdict.label} {verdict.check}").replace(":", "%3A").replace(",", "%2C")
        samples = [sample_text(sample) for sample in verdict.samples[:SAMPLES_SHOWN]]
        message = _github("\n".join([verdict.description, *samples]))
        yield f"::{levels[verdict.status]} title={title}::{message}"


def _github(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _xml(text: str) -> str:
    return _NO_XML.sub("?", text)
