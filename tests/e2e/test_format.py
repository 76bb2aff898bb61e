#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""uvdo format: every block that it writes, against volumes of vdoformat and independent checks."""
import fcntl
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile
import unittest

from support import (BLOCK, extract, judge, manifest, read_block, run, uvdo, vdo_program,
                     without_identity)

SMALL = ("--size", "2900M", "--slab-bits", "13")


class FormatTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-format-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.image = self.folder / "volume"

    def format(self, *arguments, status=0):
        result = uvdo("format", self.image, *arguments)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        if status:
            self.assertTrue(result.stderr.startswith("uvdo: "), result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        return result.stderr if status else result.stdout

    def info(self):
        result = uvdo("info", "--json", self.image)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def identity_free(self, image):
        geometry = read_block(image, 0)
        data_start = int.from_bytes(geometry[80:88], "little")
        return without_identity(geometry, read_block(image, data_start))


class GeometryTest(FormatTest):
    def test_writes_what_vdoformat_wrote(self):
        """Geometry and super block of golden volumes, byte for byte but for their identity."""
        for name in ("fresh-slab9", "fresh-slab13", "fresh-slab19-logical1T", "fresh-memory05",
                     "fresh-sparse"):
            with self.subTest(name):
                golden = extract(name, self.folder)
                command = manifest(name)["format"]["command"].split()[1:]
                self.format("--size", golden.stat().st_size, *command, "--force")
                self.assertEqual(self.identity_free(self.image), self.identity_free(golden))
                self.assertEqual(uvdo("check", self.image).returncode, 0)
                self.assertEqual(judge("audit", self.image).returncode, 0)
                golden.unlink()

    def test_worked_example(self):
        out = self.format("--size", "6G", "--slab-bits", "13")
        info = self.info()
        self.assertEqual(info["logicalBlocks"], 835220)
        self.assertEqual(info["physicalBlocks"], 1572864)
        self.assertEqual(info["slabs"]["count"], 105)
        self.assertEqual(info["slabs"]["lastBlock"], 1539349)
        self.assertEqual(info["index"]["blocks"], 679127)
        self.assertEqual(info["partitions"]["recovery journal"]["start"], 1540032)
        self.assertEqual(info["state"], "NEW")
        self.assertIn("835 220 blocks", out)
        self.assertIn("105 slabs of 32 MiB", out)

    def test_defaults_are_those_of_vdoformat(self):
        self.format("--size", "20G")
        info = self.info()
        self.assertEqual(info["slabs"]["blocks"], 1 << 19)
        self.assertEqual((info["index"]["memory"], info["index"]["sparse"]), ("0.25", False))

    def test_same_volume_as_vdoformat_makes_today(self):
        """Runs vdoformat itself on a loop device, where that is possible."""
        vdoformat = vdo_program("vdoformat")
        if vdoformat is None or os.geteuid() != 0 or run("losetup", "-f").returncode != 0:
            self.skipTest("needs vdoformat, root and loop devices")
        for size, arguments in (("6G", ["--slab-bits=13"]), ("9G", ["--slab-bits=17"]),
                                ("15G", []), ("40G", ["--uds-memory-size=0.75"]),
                                ("30G", ["--uds-memory-size=1", "--logical-size=3T"]),
                                ("40G", ["--uds-sparse", "--slab-bits=15"])):
            with self.subTest(size=size, arguments=arguments):
                other = self.folder / "other"
                self.image.unlink(missing_ok=True)
                run("truncate", "-s", size, other)
                loop = run("losetup", "--show", "-f", other)
                if loop.returncode:
                    self.skipTest("no loop device: " + loop.stderr)
                made = run(vdoformat, *arguments, loop.stdout.strip())
                run("losetup", "-d", loop.stdout.strip())
                self.assertEqual(made.returncode, 0, made.stderr)
                self.format("--size", size, *arguments)
                self.assertEqual(self.identity_free(self.image), self.identity_free(other))
                other.unlink()

    def test_uuid_is_taken_or_random(self):
        uuid = "6d1b4c3a-1111-4222-8333-944445555666"
        self.format(*SMALL, "--uuid", uuid)
        self.assertEqual(self.info()["uuid"], uuid)
        seen = set()
        for _ in range(2):
            self.format(*SMALL, "--force")
            seen.add(self.info()["uuid"])
        self.assertEqual(len(seen | {uuid}), 3)

    def test_slab_size_is_slab_bits_in_bytes(self):
        self.format("--size", "4G", "--slab-size", "64M")
        self.assertEqual(self.info()["slabs"]["blocks"], 1 << 14)

    def test_file_stays_sparse(self):
        self.format("--size", "1T")
        self.assertLess(self.image.stat().st_blocks * 512, 1 << 20)


class RefusalTest(FormatTest):
    def test_wrong_arguments_are_usage_errors(self):
        for arguments in (("--slab-bits", "24"), ("--slab-bits", "7"), ("--slab-size", "3M"),
                          ("--slab-size", "48M"), ("--logical-size", "1000"),
                          ("--logical-size", "5000B"), ("--logical-size", "5P"),
                          ("--logical-size", "0K"), ("--index-memory", "0.3"),
                          ("--index-memory", "2000"), ("--uuid", "x"), ("--size", "10GB"),
                          ("--slab-bits", "13", "--slab-size", "32M"), ("--nonsense",)):
            with self.subTest(arguments):
                extra = () if "--size" in arguments else ("--size", "20G")
                self.format(*arguments, *extra, status=2)
                self.assertFalse(self.image.exists())

    def test_too_small_says_what_fits(self):
        self.assertIn("--slab-bits 16 would fit", self.format("--size", "3200M", status=1))
        self.assertFalse(self.image.exists(), "a file made in vain is removed")
        error = self.format("--size", "1G", status=1)
        self.assertIn("--slab-bits 13, the smallest", error)
        needed = int(error.split("needs ")[-1].split(" bytes")[0])
        self.format("--size", needed - 1, "--slab-bits", "13", status=1)
        self.format("--size", needed, "--slab-bits", "13")

    def test_too_many_slabs(self):
        self.assertIn("slab bits", self.format("--size", "1T", "--slab-bits", "13", status=1))

    def test_missing_file_needs_a_size(self):
        self.assertIn("--size", self.format(status=1))

    def test_existing_file_is_not_replaced(self):
        self.image.write_bytes(b"precious")
        self.assertIn("--force", self.format(*SMALL, status=1))
        self.assertEqual(self.image.read_bytes(), b"precious")
        self.format(*SMALL, "--force")
        self.assertEqual(self.info()["state"], "NEW")

    def test_known_contents_are_not_overwritten(self):
        def empty():
            with open(self.image, "wb") as file:
                file.truncate(2900 << 20)
        makers = [("VDO", lambda: self.format("--slab-bits", "13"))]
        if shutil.which("mke2fs"):
            makers.append(("ext4", lambda: run("mke2fs", "-q", "-t", "ext4", self.image)))
        if shutil.which("sfdisk"):
            makers.append(("partition table",
                           lambda: run("sfdisk", "-q", self.image, input="label: gpt\n,,\n")))
        for what, make in makers:
            with self.subTest(what):
                empty()
                make()
                before = read_block(self.image, 0)
                error = self.format("--slab-bits", "13", status=1)
                self.assertIn(what, error)
                self.assertIn("--force", error)
                self.assertEqual(read_block(self.image, 0), before)
                self.format("--slab-bits", "13", "--force")
                self.assertEqual(uvdo("check", self.image).returncode, 0)

    def test_volume_in_use_is_never_formatted(self):
        self.format(*SMALL)
        with open(self.image, "rb") as user:
            fcntl.flock(user, fcntl.LOCK_EX)
            self.assertIn("in use", self.format("--slab-bits", "13", "--force", status=1))
            for command in ("info", "check", "stats", "cat"):
                result = uvdo(command, self.image)
                self.assertEqual(result.returncode, 1)
                self.assertIn("in use", result.stderr)

    def test_device_in_use_is_never_formatted(self):
        """Who mounts a device, or uses it for device mapper, opens it exclusively."""
        if os.geteuid() != 0 or run("losetup", "-f").returncode != 0:
            self.skipTest("needs root and loop devices")
        run("truncate", "-s", "6G", self.image)
        loop = run("losetup", "--show", "-f", self.image)
        if loop.returncode:
            self.skipTest("no loop device: " + loop.stderr)
        device = loop.stdout.strip()
        self.addCleanup(run, "losetup", "-d", device)
        user = os.open(device, os.O_RDWR | os.O_EXCL)
        try:
            refused = uvdo("format", device, "--slab-bits", "13", "--force")
        finally:
            os.close(user)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("in use", refused.stderr)
        self.assertEqual(read_block(device, 0), bytes(BLOCK))
        made = uvdo("format", device, "--slab-bits", "13")
        self.assertEqual(made.returncode, 0, made.stderr)

    def test_full_disk_is_told(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
        result = uvdo("format", self.image, *SMALL, preexec_fn=limit)
        self.assertEqual(result.returncode, 1)
        self.assertTrue(result.stderr.startswith("uvdo: "), result.stderr)
        self.assertFalse(self.image.exists())

    def test_directories_and_pipes_are_refused(self):
        self.assertEqual(uvdo("format", self.folder).returncode, 1)
        os.mkfifo(self.image)
        self.format(status=1)


class ReformatTest(FormatTest):
    def test_force_leaves_nothing_of_the_old_volume(self):
        """Old map roots, journal and index start must not survive: the new volume is empty."""
        image = extract("clean", self.folder)
        self.image = image
        self.format("--slab-bits", "13", "--logical-size", "256M", "--force")
        self.assertEqual(read_block(image, 1), bytes(BLOCK))
        self.assertEqual(uvdo("check", image).returncode, 0)
        self.assertEqual(judge("audit", image).returncode, 0)
        result = uvdo("cat", image, "--length", "1M")
        self.assertEqual(result.stdout, "\0" * (1 << 20))


class SizeTest(FormatTest):
    """Sizes that are possible, but hardly meant, or too much for this machine."""

    def ask(self, *command, answer):
        """Runs it at a terminal at which `answer` is typed."""
        terminal, stdin = os.openpty()
        try:
            os.write(terminal, answer.encode())
            return uvdo(*command, stdin=stdin)
        finally:
            os.close(terminal)
            os.close(stdin)

    def test_far_more_than_there_is_room_for_is_questioned(self):
        command = ("format", self.image, *SMALL, "--logical-size", "100T")
        refused = self.ask(*command, answer="\n")
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertIn("times the room for data", refused.stderr)
        self.assertFalse(self.image.exists())
        made = self.ask(*command, answer="y\n")
        self.assertEqual(made.returncode, 0, made.stderr)
        made = uvdo(*command, "--force", "--yes")
        self.assertEqual((made.returncode, made.stderr), (0, ""))
        warned = uvdo(*command, "--force", stdin=subprocess.DEVNULL)
        self.assertEqual(warned.returncode, 0)
        self.assertRegex(warned.stderr, "^uvdo: warning: a logical size of 100 TiB is .*--yes")
        grow = ("grow", self.image, "--logical", "200T")
        self.assertEqual(self.ask(*grow, answer="n\n").returncode, 1)
        self.assertEqual(self.info()["logicalBlocks"], 100 << 28)
        self.assertEqual(uvdo(*grow, stdin=subprocess.DEVNULL).returncode, 0)
        self.assertEqual(self.info()["logicalBlocks"], 200 << 28)

    def test_what_the_machine_has_no_memory_for_is_refused(self):
        def with_little_memory():
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        made = uvdo("format", self.image, *SMALL, "--logical-size", "2P", "--yes",
                    preexec_fn=with_little_memory)
        self.assertEqual(made.returncode, 1, made.stdout)
        self.assertRegex(made.stderr, "needs up to [3-5].* GiB of memory .*is 1 GiB")
        self.assertFalse(self.image.exists())
        self.format(*SMALL)
        before = self.info()
        for sizes in (("--logical", "2P"), ("--logical", "2P", "--physical", "3200M")):
            grown = uvdo("grow", self.image, *sizes, "--yes", preexec_fn=with_little_memory)
            self.assertEqual(grown.returncode, 1, grown.stdout)
            self.assertRegex(grown.stderr, "needs up to [3-5].* GiB of memory .*is 1 GiB")
            self.assertEqual(self.info(), before)
        grown = uvdo("grow", self.image, "--logical", "1T", "--yes", preexec_fn=with_little_memory)
        self.assertEqual((grown.returncode, grown.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
