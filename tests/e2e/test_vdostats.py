#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The program by its name vdostats: the table and the list of VDO 6 and of VDO 8, of volumes that are
served; names of them; exit statuses."""
import os
import pathlib
import random
import re
import unittest

import test_attach
from served import MIB, Served
from support import TESTS, UVDO, run, uvdo

HEAD_6 = "Device               1K-blocks      Used Available Use% Space saving%"


class Vdostats:
    """A link of that name, and what it says."""

    def vdostats(self, *arguments, **more):
        link = self.folder / "vdostats"
        if not link.is_symlink():
            link.symlink_to(pathlib.Path(UVDO).resolve())
        more.setdefault("env", {key: value for key, value in os.environ.items() if key != "VDOSTATS_FORM"})
        return run(link, *arguments, **more)

    def told(self, *arguments, **more):
        done = self.vdostats(*arguments, **more)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def fields(self, *arguments):
        """Labels and values of one volume's list."""
        lines = self.told("--verbose", *arguments).splitlines()[1:]
        return {label.strip(): value for label, value in (line.split(" : ") for line in lines)}


class Listed(Served, Vdostats):
    def setUp(self):
        super().setUp()
        self.serve()
        client = self.connect()
        data = random.Random(1).randbytes(MIB)
        self.wait_for_index()
        for at in (0, 8 * MIB):  # the same twice
            client.pwrite(data, at)
        client.flush()
        client.shutdown()

    def row(self, *arguments, **more):
        return self.told(*arguments, **more).splitlines()[1].split()

    def test_the_table_is_that_of_vdo_6(self):
        stats = self.stats()
        used = 4 * (stats["dataBlocksUsed"] + stats["overheadBlocksUsed"])
        size = 4 * stats["physicalBlocks"]
        lines = self.told(self.image).splitlines()
        width = max(20, len(str(self.image)))
        self.assertEqual(lines[0], HEAD_6.replace("Device".ljust(20), "Device".ljust(width)))
        self.assertEqual(lines[1], f"{str(self.image):<{width}} {size:>9} {used:>9} {size - used:>9} "
                                   f"{100 * used // size:>3}% {50:>12}%")
        self.assertEqual(len(lines), 2)
        rows = [line.split() for line in self.told().splitlines()]
        self.assertIn(lines[1].split(), rows, "without a name all are shown")

    def test_sizes_for_people_and_beginnings_of_options(self):
        self.assertEqual(self.row("--human-readable", self.image)[1], "4.0G")
        self.assertEqual(self.row("--hu", self.image)[1], "4.0G")
        self.assertEqual(self.row("--hu", "--si", self.image)[1], "4.3G")
        self.assertEqual(self.row("--si", self.image)[1], str(4 * MIB), "it needs --human-readable")
        self.assertEqual(self.told("--hu", self.image).split()[1], "Size")

    def test_the_table_is_that_of_vdo_8_on_demand(self):
        by_option = self.told("--form", "8", self.image)
        self.assertRegex(by_option, r"^Device +1k-blocks ")
        self.assertEqual(by_option, self.told(self.image, env={**os.environ, "VDOSTATS_FORM": "8"}))
        self.assertEqual(self.told(self.image), self.told(
            "--form=6", self.image, env={**os.environ, "VDOSTATS_FORM": "8"}))
        self.assertEqual(self.row("--form", "8", "--si", self.image)[1], "4.3G", "it implies the other")

    def test_the_list_has_all_figures(self):
        told = self.told("--verbose", self.image)
        self.assertTrue(told.startswith(f"{self.image} :\n  version    "), told[:80])
        for name in ("--all", "-a", "-v", "--al", "--verb"):
            self.assertEqual(len(self.told(name, self.image).splitlines()), 148)
        fields, stats = self.fields(self.image), self.stats()
        self.assertEqual(len(fields), 147)
        for label, value in (("version", 31), ("release version", 133524), ("write policy", "async"),
                             ("data blocks used", 256), ("logical blocks used", 512), ("saving percent", 50),
                             ("block map cache size", stats["blockMapCacheSize"]), ("operating mode", "normal"),
                             ("dedupe advice valid", stats["hashLock"]["dedupeAdviceValid"]),
                             ("bios in write", stats["biosIn"]["write"]), ("512 byte emulation", "on"),
                             ("KVDO module bytes used", stats["memoryUsage"]["bytesUsed"])):
            self.assertEqual(fields[label], str(value), label)
        self.assertGreater(int(fields["bios in write"]), 0)
        self.assertIn("entries indexed", self.fields("--form", "8", self.image))

    def test_a_volume_is_named_by_any_path_and_by_its_name_in_the_registry(self):
        link = self.folder / "link"
        link.symlink_to(self.image)
        for name in (self.image, link, "v.img", "./link"):
            self.assertEqual(self.row(name, cwd=self.folder)[0], str(name))
        config = self.folder / "config"
        (config / "volumes.d").mkdir(parents=True)
        uuid = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uvdo("info", self.image).stdout)[0]
        (config / "volumes.d/archive.toml").write_text(f'uuid = "{uuid}"\nvolume = "{self.image}"\n')
        told = self.told("archive", env={**os.environ, "UVDO_CONFIG_DIR": str(config)})
        self.assertRegex(told, r"\narchive +\d+ ")

    def test_what_is_not_there_is_told_and_the_rest_is_shown(self):
        done = self.vdostats("nonsense", self.image)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^vdostats: nonsense is no running VDO volume .*\n$")
        self.assertEqual(len(done.stdout.splitlines()), 2)
        self.stop()
        done = self.vdostats(self.image)
        self.assertEqual((done.returncode, done.stdout), (1, ""), "a stopped one has no statistics")

    def test_wrong_arguments_are_status_2(self):
        for arguments in (["--nonsense"], ["--h"], ["--ver"], ["--form", "7"], ["--form"]):
            done = self.vdostats(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""), arguments)
            self.assertRegex(done.stderr, r"^vdostats: .*\n$")
        self.assertRegex(self.told("-V"), r"^vdostats version is: \d+\.\d+\.\d+\n$")
        self.assertEqual(self.told("--version"), self.told("-V"))
        full = run("sh", "-c", f"exec {self.folder}/vdostats > /dev/full")
        self.assertEqual(full.returncode, 1, "what was printed has not arrived")

    def test_the_shell_completes_options_and_volumes(self):
        self.told("--version")  # makes the link
        script = TESTS.parent / "docs/completion/vdostats"

        def completed(*words):
            asked = run("bash", "-c", 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                        '_vdostats; printf "%s\\n" "${COMPREPLY[@]}"', "bash", script,
                        self.folder / "vdostats", *words)
            self.assertEqual((asked.returncode, asked.stderr), (0, ""))
            return asked.stdout.split()
        self.assertEqual(completed("--hu"), ["--human-readable"])
        self.assertLessEqual({"--si", "--verbose", "--all", "--form", "--help", "--version"}, set(completed("--")))
        self.assertEqual(completed("--form", ""), ["6", "8"])
        self.assertIn(str(self.image), completed(str(self.folder)))

    def test_the_manual_has_every_option(self):
        shown = set(re.findall(r"--[a-z-]+", self.told("--help")))
        page = (TESTS.parent / "docs/man/vdostats.8.scd").read_text()
        self.assertLessEqual(shown, set(re.findall(r"--[a-z-]+", page)))
        self.assertIn("VDOSTATS_FORM", page)


class Device(test_attach.Attached, Vdostats):
    def test_a_device_has_its_name_and_its_paths(self):
        device = self.attach()
        name = self.image.stem
        link = f"/dev/uvdo/{name}"
        table = self.told()
        self.assertRegex(table, rf"(?m)^{link} +\d+ ", "as its stable path")
        self.assertRegex(self.told("--form", "8"), rf"(?m)^{name} +\d+ ", "as its bare name")
        for word in (name, link, device, pathlib.Path(device).name, self.image):
            self.assertRegex(self.told(word), rf"\n{word} +\d+ ")
        self.assertEqual(self.vdostats(f"/dev/mapper/{name}").returncode, 1, "there is no such link")
        pathlib.Path("/dev/mapper").mkdir(exist_ok=True)
        mapped = pathlib.Path("/dev/mapper", name)
        mapped.symlink_to(device)
        self.addCleanup(mapped.unlink)
        self.assertRegex(self.told(), rf"(?m)^{link} +\d+ ", "links of others are no names of it")
        self.assertRegex(self.told(mapped), rf"\n{mapped} +\d+ ")


if __name__ == "__main__":
    unittest.main(verbosity=2)
