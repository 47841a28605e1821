"""The network: one bridge of the machine that all hosts hang on by a cable each, and DHCP for the guests.

What exists is asked from the kernel each time; nothing is remembered.
"""

from __future__ import annotations

import json
import zlib
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from vmctl.errors import Refused
from vmctl.lab.names import Host, Lab, Machine
from vmctl.lab.system import run, wait


def _ip(*words: str) -> Any:
    return json.loads(run("ip", "-j", *words, check=False) or "[]")


def find(lab: Lab) -> str:
    """The network of a running lab as "10.177.X", or "" when its bridge is not there."""
    for link in _ip("-4", "address", "show", "dev", lab.bridge):
        for address in link.get("addr_info", []):
            return str(address["local"]).rpartition(".")[0]
    return ""


def _free(lab: Lab) -> str:
    """The first /24 of 10.177.0.0/16 that nothing routes to, beginning where the lab's name points."""
    destinations = [route["dst"] for route in _ip("-4", "route", "show", "table", "all")]
    used = [ip_network(dst, strict=False) for dst in destinations if dst != "default" and dst[0].isdigit()]
    first = zlib.crc32(lab.name.encode())
    for step in range(256):
        network = f"10.177.{(first + step) % 256}"
        if not any(ip_network(f"{network}.0/24").overlaps(other) for other in used):
            return network
    raise Refused("every /24 of 10.177.0.0/16 is in use on this machine", hint="ip route")


def ensure_bridge(lab: Lab) -> str:
    """Make the bridge if need be; the network, as "10.177.X"."""
    if network := find(lab):
        return network
    network = _free(lab)
    run("ip", "link", "delete", lab.bridge, check=False)  # one without an address, from a killed `up`
    run(
        "ip", "link", "add", lab.bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0"
    )
    run("ip", "link", "set", lab.bridge, "up")
    _let_pass(lab)
    run("ip", "address", "add", f"{network}.1/24", "dev", lab.bridge)
    return network


def _let_pass(lab: Lab) -> None:
    """Where iptables sees bridged packets, a FORWARD policy of DROP (Docker sets it) would cut the hosts' network."""
    seen = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if seen.exists() and seen.read_text().strip() == "1":
        run("iptables", "-w", "-I", "FORWARD", *_rule(lab), check=False)


def _rule(lab: Lab) -> list[str]:
    return ["-i", lab.bridge, "-o", lab.bridge, "-j", "ACCEPT"]


def plug(host: Host | Machine, pid: int) -> None:
    """Lay the cable: one end on the bridge, the other as eth0 in the network namespace of `pid`."""
    run("ip", "link", "delete", host.uplink, check=False)
    # A small machine's own address, the same after each boot: others would look for it at an old one for a while.
    address = ["address", host.mac] if isinstance(host, Machine) else []
    peer = ["type", "veth", "peer", "name", "eth0", *address, "netns", str(pid)]
    run("ip", "link", "add", host.uplink, *peer)
    run("ip", "link", "set", host.uplink, "master", host.lab.bridge, "up")


def unplug(host: Host | Machine) -> None:
    """Take the cable away, both ends."""
    run("ip", "link", "delete", host.uplink, check=False)


def switch(host: Host | Machine, on: bool) -> None:
    """Cut the cable, or mend it; a mended one carries frames when this returns, where the host's own end is up."""
    run("ip", "link", "set", host.uplink, "up" if on else "down")
    if on:
        # The kernel tells the bridge of a link later, by itself: until then the bridge drops every frame.
        wait(lambda: _carries(host), seconds=5.0)


def _carries(host: Host | Machine) -> bool:
    """Whether the bridge takes and gives frames at the host's end of the cable."""
    for link in _ip("-details", "link", "show", host.uplink):
        port = link.get("linkinfo", {}).get("info_slave_data", {})
        return bool(link.get("operstate") == "UP" and port.get("state") == "forwarding")
    return False


def plugged(lab: Lab) -> dict[str, bool]:
    """Each cable that exists, and whether it is whole."""
    links = _ip("link", "show", "type", "veth")
    return {link["ifname"]: "UP" in link["flags"] for link in links if link["ifname"] in interfaces(lab)}


def interfaces(lab: Lab) -> list[str]:
    """The lab's interfaces on this machine, by name."""
    names = [link["ifname"] for link in _ip("link", "show") if "ifname" in link]
    return [name for name in names if name == lab.bridge or name.startswith(f"{lab.bridge}-")]


def dhcp_command(lab: Lab, network: str) -> list[str]:
    """dnsmasq for the lab's bridge only: DHCP, no DNS, no gateway."""
    return [
        "dnsmasq",
        "--conf-file=/dev/null",
        "--user=root",
        "--port=0",
        "--bind-interfaces",
        f"--interface={lab.bridge}",
        "--except-interface=lo",
        "--dhcp-authoritative",
        "--no-ping",
        f"--dhcp-range={network}.100,{network}.250,255.255.255.0,1h",
        "--dhcp-option=3",
        "--dhcp-option=6",
        f"--dhcp-leasefile={lab.directory}/leases",
        f"--pid-file={lab.directory}/dnsmasq.pid",
        f"--log-facility={lab.directory}/dnsmasq.log",
    ]


def remove(lab: Lab) -> None:
    """Take every interface and the firewall rule away."""
    for name in interfaces(lab):
        run("ip", "link", "delete", name, check=False)
    if f"-i {lab.bridge} -o {lab.bridge} -j ACCEPT" in run("iptables", "-w", "-S", "FORWARD", check=False):
        run("iptables", "-w", "-D", "FORWARD", *_rule(lab), check=False)
