"""Compile the search now rather than in the middle of the first question: once for each machine, it takes seconds."""

from __future__ import annotations

from dataclasses import replace

from vmctl.decide.capacity import capacity
from vmctl.decide.place import place
from vmctl.decide.rebalance import rebalance
from vmctl.decide.reboots import reboots
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostLoad
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, PowerState, Spec, VMLoad


def warm() -> None:
    """Ask every question once, about a cluster of two hosts."""
    hosts = (Host("a", cpus=4, load=HostLoad(3.0, 512)), Host("b", cpus=4, load=HostLoad(0.0, 0)))
    vms = tuple(VM(Spec(f"{n}", f"{n}", 1, 128), "a", "", PowerState.RUNNING, VMLoad(1.0, 64)) for n in range(3))
    policy = replace(Policy(), spare_host=True)
    cluster = Cluster(hosts, vms)
    rebalance(cluster, policy)
    place(VM(Spec("new", "new", 1, 128)), cluster, policy)
    capacity(cluster, policy)
    reboots(cluster, policy)


if __name__ == "__main__":
    warm()
