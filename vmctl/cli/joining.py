"""`vmctl controller invite` and `join`: a controller on another machine gets a key of its own, for all hosts."""

from __future__ import annotations

import getpass
import secrets
import socket
import sys
import time
from pathlib import Path

import click

from vmctl import errors
from vmctl.cli import output, times
from vmctl.cli.registry import asked
from vmctl.local import config, lock, paths

ELSEWHERE = "vmctl db move --to postgresql://USER@HOST/NAME takes the registry there"


@click.command("invite")
@click.option("--for", "valid_s", type=times.Span(), default="1h", show_default=True, help="How long it may be used.")
@output.option
def invite(valid_s: float, form: str) -> None:
    """Invite a controller on another machine: it prints a token for `vmctl controller join`, to be used once.

    The token says where the database is, with its password where the settings have one: guard it as you guard root.

    Example: vmctl controller invite --for 15m
    """
    from vmctl.model.audit import Entry
    from vmctl.model.joining import Invitation, JoinToken
    from vmctl.store.sql import SqlStore

    dsn = config.load().database
    if not dsn:
        raise errors.Refused("only controllers that share a PostgreSQL database can be several", hint=ELSEWHERE)
    token, now, who = JoinToken(dsn, secrets.token_urlsafe(32)), time.time(), getpass.getuser()
    made = Invitation(token.hash, who, now + valid_s)

    async def keep(store: SqlStore) -> None:
        await store.invite(made, Entry(now, who, "controller invite", "cluster", "done", detail={"until": made.until}))

    asked(keep)
    output.result({"token": str(token), "until": made.until}, form, str(token), lambda item: str(item["token"]))
    if form in output.PEOPLE:
        print(f"until {times.shown(made.until)}, on the new machine: vmctl controller join TOKEN", file=sys.stderr)


@click.command("join")
@click.argument("token")
@click.option("--name", default="", help="What it is called; otherwise as its machine.")
@output.option
def join(token: str, name: str, form: str) -> None:
    """Let this machine's controller join those that share a database; its key is put onto the hosts.

    It writes the database into vmctl.toml, and a key of its own if there is none. Hosts that are away get the key when
    they are back. `vmctl controller remove` takes it away again.

    With - as TOKEN it is read from standard input, so that nobody sees it in the list of processes.

    Example: vmctl controller join vmctl-join-eyJkYXRh...
    """
    from vmctl.hosts.ssh import ensure_key
    from vmctl.local.database import keep_database
    from vmctl.model.joining import read_token

    found, settings = (
        read_token(sys.stdin.readline().strip() if token == "-" else token),
        paths.config_dir() / "vmctl.toml",
    )
    _refuse_one_of_its_own(found.dsn)
    called = name or config.load().controllers.name or socket.gethostname()
    new = _join(found.dsn, found.hash, called, ensure_key(paths.ssh_key_path()))
    written = keep_database(settings, found.dsn)
    value = {"name": called, "joined": new, "settings": str(settings), "settings_written": written}
    said = f"{called} has joined" if new else f"{called} had joined already"
    output.result(value, form, f"{said}; now: systemctl enable --now vmctl, or vmctl serve")


def _join(dsn: str, hash: str, called: str, key: str) -> bool:
    from vmctl.local.home import home_of
    from vmctl.model.audit import Entry
    from vmctl.model.joining import ControllerKey
    from vmctl.ports import SYSTEM
    from vmctl.store.sql import SqlStore

    now, who, data = time.time(), getpass.getuser(), paths.data_dir()
    made = ControllerKey(home_of(data, SYSTEM.ids.uuid), called, key, now)
    entry = Entry(now, who, "controller join", called, "done", where=socket.gethostname(), detail={"home": made.home})

    async def use(store: SqlStore) -> bool:
        return await store.join(hash, made, now, entry)

    return asked(use, dsn)


def _refuse_one_of_its_own(dsn: str) -> None:
    """A machine that has a pool of its own does not lose it by joining another one. Raises Refused."""
    if (running := lock.holder(paths.lock_path())) is not None and config.load().database != dsn:
        raise errors.Refused(f"a controller runs here (process {running})", hint="vmctl serve --stop")
    if config.load().database not in ("", dsn):
        raise errors.Refused("this machine's controller uses another database", hint="vmctl db status")
    hosts = _hosts_of(paths.registry_path()) if not config.load().database else 0
    if hosts:
        raise errors.Refused(f"this machine has a registry of its own, with {hosts} hosts", hint="vmctl host list")


def _hosts_of(file: Path) -> int:
    from vmctl.store.opening import about, schema_of

    if schema_of("", file) == "empty":
        return 0
    found = about("", file)
    return 0 if found.moved_to else found.rows.get("host", 0)
