"""`vmctl controller`: which controllers use the registry. It asks the registry itself, as `vmctl db` does."""

from __future__ import annotations

import getpass
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from vmctl import errors
from vmctl.cli import draining, output
from vmctl.cli.groups import Group
from vmctl.cli.joining import invite, join
from vmctl.cli.registry import asked
from vmctl.cli.typed import typed
from vmctl.local import config, lock, paths

if TYPE_CHECKING:
    from vmctl.model.joining import ControllerKey
    from vmctl.model.replicas import Lead, Replica
    from vmctl.store.sql import SqlStore

SILENT_S = 6.0  # three beats
WHY = {
    "silent": "not heard for long: dead, frozen or cut off",
    "gone": "it was killed: the next one begins in its place",
}
COLUMNS: tuple[output.Column, ...] = (
    ("NAME", itemgetter("name")),
    ("STATE", lambda item: _state(item)),
    ("HOSTS", lambda item: _hosts(item)),
    ("VERSION", itemgetter("version")),
    ("ADDRESS", itemgetter("address")),
    ("STARTED", lambda item: output.ago(time.time() - item["started_at"])),
    ("HEARD", lambda item: output.ago(item["heard_s"])),
    ("WHY", itemgetter("why")),
)


WIDE: tuple[output.Column, ...] = (
    ("ROLES", itemgetter("roles")),
    ("LIFE", itemgetter("life")),
)


def _state(item: dict[str, Any]) -> str:
    found = "leads" if item["leads"] and item["state"] == "alive" else str(item["state"])
    return f"{found}, draining" if item["draining"] and item["state"] != "ended" else found


def _hosts(item: dict[str, Any]) -> str:
    away = len(item["not_reached"])
    return f"{item['hosts']}, {away} not reached" if away else str(item["hosts"])


@click.group(cls=Group)
def controller() -> None:
    """Controllers of this registry: list, show, drain, invite, join, remove."""


controller.add_command(invite)
controller.add_command(join)
draining.add(controller, lambda: _items())


def _is_there() -> bool:
    """Whether there is a registry already."""
    from vmctl.store.opening import schema_of

    return schema_of(config.load().database, paths.registry_path()) != "empty"


@controller.command("list")
@click.option("--ended", is_flag=True, help="Those that have ended, too.")
@output.option
def list_controllers(ended: bool, form: str) -> None:
    """List the controllers that use the registry; one that was not heard for long may be dead, frozen or cut off.

    Example: vmctl controller list
    """
    items = [item for item in _items() if ended or item["state"] != "ended"]
    output.rows(items, form, COLUMNS, WIDE, "no controller uses this registry")


@controller.command("show")
@click.argument("name")
@output.option
def show(name: str, form: str) -> None:
    """Show one controller: what it watches since when, whether it leads, how far what it tells lags behind.

    Example: vmctl controller show kvm1
    """
    found = next((item for item in _items() if name in (item["name"], item["life"])), None)
    if found is None:
        raise errors.NotFound(f"no controller {name!r} uses this registry", hint="vmctl controller list --ended")
    found |= asked(lambda store: _more(store, found["life"]))
    if output.shown_as_data(found, form):
        return
    rows = [(head.lower(), read(found)) for head, read in (*COLUMNS, *WIDE) if head != "HOSTS"]
    rows.append(("not reached", ", ".join(found["not_reached"])))
    if found["term"]:
        rows.insert(2, ("leads for", f"{output.ago(time.time() - found['leads_since'])} (term {found['term']})"))
    rows += [("tables", found["tables"]), ("home", found["home"]), ("open tasks", found["open_tasks"])]
    output.pairs([(key, value) for key, value in rows if value not in ("", None)])
    if found["watches"]:
        print()
        output.table(WATCHES, found["watches"])


WATCHES: tuple[output.Column, ...] = (
    ("WATCHES", itemgetter("host")),
    ("EPOCH", itemgetter("epoch")),
    ("FOR", lambda item: output.ago(time.time() - item["since"])),
    ("TOLD", lambda item: "never" if item["told_s"] is None else f"{output.ago(item['told_s'])} ago"),
)


async def _more(store: SqlStore, life: str) -> dict[str, Any]:
    """What `show` has beyond `list`."""
    (_, lead), told_s = await store.lives(), await store.told_s(time.time())
    leads = lead is not None and lead.life == life
    watches = [
        {"host": one.host, "epoch": one.epoch, "since": one.since, "told_s": told_s.get(one.host)}
        for one in await store.watched_by(life)
    ]
    return {
        "term": lead.term if lead is not None and leads else None,
        "leads_since": lead.since if lead is not None and leads else None,
        "watches": watches,
        "open_tasks": len(await store.open_tasks()) if leads else 0,
    }


def _items() -> list[dict[str, Any]]:
    """All lives, the newest of those that have not ended first."""

    async def ask(store: SqlStore) -> tuple[list[tuple[Replica, float | None]], Lead | None, Watched]:
        return await store.heard(), (await store.lives())[1], await _watched(store)

    found, lead, watched = asked(ask) if _is_there() else ([], None, Watched())
    here = lock.holder(paths.lock_path()) is not None
    leads = lead.life if lead is not None else ""
    return [
        _item(one, heard_s, here) | {"leads": one.life == leads} | watched.of(one.life)
        for one, heard_s in sorted(found, key=_order)
    ]


@dataclass
class Watched:
    """How many hosts each life watches, and which of them it tells that it does not reach."""

    hosts: Counter[str] = field(default_factory=Counter)
    not_reached: dict[str, list[str]] = field(default_factory=dict)

    def of(self, life: str) -> dict[str, Any]:
        """What is told of one."""
        return {"hosts": self.hosts[life], "not_reached": sorted(self.not_reached.get(life, ()))}


async def _watched(store: SqlStore) -> Watched:
    """Where there is one controller, it watches all."""
    from vmctl.model.records import HostRecord
    from vmctl.model.watching import HostReport, HostWatch, heard

    if not store.shared:
        hosts = len(await store.all(HostRecord))
        return Watched(Counter({one.life: hosts for one in (await store.lives())[0]}))
    watches = await store.all(HostWatch)
    found = Watched(Counter(one.life for one in watches))
    for watch, reaches in heard(watches, await store.all(HostReport)):
        if not reaches:
            found.not_reached.setdefault(watch.life, []).append(watch.host)
    return found


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
        "home": one.home,
        "version": one.version,
        "started_at": one.started_at,
        "heard_s": heard_s,
        "ended_at": one.ended_at,
        "why": one.why or WHY.get(state, ""),
        "roles": one.roles,
        "naming": one.naming,
        "draining": one.draining,
        "tables": one.tables,
    }


@controller.command("remove")
@click.argument("name")
@click.option("--i-know-it-is-off", "signed", is_flag=True, help="Its machine is off, or the controller there is dead.")
@output.option
def remove(name: str, signed: bool, form: str) -> None:
    """Let another controller take the place of one that is dead, and let it into no host any more.

    It writes nothing into the registry from then on, and its key is taken off the hosts: off those that are away when
    they are back. What it still does on hosts nobody can stop from here: be sure that it is dead. One that is frozen or
    cut off ends itself once it reaches the registry again.

    Example: vmctl controller remove kvm1 --i-know-it-is-off
    """
    alive = [item for item in _items() if item["state"] != "ended" and name in (item["name"], item["life"])]
    homes = {item["home"] for item in alive} or _joined(name)
    if not homes:
        raise errors.NotFound(f"no controller {name!r} uses this registry", hint="vmctl controller list --ended")
    if len(alive) > 1:
        lives = ", ".join(item["life"] for item in alive)
        raise errors.Refused(f"several controllers are called {name}", hint=f"name its life: {lives}")
    if alive and not signed:
        hint = f"if you know that it is dead: vmctl controller remove {name} --i-know-it-is-off"
        raise errors.Refused(f"{name} may still act on hosts", hint=hint)
    if typed(f"Type {name} to confirm") != name:
        raise errors.Refused("that is not its name: nothing was done")
    called, life = (alive[0]["name"], alive[0]["life"]) if alive else (name, "")
    let_in = asked(lambda store: _end(store, called, life, homes))
    sentence = f"controller {called} was removed: another one may begin"
    if let_in:
        sentence += f"; its key is taken off {', '.join(let_in)} as each is reached (vmctl events)"
    output.result({"name": called, "life": life, "removed": True, "let_in": let_in}, form, sentence)


def _joined(name: str) -> set[str]:
    """The homes of controllers of that name that have joined, whether they run or not."""
    from vmctl.model.joining import ControllerKey

    async def ask(store: SqlStore) -> set[str]:
        return {key.home for key in await store.all(ControllerKey) if key.name == name and not key.removed}

    return asked(ask) if _is_there() else set()


async def _end(store: SqlStore, name: str, life: str, homes: set[str]) -> list[str]:
    """End its life and take its key away; the hosts that have it still."""
    from vmctl.model.audit import Entry
    from vmctl.model.joining import ControllerKey
    from vmctl.model.records import Event

    who, now = getpass.getuser(), time.time()
    entry = Entry(now, who, "controller remove", name, "done", detail={"life": life, "homes": sorted(homes)})
    if life:
        told = Event("controller", name, f"{who} signed that controller {name} is dead", now, who=who)
        await store.end_life(life, f"{who} signed that it is dead", now, told=[told], entry=entry)
    else:
        await store.audit(entry)
    taken = [one for one in await store.all(ControllerKey) if one.home in homes]
    kept = [await store.revise(ControllerKey, one.home, without_key(one)) for one in taken]
    return sorted({host for one in kept if one.removed for host in one.hosts})


def without_key(seen: ControllerKey) -> Callable[[ControllerKey | None], ControllerKey]:
    """Take its key away, unless it has joined again since it was seen. Hosts have it until each of them is reached."""

    def change(kept: ControllerKey | None) -> ControllerKey:
        now = kept or seen
        return replace(now, key="") if now.joined_at == seen.joined_at else now

    return change
