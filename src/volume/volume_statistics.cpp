// SPDX-License-Identifier: GPL-2.0-or-later
// The statistics of a volume in use, under the kernel's names (behaviour.md, 14).
#include "volume/memory_plan.h"
#include "volume/volume.h"

namespace uvdo {
namespace {

/// Requests to the device and from clients, in the kernel's words; what the parts have counted is
/// there.
void add_bios(VolumeStatistics& s, const RequestCounters& requests) {
  s.bios_in.read = requests.reads;
  s.bios_in.write = requests.writes;
  s.bios_in.discard = requests.discards;
  s.bios_in.empty_flush = requests.flushes;
  s.bios_in.fua = requests.fua_writes;
  s.bios_in_partial.read = requests.partial_reads;
  s.bios_in_partial.write = requests.partial_writes;
  s.bios_out.read = requests.data_reads;
  s.bios_meta.write = s.journal.blocks.written + s.slab_journal.blocks_written +
                      s.slab_summary.blocks_written + s.ref_counts.blocks_written +
                      s.block_map.write_count;
  s.bios_meta.read = s.block_map.read_count;
  s.bios_journal.write = s.journal.blocks.written;
  s.bios_journal.fua = s.journal.blocks.written;
  s.bios_journal.flush = s.journal.flushes;
  s.bios_page_cache.read = s.block_map.read_count;
  s.bios_page_cache.write = s.block_map.write_count;
  s.bios_page_cache.empty_flush = s.block_map.flush_count;
  s.bios_out_completed = s.bios_out;
  s.bios_meta_completed = s.bios_meta;
  s.bios_meta_completed.write = difference(s.bios_meta.write, s.journal.blocks.writing());
  s.bios_journal_completed = s.bios_journal;
  s.bios_journal_completed.write = s.journal.blocks.committed;
  s.bios_page_cache_completed = s.bios_page_cache;
  s.bios_acknowledged = s.bios_in;
  s.bios_acknowledged_partial = s.bios_in_partial;
}

}  // namespace

VolumeStatistics Volume::statistics() const {
  VolumeStatistics s;
  add_use_of_room(s);
  add_counts_of_parts(s);
  add_bios(s, counters_.requests);
  savings_.add_to(s);
  add_state(s);
  return s;
}

/// Blocks that are in use, by kind, and the mode that decides which of these figures mean anything.
void Volume::add_use_of_room(VolumeStatistics& s) const {
  const SuperBlock& super_block = super_blocks_.current();
  // Of a volume that is only read the counters are those that its journal leads to.
  const bool is_viewed = view_ && !view_->usable.is_damaged();
  const std::uint64_t map_blocks =
      is_viewed ? view_->usable.block_map_blocks : ledger_.journal().block_map_blocks();
  const std::uint64_t slab_data =
      std::uint64_t{ledger_.depot().slab_count()} * super_block.depot.slab.data_blocks;
  const std::uint64_t allocated = ledger_.depot().allocated_blocks();
  s.data_blocks_used = difference(allocated, map_blocks);
  s.extra.fixed_overhead_blocks = difference(super_block.config.physical_blocks, slab_data);
  s.overhead_blocks_used = s.extra.fixed_overhead_blocks + map_blocks;
  s.logical_blocks_used =
      is_viewed ? view_->usable.logical_blocks_used : ledger_.journal().logical_blocks_used();
  s.physical_blocks = super_block.config.physical_blocks;
  s.logical_blocks = super_block.config.logical_blocks;
  s.block_map_cache_size = ledger_.map().cache_pages() * kBlockSize;
  s.complete_recoveries = super_block.complete_recoveries;
  s.read_only_recoveries = super_block.read_only_recoveries;
  s.in_recovery_mode = is_recovering();
  s.recovery_percentage = recovery_percentage();
  s.mode = notifier_.is_read_only() ? OperatingMode::read_only
           : s.in_recovery_mode     ? OperatingMode::recovering
                                    : OperatingMode::normal;
}

/// What each part has counted, under the kernel's names, and what is in a cache at this moment.
void Volume::add_counts_of_parts(VolumeStatistics& s) const {
  s.packer = packer_.counters();
  const DepotStatistics& depot = ledger_.depot().counters();
  s.allocator = depot.allocator;
  s.allocator.slab_count = ledger_.depot().slab_count();
  s.slab_journal = depot.slab_journal;
  s.slab_summary = depot.slab_summary;
  s.ref_counts = depot.ref_counts;
  s.journal = ledger_.journal().counters();
  s.journal.blocks.started = ledger_.journal().blocks_started();
  s.block_map = ledger_.map().counters();
  // Pages of the leaf cache, now; interior pages are not counted (behaviour.md, 14).
  s.block_map.dirty_pages = ledger_.map().dirty_pages();
  s.block_map.clean_pages = difference(ledger_.map().cached_pages(), ledger_.map().dirty_pages());
  s.block_map.free_pages = difference(ledger_.map().cache_pages(), ledger_.map().cached_pages());

  s.bios_out.write = data_writer_.blocks_written();
  s.hash_lock = counters_.hash_locks;
  s.errors = counters_.errors;
  if (index_.get() != nullptr) {
    s.index = index_.get()->statistics();
    s.dedupe_advice_timeouts = index_.get()->timeouts();
    s.extra.index_records_under_way = index_.get()->records_under_way();
  }
}

/// What uvdo says of itself beyond the kernel's figures, and those that dm-vdo has and this has
/// not.
void Volume::add_state(VolumeStatistics& s) const {
  // Figures that dm-vdo has and uvdo has no counterpart of, and those of the present moment.
  s.instance = 1;
  s.current_vios_in_progress = in_flight_.locks().size();
  s.max_vios = buffers_.clients.capacity() / kBlockSize;
  s.flush_out = s.journal.flushes;
  s.logical_block_size = 512;
  s.memory_usage.bytes_used = memory_needed();
  s.memory_usage.peak_bytes_used = memory_needed();
  s.extra.running = true;
  s.extra.suspended = is_suspended();
  s.extra.index_state =
      std::string(name_of(index_.get() != nullptr ? index_.get()->state() : IndexState::closed));
  s.extra.compression = options_.compression;
  s.extra.deduplication = options_.deduplication;
  s.extra.buffer_bytes = buffers_.clients.capacity();
  s.extra.buffer_bytes_in_use = buffers_.clients.bytes_in_use();
  s.extra.shortages = {buffers_.clients.shortages(),
                       buffers_.merge.shortages(),
                       buffers_.scratch.shortages(),
                       buffers_.fragments.shortages(),
                       jobs_.shortages(),
                       ledger_.depot().counters().journal_memory_shortages,
                       ledger_.depot().counters().free_shortages};
  s.extra.room_waiting_bytes = gates_.room.waiting_bytes();
  trimmer_.add_to(s.extra);
  s.extra.unscrubbed_slabs = ledger_.depot().unscrubbed();
}

std::uint64_t Volume::memory_needed() const {
  MemoryPlan plan = plan_memory(options_, geometry_, super_blocks_.current());
  plan.index = index_.get() != nullptr ? index_.get()->memory_needed() : 0;
  return plan.total();
}

}  // namespace uvdo
