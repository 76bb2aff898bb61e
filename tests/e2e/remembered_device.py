# SPDX-License-Identifier: GPL-2.0-or-later
"""Use of a block device by many at once, who remember what it must hold: writes of 512 bytes to 4 MiB at
any sector, discards and zeroes of any range, flushes, reads; all of them past the page cache."""
import fcntl
import mmap
import os
import random
import struct
import threading

SECTOR = 512
LONGEST = 4 << 20
BLKDISCARD, BLKZEROOUT = 0x1277, 0x127F


class Mismatch(Exception):
    """The device gave something else than it was given."""


class Region:
    """A part of the device that one thread at a time uses; `content` is what it must hold."""

    def __init__(self, path, first, size, seed):
        self.fd = -1
        self.first, self.random = first, random.Random(seed)
        self.content = bytearray(size)
        self.buffer = mmap.mmap(-1, min(size, LONGEST))  # aligned, as O_DIRECT demands
        self.operations = 0
        self.open(path)

    def open(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_DIRECT)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def _order(self, request, at, size):
        fcntl.ioctl(self.fd, request, struct.pack("QQ", self.first + at, size))

    def _read(self, at, size):
        view = memoryview(self.buffer)[:size]
        done = os.preadv(self.fd, [view], self.first + at)
        if done != size or view != memoryview(self.content)[at:at + size]:
            got = bytes(view)
            wrong = next((i for i in range(0, size, SECTOR)
                          if got[i:i + SECTOR] != self.content[at + i:at + i + SECTOR]), done)
            raise Mismatch(f"operation {self.operations}: a read of {size} bytes at "
                           f"{self.first + at} is wrong at {self.first + at + wrong}")
        view.release()

    def _write(self, at, size):
        # Much of it is new, some is what the device holds elsewhere, some compresses.
        kind = self.random.random()
        if kind < 0.6:
            data = self.random.randbytes(size)
        elif kind < 0.8:
            other = self.random.randrange(0, len(self.content) - size + 1, SECTOR)
            data = bytes(self.content[other:other + size])
        else:
            data = (self.random.randbytes(64) * (size // 64))
        self.content[at:at + size] = data
        self.buffer[:size] = data
        view = memoryview(self.buffer)[:size]
        written = os.pwritev(self.fd, [view], self.first + at)
        view.release()
        if written != size:
            raise Mismatch(f"a write of {size} bytes wrote {written}")

    def step(self):
        """One random operation; OSError if the device fails it."""
        self.operations += 1
        # As many short ones as long ones: the exponent is evenly distributed.
        size = int(SECTOR * 2 ** self.random.uniform(0, 13)) // SECTOR * SECTOR
        size = min(size, len(self.content), LONGEST)
        grain = SECTOR if self.random.random() < 0.5 else 4096
        at = self.random.randrange(0, len(self.content) - size + 1) // grain * grain
        what = self.random.choices(("write", "read", "discard", "zeroes", "flush"),
                                   (45, 30, 12, 8, 5))[0]
        if what == "write":
            self._write(at, size)
        elif what == "read":
            self._read(at, size)
        elif what == "flush":
            os.fsync(self.fd)
        else:
            # A loop device's discard is a hole in its file, which reads as zeroes at every offset.
            self._order(BLKDISCARD if what == "discard" else BLKZEROOUT, at, size)
            self.content[at:at + size] = bytes(size)

    def compare(self):
        """Reads all of it."""
        for at in range(0, len(self.content), len(self.buffer)):
            self._read(at, min(len(self.buffer), len(self.content) - at))

    def forget_content_of(self, path):
        """What it holds already counts as right."""
        with open(path, "rb") as file:
            file.seek(self.first)
            self.content[:] = file.read(len(self.content))


class RememberedDevice:
    """The first bytes of a device, used by `depth` threads, each in its own region."""

    def __init__(self, path, size, depth, seed=1):
        each = size // depth // 4096 * 4096 - SECTOR  # neighbours share a block of the volume
        self.regions = [Region(path, number * each, each, seed * 1000 + number)
                        for number in range(depth)]
        self.failures, self.threads = [], []
        for region in self.regions:
            region.forget_content_of(path)

    def start(self, operations):
        """Begins that many random operations, with a comparison of everything behind them."""
        def work(region):
            try:
                for _ in range(operations // len(self.regions)):
                    region.step()
                region.compare()
            except (OSError, Mismatch) as error:
                self.failures.append(str(error))
        self.threads = [threading.Thread(target=work, args=[region]) for region in self.regions]
        for thread in self.threads:
            thread.start()

    def finish(self):
        """Waits for what start() began; what has gone wrong."""
        for thread in self.threads:
            thread.join()
        self.threads = []
        return self.failures

    def use(self, operations):
        self.start(operations)
        return self.finish()

    def let_go(self):
        """The device is open no more; what it must hold is remembered."""
        self.finish()
        for region in self.regions:
            region.close()

    def move_to(self, path):
        """Goes on at another place, where the same volume is a device again."""
        for region in self.regions:
            region.open(path)

    def compare(self):
        """Reads everything; Mismatch if it is not what it must be."""
        for region in self.regions:
            region.compare()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.let_go()
