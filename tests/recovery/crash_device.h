// SPDX-License-Identifier: GPL-2.0-or-later
// A small disk with a volatile cache: the power can be cut before any write, and then any sectors
// of what was not flushed may be lost. Requests take random times and overtake each other.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "async/sim_executor.h"
#include "base/block_types.h"
#include "device/private_store.h"

namespace uvdo {

/// The blocks that are not zero.
using DiskContent = std::map<std::uint64_t, std::array<std::byte, kBlockSize>>;

enum class Survival : std::uint8_t { everything, nothing, any_sectors };

/// A write is seen by reads when it has completed (current_), and is durable (durable_) when a
/// flush that was sent after its completion has ended, or at once with FUA. What is between is in
/// cache_, in the order of completion.
class CrashDevice final : public PrivateStore {
 public:
  CrashDevice(SimExecutor& executor, std::uint64_t size, DiskContent content)
      : executor_(executor),
        random_(executor.fork_random()),
        size_(size),
        durable_(content),
        current_(std::move(content)) {}

  void submit(Request& request) override;
  [[nodiscard]] std::uint64_t size() const override { return size_; }
  [[nodiscard]] const std::string& name() const override { return name_; }

  /// From the write after the next `count` ones on, every request fails.
  void fail_after(std::uint64_t count) { writes_left_ = count; }
  /// The next write fails, and all is well again.
  void fail_once() { fail_next_ = true; }
  [[nodiscard]] bool has_failed() const { return failed_; }
  [[nodiscard]] std::uint64_t writes() const { return writes_; }
  [[nodiscard]] std::uint64_t flushes() const { return flushes_; }
  [[nodiscard]] const DiskContent& content() const { return current_; }
  /// What is there when the power comes back.
  [[nodiscard]] DiskContent survivors(Survival survival, std::mt19937_64& random) const;

 private:
  struct CachedWrite {
    std::uint64_t number = 0;
    std::uint64_t block = 0;
    std::array<std::byte, kBlockSize> data;
  };
  static void complete(void* device, std::uint64_t slot);
  void perform(Request& request, std::uint64_t covered);
  void write(const Request& request);
  void flush(std::uint64_t covered);
  void read(const Request& request) const;

  struct Flight {
    Request* request = nullptr;
    std::uint64_t covered = 0;  // of a flush: writes that had completed when it was sent
  };

  SimExecutor& executor_;
  SimRandom random_;
  std::vector<Flight> flights_;
  std::uint64_t completed_ = 0;  // blocks written, so far
  std::uint64_t size_;
  std::string name_ = "disk";
  DiskContent durable_;
  DiskContent current_;
  std::deque<CachedWrite> cache_;
  std::uint64_t writes_ = 0;
  std::uint64_t flushes_ = 0;
  std::uint64_t writes_left_ = UINT64_MAX;
  bool failed_ = false;
  bool fail_next_ = false;
};

}  // namespace uvdo
