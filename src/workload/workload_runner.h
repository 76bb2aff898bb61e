// SPDX-License-Identifier: GPL-2.0-or-later
// Runs workloads, each on a new volume, and measures them.
#pragma once

#include <random>
#include <string>

#include "base/latency_histogram.h"
#include "workload/block_pattern.h"
#include "workload/scratch_volume.h"
#include "workload/workload.h"
#include "workload/workload_figures.h"

namespace uvdo {

/// What the user says, for all workloads of a call.
struct BenchSettings {
  std::string path;  ///< as in ScratchRequest
  std::uint64_t device_bytes = 12ULL << 30U;
  std::uint64_t set_bytes = 1ULL << 30U;
  std::uint64_t blocks = 250'000;  ///< of a workload, about
  unsigned depth = 256;            ///< requests in flight
  bool deduplication = true;
  std::uint64_t index_records = 0;  ///< records put into the index before the workload
};

/// Each run has the same seed, so that two builds do the same requests. On the loop's thread.
class WorkloadRunner {
 public:
  WorkloadRunner(UringLoop& loop, BenchSettings settings)
      : loop_(loop), settings_(std::move(settings)) {}

  /// Errors of the device and of the volume.
  Task<Result<WorkloadFigures>> run(const Workload& workload);

 private:
  struct Plan;

  Plan make_plan(const Workload& workload) const;
  Task<Result<void>> run_on(ScratchVolume& scratch, const Plan& plan, WorkloadFigures& figures);
  Task<Result<void>> prepare(ScratchVolume& scratch, const Plan& plan);
  /// Writes what a raw workload reads.
  Task<Result<void>> prepare_raw(ScratchVolume& scratch, const Plan& plan);
  Task<Result<void>> fill_index(DedupeIndex& index);
  Task<Result<void>> measure(ScratchVolume& scratch, const Plan& plan, WorkloadFigures& figures);
  /// Requests first .. first + count, `depth` at a time.
  Task<Result<void>> many(ScratchVolume& scratch, const Plan& plan, std::uint64_t first,
                          std::uint64_t count, LatencyHistogram* latencies);
  Task<Result<void>> request(ScratchVolume& scratch, const Plan& plan, std::uint64_t number,
                             MutableBytes room);
  Task<Result<void>> write(Volume& volume, std::uint64_t offset, std::uint64_t bytes,
                           Pattern pattern, std::uint64_t id);

  UringLoop& loop_;
  BenchSettings settings_;
  BlockPatterns patterns_;
  std::mt19937_64 random_;
};

}  // namespace uvdo
