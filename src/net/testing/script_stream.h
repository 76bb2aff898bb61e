// SPDX-License-Identifier: GPL-2.0-or-later
// A stream whose peer follows a script: what it sends is given in advance (and delivered in pieces
// of changing size), what it receives is kept. It never waits, so that the fuzzer is fast.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "async/executor.h"
#include "net/stream.h"

namespace uvdo::testing {

class ScriptStream final : public Stream {
 public:
  /// `longest_piece`: how much one receive brings at most.
  ScriptStream(Executor& executor, std::vector<std::byte> input, std::size_t longest_piece)
      : executor_(executor), input_(std::move(input)), longest_piece_(longest_piece) {}

  Task<std::ptrdiff_t> receive(std::span<const iovec> slices) override {
    co_await executor_.yield();
    if (ended_) co_return 0;
    std::size_t budget = std::min(longest_piece_, input_.size() - taken_);
    std::size_t count = 0;
    for (const iovec& slice : slices) {
      const std::size_t part = std::min(budget, slice.iov_len);
      if (part > 0) std::memcpy(slice.iov_base, input_.data() + taken_, part);
      taken_ += part;
      budget -= part;
      count += part;
    }
    co_return static_cast<std::ptrdiff_t>(count);
  }
  Task<int> send(std::span<iovec> slices) override {
    co_await executor_.yield();
    if (ended_) co_return -EPIPE;
    for (const iovec& slice : slices) {
      const auto* bytes = static_cast<const std::byte*>(slice.iov_base);
      if (output_.size() < kMostKept) output_.insert(output_.end(), bytes, bytes + slice.iov_len);
      sent_ += slice.iov_len;
    }
    co_return 0;
  }
  void shut_down() override { ended_ = true; }
  [[nodiscard]] std::uint64_t bytes_moved() const override { return taken_ + sent_; }

  [[nodiscard]] const std::vector<std::byte>& output() const { return output_; }
  /// Whether everything was read that the peer sends.
  [[nodiscard]] bool is_exhausted() const { return taken_ == input_.size(); }

 private:
  static constexpr std::size_t kMostKept = std::size_t{80} << 20U;
  Executor& executor_;
  std::vector<std::byte> input_;
  std::size_t longest_piece_;
  std::size_t taken_ = 0;
  std::uint64_t sent_ = 0;
  std::vector<std::byte> output_;
  bool ended_ = false;
};

}  // namespace uvdo::testing
