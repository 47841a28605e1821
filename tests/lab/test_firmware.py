"""UEFI variables and TPMs of VMs that somebody else made: kept through all we do, with real OVMF and swtpm."""

from __future__ import annotations

import uuid

import pytest

from tests.lab.foreign import adopted, xml
from tests.lab.pool import Pool, wait_for
from vmctl.act.needs import TPM_STATES

pytestmark = pytest.mark.lab
TPM = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
VARS = "/var/lib/libvirt/qemu/nvram"
UEFI = """<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
  <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'/>"""


def state(name: str) -> str:
    return f"{TPM_STATES}/{uuid.uuid5(uuid.NAMESPACE_DNS, name)}"


def content(pool: Pool, host: str, name: str) -> str:
    """The TPM's state on a host, in hexadecimal; empty where there is none."""
    return pool.ssh(host, f"cat {state(name)}/tpm2/*.permall | od -An -tx1", check=False)


def test_a_tpm_outlives_what_its_vm_goes_through(pool: Pool) -> None:
    first, second = pool.hosts[:2]
    with adopted(pool, first, "tpm1", xml("tpm1", devices=TPM)):
        pool.counting("tpm1")
        ran = pool("migrate", "tpm1", "--cold", "--to", second)
        assert ran.code == 3 and f"its TPM is on {first}'s own disk" in ran.err, ran
        pool.do("migrate", "tpm1", "--to", second)
        assert content(pool, second, "tpm1") and not content(pool, first, "tpm1")
        # Each start writes the state anew, and libvirt deletes the whole folder: a file of ours shows that it did not.
        pool.ssh(second, f"touch {state('tpm1')}/mark")
        pool.do("stop", "--force", "tpm1")
        assert pool.do("start", "tpm1", "-o", "json").json["host"] == second
        pool.do("reboot", "tpm1")
        assert content(pool, second, "tpm1") and "mark" in pool.ssh(second, f"ls {state('tpm1')}")


def test_a_transient_ones_tpm_is_not_ended_with_it(pool: Pool) -> None:
    host = pool.hosts[0]
    with adopted(pool, host, "tpm2", xml("tpm2", devices=TPM), transient=True):
        before = content(pool, host, "tpm2")
        for words in (("stop", "tpm2"), ("stop", "--force", "tpm2"), ("reboot", "tpm2")):
            ran = pool(*words)
            assert ran.code == 3 and "delete its TPM" in ran.err and "virsh define" in ran.err, ran
        mend = ran.err.split("try: ")[1].removeprefix(f"on {host}: ").partition(";")[0]
        pool.ssh(host, f"cd /tmp && {mend}")
        wait_for(lambda: pool("stop", "--force", "tpm2").code == 0, 30, "it is seen to be persistent")
        assert before and content(pool, host, "tpm2") == before


def test_a_tpm_state_on_the_target_is_not_overwritten(pool: Pool) -> None:
    """As with a shared directory of states, where libvirt 9.0 fails and then deletes the only one."""
    first, second = pool.hosts[:2]
    with adopted(pool, first, "tpm3", xml("tpm3", devices=TPM)):
        pool.ssh(second, f"mkdir -p {state('tpm3')}/tpm2; echo keys > {state('tpm3')}/tpm2/tpm2-00.permall")
        try:
            ran = pool("migrate", "tpm3", "--to", second)
            assert ran.code == 3 and f"{second} has a state of its TPM already" in ran.err, ran
            assert f"which a migration would delete: {state('tpm3')}" in pool("migrate", "tpm3", "--check").out
            assert pool.ssh(second, f"cat {state('tpm3')}/tpm2/*") == "keys\n"
        finally:
            pool.ssh(second, f"rm -r {state('tpm3')}")
        pool.do("migrate", "tpm3", "--to", second)


@pytest.mark.parametrize("transient", [False, True])
def test_a_firmwares_variables_stay_with_their_vm(pool: Pool, transient: bool) -> None:
    name, (first, second) = f"uefi{transient:d}", pool.hosts[:2]
    file = f"{VARS}/{name}_VARS.fd"
    with adopted(pool, first, name, xml(name, os=UEFI), transient=transient):
        ran = pool("migrate", name, "--cold", "--to", second)
        assert ran.code == 3 and file in ran.err, ran
        pool.do("migrate", name, "--to", second)
        pool.do("stop", "--force", name)
        assert pool.ssh(second, f"ls {file}")
        ran = pool("start", name, "--host", first)
        assert ran.code == 3 and f"cannot start on {first}" in ran.err, ran
        assert pool.do("start", name, "-o", "json").json["host"] == second
        pool.ssh(second, f"virsh destroy {name}; rm {file}", check=False)
    pool.ssh(first, f"rm -f {file}")
