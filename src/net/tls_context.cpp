// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/tls_context.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>

#include "base/file_checks.h"
#include "net/tls_names.h"
#include "net/tls_stream.h"

namespace uvdo {
namespace {

// TLS 1.2 and 1.3 alone. Pre-shared keys are no part of GnuTLS's NORMAL.
constexpr const char* kPriority = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
constexpr const char* kPskPriority =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+ECDHE-PSK:+DHE-PSK:+PSK";

constexpr std::size_t kUnknownKey = 32;  // bytes

Error tls_error(int code, std::string_view what) {
  return {Errc::invalid_argument, fmt::format("{}: {}", what, gnutls_strerror(code))};
}

}  // namespace

Result<void> TlsSettings::check() const {
  if (!any()) {
    if (!required && !optional) return {};
    return Error(Errc::invalid_argument,
                 fmt::format("--tls-{} needs --tls-cert and --tls-key, or --tls-psk",
                             required ? "required" : "optional"));
  }
  if (required && optional) {
    return Error(Errc::invalid_argument, "--tls-required and --tls-optional exclude each other");
  }
  if (certificate.empty() != key.empty()) {
    return Error(Errc::invalid_argument,
                 "TLS needs a certificate together with its private key; give both files");
  }
  if (!authority.empty() && certificate.empty()) {
    return Error(Errc::invalid_argument,
                 "verifying TLS clients needs a certificate and key of the server as well");
  }
  if (!revoked.empty() && authority.empty()) {
    return Error(Errc::invalid_argument, "--tls-crl is a list of the authority of --tls-ca");
  }
  if (!allowed.empty() && !knows_clients()) {
    return Error(Errc::invalid_argument,
                 "--tls-allow needs --tls-ca or --tls-psk: otherwise clients show no names");
  }
  return {};
}

Result<std::unique_ptr<TlsContext>> TlsContext::create(Executor& executor,
                                                       const TlsSettings& settings) {
  std::unique_ptr<TlsContext> context(new TlsContext(executor));
  if (auto loaded = context->load(settings); !loaded) return std::move(loaded).error();
  return context;
}

Result<void> TlsContext::load(const TlsSettings& settings) {
  if (auto right = settings.check(); !right) return right;
  for (const std::string& file :
       {settings.certificate, settings.key, settings.authority, settings.revoked, settings.psk}) {
    if (file.empty()) continue;
    // GnuTLS opens files itself and would wait for a FIFO for ever.
    if (auto kind = check_file_kind(file, FileKind::regular); !kind) {
      return std::move(kind).error().within("TLS");
    }
  }
  if (auto loaded = load_certificate(settings); !loaded) return loaded;
  if (auto loaded = load_authority(settings); !loaded) return loaded;
  if (auto loaded = load_keys(settings); !loaded) return loaded;
  allowed_ = settings.allowed;
  const char* priority = settings.psk.empty() ? kPriority : kPskPriority;
  if (const int code = gnutls_priority_init(&priority_, priority, nullptr); code < 0) {
    return tls_error(code, "choosing the ciphers of TLS");
  }
  return {};
}

Result<void> TlsContext::load_certificate(const TlsSettings& settings) {
  if (settings.certificate.empty()) return {};
  if (const int code = gnutls_certificate_allocate_credentials(&certificates_); code < 0) {
    return tls_error(code, "preparing TLS");
  }
  const int code = gnutls_certificate_set_x509_key_file(certificates_, settings.certificate.c_str(),
                                                        settings.key.c_str(), GNUTLS_X509_FMT_PEM);
  if (code < 0) {
    return tls_error(code, fmt::format("reading the TLS certificate {} and key {}",
                                       settings.certificate, settings.key));
  }
  gnutls_certificate_set_known_dh_params(certificates_, GNUTLS_SEC_PARAM_MEDIUM);
  return {};
}

Result<void> TlsContext::load_authority(const TlsSettings& settings) {
  if (settings.authority.empty()) return {};
  const int count = gnutls_certificate_set_x509_trust_file(
      certificates_, settings.authority.c_str(), GNUTLS_X509_FMT_PEM);
  if (count < 0) {
    return tls_error(count, fmt::format("reading the TLS authority {}", settings.authority));
  }
  if (count == 0) {
    return Error(Errc::invalid_argument,
                 fmt::format("there is no certificate in {}", settings.authority));
  }
  verify_clients_ = true;
  if (settings.revoked.empty()) return {};
  const int lists = gnutls_certificate_set_x509_crl_file(certificates_, settings.revoked.c_str(),
                                                         GNUTLS_X509_FMT_PEM);
  if (lists < 0) {
    return tls_error(lists, fmt::format("reading the revoked certificates {}", settings.revoked));
  }
  if (lists == 0) {
    return Error(Errc::invalid_argument,
                 fmt::format("there is no list of revoked certificates in {}", settings.revoked));
  }
  return {};
}

Result<void> TlsContext::load_keys(const TlsSettings& settings) {
  if (settings.psk.empty()) return {};
  auto keys = PskKeys::read(settings.psk);
  if (!keys) return keys.error().within("TLS");
  keys_ = std::move(*keys);
  if (const int code = gnutls_psk_allocate_server_credentials(&key_credentials_); code < 0) {
    return tls_error(code, "preparing TLS");
  }
  gnutls_psk_set_server_credentials_function2(key_credentials_, give_key);
  gnutls_psk_set_server_known_dh_params(key_credentials_, GNUTLS_SEC_PARAM_MEDIUM);
  return {};
}

int TlsContext::give_key(gnutls_session_t session, const gnutls_datum_t* name,
                         gnutls_datum_t* key) {
  const auto& context = *static_cast<const TlsContext*>(gnutls_session_get_ptr(session));
  const PskKeys::Key* found =
      context.keys_.find({reinterpret_cast<const char*>(name->data), name->size});
  // Who has a name that nobody has gets a key that nobody knows: it fails as a wrong key does.
  PskKeys::Key unknown(kUnknownKey);
  if (found == nullptr && gnutls_rnd(GNUTLS_RND_KEY, unknown.data(), unknown.size()) < 0) return -1;
  const PskKeys::Key& given = found != nullptr ? *found : unknown;
  // GnuTLS frees it.
  key->data = static_cast<unsigned char*>(gnutls_malloc(given.size()));
  if (key->data == nullptr) return -1;
  std::memcpy(key->data, given.data(), given.size());
  key->size = static_cast<unsigned>(given.size());
  return 0;
}

TlsContext::~TlsContext() {
  if (priority_ != nullptr) gnutls_priority_deinit(priority_);
  if (key_credentials_ != nullptr) gnutls_psk_free_server_credentials(key_credentials_);
  if (certificates_ != nullptr) gnutls_certificate_free_credentials(certificates_);
}

Result<void> TlsContext::set_up(gnutls_session_t session) {
  gnutls_session_set_ptr(session, this);
  int code = gnutls_priority_set(session, priority_);
  if (code >= 0 && certificates_ != nullptr) {
    code = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, certificates_);
  }
  if (code >= 0 && key_credentials_ != nullptr) {
    code = gnutls_credentials_set(session, GNUTLS_CRD_PSK, key_credentials_);
  }
  if (code < 0) return tls_error(code, "setting up a TLS session");
  // Who has a pre-shared key needs no certificate; whether one of both was shown is looked at in
  // admit().
  if (verify_clients_) {
    gnutls_certificate_server_set_request(
        session, key_credentials_ == nullptr ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST);
  }
  return {};
}

bool TlsContext::is_allowed(const std::vector<std::string>& names) const {
  if (allowed_.empty()) return true;
  return std::ranges::any_of(names, [this](const std::string& name) {
    return std::ranges::find(allowed_, name) != allowed_.end();
  });
}

Result<void> TlsContext::admit(gnutls_session_t session) const {
  if (gnutls_auth_client_get_type(session) == GNUTLS_CRD_PSK) {
    const char* name = gnutls_psk_server_get_username(session);
    const std::string user = name != nullptr ? name : "";
    if (is_allowed({user})) return {};
    return Error(Errc::protocol, fmt::format("the key {} is not one of --tls-allow", user));
  }
  // Without a key the client has to have shown a certificate, if any is asked for.
  if (verify_clients_) return admit_certificate(session);
  if (key_credentials_ == nullptr) return {};  // TLS keeps others from reading; anybody is welcome
  return Error(Errc::protocol, "the client knows none of the pre-shared keys");
}

Result<void> TlsContext::admit_certificate(gnutls_session_t session) const {
  // A certificate that names purposes must name that of TLS clients: a server's own is no ticket.
  std::string purpose = GNUTLS_KP_TLS_WWW_CLIENT;
  gnutls_typed_vdata_st wanted{};
  wanted.type = GNUTLS_DT_KEY_PURPOSE_OID;
  wanted.data = reinterpret_cast<unsigned char*>(purpose.data());
  unsigned status = 0;
  // Chain, dates and revocations; `status` has a bit for each thing that is wrong.
  const int code = gnutls_certificate_verify_peers(session, &wanted, 1, &status);
  if (code == GNUTLS_E_NO_CERTIFICATE_FOUND) {
    return Error(Errc::protocol, key_credentials_ == nullptr
                                     ? "the client shows no certificate"
                                     : "the client shows neither a certificate nor a key");
  }
  if (code < 0) return tls_error(code, "the client's certificate cannot be verified");
  if (status != 0) {
    gnutls_datum_t text{};
    gnutls_certificate_verification_status_print(
        status, gnutls_certificate_type_get2(session, GNUTLS_CTYPE_PEERS), &text, 0);
    std::string reason = text.data != nullptr ? reinterpret_cast<const char*>(text.data) : "";
    gnutls_free(text.data);
    while (!reason.empty() && reason.back() == ' ') reason.pop_back();
    return Error(Errc::protocol, "the client's certificate is refused: " + reason);
  }
  const std::vector<std::string> names = names_of_peer(session);
  if (is_allowed(names)) return {};
  return Error(Errc::protocol,
               fmt::format("the client's certificate is valid, but none of its names ({}) is one "
                           "of --tls-allow",
                           fmt::join(names, ", ")));
}

Task<Result<std::unique_ptr<Stream>>> TlsContext::accept(Stream& plain) {
  gnutls_session_t session = nullptr;
  // No tickets: a client that comes back is looked at anew, by the settings of that time.
  const int code =
      gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS);
  if (code < 0) co_return tls_error(code, "making a TLS session");
  // The stream has the session from here on and frees it on every way out.
  auto stream = std::make_unique<TlsStream>(executor_, plain, session);
  if (auto ready = set_up(session); !ready) co_return std::move(ready).error();
  Result<void> agreed = co_await stream->handshake();
  if (!agreed) co_return std::move(agreed).error();
  if (auto admitted = admit(session); !admitted) {
    co_await stream->refuse();
    co_return std::move(admitted).error();
  }
  std::unique_ptr<Stream> result = std::move(stream);
  co_return result;
}

}  // namespace uvdo
