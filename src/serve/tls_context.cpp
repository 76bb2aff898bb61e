// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/tls_context.h"

#include <fmt/core.h>

#include "base/file_checks.h"
#include "serve/tls_stream.h"

namespace uvdo {
namespace {

constexpr const char* kPriority = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
constexpr const char* kPskPriority =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+ECDHE-PSK:+DHE-PSK:+PSK";

Error tls_error(int code, std::string_view what) {
  return {Errc::invalid_argument, fmt::format("{}: {}", what, gnutls_strerror(code))};
}

}  // namespace

Result<std::unique_ptr<TlsContext>> TlsContext::create(Executor& executor, const TlsFiles& files) {
  std::unique_ptr<TlsContext> context(new TlsContext(executor));
  if (auto loaded = context->load(files); !loaded) return std::move(loaded).error();
  return context;
}

Result<void> TlsContext::load(const TlsFiles& files) {
  for (const std::string& file : {files.certificate, files.key, files.authority, files.psk}) {
    if (file.empty()) continue;
    if (auto kind = check_file_kind(file, FileKind::regular); !kind) {
      return std::move(kind).error().within("TLS");
    }
  }
  if (files.certificate.empty() != files.key.empty()) {
    return Error(Errc::invalid_argument,
                 "TLS needs a certificate together with its private key; give both files");
  }
  if (!files.authority.empty() && files.certificate.empty()) {
    return Error(Errc::invalid_argument,
                 "verifying TLS clients needs a certificate and key of the server as well");
  }
  if (files.certificate.empty() && files.psk.empty()) {
    return Error(Errc::invalid_argument,
                 "TLS needs a certificate with its key, or a file of pre-shared keys");
  }
  if (!files.certificate.empty()) {
    if (const int code = gnutls_certificate_allocate_credentials(&certificates_); code < 0) {
      return tls_error(code, "preparing TLS");
    }
    const int code = gnutls_certificate_set_x509_key_file(certificates_, files.certificate.c_str(),
                                                          files.key.c_str(), GNUTLS_X509_FMT_PEM);
    if (code < 0) {
      return tls_error(code, fmt::format("reading the TLS certificate {} and key {}",
                                         files.certificate, files.key));
    }
    gnutls_certificate_set_known_dh_params(certificates_, GNUTLS_SEC_PARAM_MEDIUM);
  }
  if (!files.authority.empty()) {
    const int count = gnutls_certificate_set_x509_trust_file(certificates_, files.authority.c_str(),
                                                             GNUTLS_X509_FMT_PEM);
    if (count < 0) {
      return tls_error(count, fmt::format("reading the TLS authority {}", files.authority));
    }
    if (count == 0) {
      return Error(Errc::invalid_argument,
                   fmt::format("there is no certificate in {}", files.authority));
    }
    verify_clients_ = true;
  }
  if (!files.psk.empty()) {
    if (const int code = gnutls_psk_allocate_server_credentials(&keys_); code < 0) {
      return tls_error(code, "preparing TLS");
    }
    if (const int code = gnutls_psk_set_server_credentials_file(keys_, files.psk.c_str());
        code < 0) {
      return tls_error(code, fmt::format("reading the pre-shared keys {}", files.psk));
    }
    gnutls_psk_set_server_known_dh_params(keys_, GNUTLS_SEC_PARAM_MEDIUM);
  }
  const char* priority = files.psk.empty() ? kPriority : kPskPriority;
  if (const int code = gnutls_priority_init(&priority_, priority, nullptr); code < 0) {
    return tls_error(code, "choosing the ciphers of TLS");
  }
  return {};
}

TlsContext::~TlsContext() {
  if (priority_ != nullptr) gnutls_priority_deinit(priority_);
  if (keys_ != nullptr) gnutls_psk_free_server_credentials(keys_);
  if (certificates_ != nullptr) gnutls_certificate_free_credentials(certificates_);
}

Result<void> TlsContext::set_up(gnutls_session_t session) const {
  int code = gnutls_priority_set(session, priority_);
  if (code >= 0 && certificates_ != nullptr) {
    code = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, certificates_);
  }
  if (code >= 0 && keys_ != nullptr) {
    code = gnutls_credentials_set(session, GNUTLS_CRD_PSK, keys_);
  }
  if (code < 0) return tls_error(code, "setting up a TLS session");
  if (verify_clients_) {
    gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
    gnutls_session_set_verify_cert(session, nullptr, 0);
  }
  return {};
}

Task<Result<std::unique_ptr<Stream>>> TlsContext::accept(Stream& plain) {
  gnutls_session_t session = nullptr;
  const int code =
      gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS);
  if (code < 0) co_return tls_error(code, "making a TLS session");
  auto stream = std::make_unique<TlsStream>(executor_, plain, session);
  if (auto ready = set_up(session); !ready) co_return std::move(ready).error();
  Result<void> agreed = co_await stream->handshake();
  if (!agreed) co_return std::move(agreed).error();
  std::unique_ptr<Stream> result = std::move(stream);
  co_return result;
}

}  // namespace uvdo
