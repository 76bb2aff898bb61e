// SPDX-License-Identifier: GPL-2.0-or-later
// The statistics of a volume in use, under the kernel's names (behaviour.md, 14).
#include "volume/memory_plan.h"
#include "volume/volume.h"

namespace uvdo {

VolumeStatistics Volume::statistics() const {
  VolumeStatistics s;
  const SuperBlock& super_block = super_blocks_.current();
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
  s.in_recovery_mode = is_recovering() && !notifier_.is_read_only();
  s.recovery_percentage = recovery_percentage();
  s.mode = notifier_.is_read_only() ? OperatingMode::read_only
           : s.in_recovery_mode     ? OperatingMode::recovering
                                    : OperatingMode::normal;

  const PackerCounters& packer = packer_.counters();
  s.packer = {packer.fragments_written, packer.blocks_written, packer.fragments_in_packer};
  const DepotCounters& depot = ledger_.depot().counters();
  s.allocator = {ledger_.depot().slab_count(), depot.slabs_opened, depot.slabs_reopened};
  const JournalCounters& journal = ledger_.journal().counters();
  s.journal.disk_full = journal.disk_full;
  s.journal.slab_journal_commits_requested = journal.slab_journal_commits_requested;
  s.journal.entries = {journal.entries_started, journal.entries_written, journal.entries_committed};
  s.journal.blocks = {ledger_.journal().blocks_started(), journal.blocks_written,
                      journal.blocks_committed};
  s.slab_journal = {depot.journal_disk_full, depot.journal_flushes, depot.journal_blocked,
                    depot.journal_blocks_written, depot.journal_tail_busy};
  s.slab_summary.blocks_written = depot.summary_blocks_written;
  s.ref_counts.blocks_written = depot.reference_blocks_written;

  const BlockMapCounters& map = ledger_.map().counters();
  s.block_map.dirty_pages = ledger_.map().dirty_pages();
  s.block_map.clean_pages = difference(ledger_.map().cached_pages(), ledger_.map().dirty_pages());
  s.block_map.free_pages = difference(ledger_.map().cache_pages(), ledger_.map().cached_pages());
  s.block_map.cache_pressure = map.cache_pressure;
  s.block_map.read_count = map.read_count;
  s.block_map.write_count = map.write_count;
  s.block_map.failed_reads = map.failed_reads;
  s.block_map.failed_writes = map.failed_writes;
  s.block_map.reclaimed = map.reclaimed;
  s.block_map.read_outgoing = map.read_outgoing;
  s.block_map.found_in_cache = map.found_in_cache;
  s.block_map.discard_required = map.discard_required;
  s.block_map.wait_for_page = map.wait_for_page;
  s.block_map.fetch_required = map.fetch_required;
  s.block_map.pages_loaded = map.pages_loaded;
  s.block_map.pages_saved = map.pages_saved;
  s.block_map.flush_count = map.flush_count;

  s.hash_lock = {counters_.dedupe.advice_valid, counters_.dedupe.advice_stale,
                 counters_.dedupe.concurrent_matches, counters_.dedupe.concurrent_collisions,
                 counters_.dedupe.queries_now};
  s.errors = {counters_.dedupe.invalid_advice, counters_.errors.no_space,
              counters_.errors.read_only};
  s.instance = 1;
  s.current_vios_in_progress = in_flight_.locks().size();
  s.max_vios = buffers_.clients.capacity() / kBlockSize;
  s.flush_out = journal.flushes;
  s.logical_block_size = 512;

  s.bios_in.read = counters_.requests.reads;
  s.bios_in.write = counters_.requests.writes;
  s.bios_in.discard = counters_.requests.discards;
  s.bios_in.empty_flush = counters_.requests.flushes;
  s.bios_in.fua = counters_.requests.fua_writes;
  s.bios_in_partial.read = counters_.requests.partial_reads;
  s.bios_in_partial.write = counters_.requests.partial_writes;
  s.bios_out.read = counters_.requests.data_reads;
  s.bios_out.write = data_writer_.blocks_written();
  s.bios_meta.write = journal.blocks_written + depot.journal_blocks_written +
                      depot.summary_blocks_written + depot.reference_blocks_written +
                      map.write_count;
  s.bios_meta.read = map.read_count;
  s.bios_journal.write = journal.blocks_written;
  s.bios_journal.fua = journal.blocks_written;
  s.bios_journal.flush = journal.flushes;
  s.bios_page_cache.read = map.read_count;
  s.bios_page_cache.write = map.write_count;
  s.bios_page_cache.empty_flush = map.flush_count;
  s.bios_out_completed = s.bios_out;
  s.bios_meta_completed = s.bios_meta;
  s.bios_meta_completed.write = difference(s.bios_meta.write, s.journal.blocks.writing());
  s.bios_journal_completed = s.bios_journal;
  s.bios_journal_completed.write = journal.blocks_committed;
  s.bios_page_cache_completed = s.bios_page_cache;
  s.bios_acknowledged = s.bios_in;
  s.bios_acknowledged_partial = s.bios_in_partial;
  s.memory_usage.bytes_used = memory_needed();
  s.memory_usage.peak_bytes_used = memory_needed();
  if (index_.get() != nullptr) {
    s.index = index_.get()->statistics();
    s.dedupe_advice_timeouts = index_.get()->timeouts();
    s.extra.index_records_under_way = index_.get()->records_under_way();
  }

  savings_.add_to(s);
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
  s.extra.unscrubbed_slabs = ledger_.depot().unscrubbed();
  return s;
}

std::uint64_t Volume::memory_needed() const {
  MemoryPlan plan = plan_memory(options_, geometry_, super_blocks_.current());
  plan.index = index_.get() != nullptr ? index_.get()->memory_needed() : 0;
  return plan.total();
}

}  // namespace uvdo
