#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes that one side makes larger while they are in use, and the other goes on with."""
import time

import exchange
import sides
from content import BLOCK
from exchange import GIB, MIB


class Grow(exchange.Exchange):
    FIRST, STEP = 64 * MIB, 32 * MIB     # logical
    FIRST_PHYSICAL, STEP_PHYSICAL = 3 * GIB, 160 * MIB   # the journal's new place, and a slab or two

    def setUp(self):
        self.LOGICAL, self.SIZE = self.FIRST, self.FIRST_PHYSICAL
        super().setUp()
        self.format_by_uvdo()

    def grow(self, side):
        """Both sizes, in use."""
        old = self.LOGICAL
        self.LOGICAL, self.SIZE = self.LOGICAL + self.STEP, self.SIZE + self.STEP_PHYSICAL
        side.grow(self.LOGICAL // BLOCK, self.SIZE // BLOCK)
        self.kernel.resize(self.SIZE)
        stats = side.stats()
        self.assertEqual((stats["logicalBlocks"], stats["physicalBlocks"]),
                         (self.LOGICAL // BLOCK, self.SIZE // BLOCK))
        self.compare(side)
        self.apply(side, self.writes(6, within=(old // BLOCK, None)))

    def begin(self, side):
        self.open(side)
        self.compare_statistics(side)
        self.compare(side)
        self.apply(side, self.writes(20))

    def test_grown_and_handed_over(self):
        for _ in range(3):
            for side in (self.uvdo, self.kernel):
                self.begin(side)
                self.grow(side)
                self.apply(side, self.mixture(30))
                self.flush(side)
                self.compare(side)
                self.close(side)
        self.assertEqual(self.sizes(), (self.LOGICAL // BLOCK, self.SIZE // BLOCK))

    def test_killed_after_growth(self):
        self.kernel.expected = sides.AFTER_CRASH
        for _ in range(3):
            for side, other in ((self.uvdo, self.kernel), (self.kernel, self.uvdo)):
                self.begin(side)
                self.grow(side)
                self.flush(side)
                self.crash(side, self.mixture(40))
                self.compare_export()
                self.begin(other)
                self.flush(other)
                self.compare(other)
                self.close(other)

    def test_killed_in_the_middle_of_growth(self):
        """All was flushed before; afterwards the volume has its old sizes or the new ones."""
        self.kernel.expected = sides.AFTER_CRASH
        seen = set()
        tries = 8
        for number in range(tries):
            self.open(self.uvdo)
            self.apply(self.uvdo, self.writes(10))
            self.flush(self.uvdo)
            old = self.sizes()
            new = (old[0] + self.STEP // BLOCK, old[1] + self.STEP_PHYSICAL // BLOCK)
            growth = self.uvdo.begin_growth(*new)
            if number < tries - 1:
                time.sleep(0.02 * number)
            else:
                growth.wait()   # on a slow machine none before may have come so far
            self.uvdo.kill()
            growth.wait()
            self.assertIn(self.sizes(), (old, new))
            seen.add(self.sizes() == new)
            self.LOGICAL, self.SIZE = (blocks * BLOCK for blocks in self.sizes())
            self.kernel.resize(max(self.image.stat().st_size, self.SIZE))
            self.open(self.kernel)
            self.compare(self.kernel)
            self.apply(self.kernel, self.writes(10))
            self.close(self.kernel)
        self.assertEqual(seen, {False, True}, "a growth that was broken off, and one that was not")


if __name__ == "__main__":
    exchange.main()
