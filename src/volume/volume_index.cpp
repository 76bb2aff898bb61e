// SPDX-License-Identifier: GPL-2.0-or-later
// The deduplication index of a volume in use: closing it, opening it again, making a new one. Data
// is written all the while; what an index that is not online would have been told is not noted.
#include "volume/volume.h"

namespace uvdo {
namespace {

Error no_index() {
  return {Errc::not_found,
          "the volume has no deduplication index: there is no room for it on the disk"};
}

}  // namespace

Task<Result<void>> Volume::close_index() {
  if (!index_) co_return no_index();
  co_await index_operation_.acquire();
  Result<void> done;
  if (stopping_) {
    done = Error(Errc::cancelled, "the volume is being stopped");
  } else if (index_->state() == IndexState::closed) {
    done = Error(Errc::busy, "the index is closed already");
  } else {
    auto saved = co_await index_->save();
    done = std::move(saved);
  }
  index_operation_.release();
  co_return done;
}

Task<Result<void>> Volume::create_index() {
  if (!index_) co_return no_index();
  co_await index_operation_.acquire();
  Result<void> done = check_writable();
  if (done) {
    auto made = co_await index_->create_anew();
    done = std::move(made);
  }
  if (done && !stopping_) set_deduplication(true);
  index_operation_.release();
  co_return done;
}

Task<Result<void>> Volume::enable_index() {
  if (!index_) co_return no_index();
  co_await index_operation_.acquire();
  Result<void> done;
  if (stopping_) {
    done = Error(Errc::cancelled, "the volume is being stopped");
  } else if (index_->state() == IndexState::error) {
    done = Error(Errc::io, "the index has failed; make a new one with uvdo index create");
  } else if (index_->state() == IndexState::closed) {
    done = index_->reopen();
  }
  if (done) set_deduplication(true);
  index_operation_.release();
  co_return done;
}

}  // namespace uvdo
