"""What is wrong with a PostgreSQL server that cannot be used, and the way out, in words of ours. Pure."""

from __future__ import annotations

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.exc import DBAPIError

from vmctl.errors import RegistryUnusable

STANDBY, LOCKED = "25006", "55P03"
SILENT = "it does not answer in time"
BACK = ("40001", "40P01", "25P03")  # the server took the transaction back, or ended a session that was silent in one
# How a server says what is wrong -> what it means, and what to do about it
MEANINGS: dict[str, tuple[str, str]] = {
    "28000": ("it lets this user not in: {said}", "look at pg_hba.conf, and at `database` in vmctl.toml"),
    "28P01": ("it lets this user not in: {said}", "look at `database` in vmctl.toml, or at ~/.pgpass"),
    "3D000": ("there is no such database", "createdb, as a user who may"),
    STANDBY: (
        "it takes no writes: it is a standby, or was told to take none",
        "name all servers: postgresql://USER@HOST1,HOST2/NAME",
    ),
    "42501": ("this user may not do that: {said}", "make the user the database's owner"),
    "42P01": ("it has not the tables of this vmctl: {said}", "vmctl db upgrade"),
    "42703": ("it has not the columns of this vmctl: {said}", "vmctl db upgrade"),
    "53100": ("its disk is full", "df, on the server"),
    "53300": ("it has no connection left", "raise max_connections, or end other clients"),
    LOCKED: ("another transaction holds what is needed", "vmctl db status"),
    "57P01": ("it is being shut down", "start it again"),
    "57P03": ("it is starting or ending", "wait, and ask again"),
}
# What a server that lets nobody in says has no code: its words, where they are English.
WORDS: dict[str, str] = {
    r'database ".*" does not exist': "3D000",
    r'role ".*" does not exist|no pg_hba.conf entry|authentication failed|no password supplied': "28000",
    r"remaining connection slots|too many (clients|connections)": "53300",
    r"session is read-only|server is in hot standby mode|not accept connections in hot standby": STANDBY,
    r"the database system is (starting up|shutting down|in recovery|not yet accepting)": "57P03",
}


def may_go_again(err: DBAPIError) -> bool:
    """Whether the transaction surely was not committed, and may well succeed now; nothing of a COMMIT comes here."""
    state = getattr(err.orig, "sqlstate", None)
    return state in BACK or err.connection_invalidated


def waited_for_a_lock(err: RegistryUnusable) -> bool:
    """Whether that is why."""
    cause = err.__cause__
    return isinstance(cause, DBAPIError) and getattr(cause.orig, "sqlstate", None) == LOCKED


def explain(name: str, err: Exception) -> Exception:
    """The error to raise instead of a library's own; the same one where the fault is ours and not the server's."""
    orig = err.orig if isinstance(err, DBAPIError) else err
    if not isinstance(orig, psycopg.Error):
        return err
    said = _first_line(orig)
    state = orig.sqlstate or next((code for words, code in WORDS.items() if re.search(words, str(orig))), "")
    if state in MEANINGS:
        meaning, hint = MEANINGS[state]
        if state == STANDBY and "," in name:  # all servers are named already
            meaning, hint = "none of its servers takes writes now", "wait until one of them is the primary"
        return RegistryUnusable(f"the database {name} cannot be used: {meaning.format(said=said)}", hint=hint)
    if not isinstance(orig, psycopg.OperationalError | psycopg.InternalError):
        return err
    return RegistryUnusable(f"the database {name} cannot be used: {said}", hint=f"pg_isready -d '{name}'")


def unknown(name: str, said: str) -> RegistryUnusable:
    """The error of a COMMIT of which nobody knows whether it was done."""
    message = f"the database {name} did not say whether it wrote: {said.strip() or SILENT}"
    return RegistryUnusable(message, hint="vmctl db status")


def without_password(dsn: str) -> str:
    """How a database is named to people: nothing in it is secret."""
    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    except psycopg.ProgrammingError:  # whatever it is, what stands before @ may be secret
        scheme, there, _ = dsn.partition("://")
        return f"{scheme}://..." if there else "..."
    user = f"{parts['user']}@" if "user" in parts else ""
    hosts = parts.get("host", parts.get("hostaddr", "")).split(",")
    ports = parts.get("port", "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    where = ",".join(f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=False))
    return f"postgresql://{user}{where}/{parts.get('dbname', '')}"


def _first_line(err: psycopg.Error) -> str:
    """What it says; of one that lets nobody in the last part, which is the server's."""
    primary = err.diag.message_primary or str(err)
    return " ".join(primary.split("\n")[0].rpartition("FATAL:")[2].split()) or SILENT
