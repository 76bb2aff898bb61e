# SPDX-License-Identifier: GPL-2.0-or-later
"""The two that pass a volume to and fro, with one interface: the kernel's dm-vdo in a virtual machine,
and `uvdo serve`. Operations are ("write", first block, values) and ("discard", first block, count)."""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

from content import BLOCK, data_of
import vm

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "torture"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import nbd_client  # noqa: E402
import support  # noqa: E402

MIB = 1 << 20
TRANSFER = 256 * MIB   # size of the disk by which data goes in and out of the guest
VOLUME_DISK, TRANSFER_DISK, LVM_DISK = range(3)
KILL_NOW = "kill now"
# What the kernel says at the levels of warnings and errors though nothing is wrong.
AFTER_CRASH = ["Device was dirty, rebuilding reference counts", "No valid index save found",
               r"index could not be loaded: UDS Error: Index not saved cleanly \(1036\)"]
READ_ONLY = ["read-only", "Rebuilding reference counts to clear read-only mode"]


class Kernel:
    """One virtual machine serves many volumes; it is started when it is needed."""
    name = "the kernel"

    def __init__(self, lab, folder, accelerator):
        self.lab, self.accelerator = lab, accelerator
        self.disks = [folder / name for name in ("volume.img", "transfer.img", "lvm.img")]
        for disk, size in zip(self.disks, (TRANSFER, TRANSFER, MIB)):
            with open(disk, "wb") as file:
                file.truncate(size)
        self.machine, self.boots, self.running = None, 0, False
        self.expected = []     # complaints of the kernel that are in order
        self.default_table()

    def default_table(self):
        """dm-vdo on the whole disk, as `vdo`'s own table line says it."""
        self.options, self.cache = "", 4096
        self.target, self.volume, self.is_lvm = "v", "/dev/mapper/v", False

    def make_lvm_pool(self, pool_size, size, slab_size):
        """A VDO pool of LVM on the volume's disk, and a logical volume of it; sizes in MiB. LVM's own
        metadata, the first MiB of a physical volume, are on a disk of their own: so the pool's data
        begin where the volume's disk does."""
        self.guest("[ -e /dev/mapper/pv ] || { echo 0 2048 linear /dev/vdc 0; echo 2048 "
                   "$(blockdev --getsz /dev/vda) linear /dev/vda 0; } | dmsetup create pv")
        self.guest("lvm vgcreate vg /dev/mapper/pv && lvm lvcreate --type vdo "
                   f"-L {pool_size}M -V {size}M -n lv --config "
                   f"allocation/vdo_slab_size_mb={slab_size} vg/pool && lvm vgchange -an vg")
        self.is_lvm, self.target, self.volume = True, "vg-pool-vpool", "/dev/vg/lv"

    def guest(self, command, **options):
        return self.started().run(command, **options)

    def started(self):
        if self.machine is None:
            self.machine = vm.Machine(self.lab, self.disks, self.accelerator)
            self.boots += 1
            self.machine.kernel_log()
        return self.machine

    def use(self, size):
        """A new, empty disk for a volume of `size` bytes; returns its path."""
        with open(self.disks[VOLUME_DISK], "r+b") as file:
            file.truncate(0)
            file.truncate(size)
        if self.machine:
            self.machine.resize(VOLUME_DISK, size)
        return self.disks[VOLUME_DISK]

    def resize(self, size):
        """The volume's disk gets larger; it keeps its data."""
        if self.machine:
            self.machine.resize(VOLUME_DISK, size)
            self.guest(f"until [ $(blockdev --getsz /dev/vda) = {size // 512} ]; do usleep 10000; done")
        else:
            os.truncate(self.disks[VOLUME_DISK], size)

    def grow(self, logical, physical):
        """Sizes in blocks, while the volume is in use."""
        self.resize(physical * BLOCK)
        self.guest(f"grow v /dev/vda {logical} {physical} {self.cache} {self.options}")

    def start_command(self, logical, physical):
        if self.is_lvm:
            return "lvm vgchange -ay vg"
        return f"start v /dev/vda {logical} {physical} {self.cache} {self.options}"

    def open(self, sizes):
        self.guest(f"{self.start_command(*sizes)} && wait_index {self.target}")
        self.running = True

    def close(self):
        stop = "lvm vgchange -an vg" if self.is_lvm else "dmsetup remove --retry v"
        self.guest(f"{stop} && blockdev --flushbufs /dev/vda")
        self.running = False
        complaints = self.machine.complaints(self.expected)
        if complaints:
            raise AssertionError("the kernel complains: " + "\n".join(complaints))

    def _pieces(self, operations):
        """The guest's commands for operations; their data is in the transfer disk then."""
        at, commands = 0, []
        with open(self.disks[TRANSFER_DISK], "r+b") as transfer:
            for kind, first, what in operations:
                if kind == "discard":
                    commands.append(f"blkdiscard -o {first * BLOCK} -l {what * BLOCK} {self.volume}")
                    continue
                data = data_of(what)
                os.pwrite(transfer.fileno(), data, at)
                commands.append(f"copy /dev/vdb {at} {self.volume} {first * BLOCK} {len(data)}")
                at += len(data)
        assert at <= TRANSFER
        return commands

    def apply(self, operations):
        self.guest(" && ".join(self._pieces(operations)))

    def try_write(self, operation):
        """Writes to a volume that may be full; the number of requests that failed for want of room."""
        command, = self._pieces([operation])
        status, output = self.guest(command, check=False)
        if status != "0" and "No space left" not in output:
            raise AssertionError(output)
        return int(status != "0")

    def is_refused(self, operation):
        command, = self._pieces([operation])
        return self.guest(f"{command} && flush {self.volume}", check=False)[0] != "0"

    def crash(self, operations):
        """Kills the machine in the middle of two streams of operations."""
        commands = self._pieces(operations)
        third = len(commands) // 3
        self.machine.run_until_killed(
            f"({' && '.join(commands[third:])}) & {' && '.join(commands[:third])}; echo; "
            f"echo {KILL_NOW}; wait", KILL_NOW)
        self.gone()

    def kill(self):
        self.machine.kill()
        self.gone()

    def throttle(self, requests):
        """The volume's disk does so many requests a second from now on."""
        self.machine.throttle(VOLUME_DISK, requests)

    def kill_at(self, seconds, command):
        """Kills the machine so long after it has begun with a command of the guest."""
        self.machine.run_until_killed(
            f"(usleep {int(seconds * 1e6)}; echo; echo {KILL_NOW}) & {command}; wait", KILL_NOW)
        self.gone()

    def gone(self):
        self.machine, self.running = None, False

    def flush(self):
        self.guest(f"flush {self.volume}")

    def read(self, first, count):
        data = b""
        for at in range(first, first + count, TRANSFER // BLOCK):
            part = min(TRANSFER // BLOCK, first + count - at)
            self.guest(f"copy {self.volume} {at * BLOCK} /dev/vdb 0 {part * BLOCK}")
            with open(self.disks[TRANSFER_DISK], "rb") as transfer:
                data += os.pread(transfer.fileno(), part * BLOCK, 0)
        return data

    def stats(self):
        return parse_stats(self.guest(f"dmsetup message {self.target} 0 stats"))


def parse_stats(message):
    """The kernel's `stats` message as nested dictionaries of numbers and words."""
    quoted = re.sub(r"([A-Za-z][^\s,]*)", r'"\1"', message)
    return json.loads(re.sub(r",\s*}", " }", quoted).strip().rstrip(","))


class Uvdo:
    name = "uvdo"

    def __init__(self, folder):
        self.folder, self.image, self.server, self.client = folder, None, None, None
        self.options = []

    def spawn(self):
        log = open(self.folder / "serve.log", "w")
        self.server = subprocess.Popen(
            [support.UVDO, "serve", self.image, "--nbd", f"unix:{self.folder}/nbd", "--keep-writes", "off",
             *self.options],
            stdout=log, stderr=subprocess.STDOUT)
        log.close()

    def open(self, sizes):
        self.spawn()
        for _ in range(12000):
            if "of memory" in self.log():
                break
            if self.server.poll() is not None:
                raise AssertionError(f"uvdo serve ended: {self.log()}")
            time.sleep(0.01)
        self.client = nbd_client.Client(self.folder / "nbd")
        # Until the index takes part, writes are served but do not deduplicate.
        for _ in range(6000):
            if self.stats()["uvdo"]["indexState"] != "opening":
                return
            time.sleep(0.02)
        raise AssertionError(f"the index of uvdo serve does not open: {self.log()}")

    def log(self):
        return (self.folder / "serve.log").read_text()

    def close(self):
        self.client.close()
        self.client = None
        done = support.uvdo("stop", self.image)
        if done.returncode or self.server.wait(300):
            raise AssertionError(f"uvdo stop: {done.stderr}{self.log()}")
        self.server = None

    def _perform(self, operations, kill_after):
        requests, answers, errors = [], 0, []
        for kind, first, what in operations:
            if kind == "discard":
                requests.append((nbd_client.TRIM, first, what, b""))
                continue
            for at in range(0, len(what), 64):
                data = data_of(what[at:at + 64])
                requests.append((nbd_client.WRITE, first + at, len(data) // BLOCK, data))
        todo = iter(requests)

        def answered(error, _data):
            nonlocal answers
            answers += 1
            if error:
                errors.append(error)
            if answers == kill_after:
                self.server.kill()

        def more():
            request = next(todo, None)
            if request:
                command, first, count, data = request
                self.client.submit(command, first * BLOCK, count * BLOCK, answered, data)
            return request is not None
        return self.client.run(more, 32), errors, len(requests)

    def apply(self, operations):
        # One after the other where they may overlap: a discard waits for what came before.
        batch = []
        for operation in [*operations, None]:
            if operation is None or operation[0] == "discard" or (batch and batch[-1][0] == "discard"):
                alive, errors, _ = self._perform(batch, None)
                if not alive or errors:
                    raise AssertionError(f"errors {errors} of uvdo serve: {self.log()}")
                batch = []
            batch.append(operation)

    def try_write(self, operation):
        _, errors, _ = self._perform([operation], None)
        if any(error != nbd_client.ENOSPC for error in errors):
            raise AssertionError(f"errors {errors} of uvdo serve: {self.log()}")
        return len(errors)

    def is_refused(self, operation):
        alive, errors, _ = self._perform([operation], None)
        return alive and len(errors) == 1

    def crash(self, operations):
        requests = sum(1 if kind == "discard" else (len(what) + 63) // 64
                       for kind, _, what in operations)
        if self._perform(operations, max(1, requests // 2))[0]:
            raise AssertionError("uvdo serve outlived SIGKILL")
        self.server.wait()
        self.kill()

    def kill(self):
        if self.client:
            self.client.close()
        if self.server and self.server.poll() is None:
            self.server.kill()
            self.server.wait()
        # As if the machine had gone with it: nobody tells clients of what its memory had.
        if self.image and os.path.exists(self.image):
            status = os.stat(self.image)
            marker = f"/run/uvdo/file-{status.st_dev:x}-{status.st_ino}.control.running"
            pathlib.Path(marker).unlink(missing_ok=True)
        self.server = None

    def flush(self):
        errors = []
        requests = iter([None])

        def more():
            return next(requests, 0) is None and self.client.submit(
                nbd_client.FLUSH, 0, 0, lambda error, _: errors.append(error)) is None
        if not self.client.run(more, 1) or errors != [0]:
            raise AssertionError(f"flush failed: {errors}")

    def read(self, first, count):
        parts, todo = {}, iter(range(first, first + count, 256))

        def more():
            at = next(todo, None)
            if at is not None:
                size = min(256, first + count - at)

                def answered(error, data):
                    parts[at] = data if not error else b""
                self.client.submit(nbd_client.READ, at * BLOCK, size * BLOCK, answered)
            return at is not None
        if not self.client.run(more, 16):
            raise AssertionError(f"uvdo serve has gone: {self.log()}")
        return b"".join(parts[at] for at in sorted(parts))

    def grow(self, logical, physical):
        """Sizes in blocks, while the volume is in use. The client connects anew to see them."""
        self.client.close()
        done = support.uvdo("grow", "--logical", f"{logical * BLOCK}B", "--physical",
                            f"{physical * BLOCK}B", self.image)
        if done.returncode:
            raise AssertionError(done.stderr)
        self.client = nbd_client.Client(self.folder / "nbd")

    def begin_growth(self, logical, physical):
        """The command that asks for it; sizes in blocks."""
        return subprocess.Popen([support.UVDO, "grow", "--logical", f"{logical * BLOCK}B", "--physical",
                                 f"{physical * BLOCK}B", self.image],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stats(self):
        # The index hears of blocks after they are stored, and the last of them may be on their way.
        for _ in range(3000):
            told = support.uvdo("stats", "--json", self.image)
            if told.returncode:
                raise AssertionError(told.stderr)
            found = next(iter(json.loads(told.stdout).values()))
            if found["uvdo"]["indexRecordsUnderWay"] == 0:
                return found
            time.sleep(0.02)
        raise AssertionError(f"the index takes no more names: {found['uvdo']}")
