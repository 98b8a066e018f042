"""Error texts of clients, made short and free of secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MAX = 300
_SHORTEST = 4
_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>)]*")
_USER = re.compile(r"(\w+://)[^/\s@\"']+@")
_CODE = re.compile(r"<Code>([^<]+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_STATUS = re.compile(r"status code: (\d{3})")


def summary(text: str, secrets: Iterable[str | None] = ()) -> str:
    """The gist of a client's error text.

    The query strings of URLs (they carry presigned credentials), user names in URLs and
    every text of `secrets` are left out, as is all of an S3 error document but its code and
    message.
    """
    head = text.split("\n\nDebug source", 1)[0]
    if code := _CODE.search(text):
        message = _MESSAGE.search(text)
        head = head.split("<?xml", 1)[0].split("<Error", 1)[0]
        head = f"{head.rstrip(': ')}: {code[1]}{f' ({message[1]})' if message else ''}"
    # Secrets first: a cut or a rewritten URL could leave a part of one that no longer matches.
    for secret in secrets:
        if secret and len(secret) >= _SHORTEST:
            head = head.replace(secret, "***")
    head = _USER.sub(r"\1", _QUERY.sub(r"\1?...", " ".join(head.split())))
    return head if len(head) <= _MAX else f"{head[: _MAX - 3]}..."


def status_of(text: str) -> int | None:
    """The HTTP status that an error text reports."""
    match = _STATUS.search(text)
    return int(match[1]) if match else None


def code_of(text: str) -> str:
    """The S3 error code that an error text reports, or ""."""
    match = _CODE.search(text)
    return match[1] if match else ""
