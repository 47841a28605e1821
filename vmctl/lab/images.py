"""Guest images: built by the recipes in deploy/images, kept in the cache, built again when a recipe, the guest agent
that is in them, or the key changes.

A build happens beside its place and is renamed into it at the end: a killed one leaves nothing half-done there.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vmctl.errors import CommandFailed, NotFound
from vmctl.lab import keys
from vmctl.lab.system import Report, mounts_below, require_programs, require_root, run
from vmctl.local import paths

# They have the agent on their disk, the others in their initramfs.
_DEBIANS = ("debian-12", "debian-login", "debian-web", "debian-peers")
CMDLINES = {
    "tiny": "console=ttyS0 quiet nokaslr mitigations=off",
    **dict.fromkeys(_DEBIANS, "console=ttyS0 quiet nokaslr mitigations=off net.ifnames=0 root=/dev/vda rw"),
}
_DEBIAN_PROGRAMS = {"mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs"}

KEYS_KEPT = 4  # labs with keys of their own, such as the tests', that may be up at once


@dataclass(frozen=True, slots=True)
class Image:
    """What a VM boots from: the disk to copy, and the kernel to start directly."""

    name: str
    disk: Path
    kernel: Path
    initrd: Path
    cmdline: str


def directory() -> Path:
    """The cache of built images."""
    return paths.cache_dir() / "images"


def recipes() -> Path:
    """deploy/images of the checkout this runs from."""
    path = Path(__file__).resolve().parents[2] / "deploy" / "images"
    if not path.is_dir():
        raise NotFound(f"no image recipes at {path}", hint="run the lab from a checkout: pip install -e .")
    return path


def ensure(name: str, report: Report) -> Image:
    """The image of that name, built first if there is none or it is out of date."""
    if name not in CMDLINES:
        raise NotFound(f"no image {name!r}", hint=f"there are: {', '.join(CMDLINES)}")
    require_root(f"image {name}")
    require_programs(_DEBIAN_PROGRAMS if name in _DEBIANS else None)
    kernel = directory() / "kernel"
    _build(kernel, _digest("kernel.sh", "lib.sh"), report, "kernel.sh")
    agent = directory() / "agent"
    _build(agent, _agent_digest(), report, "agent.sh", "build", sys.executable)
    home = directory() / name
    common = ("debian-12.sh", "debian-12") if name in _DEBIANS else ()
    disk, recipe = home / "disk", _digest("lib.sh", *dict.fromkeys((f"{name}.sh", name, *common)))
    with_agent = recipe + _agent_digest()
    _build(disk, with_agent if name in _DEBIANS else recipe, report, f"{name}.sh", "disk", agent)
    boot, key = _boot(home), keys.public_key()
    stamp = recipe if name in _DEBIANS else with_agent
    stamp += (kernel / "release").read_text() + _hash(key.read_bytes())
    _build(boot, stamp, report, f"{name}.sh", "boot", kernel, key, agent)
    _forget_old(home, boot)
    return Image(name, disk / f"{name}.qcow2", kernel / "vmlinuz", boot / "initrd", CMDLINES[name])


def _boot(home: Path) -> Path:
    """The initramfs holds the key that may log in, so each key has its own."""
    return home / f"boot-{_hash(keys.public_key().read_bytes())[:8]}"


def _forget_old(home: Path, boot: Path) -> None:
    others = sorted(home.glob("boot*"), key=lambda path: path.stat().st_mtime)
    for old in [path for path in others if path != boot][:-KEYS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def built() -> list[Image]:
    """What the cache has."""
    kernel = directory() / "kernel" / "vmlinuz"
    homes = [(name, directory() / name) for name in CMDLINES]
    found = [
        Image(name, home / "disk" / f"{name}.qcow2", kernel, _boot(home) / "initrd", CMDLINES[name])
        for name, home in homes
    ]
    return [image for image in found if all(path.exists() for path in (image.disk, image.kernel, image.initrd))]


def _build(place: Path, stamp: str, report: Report, recipe: str, *arguments: str | Path) -> None:
    """Run a recipe into a fresh directory and put that in place, unless what is there has this stamp already."""
    if _is(place, stamp):
        return  # without the lock: nobody waits for another image's build
    with _locked():
        if _is(place, stamp):
            return
        began = time.monotonic()
        fresh = Path(tempfile.mkdtemp(prefix="build.", dir=directory()))
        what = f"image {place.relative_to(directory())}"
        report(f"{what}: building")
        try:
            run(recipes() / recipe, *arguments[:1], fresh, *arguments[1:])
            (fresh / "stamp").write_text(stamp)
        except CommandFailed as err:
            raise CommandFailed(
                f"{what}: {err.message}", hint=f"try {recipes() / recipe} by hand", lines=err.lines
            ) from err
        _put(fresh, place)
        report(f"{what}: built in {time.monotonic() - began:.1f} s")


def _is(place: Path, stamp: str) -> bool:
    return (place / "stamp").exists() and (place / "stamp").read_text() == stamp


def _put(fresh: Path, place: Path) -> None:
    fresh.chmod(0o755)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        place.rename(fresh.with_name(f"{fresh.name}.old"))
    fresh.rename(place)


@contextmanager
def _locked() -> Iterator[None]:
    """One build at a time; what killed ones left is removed."""
    directory().mkdir(parents=True, exist_ok=True)
    with (directory() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        for left in directory().glob("build.*"):
            if not mounts_below(left):  # never through a mount: a build may have had the machine's /dev there
                shutil.rmtree(left, ignore_errors=True)


def _digest(*names: str) -> str:
    """A hash of these recipe files and directories."""
    return _digest_of(path for name in names for path in sorted([recipes() / name, *(recipes() / name).rglob("*")]))


def _agent_digest() -> str:
    """A hash of what the guest agent in the images is made of."""
    agent, parts = recipes().parents[1] / "guest_agent", recipes().parent / "agent"
    recipe = [recipes() / "agent.sh", recipes() / "python-parts.py"]
    return _digest_of([*recipe, *sorted(agent.glob("*.py")), *sorted(parts.rglob("*"))])


def _digest_of(files: Iterable[Path]) -> str:
    """Names, modes and contents."""
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(recipes().parents[1])} {path.stat().st_mode:o}\n".encode())
        if path.is_file():
            total.update(path.read_bytes())
    return total.hexdigest()


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
