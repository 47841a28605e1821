"""What a successor must know of a task that its controller left open: a class per kind of task. Pure.

A task's journal grows step by step. What a step has not written is as it is here; what an older version wrote and this
one does not know is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Journal:
    """Of a task that can be looked at without it."""


@dataclass(frozen=True, slots=True)
class Starting(Journal):
    """Of a task that starts a VM."""

    starting: str = ""  # the host that is asked to start it


@dataclass(frozen=True, slots=True)
class Stopping(Journal):
    """Of a task that brings a VM's guest to a stop."""

    host: str = ""
    stopping_since: float = 0.0  # UTC seconds: a predecessor's wait counts
    wanted: str = ""  # what was wanted of it before


@dataclass(frozen=True, slots=True)
class Rebooting(Stopping):
    """A reboot."""

    starting: str = ""


@dataclass(frozen=True, slots=True)
class Making(Journal):
    """Of a task that makes files on a storage."""

    storage: str = ""
    made: list[str] = field(default_factory=list)  # volumes, each journalled before it is made
    maker: str = ""  # the host that was asked last to make one


@dataclass(frozen=True, slots=True)
class Creating(Making):
    """A create."""

    uuid: str = ""
    starting: str = ""
    again: int = 0  # so often it was begun anew


@dataclass(frozen=True, slots=True)
class RemovingImage(Journal):
    """The removal of an image."""

    image: dict[str, Any] = field(default_factory=dict)  # as it was registered


@dataclass(frozen=True, slots=True)
class Finishing(Journal):
    """An upload that becomes an image."""

    image: dict[str, Any] = field(default_factory=dict)  # as it is about to be registered
    hashes: dict[str, str] = field(default_factory=dict)  # part -> SHA-256 of what is on the disk
    checked: list[str] = field(default_factory=list)  # parts of which the client had told the same


@dataclass(frozen=True, slots=True)
class Fetching(Finishing):
    """An image that is fetched."""

    upload: str = ""  # written before it is begun


@dataclass(frozen=True, slots=True)
class AddingStorage(Journal):
    """A storage that is proven and registered."""

    added_at: float = 0.0  # by which it is told from another one of its name


@dataclass(frozen=True, slots=True)
class RemovingStorage(Journal):
    """The removal of a storage."""

    storage: dict[str, Any] = field(default_factory=dict)  # as it was registered


@dataclass(frozen=True, slots=True)
class Deleting(Journal):
    """A deletion."""

    deleting: str = ""  # the VM whose disks go


@dataclass(frozen=True, slots=True)
class Migrating(Stopping):
    """A migration, live or cold."""

    source: str = ""
    target: str = ""
    autostart: bool = False  # libvirt on its old host starts it at boot
    socket: str = ""  # live: on the source, towards the target's libvirtd
    cold: bool = False
    definition: str = ""  # cold: of one that is stopped, as its host has it
    defined: str = ""  # cold: the host where it was defined by us
    starting: str = ""
    back: str = ""  # cold: why it is started where it was
    again: bool = False  # live: it was begun once more


@dataclass(frozen=True, slots=True)
class CarryingOut(Journal):
    """A plan that is carried out."""

    begun: bool = False
    moves: list[list[str]] = field(default_factory=list)  # [VM's UUID, its name, source, target]
    left: int = 0  # VMs that an earlier controller's moves took away


@dataclass(frozen=True, slots=True)
class Pressing(Journal):
    """A reset, pause or resume."""

    host: str = ""


@dataclass(frozen=True, slots=True)
class Renewing(Journal):
    """A lease that is taken again."""

    paused: str = ""  # the host where it was paused for that


@dataclass(frozen=True, slots=True)
class RunningJob(Journal):
    """A command that runs on hosts."""

    runs: list[dict[str, Any]] = field(default_factory=list)  # each as a JobRun


@dataclass(frozen=True, slots=True)
class Reporting(Journal):
    """Hosts that join."""

    report: dict[str, Any] = field(default_factory=dict)


# Kind of task -> its journal; a kind that is not here needs none
JOURNALS: dict[str, type[Journal]] = {
    "create": Creating,
    "start": Starting,
    "stop": Stopping,
    "reboot": Rebooting,
    "reset": Pressing,
    "pause": Pressing,
    "resume": Pressing,
    "delete": Deleting,
    "migrate": Migrating,
    "renew lease": Renewing,
    "host add": Reporting,
    "drain": CarryingOut,
    "rebalance": CarryingOut,
    "storage add": AddingStorage,
    "storage remove": RemovingStorage,
    "image add": Making,
    "image remove": RemovingImage,
    "image finish": Finishing,
    "image fetch": Fetching,
    "run": RunningJob,
}
