# SPDX-License-Identifier: GPL-2.0-or-later
# The initramfs of a machine whose root file system is on a volume, /dev/vda: sourced by init, and left for
# good (docs/block-devices.md, "The root file system").
. /vdo.sh
exec >/dev/console 2>&1 </dev/console
kept=/run/initramfs # what of it stays in memory, and is the root folder of the server

mkdir -p $kept /newroot
mount -t tmpfs tmpfs $kept
mkdir -p $kept/dev $kept/proc $kept/sys $kept/run $kept/tmp $kept/oldroot
cp -a /bin /sbin /usr /lib /lib64 /host /etc /shutdown $kept
for folder in dev proc sys run; do mount --bind /$folder $kept/$folder; done
load ublk_drv
chroot $kept uvdo attach /dev/vda --as ublk --name root --log-file /run/uvdo.log --server-option=--systemd-mark \
  --server-option=--pid-file=/run/uvdo.pid --server-option=--cache=16M --server-option=--buffers=16M
mount -t ext4 /dev/uvdo/root /newroot || cat /run/uvdo.log
for folder in dev proc sys run; do mount --move /$folder /newroot/$folder; done
exec switch_root /newroot /init
