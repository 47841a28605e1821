"""A VM's serial console: bytes both ways.

One user has it at a time: a second one is refused, or takes it over and is named to the first. When its VM moves, the
console follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from enum import Enum
from typing import Any, Protocol

from vmctl.act.whereabouts import require_running
from vmctl.errors import HostError, NotFound, Refused, VmctlError
from vmctl.hosts.port import Console, Hypervisor
from vmctl.model.records import VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services

FOLLOW_S, LOOK_EVERY_S = 5.0, 0.5  # how long a VM that no task holds may be nowhere


class End(Enum):
    """How a session ended."""

    LEFT = "left"  # by its user
    REFUSED = "refused"
    TAKEN = "taken"  # over, by another user
    ENDED = "ended"  # the VM does not run any more


class Wire(Protocol):
    """The way to the user."""

    async def send(self, data: bytes) -> None:
        """Show it."""

    async def receive(self) -> bytes | None:
        """What was typed; None when the user has left."""


class Consoles:
    """All open sessions, one for each VM."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._sessions: dict[str, _Session] = {}

    async def open(self, name: str, who: str, wire: Wire, *, force: bool) -> tuple[End, str]:
        """Until either side ends it: how, and why."""
        session: _Session | None = None
        try:
            vm = await self._services.store.vm(name)
            session = _Session(self._services, wire, vm, who)
            self._take(vm, session, force)
            return await session.run(force)
        except VmctlError as err:
            hint = f" (try: {err.hint})" if err.hint else ""
            return End.REFUSED, f"{err.message}{hint}"
        finally:
            if session is not None and self._sessions.get(session.uuid) is session:
                del self._sessions[session.uuid]

    def _take(self, vm: VMRecord, session: _Session, force: bool) -> None:
        """Be the one at this console. Raises Refused if somebody is, and is not to be sent away."""
        other = self._sessions.get(vm.uuid)
        if other is not None and not force:
            since = time.strftime("%H:%M:%S", time.gmtime(other.began))
            by = f" by {other.who}" if other.who else ""
            raise Refused(f"the console of {vm.name} is open{by} since {since} UTC", hint="--force takes it over")
        self._sessions[vm.uuid] = session
        if other is not None and not other.taken.done():
            other.taken.set_result(f"taken over by {session.who or 'another user'}")


class _Session:
    """One user at one VM's console."""

    def __init__(self, services: Services, wire: Wire, vm: VMRecord, who: str) -> None:
        self._services, self._wire, self.uuid, self._name = services, wire, vm.uuid, vm.name
        self.who = who
        self.began = self._services.clock.now()
        self.taken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._opened: tuple[Hypervisor, Console] | None = None

    async def run(self, force: bool) -> tuple[End, str]:
        """Until the user leaves, somebody takes it over, or the VM does not run any more."""
        await self._open(force)
        await self._wire.send(b"")  # it is open, though the guest may say nothing
        typing = asyncio.create_task(self._type())
        try:
            while True:
                printing = asyncio.create_task(self._print())
                ends: set[asyncio.Future[Any]] = {typing, printing, self.taken}
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                printing.cancel()
                if self.taken.done():
                    return End.TAKEN, self.taken.result()
                if typing.done():
                    return End.LEFT, ""
                await self._close()
                if not await self._follow(typing):
                    return End.ENDED, f"{self._name} does not run any more"
        finally:
            typing.cancel()
            await asyncio.gather(typing, return_exceptions=True)
            await self._close()

    async def _open(self, force: bool) -> str:
        link, _ = await require_running(self._services, await self._services.store.vm(self.uuid))
        self._opened = link.virt, await link.virt.console(self.uuid, force=force)
        return link.name

    async def _close(self) -> None:
        if self._opened is not None:
            virt, console = self._opened
            self._opened = None
            with contextlib.suppress(VmctlError):
                await virt.close_console(console)

    async def _follow(self, typing: asyncio.Future[None]) -> bool:
        """The console ended at the guest's side: find it again where the VM has gone. False if it does not run."""
        deadline = self._services.clock.monotonic() + FOLLOW_S
        while self._services.clock.monotonic() < deadline:
            await asyncio.sleep(LOOK_EVERY_S)
            if self.taken.done() or typing.done():
                return True
            try:
                vm = await self._services.store.vm(self.uuid)
                if vm.task is not None:
                    deadline = self._services.clock.monotonic() + FOLLOW_S
                elif vm.power is PowerState.STOPPED:
                    return False
                host = await self._open(force=False)
            except NotFound:
                return False
            except (Refused, HostError):
                continue
            await self._wire.send(f"\r\n[{self._name} is on {host} now]\r\n".encode())
            return True
        return False

    async def _print(self) -> None:
        if self._opened is not None:
            while (data := await self._opened[1].output.get()) is not None:
                await self._wire.send(data)

    async def _type(self) -> None:
        """Ends when the user has left. What is typed while there is no console is lost."""
        while (data := await self._wire.receive()) is not None:
            if self._opened is not None:
                virt, console = self._opened
                with contextlib.suppress(VmctlError):
                    await virt.send_console(console, data)
