// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/metrics_text.h"

#include <array>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <utility>

#include <fmt/core.h>

#include "watch/health.h"

namespace uvdo {
namespace {

/// A label's value: backslash, quote and newline are escaped; other control characters and bytes
/// that are not ASCII stand as they are.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

/// Collects families of samples. The format wants the samples of a family together, behind its
/// help: family() begins one, sample() goes on with it. Labels that are given come behind `volume`
/// and `uuid`; suffixes are those of histograms.
class Writer {
 public:
  Writer(std::string_view volume, std::string_view uuid)
      : labels_(fmt::format("volume=\"{}\",uuid=\"{}\"", escaped(volume), escaped(uuid))) {}

  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = std::string(name);
    text_ += fmt::format("# HELP uvdo_{} {}\n# TYPE uvdo_{} {}\n", name, help, name, type);
  }
  void sample(std::string_view labels, double value, std::string_view suffix = "") {
    if (std::isinf(value)) {
      text_ += fmt::format("uvdo_{}{{{}}} +Inf\n", name_, labels_);
      return;
    }
    text_ += fmt::format("uvdo_{}{}{{{}{}{}}} {}\n", name_, suffix, labels_,
                         labels.empty() ? "" : ",", labels, value);
  }
  void sample(std::string_view labels, std::uint64_t value, std::string_view suffix = "") {
    text_ += fmt::format("uvdo_{}{}{{{}{}{}}} {}\n", name_, suffix, labels_,
                         labels.empty() ? "" : ",", labels, value);
  }
  template <class T>
  void gauge(std::string_view name, std::string_view help, T value) {
    family(name, "gauge", help);
    sample("", value);
  }
  template <class T>
  void counter(std::string_view name, std::string_view help, T value) {
    family(name, "counter", help);
    sample("", value);
  }
  /// Several samples that differ in one label.
  void split(std::string_view name, std::string_view type, std::string_view help,
             std::string_view label,
             std::initializer_list<std::pair<std::string_view, std::uint64_t>> values) {
    family(name, type, help);
    for (const auto& [which, value] : values) sample(fmt::format("{}=\"{}\"", label, which), value);
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string labels_;
  std::string name_;
  std::string text_;
};

/// Upper ends of the buckets, in microseconds.
// A histogram of Prometheus needs fixed ones; those of LatencyHistogram are finer.
constexpr std::array<std::uint64_t, 19> kBuckets{
    10,    20,    50,     100,    200,    500,     1000,    2000,    5000,    10000,
    20000, 50000, 100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000};

void add_requests(Writer& w, const Activity& a) {
  w.family("request_duration_seconds", "histogram",
           "Time of requests in the volume, from their arrival to the answer.");
  for (const RequestKind kind : kRequestKinds) {
    const RequestActivity& r = a.of(kind);
    const std::string operation = fmt::format("operation=\"{}\"", name_of(kind));
    for (const std::uint64_t us : kBuckets) {
      w.sample(fmt::format("{},le=\"{}\"", operation, static_cast<double>(us) / 1e6),
               r.latencies.count_within(std::chrono::microseconds(us)), "_bucket");
    }
    // The last bucket has all, as the format demands.
    w.sample(operation + ",le=\"+Inf\"", r.latencies.count(), "_bucket");
    w.sample(operation, static_cast<double>(r.total_ns) / 1e9, "_sum");
    w.sample(operation, r.latencies.count(), "_count");
  }
  w.family("request_bytes_total", "counter", "Bytes of the requests of clients.");
  for (const RequestKind kind : kRequestKinds) {
    w.sample(fmt::format("operation=\"{}\"", name_of(kind)), a.of(kind).bytes);
  }
  w.family("requests_in_flight", "gauge", "Requests that have not been answered yet.");
  for (const RequestKind kind : kRequestKinds) {
    w.sample(fmt::format("operation=\"{}\"", name_of(kind)), a.of(kind).in_flight);
  }
  w.gauge("clients", "NBD clients that are connected.", a.clients);
}

/// What is not known, as during a recovery, is left out: a 0 would be taken for one.
void add_space(Writer& w, const VolumeStatistics& s, const Activity& a) {
  const std::uint64_t b = s.block_size;
  const auto used = room_used(s);
  const bool is_recovered = !is_recovering(s);
  w.gauge("logical_size_bytes", "Size of the device that clients see.", s.logical_blocks * b);
  if (is_recovered) {
    w.gauge("logical_used_bytes", "Part of it that is mapped, blocks of zeros included.",
            s.logical_blocks_used * b);
  }
  w.gauge("physical_size_bytes", "Size of the volume on its file or disk.", s.physical_blocks * b);
  if (used) w.gauge("data_used_bytes", "Physical space that holds data.", s.data_blocks_used * b);
  if (is_recovered) {
    w.gauge("overhead_bytes", "Physical space that holds metadata.", s.overhead_blocks_used * b);
  }
  w.gauge("room_bytes", "Physical space for data and pages of the block map, used or not.",
          room_for_data(s) * b);
  if (used) w.gauge("room_used_bytes", "Part of the room that is used.", *used * b);
  w.gauge("watermark_percent", "The highest watermark that the used part has passed; 0: none.",
          std::uint64_t{a.watermark});
  w.gauge("fill_rate_bytes_per_second",
          "How fast the room fills, over the last 20 seconds or as long as it was watched.",
          a.fill_bytes_per_second);
  w.gauge("fill_rate_window_seconds", "The time over which that was seen; 0: there is no rate yet.",
          a.fill_seconds);
  if (used) {
    w.family("full_in_seconds", "gauge",
             "When the room is used up at that rate; +Inf if it does not fill.");
    if (a.until_full) {
      w.sample("", static_cast<std::uint64_t>(a.until_full->count()));
    } else {
      w.sample("", std::numeric_limits<double>::infinity());
    }
  }
  if (!is_recovered) return;
  w.family("saved_bytes", "gauge", "Logical space that takes no physical space, by the reason.");
  w.sample("by=\"thin\"", s.savings.thin_blocks * b);
  if (s.savings.zero_blocks) w.sample("by=\"zeros\"", *s.savings.zero_blocks * b);
  if (s.savings.deduplicated_blocks) {
    w.sample("by=\"deduplication\"", *s.savings.deduplicated_blocks * b);
  }
  if (s.savings.compressed_blocks) {
    w.sample("by=\"compression\"", *s.savings.compressed_blocks * b);
  }
}

void add_data(Writer& w, const VolumeStatistics& s) {
  w.gauge("compression_enabled", "Whether new data is compressed.",
          std::uint64_t{s.extra.compression});
  w.gauge("deduplication_enabled", "Whether new data is deduplicated.",
          std::uint64_t{s.extra.deduplication});
  w.gauge("index_online", "Whether the deduplication index answers.",
          std::uint64_t{s.extra.index_state == "online"});
  w.gauge("index_entries", "Names in the deduplication index.", s.index.entries_indexed);
  w.split("index_lookups_total", "counter", "Names looked up in the index.", "result",
          {{"found", s.index.posts_found + s.index.queries_found},
           {"not_found", s.index.posts_not_found + s.index.queries_not_found}});
  w.split("dedupe_advice_total", "counter", "Advice of the index, by what the compare showed.",
          "result",
          {{"valid", s.hash_lock.dedupe_advice_valid}, {"stale", s.hash_lock.dedupe_advice_stale}});
  w.counter("dedupe_timeouts_total", "Look-ups given up because they took too long.",
            s.dedupe_advice_timeouts);
  w.counter("concurrent_matches_total", "Blocks equal to one being written at the same time.",
            s.hash_lock.concurrent_data_matches);
  w.counter("hash_collisions_total", "Different blocks of the same name at the same time.",
            s.hash_lock.concurrent_hash_collisions);
  w.counter("compressed_fragments_total", "Blocks stored compressed.",
            s.packer.compressed_fragments_written);
  w.counter("compressed_blocks_total", "Physical blocks that they were packed in.",
            s.packer.compressed_blocks_written);
}

void add_device(Writer& w, const DeviceActivity& d) {
  w.split("device_operations_total", "counter", "Requests to the file or disk.", "operation",
          {{"read", d.reads}, {"write", d.writes}, {"flush", d.flushes}});
  w.split("device_bytes_total", "counter", "Bytes read from and written to the file or disk.",
          "operation", {{"read", d.read_bytes}, {"write", d.written_bytes}});
  w.gauge("device_requests_in_flight", "Requests that the file or disk works on.", d.in_flight);
  w.counter("device_busy_seconds_total", "Time in which it worked on at least one.",
            static_cast<double>(d.busy_ns) / 1e9);
}

void add_beneath(Writer& w, const DeviceActivity& d, const RoomBeneath& r) {
  w.split("device_errors_total", "counter", "Requests to the file or disk that failed.",
          "operation",
          {{"read", d.failed_reads}, {"write", d.failed_writes}, {"flush", d.failed_flushes}});
  w.counter("device_no_room_total", "Writes that found no room, tries again included.",
            d.found_no_room);
  w.gauge("beneath_free_bytes", "Free space of the file system beneath; 0 on a disk.",
          r.free_bytes);
  w.gauge("beneath_needed_bytes", "What the volume's file may still take of it.", r.may_take_bytes);
  w.gauge("beneath_full", "Whether writes wait because there is no room beneath.",
          std::uint64_t{r.state != "open"});
  w.gauge("beneath_waiting_bytes", "What waits in memory for room beneath.", r.waiting_bytes);
}

void add_metadata(Writer& w, const VolumeStatistics& s, const Activity& a) {
  w.gauge("journal_blocks", "Blocks of the recovery journal that can be in use.", a.journal_blocks);
  w.gauge("journal_blocks_in_use", "Blocks of it that a recovery would need.",
          a.journal_blocks_in_use);
  w.counter("journal_entries_total", "Changes of the block map journaled.",
            s.journal.entries.started);
  w.counter("journal_full_total", "Times that writers waited for room in the journal.",
            s.journal.disk_full);
  w.split("block_map_cache_pages", "gauge", "Pages of the block map cache.", "state",
          {{"dirty", s.block_map.dirty_pages},
           {"clean", s.block_map.clean_pages},
           {"free", s.block_map.free_pages}});
  w.split("block_map_lookups_total", "counter", "Look-ups of leaf pages, by where they were.",
          "result", {{"cached", s.block_map.found_in_cache}, {"loaded", s.block_map.pages_loaded}});
  w.gauge("slabs", "Slabs of the volume.", s.allocator.slab_count);
  w.gauge("slabs_unscrubbed", "Slabs whose counts are not made out yet after a crash.",
          s.extra.unscrubbed_slabs);
  w.split("metadata_blocks_written_total", "counter", "Blocks of metadata written.", "kind",
          {{"journal", s.journal.blocks.written},
           {"block_map", s.block_map.pages_saved},
           {"slab_journal", s.slab_journal.blocks_written},
           {"reference_counts", s.ref_counts.blocks_written},
           {"slab_summary", s.slab_summary.blocks_written}});
}

}  // namespace

std::string metrics_text(const MetricsSource& source) {
  const VolumeStatistics& s = source.statistics;
  const Activity& a = source.activity;
  Writer w(source.volume, source.uuid);
  w.family("build_info", "gauge", "The server's version, as a label; the value is 1.");
  w.sample(fmt::format("version=\"{}\"", escaped(source.version)), std::uint64_t{1});
  // Counters begin anew with the server; Prometheus takes a fall for that.
  w.gauge("uptime_seconds", "Time since the server began to serve.",
          static_cast<double>(a.uptime_us) / 1e6);
  w.gauge("read_only", "Whether an error has made the volume read-only.",
          std::uint64_t{s.mode == OperatingMode::read_only});
  w.gauge("suspended", "Whether requests wait until the volume is resumed.",
          std::uint64_t{s.extra.suspended});
  w.gauge("recovering", "Whether reference counts are still made out after a crash.",
          std::uint64_t{s.in_recovery_mode});
  w.split("errors_total", "counter", "Requests refused, and advice that made no sense.", "kind",
          {{"no_space", s.errors.no_space_error_count},
           {"read_only", s.errors.read_only_error_count},
           {"invalid_advice", s.errors.invalid_advice_pbn_count}});
  add_space(w, s, a);
  add_requests(w, a);
  add_data(w, s);
  add_device(w, a.device);
  add_beneath(w, a.device, a.room_beneath);
  add_metadata(w, s, a);
  w.gauge("discarding",
          "Whether what becomes free is discarded beneath; 0 too if that was refused.",
          std::uint64_t{s.extra.discard_state == "on"});
  w.counter("discarded_bytes_total", "Free blocks discarded beneath, as often as they were.",
            s.extra.discarded_bytes);
  w.counter("discarded_runs_total", "Requests that it took.", s.extra.discarded_runs);
  w.gauge("memory_bytes", "Memory that the volume takes at most.", s.memory_usage.bytes_used);
  w.gauge("buffer_bytes", "Memory for data in flight.", s.extra.buffer_bytes);
  w.gauge("buffer_used_bytes", "Part of it in use.", s.extra.buffer_bytes_in_use);
  w.counter("cpu_seconds_total", "Processor time of the server.",
            static_cast<double>(a.cpu_us) / 1e6);
  w.counter("metadata_thread_cpu_seconds_total", "Processor time of the metadata's thread.",
            static_cast<double>(a.thread_cpu_us) / 1e6);
  return w.take();
}

}  // namespace uvdo
