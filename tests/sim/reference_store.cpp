// SPDX-License-Identifier: GPL-2.0-or-later
#include "reference_store.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "async/buffer_pool.h"
#include "async/wait_queue.h"
#include "base/block_types.h"
#include "content.h"

namespace uvdo::sim {
namespace {

constexpr std::uint64_t kLogicalBlocks = 1024;
constexpr std::uint64_t kPhysicalBlocks = 1400;
constexpr std::uint64_t kMapBlocks = 2;  // 16 bytes of header and 4 for each logical block
constexpr std::uint64_t kMapBytes = kMapBlocks * kBlockSize;
constexpr std::uint64_t kFirstData = 1 + 2 * kMapBlocks;
static_assert(16 + 4 * kLogicalBlocks <= kMapBytes);

// Block 0 is not used; maps of even and of odd numbers have an area each, so that the last good one
// is never written over.
std::uint64_t map_offset(std::uint64_t sequence) {
  return (1 + sequence % 2 * kMapBlocks) * kBlockSize;
}

using Map = std::vector<std::uint32_t>;  // physical block of each logical one; 0 is zeros

void encode(const Map& map, std::uint64_t sequence, MutableBytes out) {
  std::fill(out.begin(), out.end(), std::byte{0});
  store_le64(out.data(), sequence);
  for (std::size_t i = 0; i < map.size(); ++i) store_le32(out.data() + 16 + 4 * i, map[i]);
  store_le64(out.data() + 8, hash_content(out));
}

// The sequence number of a good map, or 0.
std::uint64_t decode(MutableBytes in, bool with_checksum, Map& map) {
  const std::uint64_t checksum = load_le64(in.data() + 8);
  store_le64(in.data() + 8, 0);
  if (with_checksum && hash_content(in) != checksum) return 0;
  for (std::size_t i = 0; i < map.size(); ++i) {
    map[i] = load_le32(in.data() + 16 + 4 * i);
    if (map[i] >= kPhysicalBlocks || (map[i] != 0 && map[i] < kFirstData)) return 0;
  }
  return load_le64(in.data());
}

/// What it promises: a block that is superseded is used again only when a map that does not name it
/// is stable (superseded_ becomes free_ in checkpoint()), and a map is written only when the data
/// that it names are stable. Each mistake is one `has()` that breaks one of these, or of the rules
/// about locks, errors and answers.
class Store final : public BlockService, public Instance {
 public:
  Store(Executor& executor, Device& device, Mistake mistake)
      : executor_(executor),
        device_(device),
        mistake_(mistake),
        pool_(executor, std::uint64_t{4} << 20U),
        unlocked_(executor),
        flushed_(executor),
        background_(executor),
        map_(kLogicalBlocks) {}

  Task<Result<void>> load();

  // Instance
  BlockService& service() override { return *this; }
  Task<Result<void>> stop() override;

  // BlockService
  [[nodiscard]] std::uint64_t size() const override { return kLogicalBlocks * kBlockSize; }
  [[nodiscard]] bool is_read_only() const override { return failed_; }
  BufferPool& buffers() override { return pool_; }
  Task<Result<void>> read(std::uint64_t offset, MutableBytes out) override;
  Task<Result<void>> write(std::uint64_t offset, Buffer data, Durability durability) override;
  Task<Result<void>> discard(std::uint64_t offset, std::uint64_t length,
                             Durability durability) override;
  Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode,
                                  Durability durability) override;
  Task<Result<void>> flush() override;
  Task<Result<std::vector<Extent>>> extents(std::uint64_t offset, std::uint64_t length,
                                            std::size_t limit) override;

 private:
  [[nodiscard]] bool has(Mistake mistake) const { return mistake_ == mistake; }
  /// A block is locked by one reader or writer at a time.
  Task<void> lock(std::uint64_t block);
  void unlock(std::uint64_t block);
  [[nodiscard]] std::uint32_t allocate();
  void supersede(std::uint32_t physical);
  /// Overwrites a part of a block; no data means zeros.
  Task<Result<void>> overwrite(std::uint64_t block, std::size_t at, std::size_t length,
                               const std::byte* data);
  Task<Result<void>> change_locked(std::uint64_t block, std::size_t at, std::size_t length,
                                   const std::byte* data);
  Task<Result<void>> change_range(std::uint64_t offset, std::uint64_t length, const std::byte* data,
                                  Durability durability);
  Task<void> change_later(std::uint64_t offset, Buffer data);
  /// Makes all that is in the map stable: data, flush, map, flush.
  Task<Result<void>> checkpoint();
  Task<Result<void>> device_flush();

  Executor& executor_;
  Device& device_;
  Mistake mistake_;
  BufferPool pool_;
  WaitQueue unlocked_;
  WaitQueue flushed_;
  TaskGroup background_;
  Map map_;
  std::set<std::uint64_t> locked_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> superseded_;
  std::uint64_t sequence_ = 0;
  std::uint64_t flush_wanted_ = 0;
  std::uint64_t flush_done_ = 0;
  bool flushing_ = false;
  bool failed_ = false;
};

Task<Result<void>> Store::load() {
  Map other(kLogicalBlocks);
  Buffer buffer = co_await pool_.acquire(kMapBytes);
  for (std::uint64_t area = 0; area < 2; ++area) {
    const Result<void> done = co_await device_.read(map_offset(area), buffer.bytes());
    if (!done) co_return done.error().clone();
    const std::uint64_t found = decode(buffer.bytes(), !has(Mistake::no_map_checksum), other);
    if (found > sequence_) {
      sequence_ = found;
      map_ = other;
    }
  }
  if (sequence_ == 0) co_return Error(Errc::corrupt, "neither of the two maps is whole");
  std::vector<bool> used(kPhysicalBlocks);
  for (const std::uint32_t physical : map_) used[physical] = true;
  for (std::uint32_t i = kFirstData; i < kPhysicalBlocks; ++i) {
    if (!used[i]) free_.push_back(i);
  }
  co_return Result<void>();
}

Task<Result<void>> Store::stop() {
  co_await background_.wait();
  const Result<void> flushed = co_await flush();
  if (!flushed) co_return flushed.error().clone();
  co_return Result<void>();
}

Task<void> Store::lock(std::uint64_t block) {
  while (locked_.contains(block)) co_await unlocked_.wait();
  locked_.insert(block);
}

void Store::unlock(std::uint64_t block) {
  locked_.erase(block);
  unlocked_.wake_all();
}

std::uint32_t Store::allocate() {
  if (free_.empty()) return 0;
  const std::size_t choice = executor_.random() % free_.size();
  std::swap(free_[choice], free_.back());
  const std::uint32_t physical = free_.back();
  free_.pop_back();
  return physical;
}

void Store::supersede(std::uint32_t physical) {
  if (physical == 0) return;
  (has(Mistake::reuse_too_early) ? free_ : superseded_).push_back(physical);
}

Task<Result<void>> Store::read(std::uint64_t offset, MutableBytes out) {
  if (offset > size() || out.size() > size() - offset) {
    co_return Error(Errc::out_of_range, "read beyond the end of the store");
  }
  Buffer buffer = co_await pool_.acquire(kBlockSize);
  std::size_t done = 0;
  while (done < out.size()) {
    const std::uint64_t block = (offset + done) / kBlockSize;
    const std::size_t at = (offset + done) % kBlockSize;
    const std::size_t length = std::min(kBlockSize - at, out.size() - done);
    if (!has(Mistake::unlocked_read)) co_await lock(block);
    const std::uint32_t physical = map_[block];
    Result<void> result;
    if (physical == 0) {
      std::memset(out.data() + done, 0, length);
    } else {
      result = co_await device_.read(std::uint64_t{physical} * kBlockSize, buffer.bytes());
      if (result) std::memcpy(out.data() + done, buffer.data() + at, length);
    }
    if (!has(Mistake::unlocked_read)) unlock(block);
    if (!result) co_return std::move(result).error();
    done += length;
  }
  co_return Result<void>();
}

Task<Result<void>> Store::overwrite(std::uint64_t block, std::size_t at, std::size_t length,
                                    const std::byte* data) {
  const bool locks = !has(Mistake::unlocked_update);
  if (locks) co_await lock(block);
  Result<void> result = co_await change_locked(block, at, length, data);
  if (locks) unlock(block);
  co_return result;
}

Task<Result<void>> Store::change_locked(std::uint64_t block, std::size_t at, std::size_t length,
                                        const std::byte* data) {
  const bool whole = length == kBlockSize;
  if (data == nullptr && whole) {
    supersede(std::exchange(map_[block], 0));
    co_return Result<void>();
  }
  Buffer buffer = co_await pool_.acquire(kBlockSize);
  const std::uint32_t old = map_[block];
  if (!whole) {
    std::memset(buffer.data(), 0, kBlockSize);
    if (old != 0) {
      const Result<void> done =
          co_await device_.read(std::uint64_t{old} * kBlockSize, buffer.bytes());
      if (!done) co_return done.error().clone();
    }
  }
  if (data != nullptr) {
    std::memcpy(buffer.data() + at, data, length);
  } else {
    std::memset(buffer.data() + at, 0, length);
  }
  const bool in_place = has(Mistake::overwrite_in_place) && old != 0;
  const std::uint32_t physical = in_place ? old : allocate();
  if (physical == 0) {
    co_return Error(Errc::no_space, "no free block is left: flush, or discard something");
  }
  Result<void> written =
      co_await device_.write(std::uint64_t{physical} * kBlockSize, buffer.bytes());
  // The mistake: the block is written a second time and changed while the device has it.
  if (has(Mistake::buffer_reused) && written && executor_.random() % 64 == 0) {
    auto again = device_.write(std::uint64_t{physical} * kBlockSize, buffer.bytes());
    if (!again.await_ready()) {
      struct Behind {
        Device::Awaiter& request;
        std::byte* byte;
        static bool await_ready() { return false; }
        void await_suspend(std::coroutine_handle<> handle) const {
          request.await_suspend(handle);
          *byte ^= std::byte{1};
        }
        static void await_resume() {}
      };
      co_await Behind{again, buffer.data()};
    }
  }
  if (!written && !has(Mistake::swallow_write_error)) {
    if (!in_place) free_.push_back(physical);
    co_return written;
  }
  // Under unlocked_update somebody else may have changed it meanwhile.
  const std::uint32_t replaced = std::exchange(map_[block], physical);
  if (!in_place) supersede(replaced);
  co_return Result<void>();
}

Task<Result<void>> Store::change_range(std::uint64_t offset, std::uint64_t length,
                                       const std::byte* data, Durability durability) {
  if (failed_) co_return Error(Errc::read_only, "the store has failed and takes no more writes");
  if (offset > size() || length > size() - offset) {
    co_return Error(Errc::out_of_range, "write beyond the end of the store");
  }
  std::uint64_t done = 0;
  while (done < length) {
    const std::uint64_t block = (offset + done) / kBlockSize;
    const std::size_t at = (offset + done) % kBlockSize;
    const std::size_t part = std::min<std::uint64_t>(kBlockSize - at, length - done);
    Result<void> result =
        co_await overwrite(block, at, part, data == nullptr ? nullptr : data + done);
    if (!result) co_return result;
    done += part;
  }
  if (durability == Durability::fua && !has(Mistake::ignore_fua)) {
    Result<void> flushed = co_await flush();
    if (!flushed) co_return flushed;
  }
  co_return Result<void>();
}

Task<void> Store::change_later(std::uint64_t offset, Buffer data) {
  const Result<void> ignored =
      co_await change_range(offset, data.size(), data.data(), Durability::cached);
  static_cast<void>(ignored.ok());
}

Task<Result<void>> Store::write(std::uint64_t offset, Buffer data, Durability durability) {
  if (has(Mistake::acknowledge_early) && durability == Durability::cached) {
    background_.start(change_later(offset, std::move(data)));
    co_return Result<void>();
  }
  Result<void> result = co_await change_range(offset, data.size(), data.data(), durability);
  co_return result;
}

Task<Result<void>> Store::discard(std::uint64_t offset, std::uint64_t length,
                                  Durability durability) {
  if (has(Mistake::discard_too_much)) {
    const std::uint64_t end = (offset + length + kBlockSize - 1) / kBlockSize * kBlockSize;
    offset -= offset % kBlockSize;
    length = end - offset;
  }
  Result<void> result = co_await change_range(offset, length, nullptr, durability);
  co_return result;
}

Task<Result<void>> Store::write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode,
                                       Durability durability) {
  Result<void> result = co_await change_range(offset, length, nullptr, durability);
  co_return result;
}

Task<Result<void>> Store::device_flush() {
  Result<void> done = co_await device_.flush();
  if (!done && has(Mistake::swallow_flush_error)) co_return Result<void>();
  co_return done;
}

Task<Result<void>> Store::checkpoint() {
  Buffer buffer = co_await pool_.acquire(kMapBytes);
  // The map and what it has superseded are of one moment: nothing is waited for between the two.
  const std::uint64_t next = has(Mistake::one_map_area) ? sequence_ + 2 : sequence_ + 1;
  encode(map_, next, buffer.bytes());
  const std::vector<std::uint32_t> freed = std::exchange(superseded_, {});
  if (!has(Mistake::map_before_data)) {
    Result<void> done = co_await device_flush();
    if (!done) co_return done;
  }
  Result<void> written = co_await device_.write(map_offset(next), buffer.bytes());
  if (!written) co_return written;
  if (!has(Mistake::map_without_flush)) {
    Result<void> done = co_await device_flush();
    if (!done) co_return done;
  }
  sequence_ = next;
  free_.insert(free_.end(), freed.begin(), freed.end());
  co_return Result<void>();
}

Task<Result<void>> Store::flush() {
  if (has(Mistake::ignore_flush)) co_return Result<void>();
  const std::uint64_t wanted = ++flush_wanted_;
  if (flushing_ && has(Mistake::flush_joins_running)) {
    while (flushing_) co_await flushed_.wait();
    if (failed_) co_return Error(Errc::io, "the flush failed");
    co_return Result<void>();
  }
  while (flush_done_ < wanted && !failed_) {
    if (flushing_) {
      co_await flushed_.wait();
      continue;
    }
    flushing_ = true;
    // All flushes that were asked for before this one began; those that come while it runs get one
    // of their own.
    const std::uint64_t covered = flush_wanted_;
    const Result<void> done = co_await checkpoint();
    flushing_ = false;
    // What a failed flush has made of the data, nobody knows: nothing more can be promised.
    if (done) {
      flush_done_ = covered;
    } else {
      failed_ = true;
    }
    flushed_.wake_all();
  }
  if (failed_) co_return Error(Errc::io, "the flush failed, and the store takes no more writes");
  co_return Result<void>();
}

Task<Result<std::vector<Extent>>> Store::extents(std::uint64_t offset, std::uint64_t length,
                                                 std::size_t limit) {
  std::vector<Extent> found;
  while (length > 0) {
    const std::uint64_t part = std::min(length, kBlockSize - offset % kBlockSize);
    const bool hole = map_[offset / kBlockSize] == 0 || has(Mistake::extents_lie);
    const ExtentKind kind = hole ? ExtentKind::hole : ExtentKind::data;
    if (!found.empty() && found.back().kind == kind) {
      found.back().length += part;
    } else if (found.size() < limit) {
      found.push_back({part, kind});
    } else {
      break;
    }
    offset += part;
    length -= part;
  }
  co_return found;
}

constexpr auto kMistakes = std::to_array<std::pair<std::string_view, Mistake>>({
    {"ignore-flush", Mistake::ignore_flush},
    {"ignore-fua", Mistake::ignore_fua},
    {"overwrite-in-place", Mistake::overwrite_in_place},
    {"map-before-data", Mistake::map_before_data},
    {"map-without-flush", Mistake::map_without_flush},
    {"reuse-too-early", Mistake::reuse_too_early},
    {"one-map-area", Mistake::one_map_area},
    {"no-map-checksum", Mistake::no_map_checksum},
    {"flush-joins-running", Mistake::flush_joins_running},
    {"unlocked-update", Mistake::unlocked_update},
    {"unlocked-read", Mistake::unlocked_read},
    {"acknowledge-early", Mistake::acknowledge_early},
    {"swallow-write-error", Mistake::swallow_write_error},
    {"swallow-flush-error", Mistake::swallow_flush_error},
    {"discard-too-much", Mistake::discard_too_much},
    {"extents-lie", Mistake::extents_lie},
    {"buffer-reused", Mistake::buffer_reused},
});

}  // namespace

std::span<const std::pair<std::string_view, Mistake>> mistakes() { return kMistakes; }

std::uint64_t ReferenceSubject::logical_blocks() const { return kLogicalBlocks; }

std::uint64_t ReferenceSubject::device_size() const { return kPhysicalBlocks * kBlockSize; }

Task<Result<void>> ReferenceSubject::format(Executor& executor, Device& device) {
  BufferPool pool(executor, std::uint64_t{1} << 20U);
  Buffer buffer = co_await pool.acquire(kMapBytes);
  encode(Map(kLogicalBlocks), 2, buffer.bytes());
  Result<void> written = co_await device.write(map_offset(2), buffer.bytes(), Durability::fua);
  co_return written;
}

Task<Result<std::unique_ptr<Instance>>> ReferenceSubject::open(Executor& executor,
                                                               BackingStore& store) {
  auto opened = std::make_unique<Store>(executor, store, mistake_);
  const Result<void> loaded = co_await opened->load();
  if (!loaded) co_return loaded.error().clone();
  std::unique_ptr<Instance> instance = std::move(opened);
  co_return std::move(instance);
}

}  // namespace uvdo::sim
