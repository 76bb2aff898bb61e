// SPDX-License-Identifier: GPL-2.0-or-later
// What a server needs for TLS: its certificate and key, whom it lets in, pre-shared keys. One for
// all connections; each gets a session of its own (tls_stream.h). By GnuTLS.
#pragma once

#include <string>
#include <vector>

#include <gnutls/gnutls.h>

#include "async/executor.h"
#include "net/psk_keys.h"
#include "net/tls_upgrader.h"

namespace uvdo {

/// Names of files, empty where there is none; and who is let in. With an authority or keys only
/// clients are that show a certificate of the one or know one of the others.
struct TlsSettings {
  std::string certificate;  ///< PEM: the server's certificate, with its chain
  std::string key;          ///< PEM: the private key of it
  std::string authority;    ///< PEM: whose clients are let in
  std::string revoked;      ///< PEM: a list of the authority's certificates that no longer count
  std::string psk;          ///< lines NAME:HEXKEY, as psktool makes them
  /// If any: only these are let in. Names of pre-shared keys; of certificates the common name or
  /// an alternative name (DNS, mail, URI, IP address).
  std::vector<std::string> allowed;
  bool required = false;  ///< nobody is let in without TLS
  bool optional = false;  ///< also with an authority or keys clients without TLS are let in

  /// Whether TLS is offered at all.
  [[nodiscard]] bool any() const {
    return !certificate.empty() || !key.empty() || knows_clients() || !revoked.empty() ||
           !allowed.empty();
  }
  /// Whether clients have to show who they are.
  [[nodiscard]] bool knows_clients() const { return !authority.empty() || !psk.empty(); }
  /// Whether clients without TLS are turned away.
  [[nodiscard]] bool is_required() const { return required || (knows_clients() && !optional); }
  /// What is wrong with the settings alone.
  [[nodiscard]] Result<void> check() const;
};

/// Unchanged once made. Sessions point to it, so that it has to outlive them (RenewableTls sees to
/// that).
class TlsContext final : public TlsUpgrader {
 public:
  /// Reads all files; an error names the one that cannot be used.
  static Result<std::unique_ptr<TlsContext>> create(Executor& executor,
                                                    const TlsSettings& settings);
  ~TlsContext() override;

  /// An error if the handshake failed or the client may not come in, which it is told by an alert.
  /// The stream below is left open.
  Task<Result<std::unique_ptr<Stream>>> accept(Stream& plain) override;

 private:
  explicit TlsContext(Executor& executor) : executor_(executor) {}
  Result<void> load(const TlsSettings& settings);
  // In this order: the authority's certificates go into the credentials of the server's own.
  Result<void> load_certificate(const TlsSettings& settings);
  Result<void> load_authority(const TlsSettings& settings);
  Result<void> load_keys(const TlsSettings& settings);
  /// Gives the key of a name to a session of one of us.
  static int give_key(gnutls_session_t session, const gnutls_datum_t* name, gnutls_datum_t* key);
  /// Gives a new session the ciphers, credentials and demands of this server.
  Result<void> set_up(gnutls_session_t session);
  /// Whether who is at the other end of a session that has been agreed on may come in.
  Result<void> admit(gnutls_session_t session) const;
  Result<void> admit_certificate(gnutls_session_t session) const;
  /// Whether one of a client's names is among those that are let in, or all are.
  [[nodiscard]] bool is_allowed(const std::vector<std::string>& names) const;

  Executor& executor_;
  gnutls_certificate_credentials_t certificates_ = nullptr;
  gnutls_psk_server_credentials_t key_credentials_ = nullptr;
  PskKeys keys_;
  gnutls_priority_t priority_ = nullptr;
  std::vector<std::string> allowed_;
  bool verify_clients_ = false;
};

}  // namespace uvdo
