// SPDX-License-Identifier: GPL-2.0-or-later
// The names in a certificate.
#pragma once

#include <string>
#include <vector>

#include <gnutls/gnutls.h>

namespace uvdo {

/// Of the certificate that the peer of a session has shown: its common name and its alternative
/// names (DNS, mail, URI, IP addresses as text). Empty if it shows none.
[[nodiscard]] std::vector<std::string> names_of_peer(gnutls_session_t session);

}  // namespace uvdo
