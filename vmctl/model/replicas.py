"""A controller's life in the registry: what other controllers, and people, can tell of it; who leads; what holds on to
hosts for it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vmctl.errors import Usage

NAMING, PROXY = "naming", "proxy"
ROLES = {
    NAMING: "it watches hosts, and decides and acts when it leads",
    PROXY: "it answers clients, and passes on what only a leader does",
}


@dataclass(frozen=True, slots=True)
class Replica:
    """One run of a controller.

    `life` (a UUID) is drawn anew at each start, so that one that restarts within seconds is another one. `home` names
    the folder and the machine that it runs from, of which a lock there makes sure that it runs once.
    """

    life: str
    name: str
    home: str
    version: str
    started_at: float
    beat: int = 0  # counts; whoever sees it stand still for long knows that it is dead, frozen or cut off
    beat_at: float = 0.0  # UTC seconds, by the registry's clock: for people, nothing is decided by it
    ended_at: float | None = None
    why: str = ""  # it has ended
    address: str = ""  # HOST:PORT where other controllers reach it; empty: they do not
    certificate: str = ""  # PEM, made for this life alone: who shows it there is this one
    roles: str = ",".join(ROLES)  # what it is there for
    draining: bool = False  # an admin is about to take it away
    tables: str = ""  # the newest schema of the registry that its version knows
    boot_id: str = ""  # of its machine: one that was copied, and has the same home, is in another boot

    @property
    def naming(self) -> bool:
        """Whether it is there to watch hosts, and to lead."""
        return NAMING in self.roles.split(",")

    @property
    def takes_part(self) -> bool:
        """Whether it is to watch hosts, and to lead, now."""
        return self.naming and not self.draining


def roles_of(text: str) -> str:
    """Roles as they are kept, in one order. Raises Usage for what is none."""
    given = {one.strip() for one in text.split(",") if one.strip()}
    if not given or given - ROLES.keys():
        wrong = ", ".join(sorted(given - ROLES.keys())) or "nothing"
        raise Usage(f"{wrong} is no role of a controller", hint=f"of {', '.join(ROLES)}")
    return ",".join(one for one in ROLES if one in given)


@dataclass(frozen=True, slots=True)
class Lead:
    """Which life leads: it alone observes and acts. A term is one life's lead, and they are counted."""

    name: str  # of what is led: there is one
    life: str
    term: int
    since: float  # UTC seconds, by that one's clock: for people


@dataclass(frozen=True, slots=True)
class LeaderHeard:
    """When a leader was last heard."""

    ago_s: float
    at: float  # UTC seconds


@dataclass(frozen=True, slots=True)
class HostSession:
    """One log-in on a host. Written before anything is done there, so that whoever comes later can end it.

    A process is told from all others by the boot that it is in, its pid, and the tick at which it began.
    """

    host: str
    boot_id: str
    pid: int  # of sshd's process for this session
    ticks: int  # since boot, when that process began
    life: str
    at: float  # UTC seconds: for people
