"""Log-ins that earlier controllers left on a host are ended, with what they began, and nothing else is: a real sshd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hosts.sshd import PrivateSshd
from vmctl.errors import NotAllowed, RegistryUnusable, Unreachable
from vmctl.hosts import sessions as facts
from vmctl.hosts.link import HostLink
from vmctl.local.config import Settings
from vmctl.model.records import HostRecord
from vmctl.model.replicas import HostSession, Replica
from vmctl.ports import SYSTEM
from vmctl.services.sessions import Sessions, same
from vmctl.store.memory import MemoryStore

BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
LogIn = Callable[..., Awaitable[HostLink]]


def ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19])


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
async def store() -> MemoryStore:
    made = MemoryStore()
    for life in ("first", "second"):
        await made.put(Replica(life, "kvm1", f"home-{life}", "0.1", 1.0))
    return made


@pytest.fixture
async def log_in(tmp_path: Path, shared_sshd: PrivateSshd) -> AsyncIterator[LogIn]:
    """A link of a life that has logged in."""
    made: list[HostLink] = []

    async def one(sessions: Sessions) -> HostLink:
        record = HostRecord("kvm1", "127.0.0.1", shared_sshd.host_key, "f", 1.0, port=shared_sshd.port)
        link = HostLink(record, (shared_sshd.key,), tmp_path, Settings(), asyncio.Semaphore())
        made.append(link)
        await link.ssh.connect()
        await sessions.settle(link)
        return link

    yield one
    for link in made:
        await link.close()


@pytest.fixture
def innocent() -> Iterator[int]:
    """A process that has nothing to do with it."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process.pid
        process.kill()


@pytest.fixture
def unkillable() -> int:
    """A thread of the kernel, which nobody can end, stands for a process that hangs in one."""
    threads = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return next(pid for pid in threads if pid > 2 and parent(pid) == 2)


def of(store: MemoryStore, life: str) -> Sessions:
    return Sessions(store, life, SYSTEM.clock)


async def test_a_log_in_is_written_down_as_the_process_that_it_is(
    store: MemoryStore, log_in: LogIn, shared_sshd: PrivateSshd
) -> None:
    link = await log_in(of(store, "first"))
    [kept] = await store.all(HostSession)
    assert (kept.host, kept.boot_id, kept.life) == ("kvm1", BOOT, "first")
    assert kept.pid in shared_sshd.children() and kept.ticks == ticks(kept.pid)
    assert link.session == kept


async def test_what_an_ended_life_left_is_ended_with_all_that_it_began(store: MemoryStore, log_in: LogIn) -> None:
    old = await log_in(of(store, "first"))
    begun: list[bytes] = []
    told = asyncio.Event()

    def hear(some: bytes) -> None:
        begun.append(some)
        if b"\n" in some:
            told.set()

    command = "exec sh -c 'sleep 1000 & sleep 1001 & echo $! $$; wait'"
    await old.ssh.open_process(command, hear, lambda _why: None)
    running = asyncio.create_task(old.ssh.run(["sleep", "1002"], timeout_s=60.0))
    await told.wait()
    inside = [int(word) for word in b"".join(begun).split()]
    await store.end_life("first", "not heard", 2.0)
    began = time.monotonic()
    new = await log_in(of(store, "second"))
    assert time.monotonic() - began < 4.0
    assert not any(alive(pid) for pid in inside)
    await asyncio.wait_for(old.ssh.wait_closed(), 5.0)
    with pytest.raises(Unreachable):
        await running
    assert [one.life for one in await store.all(HostSession)] == ["second"]
    assert (await new.ssh.run(["echo", "well"])).out == "well\n"


async def test_one_that_does_not_move_is_ended_too(store: MemoryStore, log_in: LogIn) -> None:
    """As the process of a host that hung for a while."""
    old = await log_in(of(store, "first"))
    assert old.session is not None
    os.kill(old.session.pid, signal.SIGSTOP)
    await store.end_life("first", "not heard", 2.0)
    await log_in(of(store, "second"))
    assert not alive(old.session.pid)


async def test_nobody_elses_is_ended(store: MemoryStore, log_in: LogIn) -> None:
    """Neither the leader's nor the watcher's; one that has no business there any more, as it was cut off, is."""
    await store.lead("first", 1.0)
    other = await log_in(of(store, "first"))
    mine = await log_in(of(store, "second"))
    assert (await other.ssh.run(["echo", "well"])).out == "well\n"
    assert {one.life for one in await store.all(HostSession)} == {"first", "second"}
    assert mine.session != other.session
    await log_in(of(store, "first"))
    await asyncio.wait_for(mine.ssh.wait_closed(), 5.0)
    assert {one.life for one in await store.all(HostSession)} == {"first"}


async def test_its_own_are_ended_where_it_uses_them_no_more(store: MemoryStore, log_in: LogIn) -> None:
    """A connection that was lost on one side only: sshd still waits for calls from it."""
    sessions = of(store, "first")
    standing, lost = await log_in(sessions), await log_in(sessions)
    left, lost.session = lost.session, None
    assert left is not None
    third = await log_in(sessions)
    assert not alive(left.pid)
    assert (await standing.ssh.run(["echo", "well"])).out == "well\n"
    kept = await store.all(HostSession)
    assert {one.pid for one in kept} == {one.session.pid for one in (standing, third) if one.session is not None}


async def test_several_links_log_in_at_once(store: MemoryStore, log_in: LogIn) -> None:
    sessions = of(store, "first")
    links = await asyncio.gather(*(log_in(sessions) for _ in range(5)))
    for link in links:
        assert (await link.ssh.run(["echo", "well"])).out == "well\n"
    assert len(await store.all(HostSession)) == 5


@pytest.mark.parametrize("wrong", ["ticks", "boot"])
async def test_a_process_that_got_its_number_is_left_alone(
    store: MemoryStore, log_in: LogIn, innocent: int, wrong: str
) -> None:
    kept = HostSession("kvm1", BOOT, innocent, ticks(innocent), "first", 1.0)
    kept = replace(kept, ticks=kept.ticks + 1) if wrong == "ticks" else replace(kept, boot_id="another")
    await store.keep_session(kept)
    await store.end_life("first", "not heard", 2.0)
    link = await log_in(of(store, "second"))
    assert alive(innocent)
    assert await store.all(HostSession) == [link.session]


async def test_nothing_is_done_there_while_one_does_not_end(store: MemoryStore, log_in: LogIn, unkillable: int) -> None:
    hangs = unkillable
    await store.keep_session(HostSession("kvm1", BOOT, hangs, ticks(hangs), "first", 1.0))
    await store.end_life("first", "not heard", 2.0)
    with pytest.raises(Unreachable, match=f"does not end .process {hangs}."):
        await log_in(of(store, "second"))
    assert [one.life for one in await store.all(HostSession)] == ["first"]


def parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    return 0


async def test_one_that_cannot_be_written_down_is_not_used_where_others_may_lead(
    store: MemoryStore, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def keeps_nothing(*_: object) -> None:
        raise RegistryUnusable("the database does not answer")

    store.keep_session = keeps_nothing  # type: ignore[assignment,method-assign]
    link = await log_in(of(store, "first"))  # it has its registry for itself
    assert (await link.ssh.run(["echo", "well"])).out == "well\n"
    monkeypatch.setattr(store, "shared", True)
    with pytest.raises(RegistryUnusable):
        await log_in(of(store, "first"))


@pytest.mark.parametrize("said", ["exit 1", "echo strange", "echo boot 1 1", "echo"])
async def test_a_host_that_hides_the_log_in_serves_one_controller_alone(
    store: MemoryStore, log_in: LogIn, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """As with hidepid and a user that is not root."""
    hidden = replace(facts.OWN_SESSION, command=("sh", "-c", said))
    monkeypatch.setattr(facts, "OWN_SESSION", hidden)
    link = await log_in(of(store, "first"))
    assert (await link.ssh.run(["echo", "well"])).out == "well\n"
    assert await store.all(HostSession) == []
    monkeypatch.setattr(store, "shared", True)
    with pytest.raises(NotAllowed, match="does not see the process of its own log-in") as caught:
        await log_in(of(store, "first"))
    assert "hidepid" in caught.value.hint


async def test_very_many_are_ended_in_several_calls(store: MemoryStore, log_in: LogIn) -> None:
    for number in range(2 * facts.AT_ONCE + 1):
        await store.keep_session(HostSession("kvm1", BOOT, 4_000_000 + number, 1, "first", 1.0))
    await store.end_life("first", "not heard", 2.0)
    link = await log_in(of(store, "second"))
    assert await store.all(HostSession) == [link.session]


def test_one_log_in_is_told_from_another() -> None:
    one = HostSession("kvm1", "boot", 17, 4000, "first", 1.0)
    assert same(one, replace(one, life="second", at=2.0))
    for other in (replace(one, host="kvm2"), replace(one, boot_id="x"), replace(one, pid=1), replace(one, ticks=1)):
        assert not same(one, other)
