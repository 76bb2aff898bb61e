#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes that are changed while they are in use: growth, suspension, a device that is replaced.
All referees judge what is on the disk."""
import json
import os
import pathlib
import random
import re
import subprocess
import threading
import time
import unittest

import nbd

import support
from served import IS_SANITIZED, MIB, Served
from support import judge, run, uvdo

GIB = 1024 * MIB


class Changes(Served):
    def succeed(self, *arguments):
        done = uvdo(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        return done.stdout

    def refuse(self, *arguments, told):
        """The command fails with one sentence that has `told` in it."""
        done = uvdo(*arguments)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(told, done.stderr)

    def size(self):
        return json.loads(run("nbdinfo", "--json", self.uri).stdout)["exports"][0]["export-size"]


def control_socket_of(volume):
    """The first name of the control socket of the volume's server (docs/control.md)."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    user = pathlib.Path(runtime) / "uvdo" if runtime else pathlib.Path(f"/tmp/uvdo-{os.geteuid()}")
    folder = user if os.geteuid() else pathlib.Path("/run/uvdo")
    status = volume.stat()
    return folder / f"file-{status.st_dev:x}-{status.st_ino}.control"


class Writers:
    """Clients that write all the time, each in an area of its own; what was answered is noted."""

    def __init__(self, test, count, area):
        self.test, self.stop, self.answered, self.failures = test, False, 0, []
        self.threads = [threading.Thread(target=self.write, args=(i, area)) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def write(self, number, area):
        generator = random.Random(number)
        try:
            client = self.test.connect()
            while not self.stop:
                data = generator.randbytes(4096 * generator.randrange(1, 16))
                at = number * area + generator.randrange(0, (area - len(data)) // 512) * 512
                client.pwrite(data, at)
                self.answered += 1
                if client.pread(len(data), at) != data:
                    self.failures.append(f"other data at {at}")
        except nbd.Error as error:
            self.failures.append(str(error))

    def end(self):
        self.stop = True
        for thread in self.threads:
            thread.join()
        self.test.assertEqual(self.failures, [])


class Growth(Changes):
    def test_a_volume_grows_under_load_again_and_again(self):
        self.serve()
        slabs = self.stats()["allocator"]["slabCount"]
        writers = Writers(self, 3, 24 * MIB)
        logical, physical = self.LOGICAL, 4 * GIB
        for _ in range(3):
            logical += 100 * MIB
            physical += 300 * MIB
            self.succeed("grow", self.image, "--logical", f"{logical // MIB}M",
                         "--physical", f"{physical // MIB}M")
            self.assertEqual(self.size(), logical)
            self.assertEqual(self.image.stat().st_size, physical)
        answered = writers.answered
        while writers.answered < answered + 20:
            time.sleep(0.01)
        writers.end()
        self.assertGreater(self.stats()["allocator"]["slabCount"], slabs + 24)
        self.LOGICAL = logical
        # What lies beyond the old end is there.
        client = self.connect()
        client.pwrite(random.Random(9).randbytes(MIB), logical - MIB)
        client.shutdown()
        self.stop_and_judge_what_clients_read()

    def test_a_logical_size_far_beyond_the_first_can_be_used(self):
        self.serve()
        self.succeed("grow", self.image, "--logical", "100T", "--yes")
        client = self.connect()
        for i in range(600):
            client.pwrite(b"%08d" % i * 512, i * 155 * GIB)
        client.flush()
        self.assertEqual(client.pread(4096, 599 * 155 * GIB), b"%08d" % 599 * 512)
        # A discard of parts of blocks without data takes nothing.
        used = self.stats()["logicalBlocksUsed"]
        for i in range(100):
            client.trim(1024, i * 1024 * GIB + GIB + 512)
        self.assertEqual(self.stats()["logicalBlocksUsed"], used)
        client.shutdown()
        self.stop()
        self.assertEqual(judge("audit", self.image).returncode, 0)

    def test_new_slabs_are_used_when_the_old_ones_are_full(self):
        self.SIZE = "2850M"
        self.LOGICAL = 256 * MIB
        self.image.unlink()
        self.succeed("format", self.image, "--size", self.SIZE, "--slab-bits", self.SLAB_BITS,
                     "--logical-size", "256M")
        self.serve("--compression", "off")
        client = self.connect()
        data = random.Random(1).randbytes(MIB)
        written = 0
        with self.assertRaises(nbd.Error) as full:
            while True:
                client.pwrite(data[:-8] + written.to_bytes(8, "little"), written)
                data = random.Random(written).randbytes(MIB)
                written += MIB
        self.assertEqual(full.exception.errno, "ENOSPC")
        self.succeed("grow", self.image, "--physical", "3200M")
        while written < 200 * MIB:
            client.pwrite(random.Random(written).randbytes(MIB), written)
            written += MIB
        client.flush()
        client.shutdown()
        self.stop_and_judge_what_clients_read()

    def test_a_killed_server_leaves_one_of_the_two_sizes(self):
        self.serve()
        generator = random.Random(3)
        sizes, physical = set(), 4 * GIB
        for turn in range(4):
            data = generator.randbytes(MIB)
            self.write(turn * MIB, data)
            self.assertEqual(uvdo("flush", self.image).returncode, 0)
            physical += 300 * MIB
            grow = subprocess.Popen([support.UVDO, "grow", self.image, "--physical",
                                     f"{physical // MIB}M"], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)
            time.sleep(generator.random() * 0.4)
            self.kill()
            grow.wait()
            audit = judge("audit", self.image)
            self.assertEqual(audit.returncode, 0, audit.stdout)
            self.serve()
            now = self.stats()["physicalBlocks"] * 4096
            sizes.add(now)
            self.assertLessEqual(now, physical)
        self.stop_and_judge()

    def test_a_stopped_volume_grows(self):
        # One that was never started, and one that was.
        for turn in (1, 2):
            told = self.succeed("grow", self.image, "--physical", f"{4096 + 256 * turn}M",
                                "--logical", f"{128 + turn}M")
            self.assertIn(f"{128 + turn} MiB", told)
            self.LOGICAL = (128 + turn) * MIB
            self.serve()
            self.assertEqual(self.size(), self.LOGICAL)
            self.write(turn * 8 * MIB, random.Random(turn).randbytes(MIB))
            self.stop_and_judge()
        os.truncate(self.image, 5 * GIB)
        self.succeed("grow", self.image, "--physical", "max")
        self.judge_volume()
        self.serve()
        self.assertEqual(self.stats()["physicalBlocks"], 5 * GIB // 4096)
        self.stop_and_judge()

    def test_where_there_is_nothing_to_do_nothing_is_done(self):
        def all_requests():
            for sizes in (("--physical", "4G"), ("--physical", "max"), ("--logical", "128M"),
                          ("--logical", str(128 * MIB), "--physical", "max"),
                          ("--logical", "131072 KiB", "--physical", "4294967296 bytes")):
                told = self.succeed("grow", self.image, *sizes)
                self.assertRegex(told, "^nothing to do: .* a logical size of 128 MiB and a physical "
                                       "size of 4 GiB")
                told = json.loads(self.succeed("grow", "--json", self.image, *sizes))
                self.assertEqual(told, {"volume": str(self.image), "logicalBytes": 128 * MIB,
                                        "physicalBytes": 4 * GIB, "changed": False, "smallerDevices": []})
            # Less than a slab more is no more.
            os.truncate(self.image, 4 * GIB + 8 * MIB)
            self.assertIn("nothing to do", self.succeed("grow", self.image, "--physical", "max"))
            os.truncate(self.image, 4 * GIB)
        before = support.fingerprint(self.image)
        all_requests()
        self.assertEqual(support.fingerprint(self.image), before)
        self.serve()
        all_requests()
        self.stop()

    def test_what_is_too_little_names_a_size_that_is_enough(self):
        done = uvdo("grow", self.image, "--physical", "4097M")
        enough = re.search(r"give at least ([\d.]+ [KMGT]iB) \((\d+) bytes\)", done.stderr)
        self.assertTrue(enough, done.stderr)
        told = self.succeed("grow", self.image, "--physical", enough[1])
        self.assertIn(f"a physical size of {enough[1]}", told)
        self.assertEqual(self.stats()["physicalBlocks"] * 4096, int(enough[2]))

    def test_what_cannot_be_is_told_and_changes_nothing(self):
        def all_refusals():
            self.refuse("grow", self.image, "--physical", "3G", told="cannot shrink")
            self.refuse("grow", self.image, "--logical", "64M", told="cannot shrink")
            self.refuse("grow", self.image, "--physical", "4097M", told="too little")
            self.refuse("grow", self.image, "--physical", "300G", told="at most 8192")
            self.refuse("grow", self.image, "--logical", "8P", told="too large")
            self.refuse("grow", self.image, "--logical", "1000000000", told="multiple of 4096")
            # Both at once: neither.
            self.refuse("grow", self.image, "--physical", "5G", "--logical", "64M",
                        told="cannot shrink")
            self.refuse("grow", self.image, "--physical", "4097M", "--logical", "20G",
                        told="too little")
        before = support.fingerprint(self.image)
        all_refusals()
        self.assertEqual(support.fingerprint(self.image), before)
        for arguments in ((), ("--logical", "many"), ("--physical", "10MB")):
            self.assertEqual(uvdo("grow", self.image, *arguments).returncode, 2)
        self.serve()
        all_refusals()
        self.assertEqual(self.image.stat().st_size, 4 * GIB)
        self.write(0, random.Random(5).randbytes(MIB))
        self.kill()
        self.refuse("grow", self.image, "--logical", "1G", told="not shut down")
        self.serve()
        self.stop()
        self.refuse("grow", self.folder / "none", "--logical", "1G", told="No such file")


class Suspension(Changes):
    def test_nothing_is_lost_under_load_and_a_copy_is_clean(self):
        self.serve()
        writers = Writers(self, 3, 24 * MIB)
        for turn in range(3):
            time.sleep(0.3)
            told = self.succeed("suspend", self.image)
            self.assertIn("CLEAN", told)
            before = self.image.stat()
            answered = writers.answered
            copy = self.folder / f"copy{turn}"
            support.sparse_copy(self.image, copy)
            self.refuse("suspend", self.image, told="suspended already")
            self.refuse("grow", self.image, "--logical", "1G", told="resume it first")
            for image in (self.image, copy):
                checked = uvdo("check", image)
                self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
            after = self.image.stat()
            self.assertEqual((before.st_mtime_ns, before.st_blocks),
                             (after.st_mtime_ns, after.st_blocks), "nothing wrote to the file")
            self.assertLessEqual(writers.answered, answered + 3, "writers wait")
            if turn == 1:
                copy.rename(self.image)  # another inode
            self.succeed("resume", self.image)
            self.refuse("resume", self.image, told="not suspended")
        answered = writers.answered
        while writers.answered < answered + 20:
            time.sleep(0.01)
        writers.end()
        self.stop_and_judge_what_clients_read()

    def test_without_a_flush_a_copy_is_recovered_with_all_that_was_answered(self):
        self.serve()
        data = random.Random(2).randbytes(2 * MIB)
        self.write(0, data)
        told = self.succeed("suspend", self.image, "--no-flush")
        self.assertIn("DIRTY", told)
        copy = self.folder / "copy"
        support.sparse_copy(self.image, copy)
        self.succeed("resume", self.image)
        self.stop_and_judge()
        self.image.unlink()
        copy.rename(self.image)
        self.serve()
        self.stop_and_judge()

    def test_only_the_same_volume_in_the_same_state_is_resumed(self):
        self.serve()
        self.write(0, random.Random(3).randbytes(MIB))
        self.succeed("suspend", self.image)
        kept = self.folder / "kept"
        self.image.rename(kept)
        self.refuse("resume", self.image, told="No such file")
        self.succeed("format", self.image, "--size", "4G", "--slab-bits", "13")
        self.refuse("resume", self.image, told="does not hold this volume")
        support.sparse_copy(kept, self.image)
        os.truncate(self.image, 3 * GIB)
        self.refuse("resume", self.image, told="not complete")
        self.image.unlink()
        support.sparse_copy(kept, self.image)
        self.succeed("grow", self.image, "--control", self.folder / "nobody", "--logical", "200M")
        self.refuse("resume", self.image, told="another state")
        kept.rename(self.image)
        self.succeed("resume", self.image)
        self.write(MIB, random.Random(4).randbytes(MIB))
        self.stop_and_judge()

    def test_who_has_the_number_of_a_file_that_is_gone_is_not_mistaken_for_the_server_of_the_next(self):
        """As if the file of another volume had been given the number of a suspended one's file."""
        other = self.folder / "other.img"
        self.succeed("format", other, "--size", self.SIZE, "--slab-bits", self.SLAB_BITS)
        self.serve()
        self.succeed("suspend", self.image)
        taken = control_socket_of(other)
        taken.unlink(missing_ok=True)  # of a killed server whose file had that number
        os.link(control_socket_of(self.image), taken)
        self.addCleanup(taken.unlink, missing_ok=True)
        self.assertIn("is not being served", uvdo("status", other).stdout)
        self.refuse("stop", other, told="not being served")
        with open(self.folder / "other.log", "w") as log:
            serving = subprocess.Popen([support.UVDO, "serve", other, "--nbd",
                                        f"unix:{self.folder / 'other'}"], stdout=log, stderr=log)
        try:
            said = self.folder / "other.log"
            self.wait_until(lambda: "of memory" in said.read_text() or serving.poll() is not None,
                            "the other server starts")
            self.assertIsNone(serving.poll(), said.read_text())
            for image in (other, self.image):
                info = json.loads(self.succeed("info", "--json", image))
                self.assertEqual(info["volume"], str(image))
            self.succeed("stop", other)
            self.assertEqual(serving.wait(60), 0)
        finally:
            serving.kill()
            serving.wait()
        self.succeed("resume", self.image)
        self.stop_and_judge()

    def test_a_suspended_volume_can_be_stopped(self):
        self.serve()
        self.write(0, random.Random(3).randbytes(MIB))
        self.succeed("suspend", self.image, "--no-flush")
        self.stop()
        self.judge_volume()
        self.serve()
        self.write(MIB, random.Random(3).randbytes(MIB))
        waiting = self.connect()
        self.succeed("suspend", self.image)
        before = support.fingerprint(self.image)
        cookie = waiting.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(4096)), 0)
        waiting.poll(100)
        self.stop()
        with self.assertRaises(nbd.Error):
            while not waiting.aio_command_completed(cookie):
                waiting.poll(-1)
        self.assertEqual(support.fingerprint(self.image), before)
        self.judge_volume()

    def test_a_server_that_ends_lets_nobody_wait(self):
        self.serve()
        writers = Writers(self, 2, 24 * MIB)
        suspend = subprocess.Popen([support.UVDO, "suspend", self.image],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.05)
        self.server.terminate()
        self.assertEqual(self.server.wait(60), 0, self.log())
        suspend.wait()
        writers.stop = True
        for thread in writers.threads:
            thread.join(60)
            self.assertFalse(thread.is_alive())
        for checked in (uvdo("check", self.image), judge("audit", self.image)):
            self.assertEqual(checked.returncode, 0, checked.stdout)

    @unittest.skipIf(IS_SANITIZED, "a sanitizer locks nothing")
    def test_memory_is_locked_if_that_is_allowed(self):
        if os.geteuid() != 0:
            self.skipTest("needs to change its limits")
        self.serve("--lock-memory")
        status = pathlib.Path(f"/proc/{self.server.pid}/status").read_text()
        locked = int(re.search(r"VmLck:\s+(\d+) kB", status)[1]) * 1024
        self.assertGreater(locked, 100 * MIB, self.log())
        self.stop_and_judge()


if __name__ == "__main__":
    unittest.main(verbosity=2)
