# SPDX-License-Identifier: GPL-2.0-or-later
"""What suites share whose volume is seen by servers of several machines."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

import nbd

from nbd_load import LOGICAL, MIB, Load
from support import BLOCK, UVDO, processes_of, run, uvdo, wait_until


def on_another_machine(folder, *words):
    """The command line of what runs as if there: it does not see this machine's locks of stores that are no
    files."""
    if os.geteuid() != 0:
        other = pathlib.Path(folder) / "elsewhere"
        other.mkdir(exist_ok=True, mode=0o700)
        return ["env", f"XDG_RUNTIME_DIR={other}", UVDO, *words]
    return ["unshare", "--mount", "sh", "-c",
            'mkdir -p /run/uvdo && mount -t tmpfs none /run/uvdo && exec "$@"', "sh", UVDO, *words]


class SeveralMachines(unittest.TestCase):
    """With servers of `volume`, which setUp() of a suite names, and clients that remember what they wrote."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-machines."))
        self.addCleanup(shutil.rmtree, self.folder)
        self.servers = []
        self.addCleanup(self.kill_all)

    def kill_all(self):
        for server in self.servers:
            if server.poll() is None:
                server.kill()
            server.wait()
        # What servers that were killed leave to the next one.
        for keeper in processes_of(self.volume, names=("uvdo", "uvdo-keeper")):
            os.kill(keeper, signal.SIGKILL)

    def do(self, *words, status=0):
        done = uvdo(*words, timeout=120)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def do_elsewhere(self, *words, status=0):
        done = run(*on_another_machine(self.folder, *words), timeout=120)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def format(self):
        self.do("format", self.volume, "--slab-bits", 13, "--logical-size", f"{LOGICAL // MIB}M")

    def log_of(self, name):
        return (self.folder / f"{name}.log").read_text()

    def serve(self, name, *options, elsewhere=False):
        words = ["serve", self.volume, "--nbd", f"unix:{self.folder / name}", *options]
        with open(self.folder / f"{name}.log", "w") as log:
            server = subprocess.Popen(on_another_machine(self.folder, *words) if elsewhere else [UVDO, *words],
                                      stdout=log, stderr=subprocess.STDOUT)
        self.servers.append(server)
        self.assertTrue(wait_until(lambda: "of memory" in self.log_of(name) or server.poll() is not None))
        self.assertIsNone(server.poll(), self.log_of(name))
        return server

    def connect(self, name):
        client = nbd.NBD()
        client.connect_unix(str(self.folder / name))
        return client

    def load(self, name, seed=3, before=None):
        """Also answerable for what `before` has written and this one has not written over."""
        load = Load(self.folder / name, seed)
        if before is not None:
            load.answered = {place: data for place, data in before.answered.items() if place not in before.unsure}
        self.addCleanup(load.end)
        load.start()
        self.assertTrue(wait_until(lambda: load.turns or load.error))
        return load

    def assert_holds(self, load, name):
        client = self.connect(name)
        self.assertEqual(load.wrong(lambda place: client.pread(BLOCK, place * BLOCK)), [])

    def end(self, server, name):
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(60), 0, self.log_of(name))
