"""VMs that somebody else made, or changed past us: nothing of theirs is lost by a cold move or a stop."""

from __future__ import annotations

import pytest

from tests.lab.foreign import AT, adopted, definitions, xml
from tests.lab.pool import Pool, wait_for

pytestmark = pytest.mark.lab


def disks(pool: Pool, host: str, name: str) -> str:
    return pool.virsh(host, "domblklist", name)


def test_a_vm_of_ours_on_a_snapshots_layer_is_not_stopped(pool: Pool) -> None:
    """What backup scripts do: an external snapshot without metadata. Everything written since is in the new layer."""
    with pool.vms("snap1", options=("--host", pool.hosts[0])):
        pool.counting("snap1")
        disk = pool.vm("snap1")["disks"][0]
        assert pool.vm("snap1")["differs"] == []
        pool.virsh(pool.hosts[0], "snapshot-create-as", "snap1", "nightly", "--disk-only", "--atomic", "--no-metadata")
        assert "nightly" in disks(pool, pool.hosts[0], "snap1")
        for words in (("migrate", "snap1", "--cold"), ("reboot", "snap1")):
            ran = pool(*words)
            assert ran.code == 3 and disk in ran.err and "nightly" in ran.err and "blockcommit" in ran.err, ran
        assert "nightly" in pool("migrate", "snap1", "--check").out
        assert "nightly" in pool.do("show", "snap1").out and "nightly" in pool.do("events").out
        pool.do("migrate", "snap1", "--to", pool.hosts[1])  # live, the layer goes along
        assert "nightly" in disks(pool, pool.hosts[1], "snap1")
        image = pool.do("image", "list", "-o", "json").json[0]["path"]
        before = pool.ssh(pool.hosts[1], f"sha256sum {image}")
        mend = wait_for(lambda: pool.vm("snap1")["differs"], 90, "it differs there, too")[0]["mend"]
        pool.ssh(pool.hosts[1], mend)  # as it is told: the layer goes into the disk, and not into the image below
        assert pool.ssh(pool.hosts[1], f"sha256sum {image}") == before
        pool.do("migrate", "snap1", "--cold", "--to", pool.hosts[2])
        assert disk in disks(pool, pool.hosts[2], "snap1")
        pool.ssh(pool.hosts[0], f"rm -f {disk.rsplit('.', 1)[0]}.nightly")


def test_a_layer_stays_known_after_the_guest_powered_itself_off(pool: Pool) -> None:
    with pool.vms("snap2", options=("--host", pool.hosts[0])):
        pool.counting("snap2")
        disk = pool.vm("snap2")["disks"][0]
        pool.virsh(pool.hosts[0], "snapshot-create-as", "snap2", "n", "--disk-only", "--atomic", "--no-metadata")
        pool("migrate", "snap2", "--check")  # any look will do
        pool.virsh(pool.hosts[0], "destroy", "snap2")
        wait_for(lambda: pool.vm("snap2")["power"] == "stopped", 30, "seen as stopped")
        ran = pool("start", "snap2")
        assert ran.code == 3 and f"{disk.rsplit('.', 1)[0]}.n" in ran.err and "--as-registered" in ran.err, ran
        pool.ssh(pool.hosts[0], f"qemu-img commit -q {disk.rsplit('.', 1)[0]}.n && rm {disk.rsplit('.', 1)[0]}.n")
        pool.do("start", "snap2", "--as-registered")


def test_what_its_owner_gives_an_adopted_vm_goes_along(pool: Pool) -> None:
    """A second disk, more memory, libvirt's autostart; and what is only attached to what runs is refused."""
    host, other = pool.hosts[:2]
    with adopted(pool, host, "legacy1", xml("legacy1")):
        pool.counting("legacy1")
        pool.ssh(host, f"qemu-img create -q -f qcow2 {AT}/legacy1.data 64M")
        attach = ("attach-disk", "legacy1", f"{AT}/legacy1.data", "vdb", "--subdriver", "qcow2", "--cache", "none")
        pool.virsh(host, *attach, "--live")
        ran = pool("migrate", "legacy1", "--cold", "--to", other)
        assert ran.code == 3 and "legacy1.data" in ran.err and "detach-disk" in ran.err, ran
        assert pool.copies("legacy1") == {host: "running"}
        pool.virsh(host, *attach, "--config")
        pool.virsh(host, "setmaxmem", "legacy1", "220M", "--config")
        pool.virsh(host, "setmem", "legacy1", "220M", "--config")
        pool.virsh(host, "autostart", "legacy1")
        pool.do("migrate", "legacy1", "--cold", "--to", other)
        assert definitions(pool, "legacy1") == [other] and pool.copies("legacy1") == {other: "running"}
        assert "legacy1.data" in disks(pool, other, "legacy1")
        assert pool.vm("legacy1")["mem_mib"] == 220 and len(pool.vm("legacy1")["disks"]) == 2
        assert "enable" in pool.ssh(other, "virsh dominfo legacy1 | grep Autostart")


def test_what_hangs_on_its_host_is_named_before_anything_is_touched(pool: Pool) -> None:
    host, other = pool.hosts[:2]
    shared = "<filesystem><source dir='/srv'/><target dir='srv'/></filesystem>"
    with adopted(pool, host, "bound1", xml("bound1", devices=shared), start=False):
        for bound in (("--check",), ("--to", other)):
            ran = pool("migrate", "bound1", *bound)
            assert ran.code == 3 and "a host directory is shared with the guest" in ran.out + ran.err, ran
        assert definitions(pool, "bound1") == [host]
    with adopted(pool, host, "bound2", xml("bound2")):
        pool.counting("bound2")
        pool.virsh(host, "snapshot-create-as", "bound2", "before-upgrade")
        for words in (("--check",), ("--to", other), ("--cold", "--to", other)):
            ran = pool("migrate", "bound2", *words)
            assert ran.code == 3 and "1 snapshot" in ran.out + ran.err, ran
        assert "bound2 stays: it has 1 snapshot" in pool("host", "drain", host, "--plan").out
        assert pool.copies("bound2") == {host: "running"} and definitions(pool, "bound2") == [host]


def test_every_network_card_counts(pool: Pool) -> None:
    host, other = pool.hosts[:2]
    pool.ssh(host, "ip link add br-dmz type bridge && ip link set br-dmz up")
    second = (
        "<interface type='bridge'><mac address='52:54:00:aa:bb:01'/><source bridge='br-dmz'/><model type='virtio'/>"
    )
    try:
        with adopted(pool, host, "nics2", xml("nics2", devices=f"{second}<driver name='qemu'/></interface>")):
            pool.counting("nics2")
            for words in (("--check",), ("--to", other), ("--cold", "--to", other)):
                ran = pool("migrate", "nics2", *words)
                assert ran.code == 3 and "br-dmz" in ran.out + ran.err, ran
            assert pool.copies("nics2") == {host: "running"} and definitions(pool, "nics2") == [host]
    finally:
        pool.ssh(host, "ip link delete br-dmz", check=False)


def test_a_start_that_fails_on_the_target_is_made_good_on_the_source(pool: Pool) -> None:
    """QEMU there is broken in a way that no check sees."""
    host, other = pool.hosts[:2]
    with adopted(pool, host, "back1", xml("back1")):
        pool.counting("back1")
        pool.ssh(other, "cp /usr/bin/false /run/false; mount --bind /run/false /usr/bin/qemu-system-x86_64")
        try:
            ran = pool("migrate", "back1", "--cold", "--to", other)
        finally:
            pool.ssh(other, "umount /usr/bin/qemu-system-x86_64")
        assert ran.code == 1 and f"started again on {host}" in ran.err, ran
        assert pool.copies("back1") == {host: "running"} and definitions(pool, "back1") == [host]


def test_a_transient_one_stays_transient_and_is_kept(pool: Pool) -> None:
    host, other = pool.hosts[:2]
    with adopted(pool, host, "trans", xml("trans"), transient=True):
        pool.counting("trans")
        pool.do("migrate", "trans", "--to", other)
        assert definitions(pool, "trans") == [] and pool.copies("trans") == {other: "running"}
        pool.do("migrate", "trans", "--cold", "--to", host)
        assert definitions(pool, "trans") == [] and pool.copies("trans") == {host: "running"}
        pool.do("stop", "--force", "trans")
        pool.do("start", "trans")
        assert len(pool.copies("trans")) == 1


def test_a_new_name_is_followed(pool: Pool) -> None:
    host = pool.hosts[0]
    with adopted(pool, host, "oldname", xml("oldname"), start=False):
        pool.virsh(host, "domrename", "oldname", "newname")
        try:
            wait_for(lambda: pool("show", "newname").code == 0, 90, "the new name is known")
            assert "is called newname now" in pool.do("events").out
        finally:
            pool.virsh(host, "domrename", "newname", "oldname")
            wait_for(lambda: pool("show", "oldname").code == 0, 90, "the old name is known again")


def test_a_drain_takes_a_stopped_ones_definition_along(pool: Pool) -> None:
    host = pool.hosts[2]
    with adopted(pool, host, "saved1", xml("saved1"), start=False):
        plan = pool.do("host", "drain", host, "--plan").out
        assert "saved1 is stopped and defined on" in plan, plan
        pool.do("host", "drain", host)
        assert definitions(pool, "saved1") and host not in definitions(pool, "saved1")
        assert "drained" in pool.do("host", "show", host).out
        pool.do("host", "undrain", host)


def test_a_medium_that_only_its_host_has_is_named_until_it_is_ejected(pool: Pool) -> None:
    host, other = pool.hosts[:2]
    pool.ssh(host, "mkdir -p /var/lib/libvirt/images; head -c 1M /dev/zero > /var/lib/libvirt/images/netinst.iso")
    iso = """<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>
      <source file='/var/lib/libvirt/images/netinst.iso'/><target dev='sda' bus='sata'/><readonly/></disk>"""
    with adopted(pool, host, "iso1", xml("iso1", devices=iso)):
        pool.counting("iso1")
        ran = pool("migrate", "iso1", "--check")
        assert f"CD-ROM sda holds /var/lib/libvirt/images/netinst.iso, which only {host} has" in ran.out, ran
        pool.virsh(host, "change-media", "iso1", "sda", "--eject")
        pool.do("migrate", "iso1", "--to", other)


def test_a_guest_that_sleeps_is_woken(pool: Pool) -> None:
    host = pool.hosts[0]
    text = xml("sleepy", more="<pm><suspend-to-mem enabled='yes'/></pm>")
    with adopted(pool, host, "sleepy", text):
        pool.counting("sleepy")
        pool.ssh(pool.address("sleepy"), "(sleep 1; echo mem > /sys/power/state) >/dev/null 2>&1 &", check=False)
        wait_for(lambda: pool.vm("sleepy")["power"] == "paused", 40, "it sleeps")
        wait_for(lambda: "asleep" in pool.vm("sleepy")["why"], 20, "and it is said why")
        ran = pool("stop", "sleepy")
        assert ran.code == 3 and "vmctl resume sleepy" in ran.err, ran
        pool.do("resume", "sleepy")
        assert pool.vm("sleepy")["power"] == "running"
