// SPDX-License-Identifier: GPL-2.0-or-later
#include "history.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/core.h>

#include "model.h"
#include "workload.h"

namespace uvdo::sim {
namespace {

/// Has a running service checked every few steps, for the length of a scope; and lets its process
/// die after so many of them.
class InvariantsWatch {
 public:
  InvariantsWatch(SimExecutor& executor, const Instance& instance, SimDevice& device,
                  std::uint64_t steps_to_live = UINT64_MAX)
      : executor_(executor) {
    executor.on_step([&instance, &device, steps_to_live, steps = std::uint64_t{0}]() mutable {
      if (++steps % kStepsBetween == 0) instance.check_invariants();
      if (steps == steps_to_live) device.die();
    });
  }
  InvariantsWatch(const InvariantsWatch&) = delete;
  InvariantsWatch& operator=(const InvariantsWatch&) = delete;
  ~InvariantsWatch() { executor_.on_step(nullptr); }

 private:
  static constexpr unsigned kStepsBetween = 5;
  SimExecutor& executor_;
};

/// The history's coroutine runs on the simulated executor with its clients and the service.
/// Whatever goes wrong is told to workload_.report(), which keeps the first.
class History {
 public:
  History(Subject& subject, const SparseImage& blank, const Profile& profile,
          const HistoryOptions& options)
      : subject_(subject),
        profile_(fitting(profile, subject, options)),
        options_(options),
        executor_({.seed = options.seed, .turn_units = turn_units_for(options.seed)}),
        device_(executor_, blank, profile_.device),
        model_(profile_.blocks),
        workload_(executor_, device_, model_, profile_),
        random_(executor_.fork_random()) {
    subject_.prepare(profile_);
    if (options.trace) executor_.set_trace(options.trace);
    device_.set_on_crash([this] { crashed(); });
    device_.lie_about_flushes(options.flushes_lie);
  }

  HistoryResult run() {
    // More steps than any history takes: who needs them waits for something that does not come.
    const SimExecutor::Outcome outcome = executor_.run(main(), 5'000'000);
    if (!outcome) workload_.report(outcome.why);
    if (!device_.misuse().empty()) workload_.report("misuse of the disk: " + device_.misuse());
    result_.failure = workload_.failure();
    result_.hash = executor_.decision_hash();
    result_.steps = executor_.steps();
    result_.operations = workload_.counts().operations;
    result_.errors = workload_.counts().errors;
    result_.checks = model_.checks();
    result_.requests = device_.requests();
    result_.longest_probe = workload_.longest_probe();
    return result_;
  }

 private:
  /// In half of the histories long work stops more often than it would have to, or wherever it may.
  static std::uint64_t turn_units_for(std::uint64_t seed) {
    switch (mix_bits(seed ^ 0x7475726EU) % 4) {
      case 0: return 1;
      case 1: return 500;
      default: return kTurnUnits;
    }
  }
  static Profile fitting(Profile profile, const Subject& subject, const HistoryOptions& options) {
    profile.blocks = std::min(profile.blocks, subject.logical_blocks());
    if (options.clean) profile.crash_percent = profile.fault_percent = 0;
    return profile;
  }
  void note(std::string_view line) {
    if (executor_.is_tracing()) executor_.trace(line);
  }

  Task<void> main() {
    for (std::uint32_t cycle = 0; cycle < profile_.cycles; ++cycle) {
      note(fmt::format("history: start {}", cycle + 1));
      co_await run_cycle(cycle + 1 == profile_.cycles);
      if (!workload_.failure().empty()) co_return;
    }
    note("history: last start");
    co_await last_cycle();
  }

  /// At the very moment of a power cut, or of the death of the process.
  void crashed() {
    if (device_.has_died()) {
      subject_.die();
      model_.die();
      is_coming_back_ = true;
    } else {
      subject_.lose_power();
      model_.crash();
      is_coming_back_ = false;
    }
  }

  /// In half of the cases at some request, also of the start; else after some steps in use.
  void plan_death() {
    const std::uint64_t scale = random_.between(1, 13);
    if (random_.chance(1, 2)) {
      device_.crash_after(random_.below(std::uint64_t{1} << scale), SimCrashStyle::death);
    } else {
      steps_to_live_ = 1 + random_.below(std::uint64_t{8} << scale);
    }
  }

  void plan_crash() {
    // Anywhere from the first request on; small numbers are as likely as large ones.
    const std::uint64_t scale = random_.between(1, profile_.operations > 1000 ? 14 : 11);
    device_.crash_after(random_.below(std::uint64_t{1} << scale));
    const auto ranges = subject_.critical_ranges();
    if (ranges.empty() || (!profile_.near && random_.chance(1, 2))) return;
    const std::size_t which =
        profile_.near ? static_cast<std::size_t>(*profile_.near) : random_.below(ranges.size());
    if (which >= ranges.size()) return;
    const auto& [begin, end] = ranges[which];
    const std::uint64_t most =
        profile_.near ? profile_.near_skip : std::uint64_t{1} << random_.between(0, 6);
    const std::uint64_t skip = random_.below(most);
    device_.crash_after(UINT64_MAX);
    device_.crash_near(begin, end, skip, random_.below(5));
  }

  void plan_faults() {
    SimFault fault;
    const std::uint64_t scale = random_.between(1, 10);
    fault.skip = random_.below(std::uint64_t{1} << scale);
    if (random_.chance(2, 3)) fault.count = random_.between(1, 3);
    switch (random_.below(4)) {
      case 0: fault.reads = fault.flushes = false; break;
      case 1: fault.reads = fault.writes = false; break;
      case 2: fault.writes = fault.flushes = false; break;
      default: break;
    }
    device_.add_fault(fault);
  }

  /// The disk is full for a while: so many writes find no room, tries again included.
  void plan_full() {
    SimFault fault;
    fault.kind = SimFault::Kind::full;
    fault.skip = random_.below(std::uint64_t{1} << random_.between(1, 10));
    fault.count = random_.below(std::uint64_t{1} << random_.between(1, 8)) + 1;
    fault.only_new = random_.chance(1, 2);
    device_.add_fault(fault);
  }
  /// Whether `error` may come of a disk that has been full.
  [[nodiscard]] bool is_for_want_of_room(const Error& error) const {
    return device_.found_full() > 0 && error.code() == Errc::no_space;
  }

  /// Opens the device; one that faults have left read-only is repaired first.
  Task<Result<std::unique_ptr<Instance>>> open() {
    Result<std::unique_ptr<Instance>> opened = co_await subject_.open(executor_, device_);
    if (opened && !(*opened)->service().is_read_only()) repairing_ = false;
    if (opened && !device_.has_crashed() && std::exchange(is_coming_back_, false)) {
      model_.come_back();
    }
    if (!opened || !(*opened)->service().is_read_only()) co_return opened;
    note("history: it is read-only");
    if (!device_.has_faulted()) co_await workload_.verify((*opened)->service(), true);
    const Result<void> ignored = co_await (*opened)->stop();
    static_cast<void>(ignored);
    opened = Error(Errc::read_only, "the device was opened for reading only");
    if (!had_faults_ || device_.has_faulted() || device_.has_crashed()) co_return opened;
    // A rebuild gives up what cannot be read: nobody starts one on a disk that fails just then.
    device_.clear_faults();
    repairing_ = true;  // a later start goes on with it
    const Result<void> repaired = co_await subject_.repair(executor_, device_);
    if (!repaired) co_return repaired.error().clone();
    ++result_.repairs;
    opened = co_await subject_.open(executor_, device_);
    if (opened) repairing_ = false;
    if (opened && (*opened)->service().is_read_only()) {
      const Result<void> stopped = co_await (*opened)->stop();
      static_cast<void>(stopped);
      opened = Error(Errc::read_only, "the device is read-only although it was repaired");
    }
    co_return opened;
  }

  /// One start of the service: what will go wrong is planned, it is opened, perhaps verified, used
  /// by the clients, perhaps changed and examined meanwhile, and ended by a stop or a power cut.
  Task<void> run_cycle(bool is_last) {
    bool will_crash = random_.chance(profile_.crash_percent, 100);
    if (options_.fault && is_last) {
      will_crash = false;
      device_.add_fault(*options_.fault);
    }
    const bool will_die = will_crash && subject_.outlives_death() && profile_.death_percent > 0 &&
                          random_.chance(profile_.death_percent, 100);
    steps_to_live_ = UINT64_MAX;
    if (will_die) {
      plan_death();
    } else if (will_crash) {
      plan_crash();
    }
    if (random_.chance(profile_.fault_percent, 100) && !repairing_) plan_faults();
    if (subject_.waits_for_room() && profile_.full_percent > 0 &&
        random_.chance(profile_.full_percent, 100)) {
      plan_full();
    }

    Result<std::unique_ptr<Instance>> opened = co_await open();
    if (!opened) {
      if (!device_.has_crashed() && !device_.has_faulted() &&
          !is_for_want_of_room(opened.error())) {
        workload_.report(fmt::format("the start failed: {}", opened.error().message()));
      }
      note(fmt::format("history: start failed: {}", opened.error().message()));
      power_cycle();
      co_return;
    }
    const std::unique_ptr<Instance> instance = *std::move(opened);
    const InvariantsWatch watch(executor_, *instance, device_, steps_to_live_);
    const bool verify_first = unverified_ && random_.chance(2, 3);
    if (verify_first) {
      co_await workload_.verify(instance->service(), true);
      if (!device_.has_crashed() && !device_.has_faulted()) unverified_ = false;
    }
    if (workload_.failure().empty() && !device_.has_crashed()) {
      const std::uint64_t operations =
          options_.operations != 0 ? options_.operations : profile_.operations;
      is_busy_ = true;
      TaskGroup changes(executor_);
      if (random_.chance(profile_.change_percent, 100))
        changes.start(change_now_and_then(*instance));
      co_await workload_.run(instance->service(), operations);
      is_busy_ = false;
      co_await changes.wait();
      if (profile_.examine_percent > 0 && random_.chance(profile_.examine_percent, 100)) {
        co_await examine(*instance);
      }
    }
    if (will_crash && random_.chance(1, 2)) {  // if it has not come by itself
      device_.crash(will_die ? SimCrashStyle::death : SimCrashStyle::any);
    }
    device_.crash_after(UINT64_MAX);
    note("history: stop");
    const Result<void> stopped = co_await stop(*instance);
    if (device_.has_crashed()) {
      power_cycle();
      co_return;
    }
    if (!stopped) {
      if (!device_.has_faulted() && !is_for_want_of_room(stopped.error())) {
        workload_.report(fmt::format("the stop failed: {}", stopped.error().message()));
      }
      power_cycle();
      co_return;
    }
    if (!device_.has_faulted()) {
      ++result_.clean_stops;
      model_.stop_cleanly();
      audit();
    }
    power_cycle();  // after a clean stop nothing may depend on the disk's cache
  }

  Task<Result<void>> stop(Instance& instance) {
    const bool among_requests = profile_.probes > 0 && !instance.service().is_read_only() &&
                                workload_.failure().empty() && random_.chance(1, 2);
    if (!among_requests) co_return co_await instance.stop();
    co_return co_await workload_.stop_among_requests(instance);
  }

  Task<void> examine(Instance& instance) {
    if (device_.has_crashed() || device_.has_faulted() || !workload_.failure().empty()) co_return;
    note("history: examination");
    SimRandom random = executor_.fork_random();
    const std::string wrong = co_await instance.examine(random);
    if (!wrong.empty() && !device_.has_crashed() && !device_.has_faulted()) {
      workload_.report("a closer look shows that something is wrong: " + wrong);
    }
  }

  Task<void> change_now_and_then(Instance& instance) {
    Alarm alarm(executor_);
    SimRandom random = executor_.fork_random();
    while (is_busy_ && workload_.failure().empty() && !device_.has_crashed()) {
      co_await alarm.sleep(Duration{static_cast<std::int64_t>(random.below(5'000'000))});
      if (device_.has_crashed()) break;
      note("history: change");
      const std::string wrong = co_await instance.change(random);
      note("history: changed " + wrong);
      if (!wrong.empty() && !device_.has_crashed() && !device_.has_faulted()) {
        workload_.report("a change of the running service went wrong: " + wrong);
      }
    }
  }

  /// Cuts the power where it has not been cut, and turns it on again; then the device is looked at
  /// as it was left.
  void power_cycle() {
    if (!device_.has_crashed()) {
      device_.crash();
    } else {
      ++result_.crashes;
    }
    unverified_ = true;
    had_faults_ |= device_.has_faulted();
    if (device_.has_faulted()) ++result_.faults;
    device_.restart();
    device_.clear_faulted();
    look_offline();
  }

  /// What the offline tools make of the device as the power cut has left it.
  void look_offline() {
    if (!workload_.failure().empty()) return;
    const SparseImage image = device_.content();
    const auto touched = model_.touched();
    std::size_t next = 0;
    const auto is_touched = [&](std::uint64_t block) {
      while (next < touched.size() && touched[next] < block) ++next;
      return next < touched.size() && touched[next] == block;
    };
    auto seen = subject_.look_offline(
        image, model_.blocks(),
        [&](std::uint64_t block, ConstBytes found) -> std::optional<std::string> {
          // A block that nobody wrote may be left out of an export; if it holds data that is wrong.
          // What was answered last is in the memory of who died.
          if (is_coming_back_ || (!is_touched(block) && found.empty())) return std::nullopt;
          return model_.look_after_crash(block, found.empty() ? ConstBytes(kZeroBlock) : found);
        });
    if (seen.wrong) return workload_.report("seen offline after a power cut: " + *seen.wrong);
    if (!seen.is_final) return;
    // A rebuild has to bring back what was seen.
    next = 0;
    seen = subject_.look_offline(
        image, model_.blocks(),
        [&](std::uint64_t block, ConstBytes found) -> std::optional<std::string> {
          if (!is_touched(block)) return std::nullopt;
          return model_.check_after_crash(block, found.empty() ? ConstBytes(kZeroBlock) : found);
        });
    if (seen.wrong) workload_.report("seen offline in read-only mode: " + *seen.wrong);
  }

  void audit() {
    if (auto wrong = subject_.audit(device_.content())) {
      workload_.report("the stopped device is inconsistent: " + *wrong);
    }
  }

  /// The last start, in which nothing is planned to go wrong: all has to be there, and a second
  /// reading has to find the same.
  Task<void> last_cycle() {
    Result<std::unique_ptr<Instance>> opened = co_await open();
    if (!opened) {
      workload_.report(fmt::format("the last start failed: {}", opened.error().message()));
      co_return;
    }
    const std::unique_ptr<Instance> instance = *std::move(opened);
    const InvariantsWatch watch(executor_, *instance, device_);
    co_await workload_.verify(instance->service(), true);
    co_await workload_.verify(instance->service(), false);
    const Result<void> stopped = co_await instance->stop();
    if (!stopped) {
      workload_.report(fmt::format("the last stop failed: {}", stopped.error().message()));
      co_return;
    }
    audit();
  }

  Subject& subject_;
  const Profile profile_;
  const HistoryOptions& options_;
  SimExecutor executor_;
  SimDevice device_;
  Model model_;
  Workload workload_;
  SimRandom random_;
  bool unverified_ = false;
  bool had_faults_ = false;
  bool repairing_ = false;
  bool is_busy_ = false;         // clients are running
  bool is_coming_back_ = false;  // its process has died, and it was not opened since
  std::uint64_t steps_to_live_ = UINT64_MAX;
  HistoryResult result_;
};

}  // namespace

Result<SparseImage> format_image(Subject& subject) {
  SimExecutor executor({.seed = 1});
  SimDevice device(executor, subject.device_size());
  std::string failure;
  const SimExecutor::Outcome outcome = executor.run(
      [](Subject& owner, SimExecutor& on, SimDevice& target, std::string& why) -> Task<void> {
        const Result<void> done = co_await owner.format(on, target);
        if (!done) why = done.error().message();
      }(subject, executor, device, failure));
  if (!outcome) failure = outcome.why;
  if (!failure.empty()) return Error(Errc::io, "the format failed: " + failure);
  // What is not durable after the format must not count.
  return device.durable();
}

HistoryResult run_history(Subject& subject, const SparseImage& blank, const Profile& profile,
                          const HistoryOptions& options) {
  if (!subject.takes(profile)) return {};
  History history(subject, blank, profile, options);
  return history.run();
}

}  // namespace uvdo::sim
