"""Route: a VM's serial console over a WebSocket; bytes both ways."""

from __future__ import annotations

import asyncio
import contextlib

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from vmctl.act.whereabouts import home
from vmctl.controller import Controller
from vmctl.errors import VmctlError
from vmctl.hosts.virt import Console

router = APIRouter()
REFUSED = 4000  # WebSocket close code; the reason is the error's sentence


@router.websocket("/vms/{name}/console")
async def console(socket: WebSocket, name: str) -> None:
    """What the guest prints goes out, what the user types goes in, until either side ends it."""
    controller: Controller = socket.app.state.controller
    await socket.accept()
    try:
        vm = await controller.world.store.vm(name)
        link = await home(controller.world, vm)
        opened = await link.virt.console(vm.uuid)
    except VmctlError as err:
        await socket.close(REFUSED, err.message[:120])
        return
    reading = asyncio.create_task(_print(socket, opened))
    try:
        while not reading.done():
            await link.virt.send_console(opened, await socket.receive_bytes())
    except (WebSocketDisconnect, VmctlError):
        return  # either side has ended it
    finally:
        reading.cancel()
        with contextlib.suppress(VmctlError):
            await link.virt.close_console(opened)


async def _print(socket: WebSocket, console: Console) -> None:
    while (data := await console.output.get()) is not None:
        await socket.send_bytes(data)
    await socket.close(1000, "the guest's console ended")
