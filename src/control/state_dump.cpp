// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/state_dump.h"

namespace uvdo {
namespace {

/// Work to describe a slab.
constexpr std::uint64_t kUnitsPerSlab = 200;

Json text_of(JournalPoint point) {
  return {{"block", point.sequence}, {"entry", point.entry_count}};
}

Json dump_requests(const Volume& volume) {
  const RequestCounters& r = volume.requests();
  return {{"blocksLocked", volume.writes_in_progress()},
          {"readBlocks", r.reads},
          {"writtenBlocks", r.writes},
          {"partialReads", r.partial_reads},
          {"partialWrites", r.partial_writes},
          {"discards", r.discards},
          {"flushes", r.flushes},
          {"fuaWrites", r.fua_writes},
          {"zeroBlocksWritten", r.zero_blocks_written}};
}

Json dump_journal(const RecoveryJournal& journal) {
  return {{"tail", journal.tail().value()},
          {"durableHead", journal.durable_head().value()},
          {"blockMapHead", journal.head(RecoveryJournal::Head::block_map).value()},
          {"slabJournalHead", journal.head(RecoveryJournal::Head::slab_journal).value()},
          {"blocksInUse", journal.blocks_in_use()},
          {"usableBlocks", journal.usable_blocks()},
          {"unwrittenBlocks", journal.unwritten_blocks()},
          {"hasRoom", journal.has_room()},
          {"lastPoint", text_of(journal.last_point())},
          {"committedPoint", text_of(journal.committed_point())}};
}

Json dump_block_map(const BlockMap& map) {
  const auto oldest = map.oldest_dirty();
  return {{"cachePages", map.cache_pages()},
          {"cachedPages", map.cached_pages()},
          {"dirtyPages", map.dirty_pages()},
          {"interiorPages", map.interior_pages()},
          {"shortOfCleanPages", map.is_short_of_clean_pages()},
          {"oldestDirty", oldest ? Json(oldest->value()) : Json(nullptr)},
          {"ageLimit", map.age_limit().value()}};
}

Task<Json> dump_depot(Executor& executor, const SlabDepot& depot) {
  Json slabs = Json::array();
  std::uint64_t pristine = 0;
  for (SlabNumber i = 0; i < depot.slab_count(); ++i) {
    co_await executor.give_way();
    executor.spend(kUnitsPerSlab);
    const Slab& slab = depot.slab(i);
    // Slabs that were never used are counted alone: a large volume has thousands of them.
    if (slab.is_pristine()) {
      ++pristine;
      continue;
    }
    slabs.push_back({{"number", i},
                     {"ready", slab.is_ready()},
                     {"freeBlocks", slab.free_blocks()},
                     {"journalHead", slab.head().value()},
                     {"journalNext", slab.next_sequence().value()},
                     {"journalBlocksInUse", slab.journal_blocks_in_use()},
                     {"hasRoom", slab.has_room()},
                     {"dirtyReferenceBlocks", slab.dirty_reference_blocks()},
                     {"writing", slab.is_writing()}});
  }
  Json json = {{"freeBlocks", depot.free_blocks()},
               {"pendingFrees", depot.pending_free_count()},
               {"unscrubbedSlabs", depot.unscrubbed()},
               {"needsWriteBack", depot.needs_write_back()},
               {"slabsNeverUsed", pristine}};
  json["slabs"] = std::move(slabs);
  co_return json;
}

Json dump_index(const DedupeIndex* index) {
  if (index == nullptr) return nullptr;
  const IndexStatistics s = index->statistics();
  return {{"state", std::string(name_of(index->state()))},
          {"entries", s.entries_indexed},
          {"discarded", s.entries_discarded},
          {"timeouts", index->timeouts()},
          {"recordsUnderWay", index->records_under_way()},
          {"recordsDropped", index->dropped_records()},
          {"memoryBytes", index->memory_needed()}};
}

}  // namespace

Task<Json> dump_state(Executor& executor, const Volume& volume) {
  const VolumeStatistics s = volume.statistics();
  const PackerStatistics& packer = volume.packer().counters();
  const VolumeOptions& options = volume.options();
  Json json = {
      {"mode", volume.is_read_only() ? "read-only" : "normal"},
      {"readOnlyReason",
       volume.is_read_only() ? Json(volume.notifier().reason().message()) : Json(nullptr)},
      {"stopping", volume.is_stopped()},
      {"options",
       {{"compression", options.compression},
        {"deduplication", options.deduplication},
        {"blockMapCachePages", options.block_map_cache_pages},
        {"blockMapMaximumAge", options.block_map_maximum_age},
        {"bufferBytes", options.buffer_bytes},
        {"commitDelayMicroseconds",
         std::chrono::duration_cast<std::chrono::microseconds>(options.commit_delay).count()}}},
      {"requests", dump_requests(volume)},
      {"buffers", {{"bytes", s.extra.buffer_bytes}, {"bytesInUse", s.extra.buffer_bytes_in_use}}},
      // Which pool has run short, and how often.
      {"waitsForMemory",
       {{"buffers", s.extra.shortages.buffers},
        {"mergeBuffers", s.extra.shortages.merge_buffers},
        {"scratchBuffers", s.extra.shortages.scratch_buffers},
        {"fragmentBuffers", s.extra.shortages.fragment_buffers},
        {"writeJobs", s.extra.shortages.write_jobs},
        {"slabJournalBlocks", s.extra.shortages.slab_journal_blocks},
        {"frees", s.extra.shortages.frees}}},
      {"journal", dump_journal(volume.journal())},
      {"blockMap", dump_block_map(volume.block_map())},
      {"packer",
       {{"fragmentsWaiting", packer.compressed_fragments_in_packer},
        {"fragmentsWritten", packer.compressed_fragments_written},
        {"blocksWritten", packer.compressed_blocks_written}}},
      {"dataWriter",
       {{"blocksWritten", volume.data_writer().blocks_written()},
        {"requests", volume.data_writer().requests()}}},
      {"index", dump_index(volume.index())},
  };
  json["depot"] = co_await dump_depot(executor, volume.depot());
  co_return json;
}

}  // namespace uvdo
