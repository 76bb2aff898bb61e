# SPDX-License-Identifier: GPL-2.0-or-later
"""The base of suites that pass a volume to and fro between uvdo and the kernel's dm-vdo. After each step
everything is compared block by block, and all referees look at the stopped volume.

Environment: UVDO (the program), UVDO_JUDGES (where vdoaudit is cached), UVDO_KERNEL_LAB (where the
virtual machine's kernel and tools are cached), UVDO_KERNEL_REQUIRED (fail if they cannot be had).
"""
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time
import unittest

from content import BLOCK, COMPRESSIBLE, TINY, UNIQUE, Contents
import lab
import sides
import vm

sys.path.insert(0, str(sides.support.TESTS / "judge"))
import check_image  # noqa: E402

MIB, GIB = 1 << 20, 1 << 30
REGION = 64                      # blocks; operations of one batch are in different regions
# Statistics that describe the volume's content: both must tell the same of the same volume.
CONTENT_STATISTICS = """dataBlocksUsed overheadBlocksUsed logicalBlocksUsed physicalBlocks logicalBlocks blockSize
  completeRecoveries readOnlyRecoveries mode inRecoveryMode allocator.slabCount index.entriesIndexed
  version""".split()


def content_statistics(stats):
    found = {}
    for name in CONTENT_STATISTICS:
        value = stats
        for part in name.split("."):
            value = value[part]
        found[name] = int(value) if isinstance(value, bool) else value
    return found


class Exchange(unittest.TestCase):
    SIZE, LOGICAL = 3 * GIB, 128 * MIB
    FORMAT = ["--slab-bits", "13"]
    SEED = 1

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-kernel."))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.kernel = sides.Kernel(LAB, cls.folder, ACCELERATOR)
        cls.addClassCleanup(cls.stop_machine)

    @classmethod
    def stop_machine(cls):
        if cls.kernel.machine:
            cls.kernel.kill()

    def setUp(self):
        if self.kernel.running:              # a test before this one has failed
            self.kernel.kill()
        self.began = time.monotonic()
        self.kernel.expected = []
        self.kernel.default_table()
        self.image = self.kernel.use(self.SIZE)
        self.uvdo = sides.Uvdo(self.folder)
        self.uvdo.image = self.image
        self.addCleanup(self.uvdo.kill)
        self.contents, self.next_value = Contents(), random.Random(self.id()).getrandbits(40) << 8
        self.random = random.Random(f"{self.id()} {self.SEED}")
        self.offset = 0                      # bytes of the volume before what both sides offer
        self.windows = None                  # (first, count) of the blocks to compare; None: all
        self.last_statistics, self.closed_by = None, None
        self.boots = self.kernel.boots

    def tearDown(self):
        print(f"{self.id().split('.', 1)[-1]}: {time.monotonic() - self.began:.1f} s, "
              f"{self.kernel.boots - self.boots} boots", file=sys.stderr, flush=True)

    # ---- making volumes

    def format_by_uvdo(self, *options):
        done = sides.support.uvdo("format", self.image, "--force", "--logical-size", f"{self.LOGICAL // MIB}M",
                                  *self.FORMAT, *options)
        self.assertEqual(done.returncode, 0, done.stderr)

    def format_by_vdoformat(self, *options):
        words = " ".join([*self.FORMAT, *options]).replace("--slab-bits ", "--slab-bits=")
        self.kernel.guest(f"vdoformat --force --logical-size={self.LOGICAL // MIB}M {words} /dev/vda && "
                          "blockdev --flushbufs /dev/vda")

    # ---- operations

    def fresh(self, kind):
        self.next_value += 1
        return self.next_value << 2 | kind

    def regions(self, count, first=0, end=None):
        """Different places of REGION blocks each, in a random order."""
        end = (end or self.LOGICAL // BLOCK) // REGION
        return [place * REGION for place in self.random.sample(range(first // REGION, end), count)]

    def writes(self, count, kinds=(UNIQUE, COMPRESSIBLE, TINY), within=(0, None)):
        """Writes of new data to `count` regions."""
        operations = []
        for place in self.regions(count, *within):
            size, kind = self.random.randint(1, REGION), self.random.choice(kinds)
            operations.append(("write", place + self.random.randint(0, REGION - size),
                               [self.fresh(kind) for _ in range(size)]))
        return operations

    def mixture(self, count, within=(0, None)):
        """New data, duplicates of what is there, zeros and discards, over old and new places."""
        known = [values[-1] for values in self.contents.values.values() if values[-1]]
        operations = []
        for place in self.regions(count, *within):
            size = self.random.randint(1, REGION)
            first = place + self.random.randint(0, REGION - size)
            what = self.random.choice(("new", "new", "duplicates", "zeros", "discard"))
            if what == "discard":
                operations.append(("discard", first, size))
            elif what == "zeros":
                operations.append(("write", first, [0] * size))
            elif what == "duplicates" and len(known) > size:
                at = self.random.randint(0, len(known) - size)
                operations.append(("write", first, known[at:at + size]))
            else:
                kind = self.random.choice((UNIQUE, COMPRESSIBLE, TINY))
                operations.append(("write", first, [self.fresh(kind) for _ in range(size)]))
        return operations

    def note(self, operations):
        for kind, first, what in operations:
            if kind == "write":
                self.contents.write(first, what)
            else:
                self.contents.discard(first, what)

    def apply(self, side, operations):
        self.note(operations)
        side.apply(operations)

    def flush(self, side):
        side.flush()
        self.contents.flush()

    def crash(self, side, operations):
        """The operations are in the middle of being carried out when the side is killed."""
        self.note(operations)
        side.crash(operations)
        self.last_statistics = None

    # ---- steps

    def sizes(self):
        """(logical, physical) blocks, as an independent reader finds them in the super block."""
        report = check_image.Report()
        volume = check_image.Volume(str(self.image), report)
        os.close(volume.fd)
        self.assertEqual(report.errors, 0)
        return volume.logical, volume.physical

    def open(self, side):
        side.open(self.sizes())

    def compare(self, side):
        for first, count in self.windows or [(0, self.LOGICAL // BLOCK)]:
            wrong = self.contents.compare(first, side.read(first, count))
            self.assertIsNone(wrong, f"read by {side.name}: {wrong}")

    def compare_statistics(self, side):
        """Those of the volume's content, with what was said when the volume was closed last."""
        told = content_statistics(side.stats())
        if not self.last_statistics:
            return
        last, closed_by = dict(self.last_statistics), self.closed_by
        if closed_by is side is self.kernel:
            # The kernel counts an index anew when it loads it, and gets less if it had rebuilt it.
            told["index.entriesIndexed"] = last["index.entriesIndexed"]
        self.assertEqual(told, last, f"{side.name} disagrees (second: {closed_by.name})")

    def close(self, side):
        self.flush(side)
        self.last_statistics, self.closed_by = content_statistics(side.stats()), side
        side.close()
        self.judge()

    def judge(self):
        """All referees on the stopped, clean volume."""
        support = sides.support
        audit = support.vdo_program("vdoaudit")
        referees = [("uvdo check", support.uvdo("check", self.image)),
                    ("check_image.py", support.judge("audit", self.image))]
        if audit:
            referees.append(("vdoaudit", support.run(audit, "--summary", self.image)))
        wrong = [f"{name}: {result.stdout}{result.stderr}" for name, result in referees
                 if result.returncode]
        if wrong and os.environ.get("UVDO_KERNEL_KEEP"):
            support.sparse_copy(self.image, os.environ["UVDO_KERNEL_KEEP"])
        self.assertEqual(wrong, [], f"{len(wrong)} of {len(referees)} referees object")
        self.compare_export()

    def compare_export(self):
        """What `uvdo export` copies out, block by block."""
        if self.windows:
            return  # (a large device: its windows are compared by both sides)
        out = self.folder / "export.img"
        done = sides.support.uvdo("export", self.image, "-o", out, "--force")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(out, "rb") as file:
            file.seek(self.offset)
            wrong = self.contents.compare(0, file.read(self.LOGICAL))
        self.assertIsNone(wrong, f"exported: {wrong}")
        out.unlink()

    def turn(self, side, *batches):
        """One side's turn: what the other left is there, and then something else; returns the side's
        statistics before it is closed."""
        self.open(side)
        self.compare_statistics(side)
        self.compare(side)
        for batch in batches:
            self.apply(side, batch() if callable(batch) else batch)
        self.flush(side)
        self.compare(side)
        stats = side.stats()
        self.close(side)
        return stats

    def to_and_fro(self, *batches, first=None, times=3):
        order = [self.uvdo, self.kernel]
        if first is self.kernel:
            order.reverse()
        for _ in range(times):
            for side in order:
                self.turn(side, *batches)


def main():
    """Runs the suite of the calling module; exit status 77 if there is no kernel to be had."""
    exchange = sys.modules["exchange"]
    where = os.environ.get("UVDO_KERNEL_LAB", str(sides.support.TESTS.parent / "build/kernel"))
    try:
        exchange.LAB = lab.prepare(where)
        if not shutil.which("qemu-system-x86_64"):
            raise lab.Unavailable("no qemu-system-x86_64 (scripts/install-dependencies test)")
    except lab.Unavailable as problem:
        print(f"no kernel to test with: {problem}", file=sys.stderr)
        sys.exit(1 if os.environ.get("UVDO_KERNEL_REQUIRED") else 77)
    exchange.ACCELERATOR = vm.accelerator(exchange.LAB)
    print(f"accelerator {exchange.ACCELERATOR}, {exchange.LAB.versions.splitlines()[0]}", file=sys.stderr)
    unittest.main(module="__main__", verbosity=0)
