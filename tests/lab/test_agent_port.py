"""The agent's stream on real hosts: it comes, over both kinds of port, and goes on when its VM does."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from guest_agent import picture, wire
from guest_agent.picture import Picture
from guest_agent.wire import Damage, Message
from tests.lab.pool import Pool, wait_for
from vmctl.hosts import domainxml

pytestmark = pytest.mark.lab

# on the host: between our end of the SSH connection and the VM's socket
RELAY = """
import os, select, socket, sys
port = socket.socket(socket.AF_UNIX)
port.connect(sys.argv[1])
while True:
    for one in select.select([0, port], [], [])[0]:
        data = os.read(0, 65536) if one == 0 else port.recv(65536)
        if not data:
            sys.exit()
        port.sendall(data) if one == 0 else os.write(1, data)
"""


class Stream:
    """A VM's agent as its host hears it."""

    def __init__(self, pool: Pool, name: str) -> None:
        self.host = pool.vm(name)["host"]
        socket = domainxml.read(pool.virsh(self.host, "dumpxml", name)).agent_socket
        assert socket, f"{name} has no port for an agent"
        pool("serve", "--stop")  # a port has one listener at a time, and the controller's would be first
        command = ["ssh", "-i", str(pool.key), "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null"]
        command += ["-oLogLevel=ERROR", f"root@{self.host}", f"exec python3 -c '{RELAY}' {socket}"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.known = Picture()
        self.got: list[Message] = []
        self.damage: list[Damage] = []
        self._decoder = wire.Decoder()
        self._sent = 0

    def say(self, type: str, body: dict[str, Any]) -> None:
        self._sent += 1
        assert self.process.stdin
        self.process.stdin.write(b"".join(wire.encode(type, self._sent, body)))

    def wait(self, wanted: Callable[[Message], bool] | str, limit_s: float = 30.0) -> Message:
        """The first message from now on that is of this type, or pleases."""
        pleases = (lambda one: one.type == wanted) if isinstance(wanted, str) else wanted
        deadline = time.monotonic() + limit_s
        assert self.process.stdout
        while time.monotonic() < deadline:
            if not select.select([self.process.stdout], [], [], 0.2)[0]:
                continue
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, "the stream ended"
            found = None
            for one in self._decoder.feed(data):
                if isinstance(one, Damage):
                    self.damage.append(one)
                    continue
                self.got.append(one)
                if one.type in ("full", "delta"):
                    picture.apply(self.known, one.type, one.body)
                found = found or (one if pleases(one) else None)
            if found:
                return found
        raise AssertionError(f"not within {limit_s:g} s: {wanted}; got {[(m.type, m.number) for m in self.got]}")

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def stream(pool: Pool, name: str) -> Iterator[Stream]:
    """Its agent, heard; the wait for it contains the boot."""
    made = Stream(pool, name)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("transport", ["virtio", "isa"])
def test_the_stream_comes_and_goes_on_over_a_migration(pool: Pool, transport: str) -> None:
    name = f"agent-{transport}"
    with pool.vms(name, options=("--agent-port", transport)):
        with stream(pool, name) as here:
            # an ISA port does not tell the guest that somebody came: say so
            hello = wait_for(lambda: _introduced(here), 90, "the agent says hello").body
            assert (hello["transport"], hello["kernel"] != "") == (transport, True)
            here.say("want", {"period_s": 1})
            here.wait("delta")
            programs = {record["program"]: key for key, record in here.known.processes.items()}
            assert {"init", "dropbear", "httpd", "python3"} <= programs.keys()
            assert here.known.processes[programs["dropbear"]]["ports"] == [22]
            assert here.known.watches["sshd"]["ok"] is True
            first, boot_id, source = dict(programs), here.known.os["boot_id"], here.host
            last = here.got[-1].number
        pool.do("migrate", name)
        with stream(pool, name) as there:
            assert there.host != source
            there.say("hello", {})
            there.wait("full")
            there.wait("delta")
            assert there.got[-1].number > last, "the agent was restarted"
            assert there.known.os["boot_id"] == boot_id
            for program in ("init", "dropbear", "httpd", "python3"):
                assert first[program] in there.known.processes, f"{program} is another one"


def _introduced(one: Stream) -> Message | None:
    one.say("hello", {})
    try:
        return one.wait("hello", 3.0)
    except AssertionError:
        return None


def test_a_host_that_does_not_read_and_a_guest_that_is_paused(pool: Pool) -> None:
    name = "agent-quiet"
    with pool.vms(name), stream(pool, name) as here:
        wait_for(lambda: _introduced(here), 90, "the agent says hello")
        here.say("want", {"period_s": 1})
        here.wait("full")
        here.wait("delta")
        began = pool.counting(name)
        here.process.send_signal(signal.SIGSTOP)  # ssh reads no more, and then neither does the relay
        time.sleep(8)
        pool.still_counts(name, began)  # the guest did not mind
        here.process.send_signal(signal.SIGCONT)
        here.wait("delta")
        pool.do("pause", name)
        time.sleep(3)
        pool.do("resume", name)
        here.got.clear()
        here.wait("delta")
        assert here.damage == []


def test_a_stopped_service_is_told_and_mended_in_debian(pool: Pool) -> None:
    name = "agent-debian"
    with debian(pool, name), stream(pool, name) as here:
        wait_for(lambda: _introduced(here), 180, "the agent says hello")
        here.say("want", {"period_s": 1})
        here.wait(lambda one: here.known.watches.get("sshd", {}).get("ok") is True, 60)
        services = here.known.services
        assert services is not None and services["ssh.service"]["active"] == "active"
        daemon = services["ssh.service"]["pid"]
        record = next(one for key, one in here.known.processes.items() if key[0] == daemon)
        assert (record["program"], record["ports"], record["user"]) == ("sshd", [22], "root")
        address = pool.address(name)
        pool.ssh(address, "systemctl stop ssh", check=False)
        here.wait(lambda one: one.body.get("what") == "restarted", 60)
        here.wait(lambda one: here.known.watches["sshd"]["ok"] is True, 30)
        events = [one.body for one in here.got if one.type == "event"]
        assert events[0]["what"] == "exited" and events[0]["pid"] == daemon
        assert sorted(str(one["what"]) for one in events) == ["exited", "failed", "recovered", "restarted"]
        here.wait(lambda one: here.known.services["ssh.service"]["pid"] not in (0, daemon), 30)  # type: ignore[index]
        assert pool.ssh(address, "systemctl is-active ssh").strip() == "active"


@contextmanager
def debian(pool: Pool, name: str) -> Iterator[None]:
    """A VM of the real distribution."""
    pool.image("debian-12")
    with pool.vms(name, image="debian-12", memory="384M"):
        yield
