"""`vmctl lab`: a cluster on this machine. Runs here, as root, without a controller."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import click

from vmctl.cli import output
from vmctl.cli.groups import Group
from vmctl.errors import VmctlError


def _report(line: str) -> None:
    click.echo(line, err=True)


def _plain(value: Any) -> Any:
    """A value of the lab's as JSON knows it."""
    return json.loads(json.dumps(asdict(value), default=str))


@click.group("lab", cls=Group)
def lab() -> None:
    """A cluster of real hosts on this one machine, to try vmctl and to test it.

    Example: vmctl lab up --hosts 3
    """


@lab.command()
@click.option("--hosts", type=click.IntRange(1, 16), help="How many hosts: 3 at first, later as many as there are.")
@click.option("--memory", default=3.0, show_default=True, type=click.FloatRange(0.5), help="GiB per host.")
@click.option("--image", multiple=True, help="Also build this guest image (debian-12); tiny always is.")
@click.option("--storage", type=click.Choice(["directory", "glusterfs"]), help="What /shared is: directory at first.")
@click.option("--controllers", default=0, type=click.IntRange(0, 9), help="So many that share a database.")
@click.option("--on-hosts", default=0, type=click.IntRange(0, 9), help="So many of these are on the first hosts.")
@click.option("--db", type=click.Choice(["single", "pair"]), help="One PostgreSQL, or two under Patroni: one at first.")
def up(
    hosts: int | None,
    memory: float,
    image: tuple[str, ...],
    storage: str | None,
    controllers: int,
    on_hosts: int,
    db: str | None,
) -> None:
    """Start the lab, or what is missing of it.

    Example: vmctl lab up --hosts 3
    """
    from vmctl.lab import lab as room

    _table(room.up(hosts, _report, int(memory * room.GIB), image, storage or "", controllers, db or "", on_hosts))


@lab.command()
@click.option("--keep-disks", is_flag=True, help="Keep the shared directory with the VMs' disks.")
def down(keep_disks: bool) -> None:
    """Remove the lab: hosts, network, and the VMs' disks.

    Example: vmctl lab down
    """
    from vmctl.lab import lab as room

    room.down(_report, keep_disks)


@lab.command()
@output.option
def status(form: str) -> None:
    """Show the hosts, what guests run on, and the images.

    Example: vmctl lab status
    """
    from vmctl.lab import lab as room

    found = room.status()
    shown = _plain(found)
    if not output.shown_as_data(shown["hosts"] if form == "name" else shown, form):
        _table(found)


@lab.command()
@click.argument("host")
def cut(host: str) -> None:
    """Cut the network cable of a host, a controller or a database; it runs on.

    Example: vmctl lab cut kvm2
    """
    from vmctl.lab import lab as room

    room.cut(host)


@lab.command()
@click.argument("host")
def heal(host: str) -> None:
    """Mend its network cable.

    Example: vmctl lab heal kvm2
    """
    from vmctl.lab import lab as room

    room.heal(host)


@lab.command()
@click.argument("host")
def kill(host: str) -> None:
    """Power failure of a host, a controller or a database: end all of its processes at once.

    Example: vmctl lab kill kvm2
    """
    from vmctl.lab import lab as room

    room.kill(host)


@lab.command()
@click.argument("host")
def boot(host: str) -> None:
    """Power a host, a controller or a database on, or off and on.

    Example: vmctl lab boot kvm2
    """
    from vmctl.lab import lab as room

    room.boot(host, _report)


@lab.command()
@click.argument("machine")
def freeze(machine: str) -> None:
    """Let a controller or a database stand still: its connections stay.

    Example: vmctl lab freeze ctl1
    """
    from vmctl.lab import lab as room

    room.freeze(machine)


@lab.command()
@click.argument("machine")
def thaw(machine: str) -> None:
    """Let it go on.

    Example: vmctl lab thaw ctl1
    """
    from vmctl.lab import lab as room

    room.thaw(machine)


@lab.command()
@click.argument("name")
@output.option
def image(name: str, form: str) -> None:
    """Build a guest image (tiny, debian-12) and print where it is.

    Example: vmctl lab image debian-12
    """
    from vmctl.lab import images

    found = images.ensure(name, _report)
    if output.shown_as_data(_plain(found), form):
        return
    for key, value in asdict(found).items():
        click.echo(f"{key:8} {value}")


def _table(found: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("HOST", "ADDRESS", "STATE", "PID", "MEMORY", "VMS", "BOOT"):
        table.add_column(column)
    for host in found.hosts:
        memory = f"{host.memory_used >> 20} / {host.memory_limit >> 20} MiB"
        pid = str(host.pid or "-")
        table.add_row(host.name, host.address, host.state, pid, memory, str(host.vms), host.boot_id[:8])
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    for one in found.machines:
        reached = f"  VMCTL_SOCKET={one.socket}" if one.socket else ""
        console.print(f"{one.role} {one.name} {one.address} {one.state}{reached}")
    console.print(f"\nguests run on {found.accelerator or '?'}: {found.reason}")
    console.print(f"shared storage {found.shared} is /shared on every host")
    for one in found.images:
        console.print(f"image {one.name}: {one.disk} {one.kernel} {one.initrd}")


def main() -> None:
    """For `python -m vmctl.lab`: as the top-level command prints errors."""
    try:
        lab(prog_name="vmctl lab", standalone_mode=True)
    except VmctlError as err:
        click.echo(f"error: {err.message}", err=True)
        for line in err.lines:
            click.echo(f"  {line}", err=True)
        if err.hint:
            click.echo(f"next: {err.hint}", err=True)
        sys.exit(err.exit_code)
