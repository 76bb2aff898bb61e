#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# In the style of scripts of the days of RHEL 7: makes a volume with a file system for backups on a
# disk, fills it, grows it, and takes it away again.
#   rhel7_provision.sh DISK NAME MOUNTPOINT
set -e

DISK=$1
VOL=$2
MNT=$3
LOG=/var/log/provision-$VOL.log

fail() { echo "FAILED: $*" >&2; exit 1; }

if vdo list --all | grep -qx "$VOL"; then
    fail "$VOL exists already"
fi

vdo create --name="$VOL" --device="$DISK" --vdoLogicalSize=20G --vdoSlabSize=128M \
    --writePolicy=auto --readCache=enabled --readCacheSize=20M --vdoLogLevel=warning \
    --verbose --logfile="$LOG"
[ -b "/dev/mapper/$VOL" ] || fail "no device"
vdo list | grep -qx "$VOL" || fail "not listed"

mkfs.xfs -q -K "/dev/mapper/$VOL"
mkdir -p "$MNT"
mount -o discard "/dev/mapper/$VOL" "$MNT"

# Two copies of the same data take the room of one.
dd if=/dev/urandom of="$MNT/one" bs=1M count=64 status=none
cp "$MNT/one" "$MNT/two"
sync
saving=$(vdostats --verbose "/dev/mapper/$VOL" | awk -F: '/saving percent/ {gsub(/ /, "", $2); print $2}')
[ "$saving" -ge 40 ] || fail "saves only $saving %"
used=$(vdostats --hu | awk -v dev="/dev/mapper/$VOL" '$1 == dev {print $5}' | tr -d %)
[ "$used" -le 90 ] || fail "is full: $used %"

# The users want more.
before=$(vdo status --name="$VOL" | awk '/Logical size/ {print $NF}')
[ "$before" = 20G ] || fail "logical size $before"
vdo growLogical --name="$VOL" --vdoLogicalSize=40G
xfs_growfs "$MNT" >/dev/null
after=$(vdo status --name="$VOL" | awk '/Logical size/ {print $NF}')
[ "$after" = 40G ] || fail "logical size $after"
[ "$(df -BG --output=size "$MNT" | tail -1 | tr -dc 0-9)" -ge 39 ] || fail "the file system is small"

# Maintenance.
if vdo stop --name="$VOL" 2>/dev/null; then fail "stopped under a file system"; fi
sum=$(md5sum < "$MNT/two")
umount "$MNT"
vdo stop --name="$VOL"
[ -e "/dev/mapper/$VOL" ] && fail "the device is still there"
vdo start --name="$VOL"
mount "/dev/mapper/$VOL" "$MNT"
[ "$(md5sum < "$MNT/two")" = "$sum" ] || fail "other data"

# The end: --force unmounts.
vdo stop --name="$VOL" --force
vdo remove --name="$VOL"
vdo list --all | grep -qx "$VOL" && fail "still listed"
grep -q "Removing VDO" "$LOG" && fail "only commands with --logfile log there"
grep -q "Creating VDO $VOL" "$LOG" || fail "nothing was logged"
rm -f "$LOG"
echo "provisioned, grown and removed $VOL"
