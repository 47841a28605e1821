"""Names: everything a lab owns is named after the lab, so that two labs never meet and a lost one is found again. Pure.

A lab is "lab" unless VMCTL_LAB says otherwise. Interfaces have at most 15 characters, therefore a short name.
"""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from vmctl.errors import NotFound, Usage
from vmctl.local import paths

MARKER = "VMCTL_LAB_NAME"
"""Environment variable that every process started for a lab carries."""
MACHINE_MARKER = "VMCTL_LAB_MACHINE"  # the same for a process of a small machine
MOST_HOSTS, MOST_CONTROLLERS = 16, 9
CONTROLLER, HOSTED = "controller", "hosted controller"  # one on a host has that host's network, and its power
# Role of a small machine -> how it is called, the end of the first one's address, how many there may be.
ROLES = {
    "database": ("db", 41, 2),
    "etcd": ("etcd", 51, 3),
    "cache": ("cache", 61, 1),
    "proxy": ("proxy", 71, 1),
    CONTROLLER: ("ctl", 31, MOST_CONTROLLERS),
    HOSTED: ("kctl", 11, MOST_CONTROLLERS),  # kctl1 on kvm1
}
_SPACE = uuid.UUID("6b2f0c3e-6a0e-5f0b-9d63-4c2e1f7d8a11")


@dataclass(frozen=True, slots=True)
class Lab:
    """One lab: its name, and all that follows from it."""

    name: str

    @property
    def directory(self) -> Path:
        """All it keeps while it exists."""
        return paths.state_dir() / f"lab-{self.name}"

    @property
    def shared(self) -> Path:
        """What every host sees as /shared."""
        return self.directory / "shared"

    @property
    def kept(self) -> Path:
        """What survives `lab down`: the hosts' SSH host keys, or a pinned key would be wrong after each `lab up`."""
        return paths.cache_dir() / f"lab-{self.name}"

    @property
    def lock(self) -> Path:
        """Interfaces belong to the machine, not to a directory; so does the lock."""
        return Path("/run/lock") / f"vmctl-lab-{self.name}.lock"

    @property
    def bridge(self) -> str:
        return f"vl-{self.name}"

    @property
    def cgroup(self) -> str:
        return f"vmctl-lab-{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        """For every process started on the lab's behalf."""
        return dict(os.environ) | {MARKER: self.name}

    def host(self, number: int) -> Host:
        return Host(self, number)

    def hosts(self, count: int = MOST_HOSTS) -> list[Host]:
        return [self.host(number) for number in range(1, count + 1)]

    def small(self, role: str, count: int = 0) -> list[Machine]:
        """So many small machines of a role, or as many as there may be."""
        called, first, most = ROLES[role]
        return [Machine(self, role, f"{called}{at + 1}", first + at) for at in range(count or most)]

    def database(self) -> Machine:
        """The one that has its controllers' database, or the first of the two that have."""
        return self.small("database")[0]

    def controllers(self, count: int = MOST_CONTROLLERS, hosted: int = 0) -> list[Machine]:
        """The machines of so many controllers, the first of which are on hosts."""
        of_their_own = self.small(CONTROLLER, count - hosted) if count > hosted else []
        return [*(self.small(HOSTED, hosted) if hosted else ()), *of_their_own]

    def machines(self) -> list[Machine]:
        """All small machines that there may be."""
        return [one for role in ROLES for one in self.small(role)]

    def find_any(self, name: str) -> Host | Machine:
        """The host or small machine called so, with or without the lab's suffix."""
        found = (machine for machine in self.machines() if name in (machine.name, machine.short))
        return next(found, None) or self.find(name)

    def find(self, name: str) -> Host:
        """The host called so, with or without the lab's suffix."""
        for host in self.hosts():
            if name in (host.name, host.short):
                return host
        raise NotFound(f"no host {name!r} in lab {self.name!r}", hint="vmctl lab status")


@dataclass(frozen=True, slots=True)
class Host:
    """One host of a lab, by number."""

    lab: Lab
    number: int

    @property
    def short(self) -> str:
        return f"kvm{self.number}"

    @property
    def name(self) -> str:
        """kvm1 in the default lab, kvm1-NAME in another, so that both fit into one /etc/hosts."""
        return self.short if self.lab.name == "lab" else f"{self.short}-{self.lab.name}"

    @property
    def directory(self) -> Path:
        """Its private files: what a disk is to a real host."""
        return self.lab.directory / "hosts" / self.short

    @property
    def uplink(self) -> str:
        """The outer end of its network cable."""
        return f"vl-{self.lab.name}-{self.number}"

    @property
    def cgroup(self) -> str:
        return f"{self.lab.cgroup}/{self.short}"

    @property
    def uuid(self) -> uuid.UUID:
        return uuid.uuid5(_SPACE, f"{self.lab.name}/{self.number}")

    @property
    def machine_id(self) -> str:
        return uuid.uuid5(self.uuid, "machine-id").hex

    @property
    def mac(self) -> str:
        """A locally administered one, of its bridge."""
        return _mac(self.uuid)

    def address(self, network: str) -> str:
        """.11 to .26 of the lab's network, given as "10.177.X"."""
        return f"{network}.{10 + self.number}"


@dataclass(frozen=True, slots=True)
class Machine:
    """A small machine of a lab: a controller's, a database's, or of what these need."""

    lab: Lab
    role: str  # of ROLES
    short: str
    number: int  # the end of its address

    @property
    def name(self) -> str:
        """ctl1 in the default lab, ctl1-NAME in another."""
        return self.short if self.lab.name == "lab" else f"{self.short}-{self.lab.name}"

    @property
    def directory(self) -> Path:
        """Its private files."""
        return self.lab.directory / "machines" / self.short

    @property
    def host(self) -> Host | None:
        """The host that it is on, if it is no machine of its own."""
        return self.lab.host(self.number - 10) if self.role == HOSTED else None

    @property
    def runs_vmctl(self) -> bool:
        """Whether it is a controller."""
        return self.role in (CONTROLLER, HOSTED)

    @property
    def uplink(self) -> str:
        """The outer end of its network cable."""
        return self.host.uplink if self.host else f"vl-{self.lab.name}-{self.number}"

    @property
    def mac(self) -> str:
        """A locally administered one, of its own end."""
        return _mac(uuid.uuid5(_SPACE, f"{self.lab.name}/{self.short}"))

    def address(self, network: str) -> str:
        """In the lab's network, given as "10.177.X"; ROLES has which."""
        return f"{network}.{self.number}"


def _mac(drawn: uuid.UUID) -> str:
    return "02:" + ":".join(f"{byte:02x}" for byte in drawn.bytes[:5])


def current() -> Lab:
    """The lab that VMCTL_LAB names."""
    name = os.environ.get("VMCTL_LAB", "") or "lab"
    if not re.fullmatch(r"[a-z][a-z0-9]{0,7}", name):
        raise Usage(f"VMCTL_LAB={name!r} cannot name a lab", hint="a letter, then up to 7 letters or digits")
    return Lab(name)
