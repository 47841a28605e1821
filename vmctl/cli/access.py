"""`vmctl context`, `vmctl login`: which controller is spoken to, and as whom."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import click
from click.shell_completion import CompletionItem

from vmctl import errors
from vmctl.cli import contexts, output, times, wire
from vmctl.cli.client import Client
from vmctl.cli.groups import Group
from vmctl.cli.typed import typed
from vmctl.commands.users import WhoAmI


def _names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    try:
        known = [contexts.LOCAL, *(one.name for one in contexts.read().known)]
    except errors.VmctlError:
        return []
    return [CompletionItem(name) for name in known if name.startswith(incomplete)]


@click.group(cls=Group)
def context() -> None:
    """Contexts, each a way to a controller elsewhere: add, use, list, remove."""


@context.command("add")
@click.argument("name")
@click.option("--server", required=True, help="ADDRESS[:PORT], or several that lead to one cluster, by commas.")
@click.option("--token-file", metavar="F", help="A file with a token; else log in: vmctl login.")
@click.option("--ca", metavar="F", help="A file with the CA that signed the server's certificate.")
@click.option("--fingerprint", metavar="SHA256", help="Of the server's certificate, which is then trusted as it is.")
@output.option
def add(name: str, server: str, token_file: str | None, ca: str | None, fingerprint: str | None, form: str) -> None:
    """Name a controller elsewhere, and use it from now on.

    Example: vmctl context add work --server 10.0.0.5,10.0.0.6 --token-file token --ca ca.pem
    """
    if ca and fingerprint:
        raise errors.Usage("a certificate is known by its CA or by its fingerprint", hint="one of --ca, --fingerprint")
    if name == contexts.LOCAL:
        raise errors.Usage(f"{name} is this machine's own controller", hint="another name")
    made = contexts.Context(
        name,
        contexts.servers(server),
        contexts.content(token_file, "token") if token_file else "",
        contexts.content(ca, "CA") if ca else "",
        contexts.fingerprint(fingerprint) if fingerprint else "",
    )
    contexts.write(replace(contexts.read().with_one(made), current=name))
    then = "" if made.token else "; log in: vmctl login"
    output.result(contexts.as_shown(made, name), form, f"context {name} was added and is used from now on{then}")


@context.command("use")
@click.argument("name", shell_complete=_names)
@output.option
def use(name: str, form: str) -> None:
    """Use a context from now on; `local` is this machine's own controller.

    Example: vmctl context use work
    """
    known = contexts.read()
    if name != contexts.LOCAL:
        known.named(name)
    contexts.write(replace(known, current=name))
    output.result({"name": name}, form, f"{name} is used from now on")


@context.command("list")
@output.option
def list_contexts(form: str) -> None:
    """List contexts; one is marked that is used where VMCTL_CONTEXT names no other.

    Example: vmctl context list
    """
    known = contexts.read()
    own = {"name": contexts.LOCAL, "current": known.current == contexts.LOCAL, "servers": [], "token": False}
    shown: list[dict[str, Any]] = [own | {"trusted_by": "the socket of this machine"}]
    shown += [contexts.as_shown(one, known.current) for one in known.known]
    columns: tuple[output.Column, ...] = (
        ("", lambda c: "*" if c["current"] else ""),
        ("NAME", lambda c: c["name"]),
        ("SERVERS", lambda c: ", ".join(c["servers"])),
        ("LOGGED IN", lambda c: "yes" if c["token"] else ""),
        ("TRUSTED BY", lambda c: c["trusted_by"]),
    )
    output.rows(shown, form, columns, (), "")


@context.command("remove")
@click.argument("name", shell_complete=_names)
@output.option
def remove(name: str, form: str) -> None:
    """Forget a context with its token. The token itself goes on to open what it opens: vmctl token revoke.

    Example: vmctl context remove work
    """
    known = contexts.read()
    known.named(name)
    rest = tuple(one for one in known.known if one.name != name)
    contexts.write(contexts.Contexts(contexts.LOCAL if known.current == name else known.current, rest))
    output.result({"name": name}, form, f"context {name} was removed")


@click.command()
@click.argument("user", required=False)
@click.option("--expires", type=times.Span(), default="12h", show_default=True, help="For how long.")
@output.option
def login(user: str | None, expires: float, form: str) -> None:
    """Log in to the controller of the context that is used, by a password.

    Example: vmctl login anna
    """
    chosen = contexts.chosen()
    if chosen is None:
        raise errors.Usage(
            "this machine's own controller knows who you are", hint="vmctl context add NAME --server ADDRESS --ca F"
        )
    name = user or typed("User")
    password = typed("Password", hidden=True)
    body = {"user": name, "password": password, "expires_s": expires}
    found = Client().send(wire.posted("login", body))
    kept = replace(chosen, token=found["token"])
    contexts.write(contexts.read().with_one(kept))
    me = Client().ask(WhoAmI())
    shown = {"name": me["name"], "context": chosen.name, "expires_at": found["expires_at"]}
    left = output.ago(found["expires_at"] - time.time())
    output.result(shown, form, f"logged in as {me['name']} for {left}, in context {chosen.name}")
