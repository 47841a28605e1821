"""A console has one user at a time, who is told how it ended; what is typed after that reaches no shell."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.act.hosts import FakeHost
from tests.cli.pool import Pool
from vmctl.errors import Refused
from vmctl.hosts.link import HostLink
from vmctl.model.records import VMRecord
from vmctl.model.vms import PowerState, Spec

UUID = "31111111-2222-3333-4444-555555555555"


class Serial(FakeHost):
    """A host with one guest, whose console says back what it is told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.open: list[Any] = []
        self.typed = b""
        self.in_use = False

    async def domain(self, uuid: str) -> Any:
        return uuid

    async def console(self, uuid: str, *, force: bool = False) -> Any:
        if self.in_use and not force:
            raise Refused("the console is in use, past vmctl")
        self.open.append(SimpleNamespace(output=asyncio.Queue()))
        return self.open[-1]

    async def send_console(self, console: Any, data: bytes) -> None:
        self.typed += data
        await console.output.put(data.upper())

    async def close_console(self, console: Any) -> None:
        self.open.remove(console)

    async def hang_up(self) -> None:
        """The guest's end of the console is gone."""
        for console in self.open:
            await console.output.put(None)


class Terminal:
    """`vmctl console` at a terminal of its own, and what its user sees."""

    def __init__(self, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "vmctl.cli.main", "console", *words]
        plain = os.environ | {"NO_COLOR": "1"}
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=plain
        )
        self.theirs = theirs  # held open, as a shell does
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def see(self, text: str, limit_s: float = 15.0) -> None:
        deadline = time.monotonic() + limit_s
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self._ours], [], [], 0.1)[0]:
                self.seen += os.read(self._ours, 4096).decode()

    def end(self) -> int:
        return self._process.wait(15)

    def for_the_shell(self) -> str:
        """What was typed and not read: the next program's."""
        waiting = select.select([self.theirs], [], [], 0.2)[0]
        return os.read(self.theirs, 4096).decode() if waiting else ""

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)
        os.close(self.theirs)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for one in opened:
        one.close()


@pytest.fixture(scope="module")
def serial(pool: Pool) -> Serial:
    made = Serial("kvm7")
    pool.controller.services.links["kvm7"] = cast(HostLink, made)
    vm = VMRecord(Spec(UUID, "talks", 1, 64), 1.0, host="kvm7", power=PowerState.RUNNING)
    pool.do(pool.controller.services.store.add_vm(vm))
    return made


def begun(terminals: list[Terminal], *words: str) -> Terminal:
    terminals.append(Terminal(*words))
    terminals[-1].see("connected to talks; Ctrl-] leaves")
    return terminals[-1]


def test_what_is_typed_goes_in_and_what_is_said_comes_out(serial: Serial, terminals: list[Terminal]) -> None:
    one = begun(terminals, "talks")
    one.type("hello")
    one.see("HELLO")
    one.type("\x1dls\r")
    one.see("left the console")
    assert one.end() == 0 and serial.typed.endswith(b"hello")


def test_a_second_user_is_refused_and_may_take_it_over(serial: Serial, terminals: list[Terminal]) -> None:
    one = begun(terminals, "talks")
    terminals.append(Terminal("talks"))
    terminals[-1].see("error: the console of talks is open by")
    terminals[-1].see("--force takes it over")
    assert terminals[-1].end() == 3
    two = begun(terminals, "talks", "--force")
    one.see("[the console has ended: the console of talks was taken over by")
    one.type("reboot\r")  # by somebody who has not looked
    assert one.end() == 3
    assert one.for_the_shell() == "", "what was typed on reached the shell"
    assert b"reboot" not in serial.typed
    two.type("still here")
    two.see("STILL HERE")


def test_a_console_in_use_past_vmctl_is_refused(serial: Serial, terminals: list[Terminal]) -> None:
    serial.in_use = True
    terminals.append(Terminal("talks"))
    terminals[-1].see("the console is in use, past vmctl")
    assert terminals[-1].end() == 3
    begun(terminals, "talks", "--force")
    serial.in_use = False


def test_it_follows_a_vm_that_moved(pool: Pool, serial: Serial, terminals: list[Terminal]) -> None:
    one = begun(terminals, "talks")
    there = Serial("kvm8")
    pool.controller.services.links["kvm8"] = cast(HostLink, there)
    store = pool.controller.services.store
    pool.do(store.change(VMRecord, UUID, host="kvm8"))
    pool.do(serial.hang_up())
    one.see("[talks is on kvm8 now]")
    one.type("moved")
    one.see("MOVED")
    assert there.typed == b"moved"
    pool.do(store.change(VMRecord, UUID, host="kvm7"))


def test_a_vm_that_stops_ends_it(pool: Pool, serial: Serial, terminals: list[Terminal]) -> None:
    one = begun(terminals, "talks")
    store = pool.controller.services.store
    pool.do(store.change(VMRecord, UUID, power=PowerState.STOPPED))
    pool.do(serial.hang_up())
    one.see("error: talks does not run any more")
    assert one.end() == 1
    pool.do(store.change(VMRecord, UUID, power=PowerState.RUNNING))
