// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/health.h"

#include <algorithm>

#include <fmt/core.h>

#include "base/saturating.h"
#include "base/size_text.h"

namespace uvdo {
namespace {

constexpr unsigned kNearlyFullPercent = 90;
constexpr std::chrono::seconds kSoon = std::chrono::hours(24);

void judge_space(const HealthFacts& facts, Health& health) {
  const VolumeStatistics& s = facts.statistics;
  if (condition_of(s) == Condition::recovering) return;  // nobody knows yet
  const std::uint64_t room = room_for_data(s);
  const std::uint64_t used = std::min(room, room_used(s));
  if (room == 0) return;
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
        {"The volume is full: writes of new data fail with \"no space\"; reads, discards and "
         "duplicates go on.",
         kAdvice});
  } else if (percent >= kNearlyFullPercent) {
    health.troubles.push_back(
        {fmt::format("{} % of the room for data is used, {} is left{}.", percent, left, when),
         kAdvice});
  } else if (facts.until_full && *facts.until_full < kSoon) {
    health.notes.push_back(
        fmt::format("{} % of the room for data is used, {} is left{}.", percent, left, when));
  }
}

void judge_index(const HealthFacts& facts, Health& health) {
  const VolumeStatistics& s = facts.statistics;
  if (facts.read_only_reason || facts.is_for_reading) return;
  if (s.extra.index_state == "error") {
    health.troubles.push_back(
        {"The deduplication index has failed: data is stored, but not deduplicated.",
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

std::string_view on_or_off(bool on) { return on ? "on" : "off"; }

std::string_view deduplication_word(const VolumeStatistics& s) {
  if (s.extra.deduplication && s.extra.index_state == "opening") return "about to begin";
  return on_or_off(s.extra.deduplication && s.extra.index_state == "online");
}

/// "50 % of its room for data of 3.5 MiB is taken".
std::string room_text(const VolumeStatistics& s) {
  const std::uint64_t room = room_for_data(s);
  const std::string size = size_text(room * s.block_size);
  if (condition_of(s) == Condition::recovering) {
    return fmt::format("how much of its room for data of {} is taken is not known yet", size);
  }
  return fmt::format("{} % of its room for data of {} is taken",
                     static_cast<int>(percent_of(std::min(room, room_used(s)), room)), size);
}

}  // namespace

Condition condition_of(const VolumeStatistics& s) {
  if (s.mode == OperatingMode::read_only) return Condition::read_only;
  if (s.extra.suspended) return Condition::suspended;
  const bool recovering = s.in_recovery_mode || s.mode == OperatingMode::recovering;
  return recovering ? Condition::recovering : Condition::normal;
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

Health assess(const HealthFacts& facts) {
  Health health;
  const VolumeStatistics& s = facts.statistics;
  if (facts.read_only_reason) {
    health.troubles.push_back(
        {fmt::format("The volume takes no more writes since an error: {}.",
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
        {fmt::format("The recovery journal is damaged: of up to {} logical blocks the last flushed "
                     "contents are lost, and nothing tells which.",
                     grouped(facts.blocks_lost)),
         "Compare what matters with a backup: a block may hold what it held before, or what others "
         "have stored since."});
  }
  if (s.extra.suspended) {
    health.troubles.push_back(
        {"The volume is suspended: requests of clients wait until it is resumed.",
         "Resume it with uvdo resume, when what it was suspended for is done."});
  } else {
    judge_index(facts, health);
  }
  if (condition_of(s) == Condition::recovering) {
    health.notes.push_back(
        fmt::format("It was not shut down cleanly: the reference counts are made out in the "
                    "background ({} % done), and it can be used as ever meanwhile.",
                    s.recovery_percentage));
  }
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

std::uint64_t room_used(const VolumeStatistics& s) {
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
