# SPDX-License-Identifier: GPL-2.0-or-later
"""A small NBD client that keeps many requests in flight, of the standard library alone.

It does not mind that the server dies: run() then returns with what was not answered forgotten.
"""
import select
import socket
import struct

READ, WRITE, FLUSH, TRIM, ZEROES = 0, 1, 3, 4, 6
FUA = 1
ENOSPC, ESHUTDOWN = 28, 108


class ServerGone(Exception):
    pass


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.pending = {}  # handle: (callback, bytes of data in the reply)
        self.handle = 0
        self.size = self._negotiate()
        self.socket.setblocking(False)
        self.received = bytearray()
        self.to_send = bytearray()

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ServerGone
            data += part
        return data

    def _negotiate(self):
        magic, have, _flags = struct.unpack(">8s8sH", self._exactly(18))
        if (magic, have) != (b"NBDMAGIC", b"IHAVEOPT"):
            raise ValueError("not an NBD server")
        self.socket.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">IIIH", 7, 6, 0, 0))
        size = 0
        while True:
            _magic, _option, kind, length = struct.unpack(">QIII", self._exactly(20))
            data = self._exactly(length)
            if kind == 3 and data[:2] == b"\0\0":
                size = struct.unpack_from(">Q", data, 2)[0]
            elif kind == 1:
                return size
            elif kind & 0x80000000:
                raise ValueError(f"the server refused: {data!r}")

    def submit(self, command, offset, length, callback, data=b"", flags=0):
        """callback(error, data) is called by run()."""
        self.handle += 1
        self.pending[self.handle] = (callback, length if command == READ else 0)
        self.to_send += struct.pack(">IHHQQI", 0x25609513, flags, command, self.handle, offset,
                                    length)
        self.to_send += data

    def run(self, more, depth):
        """Calls more() while fewer than `depth` requests are in flight, until it returns False and
        all are answered. False if the server went away."""
        going = True
        try:
            while True:
                while going and len(self.pending) < depth:
                    going = more()
                if not self.pending:
                    return True
                self._transfer()
        except (ServerGone, ConnectionError, OSError):
            self.pending.clear()
            return False

    def _transfer(self):
        writable = [self.socket] if self.to_send else []
        readable, writable, _ = select.select([self.socket], writable, [], 60)
        if not readable and not writable:
            raise TimeoutError("the server has not answered for a minute")
        if writable:
            del self.to_send[:self.socket.send(self.to_send)]
        if readable:
            part = self.socket.recv(1 << 20)
            if not part:
                raise ServerGone
            self.received += part
            self._take_replies()

    def _take_replies(self):
        at = 0
        while len(self.received) - at >= 16:
            magic, error, handle = struct.unpack_from(">IIQ", self.received, at)
            if magic != 0x67446698:
                raise ValueError(f"no reply: {magic:#x}")
            callback, length = self.pending[handle]
            end = at + 16 + (0 if error else length)
            if end > len(self.received):
                break
            del self.pending[handle]
            callback(error, bytes(self.received[at + 16:end]))
            at = end
        del self.received[:at]

    def close(self):
        try:
            self.socket.setblocking(True)
            self.socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 2, 0, 0, 0))
        except OSError:
            pass
        self.socket.close()
