"""SSH keys: the controller's own, and each host's. A host keeps its key over `lab down`: it was not reinstalled."""

from __future__ import annotations

import shutil
from pathlib import Path

from vmctl.lab.names import Host
from vmctl.lab.system import run
from vmctl.local import paths


def _make(path: Path, comment: str) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.with_suffix(".pub").unlink(missing_ok=True)
        half = path.with_suffix(".new")
        half.unlink(missing_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", half)
        half.with_suffix(".new.pub").rename(path.with_suffix(".pub"))
        half.rename(path)


def public_key() -> Path:
    """The public half of the controller's key, which is made if there is none yet."""
    path = paths.ssh_key_path()
    _make(path, "vmctl")
    return path.with_suffix(".pub")


def authorise(directory: Path) -> None:
    """Let the controller in: write the directory that becomes /root/.ssh."""
    directory.mkdir(mode=0o700, exist_ok=True)
    (directory / "authorized_keys").write_text(public_key().read_text())
    (directory / "authorized_keys").chmod(0o600)


def put_host_key(host: Host, directory: Path) -> None:
    """Put the host's own key into what becomes its /etc/ssh."""
    kept = host.lab.kept / f"{host.short}_ed25519_key"
    _make(kept, f"root@{host.name}")
    shutil.copy(kept, directory / "ssh_host_ed25519_key")
    shutil.copy(kept.with_suffix(".pub"), directory / "ssh_host_ed25519_key.pub")
