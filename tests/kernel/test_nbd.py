#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices of the kernel's NBD client, /dev/nbdN: what they are, what they keep, and that no client of
theirs notices when their server is killed and another takes over. The server serves memory, in a file of
the guest's tmpfs that outlives it; no volume takes part.

Environment, beside that of exchange.py: UVDO_KERNEL_NBD_MEMORY_SERVER (the program).
"""
import hashlib
import os
import pathlib
import re
import shutil
import tempfile
import unittest

import exchange
import host_programs
import sides
import vm
from exchange import MIB

SERVER = os.environ.get("UVDO_KERNEL_NBD_MEMORY_SERVER",
                        str(sides.support.TESTS.parent / "build/tests/kernel_nbd_memory_server"))
PROGRAMS = [SERVER, "fio", "mkfs.ext4", "e2fsck", "resize2fs", "fstrim", "blkdiscard"]
SIZE = 64 * MIB
FIO = ("fio --name=j --direct=1 --ioengine=libaio --randrepeat=1 --verify=crc32c --verify_fatal=1 "
       "--do_verify=1 --minimal")
DETACHED = ["shutting down sockets"]   # a warning of the driver
# What it says at the level of errors when a server has gone, and is no error of a request.
GONE = ["Receive control failed", "Dead connection, failed to find a fallback", "Send control failed",
        "Send data failed", "Request send failed", "Send disconnect failed"]


class Server:
    """One process in the guest."""
    count = 0

    def __init__(self, machine, file="a", size=SIZE, options=""):
        Server.count += 1
        self.machine, self.log = machine, f"/tmp/server{Server.count}.log"
        machine.run(f"{pathlib.Path(SERVER).name} --file /dev/shm/{file} --identifier volume-{file} "
                    f"--size {size} {options} >{self.log} 2>&1 & echo $! >{self.log}.pid")
        machine.run(f"until grep -q ready {self.log}; do "
                    f"kill -0 $(cat {self.log}.pid) && usleep 20000 || break; done")
        self.told = machine.run(f"cat {self.log}")
        self.pid = machine.run(f"cat {self.log}.pid").strip()
        ready = re.search(r"^ready (/dev/nbd(\d+))( taken over)?$", self.told, re.M)
        self.device = ready and ready[1]
        self.sys = ready and f"/sys/block/nbd{ready[2]}"
        self.has_taken_over = bool(ready and ready[3])

    def is_there(self):
        return self.machine.run(f"kill -0 {self.pid}", check=False)[0] == "0"

    def attribute(self, name):
        return self.machine.run(f"cat {self.sys}/{name}").strip()

    def signal(self, name):
        self.machine.run(f"kill -{name} {self.pid}")

    def wait(self):
        """Until the process has ended; what it has printed."""
        self.machine.run(f"while kill -0 {self.pid}; do usleep 20000; done 2>/dev/null", seconds=60)
        return self.machine.run(f"cat {self.log}")

    def detach(self):
        self.signal("TERM")
        return self.wait()


class Nbd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-kernel."))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.guest = host_programs.Guest(exchange.LAB, cls.folder, PROGRAMS, ["nbd"])
        cls.machine = None
        cls.addClassCleanup(cls.stop)

    @classmethod
    def stop(cls):
        if cls.machine:
            cls.machine.kill()
        cls.machine = None

    def setUp(self):
        self.expected = []
        if self.machine is None:
            type(self).machine = vm.Machine(self.guest, [], exchange.ACCELERATOR)
            self.machine.run("mkdir -p /dev/shm; mount -t tmpfs -o size=800m tmpfs /dev/shm")
        self.machine.run("load nbd nbds_max=2")
        self.machine.kernel_log()

    def tearDown(self):
        try:
            # Nothing of any device is left: no size, and no reference to the module.
            self.run_in_guest("cat /sys/block/nbd*/size | grep -vx 0 && exit 1; rmmod nbd && rm -f /dev/shm/*")
            self.assertEqual(self.machine.complaints(self.expected + DETACHED), [])
        except (AssertionError, vm.Failed, vm.Died):
            self.stop()          # the next test begins with another machine
            raise

    def run_in_guest(self, command, **options):
        return self.machine.run(command, **options)

    def serve(self, **options):
        server = Server(self.machine, **options)
        self.assertIsNotNone(server.device, server.told)
        return server

    def test_the_device_is_what_was_asked_for(self):
        server = self.serve()
        wanted = {"size": SIZE // 512, "ro": 0, "backend": "volume-a", "queue/logical_block_size": 4096,
                  "queue/physical_block_size": 4096, "queue/write_cache": "write back", "queue/fua": 1,
                  "queue/rotational": 0, "queue/discard_granularity": 4096, "queue/io_timeout": 5000}
        self.assertEqual({name: server.attribute(name) for name in wanted},
                         {name: str(value) for name, value in wanted.items()})
        for name in ("queue/discard_max_bytes", "queue/write_zeroes_max_bytes"):
            self.assertGreater(int(server.attribute(name)), 1 << 30)
        server.detach()
        self.assertEqual(self.run_in_guest("ls /sys/block/nbd0 | grep -cE '^(pid|backend)$'; true").strip(), "0")
        # The next user of the index gets the driver's own limit.
        self.assertEqual(server.attribute("queue/io_timeout"), "30000")
        server = self.serve(options="--block 512 --device /dev/nbd1")
        self.assertEqual(server.device, "/dev/nbd1")
        self.assertEqual(server.attribute("queue/logical_block_size"), "512")
        server.detach()
        self.expected = ["nbd1 already in use"]

    def test_data_of_any_size_at_any_depth(self):
        server = self.serve(options="--block 512")
        for size, total in (("512", "256k"), ("4k", "2m"), ("64k", "16m"), ("1m", "32m")):
            for depth in (1, 32, 128):
                self.run_in_guest(f"{FIO} --filename={server.device} --rw=randwrite --bs={size} "
                                  f"--iodepth={depth} --size={total} --offset_increment=1m")
        self.run_in_guest(f"{FIO} --filename={server.device} --rw=randrw --bsrange=512-256k "
                          f"--iodepth=32 --size=16m --fsync=16 --fdatasync=8")
        told = server.detach()
        self.assertRegex(told, r"flushes [1-9]")

    def test_discards_and_zeroes_arrive_as_such(self):
        server = self.serve()
        fill = f"{FIO} --filename={server.device} --rw=write --bs=1m --iodepth=4 --size=8m"
        first = f"head -c {8 * MIB} {server.device} | md5sum | cut -c1-32"
        zeroes = hashlib.md5(bytes(8 * MIB)).hexdigest()
        for command in ("blkdiscard", "blkdiscard -z"):
            self.run_in_guest(fill)
            self.assertNotEqual(self.run_in_guest(first).strip(), zeroes)
            self.run_in_guest(f"/usr/bin/{command} {server.device}")
            self.assertEqual(self.run_in_guest(first).strip(), zeroes)
        self.run_in_guest(f"mkfs.ext4 -q {server.device} && mount -t ext4 {server.device} /mnt")
        self.run_in_guest("dd if=/dev/urandom of=/mnt/f bs=1M count=20 2>/dev/null; sync; rm /mnt/f; sync")
        self.assertRegex(self.run_in_guest("/usr/bin/fstrim -v /mnt"), r"\([2-9]\d{7} bytes\) trimmed")
        self.run_in_guest("umount /mnt")
        told = server.detach()
        self.assertRegex(told, r"discards [1-9]\d* zeroes [1-9]")

    def test_it_grows_while_it_is_mounted(self):
        server = self.serve(options=f"--grown {2 * SIZE}")
        self.run_in_guest(f"mkfs.ext4 -q {server.device} && mount -t ext4 {server.device} /mnt")
        self.run_in_guest("head -c 20000000 /dev/urandom >/mnt/f; md5sum /mnt/f >/tmp/sums; "
                          "(dd if=/dev/zero of=/mnt/g bs=64k count=300 oflag=direct 2>/dev/null) & true")
        server.signal("USR1")
        self.run_in_guest(f"until [ $(cat {server.sys}/size) = {2 * SIZE // 512} ]; do usleep 20000; done",
                          seconds=30)
        self.run_in_guest(f"wait; resize2fs {server.device} 2>/dev/null; md5sum -c /tmp/sums")
        blocks = int(self.run_in_guest("stat -f -c %b /mnt"))
        self.assertGreater(blocks * int(self.run_in_guest("stat -f -c %S /mnt")), SIZE * 3 // 2)
        self.run_in_guest("dd if=/dev/zero of=/mnt/h bs=1M count=70 2>/dev/null && umount /mnt")
        self.run_in_guest(f"e2fsck -fn {server.device}")
        server.detach()

    def test_what_is_read_only_stays_as_it_is(self):
        server = self.serve()
        self.run_in_guest(f"mkfs.ext4 -q {server.device}")
        server.detach()
        before = self.run_in_guest("md5sum /dev/shm/a")
        server = self.serve(options="--read-only")
        self.assertEqual(server.attribute("ro"), "1")
        self.assertNotEqual(self.machine.run(
            f"dd if=/dev/zero of={server.device} bs=4k count=1 oflag=direct", check=False)[0], "0")
        self.run_in_guest(f"mount -t ext4 -o ro {server.device} /mnt && ls /mnt && umount /mnt")
        server.detach()
        self.assertEqual(self.run_in_guest("md5sum /dev/shm/a"), before)

    def test_two_devices_side_by_side(self):
        servers = [self.serve(file=file) for file in "ab"]
        self.assertEqual([server.device for server in servers], ["/dev/nbd0", "/dev/nbd1"])
        for server in servers:
            self.run_in_guest(f"({FIO} --filename={server.device} --rw=randwrite --bs=16k --iodepth=16 "
                              f"--size=16m; echo $? >{server.log}.fio) >/dev/null 2>&1 & true")
        for server in servers:
            self.run_in_guest(f"until [ -s {server.log}.fio ]; do usleep 50000; done", seconds=120)
            self.assertEqual(self.run_in_guest(f"cat {server.log}.fio").strip(), "0")
        servers[0].detach()
        self.run_in_guest(f"dd if={servers[1].device} of=/dev/null bs=1M count=16 2>/dev/null")
        servers[1].detach()

    def test_a_name_that_is_taken_is_refused(self):
        first = self.serve()
        second = Server(self.machine, file="b", options="--device nbd0")
        self.assertIn("/dev/nbd0 is in use by somebody else", second.told)
        second = Server(self.machine, options="--device nbd1")
        self.assertIn("attached as /dev/nbd0 already", second.told)
        self.expected = ["nbd0 already in use"]
        first.detach()

    def test_what_is_mounted_is_not_detached(self):
        server = self.serve()
        self.run_in_guest(f"mkfs.ext4 -q {server.device} && mount -t ext4 {server.device} /mnt")
        server.signal("TERM")
        self.run_in_guest(f"until grep -q 'is in use' {server.log}; do usleep 20000; done", seconds=30)
        self.run_in_guest("echo yes >/mnt/f && sync && umount /mnt")
        server.detach()

    def test_what_somebody_else_disconnects_is_let_go(self):
        server = self.serve()
        self.run_in_guest(f"{pathlib.Path(SERVER).name} --disconnect {server.device}")
        self.run_in_guest(f"until grep -q 'disconnected by somebody else' {server.log}; do usleep 20000; done",
                          seconds=30)
        self.assertTrue(server.is_there())
        server.detach()

    def test_a_device_without_server_can_be_ended(self):
        self.expected = GONE
        server = self.serve()
        server.signal("KILL")
        server.wait()
        self.run_in_guest(f"{pathlib.Path(SERVER).name} --disconnect {server.device}")

    def load(self, device, options):
        self.run_in_guest("rm -f /tmp/fio.status")
        self.run_in_guest(f"({FIO} --filename={device} {options} >/tmp/fio.log 2>&1; echo $? >/tmp/fio.status) & true")

    def load_has_ended(self):
        return self.machine.run("[ -s /tmp/fio.status ]", check=False)[0] == "0"

    def finish_load(self):
        self.run_in_guest("until [ -s /tmp/fio.status ]; do usleep 100000; done", seconds=150)
        self.assertEqual(self.run_in_guest("cat /tmp/fio.status").strip(), "0", self.run_in_guest("tail -5 /tmp/fio.log"))

    def take_over_under_load(self, signal, times):
        self.expected = GONE
        server = self.serve()
        # Slow enough that it lasts, with more in flight than one batch of the server's.
        self.load(server.device, "--rw=randwrite --bs=4k --iodepth=32 --size=24m --rate_iops=1500,300 --fsync=64")
        for round_ in range(times):
            self.run_in_guest("usleep 1000000")
            self.assertFalse(self.load_has_ended(), f"the load is over in round {round_}")
            server.signal(signal)
            server.wait()
            if round_ == 0:
                self.run_in_guest("usleep 1000000")     # all requests wait for somebody
            server = self.serve()
            self.assertTrue(server.has_taken_over)
            self.assertEqual(server.device, "/dev/nbd0")
        self.finish_load()
        server.detach()
        self.assertNotIn("I/O error", self.run_in_guest("dmesg"))

    def test_no_client_notices_a_server_that_is_killed(self):
        self.take_over_under_load("KILL", 5)

    def test_no_client_notices_a_server_that_leaves(self):
        self.take_over_under_load("HUP", 2)

    def test_it_grows_between_two_servers(self):
        self.expected = GONE
        server = self.serve()
        server.signal("KILL")
        server.wait()
        server = self.serve(size=2 * SIZE)
        self.assertTrue(server.has_taken_over)
        self.run_in_guest(f"until [ $(cat {server.sys}/size) = {2 * SIZE // 512} ]; do usleep 20000; done", seconds=30)
        server.detach()

    def test_requests_fail_when_nobody_has_followed_in_time(self):
        self.expected = GONE + ["I/O error", "Buffer I/O"]
        server = self.serve(options="--dead-limit 2")
        server.signal("KILL")
        server.wait()
        self.assertNotEqual(self.machine.run(f"dd if={server.device} of=/dev/null bs=4k count=1 iflag=direct",
                                             check=False, seconds=60)[0], "0")
        server = self.serve(options="--dead-limit 2")
        self.assertTrue(server.has_taken_over)
        self.run_in_guest(f"dd if={server.device} of=/dev/null bs=4k count=1 iflag=direct")
        server.detach()


if __name__ == "__main__":
    exchange.main()
