#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes in read-only mode: both read them, both refuse to write, and both rebuild them for the other."""
import exchange
import sides
from content import UNIQUE


class ReadOnly(exchange.Exchange):
    def make_read_only(self):
        """As an error would."""
        done = sides.support.run(sides.support.vdo_program("vdoreadonly"), self.image)
        self.assertEqual(done.returncode, 0, done.stderr)

    def only_reads(self, side):
        """Reads everything; a write fails, and changes nothing."""
        self.open(side)
        self.assertEqual(side.stats()["mode"], "read-only")
        self.compare(side)
        self.assertTrue(side.is_refused(("write", 0, [self.fresh(UNIQUE)])), side.name)
        self.compare(side)
        side.close()

    def rebuild_by_uvdo(self):
        done = sides.support.uvdo("rebuild", "--yes", self.image)
        self.assertEqual(done.returncode, 0, done.stderr)

    def rebuild_by_the_next(self):
        """Whoever opens the volume next rebuilds it."""
        done = sides.support.run(sides.support.vdo_program("vdoforcerebuild"), self.image)
        self.assertEqual(done.returncode, 0, done.stderr)

    def rounds(self, rebuild):
        self.format_by_uvdo()
        self.kernel.expected = sides.READ_ONLY
        for _ in range(3):
            for side in (self.uvdo, self.kernel):
                self.turn(side, lambda: self.writes(30), lambda: self.mixture(30))
                self.make_read_only()
                self.only_reads(self.kernel)
                self.only_reads(self.uvdo)
                rebuild()
                self.last_statistics = None
                other = self.kernel if side is self.uvdo else self.uvdo
                self.turn(other, lambda: self.mixture(30))

    def test_rebuilt_by_uvdo(self):
        self.rounds(self.rebuild_by_uvdo)

    def test_rebuilt_by_the_next(self):
        self.rounds(self.rebuild_by_the_next)

    def test_what_uvdo_reads_is_what_a_rebuild_brings_back(self):
        """Killed while it was written to, and then marked: what a flush covered is in the journal alone.
        uvdo reads it with the journal, block by block what either side's rebuild brings back."""
        self.format_by_uvdo()
        self.kernel.expected = sides.AFTER_CRASH + sides.READ_ONLY
        for rebuild in (self.rebuild_by_uvdo, self.rebuild_by_the_next):
            for side, other in ((self.uvdo, self.kernel), (self.kernel, self.uvdo)):
                self.open(side)
                self.compare(side)
                self.apply(side, self.writes(40))
                self.flush(side)
                self.crash(side, self.mixture(80))
                self.make_read_only()
                self.compare_export()            # from now on each block has to hold just that
                self.only_reads(self.uvdo)
                rebuild()
                self.open(other)
                self.compare(other)
                self.apply(other, self.mixture(20))
                self.close(other)


if __name__ == "__main__":
    exchange.main()
