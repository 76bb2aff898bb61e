#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The deduplication index: what one side has indexed and saved, the other loads as it is (no rebuild, no
new index), and finds the data by it."""
import os

import exchange
from content import UNIQUE
import sides

PROBE = os.environ.get("UVDO_INDEX_PROBE", str(sides.support.TESTS.parent / "build/tests/index/index_probe"))
CHAPTER = 65536  # records of a chapter of the smallest index


class Index(exchange.Exchange):
    def setUp(self):
        super().setUp()
        self.kernel.expected = ["hrtimer: interrupt took"]  # the host was busy

    def everything_again(self):
        """Writes of all values that the volume holds, to places that hold none of them; half of the
        volume is for originals, the other for copies."""
        half = self.LOGICAL // exchange.BLOCK // 2
        values = sorted({held[-1] for block, held in self.contents.values.items() if block < half})
        return [("write", half + at, values[at:at + 64]) for at in range(0, len(values), 64)], len(values)

    def finds_all(self, side):
        """Also leaves something new for the other to find."""
        self.open(side)
        self.compare(side)
        copies, count = self.everything_again()
        self.assertGreater(count, 200)
        before = side.stats()["hashLock"]
        self.apply(side, copies)
        self.flush(side)
        told = side.stats()
        found = {name: told["hashLock"][name] - before[name] for name in ("dedupeAdviceValid", "dedupeAdviceStale")}
        self.assertEqual(found, {"dedupeAdviceValid": count, "dedupeAdviceStale": 0})
        self.assertEqual(told["dedupeAdviceTimeouts"], 0)
        self.apply(side, self.writes(10, (UNIQUE,), (0, self.LOGICAL // exchange.BLOCK // 2)))
        self.flush(side)
        if side is self.kernel:
            self.assertIn(" online ", side.guest("dmsetup status v"))
            self.kernel_loaded(side.guest("dmesg"))
        else:
            self.assertNotIn("deduplication index", side.log())
        self.close(side)

    def kernel_loaded(self, log):
        """The last thing that the kernel has said about an index."""
        lines = [line for line in log.splitlines() if "dedupeQ" in line]
        self.assertRegex(lines[-1], "loaded index from chapter 0 through chapter")

    def close_a_chapter(self, first):
        """Has a chapter closed and written, by names of no block."""
        done = sides.support.run(PROBE, "post", self.image, first, CHAPTER)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def pass_to_and_fro(self, *options):
        self.format_by_uvdo(*options)
        self.open(self.uvdo)
        self.apply(self.uvdo, self.writes(10, (UNIQUE,), (0, self.LOGICAL // exchange.BLOCK // 2)))
        self.close(self.uvdo)
        for turn in range(2):
            self.close_a_chapter(turn * CHAPTER)
            self.finds_all(self.kernel)
            self.finds_all(self.uvdo)

    def test_dense(self):
        self.pass_to_and_fro()

    def test_dense_half_a_gigabyte(self):
        self.image = self.kernel.use(6 << 30)
        self.pass_to_and_fro("--index-memory", "0.5")

    def test_sparse(self):
        self.image = self.kernel.use(24 << 30)
        self.pass_to_and_fro("--sparse-index")


if __name__ == "__main__":
    exchange.main()
