"""Two machines behind real sshds, and a controller whose jobs run there."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.act.hosts import FakeHost
from tests.hosts.conftest import TIMEOUTS
from tests.hosts.sshd import PrivateSshd
from vmctl.act import run as running
from vmctl.act import runplaces
from vmctl.commands.jobs import RunJob
from vmctl.errors import Unreachable
from vmctl.hosts import runprograms
from vmctl.hosts.facts import Fact
from vmctl.hosts.link import HostLink
from vmctl.hosts.runs import From
from vmctl.hosts.ssh import HostSSH
from vmctl.local.config import Settings
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import HostLoad
from vmctl.model.jobs import JobRun, RunState, run_of
from vmctl.model.records import Task
from vmctl.model.rights import LOCAL_USER, Thing
from vmctl.ports.store import Store
from vmctl.services import Services
from vmctl.services.observe import observe
from vmctl.tasks import Tasks

NAMES = ("kvm1", "kvm2")


class RealHost(FakeHost):
    """A host as `act` sees it, whose commands are carried out behind a real sshd."""

    def __init__(self, name: str, sshd: PrivateSshd) -> None:
        super().__init__(name)
        self.sshd, self.up, self.peer = sshd, True, "127.0.0.1"
        self.dialled = HostSSH(sshd.target(name), [sshd.key], TIMEOUTS)
        self.before: list[Callable[[], Awaitable[None]]] = []  # done before the next commands, one before each
        self.after_it: list[Callable[[], Awaitable[None]]] = []  # and after, when its answer is on its way
        self.asked: list[str] = []
        self.ssh = cast(Any, self)

    async def run(self, argv: Any, **more: Any) -> Any:
        known = ("BEGIN", "FOLLOW", "SIGNAL")
        self.asked.append(next((name for name in known if getattr(runprograms, name) in argv), "?"))
        if self.before:
            await self.before.pop(0)()
        told = await self.dialled.run(argv, **more)
        if self.after_it:
            await self.after_it.pop(0)()
        return told

    async def ask(self, fact: Fact[Any]) -> Any:
        return fact.read((await self.run(fact.command)).out, self.name)

    async def connect(self) -> None:
        await self.dialled.connect()
        self.online = True

    async def lose(self) -> None:
        """Its connection is lost in the middle of whatever is asked."""
        await self.dialled.close()
        self.online = False
        raise Unreachable("the connection was lost")


class Pool:
    """Two such hosts, a registry and a controller's tasks."""

    who = LOCAL_USER

    def __init__(self, registry: Store, folder: Path) -> None:
        self.registry, self.folder = registry, folder
        self.hosts: dict[str, RealHost] = {}
        self.new_controller()

    def new_controller(self) -> None:
        self.services = Services(self.registry, Settings(), self.folder, ())
        self.services.links.update(cast("dict[str, HostLink]", self.hosts))
        self.tasks = Tasks(self.registry)
        self.tasks.handlers = {"run": lambda job: running.run(self.services.held_by(job.claim, job.id), job)}

    async def die(self) -> None:
        """The controller ends in the middle, and another one begins."""
        await self.tasks.close()
        self.new_controller()

    async def go_on(self) -> None:
        for task in await self.registry.open_tasks():
            self.tasks.resume(task)

    async def give(self, *words: str, **more: Any) -> int:
        asked = RunJob(list(words), **more)
        return (await self.tasks.submit(asked, LOCAL_USER, asked.subject, Thing(asked.project))).id

    async def end(self, number: int) -> Task:
        async with asyncio.timeout(60):
            return await self.tasks.wait(number)

    async def runs(self, number: int) -> list[JobRun]:
        return [run_of(raw) for raw in (await self.registry.get(Task, number)).journal["runs"]]

    async def until(self, number: int, state: RunState, run: int = 1) -> JobRun:
        async with asyncio.timeout(30):
            while True:
                task = await self.registry.get(Task, number)
                found = [run_of(raw) for raw in task.journal.get("runs", ())]
                if len(found) >= run and found[run - 1].state is state:
                    return found[run - 1]
                await asyncio.sleep(0.02)

    async def shows(self, number: int, words: str) -> None:
        """Wait until a task that goes on says so."""
        async with asyncio.timeout(30):
            while True:
                job = self.tasks.live(number)
                if job is not None and words in str(job.progress):
                    return
                await asyncio.sleep(0.02)

    async def out(self, one: JobRun) -> bytes:
        return (await self.services.runs.now((one.host, one.login), From(one.id, 0, 0))).out

    @property
    def file(self) -> Path:
        return self.folder / "file"


def kill_what_is_left(root: Path) -> None:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = (process / "cwd").readlink().is_relative_to(root)
        except OSError:
            continue
        if inside:
            os.kill(int(process.name), signal.SIGKILL)


@pytest.fixture
async def pool(registry: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    """Two hosts behind real sshds, and a controller that runs jobs there."""
    monkeypatch.setattr(running, "AWAY_S", 0.1)
    monkeypatch.setattr(runplaces, "LOOK_AGAIN_S", 0.1)
    made = Pool(registry, tmp_path)

    async def measured(services: Services) -> Cluster:
        seen = await observe(services)
        return replace(
            seen, hosts=tuple(replace(one, cpus=2, mem_mib=8192, load=HostLoad(0, 512)) for one in seen.hosts)
        )

    monkeypatch.setattr(runplaces, "measured", measured)
    for name in NAMES:
        folder = tmp_path / name
        sshd = PrivateSshd(folder, environment=f"VMCTL_RUNS={folder}/runs")
        sshd.start()
        made.hosts[name] = RealHost(name, sshd)
        await made.hosts[name].connect()
        labels = {"rack": name[-1]}
        await registry.put(replace(made.hosts[name].record, labels=labels))
    made.new_controller()
    yield made
    await made.tasks.close()
    for host in made.hosts.values():
        await host.dialled.close()
        host.sshd.stop()
        kill_what_is_left(tmp_path / host.name / "runs")
