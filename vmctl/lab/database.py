"""The PostgreSQL database that a lab's controllers share: one server, or two of which Patroni makes one the primary.

The two are decided about in three etcd, each a machine of its own; a haproxy shows whichever is the primary at one
address, and a memcached is there to be used as cache. Nothing here is kept secret: the lab's network is its own.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from vmctl.errors import Refused
from vmctl.lab import machines
from vmctl.lab.names import Lab, Machine
from vmctl.lab.system import require_programs, run, succeeds, wait

KINDS = ("single", "pair")
NAME, DATA = "vmctl", "/mnt/data"  # of the database; where its server sees it
UP_S = 60.0
AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")  # PostgreSQL refuses to run as root
HBA = "host all all {subnet}.0/24 trust\n"
PROGRAMS = {  # Patroni's package leaves open with what it speaks to etcd
    "etcd": "etcd-server",
    "patroni": "patroni python3-etcd python3-psycopg2",
    "haproxy": "haproxy",
    "memcached": "memcached",
}
# Shorter times than Patroni's own, as tests wait for them. What is acknowledged is on both as long as both live.
PATRONI = """\
scope: vmctl
name: {name}
restapi: {{listen: "{address}:8008", connect_address: "{address}:8008"}}
etcd3: {{hosts: [{etcds}]}}
bootstrap:
  dcs:
    ttl: 10
    loop_wait: 2
    retry_timeout: 3
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      parameters: {{shared_buffers: 32MB}}
  initdb: [{{encoding: UTF8}}, {{locale: C.UTF-8}}]
postgresql:
  listen: "{address}:5432"
  connect_address: "{address}:5432"
  data_dir: {data}
  bin_dir: {programs}
  pgpass: /mnt/pgpass
  basebackup: [{{checkpoint: fast}}]
  parameters: {{unix_socket_directories: /mnt}}
  authentication: {{superuser: {{username: vmctl}}, replication: {{username: standby}}}}
  pg_hba: ["local all all trust", "host all all {subnet}.0/24 trust", "host replication all {subnet}.0/24 trust"]
"""
HAPROXY = """\
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
listen database
  bind {address}:5432
  option httpchk OPTIONS /primary
  http-check expect status 200
  default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
"""


def ensure(lab: Lab, subnet: str, kind: str) -> None:
    """Start it, or what is missing of it."""
    if kind == "single":
        if not machines.pid(lab.database()):
            boot(lab.database(), subnet)
        return
    require_programs(PROGRAMS)
    for role in ("etcd", "database", "cache", "proxy"):
        for one in lab.small(role):
            if not machines.pid(one):
                _start(one, subnet)
    _await_pair(lab, subnet)


def used(lab: Lab) -> str:
    """Which of KINDS the lab has; empty: none yet."""
    if not lab.database().directory.exists():
        return ""
    return "pair" if lab.small("etcd")[0].directory.exists() else "single"


def dsn(lab: Lab, subnet: str) -> str:
    """Where controllers find it."""
    servers = lab.small("database", 2 if used(lab) == "pair" else 1)
    return f"postgresql://vmctl@{','.join(one.address(subnet) for one in servers)}/{NAME}"


def cache(lab: Lab, subnet: str) -> str:
    """The memcached beside it; empty where there is none."""
    return f"memcached://{lab.small('cache')[0].address(subnet)}" if used(lab) == "pair" else ""


def boot(one: Machine, subnet: str) -> None:
    """Start one of its machines, and wait until it is of use by itself."""
    _start(one, subnet)
    if one.role == "database" and used(one.lab) == "single":
        asked = (binaries() / "pg_isready", "-q", "-h", one.address(subnet))
        if not wait(lambda: succeeds(*asked), UP_S):
            raise machines.silent(one, "its PostgreSQL did not answer")
        run(binaries() / "createdb", "-h", one.address(subnet), "-U", "vmctl", NAME, check=False)  # or it is there


def binaries() -> Path:
    """The folder of the newest PostgreSQL server that is installed. Raises Refused."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise Refused("controllers share a database, and no PostgreSQL is installed", hint="apt-get install postgresql")
    return found[-1].parent


def _start(one: Machine, subnet: str) -> None:
    one.directory.mkdir(parents=True, exist_ok=True)
    command = {"database": _postgresql, "etcd": _etcd, "cache": _memcached, "proxy": _haproxy}[one.role]
    if one.role == "database" and used(one.lab) == "pair":
        command = _patroni
    machines.start(one, subnet, command(one, subnet), {})


def _await_pair(lab: Lab, subnet: str) -> None:
    """Until one leads and the other has what it has."""
    psql = (
        binaries() / "psql",
        "-qAt",
        f"{dsn(lab, subnet).rpartition('/')[0]}/postgres?target_session_attrs=read-write",
    )
    if not wait(lambda: succeeds(*psql, "-c", "SELECT 1"), UP_S):
        raise machines.silent(lab.database(), "neither of the two PostgreSQL servers leads")
    run(*psql, "-c", f"CREATE DATABASE {NAME}", check=False)  # or it is there
    both = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
    if not wait(lambda: run(*psql, "-c", both, check=False).strip() == "1", UP_S):
        raise machines.silent(lab.small("database")[1], "the second PostgreSQL server does not follow the first")


def _postgresql(one: Machine, subnet: str) -> list[str]:
    data, programs = one.directory / "data", binaries()
    if not data.exists():
        data.mkdir(mode=0o700)
        shutil.chown(data, "nobody", "nogroup")
        machines.prepare(one, [*AS_NOBODY, programs / "initdb", "-D", DATA, "-U", "vmctl", "-A", "trust", "-E", "UTF8"])
        (data / "pg_hba.conf").write_text(f"local all all trust\n{HBA.format(subnet=subnet)}")
        shutil.chown(data / "pg_hba.conf", "nobody", "nogroup")
    (data / "postmaster.pid").unlink(missing_ok=True)  # of one that lost its power
    options = (f"listen_addresses={one.address(subnet)}", "unix_socket_directories=", "shared_buffers=32MB")
    return [*AS_NOBODY, str(programs / "postgres"), "-D", DATA, *(w for o in options for w in ("-c", o))]


def _patroni(one: Machine, subnet: str) -> list[str]:
    etcds = ", ".join(f'"{other.address(subnet)}:2379"' for other in one.lab.small("etcd"))
    about = {"name": one.short, "address": one.address(subnet), "subnet": subnet, "etcds": etcds}
    (one.directory / "patroni.yml").write_text(PATRONI.format(**about, data=DATA, programs=binaries()))
    shutil.chown(one.directory, "nobody", "nogroup")
    (one.directory / "data" / "postmaster.pid").unlink(missing_ok=True)
    # It begins Python processes of its own, which are Debian's, and find nothing where this one finds its packages.
    debians = ("env", "--chdir=/mnt", "--unset=PYTHONPATH", "--unset=PYTHONHOME")
    return [*debians, *AS_NOBODY, "patroni", "/mnt/patroni.yml"]


def _etcd(one: Machine, subnet: str) -> list[str]:
    peers = ",".join(f"{other.short}=http://{other.address(subnet)}:2380" for other in one.lab.small("etcd"))
    own, clients = f"http://{one.address(subnet)}:2380", f"http://{one.address(subnet)}:2379"
    words = {
        "name": one.short,
        "data-dir": DATA,
        "listen-peer-urls": own,
        "initial-advertise-peer-urls": own,
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "initial-cluster": peers,
    }
    return ["etcd", *(word for name, value in words.items() for word in (f"--{name}", value))]


def _memcached(one: Machine, subnet: str) -> list[str]:
    return ["memcached", "-u", "nobody", "-m", "32", "-l", one.address(subnet)]


def _haproxy(one: Machine, subnet: str) -> list[str]:
    servers = (f"  server {db.short} {db.address(subnet)}:5432 check port 8008\n" for db in one.lab.small("database"))
    text = HAPROXY.format(address=one.address(subnet)) + "".join(servers)
    (one.directory / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", "/mnt/haproxy.cfg"]
