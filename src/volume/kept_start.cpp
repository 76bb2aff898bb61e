// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/kept_start.h"

#include <algorithm>

#include <fmt/core.h>

#include "recovery/finish_journal.h"

namespace uvdo {
namespace {

/// Whether something was answered that its process had not brought to the disk.
bool has_answered(ConstBytes memory, const KeptHeader& header) {
  if (header.phase == KeptPhase::applying) return false;
  std::uint64_t wrong = 0;
  if (!kept_blocks(memory, header, UINT64_MAX, wrong).empty()) return true;
  const auto journal =
      KeptJournal::read(memory.subspan(KeptLayout::journal(), JournalMemory::kBytes));
  return !journal || journal->entries_behind_written() > 0;
}

}  // namespace

void KeptStart::lose(std::string why, const LogFunction& log) {
  log({LogLevel::error,
       fmt::format("writes that the server before this one had answered, and that no flush had "
                   "covered, may be lost: {}",
                   why)});
  report_.loss = std::move(why);
}

void KeptStart::choose(const VolumeGeometry& geometry, const SuperBlock& on_disk,
                       const LogFunction& log) {
  std::vector<Found> all;
  bool is_stale = false;
  for (const ConstBytes memory : left_) {
    auto header = KeptHeader::read(memory);
    if (!header) {
      log({LogLevel::warning,
           fmt::format("memory that was kept is left alone: {}", header.error().message())});
    } else if (header->uuid != geometry.uuid || header->nonce != geometry.nonce) {
      log({LogLevel::warning, "memory that was kept is left alone: it is of another volume"});
    } else if (header->phase != KeptPhase::idle) {
      all.push_back({memory, *header});
      is_stale = is_stale || has_answered(memory, *header);
    }
  }
  const VolumeRun run = VolumeRun::of(on_disk);
  const auto find = [&](const VolumeRun& of, auto is_wanted) -> const Found* {
    const auto at = std::ranges::find_if(
        all, [&](const Found& one) { return one.header.run == of && is_wanted(one.header.phase); });
    return at == all.end() ? nullptr : &*at;
  };
  const auto has_all = [](KeptPhase phase) {
    return phase == KeptPhase::in_use || phase == KeptPhase::given_up;
  };
  const bool is_crashed = on_disk.state == VolumeState::dirty;
  const Found* found = is_crashed ? find(run, has_all) : nullptr;
  if (found != nullptr) {
    source_ = *found;
    source_->has_journal = true;
  } else if (is_crashed) {
    // A process that had not come to its end with the memory of another one, and served nobody.
    const Found* broken_off =
        find(run, [](KeptPhase phase) { return phase == KeptPhase::applying; });
    found = broken_off == nullptr ? nullptr : find(broken_off->header.predecessor, has_all);
    if (found != nullptr) source_ = *found;
  }
  report_.was_dirty = is_crashed;
  report_.was_found = source_.has_value();
  if (!source_) {
    if (is_stale) lose("the volume was in use elsewhere since that server died", log);
  } else if (source_->header.phase == KeptPhase::given_up) {
    lose("an error had made the volume read-only before", log);
  }
}

Task<Result<void>> KeptStart::finish_journal(Executor& executor, PbnDevice blocks,
                                             const SuperBlock& on_disk, const LogFunction& log) {
  if (!is_due() || !source_->has_journal) co_return Result<void>();
  auto kept =
      KeptJournal::read(source_->memory.subspan(KeptLayout::journal(), JournalMemory::kBytes));
  Result<void> done;
  if (kept) {
    report_.entries = kept->entries_behind_written();
    done = co_await uvdo::finish_journal(executor, blocks, on_disk, *kept);
  } else {
    done = std::move(kept).error();
  }
  if (done || done.error().code() != Errc::corrupt) co_return done;
  lose(done.error().message(), log);
  co_return Result<void>();
}

std::vector<KeptBlock> KeptStart::blocks(std::uint64_t logical_blocks, const LogFunction& log) {
  std::uint64_t wrong = 0;
  auto blocks = kept_blocks(source_->memory, source_->header, logical_blocks, wrong);
  if (wrong > 0) lose(fmt::format("{} of them were of no block of the volume", wrong), log);
  return blocks;
}

}  // namespace uvdo
