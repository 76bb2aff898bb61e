#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes by their names: made, started, found where they have gone, changed, renamed and ended."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

from support import UVDO, extract, run, uvdo, wait_until

MIB = 1 << 20


class Named(unittest.TestCase):
    """A registry of its own; nothing of this machine's is seen or changed."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-named."))
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(self.stop_all)
        self.config = self.folder / "etc"
        self.environment = dict(os.environ, UVDO_CONFIG_DIR=str(self.config), XDG_STATE_HOME=str(self.folder / "state"))
        self.log = self.folder / "log"
        # A unique one: it is the name of a log, and of a device, on this machine.
        self.name = self.folder.name.replace(".", "-")
        self.image = self.folder / "v.img"
        self.socket = self.folder / "nbd"

    def stop_all(self):
        self.command("stop", "--all", "--force")

    def command(self, *arguments, **options):
        return run(UVDO, *arguments, env=self.environment, stdin=subprocess.DEVNULL, **options)

    def done(self, *arguments, **options):
        ended = self.command(*arguments, **options)
        self.assertEqual(ended.returncode, 0, (arguments, ended.stderr))
        return ended.stdout

    def refused(self, status, words, *arguments, **options):
        ended = self.command(*arguments, **options)
        self.assertEqual(ended.returncode, status, (arguments, ended.stdout, ended.stderr))
        self.assertEqual(ended.stderr.count("\n"), 1, ended.stderr)
        self.assertIn(words, ended.stderr)

    def create(self, *options, name=None, image=None):
        return self.done("create", name or self.name, "--file", image or self.image, "--size", "4G", "--slab-bits", "13",
                         "--logical-size", "64M", "--nbd", f"unix:{self.socket}", "--log-file", self.log, *options)

    def file_of(self, name=None):
        return self.config / f"volumes.d/{name or self.name}.toml"

    def listed(self, name=None):
        """What list tells of a volume; None if nothing."""
        for each in json.loads(self.done("list", "--json")):
            if each.get("name") == (name or self.name):
                return each
        return None

    # ---- making and ending

    def test_one_command_makes_a_volume_that_is_in_use(self):
        told = self.create()
        self.assertIn(str(self.file_of()), told)
        listed = self.listed()
        self.assertEqual((listed["state"], listed["activated"], listed["volume"]),
                         ("normal", True, str(self.image)))
        self.assertIn(f"unix:{self.socket}", str(listed["front_ends"]))
        self.assertIn("All is well", self.done("status", self.name))
        self.done("stop", self.name)
        self.assertEqual(self.listed()["state"], "stopped")
        self.assertEqual(self.listed()["logicalBytes"], 64 * MIB)
        text = self.file_of().read_text()
        self.assertIn(f'volume = "{self.image}"', text)
        self.assertRegex(text, r"# what it is found by")

    def test_a_taken_name_is_refused_before_anything_is_made(self):
        self.create("--no-start")
        other = self.folder / "other.img"
        self.refused(2, "already", "create", self.name, "--file", other, "--size", "4G")
        self.assertFalse(other.exists())
        self.refused(2, "cannot be a volume's name", "create", "a/b", "--file", other, "--size", "4G")
        self.refused(2, "--cache", "create", "other", "--file", other, "--size", "4G", "--cache", "1")
        self.assertFalse(other.exists())

    def test_what_does_not_start_is_made_all_the_same(self):
        ended = self.command("create", self.name, "--file", self.image, "--size", "4G", "--slab-bits", "13",
                             "--nbd", f"unix:{self.folder}/none/nbd", "--log-file", self.log)
        self.assertEqual(ended.returncode, 1)
        self.assertIn("was made, but has not started", ended.stderr)
        self.done("modify", self.name, "--nbd", f"unix:{self.socket}")
        self.done("start", self.name)

    def test_remove_asks_and_frees_the_file_and_the_name(self):
        self.create()
        self.refused(2, "--yes", "remove", self.name)
        self.assertEqual(self.listed()["state"], "normal")
        self.assertIn("removed", self.done("remove", self.name, "--yes"))
        self.assertFalse(self.image.exists())
        self.assertIsNone(self.listed())
        self.create("--no-start")

    def test_remove_can_keep_the_volume_and_adopt_takes_it_again(self):
        self.create()
        uuid = self.listed()["uuid"]
        self.done("remove", self.name, "--keep")
        self.assertIsNone(self.listed())
        self.done("adopt", "again", self.image, "--nbd", f"unix:{self.socket}")
        self.assertEqual(self.listed("again")["uuid"], uuid)
        self.refused(1, 'is the volume "again" already', "adopt", "twice", self.image)

    def test_a_volume_that_somebody_uses_is_not_removed(self):
        self.create("--no-start")
        holder = subprocess.Popen([UVDO, "serve", self.image, "--read-only", "--nbd", f"unix:{self.folder}/other",
                                   "--control", self.folder / "own"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            self.assertTrue(wait_until((self.folder / "own").exists))
            ended = self.command("remove", self.name, "--yes")
            self.assertEqual(ended.returncode, 1)
            self.assertIn("in use by", ended.stderr)
            self.assertTrue(self.file_of().exists())
        finally:
            holder.send_signal(signal.SIGTERM)
            holder.communicate()
        self.done("info", self.name)

    def test_what_is_lost_can_be_forgotten(self):
        self.create("--no-start")
        self.image.unlink()
        self.assertEqual(self.listed()["state"], "missing")
        self.refused(2, "--storage", "info", self.name)
        # Its disk may only be slow, or away for a while.
        self.refused(1, "--force", "remove", self.name, "--yes")
        self.assertIn("not found", self.done("remove", self.name, "--yes", "--force"))

    # ---- names in place of paths

    def test_other_commands_take_the_name(self):
        self.create()
        for command in ("info", "stats", "flush", "dump", "log-level", "status", "suspend", "resume"):
            self.done(command, self.name)
        self.done("set", self.name, "compression=off")
        self.done("grow", self.name, "--logical", "128M")
        self.done("stop", self.name)
        self.done("check", self.name)
        self.assertIn(str(self.image), self.done("info", self.name))

    def test_a_file_of_that_name_is_told_apart(self):
        self.create("--no-start")
        (self.folder / self.name).touch()
        self.refused(2, f"./{self.name} for the file", "info", self.name, cwd=self.folder)
        self.done("info", f"@{self.name}", cwd=self.folder)
        self.refused(1, "", "info", f"./{self.name}", cwd=self.folder)
        self.done("info", self.name)

    def test_serve_takes_its_settings_from_the_name(self):
        self.create("--no-start", "--compression", "off")
        with open(self.log, "w") as log:
            server = subprocess.Popen([UVDO, "serve", self.name], env=self.environment, stdout=log, stderr=log)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.assertTrue(wait_until(self.socket.exists))
        self.assertTrue(wait_until(lambda: (self.listed() or {}).get("state") == "normal"))
        self.assertIn("compression is off", self.done("status", self.name))
        self.done("stop", self.name)
        self.assertEqual(server.wait(60), 0)

    def test_attach_starts_a_server_with_the_settings_of_the_name(self):
        if os.geteuid() != 0 or not os.access("/dev/fuse", os.W_OK):
            self.skipTest("files of FUSE take root and /dev/fuse")
        self.create("--no-start", "--compression", "off", "--cache", "32M", "--attach", "auto")
        path = self.done("attach", self.name, "--as", "file", "--log-file", self.log,
                         "--server-option=--cache=48M").strip()
        self.assertEqual(os.stat(path).st_size, 64 * MIB)
        self.assertIn("compression is off", self.done("status", self.name))
        self.assertEqual(len(self.listed()["devices"]), 1)

    # ---- found by its UUID

    def test_a_file_that_has_moved_is_found_and_its_place_kept(self):
        self.create("--no-start")
        moved = self.folder / "elsewhere.img"
        self.image.rename(moved)
        told = self.command("info", self.name)
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertIn(f"has moved from {self.image} to {moved}", told.stderr)
        # What only tells something leaves the file as it is; what starts it does not.
        self.assertIn(str(self.image), self.file_of().read_text())
        self.done("start", self.name)
        self.assertIn(f'volume = "{moved}"', self.file_of().read_text())
        self.done("stop", self.name)
        self.assertEqual(self.command("info", self.name).stderr, "")

    def test_another_volume_in_its_place_is_not_taken_for_it(self):
        self.create("--no-start")
        self.image.unlink()
        made = uvdo("format", self.image, "--size", "4G", "--slab-bits", 13)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.refused(1, "is not at", "start", self.name)
        self.refused(2, "holds another volume", "modify", self.name, "--storage", self.image)

    def test_the_server_of_another_volume_in_its_place_is_left_alone(self):
        self.create("--no-start")
        os.unlink(self.image)
        self.create("--no-start", name="other", image=self.folder / "o.img")
        # Now the other volume is where the first one is said to be, and runs.
        (self.folder / "o.img").rename(self.image)
        self.done("start", "other")
        for command in ("start", "remove --yes --force --keep", "stop"):
            self.command(command.split()[0], self.name, *command.split()[1:])
            self.assertEqual(self.listed("other")["state"], "normal", command)
        self.assertIsNone(self.listed(self.name))

    def test_settings_of_a_volume_do_not_reach_the_server_of_another(self):
        self.create("--no-start")
        text = self.file_of().read_text()
        self.done("remove", self.name, "--yes")
        self.create(name="other")
        self.file_of().write_text(text)
        self.done("modify", self.name, "--compression", "off")
        self.assertIn("compression is on", self.done("status", "other"))
        self.refused(1, "is not at", "start", self.name)
        self.refused(1, "not being served", "stop", self.name)
        self.assertEqual(self.listed("other")["state"], "normal")
        self.assertEqual(self.listed()["state"], "missing")

    def test_a_disk_that_has_another_name_is_found(self):
        if os.geteuid() != 0 or run("losetup", "-f").returncode != 0:
            self.skipTest("there are no loop devices")
        made = uvdo("format", self.image, "--size", "4G", "--slab-bits", 13)
        self.assertEqual(made.returncode, 0, made.stderr)
        first = run("losetup", "-f", "--show", self.image).stdout.strip()
        self.addCleanup(run, "losetup", "-d", first)
        self.done("adopt", self.name, first, "--nbd", f"unix:{self.socket}")
        other = self.folder / "other.img"
        other.touch()
        os.truncate(other, MIB)
        # The first device becomes another disk, the volume gets another device.
        run("losetup", "-d", first)
        self.assertEqual(run("losetup", first, other).returncode, 0)
        second = run("losetup", "-f", "--show", self.image).stdout.strip()
        self.addCleanup(run, "losetup", "-d", second)
        self.assertNotEqual(first, second)
        told = self.command("info", self.name)
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertIn(f"from {first} to {second}", told.stderr)
        self.assertIn(self.name, self.done("adopt", "--scan"))
        self.done("remove", self.name, "--yes")
        # The disk takes a new volume without being forced.
        self.done("create", "next", "--device", second, "--slab-bits", "13", "--no-start")

    # ---- changes

    def test_settings_change_at_once_or_from_the_next_start_on(self):
        self.create()
        told = json.loads(self.done("modify", self.name, "--compression", "off", "--log-level", "debug",
                                    "--watermarks", "70,75", "--cache", "64M", "--json"))
        self.assertEqual(set(told["atOnce"]), {"compression", "log-level", "watermarks"})
        self.assertEqual(told["atNextStart"], ["cache"])
        self.assertIn("compression is off", self.done("status", self.name))
        self.assertIn("debug", self.done("log-level", self.name))
        self.assertTrue(wait_until(lambda: "watermarks has changed" in self.log.read_text()), self.log.read_text())
        text = self.file_of().read_text()
        for line in ("compression = false", 'log-level = "debug"', 'cache = "64M"', 'watermarks = "70,75"'):
            self.assertIn(line, text)
        self.assertIn("nothing has changed", self.done("modify", self.name, "--cache", "64M"))
        self.done("modify", self.name, "--default", "compression")
        self.assertIn("compression is on", self.done("status", self.name))
        self.assertNotIn("compression", self.file_of().read_text())

    def test_a_wrong_setting_changes_nothing(self):
        self.create("--no-start")
        before = self.file_of().read_text()
        self.refused(2, "--cache", "modify", self.name, "--compression", "off", "--cache", "1")
        self.refused(2, "no setting", "modify", self.name, "--default", "nonsense")
        self.refused(2, "say what is to change", "modify", self.name)
        self.assertEqual(self.file_of().read_text(), before)

    def test_where_clients_find_it_may_be_left_to_a_socket_of_the_service_manager(self):
        self.create("--no-start")
        self.done("modify", self.name, "--default", "nbd")
        self.done("config", "--check", self.name)
        self.refused(2, "say where to serve", "serve", self.name)

    def test_an_edited_file_is_checked_and_keeps_its_comments(self):
        self.create("--no-start")
        file = self.file_of()
        self.assertEqual(self.done("config", "--path", self.name).strip(), str(file))
        file.write_text(file.read_text() + "# as Ann has asked\nbuffers = 1\n")
        self.refused(1, "--buffers", "config", "--check", self.name)
        self.done("modify", self.name, "--buffers", "32M")
        self.done("config", "--check", self.name)
        self.assertIn('# as Ann has asked\nbuffers = "32M"\n', self.done("config", self.name))
        file.write_text("nonsense\n")
        self.refused(1, "line 1", "config", "--check", self.name)
        ended = self.command("list")
        self.assertEqual(ended.returncode, 1)
        self.assertIn("line 1", ended.stderr)

    def test_rename_and_activation(self):
        self.create("--no-start", "--no-activate")
        self.create("--no-start", name="b", image=self.folder / "b.img")
        self.refused(1, "already", "rename", self.name, "b")
        self.done("rename", "b", "c")
        self.assertIsNone(self.listed("b"))
        self.assertEqual(self.listed("c")["volume"], str(self.folder / "b.img"))
        self.assertFalse(self.listed()["activated"])
        self.done("activate", self.name)
        self.done("deactivate", "c")
        self.done("start", "--all")
        self.assertEqual((self.listed()["state"], self.listed("c")["state"]), ("normal", "stopped"))
        self.done("stop", "--all")
        self.assertEqual(self.listed()["state"], "stopped")

    def test_what_is_served_is_not_renamed(self):
        self.create()
        self.refused(1, "stop it first", "rename", self.name, "b")
        self.done("stop", self.name)
        self.done("rename", self.name, "b")
        self.done("start", "b")

    def test_force_overwrites_no_named_volume(self):
        self.create("--no-start")
        before = self.listed()["uuid"]
        self.refused(1, "remove that first", "create", "b", "--file", self.image, "--size", "4G", "--slab-bits", "13",
                     "--force", "--no-start")
        self.assertEqual(self.listed()["uuid"], before)
        self.assertEqual(self.listed()["state"], "stopped")

    def test_the_folder_may_be_another_one(self):
        other = self.folder / "other-etc"
        self.create("--no-start", "--config-dir", other)
        self.assertTrue((other / f"volumes.d/{self.name}.toml").exists())
        self.assertFalse(self.file_of().exists())
        self.done(f"--config-dir={other}", "info", self.name)
        self.refused(2, "needs a folder", "list", "--config-dir")
        del self.environment["UVDO_CONFIG_DIR"]
        # A user's own.
        if os.geteuid() != 0:
            self.environment["XDG_CONFIG_HOME"] = str(self.folder)
            self.create("--no-start", image=self.folder / "x.img")
            self.assertTrue((self.folder / f"uvdo/volumes.d/{self.name}.toml").exists())

    def test_volumes_of_the_kernel_are_adopted(self):
        image = extract("clean", self.folder)
        self.done("adopt", self.name, image, "--nbd", f"unix:{self.socket}", "--log-file", self.log, "--start")
        self.assertEqual(self.listed()["state"], "normal")
        self.refused(1, "no VDO volume", "adopt", "other", self.file_of())
        self.refused(2, "say what is to be called", "adopt", "other")

    def test_parts_of_a_volume_are_devices_of_their_own(self):
        if os.geteuid() != 0 or not os.access("/dev/fuse", os.W_OK):
            self.skipTest("files of FUSE take root and /dev/fuse")
        self.create("--attach", f"file,name={self.name}-a,offset=1M,size=2M",
                    "--attach", f"file,name={self.name}-b,offset=8M,read-only")
        devices = {each["name"]: each for each in self.listed()["devices"]}
        first, second = devices[f"{self.name}-a"], devices[f"{self.name}-b"]
        self.assertEqual((first["offset"], first["size"], first["read_only"]), (MIB, 2 * MIB, False))
        self.assertEqual((second["offset"], second["read_only"]), (8 * MIB, True))
        self.assertEqual(os.stat(first["path"]).st_size, 2 * MIB)
        self.refused(2, "--attach has no", "modify", self.name, "--attach", "file,nonsense=1")
        self.assertRegex(self.file_of().read_text(), re.compile(r"^attach = \[\"file,name=", re.M))


if __name__ == "__main__":
    unittest.main(verbosity=2)
