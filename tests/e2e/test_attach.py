#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes as block devices of this machine, by FUSE and a loop device: attach, file systems on top,
growth in use, detach, and that nothing is left. Needs root, FUSE and loop devices; says so where
they are missing."""
import contextlib
import json
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from served import MIB
from support import UVDO, judge, processes_of, run, uvdo, wait_until, where_all_may_use_fuse


def missing():
    """Why this cannot run here; "" if it can."""
    if os.geteuid() != 0:
        return "only root may make block devices"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse"
    if run("losetup", "-f").returncode != 0:
        return "there are no loop devices"
    return ""


class Attached(unittest.TestCase):
    SIZE, LOGICAL = "4G", 256 * MIB

    def setUp(self):
        if reason := missing():
            self.skipTest(reason)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-attach."))
        self.addCleanup(shutil.rmtree, self.folder)
        self.images, self.mounts = [], []
        self.image = self.make_volume("v")

    def tearDown(self):
        for place in reversed(self.mounts):
            run("umount", "--lazy", place)
        for image in self.images:
            for pid in processes_of(image):
                os.kill(pid, signal.SIGKILL)
            # What a killed server has left goes with the next one.
            run(UVDO, "attach", image, "--log-file", self.folder / "cleanup.log")
            run(UVDO, "stop", "--force", image)

    def make_volume(self, name):
        # The name is unique on the machine, so that tests beside this one have names of their own.
        image = self.folder / f"{self.folder.name.replace('.', '-')}-{name}.img"
        made = uvdo("format", image, "--size", self.SIZE, "--slab-bits", 13,
                    "--logical-size", f"{self.LOGICAL // MIB}M")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.images.append(image)
        return image

    # ---- commands

    def attach(self, *options, image=None):
        done = uvdo("attach", image or self.image, "--as", "fuse", "--log-file",
                    self.folder / "log", *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        device = done.stdout.strip()
        self.assertTrue(pathlib.Path(device).is_block_device(), device)
        return device

    def detach(self, what, *options):
        done = uvdo("detach", what, *options)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def must(self, *command):
        done = run(*command)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def mount(self, device, *options):
        place = self.folder / f"mnt{len(self.mounts)}"
        place.mkdir(exist_ok=True)
        self.must("mount", *options, device, place)
        self.mounts.append(place)
        return place

    def unmount(self, place):
        self.must("umount", place)
        self.mounts.remove(place)

    def loops(self):
        """The loop devices of this test's volumes."""
        lines = run("losetup", "--noheadings", "--output", "NAME,BACK-FILE").stdout.splitlines()
        return [line for line in lines if self.folder.name.replace(".", "-") in line]

    def assert_nothing_is_left(self):
        # The kernel lets go of a device a moment after it was unmounted.
        self.assertTrue(wait_until(lambda: not self.loops()), self.loops())
        for image in self.images:
            self.assertTrue(wait_until(lambda image=image: not processes_of(
                image, ("uvdo", "uvdo-keeper"))), "no process is left")
            self.assertFalse(pathlib.Path("/dev/uvdo", image.stem).is_symlink())
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        self.assertNotIn(self.image.stem, mounts)
        for image in self.images:
            checked = uvdo("check", image)
            self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    # ---- use

    def use(self, place, seed):
        """Files that come and go; returns what must be there."""
        random_bytes = random.Random(seed)
        kept = {}
        for number in range(120):
            data = random_bytes.randbytes(random_bytes.randrange(1, 200_000))
            path = place / f"f{number}"
            path.write_bytes(data)
            if number % 3 == 0:
                (place / f"copy{number}").write_bytes(data)
            if number % 4 == 0:
                path.unlink()
            else:
                kept[path.name] = data
        self.must("sync", "-f", place)
        return kept

    def assert_holds(self, place, kept):
        for name, data in kept.items():
            self.assertEqual((place / name).read_bytes(), data, name)


def go_on(pid):
    """Lets a stopped process go on that may have ended since."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


class AttachTest(Attached):
    def test_a_volume_becomes_a_block_device_and_nothing_is_left_of_it(self):
        device = self.attach()
        self.assertEqual(os.readlink(f"/dev/uvdo/{self.image.stem}"), device)
        self.assertEqual(int(self.must("blockdev", "--getsize64", device)), self.LOGICAL)
        self.assertEqual(self.attach(), device, "the same again")
        self.must("mkfs.ext4", "-q", device)
        place = self.mount(device)
        kept = self.use(place, 1)
        self.assert_holds(place, kept)
        self.must("fstrim", place)
        self.unmount(place)
        self.must("e2fsck", "-fn", device)
        self.detach(self.image)
        self.assert_nothing_is_left()
        # And once more: what was written is there.
        device = self.attach()
        place = self.mount(device)
        self.assert_holds(place, kept)
        self.unmount(place)
        self.detach(device)
        self.assert_nothing_is_left()
        self.assertEqual(judge("audit", self.image).returncode, 0)

    def test_other_file_systems_live_on_it(self):
        for number, kind in enumerate(("xfs", "btrfs")):
            if shutil.which(f"mkfs.{kind}") is None:
                continue
            with self.subTest(kind):
                self.LOGICAL = 512 * MIB
                image = self.make_volume(kind)
                device = self.attach("--block-size", 4096, image=image)
                self.must(f"mkfs.{kind}", "-q", device)
                place = self.mount(device)
                kept = self.use(place, number)
                self.must("fstrim", place)
                self.unmount(place)
                place = self.mount(device)
                self.assert_holds(place, kept)
                self.unmount(place)
                self.detach(image)
        self.assert_nothing_is_left()

    def test_a_device_in_use_stays_and_the_command_says_who_uses_it(self):
        device = self.attach()
        self.must("mkfs.ext4", "-q", device)
        place = self.mount(device)
        for command in (("detach", self.image), ("detach", device), ("stop", self.image)):
            refused = uvdo(*command)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(f"mounted on {place}", refused.stderr)
        kept = self.use(place, 2)
        said = self.detach(device, "--lazy")
        self.assertIn("when nobody uses it", said)
        self.assert_holds(place, kept)
        self.unmount(place)
        self.assertTrue(wait_until(lambda: not processes_of(self.image)), "it goes by itself")
        self.assert_nothing_is_left()

    def test_force_takes_it_from_who_uses_it(self):
        device = self.attach()
        self.must("mkfs.ext4", "-q", device)
        place = self.mount(device)
        with open(place / "open", "wb") as file:
            file.write(b"x" * 100_000)
            file.flush()
            self.detach(device, "--force")
            self.mounts.remove(place)
        self.assertTrue(wait_until(lambda: not self.loops()))
        self.assert_nothing_is_left()

    def grow(self, image, kind, enlarge):
        """Grows a mounted file system with the volume beneath it."""
        device = self.attach(image=image)
        size = int(self.must("blockdev", "--getsize64", device))
        self.must(f"mkfs.{kind}", "-q", device)
        place = self.mount(device)
        kept = self.use(place, 3)
        grown = uvdo("grow", image, "--logical", f"{2 * size}B")
        self.assertEqual(grown.returncode, 0, grown.stderr)
        self.assertTrue(wait_until(lambda: int(self.must("blockdev", "--getsize64", device)) ==
                                   2 * size, 10), "the device has grown")
        self.must(*enlarge(device, place))
        room = os.statvfs(place)
        self.assertGreater(room.f_blocks * room.f_frsize, 1.5 * size)
        self.assert_holds(place, kept)
        kept |= self.use(place, 4)
        self.assert_holds(place, kept)
        self.unmount(place)
        self.must(*(("e2fsck", "-fn") if kind == "ext4" else ("xfs_repair", "-n")), device)
        self.detach(device)

    def test_it_grows_under_a_mounted_file_system(self):
        if shutil.which("mkfs.xfs"):
            self.LOGICAL = 512 * MIB
            self.grow(self.make_volume("xfs"), "xfs", lambda _, place: ("xfs_growfs", place))
        # The kernel lets only those who have CAP_SYS_RESOURCE enlarge a mounted ext4.
        effective = re.search(r"CapEff:\s+(\w+)", pathlib.Path("/proc/self/status").read_text())[1]
        if int(effective, 16) >> 24 & 1:
            self.grow(self.image, "ext4", lambda device, _: ("resize2fs", device))
        self.assert_nothing_is_left()

    def test_it_waits_while_the_volume_is_suspended(self):
        device = self.attach()
        self.must("mkfs.ext4", "-q", device)
        place = self.mount(device)
        suspended = uvdo("suspend", self.image)
        self.assertEqual(suspended.returncode, 0, suspended.stderr)
        writer = subprocess.Popen(["dd", "if=/dev/urandom", f"of={place}/late", "bs=64k", "count=4",
                                   "conv=fsync"], stderr=subprocess.DEVNULL)
        time.sleep(1)
        self.assertIsNone(writer.poll(), "it waits")
        resumed = uvdo("resume", self.image)
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        self.assertEqual(writer.wait(30), 0)
        self.unmount(place)
        self.detach(device)
        self.assert_nothing_is_left()

    def test_several_devices_of_several_volumes(self):
        other = self.make_volume("other")
        first, second = self.attach(), self.attach(image=other)
        part = self.attach("--name", f"{self.image.stem}-part", "--offset", "64M", "--size", "16M",
                           "--read-only")
        self.assertEqual(len({first, second, part}), 3)
        data = random.Random(5).randbytes(4 * MIB)
        with open(first, "r+b", buffering=0) as file:
            file.seek(64 * MIB)
            file.write(data)
            os.fsync(file.fileno())
        self.assertEqual(pathlib.Path(part).stat().st_mode & 0o170000, 0o060000)
        self.assertEqual(int(self.must("blockdev", "--getsize64", part)), 16 * MIB)
        with open(part, "rb") as file:
            self.assertEqual(file.read(len(data)), data)
        self.assertNotEqual(run("dd", "if=/dev/zero", f"of={part}", "bs=4k", "count=1").returncode, 0)
        listed = json.loads(uvdo("list", "--json").stdout)
        mine = {pathlib.Path(each["volume"]): each for each in listed
                if pathlib.Path(each["volume"]) in self.images}
        self.assertEqual([each["path"] for each in mine[self.image]["devices"]], [first, part])
        self.assertEqual([each["path"] for each in mine[other]["devices"]], [second])
        table = uvdo("list").stdout
        self.assertIn(first, table)
        several = uvdo("detach", self.image)
        self.assertEqual(several.returncode, 1)
        self.assertIn("--all", several.stderr)
        self.detach(self.image, "--all")
        self.detach(f"/dev/uvdo/{other.stem}")
        self.assert_nothing_is_left()

    def test_another_of_the_same_name_is_refused(self):
        self.attach()
        other = uvdo("attach", self.image, "--as", "fuse", "--read-only")
        self.assertEqual(other.returncode, 1)
        self.assertIn("give another name", other.stderr)
        wrong = uvdo("attach", self.image, "--name", "../x")
        self.assertIn("no name of a device", wrong.stderr)
        self.detach(self.image)

    def test_a_server_that_was_there_before_stays(self):
        log = open(self.folder / "serve.log", "w")
        self.addCleanup(log.close)
        server = subprocess.Popen([UVDO, "serve", self.image, "--nbd", f"unix:{self.folder}/nbd"],
                                  stdout=log, stderr=subprocess.STDOUT)
        self.addCleanup(server.wait)
        self.assertTrue(wait_until(lambda: "of memory" in (self.folder / "serve.log").read_text()))
        device = self.attach()
        offered = json.loads(uvdo("list", "--json").stdout)
        mine = next(each for each in offered if each["pid"] == server.pid)
        self.assertEqual(mine["front_ends"], [{"kind": "NBD", "address": f"unix:{self.folder}/nbd"}])
        self.detach(device)
        self.assertIsNone(server.poll())
        self.assertEqual(uvdo("stop", self.image).returncode, 0)
        server.wait(30)
        self.assert_nothing_is_left()

    def test_a_killed_server_leaves_nothing_that_the_next_does_not_clear_away(self):
        device = self.attach()
        data = random.Random(6).randbytes(MIB)
        with open(device, "r+b", buffering=0) as file:
            file.write(data)
            os.fsync(file.fileno())
        for pid in processes_of(self.image):
            os.kill(pid, signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not processes_of(self.image)))
        device = self.attach()
        with open(device, "rb") as file:
            self.assertEqual(file.read(MIB), data)
        self.detach(device)
        self.assert_nothing_is_left()

    def test_one_that_is_mounted_where_nobody_here_sees_it_is_in_use(self):
        """As in a container, or by a process with another root folder."""
        device = self.attach()
        self.must("mkfs.ext4", "-q", device)
        place = self.folder / "elsewhere"
        place.mkdir()
        other = subprocess.Popen(["unshare", "--mount", "sh", "-c", f"mount {device} {place} && echo mounted && read word"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(other.wait)
        self.addCleanup(other.stdin.close)
        self.assertEqual(other.stdout.readline().strip(), "mounted")
        other.stdout.close()
        refused = uvdo("detach", device)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("is in use: kept by the kernel", refused.stderr)
        other.stdin.close()
        other.wait(30)
        self.assertTrue(wait_until(lambda: uvdo("detach", device).returncode == 0))
        self.assert_nothing_is_left()

    def test_a_server_that_hangs_keeps_no_other_command_waiting(self):
        """The kernel asks it how large its file is (from Linux 6.17 on) and has others wait who ask about
        the loop device."""
        device = self.attach()
        with open(device, "r+b", buffering=0) as file:
            file.write(b"x" * 4096)
        server, = processes_of(self.image)
        os.kill(server, signal.SIGSTOP)
        waiting = subprocess.Popen(["losetup", "--set-capacity", device])
        self.addCleanup(waiting.wait)
        self.addCleanup(go_on, server)
        time.sleep(0.3)
        other = self.folder / "other.img"
        made = uvdo("format", other, "--size", self.SIZE, "--slab-bits", 13, timeout=40)
        self.assertEqual(made.returncode, 0, made.stderr)
        os.kill(server, signal.SIGCONT)
        waiting.wait()
        self.detach(device)
        self.assert_nothing_is_left()

    def test_a_server_of_the_root_file_system_has_the_mark_of_systemd(self):
        device = self.attach("--server-option=--systemd-mark")
        servers, keepers = processes_of(self.image), processes_of(self.image, ["uvdo-keeper"])
        self.assertEqual((len(servers), len(keepers)), (1, 1))
        for pid in servers + keepers:
            self.assertEqual(pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()[:1], b"@")
        self.detach(device)
        self.assert_nothing_is_left()

    def test_serve_makes_devices_too(self):
        file_folder = self.folder / "file"
        file_folder.mkdir()
        started = uvdo("serve", self.image, "--attach", "fuse", "--fuse", file_folder, "--fork",
                       "--pid-file", self.folder / "pid", "--log-file", self.folder / "log",
                       "--until-detached")
        self.assertEqual((started.returncode, started.stderr), (0, ""))
        pid = int((self.folder / "pid").read_text())
        self.assertEqual(processes_of(self.image), [pid])
        files = list(file_folder.iterdir())
        self.assertEqual([(f.name, f.stat().st_size) for f in files], [("volume", self.LOGICAL)])
        device = os.readlink(f"/dev/uvdo/{self.image.stem}")
        data = random.Random(7).randbytes(MIB)
        with open(device, "r+b", buffering=0) as file:
            file.write(data)
            os.fsync(file.fileno())
        self.assertEqual(files[0].read_bytes()[:MIB], data)
        os.kill(pid, signal.SIGTERM)
        self.assertTrue(wait_until(lambda: not processes_of(self.image)))
        self.assertFalse((self.folder / "pid").exists())
        self.assertEqual(list(file_folder.iterdir()), [], "unmounted")
        self.assert_nothing_is_left()

    def test_foreground_is_the_server(self):
        log = open(self.folder / "out", "w")
        self.addCleanup(log.close)
        server = subprocess.Popen([UVDO, "attach", self.image, "--as", "fuse", "--foreground"],
                                  stdout=log, stderr=subprocess.STDOUT)
        self.assertTrue(wait_until(lambda: "of memory" in (self.folder / "out").read_text()))
        self.assertTrue(pathlib.Path("/dev/uvdo", self.image.stem).is_block_device())
        server.send_signal(signal.SIGINT)
        self.assertEqual(server.wait(30), 0)
        self.assert_nothing_is_left()

    def test_the_log_may_be_named_without_a_folder(self):
        done = uvdo("attach", self.image, "--as", "fuse", "--log-file", "here.log", cwd=self.folder)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("serving", (self.folder / "here.log").read_text())
        self.detach(self.image)
        self.assert_nothing_is_left()

    def test_what_cannot_be_had_is_said_and_no_server_is_left(self):
        if not pathlib.Path("/dev/ublk-control").exists():
            refused = uvdo("attach", self.image, "--as", "ublk", "--log-file", self.folder / "log")
            self.assertEqual(refused.returncode, 1)
            self.assertIn("ublk", refused.stderr)
            self.assertTrue(wait_until(lambda: not processes_of(self.image)))
        nothing = uvdo("attach", self.folder / "nothing", "--log-file", self.folder / "log")
        self.assertEqual(nothing.returncode, 1)
        self.assertEqual(len(nothing.stderr.splitlines()), 1, nothing.stderr)
        (self.folder / "zeros").write_bytes(bytes(MIB))
        zeros = uvdo("attach", self.folder / "zeros", "--log-file", self.folder / "log")
        self.assertEqual(zeros.returncode, 1)
        self.assertIn("no VDO volume", zeros.stderr)
        gone = uvdo("detach", "no-such-device")
        self.assertEqual(gone.returncode, 1)
        self.assertIn("no-such-device", gone.stderr)


class UnprivilegedTest(Attached):
    def test_a_user_gets_a_file(self):
        if shutil.which("fusermount3") is None:
            self.skipTest("fusermount3 is not installed")
        nobody = pwd.getpwnam("nobody")
        self.folder.chmod(0o711)
        own = self.folder / "own"
        own.mkdir()
        for path in (self.image, own):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        environment = dict(os.environ, XDG_RUNTIME_DIR=str(own), HOME=str(own))

        def as_nobody(*command):
            return run("setpriv", "--reuid", "nobody", "--regid", str(nobody.pw_gid),
                       "--clear-groups", *command, env=environment)
        if as_nobody("test", "-w", "/dev/fuse").returncode != 0:
            where_all_may_use_fuse(self, "UnprivilegedTest.test_a_user_gets_a_file", self.folder, 120)
            return
        done = as_nobody(UVDO, "attach", self.image, "--as", "fuse")
        self.assertEqual(done.returncode, 0, done.stderr)
        file = done.stdout.strip()
        self.assertTrue(file.startswith(f"{own}/uvdo/"), file)
        done = as_nobody("mkfs.ext4", "-q", "-F", file)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(as_nobody("e2fsck", "-fn", file).returncode, 0)
        done = as_nobody(UVDO, "detach", self.image)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_nothing_is_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
