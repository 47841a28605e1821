"""Hosts come and go: the doctor, adoption, keys, half-failures, drain; nothing is left on a host."""

from __future__ import annotations

import contextlib
import subprocess

import pytest

from tests.lab.pool import Pool, wait_for, without
from vmctl import lab

pytestmark = pytest.mark.lab

FOREIGN = """<domain type='qemu'><name>foreign</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64'>hvm</type></os><devices><serial type='pty'/></devices></domain>"""


def traces(pool: Pool, host: str) -> str:
    """Everything on a host that we could have left: files, pools, domains, users, processes of ours."""
    look = [
        "find /etc/libvirt /etc/ssh /root /tmp /var/lib/libvirt -newer /run/host.sh -type f -printf '%p %s\\n' | sort",
        "virsh -q pool-list --all",
        "virsh -q list --all",
        "ls /tmp /shared/lockspace",
        "ps -eo args | grep -E 'vmctl|perl' | grep -v grep || true",
        "cat /etc/passwd | wc -l",
    ]
    return pool.ssh(host, "; ".join(look))


def test_nothing_of_the_probes_stays(pool: Pool) -> None:
    """Locks and storages were proven between hosts that were still on their way into the pool."""
    assert "probe" not in pool.ssh(pool.hosts[0], "ls -a /shared /shared/lockspace; virsh -q pool-list --all")


def test_a_host_is_left_as_it_was_found(pool: Pool) -> None:
    host = pool.hosts[2]
    with without(pool, host):
        before = wait_for(lambda: "perl" not in (t := traces(pool, host)) and t, 10, "our loop has ended")
        pool.do("host", "add", host)
        with pool.vms("guest1", options=("--host", host)):
            pool.counting("guest1")
        pool.do("host", "remove", host)

        def left() -> set[str]:
            # libvirt keeps a log and a cache per VM that ever ran; those are its own
            now = {line for line in traces(pool, host).splitlines() if "guest1" not in line}
            return now.symmetric_difference(before.splitlines())

        with contextlib.suppress(AssertionError):
            wait_for(lambda: not left(), 10, "nothing of ours is left")
        assert left() == set()


def test_the_doctor_reports_every_check(pool: Pool) -> None:
    ran = pool.do("host", "check", pool.hosts[0])
    for name in ("SSH", "libvirt", "KVM", "CPU", "memory", "clock", "sshd", "lock manager", "lock:", "network:"):
        assert name in ran.out, name
    assert f"a lease held on {pool.hosts[1]} is refused on {pool.hosts[0]}" in ran.out
    assert "/shared shared, proven" in ran.out
    assert "FAIL" not in ran.out


def test_a_changed_host_key_is_refused_with_both_fingerprints(pool: Pool) -> None:
    host = pool.hosts[1]
    pinned = pool.do("host", "show", host, "-o", "json").json["fingerprint"]
    key = pool.ssh(host, "ls /etc/ssh/*_key").strip()
    # in one breath: sshd reads its key anew for each login
    pool.ssh(
        host,
        f"ssh-keygen -q -t ed25519 -N '' -f /root/new; cp {key} /root/kept; cp /root/new {key}; pkill sshd",
        check=False,
    )
    try:
        state = lambda: pool.do("host", "list", "-o", "json").json  # noqa: E731
        shown = wait_for(
            lambda: next((h for h in state() if h["name"] == host and h["state"] == "untrusted"), None), 40, "untrusted"
        )
        assert pinned in shown["why"] and shown["why"].count("SHA256:") == 2
        ran = pool("host", "check", host)
        assert ran.code == 7 and "another SSH key" in ran.out
    finally:
        pool.ssh(host, f"cp /root/kept {key}; rm -f /root/kept /root/new*; pkill sshd", check=False)
        online = lambda: pool.do("host", "show", host, "-o", "json").json["state"] == "online"  # noqa: E731
        wait_for(online, 60, "trusted again")


def test_a_host_that_fails_is_not_half_registered(pool: Pool) -> None:
    host = pool.hosts[2]
    with without(pool, host):
        pool.ssh(host, "cp /etc/libvirt/qemu.conf /root/q; sed -i s/^lock_manager.*// /etc/libvirt/qemu.conf")
        try:
            ran = pool("host", "add", host, "nowhere.invalid")
        finally:
            pool.ssh(host, "mv /root/q /etc/libvirt/qemu.conf")
        assert ran.code in (3, 7) and "2 of 2 hosts were not added" in ran.err, ran
        assert "without a lock manager" in ran.err and 'lock_manager = "lockd"' in ran.err
        assert pool("host", "show", host).code == 4
        assert host not in pool.do("storage", "list").out
    ran = pool("host", "add", host, "nowhere.invalid")
    assert ran.code in (3, 7) and "registered already" in ran.err


def test_log_in_refused_names_the_command_that_mends_it(pool: Pool) -> None:
    host = pool.hosts[2]
    with without(pool, host):
        give_back = "(sleep 3; mv /root/.ssh/kept /root/.ssh/authorized_keys) >/dev/null 2>&1 &"
        pool.ssh(host, f"mv /root/.ssh/authorized_keys /root/.ssh/kept; {give_back}")
        ran = pool("host", "add", host)
        assert ran.code == 5 and "ssh-copy-id -i" in ran.err, ran
        wait_for(
            lambda: pool.ssh(host, "true", check=False) is not None and pool("host", "add", host).code == 0, 20, "back"
        )


def test_running_domains_are_adopted_and_not_touched(pool: Pool) -> None:
    host = pool.hosts[2]
    with without(pool, host):
        words = ["ssh", "-i", str(pool.key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        done = subprocess.run(
            [*words, f"root@{host}", "cat > /tmp/f.xml; virsh define /tmp/f.xml; virsh start foreign; rm /tmp/f.xml"],
            input=FOREIGN, capture_output=True, text=True,
        )  # fmt: skip
        assert "started" in done.stdout, done
        process = pool.ssh(host, "pgrep -f guest=foreign")
        ran = pool.do("host", "add", host)
        assert "1 running domains adopted: foreign" in ran.out
        seen = pool.vm("foreign")
        assert seen["adopted"] and seen["power"] == "running" and seen["host"] == host
        assert pool.ssh(host, "pgrep -f guest=foreign") == process
        refused = pool("delete", "foreign", "--yes")
        assert refused.code == 3
        pool.do("stop", "--force", "foreign")
        assert pool.vm("foreign")["host"] == host  # its definition is there
        pool.do("start", "foreign")
        wait_for(lambda: pool.copies("foreign") == {host: "running"}, 10, "started at home")
        pool.do("host", "remove", host)
        assert pool.copies("foreign") == {host: "running"} and pool("show", "foreign").code == 4
        pool.virsh(host, "destroy", "foreign")
        pool.virsh(host, "undefine", "foreign")


def test_a_dead_host_delays_nobody_and_starts_nothing(pool: Pool) -> None:
    host = pool.hosts[2]
    with pool.vms("there", options=("--host", host)):
        lab.cut(host)
        try:
            state = lambda: pool.do("host", "show", host, "-o", "json").json["state"]  # noqa: E731
            wait_for(lambda: state() == "unknown", 40, "seen as unknown")
            ran = pool("start", "there")
            assert ran.code == 3 and "may still run on" in ran.err
            assert pool("stop", "there").code == 8
            assert pool("delete", "there", "--yes").code == 3
            pool.do("create", "here", "--image", "tiny", "--memory", "128M")
            pool.do("stop", "--force", "here")
            pool.do("delete", "--yes", "here")
        finally:
            lab.heal(host)
        wait_for(lambda: pool.vm("there")["power"] == "running", 60, "back, and never restarted")


def test_labels_keep_vms_where_they_may_be(pool: Pool) -> None:
    pool.do("host", "label", pool.hosts[1], "rack=b")
    try:
        with pool.vms("racked", options=("--needs", "rack=b")):
            assert pool.vm("racked")["host"] == pool.hosts[1]
            ran = pool("migrate", "racked")
            assert ran.code == 3 and "needs label rack=b" in ran.err
    finally:
        pool.do("host", "label", pool.hosts[1], "rack=")


ORDINARY = """
set -e
for file in passwd group shadow; do cp -p /etc/$file /run/$file; mount --bind /run/$file /etc/$file; done
echo 'vmctl:x:990:990::/run/vmctl-home:/bin/sh' >> /etc/passwd
echo 'vmctl:*:19000::::::' >> /etc/shadow
echo 'vmctl:x:990:' >> /etc/group
for group in libvirt libvirt-qemu kvm; do
    getent group $group >/dev/null || continue
    sed "s/^\\($group:.*\\)$/\\1,vmctl/; s/:,vmctl$/:vmctl/" /etc/group > /run/group.new
    cat /run/group.new > /etc/group
done
mkdir -p -m 755 /run/vmctl-home/.ssh
printf 'restrict,port-forwarding ' > /run/vmctl-home/.ssh/authorized_keys
cat /root/.ssh/authorized_keys >> /run/vmctl-home/.ssh/authorized_keys
chown -R 990:990 /run/vmctl-home
"""
NO_MORE = "for file in passwd group shadow; do umount /etc/$file; done; rm -rf /run/vmctl-home"


def test_an_ordinary_user_with_a_restricted_key_suffices(pool: Pool) -> None:
    """In the group of libvirt's socket, with `restrict,port-forwarding`: load, VMs, migration in and out."""
    host = pool.hosts[2]
    with without(pool, host):
        pool.ssh(host, ORDINARY)
        try:
            pool.do("host", "add", host, "--user", "vmctl", "--lockspace", "/shared/lockspace")
            shown = lambda: pool.do("host", "show", host, "-o", "json").json["load"]  # noqa: E731
            wait_for(shown, 20, "its load")
            with pool.vms("guest2", options=("--host", host)):
                before = pool.counting("guest2")
                pool.do("migrate", "guest2")
                pool.do("migrate", "guest2", "--to", host)
                pool.still_counts("guest2", before)
            pool.do("host", "remove", host)
        finally:
            pool.ssh(host, NO_MORE)
