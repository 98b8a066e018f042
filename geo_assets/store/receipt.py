"""What stays of a finished chunk, so that no later attempt does it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from geo_assets.model import StoredObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkReceipt:
    """Proof that a chunk is done: what it wrote, and the facts its kernel reported."""

    id: str
    objects: tuple[StoredObject, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    resumed: bool = False
    """True if an earlier attempt did the work."""

    def to_json(self) -> bytes:
        """The receipt as it is stored."""
        objects = [
            {
                "name": stored.name,
                "size": stored.size,
                "sha256": stored.sha256,
                "media_type": stored.media_type,
                "roles": list(stored.roles),
                "facts": dict(stored.facts),
            }
            for stored in self.objects
        ]
        value = {"id": self.id, "objects": objects, "facts": dict(self.facts)}
        return json.dumps(value, allow_nan=False).encode()

    @classmethod
    def from_json(cls, body: bytes) -> ChunkReceipt | None:
        """The inverse of `to_json`, with `resumed` set; None if the bytes are no receipt.

        Receipts are not flushed to the disk: they save work, and a power cut may empty one.
        """
        try:
            value = json.loads(body)
            objects = tuple(
                StoredObject(**{**item, "roles": tuple(item["roles"])}) for item in value["objects"]
            )
            return cls(id=value["id"], objects=objects, facts=value["facts"], resumed=True)
        except (KeyError, TypeError, ValueError):
            return None
