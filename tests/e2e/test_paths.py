#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command is given what is no volume, and no file: it ends at once, with one sentence."""
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import tempfile
import unittest

from support import UVDO, run, uvdo
from test_manual import NAMED, commands

PATIENCE = 10  # seconds; on a machine that has nothing else to do each takes a few milliseconds
NOBODY = 65534

# What stands for the thing in question is PATH, for a sound volume that nobody serves GOOD.
VOLUMES = {
    "format": ["format", "PATH"],
    "serve": ["serve", "PATH", "--nbd", "unix:SOCKET"],
    "status": ["status", "PATH"],
    "info": ["info", "PATH"],
    "top": ["top", "PATH"],
    "stats": ["stats", "PATH"],
    "set": ["set", "PATH", "compression=on"],
    "grow": ["grow", "PATH", "--logical", "1T"],
    "lease": ["lease", "PATH"],
    "trim": ["trim", "PATH"],
    "index": ["index", "close", "PATH"],
    "flush": ["flush", "PATH"],
    "suspend": ["suspend", "PATH"],
    "resume": ["resume", "PATH"],
    "log-level": ["log-level", "PATH"],
    "dump": ["dump", "PATH"],
    "stop": ["stop", "PATH"],
    "check": ["check", "PATH"],
    "rebuild": ["rebuild", "PATH"],
    "cat": ["cat", "PATH"],
    "export": ["export", "PATH", "-o", "OUT"],
    "explain": ["explain", "PATH", "--lbn", "1"],
    "bench": ["bench", "PATH"],
    "attach": ["attach", "PATH", "--log-file", "OUT"],
    "detach": ["detach", "PATH"],
    "upgrade": ["upgrade", "PATH"],
}
# What is no volume is data to the one, and the other waits for what is not there yet.
PATIENT = {
    "estimate": ["estimate", "PATH"],
    "standby": ["standby", "PATH", "--nbd", "unix:SOCKET"],
}
# They tell their verdict on standard output, whatever it is.
JUDGES = {"monitor"}
# Files that are read besides; an empty one and none at all may be right for some.
INPUTS = {
    "serve --config": ["serve", "GOOD", "--nbd", "unix:SOCKET", "--config", "PATH"],
    "format --config": ["format", "NEW", "--config", "PATH"],
    "serve --tls-cert": ["serve", "GOOD", "--nbd", "unix:SOCKET", "--tls-cert", "PATH", "--tls-key", "PATH"],
    "serve --tls-psk": ["serve", "GOOD", "--nbd", "unix:SOCKET", "--tls-psk", "PATH"],
}
# Places that are written to.
OUTPUTS = {
    "format --force": ["format", "PATH", "--size", "4G", "--force"],
    "export -o": ["export", "GOOD", "-o", "PATH"],
    "export --force -o": ["export", "GOOD", "--force", "-o", "PATH"],
    "export --list-damaged": ["export", "GOOD", "-o", "OUT", "--list-damaged", "PATH"],
    "check --list-damaged": ["check", "GOOD", "--list-damaged", "PATH"],
    "serve --log-file": ["serve", "GOOD", "--nbd", "unix:SOCKET", "--log-file", "PATH"],
}
# Sockets of servers: whatever is no socket, nobody serves there. (Others go to the disk then.)
CONTROLS = {f"{name} --control": [*(word.replace("PATH", "GOOD") for word in VOLUMES[name]), "--control", "PATH"]
            for name in ("set", "index", "flush", "suspend", "resume", "log-level", "dump", "stop")}


class Paths(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-paths."))
        cls.folder.chmod(0o755)
        cls.good = cls.folder / "good"
        made = uvdo("format", cls.good, "--size", "4G", "--slab-bits", 13, "--logical-size", "64M")
        assert made.returncode == 0, made.stderr
        cls.odd = {"fifo": cls.folder / "fifo", "socket": cls.folder / "socket", "folder": cls.folder / "sub",
                   "null": pathlib.Path("/dev/null"), "zero": pathlib.Path("/dev/zero"),
                   "tty": pathlib.Path("/dev/tty")}
        os.mkfifo(cls.odd["fifo"])
        cls.listening = socket.socket(socket.AF_UNIX)
        cls.listening.bind(str(cls.odd["socket"]))
        cls.odd["folder"].mkdir()
        cls.missing = {"missing": cls.folder / "none", "missing folder": cls.folder / "none/volume"}
        cls.empty = {"empty": cls.folder / "empty"}
        cls.empty["empty"].touch()
        cls.unreadable = cls.folder / "unreadable"
        shutil.copy(cls.empty["empty"], cls.unreadable)
        cls.unreadable.chmod(0)

    @classmethod
    def tearDownClass(cls):
        cls.listening.close()
        shutil.rmtree(cls.folder)

    def snapshot(self):
        return {path.name: (path.lstat().st_mode, path.lstat().st_size, path.lstat().st_mtime_ns)
                for path in self.folder.rglob("*") if not stat.S_ISDIR(path.lstat().st_mode)}

    def refuse(self, arguments, path, **process):
        words = {"PATH": str(path), "GOOD": str(self.good), "NEW": str(self.folder / "new"),
                 "OUT": str(self.folder / "out"), "unix:SOCKET": f"unix:{self.folder}/nbd"}
        command = [words.get(word, word) for word in arguments]
        before = self.snapshot()
        try:
            done = run(UVDO, *command, stdin=subprocess.DEVNULL, timeout=PATIENCE, **process)
        except subprocess.TimeoutExpired:
            self.fail("it waits")
        told = (command, done.returncode, done.stdout, done.stderr)
        self.assertTrue(1 <= done.returncode <= 125, told)
        self.assertTrue(done.stderr.startswith("uvdo: "), told)
        self.assertEqual(done.stderr.count("\n"), 1, told)
        self.assertEqual(done.stdout, "", told)
        self.assertEqual(self.snapshot(), before, told)

    def refuse_all(self, table, *kinds):
        for name, arguments in table.items():
            for kind, path in ((kind, path) for paths in kinds for kind, path in paths.items()):
                with self.subTest(f"{name}: {kind}"):
                    self.refuse(arguments, path)

    def test_the_table_has_every_command(self):
        self.assertEqual(set(VOLUMES), set(commands()) - {"list"} - set(PATIENT) - JUDGES - NAMED)   # which take none

    def test_what_is_no_volume(self):
        self.refuse_all({name: arguments for name, arguments in VOLUMES.items() if name != "bench"},
                        self.odd, self.missing, self.empty)
        odd = {kind: path for kind, path in self.odd.items() if kind != "folder"}  # that it may use
        self.refuse_all({"bench": VOLUMES["bench"]}, odd, self.missing, self.empty)
        self.refuse_all(PATIENT, odd)

    def test_what_is_no_file_to_read(self):
        self.refuse_all(INPUTS, self.odd, self.missing)

    def test_what_cannot_be_written_to(self):
        self.refuse_all(OUTPUTS, self.odd, {"missing folder": self.missing["missing folder"]})

    def test_what_is_no_server(self):
        self.refuse_all(CONTROLS, self.odd, self.missing, self.empty)

    def test_what_may_not_be_read(self):
        process = {}
        if os.geteuid() == 0:
            process = {"user": NOBODY, "group": NOBODY, "extra_groups": [],
                       "env": {**os.environ, "XDG_RUNTIME_DIR": str(self.folder)}}
            try:
                works = run(UVDO, "--version", **process).returncode == 0
            except PermissionError:
                works = False
            if not works:
                self.skipTest("another user cannot run the program where it is")
        for name, arguments in VOLUMES.items():
            with self.subTest(name):
                self.refuse(arguments, self.unreadable, **process)


if __name__ == "__main__":
    unittest.main(verbosity=2)
