#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Units, rules and completion as they are installed: systemd and zsh themselves judge them.

Environment: UVDO (the program), UVDO_UNITS (the folder of the build's units), UVDO_SOURCES, UVDO_VERSION.
"""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

PROGRAM = pathlib.Path(os.environ["UVDO"])
UNITS = pathlib.Path(os.environ["UVDO_UNITS"])
SOURCES = pathlib.Path(os.environ["UVDO_SOURCES"])
VOLUMES = {"my-archive": "/var/lib/my archive.vdo", "on_disk": "/dev/disk/by-id/ata-x", "a+b": "/srv/a.vdo"}
MOST_EXPOSED = 3.0


def run(*command, **options):
    return subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, **options)


class Services(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-services."))
        self.addCleanup(shutil.rmtree, self.folder)
        self.units = self.folder / "units"
        shutil.copytree(UNITS, self.units)
        # systemd looks whether the program is there.
        for unit in self.units.glob("*.service"):
            unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={PROGRAM}", unit.read_text(), flags=re.M))

    def generate(self):
        volumes = self.folder / "etc/volumes.d"
        volumes.mkdir(parents=True)
        for number, (name, storage) in enumerate(VOLUMES.items()):
            (volumes / f"{name}.toml").write_text(
                f'uuid = "00000000-0000-0000-0000-00000000000{number}"\nvolume = "{storage}"\nactivate = true\n'
                '[serve]\nattach = ["auto"]\n')
        link = self.folder / "uvdo-generator"
        link.symlink_to(PROGRAM)
        result = run(link, self.units, self.units, self.units,
                     env={**os.environ, "UVDO_CONFIG_DIR": str(self.folder / "etc")})
        self.assertEqual((result.returncode, result.stdout), (0, ""))

    def verify(self, *units):
        result = run("systemd-analyze", "verify", "--man=no", *units,
                     env={**os.environ, "SYSTEMD_UNIT_PATH": f"{self.units}:"})
        # What others' units on this machine lack is not ours.
        said = [line for line in result.stdout.splitlines() if "uvdo" in line]
        self.assertEqual(said, [])
        return result

    def test_units_are_right(self):
        result = self.verify("uvdo@x.service", "uvdo-nbd@x.service", "uvdo-nbd@x.socket", "uvdo.target", "uvdo-standby@x.service",
                             "uvdo-disk@x.target")
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_units_of_volumes_are_right(self):
        self.generate()
        self.verify("uvdo@my-archive.service", "uvdo@on_disk.service", r"uvdo@a\x2bb.service", "uvdo.target")

    def test_a_wrong_unit_is_noticed(self):
        unit = self.units / "uvdo@.service"
        unit.write_text(unit.read_text().replace("Restart=", "Restrt="))
        with self.assertRaises(AssertionError):
            self.verify("uvdo@x.service")

    def test_the_server_of_files_is_exposed_little(self):
        unit = self.folder / "uvdo-nbd@x.service"
        shutil.copy(UNITS / "uvdo-nbd@.service", unit)
        result = run("systemd-analyze", "security", "--offline=true", unit)
        level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
        self.assertIsNotNone(level, result.stdout)
        self.assertLessEqual(float(level[1]), MOST_EXPOSED)

    def test_rules_are_of_the_form_that_udev_reads(self):
        """Debian 12's udevadm has no "verify"; that they do what they should the boot test shows."""
        for rules in ("60-uvdo.rules", "90-uvdo.rules"):
            for line in (SOURCES / "systemd" / rules).read_text().splitlines():
                if not line or line.startswith("#"):
                    continue
                for part in re.findall(r'(?:[^,"]|"[^"]*")+', line):
                    self.assertRegex(part.strip(), r'^[A-Z_]+(\{[^}]+\})?(==|!=|\+=|=)"[^"]*"$', line)


class Packages(unittest.TestCase):
    """What packages do with servers that run, with programs in the place of uvdo and systemctl that note what
    they are told."""

    LIST = """[
  {
    "volume": "/srv/a b",
    "pid": 4194305,
    "control": "/run/uvdo/a.control",
    "devices": [
      {
        "path": "/dev/ublkb0"
      }
    ]
  },
  {
    "volume": "/srv/c",
    "name": "c+d",
    "pid": 4194306,
    "control": "/run/uvdo/c.control"
  }
]
"""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-services."))
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "list").write_text(self.LIST)
        uvdo = self.folder / "uvdo"
        uvdo.write_text(f"""#!/bin/sh
[ "$1" != list ] || exec cat {self.folder}/list
echo "$*" >>{self.folder}/told
case $* in *$REFUSED*) echo "{self.folder} is in use"; exit 1;; *$SLOW*) sleep 60;; esac
""")
        systemctl = self.folder / "systemctl"
        systemctl.write_text(f"""#!/bin/sh
case $1 in
  list-units) for unit in $UNITS; do case $* in *"${{unit%%@*}}@"*) echo "$unit loaded active running";; esac; done;;
  restart) echo "restart $2" >>{self.folder}/told;;
esac
""")
        for program in (uvdo, systemctl):
            program.chmod(0o755)

    def run_script(self, name, refused="nothing", slow="nothing", **environment):
        result = run(SOURCES / "packaging" / name,
                     env={**os.environ, **environment, "PATH": f"{self.folder}:{os.environ['PATH']}", "REFUSED": refused,
                          "SLOW": slow, "UVDO_UPGRADE_PATIENCE": "1"})
        return result, (self.folder / "told").read_text().splitlines()

    def test_an_upgrade_takes_all_servers_along_but_those_that_refuse(self):
        result, told = self.run_script("upgrade-servers", refused="a.control")
        self.assertEqual(told, ["upgrade --control /run/uvdo/a.control -- /srv/a b",
                                "upgrade --control /run/uvdo/c.control -- /srv/c"])
        self.assertEqual(result.returncode, 0)
        self.assertIn("The server of /srv/a b goes on with the old program", result.stdout)
        self.assertNotIn("/srv/c", result.stdout)

    def test_a_slow_server_keeps_no_other_from_it(self):
        result, told = self.run_script("upgrade-servers", slow="a.control")
        self.assertEqual(len(told), 2)
        self.assertIn("The server of /srv/a b goes on", result.stdout)

    def test_a_server_that_others_stand_by_for_is_stopped_in_order(self):
        group = self.folder / "proc/4194305/cgroup"
        group.parent.mkdir(parents=True)
        group.write_text("0::/system.slice/system-uvdo.slice/uvdo-standby@a.service\n")
        result, told = self.run_script("upgrade-servers", UVDO_UPGRADE_PROC=f"{self.folder}/proc",
                                       UVDO_UPGRADE_SYSTEMD=str(self.folder),
                                       UNITS="uvdo-nbd@n.service uvdo-standby@a.service uvdo@c.service")
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        self.assertEqual(told, ["restart uvdo-nbd@n.service", "restart uvdo-standby@a.service",
                                "upgrade --control /run/uvdo/c.control -- /srv/c"])

    def test_a_removal_ends_all_servers(self):
        result, told = self.run_script("stop-servers")
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        self.assertEqual(told, ["stop --control /run/uvdo/a.control -- /srv/a b",
                                "stop --control /run/uvdo/c.control -- /srv/c"])

    def test_a_removal_is_refused_in_use(self):
        result, told = self.run_script("stop-servers", refused="c.control")
        self.assertEqual(result.returncode, 1)
        self.assertIn("is in use", result.stdout)

    def test_units_are_made_for_where_they_go(self):
        """What make would do: the place counts when the units are made."""
        said = run("make", "-n", "-C", SOURCES, "install", "PREFIX=/usr").stdout
        self.assertIn("-DCMAKE_INSTALL_PREFIX=/usr ", said)
        self.assertNotIn("--prefix", said)

    def test_packages_need_no_build_before(self):
        lines = run("make", "-n", "-C", SOURCES, "deb").stdout.splitlines()
        self.assertLess(lines.index("mkdir -p build"), [i for i, line in enumerate(lines) if "deb.log" in line][0])


class Watchdog(unittest.TestCase):
    def test_a_server_says_that_all_goes_on(self):
        """As systemd hears it: ready once, and a sign of life each quarter of the time."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-services."))
        self.addCleanup(shutil.rmtree, folder)
        made = run(PROGRAM, "format", folder / "v", "--size", "3200M", "--slab-size", "32M", "--logical-size", "64M")
        self.assertEqual(made.returncode, 0, made.stdout)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(folder / "notify"))
            manager.settimeout(60)
            server = subprocess.Popen(
                [PROGRAM, "serve", folder / "v", "--nbd", f"unix:{folder}/nbd", "--control", folder / "control",
                 "--cache", "16M", "--keep-writes", "off"], stdout=subprocess.DEVNULL,
                env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "4000000"})
            self.addCleanup(server.wait)
            self.addCleanup(server.terminate)
            said = []
            while said.count("WATCHDOG=1") < 3:
                said.append(manager.recv(4096).decode().split("\n")[0])
        self.assertEqual(said.count("READY=1"), 1, said)


class Version(unittest.TestCase):
    def test_the_package_has_that_of_the_program(self):
        version = os.environ["UVDO_VERSION"]
        self.assertIn(version, run(PROGRAM, "--version").stdout)
        changelog = (SOURCES / "debian/changelog").read_text()
        self.assertEqual(re.match(r"uvdo \(([^)]+)\)", changelog)[1], version)
        spec = (SOURCES / "packaging/uvdo.spec").read_text()
        self.assertEqual(re.search(r"^Version:\s+(\S+)", spec, re.M)[1], version)


    @unittest.skipUnless(shutil.which("rpmlint"), "no rpmlint")
    def test_rpmlint_accepts_the_spec(self):
        result = run("rpmlint", SOURCES / "packaging/uvdo.spec")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn(" 0 errors", result.stdout)


@unittest.skipUnless(shutil.which("zsh"), "no zsh")
class Completion(unittest.TestCase):
    def test_zsh_reads_it(self):
        result = run("zsh", "-n", SOURCES / "docs/completion/_uvdo")
        self.assertEqual((result.returncode, result.stdout), (0, ""))

    def test_zsh_completes_commands_and_options(self):
        """The shell in a terminal of its own, as somebody who presses the tabulator sees it."""
        for typed, wanted in (("uvdo stat", "status"), ("uvdo serve --no-space", "--no-space-timeout")):
            script = f"""
              zmodload zsh/zpty
              zpty shell "PS1='>' TERM=dumb zsh -f -i"
              zpty -w shell "PATH={PROGRAM.parent}:$PATH; fpath=({SOURCES}/docs/completion $fpath); autoload -Uz compinit; compinit -u -D; echo rea''dy"
              zpty -r shell output '*ready*'
              zpty -n -w shell "{typed}"$'\\t'
              sleep 0.5
              for i in {{1..60}}; do
                zpty -r -t shell part && output+=$part || sleep 0.1
                [[ $output == *'{wanted}'* ]] && break
              done
              print -r -- $output
            """
            with self.subTest(typed):
                self.assertIn(wanted, run("zsh", "-f", "-c", script, timeout=60).stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
