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
import unittest

from served import MIB, Served
from support import run, uvdo


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

    def wait_for_index(self):
        for _ in range(1000):
            if self.stats()["uvdo"]["indexState"] == "online":
                return
        self.fail("the index is not opened")


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
                         {"compression": True, "deduplication": True}, "nothing has changed")
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
        # A full disk below makes the volume read-only.
        top = 2660 * MIB
        resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE, (top, top))
        source = self.folder / "data"
        source.write_bytes(random.Random(1).randbytes(32 * MIB))
        self.qemu_io(f"write -s {source} 0 {32 * MIB}", "flush", expect=1)
        broken = self.uvdo("status", self.image, status=1)
        self.assertIn("takes no more writes since an error", broken.stdout)
        self.assertIn("File too large", broken.stdout)
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
                         "compression: off\ndeduplication: on\n")
        self.assertFalse(self.stats()["uvdo"]["compression"])
        for words, *settings in (("KEY=VALUE", "compression"), ("on or off", "compression=maybe"),
                                 ("no \"colour\"", "colour=red"), ("no \"\"", "=on"),
                                 ("twice", "compression=on", "compression=off")):
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
