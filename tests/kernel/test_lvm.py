#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A VDO pool of LVM: uvdo opens it in place, and LVM gets it back."""
import json

import exchange
import sides
from exchange import GIB, MIB


class LvmPool(exchange.Exchange):
    SIZE = 4 * GIB
    ENDS = 512 * 1024      # bytes at both ends of the pool's logical space that LVM leaves empty

    def test_pool_opened_in_place(self):
        # (of Debian 12's lvm2, which knows an older form of the table line)
        self.kernel.expected = ["Detected version mismatch between kernel module and tools",
                                "Please consider upgrading management tools"]
        self.kernel.make_lvm_pool(3072, self.LOGICAL // MIB, 128)
        self.offset = self.ENDS
        told = sides.support.uvdo("info", self.image)
        self.assertIn("--offset 512K --size 128M", told.stdout, told.stderr)
        told = json.loads(sides.support.uvdo("info", "--json", self.image).stdout)
        self.assertEqual(told["lvmPool"], {"offset": self.ENDS, "size": self.LOGICAL})
        self.uvdo.options = ["--offset", "512K", "--size", "128M"]
        self.to_and_fro(lambda: self.writes(40), lambda: self.mixture(40))
        told = sides.support.uvdo("info", self.image)
        self.assertIn("--offset 512K --size 128M", told.stdout, told.stderr)


if __name__ == "__main__":
    exchange.main()
