"""`vmctl task` and `vmctl events`."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from vmctl.cli import complete, follow, output, times
from vmctl.cli.client import Client
from vmctl.cli.groups import Group
from vmctl.cli.outcomes import outcome
from vmctl.commands.tasks import CancelTask, ListEvents, ListTasks, ShowTask


@click.group(cls=Group)
def task() -> None:
    """Tasks: list, show, attach, cancel."""


@task.command("list")
@click.option("--most", type=click.IntRange(1, 500), default=20, show_default=True)
@output.option
def list_tasks(most: int, form: str) -> None:
    """List the newest tasks.

    Example: vmctl task list --most 5
    """
    columns: tuple[output.Column, ...] = (
        ("ID", lambda t: t["id"]),
        ("STATE", lambda t: t["state"]),
        ("KIND", lambda t: t["kind"]),
        ("SUBJECT", lambda t: t["subject"]),
        ("AGE", lambda t: output.ago(time.time() - t["created_at"])),
        ("TOOK", output.took),
        ("OUTCOME", outcome),
    )
    output.rows(Client().ask(ListTasks(most)), form, columns, (), "no tasks yet")


@task.command("show")
@click.argument("number", type=output.NUMBER, shell_complete=complete.tasks)
@output.option
def show(number: int, form: str) -> None:
    """Show one task with its log.

    Example: vmctl task show 7
    """
    found = Client().ask(ShowTask(number))
    if output.shown_as_data(found, form):
        return
    rows = [(key, found[key]) for key in ("id", "kind", "subject", "state", "step", "who")]
    output.pairs([*rows, ("took", output.took(found)), ("outcome", outcome(found))])
    for at, sentence in found["log"]:
        print(f"  {time.strftime('%H:%M:%S', time.gmtime(at))}  {output.clean(sentence)}")
    if found["error"]:
        print(f"  error: {output.clean(found['error']['message'])}")
        for line in found["error"]["lines"]:
            print(f"    {output.clean(line)}")


@task.command("attach")
@click.argument("numbers", type=output.NUMBER, nargs=-1, required=True, shell_complete=complete.open_tasks)
@output.option
@follow.patience
def attach(numbers: tuple[int, ...], form: str, timeout: float | None) -> None:
    """Follow tasks to their end.

    Example: vmctl task attach 7
    """
    client = Client()
    tasks = [client.ask(ShowTask(number)) for number in numbers]
    follow.run(client, tasks, form, _outcome, detach=False, timeout=timeout)


def _outcome(t: dict[str, Any]) -> str:
    if t["kind"] == "migrate":
        from vmctl.cli.migrate import done

        return done(t)
    return f"task {t['id']}: {t['kind']} {t['subject']} is done"


@task.command("cancel")
@click.argument("numbers", type=output.NUMBER, nargs=-1, required=True, shell_complete=complete.open_tasks)
@output.option
def cancel(numbers: tuple[int, ...], form: str) -> None:
    """Ask tasks to stop; a migration then leaves its VM where it is.

    Example: vmctl task cancel 7
    """
    client = Client()
    asked = [client.ask(CancelTask(number)) for number in numbers]
    if not output.shown_as_data(asked[0] if len(asked) == 1 else asked, form):
        for task in asked:
            output.say(f"task {task['id']} ({task['kind']} {task['subject']}) was asked to stop")


AT_ONCE = 500  # events that one question brings


@click.command()
@click.option("--follow", "go_on", is_flag=True, help="Wait for new ones.")
@click.option("--most", type=click.IntRange(1, 500), default=30, show_default=True)
@output.option
def events(go_on: bool, most: int, form: str) -> None:
    """What happened, one sentence each.

    With --follow, json is one object per line.

    Example: vmctl events --follow
    """
    client = Client()
    found = client.ask(ListEvents(most=most))
    if not go_on:
        if not output.shown_as_data(found, form):
            _print(found, form)
        return
    newest = 0
    client = Client(autostart=False)  # who only watches starts no controller where somebody has stopped it
    while True:
        _print(found, form)
        newest = max((event["id"] for event in found), default=newest)
        if len(found) < AT_ONCE:
            time.sleep(1.0)
        found = client.ask(ListEvents(newest, AT_ONCE))


def _print(found: list[dict[str, Any]], form: str) -> None:
    for event in found:
        print(_event(event, form), flush=True)


def _event(event: dict[str, Any], form: str) -> str:
    if form == "json":
        return json.dumps(event)
    if form == "yaml":
        import yaml

        return yaml.safe_dump([event], sort_keys=False).rstrip()
    if form == "name":
        return str(event["id"])
    at = times.shown(event["at"])
    who = f"  {event['subject']}  {event.get('who') or '-'}" if form == "wide" else ""
    return output.clean(f"{at}  {event['kind']:10}{who}  {event['text']}")
