#!/bin/sh
# Debian 12 with systemd, udev, sshd and Python, made to boot fast on an emulated CPU (README.md has the figures).
#   debian-12.sh disk OUT AGENT                        OUT/debian-12.qcow2: the file system, the same for everybody
#   debian-12.sh boot OUT KERNEL AUTHORIZED_KEYS AGENT OUT/initrd: modules, and what is particular to a VM or a lab
# With $image and $more_packages it makes another image of that name, with these and the files in $image/files besides.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
image=${image:-debian-12}
packages=systemd,systemd-sysv,udev,dbus,openssh-server,python3,iproute2,iputils-ping,procps${more_packages:-}

# Where packages come from: this machine's own sources if it is Debian 12 too, else mmdebstrap's default.
sources() {
    . /etc/os-release
    [ "${VERSION_CODENAME:-}" = bookworm ] || return 0
    find /etc/apt/sources.list /etc/apt/sources.list.d -name '*.sources' -o -name '*.list' 2> /dev/null
}

# Java's packages make links among the manual's pages, even where there are none.
disk() {
    out=$1 agent=$2 root=$1/root
    mmdebstrap --quiet --variant=minbase --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --setup-hook='mkdir -p "$1/usr/share/man/man1"' \
        bookworm "$root" $(sources)
    cp "$agent/vmctl-agent.deb" "$root/"
    DEBIAN_FRONTEND=noninteractive chroot "$root" dpkg --install /vmctl-agent.deb
    rm "$root/vmctl-agent.deb"
    cp -R --no-preserve=ownership "$here/debian-12/files/." "$here/$image/files/." "$root/"
    tune "$root"
    truncate -s 2G "$out/disk.raw"
    mke2fs -q -t ext4 -L vmctl -d "$root" "$out/disk.raw"
    qemu-img convert -c -f raw -O qcow2 "$out/disk.raw" "$out/$image.qcow2"
    rm -r "$root" "$out/disk.raw"
}

# What every VM must make for itself is removed; what a lab guest does not need is not started.
tune() {
    rm -f "$1"/etc/ssh/ssh_host_*
    : > "$1/etc/machine-id"
    rm -f "$1/var/lib/dbus/machine-id" "$1/etc/hostname" "$1/usr/lib/tmpfiles.d/systemd-nologin.conf"
    rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*
    units="$1/etc/systemd/system"
    grep -v '^#' "$here/debian-12/masked-units" | while read -r unit; do ln -sf /dev/null "$units/$unit"; done
    mkdir -p "$1/etc/systemd/system-generators"
    for generator in "$1"/usr/lib/systemd/system-generators/*; do
        ln -sf /dev/null "$1/etc/systemd/system-generators/${generator##*/}"
    done
    mkdir -p "$units/multi-user.target.wants"
    ln -sf /lib/systemd/system/systemd-networkd.service "$units/multi-user.target.wants/"
    ln -sf ../console-shell.service "$units/multi-user.target.wants/"
    ln -sf /lib/systemd/system/multi-user.target "$units/default.target"
    # newer than /usr: systemd need not rebuild its caches at the first boot
    touch "$1/etc/.updated" "$1/var/.updated"
}

boot() {
    out=$1 kernel=$2 authorized_keys=$3 root=$1/root
    mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/disk"
    add_busybox "$root"
    cp "$here/debian-12/init" "$root/init"
    cp "$authorized_keys" "$root/authorized_keys"
    for module in virtio_pci virtio_blk virtio_net virtio_console virtio_rng virtio_balloon button evdev; do
        add_module "$kernel" "$root" "$module"
    done
    pack "$root" "$out/initrd"
    rm -r "$root"
}

"$@"
