// SPDX-License-Identifier: GPL-2.0-or-later
// The layouts of vdostats, column by column and label by label.
#include "statistics/statistics_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "base/size_text.h"
#include "statistics/statistics_fields.h"

namespace uvdo {
namespace {

constexpr std::string_view kNotAvailable = "N/A";
constexpr std::uint64_t kKibPerBlock = 4;

bool is_recovering(const VolumeStatistics& s) {
  return s.in_recovery_mode || s.mode == OperatingMode::recovering;
}
/// Whether nobody knows how many data blocks are in use.
bool is_unknown(const VolumeStatistics& s) {
  return is_recovering(s) || (s.mode == OperatingMode::read_only && !s.extra.is_counted);
}
std::uint64_t used_blocks(const VolumeStatistics& s) {
  return s.data_blocks_used + s.overhead_blocks_used;
}
std::uint64_t available_blocks(const VolumeStatistics& s) {
  return difference(s.physical_blocks, used_blocks(s));
}

/// Blocks that went to the device for each that a client wrote.
double write_amplification(const VolumeStatistics& s) {
  return percent_of(s.bios_meta.write + s.bios_out.write, s.bios_in.write) / 100;
}

/// As vdostats writes a size (behaviour.md, 14): one decimal and a suffix, or the bare number of
/// KiB.
std::string human(std::uint64_t kib, TableUnits units) {
  if (units == TableUnits::kib) return fmt::format("{}", kib);
  constexpr std::string_view kSuffixes = "BKMGT";
  const double divisor = units == TableUnits::si ? 1000.0 : 1024.0;
  double value = static_cast<double>(kib) * 1024.0;
  std::size_t at = 0;
  while (value >= divisor && at + 1 < kSuffixes.size()) {
    value /= divisor;
    ++at;
  }
  return fmt::format("{:.1f}{}", value, kSuffixes[at]);
}

std::string percent_text(int percent) {
  return percent < 0 ? std::string(kNotAvailable) : fmt::format("{}%", percent);
}

/// The lines of the list, in order.
class Rows {
 public:
  void add(std::string label, std::string value) {
    rows_.emplace_back(std::move(label), std::move(value));
  }
  void add(std::string label, std::uint64_t value) {
    add(std::move(label), fmt::format("{}", value));
  }
  void add(std::string label, std::uint64_t value, bool known) {
    add(std::move(label), known ? fmt::format("{}", value) : std::string(kNotAvailable));
  }
  void add_percent(std::string label, int percent) {
    add(std::move(label), percent < 0 ? std::string(kNotAvailable) : fmt::format("{}", percent));
  }
  [[nodiscard]] std::string text() const {
    std::size_t width = 0;
    for (const auto& [label, value] : rows_) width = std::max(width, label.size());
    std::string out;
    for (const auto& [label, value] : rows_)
      out += fmt::format("  {:<{}} : {}\n", label, width, value);
    return out;
  }

 private:
  std::vector<std::pair<std::string, std::string>> rows_;
};

// The groups of lines, in the order of behaviour.md, 14.
void add_sizes(Rows& rows, const VolumeStatistics& s) {
  const bool known = !is_unknown(s);
  const bool recovered = !is_recovering(s);
  rows.add("version", s.version);
  rows.add("data blocks used", s.data_blocks_used, known);
  rows.add("overhead blocks used", s.overhead_blocks_used, recovered);
  rows.add("logical blocks used", s.logical_blocks_used, recovered);
  rows.add("physical blocks", s.physical_blocks);
  rows.add("logical blocks", s.logical_blocks);
  rows.add("1K-blocks", s.physical_blocks * kKibPerBlock);
  rows.add("1K-blocks used", used_blocks(s) * kKibPerBlock, known);
  rows.add("1K-blocks available", available_blocks(s) * kKibPerBlock, known);
  rows.add_percent("used percent", used_percent(s));
  rows.add_percent("saving percent", saving_percent(s));
  rows.add("block map cache size", s.block_map_cache_size);
  rows.add("block size", s.block_size);
  rows.add("completed recovery count", s.complete_recoveries);
  rows.add("read-only recovery count", s.read_only_recoveries);
  rows.add("operating mode", std::string(name_of(s.mode)));
  rows.add("recovery progress (%)", s.recovery_percentage, is_recovering(s));
}

void add_commits(Rows& rows, const std::string& prefix, const CommitStatistics& c) {
  rows.add(prefix + " batching", c.batching());
  rows.add(prefix + " started", c.started);
  rows.add(prefix + " writing", c.writing());
  rows.add(prefix + " written", c.written);
  rows.add(prefix + " committed", c.committed);
}

void add_metadata(Rows& rows, const VolumeStatistics& s) {
  rows.add("compressed fragments written", s.packer.compressed_fragments_written);
  rows.add("compressed blocks written", s.packer.compressed_blocks_written);
  rows.add("compressed fragments in packer", s.packer.compressed_fragments_in_packer);
  rows.add("slab count", s.allocator.slab_count);
  rows.add("slabs opened", s.allocator.slabs_opened);
  rows.add("slabs reopened", s.allocator.slabs_reopened);
  rows.add("journal disk full count", s.journal.disk_full);
  rows.add("journal commits requested count", s.journal.slab_journal_commits_requested);
  add_commits(rows, "journal entries", s.journal.entries);
  add_commits(rows, "journal blocks", s.journal.blocks);
  rows.add("slab journal disk full count", s.slab_journal.disk_full_count);
  rows.add("slab journal flush count", s.slab_journal.flush_count);
  rows.add("slab journal blocked count", s.slab_journal.blocked_count);
  rows.add("slab journal blocks written", s.slab_journal.blocks_written);
  rows.add("slab journal tail busy count", s.slab_journal.tail_busy_count);
  rows.add("slab summary blocks written", s.slab_summary.blocks_written);
  rows.add("reference blocks written", s.ref_counts.blocks_written);
}

void add_block_map(Rows& rows, const BlockMapStatistics& m) {
  const std::array<std::pair<const char*, std::uint64_t>, 20> fields{{
      {"dirty pages", m.dirty_pages},
      {"clean pages", m.clean_pages},
      {"free pages", m.free_pages},
      {"failed pages", m.failed_pages},
      {"incoming pages", m.incoming_pages},
      {"outgoing pages", m.outgoing_pages},
      {"cache pressure", m.cache_pressure},
      {"read count", m.read_count},
      {"write count", m.write_count},
      {"failed reads", m.failed_reads},
      {"failed writes", m.failed_writes},
      {"reclaimed", m.reclaimed},
      {"read outgoing", m.read_outgoing},
      {"found in cache", m.found_in_cache},
      {"discard required", m.discard_required},
      {"wait for page", m.wait_for_page},
      {"fetch required", m.fetch_required},
      {"pages loaded", m.pages_loaded},
      {"pages saved", m.pages_saved},
      {"flush count", m.flush_count},
  }};
  for (const auto& [label, value] : fields) rows.add(fmt::format("block map {}", label), value);
}

void add_requests(Rows& rows, const VolumeStatistics& s) {
  rows.add("dedupe advice valid", s.hash_lock.dedupe_advice_valid);
  rows.add("dedupe advice stale", s.hash_lock.dedupe_advice_stale);
  rows.add("concurrent data matches", s.hash_lock.concurrent_data_matches);
  rows.add("concurrent hash collisions", s.hash_lock.concurrent_hash_collisions);
  rows.add("current dedupe queries", s.hash_lock.curr_dedupe_queries);
  rows.add("invalid advice PBN count", s.errors.invalid_advice_pbn_count);
  rows.add("no space error count", s.errors.no_space_error_count);
  rows.add("read only error count", s.errors.read_only_error_count);
  rows.add("instance", s.instance);
  rows.add("512 byte emulation", std::string(s.logical_block_size == 512 ? "on" : "off"));
  rows.add("current VDO IO requests in progress", s.current_vios_in_progress);
  rows.add("maximum VDO IO requests in progress", s.max_vios);
  rows.add("dedupe advice timeouts", s.dedupe_advice_timeouts);
  rows.add("flush out", s.flush_out);
  rows.add("write amplification ratio", fmt::format("{:.2f}", write_amplification(s)));
}

void add_bios(Rows& rows, const VolumeStatistics& s) {
  const std::array<std::pair<const char*, const BioCounts*>, 13> kinds{{
      {"in", &s.bios_in},
      {"in partial", &s.bios_in_partial},
      {"out", &s.bios_out},
      {"meta", &s.bios_meta},
      {"journal", &s.bios_journal},
      {"page cache", &s.bios_page_cache},
      {"out completed", &s.bios_out_completed},
      {"meta completed", &s.bios_meta_completed},
      {"journal completed", &s.bios_journal_completed},
      {"page cache completed", &s.bios_page_cache_completed},
      {"acknowledged", &s.bios_acknowledged},
      {"acknowledged partial", &s.bios_acknowledged_partial},
      {"in progress", &s.bios_in_progress},
  }};
  for (const auto& [kind, bios] : kinds) {
    const std::array<std::pair<const char*, std::uint64_t>, 6> operations{{
        {"read", bios->read},
        {"write", bios->write},
        {"empty flush", bios->empty_flush},
        {"discard", bios->discard},
        {"flush", bios->flush},
        {"fua", bios->fua},
    }};
    for (const auto& [name, value] : operations) {
      rows.add(fmt::format("bios {} {}", kind, name), value);
    }
  }
}

void add_index(Rows& rows, const VolumeStatistics& s) {
  rows.add("KVDO module bytes used", s.memory_usage.bytes_used);
  rows.add("KVDO module peak bytes used", s.memory_usage.peak_bytes_used);
  rows.add("entries indexed", s.index.entries_indexed);
  rows.add("posts found", s.index.posts_found);
  rows.add("posts not found", s.index.posts_not_found);
  rows.add("queries found", s.index.queries_found);
  rows.add("queries not found", s.index.queries_not_found);
  rows.add("updates found", s.index.updates_found);
  rows.add("updates not found", s.index.updates_not_found);
  rows.add("entries discarded", s.index.entries_discarded);
}

/// Writes "{ key : value, ... }".
class MessageWriter {
 public:
  template <class T>
  void value(const char* key, const T& field) {
    if constexpr (std::is_same_v<T, OperatingMode>) {
      text_ += fmt::format("{} : {}, ", key, name_of(field));
    } else if constexpr (std::is_same_v<T, bool>) {
      text_ += fmt::format("{} : {}, ", key, field ? 1 : 0);
    } else {
      text_ += fmt::format("{} : {}, ", key, field);
    }
  }
  template <class F>
  void group(const char* key, F&& f) {
    text_ += fmt::format("{} : {{ ", key);
    f();
    text_ += "}, ";
  }
  [[nodiscard]] std::string text() const { return "{ " + text_ + "}"; }

 private:
  std::string text_;
};

std::string share(std::uint64_t blocks, std::uint64_t of) {
  if (of == 0) return "";
  return fmt::format("{:.1f}%", percent_of(blocks, of));
}

}  // namespace

std::string_view name_of(OperatingMode mode) {
  switch (mode) {
    case OperatingMode::normal: return "normal";
    case OperatingMode::recovering: return "recovering";
    case OperatingMode::read_only: return "read-only";
  }
  return "unknown";
}

int used_percent(const VolumeStatistics& s) {
  if (is_unknown(s)) return -1;
  return static_cast<int>(std::lround(percent_of(used_blocks(s), s.physical_blocks)));
}

int saving_percent(const VolumeStatistics& s) {
  if (is_unknown(s)) return -1;
  if (s.logical_blocks_used == 0) return 0;
  if (s.data_blocks_used > s.logical_blocks_used) return -1;
  // Cut, as vdostats does (behaviour.md, 14).
  return static_cast<int>(
      percent_of(s.logical_blocks_used - s.data_blocks_used, s.logical_blocks_used));
}

std::string statistics_table(std::span<const NamedStatistics> volumes, TableUnits units) {
  constexpr std::size_t kLeastNameWidth = 6;
  std::size_t width = kLeastNameWidth;
  for (const NamedStatistics& volume : volumes) width = std::max(width, volume.name.size());
  const auto line = [&](std::string_view name, std::string_view size, std::string_view used,
                        std::string_view available, std::string_view use, std::string_view saving) {
    return fmt::format("{:<{}} {:>9} {:>9} {:>9} {:>4} {:>13}\n", name, width, size, used,
                       available, use, saving);
  };
  std::string text = line("Device", units == TableUnits::kib ? "1k-blocks" : "Size", "Used",
                          "Available", "Use%", "Space saving%");
  for (const auto& [name, s] : volumes) {
    // The size is known in any case; all else is not while counts are being made out.
    const std::string size = human(s.physical_blocks * kKibPerBlock, units);
    if (is_unknown(s)) {
      text += line(name, size, kNotAvailable, kNotAvailable, kNotAvailable, kNotAvailable);
      continue;
    }
    const std::uint64_t used = used_blocks(s);
    text += line(name, size, human(used * kKibPerBlock, units),
                 human(available_blocks(s) * kKibPerBlock, units), percent_text(used_percent(s)),
                 percent_text(saving_percent(s)));
  }
  return text;
}

std::string statistics_list(std::string_view name, const VolumeStatistics& s) {
  Rows rows;
  add_sizes(rows, s);
  add_metadata(rows, s);
  add_block_map(rows, s.block_map);
  add_requests(rows, s);
  add_bios(rows, s);
  add_index(rows, s);
  return fmt::format("{} : \n{}", name, rows.text());
}

std::string statistics_message(const VolumeStatistics& s) {
  MessageWriter writer;
  visit_kernel_statistics(s, writer);
  return writer.text();
}

std::string savings_text(const VolumeStatistics& s) {
  const auto row = [&](std::string_view what, const std::optional<std::uint64_t>& blocks,
                       std::string_view words) {
    if (!blocks) {
      // A volume in use counts savings when it is asked (Volume::count_savings()); of any other
      // they are not known.
      const std::string_view why =
          s.extra.running && !is_unknown(s) ? "being counted" : "not known";
      return fmt::format("  {:<15} {:>12} {:>7}  {}\n", what, why, "", words);
    }
    return fmt::format("  {:<15} {:>12} {:>7}  {}\n", what, size_text(*blocks * s.block_size),
                       share(*blocks, s.logical_blocks), words);
  };
  std::string text = fmt::format("The logical device of {} is stored like this:\n",
                                 size_text(s.logical_blocks * s.block_size));
  text += row("thin", s.savings.thin_blocks, "never written, or discarded: takes nothing");
  text += row("zeros", s.savings.zero_blocks, "written as zeros: takes nothing");
  text += row("deduplicated", s.savings.deduplicated_blocks, "saved: the same data is stored once");
  text += row("compressed", s.savings.compressed_blocks, "saved: several blocks share one on disk");
  const std::optional<std::uint64_t> stored =
      is_unknown(s) ? std::nullopt : std::optional(s.data_blocks_used);
  text += row("stored", stored, "data blocks in use on disk");
  if (stored && s.logical_blocks_used > 0 && *stored <= s.logical_blocks_used) {
    text += fmt::format("Written data: {} in {} on disk, {}% saved.\n",
                        size_text(s.logical_blocks_used * s.block_size),
                        size_text(*stored * s.block_size), saving_percent(s));
  }
  const ExtraStatistics& e = s.extra;
  if (e.device_failed_reads + e.device_failed_writes + e.device_failed_flushes > 0) {
    text += fmt::format("The disk has failed: {} reads, {} writes and {} flushes.\n",
                        e.device_failed_reads, e.device_failed_writes, e.device_failed_flushes);
  }
  if (e.room_waiting_bytes > 0) {
    text += fmt::format("There is no room beneath: {} that were written wait in memory.\n",
                        size_text(e.room_waiting_bytes));
  }
  return text;
}

}  // namespace uvdo
