#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket and the commands that speak it, also with nonsense and with many clients."""
import json
import os
import random
import re
import resource
import socket
import stat
import subprocess
import time
import unittest

import nbd

from served import IS_SANITIZED, MIB, Served
from support import UVDO, run, uvdo


class Client:
    """A plain client of the control socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        line = self.file.readline()
        return json.loads(line) if line else None

    def ask(self, command, **parameters):
        self.send(json.dumps({"uvdo": 1, "command": command, **parameters}).encode() + b"\n")
        return self.receive()

    def close(self):
        self.file.close()
        self.socket.close()


class Control(Served):
    LOGICAL = 64 * MIB

    def serve(self, *options, **process):
        self.control = self.folder / "control"
        super().serve("--control", self.control, *options, **process)

    def connect(self):
        client = Client(self.control)
        self.addCleanup(client.close)
        return client

    def uvdo(self, command, *arguments, status=0):
        done = uvdo(command, *arguments, "--control", self.control)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def refuse(self, words, command, *arguments, status=1):
        done = self.uvdo(command, *arguments, status=status)
        self.assertIn(words, done.stderr)
        self.assertTrue(done.stderr.startswith("uvdo: "), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def stats(self):
        return json.loads(self.uvdo("stats", "--json", self.image).stdout)[str(self.image)]

    def stop(self):
        self.uvdo("stop", self.image)
        self.assertEqual(self.server.wait(120), 0, self.log())

    def end(self):
        """The volume is as sound as ever."""
        self.stop()
        self.judge_volume()


class Socket(Control):
    def test_it_belongs_to_its_user_alone_and_goes_away_with_the_server(self):
        self.serve()
        mode = self.control.stat().st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        self.end()
        self.assertFalse(self.control.exists())

    def test_nonsense_is_answered_and_harms_nobody(self):
        self.serve()
        patient = self.connect()
        self.assertTrue(patient.ask("set")["ok"])
        one_line = [b"", b"nonsense", b"{", b"[]", b"3", b"null", b'"stats"', b"\xff\xfe\x00\x80",
                    b'{"uvdo": 1}', b'{"uvdo": 2, "command": "stop"}', b'{"command": "stop"}',
                    b'{"uvdo": "1", "command": "stop"}', b'{"uvdo": 1, "command": 7}',
                    b'{"uvdo": 1, "command": ""}', b'{"uvdo": 1, "command": "Stop"}',
                    b'{"uvdo": 1, "command": "set", "compression": "on"}',
                    b'{"uvdo": 1, "command": "set", "colour": true}',
                    b'{"uvdo": 1, "command": "stop", "now": true}',
                    b'{"uvdo": 1, "command": "index"}',
                    b'{"uvdo": 1, "command": "index", "action": 1}',
                    b'{"uvdo": 1, "command": "log-level", "level": 7}',
                    b'{"uvdo": 1, "command": "log-level", "level": "loud"}',
                    b"[" * 60000, b'{"a":' * 10000]
        client = self.connect()
        client.send(b"\n".join(one_line) + b"\n")
        for line in one_line:
            answer = client.receive()
            self.assertEqual((answer["uvdo"], answer["ok"]), (1, False), line)
            self.assertTrue(answer["error"]["message"], line)
        self.assertTrue(client.ask("stats")["ok"])
        endless = self.connect()
        try:
            endless.send(b"x" * (200 << 10))
        except OSError:
            pass  # hung up already
        self.assertIn("one line", endless.receive()["error"]["message"])
        half = self.connect()
        half.send(b'{"uvdo": 1, "comm')
        half.close()
        vanishing = self.connect()
        vanishing.send(b'{"uvdo": 1, "command": "stats"}\n' * 50)
        vanishing.close()
        generator = random.Random(12)
        for _ in range(50):
            noise = self.connect()
            noise.send(generator.randbytes(generator.randrange(1, 5000)) + b"\n")
            self.assertFalse(noise.receive()["ok"])
            noise.close()
        self.assertEqual(patient.ask("set")["result"],
                         {"compression": True, "deduplication": True, "write-through": False,
                          "no-space-timeout": 60}, "nothing has changed")
        self.end()

    def test_a_hundred_clients_at_once(self):
        self.serve()
        clients = [self.connect() for _ in range(100)]
        for n, client in enumerate(clients):
            command = ("stats", "status", "info", "dump", "flush")[n % 5]
            client.send(json.dumps({"uvdo": 1, "command": command}).encode() + b"\n")
        for client in clients:
            self.assertTrue(client.receive()["ok"])
        for client in clients[::-1]:
            self.assertTrue(client.ask("flush")["ok"])
        self.end()

    def test_more_than_there_is_room_for_are_told_so(self):
        self.serve()
        clients, answers = [], []
        for _ in range(300):
            clients.append(self.connect())
            answers.append(clients[-1].ask("flush"))
        self.assertTrue(all(answer["ok"] for answer in answers[:256]))
        refused = [answer for answer in answers if not answer["ok"]]
        self.assertEqual(len(refused), 44)
        self.assertEqual(refused[0]["error"]["code"], "busy")
        for client in clients:
            client.close()
        self.end()

    def test_a_server_short_of_file_descriptors_comes_back(self):
        self.serve()
        self.wait_for_index()  # it has all that it needs for itself
        used = len(os.listdir(f"/proc/{self.server.pid}/fd"))
        hard = resource.prlimit(self.server.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(self.server.pid, resource.RLIMIT_NOFILE, (used + 3, hard))
        clients = [self.connect() for _ in range(8)]
        self.assertTrue(clients[0].ask("flush")["ok"])
        for client in clients[:4]:
            client.close()
        self.assertTrue(clients[5].ask("flush")["ok"])
        resource.prlimit(self.server.pid, resource.RLIMIT_NOFILE, (hard, hard))
        self.assertTrue(clients[7].ask("flush")["ok"])
        self.end()


class Commands(Control):
    def test_status_says_that_all_is_well_or_what_is_not(self):
        stopped = uvdo("status", self.image)
        self.assertEqual(stopped.returncode, 3)
        self.assertIn("not being served", stopped.stdout)
        self.serve()
        self.wait_for_index()
        well = self.uvdo("status", self.image)
        self.assertRegex(well.stdout, r"^All is well: .*v.img is in use, \d+ % .*\n$")
        self.uvdo("index", "disable", self.image)
        self.assertIn("switched off", self.uvdo("status", self.image).stdout)
        # A file that is cut off makes the volume read-only.
        os.truncate(self.image, os.stat(self.image).st_size - 256 * MIB)
        self.wait_until(lambda: "takes no more writes" in
                        uvdo("status", self.image, "--control", self.control).stdout, "read-only mode")
        broken = self.uvdo("status", self.image, status=1)
        self.assertIn("takes no more writes since an error", broken.stdout)
        self.assertIn("was cut off", broken.stdout)
        self.assertIn("uvdo rebuild --dry-run", broken.stdout)
        told = json.loads(self.uvdo("status", "--json", self.image, status=1).stdout)
        self.assertEqual((told["served"], told["well"]), (True, False))
        self.refuse("read-only mode", "flush", self.image)
        self.refuse("read-only mode", "index", "create", self.image)
        self.refuse("read-only mode", "stop", self.image)
        self.server.wait(60)
        self.assertEqual(uvdo("status", self.image).returncode, 1)

    def test_info_and_dump_of_a_volume_in_use(self):
        before = json.loads(uvdo("info", "--json", self.image).stdout)
        self.serve()
        self.write(0, random.Random(2).randbytes(4 * MIB))
        told = json.loads(self.uvdo("info", "--json", self.image).stdout)
        self.assertEqual((told["served"], told["mode"]), (True, "normal"))
        for key in ("uuid", "logicalBlocks", "physicalBlocks", "index", "partitions", "deviceBytes"):
            self.assertEqual(told[key], before[key], key)
        self.assertEqual(told["logicalBlocksUsed"], 1024)
        self.assertIn("in use: normal", self.uvdo("info", self.image).stdout)
        dump = json.loads(self.uvdo("dump", self.image).stdout)
        self.assertEqual(dump["depot"]["slabs"][0]["number"], 0)
        self.assertEqual(dump["index"]["state"], "online")
        self.end()

    def test_the_index_is_closed_opened_switched_and_made_anew(self):
        data = random.Random(3).randbytes(2 * MIB)
        self.serve("--compression", "off")
        self.wait_for_index()
        self.write(0, data)
        self.qemu_io("flush")  # until then the index may not have been told
        used = self.stats()["dataBlocksUsed"]

        def write_again(at, blocks, why):
            self.write(at * MIB, data)
            self.qemu_io("flush")
            self.assertEqual(self.stats()["dataBlocksUsed"], blocks, why)
        for action, state in (("close", "closed"), ("disable", "closed")):
            self.assertEqual(self.uvdo("index", action, self.image).stdout, f"index: {state}\n")
        self.refuse("closed already", "index", "close", self.image)
        write_again(4, 2 * used, "a closed index finds nothing")
        self.assertRegex(self.uvdo("index", "enable", self.image).stdout, "opening|online")
        self.wait_for_index()
        write_again(8, 2 * used, "an index opened again knows what it did")
        self.assertEqual(self.uvdo("index", "disable", self.image).stdout, "index: offline\n")
        write_again(12, 3 * used, "an index switched off finds nothing")
        self.assertEqual(self.uvdo("index", "create", self.image).stdout, "index: online\n")
        self.assertTrue(self.stats()["uvdo"]["deduplication"])
        write_again(16, 4 * used, "a new index knows nothing")
        write_again(20, 4 * used, "and learns")
        self.refuse("create, close, enable or disable", "index", "destroy", self.image, status=2)
        self.end()

    def test_set_and_log_level_take_effect_at_once_and_say_what_is(self):
        self.serve("--log-format", "json")
        self.assertEqual(self.uvdo("log-level", self.image).stdout, "log level: info\n")
        self.assertEqual(self.uvdo("log-level", self.image, "warning").stdout,
                         "log level: warning\n")
        self.assertEqual(self.uvdo("set", self.image, "compression=off").stdout,
                         "compression: off\ndeduplication: on\nwrite-through: off\nno-space-timeout: 60\n")
        self.assertIn("write-through: on\n", self.uvdo("set", self.image, "write-through=on").stdout)
        self.assertIn("no-space-timeout: 5\n", self.uvdo("set", self.image, "no-space-timeout=5").stdout)
        self.assertFalse(self.stats()["uvdo"]["compression"])
        for words, *settings in (("KEY=VALUE", "compression"), ("on or off", "compression=maybe"),
                                 ("no \"colour\"", "colour=red"), ("no \"\"", "=on"),
                                 ("twice", "compression=on", "compression=off"),
                                 ("0 to 86400", "no-space-timeout=86401"), ("number", "no-space-timeout=soon")):
            self.refuse(words, "set", self.image, *settings, status=2)
        self.refuse("not \"loud\"", "log-level", self.image, "loud", status=2)
        self.assertFalse(self.stats()["uvdo"]["compression"], "nothing wrong has changed it")
        self.end()
        lines = [json.loads(line) for line in self.log().splitlines()]
        self.assertIn("of memory", lines[-1]["message"], "\"stopping\" is below the level")
        self.assertEqual(lines[0]["level"], "info")
        self.assertRegex(lines[0]["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")

    def test_what_nobody_serves(self):
        for command, *arguments in (("index", "enable", self.image), ("dump", self.image),
                                    ("log-level", self.image), ("set", self.image, "compression=on"),
                                    ("flush", self.image), ("stop", self.image)):
            done = uvdo(command, *arguments)
            self.assertEqual(done.returncode, 1)
            self.assertIn("is not being served", done.stderr)
        done = uvdo("status", "4000:99999")
        self.assertEqual(done.returncode, 2)
        self.assertIn("MAJOR:MINOR", done.stderr)


class Parameters(Control):
    def headers(self):
        with open(self.image, "rb") as image:
            return image.read(8192)

    def start_wrong(self, words, *options, status=2):
        done = uvdo("serve", self.image, "--nbd", f"unix:{self.socket}", *options, timeout=60)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, done.stderr)

    def test_a_wrong_value_is_told_with_name_value_limits_and_reason(self):
        before = self.headers()
        for name, limits, *values in (("--cache", "16 MiB to 1 TiB", "1K", "2T", "lots", "1MB"),
                                      ("--era-length", "1 to 16380", "0", "16381", "-1", "1.5"),
                                      ("--buffers", "4 MiB to 64 GiB", "1M", "65G"),
                                      ("--max-requests", "1 to 2048", "0", "2049", "many"),
                                      ("--max-clients", "1 to 1024", "0", "1025"),
                                      ("--minimum-io", "1, 512 or 4096", "0", "8192", "4K")):
            for value in values:
                self.start_wrong((f"{name} is \"{value}\"", limits), f"{name}={value}")
        for words, *options in (("on or off", "--compression", "true"),
                                ("error, warning", "--log-level", "all"),
                                ("auto, plain", "--log-format", "xml"),
                                ("ascending", "--watermarks", "90,80"),
                                ("anybody who reaches", "--metrics", "tcp:0.0.0.0:9810"),
                                ("--metrics", "--metrics", "9810"),
                                ("cannot be read", "--config", f"{self.folder}/none.toml")):
            self.start_wrong(words, *options)
        self.assertEqual(self.headers(), before, "the volume is as it was")

    @unittest.skipIf(IS_SANITIZED, "a sanitizer reserves terabytes of addresses")
    def test_memory_that_the_machine_cannot_give_is_refused_before_the_volume_is_opened(self):
        before = self.headers()
        done = run("sh", "-c", 'ulimit -v 600000; exec "$0" "$@"', UVDO, "serve", self.image, "--nbd",
                   f"unix:{self.socket}")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stderr, r"^uvdo: the volume needs up to [\d.]+ MiB of memory \(.*but the "
                                      r"limit of its address space \(ulimit -v\) is 585.9 MiB; .*\n$")
        self.assertEqual(self.headers(), before)
        # The parts make the whole, and the same is announced when it is enough.
        told = re.findall(r"([\d.]+) ([KM])iB (?:of memory|for)", done.stderr)
        total, *parts = [float(n) / (1024 if unit == "K" else 1) for n, unit in told]
        self.assertEqual(len(parts), 5, done.stderr)
        self.assertAlmostEqual(total, sum(parts), delta=0.5)
        self.serve()
        self.assertAlmostEqual(self.memory_budget() / MIB, total, delta=0.1)
        self.wait_for_index()
        taken = json.loads(self.uvdo("dump", self.image).stdout)["index"]["memoryBytes"] / MIB
        self.assertTrue(taken <= parts[2] <= taken * 1.1, (taken, parts))
        self.stop()

    def test_a_configuration_file_makes_and_serves_a_volume(self):
        config, volume = self.folder / "pool.toml", self.folder / "pool.img"
        config.write_text(f'''
            volume = "{volume}"
            [format]
            size = "4G"
            slab-bits = 13
            logical-size = "100M"
            index-memory = 0.25
            [serve]
            nbd = ["unix:{self.socket}"]
            cache = "32M"
            compression = false
            minimum-io = 512
            era-length = 1000
        ''')
        made = uvdo("format", "--config", config, "--logical-size", "64M")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("logical size    64 MiB", made.stdout, "the command line comes first")
        self.image = volume
        with open(self.folder / "serve.log", "w") as log:
            self.server = subprocess.Popen([UVDO, "serve", "--config", config, "--control",
                                            self.folder / "control"], stdout=log, stderr=log)
        self.control = self.folder / "control"
        for _ in range(3000):
            if "of memory" in self.log():
                break
            time.sleep(0.01)
        stats, dump = self.stats(), json.loads(self.uvdo("dump", self.image).stdout)
        self.assertEqual(stats["blockMapCacheSize"], 32 * MIB)
        self.assertEqual(stats["logicalBlockSize"], 512)
        self.assertFalse(stats["uvdo"]["compression"])
        self.assertEqual(dump["options"]["blockMapMaximumAge"], 1000)
        told = json.loads(run("nbdinfo", "--json", self.uri).stdout)["exports"][0]
        self.assertEqual(told["block_size_minimum"], 512)
        self.qemu_io("write -P 1 512 1024")
        self.note(512, b"\x01" * 1024)
        self.end()
        for words, text in ((("line 2", "[serve] has no \"cash\"", "era-length"),
                             "[serve]\ncash = \"1G\"\n"),
                            (("line 1", "means nothing here"), "[server]\n"),
                            (("line 2", "true or false"), "[serve]\nread-only = 1\n"),
                            (("line 1",), "[serve\n"),
                            (("--era-length is \"99999\"",), "[serve]\nera-length = 99999\n")):
            config.write_text(text)
            self.start_wrong(words, "--config", config)
        self.assertEqual(uvdo("serve", "--nbd", "unix:x").returncode, 2)


class Watching(Control):
    def fetch(self, request, address=None):
        client = socket.socket(socket.AF_UNIX if address is None else socket.AF_INET)
        client.settimeout(30)
        client.connect(address or str(self.folder / "metrics"))
        client.sendall(request)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
        client.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return head.decode(), body.decode()

    def test_metrics_are_given_over_http_and_nonsense_is_refused(self):
        self.serve("--metrics", f"unix:{self.folder}/metrics")
        self.write(0, random.Random(5).randbytes(MIB))
        get = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        head, body = self.fetch(get)
        self.assertTrue(head.startswith("HTTP/1.1 200 OK\r\n"), head)
        self.assertIn("text/plain; version=0.0.4", head)
        self.assertIn(f"Content-Length: {len(body.encode())}", head)
        samples = dict(line.rsplit(" ", 1) for line in body.splitlines() if line[0] != "#")
        uuid = json.loads(self.uvdo("info", "--json", self.image).stdout)["uuid"]
        label = f'volume="{self.image}",uuid="{uuid}"'
        version = uvdo("--version").stdout.split()[1]
        self.assertEqual(samples[f'uvdo_build_info{{{label},version="{version}"}}'], "1")
        self.assertEqual(samples[f"uvdo_read_only{{{label}}}"], "0")
        self.assertEqual(samples[f"uvdo_logical_size_bytes{{{label}}}"], str(self.LOGICAL))
        count = f'uvdo_request_duration_seconds_count{{{label},operation="write"}}'
        self.assertGreater(int(samples[count]), 0)
        for line in body.splitlines():
            if line[0] != "#":
                family = re.sub(r"(_bucket|_sum|_count)?\{.*", "", line)
                self.assertIn(f"# HELP {family} ", body)
                self.assertIn(f"# TYPE {family} ", body)
        self.assertEqual(self.fetch(get.replace(b"GET", b"HEAD"))[1], "")
        for status, request in ((404, b"GET / HTTP/1.1\r\n\r\n"), (405, get.replace(b"GET", b"PUT")),
                                (400, b"nonsense\r\n\r\n"), (400, b"\x00\xff\n\n"),
                                (431, b"GET /metrics HTTP/1.1\r\n" + b"x" * 20000)):
            try:
                head, _ = self.fetch(request)
            except ConnectionError:
                self.assertEqual(status, 431)  # it was hung up on while it sent
                continue
            self.assertTrue(head.startswith(f"HTTP/1.1 {status} "), head)
        clients = [self.fetch(get) for _ in range(40)]
        self.assertTrue(all("200 OK" in head for head, _ in clients))
        self.end()

    def test_pages_from_elsewhere_cannot_be_led_to_the_metrics(self):
        self.serve("--metrics", "tcp:127.0.0.1:0")
        port = int(re.search(r"metrics on tcp:127\.0\.0\.1:(\d+)", self.log())[1])
        for host, status in (("localhost", 200), (f"127.0.0.1:{port}", 200), ("evil.example", 421)):
            head, body = self.fetch(f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), ("127.0.0.1", port))
            self.assertTrue(head.startswith(f"HTTP/1.1 {status} "), head)
            self.assertEqual("uvdo_build_info" in body, status == 200)
        self.end()

    def test_a_watermark_is_told_in_the_log_and_to_a_command(self):
        seen = self.folder / "seen"
        self.serve("--compression", "off", "--watermarks", "1,2", "--watermark-command",
                   f'echo "$UVDO_EVENT $UVDO_PERCENT $UVDO_VOLUME" >> {seen}')
        # The room for data is 1.2 GiB.
        self.write(0, random.Random(6).randbytes(20 * MIB))
        self.wait_for(seen, f"watermark-above 1 {self.image}\n")
        self.assertRegex(self.log(), r"\n1 % of the room for data of [\d.]+ GiB is used, ")
        self.qemu_io(f"discard 0 {20 * MIB}", "flush")
        self.wait_for(seen, f"watermark-above 1 {self.image}\nwatermark-below 1 {self.image}\n")
        self.content = bytearray()
        self.end()

    def test_a_volume_that_is_full_for_a_moment_gives_all_its_events(self):
        self.image.unlink()
        made = uvdo("format", self.image, "--size", "2850M", "--slab-bits", "13",
                    "--logical-size", "1G")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.LOGICAL = 1024 * MIB
        seen = self.folder / "seen"
        self.serve("--compression", "off", "--deduplication", "off", "--watermark-command",
                   f'echo "$UVDO_EVENT $UVDO_PERCENT" >> {seen}')
        client = nbd.NBD()
        client.connect_uri(self.uri)
        generator, at = random.Random(8), 0
        with self.assertRaises(nbd.Error):
            while True:
                client.pwrite(generator.randbytes(MIB), at)
                at += MIB
        client.trim(self.LOGICAL, 0)
        client.flush()
        client.shutdown()
        self.wait_for(seen, "".join(f"{event}\n" for event in (
            "watermark-above 80", "watermark-above 90", "watermark-above 95", "full 100",
            "not-full 100", "watermark-below 95", "watermark-below 90", "watermark-below 80")))
        self.assertIn("is full: writes of new data fail", self.log())
        self.end()

    def test_all_say_that_a_volume_is_suspended(self):
        self.serve("--metrics", f"unix:{self.folder}/metrics")
        self.wait_for_index()

        def told():
            watched = self.uvdo("stats", self.image, "--watch", "0.1", "--count", "1").stdout
            metrics = self.fetch(b"GET /metrics HTTP/1.1\r\n\r\n")[1]
            status = uvdo("status", self.image, "--control", self.control)
            shown = run("script", "-qec", f"{UVDO} top {self.image} --control {self.control} "
                        "--interval 0.1 --count 1", "/dev/null", stdin=subprocess.DEVNULL,
                        env={**os.environ, "TERM": "xterm"}).stdout
            return {"watch": "suspended" in watched, "top": "SUSPENDED" in shown,
                    "metrics": re.findall(r"^uvdo_suspended\{.*\} (\d)$", metrics, re.M) == ["1"],
                    "status": (status.returncode, "suspended" in status.stdout) == (1, True),
                    "stats": self.stats()["uvdo"]["suspended"],
                    "info": json.loads(self.uvdo("info", "--json", self.image).stdout)["mode"] ==
                    "suspended"}
        self.assertEqual(set(told().values()), {False})
        self.uvdo("suspend", self.image)
        self.assertEqual(set(told().values()), {True}, told())
        self.uvdo("resume", self.image)
        self.assertEqual(set(told().values()), {False}, told())
        self.end()

    def wait_for(self, path, text):
        for _ in range(1500):
            if path.exists() and path.read_text() == text:
                return
            time.sleep(0.01)
        self.fail((path.exists() and path.read_text(), self.log()))

    def test_rates_are_shown_as_lines_and_on_a_screen(self):
        self.serve()
        self.write(0, random.Random(7).randbytes(4 * MIB))
        lines = self.uvdo("stats", self.image, "--watch", "0.2", "--count", "2").stdout.splitlines()
        self.assertEqual(len(lines), 3)
        self.assertIn("held up by", lines[0])
        self.assertIn("nothing", lines[1])
        for words, *arguments in (("0.1 to 3600", "stats", self.image, "--watch", "0"),
                                  ("0.1 to 3600", "top", self.image, "--interval", "often"),
                                  ("terminal", "top", self.image),
                                  ("one volume", "stats", self.image, "--watch", "1", "-v")):
            self.refuse(words, *arguments, status=2)
        # No figure is the wrapped difference of two others, and both forms say the same.
        verbose = self.uvdo("stats", "-v", self.image).stdout
        self.assertLess(max(int(n) for n in re.findall(r" : (\d+)$", verbose, re.M)), 1 << 60)
        percents = [re.search(rf"{label} percent +: (\S+)$", verbose, re.M)[1] + "%"
                    for label in ("used", "saving")]
        self.assertEqual(self.uvdo("stats", self.image).stdout.splitlines()[1].split()[4:], percents)
        watched = self.uvdo("stats", self.image, "--watch", "0.1", "--count", "2", "--json")
        for line in watched.stdout.splitlines():
            told = json.loads(line)
            self.assertGreater(told["seconds"], 0.09)
            self.assertEqual(told["mode"], "normal")
        self.assertEqual(watched.stdout.count("\n"), 2)
        # On a terminal: script(1) gives it one.
        shown = run("script", "-qec", f"{UVDO} top {self.image} --control {self.control} "
                    "--interval 0.2 --count 2", "/dev/null", stdin=subprocess.DEVNULL,
                    env={**os.environ, "TERM": "xterm"})
        self.assertEqual(shown.returncode, 0, shown.stdout)
        for words in ("uvdo top", "normal", "99.9 %", "Held up by"):
            self.assertIn(words, shown.stdout)
        for rows, columns in ((3, 60), (2, 24), (1, 80)):
            small = run("script", "-qec", f"stty rows {rows} cols {columns}; {UVDO} top {self.image} "
                        f"--control {self.control} --interval 0.1 --count 2", "/dev/null",
                        stdin=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm"})
            self.assertIn("Held up by", small.stdout)
        done = uvdo("stats", "--watch", "1", self.image)
        self.assertEqual(done.returncode, 1)
        self.end()


if __name__ == "__main__":
    unittest.main(verbosity=2)
