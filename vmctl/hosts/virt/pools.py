"""Storage pools and volumes: every file of ours on shared storage is made, read and deleted through them.

libvirt reads the head of every file in a pool's directory when the pool starts and when it is refreshed, and one file
that it cannot read (a damaged image) makes it give up the whole pool. So our files lie in folders of their own, one for
each VM and each image, named FOLDER/FILE here: a pool over that folder alone is made for as long as it is used, and a
bad file harms nobody but its owner. Files of earlier versions lie in the storage's directory itself.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import libvirt

from vmctl.errors import HostError, LibvirtError
from vmctl.hosts import domainxml
from vmctl.hosts.shown import DAMAGED, GONE
from vmctl.hosts.virt.connection import Connection, T
from vmctl.hosts.virt.streams import Pieces, send_pieces

REFRESH_TRIES = 100
OUT_OF_DATE = (libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_STORAGE_VOL_EXIST)
NO_FOLDER = libvirt.VIR_ERR_NO_STORAGE_POOL
OURS = "vmctl-"


def _target(pool: Any) -> str:
    """The directory that a pool is over."""
    return domainxml.parse(pool.XMLDesc(0)).findtext("target/path") or ""


def split(pool_path: str, name: str) -> tuple[str, str]:
    """The directory and the name of a volume that is called NAME or FOLDER/NAME below a storage's directory."""
    folder, _, leaf = name.rpartition("/")
    return (f"{pool_path.rstrip('/')}/{folder}" if folder else pool_path), leaf


def folder_pool(path: str) -> str:
    """The name of our pool over a folder."""
    return f"{OURS}{hashlib.sha256(path.encode()).hexdigest()[:16]}"


class Pools(Connection):
    """A host's storage pools."""

    def __init__(self, host: str, timeout_s: float, keepalive_s: int) -> None:
        super().__init__(host, timeout_s, keepalive_s)
        self._refreshing = threading.Lock()
        self._opening = threading.Lock()
        self._users: dict[str, int] = {}  # folder -> calls that use our pool over it just now

    # -- pools

    async def ensure_pool(self, name: str, path: str) -> None:
        """Make sure that the host has a running pool over that directory, whatever its name."""

        def call() -> None:
            with self._opening:
                self._find_or_make(name, path, build=False)

        await self._run(call)

    async def drop_pool(self, name: str) -> None:
        """Take away the transient pool of that name, and nothing in it; somebody else's (persistent) one stays."""

        def call() -> None:
            with contextlib.suppress(libvirt.libvirtError):
                found = self._connected().storagePoolLookupByName(name)
                if not found.isPersistent():
                    found.destroy()

        await self._run(call)

    async def drop_pools_below(self, path: str) -> None:
        """Take away what a controller that died left: our transient pools over that directory and its folders."""

        def call() -> None:
            for found in self._connected().listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_TRANSIENT):
                with contextlib.suppress(libvirt.libvirtError):
                    if found.name().startswith(OURS) and PurePosixPath(_target(found)).is_relative_to(path):
                        found.destroy()

        await self._run(call)

    def _find_or_make(self, name: str, path: str, *, build: bool) -> Any:
        """The active pool over a directory. `build`: the directory is made, too."""
        conn = self._connected()
        if (active := self._active(path)) is not None:
            return active
        self._stopped_one(path)
        flags = libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD if build else 0
        try:
            return conn.storagePoolCreateXML(domainxml.pool(name, path), flags)
        except libvirt.libvirtError as err:
            failure = self._no_pool(path, err)
        raise failure

    def _active(self, path: str) -> Any:
        conn = self._connected()
        try:
            return conn.storagePoolLookupByTargetPath(path)
        except libvirt.libvirtError as err:
            if err.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                return None
        pools = conn.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
        return next((one for one in pools if _target(one) == path), None)

    def _stopped_one(self, path: str) -> None:
        """A pool that somebody defined over the directory and that is not started keeps us from making one."""
        inactive = libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE
        for found in self._connected().listAllStoragePools(inactive):
            with contextlib.suppress(libvirt.libvirtError):
                if _target(found) != path:
                    continue
                if found.name().startswith(OURS):  # a folder's, whose removal was broken off
                    found.undefine()
                    continue
                name = found.name()
                raise LibvirtError(
                    f"{self.host} has a pool {name!r} over {path} that is not started",
                    hint=f"on {self.host}: virsh pool-start {name}; virsh pool-autostart {name}",
                )

    def _no_pool(self, path: str, err: libvirt.libvirtError) -> HostError:
        text = (err.get_error_message() or str(err)).strip()
        if err.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR and err.get_int1() == errno.ENOENT:
            return LibvirtError(f"{self.host} has no directory {path}", code_number=NO_FOLDER)
        if "cause is unknown" in text or "cannot parse" in text:
            return LibvirtError(
                f"libvirt on {self.host} shows nothing of {path}: a file in it is damaged",
                code_number=DAMAGED,
                hint=f'on {self.host}: for f in {path}/*; do qemu-img info "$f" >/dev/null 2>&1 || echo "$f"; done',
            )
        return LibvirtError(f"libvirt on {self.host}: {text}", code_number=err.get_error_code() or 0)

    @contextlib.contextmanager
    def _over(self, path: str, *, build: bool = False) -> Iterator[Any]:
        """A pool over a directory: one that is there, or one of ours for as long as somebody uses it."""
        with self._opening:
            found = self._find_or_make(folder_pool(path), path, build=build)
            self._users[path] = self._users.get(path, 0) + 1
        try:
            yield found
        finally:
            with self._opening:
                self._users[path] -= 1
                if not self._users[path]:
                    del self._users[path]
                    with contextlib.suppress(libvirt.libvirtError):
                        if found.name() == folder_pool(path):
                            found.destroy()

    def _refreshed(self, path: str, found: Any) -> Any:
        """The pool with what other hosts made there meanwhile. Slow: reads every file's head."""
        failure: HostError | None = None
        with self._refreshing:
            for _ in range(REFRESH_TRIES):
                try:
                    found.refresh(0)
                    break
                except libvirt.libvirtError as err:
                    if "asynchronous jobs" not in str(err):
                        failure = self._no_pool(path, err)
                        break
                    time.sleep(0.05)  # an upload or copy is under way there; after a while the old view must do
        if failure is not None:
            raise failure
        return found

    def _in_pool(self, path: str, call: Callable[[Any], T], *, build: bool = False) -> T:
        """Do something in a pool as this host knows it; where that is out of date, refresh it and do it again."""
        with self._over(path, build=build) as found:
            try:
                return call(found)
            except libvirt.libvirtError as err:
                if err.get_error_code() not in OUT_OF_DATE:
                    raise
            return call(self._refreshed(path, found))

    def _in_volume(self, pool_path: str, name: str, call: Callable[[Any], T]) -> T:
        """Do something with a volume."""
        path, leaf = split(pool_path, name)
        return self._in_pool(path, lambda found: call(found.storageVolLookupByName(leaf)))

    def _in_own_folder(self, path: str, pool_path: str, make: Callable[[Any], str]) -> str:
        """Make a volume in a folder that is made for it; where that fails, no empty folder is left behind."""
        own = path != pool_path
        try:
            return self._in_pool(path, make, build=own)
        except (libvirt.libvirtError, HostError):
            if own:
                self._remove_folder(path)
            raise

    # -- volumes

    async def create_volume(self, pool_path: str, xml: str) -> str:
        """Make a volume, and its folder where its name has one; returns its path. LibvirtError where it exists."""
        path, own = _placed(pool_path, xml)
        make: Callable[[Any], str] = lambda found: str(found.createXML(own, 0).path())  # noqa: E731
        return await self._run(lambda: self._in_own_folder(path, pool_path, make), timeout_s=120.0)

    async def copy_volume(self, pool_path: str, xml: str, source: str) -> str:
        """Make a full copy of the volume at a path; returns the copy's path. Long: the host copies."""
        path, own = _placed(pool_path, xml)
        origin = PurePosixPath(source)

        def copy() -> str:
            with self._over(str(origin.parent)) as beside:
                volume = self._named(str(origin.parent), beside, origin.name)
                fill: Callable[[Any], str] = lambda found: str(found.createXMLFrom(own, volume, 0).path())  # noqa: E731
                return self._in_own_folder(path, pool_path, fill)

        return await self._run(copy, timeout_s=3600.0)

    def _named(self, path: str, found: Any, leaf: str) -> Any:
        with contextlib.suppress(libvirt.libvirtError):
            return found.storageVolLookupByName(leaf)
        return self._refreshed(path, found).storageVolLookupByName(leaf)

    async def resize_volume(self, pool_path: str, name: str, capacity_bytes: int) -> None:
        """Grow a volume."""
        await self._run(lambda: self._in_volume(pool_path, name, lambda volume: volume.resize(capacity_bytes, 0)))

    async def has_volume(self, pool_path: str, name: str) -> bool:
        """Whether there is a volume of that name."""
        path, leaf = split(pool_path, name)

        def look(found: Any) -> bool:
            try:
                found.storageVolLookupByName(leaf).info()  # this one looks at the file
            except libvirt.libvirtError as err:
                gone = err.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL
                return not gone and leaf in self._refreshed(path, found).listVolumes()
            return True

        def call() -> bool:
            try:
                return self._in_pool(path, lambda found: look(found) or look(self._refreshed(path, found)))
            except LibvirtError as err:
                if err.code_number != NO_FOLDER:
                    raise
                return False

        return await self._run(call)

    async def delete_volume(self, pool_path: str, name: str) -> None:
        """Remove a volume, and its folder when it was the last one there; gone already is done."""
        path, leaf = split(pool_path, name)

        def delete(found: Any) -> bool:
            found.storageVolLookupByName(leaf).delete(0)
            return not found.listVolumes()

        def call() -> None:
            try:
                empty = self._in_pool(path, delete)
            except LibvirtError as err:
                if err.code_number != NO_FOLDER:
                    raise
                return
            except libvirt.libvirtError as err:
                if err.get_error_code() not in GONE:
                    raise
                empty = True
            if empty and path != pool_path:
                self._remove_folder(path)

        await self._run(call)

    def _remove_folder(self, path: str) -> None:
        """Remove an empty folder of ours. libvirt deletes the directory of a pool that is defined and not started."""
        with self._opening, contextlib.suppress(libvirt.libvirtError):
            if path in self._users:
                return
            defined = self._connected().storagePoolDefineXML(domainxml.pool(folder_pool(path), path), 0)
            try:
                defined.delete(0)
            finally:
                defined.undefine()

    # -- their contents

    async def upload(self, pool_path: str, name: str, pieces: Pieces, *, sparse: bool = False, offset: int = 0) -> None:
        """Write bytes, and with `sparse` lengths of holes, into a volume (read in a thread of this host)."""

        def fill(volume: Any) -> None:
            stream = self._connected().newStream(0)
            volume.upload(stream, offset, 0, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM if sparse else 0)
            try:
                send_pieces(stream, pieces)
            except BaseException:
                stream.abort()
                raise
            stream.finish()

        await self._run(lambda: self._in_volume(pool_path, name, fill), timeout_s=3600.0)

    async def download(self, pool_path: str, name: str, most: int, offset: int = 0) -> bytes:
        """At most `most` bytes of a volume, from `offset`."""

        def read(volume: Any) -> bytes:
            stream = self._connected().newStream(0)
            volume.download(stream, offset, most, 0)
            found = b""
            while chunk := stream.recv(256 * 1024):
                found += chunk
            stream.finish()
            return found

        return await self._run(lambda: self._in_volume(pool_path, name, read), timeout_s=120.0)


def _placed(pool_path: str, xml: str) -> tuple[str, str]:
    """The directory of a volume's folder, and its XML with the name that it has in there."""
    path, leaf = split(pool_path, domainxml.parse(xml).findtext("name") or "")
    return path, domainxml.renamed(xml, leaf)
