// SPDX-License-Identifier: GPL-2.0-or-later
// A ublk driver for tests, which keeps the rules of the real one: devices with their states, ports
// that deliver requests and take answers, and commands that wait for what the real ones wait for.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "async/wait_queue.h"
#include "ublk/ublk_driver.h"

namespace uvdo::testing {

class FakeUblkDriver final : public UblkDriver {
 public:
  class Port;

  /// A request of a client, and its answer.
  struct Request {
    Request(Executor& executor, ublk::IoDescriptor what) : descriptor(what), answered(executor) {
      const std::uint32_t kind = what.operation_and_flags & ublk::kOperationMask;
      if (kind == ublk::kRead || kind == ublk::kWrite) data.resize(std::size_t{what.sectors} * 512);
    }
    ublk::IoDescriptor descriptor;
    std::vector<std::byte> data{};  ///< of a write, and where those of a read go
    std::int32_t result = 1;        ///< once `answered`
    Event answered;
    int deliveries = 0;  ///< to servers, one after the other
  };

  struct Device {
    explicit Device(Executor& executor) : changed(executor) {}
    ublk::DeviceInfo info{};
    ublk::Parameters parameters{};
    Port* port = nullptr;
    std::deque<Request*> queued{};      ///< not delivered
    std::vector<Request*> delivered{};  ///< by slot; null where there is none
    std::vector<bool> fetching{};       ///< by slot
    bool is_stopping = false;
    bool is_quiesced = false;  ///< on request: nothing is delivered
    WaitQueue changed;         ///< requests were answered, slots fetched, the port was let go
  };

  explicit FakeUblkDriver(Executor& executor) : executor_(executor) {}

  // ---- what the test does

  std::uint64_t features = ublk::kUserRecovery | ublk::kUserRecoveryReissue |
                           ublk::kUnprivilegedDevice | ublk::kIoctlEncode | ublk::kUserCopy;
  /// The result of the next command of that operation, which is not carried out.
  std::map<std::uint32_t, int> failures{};
  /// Every command so far.
  std::vector<std::uint32_t> commands{};
  int write_outs = 0;
  std::chrono::milliseconds request_timeout{0};
  int opens_to_fail = 0;     ///< the next so many, as before udev has come
  bool copies_fail = false;  ///< of data between the server and the driver
  bool refuses_fetches = false;

  [[nodiscard]] Device* find(std::uint32_t number) {
    const auto at = devices_.find(number);
    return at == devices_.end() ? nullptr : at->second.get();
  }
  [[nodiscard]] std::size_t count() const { return devices_.size(); }
  [[nodiscard]] std::size_t count(std::uint32_t operation) const {
    return static_cast<std::size_t>(std::count(commands.begin(), commands.end(), operation));
  }
  /// A client's request; `request` stays until it is answered.
  void send(std::uint32_t number, Request& request);
  /// Its server is killed: what it had goes back to the queue, or fails.
  void kill_server(std::uint32_t number);

  // ---- what the server sees

  Task<int> control(std::uint32_t operation, const ublk::ControlCommand& command,
                    Duration limit) override;
  Result<std::unique_ptr<UblkPort>> open(const ublk::DeviceInfo& info,
                                         UblkPort::Owner& owner) override;
  Task<int> write_out(std::uint32_t) override {
    ++write_outs;
    co_return 0;
  }
  Task<int> set_request_timeout(std::uint32_t, std::chrono::milliseconds time) override {
    request_timeout = time;
    co_return 0;
  }
  Result<std::vector<std::uint32_t>> devices() override {
    std::vector<std::uint32_t> numbers;
    for (const auto& [number, device] : devices_) numbers.push_back(number);
    return numbers;
  }

 private:
  void deliver(Device& device);
  void retire(Device& device);
  void let_go(Device& device);
  Task<int> wait_until(Device& device, bool (*is_so)(const Device&), Duration limit);
  int add(const ublk::ControlCommand& command);

  Executor& executor_;
  std::map<std::uint32_t, std::unique_ptr<Device>> devices_;
};

class FakeUblkDriver::Port final : public UblkPort {
 public:
  Port(FakeUblkDriver& driver, Device& device, Owner& owner)
      : driver_(driver), device_(device), owner_(owner) {}
  ~Port() override { check(is_closed_, "a port is closed before it goes"); }

  void fetch(UblkSlot slot, std::byte* buffer) override {
    if (driver_.refuses_fetches) {
      owner_.on_retired(slot, -EINVAL);
      return;
    }
    device_.fetching[index(slot)] = true;
    buffers_[index(slot)] = buffer;
    device_.changed.wake_all();
    driver_.deliver(device_);
  }
  [[nodiscard]] ublk::IoDescriptor request(UblkSlot slot) const override {
    return device_.delivered[index(slot)]->descriptor;
  }
  void commit(UblkSlot slot, std::int32_t result, std::byte* buffer) override {
    Request*& request = device_.delivered[index(slot)];
    check(request != nullptr, "an answer is one to a request");
    if (buffer != nullptr && result > 0 && !request->data.empty() && is_read(*request)) {
      std::memcpy(request->data.data(), buffer, request->data.size());
    }
    request->result = result;
    request->answered.set();
    request = nullptr;
    fetch(slot, buffer);
    if (device_.is_stopping) driver_.retire(device_);
  }
  Result<void> take_data(UblkSlot slot, std::uint32_t offset, MutableBytes out) override {
    if (driver_.copies_fail) return Error(Errc::io, "a fault of the test");
    const auto& data = device_.delivered[index(slot)]->data;
    check(offset + out.size() <= data.size(), "data are copied within the request");
    std::memcpy(out.data(), data.data() + offset, out.size());
    return {};
  }
  Result<void> give_data(UblkSlot slot, std::uint32_t offset, ConstBytes data) override {
    if (driver_.copies_fail) return Error(Errc::io, "a fault of the test");
    auto& out = device_.delivered[index(slot)]->data;
    check(offset + data.size() <= out.size(), "data are copied within the request");
    std::memcpy(out.data() + offset, data.data(), data.size());
    return {};
  }
  Task<void> close() override {
    check(device_.info.state != ublk::kStateLive || device_.is_quiesced,
          "a port is not closed while requests come");
    is_closed_ = true;
    driver_.let_go(device_);
    co_return;
  }
  /// (Until kill_server().)
  Task<void> keep_until_exit() override {
    is_closed_ = true;
    device_.port = nullptr;
    device_.info.server_pid = 0;
    co_return;
  }

  void tell(UblkSlot slot, std::byte* data, std::size_t size) {
    if (std::byte* buffer = buffers_[index(slot)]; buffer != nullptr)
      std::memcpy(buffer, data, size);
    owner_.on_request(slot);
  }
  void retire(UblkSlot slot, int result) { owner_.on_retired(slot, result); }
  [[nodiscard]] static bool is_read(const Request& request) {
    return (request.descriptor.operation_and_flags & ublk::kOperationMask) == ublk::kRead;
  }

 private:
  [[nodiscard]] std::size_t index(UblkSlot slot) const {
    return std::size_t{slot.queue} * device_.info.depth + slot.tag;
  }

  FakeUblkDriver& driver_;
  Device& device_;
  Owner& owner_;
  std::map<std::size_t, std::byte*> buffers_;
  bool is_closed_ = false;
};

inline void FakeUblkDriver::send(std::uint32_t number, Request& request) {
  Device* device = find(number);
  check(device != nullptr && device->info.state != ublk::kStateDead, "a device to send to");
  device->queued.push_back(&request);
  deliver(*device);
}

inline void FakeUblkDriver::deliver(Device& device) {
  if (device.info.state != ublk::kStateLive || device.port == nullptr || device.is_stopping ||
      device.is_quiesced) {
    return;
  }
  for (std::size_t i = 0; i < device.fetching.size() && !device.queued.empty(); ++i) {
    if (!device.fetching[i]) continue;
    Request* request = device.queued.front();
    device.queued.pop_front();
    ++request->deliveries;
    device.fetching[i] = false;
    device.delivered[i] = request;
    const UblkSlot slot{static_cast<std::uint16_t>(i / device.info.depth),
                        static_cast<std::uint16_t>(i % device.info.depth)};
    device.port->tell(slot, request->data.data(), request->data.size());
  }
}

/// No slot that waits for a request will have one.
inline void FakeUblkDriver::retire(Device& device) {
  if (device.port == nullptr) return;
  for (std::size_t i = 0; i < device.fetching.size(); ++i) {
    if (!device.fetching[i]) continue;
    device.fetching[i] = false;
    device.port->retire({static_cast<std::uint16_t>(i / device.info.depth),
                         static_cast<std::uint16_t>(i % device.info.depth)},
                        ublk::kNoMoreRequests);
  }
  device.changed.wake_all();
}

inline void FakeUblkDriver::let_go(Device& device) {
  device.port = nullptr;
  device.info.server_pid = 0;
  std::fill(device.fetching.begin(), device.fetching.end(), false);
  const bool reissues = (device.info.flags & ublk::kUserRecoveryReissue) != 0;
  for (Request*& request : device.delivered) {
    if (request == nullptr) continue;
    if (reissues) {
      device.queued.push_front(request);
    } else {
      request->result = -EIO;
      request->answered.set();
    }
    request = nullptr;
  }
  if (device.info.state == ublk::kStateLive) {
    device.info.state = reissues ? ublk::kStateQuiesced : ublk::kStateDead;
  }
  device.is_quiesced = false;
  device.changed.wake_all();
}

inline void FakeUblkDriver::kill_server(std::uint32_t number) { let_go(*find(number)); }

inline Task<int> FakeUblkDriver::wait_until(Device& device, bool (*is_so)(const Device&),
                                            Duration limit) {
  const TimePoint end = executor_.now() + limit;
  Alarm pause(executor_);
  while (!is_so(device)) {
    if (executor_.now() >= end) co_return -EINTR;
    co_await pause.sleep(std::chrono::milliseconds(1));
  }
  co_return 0;
}

inline int FakeUblkDriver::add(const ublk::ControlCommand& command) {
  ublk::DeviceInfo info;
  auto* at = reinterpret_cast<void*>(static_cast<std::uintptr_t>(command.address));
  std::memcpy(&info, at, sizeof info);
  if (info.device == ublk::kAnyDevice) {
    info.device = 0;
    while (find(info.device) != nullptr) ++info.device;
  }
  if (find(info.device) != nullptr) return -EEXIST;
  info.flags &= features;
  auto device = std::make_unique<Device>(executor_);
  device->info = info;
  device->delivered.resize(std::size_t{info.queues} * info.depth);
  device->fetching.resize(device->delivered.size());
  devices_[info.device] = std::move(device);
  std::memcpy(at, &info, sizeof info);
  return 0;
}

inline Task<int> FakeUblkDriver::control(std::uint32_t operation,
                                         const ublk::ControlCommand& command, Duration limit) {
  commands.push_back(operation);
  co_await executor_.yield();
  if (const auto fails = failures.find(operation); fails != failures.end()) {
    const int result = fails->second;
    failures.erase(fails);
    co_return result;
  }
  auto* data = reinterpret_cast<std::byte*>(static_cast<std::uintptr_t>(command.address));
  if (data != nullptr) data += command.path_length;
  if (operation == ublk::kGetFeatures) {
    std::memcpy(data, &features, sizeof features);
    co_return 0;
  }
  if (operation == ublk::kAddDevice) co_return add(command);
  Device* device = find(command.device);
  if (device == nullptr) co_return -ENODEV;
  const bool needs_path = (device->info.flags & ublk::kUnprivilegedDevice) != 0;
  if (needs_path && command.path_length == 0) co_return -EINVAL;
  constexpr auto kAllFetch = [](const Device& each) {
    return std::count(each.fetching.begin(), each.fetching.end(), false) == 0;
  };
  switch (operation) {
    case ublk::kGetDeviceInfo: std::memcpy(data, &device->info, sizeof device->info); co_return 0;
    case ublk::kSetParameters:
      if (device->info.state != ublk::kStateDead) co_return -EACCES;
      std::memcpy(&device->parameters, data, sizeof device->parameters);
      co_return 0;
    case ublk::kGetParameters:
      std::memcpy(data, &device->parameters, sizeof device->parameters);
      co_return 0;
    case ublk::kStartDevice: {
      const int waited = co_await wait_until(*device, kAllFetch, limit);
      if (waited < 0) co_return waited;
      device->info.state = ublk::kStateLive;
      device->info.server_pid = static_cast<std::int32_t>(command.value);
      co_return 0;
    }
    case ublk::kStopDevice: {
      if (device->info.state == ublk::kStateDead) co_return 0;
      device->is_stopping = true;
      for (Request* request : device->queued) {
        request->result = -EIO;
        request->answered.set();
      }
      device->queued.clear();
      const int waited = co_await wait_until(
          *device,
          [](const Device& each) {
            return std::count(each.delivered.begin(), each.delivered.end(), nullptr) ==
                   static_cast<std::ptrdiff_t>(each.delivered.size());
          },
          limit);
      if (waited < 0) co_return waited;
      device->info.state = ublk::kStateDead;
      retire(*device);
      co_return 0;
    }
    case ublk::kDeleteDevice: {
      const int waited = co_await wait_until(
          *device, [](const Device& each) { return each.port == nullptr; }, limit);
      if (waited < 0) co_return waited;
      devices_.erase(command.device);
      co_return 0;
    }
    case ublk::kStartRecovery:
      co_return device->info.state == ublk::kStateQuiesced && device->port == nullptr ? 0 : -EBUSY;
    case ublk::kEndRecovery: {
      const int waited = co_await wait_until(*device, kAllFetch, limit);
      if (waited < 0) co_return waited;
      device->info.state = ublk::kStateLive;
      device->info.server_pid = static_cast<std::int32_t>(command.value);
      deliver(*device);
      co_return 0;
    }
    case ublk::kUpdateSize: device->parameters.sectors = command.value; co_return 0;
    case ublk::kQuiesceDevice:
      device->is_quiesced = true;
      retire(*device);
      co_return 0;
    default: co_return -EOPNOTSUPP;
  }
}

inline Result<std::unique_ptr<UblkPort>> FakeUblkDriver::open(const ublk::DeviceInfo& info,
                                                              UblkPort::Owner& owner) {
  Device* device = find(info.device);
  if (device == nullptr || opens_to_fail > 0) {
    --opens_to_fail;
    return Error(Errc::not_found, "there is no such device");
  }
  if (device->port != nullptr) return Error(Errc::busy, "another process serves the device");
  auto port = std::make_unique<Port>(*this, *device, owner);
  device->port = port.get();
  return std::unique_ptr<UblkPort>(std::move(port));
}

}  // namespace uvdo::testing
