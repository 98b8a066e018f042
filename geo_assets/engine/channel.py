"""Frames on the private socket between the engine and one worker.

A frame is one byte of kind, eight bytes of length (little endian) and a payload. Nothing is
shared between workers, so a worker that dies in the middle of a frame spoils its own socket only.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
import threading
from typing import Any

JOB = b"J"
RESULT = b"R"
ERROR = b"E"
LOG = b"L"
READY = b"Y"

PAYLOAD_LIMIT = 1 << 20
"""Bytes of a job or a result; anything larger travels as a file."""

_HEADER = struct.Struct("<cQ")
_FRAME_LIMIT = PAYLOAD_LIMIT + (64 << 10)


def dump(value: Any) -> bytes:
    """`value` as bytes for `load`."""
    return pickle.dumps(value, protocol=5)


def load(data: bytes) -> Any:
    """What `dump` packed; only ever between a process and the workers it started itself."""
    return pickle.loads(data)  # noqa: S301


def frame(kind: bytes, payload: bytes) -> bytes:
    """The bytes of one frame."""
    return _HEADER.pack(kind, len(payload)) + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The next frame, on the engine's side.

    Raises:
        EOFError: The worker is gone, or what it sends is no frame.
    """
    try:
        kind, size = _HEADER.unpack(await reader.readexactly(_HEADER.size))
        if size > _FRAME_LIMIT:
            msg = f"a worker announced a frame of {size} bytes"
            raise EOFError(msg)
        return kind, await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise EOFError("the worker closed its channel") from error


class Channel:
    """The worker's end: blocking, and safe to send on from several threads."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()

    def send(self, kind: bytes, payload: bytes) -> None:
        """Send one frame whole.

        Raises:
            OSError: The engine is gone.
        """
        with self._lock:
            self._sock.sendall(frame(kind, payload))

    def receive(self) -> tuple[bytes, bytes] | None:
        """The next frame, or None when the engine closed the channel."""
        header = self._exactly(_HEADER.size)
        if header is None:
            return None
        kind, size = _HEADER.unpack(header)
        payload = self._exactly(size)
        return None if payload is None else (kind, payload)

    def _exactly(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            try:
                part = self._sock.recv(min(size - len(parts), 1 << 18))
            except ConnectionError:
                return None
            if not part:
                return None
            parts += part
        return bytes(parts)
