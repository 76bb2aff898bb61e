#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Picks blocks of each kind out of volumes made by the Linux kernel, as fixtures for the tests of
src/format:  extract.py OUT_DIR VOLUME.img ...

For each volume it writes NAME.blocks (the blocks, 4096 bytes each) and NAME.txt (a line a block:
kind, PBN, and key=value with what this script, which shares no code with the program, reads in it).
"""
import os
import struct
import sys
import zlib

BLOCK = 4096


def crc(data):
    return zlib.crc32(data, 0xFFFFFFFF)


def mapping(data, at):
    return (data[at] >> 4) << 32 | struct.unpack_from("<I", data, at + 1)[0], data[at] & 15


class Volume:
    def __init__(self, path, out_dir):
        self.file = open(path, "rb")
        name = os.path.splitext(os.path.basename(path))[0]
        self.blocks = open(os.path.join(out_dir, name + ".blocks"), "wb")
        self.text = open(os.path.join(out_dir, name + ".txt"), "w")

    def read(self, pbn):
        self.file.seek(pbn * BLOCK)
        return self.file.read(BLOCK).ljust(BLOCK, b"\0")

    def emit(self, kind, pbn, **values):
        self.blocks.write(self.read(pbn))
        words = [kind, f"pbn={pbn}"] + [f"{k}={v}" for k, v in values.items()]
        self.text.write(" ".join(words) + "\n")

    def geometry(self):
        b = self.read(0)
        self.nonce = struct.unpack_from("<Q", b, 32)[0]
        self.data_start = struct.unpack_from("<Q", b, 80)[0]
        self.emit("geometry", 0, nonce=self.nonce, uuid=b[40:56].hex(), data_start=self.data_start,
                  memory=struct.unpack_from("<i", b, 88)[0], sparse=b[96])

    def super_block(self):
        b = self.read(self.data_start)
        self.state, self.recoveries, ro = struct.unpack_from("<IQQ", b, 40)
        logical, physical, slab_size = struct.unpack_from("<QQQ", b, 60)
        self.parts = {}
        for i in range(4):
            ident, start, _zero, count = struct.unpack_from("<BQQQ", b, 145 + 25 * i)
            self.parts[ident] = (start, count)
        start, used, maps = struct.unpack_from("<QQQ", b, 265)
        self.slab = struct.unpack_from("<7Q", b, 309)
        self.first, self.last, self.zones = struct.unpack_from("<QQB", b, 365)
        self.physical = physical
        self.emit("super", self.data_start, state=self.state, recoveries=self.recoveries, ro=ro,
                  logical=logical, physical=physical, slab_size=slab_size, start=start, used=used,
                  maps=maps, data=self.slab[1], references=self.slab[2], flushing=self.slab[4],
                  blocking=self.slab[5], scrubbing=self.slab[6], first=self.first, last=self.last,
                  zones=self.zones, journal=self.parts[2][0], summary=self.parts[3][0],
                  roots=self.parts[0][0])

    def page(self, kind, pbn):
        b = self.read(pbn)
        entries = [mapping(b, 36 + 5 * i) for i in range(812)]
        self.emit(kind, pbn, initialized=b[32], mapped=sum(s != 0 for _, s in entries),
                  weighted=sum((i + 1) * p for i, (p, _) in enumerate(entries)),
                  states=sum((i + 1) * s for i, (_, s) in enumerate(entries)))
        return entries

    def block_map(self):
        """A few roots, the way down from the first of them, and leaves."""
        compressed, leaves, interior = [], 0, 0
        for root in range(60):
            pbn = self.parts[0][0] + root
            if leaves == 5 or struct.unpack_from("<Q", self.read(pbn), 8)[0] != self.nonce:
                continue
            entries = self.page("interior", pbn) if interior < 2 else None
            for height in (3, 2, 1, 0):
                if entries is None:
                    b = self.read(pbn)
                    entries = [mapping(b, 36 + 5 * i) for i in range(812)]
                below = [p for p, s in entries if s]
                if not below:
                    break
                pbn = below[0]
                b = self.read(pbn)
                if struct.unpack_from("<Q", b, 8)[0] != self.nonce or b[32] == 0:
                    break
                if height == 0:
                    entries = self.page("leaf", pbn)
                    leaves += 1
                    compressed += [p for p, s in entries if s > 1]
                else:
                    entries = self.page("interior", pbn) if interior < 2 else None
            interior += 1
        for pbn in sorted(set(compressed))[:6]:
            sizes = struct.unpack_from("<14H", self.read(pbn), 8)
            self.emit("compressed", pbn, sizes=",".join(map(str, sizes)))

    def recovery_journal(self):
        start, size = self.parts[2]
        picked = []
        for i in range(size):
            self.file.seek((start + i) * BLOCK)
            head = self.file.read(53)
            if struct.unpack_from("<Q", head, 24)[0] == self.nonce:
                picked.append(i)
        for i in picked[:2] + picked[-3:] if len(picked) > 5 else picked:
            b = self.read(start + i)
            maph, slabh, seq, _nonce, kind, count, used, maps, check, rec = struct.unpack_from(
                "<4QBHQQBB", b)
            ops = pages = slots = new = old = states = 0
            for n in range(min(count, 217)):
                at = 512 * (1 + n // 31) + 3 + 16 * (n % 31)
                word, low = struct.unpack_from("<HI", b, at)
                ops += (n + 1) * (word & 3)
                slots += (n + 1) * (word >> 2 & 1023)
                pages += (n + 1) * ((word >> 12) << 32 | low)
                (p, s), (q, t) = mapping(b, at + 6), mapping(b, at + 11)
                new, old, states = new + (n + 1) * p, old + (n + 1) * q, states + (n + 1) * (s + 16 * t)
            self.emit("journal", start + i, index=i, map_head=maph, slab_head=slabh, sequence=seq,
                      type=kind, count=count, used=used, maps=maps, check=check, recovery=rec,
                      ops=ops, slots=slots, pages=pages, new=new, old=old, states=states)

    def slabs(self):
        size, data, refs, journal = self.slab[:4]
        for slab in range(min((self.last - self.first) // size, 3)):
            at = self.first + slab * size
            ref = self.read(at + data)
            point = struct.unpack_from("<Q", ref)[0]
            raw = b"".join(ref[512 * i + 8:512 * i + 512] for i in range(8))
            if self.state == 2:
                self.emit("reference", at + data, point=point,
                          counts=sum((i + 1) * (c if c < 255 else 0) for i, c in enumerate(raw)))
            good = []
            for i in range(journal):
                pbn = at + data + refs + i
                b = self.read(pbn)
                nonce, kind = struct.unpack_from("<QB", b, 24)
                if (nonce, kind) == (self.nonce, 2):
                    good.append(pbn)
            for pbn in good if len(good) < 5 else good[:2] + good[-2:]:
                b = self.read(pbn)
                head, seq, point, nonce, kind, full, count = struct.unpack_from("<QQQQBBH", b)
                sbns = ups = maps = 0
                for n in range(count):
                    word = int.from_bytes(b[36 + 3 * n:39 + 3 * n], "little")
                    sbns += (n + 1) * (word & 0x7FFFFF)
                    ups += (n + 1) * (word >> 23)
                    maps += (n + 1) * (full and b[3933 + n // 8] >> n % 8 & 1)
                self.emit("slab_journal", pbn, head=head, sequence=seq, point=point, full=full,
                          count=count, sbns=sbns, ups=ups, maps=maps)
        summary = self.parts[3][0]
        b = self.read(summary)
        words = [struct.unpack_from("<H", b, 2 * n)[0] for n in range((self.last - self.first) // size)]
        self.emit("summary", summary, words=",".join(map(str, words[:64])))


def main():
    for path in sys.argv[2:]:
        volume = Volume(path, sys.argv[1])
        volume.geometry()
        volume.super_block()
        if volume.state != 1:
            volume.block_map()
            volume.recovery_journal()
            volume.slabs()


main()
