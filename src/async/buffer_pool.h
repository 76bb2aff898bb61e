// SPDX-License-Identifier: GPL-2.0-or-later
// The memory of data in flight: page-aligned buffers of three sizes from one arena of fixed size.
// When a size is used up, who asks for more waits: this is how a slow device holds its clients
// back.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "async/wait_queue.h"
#include "base/bytes.h"
#include "base/page_memory.h"

namespace uvdo {

class BufferPool;

/// A buffer on loan from a pool; it goes back when this is destroyed. `size` is what was asked for.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), data_(other.data_), size_(other.size_) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer();
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] MutableBytes bytes() const { return {data_, size_}; }
  /// Narrows the buffer to its first `size` bytes.
  void shrink(std::size_t size);

 private:
  friend class BufferPool;
  Buffer(BufferPool& pool, std::byte* data, std::size_t size)
      : pool_(&pool), data_(data), size_(size) {}
  BufferPool* pool_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

class BufferPool {
 public:
  /// The sizes, in bytes; a request for more than the largest is a bug of the caller.
  static constexpr std::array<std::size_t, 3> kSizes{std::size_t{4} << 10U, std::size_t{32} << 10U,
                                                     std::size_t{128} << 10U};
  static constexpr std::size_t kLargest = kSizes.back();

  /// A pool of about `bytes` in all: a quarter in 4 KiB, a quarter in 32 KiB, half in 128 KiB
  /// buffers, at least one of each.
  BufferPool(Executor& executor, std::uint64_t bytes)
      : BufferPool(executor, bytes, MutableBytes()) {}
  /// The same in memory of somebody else, bytes_for(bytes) at a 4096-byte boundary, that outlives
  /// it; in its own if that is empty.
  BufferPool(Executor& executor, std::uint64_t bytes, MutableBytes memory);
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool();

  /// The bytes of the buffers of such a pool.
  [[nodiscard]] static std::uint64_t bytes_for(std::uint64_t bytes);

  /// co_await pool.acquire(n): a buffer of n bytes (1..kLargest), waiting for one if need be.
  Task<Buffer> acquire(std::size_t size);
  /// A buffer if there is one now and nobody waits for it; otherwise one with data() == nullptr.
  [[nodiscard]] Buffer try_acquire(std::size_t size);
  /// While refusing, nobody waits: acquire() gives a buffer that is there, or one with data() ==
  /// nullptr; to those who wait already, too.
  void set_refusing(bool refusing);
  [[nodiscard]] bool is_refusing() const { return refusing_; }
  /// Whether somebody waits for a buffer, so that those who hold some idly should let go.
  [[nodiscard]] bool is_short() const { return waiting_ > 0; }
  /// How often somebody has had to wait.
  [[nodiscard]] std::uint64_t shortages() const { return shortages_; }
  /// Bytes in use now, and of the whole arena.
  [[nodiscard]] std::uint64_t bytes_in_use() const { return bytes_in_use_; }
  [[nodiscard]] std::uint64_t capacity() const { return capacity_; }

 private:
  friend class Buffer;
  /// Who waits for a buffer of a size; buffers that come back are given in order.
  struct Waiter {
    std::coroutine_handle<> handle{};
    std::byte* data = nullptr;
    Waiter* next = nullptr;
  };
  struct SizeClass {
    std::vector<std::byte*> free;
    Waiter* first = nullptr;
    Waiter** last = &first;
  };
  struct Turn;
  /// To who has waited longest for that size; else to the free ones.
  void give_back(std::byte* data);
  /// Counts it as in use.
  Buffer lend(std::size_t index, std::byte* data, std::size_t size);
  /// The smallest size that is enough, by its number.
  static std::size_t class_of(std::size_t size);

  Executor& executor_;
  std::array<SizeClass, 3> classes_;
  PageMemory own_;                    // if it has its own
  std::array<std::byte*, 3> ends_{};  // where the share of each size class ends in the arena
  std::uint64_t capacity_ = 0;
  std::uint64_t bytes_in_use_ = 0;
  std::uint64_t waiting_ = 0;
  std::uint64_t shortages_ = 0;
  bool refusing_ = false;
};

}  // namespace uvdo
