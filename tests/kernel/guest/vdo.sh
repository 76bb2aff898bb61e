# SPDX-License-Identifier: GPL-2.0-or-later
# The guest's functions to run dm-vdo by hand. Sizes are in bytes unless said otherwise.
export DM_DISABLE_UDEV=1 # no udev in the guest: libdevmapper makes the nodes

# start NAME DEVICE LOGICAL-BLOCKS PHYSICAL-BLOCKS CACHE-BLOCKS [OPTION VALUE]...
start() {
  local name=$1 device=$2 logical=$3 physical=$4 cache=$5
  shift 5
  dmsetup create "$name" --table "0 $((logical * 8)) vdo V4 $device $physical 4096 $cache 16380 $*"
}

# grow NAME DEVICE LOGICAL-BLOCKS PHYSICAL-BLOCKS CACHE-BLOCKS [OPTION VALUE]...: while it is in use
grow() {
  local name=$1 device=$2 logical=$3 physical=$4 cache=$5
  shift 5
  dmsetup load "$name" --table "0 $((logical * 8)) vdo V4 $device $physical 4096 $cache 16380 $*" &&
    dmsetup suspend "$name" && dmsetup resume "$name"
}

# wait_index NAME: until the index takes part; writes before that do not deduplicate. A read-only volume
# has none.
wait_index() {
  local i=0
  while [ $i -lt 3000 ]; do
    case $(dmsetup status "$1") in
      *" online "o* | *" read-only "*) return 0 ;;
      *" error "* | *" closed "*) return 1 ;;
    esac
    usleep 20000
    i=$((i + 1))
  done
  return 1
}

# copy FROM FROM-OFFSET TO TO-OFFSET LENGTH: past the page cache
copy() {
  dd if="$1" of="$3" bs=1M count="$5" skip="$2" seek="$4" iflag=direct,skip_bytes,count_bytes,fullblock \
    oflag=direct,seek_bytes conv=notrunc status=none
}

# copies FROM TO "FROM-OFFSET TO-OFFSET LENGTH"...
copies() {
  local from=$1 to=$2 piece
  shift 2
  for piece; do
    set -- $piece
    copy "$from" "$1" "$to" "$2" "$3" || return
  done
}

# flush DEVICE: all that was written to it is stable afterwards
flush() { dd if=/dev/null of="$1" conv=notrunc,fsync status=none; }

# load MODULE [OPTION...]: with what it needs; nothing of it if it is there already
load() {
  local order=/modules/$1.order name last
  shift
  last=$(tail -n 1 "$order") || return
  while read -r name; do
    grep -q "^$(echo "${name%.ko}" | tr - _) " /proc/modules && continue
    if [ "$name" = "$last" ]; then
      insmod "/modules/$name" "$@"
    else
      insmod "/modules/$name"
    fi || return
  done <"$order"
}
