"""Names and paths of a directory, and how QEMU is told of a disk there."""

from __future__ import annotations

import pytest

from vmctl.hosts import domainxml
from vmctl.hosts.domainxml import Source
from vmctl.model.records import Storage
from vmctl.model.vms import Disk, Spec
from vmctl.storage import kind_of

MAIN = Storage("main", "/srv/vms/", 1.0)
KIND = kind_of(MAIN)


@pytest.mark.parametrize("name", ["vm-web1-u/disk.qcow2", "old.qcow2"])
def test_a_name_is_a_path_and_back(name: str) -> None:
    assert KIND.path(MAIN, name) == f"/srv/vms/{name}"
    assert KIND.name(MAIN, KIND.path(MAIN, name)) == name


@pytest.mark.parametrize("path", ["/srv/other/x", "/srv/vms/../other/x", "/srv/vmsx/y", "vm/x"])
def test_what_lies_elsewhere_has_no_name(path: str) -> None:
    assert KIND.name(MAIN, path) == ""


def test_the_kind_says_how_a_domain_names_its_disk() -> None:
    """As a kind to come would, such as one on the network."""
    spec = Spec("u1", "web1", 1, 64, (Disk("main", "pool/web1", "raw"),))
    site = domainxml.Site("kvm", source=lambda disk: Source("network", {"protocol": "rbd", "name": disk.path}))
    xml = domainxml.build(spec, site)
    assert '<disk type="network"' in xml and '<source protocol="rbd" name="pool/web1" />' in xml
    assert '<source file="pool/web1" />' in domainxml.build(spec, domainxml.Site("kvm", source=KIND.source))
