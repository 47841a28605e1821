"""Dump files: nothing is lost on the way, and what is wrong is named with its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from math import inf
from typing import Any, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmctl.errors import Usage
from vmctl.formats.dump import FORMAT, load, save
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostLoad, HostState
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, PowerState, Spec, VMLoad

NUMBERS = st.floats(allow_nan=False)
WORDS = st.text(max_size=3)
# Types whose values hypothesis would choose too freely, or that it does not know
CHOSEN: dict[Any, st.SearchStrategy[Any]] = {
    float: NUMBERS,
    float | None: st.none() | NUMBERS,
    Mapping[str, float]: st.dictionaries(WORDS, NUMBERS, max_size=2),
    Mapping[str, str]: st.dictionaries(WORDS, WORDS, max_size=2),
}


def made(cls: type[Any], **given_values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any value of one of the model's classes, which is asked for its fields, so that a later one is tried, too."""
    hints = {name: kind for name, kind in get_type_hints(cls).items() if name in {f.name for f in fields(cls)}}
    chosen = {name: CHOSEN[kind] if kind in CHOSEN else st.from_type(kind) for name, kind in hints.items()}
    return st.builds(cls, **(chosen | given_values))


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    """Any cluster, hosts and VMs with names of their own."""
    hosts = draw(st.lists(made(Host, load=st.none() | made(HostLoad)), max_size=2, unique_by=lambda h: h.name))
    specs = st.lists(made(Spec), max_size=2, unique_by=(lambda s: s.name, lambda s: s.uuid))
    vms = [draw(made(VM, spec=st.just(spec), load=st.none() | made(VMLoad))) for spec in draw(specs)]
    return Cluster(tuple(hosts), tuple(vms), draw(st.floats(allow_nan=False)))


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], max_examples=50, deadline=None)
@given(clusters(), made(Policy))
def test_what_is_saved_is_what_is_loaded(cluster: Cluster, policy: Policy) -> None:
    text = save(cluster, policy)
    assert load(text) == (cluster, policy)
    assert save(*load(text)) == text


SMALL = Cluster(
    (Host("kvm1", cpus=4, load=HostLoad(1.5, 700), storages=frozenset({"b", "a", "c"})),),
    (VM(Spec("u1", "web1", 1, 512), "kvm1", power=PowerState.RUNNING, load=VMLoad(0.5, 300)),),
)


def raw() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(save(SMALL, Policy()))
    return found


def test_the_text_is_sorted_and_readable_by_anything_that_reads_json() -> None:
    text = save(SMALL, replace(Policy(), max_gib=inf))
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"
    assert json.loads(text)["cluster"]["hosts"][0]["storages"] == ["a", "b", "c"]
    assert json.loads(text)["policy"]["max_gib"] == "inf"
    assert load(text)[1].max_gib == inf


def test_an_older_file_gets_the_defaults_of_what_it_lacks() -> None:
    old = raw()
    (host,), (vm,) = old["cluster"]["hosts"], old["cluster"]["vms"]
    del old["policy"]["weight_disk"], host["bridges"], host["cpu_models"], host["numa_mib"], vm["adopted"]
    for load_of, newer in ((host, ("disk", "net")), (vm, ("disk", "net", "dirty_mib_s"))):
        for field in newer:
            del load_of["load"][field]
    assert load(json.dumps(old)) == (SMALL, Policy())
    del old["policy"]
    assert load(json.dumps(old)) == (SMALL, Policy())


def test_what_was_an_enumeration_is_one_again() -> None:
    cluster, _ = load(save(SMALL, Policy()))
    assert cluster.hosts[0].state is HostState.ONLINE and cluster.vms[0].power is PowerState.RUNNING


def broken(*path: str | int, to: Any) -> str:
    """The small dump with one value changed or added."""
    found = raw()
    inside: Any = found
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = to
    return json.dumps(found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "it is not JSON: Expecting value"),
        ("[]", "it has no cluster"),
        ("{}", "it has no cluster"),
        (broken("format", to=FORMAT + 1), f"format {FORMAT + 1}"),
        (broken("colour", to="red"), "colour: Unexpected"),
        (broken("cluster", "hosts", 0, "colour", to="red"), "cluster.hosts[0].colour: Unexpected"),
        (broken("cluster", "vms", 0, "load", "colour", to="red"), "cluster.vms[0].load.colour: Unexpected"),
        (broken("policy", "weight_of_cpu", to=1.0), "policy.weight_of_cpu: Unexpected"),
        (broken("cluster", "hosts", 0, "cpus", to="many"), "cluster.hosts[0].cpus: Input should be a valid integer"),
        (broken("cluster", "hosts", 0, "state", to="asleep"), "cluster.hosts[0].state: Input should be 'online'"),
        (broken("cluster", "hosts", to=[{}]), "cluster.hosts[0].name: Field required"),
        (broken("cluster", "vms", to=None), "cluster.vms: Input should be a valid array"),
        (broken("cluster", "vms", to=3), "cluster.vms: Input should be a valid array"),
        (broken("cluster", "hosts", to=[{"name": "kvm1"}] * 2), "the host 'kvm1' is in it more than once"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, words: str) -> None:
    with pytest.raises(Usage) as caught:
        load(text)
    assert words in caught.value.message


def test_what_an_earlier_version_called_labels_of_a_vm_is_what_it_needs() -> None:
    old = raw()
    spec = old["cluster"]["vms"][0]["spec"]
    del spec["needs"]
    spec["labels"] = {"rack": "a"}
    assert load(json.dumps(old))[0].vms[0].spec.needs == {"rack": "a"}
