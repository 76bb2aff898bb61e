// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/sparse_image.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "async/sim_random.h"
#include "base/check.h"
#include "base/file_descriptor.h"

namespace uvdo {
namespace {

// Makes the pointee the caller's own: creates it, or copies it if somebody else shares it.
template <class T>
T& own(std::shared_ptr<T>& pointer) {
  if (!pointer) {
    pointer = std::make_shared<T>();  // zeros
  } else if (pointer.use_count() > 1) {
    pointer = std::make_shared<T>(*pointer);
  }
  return *pointer;
}

// The hash of a page; 0 for a page of zeros.
std::uint64_t hash_page(ConstBytes bytes) {
  static const std::uint64_t zero_hash = hash_content(std::array<std::byte, 4096>{});
  const std::uint64_t hash = hash_content(bytes);
  return hash == zero_hash ? 0 : hash;
}

// The part of a hash that the child with number `index` gives; children without content give none.
std::uint64_t share(std::size_t index, std::uint64_t hash) {
  return hash == 0 ? 0 : mix_bits(hash + index * 0x9E3779B97F4A7C15U);
}

}  // namespace

std::uint64_t hash_content(ConstBytes bytes) {
  // Eight independent lanes, so that no multiplication waits for another.
  std::array<std::uint64_t, 8> lanes{1, 2, 3, 4, 5, 6, 7, 8};
  const auto step = [&](std::size_t lane, const std::byte* from) {
    const std::uint64_t mixed = (lanes[lane] ^ load_le64(from + lane * 8)) * 0x9E3779B97F4A7C15U;
    lanes[lane] = mixed ^ (mixed >> 29U);
  };
  // Unrolled by hand, so that the lanes are registers.
  const auto all = [&]<std::size_t... lane>(const std::byte* from, std::index_sequence<lane...>) {
    (step(lane, from), ...);
  };
  for (std::size_t i = 0; i + 64 <= bytes.size(); i += 64) {
    all(bytes.data() + i, std::make_index_sequence<8>());
  }
  std::uint64_t hash = bytes.size();
  for (const std::uint64_t lane : lanes) hash = mix_bits(hash ^ lane);
  return hash;
}

SparseImage::SparseImage(std::uint64_t size)
    : size_(size), branches_(size / (kPageSize * kFanout * kFanout) + 1) {}

const SparseImage::Page* SparseImage::find(std::uint64_t page) const {
  // Two levels below the vector of branches, which is all that a copy of the image copies.
  const Branch* branch = branches_[page / (kFanout * kFanout)].get();
  if (branch == nullptr) return nullptr;
  const Leaf* leaf = branch->leaves[page / kFanout % kFanout].get();
  return leaf == nullptr ? nullptr : leaf->pages[page % kFanout].get();
}

SparseImage::Page& SparseImage::page_to_write(std::uint64_t page, bool whole) {
  Branch& branch = own(branches_[page / (kFanout * kFanout)]);
  branch.hashed = false;
  Leaf& leaf = own(branch.leaves[page / kFanout % kFanout]);
  leaf.hashed = false;
  std::shared_ptr<Page>& pointer = leaf.pages[page % kFanout];
  // What will be overwritten as a whole is not worth copying first.
  if (whole && (!pointer || pointer.use_count() > 1)) {
    pointer = std::make_shared_for_overwrite<Page>();
  }
  Page& owned = own(pointer);
  owned.hashed = false;
  return owned;
}

bool SparseImage::is_written(std::uint64_t offset, std::uint64_t length) const {
  for (std::uint64_t page = offset / kPageSize; page * kPageSize < offset + length; ++page) {
    if (find(page) == nullptr) return false;
  }
  return true;
}

std::uint64_t SparseImage::next_data(std::uint64_t offset, std::uint64_t limit) const {
  limit = std::min(limit, size_);
  std::uint64_t page = offset / kPageSize;
  while (page * kPageSize < limit && find(page) == nullptr) {
    // Of what was never touched at all, the whole.
    const bool has_branch = branches_[page / (kFanout * kFanout)] != nullptr;
    const std::uint64_t unit = has_branch ? 1 : kFanout * kFanout;
    page = (page / unit + 1) * unit;
  }
  return std::min(limit, std::max(offset, page * kPageSize));
}

void SparseImage::read(std::uint64_t offset, MutableBytes out) const {
  check(offset <= size_ && out.size() <= size_ - offset, "read beyond the end of an image");
  while (!out.empty()) {
    const std::uint64_t at = offset % kPageSize;
    const std::size_t length = std::min<std::size_t>(kPageSize - at, out.size());
    if (const Page* page = find(offset / kPageSize); page != nullptr) {
      std::memcpy(out.data(), page->bytes.data() + at, length);
    } else {
      std::memset(out.data(), 0, length);
    }
    offset += length;
    out = out.subspan(length);
  }
}

void SparseImage::write(std::uint64_t offset, ConstBytes data) {
  check(offset <= size_ && data.size() <= size_ - offset, "write beyond the end of an image");
  while (!data.empty()) {
    const std::uint64_t at = offset % kPageSize;
    const std::size_t length = std::min<std::size_t>(kPageSize - at, data.size());
    Page& page = page_to_write(offset / kPageSize, length == kPageSize);
    std::memcpy(page.bytes.data() + at, data.data(), length);
    offset += length;
    data = data.subspan(length);
  }
}

std::uint64_t SparseImage::hash() const {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    Branch* branch = branches_[i].get();
    if (branch == nullptr) continue;
    if (!branch->hashed) {
      branch->hash = 0;
      for (std::size_t j = 0; j < kFanout; ++j) {
        Leaf* leaf = branch->leaves[j].get();
        if (leaf == nullptr) continue;
        if (!leaf->hashed) {
          leaf->hash = 0;
          for (std::size_t k = 0; k < kFanout; ++k) {
            Page* page = leaf->pages[k].get();
            if (page == nullptr) continue;
            if (!page->hashed) {
              page->hash = hash_page(page->bytes);
              page->hashed = true;
            }
            leaf->hash ^= share(k, page->hash);
          }
          leaf->hashed = true;
        }
        branch->hash ^= share(j, leaf->hash);
      }
      branch->hashed = true;
    }
    total ^= share(i, branch->hash);
  }
  return total;
}

template <class Visitor>
void SparseImage::for_each_page(Visitor&& visit) const {
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    if (!branches_[i]) continue;
    for (std::size_t j = 0; j < kFanout; ++j) {
      const Leaf* leaf = branches_[i]->leaves[j].get();
      if (leaf == nullptr) continue;
      for (std::size_t k = 0; k < kFanout; ++k) {
        if (leaf->pages[k]) visit((i * kFanout + j) * kFanout + k, *leaf->pages[k]);
      }
    }
  }
}

std::uint64_t SparseImage::allocated() const {
  std::uint64_t pages = 0;
  for_each_page([&](std::uint64_t, const Page&) { ++pages; });
  return pages * kPageSize;
}

Result<void> SparseImage::save(const std::string& path) const {
  const FileDescriptor fd(::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
  if (!fd || ftruncate(fd.get(), static_cast<off_t>(size_)) != 0) {
    return errno_error(errno, fmt::format("making {}", path));
  }
  int error = 0;
  for_each_page([&](std::uint64_t number, const Page& page) {
    const std::uint64_t offset = number * kPageSize;
    const std::size_t length = std::min<std::uint64_t>(kPageSize, size_ - offset);
    if (pwrite(fd.get(), page.bytes.data(), length, static_cast<off_t>(offset)) !=
        static_cast<ssize_t>(length)) {
      error = errno == 0 ? EIO : errno;
    }
  });
  if (error != 0) return errno_error(error, fmt::format("writing {}", path));
  return {};
}

Result<SparseImage> SparseImage::load(const std::string& path) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!fd || fstat(fd.get(), &status) != 0) {
    return errno_error(errno, fmt::format("opening {}", path));
  }
  SparseImage image(static_cast<std::uint64_t>(status.st_size));
  std::vector<std::byte> buffer(kPageSize * kFanout);
  off_t offset = 0;
  while ((offset = lseek(fd.get(), offset, SEEK_DATA)) >= 0) {
    offset -= offset % static_cast<off_t>(kPageSize);
    const ssize_t length = pread(fd.get(), buffer.data(), buffer.size(), offset);
    if (length <= 0) return errno_error(length < 0 ? errno : EIO, fmt::format("reading {}", path));
    const ConstBytes data(buffer.data(), static_cast<std::size_t>(length));
    for (std::size_t at = 0; at < data.size(); at += kPageSize) {
      const ConstBytes page = data.subspan(at, std::min(kPageSize, data.size() - at));
      const bool zeros =
          std::all_of(page.begin(), page.end(), [](std::byte b) { return b == std::byte{0}; });
      if (!zeros) image.write(static_cast<std::uint64_t>(offset) + at, page);
    }
    offset += length;
  }
  return image;
}

}  // namespace uvdo
