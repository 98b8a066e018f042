"""Partitions are made once, resumed chunk by chunk, and never half published."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from geo_assets.engine.engine import Engine
from geo_assets.errors import CommitConflict, InputError
from geo_assets.model import Chunk, KernelResult, OutputFile
from geo_assets.production import Current, OnceByKey, Publication, Staged, produce
from geo_assets.settings import Settings
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.objects import open_store

V1, V2 = "1" * 32, "2" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    name: str
    bad: bool = False


def write_name(spec: Spec, workdir: Path) -> KernelResult:
    """The kernel: a file that holds its own name."""
    if spec.bad:
        raise InputError("A name is good", repr(spec.name), "the kernel")
    path = workdir / f"{spec.name}.txt"
    path.write_text(spec.name)
    return KernelResult(files=(OutputFile.of(path, path.name, "text/plain"),), facts={"n": 1})


@dataclass(slots=True, kw_only=True)
class Names:
    """A recipe of as many chunks as there are names."""

    names: Sequence[str]
    bad: frozenset[str] = frozenset()
    version: str = V1
    asset: tuple[str, ...] = ("core", "names")
    partition: str | None = "p"
    inputs: Mapping[str, str] = field(default_factory=lambda: {"raw/names[p]": "v"})
    fetched: list[str] = field(default_factory=list)

    async def chunks(self, bench) -> list[Chunk]:
        return [
            Chunk(id=name, kernel=write_name, spec=Spec(name=name, bad=name in self.bad),
                  predicted_bytes=1 << 20)
            for name in self.names
        ]  # fmt: skip

    async def fetch(self, chunk: Chunk, folder: Path) -> Chunk:
        self.fetched.append(chunk.id)
        return chunk

    async def finish(self, draft, receipts, bench) -> Publication:
        objects = tuple(stored for receipt in receipts for stored in receipt.objects)
        return Publication(objects=objects, properties={"rows": len(objects)})


@pytest.fixture
async def engine(tmp_path) -> AsyncIterator[Engine]:
    settings = Settings(workers=2, memory_bytes=1 << 30, scratch=tmp_path / "scratch")
    async with Engine.open(settings, preload=()) as made:
        yield made


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    return ArtifactStore(open_store(str(tmp_path / "root")))


@pytest.fixture
def make(engine, store, tmp_path):
    async def produced(recipe: Names, **options):
        return await produce(
            recipe, folder=tmp_path, store=store, engine=engine, run_id="run", **options
        )

    return produced


async def test_the_objects_are_in_the_order_of_the_chunks_and_invisible_until_committed(
    make, store
):
    staged = await make(Names(names="cab"))
    assert isinstance(staged, Staged)
    assert (staged.chunks, staged.resumed) == (3, 0)
    assert await store.newest(("core", "names"), "p") is None
    artifact = await staged.commit()
    assert [stored.name for stored in artifact.objects] == ["c.txt", "a.txt", "b.txt"]
    assert (await store.newest(("core", "names"), "p")) == artifact


async def test_a_current_partition_is_not_made_again(make):
    await (await make(Names(names="ab"))).commit()
    again = Names(names="ab")
    current = await make(again)
    assert isinstance(current, Current)
    assert current.inputs == again.inputs
    assert again.fetched == []


async def test_a_failed_chunk_stops_no_other_and_only_it_is_done_again(make, store):
    told: list[tuple[int, int]] = []
    with pytest.raises(InputError) as caught:
        await make(Names(names="abcd", bad=frozenset("bc")), progress=lambda *n: told.append(n))
    assert "chunk b (2 of 4 chunks given up): the kernel" in str(caught.value)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert await store.newest(("core", "names"), "p") is None

    again = Names(names="abcd")
    staged = await make(again, progress=lambda *n: told.append(n))
    assert sorted(again.fetched) == ["b", "c"]
    assert (staged.chunks, staged.resumed) == (4, 2)
    assert told[4:] == [(3, 4), (4, 4)]
    assert [item.name for item in staged.publication.objects] == [f"{n}.txt" for n in "abcd"]


async def test_a_commit_in_between_is_a_conflict_that_names_the_winner(make, store, tmp_path):
    staged = await make(Names(names="ab"))
    rival = await store.begin(("core", "names"), "p", V2)
    await rival.commit([], properties={}, inputs={}, run_id="the-other-run")
    with pytest.raises(CommitConflict, match="the-other-run"):
        await staged.commit()
    assert (await store.newest(("core", "names"), "p")).version == V2


async def test_two_runs_that_did_the_same_work_both_succeed(make):
    one, two = await make(Names(names="ab")), await make(Names(names="ab"))
    assert two.resumed == 2
    assert (await one.commit()).sequence == (await two.commit()).sequence == 1


async def test_a_job_asked_for_by_many_is_done_once():
    once, calls = OnceByKey(), []

    async def job():
        calls.append(1)
        await asyncio.sleep(0.01)
        return object()

    results = await asyncio.gather(*(once.get("k", job) for _ in range(10)))
    assert len(calls) == 1
    assert len(set(results)) == 1
    assert await once.get("k", job) is results[0]


async def test_a_failed_job_fails_all_who_wait_and_is_done_again():
    once, calls = OnceByKey(), []

    async def job():
        calls.append(1)
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise InputError("no")
        return "yes"

    failed = await asyncio.gather(*(once.get("k", job) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in failed] == [InputError] * 3
    assert await once.get("k", job) == "yes"


async def test_a_job_outlives_one_cancelled_task_but_not_the_last():
    once, ended = OnceByKey(), []

    async def job():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            ended.append(1)

    one, two = (asyncio.ensure_future(once.get("k", job)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.wait([one])
    assert ended == []
    two.cancel()
    await asyncio.wait([two])
    assert ended == [1], "the job has ended before the task that cancelled it"
    assert one.cancelled()
    assert two.cancelled()
