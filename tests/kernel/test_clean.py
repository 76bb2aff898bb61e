#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes that are stopped cleanly before the other side opens them."""
import exchange
from content import BLOCK, COMPRESSIBLE, TINY, UNIQUE
from exchange import GIB, MIB

ONE_ZONE = "hash 1 logical 1 physical 1"
MORE_ZONES = "hash 2 logical 3 physical 2"
MORE_ZONES_CACHE = 3 * 4096      # the least for three logical zones


class Clean(exchange.Exchange):
    def more_zones(self):
        self.kernel.options, self.kernel.cache = MORE_ZONES, MORE_ZONES_CACHE

    def test_made_by_uvdo(self):
        self.format_by_uvdo()
        self.kernel.options = ONE_ZONE + " compression on"
        self.to_and_fro(lambda: self.writes(60), lambda: self.mixture(60))

    def test_made_by_vdoformat(self):
        self.format_by_vdoformat()
        self.more_zones()
        self.to_and_fro(lambda: self.writes(40), lambda: self.mixture(40), first=self.kernel)

    def test_zones_change(self):
        self.format_by_uvdo()
        for number in range(3):
            for side in (self.uvdo, self.kernel):
                if number % 2:
                    self.kernel.options, self.kernel.cache = ONE_ZONE, 4096
                else:
                    self.more_zones()
                self.turn(side, lambda: self.mixture(60))

    def test_fragments_are_overwritten(self):
        """Compressed blocks lose their fragments one by one, to new data and to duplicates of others."""
        self.format_by_uvdo()
        self.kernel.options = "compression on"
        end = 4 * MIB // BLOCK

        def holes():
            blocks = self.random.sample(range(end), 250)
            known = [value for block in range(end) if (value := self.contents.value(block))]
            return [("write", block, [self.random.choice(
                (self.fresh(UNIQUE), self.fresh(TINY), self.random.choice(known)))])
                for block in blocks]
        for _ in range(3):
            for side in (self.uvdo, self.kernel):
                stats = self.turn(
                    side, lambda: self.writes(12, (COMPRESSIBLE, TINY), (0, end)), holes)
                self.assertGreater(stats["packer"]["compressedBlocksWritten"], 20, side.name)

    def test_discards(self):
        """Large and small discards, and the whole device."""
        self.format_by_uvdo()
        self.kernel.options = "maxDiscard 4096"
        blocks = self.LOGICAL // BLOCK

        def discards():
            places = [("discard", first, self.random.randint(1, 900))
                      for first in self.random.sample(range(0, blocks - 1024, 1024), 12)]
            return [*places, ("discard", 3, 1)]
        for number in range(3):
            for side in (self.uvdo, self.kernel):
                self.turn(side, lambda: self.writes(60), discards)
            other = (self.uvdo, self.kernel)[number % 2]
            stats = self.turn(other, [("discard", 0, blocks)])
            self.assertEqual((stats["dataBlocksUsed"], stats["logicalBlocksUsed"]), (0, 0))


class Full(exchange.Exchange):
    SIZE = 728405 * BLOCK            # two slabs, less than the logical size

    def fill(self, side):
        """Writes until nothing finds a place; what is written is then what is read."""
        failed = 0
        for place in self.regions(self.LOGICAL // BLOCK // exchange.REGION):
            operation = ("write", place, [self.fresh(UNIQUE) for _ in range(exchange.REGION)])
            self.note([operation])
            failed += side.try_write(operation)
        self.assertGreater(failed, 10, "the volume is not full")
        self.compare(side)

    def find_no_room(self, side):
        """Writes to places that hold nothing, so that no block gets free meanwhile."""
        blocks = range(0, self.LOGICAL // BLOCK, exchange.REGION)
        empty = [place for place in blocks if not any(
            self.contents.value(place + block) for block in range(exchange.REGION))]
        lost = [("write", place, [self.fresh(UNIQUE) for _ in range(exchange.REGION)])
                for place in empty[:4]]
        self.note(lost)
        self.assertGreater(sum(map(side.try_write, lost)), 0, f"{side.name} finds room")
        self.compare(side)

    def test_full_volume(self):
        self.format_by_uvdo()
        self.kernel.expected = ["Out of space", "No space left on device", "critical space allocation error",
                                "I/O error, dev dm-",
                                "callbacks suppressed"]
        for _ in range(3):
            for side in (self.uvdo, self.kernel):
                self.open(side)
                self.compare_statistics(side)
                self.compare(side)
                self.fill(side)
                self.flush(side)
                self.compare(side)
                self.close(side)
                other = self.kernel if side is self.uvdo else self.uvdo
                self.open(other)
                self.compare_statistics(other)
                self.compare(other)
                self.find_no_room(other)
                self.apply(other, [("discard", place, 64) for place in self.regions(120)])
                self.flush(other)
                self.apply(other, self.writes(20))
                self.flush(other)
                self.compare(other)
                self.close(other)


class Spread(exchange.Exchange):
    LOGICAL = 4 * 1024 * GIB
    ROOTS, ENTRIES = 60, 812         # trees of the block map, entries of a page

    def test_trees_grow_on_both_sides(self):
        """Pages that one side has allocated get children from the other, on all levels."""
        self.format_by_uvdo()
        blocks = self.LOGICAL // BLOCK
        bases = [self.random.randrange(0, blocks // 2) for _ in range(8)]
        leaf, interior = self.ENTRIES * self.ROOTS, self.ENTRIES * self.ROOTS * self.ENTRIES
        self.windows, turn = [], 0
        for _ in range(3):
            for side in (self.uvdo, self.kernel):
                places = [base + turn * step for base in bases for step in (1000, leaf, interior)
                          if base + turn * step < blocks - 100]
                places = [place for place in places
                          if all(abs(place - first) > 100 for first, _ in self.windows)]
                self.windows += [(place, 80) for place in dict.fromkeys(places)]
                self.turn(side, [("write", place + 10, [self.fresh(UNIQUE), self.fresh(TINY)] * 20)
                                 for place in dict.fromkeys(places)])
                turn += 1


class SlabSizes(exchange.Exchange):
    LOGICAL = 32 * MIB

    def exchange(self, bits, slabs):
        self.image = self.kernel.use((720213 - 8192 + slabs * (1 << bits)) * BLOCK)
        self.FORMAT = ["--slab-bits", str(bits)]
        if bits % 2:
            self.format_by_uvdo()
        else:
            self.format_by_vdoformat()
        self.to_and_fro(lambda: self.mixture(30), first=self.kernel if bits % 4 else self.uvdo)

    def test_slabs_of_2_to_13_blocks(self):
        self.exchange(13, 20)

    def test_slabs_of_2_to_14_blocks(self):
        self.exchange(14, 9)

    def test_slabs_of_2_to_15_blocks(self):
        self.exchange(15, 5)

    def test_slabs_of_2_to_16_blocks(self):
        self.exchange(16, 4)

    def test_slabs_of_2_to_17_blocks(self):
        self.exchange(17, 3)

    def test_slabs_of_2_to_18_blocks(self):
        self.exchange(18, 2)

    def test_slabs_of_2_to_19_blocks(self):
        self.exchange(19, 3)


if __name__ == "__main__":
    exchange.main()
