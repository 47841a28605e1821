"""`vmctl why`, and how placements are printed."""

from __future__ import annotations

import time
from typing import Any

import click

from vmctl import errors
from vmctl.cli import complete, output, times
from vmctl.cli.client import Client
from vmctl.commands.vms import WhereNow, Why


def print_placement(found: dict[str, Any], form: str, most: int = 3) -> None:
    """A placement: the best hosts with their terms, the refused ones with their reasons."""
    if not output.shown_as_data(found, form, lambda placement: placement["host"]):
        head = f"{found['vm']} would go to {found['host']}" if found["host"] else found["why"]
        print(output.style(head, bold=True))
        _verdicts(found, most if form == "table" else 1000)
    if not found["host"]:
        lines = tuple(f"{v['host']}: {v['why']}" for v in found["verdicts"])
        raise errors.NoHostFits(found["why"], lines=lines if form == "name" else ())


def _verdicts(found: dict[str, Any], most: int) -> None:
    fitting = [v for v in found["verdicts"] if not v["refusal"]]
    for rank, verdict in enumerate(fitting[:most], 1):
        terms = ", ".join(f"{name} {value:.3f}" for name, value in verdict["terms"] if value >= 0.0005)
        print(f"  {rank}. {verdict['host']}  score {verdict['score']:.3f} (lower is better): {verdict['why']}")
        if verdict["terms"]:  # of many hosts, only the best show theirs
            print(f"       {terms or 'every term is zero'}")
    for verdict in found["verdicts"]:
        if verdict["refusal"]:
            print(f"  -  {verdict['host']}  refused: {output.clean(verdict['why'])}")


@click.command()
@click.argument("name", shell_complete=complete.vms)
@click.option("--not", "not_host", metavar="HOST", help="Why it did not go to this host.")
@click.option("--at", type=times.Moment(), help="The decision in force then (ISO time, UTC).")
@output.option
def why(name: str, not_host: str | None, at: float | None, form: str) -> None:
    """Say why a VM is where it is: the decision, every host's verdict, and the inputs with their ages then.

    A number that is no VM's name is a job's.

    Example: vmctl why web1
    """
    client = Client()
    found = _decided(client, name, at)
    if output.shown_as_data(found, form, lambda decision: decision["host"]):
        return
    if "not_done" not in found:
        _now(found, not_host, form)
        return
    if "detail" not in found:
        output.say(f"{name}: {found['why']}")
        _not_done(found)
        return
    detail = found["detail"]
    made = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(found["made_at"]))
    print(output.style(f"{name}: {found['why']}", bold=True))
    print(
        f"decided by {found['kind']} for {found['who'] or 'the controller'} at {made}, {output.ago(found['age_s'])} ago"
    )
    if found["host"] and found["now_on"] != found["host"]:
        print(f"it is on {found['now_on'] or 'no host'} now")
    _not_done(found)
    if not_host:
        _why_not(detail, not_host)
        return
    _verdicts(detail, 1000)
    print("inputs then:")
    for host, row in detail["inputs"].items():
        age = "no measurement" if row["age_s"] is None else f"measured {row['age_s']:.1f} s before"
        use = (
            ""
            if row["cpu"] is None
            else f", CPU {row['cpu']:.2f} of {row['cpus']}, {row['mem_used_mib']} of {row['mem_mib']} MiB"
        )
        print(f"  {host}: {row['state']}, {row['vms']} VMs{use}, {age}")


def _decided(client: Client, name: str, at: float | None) -> dict[str, Any]:
    """About a VM, or about the first run of the job of that number where no VM has that name."""
    try:
        found: dict[str, Any] = client.ask(WhereNow(name) if client.offline and at is None else Why(name, at))
    except errors.NotFound:
        if client.offline or at is not None or not name.isdecimal() or len(name) > 18:
            raise
        from vmctl.commands.jobs import WhyRun

        return dict(client.ask(WhyRun(int(name))))
    return found


def _not_done(found: dict[str, Any]) -> None:
    """What was decided since, and came to nothing."""
    for one in found["not_done"]:
        made = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(one["made_at"]))
        print(output.clean(f"not done since: {one['kind']} at {made}: {one['why']}: {one['error']}"))


def _now(found: dict[str, Any], not_host: str | None, form: str) -> None:
    """A dump has no decisions of the past: where the VM would go if it were placed now."""
    output.say(f"{found['vm']} is on {found['now_on'] or 'no host'}; if it were placed now:")
    if not_host:
        _why_not(found, not_host)
    else:
        print_placement(found, form, most=1000)


def _why_not(detail: dict[str, Any], host: str) -> None:
    for verdict in detail["verdicts"]:
        if verdict["host"] == host:
            best = next((v for v in detail["verdicts"] if not v["refusal"]), None)
            if verdict["refusal"]:
                print(f"not {host}: {output.clean(verdict['why'])}")
            elif best and best["host"] != host:
                print(f"not {host}: score {verdict['score']:.3f}, {best['host']} had {best['score']:.3f}")
            else:
                print(f"{host} is where it went")
            return
    raise errors.NotFound(f"{host} was not among the hosts then", hint="vmctl why NAME")
