"""Empty folders that are used again: nobody finds what another one has left."""

from __future__ import annotations

import asyncio

import pytest

from geo_assets.engine.folders import EmptyFolders


async def test_a_folder_is_used_again_when_it_is_empty(tmp_path):
    folders = EmptyFolders(tmp_path / "work")
    async with folders.lent() as first:
        (first / "tile.tif").touch()
        (first / "deep" / "er").mkdir(parents=True)
        (first / "deep" / "er" / "part").touch()
        (first / "link").symlink_to(tmp_path)
    async with folders.lent() as again, folders.lent() as other:
        assert again == first
        assert not list(again.iterdir())
        assert other != first
    assert tmp_path.exists(), "of a link only the link is deleted"


async def test_folders_that_are_given_back_at_once_come_back_empty(tmp_path):
    folders = EmptyFolders(tmp_path)
    made = set()

    async def use(number: int) -> None:
        async with folders.lent() as folder:
            assert not list(folder.iterdir())
            made.add(folder)
            (folder / f"{number}").touch()
            await asyncio.sleep(0)

    for start in range(0, 60, 6):
        await asyncio.gather(*(use(number) for number in range(start, start + 6)))
    await folders.settle()
    assert len(made) <= 6
    assert not [path for folder in made for path in folder.iterdir()]


async def test_who_asks_first_gets_a_folder_first(tmp_path):
    folders = EmptyFolders(tmp_path)
    order = []

    async def use(number: int) -> None:
        async with folders.lent():
            order.append(number)

    await asyncio.gather(*(use(number) for number in range(30)))
    assert order == list(range(30))


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
async def test_after_an_error_a_folder_is_gone_for_good(tmp_path, error):
    folders = EmptyFolders(tmp_path)
    with pytest.raises(error):
        async with folders.lent() as spoiled:
            (spoiled / "file").touch()
            raise error
    assert not spoiled.exists()
    async with folders.lent() as folder:
        assert folder != spoiled


async def test_a_folder_that_cannot_be_emptied_is_told_and_not_used_again(tmp_path, caplog):
    folders = EmptyFolders(tmp_path)
    async with folders.lent() as taken:
        taken.rename(tmp_path / "elsewhere")
    async with folders.lent() as folder:
        assert folder != taken
    assert "is not used again" in caplog.text
