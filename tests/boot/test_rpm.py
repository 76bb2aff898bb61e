#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The RPM spec: rpmbuild makes the packages of what was compiled for Debian's, and they hold the same files.

Environment: UVDO_PACKAGES (the folder with the .deb files and what was compiled for them).
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCES = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = pathlib.Path(os.environ.get("UVDO_PACKAGES", SOURCES / "build/deb"))
# Each kind of package has its own way with what is written about it.
APART = re.compile(r"^/usr/(share/(doc|doc-base|licenses|lintian)|lib/\.build-id)/")


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        raise AssertionError(f"{command}: exit status {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


def without_ways(paths):
    """Paths of files, as both kinds of packages would have them."""
    return {path.removesuffix(".gz").replace("zsh/vendor-completions", "zsh/site-functions")
            for path in paths if not APART.match(path)}


class Rpm(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-rpm."))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        run(SOURCES / "scripts/build-rpm", cls.folder, PACKAGES / "uvdo/obj-deb")

    def package(self, name):
        found = list((self.folder / "RPMS").glob(f"*/{name}-[0-9]*.rpm"))
        self.assertEqual(len(found), 1, found)
        return found[0]

    def test_its_packages_hold_what_those_of_debian_hold(self):
        for name in ("uvdo", "uvdo-rbd", "uvdo-vdo-compat"):
            listed = run("rpm", "-qp", "--qf", "[%{FILEMODES:perms} %{FILENAMES}\n]", self.package(name))
            own = {line.split(" ", 1)[1] for line in listed.splitlines() if not line.startswith("d")}
            package = next(PACKAGES.glob(f"{name}_*.deb"))
            held = {line.split(None, 5)[5].split(" -> ")[0].removeprefix(".")
                    for line in run("dpkg-deb", "-c", package).splitlines() if not line.startswith("d")}
            self.assertEqual(without_ways(own), without_ways(held), name)

    def test_what_they_run_is_shell(self):
        scripts = run("rpm", "-qp", "--scripts", self.package("uvdo"))
        for name in ("upgrade-servers", "stop-servers"):
            self.assertIn(f"/usr/share/uvdo/{name}", scripts)
        self.assertNotIn("%", scripts, "a macro that is not known")
        for script in re.split(r"(?m)^\w+ scriptlet \(using /bin/sh\):\n", scripts)[1:]:
            run("sh", "-n", "-c", script)

    def test_the_commands_of_vdo_need_the_program_of_that_version(self):
        version = run("rpm", "-qp", "--qf", "%{VERSION}-%{RELEASE}", self.package("uvdo"))
        self.assertIn(f"uvdo = {version}\n", run("rpm", "-qp", "--requires", self.package("uvdo-vdo-compat")))


if __name__ == "__main__":
    if not shutil.which("rpmbuild"):
        print("no rpmbuild", file=sys.stderr)
        sys.exit(77)
    unittest.main(verbosity=2)
