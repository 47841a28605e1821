"""A controller with hosts that do not answer, some VMs and a history, behind a socket: for commands in this process."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import uvicorn

from tests.cli.run import vmctl
from vmctl.api.app import make_app
from vmctl.api.connections import Patient
from vmctl.cluster.controller import Controller
from vmctl.cluster.opening import open_controller
from vmctl.decide.place import place
from vmctl.errors import VmctlError
from vmctl.formats.plain import plain
from vmctl.hosts.shown import About
from vmctl.ledger import ProcessSample
from vmctl.local import paths
from vmctl.local.config import Settings
from vmctl.model.access import Grant, Group, Token, User
from vmctl.model.audit import Entry
from vmctl.model.cluster import Cluster
from vmctl.model.decisions import placed
from vmctl.model.hosts import Host
from vmctl.model.jobs import JobRun, RunState
from vmctl.model.policy import Policy
from vmctl.model.records import DecisionRecord, Event, HostRecord, Image, Schedule, Storage, Task, TaskState, VMRecord
from vmctl.model.uploads import Upload, UploadState
from vmctl.model.vms import VM, Disk, PowerState, Spec

WEB1, DB1 = "11111111-2222-3333-4444-555555555555", "21111111-2222-3333-4444-555555555555"
STARTED = int((time.time() - 3600) * 1e6)
HTTPD = ProcessSample(812, 4711, STARTED, 1, "httpd", "2.4", "httpd -D FOREGROUND", "www", "S", 1.5, 64 << 10, 8, (80,))


class Pool:
    """The controller, served by a thread."""

    def __init__(self, controller: Controller, loop: asyncio.AbstractEventLoop) -> None:
        self.controller = controller
        self._loop = loop

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Something of the controller's, done in its own thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def code(self, *words: str) -> tuple[int, str]:
        """A command's exit code as the program gives it, and all that it printed."""
        done = vmctl(*words)
        if isinstance(done.exception, VmctlError):
            return done.exception.exit_code, f"{done.output}{done.exception.message} {done.exception.hint}"
        assert done.exception is None or isinstance(done.exception, SystemExit), (words, done.exception)
        return done.exit_code, done.output


@contextmanager
def served(folder: Path, registry: Path) -> Iterator[Pool]:
    """A pool at folder/sock."""
    shutil.copy(registry, folder / "registry.db")
    ready: list[Pool] = []
    server: list[uvicorn.Server] = []

    async def main() -> None:
        controller = open_controller(Settings(), folder, folder / "run")
        app = make_app(controller)
        async with app.router.lifespan_context(app):
            await _fill(controller)
            config = uvicorn.Config(app, http=Patient, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
            server.append(uvicorn.Server(config))
            ready.append(Pool(controller, asyncio.get_running_loop()))
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(str(folder / "sock"))
                await server[0].serve([bound])

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    while not (server and server[0].started):
        assert thread.is_alive(), "it did not start"
        time.sleep(0.01)
    try:
        yield ready[0]
    finally:
        server[0].should_exit = True
        thread.join(30)


def _job(now: float) -> Task:
    """One that has ended."""
    one = JobRun(
        1, "kvm1", "", "0a" * 16, RunState.ENDED, "kvm1: it fits", now, "boot-1", 4711, 900, now, 0, out_bytes=6
    )
    asked = {"words": ["uptime"], "project": "default"}
    result = {"runs": 1, "bad": 0, "host": "kvm1", "code": 0, "outcome": "exit code 0"}
    ended = Task(0, "run", "uptime", now, asked, TaskState.DONE, "ended", {"runs": [asdict(one)]}, result)
    return replace(ended, who="anna", project="default", started_at=now, ended_at=now)


async def _fill(controller: Controller) -> None:
    store, now = controller.services.store, time.time()
    key = paths.ssh_key_path().with_suffix(".pub").read_text()
    for name in ("kvm1", "kvm2"):
        await store.put(HostRecord(name, "127.0.0.1", key, "SHA256:x", now, port=1))
        link = controller.attach(await store.get(HostRecord, name))
        link.about = About("9.0.0", "7.2.0", "kvm", "", (), 8192, 4, name)  # as it was when it still answered
    await store.put(Storage("main", "/shared", now, "/shared/locks", hosts=["kvm1", "kvm2"]))
    await store.put(Image("tiny", "main", "/shared/tiny.qcow2", now, "qcow2", 16 << 20))
    await store.add_upload(Upload("a1b2c3d4e5f60718", "sent", "main", now, now, {"file": 512}, state=UploadState.OPEN))
    await store.insert(User("anna", now))
    await store.add_grant(Grant("user:anna", "operator", "all", now))
    await store.add_token(Token("3f8a91c27d04", "anna", "", now, now + 9e9))
    await store.insert(Group("staff", now, ["anna"]))
    await controller.known.refresh()
    await store.audit(Entry(now, "local user", "stop", "web1", "accepted"))
    disk = Disk("main", "/shared/web1.qcow2")
    web1 = Spec(WEB1, "web1", 1, 512, disks=(disk,), mac="52:54:00:00:00:01", image="tiny", apart="web")
    await store.add_vm(VMRecord(web1, now))
    await store.add_vm(VMRecord(Spec(DB1, "db1", 1, 512), now, host="kvm1", power=PowerState.RUNNING))
    await store.add(Task(0, "create", "web1", now, state=TaskState.DONE, ended_at=now, result={"host": "kvm1"}))
    failed = {"code": "Refused", "message": "no", "lines": ["kvm1: no"], "exit_code": 3}
    await store.add(Task(0, "start", "db1", now, state=TaskState.FAILED, ended_at=now, error=failed))
    await store.add(_job(now))
    await store.add(Event("created", "web1", "web1 was created", now))
    await store.put(Schedule("rebalance", "*/10 * * * *", "advise"))
    cluster = Cluster((Host("kvm1", cpus=4, mem_mib=4096),), ())
    found = place(VM(web1), cluster, Policy())
    detail = plain(placed(found, cluster))
    await store.add(DecisionRecord("create", WEB1, found.why, now, None, "kvm1", detail, "me"))
    for gone in (None, [(812, 4711)]):
        seen = [HTTPD] if gone is None else [HTTPD._replace(pid=900, start_ticks=5000)]
        controller.services.incarnations.guest_picture(WEB1, "boot-1", seen, ip="10.0.0.7", gone=gone)
