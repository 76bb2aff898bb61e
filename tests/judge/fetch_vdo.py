#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetches Debian's package vdo (vdoformat, vdoaudit, ...) as a referee for tests.

  fetch_vdo.py DIRECTORY      unpacks it there and prints the folder of the programs

The package is of bookworm-backports, which a fresh machine does not use: apt gets a configuration
of its own under DIRECTORY, and nothing is installed or changed outside of it. A second call finds
the programs and does nothing. Exit status 2: it cannot be had (no network, no mirror).

As a module: programs(directory) returns the folder, or None if it cannot be had.
"""
import fcntl
import glob
import os
import pathlib
import re
import subprocess
import sys

PACKAGE, SUITE = "vdo", "bookworm-backports"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
RETRY_AFTER_SECONDS = 600


def mirror():
    """The Debian mirror that this machine uses."""
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


def fetch(directory):
    source = mirror()
    if source is None:
        raise RuntimeError("no Debian mirror in /etc/apt")
    apt = directory / "apt"
    for part in ("lists/partial", "cache/archives/partial", "state"):
        (apt / part).mkdir(parents=True, exist_ok=True)
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {source} {SUITE} main\n")
    (apt / "status").touch()
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Get::List-Cleanup": "0",
        "APT::Sandbox::User": "",
        "Acquire::Retries": "2",
        "Acquire::Languages": "none",
    }
    command = ["apt-get", "-q"]
    for key, value in options.items():
        command += ["-o", f"{key}={value}"]
    for step in (["update"], ["download", f"{PACKAGE}/{SUITE}"]):
        subprocess.run(command + step, cwd=apt, check=True, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=300)
    package = max(apt.glob(f"{PACKAGE}_*.deb"), key=os.path.getmtime)
    subprocess.run(["dpkg-deb", "-x", package, directory / "root"], check=True)


def programs(directory):
    """The folder with vdoformat, vdoaudit and the others, fetched if need be; None if not."""
    directory = pathlib.Path(directory).absolute()
    found, failed = directory / "root/usr/bin", directory / "failed"
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "lock", "w") as lock:     # suites that run side by side share it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (found / "vdoaudit").exists():
            return found
        try:
            age = os.path.getmtime(lock.name) - os.path.getmtime(failed)
            if age < RETRY_AFTER_SECONDS:
                return None
        except OSError:
            pass
        try:
            fetch(directory)
            failed.unlink(missing_ok=True)
        except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as problem:
            output = getattr(problem, "stdout", None) or b""
            print(f"fetch_vdo: {problem}\n{output.decode(errors='replace')}", file=sys.stderr)
            failed.touch()
            return None
    return found if (found / "vdoaudit").exists() else None


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 1
    found = programs(sys.argv[1])
    if found is None:
        return 2
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
