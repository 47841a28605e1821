"""`vmctl migrate`."""

from __future__ import annotations

from typing import Any

import click

from vmctl import errors
from vmctl.cli import complete, follow, output
from vmctl.cli.client import Client


@click.command()
@click.argument("name", shell_complete=complete.vms)
@click.option("--to", default="", shell_complete=complete.hosts, help="The host; without it placement chooses.")
@click.option("--cold", is_flag=True, help="Stop in the guest, start on the other host; nothing is copied.")
@click.option("--check", is_flag=True, help="Only list what stands in the way, for every host.")
@output.option
@follow.options
def migrate(name: str, to: str, cold: bool, check: bool, form: str, detach: bool, timeout: float) -> None:
    """Move a running VM to another host, live.

    Ctrl-C asks whether to cancel (the VM stays where it is) or to leave it to the controller.
    Example: vmctl migrate web1 --to kvm2
    """
    client = Client()
    if check:
        _check(client.get("vms", name, "migrate", "check"), form, cold)
        return
    task = client.post("vms", name, "migrate", body={"to": to, "cold": cold})
    follow.run(client, [task], form, done, detach=detach, timeout=timeout)


def done(task: dict[str, Any]) -> str:
    """The last line: where it runs now, and what it cost."""
    r = task["result"]
    if r.get("cold"):
        return f"{r['vm']} runs on {r['host']} (was on {r['source']}); its guest took {r['stop_seconds']:.1f} s to stop"
    took = f"paused {r['downtime_ms']} ms, {r['seconds']:.1f} s in all"
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
