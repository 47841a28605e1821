# Shared by the image recipes: how a kernel, its modules and an initramfs are put together. Sourced by sh.
# Needs dpkg-dev-free Debian tools only: apt-get, dpkg-deb, cpio, busybox-static.

# fetch_kernel DIR: Debian's newest cloud kernel into DIR, unpacked. It is never installed on this machine.
fetch_kernel() {
    package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-\)/\1/p' | head -n 1)
    [ -n "$package" ] || { echo "apt knows no linux-image-cloud-amd64; run: apt-get update" >&2; exit 1; }
    mkdir -p "$1/unpacked"
    (cd "$1" && apt-get -qq -o APT::Sandbox::User=root download "$package")
    dpkg-deb -x "$1"/linux-image-*.deb "$1/unpacked"
    echo "$package" > "$1/release"
    mv "$1"/unpacked/boot/vmlinuz-* "$1/vmlinuz"
    mv "$1"/unpacked/lib/modules/*/kernel "$1/modules"
    rm -r "$1/unpacked" "$1"/linux-image-*.deb
}

# add_module KERNEL ROOT NAME: the module and, before it, what it depends on, into ROOT/modules.
# ROOT/modules/order is the order to load them in. A name that is built into the kernel is skipped.
add_module() {
    file=$(find "$1/modules" -name "$3.ko" -o -name "$(echo "$3" | tr _ -).ko" | head -n 1)
    [ -n "$file" ] || return 0
    for needed in $(tr '\0' '\n' < "$file" | sed -n 's/^depends=//p' | tr ',' ' '); do
        add_module "$1" "$2" "$needed"
    done
    file=$(find "$1/modules" -name "$3.ko" -o -name "$(echo "$3" | tr _ -).ko" | head -n 1)
    name=$(basename "$file")
    [ ! -e "$2/modules/$name" ] || return 0
    mkdir -p "$2/modules"
    cp "$file" "$2/modules/$name"
    echo "$name" >> "$2/modules/order"
}

# add_busybox ROOT: busybox with a link per applet.
add_busybox() {
    mkdir -p "$1/bin"
    cp "$(command -v busybox)" "$1/bin/busybox"
    for applet in $("$1/bin/busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"
    done
}

# add_program ROOT FILE: a program and the shared libraries it needs.
add_program() {
    cp "$2" "$1/bin/"
    for library in $(ldd "$2" | grep -o '/[^ ]*'); do
        mkdir -p "$1$(dirname "$library")"
        cp -L "$library" "$1$library"
    done
}

# pack ROOT FILE: an initramfs, not compressed: an emulated CPU unpacks slower than QEMU copies.
pack() {
    (cd "$1" && find . | cpio --quiet -o -H newc --owner=0:0) > "$2"
}
