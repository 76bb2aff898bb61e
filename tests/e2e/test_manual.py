#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command has a man page that tells all of its options, and no others; errors are one line."""
import json
import os
import pathlib
import re
import unittest

from support import TESTS, run, uvdo

PAGES = TESTS.parent / "docs/man"
# Commands that take names of volumes, and no paths.
NAMED = {"create", "adopt", "start", "modify", "config", "activate", "deactivate", "rename", "remove"}
OPTION = re.compile(r"--[a-z][a-z-]+")


def commands():
    text = uvdo("--help").stdout.split("Commands:\n")[1].split("\nOptions:")[0]
    return [line.split()[0] for line in text.splitlines() if line.startswith("  ")]


class ManualTest(unittest.TestCase):
    def test_every_option_is_in_the_manual(self):
        self.assertIn("format", commands())
        for command in commands():
            with self.subTest(command):
                shown = uvdo(command, "--help")
                self.assertEqual((shown.returncode, shown.stderr), (0, ""))
                options = set(OPTION.findall(shown.stdout)) - {"--help", "--version"}
                page = (PAGES / f"uvdo-{command}.1.scd").read_text()
                self.assertTrue(page.startswith(f"uvdo-{command}(1)\n"))
                told = set(OPTION.findall(page.split("# OPTIONS")[-1].split("# EXAMPLES")[0]))
                self.assertEqual(options - told, set(), "options without a word in the manual")
                self.assertIn(f"*uvdo-{command}*(1)", (PAGES / "uvdo.1.scd").read_text())

    def test_the_shell_completes_commands_options_and_files(self):
        program = pathlib.Path(os.environ["UVDO"]).resolve()
        script = TESTS.parent / "docs/completion/uvdo"

        def completed(*words):
            asked = run("bash", "-c", 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                        '_uvdo; printf "%s\\n" "${COMPREPLY[@]}"', "bash", script, program, *words)
            self.assertEqual((asked.returncode, asked.stderr), (0, ""))
            return asked.stdout.split()
        self.assertEqual(set(completed("")), {*commands(), "--help", "--version"})
        self.assertEqual(completed("re"), [c for c in commands() if c.startswith("re")])
        for command in commands():
            options = set(OPTION.findall(uvdo(command, "--help").stdout))
            self.assertLessEqual(set(completed(command, "--")), options)
            self.assertIn("--help", completed(command, "--he"))
        self.assertEqual(completed("serve", "--no-space"), ["--no-space-timeout"])
        self.assertEqual(completed("index", "cr"), ["create"])
        self.assertEqual(completed("info", str(script)), [str(script)])

    def test_the_first_page_names_all_others(self):
        pages = sorted(page.name.removesuffix(".1.scd") for page in PAGES.glob("uvdo-*.1.scd"))
        self.assertEqual(pages, sorted(f"uvdo-{command}" for command in commands()))
        see_also = (PAGES / "uvdo.1.scd").read_text().split("# SEE ALSO")[1]
        self.assertEqual(re.findall(r"\*([a-z-]+)\*\(1\)", see_also), pages)

    def test_a_block_device_is_named_by_its_number_in_every_command(self):
        more = {"serve": ["--nbd", "unix:x"], "export": ["-o", "x"], "set": ["compression=on"],
                "grow": ["--logical", "1G"]}
        for command in set(commands()) - {"list"} - NAMED:   # which take none
            with self.subTest(command):
                before = ["enable"] if command == "index" else []
                told = uvdo(command, *before, "4000:99999", *more.get(command, []))
                self.assertIn(told.returncode, (1, 2))
                # A plugin of Nagios tells all on standard output.
                self.assertIn("MAJOR:MINOR", told.stdout if command == "monitor" else told.stderr)

    def test_errors_are_told_as_json_where_results_are(self):
        has_json = [c for c in commands() if "--json" in uvdo(c, "--help").stdout]
        for command in ("format", "grow", "rebuild", "export", "check", "stats", "status", "info"):
            self.assertIn(command, has_json)
        more = {"export": ["-o", "/nonexistent/x"], "grow": ["--logical", "1G"]}
        for command in has_json:
            for status, arguments in ((1, ["/nonexistent/volume", *more.get(command, [])]),
                                      (2, ["--nonsense", "x"])):
                with self.subTest((command, status)):
                    told = uvdo(command, "--json", *arguments)
                    self.assertIn(told.returncode, (status, 2))
                    error = json.loads(told.stdout)["error"]
                    self.assertEqual(told.stderr, f"uvdo: {error['message']}\n")
                    if status == 2:
                        self.assertEqual(error["code"], "invalid_argument")

    def test_version_and_help(self):
        self.assertRegex(uvdo("--version").stdout, r"^uvdo \d+\.\d+\.\d+\n$")
        for command in commands():
            self.assertRegex(uvdo(command, "--version").stdout, r"^uvdo \d+\.\d+\.\d+\n$")

    def test_wrong_usage_is_one_sentence_and_status_2(self):
        for arguments in (("nonsense",), ("info",), ("check", "--nonsense", "x"), ("format",),
                          ("export", "x"), ("stats", "--json", "--verbose", "x"),
                          ("cat", "--offset", "many", "x")):
            with self.subTest(arguments):
                result = uvdo(*arguments)
                self.assertEqual(result.returncode, 2)
                self.assertTrue(result.stderr.startswith("uvdo: "), result.stderr)
                self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertEqual(uvdo().returncode, 2)

    def test_what_does_not_exist_is_told(self):
        for command in ("info", "check", "stats", "cat"):
            result = uvdo(command, "/nonexistent/volume")
            self.assertEqual(result.returncode, 1)
            self.assertEqual(result.stderr.count("\n"), 1)
            self.assertIn("/nonexistent/volume", result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
