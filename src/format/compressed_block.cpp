// SPDX-License-Identifier: GPL-2.0-or-later
// Building and reading of compressed blocks.
#include "format/compressed_block.h"

#include <algorithm>
#include <cstring>

#include <fmt/core.h>
#include <lz4.h>

namespace uvdo {
namespace {

constexpr std::uint32_t kMajorVersion = 1;
constexpr std::uint32_t kMinorVersion = 0;
constexpr std::size_t kSizesOffset = 8;
/// LZ4's default: the best ratio of its fast compressor.
constexpr int kAcceleration = 1;

}  // namespace

void build_compressed_block(std::span<const ConstBytes> fragments, MutableBytes block) {
  check(block.size() == kBlockSize, "a compressed block is 4096 bytes");
  check(!fragments.empty() && fragments.size() <= kMaxFragments, "number of fragments");
  std::byte* p = block.data();
  // Slots that are not used have the size 0.
  std::memset(p, 0, kCompressedHeaderSize);
  store_le32(p, kMajorVersion);
  store_le32(p + 4, kMinorVersion);
  std::size_t at = kCompressedHeaderSize;
  for (std::size_t i = 0; i < fragments.size(); ++i) {
    const std::size_t size = fragments[i].size();
    check(size > 0 && size <= kMaxFragmentSize && size <= kBlockSize - at, "fragments do not fit");
    store_le16(p + kSizesOffset + 2 * i, static_cast<std::uint16_t>(size));
    std::memcpy(p + at, fragments[i].data(), size);
    at += size;
  }
  // Nothing of what the memory held before goes to the disk.
  std::memset(p + at, 0, kBlockSize - at);
}

std::optional<ConstBytes> find_fragment(ConstBytes block, unsigned slot) {
  check(block.size() == kBlockSize, "a compressed block is 4096 bytes");
  const std::byte* p = block.data();
  if (load_le32(p) != kMajorVersion || load_le32(p + 4) != kMinorVersion) return std::nullopt;
  if (slot >= kMaxFragments) return std::nullopt;
  std::size_t at = 0;
  for (unsigned i = 0; i < slot; ++i) {
    at += load_le16(p + kSizesOffset + std::size_t{2} * i);
    // Also of slots before it: a sum that leaves the block means that all of it is wrong.
    if (at >= kFragmentSpace) return std::nullopt;
  }
  const std::size_t size = load_le16(p + kSizesOffset + std::size_t{2} * slot);
  if (size == 0 || size > kFragmentSpace - at) return std::nullopt;
  return block.subspan(kCompressedHeaderSize + at, size);
}

/// Looks a second time, for the words: those who read by the thousand ask find_fragment().
Result<ConstBytes> fragment_of(ConstBytes block, unsigned slot) {
  if (const auto found = find_fragment(block, slot)) return *found;
  const std::byte* p = block.data();
  if (load_le32(p) != kMajorVersion || load_le32(p + 4) != kMinorVersion) {
    return Error(Errc::corrupt, fmt::format("not a compressed block: its version is {}.{}, not 1.0",
                                            load_le32(p), load_le32(p + 4)));
  }
  if (slot >= kMaxFragments) {
    return Error(Errc::corrupt, fmt::format("a compressed block has no fragment {}", slot));
  }
  return Error(Errc::corrupt,
               fmt::format("the compressed block is damaged: its fragment {} has no bytes, or ends "
                           "outside",
                           slot));
}

bool try_decompress_fragment(ConstBytes fragment, MutableBytes out) {
  check(out.size() == kBlockSize, "a fragment decompresses to 4096 bytes");
  if (fragment.size() > kBlockSize) return false;
  // Reads and writes nothing outside of the two, whatever the bytes are.
  return LZ4_decompress_safe(reinterpret_cast<const char*>(fragment.data()),
                             reinterpret_cast<char*>(out.data()), static_cast<int>(fragment.size()),
                             int{kBlockSize}) == int{kBlockSize};
}

Result<void> decompress_fragment(ConstBytes fragment, MutableBytes out) {
  if (try_decompress_fragment(fragment, out)) return {};
  if (fragment.size() > kBlockSize) return Error(Errc::corrupt, "the fragment is too long");
  return Error(Errc::corrupt,
               "the fragment of a compressed block is damaged: it does not "
               "decompress to 4096 bytes");
}

Result<void> read_fragment(ConstBytes block, unsigned slot, MutableBytes out) {
  auto fragment = fragment_of(block, slot);
  if (!fragment) return std::move(fragment).error();
  return decompress_fragment(*fragment, out);
}

bool try_read_fragment(ConstBytes block, unsigned slot, MutableBytes out) {
  const auto fragment = find_fragment(block, slot);
  return fragment && try_decompress_fragment(*fragment, out);
}

Lz4Compressor::Lz4Compressor() : state_(LZ4_createStream()) {
  check(state_ != nullptr, "no memory for the state of LZ4");
}

void Lz4Compressor::FreeState::operator()(void* state) const {
  LZ4_freeStream(static_cast<LZ4_stream_t*>(state));
}

std::size_t Lz4Compressor::compress(const std::byte* block, MutableBytes out) {
  // A fragment has at most so many bytes; where they are too few LZ4 says 0.
  const int room = static_cast<int>(std::min(out.size(), kMaxFragmentSize));
  const int size = LZ4_compress_fast_extState(state_.get(), reinterpret_cast<const char*>(block),
                                              reinterpret_cast<char*>(out.data()), int{kBlockSize},
                                              room, kAcceleration);
  return size > 0 ? static_cast<std::size_t>(size) : 0;
}

}  // namespace uvdo
