"""Where vmctl keeps things: the user's XDG folders."""

from __future__ import annotations

import os
from pathlib import Path


def _xdg(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    return (Path(value) if value.startswith("/") else Path.home() / default) / "vmctl"


def config_dir() -> Path:
    """Settings: ~/.config/vmctl."""
    return _xdg("XDG_CONFIG_HOME", ".config")


def data_dir() -> Path:
    """What must not be lost (registry, SSH key): ~/.local/share/vmctl, mode 0700."""
    return _private(_xdg("XDG_DATA_HOME", ".local/share"))


def state_dir() -> Path:
    """Logs and the lab: ~/.local/state/vmctl."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def cache_dir() -> Path:
    """What can be built again (guest images): ~/.cache/vmctl."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def runtime_dir() -> Path:
    """Sockets of the running controller, mode 0700: they open the hosts' libvirt, which equals root there."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    return _private(Path(base) / "vmctl" if base.startswith("/") else state_dir() / "run")


def lock_path() -> Path:
    """What the one controller of this registry holds."""
    return data_dir() / "controller.lock"


def registry_path() -> Path:
    """The registry, where it is kept in a file."""
    return data_dir() / "registry.db"


def mount_of(path: Path) -> Path:
    """Where the file system of a path is mounted."""
    found = path.absolute()
    while not found.is_mount() and found != found.parent:
        found = found.parent
    return found


def write_whole(file: Path, text: str) -> None:
    """Put a text in a file's place, whole or not at all: on the disk first, then under its name. Mode 0600."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{os.getpid()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(file)


def _private(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o7777 != 0o700:  # looked at first: on a read-only file system it may well be right
        path.chmod(0o700)
    return path


def ssh_key_path() -> Path:
    """The controller's own SSH key (made on first use): the public half is what a host must authorise."""
    return data_dir() / "ssh" / "id_ed25519"
