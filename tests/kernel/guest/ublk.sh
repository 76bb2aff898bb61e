# SPDX-License-Identifier: GPL-2.0-or-later
# The guest's functions for ublk devices.

# The shell has some of its own, which can do less; they are quicker, which other suites rest on.
if [ -x /usr/bin/blkdiscard ]; then
  dd() { /bin/dd "$@"; }
  blkdiscard() { /usr/bin/blkdiscard "$@"; }
fi
as_user() { exec /usr/bin/setpriv --reuid 65534 "$@"; }

# said NAME TEXT [COUNT]: waits until the server has printed so many lines with it
said() {
  local i=0
  while [ $i -lt 600 ]; do
    [ "$(grep -c -- "$2" "/run/$1.log")" -ge "${3:-1}" ] && return
    usleep 50000
    i=$((i + 1))
  done
  echo "the server $1 did not say $2:"
  cat "/run/$1.log"
  return 1
}

# start_server NAME OPTION...: until it is ready; what it prints is in /run/NAME.log
start_server() {
  local name=$1
  shift
  : >"/run/$name.log"
  again "$name" "$@"
}

# again NAME OPTION...: another with the same name, whose output is added
again() {
  local name=$1 ready
  shift
  ready=$(grep -c ^ready "/run/$name.log")
  (
    ublk_memory_server "$@" >>"/run/$name.log" 2>&1 &
    echo $! >"/run/$name.pid"
    wait $!
    echo "status $?" >>"/run/$name.log"
  ) >/dev/null 2>&1 &
  said "$name" ^ready $((ready + 1))
}

# end_server NAME [SIGNAL]: until it has ended; prints all that it said
end_server() {
  local ended
  ended=$(grep -c ^status "/run/$1.log")
  kill "-${2:-TERM}" "$(cat "/run/$1.pid")"
  said "$1" ^status $((ended + 1)) && cat "/run/$1.log"
}

# verify FILE OPTION...: fio writes and reads back
verify() {
  local file=$1
  shift
  fio --name=verify "--filename=$file" --rw=randwrite --ioengine=libaio --verify=crc32c \
    --verify_fatal=1 --end_fsync=1 --randseed=7 --output=/run/fio.log "$@" >/run/fio.err 2>&1 ||
    { cat /run/fio.log /run/fio.err; return 1; }
}

# queue NUMBER NAME: a property of a device
queue() { cat "/sys/block/ublkb$1/queue/$2"; }
