// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/last_users.h"

#include <fmt/format.h>
#include <unistd.h>

#include "async/alarm.h"
#include "async/blocking_call.h"
#include "base/child_program.h"
#include "device/device_users.h"

namespace uvdo {

bool machine_is_going_down() {
  if (access("/run/systemd/system", F_OK) != 0) return false;
  const auto answer =
      run_program_for_output({"timeout", "--signal=KILL", "10", "systemctl", "is-system-running"});
  return answer && answer->text == "stopping\n";
}

LastUsers::Settings LastUsers::of_this_machine() {
  Settings settings;
  settings.users_of = [](const std::string& device) {
    const auto id = StorageId::at(device);
    return id ? DeviceUsers().last_of(*id) : std::vector<std::string>();
  };
  return settings;
}

Task<bool> LastUsers::is_going_down() const {
  const auto ask = [this]() -> Result<bool> { return settings_.is_going_down(); };
  const auto answer = co_await call_blocking(loop_, Descriptors::own, ask);
  co_return answer.ok() && *answer;
}

Task<std::vector<std::string>> LastUsers::users_of(std::vector<std::string> devices) const {
  const auto look = [this, &devices]() -> Result<std::vector<std::string>> {
    std::vector<std::string> all;
    for (const std::string& device : devices) {
      for (const std::string& user : settings_.users_of(device)) {
        all.push_back(fmt::format("{} is {}", device, user));
      }
    }
    return all;
  };
  auto found = co_await call_blocking(loop_, Descriptors::own, look);
  if (found) co_return std::move(*found);
  // Without a thread to look in nobody can be waited for.
  co_return std::vector<std::string>();
}

Task<void> LastUsers::wait(std::function<std::vector<std::string>()> devices) const {
  if (devices().empty()) co_return;
  const bool goes_down = co_await is_going_down();
  if (!goes_down) co_return;
  Alarm alarm(loop_);
  const TimePoint end = loop_.now() + settings_.patience;
  for (bool is_said = false;; is_said = true) {
    auto looking = users_of(devices());
    const auto users = co_await std::move(looking);
    if (users.empty()) co_return;
    if (loop_.now() >= end) {
      log_({LogLevel::error,
            fmt::format("the machine goes down, but {}: the server ends nevertheless",
                        fmt::join(users, ", "))});
      co_return;
    }
    if (!is_said) {
      log_({LogLevel::notice, fmt::format("the machine goes down: the server goes on as long as {}",
                                          fmt::join(users, ", "))});
    }
    co_await alarm.sleep(settings_.pause);
  }
}

}  // namespace uvdo
