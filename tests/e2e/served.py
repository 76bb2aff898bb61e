# SPDX-License-Identifier: GPL-2.0-or-later
"""The base of suites that drive a served volume: start, stop, clients, and all referees."""
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest

import support
from support import UVDO, judge, run, uvdo, wait_until

MIB = 1 << 20
IS_SANITIZED = "asan" in str(UVDO) or "tsan" in str(UVDO)


def peak_memory(pid):
    """The most memory that a process has had at once, in bytes."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


class Served(unittest.TestCase):
    """A fresh volume for each test; `content` is what its beginning must hold."""
    SIZE, LOGICAL, SLAB_BITS = "4G", 128 * MIB, 13

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-e2e."))
        self.addCleanup(shutil.rmtree, self.folder)
        self.image, self.server = self.folder / "v.img", None
        self.socket = self.folder / "nbd"
        self.uri = f"nbd+unix:///?socket={self.socket}"
        made = uvdo("format", self.image, "--size", self.SIZE, "--slab-bits", self.SLAB_BITS,
                    "--logical-size", f"{self.LOGICAL // MIB}M")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.content = bytearray()

    def tearDown(self):
        self.kill()

    def kill(self):
        if self.server and self.server.poll() is None:
            self.server.kill()
            self.server.wait()

    # ---- the server

    def log(self):
        return (self.folder / "serve.log").read_text()

    def serve(self, *options, **process):
        with open(self.folder / "serve.log", "w") as log:
            self.server = subprocess.Popen(
                [UVDO, "serve", self.image, "--nbd", f"unix:{self.socket}", *options],
                stdout=log, stderr=subprocess.STDOUT, **process)
        for _ in range(6000):
            if "of memory" in self.log():
                return
            if self.server.poll() is not None:
                break
            time.sleep(0.01)
        self.fail(self.log())

    def wait_until(self, condition, what):
        self.assertTrue(wait_until(condition), what)

    def wait_for_index(self):
        """The index opens behind the volume: what is written before is not deduplicated."""
        for _ in range(6000):
            if self.stats()["uvdo"]["indexState"] != "opening":
                return
            time.sleep(0.01)
        self.fail("the index does not open")

    def memory_budget(self):
        """What the server has announced at its start, in bytes."""
        announced = re.search(r"up to ([\d.]+) (MiB|GiB) of memory", self.log())
        return float(announced[1]) * (MIB if announced[2] == "MiB" else 1024 * MIB)

    def stop(self):
        stopped = uvdo("stop", self.image)
        self.assertEqual(stopped.returncode, 0, stopped.stderr)
        self.assertEqual(self.server.wait(120), 0, self.log())

    def stats(self):
        told = uvdo("stats", "--json", self.image)
        self.assertEqual(told.returncode, 0, told.stderr)
        return next(iter(json.loads(told.stdout).values()))

    # ---- the referees

    def expected_sha256(self):
        digest = hashlib.sha256(self.content)
        rest, zeros = self.LOGICAL - len(self.content), bytes(MIB)
        while rest > 0:
            digest.update(zeros[:min(rest, MIB)])
            rest -= MIB
        return digest.hexdigest()

    def judge_volume(self, sha256=None):
        """All referees on the stopped volume: it is consistent and holds what it should."""
        for name, result in (("check", uvdo("check", self.image)),
                             ("check_image.py", judge("audit", self.image))):
            self.assertEqual(result.returncode, 0, f"{name}: {result.stdout}{result.stderr}")
        vdoaudit = support.vdo_program("vdoaudit")
        if vdoaudit:
            audit = run(vdoaudit, "--summary", self.image)
            self.assertEqual(audit.returncode, 0, audit.stdout + audit.stderr)
        told = judge("sha256", self.image)
        self.assertIn(sha256 or self.expected_sha256(), told.stdout.split(), told.stderr)

    def stop_and_judge(self, sha256=None):
        self.assertEqual(uvdo("flush", self.image).returncode, 0)
        savings = self.stats()["savings"]
        self.stop()
        self.judge_volume(sha256)
        self.assertEqual(self.stats()["savings"], savings, "a running volume knows what it saves")

    def stop_and_judge_what_clients_read(self):
        """For tests that cannot know the contents: what is read through NBD must be on the disk."""
        out = self.folder / "read.img"
        done = run("nbdcopy", self.uri, out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.stop_and_judge(support.sha256(out))

    # ---- clients

    def connect(self, structured=True):
        """A client of libnbd. (Its module is not everywhere.)"""
        import nbd
        client = nbd.NBD()
        client.set_request_structured_replies(structured)
        client.connect_unix(str(self.socket))
        return client

    def qemu_io(self, *commands, expect=0):
        arguments = []
        for command in commands:
            arguments += ["-c", command]
        done = run("qemu-io", "-f", "raw", "-t", "none", *arguments, self.uri)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        self.assertNotIn("failed", done.stdout if expect == 0 else "")
        return done.stdout

    def note(self, offset, data):
        """Notes what must be read at `offset`."""
        if len(self.content) < offset:
            self.content.extend(bytes(offset - len(self.content)))
        self.content[offset:offset + len(data)] = data

    def write(self, offset, data):
        """Writes through NBD, and notes what must be read."""
        source = self.folder / "data"
        source.write_bytes(data)
        self.qemu_io(f"write -s {source} {offset} {len(data)}")
        self.note(offset, data)

    def copy_in(self):
        source = self.folder / "in.img"
        source.write_bytes(self.content)
        done = run("nbdcopy", "--flush", source, self.uri)
        self.assertEqual(done.returncode, 0, done.stderr)
        source.unlink()
