// SPDX-License-Identifier: GPL-2.0-or-later
#include "packer/packer.h"

#include <algorithm>
#include <cstring>

#include "packer/fill_bin.h"

namespace uvdo {

Packer::Packer(Executor& executor, DataWriter& writer, BinAllocator& allocator, ReadEpochs& epochs,
               std::size_t most_waiting)
    : executor_(executor),
      writer_(writer),
      allocator_(allocator),
      epochs_(epochs),
      memory_(most_waiting),
      tasks_(executor),
      alarm_(executor) {
  spare_.reserve(kSpareBins);
  while (spare_.size() < kSpareBins) spare_.push_back(make_bin());
}

// ---- those that wait

void Packer::append(Queue& queue, Fragment& fragment, Fragment::Links Fragment::*links) {
  (fragment.*links).before = queue.last;
  (queue.last != nullptr ? (queue.last->*links).after : queue.first) = &fragment;
  queue.last = &fragment;
}

void Packer::unlink(Queue& queue, Fragment& fragment, Fragment::Links Fragment::*links) {
  const auto [before, after] = fragment.*links;
  (before != nullptr ? (before->*links).after : queue.first) = after;
  (after != nullptr ? (after->*links).before : queue.last) = before;
}

/// The bytes are copied: the caller's buffer goes on to the next block. Whoever takes the last
/// memory has a bin made at once, so that the next one finds some.
void Packer::add(Fragment& fragment) {
  fragment.memory_ = memory_.take();
  const std::size_t size = fragment.bytes_.size();
  std::memcpy(fragment.memory_, fragment.bytes_.data(), size);
  fragment.bytes_ = {fragment.memory_, size};
  fragment.since_ = executor_.now();

  append(by_size_[size], fragment, &Fragment::of_size_);
  append(by_age_, fragment, &Fragment::of_age_);
  sizes_.insert(size);
  if (++counters_.compressed_fragments_in_packer == 1) alarm_.ring();  // somebody to look after
  if (memory_.available() == 0) write_bin_with(*largest_up_to(kMaxFragmentSize));
}

void Packer::remove(Fragment& fragment) {
  const std::size_t size = fragment.bytes_.size();
  unlink(by_size_[size], fragment, &Fragment::of_size_);
  unlink(by_age_, fragment, &Fragment::of_age_);
  if (by_size_[size].first == nullptr) sizes_.erase(size);
  // What it holds is used before anybody is added.
  memory_.give_back(std::exchange(fragment.memory_, nullptr));
  --counters_.compressed_fragments_in_packer;
}

Packer::Fragment* Packer::largest_up_to(std::size_t size) {
  const auto found = sizes_.largest_up_to(size);
  return found ? by_size_[*found].first : nullptr;
}

void Packer::flush() {
  while (Fragment* largest = largest_up_to(kMaxFragmentSize)) write_bin_with(*largest);
}

/// Looks after those whom nobody hurries: the oldest waits for kPatience at most. The alarm rings
/// when somebody comes while nobody waits, and for stop().
Task<void> Packer::run() {
  while (!stopping_) {
    const Duration left = by_age_.first != nullptr
                              ? by_age_.first->since_ + kPatience - executor_.now()
                              : Duration(std::chrono::hours(1));
    if (left > Duration::zero()) {
      co_await alarm_.sleep(left);
    } else {
      write_bin_with(*by_age_.first);
    }
  }
}

void Packer::stop() {
  stopping_ = true;
  alarm_.ring();
}

/// When it ends, all that was added before is written or has left without company.
Task<void> Packer::drain() {
  flush();
  co_await tasks_.wait();
}

// ---- bins

Packer::Bin Packer::take_spare() {
  if (!spare_.empty()) {
    Bin bin = std::move(spare_.back());
    spare_.pop_back();
    return bin;
  }
  return make_bin();
}

Packer::Bin Packer::make_bin() {
  Bin bin;
  bin.block = AlignedMemory(kBlockSize);
  return bin;
}

/// Makes a bin of a fragment that waits and of those that go with it. One that would be alone
/// leaves without.
void Packer::write_bin_with(Fragment& first) {
  Bin bin = take_spare();
  std::array<ConstBytes, kMaxFragments> bytes;
  bin.count = 0;
  const auto take = [&](Fragment& next) {
    remove(next);
    bytes[bin.count] = next.bytes_;
    bin.members[bin.count++] = &next;
    return next.bytes_.size();
  };
  fill_bin(take(first), [&](std::size_t room) {
    Fragment* next = largest_up_to(room);
    return next != nullptr ? take(*next) : 0;
  });
  // A compressed block has two fragments at least (volume.md, 6.4).
  if (bin.count == 1) {
    // location_ is still nothing: the awaiter stores the block uncompressed.
    executor_.post(first.handle_);
    spare_.push_back(std::move(bin));
    return;
  }
  build_compressed_block(std::span(bytes).first(bin.count), bin.block.bytes());
  tasks_.start(write(std::move(bin)));
}

/// Each member is in a read epoch before the bin has its block: from then on the block cannot be
/// given out again, even if another member's reference comes and goes before this one's is made.
Task<void> Packer::write(Bin bin) {
  const auto members = std::span(bin.members).first(bin.count);
  for (Fragment* member : members) member->guard_.emplace(epochs_);
  const Pbn pbn = allocator_.allocate_bin(static_cast<std::uint32_t>(members.size()));
  const std::array<BlockWrite, 1> write{BlockWrite{pbn, bin.block.data()}};
  // Written, not flushed: data are stable before the journal entries that mention them because the
  // journal flushes first (behaviour.md, 5.2).
  auto done = co_await writer_.write(write);
  for (std::size_t slot = 0; slot < members.size(); ++slot) {
    Fragment& member = *members[slot];
    if (done) {
      member.location_ = mapped_to_fragment(pbn, static_cast<unsigned>(slot));
    } else {
      member.error_.emplace(done.error().clone());
    }
    executor_.post(member.handle_);
  }
  if (done) {
    ++counters_.compressed_blocks_written;
    counters_.compressed_fragments_written += members.size();
  }
  spare_.push_back(std::move(bin));
}

}  // namespace uvdo
