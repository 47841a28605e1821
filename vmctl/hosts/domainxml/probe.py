"""A VM that does nothing but hold a lease. Pure."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from vmctl.hosts.domainxml.tree import text, write


def probe(uuid: str, name: str, accel: str, lockspace: str, key: str) -> str:
    """A VM of 1 MiB that does nothing but hold a lease: it proves that the lock manager guards between hosts."""
    domain = ET.Element("domain", type=accel)
    for tag, content in (("name", name), ("uuid", uuid), ("vcpu", "1")):
        text(domain, tag, content)
    text(domain, "memory", "1", unit="MiB")
    text(ET.SubElement(domain, "os"), "type", "hvm", arch="x86_64")
    devices = ET.SubElement(domain, "devices")
    directory, _, last = lockspace.rstrip("/").rpartition("/")
    lease = ET.SubElement(devices, "lease")
    text(lease, "lockspace", last)
    text(lease, "key", key)
    ET.SubElement(lease, "target", path=directory or "/")
    ET.SubElement(devices, "controller", type="usb", model="none")
    ET.SubElement(devices, "memballoon", model="none")
    return write(domain)
