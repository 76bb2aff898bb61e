#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Room that goes back to the file system beneath a volume: by itself, and by uvdo trim."""
import json
import random
import unittest

import support
from served import MIB, Served
from support import uvdo

FILE = MIB  # bytes of one file of the client, with a gap behind it
FILES = 48


class Trim(Served):
    LOGICAL, SLAB_BITS = 256 * MIB, 13

    def setUp(self):
        super().setUp()
        self.slabs = json.loads(uvdo("info", "--json", self.image).stdout)["slabs"]

    def taken(self):
        """Bytes that the data blocks of the slabs take of the file system; all else is metadata."""
        with open(self.image, "rb") as file:
            extents = list(support.data_extents(file.fileno()))
        taken = 0
        for slab in range(self.slabs["count"]):
            start = (self.slabs["firstBlock"] + slab * self.slabs["blocks"]) * 4096
            end = start + self.slabs["dataBlocks"] * 4096
            taken += sum(max(0, min(end, e) - max(start, s)) for s, e in extents)
        return taken

    def write_files(self, client):
        for i in range(FILES):
            data = random.Random(i).randbytes(FILE)
            client.pwrite(data, i * FILE)
            self.note(i * FILE, data)
        client.flush()

    def delete_half(self, client):
        """What rm and fstrim do."""
        for i in range(0, FILES, 2):
            client.trim(FILE, i * FILE)
            self.note(i * FILE, bytes(FILE))
        client.flush()

    def stored(self):
        """Bytes of data and of pages of the block map."""
        stats = self.stats()
        pages = stats["overheadBlocksUsed"] - stats["uvdo"]["fixedOverheadBlocks"]
        return (stats["dataBlocksUsed"] + pages) * 4096

    def takes_no_more_than_it_stores(self):
        return self.taken() <= self.stored() * 1.05

    def full(self, *options):
        self.serve("--compression", "off", "--deduplication", "off", *options)
        client = self.connect()
        self.write_files(client)
        return client

    def test_a_sparse_file_gets_smaller_by_itself_when_files_are_deleted(self):
        client = self.full()
        self.assertEqual(self.stats()["uvdo"]["discardState"], "on")
        self.delete_half(client)
        self.wait_until(self.takes_no_more_than_it_stores, "room comes back")
        self.assertLess(self.stored(), (FILES // 2 + 1) * FILE)
        self.assertGreaterEqual(self.stats()["uvdo"]["discardedBytes"], FILES // 2 * FILE)
        # What was given back is used again.
        data = random.Random("again").randbytes(8 * MIB)
        client.pwrite(data, 200 * MIB)
        client.flush()
        self.note(200 * MIB, data)
        client.shutdown()
        self.stop_and_judge()

    def test_trim_of_a_running_volume_gives_all_back_at_once(self):
        client = self.full("--discard", "off")
        self.delete_half(client)
        self.assertEqual(self.stats()["uvdo"]["discardState"], "off")
        self.assertGreater(self.taken(), FILES * FILE, "nothing is given back by itself")
        told = uvdo("trim", "--json", self.image)
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertGreaterEqual(json.loads(told.stdout)["discardedBytes"], FILES // 2 * FILE)
        self.assertTrue(self.takes_no_more_than_it_stores())
        client.shutdown()
        self.stop_and_judge()

    def test_trim_of_a_stopped_volume_changes_nothing_but_what_is_free(self):
        client = self.full("--discard", "off")
        self.delete_half(client)
        client.shutdown()
        self.stop()
        told = uvdo("trim", self.image)
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertIn("of free blocks are discarded beneath it", told.stdout)
        self.assertTrue(self.takes_no_more_than_it_stores())
        self.judge_volume()

    def test_what_is_not_clean_or_not_consistent_is_let_alone(self):
        client = self.full("--discard", "off")
        self.delete_half(client)
        self.kill()
        dirty = uvdo("trim", self.image)
        self.assertEqual(dirty.returncode, 1)
        self.assertIn("nothing was discarded", dirty.stderr)
        self.serve("--discard", "off")
        self.stop()
        taken = self.taken()
        self.damage_a_count()
        wrong = uvdo("trim", self.image)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("contradict each other", wrong.stderr)
        self.assertEqual(self.taken(), taken)

    def damage_a_count(self):
        """A block that is in use gets the reference count of a free one."""
        slabs = self.slabs
        with open(self.image, "r+b") as file:
            counts = (slabs["firstBlock"] + slabs["dataBlocks"]) * 4096 + 8
            file.seek(counts)
            used = next(i for i, count in enumerate(file.read(504)) if count)
            file.seek(counts + used)
            file.write(b"\0")


if __name__ == "__main__":
    unittest.main()
