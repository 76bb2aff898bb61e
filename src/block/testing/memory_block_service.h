// SPDX-License-Identifier: GPL-2.0-or-later
// A block device in memory for tests and benchmarks of front ends: 4 KiB blocks that are holes,
// zeros or data, faults and waits on demand, and a record of what was asked.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "block/block_service.h"

namespace uvdo::testing {

class MemoryBlockService final : public BlockService {
 public:
  struct Options {
    std::uint64_t size = 0;
    bool read_only = false;
    bool failed = false;  ///< read-only after an error
    bool null = false;    ///< moves no data at all: what the front end itself costs
    std::uint64_t buffer_bytes = std::uint64_t{64} << 20U;
    std::uint64_t room = 0;  ///< what it may grow to, where that is more than `size`
    /// Where the data are, of `room` or `size` bytes; nullptr: in memory of its own. What is there
    /// is data.
    std::byte* memory = nullptr;
  };
  struct Counts {
    std::uint64_t reads = 0;
    std::uint64_t writes = 0;
    std::uint64_t fua_writes = 0;
    std::uint64_t discards = 0;
    std::uint64_t zeroes = 0;
    std::uint64_t flushes = 0;
  };

  MemoryBlockService(Executor& executor, const Options& options)
      : options_(options),
        pool_(executor, options.buffer_bytes),
        gate_(executor),
        bytes_(options.memory != nullptr
                   ? options.memory
                   : static_cast<std::byte*>(std::calloc(options.null ? 1 : room() + 1, 1)),
               options.memory != nullptr ? &keep : &free_bytes),
        kinds_(options.null ? 0 : (room() + kGrain - 1) / kGrain,
               options.memory != nullptr ? ExtentKind::data : ExtentKind::hole) {}

  [[nodiscard]] std::uint64_t size() const override { return options_.size; }
  [[nodiscard]] bool is_read_only() const override { return options_.read_only || options_.failed; }
  [[nodiscard]] bool has_failed() const override { return options_.failed; }
  BufferPool& buffers() override { return pool_; }

  Task<Result<void>> read(std::uint64_t offset, MutableBytes out) override {
    ++counts.reads;
    while (held_) co_await gate_.wait();
    if (fails(offset, out.size())) co_return Error(fault_code_, "a fault of the test");
    if (!options_.null) std::memcpy(out.data(), bytes_.get() + offset, out.size());
    co_return Result<void>();
  }
  Task<Result<void>> write(std::uint64_t offset, Buffer data, Durability durability) override {
    ++counts.writes;
    if (durability == Durability::fua) ++counts.fua_writes;
    while (held_) co_await gate_.wait();
    if (options_.failed) co_return Error(Errc::io, "an error has made it read-only");
    if (!writes_spared_ && fails(offset, data.size()))
      co_return Error(fault_code_, "a fault of the test");
    if (!options_.null) {
      std::memcpy(bytes_.get() + offset, data.data(), data.size());
      set_kind(offset, data.size(), ExtentKind::data, false);
    }
    co_return Result<void>();
  }
  Task<Result<void>> discard(std::uint64_t offset, std::uint64_t length,
                             Durability durability) override {
    ++counts.discards;
    if (durability == Durability::fua) ++counts.fua_writes;
    while (held_) co_await gate_.wait();
    zero(offset, length, ExtentKind::hole);
    co_return Result<void>();
  }
  Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode,
                                  Durability durability) override {
    ++counts.zeroes;
    if (durability == Durability::fua) ++counts.fua_writes;
    while (zeroes_held_) co_await gate_.wait();
    zero(offset, length, mode == ZeroMode::mapped ? ExtentKind::zero : ExtentKind::hole);
    co_return Result<void>();
  }
  Task<Result<void>> flush() override {
    ++counts.flushes;
    while (held_) co_await gate_.wait();
    co_return Result<void>();
  }
  Task<Result<std::vector<Extent>>> extents(std::uint64_t offset, std::uint64_t length,
                                            std::size_t limit) override {
    std::vector<Extent> result;
    while (length > 0 && result.size() < limit) {
      const std::uint64_t take = std::min(length, kGrain - offset % kGrain);
      const ExtentKind kind = options_.null ? ExtentKind::data : kinds_[offset / kGrain];
      if (!result.empty() && result.back().kind == kind) {
        result.back().length += take;
      } else {
        result.push_back({take, kind});
      }
      offset += take;
      length -= take;
    }
    co_return result;
  }

  /// From now on what overlaps this byte fails with `code`.
  void fail_at(std::uint64_t offset, Errc code) {
    fault_ = offset;
    fault_code_ = code;
  }
  /// Whether only reads fail.
  void spare_writes(bool spared) { writes_spared_ = spared; }
  /// While held, requests wait.
  void hold() { held_ = zeroes_held_ = true; }
  void hold_zeroes() { zeroes_held_ = true; }
  void let_go() {
    held_ = zeroes_held_ = false;
    gate_.wake_all();
  }
  void set_read_only(bool value) { options_.read_only = value; }
  void grow(std::uint64_t size) {
    check(size >= options_.size && size <= room(), "memory grows within its room");
    options_.size = size;
  }
  [[nodiscard]] MutableBytes bytes() { return {bytes_.get(), options_.size}; }

  Counts counts{};

 private:
  static constexpr std::uint64_t kGrain = 4096;
  static void keep(std::byte* /*bytes*/) {}
  static void free_bytes(std::byte* bytes) { std::free(bytes); }
  [[nodiscard]] std::uint64_t room() const { return std::max(options_.size, options_.room); }

  [[nodiscard]] bool fails(std::uint64_t offset, std::uint64_t length) const {
    return fault_ && *fault_ >= offset && *fault_ - offset < length;
  }
  void zero(std::uint64_t offset, std::uint64_t length, ExtentKind kind) {
    if (options_.null) return;
    std::memset(bytes_.get() + offset, 0, length);
    set_kind(offset, length, kind, true);
  }
  // Blocks that are only partly zeroed stay what they are.
  void set_kind(std::uint64_t offset, std::uint64_t length, ExtentKind kind, bool whole_only) {
    const std::uint64_t end = offset + length;
    for (std::uint64_t block = offset / kGrain; block * kGrain < end; ++block) {
      const bool whole =
          block * kGrain >= offset && std::min((block + 1) * kGrain, options_.size) <= end;
      if (whole || !whole_only) kinds_[block] = kind;
    }
  }

  Options options_;
  BufferPool pool_;
  WaitQueue gate_;
  // From calloc: memory that is never written costs nothing.
  std::unique_ptr<std::byte, void (*)(std::byte*)> bytes_;
  std::vector<ExtentKind> kinds_;
  std::optional<std::uint64_t> fault_;
  Errc fault_code_ = Errc::io;
  bool held_ = false;
  bool zeroes_held_ = false;
  bool writes_spared_ = false;
};

}  // namespace uvdo::testing
