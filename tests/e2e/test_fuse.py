#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The FUSE front end by those who use it: dd, fio, file systems on the loop device, servers that are
killed, servers that go on with the mount of another. Behind it is memory (fuse_memory_server), so
that what fails here is the front end. Needs root, FUSE and loop devices; says so where they are
missing. UVDO_LONG=1 makes the runs of fio ten times as long."""
import array
import hashlib
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from support import TESTS, run, wait_until, where_all_may_use_fuse

SERVER = os.environ.get("UVDO_FUSE_SERVER", str(TESTS.parent / "build/tests/fuse_memory_server"))
MIB = 1 << 20
FACTOR = 10 if os.environ.get("UVDO_LONG") else 1


def missing():
    """Why this cannot run here; "" if it can."""
    if os.geteuid() != 0:
        return "only root may mount"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse"
    if run("losetup", "-f").returncode != 0:
        return "there are no loop devices"
    for program in ("fio", "mkfs.ext4", "mkfs.xfs", "fstrim", "fusermount3"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return ""


def mounted(folder):
    return f" {folder} " in pathlib.Path("/proc/self/mountinfo").read_text()


def loop_devices(file):
    """The loop devices on a file."""
    found = []
    for backing in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if backing.read_text().strip() == str(file):
                found.append("/dev/" + backing.parts[3])
        except OSError:
            pass  # it has been detached meanwhile
    return found


class Served:
    """A fuse_memory_server. `address`: the file or the device that it offers."""

    def __init__(self, folder, *arguments, wait=True, **options):
        self.folder = folder
        self.process = subprocess.Popen([SERVER, "--folder", str(folder), *map(str, arguments)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        **options)
        self.address = None
        if wait:
            self.address = self.line().removeprefix("ready ")

    def line(self):
        line = self.process.stdout.readline().strip()
        if not line:
            errors = self.process.stderr.read()
            self.kill()
            raise RuntimeError(errors)
        return line

    def tell(self, number):
        """Sends a signal that it answers with a line."""
        self.process.send_signal(number)
        return self.line()

    def stop(self):
        """Ends it; what was asked of the memory."""
        self.process.send_signal(signal.SIGTERM)
        output, errors = self.process.communicate(timeout=60)
        if self.process.returncode != 0:
            raise RuntimeError(f"status {self.process.returncode}: {errors}")
        words = output.split("\n")[-2].split()
        return dict(zip(words[::2], map(int, words[1::2])))

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=30)  # a process that waits for itself would never end
        self.process.stdout.close()
        self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()  # does nothing to one that has ended


@unittest.skipIf(missing(), missing())
class FuseTest(unittest.TestCase):
    def setUp(self):
        self.space = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-fuse.")).resolve()
        os.chmod(self.space, 0o755)
        self.folder = self.space / "mount"
        self.folder.mkdir()
        self.point = self.space / "fs"
        self.point.mkdir()

    def tearDown(self):
        run("umount", "-l", self.point)
        for folder in (self.folder, self.space / "other"):
            self.remove_remains(folder)
        shutil.rmtree(self.space)

    def remove_remains(self, folder):
        """As whoever cleans up after a killed server does; nothing is left then."""
        done = run(SERVER, "--folder", folder, "--remove-remains", timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(loop_devices(folder / "volume"), [])
        self.assertFalse(mounted(folder))

    def ok(self, *command, **options):
        done = run(*command, **options)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def fio(self, target, *arguments, size="16m"):
        self.ok("fio", "--name=verify", f"--filename={target}", f"--size={size}",
                "--verify=crc32c", "--verify_fatal=1", "--randrepeat=0", f"--loops={FACTOR}",
                "--verify_state_save=0", "--output-format=terse", *arguments)

    # ---- the file

    def test_dd_copies_there_and_back(self):
        source = self.space / "source"
        source.write_bytes(os.urandom(20 * MIB + 12345))
        back = self.space / "back"
        with Served(self.folder) as server:
            for size in ("4k", "1M", "3M", "777"):
                self.ok("dd", f"if={source}", f"of={server.address}", f"bs={size}",
                        "conv=notrunc,fsync", *(["count=2000"] if size == "777" else []))
            self.ok("dd", f"if={server.address}", f"of={back}", "bs=1M", "iflag=count_bytes",
                    f"count={source.stat().st_size}")
            self.assertEqual(back.read_bytes(), source.read_bytes())
            self.assertGreaterEqual(server.stop()["flushes"], 4)
        self.assertFalse(mounted(self.folder))

    def test_fio_finds_what_it_has_written(self):
        with Served(self.folder) as server:
            self.fio(server.address, "--rw=randwrite", "--ioengine=psync", "--bsrange=512-4m",
                     "--bs_unaligned=1")
            self.fio(server.address, "--rw=randwrite", "--ioengine=libaio", "--direct=1",
                     "--iodepth=64", "--bsrange=4k-256k")
            self.fio(server.address, "--rw=write", "--ioengine=libaio", "--direct=1",
                     "--iodepth=4", "--bs=4m", size="32m")
            self.fio(server.address, "--rw=randwrite", "--ioengine=psync", "--sync=1", "--bs=16k")
            counts = server.stop()
        self.assertGreaterEqual(counts["fua"], 1024)

    def test_whoever_copies_finds_the_holes(self):
        with Served(self.folder, "--size", 64 * MIB) as server:
            with open(server.address, "r+b", buffering=0) as file:
                file.seek(32 * MIB)
                file.write(b"x" * MIB)
            copy = self.space / "copy"
            self.ok("cp", "--sparse=auto", server.address, copy)
            self.assertEqual(copy.stat().st_size, 64 * MIB)
            self.assertLess(copy.stat().st_blocks * 512, 2 * MIB)
            self.ok("cmp", copy, server.address)
            self.ok("fallocate", "--punch-hole", "-o", 32 * MIB, "-l", MIB, server.address)
            self.ok("cp", "--sparse=auto", server.address, copy)
            self.assertEqual(copy.stat().st_blocks, 0)

    def test_what_is_refused_changes_nothing(self):
        with Served(self.folder) as server:
            path = pathlib.Path(server.address)
            before = path.stat()
            with self.assertRaises(PermissionError):
                path.write_bytes(b"x")  # O_TRUNC
            with self.assertRaises(PermissionError):
                path.unlink()
            with self.assertRaises(PermissionError):
                (self.folder / "more").write_bytes(b"x")
            with self.assertRaises(PermissionError):
                path.chmod(0o777)
            self.assertEqual(path.stat().st_size, before.st_size)
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            self.assertEqual(os.listdir(self.folder), ["volume"])
            # A second one finds the folder taken.
            with self.assertRaisesRegex(RuntimeError, "mounted on"):
                Served(self.folder)

    def test_read_only_means_that(self):
        with Served(self.folder, "--read-only") as server:
            with self.assertRaisesRegex(OSError, "Read-only"):
                os.open(server.address, os.O_RDWR)
            self.assertEqual(len(pathlib.Path(server.address).read_bytes()), 64 * MIB)
            server.stop()
        device = self.space / "other"
        with Served(device, "--read-only", "--block-device") as server:
            self.assertEqual(self.ok("blockdev", "--getro", server.address).strip(), "1")
            server.stop()

    def test_an_error_beneath_is_an_error(self):
        with Served(self.folder, "--fail-at", 5 * MIB) as server:
            fd = os.open(server.address, os.O_RDWR)
            with self.assertRaisesRegex(OSError, "Input/output"):
                os.pread(fd, MIB, 5 * MIB - 4096)
            with self.assertRaisesRegex(OSError, "Input/output"):
                os.pwrite(fd, b"x", 5 * MIB)
            self.assertEqual(len(os.pread(fd, MIB, 6 * MIB)), MIB)
            os.close(fd)
            server.stop()

    def test_a_user_mounts_without_being_root(self):
        try:
            user = pwd.getpwnam("nobody")
        except KeyError:
            self.skipTest("there is no user nobody")
        if not os.stat(shutil.which("fusermount3")).st_mode & stat.S_ISUID:
            self.skipTest("fusermount3 is not set-user-id root")
        program = self.space / "server"
        shutil.copy(SERVER, program)
        os.chmod(program, 0o755)
        if run("setpriv", "--reuid=nobody", "--clear-groups", program, "--help").returncode != 0:
            self.skipTest("nobody cannot run programs here")
        if run("setpriv", "--reuid=nobody", "--clear-groups", "test", "-w",
               "/dev/fuse").returncode != 0:
            where_all_may_use_fuse(self, "FuseTest.test_a_user_mounts_without_being_root", self.space, 60)
            return
        os.chown(self.folder, user.pw_uid, user.pw_gid)
        as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}",
                   "--clear-groups"]
        process = subprocess.Popen([*as_user, program, "--folder", self.folder],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        line = process.stdout.readline()
        self.assertTrue(line.startswith("ready"), process.stderr.read() if not line else line)
        path = self.folder / "volume"
        self.ok(*as_user, "dd", "if=/dev/zero", f"of={path}", "bs=1M", "count=8", "conv=notrunc")
        with self.assertRaises(PermissionError):
            path.stat()  # not even root, without allow_other
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0)
        self.assertFalse(mounted(self.folder))
        # What it may not do, it is told.
        refused = subprocess.run([*as_user, program, "--folder", self.folder, "--allow-other"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 timeout=30)
        if "user_allow_other" not in pathlib.Path("/etc/fuse.conf").read_text().split("\n"):
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("user_allow_other", refused.stderr)

    # ---- the block device

    def test_fio_finds_what_it_has_written_to_the_device(self):
        with Served(self.folder, "--block-device", "--block-size", 512) as server:
            self.fio(server.address, "--rw=randwrite", "--ioengine=libaio", "--direct=1",
                     "--iodepth=64", "--bsrange=512-128k")
            self.fio(server.address, "--rw=randwrite", "--ioengine=psync", "--bs=64k",
                     "--end_fsync=1")
            self.fio(server.address, "--rw=randtrimwrite", "--ioengine=psync", "--direct=1",
                     "--bs=64k")
            counts = server.stop()
        self.assertGreater(counts["discards"], 0)
        self.assertGreater(counts["flushes"], 0)

    def test_file_systems_are_clean_after_use(self):
        checks = {"ext4": ["e2fsck", "-fn"], "xfs": ["xfs_repair", "-n"],
                  "btrfs": ["btrfs", "check"]}
        for kind, check in checks.items():
            with self.subTest(kind):
                if shutil.which(f"mkfs.{kind}") is None or (
                        kind not in pathlib.Path("/proc/filesystems").read_text() and
                        run("modprobe", kind).returncode != 0):
                    continue
                memory = self.space / f"memory-{kind}"
                digests = []
                arguments = ["--block-device", "--size", 384 * MIB, "--memory", memory]
                with Served(self.folder, *arguments) as server:
                    self.ok(f"mkfs.{kind}", "-q", server.address)
                    self.ok("mount", server.address, self.point)
                    self.fill(self.point)
                    digests.append(self.digest(self.point))
                    self.ok("fstrim", self.point)
                    # It is in use, and stays.
                    self.assertIn("in use", server.tell(signal.SIGUSR2))
                    self.ok("umount", self.point)
                    self.ok(*check, server.address)
                    self.assertEqual(server.tell(signal.SIGUSR2), "detached")
                    self.assertGreater(server.stop()["flushes"], 0)
                with Served(self.folder, *arguments) as server:
                    self.ok("mount", server.address, self.point)
                    digests.append(self.digest(self.point))
                    self.ok("umount", self.point)
                    server.stop()
                self.assertEqual(digests[0], digests[1])
                self.assertEqual(loop_devices(self.folder / "volume"), [])
                memory.unlink()

    def fill(self, folder):
        rng = random.Random(7)
        for i in range(300):
            place = folder / f"d{i % 7}" / f"f{i}"
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(rng.randbytes(rng.randrange(200_000)))
        for i in range(0, 300, 3):
            (folder / f"d{i % 7}" / f"f{i}").unlink()
        os.sync()

    def digest(self, folder):
        whole = hashlib.sha256()
        for path in sorted(folder.rglob("f*")):
            whole.update(path.name.encode() + path.read_bytes())
        return whole.hexdigest()

    def test_two_devices_at_once(self):
        other = self.space / "other"
        with Served(self.folder, "--block-device") as first, \
                Served(other, "--block-device") as second:
            self.assertNotEqual(first.address, second.address)
            jobs = [subprocess.Popen(
                ["fio", "--name=v", f"--filename={server.address}", "--size=16m",
                 "--rw=randwrite", "--bs=4k", "--direct=1", "--ioengine=libaio", "--iodepth=32",
                 "--verify=crc32c", "--verify_state_save=0", "--output-format=terse"], stdout=subprocess.DEVNULL)
                for server in (first, second)]
            for job in jobs:
                self.assertEqual(job.wait(timeout=60), 0)
            second.stop()
            self.assertEqual(self.ok("blockdev", "--getsize64", first.address).strip(),
                             str(64 * MIB))
            first.stop()

    def test_it_grows_while_it_is_in_use(self):
        with Served(self.folder, "--block-device", "--grow-to", 256 * MIB) as server:
            self.ok("mkfs.ext4", "-q", server.address)
            self.ok("mount", server.address, self.point)
            self.assertEqual(server.tell(signal.SIGUSR1), "grown")
            self.assertTrue(wait_until(lambda: self.ok("blockdev", "--getsize64",
                                                       server.address).strip() ==
                                       str(256 * MIB), 10))
            self.ok("umount", self.point)
            server.stop()

    def test_a_stop_while_it_is_mounted_ends_all_the_same(self):
        with Served(self.folder, "--block-device") as server:
            self.ok("mkfs.ext4", "-q", server.address)
            self.ok("mount", server.address, self.point)
            server.stop()
            self.assertFalse(mounted(self.folder))
            self.assertFalse(self.folder.exists())
            run("umount", self.point)
            self.assertTrue(wait_until(lambda: not pathlib.Path(
                "/sys/block", pathlib.Path(server.address).name, "loop").exists(), 10))

    # ---- servers that are killed

    def test_what_a_killed_server_leaves_is_removed(self):
        with Served(self.folder, "--block-device") as server:
            load = subprocess.Popen(
                ["fio", "--name=load", f"--filename={server.address}", "--size=16m", "--rw=randrw",
                 "--bs=4k", "--direct=1", "--ioengine=libaio", "--iodepth=32", "--time_based",
                 "--runtime=30"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.3)
            server.kill()
            self.assertNotEqual(load.wait(timeout=30), 0)
            self.assertTrue(mounted(self.folder))
            self.assertNotEqual(loop_devices(self.folder / "volume"), [])
            self.remove_remains(self.folder)
        # The next one does it by itself.
        with Served(self.folder, "--block-device") as server:
            server.kill()
        with Served(self.folder, "--block-device") as server:
            self.assertEqual(len(loop_devices(self.folder / "volume")), 1)
            server.stop()
        self.assertFalse(self.folder.exists())

    def test_a_server_can_be_killed_at_any_time(self):
        rng = random.Random(3)
        for _ in range(20 * FACTOR):
            with Served(self.folder, "--block-device", wait=False) as server:
                time.sleep(rng.uniform(0.0, 0.06))
                if rng.random() < 0.5:
                    server.process.send_signal(signal.SIGTERM)
                    time.sleep(rng.uniform(0.0, 0.02))
                server.kill()
            self.remove_remains(self.folder)

    def test_the_next_server_goes_on_where_a_killed_one_was(self):
        with Kept(self.folder, "--memory", self.space / "memory") as kept:
            users = [FileUser(kept.server.address, number * 16 * MIB) for number in (0, 1)]
            try:
                for _ in range(5):
                    before = [user.rounds for user in users]
                    self.assertTrue(wait_until(lambda: all(
                        user.failures or user.rounds > rounds + 3
                        for user, rounds in zip(users, before)), 20))
                    kept.replace_server()
            except NoResend as error:
                self.skipTest(str(error))
            finally:
                for user in users:
                    user.end()
            for user in users:
                self.assertEqual(user.failures, [])
            kept.server.stop()
        self.assertFalse(mounted(self.folder))

    def test_a_device_goes_on_where_its_server_was_killed(self):
        with Kept(self.folder, "--memory", self.space / "memory", "--block-device") as kept:
            device = kept.server.address
            load = subprocess.Popen(
                ["fio", "--name=v", f"--filename={device}", "--size=48m", "--rw=randwrite",
                 "--bs=4k", "--direct=1", "--ioengine=libaio", "--iodepth=16", "--verify=crc32c",
                 "--verify_state_save=0", "--rate_iops=4000", "--fsync=200",
                 "--output-format=terse"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            try:
                for _ in range(5):
                    time.sleep(0.4)
                    kept.replace_server()
                    self.assertEqual(kept.server.address, device)
            except NoResend as error:
                load.kill()
                self.skipTest(str(error))
            output, _ = load.communicate(timeout=60)
            self.assertEqual(load.returncode, 0, output)
            self.assertEqual(kept.server.tell(signal.SIGUSR2), "detached")
            kept.server.stop()
        self.assertFalse(self.folder.exists())


class NoResend(Exception):
    """The kernel cannot ask again for what a killed server has left unanswered."""


class Kept:
    """A server whose mount is kept by this process, so that another one can go on with it."""

    def __init__(self, folder, *arguments):
        self.folder = folder
        self.arguments = arguments
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, its:
            self.server = Served(folder, *arguments, "--keeper", its.fileno(),
                                 pass_fds=[its.fileno()])
            room = socket.CMSG_SPACE(array.array("i").itemsize)
            minor, ancillary, _, _ = ours.recvmsg(16, room)
        self.minor = minor.decode()
        self.descriptor = array.array("i", ancillary[0][2])[0]

    def replace_server(self):
        """Kills the server, and has another one go on."""
        self.server.kill()
        try:
            self.server = Served(self.folder, *self.arguments, "--adopt", self.descriptor,
                                 "--adopt-minor", self.minor, pass_fds=[self.descriptor])
        except RuntimeError as error:
            raise NoResend(str(error)) if "6.9" in str(error) else error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.descriptor)
        self.server.kill()


class FileUser:
    """Writes and reads a part of a file in a thread, and looks whether it is right."""

    def __init__(self, path, base):
        self.failures = []
        self.rounds = 0
        self.is_over = False
        self.thread = threading.Thread(target=self.use, args=[path, base], daemon=True)
        self.thread.start()

    def use(self, path, base):
        try:
            fd = os.open(path, os.O_RDWR)
            while not self.is_over and not self.failures:
                self.rounds += 1
                data = bytes([self.rounds % 251]) * 300_000
                offset = base + self.rounds % 40 * 300_000
                if os.pwrite(fd, data, offset) != len(data):
                    self.failures.append("a short write")
                if os.pread(fd, len(data), offset) != data:
                    self.failures.append(f"wrong data in round {self.rounds}")
            os.close(fd)
        except OSError as error:
            self.failures.append(str(error))

    def end(self):
        self.is_over = True
        self.thread.join(timeout=20)
        if self.thread.is_alive():
            self.failures.append("it waits for ever")


if __name__ == "__main__":
    # Whoever makes a namespace of mounts meanwhile has those of this one in it, and a file system that
    # is mounted there is in use.
    if not missing() and not os.environ.get("UVDO_OWN_MOUNTS"):
        os.environ["UVDO_OWN_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "-m", sys.executable, *sys.argv])
    unittest.main(verbosity=2)
