#!/bin/sh
# A small machine of the lab: a name and a network of its own, its files at /mnt, and one program, its arguments.
# (Who is not root cannot reach them elsewhere, as they may lie in root's home.)
# Environment: MACHINE_NAME MACHINE_ADDRESS MACHINE_DIR
set -eu
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
