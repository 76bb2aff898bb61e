#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A served volume, driven by public tools. After each test the stopped volume must satisfy
`uvdo check`, vdoaudit and an independent checker, and hold what the test expects."""
import ctypes
import json
import os
import pathlib
import pwd
import random
import re
import resource
import signal
import subprocess
import time
import unittest

import nbd

import support
from served import IS_SANITIZED, MIB, Served, peak_memory
from support import BLOCK, UVDO, run, uvdo


class Clients(Served):
    def test_nbdinfo_tells_what_the_server_offers(self):
        self.serve()
        told = json.loads(run("nbdinfo", "--json", self.uri).stdout)["exports"][0]
        self.assertEqual(told["export-size"], self.LOGICAL)
        for ability in ("can_flush", "can_fua", "can_trim", "can_zero", "can_multi_conn",
                        "can_fast_zero", "can_cache", "can_df"):
            self.assertTrue(told[ability], ability)
        self.assertIn("base:allocation", told["contexts"])
        self.stop_and_judge()

    def test_nbdcopy_brings_back_what_it_took_there_also_after_a_restart(self):
        data = random.Random(4).randbytes(24 * MIB)
        self.note(0, data)
        self.note(100 * MIB, data)
        self.serve()
        self.copy_in()
        self.stop_and_judge()
        self.serve()
        out = self.folder / "out.img"
        self.assertEqual(run("nbdcopy", self.uri, out).returncode, 0)
        self.assertEqual(support.sha256(out), self.expected_sha256())
        self.stop_and_judge()

    def test_qemu_img_converts_compares_and_sees_the_holes(self):
        self.note(8 * MIB, random.Random(5).randbytes(4 * MIB))
        source = self.folder / "in.img"
        source.write_bytes(self.content.ljust(self.LOGICAL, b"\0"))
        self.serve()
        for command in (("convert", "-n", "-f", "raw", "-O", "raw", source, self.uri),
                        ("compare", "-f", "raw", "-F", "raw", source, self.uri)):
            done = run("qemu-img", *command)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        extents = json.loads(run("qemu-img", "map", "-f", "raw", "--output=json", self.uri).stdout)
        data = [(e["start"], e["length"]) for e in extents if e["data"]]
        self.assertEqual(data, [(8 * MIB, 4 * MIB)])
        self.stop_and_judge()

    def test_unaligned_fua_discard_and_zero_requests_do_what_they_say(self):
        self.serve()
        base = random.Random(6).randbytes(256 * 1024)
        self.write(0, base)
        self.qemu_io("write -P 0xa5 1000 3000", "write -f -P 0x5a 5000 70000",
                     "discard 90112 8192", "write -z 100001 4321", "write -z -u 110592 4096",
                     "flush")
        for at, length, value in ((1000, 3000, 0xA5), (5000, 70000, 0x5A), (90112, 8192, 0),
                                  (100001, 4321, 0), (110592, 4096, 0)):
            self.note(at, bytes([value]) * length)
        self.qemu_io("read -P 0xa5 1000 3000", "read -P 0x5a 5000 70000", "read -P 0 90112 8192")
        self.stop_and_judge()

    def test_fio_verifies_mixed_sizes_from_many_jobs(self):
        self.serve()
        done = run("fio", "--name=verify", "--ioengine=nbd", f"--uri={self.uri}", "--rw=randwrite",
                   "--bsrange=512-1M", "--numjobs=16", "--iodepth=8", "--size=8M",
                   "--offset_increment=8M", "--verify=crc32c", "--do_verify=1",
                   "--dedupe_percentage=40", "--buffer_compress_percentage=50",
                   "--verify_fatal=1", "--randseed=7", cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr[-2000:])
        self.stop_and_judge_what_clients_read()


class Connections(Served):
    """Several connections at once, by libnbd."""

    def connect(self, count):
        made = []
        for _ in range(count):
            client = nbd.NBD()
            client.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
            client.connect_uri(self.uri)
            made.append(client)
        return made

    @staticmethod
    def wait_for(requests):
        """Waits for commands under way: pairs of a connection and a cookie."""
        for client, cookie in requests:
            while not client.aio_command_completed(cookie):
                client.poll(-1)

    def write_all(self, writes):
        """(connection, offset, data): all under way at the same time."""
        self.wait_for([(client, client.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)),
                                                  offset)) for client, offset, data in writes])

    def test_a_flush_of_one_connection_covers_what_others_were_told_is_written(self):
        generator = random.Random(13)
        self.serve()
        clients = self.connect(8)
        self.assertTrue(all(client.can_multi_conn() for client in clients))
        for turn in range(3):
            writes = [(clients[i % 8], turn * 16 * MIB + i * 300_001, generator.randbytes(300_001))
                      for i in range(32)]
            self.write_all(writes)
            for _, offset, data in writes:
                self.note(offset, data)
            clients[turn].flush()
            self.kill()
            self.serve()
            clients = self.connect(8)
            for i, (_, offset, data) in enumerate(writes):
                self.assertEqual(clients[i % 8].pread(len(data), offset), data)
        self.stop_and_judge()

    def test_sectors_of_a_block_written_by_different_connections_all_arrive(self):
        generator = random.Random(14)
        self.serve()
        clients = self.connect(8)
        for _ in range(4):
            writes = [(clients[i % 8], i * 512, generator.randbytes(512)) for i in range(8 * 64)]
            generator.shuffle(writes)
            self.write_all(writes)
            for _, offset, data in writes:
                self.note(offset, data)
            self.assertEqual(clients[0].pread(8 * 64 * 512, 0), self.content)
        self.stop_and_judge()

    def test_what_one_trims_is_a_hole_for_the_others(self):
        self.serve()
        one, other = self.connect(2)
        self.write_all([(one, 0, random.Random(15).randbytes(MIB))])
        one.trim(MIB // 2, MIB // 4)
        extents = []
        other.block_status(MIB, 0, lambda _c, _o, entries, _e: extents.extend(entries))
        self.assertEqual(extents, [MIB // 4, 0, MIB // 2,
                                   nbd.STATE_HOLE | nbd.STATE_ZERO, MIB // 4, 0])
        self.note(0, other.pread(MIB, 0))
        self.assertEqual(self.content[MIB // 4:3 * MIB // 4], bytes(MIB // 2))
        self.stop_and_judge()


class Load(Served):
    LOGICAL = 384 * MIB

    def test_under_load_memory_stays_within_what_was_announced_and_nobody_starves(self):
        """Twice as much is asked for at once as there are buffers."""
        self.serve("--buffers", "64M")
        done = run("fio", "--name=load", "--ioengine=nbd", f"--uri={self.uri}", "--rw=randrw",
                   "--rwmixread=25", "--bs=128k", "--numjobs=16", "--iodepth=64", "--size=24M",
                   "--offset_increment=24M", "--refill_buffers", "--randseed=8", "--exitall",
                   "--output-format=json", cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        if not IS_SANITIZED:  # a sanitizer takes memory of its own
            self.assertLess(peak_memory(self.server.pid), self.memory_budget())
        # All ended when the first was done: how far were the others?
        jobs = json.loads(done.stdout[done.stdout.index("{"):])["jobs"]
        moved = [job["read"]["io_bytes"] + job["write"]["io_bytes"] for job in jobs]
        self.assertEqual(len(moved), 16)
        self.assertGreater(min(moved), max(moved) / 8, moved)
        self.stop_and_judge_what_clients_read()


def least_bins(sizes, room=4060, most=14):
    """A lower bound for the bins that hold pieces of these sizes (Martello and Toth's L2)."""
    best = -(-len(sizes) // most)
    for small in {0, *(size for size in sizes if size <= room // 2)}:
        large = [size for size in sizes if size > room - small]
        middle = [size for size in sizes if room - small >= size > room // 2]
        rest = sum(size for size in sizes if room // 2 >= size >= small)
        left = max(0, rest - (len(middle) * room - sum(middle)))
        best = max(best, len(large) + len(middle) + -(-left // room))
    return best


def lz4_size(block):
    """What liblz4 itself makes of a block."""
    liblz4, room = ctypes.CDLL("liblz4.so.1"), ctypes.create_string_buffer(2 * BLOCK)
    return liblz4.LZ4_compress_default(block, room, len(block), len(room))


class Savings(Served):
    LOGICAL = 64 * MIB

    def data_blocks(self):
        return self.stats()["dataBlocksUsed"]

    def test_zeros_and_discarded_ranges_take_nothing(self):
        self.serve()
        self.write(MIB, bytes(4 * MIB))
        self.qemu_io("flush")
        self.assertEqual(self.data_blocks(), 0)
        self.write(MIB, random.Random(2).randbytes(2 * MIB))
        self.qemu_io("flush", f"discard {MIB} {2 * MIB}", "flush")
        self.note(MIB, bytes(2 * MIB))
        self.assertEqual(self.data_blocks(), 0)
        self.stop_and_judge()

    def test_three_hundred_copies_of_a_block_need_two(self):
        """A block takes 254 references."""
        self.note(0, random.Random(3).randbytes(BLOCK) * 300)
        self.serve("--compression", "off")
        self.wait_for_index()
        self.copy_in()
        self.assertEqual(self.data_blocks(), 2)
        self.stop_and_judge()

    def test_text_is_packed_nearly_as_well_as_can_be(self):
        """The text is Python's own library, which every machine that runs this has."""
        text = bytearray()
        for path in sorted(pathlib.Path(unittest.__file__).parent.parent.rglob("*.py")):
            text += path.read_bytes()
            if len(text) > 8 * MIB:
                break
        self.assertGreater(len(text), 8 * MIB)
        self.note(0, text[:8 * MIB])
        self.serve("--compression", "on")
        self.wait_for_index()
        self.copy_in()
        used = self.data_blocks()
        self.stop_and_judge()
        blocks = {bytes(self.content[at:at + BLOCK]) for at in range(0, 8 * MIB, BLOCK)}
        sizes = [lz4_size(block) for block in blocks - {bytes(BLOCK)}]
        whole = sum(size > 4060 for size in sizes)
        self.assertLess(whole, len(sizes) * 0.02, "nearly every block of a text gets smaller")
        best = least_bins([size for size in sizes if size <= 4060]) + whole
        self.assertLessEqual(used, 1.05 * best)


class Copies(Served):
    LOGICAL = 640 * MIB

    def test_ten_copies_of_a_file_take_the_room_of_one(self):
        part = random.Random(1).randbytes(64 * MIB)
        self.note(0, part * 10)
        self.serve()
        self.wait_for_index()
        self.copy_in()
        self.assertEqual(self.stats()["dataBlocksUsed"], len(part) // BLOCK)
        self.stop_and_judge()
        self.assertEqual(self.stats()["dataBlocksUsed"], len(part) // BLOCK)


class Full(Served):
    SIZE, LOGICAL = "2910M", 256 * MIB

    def test_a_full_volume_keeps_its_promises_and_gives_room_back(self):
        self.serve("--compression", "off")
        generator = random.Random(10)
        kept = 0
        source = self.folder / "data"
        full = False
        while kept < self.LOGICAL and not full:
            data = generator.randbytes(8 * MIB)
            source.write_bytes(data)
            done = run("qemu-io", "-f", "raw", "-t", "none", "-c",
                       f"write -s {source} {kept} {len(data)}", "-c", "flush", self.uri)
            full = "No space left" in done.stdout + done.stderr
            if not full:
                self.note(kept, data)
                kept += len(data)
        self.assertTrue(full, "the volume was meant to fill up")
        self.assertGreater(kept, 8 * MIB)
        self.assertEqual(self.stats()["mode"], "normal")
        # Reads, overwrites that deduplicate and discards still work.
        self.write(0, bytes(self.content[MIB:2 * MIB]))
        self.qemu_io(f"discard {kept} {self.LOGICAL - kept}", f"discard {4 * MIB} {4 * MIB}")
        # What they have freed can be used again at once.
        self.write(4 * MIB, generator.randbytes(4 * MIB))
        self.qemu_io("flush")
        self.kill()
        self.serve()
        self.stop_and_judge()


class Life(Served):
    LOGICAL = 64 * MIB

    def test_signals_stop_it_cleanly(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self.serve()
            self.write(0, random.Random(number).randbytes(100_000))
            self.server.send_signal(number)
            self.assertEqual(self.server.wait(60), 0)
            self.assertFalse(self.socket.exists())
            self.judge_volume()

    def test_a_killed_server_loses_nothing_that_was_flushed(self):
        generator = random.Random(12)
        for _ in range(3):
            self.serve()
            for _ in range(5):
                self.write(generator.randrange(0, 60 * MIB), generator.randbytes(300_000))
            self.qemu_io("flush")
            self.kill()
        self.serve()
        self.stop_and_judge()

    def test_one_volume_has_one_server(self):
        self.serve()
        second = uvdo("serve", self.image, "--nbd", f"unix:{self.folder}/other")
        self.assertEqual(second.returncode, 1)
        self.assertIn("in use", second.stderr)
        for command in ("check", "format"):
            self.assertIn("in use", uvdo(command, self.image, *(["--force"] if command == "format"
                                                                else [])).stderr)
        self.stop_and_judge()

    def test_a_read_only_export_refuses_writes(self):
        self.serve()
        self.write(0, b"once" * 1024)
        self.stop()
        self.serve("--read-only")
        told = json.loads(run("nbdinfo", "--json", self.uri).stdout)["exports"][0]
        self.assertTrue(told["is_read_only"])
        self.stop()
        self.judge_volume()

    def test_a_window_of_the_volume(self):
        self.serve("--offset", "512K", "--size", "63M")
        told = json.loads(run("nbdinfo", "--json", self.uri).stdout)["exports"][0]
        self.assertEqual(told["export-size"], 63 * MIB)
        self.qemu_io("write -P 7 0 64k", f"write -P 8 {63 * MIB - 4096} 4k")
        self.stop()
        self.note(MIB // 2, b"\7" * 65536)
        self.note(63 * MIB + MIB // 2 - 4096, b"\x08" * 4096)
        self.judge_volume()
        self.serve("--offset", "63M")
        told = json.loads(run("nbdinfo", "--json", self.uri).stdout)["exports"][0]
        self.assertEqual(told["export-size"], MIB)
        self.qemu_io("read -P 8 508k 4k")
        self.stop_and_judge()

    def test_switches_change_while_it_runs(self):
        self.serve("--compression", "off")
        done = uvdo("set", self.image, "compression=on", "deduplication=off")
        self.assertEqual(done.stdout, "compression: on\ndeduplication: off\nwrite-through: off\nno-space-timeout: 60\n")
        self.assertEqual(uvdo("set", self.image, "color=red").returncode, 2)
        self.write(0, b"abcd" * 25_000)
        self.qemu_io("flush")
        self.assertGreater(self.stats()["packer"]["compressedFragmentsWritten"], 0)
        self.stop_and_judge()


class Errors(Served):
    """Each gets one sentence, a status that is not 0, and leaves the volume as it was."""
    LOGICAL = 64 * MIB

    def expect_refusal(self, status, words, *arguments):
        done = uvdo(*arguments, timeout=60)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertIn(words, done.stderr)
        self.assertTrue(done.stderr.startswith("uvdo: "), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_wrong_arguments(self):
        for words, *arguments in (("nonsense", "--nbd", "nonsense"),
                                  ("--nbd",),
                                  ("not a port", "--nbd", "tcp:localhost:70000"),
                                  ("--cache", "--nbd", "unix:x", "--cache", "1K"),
                                  ("--buffers", "--nbd", "unix:x", "--buffers", "lots"),
                                  ("machine's memory", "--nbd", "unix:x", "--cache", "1T"),
                                  ("on or off", "--nbd", "unix:x", "--compression", "maybe"),
                                  ("4096", "--nbd", "unix:x", "--offset", "512B"),
                                  ("choose a part", "--nbd", "unix:x", "--offset", "64M"),
                                  ("choose a part", "--nbd", "unix:x", "--size", "65M"),
                                  ("--size", "--nbd", "unix:x", "--size", "much"),
                                  ("--tls-cert", "--nbd", "unix:x", "--tls-required")):
            self.expect_refusal(2, words, "serve", self.image, *arguments)
        self.assertEqual(self.state(), "NEW")

    def test_places_where_nobody_can_listen(self):
        taken = self.folder / "taken"
        taken.touch()
        self.expect_refusal(2, "107 bytes", "serve", self.image, "--nbd",
                            f"unix:{self.folder}/{'x' * 120}")
        for words, address in (("No such file", f"unix:{self.folder}/none/socket"),
                               ("is not a socket", f"unix:{taken}"),
                               ("cannot listen", "tcp:no-such-host.invalid:10809")):
            self.expect_refusal(1, words, "serve", self.image, "--nbd", address)
        self.expect_refusal(1, "control socket", "serve", self.image, "--nbd",
                            f"unix:{self.socket}", "--control", f"{self.folder}/none/control")
        self.judge_volume()

    def test_what_is_no_volume(self):
        tiny, cut = self.folder / "tiny", self.folder / "cut"
        tiny.write_bytes(b"not much")
        support.sparse_copy(self.image, cut)
        with open(cut, "r+b") as file:
            file.truncate(2 << 30)
        blank = self.folder / "blank"
        blank.write_bytes(bytes(MIB))
        for words, path in (("No such file", self.folder / "none"), ("smaller", tiny),
                            ("neither a regular file", self.folder), ("cut short", cut),
                            ("no VDO volume", blank)):
            for command in ("info", "check", "stats", "cat", "rebuild"):
                self.expect_refusal(1, words, command, path)
            self.expect_refusal(1, words, "serve", path, "--nbd", f"unix:{self.socket}")
        for command in ("stop", "flush"):
            self.expect_refusal(1, "is not being served", command, self.image)

    @unittest.skipIf(os.geteuid() == 0, "root may open everything")
    def test_what_this_user_may_not_open(self):
        self.image.chmod(0)
        for command in ("info", "check", "stats", "stop"):
            self.expect_refusal(1, "Permission denied", command, self.image)

    def test_a_server_that_others_cannot_ask(self):
        """Its control socket is elsewhere."""
        control = self.folder / "control"
        self.serve("--control", control)
        for command in ("stats", "stop", "flush"):
            self.expect_refusal(1, "--control", command, self.image)
        told = uvdo("stats", self.image, "--control", control)
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertEqual(uvdo("stop", self.image, "--control", control).returncode, 0)
        self.assertEqual(self.server.wait(60), 0)
        self.judge_volume()

    def state(self):
        return json.loads(uvdo("info", "--json", self.image).stdout)["state"]


@unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
class AnotherUser(Served):
    """A server that gives up the rights of root."""
    def setUp(self):
        super().setUp()
        self.account = pwd.getpwnam("nobody")

    def admit(self):
        self.folder.chmod(0o711)
        os.chown(self.image, self.account.pw_uid, self.account.pw_gid)

    def identities(self):
        """User, group and groups of all threads of the server, those of the kernel for it too."""
        found = set()
        for status in pathlib.Path(f"/proc/{self.server.pid}/task").glob("*/status"):
            text = status.read_text()
            found.update((name, number) for name, numbers in
                         re.findall(r"^(Uid|Gid|Groups):(.*)$", text, re.MULTILINE)
                         for number in map(int, numbers.split()))
        return found

    def test_serves_suspends_grows_and_saves_without_the_rights_of_root(self):
        self.admit()
        self.serve("--user", "nobody", "--threads", "2")
        mine = {("Uid", self.account.pw_uid), ("Gid", self.account.pw_gid)}
        groups = {("Groups", group) for group in os.getgrouplist("nobody", self.account.pw_gid)}
        self.write(0, random.Random(31).randbytes(4 * MIB))
        self.qemu_io("flush")
        self.assertEqual(self.identities(), mine | groups)
        self.assertEqual(self.socket.stat().st_uid, self.account.pw_uid)
        for command in (("suspend",), ("resume",), ("grow", "--physical", "5G")):
            done = uvdo(command[0], self.image, *command[1:])
            self.assertEqual(done.returncode, 0, done.stderr)
        self.write(8 * MIB, random.Random(32).randbytes(MIB))
        self.assertEqual(self.identities(), mine | groups)
        self.stop_and_judge()
        self.assertNotIn("devices", self.log(), "it has none, and misses nothing")

    def test_a_user_that_could_not_open_the_volume_again_is_refused_at_the_start(self):
        started = uvdo("serve", self.image, "--nbd", f"unix:{self.socket}", "--user", "nobody")
        self.assertEqual(started.returncode, 1, started.stderr)
        self.assertIn("nobody may not open", started.stderr)
        self.assertFalse(self.socket.exists(), "nothing is left behind")
        self.admit()
        self.serve("--user", str(self.account.pw_uid))
        self.stop_and_judge()

    def test_files_of_root_alone_are_used_and_told_of(self):
        """Keys are known since the start, and a reload that cannot read them keeps them."""
        self.admit()
        keys, log = self.folder / "keys.psk", self.folder / "serve.log"
        keys.write_text("alice:" + "5a" * 32 + "\n")
        for path in (keys, log):
            path.touch()
            path.chmod(0o600)
        self.server = subprocess.Popen([UVDO, "serve", self.image, "--nbd", f"unix:{self.socket}", "--user", "nobody",
                                        "--tls-psk", keys, "--log-file", log])
        self.wait_until(lambda: "of memory" in log.read_text(), "it does not start")
        self.assertRegex(log.read_text(), f"the user nobody will not be able to open {log}, {keys}: ")
        self.assert_knows(keys)
        self.server.send_signal(signal.SIGHUP)
        self.wait_until(lambda: "TLS goes on" in log.read_text(), "it does not reload")
        self.assertIn("--log-file: cannot open", log.read_text())
        self.assert_knows(keys)
        self.stop()

    def assert_knows(self, keys):
        client = nbd.NBD()
        client.set_tls(nbd.TLS_REQUIRE)
        client.set_tls_psk_file(str(keys))
        client.set_tls_username("alice")
        client.connect_unix(str(self.socket))
        self.assertEqual(client.pread(512, 0), bytes(512))
        client.shutdown()

    def test_a_user_that_does_not_exist_is_a_usage_error(self):
        started = uvdo("serve", self.image, "--nbd", f"unix:{self.socket}", "--user", "no-such-one")
        self.assertEqual(started.returncode, 2, started.stderr)
        self.assertIn('there is no user "no-such-one"', started.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
