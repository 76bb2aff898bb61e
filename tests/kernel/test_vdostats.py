#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vdostats, a name of uvdo, of volumes that the kernel's dm-vdo serves: what it says is what the
vdostats of Debian's package vdo says.

Environment: UVDO, UVDO_JUDGES as of support.py; UVDO_KERNEL_LAB, UVDO_KERNEL_REQUIRED as of exchange.py.
"""
import os
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

import host_programs
import lab
import vm

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import support  # noqa: E402

MIB = 1 << 20
SIZE, LOGICAL = 4096 * MIB, 128 * MIB
# VDO 8.3.0 cuts them to whole numbers in its list.
CUT = r"(?m)^  (used percent|write amplification ratio) .*\n"


class Vdostats(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-vdostats."))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        # The guest has it by the name of the file; beside it the one that it is compared with.
        ours, theirs = cls.folder / "vdostats", cls.folder / "their_vdostats"
        shutil.copy(support.UVDO, ours)
        shutil.copy(THEIRS, theirs)
        disk = cls.folder / "volume.img"
        made = support.uvdo("format", disk, "--size", f"{SIZE // MIB}M", "--slab-bits", 13,
                            "--logical-size", f"{LOGICAL // MIB}M")
        assert made.returncode == 0, made.stderr
        guest = host_programs.Guest(LAB, cls.folder, [], [], own=[ours, theirs])
        cls.machine = vm.Machine(guest, [disk], ACCELERATOR)
        cls.addClassCleanup(cls.machine.kill)
        cls.guest = cls.machine.run
        cls.guest("modprobe dm-vdo 2>/dev/null; "
                  "echo 0 2048 linear /dev/vda 0 | dmsetup create other && dmsetup remove other; "
                  f"start v /dev/vda {LOGICAL // 4096} {SIZE // 4096} 4096 && wait_index v")
        cls.guest("dd if=/dev/urandom of=/run/data bs=1M count=4 status=none; for at in 0 8M; do "
                  "copy /run/data 0 /dev/mapper/v $at 4M 2>/dev/null || dd if=/run/data of=/dev/mapper/v "
                  "bs=1M seek=${at%M} oflag=direct conv=notrunc status=none; done; sync")

    def told(self, *arguments, program="vdostats"):
        return self.guest(" ".join((program, *arguments)))

    def test_the_table_and_the_list_of_form_8_are_those_of_vdo(self):
        self.assertEqual(self.told("--form 8"), self.told(program="their_vdostats"))
        for arguments in ("v", "--human-readable v", "--si v"):
            self.assertEqual(self.told("--form 8", arguments),
                             self.told(arguments, program="their_vdostats"), arguments)
        ours, theirs = (re.sub(CUT, "", self.told("--verbose v", program=program))
                        for program in ("VDOSTATS_FORM=8 vdostats", "their_vdostats"))
        self.assertEqual(ours, theirs)
        self.assertEqual(len(ours.splitlines()), 164)

    def test_the_table_and_the_list_of_form_6_say_the_same(self):
        table = self.told().splitlines()
        self.assertEqual(len(table), 2, table)
        eight = self.told("--form 8").splitlines()[1].split()
        six = table[1].split()
        self.assertEqual(six[0], "/dev/mapper/v")
        self.assertEqual(six[1:4], eight[1:4])
        self.assertEqual(six[5], "50%")
        fields = dict(re.findall(r"(?m)^  (.*?) +: (.*)$", self.told("-v v")))
        self.assertEqual(len(fields), 147)
        self.assertEqual(fields["data blocks used"], str(4 * MIB // 4096))
        self.assertEqual(fields["dedupe advice valid"], str(4 * MIB // 4096))

    def test_only_volumes_of_vdo_are_shown_by_all_their_names(self):
        self.guest("echo 0 2048 linear /dev/vda 0 | dmsetup create other 2>/dev/null || "
                   "echo 0 2048 zero | dmsetup create other || true")
        self.assertEqual(len(self.told().splitlines()), 2)
        number = self.guest("dmsetup info -c --noheadings -o minor v").strip()
        for name in ("v", "/dev/mapper/v", f"dm-{number}"):
            self.assertIn(f"\n{name} ", self.told(name))
        self.assertNotEqual(self.guest("vdostats other", check=False)[0], "0")
        self.guest("dmsetup remove other || true")


def main():
    """Exit status 77 if there is no kernel to be had, or a tool is missing."""
    global LAB, ACCELERATOR, THEIRS
    build = pathlib.Path(__file__).resolve().parent.parent.parent / "build"
    THEIRS = support.vdo_program("vdostats")
    try:
        LAB = lab.prepare(os.environ.get("UVDO_KERNEL_LAB", str(build / "kernel")))
        if not THEIRS or not shutil.which("qemu-system-x86_64"):
            raise lab.Unavailable("no package vdo, or no qemu (scripts/install-dependencies test)")
    except lab.Unavailable as problem:
        print(f"no kernel to test with: {problem}", file=sys.stderr)
        sys.exit(1 if os.environ.get("UVDO_KERNEL_REQUIRED") else 77)
    ACCELERATOR = vm.accelerator(LAB)
    unittest.main(module="__main__", verbosity=2)


if __name__ == "__main__":
    main()
