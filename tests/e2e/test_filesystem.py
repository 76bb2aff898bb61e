#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""File systems in daily use on a served volume: ext4 on the device of uvdo attach, xfs through the FUSE
export of qemu-storage-daemon and a loop device, as by NBD where a kernel has no nbd. Needs root, FUSE and loop
devices; says so where they are missing."""
import os
import pathlib
import random
import shutil
import subprocess
import time
import unittest

from served import MIB, Served
from support import UVDO, run, tree_digest

PYTHON_LIBRARY = pathlib.Path(unittest.__file__).parent.parent

PROGRAM = """#include <stdio.h>
{declarations}
int main(void) {{ unsigned s = 0; {calls} printf("%u\\n", s); return 0; }}
"""


def missing():
    """Why this cannot run here; "" if it can."""
    if os.geteuid() != 0:
        return "only root may mount"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse"
    if run("losetup", "-f").returncode != 0:
        return "there are no loop devices"
    for program in ("qemu-storage-daemon", "mkfs.ext4", "mkfs.xfs", "fstrim", "cc"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return ""


@unittest.skipIf(missing(), missing())
class DailyUse(Served):
    LOGICAL = 400 * MIB  # xfs takes no less than 300 MiB

    def setUp(self):
        super().setUp()
        self.fuse, self.loop, self.mounted = None, None, False
        self.export, self.mount_point = self.folder / "export", self.folder / "mnt"
        self.export.touch()
        self.mount_point.mkdir()
        self.addCleanup(self.detach)  # before the server is killed, and the folder removed

    def run_well(self, *command, **options):
        done = run(*command, **options)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    # ---- the way from the volume to a mounted file system

    def attach(self):
        self.fuse = subprocess.Popen(
            ["qemu-storage-daemon", "--blockdev",
             f"driver=nbd,node-name=volume,server.type=unix,server.path={self.socket},"
             "discard=unmap,cache.direct=on",
             "--export", f"type=fuse,id=export,node-name=volume,mountpoint={self.export},"
                         "writable=on"])
        self.wait_until(lambda: self.export.stat().st_size == self.LOGICAL, "the FUSE export")
        self.loop = self.run_well("losetup", "--show", "-f", self.export).strip()

    def mount(self):
        self.run_well("mount", self.loop, self.mount_point)
        self.mounted = True

    def unmount(self):
        if self.mounted:
            self.run_well("umount", self.mount_point)
        self.mounted = False

    def detach(self):
        if self.mounted:
            run("umount", self.mount_point)
            self.mounted = False
        if self.loop:
            run("losetup", "-d", self.loop)
            self.loop = None
        if self.fuse:
            self.fuse.terminate()
            self.fuse.wait()
            self.fuse = None
        self.kill()

    def detach_and_stop(self):
        loop = self.loop
        self.detach_keeping_server()
        self.assertNotIn(str(self.export), run("losetup", "-l").stdout, loop)
        self.stop_and_judge_what_clients_read()

    def detach_keeping_server(self):
        server, self.server = self.server, None
        self.detach()
        self.server = server

    # ---- what people do

    def unpack(self, name):
        """A real tree, out of an archive."""
        target = self.mount_point / name
        target.mkdir()
        self.run_well("tar", "-xf", self.archive, "-C", target)
        return target

    def compile(self):
        """A project of many small files; its program must compute what it should."""
        project, generator = self.mount_point / "project", random.Random(31)
        project.mkdir()
        numbers = [generator.randrange(1 << 20) for _ in range(24)]
        for i, number in enumerate(numbers):
            (project / f"part{i}.c").write_text(f"unsigned f{i}(void) {{ return {number}u; }}\n")
        (project / "main.c").write_text(PROGRAM.format(
            declarations="\n".join(f"unsigned f{i}(void);" for i in range(len(numbers))),
            calls=" ".join(f"s += f{i}();" for i in range(len(numbers)))))
        self.run_well("cc", "-c", *sorted(project.glob("*.c")), cwd=project)
        self.run_well("cc", "-o", "program", *sorted(project.glob("*.o")), cwd=project)
        self.assertEqual(self.run_well(project / "program"), f"{sum(numbers)}\n")

    def trim_until_at_most(self, blocks):
        """What was deleted and trimmed takes no room any more. ext4 frees blocks when its journal is
        committed, xfs some time after the file is gone."""
        for _ in range(50):
            os.sync()
            self.run_well("fstrim", "-v", self.mount_point)
            self.qemu_io("flush")
            used = self.stats()["dataBlocksUsed"]
            if used <= blocks:
                return
            time.sleep(0.2)
        self.fail(f"{used} blocks are in use after trimming, not at most {blocks}")

    def live_a_day(self, make, check):
        self.archive = self.folder / "library.tar"
        self.run_well("tar", "-cf", self.archive, "--exclude=*.pyc", "-C", PYTHON_LIBRARY,
                      "asyncio", "email", "encodings", "json", "unittest", "xml")
        original = self.folder / "original"
        original.mkdir()
        self.run_well("tar", "-xf", self.archive, "-C", original)
        expected = tree_digest(original)
        self.serve()
        self.attach()
        self.run_well(*make, self.loop)
        self.mount()
        first, second = self.unpack("first"), self.unpack("second")
        self.compile()
        os.sync()
        shutil.rmtree(second)
        noise = self.mount_point / "noise"
        noise.write_bytes(random.Random(32).randbytes(24 * MIB))
        os.sync()
        with_noise = self.stats()["dataBlocksUsed"]
        noise.unlink()
        self.trim_until_at_most(with_noise - 20 * 256)
        third = self.unpack("third")
        self.assertEqual(tree_digest(first), expected)
        self.unmount()
        self.run_well(*check, self.loop)
        self.mount()  # the kernel has forgotten what it knew
        self.assertEqual(tree_digest(first), expected)
        self.assertEqual(tree_digest(third), expected)
        project = tree_digest(self.mount_point / "project")
        self.unmount()
        self.detach_and_stop()
        self.serve()
        self.attach()
        self.run_well(*check, self.loop)
        self.mount()
        self.assertEqual(tree_digest(first), expected)
        self.assertEqual(tree_digest(self.mount_point / "project"), project)
        shutil.rmtree(first)
        self.unmount()
        self.run_well(*check, self.loop)
        self.detach_and_stop()

    def test_xfs(self):
        self.live_a_day(("mkfs.xfs", "-q"), ("xfs_repair", "-n"))


@unittest.skipIf(missing(), missing())
class DailyUseOfADevice(DailyUse):
    """The same on a device that the server makes itself."""

    def attach(self):
        self.loop = self.run_well(UVDO, "attach", self.image, "--as", "fuse").strip()

    def detach(self):
        self.unmount()
        if self.loop:
            self.run_well(UVDO, "detach", self.loop)
            self.assertFalse(pathlib.Path("/dev/uvdo", self.image.stem).is_symlink())
            self.loop = None
        self.kill()

    def test_ext4(self):
        self.live_a_day(("mkfs.ext4", "-q"), ("e2fsck", "-fn"))

    test_xfs = None


if __name__ == "__main__":
    unittest.main(verbosity=2)
