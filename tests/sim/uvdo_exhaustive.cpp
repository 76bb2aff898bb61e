// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo-exhaustive: all small histories up to a length, with every power cut; or one of them.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arguments/arguments.h"
#include "small_history.h"
#include "subjects.h"

namespace uvdo::sim {
namespace {

struct Options {
  std::uint32_t length = 3;
  std::uint32_t jobs = 1;
  std::uint64_t seed = 1;
  std::uint64_t seeds = 1;
  std::uint64_t every = 1;
  std::string variant = "all";
  std::string mistake;
  std::vector<std::string> history;
  bool trace = false;
  bool expect_failure = false;
  CrashStateOptions states{.exhaustive_up_to = 8, .samples = 12, .torn_samples = 2};
};

struct Shared {
  std::atomic<std::uint64_t> histories, points, images, distinct;
  std::atomic<bool> failed;
};

SmallOperation operation_of(std::string_view name) {
  for (std::size_t i = 0; i < kSmallOperations.size(); ++i) {
    if (kSmallOperations[i] == name) return static_cast<SmallOperation>(i);
  }
  return SmallOperation::flush;
}

// All histories, in an order in which those that begin alike stand together.
std::vector<SmallHistory> all_histories(const Options& options, std::uint64_t seed) {
  std::vector<SmallHistory> all;
  for (const bool full : {false, true}) {
    for (const bool together : {false, true}) {
      const std::string name =
          fmt::format("{}-{}", together ? "together" : "in-turn", full ? "full" : "roomy");
      if (options.variant != "all" && options.variant != name) continue;
      if (!options.history.empty()) {
        SmallHistory one{{}, together, full, seed};
        for (const std::string& operation : options.history) {
          one.operations.push_back(operation_of(operation));
        }
        all.push_back(one);
        continue;
      }
      const std::uint64_t kinds = kUsualSmallOperations;
      std::uint64_t count = 1;
      for (std::uint32_t length = 1; length <= options.length; ++length) {
        count *= kinds;
        for (std::uint64_t i = 0; i < count; ++i) {
          SmallHistory one{{}, together, full, seed};
          std::uint64_t rest = i;
          // The digits of `i` to the base of the kinds are the operations.
          for (std::uint64_t place = count / kinds; place > 0; place /= kinds) {
            one.operations.push_back(static_cast<SmallOperation>(rest / place));
            rest %= place;
          }
          // One alone cannot be together with others.
          if (!(together && length == 1)) all.push_back(std::move(one));
        }
      }
    }
  }
  return all;
}

FaultPoints mistake_of(const std::string& name) {
  for (const auto& [known, fault] : kFaults) {
    if (known == name) return FaultPoints(fault);
  }
  return {};
}

void run_job(const Options& options, std::uint32_t job, Shared& shared) {
  SmallHistories runner(options.states, mistake_of(options.mistake));
  if (options.trace) {
    runner.set_trace([](std::string_view line) { fmt::print("{}\n", line); });
  }
  std::vector<SmallHistory> all;
  for (std::uint64_t seed = options.seed; seed < options.seed + options.seeds; ++seed) {
    for (SmallHistory& one : all_histories(options, seed)) all.push_back(std::move(one));
  }
  // Contiguous parts: what begins alike leaves the same images, which are looked at once.
  for (std::size_t i = all.size() * job / options.jobs;
       i < all.size() * (job + 1) / options.jobs && !shared.failed; ++i) {
    if (mix_bits(i) % options.every != 0) continue;
    const std::string failure = runner.run(all[i]);
    if (failure.empty()) continue;
    shared.failed = true;
    fmt::print("{}\n", failure);
    std::fflush(stdout);
  }
  shared.histories += runner.counts().histories;
  shared.points += runner.counts().points;
  shared.images += runner.counts().images;
  shared.distinct += runner.counts().distinct;
}

int run(const Options& options) {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 2;
  auto& shared = *new (memory) Shared{};
  const auto begin = std::chrono::steady_clock::now();
  if (options.jobs == 1) {
    run_job(options, 0, shared);
  } else {
    std::vector<pid_t> children;
    for (std::uint32_t job = 0; job < options.jobs; ++job) {
      const pid_t child = fork();
      if (child == 0) {
        run_job(options, job, shared);
        std::fflush(stdout);
        _exit(0);
      }
      children.push_back(child);
    }
    for (const pid_t child : children) {
      int status = 0;
      waitpid(child, &status, 0);
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
      fmt::print("a process died (status {})\n", status);
      shared.failed = true;
    }
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  fmt::print(
      "{} histories in {:.1f} s: {} moments of a power cut, {} images, {} of them different "
      "and recovered; {}\n",
      shared.histories.load(), taken.count(), shared.points.load(), shared.images.load(),
      shared.distinct.load(), shared.failed ? "FAILED" : "none failed");
  return shared.failed != options.expect_failure ? 1 : 0;
}

int parse_and_run(int argc, char** argv) {
  Options options;
  Arguments app(
      "Runs all histories of a few operations on a tiny volume, cuts the power at every moment "
      "with every subset of what was not flushed, recovers, compares and audits.",
      "uvdo-exhaustive");
  app.option("--length", options.length, "operations of a history, at most").range(1, 5);
  app.option("--jobs", options.jobs, "processes to share the work").range(1, 64);
  app.option("--seed", options.seed, "how long the disk takes and who runs first");
  app.option("--seeds", options.seeds, "so many seeds, one after the other");
  app.option("--every", options.every, "only one of so many histories");
  app.option("--variant", options.variant, "only one of the four ways to run a history")
      .one_of({"all", "in-turn-roomy", "in-turn-full", "together-roomy", "together-full"});
  app.option("--samples", options.states.samples,
             "subsets of unflushed writes, where there are more than eight of them");
  app.option("--torn", options.states.torn_samples, "images with a torn block at each moment");
  app.option("--history", options.history, "only this one: names of operations")
      .one_of({kSmallOperations.begin(), kSmallOperations.end()});
  app.flag("--trace", options.trace, "print every step");
  if (FaultPoints::kPossible) {
    std::vector<std::string> names;
    for (const auto& [name, fault] : kFaults) names.emplace_back(name);
    app.option("--mistake", options.mistake, "a deliberate mistake").one_of(names);
  }
  app.flag("--expect-failure", options.expect_failure, "succeed only if a history fails");
  if (auto status = app.parse(argc, argv)) return *status;
  return run(options);
}

}  // namespace
}  // namespace uvdo::sim

int main(int argc, char** argv) { return uvdo::sim::parse_and_run(argc, argv); }
