// SPDX-License-Identifier: GPL-2.0-or-later
// What a volume did in the last hour, in memory that does not grow: for who comes to look now and
// wants to know what was.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "async/executor.h"
#include "async/task.h"
#include "watch/rates.h"

namespace uvdo {

/// The volume in a while that has passed.
struct HistorySample {
  struct Requests {
    float per_second = 0;
    float bytes_per_second = 0;
    float us50 = 0;  ///< microseconds that half of them took at most; 0 if there were none
    float us99 = 0;
  };
  std::uint64_t end_ms = 0;   ///< after the start of the server
  std::uint32_t span_ms = 0;  ///< how long the while was
  std::uint32_t clients = 0;  ///< at its end, as the next three
  std::uint64_t room_bytes = 0;
  std::uint64_t room_used_bytes = kUnknown;
  std::array<Requests, kRequestKinds.size()> requests;  ///< by RequestKind
  float device_busy = 0;                                ///< a part of the time, 0..1

  static constexpr std::uint64_t kUnknown = ~std::uint64_t{0};
  /// Of the time that `rates` is of, at the end of which all was as in `after`.
  [[nodiscard]] static HistorySample of(const Rates& rates, const Snapshot& after);
};

/// The last kMost samples; a new one takes the place of the oldest. All its memory is taken at the
/// start.
class History {
 public:
  static constexpr Duration kInterval = std::chrono::seconds(5);
  static constexpr std::size_t kMost = 720;  // an hour of them
  /// Bytes of JSON that a sample takes at most, and all of it.
  static constexpr std::size_t kMostSampleText = 320;
  static constexpr std::size_t kMostText = kMost * kMostSampleText + 1024;

  /// `id` differs from that of any other history: who asks sees that a server has begun anew.
  explicit History(std::uint64_t id) : id_(id), samples_(std::make_unique<Samples>()) {}

  void add(const HistorySample& sample);
  /// How many have been added.
  [[nodiscard]] std::uint64_t count() const { return count_; }
  /// As JSON, of at most kMostText bytes: those that came after the first `after` ones and are
  /// there still; all if that number has not been reached yet. Others have their turns while it is
  /// made.
  Task<std::string> json(Executor& executor, std::uint64_t after) const;

 private:
  using Samples = std::array<HistorySample, kMost>;

  std::uint64_t id_;
  std::uint64_t count_ = 0;
  std::unique_ptr<Samples> samples_;  // number i is at i % kMost
};

}  // namespace uvdo
