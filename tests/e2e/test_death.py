# SPDX-License-Identifier: GPL-2.0-or-later
"""A server dies by SIGKILL, and its clients live on: what it had answered is there, flushed or not."""
import os
import pathlib
import random
import re
import socket
import struct
import unittest

from served import Served
from support import uvdo

BLOCK = 4096
REQUEST, SIMPLE_REPLY = 0x25609513, 0x67446698
READ, WRITE, FLUSH, TRIM, WRITE_ZEROES = 0, 1, 3, 4, 6
EIO = 5


class Client:
    """An NBD client that sends what it is told, and no flush by itself."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(path))
        self.receive(18)
        self.socket.sendall(struct.pack(">I", 3))
        self.socket.sendall(b"IHAVEOPT" + struct.pack(">II", 1, 0))
        self.receive(10)
        self.handle = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise ConnectionError("the server is gone")
            data += part
        return data

    def send(self, kind, offset, length, data=b"", flags=0):
        self.handle += 1
        self.socket.sendall(
            struct.pack(">IHHQQI", REQUEST, flags, kind, self.handle, offset, length) + data)
        return self.handle

    def answer(self):
        magic, error, handle = struct.unpack(">IIQ", self.receive(16))
        assert magic == SIMPLE_REPLY, hex(magic)
        return error, handle

    def ask(self, kind, offset=0, length=0, data=b"", flags=0):
        self.send(kind, offset, length, data, flags)
        return self.answer()[0]

    def read(self, offset, length):
        self.send(READ, offset, length)
        error, _ = self.answer()
        assert error == 0, error
        return self.receive(length)


class Death(Served):
    KILLS = 20
    BLOCKS = 2048

    def keeper(self):
        """The socket of the process that keeps the memory of the volume's server."""
        user, status = os.geteuid(), os.stat(self.image)
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        folder = f"{runtime}/uvdo" if runtime else f"/tmp/uvdo-{user}"
        name = f"file-{status.st_dev:x}-{status.st_ino}.control.kept"
        return pathlib.Path("/run/uvdo" if user == 0 else folder) / name

    def block(self, number):
        """Some of them are equal, some can be compressed."""
        kind = self.random.randrange(3)
        if kind == 0:
            return self.random.randbytes(BLOCK)
        if kind == 1:
            return self.random.randbytes(64) * (BLOCK // 64)
        return struct.pack("<I", number % 7) * (BLOCK // 4)

    def take(self, client, waiting):
        error, handle = client.answer()
        self.assertEqual(error, 0)
        span, data = waiting.pop(handle)
        for i, number in enumerate(span):
            self.blocks[number] = {data[i * BLOCK:(i + 1) * BLOCK]}
        return error, handle

    def load_until_death(self, client):
        """Requests that race, and never a flush. What was under way when the server died may be
        there or not."""
        waiting = {}
        try:
            self.load_into(client, waiting)
        except (ConnectionError, BrokenPipeError):
            pass
        for span, data in waiting.values():
            for i, number in enumerate(span):
                self.blocks[number] = self.blocks[number] | {data[i * BLOCK:(i + 1) * BLOCK]}
        self.server.wait()

    def load_into(self, client, waiting):
        deadly = self.random.randrange(20, 600)
        for step in range(100000):
            first = self.random.randrange(self.BLOCKS - 8)
            span = range(first, first + self.random.choice([1, 1, 1, 2, 8]))
            if any(number in one[0] for one in waiting.values() for number in span):
                continue
            kind = self.random.choice([WRITE] * 6 + [TRIM, WRITE_ZEROES])
            length = len(span) * BLOCK
            data = b"".join(self.block(step) for _ in span) if kind == WRITE else b""
            handle = client.handle + 1
            waiting[handle] = (span, data or bytes(length))
            client.send(kind, first * BLOCK, length, data)
            if step >= deadly:
                self.server.kill()
            while len(waiting) > 16:
                self.take(client, waiting)

    def compare(self, client):
        for first in range(0, self.BLOCKS, 16):
            data = client.read(first * BLOCK, 16 * BLOCK)
            for i in range(16):
                found = data[i * BLOCK:(i + 1) * BLOCK]
                self.assertIn(found, self.blocks[first + i], f"block {first + i}\n{self.log()}")
                self.blocks[first + i] = {found}

    def test_what_was_answered_is_there(self):
        self.random = random.Random(5)
        self.blocks = [{bytes(BLOCK)} for _ in range(self.BLOCKS)]
        applied = 0
        for _ in range(self.KILLS):
            self.serve()
            self.assertNotIn("nobody keeps", self.log())
            self.assertNotIn("may be lost", self.log())
            told = re.search(r"died: (\d+) changes in its journal and (\d+) writes", self.log())
            applied += sum(map(int, told.groups())) if told else 0
            self.assertTrue(self.keeper().exists())
            with Client(self.socket) as client:
                self.compare(client)
                self.load_until_death(client)
        self.assertGreater(applied, 100, "the kills came too late")
        self.serve()
        with Client(self.socket) as client:
            self.compare(client)
            self.assertEqual(client.ask(FLUSH), 0)
        self.content = bytearray(b"".join(next(iter(one)) for one in self.blocks))
        self.stop_and_judge()
        self.wait_until(lambda: not self.keeper().exists(), "nothing is left behind a clean stop")

    def test_without_a_keeper_clients_are_told(self):
        self.serve("--keep-writes", "off")
        with Client(self.socket) as client:
            self.assertEqual(client.ask(WRITE, 0, BLOCK, b"x" * BLOCK), 0)
            self.kill()
        self.serve("--keep-writes", "off")
        self.assertIn("first flush", self.log())
        for _ in range(2):
            with Client(self.socket) as client:
                self.assertEqual(client.ask(FLUSH), EIO)
                self.assertEqual(client.ask(FLUSH), 0)
        self.stop()
        self.serve("--keep-writes", "off")
        with Client(self.socket) as client:
            self.assertEqual(client.ask(FLUSH), 0, "it was saved")
        self.stop()

    def test_a_switch_that_is_none_is_refused(self):
        done = uvdo("serve", self.image, "--nbd", f"unix:{self.socket}", "--keep-writes", "maybe")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--keep-writes is on or off", done.stderr)


if __name__ == "__main__":
    unittest.main()
