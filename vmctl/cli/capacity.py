"""`vmctl capacity` and `vmctl reboot-plan`."""

from __future__ import annotations

from typing import Any

import click

from vmctl.cli import output
from vmctl.cli.client import Client
from vmctl.cli.sizes import parse_bytes
from vmctl.commands.cluster import Capacity, PlanReboots


class Shape(click.ParamType[Any]):
    """The size of a VM: vCPUs and memory, as it goes over the wire; a bare number counts MiB."""

    name = "CPUSc/MEMORY"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        cpus, slash, memory = str(value).strip().lower().partition("c/")
        if not (slash and cpus.isascii() and cpus.isdigit()):
            self.fail(f"{value!r} is not a size of VMs: write 2c/4G for 2 vCPUs and 4 GiB", param, ctx)
        try:
            mib = parse_bytes(memory, "M") >> 20
        except ValueError as err:
            self.fail(str(err), param, ctx)
        if not int(cpus) or not mib:
            self.fail(f"{value!r} is not a size of VMs: at least 1c/1M", param, ctx)
        return f"{int(cpus)}c/{mib}M"


def _spelt(fit: dict[str, Any]) -> str:
    mib = fit["mem_mib"]
    return f"{fit['cpus']}c/{mib // 1024}G" if mib % 1024 == 0 else f"{fit['cpus']}c/{mib}M"


def _spare(fit: dict[str, Any]) -> Any:
    return f"{fit['spare']} or more" if fit["spare"] and not fit["exact"] else fit["spare"]


FITS: tuple[output.Column, ...] = (
    ("SIZE", _spelt),
    ("FIT", lambda f: f["count"]),
    ("WITH A SPARE HOST", _spare),
    ("FIRST LIMIT", lambda f: f["first_limit"]),
)
GROUPS: tuple[output.Column, ...] = (
    ("GROUP", lambda g: g["number"]),
    ("HOSTS", lambda g: g["hosts"]),
    ("MOVES", lambda g: len(g["moves"])),
    ("MEMORY", lambda g: output.mib(sum(move["mem_mib"] for move in g["moves"]))),
    ("ON THE WIRE", lambda g: f"{sum(move['minutes'] for move in g['moves']):.1f}min"),
)


@click.command()
@click.option(
    "--size", "sizes", type=Shape(), multiple=True, help="VMs of this size: 2c/4G.  [default: 1c/1G, 2c/4G, 4c/16G]"
)
@output.option
def capacity(sizes: tuple[str, ...], form: str) -> None:
    """Say how many more VMs fit, on which hosts, what would be lost if a host or rack died, and what to buy.

    Example: vmctl capacity --size 2c/4G --size 8c/32G
    """
    found = Client().ask(Capacity([*sizes] or None))
    if output.shown_as_data(found["sizes"] if form == "name" else found, form, _spelt):
        return
    output.table(FITS, found["sizes"])
    if hosts := _hosts(found):
        print()
        output.table(_host_columns(found), hosts)
    print()
    for sentence in found["why"][len(found["sizes"]) :]:
        output.say(sentence)


def _hosts(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Each host with how many of each size it takes, what would be lost with it, and why it takes none."""
    lost = {loss["name"]: loss["vms"] for loss in found["hosts"]}
    per_size = [fit["hosts"] for fit in found["sizes"]]
    return [
        {
            "name": rooms[0]["host"],
            "counts": [room["count"] for room in rooms],
            "lost": lost.get(rooms[0]["host"], ()),
            "why": next((room["why"] for room in rooms if room["why"]), ""),
        }
        for rooms in zip(*per_size, strict=True)
    ]


def _host_columns(found: dict[str, Any]) -> list[output.Column]:
    counts: list[output.Column] = [
        (_spelt(fit), lambda host, column=column: host["counts"][column])  # type: ignore[misc]
        for column, fit in enumerate(found["sizes"])
    ]
    return [
        ("HOST", lambda h: h["name"]),
        *counts,
        ("LOST IF IT DIED", lambda h: h["lost"]),
        ("WHY NOT", lambda h: h["why"]),
    ]


@click.command("reboot-plan")
@output.option
def reboot_plan(form: str) -> None:
    """Group hosts so that those of a group can be rebooted at once, with the moves that empty them first.

    The moves of a group begin where those before have left the VMs; nobody is moved back.

    Example: vmctl reboot-plan
    """
    found = Client().ask(PlanReboots())
    hosts = [{"name": host} for group in found["groups"] for host in group["hosts"]]
    if output.shown_as_data(hosts if form == "name" else found, form):
        return
    print(output.style(found["why"], bold=True))
    groups = [group | {"number": number} for number, group in enumerate(found["groups"], 1)]
    if groups:
        output.table(GROUPS, groups)
    for group in groups:
        _print_moves(group)
    for stuck in found["stuck"]:
        output.say(f"  -  {stuck['host']} cannot be emptied: {stuck['why']}")


def _print_moves(group: dict[str, Any]) -> None:
    if group["moves"]:
        output.say(f"group {group['number']}: {', '.join(group['hosts'])}")
    for number, move in enumerate(group["moves"], 1):
        size = output.mib(move["mem_mib"])
        output.say(f"  {number}. {move['vm']}: {move['source']} -> {move['target']}, {size}")
