"""Errors of libvirt's leave without what they were raised from: whoever keeps one keeps no connection."""

from __future__ import annotations

import gc
import weakref

import libvirt
import pytest

from vmctl.errors import HostError, LibvirtError, NoAnswer
from vmctl.hosts.virt.connection import translate


class Handle:
    """A domain as libvirt hands it out: the last one to go closes the connection."""


@pytest.mark.parametrize("theirs", [True, False])
def test_an_error_keeps_nothing_of_the_call(theirs: bool) -> None:
    """Both libvirt's own, and one of ours that was raised where a handle is at hand."""
    kept: list[weakref.ref[Handle]] = []

    def call() -> None:
        handle = Handle()
        kept.append(weakref.ref(handle))
        try:
            raise libvirt.libvirtError("End of file while reading data")
        except libvirt.libvirtError as err:
            if theirs:
                raise
            raise LibvirtError(f"{handle} is gone") from err

    with pytest.raises(HostError) as caught:
        translate("kvm1", call, ())
    gc.collect()
    assert kept[0]() is None
    assert isinstance(caught.value, NoAnswer if theirs else LibvirtError)
    assert caught.value.__context__ is None and caught.value.__cause__ is None
