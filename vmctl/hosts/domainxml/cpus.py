"""What a host's libvirt says that it can do, and the CPUs that it can give guests. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from vmctl.errors import VmctlError
from vmctl.hosts.domainxml.tree import parse, write

CPU_MODEL = re.compile(r"<model[^>]*>([^<]+)</model>")
KIB = re.compile(r"\d{1,15}")


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
    return write(node)


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
    return write(node)
