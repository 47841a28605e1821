"""Following tasks to their end: a bar on a terminal, a line per step elsewhere; Ctrl-C asks what is meant.

Leaving never stops a task: it is the controller's, and `vmctl task attach` finds it again.
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import click

from vmctl import errors
from vmctl.cli import output
from vmctl.cli.client import Client
from vmctl.cli.sizes import Amount
from vmctl.commands.tasks import CancelTask, FollowTask

BAR = 20
AGAIN_S = 1.0  # until a stream that broke is read again
HERE_S = 10.0  # how long a controller of this machine's is looked for
ENDS = ("done", "failed", "cancelled")
State = dict[str, Any]


def patience(function: Callable[..., Any]) -> Callable[..., Any]:
    """--timeout for commands that wait."""
    limit = Amount(min=0, min_open=True)
    return click.option("--timeout", type=limit, metavar="S", help="Stop waiting after so many seconds (exit 6).")(
        function
    )


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--detach and --timeout for commands that start tasks."""
    detach = click.option("--detach", is_flag=True, help="Return at once; print the task's number.")
    return detach(patience(function))


def run(
    client: Client, tasks: list[State], form: str, done: Callable[[State], str], *, detach: bool, timeout: float | None
) -> list[State]:
    """Follow tasks to their end and print each result; raise the first error when there was one task, else sum up."""
    if detach:
        if not output.shown_as_data(tasks[0] if len(tasks) == 1 else tasks, form, lambda task: task["id"]):
            for task in tasks:
                output.say(f"task {task['id']}  {task['kind']} {task['subject']}  (vmctl task attach {task['id']})")
        return tasks
    ended = _Follower(client, tasks, quiet=form not in ("table", "wide"), timeout_s=timeout).follow()
    good = [task for task in ended if task["state"] == "done"]
    if form in ("json", "yaml"):
        results = [task["result"] for task in good]
        if good:
            output.data(results[0] if len(tasks) == 1 else results, form)
    else:
        for task in good:
            text = task["subject"] if form == "name" else done(task)
            output.say(text) if text else None
    _raise(ended)
    return ended


def _raise(ended: list[State]) -> None:
    bad = [task for task in ended if task["state"] != "done"]
    if not bad:
        return
    if len(ended) == 1:
        raise errors.error_from_json(bad[0]["error"])
    codes = {task["error"]["code"] for task in bad}
    if len(bad) == len(ended) and len(codes) == 1:
        kind: type[errors.VmctlError] = errors.by_code(codes.pop())
    else:
        kind = errors.PartlyFailed
    lines = tuple(f"{task['subject']}: {task['error']['message']}" for task in bad)
    raise errors.made(kind, f"{len(bad)} of {len(ended)} failed", lines=lines)


class _Follower:
    """Threads read the tasks' streams; the main thread draws."""

    def __init__(self, client: Client, tasks: list[State], *, quiet: bool, timeout_s: float | None) -> None:
        self._client = client
        self._states = {task["id"]: task for task in tasks}
        self._news: queue.Queue[State | str | BaseException] = queue.Queue()
        self._lost: dict[int, float] = {}  # tasks whose stream has broken, and when
        self._quiet = quiet
        self._deadline = time.monotonic() + timeout_s if timeout_s else None
        self._screen = Screen() if sys.stderr.isatty() and not quiet else None
        self._said: dict[int, int] = {}
        self._tenth: dict[int, int] = {}

    def follow(self) -> list[State]:
        for number in self._states:
            threading.Thread(target=self._read, args=(number,), daemon=True).start()
        open_ones = set(self._states)
        while open_ones:
            try:
                state = self._next()
            except KeyboardInterrupt:
                self._ask(open_ones)
                continue
            if state is None:
                continue
            self._states[state["id"]] = state
            if state["state"] in ENDS:
                open_ones.discard(state["id"])
            self._draw(state)
        self._erase()
        return list(self._states.values())

    def _read(self, number: int) -> None:
        try:
            while not self._read_on(number):
                time.sleep(AGAIN_S)
        except BaseException as err:  # handed to the main thread, which raises it
            self._news.put(err)

    def _read_on(self, number: int) -> bool:
        """Read a task's stream to its end; False where it broke on the way, and may be read again."""
        state, cause = State(state=""), "the controller went away"
        try:
            for state in self._client.lines(FollowTask(number), start=False):
                if number in self._lost:
                    del self._lost[number]
                    self._news.put("connected again")
                self._news.put(state)
        except (errors.ControllerUnreachable, OSError, ValueError, http.client.HTTPException) as err:
            cause = str(err)
        if state["state"] in ENDS:
            return True
        if number not in self._lost:
            self._news.put(
                f"the connection was lost ({cause}); task {number} is followed as soon as a controller answers"
            )
            self._lost[number] = time.monotonic()
        # One here is back within seconds, as where it begins another life among several, or is not back by itself.
        if not self._client.elsewhere and time.monotonic() - self._lost[number] > HERE_S:
            text = f"{cause}; task {number} is in its journal"
            raise errors.ControllerUnreachable(text, hint=f"vmctl task attach {number}")
        return False

    def _next(self) -> State | None:
        if self._deadline is not None and time.monotonic() > self._deadline:
            numbers = ", ".join(map(str, self._states))
            raise errors.TimedOut("the time is over; the work goes on", hint=f"vmctl task attach {numbers}")
        try:
            news = self._news.get(timeout=0.2)
        except queue.Empty:
            return None
        if isinstance(news, BaseException):
            self._erase()
            raise news
        if isinstance(news, str):
            self._erase()
            print(output.clean(news), file=sys.stderr)
            return None
        return news

    def _ask(self, open_ones: set[int]) -> None:
        self._erase()
        numbers = " ".join(map(str, sorted(open_ones)))
        answer = "d"
        if sys.stdin.isatty():
            with contextlib.suppress(click.Abort):
                answer = click.prompt("[c]ancel it, [d]etach, or [g]o on watching?", default="d", err=True)[:1].lower()
        if answer == "g":
            return
        if answer == "c":
            for number in open_ones:
                with contextlib.suppress(errors.VmctlError):
                    self._client.ask(CancelTask(number))
            return
        print(f"detached; it goes on: vmctl task attach {numbers}", file=sys.stderr)
        raise SystemExit(130)

    # -- drawing

    def _draw(self, state: State) -> None:
        if self._quiet:
            return
        self._sentences(state)
        if self._screen:
            width = shutil.get_terminal_size().columns
            self._screen.show([bar(s, width) for s in self._states.values() if s["state"] not in ENDS][:10])
            return
        tenth = int(state["progress"].get("percent") or 0) // 10
        if tenth > self._tenth.get(state["id"], 0):
            self._tenth[state["id"]] = tenth
            print(bar(state), file=sys.stderr)

    def _sentences(self, state: State) -> None:
        lines = state["log"]
        for _, sentence in lines[self._said.get(state["id"], 0) :]:
            subject = f"{state['subject']}: " if len(self._states) > 1 else ""
            text = output.clean(subject + sentence)
            self._screen.say(text) if self._screen else print(text, file=sys.stderr)
        self._said[state["id"]] = len(lines)

    def _erase(self) -> None:
        if self._screen:
            self._screen.stop()


class Screen:
    """Lines at the bottom of the terminal that are drawn over, and sentences that stay above them."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)

    def show(self, lines: list[str]) -> None:
        """Draw the lines."""
        from rich.text import Text

        if not self._live.is_started:
            self._live.start()
        self._live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)

    def say(self, sentence: str) -> None:
        """Print a sentence above them."""
        self._live.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        """Take the lines away."""
        self._live.stop()


def bar(state: State, width: int | None = None) -> str:
    """One line about a running task; in `width` columns without what matters least."""
    p = state["progress"]
    head = f"{state['kind']} {state['subject']}"
    if "percent" not in p:
        return output.clean(f"{head}  {p.get('text') or state['step'] or state['state']}")
    full = round(BAR * min(100.0, p["percent"]) / 100)
    drawn = f"{head}  [{'#' * full}{'.' * (BAR - full)}] {p['percent']:3.0f}%"
    if "rate_mib_s" not in p:
        return output.clean(f"{drawn}  {p.get('text', '')}")
    return output.clean(_fitting(drawn, _numbers(p), width))


def _numbers(p: State) -> list[str]:
    """What a migration's bar tells beside it, the most wanted first."""
    if p.get("eta_s") is None and not p["rate_mib_s"]:
        return ["starting", str(p["tactic"])]
    eta = f"{p['eta_s']:.0f} s left" if p.get("eta_s") is not None else "no end in sight"
    rates = [f"{p['rate_mib_s']:.0f} MiB/s", f"dirty {p['dirty_mib_s']:.0f} MiB/s"]
    return [eta, str(p["tactic"]), *rates, f"pause <= {p['downtime_ms']} ms"]


def _fitting(drawn: str, parts: list[str], width: int | None) -> str:
    while parts and width is not None and len(f"{drawn} {', '.join(parts)}") > width:
        parts = parts[:-1]
    return f"{drawn} {', '.join(parts)}".rstrip()
