"""What is done with hosts, and asked about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import MaxLen

from vmctl.commands.fields import Host, Hosts, Labels, SomeHosts
from vmctl.commands.rows import Asked, Command, Query, task
from vmctl.model.rights import Permission as May


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


# fmt: off
ROWS: tuple[Asked, ...] = (
    task("host add", AddHosts, "POST hosts", May.HOSTS),
    task("host check", CheckHosts, "POST hosts/check", May.HOSTS, resumes=True),
    task("host remove", RemoveHost, "DELETE hosts/{host}", May.HOSTS),
    task("drain", DrainHost, "POST hosts/{host}/drain", May.PLAN, resumes=True),
    Command(LabelHost, "PUT hosts/{host}/labels", May.HOSTS, "host label", edits=True),
    Command(UndrainHost, "POST hosts/{host}/undrain", May.PLAN, "undrain"),
    Query(ListHosts, "GET hosts", May.LOOK, live=True, by_any=True),
    Query(ShowHost, "GET hosts/{host}", May.LOOK, live=True, by_any=True),
    Query(PlanDrain, "GET hosts/{host}/drain", May.LOOK),
)
# fmt: on
