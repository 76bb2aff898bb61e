#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The deduplication index is handed over: what one side has recorded, the other finds."""
import exchange
from content import BLOCK, UNIQUE
from exchange import GIB, MIB


class Index(exchange.Exchange):
    """What the tests have in common."""
    FEWEST = 0.95      # of the duplicates, this part has to be found

    def write_new(self, side, first, count):
        """Different blocks, in `count` blocks from `first` on."""
        for at in range(first, first + count, 16384):
            part = min(16384, first + count - at)
            self.apply(side, [("write", at + i, [self.fresh(UNIQUE) for _ in range(min(64, part - i))])
                              for i in range(0, part, 64)])

    def write_again(self, side, first, count, to):
        """The data of some blocks once more; the index has to find nearly all of them."""
        self.flush(side)
        before = side.stats()
        self.apply(side, [("write", to + i, [self.contents.value(first + i + j) for j in range(64)])
                          for i in range(0, count, 64)])
        self.flush(side)
        after = side.stats()
        valid = after["hashLock"]["dedupeAdviceValid"] - before["hashLock"]["dedupeAdviceValid"]
        self.assertGreaterEqual(valid, self.FEWEST * count, f"{side.name} finds advice")
        self.assertLessEqual(after["dataBlocksUsed"] - before["dataBlocksUsed"],
                             (1 - self.FEWEST) * count, side.name)

    def hand_over(self):
        """Each side records new blocks after it has found those that the other recorded before."""
        order, recorded = [self.uvdo, self.kernel] * 3, None
        for turn, side in enumerate(order):
            self.open(side)
            self.compare_statistics(side)
            base = turn * 4096
            if recorded is not None:
                self.write_again(side, recorded, 1024, base + 2048)
            self.write_new(side, base, 1024)
            recorded = base
            self.compare(side)
            self.close(side)


class Dense(Index):
    def test_dense(self):
        self.format_by_uvdo()
        self.hand_over()

    def test_dense_by_vdoformat(self):
        self.format_by_vdoformat()
        self.hand_over()


class Sparse(Index):
    SIZE = 29 * GIB

    def test_sparse(self):
        self.format_by_uvdo("--uds-sparse")
        self.hand_over()

    def test_sparse_by_vdoformat(self):
        self.format_by_vdoformat("--uds-sparse")
        self.hand_over()


class Chapters(Index):
    """More blocks than a chapter has room for (65536), so that chapters are closed by both."""
    LOGICAL = 768 * MIB
    FORMAT = ["--slab-bits", "15"]
    SIZE = 4 * GIB
    CHAPTER = 65536

    def test_closed_by_both(self):
        self.format_by_uvdo()
        new, again = 0, self.LOGICAL // BLOCK - 4096
        self.windows = [(again, 4096), (0, 4096), (self.CHAPTER, 4096)]
        for turn, side in enumerate([self.uvdo, self.kernel, self.uvdo, self.kernel]):
            self.open(side)
            self.compare_statistics(side)
            if turn:
                self.write_again(side, new - self.CHAPTER - 1024, 1024, again + 1024 * (turn - 1))
            if turn < 2:
                self.write_new(side, new, self.CHAPTER + 1024)
                new += self.CHAPTER + 1024
            self.compare(side)
            self.close(side)


if __name__ == "__main__":
    exchange.main()
