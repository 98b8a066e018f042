"""In a run of many partitions each is checked when it is committed, and none a second time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest

from geo_assets.checks import alignment
from geo_assets.checks.body import CheckRule, make_checks
from geo_assets.errors import InputError
from geo_assets.model import Artifact, Defect, Findings
from geo_assets.partitions import RANGE_END, RANGE_START
from geo_assets_tests.automation import small_defs
from geo_assets_tests.automation.small_defs import KEYS, PARTITIONS
from geo_assets_tests.automation.test_many_partitions import Project

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
RULES = [
    CheckRule(name="short", fact="short", description="It is short.", blocking=True),
    CheckRule(name="other", fact="other", description="Another one."),
]
LONG, BROKEN, MISSING = KEYS[2], KEYS[4], KEYS[5]
SUM = ("short", None)


class Eyes:
    """Looks at texts without a worker, and remembers what it has looked at."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.broken: set[str] = set()

    async def look(self, artifact: Artifact, _store, _folder: Path) -> dict[str, Findings]:
        partition = str(artifact.partition)
        self.seen[partition] += 1
        if partition in self.broken:
            raise ZeroDivisionError("bug in a check")
        if partition == MISSING:
            raise InputError("It can be checked", "nothing", partition)
        size = artifact.objects[0].size
        defects = [Defect(kind="long", detail=f"{size} bytes")] if size > 100 else []
        return {"short": Findings.of(defects, checked=1), "other": Findings(checked=1)}


@pytest.fixture
def eyes():
    return Eyes()


@pytest.fixture
def project(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        yield Project(tmp_path, instance)


def run(project: Project, eyes: Eyes, *more, checks: Sequence | None = None, deps=()):
    if checks is None:
        checks = [make_checks(small_defs.texts.key, RULES, eyes.look, PARTITIONS, deps=deps)]
    return dg.materialize(
        [small_defs.texts, *checks, *more],
        instance=project.instance, resources=project.resources(), run_config=QUIET,
        tags={RANGE_START: KEYS[0], RANGE_END: KEYS[-1]}, raise_on_error=False,
    )  # fmt: skip


def evaluations(result) -> list[tuple[str, dg.AssetCheckEvaluation]]:
    """What was recorded of checks, and by which step."""
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    return [
        (event.step_key, event.asset_check_evaluation_data)
        for event in result.all_events
        if event.event_type == kind
    ]


def verdicts(result, name: str) -> dict[str, bool]:
    """What was recorded for each partition."""
    told = [one for _, one in evaluations(result) if one.check_name == name and one.partition]
    assert len({one.partition for one in told}) == len(told), "each once"
    assert all(one.target_materialization_data for one in told)
    return {one.partition: one.passed for one in told}


def test_each_is_looked_at_once_and_the_step_sums_it_up(project, eyes):
    project.write(LONG, "long " * 50)
    result = run(project, eyes)
    assert eyes.seen == Counter(KEYS)
    assert verdicts(result, "short") == {key: key not in (LONG, MISSING) for key in KEYS}
    assert verdicts(result, "other") == {key: key != MISSING for key in KEYS}
    assert {step for step, one in evaluations(result) if one.partition} == {"core__texts"}
    (sums,) = [one for _, one in evaluations(result) if (one.check_name, one.partition) == SUM]
    assert not sums.passed
    assert sums.metadata["geo_assets/partitions"].value == len(KEYS)
    assert sums.metadata["geo_assets/failed"].value == 2
    assert f"{LONG}: 1 defect" in sums.description
    assert f"{MISSING}: Could not check" in sums.description


def test_what_the_sum_says_blocks_what_is_downstream(project, eyes):
    ran = []

    @dg.asset(deps=[small_defs.texts.key])
    def downstream() -> None:
        ran.append(1)

    project.write(LONG, "long " * 50)
    assert not run(project, eyes, downstream).success
    assert not ran
    project.write(LONG, "short")
    fine = Eyes()
    rules = RULES[:1]

    async def look(artifact, store, folder):
        return {"short": Findings(checked=1)}

    checks = [make_checks(small_defs.texts.key, rules, look, PARTITIONS)]
    assert run(project, fine, downstream, checks=checks).success
    assert ran


def test_a_bug_in_a_check_costs_no_partition_and_fails_the_checks_step(project, eyes):
    eyes.broken.add(BROKEN)
    result = run(project, eyes)
    assert not result.success
    assert project.states() == (KEYS, [])
    assert set(verdicts(result, "other")) == set(KEYS) - {BROKEN}
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_key.startswith("check")
    assert eyes.seen[BROKEN] == 2, "once when it was committed, once in the step"
    assert eyes.seen[LONG] == 1


def test_a_check_that_looks_elsewhere_waits_for_its_step(project, eyes):
    @dg.asset
    def other() -> None:
        assert not eyes.seen

    result = run(project, eyes, other, deps=[other.key])
    assert eyes.seen == Counter(KEYS)
    assert set(verdicts(result, "other")) == set(KEYS)
    assert "core__texts" not in {step for step, _ in evaluations(result)}


def test_scenes_are_compared_with_the_first_one_when_all_are_there(project, monkeypatch):
    there = []

    async def aligned(artifact: Artifact, store, _folder: Path) -> Findings:
        keys = [await store.newest(artifact.asset, key) for key in KEYS]
        there.append(sum(key is not None for key in keys))
        return Findings(checked=1)

    monkeypatch.setattr(alignment, "aligned", aligned)
    result = run(project, Eyes(), checks=[alignment.alignment_check(small_defs.TEXTS, PARTITIONS)])
    assert there == [len(KEYS)] * len(KEYS)
    assert verdicts(result, "alignment") == dict.fromkeys(KEYS, True)


def test_a_run_without_the_checks_makes_none(project, eyes):
    result = run(project, eyes, checks=[])
    assert result.success
    assert not eyes.seen


def test_a_run_makes_the_chosen_checks_only(project, eyes):
    checks = make_checks(small_defs.texts.key, RULES, eyes.look, PARTITIONS)
    chosen = dg.AssetSelection.checks(dg.AssetCheckKey(small_defs.texts.key, "other"))
    result = dg.materialize(
        [small_defs.texts, checks],
        selection=dg.AssetSelection.assets(small_defs.texts.key).without_checks() | chosen,
        instance=project.instance, resources=project.resources(), run_config=QUIET,
        tags={RANGE_START: KEYS[0], RANGE_END: KEYS[-1]}, raise_on_error=False,
    )  # fmt: skip
    assert eyes.seen == Counter(KEYS)
    assert set(verdicts(result, "other")) == set(KEYS)
    assert not verdicts(result, "short")


def test_checks_alone_are_made_by_their_step(project, eyes):
    run(project, eyes, checks=[])
    checks = make_checks(small_defs.texts.key, RULES, eyes.look, PARTITIONS)
    result = dg.materialize(
        [small_defs.texts, checks], selection=dg.AssetSelection.checks(checks),
        instance=project.instance, resources=project.resources(), run_config=QUIET,
        tags={RANGE_START: KEYS[0], RANGE_END: KEYS[3]}, raise_on_error=False,
    )  # fmt: skip
    assert eyes.seen == Counter(KEYS[:4])
    assert verdicts(result, "short") == dict.fromkeys(KEYS[:4], True)
