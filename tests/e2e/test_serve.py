#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A served volume, driven by public tools. After each test the stopped volume must satisfy
`uvdo check`, vdoaudit and an independent checker, and hold what the test expects."""
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import support
from support import BLOCK, UVDO, judge, run, uvdo

MIB = 1 << 20


class Served(unittest.TestCase):
    SIZE, LOGICAL, SLAB_BITS = "4G", 256 * MIB, 13

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-e2e."))
        self.addCleanup(shutil.rmtree, self.folder)
        self.image, self.server = self.folder / "v.img", None
        self.socket = self.folder / "nbd"
        self.uri = f"nbd+unix:///?socket={self.socket}"
        made = uvdo("format", self.image, "--size", self.SIZE, "--slab-bits", self.SLAB_BITS,
                    "--logical-size", f"{self.LOGICAL // MIB}M")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.content = bytearray(self.LOGICAL)

    def tearDown(self):
        if self.server and self.server.poll() is None:
            self.server.kill()
            self.server.wait()

    def serve(self, *options):
        with open(self.folder / "serve.log", "w") as log:
            self.server = subprocess.Popen(
                [UVDO, "serve", self.image, "--nbd", f"unix:{self.socket}", *options],
                stdout=log, stderr=subprocess.STDOUT)
        for _ in range(600):
            if "of memory" in (self.folder / "serve.log").read_text():
                return
            if self.server.poll() is not None:
                break
            time.sleep(0.05)
        self.fail((self.folder / "serve.log").read_text())

    def stop(self):
        stopped = uvdo("stop", self.image)
        self.assertEqual(stopped.returncode, 0, stopped.stderr)
        self.assertEqual(self.server.wait(120), 0, (self.folder / "serve.log").read_text())

    def judge_volume(self, content=True):
        """All referees on the stopped volume."""
        for name, result in (("check", uvdo("check", self.image)),
                             ("check_image.py", judge("audit", self.image))):
            self.assertEqual(result.returncode, 0, f"{name}: {result.stdout}{result.stderr}")
        vdoaudit = support.vdo_program("vdoaudit")
        if vdoaudit:
            audit = run(vdoaudit, "--summary", self.image)
            self.assertEqual(audit.returncode, 0, audit.stdout + audit.stderr)
        if content:
            expected = hashlib.sha256(self.content).hexdigest()
            told = judge("sha256", self.image).stdout.split()
            self.assertIn(expected, told)

    def stop_and_judge(self, content=True):
        self.stop()
        self.judge_volume(content)

    def qemu_io(self, *commands, expect=0):
        arguments = []
        for command in commands:
            arguments += ["-c", command]
        done = run("qemu-io", "-f", "raw", "-t", "none", *arguments, self.uri)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        self.assertNotIn("failed", done.stdout if expect == 0 else "")
        return done.stdout

    def write(self, offset, data):
        """Writes through NBD, and notes what must be read."""
        source = self.folder / "data"
        source.write_bytes(data)
        self.qemu_io(f"write -s {source} {offset} {len(data)}")
        self.content[offset:offset + len(data)] = data

    def copy_in(self):
        source = self.folder / "in.img"
        source.write_bytes(self.content)
        done = run("nbdcopy", "--flush", source, self.uri)
        self.assertEqual(done.returncode, 0, done.stderr)

    def stats(self):
        told = uvdo("stats", "--json", self.image)
        self.assertEqual(told.returncode, 0, told.stderr)
        return next(iter(json.loads(told.stdout).values()))


class Clients(Served):
    def test_nbdinfo_tells_what_the_server_offers(self):
        self.serve()
        told = json.loads(run("nbdinfo", "--json", self.uri).stdout)["exports"][0]
        self.assertEqual(told["export-size"], self.LOGICAL)
        for ability in ("can_flush", "can_fua", "can_trim", "can_zero", "can_multi_conn",
                        "can_fast_zero", "can_cache", "can_df"):
            self.assertTrue(told[ability], ability)
        self.assertIn("base:allocation", told["contexts"])
        self.stop_and_judge()

    def test_nbdcopy_brings_back_what_it_took_there_also_after_a_restart(self):
        generator = random.Random(4)
        for i in range(0, 32 * MIB, MIB):
            self.content[i:i + MIB] = generator.randbytes(MIB)
        self.content[100 * MIB:132 * MIB] = self.content[0:32 * MIB]
        self.serve()
        self.copy_in()
        self.stop_and_judge()
        self.serve()
        out = self.folder / "out.img"
        self.assertEqual(run("nbdcopy", self.uri, out).returncode, 0)
        self.assertEqual(out.read_bytes(), self.content)
        self.stop_and_judge()

    def test_qemu_img_converts_compares_and_sees_the_holes(self):
        generator = random.Random(5)
        self.content[8 * MIB:12 * MIB] = generator.randbytes(4 * MIB)
        source = self.folder / "in.img"
        source.write_bytes(self.content)
        self.serve()
        for command in (("convert", "-n", "-f", "raw", "-O", "raw", source, self.uri),
                        ("compare", "-f", "raw", "-F", "raw", source, self.uri)):
            done = run("qemu-img", *command)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        extents = json.loads(run("qemu-img", "map", "-f", "raw", "--output=json", self.uri).stdout)
        data = [(e["start"], e["length"]) for e in extents if e["data"]]
        self.assertEqual(data, [(8 * MIB, 4 * MIB)])
        self.stop_and_judge()

    def test_unaligned_fua_discard_and_zero_requests_do_what_they_say(self):
        self.serve()
        base = random.Random(6).randbytes(256 * 1024)
        self.write(0, base)
        self.qemu_io("write -P 0xa5 1000 3000", "write -f -P 0x5a 5000 70000",
                     "discard 90112 8192", "write -z 100001 4321", "write -z -u 110592 4096",
                     "flush")
        for at, length, value in ((1000, 3000, 0xA5), (5000, 70000, 0x5A), (90112, 8192, 0),
                                  (100001, 4321, 0), (110592, 4096, 0)):
            self.content[at:at + length] = bytes([value]) * length
        self.qemu_io("read -P 0xa5 1000 3000", "read -P 0x5a 5000 70000", "read -P 0 90112 8192")
        self.stop_and_judge()

    def test_fio_verifies_mixed_sizes_from_many_jobs(self):
        self.serve("--compression", "on")
        done = run("fio", "--name=verify", "--ioengine=nbd", f"--uri={self.uri}", "--rw=randwrite",
                   "--bsrange=512-1M", "--numjobs=16", "--iodepth=8", "--size=16M",
                   "--offset_increment=16M", "--verify=crc32c", "--do_verify=1",
                   "--dedupe_percentage=40", "--buffer_compress_percentage=50",
                   "--verify_fatal=1", "--randseed=7", timeout=280, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr[-2000:])
        self.stop_and_judge(content=False)

    def test_memory_stays_within_what_was_announced(self):
        self.serve()
        announced = re.search(r"up to ([\d.]+) (MiB|GiB) of memory",
                              (self.folder / "serve.log").read_text())
        budget = float(announced[1]) * (MIB if announced[2] == "MiB" else 1024 * MIB)
        done = run("fio", "--name=load", "--ioengine=nbd", f"--uri={self.uri}", "--rw=randwrite",
                   "--bs=128k", "--numjobs=16", "--iodepth=64", "--size=16M",
                   "--offset_increment=16M", "--refill_buffers", "--randseed=8", timeout=280, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        status = pathlib.Path(f"/proc/{self.server.pid}/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
        if "asan" not in str(UVDO):  # a sanitizer takes memory of its own
            self.assertLess(peak, budget)
        self.stop_and_judge(content=False)


class Savings(Served):
    def data_blocks(self):
        return self.stats()["dataBlocksUsed"]

    def test_copies_of_a_file_take_the_room_of_one(self):
        part = random.Random(1).randbytes(16 * MIB)
        for copy in range(10):
            self.content[copy * len(part):(copy + 1) * len(part)] = part
        self.serve("--compression", "off")
        self.copy_in()
        self.assertEqual(self.data_blocks(), len(part) // BLOCK)
        self.stop_and_judge()
        self.assertEqual(self.data_blocks(), len(part) // BLOCK)

    def test_zeros_and_discarded_ranges_take_nothing(self):
        self.serve()
        self.write(MIB, bytes(4 * MIB))
        self.qemu_io("flush")
        self.assertEqual(self.data_blocks(), 0)
        self.write(MIB, random.Random(2).randbytes(2 * MIB))
        self.qemu_io("flush", f"discard {MIB} {2 * MIB}", "flush")
        self.content[MIB:3 * MIB] = bytes(2 * MIB)
        self.assertEqual(self.data_blocks(), 0)
        self.stop_and_judge()

    def test_three_hundred_copies_of_a_block_need_two(self):
        block = random.Random(3).randbytes(BLOCK)
        self.content[:300 * BLOCK] = block * 300
        self.serve("--compression", "off")
        self.copy_in()
        self.assertEqual(self.data_blocks(), 2)
        self.stop_and_judge()

    def test_compressible_text_is_packed_nearly_as_well_as_can_be(self):
        generator = random.Random(9)
        words = [generator.randbytes(3).hex() for _ in range(40)]
        text = " ".join(generator.choice(words) for _ in range(1_300_000)).encode()
        text = text[:8 * MIB]
        self.content[:len(text)] = text
        self.serve("--compression", "on")
        self.copy_in()
        self.qemu_io("flush")
        stats = self.stats()
        packer = stats["packer"]
        self.assertGreater(packer["compressedFragmentsWritten"], 0.9 * len(text) / BLOCK)
        self.stop_and_judge()
        # The best possible: as many fragments of the mean size as fit into 4060 bytes.
        sizes = self.fragment_sizes()
        best = sum(sizes) / 4060
        whole = 4060 // max(sizes)
        self.assertLessEqual(packer["compressedBlocksWritten"],
                             1.05 * max(best, len(sizes) / max(whole, 1)))

    def fragment_sizes(self):
        """Sizes of all fragments of compressed blocks, found by their version and table."""
        sizes = []
        with open(self.image, "rb") as file:
            for start, stop in list(support.data_extents(file.fileno())):
                for at in range(start, stop, BLOCK):
                    head = os.pread(file.fileno(), 36, at)
                    if head[:8] != b"\x01\0\0\0\0\0\0\0":
                        continue
                    table = [int.from_bytes(head[8 + 2 * i:10 + 2 * i], "little")
                             for i in range(14)]
                    if 1000 < sum(table) <= 4060:
                        sizes += [size for size in table if size]
        return sizes


class Full(Served):
    SIZE, LOGICAL = "2910M", 256 * MIB

    def test_a_full_volume_keeps_its_promises_and_gives_room_back(self):
        self.serve("--compression", "off")
        generator = random.Random(10)
        kept = 0
        source = self.folder / "data"
        full = False
        while kept < self.LOGICAL and not full:
            data = generator.randbytes(4 * MIB)
            source.write_bytes(data)
            done = run("qemu-io", "-f", "raw", "-t", "none", "-c",
                       f"write -s {source} {kept} {len(data)}", "-c", "flush", self.uri)
            full = "No space left" in done.stdout + done.stderr
            if not full:
                self.content[kept:kept + len(data)] = data
                kept += len(data)
        self.assertTrue(full, "the volume was meant to fill up")
        self.assertGreater(kept, 8 * MIB)
        # What was acknowledged and flushed is there; duplicates and discards still work.
        self.write(0, bytes(self.content[MIB:2 * MIB]))
        self.qemu_io(f"discard {4 * MIB} {4 * MIB}", "flush")
        self.content[4 * MIB:8 * MIB] = bytes(4 * MIB)
        self.write(4 * MIB, generator.randbytes(3 * MIB))
        self.qemu_io("flush")
        out = self.folder / "out.img"
        self.assertEqual(run("nbdcopy", self.uri, out).returncode, 0)
        self.assertEqual(out.read_bytes()[:kept], self.content[:kept])
        self.stop_and_judge(content=False)


class Life(Served):
    def test_signals_stop_it_cleanly(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self.serve()
            self.write(0, random.Random(number).randbytes(100_000))
            self.server.send_signal(number)
            self.assertEqual(self.server.wait(60), 0)
            self.assertFalse(self.socket.exists())
            self.judge_volume()

    def test_a_killed_server_loses_nothing_that_was_flushed(self):
        generator = random.Random(12)
        for _ in range(3):
            self.serve()
            for _ in range(5):
                self.write(generator.randrange(0, 100 * MIB), generator.randbytes(300_000))
            self.qemu_io("flush")
            self.server.kill()
            self.server.wait()
        self.serve()
        self.stop_and_judge()

    def test_one_volume_has_one_server(self):
        self.serve()
        second = uvdo("serve", self.image, "--nbd", f"unix:{self.folder}/other")
        self.assertEqual(second.returncode, 1)
        self.assertIn("in use", second.stderr)
        for command in ("check", "format"):
            self.assertIn("in use", uvdo(command, self.image, *(["--force"] if command == "format"
                                                                else [])).stderr)
        self.stop_and_judge()

    def test_a_read_only_export_refuses_writes(self):
        self.serve("--read-only")
        told = json.loads(run("nbdinfo", "--json", self.uri).stdout)["exports"][0]
        self.assertTrue(told["is_read_only"])
        self.stop_and_judge()

    def test_wrong_arguments_get_a_sentence_and_change_nothing(self):
        before = support.sha256(self.image)
        for arguments, words in ((("--nbd", "nonsense"), "nonsense"),
                                 ((), "--nbd"),
                                 (("--nbd", "unix:x", "--cache", "1K"), "--cache"),
                                 (("--nbd", "unix:x", "--buffers", "lots"), "--buffers"),
                                 (("--nbd", "unix:x", "--compression", "maybe"), "on or off"),
                                 (("--nbd", "unix:x", "--tls-required"), "--tls-cert")):
            done = uvdo("serve", self.image, *arguments, timeout=60)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(words, done.stderr)
            self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertEqual(uvdo("info", self.image).returncode, 0)
        self.assertIsNotNone(before)

    def test_switches_change_while_it_runs(self):
        self.serve("--compression", "off")
        done = uvdo("set", self.image, "compression=on", "deduplication=off")
        self.assertEqual(done.stdout, "compression: on\ndeduplication: off\n")
        self.assertEqual(uvdo("set", self.image, "color=red").returncode, 2)
        self.write(0, b"abcd" * 25_000)
        self.qemu_io("flush")
        self.assertGreater(self.stats()["packer"]["compressedFragmentsWritten"], 0)
        self.stop_and_judge()


if __name__ == "__main__":
    unittest.main(verbosity=2)
