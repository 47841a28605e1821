"""`vmctl serve`: the controller on a unix socket that only its user can open."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import click

from vmctl import config, errors, paths
from vmctl.cli.client import socket_path

STOP_LIMIT_S = 30.0


@click.command()
@click.option("--stop", is_flag=True, help="End the running controller. Hosts and VMs go on without it.")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
def serve(stop: bool, verbose: bool) -> None:
    """Run the controller in the foreground.

    Other commands start one in the background when none runs. Example: vmctl serve --stop
    """
    if stop:
        _stop()
        return
    _serve(verbose)


def _serve(verbose: bool) -> None:
    import logging

    import uvicorn

    from vmctl.api.app import make_app

    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for noisy in ("asyncssh", "alembic", "apscheduler", "aiosqlite", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    path = socket_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    app = make_app(config.load(), paths.data_dir(), path.parent)
    os.umask(0o077)
    uvicorn.run(app, uds=str(path), log_config=None, access_log=False, timeout_graceful_shutdown=3, lifespan="on")


def running() -> int | None:
    """The process id of this user's controller, if one runs."""
    lock = paths.data_dir() / "controller.lock"
    try:
        number = int(lock.read_text() or 0)
        command = Path(f"/proc/{number}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return number if b"serve" in command else None


def _stop() -> None:
    number = running()
    if number is None:
        print("no controller runs")
        return
    os.kill(number, signal.SIGTERM)
    deadline = time.monotonic() + STOP_LIMIT_S
    while running() == number and time.monotonic() < deadline:
        time.sleep(0.05)
    if running() == number:
        raise errors.TimedOut(f"the controller (process {number}) does not end", hint=f"kill -9 {number}")
    print(f"the controller (process {number}) has ended; hosts and VMs go on")
