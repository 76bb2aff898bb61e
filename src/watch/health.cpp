// SPDX-License-Identifier: GPL-2.0-or-later
// The sentences of `uvdo status`. Each judge_ function looks at one thing and adds what there is to
// say of it: a trouble, if somebody has to do something about it, or a note.
#include "watch/health.h"

#include <algorithm>

#include <fmt/core.h>

#include "base/saturating.h"
#include "base/size_text.h"

namespace uvdo {
namespace {

// From here on the room is a trouble; below, that it will be full within kSoon is a note.
constexpr unsigned kNearlyFullPercent = 90;
constexpr std::chrono::seconds kSoon = std::chrono::hours(24);

void judge_space(const HealthFacts& facts, Health& health) {
  const VolumeStatistics& s = facts.statistics;
  const std::uint64_t room = room_for_data(s);
  const auto known = room_used(s);
  // While a volume recovers, and after an error, nobody knows: nothing is said of it.
  if (!known || room == 0) return;
  const std::uint64_t used = std::min(room, *known);
  const std::uint64_t percent = used * 100 / room;
  const std::string left = size_text((room - used) * s.block_size);
  constexpr const char* kAdvice =
      "Delete and discard data (fstrim), or give the volume more physical space (uvdo grow).";
  std::string when;
  if (facts.until_full) {
    when = "; " + outlook_text(*facts.until_full, facts.rate_over);
  }
  if (used == room) {
    health.troubles.push_back(
        {TroubleKind::room,
         "The volume is full: writes of new data fail with \"no space\"; reads, discards and "
         "duplicates go on.",
         kAdvice});
  } else if (percent >= kNearlyFullPercent) {
    health.troubles.push_back(
        {TroubleKind::room,
         fmt::format("{} % of the room for data is used, {} is left{}.", percent, left, when),
         kAdvice});
  } else if (facts.until_full && *facts.until_full < kSoon) {
    health.notes.push_back(
        fmt::format("{} % of the room for data is used, {} is left{}.", percent, left, when));
  }
}

void judge_index(const HealthFacts& facts, Health& health) {
  const VolumeStatistics& s = facts.statistics;
  // Nothing is written, so that nothing could be deduplicated.
  if (facts.read_only_reason || facts.is_for_reading) return;
  if (s.extra.index_state == "error") {
    health.troubles.push_back(
        {TroubleKind::index,
         "The deduplication index has failed: data is stored, but not deduplicated.",
         "The log says why; when the cause is gone, make a new index with uvdo index create."});
  } else if (s.extra.index_state == "opening") {
    health.notes.emplace_back(
        "The deduplication index is being opened; what is written until then is not deduplicated.");
  } else if (s.extra.index_state == "closed") {
    health.notes.emplace_back(
        "The deduplication index is closed, and new data is not deduplicated; uvdo index enable "
        "opens it again.");
  } else if (!s.extra.deduplication) {
    health.notes.emplace_back("Deduplication is switched off.");
  }
}

/// A note: nothing is lost with it but room.
void judge_discards(const HealthFacts& facts, Health& health) {
  if (facts.statistics.extra.discard_state != "refused") return;
  health.notes.emplace_back(
      "The file or disk beneath has refused a discard: room of free blocks is not given back any "
      "more.");
}

/// Whether what is written stays, and where.
void judge_name(const HealthFacts& facts, Health& health) {
  const BackingState& state = *facts.backing;
  if (state.is_removed()) {
    health.troubles.push_back(
        {TroubleKind::removed,
         fmt::format(
             "The volume's file has been removed{}: its data (inode {}) are there only as "
             "long as this server runs.",
             state.named == BackingState::Named::another ? ", and another one is in its place" : "",
             state.inode),
         "Do not stop the server before they are copied: read the device that it serves, or copy "
         "/proc/PID/fd/N of the server to a new file after uvdo flush, and look at that with uvdo "
         "check."});
  } else if (state.named == BackingState::Named::another) {
    health.troubles.push_back(
        {TroubleKind::moved,
         fmt::format("Another file is in the place of the volume's, which is in use still (inode "
                     "{}) and has another name now.",
                     state.inode),
         "Put the volume's file back in its place before the server is stopped or suspended (find "
         "-inum tells its name)."});
  } else if (state.named == BackingState::Named::nothing) {
    health.troubles.push_back(
        {TroubleKind::moved,
         fmt::format("The volume's file is no longer where it was: it (inode {}) has another name "
                     "now.",
                     state.inode),
         "Put it back in its place before the server is stopped or suspended (find -inum tells its "
         "name)."});
  }
}

void judge_silence(const BackingState& state, Health& health) {
  if (!state.is_silent()) return;
  health.troubles.push_back(
      {TroubleKind::silent,
       fmt::format("The volume's store has not answered for {}{}{}; requests wait for it.",
                   duration_text(state.silent_for), state.trouble.empty() ? "" : ": ",
                   state.trouble),
       "See to it that its server runs and can be reached: the volume goes on by itself then, and "
       "nothing is lost. Do not stop this server before."});
}

void judge_room_beneath(const HealthFacts& facts, Health& health) {
  const std::string free =
      facts.backing && facts.backing->is_file
          ? fmt::format(" (its file system has {} free)", size_text(facts.backing->free))
          : "";
  constexpr const char* kAdvice =
      "Make room: delete or move other files there, or make it larger. All goes on by itself then.";
  if (facts.short_for) {
    health.troubles.push_back(
        {TroubleKind::no_room_beneath,
         fmt::format("There is no room beneath the volume since {}{}: {} wait in memory, {}; reads "
                     "and discards go on.",
                     duration_text(*facts.short_for), free, size_text(facts.bytes_waiting),
                     facts.refuses_writes ? "new writes fail with \"no space\""
                                          : "new writes are held back"),
         kAdvice});
    return;
  }
  if (facts.backing && !facts.backing->fullness.empty()) {
    health.troubles.push_back(
        {TroubleKind::beneath_nearly_full,
         fmt::format("The cluster beneath says: {}.", facts.backing->fullness),
         "Give it more storage, or the pool a larger quota, before it is full: writes wait then."});
    return;
  }
  if (!facts.backing || !facts.backing->is_promised_more_than_there_is(facts.end_of_volume)) return;
  const std::string promise = promise_text(*facts.backing, facts.end_of_volume);
  // Nearly full: less than 64 MiB free, or than 2 %.
  constexpr std::uint64_t kNearlyNothing = 64ULL << 20U;
  if (facts.backing->free < std::max(kNearlyNothing, facts.backing->capacity / 50)) {
    health.troubles.push_back({TroubleKind::beneath_nearly_full,
                               fmt::format("The file system beneath is nearly full: {}.", promise),
                               kAdvice});
  } else {
    health.notes.push_back(fmt::format("Beneath it is not room for all of it: {}.", promise));
  }
}

void judge_device(const HealthFacts& facts, Health& health) {
  if (facts.was_cut_off) {
    health.troubles.push_back(
        {TroubleKind::cut_off,
         fmt::format("The volume's file was cut off: it had less than the {} of the volume, and "
                     "what lay behind is lost.",
                     size_text(facts.end_of_volume)),
         "Copy what can still be read, to somewhere else."});
  }
  if (facts.device.failures() > 0) {
    health.troubles.push_back(
        {TroubleKind::disk,
         fmt::format("The file or disk beneath has failed: {} reads, {} writes and {} flushes "
                     "since the server began{}{}.",
                     facts.device.failed_reads, facts.device.failed_writes,
                     facts.device.failed_flushes,
                     facts.last_device_error.empty() ? "" : "; last: ", facts.last_device_error),
         "Find out whether the disk is sound (its own log, smartctl), and copy what matters while "
         "it can be read."});
  }
  if (facts.backing) judge_name(facts, health);
  if (facts.backing) judge_silence(*facts.backing, health);
  judge_room_beneath(facts, health);
}

std::string_view on_or_off(bool on) { return on ? "on" : "off"; }

std::string_view deduplication_word(const VolumeStatistics& s) {
  if (s.extra.deduplication && s.extra.index_state == "opening") return "about to begin";
  return on_or_off(s.extra.deduplication && s.extra.index_state == "online");
}

/// "50 % of its room for data of 3.5 MiB is taken".
std::string room_text(const VolumeStatistics& s) {
  const std::uint64_t room = room_for_data(s);
  const std::string size = size_text(room * s.block_size);
  const auto used = room_used(s);
  if (!used)
    return fmt::format("how much of its room for data of {} is taken is not known yet", size);
  return fmt::format("{} % of its room for data of {} is taken",
                     static_cast<int>(percent_of(std::min(room, *used), room)), size);
}

}  // namespace

Condition condition_of(const VolumeStatistics& s) {
  // The gravest first.
  if (s.mode == OperatingMode::read_only) return Condition::read_only;
  if (s.extra.suspended) return Condition::suspended;
  return is_recovering(s) ? Condition::recovering : Condition::normal;
}

std::string_view name_of(Condition condition) {
  switch (condition) {
    case Condition::normal: return "normal";
    case Condition::recovering: return "recovering";
    case Condition::suspended: return "suspended";
    case Condition::read_only: return "read-only";
  }
  return "unknown";
}

std::string outlook_text(std::chrono::seconds until_full, std::chrono::seconds rate_over) {
  return fmt::format("at the rate of the last {} it is full in {}", duration_text(rate_over),
                     duration_text(until_full));
}

std::string_view name_of(TroubleKind kind) {
  switch (kind) {
    case TroubleKind::other: return "other";
    case TroubleKind::read_only: return "read-only";
    case TroubleKind::room: return "room";
    case TroubleKind::journal: return "journal";
    case TroubleKind::disk: return "disk";
    case TroubleKind::cut_off: return "cut-off";
    case TroubleKind::removed: return "removed";
    case TroubleKind::moved: return "moved";
    case TroubleKind::no_room_beneath: return "no-room-beneath";
    case TroubleKind::beneath_nearly_full: return "beneath-nearly-full";
    case TroubleKind::silent: return "silent";
    case TroubleKind::suspended: return "suspended";
    case TroubleKind::index: return "index";
  }
  return "other";
}

std::optional<TroubleKind> JsonCodec<TroubleKind>::read(const Json& json) {
  if (!json.is_string()) return std::nullopt;
  const auto name = json.get<std::string>();
  for (const TroubleKind kind :
       {TroubleKind::read_only, TroubleKind::room, TroubleKind::journal, TroubleKind::disk,
        TroubleKind::cut_off, TroubleKind::removed, TroubleKind::moved,
        TroubleKind::no_room_beneath, TroubleKind::beneath_nearly_full, TroubleKind::silent,
        TroubleKind::suspended, TroubleKind::index}) {
    if (name == name_of(kind)) return kind;
  }
  return TroubleKind::other;
}

Gravity gravity_of(TroubleKind kind) {
  switch (kind) {
    case TroubleKind::read_only:
    case TroubleKind::journal:
    case TroubleKind::disk:
    case TroubleKind::cut_off:
    case TroubleKind::removed:
    case TroubleKind::no_room_beneath:
    case TroubleKind::silent: return Gravity::critical;
    case TroubleKind::other:
    case TroubleKind::room:
    case TroubleKind::moved:
    case TroubleKind::beneath_nearly_full:
    case TroubleKind::suspended:
    case TroubleKind::index: return Gravity::warning;
  }
  return Gravity::warning;
}

Health assess(const HealthFacts& facts) {
  Health health;
  const VolumeStatistics& s = facts.statistics;
  if (facts.read_only_reason) {
    health.troubles.push_back(
        {TroubleKind::read_only,
         fmt::format("The volume takes no more writes since an error: {}.",
                     *facts.read_only_reason),
         "What was flushed can be read, here and with uvdo export; what was answered since the "
         "last "
         "flush perhaps only here, until the server stops. Find out whether the disk is sound, and "
         "copy what you need; then stop the server and see with uvdo rebuild --dry-run what making "
         "it writable again would cost."});
  } else if (!facts.is_for_reading) {
    judge_space(facts, health);
  }
  if (facts.blocks_lost > 0) {
    health.troubles.push_back(
        {TroubleKind::journal,
         fmt::format("The recovery journal is damaged: of up to {} logical blocks the last flushed "
                     "contents are lost, and nothing tells which.",
                     grouped(facts.blocks_lost)),
         "Compare what matters with a backup: a block may hold what it held before, or what others "
         "have stored since."});
  }
  judge_device(facts, health);
  if (s.extra.suspended) {
    health.troubles.push_back(
        {TroubleKind::suspended,
         "The volume is suspended: requests of clients wait until it is resumed.",
         "Resume it with uvdo resume, when what it was suspended for is done."});
  } else {
    judge_index(facts, health);
    judge_discards(facts, health);
  }
  // A note: nobody has to do anything.
  if (condition_of(s) == Condition::recovering) {
    health.notes.push_back(
        fmt::format("It was not shut down cleanly: the reference counts are made out in the "
                    "background ({} % done), and it can be used as ever meanwhile.",
                    s.recovery_percentage));
  }
  // The summary comes last, over all that has been found.
  if (health.is_well() && facts.is_for_reading) {
    health.summary = fmt::format("All is well: {} is served for reading only.", facts.volume);
  } else if (health.is_well()) {
    health.summary = fmt::format(
        "All is well: {} is in use, {}, deduplication is {}, compression is {}.", facts.volume,
        room_text(s), deduplication_word(s), on_or_off(s.extra.compression));
  } else if (health.troubles.size() == 1) {
    health.summary = fmt::format("{} is in use, but something needs attention.", facts.volume);
  } else {
    health.summary = fmt::format("{} is in use, but {} things need attention.", facts.volume,
                                 health.troubles.size());
  }
  return health;
}

std::uint64_t room_for_data(const VolumeStatistics& s) {
  return difference(s.physical_blocks, s.extra.fixed_overhead_blocks);
}

std::optional<std::uint64_t> room_used(const VolumeStatistics& s) {
  if (!is_use_known(s)) return std::nullopt;
  // Pages of the block map take room for data, too; what is fixed does not.
  return s.data_blocks_used + difference(s.overhead_blocks_used, s.extra.fixed_overhead_blocks);
}

std::string duration_text(std::chrono::seconds duration) {
  struct Unit {
    std::int64_t seconds;
    const char* name;
  };
  for (const Unit unit :
       {Unit{86400, "day"}, Unit{3600, "hour"}, Unit{60, "minute"}, Unit{1, "second"}}) {
    const std::int64_t count = duration.count() / unit.seconds;
    // "36 hours" tells more than "1 day".
    if (count >= 2 || unit.seconds == 1) {
      return fmt::format("{} {}{}", count, unit.name, count == 1 ? "" : "s");
    }
  }
  return "0 seconds";
}

}  // namespace uvdo
