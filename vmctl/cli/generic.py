"""Commands that have no front of their own: made from their row of the catalogue, with its words as their help."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from typing import Any, Literal, get_args, get_origin

import click
from annotated_types import Ge, Le

from vmctl.cli import complete, follow, output
from vmctl.cli.client import Client
from vmctl.commands import catalogue
from vmctl.commands.fields import Help, Inner, Names, hints, mark
from vmctl.commands.rows import Command

COMPLETERS = {"VM": complete.vms, "host": complete.hosts, "storage": complete.storages, "image": complete.images}


def rows(taken: frozenset[str]) -> dict[str, Command]:
    """Commands that clients can give and that no word of the command line stands for yet."""
    own = (row for row in catalogue.commands() if row.way and row.kind.split()[0] not in taken)
    return {word(row): row for row in own}


def word(row: Command) -> str:
    """The command's kind as one word of the command line."""
    return row.kind.replace(" ", "-")


def command(row: Command) -> click.Command:
    """The command of a row: what it must be told are arguments, the rest are options."""
    front = click.command(word(row), help=inspect.cleandoc(row.arguments.__doc__ or ""))(_run(row))
    front.params = [*_parameters(row), *front.params]
    return front


def _run(row: Command) -> Any:
    @output.option
    @follow.options
    def run(form: str, detach: bool, timeout: float | None, **given: Any) -> None:
        client = Client()
        answer = client.ask(row.arguments(**given))
        if row.task:
            follow.run(client, [answer], form, _done, detach=detach, timeout=timeout)
        elif not output.shown_as_data(answer, form):
            output.pairs(list(answer.items()))

    return run


def _done(task: dict[str, Any]) -> str:
    return f"{task['kind']} {task['subject']}: done"


def _parameters(row: Command) -> Iterator[click.Parameter]:
    for field in fields(row.arguments):
        if mark(row.arguments, field.name, Inner) is not None:
            continue
        told = mark(row.arguments, field.name, Help)
        names = mark(row.arguments, field.name, Names)
        offered = COMPLETERS.get(names.what) if names is not None else None
        kind = _type(row, field)
        if field.default is MISSING and field.default_factory is MISSING:
            yield click.Argument([field.name], type=kind, shell_complete=offered, metavar=names.what if names else None)
        else:
            yield click.Option(
                [f"--{field.name.replace('_', '-')}", field.name],
                type=kind,
                is_flag=kind is click.BOOL,
                default=None if field.default is MISSING else field.default,
                help=told.text if told is not None else None,
                shell_complete=offered,
            )


def _type(row: Command, field: Field[Any]) -> click.ParamType[Any]:
    hint = hints(row.arguments)[field.name]
    inner, *marks = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
    low = next((one.ge for one in marks if isinstance(one, Ge)), None)
    high = next((one.le for one in marks if isinstance(one, Le)), None)
    if inner is bool:
        return click.BOOL
    if inner is int:
        return click.IntRange(low, high)  # type: ignore[arg-type]
    if inner is float:
        return click.FloatRange(low, high)  # type: ignore[arg-type]
    if get_origin(inner) is Literal:
        return click.Choice([str(one) for one in get_args(inner)])
    return click.STRING
