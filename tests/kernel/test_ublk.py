#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices of the ublk front end in a stock kernel: what they are, what clients read back, and how they
outlive their servers. The server is tests/ublk_memory_server: memory, which a file keeps.

Environment: UVDO_UBLK_SERVER (the program), UVDO_KERNEL_LAB, UVDO_KERNEL_REQUIRED as of exchange.py.
"""
import os
import pathlib
import shutil
import sys
import tempfile
import time
import unittest

import exchange
import host_programs
import sides
import vm

SERVER = os.environ.get("UVDO_UBLK_SERVER", str(sides.support.TESTS.parent / "build/tests/ublk_memory_server"))
TOOLS = "fio mkfs.ext4 e2fsck resize2fs blkdiscard setpriv".split()
MIB = 1 << 20
SIZE = 64 * MIB
BACKED = f"--size {SIZE} --file /run/memory --identity 77"
# The kernel says so of what the tests do on purpose.
EXPECTED = [r"I/O error, dev ublkb", "Buffer I/O error on dev", "CONFIG_IMA_DISABLE_HTABLE"]


class Ublk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-ublk."))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        guest = host_programs.Guest(exchange.LAB, cls.folder, [SERVER, *TOOLS], ["ublk_drv"])
        cls.machine = vm.Machine(guest, [], exchange.ACCELERATOR)
        cls.addClassCleanup(cls.machine.kill)
        cls.machine.kernel_log()
        cls.release = tuple(int(part) for part in cls.machine.run("uname -r").split(".")[:2])

    def setUp(self):
        self.began = time.monotonic()
        self.guest("rm -f /run/memory; [ -e /dev/ublk-control ] || load ublk_drv")

    def tearDown(self):
        if self.machine.process.poll() is not None:
            return
        left = self.guest("ls -d /dev/ublk[bc]* /sys/class/ublk-char/* 2>/dev/null; true")
        for name in self.guest("ls /run/*.pid 2>/dev/null; true").split():     # what a failed test has left
            self.guest(f"kill -9 $(cat {name}) 2>/dev/null; rm {name}")
        for path in left.split():
            if path.startswith("/dev/ublkc"):
                self.guest(f"ublk_memory_server --end {path.removeprefix('/dev/ublkc')}", check=False)
        complaints = self.machine.complaints(EXPECTED)
        print(f"{self.id().split('.', 1)[-1]}: {time.monotonic() - self.began:.1f} s", file=sys.stderr, flush=True)
        self.assertEqual((left, complaints), ("", []))

    def guest(self, command, **options):
        return self.machine.run(command, **options)

    def queue(self, name, number=0):
        return self.guest(f"queue {number} {name}").strip()

    def counts(self, printed):
        """What a server says of the requests that it has served."""
        words = [line for line in printed.splitlines() if line.startswith("reads ")][-1].split()
        return dict(zip(words[::2], map(int, words[1::2])))

    # ---- what a device is

    def test_properties(self):
        for block in (512, 4096):
            self.guest(f"start_server a --size {SIZE} --logical-block {block}")
            self.assertEqual(self.queue("logical_block_size"), str(block))
            for name, value in (("physical_block_size", 4096), ("minimum_io_size", 4096),
                                ("optimal_io_size", MIB), ("max_sectors_kb", 1024),
                                ("discard_granularity", 4096), ("discard_max_bytes", (2 << 40) - 4096),
                                ("write_zeroes_max_bytes", (2 << 40) - 4096), ("fua", 1),
                                ("write_cache", "write back")):
                self.assertEqual(self.queue(name), str(value), name)
            self.assertEqual(self.guest("blockdev --getsize64 /dev/ublkb0; blockdev --getro /dev/ublkb0").split(),
                             [str(SIZE), "0"])
            self.assertIn("status 0", self.guest("end_server a"))
        self.guest(f"start_server a --size {SIZE} --write-through --number 5 --queues 2 --depth 16")
        self.assertEqual(self.queue("write_cache", 5), "write through")
        self.assertEqual(self.queue("nr_requests", 5), "16")
        self.guest("end_server a")

    def test_read_only(self):
        self.guest("dd if=/dev/urandom of=/run/memory bs=1M count=64 status=none")
        self.guest(f"start_server a {BACKED} --read-only")
        self.assertEqual(self.guest("blockdev --getro /dev/ublkb0").strip(), "1")
        self.guest(f"cmp -n {SIZE} /dev/ublkb0 /run/memory")
        status, _ = self.guest("dd if=/dev/zero of=/dev/ublkb0 bs=4k count=1 oflag=direct", check=False)
        self.assertNotEqual(status, "0")
        self.assertEqual(self.counts(self.guest("end_server a"))["writes"], 0)

    # ---- what clients read back

    def verifies(self, options, cases):
        self.guest(f"start_server a {BACKED} {options}")
        for case in cases:
            with self.subTest(options=options, case=case):
                self.guest(f"verify /dev/ublkb0 --size=32M {case}")
        self.assertIn("status 0", self.guest("end_server a"))

    DIRECT = [f"--direct=1 --bs={size} --iodepth={depth} --number_ios={count}" for size, depth, count in (
        ("512", 1, 100), ("512", 128, 500), ("4k", 1, 100), ("4k", 32, 500), ("4k", 128, 1000),
        ("64k", 32, 150), ("1M", 1, 10), ("1M", 32, 40))]

    def test_direct(self):
        self.verifies("", self.DIRECT)

    def test_direct_of_many_queues_and_few_requests(self):
        self.verifies("--queues 3 --depth 4 --max-requests 6", self.DIRECT[4::3])

    def test_direct_where_the_driver_copies(self):
        self.verifies("--driver-copies", self.DIRECT[4::3])

    def test_buffered_and_synchronous(self):
        self.verifies("", ["--bs=4k --fsync=50 --number_ios=500", "--bs=1M --number_ios=20 --invalidate=1",
                           "--direct=1 --sync=1 --bs=4k --iodepth=8 --number_ios=200",
                           "--direct=1 --bsrange=512-256k --iodepth=16 --number_ios=150"])

    def test_flushes_and_fua(self):
        self.guest(f"start_server a {BACKED}")
        self.guest("dd if=/dev/zero of=/dev/ublkb0 bs=4k count=10 oflag=direct,dsync status=none")
        self.guest("for i in 1 2 3; do dd if=/dev/zero of=/dev/ublkb0 bs=4k count=1 conv=fsync,notrunc status=none; done")
        counts = self.counts(self.guest("end_server a"))
        self.assertEqual(counts["fua"], 10)
        self.assertGreaterEqual(counts["flushes"], 3)
        self.guest(f"start_server a {BACKED} --write-through")
        self.guest("dd if=/dev/zero of=/dev/ublkb0 bs=4k count=10 oflag=direct status=none conv=fsync")
        counts = self.counts(self.guest("end_server a"))
        self.assertEqual((counts["fua"], counts["writes"], counts["flushes"]), (10, 10, 0))

    def test_discards_and_zeroes(self):
        self.guest("dd if=/dev/urandom of=/run/memory bs=1M count=64 status=none; cp /run/memory /run/expected")
        self.guest(f"start_server a {BACKED}")
        zero = "dd if=/dev/zero of=/run/expected conv=notrunc status=none"
        self.guest(f"blkdiscard -o 4096 -l {8 * MIB} /dev/ublkb0 && {zero} bs=4096 seek=1 count=2048")
        self.guest(f"blkdiscard -z -o {16 * MIB} -l {4 * MIB} /dev/ublkb0 && {zero} bs=1M seek=16 count=4")
        self.guest(f"blkdiscard -z -o {32 * MIB + 512} -l 1024 /dev/ublkb0 && {zero} bs=512 seek={32 * 2048 + 1} count=2")
        self.guest(f"cmp -n {SIZE} /dev/ublkb0 /run/expected")
        counts = self.counts(self.guest("end_server a"))
        self.assertGreaterEqual(counts["discards"], 1)
        self.assertGreaterEqual(counts["zeroes"], 2)
        self.guest("rm /run/expected")

    def test_file_system(self):
        self.guest(f"start_server a {BACKED}")
        self.guest("mkfs.ext4 -q /dev/ublkb0 && mount -t ext4 /dev/ublkb0 /mnt")
        self.guest("dd if=/dev/urandom of=/mnt/a bs=1M count=20 status=none; cp /mnt/a /mnt/b; sync; cmp /mnt/a /mnt/b")
        self.guest("rm /mnt/b; sync; fstrim /mnt")
        self.guest("verify /mnt/c --size=8M --bs=16k --fsync=20")
        self.guest("umount /mnt; e2fsck -fn /dev/ublkb0")
        self.assertGreater(self.counts(self.guest("end_server a"))["discards"], 0)

    def test_two_devices(self):
        self.guest(f"start_server a {BACKED}; start_server b --size {SIZE} --identity 78")
        self.guest("verify /dev/ublkb0 --size=16M --direct=1 --bs=4k --iodepth=16 --number_ios=800 & "
                   "fio --name=b --filename=/dev/ublkb1 --size=16M --rw=randwrite --direct=1 --bs=4k --iodepth=16 "
                   "--ioengine=libaio --verify=md5 --number_ios=800 >/run/b.fio || { cat /run/b.fio; exit 1; }; wait $!")
        self.guest("end_server a")
        self.assertIn("status 0", self.guest("end_server b"))

    def test_an_error_is_one(self):
        self.guest(f"start_server a {BACKED} --fail-at {MIB}")
        status, _ = self.guest(f"dd if=/dev/ublkb0 of=/dev/null bs=4k skip=256 count=1 iflag=direct", check=False)
        self.assertNotEqual(status, "0")
        self.guest("dd if=/dev/ublkb0 of=/dev/null bs=4k skip=257 count=1 iflag=direct status=none")
        self.guest("end_server a")

    # ---- from one server to the next

    # The kernel (as all before 6.15) may crash when a process is killed to which requests are just being sent.
    # So the server lets them all come, and answers none, before it is killed.
    KILL = "kill -USR2 $(cat /run/a.pid); usleep 200000; kill -KILL $(cat /run/a.pid)"
    LEAVE = "kill -USR1 $(cat /run/a.pid)"

    def change_servers(self, end, options, client, times):
        """A client verifies while its servers change: it must not notice."""
        self.guest(f"start_server a {BACKED} {options}")
        change = f"{end}; again a {BACKED} --find --nothing-lost"
        self.guest(f"(verify /dev/ublkb0 --size=32M --direct=1 {client} --time_based --runtime={times + 4} && "
                   f"echo well >/run/client || echo ill >/run/client) & client=$!; "
                   f"for i in $(seq {times}); do sleep 1; {change} || exit 1; done; wait $client")
        self.assertEqual(self.guest("cat /run/client; rm /run/client").strip(), "well",
                         self.guest("cat /run/fio.log /run/fio.err /run/a.log") + self.machine.kernel_log())
        self.assertIn("status 0", self.guest("end_server a"))

    def test_killed_servers(self):
        self.change_servers(self.KILL, "", "--bs=4k --iodepth=32", 6)

    def test_killed_servers_with_every_request(self):
        """The device has fewer requests than the client: the server has them all when it is killed. This kernel
        notices that only when a request has taken too long."""
        self.change_servers(self.KILL, "--queues 2 --depth 2", "--bs=64k --iodepth=32", 4)

    def test_killed_servers_of_a_file_system(self):
        self.guest(f"start_server a {BACKED}")
        self.guest("mkfs.ext4 -q /dev/ublkb0 && mount -t ext4 /dev/ublkb0 /mnt")
        self.guest("(verify /mnt/c --size=16M --bs=16k --fsync=20 --time_based --runtime=6 && "
                   "echo well >/run/client || echo ill >/run/client) & client=$!; for i in 1 2 3; do sleep 1; "
                   f"{self.KILL}; again a {BACKED} --find --nothing-lost || exit 1; done; wait $client")
        self.assertEqual(self.guest("cat /run/client; rm /run/client").strip(), "well")
        self.guest("umount /mnt; e2fsck -fn /dev/ublkb0; end_server a")

    def test_servers_that_leave(self):
        self.change_servers(self.LEAVE, "", "--bs=16k --iodepth=32", 4)

    def test_what_may_be_lost_is_not_taken_over(self):
        self.guest(f"start_server a {BACKED}; end_server a KILL")
        refused = f"ublk_memory_server {BACKED} --take-over 0"
        status, printed = self.guest(refused, check=False)
        self.assertNotEqual(status, "0")
        self.assertIn("answered and not flushed are lost", printed)
        # Another volume's, and one that is too small.
        printed = self.guest(f"{refused.replace('77', '78')} --nothing-lost", check=False)[1]
        self.assertIn("none of this volume", printed)
        printed = self.guest(f"ublk_memory_server --size {MIB} --identity 77 --take-over 0 --nothing-lost", check=False)[1]
        self.assertIn("none of this volume", printed)
        self.guest(f"again a {BACKED} --take-over 0 --nothing-lost; end_server a")

    def test_a_device_that_writes_through_is_always_taken_over(self):
        self.guest(f"start_server a {BACKED} --write-through; end_server a KILL")
        self.guest(f"again a {BACKED} --take-over 0 && verify /dev/ublkb0 --size=1M --direct=1 --bs=4k; end_server a")

    def test_one_that_is_served_is_not_taken_over(self):
        self.guest(f"start_server a {BACKED}")
        printed = self.guest(f"ublk_memory_server {BACKED} --take-over 0 --nothing-lost --patience-ms 300", check=False)[1]
        self.assertIn("is still served by process", printed)
        self.guest("verify /dev/ublkb0 --size=1M --direct=1 --bs=4k; end_server a")

    def test_one_without_recovery_ends_with_its_server(self):
        self.guest(f"start_server a {BACKED} --not-recoverable; end_server a KILL; sleep 1")
        self.assertEqual(self.guest("ls /dev/ublkb* 2>/dev/null; true"), "")
        self.guest("ublk_memory_server --end 0")

    # ---- the end

    def test_what_was_written_is_kept(self):
        """The page cache of the device is written out before it ends."""
        self.guest("dd if=/dev/urandom of=/run/data bs=1M count=16 status=none")
        self.guest(f"start_server a {BACKED}; dd if=/run/data of=/dev/ublkb0 bs=1M status=none; end_server a")
        self.guest(f"cmp -n {16 * MIB} /run/data /run/memory; rm /run/data")

    def test_one_that_is_open(self):
        self.guest(f"start_server a {BACKED}; sleep 8 </dev/ublkb0 >/dev/null 2>&1 & echo $! >/run/open; usleep 300000")
        printed = self.guest("end_server a")
        self.assertIn("somebody still has /dev/ublkb0 open", printed)
        self.assertIn("status 0", printed)
        self.guest("kill $(cat /run/open); sleep 1")

    def test_stopped_by_somebody_else(self):
        self.guest(f"start_server a {BACKED}; ublk_memory_server --end 0; said a ^status; cat /run/a.log")
        self.assertIn("stopped by somebody else", self.guest("cat /run/a.log"))

    def test_growth(self):
        self.guest(f"start_server a {BACKED} --grow-to {2 * SIZE}; mkfs.ext4 -q /dev/ublkb0; mount -t ext4 /dev/ublkb0 /mnt; "
                   "echo kept >/mnt/note")
        if self.release >= (6, 16):     # in use
            self.guest("kill -HUP $(cat /run/a.pid); "
                       f"until [ $(blockdev --getsize64 /dev/ublkb0) = {2 * SIZE} ]; do usleep 50000; done; "
                       "resize2fs /dev/ublkb0 && [ $(stat -f -c %b /mnt) -gt 100000 ] && verify /mnt/v --size=80M --bs=64k")
        else:
            self.guest("kill -HUP $(cat /run/a.pid); said a 'keeps its size'")
            self.assertEqual(self.guest("blockdev --getsize64 /dev/ublkb0").strip(), str(SIZE))
        self.guest("grep kept /mnt/note && umount /mnt && e2fsck -fn /dev/ublkb0 && end_server a")

    # ---- who may

    def test_errors_are_sentences(self):
        self.guest(f"start_server a {BACKED}")
        printed = self.guest(f"ublk_memory_server --size {SIZE} --number 0", check=False)[1]
        self.assertIn("ublk device 0 exists", printed)
        printed = self.guest(f"chmod 600 /dev/ublk-control; (as_user /usr/bin/ublk_memory_server --size {SIZE})", check=False)[1]
        self.assertIn("may not open /dev/ublk-control", printed)
        printed = self.guest(f"ublk_memory_server --size {SIZE} --take-over 9", check=False)[1]
        self.assertIn("no such device", printed)
        self.guest("end_server a")
        self.guest("rmmod ublk_drv")       # nothing holds it
        printed = self.guest(f"ublk_memory_server --size {SIZE}", check=False)[1]
        self.assertIn("modprobe ublk_drv", printed)

    def test_unprivileged(self):
        """With what udev would do: the control device for all, each device for its maker."""
        self.guest("chmod 666 /dev/ublk-control")
        printed = self.guest(f"(as_user /usr/bin/ublk_memory_server --size {SIZE})", check=False)[1]
        self.assertIn("only root may make a ublk device", printed)
        self.guest("(for device in c b; do until [ -e /dev/ublk${device}0 ]; do usleep 20000; done; "
                   "usleep 100000; chown 65534 /dev/ublk${device}0; done) & "
                   "ublk_memory_server() { as_user /usr/bin/ublk_memory_server \"$@\"; }; "
                   f"start_server a --size {SIZE} --unprivileged")
        self.guest("usleep 200000; verify /dev/ublkb0 --size=8M --direct=1 --bs=4k --iodepth=16 --number_ios=500")
        self.assertIn("status 0", self.guest("end_server a"))


if __name__ == "__main__":
    exchange.main()
