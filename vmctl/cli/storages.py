"""The command line: what a storage was proven to do."""

from __future__ import annotations

import time
from typing import Any

import click

from vmctl.cli import complete, follow, output
from vmctl.cli.client import Client
from vmctl.cli.output import in_bytes
from vmctl.commands.storages import MeasureStorage, ShowStorage


@click.command("show")
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


@click.command("measure")
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
