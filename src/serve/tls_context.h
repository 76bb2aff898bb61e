// SPDX-License-Identifier: GPL-2.0-or-later
// What a server needs for TLS: its certificate and key, whom it trusts, pre-shared keys. One for
// all connections; each gets a session of its own (tls_stream.h). By GnuTLS.
#pragma once

#include <string>

#include <gnutls/gnutls.h>

#include "async/executor.h"
#include "serve/nbd_channel.h"

namespace uvdo {

/// Names of files; empty where there is none.
struct TlsFiles {
  std::string certificate;  ///< PEM: the server's certificate, with its chain
  std::string key;          ///< PEM: the private key of it
  std::string authority;    ///< PEM: whose clients are let in; without it any client is
  std::string psk;          ///< lines NAME:HEXKEY, as psktool makes them
  [[nodiscard]] bool any() const {
    return !certificate.empty() || !key.empty() || !authority.empty() || !psk.empty();
  }
};

class TlsContext final : public TlsUpgrader {
 public:
  static Result<std::unique_ptr<TlsContext>> create(Executor& executor, const TlsFiles& files);
  ~TlsContext() override;

  Task<Result<std::unique_ptr<Stream>>> accept(Stream& plain) override;

 private:
  explicit TlsContext(Executor& executor) : executor_(executor) {}
  Result<void> load(const TlsFiles& files);
  Result<void> set_up(gnutls_session_t session) const;

  Executor& executor_;
  gnutls_certificate_credentials_t certificates_ = nullptr;
  gnutls_psk_server_credentials_t keys_ = nullptr;
  gnutls_priority_t priority_ = nullptr;
  bool verify_clients_ = false;
};

}  // namespace uvdo
