"""Ganeti's text format: nothing that it can say is lost, and the real hbal sees the score that we see."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmctl.decide import score
from vmctl.errors import Usage
from vmctl.formats import ganeti
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostLoad, HostState
from vmctl.model.vms import VM, Disk, PowerState, Spec, VMLoad

GIVEN = """\
default|fake-uuid-01|preferred||

n1|1000|100|700|1000|1000|8|N|fake-uuid-01|1||N|0|1|1.0
n2|2000|0|1900|1000|1000|4|M|fake-uuid-01|1|rack:a,ssd|N|0|1|1.0
n3|?|?|?|?|?|?|Y|fake-uuid-01|1|rack:b|N|0|1|1.0

vm1|200|0|2|running|Y|n1||ext|apart:web,other|1|0|N
vm2|100|0|1|ADMIN_down|Y|n2||plain||1|0|N
vm3|100|0|1|running|Y|n2||rbd|ip:x|1

htools:iextags:apart
htools:iextags:ip

|128,1,1024,1,1,1|128,1,1024,1,1,1;32768,8,1048576,16,8,12|ext|4.0|32.0
default|128,1,1024,1,1,1|128,1,1024,1,1,1;32768,8,1048576,16,8,12|ext|3.5|32.0
"""
LOADS = "vm1 0.5 0.2 0.1 0.3\nvm2 0 0 0 0\nvm3 0.25 0.04 0 1\n"


def test_a_file_as_ganeti_writes_it() -> None:
    cluster, policy = ganeti.read(GIVEN, LOADS)
    assert cluster.hosts == (
        Host("n1", cpus=8, mem_mib=1000, load=HostLoad(4.0, 300, disk=0.1, net=0.3)),
        Host("n2", cpus=4, mem_mib=2000, load=HostLoad(1.0, 80, net=1.0), labels={"rack": "a", "ssd": ""}),
        Host("n3", HostState.UNKNOWN, 1, 1, labels={"rack": "b"}, why_not="offline in Ganeti"),
    )
    running, stopped = PowerState.RUNNING, PowerState.STOPPED
    assert cluster.vms == (
        VM(Spec("vm1", "vm1", 2, 200, apart="web"), "n1", power=running, load=VMLoad(4.0, 200, disk=0.1, net=0.3)),
        VM(Spec("vm2", "vm2", 1, 100, pinned=True), "n2", power=stopped, load=VMLoad(0.0, 0)),
        VM(Spec("vm3", "vm3", 1, 100, apart="ip:x"), "n2", power=running, load=VMLoad(1.0, 80, net=1.0)),
    )
    assert policy == ganeti.policy(3.5)
    assert (policy.weight_vcpus, policy.weight_overload, policy.min_gain) == (1.0, 0.0, 0.0)


def test_without_utilisation_nothing_is_used() -> None:
    cluster, _ = ganeti.read(GIVEN)
    assert {vm.load for vm in cluster.vms} == {VMLoad(0.0, 0)}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("\n\n", "\n", "1 sections instead of 3 to 5"),
        ("1000|100|700", "1000|much|700", "line 3: 'much' is not a number: n1|1000|much"),
        ("n2|2000", "n1|2000", "line 4: this node is there already"),
        ("n3|?|?|?|?|?|?|Y|fake-uuid-01|1|rack:b|N|0|1|1.0", "n3|?", "line 5: a node has 9 fields or more, not 2"),
        ("|Y|n2||plain", "|Y|n9||plain", "line 8: there is no node 'n9'"),
        ("apart:web,other", "apart:web,ip:y", "line 7: two exclusion tags (apart:web, ip:y)"),
        ("preferred||\n", "preferred||\nmore|fake-uuid-02|preferred||\n", "line 2: a second node group"),
    ],
)
def test_what_cannot_be_read_is_named(old: str, new: str, words: str) -> None:
    with pytest.raises(Usage) as caught:
        ganeti.read(GIVEN.replace(old, new))
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("loads", "words"),
    [
        ("vm1 0.5 0.2 0.1\n", "line 1: 3 numbers instead of cpu, mem, disk, net"),
        (LOADS + "vm4 a lot\n", "line 4: not a name and four numbers"),
        (LOADS + "vm4 0 0 0 0\n", "an instance that is not there: vm4"),
        ("vm1 0 0 0 0\n", "no utilisation of vm2"),
    ],
)
def test_utilisation_that_cannot_be_read_is_named(loads: str, words: str) -> None:
    with pytest.raises(Usage) as caught:
        ganeti.read(GIVEN, loads)
    assert words in caught.value.message


# -- what is written


SHARES = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)


@st.composite
def clusters(draw: st.DrawFn, plain: bool = False) -> Cluster:
    """Clusters that the format can hold; plain ones: of equal hosts, with nothing but loads."""
    sizes = draw(st.sampled_from(((4, 8192), (64, 262144))))
    names = [f"n{number}" for number in range(draw(st.integers(1, 5)))]
    vms = [draw(_vms(f"vm{number}", names, sizes, plain)) for number in range(draw(st.integers(0, 8)))]
    return Cluster(tuple(draw(_hosts(name, vms, sizes, plain)) for name in names), tuple(vms))


@st.composite
def _vms(draw: st.DrawFn, name: str, hosts: list[str], sizes: tuple[int, int], plain: bool) -> VM:
    apart = "" if plain else draw(st.sampled_from(("", "", "web", "ip:x")))
    spec = Spec(
        name, name, draw(st.integers(1, 2)), sizes[1] // 8, apart=apart, pinned=not plain and draw(st.booleans())
    )
    load = VMLoad(sizes[0] * draw(SHARES), draw(st.integers(0, sizes[1] // 8)), disk=draw(SHARES), net=draw(SHARES))
    power = PowerState.RUNNING if plain else draw(st.sampled_from((PowerState.RUNNING, PowerState.STOPPED)))
    return VM(spec, draw(st.sampled_from(hosts)), power=power, load=load)


@st.composite
def _hosts(draw: st.DrawFn, name: str, vms: list[VM], sizes: tuple[int, int], plain: bool) -> Host:
    loads = [vm.load for vm in vms if vm.host == name and vm.load]
    beside = 0 if plain else draw(st.integers(0, 500))
    load = HostLoad(
        sum(load.cpu for load in loads),
        sum(load.mem_mib for load in loads) + beside,
        disk=sum(load.disk for load in loads),
        net=sum(load.net for load in loads),
    )
    labels = {} if plain else draw(st.dictionaries(st.sampled_from(("rack", "ssd")), st.sampled_from(("a", ""))))
    return Host(name, cpus=sizes[0], mem_mib=sizes[1], load=load, labels=labels)


def rounded(cluster: Cluster) -> object:
    """A cluster to compare: shares as far as the file tells them."""

    def short(load: HostLoad | VMLoad | None) -> object:
        return load and tuple(round(number, 9) for number in (load.cpu, load.disk, load.net))

    hosts = [
        (h.name, h.cpus, h.mem_mib, h.labels, h.load and h.load.mem_used_mib, short(h.load)) for h in cluster.hosts
    ]
    vms = [(vm.spec, vm.host, vm.power, vm.load and vm.load.mem_mib, short(vm.load)) for vm in cluster.vms]
    return hosts, vms


@settings(deadline=None)
@given(clusters(), st.integers(1, 32))
def test_what_is_written_is_what_is_read(cluster: Cluster, ratio: int) -> None:
    files = ganeti.write(cluster, ganeti.policy(ratio))
    found, policy = ganeti.read(*files)
    assert rounded(found) == rounded(cluster)
    assert policy == ganeti.policy(ratio)
    assert ganeti.write(found, policy) == files
    assert ganeti.lost(cluster) == ()


def test_what_the_format_cannot_hold_is_told() -> None:
    vms = (
        VM(Spec("u1", "vm1", 1, 512, disks=(Disk("main", "/a"),), together="web"), "n1", power=PowerState.RUNNING),
        VM(Spec("u2", "vm2", 1, 512)),
    )
    cluster = Cluster((Host("n1", mem_mib=4096), Host("n2", draining=True)), vms)
    assert ganeti.lost(cluster) == (
        "left out, because they are on no host: vm2",
        "without their together: vm1",
        "offline instead of draining: n2",
    )
    found, _ = ganeti.read(*ganeti.write(cluster, ganeti.policy()))
    assert [vm.name for vm in found.vms] == ["vm1"]
    assert found.vms[0].load == VMLoad(0.25, 512), "a VM that was not measured uses what it is expected to"
    assert [host.state for host in found.hosts] == [HostState.ONLINE, HostState.UNKNOWN]


@pytest.mark.parametrize("name", ["a|b", "a b", "a,b", ""])
def test_a_name_that_would_break_the_file_is_refused(name: str) -> None:
    with pytest.raises(Usage, match="cannot hold"):
        ganeti.write(Cluster((Host(name),), ()), ganeti.policy())


# -- the real hbal


def hbal(folder: Path, cluster: Cluster) -> float:
    """The score that hbal begins with."""
    assert shutil.which("hbal"), "hbal is missing: apt-get install ganeti-htools"
    data, loads = ganeti.write(cluster, ganeti.policy(32.0))
    (folder / "data").write_text(data)
    (folder / "loads").write_text(loads)
    command = ["hbal", "-t", str(folder / "data"), "-U", str(folder / "loads"), "-l", "0", "-v", "-v"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"Initial (?:score|coefficients): (?:overall )?([0-9.]+)", done.stdout)
    if found is None:
        assert "already balanced" in done.stdout or "Cluster is empty" in done.stdout, done.stdout + done.stderr
        return 0.0
    return float(found[1])


@settings(deadline=None, max_examples=25)
@given(cluster=clusters(plain=True))
def test_hbal_begins_with_our_score(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    ours = score.total(score.terms(cluster, ganeti.policy()))
    assert hbal(tmp_path_factory.mktemp("hbal"), cluster) == pytest.approx(ours, abs=1e-3)
