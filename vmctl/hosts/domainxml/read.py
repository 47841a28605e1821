"""What the XML of a domain says, whoever made it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from xml.etree import ElementTree as ET

from vmctl.formats import specjson
from vmctl.hosts.definition import Definition, define
from vmctl.hosts.domainxml.build import AGENT_PORT, isa_socket
from vmctl.hosts.domainxml.tree import NAMESPACE, parse
from vmctl.model.vms import Spec


@dataclass(frozen=True, slots=True)
class ParsedDomain:
    """A domain's XML: who it is, what of it is ours, and what it is made of (`definition`)."""

    uuid: str
    spec: Spec | None = None  # present when vmctl made the domain
    macs: tuple[str, ...] = ()
    agent_socket: str = ""
    lease: bool = False
    definition: Definition = field(default_factory=Definition)


@lru_cache(maxsize=32)
def read(text: str) -> ParsedDomain:
    """What a live domain's XML says, whoever made it.

    Kept for a moment: what was read of a host is looked at from several sides, each of which asks here.
    """
    domain = parse(text)
    return ParsedDomain(
        uuid=domain.findtext("uuid", ""),
        spec=_spec_or_none(domain.findtext(f"metadata/{{{NAMESPACE}}}spec")),
        macs=tuple(mac.get("address", "") for mac in domain.iterfind("devices/interface/mac")),
        agent_socket=_agent_socket(domain),
        lease=domain.find("devices/lease") is not None,
        definition=define(domain),
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
