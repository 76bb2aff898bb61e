// SPDX-License-Identifier: GPL-2.0-or-later
// What bites systems of this kind, by name. Each is made to happen, again and again, with power
// cuts; all that the simulation checks is checked, and also that it did happen.
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "history.h"
#include "volume_subject.h"

namespace uvdo::sim {
namespace {

struct Named {
  std::string name;
  VolumeShape shape;
  Profile profile;
  /// Whether it has happened, by what a volume told when it stopped.
  std::function<bool(const VolumeStatistics&)> happened;
  std::uint64_t seeds = 8;
};

void PrintTo(const Named& named, std::ostream* out) { *out << named.name; }

Profile base() {
  Profile profile;
  profile.crash_percent = 80;
  profile.pause_percent = 3;
  profile.cycles = 3;
  return profile;
}

ContentMix only(std::uint32_t ContentMix::*kind, std::uint32_t duplicates = 16) {
  ContentMix mix{.zero = 0,
                 .unique = 0,
                 .duplicate = 0,
                 .compressible = 0,
                 .very_compressible = 0,
                 .near_duplicate = 0,
                 .duplicates = duplicates};
  mix.*kind = 1;
  return mix;
}

std::vector<Named> make_all() {
  std::vector<Named> all;
  const auto add = [&](std::string name, const VolumeShape& shape, const Profile& profile,
                       std::function<bool(const VolumeStatistics&)> happened) {
    all.push_back({std::move(name), shape, profile, std::move(happened)});
  };

  Profile p = base();
  p.operations = 800;
  p.longest = 32;
  add("RecoveryJournalWraps", {11, 3, 224, 16}, p,
      [](const VolumeStatistics& s) { return s.journal.blocks.committed > 4 * 16; });

  p = *find_profile("wrap");
  p.crash_percent = 50;
  add("SlabJournalWraps", {10, 1, 8, 1024}, p, [](const VolumeStatistics& s) {
    return s.journal.entries.committed > std::uint64_t{8} * 1353;
  });
  all.back().seeds = 3;

  p = base();
  p.blocks = 3000;
  p.clients = 16;
  p.longest = 32;
  p.operations = 250;
  p.content = only(&ContentMix::duplicate, 1);
  p.partial_percent = 0;
  p.hot_percent = 5;
  add("ReferencesRollOverWhileWritersRace", {10, 4, 224, 64}, p, [](const VolumeStatistics& s) {
    return s.logical_blocks_used > 3 * 254 && s.hash_lock.concurrent_data_matches > 254 &&
           s.data_blocks_used >= 4;
  });

  p = base();
  p.blocks = 128;
  p.clients = 12;
  p.operations = 300;
  p.partial_percent = 5;
  p.content = only(&ContentMix::colliding);
  add("NamesOfDifferentDataAreEqual", {10, 4, 224, 64}, p, [](const VolumeStatistics& s) {
    return s.hash_lock.concurrent_hash_collisions > 0 && s.hash_lock.dedupe_advice_stale > 0;
  });

  p = base();
  p.blocks = 400;
  p.clients = 16;
  p.operations = 300;
  p.longest = 4;
  p.content = only(&ContentMix::unique);
  p.crash_percent = 100;
  p.mix.discard = 10;
  add("SixteenWritersFillTheVolume", {8, 2, 224, 64}, p,
      [](const VolumeStatistics& s) { return s.errors.no_space_error_count > 20; });

  p = base();
  p.blocks = 48;
  p.clients = 12;
  p.operations = 400;
  p.hot_percent = 80;
  p.hot_blocks = 4;
  p.mix.discard = 45;
  p.mix.read = 10;
  add("DiscardsRaceWithWrites", {9, 2, 224, 64}, p,
      [](const VolumeStatistics& s) { return s.bios_in.discard > 50 && s.bios_in.write > 50; });

  p = base();
  p.blocks = 2;
  p.clients = 16;
  p.operations = 400;
  p.longest = 1;
  p.partial_percent = 20;
  p.mix.write = 80;
  p.crash_percent = 60;
  add("OneBlockIsWrittenManyTimesAtOnce", {8, 12, 16, 32}, p,
      [](const VolumeStatistics& s) { return s.bios_in.write > 30; });

  p = base();
  p.blocks = 48;
  p.clients = 10;
  p.operations = 400;
  p.longest = 4;
  p.content = only(&ContentMix::very_compressible);
  p.partial_percent = 3;
  add("SiblingsOfFragmentsAreOverwritten", {9, 2, 224, 64}, p,
      [](const VolumeStatistics& s) { return s.packer.compressed_blocks_written > 10; });

  // Whoever needs memory of a pool finds it empty, often; each waits, and all get on. (Without a
  // work thread nobody waits while he has a buffer for fragments.)
  p = base();
  p.clients = 24;
  p.operations = 600;
  p.longest = 32;
  p.partial_percent = 40;
  add("EveryPoolRunsShort", {10, 4, 224, 64}, p, [](const VolumeStatistics& s) {
    const PoolShortages& short_of = s.extra.shortages;
    return short_of.buffers > 0 && short_of.merge_buffers > 0 && short_of.scratch_buffers > 0 &&
           short_of.write_jobs > 0 && short_of.frees > 0;
  });

  // A small recovery journal ends the journal blocks of many slabs at once; few discards make those
  // who change them wait for something else.
  p.blocks = 3000;
  p.mix.discard = 2;
  p.partial_percent = 0;
  p.operations = 1200;
  add("MemoryOfSlabJournalsRunsShort", {9, 6, 224, 16}, p,
      [](const VolumeStatistics& s) { return s.extra.shortages.slab_journal_blocks > 0; });

  // A path of pages for nearly every write, on a cache of a few pages.
  p = base();
  p.blocks = 1'000'000;
  p.clients = 16;
  p.operations = 150;
  p.longest = 2;
  p.hot_percent = 5;
  p.mix.write = 80;
  add("TheMapGrowsWhileItsCacheIsFull", {11, 3, 224, 128, 1'000'000}, p,
      [](const VolumeStatistics& s) {
        return s.block_map.cache_pressure > 0 && s.block_map.discard_required > 0;
      });

  p.crash_percent = 50;
  add("TheMapGrowsUntilNoBlockIsFree", {9, 1, 224, 64, 1'000'000}, p,
      [](const VolumeStatistics& s) { return s.errors.no_space_error_count > 0; });
  return all;
}

class NamedHistories : public testing::TestWithParam<Named> {};

TEST_P(NamedHistories, KeepAllPromises) {
  const Named& named = GetParam();
  VolumeSubject subject(named.shape);
  const Result<SparseImage> blank = format_image(subject);
  ASSERT_TRUE(blank);
  std::uint64_t happened = 0;
  for (std::uint64_t seed = 1; seed <= named.seeds; ++seed) {
    HistoryOptions options;
    options.seed = seed;
    subject.choose(seed);
    const HistoryResult result = run_history(subject, *blank, named.profile, options);
    ASSERT_EQ(result.failure, "") << "seed " << seed;
    for (const VolumeStatistics& told : subject.told()) happened += named.happened(told) ? 1 : 0;
  }
  EXPECT_GT(happened, 0U) << named.name << " did not happen";
}

INSTANTIATE_TEST_SUITE_P(All, NamedHistories, testing::ValuesIn(make_all()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace uvdo::sim
