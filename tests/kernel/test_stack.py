#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""LUKS, LVM and swap on devices of uvdo attach, by FUSE with a loop device and by ublk: what needs the
device mapper, or memory of its own to swap out of, and so a machine of its own. tests/e2e/test_devices.py
does the same on the host, where that has a device mapper.

Environment: that of exchange.py.
"""
import pathlib
import shutil
import tempfile
import unittest

import exchange
import host_programs
import sides
import vm

PROGRAMS = ["fio", "mkfs.ext4", "e2fsck", "resize2fs", "fstrim", "cryptsetup", "lvm", "dmsetup", "mkswap",
            "swapon", "swapoff", "stress-ng"]
MODULES = ["fuse", "loop", "ublk_drv", "ext4", "dm-mod", "dm-crypt", "xts", "algif_skcipher"]
VOLUME = "/dev/shm/pool.img"
SERVER = "--server-option=--cache=16M --server-option=--buffers=16M --log-file /tmp/log"
LVM = ("lvm {} --config 'devices {{ filter = [ \"a|^{}$|\", \"r|.*|\" ] use_devicesfile = 0 }} "
       "activation {{ udev_sync = 0 udev_rules = 0 }} global {{ locking_type = 1 }}' {}")
EXPECTED = ["CONFIG_IMA_DISABLE_HTABLE", "device-mapper: ", "loop: module loaded"]


class Stack(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-kernel."))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.guest = host_programs.Guest(exchange.LAB, cls.folder, PROGRAMS, MODULES,
                                        own=[sides.support.UVDO])
        cls.machine = vm.Machine(cls.guest, [], exchange.ACCELERATOR, megabytes=2600)
        cls.addClassCleanup(cls.machine.kill)
        cls.machine.run("mkdir -p /dev/shm /mnt/a /mnt/b /run/lvm /run/lock/lvm /etc/lvm; "
                        "mount -t tmpfs -o size=1g tmpfs /dev/shm; echo passphrase >/tmp/key")
        for module in MODULES:
            cls.machine.run(f"load {module}")

    def setUp(self):
        self.machine.run(f"uvdo format {VOLUME} --size 3200M --slab-size 32M --logical-size 256M")
        self.machine.kernel_log()

    def tearDown(self):
        self.machine.run(f"rm -f {VOLUME} /tmp/log")
        self.assertEqual(self.machine.complaints(EXPECTED), [])

    def attach(self, kind, options=SERVER):
        return self.machine.run(f"uvdo attach {VOLUME} --as {kind} {options}").strip().splitlines()[-1]

    def detach(self, device):
        self.machine.run(f"uvdo detach {device} && uvdo check {VOLUME}")

    def refuses(self, device, who):
        status, said = self.machine.run(f"uvdo detach {device} 2>&1", check=False)
        self.assertNotEqual(status, "0", "it is in use")
        self.assertIn(who, said)

    def verify(self, where, size):
        self.machine.run(f"fio --name=v {where} --size={size} --rw=randwrite --bsrange=4k-256k --direct=1 "
                         "--ioengine=libaio --iodepth=16 --verify=crc32c --verify_fatal=1 --fsync=32 "
                         "--verify_state_save=0 --output-format=terse", seconds=240)

    def pages_swapped_out(self):
        return int(self.machine.run("grep '^pswpout ' /proc/vmstat").split()[1])

    def luks(self, kind):
        device = self.attach(kind)
        self.machine.run("cryptsetup luksFormat --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "
                         f"--key-file /tmp/key {device}")
        opened = f"cryptsetup open --allow-discards --key-file /tmp/key {device} locked"
        self.machine.run(opened)
        self.refuses(device, "held by dm-0")
        self.verify("--filename=/dev/mapper/locked", "8m")
        self.machine.run("mkfs.ext4 -q /dev/mapper/locked && mount /dev/mapper/locked /mnt/a && "
                         "dd if=/dev/urandom of=/mnt/a/f bs=1M count=20 2>&1 && cp /mnt/a/f /tmp/f && "
                         "fstrim /mnt/a && umount /mnt/a && cryptsetup close locked")
        self.detach(device)
        device = self.attach(kind)
        opened = f"cryptsetup open --allow-discards --key-file /tmp/key {device} locked"
        self.machine.run(f"{opened} && mount /dev/mapper/locked /mnt/a && "
                         "cmp /mnt/a/f /tmp/f && umount /mnt/a && e2fsck -fn /dev/mapper/locked && "
                         "cryptsetup close locked; rm /tmp/f")
        self.detach(device)

    def lvm(self, kind):
        device = self.attach(kind)

        def lvm(command, rest):
            self.machine.run(LVM.format(command, device, rest))
        lvm("vgcreate", f"pool {device}")
        lvm("lvcreate", "-y -Zn -Wn -n a -L 100M pool")
        lvm("lvcreate", "-y -Zn -Wn -n b -L 60M pool")
        self.refuses(device, "held by dm-")
        for name in ("a", "b"):
            self.machine.run(f"mkfs.ext4 -q /dev/mapper/pool-{name} && "
                             f"mount /dev/mapper/pool-{name} /mnt/{name}")
            self.verify(f"--directory=/mnt/{name}", "4m")
        lvm("lvextend", "-L 140M pool/a")
        self.machine.run("resize2fs /dev/mapper/pool-a 2>&1; fstrim /mnt/a; umount /mnt/a; umount /mnt/b; "
                         "e2fsck -fn /dev/mapper/pool-a && e2fsck -fn /dev/mapper/pool-b")
        lvm("vgchange", "-an pool")
        self.detach(device)

    def swap(self, kind):
        # A server that is paged out to its own device could not bring itself back.
        device = self.attach(kind, f"{SERVER} --server-option=--lock-memory")
        self.machine.run(f"mkswap {device} && swapon {device}")
        self.refuses(device, "in use as swap")
        # A program that may have less memory than it works on, and looks at what it gets back.
        before = self.pages_swapped_out()
        self.machine.run("mkdir -p /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; "
                         "echo +memory >/sys/fs/cgroup/cgroup.subtree_control; mkdir /sys/fs/cgroup/small; "
                         "echo 32M >/sys/fs/cgroup/small/memory.max")
        self.machine.run("(echo 0 >/sys/fs/cgroup/small/cgroup.procs; stress-ng --vm 1 --vm-bytes 48M --vm-keep "
                         "--vm-method incdec --verify --timeout 15 2>&1)", seconds=290)
        self.assertGreater(self.pages_swapped_out() - before, 4096)
        self.machine.run(f"swapoff {device}")
        self.detach(device)

    def test_luks_on_fuse(self):
        self.luks("fuse")

    def test_luks_on_ublk(self):
        self.luks("ublk")

    def test_lvm_on_fuse(self):
        self.lvm("fuse")

    def test_lvm_on_ublk(self):
        self.lvm("ublk")

    def test_swap_on_ublk(self):
        self.swap("ublk")


if __name__ == "__main__":
    exchange.main()
