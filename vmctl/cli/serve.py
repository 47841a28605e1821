"""`vmctl serve`: the controller on a unix socket that only its user can open."""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from vmctl import errors
from vmctl.cli.client import Client, log_path, socket_path
from vmctl.commands.tasks import ListTasks
from vmctl.local import config, lock, paths
from vmctl.model.replicas import roles_of
from vmctl.text import bad_text

if TYPE_CHECKING:
    from vmctl.api.server import Among, Elsewhere

STOP_LIMIT_S = 30.0
MOST_NAME = 64
SYSLOG = "/dev/log"
NOTHING: Mapping[str, str] = MappingProxyType({})
NOWHERE = ("192.0.2.1", 9)  # TEST-NET-1 of RFC 5737
# Samples of a thousand hosts are millions of values, none of them in a circle: to look through them as often as Python
# does by itself would be a fifth of all work.
GARBAGE = 50_000, 20, 50


@click.command()
@click.option("--stop", is_flag=True, help="End the running controller. Hosts and VMs go on without it.")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.option("--listen", metavar="ADDRESS:PORT", help="Let clients from elsewhere in there, too, over TLS.")
@click.option("--init-tls", "names", multiple=True, metavar="NAME", help="Make a certificate for a name or address.")
@click.option("--replica", metavar="NAME", help="What it is called among several; with none as its machine.")
@click.option("--roles", metavar="ROLE,...", help="What it is there for, among several: naming, proxy; else both.")
@click.option("--log-json", is_flag=True, help="Log a JSON object on each line.")
@click.option("--background", is_flag=True, hidden=True)  # as other commands start it: nobody looks at its outputs
def serve(
    stop: bool,
    verbose: bool,
    listen: str | None,
    names: tuple[str, ...],
    replica: str | None,
    roles: str | None,
    log_json: bool,
    background: bool,
) -> None:
    """Run the controller in the foreground.

    Other commands start one in the background when none runs. With `listen` in [api] of the settings that one lets
    clients from elsewhere in, too.

    \b
    Example: vmctl serve --stop
    vmctl serve --init-tls vm.example.org --init-tls 10.0.0.5
    vmctl serve --listen 0.0.0.0:8006
    """
    if names:
        _init_tls(names)
    elif stop:
        _stop()
    elif background:
        _serve_unseen(verbose, log_json)
    else:
        own = {key: value for key, value in (("name", replica), ("roles", roles)) if value}
        _serve(verbose, log_json, listen, own, background=False)


def _serve(
    verbose: bool, log_json: bool, listen: str | None = None, own: Mapping[str, str] = NOTHING, *, background: bool
) -> None:
    """`own`: settings of this controller among several, in place of the file's."""
    # What is imported stays until the end: collecting garbage among it would take a sixth of the start's time now, and
    # hold up the controller for tens of milliseconds again and again.
    gc.disable()
    from vmctl.api.server import serve as serve_api
    from vmctl.cluster.opening import open_controller

    gc.freeze()
    gc.set_threshold(*GARBAGE)
    gc.enable()
    settings = config.load()
    settings = replace(settings, controllers=replace(settings.controllers, **own))
    roles_of(settings.controllers.roles)
    if settings.cache and not settings.database:
        raise errors.Usage(
            "a cache is for several controllers: one that is alone has nobody to tell", hint="no `cache`"
        )
    among = _among(settings.controllers) if settings.database else None
    more = (among.open,) if among is not None else ()
    serve_api(
        lambda folder: open_controller(settings, paths.data_dir(), folder, *more),
        socket_path(),
        lambda: _log_to(verbose, as_json=log_json or settings.log.json, background=background),
        _elsewhere(settings.api, listen),
        among,
    )


def _among(settings: config.ControllerSettings) -> Among:
    """How controllers of the same database reach it. Raises Usage."""
    from vmctl.api.server import Among

    if settings.name and (problem := bad_text(settings.name, MOST_NAME)) is not None:
        raise errors.Usage(f"the controller's name: {problem}", hint="--replica NAME, or name in [controllers]")
    host, port = _place(settings.listen, least=0)
    reached, reached_port = _place(settings.address) if ":" in settings.address else (settings.address, 0)
    return Among(host, port, reached or _reached_by(host), reached_port)


def _reached_by(host: str) -> str:
    """The address that it listens at; of any, the one that this machine sends from by default."""
    if not ipaddress.ip_address(host).is_unspecified:
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(NOWHERE)  # nothing is sent
        return str(probe.getsockname()[0])
    return socket.gethostname()


def _place(where: str, least: int = 1) -> tuple[str, int]:
    host, _, port = where.rpartition(":")
    if not port.isdigit() or not least <= int(port) < 65536 or not host:
        raise errors.Usage(f"{where!r} is not ADDRESS:PORT", hint="for example 0.0.0.0:8006")
    return host.strip("[]"), int(port)


def _elsewhere(settings: config.ApiSettings, listen: str | None) -> Elsewhere | None:
    """How clients from elsewhere reach it, if they do. Raises Usage."""
    from vmctl.api import tls
    from vmctl.api.server import Elsewhere

    where = listen or settings.listen
    if not where:
        return None
    host, port = _place(where)
    own = tls.own(paths.data_dir() / "tls")
    certificate, key = settings.tls_certificate, settings.tls_key
    files = tls.Files(Path(certificate) if certificate else own.certificate, Path(key) if key else own.key)
    return Elsewhere(host, port, files)


def _init_tls(names: tuple[str, ...]) -> None:
    from vmctl.api import tls

    folder = paths.data_dir() / "tls"
    fingerprint = tls.init(folder, names)
    print(f"{folder / 'server.pem'}: for {', '.join(names)}")
    print(f"fingerprint {fingerprint}")
    if (number := running()) is not None:
        os.kill(number, signal.SIGHUP)
    server = f"{names[0]}:8006"
    print(f"clients: vmctl context add work --server {server} --ca {folder / 'ca.pem'}", file=sys.stderr)


def _log_to(verbose: bool, *, as_json: bool, background: bool) -> None:
    """Log to the terminal, or to the file, which is written by whoever holds the lock and by nobody else."""
    import logging

    from vmctl.local.loglines import JsonLines, TextLines
    from vmctl.local.logs import Rotating

    # in the background, what a library or a dying interpreter prints goes to the same bounded file
    to = Rotating(log_path(), outputs=(1, 2)) if background else logging.StreamHandler(sys.stderr)
    to.setFormatter(JsonLines() if as_json else TextLines())
    to.addFilter(lambda record: "/emcache/" not in record.pathname)  # each second of a cache that is away
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[to])
    if Path(SYSLOG).exists():
        from logging.handlers import SysLogHandler

        machines = SysLogHandler(SYSLOG)  # whoever changes the registry does not reach it
        machines.setFormatter(logging.Formatter("vmctl: %(message)s"))
        logging.getLogger("vmctl.audit").addHandler(machines)
    for noisy in ("asyncssh", "alembic", "uvicorn.access", "httpx", "httpcore", "websockets", "numba"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _serve_unseen(verbose: bool, log_json: bool) -> None:
    """Why it could not start is told on standard output, a pipe to the command that started it."""
    report = os.dup(1)
    try:
        _serve(verbose, log_json, background=True)
    except (errors.VmctlError, OSError) as err:
        told = err if isinstance(err, errors.VmctlError) else errors.VmctlError(f"{err.filename}: {err.strerror}")
        os.write(report, json.dumps(errors.error_to_json(told)).encode())
        raise


def running() -> int | None:
    """The process id of this user's controller, if one runs."""
    return lock.holder(paths.lock_path())


def _stop() -> None:
    number = running()
    if number is None:
        print("no controller runs")
        return
    under_way = _open_tasks()
    os.kill(number, signal.SIGTERM)
    for sentence in left_open(under_way):
        print(sentence)
    deadline = time.monotonic() + STOP_LIMIT_S
    while running() == number and time.monotonic() < deadline:
        time.sleep(0.05)
    if running() == number:
        raise errors.VmctlError(f"the controller (process {number}) does not end", hint=f"kill -9 {number}")
    print(f"the controller (process {number}) has ended; hosts and VMs go on")


def left_open(tasks: list[dict[str, Any]]) -> list[str]:
    """What becomes of tasks that are under way: most are taken up again; a live migration is tried once more then."""
    again = [task for task in tasks if task.get("resumes")]
    off = [task for task in tasks if task not in again]
    said = []
    for some, one, more in ((off, "breaks off", "break off"), (again, "goes on", "go on")):
        if some:
            what = ", ".join(f"{task['kind']} {task['subject']} ({task['id']})" for task in some)
            when = " when a controller runs again" if some is again else ""
            said.append(f"{len(some)} task{f' {one}' if len(some) == 1 else f's {more}'}{when}: {what}")
    return said


def _open_tasks() -> list[dict[str, Any]]:
    """What is under way; nothing is known of it where the controller does not answer."""
    try:
        found: list[dict[str, Any]] = Client(autostart=False, patience_s=5.0).ask(ListTasks(500))
    except errors.VmctlError:
        return []
    return [task for task in found if task["state"] in ("queued", "running")]
