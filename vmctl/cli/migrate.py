"""`vmctl migrate`."""

from __future__ import annotations

from typing import Any

import click

from vmctl import errors
from vmctl.cli import complete, follow, output
from vmctl.cli.client import Client
from vmctl.cli.vms import each
from vmctl.commands.hosts import ShowHost
from vmctl.commands.vms import CheckMigration, ListVMs, Migrate


@click.command()
@click.argument("names", nargs=-1, shell_complete=complete.in_state("running"), metavar="NAME...")
@click.option("--from", "source", shell_complete=complete.hosts, help="All VMs that run on this host.")
@click.option("--to", "--host", "to", default="", shell_complete=complete.hosts, help="Leave placement no choice.")
@click.option("--cold", is_flag=True, help="Stop in the guest, start on the other host; nothing is copied.")
@click.option("--check", is_flag=True, help="Only list what stands in the way, for every host.")
@output.option
@follow.options
def migrate(
    names: tuple[str, ...],
    source: str | None,
    to: str,
    cold: bool,
    check: bool,
    form: str,
    detach: bool,
    timeout: float,
) -> None:
    """Move running VMs to another host, live.

    Ctrl-C asks whether to cancel (a VM stays where it is) or to leave it to the controller.
    Example: vmctl migrate web1 --to kvm2
    """
    if bool(names) == bool(source):
        raise click.UsageError("say which VMs: NAME... or --from HOST")
    chosen = names or _running_on(str(source))
    if check:
        if len(chosen) != 1:
            raise click.UsageError("--check is about one VM")
        _check(Client().ask(CheckMigration(chosen[0])), form, cold)
        return

    def call(client: Client, name: str) -> Any:
        return client.ask(Migrate(name, to, cold))

    each(chosen, form, call, done, detach, timeout)


def _running_on(host: str) -> tuple[str, ...]:
    """The VMs that run on a host. Refused where there are none."""
    client = Client()
    there = set(client.ask(ShowHost(host))["vms"])
    found = tuple(vm["name"] for vm in client.ask(ListVMs()) if vm["name"] in there and vm["power"] == "running")
    if not found:
        raise errors.Refused(f"no VM runs on {host}", hint="vmctl list")
    return found


def done(task: dict[str, Any]) -> str:
    """The last line: where it runs now, and what it cost."""
    r = task["result"]
    if r.get("cold"):
        return f"{r['vm']} runs on {r['host']} (was on {r['source']}); its guest took {r['stop_seconds']:.1f} s to stop"
    paused = f"paused {r['downtime_ms']} ms" if r["downtime_ms"] else "its pause was not measured"
    took = f"{paused}, {r['seconds']:.1f} s in all"
    return f"{r['vm']} runs on {r['host']} (was on {r['source']}); {took}; checked: {', '.join(r['checked'])}"


def _check(found: dict[str, Any], form: str, cold: bool) -> None:
    kind, movable = ("cold_blockers", "cold_movable") if cold else ("blockers", "movable")
    able = [{"name": row["host"]} for row in found["hosts"] if not row[kind]]
    if not output.shown_as_data(able if form == "name" else found, form):
        for row in found["hosts"]:
            verdict = "can take it" if not row[kind] else "cannot"
            print(f"{output.style(row['host'], bold=True)}  {verdict}")
            for blocker in row[kind]:
                print(f"  {output.clean(blocker)}")
        for why in [] if cold else [*found["cold"], *(f"{d['what']}  -> {d['mend']}" for d in found["differs"])]:
            print(f"not cold: {output.clean(why)}")
    if not found[movable]:
        raise errors.Refused(f"no host can take {found['vm']} now{' by a cold move' if cold else ''}")
