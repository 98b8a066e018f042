"""Structured logs on the standard library: one correlation from run to chunk, no secrets.

```python
with log.bind(run=run_id, asset="raw/scenes"):
    logger.info("staged")  # ... run=ab12 asset=raw/scenes
```
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

FIELDS = ("run", "asset", "partition", "chunk", "worker")
"""The correlation fields, from coarse to fine."""

_ROOT = "geo_assets"
_bound: ContextVar[Mapping[str, str]] = ContextVar("geo_assets_log", default={})  # noqa: B039
_secrets: set[str] = set()
_guard = threading.Lock()

_KEYED = re.compile(
    r"(?i)([\w-]*(?:secret|passw(?:or)?d|token|signature|credential|access_?key(?:_?id)?|api_?key)"
    r"[\w-]*[\"']?\s*[=:]\s*[\"']?)(?!\*\*\*)[^\s\"'&,;)}\]]+"
)
_USERINFO = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
_AWS_KEY = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")
_SHORTEST_SECRET = 6


@contextmanager
def bind(**values: str) -> Iterator[None]:
    """Add correlation fields to every record logged inside the block, also in its tasks.

    An async generator that Dagster drives gets a new context for every item, so what it binds
    holds until it yields; tasks started before keep it.
    """
    token = _bound.set({**_bound.get(), **values})
    try:
        yield
    finally:
        # a generator that Dagster drives ends in another context than it began in
        with suppress(ValueError):
            _bound.reset(token)


def bound() -> dict[str, str]:
    """The correlation fields of the place where this is called."""
    return dict(_bound.get())


def hide(secret: str | None) -> None:
    """Never let this value into a log line again (values shorter than 6 characters are ignored)."""
    if secret and len(secret) >= _SHORTEST_SECRET:
        with _guard:
            _secrets.add(secret)


def redact(text: str) -> str:
    """`text` with secrets replaced: known values, `secret=...` pairs, passwords in URLs."""
    for secret in tuple(_secrets):
        text = text.replace(secret, "***")
    text = _KEYED.sub(r"\1***", text)
    text = _USERINFO.sub("***", text)
    return _AWS_KEY.sub("***", text)


class ConsoleFormatter(logging.Formatter):
    """One line for people: time, level, message, then `field=value` pairs."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, redacted."""
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        pairs = " ".join(f"{name}={value}" for name, value in fields_of(record).items())
        text = f"{time} {record.levelname.lower():7} {record.getMessage()}"
        text = f"{text} [{pairs}]" if pairs else text
        return redact(text + _trace(self, record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, logger, message and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, redacted."""
        values = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            **{name: redact(value) for name, value in fields_of(record).items()},
        }
        if trace := _trace(self, record):
            values["trace"] = redact(trace.strip())
        return json.dumps(values, ensure_ascii=False)


def configure(style: str = "console", stream: TextIO | None = None, *, level: str = "info") -> None:
    """Send the package's records to `stream` (stderr), as `console` or `json`; again is harmless.

    Of that level and above, unless somebody set another one before.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.set_name(_ROOT)
    handler.setFormatter(JsonFormatter() if style == "json" else ConsoleFormatter())
    logger = logging.getLogger(_ROOT)
    for old in [each for each in logger.handlers if each.get_name() == _ROOT]:
        logger.removeHandler(old)
    logger.addHandler(handler)
    if logger.level == logging.NOTSET:
        logger.setLevel(level.upper())


def emit(name: str, level: int, text: str, fields: Mapping[str, str]) -> None:
    """Log a record that was made elsewhere (in a worker), with exactly these fields.

    The fields of the calling place are not used: a callback of the loop runs in the context of
    whoever registered it, which may be another chunk's.
    """
    logger = logging.getLogger(name if name.startswith(_ROOT) else f"{_ROOT}.worker.{name}")
    logger.log(level, "%s", text, extra={"correlation": dict(fields)})


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """The correlation of a record, from coarse to fine."""
    """The correlation of a record, from coarse to fine."""
    values = getattr(record, "correlation", None)
    if values is None:
        values = _bound.get()
    known = {name: str(values[name]) for name in FIELDS if name in values}
    return known | {name: str(value) for name, value in values.items() if name not in FIELDS}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = ""
    if record.exc_info:
        text += "\n" + formatter.formatException(record.exc_info)
    if record.stack_info:
        text += "\n" + formatter.formatStack(record.stack_info)
    return text
