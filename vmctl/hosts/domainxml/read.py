"""What the XML of a domain says, whoever made it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from vmctl.formats import specjson
from vmctl.hosts.definition import Definition, attribute, define
from vmctl.hosts.domainxml.build import AGENT_PORT, isa_socket
from vmctl.hosts.domainxml.tree import NAMESPACE, parse
from vmctl.model.vms import Spec


@dataclass(frozen=True, slots=True)
class ParsedDomain:
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


def read(text: str) -> ParsedDomain:
    """What a live domain's XML says, whoever made it."""
    domain = parse(text)
    found = define(domain)
    return ParsedDomain(
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
