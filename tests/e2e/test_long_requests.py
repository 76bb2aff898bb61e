#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests of any length: in pieces, beside other clients, and no longer than somebody wants them."""
import os
import random
import shutil
import signal
import struct
import subprocess
import time
import unittest

import nbd

from nbd_conformance_peers import STATUS, ZEROES, Raw
from served import MIB, Served
from support import run, uvdo

GIB = 1 << 30
LONG = 0xFFFFF000
NO_HOLE = 2


class LongRequests(Served):
    LOGICAL = 16 * GIB

    def raw(self, structured=False):
        raw = Raw(str(self.socket)).greet()
        self.addCleanup(raw.close)
        raw.socket.settimeout(120)
        if structured:
            raw.option(8)
            raw.replies()
            raw.option(10, struct.pack(">III", 0, 1, 15) + b"base:allocation")
            raw.replies()
        return raw.go()

    def expect_exit_within(self, seconds):
        began = time.monotonic()
        self.server.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.wait(120), 0, self.log())
        self.assertLess(time.monotonic() - began, seconds)

    def expect_consistent(self):
        # The content is zeros of many gigabytes, which would take the other referees long.
        checked = uvdo("check", self.image)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_a_stop_does_not_wait_for_what_a_client_has_queued_and_left(self):
        self.serve()
        raw = self.raw()
        for _ in range(1000):
            raw.request(ZEROES, 4 * GIB, LONG, flags=NO_HOLE)
        time.sleep(0.5)
        raw.close()
        self.expect_exit_within(15)
        self.expect_consistent()

    def test_a_stop_does_not_wait_for_clients_that_never_pause(self):
        self.serve()
        flood = self.raw()
        flood.socket.setblocking(False)
        request = struct.pack(">IHHQQI", 0x25609513, NO_HOLE, ZEROES, 1, 4 * GIB, LONG)
        began = time.monotonic()
        self.server.send_signal(signal.SIGTERM)
        while self.server.poll() is None and time.monotonic() - began < 60:
            try:
                flood.socket.send(request * 100)
                flood.socket.recv(1 << 20)
            except BlockingIOError:
                pass
            except OSError:
                break
        self.assertEqual(self.server.wait(60), 0, self.log())
        self.assertLess(time.monotonic() - began, 15)
        self.expect_consistent()

    def test_other_clients_go_on_while_one_asks_for_extents(self):
        self.serve()
        greedy = self.raw(structured=True)
        greedy.request(ZEROES, 4 * GIB, LONG, flags=NO_HOLE)
        magic, error, _ = struct.unpack(">IIQ", greedy.receive(16))
        self.assertEqual((magic, error), (0x67446698, 0))
        for _ in range(100):
            greedy.request(STATUS, 4 * GIB, LONG)
        other = self.connect()
        answered, written = 0, 0
        greedy.socket.setblocking(False)
        while answered < 100:
            # What the other client gets done while this one is served.
            other.pwrite(bytes([written % 251 + 1]) * 4096, written % 100 * 4096)
            written += 1
            try:
                while True:
                    answered += len(greedy.socket.recv(1 << 20)) // 32
            except BlockingIOError:
                pass
        self.assertGreater(written, 20, "one client has kept another waiting")

    def test_the_longest_requests_of_both_kinds_of_clients(self):
        self.serve("--buffers", "16M")
        data = random.Random(3).randbytes(64 * MIB)
        for structured in (True, False):
            client = self.connect(structured)
            self.assertEqual(client.get_block_size(nbd.SIZE_MAXIMUM), 64 * MIB)
            client.pwrite(data, 12345)
            self.assertEqual(client.pread(64 * MIB, 12345), data)
            # As nbd-tester-client's huge integrity test has one.
            self.assertEqual(client.pread(49_865_728, 12345), data[:49_865_728])
            client.set_strict_mode(0)
            with self.assertRaises(nbd.Error):
                client.pread(0, 0)
        self.expect_exit_within(60)

    @unittest.skipUnless(shutil.which("nbdkit"), "nbdkit is not installed")
    def test_nbdkit_passes_long_requests_on(self):
        self.serve()
        source, out = self.folder / "source", self.folder / "out"
        source.write_bytes(random.Random(4).randbytes(100 * MIB))
        proxy = str(self.folder / "proxy")
        nbdkit = subprocess.Popen(["nbdkit", "-f", "-U", proxy, "nbd", f"socket={self.socket}"])
        try:
            for _ in range(500):
                if os.path.exists(proxy):
                    break
                time.sleep(0.01)
            uri = f"nbd+unix:///?socket={proxy}"
            for command in ((source, uri), (uri, out)):
                done = run("nbdcopy", "--request-size=33554432", *command)
                self.assertEqual(done.returncode, 0, done.stderr)
        finally:
            nbdkit.terminate()
            nbdkit.wait()
        with open(out, "rb") as file:
            self.assertEqual(file.read(100 * MIB), source.read_bytes())
        self.expect_exit_within(60)


if __name__ == "__main__":
    unittest.main(verbosity=2)
