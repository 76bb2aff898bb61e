# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of the NBD conformance tests that is about TLS: certificates, pre-shared keys, and what
is refused without them."""
import os
import shutil
import struct
import subprocess
import tempfile

import nbd_conformance_peers as peers
from nbd_conformance_peers import *  # the vocabulary of the tests
from nbd_conformance_peers import nbd


class Tls(Case):
    @classmethod
    def setUpClass(cls):
        need("certtool")
        need("psktool")
        cls.folder = tempfile.mkdtemp(prefix="nbd-tls-")
        cls.make_certificates(cls.folder)
        cls.make_certificates(os.path.join(cls.folder, "stranger"))
        run("psktool", "-u", "alice", "-p", os.path.join(cls.folder, "keys.psk"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @staticmethod
    def make_certificates(folder):
        """An authority, a server's certificate by it, a client's, named as libnbd expects."""
        os.makedirs(folder, exist_ok=True)

        def at(name):
            return os.path.join(folder, name)

        templates = {
            "ca": "cn = test\nca\ncert_signing_key\n",
            "server": "cn = localhost\ndns_name = localhost\nip_address = 127.0.0.1\n"
                      "tls_www_server\nsigning_key\nencryption_key\n",
            "client": "cn = client\ntls_www_client\nsigning_key\nencryption_key\n",
            "machine": "cn = machine\ndns_name = machine.example\ntls_www_client\n"
                       "signing_key\nencryption_key\n",
        }
        for name, template in templates.items():
            with open(at(name + ".info"), "w") as file:
                file.write(template + "expiration_days = 3\n")
            run("certtool", "--generate-privkey", "--ecc", "--outfile", at(name + "-key.pem"))
            sign = ["--generate-self-signed"] if name == "ca" else [
                "--generate-certificate", "--load-ca-certificate", at("ca-cert.pem"),
                "--load-ca-privkey", at("ca-key.pem")]
            run("certtool", *sign, "--load-privkey", at(name + "-key.pem"),
                "--template", at(name + ".info"), "--outfile", at(name + "-cert.pem"))

    def certificates(self, ca=True):
        options = ["--tls-cert", f"{self.folder}/server-cert.pem",
                   "--tls-key", f"{self.folder}/server-key.pem"]
        return options + (["--tls-ca", f"{self.folder}/ca-cert.pem"] if ca else [])

    def client(self, folder=None, tls=nbd.TLS_REQUIRE):
        client = nbd.NBD()
        client.set_tls(tls)
        client.set_tls_certificates(folder or self.folder)
        return client

    def identity(self, name):
        """A folder in which the certificate `name` stands where libnbd looks for a client's; None:
        a client that has none."""
        folder = tempfile.mkdtemp(prefix="nbd-tls-")
        self.addCleanup(shutil.rmtree, folder)
        shutil.copy(f"{self.folder}/ca-cert.pem", folder)
        if name:
            for part in ("cert", "key"):
                shutil.copy(f"{self.folder}/{name}-{part}.pem", f"{folder}/client-{part}.pem")
        return folder

    def key_client(self, user="alice"):
        client = nbd.NBD()
        client.set_tls(nbd.TLS_REQUIRE)
        client.set_tls_psk_file(f"{self.folder}/keys.psk")
        client.set_tls_username(user)
        return client

    def assert_let_in(self, client, server):
        client.connect_tcp("localhost", str(server.port))
        self.assertEqual(client.pread(512, 0), bytes(512))
        client.shutdown()

    def assert_kept_out(self, client, server):
        with self.assertRaises(nbd.Error):
            client.connect_tcp("localhost", str(server.port))
            client.pread(512, 0)

    def plain_client(self):
        client = nbd.NBD()
        client.set_tls(nbd.TLS_DISABLE)
        return client

    def exercise(self, client):
        self.assertTrue(client.get_tls_negotiated())
        data = os.urandom(5 << 20)
        client.pwrite(data, 777)
        self.assertEqual(client.pread(len(data), 777), data)
        buffers = [nbd.Buffer.from_bytearray(bytearray(data[i * 4096:(i + 1) * 4096]))
                   for i in range(256)]
        complete(client, [client.aio_pwrite(b, i * 4096) for i, b in enumerate(buffers)])
        self.assertEqual(client.pread(1 << 20, 0), data[:1 << 20])
        client.shutdown()

    def test_certificates(self):
        for required in ([], ["--tls-required"]):
            server = self.serve(*self.certificates(), *required, tcp=True)
            client = self.client()
            client.connect_tcp("localhost", str(server.port))
            self.exercise(client)

    def test_a_stranger_is_not_let_in_if_clients_are_verified(self):
        # A client that trusts our server, but whose own certificate comes from elsewhere.
        stranger = os.path.join(self.folder, "stranger")
        shutil.copy(f"{self.folder}/ca-cert.pem", f"{stranger}/ca-cert.pem")
        server = self.serve(*self.certificates(), "--tls-required", tcp=True)
        with self.assertRaises(nbd.Error):
            client = self.client(stranger)
            client.connect_tcp("localhost", str(server.port))
            client.pread(512, 0)
        open_server = self.serve(*self.certificates(ca=False), tcp=True)
        client = self.client(stranger)
        client.connect_tcp("localhost", str(open_server.port))
        self.exercise(client)

    def test_pre_shared_keys(self):
        server = self.serve("--tls-psk", f"{self.folder}/keys.psk", "--tls-required", tcp=True)
        client = self.key_client()
        client.connect_tcp("localhost", str(server.port))
        self.exercise(client)
        self.assert_kept_out(self.key_client("mallory"), server)

    def test_the_keys_are_those_of_the_start(self):
        """No handshake needs the file, which may be root's alone, or be written just then."""
        keys = f"{self.folder}/passing.psk"
        shutil.copy(f"{self.folder}/keys.psk", keys)
        server = self.serve("--tls-psk", keys, tcp=True)
        with open(keys, "w") as file:
            file.write("mallory:00\n")
        self.assert_let_in(self.key_client(), server)
        os.unlink(keys)
        self.assert_let_in(self.key_client(), server)
        self.assert_kept_out(self.key_client("mallory"), server)

    def test_who_must_be_known_must_use_tls(self):
        """Over TCP and unix sockets alike; --tls-optional says otherwise."""
        keys = ["--tls-psk", f"{self.folder}/keys.psk"]
        for options in (self.certificates(), keys, self.certificates() + keys):
            self.assert_kept_out(self.plain_client(), self.serve(*options, tcp=True))
            server = self.serve(*options)
            with self.assertRaises(nbd.Error):
                server.connect()
            raw = server.raw().greet()
            raw.option(7, b"\0" * 6)
            self.assertEqual(raw.replies()[0][0], ERR_TLS_REQD)
        self.assert_let_in(self.plain_client(),
                           self.serve(*self.certificates(), "--tls-optional", tcp=True))
        self.assert_let_in(self.plain_client(), self.serve(*self.certificates(ca=False), tcp=True))

    def test_with_keys_and_certificates_a_client_shows_one_of_both(self):
        keys = ["--tls-psk", f"{self.folder}/keys.psk"]
        both = self.serve(*self.certificates(), *keys, tcp=True)
        self.assert_let_in(self.client(), both)
        self.assert_let_in(self.key_client(), both)
        self.assert_kept_out(self.client(self.identity(None)), both)
        # Without an authority a certificate says nothing.
        keys_only = self.serve(*self.certificates(ca=False), *keys, tcp=True)
        self.assert_let_in(self.key_client(), keys_only)
        self.assert_kept_out(self.client(self.identity(None)), keys_only)
        self.assert_kept_out(self.client(), keys_only)

    def test_a_server_s_certificate_lets_no_client_in(self):
        server = self.serve(*self.certificates(), tcp=True)
        self.assert_kept_out(self.client(self.identity("server")), server)
        self.assert_let_in(self.client(self.identity("client")), server)
        server.stop()
        self.assertIn("purpose", server.err)

    def test_only_names_that_are_allowed(self):
        keys = ["--tls-psk", f"{self.folder}/keys.psk"]
        server = self.serve(*self.certificates(), *keys, "--tls-allow", "client", "bob", tcp=True)
        self.assert_let_in(self.client(), server)
        self.assert_kept_out(self.client(self.identity("machine")), server)
        self.assert_kept_out(self.key_client(), server)
        server.stop()
        self.assertIn("machine.example", server.err)
        self.assertIn("alice", server.err)
        server = self.serve(*self.certificates(), *keys, "--tls-allow", "machine.example",
                            "--tls-allow", "alice", tcp=True)
        self.assert_let_in(self.client(self.identity("machine")), server)
        self.assert_let_in(self.key_client(), server)
        self.assert_kept_out(self.client(), server)

    def test_revoked_certificates(self):
        crl, template = f"{self.folder}/crl.pem", f"{self.folder}/crl.info"
        with open(template, "w") as file:
            file.write("crl_next_update = 3\ncrl_number = 1\n")
        run("certtool", "--generate-crl", "--load-ca-certificate", f"{self.folder}/ca-cert.pem",
            "--load-ca-privkey", f"{self.folder}/ca-key.pem",
            "--load-certificate", f"{self.folder}/machine-cert.pem",
            "--template", template, "--outfile", crl)
        server = self.serve(*self.certificates(), "--tls-crl", crl, tcp=True)
        self.assert_kept_out(self.client(self.identity("machine")), server)
        self.assert_let_in(self.client(), server)
        server.stop()
        self.assertIn("revoked", server.err)

    def test_without_tls_nothing_is_told_where_it_is_required(self):
        server = self.serve(*self.certificates(), "--tls-required")
        raw = server.raw().greet()
        for number, data in ((3, b""), (6, b"\0" * 6), (7, b"\0" * 6), (8, b""), (99, b"")):
            raw.option(number, data)
            self.assertEqual(raw.replies()[0][0], ERR_TLS_REQD, number)
        raw.option(1, b"")
        self.assertTrue(raw.is_closed())
        raw = server.raw().greet()
        raw.option(5, b"x")
        self.assertEqual(raw.replies()[0][0], ERR_INVALID)

    def test_bytes_slipped_in_before_tls_are_not_obeyed(self):
        server = self.serve(*self.certificates(ca=False))
        raw = server.raw().greet()
        raw.send(OPT_MAGIC + struct.pack(">II", 5, 0) + OPT_MAGIC + struct.pack(">II", 3, 0))
        self.assertEqual(raw.reply()[0], ACK)
        self.assertTrue(raw.is_closed())

    def test_plain_clients_are_welcome_where_tls_is_only_offered(self):
        server = self.serve(*self.certificates(), "--tls-optional")
        self.assert_alive(server)

    def test_wrong_options_of_tls_are_explained(self):
        for options, word in (
                (["--tls-cert", f"{self.folder}/server-cert.pem"], "private key"),
                (["--tls-ca", f"{self.folder}/ca-cert.pem"], "certificate and key"),
                (["--tls-cert", "/nowhere", "--tls-key", "/nowhere"], "/nowhere"),
                (["--tls-psk", "/nowhere"], "/nowhere"),
                (["--tls-psk", f"{self.folder}/ca.info"], "line 1 is no pre-shared key"),
                (["--tls-psk", "/dev/null"], "not a regular file"),
                (["--tls-required"], "--tls-psk"),
                (["--tls-optional"], "--tls-psk"),
                (["--tls-psk", "/nowhere", "--tls-optional", "--tls-required"], "exclude"),
                (["--tls-psk", "/nowhere", "--tls-crl", "/nowhere"], "--tls-ca"),
                (self.certificates() + ["--tls-crl", f"{self.folder}/ca.info"], "ca.info"),
                (self.certificates(ca=False) + ["--tls-allow", "x"], "--tls-psk")):
            result = subprocess.run([peers.SERVER, "--listen", "tcp:127.0.0.1:0", *options],
                                    capture_output=True, text=True, timeout=20)
            self.assertEqual(result.returncode, 1, options)
            self.assertIn(word, result.stderr)
