// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/index_holder.h"

#include <fmt/core.h>

namespace uvdo {
namespace {

// What all that is asked of an index gets where none could be begun (uds_index_factory.h).
Error no_index() {
  return {Errc::not_found,
          "the volume has no deduplication index: there is no room for it on the disk"};
}

}  // namespace

void IndexHolder::use(std::unique_ptr<DedupeIndex> index) {
  index_ = std::move(index);
  if (index_) index_->set_enabled(options_.deduplication);
}

void IndexHolder::set_deduplication(bool on) {
  options_.deduplication = on;
  if (index_) index_->set_enabled(on);
}

/// The state is looked at when it is this one's turn: whoever had it before may have closed the
/// index.
Task<Result<void>> IndexHolder::close() {
  if (!index_) co_return no_index();
  co_await operation_.acquire();
  Result<void> done;
  if (life_.is_stopping()) {
    done = Entrance::refused();
  } else if (index_->state() == IndexState::closed) {
    done = Error(Errc::busy, "the index is closed already");
  } else {
    auto saved = co_await index_->save();
    done = std::move(saved);
  }
  operation_.release();
  co_return done;
}

/// A new index is written, so the volume must be one that may be.
Task<Result<void>> IndexHolder::create() {
  if (!index_) co_return no_index();
  co_await operation_.acquire();
  Result<void> done = entrance_.check_writable();
  if (done) {
    auto made = co_await index_->create_anew();
    done = std::move(made);
  }
  // Whoever makes an index wants it used.
  if (done && !life_.is_stopping()) set_deduplication(true);
  operation_.release();
  co_return done;
}

Task<Result<void>> IndexHolder::enable() {
  if (!index_) co_return no_index();
  co_await operation_.acquire();
  Result<void> done;
  if (life_.is_stopping()) {
    done = Entrance::refused();
  } else if (index_->state() == IndexState::error) {
    done = Error(Errc::io, "the index has failed; make a new one with uvdo index create");
  } else if (index_->state() == IndexState::closed) {
    done = index_->reopen();
  }
  if (done) set_deduplication(true);
  operation_.release();
  co_return done;
}

Task<void> IndexHolder::save(Saving saving) {
  if (!index_) co_return;
  // Who is closing it, or making a new one, is done first.
  co_await operation_.acquire();
  Result<void> saved;
  if (saving == Saving::and_go_on) {
    // A suspension: the index stays open and goes on afterwards.
    saved = co_await index_->checkpoint();
  } else {
    saved = co_await index_->save();
  }
  operation_.release();
  if (saved || saving == Saving::of_nothing) co_return;
  log_({LogLevel::warning, fmt::format("the index was not saved: {}", saved.error().message())});
}

}  // namespace uvdo
