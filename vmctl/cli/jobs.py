"""`vmctl job`: what was run by `vmctl run`, what it printed, and what it left."""

from __future__ import annotations

import base64
import http.client
import io
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from vmctl import errors
from vmctl.cli import complete, follow, output
from vmctl.cli.client import Client
from vmctl.cli.groups import Group
from vmctl.commands.jobs import CollectJob, FetchFile, FollowOutput, ListJobs, ShowJob
from vmctl.commands.tasks import CancelTask

Item = dict[str, Any]


@click.group(cls=Group)
def job() -> None:
    """Jobs: list, show, logs, get, wait, cancel."""


def _hosts(one: Item) -> str:
    return ",".join(one["hosts"][:3]) + (f",… ({len(one['hosts'])})" if len(one["hosts"]) > 3 else "")


COLUMNS: tuple[output.Column, ...] = (
    ("ID", lambda one: one["id"]),
    ("STATE", lambda one: one["state"]),
    ("COMMAND", lambda one: one["command"]),
    ("HOSTS", _hosts),
    ("AGE", lambda one: output.ago(time.time() - one["created_at"])),
    ("TOOK", output.took),
    ("OUTCOME", lambda one: one["outcome"]),
)
WIDE: tuple[output.Column, ...] = (
    ("WHO", lambda one: one["who"]),
    ("PROJECT", lambda one: one["project"]),
    ("RUNS", lambda one: f"{one['ended']}/{one['runs']}"),
)


@job.command("list")
@click.option("--most", type=click.IntRange(1, 500), default=20, show_default=True)
@output.option
def list_jobs(most: int, form: str) -> None:
    """List the newest jobs.

    Example: vmctl job list --most 5
    """
    output.rows(Client().ask(ListJobs(most)), form, COLUMNS, WIDE, "no jobs yet")


@job.command("show")
@click.argument("number", type=output.NUMBER, shell_complete=complete.jobs)
@output.option
def show(number: int, form: str) -> None:
    """Show one job with each of its runs, and why it is where it is.

    Example: vmctl job show 7
    """
    found = Client().ask(ShowJob(number))
    if output.shown_as_data(found, form):
        return
    rows = [(key, found[key]) for key in ("id", "command", "state", "who", "project")]
    output.pairs([*rows, ("took", output.took(found)), ("outcome", found["outcome"])])
    if found["error"]:
        for line in found["error"]["lines"]:
            print(f"  {output.clean(line)}")
    for one in found["each"]:
        print()
        output.pairs(_run_rows(one))


def _run_rows(one: Item) -> list[tuple[str, Any]]:
    cut = {"out": " (cut)" if one["out_cut"] else "", "err": " (cut)" if one["err_cut"] else ""}
    printed = ", ".join(f"{output.in_bytes(one[f'{name}_bytes'])} {name}{cut[name]}" for name in ("out", "err"))
    pid = f"pid {one['pid']} of boot {one['boot_id']}" if one["pid"] else ""
    ended = f"exit code {one['code']}" if one["code"] is not None else one["state"]
    where = f"{one['login']}@{one['host']}" if one["login"] else one["host"]
    rows = [("run", one["number"]), ("host", where), ("state", ended), ("why", one["why"])]
    rows += [("process", one["process"] or pid), *([("", pid)] if one["process"] else []), ("printed", printed)]
    return [*rows, ("tries", one["tries"])] if one["tries"] > 1 else rows


@job.command("logs")
@click.argument("number", type=output.NUMBER, shell_complete=complete.jobs)
@click.option("-f", "--follow", "go_on", is_flag=True, help="Go on until it has ended.")
@click.option("--run", "which", type=click.IntRange(0, 1000), default=0, help="Of this run alone.")
@output.option
def logs(number: int, go_on: bool, which: int, form: str) -> None:
    """Print what a job has printed; hosts keep it for a day after its end.

    Example: vmctl job logs --follow 7
    """
    client = Client()
    found = client.ask(ShowJob(number))
    reader = Reader(client, found, form, which)
    reader.read(wait=go_on)
    reader.finish()


@job.command("wait")
@click.argument("number", type=output.NUMBER, shell_complete=complete.open_jobs)
@output.option
@follow.patience
def wait(number: int, form: str, timeout: float | None) -> None:
    """Wait until a job has ended, and end as it did.

    Example: vmctl job wait 7
    """
    client = Client()
    found = client.ask(ShowJob(number))
    task = {"id": number, "kind": "run", "subject": found["command"], "state": found["state"]}
    follow.run(client, [task], "name", lambda _: "", detach=False, timeout=timeout)
    ended = client.ask(ShowJob(number))
    if not output.shown_as_data(ended, form):
        output.say(f"job {number}: {ended['outcome']}")
    end_as(ended)


@job.command("get")
@click.argument("number", type=output.NUMBER, shell_complete=complete.jobs)
@click.argument("paths", nargs=-1, required=True)
@click.option("--run", "which", type=click.IntRange(0, 1000), default=0, help="From this run alone.")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Folder (this one).")
@output.option
def get(number: int, paths: tuple[str, ...], which: int, into: Path, form: str) -> None:
    """Bring back what a job left where it ran; of several runs, each into a folder of its own.

    Example: vmctl job get 7 result.txt
    """
    client = Client()
    found = bring(client, client.ask(ShowJob(number)), list(paths), which, into)
    if not output.shown_as_data(found, form, lambda one: one):
        output.say("\n".join(found))


def bring(client: Client, found: Item, paths: list[str], which: int, into: Path) -> list[str]:
    """Fetch files of a job's runs; where they are now. Raises NotFound, Refused where one is there already."""
    made = []
    for one in found["each"]:
        if one["number"] != (which or one["number"]) or not one["asked_at"]:
            continue
        folder = into if len(found["each"]) == 1 or which else into / f"{one['host']}-{one['number']}"
        for path in paths:
            answer = client.ask(FetchFile(found["id"], one["number"], path))
            made += _unpack(base64.b64decode(answer["data"]), folder)
    return made


def _unpack(data: bytes, folder: Path) -> list[str]:
    """Write files and folders, of whoever runs this; a host may have sent anything. Raises Refused."""
    import tarfile  # few commands need it, and all would wait for it

    with tarfile.open(fileobj=io.BytesIO(data)) as packed:
        found = [member for member in packed if member.isreg() or member.isdir()]
        for member in found:
            path = Path(member.name)
            if path.is_absolute() or ".." in path.parts:
                raise errors.Refused(f"{member.name!r} would be written outside of {folder}")
            if (folder / path).exists() and not ((folder / path).is_dir() and member.isdir()):
                raise errors.Refused(f"{folder / path} is there already", hint="--into ANOTHER_FOLDER")
            member.uid, member.gid, member.uname, member.gname = os.geteuid(), os.getegid(), "", ""
            member.mode &= 0o777
        folder.mkdir(parents=True, exist_ok=True)
        if (careful := getattr(tarfile, "data_filter", None)) is not None:  # since Python 3.11.4
            packed.extraction_filter = careful
        packed.extractall(folder, members=found)
    return [str(folder / member.name) for member in found]


@job.command("cancel")
@click.argument("numbers", type=output.NUMBER, nargs=-1, required=True, shell_complete=complete.open_jobs)
@output.option
def cancel(numbers: tuple[int, ...], form: str) -> None:
    """End jobs: what runs is sent TERM, and KILL ten seconds later.

    Example: vmctl job cancel 7
    """
    client = Client()
    for number in numbers:
        client.ask(ShowJob(number))  # no other task is meant
    asked = [client.ask(CancelTask(number)) for number in numbers]
    if not output.shown_as_data(asked[0] if len(asked) == 1 else asked, form):
        for task in asked:
            output.say(f"job {task['id']} ({task['subject']}) was asked to end")


@job.command("collect")
@click.argument("numbers", type=output.NUMBER, nargs=-1, required=True, shell_complete=complete.jobs)
@output.option
def collect(numbers: tuple[int, ...], form: str) -> None:
    """Take away what hosts keep of ended jobs: what they printed, and what they left. After a day they do it anyway.

    Example: vmctl job collect 7
    """
    client = Client()
    found = [client.ask(CollectJob(number)) | {"id": number} for number in numbers]
    if output.shown_as_data(found[0] if len(found) == 1 else found, form):
        return
    for one in found:
        left = f"; left: {', '.join(one['left'])}" if one["left"] else ""
        output.say(f"job {one['id']} was collected{left}")


def attend(client: Client, task: Item, form: str, get: list[str], *, bare: bool) -> None:
    """Show what a job prints until it has ended, and end as it did. Ctrl-C ends it; a second one leaves it alone.

    `task`: what was answered to the command; which runs there are is not drawn yet.
    """
    number, reader = task["id"], Reader(client, task | {"runs": 0}, form, 0, bare=bare)
    while True:
        try:
            reader.read(wait=True)
            break
        except KeyboardInterrupt:
            print(f"ending job {number}; Ctrl-C again leaves it alone", file=sys.stderr)
            try:
                client.ask(CancelTask(number))
            except errors.Refused:  # it has ended
                continue
            except KeyboardInterrupt:
                raise SystemExit(130) from None
    reader.finish()
    if get:
        for path in bring(client, reader.job, get, 0, Path()):
            print(output.clean(path), file=sys.stderr)
    end_as(reader.job)


def end_as(found: Item) -> None:
    """End as it ended: with the exit code of its one run, or by an error that says what is wrong."""
    if found["error"]:
        raise errors.error_from_json(found["error"])
    if found["state"] not in follow.ENDS or not found["bad"]:
        return
    if len(found["each"]) > 1:
        raise errors.PartlyFailed(
            f"{found['bad']} of {len(found['each'])} failed", hint=f"vmctl job show {found['id']}"
        )
    code = found["each"][0]["code"]
    if code is None:
        raise errors.Uncertain(found["outcome"], hint=f"vmctl job show {found['id']}")
    if found["each"][0]["late"] or found["each"][0]["starved"]:
        print(output.clean(found["outcome"]), file=sys.stderr)
    raise SystemExit(code)


class Reader:
    """Reads what a job prints, and goes on where it was whenever the controller is away."""

    def __init__(self, client: Client, found: Item, form: str, which: int, *, bare: bool = False) -> None:
        self.job = found
        self._client, self._which, self._form = client, which, form
        self._at: dict[tuple[int, int], tuple[int, int]] = {}
        self._kept: dict[int, dict[str, bytes]] = {}  # for a program, or the beginning of a line
        self._bare = bare
        self._notes: dict[int, list[str]] = {}
        self._told: set[tuple[int, int, str, str]] = set()
        self._many = which == 0 and self._runs(found) != 1

    @staticmethod
    def _runs(found: Item) -> int:
        args = found["args"]
        named = len(args.get("hosts") or ()) or int(args.get("count") or 1)
        return found["runs"] or (0 if args.get("everywhere") or args.get("labels") else named)

    def read(self, *, wait: bool) -> None:
        """Show it as it comes. Raises ControllerUnreachable where that is away for long."""
        for item in self._items(wait):
            self._show(item)

    def _items(self, wait: bool) -> Iterator[Item]:
        lost_at: float | None = None
        while True:
            try:
                for item in self._lines(wait):
                    lost_at = None
                    yield item
                self.job = self._client.ask(ShowJob(self.job["id"]))
                if not wait or self.job["state"] in follow.ENDS:
                    return
            except (errors.ControllerUnreachable, OSError, ValueError, http.client.HTTPException) as err:
                if lost_at is None:
                    lost_at = time.monotonic()
                    print(f"the connection was lost; job {self.job['id']} goes on", file=sys.stderr)
                if not self._client.elsewhere and time.monotonic() - lost_at > follow.HERE_S:
                    hint = f"vmctl job logs --follow {self.job['id']}"
                    raise errors.ControllerUnreachable(f"{err}; the job goes on", hint=hint) from err
            time.sleep(follow.AGAIN_S)

    def _lines(self, wait: bool) -> Iterator[Item]:
        after = ",".join(f"{run}:{tries}:{out}:{err}" for (run, tries), (out, err) in self._at.items())
        return self._client.lines(FollowOutput(self.job["id"], self._which, wait, after), start=False)

    def _show(self, item: Item) -> None:
        what, people = item["what"], self._form in output.PEOPLE
        if what in ("out", "err"):
            if data := self._new(item, what, base64.b64decode(item["data"])):
                self._print(item, what, data)
            return
        if (told := (item["run"], item["tries"], what, item["data"])) in self._told:
            return  # who reads on after a lost connection hears it again
        self._told.add(told)
        if what == "note" and not people:
            self._notes.setdefault(item["run"], []).append(item["data"])
        elif what == "again":
            self._kept.pop(item["run"], None)
        elif what == "note" or (self._many and people):
            self._rest(item)
            if what == "note" or item["code"] != 0:
                print(output.clean(f"{self._head(item)}{item['data']}"), file=sys.stderr)

    def _new(self, item: Item, stream: str, data: bytes) -> bytes:
        """What of it was not read before: a controller that asks another one for us may begin anew there."""
        key = item["run"], item["tries"]
        out, err = self._at.get(key, (0, 0))
        self._at[key] = max(out, item["out"]), max(err, item["err"])
        before = {"out": out, "err": err}[stream]
        return data[max(0, before - (item[stream] - len(data))) :]

    def _head(self, item: Item) -> str:
        return f"{item['host'] or 'run'}{'' if self._alone(item) else '/' + str(item['run'])}: " if self._many else ""

    def _alone(self, item: Item) -> bool:
        return int(self.job["args"].get("count") or 1) == 1 and bool(item["host"])

    def _print(self, item: Item, stream: str, data: bytes) -> None:
        if self._form not in output.PEOPLE:
            kept = self._kept.setdefault(item["run"], {"out": b"", "err": b""})
            kept[stream] += data
            return
        target = sys.stdout.buffer if stream == "out" else sys.stderr.buffer
        if not self._many:
            target.write(data)
            target.flush()
            return
        kept = self._kept.setdefault(item["run"], {"out": b"", "err": b""})
        *lines, kept[stream] = (kept[stream] + data).split(b"\n")
        head = b"" if self._bare else self._head(item).encode()
        target.write(b"".join(head + line + b"\n" for line in lines))
        target.flush()

    def _rest(self, item: Item) -> None:
        """The last line of a run, where it has no end."""
        for stream, rest in self._kept.pop(item["run"], {}).items():
            if rest:
                target = sys.stdout.buffer if stream == "out" else sys.stderr.buffer
                target.write((b"" if self._bare else self._head(item).encode()) + rest + b"\n")
                target.flush()

    def finish(self) -> None:
        """For a program: all of it."""
        if self._form in output.PEOPLE:
            if self._many and self.job["state"] in follow.ENDS:
                good = self.job["runs"] - self.job["bad"]
                print(f"{self.job['runs']} runs: {good} done, {self.job['bad']} failed", file=sys.stderr)
            return
        for one in self.job["each"]:
            kept = self._kept.get(one["number"], {"out": b"", "err": b""})
            one |= {name: data.decode(errors="replace") for name, data in kept.items()}
            one["notes"] = self._notes.get(one["number"], [])
        output.data(self.job, self._form)
