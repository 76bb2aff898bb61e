// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/buffer_pool.h"

#include <algorithm>

#include <sys/mman.h>

#include "base/out_of_memory.h"

namespace uvdo {
namespace {
constexpr std::array<std::uint64_t, 3> kShareDivisor{4, 4, 2};
}  // namespace

Buffer::~Buffer() {
  if (pool_ != nullptr) pool_->give_back(data_);
}

void Buffer::shrink(std::size_t size) {
  check(size <= size_, "a buffer only shrinks");
  size_ = size;
}

BufferPool::BufferPool(Executor& executor, std::uint64_t bytes)
    : classes_{SizeClass(executor), SizeClass(executor), SizeClass(executor)} {
  std::array<std::uint64_t, 3> counts{};
  for (std::size_t i = 0; i < kSizes.size(); ++i) {
    counts[i] = std::max<std::uint64_t>(1, bytes / kShareDivisor[i] / kSizes[i]);
    capacity_ += counts[i] * kSizes[i];
  }
  void* arena =
      mmap(nullptr, capacity_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (arena == MAP_FAILED) out_of_memory();
  arena_ = static_cast<std::byte*>(arena);
  std::byte* at = arena_;
  for (std::size_t i = 0; i < kSizes.size(); ++i) {
    classes_[i].free.reserve(counts[i]);
    ends_[i] = at + counts[i] * kSizes[i];
    // The last in the list is taken first: low addresses are used again and again and stay cached.
    for (std::byte* p = ends_[i]; p != at; p -= kSizes[i])
      classes_[i].free.push_back(p - kSizes[i]);
    at = ends_[i];
    classes_[i].available.release(counts[i]);
  }
}

BufferPool::~BufferPool() {
  check(bytes_in_use_ == 0, "a buffer outlives its pool");
  munmap(arena_, capacity_);
}

std::size_t BufferPool::class_of(std::size_t size) {
  check(size > 0 && size <= kLargest, "buffer size out of range");
  return size <= kSizes[0] ? 0U : (size <= kSizes[1] ? 1U : 2U);
}

Buffer BufferPool::take(std::size_t index, std::size_t size) {
  std::byte* data = classes_[index].free.back();
  classes_[index].free.pop_back();
  bytes_in_use_ += kSizes[index];
  return {*this, data, size};
}

Buffer BufferPool::try_acquire(std::size_t size) {
  const std::size_t index = class_of(size);
  if (!classes_[index].available.try_acquire()) return {};
  return take(index, size);
}

Task<Buffer> BufferPool::acquire(std::size_t size) {
  const std::size_t index = class_of(size);
  if (!classes_[index].available.try_acquire()) {
    ++shortages_;
    ++waiting_;
    co_await classes_[index].available.acquire();
    --waiting_;
  }
  co_return take(index, size);
}

void BufferPool::give_back(std::byte* data) {
  std::size_t index = 0;
  while (data >= ends_[index]) ++index;
  bytes_in_use_ -= kSizes[index];
  classes_[index].free.push_back(data);
  classes_[index].available.release();
}

}  // namespace uvdo
