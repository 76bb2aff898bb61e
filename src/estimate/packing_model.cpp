// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/packing_model.h"

#include "packer/fill_bin.h"

namespace uvdo {

void PackingModel::add(const RecordName& name, std::size_t size) {
  const std::lock_guard guard(mutex_);
  waiting_[size].push_back(name);
  sizes_.insert(size);
  if (++waiting_count_ == most_waiting_) make_bin();
}

void PackingModel::flush() {
  const std::lock_guard guard(mutex_);
  while (waiting_count_ > 0) make_bin();
}

RecordName PackingModel::take(std::size_t size) {
  std::vector<RecordName>& queue = waiting_[size];
  const RecordName name = queue.front();
  queue.erase(queue.begin());
  if (queue.empty()) sizes_.erase(size);
  --waiting_count_;
  return name;
}

void PackingModel::make_bin() {
  const auto bin = static_cast<std::uint32_t>(bins_);
  std::array<RecordName, kMaxFragments> members;
  std::size_t count = 0;
  std::uint64_t bytes = 0;
  double squares = 0;
  const auto take_one = [&](std::size_t room) -> std::size_t {
    const auto size = sizes_.largest_up_to(room);
    if (!size) return 0;
    members[count++] = take(*size);
    bytes += *size;
    squares += static_cast<double>(*size) * static_cast<double>(*size);
    return *size;
  };
  fill_bin(take_one(kMaxFragmentSize), take_one);
  // As the packer: one alone is stored uncompressed.
  if (count == 1) {
    ++alone_;
    return;
  }
  ++bins_;
  fragments_ += count;
  fragment_bytes_ += bytes;
  fragment_squares_ += squares;
  for (std::size_t i = 0; i < count; ++i) names_.place_in_bin(members[i], bin);
}

}  // namespace uvdo
