"""The command line: a thin client of the controller. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmctl import __version__, errors, text
from vmctl.cli import offline
from vmctl.cli.groups import Group, near

if TYPE_CHECKING:
    from vmctl.commands.rows import Command

# command -> (module, attribute, one line of help); the module is imported when the command is used
COMMANDS: dict[str, tuple[str, str, str]] = {
    "host": ("hosts", "host", "Hosts: add, list, check, drain, remove."),
    "storage": ("storages", "storage", "Shared storage: add, list, show, check, measure."),
    "image": ("images", "image", "Images that disks are made from: add, list, uploads, remove."),
    "create": ("create", "create", "Make a VM and start it where placement says."),
    "start": ("vms", "start", "Start VMs where placement says."),
    "stop": ("vms", "stop", "Shut VMs down through their guests."),
    "reboot": ("vms", "reboot", "Shut VMs down and start them again."),
    "reset": ("vms", "reset", "Press the reset button of VMs."),
    "pause": ("vms", "pause", "Stop the CPUs of VMs."),
    "resume": ("vms", "resume", "Let paused VMs go on."),
    "delete": ("vms", "delete", "Delete stopped VMs and their disks."),
    "autostart": ("vms", "autostart", "Say whether a VM is started again after its host's reboot."),
    "migrate": ("migrate", "migrate", "Move running VMs to other hosts."),
    "list": ("show", "list_vms", "List VMs."),
    "show": ("show", "show", "Show one VM."),
    "top": ("top", "top", "Watch hosts and VMs."),
    "health": ("health", "health", "Say how VMs are, from inside."),
    "ps": ("processes", "ps", "List processes in VMs, and QEMU's on hosts."),
    "process": ("processes", "process", "One run of a program: show."),
    "who": ("processes", "who", "Say who listens on IP:PORT, or did."),
    "run": ("run", "run", "Run a command on the best host, or on many."),
    "job": ("jobs", "job", "Commands that run, or ran: list, show, logs, get, wait, cancel."),
    "console": ("console", "console", "Open a VM's serial console."),
    "why": ("why", "why", "Say why a VM is where it is."),
    "rebalance": ("plans", "rebalance", "Even the cluster out."),
    "capacity": ("capacity", "capacity", "Say what more fits, what could be lost, what to buy."),
    "reboot-plan": ("capacity", "reboot_plan", "Plan reboots of all hosts in groups."),
    "dump": ("dumps", "dump", "The cluster as a file, for decisions without it: save, convert."),
    "schedule": ("plans", "schedule", "What runs by the clock."),
    "context": ("access", "context", "Which controller commands speak to: add, use, list, remove."),
    "login": ("access", "login", "Log in to a controller elsewhere."),
    "user": ("users", "user", "Users: add, list, passwd, disable, remove."),
    "group": ("users", "group", "Groups of users: add, list, set, remove."),
    "project": ("users", "project", "Projects, to which VMs and images belong."),
    "role": ("users", "role", "Roles: permissions that are granted together."),
    "grant": ("users", "grant", "Give a user or group a role on something."),
    "revoke": ("users", "revoke", "Take back what was granted."),
    "can": ("users", "can", "Say whether a user may do something, and why."),
    "whoami": ("users", "whoami", "Say who you are to the controller."),
    "token": ("users", "token", "Tokens, which stand for their owner."),
    "limits": ("limits", "limits", "How much users and projects may have: set, show."),
    "audit": ("audit", "audit", "Who asked for what, and what became of it."),
    "task": ("tasks", "task", "Tasks: list, show, attach, cancel."),
    "events": ("tasks", "events", "What happened."),
    "db": ("db", "db", "The registry's database: status, upgrade, move."),
    "controller": ("controllers", "controller", "Which controllers use the registry: list, remove."),
    "serve": ("serve", "serve", "Run the controller."),
    "lab": ("lab", "lab", "A real cluster on this machine."),
    "completion": ("completion", "completion", "Print shell completion."),
}


# Commands of the catalogue that are part of another one here
SPELT = {"collect": "job collect", "drain": "host drain", "undrain": "host undrain", "heal": "health --heal"}

# Words of other programs -> what is typed here instead
FOREIGN: dict[str, str] = {
    "snapshot": "vmctl dump, for the cluster as a file",
    "shutdown": "vmctl stop NAME",
    "destroy": "vmctl stop --force NAME; vmctl delete NAME deletes it with its disk",
    "poweroff": "vmctl stop --force NAME",
    "suspend": "vmctl pause NAME",
    "undefine": "vmctl delete NAME",
    "remove": "vmctl delete NAME",
    "rm": "vmctl delete NAME",
    "info": "vmctl show NAME",
    "dominfo": "vmctl show NAME",
    "get": "vmctl list, vmctl show NAME",
    "ls": "vmctl list",
    "vms": "vmctl list",
    "vm": "vmctl list, vmctl show NAME, vmctl create NAME",
    "node": "vmctl host list",
    "nodes": "vmctl host list",
    "hosts": "vmctl host list",
    "move": "vmctl migrate NAME",
    "drain": "vmctl host drain HOST",
    "exec": "vmctl console NAME; nothing can be run in a guest from outside",
    "ssh": "vmctl console NAME, or ssh to the address that vmctl list shows",
    "balance": "vmctl rebalance",
    "status": "vmctl top",
    "log": "vmctl events, vmctl task list",
    "logs": "vmctl events, vmctl task list",
    "version": "vmctl --version",
    "help": "vmctl --help, vmctl COMMAND --help",
}


class Lazy(Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *_others()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            from vmctl.cli import generic

            row = _others().get(cmd_name)
            return generic.command(row) if row is not None else None
        module, attribute, _ = COMMANDS[cmd_name]
        found: click.Command = getattr(importlib.import_module(f"vmctl.cli.{module}"), attribute)
        return found

    def meant(self, word: str, there: Sequence[str]) -> str:
        """Words of other programs come first."""
        return f" Here it is: {FOREIGN[word]}" if word in FOREIGN else near(word, list(COMMANDS))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            others = [(name, row.summary) for name, row in _others().items()]
            formatter.write_dl([*((name, text) for name, (_, _, text) in COMMANDS.items()), *others])


def _others() -> dict[str, Command]:
    """What the catalogue has and no front here stands for: it gets one by itself."""
    from vmctl.cli import generic

    return generic.rows(frozenset(COMMANDS) | SPELT.keys())


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="vmctl %(version)s")
@click.option("--dump", type=click.Path(path_type=Path), help="Decide on this file instead of asking the controller.")
@click.option("--snapshot", "old_word", type=click.Path(path_type=Path), hidden=True)
@click.option("--policy", type=click.Path(path_type=Path), help="Settings whose [policy] replaces the dump's.")
@click.pass_context
def cli(context: click.Context, dump: Path | None, old_word: Path | None, policy: Path | None) -> None:
    """Manage a pool of KVM hosts over SSH; nothing is installed on them.

    \b
    vmctl host add kvm1 kvm2 kvm3
    vmctl storage add main --path /shared
    vmctl image add debian-12 debian-12.qcow2
    vmctl create web1 --image debian-12 --cpus 2 --memory 2G
    vmctl migrate web1
    """
    if old_word is not None:
        print("--snapshot is --dump now", file=sys.stderr)
    offline.attach(context, dump or old_word, policy)


def main() -> None:
    """The program: every error becomes a sentence, the next command and an exit code."""
    try:
        _printable()
        _all_text(sys.argv[1:])
        raise SystemExit(cli(standalone_mode=False, prog_name="vmctl"))  # None, or what a command gave to exit()
    except click.UsageError as err:
        err.show()
        raise SystemExit(2) from None
    except click.ClickException as err:
        err.show()
        raise SystemExit(1) from None
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except errors.VmctlError as err:
        complain(err)
        raise SystemExit(err.exit_code) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as err:
        _no_file(err)
        raise SystemExit(1) from None
    except Exception as err:
        _unexpected(err)
        raise SystemExit(1) from None


def _printable() -> None:
    """No name may end a command because a terminal's encoding does not have its letters."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _all_text(arguments: list[str]) -> None:
    """Refuse bytes that are no text before any command makes something of them. Raises Usage."""
    for argument in arguments:
        if text.bad_unicode(argument):
            raise errors.Usage(f"the argument {text.shown(argument)} is not UTF-8", hint="locale, iconv")


def complain(err: errors.VmctlError) -> None:
    """Print an error: the cause, the details, the next command."""
    from vmctl.cli.output import clean, style

    print(style("error: ", sys.stderr, fg="red", bold=True) + clean(err.message), file=sys.stderr)
    for line in err.lines:
        print(f"  {clean(line)}", file=sys.stderr)
    if err.hint:
        print(f"{style('try:', sys.stderr, bold=True)} {clean(err.hint)}", file=sys.stderr)


def _unexpected(err: Exception) -> None:
    """A bug: the log has the traceback, the user gets a sentence."""
    import traceback

    from vmctl.cli.output import clean
    from vmctl.local import logs, paths

    log = paths.state_dir() / "cli.log"
    kept = logs.append(log, f"{sys.argv}\n{''.join(traceback.format_exception(err))}\n")
    print(f"error: {clean(f'{type(err).__name__}: {err}')}", file=sys.stderr)
    if kept:
        print(f"try: the details are in {log}", file=sys.stderr)


def _no_file(err: OSError) -> None:
    """The machine says no: a file or folder cannot be read or written."""
    from vmctl.cli.output import clean

    where = f"{err.filename}: " if err.filename else ""
    print(f"error: {clean(where)}{err.strerror or err}", file=sys.stderr)


if __name__ == "__main__":
    main()
