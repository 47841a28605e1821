"""One walk over all commands: how they print, how they end, and what they say to names that are none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
import pytest
import yaml

from tests.cli.pool import STARTED, Pool
from vmctl.cli.main import cli
from vmctl.cli.output import FORMATS

# What each command is given. One that is missing here fails the walk.
READS: dict[str, tuple[str, ...]] = {
    "host list": (),
    "host show": ("kvm1",),
    "storage list": (),
    "storage show": ("main",),
    "image list": (),
    "image uploads": (),
    "list": (),
    "show": ("web1",),
    "top": ("--once",),
    "health": (),
    "ps": ("--history",),
    "process show": (f"10.0.0.7:80:{STARTED}:812",),
    "who": ("10.0.0.7:80",),
    "why": ("web1",),
    "rebalance": (),
    "capacity": (),
    "reboot-plan": (),
    "schedule list": (),
    "task list": (),
    "task show": ("1",),
    "events": (),
    "job list": (),
    "job show": ("3",),
    "job logs": ("3",),
    "user list": (),
    "group list": (),
    "project list": (),
    "role list": (),
    "token list": (),
    "can": ("anna", "look", "--on", "vm:web1"),
    "whoami": (),
    "context list": (),
    "audit": (),
    "limits show": (),
    "db status": (),
    "controller list": (),
}
ACTS: dict[str, tuple[str, ...]] = {
    "host add": ("kvm9=127.0.0.1:1",),
    "host check": ("kvm1", "--detach"),  # with a host that is silent it waits
    "host label": ("kvm1", "rack=a"),
    "host drain": ("kvm1", "--plan"),
    "host undrain": ("kvm1",),
    "host remove": ("kvm9",),
    "storage add": ("more", "--path", "/more"),
    "storage check": ("main",),
    "storage remove": ("more",),
    "storage measure": ("main", "--host", "kvm1", "--detach"),
    "image add": ("new", __file__),
    "image remove": ("new",),
    "image drop": ("nosuch",),
    "create": ("new", "--image", "tiny", "--memory", "64M", "--dry-run"),
    "start": ("web1",),
    "stop": ("web1",),
    "reboot": ("web1",),
    "reset": ("web1",),
    "pause": ("web1",),
    "resume": ("web1",),
    "delete": ("db1",),
    "autostart": ("web1", "off"),
    "migrate": ("db1", "--check"),
    "schedule set": ("rebalance", "0 3 * * *"),
    "schedule remove": ("rebalance",),
    "run": ("--on", "kvm1", "--", "uptime"),
    "job get": ("3", "result.txt"),
    "job wait": ("3",),
    "job cancel": ("3",),
    "job collect": ("3",),
    "task attach": ("1",),
    "task cancel": ("1",),
    "context add": ("work", "--server", "127.0.0.1:1"),
    "context use": ("local",),
    "context remove": ("work",),
    "login": ("anna",),
    "user add": ("ben",),
    "user passwd": ("ben",),
    "user map": ("ben", "--login", "ben@kvm*"),
    "user disable": ("ben",),
    "user enable": ("ben",),
    "user remove": ("nosuch",),
    "group add": ("ops", "anna"),
    "group set": ("ops", "--remove", "anna"),
    "group remove": ("ops",),
    "project create": ("blue",),
    "project move": ("web1", "blue"),
    "project remove": ("blue",),
    "role create": ("restarter", "look", "vm.power"),
    "role remove": ("restarter",),
    "grant": ("anna", "viewer"),
    "revoke": ("anna", "operator"),
    "token create": ("anna",),
    "token revoke": ("nosuch",),
    "limits set": ("user:anna", "--vms", "3"),
    "db upgrade": ("--dry-run",),
    "controller show": ("nosuch",),
    "controller drain": ("nosuch",),
    "controller undrain": ("nosuch",),
    "controller remove": ("nosuch", "--i-know-it-is-off"),
    "controller invite": ("--for", "5m"),
    "controller join": ("vmctl-join-",),
    "db move": ("--to", "postgresql://vmctl@127.0.0.1:1/vmctl"),
}
# They print nothing for a program
OTHERS = ("console", "serve", "completion", "dump save", "dump convert")
DETACHED = ("start", "stop", "reboot", "reset", "pause", "resume", "host check", "storage check")
NAMELESS = ("rebalance", "reboot-plan", "controller list")  # where there is nothing to plan, and no registry
CODES = {0, 1, 2, 3, 4, 5, 6, 7, 8, 130}


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with the words that reach it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None, name
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))
        else:
            yield " ".join((*path, name)), found


EVERY = dict(commands())
HERE = [name for name in EVERY if not name.startswith("lab ")]


def test_the_walk_leaves_no_command_out() -> None:
    assert {*READS, *ACTS, *OTHERS} == set(HERE)


@pytest.mark.parametrize("name", EVERY)
def test_help_says_what_it_is_for_with_an_example_and_its_options(name: str) -> None:
    """A command that prints takes -o with all formats; one that works takes --detach and --timeout."""
    command = EVERY[name]
    assert f"vmctl {name}" in " ".join((command.help or "").split()).partition("Example: ")[2]
    options = {word: option for option in command.params for word in option.opts}
    if name in READS or name in ACTS:
        kind = options["-o"].type
        assert isinstance(kind, click.Choice) and tuple(kind.choices) == FORMATS
    assert ("--detach" in options) <= ("--timeout" in options)
    assert ("--detach" in options) == ("--timeout" in options) or name in ("task attach", "job wait")
    for option in command.params:
        assert not isinstance(option, click.Option) or option.hidden or option.help or option.show_default, option.name


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", [*READS, *ACTS])
def test_every_command_prints_in_every_form(pool: Pool, name: str, form: str) -> None:
    words = (*name.split(), *(READS | ACTS)[name], "-o", form)
    code, said = pool.code(*words)
    assert code in CODES and "Traceback" not in said and "None" not in said, (words, code, said)
    if name in READS:
        assert code == 0, said
        _is_of_form(said, form, name)


def _is_of_form(said: str, form: str, name: str) -> None:
    if form == "json":
        json.loads(said)
    elif form == "yaml":
        yaml.safe_load(said)
    elif form == "name":
        assert all(line and " " not in line for line in said.splitlines()), said
        assert said or name in NAMELESS, "what there is has a name; a plan of nothing has none"
    else:
        assert said.strip()


@pytest.mark.parametrize("name", DETACHED)
def test_what_goes_on_without_us_is_told_as_asked(pool: Pool, name: str) -> None:
    words = (*name.split(), *ACTS[name], "--detach", "-o")
    assert json.loads(pool.code(*words, "json")[1])["state"] in ("queued", "running", "done", "failed")
    assert yaml.safe_load(pool.code(*words, "yaml")[1])["id"] > 2
    assert pool.code(*words, "name")[1].strip().isdigit()
    assert pool.code(*words, "table")[1].startswith("task ")


def test_several_tasks_are_one_document(pool: Pool) -> None:
    tasks: list[dict[str, Any]] = json.loads(pool.code("start", "web1", "db1", "--detach", "-o", "json")[1])
    assert [task["subject"] for task in tasks] == ["web1", "db1"]
    assert len(pool.code("start", "web1", "db1", "--detach", "-o", "name")[1].split()) == 2


# -- names that are none

ODD = ("", ".", "..", "a/b", "web1/health", "a\nb", "a\x1b[2J", "x" * 300, "caf\udce9")
# command -> the arguments of which the first is to be the odd one
NAMED = {
    **{name: (name,) for name in ("show", "why", "health", "start", "stop", "reboot", "reset", "pause", "resume")},
    **{name: (name, "--check") for name in ("migrate",)},
    "console": ("console",),
    "delete": ("delete", "--yes"),
    "delete, asked": ("delete",),
    "create": ("create", "--image", "tiny", "--memory", "64M"),
    "create on an image": ("create", "new", "--memory", "64M", "--image"),
    "create on a host": ("create", "new", "--memory", "64M", "--image", "tiny", "--host"),
    "migrate to": ("migrate", "web1", "--to"),
    "start on": ("start", "web1", "--host"),
    **{f"host {verb}": ("host", verb) for verb in ("add", "show", "check", "drain", "undrain", "remove")},
    "host label": ("host", "label", "rack=a"),
    **{f"storage {verb}": ("storage", verb) for verb in ("check", "remove", "show")},
    "storage measure by": ("storage", "measure", "main", "--host"),
    "storage add": ("storage", "add", "--path", "/x"),
    "image remove": ("image", "remove"),
    "image drop": ("image", "drop"),
    "schedule remove": ("schedule", "remove"),
    "process show": ("process", "show"),
    "who": ("who",),
    "ps": ("ps",),
}
FIRST = {"host label": 2, "autostart": 1}  # where the name goes that is not the last word


@pytest.mark.parametrize("what", NAMED)
def test_a_name_that_is_none_is_malformed_and_leads_nowhere_else(pool: Pool, what: str) -> None:
    before = len(pool.do(pool.controller.services.store.tasks(500)))
    for odd in ODD:
        words = [*NAMED[what]]
        if odd == "" and what.endswith((" to", " on", "on a host")):
            continue  # nothing said means: no choice
        words.insert(FIRST.get(what, len(words)), odd)
        code, said = pool.code(*words)
        assert code == 2, (words, code, said)
        assert all(c.isprintable() or c == "\n" for c in said), said
    assert len(pool.do(pool.controller.services.store.tasks(500))) == before, "it became a task"


@pytest.mark.parametrize("what", NAMED)
def test_a_name_that_nothing_has_is_not_found(pool: Pool, what: str) -> None:
    if what in ("create", "storage add", "host add", "who", "process show"):
        return
    words = [*NAMED[what]]
    words.insert(FIRST.get(what, len(words)), "nobody")
    code, said = pool.code(*words)
    assert (code, "nobody" in said) == (4, True), (words, code, said)
