"""`vmctl console`: a VM's serial console in this terminal; Ctrl-] leaves."""

from __future__ import annotations

import contextlib
import os
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from urllib.parse import quote

import click

from vmctl import errors
from vmctl.cli import complete
from vmctl.cli.client import Client, socket_path

ESCAPE = b"\x1d"  # Ctrl-]


@click.command()
@click.argument("name", shell_complete=complete.vms)
def console(name: str) -> None:
    """Open a VM's serial console in this terminal; Ctrl-] leaves.

    Example: vmctl console web1
    """
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import ClientConnection, unix_connect

    Client().get("vms", name)  # a clear error first, and a controller

    def show(socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed, OSError):
            for data in socket:
                os.write(1, data if isinstance(data, bytes) else data.encode())

    uri = f"ws://localhost/api/v1/vms/{quote(name, safe='')}/console"
    with unix_connect(str(socket_path()), uri, max_size=None) as socket:
        print(f"connected to {name}; Ctrl-] leaves", file=sys.stderr)
        reader = threading.Thread(target=show, args=(socket,), daemon=True)
        reader.start()
        with _raw(), contextlib.suppress(ConnectionClosed):
            for data in _typed(reader):
                socket.send(data)
    reader.join(1.0)
    if socket.close_code == 4000:
        raise errors.Refused(socket.close_reason or "the console was refused")
    print("\r\nleft the console", file=sys.stderr)


def _typed(reader: threading.Thread) -> Iterator[bytes]:
    """What is typed, until Ctrl-], the end of input, or the end of the console."""
    import select

    while reader.is_alive():
        if not select.select([0], [], [], 0.2)[0]:
            continue
        data = os.read(0, 4096)
        before, escape, _ = data.partition(ESCAPE)
        if before:
            yield before
        if escape or not data:
            return


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """The terminal passes every key on; restored at the end, whatever happens."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
