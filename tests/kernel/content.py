# SPDX-License-Identifier: GPL-2.0-or-later
"""What the blocks of a volume hold: each write gives a block a value, a number from which its 4096 bytes
follow. Writes that no flush has covered may be lost in a crash."""
import functools
import random

BLOCK = 4096
ZERO, UNIQUE, COMPRESSIBLE, TINY = range(4)  # the last two bits of a value
FILL = {COMPRESSIBLE: 700, TINY: 60}         # random bytes of a block, the others are equal


@functools.lru_cache(maxsize=16384)
def block_of(value):
    kind, number = value & 3, value >> 2
    if kind == ZERO:
        return bytes(BLOCK)
    head, bits = value.to_bytes(8, "little"), random.Random(value)
    if kind == UNIQUE:
        return head + bits.randbytes(BLOCK - 8)
    size = FILL[kind] + number % 97 * 9
    return head + bits.randbytes(size) + bytes([number & 0xFF]) * (BLOCK - 8 - size)


def data_of(values):
    return b"".join(map(block_of, values))


class Contents:
    """The values that each block may hold, the newest last; blocks that are not named hold zeros."""

    def __init__(self):
        self.values, self.unflushed = {}, set()

    def write(self, first, values):
        for block, value in enumerate(values, first):
            self.values.setdefault(block, [0]).append(value)
            self.unflushed.add(block)

    def discard(self, first, count):
        self.write(first, [0] * count)

    def flush(self):
        for block in self.unflushed:
            self.values[block] = self.values[block][-1:]
        self.unflushed.clear()

    def value(self, block):
        return self.values.get(block, [0])[-1]

    def compare(self, first, data):
        """What is wrong with what was read, or None. Blocks hold from now on what was read."""
        for block in range(first, first + len(data) // BLOCK):
            found = data[(block - first) * BLOCK:(block - first + 1) * BLOCK]
            allowed = self.values.get(block, [0])
            value = next((value for value in reversed(allowed) if block_of(value) == found), None)
            if value is None:
                wanted = [f"{value >> 2} of kind {value & 3}" for value in allowed]
                return f"block {block} must hold one of {wanted}, but begins with {found[:16].hex()}"
            if len(allowed) > 1:
                self.values[block] = [value]
            self.unflushed.discard(block)
        return None
