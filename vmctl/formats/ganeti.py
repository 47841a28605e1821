"""Clusters in the text format of Ganeti's htools (`hbal -t FILE -U UTILISATION`), and back. Pure.

For those who come from Ganeti and for benches: both programs may decide on one file. A converted cluster has a policy
under which our score is hbal's score for shared storage: the spreads of six shares (promised memory, vCPUs, and the
CPU, memory, disk and network that are used). On hosts of different sizes they part: hbal leaves a VM's share of CPU
and memory as it was on its old host.

| Ganeti | here |
|---|---|
| node tmem, tcpu | `Host.mem_mib`, `Host.cpus` |
| node nmem | what a host uses beside its VMs |
| node offline | `HostState.UNKNOWN` |
| node tags `key:value` | the host's labels |
| instance mem, vcpus | `Spec.mem_mib`, `Spec.cpus` |
| instance disk template that is not shared | `Spec.pinned` |
| one instance tag that an `htools:iextags:` names | `Spec.apart` |
| utilisation cpu, mem, disk, net | `VMLoad`, as shares of its host; all zero where no utilisation is given |
| vCPU ratio of the policy | `Policy.cpu_overcommit` |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from vmctl.errors import Usage
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostLoad, HostState
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, PowerState, Spec, VMLoad

APART = "apart"  # the prefix of tags that we write for apart groups
EXCLUSION = "htools:iextags:"  # the cluster tag that makes a prefix one of exclusion tags
SHARED = ("ext", "rbd", "sharedfile", "gluster", "blockdev")  # disk templates that any node reaches
VCPU_RATIO = 4.0  # Ganeti's own, where a file has no policies
GROUP, GROUP_ID = "default", "00000000-0000-4000-8000-000000000001"
DISK_MIB = 1 << 20  # of each node; shared storage is on none of them, so that any number will do
NODE_FIELDS, INSTANCE_FIELDS = 9, 10  # at least; later versions added more at the end


def policy(vcpu_ratio: float = VCPU_RATIO) -> Policy:
    """The policy under which we want what hbal wants. `vcpu_ratio` is promised vCPUs per CPU."""
    return Policy(
        cpu_overcommit=vcpu_ratio,
        mem_reserve_mib=0,
        vm_overhead_mib=0,
        weight_cpu=1.0,
        weight_mem=1.0,
        weight_promised=1.0,
        weight_vcpus=1.0,
        weight_disk=1.0,
        weight_net=1.0,
        weight_overload=0.0,
        weight_stall=0.0,
        weight_groups=0.0,
        min_imbalance=0.0,
        min_gain=0.0,
        price_per_move=0.0,
        price_per_minute=0.0,
        cooldown_s=0.0,
        max_moves=1_000_000,
    )


# -- reading


def read(text: str, utilisation: str = "") -> tuple[Cluster, Policy]:
    """The cluster of a data file and a utilisation file. Raises Usage, which names the line that cannot be read."""
    sections = _sections(text)
    _one_group(sections[0])
    prefixes = tuple(f"{line.text[len(EXCLUSION) :]}:" for line in sections[3] if line.text.startswith(EXCLUSION))
    nodes = {line.fields[0]: line for line in _lines(sections[1], NODE_FIELDS, "node")}
    hosts = {name: _host(line) for name, line in nodes.items()}
    specs = [_vm(line, hosts, prefixes) for line in _lines(sections[2], INSTANCE_FIELDS, "instance")]
    vms = tuple(_loaded(specs, hosts, _utilisation(utilisation))) if utilisation.strip() else tuple(specs)
    loaded = tuple(replace(host, load=_sum(vms, host, nodes[host.name])) for host in hosts.values())
    ratios = [line.number(4) for line in _lines(sections[4], 6, "policy")]
    return Cluster(loaded, vms), policy(min(ratios, default=VCPU_RATIO))


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a file with its number, so that errors can name it."""

    number_in_file: int
    text: str

    @property
    def fields(self) -> list[str]:
        return self.text.split("|")

    def number(self, place: int) -> float:
        try:
            return float(self.fields[place])
        except ValueError as err:
            raise self.bad(f"{self.fields[place]!r} is not a number") from err

    def whole(self, place: int) -> int:
        return round(self.number(place))

    def bad(self, why: str) -> Usage:
        return Usage(f"line {self.number_in_file}: {why}: {self.text}")


def _sections(text: str) -> list[list[_Line]]:
    """Groups, nodes, instances, cluster tags and policies: each ends with an empty line, even where it is empty."""
    found: list[list[_Line]] = [[]]
    for number, line in enumerate(text.splitlines(), 1):
        if line:
            found[-1].append(_Line(number, line))
        else:
            found.append([])
    if len(found) < 3 or any(found[5:]):
        raise Usage(f"not Ganeti's text format: {len(found)} sections instead of 3 to 5")
    return [*found, [], []][:5]


def _lines(section: list[_Line], least: int, what: str) -> Iterator[_Line]:
    seen: set[str] = set()
    for line in section:
        if len(line.fields) < least:
            raise line.bad(f"a {what} has {least} fields or more, not {len(line.fields)}")
        if line.fields[0] in seen:
            raise line.bad(f"this {what} is there already")
        seen.add(line.fields[0])
        yield line


def _one_group(section: list[_Line]) -> None:
    if len(section) > 1:
        raise section[1].bad("a second node group; Ganeti balances one at a time, so keep one in the file")


def _host(line: _Line) -> Host:
    name, offline = line.fields[0], line.fields[7]
    tags = line.fields[10] if len(line.fields) > 10 else ""
    labels = dict(tag.partition(":")[::2] for tag in tags.split(",") if tag)
    if offline == "Y":
        known = "?" not in (line.fields[1], line.fields[6])
        cpus, mem_mib = (line.whole(6), line.whole(1)) if known else (0, 0)
        state, why_not = HostState.UNKNOWN, "offline in Ganeti"
    else:
        cpus, mem_mib, state, why_not = line.whole(6), line.whole(1), HostState.ONLINE, ""
    return Host(name, state, max(1, cpus), max(1, mem_mib), labels=labels, why_not=why_not)


def _vm(line: _Line, hosts: dict[str, Host], prefixes: tuple[str, ...]) -> VM:
    name, status, home, template = line.fields[0], line.fields[4], line.fields[6], line.fields[8]
    if home not in hosts:
        raise line.bad(f"there is no node {home!r}")
    groups = [tag for tag in line.fields[9].split(",") if tag.startswith(prefixes)]
    if len(groups) > 1:
        raise line.bad(f"two exclusion tags ({', '.join(groups)}); a VM can be in one apart group only")
    spec = Spec(
        uuid=name,
        name=name,
        cpus=max(1, line.whole(3)),
        mem_mib=line.whole(1),
        apart=groups[0].removeprefix(f"{APART}:") if groups else "",
        pinned=template not in SHARED,
    )
    power = PowerState.RUNNING if status in ("running", "ERROR_up") else PowerState.STOPPED
    return VM(spec, home, power=power, load=VMLoad(0.0, 0))


def _utilisation(text: str) -> dict[str, tuple[float, ...]]:
    found: dict[str, tuple[float, ...]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        try:
            name, shares = words[0], tuple(map(float, words[1:]))
        except (IndexError, ValueError) as err:
            raise Usage(f"utilisation, line {number}: not a name and four numbers: {line}") from err
        if len(shares) != 4:
            raise Usage(f"utilisation, line {number}: {len(shares)} numbers instead of cpu, mem, disk, net: {line}")
        found[name] = shares
    return found


def _loaded(vms: list[VM], hosts: dict[str, Host], shares: dict[str, tuple[float, ...]]) -> Iterator[VM]:
    """The VMs with their loads. Memory is rounded to whole MiB so that the sum of each host stays right."""
    if unknown := sorted(shares.keys() - {vm.name for vm in vms}):
        raise Usage(f"utilisation of an instance that is not there: {unknown[0]}")
    exact = dict.fromkeys(hosts, 0.0)
    for vm in vms:
        if vm.name not in shares:
            raise Usage(f"there is no utilisation of {vm.name}")
        cpu, mem, disk, net = shares[vm.name]
        host = hosts[vm.host]
        before = exact[vm.host]
        exact[vm.host] = before + mem * host.mem_mib
        yield replace(vm, load=VMLoad(cpu * host.cpus, round(exact[vm.host]) - round(before), disk=disk, net=net))


def _sum(vms: Iterable[VM], host: Host, node: _Line) -> HostLoad | None:
    """What a host uses: what its VMs use, and memory beside them."""
    if host.state is not HostState.ONLINE:
        return None
    loads = [vm.load for vm in vms if vm.host == host.name and vm.load]
    return HostLoad(
        cpu=sum(load.cpu for load in loads),
        mem_used_mib=node.whole(2) + sum(load.mem_mib for load in loads),
        disk=sum(load.disk for load in loads),
        net=sum(load.net for load in loads),
    )


# -- writing


def write(cluster: Cluster, wanted: Policy) -> tuple[str, str]:
    """The data file and the utilisation file. Raises Usage where a name or label cannot be written; see `lost`."""
    placed = _placed(cluster)
    data = [
        [f"{GROUP}|{GROUP_ID}|preferred||"],
        [_node(host, cluster) for host in cluster.hosts],
        [_instance(vm) for vm in placed],
        [f"{EXCLUSION}{APART}"] if any(vm.spec.apart for vm in placed) else [],
        [_policy(owner, cluster, wanted) for owner in ("", GROUP)],
    ]
    loads = [_shares(vm, cluster, wanted) for vm in placed]
    return "\n".join("".join(f"{line}\n" for line in section) for section in data), "".join(loads)


def lost(cluster: Cluster) -> tuple[str, ...]:
    """What the format has no words for, one sentence each."""
    placed = _placed(cluster)
    wishes = ("together", "prefer_apart", "prefer_together", "needs", "apart_by", "load_class", "one_numa_node")
    told = [(wish, [vm.name for vm in placed if getattr(vm.spec, wish)]) for wish in wishes]
    busy = [vm.name for vm in placed if vm.busy or vm.moving_to]
    rows = [
        ("left out, because they are on no host", [vm.name for vm in cluster.vms if vm not in placed]),
        *((f"without their {wish.replace('_', ' ')}", names) for wish, names in told),
        ("as if no task held them", busy),
        ("offline instead of draining", [host.name for host in cluster.hosts if host.draining]),
    ]
    return tuple(f"{what}: {', '.join(names)}" for what, names in rows if names)


def _placed(cluster: Cluster) -> list[VM]:
    return [vm for vm in cluster.vms if cluster.host(vm.host)]


def _online(host: Host) -> bool:
    return host.state is HostState.ONLINE and not host.draining


def _node(host: Host, cluster: Cluster) -> str:
    promised = sum(vm.spec.mem_mib for vm in cluster.vms if vm.host == host.name)
    resident = sum(vm.load.mem_mib for vm in cluster.vms if vm.host == host.name and vm.load)
    beside = max(0, host.load.mem_used_mib - resident) if host.load else 0
    free = max(0, host.mem_mib - beside - promised)
    tags = ",".join(_word(f"{key}:{value}" if value else key) for key, value in sorted(host.labels.items()))
    sizes = (host.mem_mib, beside, free, DISK_MIB, DISK_MIB, host.cpus, "N" if _online(host) else "Y")
    # one spindle that nobody shares out, no CPU of the node's own, normal speed
    return "|".join(map(str, (_word(host.name), *sizes, GROUP_ID, 1, tags, "N", 0, 0, "1.0")))


def _instance(vm: VM) -> str:
    spec = vm.spec
    status = "running" if vm.power not in (PowerState.STOPPED, PowerState.CRASHED) else "ADMIN_down"
    tags = _word(f"{APART}:{spec.apart}") if spec.apart else ""
    template = "plain" if spec.pinned else SHARED[0]
    fields = (_word(spec.name), spec.mem_mib, 0, spec.cpus, status, "Y", vm.host, "", template, tags, 1, 0, "N")
    return "|".join(map(str, fields))


def _shares(vm: VM, cluster: Cluster, wanted: Policy) -> str:
    """A line of the utilisation file; a VM that was not measured yet is expected to use what our score expects."""
    host = cluster.host(vm.host) or Host(vm.host)
    load = vm.load or VMLoad(vm.spec.cpus * wanted.new_vm_cpu, vm.spec.mem_mib + wanted.vm_overhead_mib)
    shares = (load.cpu / host.cpus, load.mem_mib / host.mem_mib, load.disk, load.net)
    return " ".join((_word(vm.name), *(f"{share:.12f}" for share in shares))) + "\n"


def _policy(owner: str, cluster: Cluster, wanted: Policy) -> str:
    """Bounds that forbid nothing that a host could carry, but for the vCPUs that a CPU may be promised to.

    They are no wider than that: hspace begins with the largest VM allowed and goes down from there step by step.
    """
    specs = [vm.spec for vm in cluster.vms]
    mem_mib = max((*(host.mem_mib for host in cluster.hosts), *(spec.mem_mib for spec in specs)), default=1)
    cpus = max((*(host.cpus for host in cluster.hosts), *(spec.cpus for spec in specs)), default=1)
    smallest, largest = "1,1,0,1,0,1", f"{mem_mib},{cpus},{DISK_MIB},16,8,12"
    return (
        f"{owner}|{smallest}|{smallest};{largest}|{','.join(SHARED)},plain,diskless|{wanted.cpu_overcommit:.4f}|1.0e6"
    )


def _word(text: str) -> str:
    """A name or tag; what would end a field or a tag cannot be written."""
    if re.search(r"[|,\s]", text) or not text:
        raise Usage(f"Ganeti's text format cannot hold {text!r}: no comma, bar or blank may be in it")
    return text
