"""Storage pools and volumes: every file of ours on shared storage is made, read and deleted through them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import libvirt

from vmctl.hosts import domainxml
from vmctl.hosts.virt.connection import Connection, T
from vmctl.hosts.virt.streams import send_all

REFRESH_TRIES = 100
OUT_OF_DATE = (libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_STORAGE_VOL_EXIST)


class Pools(Connection):
    """A host's storage pools."""

    def __init__(self, host: str, timeout_s: float, keepalive_s: int) -> None:
        super().__init__(host, timeout_s, keepalive_s)
        self._refreshing = threading.Lock()

    async def ensure_pool(self, name: str, path: str) -> None:
        """Make sure that the host has a running pool over that directory, whatever its name."""

        def call() -> None:
            conn = self._connected()
            with contextlib.suppress(libvirt.libvirtError):
                conn.storagePoolLookupByTargetPath(path)
                return
            conn.storagePoolCreateXML(domainxml.pool(name, path), 0)

        await self._run(call)

    async def drop_pool(self, name: str) -> None:
        """Take away the transient pool of that name, and nothing in it; somebody else's (persistent) one stays."""

        def call() -> None:
            with contextlib.suppress(libvirt.libvirtError):
                found = self._connected().storagePoolLookupByName(name)
                if not found.isPersistent():
                    found.destroy()

        await self._run(call)

    def _pool_at(self, path: str) -> Any:
        return self._connected().storagePoolLookupByTargetPath(path)

    def _refreshed(self, path: str) -> Any:
        """The pool over that directory, with what other hosts made there meanwhile. Slow: reads every file's head."""
        found = self._pool_at(path)
        with self._refreshing:
            for _ in range(REFRESH_TRIES):
                try:
                    found.refresh(0)
                    break
                except libvirt.libvirtError as err:
                    if "asynchronous jobs" not in str(err):
                        raise
                    time.sleep(0.05)  # an upload or copy is under way there; after a while the old view must do
        return found

    def _in_pool(self, path: str, call: Callable[[Any], T]) -> T:
        """Do something in a pool as this host knows it; where that is out of date, refresh it and do it again."""
        try:
            return call(self._pool_at(path))
        except libvirt.libvirtError as err:
            if err.get_error_code() not in OUT_OF_DATE:
                raise
        return call(self._refreshed(path))

    async def pool_free(self, path: str) -> tuple[int, int]:
        """(capacity, available) of a pool, in bytes."""

        def call() -> tuple[int, int]:
            found = self._refreshed(path)
            _state, capacity, _allocation, available = found.info()
            return capacity, available

        return await self._run(call)

    async def create_volume(self, pool_path: str, xml: str) -> str:
        """Make a volume; returns its path. LibvirtError where there is a file of that name."""
        create: Callable[[Any], str] = lambda found: str(found.createXML(xml, 0).path())  # noqa: E731
        return await self._run(lambda: self._in_pool(pool_path, create), timeout_s=120.0)

    async def copy_volume(self, pool_path: str, xml: str, source: str) -> str:
        """Make a full copy of a volume; returns the copy's path. Long: the host copies."""

        def copy(found: Any) -> str:
            origin = found.storageVolLookupByName(Path(source).name)
            return str(found.createXMLFrom(xml, origin, 0).path())

        return await self._run(lambda: self._in_pool(pool_path, copy), timeout_s=3600.0)

    async def resize_volume(self, pool_path: str, name: str, capacity_bytes: int) -> None:
        """Grow a volume."""
        await self._run(lambda: self._volume(pool_path, name).resize(capacity_bytes, 0))

    def _volume(self, pool_path: str, name: str) -> Any:
        return self._in_pool(pool_path, lambda found: found.storageVolLookupByName(name))

    async def has_volume(self, pool_path: str, name: str) -> bool:
        """Whether the pool has a volume of that name."""

        def call() -> bool:
            try:
                self._volume(pool_path, name).info()  # this one looks at the file
            except libvirt.libvirtError as err:
                gone = err.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL
                return not gone and name in self._refreshed(pool_path).listVolumes()
            return True

        return await self._run(call)

    async def delete_volume(self, pool_path: str, name: str) -> None:
        """Remove a volume; gone already is done."""

        def call() -> None:
            try:
                self._volume(pool_path, name).delete(0)
            except libvirt.libvirtError as err:
                if err.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
                    raise

        await self._run(call)

    async def upload(self, pool_path: str, name: str, chunks: Iterable[bytes]) -> None:
        """Fill a volume from `chunks` (read in a thread of this host)."""

        def call() -> None:
            volume = self._volume(pool_path, name)
            stream = self._connected().newStream(0)
            volume.upload(stream, 0, 0, 0)
            try:
                for chunk in _bounded(chunks):
                    send_all(stream, chunk)
            except BaseException:
                stream.abort()
                raise
            stream.finish()

        await self._run(call, timeout_s=3600.0)

    async def download(self, pool_path: str, name: str, most: int) -> bytes:
        """The first `most` bytes of a volume."""

        def call() -> bytes:
            stream = self._connected().newStream(0)
            self._volume(pool_path, name).download(stream, 0, most, 0)
            found = b""
            while chunk := stream.recv(most):
                found += chunk
            stream.finish()
            return found

        return await self._run(call)


def _bounded(chunks: Iterable[bytes], most: int = 256 * 1024) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), most):
            yield chunk[start : start + most]
