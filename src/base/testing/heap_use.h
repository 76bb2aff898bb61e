// SPDX-License-Identifier: GPL-2.0-or-later
// Counts what a test program takes from the heap. For one source file of a program: it replaces the
// functions of the C library.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UVDO_HEAP_IS_TAKEN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UVDO_HEAP_IS_TAKEN
#endif
#endif
#if defined(__GLIBC__) && !defined(UVDO_HEAP_IS_TAKEN)
#define UVDO_COUNT_ALLOCATIONS
#endif

namespace uvdo::testing {

inline std::atomic<std::uint64_t> allocation_count{0};

/// How often this process has taken memory from the heap, or grown what it had.
inline std::uint64_t allocations() { return allocation_count; }

#ifdef UVDO_COUNT_ALLOCATIONS
inline constexpr bool kCountsAllocations = true;
#else
inline constexpr bool kCountsAllocations = false;
#endif

}  // namespace uvdo::testing

#ifdef UVDO_COUNT_ALLOCATIONS
// Whoever takes memory, this program or a library, does so through one of these.
extern "C" {
// NOLINTBEGIN: names of the C library
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
// NOLINTEND
void* malloc(std::size_t size) {
  ++uvdo::testing::allocation_count;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  ++uvdo::testing::allocation_count;
  return __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) {
  ++uvdo::testing::allocation_count;
  return __libc_realloc(old, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  ++uvdo::testing::allocation_count;
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  ++uvdo::testing::allocation_count;
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}
}
#endif
