# SPDX-License-Identifier: GPL-2.0-or-later
"""What each block may hold. A block's values are numbered in the order in which they were written
(one write at a time to each block); a flush or FUA ends the ones before the last answered."""
import functools
import random

BLOCK = 4096
ZERO, UNIQUE, COMPRESSIBLE, DUPLICATE = range(4)


@functools.lru_cache(maxsize=4096)
def content(value):
    """The block that a value names; its kind is in its last two bits."""
    kind, number = value & 3, value >> 2
    if kind == ZERO:
        return bytes(BLOCK)
    head = value.to_bytes(8, "little")
    if kind == COMPRESSIBLE:
        return head + random.Random(value).randbytes(800) + bytes([number & 0xFF]) * (BLOCK - 808)
    return head + random.Random(value).randbytes(BLOCK - 8)


class Ledger:
    def __init__(self, blocks):
        self.values = [[0] for _ in range(blocks)]
        self.first = [0] * blocks     # number of values[block][0]
        self.answered = [0] * blocks  # number of the last answered value
        self.busy = bytearray(blocks)
        self.dirty = set()            # blocks with something not yet stable
        self.flushes = self.writes = self.compared = 0

    def is_free(self, first, count):
        return not any(self.busy[first:first + count])

    def lock(self, first, count, locked=1):
        self.busy[first:first + count] = bytes([locked]) * count

    def begin_write(self, first, values):
        self.lock(first, len(values))
        for i, value in enumerate(values):
            self.values[first + i].append(value)
            self.dirty.add(first + i)

    def end_write(self, first, count, error, stable):
        self.lock(first, count, 0)
        if error:
            return  # either of the last values
        self.writes += 1
        for block in range(first, first + count):
            self.answered[block] = self.first[block] + len(self.values[block]) - 1
            if stable:
                self._forget_before(block, self.answered[block])

    def begin_flush(self):
        return [(block, self.answered[block]) for block in self.dirty]

    def end_flush(self, covered):
        self.flushes += 1
        for block, number in covered:
            self._forget_before(block, number)
            if len(self.values[block]) == 1:
                self.dirty.discard(block)

    def _forget_before(self, block, number):
        drop = number - self.first[block]
        if drop > 0:
            del self.values[block][:drop]
            self.first[block] = number

    def compare(self, first, data, after_crash):
        """What is wrong with what was read, or None."""
        for i in range(len(data) // BLOCK):
            block, found = first + i, data[i * BLOCK:(i + 1) * BLOCK]
            self.compared += 1
            values = self.values[block]
            if not after_crash:
                values = values[self.answered[block] - self.first[block]:]
            value = next((v for v in reversed(values) if content(v) == found), None)
            if value is None:
                wanted = [f"{v >> 2} of kind {v & 3}" for v in values]
                return (f"block {block} must hold one of {wanted}, but begins with "
                        f"{found[:16].hex()}")
            if after_crash:
                self.values[block], self.first[block], self.answered[block] = [value], 0, 0
                self.dirty.discard(block)
        return None

    def crash(self):
        self.busy = bytearray(len(self.busy))
