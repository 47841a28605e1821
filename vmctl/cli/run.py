"""`vmctl run`: a command on the best host, or on many; it goes on whatever becomes of this one."""

from __future__ import annotations

import base64
import io
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmctl import errors
from vmctl.cli import complete, jobs, output
from vmctl.cli.client import Client
from vmctl.cli.sizes import Amount, Label, Size
from vmctl.commands.jobs import MOST_GIVEN, RunJob, WhereToRun

if TYPE_CHECKING:
    import tarfile


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("words", nargs=-1, metavar="COMMAND...")
@click.option("--best", is_flag=True, help="On the host that suits it best (this is so where nothing else is said).")
@click.option("--on", "hosts", multiple=True, metavar="HOST", shell_complete=complete.hosts, help="On this host.")
@click.option("--all", "everywhere", is_flag=True, help="On all hosts.")
@click.option("--on-label", "labels", type=Label(), multiple=True, metavar="KEY=VALUE", help="On those that carry it.")
@click.option("--count", type=click.IntRange(1, 1000), default=1, show_default=True, help="So many runs, spread out.")
@click.option("--cpus", type=click.IntRange(1, 1024), default=None, help="CPUs that each is promised.")
@click.option("--memory", type=Size("M", "1M", "64T"), default=0, help="Memory that each is promised: 512M, 2G.")
@click.option("--timeout", type=Amount(min=1, max=7 * 86400.0), metavar="S", help="End it after so long.")
@click.option("--shell", is_flag=True, help="Let a shell of the host read the words.")
@click.option("--queue", is_flag=True, help="Wait for room.")
@click.option("--retry", type=click.IntRange(0, 100), default=0, help="Try again what has failed, so often.")
@click.option("--at-once", type=click.IntRange(0, 1000), default=0, help="So many side by side (64 hosts).")
@click.option("--file", "script", type=click.Path(path_type=Path), help="Run this script; COMMAND is its arguments.")
@click.option("--put", multiple=True, type=click.Path(path_type=Path), help="Put this file or folder where it runs.")
@click.option("--get", multiple=True, metavar="PATH", help="Bring this back from where it ran.")
@click.option("-i", "--stdin", "reads", is_flag=True, help="Give it what is on standard input.")
@click.option("--keep", type=Size("K", "1K", "1T"), default="10M", help="So much of its output is kept (10M).")
@click.option("--no-names", "bare", is_flag=True, help="Print what many print without their names before it.")
@click.option("--project", default="default", shell_complete=complete.projects, help="What it belongs to (default).")
@click.option("--detach", is_flag=True, help="Return at once; print the job's number.")
@click.option("--as", "login", default="", metavar="LOGIN", help="By this log-in of the hosts.")
@click.option("--dry-run", is_flag=True, help="Show where it would run, and why.")
@output.option
def run(
    words: tuple[str, ...],
    best: bool,
    cpus: int | None,
    memory: int,
    timeout: float | None,
    script: Path | None,
    put: tuple[Path, ...],
    get: tuple[str, ...],
    reads: bool,
    keep: int,
    detach: bool,
    dry_run: bool,
    bare: bool,
    form: str,
    hosts: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    **more: Any,
) -> None:
    """Run a command on the host that suits it best, or on many.

    It runs on to its end whatever becomes of this terminal, of the controller or of the connection: vmctl job list.
    One run ends with its own exit code; of several, 7 says that some have failed.

    Example: vmctl run --on kvm1 -- uptime
    """
    _refuse_both(best and (hosts or labels or more["everywhere"]), get and detach)
    asked = {
        "words": _words(words, script),
        "hosts": list(hosts),
        "labels": dict(labels),
        "cpus": cpus or 0,
        "mem_mib": memory >> 20,
        "timeout_s": int(timeout or 0),
        "keep_kib": keep >> 10,
        **more,
    }
    client = Client()
    if dry_run:
        _would(client.ask(WhereToRun(**asked)), form)
        return
    stdin = _encoded(sys.stdin.buffer.read(MOST_GIVEN + 1), "standard input") if reads else ""
    task = client.ask(RunJob(**asked, stdin=stdin, files=_packed(script, put)))
    if detach:
        if not output.shown_as_data(task, form):
            output.say(f"job {task['id']}  {task['subject']}  (vmctl job logs --follow {task['id']})")
        return
    jobs.attend(client, task, form, list(get), bare=bare)


def _refuse_both(chosen_twice: object, waits_not: object) -> None:
    if chosen_twice:
        raise click.UsageError("--best lets placement choose; --on, --on-label and --all do not")
    if waits_not:
        raise click.UsageError("--get waits for its end, and --detach does not; later: vmctl job get NUMBER PATH")


def _words(words: tuple[str, ...], script: Path | None) -> list[str]:
    found = list(words) if script is None else [f"./{script.name}", *words]
    if not found:
        raise click.UsageError("nothing to run; for example: vmctl run -- uptime")
    return found


def _would(found: dict[str, Any], form: str) -> None:
    if "verdicts" in found:
        from vmctl.cli.why import print_placement  # as below: few need it

        print_placement(found, form)
    elif not output.shown_as_data(found, form, lambda one: ", ".join(one["hosts"])):
        output.say(f"on {', '.join(found['hosts'])}")


def _encoded(data: bytes, what: str) -> str:
    if len(data) > MOST_GIVEN:
        hint = "put it where its host can read it, such as on shared storage"
        raise errors.Usage(f"{what} is longer than {output.in_bytes(MOST_GIVEN)}", hint=hint)
    return base64.b64encode(data).decode()


def _packed(script: Path | None, put: tuple[Path, ...]) -> str:
    """The files as an archive, each by its own name; in base64."""
    if script is None and not put:
        return ""
    import tarfile

    made = io.BytesIO()
    try:
        with tarfile.open(fileobj=made, mode="w:gz", format=tarfile.PAX_FORMAT) as packed:
            if script is not None:
                if not stat.S_ISREG(script.stat().st_mode):
                    raise errors.Usage(f"{script} is no file")
                packed.add(script, script.name, filter=_runnable)
            for path in put:
                packed.add(path, path.resolve().name, filter=_plain)
    except OSError as err:
        raise errors.Usage(f"{err.filename or script}: {os.strerror(err.errno) if err.errno else err}") from err
    return _encoded(made.getvalue(), "what is put there")


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Of nobody in particular: it belongs to whoever runs there."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _runnable(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode |= stat.S_IXUSR | stat.S_IRUSR
    return _plain(member)
