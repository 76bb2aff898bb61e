// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/estimate.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <fmt/core.h>

#include "base/block_types.h"
#include "base/page_memory.h"
#include "base/size_text.h"
#include "estimate/packing_model.h"
#include "format/zero_block.h"
#include "packer/block_compressor.h"

namespace uvdo {
namespace {

constexpr std::size_t kPieceBlocks = kPieceBytes / kBlockSize;
/// Fragments that wait in the packer of a server with the usual settings.
constexpr std::size_t kWaitingFragments = 768;
/// Names that may come beyond those expected, as data grow while they are read.
constexpr std::uint64_t kSpareNames = 4096;

void add(BlockCounts& sum, const BlockCounts& more) {
  sum.data += more.data;
  sum.holes += more.holes;
  sum.zero += more.zero;
  sum.duplicate += more.duplicate;
  sum.whole += more.whole;
  sum.fragments += more.fragments;
  sum.fragment_bytes += more.fragment_bytes;
}

/// All that is counted; each piece comes once.
class Account {
 public:
  std::uint32_t new_group(const std::string& name) {
    const std::lock_guard guard(mutex_);
    groups_.push_back({name, {}, 0});
    return static_cast<std::uint32_t>(groups_.size() - 1);
  }
  void add(std::uint32_t group, const BlockCounts& counts) {
    const std::lock_guard guard(mutex_);
    uvdo::add(total_, counts);
    if (group < groups_.size()) uvdo::add(groups_[group].counts, counts);
  }
  // When all threads have ended.
  [[nodiscard]] const BlockCounts& total() const { return total_; }
  [[nodiscard]] std::vector<EstimatedGroup>& groups() { return groups_; }

 private:
  std::mutex mutex_;
  BlockCounts total_;
  std::vector<EstimatedGroup> groups_;
};

/// What the threads share.
struct Shared {
  Shared(const EstimateOptions& given, std::uint64_t names, double looked_at, IndexWindow window)
      : options(given), share(looked_at), table(names, window), packing(table, kWaitingFragments) {}

  /// Whether a name is one of those that are looked at. All copies of a block are, or none.
  [[nodiscard]] bool is_looked_at(const RecordName& name) const {
    // Half of the name as a fraction of all that it could be.
    return share >= 1 || static_cast<double>(load_le64(name.bytes.data()) >> 11U) * 0x1p-53 < share;
  }

  const EstimateOptions& options;
  double share;
  NameTable table;
  PackingModel packing;
  std::atomic<std::uint64_t> done_bytes{0};
  std::atomic<bool> table_was_full{false};
  std::atomic<bool> has_failed{false};  // the other threads end, too
  std::mutex error_mutex;
  std::optional<Error> error;
};

/// One thread's work.
class Worker {
 public:
  Worker(Shared& shared, Account& account)
      : shared_(shared), account_(account), memory_(kPieceBytes) {}

  void take_all(const std::vector<std::unique_ptr<Feed>>& feeds) {
    for (const auto& feed : feeds) {
      if (auto taken = take(*feed); !taken) {
        const std::lock_guard guard(shared_.error_mutex);
        if (!shared_.error) shared_.error = std::move(taken).error();
        shared_.has_failed = true;
        return;
      }
    }
  }

 private:
  Result<void> take(Feed& feed) {
    while (!shared_.has_failed) {
      auto piece = feed.next(memory_.bytes().first(kPieceBytes));
      if (!piece) return std::move(piece).error();
      if (piece->spans.empty()) return {};
      count(*piece);
    }
    return {};
  }

  void count(const Piece& piece) {
    std::uint32_t blocks = 0;
    for (const PieceSpan& span : piece.spans) blocks += span.blocks;
    name_blocks(blocks);
    std::size_t block = 0;
    std::size_t named = 0;
    for (const PieceSpan& span : piece.spans) {
      BlockCounts counts;
      counts.data = span.blocks;
      for (std::uint32_t i = 0; i < span.blocks; ++i, ++block) {
        if (is_zero_[block]) {
          ++counts.zero;
        } else {
          place(names_[named++], memory_.data() + block * kBlockSize, counts);
        }
      }
      account_.add(span.group, counts);
    }
    shared_.done_bytes += std::uint64_t{blocks} * kBlockSize;
  }

  /// Names all blocks of the piece that are not zero at once: several are faster together.
  void name_blocks(std::uint32_t blocks) {
    std::size_t count = 0;
    for (std::uint32_t i = 0; i < blocks; ++i) {
      const std::byte* data = memory_.data() + std::size_t{i} * kBlockSize;
      is_zero_[i] = is_zero_block(data);
      if (!is_zero_[i]) to_name_[count++] = data;
    }
    record_names_of(std::span(to_name_).first(count), names_.data());
  }

  void place(const RecordName& name, const std::byte* data, BlockCounts& counts) {
    if (!shared_.is_looked_at(name)) return;
    const NameTable::Outcome outcome = shared_.table.write(name);
    switch (outcome.verdict) {
      case NameTable::Verdict::wanted:
        shared_.packing.hurry(name, outcome.waiting_size);
        [[fallthrough]];
      case NameTable::Verdict::duplicate: ++counts.duplicate; return;
      case NameTable::Verdict::no_room: shared_.table_was_full = true; break;
      case NameTable::Verdict::stored: break;
    }
    const std::size_t size =
        shared_.options.compression ? compressor_.compress(data, compressed_) : 0;
    if (size == 0) {
      ++counts.whole;
      return;
    }
    ++counts.fragments;
    counts.fragment_bytes += size;
    shared_.packing.add(name, size);
  }

  Shared& shared_;
  Account& account_;
  PageMemory memory_;
  BlockCompressor compressor_;
  std::array<std::byte, kBlockSize> compressed_{};
  std::array<bool, kPieceBlocks> is_zero_{};
  std::array<const std::byte*, kPieceBlocks> to_name_{};
  std::array<RecordName, kPieceBlocks> names_{};
};

/// Runs the threads, and tells how far they are until the last has ended.
void run_threads(Shared& shared, Account& account, const std::vector<std::unique_ptr<Feed>>& feeds,
                 std::uint64_t all_bytes) {
  std::mutex mutex;
  std::condition_variable ended;
  unsigned running = std::max(1U, shared.options.threads);
  std::vector<std::jthread> threads;
  for (unsigned i = running; i > 0; --i) {
    threads.emplace_back([&] {
      Worker(shared, account).take_all(feeds);
      const std::lock_guard guard(mutex);
      if (--running == 0) ended.notify_one();
    });
  }
  std::unique_lock lock(mutex);
  while (!ended.wait_for(lock, std::chrono::milliseconds(100), [&] { return running == 0; })) {
    lock.unlock();
    shared.options.progress(shared.done_bytes, all_bytes);
    lock.lock();
  }
}

/// A count of the names that were looked at, for all names.
std::uint64_t extrapolated(std::uint64_t count, double share) {
  return static_cast<std::uint64_t>(std::llround(static_cast<double>(count) / share));
}

void extrapolate(BlockCounts& counts, double share) {
  if (share >= 1) return;
  const std::uint64_t nonzero = counts.data - counts.zero;
  counts.whole = std::min(nonzero, extrapolated(counts.whole, share));
  counts.fragments = std::min(nonzero - counts.whole, extrapolated(counts.fragments, share));
  counts.fragment_bytes = extrapolated(counts.fragment_bytes, share);
  counts.duplicate = nonzero - counts.whole - counts.fragments;
}

/// Half the width of the interval that has the true number of stored blocks 95 times in 100: each
/// name was drawn with the same probability, and stands for the room that its block takes.
std::uint64_t margin_of(const Estimate& result, std::uint64_t whole, const PackingModel& packing) {
  if (result.share >= 1) return 0;
  const double bins = static_cast<double>(packing.bins());
  const double bytes = static_cast<double>(packing.fragment_bytes());
  const double scale = bytes > 0 ? bins / bytes : 0;
  const double squares = static_cast<double>(whole) + scale * scale * packing.fragment_squares();
  // Two blocks more: where few or none were drawn, there may be some all the same.
  const double deviation = std::sqrt((1 - result.share) * (squares + 2)) / result.share;
  return static_cast<std::uint64_t>(std::ceil(1.96 * deviation));
}

void sum_up(Estimate& result, Shared& shared, Account& account) {
  shared.packing.flush();
  const PackingModel& packing = shared.packing;
  BlockCounts total = account.total();
  // Fragments without company are whole blocks after all.
  total.whole += packing.alone();
  total.fragments = packing.fragments();
  total.fragment_bytes = packing.fragment_bytes();
  result.margin_blocks = margin_of(result, total.whole, packing);
  extrapolate(total, result.share);
  result.counts = total;
  result.compressed_blocks = extrapolated(packing.bins(), result.share);
  result.stored_blocks = total.whole + result.compressed_blocks;
  result.index_records = extrapolated(shared.table.records(), result.share);
  result.table_was_full = shared.table_was_full;
  result.groups = std::move(account.groups());
  const double density = packing.fragment_bytes() == 0
                             ? 1
                             : static_cast<double>(packing.bins() * kBlockSize) /
                                   static_cast<double>(packing.fragment_bytes());
  for (EstimatedGroup& group : result.groups) {
    extrapolate(group.counts, result.share);
    group.stored_bytes = group.counts.whole * kBlockSize +
                         static_cast<std::uint64_t>(std::llround(
                             static_cast<double>(group.counts.fragment_bytes) * density));
  }
}

}  // namespace

Result<Estimate> estimate(const EstimateOptions& options) {
  Estimate result;
  Account account;
  FeedOptions feed_options{options.by, options.cross_file_systems, options.raw, {}};
  std::mutex events;
  feed_options.events.problem = [&](const std::string& text) {
    const std::lock_guard guard(events);
    ++result.problems;
    options.problem(text);
  };
  feed_options.events.file = [&](std::uint64_t bytes) {
    const std::lock_guard guard(events);
    ++result.files;
    result.file_bytes += bytes;
  };
  feed_options.events.group = [&](const std::string& name) {
    return options.by == GroupBy::nothing ? 0 : account.new_group(name);
  };
  feed_options.events.hole = [&](std::uint32_t group, std::uint64_t blocks) {
    BlockCounts counts;
    counts.holes = blocks;
    account.add(group, counts);
  };
  std::vector<std::unique_ptr<Feed>> feeds;
  std::uint64_t all_bytes = 0;
  for (const std::string& path : options.paths) {
    auto opened = open_feed(path, feed_options);
    if (!opened) return std::move(opened).error();
    options.opened(path, opened->kind);
    all_bytes += opened->feed->expected_bytes();
    feeds.push_back(std::move(opened->feed));
  }
  // As many names as fit, and no more than are asked for.
  const std::uint64_t names = all_bytes / kBlockSize + all_bytes / kBlockSize / 16 + kSpareNames;
  result.share = std::min(options.share, static_cast<double>(options.memory) /
                                             static_cast<double>(NameTable::memory_needed(names)));
  const std::uint64_t kept =
      result.share >= 1 ? names
                        : static_cast<std::uint64_t>(static_cast<double>(names) * result.share);
  IndexWindow window = options.window;
  window.records_per_chapter = std::max<std::uint64_t>(
      1,
      static_cast<std::uint64_t>(static_cast<double>(window.records_per_chapter) * result.share));
  Shared shared(options, kept, result.share, window);
  run_threads(shared, account, feeds, all_bytes);
  if (shared.error) return std::move(*shared.error);
  sum_up(result, shared, account);
  return result;
}

}  // namespace uvdo
