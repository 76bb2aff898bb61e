#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A VDO pool of LVM: uvdo opens it in place, or adopts it by one command, and LVM gets it back."""
import json
import pathlib
import shutil
import tempfile
import unittest

import exchange
import host_programs
import sides
import vm
from exchange import GIB, MIB


class LvmPool(exchange.Exchange):
    SIZE = 4 * GIB
    ENDS = 512 * 1024      # bytes at both ends of the pool's logical space that LVM leaves empty

    def test_pool_opened_in_place(self):
        # (of Debian 12's lvm2, which knows an older form of the table line)
        self.kernel.expected = ["Detected version mismatch between kernel module and tools",
                                "Please consider upgrading management tools"]
        self.kernel.make_lvm_pool(3072, self.LOGICAL // MIB, 128)
        self.offset = self.ENDS
        told = sides.support.uvdo("info", self.image)
        self.assertIn("--offset 512K --size 128M", told.stdout, told.stderr)
        told = json.loads(sides.support.uvdo("info", "--json", self.image).stdout)
        self.assertEqual(told["lvmPool"], {"offset": self.ENDS, "size": self.LOGICAL})
        self.uvdo.options = ["--offset", "512K", "--size", "128M"]
        self.to_and_fro(lambda: self.writes(40), lambda: self.mixture(40))
        told = sides.support.uvdo("info", self.image)
        self.assertIn("--offset 512K --size 128M", told.stdout, told.stderr)


class Guest(unittest.TestCase):
    """uvdo beside LVM, in the guest."""
    SERVER = "--cache 16M --buffers 16M --log-file /tmp/log"
    EXPECTED = ["Detected version mismatch between kernel module and tools", "CONFIG_IMA_DISABLE_HTABLE",
                "Please consider upgrading management tools"]

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-kernel."))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        guest = host_programs.Guest(exchange.LAB, cls.folder, [], ["ublk_drv"], own=[sides.support.UVDO])
        with open(cls.folder / "disk", "wb") as disk:
            disk.truncate(4 * GIB)
        cls.machine = vm.Machine(guest, [cls.folder / "disk"], exchange.ACCELERATOR, megabytes=2000)
        cls.addClassCleanup(cls.machine.kill)
        cls.run_in_guest("load ublk_drv")
        cls.machine.kernel_log()

    @classmethod
    def run_in_guest(cls, command, **options):
        return cls.machine.run(command, **options)

    def refused(self, words, command):
        status, output = self.run_in_guest(command, check=False)
        self.assertNotEqual(status, "0", output)
        self.assertIn(words, output)

    def write(self, name, device, at):
        """4 MiB of new data, in a file and on the device; `at` in MiB."""
        self.run_in_guest(f"dd if=/dev/urandom of=/tmp/{name} bs=1M count=4 && dd if=/tmp/{name} of={device} bs=1M "
                          f"seek={at} conv=notrunc,fsync")

    def compare(self, name, device, at):
        self.run_in_guest(f"dd if={device} bs=1M skip={at} count=4 of=/tmp/read && cmp /tmp/{name} /tmp/read")


class Adopt(Guest):
    def test_one_command_takes_a_pool_and_lvm_gets_it_back(self):
        self.run_in_guest("lvm vgcreate vg /dev/vda && lvm lvcreate --type vdo -L 3072M -V 128M -n lv --config "
                          "allocation/vdo_slab_size_mb=128 vg/pool")
        self.write("first", "/dev/vg/lv", 0)
        # Somebody uses the logical volume: it stays with LVM.
        self.refused("in use", f"(exec 3</dev/vg/lv; uvdo adopt vg/pool --start {self.SERVER})")
        self.compare("first", "/dev/vg/lv", 0)
        # What cannot be mapped is active again as it was.
        self.run_in_guest("dmsetup create uvdo-vg-pool-hold --table '0 8 error'")
        self.refused("dmsetup create", f"uvdo adopt vg/pool --start {self.SERVER}")
        self.compare("first", "/dev/vg/lv", 0)
        self.run_in_guest("dmsetup remove uvdo-vg-pool-hold")
        told = self.run_in_guest(f"uvdo adopt vg/pool --start {self.SERVER}")
        self.assertEqual(told.strip().splitlines()[-1], "/dev/uvdo/vg-lv")
        self.compare("first", "/dev/uvdo/vg-lv", 0)
        self.write("second", "/dev/uvdo/vg-lv", 100)
        # Both cannot have it.
        self.refused("prohibited", "lvm lvchange -ay vg/lv")
        # Nor does LVM take the data away, and then the pool.
        self.refused("used by another device", "lvm vgchange -an vg")
        self.refused("prohibited", "lvm lvchange -ay vg/lv")
        self.run_in_guest("uvdo stop vg-pool")
        self.assertNotIn("uvdo", self.run_in_guest("dmsetup table"))
        self.assertIn("with LVM", self.run_in_guest("uvdo list"))
        self.run_in_guest("lvm vgchange -ay vg")
        self.compare("first", "/dev/vg/lv", 0)
        self.compare("second", "/dev/vg/lv", 100)
        # It is taken again while LVM has it active, as after a boot, and given back for good.
        self.assertIn("/dev/uvdo/vg-lv", self.run_in_guest("uvdo start vg-pool"))
        self.compare("second", "/dev/uvdo/vg-lv", 100)
        self.refused("--keep", "uvdo remove vg-pool --yes")
        self.run_in_guest("uvdo remove vg-pool --keep && lvm vgchange -ay vg")
        self.compare("second", "/dev/vg/lv", 100)
        self.run_in_guest("lvm vgchange -an vg")
        self.assertEqual(self.machine.complaints(self.EXPECTED), [])


class Convert(Guest):
    """vdo convert makes room in front of a volume, which LVM then takes as a pool, as lvm_import_vdo does."""

    def test_lvm_takes_a_volume_that_was_converted(self):
        self.run_in_guest("ln -sf /usr/bin/uvdo /usr/bin/vdo; mkdir -p /etc/uvdo; vdo create --name=v --device=/dev/vda "
                          "--vdoLogicalSize=128M --vdoSlabSize=128M --indexMem=0.25 --force")
        self.write("first", "/dev/mapper/v", 7)
        self.run_in_guest("vdo stop --name=v; vdo convert --name=v --force")
        self.run_in_guest("lvm pvcreate -y --dataalignment 2m /dev/vda && lvm vgcreate -s 2m vg /dev/vda && "
                          "lvm lvcreate -Zn -Wn -an -y -l 100%FREE -n pool vg")
        self.run_in_guest("lvm lvchange -ay vg/pool && uvdo check /dev/vg/pool && lvm lvchange -an vg/pool")
        self.run_in_guest("lvm lvconvert -y -Zn --type vdo-pool --config 'allocation { vdo_pool_header_size=0 "
                          "vdo_slab_size_mb=128 }' -V 128m -n lv vg/pool")
        self.compare("first", "/dev/vg/lv", 7)
        self.write("second", "/dev/vg/lv", 90)
        self.run_in_guest("lvm vgchange -an vg && lvm vgchange -ay vg")
        self.compare("first", "/dev/vg/lv", 7)
        self.compare("second", "/dev/vg/lv", 90)
        # And uvdo, which finds the pool by what LVM says.
        self.run_in_guest(f"uvdo adopt vg/pool --start {self.SERVER}")
        self.compare("second", "/dev/uvdo/vg-lv", 90)
        self.run_in_guest("uvdo stop vg-pool && lvm lvchange -ay -y vg/pool_vdata && uvdo check /dev/vg/pool_vdata && "
                          "lvm vgchange -an vg")
        self.assertEqual(self.machine.complaints(self.EXPECTED), [])


if __name__ == "__main__":
    exchange.main()
