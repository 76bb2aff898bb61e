// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/read_path.h"

#include <array>
#include <cstring>

#include <fmt/core.h>

#include "base/unset.h"
#include "format/compressed_block.h"

namespace uvdo {
namespace {

/// Work for a block of a long read, most of it copying.
constexpr std::uint64_t kUnitsPerBlockRead = 80;
/// Stands for a block whose data are there already.
constexpr BlockMapping kCopied{kZeroPbn, 15};

bool is_page_aligned(const std::byte* p) {
  return reinterpret_cast<std::uintptr_t>(p) % kBlockSize == 0;
}

}  // namespace

Task<Result<void>> ReadPath::read(std::uint64_t offset, MutableBytes out) {
  // Under way from here on: a suspension waits for its end.
  const RequestPass pass = co_await entrance_.gate().enter_to_read();
  if (!pass) co_return Entrance::refused();
  auto done = entrance_.check_range(offset, out.size());
  if (!done) co_return done;
  if (out.size() == kBlockSize && offset % kBlockSize == 0 && is_page_aligned(out.data())) {
    // The request that is met most goes straight to the device.
    const Lbn lbn{offset / kBlockSize};
    BlockMapping mapping = kUnmapped;
    if (const LeafPin leaf = map_.cached_leaf(page_number(lbn))) {
      mapping = leaf->entry(leaf_slot(lbn));
    }
    // Anything unusual, a leaf that is not in memory or an entry that may be wrong, takes the long
    // way.
    if (mapping.is_mapped() && !mapping.is_compressed() &&
        depot_.layout().is_data_block(mapping.pbn) && in_flight_.newer_data(lbn) == nullptr) {
      const ReadGuard guard(depot_.epochs());
      ++counters_.reads;
      ++counters_.data_reads;
      Device::Awaiter data = blocks_.read(mapping.pbn, out);
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
    counters_.reads += out.size() / kBlockSize;
    co_return co_await read_blocks(Lbn{offset / kBlockSize}, out);
  }
  ++counters_.partial_reads;
  co_return co_await read_parts(offset, out);
}

Task<Result<void>> ReadPath::read_parts(std::uint64_t offset, MutableBytes out) {
  Result<void> done;
  while (done && !out.empty()) {
    // Whole blocks in one piece; what is less goes through a block of its own.
    const std::size_t in_block = offset % kBlockSize;
    std::size_t length = 0;
    if (in_block == 0 && out.size() >= kBlockSize) {
      length = out.size() / kBlockSize * kBlockSize;
      done = co_await read_blocks(Lbn{offset / kBlockSize}, out.first(length));
    } else {
      length = std::min(kBlockSize - in_block, out.size());
      Buffer block = co_await buffers_.part.acquire(kBlockSize);
      done = co_await read_blocks(Lbn{offset / kBlockSize}, block.bytes());
      if (done) std::memcpy(out.data(), block.data() + in_block, length);
    }
    offset += length;
    out = out.subspan(length);
  }
  co_return done;
}

bool ReadPath::has_free_work_thread() const {
  // What goes there while blocks are written, or the index is opened, may wait long for its turn.
  return options_.work.thread() != nullptr && in_flight_.locks().size() == 0 &&
         (index_.get() == nullptr || index_.get()->state() != IndexState::opening);
}

Task<Result<void>> ReadPath::read_blocks(Lbn first, MutableBytes out) {
  // What is found in the map stays on the device until this has read it.
  const ReadGuard guard(depot_.epochs());
  const std::size_t count = out.size() / kBlockSize;
  constexpr std::size_t kMost = 256;
  UVDO_UNSET std::array<BlockMapping, kMost> mappings;  // NOLINT: filled as far as used
  executor_.spend(count * kUnitsPerBlockRead);
  for (std::size_t i = 0; i < count;) {
    co_await give_way(executor_, options_);
    const PageNumber page = page_number(first + i);
    LeafPin leaf = map_.cached_leaf(page);
    if (!leaf) {
      auto loaded = co_await map_.leaf(page);
      if (!loaded) co_return std::move(loaded).error();
      leaf = std::move(*loaded);
    }
    // From here to the copies of what is in flight nothing may wait: it must fit together.
    const std::size_t in_page =
        std::min<std::size_t>({count - i, kMost, kEntriesPerPage - leaf_slot(first + i)});
    const MutableBytes part = out.subspan(i * kBlockSize, in_page * kBlockSize);
    for (std::size_t n = 0; n < in_page; ++n) {
      const Lbn lbn = first + i + n;
      // Where the leaf does not exist all of it is unmapped.
      mappings[n] = leaf ? leaf->entry(leaf_slot(lbn)) : kUnmapped;
      if (const std::byte* data = in_flight_.newer_data(lbn)) {
        std::memcpy(part.data() + n * kBlockSize, data, kBlockSize);
        mappings[n] = kCopied;
      } else if (!depot_.layout().is_valid(mappings[n])) {
        co_return Error(Errc::io,
                        fmt::format("the map entry of logical block {} is not valid", lbn.value()));
      }
    }
    // What was found is in `mappings`; the frame may serve others while the device reads.
    leaf = LeafPin();
    auto done = co_await read_mapped(first + i, std::span(mappings).first(in_page), part);
    if (!done) co_return done;
    i += in_page;
  }
  co_return Result<void>();
}

/// The caller's epoch keeps what these mappings lead to. Of several errors the last one is told.
Task<Result<void>> ReadPath::read_mapped(Lbn first, std::span<const BlockMapping> mappings,
                                         MutableBytes out) {
  TaskGroup reads(executor_);
  Result<void> failure;
  for (std::size_t i = 0; i < mappings.size();) {
    const BlockMapping mapping = mappings[i];
    // Unmapped and zero read alike (volume.md, 6.1).
    if (mapping.pbn == kZeroPbn) {
      if (mapping != kCopied) std::memset(out.data() + i * kBlockSize, 0, kBlockSize);
      ++i;
      continue;
    }
    // Neighbours on the device are one request; fragments of one compressed block are one read.
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
    reads.start(read_run(run, mappings, out, failure));
  }
  co_await reads.wait();
  if (!failure) {
    co_return std::move(failure).error().within(fmt::format(
        "reading logical blocks {} to {}", first.value(), (first + (mappings.size() - 1)).value()));
  }
  co_return Result<void>();
}

Task<void> ReadPath::read_run(Run run, std::span<const BlockMapping> mappings, MutableBytes out,
                              Result<void>& failure) {
  const auto blocks = mappings.subspan(run.begin, run.count);
  const MutableBytes part = out.subspan(run.begin * kBlockSize, run.count * kBlockSize);
  Result<void> done;
  if (!blocks[0].is_compressed() && is_page_aligned(part.data())) {
    done = co_await blocks_.read(blocks[0].pbn, part);
    counters_.data_reads += run.count;
  } else {
    done = co_await read_by_way_of_scratch(blocks, part);
  }
  if (!done) failure = std::move(done);
}

Task<Result<void>> ReadPath::read_by_way_of_scratch(std::span<const BlockMapping> mappings,
                                                    MutableBytes out) {
  Buffer block = co_await buffers_.scratch.acquire(kBlockSize);
  Pbn in_block = kZeroPbn;
  for (std::size_t n = 0; n < mappings.size(); ++n) {
    const BlockMapping mapping = mappings[n];
    if (mapping.pbn != in_block) {
      auto done = co_await blocks_.read(mapping.pbn, block.bytes());
      ++counters_.data_reads;
      if (!done) co_return done;
      in_block = mapping.pbn;
    }
    const MutableBytes to = out.subspan(n * kBlockSize, kBlockSize);
    if (mapping.is_compressed()) {
      if (auto done = read_fragment(block.bytes(), mapping.slot(), to); !done) co_return done;
    } else {
      std::memcpy(to.data(), block.data(), kBlockSize);
    }
  }
  co_return Result<void>();
}

Task<bool> ReadPath::read_unverified(BlockMapping mapping, MutableBytes out) {
  ++counters_.data_reads;
  if (!mapping.is_compressed()) {
    const auto done = co_await blocks_.read(mapping.pbn, out);
    co_return done.ok();
  }
  // The pool behind scratch: the caller has a buffer of that (volume_buffers.h).
  Buffer block = co_await buffers_.fragments.acquire(kBlockSize);
  const auto done = co_await blocks_.read(mapping.pbn, block.bytes());
  // Advice may name any slot of any block: what is no fragment is no match.
  co_return done.ok() && try_read_fragment(block.bytes(), mapping.slot(), out);
}

}  // namespace uvdo
