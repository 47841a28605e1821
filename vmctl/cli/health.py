"""`vmctl health`: how VMs are, from inside. Guests word much of it, so nothing is printed as it came."""

from __future__ import annotations

from typing import Any

import click

from vmctl.cli import complete, output
from vmctl.cli.client import Client
from vmctl.cli.output import ago, escaped, mib, share
from vmctl.commands.vms import ListHealth, SetHeal, ShowHealth

Row = dict[str, Any]
LEVELS = ("off", "reboot", "reset")


def _heard(row: Row) -> str:
    return "never" if row["heard_s"] is None else f"{ago(row['heard_s'])} ago"


COLUMNS: tuple[output.Column, ...] = (
    ("VM", lambda h: h["vm"]),
    ("HEALTH", lambda h: h["health"]),
    ("FOR", lambda h: ago(h["for_s"])),
    ("HEARD", _heard),
    ("WHY", lambda h: escaped(h["why"])),
)
WIDE: tuple[output.Column, ...] = (
    ("PROCESSES", lambda h: "-" if h["processes"] is None else h["processes"]),
    ("LOAD", lambda h: h["os"]["load"][0] if h["os"].get("load") else "-"),
    ("HEAL", lambda h: h["heal"]),
    ("AGENT", lambda h: escaped(h["agent"].get("agent", "-"))),
)
WATCHES: tuple[output.Column, ...] = (
    ("WATCH", lambda w: escaped(w["name"])),
    ("KIND", lambda w: escaped(w.get("kind", ""))),
    ("STATE", lambda w: {True: "in order", False: "failed", None: "not known"}[w["ok"]]),
    ("UNIT", lambda w: escaped(w.get("unit", ""))),
    ("RESTARTS", lambda w: w.get("restarts", 0)),
    ("WHY", lambda w: escaped(w.get("why", ""))),
)
SERVICES: tuple[output.Column, ...] = (
    ("SERVICE", lambda s: escaped(s["unit"])),
    ("STATE", lambda s: escaped(f"{s.get('active', '')} ({s.get('sub', '')})")),
    ("PID", lambda s: s.get("pid") or ""),
    ("RESTARTS", lambda s: s.get("restarts") or ""),
)


@click.command()
@click.argument("name", required=False, metavar="[VM]", shell_complete=complete.vms)
@click.option(
    "--heal",
    type=click.Choice(LEVELS),
    help="How far a sick VM may be treated: its guest's own agent only "
    "(off), reboot it after 3 minutes, or reset it when that does not help.",
)
@output.option
def health(name: str | None, heal: str | None, form: str) -> None:
    """Say how VMs are, from inside: well, degraded, silent, hung or unknown, and why.

    Example: vmctl health web1
    """
    client = Client()
    if name is None:
        if heal:
            raise click.UsageError("--heal needs a VM")
        rows = [row | {"name": row["vm"]} for row in client.ask(ListHealth())]
        output.rows(rows, form, COLUMNS, WIDE, "no VMs yet: vmctl create NAME --image IMAGE")
        return
    if heal:
        client.ask(SetHeal(name, heal))
    found = client.ask(ShowHealth(name))
    if form not in ("table", "wide"):
        output.data(found | {"name": name}, form)
        return
    _print(found, form)


def _print(found: Row, form: str) -> None:
    output.pairs([*_facts(found), *_system(found["os"])])
    if found["watches"]:
        print()
        output.table(WATCHES, found["watches"])
    shown = found["services"] if form == "wide" else [s for s in found["services"] if s.get("active") == "failed"]
    if shown:
        print()
        output.table(SERVICES, shown)


def _facts(found: Row) -> list[tuple[str, Any]]:
    rows = [
        ("VM", found["vm"]),
        ("health", f"{found['health']} for {ago(found['for_s'])}: {escaped(found['why'])}"),
        ("heard", _heard(found)),
        ("if it is sick", f"{found['heal']}{': ' if found['waits'] else ''}{found['waits']}"),
    ]
    if found["port"] and found["port"] not in found["why"]:
        rows.append(("its port", escaped(found["port"])))
    if found["agent"]:
        agent = found["agent"]
        rows.append(("system", escaped(f"{agent.get('system', '')}, Linux {agent.get('kernel', '')}")))
        rows.append(("agent", escaped(f"{agent['agent']}, every {agent['period_s']:g} s by {agent.get('transport')}")))
    if found["left_out"]:
        rows.append(("left out", f"{found['left_out']} processes beyond the first {found['processes']}"))
    if found["refused"]["times"]:
        rows.append(("refused", f"{found['refused']['times']} messages: {escaped(found['refused']['why'])}"))
    return rows


def _system(system: Row) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    if system.get("load"):
        rows.append(("load", "  ".join(f"{value:.2f}" for value in system["load"])))
    if system.get("cpu") is not None:
        rows.append(("CPU", f"{share(system['cpu'])} of {system.get('cpus', '?')} cores"))
    if "mem_total_mib" in system:
        rows.append(("memory", f"{mib(system.get('mem_available_mib'))} of {mib(system['mem_total_mib'])} available"))
    if system.get("swap_total_mib"):
        rows.append(("swap", f"{mib(system.get('swap_used_mib'))} of {mib(system['swap_total_mib'])} used"))
    for disk in system.get("filesystems") or []:
        text = f"{mib(disk.get('used_mib'))} of {mib(disk.get('total_mib'))} used"
        rows.append((escaped(disk["mount"]), text))
    if system.get("addresses"):
        rows.append(("addresses", escaped(", ".join(system["addresses"]))))
    if system.get("oom_kills"):
        rows.append(("out of memory", f"{system['oom_kills']} processes killed since boot"))
    if system.get("reboot_needed"):
        rows.append(("reboot", "needed, by its own mark"))
    return rows
