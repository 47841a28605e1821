"""What a domain is made of, what it needs of its host, and what keeps it there. Pure.

What may be moved is a list of what is known to move (`DEVICES`, `NETS`, `CHARACTERS`); whatever is not on it is named
as a reason to stay.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

# Devices that go along, and what libvirt adds by itself to every domain (those with True): their number says nothing.
DEVICES = {
    "emulator": True, "controller": True, "input": True, "memballoon": True, "rng": True, "audio": True,
    "console": True, "serial": True, "hub": True, "video": True, "watchdog": True, "panic": True,
    "disk": False, "interface": False, "graphics": False, "sound": False, "lease": False, "iommu": False,
    "vsock": False, "channel": False, "parallel": False, "redirdev": False, "smartcard": False, "memory": False,
    "tpm": False, "crypto": False,
}  # fmt: skip
NETS = ("bridge", "network", "user")
CHARACTERS = ("pty", "unix", "null", "vc", "file", "tcp", "udp", "spicevmc", "spiceport", "qemu-vdagent", "dbus")
CHARACTER_DEVICES = ("serial", "parallel", "console", "channel", "redirdev", "smartcard")
STUCK_NETS = {
    "hostdev": "a network card of the host is passed through (SR-IOV)",
    "direct": "its network card is on the host's {source} (macvtap)",
    "vhostuser": "its network card is a socket of the host's (vhost-user)",
}
STUCK_DEVICES = {
    "hostdev": "a host device is passed through",
    "filesystem": "a host directory is shared with the guest",
    "shmem": "it shares memory with programs of the host (shmem)",
}
STUCK_DISKS = {
    "nvme": "its disk {target} is an NVMe device of the host",
    "vhostuser": "its disk {target} is a socket of the host's (vhost-user)",
    "vhostvdpa": "its disk {target} is a device of the host (vDPA)",
    "dir": "its disk {target} is a directory of the host",
}


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk as the guest sees it, where its bytes lie, and the files below it."""

    target: str
    device: str  # disk, cdrom, floppy, lun
    kind: str  # file, block, network, volume, nvme, ...
    path: str  # a path; POOL/VOLUME for a volume; the name for a network disk; empty: no medium
    below: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Net:
    """One network card: its address, its kind, and the bridge, network or device that it is on."""

    mac: str
    kind: str
    source: str


@dataclass(frozen=True, slots=True)
class Definition:
    """What a domain's XML says of it. Memory in MiB."""

    name: str = ""
    cpus: int = 1
    mem_mib: int = 0
    disks: tuple[Disk, ...] = ()
    nets: tuple[Net, ...] = ()
    others: tuple[tuple[str, int], ...] = ()  # further kinds of devices, and how many of each
    machine: str = ""
    accel: str = ""
    files: tuple[str, ...] = ()  # that a start reads, besides the disks: firmware, kernel, initrd
    nvram: str = ""
    tpm: bool = False  # an emulated one, whose state lies on its host
    tpm_lasts: bool = False  # libvirt keeps that state also when a transient domain ends
    top_cpu: int = -1  # the highest CPU of the host that something of it is pinned to
    stuck: tuple[str, ...] = ()  # what keeps it where it is, in words
    stuck_live: tuple[str, ...] = ()  # what keeps it from migrating live, and from nothing else

    @property
    def bridges(self) -> tuple[str, ...]:
        """The bridges that its host must have."""
        return tuple(dict.fromkeys(net.source for net in self.nets if net.kind == "bridge" and net.source))

    @property
    def networks(self) -> tuple[str, ...]:
        """libvirt's networks that its host must have."""
        return tuple(dict.fromkeys(net.source for net in self.nets if net.kind == "network"))

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file that a start opens, the whole backing chain of each disk among them."""
        own = [disk.path for disk in self.disks if disk.kind == "file" and disk.path]
        below = [path for disk in self.disks for path in disk.below]
        return tuple(dict.fromkeys((*own, *below, *self.files)))


def define(domain: ET.Element) -> Definition:
    """Read a domain."""
    devices = domain.find("devices")
    parts = list(devices) if devices is not None else []
    kinds = Counter(part.tag for part in parts)
    nvram = domain.find("os/nvram")
    return Definition(
        name=domain.findtext("name", ""),
        cpus=int(domain.findtext("vcpu", "1")),
        mem_mib=_memory_mib(domain.find("memory")),
        disks=tuple(_disk(part) for part in parts if part.tag == "disk"),
        nets=tuple(_net(part) for part in parts if part.tag == "interface"),
        others=tuple(
            sorted(
                (kind, n) for kind, n in kinds.items() if not DEVICES.get(kind) and kind not in ("disk", "interface")
            )
        ),
        machine=attribute(domain, "os/type", "machine"),
        accel=domain.get("type", ""),
        files=tuple(
            text for tag in ("loader", "kernel", "initrd", "dtb") if (text := domain.findtext(f"os/{tag}", "").strip())
        ),
        nvram=(nvram.text or attribute(nvram, "source", "file")).strip() if nvram is not None else "",
        tpm=domain.find("devices/tpm/backend[@type='emulator']") is not None,
        tpm_lasts=attribute(domain, "devices/tpm/backend", "persistent_state") == "yes",
        top_cpu=_top_cpu(domain),
        stuck=tuple(dict.fromkeys(_stuck(domain, parts))),
        stuck_live=tuple(_stuck_live(domain)),
    )


def attribute(node: ET.Element, path: str, name: str) -> str:
    """An attribute of the first element at a path; empty where there is none."""
    found = node.find(path)
    return found.get(name, "") if found is not None else ""


def _memory_mib(memory: ET.Element | None) -> int:
    units = {"b": 1 / (1 << 20), "KiB": 1 / 1024, "MiB": 1, "GiB": 1024, "TiB": 1 << 20}
    return int(int(memory.text or 0) * units.get(memory.get("unit", "KiB"), 1 / 1024)) if memory is not None else 0


def _disk(node: ET.Element) -> Disk:
    source = node.find("source")
    chain = [_where(part) for part in node.iterfind(".//backingStore/source")]
    target = attribute(node, "target", "dev")
    return Disk(
        target, node.get("device", "disk"), node.get("type", "file"), _where(source), tuple(filter(None, chain))
    )


def _where(source: ET.Element | None) -> str:
    if source is None:
        return ""
    if source.get("pool"):
        return f"{source.get('pool')}/{source.get('volume', '')}"
    path = source.get("file") or source.get("dev") or source.get("name") or ""
    return posixpath.normpath(path) if path.startswith("/") else path


def _net(node: ET.Element) -> Net:
    source = node.find("source")
    found = {} if source is None else source.attrib
    kind = node.get("type", "")
    return Net(attribute(node, "mac", "address"), kind, found.get(kind) or found.get("dev") or found.get("path") or "")


def _top_cpu(domain: ET.Element) -> int:
    texts = [
        pin.get("cpuset", "")
        for tag in ("vcpupin", "emulatorpin", "iothreadpin")
        for pin in domain.iterfind(f"cputune/{tag}")
    ]
    texts.append(attribute(domain, ".", "cpuset") or attribute(domain, "vcpu", "cpuset"))
    return max((int(number) for text in texts for number in re.findall(r"\d{1,5}", text)), default=-1)


def _stuck(domain: ET.Element, parts: list[ET.Element]) -> Iterator[str]:
    if (security := domain.find("launchSecurity")) is not None:
        yield f"its memory is encrypted by this host's CPU ({security.get('type', 'launchSecurity')})"
    for part in parts:
        if part.tag in STUCK_DEVICES:
            yield STUCK_DEVICES[part.tag]
        elif part.tag not in DEVICES:
            yield f"it has a device that is not known to move: {part.tag}"
        elif part.tag == "interface":
            yield from _stuck_net(_net(part))
        elif part.tag == "disk" and part.get("type", "file") in STUCK_DISKS:
            yield STUCK_DISKS[part.get("type", "")].format(target=attribute(part, "target", "dev"))
        elif part.tag in CHARACTER_DEVICES and part.get("type", "pty") not in CHARACTERS:
            where = attribute(part, "source", "path")
            yield f"its {part.tag} port is the host's {where or part.get('type')}"
        elif part.tag == "tpm" and attribute(part, "backend", "type") != "emulator":
            yield "the host's TPM is passed through"
        elif part.tag == "memory" and part.get("model") in ("nvdimm", "virtio-pmem"):
            yield f"its memory is a file of the host ({part.get('model')})"
        elif part.tag == "rng" and attribute(part, "backend", "model") == "egd":
            yield "its random numbers come from a program of the host (egd)"


def _stuck_live(domain: ET.Element) -> Iterator[str]:
    if attribute(domain, "cpu", "mode") == "host-passthrough":
        yield "its CPU is host-passthrough"
    for disk in domain.iterfind("devices/disk"):
        if (job := disk.find("mirror")) is not None:
            target, kind = attribute(disk, "target", "dev"), job.get("job", "copy")
            yield f"a block job ({kind}) runs on its disk {target}: virsh blockjob {domain.findtext('name')} {target}"


def _stuck_net(net: Net) -> Iterator[str]:
    if net.kind not in NETS:
        yield STUCK_NETS.get(net.kind, f"its network card is of a kind that is not known to move: {net.kind}").format(
            source=net.source
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """In one thing a domain is not what it should be: both values in words, and the command that settles it."""

    what: str
    mend: str  # while it runs, on its host
    loses: bool = True  # what runs has something that a start as written down would not have
    mend_off: str = ""  # once it is off, on any host with its storage; empty: a start as written down loses no data


def differences(should: Definition, shown: Definition) -> list[Difference]:
    """In what a domain that runs is not as it was written down; a start as written down would lose it."""
    name = should.name
    found = []
    if shown.name != should.name:
        mend = f"virsh domrename {shown.name} {name}"
        found.append(Difference(f"its name is {shown.name} there, {should.name} here", mend, False))
    if shown.cpus != should.cpus:
        mend = f"virsh setvcpus {name} {should.cpus} --live"
        found.append(Difference(f"it has {shown.cpus} vCPUs, {should.cpus} are written down", mend, False))
    if shown.mem_mib != should.mem_mib:
        mend = f"virsh dumpxml {name}, and virsh detach-device"
        what = f"it has {shown.mem_mib} MiB of memory, {should.mem_mib} are written down"
        found.append(Difference(what, mend, False))
    found += _disk_differences(name, {d.target: d for d in should.disks}, {d.target: d for d in shown.disks})
    found += _net_differences(name, {n.mac: n for n in should.nets}, {n.mac: n for n in shown.nets})
    there, here = dict(shown.others), dict(should.others)
    for kind in sorted(there.keys() | here.keys()):
        if (a := there.get(kind, 0)) != (b := here.get(kind, 0)):
            mend = f"virsh dumpxml {name}, and virsh {'detach' if a > b else 'attach'}-device"
            found.append(Difference(f"it has {a} {kind} device{'s' * (a != 1)}, {b} written down", mend, a > b))
    return found


def _disk_differences(name: str, should: dict[str, Disk], shown: dict[str, Disk]) -> list[Difference]:
    found = []
    for target in sorted(should.keys() | shown.keys()):
        a, b = shown.get(target), should.get(target)
        if a is not None and b is not None and a.path != b.path:
            # The base is named: without it, virsh commits down to the image that other VMs are built on.
            commit = f"virsh blockcommit {name} {target} --base {b.path} --active --pivot --wait"
            swap = f"virsh change-media {name} {target} --eject" if a.device != "disk" else f"virsh domblklist {name}"
            what = f"disk {target} is {a.path or 'empty'}, {b.path or 'nothing'} is written down"
            found.append(Difference(what, commit if b.path in a.below else swap, mend_off=_mend_off(a, b)))
        elif b is None and a is not None:
            found.append(
                Difference(f"disk {target} ({a.path}) is not written down", f"virsh detach-disk {name} {target}")
            )
        elif a is None and b is not None:
            mend = f"virsh attach-disk {name} {b.path} {target} --subdriver qcow2"
            found.append(Difference(f"disk {target} ({b.path}) is written down, and not there", mend, False))
    return found


def _mend_off(shown: Disk, should: Disk) -> str:
    """How what is in a disk that took another's place gets into that one, once nobody uses either."""
    if shown.device != "disk" or shown.kind != "file" or not shown.path or not should.path:
        return ""
    if should.path in shown.below:
        return f"qemu-img commit -b {should.path} {shown.path}"
    return f"cp {should.path} {should.path}.old && qemu-img convert -O qcow2 {shown.path} {should.path}"


def _net_differences(name: str, should: dict[str, Net], shown: dict[str, Net]) -> list[Difference]:
    found = []
    for mac in sorted(should.keys() | shown.keys()):
        a, b = shown.get(mac), should.get(mac)
        if a is None or b is None or (a.kind, a.source) != (b.kind, b.source):
            what = f"network card {mac} is {_net_words(a)}, {_net_words(b)} is written down"
            verb = "attach" if a is None else "detach" if b is None else "update"
            found.append(Difference(what, f"virsh dumpxml {name}, and virsh {verb}-device", a is not None))
    return found


def _net_words(net: Net | None) -> str:
    return "nothing" if net is None else f"on {net.kind} {net.source}"
