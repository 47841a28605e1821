"""`vmctl ps`, `vmctl process show`, `vmctl who`: runs of programs.

Guests name them, so nothing is printed as it came.
"""

from __future__ import annotations

import time
from typing import Any

import click
from click.shell_completion import CompletionItem

from vmctl import text
from vmctl.cli import complete, output, times
from vmctl.cli.client import Client
from vmctl.cli.groups import Group
from vmctl.cli.output import ago, escaped, mib
from vmctl.commands.processes import ListProcesses, ListPrograms, ListShortLived, ShowProcess, Who
from vmctl.errors import VmctlError

BARS = "▁▂▃▄▅▆▇█"
COMMAND_WIDTH = 60
Row = dict[str, Any]


def _memory(kib: float) -> str:
    return mib(kib / 1024)


def _state(row: Row) -> str:
    """Whether it runs; else why it ended."""
    return "valid" if row["valid"] else escaped(row["why"])


def _up(row: Row) -> float | None:
    """Seconds since it began, where its machine said when; its clock may be wrong."""
    if not row["started_us"]:
        return None
    until: float = time.time() if row["valid"] else row["last_seen"]
    return max(0.0, until - float(row["started_us"]) / 1e6)


def _command(row: Row) -> str:
    shown = escaped(row["command"])
    return shown if len(shown) <= COMMAND_WIDTH else shown[: COMMAND_WIDTH - 3] + "..."


def _program(row: Row) -> str:
    return escaped(f"{row['program']} {row['version']}" if row["version"] else row["program"])


COLUMNS: tuple[output.Column, ...] = (
    ("MACHINE", lambda p: p["machine"] or p["machine_uuid"]),
    ("PID", lambda p: p["pid"]),
    ("PROGRAM", _program),
    ("USER", lambda p: escaped(p["user"])),
    ("CPU", lambda p: output.share(p["cpu"])),
    ("MEMORY", lambda p: _memory(p["rss_kib"])),
    ("PORT", lambda p: p["port"] or ""),
    ("UP", lambda p: ago(_up(p))),
    ("STATE", _state),
)
ENDED: tuple[output.Column, ...] = (("ENDED", lambda p: times.shown(p["ended_at"]) if p["ended_at"] else ""),)
WIDE: tuple[output.Column, ...] = (
    ("CPU PEAK", lambda p: output.share(p["cpu_peak"])),
    ("MEMORY PEAK", lambda p: _memory(p["rss_peak_kib"])),
    ("THREADS", lambda p: p["threads"]),
    ("PARENT", lambda p: p["parent"]),
    ("GPID", lambda p: escaped(p["name"])),
    ("UUID", lambda p: p["uuid"]),
    ("COMMAND", _command),
)


def _machines(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [*complete.vms(context, parameter, incomplete), *complete.hosts(context, parameter, incomplete)]


def _ask(asked: Any, key: str, incomplete: str) -> list[CompletionItem]:
    try:
        found: list[Row] = Client(autostart=False).ask(asked)
    except (VmctlError, OSError):
        return []
    plain = (item[key] for item in found if item[key] == escaped(item[key]))
    return [CompletionItem(word) for word in dict.fromkeys(plain) if word.startswith(incomplete)]


def _programs(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _ask(ListPrograms(incomplete), "name", incomplete)


def _uuids(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """UUIDs, for a shell takes the colons of a gpid for ends of words."""
    return _ask(ListProcesses(most=1000), "uuid", incomplete)


@click.command()
@click.argument("name", required=False, metavar="[VM|HOST]", shell_complete=_machines)
@click.option("--program", help="Only runs of this program.", shell_complete=_programs)
@click.option("--history", is_flag=True, help="Those that ended, too.")
@click.option("--jobs", is_flag=True, help="Only runs of jobs: what vmctl run began on hosts.")
@click.option("--short-lived", is_flag=True, help="Count the runs of the last day that were too short to be listed.")
@click.option("--most", type=click.IntRange(1, 5000), default=1000, show_default=True, help="Print at most so many.")
@output.option
def ps(
    name: str | None, program: str | None, history: bool, jobs: bool, short_lived: bool, most: int, form: str
) -> None:
    """List processes in VMs, and on hosts QEMU's, runs of jobs and daemons, the busiest first.

    Example: vmctl ps web1 --program sshd --history
    """
    if name is not None and (problem := text.bad_part(name)):
        raise click.UsageError(problem)
    if short_lived:
        _short_lived(name, form)
        return
    found = Client().ask(ListProcesses(name, program, history, jobs, most))
    columns = (*COLUMNS, *ENDED) if history else COLUMNS
    if jobs:
        columns = (*columns, WIDE[6])
    empty = "no processes are known there"
    if jobs:
        empty = "no run of a job is known there" if history else "no job runs there; those that ended: --history"
    output.rows(found, form, columns, WIDE[:6] if jobs else WIDE, empty)


def _short_lived(name: str | None, form: str) -> None:
    columns: tuple[output.Column, ...] = (
        ("DAY", lambda p: p["day"]),
        ("MACHINE", lambda p: p["machine"]),
        ("PROGRAM", lambda p: escaped(p["program"])),
        ("RUNS", lambda p: p["runs"]),
        ("CPU", lambda p: f"{p['cpu_s']:.1f}s"),
    )
    found = Client().ask(ListShortLived(name))
    if form == "name":
        found = [{"name": escaped(row["program"])} for row in found]
    output.rows(found, form, columns, (), "nothing was too short-lived")


@click.group(cls=Group)
def process() -> None:
    """One run of a program: show."""


@process.command("show")
@click.argument("name", metavar="GPID|UUID", shell_complete=_uuids)
@output.option
def show(name: str, form: str) -> None:
    """Show one run of a program: this life, what it used in its last ten minutes, and its previous lives.

    NAME is a gpid (ip:port:start_time:pid), a UUID, or the first digits of a UUID.

    Example: vmctl process show 10.99.0.7:80:1700000000000000:812
    """
    found = Client().ask(ShowProcess(name))
    if output.shown_as_data(found, form):
        return
    output.pairs(_facts(found))
    _print_samples(found["samples"], found)
    for title, rows in (("previous lives", found["previous"]), ("others of this name", found["also"])):
        if rows:
            print(output.style(f"\n{title}:", bold=True))
            columns = (*COLUMNS[1:], *ENDED, *(WIDE if form == "wide" else (WIDE[5],)))
            output.table(columns, rows)


def _facts(row: Row) -> list[tuple[str, Any]]:
    """This life, in words."""
    ended = f"{times.shown(row['ended_at'])} UTC: {escaped(row['why'])}" if row["ended_at"] else "no, it is valid"
    return [
        ("gpid", escaped(row["name"])),
        ("uuid", row["uuid"]),
        ("machine", row["machine"] or f"{row['machine_uuid']} (not in the pool any more)"),
        ("boot", escaped(row["boot_id"]) + (f", run {row['run']}" if row["run"] else "")),
        ("program", _program(row)),
        ("command", escaped(row["command"])),
        ("user", escaped(row["user"])),
        ("parent", row["parent"]),
        ("started", f"{times.shown(row['started_us'] / 1e6)} UTC by its machine's clock"),
        ("first seen", f"{times.shown(row['first_seen'])} UTC"),
        ("last seen", f"{times.shown(row['last_seen'])} UTC, {ago(row['age_s'])} ago"),
        ("ended", ended),
        ("CPU", f"{output.share(row['cpu'])} of a core, peak {output.share(row['cpu_peak'])}"),
        ("memory", f"{_memory(row['rss_kib'])}, peak {_memory(row['rss_peak_kib'])}"),
        ("threads", row["threads"]),
    ]


def _print_samples(samples: list[Row], row: Row) -> None:
    """The last ten minutes: a line of bars for a look, a row for each change."""
    if not samples:
        return
    print(output.style("\nbefore it ended:" if row["ended_at"] else "\nuntil now:", bold=True))
    print(f"  CPU     {bars(samples, 'cpu')}  up to {output.share(max(s['cpu'] for s in samples))}")
    print(f"  memory  {bars(samples, 'rss_kib')}  up to {_memory(max(s['rss_kib'] for s in samples))}")
    columns: tuple[output.Column, ...] = (
        ("BEFORE", lambda s: ago(s["age_s"])),
        ("CPU", lambda s: output.share(s["cpu"])),
        ("MEMORY", lambda s: _memory(s["rss_kib"])),
    )
    output.table(columns, samples)


def bars(samples: list[Row], key: str, every_s: int = 30) -> str:
    """One bar for every 30 s, from the oldest sample to the last; a value holds until the next one."""
    top = max(sample[key] for sample in samples) or 1
    drawn = ""
    for age_s in range(samples[0]["age_s"], -1, -every_s):
        value = [sample[key] for sample in samples if sample["age_s"] >= age_s][-1]
        drawn += BARS[round(value / top * (len(BARS) - 1))]
    return drawn


@click.command()
@click.argument("endpoint", metavar="IP:PORT")
@click.option("--at", type=times.Moment(), help="Then, as '10 minutes ago' or an ISO time (UTC); else now.")
@output.option
def who(endpoint: str, at: float | None, form: str) -> None:
    """Say who listens on a TCP port of an address, or did at a time.

    Example: vmctl who 10.99.0.7:80 --at "10 minutes ago"
    """
    found = Client().ask(Who(endpoint, at))
    output.rows(found, form, (*COLUMNS, WIDE[4]), (*ENDED, *WIDE[:4], *WIDE[5:]))
