"""Names for shell completion: asked of a running controller only, and never an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from vmctl.errors import VmctlError


def names(*path: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """A completer for the names under an API path."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from vmctl.cli.client import Client

        try:
            found: list[dict[str, Any]] = Client(autostart=False).get(*path)
        except (VmctlError, OSError):
            return []
        return [CompletionItem(item["name"]) for item in found if item["name"].startswith(incomplete)]

    return complete


vms, hosts, images, storages = names("vms"), names("hosts"), names("images"), names("storages")
schedules = names("schedules")
