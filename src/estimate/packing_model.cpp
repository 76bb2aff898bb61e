// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/packing_model.h"

#include <algorithm>

#include "packer/fill_bin.h"

namespace uvdo {

void PackingModel::add(const RecordName& name, std::size_t size) {
  const std::lock_guard guard(mutex_);
  waiting_[size].push_back(name);
  if (names_ != nullptr) names_->wait_in_packer(name, size);
  sizes_.insert(size);
  if (++waiting_count_ == most_waiting_) make_bin();
}

void PackingModel::flush() {
  const std::lock_guard guard(mutex_);
  while (waiting_count_ > 0) make_bin();
}

PackingModel::Sizes PackingModel::sizes() {
  const std::lock_guard guard(mutex_);
  return packed_;
}

void PackingModel::hurry(const RecordName& name, std::size_t size) {
  const std::lock_guard guard(mutex_);
  const std::vector<RecordName>& queue = waiting_[size];
  const auto found = std::ranges::find(queue, name);
  if (found == queue.end()) return;
  make_bin_with(size, static_cast<std::size_t>(found - queue.begin()));
}

RecordName PackingModel::take(std::size_t size, std::size_t place) {
  std::vector<RecordName>& queue = waiting_[size];
  const RecordName name = queue[place];
  queue.erase(queue.begin() + static_cast<std::ptrdiff_t>(place));
  if (queue.empty()) sizes_.erase(size);
  --waiting_count_;
  return name;
}

void PackingModel::make_bin() { make_bin_with(*sizes_.largest_up_to(kMaxFragmentSize), 0); }

void PackingModel::make_bin_with(std::size_t first_size, std::size_t first_place) {
  const auto bin = static_cast<std::uint32_t>(bins_);
  std::array<RecordName, kMaxFragments> members;
  std::array<std::size_t, kMaxFragments> sizes{};
  std::size_t count = 0;
  std::uint64_t bytes = 0;
  const auto take_one = [&](std::size_t size, std::size_t place) {
    members[count] = take(size, place);
    sizes[count++] = size;
    ++packed_[size / kBytesOfASize].fragments;
    bytes += size;
    return size;
  };
  fill_bin(take_one(first_size, first_place), [&](std::size_t room) -> std::size_t {
    const auto size = sizes_.largest_up_to(room);
    return size ? take_one(*size, 0) : 0;
  });
  // As the packer: one alone is stored uncompressed.
  if (count == 1) {
    ++alone_;
    ++packed_[first_size / kBytesOfASize].alone;
    if (names_ != nullptr) names_->place_alone(members[0]);
    return;
  }
  ++bins_;
  fragments_ += count;
  fragment_bytes_ += bytes;
  for (std::size_t i = 0; i < count; ++i) {
    packed_[sizes[i] / kBytesOfASize].bins +=
        static_cast<double>(sizes[i]) / static_cast<double>(bytes);
  }
  if (names_ == nullptr) return;
  for (std::size_t i = 0; i < count; ++i) names_->place_in_bin(members[i], bin);
}

}  // namespace uvdo
