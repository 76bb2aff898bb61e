// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/check.h"

#include "inspect/damage_list.h"

namespace uvdo {

Result<StoppedCheck> StoppedCheck::open(const std::string& path, ImageOptions options) {
  auto image = open_volume(path, options);
  if (!image) return std::move(image).error();
  return StoppedCheck(std::move(*image));
}

CheckReport StoppedCheck::run(const AuditOptions& options,
                              const std::function<void(const Finding&)>& found) {
  CheckReport report;
  report.volume = image_->store().name();
  report.state = image_->super_block().state;
  report.summary = audit(*image_, options, found);
  const JournalReplay* replay = image_->replay();
  report.is_replayed = replay != nullptr;
  report.is_seen_as_rebuilt = image_->is_seen_as_rebuilt();
  if (replay != nullptr) report.blocks_lost_with_journal = replay->view.blocks_affected();
  report.replayed = replay_text(*image_);
  report.left_out = left_out_text(*image_);
  return report;
}

std::optional<std::string> StoppedCheck::find_damaged(
    const std::function<void(const ContentRun&)>& damaged,
    const std::function<void(std::uint64_t done, std::uint64_t all)>& progress) {
  const std::uint64_t blocks = image_->logical_blocks();
  find_damaged_blocks(*image_, damaged, [&](std::uint64_t done) { progress(done, blocks); });
  return journal_loss_text(*image_);
}

}  // namespace uvdo
