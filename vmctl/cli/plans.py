"""`vmctl rebalance` and `vmctl schedule`."""

from __future__ import annotations

import time
from typing import Any

import click

from vmctl.cli import follow, output
from vmctl.cli.client import Client


def print_plan(plan: dict[str, Any], form: str) -> None:
    """A plan: its sentence, each move with its reason, what stays and why, the score's terms before and after."""
    if form in ("json", "yaml"):
        output.data(plan, form)
        return
    print(output.style(plan["why"], bold=True))
    for number, move in enumerate(plan["moves"], 1):
        gain = f" (gain {move['gain']:.3f}, cost {move['cost']:.3f})" if move["gain"] else ""
        print(f"  {number}. {move['vm']}: {move['source']} -> {move['target']}, {mib(move)}{gain}: {move['why']}")
    for sentence in plan["stays"]:
        print(f"  -  {output.clean(sentence)}")
    if plan["before"]:
        print(f"  {'term':18}  before   after")
        for (name, before), (_, after) in zip(plan["before"], plan["after"], strict=True):
            print(f"  {name:18}  {before:6.3f}  {after:6.3f}")


def mib(move: dict[str, Any]) -> str:
    """How much a move carries."""
    return output.mib(move["mem_mib"])


@click.command()
@click.option("--plan", "only_plan", is_flag=True, help="Only show the plan (the default).")
@click.option("--apply", "apply_it", is_flag=True, help="Carry the plan out.")
@output.option
@follow.options
def rebalance(only_plan: bool, apply_it: bool, form: str, detach: bool, timeout: float) -> None:
    """Even the cluster out with few live migrations, each with its reason.

    Example: vmctl rebalance --apply
    """
    if only_plan and apply_it:
        raise click.UsageError("--plan and --apply exclude each other")
    client = Client()
    if not apply_it:
        print_plan(client.get("rebalance"), form)
        return
    task = client.post("rebalance")
    follow.run(client, [task], form, _done, detach=detach, timeout=timeout)


def _done(task: dict[str, Any]) -> str:
    result = task["result"]
    for sentence in result["stays"]:
        output.say(f"  {sentence}")
    if not result["moves"]:
        return str(result["why"])
    return f"{result['moved']} of {result['moves']} moves done; {result['why']}"


@click.group()
def schedule() -> None:
    """What runs by the clock."""


@schedule.command("set")
@click.argument("name", type=click.Choice(["rebalance"]))
@click.argument("cron")
@click.option("--mode", type=click.Choice(["advise", "act"]), default="advise", show_default=True)
def set_schedule(name: str, cron: str, mode: str) -> None:
    """Schedule a job; CRON as in crontab(5), times in UTC.

    Example: vmctl schedule set rebalance "*/10 * * * *" --mode act
    """
    found = Client().put("schedules", name, body={"cron": cron, "mode": mode})
    output.say(f"{name}: {found['cron']} ({found['mode']})")


@schedule.command("list")
@output.option
def list_schedules(form: str) -> None:
    """List schedules and their last results.

    Example: vmctl schedule list
    """
    columns: tuple[output.Column, ...] = (
        ("NAME", lambda s: s["name"]),
        ("CRON", lambda s: s["cron"]),
        ("MODE", lambda s: s["mode"]),
        ("LAST RUN", lambda s: f"{output.ago(time.time() - s['last_run'])} ago" if s["last_run"] else "never"),
        ("RESULT", lambda s: s["last_result"]),
    )
    output.rows(
        Client().get("schedules"), form, columns, (), 'nothing is scheduled: vmctl schedule set rebalance "..."'
    )


@schedule.command("remove")
@click.argument("name")
def remove_schedule(name: str) -> None:
    """Take a schedule away.

    Example: vmctl schedule remove rebalance
    """
    Client().delete("schedules", name)
    output.say(f"{name} is no longer scheduled")
