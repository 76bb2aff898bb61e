// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/frame_pool.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <new>
#include <utility>

#include <sys/mman.h>

namespace uvdo {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kPooled = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool kPooled = false;
#else
constexpr bool kPooled = true;
#endif
#else
constexpr bool kPooled = true;
#endif

/// Frames of a class have a multiple of so many bytes.
constexpr std::size_t kGrain = 64;
constexpr std::size_t kClasses = 256;  // frames up to 16 KiB are pooled
/// Address space that is taken at once; memory is taken as it is used.
constexpr std::size_t kArenaBytes = std::size_t{16} << 20U;
/// Frames that a thread takes from the store at once, in bytes.
constexpr std::size_t kRefillBytes = std::size_t{8} << 10U;

/// What a free frame's memory holds.
struct FreeFrame {
  FreeFrame* next;
};

/// Where the threads get their frames from, a few at a time, and where those go that a thread has
/// left behind. It is never destroyed: frames may outlive the thread that made them.
class FrameStore {
 public:
  /// A list of at least one frame.
  FreeFrame* take(std::size_t index) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (left_behind_[index] != nullptr) return std::exchange(left_behind_[index], nullptr);
    const std::size_t size = (index + 1) * kGrain;
    const std::size_t count = std::max<std::size_t>(1, kRefillBytes / size);
    if (static_cast<std::size_t>(end_ - next_) < count * size) take_arena();
    FreeFrame* list = nullptr;
    for (std::size_t i = count; i-- > 0;) list = new (next_ + i * size) FreeFrame{list};
    next_ += count * size;
    return list;
  }
  /// Of a thread that ends: others take them first.
  void leave_behind(FreeFrame* list, std::size_t index) {
    if (list == nullptr) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    FreeFrame* last = list;
    while (last->next != nullptr) last = last->next;
    last->next = std::exchange(left_behind_[index], list);
  }

 private:
  /// What is left of the one before is less than one refill, and given up.
  void take_arena() {
    void* arena =
        mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (arena == MAP_FAILED) throw std::bad_alloc();
    next_ = static_cast<std::byte*>(arena);
    end_ = next_ + kArenaBytes;
  }
  std::mutex mutex_;
  std::array<FreeFrame*, kClasses> left_behind_{};
  // what is left of the arena that was taken last
  std::byte* next_ = nullptr;
  std::byte* end_ = nullptr;
};

FrameStore& store() {
  static auto* const instance = new FrameStore;
  return *instance;
}

/// The free frames of one thread, without a lock.
class FramePool {
 public:
  FramePool() { store(); }  // so that it is made before the first frame is needed
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;
  ~FramePool() {
    for (std::size_t i = 0; i < kClasses; ++i) store().leave_behind(free_[i], i);
  }
  /// A frame of a class, by its number.
  void* take(std::size_t index) {
    FreeFrame* frame = free_[index];
    if (frame == nullptr) frame = store().take(index);
    free_[index] = frame->next;
    return frame;
  }
  void give(void* memory, std::size_t index) noexcept {
    free_[index] = new (memory) FreeFrame{free_[index]};
  }

 private:
  std::array<FreeFrame*, kClasses> free_{};
};

FramePool& pool() {
  thread_local FramePool instance;
  return instance;
}

}  // namespace

void* allocate_frame(std::size_t size) {
  const std::size_t index = (size - 1) / kGrain;
  if (!kPooled || index >= kClasses) return ::operator new(size);
  return pool().take(index);
}

void free_frame(void* frame, std::size_t size) noexcept {
  const std::size_t index = (size - 1) / kGrain;
  if (!kPooled || index >= kClasses) {
    ::operator delete(frame);
  } else {
    pool().give(frame, index);
  }
}

}  // namespace uvdo
