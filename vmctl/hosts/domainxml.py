"""A VM's specification as libvirt's domain XML, and back. Pure.

Built as a tree by the standard library, never by pasting strings: no value can break out of its place. The whole
specification is kept in the domain's own metadata, so that a lost registry can be read back from the hosts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from vmctl import specjson
from vmctl.errors import VmctlError
from vmctl.hosts.definition import Definition, attribute, define
from vmctl.model import Spec

NAMESPACE = "urn:vmctl:vm:1"
AGENT_PORT = "org.vmctl.agent.0"
CPU_MODEL = re.compile(r"<model[^>]*>([^<]+)</model>")
KIB = re.compile(r"\d{1,15}")
ET.register_namespace("vmctl", NAMESPACE)


@dataclass(frozen=True, slots=True)
class Site:
    """What the host and the storage add to a specification."""

    accel: str  # "kvm" or "qemu" (emulated)
    lockspace: str = ""  # the lock manager's directory on shared storage; empty: no per-VM lease


@dataclass(frozen=True, slots=True)
class Seen:
    """What a domain's live XML says."""

    uuid: str
    name: str
    cpus: int
    mem_mib: int
    spec: Spec | None = None  # present when vmctl made the domain
    accel: str = ""
    machine: str = ""
    disks: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
    bridge: str = ""  # that its first network device is on
    agent_socket: str = ""
    lease: bool = False
    unmovable: tuple[str, ...] = ()  # devices and settings that keep it from migrating live, in words
    definition: Definition = field(default_factory=Definition)


def build(spec: Spec, site: Site) -> str:
    """The domain's XML for createXML on one host."""
    domain = ET.Element("domain", type=site.accel)
    _text(domain, "name", spec.name)
    _text(domain, "uuid", spec.uuid)
    meta = ET.SubElement(domain, "metadata")
    _text(meta, f"{{{NAMESPACE}}}spec", specjson.dump(spec))
    _text(domain, "memory", str(spec.mem_mib), unit="MiB")
    _text(domain, "vcpu", str(spec.cpus))
    _os(domain, spec)
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    _cpu(domain, spec)
    ET.SubElement(domain, "clock", offset="utc")
    # A guest that powers off or crashes is gone from its host: the registry, not the host, knows what should be.
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        _text(domain, event, action)
    _devices(domain, spec, site)
    return _write(domain)


def _write(node: ET.Element) -> str:
    # A bare carriage return in text would be read back as a line feed.
    return ET.tostring(node, encoding="unicode").replace("\r", "&#13;")


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, tag, attributes)
    child.text = text
    return child


def _os(domain: ET.Element, spec: Spec) -> None:
    os = ET.SubElement(domain, "os")
    kind = _text(os, "type", "hvm", arch="x86_64")
    if spec.machine:
        kind.set("machine", spec.machine)
    if spec.boot.kernel:
        _text(os, "kernel", spec.boot.kernel)
        if spec.boot.initrd:
            _text(os, "initrd", spec.boot.initrd)
        _text(os, "cmdline", spec.boot.cmdline)
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
        node = ET.SubElement(devices, "disk", type="file", device="disk")
        # cache none: with a host's page cache in between, the target of a migration could read stale blocks
        ET.SubElement(node, "driver", name="qemu", type=disk.format, cache="none", discard="unmap")
        ET.SubElement(node, "source", file=disk.path)
        ET.SubElement(node, "target", dev=disk.target, bus="virtio")
    if site.lockspace:
        directory, _, lockspace = site.lockspace.rstrip("/").rpartition("/")
        lease = ET.SubElement(devices, "lease")
        _text(lease, "lockspace", lockspace)
        _text(lease, "key", spec.uuid)
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
    _text(rng, "backend", "/dev/urandom", model="random")


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


def parse(text: str) -> ET.Element:
    """Read XML that a host sent. A document type is refused: entities have no business here."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise VmctlError("the host sent XML with a document type, which libvirt never does")
    try:
        return ET.fromstring(text)
    except ET.ParseError as err:
        raise VmctlError(f"the host sent XML that cannot be read: {err}") from err


def read(text: str) -> Seen:
    """What a live domain's XML says, whoever made it."""
    domain = parse(text)
    found = define(domain)
    return Seen(
        uuid=domain.findtext("uuid", ""),
        name=found.name,
        cpus=found.cpus,
        mem_mib=found.mem_mib,
        spec=_spec_or_none(domain.findtext(f"metadata/{{{NAMESPACE}}}spec")),
        accel=found.accel,
        machine=found.machine,
        disks=tuple(disk.path for disk in found.disks if disk.path),
        macs=tuple(mac.get("address", "") for mac in domain.iterfind("devices/interface/mac")),
        bridge=attribute(domain, "devices/interface/source", "bridge"),
        agent_socket=_agent_socket(domain),
        lease=domain.find("devices/lease") is not None,
        unmovable=found.stuck + found.stuck_live,
        definition=found,
    )


def _spec_or_none(text: str | None) -> Spec | None:
    if not text:
        return None
    try:
        return specjson.load(text)
    except (ValueError, TypeError, KeyError):
        return None  # somebody edited it: the domain is then treated as not ours


def isa_socket(uuid: str) -> str:
    """The path that we give a VM's agent port where it is an ISA one."""
    return f"/var/lib/libvirt/qemu/{uuid}-agent.sock"


def _agent_socket(domain: ET.Element) -> str:
    """Our agent's port by its own name or path. Any other is somebody's, and QEMU serves one client per socket."""
    for channel in domain.iterfind("devices/channel"):
        target, source = channel.find("target"), channel.find("source")
        if target is not None and source is not None and target.get("name") == AGENT_PORT:
            return source.get("path", "")
    for serial in domain.iterfind("devices/serial[@type='unix']"):
        source = serial.find("source")
        if source is not None and source.get("path") == isa_socket(domain.findtext("uuid", "").strip()):
            return source.get("path", "")
    return ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What libvirt says a host can do."""

    host_uuid: str
    accel: str  # "kvm" where the host has it, else "qemu"
    machines: tuple[str, ...]  # versioned machine types
    numa_mib: tuple[int, ...] = ()  # memory of each NUMA node, where it tells


def read_capabilities(text: str) -> Capabilities:
    """From virConnectGetCapabilities."""
    root = parse(text)
    arch = root.find("guest/arch[@name='x86_64']")
    if arch is None:
        raise VmctlError("the host's libvirt can run no x86_64 guests", hint="install qemu-system-x86 there")
    kinds = {node.get("type", "") for node in arch.iterfind("domain")}
    machines = {m.get("canonical") or m.text or "" for m in root.iterfind("guest/arch[@name='x86_64']//machine")}
    nodes = [memory.text or "" for memory in root.iterfind("host/topology/cells/cell/memory[@unit='KiB']")]
    return Capabilities(
        root.findtext("host/uuid", ""),
        "kvm" if "kvm" in kinds else "qemu",
        tuple(sorted(machines)),
        tuple(int(kib) // 1024 for kib in nodes) if all(map(KIB.fullmatch, nodes)) else (),
    )


def cpu_models(domain_capabilities: str) -> frozenset[str] | None:
    """The CPU models that the hypervisor can give its guests whole, and the one its own is made of; None: not told."""
    modes = parse(domain_capabilities).find("cpu")
    custom = modes.find("mode[@name='custom']") if modes is not None else None
    if modes is None or custom is None or custom.get("supported") != "yes":
        return None
    own = modes.findtext("mode[@name='host-model']/model", "")
    whole = {model.text or "" for model in custom.iterfind("model") if model.get("usable") != "no"}
    return frozenset({own, *whole} - {""}) or None


def offered(models: frozenset[str] | None, asked: Mapping[str, bool]) -> frozenset[str] | None:
    """`models`, corrected by what the hypervisor answered when it was `asked` about whole <cpu> elements.

    A model that lacks a feature here can be had by a guest that does without that feature, and the other way round.
    """
    if models is None:
        return None
    granted = {name for cpu, can in asked.items() if can and (name := cpu_name(cpu))}
    return (models - {cpu_name(cpu) for cpu in asked}) | granted


def host_model(domain_capabilities: str) -> str:
    """The <cpu> that the hypervisor can give its guests here; empty where it cannot tell."""
    mode = parse(domain_capabilities).find("cpu/mode[@name='host-model']")
    if mode is None or mode.get("supported") != "yes":
        return ""
    node = ET.Element("cpu")
    node.extend(child for child in mode if child.tag in ("model", "vendor", "feature"))
    return _write(node)


def cpu_name(cpu_xml: str) -> str:
    """The model's name in a <cpu> element, found as `decide.fit` finds it; empty in a text that has none."""
    found = CPU_MODEL.search(cpu_xml)
    return found[1] if found else ""


def guest_cpu(baseline: str) -> str:
    """libvirt's baseline answer as a guest's <cpu>: just this model, no more and no less."""
    node = parse(baseline)
    node.set("mode", "custom")
    node.set("match", "exact")
    for vendor in node.findall("vendor"):  # informative only, and refused by some hosts
        node.remove(vendor)
    return _write(node)


def pool(name: str, path: str) -> str:
    """A storage pool of kind `dir`."""
    node = ET.Element("pool", type="dir")
    _text(node, "name", name)
    _text(ET.SubElement(node, "target"), "path", path)
    return _write(node)


def volume(name: str, format_: str, capacity_bytes: int, backing: tuple[str, str] | None = None) -> str:
    """A volume of a pool; `backing` is (path, format) of the image below a copy-on-write disk."""
    node = ET.Element("volume")
    _text(node, "name", name)
    _text(node, "capacity", str(capacity_bytes), unit="bytes")
    if format_ == "raw":
        _text(node, "allocation", "0", unit="bytes")
    target = ET.SubElement(node, "target")
    ET.SubElement(target, "format", type=format_)
    if backing:
        store = ET.SubElement(node, "backingStore")
        _text(store, "path", backing[0])
        ET.SubElement(store, "format", type=backing[1])
    return _write(node)


def renamed(volume_xml: str, name: str) -> str:
    """The same volume under another name."""
    node = parse(volume_xml)
    for found in node.iter("name"):
        found.text = name
    return _write(node)


def probe(uuid: str, name: str, accel: str, lockspace: str, key: str) -> str:
    """A VM of 1 MiB that does nothing but hold a lease: it proves that the lock manager guards between hosts."""
    domain = ET.Element("domain", type=accel)
    for tag, text in (("name", name), ("uuid", uuid), ("vcpu", "1")):
        _text(domain, tag, text)
    _text(domain, "memory", "1", unit="MiB")
    _text(ET.SubElement(domain, "os"), "type", "hvm", arch="x86_64")
    devices = ET.SubElement(domain, "devices")
    directory, _, last = lockspace.rstrip("/").rpartition("/")
    lease = ET.SubElement(devices, "lease")
    _text(lease, "lockspace", last)
    _text(lease, "key", key)
    ET.SubElement(lease, "target", path=directory or "/")
    ET.SubElement(devices, "controller", type="usb", model="none")
    ET.SubElement(devices, "memballoon", model="none")
    return _write(domain)
