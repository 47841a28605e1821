"""`vmctl start`, `stop`, `reboot`, `reset`, `pause`, `resume`, `delete`: one or many VMs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from vmctl import errors
from vmctl.cli import complete, follow, output
from vmctl.cli.client import Client
from vmctl.cli.sizes import Amount
from vmctl.cli.why import print_placement
from vmctl.commands.vms import Delete, Pause, Reboot, Reset, Resume, SetAutostart, ShowVM, Start, Stop, WhereToStart

SIGNED = click.option(
    "--i-know-it-is-off",
    "signed",
    is_flag=True,
    help="Sign that the VM runs nowhere, where its host cannot say so. Asks for the VM's name.",
)


def _names(*states: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """NAME..., of which those in one of these states are offered."""
    offered = complete.in_state(*states)
    return click.argument("names", nargs=-1, required=True, shell_complete=offered, metavar="NAME...")


RUNS = ("running", "paused", "crashed", "unknown")


def _sign(names: tuple[str, ...], signed: bool) -> dict[str, str]:
    """VM -> its name as it was typed by who signs that it is off; empty where nobody signs."""
    if not signed:
        return {}
    typed = {}
    for name in names:
        found = Client().ask(ShowVM(name))
        where = ", ".join(found["may_run_on"]) or "the host it was on"
        print(
            f"{name}: its QEMU must have ended on {where}: the machine is powered off, was rebooted, or has no such "
            "process.\nIf it still runs there, two copies will write one disk, or its disk is deleted below it.",
            file=sys.stderr,
        )
        typed[name] = click.prompt(f"type the VM's name to sign for {name}", default="", show_default=False, err=True)
        if typed[name] != found["name"]:
            raise errors.Refused(f"{typed[name]!r} is not {found['name']!r}: nothing was done")
    return typed


def each(
    names: tuple[str, ...],
    form: str,
    call: Callable[[Client, str], Any],
    done: Callable[[dict[str, Any]], str],
    detach: bool,
    timeout: float,
) -> None:
    """Give one command for each VM; a name that is refused does not stop the others."""
    client = Client()
    tasks: list[dict[str, Any]] = []
    refused: list[errors.VmctlError] = []
    for name in dict.fromkeys(names):
        try:
            tasks.append(call(client, name))
        except errors.VmctlError as err:
            if len(names) == 1:
                raise
            refused.append(err)
    try:
        if tasks:
            follow.run(client, tasks, form, done, detach=detach, timeout=timeout)
    except errors.VmctlError as err:
        refused.insert(0, err)
    if refused:
        if len(refused) == 1 and len(names) == 1:
            raise refused[0]
        lines = [line for err in refused for line in (err.lines or (err.message,))]
        raise errors.PartlyFailed(f"{len(lines)} of {len(names)} failed", lines=tuple(lines))


@click.command()
@_names("stopped", "unknown")
@click.option("--host", "--to", "host", default="", shell_complete=complete.hosts, help="Leave placement no choice.")
@click.option("--dry-run", is_flag=True, help="Show the best three hosts, and why.")
@click.option("--as-registered", is_flag=True, help="Also where it was changed on its host: the change is lost.")
@SIGNED
@output.option
@follow.options
def start(
    names: tuple[str, ...],
    host: str,
    dry_run: bool,
    as_registered: bool,
    signed: bool,
    form: str,
    detach: bool,
    timeout: float,
) -> None:
    """Start VMs where placement says.

    Example: vmctl start web1 web2
    """
    if dry_run:
        for name in names:
            print_placement(Client().ask(WhereToStart(name, host)), form)
        return

    typed = _sign(names, signed)

    def call(client: Client, name: str) -> Any:
        return client.ask(Start(name, host, typed.get(name, ""), as_registered))

    each(
        names,
        form,
        call,
        lambda t: f"{t['subject']} runs on {t['result']['host']}",
        detach,
        timeout,
    )


@click.command()
@_names(*RUNS)
@click.option("--force", is_flag=True, help="Pull the plug instead of asking the guest.")
@click.option(
    "--shutdown-timeout", type=Amount(0, 7 * 86400), default=0.0, help="How long the guest may take, in seconds (120)."
)
@SIGNED
@output.option
@follow.options
def stop(
    names: tuple[str, ...],
    force: bool,
    shutdown_timeout: float,
    signed: bool,
    form: str,
    detach: bool,
    timeout: float,
) -> None:
    """Shut VMs down through their guests, and wait.

    Example: vmctl stop web1
    """

    typed = _sign(names, signed)

    def call(client: Client, name: str) -> Any:
        return client.ask(Stop(name, force, shutdown_timeout, typed.get(name, "")))

    each(names, form, call, lambda t: f"{t['subject']} is stopped", detach, timeout)


def _verb(verb: str, asked: type[Any], text: str, past: str, *states: str) -> click.Command:
    @click.command(verb, help=f"{text}\n\nExample: vmctl {verb} web1")
    @_names(*states)
    @output.option
    @follow.options
    def command(names: tuple[str, ...], form: str, detach: bool, timeout: float) -> None:
        each(names, form, lambda c, name: c.ask(asked(name)), lambda t: f"{t['subject']} {past}", detach, timeout)

    return command


reboot = _verb(
    "reboot",
    Reboot,
    "Shut VMs down through their guests and start them again, on the same host.",
    "was restarted",
    *RUNS,
)
reset = _verb("reset", Reset, "Press the reset button of VMs.", "was reset", *RUNS)
pause = _verb("pause", Pause, "Stop the CPUs of VMs.", "is paused", "running")
resume = _verb("resume", Resume, "Let paused VMs go on.", "runs again", "paused")


def _confirm(names: tuple[str, ...]) -> None:
    """Ask before disks go; look first, as nobody should confirm what is then refused."""
    what = []
    for name in names:
        found = Client().ask(ShowVM(name))
        if found["power"] != "stopped":
            where = f" on {found['host']}" if found["host"] else ""
            force = " --force" if found["power"] == "paused" else ""
            hint = f"vmctl task attach {found['task']}" if found["task"] else f"vmctl stop{force} {name}"
            raise errors.Refused(f"{name} is {found['power']}{where}", hint=hint)
        what.append(f"{name} with {', '.join(found['disks']) or 'no disk'}")
    if not click.confirm(f"delete for good: {'; '.join(what)}?", err=True):
        print("nothing was deleted", file=sys.stderr)
        raise SystemExit(errors.Refused.exit_code)


@click.command()
@_names("stopped", "unknown")
@click.option("--yes", is_flag=True, help="Do not ask.")
@SIGNED
@output.option
@follow.options
def delete(names: tuple[str, ...], yes: bool, signed: bool, form: str, detach: bool, timeout: float) -> None:
    """Delete stopped VMs and their disks; running ones are refused.

    Example: vmctl delete web1
    """
    typed = _sign(names, signed)
    if not typed and not yes:
        _confirm(names)

    def call(client: Client, name: str) -> Any:
        return client.ask(Delete(name, typed.get(name, "")))

    each(names, form, call, _deleted, detach, timeout)


def _deleted(task: dict[str, Any]) -> str:
    name, result = task["subject"], task["result"]
    if result.get("forgotten"):
        return f"{name} is forgotten; its disks stay"
    left = ", ".join(result.get("left") or ())
    return f"{name} is deleted; left where they are: {left}" if left else f"{name} is deleted"


@click.command()
@click.argument("name", shell_complete=complete.vms)
@click.argument("state", type=click.Choice(["on", "off"]))
@output.option
def autostart(name: str, state: str, form: str) -> None:
    """Say whether a VM is started again after its host's reboot.

    Example: vmctl autostart web1 off
    """
    found = Client().ask(SetAutostart(name, state == "on"))
    will = "is started again" if found["autostart"] else "stays off"
    output.result(found, form, f"{found['vm']} {will} after its host's reboot", lambda set_to: set_to["vm"])
