#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A server goes, and one that stands by goes on: killed under load, stopped, or only silent. Clients that
connect again see a pause; what a flush was answered for is there."""
import contextlib
import errno
import fcntl
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

import support
from served import MIB, Served
from support import BLOCK, UVDO, processes_of, uvdo, wait_until

KILLS = 5
SOON = 10  # seconds that a take-over may last, on a machine that is busy with other tests
BLOCKS = 2000
PATH = os.environ["PATH"] + ":/usr/sbin"


class Client(threading.Thread):
    """Writes and flushes, and connects again when its server is gone, as QEMU and the kernel do. It knows for
    each block what may be in it: the last that is certain to stay, and all that was written since."""

    def __init__(self, path, keeps_answered):
        super().__init__(daemon=True)
        self.path, self.keeps_answered = str(path), keeps_answered
        self.rng, self.is_over = random.Random(7), threading.Event()
        self.may_hold, self.answered = {}, set()  # answered: on this connection, as the last of their blocks
        self.failures, self.failed_flushes, self.pauses, self.flushes = [], 0, [], 0
        self.client = self.connect()

    def connect(self):
        import nbd
        began = time.monotonic()
        while True:
            client = nbd.NBD()
            try:
                client.connect_unix(self.path)
                return client
            except nbd.Error:
                if time.monotonic() - began > 60:
                    raise
                time.sleep(0.02)

    def come_back(self):
        began = time.monotonic()
        self.answered.clear()
        self.client = self.connect()
        self.pauses.append(time.monotonic() - began)
        self.check(random.Random(3).sample(sorted(self.may_hold), min(200, len(self.may_hold))))

    def run(self):
        import nbd
        try:
            while not self.is_over.is_set():
                try:
                    for _ in range(self.rng.randrange(1, 40)):
                        self.write()
                    self.flush()
                except nbd.Error:
                    if self.is_over.is_set() or self.client.aio_is_ready():
                        raise
                    self.come_back()
        except Exception as error:  # whatever it is, the test is told
            self.failures.append(repr(error))

    def write(self):
        block, data = self.rng.randrange(BLOCKS), self.rng.randbytes(BLOCK)
        self.may_hold.setdefault(block, [bytes(BLOCK)]).append(data)
        self.answered.discard(block)
        self.client.pwrite(data, block * BLOCK)
        self.answered.add(block)
        if self.keeps_answered:
            self.may_hold[block] = [data]

    def flush(self):
        import nbd
        try:
            self.client.flush()
        except nbd.Error as error:
            if error.errnum != errno.EIO or not self.client.aio_is_ready():
                raise
            self.failed_flushes += 1
            return
        self.flushes += 1
        for block in self.answered:
            self.may_hold[block] = self.may_hold[block][-1:]
        self.answered.clear()

    def check(self, blocks):
        for block in blocks:
            if bytes(self.client.pread(BLOCK, block * BLOCK)) not in self.may_hold[block]:
                self.failures.append(f"block {block} has lost what was written")

    def end(self):
        self.is_over.set()
        self.join(60)
        if not self.failures:
            self.check(sorted(self.may_hold))
        return self.failures


class Standing(Served):
    def setUp(self):
        super().setUp()
        self.all = []

    def tearDown(self):
        for process in self.all:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()

    def log_of(self, process):
        return (self.folder / f"log{self.all.index(process)}").read_text()

    def log(self):
        return self.log_of(self.server)

    def start(self, command, *options, **more):
        with open(self.folder / f"log{len(self.all)}", "w") as log:
            process = subprocess.Popen([UVDO, command, self.image, "--nbd", f"unix:{self.socket}", *options],
                                       stdout=log, stderr=subprocess.STDOUT, **more)
        self.all.append(process)
        return process

    def wait_for(self, process, words, seconds=60):
        self.assertTrue(wait_until(lambda: words in self.log_of(process) or process.poll() is not None, seconds),
                        self.log_of(process))
        self.assertIn(words, self.log_of(process))

    def serve(self, *options):
        self.server = self.start("serve", *options)
        self.wait_for(self.server, "of memory")
        return self.server

    def stand_by(self, *options, **more):
        standby = self.start("standby", *options, **more)
        self.wait_for(standby, "standing by for")
        return standby


class StandbyTest(Standing):
    def kill_under_load(self, client, options):
        """Kills the server again and again; who stands by goes on."""
        client.start()
        server = self.serve_of_client
        for number in range(KILLS):
            standby = self.stand_by(*options(number))
            flushes = client.flushes
            self.assertTrue(wait_until(lambda: client.flushes > flushes + 3 or client.failures))
            time.sleep(random.Random(number).uniform(0, 0.3))
            server.kill()
            server.wait()
            self.wait_for(standby, "of memory", SOON)
            self.assertIn("taking over", self.log_of(standby))
            self.assertTrue(wait_until(lambda: len(client.pauses) > number or client.failures, SOON))
            server = standby
        flushes = client.flushes
        self.assertTrue(wait_until(lambda: client.flushes > flushes + 3 or client.failures))
        self.assertEqual(client.end(), [])
        self.assertEqual(len(client.pauses), KILLS)
        self.assertLess(max(client.pauses), SOON)
        self.server = server

    def judge(self):
        self.stop_and_judge_what_clients_read()

    # ---- a server that is killed

    def test_what_was_answered_outlives_servers_of_this_machine(self):
        self.serve_of_client = self.serve()
        client = Client(self.socket, keeps_answered=True)
        self.kill_under_load(client, lambda number: ())
        self.assertEqual(client.failed_flushes, 0)
        self.judge()

    def test_what_was_flushed_outlives_servers_of_other_machines(self):
        """Each server has a control socket of its own, beside which nothing of the others is found."""
        self.serve_of_client = self.serve("--control", self.folder / "control")
        client = Client(self.socket, keeps_answered=False)
        self.kill_under_load(client, lambda number: ("--control", self.folder / f"control{number}"))
        self.assertEqual(client.failed_flushes, KILLS, "each that may have lost something is told, once")
        self.server.terminate()
        self.assertEqual(self.server.wait(60), 0)
        self.judge_volume(support.judge("sha256", self.image).stdout.split()[-1])

    # ---- one that is stopped, or is silent

    def test_a_server_that_is_stopped_is_followed(self):
        """Clients are told nothing but that it has gone, so that they send again what was not answered."""
        self.server = self.start("standby")
        self.wait_for(self.server, "of memory")
        client = Client(self.socket, keeps_answered=True)
        client.start()
        for number in range(3):
            standby = self.stand_by("--control", self.folder / f"control{number}")
            self.assertFalse((self.folder / f"control{number}").exists(), "it is not open yet")
            flushes = client.flushes
            self.assertTrue(wait_until(lambda: client.flushes > flushes + 3 or client.failures))
            self.server.terminate()
            self.assertEqual(self.server.wait(60), 0, self.log())
            self.wait_for(standby, "of memory", SOON)
            self.assertTrue(wait_until(lambda: len(client.pauses) > number or client.failures, SOON))
            self.server = standby
        self.assertEqual(client.end(), [])
        self.assertEqual(client.failed_flushes, 0, "a volume that was saved misses nothing")
        self.assertNotIn("may be lost", self.log())
        self.server.terminate()
        self.assertEqual(self.server.wait(60), 0)
        self.judge_volume(support.judge("sha256", self.image).stdout.split()[-1])

    def test_a_server_that_is_silent_keeps_the_volume(self):
        server = self.serve()
        standby = self.stand_by()
        self.assertIn(f"process {server.pid} (", self.log_of(standby))
        server.send_signal(signal.SIGSTOP)
        time.sleep(3)
        self.assertNotIn("taking over", self.log_of(standby))
        server.send_signal(signal.SIGCONT)
        self.assertEqual(self.connect().pread(BLOCK, 0), bytes(BLOCK))
        server.kill()
        self.wait_for(standby, "of memory", SOON)

    def test_of_two_that_stand_by_one_goes_on(self):
        """What was answered is there, whoever has asked first for what the dead server has left."""
        server = self.serve()
        client = Client(self.socket, keeps_answered=True)
        client.start()
        others = [self.stand_by(), self.stand_by()]
        for number in range(3):
            flushes = client.flushes
            self.assertTrue(wait_until(lambda: client.flushes > flushes + 3 or client.failures))
            server.kill()
            self.assertTrue(wait_until(lambda: any("of memory" in self.log_of(one) for one in others), SOON))
            winner = next(one for one in others if "of memory" in self.log_of(one))
            others.remove(winner)
            self.assertTrue(wait_until(lambda: len(client.pauses) > number or client.failures, SOON))
            loser, = others
            # One that has seen no moment in which the volume was free asks who has it every 30 s.
            if number == 0:
                self.wait_for(loser, f"process {winner.pid} (", 30 + SOON)
            self.assertIsNone(loser.poll())
            others = [*others, self.stand_by()]
            server = winner
        self.assertEqual(client.end(), [])
        self.assertEqual(client.failed_flushes, 0)
        for one in others:
            one.terminate()
            self.assertEqual(one.wait(SOON), 0, self.log_of(one))
        self.server = server

    def test_who_asks_first_and_gets_nothing_keeps_nobody_from_what_is_left(self):
        """As a standby that has lost the race does, which says hello to the keeper before it has the lock."""
        place = ("--control", self.folder / "control")
        server = self.serve(*place)
        self.connect().pwrite(b"x" * BLOCK, 0)
        standby = self.stand_by(*place)
        server.kill()
        answer = b""
        while answer != b"y":  # its end is seen a moment later
            first = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.addCleanup(first.close)
            first.connect(str(self.folder / "control.kept"))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                first.send(b"h")
                answer = first.recv(1)
        self.wait_for(standby, "of memory", SOON)
        self.assertNotIn("may be lost", self.log_of(standby))
        client = self.connect()
        self.assertEqual(client.pread(BLOCK, 0), b"x" * BLOCK)
        client.flush()

    def test_a_signal_in_a_lost_race_ends_it(self):
        for _ in range(10):
            with open(self.image, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                standby = self.stand_by()
                fcntl.flock(file, fcntl.LOCK_UN)
                while "taking over" not in self.log_of(standby):
                    self.assertIsNone(standby.poll(), self.log_of(standby))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:  # it was faster
                    standby.terminate()
                    self.assertEqual(standby.wait(60), 0)
                    continue
                time.sleep(0.5)  # it waits for the lock, which it does for 2 s
                standby.terminate()
                self.assertEqual(standby.wait(SOON), 0, self.log_of(standby))
                self.assertIn("because of SIGTERM", self.log_of(standby))
                return
        self.skipTest("it was always faster")

    # ---- where it can't be opened yet

    def test_storage_that_is_not_there_yet_is_waited_for(self):
        away = self.folder / "away"
        self.image.rename(away)
        standby = self.start("standby")
        self.wait_for(standby, "standing by for", SOON)
        self.assertIn("No such file", self.log_of(standby))
        away.rename(self.image)
        self.wait_for(standby, "of memory", SOON)
        self.assertIn("taking over", self.log_of(standby))
        self.server = standby
        self.judge()

    def test_one_in_the_background_says_what_is_not_there(self):
        log = self.folder / "background"
        began = uvdo("standby", self.folder / "none", "--nbd", f"unix:{self.socket}", "--fork", "--log-file", log,
                     "--pid-file", self.folder / "pid", "--control", self.folder / "control")
        self.assertEqual(began.returncode, 0)
        pid = int((self.folder / "pid").read_text())
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        self.assertIn("standing by for", began.stderr)
        self.assertIn("No such file", began.stderr)
        self.assertTrue(wait_until(lambda: "No such file" in log.read_text(), SOON), log.read_text())

    def test_another_part_of_storage_that_is_not_there_is_waited_for_too(self):
        standby = self.start("standby", "--size", "1M", "--control", self.folder / "control")
        self.wait_for(standby, "of memory", SOON)
        self.image.rename(self.folder / "away")
        standby.kill()
        other = self.start("standby", "--size", "1M", "--control", self.folder / "control2")
        self.wait_for(other, "standing by for", SOON)

    # ---- one that comes back

    def test_one_that_is_back_where_it_died_tells_of_no_loss_that_was_told_elsewhere(self):
        """Killed here, taken over elsewhere and stopped there in order: all that clients have is saved."""
        here, elsewhere = (("--control", self.folder / name) for name in ("here", "elsewhere"))
        first = self.start("standby", *here)
        self.wait_for(first, "of memory")
        self.connect().pwrite(b"x" * BLOCK, 0)
        first.kill()
        first.wait()
        second = self.start("standby", *elsewhere)
        self.wait_for(second, "of memory")
        second.terminate()
        self.assertEqual(second.wait(60), 0)
        third = self.start("standby", *here)
        self.wait_for(third, "of memory")
        self.assertNotIn("may be lost", self.log_of(third))
        self.assertIn("is forgotten", self.log_of(third))
        self.connect().flush()

    def test_what_was_written_through_cannot_be_lost_elsewhere(self):
        first = self.start("standby", "--write-through", "on", "--control", self.folder / "here")
        self.wait_for(first, "of memory")
        self.connect().pwrite(b"x" * BLOCK, 0)
        first.kill()
        first.wait()
        second = self.start("standby", "--write-through", "on", "--control", self.folder / "elsewhere")
        self.wait_for(second, "of memory")
        self.assertNotIn("may be lost", self.log_of(second))
        client = self.connect()
        client.flush()
        self.assertEqual(client.pread(BLOCK, 0), b"x" * BLOCK)

    def test_storage_is_taken_from_nobody_again_and_again(self):
        for command, *options in (("standby",), ("serve", "--systemd-mark")):
            refused = uvdo(command, self.image, "--take-over", "--nbd", f"unix:{self.socket}", *options)
            self.assertEqual(refused.returncode, 2, refused.stderr)
            self.assertIn("--take-over does not go with", refused.stderr)

    # ---- one that waits

    def test_one_that_waits_ends_at_once_and_leaves_nothing(self):
        self.serve()
        before = {*self.folder.iterdir(), self.folder / "log1", self.folder / "log2"}
        run = pathlib.Path("/run/uvdo") if os.geteuid() == 0 else None
        sockets = set(run.iterdir()) if run else None
        for number in (signal.SIGTERM, signal.SIGINT):
            standby = self.stand_by("--pid-file", self.folder / "pid", "--control", self.folder / "control")
            self.assertEqual((self.folder / "pid").read_text(), f"{standby.pid}\n")
            standby.send_signal(number)
            self.assertEqual(standby.wait(SOON), 0)
            self.assertIn(f"because of {number.name}", self.log_of(standby))
            self.assertEqual(set(self.folder.iterdir()) - before, set())
            if run:
                self.assertEqual(set(run.iterdir()) - sockets, set())
        self.assertEqual(self.connect().pread(BLOCK, 0), bytes(BLOCK))

    def test_one_that_waits_costs_next_to_nothing(self):
        self.serve()
        standby = self.stand_by()
        stat = pathlib.Path(f"/proc/{standby.pid}/stat")
        ticks = lambda: sum(map(int, stat.read_text().rsplit(")", 1)[1].split()[11:13]))  # noqa: E731
        before = ticks()
        time.sleep(4)
        spent = (ticks() - before) / os.sysconf("SC_CLK_TCK")
        self.assertLess(spent, 1, "seconds of a processor in 4 s")
        self.assertLess(len(list(pathlib.Path(f"/proc/{standby.pid}/task").iterdir())), 3)

    def test_the_service_manager_is_told(self):
        self.serve()
        path = self.folder / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(path))
            manager.settimeout(10)
            standby = self.stand_by(env={**os.environ, "NOTIFY_SOCKET": str(path)})
            told = manager.recv(4096).decode()
            self.assertTrue(told.startswith("READY=1\nSTATUS=standing by for "), told)
            self.server.kill()
            told = ""
            while "STATUS=taking over" not in told:
                told = manager.recv(4096).decode()
            while "READY=1" not in told:
                told = manager.recv(4096).decode()
            standby.terminate()
            while "STOPPING=1" not in told:
                told = manager.recv(4096).decode()

    def test_a_server_that_died_unseen_is_told_of_too(self):
        self.serve()
        client = self.connect()
        client.pwrite(b"x" * BLOCK, 0)
        self.server.kill()
        self.server.wait()
        standby = self.start("standby", "--control", self.folder / "control")
        self.wait_for(standby, "of memory")
        self.assertIn("may be lost", self.log_of(standby))
        client = self.connect()
        import nbd
        with self.assertRaises(nbd.Error):
            client.flush()
        client.flush()

    def test_it_serves_at_once_what_nobody_has(self):
        standby = self.start("standby")
        self.wait_for(standby, "of memory")
        self.assertNotIn("standing by", self.log_of(standby))
        self.server = standby
        self.judge()

    def test_one_that_has_taken_over_is_upgraded_as_others(self):
        self.serve()
        standby = self.stand_by()
        self.stop()
        self.wait_for(standby, "of memory")
        done = uvdo("upgrade", self.image)
        self.assertEqual((done.returncode, done.stderr), (0, ""), self.log_of(standby))
        self.assertIsNone(standby.poll())
        self.assertEqual(self.connect().pread(BLOCK, 0), bytes(BLOCK))
        self.server = standby
        self.judge()

    def test_it_goes_on_in_the_background(self):
        self.serve()
        log = self.folder / "background"
        began = uvdo("standby", self.image, "--nbd", f"unix:{self.socket}", "--fork", "--log-file", log,
                     "--pid-file", self.folder / "pid")
        self.assertEqual((began.returncode, began.stderr), (0, ""))
        pid = int((self.folder / "pid").read_text())
        self.addCleanup(lambda: wait_until(lambda: not processes_of(self.image, command=b"standby")))
        self.addCleanup(os.kill, pid, signal.SIGTERM)
        self.assertTrue(wait_until(lambda: "standing by" in log.read_text(), 5), log.read_text())
        self.server.kill()
        self.assertTrue(wait_until(lambda: "of memory" in log.read_text(), SOON), log.read_text())

    def test_what_is_wrong_is_said_at_once(self):
        self.assertEqual(uvdo("standby", self.folder / "none").returncode, 2)
        self.assertEqual(uvdo("standby").returncode, 2)
        self.serve()
        wrong = uvdo("standby", self.image, "--cache", "much")
        self.assertEqual(wrong.returncode, 2, wrong.stderr)

    def test_a_part_that_is_not_there_is_refused_when_it_is_its_turn(self):
        self.serve()
        standby = self.stand_by("--offset", f"{self.LOGICAL + MIB}")
        self.stop()
        self.assertEqual(standby.wait(SOON), 2, self.log_of(standby))
        self.assertIn("choose a part of it", self.log_of(standby))


class ResourceAgent(Standing):
    """The agent for Pacemaker (contrib/ocf/uvdo)."""

    def setUp(self):
        super().setUp()
        if shutil.which("ocf-tester", path=PATH) is None:
            self.skipTest("ocf-tester (resource-agents) is not installed")
        if os.geteuid() != 0:
            self.skipTest("resource agents are root's")
        self.folder.chmod(0o755)
        self.agent = self.folder / "agent"
        shutil.copy(support.TESTS.parent / "contrib/ocf/uvdo", self.agent)
        self.options = f"--nbd unix:{self.socket}"
        (self.folder / "run").mkdir()
        self.environment = {**os.environ, "PATH": PATH, "HA_RSCTMP": str(self.folder / "run"),
                            "OCF_ROOT": "/usr/lib/ocf", "OCF_RESOURCE_INSTANCE": "test"}

    def tearDown(self):
        for pid in processes_of(self.image, command=b"standby"):
            os.kill(pid, signal.SIGKILL)
        super().tearDown()

    def act(self, action, **parameters):
        parameters = {"volume": self.image, "options": self.options, "program": UVDO, **parameters}
        return support.run(self.agent, action, env={
            **self.environment, **{f"OCF_RESKEY_{name}": str(value) for name, value in parameters.items()}})

    def test_it_is_what_pacemaker_wants(self):
        told = support.run("ocf-tester", "-n", "test", "-o", f"volume={self.image}", "-o", f"program={UVDO}",
                           "-o", f"options={self.options}", self.agent, env=self.environment)
        self.assertEqual(told.returncode, 0, told.stdout + told.stderr)
        self.assertIn("passed all tests", told.stdout)
        self.assertEqual(processes_of(self.image, command=b"standby"), [])

    def test_a_server_that_is_killed_or_silent_is_noticed(self):
        for action, status in (("monitor", 7), ("start", 0), ("monitor", 0)):
            done = self.act(action)
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertEqual(self.connect().pread(BLOCK, 0), bytes(BLOCK))
        pid, = processes_of(self.image, command=b"standby")
        os.kill(pid, signal.SIGSTOP)
        silent = self.act("monitor")
        self.assertEqual(silent.returncode, 1, silent.stderr)
        self.assertIn("does not answer", silent.stderr)
        os.kill(pid, signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not processes_of(self.image, command=b"standby")))
        for action, status in (("monitor", 7), ("start", 0), ("stop", 0), ("monitor", 7)):
            done = self.act(action)
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)

    def test_a_number_that_another_process_has_by_now_is_not_its(self):
        other = subprocess.Popen(["/bin/sh", "-c", "sleep 60; :", "uvdo", "standby", "/another/volume", "--fork"])
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        (self.folder / "run/uvdo-test.pid").write_text(f"{other.pid}\n")
        for action, status in (("monitor", 7), ("stop", 0)):
            done = self.act(action)
            self.assertEqual((done.returncode, done.stderr), (status, ""))
        self.assertIsNone(other.poll())

    def test_it_says_what_is_wrong(self):
        for parameters, status, words in (
                ({"volume": ""}, 6, '"volume" is missing'), ({"program": "none"}, 5, "not installed"),
                ({"options": "--nbd tcp:1 --fork"}, 6, "the agent's own"),
                ({"options": "--nbd nowhere"}, 2, "nowhere"), ({"volume": self.folder / "none"}, 1, "No such file")):
            done = self.act("start", **parameters)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    unittest.main()
