"""The footer of a Parquet file, so that a part of the file that is read alone can be believed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_END = 8
"""Bytes of the length and the magic that end a Parquet file."""


def footer_facts(path: Path) -> Mapping[str, Any]:
    """`footer_bytes` and `footer_sha256` of a Parquet file whose pages have checksums.

    Published with an object, they say that parts of it can be read and verified: its last
    `footer_bytes` bytes by the hash, and every page by the checksum that its writer put before it.
    """
    with path.open("rb") as file:
        size = file.seek(-_END, 2) + _END
        length = int.from_bytes(file.read(4), "little") + _END
        file.seek(size - length)
        footer = file.read()
    return {"footer_bytes": length, "footer_sha256": hashlib.sha256(footer).hexdigest()}
