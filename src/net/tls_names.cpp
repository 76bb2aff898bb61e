// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/tls_names.h"

#include <array>
#include <memory>

#include <arpa/inet.h>
#include <gnutls/x509.h>

namespace uvdo {
namespace {

// A certificate is made by whoever asks: names beyond these are not looked at.
constexpr unsigned kMostNames = 256;

struct FreeCertificate {
  void operator()(gnutls_x509_crt_int* certificate) const { gnutls_x509_crt_deinit(certificate); }
};
using Certificate = std::unique_ptr<gnutls_x509_crt_int, FreeCertificate>;

Certificate certificate_of_peer(gnutls_session_t session) {
  unsigned count = 0;
  const gnutls_datum_t* chain = gnutls_certificate_get_peers(session, &count);
  gnutls_x509_crt_t raw = nullptr;
  if (chain == nullptr || count == 0 || gnutls_x509_crt_init(&raw) < 0) return nullptr;
  Certificate certificate(raw);
  // The first of the chain is the peer's own.
  if (gnutls_x509_crt_import(raw, &chain[0], GNUTLS_X509_FMT_DER) < 0) return nullptr;
  return certificate;
}

std::string address_text(const std::string& bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  // As certificates have them: 4 or 16 bytes, in network order.
  const int family = bytes.size() == 4 ? AF_INET : bytes.size() == 16 ? AF_INET6 : AF_UNSPEC;
  if (family == AF_UNSPEC) return {};
  return inet_ntop(family, bytes.data(), text.data(), text.size()) != nullptr ? text.data() : "";
}

void add_common_names(gnutls_x509_crt_t certificate, std::vector<std::string>& names) {
  for (unsigned i = 0; i < kMostNames; ++i) {
    std::string name(1024, '\0');
    std::size_t size = name.size();
    const int code = gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME,
                                                   static_cast<int>(i), 0, name.data(), &size);
    if (code == GNUTLS_E_SHORT_MEMORY_BUFFER) continue;  // no name for people
    if (code < 0) return;
    name.resize(size);
    names.push_back(std::move(name));
  }
}

void add_alternative_names(gnutls_x509_crt_t certificate, std::vector<std::string>& names) {
  for (unsigned i = 0; i < kMostNames; ++i) {
    std::string name(1024, '\0');
    std::size_t size = name.size();
    unsigned kind = 0;
    const int code =
        gnutls_x509_crt_get_subject_alt_name2(certificate, i, name.data(), &size, &kind, nullptr);
    if (code == GNUTLS_E_SHORT_MEMORY_BUFFER) continue;
    if (code < 0) return;
    name.resize(size);
    if (kind == GNUTLS_SAN_IPADDRESS) name = address_text(name);
    const bool is_name = kind == GNUTLS_SAN_DNSNAME || kind == GNUTLS_SAN_RFC822NAME ||
                         kind == GNUTLS_SAN_URI || kind == GNUTLS_SAN_IPADDRESS;
    if (is_name && !name.empty()) names.push_back(std::move(name));
  }
}

}  // namespace

std::vector<std::string> names_of_peer(gnutls_session_t session) {
  std::vector<std::string> names;
  const Certificate certificate = certificate_of_peer(session);
  if (!certificate) return names;
  add_common_names(certificate.get(), names);
  add_alternative_names(certificate.get(), names);
  return names;
}

}  // namespace uvdo
