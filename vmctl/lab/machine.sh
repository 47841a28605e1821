#!/bin/sh
# A small machine of the lab: a name and a network of its own, its files at /mnt, and one program, its arguments.
# (Who is not root cannot reach them elsewhere, as they may lie in root's home.)
# Environment: MACHINE_NAME MACHINE_ADDRESS MACHINE_DIR
# One on a host has that host's network and limits, and no files of its own: MACHINE_HOST (its PID 1) MACHINE_GROUPS
set -eu
if [ -n "${MACHINE_HOST:-}" ]; then
    host=$MACHINE_HOST
    for group in $MACHINE_GROUPS; do echo $$ > "$group/cgroup.procs"; done
    unset MACHINE_HOST MACHINE_GROUPS
    while ! nsenter --net="/proc/$host/ns/net" --uts="/proc/$host/ns/uts" "$@"; do sleep 1; done
    exit
fi
mount --rbind "$MACHINE_DIR" /mnt
[ -n "$MACHINE_ADDRESS" ] || exec "$@"
hostname "$MACHINE_NAME"
ip link set lo up
tries=0
until ip link show eth0 >/dev/null 2>&1; do # /sys still shows the network outside
    tries=$((tries + 1))
    [ $tries -lt 500 ] || { echo "nobody laid the cable"; exit 1; }
    sleep 0.02
done
ip address add "$MACHINE_ADDRESS/24" dev eth0
ip link set eth0 up
# As systemd would: a controller whose life was ended begins another one.
while ! "$@"; do sleep 1; done
