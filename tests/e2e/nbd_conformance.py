#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds the NBD server against the protocol, with libnbd, its tools, qemu's, and raw bytes.

Usage: nbd_conformance.py NBD_MEMORY_SERVER [TEST...]. What a missing tool would test is skipped;
without libnbd's Python module all of it is (status 77).
"""
import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import nbd_conformance_peers as peers
from nbd_conformance_peers import *  # the vocabulary of the tests
from nbd_conformance_peers import nbd
from nbd_conformance_tls import Tls  # noqa: F401, found by unittest


class Handshake(Case):
    def test_info_tells_everything_about_an_export(self):
        need("nbdinfo")
        server = self.serve("--name", "vol", "--description", "a test", "--two-exports")
        uri = f"nbd+unix:///vol?socket={server.path}"
        export = json.loads(run("nbdinfo", "--json", uri))["exports"][0]
        self.assertEqual(export["export-size"], SIZE)
        self.assertEqual(export["description"], "a test")
        for word in ("flush", "fua", "trim", "zero", "fast_zero", "cache", "df", "multi_conn"):
            self.assertTrue(export["can_" + word], word)
        self.assertFalse(export["is_read_only"])
        self.assertEqual((export["block_size_minimum"], export["block_size_preferred"],
                          export["block_size_maximum"]), (1, 4096, 64 << 20))
        self.assertIn("base:allocation", export["contexts"])
        names = json.loads(run("nbdinfo", "--list", "--json", server.uri))["exports"]
        self.assertEqual([e["export-name"] for e in names], ["vol", "second"])

    def test_a_read_only_export_says_so(self):
        client = self.serve("--read-only").connect()
        self.assertTrue(client.is_read_only())
        self.assertFalse(client.can_trim() or client.can_zero())
        self.assertTrue(client.can_multi_conn())

    def test_the_empty_name_means_the_only_export(self):
        server = self.serve("--name", "vol")
        self.assertEqual(server.connect().get_size(), SIZE)
        client = nbd.NBD()
        client.set_export_name("other")
        with self.assertRaises(nbd.Error):
            client.connect_unix(server.path)
        two = self.serve("--name", "vol", "--two-exports")
        with self.assertRaises(nbd.Error):
            two.connect()

    def test_export_name_ends_the_handshake_with_and_without_zeroes(self):
        server = self.serve("--name", "vol")
        for flags, padding in ((3, 0), (1, 124), (0, 124)):
            raw = server.raw().greet(flags)
            raw.option(1, b"vol")
            size, export_flags = struct.unpack(">QH", raw.receive(10))
            self.assertEqual(size, SIZE)
            self.assertEqual(export_flags & 1, 1)
            self.assertEqual(raw.receive(padding), bytes(padding))
            raw.request(FLUSH, 0, 0)
            self.assertEqual(raw.simple(), 0)
            raw.close()
        raw = server.raw().greet()
        raw.option(1, b"nothing")
        self.assertTrue(raw.is_closed())

    def test_malformed_options_get_the_protocols_errors(self):
        server = self.serve("--name", "vol")
        raw = server.raw().greet()
        name = struct.pack(">I", 3) + b"vol"
        cases = [
            (3, b"x", ERR_INVALID),  # LIST
            (8, b"x", ERR_INVALID),  # STRUCTURED_REPLY
            (5, b"", ERR_UNSUP),  # STARTTLS, not configured
            (11, b"", ERR_UNSUP),  # extended headers
            (4, b"", ERR_UNSUP),
            (0xFFFFFFFF, b"abc", ERR_UNSUP),
            (6, b"", ERR_INVALID),  # INFO
            (6, struct.pack(">I", 4) + b"vol\0\0", ERR_INVALID),
            (6, struct.pack(">I", 0xFFFFFFFF) + b"\0\0", ERR_INVALID),
            (6, struct.pack(">I", 4097) + b"v" * 4097 + b"\0\0", ERR_INVALID),
            (6, struct.pack(">I", 4096) + b"v" * 4096 + b"\0\0", ERR_UNKNOWN),
            (6, name + b"\0\2\0\0", ERR_INVALID),
            (6, name + b"\0\0x", ERR_INVALID),
            (7, name + b"\0", ERR_INVALID),  # GO
            (10, name + struct.pack(">I", 0), ERR_INVALID),  # before structured replies
            (8, b"", ACK),
            (10, name + struct.pack(">I", 1), ERR_INVALID),
            (10, name + struct.pack(">I", 0xFFFFFFFF), ERR_INVALID),
            (10, name + struct.pack(">II", 1, 5000) + b"x" * 5000, ERR_INVALID),
            (9, struct.pack(">I", 5) + b"other" + struct.pack(">I", 0), ERR_UNKNOWN),
            (6, b"x" * 100000, ERR_TOO_BIG),
        ]
        for number, data, expected in cases:
            raw.option(number, data)
            self.assertEqual(raw.replies()[0][0], expected, (number, data[:40]))
        # After all that the connection still works.
        raw.go(b"vol")
        raw.request(FLUSH, 0, 0)
        self.assertEqual(raw.simple(), 0)

    def test_what_cannot_be_answered_ends_the_connection(self):
        server = self.serve()
        raw = server.raw().greet(flags=0x80000003)
        self.assertTrue(raw.is_closed())
        raw = server.raw().greet()
        raw.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(raw.is_closed())
        raw = server.raw().greet()
        raw.option(6, length=0x7FFFFFFF)
        self.assertTrue(raw.is_closed())
        raw = server.raw().greet()
        raw.option(1, b"n" * 5000)
        self.assertTrue(raw.is_closed())
        self.assert_alive(server)

    def test_abort_is_acknowledged(self):
        raw = self.serve().raw().greet()
        raw.option(2)
        self.assertEqual(raw.replies()[0][0], ACK)
        self.assertTrue(raw.is_closed())

    def test_meta_contexts_are_listed_and_set(self):
        raw = self.serve().raw().greet()
        raw.option(8)
        raw.replies()
        for queries, count in (([], 1), ([b"base:"], 1), ([b"base:allocation"], 1),
                               ([b"qemu:dirty-bitmap:x", b""], 0)):
            data = struct.pack(">II", 0, len(queries))
            data += b"".join(struct.pack(">I", len(q)) + q for q in queries)
            raw.option(9, data)
            self.assertEqual(len(raw.replies()) - 1, count, queries)
        raw.option(10, struct.pack(">III", 0, 1, 15) + b"base:allocation")
        replies = raw.replies()
        self.assertEqual(replies[1], (4, struct.pack(">I", 1) + b"base:allocation"))
        # A failed SET voids the one before.
        raw.option(10, b"")
        self.assertEqual(raw.replies()[0][0], ERR_INVALID)
        raw.go()
        raw.request(STATUS, 0, 4096)
        magic, _, kind, _, length = struct.unpack(">IHHQI", raw.receive(20))
        self.assertEqual((magic, kind), (0x668E33EF, 0x8001))
        self.assertEqual(struct.unpack(">I", raw.receive(length)[:4])[0], EINVAL)


class Transmission(Case):
    def test_data_of_every_size_and_alignment_comes_back(self):
        for structured in (True, False):
            client = self.serve().connect(structured)
            model = bytearray(8 << 20)
            state = 1
            for _ in range(300):
                state = (state * 1103515245 + 12345) & 0x7FFFFFFF
                offset = state % (6 << 20)
                length = 1 + (state >> 7) % ((1 << 20) if state % 7 == 0 else 9000)
                data = bytes([state & 0xFF or 1]) * length
                client.pwrite(data, offset)
                model[offset:offset + length] = data
                look = max(0, offset - 300)
                self.assertEqual(client.pread(length + 600, look), model[look:look + length + 600])
            self.assertEqual(client.pread(8 << 20, 0), model)

    def test_the_largest_requests(self):
        for structured in (True, False):
            client = self.serve().connect(structured)
            data = os.urandom(64 << 20)
            client.pwrite(data, 12345)
            self.assertEqual(client.pread(64 << 20, 12345), data)
            if structured:
                self.assertEqual(client.pread_structured(
                    32 << 20, 12345, lambda *chunk: 0, nbd.CMD_FLAG_DF), data[:32 << 20])

    def test_many_requests_at_once_on_many_connections(self):
        server = self.serve()
        clients = [server.connect() for _ in range(4)]
        block = 4096
        buffers = []
        cookies = [[] for _ in clients]
        for n, client in enumerate(clients):
            for i in range(200):
                data = nbd.Buffer.from_bytearray(bytearray([1 + (n * 50 + i) % 255]) * block)
                buffers.append(data)
                cookies[n].append(client.aio_pwrite(data, (i * 4 + n) * block))
        for client, issued in zip(clients, cookies):
            complete(client, issued)
        clients[0].flush()
        for n in range(4):
            for i in range(200):
                self.assertEqual(clients[3 - n].pread(block, (i * 4 + n) * block),
                                 bytes([1 + (n * 50 + i) % 255]) * block)

    def test_errors_by_the_protocol(self):
        client = self.serve().connect(strict=False)

        def error_of(call, *arguments):
            with self.assertRaises(nbd.Error) as caught:
                call(*arguments)
            return caught.exception.errnum

        self.assertEqual(error_of(client.pread, 512, SIZE), EINVAL)
        self.assertEqual(error_of(client.pread, 512, SIZE - 511), EINVAL)
        self.assertEqual(error_of(client.pread, 512, 2**63 - 1), EINVAL)
        self.assertEqual(error_of(client.pwrite, bytes(512), SIZE - 1), ENOSPC)
        self.assertEqual(error_of(client.pwrite, bytes(200000), SIZE - 1), ENOSPC)
        self.assertEqual(error_of(client.zero, 512, SIZE - 1), ENOSPC)
        self.assertEqual(error_of(client.trim, 512, SIZE - 1), EINVAL)
        self.assertEqual(error_of(client.cache, 512, SIZE - 1), EINVAL)
        self.assertEqual(error_of(client.block_status, 512, SIZE, lambda *a: 0), EINVAL)
        self.assertEqual(error_of(client.pwrite, bytes(512), 0, 1 << 9), EINVAL)
        self.assertEqual(error_of(client.flush, 1 << 4), EINVAL)
        self.assertEqual(client.pread(512, SIZE - 512), bytes(512))

    def test_raw_malformed_requests(self):
        server = self.serve()
        raw = server.raw().greet().go()
        raw.request(99, 0, 0)
        self.assertEqual(raw.simple(), EINVAL)
        raw.request(FLUSH, 1, 0)
        self.assertEqual(raw.simple(), EINVAL)
        raw.request(READ, 0, 512, flags=4)  # DF without structured replies
        self.assertEqual(raw.simple(), EINVAL)
        raw.request(READ, 0, (64 << 20) + 1)
        self.assertEqual(raw.simple(), EINVAL)
        raw.request(STATUS, 0, 512)
        self.assertEqual(raw.simple(), EINVAL)
        raw.request(READ, 0, 0)
        self.assertEqual(raw.simple(), EINVAL)
        for command in (WRITE, TRIM, CACHE, ZEROES):
            raw.request(command, 0, 0)
            self.assertEqual(raw.simple(), 0, command)
        raw.request(WRITE, SIZE, 70000, bytes(70000))  # refused, payload consumed
        self.assertEqual(raw.simple(), ENOSPC)
        raw.request(TRIM, 0, SIZE)
        self.assertEqual(raw.simple(), 0)
        raw.send(struct.pack(">IHHQQI", 0x25609513, 0, FLUSH, 2, 0, 0)[:10])  # in two parts
        time.sleep(0.05)
        raw.send(struct.pack(">IHHQQI", 0x25609513, 0, FLUSH, 2, 0, 0)[10:])
        self.assertEqual(raw.simple(), 0)
        raw.send(bytes(28))
        self.assertTrue(raw.is_closed())
        raw = server.raw().greet().go()
        raw.request(WRITE, 0, (64 << 20) + 1)
        self.assertTrue(raw.is_closed())
        self.assert_alive(server)

    def test_a_structured_read_of_no_bytes_is_an_error(self):
        raw = self.serve().raw().greet()
        raw.option(8)
        raw.replies()
        raw.go()
        raw.request(READ, 0, 0, cookie=77)
        magic, flags, kind, cookie, length = struct.unpack(">IHHQI", raw.receive(20))
        self.assertEqual((magic, flags, kind, cookie), (0x668E33EF, 1, 0x8001, 77))
        self.assertEqual(struct.unpack(">I", raw.receive(length)[:4])[0], EINVAL)

    def test_writes_on_a_read_only_export_are_refused_and_consumed(self):
        client = self.serve("--read-only").connect(strict=False)
        for call in (lambda: client.pwrite(bytes(300000), 0), lambda: client.trim(512, 0),
                     lambda: client.zero(512, 0), lambda: client.pwrite(b"x", 0)):
            with self.assertRaises(nbd.Error) as caught:
                call()
            self.assertEqual(caught.exception.errnum, EPERM)
        self.assertEqual(client.pread(10, 0), bytes(10))

    def test_an_io_error_reaches_the_client_and_spares_the_rest(self):
        for structured in (True, False):
            client = self.serve("--fail-at", "1000000").connect(structured)
            for length in (512, 1 << 20):
                with self.assertRaises(nbd.Error) as caught:
                    client.pread(length, 1000000 - 256)
                self.assertEqual(caught.exception.errnum, EIO)
                with self.assertRaises(nbd.Error) as caught:
                    client.pwrite(b"x" * length, 1000000 - 256)
                self.assertEqual(caught.exception.errnum, EIO)
            self.assertEqual(client.pread(512, 0), bytes(512))

    def test_fua_flush_trim_and_zeroes_reach_the_volume(self):
        server = self.serve()
        client = server.connect()
        client.pwrite(b"a" * 4096, 0, nbd.CMD_FLAG_FUA)
        client.pwrite(b"b" * 4096, 4096)
        client.trim(4096, 0, nbd.CMD_FLAG_FUA)
        client.zero(4096, 4096, nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FAST_ZERO)
        client.cache(4096, 0)
        client.flush()
        client.shutdown()
        counts = server.counts()
        self.assertEqual((counts["fua"], counts["discards"], counts["zeroes"], counts["flushes"]),
                         (2, 1, 1, 1))

    def test_block_status_shows_holes_zeros_and_data(self):
        client = self.serve().connect()
        client.pwrite(b"d" * 8192, 8192)
        client.zero(4096, 16384, nbd.CMD_FLAG_NO_HOLE)
        seen = []
        client.block_status(65536, 0, lambda ctx, off, entries, err: seen.extend(entries) or 0)
        self.assertEqual(seen, [8192, 3, 8192, 0, 4096, 2, 45056, 3])
        seen.clear()
        client.block_status(65536, 9000, lambda ctx, off, entries, err: seen.extend(entries) or 0,
                            nbd.CMD_FLAG_REQ_ONE)
        self.assertEqual(seen, [16384 - 9000, 0])

    def test_zeros_are_sent_as_holes(self):
        client = self.serve().connect()
        client.pwrite(b"x" * 4096, 131072)
        kinds = []
        client.pread_structured(4 * 131072, 0, lambda data, off, kind, err: kinds.append(kind) or 0)
        self.assertEqual(sorted(kinds), [nbd.READ_DATA] + [nbd.READ_HOLE] * 3)


class Behaviour(Case):
    def test_a_client_that_vanishes_in_mid_payload_harms_nobody(self):
        server = self.serve()
        for part in (0, 100, 40000, 200000):
            raw = server.raw().greet().go()
            raw.request(WRITE, 0, 300000, b"x" * part)
            raw.close()
        self.assert_alive(server)
        self.assertEqual(server.stop(), 0)

    def test_clients_that_read_no_replies_do_not_block_others_nor_the_stop(self):
        server = self.serve("--drain-ms", "500", "--stall-ms", "300")
        lazy = []
        for _ in range(3):
            raw = server.raw().greet().go()
            lazy.append(raw)
            try:
                for i in range(400):
                    raw.request(READ, 0, 1 << 20, cookie=i)
            except OSError:
                pass  # let go already, because the next one waited for its memory
        time.sleep(0.3)
        client = server.connect()
        started = time.time()
        for i in range(50):
            client.pwrite(b"y" * 500000, i * 500000)
            self.assertEqual(client.pread(500000, i * 500000), b"y" * 500000)
        self.assertLess(time.time() - started, 15)
        started = time.time()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.time() - started, 5)

    def test_a_client_that_stalls_in_a_payload_gives_its_request_back(self):
        for size in (4096, 300000):
            server = self.serve("--max-requests", "1", "--stall-ms", "300")
            raw = server.raw().greet().go()
            raw.request(WRITE, 0, size, b"x" * 100)
            time.sleep(0.1)
            client = server.connect()
            self.assertEqual(client.pread(4096, 0), bytes(4096))
            self.assertEqual(server.stop(), 0)

    def test_a_stop_finishes_what_is_under_way_and_refuses_the_rest(self):
        server = self.serve("--hold")
        raw = server.raw().greet().go()
        raw.request(WRITE, 0, 4096, b"z" * 4096, cookie=5)
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        raw.request(WRITE, 0, 4096, b"z" * 4096, cookie=6)
        answers = {}
        for _ in range(2):
            _, error, cookie = struct.unpack(">IIQ", raw.receive(16))
            answers[cookie] = error
        self.assertEqual(answers, {5: 0, 6: ESHUTDOWN})
        self.assertTrue(raw.is_closed())
        self.assertEqual(server.stop(), 0)

    def test_disconnect_answers_what_is_under_way(self):
        raw = self.serve().raw().greet().go()
        for cookie in range(100):
            raw.request(WRITE, cookie * 4096, 4096, b"q" * 4096, cookie=cookie)
        raw.request(DISC, 0, 0)
        self.assertEqual([raw.simple() for _ in range(100)], [0] * 100)
        self.assertTrue(raw.is_closed())

    def test_the_socket_is_private_and_goes_with_the_server(self):
        previous = os.umask(0)
        try:
            server = self.serve()
        finally:
            os.umask(previous)
        mode = os.stat(server.path).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        second = subprocess.run([peers.SERVER, "--listen", f"unix:{server.path}", "--size", "4096"],
                                capture_output=True, text=True, timeout=20)
        self.assertEqual(second.returncode, 1)
        self.assertIn("another server listens", second.stderr)
        self.assert_alive(server)
        folder = server.folder
        os.rename(server.path, server.path + ".moved")  # not ours any more: must stay
        with open(server.path, "w") as other:
            other.write("not a socket")
        server.process.send_signal(signal.SIGTERM)
        server.process.communicate(timeout=15)
        self.assertTrue(os.path.exists(os.path.join(folder, "socket")))
        refused = subprocess.run([peers.SERVER, "--listen", f"unix:{server.path}", "--size", "4096"],
                                 capture_output=True, text=True, timeout=20)
        self.assertIn("is not a socket", refused.stderr)
        # A stale socket is replaced.
        os.remove(server.path)
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(server.path)
        stale.close()
        again = subprocess.Popen([peers.SERVER, "--listen", f"unix:{server.path}", "--size", "4096"],
                                 stdout=subprocess.PIPE, text=True)
        self.assertTrue(again.stdout.readline().startswith("ready"))
        again.terminate()
        again.communicate(timeout=15)
        self.assertFalse(os.path.exists(server.path))

    def test_tcp(self):
        server = self.serve(tcp=True)
        client = nbd.NBD()
        client.connect_tcp("127.0.0.1", str(server.port))
        client.pwrite(b"tcp", 1)
        self.assertEqual(client.pread(5, 0), b"\0tcp\0")

    def test_sockets_and_messages_of_a_service_manager(self):
        folder = tempfile.mkdtemp(prefix="nbd-")
        self.addCleanup(shutil.rmtree, folder)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(os.path.join(folder, "notify"))
        notify.settimeout(10)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(folder, "s"))
        listener.listen()

        # A shell takes the socket to descriptor 3 and tells its own process id, which exec keeps.
        environment = dict(os.environ, LISTEN_FDS="1", NOTIFY_SOCKET=os.path.join(folder, "notify"))
        fd = listener.fileno()
        process = subprocess.Popen(
            ["/bin/sh", "-c", f'[ {fd} = 3 ] || exec 3<&{fd}; LISTEN_PID=$$ exec "$@"', "sh",
             peers.SERVER, "--size", str(SIZE)],
            env=environment, pass_fds=[fd], stdout=subprocess.PIPE, text=True)
        self.assertTrue(notify.recv(1000).startswith(b"READY=1\nSTATUS="))
        client = nbd.NBD()
        client.connect_unix(os.path.join(folder, "s"))
        self.assertEqual(client.get_size(), SIZE)
        process.terminate()
        self.assertEqual(notify.recv(1000), b"STOPPING=1")
        process.communicate(timeout=15)
        self.assertEqual(process.returncode, 0)
        self.assertTrue(os.path.exists(os.path.join(folder, "s")))  # not ours to remove


class Tools(Case):
    def test_nbdcopy_both_ways(self):
        need("nbdcopy")
        server = self.serve()
        source = os.path.join(server.folder, "in")
        with open(source, "wb") as file:
            for i in range(8):
                file.seek(i * (8 << 20))
                file.write(os.urandom((3 << 20) + i * 1000))
            file.truncate(SIZE)
        run("nbdcopy", "--flush", source, server.uri)
        run("nbdcopy", server.uri, source + ".out")
        run("cmp", source, source + ".out")
        kinds = {e["type"] for e in json.loads(run("nbdinfo", "--map", "--json", server.uri))}
        self.assertEqual(kinds, {0, 3})

    def test_qemu_io(self):
        need("qemu-io")
        server = self.serve()
        script = ["write -P 7 1000 5000", "read -P 7 1000 5000", "read -P 0 0 1000",
                  "write -f -P 8 65536 65536", "discard 65536 8192", "read -P 0 65536 8192",
                  "read -P 8 73728 57344", "write -z 200000 100000", "write -z -u 409600 8192",
                  "read -P 0 200000 100000", "write -P 9 1048577 2000001",
                  "read -P 9 1048577 2000001", "flush"]
        arguments = [word for line in script for word in ("-c", line)]
        output = run("qemu-io", "-f", "raw", *arguments, server.uri)
        self.assertNotIn("failed", output.lower())
        self.assertNotIn("error", output.lower())
        counts = server.counts()
        self.assertGreaterEqual(counts["fua"], 1)
        self.assertGreaterEqual(counts["discards"], 1)

    def test_qemu_img_map(self):
        need("qemu-img")
        server = self.serve()
        client = server.connect()
        client.pwrite(b"d" * 65536, 65536)
        client.shutdown()
        extents = json.loads(run("qemu-img", "map", "--output=json", server.uri))
        self.assertEqual([(e["start"], e["length"], e["data"]) for e in extents],
                         [(0, 65536, False), (65536, 65536, True),
                          (131072, SIZE - 131072, False)])

    def test_fio_verifies(self):
        need("fio")
        if " nbd" not in run("fio", "--enghelp").replace("\t", " "):
            self.skipTest("fio without its nbd engine")
        server = self.serve()
        run("fio", "--name=v", "--ioengine=nbd", f"--uri={server.uri}", "--rw=randwrite",
            "--bsrange=512-256k", "--blockalign=512", "--size=32m", "--iodepth=16",
            "--verify=crc32c", "--do_verify=1", "--randrepeat=1", cwd=server.folder)


if __name__ == "__main__":
    peers.SERVER = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2, warnings="ignore")
