// SPDX-License-Identifier: GPL-2.0-or-later
// Reading (behaviour.md, 4): the map is walked a leaf at a time, neighbours on the device are
// read at once, and blocks that are being written are given from memory.
#include <cstring>

#include <fmt/core.h>

#include "base/unset.h"
#include "volume/volume.h"

namespace uvdo {
namespace {

/// Work for a block of a long read, most of it copying.
constexpr std::uint64_t kUnitsPerBlockRead = 80;

bool is_page_aligned(const std::byte* p) {
  return reinterpret_cast<std::uintptr_t>(p) % kBlockSize == 0;
}

}  // namespace

Task<Result<void>> Volume::read(std::uint64_t offset, MutableBytes out) {
  if (!requests_gate_.is_open() && !co_await requests_gate_.wait_to_read()) co_return refused();
  const RequestPass pass(requests_gate_);
  auto done = check_range(offset, out.size());
  if (!done) co_return done;
  if (out.size() == kBlockSize && offset % kBlockSize == 0 && is_page_aligned(out.data())) {
    // The request that is met most goes straight to the device.
    const Lbn lbn{offset / kBlockSize};
    BlockMapping mapping = kUnmapped;
    if (const LeafPin leaf = map_->cached_leaf(page_number(lbn))) {
      mapping = leaf->entry(leaf_slot(lbn));
    }
    if (mapping.is_mapped() && !mapping.is_compressed() &&
        depot_->layout().is_data_block(mapping.pbn) && newer_data(lbn) == nullptr) {
      const ReadGuard guard(depot_->epochs());
      ++requests_.reads;
      ++requests_.data_reads;
      Device::Awaiter data = device_.read(device_byte(mapping.pbn), out);
      if (has_free_work_thread()) data.allow_sharing();
      done = co_await data;
      if (!done) {
        co_return std::move(done).error().within(
            fmt::format("reading logical block {}", lbn.value()));
      }
      co_return done;
    }
  }
  if (offset % kBlockSize == 0 && out.size() % kBlockSize == 0) {
    requests_.reads += out.size() / kBlockSize;
    co_return co_await read_blocks(Lbn{offset / kBlockSize}, out);
  }
  ++requests_.partial_reads;
  while (done && !out.empty()) {
    const std::size_t in_block = offset % kBlockSize;
    std::size_t length = 0;
    if (in_block == 0 && out.size() >= kBlockSize) {
      length = out.size() / kBlockSize * kBlockSize;
      done = co_await read_blocks(Lbn{offset / kBlockSize}, out.first(length));
    } else {
      length = std::min(kBlockSize - in_block, out.size());
      Buffer block = co_await part_buffers_.acquire(kBlockSize);
      done = co_await read_blocks(Lbn{offset / kBlockSize}, block.bytes());
      if (done) std::memcpy(out.data(), block.data() + in_block, length);
    }
    offset += length;
    out = out.subspan(length);
  }
  co_return done;
}

bool Volume::has_free_work_thread() const {
  // What goes there while blocks are written, or the index is opened, may wait long for its turn.
  return options_.work.thread() != nullptr && locks_.size() == 0 &&
         (!index_ || index_->state() != IndexState::opening);
}

Task<Result<void>> Volume::read_blocks(Lbn first, MutableBytes out) {
  // What is found in the map stays on the device until this has read it.
  const ReadGuard guard(depot_->epochs());
  const std::size_t count = out.size() / kBlockSize;
  constexpr std::size_t kMost = 256;
  UVDO_UNSET std::array<BlockMapping, kMost> mappings;  // NOLINT: filled as far as used
  executor_.spend(count * kUnitsPerBlockRead);
  for (std::size_t i = 0; i < count;) {
    co_await give_way();
    const PageNumber page = page_number(first + i);
    LeafPin leaf = map_->cached_leaf(page);
    if (!leaf) {
      auto loaded = co_await map_->leaf(page);
      if (!loaded) co_return std::move(loaded).error();
      leaf = std::move(*loaded);
    }
    // From here to the copies of what is in flight nothing may wait: it must fit together.
    const std::size_t in_page =
        std::min<std::size_t>({count - i, kMost, kEntriesPerPage - leaf_slot(first + i)});
    const MutableBytes part = out.subspan(i * kBlockSize, in_page * kBlockSize);
    for (std::size_t n = 0; n < in_page; ++n) {
      const Lbn lbn = first + i + n;
      mappings[n] = leaf ? leaf->entry(leaf_slot(lbn)) : kUnmapped;
      if (const std::byte* data = newer_data(lbn)) {
        std::memcpy(part.data() + n * kBlockSize, data, kBlockSize);
        mappings[n] = {kZeroPbn, 15};  // it is there already
      } else if (!depot_->layout().is_valid(mappings[n])) {
        co_return Error(Errc::io,
                        fmt::format("the map entry of logical block {} is not valid", lbn.value()));
      }
    }
    leaf = LeafPin();
    auto done = co_await read_mapped(first + i, std::span(mappings).first(in_page), part);
    if (!done) co_return done;
    i += in_page;
  }
  co_return Result<void>();
}

const std::byte* Volume::newer_data(Lbn lbn) {
  const std::byte* data = locks_.published(lbn);
  if (data != nullptr || lost_.empty()) return data;
  const auto lost = lost_.find(lbn.value());
  return lost == lost_.end() ? nullptr : lost->second.data();
}

Task<Result<void>> Volume::read_mapped(Lbn first, std::span<const BlockMapping> mappings,
                                       MutableBytes out) {
  struct Run {
    std::size_t begin = 0;
    std::size_t count = 0;
  };
  TaskGroup reads(executor_);
  Result<void> failure;
  const bool direct = is_page_aligned(out.data());
  const auto read_run = [](Volume& volume, Run run, std::span<const BlockMapping> blocks,
                           MutableBytes target, bool in_place, Result<void>& failed) -> Task<void> {
    const BlockMapping start = blocks[run.begin];
    const MutableBytes part = target.subspan(run.begin * kBlockSize, run.count * kBlockSize);
    Result<void> done;
    if (!start.is_compressed() && in_place) {
      done = co_await volume.device_.read(volume.device_byte(start.pbn), part);
      volume.requests_.data_reads += run.count;
    } else {
      Buffer block = co_await volume.scratch_buffers_.acquire(kBlockSize);
      Pbn in_block = kZeroPbn;
      for (std::size_t n = 0; done && n < run.count; ++n) {
        const BlockMapping mapping = blocks[run.begin + n];
        if (mapping.pbn != in_block) {
          done = co_await volume.device_.read(volume.device_byte(mapping.pbn), block.bytes());
          ++volume.requests_.data_reads;
          in_block = mapping.pbn;
        }
        if (!done) break;
        const MutableBytes to = part.subspan(n * kBlockSize, kBlockSize);
        if (mapping.is_compressed()) {
          done = read_fragment(block.bytes(), mapping.slot(), to);
        } else {
          std::memcpy(to.data(), block.data(), kBlockSize);
        }
      }
    }
    if (!done) failed = std::move(done);
  };
  for (std::size_t i = 0; i < mappings.size();) {
    const BlockMapping mapping = mappings[i];
    if (mapping.pbn == kZeroPbn) {
      if (mapping.state <= kStateUncompressed) {
        std::memset(out.data() + i * kBlockSize, 0, kBlockSize);
      }
      ++i;
      continue;
    }
    Run run{i, 1};
    while (i + run.count < mappings.size()) {
      const BlockMapping next = mappings[i + run.count];
      const bool neighbour = mapping.is_compressed()
                                 ? next.is_compressed() && next.pbn == mapping.pbn
                                 : next == mapped_to(mapping.pbn + run.count);
      if (!neighbour) break;
      ++run.count;
    }
    i += run.count;
    reads.start(read_run(*this, run, mappings, out, direct, failure));
  }
  co_await reads.wait();
  if (!failure) {
    co_return std::move(failure).error().within(fmt::format(
        "reading logical blocks {} to {}", first.value(), (first + (mappings.size() - 1)).value()));
  }
  co_return Result<void>();
}

/// Reads what `mapping`, which nobody vouches for, says. False if there is no such block now, or it
/// cannot be read.
Task<bool> Volume::read_unverified(BlockMapping mapping, MutableBytes out) {
  ++requests_.data_reads;
  if (!mapping.is_compressed()) {
    const auto done = co_await device_.read(device_byte(mapping.pbn), out);
    co_return done.ok();
  }
  Buffer block = co_await fragment_buffers_.acquire(kBlockSize);
  const auto done = co_await device_.read(device_byte(mapping.pbn), block.bytes());
  co_return done.ok() && try_read_fragment(block.bytes(), mapping.slot(), out);
}

}  // namespace uvdo
