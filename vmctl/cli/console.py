"""`vmctl console`: a VM's serial console in this terminal; Ctrl-] leaves."""

from __future__ import annotations

import contextlib
import getpass
import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import click

from vmctl import errors
from vmctl.cli import complete
from vmctl.cli.client import Client, log_path
from vmctl.commands.vms import ShowVM

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

ESCAPE = b"\x1d"  # Ctrl-]
REFUSED, TAKEN, ENDED = 4000, 4001, 4002  # close codes of the API's
QUIET_S = 1.0  # what is typed on after an end is swallowed until the fingers rest for so long


@click.command()
@click.argument("name", shell_complete=complete.vms)
@click.option("--force", is_flag=True, help="Take it over from whoever has it open.")
def console(name: str, force: bool) -> None:
    """Open a VM's serial console in this terminal; Ctrl-] leaves.

    One user has it at a time. It follows its VM when that moves.

    Example: vmctl console web1
    """
    client = Client()
    found = client.ask(ShowVM(name))  # a clear error first, and a controller
    asked = urlencode({"force": str(force).lower(), "who": _who()})
    uri = f"ws://localhost/api/v1/vms/{quote(found['uuid'], safe='')}/console?{asked}"
    with _raw() as terminal, _opened(client, uri) as socket:
        left = _talk(socket, name)
        problem = None if left else _problem(name, socket.close_code, socket.close_reason or "")
        if problem is not None and terminal and socket.close_code != REFUSED:
            _say(f"\r\n[the console has ended: {problem.message}]\r\n")
            _swallow()
    if problem is not None:
        raise problem
    print("\nleft the console", file=sys.stderr)


def _opened(client: Client, uri: str) -> ClientConnection:
    """Raises ControllerUnreachable."""
    from websockets.exceptions import InvalidHandshake
    from websockets.sync.client import connect

    try:
        return connect(uri, sock=client.socket(), additional_headers=client.headers(), max_size=None)
    except (InvalidHandshake, OSError) as err:
        message = "the controller does not open the console"
        raise errors.ControllerUnreachable(message, hint=f"see {log_path()}") from err


def _talk(socket: ClientConnection, name: str) -> bool:
    """Pass on what is typed and what is printed. Whether it was the user who left."""
    from websockets.exceptions import ConnectionClosed

    begun = threading.Event()

    def show() -> None:
        with contextlib.suppress(ConnectionClosed, OSError):
            for data in socket:
                if not begun.is_set():
                    _say(f"connected to {name}; Ctrl-] leaves\r\n")
                    begun.set()
                os.write(1, data if isinstance(data, bytes) else data.encode())

    reader = threading.Thread(target=show, daemon=True)
    reader.start()
    left = False
    with contextlib.suppress(ConnectionClosed):
        for data in _typed(reader):
            if not data:
                left = True
                break
            socket.send(data)
    socket.close()
    reader.join(1.0)
    return left


def _typed(reader: threading.Thread) -> Iterator[bytes]:
    """What is typed, and nothing (b"") for Ctrl-] or the end of input; ends without it when the console has ended."""
    while reader.is_alive():
        if not select.select([0], [], [], 0.1)[0]:
            continue
        data = os.read(0, 4096)
        before, escape, _ = data.partition(ESCAPE)
        if before:
            yield before
        if escape or not data:
            yield b""


def _problem(name: str, code: int | None, reason: str) -> errors.VmctlError:
    """Why a console ended that its user did not leave."""
    if code == REFUSED:
        return errors.Refused(reason or "the console was refused")
    if code == TAKEN:
        return errors.Refused(f"the console of {name} was {reason}", hint=f"vmctl console --force {name}")
    if code == ENDED:
        return errors.VmctlError(reason or f"{name} does not run any more", hint=f"vmctl show {name}")
    return errors.ControllerUnreachable("the controller went away", hint=f"vmctl console {name}")


def _who() -> str:
    """Who sits here, for whom this takes a console from."""
    with contextlib.suppress(OSError, KeyError):
        return f"{getpass.getuser()} on {os.ttyname(0).removeprefix('/dev/')}"
    return ""


def _say(text: str) -> None:
    os.write(2, text.encode())


def _swallow() -> None:
    """Whoever types on has not seen that the console ended: none of it may reach the shell below."""
    while select.select([0], [], [], QUIET_S)[0] and os.read(0, 4096):
        continue


@contextlib.contextmanager
def _raw() -> Iterator[bool]:
    """The terminal passes every key on; restored at the end, whatever happens, and what was not read is forgotten."""
    if not sys.stdin.isatty():
        yield False
        return
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield True
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, before)
