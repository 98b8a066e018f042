"""The error tree, grouped by what a handler does about it.

```
GeoAssetsError
├── TransientError    try again: the network, the store or the host hiccuped
├── InputError        the data is bad: quarantine it or fix the source
├── ContractError     our own output would be wrong: nothing was published
├── CommitConflict    another run published first: nothing of ours is visible
├── WorkerError       a worker process was lost; only its chunk is affected
│   ├── WorkerCrashed
│   ├── WorkerTimeout
│   └── WorkerMemory
└── ConfigError       the declaration or the settings are wrong: fix them
```

Every error is data: four plain strings that survive pickling between processes.
"""

from __future__ import annotations


class GeoAssetsError(Exception):
    """A rule was broken.

    Args:
        rule: The rule, as a sentence without a full stop.
        got: What was found instead.
        where: The asset, partition, object or file concerned.
        fix: What the reader can do about it.
    """

    kind = "error"

    def __init__(self, rule: str, got: str = "", where: str = "", fix: str = "") -> None:
        super().__init__(rule, got, where, fix)
        self.rule = rule
        self.got = got
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        parts = [self.rule]
        if self.got:
            parts.append(f"got {self.got}")
        if self.where:
            parts.append(f"in {self.where}")
        text = ", ".join(parts)
        return f"{text}. {self.fix}" if self.fix else text

    def located(self, where: str) -> GeoAssetsError:
        """The same error, with `where` in front of the place it already names."""
        place = f"{where}: {self.where}" if self.where else where
        return type(self)(self.rule, self.got, place, self.fix)


class TransientError(GeoAssetsError):
    """A fault that may pass: repeating the same call can succeed."""

    kind = "transient"


class InputError(GeoAssetsError, ValueError):
    """The data delivered cannot be used as it is."""

    kind = "input"


class ContractError(GeoAssetsError):
    """What was about to be published does not hold what the declaration promises."""

    kind = "contract"


class CommitConflict(GeoAssetsError):  # noqa: N818 - named by the event, as storage people say it
    """Another writer committed a different version on the same base."""

    kind = "conflict"


class WorkerError(GeoAssetsError):
    """A worker process was lost while it did a chunk."""

    kind = "worker"


class WorkerCrashed(WorkerError):  # noqa: N818
    """The process ended by itself: a signal, a segmentation fault, `exit()`."""

    kind = "worker_crashed"


class WorkerTimeout(WorkerError):  # noqa: N818
    """The chunk ran past its time limit and the process was killed."""

    kind = "worker_timeout"


class WorkerMemory(WorkerError):  # noqa: N818
    """The process grew past its share of the memory budget and was killed."""

    kind = "worker_memory"


class ConfigError(GeoAssetsError, ValueError):
    """A declaration or a setting is wrong."""

    kind = "config"
