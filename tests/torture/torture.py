#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Kills a serving uvdo with SIGKILL at random moments, while it writes, starts, recovers or saves,
and starts it again. Every block is compared with what was flushed or written later, fio verifies
what it wrote in a region of its own, and referees look at the volume.

  torture.py --kills 100 --backing loop      needs root; exit status 77: it cannot be had here
"""
import argparse
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import support  # noqa: E402
from ledger import BLOCK, COMPRESSIBLE, DUPLICATE, UNIQUE, ZERO, Ledger  # noqa: E402
from nbd_client import (ENOSPC, ESHUTDOWN, FLUSH, FUA, READ, TRIM, WRITE, ZEROES,  # noqa: E402
                        Client, ServerGone)
from support import UVDO, judge, run, uvdo  # noqa: E402

MIB = 1 << 20
BLOCKS = 4096                             # that the ledger knows, from the start of the device
FIO = (32 * MIB, 16 * MIB)                # fio's region
BALLAST = (64 * MIB, 104 * MIB)           # data that fill the volume, if it is to be full
LOGICAL = 192                             # MiB
SKIP = 77


class Broken(Exception):
    pass


class Torture:
    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.random = random.Random(arguments.seed)
        self.ledger = Ledger(BLOCKS)
        self.next_number = 1000
        self.fio_job = None  # the seed of what fio has written and flushed
        self.kills = dict.fromkeys(("load", "start", "stop"), 0)
        self.recoveries = self.clean_stops = self.refused = self.fio_checks = self.audits = 0
        self.socket = folder / "nbd"
        self.file = folder / "v.img"
        self.volume = self.file
        self.loop = None
        self.server = None
        self.started = time.monotonic()

    # ---- the volume and its server

    def make_volume(self):
        self.file.touch()
        os.truncate(self.file, 2920 * MIB)
        if self.arguments.backing == "loop":
            made = run("losetup", "--find", "--show", "--direct-io=on", self.file)
            if made.returncode != 0:
                print(f"no loop device: {made.stderr.strip()}")
                sys.exit(SKIP)
            self.loop = self.volume = pathlib.Path(made.stdout.strip())
        made = uvdo("format", self.volume, "--slab-bits", 13, "--logical-size", f"{LOGICAL}M")
        if made.returncode != 0:
            raise Broken(made.stderr)

    def spawn(self):
        self.log = open(self.folder / "serve.log", "wb")
        self.server = subprocess.Popen(
            [UVDO, "serve", self.volume, "--nbd", f"unix:{self.socket}",
             "--control", self.folder / "control", "--buffers", "16M", "--cache", "16M"],
            stdout=self.log, stderr=subprocess.STDOUT)

    def said(self):
        return (self.folder / "serve.log").read_text()

    def start(self):
        self.spawn()
        while "of memory" not in self.said():
            if self.server.poll() is not None:
                raise Broken(f"the server does not start: {self.said()}")
            time.sleep(0.005)
        if "for reading only" in self.said():
            raise Broken(f"the volume is read-only: {self.said()}")
        if "was dirty" in self.said():
            self.recoveries += 1

    def kill(self, when):
        self.server.kill()
        self.server.wait()
        self.log.close()
        self.kills[when] += 1
        self.ledger.crash()

    def stop(self):
        self.server.send_signal(signal.SIGTERM)
        if self.server.wait(600) != 0:
            raise Broken(f"the server does not stop: {self.said()}")
        self.log.close()
        self.clean_stops += 1

    # ---- what the clients do

    def new_value(self):
        kind = self.random.choices((ZERO, UNIQUE, COMPRESSIBLE, DUPLICATE), (1, 4, 4, 4))[0]
        if kind == ZERO:
            return 0
        if kind == DUPLICATE:
            return self.random.randrange(1, 40) << 2 | kind
        self.next_number += 1
        return self.next_number << 2 | kind

    def load(self, client, deadline):
        """Requests of all kinds until `deadline`; the server may die under them."""
        from ledger import content
        ledger, rng = self.ledger, self.random

        def more():
            if time.monotonic() > deadline:
                return False
            if rng.random() < 0.03:
                covered = ledger.begin_flush()

                def flushed(error, _data):
                    if error:
                        raise Broken(f"a flush failed with {error}")
                    ledger.end_flush(covered)
                client.submit(FLUSH, 0, 0, flushed)
                return True
            count = rng.choice((1, 1, 1, 2, 4, 8, 32))
            hot = rng.random() < 0.4
            first = rng.randrange(64) if hot else rng.randrange(BLOCKS - count)
            if not ledger.is_free(first, count):
                return True
            kind = rng.choices((WRITE, READ, TRIM, ZEROES), (70, 15, 10, 5))[0]
            if kind == READ:
                ledger.lock(first, count)

                def have_read(error, data):
                    ledger.lock(first, count, 0)
                    wrong = f"a read failed with {error}" if error else ledger.compare(
                        first, data, False)
                    if wrong:
                        raise Broken(wrong)
                client.submit(READ, first * BLOCK, count * BLOCK, have_read)
                return True
            values = [self.new_value() if kind == WRITE else 0 for _ in range(count)]
            stable = rng.random() < 0.1
            ledger.begin_write(first, values)

            def written(error, _data):
                if error == ENOSPC and self.arguments.full:
                    self.refused += 1
                elif error and error != ESHUTDOWN:
                    raise Broken(f"a write failed with {error}")
                ledger.end_write(first, count, error, stable)
            data = b"".join(map(content, values)) if kind == WRITE else b""
            client.submit(kind, first * BLOCK, count * BLOCK, written, data, FUA if stable else 0)
            return True

        return client.run(more, rng.choice((1, 8, 32)))

    def verify(self, client, after_crash):
        todo = list(range(0, BLOCKS, 32))

        def more():
            first = todo.pop()

            def have_read(error, data):
                wrong = f"a read failed with {error}" if error else self.ledger.compare(
                    first, data, after_crash)
                if wrong:
                    raise Broken(("after a kill: " if after_crash else "") + wrong)
            client.submit(READ, first * BLOCK, 32 * BLOCK, have_read)
            return bool(todo)
        if not client.run(more, 8):
            raise Broken(f"the server died: {self.said()}")

    def fio(self, seed, *options):
        """fio writes its region and flushes it, or verifies what it has written."""
        job = run("fio", "--name=torture", "--ioengine=nbd",
                  f"--uri=nbd+unix:///?socket={self.socket}", "--rw=randwrite", "--bsrange=4k-64k",
                  "--blockalign=4k", f"--offset={FIO[0]}", f"--size={FIO[1]}", "--iodepth=16",
                  f"--randseed={seed}", "--verify=crc32c", "--verify_fatal=1", "--end_fsync=1",
                  "--buffer_compress_percentage=50", *options, cwd=self.folder)
        if job.returncode != 0:
            raise Broken(f"fio {' '.join(options)}: {job.stdout}{job.stderr}")

    def fill(self, client):
        """Leaves little room in the volume."""
        if not self.arguments.full:
            return
        at = [BALLAST[0]]

        def more():
            data = self.random.randbytes(128 << 10)

            def written(error, _data):
                if error not in (0, ENOSPC):
                    raise Broken(f"a write failed with {error}")
            client.submit(WRITE, at[0], len(data), written, data)
            at[0] += len(data)
            return at[0] < sum(BALLAST)
        client.run(more, 8)

    # ---- referees

    def check(self, clean):
        self.audits += 1
        judges = [("uvdo check", uvdo("check", self.volume))]
        if clean:
            judges.append(("check_image.py", judge("audit", self.volume)))
            vdoaudit = support.vdo_program("vdoaudit")
            if vdoaudit:
                judges.append(("vdoaudit", run(vdoaudit, "--summary", self.volume)))
        for name, result in judges:
            if result.returncode != 0:
                raise Broken(f"{name}: {result.stdout}{result.stderr}")

    # ---- one round: a start, some load, and an end

    def round(self, number):
        if self.random.random() < 0.2:  # killed while it starts, perhaps while it recovers
            self.spawn()
            time.sleep(self.random.uniform(0, 0.08))
            self.kill("start")
        if self.random.random() < 0.3:
            self.check(False)
        self.start()
        client = Client(self.socket)
        self.verify(client, True)
        if number == 0:
            self.fill(client)
        if self.fio_job is not None and self.random.random() < 0.3:
            self.fio_checks += 1
            self.fio(self.fio_job, "--verify_only")
        if self.arguments.fio and self.random.random() < 0.15:
            self.fio_job = None
            seed = self.random.randrange(1 << 30)
            self.fio(seed, "--do_verify=0")
            self.fio_job = seed
        seconds = self.random.choice((0.05, 0.2, 0.5, 1.0)) * self.random.random()
        end = self.random.choices(("load", "stop", "clean"), (70, 15, 15))[0]
        if end == "load":
            timer = threading.Timer(seconds, self.server.kill)
            timer.start()
            while self.load(client, time.monotonic() + seconds + 60):
                pass
            timer.join()
            self.kill("load")
            return
        if not self.load(client, time.monotonic() + seconds):
            raise Broken(f"the server died: {self.said()}")
        if end == "clean":
            self.verify(client, False)
        client.close()
        if end == "stop":
            self.server.send_signal(signal.SIGTERM)
            time.sleep(self.random.uniform(0, 0.1))
            self.kill("stop")
            return
        self.stop()
        self.check(True)

    def goes_on(self):
        if self.arguments.kills:
            return sum(self.kills.values()) < self.arguments.kills
        return time.monotonic() - self.started < self.arguments.seconds

    def run(self):
        self.make_volume()
        number = 0
        while self.goes_on():
            self.round(number)
            number += 1
        self.start()
        client = Client(self.socket)
        self.verify(client, True)
        client.close()
        self.stop()
        self.check(True)

    def summary(self):
        kills = ", ".join(f"{count} in {what}" for what, count in self.kills.items())
        return (f"seed {self.arguments.seed}, {self.arguments.backing}: "
                f"{sum(self.kills.values())} kills ({kills}), {self.recoveries} recoveries, "
                f"{self.clean_stops} clean stops, {self.audits} audits, {self.ledger.writes} "
                f"writes, {self.refused} refused for lack of space, {self.ledger.flushes} flushes, "
                f"{self.ledger.compared} blocks compared, {self.fio_checks} fio verifications, "
                f"{time.monotonic() - self.started:.0f} s")

    def close(self):
        if self.server and self.server.poll() is None:
            self.server.kill()
            self.server.wait()
        if self.loop:
            run("losetup", "--detach", self.loop)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=0, help="end after so many kills")
    parser.add_argument("--seconds", type=float, default=20, help="end after so many seconds")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--backing", choices=("file", "loop"), default="file")
    parser.add_argument("--full", action="store_true", help="on a volume with little room left")
    parser.add_argument("--keep", action="store_true", help="keep the volume of a failure")
    arguments = parser.parse_args()
    arguments.fio = shutil.which("fio") is not None and b"nbd" in subprocess.run(
        ["fio", "--enghelp"], stdout=subprocess.PIPE, check=False).stdout
    if arguments.backing == "loop" and os.geteuid() != 0:
        print("loop devices need root")
        sys.exit(SKIP)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-torture."))
    torture = Torture(arguments, folder)
    print(f"seed {arguments.seed}", flush=True)
    keep = False
    try:
        torture.run()
    except (Broken, ServerGone) as broken:
        keep = arguments.keep
        print(f"BROKEN: {broken}\n{torture.summary()}")
        sys.exit(1)
    finally:
        torture.close()
        if keep:
            print(f"kept in {folder}")
        else:
            shutil.rmtree(folder)
    print(torture.summary())


if __name__ == "__main__":
    main()
