"""What names one run of one program. Pure: no clock, no allocator, no chance.

An incarnation is (machine, run, boot id, pid, start in clock ticks since boot). No clock jump changes any of these, and
a live migration keeps them all; a restart changes the start or the pid, a reboot the boot id, a clone the machine, and
a VM put back to a snapshot gets another run number. A kernel gives out pids in a circle and cannot come round within
one tick (10 ms), so a program that is restarted within a tick has another pid; two sightings with everything equal are
one incarnation.

From it follows a UUID, the same wherever it is worked out, and a readable name, the gpid `ip:port:start_time:pid`. The
gpid is text for people: its start time comes from a clock that may be wrong, so the ledger fixes it when it first sees
the process. Where the machine's address or the process' port is not known yet the name says 0.0.0.0 or 0; they are
fixed when they are first known, and a name given out before that still finds the process (`same_name`).
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from dataclasses import dataclass
from typing import NamedTuple

# The namespace of our UUIDs, drawn once. Never change it: every identifier given out would change.
NAMESPACE = uuid.UUID("6f0a3bd2-9a43-4b8e-8f55-2c7d0c6a91e4")
UNKNOWN_IP = "0.0.0.0"
GPID = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5}):([0-9]{1,19}):([0-9]{1,10})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One run of one program. `machine`: the VM's or host's UUID, in lower case; `run` counts snapshot reverts."""

    machine: str
    run: int
    boot_id: str
    pid: int
    start_ticks: int

    @property
    def text(self) -> str:
        """The canonical text: no two incarnations share it, for only `boot_id` could contain a slash."""
        return f"{self.machine}/{self.run}/{self.boot_id}/{self.pid}/{self.start_ticks}"

    @property
    def uuid(self) -> uuid.UUID:
        """The deterministic UUID (version 5)."""
        return uuid.uuid5(NAMESPACE, self.text)


class Gpid(NamedTuple):
    """The parts of a readable name. `started_us`: UTC microseconds; `port` 0 and `ip` 0.0.0.0: not known."""

    ip: str
    port: int
    started_us: int
    pid: int

    def __str__(self) -> str:
        return gpid(*self)


def gpid(ip: str, port: int, started_us: int, pid: int) -> str:
    """The readable name; an IPv6 address stands in brackets. An empty `ip` is not known."""
    address = ip or UNKNOWN_IP
    return f"{f'[{address}]' if ':' in address else address}:{port}:{started_us}:{pid}"


def parse_gpid(text: str) -> Gpid:
    """The parts of a name. Raises ValueError for what is none."""
    found = GPID.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a gpid: it has the form ip:port:start_time:pid, an IPv6 address in brackets")
    ip = plain_ip(found[1] or found[2])
    if not ip or (":" in ip) != bool(found[1]):
        raise ValueError(f"{text!r} is not a gpid: {found[1] or found[2]!r} is no IP address")
    if int(found[3]) > 65535:
        raise ValueError(f"{text!r} is not a gpid: there is no port {found[3]}")
    return Gpid(ip, int(found[3]), int(found[4]), int(found[5]))


def same_name(asked: Gpid, known: Gpid) -> bool:
    """Whether `asked` names what is called `known` now: the same name, or one from when less was known."""
    return (
        asked[2:] == known[2:]
        and asked.port in (known.port, 0)
        and (asked.ip or UNKNOWN_IP) in (known.ip or UNKNOWN_IP, UNKNOWN_IP)
    )


def plain_ip(text: str) -> str:
    """An IP address in its one canonical form, without a zone; empty for what is none."""
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return ""


def parse_endpoint(text: str) -> tuple[str, int]:
    """(address, port) of `10.0.0.7:80` or `[fe80::1]:80`. Raises ValueError."""
    found = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^:\[\]]+)):([0-9]{1,5})", text.strip(), re.ASCII)
    ip = plain_ip(found[1] or found[2]) if found else ""
    if not found or not ip or (":" in ip) != bool(found[1]) or not 0 < int(found[3]) < 65536:
        raise ValueError(f"{text!r} is not IP:PORT: write 10.0.0.7:80 or [fe80::1]:80")
    return ip, int(found[3])
