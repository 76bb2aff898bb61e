// SPDX-License-Identifier: GPL-2.0-or-later
// How a protocol that begins in the clear goes on encrypted.
#pragma once

#include <memory>

#include "async/task.h"
#include "base/result.h"
#include "net/stream.h"

namespace uvdo {

/// Makes the server's end of a TLS session over a stream; a protocol needs to know no more of TLS.
class TlsUpgrader {
 public:
  TlsUpgrader() = default;
  TlsUpgrader(const TlsUpgrader&) = delete;
  TlsUpgrader& operator=(const TlsUpgrader&) = delete;
  virtual ~TlsUpgrader() = default;
  /// Does the TLS handshake over `plain`, which must outlive the result.
  virtual Task<Result<std::unique_ptr<Stream>>> accept(Stream& plain) = 0;
};

}  // namespace uvdo
