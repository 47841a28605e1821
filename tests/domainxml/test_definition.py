"""What a domain needs of its host, what keeps it there, and in what it is not what it was written down as."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmctl.hosts import domainxml
from vmctl.hosts.definition import Definition, Disk, Net, differences

BARE = "<domain type='kvm'><name>web1</name>{}<devices>{}</devices></domain>"
STAYS = [
    ("<interface type='hostdev' managed='yes'><source><address type='pci'/></source></interface>", "SR-IOV"),
    ("<interface type='direct'><source dev='eno1' mode='bridge'/></interface>", "on the host's eno1 (macvtap)"),
    ("<interface type='vhostuser'><source type='unix' path='/run/vhu1'/></interface>", "vhost-user"),
    (
        "<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>",
        "of a kind that is not known to move: vdpa",
    ),
    ("<tpm model='tpm-tis'><backend type='passthrough'/></tpm>", "the host's TPM is passed through"),
    ("<serial type='dev'><source path='/dev/ttyS0'/></serial>", "its serial port is the host's /dev/ttyS0"),
    ("<parallel type='pipe'><source path='/tmp/p'/></parallel>", "its parallel port is the host's /tmp/p"),
    ("<shmem name='looking-glass'/>", "shares memory with programs of the host"),
    ("<hostdev mode='subsystem' type='usb'/>", "a host device is passed through"),
    ("<filesystem type='mount'/>", "a host directory is shared"),
    ("<disk type='nvme' device='disk'><target dev='vda'/></disk>", "its disk vda is an NVMe device of the host"),
    ("<disk type='dir' device='floppy'><target dev='fda'/></disk>", "its disk fda is a directory of the host"),
    ("<memory model='nvdimm'/>", "its memory is a file of the host (nvdimm)"),
    ("<rng model='virtio'><backend model='egd' type='udp'/></rng>", "a program of the host (egd)"),
    ("<newest/>", "a device that is not known to move: newest"),
]


def define(devices: str = "", more: str = "") -> Definition:
    return domainxml.read(BARE.format(more, devices)).definition


@pytest.mark.parametrize(("devices", "why"), STAYS)
def test_what_binds_a_domain_to_its_host_is_named(devices: str, why: str) -> None:
    [said] = define(devices).stuck
    assert why in said


def test_memory_that_the_cpu_encrypts_stays() -> None:
    assert define(more="<launchSecurity type='sev'/>").stuck == ("its memory is encrypted by this host's CPU (sev)",)


@pytest.mark.parametrize("devices", [
    "<interface type='bridge'><source bridge='br0'/></interface><interface type='user'/>",
    "<serial type='pty'/><console type='pty'/><channel type='unix'/><redirdev type='spicevmc'/>",
    "<tpm model='tpm-crb'><backend type='emulator'/></tpm><watchdog/><graphics type='vnc'/><video/><sound/><vsock/>",
    "<disk type='file'><source file='/a'/></disk><disk type='network'><source protocol='rbd' name='p/i'/></disk>",
    "<memory model='dimm'/><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng><memballoon/>",
])  # fmt: skip
def test_what_goes_along_is_no_reason_to_stay(devices: str) -> None:
    assert define(devices).stuck == ()


def test_pinning_counts_by_its_highest_cpu() -> None:
    assert define().top_cpu == -1
    assert define(more="<cputune><vcpupin vcpu='0' cpuset='2-5,120'/></cputune>").top_cpu == 120
    assert define(more="<vcpu cpuset='0-7'>2</vcpu>").top_cpu == 7


def test_all_files_of_a_start_are_known() -> None:
    below = "<backingStore type='file'><source file='/s/root'/></backingStore>"
    chain = f"<backingStore type='file'><source file='/s/base'/>{below}</backingStore>"
    disk = f"<disk type='file'><source file='/s/../s/top'/>{chain}<target dev='vda'/></disk>"
    found = define(disk, "<os><loader>/fw/CODE.fd</loader><nvram>/fw/VARS.fd</nvram><kernel>/s/k</kernel></os>")
    assert found.paths == ("/s/top", "/s/base", "/s/root", "/fw/CODE.fd", "/s/k")
    assert found.nvram == "/fw/VARS.fd"


def test_a_volume_is_named_by_its_pool() -> None:
    [disk] = define("<disk type='volume'><source pool='shared' volume='vm1.qcow2'/><target dev='vda'/></disk>").disks
    assert (disk.kind, disk.path) == ("volume", "shared/vm1.qcow2")


SHOULD = Definition(
    "web1", 2, 512, (Disk("vda", "disk", "file", "/s/web1.qcow2"),), (Net("52:54:00:00:00:01", "bridge", "br0"),)
)


def test_what_is_as_written_down_differs_in_nothing() -> None:
    assert differences(SHOULD, SHOULD) == []


LAYER = Disk("vda", "disk", "file", "/s/web1.nightly", ("/s/web1.qcow2", "/s/image.qcow2"))
DIFFERENT = [
    ({"disks": (LAYER,)}, "disk vda is /s/web1.nightly, /s/web1.qcow2 is written down",
     "virsh blockcommit web1 vda --base /s/web1.qcow2 --active --pivot --wait", True),
    ({"disks": (*SHOULD.disks, Disk("vdb", "disk", "file", "/s/b"))}, "disk vdb (/s/b) is not written down",
     "virsh detach-disk web1 vdb", True),
    ({"disks": ()}, "disk vda (/s/web1.qcow2) is written down, and not there", "attach-disk", False),
    ({"cpus": 4}, "it has 4 vCPUs, 2 are written down", "virsh setvcpus web1 2 --live", False),
    ({"mem_mib": 768}, "it has 768 MiB of memory, 512 are written down", "detach-device", False),
    ({"name": "web9"}, "its name is web9 there, web1 here", "virsh domrename web9 web1", False),
    ({"nets": (replace(SHOULD.nets[0], source="br7"),)},
     "network card 52:54:00:00:00:01 is on bridge br7, on bridge br0 is written down", "update-device", True),
    ({"nets": ()}, "network card 52:54:00:00:00:01 is nothing, on bridge br0 is written down", "attach-device", False),
    ({"others": (("hostdev", 1),)}, "it has 1 hostdev device, 0 written down", "detach-device", True),
]  # fmt: skip


@pytest.mark.parametrize(("change", "what", "mend", "loses"), DIFFERENT)
def test_a_difference_names_both_values_and_what_settles_it(
    change: dict[str, object], what: str, mend: str, loses: bool
) -> None:
    [found] = differences(SHOULD, replace(SHOULD, **change))  # type: ignore[arg-type]
    assert found.what == what and mend in found.mend and found.loses is loses


def test_a_block_job_keeps_it_from_migrating_live() -> None:
    mirror = "<mirror type='file' job='copy' ready='yes'><source file='/b'/></mirror>"
    found = define(f"<disk type='file'><source file='/a'/>{mirror}<target dev='vda'/></disk>")
    assert found.stuck_live == ("a block job (copy) runs on its disk vda: virsh blockjob web1 vda",)
    assert found.stuck == ()


@pytest.mark.parametrize(("shown", "mend"), [
    (LAYER, "qemu-img commit -b /s/web1.qcow2 /s/web1.nightly"),
    (replace(LAYER, below=()),
     "cp /s/web1.qcow2 /s/web1.qcow2.old && qemu-img convert -O qcow2 /s/web1.nightly /s/web1.qcow2"),
    (replace(LAYER, device="cdrom"), ""),
])  # fmt: skip
def test_once_it_is_off_a_disks_content_is_saved_from_its_file(shown: Disk, mend: str) -> None:
    [one] = differences(SHOULD, replace(SHOULD, disks=(shown,)))
    assert one.mend_off == mend
