#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes whose user is killed in the middle of writing, recovered by the other side: what was
flushed is there, blocks that were not are old or new, and the volume is consistent."""
import time

import content
import exchange
import sides


class Crash(exchange.Exchange):
    def setUp(self):
        super().setUp()
        self.kernel.expected = sides.AFTER_CRASH

    def cut(self, side):
        """Writes and flushes, and then dies in the middle of more."""
        self.open(side)
        self.compare(side)
        self.apply(side, self.writes(40))
        self.flush(side)
        self.crash(side, self.mixture(120))
        self.predict()

    def predict(self):
        """The auditor replays the journal in memory, and an export tells what a recovery will find."""
        audit = sides.support.judge("audit", self.image)
        self.assertEqual(audit.returncode, 0, f"{audit.stdout}{audit.stderr}")
        self.compare_export()

    def recover(self, side):
        self.open(side)
        self.compare(side)
        self.apply(side, self.mixture(20))
        self.close(side)

    def test_killed_in_the_middle_of_writing(self):
        self.format_by_uvdo()
        for _ in range(3):
            self.cut(self.uvdo)
            self.recover(self.kernel)
            self.cut(self.kernel)
            self.recover(self.uvdo)

    def test_slab_journals_are_read(self):
        """So much is written that blocks of slab journals get full: their entries are in no part of
        the recovery journal that the other side would replay, and are newer than the counts."""
        self.format_by_uvdo()
        end = self.LOGICAL // exchange.BLOCK // 4
        for side, other in ((self.uvdo, self.kernel), (self.kernel, self.uvdo)):
            self.open(side)
            # All of a quarter, for new blocks, and again some of it, so that blocks get free.
            self.apply(side, [("write", first, [self.fresh(content.UNIQUE) for _ in range(64)])
                              for first in range(0, end, 64)])
            self.apply(side, self.writes(60, within=(0, end)))
            self.flush(side)
            self.crash(side, self.mixture(60, within=(0, end)))
            self.predict()
            self.recover(other)

    def test_killed_during_the_other_sides_recovery(self):
        self.format_by_uvdo()
        for number in range(3):
            self.cut(self.kernel)
            for delay in (0.03, 0.1, 0.2):
                self.uvdo.spawn()
                time.sleep(delay * (number + 1))
                self.uvdo.kill()
                self.predict()
            self.recover(self.kernel)
            self.cut(self.uvdo)
            self.kernel.started()
            self.kernel.throttle(400)
            self.kernel.kill_at(0.3 + 0.4 * number, self.kernel.start_command(*self.sizes()))
            self.predict()
            self.recover(self.uvdo)


if __name__ == "__main__":
    exchange.main()
