"""`vmctl controller drain` and `undrain`: one of several gives its hosts and its lead to the others.

They ask the registry itself: it says what is wanted, the controllers see it within a second.
"""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from vmctl import errors
from vmctl.cli import output
from vmctl.cli.registry import asked

if TYPE_CHECKING:
    from vmctl.store.sql import SqlStore

Row = dict[str, Any]
LOOK_EVERY_S = 1.0


def wait(look: Callable[[], Row], timeout_s: float) -> Row:
    """The controller once it watches nothing and does not lead; what it still has is told as it changes.

    Raises TimedOut.
    """
    until, told = time.monotonic() + timeout_s, ""
    while (found := look())["hosts"] or found["leads"]:
        left = [f"watches hosts: {found['hosts']}"] if found["hosts"] else []
        left += ["leads: its tasks end first"] if found["leads"] else []
        if (now := f"{found['name']} still {' and '.join(left)}") != told:
            print(output.clean(now), file=sys.stderr)
            told = now
        if time.monotonic() > until:
            raise errors.TimedOut(f"{now} after {timeout_s:g} s", hint="it goes on: vmctl controller list")
        time.sleep(LOOK_EVERY_S)
    return found


def keep(one: Row, others: list[Row], *, draining: bool) -> None:
    """Write what is wanted. Raises Refused where nobody could take its place."""
    if draining and not any(other["naming"] and not other["draining"] for other in others):
        hint = "vmctl controller list; a controller that is alone is just stopped: vmctl serve --stop"
        raise errors.Refused(f"no other controller could take the place of {one['name']}", hint=hint)
    asked(lambda store: _keep(store, one, draining=draining))


async def _keep(store: SqlStore, one: Row, *, draining: bool) -> None:
    from vmctl.model.audit import Entry
    from vmctl.model.records import Event
    from vmctl.model.replicas import Replica

    who, now, word = getpass.getuser(), time.time(), "drain" if draining else "undrain"
    told = [Event("controller", one["name"], f"{who} {word}s controller {one['name']}", now, who=who)]
    await store.audit(Entry(now, who, f"controller {word}", one["name"], "done", detail={"life": one["life"]}))
    await store.change(Replica, one["life"], told=told, draining=draining)
    # One that begins anew just now has taken over what was there before: what is wanted is written to that one, too.
    for later in await store.all(Replica):
        if later.home == one["home"] and later.ended_at is None and later.draining is not draining:
            await store.change(Replica, later.life, draining=draining)


def _newest(rows: list[Row], name: str) -> Row:
    """The controller of that name, or of that life; one that is stopped, too. Raises NotFound, Refused."""
    named = [one for one in rows if name in (one["name"], one["life"])]
    if not named:
        raise errors.NotFound(f"no controller {name!r} uses this registry", hint="vmctl controller list --ended")
    living = [one for one in named if one["state"] != "ended"]
    if len(living) > 1:
        lives = ", ".join(one["life"] for one in living)
        raise errors.Refused(f"several controllers are called {name}", hint=f"name its life: {lives}")
    return living[0] if living else max(named, key=lambda one: one["ended_at"])


def add(group: click.Group, known: Callable[[], list[Row]]) -> None:
    """The two commands; `known` gives all controllers' lives."""

    def chosen(name: str) -> tuple[Row, list[Row]]:
        rows = known()
        one = _newest(rows, name)
        return one, [other for other in rows if other["home"] != one["home"] and other["state"] == "alive"]

    def living(one: Row) -> Row:
        rows = known()
        return next((row for row in rows if row["home"] == one["home"] and row["state"] != "ended"), one | NOTHING)

    @group.command("drain")
    @click.argument("name")
    @click.option("--detach", is_flag=True, help="Do not wait until they have them.")
    @click.option("--timeout", "timeout_s", type=click.FloatRange(0.0), default=120.0, show_default=True, metavar="S")
    @output.option
    def drain(name: str, detach: bool, timeout_s: float, form: str) -> None:
        """Give a controller's hosts and its lead to the others, and wait until they have them: before its upgrade.

        It goes on to answer. One that leads lets its tasks end, for a minute; what is accepted meanwhile is begun by
        the next one. Then its process ends, with its clients' connections and consoles, and its unit begins another
        one that does not lead. It stays drained, also when it is stopped and begins anew, until it is undrained.

        Example: vmctl controller drain kvm1
        """
        one, others = chosen(name)
        keep(one, others, draining=True)
        if detach:
            output.result(one | {"draining": True}, form, f"controller {one['name']} drains from now on")
            return
        found = wait(lambda: living(one), timeout_s)
        sentence = f"controller {one['name']} watches no host and does not lead: it may be stopped"
        output.result(found | {"draining": True}, form, sentence)

    @group.command("undrain")
    @click.argument("name")
    @output.option
    def undrain(name: str, form: str) -> None:
        """Let a controller watch hosts again, and lead.

        Example: vmctl controller undrain kvm1
        """
        one, others = chosen(name)
        keep(one, others, draining=False)
        output.result(one | {"draining": False}, form, f"controller {one['name']} gets its share of the hosts again")


NOTHING: Row = {"hosts": 0, "leads": False}  # one that was stopped meanwhile has nothing any more
