// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/page_memory.h"

#include <sys/mman.h>

#include "base/out_of_memory.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kSlack = 64;

std::uint64_t mapped_bytes(std::uint64_t size) { return size + kSlack; }

}  // namespace

std::optional<PageMemory> PageMemory::try_take(std::uint64_t size) {
  void* base = mmap(nullptr, mapped_bytes(size), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return std::nullopt;
  PageMemory memory;
  memory.data_ = static_cast<std::byte*>(base);
  memory.size_ = size;
  return memory;
}

PageMemory::PageMemory(std::uint64_t size) {
  auto taken = try_take(size);
  if (!taken) out_of_memory();
  *this = std::move(*taken);
}

PageMemory::~PageMemory() {
  if (data_ != nullptr) munmap(data_, mapped_bytes(size_));
}

void PageMemory::allow_huge_pages() const { madvise(data_, size_, MADV_HUGEPAGE); }

}  // namespace uvdo
