// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/open_chapter.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>
#include <utility>

#include "index/delta_list.h"

namespace uvdo {
namespace {

constexpr std::string_view kMagicAndVersion = "ALBOC02.00";

}  // namespace

OpenChapter::OpenChapter(std::uint32_t capacity)
    : capacity_(capacity),
      slot_shift_(64 - static_cast<unsigned>(std::bit_width(capacity * 2 - 1))),
      memory_(std::uint64_t{capacity} * kRecordSize),
      slot_memory_(sizeof(std::uint32_t) << (64 - slot_shift_)),
      slots_(reinterpret_cast<std::uint32_t*>(slot_memory_.data()),
             std::size_t{1} << (64 - slot_shift_)) {
  check(capacity < 1U << kNumberBits, "a chapter has at most 262144 records");
}

const IndexData* OpenChapter::find(const RecordName& name) const {
  const std::uint32_t tag = tag_of(name);
  // It ends: the table is at most half full.
  for (std::size_t slot = slot_of(name);; slot = (slot + 1) & (slots_.size() - 1)) {
    if (slots_[slot] == 0) return nullptr;
    const IndexRecord* record = candidate(slots_[slot], tag);
    if (record != nullptr && same_name(record->name, name)) return &record->data;
  }
}

/// Linear probing: the name's slot if it has one, otherwise the first that is free.
void OpenChapter::put(const RecordName& name, const IndexData& data) {
  std::size_t slot = slot_of(name);
  const std::uint32_t tag = tag_of(name);
  for (; slots_[slot] != 0; slot = (slot + 1) & (slots_.size() - 1)) {
    IndexRecord* record = candidate(slots_[slot], tag);
    if (record != nullptr && same_name(record->name, name)) {
      record->data = data;
      return;
    }
  }
  check(size_ < capacity_, "a full chapter takes no records");
  *records(size_) = {name, data};
  slots_[slot] = ++size_ | tag;
}

void OpenChapter::clear() {
  // One that was never used has not touched its memory.
  if (std::exchange(size_, 0) == 0) return;
  std::fill(slots_.begin(), slots_.end(), 0);
}

void OpenChapter::encode_header(MutableBytes header) const {
  ByteWriter writer(header);
  writer.bytes(std::as_bytes(std::span(kMagicAndVersion)));
  writer.le32(size_);
}

std::optional<std::uint32_t> OpenChapter::decode_header(ConstBytes header, std::uint32_t capacity) {
  if (std::memcmp(header.data(), kMagicAndVersion.data(), kMagicAndVersion.size()) != 0) {
    return std::nullopt;
  }
  const std::uint32_t count = load_le32(header.data() + kMagicAndVersion.size());
  // Anything may stand there: the save may be gone (index.md, 6.4).
  if (count > capacity) return std::nullopt;
  return count;
}

}  // namespace uvdo
