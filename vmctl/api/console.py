"""Route: a VM's serial console over a WebSocket; bytes both ways.

One user has it at a time: a second one is refused, or takes it over and is named to the first. When its VM moves, the
console follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from vmctl import text
from vmctl.act.whereabouts import home
from vmctl.controller import Controller
from vmctl.errors import HostError, NotFound, Refused, VmctlError
from vmctl.hosts.virt import Console, Virt
from vmctl.model import PowerState
from vmctl.records import VMRecord

router = APIRouter()
# WebSocket close codes; the reason is a sentence
REFUSED, TAKEN, ENDED = 4000, 4001, 4002
MOST_REASON = 120  # bytes that fit into a close frame
FOLLOW_S, LOOK_EVERY_S = 5.0, 0.5  # how long a VM that no task holds may be nowhere


class Session:
    """One user at one VM's console."""

    def __init__(self, controller: Controller, socket: WebSocket, vm: VMRecord, who: str) -> None:
        self._controller, self._socket, self.uuid, self._name = controller, socket, vm.uuid, vm.name
        self.who = who
        self.began = time.time()
        self.taken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._opened: tuple[Virt, Console] | None = None

    async def run(self, force: bool) -> tuple[int, str]:
        """Until the user leaves, somebody takes it over, or the VM does not run any more: the close code and why."""
        await self._open(force)
        await self._socket.send_bytes(b"")  # it is open, though the guest may say nothing
        typing = asyncio.create_task(self._type())
        try:
            while True:
                printing = asyncio.create_task(self._print())
                ends: set[asyncio.Future[Any]] = {typing, printing, self.taken}
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                printing.cancel()
                if self.taken.done():
                    return TAKEN, self.taken.result()
                if typing.done():
                    return 1000, ""
                await self._close()
                if not await self._follow(typing):
                    return ENDED, f"{self._name} does not run any more"
        finally:
            typing.cancel()
            await asyncio.gather(typing, return_exceptions=True)
            await self._close()

    async def _open(self, force: bool) -> str:
        link = await home(self._controller.world, await self._controller.world.store.vm(self.uuid))
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
        deadline = time.monotonic() + FOLLOW_S
        while time.monotonic() < deadline:
            await asyncio.sleep(LOOK_EVERY_S)
            if self.taken.done() or typing.done():
                return True
            try:
                vm = await self._controller.world.store.vm(self.uuid)
                if vm.task is not None:
                    deadline = time.monotonic() + FOLLOW_S
                elif vm.power is PowerState.STOPPED:
                    return False
                host = await self._open(force=False)
            except NotFound:
                return False
            except (Refused, HostError):
                continue
            await self._socket.send_bytes(f"\r\n[{self._name} is on {host} now]\r\n".encode())
            return True
        return False

    async def _print(self) -> None:
        if self._opened is not None:
            while (data := await self._opened[1].output.get()) is not None:
                await self._socket.send_bytes(data)

    async def _type(self) -> None:
        """Ends when the user has left. What is typed while there is no console is lost."""
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                data = await self._socket.receive_bytes()
                if self._opened is not None:
                    virt, console = self._opened
                    with contextlib.suppress(VmctlError):
                        await virt.send_console(console, data)


@router.websocket("/vms/{name}/console")
async def console(socket: WebSocket, name: str, force: bool = False, who: str = "") -> None:
    """What the guest prints goes out, what the user types goes in, until either side ends it."""
    await socket.accept()
    sessions: dict[str, Session] = socket.app.state.consoles
    session: Session | None = None
    try:
        vm = await socket.app.state.controller.world.store.vm(name)
        session = Session(socket.app.state.controller, socket, vm, who if not text.bad_text(who, 60) else "")
        await _take(sessions, vm, session, force)
        code, why = await session.run(force)
    except VmctlError as err:
        hint = f" (try: {err.hint})" if err.hint else ""
        code, why = REFUSED, f"{err.message}{hint}"
    finally:
        if session is not None and sessions.get(session.uuid) is session:
            del sessions[session.uuid]
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the user has gone already
        await socket.close(code, why.encode()[:MOST_REASON].decode(errors="ignore"))


async def _take(sessions: dict[str, Session], vm: VMRecord, session: Session, force: bool) -> None:
    """Be the one at this console. Raises Refused if somebody is, and is not to be sent away."""
    other = sessions.get(vm.uuid)
    if other is not None and not force:
        since = time.strftime("%H:%M:%S", time.gmtime(other.began))
        by = f" by {other.who}" if other.who else ""
        raise Refused(f"the console of {vm.name} is open{by} since {since} UTC", hint="--force takes it over")
    sessions[vm.uuid] = session
    if other is not None and not other.taken.done():
        other.taken.set_result(f"taken over by {session.who or 'another user'}")
