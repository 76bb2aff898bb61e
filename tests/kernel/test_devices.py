#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The operations that suites of file systems are made of (tests/devices), over ublk, in a guest that has what
they use of the host's system: ext4 and XFS on /dev/ublkbN of a volume, and beside each the same on a loop device
over a raw file. What fails on the volume only fails here.

Environment: that of exchange.py; UVDO_DEVICES are other words for tests/devices/run, such as names of
operations: "fio --file-systems xfs --seconds 10".
"""
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

import exchange
import host_programs
import host_system
import sides
import vm

PACKAGES = """dash bash coreutils findutils sed grep tar util-linux mount procps e2fsprogs xfsprogs python3 gcc libc6-dev
  diffutils fio stress-ng dbench postgresql postgresql-contrib libyaml-cpp0.7 libfmt9 libgnutls30 liblz4-1
  libuuid1 libblkid1 liburing2 zlib1g libstdc++6""".split()
MODULES = ["ext4", "xfs", "loop", "ublk_drv"]
ROOM = 12 << 10             # MB for the volume and the raw file, which are sparse
HOURS = 3                   # that an emulated processor may take for all
DEFAULT = "--seconds 1"
ENTER = """mount -t ext4 /dev/vda /system && mount -t ext4 /dev/vdb /system/var/tmp && chmod 1777 /system/var/tmp &&
for part in dev proc sys run tmp; do mount --bind /$part /system/$part || exit 1; done; mkdir -p /dev/shm &&
mount -t tmpfs tmpfs /dev/shm && chmod 1777 /dev/shm /tmp""".replace("\n", " ")
TESTS = sides.support.TESTS


class Devices(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-kernel.", dir="/var/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        system, room = cls.folder / "system.img", cls.folder / "room.img"
        host_system.make_disk(system, cls.folder, PACKAGES, [
            (sides.support.UVDO, "/usr/bin/uvdo"),
            *((TESTS / part, f"/tests/{part}") for part in ("devices", "e2e", "judge"))])
        host_system.make_empty_disk(room, ROOM)
        cls.guest = host_programs.Guest(exchange.LAB, cls.folder, [], MODULES)
        cls.machine = vm.Machine(cls.guest, [system, room], exchange.ACCELERATOR, megabytes=2600)
        cls.addClassCleanup(cls.machine.kill)
        for module in MODULES:
            cls.machine.run(f"load {module}")
        cls.machine.run(f"mkdir -p /system && {ENTER}")

    def devices(self, words):
        return self.machine.run(
            "chroot /system /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C TMPDIR=/var/tmp "
            f"UVDO=/usr/bin/uvdo /usr/bin/python3 /tests/devices/run --as ublk {words}",
            seconds=HOURS * 3600, check=False)

    def test_nothing_fails_over_ublk_that_does_not_on_a_raw_file(self):
        status, table = self.devices(os.environ.get("UVDO_DEVICES", DEFAULT))
        print(table, file=sys.stderr, flush=True)
        self.assertEqual(status, "0", self.machine.kernel_log())


if __name__ == "__main__":
    exchange.main()
