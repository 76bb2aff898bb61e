// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/super_block_store.h"

namespace uvdo {

Task<Result<void>> SuperBlockStore::write(const SuperBlock& super_block) {
  if (failed_) {
    co_return Error(Errc::io, "the super block could not be written before and is left as it is");
  }
  encode_super_block(super_block, memory_.bytes());
  auto done = co_await device_.flush();
  if (done) done = co_await device_.write(device_offset_, memory_.bytes(), Durability::fua);
  if (!done) {
    failed_ = true;
    co_return std::move(done).error().within("writing the super block");
  }
  co_return done;
}

}  // namespace uvdo
