"""What users run: real Apache and Tomcat in a guest. They are seen, die, hang and come back, each as another life."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.pool import Pool, wait_for
from tests.lab.test_health import becomes, health, lives

pytestmark = [pytest.mark.lab, pytest.mark.nightly]
SLOW_S = 600.0  # Tomcat begins, on an emulated CPU


@pytest.fixture
def web(pool: Pool) -> Iterator[str]:
    """A VM with both, up and well."""
    pool.image("debian-web")
    with pool.vms("web", image="debian-web", memory="1G"):
        wait_for(lambda: health(pool, "web")["watches"], SLOW_S, "its agent speaks")
        becomes(pool, "web", "well", SLOW_S)
        yield "web"


def serves(pool: Pool, port: int, program: str) -> str:
    """The UUID of the life of the program that listens there."""
    found = wait_for(
        lambda: [u for u, life in lives(pool, "web", "--program", program).items() if life["port"] == port],
        SLOW_S,
        f"{program} listens on {port}",
    )
    uuid: str = found[0]
    return uuid


def test_apache_and_tomcat_die_and_hang_and_come_back(pool: Pool, web: str) -> None:
    address = pool.address(web)
    watched = {watch["name"]: watch["ok"] for watch in health(pool, web)["watches"]}
    assert watched == {"sshd": True, "apache": True, "tomcat": True}
    apache, tomcat = serves(pool, 80, "apache2"), serves(pool, 8080, "java")
    assert "java" in pool.do("who", f"{address}:8080").out

    pool.ssh(address, "systemctl stop apache2")  # somebody stops it: its agent starts it again
    wait_for(lambda: "apache2.service restarted" in pool.do("events").out, SLOW_S, "Apache is started again")
    again = serves(pool, 80, "apache2")
    assert again != apache
    previous = pool.do("process", "show", again, "-o", "json").json["previous"]
    assert apache in [life["uuid"] for life in previous]

    pid = pool.do("process", "show", tomcat, "-o", "json").json["pid"]
    pool.ssh(address, f"kill -STOP {pid}")  # it hangs, with its port open: only the path tells
    found = becomes(pool, web, "degraded", SLOW_S)
    assert "tomcat" in found["why"]
    becomes(pool, web, "well", SLOW_S)
    assert serves(pool, 8080, "java") != tomcat
