"""This machine's controller: what it works on is opened here, and given to it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vmctl import __version__
from vmctl.cluster.controller import Controller
from vmctl.cluster.member import Member
from vmctl.errors import Usage
from vmctl.hosts.ssh import ensure_key
from vmctl.local import config, lock, paths
from vmctl.local.home import boot_id, home_of
from vmctl.model.replicas import Replica, roles_of
from vmctl.ports import SYSTEM
from vmctl.services import Services
from vmctl.services.clock import RegistryClock
from vmctl.services.sessions import Sessions
from vmctl.store.opening import open_store
from vmctl.store.schema import newest

USER_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")


def _alone(_runtime: Path) -> tuple[str, str]:
    return "", ""


def open_controller(
    settings: config.Settings, data: Path, runtime: Path, place: Callable[[Path], tuple[str, str]] = _alone
) -> Controller:
    """A controller of the registry in `data`, or of the database that is set; its sockets go below `runtime`. Blocking.

    `place`, which is asked once the lock is held, gives where other controllers reach it, and the certificate by which
    they know it. Raises AlreadyRuns, RegistryUnusable.
    """
    held = lock.take(data / "controller.lock")
    store = open_store(settings.database, data / "registry.db")
    key = paths.ssh_key_path()
    ensure_key(key)
    keys = (key, *(Path.home() / ".ssh" / name for name in USER_KEYS))
    for directory in (runtime / "hosts", runtime / "hosts" / "joining"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    clock = RegistryClock(SYSTEM.clock)
    services = Services(store, settings, runtime / "hosts", keys, parts=replace(SYSTEM, clock=clock))
    life, now, home = services.ids.uuid(), services.clock.now(), home_of(data, services.ids.uuid)
    name = settings.controllers.name or socket.gethostname()
    address, certificate = place(runtime)
    own = Replica(
        *(life, name, home, __version__, now),
        beat_at=now,
        address=address,
        certificate=certificate,
        roles=roles_of(settings.controllers.roles),
        tables=newest(),
        boot_id=boot_id(),
    )
    if not (store.shared or own.naming):
        raise Usage("one that is alone must be naming", hint="set `database` in vmctl.toml, or leave `roles` away")
    services.sessions = Sessions(store, life, services.clock)
    services.incarnations.keeper = life if store.shared else ""
    member = Member(store, own, services.parts)
    member.told_time = clock.hear
    return Controller(services, lambda: os.close(held), member)
