"""`vmctl host`: hosts with their load, and what is done with them."""

from __future__ import annotations

from typing import Any

import click

from vmctl import errors
from vmctl.cli import complete, follow, output
from vmctl.cli.client import Client
from vmctl.cli.groups import Group
from vmctl.cli.output import mib, share
from vmctl.cli.sizes import Label
from vmctl.commands.hosts import (
    AddHosts,
    CheckHosts,
    DrainHost,
    LabelHost,
    ListHosts,
    PlanDrain,
    RemoveHost,
    ShowHost,
    UndrainHost,
)
from vmctl.commands.tasks import ShowTask

COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "red"}


def _load(item: dict[str, Any], key: str) -> float | None:
    return item["load"][key] if item["load"] else None


def _disk(item: dict[str, Any]) -> float | None:
    """The share of time in which its disks were busy, where it has any."""
    return _load(item, "disk") if item["more"].get("disks") else None


def _net(item: dict[str, Any]) -> float | None:
    """The share of its link in use, where the speed of one is known."""
    return _load(item, "net") if any(item["more"].get("links", {}).values()) else None


HOST_COLUMNS: tuple[output.Column, ...] = (
    ("NAME", lambda h: h["name"]),
    ("STATE", lambda h: h["state"]),
    ("CPUS", lambda h: h["cpus"] if h["mem_mib"] else "-"),  # never reached: its size is not known
    ("CPU", lambda h: share(_load(h, "cpu"), h["cpus"])),
    ("MEMORY", lambda h: mib(h["mem_mib"] or None)),
    ("USED", lambda h: share(_load(h, "mem_used_mib"), h["mem_mib"])),
    ("PROMISED", lambda h: share(h["promised_mib"], h["mem_mib"])),
    ("VMS", lambda h: len(h["vms"])),
    ("AGE", lambda h: output.ago(_load(h, "age_s")) + (" stale" if h.get("stale") else "")),
)
HOST_WIDE: tuple[output.Column, ...] = (
    (
        "STALL",
        lambda h: share(max(h["load"]["psi_cpu"], h["load"]["psi_mem"], h["load"]["psi_io"]) if h["load"] else None),
    ),
    ("DISK", lambda h: share(_disk(h))),
    ("NET", lambda h: share(_net(h))),
    ("JOBS", lambda h: h.get("jobs", 0)),
    ("BRIDGES", lambda h: h["bridges"]),
    ("LIBVIRT", lambda h: h["about"].get("libvirt")),
    ("QEMU", lambda h: h["about"].get("qemu")),
    ("LABELS", lambda h: [f"{k}={v}" for k, v in h["labels"].items()]),
    ("WHY", lambda h: h["why"]),
)


@click.group(cls=Group)
def host() -> None:
    """Hosts: add, list, check, drain, remove."""


@host.command("add")
@click.argument("names", nargs=-1, required=True, metavar="NAME[=[USER@]ADDRESS[:PORT]]...")
@click.option("--user", default="", help="Log in as this user (root).")
@click.option("--fingerprint", default="", help="Refuse a host that shows another SSH key.")
@click.option("--migration-address", default="", help="Where guests' memory is sent to (the host's address).")
@click.option("--lockspace", default="", help="virtlockd's directory, where its configuration is not readable.")
@click.option("--label", "labels", type=Label(), multiple=True, help="A label of the hosts.")
@click.option("--force", is_flag=True, help="Add a host that the doctor refuses. Disks may be written by two hosts.")
@output.option
@follow.options
def add(
    names: tuple[str, ...], labels: tuple[tuple[str, str], ...], form: str, detach: bool, timeout: float, **more: Any
) -> None:
    """Bring hosts into the pool: learn their keys, examine them, adopt what runs there. Nothing is installed.

    Example: vmctl host add kvm1 kvm2 kvm3=10.0.0.13
    """
    client = Client()
    task = client.ask(AddHosts([*names], labels=dict(labels), **more))
    try:
        follow.run(client, [task], form, _report, detach=detach, timeout=timeout)
    except errors.VmctlError:
        if form in output.PEOPLE:
            _print_report(_report_of(client.ask(ShowTask(task["id"]))))
        raise


def _report_of(task: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = task["result"].get("hosts") or task.get("report") or {}
    return found


def _report(task: dict[str, Any]) -> str:
    _print_report(_report_of(task))
    return ""


def _print_report(report: dict[str, Any]) -> None:
    for name, row in report.items():
        verdict = "" if "added" not in row else ("  added" if row["added"] else "  not added")
        found = row.get("domains")
        adopted = f", {len(found)} running domains adopted: {', '.join(found)}" if found else ""
        print(f"{output.style(name, bold=True)}{verdict}{adopted}")
        if not row["checks"] and row.get("problem"):
            print(f"  {output.style('FAIL', fg='red')}  {output.clean(row['problem'])}")
            print(f"        mend: {output.clean(row['fix'])}")
        for check in row["checks"]:
            mark = output.style(check["verdict"].ljust(4), fg=COLOURS.get(check["verdict"]))
            print(f"  {mark}  {check['name']}: {output.clean(check['text'])}")
            if check["fix"]:
                print(f"        mend: {output.clean(check['fix'])}")


@host.command("list")
@output.option
def list_hosts(form: str) -> None:
    """List hosts with their load and its age.

    Example: vmctl host list -o wide
    """
    output.rows(Client().ask(ListHosts()), form, HOST_COLUMNS, HOST_WIDE, "no hosts yet: vmctl host add NAME...")


@host.command("show")
@click.argument("name", shell_complete=complete.hosts)
@output.option
def show(name: str, form: str) -> None:
    """Show one host.

    Example: vmctl host show kvm1
    """
    found = Client().ask(ShowHost(name))
    if output.shown_as_data(found, form):
        return
    more, load = found["more"], found["load"]
    rows = [("name", name), ("state", found["state"]), ("why", found["why"]), ("address", found["address"])]
    rows += [("SSH key", found["fingerprint"]), ("libvirt", found["about"].get("libvirt"))]
    rows += [("QEMU", found["about"].get("qemu")), ("memory", mib(found["mem_mib"])), ("CPUs", found["cpus"])]
    if load:
        stalls = ", ".join(f"{k} {share(load[f'psi_{k}'])}" for k in ("cpu", "mem", "io"))
        rows += [("CPU in use", share(load["cpu"], found["cpus"])), ("memory in use", mib(load["mem_used_mib"]))]
        rows += [("disks busy", share(_disk(found))), ("link in use", share(_net(found)))]
        rows += [("stalls", stalls), ("steal", share(load["steal"])), ("age", output.ago(load["age_s"]))]
    rows += [("load average", more.get("load1")), ("I/O wait", share(more.get("iowait")))]
    speeds = [
        f"{name} {f'{mbit} Mbit/s' if mbit else 'of unknown speed'}" for name, mbit in more.get("links", {}).items()
    ]
    rows += [
        ("links", speeds),
        ("bridges", found["bridges"]),
        ("NUMA nodes", [mib(node) for node in found["numa_mib"]]),
    ]
    rows += [("promised", mib(found["promised_mib"])), ("VMs", found["vms"]), ("jobs", found.get("jobs", 0))]
    rows += [("storages", found["storages"])]
    if found["draining"]:
        rows.append(("new VMs", f"none while it is draining: vmctl host undrain {found['name']}"))
    output.pairs([*rows, ("labels", [f"{k}={v}" for k, v in found["labels"].items()])])


@host.command("check")
@click.argument("names", nargs=-1, shell_complete=complete.hosts)
@output.option
@follow.options
def check(names: tuple[str, ...], form: str, detach: bool, timeout: float) -> None:
    """Ask the doctor again; no names: all hosts.

    Example: vmctl host check kvm1
    """
    client = Client()
    task = client.ask(CheckHosts([*names]))
    (ended,) = follow.run(client, [task], form, _report, detach=detach, timeout=timeout)
    bad = [n for n, row in _report_of(ended).items() if any(c["verdict"] == "FAIL" for c in row["checks"])]
    if bad:
        raise errors.PartlyFailed(f"not well: {', '.join(bad)}")


@host.command("label")
@click.argument("name", shell_complete=complete.hosts)
@click.argument("labels", nargs=-1, required=True, type=Label())
@output.option
def label(name: str, labels: tuple[tuple[str, str], ...], form: str) -> None:
    """Set labels; KEY= takes one away.

    Example: vmctl host label kvm1 rack=a
    """
    found = Client().ask(LabelHost(name, dict(labels)))
    sentence = f"{name}: {', '.join(f'{k}={v}' for k, v in found.items()) or 'no labels'}"
    output.result(found, form, sentence, lambda _labels: name)


@host.command("drain")
@click.argument("name", shell_complete=complete.hosts)
@click.option("--plan", is_flag=True, help="Only show what would move.")
@output.option
@follow.options
def drain(name: str, plan: bool, form: str, detach: bool, timeout: float) -> None:
    """Move every VM off a host and place no more there, until undrain.

    Example: vmctl host drain kvm1 --plan
    """
    from vmctl.cli.plans import print_plan

    client = Client()
    if plan:
        print_plan(client.ask(PlanDrain(name)), form)
        return
    task = client.ask(DrainHost(name))
    follow.run(
        client,
        [task],
        form,
        lambda t: f"{name} is drained: {t['result']['moved']} VMs moved",
        detach=detach,
        timeout=timeout,
    )


@host.command("undrain")
@click.argument("name", shell_complete=complete.draining)
@output.option
def undrain(name: str, form: str) -> None:
    """Let a host take VMs again.

    Example: vmctl host undrain kvm1
    """
    found = Client().ask(UndrainHost(name))
    output.result(found, form, f"{name} takes VMs again", lambda _host: name)


@host.command("remove")
@click.argument("name", shell_complete=complete.hosts)
@click.option("--force", is_flag=True, help="Even if VMs of ours may run there.")
@output.option
@follow.options
def remove(name: str, force: bool, form: str, detach: bool, timeout: float) -> None:
    """Let a host go, as it was found; adopted VMs go on there.

    Example: vmctl host remove kvm1
    """
    client = Client()
    task = client.ask(RemoveHost(name, force))
    follow.run(client, [task], form, lambda t: f"{name} has left the pool", detach=detach, timeout=timeout)
