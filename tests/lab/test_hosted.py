"""Two of three controllers are on KVM hosts, as an admin has them who has three machines in all: the power of a host is
a controller's, too, and its cable.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.pool import NAME, wait_for
from tests.lab.test_faults import Migration
from tests.lab.trio import Trio, three_controllers
from vmctl import lab
from vmctl.errors import Usage
from vmctl.lab.names import Machine

pytestmark = [pytest.mark.lab, pytest.mark.nightly]
BACK_S = 120.0  # a boot, a lost host that is looked at, and a start


class Hosted(Trio):
    """kctl1 on kvm1, kctl2 on kvm2, ctl1 by itself."""

    hosted = 2


@pytest.fixture(scope="module")
def trio() -> Iterator[Hosted]:
    with three_controllers(Hosted, 3, f"{NAME[:7]}h") as made:
        yield made


def one_on_a_host_leads(trio: Trio) -> Machine:
    """It, whoever led before."""
    while trio.leader.host is None:
        trio.end_leaders_life()
    return trio.leader


def host_of(one: Machine) -> str:
    assert one.host is not None
    return one.host.name


def made_on(trio: Trio, name: str, host: str) -> None:
    if trio.vm(name)["host"] != host:
        trio.do("migrate", name, "--to", host)


def test_a_controller_on_a_host_has_that_hosts_address_and_no_cable_of_its_own(trio: Trio) -> None:
    addresses = {host.name: host.address for host in lab.status().hosts}
    told = {one["name"]: one["address"] for one in trio.do("controller", "list", "-o", "json").json}
    for one in trio.machines[:2]:
        assert told[one.name] == f"{addresses[host_of(one)]}:8007"
        with pytest.raises(Usage, match="no cable of its own"):
            lab.cut(one.name)
    assert len(trio.do("host", "list", "-o", "name").out.split()) == 3, "its own host is one of the pool"


def test_a_host_with_the_leader_and_a_vm_loses_its_power(trio: Trio) -> None:
    """Nobody starts the VM elsewhere: that the host is dead is not proven. Once it is back, both are."""
    victim = one_on_a_host_leads(trio)
    host = host_of(victim)
    with trio.vms("here", "there"):
        made_on(trio, "here", host)
        made_on(trio, "there", next(name for name in trio.hosts if name != host))
        before = trio.counting("there")
        lab.kill(host)
        trio.led_by_another(victim)
        wait_for(lambda: trio.vm("here")["power"] == "unknown", 60, "nobody knows of the VM there")
        assert trio.copies("here") == {}
        trio.still_counts("there", before)
        assert trio("start", "here").code != 0, "it may run there, for all that is known"
        lab.boot(host)
        wait_for(lambda: trio.copies("here") and trio.vm("here")["power"] == "running", BACK_S, "it is started again")
        wait_for(lambda: trio.answers(victim), 60, "so is its controller")
        assert len(trio.copies("here")) == 1
        trio.agree("here", "there")
        trio.still_counts("there", before)


def test_the_leaders_host_loses_its_power_while_a_vm_leaves_it(trio: Trio) -> None:
    victim = one_on_a_host_leads(trio)
    host = host_of(victim)
    with trio.vms("busy", memory="256M"):
        made_on(trio, "busy", host)
        moving = Migration(trio, "busy")
        assert moving.source == host
        lab.kill(host)
        trio.led_by_another(victim)
        assert moving.ended()["state"] in ("done", "failed")
        assert len(trio.copies("busy")) <= 1
        lab.boot(host)
        wait_for(lambda: len(trio.copies("busy")) == 1, BACK_S, "it runs once, wherever")
        trio.agree("busy")


def test_the_leaders_host_is_cut_off_with_its_vm(trio: Trio) -> None:
    """The VM goes on where it is; who leads there is replaced, and nobody starts the VM a second time."""
    victim = one_on_a_host_leads(trio)
    host = host_of(victim)
    with trio.vms("here"):
        made_on(trio, "here", host)
        before = trio.counting("here")
        lab.cut(host)
        trio.led_by_another(victim)
        wait_for(lambda: trio.vm("here")["power"] == "unknown", 60, "nobody knows of the VM there")
        assert trio("start", "here").code != 0
        lab.heal(host)
        trio.joined_again(victim)
        wait_for(lambda: trio.vm("here")["power"] == "running", 60, "it is seen again")
        trio.still_counts("here", before)
        trio.agree("here")


def test_a_controller_on_a_host_dies_alone(trio: Trio) -> None:
    victim = one_on_a_host_leads(trio)
    with trio.vms("here"):
        made_on(trio, "here", host_of(victim))
        before = trio.counting("here")
        lab.kill(victim.name)
        trio.led_by_another(victim)
        assert next(host.state for host in lab.status().hosts if host.name == host_of(victim)) == "up"
        trio.do("migrate", "here")
        trio.still_counts("here", before)
        lab.boot(victim.name)
        wait_for(lambda: trio.answers(victim), 60, "it is back")
        trio.agree("here")
