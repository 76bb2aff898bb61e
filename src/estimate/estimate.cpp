// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/estimate.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "base/block_types.h"
#include "base/page_memory.h"
#include "base/size_text.h"
#include "estimate/packing_model.h"
#include "estimate/sample_margin.h"
#include "estimate/size_guesser.h"
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
      : options(given),
        names_share(looked_at),
        table(names, window),
        packing(&table, kWaitingFragments) {
    if (names_share < 1) company.emplace(nullptr, kWaitingFragments);
  }

  /// Which tells how fragments share blocks.
  [[nodiscard]] PackingModel& whole_packing() { return company ? *company : packing; }

  /// Whether a name is one of those that are looked at. All copies of a block are, or none.
  [[nodiscard]] bool is_looked_at(const RecordName& name) const {
    // Half of the name as a fraction of all that it could be.
    return names_share >= 1 ||
           static_cast<double>(load_le64(name.bytes.data()) >> 11U) * 0x1p-53 < names_share;
  }

  const EstimateOptions& options;
  double names_share;
  NameTable table;
  PackingModel packing;  // of the names that are looked at
  // Of all names, where not all are looked at: among fewer that are further apart, more find
  // company than among their true neighbours.
  std::optional<PackingModel> company;
  std::mutex margin_mutex;
  SampleMargin margin;
  std::atomic<std::uint64_t> done_bytes{0};
  std::atomic<bool> table_was_full{false};
  std::atomic<bool> has_failed{false};  // the other threads end, too
  std::mutex error_mutex;
  std::optional<Error> error;
};

/// One thread's work.
class Worker {
 public:
  Worker(Shared& shared, Account& account, unsigned number)
      : shared_(shared), account_(account), memory_(kPieceBytes), random_(number) {}

  void take_all(const std::vector<std::unique_ptr<Feed>>& feeds) {
    take_each(feeds);
    const std::lock_guard guard(shared_.margin_mutex);
    shared_.margin.add(margin_);
  }

 private:
  void take_each(const std::vector<std::unique_ptr<Feed>>& feeds) {
    for (const auto& feed : feeds) {
      if (auto taken = take(*feed); !taken) {
        const std::lock_guard guard(shared_.error_mutex);
        if (!shared_.error) shared_.error = std::move(taken).error();
        shared_.has_failed = true;
        return;
      }
    }
  }

  Result<void> take(Feed& feed) {
    while (!shared_.has_failed) {
      auto piece = feed.next(memory_.bytes().first(kPieceBytes));
      if (!piece) return std::move(piece).error();
      if (piece->spans.empty()) return {};
      count(*piece);
    }
    return {};
  }

  /// Pieces are taken at distances that vary, so that they fall in step with nothing in the data.
  [[nodiscard]] bool is_sampled() {
    const double share = shared_.options.share;
    if (share >= 1) return true;
    due_ += share * (0.5 + static_cast<double>(random_() >> 11U) * 0x1p-53);
    if (due_ < 1) return false;
    due_ -= 1;
    return true;
  }

  void count(const Piece& piece) {
    begin_piece();
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
    if (compared_ > 0) margin_.add_piece(compared_, error_);
    // Not before: no other piece is guessed from its own blocks.
    for (const auto& [kind, size] : learned_) guesser_.learn(kind, size);
    learned_.clear();
    shared_.done_bytes += std::uint64_t{blocks} * kBlockSize;
  }

  void begin_piece() {
    is_compressed_ = is_sampled();
    compared_ = 0;
    error_ = 0;
    if (is_compressed_ && shared_.options.share < 1) sizes_ = shared_.whole_packing().sizes();
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
    const bool is_looked_at = shared_.is_looked_at(name);
    if (is_looked_at && !is_stored(name)) {
      ++counts.duplicate;
      return;
    }
    const std::size_t size = shared_.options.compression ? size_of(data) : 0;
    if (size > 0 && shared_.company) shared_.company->add(name, size);
    if (!is_looked_at) return;
    if (size == 0) {
      ++counts.whole;
      return;
    }
    ++counts.fragments;
    counts.fragment_bytes += size;
    shared_.packing.add(name, size);
  }

  /// Whether a block with that name must be stored.
  bool is_stored(const RecordName& name) {
    const NameTable::Outcome outcome = shared_.table.write(name);
    switch (outcome.verdict) {
      case NameTable::Verdict::wanted:
        shared_.packing.hurry(name, outcome.waiting_size);
        return false;
      case NameTable::Verdict::duplicate: return false;
      case NameTable::Verdict::no_room: shared_.table_was_full = true; return true;
      case NameTable::Verdict::stored: return true;
    }
    return true;
  }

  /// Compressed, or guessed.
  std::size_t size_of(const std::byte* data) {
    if (shared_.options.share >= 1) return compressor_.compress(data, compressed_);
    if (compressor_.would_skip(data)) {
      compressor_.learn(false);
      return 0;
    }
    const SizeGuesser::Kind kind = SizeGuesser::kind_of(data);
    const std::optional<std::size_t> guess = guesser_.guess(kind);
    if (guess && !is_compressed_) {
      margin_.add_guessed(1);
      compressor_.learn(*guess > 0);
      return *guess;
    }
    const std::size_t size = compressor_.compress(data, compressed_);
    if (guess) {
      ++compared_;
      error_ += blocks_of(size) - blocks_of(*guess);
    }
    if (is_compressed_) {
      learned_.emplace_back(kind, size);
    } else {
      guesser_.learn(kind, size);
    }
    return size;
  }

  /// Physical blocks that a block of that size takes.
  [[nodiscard]] double blocks_of(std::size_t size) const {
    return size == 0 ? 1 : sizes_[size / PackingModel::kBytesOfASize].blocks_each(size);
  }

  Shared& shared_;
  Account& account_;
  PageMemory memory_;
  BlockCompressor compressor_;
  std::array<std::byte, kBlockSize> compressed_{};
  std::array<bool, kPieceBlocks> is_zero_{};
  std::array<const std::byte*, kPieceBlocks> to_name_{};
  std::array<RecordName, kPieceBlocks> names_{};

  // Of a sample.
  std::mt19937_64 random_;  // of fixed seeds: the same data give the same result
  double due_ = 0.5;        // pieces that are to be compressed
  SizeGuesser guesser_;
  std::vector<std::pair<SizeGuesser::Kind, std::size_t>> learned_;  // of the piece
  SampleMargin margin_;
  PackingModel::Sizes sizes_;
  bool is_compressed_ = true;   // the piece
  std::uint64_t compared_ = 0;  // of its blocks
  double error_ = 0;            // of their guesses, in blocks
};

/// Runs the threads, and tells how far they are until the last has ended.
void run_threads(Shared& shared, Account& account, const std::vector<std::unique_ptr<Feed>>& feeds,
                 std::uint64_t all_bytes) {
  std::mutex mutex;
  std::condition_variable ended;
  unsigned running = std::max(1U, shared.options.threads);
  std::vector<std::jthread> threads;
  for (unsigned i = running; i > 0; --i) {
    threads.emplace_back([&, i] {
      Worker(shared, account, i).take_all(feeds);
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

/// What is known of fragments where the others are that they share blocks with.
struct Packed {
  double whole = 0;    ///< whole blocks of fragments without company
  double bins = 0;     ///< compressed blocks of the others
  double squares = 0;  ///< of the blocks that each takes
};

Packed packed(const PackingModel::Sizes& fragments, const PackingModel::Sizes& company) {
  Packed sum;
  for (std::size_t i = 0; i < fragments.size(); ++i) {
    if (fragments[i].fragments == 0) continue;
    const auto count = static_cast<double>(fragments[i].fragments);
    const double times = count / static_cast<double>(company[i].fragments);
    sum.whole += times * static_cast<double>(company[i].alone);
    sum.bins += times * company[i].bins;
    const double each = company[i].blocks_each(i * PackingModel::kBytesOfASize);
    sum.squares += count * each * each;
  }
  return sum;
}

/// Half the width of the interval that has the true number of stored blocks 95 times in 100: sizes
/// were guessed; and each name was drawn by itself with the same probability, as its bits are those
/// of a hash, and stands for the room that its block takes.
std::uint64_t margin_of(const Estimate& result, double squares, const SampleMargin& guesses) {
  const double of_sizes = guesses.half_width() / result.names_share;
  double of_names = 0;
  if (result.names_share < 1) {
    // Two blocks more: where few or none were drawn, there may be some all the same.
    of_names = 1.96 * std::sqrt((1 - result.names_share) * (squares + 2)) / result.names_share;
  }
  return static_cast<std::uint64_t>(std::ceil(std::hypot(of_sizes, of_names)));
}

void sum_up(Estimate& result, Shared& shared, Account& account) {
  shared.packing.flush();
  if (shared.company) shared.company->flush();
  BlockCounts total = account.total();
  const Packed fragments = packed(shared.packing.sizes(), shared.whole_packing().sizes());
  const double fragment_bytes = static_cast<double>(total.fragment_bytes);
  result.margin_blocks =
      margin_of(result, static_cast<double>(total.whole) + fragments.squares, shared.margin);
  // Fragments without company are whole blocks after all.
  const auto alone = static_cast<std::uint64_t>(std::llround(fragments.whole));
  total.whole += alone;
  total.fragments -= std::min(alone, total.fragments);
  total.fragment_bytes = shared.packing.fragment_bytes();
  extrapolate(total, result.names_share);
  result.counts = total;
  result.compressed_blocks =
      static_cast<std::uint64_t>(std::llround(fragments.bins / result.names_share));
  result.stored_blocks = total.whole + result.compressed_blocks;
  result.index_records = extrapolated(shared.table.records(), result.names_share);
  result.table_was_full = shared.table_was_full;
  result.groups = std::move(account.groups());
  const double density =
      fragment_bytes == 0 ? 1 : (fragments.whole + fragments.bins) * kBlockSize / fragment_bytes;
  for (EstimatedGroup& group : result.groups) {
    extrapolate(group.counts, result.names_share);
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
  // As many names as fit.
  const std::uint64_t names = all_bytes / kBlockSize + all_bytes / kBlockSize / 16 + kSpareNames;
  result.share = options.share;
  result.names_share = std::min(1.0, static_cast<double>(options.memory) /
                                         static_cast<double>(NameTable::memory_needed(names)));
  const auto in_share = [&](std::uint64_t count) {
    if (result.names_share >= 1) return count;
    return static_cast<std::uint64_t>(static_cast<double>(count) * result.names_share);
  };
  IndexWindow window = options.window;
  window.records_per_chapter = std::max<std::uint64_t>(1, in_share(window.records_per_chapter));
  Shared shared(options, in_share(names), result.names_share, window);
  run_threads(shared, account, feeds, all_bytes);
  if (shared.error) return std::move(*shared.error);
  sum_up(result, shared, account);
  return result;
}

}  // namespace uvdo
