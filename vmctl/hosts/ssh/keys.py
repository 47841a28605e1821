"""Our own SSH key, and the keys that hosts show."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from vmctl.errors import NotAllowed, Unreachable, Usage
from vmctl.hosts.ssh.quoting import network_error

HOST_KEY_ALGORITHMS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
RSA_ALGORITHMS = ("rsa-sha2-512", "rsa-sha2-256")  # one key type, two signatures; SHA-1 is not among them


@dataclass(frozen=True, slots=True)
class HostKey:
    """What a host shows of itself: `public` as in known_hosts, `fingerprint` as ssh-keygen -l prints it."""

    public: str
    fingerprint: str


def ensure_key(path: Path) -> str:
    """The public line of our own key; the key (ed25519, mode 0600, no passphrase) is made when missing.

    Raises NotAllowed for a file that holds no whole key: hosts may know the one that it held, so none is made in its
    place.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = asyncssh.generate_private_key("ssh-ed25519", comment=f"vmctl@{socket.gethostname()}")
        _keep(path, key.export_private_key())
    try:
        own = import_private(path)
    except NotAllowed as err:
        raise _no_key(path) or err from err
    public = own.export_public_key().decode().strip()
    beside = path.with_name(path.name + ".pub")
    if not beside.exists() or beside.read_text() != public + "\n":
        beside.write_text(public + "\n")
    return public


def _keep(path: Path, private: bytes) -> None:
    """Write a new key so that a power cut leaves all of it or nothing: on the disk first, then under its name."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(private)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process made one meanwhile: theirs counts
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _no_key(path: Path) -> NotAllowed | None:
    """What to say of a file that holds no key, or a part of one; None if it cannot be read, or may hold a whole one."""
    try:
        held = path.read_bytes()
    except OSError:
        return None
    if held.startswith(b"-----BEGIN ") and b"-----END " in held:
        return None
    what = "is empty" if not held.strip(b"\0 \n") else "holds no whole key"
    message = (
        f"the SSH key {path} {what}, as after a power cut: put it back, or make a new one and authorise it on hosts"
    )
    return NotAllowed(message, hint=f"mv {path} {path}.broken")


async def read_host_key(address: str, port: int, timeout_s: float) -> HostKey:
    """The key a host shows now; nothing is authenticated and no name is sent. Raises `Unreachable`."""
    try:
        async with asyncio.timeout(timeout_s):
            key = await asyncssh.get_server_host_key(
                address, port, config=None, server_host_key_algs=[*HOST_KEY_ALGORITHMS, *RSA_ALGORITHMS]
            )
    except (OSError, asyncssh.Error) as err:
        raise unreachable(f"{address} port {port}", err, timeout_s, address, port) from err
    if key is None:
        raise Unreachable(f"{address} port {port} shows no host key", hint="is sshd what listens there?")
    return shown_key(key)


def unreachable(name: str, err: Exception, limit_s: float, address: str, port: int) -> Unreachable:
    """The error for an address that could not be spoken to."""
    timed_out = isinstance(err, TimeoutError) and not err.errno
    cause = f"no answer within {limit_s:g} s" if timed_out else network_error(err, address)
    return Unreachable(f"{name} cannot be reached: {cause}", hint=f"does `ssh -p {port} {address}` get through?")


def shown_key(key: asyncssh.SSHKey) -> HostKey:
    """A key without its comment."""
    public = " ".join(key.export_public_key().decode().split()[:2])
    return HostKey(public, key.get_fingerprint())


def algorithms(key: asyncssh.SSHKey) -> list[str]:
    """The signatures to ask for: those of the pinned key's kind, so that the host shows that one of its keys."""
    name = key.get_algorithm()
    return list(RSA_ALGORITHMS) if name == "ssh-rsa" else [name]


def import_pinned(name: str, public: str) -> asyncssh.SSHKey:
    """The key pinned for the host `name`. Raises `Usage` for what is none, or of a kind no longer trusted."""
    hint = f"vmctl host remove {name}, then vmctl host add again"
    try:
        key = asyncssh.import_public_key(public)
    except asyncssh.KeyImportError as err:
        raise Usage(f"{name}: the pinned host key cannot be read: {err}", hint=hint) from err
    if key.get_algorithm() not in (*HOST_KEY_ALGORITHMS, "ssh-rsa"):
        raise Usage(f"{name}: host keys of type {key.get_algorithm()} are not accepted", hint=hint)
    return key


def import_private(path: Path) -> asyncssh.SSHKey:
    """A key of ours. Raises `NotAllowed` when it cannot be used: unreadable, or behind a passphrase."""
    try:
        return asyncssh.read_private_key(path)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, OSError) as err:
        raise NotAllowed(f"the SSH key {path} cannot be used: {err}") from err
