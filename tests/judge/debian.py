# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetches Debian packages for tests without installing or changing anything on the machine.

apt gets a configuration of its own in a folder: `Packages(folder)` knows the packages of bookworm and
bookworm-backports, from the mirror that this machine uses.
"""
import glob
import os
import pathlib
import re
import subprocess

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
BACKPORTS = "bookworm-backports"


def mirror():
    """The Debian mirror that this machine uses, or None."""
    files = ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]
    for name in files:
        try:
            text = pathlib.Path(name).read_text()
        except OSError:
            continue
        if name.endswith(".sources"):
            for stanza in re.split(r"\n\s*\n", text):
                suites = re.search(r"^Suites:(.*)$", stanza, re.M)
                uris = re.search(r"^URIs:\s*(\S+)", stanza, re.M)
                if suites and uris and "bookworm" in suites[1].split():
                    return uris[1]
        else:
            found = re.search(r"^deb\s+(?:\[[^]]*\]\s*)?(\S+)\s+bookworm\s", text, re.M)
            if found:
                return found[1]
    return None


class Packages:
    """apt for one folder; `suites` are the ones to look in."""

    def __init__(self, folder, suites=(BACKPORTS,)):
        source = mirror()
        if source is None:
            raise RuntimeError("no Debian mirror in /etc/apt")
        self.apt = pathlib.Path(folder).absolute() / "apt"
        for part in ("lists/partial", "cache/archives/partial", "state"):
            (self.apt / part).mkdir(parents=True, exist_ok=True)
        (self.apt / "sources.list").write_text("".join(
            f"deb [signed-by={KEYRING}] {source} {suite} main\n" for suite in suites))
        (self.apt / "status").touch()
        self._run("apt-get", "update")

    def _run(self, *command):
        options = {
            "Dir::Etc::sourcelist": self.apt / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State": self.apt / "state",
            "Dir::State::status": self.apt / "status",
            "Dir::State::lists": self.apt / "lists",
            "Dir::Cache": self.apt / "cache",
            "APT::Get::List-Cleanup": "0",
            "APT::Sandbox::User": "",
            "Acquire::Retries": "2",
            "Acquire::Languages": "none",
        }
        words = [command[0], "-q"]
        for key, value in options.items():
            words += ["-o", f"{key}={value}"]
        done = subprocess.run([*words, *command[1:]], cwd=self.apt, check=True, timeout=600,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.stdout.decode(errors="replace")

    def names(self, prefix):
        """Names of the packages that begin with `prefix`."""
        return self._run("apt-cache", "pkgnames", prefix).split()

    def unpack(self, packages, root):
        """Downloads packages (NAME or NAME/SUITE) and unpacks them all into the folder `root`;
        returns the names of their files, which hold the versions."""
        for old in self.apt.glob("*.deb"):
            old.unlink()
        self._run("apt-get", "download", *packages)
        found = sorted(self.apt.glob("*.deb"))
        for package in found:
            subprocess.run(["dpkg-deb", "-x", package, root], check=True)
        for package in found:
            os.unlink(package)
        return [package.name for package in found]
