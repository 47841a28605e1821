"""`vmctl limits set` and `vmctl limits show`: how much a user or a project may have, and has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import click

from vmctl.cli import complete, output
from vmctl.cli.client import Client
from vmctl.cli.groups import Group
from vmctl.cli.sizes import Amount, Size
from vmctl.commands.limits import ListLimits, SetLimits, What

NONE = "none"  # what lifts a limit
ALL = "whatever there is"
# Option -> argument
WHAT = {
    "vms": "vms",
    "vcpus": "vcpus",
    "memory": "mem_mib",
    "disk": "disk_bytes",
    "commands": "commands",
    "requests": "requests_per_s",
}


class OrNone(click.ParamType[Any]):
    """A value of another type, or `none`."""

    def __init__(self, inner: click.ParamType[Any]) -> None:
        self._inner = inner
        self.name = f"{inner.name.replace(' range', '')}|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return NONE if str(value).lower() == NONE else self._inner.convert(value, param, ctx)


COUNT = OrNone(click.IntRange(0, 10**9))


@click.group(cls=Group)
def limits() -> None:
    """Limits of users and projects: set, show."""


@limits.command("set")
@click.argument("of", metavar="user:NAME|project:NAME", shell_complete=complete.limited)
@click.option("--vms", type=COUNT, help="VMs, running or not.")
@click.option("--vcpus", type=COUNT, help="vCPUs of all its VMs, and of jobs that run.")
@click.option("--memory", type=OrNone(Size("M", most="1024T")), help="Memory of these: 64G.")
@click.option("--disk", type=OrNone(Size("G", most="1024T")), help="Disks of all its VMs, and a project's images: 2T.")
@click.option("--commands", type=COUNT, help="Commands at once.")
@click.option("--requests", type=OrNone(Amount(min=0.01, max=1e6)), help="Requests a second.")
@output.option
def set_limits(of: str, form: str, **given: Any) -> None:
    """Limit how much a user or a project may have; `none` lifts a limit. What there is already stays.

    Example: vmctl limits set project:blue --vms 10 --memory 64G --disk none
    """
    if all(value is None for value in given.values()):
        raise click.UsageError("nothing to set: give --vms, --vcpus, --memory, --disk, --commands or --requests")
    lift = [WHAT[name] for name, value in given.items() if value == NONE]
    values = {WHAT[name]: value for name, value in given.items() if value not in (None, NONE)}
    if "mem_mib" in values:
        values["mem_mib"] >>= 20
    found = Client().ask(SetLimits(of, **values, lift=cast("list[What]", lift)))
    output.result(found, form, f"{of} may have at most: {_said(found['limit'])}", lambda one: one["of"])


@limits.command("show")
@click.argument("of", metavar="[user:NAME|project:NAME]", default="", shell_complete=complete.limited)
@output.option
def show_limits(of: str, form: str) -> None:
    """Show what users and projects have, and how much they may have.

    Example: vmctl limits show project:blue
    """
    columns: tuple[output.Column, ...] = (
        ("WHOSE", lambda one: one["of"]),
        ("VMS", lambda one: _of(one, "vms")),
        ("VCPUS", lambda one: _of(one, "vcpus")),
        ("MEMORY", lambda one: _of(one, "mem_mib")),
        ("DISK", lambda one: _of(one, "disk_bytes", more="+?" if one["used"]["unmeasured"] else "")),
        ("COMMANDS", lambda one: _of(one, "commands")),
        ("REQUESTS", lambda one: f"{most:g}/s" if (most := one["limit"]["requests_per_s"]) else ""),
    )
    found = Client().ask(ListLimits(of))
    output.rows(found, form, columns, (), "there is nothing to see", lambda one: one["of"])
    if form == "table" and any(one["used"]["unmeasured"] for one in found):
        output.say("+?: the disks of some VMs have a size that is not known; they are not counted")


SPELT: dict[str, Callable[[Any], str]] = {"mem_mib": output.mib, "disk_bytes": output.in_bytes}
WORDS = {
    "vms": "VMs",
    "vcpus": "vCPUs",
    "mem_mib": "of memory",
    "disk_bytes": "of disk",
    "commands": "commands at once",
}


def _of(one: dict[str, Any], what: str, more: str = "") -> str:
    """What is used of what there may be."""
    spelt = SPELT.get(what, str)
    most = one["limit"][what]
    return f"{spelt(one['used'][what])}{more}" + (f" of {spelt(most)}" if most is not None else "")


def _said(limit: dict[str, Any]) -> str:
    set_ = {what: value for what, value in limit.items() if what != "of" and value is not None}
    said = [
        f"{SPELT.get(what, _plainly)(value)} {WORDS.get(what, 'requests a second')}" for what, value in set_.items()
    ]
    return ", ".join(said) or "whatever there is"


def _plainly(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
