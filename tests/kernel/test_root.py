#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine whose root file system is an ext4 on a volume, over ublk: its initramfs starts the server, which
outlives it (docs/block-devices.md). The machine is used, its server killed and started anew, and powered off;
then the host looks at what is left."""
import hashlib
import pathlib
import shutil
import tempfile
import unittest

import exchange
import host_programs
import sides
import vm
from exchange import MIB

LOGICAL = 384 * MIB
SERVER = "--log-file /run/uvdo.log --server-option=--pid-file=/run/uvdo.pid --server-option=--cache=16M --server-option=--buffers=16M"
ATTACH = f"uvdo attach /dev/vda --as ublk --name root --server-option=--systemd-mark {SERVER}"
# What the initramfs has is the system too.
INSTALL = """uvdo attach /dev/vda --as ublk --name root LOG && mkfs.ext4 -q /dev/uvdo/root && mkdir -p /newroot &&
mount /dev/uvdo/root /newroot && cd /newroot && mkdir dev proc sys run tmp mnt root &&
cp -a /bin /sbin /usr /lib /lib64 /host /etc /modules /init /*.sh . && cd / && umount /newroot &&
uvdo detach root""".replace("LOG", SERVER).replace("\n", " ")


class Root(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-kernel."))
        self.addCleanup(shutil.rmtree, self.folder)
        self.guest = host_programs.Guest(exchange.LAB, self.folder, ["fio", "mkfs.ext4"], ["ublk_drv"],
                                         own=[sides.support.UVDO])
        self.image = self.folder / "volume.img"
        self.must("format", self.image, "--size", "3200M", "--slab-size", "32M", "--logical-size", LOGICAL)

    def must(self, *arguments):
        done = sides.support.uvdo(*arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def boot(self, options=""):
        machine = vm.Machine(self.guest, [self.image], exchange.ACCELERATOR, megabytes=1800, options=options)
        self.addCleanup(machine.kill)
        return machine

    def test_a_machine_runs_from_a_volume(self):
        machine = self.boot()
        machine.run("load ublk_drv")
        machine.run(INSTALL)
        self.assertTrue(machine.leave(), machine.console())
        self.must("check", self.image)

        machine = self.boot("uvdo.root")
        machine.kernel_log()
        self.assertIn("/dev/uvdo/root / ext4", machine.run("cat /proc/mounts"))
        self.assertEqual(machine.run("ls /newroot 2>/dev/null; df / | tail -n 1 | cut -d' ' -f1").strip(), "/dev/uvdo/root")
        self.use(machine, "before")
        refused = machine.run("uvdo detach root", check=False)
        self.assertNotEqual(refused[0], "0", "the machine runs from it")
        self.assertIn("in use", refused[1])
        self.exchange_servers(machine)
        sums = self.use(machine, "after")
        machine.run("sha256sum -c /sums")
        self.assertEqual(machine.complaints(["CONFIG_IMA_DISABLE_HTABLE"]), [])
        self.assertTrue(machine.leave(), machine.console())

        self.must("check", self.image)
        out = self.folder / "root.img"
        self.must("export", self.image, "-o", out)
        fsck = sides.support.run("e2fsck", "-fn", out)
        self.assertEqual(fsck.returncode, 0, fsck.stdout)
        sides.support.run("debugfs", "-R", f"dump /root/after {self.folder}/after", out)
        self.assertEqual(hashlib.sha256((self.folder / "after").read_bytes()).hexdigest(), sums)

    def use(self, machine, name):
        """Writes in the ways that a system does; the sum of one file of 20 MB."""
        machine.run(f"head -c 20000000 /dev/urandom >/root/{name} && sha256sum /root/{name} >>/sums && sync")
        machine.run("fio --name=j --directory=/root --rw=randwrite --bsrange=4k-64k --size=16m --fsync=32 "
                    "--verify=crc32c --verify_fatal=1 --output=/tmp/fio.log || { cat /tmp/fio.log; exit 1; }")
        machine.run(f"cp -a /usr /root/copy-{name} && rm -r /root/copy-{name} && sync && fstrim -v / && "
                    "echo 3 >/proc/sys/vm/drop_caches && sha256sum -c /sums")
        return machine.run("tail -n 1 /sums").split()[0]

    def exchange_servers(self, machine):
        """The next one comes from what was kept of the initramfs: nothing can be read from the root meanwhile."""
        pid = machine.run("cat /run/uvdo.pid").strip()
        self.assertEqual(machine.run(f"head -c 1 /proc/{pid}/cmdline; echo").strip(), "@")
        machine.run("echo answered and not flushed >/note")
        machine.run(f"/run/initramfs/bin/busybox chroot /run/initramfs /bin/sh -c 'kill -KILL {pid}; {ATTACH}'", seconds=120)
        self.assertEqual(machine.run("echo 3 >/proc/sys/vm/drop_caches; cat /note").strip(), "answered and not flushed")


if __name__ == "__main__":
    exchange.main()
