#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The deduplication index on disk, against a reader that shares no code with it (uds_check.py):
indexes that the kernel made are understood name by name, and those that uvdo leaves are sound."""
import contextlib
import os
import pathlib
import random
import shutil
import sys
import tempfile
import unittest

from support import BLOCK, TESTS, extract, run, uvdo
from served import Served

import uds_check  # noqa: E402

PROBE = os.environ.get("UVDO_INDEX_PROBE", str(TESTS.parent / "build/tests/index/index_probe"))
CHAPTER = 65536  # records of a chapter of the smallest index


def probe(*arguments, **options):
    return run(PROBE, *arguments, **options)


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-e2e."))
        self.addCleanup(shutil.rmtree, self.folder)

    def formatted(self, name, *options):
        image = self.folder / name
        made = uvdo("format", image, "--size", "80G", *options)
        self.assertEqual(made.returncode, 0, made.stderr)
        return image

    def verify(self, image, *options):
        told = run(sys.executable, TESTS / "judge/uds_check.py", "verify", image, *options)
        self.assertEqual(told.returncode, 0, told.stdout + told.stderr)
        self.assertIn("RESULT: OK", told.stdout)
        self.assertNotIn("does not load", told.stdout)
        return told.stdout

    def post(self, image, first, count, *options):
        """Posts numbered names; how many were known, and what the index said when it opened."""
        told = probe("post", image, first, count, *options)
        self.assertEqual(told.returncode, 0, told.stderr)
        return int(told.stdout), told.stderr

    def lookup(self, image, names, *options):
        """name -> data or None, by the program."""
        told = probe("lookup", image, *options, input="".join(n.hex() + "\n" for n in names))
        self.assertEqual(told.returncode, 0, told.stderr)
        answers = {}
        for line in told.stdout.splitlines():
            name, data = line.split()
            answers[bytes.fromhex(name)] = None if data == "-" else bytes.fromhex(data)
        return answers, told.stderr

    def names(self, first, count):
        told = probe("names", first, count).stdout.splitlines()
        return {bytes.fromhex(l.split()[0]): bytes.fromhex(l.split()[1]) for l in told}

    def agree(self, image, names):
        """Program and judge say the same of each name."""
        with judge_of(image) as judge:
            expected = {name: judge.lookup(name) for name in names}
        answers, log = self.lookup(image, names)
        self.assertEqual(log, "")
        for name, told in expected.items():
            self.assertEqual(answers[name], told["md"] if told["found"] else None, name.hex())


@contextlib.contextmanager
def judge_of(image):
    judge = uds_check.Index(image)
    try:
        judge.load()
        yield judge
    finally:
        judge.mem.close()
        judge.f.close()


def records_of(image):
    """All records of an index as the newest chapter has them, by the judge: name -> data."""
    with judge_of(image) as judge:
        return records_by(judge)


def records_by(judge):
    records = {}
    for chapter in range(judge.oldest, judge.newest):
        for page in range(judge.g.record_pages):
            content = judge.page(judge.g.physical(chapter), judge.g.index_pages + page)
            for at in range(0, len(content), 32):
                records[content[at:at + 16]] = content[at + 16:at + 32]
    records.update(judge.open)
    return records


class OfTheKernel(Folder):
    def test_every_record_of_a_kernel_made_index_is_found_with_its_advice(self):
        image = extract("index", self.folder)
        records = records_of(image)
        self.assertGreater(len(records), 200000)
        answers, log = self.lookup(image, records, "--crash")
        self.assertEqual(log, "")  # loaded, not rebuilt
        self.assertEqual(answers, records)

    def test_a_kernel_made_index_that_was_used_and_saved_is_sound_and_agrees(self):
        image = extract("index", self.folder)
        records = records_of(image)
        self.assertEqual(self.post(image, 0, 70000), (0, ""))
        self.verify(image, "--cross", "16")
        self.assertEqual({**records, **self.names(0, 70000)}, records_of(image))
        some = random.Random(1).sample(sorted(records), 1500)
        some += list(self.names(69000, 2000))
        self.agree(image, some)

    def test_after_a_crash_all_but_its_open_chapter_is_rebuilt(self):
        image = extract("index", self.folder)
        records = records_of(image)
        # A chapter is written, and with that the saved open chapter is gone.
        self.post(image, 0, CHAPTER, "--crash")
        answers, log = self.lookup(image, records, "--crash")
        self.assertIn("is rebuilt", log)
        # What was in the open chapter then is in the chapter that was written.
        self.assertEqual(answers, records)


class Ours(Folder):
    # Size, and chapters of that size to fill.
    SIZES = ((("0.25",), 2), (("0.25", "--sparse-index"), 1), (("0.5",), 1))

    def test_what_is_saved_is_sound_and_agrees_with_the_judge_name_by_name(self):
        for size, chapters in self.SIZES:
            with self.subTest(size):
                image = self.formatted("v.img", "--index-memory", *size)
                count = chapters * CHAPTER * int(float(size[0]) * 4) + 9000
                self.assertEqual(self.post(image, 0, count, "--create"), (0, ""))
                self.verify(image, *(() if size == ("0.25",) else ("--cross", "32")))
                names = self.names(0, count)
                self.assertEqual(records_of(image), names)
                some = random.Random(2).sample(sorted(names), 1000)
                self.agree(image, some + list(self.names(count, 500)))
                image.unlink()

    def test_a_million_names_are_known_after_a_stop_and_all_written_ones_after_a_crash(self):
        image = self.formatted("v.img")
        million = 1 << 20
        self.post(image, 0, million + 30000, "--create")
        self.assertEqual(self.post(image, 0, million + 30000), (million + 30000, ""))
        # The open chapter holds 30000 names. After the crash it is lost, and nothing else.
        more = 5 * CHAPTER
        self.post(image, million + 30000, more, "--crash")
        written = (million + 30000 + more) // CHAPTER * CHAPTER
        found, log = self.post(image, 0, written)
        self.assertIn("rebuilt from its last save", log)
        self.assertEqual(found, written)
        self.verify(image, "--cross", "64", "--chapters", "3")
        # The same from the chapters alone: the headers of both saves are wiped.
        with judge_of(image) as judge:
            headers = [(region[0] + judge.shift) * BLOCK for region in judge.r_saves]
        with open(image, "r+b") as file:
            for at in headers:
                os.pwrite(file.fileno(), bytes(BLOCK), at)
        found, log = self.post(image, 0, written, "--crash")
        self.assertIn("rebuilt from chapters 0 to", log)
        self.assertGreaterEqual(found, written // CHAPTER * CHAPTER - CHAPTER)


class IndexServed(Served):
    def serve(self, *options, **process):
        super().serve(*options, **process)
        self.wait_for_index()


class Trouble(IndexServed):
    """A missing, foreign or damaged index never stops a volume."""
    SIZE = "3500M"

    def setUp(self):
        super().setUp()
        self.random = random.Random(9).randbytes(1 << 20)
        self.serve()
        self.write(0, self.random)
        self.stop()
        with judge_of(self.image) as judge:
            self.offset = judge.offset
            self.save = (judge.r_saves[0][0] + judge.shift) * BLOCK

    def log(self):
        return (self.folder / "serve.log").read_text()

    def deduplicates(self):
        """Writes data and its copy; the copy must find the data."""
        data = random.Random(10).randbytes(1 << 20)
        self.write(64 << 20, data)
        self.write(96 << 20, data)
        told = self.stats()
        self.assertEqual(told["hashLock"]["dedupeAdviceValid"], 256)
        self.assertEqual(told["uvdo"]["indexState"], "online")

    def damaged(self, offset, content, expected):
        with open(self.image, "r+b") as file:
            os.pwrite(file.fileno(), content, offset)
        self.serve()
        self.write(32 << 20, self.random)
        self.assertRegex(self.log(), expected)
        self.deduplicates()
        self.stop_and_judge()
        told = run(sys.executable, TESTS / "judge/uds_check.py", "verify", self.image)
        self.assertEqual(told.returncode, 0, told.stdout)
        self.serve()
        self.assertNotIn("deduplication index", self.log())
        self.stop()

    def test_a_missing_index_is_made_anew(self):
        self.damaged(self.offset, bytes(BLOCK), "a new deduplication index is made")

    def test_a_foreign_index_is_replaced(self):
        config = self.offset + BLOCK
        self.damaged(config + 42, b"foreign!", "a new deduplication index is made: .*another volume")

    def test_a_damaged_super_block_makes_a_new_index(self):
        self.damaged(self.offset + 30, b"\xff" * 300, "a new deduplication index is made")

    def test_a_damaged_save_is_rebuilt(self):
        self.damaged(self.save, b"\xff" * BLOCK, "was not saved, .* it is empty")


class InThisThreadOrInAnother(IndexServed):
    SIZE = "3500M"

    @staticmethod
    def use_one_processor():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    def test_it_finds_is_switched_saved_and_found_again(self):
        """Begun where there are processors for a second thread (or not), ended where there is one."""
        data = random.Random(11).randbytes(2 << 20)
        self.serve()
        self.write(0, data)
        self.write(32 << 20, data)
        self.assertEqual(self.stats()["hashLock"]["dedupeAdviceValid"], 512)
        # Off: nothing is asked and nothing is noted.
        self.assertEqual(uvdo("set", self.image, "deduplication=off").returncode, 0)
        self.assertEqual(self.stats()["uvdo"]["indexState"], "offline")
        self.write(48 << 20, data[:1 << 20])
        self.assertEqual(self.stats()["hashLock"]["dedupeAdviceValid"], 512)
        self.assertEqual(uvdo("set", self.image, "deduplication=on").returncode, 0)
        self.write(64 << 20, data)
        told = self.stats()
        self.assertEqual(told["hashLock"]["dedupeAdviceValid"], 1024)
        self.assertEqual(told["uvdo"]["indexState"], "online")
        self.assertEqual(told["index"]["entriesIndexed"], 512)
        self.assertEqual((told["index"]["postsFound"], told["index"]["postsNotFound"]), (1024, 512))
        self.stop_and_judge()
        for process in ({"preexec_fn": self.use_one_processor}, {}):
            self.serve(**process)
            self.write(96 << 20, data)
            self.assertEqual(self.stats()["hashLock"]["dedupeAdviceValid"], 512)
            self.assertNotIn("deduplication index", self.log())
            self.stop_and_judge()
        told = run(sys.executable, TESTS / "judge/uds_check.py", "verify", self.image)
        self.assertEqual(told.returncode, 0, told.stdout)


class OfTheKernelServed(IndexServed):
    def test_data_that_the_kernel_wrote_deduplicates(self):
        self.image.unlink()
        self.image = extract("index", self.folder)
        self.serve()
        some = self.folder / "some"
        done = run("nbdcopy", self.uri, some)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(some, "rb") as file:
            file.seek(40 << 20)
            data = file.read(8 << 20)
        self.write(820 << 20, data)
        told = self.stats()["hashLock"]
        self.assertEqual((told["dedupeAdviceValid"], told["dedupeAdviceStale"]), (2048, 0))
        self.assertNotIn("deduplication index", (self.folder / "serve.log").read_text())
        self.stop_and_judge_what_clients_read()


if __name__ == "__main__":
    unittest.main()
