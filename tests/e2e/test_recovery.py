#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes that a Linux kernel left dirty, read-only or to be rebuilt: uvdo starts them, stops them,
and independent referees look at what is on the disk then."""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

from support import BLOCK, UVDO, Surgery, extract, fingerprint, judge, manifest, run, sha256, uvdo


class RecoveryTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-recovery-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def start(self, image, *arguments):
        """Serves a volume; returns the process and the lines that it printed until it was ready."""
        server = subprocess.Popen(
            [UVDO, "serve", image, "--nbd", f"unix:{self.folder}/nbd", "--control",
             f"{self.folder}/control", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(server.stdout.close)
        lines = []
        for line in server.stdout:
            lines.append(line.rstrip())
            if line.startswith("serving "):
                return server, lines
        self.fail("\n".join(lines))

    def stop(self, server):
        server.send_signal(signal.SIGTERM)
        lines = server.stdout.read().splitlines()
        self.assertEqual(server.wait(timeout=300), 0, lines)
        return lines

    def restart(self, image):
        server, lines = self.start(image)
        return lines + self.stop(server)

    def info(self, image):
        return json.loads(uvdo("info", "--json", image).stdout)

    def expect_consistent(self, image):
        report = uvdo("check", image)
        self.assertEqual(report.returncode, 0, report.stdout)
        judged = judge("audit", image)
        self.assertEqual(judged.returncode, 0, judged.stdout + judged.stderr)

    def export(self, image, *options):
        output = self.folder / "content"
        output.unlink(missing_ok=True)
        result = uvdo("export", image, "-o", output, *options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return output

    def expect_stable_extents(self, image, facts):
        """Everything that had been flushed is there, byte for byte."""
        fd = os.open(self.export(image), os.O_RDONLY)
        try:
            for extent in facts["extents"]:
                if extent["state"] != "stable":
                    continue
                data = os.pread(fd, extent["blocks"] * BLOCK, extent["lba"] * BLOCK)
                self.assertEqual(hashlib.sha256(data).hexdigest(), extent["sha256"], extent)
        finally:
            os.close(fd)

    def test_dirty_volumes_recover_as_the_kernel_recovers_them(self):
        for name in os.environ.get("UVDO_DIRTY", "dirty dirty-compressed dirty-entries").split():
            with self.subTest(name):
                image, facts = extract(name, self.folder), manifest(name)
                before = self.info(image)
                lines = self.restart(image)
                self.assertIn("device was dirty, rebuilding reference counts", lines)
                info = self.info(image)
                self.assertEqual(info["state"], "CLEAN")
                self.assertEqual(info["completeRecoveries"], before["completeRecoveries"] + 1)
                self.expect_stable_extents(image, facts)
                self.assertEqual(sha256(self.export(image)), facts["sha256"])
                self.expect_consistent(image)
                image.unlink()

    def test_a_killed_server_leaves_what_recovers(self):
        image, facts = extract("dirty", self.folder), manifest("dirty")
        for _ in range(3):
            server, _lines = self.start(image)
            server.kill()
            server.wait()
        self.restart(image)
        self.assertEqual(sha256(self.export(image)), facts["sha256"])
        self.expect_consistent(image)

    def test_read_only_volumes_are_read_and_not_touched(self):
        for name in ("readonly", "readonly-dirty"):
            with self.subTest(name):
                image, facts = extract(name, self.folder), manifest(name)
                before = fingerprint(image)
                lines = self.restart(image)
                self.assertTrue(any("for reading only" in line for line in lines), lines)
                self.assertEqual(fingerprint(image), before)
                # The manifest is what the kernel reads, which leaves the journal out.
                self.assertEqual(sha256(self.export(image, "--without-journal")), facts["sha256"])
                image.unlink()

    def served_sha256(self, image, *options):
        server, _lines = self.start(image, *options)
        out = self.folder / "served"
        done = run("nbdcopy", f"nbd+unix:///?socket={self.folder}/nbd", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.stop(server)
        digest = sha256(out)
        out.unlink()
        return digest

    def test_what_is_read_of_a_read_only_volume_is_what_a_rebuild_brings_back(self):
        for name in ("readonly", "readonly-dirty", "forcerebuild", "forcerebuild-dirty", "dirty"):
            with self.subTest(name):
                image, facts = extract(name, self.folder), manifest(name)
                before = fingerprint(image)
                exported = sha256(self.export(image))
                checked = uvdo("check", image)
                self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
                cat = run("sh", "-c", 'exec "$0" cat "$1" | sha256sum', UVDO, image)
                self.assertEqual(cat.stdout.split()[0], exported)
                self.assertEqual(self.served_sha256(image, "--read-only"), exported)
                used = json.loads(uvdo("stats", "--json", image).stdout)[str(image)]
                self.assertEqual(self.info(image)["logicalBlocksUsed"], used["logicalBlocksUsed"])
                if name != "dirty":
                    kernel = self.served_sha256(image, "--read-only", "--without-journal")
                    self.assertEqual(kernel, sha256(self.export(image, "--without-journal")))
                    if name.startswith("readonly"):
                        self.assertEqual(kernel, facts["sha256"])
                    self.assertEqual(kernel != exported, name == "readonly-dirty" or
                                     name == "forcerebuild-dirty")
                self.assertEqual(fingerprint(image), before)
                if name.startswith("readonly"):
                    done = uvdo("rebuild", image)
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                else:
                    self.restart(image)
                self.assertEqual(sha256(self.export(image)), exported)
                after = json.loads(uvdo("stats", "--json", image).stdout)[str(image)]
                for key in ("logicalBlocksUsed", "dataBlocksUsed", "overheadBlocksUsed"):
                    self.assertEqual(used[key], after[key], key)
                image.unlink()

    def test_a_file_that_nobody_may_write_is_served_for_reading(self):
        image = extract("dirty", self.folder)
        before, expected = fingerprint(image), sha256(self.export(image))
        device, undo = image, None
        if os.geteuid() == 0:
            made = run("losetup", "--find", "--show", "--read-only", image)
            if made.returncode == 0:
                device = made.stdout.strip()
                undo = ("losetup", "--detach", device)
        image.chmod(0o444)
        try:
            if os.geteuid() != 0 or undo:
                refused = uvdo("serve", device, "--nbd", f"unix:{self.folder}/nbd")
                self.assertEqual(refused.returncode, 1)
                self.assertIn("give --read-only", refused.stderr)
            self.assertEqual(self.served_sha256(device, "--read-only"), expected)
        finally:
            if undo:
                run(*undo)
        self.assertEqual(fingerprint(image), before)

    def test_a_dry_run_tells_what_a_rebuild_would_keep_and_changes_nothing(self):
        image = extract("readonly-dirty", self.folder)
        before = fingerprint(image)
        result = uvdo("rebuild", "--dry-run", image)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("Nothing would be lost.", result.stdout)
        self.assertEqual(fingerprint(image), before)
        kept = result.stdout.split(" logical blocks in ")[0].split()[-1].replace(",", "")
        result = uvdo("rebuild", image)
        self.assertEqual(result.returncode, 0, result.stderr)
        info = self.info(image)
        self.assertEqual(str(info["logicalBlocksUsed"]), kept)

    def test_read_only_volumes_are_rebuilt(self):
        for name in ("readonly", "readonly-dirty"):
            with self.subTest(name):
                image, facts = extract(name, self.folder), manifest(name)
                result = uvdo("rebuild", image)
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
                info = self.info(image)
                self.assertEqual((info["state"], info["completeRecoveries"],
                                  info["readOnlyRecoveries"]), ("CLEAN", 1, 1))
                self.expect_consistent(image)
                if name == "readonly":
                    self.assertEqual(sha256(self.export(image)), facts["sha256"])
                image.unlink()

    def test_volumes_marked_for_a_rebuild_are_rebuilt_at_their_start(self):
        for name in ("forcerebuild", "forcerebuild-dirty"):
            with self.subTest(name):
                image, facts = extract(name, self.folder), manifest(name)
                lines = self.restart(image)
                self.assertIn("rebuilding reference counts to clear read-only mode", lines)
                self.assertEqual(self.info(image)["state"], "CLEAN")
                self.expect_stable_extents(image, facts)
                self.assertEqual(sha256(self.export(image)), facts["sha256"])
                self.expect_consistent(image)
                image.unlink()

    def test_a_rebuild_that_loses_something_asks_first(self):
        image = extract("readonly", self.folder)
        with Surgery(image) as knife:
            # The map's first tree gets an entry that leads to the super block.
            info = self.info(image)
            root = info["superBlock"] + 1
            with open(image, "rb") as file:
                for tree in range(60):
                    page = os.pread(file.fileno(), BLOCK, (root + tree) * BLOCK)
                    if page[32] == 1:
                        break
            knife.write((root + tree) * BLOCK + 36 + 5 * 7,
                        bytes([1]) + (info["superBlock"]).to_bytes(4, "little"))
            refused = uvdo("rebuild", image)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("1 entries of the block map that lead to no page", refused.stdout)
            self.assertEqual(self.info(image)["state"], "READ_ONLY_MODE")
            done = uvdo("rebuild", "--yes", image)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.expect_consistent(image)
            knife.undo.clear()

    def test_only_volumes_that_need_it_are_rebuilt(self):
        image = extract("dirty", self.folder)
        result = uvdo("rebuild", image)
        self.assertEqual(result.returncode, 1)
        self.assertIn("needs no rebuild", result.stderr)


if __name__ == "__main__":
    unittest.main()
