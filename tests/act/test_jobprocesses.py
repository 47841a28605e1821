"""Runs of jobs in the ledgers of their hosts: real processes behind real sshds."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tests.act.jobpool import Pool
from tests.hosts.test_load import BASE
from vmctl.cluster.jobprocesses import JobProcesses, _is
from vmctl.hosts.facts import Daemon
from vmctl.hosts.port import Link
from vmctl.hosts.runs import From
from vmctl.hosts.runuse import RunUse
from vmctl.ledger import EndReason, Life
from vmctl.model.jobs import JobRun, RunState
from vmctl.model.records import HostRecord

MACHINE = "machine-kvm1"
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
SERVES = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); "
BUSY = "\nwhile True: pass"


class Ledger:
    """A controller's: it looks, and a sample of the host comes."""

    def __init__(self, pool: Pool) -> None:
        self.pool, self.host = pool, pool.hosts["kvm1"]
        self.link = cast(Link, self.host)
        self.looks = JobProcesses(pool.services)
        self.daemons: tuple[Daemon, ...] = ()

    async def look(self) -> list[Life]:
        await self.looks.look()
        sample = BASE._replace(boot_id=self.host.boot_id, daemons=self.daemons)
        self.pool.services.incarnations.host_sample(self.link, sample)
        return await self.pool.services.incarnations.processes(MACHINE, None)

    async def ended(self) -> list[Life]:
        found = await self.pool.services.incarnations.processes(MACHINE, None, history=True)
        return [life for life in found if life.ended_at is not None]


@pytest.fixture
async def ledger(pool: Pool) -> Ledger:
    for name, host in pool.hosts.items():
        host.boot_id = BOOT
        await pool.registry.put(HostRecord(name, "127.0.0.1", "k", "f", 1.0, about={"host_uuid": f"machine-{name}"}))
    return Ledger(pool)


async def begun(pool: Pool, *words: str) -> tuple[int, JobRun]:
    number = await pool.give(*words, hosts=["kvm1"])
    return number, await pool.until(number, RunState.RUNNING)


async def test_a_run_is_a_life_with_the_use_of_all_that_it_began(pool: Pool, ledger: Ledger) -> None:
    number, one = await begun(pool, "sh", "-c", f'python3 -c "{SERVES}{BUSY}"; exit 3')
    await pool.services.runs.follow((one.host, one.login), From(one.id, 0, 0))  # it has printed
    port = await pool.out(one)
    await ledger.look()
    await asyncio.sleep(1.0)
    [life] = await ledger.look()
    assert (str(life.uuid), life.pid, life.start_ticks) == (one.process, one.pid, one.ticks)
    assert life.command.startswith(f"job {number} run 1: sh -c") and (life.program, life.user) == ("sh", "root")
    assert life.cpu > 0.3 and life.rss_kib > 5000 and life.threads == 2, "the shell only waits"
    assert (life.ip, life.port) == ("127.0.0.1", int(port))
    assert [who.uuid for who in await pool.services.incarnations.who("127.0.0.1", int(port), None)] == [life.uuid]
    os.kill(one.pid, signal.SIGKILL)
    await pool.end(number)
    assert await ledger.look() == []
    [ended] = await ledger.ended()
    assert (ended.uuid, ended.why, ended.cpu_peak) == (life.uuid, EndReason.EXITED, life.cpu_peak)


async def test_one_that_ended_between_two_looks_is_kept_too(pool: Pool, ledger: Ledger) -> None:
    await ledger.look()
    task = await pool.end(number := await pool.give("sh", "-c", "exit 4", hosts=["kvm1"]))
    assert await ledger.look() == [] and await ledger.look() == []
    [life], [one] = await ledger.ended(), await pool.runs(number)
    assert (str(life.uuid), life.program) == (one.process, "sh") and life.ended_at and one.ended_at
    assert abs(life.ended_at - one.ended_at) < 2, "its host tells whole seconds"
    found = (await pool.services.incarnations.find(one.process)).life
    assert found.command == f"job {number} run 1: {task.subject}"


async def test_the_next_controller_goes_on_with_it(pool: Pool, ledger: Ledger) -> None:
    number, one = await begun(pool, "sleep", "60")
    [life] = await ledger.look()
    await pool.services.incarnations.flush()
    await pool.die()
    await pool.services.incarnations.start()
    await pool.go_on()
    again = Ledger(pool)
    assert [str(found.uuid) for found in await again.look()] == [one.process]
    assert [found.first_seen for found in await again.look()] == [life.first_seen]
    os.kill(one.pid, signal.SIGKILL)
    await pool.end(number)
    assert await again.look() == [] and len(await again.ended()) == 1


async def test_a_run_of_a_boot_before_is_none(pool: Pool, ledger: Ledger) -> None:
    """The host was rebooted since: its process ids mean something else."""
    number, one = await begun(pool, "sleep", "60")
    assert len(await ledger.look()) == 1
    ledger.host.boot_id = "the next boot"
    assert await ledger.look() == []
    [life] = await ledger.ended()
    assert life.why == EndReason.HOST_REBOOTED and life.rss_kib > 0
    os.kill(one.pid, signal.SIGKILL)
    await pool.end(number)


def test_whose_it_is_may_not_name_anothers_process_as_his() -> None:
    used = RunUse(20, 900, 1, "sshd", 0, 1, 0, None, "root")
    mine = JobRun(1, "kvm1", "anna", pid=20, ticks=900)
    assert not _is(mine, used) and _is(mine, replace(used, owner="anna")) and _is(replace(mine, login=""), used)
    assert not _is(replace(mine, ticks=901), replace(used, owner="anna"))


async def test_a_host_that_is_silent_ends_nothing(pool: Pool, ledger: Ledger) -> None:
    number, one = await begun(pool, "sleep", "60")
    assert len(await ledger.look()) == 1
    ledger.host.before.append(ledger.host.lose)
    assert len(await ledger.look()) == 1 and len(await ledger.look()) == 1
    await ledger.host.connect()
    assert len(await ledger.look()) == 1
    os.kill(one.pid, signal.SIGKILL)
    await pool.end(number)


async def test_the_ports_of_a_daemon_are_asked_for_once(pool: Pool, ledger: Ledger) -> None:
    sshd = ledger.host.sshd.process
    assert sshd is not None
    ledger.daemons = (Daemon(sshd.pid, 77, "sshd", 1, 100, 4000, 1),)
    await ledger.look()  # shows that there is one
    asked = len(ledger.host.asked)
    [life] = await ledger.look()
    assert (life.program, life.port) == ("sshd", ledger.host.sshd.port)
    await ledger.look()
    assert len(ledger.host.asked) == asked + 1
    assert [one.program for one in await pool.services.incarnations.who("127.0.0.1", ledger.host.sshd.port, None)] == [
        "sshd"
    ]
