"""`vmctl top`: hosts and VMs, again and again; q leaves, arrows scroll, s sorts by something else."""

from __future__ import annotations

import contextlib
import io
import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from typing import Any

import click

from vmctl import errors
from vmctl.cli import output
from vmctl.cli.client import Client
from vmctl.cli.show import VM_COLUMNS, VM_WIDE
from vmctl.cli.sizes import Amount
from vmctl.commands.cluster import About, Top

Row = dict[str, Any]
SORTS: tuple[tuple[str, Callable[[Row], Any]], ...] = (
    ("CPU", lambda vm: -(vm["load"]["cpu"] if vm.get("load") else -1.0)),
    ("memory", lambda vm: -(vm["load"]["mem_mib"] if vm.get("load") else -1)),
    ("host", lambda vm: (vm.get("host", ""), vm["name"])),
    ("name", lambda vm: vm["name"]),
)
UP, DOWN, PAGE_UP, PAGE_DOWN = b"\x1b[A", b"\x1b[B", b"\x1b[5~", b"\x1b[6~"


@click.command()
@click.option("--once", is_flag=True, help="Print once and leave.")
@click.option("--every", type=Amount(0.1, 3600), default=2.0, show_default=True, help="Seconds between two looks.")
@output.option
def top(once: bool, every: float, form: str) -> None:
    """Watch hosts and VMs, busiest first; q leaves, arrows scroll, s sorts by something else.

    Example: vmctl top --once
    """
    client = Client()
    if form not in output.PEOPLE:
        found = client.ask(Top())
        output.data(sorted(found["vms"], key=SORTS[0][1]) if form == "name" else found, form)
    elif once or not sys.stdout.isatty():
        print(page(client.ask(Top()), form))
    else:
        client.ask(About())  # starts a controller where none runs; once
        _watch(View(form), every)


class View:
    """What of it all is on the screen."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._first = 0
        self._sort = 0

    def press(self, key: bytes, height: int) -> bool:
        """Act on a key; False if it means to leave."""
        if key in (b"q", b"Q", b"\x03"):
            return False
        if key in (b"s", b"S"):
            self._sort = (self._sort + 1) % len(SORTS)
        steps = {UP: -1, b"k": -1, DOWN: 1, b"j": 1, PAGE_UP: -(height - 2), PAGE_DOWN: height - 2, b" ": height - 2}
        self._first = max(0, self._first + steps.get(key, 0))
        return True

    def lines(self, text: str, width: int, height: int) -> list[str]:
        """The lines of a page that are seen, and a last one that says what can be pressed."""
        every = text.splitlines()
        self._first = min(self._first, max(0, len(every) - (height - 1)))
        shown = [line[:width] for line in every[self._first : self._first + height - 1]]
        below = len(every) - self._first - len(shown)
        more = f", {below} lines below" if below > 0 else ""
        foot = f"q leaves, arrows scroll, s sorts (now by {SORTS[self._sort][0]}){more}"
        return [*shown, *[""] * (height - 1 - len(shown)), foot[:width]]

    def page(self, client: Client, width: int) -> str:
        """What there is now. A controller that was stopped is left stopped."""
        try:
            found = client.ask(Top())
        except errors.ControllerUnreachable as err:
            return f"{err.message}\n\nIt is not started from here: any other command does."
        return page(found, self._form, self._sort, width)


def page(found: Row, form: str, sort: int = 0, width: int | None = None) -> str:
    """The cluster in tables."""
    from vmctl.cli.hosts import HOST_COLUMNS, HOST_WIDE

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        print(_head(found, width))
        print()
        output.table([*HOST_COLUMNS, *(HOST_WIDE if form == "wide" else HOST_WIDE[:3])], found["hosts"])
        if found["vms"]:
            print()
            vms = sorted(found["vms"], key=SORTS[sort][1])
            output.table([*VM_COLUMNS, *(VM_WIDE if form == "wide" else VM_WIDE[:4])], vms)
    return text.getvalue().rstrip("\n")


def _head(found: Row, width: int | None) -> str:
    """The first line; without the score's smallest terms where it would be cut."""
    total = sum(value for _, value in found["score"])
    head = f"{len(found['hosts'])} hosts, {found['running']} VMs run, score {total:.3f}"
    terms = sorted(found["score"], key=lambda term: -float(term[1])) if width else found["score"]
    while terms:
        line = f"{head} ({', '.join(f'{name} {value:.2f}' for name, value in terms)})"
        if width is None or len(line) <= width:
            return line
        terms = terms[:-1]
    return head


def _watch(view: View, every_s: float) -> None:
    from rich.live import Live
    from rich.text import Text

    client = Client(autostart=False)
    with contextlib.suppress(KeyboardInterrupt), _keys() as pressed, Live(screen=True, auto_refresh=False) as live:
        while True:
            size = shutil.get_terminal_size()
            text, until = view.page(client, size.columns), time.monotonic() + every_s
            while (left_s := until - time.monotonic()) > 0:
                size = shutil.get_terminal_size()
                shown = "\n".join(view.lines(text, size.columns, size.lines))
                live.update(Text(shown, no_wrap=True), refresh=True)
                key = pressed(left_s)
                if key and not view.press(key, size.lines):
                    return
                if key in (b"s", b"S"):
                    break


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bytes]]:
    """Keys as they are pressed: a function that waits for one, and answers nothing when none came in time."""
    if not sys.stdin.isatty():
        yield lambda wait_s: time.sleep(wait_s) or b""  # type: ignore[func-returns-value]
        return
    before = termios.tcgetattr(0)

    def pressed(wait_s: float) -> bytes:
        return (os.read(0, 16) or b"q") if select.select([0], [], [], wait_s)[0] else b""

    try:
        tty.setcbreak(0)
        yield pressed
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, before)
