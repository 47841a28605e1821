"""A specification as libvirt's XML and back: golden files, libvirt's own schema, and hostile text.

`REGENERATE=1 pytest tests/domainxml` writes the golden files anew; read the difference before it is committed.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from vmctl.errors import VmctlError
from vmctl.formats import specjson
from vmctl.hosts import domainxml
from vmctl.hosts.domainxml import Site
from vmctl.model.vms import Boot, Disk, Spec

GOLDEN = Path(__file__).parent / "golden"
SCHEMAS = Path("/usr/share/libvirt/schemas")  # Debian package libvirt0
UUID = "8a9d1f6e-0000-4000-8000-000000000001"

CPU = (
    "<cpu mode='custom' match='exact'><model fallback='forbid'>EPYC</model><feature policy='require' name='aes'/></cpu>"
)
PLAIN = Spec(UUID, "web1", 2, 2048, (Disk("main", "/shared/web1.qcow2"),), mac="52:54:00:00:00:01")
FULL = replace(
    PLAIN,
    disks=(Disk("main", "/shared/web1.qcow2"), Disk("main", "/shared/data.raw", "raw", "vdb")),
    bridge="vm-net",
    boot=Boot("/shared/vmlinuz", "/shared/initrd", "console=ttyS0 root=/dev/vda1"),
    cpu_xml=CPU,
    machine="pc-q35-7.2",
    agent_port="isa",
    apart="web",
    needs={"rack": "a"},
)
SITE = Site("kvm", "/shared/.vmctl/leases")
CASES = {
    "plain": (PLAIN, SITE),
    "full": (FULL, SITE),
    "emulated": (replace(PLAIN, cpu="host"), Site("qemu")),
    "bare": (Spec(UUID, "bare", 1, 64), Site("qemu")),
}


def schema(name: str) -> etree.RelaxNG:
    """libvirt's schema of that name."""
    return etree.RelaxNG(etree.parse(SCHEMAS / name))


@pytest.fixture(scope="module")
def domains() -> etree.RelaxNG:
    return schema("domain.rng")


@pytest.mark.parametrize("name", CASES)
def test_the_golden_files(name: str) -> None:
    node = ET.fromstring(domainxml.build(*CASES[name]))
    ET.indent(node)
    text, path = ET.tostring(node, encoding="unicode") + "\n", GOLDEN / f"{name}.xml"
    if "REGENERATE" in os.environ:
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", CASES)
def test_libvirts_schema_agrees(name: str, domains: etree.RelaxNG) -> None:
    domains.assertValid(etree.fromstring(domainxml.build(*CASES[name])))


def test_libvirts_schema_would_have_noticed(domains: etree.RelaxNG) -> None:
    wrong = domainxml.build(PLAIN, SITE).replace("<on_crash>destroy", "<on_crash>explode")
    assert not domains.validate(etree.fromstring(wrong))


def test_pools_volumes_and_probes_agree_with_the_schema_too(domains: etree.RelaxNG) -> None:
    domains.assertValid(etree.fromstring(domainxml.probe(UUID, "vmctl-probe-1", "qemu", "/shared/leases", UUID)))
    schema("storagepool.rng").assertValid(etree.fromstring(domainxml.pool("main", "/shared")))
    volumes = schema("storagevol.rng")
    for volume in (
        domainxml.volume("web1.qcow2", "qcow2", 1 << 30, ("/shared/image.qcow2", "qcow2")),
        domainxml.volume("data.raw", "raw", 1 << 30),
    ):
        volumes.assertValid(etree.fromstring(volume))


@given(st.integers(1, 1 << 24))
def test_an_emulated_guests_memory_is_of_no_size_that_qemu_loses_pages_of(mem_mib: int) -> None:
    """A multiple of 256 KiB is looked through 64 pages at a time during a migration, which old QEMUs do wrong."""
    spec = replace(PLAIN, mem_mib=mem_mib)
    line = ET.fromstring(domainxml.build(spec, Site("qemu"))).find(f"{{{domainxml.QEMU}}}commandline")
    assert line is not None
    said = [word.get("value", "") for word in line]
    sizes = {int(text.removesuffix("k")) for text in re.findall(r"size=(\w+)", " ".join(said))}
    assert len(sizes) == 1, said
    (kib,) = sizes
    assert kib % 256 != 0 and kib % 8 == 0 and 0 < mem_mib * 1024 - kib < 256
    assert domainxml.read(domainxml.build(spec, Site("qemu"))).definition.mem_mib == mem_mib
    assert "commandline" not in domainxml.build(spec, Site("kvm"))


# -- what goes in comes back


def seen(spec: Spec, site: Site = SITE) -> domainxml.ParsedDomain:
    return domainxml.read(domainxml.build(spec, site))


def paths(found: domainxml.ParsedDomain) -> tuple[str, ...]:
    return tuple(disk.path for disk in found.definition.disks if disk.path)


@pytest.mark.parametrize("name", CASES)
def test_a_specification_comes_back_from_its_domain(name: str) -> None:
    spec, site = CASES[name]
    found = seen(spec, site)
    assert found.spec == spec
    made = found.definition
    assert (found.uuid, made.name, made.cpus, made.accel) == (spec.uuid, spec.name, spec.cpus, site.accel)
    assert paths(found) == tuple(disk.path for disk in spec.disks)
    assert found.lease is bool(site.lockspace)
    assert made.machine == spec.machine


# What XML 1.0 allows in a document
LEGAL = st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff").filter(
    lambda c: c in "\t\n\r" or c >= " "
)
HOSTILE = st.sampled_from(
    ("a'/><evil", '"/><evil x="', "]]>", "<![CDATA[x]]>", "&lt;", "&#x41;", "&evil;", "<!-- x -->", "<?x?>", "</spec>")
)
TEXT = st.lists(HOSTILE | st.text(LEGAL, min_size=1, max_size=8), min_size=1, max_size=4).map("".join)


@given(TEXT, TEXT, TEXT, TEXT, TEXT)
def test_any_text_comes_back_as_it_went_in_and_breaks_out_of_nothing(
    name: str, path: str, cmdline: str, label: str, group: str
) -> None:
    spec = replace(
        FULL, name=name, disks=(Disk("main", path),), boot=Boot(path, path, cmdline), needs={label: label}, apart=group
    )
    text = domainxml.build(spec, Site("kvm", "/leases/" + "x"))
    found, node = domainxml.read(text), domainxml.parse(text)
    assert found.spec == spec
    plain = posixpath.normpath(path) if path.startswith("/") else path  # a path is told in one way
    assert (found.definition.name, paths(found)) == (name, (plain,))
    assert [node.findtext(f"os/{tag}") for tag in ("kernel", "initrd", "cmdline")] == [path, path, cmdline]
    assert [child.tag for child in node.iter()] == [child.tag for child in domainxml.parse(BENIGN).iter()]


BENIGN = domainxml.build(replace(FULL, disks=FULL.disks[:1]), SITE)


@given(TEXT, TEXT)
def test_pools_and_volumes_hold_any_text_too(name: str, path: str) -> None:
    pool = domainxml.parse(domainxml.pool(name, path))
    assert (pool.findtext("name"), pool.findtext("target/path"), len(list(pool.iter()))) == (name, path, 4)
    volume = domainxml.parse(domainxml.volume(name, "qcow2", 1, (path, "raw")))
    assert (volume.findtext("name"), volume.findtext("backingStore/path")) == (name, path)


@given(st.builds(Spec, st.text(), st.text(), st.integers(), st.integers(), needs=st.dictionaries(st.text(), st.text())))
def test_a_specification_comes_back_from_json(spec: Spec) -> None:
    assert specjson.load(specjson.dump(spec)) == spec


def test_a_newer_specification_is_read_as_far_as_it_is_known() -> None:
    assert specjson.load(specjson.dump(PLAIN).replace("{", '{"colour":"blue",', 1)) == PLAIN
    old = specjson.dump(FULL).replace('"needs"', '"labels"')
    assert specjson.load(old) == FULL, "as an earlier version called it"


# -- what a host says


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(JSON | st.fixed_dictionaries({"uuid": JSON, "name": JSON, "disks": JSON, "boot": JSON, "cpus": JSON}), st.text())
def test_metadata_that_somebody_edited_makes_a_domain_not_ours(value: object, text: str) -> None:
    for damaged in (json.dumps(value), text):
        try:
            specjson.load(damaged)
        except (ValueError, TypeError, KeyError):
            continue


def live(spec_text: str, devices: str = "", cpu: str = "") -> str:
    """A running domain as `virsh dumpxml` prints it."""
    meta = ET.Element(f"{{{domainxml.NAMESPACE}}}spec")
    meta.text = spec_text
    return f"""<domain type='kvm' id='7'>
  <name>web1</name><uuid>{UUID}</uuid>
  <metadata>{ET.tostring(meta, encoding="unicode")}<libosinfo:libosinfo
    xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0"><libosinfo:os id="http://debian.org/debian/12"/>
  </libosinfo:libosinfo></metadata>
  <memory unit='KiB'>2097152</memory><currentMemory unit='KiB'>2097152</currentMemory>
  <vcpu placement='static' current='1'>2</vcpu>
  <resource><partition>/machine</partition></resource>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><boot dev='hd'/></os>{cpu}
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/shared/web1.qcow2' index='1'/>
      <backingStore type='file' index='2'><format type='qcow2'/><source file='/shared/image.qcow2'/><backingStore/>
      </backingStore><target dev='vda' bus='virtio'/><alias name='virtio-disk0'/></disk>
    <disk type='block' device='disk'><source dev='/dev/sdx'/><target dev='vdb'/></disk>
    <disk type='network' device='disk'><source protocol='rbd' name='pool/web1'/><target dev='vdc'/></disk>
    <disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>
    <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><target dev='vnet3'/></interface>
    <interface type='user'/>
    <channel type='unix'><source mode='bind' path='/run/libvirt/qemu/channel/7-web1/org.vmctl.agent.0'/>
      <target type='virtio' name='org.vmctl.agent.0' state='connected'/></channel>{devices}
  </devices>
  <seclabel type='dynamic' model='apparmor' relabel='yes'><label>libvirt-{UUID}</label></seclabel>
</domain>"""


def test_a_live_domain_is_read() -> None:
    found = domainxml.read(live(specjson.dump(PLAIN)))
    assert found.spec == PLAIN
    made = found.definition
    assert (made.mem_mib, made.cpus, made.machine, made.accel) == (2048, 2, "pc-q35-7.2", "kvm")
    assert paths(found) == ("/shared/web1.qcow2", "/dev/sdx", "pool/web1")
    assert (found.macs, made.bridges) == (("52:54:00:00:00:01",), ("br0",))
    assert found.agent_socket == "/run/libvirt/qemu/channel/7-web1/org.vmctl.agent.0"
    assert (found.lease, made.stuck, made.stuck_live) == (False, (), ())


@pytest.mark.parametrize("damaged", ["", "{", "[]", "5", '{"uuid": "x"}', '{"disks": 5}'])
def test_a_domain_whose_metadata_is_damaged_is_not_ours(damaged: str) -> None:
    assert domainxml.read(live(damaged)).spec is None


def test_an_empty_domain_is_read_as_far_as_it_goes() -> None:
    assert domainxml.read("<domain/>") == domainxml.ParsedDomain("")


def test_the_agents_serial_port_is_found() -> None:
    assert seen(FULL).agent_socket == f"/var/lib/libvirt/qemu/{UUID}-agent.sock"
    assert seen(PLAIN).agent_socket == "", "before libvirt gave the channel its path"


@pytest.mark.parametrize(
    "path", ["/run/backup-agent.sock", "/var/lib/libvirt/qemu/other-agent.sock", "-agent.sock", ""]
)
def test_a_socket_of_another_agent_is_not_ours(path: str) -> None:
    """QEMU serves one client per socket: who connects to it takes it from its own."""
    serial = f"<devices><serial type='unix'><source mode='bind' path='{path}'/></serial></devices>"
    assert domainxml.read(f"<domain><uuid>{UUID}</uuid>{serial}</domain>").agent_socket == ""


def test_what_keeps_a_domain_from_moving_is_named() -> None:
    devices = "<hostdev mode='subsystem' type='pci'/><filesystem type='mount'/><lease/>"
    found = domainxml.read(live("", devices, "<cpu mode='host-passthrough'/>"))
    assert found.lease
    assert found.definition.stuck + found.definition.stuck_live == (
        "a host device is passed through",
        "a host directory is shared with the guest",
        "its CPU is host-passthrough",
    )


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE domain [<!ENTITY a "aaaa">]><domain><name>&a;</name></domain>',
        '<!DOCTYPE domain SYSTEM "file:///etc/passwd"><domain/>',
        '<?xml version="1.0"?><!DOCTYPE domain><domain/>',
    ],
)
def test_a_document_type_is_refused(text: str) -> None:
    for read in (domainxml.read, domainxml.read_capabilities, domainxml.host_model, domainxml.guest_cpu):
        with pytest.raises(VmctlError, match="document type"):
            read(text)


@pytest.mark.parametrize("text", ["", "<domain", "<domain></name>", "no XML at all", "<domain>&evil;</domain>"])
def test_what_is_no_xml_is_an_error_in_words(text: str) -> None:
    with pytest.raises(VmctlError, match="cannot be read"):
        domainxml.read(text)


# -- capabilities and CPUs


def capabilities(domain_types: str, arch: str = "x86_64") -> str:
    return f"""<capabilities><host><uuid>{UUID}</uuid><cpu><arch>x86_64</arch></cpu></host>
<guest><os_type>hvm</os_type><arch name='i686'><machine canonical='pc-i440fx-7.2'>pc</machine></arch></guest>
<guest><os_type>hvm</os_type><arch name='{arch}'><wordsize>64</wordsize>
<machine canonical='pc-q35-7.2' maxCpus='288'>q35</machine><machine maxCpus='1'>microvm</machine>
{domain_types}</arch></guest></capabilities>"""


def test_capabilities_are_read() -> None:
    kvm = "<domain type='qemu'/><domain type='kvm'><machine canonical='pc-q35-7.2'>q35</machine></domain>"
    machines = ("microvm", "pc-q35-7.2")
    assert domainxml.read_capabilities(capabilities(kvm)) == domainxml.Capabilities(UUID, "kvm", machines)
    assert domainxml.read_capabilities(capabilities("<domain type='qemu'/>")).accel == "qemu"


CELLS = """<topology><cells num='2'><cell id='0'><memory unit='KiB'>16384000</memory><cpus num='0'/></cell>
<cell id='1'><memory unit='KiB'>{}</memory></cell></cells></topology></host>"""


def test_numa_nodes_are_read_where_all_tell_their_memory() -> None:
    text = capabilities("<domain type='kvm'/>")
    assert domainxml.read_capabilities(text).numa_mib == ()
    for second, wanted in (("8192000", (16000, 8000)), ("many", ()), ("-5", ()), ("", ()), ("9" * 5000, ())):
        assert domainxml.read_capabilities(text.replace("</host>", CELLS.format(second))).numa_mib == wanted


def test_a_host_that_can_run_no_guests_of_this_kind_says_so() -> None:
    with pytest.raises(VmctlError, match="no x86_64 guests"):
        domainxml.read_capabilities(capabilities("<domain type='kvm'/>", "aarch64"))


MODE = """<domainCapabilities><cpu><mode name='host-passthrough' supported='yes'/>
<mode name='host-model' supported='{}'><model fallback='forbid'>EPYC</model><vendor>AMD</vendor>
<maxphysaddr mode='passthrough' limit='40'/><feature policy='require' name='aes'/></mode></cpu></domainCapabilities>"""


def test_the_hosts_own_cpu_is_read() -> None:
    cpu = domainxml.host_model(MODE.format("yes"))
    assert domainxml.cpu_name(cpu) == "EPYC"
    assert [child.tag for child in domainxml.parse(cpu)] == ["model", "vendor", "feature"]
    assert domainxml.host_model(MODE.format("no")) == domainxml.host_model("<domainCapabilities/>") == ""
    assert domainxml.cpu_name("") == domainxml.cpu_name("<cpu") == domainxml.cpu_name("<!DOCTYPE x><cpu/>") == ""


MODELS = """<mode name='custom' supported='yes'><model usable='yes' vendor='Intel'>Haswell</model><model usable='no'>
Skylake-Client</model><model usable='unknown'>qemu64</model><model>old</model></mode></cpu>"""


def test_the_cpu_models_that_guests_can_have_are_read() -> None:
    told = MODE.format("yes").replace("</cpu>", MODELS)
    assert domainxml.cpu_models(told) == frozenset({"EPYC", "Haswell", "qemu64", "old"})
    for silent in (
        MODE.format("yes"),
        told.replace("custom' supported='yes", "custom' supported='no"),
        "<x/>",
        "<x><cpu/></x>",
    ):
        assert domainxml.cpu_models(silent) is None


def test_what_the_hypervisor_said_of_a_whole_cpu_counts_more_than_its_models() -> None:
    models = frozenset({"EPYC", "Haswell"})
    less = CPU.replace("EPYC", "Skylake-Client")
    assert domainxml.offered(models, {}) == models
    assert domainxml.offered(models, {less: True}) == frozenset({"EPYC", "Haswell", "Skylake-Client"})
    assert domainxml.offered(models, {CPU: False, less: False}) == frozenset({"Haswell"})
    assert domainxml.offered(models, {CPU: False, CPU.replace("aes", "avx"): True}) == models
    assert domainxml.offered(models, {"no XML": True}) == models
    assert domainxml.offered(None, {CPU: False}) is None


def test_a_baseline_becomes_just_that_cpu(domains: etree.RelaxNG) -> None:
    baseline = """<cpu><model fallback='forbid'>EPYC</model><vendor>AMD</vendor>
<feature policy='require' name='aes'/></cpu>"""
    cpu = domainxml.guest_cpu(baseline)
    node = domainxml.parse(cpu)
    assert (node.get("mode"), node.get("match")) == ("custom", "exact")
    assert [child.tag for child in node] == ["model", "feature"]
    domains.assertValid(etree.fromstring(domainxml.build(replace(PLAIN, cpu_xml=cpu), SITE)))
