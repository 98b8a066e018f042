"""An HTTP/1.1 proxy that does to a request what networks do, as a test plans it.

`plan(method, path)` is asked for each request and names a `Fault` or None. Bytes pass
unchanged, so request signatures stay valid.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

Kind = Literal[
    "status",  # answer with `status`, forward nothing
    "reset",  # cut the connection, forward nothing
    "lost_reply",  # forward, let the server do it, cut the connection before the reply
    "cut_reply",  # cut the connection after `after` bytes of the reply's body
    "flip_bit",  # change one bit in the reply's body
    "silence",  # never answer
    "late_reply",  # answer after `seconds`
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    kind: Kind
    status: int = 503
    code: str = "SlowDown"
    after: int = 1000
    seconds: float = 0.0


Plan = Callable[[str, str], Fault | None]


def first(number: int, fault: Fault, method: str, part: str = "") -> Plan:
    """The fault for the first `number` requests with a method and a part of the path."""
    left = [number]

    def plan(verb: str, path: str) -> Fault | None:
        if verb == method and part in path and left[0] > 0:
            left[0] -= 1
            return fault
        return None

    return plan


class FaultProxy:
    """Forwards to a port of this host.

    Set `plan` at any time, read `requests` afterwards, wait for `asked`: the first request.
    """

    def __init__(self, upstream: int) -> None:
        self.plan: Plan = lambda method, path: None
        self.requests: list[tuple[str, str]] = []
        self.asked = asyncio.Event()
        self._upstream = upstream

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self._tasks: set[asyncio.Task[None]] = set()
        port = self._server.sockets[0].getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(3):  # transports close in the turns of the loop after they were told to
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        upstream: asyncio.StreamWriter | None = None
        try:
            source, upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
            while await self._request(reader, writer, source, upstream):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            for side in (writer, upstream):
                if side is not None:
                    side.transport.abort()

    async def _request(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        source: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
    ) -> bool:
        """Pass one request and its reply on; tell whether the connection lives."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        fault = self.plan(method, path)
        self.requests.append((method, path))
        self.asked.set()
        body = await _body(reader, head)
        if fault and fault.kind == "reset":
            return _cut(writer)
        if fault and fault.kind == "silence":
            await asyncio.sleep(3600)
        if fault and fault.kind == "status":
            writer.write(_error(fault, method))
            await writer.drain()
            return True
        upstream.write(head + body)
        await upstream.drain()
        reply = await source.readuntil(b"\r\n\r\n")
        empty = method == "HEAD" or reply.split(b" ", 2)[1] in (b"204", b"304")
        content = b"" if empty else await _body(source, reply)
        if fault and fault.kind == "lost_reply":
            return _cut(writer)
        if fault and fault.kind == "late_reply":
            await asyncio.sleep(fault.seconds)
        if fault and fault.kind == "flip_bit" and content:
            content = content[:-1] + bytes([content[-1] ^ 1])
        cut = fault is not None and fault.kind == "cut_reply"
        writer.write(reply + (content[: fault.after] if fault and cut else content))
        await writer.drain()
        return not cut or _cut(writer)


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if match := re.search(rb"(?i)\r\ncontent-length: *(\d+)", head):
        return await reader.readexactly(int(match[1]))
    if not re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
        return b""
    whole = b""
    while True:
        line = await reader.readline()
        size = int(line.split(b";")[0], 16)
        whole += line + await reader.readexactly(size + 2)
        if size == 0:
            return whole


def _error(fault: Fault, method: str) -> bytes:
    text = (
        f"<?xml version='1.0'?><Error><Code>{fault.code}</Code><Message>planned</Message></Error>"
    )
    head = f"HTTP/1.1 {fault.status} Planned\r\nContent-Type: application/xml\r\n"
    return f"{head}Content-Length: {len(text)}\r\n\r\n{'' if method == 'HEAD' else text}".encode()


def _cut(writer: asyncio.StreamWriter) -> bool:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False
