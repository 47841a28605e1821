"""Arguments: how much a user or a project may have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, MaxLen

from vmctl import text
from vmctl.commands.fields import MOST_MIB, Help, Rule
from vmctl.commands.rows import Asked, Command, On, Query
from vmctl.model.rights import Permission as May

What = Literal["vms", "vcpus", "mem_mib", "disk_bytes", "commands", "requests_per_s"]


def _bad_whose(name: str) -> str | None:
    kind, _, rest = name.partition(":")
    if kind not in ("user", "project") or not rest:
        return "must be user:NAME or project:NAME"
    return text.bad_part(name)


Whose = Annotated[str, Rule(_bad_whose), Help("user:NAME or project:NAME.")]
MaybeWhose = Annotated[str, Rule(lambda name: _bad_whose(name) if name else None), Help("user:NAME or project:NAME.")]
Count = Annotated[int, Ge(0), Le(10**9)]


@dataclass(frozen=True, slots=True)
class SetLimits:
    """Limit how much a user or a project may have; what is not given stays as it is. What there is already stays.

    `lift`: what has no limit any more.
    """

    of: Whose
    vms: Count | None = None
    vcpus: Count | None = None
    mem_mib: Annotated[int, Ge(0), Le(MOST_MIB * 1024)] | None = None
    disk_bytes: Annotated[int, Ge(0), Le(1 << 60)] | None = None
    commands: Count | None = None
    requests_per_s: Annotated[float, Gt(0), Le(1e6)] | None = None
    lift: Annotated[list[What], MaxLen(10)] = field(default_factory=list)

    @property
    def subject(self) -> str:
        """What it is about."""
        return self.of

    def problem(self) -> str | None:
        """What does not go together."""
        if both := [what for what in self.lift if getattr(self, what) is not None]:
            return f"{both[0]} is given, and lifted"
        return None


@dataclass(frozen=True, slots=True)
class ListLimits:
    """How much users and projects may have, and have: those that one may see."""

    of: MaybeWhose = ""


ROWS: tuple[Asked, ...] = (
    Command(SetLimits, "PUT limits/{of}", May.PROJECTS, "limits set", edits=True),
    Query(ListLimits, "GET limits", May.LOOK, on=On.SIGHT, live=True, by_any=True),
)
