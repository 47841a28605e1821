"""Is the simulated host like a real one? The same calls on both, and what both show after each.

A sequence is a line: `a` and `b` are two hosts that share a storage, `create` starts one and the same VM, `go` migrates
it from a to b. What a real libvirt and QEMU answer was written down in the lab (likeness.txt); where the simulation
differs, it is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from vmctl.errors import LibvirtError, VmctlError
from vmctl.hosts import doctor, domainxml, leases
from vmctl.hosts.leaseprobe import LeaseProbe, refused_by_lock
from vmctl.hosts.port import Link
from vmctl.model.vms import Disk, Spec

UUID, OTHER = "c0ffee00-aaaa-4333-8444-555555555555", "c0ffee00-bbbb-4333-8444-555555555555"
FOLDER, LOCKSPACE = "/shared/like", "/shared/lockspace"
RECORDED = Path(__file__).with_name("likeness.txt")
FREEZE, THAW = "freeze", "thaw"
MARK = "== "

SEQUENCES = """
a destroy
a undefine
a resume
a suspend
a reset
a start
a shutdown
a autostart
a xml
a shown
a abort
a job
a create
a create; a create
a create; b create
a create; a destroy; a destroy
a create; a destroy; b create
a create; b destroy
a create; a suspend
a create; a suspend; a suspend
a create; a suspend; a resume
a create; a resume
a create; a suspend; a resume; a resume
a create; a suspend; b create
a create; a suspend; a destroy; b create
a create; a reset
a create; a suspend; a reset
a create; a shutdown
a create; a start
a create; a undefine
a create; a define
a create; a define; a undefine
a create; a define; a destroy
a create; a define; a destroy; a start
a create; a define; a destroy; b create
a define
a define; a define
a define; a start
a define; a start; a start
a define; a start; a destroy
a define; a start; a undefine
a define; a start; a undefine; a destroy
a define; a undefine
a define; a undefine; a undefine
a define; a create
a define; a autostart
a define; a suspend
a define; a resume
a define; a reset
a define; a destroy
a define; b define; a start; b start
a define; b define; a start; a destroy; b start
a define; a start; b create
a create; a twin
a create; b twin
a twin; a create
a twin; a define
a create; a nokey; a suspend; a resume
a nokey; a create
a nodisk; a create
a create; a nodisk; a destroy; a create
a create; go
a create; go; go
a create; go; a create
a create; go; b suspend; b resume
a create; go; b destroy; a create
a create; a suspend; go
go
a define; go
a define; a start; go
a create; b define; go
a create; b twin; go
a create; go; b job
a create; a abort
a create; a freeze; a thaw; a suspend
a create; a freeze; b create; a thaw
a create; a freeze; a late suspend; a thaw; wait
a freeze; a late create; b create; a thaw; wait
a create; b freeze; gone; b thaw; wait
a pool; a volume; a volume; a novolume; a novolume
a pool; a volume; b pool; b has; b novolume; a has
a pool; a upload
a pool; a volume; a upload; b pool; b download
a pool; a download
a pool; a grow
a pool; a volume; a grow
a hold; letgo
a hold; b take; b take; letgo
a hold; a take; letgo
a hold; b freeze; b late take; b thaw; wait; letgo
a hold; letgo; b take
prove
prove; prove
a port
a create; a port
a create; a port; a port
a create; a suspend; a port
a create; a listen; a heard
a create; a listen; a destroy; a heard
a create; a listen; go; a heard
a create; go; b port
a create; a listen; a port
a define; a port
a examine
a create; a examine
reach
reach; reach
""".strip().splitlines()


def spec(uuid: str = UUID) -> Spec:
    """The VM, with a disk of its own."""
    return Spec(uuid, "like1", 1, 64, disks=(Disk("like", f"{FOLDER}/disk.qcow2", "qcow2"),))


class Likeness:
    """Two hosts, and what is done on them. `past` does what no call of libvirt does: files, and libvirtd's freezing."""

    def __init__(self, a: Link, b: Link, past: Callable[[Link, str], Awaitable[None]]) -> None:
        self.hosts: Mapping[str, Link] = {"a": a, "b": b}
        self._past = past
        self._probe = LeaseProbe(LOCKSPACE)
        self._ear: Any = None  # what reads a guest's port

    async def run(self, sequence: str) -> list[str]:
        """Each step, and what both hosts show after it."""
        await self.clean()
        told = []
        for step in sequence.split("; "):
            ended = await self._step(step)
            told.append(f"{step:16} {ended:14} {await self._shown('a')} {await self._shown('b')}".rstrip())
        await self.clean()
        return told

    async def _step(self, step: str) -> str:
        host, _, verb = step.rpartition(" ") if " late " not in step else (step[0], "", step[2:])
        try:
            await self._do(self.hosts.get(host or "a", self.hosts["a"]), verb)
        except VmctlError as err:
            lock = isinstance(err, LibvirtError) and refused_by_lock(err.message)
            return "locked" if lock else type(err).__name__
        return "ok"

    async def _do(self, link: Link, verb: str) -> None:
        virt, volume = link.virt, "like1/one.raw"
        xml = domainxml.build(spec(), domainxml.Site(link.about.accel if link.about else "kvm", LOCKSPACE))
        deeds: dict[str, Callable[[], Awaitable[object]]] = {
            "create": lambda: virt.create(xml),
            "twin": lambda: virt.create(xml.replace(UUID, OTHER).replace(f"{FOLDER}/disk", f"{FOLDER}/other")),
            "define": lambda: virt.define(xml),
            "undefine": lambda: virt.undefine(UUID),
            "start": lambda: virt.start(UUID),
            "destroy": lambda: virt.destroy(UUID),
            "suspend": lambda: virt.suspend(UUID),
            "resume": lambda: virt.resume(UUID),
            "reset": lambda: virt.reset(UUID),
            "shutdown": lambda: virt.shutdown(UUID),
            "autostart": lambda: virt.set_autostart(UUID, True),
            "xml": lambda: virt.xml(UUID),
            "shown": lambda: virt.shown(UUID),
            "abort": lambda: virt.abort_job(UUID),
            "job": lambda: virt.job(UUID, completed=True),
            "go": lambda: self._go(gone=False),
            "gone": lambda: self._go(gone=True),
            "late suspend": lambda: late(virt.suspend(UUID)),
            "late create": lambda: late(virt.create(xml)),
            "wait": lambda: asyncio.sleep(3.0),
            "pool": lambda: virt.ensure_pool("like", FOLDER),
            "volume": lambda: virt.create_volume(FOLDER, domainxml.volume(volume, "raw", 1024)),
            "novolume": lambda: virt.delete_volume(FOLDER, volume),
            "has": lambda: _true(virt.has_volume(FOLDER, volume)),
            "upload": lambda: virt.upload(FOLDER, volume, [b"0123456789"]),
            "download": lambda: _equal(virt.download(FOLDER, volume, 10), b"0123456789"),
            "grow": lambda: virt.resize_volume(FOLDER, volume, 4096),
            "hold": lambda: self._probe.hold(link),
            "take": lambda: _true(self._probe.take(link)),
            "late take": lambda: late(self._probe.take(link)),
            "letgo": lambda: self._probe.end(),
            "prove": lambda: _passed(doctor.prove_lock(LOCKSPACE, self.hosts["a"], self.hosts["b"])),
            "reach": lambda: _passed(doctor.reach(self.hosts["a"], self.hosts["b"])),
            "examine": lambda: _passed(doctor.examine(link)),
            "port": lambda: self._listen(link),
            "listen": lambda: self._listen(link, stay=True),
            "heard": lambda: self._heard_its_end(),
        }
        await (deeds[verb]() if verb in deeds else self._past(link, verb))

    async def _go(self, *, gone: bool) -> None:
        """Migrate from a to b; `gone`: to a libvirtd that does not answer."""
        a, b = self.hosts["a"], self.hosts["b"]
        socket = "/tmp/vmctl-like.sock"
        offered = await a.ssh.offer(socket, b.socket)
        try:
            address = b.record.address
            going = a.virt.migrate(UUID, socket, f"tcp://{address}", unsafe=True, persistent=False, post_copy=False)
            await (late(going) if gone else going)
        finally:
            await offered.close()

    async def _listen(self, link: Link, *, stay: bool = False) -> None:
        """Open the port of its guest."""
        path = domainxml.read(await link.virt.xml(UUID)).agent_socket
        reader, writer = await link.ssh.open_unix(path)
        if stay:
            self._ear = reader
        else:
            writer.close()

    async def _heard_its_end(self) -> None:
        """That its QEMU is gone. Raises LibvirtError where nothing is heard."""
        try:
            async with asyncio.timeout(2.0):
                while await self._ear.read(4096):
                    pass
        except TimeoutError:
            raise LibvirtError("it says nothing") from None

    async def _shown(self, name: str) -> str:
        """What a host shows of the VM, and whether its lock manager holds its lease."""
        link = self.hosts[name]
        try:
            async with asyncio.timeout(2.0):
                seen = await link.virt.domain(UUID)
                held = UUID in await link.ask(leases.held(LOCKSPACE, [UUID]))
        except (VmctlError, TimeoutError):
            return f"{name}[no answer]"
        lease = "+lease" if held else ""
        if seen is None:
            return f"{name}[-{lease}]"
        why, kept = f" {seen.why}" if seen.why else "", " kept" if seen.persistent else ""
        return f"{name}[{seen.power}{why}{kept}{' job' if seen.has_job else ''}{lease}]"

    async def clean(self) -> None:
        """Nothing of it is left, and its files are there."""
        for link in self.hosts.values():
            await self._past(link, THAW)
        for link in self.hosts.values():
            for uuid in (UUID, OTHER):
                await link.virt.destroy(uuid)
                await link.virt.undefine(uuid)
            await link.virt.drop_pools_below("/shared")
            await link.virt.drop_pool("like")
        await self._past(self.hosts["a"], "files")


def recorded_of(sequence: str) -> list[str]:
    """What real hosts were seen to do."""
    blocks = RECORDED.read_text().split(MARK)
    return next(block.splitlines()[1:] for block in blocks if block.splitlines()[:1] == [sequence])


async def late(work: Awaitable[object]) -> None:
    """Ask for it, and give up after a while; it is not taken back by that."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda one: one.cancelled() or one.exception())
    await asyncio.wait({task}, timeout=2.0)


async def _true(asked: Awaitable[bool]) -> None:
    if not await asked:
        raise LibvirtError("it is not there")


async def _passed(asked: Awaitable[doctor.Check | list[doctor.Check]]) -> None:
    found = await asked
    for check in found if isinstance(found, list) else [found]:
        if check.verdict == doctor.FAIL:
            raise LibvirtError(f"{check.name}: {check.text}")


async def _equal(asked: Awaitable[bytes], wanted: bytes) -> None:
    if await asked != wanted:
        raise LibvirtError("it is another content")
