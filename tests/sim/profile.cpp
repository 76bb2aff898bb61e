// SPDX-License-Identifier: GPL-2.0-or-later
#include "profile.h"

#include <array>

namespace uvdo::sim {
namespace {

std::array<Profile, 25> make_profiles() {
  std::array<Profile, 25> all;
  std::size_t count = 0;
  const auto add = [&](std::string_view name, std::string_view what) -> Profile& {
    Profile& profile = all.at(count++);
    profile.name = name;
    profile.what = what;
    return profile;
  };

  add("mixed", "everything a little, with power cuts");

  Profile& clean = add("clean", "clean stops and starts only, on a slow disk that reorders");
  clean.crash_percent = 0;
  clean.operations = 250;
  clean.device.slow_one_in = 20;

  Profile& hot = add("hot", "many clients fight for a few blocks");
  hot.blocks = 64;
  hot.clients = 12;
  hot.hot_percent = 90;
  hot.hot_blocks = 5;
  hot.longest = 3;

  Profile& partial = add("partial", "requests that begin and end inside blocks");
  partial.blocks = 64;
  partial.partial_percent = 80;
  partial.hot_percent = 60;

  Profile& large = add("large", "long requests of new data");
  large.longest = 32;
  large.partial_percent = 5;
  large.hot_percent = 10;
  large.operations = 80;

  Profile& dedupe = add("dedupe", "nearly everything is a duplicate");
  dedupe.content = {.zero = 5,
                    .unique = 5,
                    .duplicate = 80,
                    .compressible = 5,
                    .very_compressible = 0,
                    .near_duplicate = 5,
                    .duplicates = 6};

  Profile& compress = add("compress", "nearly everything can be compressed");
  compress.content = {.zero = 2,
                      .unique = 5,
                      .duplicate = 8,
                      .compressible = 50,
                      .very_compressible = 35,
                      .near_duplicate = 0,
                      .duplicates = 16};

  // In flight are more copies of one block than a block takes references (254).
  Profile& copies = add("copies", "hundreds of copies of two compressible blocks at once");
  copies.blocks = 1200;
  copies.clients = 64;
  copies.operations = 400;
  copies.cycles = 3;
  copies.mix = {.write = 60,
                .fua_write = 2,
                .read = 5,
                .discard = 4,
                .write_zeroes = 2,
                .flush = 3,
                .extents = 1};
  copies.content = {.zero = 1,
                    .unique = 1,
                    .duplicate = 0,
                    .compressible = 1,
                    .very_compressible = 1,
                    .near_duplicate = 0,
                    .copy = 96};
  copies.longest = 32;
  copies.partial_percent = 2;
  copies.hot_percent = 5;
  copies.pause_percent = 2;

  Profile& flushes = add("flushes", "flushes and FUA writes all the time");
  flushes.mix.flush = 30;
  flushes.mix.fua_write = 25;
  flushes.operations = 100;

  Profile& discards = add("discards", "discards and zeroes race with writes");
  discards.mix.discard = 30;
  discards.mix.write_zeroes = 20;
  discards.blocks = 96;

  Profile& spread = add("spread", "requests all over a device that is far larger than the cache");
  spread.blocks = 60'000;
  spread.hot_percent = 30;
  spread.partial_percent = 30;

  Profile& many = add("many", "so many operations that journals go round");
  many.blocks = 200;
  many.cycles = 2;
  many.operations = 1500;
  many.mix.discard = 15;
  many.mix.write_zeroes = 10;
  many.mix.read = 10;
  many.longest = 32;
  many.clients = 10;
  many.pause_percent = 5;

  Profile& wrap =
      add("wrap", "duplicates and discards until each journal is full, then a power cut");
  wrap.blocks = 160;
  wrap.cycles = 2;
  wrap.operations = 3000;
  wrap.mix = {.write = 50,
              .fua_write = 1,
              .read = 3,
              .discard = 20,
              .write_zeroes = 5,
              .flush = 2,
              .extents = 1};
  wrap.content = {.zero = 2,
                  .unique = 4,
                  .duplicate = 92,
                  .compressible = 1,
                  .very_compressible = 1,
                  .near_duplicate = 0,
                  .duplicates = 10};
  wrap.longest = 32;
  wrap.clients = 12;
  wrap.partial_percent = 2;
  wrap.pause_percent = 1;

  Profile& faults = add("faults", "requests of the disk fail, once or for ever");
  faults.fault_percent = 70;
  faults.crash_percent = 40;
  faults.mix.flush = 15;

  Profile& room = add("room", "the disk has no room for writes, for a while");
  room.full_percent = 85;
  room.change_percent = 40;
  room.crash_percent = 30;
  room.mix.flush = 12;
  room.mix.fua_write = 10;
  room.blocks = 4000;
  room.clients = 10;
  room.longest = 32;

  Profile& changes = add("changes", "the volume is grown and suspended while it is in use");
  changes.change_percent = 90;
  changes.fault_percent = 10;
  changes.operations = 200;
  changes.examine_percent = 50;

  Profile& full = add("full", "no block is free: what is freed is used again at once");
  full.blocks = 2500;
  full.cycles = 3;
  full.operations = 400;
  full.crash_percent = 90;
  full.mix = {.write = 60,
              .fua_write = 2,
              .read = 5,
              .discard = 12,
              .write_zeroes = 2,
              .flush = 4,
              .extents = 0};
  full.content = {.zero = 1,
                  .unique = 90,
                  .duplicate = 5,
                  .compressible = 2,
                  .very_compressible = 1,
                  .near_duplicate = 1,
                  .duplicates = 16};
  full.longest = 32;
  full.clients = 10;
  full.partial_percent = 2;
  full.hot_percent = 5;
  full.pause_percent = 5;

  Profile& recur = add("recur", "no block is free, and data that went come again");
  recur.blocks = 800;
  recur.cycles = 3;
  recur.operations = 600;
  recur.crash_percent = 30;
  recur.mix = full.mix;
  recur.content = full.content;
  recur.content.unique = 30;
  recur.content.duplicate = 65;
  recur.content.duplicates = 500;
  recur.clients = 24;
  recur.partial_percent = 2;
  recur.hot_percent = 5;
  recur.pause_percent = 5;

  Profile& sparse = add("sparse", "short writes to more pages than are cached, and never a flush");
  sparse.blocks = 30'000;
  sparse.cycles = 3;
  sparse.operations = 500;
  sparse.crash_percent = 100;
  sparse.mix = {.write = 80,
                .fua_write = 0,
                .read = 5,
                .discard = 10,
                .write_zeroes = 2,
                .flush = 0,
                .extents = 0};
  sparse.longest = 2;
  sparse.clients = 24;
  sparse.partial_percent = 5;
  sparse.hot_percent = 0;
  sparse.pause_percent = 2;

  Profile& scrub =
      add("scrub", "power cuts behind writes of reference counts, with clients at work");
  scrub.blocks = 160;
  scrub.cycles = 10;
  scrub.operations = 300;
  scrub.crash_percent = 100;
  scrub.near = Critical::counts;
  scrub.mix = wrap.mix;
  scrub.mix.discard = 10;
  scrub.content = wrap.content;
  scrub.longest = 32;
  scrub.clients = 24;
  scrub.partial_percent = 2;
  scrub.pause_percent = 0;

  Profile& summary = add("summary", "power cuts behind writes of the slab summary");
  summary.blocks = 160;
  summary.cycles = 3;
  summary.operations = 3000;
  summary.crash_percent = 100;
  summary.near = Critical::summary;
  summary.near_skip = 32;
  summary.mix = wrap.mix;
  summary.content = wrap.content;
  summary.longest = 32;
  summary.clients = 12;
  summary.partial_percent = 2;
  summary.pause_percent = 1;

  Profile& restless =
      add("restless", "clients that never pause, on a volume that is full: nobody waits for ever");
  restless.blocks = 2500;
  restless.cycles = 2;
  restless.crash_percent = 30;
  restless.probes = 5;
  restless.mix = {.write = 70,
                  .fua_write = 2,
                  .read = 25,
                  .discard = 3,
                  .write_zeroes = 0,
                  .flush = 0,
                  .extents = 0};
  // Nothing that is compressed: in the packer it may wait for a second, which is no time here.
  restless.content = {.zero = 2,
                      .unique = 92,
                      .duplicate = 6,
                      .compressible = 0,
                      .very_compressible = 0,
                      .near_duplicate = 0,
                      .duplicates = 16};
  restless.longest = 32;
  restless.clients = 12;
  restless.partial_percent = 5;
  restless.hot_percent = 5;
  restless.pause_percent = 0;
  restless.device.slowest = Duration{1'000'000};

  Profile& index =
      add("index", "the real index, in a hurry or on a slow disk, closed and made anew");
  index.blocks = 4000;
  index.cycles = 3;
  index.operations = 400;
  index.crash_percent = 40;
  index.index = IndexKind::uds;
  index.examine_percent = 100;
  index.mix.write = 70;
  index.content = {.zero = 1,
                   .unique = 45,
                   .duplicate = 45,
                   .compressible = 4,
                   .very_compressible = 1,
                   .near_duplicate = 4,
                   .duplicates = 2000};
  index.longest = 32;
  index.hot_percent = 5;
  index.partial_percent = 2;

  Profile& deaths = add("deaths", "the process dies again and again, sometimes the power is cut");
  deaths.cycles = 7;
  deaths.operations = 120;
  deaths.crash_percent = 95;
  deaths.death_percent = 85;
  deaths.change_percent = 20;
  deaths.mix = {.write = 50,
                .fua_write = 6,
                .read = 20,
                .discard = 10,
                .write_zeroes = 8,
                .flush = 3,
                .extents = 2};
  deaths.content = {.zero = 5,
                    .unique = 30,
                    .duplicate = 20,
                    .compressible = 25,
                    .very_compressible = 15,
                    .near_duplicate = 5,
                    .duplicates = 16};

  Profile& deaths_full = add("deaths-full", "the process dies while no block is free");
  deaths_full.blocks = 2500;
  deaths_full.cycles = 5;
  deaths_full.operations = 400;
  deaths_full.crash_percent = 95;
  deaths_full.death_percent = 85;
  deaths_full.mix = full.mix;
  // Nothing that is compressed: what shared a block before may need one each.
  deaths_full.content = {.zero = 1,
                         .unique = 90,
                         .duplicate = 8,
                         .compressible = 0,
                         .very_compressible = 0,
                         .near_duplicate = 1,
                         .duplicates = 16};
  deaths_full.longest = 32;
  deaths_full.clients = 10;
  deaths_full.partial_percent = 10;
  deaths_full.hot_percent = 5;
  deaths_full.pause_percent = 5;
  return all;
}

}  // namespace

std::span<const Profile> profiles() {
  static const auto all = make_profiles();
  return all;
}

const Profile* find_profile(std::string_view name) {
  for (const Profile& profile : profiles()) {
    if (profile.name == name) return &profile;
  }
  return nullptr;
}

}  // namespace uvdo::sim
