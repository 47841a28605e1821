"""What is typed at a prompt; a line of standard input where that is no terminal."""

from __future__ import annotations

import sys

import click

from vmctl.errors import Usage


def typed(what: str, *, hidden: bool = False, twice: bool = False) -> str:
    """It, typed `twice` where a slip would not be seen. Raises Usage for nothing."""
    if sys.stdin.isatty():
        found = str(click.prompt(what, hide_input=hidden, confirmation_prompt=twice, err=True))
    else:
        found = sys.stdin.readline().rstrip("\n")
    if not found:
        raise Usage(f"no {what.lower()} was given", hint="type it, or give it as a line of standard input")
    return found


def new_password() -> str:
    """Another password. Raises Usage for an empty one."""
    return typed("Password", hidden=True, twice=True)
