"""A VM's specification as the XML that starts it on a host. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from xml.etree import ElementTree as ET

from vmctl.formats import specjson
from vmctl.hosts.domainxml.tree import NAMESPACE, QEMU, parse, text, write
from vmctl.model.vms import Disk, Spec

AGENT_PORT = "org.vmctl.agent.0"
ODD_KIB = 8  # what memory of whole MiB lacks where it must not be a multiple of 256 KiB; QEMU rounds to this


class Source(NamedTuple):
    """How a disk is named to QEMU: libvirt's type of disk, and what its source element says."""

    type: str
    where: Mapping[str, str]


def in_file(disk: Disk) -> Source:
    """A disk that is a file, as on a directory."""
    return Source("file", {"file": disk.path})


@dataclass(frozen=True, slots=True)
class Site:
    """What the host and the storage add to a specification."""

    accel: str  # "kvm" or "qemu" (emulated)
    lockspace: str = ""  # the lock manager's directory on shared storage; empty: no per-VM lease
    source: Callable[[Disk], Source] = in_file  # by the kind of the storage


def build(spec: Spec, site: Site) -> str:
    """The domain's XML for createXML on one host."""
    domain = ET.Element("domain", type=site.accel)
    text(domain, "name", spec.name)
    text(domain, "uuid", spec.uuid)
    meta = ET.SubElement(domain, "metadata")
    text(meta, f"{{{NAMESPACE}}}spec", specjson.dump(spec))
    text(domain, "memory", str(spec.mem_mib), unit="MiB")
    text(domain, "vcpu", str(spec.cpus))
    _os(domain, spec)
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    _cpu(domain, spec)
    ET.SubElement(domain, "clock", offset="utc")
    # A guest that powers off or crashes is gone from its host: the registry, not the host, knows what should be.
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        text(domain, event, action)
    _devices(domain, spec, site)
    if site.accel == "qemu":
        _odd_memory(domain, spec)
    return write(domain)


def _odd_memory(domain: ET.Element, spec: Spec) -> None:
    """Memory that is no multiple of 256 KiB, so that an emulated guest outlives a live migration.

    A multiple of that is looked through for written pages 64 at a time, and QEMU before 9.0 then forgets to tell its
    emulated CPU that they count as unwritten: what the guest writes there afterwards is not noticed and not sent. On
    the target the guest stands still, or reads what is old (mended by QEMU's commit 03bfc2188f07, "Fix migration
    dirty bitmap coherency with TCG memory access"). Any other size is looked through page by page, which is right.
    libvirt rounds to MiB, so QEMU is told past it; the memory that libvirt names lies unused. KVM notices writes by
    itself, and its guests keep what libvirt says.
    """
    size = f"{spec.mem_mib * 1024 - ODD_KIB}k"
    backend = f"memory-backend-ram,id=odd,size={size}"
    words = ("-m", f"size={size}", "-object", backend, "-machine", "memory-backend=odd")
    line = ET.SubElement(domain, f"{{{QEMU}}}commandline")
    for word in words:
        ET.SubElement(line, f"{{{QEMU}}}arg", value=word)


def _os(domain: ET.Element, spec: Spec) -> None:
    os = ET.SubElement(domain, "os")
    kind = text(os, "type", "hvm", arch="x86_64")
    if spec.machine:
        kind.set("machine", spec.machine)
    if spec.boot.kernel:
        text(os, "kernel", spec.boot.kernel)
        if spec.boot.initrd:
            text(os, "initrd", spec.boot.initrd)
        text(os, "cmdline", spec.boot.cmdline)
    else:
        ET.SubElement(os, "boot", dev="hd")


def _cpu(domain: ET.Element, spec: Spec) -> None:
    if spec.cpu == "host":
        ET.SubElement(domain, "cpu", mode="host-model")
    elif spec.cpu_xml:
        domain.append(parse(spec.cpu_xml))


def _devices(domain: ET.Element, spec: Spec, site: Site) -> None:
    devices = ET.SubElement(domain, "devices")
    for disk in spec.disks:
        source = site.source(disk)
        node = ET.SubElement(devices, "disk", type=source.type, device="disk")
        # cache none: with a host's page cache in between, the target of a migration could read stale blocks
        ET.SubElement(node, "driver", name="qemu", type=disk.format, cache="none", discard="unmap")
        ET.SubElement(node, "source", dict(source.where))
        ET.SubElement(node, "target", dev=disk.target, bus="virtio")
    if site.lockspace:
        directory, _, lockspace = site.lockspace.rstrip("/").rpartition("/")
        lease = ET.SubElement(devices, "lease")
        text(lease, "lockspace", lockspace)
        text(lease, "key", spec.uuid)
        ET.SubElement(lease, "target", path=directory or "/")
    if spec.mac:
        net = ET.SubElement(devices, "interface", type="bridge")
        ET.SubElement(net, "mac", address=spec.mac)
        ET.SubElement(net, "source", bridge=spec.bridge)
        ET.SubElement(net, "model", type="virtio")
        if site.accel == "qemu":
            ET.SubElement(net, "driver", name="qemu")  # an emulating host seldom has vhost-net
    _serial(devices, spec)
    ET.SubElement(devices, "memballoon", model="none")
    rng = ET.SubElement(devices, "rng", model="virtio")
    text(rng, "backend", "/dev/urandom", model="random")


def _serial(devices: ET.Element, spec: Spec) -> None:
    serial = ET.SubElement(devices, "serial", type="pty")
    ET.SubElement(serial, "target", type="isa-serial", port="0")
    console = ET.SubElement(devices, "console", type="pty")
    ET.SubElement(console, "target", type="serial", port="0")
    if spec.agent_port == "virtio":
        channel = ET.SubElement(devices, "channel", type="unix")
        ET.SubElement(channel, "target", type="virtio", name=AGENT_PORT)
    else:
        second = ET.SubElement(devices, "serial", type="unix")
        # libvirt makes no path of its own for this kind; the directory is QEMU's and private to each host
        ET.SubElement(second, "source", mode="bind", path=isa_socket(spec.uuid))
        ET.SubElement(second, "target", type="isa-serial", port="1")


def isa_socket(uuid: str) -> str:
    """The path that we give a VM's agent port where it is an ISA one."""
    return f"/var/lib/libvirt/qemu/{uuid}-agent.sock"
