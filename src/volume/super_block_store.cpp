// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/super_block_store.h"

namespace uvdo {
namespace {

Task<Result<void>> write_from(MutableBytes memory, PbnDevice blocks, Pbn place,
                              const SuperBlock& super_block) {
  encode_super_block(super_block, memory);
  auto done = co_await blocks.flush();
  if (done) done = co_await blocks.write(place, memory, Durability::fua);
  if (!done) co_return std::move(done).error().within("writing the super block");
  co_return done;
}

}  // namespace

Task<Result<void>> write_super_block(PbnDevice blocks, Pbn place, const SuperBlock& super_block) {
  const AlignedMemory memory(kBlockSize);
  co_return co_await write_from(memory.bytes(), blocks, place, super_block);
}

Task<Result<void>> SuperBlockStore::change(Change change) {
  co_await writer_.acquire();
  Result<void> done;
  if (failed_) {
    done = Error(Errc::io, "the super block could not be written before and is left as it is");
  } else {
    done = co_await change_alone(blocks_, change);
  }
  writer_.release();
  co_return done;
}

Task<Result<void>> SuperBlockStore::change_past(Device& device, Change change) {
  co_await writer_.acquire();
  auto done = co_await change_alone(blocks_.by_way_of(device), change);
  writer_.release();
  co_return done;
}

/// Needs writer_. current() stays what is known to be stable until the write has ended well.
Task<Result<void>> SuperBlockStore::change_alone(PbnDevice blocks, const Change& change) {
  // Made when it is this one's turn: the last one that is stable, not the one from when it was
  // asked for.
  SuperBlock next = super_block_;
  auto done = change(next);
  if (!done) co_return done;
  done = co_await write_from(memory_.bytes(), blocks, place_, next);
  if (done) {
    super_block_ = next;
    if (on_stable_) on_stable_(next);
  } else {
    failed_ = true;
  }
  co_return done;
}

}  // namespace uvdo
