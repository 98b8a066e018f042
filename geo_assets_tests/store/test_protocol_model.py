"""The commit protocol as a small model, all of whose states are visited.

Writers, a garbage collector and a reader take turns in every order; replies and requests get
lost, requests arrive late, writers crash. The model says what the code does; `test_commit`
drives the code itself. Each mutant leaves one rule out and must be caught, which shows that
the rule is needed and that the model would notice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

PARTS = (0, 1)
KEEP = 1

# (writer or "gc", version, folder): who wrote a commit, what it publishes, where its data lie.
Commit = tuple[object, str, tuple[int, str]]


@dataclass(frozen=True)
class Rules:
    read_back: bool = True
    """An unclear reply is settled by reading the commit."""
    create: bool = True
    """A commit is created only if absent."""
    data_first: bool = True
    """All data are staged before the commit."""
    from_base: bool = True
    """A commit has the number after the one its writer began from."""
    gc_base: bool = True
    """Only folders whose base is below the newest commit are garbage."""
    gc_retains: bool = True
    """Folders of retained commits are not garbage."""
    gc_fences: bool = True
    """Attempts on the current version are abandoned only after a fence."""


@dataclass(frozen=True)
class Writer:
    version: str
    at: str = "begin"
    base: int = 0
    outcome: str = ""


@dataclass(frozen=True)
class State:
    commits: tuple[Commit, ...] = ()
    data: frozenset[tuple[tuple[int, str], int]] = frozenset()
    writers: tuple[Writer, ...] = ()
    late: frozenset[tuple[int, Commit]] = frozenset()
    """Commit requests still in the network, which may arrive at any time or never."""
    gc: tuple[object, ...] = ("idle",)
    reader: tuple[object, ...] = ("idle",)
    losses: int = 0
    crashes: int = 0
    collections: int = 0


def create(state: State, number: int, commit: Commit, rules: Rules) -> tuple[State, bool]:
    if number == len(state.commits) + 1:
        return replace(state, commits=(*state.commits, commit)), True
    if rules.create or number > len(state.commits):
        return state, False
    commits = list(state.commits)
    commits[number - 1] = commit
    return replace(state, commits=tuple(commits)), True


def retained(state: State, rules: Rules) -> set[tuple[int, str]]:
    folders: list[tuple[int, str]] = []
    for _, _, folder in reversed(state.commits):
        if folder not in folders:
            folders.append(folder)
    return set(folders[:KEEP]) if rules.gc_retains else set()


def writer_steps(state: State, index: int, rules: Rules) -> Iterator[State]:
    me = state.writers[index]

    def become(now: State, **changes: object) -> State:
        writers = list(now.writers)
        writers[index] = replace(me, **changes)
        return replace(now, writers=tuple(writers))

    if me.outcome:
        return
    if state.crashes:
        yield replace(become(state, outcome="crashed"), crashes=state.crashes - 1)
    folder = (me.base, me.version)
    number = (me.base if rules.from_base else len(state.commits)) + 1
    mine: Commit = (index, me.version, folder)
    if me.at == "begin":
        newest = state.commits[-1] if state.commits else None
        if newest and newest[1] == me.version:
            yield become(state, outcome="same")
        else:
            after = "stage 0" if rules.data_first else "commit"
            yield become(state, at=after, base=len(state.commits))
    elif me.at in ("stage 0", "stage 1"):
        part = int(me.at[-1])
        done = "committed" if not rules.data_first and part else ""
        after = "stage 1" if part == 0 else "check"
        yield become(replace(state, data=state.data | {(folder, part)}), at=after, outcome=done)
    elif me.at == "check":
        whole = all((folder, part) in state.data for part in PARTS)
        lost = len(state.commits) > me.base
        yield become(state, at="commit", outcome="" if whole else "conflict" if lost else "broken")
    elif me.at == "commit":
        after, created = create(state, number, mine, rules)
        if created:
            yield (
                become(after, at="stage 0")
                if not rules.data_first
                else become(after, outcome="committed")
            )
        else:
            yield (
                become(after, at="read back")
                if rules.read_back
                else become(after, outcome="conflict")
            )
        if state.losses:
            fewer = replace(state, losses=state.losses - 1)
            yield become(
                replace(after, losses=state.losses - 1),
                at="read back" if rules.read_back else "commit",
            )
            yield become(
                replace(fewer, late=state.late | {(number, mine)}),
                at="read back" if rules.read_back else "commit",
            )
    elif me.at == "read back":
        if number > len(state.commits):
            yield become(state, at="commit")
        else:
            owner, version, _ = state.commits[number - 1]
            yield become(
                state,
                outcome="committed"
                if owner == index
                else "same"
                if version == me.version
                else "conflict",
            )


def other_steps(state: State, rules: Rules) -> Iterator[State]:
    for number, commit in state.late:
        yield replace(create(state, number, commit, rules)[0], late=state.late - {(number, commit)})
    phase, *plan = state.gc
    if phase == "idle" and state.collections and state.commits:
        begun = replace(state, collections=state.collections - 1)
        yield replace(begun, gc=("mark",))
        if rules.gc_fences:
            yield replace(begun, gc=("fence", len(state.commits), state.commits[-1]))
        else:
            yield replace(begun, gc=("mark", "all"))
    elif phase == "fence":
        number, current = plan
        fence = ("gc", *current[1:])
        after, created = create(state, number + 1, fence, Rules())
        yield replace(after, gc=("mark",) if created else ("idle",))
    elif phase == "mark":
        newest = len(state.commits) + (1 if plan else 0)
        folders = {folder for folder, _ in state.data} - retained(state, rules)
        doomed = [
            item
            for item in state.data
            if item[0] in folders and (item[0][0] < newest or not rules.gc_base)
        ]
        yield replace(state, gc=("sweep", *sorted(doomed)))
    elif phase == "sweep":
        yield replace(
            state, data=state.data - set(plan[:1]), gc=("sweep", *plan[1:]) if plan else ("idle",)
        )
    step, *seen = state.reader
    if step == "idle" and state.commits:
        yield replace(state, reader=("read", state.commits[-1]))
    elif step == "read" and len(seen) <= len(PARTS):
        found = (seen[0][2], len(seen) - 1) in state.data
        expired = seen[0][2] not in retained(state, Rules())
        yield replace(state, reader=("read", *seen, found or ("expired" if expired else "missing")))


def violation(state: State) -> str:
    kept = retained(state, Rules())
    for folder in kept:
        if any((folder, part) not in state.data for part in PARTS):
            return "a retained commit names data that are gone"
    owners = [owner for owner, _, _ in state.commits]
    for index, writer in enumerate(state.writers):
        if writer.outcome == "committed" and index not in owners:
            return "a writer was told committed, and its commit is gone"
        if writer.outcome == "conflict" and index in owners:
            return "a writer was told conflict, and its commit stands"
        if writer.outcome == "same" and writer.version not in [
            version for _, version, _ in state.commits
        ]:
            return "a writer was told that its version is published, and it is not"
        if writer.outcome == "broken":
            return "a writer found its data gone without having lost"
    if "missing" in state.reader:
        return "a reader of a retained commit missed an object"
    return ""


def explore(
    rules: Rules, versions: str, *, losses: int = 1, crashes: int = 1, collections: int = 1
) -> tuple[str, int]:
    """Visit all states; the first violation found, or "", and how many states there were."""
    start = State(
        writers=tuple(Writer(version) for version in versions),
        losses=losses, crashes=crashes, collections=collections,
    )  # fmt: skip
    seen, stack = {start}, [start]
    while stack:
        state = stack.pop()
        if wrong := violation(state):
            return wrong, len(seen)
        followers = [
            step for index in range(len(versions)) for step in writer_steps(state, index, rules)
        ]
        for follower in (*followers, *other_steps(state, rules)):
            if follower not in seen:
                seen.add(follower)
                stack.append(follower)
    return "", len(seen)


@pytest.mark.parametrize("versions", ["ab", "aa"])
def test_every_order_of_events_is_safe(versions):
    wrong, states = explore(Rules(), versions)
    assert wrong == "" and states > 5_000


@pytest.mark.parametrize("rule", list(Rules.__dataclass_fields__))
def test_no_rule_can_be_left_out(rule):
    wrong, _ = explore(replace(Rules(), **{rule: False}), "ab")
    assert wrong
