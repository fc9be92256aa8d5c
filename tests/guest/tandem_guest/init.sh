#!/bin/busybox sh
# SPDX-License-Identifier: BSD-3-Clause
# Process 1 of the guest: loads modules, mounts the files of the machine outside, which it may only read, and runs what is to be
# run. Whatever happens, it ends the guest.
/bin/busybox --install -s /bin
export PATH=/bin

fail() {
  echo "guest: $*"
  sync
  poweroff -f
}

mkdir -p /proc /sys /dev /new
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev

while read -r module; do
  # One that nothing here uses is no reason to stop, and for one that is needed what follows fails.
  insmod "/modules/$module" || echo "guest: the module $module cannot be loaded"
  rm "/modules/$module"
done </modules/order

# mount_shared TAG DIRECTORY OPTIONS: a directory that the emulator shares under this tag.
mount_shared() {
  mount -t 9p -o "trans=virtio,version=9p2000.L,msize=262144,$3" "$1" "$2" || fail "'$1' cannot be mounted"
}

mount_shared machine /new ro,cache=loose
mount -t proc proc /new/proc
mount -t sysfs sysfs /new/sys
mount -t bpf bpf /new/sys/fs/bpf
mount -t devtmpfs dev /new/dev
mkdir -p /new/dev/pts /new/dev/shm
mount -t devpts devpts /new/dev/pts
for directory in dev/shm run tmp var/tmp; do
  mount -t tmpfs tmpfs "/new/$directory"
done
# Both in places of their own: the tree may be below one of those that are hidden now, and tests hide /run once more.
mount_shared results /new/srv cache=none
mount_shared tree /new/mnt ro,cache=loose
ip link set lo up
echo "guest: up after $(cut -d ' ' -f 1 /proc/uptime) s"

chroot /new /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin HOME=/tmp LANG=C.UTF-8 \
  PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 /srv/inside.py
echo "guest: over with exit code $?"
sync
poweroff -f
