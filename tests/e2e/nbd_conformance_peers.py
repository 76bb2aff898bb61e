# SPDX-License-Identifier: GPL-2.0-or-later
"""The two sides of the NBD conformance tests: the server under test, and clients that speak
through libnbd or say whatever bytes they are told to."""
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

# Debian installs the module for its own Python; another one of the same version can load it too.
sys.path.append("/usr/lib/python3/dist-packages")
try:
    import nbd
except ImportError:
    print("libnbd's Python module (python3-libnbd) is missing")
    sys.exit(77)

SERVER = ""
SIZE = 80 << 20
READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZEROES, STATUS = range(8)
EPERM, EIO, EINVAL, ENOSPC, EOVERFLOW, ESHUTDOWN = 1, 5, 22, 28, 75, 108
OPT_MAGIC, REPLY_MAGIC = b"IHAVEOPT", 0x3E889045565A9
ERR = 1 << 31
ACK, ERR_UNSUP, ERR_INVALID, ERR_TLS_REQD, ERR_UNKNOWN, ERR_TOO_BIG = (
    1, ERR + 1, ERR + 3, ERR + 5, ERR + 6, ERR + 9)


def run(*command, **options):
    options.setdefault("timeout", 60)
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def complete(client, cookies):
    """Waits until these requests of libnbd are answered, all without error."""
    waiting = set(cookies)
    while waiting:
        client.poll(-1)
        waiting -= {cookie for cookie in waiting if client.aio_command_completed(cookie)}


def need(tool):
    if shutil.which(tool) is None:
        raise unittest.SkipTest(f"{tool} is not installed")


class Server:
    """The server under test, in a folder of its own."""

    def __init__(self, *arguments, tcp=False):
        self.folder = tempfile.mkdtemp(prefix="nbd-")
        self.path = os.path.join(self.folder, "socket")
        listen = ["--listen", "tcp:127.0.0.1:0" if tcp else f"unix:{self.path}"]
        self.process = subprocess.Popen(
            [SERVER, *listen, "--size", str(SIZE), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.ready = self.process.stdout.readline()
        if not self.ready.startswith("ready"):
            raise RuntimeError(self.process.communicate()[1])
        self.port = int(self.ready.split(":")[-1]) if tcp else None
        self.uri = f"nbd+unix:///?socket={self.path}"

    def stop(self, limit=15):
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            self.out, self.err = self.process.communicate(timeout=limit)
            shutil.rmtree(self.folder)
        return self.process.returncode

    def counts(self):
        self.stop()
        words = self.out.split()
        return dict(zip(words[0::2], map(int, words[1::2])))

    def connect(self, structured=True, strict=True):
        client = nbd.NBD()
        client.set_request_structured_replies(structured)
        client.add_meta_context("base:allocation")
        if not strict:
            client.set_strict_mode(0)
        client.connect_unix(self.path)
        return client

    def raw(self):
        return Raw(self.path)


class Raw:
    """A client that says whatever it is told to."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(path)

    def send(self, data):
        self.socket.sendall(data)

    def receive(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def is_closed(self):
        """Whether the server hangs up now (what it says before is ignored)."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def greet(self, flags=3):
        greeting = self.receive(18)
        assert greeting == b"NBDMAGICIHAVEOPT\0\3", greeting
        self.send(struct.pack(">I", flags))
        return self

    def option(self, number, data=b"", length=None):
        length = len(data) if length is None else length
        self.send(OPT_MAGIC + struct.pack(">II", number, length) + data)

    def reply(self):
        magic, option, kind, length = struct.unpack(">QIII", self.receive(20))
        assert magic == REPLY_MAGIC
        return kind, self.receive(length)

    def replies(self):
        """All replies to an option, the last one first."""
        result = []
        while not result or result[-1][0] in (2, 3, 4):
            result.append(self.reply())
        return result[::-1]

    def go(self, name=b""):
        self.option(7, struct.pack(">I", len(name)) + name + b"\0\0")
        assert self.replies()[0][0] == ACK
        return self

    def request(self, command, offset, length, data=b"", flags=0, cookie=1):
        self.send(struct.pack(">IHHQQI", 0x25609513, flags, command, cookie, offset, length) + data)

    def simple(self):
        magic, error, cookie = struct.unpack(">IIQ", self.receive(16))
        assert magic == 0x67446698, hex(magic)
        return error

    def close(self):
        self.socket.close()


class Case(unittest.TestCase):
    def serve(self, *arguments, **options):
        server = Server(*arguments, **options)
        self.addCleanup(server.stop)
        return server

    def assert_alive(self, server):
        client = server.connect()
        client.pread(512, 0)
        client.shutdown()
