// SPDX-License-Identifier: GPL-2.0-or-later
#include "format/journal_view.h"

#include <algorithm>

#include <fmt/core.h>

namespace uvdo {
namespace {

/// Sentences about losses; the rest is counted.
constexpr std::size_t kLossesKept = 20;

}  // namespace

std::optional<JournalSequence> JournalViewBuilder::wanted() const {
  if (!rebuild_) return scan_.wanted();
  if (next_ > rebuild_->last()) return std::nullopt;
  return next_;
}

std::uint64_t JournalViewBuilder::most_changes() const {
  const JournalExtent& extent = scan_.extent();
  if (!extent.found || extent.block_map_head > extent.highest_tail) return 0;
  const std::uint64_t blocks = extent.highest_tail - extent.block_map_head + 1;
  return std::min(blocks, super_.config.journal_size) * entries_per_block(extent.tail_type);
}

void JournalViewBuilder::apply(JournalSequence sequence, const JournalEntry& entry) {
  ++view_.entries;
  // Its pages have been written since (behaviour.md, 9.3).
  if (sequence < scan_.extent().block_map_head) return;
  view_.changes.add({entry.page_pbn, entry.slot, entry.new_mapping});
}

/// Once a recovery's part is known, the rebuild's follows if it is called for.
void JournalViewBuilder::go_on() {
  if (is_scanned_ || scan_.wanted()) return;
  is_scanned_ = true;
  view_.usable = scan_.finish();
  const bool is_refused = view_.usable.is_damaged() && !view_.usable.is_of_old_form;
  if (!needs_rebuild(super_.state) && !is_refused) return;
  view_.rule = JournalView::Rule::rebuild;
  // A rebuild has rules of its own for what it applies, and begins anew.
  view_.changes.clear();
  view_.entries = 0;
  rebuild_.emplace(super_, view_.usable.extent);
  next_ = rebuild_->first();
}

void JournalViewBuilder::visit(ConstBytes block) {
  const auto visited = rebuild_->visit(
      next_, block, [&](const PageChange& change) { view_.changes.add(change); },
      [&](unsigned index) {
        ++view_.invalid_entries;
        lose(RebuildJournal::invalid_text(next_, index));
      });
  view_.entries += visited.applied;
  view_.lost_entries += visited.lost;
  if (visited.lost > 0) lose(RebuildJournal::lost_text(next_, visited.lost));
  ++next_;
}

void JournalViewBuilder::lose(std::string text) {
  if (view_.losses.size() < kLossesKept) view_.losses.push_back(std::move(text));
}

Result<JournalView> JournalViewBuilder::finish() {
  if (view_.rule == JournalView::Rule::recovery && view_.usable.is_of_old_form) {
    return old_journal_error();
  }
  view_.changes.finish();
  return std::move(view_);
}

std::string left_out_text(VolumeState state) {
  return fmt::format(
      "the volume is {} and its recovery journal was left out: flushed data may be missing, or be "
      "other data",
      name_of(state));
}

}  // namespace uvdo
