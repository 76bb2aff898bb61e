// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo-sim: runs simulated histories from the command line, and replays one by its seed.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arguments/arguments.h"
#include "base/fault_points.h"
#include "history.h"
#include "subjects.h"

namespace uvdo::sim {
namespace {

struct Options {
  std::uint64_t seed = 1;
  std::uint64_t count = 1;
  std::uint32_t operations = 0;
  std::uint32_t jobs = 1;
  std::string profile = "any";
  std::string subject;
  bool trace = false;
  bool keep_going = false;
  bool clean = false;
  bool expect_failure = false;
};

// What the processes that share the work tell each other.
struct Shared {
  struct Job {
    std::atomic<std::uint64_t> seed;
  };
  std::array<Job, 64> jobs;
  std::atomic<std::uint64_t> histories, failures, crashes, clean_stops, repairs, operations, checks,
      requests, steps;
  std::atomic<bool> stop;
};

// By the seed alone, so that the command that replays a history can name it.
const Profile& profile_of(const Options& options, std::uint64_t seed) {
  if (options.profile == "any") return profiles()[mix_bits(seed) % profiles().size()];
  return *find_profile(options.profile);
}

std::string replay_command(const Options& options, std::uint64_t seed) {
  std::string command = fmt::format("uvdo-sim --subject {} --profile {} --seed {} --trace",
                                    options.subject, profile_of(options, seed).name, seed);
  if (options.operations != 0) command += fmt::format(" --ops {}", options.operations);
  if (options.clean) command += " --clean";
  return command;
}

int run_job(const Options& options, std::uint32_t job, Shared& shared) {
  const std::unique_ptr<Subject> subject = make_subject(options.subject);
  // Each variant is formatted once in each process.
  std::map<std::uint64_t, SparseImage> blanks;  // by variant
  HistoryOptions history;
  history.operations = options.operations;
  history.clean = options.clean;
  if (options.trace) {
    history.trace = [](std::string_view line) { fmt::print("{}\n", line); };
  }
  for (std::uint64_t i = job; i < options.count && !shared.stop; i += options.jobs) {
    history.seed = options.seed + i;
    // Where others see it: a history that ends the process is replayed by that.
    shared.jobs[job].seed = history.seed;
    const Profile& profile = profile_of(options, history.seed);
    subject->choose(history.seed);
    auto blank = blanks.find(subject->variant());
    if (blank == blanks.end()) {
      Result<SparseImage> made = format_image(*subject);
      if (!made) {
        fmt::print(stderr, "{}\n", made.error().message());
        return 1;
      }
      blank = blanks.emplace(subject->variant(), *std::move(made)).first;
    }
    const HistoryResult result = run_history(*subject, blank->second, profile, history);
    ++shared.histories;
    shared.crashes += result.crashes;
    shared.clean_stops += result.clean_stops;
    shared.repairs += result.repairs;
    shared.operations += result.operations;
    shared.checks += result.checks;
    shared.requests += result.requests;
    shared.steps += result.steps;
    if (options.trace) {
      fmt::print(
          "seed {}: hash {:016x}, {} steps, {} operations, {} crashes, longest probe {} steps\n",
          history.seed, result.hash, result.steps, result.operations, result.crashes,
          result.longest_probe);
    }
    if (!result.failure.empty()) {
      ++shared.failures;
      fmt::print("seed {} (profile {}): {}\n  replay: {}\n", history.seed, profile.name,
                 result.failure, replay_command(options, history.seed));
      std::fflush(stdout);
      if (!options.keep_going) shared.stop = true;
    }
  }
  return 0;
}

int run(const Options& options) {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 2;
  auto& shared = *new (memory) Shared{};
  const auto begin = std::chrono::steady_clock::now();
  bool broken = false;
  if (options.jobs == 1) {
    broken = run_job(options, 0, shared) != 0;
  } else {
    std::vector<pid_t> children;
    for (std::uint32_t job = 0; job < options.jobs; ++job) {
      const pid_t child = fork();
      if (child == 0) {
        const int status = run_job(options, job, shared);
        std::fflush(stdout);
        _exit(status);
      }
      children.push_back(child);
    }
    for (std::uint32_t job = 0; job < options.jobs; ++job) {
      int status = 0;
      waitpid(children[job], &status, 0);
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
      broken = true;
      const std::uint64_t seed = shared.jobs[job].seed;
      fmt::print("seed {}: the process died (status {})\n  replay: {}\n", seed, status,
                 replay_command(options, seed));
    }
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  const auto get = [](const std::atomic<std::uint64_t>& value) { return value.load(); };
  fmt::print(
      "{} histories in {:.1f} s: {} failed; {} power cuts, {} clean stops, {} repairs, {} "
      "operations, {} blocks compared, {} disk requests, {:.1f} M steps\n",
      get(shared.histories), taken.count(), get(shared.failures), get(shared.crashes),
      get(shared.clean_stops), get(shared.repairs), get(shared.operations), get(shared.checks),
      get(shared.requests), static_cast<double>(get(shared.steps)) / 1e6);
  const bool failed = broken || get(shared.failures) != 0;
  if (options.expect_failure && !failed) fmt::print("nothing was found, but something is wrong\n");
  return failed != options.expect_failure ? 1 : 0;
}

int parse_and_run(int argc, char** argv) {
  Options options;
  options.subject = std::string(subject_names().front());
  Arguments app(
      "Runs simulated histories of a volume: racing clients, power cuts, faults. The seed "
      "decides everything; a failing seed fails again.",
      "uvdo-sim");
  app.option("--seed", options.seed, "the first seed");
  app.option("--count", options.count, "how many seeds, one after the other");
  app.option("--ops", options.operations, "operations between two starts");
  app.option("--jobs", options.jobs, "processes to share the work").range(1, 64);
  app.option("--profile", options.profile, "kind of history, or 'any' (the seed decides)")
      .check([](const std::string& name) -> std::string {
        if (name == "any" || find_profile(name) != nullptr) return {};
        std::string known = "no such profile; there are: any";
        for (const Profile& profile : profiles()) known += fmt::format(", {}", profile.name);
        return known;
      });
  app.option("--subject", options.subject, "what to run")
      .check([](const std::string& name) -> std::string {
        if (make_subject(name) != nullptr) return {};
        std::string known = "no such subject; there are:";
        for (const std::string_view other : subject_names()) known += fmt::format(" {}", other);
        if (FaultPoints::kPossible) {
          for (const auto& [mistake, fault] : kFaults) known += fmt::format(" volume/{}", mistake);
        }
        return known;
      });
  app.flag("--trace", options.trace, "print every step of the clients and the disk");
  app.flag("--clean", options.clean, "neither power cuts nor faults");
  app.flag("--expect-failure", options.expect_failure, "succeed only if a history fails");
  app.flag("--keep-going", options.keep_going, "do not stop at the first failure");
  if (auto status = app.parse(argc, argv)) return *status;
  return run(options);
}

}  // namespace
}  // namespace uvdo::sim

int main(int argc, char** argv) { return uvdo::sim::parse_and_run(argc, argv); }
