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
import subprocess
import threading
import time
import unittest

from served import MIB
from support import run, uvdo, wait_until
from test_attach import Attached, processes_of

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
        return device, place, Load(place)

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
        refused = uvdo("detach", device, timeout=30)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("has died", refused.stderr)
        self.assertTrue(pathlib.Path(f"/dev/uvdo/{self.image.stem}").is_symlink())
        done = uvdo("detach", "--force", self.image, timeout=30)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertNotEqual(load.end(), [], "who uses it is told")
        self.mounts.remove(place)
        self.assertTrue(wait_until(lambda: not self.loops(), 5), self.loops())
        self.assertFalse(pathlib.Path(f"/dev/uvdo/{self.image.stem}").is_symlink())
        # What was acknowledged is in the volume all the same.
        device = self.attach()
        self.must("e2fsck", "-fp", device)
        place = self.mount(device)
        self.assert_holds(place, load.stable)
        self.unmount(place)
        self.detach(device)
        self.assert_nothing_is_left()


if __name__ == "__main__":
    unittest.main()
