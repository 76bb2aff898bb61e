#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who gets in and who does not: a second user of one volume by whatever name, servers that are not
what they seem, and clients that would keep others out."""
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import time
import unittest

from served import MIB, Served
from support import UVDO, run, uvdo, wait_until

IS_ROOT = os.geteuid() == 0


class Doors(Served):
    LOGICAL = 64 * MIB

    def assert_in_use(self, command, *arguments, names=True):
        done = uvdo(command, *arguments)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("in use", done.stderr)
        if names:
            self.assertIn(f"process {self.server.pid} (", done.stderr)
            self.assertIn("uvdo serve", done.stderr)


@unittest.skipUnless(IS_ROOT and run("losetup", "-f").returncode == 0, "needs root and loop devices")
class Storage(Doors):
    def loop(self, *options, file=None):
        made = run("losetup", "--show", *options, "-f", file or self.image)
        if made.returncode:
            self.skipTest(made.stderr)
        device = made.stdout.strip()
        self.addCleanup(run, "losetup", "-d", device)
        return device

    def serve_device(self, device):
        image, self.image = self.image, device
        self.serve()
        self.image = image

    def assert_refused(self, volume, *more):
        """Each waits for some seconds whether the other user ends."""
        self.assert_in_use("serve", volume, "--nbd", f"unix:{self.folder}/other")
        options = {"format": ["--force", "--slab-bits", "13"], "grow": ["--logical", "1G"]}
        for command in more:
            self.assert_in_use(command, volume, *options.get(command, []))

    def test_a_file_and_the_loop_devices_over_it_are_one_volume(self):
        first, second = self.loop(), self.loop()
        self.serve()
        self.assert_refused(first, "format", "check", "grow")
        self.kill()
        self.serve_device(first)
        self.assert_refused(self.image, "check")
        self.assert_refused(second)
        self.assertEqual(uvdo("stop", first).returncode, 0)
        self.assertEqual(uvdo("check", self.image).returncode, 0)
        self.assertEqual(uvdo("check", second).returncode, 0)

    def test_other_nodes_links_and_mounts_are_the_same_volume(self):
        device = self.loop()
        number = os.stat(device).st_rdev
        os.mknod(self.folder / "node", stat.S_IFBLK | 0o600, number)
        self.serve_device(device)
        self.assert_refused(self.folder / "node")
        self.assert_refused(f"{os.major(number)}:{os.minor(number)}")
        self.kill()
        os.link(self.image, self.folder / "hard")
        os.mkdir(self.folder / "mounted")
        mounted = run("mount", "--bind", self.folder, self.folder / "mounted").returncode == 0
        if mounted:
            self.addCleanup(run, "umount", self.folder / "mounted")
        self.serve()
        self.assert_refused(self.folder / "hard")
        if mounted:
            self.assert_refused(self.folder / "mounted/v.img")
        self.kill()

    def test_parts_of_one_file_are_volumes_of_their_own(self):
        half = 4 << 30
        os.truncate(self.image, 2 * half)
        low = self.loop("--sizelimit", str(half))
        high, high_again = (self.loop("--offset", str(half)) for _ in range(2))
        self.serve_device(low)
        made = uvdo("format", high, "--slab-bits", "13")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertEqual(uvdo("check", high_again).returncode, 0)
        self.kill()
        self.serve_device(high)
        self.assert_refused(high_again)
        self.assert_refused(self.image)
        self.assertEqual(uvdo("info", low).returncode, 0)
        self.kill()

    def test_a_file_whose_loop_device_others_use_is_in_use(self):
        device = self.loop()
        user = os.open(device, os.O_RDWR | os.O_EXCL)
        try:
            self.assert_in_use("format", self.image, "--force", "--slab-bits", "13", names=False)
        finally:
            os.close(user)
        self.assertEqual(uvdo("check", self.image).returncode, 0)

    def test_of_two_that_start_at_once_one_wins(self):
        device = self.loop()
        servers = [subprocess.Popen([UVDO, "serve", volume, "--nbd", f"unix:{self.folder}/{n}"],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                   for n, volume in enumerate((self.image, device))]
        self.assertTrue(wait_until(lambda: any(s.poll() is not None for s in servers)))
        lost = [s for s in servers if s.poll() is not None]
        self.assertEqual([s.returncode for s in lost], [1])
        for server in servers:
            server.kill()
            server.communicate()


class FakeServer:
    """Answers whatever it is told to, as `user`."""

    def __init__(self, path, answers, user=None):
        self.path = path
        self.pid = os.fork()
        if self.pid == 0:
            self.run(answers, user)
        ready = pathlib.Path(f"{path}.ready")
        assert wait_until(lambda: ready.exists() and ready.read_text())

    def run(self, answers, user):
        try:
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(str(self.path))
            os.chmod(self.path, 0o777)
            with open(f"{self.path}.ready", "w") as ready:  # made while that is allowed
                if user is not None:
                    os.setgid(user)
                    os.setuid(user)
                listening.listen()
                ready.write("listening")
            while True:
                client, _ = listening.accept()
                lines = client.makefile("rb")
                for answer in answers:
                    if not lines.readline():
                        break
                    client.sendall(answer + b"\n")
        finally:  # nothing of the test's own is to be run here
            os._exit(1)

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Control(Doors):
    def fake(self, answers, user=None):
        server = FakeServer(self.folder / "fake", answers, user)
        self.addCleanup(server.end)
        return server.path

    def hello(self):
        status = self.image.stat()
        return json.dumps({"uvdo": 1, "ok": True, "result": {
            "volume": str(self.image), "pid": 1,
            "storages": [{"id": f"file-{status.st_dev:x}-{status.st_ino}", "start": 0}]}}).encode()

    def test_a_command_for_one_volume_does_nothing_to_another(self):
        other, control = self.folder / "other.img", self.folder / "control"
        self.assertEqual(uvdo("format", other, "--size", "4G", "--slab-bits", "13").returncode, 0)
        self.serve("--control", control)
        for command in (["grow", other, "--logical", "22G"], ["stats", other], ["stop", other],
                        ["set", other, "compression=off"], ["suspend", other], ["resume", other],
                        ["status", other], ["info", other], ["flush", other], ["dump", other],
                        ["index", "close", other], ["log-level", other, "debug"],
                        ["stats", other, "--watch", "1", "--count", "1"]):
            done = uvdo(*command, "--control", control, timeout=30)
            self.assertEqual(done.returncode, 1, (command, done.stdout, done.stderr))
            self.assertIn(f"another volume, {self.image}, and not {other}", done.stderr)
        told = uvdo("stats", "--json", self.image, "--control", control)
        self.assertEqual(json.loads(told.stdout)[str(self.image)]["logicalBlocks"],
                         self.LOGICAL // 4096)
        os.link(self.image, self.folder / "hard")
        os.symlink("hard", self.folder / "soft")
        for name in ("hard", "soft"):
            done = uvdo("flush", self.folder / name, "--control", control)
            self.assertEqual(done.returncode, 0, done.stderr)
        os.rename(self.image, self.folder / "moved")
        done = uvdo("flush", self.image, "--control", control)
        self.assertEqual(done.returncode, 0, done.stderr)
        os.rename(other, self.image)
        done = uvdo("flush", self.image, "--control", control)
        self.assertEqual(done.returncode, 1)
        # The file is not where it was, which is told.
        done = uvdo("stop", self.folder / "moved", "--control", control)
        self.assertEqual(done.returncode, 1)
        self.assertIn("all was written, but", done.stderr)

    @unittest.skipUnless(IS_ROOT, "needs root")
    def test_servers_and_folders_of_others_are_not_believed(self):
        fine = b'{"uvdo": 1, "ok": true, "result": {"well": true, "summary": "All is well."}}'
        path = self.fake([self.hello(), fine], user=12345)
        done = uvdo("status", self.image, "--control", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("user 12345 listens there", done.stderr)
        self.assertNotIn("well", done.stdout)
        for mode, owner in ((0o777, 0), (0o755, 12345)):
            folder = self.folder / f"folder-{owner}"
            folder.mkdir()
            server = FakeServer(folder / "s", [self.hello(), fine])
            self.addCleanup(server.end)
            os.chown(folder, owner, -1)
            os.chmod(folder, mode)
            done = uvdo("status", self.image, "--control", folder / "s")
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn("not believed", done.stderr)

    def test_no_answer_and_no_name_reaches_the_terminal_as_it_is(self):
        evil = "\x1b[2J\x1b]0;evil\x07\x9b1m"
        error = {"uvdo": 1, "ok": False, "error": {"code": "io", "message": evil}}
        path = self.fake([self.hello(), json.dumps(error).encode()])
        done = uvdo("status", self.image, "--control", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("\\x1b[2J\\x1b]0;evil\\x07\\x9b1m", done.stderr)
        for output in (done.stdout, done.stderr):
            self.assertNotRegex(output, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")
        well = {"uvdo": 1, "ok": True, "result": {"well": True, "summary": evil, "notes": [evil]}}
        path = self.folder / "other"
        server = FakeServer(path, [self.hello(), json.dumps(well).encode()])
        self.addCleanup(server.end)
        for options in ([], ["--json"]):
            done = uvdo("status", self.image, *options, "--control", path)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotRegex(done.stdout, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")
        name = self.folder / "v\x1b[2J.img"
        done = uvdo("check", name)
        self.assertNotIn("\x1b", done.stderr)
        os.rename(self.image, name)
        self.image = name
        self.serve()
        self.assertNotIn("\x1b", self.log())

    def test_json_has_a_depth(self):
        self.serve("--control", self.folder / "control")
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self.folder / "control"))
        lines = client.makefile("rb")
        for depth, word in ((32, "parameter"), (33, "32 deep"), (30000, "32 deep")):
            nested = b"[" * (depth - 1) + b"]" * (depth - 1)
            client.sendall(b'{"uvdo": 1, "command": "stats", "x": ' + nested + b"}\n")
            answer = json.loads(lines.readline())
            self.assertIn(word, answer["error"]["message"])
        client.close()
        deep = self.fake([b'{"uvdo": 1, "ok": true, "result": ' + b"[" * 40 + b"]" * 40 + b"}"])
        done = uvdo("status", self.image, "--control", deep)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot be understood", done.stderr)


class Clients(Doors):
    """NBD clients; a silent one says nothing, a guest chooses the export."""

    def port(self):
        return int(re.search(r"NBD on tcp:[^ ]*:(\d+)\n", self.log())[1])

    def silent(self, source="127.0.0.1"):
        client = socket.socket()
        self.addCleanup(client.close)
        client.bind((source, 0))
        client.settimeout(10)
        client.connect(("127.0.0.1", self.port()))
        return client

    def is_let_in(self, client):
        """Whether the server greets and serves it."""
        try:
            if len(client.recv(18, socket.MSG_WAITALL)) != 18:
                return False
            client.sendall(b"\0\0\0\3" + b"IHAVEOPT" + bytes([0, 0, 0, 1, 0, 0, 0, 0]))
            return len(client.recv(10, socket.MSG_WAITALL)) == 10
        except (ConnectionError, socket.timeout):
            return False

    def at_the_unix_socket(self):
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.settimeout(10)
        client.connect(str(self.socket))
        return client

    def test_silent_clients_keep_nobody_out(self):
        self.serve("--nbd", "tcp:127.0.0.1:0", "--max-clients", "8")
        crowd = [self.silent() for _ in range(20)]
        self.assertTrue(self.is_let_in(self.at_the_unix_socket()))
        self.assertTrue(self.is_let_in(self.silent("127.0.0.2")))
        # Who was there first and said nothing gives its place away.
        self.assertTrue(wait_until(lambda: self.is_let_in(self.silent()), 8))
        self.assertLess(self.log().count("turned a client away"), 15)
        del crowd

    def test_clients_of_one_machine_leave_places_for_others(self):
        self.serve("--nbd", "tcp:127.0.0.1:0", "--max-clients", "8")
        guests = [self.silent() for _ in range(12)]
        self.assertEqual(sum(self.is_let_in(guest) for guest in guests), 6)
        self.assertTrue(self.is_let_in(self.silent("127.0.0.2")))
        self.assertFalse(self.is_let_in(self.silent("127.0.0.3")), "the last is for unix sockets")
        self.assertTrue(self.is_let_in(self.at_the_unix_socket()))
        self.assertIn("of its machine are connected", self.log())
        listed = ["ss", "-tno", "state", "established", f"sport = :{self.port()}"]
        if shutil.which("ss"):  # once all is acknowledged
            self.assertTrue(wait_until(lambda: "keepalive," in run(*listed).stdout))

    def test_whoever_is_short_of_descriptors_can_still_be_asked(self):
        self.serve("--nbd", "tcp:127.0.0.1:0")
        self.wait_for_index()
        used = len(os.listdir(f"/proc/{self.server.pid}/fd"))
        hard = resource.prlimit(self.server.pid, resource.RLIMIT_NOFILE)[1]
        self.assertEqual(resource.prlimit(self.server.pid, resource.RLIMIT_NOFILE)[0], hard)
        resource.prlimit(self.server.pid, resource.RLIMIT_NOFILE, (used + 2, hard))
        crowd = [self.at_the_unix_socket() for _ in range(30)]
        self.assertTrue(wait_until(lambda: "cannot accept a client" in self.log()))
        for _ in range(3):
            told = uvdo("status", self.image, timeout=10)
            self.assertEqual(told.returncode, 0, told.stdout + told.stderr)
        self.assertEqual(self.log().count("cannot accept a client"), 1, self.log())
        resource.prlimit(self.server.pid, resource.RLIMIT_NOFILE, (hard, hard))
        self.assertTrue(self.is_let_in(crowd[-1]))

    def test_more_clients_than_files_may_be_open(self):
        limited = ["sh", "-c", 'ulimit -n 200; exec "$0" "$@"', UVDO, "serve", self.image, "--nbd",
                   f"unix:{self.socket}"]
        done = run(*limited, "--max-clients", "1000", timeout=30)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("the limit is 200", done.stderr)
        with open(self.folder / "serve.log", "w") as log:
            self.server = subprocess.Popen(limited, stdout=log, stderr=log)
        self.assertTrue(wait_until(lambda: "of memory" in self.log()), self.log())
        self.assertIn("room for 152 clients", self.log())

    def test_whom_nobody_knows_is_warned_of(self):
        self.serve("--nbd", "tcp:*:0")
        told = [line for line in self.log().splitlines() if "whoever reaches" in line]
        self.assertEqual(len(told), 1, self.log())
        self.stop()
        self.serve("--nbd", "tcp:127.0.0.1:0")
        self.assertNotIn("whoever reaches", self.log())

    def test_metrics_are_for_who_asks(self):
        path = self.folder / "metrics"
        self.serve("--metrics", f"unix:{path}")
        began = time.monotonic()
        silent = []
        for _ in range(16):
            silent.append(socket.socket(socket.AF_UNIX))
            self.addCleanup(silent[-1].close)
            silent[-1].settimeout(20)
            silent[-1].connect(str(path))
        self.assertEqual(silent[0].recv(1), b"", "hung up on")
        self.assertLess(time.monotonic() - began, 13)


class Sockets(Doors):
    def test_modes_and_groups(self):
        metrics, control = self.folder / "metrics", self.folder / "control"
        self.serve("--socket-mode", "0660", "--metrics", f"unix:{metrics}", "--control", control,
                   *(["--socket-group", "12345"] if IS_ROOT else []), umask=0o077)
        for path, mode in ((self.socket, 0o660), (metrics, 0o660), (control, 0o600)):
            status = path.stat()
            self.assertEqual(stat.S_IMODE(status.st_mode), mode, path)
            if IS_ROOT:
                self.assertEqual(status.st_gid, 12345 if mode == 0o660 else 0, path)

    def test_wrong_ones(self):
        for options in (["--socket-mode", "rw"], ["--socket-mode", "0066"],
                        ["--socket-group", "nobody we know"], ["--hook-timeout", "0"]):
            done = uvdo("serve", self.image, "--nbd", f"unix:{self.socket}", *options)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(options[0], done.stderr)

    def test_a_hook_ends_with_its_time_and_with_the_server(self):
        seen = self.folder / "seen"
        self.serve("--compression", "off", "--watermarks", "1", "--hook-timeout", "1",
                   "--watermark-command", f"sleep 1000 & echo $! >> {seen}; wait")
        pids = lambda: seen.read_text().split() if seen.exists() else []
        is_over = lambda pid: run("ps", "-o", "stat=", "-p", pid).stdout.strip() in ("", "Z")
        self.write(0, os.urandom(20 * MIB))
        self.assertTrue(wait_until(lambda: len(pids()) == 1))
        self.assertTrue(wait_until(lambda: "--hook-timeout" in self.log()), self.log())
        self.assertTrue(wait_until(lambda: is_over(pids()[0])))
        self.qemu_io(f"discard 0 {20 * MIB}", "flush")
        self.assertTrue(wait_until(lambda: len(pids()) == 2))
        self.stop()
        self.assertTrue(wait_until(lambda: is_over(pids()[1])))


if __name__ == "__main__":
    unittest.main()
