# SPDX-License-Identifier: GPL-2.0-or-later
"""PostgreSQL in a place, with pgbench at work while the place loses its server. What is demanded:
every commit that a client was told of is there, the sums of pgbench agree, pg_amcheck and the data
checksums find nothing."""
import glob
import pathlib
import pwd
import subprocess
import time

from places import Broken, must, run, wait_until

CLIENTS = 4
# One number for each client, raised by one in each of its transactions.
COUNT = "UPDATE counts SET n = n + 1 WHERE client = :client_id;\n"
SUMS = ("SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches),"
        " (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)")


def programs():
    """The folder of PostgreSQL's programs; None if it is not installed."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    return pathlib.Path(found[-1]) if found else None


class Database:
    def __init__(self, place):
        self.place, self.programs = place, programs()
        self.data = place.mount / "data"
        self.sockets = place.folder / "sockets"
        self.logs = place.folder / "logs"
        self.user = pwd.getpwnam("postgres")
        self.process = None
        self.acknowledged = [0] * CLIENTS

    def command(self, program, *arguments):
        return ["setpriv", f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups",
                str(self.programs / program), *map(str, arguments)]

    def must(self, program, *arguments, **options):
        return must(*self.command(program, *arguments), cwd=self.logs, **options)

    def client(self, *arguments):
        return ["-h", self.sockets, "-U", "postgres", *arguments]

    def ask(self, question):
        return self.must("psql", *self.client("-AtX", "-d", "postgres", "-c", question)).strip()

    def create(self, scale):
        for folder in (self.data, self.sockets, self.logs):
            folder.mkdir()
            must("chown", "postgres:", folder)
        self.data.chmod(0o700)
        self.must("initdb", "-D", self.data, "--data-checksums", "--auth=trust", "-U", "postgres")
        self.start()
        self.must("pgbench", *self.client("-i", "-q", "-s", scale, "postgres"))
        self.ask("CREATE TABLE counts (client int PRIMARY KEY, n bigint NOT NULL); "
                 f"INSERT INTO counts SELECT c, 0 FROM generate_series(0, {CLIENTS - 1}) AS c")
        (self.logs / "count.sql").write_text(COUNT)

    def start(self):
        with open(self.logs / "postgres.log", "a") as log:
            self.process = subprocess.Popen(
                self.command("postgres", "-D", self.data, "-k", self.sockets, "-c",
                             "listen_addresses=", "-c", "checkpoint_timeout=30s", "-c",
                             "shared_buffers=32MB", "-c", "max_wal_size=64MB", "-c", "min_wal_size=32MB"),
                stdout=log, stderr=subprocess.STDOUT, cwd=self.logs)
        ready = self.command("pg_isready", "-q", "-h", self.sockets)
        if not wait_until(lambda: self.process.poll() is not None or run(*ready).returncode == 0, 120):
            raise Broken("PostgreSQL does not become ready")
        if self.process.poll() is not None:
            raise Broken("PostgreSQL does not start: " +
                         "; ".join((self.logs / "postgres.log").read_text().splitlines()[-5:]))

    def stop(self):
        self.process.terminate()  # smart: nobody is connected
        self.process.wait(120)

    def quit_at_once(self):
        """As when the machine loses its power, as far as PostgreSQL is concerned."""
        if self.process and self.process.poll() is None:
            children = must("ps", "-o", "pid=", "--ppid", self.process.pid).split()
            self.process.kill()
            self.process.wait(60)
            for child in children:
                run("kill", "-KILL", child)
            if not wait_until(lambda: not any(pathlib.Path("/proc", child).exists()
                                              for child in children), 60):
                raise Broken("processes of PostgreSQL do not end")

    def work(self, seconds):
        """Clients at work, in the background."""
        for log in self.logs.glob("transactions*"):
            log.unlink()
        return subprocess.Popen(
            self.command("pgbench", *self.client(
                "-n", "-c", CLIENTS, "-j", 2, "-T", seconds, "-l", f"--log-prefix={self.logs}/transactions",
                "-b", "tpcb-like@3", "-f", f"{self.logs}/count.sql@7", "postgres")),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.logs)

    def read_acknowledged(self):
        """Counts the commits of count.sql that clients were told of; the number of all commits."""
        commits = 0
        for log in self.logs.glob("transactions*"):
            for line in log.read_text().splitlines():
                fields = line.split()
                commits += 1
                if fields[3] == "1":
                    self.acknowledged[int(fields[0])] += 1
        return commits

    def examine(self):
        """What is wrong with the database, which runs."""
        failures = []
        for line in self.ask("SELECT client, n FROM counts ORDER BY client").splitlines():
            client, count = map(int, line.split("|"))
            told = self.acknowledged[client]
            # The last one may have been committed with nobody left to be told.
            if count < told:
                failures.append(f"client {client} was told of {told} commits, and {count} are there")
            self.acknowledged[client] = count
        sums = set(self.ask(SUMS).split("|"))
        if len(sums) != 1:
            failures.append(f"the sums of pgbench differ: {sorted(sums)}")
        checked = run(*self.command("pg_amcheck", *self.client(
            "--install-missing", "--heapallindexed", "--parent-check", "-d", "postgres")), cwd=self.logs)
        if checked.returncode != 0 or checked.stdout.strip():
            failures.append(f"pg_amcheck: {(checked.stdout + checked.stderr).strip()}")
        return failures

    def examine_checksums(self):
        """The same of the data files; the database is stopped."""
        checked = run(*self.command("pg_checksums", "--check", "-D", self.data), cwd=self.logs)
        return [] if checked.returncode == 0 else [f"pg_checksums: {checked.stderr.strip()}"]


def killed_under_it(place, rounds, seconds, note):
    """pgbench with the place's server killed in each round. `note` is told what became of it."""
    database, failures, commits, lived_on = Database(place), [], 0, 0
    database.create(2)
    try:
        for number in range(rounds):
            clients = database.work(seconds)
            time.sleep(seconds * (0.3 + 0.5 * number / max(rounds, 1)))
            if clients.poll() is not None:
                return failures + [f"pgbench has ended by itself: {clients.communicate()[1].strip()}"]
            place.kill()
            lives_on = place.come_back()
            if not lives_on or place.name == "raw":
                database.quit_at_once()
            said = clients.communicate(timeout=120)[1]
            commits += database.read_acknowledged()
            if lives_on and place.name != "raw":
                lived_on += 1
                if clients.returncode != 0:
                    failures.append(f"pgbench on a device that goes on: {said.strip()}")
            else:
                # The machine goes on with what the device holds, as after a power cut.
                place.unmount()
                place.mount_it()
                database.start()
            failures += database.examine()
        database.stop()
        failures += database.examine_checksums()
    finally:
        database.quit_at_once()
    note(f"{commits} commits; the device went on in {lived_on} of {rounds} kills"
         if place.name != "raw" else f"{commits} commits; PostgreSQL itself was killed {rounds} times")
    return failures
