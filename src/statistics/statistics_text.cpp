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
#include "statistics/statistics_state.h"

namespace uvdo {
namespace {

constexpr std::string_view kNotAvailable = "N/A";
constexpr std::uint64_t kKibPerBlock = 4;
// What VDO 6.2 says of itself: its set of statistics, and its format on disk.
constexpr std::uint64_t kVersionOfForm6 = 31;
constexpr std::uint64_t kReleaseOfForm6 = 133524;
// A write is answered when it is in memory and is stable with the next flush: of VDO 6's words that
// is "async".
constexpr std::string_view kWritePolicy = "async";

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

/// "0.0", "0.54", "1.5": two decimals at most and one at least, as VDO 6 writes ratios.
std::string shortest_decimal(double value) {
  std::string text = fmt::format("{:.2f}", value);
  if (text.ends_with('0')) text.pop_back();
  return text;
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
  void add_counts(std::string_view group,
                  std::span<const std::pair<const char*, std::uint64_t>> counts) {
    for (const auto& [label, value] : counts) add(fmt::format("{} {}", group, label), value);
  }
  [[nodiscard]] const StatisticsRows& list() const { return rows_; }
  [[nodiscard]] std::string text() const {
    std::size_t width = 0;
    for (const auto& [label, value] : rows_) width = std::max(width, label.size());
    std::string out;
    for (const auto& [label, value] : rows_)
      out += fmt::format("  {:<{}} : {}\n", label, width, value);
    return out;
  }

 private:
  StatisticsRows rows_;
};

// The groups of lines, in the order of behaviour.md, 14.
void add_sizes(Rows& rows, const VolumeStatistics& s, VdostatsForm form) {
  const bool known = is_use_known(s);
  const bool recovered = !is_recovering(s);
  const bool is_v6 = form == VdostatsForm::v6;
  rows.add("version", is_v6 ? kVersionOfForm6 : s.version);
  if (is_v6) rows.add("release version", kReleaseOfForm6);
  rows.add("data blocks used", s.data_blocks_used, known);
  rows.add("overhead blocks used", s.overhead_blocks_used, recovered);
  rows.add("logical blocks used", s.logical_blocks_used, recovered);
  rows.add("physical blocks", s.physical_blocks);
  rows.add("logical blocks", s.logical_blocks);
  rows.add("1K-blocks", s.physical_blocks * kKibPerBlock);
  rows.add("1K-blocks used", used_blocks(s) * kKibPerBlock, known);
  rows.add("1K-blocks available", available_blocks(s) * kKibPerBlock, known);
  rows.add_percent("used percent", used_percent(s, form));
  rows.add_percent("saving percent", saving_percent(s, form));
  rows.add("block map cache size", s.block_map_cache_size);
  if (is_v6) rows.add("write policy", std::string(kWritePolicy));
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
  rows.add_counts("block map", fields);
}

void add_errors(Rows& rows, const VolumeStatistics& s) {
  rows.add("invalid advice PBN count", s.errors.invalid_advice_pbn_count);
  rows.add("no space error count", s.errors.no_space_error_count);
  rows.add("read only error count", s.errors.read_only_error_count);
  rows.add("instance", s.instance);
  rows.add("512 byte emulation", std::string(s.logical_block_size == 512 ? "on" : "off"));
  rows.add("current VDO IO requests in progress", s.current_vios_in_progress);
  rows.add("maximum VDO IO requests in progress", s.max_vios);
}

void add_advice(Rows& rows, const HashLockStatistics& h) {
  rows.add("dedupe advice valid", h.dedupe_advice_valid);
  rows.add("dedupe advice stale", h.dedupe_advice_stale);
}

void add_concurrent(Rows& rows, const HashLockStatistics& h) {
  rows.add("concurrent data matches", h.concurrent_data_matches);
  rows.add("concurrent hash collisions", h.concurrent_hash_collisions);
}

void add_requests(Rows& rows, const VolumeStatistics& s, VdostatsForm form) {
  switch (form) {
    case VdostatsForm::v6:
      add_errors(rows, s);
      rows.add("current dedupe queries", s.hash_lock.curr_dedupe_queries);
      rows.add("maximum dedupe queries", std::uint64_t{0});  // nobody counts it
      add_advice(rows, s.hash_lock);
      rows.add("dedupe advice timeouts", s.dedupe_advice_timeouts);
      add_concurrent(rows, s.hash_lock);
      rows.add("flush out", s.flush_out);
      rows.add("write amplification ratio", shortest_decimal(write_amplification(s)));
      return;
    case VdostatsForm::v8:
      add_advice(rows, s.hash_lock);
      add_concurrent(rows, s.hash_lock);
      rows.add("current dedupe queries", s.hash_lock.curr_dedupe_queries);
      add_errors(rows, s);
      rows.add("dedupe advice timeouts", s.dedupe_advice_timeouts);
      rows.add("flush out", s.flush_out);
      rows.add("write amplification ratio", fmt::format("{:.2f}", write_amplification(s)));
      return;
  }
}

void add_bios(Rows& rows, const VolumeStatistics& s, VdostatsForm form) {
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
    const std::string group = fmt::format("bios {}", kind);
    rows.add(group + " read", bios->read);
    rows.add(group + " write", bios->write);
    // VDO 6 has no line for it: there an empty flush counts as a flush alone.
    if (form == VdostatsForm::v8) rows.add(group + " empty flush", bios->empty_flush);
    rows.add(group + " discard", bios->discard);
    rows.add(group + " flush", bios->flush);
    rows.add(group + " fua", bios->fua);
  }
}

void add_memory(Rows& rows, const MemoryUsageStatistics& m) {
  rows.add("KVDO module bytes used", m.bytes_used);
  rows.add("KVDO module peak bytes used", m.peak_bytes_used);
}

void add_index(Rows& rows, const VolumeStatistics& s) {
  rows.add("entries indexed", s.index.entries_indexed);
  rows.add("posts found", s.index.posts_found);
  rows.add("posts not found", s.index.posts_not_found);
  rows.add("queries found", s.index.queries_found);
  rows.add("queries not found", s.index.queries_not_found);
  rows.add("updates found", s.index.updates_found);
  rows.add("updates not found", s.index.updates_not_found);
  rows.add("entries discarded", s.index.entries_discarded);
}

Rows rows_of(const VolumeStatistics& s, VdostatsForm form) {
  Rows rows;
  add_sizes(rows, s, form);
  add_metadata(rows, s);
  add_block_map(rows, s.block_map);
  add_requests(rows, s, form);
  add_bios(rows, s, form);
  add_memory(rows, s.memory_usage);
  if (form == VdostatsForm::v8) add_index(rows, s);
  return rows;
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

int used_percent(const VolumeStatistics& s, VdostatsForm form) {
  if (!is_use_known(s)) return -1;
  const double percent = percent_of(used_blocks(s), s.physical_blocks);
  return static_cast<int>(form == VdostatsForm::v6 ? std::floor(percent) : std::round(percent));
}

int saving_percent(const VolumeStatistics& s, VdostatsForm form) {
  if (!is_use_known(s)) return -1;
  if (s.logical_blocks_used == 0) return form == VdostatsForm::v6 ? -1 : 0;
  if (s.data_blocks_used > s.logical_blocks_used) return -1;
  // Cut, as vdostats does (behaviour.md, 14).
  return static_cast<int>(
      percent_of(s.logical_blocks_used - s.data_blocks_used, s.logical_blocks_used));
}

std::string statistics_table(std::span<const NamedStatistics> volumes, TableUnits units,
                             VdostatsForm form) {
  const bool is_v6 = form == VdostatsForm::v6;
  using Cells = std::array<std::string, 6>;
  const std::string_view blocks = is_v6 ? "1K-blocks" : "1k-blocks";
  std::vector<Cells> lines{{"Device", std::string(units == TableUnits::kib ? blocks : "Size"),
                            "Used", "Available", "Use%", "Space saving%"}};
  for (const auto& [name, s] : volumes) {
    Cells& cells = lines.emplace_back();
    cells.fill(std::string(kNotAvailable));
    // The size is known in any case; all else is not while counts are being made out.
    cells[0] = name;
    cells[1] = human(s.physical_blocks * kKibPerBlock, units);
    if (!is_use_known(s)) continue;
    cells[2] = human(used_blocks(s) * kKibPerBlock, units);
    cells[3] = human(available_blocks(s) * kKibPerBlock, units);
    cells[4] = percent_text(used_percent(s, form));
    cells[5] = percent_text(saving_percent(s, form));
  }
  // At least; what is wider widens its column.
  std::array<std::size_t, 6> widths{is_v6 ? 20U : 6U, 9, 9, 9, 4, 13};
  for (const Cells& cells : lines) {
    for (std::size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
  }
  std::string text;
  for (const Cells& cells : lines) {
    text += fmt::format("{:<{}}", cells[0], widths[0]);
    for (std::size_t i = 1; i < cells.size(); ++i) {
      text += fmt::format(" {:>{}}", cells[i], widths[i]);
    }
    text += '\n';
  }
  return text;
}

StatisticsRows statistics_rows(const VolumeStatistics& s, VdostatsForm form) {
  return rows_of(s, form).list();
}

std::string statistics_list(std::string_view name, const VolumeStatistics& s, VdostatsForm form) {
  const Rows rows = rows_of(s, form);
  switch (form) {
    case VdostatsForm::v6: return fmt::format("{} :\n{}", name, rows.text());
    case VdostatsForm::v8: return fmt::format("{} : \n{}", name, rows.text());
  }
  return {};
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
          s.extra.running && is_use_known(s) ? "being counted" : "not known";
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
      is_use_known(s) ? std::optional(s.data_blocks_used) : std::nullopt;
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
  if (e.discarded_runs > 0) {
    text += fmt::format("Free blocks discarded beneath: {} in {} runs.\n",
                        size_text(e.discarded_bytes), e.discarded_runs);
  }
  if (e.room_waiting_bytes > 0) {
    text += fmt::format("There is no room beneath: {} that were written wait in memory.\n",
                        size_text(e.room_waiting_bytes));
  }
  return text;
}

}  // namespace uvdo
