"""`vmctl controller`: which controllers use the registry. It asks the registry itself, as `vmctl db` does."""

from __future__ import annotations

import getpass
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vmctl import errors
from vmctl.cli import output
from vmctl.cli.groups import Group
from vmctl.cli.typed import typed
from vmctl.local import config, lock, paths

if TYPE_CHECKING:
    from vmctl.model.replicas import Lead, Replica
    from vmctl.store.sql import SqlStore

T = TypeVar("T")
SILENT_S = 6.0  # three beats
WHY = {
    "silent": "not heard for long: dead, frozen or cut off",
    "gone": "it was killed: the next one begins in its place",
}
COLUMNS: tuple[output.Column, ...] = (
    ("NAME", itemgetter("name")),
    ("STATE", lambda item: "leads" if item["leads"] and item["state"] == "alive" else item["state"]),
    ("HOSTS", itemgetter("hosts")),
    ("VERSION", itemgetter("version")),
    ("ADDRESS", itemgetter("address")),
    ("STARTED", lambda item: output.ago(time.time() - item["started_at"])),
    ("HEARD", lambda item: output.ago(item["heard_s"])),
    ("WHY", itemgetter("why")),
)


@click.group(cls=Group)
def controller() -> None:
    """Controllers of this registry: list, remove."""


def _is_there() -> bool:
    """Whether there is a registry already."""
    from vmctl.store.opening import schema_of

    return schema_of(config.load().database, paths.registry_path()) != "empty"


def _asked(work: Callable[[SqlStore], Coroutine[Any, Any, T]]) -> T:
    import asyncio

    from vmctl.store.opening import open_as_it_is

    async def ask() -> T:
        store = open_as_it_is(config.load().database, paths.registry_path())
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(ask())


@controller.command("list")
@click.option("--ended", is_flag=True, help="Those that have ended, too.")
@output.option
def list_controllers(ended: bool, form: str) -> None:
    """List the controllers that use the registry; one that was not heard for long may be dead, frozen or cut off.

    Example: vmctl controller list
    """
    items = [item for item in _items() if ended or item["state"] != "ended"]
    output.rows(items, form, COLUMNS, (), "no controller uses this registry")


def _items() -> list[dict[str, Any]]:
    """All lives, the newest of those that have not ended first."""

    async def ask(store: SqlStore) -> tuple[list[tuple[Replica, float | None]], Lead | None, Counter[str]]:
        return await store.heard(), (await store.lives())[1], await _watched(store)

    found, lead, watched = _asked(ask) if _is_there() else ([], None, Counter[str]())
    here = lock.holder(paths.lock_path()) is not None
    leads = lead.life if lead is not None else ""
    return [
        _item(one, heard_s, here) | {"leads": one.life == leads, "hosts": watched[one.life]}
        for one, heard_s in sorted(found, key=_order)
    ]


async def _watched(store: SqlStore) -> Counter[str]:
    """How many hosts each life watches; where there is one controller, it watches all."""
    from vmctl.model.records import HostRecord
    from vmctl.model.watching import HostWatch

    if store.shared:
        return Counter(one.life for one in await store.all(HostWatch))
    hosts = len(await store.all(HostRecord))
    return Counter({one.life: hosts for one in (await store.lives())[0]})


def _order(told: tuple[Replica, float | None]) -> tuple[bool, float]:
    return told[0].ended_at is not None, -told[0].started_at


def _item(one: Replica, heard_s: float | None, here: bool) -> dict[str, Any]:
    """`here`: whether a controller runs on this machine, which is what a file's registry is judged by."""
    if one.ended_at is not None:
        state, heard_s = "ended", None
    elif heard_s is not None:
        state = "alive" if heard_s < SILENT_S else "silent"
    else:
        state = "alive" if here else "gone"
    return {
        "name": one.name,
        "state": state,
        "address": one.address,
        "life": one.life,
        "version": one.version,
        "started_at": one.started_at,
        "heard_s": heard_s,
        "ended_at": one.ended_at,
        "why": one.why or WHY.get(state, ""),
    }


@controller.command("remove")
@click.argument("name")
@click.option("--i-know-it-is-off", "signed", is_flag=True, help="Its machine is off, or the controller there is dead.")
@output.option
def remove(name: str, signed: bool, form: str) -> None:
    """Let another controller take the place of one that is dead. It writes nothing into the registry any more.

    What it still does on hosts nobody can stop from here: be sure that it is dead. One that is frozen or cut off ends
    itself once it reaches the registry again.

    Example: vmctl controller remove kvm1 --i-know-it-is-off
    """
    alive = [item for item in _items() if item["state"] != "ended" and name in (item["name"], item["life"])]
    if not alive:
        raise errors.NotFound(f"no controller {name!r} uses this registry", hint="vmctl controller list --ended")
    if len(alive) > 1:
        lives = ", ".join(item["life"] for item in alive)
        raise errors.Refused(f"several controllers are called {name}", hint=f"name its life: {lives}")
    if not signed:
        hint = f"if you know that it is dead: vmctl controller remove {name} --i-know-it-is-off"
        raise errors.Refused(f"{name} may still act on hosts", hint=hint)
    if typed(f"Type {name} to confirm") != name:
        raise errors.Refused("that is not its name: nothing was done")
    called, life = alive[0]["name"], alive[0]["life"]
    _asked(lambda store: _end(store, called, life))
    sentence = f"controller {called} was removed: another one may begin"
    output.result({"name": called, "life": life, "removed": True}, form, sentence)


async def _end(store: SqlStore, name: str, life: str) -> None:
    from vmctl.model.audit import Entry
    from vmctl.model.records import Event

    who, now = getpass.getuser(), time.time()
    told = Event("controller", name, f"{who} signed that controller {name} is dead", now, who=who)
    entry = Entry(now, who, "controller remove", name, "done", detail={"life": life})
    await store.end_life(life, f"{who} signed that it is dead", now, told=[told], entry=entry)
