#!/bin/sh
# One host of the lab. Three steps, each inside what the one before made:
#   host.sh enter GROUP...   joins its control groups, then makes its namespaces
#   host.sh boot             its own root, /dev, /proc, network; then becomes PID 1 (tini, which reaps)
#   host.sh run              its services; one that dies is started again, as systemd would (not while /run/hold exists)
# Environment: HOST_SCRIPT HOST_NAME HOST_DIR HOST_SHARED HOST_GLUSTER HOST_LXCFS HOST_ADDRESS HOST_MAC HOST_KVM HOST_PRESSURE
set -eu

enter() {
    for group in "$@"; do echo $$ > "$group/cgroup.procs"; done
    exec unshare --mount --uts --ipc --net --pid --cgroup --fork "$HOST_SCRIPT" boot
}

# A root of its own: the machine's programs, with private files in the places that make a host. Nothing of the
# machine's other mounts stays visible, and nothing has to be made on the machine (such as /shared).
make_root() {
    mount -t tmpfs -o mode=755 "root-$HOST_NAME" "$root"
    for top in /*; do
        case $top in /proc|/sys|/dev|/run|/tmp|/root|/shared|/lost+found) continue ;; esac
        if [ -L "$top" ]; then cp -P "$top" "$root$top"
        elif [ -d "$top" ]; then mkdir "$root$top"; mount --rbind "$top" "$root$top"
        fi
    done
    mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" "$root/root" "$root/shared" "$root/.old"
    [ -n "$HOST_GLUSTER" ] || mount --bind "$HOST_SHARED" "$root/shared"
    mount --bind "$HOST_DIR/root" "$root/root"
    for place in etc/libvirt etc/ssh var/lib/libvirt var/log/libvirt var/cache/libvirt var/tmp; do
        mount --bind "$HOST_DIR/$(echo $place | tr / -)" "$root/$place"
    done
    # a virtual TPM's keys and logs; where swtpm is installed, libvirt would make these folders itself
    ! command -v swtpm >/dev/null || for place in var/lib/swtpm-localca var/log/swtpm; do
        own="$HOST_DIR/$(echo $place | tr / -)"
        mkdir -p "/$place" "$own"
        chown --reference="/$place" "$own"
        chmod --reference="/$place" "$own"
        mount --bind "$own" "$root/$place"
    done
    for file in machine-id hosts hostname passwd; do mount --bind "$HOST_DIR/$file" "$root/etc/$file"; done
    mount -t tmpfs -o mode=755 run "$root/run"
    mount -t tmpfs -o mode=1777 tmp "$root/tmp"
    mkdir -m 755 "$root/run/libvirt" "$root/run/sshd" "$root/run/lock"
}

# /dev/kvm only if it works here: libvirt must not offer what hangs.
make_dev() {
    mount -t tmpfs -o mode=755 dev "$root/dev"
    mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/net"
    [ -n "$HOST_KVM" ] && kvm="kvm vhost-net" || kvm=
    for node in null zero full random urandom tty net/tun fuse $kvm; do
        [ ! -e "/dev/$node" ] || cp -a "/dev/$node" "$root/dev/$node"
    done
    mount -t devpts -o newinstance,mode=620,ptmxmode=666 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    for number in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${number%:*}" "$root/dev/${number#*:}"; done
}

# Its own processes, load, memory, pressure and boot id.
make_proc() {
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    # its own control groups, in which it may limit what runs there
    mount -t tmpfs -o mode=755 groups "$root/sys/fs/cgroup"
    for kind in memory cpu cpuacct; do
        grep -q " cgroup .*[, ]$kind\(,\| \)" /proc/self/mounts || continue
        mkdir "$root/sys/fs/cgroup/$kind"
        mount -t cgroup -o "$kind" "$kind" "$root/sys/fs/cgroup/$kind"
    done
    for file in stat meminfo loadavg cpuinfo uptime swaps diskstats; do
        [ ! -e "$HOST_LXCFS/proc/$file" ] || mount --bind "$HOST_LXCFS/proc/$file" "$root/proc/$file"
    done
    for kind in cpu memory io; do
        [ ! -e "$HOST_PRESSURE/$kind.pressure" ] || [ ! -e "$root/proc/pressure/$kind" ] ||
            mount --bind "$HOST_PRESSURE/$kind.pressure" "$root/proc/pressure/$kind"
    done
    mount --bind "$HOST_DIR/boot-id" "$root/proc/sys/kernel/random/boot_id"
}

# br0 holds the cable (eth0, laid from outside) and the host's address; guests join it.
make_network() {
    ip link set lo up
    tries=0
    until [ -e /sys/class/net/eth0 ]; do
        tries=$((tries + 1))
        [ $tries -lt 500 ] || { echo "nobody laid the cable"; exit 1; }
        sleep 0.02
    done
    # bridged frames are none of iptables' business here
    for file in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e "$file" ] || echo 0 > "$file"; done
    ip link add br0 address "$HOST_MAC" type bridge stp_state 0 forward_delay 0 mcast_snooping 0
    ip link set eth0 master br0 up
    ip link set br0 up
    ip address add "$HOST_ADDRESS/24" dev br0
}

# Over the network, where the lab's storage is there. Without direct-io-mode the kernel would go on showing what a file
# held before another host wrote it.
mount_shared() {
    [ -z "$HOST_GLUSTER" ] || mount -t glusterfs \
        -o "direct-io-mode=enable,log-file=/var/log/libvirt/gluster.log" "$HOST_GLUSTER" /shared
}

boot() {
    root="$HOST_DIR/rootfs"
    hostname "$HOST_NAME"
    make_root
    make_dev
    make_proc
    cp "$HOST_SCRIPT" "$root/run/host.sh"
    cd "$root"
    pivot_root . .old
    umount -l /.old
    rmdir /.old
    make_network
    mount_shared
    exec tini -- /run/host.sh run
}

keep() {
    while :; do
        "$@" || true
        sleep 1
        while [ -e /run/hold ]; do sleep 0.2; done
    done
}

run() {
    cd /
    keep virtlogd &
    keep virtlockd &
    keep /usr/sbin/sshd -D -e &
    keep libvirtd &
    wait
}

"$@"
