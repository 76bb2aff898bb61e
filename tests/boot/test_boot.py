#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole Debian with the packages, booted: named volumes come back with what is on them.

Environment: UVDO_PACKAGES (the folder with the .deb files), UVDO_KERNEL_LAB (where the virtual machine's
kernel is cached), UVDO_BOOT_LAB (the same for the system), UVDO_BOOT_REQUIRED (fail if they cannot be had).
"""
import os
import pathlib
import shutil
import sys
import tempfile
import time
import unittest

import system
import lab
import vm

GIB = 1 << 30
BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"
PACKAGES = pathlib.Path(os.environ.get("UVDO_PACKAGES", BUILD / "deb"))
REQUIRED = os.environ.get("UVDO_BOOT_REQUIRED") == "1"
# Of an emulated machine.
BOOT_SECONDS = 400
COMMAND_SECONDS = 900
SMALL = "--slab-size 128M --logical-size 8G --cache 16M --buffers 16M"


def packages(*names):
    """Copies of the packages, which may be built anew meanwhile."""
    found = [sorted(PACKAGES.glob(f"{name}_*.deb")) for name in names]
    if not all(found):
        raise lab.Unavailable(f"no packages in {PACKAGES}: make deb")
    return [pathlib.Path(shutil.copy(paths[-1], FOLDER)) for paths in found]


class Boot(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(shutil.rmtree, FOLDER)
        cls.disks = [FOLDER / "system.img", FOLDER / "volume.img"]
        SYSTEM.disk(cls.disks[0], 12 * GIB, [system.newer(INSTALLED[0], FOLDER)])
        with open(cls.disks[1], "wb") as disk:
            disk.truncate(4 * GIB)

    def boot(self):
        self.machine = vm.Machine(SYSTEM, self.disks, ACCELERATOR, megabytes=1400,
                                  boot_seconds=BOOT_SECONDS)
        self.addCleanup(self.machine.kill)

    def guest(self, command):
        return self.machine.run(command, seconds=COMMAND_SECONDS)

    def reboot(self):
        """Down by systemd, in order; QEMU ends where the machine would start again."""
        self.machine.agent.sendall(b"systemctl reboot --no-block\n")
        self.machine.process.wait(BOOT_SECONDS)
        self.assertNotRegex(self.machine.console(), r"Failed unmounting|Buffer I/O error|EXT4-fs error")
        self.boot()

    def test_a_life_of_volumes(self):
        # One system for all, since a boot takes most of the time: each step finds what the one before has left.
        for step in (self.boot, self.volumes_are_made, self.write_much, self.reboot, self.are_mounted,
                     self.package_is_upgraded_under_load, self.hung_server_is_followed_by_another, self.write_much,
                     self.reboot, self.are_mounted, self.device_without_a_unit_logs_to_the_journal,
                     self.clients_start_the_server_with_few_rights,
                     self.removed_volumes_leave_nothing, self.removed_package_leaves_nothing):
            begin = time.monotonic()
            step()
            print(f"{time.monotonic() - begin:6.1f} s  {step.__name__}", file=sys.stderr, flush=True)

    def volumes_are_made(self):
        """One is mounted by its name, and one by UUID, which says nothing of its server. Both are mounted by hand,
        and systemd is not told of fstab: at the first shutdown it knows of no order."""
        self.guest("udevadm settle; mkdir -p /mnt/disk /mnt/file")
        self.guest("uvdo create on-disk --device /dev/vdb " + SMALL)
        self.guest("uvdo create in_file --file /var/lib/in_file.vdo --size 4G " + SMALL)
        for name, mount in (("on-disk", "disk"), ("in_file", "file")):
            self.guest(f"mkfs.ext4 -q -E nodiscard /dev/uvdo/{name} && mount /dev/uvdo/{name} /mnt/{mount}")
        self.guest("echo /dev/uvdo/on-disk /mnt/disk ext4 defaults 0 2 >>/etc/fstab; "
                   "echo UUID=$(blkid -s UUID -o value /dev/uvdo/in_file) /mnt/file ext4 defaults 0 2 >>/etc/fstab")

    def write_much(self):
        """So much that a shutdown has something to save."""
        for mount in ("disk", "file"):
            self.guest(f"head -c 32M /dev/urandom >/mnt/{mount}/data; sha256sum /mnt/{mount}/data >/sum-{mount}")

    def are_mounted(self):
        for mount in ("disk", "file"):
            self.guest(f"mountpoint /mnt/{mount} && sha256sum -c /sum-{mount}")
        failed = self.guest("systemctl --failed --no-legend --plain")
        self.assertEqual(failed.strip(), "")

    def package_is_upgraded_under_load(self):
        """fio writes, reads back and compares, again and again, through the upgrade."""
        self.guest("(until [ -e /tmp/enough ] || ! fio --name=j --directory=/mnt/disk --rw=randwrite --bs=4k --size=4m "
                   "--direct=1 --ioengine=libaio --iodepth=4 --verify=crc32c --verify_fatal=1 --fsync=64 "
                   ">>/tmp/fio.log 2>&1; do echo . >>/tmp/fio.rounds; done; [ -e /tmp/enough ]; "
                   "echo $? >/tmp/fio.status) >/dev/null 2>&1 &")
        self.guest("until [ -e /tmp/fio.rounds ]; do sleep 0.1; done")
        before = self.main_pid()
        self.guest(f"UVDO_UPGRADE_PATIENCE={COMMAND_SECONDS // 3} dpkg -i /uvdo_*+next_*.deb")
        after = self.main_pid()
        self.assertNotEqual(after, before, "a device of ublk waits for another process")
        self.assertEqual(self.guest(f"readlink /proc/{after}/exe").strip(), "/usr/bin/uvdo")
        self.guest("rm /tmp/fio.rounds; until [ -e /tmp/fio.rounds ] || [ -e /tmp/fio.status ]; do sleep 0.1; done; "
                   "touch /tmp/enough; until [ -e /tmp/fio.status ]; do sleep 0.1; done")
        self.assertEqual(self.guest("cat /tmp/fio.status").strip(), "0", self.guest("cat /tmp/fio.log"))
        self.guest("dmesg | grep -E 'I/O error|EXT4-fs error' && exit 1; true")

    def hung_server_is_followed_by_another(self):
        """One that says nothing for WatchdogSec= is ended by systemd, and its file system goes on with the next."""
        drop_in = "/run/systemd/system/uvdo@on-disk.service.d"
        self.guest(f"mkdir -p {drop_in}; printf '[Service]\\nWatchdogSec=15\\n' >{drop_in}/quick.conf; "
                   "systemctl daemon-reload; systemctl restart uvdo@on-disk.service")
        before = self.main_pid()
        self.guest(f"kill -STOP {before}; (sha256sum /mnt/disk/data; echo on >/mnt/disk/goes; sync /mnt/disk/goes)")
        self.assertNotEqual(self.main_pid(), before)
        self.assertGreaterEqual(int(self.guest("systemctl show -P NRestarts uvdo@on-disk.service")), 1)
        self.assertIn("Watchdog timeout", self.guest("journalctl --no-pager -b -u uvdo@on-disk.service"))
        # What comes may keep a slow machine waiting for longer.
        self.guest(f"rm -r {drop_in}; systemctl daemon-reload")
        self.guest("dmesg | grep -E 'I/O error|EXT4-fs error' && exit 1; true")

    def main_pid(self):
        return self.guest("systemctl show -P MainPID uvdo@on-disk.service").strip()

    def device_without_a_unit_logs_to_the_journal(self):
        """Also what is said after a SIGHUP, which opens the log anew."""
        self.guest("uvdo format /var/lib/journal.vdo --size 4G --slab-size 128M --logical-size 64M && "
                   "uvdo attach /var/lib/journal.vdo --name j --log-file journal "
                   "--server-option=--cache=16M --server-option=--buffers=16M --server-option=--pid-file=/run/j.pid && "
                   "kill -HUP $(cat /run/j.pid) && sleep 1 && uvdo detach j; rm /var/lib/journal.vdo")
        said = self.guest("journalctl --sync; journalctl --no-pager -o cat -t uvdo")
        self.assertIn("/var/lib/journal.vdo", said)
        self.assertNotIn("<6>", said, "levels are levels, and no text")
        self.assertIn("SIGHUP", self.guest("journalctl --no-pager -o cat -t uvdo -p notice"))

    def clients_start_the_server_with_few_rights(self):
        self.guest("uvdo create images --file /var/lib/uvdo/images.vdo --size 4G --no-start --no-activate " + SMALL)
        self.guest("uvdo modify images --default attach; chown uvdo: /var/lib/uvdo/images.vdo; systemctl daemon-reload")
        self.guest("systemctl start uvdo-nbd@images.socket")
        size = self.guest("nbdinfo --size 'nbd+unix:///?socket=/run/uvdo-nbd/images.sock'")
        self.assertEqual(int(size), 8 << 30)
        self.assertEqual(self.guest("ps -o user= -p $(systemctl show -P MainPID uvdo-nbd@images)").strip(), "uvdo")
        self.guest("uvdo status images")
        self.guest("systemctl stop uvdo-nbd@images.socket uvdo-nbd@images.service; uvdo remove images --yes")

    def removed_volumes_leave_nothing(self):
        self.guest("sed -i /mnt/d /etc/fstab; systemctl daemon-reload; umount /mnt/disk /mnt/file")
        for name in ("on-disk", "in_file"):
            self.guest(f"uvdo remove {name} --yes")
        self.guest("systemctl daemon-reload")
        self.assertEqual(self.guest("ls /etc/uvdo/volumes.d; ls /dev/uvdo 2>/dev/null; true").strip(), "")
        self.assertEqual(self.guest("ls /var/lib/in_file.vdo 2>/dev/null; blkid -p /dev/vdb; true").strip(), "")
        self.assertEqual(self.guest("systemctl list-units --plain --no-legend 'uvdo@*'").strip(), "")
        self.assertEqual(self.guest("pgrep -x uvdo; true").strip(), "")

    def removed_package_leaves_nothing(self):
        self.guest("dpkg -P uvdo-vdo-compat uvdo")
        left = self.guest("find / -xdev -name '*uvdo*' -not -path '/proc/*' -not -name 'uvdo_*.deb' "
                          "-not -path '/var/log/*'; true")
        self.assertEqual(left.strip(), "")


if __name__ == "__main__":
    FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-boot."))
    try:
        kernel = lab.prepare(os.environ.get("UVDO_KERNEL_LAB", BUILD / "kernel"))
        INSTALLED = packages("uvdo", "uvdo-vdo-compat")
        SYSTEM = system.System(os.environ.get("UVDO_BOOT_LAB", BUILD / "boot"), kernel, INSTALLED)
        ACCELERATOR = vm.accelerator(kernel)
    except lab.Unavailable as problem:
        shutil.rmtree(FOLDER)
        print(problem, file=sys.stderr)
        sys.exit(1 if REQUIRED else 77)
    unittest.main(verbosity=2)
