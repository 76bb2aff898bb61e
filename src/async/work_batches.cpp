// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/work_batches.h"

#include <utility>

#include "async/work_thread.h"
#include "base/check.h"

namespace uvdo {
namespace {

void do_all(WorkBatches::Piece* first) {
  for (; first != nullptr; first = first->next) first->work(*first);
}

void bring_back(WorkBatches::Piece* first) {
  while (first != nullptr) {
    WorkBatches::Piece& piece = *first;
    first = piece.next;  // the piece may be gone afterwards
    piece.back(piece);
  }
}

}  // namespace

WorkBatches::~WorkBatches() {
  check(first_ == nullptr && away_ == 0, "no piece is left when its batches end");
}

void WorkBatches::add(Piece& piece) {
  piece.next = nullptr;
  *end_ = &piece;
  end_ = &piece.next;
  ++count_;
  if (count_ >= kBatch && may_send()) {
    spawn(carry(cut_batch()));
  } else if (!std::exchange(ends_turn_, true)) {
    spawn(end_turn());
  }
}

WorkBatches::Piece* WorkBatches::cut_batch() {
  Piece* const first = first_;
  Piece* last = first;
  unsigned length = 1;
  for (; length < kBatch && last->next != nullptr; ++length) last = last->next;
  first_ = std::exchange(last->next, nullptr);
  if (first_ == nullptr) end_ = &first_;
  count_ -= length;
  return first;
}

Task<void> WorkBatches::end_turn() {
  co_await home_.turn_end();
  ends_turn_ = false;
  while (first_ != nullptr) {
    const bool is_sent = count_ >= kWorthTheWay && may_send();
    Piece* const batch = cut_batch();
    if (is_sent) {
      spawn(carry(batch));
    } else {
      do_all(batch);
      bring_back(batch);
    }
  }
}

Task<void> WorkBatches::carry(Piece* first) {
  ++away_;
  ++sent_;
  co_await work_.enter();
  do_all(first);
  // Only a count: the pieces themselves are handed over by enter() and leave().
  done_.fetch_add(1, std::memory_order_relaxed);
  co_await work_.leave();
  --away_;
  bring_back(first);
}

}  // namespace uvdo
