"""`vmctl db`: where the registry is kept. It asks the database itself, whether a controller runs or not."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from vmctl import errors
from vmctl.cli import output
from vmctl.cli.bars import Bar
from vmctl.cli.groups import Group
from vmctl.local import config, lock, paths

SAID = {
    "empty": "has no tables yet: the first controller makes them",
    "old": "is of an older vmctl: the next controller brings it up to date, or vmctl db upgrade",
    "newest": "is up to date",
    "rolling": "is of a newer vmctl, and this one can go on beside it",
    "newer": "is of a newer vmctl, and this one cannot use it",
}


@click.group(cls=Group)
def db() -> None:
    """The registry's database: status, upgrade, move."""


@contextmanager
def _alone() -> Iterator[None]:
    """While no controller uses the file, and none begins to."""
    held = lock.take(paths.lock_path())
    try:
        yield
    finally:
        os.close(held)


@db.command()
@output.option
def status(form: str) -> None:
    """Say where the registry is, whether it can be used, and what is in it.

    Example: vmctl db status
    """
    from vmctl.store import opening

    found = dataclasses.asdict(opening.about(config.load().database, paths.registry_path()))
    if output.shown_as_data(found, form, lambda item: item["where"]):
        return
    rows = [f"{count} {name}" for name, count in found["rows"].items() if count and name in SHOWN]
    size = "" if found["size_bytes"] is None else output.in_bytes(found["size_bytes"])
    known = [("server", found["server"]), ("schema", f"{found['revision'] or '-'} {SAID[found['schema']]}")]
    known += [("size", size), ("rows", ", ".join(rows) or "none"), ("standbys", ", ".join(found["standbys"]))]
    known += [("long transactions", ", ".join(found["long_transactions"])), ("moved to", found["moved_to"])]
    output.say(found["where"])
    output.pairs([(key, value) for key, value in known if value])


SHOWN = ("host", "vm", "storage", "image", "task", "event", "audit", "incarnation")


@db.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@output.option
def upgrade(dry_run: bool, form: str) -> None:
    """Bring the tables up to date, or make them. A controller does so, too, when it starts.

    Example: vmctl db upgrade
    """
    from vmctl.store import opening

    dsn = config.load().database
    if dsn and not dry_run:  # several controllers may use it meanwhile
        opening.upgrade(dsn, paths.registry_path())
    elif not dry_run:
        with _alone():
            opening.upgrade(dsn, paths.registry_path())
    found = opening.about(dsn, paths.registry_path())
    value = {"where": found.where, "schema": found.schema, "revision": found.revision, "newest": found.newest}
    output.result(value, form, f"{found.where} {SAID[found.schema]}", lambda item: item["where"])


@db.command()
@click.option("--to", "dsn", metavar="DSN", required=True, help="postgresql://USER@HOST1,HOST2/NAME")
@click.option("--dry-run", is_flag=True, help="Only say whether it could be moved, and how much.")
@output.option
def move(dsn: str, dry_run: bool, form: str) -> None:
    """Take the registry from its file into a PostgreSQL database, compared row by row: all of it, or nothing.

    No controller may run meanwhile. The file stays as it is, marked as moved: no controller uses it any more.

    Example: vmctl db move --to postgresql://vmctl@db1,db2/vmctl
    """
    from vmctl.store import moving
    from vmctl.store.opening import named

    if settings := config.load().database:
        raise errors.Refused(f"the registry is in {named(settings)} already", hint="vmctl db status")
    with _alone():
        bar = Bar("move", "registry", quiet=form not in output.PEOPLE)

        def told(done: int, total: int) -> None:
            bar.show(100 * done / max(1, total), "copying and comparing")

        try:
            rows = moving.move(paths.registry_path(), dsn, told, dry_run=dry_run)
        finally:
            bar.end()
    value = {"moved": not dry_run, "rows": rows, "from": str(paths.registry_path()), "to": named(dsn)}
    if dry_run:
        output.result(value, form, f"{rows} rows would be moved to {named(dsn)}", lambda item: item["to"])
        return
    output.result(value, form, f"{rows} rows were moved to {named(dsn)}, each was compared", lambda item: item["to"])
    secret = config.has_password(dsn)
    line = f'database = "{named(dsn) if secret else dsn}"{", with its password" if secret else ""}'
    print(f"now write into {paths.config_dir() / 'vmctl.toml'}, above its sections: {line}", file=sys.stderr)
