// SPDX-License-Identifier: GPL-2.0-or-later
// Objects that are used again and again, with the memory for a given number of them taken at the
// start, so that none is taken from the heap later. That memory is touched as far as it is used.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace uvdo {

template <class T>
class ObjectPool {
 public:
  /// A pool of `capacity` objects. More may be taken, which costs an allocation each.
  explicit ObjectPool(std::size_t capacity)
      : capacity_(capacity), memory_(std::make_unique_for_overwrite<Place[]>(capacity)) {
    spare_.reserve(capacity);
  }
  ObjectPool(const ObjectPool&) = delete;
  ObjectPool& operator=(const ObjectPool&) = delete;
  /// All objects must have been given back, or not be used any more.
  ~ObjectPool() {
    while (made_ > 0) place(--made_)->~T();
  }

  /// Whether an object can be taken without an allocation.
  [[nodiscard]] bool has_spare() const { return !spare_.empty() || made_ < capacity_; }
  /// An object as it was given back, or a new one made of `arguments`.
  template <class... Arguments>
  [[nodiscard]] T& take(Arguments&&... arguments) {
    if (!spare_.empty()) {
      T& object = *spare_.back();
      spare_.pop_back();
      return object;
    }
    if (made_ < capacity_) return *new (&memory_[made_++]) T(std::forward<Arguments>(arguments)...);
    more_.push_back(std::make_unique<T>(std::forward<Arguments>(arguments)...));
    return *more_.back();
  }
  void give(T& object) { spare_.push_back(&object); }

 private:
  struct alignas(T) Place {
    std::byte bytes[sizeof(T)];  // NOLINT(*-c-arrays): memory for an object
  };
  [[nodiscard]] T* place(std::size_t i) { return std::launder(reinterpret_cast<T*>(&memory_[i])); }

  std::size_t capacity_;
  std::unique_ptr<Place[]> memory_;  // NOLINT(*-c-arrays)
  std::size_t made_ = 0;
  std::vector<T*> spare_;
  std::vector<std::unique_ptr<T>> more_;
};

}  // namespace uvdo
