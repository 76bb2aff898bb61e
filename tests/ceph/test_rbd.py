#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes on images of a real Ceph: made, served, verified, grown, checked; the OSD and the server are
killed under load; a server is shut out by another one and never writes again; sentences for what cannot be."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import nbd  # noqa: E402

from nbd_load import LOGICAL, MIB  # noqa: E402
from several_machines import SeveralMachines  # noqa: E402
from support import BLOCK, UVDO, run, wait_until  # noqa: E402

LAB = pathlib.Path(__file__).resolve().parent / "ceph_lab"
# Times that something is killed or taken over, of each kind; 20 shows what CI only looks at.
KILLS = int(os.environ.get("UVDO_KILLS", "1"))


def free_port():
    """A port with nobody on it; those behind it are asked for by the OSD, which takes others if need be."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1] - 50


class Ceph:
    def __init__(self):
        self.folder, self.port = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-ceph.")), free_port()
        os.environ["CEPH_CONF"] = str(self.folder / "ceph.conf")

    def do(self, *words):
        done = run(LAB, self.folder, self.port, *words, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr)
        return done.stdout

    def call_full_from(self, nearly, full):
        """From which part of the OSD on it is called nearly full, and full."""
        for what, ratio in (("nearfull", nearly), ("backfillfull", full), ("full", full)):
            self.do("run", "ceph", "osd", f"set-{what}-ratio", str(ratio))

    def make_image(self, name, *options, features="layering,exclusive-lock"):
        self.do("run", "rbd", "create", "--size", "4G", "--image-feature", features, *options, f"rbd/{name}")
        return f"rbd:rbd/{name}"


CEPH = None


def setUpModule():
    global CEPH
    CEPH = Ceph()
    unittest.addModuleCleanup(CEPH.do, "destroy")
    CEPH.do("start")


class OnRbd(SeveralMachines):
    def setUp(self):
        super().setUp()
        self.volume = CEPH.make_image(self.id().rsplit(".", 1)[-1])

    def test_a_volume_lives_on_an_image(self):
        self.format()
        self.assertIn("already holds a VDO volume", self.do("format", self.volume, status=1))
        server = self.serve("a")
        front = f"nbd+unix:///?socket={self.folder / 'a'}"
        done = run("fio", "--name=verify", "--ioengine=nbd", f"--uri={front}", "--rw=randwrite", "--bs=4k",
                   "--size=64M", "--verify=crc32c", "--iodepth=32", cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        client = self.connect("a")
        client.trim(16 * MIB, 0)
        client.flush()
        self.assertEqual(client.pread(BLOCK, 0), bytes(BLOCK))
        self.assertIn("All is well", self.do("status", self.volume))
        self.assertIn("is in use by process", self.do("check", self.volume, status=1))
        # It becomes larger while it is in use, and its image with it.
        self.do("grow", self.volume, "--physical", "6G")
        self.assertIn("size 6 GiB", CEPH.do("run", "rbd", "info", self.volume.removeprefix("rbd:")))
        self.do("stop", self.volume)
        self.assertEqual(server.wait(60), 0, self.log_of("a"))
        self.assertIn("consistent", self.do("check", self.volume))

    def test_an_osd_that_dies_is_a_pause(self):
        self.format()
        self.serve("a")
        load = self.load("a")
        for _ in range(KILLS):
            before = load.turns
            CEPH.do("kill-osd")
            time.sleep(0.2)
            CEPH.do("start-osd")
            self.assertTrue(wait_until(lambda: load.turns > before + 1 or load.error), self.log_of("a"))
        load.end()
        self.assertIsNone(load.error, self.log_of("a"))
        self.assert_holds(load, "a")
        self.do("stop", self.volume)
        self.assertIn("consistent", self.do("check", self.volume))

    def kill_servers(self, and_the_osd):
        self.format()
        server, load = self.serve("server0"), self.load("server0")
        for number in range(KILLS):
            server.kill()
            server.wait()
            if and_the_osd:
                CEPH.do("kill-osd")
                CEPH.do("start-osd")
            load.end()
            # The cluster believes in the dead one for a while; who is on its machine knows better, and shuts it out.
            begun, name = time.monotonic(), f"server{number + 1}"
            server = self.serve(name)
            self.assertLess(time.monotonic() - begun, 20)
            self.assert_holds(load, name)
            load = self.load(name, seed=number, before=load)
        load.end()
        self.assertIsNone(load.error)
        self.assert_holds(load, name)
        self.do("stop", self.volume)
        self.assertIn("consistent", self.do("check", self.volume))

    def test_a_server_that_dies_loses_nothing_that_was_flushed(self):
        self.kill_servers(and_the_osd=False)

    def test_a_server_and_an_osd_that_die_lose_nothing_that_was_flushed(self):
        self.kill_servers(and_the_osd=True)

    def test_monitors_that_are_gone_are_not_noticed(self):
        self.format()
        self.serve("a")
        load = self.load("a")
        CEPH.do("kill-mon")
        try:
            before = load.turns
            self.assertTrue(wait_until(lambda: load.turns > before + 20 or load.error), self.log_of("a"))
        finally:
            CEPH.do("start-mon")
        load.end()
        self.assertIsNone(load.error, self.log_of("a"))
        self.assert_holds(load, "a")

    def status_of_a_full_pool(self):
        told = run(UVDO, "status", self.volume).stdout
        return told[told.index("has not answered"):] if "has not answered" in told else ""

    def test_a_full_pool_is_a_pause_of_which_status_tells(self):
        self.format()
        self.serve("a")
        load = self.load("a")
        CEPH.call_full_from(nearly=0.0001, full=0.0001)
        self.addCleanup(CEPH.call_full_from, nearly=0.85, full=0.95)
        self.assertTrue(wait_until(lambda: "1 full osd(s)" in self.status_of_a_full_pool() or load.error, 90),
                        self.log_of("a"))
        CEPH.call_full_from(nearly=0.0001, full=0.95)
        before = load.turns
        self.assertTrue(wait_until(lambda: load.turns > before + 1 or load.error), self.log_of("a"))
        self.assertTrue(wait_until(lambda: "The cluster beneath says: 1 nearfull osd(s)" in
                                   run(UVDO, "status", self.volume).stdout, 90), self.log_of("a"))
        self.assertIn("says: 1 nearfull osd(s)", self.log_of("a"))
        load.end()
        self.assertIsNone(load.error, self.log_of("a"))
        self.assert_holds(load, "a")

    def test_a_growth_that_waits_for_the_cluster_holds_nobody_up(self):
        self.format()
        self.serve("a")
        CEPH.do("kill-osd")
        growth = subprocess.Popen([UVDO, "grow", self.volume, "--physical", "6G"], stderr=subprocess.DEVNULL)
        self.addCleanup(growth.wait)
        try:
            time.sleep(1)
            self.assertIsNone(growth.poll())
            # A server that is held up would be told to be silent after four seconds.
            told = run(UVDO, "status", self.volume)
            self.assertNotIn("has not answered within", told.stderr)
        finally:
            CEPH.do("start-osd")
        self.assertEqual(growth.wait(60), 0)
        self.assertIn("size 6 GiB", CEPH.do("run", "rbd", "info", self.volume.removeprefix("rbd:")))

    def test_a_server_that_was_taken_over_never_writes_again(self):
        self.format()
        old = self.serve("a")
        load = self.load("a")
        for words in (["check", self.volume], ["serve", self.volume, "--nbd", f"unix:{self.folder / 'x'}"]):
            self.assertIn("is in use by 127.0.0.1; end the server there", self.do_elsewhere(*words, status=1))
        self.assertIn("is in use by process", self.do(
            "serve", self.volume, "--take-over", "--nbd", f"unix:{self.folder / 'x'}", status=1))
        old.send_signal(signal.SIGSTOP)
        new = self.serve("b", "--take-over", elsewhere=True)
        self.assert_holds(load, "b")
        client = self.connect("b")
        mine = {place: os.urandom(BLOCK) for place in range(0, LOGICAL // BLOCK, 97)}
        for place, data in mine.items():
            client.pwrite(data, place * BLOCK)
        client.flush()
        old.send_signal(signal.SIGCONT)
        # It finds out with its next request, says so once, and ends.
        self.assertNotEqual(old.wait(60), 0)
        self.assertEqual(self.log_of("a").count("\nanother server has taken"), 1, self.log_of("a"))
        load.end()
        self.assertIsNotNone(load.error)
        self.assertEqual([place for place, data in mine.items() if client.pread(BLOCK, place * BLOCK) != data], [])
        new.send_signal(signal.SIGTERM)
        self.assertEqual(new.wait(60), 0, self.log_of("b"))
        self.assertIn("consistent", self.do("check", self.volume))

    def test_an_idle_server_finds_out_that_it_was_taken_over(self):
        self.format()
        old = self.serve("a")
        new = self.serve("b", "--take-over", elsewhere=True)
        self.assertNotEqual(old.wait(30), 0)
        self.assertIn("\nanother server has taken", self.log_of("a"))
        new.send_signal(signal.SIGTERM)
        self.assertEqual(new.wait(60), 0, self.log_of("b"))

    def test_no_write_of_a_former_server_comes_through(self):
        self.format()
        old, load = self.serve("server0"), self.load("server0")
        for number in range(KILLS):
            name = f"server{number + 1}"
            old.send_signal(signal.SIGSTOP)
            new = self.serve(name, "--take-over", elsewhere=True)
            next_load = self.load(name, seed=number, before=load)
            old.send_signal(signal.SIGCONT)  # with requests that are under way
            load.end()
            self.assertNotEqual(old.wait(60), 0)
            old, load = new, next_load
        load.end()
        self.assertIsNone(load.error)
        self.assert_holds(load, name)
        old.send_signal(signal.SIGTERM)
        self.assertEqual(old.wait(60), 0, self.log_of(name))
        self.assertIn("consistent", self.do("check", self.volume))

    def test_a_server_that_works_is_taken_over_at_once(self):
        self.format()
        old = self.serve("a")
        load = self.load("a")
        told = self.do_elsewhere("serve", self.volume, "--nbd", f"unix:{self.folder / 'x'}", status=1)
        self.assertIn("is in use by 127.0.0.1; end the server there", told)
        new = self.serve("b", "--take-over", elsewhere=True)
        # Not for the hour that is Ceph's default.
        next_year = time.gmtime().tm_year + 1
        ends = [int(line.split()[1][:4]) for line in CEPH.do("run", "ceph", "osd", "blocklist", "ls").splitlines()
                if line.startswith("127.0.0.1:0/")]
        self.assertGreater(max(ends), next_year)
        self.assertNotEqual(old.wait(60), 0)
        load.end()
        self.assertIsNotNone(load.error)
        self.assertIn("\nanother server has taken", self.log_of("a"))
        self.assert_holds(load, "b")
        new.send_signal(signal.SIGTERM)
        self.assertEqual(new.wait(60), 0, self.log_of("b"))
        self.assertIn("consistent", self.do("check", self.volume))

    def test_sentences(self):
        for name, words in (
                ("rbd:x", "names no image"),
                ("rbd:rbd/x?colour=red", "names no image"),
                ("rbd:rbd/nothing", "there is no image nothing in pool rbd"),
                ("rbd:nowhere/x", "there is no pool nowhere"),
                ("rbd:rbd/x?namespace=n", "there is no image x in pool rbd, namespace n"),
                ("rbd:rbd/x?conf=/nothing", "/nothing cannot be read"),
                ("rbd:rbd/x?id=joe", "client.joe")):
            told = self.do("info", name, status=1)
            self.assertIn(words, told)
            self.assertEqual(told.count("\n"), 1, told)
        for key, value in (("rbd_cache", "true"), ("rbd_blocklist_on_break_lock", "false")):
            CEPH.do("run", "rbd", "config", "image", "set", self.volume.removeprefix("rbd:"), key, value)
            self.assertIn(f"has the setting {key}={value} of its own", self.do("format", self.volume, status=1))
            CEPH.do("run", "rbd", "config", "image", "remove", self.volume.removeprefix("rbd:"), key)
        bare = CEPH.make_image("bare", features="layering")
        self.assertIn("has no exclusive-lock", self.do("format", bare, status=1))
        keyless = self.folder / "keyless.conf"
        text = (CEPH.folder / "ceph.conf").read_text()
        keyless.write_text(text.replace(f"keyring = {CEPH.folder}/keyring", "keyring = /nothing"))
        told = self.do("info", f"{self.volume}?conf={keyless}", status=1)
        self.assertIn("client.admin in: there is no keyring of it", told)
        silent = self.folder / "silent.conf"
        silent.write_text(text.replace(f"127.0.0.1:{CEPH.port}", "127.0.0.1:1"))
        begun = time.monotonic()
        self.assertIn("no monitor of the cluster has answered", self.do(
            "info", f"{self.volume}?conf={silent}", status=1))
        self.assertLess(time.monotonic() - begun, 60)
        self.assertIn("cannot be taken over", self.do(
            "serve", self.folder / "file", "--take-over", "--nbd", f"unix:{self.folder / 'x'}", status=1))

    def test_without_the_module_the_package_is_named(self):
        alone = self.folder / "uvdo"
        shutil.copy(UVDO, alone)
        done = run(alone, "info", self.volume)
        self.assertEqual(done.returncode, 1)
        self.assertIn("install the package uvdo-rbd", done.stderr)


if __name__ == "__main__":
    missing = [name for name in ("ceph-mon", "ceph-osd", "ceph", "rbd") if shutil.which(name) is None]
    if missing:
        print(f"skipped: Ceph is not installed ({', '.join(missing)}); scripts/install-dependencies test")
        sys.exit(1 if os.environ.get("UVDO_CEPH_REQUIRED") == "1" else 77)
    unittest.main(verbosity=2)
