"""From an address to a connection that may be trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from vmctl.errors import HostError, HostKeyChanged, NotAllowed, Unreachable
from vmctl.hosts.ssh.coalesce import Dialer
from vmctl.hosts.ssh.keys import HostKey, algorithms, import_private, read_host_key, shown_key, unreachable
from vmctl.hosts.ssh.quoting import plain
from vmctl.local.config import Timeouts

CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a host is, who we are there, and the public key it must show."""

    name: str
    address: str
    port: int = 22
    user: str = "root"
    host_key: str = ""


class Owner(asyncssh.SSHClient):
    """What asyncssh tells about one connection: that it was made, the key it showed, and its end."""

    def __init__(self) -> None:
        self.made = False
        self.shown: asyncssh.SSHKey | None = None
        self.lost = asyncio.Event()
        self.why = ""
        self.at_end: list[Callable[[], None]] = []

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Something listens there; nothing is known of it yet."""
        self.made = True

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Asked only about keys other than the pinned one: never."""
        self.shown = key
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over: tell those who wait, remove what it left here."""
        self.why = plain(str(exc)) if exc else "closed"
        self.lost.set()
        for action in self.at_end:
            action()


async def login(
    target: Target, pinned: asyncssh.SSHKey, keys: Sequence[Path], timeouts: Timeouts
) -> tuple[asyncssh.SSHClientConnection, Owner]:
    """Connect, check the host's key, authenticate. Raises `Unreachable`, `NotAllowed` or `HostKeyChanged`."""
    owner = Owner()
    try:
        async with asyncio.timeout(timeouts.ssh_connect_s):
            return await asyncssh.connect(
                **_options(target, pinned, keys, timeouts), client_factory=lambda: owner
            ), owner
    except asyncssh.PermissionDenied as err:
        raise _not_allowed(target, keys) from err
    except asyncssh.HostKeyNotVerifiable as err:
        raise _key_changed(target, pinned, shown_key(owner.shown) if owner.shown else None) from err
    except (OSError, asyncssh.Error) as err:
        raise await _why(target, pinned, owner, err, timeouts.ssh_connect_s) from err


def _options(target: Target, pinned: asyncssh.SSHKey, keys: Sequence[Path], timeouts: Timeouts) -> dict[str, Any]:
    return {
        "host": target.address,
        "port": target.port,
        "tunnel": Dialer(),
        "username": target.user,
        "config": None,  # not ~/.ssh/config: the same everywhere, for everybody
        "known_hosts": ([pinned], [], []),
        "server_host_key_algs": algorithms(pinned),
        "client_keys": [import_private(path) for path in keys if path.exists()] or None,
        "preferred_auth": "publickey",
        "agent_path": None,
        "agent_forwarding": False,
        "x11_forwarding": False,
        "gss_kex": False,
        "gss_auth": False,
        "encryption_algs": list(CIPHERS),
        "compression_algs": None,
        "connect_timeout": timeouts.ssh_connect_s,
        "login_timeout": timeouts.ssh_connect_s,
        "keepalive_interval": timeouts.ssh_keepalive_s,
        "keepalive_count_max": timeouts.ssh_keepalive_count,
    }


def _not_allowed(target: Target, keys: Sequence[Path]) -> NotAllowed:
    port = f"-p {target.port} " if target.port != 22 else ""
    shown = f"-i {keys[0]}.pub " if keys else ""
    return NotAllowed(
        f"{target.name} does not let us log in as {target.user} at {target.address} with our key",
        hint=f"ssh-copy-id {port}{shown}{target.user}@{target.address}",
    )


def _key_changed(target: Target, pinned: asyncssh.SSHKey, shown: HostKey | None) -> HostKeyChanged:
    before, now = pinned.get_fingerprint(), shown.fingerprint if shown else "a key we cannot read"
    return HostKeyChanged(
        f"{target.name} shows another SSH key than the pinned one: pinned {before}, shown {now}; nothing was sent",
        hint=f"if you reinstalled it: vmctl host remove {target.name}, then vmctl host add again",
        lines=(f"pinned {before}", f"shown  {now}"),
    )


async def _why(target: Target, pinned: asyncssh.SSHKey, owner: Owner, err: Exception, limit_s: float) -> HostError:
    """The error for a failed connection.

    A host without a key of the pinned kind ends the key exchange (or just the connection, whichever end is quicker):
    then the key that it does have is the cause to name.
    """
    plainly = unreachable(target.name, err, limit_s, target.address, target.port)
    if not owner.made or isinstance(err, TimeoutError):
        return plainly
    try:
        shown = await read_host_key(target.address, target.port, limit_s)
    except Unreachable:
        return plainly
    return plainly if shown.fingerprint == pinned.get_fingerprint() else _key_changed(target, pinned, shown)
