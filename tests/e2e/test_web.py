#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The status page: what browsers get of it, who is refused, and what it may cost.

How it looks is judged by people: scripts/web-screenshots.
"""
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import socket
import stat
import subprocess
import threading
import time
import unittest

import nbd

from served import MIB, Served, peak_memory
from support import uvdo, wait_until

FILES = {"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript",
         "/icon.svg": "image/svg+xml"}
DATA = ("/volume.json", "/history.json")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


class Web(Served):
    def serve(self, *options, **process):
        super().serve("--web", "127.0.0.1:0", *options, **process)
        self.url = re.search(r"status page on (http://127\.0\.0\.1:\d+/)\n", self.log())[1]
        self.port = int(self.url.rsplit(":", 1)[1].rstrip("/"))

    def get(self, path, method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, body

    def json(self, path):
        status, _, body = self.get(path)
        self.assertEqual(status, 200, body)
        return json.loads(body)

    def raw(self, request):
        """The status of the answer to bytes that no library would send."""
        return int(self.answer(request).split()[1])

    def answer(self, request):
        with socket.create_connection(("127.0.0.1", self.port), 30) as client:
            client.sendall(request)
            answer = b""
            while chunk := client.recv(65536):
                answer += chunk
        return answer

    def samples(self):
        history = self.json("/history.json")
        return [dict(zip(history["columns"], sample)) for sample in history["samples"]]


class Page(Web):
    def test_a_browser_gets_all_of_the_page_from_here_and_runs_nothing_else(self):
        self.serve()
        for path, kind in {**FILES, **{path: "application/json" for path in DATA}}.items():
            status, headers, body = self.get(path)
            self.assertEqual((status, headers.get_content_type()), (200, kind), path)
            self.assertEqual(int(headers["Content-Length"]), len(body))
            policy = headers["Content-Security-Policy"]
            self.assertIn("default-src 'none'; script-src 'self'; style-src 'self'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertEqual((headers["Cache-Control"], headers["X-Content-Type-Options"]),
                             ("no-store", "nosniff"))
            # Nothing from elsewhere; the one address is the name of SVG.
            self.assertEqual({*re.findall(rb"\w+://[^\s'\"<]*", body)} -
                             {b"http://www.w3.org/2000/svg", self.url.encode()}, set(), path)
            alone = self.answer(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            self.assertTrue(alone.startswith(b"HTTP/1.1 200 ") and alone.endswith(b"\r\n\r\n"), alone)
        page = self.get("/")[2].decode()
        self.assertEqual(re.findall(r"<style|<script(?! src=)| style=| on\w+=", page), [])
        for name in re.findall(r'(?:src|href)="([^"]+)"', page):
            self.assertEqual(self.get(f"/{name}")[0], 200, name)
        script = self.get("/page.js")[2].decode()
        self.assertEqual(re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(",
                                    script), [], "text of the server must stay text")
        self.stop()

    def test_it_tells_what_the_commands_tell_while_clients_are_at_work(self):
        self.serve()
        self.wait_for_index()
        generator, over = random.Random(1), threading.Event()
        twice = generator.randbytes(MIB)

        def work():
            client = nbd.NBD()
            client.connect_uri(self.uri)
            at = 0
            while not over.is_set():
                client.pwrite(twice if at % (2 * MIB) else generator.randbytes(MIB), at % (64 * MIB))
                client.pread(4096, at % (64 * MIB))
                at += MIB
                time.sleep(0.01)
            client.flush()
            self.connected = client  # stays

        worker = threading.Thread(target=work)
        worker.start()
        self.addCleanup(over.set)
        self.assertTrue(wait_until(lambda: len(self.samples()) >= 2, 30))
        told = self.json("/volume.json")
        self.assertEqual(told["devices"]["clients"], 1)
        connection, = told["devices"]["connections"]
        self.assertEqual((connection["kind"], connection["encrypted"]), ("NBD", False))
        self.assertEqual(connection["origin"], f"process {os.getpid()}")
        self.assertGreater(connection["requests"], 2)
        self.assertGreaterEqual(connection["written_bytes"], MIB)
        self.assertEqual(connection["read_bytes"] % 4096, 0)
        self.assertGreater(told["lately"]["requests"]["write"]["perSecond"], 0)
        sample = self.samples()[-1]
        self.assertGreater(sample["writeBytesPerSecond"], sample["writePerSecond"] * 4096)
        self.assertGreater(sample["readUs99"], 0)
        self.assertIsNone(sample["discardUs50"])
        self.assertEqual(sample["clients"], 1)
        over.set()
        worker.join(30)
        # As soon as nothing is under way all say the same.
        def agrees():
            page, stats = self.json("/volume.json")["statistics"], self.stats()
            return page == stats and stats["savings"]["deduplicatedBlocks"] is not None
        self.assertTrue(wait_until(agrees, 30), (self.json("/volume.json"), self.stats()))
        told, stats = self.json("/volume.json"), self.stats()
        savings = stats["savings"]
        self.assertGreater(savings["deduplicatedBlocks"], 0)
        self.assertEqual(stats["logicalBlocks"], savings["thinBlocks"] + savings["zeroBlocks"] +
                         savings["deduplicatedBlocks"] + savings["compressedBlocks"] +
                         stats["dataBlocksUsed"], "the parts of the picture are all of it")
        room = (stats["physicalBlocks"] - stats["uvdo"]["fixedOverheadBlocks"]) * 4096
        self.assertEqual(told["space"]["roomBytes"], room)
        status = json.loads(uvdo("status", "--json", self.image).stdout)
        for key in ("well", "summary", "troubles", "web"):
            self.assertEqual(told["status"][key], status[key], key)
        self.assertEqual(status["web"], [self.url])
        # What the samples count is what was done.
        self.assertTrue(wait_until(lambda: self.samples()[-1]["writePerSecond"] == 0, 30))
        counted = sum(s["writeBytesPerSecond"] * s["spanMs"] / 1000 for s in self.samples())
        written = stats["biosIn"]["write"] * 4096
        self.assertAlmostEqual(counted / written, 1, delta=0.02)
        self.connected.shutdown()
        self.stop()

    def test_only_what_is_new_is_told_again(self):
        self.serve()
        self.assertTrue(wait_until(lambda: len(self.samples()) >= 1, 30))
        history = self.json("/history.json")
        after = self.json(f"/history.json?after={history['next']}")
        self.assertEqual(after["id"], history["id"])
        self.assertEqual(len(after["samples"]), after["next"] - history["next"])
        self.assertEqual(len(self.json("/history.json?after=99999")["samples"]), history["next"])
        self.stop()
        self.serve()
        self.assertNotEqual(self.json("/history.json")["id"], history["id"], "it began anew")
        self.stop()

    def test_trouble_is_told(self):
        self.serve()
        self.assertEqual(uvdo("suspend", self.image).returncode, 0)
        told = self.json("/volume.json")
        self.assertEqual((told["mode"], told["status"]["well"]), ("suspended", False))
        self.assertIn("suspended", told["status"]["troubles"][0]["problem"])
        self.assertEqual(uvdo("resume", self.image).returncode, 0)
        self.assertEqual(self.json("/volume.json")["mode"], "normal")
        self.stop()


class Refusals(Web):
    def test_pages_from_elsewhere_cannot_be_led_here(self):
        self.serve()
        for host in ("localhost", f"localhost:{self.port}", "127.0.0.1", "[::1]:80", "10.0.0.1"):
            self.assertEqual(self.get("/volume.json", Host=host)[0], 200, host)
        for host in ("evil.example", f"evil.example:{self.port}", "127.0.0.1.evil.example",
                     "localhost.evil.example", ""):
            status, _, body = self.get("/volume.json", Host=host)
            self.assertEqual(status, 421, host)
            self.assertNotIn(b"logicalBlocks", body)
        self.assertEqual(self.raw(b"GET /volume.json HTTP/1.0\r\n\r\n"), 421, "who calls nobody")
        self.stop()

    @unittest.skipUnless(shutil.which("node"), "no node")
    def test_percents_are_rounded_down(self):
        self.serve()
        script = self.get("/page.js")[2].decode()
        function = re.search(r"const percent = .*?\n};\n", script, re.S)[0]
        for part, whole, wanted in ((9.99, 100, "9.9 %"), (999, 10000, "9.9 %"), (99.9, 100, "99 %"), (1, 10000, "<0.1 %")):
            said = subprocess.run(["node", "-e", f"{function} console.log(percent({part}, {whole}))"], text=True,
                                  stdout=subprocess.PIPE, check=True).stdout
            self.assertEqual(said, f"{wanted}\n")
        self.stop()

    def test_nonsense_and_changes_are_refused(self):
        self.serve()
        good = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.assertEqual(self.raw(good), 200)
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
            status, headers, _ = self.get("/volume.json", method)
            self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"), method)
        for status, request in (
                (404, good.replace(b"/ ", b"/metrics ")), (404, good.replace(b"/ ", b"/../etc/passwd ")),
                (404, good.replace(b"/ ", b"/page.html ")), (400, b"nonsense\r\n\r\n"),
                (400, b"\x00\xff\n\n"), (400, good.replace(b"Host", b"Host: a\r\nHost")),
                (400, good.replace(b"/ ", b"http://localhost/ ")),
                (400, good.replace(b"\r\n\r\n", b"\r\n folded\r\n\r\n")),
                (400, good.replace(b"/1.1", b"/2"))):
            self.assertEqual(self.raw(request), status, request)
        try:
            self.assertEqual(self.raw(b"GET / HTTP/1.1\r\nA: " + b"x" * 20000), 431)
        except ConnectionError:
            pass  # it was hung up on while it sent
        self.assertEqual(self.raw(good), 200)
        self.stop()

    def test_addresses_that_others_reach_must_be_asked_for(self):
        for words, *options in ((("--web-remote allows that",), "--web", "0.0.0.0:0"),
                                (("--web-remote allows that",), "--web", "*:0"),
                                (("--web-remote allows that",), "--web", "127.evil.example:0"),
                                (("has no port", "127.0.0.1:0"), "--web", "127.0.0.1"),
                                (("--web", "not a port"), "--web", "127.0.0.1:x"),
                                (("give that too",), "--web-remote")):
            done = uvdo("serve", self.image, "--nbd", f"unix:{self.socket}", *options)
            self.assertEqual(done.returncode, 2, options)
            for word in words:
                self.assertIn(word, done.stderr)
        Served.serve(self, "--web", "0.0.0.0:0", "--web-remote")
        self.assertRegex(self.log(), r"whoever reaches http://0\.0\.0\.0:\d+/ sees the volume's name")
        self.stop()

    def test_a_unix_socket_is_for_whom_its_mode_says(self):
        path = self.folder / "web"
        Served.serve(self, "--web", f"unix:{path}", "--socket-mode", "0660")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o660)
        connection = UnixConnection(path)
        connection.request("GET", "/volume.json")
        told = json.loads(connection.getresponse().read())
        self.assertEqual(told["status"]["web"], [f"unix:{path}"])
        self.stop()
        self.assertFalse(path.exists())

    def test_there_is_none_unless_it_is_asked_for(self):
        Served.serve(self)
        self.assertNotIn("status page", self.log())
        self.assertEqual(json.loads(uvdo("status", "--json", self.image).stdout)["web"], [])
        self.stop()


class Bounds(Web):
    def test_a_crowd_of_slow_browsers_costs_clients_nothing(self):
        self.serve()
        crowd = [socket.create_connection(("127.0.0.1", self.port), 30) for _ in range(200)]
        for client in crowd[:8]:
            client.sendall(b"GET /history.json HTTP/1.1\r\nHost: localhost\r\n")  # and no end
        # There are places for 16: who comes then is told so, or hung up on without a word.
        def late():
            try:
                return self.get("/")[0]
            except ConnectionError:
                return None
        self.assertIn(late(), (503, None))
        begin = time.monotonic()
        client = nbd.NBD()
        client.connect_uri(self.uri)
        data = random.Random(2).randbytes(MIB)
        for at in range(0, 32 * MIB, MIB):
            client.pwrite(data, at)
        client.flush()
        self.assertEqual(client.pread(MIB, 0), data)
        client.shutdown()
        self.assertLess(time.monotonic() - begin, 8, "clients of the volume wait for none of them")
        # Who is slow is hung up on after ten seconds, and then there is room.
        self.assertTrue(wait_until(lambda: late() == 200, 30))
        for each in crowd:
            each.close()
        self.assertLess(peak_memory(self.server.pid), self.memory_budget() + 64 * MIB)
        self.stop()

    def test_browsers_that_ask_without_end_leave_memory_where_it_was(self):
        self.serve()
        for path in DATA * 20:
            self.get(path)

        def memory():
            told = pathlib.Path(f"/proc/{self.server.pid}/status").read_text()
            return int(re.search(r"VmRSS:\s+(\d+) kB", told)[1]) * 1024
        before = memory()
        for path in DATA * 300:
            self.get(path)
        self.assertLess(memory() - before, 4 * MIB)
        self.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
