#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetches Debian's package vdo (vdoformat, vdoaudit, ...) as a referee for tests.

  fetch_vdo.py DIRECTORY      unpacks it there and prints the folder of the programs

The package is of bookworm-backports, which a fresh machine does not use: nothing is installed or
changed outside of DIRECTORY (debian.py). A second call finds the programs and does nothing. Exit
status 2: it cannot be had (no network, no mirror).

As a module: programs(directory) returns the folder, or None if it cannot be had.
"""
import fcntl
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import debian  # noqa: E402

RETRY_AFTER_SECONDS = 600


def fetch(directory):
    found = debian.Packages(directory)
    found.unpack([f"vdo/{debian.BACKPORTS}"], directory / "root")


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
