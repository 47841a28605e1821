"""Arguments: hosts, storages and images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import MaxLen, MinLen

from vmctl.commands.fields import Host, Hosts, Image, Labels, MaybeName, Name, SomeHosts, Storage


@dataclass(frozen=True, slots=True)
class AddHosts:
    """Bring hosts into the pool, each as NAME or NAME=[USER@]ADDRESS[:PORT]."""

    hosts: SomeHosts
    user: Annotated[str, MaxLen(64)] = ""
    fingerprint: Annotated[str, MaxLen(128)] = ""
    migration_address: Annotated[str, MaxLen(255)] = ""
    lockspace: str = ""
    labels: Labels = field(default_factory=dict)
    force: bool = False

    @property
    def subject(self) -> str:
        """What its task is about."""
        return " ".join(self.hosts)


@dataclass(frozen=True, slots=True)
class CheckHosts:
    """Ask the doctor again; no names: about all hosts."""

    hosts: Hosts = field(default_factory=list)

    @property
    def subject(self) -> str:
        """What its task is about."""
        return " ".join(self.hosts) or "all hosts"


@dataclass(frozen=True, slots=True)
class RemoveHost:
    """Let a host go, as it was found."""

    host: Host
    force: bool = False


@dataclass(frozen=True, slots=True)
class LabelHost:
    """Set labels of a host; an empty value takes one away."""

    host: Host
    labels: Labels


@dataclass(frozen=True, slots=True)
class DrainHost:
    """Empty a host, and take no more VMs there."""

    host: Host


@dataclass(frozen=True, slots=True)
class UndrainHost:
    """Let a host take VMs again."""

    host: Host


@dataclass(frozen=True, slots=True)
class AddStorage:
    """Register a directory that the hosts share."""

    name: Name
    path: Annotated[str, MinLen(1)]
    lockspace: str = ""


@dataclass(frozen=True, slots=True)
class CheckStorage:
    """Prove a storage again, from every host."""

    name: Storage


@dataclass(frozen=True, slots=True)
class MeasureStorage:
    """Measure how long after a host's loss its locks become free; `host` will be cut off."""

    name: Storage
    host: Name


@dataclass(frozen=True, slots=True)
class RemoveStorage:
    """Forget a storage; its files stay."""

    name: Storage


@dataclass(frozen=True, slots=True)
class AddImage:
    """Upload an image; the files as the controller's own file system has them."""

    name: Name
    file: Annotated[str, MinLen(1)]
    kernel: str = ""
    initrd: str = ""
    cmdline: Annotated[str, MaxLen(2048)] = ""
    storage: MaybeName = ""

    def problem(self) -> str | None:
        """What does not go together."""
        if not self.kernel and (self.initrd or self.cmdline):
            return f"{'initrd' if self.initrd else 'cmdline'} is for a kernel, and none is given"
        return None


@dataclass(frozen=True, slots=True)
class RemoveImage:
    """Delete an image that no VM's disk is built on."""

    name: Image


# -- queries


@dataclass(frozen=True, slots=True)
class ListHosts:
    """All hosts."""


@dataclass(frozen=True, slots=True)
class ShowHost:
    """One host."""

    host: Host


@dataclass(frozen=True, slots=True)
class PlanDrain:
    """What a drain would do."""

    host: Host


@dataclass(frozen=True, slots=True)
class ListStorages:
    """All storages."""


@dataclass(frozen=True, slots=True)
class ShowStorage:
    """One storage, and what it was proven to do."""

    name: Storage


@dataclass(frozen=True, slots=True)
class ListImages:
    """All images."""
