// SPDX-License-Identifier: GPL-2.0-or-later
// Random clients of a block service, and the comparison of all they see with the model.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "async/sim_executor.h"
#include "block/block_service.h"
#include "device/sim_device.h"
#include "model.h"
#include "profile.h"
#include "subject.h"

namespace uvdo::sim {

/// What has been done so far.
struct WorkloadCounts {
  std::uint64_t operations = 0;
  std::uint64_t errors = 0;  ///< operations that failed as they may
};

/// What a client is answered and reads is told to the model at once; the first thing that does not
/// fit is the failure. After a power cut no answer counts any more.
class Workload {
 public:
  Workload(SimExecutor& executor, SimDevice& device, Model& model, const Profile& profile);

  /// Lets the clients run until `operations` are done, the power is cut or something is wrong.
  Task<void> run(BlockService& service, std::uint64_t operations);
  /// Has the service stopped while clients that never pause go on sending requests.
  Task<Result<void>> stop_among_requests(Instance& instance);
  /// Reads every block that has been written to, and some that have not. After a power cut what is
  /// read becomes the block's value.
  Task<void> verify(BlockService& service, bool after_crash);

  /// The first broken promise; empty if there was none.
  [[nodiscard]] const std::string& failure() const { return failure_; }
  void report(std::string what);
  [[nodiscard]] const WorkloadCounts& counts() const { return counts_; }
  /// Steps that the longest probe took.
  [[nodiscard]] std::uint64_t longest_probe() const { return longest_probe_; }

 private:
  struct Range {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    [[nodiscard]] std::uint64_t first() const { return offset / kBlockSize; }
    [[nodiscard]] std::uint64_t count() const {
      return (offset + length - 1) / kBlockSize - first() + 1;
    }
  };
  class ReadBuffer;

  /// What the clients that never pause do.
  enum class Pressure : std::uint8_t { none, reads, everything };
  /// A request that must not take long.
  struct Probe {
    const char* what = nullptr;
    std::uint64_t begun = 0;  // step
  };

  Task<void> run_probes(BlockService& service);
  Task<void> restless_client(BlockService& service);
  Task<void> probe(const char* what, Task<void> request);
  void check_probes();
  [[nodiscard]] bool goes_on() const { return failure_.empty() && !device_.has_crashed(); }
  Task<void> client(BlockService& service, std::uint32_t number);
  Task<void> one_operation(BlockService& service);
  Task<void> write(BlockService& service, Durability durability);
  Task<void> zero(BlockService& service, bool discard);
  Task<void> read(BlockService& service);
  Task<void> query(BlockService& service);
  Task<void> flush(BlockService& service);
  /// A request that ends beyond the end, which has to be refused.
  Task<void> out_of_range(BlockService& service);
  /// Hot blocks or any, one block or up to `longest`, whole blocks or parts.
  [[nodiscard]] Range pick_range(std::uint64_t longest);
  /// Whether the model can follow one more change of each of these blocks.
  [[nodiscard]] bool has_room(const Range& range) const;
  /// The changes of a request, each whole block or part; `content` gives each block's content.
  std::vector<BlockChange> changes(const Range& range, const std::function<ContentId()>& content,
                                   bool parts_optional) const;
  /// Settles a change with the model.
  void finish(Model::Token token, const Result<void>& result, bool stable, const char* what,
              const Range& range);
  /// Whether an error has a cause: reports one that has none.
  void check_error(const Error& error, const char* what, const Range& range);
  void compare(Model::Token token, const Range& range, ConstBytes bytes);
  void trace(const char* what, const Range& range) const;

  SimExecutor& executor_;
  SimDevice& device_;
  Model& model_;
  const Profile& profile_;
  SimRandom random_;
  ContentSource source_;
  std::vector<std::uint64_t> hot_;
  std::uint64_t left_ = 0;
  Pressure pressure_ = Pressure::none;
  std::vector<const Probe*> probes_;  // under way
  std::uint64_t longest_probe_ = 0;   // steps
  bool is_stopping_ = false;
  WorkloadCounts counts_;
  std::string failure_;
};

}  // namespace uvdo::sim
