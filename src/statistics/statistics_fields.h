// SPDX-License-Identifier: GPL-2.0-or-later
// The statistics under the kernel's keys, in the order of its `stats` message. One list serves all
// that writes or reads them by key: JSON, the message itself, metrics.
//
// A visitor has value(key, field) for std::uint64_t, bool, OperatingMode, std::string and
// std::optional<std::uint64_t>, and group(key, f), which calls f() for the fields of a group.
// `statistics` may be const (to write) or not (to read).
#pragma once

#include "statistics/statistics.h"

namespace uvdo {

template <class Bios, class Visitor>
void visit_bios(const char* key, Bios& bios, Visitor& v) {
  v.group(key, [&] {
    v.value("read", bios.read);
    v.value("write", bios.write);
    v.value("emptyFlush", bios.empty_flush);
    v.value("discard", bios.discard);
    v.value("flush", bios.flush);
    v.value("fua", bios.fua);
  });
}

template <class Commits, class Visitor>
void visit_commits(const char* key, Commits& commits, Visitor& v) {
  v.group(key, [&] {
    v.value("started", commits.started);
    v.value("written", commits.written);
    v.value("committed", commits.committed);
  });
}

template <class Pages, class Visitor>
void visit_block_map(Pages& pages, Visitor& v) {
  v.value("dirtyPages", pages.dirty_pages);
  v.value("cleanPages", pages.clean_pages);
  v.value("freePages", pages.free_pages);
  v.value("failedPages", pages.failed_pages);
  v.value("incomingPages", pages.incoming_pages);
  v.value("outgoingPages", pages.outgoing_pages);
  v.value("cachePressure", pages.cache_pressure);
  v.value("readCount", pages.read_count);
  v.value("writeCount", pages.write_count);
  v.value("failedReads", pages.failed_reads);
  v.value("failedWrites", pages.failed_writes);
  v.value("reclaimed", pages.reclaimed);
  v.value("readOutgoing", pages.read_outgoing);
  v.value("foundInCache", pages.found_in_cache);
  v.value("discardRequired", pages.discard_required);
  v.value("waitForPage", pages.wait_for_page);
  v.value("fetchRequired", pages.fetch_required);
  v.value("pagesLoaded", pages.pages_loaded);
  v.value("pagesSaved", pages.pages_saved);
  v.value("flushCount", pages.flush_count);
}

/// The kernel's statistics.
template <class Statistics, class Visitor>
void visit_kernel_statistics(Statistics& s, Visitor& v) {
  v.value("version", s.version);
  v.value("dataBlocksUsed", s.data_blocks_used);
  v.value("overheadBlocksUsed", s.overhead_blocks_used);
  v.value("logicalBlocksUsed", s.logical_blocks_used);
  v.value("physicalBlocks", s.physical_blocks);
  v.value("logicalBlocks", s.logical_blocks);
  v.value("blockMapCacheSize", s.block_map_cache_size);
  v.value("blockSize", s.block_size);
  v.value("completeRecoveries", s.complete_recoveries);
  v.value("readOnlyRecoveries", s.read_only_recoveries);
  v.value("mode", s.mode);
  v.value("inRecoveryMode", s.in_recovery_mode);
  v.value("recoveryPercentage", s.recovery_percentage);
  v.group("packer", [&] {
    v.value("compressedFragmentsWritten", s.packer.compressed_fragments_written);
    v.value("compressedBlocksWritten", s.packer.compressed_blocks_written);
    v.value("compressedFragmentsInPacker", s.packer.compressed_fragments_in_packer);
  });
  v.group("allocator", [&] {
    v.value("slabCount", s.allocator.slab_count);
    v.value("slabsOpened", s.allocator.slabs_opened);
    v.value("slabsReopened", s.allocator.slabs_reopened);
  });
  v.group("journal", [&] {
    v.value("diskFull", s.journal.disk_full);
    v.value("slabJournalCommitsRequested", s.journal.slab_journal_commits_requested);
    visit_commits("entries", s.journal.entries, v);
    visit_commits("blocks", s.journal.blocks, v);
  });
  v.group("slabJournal", [&] {
    v.value("diskFullCount", s.slab_journal.disk_full_count);
    v.value("flushCount", s.slab_journal.flush_count);
    v.value("blockedCount", s.slab_journal.blocked_count);
    v.value("blocksWritten", s.slab_journal.blocks_written);
    v.value("tailBusyCount", s.slab_journal.tail_busy_count);
  });
  v.group("slabSummary", [&] { v.value("blocksWritten", s.slab_summary.blocks_written); });
  v.group("refCounts", [&] { v.value("blocksWritten", s.ref_counts.blocks_written); });
  v.group("blockMap", [&] { visit_block_map(s.block_map, v); });
  v.group("hashLock", [&] {
    v.value("dedupeAdviceValid", s.hash_lock.dedupe_advice_valid);
    v.value("dedupeAdviceStale", s.hash_lock.dedupe_advice_stale);
    v.value("concurrentDataMatches", s.hash_lock.concurrent_data_matches);
    v.value("concurrentHashCollisions", s.hash_lock.concurrent_hash_collisions);
    v.value("currDedupeQueries", s.hash_lock.curr_dedupe_queries);
  });
  v.group("errors", [&] {
    v.value("invalidAdvicePBNCount", s.errors.invalid_advice_pbn_count);
    v.value("noSpaceErrorCount", s.errors.no_space_error_count);
    v.value("readOnlyErrorCount", s.errors.read_only_error_count);
  });
  v.value("instance", s.instance);
  v.value("currentVIOsInProgress", s.current_vios_in_progress);
  v.value("maxVIOs", s.max_vios);
  v.value("dedupeAdviceTimeouts", s.dedupe_advice_timeouts);
  v.value("flushOut", s.flush_out);
  v.value("logicalBlockSize", s.logical_block_size);
  visit_bios("biosIn", s.bios_in, v);
  visit_bios("biosInPartial", s.bios_in_partial, v);
  visit_bios("biosOut", s.bios_out, v);
  visit_bios("biosMeta", s.bios_meta, v);
  visit_bios("biosJournal", s.bios_journal, v);
  visit_bios("biosPageCache", s.bios_page_cache, v);
  visit_bios("biosOutCompleted", s.bios_out_completed, v);
  visit_bios("biosMetaCompleted", s.bios_meta_completed, v);
  visit_bios("biosJournalCompleted", s.bios_journal_completed, v);
  visit_bios("biosPageCacheCompleted", s.bios_page_cache_completed, v);
  visit_bios("biosAcknowledged", s.bios_acknowledged, v);
  visit_bios("biosAcknowledgedPartial", s.bios_acknowledged_partial, v);
  visit_bios("biosInProgress", s.bios_in_progress, v);
  v.group("memoryUsage", [&] {
    v.value("bytesUsed", s.memory_usage.bytes_used);
    v.value("peakBytesUsed", s.memory_usage.peak_bytes_used);
  });
  v.group("index", [&] {
    v.value("entriesIndexed", s.index.entries_indexed);
    v.value("postsFound", s.index.posts_found);
    v.value("postsNotFound", s.index.posts_not_found);
    v.value("queriesFound", s.index.queries_found);
    v.value("queriesNotFound", s.index.queries_not_found);
    v.value("updatesFound", s.index.updates_found);
    v.value("updatesNotFound", s.index.updates_not_found);
    v.value("entriesDiscarded", s.index.entries_discarded);
  });
}

/// What uvdo adds, in groups that no kernel has.
template <class Statistics, class Visitor>
void visit_extra_statistics(Statistics& s, Visitor& v) {
  v.group("savings", [&] {
    v.value("thinBlocks", s.savings.thin_blocks);
    v.value("zeroBlocks", s.savings.zero_blocks);
    v.value("deduplicatedBlocks", s.savings.deduplicated_blocks);
    v.value("compressedBlocks", s.savings.compressed_blocks);
    v.value("fragmentsMapped", s.savings.fragments_mapped);
  });
  v.group("uvdo", [&] {
    v.value("running", s.extra.running);
    v.value("suspended", s.extra.suspended);
    v.value("indexState", s.extra.index_state);
    v.value("indexRecordsUnderWay", s.extra.index_records_under_way);
    v.value("compression", s.extra.compression);
    v.value("deduplication", s.extra.deduplication);
    v.value("bufferBytes", s.extra.buffer_bytes);
    v.value("bufferBytesInUse", s.extra.buffer_bytes_in_use);
    v.value("deviceFailedReads", s.extra.device_failed_reads);
    v.value("deviceFailedWrites", s.extra.device_failed_writes);
    v.value("deviceFailedFlushes", s.extra.device_failed_flushes);
    v.value("bytesWaitingForRoom", s.extra.room_waiting_bytes);
    v.value("discardState", s.extra.discard_state);
    v.value("discardedRuns", s.extra.discarded_runs);
    v.value("discardedBytes", s.extra.discarded_bytes);
    v.value("unscrubbedSlabs", s.extra.unscrubbed_slabs);
    v.value("fixedOverheadBlocks", s.extra.fixed_overhead_blocks);
  });
}

template <class Self, class Visitor>
void VolumeStatistics::visit_fields(Self& self, Visitor& visitor) {
  visit_kernel_statistics(self, visitor);
  visit_extra_statistics(self, visitor);
}

}  // namespace uvdo
