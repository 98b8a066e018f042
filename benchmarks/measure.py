"""Measuring peers fairly on a shared machine: each run a process tree of its own, in turns.

CPU is user and system time of every process of the tree; memory is the highest sum of their
proportional set sizes, sampled twice a second. Wall time is noisy where others work too, so
ratios are taken within a round, and their median is what counts. `capacity` says how many
processors two busy processes really get: a virtual machine's two may be worth little more than
one, and then no division of work can show in the wall time.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
_QUIET = 1.7
_SUBREAPER = 36  # prctl: orphans of a tree come to us, so that nothing is left uncounted


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one run took."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    processors: float
    """What two busy processes got just before or just after the run, the less of the two."""
    answer: str
    """The last line the run printed."""


def interleave(
    script: Path,
    peers: Mapping[str, Sequence[str]],
    rounds: int,
    *,
    patience_s: float = 0.0,
    pythons: Mapping[str, str] | None = None,
) -> dict[str, list[Cost]]:
    """Run `script --run <words>` for every peer, in turns.

    A run that finds less than 1.7 processors before it or after it is done again, as long as the
    patience lasts; then runs count as they come.

    Args:
        script: The benchmark.
        peers: Name -> the words after `--run`.
        rounds: Runs of each peer.
        patience_s: Seconds to wait for quiet, in all.
        pythons: Name -> interpreter, of peers that are installed elsewhere.
    """
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    deadline = time.perf_counter() + patience_s
    costs: dict[str, list[Cost]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, words in peers.items():
            python = (pythons or {}).get(name, sys.executable)
            cost = _measure([python, str(script), "--run", *words])
            while cost.processors < _QUIET and time.perf_counter() < deadline:
                time.sleep(5)
                if capacity() >= _QUIET:
                    cost = _measure([python, str(script), "--run", *words])
            costs[name].append(cost)
            print(name, cost, file=sys.stderr)
    return costs


def capacity() -> float:
    """Processors that two busy processes get: 2 on an idle machine with two of its own."""
    work = "import time, hashlib; t = time.perf_counter()\n"
    work += "for _ in range(300): hashlib.sha256(bytes(1 << 20)).digest()\n"
    work += "print(time.perf_counter() - t)"

    def seconds(number: int) -> float:
        command = [sys.executable, "-c", work]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(number)]
        return max(float(process.communicate()[0]) for process in running)

    return 2 * seconds(1) / seconds(2)


def _measure(command: list[str]) -> Cost:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = capacity()
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True)
    stop, peak = threading.Event(), [0.0]
    sampler = threading.Thread(target=_sample, args=(stop, peak))
    sampler.start()
    lines = process.stdout.read().strip().splitlines()
    cpu, status = _reap(process.pid)
    wall = time.perf_counter() - begin
    stop.set()
    sampler.join()
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return Cost(wall_s=wall, cpu_s=cpu, peak_mib=peak[0], processors=min(before, capacity()),
                answer=lines[-1] if lines else "")  # fmt: skip


def _reap(main: int) -> tuple[float, int]:
    """CPU seconds of the whole tree and the exit status of its main process."""
    cpu, status = 0.0, 0
    while True:
        try:
            pid, code, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return cpu, status
        cpu += usage.ru_utime + usage.ru_stime
        if pid == main:
            status = code


def _sample(stop: threading.Event, peak: list[float]) -> None:
    import psutil

    me = psutil.Process()
    while not stop.wait(0.5):
        total = 0
        for child in me.children(recursive=True):
            try:
                text = Path(f"/proc/{child.pid}/smaps_rollup").read_text()
            except OSError:
                continue
            pss = [line for line in text.splitlines() if line.startswith("Pss:")]
            total += sum(int(line.split()[1]) for line in pss)
        peak[0] = max(peak[0], total / 1024)


def table(title: str, costs: Mapping[str, list[Cost]], against: str) -> str:
    """A Markdown table: medians, and ratios to one peer within the same round."""
    head = f"| | wall s | wall / {against} | CPU s | peak MiB | processors | answer |"
    lines = [f"### {title}", "", head, "|---|---|---|---|---|---|---|"]
    for name, runs in costs.items():
        fields = ("wall_s", "cpu_s", "peak_mib", "processors")
        wall, cpu, peak, got = (
            statistics.median(getattr(r, field) for r in runs) for field in fields
        )
        pairs = zip(runs, costs[against], strict=True)
        ratio = statistics.median(run.wall_s / other.wall_s for run, other in pairs)
        numbers = f"{wall:.1f} | {ratio:.2f} | {cpu:.1f} | {peak:.0f} | {got:.1f}"
        lines.append(f"| {name} | {numbers} | {runs[0].answer} |")
    return "\n".join(lines)


def conditions(patience_s: float) -> str:
    """Which runs count, for the reader of a table."""
    if not patience_s:
        return "Every run counts, however many processors it got."
    return (
        f"A run that found less than {_QUIET} free processors before or after it was done again "
        f"(for up to {patience_s:.0f} s in all): these are times of a quiet machine. With other "
        "work on it, dividing the work gains less, and ours can be slower than its peer."
    )


def save(name: str, title: str, sections: Sequence[str]) -> None:
    """Write a benchmark's own section of RESULTS.md, between its markers."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    body = "\n\n".join([start, f"## {title}", *sections, end])
    text = RESULTS.read_text() if RESULTS.exists() else "# What was measured\n"
    if start in text and end in text:
        text = text[: text.index(start)] + body + text[text.index(end) + len(end) :]
    else:
        text = text.rstrip() + "\n\n" + body + "\n"
    RESULTS.write_text(text)
