// SPDX-License-Identifier: GPL-2.0-or-later
#include "packer/packer.h"

#include <algorithm>
#include <cstring>

namespace uvdo {

Packer::Packer(Executor& executor, DataWriter& writer, BinAllocator& allocator)
    : executor_(executor),
      writer_(writer),
      allocator_(allocator),
      tasks_(executor),
      alarm_(executor) {
  for (Bin& bin : bins_) bin = take_spare();
}

Packer::Bin Packer::take_spare() {
  if (!spare_.empty()) {
    Bin bin = std::move(spare_.back());
    spare_.pop_back();
    return bin;
  }
  Bin bin;
  bin.bytes = AlignedMemory(kBlockSize);
  bin.block = AlignedMemory(kBlockSize);
  bin.members.reserve(kMaxFragments);
  return bin;
}

bool Packer::add(Fragment& fragment) {
  fragment.size_ = fragment.bytes_.size();
  // The fullest bin that has room; a bin that is empty is the last resort.
  Bin* best = nullptr;
  Bin* fullest = nullptr;
  Bin* empty = nullptr;
  for (Bin& bin : bins_) {
    if (bin.members.empty()) {
      empty = &bin;
      continue;
    }
    if (fullest == nullptr || bin.used > fullest->used) fullest = &bin;
    if (bin.used + fragment.size_ <= kFragmentSpace && (best == nullptr || bin.used > best->used)) {
      best = &bin;
    }
  }
  if (best == nullptr) best = empty;
  if (best == nullptr) {
    if (fragment.size_ >= fullest->used) return false;
    write(*fullest);
    best = fullest;
  }
  put(*best, fragment);
  if (best->members.size() == kMaxFragments || best->used == kFragmentSpace) {
    write(*best);
  } else if (urgency_ > 0 && !flush_planned_) {
    flush_planned_ = true;
    tasks_.start(flush_at_turn_end());
  }
  return true;
}

Task<void> Packer::flush_at_turn_end() {
  co_await executor_.turn_end();
  flush_planned_ = false;
  flush();
}

void Packer::put(Bin& bin, Fragment& fragment) {
  if (bin.members.empty()) bin.since = executor_.now();
  std::memcpy(bin.bytes.data() + bin.used, fragment.bytes_.data(), fragment.size_);
  bin.used += fragment.size_;
  bin.members.push_back(&fragment);
  fragment.bin_ = static_cast<int>(&bin - bins_.data());
  if (++counters_.fragments_in_packer == 1) alarm_.ring();  // somebody to look after
}

void Packer::dismiss(Fragment& fragment) {
  fragment.bin_ = -1;
  --counters_.fragments_in_packer;
  executor_.post(fragment.handle_);
}

void Packer::eject(Fragment& fragment) {
  if (fragment.bin_ < 0) return;  // on its way already
  Bin& bin = bins_[static_cast<std::size_t>(fragment.bin_)];
  std::size_t at = 0;
  auto member = bin.members.begin();
  for (; *member != &fragment; ++member) at += (*member)->size_;
  std::memmove(bin.bytes.data() + at, bin.bytes.data() + at + fragment.size_,
               bin.used - at - fragment.size_);
  bin.used -= fragment.size_;
  bin.members.erase(member);
  dismiss(fragment);
}

void Packer::flush() {
  for (Bin& bin : bins_) write(bin);
}

void Packer::write(Bin& bin) {
  if (bin.members.empty()) return;
  if (bin.members.size() == 1) {
    Fragment& alone = *bin.members.front();
    bin.members.clear();
    bin.used = 0;
    dismiss(alone);
    return;
  }
  Bin full = take_spare();
  std::swap(full, bin);
  for (Fragment* member : full.members) member->bin_ = -1;
  counters_.fragments_in_packer -= full.members.size();
  tasks_.start(write_bin(std::move(full)));
}

Task<void> Packer::write_bin(Bin bin) {
  std::array<ConstBytes, kMaxFragments> fragments;
  std::size_t at = 0;
  const std::size_t count = bin.members.size();
  for (std::size_t i = 0; i < count; ++i) {
    fragments[i] = {bin.bytes.data() + at, bin.members[i]->size_};
    at += bin.members[i]->size_;
  }
  build_compressed_block(std::span(fragments).first(count), bin.block.bytes());
  const Pbn pbn = allocator_.allocate_bin(static_cast<std::uint32_t>(count));
  const std::array<BlockWrite, 1> write{BlockWrite{pbn, bin.block.data()}};
  auto done = co_await writer_.write(write);
  for (std::size_t slot = 0; slot < count; ++slot) {
    Fragment& member = *bin.members[slot];
    if (done) {
      member.location_ = mapped_to_fragment(pbn, static_cast<unsigned>(slot));
    } else {
      member.error_.emplace(done.error().clone());
    }
    executor_.post(member.handle_);
  }
  if (done) {
    ++counters_.blocks_written;
    counters_.fragments_written += count;
  }
  bin.members.clear();
  bin.used = 0;
  spare_.push_back(std::move(bin));
}

Task<void> Packer::run() {
  while (!stopping_) {
    co_await alarm_.sleep(counters_.fragments_in_packer > 0 ? kPatience
                                                            : Duration(std::chrono::hours(1)));
    const TimePoint now = executor_.now();
    for (Bin& bin : bins_) {
      if (!bin.members.empty() && now - bin.since >= kPatience) write(bin);
    }
  }
}

void Packer::stop() {
  stopping_ = true;
  alarm_.ring();
}

Task<void> Packer::drain() {
  flush();
  co_await tasks_.wait();
}

}  // namespace uvdo
