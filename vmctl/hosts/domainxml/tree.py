"""XML as a tree: read with care, never pasted together. Pure."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from vmctl.errors import VmctlError

NAMESPACE = "urn:vmctl:vm:1"
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"  # libvirt's, for words that go to QEMU as they are
ET.register_namespace("vmctl", NAMESPACE)
ET.register_namespace("qemu", QEMU)


def write(node: ET.Element) -> str:
    """The XML."""
    # A bare carriage return in text would be read back as a line feed.
    return ET.tostring(node, encoding="unicode").replace("\r", "&#13;")


def text(parent: ET.Element, tag: str, content: str, **attributes: str) -> ET.Element:
    """Add an element with text in it."""
    child = ET.SubElement(parent, tag, attributes)
    child.text = content
    return child


def parse(xml: str) -> ET.Element:
    """Read XML that a host sent. A document type is refused: entities have no business here."""
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise VmctlError("the host sent XML with a document type, which libvirt never does")
    try:
        return ET.fromstring(xml)
    except ET.ParseError as err:
        raise VmctlError(f"the host sent XML that cannot be read: {err}") from err
