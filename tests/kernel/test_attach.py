#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""uvdo attach where the kernel has ublk and nbd: a file system on the device, a server that is killed
under load again and again, and that neither the file system nor the volume has lost anything.

Kernels before 6.15 may crash when a ublk server is killed in the very moment in which it is given a
request. What such a crash has cut off is done again with another machine, and counted; any other fault of
the kernel's fails the test.

Environment, beside that of exchange.py: UVDO_KILLS (how often each way; default 4).
"""
import os
import pathlib
import random
import re
import shutil
import sys
import tempfile
import unittest

import exchange
import host_programs
import sides
import vm

PROGRAMS = ["fio", "mkfs.ext4", "e2fsck", "resize2fs"]
KILLS = int(os.environ.get("UVDO_KILLS", "4"))
KILLS_OF_A_ROUND = 10       # then everything is looked at, and the device is detached
UPGRADES = 2                # of each round, by uvdo upgrade
CRASHES_ALLOWED = 3         # of the kernel, for each round
VOLUME = "/dev/shm/pool.img"
SERVER = ("--server-option=--cache=16M --server-option=--buffers=16M --log-file /tmp/log "
          "--server-option=--pid-file=/tmp/pid")
FIO = ("fio --name=j --directory=/mnt --rw=randwrite --bs=4k --size=16m --direct=1 --ioengine=libaio --iodepth=8 "
       "--verify=crc32c --verify_fatal=1 --fsync=64")
# Its data are others each time, so that old ones are found out. It ends when all was read back.
LOAD = (f"(n=0; until [ -e /tmp/enough ]; do n=$((n + 1)); {FIO} --randseed=$n --output=/tmp/fio.log || break; done "
        ">/tmp/fio.err 2>&1; [ -e /tmp/enough ] || echo broken off >>/tmp/fio.err; echo $n >/tmp/fio.runs) "
        ">/dev/null 2>&1 &")
# What the drivers say when a server has gone or a device is detached, and is no error of a request.
EXPECTED = ["shutting down sockets", "Receive control failed", "Dead connection", "Send control failed",
            "Send data failed", "Request send failed", "Send disconnect failed", "Possible stuck request",
            "CONFIG_IMA_DISABLE_HTABLE"]
CRASH = re.compile(r"BUG: |Oops: |general protection fault|kernel BUG at")


class Attach(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-kernel."))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.guest = host_programs.Guest(exchange.LAB, cls.folder, PROGRAMS, ["nbd", "ublk_drv"],
                                        own=[sides.support.UVDO])
        cls.machine = None
        cls.addClassCleanup(cls.stop)

    @classmethod
    def start(cls):
        cls.machine = vm.Machine(cls.guest, [], exchange.ACCELERATOR, megabytes=2600)
        cls.machine.run("mkdir -p /dev/shm /mnt; mount -t tmpfs -o size=1g tmpfs /dev/shm")
        cls.machine.kernel_log()

    @classmethod
    def stop(cls):
        if cls.machine:
            cls.machine.kill()
        cls.machine = None

    def run_in_guest(self, command, seconds=120, **options):
        return self.machine.run(command, seconds=seconds, **options)

    def attach(self, kind):
        return self.run_in_guest(f"uvdo attach {VOLUME} --as {kind} {SERVER}").strip().splitlines()[-1]

    def kill(self):
        """A process that the kernel crashes on does not end."""
        self.run_in_guest("p=$(cat /tmp/pid); kill -KILL $p; i=0; while kill -0 $p 2>/dev/null; do "
                          "usleep 20000; i=$((i + 1)); [ $i -lt 1500 ] || exit 1; done")

    def live_through_kills(self, kind, module, prefix, kills, moments):
        self.run_in_guest(f"rm -f /tmp/*; uvdo format {VOLUME} --size 3200M --slab-size 32M --logical-size 256M")
        self.run_in_guest(f"load {module}")
        device = self.attach(kind)
        self.assertTrue(device.startswith(prefix), device)
        self.assertEqual(self.run_in_guest("readlink /dev/uvdo/pool").strip(), device)
        self.run_in_guest(f"mkfs.ext4 -q {device} && mkdir -p /mnt && mount {device} /mnt")
        self.run_in_guest(LOAD)
        for number in range(kills):
            self.run_in_guest(f"usleep {moments.randint(0, 1200)}000; echo {number} >/mnt/note{number}; "
                              "if [ -e /tmp/fio.runs ]; then cat /tmp/fio.err; exit 1; fi")
            self.kill()
            self.assertEqual(self.attach(kind), device, "the same device")
        for _ in range(UPGRADES):
            before = self.run_in_guest("sleep 1; cat /tmp/pid").strip()
            self.assertIn("goes on in the place of", self.run_in_guest(f"uvdo upgrade {VOLUME}"))
            self.assertNotEqual(self.run_in_guest("cat /tmp/pid").strip(), before, "another process")
            self.assertEqual(self.attach(kind), device, "the same device")
        self.run_in_guest("touch /tmp/enough; until [ -e /tmp/fio.runs ]; do usleep 50000; done", seconds=300)
        self.assertEqual(self.run_in_guest("cat /tmp/fio.err").strip(), "")
        # All that was written and never flushed by anybody is there as well.
        notes = self.run_in_guest("echo 3 >/proc/sys/vm/drop_caches; cd /mnt; cat $(ls note* | sort -k1.5n)")
        self.assertEqual(notes.split(), [str(number) for number in range(kills)])
        refused = self.run_in_guest(f"uvdo detach {device}", check=False)
        self.assertNotEqual(refused[0], "0", "it is mounted")
        self.run_in_guest(f"umount /mnt && e2fsck -fn {device} && uvdo detach {device} && uvdo check {VOLUME}")
        self.assertNotIn("may be lost", self.run_in_guest("cat /tmp/log"))
        self.run_in_guest(f"rmmod {module}; rm {VOLUME}")
        self.assertEqual(self.machine.complaints(EXPECTED), [])

    def ublk_has_crashed(self):
        """Whether the kernel has, with its ublk driver on the way."""
        crash = CRASH.search(self.machine.console())
        if not crash:
            return False
        told = self.machine.console()[crash.start():]
        print(told[:1500], file=sys.stderr)
        return "ublk_" in told

    def prove(self, kind, *of_device):
        proven = crashes = 0
        moments = random.Random(kind)
        while proven < KILLS:
            kills = min(KILLS_OF_A_ROUND, KILLS - proven)
            if self.machine is None:
                self.start()
            try:
                self.live_through_kills(kind, *of_device, kills, moments)
                proven += kills
            except (vm.Died, vm.Failed, AssertionError):
                is_excused = kind == "ublk" and self.ublk_has_crashed()
                self.stop()
                crashes += 1
                if not is_excused or crashes > CRASHES_ALLOWED * (KILLS // KILLS_OF_A_ROUND + 1):
                    raise
        print(f"{kind}: {proven} servers killed, nothing lost; {crashes} more rounds ended in a crash of the kernel's "
              "ublk driver", file=sys.stderr, flush=True)

    def grow(self, kind, module):
        if self.machine is None:
            self.start()
        self.run_in_guest(f"rm -f /tmp/*; uvdo format {VOLUME} --size 3200M --slab-size 32M --logical-size 64M")
        self.run_in_guest(f"load {module}")
        device = self.attach(kind)
        self.run_in_guest(f"mkfs.ext4 -q {device} && mount {device} /mnt && echo kept >/mnt/note")
        return device, self.run_in_guest(f"uvdo grow --logical 128M {VOLUME}")

    def end_grown(self, device, module):
        self.run_in_guest(f"resize2fs {device} && [ $(stat -f -c %b /mnt) -gt 25000 ] && grep kept /mnt/note && umount /mnt && "
                          f"e2fsck -fn {device} && uvdo detach {device} && uvdo check {VOLUME} && rmmod {module}; rm {VOLUME}")
        self.assertEqual(self.machine.complaints(EXPECTED), [])

    def test_an_nbd_device_grows_in_use(self):
        device, said = self.grow("nbd", "nbd")
        self.assertNotIn("keeps its size", said)
        self.run_in_guest(f"until [ $(blockdev --getsize64 {device}) = {128 << 20} ]; do usleep 50000; done", seconds=60)
        self.end_grown(device, "nbd")

    def test_a_ublk_device_grows_in_use_or_it_is_said_what_to_do(self):
        """In use from Linux 6.16 on."""
        device, said = self.grow("ublk", "ublk_drv")
        if tuple(map(int, self.run_in_guest("uname -r").split(".")[:2])) >= (6, 16):
            self.assertNotIn("keeps its size", said)
            self.run_in_guest(f"until [ $(blockdev --getsize64 {device}) = {128 << 20} ]; do usleep 50000; done", seconds=60)
        else:
            self.assertIn(f"{device} keeps its size", said)
            self.assertIn("attach it again", said)
            self.run_in_guest(f"umount /mnt && uvdo detach {device}")
            self.assertEqual(self.attach("ublk"), device)
            self.assertEqual(self.run_in_guest(f"blockdev --getsize64 {device}").strip(), str(128 << 20))
            self.run_in_guest(f"mount {device} /mnt")
        self.end_grown(device, "ublk_drv")

    def test_no_file_system_notices_that_a_ublk_server_is_killed(self):
        self.prove("ublk", "ublk_drv", "/dev/ublkb")

    def test_no_file_system_notices_that_an_nbd_server_is_killed(self):
        self.prove("nbd", "nbd", "/dev/nbd")


if __name__ == "__main__":
    exchange.main()
