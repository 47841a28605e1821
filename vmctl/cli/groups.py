"""Groups of commands that say what was meant by a word that is none of theirs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import click

# Words that others use for one command -> its words here, of which a group has one
SAME: Mapping[str, tuple[str, ...]] = {
    "add": ("create",),
    "new": ("create", "add"),
    "create": ("add",),
    "register": ("add",),
    "rm": ("remove",),
    "delete": ("remove", "revoke"),
    "del": ("remove", "revoke"),
    "ls": ("list",),
    "get": ("show", "list"),
    "info": ("show",),
    "status": ("show", "list"),
    "edit": ("set",),
}


class Group(click.Group):
    """A group of commands; what is said to a word that is none, another one may say otherwise."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as err:
            raise click.UsageError(f"{err.message}{self.meant(args[0], self.list_commands(ctx))}", ctx) from err

    def meant(self, word: str, there: Sequence[str]) -> str:
        """A sentence with what was perhaps meant; empty: no idea."""
        same = [one for one in SAME.get(word, ()) if one in there]
        return near(same[0] if same else word, there)


def near(word: str, there: Sequence[str]) -> str:
    """A sentence with the command that a word was perhaps meant to be; empty: no idea."""
    found = difflib.get_close_matches(word, there, 1)
    return f" Did you mean {found[0]}?" if found else ""
