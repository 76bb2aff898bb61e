// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume_subject.h"

#include <array>
#include <utility>

#include <fmt/core.h>

#include "device/sim_device.h"
#include "device/sparse_device.h"
#include "index/bounded_memory_index.h"
#include "inspect/audit.h"
#include "inspect/content_reader.h"
#include "profile.h"
#include "volume/format_volume.h"
#include "volume/uds_index_factory.h"
#include "volume_examination.h"

namespace uvdo::sim {
namespace {

// Slab bits, slabs, blocks of the slab journals and of the recovery journal: each shape makes
// something else rare in large volumes frequent, from one slab for all to thirty tiny ones.
constexpr std::array kShapes{
    VolumeShape{8, 12, 16, 32},    VolumeShape{9, 2, 224, 64},  VolumeShape{9, 8, 16, 16},
    VolumeShape{10, 1, 64, 64},    VolumeShape{10, 4, 8, 16},   VolumeShape{11, 1, 224, 128},
    VolumeShape{11, 3, 12, 32},    VolumeShape{13, 1, 224, 32}, VolumeShape{10, 2, 224, 16},
    VolumeShape{8, 30, 224, 1024},
};

/// What is wrong with counters of a volume in use, whatever is under way: no figure that people are
/// shown may be a difference that has wrapped.
std::string wrong_counters(const VolumeStatistics& s) {
  for (const CommitStatistics* commits : {&s.journal.entries, &s.journal.blocks}) {
    if (commits->started < commits->written || commits->written < commits->committed) {
      return fmt::format("of the journal {} are started, {} written, {} committed",
                         commits->started, commits->written, commits->committed);
    }
  }
  if (s.logical_blocks_used > s.logical_blocks) return "more is mapped than there is";
  const bool known = s.mode == OperatingMode::normal;
  if (known && s.data_blocks_used + s.overhead_blocks_used > s.physical_blocks) {
    return "more is used than there is";
  }
  return "";
}

/// A volume, and somebody who asks it after a while for its savings.
class VolumeInstance final : public Instance {
 public:
  VolumeInstance(Executor& executor, BackingStore& store, AlignedMemory memory,
                 std::unique_ptr<Volume> volume, Duration until_asked,
                 std::uint64_t blocks_of_clients, std::vector<VolumeStatistics>& told)
      : executor_(executor),
        store_(store),
        memory_(std::move(memory)),
        volume_(std::move(volume)),
        blocks_of_clients_(blocks_of_clients),
        told_(told),
        alarm_(executor),
        tasks_(executor) {
    tasks_.start(ask(until_asked));
  }
  BlockService& service() override { return *volume_; }
  void check_invariants() const override { volume_->check_invariants(); }
  Task<Result<void>> stop() override {
    alarm_.ring();
    co_await tasks_.wait();
    Result<void> stopped = co_await volume_->stop();
    told_.push_back(volume_->statistics());
    co_return stopped;
  }
  Task<std::string> change(SimRandom& random) override {
    if (volume_->is_read_only()) co_return std::string();
    if (std::string wrong = wrong_counters(volume_->statistics()); !wrong.empty()) co_return wrong;
    switch (random.below(5)) {
      case 4: co_return co_await trim();
      case 0: co_return co_await grow_logical(random);
      case 1: co_return co_await grow_physical(random);
      case 2: co_return co_await suspend(random, SuspendMode::no_save);
      default: co_return co_await suspend(random, SuspendMode::save);
    }
  }
  Task<std::string> examine(SimRandom& random) override {
    if (volume_->is_read_only()) co_return std::string();
    std::string wrong = co_await examine_parts(*volume_, random, blocks_of_clients_);
    // An index that is allowed no time finds nothing.
    if (!wrong.empty() || !is_index_patient_) co_return wrong;
    co_return co_await examine_deduplication(executor_, *volume_, random, blocks_of_clients_);
  }
  /// Its index is the real one, and is given the time that it needs.
  void expect_deduplication() { is_index_patient_ = true; }

 private:
  Task<std::string> grow_logical(SimRandom& random) {
    // Beyond 151 GiB a map needs more interior pages.
    const bool is_far = random.chance(1, 4);
    const std::uint64_t size =
        volume_->size() +
        (is_far ? random.between(40'000'000, 1'000'000'000) : random.between(0, 5000)) * kBlockSize;
    auto done = co_await volume_->grow({.logical_bytes = size});
    if (!done && is_for_want_of_room(done.error())) co_return std::string();
    if (!done) co_return "logical growth: " + done.error().message();
    if (volume_->size() != size) co_return "the logical size is not what it was made";
    done = co_await volume_->grow({.logical_bytes = size - kBlockSize});
    if (done) co_return "it has shrunk";
    if (!is_far) co_return std::string();
    co_return co_await spread_leaves(*volume_, random, blocks_of_clients_);
  }

  Task<std::string> grow_physical(SimRandom& random) {
    const SuperBlock& super_block = volume_->super_block();
    const std::uint64_t slab = super_block.config.slab_size;
    const std::uint64_t least =
        std::max(slab, super_block.config.journal_size + kSlabSummaryBlocks);
    const std::uint64_t size =
        (super_block.config.physical_blocks + random.between(least, least + 2 * slab)) * kBlockSize;
    const SlabNumber slabs = volume_->depot().slab_count();
    auto done = co_await volume_->grow({.physical_bytes = size});
    // The simulated disk is not endless, and a recovery may be going on.
    if (!done && (done.error().code() == Errc::no_space || done.error().code() == Errc::busy ||
                  done.error().code() == Errc::invalid_argument)) {
      co_return volume_->depot().slab_count() == slabs ? "" : "a growth that failed made slabs";
    }
    if (!done) co_return "physical growth: " + done.error().message();
    co_return volume_->depot().slab_count() > slabs ? "" : "a growth made no slabs";
  }

  /// Beside what clients do.
  Task<std::string> trim() {
    auto done = co_await volume_->trim();
    if (done || volume_->is_read_only() || done.error().code() == Errc::cancelled) {
      co_return std::string();
    }
    const auto* disk = dynamic_cast<const SimDevice*>(&store_);
    const bool may_fail = disk == nullptr || disk->has_crashed() || disk->has_faulted();
    co_return may_fail ? "" : "trim: " + done.error().message();
  }

  Task<std::string> suspend(SimRandom& random, SuspendMode mode) {
    auto done = co_await volume_->suspend(mode);
    if (!done && is_for_want_of_room(done.error())) co_return std::string();
    if (!done) co_return "suspension: " + done.error().message();
    std::string wrong;
    if (auto* disk = dynamic_cast<SimDevice*>(&store_); disk != nullptr && !disk->has_crashed()) {
      // From here to the resume the disk is somebody else's: not one request may reach it, and a
      // copy may take its place.
      const std::uint64_t requests = disk->requests();
      const SparseImage copy = disk->content();
      if (mode == SuspendMode::save && !disk->has_faulted()) {
        wrong = audit_image(copy).value_or("");
      }
      Alarm alarm(executor_);
      co_await alarm.sleep(Duration{static_cast<std::int64_t>(random.below(30'000'000))});
      if (disk->requests() != requests) wrong = "a suspended volume used its device";
      done = co_await volume_->suspend(mode);
      if (done) wrong = "a suspended volume was suspended";
      if (random.chance(1, 2) && !disk->has_crashed()) disk->set_content(copy);
    }
    done = co_await volume_->resume();
    while (!done && is_for_want_of_room(done.error())) {
      // It goes on by itself when there is room.
      Alarm alarm(executor_);
      co_await alarm.sleep(std::chrono::milliseconds(50));
      done = volume_->is_suspended() ? co_await volume_->resume() : Result<void>();
    }
    if (!done) {
      wrong = "resuming: " + done.error().message();
      // The device is dead: those who wait must not do so for ever.
      [[maybe_unused]] const auto ended = co_await volume_->end_suspension();
    }
    co_return wrong;
  }

  /// Whether `error` may come of a disk that has been full.
  [[nodiscard]] bool is_for_want_of_room(const Error& error) const {
    const auto* disk = dynamic_cast<const SimDevice*>(&store_);
    return disk != nullptr && disk->found_full() > 0 && error.code() == Errc::no_space;
  }

  Task<void> ask(Duration until) {
    co_await alarm_.sleep(until);
    co_await volume_->count_savings(Duration(0));
  }
  Executor& executor_;
  BackingStore& store_;
  AlignedMemory memory_;
  std::unique_ptr<Volume> volume_;
  bool is_index_patient_ = false;
  std::uint64_t blocks_of_clients_;  // the first ones
  std::vector<VolumeStatistics>& told_;
  Alarm alarm_;
  TaskGroup tasks_;
};

/// What is wrong with savings that a volume in use has counted, by what is on its disk.
std::optional<std::string> compare_savings(const SavingsStatistics& told,
                                           const SparseImage& image) {
  if (!told.zero_blocks) return std::nullopt;  // it was stopped before it had counted them
  auto opened = VolumeImage::open(std::make_unique<SparseDevice>(image));
  if (!opened) return opened.error().message();
  const AuditSummary found = summarize(**opened);
  const std::uint64_t compressed = found.compressed_fragments - found.compressed_blocks;
  const std::uint64_t deduplicated = found.contents.mapped_blocks - found.contents.zero_blocks -
                                     found.referenced_blocks - compressed;
  if (told.zero_blocks == found.contents.zero_blocks && told.compressed_blocks == compressed &&
      told.fragments_mapped == found.contents.fragment_mappings &&
      told.deduplicated_blocks == deduplicated) {
    return std::nullopt;
  }
  return fmt::format(
      "zero, deduplicated and compressed blocks and fragments are {}, {}, {} and {}, but the "
      "volume "
      "has told {}, {}, {} and {}",
      found.contents.zero_blocks, deduplicated, compressed, found.contents.fragment_mappings,
      *told.zero_blocks, *told.deduplicated_blocks, *told.compressed_blocks,
      *told.fragments_mapped);
}

}  // namespace

VolumeLayout make_tiny_layout(const VolumeShape& shape) {
  FormatRequest request;
  request.device_bytes = std::uint64_t{8} << 30U;
  request.slab_bits = shape.slab_bits;
  request.small_slabs = true;
  request.logical_bytes = shape.logical_blocks * kBlockSize;
  request.nonce = 0x5EED;
  auto made = make_volume_layout(request);
  check(made.ok(), "the layout of a tiny volume");
  VolumeLayout layout = *made;
  SuperBlock& s = layout.super_block;
  auto slab = make_slab_config(std::uint64_t{1} << shape.slab_bits, shape.slab_journal_blocks);
  check(slab.ok(), "the slabs of a tiny volume");
  s.depot.slab = *slab;
  s.config.slab_journal_size = shape.slab_journal_blocks;
  s.config.journal_size = shape.recovery_journal_blocks;
  Pbn at = layout.geometry.data_start + 1;
  const auto place = [&](PartitionId id, std::uint64_t blocks) {
    for (Partition& partition : s.layout.partitions) {
      if (partition.id == id) partition = {id, at, blocks};
    }
    at += blocks;
  };
  place(PartitionId::block_map, kBlockMapRoots);
  place(PartitionId::slab_depot, shape.slabs * slab->slab_blocks);
  place(PartitionId::recovery_journal, shape.recovery_journal_blocks);
  place(PartitionId::slab_summary, kSlabSummaryBlocks);
  s.config.physical_blocks = at.value();
  const Partition depot = s.find(PartitionId::slab_depot);
  s.depot.first_block = depot.start;
  s.depot.last_block = depot.end();
  s.layout.first_free = s.layout.last_free = depot.end();
  s.block_map.root_origin = s.find(PartitionId::block_map).start;
  check(validate_super_block(s, layout.geometry).ok(), "a tiny volume is valid");
  return layout;
}

namespace {

std::optional<std::string> audit_opened(const VolumeImage& image, bool read_data) {
  AuditOptions options;
  options.read_data = read_data;
  std::string found;
  const AuditSummary summary = uvdo::audit(image, options, [&](const Finding& finding) {
    // Interior pages that were never written are in order where the kernel has recovered; this
    // engine leaves none.
    const bool unwritten_interior_page = finding.kind == FindingKind::block_map_page &&
                                         finding.text.find("(height 0)") == std::string::npos;
    if ((!finding.is_error && !unwritten_interior_page) || found.size() > 600) return;
    found +=
        fmt::format("{}{}: {}", found.empty() ? "" : "; ", name_of(finding.kind), finding.text);
  });
  if (summary.is_consistent()) return std::nullopt;
  return fmt::format("{} errors: {}", summary.errors, found);
}

}  // namespace

std::optional<std::string> audit_image(const SparseImage& image) {
  auto opened = VolumeImage::open(std::make_unique<SparseDevice>(image));
  if (!opened) return opened.error().message();
  const VolumeState state = (*opened)->super_block().state;
  if (state != VolumeState::clean) {
    return fmt::format("the volume is in state {}", name_of(state));
  }
  return audit_opened(**opened, true);
}

namespace {

/// What is wrong with an export of the first `blocks` logical blocks.
std::optional<std::string> compare_export(VolumeImage& image, std::uint64_t blocks,
                                          const Subject::Look& look) {
  ContentReader reader(image, Lbn{0}, blocks);
  while (const auto run = reader.next()) {
    if (run->kind == ContentRun::Kind::damaged) {
      return fmt::format("block {}: {}", run->start.value(), run->problem);
    }
    for (std::uint64_t i = 0; i < run->blocks; ++i) {
      ConstBytes found;
      if (run->kind == ContentRun::Kind::data)
        found = run->data.subspan(i * kBlockSize, kBlockSize);
      if (auto wrong = look(run->start.value() + i, found)) return wrong;
    }
  }
  return std::nullopt;
}

}  // namespace

Subject::Seen look_at_image(const SparseImage& image, std::uint64_t blocks,
                            const Subject::Look& look) {
  Subject::Seen seen;
  auto opened = VolumeImage::open(std::make_unique<SparseDevice>(image));
  if (!opened) return {opened.error().message(), false};
  const VolumeState state = (*opened)->super_block().state;
  seen.is_final = needs_rebuild(state);
  seen.wrong = compare_export(**opened, blocks, look);
  // One that is clean is audited when it is stopped; the data have just been read.
  if (!seen.wrong && needs_journal(state)) seen.wrong = audit_opened(**opened, false);
  if (seen.wrong) seen.wrong = fmt::format("{}: {}", name_of(state), *seen.wrong);
  return seen;
}

Subject::Seen VolumeSubject::look_offline(const SparseImage& image, std::uint64_t blocks,
                                          const Look& look) {
  return look_at_image(image, blocks, look);
}

std::optional<std::string> VolumeSubject::audit(const SparseImage& image) {
  auto wrong = audit_image(image);
  if (!wrong && !told_.empty()) wrong = compare_savings(told_.back().savings, image);
  return wrong;
}

void VolumeSubject::choose(std::uint64_t seed) {
  random_ = SimRandom(mix_bits(seed ^ 0x76646FU));
  SimRandom index(mix_bits(seed ^ 0x756473U));
  is_index_patient_ = index.chance(1, 2);
  is_index_sparse_ = index.chance(1, 4);
  told_.clear();
  own_ = {};
  left_.clear();
  variant_ = fixed_shape_ ? 0 : random_.below(kShapes.size());
  layout_ = make_tiny_layout(fixed_shape_ ? *fixed_shape_ : kShapes[variant_]);
}

std::uint64_t VolumeSubject::device_size() const {
  // There is room for some growth behind the volume.
  const VolumeConfig& config = layout_.super_block.config;
  const Pbn end{config.physical_blocks + 6 * config.slab_size + 2 * config.journal_size};
  return device_byte(end, layout_.geometry.bio_offset);
}

std::vector<std::pair<std::uint64_t, std::uint64_t>> VolumeSubject::critical_ranges() const {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  const auto add = [&](Pbn first, std::uint64_t blocks) {
    const std::uint64_t begin = device_byte(first, layout_.geometry.bio_offset);
    ranges.emplace_back(begin, begin + blocks * kBlockSize);
  };
  const SuperBlock& s = layout_.super_block;
  add(s.find(PartitionId::slab_summary).start, kSlabSummaryBlocks);
  add(s.find(PartitionId::recovery_journal).start, s.config.journal_size);
  // The counts and the journal of the first slab, which is the fullest.
  const SlabLayout slabs(s.depot);
  add(slabs.reference_block(0, 0), s.depot.slab.reference_count_blocks);
  add(slabs.journal_block_at(0, 0), s.depot.slab.slab_journal_blocks);
  add(s.find(PartitionId::slab_depot).start, s.depot.slab.slab_blocks);
  return ranges;
}

Task<Result<void>> VolumeSubject::format(Executor& executor, Device& device) {
  static_cast<void>(executor);
  co_return co_await format_volume(device, layout_);
}

/// Other options at each start: what one start leaves has to be right for any other. Some are
/// derived from commit_delay and take no random numbers of their own.
VolumeOptions VolumeSubject::next_options() {
  VolumeOptions options;
  options.block_map_cache_pages = static_cast<std::uint32_t>(random_.between(16, 64));
  options.packer_fragments = static_cast<std::uint32_t>(random_.between(1, 24));
  options.block_map_maximum_age =
      random_.chance(1, 2) ? 16380 : static_cast<std::uint32_t>(random_.between(1, 40));
  options.buffer_bytes = random_.between(1, 4) << 20U;
  options.compression = random_.chance(2, 3);
  options.deduplication = random_.chance(7, 8);
  options.faults = faults_;
  // A recovery's memory is too small for most journals.
  options.replay_batch = random_.between(8, 512);
  options.commit_delay = Duration(random_.below(20'000'000));
  // Up to 1.2 s, or none at all.
  options.no_space_timeout = options.commit_delay * (options.commit_delay.count() % 7) * 10;
  // Up to 1 ms, in half of the histories.
  if (options.commit_delay.count() % 2 == 0) options.gather_delay = options.commit_delay / 20;
  // In half of the histories, soon or after up to 0.6 s: more or less of a cycle. (Not at once: who
  // looks each nanosecond takes all steps that a history may have while others wait for the
  // device.)
  options.discards_freed = options.commit_delay.count() / 8 % 2 == 0;
  options.discard_delay =
      options.commit_delay * (options.commit_delay.count() % 5) * 7 + Duration(100'000);
  // Too few of everything for the requests that come, in a third of them.
  if (options.commit_delay.count() % 3 == 0) {
    options.write_jobs = static_cast<std::size_t>(options.commit_delay.count() % 16) + 1;
    options.internal_buffer_bytes = 1;
    options.slab_journal_blocks = 2 + options.write_jobs % 3;
    options.frees_under_way = options.write_jobs * 4;
  }
  return options;
}

/// Asks for a rebuild by the state (behaviour.md, 10); the next start carries it out.
Task<Result<void>> VolumeSubject::repair(Executor& executor, BackingStore& store) {
  static_cast<void>(executor);
  AlignedMemory block(kBlockSize);
  const PbnDevice blocks(store, layout_.geometry.bio_offset);
  const Pbn at = layout_.geometry.data_start;
  auto done = co_await blocks.read(at, block.bytes());
  if (!done) co_return done;
  auto super_block = decode_super_block(block.bytes(), layout_.geometry);
  if (!super_block) co_return std::move(super_block).error();
  super_block->state = VolumeState::force_rebuild;
  encode_super_block(*super_block, block.bytes());
  done = co_await blocks.write(at, block.bytes(), Durability::fua);
  co_return done;
}

void VolumeSubject::prepare(const Profile& profile) {
  index_ = profile.index;
  blocks_of_clients_ = profile.blocks;
  keeps_memory_ = profile.death_percent > 0;
}

/// The real index with chapters of 1024 names. In half of the histories it has 50 to 150 us for a
/// lookup, which a page may come within or not.
IndexFactory VolumeSubject::make_uds_index() {
  UdsParameters parameters = uds_parameters(layout_.geometry, false);
  parameters.geometry = index_geometry_of(1, 16, is_index_sparse_ ? 12 : 0);
  parameters.faults = faults_;
  if (!is_index_patient_) {
    parameters.lookup_timeout = Duration(random_.between(50'000, 150'000));
    parameters.cached_pages = static_cast<std::uint32_t>(random_.between(1, 3));
  }
  return [parameters](Executor& executor, Device& device, const VolumeGeometry&, bool create) {
    UdsParameters wanted = parameters;
    wanted.create = create;
    auto index = UdsIndex::start(executor, device, wanted, [](const LogLine&) {});
    check(index.ok(), "the index of a tiny volume");
    return std::unique_ptr<DedupeIndex>(std::move(*index));
  };
}

Task<Result<std::unique_ptr<Instance>>> VolumeSubject::open(Executor& executor,
                                                            BackingStore& store) {
  const VolumeOptions options = next_options();
  const std::uint64_t names = random_.chance(1, 3) ? random_.between(4, 64) : 4096;
  IndexFactory make_index = [names](Executor&, Device&, const VolumeGeometry&, bool) {
    return std::make_unique<BoundedMemoryIndex>(names);
  };
  if (index_ == IndexKind::uds) make_index = make_uds_index();
  AlignedMemory memory;
  if (keeps_memory_) {
    memory = AlignedMemory::unset(KeptLayout::of(options).bytes());
    std::memset(memory.data(), 0, kBlockSize);  // it says nothing yet
  }
  auto opened =
      co_await open_volume(executor, store, options, std::move(make_index), memory.bytes());
  if (!opened) co_return std::move(opened).error();
  auto instance = std::make_unique<VolumeInstance>(
      executor, store, std::move(memory), *std::move(opened), Duration(random_.below(200'000'000)),
      blocks_of_clients_, told_);
  if (index_ == IndexKind::uds && is_index_patient_) instance->expect_deduplication();
  co_return std::unique_ptr<Instance>(std::move(instance));
}

Task<Result<std::unique_ptr<Volume>>> VolumeSubject::open_volume(Executor& executor,
                                                                 BackingStore& store,
                                                                 const VolumeOptions& options,
                                                                 IndexFactory make_index,
                                                                 MutableBytes memory) {
  own_ = memory;
  KeptMemories kept{memory, {}};
  for (const AlignedMemory& one : left_) kept.left.push_back(one.bytes());
  auto opened = co_await Volume::open(
      executor, store, options, std::move(make_index), [](const std::string&) {}, std::move(kept));
  const auto* disk = dynamic_cast<const SimDevice*>(&store);
  const bool has_died = disk != nullptr && disk->has_crashed();
  if (!opened) own_ = {};
  if (!opened || has_died) co_return opened;
  // Nobody needs it any more.
  left_.clear();
  if (!(*opened)->kept_report().loss.empty() && (disk == nullptr || !disk->has_faulted())) {
    Error loss(Errc::io, "what was answered is lost: " + (*opened)->kept_report().loss);
    [[maybe_unused]] const auto stopped = co_await (*opened)->stop();
    co_return loss;
  }
  co_return opened;
}

void VolumeSubject::die() {
  if (own_.empty()) return;
  AlignedMemory copy = AlignedMemory::unset(own_.size());
  std::memcpy(copy.data(), own_.data(), own_.size());
  left_.push_back(std::move(copy));
  own_ = {};
}

}  // namespace uvdo::sim
