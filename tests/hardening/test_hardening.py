#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The program as it lies on the disk: what cmake/hardening.cmake promises is in it."""
import os
import platform
import re
import subprocess
import unittest

PROGRAM = os.environ["UVDO"]


def tell(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True,
                          errors="replace").stdout


class LayoutTest(unittest.TestCase):
    def test_it_is_loaded_anywhere(self):
        self.assertRegex(tell("readelf", "-hW", PROGRAM), r"Type:\s+DYN")
        self.assertRegex(tell("readelf", "-dW", PROGRAM), r"\(FLAGS_1\).*\bPIE\b")

    def test_relocations_are_read_only(self):
        self.assertIn("GNU_RELRO", tell("readelf", "-lW", PROGRAM))
        self.assertRegex(tell("readelf", "-dW", PROGRAM), r"BIND_NOW|\(FLAGS_1\).*\bNOW\b")

    def test_nothing_is_both_writable_and_executable(self):
        segments = re.findall(r"^\s+(LOAD|GNU_STACK)\s.*?\s(R?\s?W?\s?E?)\s+0x[0-9a-f]+$",
                              tell("readelf", "-lW", PROGRAM), re.MULTILINE)
        self.assertIn("GNU_STACK", [kind for kind, flags in segments])
        self.assertEqual([kind for kind, flags in segments if "W" in flags and "E" in flags], [])


class CodeTest(unittest.TestCase):
    def imports(self):
        symbols = tell("readelf", "--dyn-syms", "-W", PROGRAM)
        return set(re.findall(r" UND (\w+)", symbols))

    def test_stacks_are_protected(self):
        self.assertIn("__stack_chk_fail", self.imports())

    def test_library_calls_are_checked(self):
        if os.environ["UVDO_CONFIG"] == "Debug":
            self.skipTest("needs an optimiser")
        checked = {name for name in self.imports()
                   if name.startswith("__") and name.endswith("_chk")}
        self.assertGreaterEqual(len(checked), 3, checked)

    @unittest.skipUnless(platform.machine() == "x86_64", "has no landing pads here")
    def test_functions_have_landing_pads(self):
        code = tell("objdump", "-d", "--no-show-raw-insn", "--disassemble=main", PROGRAM)
        first = re.search(r"<main>:\n\s+[0-9a-f]+:\s+(\w+)", code)
        self.assertIsNotNone(first, code)
        self.assertEqual(first.group(1), "endbr64")

    def test_memory_is_never_unset(self):
        result = subprocess.run([os.environ["UVDO_PROBE"]], check=False)
        if result.returncode == 1 and os.environ["UVDO_COMPILER"] == "GNU":
            self.skipTest("GCC clears more than what is unset")
        if result.returncode == 1 and "clang" in tell("readelf", "-p", ".comment", PROGRAM):
            self.skipTest("this compiler asks for more than a flag")
        self.assertEqual(result.returncode, 0)


class PathsTest(unittest.TestCase):
    def test_where_it_was_built_is_not_in_it(self):
        with open(PROGRAM, "rb") as file:
            content = file.read()
        for path in (os.environ["UVDO_SOURCES"], os.environ["UVDO_BUILD"]):
            self.assertNotIn(path.encode() + b"/", content)
        self.assertIn(b"src/", content, "messages name places of the sources")


if __name__ == "__main__":
    unittest.main(verbosity=2)
