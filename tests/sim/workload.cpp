// SPDX-License-Identifier: GPL-2.0-or-later
#include "workload.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include <fmt/core.h>

namespace uvdo::sim {
namespace {
constexpr std::byte kCanary{0xA5};
constexpr std::size_t kCanaries = 64;
/// Steps after which a probe is said to wait for ever; a few thousand are usual.
constexpr std::uint64_t kMostSteps = 400'000;
}  // namespace

// Memory to read into: sometimes at an odd address, with guards on both sides.
class Workload::ReadBuffer {
 public:
  ReadBuffer(std::size_t size, SimRandom& random)
      : memory_(static_cast<std::byte*>(
                    std::aligned_alloc(kBlockSize, (size / kBlockSize + 4) * kBlockSize)),
                std::free),
        skew_(random.chance(1, 4) ? random.below(512) : 0),
        size_(size) {
    const auto mark = [](std::byte* at) { std::memset(at, static_cast<int>(kCanary), kCanaries); };
    std::byte* begin = bytes().data();
    mark(begin - kCanaries);
    // What is not read shall not hold what another read has left here.
    for (std::size_t at = 0; at < size; at += kSectorSize) mark(begin + at);
    mark(begin + size);
  }
  [[nodiscard]] MutableBytes bytes() { return {memory_.get() + kBlockSize + skew_, size_}; }
  [[nodiscard]] bool is_intact() const {
    const std::byte* begin = memory_.get() + kBlockSize + skew_;
    const auto intact = [](std::byte b) { return b == kCanary; };
    return std::all_of(begin - kCanaries, begin, intact) &&
           std::all_of(begin + size_, begin + size_ + kCanaries, intact);
  }

 private:
  std::unique_ptr<std::byte, decltype(&std::free)> memory_;
  std::size_t skew_;
  std::size_t size_;
};

Workload::Workload(SimExecutor& executor, SimDevice& device, Model& model, const Profile& profile)
    : executor_(executor),
      device_(device),
      model_(model),
      profile_(profile),
      random_(executor.fork_random()),
      source_(profile.content) {
  for (std::uint32_t i = 0; i < profile.hot_blocks; ++i) {
    hot_.push_back(random_.below(profile.blocks));
  }
}

void Workload::report(std::string what) {
  if (!failure_.empty()) return;
  failure_ = std::move(what);
  if (executor_.is_tracing()) executor_.trace("BROKEN: " + failure_);
}

void Workload::trace(const char* what, const Range& range) const {
  if (!executor_.is_tracing()) return;
  executor_.trace(fmt::format("client: {} {}+{} (blocks {}..{})", what, range.offset, range.length,
                              range.first(), range.first() + range.count() - 1));
}

Task<void> Workload::run(BlockService& service, std::uint64_t operations) {
  if (profile_.probes > 0) co_return co_await run_probes(service);
  left_ = operations;
  TaskGroup clients(executor_);
  for (std::uint32_t i = 0; i < profile_.clients; ++i) clients.start(client(service, i));
  co_await clients.wait();
}

Task<void> Workload::client(BlockService& service, std::uint32_t number) {
  Alarm alarm(executor_);
  co_await alarm.sleep(Duration{number * 100});
  while (left_ > 0 && goes_on()) {
    --left_;
    co_await one_operation(service);
    if (random_.chance(profile_.pause_percent, 100)) {
      co_await alarm.sleep(Duration{static_cast<std::int64_t>(random_.below(300'000))});
    }
  }
}

// ---- clients that never pause

Task<void> Workload::run_probes(BlockService& service) {
  pressure_ = Pressure::everything;
  TaskGroup others(executor_);
  for (std::uint32_t i = 0; i < profile_.clients; ++i) others.start(restless_client(service));
  for (std::uint32_t round = 0; round < profile_.probes && goes_on(); ++round) {
    // Two at once: nothing that the second has to wait for comes between them.
    pressure_ = Pressure::everything;
    TaskGroup flushes(executor_);
    for (int i = 0; i < 2; ++i) flushes.start(probe("a flush", flush(service)));
    co_await flushes.wait();
    // Nobody but this one frees anything from now on.
    pressure_ = Pressure::reads;
    if (!goes_on()) break;
    co_await probe("a discard", zero(service, true));
    for (int i = 0; i < 4 && goes_on(); ++i) {
      co_await probe("a write after a discard", write(service, Durability::cached));
    }
  }
  pressure_ = Pressure::none;
  co_await others.wait();
}

Task<void> Workload::restless_client(BlockService& service) {
  Alarm alarm(executor_);
  while (pressure_ != Pressure::none && goes_on()) {
    check_probes();
    if (pressure_ == Pressure::reads) {
      ++counts_.operations;
      co_await read(service);
    } else {
      co_await one_operation(service);
    }
    if (is_stopping_) {
      // Those that are refused take no time: there would be millions.
      co_await alarm.sleep(std::chrono::microseconds(20));
    } else {
      co_await executor_.yield();
    }
  }
}

Task<void> Workload::probe(const char* what, Task<void> request) {
  const Probe self{what, executor_.steps()};
  probes_.push_back(&self);
  ++counts_.operations;
  co_await std::move(request);
  std::erase(probes_, &self);
  longest_probe_ = std::max(longest_probe_, executor_.steps() - self.begun);
}

void Workload::check_probes() {
  for (const Probe* one : probes_) {
    const std::uint64_t taken = executor_.steps() - one->begun;
    if (taken <= kMostSteps) continue;
    report(fmt::format("{} is not done after {} steps, as long as others go on", one->what, taken));
  }
}

Task<Result<void>> Workload::stop_among_requests(Instance& instance) {
  is_stopping_ = true;
  pressure_ = Pressure::everything;
  TaskGroup others(executor_);
  for (std::uint32_t i = 0; i < profile_.clients; ++i) {
    others.start(restless_client(instance.service()));
  }
  co_await executor_.yield();
  Result<void> stopped;
  co_await probe("a stop", [](Instance& service, Result<void>& result) -> Task<void> {
    auto done = co_await service.stop();
    result = std::move(done);
  }(instance, stopped));
  pressure_ = Pressure::none;
  co_await others.wait();
  is_stopping_ = false;
  co_return stopped;
}

Task<void> Workload::one_operation(BlockService& service) {
  const OperationMix& mix = profile_.mix;
  const std::uint32_t whole = mix.write + mix.fua_write + mix.read + mix.discard +
                              mix.write_zeroes + mix.flush + mix.extents;
  auto pick = static_cast<std::uint32_t>(random_.below(whole));
  const auto falls_into = [&](std::uint32_t share) {
    if (pick < share) return true;
    pick -= share;
    return false;
  };
  ++counts_.operations;
  if (random_.chance(1, 200)) {
    co_await out_of_range(service);
  } else if (falls_into(mix.write)) {
    co_await write(service, Durability::cached);
  } else if (falls_into(mix.fua_write)) {
    co_await write(service, Durability::fua);
  } else if (falls_into(mix.read)) {
    co_await read(service);
  } else if (falls_into(mix.discard)) {
    co_await zero(service, true);
  } else if (falls_into(mix.write_zeroes)) {
    co_await zero(service, false);
  } else if (falls_into(mix.flush)) {
    co_await flush(service);
  } else {
    co_await query(service);
  }
}

Workload::Range Workload::pick_range(std::uint64_t longest) {
  std::uint64_t first = random_.chance(profile_.hot_percent, 100) ? hot_[random_.below(hot_.size())]
                                                                  : random_.below(profile_.blocks);
  // Short requests are the rule.
  std::uint64_t count = random_.chance(1, 2) ? 1 : random_.between(1, longest);
  if (random_.chance(1, 4)) first = first > count ? first - random_.below(count) : first;
  count = std::min(count, profile_.blocks - first);
  Range range{first * kBlockSize, count * kBlockSize};
  if (random_.chance(profile_.partial_percent, 100)) {
    // Sectors mostly, any bytes sometimes.
    const std::uint64_t grain = random_.chance(3, 4) ? kSectorSize : 1;
    const std::uint64_t skip = random_.below(kBlockSize / grain) * grain;
    range.offset += skip;
    range.length -= skip;
    const std::uint64_t most = std::min<std::uint64_t>(kBlockSize - 1, range.length - 1);
    range.length -= random_.below(most / grain + 1) * grain;
  }
  return range;
}

bool Workload::has_room(const Range& range) const {
  for (std::uint64_t i = 0; i < range.count(); ++i) {
    if (!model_.has_room(range.first() + i)) return false;
  }
  return true;
}

std::vector<BlockChange> Workload::changes(const Range& range,
                                           const std::function<ContentId()>& content,
                                           bool parts_optional) const {
  std::vector<BlockChange> made;
  for (std::uint64_t i = 0; i < range.count(); ++i) {
    BlockChange change;
    change.block = range.first() + i;
    const std::uint64_t start = change.block * kBlockSize;
    const std::uint64_t from = std::max(range.offset, start);
    const std::uint64_t to = std::min(range.offset + range.length, start + kBlockSize);
    change.offset = from - start;
    change.length = to - from;
    change.content = content();
    change.optional = parts_optional && change.length < kBlockSize;
    made.push_back(change);
  }
  return made;
}

void Workload::check_error(const Error& error, const char* what, const Range& range) {
  ++counts_.errors;
  if (executor_.is_tracing()) {
    executor_.trace(fmt::format("client: {} {}+{} failed: {}", what, range.offset, range.length,
                                error.message()));
  }
  // Full is always possible, an end only while one is stopped, and errors of the disk only after
  // one was injected.
  const bool excused =
      error.code() == Errc::no_space || (is_stopping_ && error.code() == Errc::cancelled) ||
      (device_.has_faulted() && (error.code() == Errc::io || error.code() == Errc::read_only ||
                                 error.code() == Errc::cancelled));
  if (excused) return;
  report(fmt::format("{} of {} bytes at byte {} failed without cause: {} ({})", what, range.length,
                     range.offset, error.message(), name_of(error.code())));
}

void Workload::finish(Model::Token token, const Result<void>& result, bool stable, const char* what,
                      const Range& range) {
  if (device_.has_crashed()) return;
  if (result) {
    if (executor_.is_tracing()) trace(fmt::format("{} done", what).c_str(), range);
    model_.acknowledge(token, stable);
  } else {
    model_.fail(token);
    check_error(result.error(), what, range);
  }
}

Task<void> Workload::write(BlockService& service, Durability durability) {
  const bool stable = durability == Durability::fua;
  const Range range = pick_range(std::min<std::uint64_t>(profile_.longest, 32));
  Buffer buffer = co_await service.buffers().acquire(range.length);
  // Looked at after the wait for a buffer: other clients have gone on meanwhile.
  if (buffer.data() == nullptr || !goes_on() || !has_room(range)) co_return;
  std::vector<BlockChange> made = changes(
      range, [this] { return source_.next(random_); }, false);
  std::byte* at = buffer.data();
  for (const BlockChange& change : made) {
    if (change.length == kBlockSize) {
      fill_block(change.content, {at, kBlockSize});
    } else {
      alignas(8) std::array<std::byte, kBlockSize> block;
      fill_block(change.content, block);
      std::memcpy(at, block.data() + change.offset, change.length);
    }
    if (executor_.is_tracing()) {
      executor_.trace(fmt::format("client: block {} [{}, +{}) <- {}", change.block, change.offset,
                                  change.length, describe(change.content)));
    }
    at += change.length;
  }
  const char* what = stable ? "FUA write" : "write";
  trace(what, range);
  const Model::Token token = model_.begin(std::move(made));
  const Result<void> result = co_await service.write(range.offset, std::move(buffer), durability);
  finish(token, result, stable, what, range);
}

Task<void> Workload::zero(BlockService& service, bool discard) {
  const Range range = pick_range(std::uint64_t{profile_.longest} * 2);
  if (!has_room(range)) co_return;
  const bool stable = random_.chance(1, 5);
  const Durability durability = stable ? Durability::fua : Durability::cached;
  const ZeroMode mode = random_.chance(1, 2) ? ZeroMode::punch : ZeroMode::mapped;
  const char* what = discard ? "discard" : "write of zeroes";
  trace(what, range);
  const Model::Token token = model_.begin(changes(
      range, [] { return ContentId{}; }, discard));
  Result<void> result;
  if (discard) {
    result = co_await service.discard(range.offset, range.length, durability);
  } else {
    result = co_await service.write_zeroes(range.offset, range.length, mode, durability);
  }
  finish(token, result, stable, what, range);
}

Task<void> Workload::flush(BlockService& service) {
  trace("flush", {0, 1});
  const Model::Token token = model_.begin_flush();
  const Result<void> result = co_await service.flush();
  if (device_.has_crashed()) co_return;
  if (result) {
    trace("flush done", {0, 1});
    model_.acknowledge_flush(token);
  } else {
    check_error(result.error(), "flush", {});
  }
}

void Workload::compare(Model::Token token, const Range& range, ConstBytes bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::uint64_t at = (range.offset + done) % kBlockSize;
    const std::size_t length = std::min<std::size_t>(kBlockSize - at, bytes.size() - done);
    if (const auto wrong = model_.check_read(token, (range.offset + done) / kBlockSize, at,
                                             bytes.subspan(done, length))) {
      report("a read went wrong: " + *wrong);
    }
    done += length;
  }
}

Task<void> Workload::read(BlockService& service) {
  const Range range = pick_range(std::uint64_t{profile_.longest} * 2);
  ReadBuffer buffer(range.length, random_);
  trace("read", range);
  const Model::Token token = model_.begin_read(range.first(), range.count());
  const Result<void> result = co_await service.read(range.offset, buffer.bytes());
  if (device_.has_crashed()) co_return;
  if (!buffer.is_intact()) report("a read wrote outside of its buffer");
  if (result) {
    trace("read done", range);
    compare(token, range, buffer.bytes());
  } else {
    check_error(result.error(), "read", range);
  }
  model_.end_read(token);
}

Task<void> Workload::query(BlockService& service) {
  const Range range = pick_range(std::uint64_t{profile_.longest} * 2);
  trace("extents", range);
  const Model::Token token = model_.begin_read(range.first(), range.count());
  const std::size_t limit = random_.between(1, 8);
  const Result<std::vector<Extent>> result =
      co_await service.extents(range.offset, range.length, limit);
  if (device_.has_crashed()) co_return;
  if (!result) {
    check_error(result.error(), "extent query", range);
    model_.end_read(token);
    co_return;
  }
  std::uint64_t covered = 0;
  for (const Extent& extent : *result) {
    if (extent.kind != ExtentKind::data && extent.length <= range.length - covered) {
      const std::vector<std::byte> zeros(extent.length);
      compare(token, {range.offset + covered, extent.length}, zeros);
    }
    covered += extent.length;
  }
  if (result->empty() || result->size() > limit || covered == 0 || covered > range.length) {
    report(fmt::format("an extent query of {} bytes with a limit of {} got {} extents of {} bytes",
                       range.length, limit, result->size(), covered));
  }
  model_.end_read(token);
}

Task<void> Workload::out_of_range(BlockService& service) {
  const std::uint64_t offset = service.size() - random_.below(2) * kSectorSize;
  const std::uint64_t length = random_.between(1, 4) * kBlockSize;
  trace("out of range", {offset, length});
  Result<void> result;
  switch (random_.below(4)) {
    case 0: {
      ReadBuffer buffer(length, random_);
      result = co_await service.read(offset, buffer.bytes());
      break;
    }
    case 1: {
      Buffer buffer = co_await service.buffers().acquire(length);
      if (buffer.data() == nullptr) co_return;
      std::memset(buffer.data(), 1, length);
      result = co_await service.write(offset, std::move(buffer), Durability::cached);
      break;
    }
    case 2: result = co_await service.discard(offset, length, Durability::cached); break;
    default:
      result = co_await service.write_zeroes(offset, length, ZeroMode::punch, Durability::cached);
      break;
  }
  if (device_.has_crashed()) co_return;
  if (result) {
    report("a request beyond the end of the device succeeded");
  } else if (result.error().code() != Errc::out_of_range) {
    check_error(result.error(), "request out of range", {offset, length});
  }
}

Task<void> Workload::verify(BlockService& service, bool after_crash) {
  std::vector<std::uint64_t> blocks = model_.touched();
  for (int i = 0; i < 4; ++i) blocks.push_back(random_.below(profile_.blocks));
  std::sort(blocks.begin(), blocks.end());
  blocks.erase(std::unique(blocks.begin(), blocks.end()), blocks.end());
  std::size_t at = 0;
  while (at < blocks.size() && goes_on()) {
    // Neighbours are read together, at most 32 at once.
    std::size_t count = 1;
    while (count < 32 && at + count < blocks.size() && blocks[at + count] == blocks[at] + count) {
      ++count;
    }
    const Range range{blocks[at] * kBlockSize, count * kBlockSize};
    ReadBuffer buffer(range.length, random_);
    trace("verify", range);
    const Model::Token token = model_.begin_read(range.first(), count);
    const Result<void> result = co_await service.read(range.offset, buffer.bytes());
    if (device_.has_crashed()) co_return;
    if (!result) {
      check_error(result.error(), "read", range);
    } else if (!after_crash) {
      compare(token, range, buffer.bytes());
    } else {
      for (std::size_t i = 0; i < count; ++i) {
        const ConstBytes found = buffer.bytes().subspan(i * kBlockSize, kBlockSize);
        if (const auto wrong = model_.check_after_crash(blocks[at + i], found)) {
          report("after a power cut: " + *wrong);
        }
      }
    }
    model_.end_read(token);
    at += count;
  }
}

}  // namespace uvdo::sim
