"""VMs that somebody else made on a host: adopted, and changed past us."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.lab.pool import Pool, wait_for
from vmctl import lab
from vmctl.lab import images

AT = "/shared/vms"


def parts() -> dict[str, str]:
    """A tiny guest's disk, kernel and initrd on the shared storage, as the hosts see them."""
    image = images.ensure("tiny", lambda _line: None)
    directory = lab.status().shared / "vms"
    directory.mkdir(exist_ok=True)
    found = {}
    for name, path in (("disk", image.disk), ("kernel", image.kernel), ("initrd", image.initrd)):
        place = directory / f"tiny-{name}"
        if not place.exists():
            shutil.copy(path, place)
        found[name] = f"{AT}/{place.name}"
    return found | {"cmdline": image.cmdline}


def disk_of(name: str) -> str:
    """A disk of the VM's own, a copy of the tiny image's."""
    parts()
    directory = lab.status().shared / "vms"
    shutil.copy(directory / "tiny-disk", directory / f"{name}.qcow2")
    return f"{AT}/{name}.qcow2"


def xml(name: str, *, mem_mib: int = 160, os: str = "", devices: str = "", more: str = "", bridge: str = "br0") -> str:
    """A domain as an admin writes it by hand."""
    files = parts()
    number = uuid.uuid5(uuid.NAMESPACE_DNS, name)
    octets = number.hex[:6]
    mac = f"52:54:00:{octets[:2]}:{octets[2:4]}:{octets[4:]}"
    return f"""<domain type='{"kvm" if lab.status().accelerator == "kvm" else "qemu"}'>
  <name>{name}</name><uuid>{number}</uuid><memory unit='MiB'>{mem_mib}</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type>{os}<kernel>{files["kernel"]}</kernel>
    <initrd>{files["initrd"]}</initrd><cmdline>{files["cmdline"]} hostname={name}</cmdline></os>
  <features><acpi/><apic/></features><on_reboot>restart</on_reboot>{more}
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/><source file='{disk_of(name)}'/>
      <target dev='vda' bus='virtio'/></disk>
    <interface type='bridge'><mac address='{mac}'/><source bridge='{bridge}'/><model type='virtio'/>
      <driver name='qemu'/></interface>
    <serial type='pty'><target port='0'/></serial><console type='pty'><target type='serial' port='0'/></console>
    {devices}
  </devices></domain>"""


def give(pool: Pool, host: str, text: str, command: str) -> str:
    """Run a command on a host that finds the text in /tmp/vm.xml."""
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    words = ["ssh", "-i", str(pool.key), *options, f"root@{host}", f"cat > /tmp/vm.xml && {command}; rm -f /tmp/vm.xml"]
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


@contextlib.contextmanager
def adopted(
    pool: Pool, host: str, name: str, text: str, *, transient: bool = False, start: bool = True
) -> Iterator[None]:
    """A VM that somebody else made on a host, known to vmctl; gone from everywhere afterwards."""
    command = (
        "virsh create /tmp/vm.xml" if transient else f"virsh define /tmp/vm.xml{f' && virsh start {name}' * start}"
    )
    try:
        said = give(pool, host, text, command)
        wait_for(lambda: pool("show", name).code == 0, 25, f"{name} is adopted: {said}")
        yield
    finally:
        for each in pool.hosts:
            for verb in (
                "destroy",
                "managedsave-remove",
                "undefine --nvram --snapshots-metadata --managed-save",
                "undefine",
            ):
                pool.virsh(each, verb, name)
        for path in (lab.status().shared / "vms").glob(f"{name}.*"):
            Path(path).unlink()
        wait_for(lambda: pool("show", name).code == 4 or pool.vm(name)["power"] == "stopped", 40, f"{name} is gone")
        pool("delete", "--yes", name)  # a transient one is kept as stopped


def definitions(pool: Pool, name: str) -> list[str]:
    """The hosts that keep a definition of it."""
    return [host for host in pool.hosts if name in pool.virsh(host, "list", "--all", "--persistent", "--name").split()]
