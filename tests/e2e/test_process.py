#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What surrounds a process: standard streams, signals, terminals, limits; and servers that are silent."""
import fcntl
import json
import os
import pathlib
import pty
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from served import MIB, Served
from support import UVDO, run, uvdo, wait_until

NOBODY = 65534
PATIENCE = 20  # seconds until a test gives up


def state_of(image):
    return json.loads(uvdo("info", "--json", image).stdout)["state"]


class Process(Served):
    LOGICAL = 64 * MIB

    def sh(self, text, *arguments, **options):
        """Runs a line of shell in which "$0" is the program."""
        return run("sh", "-c", text, UVDO, *arguments, **options)

    def log(self):
        path = self.folder / "serve.log"
        return path.read_text() if path.exists() else "(no log)"

    def end(self, expect="clean"):
        self.assertEqual(self.server.wait(60), 0, self.log())
        self.assertEqual(state_of(self.image).lower(), expect)


class Streams(Process):
    def test_errors_that_cannot_be_printed_end_nothing(self):
        missing = self.folder / "missing"
        for command in ("info", "check", "stats", "status", "cat", "nonsense", "rebuild", "flush"):
            for how in ("2>/dev/full", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>&1 >/dev/null | true; exit 0"):
                with self.subTest(f"{command} {how}"):
                    done = self.sh(f'exec "$0" {command} "$1" {how}' if "|" not in how else
                                   f'{{ "$0" {command} "$1"; echo $? >"$2"; }} {how}',
                                   missing, self.folder / "status")
                    status = int((self.folder / "status").read_text()) if "|" in how else done.returncode
                    self.assertTrue(1 <= status <= 125, status)

    def test_results_that_cannot_be_written_are_failures(self):
        for words in ("info", "info --json", "stats", "stats -v", "stats --json", "status", "status --json",
                      "check", "check --json", "cat --length 1M", "--version", "--help", "bench --list"):
            alone = words.startswith(("-", "bench"))
            for where in (">/dev/full", ">&-"):
                with self.subTest(f"{words} {where}"):
                    done = self.sh(f'exec "$0" {words} {"" if alone else chr(34) + "$1" + chr(34)} {where}', self.image)
                    self.assertEqual(done.returncode, 1, done.stderr)
                    self.assertIn("standard output", done.stderr)
                    self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_a_volume_that_could_not_be_announced_is_not_left_behind(self):
        new = self.folder / "new"
        done = self.sh('exec "$0" format "$1" --size 4G --slab-bits 13 >/dev/full', new)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^uvdo: no volume was made: .*\n$")
        self.assertFalse(new.exists())

    def test_a_reader_that_goes_away_does_not_end_what_changes_a_volume(self):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([UVDO, "grow", self.image, "--logical", "128M"], stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output", done.stderr)
        self.assertEqual(json.loads(uvdo("info", "--json", self.image).stdout)["logicalBlocks"], 128 * MIB // 4096)

    def test_a_server_without_standard_streams_puts_nothing_in_their_place(self):
        self.server = subprocess.Popen(["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', UVDO, "serve", str(self.image),
                                        "--nbd", f"unix:{self.socket}"])
        self.assertTrue(wait_until(self.socket.exists))
        for fd in (0, 1, 2):
            self.assertEqual(os.readlink(f"/proc/{self.server.pid}/fd/{fd}"), "/dev/null")
        self.write(0, os.urandom(MIB))
        self.stop_and_judge()


class Log(Process):
    def test_a_log_that_nobody_reads_holds_up_nobody(self):
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writing, b"-" * 4096)
        self.server = subprocess.Popen([UVDO, "serve", self.image, "--nbd", f"unix:{self.socket}"],
                                       stdout=writing, stderr=writing)
        os.close(writing)
        self.assertTrue(wait_until(self.socket.exists))
        self.write(0, os.urandom(MIB))
        self.assertIsNotNone(self.stats())
        # As much again as is kept, and then some: each hangup has a line.
        lines = 256 * 1024 // 36
        self.assertTrue(self.hang_up(lines))
        self.write(MIB, os.urandom(MIB))
        text = b""
        while b" lost, " not in text and select.select([reading], [], [], PATIENCE)[0]:
            text += os.read(reading, 1 << 16)
        self.assertRegex(text.decode(), r"\n\d+ lines of the log before this one are lost")
        self.assertIn(b"serving ", text)
        # Once more nobody reads, and the server ends all the same.
        self.assertTrue(self.hang_up(lines // 4))
        self.server.terminate()
        self.assertEqual(self.server.wait(60), 0)
        os.close(reading)
        self.judge_volume()

    def hang_up(self, times):
        """Sends SIGHUP and sees each taken."""
        pending = pathlib.Path(f"/proc/{self.server.pid}/status")

        def taken():
            masks = [line.split()[1] for line in pending.read_text().splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
            return not any(int(mask, 16) & 1 for mask in masks)
        for _ in range(times):
            self.server.send_signal(signal.SIGHUP)
            if not taken() and not wait_until(taken):
                return False
        return True

    def test_hangup_opens_the_file_anew_and_takes_over_what_may_change(self):
        file, config = self.folder / "log", self.folder / "config.toml"
        config.write_text('[serve]\nlog-level = "notice"\ncache = "32M"\n')
        self.server = subprocess.Popen([UVDO, "serve", self.image, "--nbd", f"unix:{self.socket}", "--config", config,
                                        "--log-file", file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertTrue(wait_until(self.socket.exists))
        moved = file.rename(self.folder / "log.1")
        self.server.send_signal(signal.SIGHUP)
        self.assertTrue(wait_until(lambda: file.exists() and "SIGHUP" in file.read_text()))
        self.assertNotIn("SIGHUP", moved.read_text())
        config.write_text('[serve]\nlog-level = "info"\ncache = "64M"\nwatermarks = "50"\n')
        self.server.send_signal(signal.SIGHUP)
        self.assertTrue(wait_until(lambda: "watermarks has changed" in file.read_text()), file.read_text())
        self.assertRegex(file.read_text(), "cache has changed in .*: that counts from the next start on")
        self.assertEqual(uvdo("log-level", self.image).stdout, "log level: info\n")
        config.write_text("[serve]\nwatermarks = \"90,80\"\n")
        self.server.send_signal(signal.SIGHUP)
        self.assertTrue(wait_until(lambda: "stay as they are" in file.read_text()), file.read_text())
        self.assertEqual(uvdo("log-level", self.image).stdout, "log level: info\n")
        self.stop()
        self.assertEqual(self.server.stdout.read(), b"")
        self.server.stdout.close()
        self.assertIn("saved\n", file.read_text())

    @unittest.skipUnless(shutil.which("openssl"), "needs openssl")
    def test_hangup_reads_certificates_again(self):
        def certificate(name):
            run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", f"/CN={name}", cwd=self.folder)
        certificate("first")
        self.serve("--tls-cert", self.folder / "cert.pem", "--tls-key", self.folder / "key.pem")
        certificate("second")
        self.server.send_signal(signal.SIGHUP)
        self.assertTrue(wait_until(lambda: "read just now" in self.log()), self.log())
        (self.folder / "key.pem").unlink()
        self.server.send_signal(signal.SIGHUP)
        self.assertTrue(wait_until(lambda: "TLS goes on" in self.log()), self.log())
        self.stop()


class Signals(Process):
    def test_signals_that_end_a_process_leave_the_volume_clean(self):
        for number in (signal.SIGUSR1, signal.SIGALRM, signal.SIGQUIT, signal.SIGXCPU, signal.SIGPWR, signal.SIGPOLL,
                       signal.SIGRTMIN + 3):
            with self.subTest(number):
                self.serve()
                self.qemu_io("write -P 7 0 4096")
                self.server.send_signal(number)
                self.end()
                self.assertIn("because of", self.log())

    def test_signals_that_mean_nothing_are_survived(self):
        self.serve()
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTTOU, signal.SIGTTIN, signal.SIGHUP):
            self.server.send_signal(number)
        self.write(0, os.urandom(MIB))
        self.assertIsNone(self.server.poll())
        self.stop_and_judge()

    def test_the_terminal_may_go_away(self):
        shell, terminal = pty.openpty()
        child = os.fork()
        if child == 0:
            os.setsid()
            fcntl.ioctl(terminal, 0x540E, 0)  # TIOCSCTTY
            for fd in (0, 1, 2):
                os.dup2(terminal, fd)
            os.execvp(UVDO, [UVDO, "serve", str(self.image), "--nbd", f"unix:{self.socket}"])
        os.close(terminal)
        try:
            self.assertTrue(wait_until(self.socket.exists))
            os.close(shell)  # a hangup, and errors for whoever writes
            self.write(0, os.urandom(MIB))
            self.assertEqual(uvdo("stop", self.image).returncode, 0)
        finally:
            if not wait_until(lambda: os.waitpid(child, os.WNOHANG)[0]):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        self.judge_volume()


class Silence(Process):
    def pause(self):
        self.server.send_signal(signal.SIGSTOP)
        self.addCleanup(self.server.send_signal, signal.SIGCONT)
        stat = pathlib.Path(f"/proc/{self.server.pid}/stat")
        self.assertTrue(wait_until(lambda: ") T" in stat.read_text()))

    def test_a_stopped_server_is_named_and_what_was_asked_does_not_happen_later(self):
        self.serve()
        self.pause()
        for command, *arguments in (("status",), ("stats",), ("info",), ("set", "compression=off"), ("suspend",),
                                    ("grow", "--logical", "1G"), ("stop",)):
            with self.subTest(command):
                words = [self.image, *arguments] if command == "set" else [*arguments, self.image]
                done = uvdo(command, "--timeout", "0.3", *words, timeout=PATIENCE)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn(f"pid {self.server.pid}", done.stderr)
                self.assertIn(f"kill -CONT {self.server.pid}", done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.server.send_signal(signal.SIGCONT)
        self.assertTrue(json.loads(uvdo("status", "--json", self.image).stdout)["well"])
        self.assertTrue(self.stats()["uvdo"]["compression"])
        self.assertIsNone(self.server.poll())
        self.stop()

    def test_a_server_is_not_waited_for_longer_than_it_says(self):
        self.serve()
        self.pause()
        began = time.monotonic()
        self.assertEqual(uvdo("status", self.image, timeout=PATIENCE).returncode, 1)
        self.assertLess(time.monotonic() - began, 5 + 3)
        self.server.send_signal(signal.SIGCONT)
        self.stop()

    def test_a_killed_suspend_leaves_no_suspension(self):
        self.serve()
        self.pause()
        asking = subprocess.Popen([UVDO, "suspend", self.image])
        control = next(path for path in self.sockets() if path.endswith(".control"))
        self.assertTrue(wait_until(lambda: self.sockets_of(asking.pid)))
        asking.kill()
        asking.wait()
        self.server.send_signal(signal.SIGCONT)
        self.write(0, os.urandom(MIB))
        # One that is done, but whose client leaves without having read so.
        client = socket.socket(socket.AF_UNIX)
        client.connect(control)
        client.sendall(b'{"uvdo": 1, "command": "suspend"}\n')
        self.assertTrue(client.recv(1, socket.MSG_PEEK))
        client.close()
        self.write(MIB, os.urandom(MIB))
        self.assertIn("the volume goes on", self.log())
        # One that was told of stays.
        self.assertEqual(uvdo("suspend", self.image).returncode, 0)
        self.assertIn("suspended", uvdo("status", self.image).stdout)
        self.assertEqual(uvdo("resume", self.image).returncode, 0)
        self.stop_and_judge()

    def sockets_of(self, pid):
        """The inodes of a process's sockets."""
        names = []
        for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                names.append(os.readlink(fd))
            except OSError:
                pass  # closed meanwhile
        return {name[8:-1] for name in names if name.startswith("socket:")}

    def sockets(self):
        """The paths of the server's sockets."""
        lines = [line.split() for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]]
        mine = self.sockets_of(self.server.pid)
        return [words[7] for words in lines if len(words) > 7 and words[6] in mine]


class Limits(Process):
    def test_a_limit_of_file_sizes_is_told_and_leaves_nothing_behind(self):
        def limited(*arguments):
            done = self.sh('ulimit -f 1000; exec "$0" "$@"', *arguments)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertRegex(done.stderr, r"^uvdo: .*ulimit -f.*\n$")
        new, old = self.folder / "new", self.folder / "old"
        limited("format", new, "--size", "4G", "--slab-bits", 13)
        limited("export", self.image, "-o", new)
        self.assertFalse(new.exists())
        old.write_text("what was here")
        limited("format", old, "--size", "4G", "--force")
        limited("export", self.image, "--force", "-o", old)
        self.assertEqual(old.read_text(), "what was here")

    @unittest.skipUnless(os.geteuid() == 0, "root takes the part of another user")
    def test_a_runtime_folder_that_cannot_be_used_is_told_before_the_volume_is_touched(self):
        home = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-home."))
        self.addCleanup(shutil.rmtree, home)
        image = home / "v.img"
        self.image.rename(image)
        for path in (home, image):
            os.chown(path, NOBODY, NOBODY)
        for folder in (home / "none", pathlib.Path("/proc/1")):
            before = image.stat().st_mtime_ns
            try:
                done = run(UVDO, "serve", image, "--nbd", f"unix:{home}/nbd", user=NOBODY, group=NOBODY,
                           extra_groups=[], env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(folder)})
            except PermissionError:
                self.skipTest("another user cannot run the program where it is")
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertRegex(done.stderr, r"^uvdo: .*XDG_RUNTIME_DIR.*\n$")
            self.assertEqual(image.stat().st_mtime_ns, before)
            self.assertEqual([path.name for path in home.iterdir()], ["v.img"])


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    unittest.main(verbosity=2)
