"""`vmctl --dump FILE`: commands ask a file instead of the controller. Nothing heavy is loaded before one asks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmctl import errors

if TYPE_CHECKING:
    from vmctl.model.policy import Policy

# The commands that can do with a dump; what of them cannot is refused by the dump itself
COMMANDS = ("rebalance", "host", "why", "create", "capacity", "reboot-plan")


class Offline:
    """Stands in for the controller: answers what can be decided on a dump, and refuses the rest."""

    def __init__(self, path: Path, policy: Path | None) -> None:
        self._path = path
        self._policy = policy

    def answer(self, asked: Any) -> Any:
        """As the API would. Raises Usage for what it cannot."""
        from vmctl.decide import asked as deciding
        from vmctl.formats import dump
        from vmctl.formats.plain import plain

        try:
            cluster, policy = dump.load(read(self._path))
        except errors.Usage as err:
            raise errors.Usage(f"{self._path}: {err.message}", hint=err.hint, lines=err.lines) from err
        return plain(deciding.decide(cluster, changed(policy, self._policy), asked))


def changed(policy: Policy, path: Path | None) -> Policy:
    """The policy with the fields of a settings file's [policy] section in place of its own."""
    if path is None:
        return policy
    from vmctl.local import config

    return config.changed_policy(policy, read(path), str(path))


def read(path: Path) -> str:
    """A file's text. Raises Usage."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as err:
        raise errors.Usage(f"{path} cannot be read: {err}") from err


def attach(context: click.Context, path: Path | None, policy: Path | None) -> None:
    """Let the command of this context ask the file. Raises UsageError for a command that cannot do with one."""
    if path is None:
        if policy is not None:
            raise click.UsageError("--policy is for decisions on a dump: --dump FILE")
        return
    if context.invoked_subcommand not in COMMANDS:
        raise click.UsageError(
            f"vmctl {context.invoked_subcommand} needs a controller; --dump is for {', '.join(COMMANDS)}"
        )
    context.obj = Offline(path, policy)


def attached() -> Offline | None:
    """What the command now running should ask instead of the controller."""
    context = click.get_current_context(silent=True)
    return context.find_object(Offline) if context else None
