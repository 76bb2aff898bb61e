# SPDX-License-Identifier: GPL-2.0-or-later
"""What benchmarks share that measure several ways in turns, with programs that serve them."""
import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import time


def call(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE,
                          text=True, **options).stdout.strip()


def wait_for(path):
    for _ in range(1500):
        if os.path.exists(path):
            return
        time.sleep(0.01)
    raise RuntimeError(f"{path} did not come")


def fio_job(*options):
    """What fio's only job reports."""
    report = call("fio", "--name=m", "--output-format=json", "--scramble_buffers=0", *options)
    return json.loads(report[report.index("{"):])["jobs"][0]


@contextlib.contextmanager
def program(*command):
    """A server, with its output to be read."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def processor_time(processes):
    """Microseconds that they have taken, in all their threads."""
    ticks = 0
    for process in processes:
        fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1e6 / os.sysconf("SC_CLK_TCK")


def turned(ways, number):
    """Each is first, and behind each other one, as often as the others."""
    number %= 2 * len(ways)
    if number >= len(ways):
        ways = ways[::-1]
    return ways[number % len(ways):] + ways[:number % len(ways)]


def ratio_text(ours, theirs):
    """The median of the ratios of neighbouring runs, and the range they span."""
    values = [mine / its for mine, its in zip(ours, theirs)]
    return f"{statistics.median(values):.2f} ({min(values):.2f}..{max(values):.2f})"
