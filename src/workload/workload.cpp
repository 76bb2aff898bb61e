// SPDX-License-Identifier: GPL-2.0-or-later
#include "workload/workload.h"

#include <algorithm>
#include <array>

namespace uvdo {
namespace {

using Action = Workload::Action;
using Addresses = Workload::Addresses;
using Start = Workload::Start;
using Source = Workload::Source;

constexpr std::uint32_t k4K = 4096;
constexpr std::uint32_t k128K = 128 << 10;
constexpr std::uint32_t k1M = 1 << 20;

// Figures of two versions are compared by these names (docs/performance.md). What a workload does
// not say is as in workload.h.
constexpr std::array kWorkloads{
    // Blocks one by one: new data, copies, overwrites.
    Workload{.name = "unique", .summary = "new data, ascending addresses"},
    Workload{.name = "unique-random",
             .summary = "new data, random addresses of 8 GiB",
             .addresses = Addresses::random},
    Workload{.name = "dup",
             .summary = "copies of blocks of a set of 1 GiB",
             .start = Start::set,
             .source = Source::picks_of_set},
    Workload{.name = "overwrite",
             .summary = "new data at random addresses of the set",
             .addresses = Addresses::random,
             .start = Start::set},
    // Reads of the set as it is, shared and compressed.
    Workload{.name = "read",
             .summary = "random reads of the set",
             .action = Action::read,
             .addresses = Addresses::random,
             .start = Start::set,
             .share = 240},
    Workload{.name = "read-dup",
             .summary = "random reads of deduplicated data",
             .action = Action::read,
             .addresses = Addresses::random,
             .start = Start::duplicated_set,
             .share = 240},
    Workload{.name = "read-compressed",
             .summary = "random reads of compressed data",
             .action = Action::read,
             .addresses = Addresses::random,
             .start = Start::compressed_set,
             .compression = true},
    // Compression that gains half, and compression in vain.
    Workload{.name = "compress",
             .summary = "new data that LZ4 halves",
             .pattern = Pattern::compressible,
             .compression = true},
    Workload{.name = "incompressible",
             .summary = "new data, compression on, nothing to gain",
             .compression = true},
    Workload{.name = "mixed",
             .summary = "70 % random reads, 30 % overwrites",
             .action = Action::mixed,
             .addresses = Addresses::random,
             .start = Start::set},
    // Long requests, in order.
    Workload{.name = "write-128k",
             .summary = "new data, sequential, 128 KiB at a time",
             .request_bytes = k128K,
             .depth = 32,
             .share = 200},
    Workload{.name = "write-1m",
             .summary = "new data, sequential, 1 MiB at a time",
             .request_bytes = k1M,
             .depth = 32,
             .share = 200},
    Workload{.name = "read-128k",
             .summary = "sequential reads of the set, 128 KiB at a time",
             .action = Action::read,
             .start = Start::set,
             .request_bytes = k128K,
             .depth = 32,
             .share = 400},
    Workload{.name = "read-1m",
             .summary = "sequential reads of the set, 1 MiB at a time",
             .action = Action::read,
             .start = Start::set,
             .request_bytes = k1M,
             .depth = 32,
             .share = 400},
    // One at a time: how long one takes, and not what many do together.
    Workload{
        .name = "write-alone", .summary = "new data, one write at a time", .depth = 1, .share = 10},
    Workload{.name = "read-alone",
             .summary = "random reads of the set, one at a time",
             .action = Action::read,
             .addresses = Addresses::random,
             .start = Start::set,
             .depth = 1,
             .share = 20},
    // What strains the metadata: leaves all over the map, zeros, discards.
    Workload{.name = "scattered",
             .summary = "new data all over a volume of 1 TiB",
             .addresses = Addresses::random,
             .start = Start::every_leaf},
    Workload{.name = "write-zeros",
             .summary = "zeros over the set, a block at a time",
             .start = Start::set,
             .pattern = Pattern::zeros},
    Workload{.name = "discard",
             .summary = "discards the set, 128 MiB at a time",
             .action = Action::discard,
             .start = Start::set,
             .request_bytes = 128 << 20,
             .depth = 1},
    Workload{.name = "discard-100g",
             .summary = "discards 100 GiB of copies of the set (only if it is named)",
             .action = Action::discard,
             .start = Start::many_copies,
             .request_bytes = 128 << 20,
             .depth = 1,
             .only_by_name = true},
    Workload{.name = "discard-empty",
             .summary = "one discard of 100 TiB that were never written",
             .action = Action::discard,
             .depth = 1},
    // The device itself, to hold the other figures against.
    Workload{.name = "raw-write-128k",
             .summary = "the backing device itself, sequential writes",
             .action = Action::raw_write,
             .request_bytes = k128K,
             .depth = 32,
             .share = 200},
    Workload{.name = "raw-write-flushed",
             .summary = "the same, and flushed every 50 ms, as a volume does",
             .action = Action::raw_write,
             .request_bytes = k128K,
             .depth = 32,
             .share = 200,
             .is_flushed = true},
    Workload{.name = "raw-read-128k",
             .summary = "the backing device itself, sequential reads",
             .action = Action::raw_read,
             .request_bytes = k128K,
             .depth = 32,
             .share = 200},
    Workload{.name = "raw-read-alone",
             .summary = "the backing device itself, one random read at a time",
             .action = Action::raw_read,
             .addresses = Addresses::random,
             .request_bytes = k4K,
             .depth = 1,
             .share = 10},
};

}  // namespace

std::span<const Workload> workloads() { return kWorkloads; }

const Workload* find_workload(std::string_view name) {
  const auto* found = std::ranges::find(kWorkloads, name, &Workload::name);
  return found == kWorkloads.end() ? nullptr : found;
}

}  // namespace uvdo
