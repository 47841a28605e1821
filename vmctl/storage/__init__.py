"""Storages by their kind: how a file of ours is made, read and removed there, and how a VM's disk is named to QEMU.

One file per kind; which of them a storage is, `kind_of` says. Only directories on a shared file system are known now.
"""

from vmctl.hosts.port import Link
from vmctl.model.records import Storage
from vmctl.storage.directory import Directory
from vmctl.storage.kind import OnHost as OnHost
from vmctl.storage.kind import StorageKind as StorageKind

DIRECTORY: StorageKind = Directory()


def kind_of(_storage: Storage) -> StorageKind:
    """The kind of a storage."""
    return DIRECTORY


def on(link: Link, storage: Storage) -> OnHost:
    """A storage as one host has it."""
    return kind_of(storage).on(link, storage)
