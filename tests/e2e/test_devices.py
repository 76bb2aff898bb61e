#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What people put on a block device, on one by FUSE and a loop device: requests of all sizes and depths
with discards, fsync storms, swap, LUKS, LVM, btrfs with its scrub, two volumes at once. Needs root,
FUSE and loop devices; says so where they are missing, or what a kernel lacks. UVDO_LONG=1 makes the
runs ten times as long."""
import mmap
import os
import pathlib
import random
import shutil
import unittest

from remembered_device import RememberedDevice
from served import MIB
from support import UVDO, run
from test_attach import Attached

FACTOR = 10 if os.environ.get("UVDO_LONG") else 1
MADV_PAGEOUT = 21


def has_device_mapper():
    return run("dmsetup", "version").returncode == 0 if shutil.which("dmsetup") else False


class Devices(Attached):
    LOGICAL = 512 * MIB

    def setUp(self):
        super().setUp()
        self.undo = []  # commands that take away what stands on the device, the last one first

    def tearDown(self):
        for place in reversed(self.mounts):
            run("umount", place)
        for command in reversed(self.undo):
            run(*command)
        super().tearDown()

    def fio(self, *arguments):
        """Lines that fio has said of errors beside what it was asked for are failures."""
        return self.must("fio", "--name=verify", "--verify=crc32c", "--verify_fatal=1",
                         "--verify_state_save=0", "--randrepeat=1", "--allrandrepeat=1",
                         f"--loops={FACTOR}", "--output-format=terse", *arguments)

    def take_down(self):
        """What stands on the device goes, as its user does it."""
        while self.undo:
            self.must(*self.undo.pop())


class RawDeviceTest(Devices):
    def test_all_sizes_and_depths_with_discards(self):
        for block_size, name in ((512, "sectors"), (4096, "blocks")):
            device = self.attach("--block-size", block_size, "--name", f"{self.image.stem}-{name}")
            self.assertEqual(int(self.must("blockdev", "--getss", device)), block_size)
            for depth in (1, 16, 128):
                self.fio(f"--filename={device}", "--size=16m", "--ioengine=libaio", "--direct=1",
                         f"--iodepth={depth}", "--rw=randwrite", f"--bsrange={block_size}-4m")
                self.fio(f"--filename={device}", "--size=8m", "--ioengine=libaio", "--direct=1",
                         f"--iodepth={depth}", "--rw=randtrimwrite",
                         f"--bsrange={block_size}-256k")
                if block_size == 512:
                    with RememberedDevice(device, 96 * MIB, depth, seed=depth) as remembered:
                        operations = (60 + 4 * depth) * FACTOR
                        self.assertEqual(remembered.use(operations), [])
            self.detach(device)
        self.assert_nothing_is_left()

    def test_what_was_written_is_there_when_it_is_attached_again(self):
        device = self.attach()
        with RememberedDevice(device, 64 * MIB, 4) as remembered:
            for _ in range(2):
                self.assertEqual(remembered.use(60 * FACTOR), [])
                refused = run(UVDO, "detach", device)
                self.assertEqual(refused.returncode, 1, "it is held open")
                self.assertIn(str(os.getpid()), refused.stderr)
                self.detach(device, "--lazy")
                remembered.let_go()
                self.assert_nothing_is_left()
                device = self.attach()
                remembered.move_to(device)
                remembered.compare()
        self.detach(device)
        self.assert_nothing_is_left()

    def test_two_volumes_are_devices_at_once(self):
        other = self.make_volume("other")
        devices = [self.attach(), self.attach(image=other)]
        with RememberedDevice(devices[0], 64 * MIB, 8, seed=1) as first, \
                RememberedDevice(devices[1], 64 * MIB, 8, seed=2) as second:
            first.start(200 * FACTOR)
            second.start(200 * FACTOR)
            self.assertEqual((first.finish(), second.finish()), ([], []))
            # One goes, and the other does not notice.
            first.start(200 * FACTOR)
            second.let_go()
            self.detach(other)
            self.assertEqual(first.finish(), [])
        self.detach(self.image)
        self.assert_nothing_is_left()


class FileSystemTest(Devices):
    CHECKS = {"ext4": ("e2fsck", "-fn"), "xfs": ("xfs_repair", "-n"), "btrfs": ("btrfs", "check")}

    def with_file_system(self, kind, use, *options):
        device = self.attach()
        self.must(f"mkfs.{kind}", "-q", device)
        place = self.mount(device, *options)
        use(place)
        self.must("fstrim", place)
        self.unmount(place)
        self.must(*self.CHECKS[kind], device)
        self.detach(device)
        self.assert_nothing_is_left()

    def storm(self, place):
        """Writers of all sizes who sync all the time."""
        self.fio(f"--directory={place}", "--size=512k", "--numjobs=4", "--ioengine=psync",
                 "--rw=randwrite", "--bsrange=512-64k", "--fsync=1")
        self.fio(f"--directory={place}", "--size=8m", "--numjobs=2", "--ioengine=libaio",
                 "--direct=1", "--iodepth=32", "--rw=randwrite", "--bsrange=4k-1m",
                 "--fdatasync=4", "--unlink=1")
        self.fio(f"--directory={place}", "--size=2m", "--ioengine=psync", "--rw=randwrite",
                 "--bs=16k", "--sync=1")

    def test_fsync_storms_on_ext4(self):
        self.with_file_system("ext4", self.storm, "-o", "discard")

    def test_fsync_storms_on_xfs(self):
        self.with_file_system("xfs", self.storm, "-o", "discard")

    def test_btrfs_scrubs_clean(self):
        if run("grep", "-qw", "btrfs", "/proc/filesystems").returncode != 0:
            self.skipTest("this kernel has no btrfs")

        def use(place):
            self.storm(place)
            kept = self.use(place, 8)
            self.must("btrfs", "subvolume", "snapshot", place, place / "snapshot")
            kept |= self.use(place, 9)
            said = self.must("btrfs", "scrub", "start", "-B", place)
            self.assertIn("no errors found", said)
            self.assert_holds(place, kept)
        self.with_file_system("btrfs", use)


class StackTest(Devices):
    def test_swap(self):
        # A server that is paged out to its own device could not bring itself back.
        device = self.attach("--server-option=--lock-memory")
        self.must("mkswap", device)
        done = run("swapon", device)
        if done.returncode != 0:
            self.detach(device)
            self.skipTest(f"this kernel does not swap: {done.stderr.strip()}")
        self.undo.append(("swapoff", device))
        refused = run(UVDO, "detach", device)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("swap", refused.stderr)
        size = 96 * MIB
        data = random.Random(10).randbytes(size)
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for _ in range(2 * FACTOR):
            memory[:] = data
            memory.madvise(MADV_PAGEOUT)
            swapped = self.swapped_out()
            self.assertGreater(swapped, size // 2)
            self.assertEqual(memory[:], data)
        memory.close()
        self.take_down()
        self.detach(device)
        self.assert_nothing_is_left()

    @staticmethod
    def swapped_out():
        status = pathlib.Path("/proc/self/status").read_text()
        return int(status.split("VmSwap:")[1].split()[0]) * 1024

    def test_luks(self):
        if not has_device_mapper():
            self.skipTest("this kernel has no device mapper")
        device, name = self.attach(), f"{self.image.stem}-luks"
        key = self.folder / "key"
        key.write_bytes(b"a pass phrase")
        self.must("cryptsetup", "luksFormat", "--batch-mode", "--pbkdf", "pbkdf2",
                  "--pbkdf-force-iterations", 1000, "--key-file", key, device)
        opened = ("cryptsetup", "open", "--allow-discards", "--key-file", key, device, name)
        self.must(*opened)
        self.undo.append(("cryptsetup", "close", name))
        refused = run(UVDO, "detach", device)
        self.assertEqual(refused.returncode, 1, "LUKS uses it")
        with RememberedDevice(f"/dev/mapper/{name}", 64 * MIB, 8) as remembered:
            self.assertEqual(remembered.use(400 * FACTOR), [])
            remembered.let_go()
            self.take_down()
            self.detach(device)
            device = self.attach()
            self.must(*opened[:-2], device, name)
            self.undo.append(("cryptsetup", "close", name))
            remembered.move_to(f"/dev/mapper/{name}")
            remembered.compare()
        self.take_down()
        self.detach(device)
        self.assert_nothing_is_left()

    def test_lvm(self):
        if not has_device_mapper():
            self.skipTest("this kernel has no device mapper")
        device, group = self.attach(), self.image.stem
        self.must("vgcreate", group, device)
        self.undo.append(("vgchange", "-an", group))
        places = []
        for kind, size in (("ext4", "100M"), ("xfs", "320M")):
            self.must("lvcreate", "-y", "-n", kind, "-L", size, group)
            self.must(f"mkfs.{kind}", "-q", f"/dev/{group}/{kind}")
            places.append(self.mount(f"/dev/{group}/{kind}"))
        refused = run(UVDO, "detach", device)
        self.assertEqual(refused.returncode, 1, "LVM uses it")
        kept = [self.use(place, number) for number, place in enumerate(places)]
        self.must("lvextend", "--resizefs", "-L", "140M", f"{group}/ext4")
        for place, files in zip(places, kept):
            self.assert_holds(place, files)
            self.unmount(place)
        self.must("e2fsck", "-fn", f"/dev/{group}/ext4")
        self.must("xfs_repair", "-n", f"/dev/{group}/xfs")
        self.take_down()
        self.detach(device)
        self.assert_nothing_is_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
