# What deploy/try and deploy/test share: installing what is missing, once. Sourced, not run.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$top/.venv
# Without Python's compiled files each of hundreds of processes would compile everything anew.
unset PYTHONDONTWRITEBYTECODE

# what the program and its tests need, without a lab
base_packages="busybox-static fish ganeti-htools gcc libc6-dev libvirt-clients libvirt-daemon-system libvirt-dev memcached openssh-client openssh-server pgbouncer pkg-config postgresql prometheus
python3 python3-dev python3-venv tcsh"
# what the lab needs besides
lab_packages="ca-certificates cpio dnsmasq-base dropbear-bin e2fsprogs etcd-server faketime glusterfs-client glusterfs-server iproute2 iptables iputils-ping
libvirt-daemon-driver-qemu haproxy lxcfs mmdebstrap mount ovmf patroni procps python3-etcd python3-psycopg2 qemu-system-x86 qemu-utils swtpm swtpm-tools tini util-linux"

say() { printf '\033[1m%s\033[0m\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

install_packages() {
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || fail "these Debian packages are missing, and only root may install them: ${missing[*]}"
    say "installing ${#missing[@]} Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # no service of the packages may start here: the lab brings its own
    local policy=/usr/sbin/policy-rc.d
    [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' > $policy && chmod 755 $policy && trap "rm -f $policy" EXIT; }
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
    [ "$(trap -p EXIT)" = "" ] || { rm -f $policy; trap - EXIT; }
}

install_python() {
    local stamp
    stamp=$(cat "$top/deploy/requirements.lock" "$top/pyproject.toml" | sha256sum)
    [ "$(cat "$venv/stamp" 2>/dev/null)" != "$stamp" ] || return 0
    say "installing the Python packages into .venv"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed"
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check --require-hashes -r "$top/deploy/requirements.lock"
    "$venv/bin/pip" install -q --disable-pip-version-check --no-deps --no-build-isolation -e "$top"
    # compiled once, here: some machines forbid Python to keep what it compiled, and every command would pay for it
    "$venv/bin/python" -m compileall -q "$top/vmctl" "$venv/lib" >/dev/null || true
    printf '%s' "$stamp" > "$venv/stamp"
}

# The planner's search is compiled to machine code, once for each change of it.
compile_search() {
    local stamp
    stamp=$(find "$top/vmctl/decide" -name '*.py' -print0 | sort -z | xargs -0 cat | sha256sum)
    [ "$(cat "$venv/search" 2>/dev/null)" != "$stamp" ] || return 0
    say "compiling the planner"
    "$venv/bin/python" -m vmctl.decide.search.warm
    printf '%s' "$stamp" > "$venv/search"
}
