"""`vmctl list`, `vmctl show`."""

from __future__ import annotations

import time
from typing import Any

import click

from vmctl.cli import complete, output
from vmctl.cli.client import Client
from vmctl.cli.output import mib, rate, share
from vmctl.commands.vms import ListVMs, ShowVM


def _cpu(vm: dict[str, Any]) -> str:
    return share(vm["load"]["cpu"], vm["cpus"]) if vm["load"] else "-"


VM_COLUMNS: tuple[output.Column, ...] = (
    ("NAME", lambda v: v["name"]),
    ("POWER", lambda v: v["power"]),
    ("HEALTH", lambda v: v["health"] or "-"),
    ("HOST", lambda v: f"{v['host']} -> {v['moving_to']}" if v["moving_to"] else v["host"]),
    ("VCPUS", lambda v: v["cpus"]),
    ("CPU", _cpu),
    ("MEMORY", lambda v: mib(v["mem_mib"])),
    ("IP", lambda v: output.escaped(v["ip"])),
    ("RESIDENT", lambda v: mib(v["load"]["mem_mib"]) if v["load"] else "-"),
)
GROUPS = ("apart", "together", "prefer_apart", "prefer_together")
VM_WIDE: tuple[output.Column, ...] = (
    ("READ", lambda v: rate(v["read_bytes_s"])),
    ("WRITE", lambda v: rate(v["write_bytes_s"])),
    ("RECEIVED", lambda v: rate(v["received_bytes_s"])),
    ("SENT", lambda v: rate(v["sent_bytes_s"])),
    ("IMAGE", lambda v: v["image"] or ("adopted" if v["adopted"] else "")),
    ("PROJECT", lambda v: v["project"]),
    ("GROUPS", lambda v: [f"{k}:{v[k]}" for k in GROUPS if v[k]]),
    ("MAC", lambda v: v["mac"]),
    ("UUID", lambda v: v["uuid"]),
    ("WHY", lambda v: v["why"]),
)


@click.command("list")
@output.option
def list_vms(form: str) -> None:
    """List VMs.

    Example: vmctl list -o wide
    """
    output.rows(Client().ask(ListVMs()), form, VM_COLUMNS, VM_WIDE, "no VMs yet: vmctl create NAME --image IMAGE")


@click.command()
@click.argument("name", shell_complete=complete.vms)
@output.option
def show(name: str, form: str) -> None:
    """Show one VM.

    Example: vmctl show web1 -o json
    """
    vm = Client().ask(ShowVM(name))
    if output.shown_as_data(vm, form):
        return
    rows = [(column.lower(), get(vm)) for column, get in (*VM_COLUMNS, *VM_WIDE)]
    if vm["load"]:
        rows += [("disk share", share(vm["load"]["disk"])), ("link share", share(vm["load"]["net"]))]
    rows += [("class", vm["load_class"]), ("needs", [f"{k}={v}" for k, v in vm["needs"].items()])]
    rows += [("if it is sick", vm["heal"]), ("bridge", vm["bridge"])]
    rows += [("disks", vm["disks"]), ("machine", vm["machine"]), ("CPU model", vm["cpu"]), ("task", vm["task"])]
    rows.append(("created", f"{output.ago(time.time() - vm['created_at'])} ago"))
    rows += [("started again", "after its host's reboot")] if vm["autostart"] and not vm["adopted"] else []
    rows += [("may run on", vm["may_run_on"])] if vm["may_run_on"] not in ([], [vm["host"]]) else []
    rows += [("differs", f"{one['what']}  -> {one['mend']}" if one["mend"] else one["what"]) for one in vm["differs"]]
    rows += [("stays", why) for why in vm["stays"]]
    if vm["moved_at"]:
        rows.append(("moved", f"{output.ago(time.time() - vm['moved_at'])} ago"))
    output.pairs(rows)
