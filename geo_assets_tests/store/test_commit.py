"""The real commit code in every order of two writers, and with faults in many."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from functools import partial

import pytest

from geo_assets.errors import CommitConflict, TransientError
from geo_assets.model import Artifact, OutputFile
from geo_assets.store import artifact, commit, derived, draft, gc, remote, stac
from geo_assets.store import probe as probing
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.objects import open_store
from geo_assets.store.retrying import Backoff
from geo_assets_tests.store.conftest import ASSET, V1, V2, V3
from geo_assets_tests.store.fault_proxy import Fault, first
from geo_assets_tests.store.scheduler import Crash, Exhaustive, Random, SteppedStore, run

FAULTS = ("request lost", "reply lost", "crash", "crash after")
ROUNDS = 6
COMMITS = "raw/scenes/day/_commits/"


@pytest.fixture(autouse=True)
def inline(monkeypatch):
    """No threads and no pauses, so that a schedule decides all; derived files are left out."""

    async def call(function, *args):
        return function(*args)

    async def nothing(*_):
        pass

    for module in (commit, derived):
        monkeypatch.setattr(module.asyncio, "to_thread", call)
    for module in (artifact, draft):
        monkeypatch.setattr(module, "in_thread", call)
    monkeypatch.setattr(derived.Derived, "refresh", nothing)
    monkeypatch.setattr(Backoff, "pause", nothing)
    monkeypatch.setattr(probing, "_honest", {SteppedStore.uri})


def whole(stored: dict[str, bytes]) -> None:
    """After every operation: the newest commit's objects are all there."""
    commits = sorted(path for path in stored if path.startswith(COMMITS))
    if commits:
        newest = stac.parse_commit(stored[commits[-1]], commits[-1]).artifact
        for item in newest.objects:
            path = f"{newest.data_prefix}/{item.name}"
            assert len(stored.get(path, b"")) == item.size, f"{commits[-1]} misses {path}"


def writer(store: SteppedStore, name: str, version: str, file: OutputFile):
    async def write() -> Artifact:
        attempt = await ArtifactStore(store).begin(ASSET, "day", version)
        stored = await attempt.stage(file)
        return await attempt.commit([stored], properties={}, inputs={}, run_id=name)

    return write


def collector(store: SteppedStore):
    return lambda: ArtifactStore(store).collect_garbage(ASSET, "day", keep=1, abandon=True)


def consistent(store: SteppedStore, results: dict[str, object]) -> None:
    """What the writers were told is what readers see."""
    commits = {
        path: json.loads(body)["properties"]
        for path, body in store.bytes.items()
        if path.startswith(COMMITS)
    }
    numbers = sorted(int(path.removeprefix(COMMITS).removesuffix(".json")) for path in commits)
    assert numbers == list(range(1, len(numbers) + 1))
    runs = [
        value["geo_assets:run_id"] for value in commits.values() if "geo_assets:fence" not in value
    ]
    assert len(runs) == len(set(runs))
    for name, result in results.items():
        if isinstance(result, CommitConflict):
            assert name not in runs
        elif isinstance(result, Artifact):
            assert result.run_id in runs and commits[f"{COMMITS}{result.sequence:012d}.json"]
        else:
            assert not isinstance(result, AssertionError), result
            assert isinstance(result, Crash | TransientError | gc.Collected), result


@pytest.fixture
def files(output) -> dict[str, OutputFile]:
    return {"first": output("tiles/a.tif", b"first"), "second": output("tiles/a.tif", b"second")}


async def outcomes(files, versions, faults=()):
    """How two writers can end, over every interleaving with at most one fault in each run."""
    schedule, ended = Exhaustive(), []
    while not ended or schedule.next():
        store = SteppedStore(whole)
        results = await run(
            store,
            {
                name: writer(store, name, version, files[version])
                for name, version in versions.items()
            },
            schedule,
            faults,
        )
        consistent(store, results)
        ended.append(tuple(type(result).__name__ for _, result in sorted(results.items())))
    return ended


async def test_every_interleaving_of_two_versions(output):
    files = {V1: output("a.tif", b"first"), V2: output("a.tif", b"second")}
    ended = await outcomes(files, {"first": V1, "second": V2})
    won, lost = "Artifact", "CommitConflict"
    assert set(ended) == {(won, lost), (lost, won), (won, won)} and len(ended) == 70


async def test_every_interleaving_of_two_attempts_at_one_version(output):
    ended = await outcomes({V1: output("a.tif", b"same")}, {"first": V1, "second": V1})
    assert set(ended) == {("Artifact", "Artifact")} and len(ended) >= 70


async def test_every_interleaving_with_every_fault(output):
    files = {V1: output("a.tif", b"first"), V2: output("a.tif", b"second")}
    ended = await outcomes(files, {"first": V1, "second": V2}, FAULTS)
    assert {name for pair in ended for name in pair} == {
        "Artifact",
        "CommitConflict",
        "Crash",
        "TransientError",
    }
    assert len(ended) > 1000


async def chaos(
    files: dict[str, OutputFile],
    seeds: range,
    spoil: Callable[[SteppedStore], None] = lambda _: None,
):
    """Two writers of different versions and a garbage collection, one fault in each run."""
    seen = set()
    for seed in seeds:
        store = SteppedStore(whole)
        spoil(store)
        await run(store, {"zero": writer(store, "zero", V3, files["first"])}, Random(seed))
        results = await run(store, {
            "first": writer(store, "first", V1, files["first"]),
            "second": writer(store, "second", V2, files["second"]),
            "gc": collector(store),
        }, Random(seed), FAULTS)  # fmt: skip
        consistent(store, results)
        seen |= {type(result).__name__ for result in results.values()}
    return seen


async def test_faults_and_garbage_collection_at_any_moment(files):
    assert await chaos(files, range(400)) >= {"Artifact", "CommitConflict", "Crash", "Collected"}


async def trusting(objects, ours):
    """A mutant of `settle`: a reply is taken at its word."""
    place = ours.place
    try:
        if await objects.create(place.commit(ours.artifact.sequence), stac.commit_json(ours)):
            return ours
    except TransientError:
        pass
    raise CommitConflict("phantom")


async def hasty(self, artifact):
    """A mutant of `_check_staged`: the objects are deleted instead."""
    for path in [path for path in self._objects.bytes if path.startswith(self.data_prefix)]:
        del self._objects.bytes[path]


@pytest.mark.parametrize(
    "mutant", ["overwrite", "no read back", "no base", "no retention", "objects gone"]
)
async def test_a_mutant_of_the_code_is_caught(files, monkeypatch, mutant):
    def spoil(store: SteppedStore) -> None:
        store.overwrites = mutant == "overwrite"

    if mutant == "no read back":
        monkeypatch.setattr(commit, "settle", trusting)
    if mutant == "no base":
        monkeypatch.setattr(gc, "base_of", lambda folder: -1)
    if mutant == "no retention":
        monkeypatch.setattr(gc, "_retained", lambda *_: _empty())
    if mutant == "objects gone":
        monkeypatch.setattr(draft.Draft, "_check_staged", hasty)
    with pytest.raises(AssertionError):
        await chaos(files, range(400), spoil)


async def _empty() -> set[str]:
    return set()


@pytest.mark.parametrize("name", ["_commits", "data/"])
async def test_a_lost_reply_over_http(s3_server, proxy, output, name):
    """The commit, or an object, was written but nobody said so: no phantom conflict."""
    bucket = s3_server.bucket()
    through = ArtifactStore(open_store(f"s3://{bucket}", s3=s3_server.access(proxy.endpoint)))
    attempt = await through.begin(ASSET, "day", V1)
    proxy.plan = first(1, Fault(kind="lost_reply"), "PUT", name)
    stored = await attempt.stage(output("a.tif", b"bytes"))
    published = await attempt.commit([stored], properties={}, inputs={}, run_id="mine")
    assert published.run_id == "mine" and await through.newest(ASSET, "day") == published


async def test_an_outcome_that_stays_unknown_says_so(s3_server, proxy, output):
    bucket = s3_server.bucket()
    access = s3_server.access(proxy.endpoint)
    through = ArtifactStore(open_store(f"s3://{bucket}", s3=access))
    attempt = await through.begin(ASSET, "day", V1)
    stored = await attempt.stage(output("a.tif", b"bytes"))
    proxy.plan = lambda method, path: Fault(kind="reset") if "_commits" in path else None
    with pytest.raises(TransientError, match=r"outcome.*known.*Run again: that is safe"):
        await attempt.commit([stored], properties={}, inputs={}, run_id="mine")
    proxy.plan = lambda method, path: None
    again = await through.begin(ASSET, "day", V1)
    stored = await again.stage(output("a.tif", b"bytes"))
    assert (await again.commit([stored], properties={}, inputs={}, run_id="again")).sequence == 1


async def test_racing_writers_over_http(s3_server, output):
    """Twelve at once, each of its own version: one wins, the others learn who."""
    bucket = s3_server.bucket()

    async def write(number: int):
        store = ArtifactStore(open_store(f"s3://{bucket}", s3=s3_server.access()))
        attempt = await store.begin(ASSET, "day", f"{number:032d}")
        stored = await attempt.stage(output("a.tif", bytes([number])))
        ready.append(number)
        if len(ready) == 12:
            start.set()
        await start.wait()
        return await attempt.commit([stored], properties={}, inputs={}, run_id=f"run{number}")

    ready: list[int] = []
    start = asyncio.Event()
    results = await asyncio.gather(*(write(number) for number in range(12)), return_exceptions=True)
    [winner] = [result for result in results if isinstance(result, Artifact)]
    losers = [str(result) for result in results if isinstance(result, CommitConflict)]
    assert len(losers) == 11 and all(winner.run_id in text for text in losers)


async def test_racing_writers_on_a_bad_network(s3_server, proxy, output, monkeypatch):
    """A quarter of all requests is faulty; every outcome is still true."""
    quick = partial(Backoff, attempts=8, first_s=0.01, max_s=0.05)
    monkeypatch.setattr(remote, "Backoff", quick)
    monkeypatch.setattr(commit, "SETTLING", quick())
    monkeypatch.setattr(draft, "SETTLING", quick())
    dice = random.Random(ROUNDS)
    kinds = [
        Fault(kind="status"), Fault(kind="reset"),
        Fault(kind="lost_reply"), Fault(kind="lost_reply"),
        Fault(kind="status", status=409, code="ConditionalRequestConflict"),
        Fault(kind="status", status=400, code="RequestTimeout"),
        Fault(kind="cut_reply", after=20), Fault(kind="late_reply", seconds=0.02),
    ]  # fmt: skip
    proxy.plan = lambda method, path: dice.choice(kinds) if dice.random() < 0.25 else None
    bucket, files = s3_server.bucket(), [output("a.tif", bytes([n])) for n in range(3)]

    async def write(name: str, number: int) -> Artifact:
        store = ArtifactStore(open_store(f"s3://{bucket}", s3=s3_server.access(proxy.endpoint)))
        attempt = await store.begin(ASSET, "day", f"{name}x{number}")
        stored = await attempt.stage(files[number])
        return await attempt.commit([stored], properties={}, inputs={}, run_id=f"{name}x{number}")

    told: dict[str, object] = {}
    for turn in range(ROUNDS):
        names = [f"round{turn}x{number}" for number in range(3)]
        ended = await asyncio.gather(
            *(write(f"round{turn}", number) for number in range(3)), return_exceptions=True
        )
        told |= dict(zip(names, ended, strict=True))
    direct = ArtifactStore(open_store(f"s3://{bucket}", s3=s3_server.access()))
    newest = await direct.newest(ASSET, "day")
    assert newest
    runs = [(await direct.at(ASSET, "day", number + 1)).run_id for number in range(newest.sequence)]
    assert len(set(runs)) == len(runs) >= ROUNDS
    for name, outcome in told.items():
        assert isinstance(outcome, Artifact | CommitConflict), outcome
        assert (name in runs) == isinstance(outcome, Artifact)
