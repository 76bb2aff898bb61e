// SPDX-License-Identifier: GPL-2.0-or-later
#include "content.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include <fmt/core.h>

#include "base/check.h"
#include "colliding.h"
#include "device/sparse_image.h"

namespace uvdo::sim {
namespace {

void fill_random(SimRandom random, MutableBytes out) {
  for (std::size_t i = 0; i + 8 <= out.size(); i += 8) store_le64(out.data() + i, random.next());
}

// Changes slowly, so that LZ4 finds long matches.
constexpr std::array<std::byte, kBlockSize> kPattern = [] {
  std::array<std::byte, kBlockSize> pattern{};
  for (std::size_t i = 0; i < kBlockSize; ++i) pattern[i] = static_cast<std::byte>(i / 97);
  return pattern;
}();

void make_block(ContentId id, MutableBytes block) {
  SimRandom random((std::uint64_t{id.number} << 8U) | 0x55U);
  switch (id.kind) {
    case ContentKind::zero: std::memset(block.data(), 0, kBlockSize); break;
    case ContentKind::unique: fill_random(random, block); break;
    case ContentKind::compressible: {
      // A third cannot be compressed; the rest is a pattern.
      const std::size_t hard = 1024 + id.number % 64 * 8;
      fill_random(random, block.first(hard));
      std::memcpy(block.data() + hard, kPattern.data() + hard, kBlockSize - hard);
      break;
    }
    case ContentKind::very_compressible:
      store_le64(block.data(), id.number);
      std::memset(block.data() + 8, static_cast<std::uint8_t>(id.number | 1U), kBlockSize - 8);
      break;
    case ContentKind::near_duplicate:
      fill_random(random, block);
      block[(std::uint64_t{id.number} * 509) % kBlockSize] ^= std::byte{1};
      break;
    case ContentKind::colliding: {
      // Every second pair can be compressed.
      const std::uint32_t pair = id.number / 2;
      // Both of a pair begin with the same bytes; the odd one is then changed under its name.
      random = SimRandom((std::uint64_t{pair} << 8U) | 0xAAU);
      const std::size_t hard = pair % 2 == 0 ? kBlockSize : 128;
      fill_random(random, block.first(hard));
      std::memset(block.data() + hard, 0, kBlockSize - hard);
      if (id.number % 2 != 0) make_colliding(block);
      break;
    }
  }
}

/// Contents made lately. Each is needed a few times: by the model, by who writes it, and by those
/// who write the same.
struct Made {
  ContentId id;
  std::uint64_t hash = 0;
  bool is_hashed = false;
  alignas(64) std::array<std::byte, kBlockSize> bytes{};
};

Made& made(ContentId id) {
  static std::vector<Made> all(256);  // empty ones are right for zeros
  Made& place = all[mix_bits(std::uint64_t{id.number} * 8 + static_cast<std::uint64_t>(id.kind)) %
                    all.size()];
  if (place.id == id) return place;
  make_block(id, place.bytes);
  place.id = id;
  place.is_hashed = false;
  return place;
}

}  // namespace

void fill_block(ContentId id, MutableBytes block) {
  check(block.size() == kBlockSize, "contents are made block by block");
  std::memcpy(block.data(), made(id).bytes.data(), kBlockSize);
}

std::string describe(ContentId id) {
  static constexpr std::array<const char*, 6> kNames{
      "zeros", "unique", "compressible", "very compressible", "near duplicate of", "colliding"};
  if (id.kind == ContentKind::zero) return kNames[0];
  return fmt::format("{} #{}", kNames[static_cast<std::size_t>(id.kind)], id.number);
}

Value::Value() : hash_(0) {
  static const std::uint64_t zero_hash = Value(ContentId{}).hash();
  hash_ = zero_hash;
}

Value::Value(ContentId id) : id_(id), hash_(0) {
  Made& content = made(id);
  if (!content.is_hashed) content.hash = hash_content(content.bytes);
  content.is_hashed = true;
  hash_ = content.hash;
}

Value::Value(ConstBytes block) : hash_(hash_content(block)) {
  auto bytes = std::make_shared<std::array<std::byte, kBlockSize>>();
  std::memcpy(bytes->data(), block.data(), kBlockSize);
  bytes_ = std::move(bytes);
}

Value Value::overlaid(std::size_t offset, ConstBytes part) const {
  alignas(8) std::array<std::byte, kBlockSize> block;
  copy_to(block);
  std::memcpy(block.data() + offset, part.data(), part.size());
  return Value(ConstBytes(block));
}

void Value::copy_to(MutableBytes block) const {
  if (bytes_) {
    std::memcpy(block.data(), bytes_->data(), kBlockSize);
  } else {
    fill_block(id_, block);
  }
}

bool Value::is_zero() const {
  static const std::uint64_t zero_hash = Value().hash();
  return hash_ == zero_hash;
}

std::string Value::describe() const {
  if (is_zero()) return "zeros";
  if (!bytes_) return sim::describe(id_);
  return fmt::format("a mixture ({:016x})", hash_);
}

ContentId ContentSource::next(SimRandom& random) {
  const std::uint32_t whole = mix_.zero + mix_.unique + mix_.duplicate + mix_.compressible +
                              mix_.very_compressible + mix_.near_duplicate + mix_.colliding +
                              mix_.copy;
  auto pick = static_cast<std::uint32_t>(random.below(whole));
  const auto falls_into = [&](std::uint32_t share) {
    if (pick < share) return true;
    pick -= share;
    return false;
  };
  if (falls_into(mix_.zero)) return {ContentKind::zero, 0};
  if (falls_into(mix_.unique)) return {ContentKind::unique, ++last_number_};
  if (falls_into(mix_.duplicate)) {
    const auto number = static_cast<std::uint32_t>(random.below(mix_.duplicates));
    // Some of those that come again can be compressed.
    return {number % 4 == 3 ? ContentKind::compressible : ContentKind::unique, number};
  }
  if (falls_into(mix_.compressible)) return {ContentKind::compressible, ++last_number_};
  if (falls_into(mix_.very_compressible)) return {ContentKind::very_compressible, ++last_number_};
  if (falls_into(mix_.copy)) {
    return {ContentKind::compressible, static_cast<std::uint32_t>(random.below(2))};
  }
  if (falls_into(mix_.colliding)) {
    return {ContentKind::colliding, static_cast<std::uint32_t>(random.below(mix_.duplicates))};
  }
  return {ContentKind::near_duplicate, static_cast<std::uint32_t>(random.below(mix_.duplicates))};
}

}  // namespace uvdo::sim
