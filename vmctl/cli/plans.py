"""`vmctl rebalance` and `vmctl schedule`."""

from __future__ import annotations

import time
from typing import Any

import click

from vmctl.cli import complete, follow, output, times
from vmctl.cli.client import Client
from vmctl.cli.groups import Group
from vmctl.cli.sizes import Amount
from vmctl.commands.cluster import ListSchedules, PlanCurve, PlanRebalance, Rebalance, RemoveSchedule, SetSchedule

ABOVE_ZERO = Amount(min=0, min_open=True)


def print_plan(plan: dict[str, Any], form: str) -> None:
    """A plan: its sentence, each move with its reason, what stays and why, the score's terms before and after."""
    if output.shown_as_data(plan["moves"] if form == "name" else plan, form, lambda move: move["vm"]):
        return
    print(output.style(plan["why"], bold=True))
    for number, move in enumerate(plan["moves"], 1):
        print(
            f"  {number}. {move['vm']}: {move['source']} -> {move['target']}, {mib(move)}{_worth(move)}: {move['why']}"
        )
    for sentence in plan["stays"]:
        print(f"  -  {output.clean(sentence)}")
    if plan["before"]:
        print(f"  {'term':18}  before   after")
        for (name, before), (_, after) in zip(plan["before"], plan["after"], strict=True):
            print(f"  {name:18}  {before:6.3f}  {after:6.3f}")


def _worth(move: dict[str, Any]) -> str:
    """Gain and price, as shares of one host, and the score that the move leads to; a drain has none."""
    if not move["gain"]:
        return ""
    return f" (gain {move['gain']:.1%}, price {move['cost']:.1%}, score {move['score']:.3f})"


def print_curve(plans: list[dict[str, Any]], form: str) -> None:
    """What each budget of moves buys."""
    columns: tuple[output.Column, ...] = (
        ("MOVES", lambda p: len(p["moves"])),
        ("GIB", lambda p: f"{sum(move['mem_mib'] for move in p['moves']) / 1024:.1f}"),
        ("MINUTES", lambda p: f"{sum(move['minutes'] for move in p['moves']):.1f}"),
        ("WAVES", lambda p: max((move["wave"] for move in p["moves"]), default=0)),
        ("SCORE", lambda p: f"{sum(value for _, value in p['after']):.3f}"),
        ("LAST MOVE", lambda p: p["moves"][-1]["why"] if p["moves"] else p["why"]),
    )
    output.rows(plans, form, columns, name=lambda plan: str(len(plan["moves"])))


def mib(move: dict[str, Any]) -> str:
    """How much a move carries."""
    return output.mib(move["mem_mib"])


@click.command()
@click.option("--plan", "only_plan", is_flag=True, help="Only show the plan (the default).")
@click.option("--apply", "apply_it", is_flag=True, help="Carry the plan out.")
@click.option("--curve", "as_curve", is_flag=True, help="Show the best plan for 1, 2, 4, ... moves.")
@click.option("--budget-moves", "moves", type=click.IntRange(min=1), help="At most so many moves.")
@click.option("--budget-gib", "gib", type=ABOVE_ZERO, help="At most so much memory over the wire, GiB.")
@click.option("--budget-minutes", "minutes", type=ABOVE_ZERO, help="At most so long on the wire, in minutes.")
@click.option("--coolest", is_flag=True, default=None, help="Only leave the hottest host as cool as can be.")
@output.option
@follow.options
def rebalance(
    only_plan: bool, apply_it: bool, as_curve: bool, form: str, detach: bool, timeout: float, **asked: Any
) -> None:
    """Even the cluster out with few live migrations, each with its reason.

    Example: vmctl rebalance --apply
    """
    if apply_it and (only_plan or as_curve):
        raise click.UsageError("--plan and --curve exclude --apply")
    if as_curve and asked["coolest"]:
        raise click.UsageError("--curve is of plans that even out; it excludes --coolest")
    client = Client()
    if as_curve:
        print_curve(client.ask(PlanCurve()), form)
        return
    if not apply_it:
        print_plan(client.ask(PlanRebalance(**asked)), form)
        return
    task = client.ask(Rebalance(**asked))
    follow.run(client, [task], form, _done, detach=detach, timeout=timeout)


def _done(task: dict[str, Any]) -> str:
    result = task["result"]
    for sentence in result["stays"]:
        output.say(f"  {sentence}")
    if not result["moves"]:
        return str(result["why"])
    return f"{result['moved']} of {result['moves']} moves done; {result['why']}"


@click.group(cls=Group)
def schedule() -> None:
    """What runs by the clock."""


@schedule.command("set")
@click.argument("name", type=click.Choice(["rebalance"]))
@click.argument("cron")
@click.option("--mode", type=click.Choice(["advise", "act"]), default="advise", show_default=True)
@output.option
def set_schedule(name: str, cron: str, mode: str, form: str) -> None:
    """Schedule a job; CRON as in crontab(5), times in UTC.

    Example: vmctl schedule set rebalance "*/10 * * * *" --mode act
    """
    found = Client().ask(SetSchedule(name, cron, mode))
    sentence = f"{name}: {found['cron']} ({found['mode']}), next at {times.shown(found['next_run'])} UTC"
    output.result(found, form, sentence)


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
        ("NEXT RUN (UTC)", lambda s: times.shown(s["next_run"]) if s["next_run"] else "never"),
        ("RESULT", lambda s: s["last_result"]),
    )
    output.rows(
        Client().ask(ListSchedules()), form, columns, (), 'nothing is scheduled: vmctl schedule set rebalance "..."'
    )


@schedule.command("remove")
@click.argument("name", shell_complete=complete.schedules)
@output.option
def remove_schedule(name: str, form: str) -> None:
    """Take a schedule away.

    Example: vmctl schedule remove rebalance
    """
    found = Client().ask(RemoveSchedule(name))
    output.result(found, form, f"{name} is no longer scheduled", lambda gone: gone["schedule"])
