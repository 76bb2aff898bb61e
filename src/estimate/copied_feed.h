// SPDX-License-Identifier: GPL-2.0-or-later
// Images and servers that others know how to read: nbdcopy(1) brings what an NBD server has, and
// qemu-nbd(8) serves it what a qcow2 image holds.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "base/child_program.h"
#include "estimate/feed.h"

namespace uvdo {

class CopiedFeed final : public Feed {
 public:
  /// not_found: a program is missing, and what to install.
  static Result<std::unique_ptr<Feed>> open_uri(const std::string& uri, const FeedOptions& options);
  static Result<std::unique_ptr<Feed>> open_qcow2(const std::string& path,
                                                  const FeedOptions& options);

  Result<Piece> next(MutableBytes out) override;
  [[nodiscard]] std::uint64_t expected_bytes() const override { return expected_; }

 private:
  CopiedFeed(std::string name, PipedProgram program, std::uint64_t bytes,
             const FeedOptions& options);
  /// `source`: what nbdcopy and nbdinfo take for a server.
  static Result<std::unique_ptr<Feed>> open(const std::string& name,
                                            const std::vector<std::string>& source,
                                            const FeedOptions& options);

  std::string name_;
  PipedProgram program_;
  std::uint64_t expected_;
  std::uint32_t group_;
  std::mutex mutex_;
  bool ended_ = false;
};

}  // namespace uvdo
