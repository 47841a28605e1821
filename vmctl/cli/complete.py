"""Names for shell completion: asked of a running controller only, and never an error."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from vmctl.errors import VmctlError

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
Item = dict[str, Any]


def names(query: str, key: str = "name", when: Callable[[Item], bool] = lambda _item: True) -> Completer:
    """A completer for the names that a query answers with, of those of which `when` is true.

    `query` is "module.Class" of `vmctl.commands`: it is loaded when somebody completes.
    """

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from vmctl.cli.client import Client

        module, _, arguments = query.partition(".")
        asked = getattr(importlib.import_module(f"vmctl.commands.{module}"), arguments)()
        try:
            found: list[Item] = Client(autostart=False, patience_s=2.0).ask(asked)
        except (VmctlError, OSError):
            return []
        offered = [str(item[key]) for item in found if "broken" not in item and when(item)]
        return [CompletionItem(name) for name in offered if name.startswith(incomplete)]

    return complete


def in_state(*states: str) -> Completer:
    """VMs that are in one of these states of power."""
    return names("vms.ListVMs", when=lambda vm: vm["power"] in states)


vms, hosts = names("vms.ListVMs"), names("hosts.ListHosts")
uploads = names("uploads.ListUploads", key="id")
images, storages = names("storages.ListImages"), names("storages.ListStorages")
users, groups, projects = names("users.ListUsers"), names("users.ListGroups"), names("users.ListProjects")
roles, tokens = names("users.ListRoles"), names("users.ListTokens", key="id")
schedules = names("cluster.ListSchedules")
tasks = names("tasks.ListTasks", key="id")
open_tasks = names("tasks.ListTasks", key="id", when=lambda task: task["state"] in ("queued", "running"))
jobs = names("jobs.ListJobs", key="id")
open_jobs = names("jobs.ListJobs", key="id", when=lambda job: job["state"] in ("queued", "running"))
draining = names("hosts.ListHosts", when=lambda host: host["draining"])


def limited(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What may have a limit."""
    return _with_kind((("user", users), ("project", projects)), context, parameter, incomplete)


def scopes(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What a grant may be on."""
    found = [CompletionItem("all")] if "all".startswith(incomplete) else []
    return found + _with_kind((("project", projects), ("vm", vms)), context, parameter, incomplete)


def _with_kind(
    kinds: Iterable[tuple[str, Completer]], context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names that are written as KIND:NAME."""
    found = []
    for kind, of_kind in kinds:
        rest = incomplete.removeprefix(f"{kind}:") if incomplete.startswith(f"{kind}:") else ""
        offered = [f"{kind}:{item.value}" for item in of_kind(context, parameter, rest)]
        found += [CompletionItem(name) for name in offered if name.startswith(incomplete)]
    return found
