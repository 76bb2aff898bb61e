// SPDX-License-Identifier: GPL-2.0-or-later
#include "packer/data_writer.h"

#include <algorithm>
#include <array>

#include "base/unset.h"

namespace uvdo {

void DataWriter::enqueue(Awaiter& owner, std::span<const BlockWrite> blocks) {
  for (const BlockWrite& block : blocks) batch_.push_back({block.pbn, block.data, &owner});
  if (batch_.size() >= kEnough) {
    send_batch();
  } else if (!std::exchange(sends_at_turn_end_, true)) {
    tasks_.start(send_at_turn_end());
  }
}

Task<void> DataWriter::send_at_turn_end() {
  co_await executor_.turn_end();
  sends_at_turn_end_ = false;
  send_batch();
}

void DataWriter::send_batch() {
  std::vector<Item> batch;
  if (!spare_.empty()) {
    batch = std::move(spare_.back());
    spare_.pop_back();
  }
  batch.swap(batch_);
  const auto by_pbn = [](const Item& a, const Item& b) { return a.pbn < b.pbn; };
  // Mostly they are: the depot hands out neighbours in order.
  if (!std::is_sorted(batch.begin(), batch.end(), by_pbn)) {
    std::sort(batch.begin(), batch.end(), by_pbn);
  }
  for (std::size_t i = 0; i < batch.size();) {
    std::size_t n = 1;
    // A run is consecutive on the device, whoever owns its blocks.
    while (n < kMaxRun && i + n < batch.size() && batch[i + n].pbn == batch[i].pbn + n) ++n;
    // Vectors go round between `spare_` and the runs, so that their memory is taken once.
    std::vector<Item> run;
    if (!spare_.empty()) {
      run = std::move(spare_.back());
      spare_.pop_back();
    }
    run.assign(batch.begin() + static_cast<std::ptrdiff_t>(i),
               batch.begin() + static_cast<std::ptrdiff_t>(i + n));
    tasks_.start(write_run(std::move(run)));
    i += n;
  }
  batch.clear();
  spare_.push_back(std::move(batch));
}

/// One request; its owners go on when the last block of theirs is written, in whichever run.
Task<void> DataWriter::write_run(std::vector<Item> run) {
  UVDO_UNSET std::array<iovec, kMaxRun> slices;  // NOLINT: filled as far as it is used
  for (std::size_t i = 0; i < run.size(); ++i) {
    slices[i] = {const_cast<std::byte*>(run[i].data), kBlockSize};
  }
  auto done = co_await device_.writev(run.front().pbn, std::span(slices).first(run.size()));
  ++requests_;
  blocks_written_ += run.size();
  for (const Item& item : run) {
    // Of a failed run each owner gets the error, once; other runs of the same owner may have been
    // written.
    if (!done && !item.owner->error_) item.owner->error_.emplace(done.error().clone());
    if (--item.owner->remaining_ == 0) executor_.post(item.owner->handle_);
  }
  run.clear();
  spare_.push_back(std::move(run));
}

}  // namespace uvdo
