// SPDX-License-Identifier: GPL-2.0-or-later
#include "recovery_fixture.h"

#include <algorithm>
#include <cstring>

#include <fmt/core.h>

#include "device/sparse_device.h"
#include "format/volume_layout.h"
#include "index/bounded_memory_index.h"
#include "inspect/audit.h"
#include "volume/format_volume.h"

namespace uvdo {
namespace {

// Fixed: a test that fails has to fail again.
constexpr std::uint64_t kSeed = 20'240'607;

/// What the audit reads.
SparseImage image_of(const DiskContent& content, std::uint64_t size) {
  SparseImage image(size);
  for (const auto& [number, bytes] : content) image.write(number * kBlockSize, bytes);
  return image;
}

}  // namespace

RecoveryFixture::RecoveryFixture() : random_(kSeed) {
  options_.block_map_cache_pages = 64;
  options_.block_map_maximum_age = 20;
  options_.buffer_bytes = 4U << 20U;
}

void RecoveryFixture::SetUp() {
  FormatRequest request;
  request.device_bytes = 3ULL << 30U;
  request.slab_bits = 13;
  request.logical_bytes = kLogicalBlocks * kBlockSize;
  request.nonce = 77;
  auto layout = make_volume_layout(request);
  ASSERT_TRUE(layout.ok()) << layout.error().message();
  SuperBlock& super = layout->super_block;
  // Eight slabs of 1024 blocks and a journal of 64.
  const auto slab = make_slab_config(kSlabBlocks);
  ASSERT_TRUE(slab.ok());
  super.depot.slab = *slab;
  super.config.slab_size = kSlabBlocks;
  super.config.journal_size = kJournalBlocks;
  Partition* depot = nullptr;
  Partition* journal = nullptr;
  Partition* summary = nullptr;
  for (Partition& partition : super.layout.partitions) {
    if (partition.id == PartitionId::slab_depot) depot = &partition;
    if (partition.id == PartitionId::recovery_journal) journal = &partition;
    if (partition.id == PartitionId::slab_summary) summary = &partition;
  }
  depot->blocks = 8 * kSlabBlocks;
  super.depot.last_block = super.depot.first_block + depot->blocks;
  journal->start = depot->end();
  journal->blocks = kJournalBlocks;
  summary->start = journal->end();
  super.layout.first_free = super.layout.last_free = journal->start;
  super.config.physical_blocks = summary->end().value();
  const auto valid = validate_super_block(super, layout->geometry);
  ASSERT_TRUE(valid.ok()) << valid.error().message();
  device_bytes_ = super.config.physical_blocks * kBlockSize;
  super_block_at_ = layout->geometry.data_start;
  run([&](BackingStore& device) -> Task<void> {
    auto done = co_await format_volume(device, *layout);
    EXPECT_TRUE(done.ok());
  });
}

void RecoveryFixture::run(const std::function<Task<void>(BackingStore&)>& body,
                          std::uint64_t fail_after, Survival survival) {
  SimExecutorOptions options;
  options.seed = random_();
  SimExecutor executor(options);
  CrashDevice device(executor, device_bytes_, content_);
  device.fail_after(fail_after);
  executor_ = &executor;
  device_ = &device;
  const auto outcome = executor.run(body(device));
  executor_ = nullptr;
  device_ = nullptr;
  ASSERT_TRUE(outcome.finished) << outcome.why;
  failed_ = device.has_failed();
  writes_ = device.writes();
  // A run that was not cut off leaves all that it wrote, flushed or not.
  content_ = device.survivors(failed_ ? survival : Survival::everything, random_);
}

void RecoveryFixture::use(const std::function<Task<void>(Volume&)>& body, End end,
                          Survival survival, std::uint64_t fail_after) {
  DiskContent at_crash;
  bool was_cut_off = false;
  last_.clear();  // what an earlier use did not flush is not this one's business
  run(
      [&](BackingStore& device) -> Task<void> {
        auto& crash_device = static_cast<CrashDevice&>(device);
        IndexFactory factory = [](Executor&, Device&, const VolumeGeometry&, bool) {
          return std::make_unique<BoundedMemoryIndex>(1U << 12U);
        };
        std::function<void(std::string)> log = [this](std::string line) {
          log_.push_back(std::move(line));
        };
        auto volume = co_await Volume::open(*executor_, device, options_, factory, log);
        if (!volume) {
          was_cut_off = crash_device.has_failed();
          if (!was_cut_off && !may_fail_to_open_) ADD_FAILURE() << volume.error().message();
          open_error_ = volume.error().message();
          co_return;
        }
        co_await body(**volume);
        was_cut_off = crash_device.has_failed();
        if (end == End::crash && !was_cut_off) {
          at_crash = crash_device.survivors(survival, random_);
          crash_device.fail_after(0);
        }
        if (end == End::leave) co_return;
        auto stopped = co_await (*volume)->stop();
        if (end == End::stop) was_cut_off = crash_device.has_failed();
        if (end == End::stop && !crash_device.has_failed() && !stopped) {
          ADD_FAILURE() << stopped.error().message();
        }
      },
      fail_after, survival);
  // What was on the disk when the power failed, not what the stop behind it has written.
  if (!at_crash.empty()) content_ = std::move(at_crash);
  failed_ = was_cut_off;
}

void RecoveryFixture::fill(MutableBytes data, std::uint64_t seed) {
  if (seed == 0) {
    std::ranges::fill(data, std::byte{0});
    return;
  }
  std::mt19937_64 random(seed);
  for (std::size_t i = 0; i < data.size(); i += 8) store_le64(data.data() + i, random());
  store_le64(data.data(), seed);
}

Task<void> RecoveryFixture::write(Volume& volume, std::uint64_t lbn, std::uint64_t seed,
                                  std::uint64_t count) {
  Buffer buffer = co_await volume.buffers().acquire(count * kBlockSize);
  for (std::uint64_t i = 0; i < count; ++i) {
    fill(buffer.bytes().subspan(i * kBlockSize, kBlockSize), seed + i);
  }
  auto done = co_await volume.write(lbn * kBlockSize, std::move(buffer), Durability::cached);
  if (!done && !volume.is_read_only()) ADD_FAILURE() << done.error().message();
  for (std::uint64_t i = 0; i < count; ++i) {
    auto& values = model_[lbn + i];
    // A block that was never written held zeros, and may again after a crash.
    if (values.empty()) values.insert(0);
    values.insert(seed + i);
    if (done) last_[lbn + i] = seed + i;
  }
}

Task<void> RecoveryFixture::discard(Volume& volume, std::uint64_t lbn, std::uint64_t count) {
  auto done = co_await volume.discard(lbn * kBlockSize, count * kBlockSize, Durability::cached);
  if (!done && !volume.is_read_only()) ADD_FAILURE() << done.error().message();
  for (std::uint64_t i = 0; i < count; ++i) {
    auto& values = model_[lbn + i];
    values.insert(0);
    if (done) last_[lbn + i] = 0;
  }
}

Task<void> RecoveryFixture::flush(Volume& volume) {
  auto done = co_await volume.flush();
  if (!done) {
    EXPECT_TRUE(volume.is_read_only()) << done.error().message();
    co_return;
  }
  // From here on nothing older is right.
  for (const auto& [lbn, seed] : last_) model_[lbn] = {seed};
  last_.clear();
}

Task<void> RecoveryFixture::check_content(Volume& volume) {
  AlignedMemory got(kBlockSize);
  AlignedMemory wanted(kBlockSize);
  for (auto& [lbn, seeds] : model_) {
    auto done = co_await volume.read(lbn * kBlockSize, got.bytes());
    EXPECT_TRUE(done.ok()) << (done ? "" : done.error().message());
    bool found = false;
    for (const std::uint64_t seed : seeds) {
      fill(wanted.bytes(), seed);
      if (std::memcmp(got.data(), wanted.data(), kBlockSize) != 0) continue;
      found = true;
      seeds = {seed};
      break;
    }
    EXPECT_TRUE(found) << "block " << lbn << " holds what it never may";
    if (!found) break;
  }
  last_.clear();
}

void RecoveryFixture::expect_recovered() {
  use(
      [&](Volume& volume) -> Task<void> {
        EXPECT_FALSE(volume.is_read_only());
        co_await check_content(volume);
      },
      End::stop);
  expect_consistent();
}

void RecoveryFixture::expect_consistent() {
  auto image = VolumeImage::open(std::make_unique<SparseDevice>(image_of(content_, device_bytes_)));
  ASSERT_TRUE(image.ok()) << image.error().message();
  EXPECT_EQ((*image)->super_block().state, VolumeState::clean);
  const AuditSummary summary = audit(**image, {}, [](const Finding& finding) {
    if (finding.is_error) ADD_FAILURE() << finding.text;
  });
  EXPECT_TRUE(summary.is_consistent());
}

SuperBlock RecoveryFixture::super_block() const {
  const auto geometry = decode_volume_geometry(content_.at(0));
  const auto super = decode_super_block(content_.at(super_block_at_.value()), *geometry);
  EXPECT_TRUE(super.ok());
  return *super;
}

void RecoveryFixture::set_state(VolumeState state) {
  SuperBlock super = super_block();
  super.state = state;
  encode_super_block(super, content_.at(super_block_at_.value()));
}

void RecoveryFixture::TearDown() {
  if (!HasFailure()) return;
  for (std::size_t i = log_.size() > 20 ? log_.size() - 20 : 0; i < log_.size(); ++i) {
    fmt::print("log: {}\n", log_[i]);
  }
}

bool RecoveryFixture::has_logged(std::string_view part) const {
  return std::ranges::any_of(
      log_, [&](const std::string& line) { return line.find(part) != std::string::npos; });
}

}  // namespace uvdo
