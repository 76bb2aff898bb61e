#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""uvdo attach where the kernel has ublk and nbd: a file system on the device, a server that is killed
under load again and again, and that neither the file system nor the volume has lost anything.

Environment, beside that of exchange.py: UVDO_KILLS (how often; default 4).
"""
import os
import pathlib
import shutil
import tempfile
import unittest

import exchange
import host_programs
import sides
import vm

PROGRAMS = ["fio", "mkfs.ext4", "e2fsck", "resize2fs", "fstrim"]
KILLS = int(os.environ.get("UVDO_KILLS", "4"))
VOLUME = "/dev/shm/pool.img"
SERVER = "--server-option=--cache=16M --server-option=--buffers=16M --log-file /tmp/log"
# What the drivers say when a server has gone or a device is detached, and is no error of a request.
EXPECTED = ["shutting down sockets", "Receive control failed", "Dead connection", "Send control failed",
            "Send data failed", "Request send failed", "Send disconnect failed", "Possible stuck request",
            "CONFIG_IMA_DISABLE_HTABLE"]


class Attach(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-kernel."))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.guest = host_programs.Guest(exchange.LAB, cls.folder, PROGRAMS, ["nbd", "ublk_drv", "ext4"],
                                        own=[sides.support.UVDO])
        cls.machine = vm.Machine(cls.guest, [], exchange.ACCELERATOR, megabytes=2600)
        cls.addClassCleanup(cls.machine.kill)
        cls.machine.run("mkdir -p /dev/shm; mount -t tmpfs -o size=1g tmpfs /dev/shm")
        cls.machine.run(cls.guest.load("ext4"))

    def setUp(self):
        self.machine.run(f"uvdo format {VOLUME} --size 3200M --slab-size 32M --logical-size 256M")
        self.machine.kernel_log()

    def tearDown(self):
        self.machine.run(f"rm -f {VOLUME} /tmp/log")
        self.assertEqual(self.machine.complaints(EXPECTED), [])

    def run_in_guest(self, command, **options):
        return self.machine.run(command, **options)

    def attach(self, kind):
        return self.run_in_guest(f"uvdo attach {VOLUME} --as {kind} {SERVER}").strip().splitlines()[-1]

    def server(self):
        return self.run_in_guest("for p in /proc/[0-9]*; do [ \"$(cat $p/comm 2>/dev/null)\" = uvdo ] && "
                                 "echo ${p#/proc/}; done; true").split()[-1]

    def kill(self, kind):
        """Kernels before 6.15 crash if a ublk server is killed in the very moment in which it is given a
        request: there all that are under way lie with the server before, which holds them back."""
        pid = self.server()
        if kind == "ublk":
            self.run_in_guest(f"uvdo suspend --no-flush {VOLUME}; usleep 500000")
        self.run_in_guest(f"kill -KILL {pid}; while kill -0 {pid}; do usleep 20000; done 2>/dev/null; true")

    def lives_through_kills(self, kind, module, prefix):
        self.run_in_guest(self.guest.load(module))
        device = self.attach(kind)
        self.assertTrue(device.startswith(prefix), device)
        self.assertEqual(self.run_in_guest("readlink /dev/uvdo/pool").strip(), device)
        self.run_in_guest(f"mkfs.ext4 -q {device} && mkdir -p /mnt && mount {device} /mnt")
        self.run_in_guest("(fio --name=j --directory=/mnt --rw=randwrite --bs=4k --size=8m --loops=200 "
                          "--time_based --runtime=600 --direct=1 --ioengine=libaio --iodepth=8 "
                          "--verify=crc32c --verify_fatal=1 --fsync=64 --output=/tmp/fio.log "
                          ">/tmp/fio.err 2>&1; echo $? >/tmp/fio.status) >/dev/null 2>&1 &")
        for number in range(KILLS):
            self.run_in_guest(f"usleep {200 + 150 * number}000; echo {number} >/mnt/note{number}")
            self.kill(kind)
            self.assertEqual(self.attach(kind), device, "the same device")
        # Its own name is that of the loader.
        self.run_in_guest("for p in /proc/[0-9]*; do grep -q host/bin/fio $p/cmdline 2>/dev/null && "
                          "kill -INT ${p#/proc/}; done; while ! [ -e /tmp/fio.status ]; do usleep 50000; done", seconds=120)
        self.assertEqual(self.run_in_guest("cat /tmp/fio.err").strip(), "")
        # All that was written and never flushed by anybody is there as well.
        for number in range(KILLS):
            self.assertEqual(self.run_in_guest(f"cat /mnt/note{number}").strip(), str(number))
        refused = self.run_in_guest(f"uvdo detach {device}", check=False)
        self.assertNotEqual(refused[0], "0", "it is mounted")
        self.run_in_guest("umount /mnt; rm -f /tmp/fio.*")
        self.run_in_guest(f"e2fsck -fn {device}")
        self.run_in_guest(f"uvdo detach {device}")
        self.run_in_guest(f"uvdo check {VOLUME}")
        log = self.run_in_guest("cat /tmp/log")
        self.assertNotIn("may be lost", log)
        self.run_in_guest(f"rmmod {module}")

    def test_no_file_system_notices_that_a_ublk_server_is_killed(self):
        self.lives_through_kills("ublk", "ublk_drv", "/dev/ublkb")

    def test_no_file_system_notices_that_an_nbd_server_is_killed(self):
        self.lives_through_kills("nbd", "nbd", "/dev/nbd")


if __name__ == "__main__":
    exchange.main()
