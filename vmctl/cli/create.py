"""`vmctl create`."""

from __future__ import annotations

import sys
from typing import Any

import click

from vmctl.cli import complete, follow, output
from vmctl.cli.client import Client
from vmctl.cli.sizes import Label, Name, Size
from vmctl.cli.why import print_placement
from vmctl.commands.vms import Create, WhereToCreate


@click.command()
@click.argument("name", type=Name())
@click.option("--image", required=True, shell_complete=complete.images, help="What its disk is made from.")
@click.option("--cpus", type=click.IntRange(1, 1024), default=1, show_default=True, help="vCPUs.")
@click.option("--memory", type=Size("M", "16M", "64T"), required=True, help="Memory: 512M, 2G.")
@click.option("--disk", type=Size("G", most="1024T"), default=0, help="Size of its disk (as large as the image).")
@click.option("--full", is_flag=True, help="Copy the image instead of building on it.")
@click.option("--host", "--to", "host", default="", shell_complete=complete.hosts, help="Leave placement no choice.")
@click.option("--needs", type=Label(), multiple=True, metavar="KEY=VALUE", help="A label that its host must carry.")
@click.option("--label", "old_word", type=Label(), multiple=True, hidden=True, help="As --needs.")
@click.option("--apart", default="", help="Never on one host with VMs of this group.")
@click.option("--apart-by", default="", metavar="LABEL", help="Apart by a label of hosts, such as rack.")
@click.option("--together", default="", help="Always on one host with VMs of this group.")
@click.option("--prefer-apart", default="", help="As --apart, as far as it can be had.")
@click.option("--prefer-together", default="", help="As --together, as far as it can be had.")
@click.option("--class", "load_class", default="", help="Load class: its overcommit is in [policy.class_overcommit].")
@click.option("--one-numa-node", is_flag=True, help="Its memory must fit into one NUMA node.")
@click.option(
    "--cpu", type=click.Choice(["baseline", "host"]), default="baseline", help="baseline: runs on every host."
)
@click.option("--bridge", default="", help="The hosts' bridge for its network card (br0).")
@click.option(
    "--agent-port", type=click.Choice(["virtio", "isa"]), default="virtio", help="isa: guests without virtio."
)
@click.option("--no-start", is_flag=True, help="Only make it.")
@click.option("--autostart/--no-autostart", default=True, help="Start it again after its host's reboot (yes).")
@click.option("--project", default="default", shell_complete=complete.projects, help="What it belongs to (default).")
@click.option("--dry-run", is_flag=True, help="Show the best three hosts, and why.")
@output.option
@follow.options
def create(
    name: str,
    memory: int,
    disk: int,
    needs: tuple[tuple[str, str], ...],
    old_word: tuple[tuple[str, str], ...],
    dry_run: bool,
    form: str,
    detach: bool,
    timeout: float,
    **more: Any,
) -> None:
    """Make a VM and start it where placement says.

    Example: vmctl create web1 --image debian-12 --cpus 2 --memory 2G --apart web
    """
    if more["apart_by"] and not more["apart"]:
        raise click.UsageError("--apart-by says how VMs of an --apart group are kept apart, and none is given")
    if old_word:
        print("--label is --needs now: what its host must carry", file=sys.stderr)
    client = Client()
    asked: dict[str, Any] = {
        "name": name,
        "mem_mib": memory >> 20,
        "disk_bytes": disk,
        "needs": dict((*needs, *old_word)),
        **more,
    }
    if dry_run:
        print_placement(client.ask(WhereToCreate(**asked)), form)
        return
    task = client.ask(Create(**asked))
    follow.run(client, [task], form, _done, detach=detach, timeout=timeout)


def _done(task: dict[str, Any]) -> str:
    result = task["result"]
    return f"{result['vm']} runs on {result['host']}" if result["host"] else f"{result['vm']} is made, {result['why']}"
