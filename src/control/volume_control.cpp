// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/volume_control.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "control/growth_control.h"
#include "control/state_dump.h"
#include "control/suspension_control.h"
#include "control/volume_identity.h"

namespace uvdo {

/// A command: its name, and who carries it out. A command is added by a line in all(), a message
/// and a function of VolumeControl; nobody else knows a list of them.
struct ControlCommand {
  std::string_view name;
  Task<Result<Json>> (*run)(VolumeControl& control, Json parameters);

  static std::span<const ControlCommand> all();

 private:
  template <class Request>
  using Handler = Task<Result<typename Request::Answer>> (VolumeControl::*)(Request request);

  /// The command of `Request`, carried out by `kHandler`.
  template <class Request, Handler<Request> kHandler>
  static constexpr ControlCommand of() {
    return {Request::kCommand, &answer<Request, kHandler>};
  }
  template <class Request, Handler<Request> kHandler>
  static Task<Result<Json>> answer(VolumeControl& control, Json parameters) {
    auto request = read_request<Request>(parameters);
    if (!request) co_return std::move(request).error();
    auto result = co_await (control.*kHandler)(std::move(*request));
    if (!result) co_return std::move(result).error();
    co_return write_answer(std::move(*result));
  }
};

std::span<const ControlCommand> ControlCommand::all() {
  static constexpr std::array kCommands{
      of<HelloRequest, &VolumeControl::hello>(),
      of<StatisticsRequest, &VolumeControl::stats>(),
      of<InfoRequest, &VolumeControl::info>(),
      of<StatusRequest, &VolumeControl::status>(),
      of<SetRequest, &VolumeControl::set>(),
      of<IndexRequest, &VolumeControl::index>(),
      of<GrowthMessage, &VolumeControl::grow>(),
      of<TrimRequest, &VolumeControl::trim>(),
      of<SuspendRequest, &VolumeControl::suspend>(),
      of<ResumeRequest, &VolumeControl::resume>(),
      of<FlushRequest, &VolumeControl::flush>(),
      of<DumpRequest, &VolumeControl::dump>(),
      of<LogLevelRequest, &VolumeControl::log_level>(),
      of<StopRequest, &VolumeControl::stop>(),
      of<AttachRequest, &VolumeControl::attach>(),
      of<DetachRequest, &VolumeControl::detach>(),
      of<DevicesRequest, &VolumeControl::devices>(),
      of<UpgradeRequest, &VolumeControl::upgrade>(),
  };
  return kCommands;
}

namespace {

Error no_such_command(std::string_view name) {
  std::string names;
  const auto all = ControlCommand::all();
  for (const ControlCommand& command : all) {
    if (!names.empty()) names += &command == &all.back() ? " and " : ", ";
    names += command.name;
  }
  return {Errc::invalid_argument,
          fmt::format("there is no command \"{}\"; there are {}", name, names)};
}

}  // namespace

Task<Result<Json>> VolumeControl::handle(ControlRequest request) {
  const auto all = ControlCommand::all();
  const auto found = std::ranges::find(all, request.command, &ControlCommand::name);
  if (found == all.end()) co_return no_such_command(request.command);
  co_return co_await found->run(*this, std::move(request.parameters));
}

void VolumeControl::stopped(const Result<void>& result) {
  if (!result) stop_result_ = result.error().clone();
  stopped_.set();
}

Task<Result<StatisticsAnswer>> VolumeControl::stats(StatisticsRequest request) {
  // On a very large map the walk takes longer; the next to ask is told more. Who watches asks
  // again soon.
  co_await volume_.count_savings(request.activity ? Duration{0} : std::chrono::seconds(2));
  StatisticsAnswer answer;
  answer.statistics = server_.monitor->statistics();
  answer.statistics.logical_block_size = server_.logical_block_size;
  if (request.activity) answer.activity = server_.monitor->activity();
  co_return answer;
}

Task<Result<HelloAnswer>> VolumeControl::hello(HelloRequest /*request*/) {
  HelloAnswer hello = hello_of(server_.volume, server_.storages());
  hello.version = server_.version;
  hello.upgrade_problem = server_.upgrade_problem;
  co_return hello;
}

Task<Result<VolumeDescription>> VolumeControl::info(InfoRequest /*request*/) {
  co_return describe_volume(volume_, server_.volume);
}

// All of one moment: nothing is waited for.
HealthFacts VolumeControl::facts() const {
  HealthFacts facts;
  facts.volume = server_.volume;
  facts.statistics = server_.monitor->statistics();
  facts.is_for_reading = volume_.is_opened_for_reading();
  if (volume_.is_read_only() && !facts.is_for_reading) {
    facts.read_only_reason = volume_.notifier().reason().message();
  }
  // Only a volume that was opened for reading has a view of its journal.
  if (const JournalView* view = volume_.journal_view()) facts.blocks_lost = view->blocks_affected();
  facts.until_full = server_.monitor->space().until_full();
  facts.rate_over = server_.monitor->space().fill_rate().over;
  server_.disk->add_to(facts);
  const RoomGate& room = volume_.room();
  if (!room.is_open()) {
    facts.short_for =
        std::chrono::duration_cast<std::chrono::seconds>(executor_.now() - room.short_since());
    facts.bytes_waiting = room.waiting_bytes();
    facts.refuses_writes = room.state() != RoomGate::State::waiting;
  }
  return facts;
}

Task<Result<StatusAnswer>> VolumeControl::status(StatusRequest /*request*/) {
  Health health = assess(facts());
  const bool is_well = health.is_well();
  co_return StatusAnswer{is_well, std::move(health), server_.web()};
}

Task<Result<VolumeSettings>> VolumeControl::set(SetRequest request) {
  WriteThroughView* const through = server_.write_through;
  if (request.write_through && through != nullptr) through->switch_to(*request.write_through);
  if (request.compression) volume_.set_compression(*request.compression);
  if (request.deduplication) volume_.set_deduplication(*request.deduplication);
  if (request.no_space_timeout) volume_.set_no_space_timeout(*request.no_space_timeout);
  const VolumeOptions& options = volume_.options();
  VolumeSettings now;
  now.compression = options.compression;
  now.deduplication = options.deduplication;
  if (through != nullptr) now.write_through = through->is_on();
  now.no_space_timeout = std::chrono::duration_cast<std::chrono::seconds>(options.no_space_timeout);
  co_return now;
}

std::string VolumeControl::index_state() const {
  const DedupeIndex* index = volume_.index();
  return std::string(name_of(index != nullptr ? index->state() : IndexState::closed));
}

Task<Result<IndexAnswer>> VolumeControl::index(IndexRequest request) {
  Result<void> done = check_in_use();
  if (!done) co_return std::move(done).error();
  switch (request.action) {
    case IndexAction::create: {
      auto created = co_await volume_.create_index();
      done = std::move(created);
      break;
    }
    case IndexAction::close: {
      auto closed = co_await volume_.close_index();
      done = std::move(closed);
      break;
    }
    case IndexAction::enable: {
      auto enabled = co_await volume_.enable_index();
      done = std::move(enabled);
      break;
    }
    case IndexAction::disable: volume_.set_deduplication(false); break;
  }
  if (!done) co_return std::move(done).error();
  co_return IndexAnswer{index_state()};
}

Task<Result<GrowthAnswer>> VolumeControl::grow(GrowthMessage request) {
  co_return co_await grow_by_request(volume_, request);
}

Task<Result<TrimAnswer>> VolumeControl::trim(TrimRequest /*request*/) {
  auto done = co_await volume_.trim();
  if (!done) co_return std::move(done).error();
  co_return TrimAnswer{done->bytes, done->runs};
}

Task<Result<SuspendAnswer>> VolumeControl::suspend(SuspendRequest request) {
  co_return co_await suspend_by_request(volume_, request);
}

Task<Result<EmptyAnswer>> VolumeControl::resume(ResumeRequest /*request*/) {
  co_return co_await resume_by_request(volume_);
}

Result<void> VolumeControl::check_in_use() const {
  if (!volume_.is_suspended()) return {};
  return Error(Errc::busy, "the volume is suspended; resume it first");
}

Task<Result<EmptyAnswer>> VolumeControl::flush(FlushRequest /*request*/) {
  if (auto in_use = check_in_use(); !in_use) co_return std::move(in_use).error();
  auto flushed = co_await volume_.flush();
  if (!flushed) co_return std::move(flushed).error();
  co_return EmptyAnswer();
}

Task<Result<Json>> VolumeControl::dump(DumpRequest /*request*/) {
  co_return co_await dump_state(executor_, volume_);
}

Task<Result<LogLevelAnswer>> VolumeControl::log_level(LogLevelRequest request) {
  if (request.level) {
    auto level = parse_log_level(*request.level);
    if (!level) co_return std::move(level).error();
    server_.log->set_level(*level);
  }
  co_return LogLevelAnswer{std::string(name_of(server_.log->level()))};
}

Task<Result<AttachedDevice>> VolumeControl::attach(AttachRequest request) {
  return server_.attach(std::move(request));
}

Task<Result<DetachAnswer>> VolumeControl::detach(DetachRequest request) {
  return server_.detach(std::move(request));
}

Task<Result<DevicesAnswer>> VolumeControl::devices(DevicesRequest /*request*/) {
  co_return server_.devices();
}

Task<Result<EmptyAnswer>> VolumeControl::stop(StopRequest request) {
  if (!request.force) {
    auto asking = server_.device_users();
    const auto users = co_await std::move(asking);
    if (!users.empty()) co_return Error(Errc::busy, fmt::format("{}", fmt::join(users, ", ")));
  }
  server_.stop();
  co_return co_await until_stopped();
}

Task<Result<EmptyAnswer>> VolumeControl::upgrade(UpgradeRequest request) {
  if (auto in_use = check_in_use(); !in_use) co_return std::move(in_use).error();
  auto asking = server_.upgrade(std::move(request.program));
  auto asked = co_await std::move(asking);
  if (!asked) co_return std::move(asked).error();
  co_return co_await until_stopped();
}

Task<Result<EmptyAnswer>> VolumeControl::until_stopped() {
  // The server stops now, and with it this very command is waited for: stopped() has to be called
  // before the control socket is shut down.
  co_await stopped_.wait();
  if (!stop_result_) co_return stop_result_.error().clone();
  co_return EmptyAnswer();
}

}  // namespace uvdo
