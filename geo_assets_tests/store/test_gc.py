"""Garbage collection deletes what no one can need, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.errors import CommitConflict, ConfigError, InputError
from geo_assets.model import KernelResult, OutputFile
from geo_assets.store.artifact import ArtifactStore
from geo_assets_tests.store.conftest import ASSET, V1, V2, V3, memory, paths

DATA = "raw/scenes/day/data"


async def stage(store, version, file):
    attempt = await store.begin(ASSET, "day", version)
    return attempt, await attempt.stage_chunk("1", KernelResult(files=(file,)))


async def publish(store, version, file):
    attempt, receipt = await stage(store, version, file)
    return await attempt.commit(receipt.objects, properties={}, inputs={}, run_id="run")


async def test_old_versions_and_dead_attempts_go(store, output, tmp_path):
    first = await publish(store, V1, output("a/b", b"1"))
    await stage(store, V3, output("a/b", b"dead"))
    second = await publish(store, V2, output("a/b", b"22"))
    third = await publish(store, V1, output("a/b", b"1"))
    done = await store.collect_garbage(ASSET, "day", keep=2)
    dead = f"{DATA}/{1:012d}-{V3}"
    assert (done.kept, done.fence) == (2, None) and set(done.folders) == {first.data_prefix, dead}
    assert done.objects == 4 and done.bytes > 5
    assert {path.split("/")[4] for path in await paths(store.objects, DATA)} == {
        artifact.data_prefix.split("/")[-1] for artifact in (second, third)
    }
    for kept in (second, third):
        await store.local_file(kept, "a/b", tmp_path / "scratch")
    with pytest.raises(InputError, match="collected as garbage"):
        await store.local_file(await store.at(ASSET, "day", 1), "a/b", tmp_path / "scratch")
    again = await store.collect_garbage(ASSET, "day", keep=2)
    assert (again.folders, again.objects) == ((), 0)


async def test_a_running_attempt_is_left_alone(store, output):
    await publish(store, V1, output("a", b"1"))
    attempt, receipt = await stage(store, V2, output("a", b"2"))
    assert (await store.collect_garbage(ASSET, "day", keep=1)).folders == ()
    assert (
        await attempt.commit(receipt.objects, properties={}, inputs={}, run_id="r")
    ).sequence == 2


async def test_an_abandoned_attempt_is_fenced_off_first(store, output):
    current = await publish(store, V1, output("a", b"1"))
    attempt, receipt = await stage(store, V2, output("a", b"2"))
    done = await store.collect_garbage(ASSET, "day", keep=1, abandon=True)
    assert done.fence == 2 and done.folders == (attempt.data_prefix,)
    with pytest.raises(CommitConflict, match="garbage collection"):
        await attempt.commit(receipt.objects, properties={}, inputs={}, run_id="r")
    fenced = await store.newest(ASSET, "day")
    assert (fenced.sequence, fenced.version, fenced.run_id) == (2, V1, "run")
    assert fenced.data_prefix == current.data_prefix and fenced.objects == current.objects
    assert (await publish(store, V2, output("a", b"2"))).sequence == 3


async def test_no_fence_without_need(store, output):
    await publish(store, V1, output("a", b"1"))
    assert (await store.collect_garbage(ASSET, "day", keep=1, abandon=True)).fence is None
    assert (await store.newest(ASSET, "day")).sequence == 1
    assert (await store.collect_garbage(ASSET, "other", keep=1, abandon=True)).kept == 0


async def test_the_current_version_is_never_garbage(store):
    with pytest.raises(ConfigError, match="keep=0"):
        await store.collect_garbage(ASSET, "day", keep=0)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from([V1, V2, V3])),
        st.tuples(st.just("stage"), st.sampled_from([V1, V2, V3])),
        st.tuples(st.just("collect"), st.integers(1, 3)),
        st.tuples(st.just("abandon"), st.integers(1, 3)),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def kept_files(tmp_path_factory) -> dict[str, OutputFile]:
    folder = tmp_path_factory.mktemp("files")
    for version in (V1, V2, V3):
        (folder / version).write_text(version)
    return {version: OutputFile.of(folder / version, "a", "text/plain") for version in (V1, V2, V3)}


@settings(max_examples=60, deadline=None)
@given(steps=steps)
async def test_retained_versions_are_whole_after_any_history(kept_files, steps):
    store = ArtifactStore(memory())
    history, keep = [], None
    for step, value in steps:
        if step == "publish":
            published = await publish(store, value, kept_files[value])
            if not history or published.data_prefix != history[-1].data_prefix:
                history.append(published)
        elif step == "stage":
            await stage(store, value, kept_files[value])
        else:
            done = await store.collect_garbage(ASSET, "day", keep=value, abandon=step == "abandon")
            keep = value if keep is None else min(keep, value)
            assert done.kept == min(value, len(history))
            left = {f"{DATA}/{name}" for name in await store.objects.folders(DATA)}
            assert left >= {artifact.data_prefix for artifact in history[-keep:]}
            if step == "abandon" and history:
                assert len(left) <= value
    newest = await store.newest(ASSET, "day")
    assert (newest.data_prefix if newest else None) == (
        history[-1].data_prefix if history else None
    )
    for artifact in history[-(keep or len(history)) :] if history else []:
        assert await store.objects.get(f"{artifact.data_prefix}/a") == artifact.version.encode()
