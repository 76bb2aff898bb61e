# SPDX-License-Identifier: GPL-2.0-or-later
"""Where operations run: a file system on the block device of a uvdo volume, or on a loop device over a
raw file, which is what uvdo is held against."""
import os
import pathlib
import re
import shutil
import signal
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "e2e"))
from support import UVDO, processes_of, run, tree_digest, wait_until  # noqa: E402

MIB = 1 << 20
CHECKS = {"ext4": ["e2fsck", "-fn"], "xfs": ["xfs_repair", "-n"]}
# What a kernel says of a device that failed, or of a file system on it.
COMPLAINT = re.compile(r"I/O error|EXT4-fs (error|warning)|EXT4-fs .*(abort|failed)|"
                       r"XFS .*(rror|orrupt|hut)|BUG|WARNING|blocked for more than")


class Broken(Exception):
    """A step that must succeed has failed."""


def must(*command, **options):
    done = run(*command, **options)
    if done.returncode != 0:
        raise Broken(f"{' '.join(map(str, command))}: {(done.stdout + done.stderr).strip()}")
    return done.stdout


class Place:
    """A device with a file system, mounted on `mount`. Subclasses say what device; `name` is the column
    of the table."""

    def __init__(self, folder, size):
        self.size = size
        self.folder = folder / f"{folder.name}-{self.name}".replace(".", "-")
        self.folder.mkdir()
        self.folder.chmod(0o711)
        self.mount = self.folder / "mnt"
        self.mount.mkdir()
        self.device, self.kind = None, None

    # ---- of the subclasses: open() makes the device, close() takes it away and says what is wrong,
    # kill() is the worst that can happen to it, remove() leaves nothing of a place in any state.

    def format(self, kind):
        self.kind = kind
        force = {"ext4": "-F", "xfs": "-f"}[kind]
        must(f"mkfs.{kind}", "-q", force, self.device)
        self.mount_it()

    def mount_it(self):
        must("mount", self.device, self.mount)

    def unmount(self):
        must("umount", self.mount)

    def is_mounted(self):
        return f" {self.mount} " in pathlib.Path("/proc/self/mountinfo").read_text()

    def check(self):
        """What fsck says of the file system, which is not mounted; "" if it is clean."""
        done = run(*CHECKS[self.kind], self.device)
        return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}".strip()

    def complaints(self, since):
        """What the kernel has said of this device since a time of its own clock."""
        found = []
        for line in run("dmesg").stdout.splitlines():
            stamp = re.match(r"\[\s*([\d.]+)\]", line)
            if (stamp and float(stamp[1]) >= since and COMPLAINT.search(line) and
                    re.search(rf"\b{pathlib.Path(self.device).name}\b", line)):
                found.append(line)
        return found


def kernel_time():
    return time.clock_gettime(time.CLOCK_MONOTONIC)


class RawFile(Place):
    """A file of the machine's own file system through a loop device."""
    name = "raw"

    def open(self):
        self.file = self.folder / "raw.img"
        if not self.file.exists():
            with open(self.file, "wb") as file:
                file.truncate(self.size)
        self.device = must("losetup", "--find", "--show", "--direct-io=on", self.file).strip()

    def close(self):
        must("losetup", "--detach", self.device)
        return ""

    def kill(self):
        """Nothing serves a raw file: nobody can be killed."""

    def come_back(self):
        return True

    def remove(self):
        if self.is_mounted():
            run("umount", "--lazy", self.mount)
        if self.device:
            run("losetup", "--detach", self.device)
        shutil.rmtree(self.folder, ignore_errors=True)


class UvdoDevice(Place):
    """A volume that `uvdo attach` has made a device."""
    name = "uvdo"

    def __init__(self, folder, size, kind="fuse"):
        super().__init__(folder, size)
        self.way = kind
        # The name of the volume is that of the device, which is unique on the machine.
        self.file = self.folder / f"{self.folder.name}.vdo"
        self.log = self.folder / "log"

    def open(self):
        if not self.file.exists():
            must(UVDO, "format", self.file, "--size", f"{self.size // MIB + 3072}M", "--slab-bits", 13,
                 "--logical-size", f"{self.size // MIB}M")
        self.device = must(UVDO, "attach", self.file, "--as", self.way, "--log-file",
                           self.log).strip()

    def close(self):
        must(UVDO, "detach", self.file)
        if not wait_until(lambda: not processes_of(self.file), 20):
            return "a server is left"
        done = run(UVDO, "check", self.file)
        return "" if done.returncode == 0 else f"uvdo check: {done.stdout}{done.stderr}".strip()

    def kill(self):
        """Nothing serves a raw file: nobody can be killed."""

    def come_back(self):
        return True

    def remove(self):
        if self.is_mounted():
            run("umount", "--lazy", self.mount)
        if self.device:
            run("losetup", "--detach", self.device)
        shutil.rmtree(self.folder, ignore_errors=True)


class UvdoDevice(Place):
    """A volume that `uvdo attach` has made a device."""
    name = "uvdo"

    def __init__(self, folder, size, kind="fuse"):
        super().__init__(folder, size)
        self.way = kind
        # The name of the volume is that of the device, which is unique on the machine.
        self.file = self.folder / f"{self.folder.name}.vdo"
        self.log = self.folder / "log"

    def open(self):
        if not self.file.exists():
            must(UVDO, "format", self.file, "--size", f"{self.size // MIB + 3072}M", "--slab-bits", 13,
                 "--logical-size", f"{self.size // MIB}M")
        self.device = must(UVDO, "attach", self.file, "--as", self.way, "--log-file",
                           self.log).strip()

    def close(self):
        must(UVDO, "detach", self.file)
        if not wait_until(lambda: not processes_of(self.file), 20):
            return "a server is left"
        done = run(UVDO, "check", self.file)
        return "" if done.returncode == 0 else f"uvdo check: {done.stdout}{done.stderr}".strip()

    def servers(self):
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                name = (folder / "comm").read_text().strip()
            except OSError:
                continue
            if name == "uvdo" and b"serve" in words and str(self.file).encode() in words:
                found.append(int(folder.name))
        return found

    def kill(self):
        for pid in processes_of(self.file):
            os.kill(pid, signal.SIGKILL)
        if not wait_until(lambda: not processes_of(self.file), 20):
            raise Broken("a killed server stays")

    def come_back(self):
        """Attaches anew; whether it is the device that it was, with whoever has it open. Where it is
        not, the old one has to be unmounted, and its users got errors."""
        before = self.device
        self.device = must(UVDO, "attach", self.file, "--as", self.way, "--log-file",
                           self.log).strip()
        return self.device == before and self.is_mounted() and not self.has_failed()

    def has_failed(self):
        """Whether the mounted file system has lost its device."""
        probe = self.mount / ".probe"
        try:
            with open(probe, "wb") as file:
                file.write(b"x")
                os.fsync(file.fileno())
            probe.unlink()
        except OSError:
            return True
        return False

    def remove(self):
        if self.is_mounted():
            run("umount", "--lazy", self.mount)
        self.kill()
        if self.file.exists():
            # What a killed server has left goes with the next one.
            run(UVDO, "attach", self.file, "--as", self.way, "--log-file", self.log)
            run(UVDO, "stop", "--force", self.file)
            wait_until(lambda: not processes_of(self.file), 20)
        shutil.rmtree(self.folder, ignore_errors=True)


def missing_programs(names):
    return [name for name in names if shutil.which(name) is None]
