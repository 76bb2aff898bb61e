// SPDX-License-Identifier: GPL-2.0-or-later
// TLS whose certificates and keys can be read anew while the server runs: who comes from then on
// gets the new ones, and sessions go on with those that they began with.
#pragma once

#include <memory>

#include "net/tls_context.h"

namespace uvdo {

/// All of it runs on the thread of the connections. A context lives until its last session has
/// ended.
class RenewableTls final : public TlsUpgrader {
 public:
  /// Reads the files for the first time; an error is TlsContext::create()'s.
  static Result<std::unique_ptr<RenewableTls>> create(Executor& executor, TlsSettings settings);

  /// Reads the files again. After an error all is as it was.
  Result<void> renew();
  Task<Result<std::unique_ptr<Stream>>> accept(Stream& plain) override;

 private:
  RenewableTls(Executor& executor, TlsSettings settings)
      : executor_(executor), settings_(std::move(settings)) {}

  Executor& executor_;
  TlsSettings settings_;
  std::shared_ptr<TlsContext> context_;
};

}  // namespace uvdo
