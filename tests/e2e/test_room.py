#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A served volume whose file system is full, whose file may not become larger, is cut off, removed
or replaced: what clients get, what is told, and what is left."""
import contextlib
import errno
import os
import pathlib
import random
import resource
import subprocess
import tempfile
import time
import unittest

import nbd

import support
from served import MIB, Served
from support import run, uvdo

PATIENCE = 20  # seconds, for what happens by itself


class Beneath(Served):
    def errno_of(self, call, *arguments):
        with self.assertRaises(nbd.Error) as caught:
            call(*arguments)
        return caught.exception.errnum

    def status(self):
        return uvdo("status", self.image)

    def stop_with_trouble(self):
        """SIGTERM to a server that cannot save; what it says."""
        self.server.terminate()
        self.assertNotEqual(self.server.wait(60), 0, self.log())
        self.assertNotIn("\nsaved", self.log())
        return self.log()


class FileSizeLimit(Beneath):
    """A limit of file sizes is met like a full file system, and needs no small one."""

    def limit(self, size):
        hard = resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE, (size, hard))

    def use_up(self, *options):
        """A volume with 1 MiB that is stable, and from then on no room for anything."""
        self.serve("--no-space-timeout", "1", "--compression", "off", *options)
        self.stable = random.Random(1).randbytes(MIB)
        self.later = random.Random(2).randbytes(64 * 1024)  # accepted as a whole
        client = self.connect()
        client.pwrite(self.stable, 0)
        client.flush()
        self.note(0, self.stable)
        self.limit(MIB)
        return client

    def test_writes_wait_then_fail_with_no_space_and_go_on_by_themselves(self):
        client = self.use_up()
        client.pwrite(self.later, 2 * MIB)  # its page of the block map is there
        self.assertEqual(self.errno_of(client.flush), errno.ENOSPC)
        self.assertEqual(self.errno_of(client.pwrite, bytes(4096), 32 * MIB), errno.ENOSPC)
        self.assertEqual(self.errno_of(client.pwrite, b"x" * 4096, 0, nbd.CMD_FLAG_FUA),
                         errno.ENOSPC)
        self.assertEqual(client.pread(MIB, 0), self.stable)
        self.assertEqual(client.pread(len(self.later), 2 * MIB), self.later, "from memory")
        client.trim(MIB, 64 * MIB)
        told = self.status()
        self.assertEqual(told.returncode, 1, told.stdout)
        self.assertIn("no room beneath", told.stdout)
        self.assertNotIn("All is well", told.stdout)
        self.assertIn("no room beneath", self.log())
        self.limit(resource.RLIM_INFINITY)
        self.wait_until(lambda: self.status().returncode == 0, "it goes on by itself")
        client.flush()
        client.pwrite(self.later, 32 * MIB)
        client.flush()
        self.note(2 * MIB, self.later)
        self.note(32 * MIB, self.later)
        client.shutdown()
        self.stop_and_judge()

    def test_a_stop_without_room_keeps_what_flushes_covered(self):
        client = self.use_up()
        client.pwrite(self.later, 2 * MIB)
        self.assertEqual(self.errno_of(client.flush), errno.ENOSPC)
        client.shutdown()
        self.assertIn("DIRTY", self.stop_with_trouble())
        info = uvdo("info", self.image)
        self.assertIn("DIRTY", info.stdout + info.stderr)
        self.serve()
        self.assertEqual(self.connect().pread(MIB, 0), self.stable)
        self.stop_and_judge_what_clients_read()

    def test_a_client_that_never_pauses_neither_hangs_nor_keeps_others_from_reading(self):
        other = self.use_up("--buffers", "4M")
        client = self.connect()
        errors = []

        def done(number):
            errors.append(number.value)
            return 1
        for i in range(128):
            data = nbd.Buffer.from_bytearray(bytearray(random.Random(i).randbytes(MIB // 4)))
            client.aio_pwrite(data, 32 * MIB + i * MIB // 4, completion=done)
        self.assertEqual(other.pread(MIB, 0), self.stable)
        deadline = time.monotonic() + PATIENCE
        while client.aio_in_flight() > 0:
            self.assertLess(time.monotonic(), deadline, "no answer")
            client.poll(100)
        self.assertLessEqual(set(errors), {0, errno.ENOSPC})
        self.assertIn(errno.ENOSPC, errors)
        self.limit(resource.RLIM_INFINITY)
        self.wait_until(lambda: self.status().returncode == 0, "it goes on by itself")
        client.flush()
        client.shutdown()
        self.stop_and_judge_what_clients_read()

    def test_errors_that_do_not_pass_are_neither_waited_for_nor_not_permitted(self):
        self.serve()
        client = self.connect()
        client.pwrite(random.Random(3).randbytes(MIB), 0)
        client.flush()
        os.truncate(self.image, 2_700_000_000)  # what is written there would hide what is lost
        self.wait_until(lambda: self.status().returncode == 1, "it is noticed")
        self.assertEqual(self.errno_of(client.pwrite, bytes(4096), 0), errno.EIO)


class Gone(Beneath):
    """The file beneath is cut off, removed or replaced."""

    def setUp(self):
        super().setUp()
        self.serve()
        self.client = self.connect()
        self.data = random.Random(4).randbytes(8 * MIB)
        for at in range(0, len(self.data), MIB):
            self.client.pwrite(self.data[at:at + MIB], at)
        self.client.flush()

    def notice(self, words):
        self.wait_until(lambda: words in self.status().stdout, words)
        told = self.status()
        self.assertEqual(told.returncode, 1)
        self.assertNotIn("All is well", told.stdout)
        self.assertIn(words, self.log())

    def test_a_file_that_is_cut_off_is_told(self):
        os.truncate(self.image, 2_800_000_000)
        errors = 0
        for at in range(0, 128 * MIB, MIB):
            with contextlib.suppress(nbd.Error):
                self.client.pread(MIB, at)
                continue
            errors += 1
        self.notice("was cut off")
        if errors:
            told = self.status().stdout
            self.assertIn("reads", told)
            self.assertIn("the disk has failed: read of", self.log())
            self.assertLess(self.log().count("the disk has failed"), 20, "one by one, but few")
            counted = self.stats()["uvdo"]["deviceFailedReads"]
            self.assertGreater(counted, 0)
        self.stop_with_trouble()

    def test_a_removed_file_is_told_and_not_let_go_of(self):
        inode = self.image.stat().st_ino
        os.unlink(self.image)
        self.notice("removed")
        refused = uvdo("suspend", self.image)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(str(inode), refused.stderr)
        self.client.pwrite(b"y" * 4096, 64 * MIB)  # it is in use as ever
        self.client.flush()
        for at in range(0, len(self.data), MIB):
            self.assertEqual(self.client.pread(MIB, at), self.data[at:at + MIB])
        # What is left to its user: the file itself, as the server has it open.
        files = pathlib.Path(f"/proc/{self.server.pid}/fd")
        found = [fd for fd in files.iterdir() if fd.stat().st_ino == inode]
        support.sparse_copy(found[0], self.folder / "copy")
        self.client.shutdown()
        self.assertIn(str(inode), self.stop_with_trouble())
        self.image = self.folder / "copy"
        self.serve()
        self.assertEqual(self.connect().pread(MIB, MIB), self.data[MIB:2 * MIB])
        self.stop()

    def test_a_replaced_file_is_told_and_never_called_saved(self):
        inode = self.image.stat().st_ino
        self.image.rename(self.folder / "elsewhere")
        self.notice("another name")
        self.image.write_bytes(b"something else")
        self.wait_until(lambda: "another one is there" in self.log(), "it is noticed")
        self.assertEqual(self.status().returncode, 1, "the path has another file")
        told = uvdo("status", self.folder / "elsewhere")
        self.assertEqual(told.returncode, 1)
        self.assertIn("Another file is in the place", told.stdout)
        self.client.shutdown()
        self.assertIn(str(inode), self.stop_with_trouble())
        self.image.unlink()
        (self.folder / "elsewhere").rename(self.image)
        self.note(0, self.data)
        self.judge_volume()

    def test_a_file_that_was_put_back_is_saved_as_ever(self):
        self.image.rename(self.folder / "elsewhere")
        self.notice("another name")
        (self.folder / "elsewhere").rename(self.image)
        self.wait_until(lambda: self.status().returncode == 0, "it is back")
        self.client.shutdown()
        self.note(0, self.data)
        self.stop_and_judge()


class SmallFileSystem(Beneath):
    """A file system in memory that is smaller than the volume; needs to be allowed to mount."""
    ROOM = 96

    def setUp(self):
        self.mount = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-room."))
        self.addCleanup(self.mount.rmdir)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.ROOM}m", "uvdo-room",
                               self.mount], stderr=subprocess.DEVNULL, check=False)
        if made.returncode != 0:
            self.skipTest("mounting is not possible here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.mount], check=False)
        super().setUp()
        self.addCleanup(self.kill)
        self.image.unlink()
        self.image = self.mount / "v.img"
        made = uvdo("format", self.image, "--size", "4G", "--slab-bits", "13", "--logical-size",
                    f"{self.LOGICAL // MIB}M")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("its file system has", made.stdout)

    def fill(self):
        with open(self.mount / "filler", "wb", buffering=0) as file, \
                contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))

    def test_a_full_file_system_passes(self):
        self.serve("--no-space-timeout", "1", "--compression", "off",
                   "--metrics", f"unix:{self.folder / 'metrics'}")
        self.assertIn("may take", self.log() + self.status().stdout)
        client = self.connect()
        data = random.Random(5).randbytes(4 * MIB)
        client.pwrite(data, 0)
        client.flush()
        self.note(0, data)
        self.fill()
        more = random.Random(6).randbytes(64 * 1024)
        client.pwrite(more, 5 * MIB)  # its page of the block map is there
        self.assertEqual(self.errno_of(client.flush), errno.ENOSPC)
        self.assertEqual(self.errno_of(client.pwrite, more, 16 * MIB), errno.ENOSPC)
        self.assertEqual(client.pread(4 * MIB, 0), data)
        told = self.status()
        self.assertEqual(told.returncode, 1)
        self.assertIn("no room beneath", told.stdout)
        metrics = run("curl", "-s", "--unix-socket", self.folder / "metrics",
                      "http://localhost/metrics").stdout
        self.assertRegex(metrics, r"(?m)^uvdo_beneath_full\{[^}]*\} 1$")
        self.assertRegex(metrics, r"(?m)^uvdo_read_only\{[^}]*\} 0$")
        (self.mount / "filler").unlink()
        self.wait_until(lambda: "no room beneath" not in self.status().stdout, "it goes on")
        client.flush()
        self.note(5 * MIB, more)
        client.shutdown()
        self.stop_and_judge()

    def test_preallocation_and_rebuild_need_their_room_before_they_begin(self):
        refused = uvdo("format", self.mount / "large", "--size", "4G",
                       "--slab-bits", "13", "--preallocate")
        self.assertEqual(refused.returncode, 1, refused.stdout + refused.stderr)
        self.assertIn("free", refused.stderr, refused.stdout)
        self.assertFalse((self.mount / "large").exists())
        self.fill()
        before = support.fingerprint(self.image)
        refused = uvdo("rebuild", "--force", "--yes", self.image)
        told = refused.stdout + refused.stderr
        self.assertEqual(refused.returncode, 1, told)
        self.assertIn("not begun", refused.stderr, told)
        self.assertEqual(support.fingerprint(self.image), before, told)


class Preallocated(Beneath):
    def test_a_preallocated_volume_has_all_its_room(self):
        path = self.folder / "full.img"
        made = uvdo("format", path, "--size", "3G", "--slab-bits", "13", "--preallocate")
        if "cannot do that" in made.stderr or "are free" in made.stderr:
            self.skipTest(made.stderr)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertGreaterEqual(path.stat().st_blocks * 512, 3 << 30)
        self.assertNotIn("its file system has", made.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
