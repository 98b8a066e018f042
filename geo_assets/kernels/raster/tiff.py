"""What a TIFF says about itself, read without GDAL: cheap, and safe on any bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from geo_assets.errors import InputError

Numbers = NDArray[np.int64]

_MAX_IFDS = 256
_MAX_BLOCKS = 16_000_000
_TYPES = {1: "u1", 2: "S1", 3: "u2", 4: "u4", 6: "i1", 8: "i2", 9: "i4", 13: "u4", 16: "u8",
          17: "i8", 18: "u8"}  # fmt: skip
_WIDTH, _LENGTH, _BITS, _SAMPLES, _ROWS_PER_STRIP, _PLANAR = 256, 257, 258, 277, 278, 284
_TILE_WIDTH, _TILE_LENGTH, _SUBFILE, _COMPRESSION = 322, 323, 254, 259
_OFFSETS, _COUNTS = (324, 273), (325, 279)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """One image of a TIFF: the picture itself, an overview or a mask."""

    width: int
    height: int
    bands: int
    bits: int
    """Bits of one sample."""
    block: tuple[int, int]
    """Width and height of a tile, or of a strip."""
    planar: bool
    """Bands lie in blocks of their own."""
    blocks: int
    """Number of tiles or strips that the directory lists."""
    place: int
    """Where in the file the directory begins."""
    start: int
    """Where the first byte of the first block lies; 0 if no block was ever written."""
    end: int
    """Where the last byte of the last block lies."""
    overview: bool
    """A smaller version of the image before it."""
    mask: bool
    """Which pixels of an image have data."""
    compression: int
    """TIFF's number of the method: 1 none, 8 deflate."""
    offsets: Numbers = field(repr=False)
    """Where each block lies in the file; 0 for one never written."""
    counts: Numbers = field(repr=False)
    """Bytes of each block."""

    @property
    def block_bytes(self) -> int:
        """Bytes of one decoded block."""
        samples = 1 if self.planar else self.bands
        return self.block[0] * self.block[1] * samples * self.bits // 8

    @property
    def expected_blocks(self) -> int:
        """The number of blocks that the size asks for."""
        across = -(-self.width // max(1, self.block[0]))
        down = -(-self.height // max(1, self.block[1]))
        return across * down * (self.bands if self.planar else 1)


def directories(path: Path) -> list[Directory]:
    """Every directory of the main chain, in file order.

    Raises:
        InputError: The structure is cut short, loops, or is not one of a TIFF.
    """
    try:
        with path.open("rb") as file:
            return list(_Reader(file, path).directories())
    except (struct.error, ValueError, LookupError) as error:
        got = f"unreadable structure ({error})"
        raise InputError("A TIFF's directory is complete", got, path.name,
                         "The file is cut short or damaged: fetch it again.") from None  # fmt: skip


class _Reader:
    def __init__(self, file: BinaryIO, path: Path) -> None:
        head = file.read(16)
        self.file, self.path, self.size = file, path, path.stat().st_size
        self.order = {b"II": "<", b"MM": ">"}[head[:2]]
        (magic,) = struct.unpack(self.order + "H", head[2:4])
        self.big = magic == 43
        self.first = self._unpack("Q", head[8:16]) if self.big else self._unpack("I", head[4:8])

    def _unpack(self, code: str, data: bytes) -> int:
        value: int = struct.unpack(self.order + code, data)[0]
        return value

    def _at(self, offset: int, length: int) -> bytes:
        self.file.seek(offset)
        data = self.file.read(length)
        if len(data) != length:
            msg = f"{length} bytes at {offset}, the file has {self.size}"
            raise ValueError(msg)
        return data

    def directories(self) -> Iterator[Directory]:
        seen: set[int] = set()
        offset = self.first
        while offset:
            if offset in seen or len(seen) >= _MAX_IFDS:
                msg = "directories loop or are too many"
                raise ValueError(msg)
            seen.add(offset)
            place = offset
            tags, offset = self._tags(place)
            yield self._directory(tags, place)

    def _tags(self, offset: int) -> tuple[dict[int, tuple[int, int, bytes]], int]:
        count_size, entry, code = (8, 20, "Q") if self.big else (2, 12, "H")
        size, pointer, value = (8, "Q", 12) if self.big else (4, "I", 8)
        count = self._unpack(code, self._at(offset, count_size))
        if count > 4096:
            msg = f"a directory of {count} entries"
            raise ValueError(msg)
        body = self._at(offset + count_size, count * entry)
        tags: dict[int, tuple[int, int, bytes]] = {}
        for start in range(0, len(body), entry):
            tag, kind = struct.unpack(self.order + "HH", body[start : start + 4])
            number = self._unpack(pointer, body[start + 4 : start + value])
            tags[tag] = (kind, number, body[start + value : start + entry])
        return tags, self._unpack(pointer, self._at(offset + count_size + len(body), size))

    def _values(self, entry: tuple[int, int, bytes]) -> Numbers:
        kind, number, inline = entry
        if number > _MAX_BLOCKS:
            msg = f"a list of {number} values"
            raise ValueError(msg)
        dtype = np.dtype(self.order + _TYPES[kind])
        length = number * dtype.itemsize
        data = inline[:length]
        if length > len(inline):
            data = self._at(self._unpack("Q" if self.big else "I", inline), length)
        values = np.frombuffer(data, dtype=dtype).astype(np.int64)
        if (values < 0).any():
            msg = "a negative place or size"
            raise ValueError(msg)
        return values

    def _directory(self, tags: dict[int, tuple[int, int, bytes]], place: int) -> Directory:
        def one(tag: int, default: int | None = None) -> int:
            if tag not in tags and default is not None:
                return default
            return int(self._values(tags[tag])[0])

        width, height = one(_WIDTH), one(_LENGTH)
        tiled = _TILE_WIDTH in tags
        rows = min(one(_ROWS_PER_STRIP, height), height) if not tiled else one(_TILE_LENGTH)
        offsets = next(
            (self._values(tags[tag]) for tag in _OFFSETS if tag in tags), np.zeros(0, int)
        )
        counts = next((self._values(tags[tag]) for tag in _COUNTS if tag in tags), np.zeros(0, int))
        listed = min(len(offsets), len(counts))
        ends = offsets[:listed] + counts[:listed]
        return Directory(
            width=width,
            height=height,
            bands=one(_SAMPLES, 1),
            bits=one(_BITS, 1),
            block=(one(_TILE_WIDTH), rows) if tiled else (width, rows),
            planar=one(_PLANAR, 1) == 2,
            blocks=len(offsets),
            place=place,
            start=int(offsets[offsets > 0].min()) if (offsets > 0).any() else 0,
            end=int(ends.max()) if listed else 0,
            overview=bool(one(_SUBFILE, 0) & 1),
            mask=bool(one(_SUBFILE, 0) & 4),
            compression=one(_COMPRESSION, 1),
            offsets=offsets[:listed],
            counts=counts[:listed],
        )
