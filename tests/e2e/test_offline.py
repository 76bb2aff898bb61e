#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""info, check, stats, cat and export on volumes that a Linux kernel wrote, whole and damaged."""
import hashlib
import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

from support import (BLOCK, UVDO, Surgery, checksum, data_extents, extract, fingerprint,
                     geometry_block, geometry_fields, judge, kernel_statistics, manifest, read_block,
                     run, sha256, sparse_copy, uvdo, vdo_program)

CLEAN = ("clean", "compressed", "grown", "index")
FRESH = ("fresh-slab9", "fresh-slab13", "fresh-memory05", "fresh-sparse")
DIRTY = ("dirty", "dirty-entries")
STATES = ("DIRTY", "NEW", "CLEAN", "READ_ONLY_MODE")
MAP_HEADER, MAP_ENTRY = 36, 5


class OfflineTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-offline-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)

    def extracted(self, name):
        path = self.folder / f"{name}.img"
        return path if path.exists() else extract(name, self.folder)

    def json(self, command, image, *arguments, status=0):
        result = uvdo(command, "--json", image, *arguments)
        self.assertEqual(result.returncode, status, result.stderr)
        return json.loads(result.stdout)

    def export(self, image, *arguments, status=0):
        """Exports a volume; returns the file and what was printed."""
        output = self.folder / "export.out"
        output.unlink(missing_ok=True)
        result = uvdo("export", image, "-o", output, *arguments)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return output, result

    def errors(self, image, *arguments):
        """The kinds of errors that check finds; the judge must agree that there are some."""
        report = self.json("check", image, *arguments, status=1)
        self.assertFalse(report["consistent"])
        self.assertEqual(judge("audit", image).returncode, 1)
        return report["errorsByKind"]


class LvmPoolTest(OfflineTest):
    def test_info_recognises_a_pool_of_lvm(self):
        """A pool has LVM's size, and empty ends; a volume with data there is none."""
        image = self.folder / "pool.img"
        for logical, is_pool in (("129M", True), ("128M", False), ("130M", False)):
            made = uvdo("format", image, "--size", "3G", "--slab-bits", "13", "--logical-size",
                        logical, "--force")
            self.assertEqual(made.returncode, 0, made.stderr)
            self.assertEqual(self.json("info", image).get("lvmPool"),
                             {"offset": 512 << 10, "size": 128 << 20} if is_pool else None)
            words = "uvdo serve --offset 512K --size 128M"
            self.assertEqual(words in uvdo("info", image).stdout, is_pool)
        self.assertNotIn("lvmPool", self.json("info", self.extracted("clean")))


class GoldenTest(OfflineTest):
    def test_every_volume_is_read_as_the_kernel_reads_it(self):
        for name in (*CLEAN, *FRESH, *DIRTY, "readonly"):
            with self.subTest(name):
                image, facts = self.extracted(name), manifest(name)
                self.check_info(image, facts)
                report = self.json("check", image)
                self.assertEqual((report["errors"], report["consistent"]), (0, True), report)
                output, _ = self.export(image)
                self.assertEqual(sha256(output), facts["sha256"])
                self.assertEqual(output.stat().st_size, facts["logical_blocks"] * BLOCK)
                if name != "index":
                    image.unlink()

    def check_info(self, image, facts):
        info, known = self.json("info", image), facts["super_block"]
        self.assertEqual(info["state"], STATES[known["state"]])
        self.assertEqual(info["superBlock"], known["super_block"])
        self.assertEqual(info["logicalBlocks"], known["logical_blocks"])
        self.assertEqual(info["physicalBlocks"], known["physical_blocks"])
        self.assertEqual(info["nonce"], known["nonce"])
        self.assertEqual(info["slabs"]["blocks"], known["slab_blocks"])
        self.assertEqual(info["slabs"]["journalBlocks"], known["slab_journal_blocks"])
        self.assertEqual(info["journal"]["blocks"], known["journal_blocks"])
        self.assertFalse(info["truncated"])
        text = uvdo("info", image)
        self.assertEqual(text.returncode, 0)
        self.assertIn(f"{STATES[known['state']]}: ", text.stdout)

    def test_statistics_are_those_that_the_kernel_counts(self):
        for name in CLEAN:
            with self.subTest(name):
                kernel = kernel_statistics(manifest(name)["kernel_reopens_a_copy"]["stats"])
                image = self.extracted(name)
                ours = self.json("stats", image)[str(image)]
                for key in ("dataBlocksUsed", "overheadBlocksUsed", "logicalBlocksUsed",
                            "physicalBlocks", "logicalBlocks", "blockSize", "completeRecoveries"):
                    self.assertEqual(ours[key], kernel[key], key)
                savings = ours["savings"]
                parts = ("thinBlocks", "zeroBlocks", "deduplicatedBlocks", "compressedBlocks")
                self.assertEqual(sum(savings[part] for part in parts) + ours["dataBlocksUsed"],
                                 ours["logicalBlocks"])

    def test_statistics_table_and_list(self):
        image = self.extracted("clean")
        table = uvdo("stats", image).stdout.splitlines()
        self.assertEqual(table[0].split(), ["Device", "1k-blocks", "Used", "Available", "Use%",
                                            "Space", "saving%"])
        self.assertEqual(table[1].split()[1:], ["2946388", "2855492", "90896", "97%", "39%"])
        verbose = uvdo("stats", "--verbose", image).stdout
        self.assertIn("  data blocks used                      : 933\n", verbose)
        self.assertIn("deduplicated", verbose)
        self.assertIn("2.8G", uvdo("stats", "--human-readable", image).stdout)
        self.assertIn("3.0G", uvdo("stats", "--si", image).stdout)

    def test_statistics_of_those_that_can_be_read(self):
        image, missing = self.extracted("clean"), self.folder / "missing"
        alone = uvdo("stats", image).stdout
        done = uvdo("stats", image, missing, image)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout.count(alone.splitlines()[1]), 2, done.stdout)
        self.assertIn(str(missing), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)
        told = json.loads(uvdo("stats", "--json", image, missing).stdout)
        self.assertEqual(told[str(image)]["dataBlocksUsed"], 933)
        self.assertIn("message", told[str(missing)]["error"])

    def test_debians_vdoaudit_agrees(self):
        vdoaudit = vdo_program("vdoaudit")
        if vdoaudit is None:
            self.skipTest("vdoaudit cannot be fetched here")
        image = self.extracted("clean")
        self.assertEqual(run(vdoaudit, image).returncode, 0)
        with Surgery(image) as knife:
            slab = self.json("info", image)["slabs"]
            knife.write((slab["firstBlock"] + slab["dataBlocks"]) * BLOCK + 8 + 400, b"\x05")
            self.assertNotEqual(run(vdoaudit, image).returncode, 0)
            self.assertIn("reference count", self.errors(image))

    def test_the_view_without_the_journal_is_another_and_told_so(self):
        image = self.extracted("dirty")
        for option in ("--without-journal", "--raw"):
            output, result = self.export(image, option)
            self.assertNotEqual(sha256(output), manifest("dirty")["sha256"])
            self.assertIn("its recovery journal was left out", result.stderr)
        for command in ("info", "stats"):
            result = uvdo(command, "--without-journal", image)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("its recovery journal was left out", result.stderr)
            self.assertEqual(uvdo(command, image).stderr, "")
        self.assertNotEqual(self.json("info", image)["logicalBlocksUsed"],
                            self.json("info", image, "--without-journal")["logicalBlocksUsed"])


class ExplainTest(OfflineTest):
    """What explain says of single blocks, beside what Debian's vdodumpblockmap says of all."""

    def dumped(self, image):
        """Entries of leaves by page and slot, and the pages that are above them."""
        program = vdo_program("vdodumpblockmap")
        if program is None:
            self.skipTest("Debian's vdo cannot be had")
        leaves, pages = {}, {}
        for line in run(program, image).stdout.splitlines():
            words = line.replace("(", " ").replace(")", " ").split()
            page, slot, height = int(words[1]), int(words[3]), int(words[5])
            (pages if height else leaves)[page, slot] = int(words[8]), int(words[-1])
        return leaves, pages

    def test_the_way_to_a_block_and_its_place_are_those_of_the_referee(self):
        image = self.extracted("compressed")
        leaves, pages = self.dumped(image)
        blocks = self.json("info", image)["logicalBlocks"]
        kinds = set()
        for lbn in [*range(0, 4000, 97), blocks - 1]:
            told = self.json("explain", image, "--lbn", lbn)["logical"]
            for step in told["way"][:-1]:
                self.assertEqual(pages[step["page"], step["slot"]],
                                 (step["entry"]["pbn"], step["entry"]["state"]))
            leaf = told["way"][-1]
            mapping = told["mapping"]["pbn"], told["mapping"]["state"]
            if leaf["height"] == 0:
                self.assertEqual(leaves.get((leaf["page"], leaf["slot"]), (0, 0)), mapping)
            kinds.add(mapping[1] > 1)
        self.assertEqual(kinds, {False, True}, "whole blocks and fragments were among them")

    def test_all_who_share_a_block_are_found_and_counted(self):
        image = self.extracted("compressed")
        leaves, _ = self.dumped(image)
        found = {}
        for pbn, state in leaves.values():
            if pbn:
                found.setdefault(pbn, []).append(state)
        most = sorted(found, key=lambda pbn: -len(found[pbn]))[:3]
        for pbn in most:
            told = self.json("explain", image, "--pbn", pbn)["physical"]
            self.assertEqual(told["references"]["all"], len(found[pbn]))
            self.assertEqual(sorted(m["state"] for m in told["references"]["mappings"]),
                             sorted(found[pbn]))
            self.assertEqual(told["count"], len(found[pbn]))
            if max(found[pbn]) > 1:
                self.assertLessEqual({state - 2 for state in found[pbn]},
                                     {each["fragment"] for each in told["fragments"]})

    def test_the_index_is_asked_and_nothing_is_written(self):
        image = self.extracted("index")
        before = sha256(image)
        told = self.json("explain", image, "--lbn", 5, "--index")
        self.assertEqual(told["index"]["mapping"]["pbn"], told["logical"]["mapping"]["pbn"])
        self.assertEqual(sha256(image), before)
        hole = self.json("info", image)["logicalBlocks"] - 1
        refused = uvdo("explain", image, "--lbn", hole, "--index")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("has no contents", refused.stderr)

    def test_what_is_no_block_is_told_so(self):
        image = self.extracted("clean")
        for options, status in ((("--lbn", 1 << 50), 1), (("--pbn", 1 << 50), 1), ((), 2),
                                (("--lbn", 1, "--pbn", 1), 2), (("--lbn", "x"), 2)):
            done = uvdo("explain", image, *options)
            self.assertEqual((done.returncode, done.stdout), (status, ""), options)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_each_part_of_the_device_is_known(self):
        image = self.extracted("clean")
        info = self.json("info", image)
        for name, part in info["partitions"].items():
            told = self.json("explain", image, "--pbn", part["start"])["physical"]
            word = {"block map": "root", "slab depot": "data"}.get(name, name)
            self.assertIn(word, told["is"])
        text = uvdo("explain", self.extracted("compressed"), "--lbn", 100).stdout
        for word in ("height 4", "mapped to", "referred to by", "journal"):
            self.assertIn(word, text)


class ContentTest(OfflineTest):
    def test_cat_gives_any_range(self):
        image = self.extracted("clean")
        output, _ = self.export(image)
        whole = output.read_bytes()
        size = len(whole)
        for offset, length in ((0, 4096), (1, 1), (649 * BLOCK - 5, 3 * BLOCK + 17), (100000, 1 << 20),
                               (size - 7, 7), (size, 0)):
            with self.subTest(offset=offset, length=length):
                got = run("sh", "-c", 'exec "$0" cat "$1" --offset $2 --length $3 | sha256sum',
                          UVDO, image, offset, length)
                end = offset + length
                self.assertEqual(got.stdout.split()[0], self.digest(whole[offset:end]))
        got = run("sh", "-c", 'exec "$0" cat "$1" --offset 255M | sha256sum', UVDO, image)
        self.assertEqual(got.stdout.split()[0], self.digest(whole[255 << 20:]))
        for bad in (("--offset", size + 1), ("--length", size + 1),
                    ("--offset", size, "--length", 1)):
            self.assertEqual(uvdo("cat", image, *bad).returncode, 1)

    @staticmethod
    def digest(data):
        return hashlib.sha256(data).hexdigest()

    def test_export_to_standard_output_is_all_of_it(self):
        image = self.extracted("clean")
        output, _ = self.export(image)
        with open(self.folder / "stream.out", "wb") as stream:
            done = subprocess.run([UVDO, "export", image, "-o", "-"], stdout=stream,
                                  stderr=subprocess.PIPE)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(sha256(self.folder / "stream.out"), sha256(output))
        self.assertFalse((self.folder / "-").exists())
        refused = uvdo("export", "--json", image, "-o", "-")
        self.assertEqual(refused.returncode, 2)
        self.assertEqual(list(json.loads(refused.stdout)), ["error"])
        told = json.loads(uvdo("export", "--json", "--force", image, "-o", output).stdout)
        self.assertEqual((told["logicalBytes"], told["damagedBlocks"]), (output.stat().st_size, 0))

    def test_a_list_of_damaged_blocks_takes_nothing_s_place(self):
        image = self.extracted("clean")
        before, output = sha256(image), self.folder / "list.out"
        link, other, old = self.folder / "link", self.folder / "other", self.folder / "old"
        link.symlink_to(image)
        os.link(image, other)
        old.write_text("an older list\n")
        for path in (image, link, other):
            for command in (("check", image), ("export", image, "-o", output)):
                done = uvdo(*command, "--list-damaged", path)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertRegex(done.stderr, "^uvdo: the list of damaged blocks cannot be written to .*\n$")
        self.assertEqual(sha256(image), before)
        for path in (output, self.folder / "." / ".." / self.folder.name / output.name):
            self.assertIn("cannot be written to", uvdo("export", image, "-o", output, "--list-damaged", path).stderr)
            self.assertFalse(output.exists())
        output.write_text("what was here")
        self.assertEqual(uvdo("export", image, "-o", output, "--list-damaged", old).returncode, 1)
        self.assertEqual(old.read_text(), "an older list\n")
        for options in (("--json", "-o", output), ("-o", "-")):
            done = uvdo("export", *options, "--force", image, "--list-damaged", "-")
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("cannot both have standard output", done.stderr)
        self.assertEqual(output.read_text(), "what was here")
        self.assertEqual(uvdo("check", image, "--list-damaged", old).returncode, 0)
        self.assertEqual(old.read_text(), "")

    @unittest.skipUnless(os.geteuid() == 0 and run("losetup", "-f").returncode == 0, "needs loop devices")
    def test_a_list_of_damaged_blocks_is_not_written_beneath_the_volume(self):
        image = self.extracted("clean")
        before, device = sha256(image), run("losetup", "--show", "-f", image).stdout.strip()
        try:
            done = uvdo("check", device, "--list-damaged", image)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(f"is {device} or lies beneath it", done.stderr)
        finally:
            run("losetup", "-d", device)
        self.assertEqual(sha256(image), before)

    def test_a_list_that_cannot_be_written_is_told_in_the_one_object(self):
        image = self.extracted("dirty")
        with Surgery(image) as knife:
            ring = self.json("info", image)["partitions"]["recovery journal"]["start"]
            first = self.json("info", image)["journal"]["firstCurrent"]
            knife.write((ring + first % self.json("info", image)["journal"]["blocks"]) * BLOCK, bytes(BLOCK))
            done = run("sh", "-c", 'ulimit -f 0; trap "" XFSZ; exec "$0" check --json "$1" --list-damaged "$2" | cat',
                       UVDO, image, self.folder / "list")
            told = json.loads(done.stdout)
            self.assertFalse(told["consistent"])
            self.assertIn("writing to", told["error"]["message"])

    def test_export_is_sparse(self):
        output, _ = self.export(self.extracted("index"))
        used = sum(stop - start for start, stop in self.extents(output))
        self.assertLessEqual(used, 204800 * BLOCK)
        output, _ = self.export(self.extracted("fresh-slab19-logical1T"))
        self.assertEqual(output.stat().st_size, 1 << 40)
        self.assertEqual(self.extents(output), [])

    def test_export_shows_on_a_terminal_how_far_it_is_and_nothing_elsewhere(self):
        image, output = self.extracted("index"), self.folder / "export.out"
        self.assertEqual(self.export(image)[1].stderr, "")
        output.unlink()
        user, terminal = os.openpty()
        try:
            done = subprocess.run([UVDO, "export", image, "-o", output], stdout=subprocess.DEVNULL,
                                  stderr=terminal, check=False)
            shown = os.read(user, 65536).decode()  # it fits into the terminal's buffer
        finally:
            os.close(terminal)
            os.close(user)
        self.assertEqual(done.returncode, 0, shown)
        self.assertRegex(shown, r"\[#* *\] +\d+%")
        self.assertEqual(sha256(output), manifest("index")["sha256"])

    @staticmethod
    def extents(path):
        with open(path, "rb") as file:
            return list(data_extents(file.fileno()))

    def test_export_overwrites_only_when_told(self):
        image = self.extracted("clean")
        output = self.folder / "precious"
        output.write_bytes(b"x" * 10)
        result = uvdo("export", image, "-o", output)
        self.assertEqual(result.returncode, 1)
        self.assertIn("--force", result.stderr)
        self.assertEqual(output.read_bytes(), b"x" * 10)
        self.assertEqual(uvdo("export", image, "-o", output, "--force").returncode, 0)
        self.assertEqual(sha256(output), manifest("clean")["sha256"])
        before = fingerprint(image)
        self.assertEqual(uvdo("export", image, "-o", image, "--force").returncode, 1)
        self.assertEqual(fingerprint(image), before)


class ShiftedVolumeTest(OfflineTest):
    """Volumes that no formatter of today makes."""

    def check(self, image):
        facts = manifest("compressed")
        report = self.json("check", image)
        self.assertTrue(report["consistent"], report)
        output, _ = self.export(image)
        self.assertEqual(sha256(output), facts["sha256"])
        self.assertEqual(judge("audit", image).returncode, 0)

    def test_geometry_of_version_4(self):
        image = self.extracted("compressed")
        fields = geometry_fields(read_block(image, 0))
        with Surgery(image) as knife:
            knife.write(0, geometry_block(fields, version=4))
            info = self.json("info", image)
            self.assertEqual((info["geometryVersion"], info["bioOffset"]), (4, 0))
            self.check(image)

    def test_bio_offset(self):
        """The device lacks its first 1000 blocks: all numbers stay, only places move."""
        image, shifted = self.extracted("compressed"), self.folder / "shifted.img"
        fields = geometry_fields(read_block(image, 0))
        sparse_copy(image, shifted, skip=1000 * BLOCK)
        fields["bio_offset"], fields["index_start"] = 1000, 1001
        with Surgery(shifted) as knife:
            knife.write(0, geometry_block(fields))
            self.assertEqual(self.json("info", shifted)["bioOffset"], 1000)
            self.check(shifted)


class JournalDamageTest(OfflineTest):
    """What is lost with blocks of a recovery journal is told by every tool."""

    def blocks(self, image):
        """(place in the file, sequence) of each block of the journal that would be replayed."""
        info = self.json("info", image)
        ring = info["partitions"]["recovery journal"]["start"]
        first, last = (info["journal"][key] for key in ("firstCurrent", "lastCurrent"))
        return [((ring + s % info["journal"]["blocks"]) * BLOCK, s)
                for s in range(first, last + 1)]

    def expect_loss(self, image, lost):
        report = self.json("check", image, status=1)
        self.assertFalse(report["consistent"])
        self.assertEqual(report["logicalBlocksLostWithJournal"], lost)
        self.assertIn("recovery journal", report["errorsByKind"])
        for command in ("stats", "info", "cat"):
            result = run("sh", "-c", 'exec "$0" "$1" "$2" > /dev/null', UVDO, command, image)
            self.assertEqual(result.returncode, 1, command)
            self.assertIn(f"of up to {lost} logical blocks", result.stderr)
        for command in ("stats", "info"):
            told = self.json(command, image, status=1)  # one object, with what was found out
            told = told if command == "info" else next(iter(told.values()))
            self.assertEqual(told["error"]["code"], "corrupt")
            self.assertIn(f"of up to {lost} logical blocks", told["error"]["message"])
        listed = self.folder / "listed"
        output, result = self.export(image, "--list-damaged", listed, status=1)
        self.assertIn(f"of up to {lost} logical blocks", result.stderr)
        self.assertTrue(output.exists())
        self.assertIn("# the recovery journal is damaged", listed.read_text())
        return report

    def test_a_block_that_is_missing_behind_which_others_are(self):
        image = self.extracted("dirty")
        blocks = self.blocks(image)
        self.assertGreater(len(blocks), 3)
        for place, sequence in blocks[:-1]:
            with self.subTest(sequence), Surgery(image) as knife:
                knife.write(place, bytes(BLOCK))
                report = self.expect_loss(image, 217)
                behind = [finding["text"] for finding in report["findings"]
                          if "a recovery does not apply the" in finding["text"]]
                self.assertEqual(len(behind), 1)
        # The last one may have been on its way to the disk when the power failed.
        with Surgery(image) as knife:
            knife.write(blocks[-1][0], bytes(BLOCK))
            self.json("check", image)

    def test_a_part_of_a_block(self):
        for name in ("dirty", "forcerebuild-dirty"):
            image = self.extracted(name)
            (place, _), *_ = self.blocks(image)
            with self.subTest(name), Surgery(image) as knife:
                knife.write(place + 3 * 512, bytes(512))
                self.expect_loss(image, 31)

    def test_an_entry_that_cannot_be(self):
        image = self.extracted("forcerebuild-dirty")
        (place, _), *_ = self.blocks(image)
        with Surgery(image) as knife:
            knife.write(place + 512 + 3 + 2, bytes(4))  # its page is the geometry block
            self.expect_loss(image, 1)


class DamageTest(OfflineTest):
    """Each kind of damage is found, named, and told from the others."""

    def setUp(self):
        self.image = self.extracted("compressed")
        self.info = self.json("info", self.image)
        slabs = self.info["slabs"]
        self.first = slabs["firstBlock"]
        self.counts = (self.first + slabs["dataBlocks"]) * BLOCK
        self.summary = self.info["partitions"]["slab summary"]["start"] * BLOCK

    def find_mapping(self, wanted):
        """(byte of the entry, lbn, pbn, state) of the first mapping that is wanted."""
        lines = judge("map", self.image, 0, self.info["logicalBlocks"]).stdout.splitlines()
        for line in lines:
            where, pbn, state = line.split()
            if ".." in where or not wanted(int(state), int(pbn)):
                continue
            lbn = int(where)
            return self.entry_place(lbn), lbn, int(pbn), int(state)
        self.fail("no such mapping")

    def leaf(self, lbn):
        """PBN of the leaf of a block, by walking the tree."""
        page = lbn // 812
        root, index = page % 60, page // 60
        pbn = self.info["partitions"]["block map"]["start"] + root
        for height in (4, 3, 2, 1):
            at = pbn * BLOCK + MAP_HEADER + MAP_ENTRY * (index // 812 ** (height - 1) % 812)
            with open(self.image, "rb") as file:
                file.seek(at)
                entry = file.read(MAP_ENTRY)
            pbn = entry[0] >> 4 << 32 | int.from_bytes(entry[1:], "little")
        return pbn

    def entry_place(self, lbn):
        return self.leaf(lbn) * BLOCK + MAP_HEADER + MAP_ENTRY * (lbn % 812)

    @staticmethod
    def entry(pbn, state):
        return bytes([pbn >> 32 << 4 | state]) + struct.pack("<I", pbn & 0xFFFFFFFF)

    def test_wrong_count(self):
        _, _, pbn, _ = self.find_mapping(lambda state, pbn: state == 1 and pbn)
        slab, sbn = divmod(pbn - self.first, self.info["slabs"]["blocks"])
        place = (self.counts + slab * self.info["slabs"]["blocks"] * BLOCK
                 + sbn // 504 * 512 + 8 + sbn % 504)
        with Surgery(self.image) as knife:
            knife.write(place, b"\xC8")
            self.assertEqual(self.errors(self.image), {"reference count": 1})

    def test_wrong_summary(self):
        with Surgery(self.image) as knife:
            with open(self.image, "rb") as file:
                file.seek(self.summary + 1)
                old = file.read(1)[0]
            knife.write(self.summary + 1, bytes([old & 0xC0 | (old + 9 & 0x3F)]))
            self.assertEqual(self.errors(self.image), {"slab summary": 1})

    def test_wrong_counters(self):
        place = self.info["superBlock"] * BLOCK
        block = bytearray(read_block(self.image, self.info["superBlock"]))
        struct.pack_into("<QQ", block, 273, 12345, 54321)
        block[434:438] = checksum(bytes(block[:434]))
        with Surgery(self.image) as knife:
            knife.write(place, bytes(block))
            self.assertEqual(self.errors(self.image),
                             {"logical blocks used": 1, "block map blocks": 1})

    def test_invalid_mapping(self):
        place, lbn, *_ = self.find_mapping(lambda state, pbn: state == 1 and pbn)
        for pbn, state in ((self.first - 1, 1), (self.counts // BLOCK, 1), (1, 0), (0, 5)):
            with self.subTest(pbn=pbn, state=state), Surgery(self.image) as knife:
                knife.write(place, self.entry(pbn, state))
                self.assertEqual(self.errors(self.image)["mapping"], 1)
                result = self.export(self.image, status=1)[1]
                self.assertIn(f"logical block {lbn}:", result.stderr)

    def test_mapping_to_a_tree_page(self):
        place, lbn, *_ = self.find_mapping(lambda state, pbn: state == 1 and pbn)
        with Surgery(self.image) as knife:
            knife.write(place, self.entry(self.leaf(lbn), 1))
            self.assertIn("mapping", self.errors(self.image))

    def test_misplaced_page(self):
        _, lbn, *_ = self.find_mapping(lambda state, pbn: state == 1 and pbn)
        with Surgery(self.image) as knife:
            knife.write(self.leaf(lbn) * BLOCK + 16, struct.pack("<Q", 7))
            self.assertEqual(self.errors(self.image)["block map page"], 1)
            self.assertIn("logical block", self.export(self.image, status=1)[1].stderr)

    def test_tree_that_leads_nowhere(self):
        root = self.info["partitions"]["block map"]["start"] * BLOCK
        with Surgery(self.image) as knife:
            knife.write(root + MAP_HEADER, self.entry(self.first - 5, 1))
            self.assertIn("block map tree", self.errors(self.image))

    def test_damaged_fragment_is_named_and_skipped(self):
        _, lbn, pbn, state = self.find_mapping(lambda state, pbn: state == 2)
        with Surgery(self.image) as knife:
            knife.write(pbn * BLOCK + 8, struct.pack("<H", 0))
            self.assertIn("compressed block", self.errors(self.image))
            output, result = self.export(self.image, status=1)
            self.assertIn(f"logical block {lbn}:", result.stderr)
            self.assertIn("--skip-errors", result.stderr)
            self.assertFalse(output.exists())
            listed = self.folder / "listed"
            output, result = self.export(self.image, "--skip-errors", "--list-damaged", listed,
                                         status=1)
            self.assertEqual(read_block(output, lbn), bytes(BLOCK))
            self.assertTrue(listed.read_text().startswith(f"{lbn} 1 "), listed.read_text())
            checked = uvdo("check", self.image, "--list-damaged", "-")
            self.assertEqual(checked.returncode, 1)
            self.assertIn("logical blocks cannot be read as they were written", checked.stdout)
            self.assertTrue(set(listed.read_text().splitlines())
                            <= set(checked.stdout.splitlines()))
        good, _ = self.export(self.image)
        self.assertNotEqual(read_block(good, lbn), bytes(BLOCK))

    def test_journal_that_should_be_empty(self):
        """A journal block at the journal start of a CLEAN volume."""
        start = self.info["journal"]["start"]
        ring = self.info["partitions"]["recovery journal"]["start"]
        header = struct.pack("<QQQQBHQQBB", 1, 1, start, self.info["nonce"], 3, 0, 0, 0, 0x80, 0)
        with Surgery(self.image) as knife:
            knife.write((ring + start % 32768) * BLOCK, header)
            self.assertEqual(self.errors(self.image), {"recovery journal": 1})

    def test_slab_journal_without_a_tail(self):
        with open(self.image, "rb") as file:
            file.seek(self.summary)
            tail = file.read(1)[0]
        slabs = self.info["slabs"]
        journal = self.first + slabs["dataBlocks"] + slabs["referenceCountBlocks"]
        with Surgery(self.image) as knife:
            knife.write((journal + (tail or 224) - 1) * BLOCK, bytes(BLOCK))
            self.assertIn("slab journal", self.errors(self.image))

    def test_what_is_no_volume_is_told_so(self):
        for name, contents in (("empty", b""), ("zeros", bytes(1 << 20)), ("short", b"dmvdo001")):
            path = self.folder / name
            path.write_bytes(contents)
            for command in ("info", "check", "stats", "cat"):
                result = uvdo(command, path)
                self.assertEqual(result.returncode, 1)
                self.assertTrue(result.stderr.startswith("uvdo: "), result.stderr)

    def test_broken_headers_are_told(self):
        with Surgery(self.image) as knife:
            knife.write(40, b"\xFF")
            self.assertIn("checksum", uvdo("info", self.image).stderr)
        with Surgery(self.image) as knife:
            knife.write(self.info["superBlock"] * BLOCK + 60, b"\xFF")
            self.assertIn("checksum", uvdo("info", self.image).stderr)

    def test_truncated_device(self):
        short = self.folder / "short.img"
        sparse_copy(self.image, short)
        with open(short, "r+b") as file:
            file.truncate((self.info["partitions"]["slab summary"]["start"] + 1) * BLOCK)
        result = uvdo("check", short)
        self.assertEqual(result.returncode, 1)
        self.assertIn("ends before", result.stdout + result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
