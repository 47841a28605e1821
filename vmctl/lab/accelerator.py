"""KVM or emulation: believed only after a guest has run. /dev/kvm may start a firmware and hang every kernel."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from vmctl.lab.images import Image
from vmctl.lab.names import Lab
from vmctl.local import paths

LIMIT_S = 6.0


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What guests run on, and how that is known."""

    kvm: bool
    reason: str
    boot_id: str

    @property
    def name(self) -> str:
        return "kvm" if self.kvm else "tcg"


def known() -> Accelerator | None:
    """What was found since the machine booted."""
    try:
        found = Accelerator(**json.loads(_cache().read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return found if found.boot_id == _boot_id() else None


def probe(lab: Lab, image: Image) -> Accelerator:
    """Boot a tiny guest under KVM, with a time limit. The answer is kept until the machine boots again."""
    if not Path("/dev/kvm").exists():
        found = Accelerator(False, "no /dev/kvm on this machine", _boot_id())
    else:
        found = Accelerator(*_try(lab, image), _boot_id())
    _cache().parent.mkdir(parents=True, exist_ok=True)
    _cache().write_text(json.dumps(asdict(found)))
    return found


def _try(lab: Lab, image: Image) -> tuple[bool, str]:
    command = ["qemu-system-x86_64", "-accel", "kvm", "-m", "192", "-nodefaults", "-no-reboot", "-display", "none"]
    command += ["-serial", "stdio", "-kernel", str(image.kernel), "-initrd", str(image.initrd)]
    command += ["-append", f"{image.cmdline} vmctl.probe"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S, env=lab.environment, text=True
        )
    except subprocess.TimeoutExpired:
        return False, f"a guest under /dev/kvm did not reach userspace within {LIMIT_S:.0f} s"
    if "reached userspace" in done.stdout:
        return True, "a guest under /dev/kvm reached userspace"
    return False, f"QEMU with /dev/kvm failed: {(done.stderr.strip().splitlines() or ['no word'])[-1]}"


def _cache() -> Path:
    return paths.cache_dir() / "accelerator.json"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
