"""Where should a VM start? Every host gets a verdict: refused with a reason, or a score with its terms."""

from __future__ import annotations

from vmctl.decide import score
from vmctl.decide.fit import refusal
from vmctl.model import VM, Cluster, Host, NoPlace, Placement, Policy, Verdict


def verdict(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> Verdict:
    """What speaks for or against one host."""
    no = refusal(vm, host, cluster, policy)
    if no is not None:
        return Verdict(host.name, no, why=no.why)
    after = score.moved(cluster, vm, host.name, policy)
    new_host = after.host(host.name)
    assert new_host is not None
    rows = score.terms(after, policy)
    stall = score.use(host, cluster, policy).stall
    # A stalled host must not win just because the cluster's worst stall is elsewhere.
    rows = (*rows, ("stall here", policy.weight_stall * stall))
    return Verdict(host.name, None, score.total(rows), rows, _words(score.use(new_host, after, policy)))


def _words(use: score.Use) -> str:
    text = f"CPU {use.cpu:.0%}, memory {use.mem:.0%} used and {use.promised:.0%} promised with it there"
    return text + (f", stalls {use.stall:.0%}" if use.stall >= 0.01 else "")


def place(vm: VM, cluster: Cluster, policy: Policy, only: str = "") -> Placement | NoPlace:
    """The best host for the VM, or each host's refusal. `only` leaves no choice but still asks the rules.

    A VM that has a home looks for another one.
    """
    hosts = [host for host in cluster.hosts if host.name != vm.host and only in ("", host.name)]
    verdicts = sorted(
        (verdict(vm, host, cluster, policy) for host in hosts),
        key=lambda v: (v.refusal is not None, v.score, v.host),
    )
    fitting = [v for v in verdicts if v.refusal is None]
    if not fitting:
        nobody = "there is no other host" if cluster.hosts else "there are no hosts"
        why = f"none of {len(hosts)} hosts can take {vm.name}" if hosts else nobody
        return NoPlace(vm.name, tuple(verdicts), why)
    best = fitting[0]
    why = f"{best.host}: {best.why}"
    if only:
        why += "; asked for by name"
    elif len(fitting) > 1:
        why += f"; {best.score:.3f} against {fitting[1].score:.3f} on {fitting[1].host}"
    else:
        why += "; the only host that fits"
    return Placement(vm.name, best.host, tuple(verdicts), why)
