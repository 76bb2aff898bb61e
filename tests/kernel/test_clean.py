#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes that are stopped cleanly before the other side opens them."""
import exchange


class Clean(exchange.Exchange):
    def test_made_by_uvdo(self):
        self.format_by_uvdo()
        self.to_and_fro(lambda: self.writes(60), lambda: self.mixture(60))


if __name__ == "__main__":
    exchange.main()
