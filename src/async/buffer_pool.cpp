// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/buffer_pool.h"

#include <algorithm>

namespace uvdo {
namespace {
/// Of each size: one part in so many of the whole.
constexpr std::array<std::uint64_t, 3> kShareDivisor{4, 4, 2};

/// Bytes of the buffers of each size.
std::array<std::uint64_t, 3> bytes_of_sizes(std::uint64_t bytes) {
  std::array<std::uint64_t, 3> shares{};
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const std::uint64_t size = BufferPool::kSizes[i];
    shares[i] = std::max<std::uint64_t>(1, bytes / kShareDivisor[i] / size) * size;
  }
  return shares;
}

}  // namespace

Buffer::~Buffer() {
  if (pool_ != nullptr) pool_->give_back(data_);
}

void Buffer::shrink(std::size_t size) {
  check(size <= size_, "a buffer only shrinks");
  size_ = size;
}

std::uint64_t BufferPool::bytes_for(std::uint64_t bytes) {
  std::uint64_t sum = 0;
  for (const std::uint64_t one : bytes_of_sizes(bytes)) sum += one;
  return sum;
}

BufferPool::BufferPool(Executor& executor, std::uint64_t bytes, MutableBytes memory)
    : executor_(executor), capacity_(bytes_for(bytes)) {
  if (memory.empty()) {
    own_ = PageMemory(capacity_);
    memory = own_.bytes();
  }
  check(memory.size() == capacity_, "the memory of a pool has another size");
  const auto shares = bytes_of_sizes(bytes);
  std::byte* at = memory.data();
  for (std::size_t i = 0; i < kSizes.size(); ++i) {
    classes_[i].free.reserve(shares[i] / kSizes[i]);
    ends_[i] = at + shares[i];
    // The last in the list is taken first: low addresses are used again and again and stay cached.
    for (std::byte* p = ends_[i]; p != at; p -= kSizes[i])
      classes_[i].free.push_back(p - kSizes[i]);
    at = ends_[i];
  }
}

BufferPool::~BufferPool() { check(bytes_in_use_ == 0, "a buffer outlives its pool"); }

std::size_t BufferPool::class_of(std::size_t size) {
  check(size > 0 && size <= kLargest, "buffer size out of range");
  return size <= kSizes[0] ? 0U : (size <= kSizes[1] ? 1U : 2U);
}

Buffer BufferPool::lend(std::size_t index, std::byte* data, std::size_t size) {
  bytes_in_use_ += kSizes[index];
  return {*this, data, size};
}

Buffer BufferPool::try_acquire(std::size_t size) {
  const std::size_t index = class_of(size);
  SizeClass& of_size = classes_[index];
  if (of_size.first != nullptr || of_size.free.empty()) return {};
  std::byte* data = of_size.free.back();
  of_size.free.pop_back();
  return lend(index, data, size);
}

/// co_await: a buffer of a size, or nullptr if the pool refuses.
struct BufferPool::Turn {
  SizeClass& of_size;
  Waiter waiter{};
  static bool await_ready() noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter.handle = handle;
    *of_size.last = &waiter;
    of_size.last = &waiter.next;
  }
  [[nodiscard]] std::byte* await_resume() const { return waiter.data; }
};

Task<Buffer> BufferPool::acquire(std::size_t size) {
  Buffer buffer = try_acquire(size);
  if (buffer.data() != nullptr || refusing_) co_return buffer;
  const std::size_t index = class_of(size);
  // Who gives a buffer back has put it into the waiter's hands before this goes on.
  ++shortages_;
  ++waiting_;
  Turn turn{classes_[index]};
  std::byte* const data = co_await turn;
  --waiting_;
  if (data == nullptr) co_return Buffer();
  co_return lend(index, data, size);
}

void BufferPool::set_refusing(bool refusing) {
  refusing_ = refusing;
  if (!refusing) return;
  for (SizeClass& of_size : classes_) {
    Waiter* waiter = std::exchange(of_size.first, nullptr);
    of_size.last = &of_size.first;
    while (waiter != nullptr) {
      Waiter* const next = waiter->next;
      // Its `data` stays nullptr, which is the refusal.
      executor_.post(waiter->handle);
      waiter = next;
    }
  }
}

void BufferPool::give_back(std::byte* data) {
  // The address tells the size: the sizes lie one behind the other in the arena.
  std::size_t index = 0;
  while (data >= ends_[index]) ++index;
  bytes_in_use_ -= kSizes[index];
  SizeClass& of_size = classes_[index];
  Waiter* const waiter = of_size.first;
  if (waiter == nullptr) {
    of_size.free.push_back(data);
    return;
  }
  of_size.first = waiter->next;
  if (of_size.first == nullptr) of_size.last = &of_size.first;
  // In use again, and counted so, when the waiter goes on.
  waiter->data = data;
  executor_.post(waiter->handle);
}

}  // namespace uvdo
