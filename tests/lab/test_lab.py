"""The lab itself, on a lab of its own ("t"), beside whatever else runs here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from vmctl import lab
from vmctl.errors import NotAllowed, NotFound, Refused
from vmctl.lab import clean
from vmctl.lab.names import Lab
from vmctl.local import paths

pytestmark = [pytest.mark.lab, pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root")]
NAME = "t"
T = TypeVar("T")
MAC = "52:54:00:00:00:01"
GUEST = f"""
<domain type='{{kind}}'>
  <name>guest</name><memory unit='MiB'>192</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type>
    <kernel>/shared/vmlinuz</kernel><initrd>/shared/initrd</initrd><cmdline>{{cmdline}} hostname=guest</cmdline></os>
  <features><acpi/></features><on_poweroff>destroy</on_poweroff>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/>
      <source file='/shared/tiny.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <interface type='bridge'><mac address='{MAC}'/><source bridge='br0'/><model type='virtio'/><driver name='qemu'/>
      </interface>
    <serial type='pty'/>
  </devices>
</domain>
"""


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMCTL_LAB", NAME)


@pytest.fixture(scope="module")
def two_hosts() -> Iterator[lab.LabStatus]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VMCTL_LAB", NAME)
        lab.down()
        yield lab.up(2)
        lab.down()


def ssh(host: str, command: str) -> str:
    """Run it on a host, the way the controller logs in."""
    address = next(one.address for one in lab.status().hosts if one.name == host)
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    words = [
        "ssh",
        "-n",
        "-i",
        str(paths.ssh_key_path()),
        *options,
        "-o",
        "ConnectTimeout=2",
        f"root@{address}",
        command,
    ]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=20).stdout


def reachable(address: str) -> bool:
    """Whether it answers one of five: a single one may come a little too late on a busy machine."""
    return subprocess.run(["ping", "-c5", "-i0.2", "-W1", address], capture_output=True).returncode == 0


def state(host: str) -> str:
    return next(one.state for one in lab.status().hosts if one.name == host)


def traces() -> dict[str, set[str]]:
    """Everything on this machine that a lab could leave behind, other labs' excepted."""
    mounts = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    groups = {str(path) for path in Path("/sys/fs/cgroup").rglob("vmctl-lab-*") if path.is_dir()}
    links = {path.name for path in Path("/sys/class/net").iterdir()}
    namespaces = {str(path) for path in Path("/run/netns").glob("*")}
    found = {"mounts": mounts, "groups": groups, "links": links, "namespaces": namespaces}
    mine = (f"/lab-{NAME}/", f"/vmctl-lab-{NAME}", f"vl-{NAME}")
    kept = {kind: {one for one in names if any(mark in one for mark in mine)} for kind, names in found.items()}
    kept["namespaces"] = namespaces
    kept["processes"] = set(clean.left(Lab(NAME)))
    kept["firewall"] = {line for line in _output("iptables", "-S").splitlines() if f"vl-{NAME} " in line}
    return kept


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def test_every_host_answers(two_hosts: lab.LabStatus) -> None:
    for host in two_hosts.hosts:
        assert "Running hypervisor: QEMU" in ssh(host.name, "virsh version")


def test_names_resolve_on_the_machine_and_on_the_hosts(two_hosts: lab.LabStatus) -> None:
    first, second = two_hosts.hosts
    assert first.address in _output("getent", "hosts", first.name)
    assert second.address in ssh(first.name, f"getent hosts {second.name}")
    assert ssh(first.name, "hostname").strip() == first.name


def test_status_shows_what_runs(two_hosts: lab.LabStatus) -> None:
    done = subprocess.run([sys.executable, "-m", "vmctl.lab", "status", "-o", "json"], capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert [host["state"] for host in found["hosts"]] == ["up", "up"]
    assert found["accelerator"] in ("kvm", "tcg") and found["reason"]
    assert "tiny" in [image["name"] for image in found["images"]]


def test_up_again_starts_nothing_and_is_quick(two_hosts: lab.LabStatus) -> None:
    began = time.monotonic()
    again = lab.up()
    assert time.monotonic() - began < 2
    assert [host.pid for host in again.hosts] == [host.pid for host in two_hosts.hosts]


def test_hosts_are_apart(two_hosts: lab.LabStatus) -> None:
    first, second = (host.name for host in two_hosts.hosts)
    identity = (
        "cat /etc/machine-id /proc/sys/kernel/random/boot_id; virsh capabilities | grep '<uuid>'; ls /proc | wc -l"
    )
    one, other = ssh(first, identity).splitlines(), ssh(second, identity).splitlines()
    assert all(mine != theirs for mine, theirs in zip(one[:3], other[:3], strict=True))
    assert "libvirtd" in ssh(first, "ps ax") and "dnsmasq" not in ssh(first, "ps ax")
    ssh(first, "echo seen > /shared/vms/proof; echo mine > /tmp/proof; echo mine > /run/proof")
    assert ssh(second, "cat /shared/vms/proof; ls /tmp /run").splitlines()[0] == "seen"
    assert ssh(second, "ls /tmp /run").count("proof") == 0


def test_load_shows_only_where_it_is(two_hosts: lab.LabStatus) -> None:
    first, second = (host.name for host in two_hosts.hosts)
    user = "awk '/^cpu / {print $2 + $3 + $4}' /proc/stat"
    before = int(ssh(first, user)), int(ssh(second, user))
    ssh(first, "timeout 2 sh -c 'while :; do :; done' || true")
    busy, idle = int(ssh(first, user)) - before[0], int(ssh(second, user)) - before[1]
    assert busy > 100 and idle < busy / 2, (busy, idle)


def test_memory_and_pressure_are_the_hosts_own(two_hosts: lab.LabStatus) -> None:
    first = two_hosts.hosts[0].name
    total, *pressure = ssh(first, "grep MemTotal /proc/meminfo; cat /proc/pressure/cpu").splitlines()
    assert int(total.split()[1]) == 3 * 1024 * 1024
    assert pressure[0].startswith("some avg10=")


def test_only_what_works_is_offered(two_hosts: lab.LabStatus) -> None:
    offered = ssh(two_hosts.hosts[0].name, "virsh capabilities | grep '<domain type'; ls /dev")
    assert ("'kvm'" in offered) == (two_hosts.accelerator == "kvm")


def test_cut_and_heal(two_hosts: lab.LabStatus) -> None:
    host = two_hosts.hosts[1]
    assert reachable(host.address)
    lab.cut(host.name)
    assert not reachable(host.address)
    assert state(host.name) == "cut" and Path(f"/proc/{host.pid}").exists()
    lab.heal(host.name)
    assert reachable(host.address) and state(host.name) == "up"


def test_power_failure_and_boot(two_hosts: lab.LabStatus) -> None:
    name = two_hosts.hosts[1].name
    ssh(name, "echo stays > /var/lib/libvirt/proof; echo goes > /run/proof")
    first = ssh(name, "cat /proc/sys/kernel/random/boot_id")
    lab.kill(name)
    assert state(name) == "down"
    with pytest.raises(Refused, match="is down"):
        lab.cut(name)
    lab.boot(name)
    assert ssh(name, "cat /var/lib/libvirt/proof; ls /run").splitlines().count("proof") == 0
    second = ssh(name, "cat /proc/sys/kernel/random/boot_id")
    lab.boot(name)
    assert len({first, second, ssh(name, "cat /proc/sys/kernel/random/boot_id")}) == 3


def test_a_name_that_is_no_host(two_hosts: lab.LabStatus) -> None:
    with pytest.raises(NotFound):
        lab.cut("kvm99")


def test_a_tiny_guest_lives_moves_and_shuts_down(two_hosts: lab.LabStatus) -> None:
    first, second = (
        f"qemu+unix:///system?socket=/proc/{host.pid}/root/run/libvirt/libvirt-sock" for host in lab.status().hosts
    )
    image = next(image for image in two_hosts.images if image.name == "tiny")
    for file in (image.kernel, image.initrd, image.disk):
        shutil.copy(file, two_hosts.shared / file.name)
    domain = two_hosts.shared / "guest.xml"
    domain.write_text(GUEST.format(kind="kvm" if two_hosts.accelerator == "kvm" else "qemu", cmdline=image.cmdline))
    _virsh(first, "create", str(domain))
    boot_id, number = until(_count)
    _virsh(first, "migrate", "--live", "--unsafe", "guest", second)
    again, later = until(_count)
    assert again == boot_id and int(later) > int(number)
    assert sum(host.vms for host in lab.status().hosts) == 1
    _virsh(second, "shutdown", "guest")
    assert until(lambda: not _virsh(second, "list", "--name").strip())


def _virsh(where: str, *words: str) -> str:
    done = subprocess.run(["virsh", "-c", where, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _count() -> list[str]:
    """The guest's boot id and life sign, from its web server."""
    if MAC not in lab.addresses():
        return []
    try:
        with urllib.request.urlopen(f"http://{lab.addresses()[MAC]}/count", timeout=1) as answer:
            return str(answer.read().decode()).split()
    except OSError:
        return []


def until(ask: Callable[[], T]) -> T:
    """Ask until the answer is something."""
    end = time.monotonic() + 40
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(0.2)
    raise AssertionError("waited in vain")


def test_only_root_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotAllowed) as caught:
        lab.up()
    assert caught.value.hint == "sudo vmctl lab up"


class TestNothingRemains:
    """Run after the module's lab: these take it down themselves."""

    def test_after_down(self) -> None:
        lab.down()
        before = traces()
        lab.up(2)
        assert traces() != before
        lab.down()
        assert traces() == before == {kind: set() for kind in before}
        assert not Lab(NAME).directory.exists() and not Lab(NAME).lock.exists()

    def test_after_a_lost_state_directory(self) -> None:
        lab.up(1)
        subprocess.run(["rm", "-rf", "--one-file-system", str(Lab(NAME).directory / "hosts")], check=True)
        lab.down()
        assert not any(traces().values())

    def test_after_up_was_killed_at_any_moment(self) -> None:
        lines = _lines_of_up()
        lab.down()
        moments = [(line, 0.0) for line in range(lines)] + [(4, delay) for delay in (0.03, 0.1, 0.2, 0.4, 0.8, 1.2)]
        for line, delay in moments:
            _kill_up_after(line, delay)
            lab.down()
            assert not any(traces().values()), f"killed {delay} s after line {line}"

    def test_disks_are_kept_when_asked(self) -> None:
        lab.up(1)
        (Lab(NAME).shared / "vms" / "disk").write_text("data")
        lab.down(keep_disks=True)
        assert not any(traces().values())
        assert (Lab(NAME).shared / "vms" / "disk").read_text() == "data"
        lab.down()
        assert not Lab(NAME).directory.exists()


UP = [sys.executable, "-m", "vmctl.lab", "up", "--hosts", "2"]


def _lines_of_up() -> int:
    """How many lines of progress a whole `up` reports. That this returns shows that no daemon holds the pipe."""
    return len(subprocess.run(UP, capture_output=True, text=True, check=True, timeout=60).stderr.splitlines())


def _kill_up_after(line: int, delay: float) -> None:
    """SIGKILL `lab up` so long after that line of progress."""
    with subprocess.Popen(UP, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as up:
        assert up.stderr is not None
        for _ in range(line):
            up.stderr.readline()
        time.sleep(delay)
        up.kill()
