"""Storage pools and volumes. Pure."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from vmctl.hosts.domainxml.tree import parse, text, write


def pool(name: str, path: str) -> str:
    """A storage pool of kind `dir`."""
    node = ET.Element("pool", type="dir")
    text(node, "name", name)
    text(ET.SubElement(node, "target"), "path", path)
    return write(node)


def volume(name: str, format_: str, capacity_bytes: int, backing: tuple[str, str] | None = None) -> str:
    """A volume of a pool; `backing` is (path, format) of the image below a copy-on-write disk."""
    node = ET.Element("volume")
    text(node, "name", name)
    text(node, "capacity", str(capacity_bytes), unit="bytes")
    if format_ == "raw":
        text(node, "allocation", "0", unit="bytes")
    target = ET.SubElement(node, "target")
    ET.SubElement(target, "format", type=format_)
    if backing:
        store = ET.SubElement(node, "backingStore")
        text(store, "path", backing[0])
        ET.SubElement(store, "format", type=backing[1])
    return write(node)


def renamed(volume_xml: str, name: str) -> str:
    """The same volume under another name."""
    node = parse(volume_xml)
    for found in node.iter("name"):
        found.text = name
    return write(node)
