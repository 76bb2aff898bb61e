#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# In the style of scripts of the days of RHEL 8: creates a volume, tunes it, looks at what waits for
# the next start, switches features, makes the disk beneath it larger, and takes it away.
#   rhel8_tune.sh DISK NAME FILE_OF_THE_LOOP_DEVICE
set -u

DISK=$1
VOL=$2
FILE=$3

fail() { echo "FAILED: $*" >&2; exit 1; }
# A value of the volume in the status.
status() {
    vdo status --name="$VOL" | python3 -c '
import sys, yaml
volume = yaml.safe_load(sys.stdin)["VDOs"][sys.argv[1]]
print(volume[sys.argv[2]])' "$VOL" "$1"
}
expect() {
    local is; is=$(status "$1")
    [ "$is" = "$2" ] || fail "$1 is $is, not $2"
}

vdo create --name "$VOL" --device "$DISK" --vdoLogicalSize 10T --vdoSlabSize 256M --indexMem 0.25 \
    --sparseIndex disabled --emulate512 enabled --blockMapCacheSize 256M --blockMapPeriod 8000 \
    --maxDiscardSize 4M --vdoAckThreads 2 --vdoBioThreads 8 --vdoBioRotationInterval 128 \
    --vdoCpuThreads 4 --vdoHashZoneThreads 2 --vdoLogicalThreads 2 --vdoPhysicalThreads 2 \
    --writePolicy async --compression disabled || fail "create: $?"

expect "Logical size" 10T
expect "Slab size" 256M
expect "Emulate 512 byte" enabled
expect "Block map cache size" 256M
expect "Block map period" 8000
expect "Max discard size" 4M
expect "Bio submission threads" 8
expect "Configured write policy" async
expect "Compression" disabled
[ "$(blockdev --getss "/dev/mapper/$VOL")" = 512 ] || fail "sectors of $(blockdev --getss "/dev/mapper/$VOL")"
vdo status --name="$VOL" | grep -q "Device mapper status: 0 21474836480 vdo .* normal - online offline" ||
    fail "$(vdo status --name="$VOL" | grep mapper)"

# At once.
vdo enableCompression --name="$VOL" || fail "enableCompression"
vdo disableDeduplication --name="$VOL" || fail "disableDeduplication"
vdo changeWritePolicy --name="$VOL" --writePolicy=sync || fail "changeWritePolicy"
expect "Compression" enabled
expect "Deduplication" disabled
expect "Configured write policy" sync
vdo status -n "$VOL" | grep -q "normal - .* online [0-9]" || fail "compression is not on"
vdo enableDeduplication --all || fail "enableDeduplication"

# At the next start.
vdo modify --name="$VOL" --blockMapCacheSize=512M --vdoBioThreads=6 || fail "modify"
vdo status --name="$VOL" --pending | grep -q "Block map cache size: 256M \[512M\]" || fail "pending"
vdo status --name="$VOL" --pending | grep -q "Bio submission threads: 8 \[6\]" || fail "pending threads"
vdo modify --name="$VOL" --vdoLogicalThreads=0 2>/dev/null
[ $? = 2 ] || fail "threads that do not go together"
vdo stop --name="$VOL" && vdo start --name="$VOL" || fail "restart"
vdo status --name="$VOL" --pending | grep -q "Block map cache size: 512M$" || fail "not pending any more"
[ "$(vdo status -n "$VOL" | awk -F': ' '/ block map cache size/ {print $2}')" = $((512 << 20)) ] ||
    fail "the server has another cache"

# Not to be started by anybody.
vdo deactivate --name="$VOL" || fail "deactivate"
vdo list | grep -qx "$VOL" || fail "deactivated volumes go on"
vdo stop --name="$VOL" || fail "stop"
vdo start --name="$VOL" 2>/dev/null
[ $? = 5 ] || fail "a deactivated volume started"
vdo start --all || fail "start --all skips it"
vdo list | grep -qx "$VOL" && fail "a deactivated volume started with all"
vdo growLogical --name="$VOL" --vdoLogicalSize=11T 2>/dev/null
[ $? = 5 ] || fail "a stopped volume grew"
vdo activate --name="$VOL" && vdo start --name="$VOL" || fail "activate"

# A larger disk.
before=$(vdostats "/dev/mapper/$VOL" | awk 'NR == 2 {print $2}')
truncate -s +1G "$FILE"
losetup -c "$DISK"
vdo growPhysical --name="$VOL" || fail "growPhysical: $?"
after=$(vdostats "/dev/mapper/$VOL" | awk 'NR == 2 {print $2}')
[ $((after - before)) -ge $((768 * 1024)) ] || fail "grew from $before to $after"

vdo remove --name="$VOL" || fail "remove: $?"
[ -z "$(vdo list --all)" ] || fail "something is left: $(vdo list --all)"
echo "tuned and removed $VOL"
