#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers on several machines keep apart on a store without locks, by the record of the volume's owner: a second
one is refused, one that was stopped never writes again when another has taken the volume over, and one that ends
well keeps nobody waiting."""
import json
import os
import signal
import subprocess
import time
import unittest

from nbd_load import MIB
from several_machines import SeveralMachines
from support import UVDO, data_extents, judge, uvdo, wait_until

KILLS = int(os.environ.get("UVDO_KILLS", "1"))
LEASE = 5  # seconds
SIZE = 4100 * MIB  # which is no whole number of slabs


class LeaseTest(SeveralMachines):
    def setUp(self):
        super().setUp()
        self.image, self.volume = self.folder / "store", f"nbd+unix:///?socket={self.folder / 'export'}"
        self.image.touch()
        os.truncate(self.image, SIZE)
        self.store = self.start_store()
        self.addCleanup(self.end_store)
        self.format()
        self.do("lease", self.volume, "--seconds", LEASE)

    def end_store(self):
        self.store.kill()
        self.store.wait()

    def start_store(self):
        """By nbdkit 1.32 not: it sometimes falls over a connection that breaks (an assertion of its own)."""
        store = subprocess.Popen(["qemu-nbd", "-f", "raw", "-t", "-e", "32", "-x", "", "-k", self.folder / "export",
                                  self.image])
        self.assertTrue(wait_until((self.folder / "export").exists))
        return store

    def test_the_record_is_shown_changed_and_ended(self):
        self.assertIn(f"has a lease of {LEASE} seconds and is free", self.do("lease", self.volume))
        server = self.serve("a")
        lease = json.loads(self.do("lease", self.volume, "--json"))["lease"]
        self.assertEqual((lease["state"], lease["process"], lease["seconds"]), ("held", server.pid, LEASE))
        self.assertTrue(wait_until(lambda: json.loads(self.do("lease", self.volume, "--json"))["lease"]["beat"] >
                                   lease["beat"]))
        self.end(server, "a")
        self.assertIn("is free", self.do("lease", self.volume, "--seconds", 30))
        self.assertEqual(judge("audit", self.image).returncode, 0)
        self.assertIn("consistent", self.do("check", self.volume))
        self.assertIn("has no record", self.do("lease", self.volume, "--off"))
        self.end(self.serve("b"), "b")
        self.assertIn("has no record", self.do("lease", self.volume))
        nothing = self.folder / "nothing"
        nothing.write_bytes(bytes(MIB))
        self.assertIn("no VDO volume", self.do("lease", nothing, status=1))
        for wrong in (("--seconds", 4), ("--seconds", 3601), ("--seconds", 5, "--off"), ("--force",)):
            self.assertEqual(uvdo("lease", self.volume, *wrong).returncode, 2)

    def test_machines_see_each_other_and_wait_for_nobody_who_has_ended_well(self):
        server = self.serve("a", elsewhere=True)
        for words in (("serve", self.volume, "--nbd", f"unix:{self.folder / 'x'}"), ("check", self.volume),
                      ("rebuild", self.volume, "--force"), ("lease", self.volume, "--off"),
                      ("format", self.volume, "--force")):
            told = self.do(*words, status=1)
            self.assertIn(f"is in use by {os.uname().nodename} (process {server.pid})", told)
        self.end(server, "a")
        begun = time.monotonic()
        server = self.serve("b")
        self.assertLess(time.monotonic() - begun, LEASE)
        # A server that dies is waited for by other machines only.
        server.kill()
        server.wait()
        begun = time.monotonic()
        server = self.serve("c")
        self.assertLess(time.monotonic() - begun, LEASE)
        server.kill()
        server.wait()
        begun = time.monotonic()
        self.end(self.serve("d", elsewhere=True), "d")
        self.assertGreater(time.monotonic() - begun, LEASE)
        self.assertIn("of which there must be no sign", self.log_of("d"))

    def stand_by(self, name):
        with open(self.folder / f"{name}.log", "w") as log:
            server = subprocess.Popen([UVDO, "standby", self.volume, "--nbd", f"unix:{self.folder / name}"],
                                      stdout=log, stderr=subprocess.STDOUT)
        self.servers.append(server)
        return server

    def test_who_stands_by_waits_for_the_lease(self):
        old = self.serve("a", elsewhere=True)
        load = self.load("a")
        for waits_for_a_dead_one in (False, True):
            server = self.stand_by("b")
            self.assertTrue(wait_until(lambda: f"(process {old.pid})" in self.log_of("b")), self.log_of("b"))
            if waits_for_a_dead_one:
                break
            # It is in the middle of a look at the record, or between two.
            server.send_signal(signal.SIGTERM)
            begun = time.monotonic()
            self.assertEqual(server.wait(30), 0, self.log_of("b"))
            self.assertLess(time.monotonic() - begun, LEASE)
        old.kill()
        old.wait()
        load.end()
        begun = time.monotonic()
        self.assertTrue(wait_until(lambda: "of memory" in self.log_of("b")), self.log_of("b"))
        self.assertGreater(time.monotonic() - begun, LEASE / 2)
        self.assert_holds(load, "b")
        self.end(server, "b")

    def test_a_successor_on_the_machine_has_the_lease_at_once(self):
        server = self.serve("a")
        self.do("suspend", self.volume)
        self.assertIn("is free", self.do("lease", self.volume))
        self.do("resume", self.volume)
        before = json.loads(self.do("lease", self.volume, "--json"))["lease"]
        self.assertEqual((before["state"], before["process"]), ("held", server.pid))
        self.do("upgrade", self.volume)
        after = json.loads(self.do("lease", self.volume, "--json"))["lease"]
        self.assertEqual((after["state"], after["process"]), ("held", server.pid))
        self.assertGreater(after["generation"], before["generation"])
        self.assertIn("All is well", self.do("status", self.volume))
        self.end(server, "a")

    def test_a_server_that_was_stopped_never_writes_again(self):
        old, load = self.serve("server0"), self.load("server0")
        for number in range(KILLS):
            name = f"server{number + 1}"
            old.send_signal(signal.SIGSTOP)
            new = self.serve(name, elsewhere=True)
            next_load = self.load(name, seed=number, before=load)
            old.send_signal(signal.SIGCONT)
            load.end()
            self.assertNotEqual(old.wait(60), 0)
            self.assertIn("can neither write nor read it any more", self.log_of(f"server{number}"))
            old, load = new, next_load
        load.end()
        self.assertIsNone(load.error)
        self.assert_holds(load, name)
        self.end(old, name)
        self.assertIn("consistent", self.do("check", self.volume))
        self.assertEqual(judge("audit", self.image).returncode, 0)

    def test_a_store_that_is_away_for_too_long_is_another_ones(self):
        server = self.serve("a")
        load = self.load("a")
        self.store.send_signal(signal.SIGSTOP)
        time.sleep(LEASE)
        self.store.send_signal(signal.SIGCONT)
        self.assertNotEqual(server.wait(60), 0)
        self.assertIn("could not be renewed in time", self.log_of("a"))
        load.end()
        self.assertIsNotNone(load.error)
        server = self.serve("b", elsewhere=True)
        self.assert_holds(load, "b")
        self.end(server, "b")

    def test_the_record_goes_along_when_the_volume_grows(self):
        server = self.serve("a")
        load = self.load("a")
        os.truncate(self.image, SIZE + 512 * MIB)
        self.end_store()  # it has found out how large its file is at its start
        (self.folder / "export").unlink()
        self.store = self.start_store()
        self.do("grow", self.volume, "--physical", "max")
        self.assertIn("is in use by", self.do_elsewhere("check", self.volume, status=1))
        time.sleep(LEASE)
        load.end()
        self.assertIsNone(load.error)
        self.end(server, "a")
        self.assertIn("is free", self.do("lease", self.volume))
        self.assertEqual(judge("audit", self.image).returncode, 0)
        server = self.serve("b", elsewhere=True)
        self.assert_holds(load, "b")
        self.end(server, "b")

    def test_a_damaged_record_is_not_guessed_at(self):
        with open(self.image, "r+b") as image:
            for begin, end in data_extents(image.fileno()):
                image.seek(begin)
                at = image.read(end - begin).find(b"uvdowner")
                if at >= 0:
                    image.seek(begin + at + 100)
                    image.write(b"x")
                    break
        self.assertIn("is damaged; make sure that no server has the volume", self.do(
            "serve", self.volume, "--nbd", f"unix:{self.folder / 'x'}", status=1))
        self.assertIn("is free", self.do("lease", self.volume, "--seconds", LEASE, "--force"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
