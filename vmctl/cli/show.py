"""`vmctl list`, `vmctl show`, `vmctl top`."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from typing import Any

import click

from vmctl import errors
from vmctl.cli import complete, output
from vmctl.cli.client import Client
from vmctl.cli.output import mib, rate, share
from vmctl.cli.sizes import Amount


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
    output.rows(Client().get("vms"), form, VM_COLUMNS, VM_WIDE, "no VMs yet: vmctl create NAME --image IMAGE")


@click.command()
@click.argument("name", shell_complete=complete.vms)
@output.option
def show(name: str, form: str) -> None:
    """Show one VM.

    Example: vmctl show web1 -o json
    """
    vm = Client().get("vms", name)
    if form not in ("table", "wide"):
        output.data(vm, form)
        return
    rows = [(column.lower(), get(vm)) for column, get in (*VM_COLUMNS, *VM_WIDE)]
    if vm["load"]:
        rows += [("disk share", share(vm["load"]["disk"])), ("link share", share(vm["load"]["net"]))]
    rows += [("class", vm["load_class"]), ("labels", [f"{k}={v}" for k, v in vm["labels"].items()])]
    rows += [("if it is sick", vm["heal"]), ("bridge", vm["bridge"])]
    rows += [("disks", vm["disks"]), ("machine", vm["machine"]), ("CPU model", vm["cpu"]), ("task", vm["task"])]
    rows.append(("created", f"{output.ago(time.time() - vm['created_at'])} ago"))
    rows += [("started again", "after its host's reboot")] if vm["autostart"] and not vm["adopted"] else []
    rows += [("may run on", vm["may_run_on"])] if vm["may_run_on"] not in ([], [vm["host"]]) else []
    rows += [("differs", f"{one['what']}  -> {one['mend']}") for one in vm["differs"]]
    rows += [("stays", why) for why in vm["stays"]]
    if vm["moved_at"]:
        rows.append(("moved", f"{output.ago(time.time() - vm['moved_at'])} ago"))
    output.pairs(rows)


@click.command()
@click.option("--once", is_flag=True, help="Print once and leave.")
@click.option("--every", type=Amount(0.1, 3600), default=2.0, show_default=True, help="Seconds between two looks.")
@output.option
def top(once: bool, every: float, form: str) -> None:
    """Watch hosts and VMs, busiest first.

    Example: vmctl top --once
    """
    client = Client()
    if form not in output.PEOPLE:
        found = client.get("top")
        output.data(_busiest(found) if form == "name" else found, form)
    elif once or not sys.stdout.isatty():
        _print_top(client.get("top"), form)
    else:
        client.get("about")  # starts a controller where none runs; once
        _watch(every, form)


def _page(client: Client, form: str) -> str:
    """What is to be seen now. A controller that was stopped is left stopped."""
    try:
        found = client.get("top")
    except errors.ControllerUnreachable as err:
        return f"{err.message}\n\nIt is not started from here: any other command does. Ctrl-C leaves\n"
    page = io.StringIO()
    with contextlib.redirect_stdout(page):
        _print_top(found, form)
        print("\nCtrl-C leaves")
    return page.getvalue()


def _watch(every: float, form: str) -> None:
    from rich.live import Live
    from rich.text import Text

    client = Client(autostart=False)
    with contextlib.suppress(KeyboardInterrupt), Live(screen=True, auto_refresh=False) as live:
        while True:
            live.update(Text(_page(client, form), no_wrap=True), refresh=True)
            time.sleep(every)


def _busiest(found: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(found["vms"], key=lambda vm: -(vm["load"]["cpu"] if vm.get("load") else -1.0))


def _print_top(found: dict[str, Any], form: str) -> None:
    from vmctl.cli.hosts import HOST_COLUMNS, HOST_WIDE

    score = sum(value for _, value in found["score"])
    terms = ", ".join(f"{name} {value:.2f}" for name, value in found["score"])
    print(f"{len(found['hosts'])} hosts, {found['running']} VMs run, score {score:.3f} ({terms})\n")
    output.table([*HOST_COLUMNS, *(HOST_WIDE if form == "wide" else HOST_WIDE[:3])], found["hosts"])
    if found["vms"]:
        print()
        vms = _busiest(found)
        output.table([*VM_COLUMNS, *(VM_WIDE if form == "wide" else VM_WIDE[:4])], vms)
