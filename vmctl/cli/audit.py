"""`vmctl audit`: who asked for what, what became of it, and whether all of that is as it was written."""

from __future__ import annotations

import json
from typing import Any

import click

from vmctl import errors
from vmctl.cli import complete, output, times
from vmctl.cli.client import Client
from vmctl.commands.users import ListAudit, VerifyAudit

PAGE = 500

COLUMNS: tuple[output.Column, ...] = (
    ("NR", lambda e: e["id"]),
    ("TIME (UTC)", lambda e: times.shown(e["at"])),
    ("WHO", lambda e: e["who"]),
    ("FROM", lambda e: e["where"]),
    ("WHAT", lambda e: e["what"]),
    ("ON", lambda e: e["subject"]),
    ("OUTCOME", lambda e: e["outcome"]),
)
WIDE: tuple[output.Column, ...] = (
    ("TASK", lambda e: e["task"] or ""),
    ("TOKEN", lambda e: e["token"]),
    ("DETAIL", lambda e: json.dumps(e["detail"]) if e["detail"] else ""),
)


@click.command()
@click.option("--who", default="", help="What somebody asked for.", shell_complete=complete.users)
@click.option("--what", default="", help="Commands that begin so: stop, user.")
@click.option("--since", type=times.Moment(), metavar="TIME", help="From then on.")
@click.option("--most", type=click.IntRange(1, PAGE), default=100, show_default=True, help="At most so many.")
@click.option("--verify", is_flag=True, help="Say whether it is as it was written, and print its head.")
@click.option("--head", default="", metavar="HEAD", help="With --verify: a head that was printed earlier.")
@click.option("--export", is_flag=True, help="Print all of it, a line of JSON for each entry.")
@output.option
def audit(
    who: str, what: str, since: float | None, most: int, verify: bool, head: str, export: bool, form: str
) -> None:
    """Say who asked for what, and what became of it.

    \b
    Example: vmctl audit --who anna --since "1 day ago"
    vmctl audit --verify
    """
    client = Client()
    if verify or head:
        _verify(client.ask(VerifyAudit(head)), form)
    elif export:
        _export(client)
    else:
        found = client.ask(ListAudit(0, most, who, what, since or 0.0))
        output.rows(found, form, COLUMNS, WIDE, "nobody has asked for anything that is told here")


def _verify(found: dict[str, Any], form: str) -> None:
    """Raises Refused where something is wrong."""
    if not found["good"]:
        hint = "vmctl audit --export, and compare it with an earlier one"
        raise errors.Refused(f"the audit is not as it was written: {found['why']}", hint=hint)
    sentence = f"{found['entries']} entries are as they were written; the head, to be kept elsewhere:\n{found['head']}"
    output.result(found, form, sentence, lambda one: one["head"])


def _export(client: Client) -> None:
    """All of it, in the order in which it was written."""
    after = 0
    while page := client.ask(ListAudit(after, PAGE, whole=True)):
        for one in page:
            print(json.dumps(one))
        after = page[-1]["id"]
