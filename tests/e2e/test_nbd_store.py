#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes on the exports of NBD servers: made, served, grown, checked, exported; servers that are killed
under load and lose what was not flushed, and take nothing with them that was; sentences for what cannot be."""
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

import nbd

from support import BLOCK, UVDO, uvdo, wait_until

MIB = 1 << 20
LOGICAL = 64 * MIB
KILLS = 20


def text_hash(text):
    """As src/base/text_hash.h has it."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    return value


class Store:
    """An NBD server over a file, which keeps writes to itself until they are flushed: killed, it loses
    them, as a machine that loses power does."""

    def __init__(self, folder):
        self.image, self.socket, self.server = folder / "disk.img", folder / "store", None
        self.uri = f"nbd+unix:///?socket={self.socket}"
        self.resize("4G")

    def resize(self, size):
        subprocess.run(["truncate", "--size", size, self.image], check=True)

    def start(self, *options):
        self.socket.unlink(missing_ok=True)
        self.server = subprocess.Popen(
            ["nbdkit", "--foreground", "--unix", self.socket, "--filter=cache", *options, "file",
             f"file={self.image}", "cache=writeback"], stderr=subprocess.DEVNULL)
        assert wait_until(self.socket.exists)

    def kill(self):
        if self.server:
            self.server.kill()
            self.server.wait()
            self.server = None


class OnNbd(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-nbd."))
        self.addCleanup(shutil.rmtree, self.folder)
        self.store, self.server, self.standby = Store(self.folder), None, None
        self.addCleanup(self.store.kill)
        self.addCleanup(self.kill)
        self.front = self.folder / "front"

    def kill(self):
        for process in (self.standby, self.server):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        # What a killed server leaves; with the file of the lock ends who keeps its descriptors.
        user = os.geteuid()
        folders = ["/run/uvdo"] if user == 0 else [
            f"{os.environ.get('XDG_RUNTIME_DIR', '/nowhere')}/uvdo", f"/run/user/{user}/uvdo", f"/tmp/uvdo-{user}"]
        name = f"store-{text_hash(f'nbd:unix:{self.store.socket}/'):016x}"
        for folder in folders:
            for left in pathlib.Path(folder).glob(f"{name}.*"):
                left.unlink(missing_ok=True)

    def do(self, *words, status=0):
        done = uvdo(*words, timeout=120)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def format(self):
        self.do("format", self.store.uri, "--slab-bits", 13, "--logical-size", f"{LOGICAL // MIB}M")

    def log(self):
        return (self.folder / "serve.log").read_text()

    def serve(self, uri=None):
        self.front.unlink(missing_ok=True)
        with open(self.folder / "serve.log", "w") as log:
            self.server = subprocess.Popen([UVDO, "serve", uri or self.store.uri, "--nbd", f"unix:{self.front}"],
                                           stdout=log, stderr=subprocess.STDOUT)
        self.assertTrue(wait_until(lambda: "of memory" in self.log() or self.server.poll() is not None))
        self.assertIsNone(self.server.poll(), self.log())

    def connect(self):
        client = nbd.NBD()
        client.connect_unix(str(self.front))
        return client

    def stop(self):
        self.do("stop", self.store.uri)
        self.assertEqual(self.server.wait(60), 0, self.log())

    # ---- all commands

    def test_a_volume_lives_on_an_export(self):
        self.store.start()
        self.format()
        self.assertIn("already holds a VDO volume", self.do("format", self.store.uri, status=1))
        self.serve()
        client, content = self.connect(), random.Random(7).randbytes(MIB)
        client.pwrite(content, 3 * MIB)
        client.zero(BLOCK, 3 * MIB)
        client.trim(BLOCK, 3 * MIB + BLOCK)
        client.flush()
        self.assertIn("All is well", self.do("status", self.store.uri))
        listed = json.loads(self.do("list", "--json"))
        self.assertIn(self.store.uri, json.dumps(listed))
        self.assertIn("is in use by process", self.do("check", self.store.uri, status=1))
        self.stop()
        self.assertIn("consistent", self.do("check", self.store.uri))
        self.do("export", self.store.uri, "--output", self.folder / "out.img")
        expected = bytes(2 * BLOCK) + content[2 * BLOCK:]
        self.assertEqual((self.folder / "out.img").read_bytes()[3 * MIB:4 * MIB], expected)

    def test_other_spellings_call_the_same_volume(self):
        self.store.start()
        self.format()
        self.serve()
        self.connect().flush()
        other = self.store.uri.replace("nbd+unix", "NBD+unix").replace("/", "%2F").replace(
            ":%2F%2F%2F", ":///")
        self.assertNotEqual(other, self.store.uri)
        self.assertIn("is in use", self.do("check", other, status=1))
        self.assertIn("All is well", self.do("status", other))
        # Of a suspended one the name is all that tells.
        self.do("suspend", self.store.uri)
        self.do("resume", other)
        self.assertIn("All is well", self.do("status", self.store.uri))
        self.stop()

    def test_it_grows_with_its_export_while_it_is_in_use(self):
        self.store.start()
        self.format()
        self.serve()
        client = self.connect()
        client.pwrite(b"x" * BLOCK, 0)
        refused = self.do("grow", self.store.uri, "--physical", "6G", status=1)
        self.assertIn("make it larger first", refused)
        client.flush()
        self.store.kill()
        self.store.resize("6G")
        self.store.start()
        self.do("grow", self.store.uri, "--physical", "6G")
        self.assertEqual(client.pread(BLOCK, 0), b"x" * BLOCK)
        self.stop()
        self.assertIn("consistent", self.do("check", self.store.uri))
        self.assertIn("6 GiB", self.do("info", self.store.uri))

    def test_it_grows_under_load_without_a_pause_of_its_server(self):
        self.store.socket.unlink(missing_ok=True)
        server = subprocess.Popen(["nbdkit", "--foreground", "--unix", self.store.socket, "file", self.store.image])
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.assertTrue(wait_until(self.store.socket.exists))
        self.format()
        self.serve()
        client, content, errors, ended = self.connect(), {}, [], threading.Event()
        writer = threading.Thread(target=self.load, args=(client, content, errors, ended))
        writer.start()
        try:
            for size in ("5G", "6G", "7G"):
                self.assertTrue(wait_until(lambda: content or errors))
                self.store.resize(size)
                self.do("grow", self.store.uri, "--physical", size)
        finally:
            ended.set()
            writer.join(60)
        self.assertEqual(errors, [], self.log())
        self.stop()
        self.assertIn("consistent", self.do("check", self.store.uri))

    def test_it_lives_behind_tls(self):
        keys = self.folder / "keys"
        keys.write_text("alice:" + 32 * "ab" + "\n")
        self.store.start("--tls=require", f"--tls-psk={keys}")
        self.store.uri = f"nbds+unix://alice@/?socket={self.store.socket}&tls-psk-file={keys}"
        self.format()
        self.serve()
        client = self.connect()
        client.pwrite(b"t" * BLOCK, 0)
        self.store.kill()
        self.store.start("--tls=require", f"--tls-psk={keys}")
        self.assertEqual(client.pread(BLOCK, 0), b"t" * BLOCK)
        client.flush()
        self.stop()
        self.assertIn("consistent", self.do("check", self.store.uri))

    # ---- servers that go

    def load(self, client, content, errors, ended):
        """Writes and reads at random until told to end; what was answered is in `content`."""
        chosen = random.Random(3)
        try:
            while not ended.is_set():
                places = chosen.sample(range(LOGICAL // BLOCK), 24)
                under_way = []
                for place in places:
                    data = chosen.randbytes(BLOCK)
                    buffer = nbd.Buffer.from_bytearray(bytearray(data))
                    under_way.append((place, data, client.aio_pwrite(buffer, place * BLOCK)))
                for place, data, command in under_way:
                    while not client.aio_command_completed(command):
                        client.poll(1000)
                    content[place] = data
                if chosen.random() < 0.2:
                    client.flush()
                place = chosen.choice(list(content))
                if client.pread(BLOCK, place * BLOCK) != content[place]:
                    raise ValueError(f"block {place} is not what was written")
        except (nbd.Error, ValueError) as error:
            errors.append(error)

    def test_kills_of_the_server_lose_nothing(self):
        self.store.start()
        self.format()
        self.serve()
        client, content, errors, ended = self.connect(), {}, [], threading.Event()
        writer = threading.Thread(target=self.load, args=(client, content, errors, ended))
        writer.start()
        chosen = random.Random(5)
        try:
            for _ in range(KILLS):
                before = len(content)
                time.sleep(chosen.uniform(0.05, 0.4))
                self.store.kill()
                time.sleep(chosen.uniform(0, 0.3))
                self.store.start()
                self.assertEqual(errors, [], self.log())
            self.assertTrue(wait_until(lambda: len(content) > before or errors))
        finally:
            ended.set()
            writer.join(60)
        self.assertFalse(writer.is_alive(), self.log())
        self.assertEqual(errors, [], self.log())
        # With nothing in anybody's memory: what is on the disk after a flush and a last kill.
        client.flush()
        self.stop()
        self.store.kill()
        self.store.start()
        self.assertIn("consistent", self.do("check", self.store.uri))
        self.do("export", self.store.uri, "--output", self.folder / "out.img")
        with open(self.folder / "out.img", "rb") as out:
            wrong = [place for place, data in content.items()
                     if os.pread(out.fileno(), BLOCK, place * BLOCK) != data]
        self.assertEqual(wrong, [])

    def test_status_tells_of_a_server_that_is_away(self):
        self.store.start()
        self.format()
        self.serve()
        client = self.connect()
        client.pwrite(b"a" * BLOCK, 0)
        client.flush()
        self.store.kill()
        command = client.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(b"b" * BLOCK)), 0)
        flush = client.aio_flush()
        told = []

        def is_told():
            told.append(uvdo("status", self.store.uri).stdout)
            return "has not answered for" in told[-1]
        self.assertTrue(wait_until(is_told), told[-1])
        self.assertIn("has not answered", self.log())
        self.store.start()
        for each in (command, flush):
            while not client.aio_command_completed(each):
                client.poll(1000)
        self.assertTrue(wait_until(lambda: "All is well" in uvdo("status", self.store.uri).stdout))
        self.assertIn("answers again", self.log())
        self.stop()

    def test_a_server_with_a_smaller_export_is_not_believed(self):
        self.store.start()
        self.format()
        self.serve()
        client = self.connect()
        self.store.kill()
        self.store.resize("2G")
        self.store.start()
        command = client.aio_pread(nbd.Buffer(BLOCK), 0)
        client.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(b"b" * BLOCK)), 0)
        client.aio_flush()
        self.assertTrue(wait_until(lambda: "has come back with" in uvdo("status", self.store.uri).stdout))
        self.store.kill()
        self.store.resize("4G")
        self.store.start()
        while not client.aio_command_completed(command):
            client.poll(1000)

    def test_requests_fail_when_the_server_stays_away_and_go_on_when_it_is_back(self):
        self.store.start()
        self.store.uri += "&uvdo-wait=1"
        self.format()
        self.serve()
        client = self.connect()
        client.pwrite(b"k" * BLOCK, 0)
        client.flush()
        self.store.kill()
        began = time.monotonic()
        with self.assertRaises(nbd.Error):
            client.pwrite(b"l" * BLOCK, BLOCK)
            client.flush()
        self.assertGreater(time.monotonic() - began, 0.9)
        self.store.start()
        self.assertTrue(wait_until(lambda: client.pread(BLOCK, 0) == b"k" * BLOCK))

    def test_a_volume_is_let_go_of_and_taken_again(self):
        self.store.start()
        self.format()
        self.serve()
        client = self.connect()
        client.pwrite(b"s" * BLOCK, 0)
        self.do("suspend", self.store.uri)
        self.assertIn("consistent", self.do("check", self.store.uri))
        self.do("resume", self.store.uri)
        self.assertIn("in use", self.do("check", self.store.uri, status=1))
        self.assertEqual(client.pread(BLOCK, 0), b"s" * BLOCK)
        self.stop()

    def test_who_stands_by_follows_a_server_that_was_killed(self):
        self.store.start()
        self.format()
        self.serve()
        log = self.folder / "standby.log"
        with open(log, "w") as out:
            self.standby = subprocess.Popen([UVDO, "standby", self.store.uri, "--nbd", f"unix:{self.front}"],
                                            stdout=out, stderr=subprocess.STDOUT)
        self.assertTrue(wait_until(lambda: "standing by for" in log.read_text() or self.standby.poll() is not None))
        self.assertIn("is in use by process", log.read_text())
        client = self.connect()
        client.pwrite(b"s" * BLOCK, 0)
        client.flush()
        self.assertNotIn("taking over", log.read_text())
        self.server.kill()
        self.server.wait()
        self.assertTrue(wait_until(lambda: "of memory" in log.read_text() or self.standby.poll() is not None))
        self.assertIn("taking over", log.read_text())
        self.assertEqual(self.connect().pread(BLOCK, 0), b"s" * BLOCK)
        self.do("stop", self.store.uri)
        self.assertEqual(self.standby.wait(60), 0, log.read_text())
        self.assertIn("consistent", self.do("check", self.store.uri))

    # ---- what cannot be

    def test_sentences(self):
        folder, keys = self.folder, self.folder / "keys"
        keys.write_text("alice:" + 32 * "ab" + "\n")
        self.assertIn("no NBD server listens there", self.do("info", "nbd://127.0.0.1:1/", status=1))
        self.assertIn("no NBD server listens there", self.do("info", self.store.uri, status=1))
        self.assertIn("names no socket", self.do("info", "nbd+unix:///?socket=relative", status=1))
        self.assertIn("names no socket", self.do("info", "nbd+unix:///x", status=1))
        self.assertIn("is no URI", self.do("info", "nbd://[bad/", status=1))
        self.assertIn("is no number of seconds", self.do(
            "info", self.store.uri + "&uvdo-wait=soon", status=1))
        self.store.start("--readonly")
        self.assertIn("may only be read", self.do("format", self.store.uri, status=1))
        self.assertIn("does not speak TLS", self.do(
            "info", self.store.uri.replace("nbd+unix", "nbds+unix"), status=1))
        self.store.kill()
        for options, words in (
                (["--filter=blocksize-policy", "memory", "1G", "blocksize-minimum=64K",
                  "blocksize-preferred=64K"], "takes no less than 65536"),
                (["--filter=exportname", "memory", "1G", "exportname=there",
                  "exportname-strict=true"], "the server has no such export"),
                (["--tls=require", f"--tls-psk={keys}", "memory", "1G"], "cannot connect")):
            socket = folder / "odd"
            socket.unlink(missing_ok=True)
            server = subprocess.Popen(["nbdkit", "--foreground", "--unix", socket, *options],
                                      stderr=subprocess.DEVNULL)
            self.assertTrue(wait_until(lambda: socket.exists() or server.poll() is not None))
            try:
                told = self.do("info", f"nbd+unix:///other?socket={socket}", status=1)
                self.assertIn(words, told)
                self.assertEqual(told.count("\n"), 1, told)
            finally:
                server.kill()
                server.wait()

    # ---- names, and other servers

    def test_a_named_volume_on_an_export(self):
        self.store.start()
        config = ["--config-dir", self.folder / "config"]
        (self.folder / "config").mkdir()
        self.do("create", "far", "--device", self.store.uri, "--slab-bits", 13, "--logical-size", "64M", "--no-start",
                "--no-activate", *config)
        self.assertIn(self.store.uri, self.do("list", *config))
        self.assertIn("consistent", self.do("check", "far", *config))

    def test_it_lives_on_qemu_nbd(self):
        self.store.socket.unlink(missing_ok=True)
        server = subprocess.Popen(["qemu-nbd", "--format=raw", "--persistent", "--shared=8", "--discard=unmap",
                                   "--socket", self.store.socket, self.store.image])
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.assertTrue(wait_until(self.store.socket.exists))
        self.format()
        self.serve()
        client = self.connect()
        client.pwrite(b"q" * BLOCK, 0)
        client.flush()
        self.stop()
        self.do("export", self.store.uri, "--output", self.folder / "out.img")
        self.assertEqual((self.folder / "out.img").read_bytes()[:BLOCK], b"q" * BLOCK)
        self.assertIn("consistent", self.do("check", self.store.uri))


if __name__ == "__main__":
    unittest.main(verbosity=2)
