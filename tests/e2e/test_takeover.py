#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A server of a FUSE device goes, and the next one goes on: by SIGKILL, again and again, under a file
system in use. Who uses the device sees a pause and no error; all that was acknowledged is there; a
device whose server does not come back can be taken away. Needs root, FUSE and loop devices; says so
where they are missing."""
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

from support import UVDO, processes_of, run, uvdo, wait_until
from test_attach import Attached

DEADLY = 10


class Load:
    """fio, which finds what it has written, on a file; and a thread that remembers what an fsync was
    answered for."""

    def __init__(self, place):
        self.place, self.failures, self.is_over, self.stable = place, [], False, {}
        self.fio = subprocess.Popen(
            ["fio", "--name=v", f"--filename={place}/fio", "--size=48m", "--rw=randwrite",
             "--bsrange=4k-128k", "--direct=1", "--ioengine=libaio", "--iodepth=16",
             "--verify=crc32c", "--verify_backlog=128", "--verify_fatal=1", "--fsync=64",
             "--verify_state_save=0", "--time_based", "--runtime=600", "--rate_iops=3000",
             "--output-format=terse"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.thread = threading.Thread(target=self.write_files, daemon=True)
        self.thread.start()

    def write_files(self):
        rng, number = random.Random(11), 0
        try:
            while not self.is_over:
                path, data = self.place / f"f{number % 40}", rng.randbytes(rng.randrange(1, 60_000))
                # Until it is answered for, the file may be the old one, the new one or a part.
                self.stable.pop(path.name, None)
                with open(path, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                self.stable[path.name] = data
                number += 1
        except OSError as error:
            self.failures.append(str(error))

    def end(self):
        """What has failed; nothing if all is well."""
        self.is_over = True
        if self.fio.returncode is not None:
            return self.failures
        self.fio.send_signal(signal.SIGINT)
        output, _ = self.fio.communicate(timeout=60)
        self.thread.join(timeout=60)
        if self.thread.is_alive():
            self.failures.append("a writer waits for ever")
        for line in output.splitlines():
            if "error" in line.lower() or "verify:" in line:
                self.failures.append(line)
        return self.failures


class Takeover(Attached):
    def setUp(self):
        super().setUp()
        if shutil.which("fio") is None:
            self.skipTest("fio is not installed")

    def kill(self):
        pids = processes_of(self.image)
        self.assertEqual(len(pids), 1)
        os.kill(pids[0], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not processes_of(self.image)))

    def log(self):
        return (self.folder / "log").read_text()

    def finish(self, device, place, load):
        """The end of a device that was under load: nothing was lost."""
        self.assertEqual(load.end(), [], self.log())
        self.assertGreater(len(load.stable), 5)
        run("sh", "-c", "echo 3 > /proc/sys/vm/drop_caches")
        self.assert_holds(place, load.stable)
        self.unmount(place)
        self.must("e2fsck", "-fn", device)
        self.detach(device)
        self.assert_nothing_is_left()

    def begin(self, *options):
        device = self.attach(*options)
        self.must("mkfs.ext4", "-q", device)
        place = self.mount(device)
        load = Load(place)
        self.addCleanup(load.end)
        return device, place, load

    def test_a_mounted_file_system_outlives_killed_servers(self):
        device, place, load = self.begin()
        rng = random.Random(3)
        for _ in range(DEADLY):
            time.sleep(rng.uniform(0.2, 0.8))
            self.kill()
            time.sleep(rng.uniform(0.0, 0.2))
            self.assertEqual(self.attach(), device, self.log())
            self.assertIn("took over", self.log())
            self.assertNotIn("may be lost", self.log())
        time.sleep(0.5)
        self.finish(device, place, load)

    def test_a_device_without_a_server_can_be_taken_away(self):
        device, place, load = self.begin()
        time.sleep(0.5)
        self.kill()
        time.sleep(0.2)
        # The file's attributes are the kernel's own, which asks nobody who is dead.
        for command in (("losetup", "-a"), ("lsblk", device), ("losetup", device)):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
        refused = uvdo("detach", device, timeout=30)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("has died", refused.stderr)
        self.assertTrue(pathlib.Path(f"/dev/uvdo/{self.image.stem}").is_symlink())
        done = uvdo("detach", "--force", self.image, timeout=30)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertNotEqual(load.end(), [], "who uses it is told")
        self.mounts.remove(place)
        self.assertTrue(wait_until(lambda: not self.loops()), self.loops())
        self.assertFalse(pathlib.Path(f"/dev/uvdo/{self.image.stem}").is_symlink())
        # What was acknowledged is in the volume all the same.
        device = self.attach()
        place = self.mount(device)
        self.assert_holds(place, load.stable)
        self.unmount(place)
        self.must("e2fsck", "-fn", device)
        self.detach(device)
        self.assert_nothing_is_left()

    # ---- upgrades

    def upgrade(self, *options):
        return uvdo("upgrade", self.image, *options, timeout=60)

    def other_program(self, text):
        program = self.folder / "other"
        program.write_text(text)
        program.chmod(0o755)
        return program

    def test_another_program_goes_on_under_a_mounted_file_system(self):
        device, place, load = self.begin("--server-option=--nbd", "--server-option=unix:" +
                                         str(self.folder / "nbd"))
        pids = processes_of(self.image)
        copy = self.folder / "uvdo"
        shutil.copy(UVDO, copy)
        for program in (copy, UVDO):
            time.sleep(0.5)
            done = self.upgrade("--program", program)
            self.assertEqual((done.returncode, done.stderr), (0, ""), self.log())
            self.assertIn("goes on in the place of", done.stdout)
            self.assertEqual(processes_of(self.image), pids)
            self.assertTrue(os.path.samefile(f"/proc/{pids[0]}/exe", program))
            self.assertEqual(self.attach(), device)
            self.must("nbdinfo", f"nbd+unix:///?socket={self.folder}/nbd")
        self.finish(device, place, load)
        self.assertFalse((self.folder / "nbd").exists())

    def test_a_program_that_cannot_go_on_changes_nothing(self):
        device, place, load = self.begin()
        pids = processes_of(self.image)
        for program, words in ((self.folder / "none", "none"), ("/bin/false", "status 1")):
            refused = self.upgrade("--program", program)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(words, refused.stderr)
            self.assertIn("the server goes on as it is", refused.stderr)
        # One that has promised to, and does not.
        liar = self.other_program("#!/bin/sh\nrm \"$0\"\n")
        time.sleep(0.3)
        refused = self.upgrade("--program", liar)
        self.assertEqual(refused.returncode, 1, refused.stdout)
        self.assertIn("does again", refused.stderr)
        self.assertEqual(processes_of(self.image), pids)
        self.assertTrue(os.path.samefile(f"/proc/{pids[0]}/exe", UVDO))
        self.finish(device, place, load)

    def test_no_connection_is_refused_while_a_program_goes(self):
        log = open(self.folder / "log", "w")
        self.addCleanup(log.close)
        path = self.folder / "nbd"
        server = subprocess.Popen([UVDO, "serve", self.image, "--nbd", f"unix:{path}"], stdout=log,
                                  stderr=subprocess.STDOUT)
        self.addCleanup(server.wait)
        self.assertTrue(wait_until(lambda: "of memory" in self.log()))
        failures, is_over, rounds = [], threading.Event(), []

        def connect():
            while not is_over.is_set():
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                    try:
                        client.connect(str(path))
                        rounds.append(1)
                    except OSError as error:
                        failures.append(str(error))
        thread = threading.Thread(target=connect, daemon=True)
        thread.start()
        for _ in range(3):
            done = self.upgrade()
            self.assertEqual((done.returncode, done.stderr), (0, ""), self.log())
        is_over.set()
        thread.join()
        self.assertEqual(failures, [])
        self.assertGreater(len(rounds), 10)
        self.assertEqual(uvdo("stop", self.image).returncode, 0)
        self.assertEqual(server.wait(30), 0)
        self.assertFalse(path.exists())
        self.assert_nothing_is_left()


if __name__ == "__main__":
    unittest.main()
