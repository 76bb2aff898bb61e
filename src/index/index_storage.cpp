// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/index_storage.h"

#include <algorithm>

#include "base/block_types.h"
#include "base/page_memory.h"

namespace uvdo {

std::uint64_t IndexStorage::slot_page_offset(std::uint64_t slot, std::uint64_t page) const {
  // The first page of the volume is never used.
  return layout_.volume_block * kBlockSize +
         (1 + slot * geometry_.pages_per_chapter + page) * kIndexPageSize;
}

/// Writes a block and makes it durable.
Task<Result<void>> IndexStorage::write_block(std::uint64_t block, ConstBytes content) {
  auto written = co_await device_.write(block * kBlockSize, content);
  if (!written) co_return std::move(written).error();
  auto flushed = co_await device_.flush();
  co_return flushed;
}

/// The steps of index.md, 6.1; the headers of both save areas go first, so that no save of before
/// is found with the new super block.
Task<Result<void>> IndexStorage::create() {
  // 12 bytes that no other index has, repeated.
  NonceInformation information{};
  std::array<std::byte, 12> unique{};
  store_le64(unique.data(), executor_.wall_clock_us() * 1000);
  store_le32(unique.data() + 8, static_cast<std::uint32_t>(executor_.random()));
  for (std::size_t i = 0; i < information.size(); ++i) information[i] = unique[i % unique.size()];
  // A new nonce: all old pages of the region are invalid by it, and need not be touched.
  layout_ = new_index_layout(geometry_, place_.start_block, information);
  saves_ = {};
  const PageMemory block(kBlockSize);
  for (std::uint32_t slot = 0; slot < kIndexSaves; ++slot) {
    encode_empty_save_header(layout_, geometry_, slot, block.bytes());
    auto written = co_await write_block(layout_.save_block[slot], block.bytes());
    if (!written) co_return std::move(written).error();
  }
  encode_index_config(layout_, geometry_, place_.user_nonce, block.bytes());
  auto config = co_await write_block(layout_.config_block(), block.bytes());
  if (!config) co_return std::move(config).error();
  // Last, when all that it leads to is stable.
  encode_index_super_block(layout_, geometry_, block.bytes());
  auto super = co_await write_block(layout_.header_block, block.bytes());
  co_return super;
}

/// Step 1 of index.md, 6.3.
Task<Result<void>> IndexStorage::open() {
  const PageMemory block(kBlockSize);
  auto read = co_await device_.read(place_.start_block * kBlockSize, block.bytes());
  if (!read) co_return std::move(read).error();
  auto layout =
      decode_index_super_block(block.bytes(), geometry_, place_.start_block, place_.blocks);
  if (!layout) co_return std::move(layout).error();
  layout_ = *layout;
  auto config = co_await device_.read(layout_.config_block() * kBlockSize, block.bytes());
  if (!config) co_return std::move(config).error();
  co_return decode_index_config(block.bytes(), geometry_, place_.user_nonce, layout_);
}

/// Step 2 of index.md, 6.3.
Task<Result<void>> IndexStorage::read_saves() {
  const PageMemory block(kBlockSize);
  for (std::uint32_t slot = 0; slot < kIndexSaves; ++slot) {
    saves_[slot].reset();
    const std::uint64_t offset = layout_.save_block[slot] * kBlockSize;
    auto read = co_await device_.read(offset, block.bytes());
    // An area that cannot be read has no save.
    if (!read) continue;
    auto save = decode_save_header(block.bytes(), layout_, slot);
    if (save) saves_[slot] = std::move(*save);
  }
  co_return Result<void>{};
}

std::optional<std::uint32_t> IndexStorage::newest_save() const {
  std::optional<std::uint32_t> newest;
  for (std::uint32_t slot = 0; slot < kIndexSaves; ++slot) {
    if (saves_[slot] && (!newest || saves_[slot]->timestamp_ms > saves_[*newest]->timestamp_ms)) {
      newest = slot;
    }
  }
  return newest;
}

Task<Result<std::uint32_t>> IndexStorage::begin_save() {
  const auto age = [&](std::uint32_t slot) {
    return saves_[slot] ? saves_[slot]->timestamp_ms : 0;
  };
  // The older one, or one without a save: the newest save stands until the new one is complete.
  const std::uint32_t slot = age(1) < age(0) ? 1 : 0;
  const PageMemory block(kBlockSize);
  encode_empty_save_header(layout_, geometry_, slot, block.bytes());
  saves_[slot].reset();
  auto written = co_await write_block(layout_.save_block[slot], block.bytes());
  if (!written) co_return std::move(written).error();
  co_return slot;
}

Task<Result<void>> IndexStorage::finish_save(std::uint32_t slot, IndexSave save) {
  auto flushed = co_await device_.flush();
  if (!flushed) co_return std::move(flushed).error();
  // The clock may have gone back since the other save.
  save.timestamp_ms = std::max<std::uint64_t>(executor_.wall_clock_us() / 1000, 1);
  for (const auto& other : saves_) {
    if (other) save.timestamp_ms = std::max(save.timestamp_ms, other->timestamp_ms + 1);
  }
  const PageMemory block(kBlockSize);
  encode_save_header(layout_, save, slot, block.bytes());
  auto written = co_await write_block(layout_.save_block[slot], block.bytes());
  if (!written) co_return std::move(written).error();
  saves_[slot] = std::move(save);
  co_return Result<void>{};
}

Task<Result<void>> IndexStorage::discard_saved_open_chapter() {
  // The other save is older than this one, and never taken while this one's header is valid.
  const auto slot = newest_save();
  if (!slot) co_return Result<void>{};
  const PageMemory zeros(kBlockSize);
  auto written = co_await write_block(saves_[*slot]->open_chapter.start, zeros.bytes());
  co_return written;
}

}  // namespace uvdo
