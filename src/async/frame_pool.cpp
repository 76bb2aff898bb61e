// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/frame_pool.h"

#include <array>
#include <new>

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

constexpr std::size_t kGrain = 64;
constexpr std::size_t kClasses = 128;  // frames up to 8 KiB are pooled

struct FreeFrame {
  FreeFrame* next;
};

class FramePool {
 public:
  FramePool() = default;
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;
  ~FramePool() {
    for (FreeFrame*& head : free_) {
      while (head != nullptr) {
        FreeFrame* frame = head;
        head = frame->next;
        ::operator delete(frame);
      }
    }
  }
  void* take(std::size_t index) {
    FreeFrame* frame = free_[index];
    if (frame == nullptr) return ::operator new((index + 1) * kGrain);
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
