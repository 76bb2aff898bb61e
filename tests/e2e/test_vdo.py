#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The old command vdo: its verbs, options, files, messages and exit statuses, as docs/vdo-command.md
lists them; and scripts that were written for it, unchanged. What makes devices needs root, FUSE and
loop devices, and says so where they are missing."""
import fcntl
import json
import mmap
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import tempfile
import time
import unittest

import yaml

from support import UVDO, processes_of, run, uvdo, wait_until
from test_attach import missing

SCRIPTS = pathlib.Path(__file__).parent / "vdo_scripts"
VERSION = 538380551
VERBS = """activate changeWritePolicy convert create deactivate disableCompression
    disableDeduplication enableCompression enableDeduplication growLogical growPhysical import list
    modify printConfigFile remove start status stop version""".split()


class Command(unittest.TestCase):
    """A folder with the program's old names, a registry and a configuration file of its own."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-vdo."))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.programs = self.folder / "bin"
        self.programs.mkdir()
        for name in ("vdo", "vdostats", "uvdo"):
            (self.programs / name).symlink_to(UVDO)
        self.conf = self.folder / "vdoconf.yml"
        self.environment = dict(os.environ, UVDO_CONFIG_DIR=str(self.folder / "registry"),
                                XDG_STATE_HOME=str(self.folder / "state"),
                                PATH=f"{self.programs}:{os.environ['PATH']}")

    def vdo(self, verb, *options, conf=True, **others):
        words = ["--confFile", self.conf] if conf else []
        return run(self.programs / "vdo", verb, *options, *words, env=self.environment, **others)

    def does(self, verb, *options):
        """The lines that a verb prints which must succeed without a word on stderr."""
        done = self.vdo(verb, *options)
        self.assertEqual((done.returncode, done.stderr), (0, ""), (verb, options, done.stdout))
        return done.stdout.splitlines()

    def fails(self, status, verb, *options):
        """What a verb says on stderr that must end with that status."""
        done = self.vdo(verb, *options)
        self.assertEqual(done.returncode, status, (verb, options, done.stdout, done.stderr))
        for line in done.stderr.splitlines():
            self.assertRegex(line, r"^vdo: (ERROR|WARNING) - ")
        self.assertIn("vdo: ERROR - ", done.stderr)
        return done.stderr

    def write_conf(self, *names, version=VERSION, more=""):
        """A file as the old command wrote it, of volumes whose disks are not here."""
        text = "config: !Configuration\n  vdos:\n" if names else "config: !Configuration\n  vdos: {}\n"
        for name in names:
            text += (f"    {name}: !VDOService\n"
                     "      _operationState: finished\n      ackThreads: 1\n"
                     "      activated: enabled\n      bioRotationInterval: 64\n"
                     "      bioThreads: 4\n      blockMapCacheSize: 131072K\n"
                     "      blockMapPeriod: 16380\n      compression: enabled\n"
                     "      cpuThreads: 2\n      deduplication: enabled\n"
                     f"      device: /dev/disk/by-id/of-{name}\n      hashZoneThreads: 1\n"
                     "      indexCfreq: 0\n      indexMemory: 0.25\n"
                     "      indexSparse: disabled\n      indexThreads: 0\n"
                     "      logicalBlockSize: 4096\n      logicalSize: 10485760K\n"
                     f"      logicalThreads: 1\n      maxDiscardSize: 4K\n{more}"
                     f"      name: {name}\n"
                     "      physicalSize: 10485760K\n      physicalThreads: 1\n"
                     "      slabSize: 2G\n      uuid: null\n      writePolicy: auto\n")
        self.conf.write_text(text + f"  version: {version}\n")

    def configuration(self):
        """What the file says, by a parser of others; tags of applications are passed over."""
        class Loader(yaml.SafeLoader):
            pass
        for tag in ("!Configuration", "!VDOService"):
            Loader.add_constructor(tag, lambda loader, node: loader.construct_mapping(node, True))
        return yaml.load(self.conf.read_text(), Loader)["config"]  # noqa: S506

    def status(self, *options):
        return yaml.safe_load("\n".join(self.does("status", *options)))


class Arguments(Command):
    """What is wrong with the arguments alone ends with 2, before anything is done."""

    def test_without_a_verb_usage_is_told_on_stderr(self):
        done = run(self.programs / "vdo")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        for verb in VERBS:
            self.assertRegex(done.stderr, rf"(?m)^  {verb} ")

    def test_help_is_told_on_stdout(self):
        for words in (["--help"], ["-h"]):
            done = run(self.programs / "vdo", *words)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        for verb in VERBS:
            for word in ("--help", "-h"):
                done = self.vdo(verb, word, conf=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""), verb)
                for option in ("--confFile", "--logfile", "--verbose"):
                    self.assertIn(option, done.stdout)

    def test_unknown_verbs_and_options_are_refused(self):
        for words in (["Create"], ["nothing"], ["list", "--nothing"], ["list", "operand"],
                      ["version", "--name=a"], ["printConfigFile", "--all"],
                      ["list", "--name=a"], ["growPhysical", "--all"], ["create", "--all"],
                      ["stop", "--forceRebuild", "--all"], ["modify", "--vdoSlabSize=2G", "--all"],
                      ["import", "--vdoLogicalSize=2G", "--name=a", "--device=/dev/x"]):
            self.fails(2, *words)

    def test_exactly_one_of_name_and_all(self):
        for verb in ("activate", "changeWritePolicy", "deactivate", "disableCompression",
                     "disableDeduplication", "enableCompression", "enableDeduplication", "modify",
                     "remove", "start", "stop"):
            more = ["--writePolicy=sync"] if verb == "changeWritePolicy" else []
            self.fails(2, verb, *more)
            self.fails(2, verb, "--all", "--name=a", *more)
            self.does(verb, "-a", *more)
        self.fails(2, "status", "--all", "--name=a")
        for verb in ("create", "import", "growLogical", "growPhysical", "convert"):
            self.fails(2, verb)

    def test_required_options(self):
        self.fails(2, "create", "--name=a")
        self.fails(2, "import", "--name=a")
        self.fails(2, "growLogical", "--name=a")
        self.fails(2, "changeWritePolicy", "--all")
        self.fails(2, "convert", "--name=a")

    def test_options_may_be_abbreviated_and_stand_apart_from_their_values(self):
        self.write_conf("a")
        for words in (["-na"], ["-n", "a"], ["--name=a"], ["--name", "a"], ["--na=a"], ["--n", "a"]):
            self.does("activate", *words)
        done = run(self.programs / "vdo", "list", "-a", "--confF", self.conf)
        self.assertEqual(done.stdout, "a\n")
        done = run(self.programs / "vdo", "list", "-a", f"-f{self.conf}")
        self.assertEqual(done.stdout, "a\n")
        self.assertIn("could be", self.fails(2, "create", "--name=a", "--device=/dev/x", "--vdoLog=1G"))

    def test_names(self):
        for name in ("a/b", "a b", "-a", "", "x" * 51):
            self.fails(2, "start", f"--name={name}")
        for name in ("a.b_c+d-e", "_a", "x" * 50):
            self.assertIn("not found", self.fails(7, "start", f"--name={name}"))

    def limits(self, option, right, wrong, verbs=("create",)):
        """Right values get as far as to the device, which is not there."""
        for verb in verbs:
            words = [] if verb == "modify" else ["--device=/dev/not-there"]
            for value in right:
                text = self.fails(7, verb, "--name=a", *words, f"{option}={value}")
                self.assertIn("not found", text)
            for value in wrong:
                text = self.fails(2, verb, "--name=a", *words, f"{option}={value}")
                self.assertIn(option, text)

    def test_limits_of_numbers(self):
        tuned = ("create", "import", "modify")
        self.limits("--vdoAckThreads", [0, 100], [-1, 101, "x", "1.5", ""], tuned)
        self.limits("--vdoBioThreads", [1, 100], [0, 101], tuned)
        self.limits("--vdoCpuThreads", [1, 100], [0, 101], tuned)
        self.limits("--vdoHashZoneThreads", [1, 100], [101], tuned)
        self.limits("--vdoLogicalThreads", [1, 8], [61], tuned)
        self.limits("--vdoPhysicalThreads", [1, 16], [17], tuned)
        self.limits("--blockMapPeriod", [1, 16380], [0, 16381], tuned)
        self.limits("--vdoBioRotationInterval", [1, 1024], [0, 1025], ("create", "import"))

    def test_limits_of_sizes(self):
        self.limits("--vdoLogicalSize", ["4K", "4P", "10g", "1.5T", "2097152S", 100],
                    ["5P", "1X", "1KB", "0", ""])
        self.limits("--vdoSlabSize", ["128M", "32G", 128, "4194304S"],
                    ["64M", "64G", "129M", "0", "3G"])
        tuned = ("create", "import", "modify")
        self.limits("--maxDiscardSize", ["4K", "1G", "4194300K", "8S"], ["0", "4G", "5000B"], tuned)
        self.limits("--blockMapCacheSize", ["128M", 128, "1T", "16777212M"],
                    ["127M", "16T", "262144S", "134217729B"], tuned)
        self.limits("--readCacheSize", ["0", "20M"], ["16T"], ("create", "modify"))

    def test_limits_of_words(self):
        switches = ("create", "import")
        for option in ("--activate", "--compression", "--deduplication", "--emulate512"):
            self.limits(option, ["enabled", "disabled"], ["on", "Enabled", "", "1"], switches)
        self.limits("--sparseIndex", ["enabled", "disabled"], ["yes"])
        self.limits("--readCache", ["enabled", "disabled"], ["yes"], ("create", "modify"))
        self.limits("--indexMem", ["0.25", "0.5", "0.75", "0,5", 1, 1024], ["0.50", 0, 1025, "2.5"])
        self.limits("--writePolicy", ["sync", "async", "async-unsafe", "auto"], ["Sync", ""],
                    switches)
        self.limits("--vdoLogLevel", ["critical", "error", "warning", "notice", "info", "debug"],
                    ["Info", "none"], switches)
        self.limits("--uuid", ["", "0f0e7a5c-6a2b-4c7d-9d57-0c9a6f7a4b11"], ["x"], switches)

    def test_what_does_not_go_together(self):
        create = ["create", "--name=a", "--device=/dev/not-there"]
        zero = ["--vdoHashZoneThreads=0", "--vdoLogicalThreads=0", "--vdoPhysicalThreads=0"]
        self.fails(7, *create, *zero)
        for each in zero:
            self.fails(2, *create, each)
        self.assertIn("--blockMapCacheSize", self.fails(2, *create, "--vdoLogicalThreads=9"))
        self.fails(7, *create, "--vdoLogicalThreads=9", "--blockMapCacheSize=144M")

    def test_version(self):
        done = self.vdo("version")
        self.assertRegex(done.stdout, r"^\d+\.\d+\.\d+\n$")


class ConfFile(Command):
    """The file alone: volumes whose disks are not here."""

    def test_without_a_file_there_are_no_volumes(self):
        self.assertEqual(self.does("list", "--all"), [])
        self.assertEqual(self.does("start", "--all"), [])
        status = self.status()
        self.assertEqual(list(status), ["VDO status", "Kernel module", "Configuration", "VDOs"])
        self.assertEqual(status["Configuration"],
                         {"File": "does not exist", "Last modified": "not available"})
        self.assertEqual(status["VDOs"], {})
        self.assertEqual(self.does("printConfigFile"),
                         ["config: !Configuration", "  vdos: {}", f"  version: {VERSION}"])

    def test_is_written_as_others_read_it(self):
        self.write_conf("b", "a")
        self.does("deactivate", "--name=a")
        lines = self.conf.read_text().splitlines()
        self.assertEqual(lines[0], "#" * 68)
        self.assertEqual(lines[2], "#" * 68)
        self.assertEqual(lines[3:6], ["config: !Configuration", "  vdos:", "    a: !VDOService"])
        self.assertEqual(lines[-1], f"  version: {VERSION}")
        fields = [line.split(":")[0].strip() for line in lines if line.startswith("      ")]
        half = len(fields) // 2
        self.assertEqual(fields[:half], sorted(fields[:half]))
        self.assertEqual(fields[0], "_operationState")
        # As those who import volumes look for them: by lines.
        text = self.conf.read_text()
        self.assertRegex(text, r"(?m)^    b: !VDOService$")
        self.assertRegex(text, r"(?m)^      blockMapCacheSize: 128M$")
        self.assertRegex(text, r"(?m)^      logicalSize: 10G$")
        self.assertEqual(self.configuration()["vdos"]["a"]["activated"], "disabled")
        self.assertEqual(self.configuration()["vdos"]["b"]["activated"], "enabled")
        self.assertEqual(self.does("printConfigFile"), lines[3:])

    def test_what_it_does_not_know_stays(self):
        self.write_conf("a", more="      madeUp: {x: 1}\n      madeUpToo: '7'\n")
        self.does("deactivate", "--all")
        volume = self.configuration()["vdos"]["a"]
        self.assertEqual((volume["madeUp"], volume["madeUpToo"]), ({"x": 1}, "7"))

    def test_another_version_is_read_and_not_written(self):
        self.write_conf("a", version=1)
        before = self.conf.read_bytes()
        done = self.vdo("list", "--all")
        self.assertEqual((done.returncode, done.stdout), (0, "a\n"))
        self.assertIn("vdo: WARNING - ", done.stderr)
        self.assertIn("version 1", self.fails(3, "deactivate", "--name=a"))
        self.fails(3, "create", "--name=b", "--device=/dev/null")
        for verb in ("remove", "convert"):
            self.assertIn("nothing was done", self.fails(3, verb, "--name=a", "--force"))
        self.fails(6, "start", "--name=a")  # which is looked for: the file may be as it is
        self.assertEqual(self.conf.read_bytes(), before)

    def test_what_is_no_such_file_is_said(self):
        self.conf.write_text("[")
        for verb in ("list", "status", "printConfigFile"):
            self.assertIn("cannot be understood", self.fails(3, verb))
        self.fails(3, "start", "--all")
        self.assertEqual(self.conf.read_text(), "[")

    def test_commands_take_turns_for_their_whole_time(self):
        self.write_conf("a")
        with open(f"{self.conf}.lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            waiting = subprocess.Popen([self.programs / "vdo", "deactivate", "--all", "--confFile",
                                        self.conf], env=self.environment)
            time.sleep(0.5)
            self.assertIsNone(waiting.poll())
            self.assertEqual(self.does("list", "--all"), ["a"], "who only reads does not wait")
        self.assertEqual(waiting.wait(60), 0)
        self.assertEqual(self.configuration()["vdos"]["a"]["activated"], "disabled")

    def test_settings_of_stopped_volumes(self):
        self.write_conf("a", "b")
        self.does("disableCompression", "--name=a")
        self.does("disableDeduplication", "--all")
        self.does("changeWritePolicy", "--name=b", "--writePolicy=sync")
        self.does("modify", "--all", "--vdoBioThreads=7", "--blockMapCacheSize=1G")
        self.assertEqual(self.does("modify", "--all"), [], "nothing to change")
        volumes = self.configuration()["vdos"]
        self.assertEqual([volumes[name]["compression"] for name in "ab"], ["disabled", "enabled"])
        self.assertEqual([volumes[name]["deduplication"] for name in "ab"], ["disabled"] * 2)
        self.assertEqual([volumes[name]["writePolicy"] for name in "ab"], ["auto", "sync"])
        self.assertEqual([volumes[name]["bioThreads"] for name in "ab"], [7, 7])
        self.assertEqual([volumes[name]["blockMapCacheSize"] for name in "ab"], ["1G", "1G"])
        self.does("enableCompression", "--name=a")
        self.does("enableDeduplication", "--name=a")
        self.assertEqual(self.configuration()["vdos"]["a"]["compression"], "enabled")
        self.assertEqual(self.configuration()["vdos"]["a"]["deduplication"], "enabled")

    def test_modify_looks_at_values_as_they_would_be_stored(self):
        self.write_conf("a")
        self.fails(2, "modify", "--name=a", "--vdoLogicalThreads=9")
        self.does("modify", "--name=a", "--blockMapCacheSize=160M")
        self.does("modify", "--name=a", "--vdoLogicalThreads=9")
        self.fails(2, "modify", "--name=a", "--blockMapCacheSize=128M")

    def test_status_has_the_keys_that_programs_parse(self):
        self.write_conf("a", more="      readCache: disabled\n      readCacheSize: 0M\n")
        text = "\n".join(self.does("status"))
        self.assertRegex(text, r"(?m)^  Date: '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d'$")
        self.assertRegex(text, r"(?m)^  Last modified: '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d'$")
        status = yaml.safe_load(text)
        self.assertEqual(list(status["VDO status"]), ["Date", "Node"])
        self.assertEqual(list(status["Kernel module"]), ["Loaded", "Name", "Version information"])
        self.assertEqual(list(status["Kernel module"]["Version information"]), ["kvdo version"])
        self.assertEqual(status["Configuration"]["File"], str(self.conf))
        volume = status["VDOs"]["a"]
        self.assertEqual(list(volume), [
            "Acknowledgement threads", "Activate", "Bio rotation interval",
            "Bio submission threads", "Block map cache size", "Block map period", "Block size",
            "CPU-work threads", "Compression", "Configured write policy", "Deduplication",
            "Device mapper status", "Emulate 512 byte", "Hash zone threads",
            "Index checkpoint frequency", "Index memory setting", "Index parallel factor",
            "Index sparse", "Index status", "Logical size", "Logical threads", "Max discard size",
            "Physical size", "Physical threads", "Read cache", "Read cache size", "Slab size",
            "Storage device", "UUID", "VDO statistics"])
        self.assertEqual(volume["Block size"], 4096)
        self.assertEqual(volume["Index memory setting"], 0.25)
        self.assertEqual(volume["Emulate 512 byte"], "disabled")
        self.assertEqual(volume["Storage device"], "/dev/disk/by-id/of-a")
        for key in ("Device mapper status", "Index status", "VDO statistics"):
            self.assertEqual(volume[key], "not available")

    def test_status_of_some(self):
        self.write_conf("a", "b")
        self.assertEqual(list(self.status()["VDOs"]), ["a", "b"])
        self.assertEqual(list(self.status("--all")["VDOs"]), ["a", "b"])
        self.assertEqual(list(self.status("--name=b")["VDOs"]), ["b"])
        self.assertIn("VDO volume c not found", self.fails(7, "status", "--name=c"))

    def test_unknown_names_end_with_7(self):
        self.write_conf("a")
        for verb, *more in (["activate"], ["deactivate"], ["disableCompression"],
                            ["enableDeduplication"], ["modify"], ["remove"], ["start"], ["stop"],
                            ["growPhysical"], ["growLogical", "--vdoLogicalSize=1T"],
                            ["changeWritePolicy", "--writePolicy=sync"], ["convert", "--force"]):
            text = self.fails(7, verb, "--name=x", *more)
            self.assertEqual(text, "vdo: ERROR - VDO volume x not found\n")

    def test_a_missing_disk_keeps_a_volume_from_starting(self):
        self.write_conf("a", "b")
        text = self.fails(6, "start", "--name=a")
        self.assertTrue(text.startswith("vdo: ERROR - Could not set up device mapper for a\n"
                                        "vdo: ERROR - "), text)
        text = self.fails(6, "start", "--all")
        self.assertIn("device mapper for a", text)
        self.assertIn("device mapper for b", text, "the others are tried, too")
        self.fails(5, "growPhysical", "--name=a")
        self.fails(5, "growLogical", "--name=a", "--vdoLogicalSize=1T")
        self.fails(6, "remove", "--name=a")
        self.does("remove", "--name=a", "--force")
        self.assertEqual(self.does("list", "--all"), ["b"])

    def test_what_was_broken_off_is_only_cleared_away(self):
        self.write_conf("a")
        self.conf.write_text(self.conf.read_text().replace("finished", "beginCreate"))
        for verb in ("start", "remove"):
            self.assertIn("broken off", self.fails(5, verb, "--name=a"))
        self.fails(7, "create", "--name=a", "--device=/dev/null")
        self.does("remove", "--force", "--name=a")
        self.assertEqual(self.configuration()["vdos"], {})

    def test_growth_that_was_broken_off_is_no_reason_to_remove(self):
        self.write_conf("a")
        self.conf.write_text(self.conf.read_text().replace("finished", "beginGrowPhysical"))
        self.assertNotIn("remove", self.fails(5, "start", "--name=a"))
        self.fails(6, "remove", "--name=a")  # only because its disk is not there

    def test_a_uuid_is_that_of_one_volume(self):
        uuid = "0f0e7a5c-6a2b-4c7d-9d57-0c9a6f7a4b11"
        self.write_conf("a", "b")
        self.fails(2, "modify", "--all", f"--uuid={uuid}")
        text = self.conf.read_text()
        self.conf.write_text(text.replace("uuid: null", f"uuid: VDO-{uuid}", 1))
        self.assertIn("the volume a already", self.fails(7, "modify", "--name=b", f"--uuid={uuid}"))
        image = self.folder / "image"
        image.touch()
        self.assertIn("the volume a already", self.fails(
            7, "create", "--name=c", f"--device={image}", f"--uuid={uuid}"))

    def test_log_lines_go_to_the_log_file(self):
        self.write_conf("a")
        log = self.folder / "log"
        self.vdo("activate", "--name=a", f"--logfile={log}")
        self.vdo("start", "--name=x", f"--logfile={log}")
        self.assertRegex(log.read_text(), r"vdo\[\d+\]: INFO - Activating VDO a\n(.*\n)*"
                                          r".*vdo\[\d+\]: ERROR - VDO volume x not found\n")

    def test_verbose_shows_commands_behind_four_spaces(self):
        self.write_conf("a")
        self.assertIn("    uvdo modify a --compression=off",
                      self.does("disableCompression", "--name=a", "--verbose"))
        self.assertNotIn("uvdo", "".join(self.does("disableCompression", "--name=a")))

    def test_who_may_not_write_is_told_so(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to become somebody else")
        self.write_conf("a")
        self.folder.chmod(0o755)
        nobody = pwd.getpwnam("nobody")

        def somebody(*words):
            return run(self.programs / "vdo", *words, "--confFile", self.conf, user=nobody.pw_uid,
                       group=nobody.pw_gid, extra_groups=[], env=self.environment)
        done = somebody("start", "--all")
        self.assertEqual(done.returncode, 3)
        self.assertIn("rights of root", done.stderr)
        for verb in ("status", "printConfigFile", "version"):
            self.assertEqual(somebody(verb).returncode, 0, verb)


class Completion(Command):
    """What bash offers."""

    def completed(self, *words):
        script = pathlib.Path(__file__).parents[2] / "docs/completion/vdo"
        asked = run("bash", "-c", 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                    '_vdo; printf "%s\\n" "${COMPREPLY[@]}"', "bash", script,
                    self.programs / "vdo", *words, env=self.environment)
        self.assertEqual((asked.returncode, asked.stderr), (0, ""))
        return asked.stdout.split()

    def test_verbs_options_and_values_are_offered(self):
        self.assertEqual(set(self.completed("")), {*VERBS, "--help"})
        self.assertEqual(self.completed("dea"), ["deactivate"])
        self.assertEqual(self.completed("growLogical", "--vdo"), ["--vdoLogicalSize="])
        self.assertEqual(set(self.completed("stop", "--")), {
            "--help", "--name=", "--all", "--force", "--confFile=", "--logfile=", "--verbose"})
        self.assertEqual(self.completed("create", "--compression", "=", "d"), ["disabled"])
        self.assertEqual(self.completed("create", "--compression", "="), ["enabled", "disabled"])
        self.assertIn("async-unsafe", self.completed("changeWritePolicy", "--writePolicy", ""))

    def test_names_are_those_of_the_file_in_force(self):
        self.write_conf("alpha", "beta")
        conf = ["--confFile", self.conf]
        self.assertEqual(self.completed("stop", *conf, "--name", "="), ["alpha", "beta"])
        self.assertEqual(self.completed("stop", "-f", self.conf, "-n", "b"), ["beta"])
        self.assertEqual(self.completed("stop", "--confFile", "=", self.conf, "-n", ""),
                         ["alpha", "beta"])
        self.assertEqual(self.completed("create", *conf, "--name", ""), [])


class OnDisks(Command):
    """Loop devices for real volumes."""

    def setUp(self):
        if reason := missing():
            self.skipTest(reason)
        super().setUp()
        self.prefix = self.folder.name.replace(".", "-")
        self.loops = {}
        self.mounts = []
        self.addCleanup(self.clear_away)

    def clear_away(self):
        for place in reversed(self.mounts):
            run("umount", "--lazy", place)
        for device, image in self.loops.items():
            for volume in (device, image):
                if processes_of(volume):
                    run(UVDO, "stop", "--force", volume)
            run("losetup", "--detach", device)

    def disk(self, size="6G"):
        """A new loop device."""
        image = self.folder / f"{self.prefix}-disk{len(self.loops)}"
        run("truncate", "--size", size, image)
        device = run("losetup", "--find", "--show", image).stdout.strip()
        self.loops[device] = image
        return device

    def name(self, short):
        """Of a volume: unique on the machine."""
        return f"{self.prefix}-{short}"

    def create(self, short, *options, device=None):
        device = device or self.disk()
        lines = self.does("create", f"--name={self.name(short)}", f"--device={device}",
                          "--vdoSlabSize=128M", "--vdoLogicalSize=1G", *options)
        return device, lines

    def path(self, short):
        return pathlib.Path("/dev/mapper", self.name(short))

    def volume(self, short, *options):
        return self.status("--name", self.name(short), *options)["VDOs"][self.name(short)]

    def assert_nothing_is_left(self, short):
        self.assertFalse(self.path(short).is_symlink())
        self.assertFalse(pathlib.Path("/dev/uvdo", self.name(short)).is_symlink())
        for device in self.loops:
            self.assertTrue(wait_until(lambda device=device: not processes_of(device)))


class Volumes(OnDisks):
    """Real volumes on loop devices."""

    def test_a_life(self):
        device, lines = self.create("v")
        name = self.name("v")
        self.assertEqual(lines, [
            f"Creating VDO {name}",
            "      The VDO volume can address 3328 MB in 26 data slabs, each 128 MB.",
            "      It can grow to address at most 1 TB of physical storage in 8192 slabs.",
            "      If a larger maximum size might be needed, use bigger slabs.",
            f"Starting VDO {name}",
            f"Starting compression on VDO {name}",
            f"VDO instance 1 volume is ready at /dev/mapper/{name}"])
        self.assertTrue(self.path("v").is_block_device())
        self.assertTrue(pathlib.Path("/dev/uvdo", name).is_block_device())
        self.assertEqual(run("blockdev", "--getsize64", self.path("v")).stdout.strip(), str(1 << 30))
        self.assertEqual(run("blockdev", "--getss", self.path("v")).stdout.strip(), "4096")
        self.assertEqual(self.does("list"), [name])
        volume = self.volume("v")
        self.assertEqual(volume["Storage device"], device)
        self.assertEqual(volume["Logical size"], "1G")
        self.assertEqual(volume["Physical size"], "6G")
        self.assertEqual(volume["Slab size"], "128M")
        self.assertEqual(volume["Index status"], "online")
        self.assertRegex(volume["Device mapper status"],
                         rf"^0 2097152 vdo {device} normal - online online \d+ 1572864$")
        self.assertRegex(volume["UUID"], r"^VDO-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
        self.assertIn(volume["UUID"][4:], run("blkid", "--probe", device).stdout)
        (path, statistics), = volume["VDO statistics"].items()
        self.assertEqual(path, f"/dev/mapper/{name}")
        self.assertEqual(list(statistics), sorted(statistics))
        self.assertEqual(statistics["1K-blocks"], 6 << 20)
        self.assertIs(statistics["512 byte emulation"], False)
        self.assertEqual(statistics["operating mode"], "normal")
        self.assertEqual(len(statistics), 147)
        # It runs already: no change, and no error.
        done = self.vdo("start", f"--name={name}")
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertIn("vdo: WARNING - ", done.stderr)
        self.assertEqual(self.does("stop", f"--name={name}"), [f"Stopping VDO {name}"])
        self.assert_nothing_is_left("v")
        self.assertEqual(self.does("stop", f"--name={name}"), [])
        self.assertEqual(self.does("list"), [])
        self.assertEqual(self.does("list", "--all"), [name])
        # What uvdo lists is the same volume.
        self.assertEqual(self.does("start", "--all")[0], f"Starting VDO {name}")
        self.assertEqual(self.does("remove", f"--name={name}"),
                         [f"Removing VDO {name}", f"Stopping VDO {name}"])
        self.assert_nothing_is_left("v")
        self.assertEqual(self.does("list", "--all"), [])
        self.assertEqual(run("blkid", "--probe", device).stdout, "", "free for another")

    def test_names_and_devices_are_taken_once(self):
        device, _ = self.create("v")
        other = self.disk()
        words = ["--vdoSlabSize=128M"]
        text = self.fails(7, "create", f"--name={self.name('v')}", f"--device={other}", *words)
        self.assertIn("already exists", text)
        text = self.fails(7, "create", f"--name={self.name('w')}", f"--device={device}", "--force")
        self.assertIn("is used by VDO volume", text)
        run("mkfs.ext4", "-q", "-F", other, "1000M")
        text = self.fails(7, "create", f"--name={self.name('w')}", f"--device={other}", *words)
        self.assertIn("ext4", text)
        self.assertEqual(self.does("list", "--all"), [self.name("v")], "nothing stays of what failed")
        self.create("w", "--force", device=other)
        self.assertEqual(self.does("list"), [self.name("v"), self.name("w")])
        self.does("stop", "--all")
        self.does("remove", "--all")
        self.assertEqual(self.does("list", "--all"), [])

    def test_options_of_create_make_the_volume_what_it_is(self):
        uuid = "0f0e7a5c-6a2b-4c7d-9d57-0c9a6f7a4b11"
        device, lines = self.create("v", "--activate=disabled", "--emulate512=enabled",
                                    "--compression=disabled", "--deduplication=disabled",
                                    "--blockMapCacheSize=256M", "--blockMapPeriod=1000",
                                    f"--uuid={uuid}", "--vdoLogLevel=debug", "--indexMem=0,5")
        self.assertNotIn(f"Starting VDO {self.name('v')}", lines, "as vdo(8) says")
        info = json.loads(uvdo("info", "--json", device).stdout)
        self.assertEqual(info["uuid"], uuid)
        self.assertEqual(info["index"]["memory"], "0.5")
        self.assertEqual(info["slabs"]["blocks"], 32768)
        self.assertIn("not activated", self.fails(5, "start", f"--name={self.name('v')}"))
        self.assertEqual(self.does("start", "--all"), [])
        self.does("activate", f"--name={self.name('v')}")
        self.assertNotIn("compression", "".join(self.does("start", "--all")))
        self.assertEqual(run("blockdev", "--getss", self.path("v")).stdout.strip(), "512")
        volume = self.volume("v")
        self.assertEqual((volume["Compression"], volume["Deduplication"]), ("disabled", "disabled"))
        self.assertEqual(volume["Device mapper status"].split()[7], "offline")
        self.assertEqual(volume["Emulate 512 byte"], "enabled")
        self.assertEqual(volume["Index memory setting"], 0.5)
        statistics = volume["VDO statistics"][str(self.path("v"))]
        self.assertEqual(statistics["block map cache size"], 256 << 20)
        self.assertIs(statistics["512 byte emulation"], True)

    def test_the_default_size_is_what_surely_fits(self):
        device = self.disk("8G")
        lines = self.does("create", f"--name={self.name('v')}", f"--device={device}")
        blocks = int(re.fullmatch(r"      Logical blocks defaulted to (\d+) blocks\.", lines[1])[1])
        self.assertEqual(lines[2], "      The VDO volume can address 4 GB in 2 data slabs, each 2 GB.")
        self.assertLess(blocks * 4096, 4 << 30)
        self.assertEqual(run("blockdev", "--getsize64", self.path("v")).stdout.strip(),
                         str(blocks * 4096))

    def test_too_small_a_disk_is_no_volume(self):
        device = self.disk("1G")
        text = self.fails(6, "create", f"--name={self.name('v')}", f"--device={device}")
        self.assertIn("vdo: ERROR - vdoformat: ", text)
        self.assertEqual(self.does("list", "--all"), [])

    def test_features_change_at_once(self):
        self.create("v")
        for feature, place in (("Compression", 7), ("Deduplication", 6)):
            for verb, word in (("disable", "offline"), ("enable", "online")):
                self.does(f"{verb}{feature}", f"--name={self.name('v')}")
                volume = self.volume("v")
                self.assertEqual(volume[feature], f"{verb}d")
                self.assertEqual(volume["Device mapper status"].split()[place], word)

    def stable_of_a_write(self):
        """Of one write that nobody flushed: how many were answered only when they were stable."""
        def written():
            statistics = self.volume("v")["VDO statistics"][str(self.path("v"))]
            return statistics["bios acknowledged fua"]
        before = written()
        disk = os.open(self.path("v"), os.O_WRONLY | os.O_DIRECT)
        try:
            block = mmap.mmap(-1, 4096)
            block.write(os.urandom(4096))
            os.pwrite(disk, block, 4096 * before)
            return written() - before
        finally:
            os.close(disk)

    def test_the_policy_sync_has_every_write_stable(self):
        self.create("v")
        name = f"--name={self.name('v')}"
        self.assertEqual(self.stable_of_a_write(), 0)
        for policy, stable in (("sync", 1), ("async", 0), ("sync", 1)):
            self.does("changeWritePolicy", name, f"--writePolicy={policy}")
            volume = self.volume("v")
            self.assertEqual(volume["Configured write policy"], policy)
            self.assertEqual(volume["VDO statistics"][str(self.path("v"))]["write policy"], policy)
            self.assertEqual(self.stable_of_a_write(), stable, policy)
        self.does("stop", name)
        self.does("start", name)
        self.assertEqual(self.stable_of_a_write(), 1, "also after the next start")

    def test_modified_values_wait_for_the_next_start(self):
        self.create("v")
        name = f"--name={self.name('v')}"
        self.does("modify", name, "--blockMapCacheSize=256M", "--vdoAckThreads=3")
        self.does("modify", name, "--blockMapCacheSize=512M")
        self.assertEqual(self.volume("v")["Block map cache size"], "512M")
        pending = self.volume("v", "--pending")
        self.assertEqual(pending["Block map cache size"], "128M [512M]")
        self.assertEqual(pending["Acknowledgement threads"], "1 [3]")
        self.assertEqual(pending["Compression"], "enabled")
        self.does("modify", name, "--vdoAckThreads=1")
        self.assertEqual(self.volume("v", "--pending")["Acknowledgement threads"], 1)
        self.does("stop", name)
        self.does("start", name)
        volume = self.volume("v", "--pending")
        self.assertEqual(volume["Block map cache size"], "512M")
        statistics = volume["VDO statistics"][str(self.path("v"))]
        self.assertEqual(statistics["block map cache size"], 512 << 20)

    def test_growth(self):
        device, _ = self.create("v")
        name = f"--name={self.name('v')}"
        self.does("growLogical", name, "--vdoLogicalSize=2G")
        self.assertTrue(wait_until(lambda: run("blockdev", "--getsize64", self.path("v"))
                                   .stdout.strip() == str(2 << 30), 5))
        self.assertEqual(self.configuration()["vdos"][self.name("v")]["logicalSize"], "2G")
        for size in ("2G", "1G"):
            self.assertIn("no growth", self.fails(7, "growLogical", name, f"--vdoLogicalSize={size}"))
        text = self.fails(6, "growPhysical", name)
        self.assertTrue(text.startswith(
            f"vdo: ERROR - Device {self.name('v')} could not be changed\nvdo: ERROR - "), text)
        run("truncate", "--size", "7G", self.loops[device])
        run("losetup", "--set-capacity", device)
        self.does("growPhysical", name)
        self.assertEqual(self.volume("v")["Device mapper status"].split()[-1], str((7 << 30) // 4096))
        fields = self.configuration()["vdos"][self.name("v")]
        self.assertEqual((fields["physicalSize"], fields["_operationState"]), ("7G", "finished"))

    def test_what_is_in_use_is_not_stopped_without_force(self):
        self.create("v")
        name = f"--name={self.name('v')}"
        run("mkfs.ext4", "-q", "-E", "nodiscard", self.path("v"))
        place = self.folder / "mnt"
        place.mkdir()
        for verb in ("stop", "remove"):
            run("mount", self.path("v"), place)
            self.mounts.append(place)
            self.assertIn("mounted on", self.fails(6, verb, name))
            self.assertTrue(os.path.ismount(place))
            self.assertEqual(self.does("list"), [self.name("v")])
            self.does(verb, name, "--force")
            self.assertFalse(os.path.ismount(place))
            if verb == "stop":
                self.does("start", name)
        self.assert_nothing_is_left("v")
        self.assertEqual(self.does("list", "--all"), [])

    def test_volumes_are_imported(self):
        device, _ = self.create("v")
        uuid = self.volume("v")["UUID"]
        self.does("stop", "--all")
        # The file is lost, and so is what uvdo knew.
        self.conf.unlink()
        shutil.rmtree(self.folder / "registry")
        lines = self.does("import", f"--name={self.name('w')}", f"--device={device}",
                          "--vdoBioThreads=3")
        self.assertEqual(lines[0], f"Importing VDO {self.name('w')}")
        self.assertEqual(lines[-1], f"VDO instance 1 volume is ready at /dev/mapper/{self.name('w')}")
        volume = self.volume("w")
        self.assertEqual((volume["UUID"], volume["Logical size"], volume["Slab size"],
                          volume["Bio submission threads"]), (uuid, "1G", "128M", 3))
        self.fails(7, "import", f"--name={self.name('x')}", f"--device={device}")
        self.does("stop", "--all")
        self.does("modify", "--all", "--uuid=")
        changed = self.volume("w")["UUID"]
        self.assertNotEqual(changed, uuid)
        self.assertIn(changed[4:], run("blkid", "--probe", device).stdout)
        self.does("start", "--all")
        self.assertIn("stopped", self.fails(5, "modify", "--all", "--uuid="))
        empty = self.disk("1G")
        self.fails(6, "import", f"--name={self.name('x')}", f"--device={empty}")

    def test_a_copy_gets_a_uuid_of_its_own(self):
        device, _ = self.create("v")
        self.does("stop", "--all")
        copy = self.disk()
        run("cp", "--sparse=always", self.loops[device], self.loops[copy])
        name = self.name("copy")
        self.assertIn("already", self.fails(7, "import", f"--name={name}", f"--device={copy}"))
        self.does("import", f"--name={name}", f"--device={copy}", "--uuid=")
        self.does("start", f"--name={self.name('v')}")
        self.assertNotEqual(self.volume("v")["UUID"], self.volume("copy")["UUID"])

    def test_a_volume_is_converted_for_lvm(self):
        device, _ = self.create("v")
        name = f"--name={self.name('v')}"
        data = os.urandom(1 << 20)
        with open(self.path("v"), "r+b") as volume:
            volume.write(data)
        self.assertIn("running", self.fails(5, "convert", name, "--force"))
        self.does("stop", name)
        self.does("convert", name, "--force")
        self.assertEqual(self.does("list", "--all"), [])
        self.assertEqual(list((self.folder / "registry/volumes.d").glob("*.toml")), [])
        self.assertEqual(run("blkid", "--probe", device).stdout, "")
        # What LVM would lay over the rest: a device that begins two mebibytes later.
        shifted = run("losetup", "--find", "--show", "--offset", "2M", device).stdout.strip()
        self.addCleanup(run, "losetup", "--detach", shifted)
        checked = uvdo("check", shifted)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        found = subprocess.run([UVDO, "cat", shifted], stdout=subprocess.PIPE, check=True).stdout
        self.assertEqual(found[:len(data)], data)
        lines = self.does("import", name, f"--device={shifted}")
        self.assertIn("ready at", lines[-1])
        with open(self.path("v"), "rb") as volume:
            self.assertEqual(volume.read(len(data)), data)
        self.assertEqual(self.volume("v")["Index memory setting"], "reduced 0.25")
        self.assertTrue(wait_until(lambda: self.volume("v")["Index status"] == "online", 30))
        self.does("stop", name)
        self.assertIn("converted before", self.fails(6, "convert", name, "--force"))
        self.does("remove", name)

    def test_a_rebuild_is_only_for_read_only_volumes(self):
        self.create("v")
        self.does("stop", "--all")
        text = self.fails(5, "start", "--all", "--forceRebuild")
        self.assertIn("Could not rebuild", text)
        self.does("start", "--all")

    def test_a_file_of_the_old_command_goes_on(self):
        device, _ = self.create("v")
        self.does("stop", "--all")
        # As after an update: no named volumes yet, and no UUID in the file.
        shutil.rmtree(self.folder / "registry")
        self.conf.write_text(re.sub(r"uuid: .*", "uuid: null", self.conf.read_text()))
        self.does("start", "--all")
        self.assertEqual(self.does("list"), [self.name("v")])
        named = list((self.folder / "registry/volumes.d").glob("*.toml"))
        self.assertEqual([path.stem for path in named], [self.name("v")])
        self.assertIn(device, named[0].read_text())
        self.does("remove", "--all")

    def test_a_file_is_taken_over_whole(self):
        device, _ = self.create("v", "--compression=disabled", "--vdoBioThreads=9")
        self.does("stop", "--all")
        shutil.rmtree(self.folder / "registry")
        self.conf.write_text(re.sub(r"uuid: .*", "uuid: null", self.conf.read_text()))
        before = self.conf.read_bytes()
        adopted = run(UVDO, "adopt", "--vdoconf", self.conf, env=self.environment)
        self.assertEqual((adopted.returncode, adopted.stdout), (0, self.name("v") + "\n"),
                         adopted.stderr)
        self.assertEqual(self.conf.read_bytes(), before)
        text = (self.folder / f"registry/volumes.d/{self.name('v')}.toml").read_text()
        for line in ("compression = false", "bioThreads = 9", f'volume = "{device}"'):
            self.assertIn(line, text)
        started = run(UVDO, "start", self.name("v"), env=self.environment)
        self.assertEqual(started.returncode, 0, started.stderr)
        self.assertEqual(self.does("list"), [self.name("v")], "the old command sees it run")
        self.does("remove", "--all")
        again = run(UVDO, "adopt", "--vdoconf", self.folder / "none", env=self.environment)
        self.assertEqual(again.returncode, 1)
        self.write_conf("gone")
        refused = run(UVDO, "adopt", "--vdoconf", self.conf, "--json", env=self.environment)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("gone", json.loads(refused.stdout)["error"]["message"])

    def test_a_name_that_is_taken_in_dev_mapper_stays(self):
        link = self.path("v")
        link.parent.mkdir(exist_ok=True)
        link.symlink_to("/dev/null")
        self.addCleanup(link.unlink)
        _, lines = self.create("v")
        self.assertTrue(lines[-1].endswith(f" is ready at /dev/uvdo/{self.name('v')}"), lines)
        self.does("remove", "--all")
        self.assertEqual(os.readlink(link), "/dev/null")

    def test_without_the_rights_of_root(self):
        """More than the old command could: on files, with a file of one's own."""
        if shutil.which("fusermount3") is None:
            self.skipTest("there is no fusermount3")
        nobody = pwd.getpwnam("nobody")
        image = self.folder / "image"
        run("truncate", "--size", "6G", image)
        os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        os.chown(image, nobody.pw_uid, nobody.pw_gid)
        environment = dict(self.environment, HOME=str(self.folder),
                           XDG_RUNTIME_DIR=str(self.folder))

        def somebody(verb, *options):
            return run(self.programs / "vdo", verb, *options, "--confFile", self.conf,
                       user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], env=environment,
                       cwd=self.folder)
        self.addCleanup(lambda: processes_of(image) and run(UVDO, "stop", "--force", image))
        done = somebody("create", f"--name={self.name('u')}", f"--device={image}",
                        "--vdoSlabSize=128M", "--vdoLogicalSize=1G")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        path = pathlib.Path(done.stdout.split()[-1])
        self.assertEqual(somebody("list").stdout, f"{self.name('u')}\n")
        done = somebody("remove", "--all")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertFalse(path.exists())


class Identity(OnDisks):
    """Names and paths may be those of another volume by now: the UUID tells."""

    def toml(self, short):
        return self.folder / f"registry/volumes.d/{self.name(short)}.toml"

    def uuid_on(self, device):
        return run("blkid", "--probe", "--output", "value", "--match-tag", "UUID",
                   device).stdout.strip()

    def uvdo(self, *words):
        done = run(UVDO, *words, env=self.environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def other_volume(self):
        device = self.disk()
        self.uvdo("format", "--slab-size=128M", "--logical-size=1G", device)
        return device

    def test_another_volume_of_that_name_is_left_alone(self):
        device, _ = self.create("v")
        self.does("stop", "--all")
        uuid = self.uuid_on(device)
        shutil.rmtree(self.folder / "registry")
        other = self.other_volume()
        self.uvdo("adopt", self.name("v"), other)
        self.uvdo("start", self.name("v"))
        name = f"--name={self.name('v')}"
        before = self.toml("v").read_text()
        for known in (uuid, None):  # also where the file does not tell the UUID
            if known is None:
                self.conf.write_text(re.sub(r"uuid: .*", "uuid: null", self.conf.read_text()))
            self.assertEqual(self.does("list"), [])
            self.assertEqual(self.does("stop", name), [])
            self.assertIn("another volume", self.fails(6, "start", name))
            self.does("enableCompression", name)
            self.does("deactivate", name)
            self.does("activate", name)
        self.assertIn("left as they are", self.vdo("remove", name).stderr)
        self.assertEqual(self.does("list", "--all"), [])
        self.assertTrue(processes_of(other))
        self.assertEqual(self.toml("v").read_text(), before)
        self.assertEqual(self.uuid_on(device), uuid)
        self.assertNotEqual(self.uuid_on(other), "")

    def test_another_volume_at_its_place_is_left_alone(self):
        device, _ = self.create("v")
        self.does("stop", "--all")
        other = self.other_volume()
        uuid = self.uuid_on(other)
        name = f"--name={self.name('v')}"
        run("cp", "--sparse=always", self.loops[other], self.loops[device])
        run("blockdev", "--flushbufs", device)
        run("losetup", "--detach", other)
        self.uvdo("serve", device, "--fork", "--log-file", self.folder / "log",
                  "--nbd", f"unix:{self.folder}/nbd")
        self.addCleanup(run, UVDO, "stop", device)
        for is_registered in (True, False):
            if not is_registered:
                shutil.rmtree(self.folder / "registry")
            self.assertEqual(self.does("list"), [])
            self.assertEqual(self.does("stop", name, "--force"), [])
            self.fails(6, "start", name, "--forceRebuild")
            self.fails(6, "modify", name, "--uuid=")
            self.fails(6, "convert", name, "--force")
            self.fails(5, "growPhysical", name)
        self.does("remove", name, "--force")
        self.assertTrue(processes_of(device))
        self.assertEqual(self.uuid_on(device), uuid)

    def test_growth_that_was_broken_off_is_ended(self):
        self.create("v")
        name = f"--name={self.name('v')}"
        whole = self.conf.read_text()
        broken = whole.replace("finished", "beginGrowLogical").replace("logicalSize: 1G",
                                                                       "logicalSize: 512M")
        for verb in ("stop", "start"):
            self.conf.write_text(broken)
            self.does(verb, name)
        self.assertEqual(self.conf.read_text(), whole)
        self.conf.write_text(broken)
        self.does("growLogical", name, "--vdoLogicalSize=2G")
        self.assertEqual(self.conf.read_text(), whole.replace("logicalSize: 1G", "logicalSize: 2G"))

    def test_a_change_of_the_uuid_that_was_broken_off_is_ended(self):
        device, _ = self.create("v")
        self.does("stop", "--all")
        name = f"--name={self.name('v')}"
        old = self.uuid_on(device)
        before = (self.conf.read_text(), self.toml("v").read_text())
        self.does("modify", name, "--uuid=")
        new = self.uuid_on(device)
        self.assertNotEqual(new, old)
        after = (self.conf.read_text(), self.toml("v").read_text())
        self.assertNotIn("next-uuid", after[1])
        for conf in (before[0], after[0]):  # before the file was written, and behind that
            self.conf.write_text(conf)
            self.toml("v").write_text(before[1] + f'next-uuid = "{new}"\n')
            self.does("start", name)
            self.does("stop", name)
            self.assertIn(f"uuid: VDO-{new}", self.conf.read_text())
            self.assertEqual(self.toml("v").read_text(), after[1])
        # Nothing was written to the disk yet.
        self.toml("v").write_text(after[1] + f'next-uuid = "{old}"\n')
        self.does("start", name)
        self.assertEqual((self.conf.read_text(), self.toml("v").read_text()), after)

    def test_what_has_a_name_is_not_imported(self):
        device, _ = self.create("v")
        self.does("stop", "--all")
        uuid = self.uuid_on(device)
        self.conf.unlink()
        for short, options in (("w", ["--uuid="]), ("w", []), ("v", ["--uuid="])):
            self.assertIn("already", self.fails(7, "import", f"--name={self.name(short)}",
                                                f"--device={device}", *options))
            self.assertEqual(self.uuid_on(device), uuid)
        other = self.other_volume()
        of_other = self.uuid_on(other)
        self.assertIn("already", self.fails(7, "import", f"--name={self.name('v')}",
                                            f"--device={other}", "--uuid="))
        self.assertIn("already", self.fails(7, "import", f"--name={self.name('w')}",
                                            f"--device={other}", f"--uuid={uuid}"))
        self.assertEqual(self.uuid_on(other), of_other)
        self.does("import", f"--name={self.name('v')}", f"--device={device}")

    def test_a_volume_with_another_name_is_told_by_it(self):
        device, _ = self.create("v")
        self.does("stop", "--all")
        shutil.rmtree(self.folder / "registry")
        self.uvdo("adopt", self.name("w"), device)
        name = f"--name={self.name('v')}"
        self.assertIn(f"is the volume \"{self.name('w')}\" of uvdo", self.fails(6, "start", name))
        self.uvdo("start", self.name("w"))
        self.assertEqual(self.does("list"), [self.name("v")])
        self.uvdo("remove", "--keep", self.name("w"))
        self.does("start", name)

    def test_names_of_devices_are_the_users(self):
        self.create("v")
        name = f"--name={self.name('v')}"
        other = self.name("other")
        text = self.toml("v").read_text()
        self.toml("v").write_text(text.replace(f'mapper-name = "{self.name("v")}"',
                                               f'mapper-name = "{other}"'))
        self.does("disableCompression", name)
        self.does("stop", name)
        self.assertTrue(self.does("start", name)[-1].endswith(f" is ready at /dev/mapper/{other}"))
        for words in ([other], [f"/dev/mapper/{other}"], []):
            told = run(self.programs / "vdostats", *words, env=self.environment)
            self.assertEqual((told.returncode, told.stderr), (0, ""))
            self.assertIn(other, told.stdout)


class Scripts(OnDisks):
    """Scripts as people have them, with an /etc of their own: unchanged, they name no file."""

    def script(self, name, *words):
        etc = self.folder / "etc"
        if not etc.exists():
            shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
            shutil.rmtree(etc / "uvdo", ignore_errors=True)
            (etc / "vdoconf.yml").unlink(missing_ok=True)
        environment = {key: value for key, value in self.environment.items()
                       if key != "UVDO_CONFIG_DIR"}
        return run("unshare", "--mount", "--propagation", "private", "bash", "-c",
                   'mount --bind "$1" /etc && shift && exec "$@"', "-", etc, SCRIPTS / name, *words,
                   env=environment)

    def test_provision(self):
        device = self.disk("8G")
        done = self.script("rhel7_provision.sh", device, self.name("backup"), self.folder / "mnt")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("provisioned, grown and removed", done.stdout)
        self.assert_nothing_is_left("backup")

    def test_tune(self):
        device = self.disk("8G")
        done = self.script("rhel8_tune.sh", device, self.name("tuned"), self.loops[device])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("tuned and removed", done.stdout)
        self.assert_nothing_is_left("tuned")

    def ansible(self, *words):
        done = self.script("ansible_style.py", f"name={self.name('a')}", *words)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_ansible(self):
        device = self.disk("8G")
        words = ["state=present", f"device={device}", "logicalsize=2T", "slabsize=128M",
                 "blockmapcachesize=256M", "indexmem=0.25", "indexmode=dense", "ackthreads=2",
                 "biothreads=5", "cputhreads=3", "logicalthreads=2", "physicalthreads=2",
                 "compression=enabled", "deduplication=enabled", "writepolicy=auto",
                 "emulate512=enabled"]
        self.assertTrue(self.ansible(*words)["changed"])
        self.assertTrue(self.path("a").is_block_device())
        self.assertEqual(self.ansible(*words), {"changed": False, "commands": []})
        words = [word.replace("biothreads=5", "biothreads=6").replace("=2T", "=3t")
                 .replace("compression=enabled", "compression=disabled")
                 .replace("=auto", "=async") for word in words]
        self.assertEqual([each.split()[0] for each in self.ansible(*words)["commands"]],
                         ["modify", "disableCompression", "changeWritePolicy", "growLogical"])
        self.assertFalse(self.ansible(*words)["changed"])
        run("truncate", "--size", "9G", self.loops[device])
        run("losetup", "--set-capacity", device)
        self.assertTrue(self.ansible("growphysical=yes")["changed"])
        changed = self.ansible("running=no", "activated=no")
        self.assertEqual([each.split()[0] for each in changed["commands"]], ["deactivate", "stop"])
        self.assertFalse(self.path("a").exists())
        changed = self.ansible("running=yes", "activated=yes")
        self.assertEqual([each.split()[0] for each in changed["commands"]], ["activate", "start"])
        self.assertTrue(self.ansible("state=absent", "force=yes")["changed"])
        self.assertFalse(self.ansible("state=absent")["changed"])
        self.assert_nothing_is_left("a")


if __name__ == "__main__":
    unittest.main(verbosity=2)
