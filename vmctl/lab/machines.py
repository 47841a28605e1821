"""Small machines of a lab: controllers, and what they share. Each has a name and a cable of its own, or is on a host.

So each can be cut, frozen and killed by itself. Their processes carry the machine's name, by which they are found.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vmctl.errors import HostError
from vmctl.lab import cgroups, host, network, system
from vmctl.lab.names import MACHINE_MARKER, Lab, Machine
from vmctl.lab.system import marked, run, wait

SCRIPT = Path(__file__).with_name("machine.sh")


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """One small machine as it is now. `state` is up, cut, frozen or down."""

    name: str
    role: str
    address: str
    state: str
    pid: int
    socket: str = ""  # a controller's


def start(one: Machine, subnet: str, command: Iterable[str], environment: dict[str, str]) -> None:
    """Start it with its program; it has its cable when this returns."""
    one.directory.mkdir(parents=True, exist_ok=True)
    own = one.lab.environment | environment
    own |= _about(one, one.address(subnet)) | {MACHINE_MARKER: one.short}
    if one.host is not None:
        own |= {"MACHINE_HOST": str(host.pid(one.host)), "MACHINE_GROUPS": " ".join(map(str, cgroups.of(one.host)))}
        host.detach([str(SCRIPT), *command], own, one.directory / "console.log")
        return
    words = ["unshare", "--net", "--uts", "--mount", str(SCRIPT), *command]
    host.detach(words, own, one.directory / "console.log")
    if not wait(lambda: bool(first := pid(one)) and _has_a_network(first), 10):
        raise silent(one, "it did not start")
    network.plug(one, pid(one))


def prepare(one: Machine, command: Iterable[str | Path]) -> None:
    """Run something to its end that sees the machine's files as its program will, before that is started."""
    run("unshare", "--mount", SCRIPT, *command, env=one.lab.environment | _about(one, ""))


def _about(one: Machine, address: str) -> dict[str, str]:
    return {"MACHINE_NAME": one.name, "MACHINE_ADDRESS": address, "MACHINE_DIR": str(one.directory)}


def _has_a_network(number: int) -> bool:
    """Whether it is in a namespace of its own already."""
    return _network(number) not in ("", _network(os.getpid()))


def stop(one: Machine) -> None:
    """A power failure: all its processes at once, and its cable."""
    _send(one, signal.SIGKILL)
    wait(lambda: not processes(one), 10)
    if one.host is None:
        network.unplug(one)


def freeze(one: Machine) -> None:
    """It stands still, as a machine does that swaps or whose hypervisor holds it."""
    _send(one, signal.SIGSTOP)


def thaw(one: Machine) -> None:
    """It goes on as if nothing had been."""
    _send(one, signal.SIGCONT)


def _send(one: Machine, number: signal.Signals) -> None:
    for process in processes(one):
        with suppress(ProcessLookupError):
            os.kill(process, number)


def processes(one: Machine) -> list[int]:
    """Its processes, the oldest first.

    Those that carry its name, and all others in the network of the first of them: a PostgreSQL server's write their
    titles over what they were begun with.
    """
    named = _named(one)
    if one.host is not None:
        return sorted(named)  # all others there are the host's
    networks = {_network(pid) for pid in named} - {_network(os.getpid()), ""}
    there = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return sorted(named | {pid for pid in there if _network(pid) in networks})


def _named(one: Machine) -> set[int]:
    return marked(one.lab, f"{MACHINE_MARKER}={one.short}")


def _network(number: int) -> str:
    with suppress(OSError):
        return str(Path(f"/proc/{number}/ns/net").readlink())
    return ""


def pid(one: Machine) -> int:
    """Its first process; 0 where it is down."""
    return min(_named(one), default=0)


def status(one: Machine, subnet: str, whole: bool, socket: str = "") -> MachineStatus:
    """How it is."""
    number = pid(one)
    state = "down" if not number else "frozen" if _stopped(number) else "up" if whole else "cut"
    return MachineStatus(one.name, one.role, one.address(subnet) if subnet else "", state, number, socket)


def _stopped(number: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2][0] == "T"
    return False


def silent(one: Machine, what: str) -> HostError:
    """Why it did not come up, with the end of what it said."""
    return system.silent(one.name, one.directory / "console.log", what)


def existing(lab: Lab) -> list[Machine]:
    """Those that were made."""
    return [one for one in lab.machines() if one.directory.exists()]
