"""`vmctl storage`: directories that hosts share, and what they were proven to do."""

from __future__ import annotations

import time
from typing import Any

import click

from vmctl import errors
from vmctl.cli import complete, follow, output
from vmctl.cli.client import Client
from vmctl.cli.groups import Group
from vmctl.cli.output import in_bytes
from vmctl.cli.sizes import Name
from vmctl.commands.storages import AddStorage, CheckStorage, ListStorages, MeasureStorage, RemoveStorage, ShowStorage


@click.group(cls=Group)
def storage() -> None:
    """Shared storage: add, list, show, check, measure."""


def _storage_done(task: dict[str, Any]) -> str:
    result = task["result"]
    for problem in result["problems"]:
        output.say(f"  not usable from {problem}")
    size = f"{in_bytes(result['free_bytes'])} of {in_bytes(result['capacity_bytes'])} free"
    return f"storage {result['storage']} at {result['path']}: shared by {', '.join(result['hosts'])}, {size}"


@storage.command("add")
@click.argument("name", type=Name())
@click.option("--path", required=True, help="The directory, as every host sees it.")
@click.option("--lockspace", default="", help="The lock manager's directory (as the doctor found it).")
@output.option
@follow.options
def storage_add(name: str, path: str, lockspace: str, form: str, detach: bool, timeout: float) -> None:
    """Register a shared directory; every host must read back what another wrote.

    Example: vmctl storage add main --path /shared
    """
    client = Client()
    task = client.ask(AddStorage(name, path, lockspace))
    follow.run(client, [task], form, _storage_done, detach=detach, timeout=timeout)


@storage.command("list")
@output.option
def storage_list(form: str) -> None:
    """List storages.

    Example: vmctl storage list
    """
    columns: tuple[output.Column, ...] = (
        ("NAME", lambda s: s["name"]),
        ("PATH", lambda s: s["path"]),
        ("LOCKSPACE", lambda s: s["lockspace"]),
        ("HOSTS", lambda s: s["hosts"]),
    )
    output.rows(Client().ask(ListStorages()), form, columns, (), "no storage yet: vmctl storage add NAME --path DIR")


@storage.command("check")
@click.argument("name", shell_complete=complete.storages)
@output.option
@follow.options
def storage_check(name: str, form: str, detach: bool, timeout: float) -> None:
    """Prove a storage again from every host.

    Example: vmctl storage check main
    """
    client = Client()
    task = client.ask(CheckStorage(name))
    (ended,) = follow.run(client, [task], form, _storage_done, detach=detach, timeout=timeout)
    if problems := (ended.get("result") or {}).get("problems"):
        raise errors.PartlyFailed(f"storage {name} is not well on {len(problems)} hosts")


@storage.command("remove")
@click.argument("name", shell_complete=complete.storages)
@output.option
@follow.options
def storage_remove(name: str, form: str, detach: bool, timeout: float) -> None:
    """Forget a storage; its files stay.

    Example: vmctl storage remove main
    """
    client = Client()
    task = client.ask(RemoveStorage(name))
    follow.run(client, [task], form, lambda t: f"storage {name} is forgotten", detach=detach, timeout=timeout)


@storage.command("show")
@click.argument("name", shell_complete=complete.storages)
@output.option
def storage_show(name: str, form: str) -> None:
    """Show a storage, and what it was proven to do.

    Example: vmctl storage show main
    """
    found = Client().ask(ShowStorage(name))
    if output.shown_as_data(found, form):
        return
    proven = found["proven"]
    shared = [f"{host} ({_since(proven.get('hosts', {}).get(host))})" for host in found["hosts"]]
    room = found.get("room")
    size = f"{in_bytes(room['free'])} of {in_bytes(room['capacity'])} free" if room else "no host tells it now"
    locks, free = proven.get("locks"), proven.get("lock_free_after_s")
    output.pairs(
        [
            ("storage", found["name"]),
            ("path", found["path"]),
            ("mount", proven.get("mount")),
            ("lockspace", found["lockspace"]),
            ("size", size),
            ("shared by", ", ".join(shared)),
            ("locks", f"{locks['verdict']}: {locks['text']} ({_since(locks['at'])})" if locks else "not proven"),
            ("free again", f"{free:.0f} s after a host's loss, as measured" if free else "not measured"),
        ]
    )


def _since(at: float | None) -> str:
    return f"proven {output.ago(time.time() - at)} ago" if at else "proven before this was written down"


@storage.command("measure")
@click.argument("name", shell_complete=complete.storages)
@click.option("--host", required=True, shell_complete=complete.hosts, help="The host that you will cut off.")
@output.option
@follow.options
def storage_measure(name: str, host: str, form: str, detach: bool, timeout: float) -> None:
    """Measure how long after a host's loss its locks become free. You cut the host off when told to.

    Example: vmctl storage measure main --host kvm3
    """
    client = Client()
    task = client.ask(MeasureStorage(name, host))
    follow.run(client, [task], form, _measured, detach=detach, timeout=timeout)


def _measured(task: dict[str, Any]) -> str:
    result = task["result"]
    return f"storage {result['storage']}: locks are free {result['lock_free_after_s']:.0f} s after a host's loss"
