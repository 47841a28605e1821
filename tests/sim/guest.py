"""What speaks inside a simulated guest: an agent on the VM's port, in the real agent's words.

How a guest is belongs to the VM and not to one QEMU: it moves along, and a new boot may end it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from guest_agent import wire
from tests.sim.world import EPOCH, Domain, Machine
from vmctl.model.vms import PowerState

PERIOD_S = 5.0
AGENTS = ("well", "sick", "cursed", "hung")  # who is cursed is sick again after each boot
SICK = ("sick", "cursed", "hung")


class GuestPort:
    """One client's connection to a guest's port: reader and writer in one, as QEMU serves one client per socket."""

    def __init__(self, machine: Machine, domain: Domain, lost: asyncio.Event) -> None:
        self._machine, self._domain = machine, domain
        self._lost = lost
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._open, self._greeted, self._number = True, False, 0
        self._boot = ""
        domain.ports.append(lambda: machine.when_able(self._hang_up, False))

    async def read(self, _most: int) -> bytes:
        """What the guest says next; nothing once its QEMU or the connection is gone."""
        heard, lost = asyncio.ensure_future(self._heard.get()), asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait({heard, lost}, return_when=asyncio.FIRST_COMPLETED)
            return heard.result() if heard.done() else b""
        finally:
            heard.cancel()
            lost.cancel()

    def write(self, _data: bytes) -> None:
        """Greet it, or ask for everything: it tells everything either way."""
        if not self._greeted:
            self._greeted = True
            self._tick()
        else:
            self._boot = ""

    def close(self) -> None:
        """Hear no more."""
        self._open = False

    def _tick(self) -> None:
        if not self._open:
            return
        world = self._machine.world
        how = world.guests.get(self._domain.uuid, "")
        if self._domain.power is PowerState.RUNNING and how and how != "hung":
            self._machine.when_able(lambda: self._arrive(self._said(how)), False)
        world.loop.call_later(PERIOD_S, self._tick)

    def _hang_up(self) -> None:
        self._arrive(b"")
        self._open = False

    def _arrive(self, data: bytes) -> None:
        if self._open:
            self._heard.put_nowait(data)

    def _said(self, how: str) -> bytes:
        boot = self._domain.boot
        hello = {"agent": "1", "boot_id": boot, "ticks_per_s": 100, "period_s": PERIOD_S}
        first = self._frame(wire.HELLO, hello) if boot != self._boot else b""
        self._boot = boot
        return first + self._frame(wire.FULL, self._picture(how, boot))

    def _frame(self, kind: str, body: dict[str, Any]) -> bytes:
        self._number += 1
        return b"".join(wire.encode(kind, self._number, body))

    def _picture(self, how: str, boot: str) -> dict[str, Any]:
        now = self._machine.world.now
        ok = how not in SICK
        up_s = max(0.0, now - self._domain.started_at)
        for_s = now - self._machine.world.guests_at.get(self._domain.uuid, 0.0)
        since_s = max(0.0, up_s - for_s)
        watch = {"name": "web", "ok": ok, "since_s": since_s, "why": "" if ok else "port 80 is silent"}
        return {
            "at": {"utc_us": round((EPOCH + now) * 1e6), "up_s": up_s},
            "os": {"boot_id": boot},
            "processes": [{"pid": 1, "start": 1, "program": "init"}],
            "watches": [watch],
        }
