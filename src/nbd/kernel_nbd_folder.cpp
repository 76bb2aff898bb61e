// SPDX-License-Identifier: GPL-2.0-or-later
#include "nbd/kernel_nbd_folder.h"

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <thread>

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include "base/file_descriptor.h"
#include "base/first_line.h"
#include "nbd/kernel_client.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kSector = 512;  // the unit of /sys, whatever the device's blocks are
constexpr auto kPause = std::chrono::milliseconds(10);

bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

}  // namespace

std::string KernelNbdFolder::path(std::uint32_t index) const {
  return fmt::format("{}/nbd{}", devices_, index);
}

std::string KernelNbdFolder::folder(std::uint32_t index) const {
  return fmt::format("{}/nbd{}", system_, index);
}

std::optional<std::uint32_t> KernelNbdFolder::find(const std::string& identifier) const {
  std::error_code failed;
  for (std::filesystem::directory_iterator at(system_, failed), end; !failed && at != end;
       at.increment(failed)) {
    const auto index = parse_kernel_nbd_name(at->path().filename().string());
    if (index && first_line(folder(*index) + "/backend") == identifier) return *index;
  }
  return std::nullopt;
}

std::uint64_t KernelNbdFolder::size_of(std::uint32_t index) const {
  const std::string text = first_line(folder(index) + "/size");
  std::uint64_t sectors = 0;
  std::from_chars(text.data(), text.data() + text.size(), sectors);
  return sectors * kSector;
}

Result<void> KernelNbdFolder::set_resend_interval(std::uint32_t index,
                                                  std::chrono::milliseconds interval) const {
  const std::string name = folder(index) + "/queue/io_timeout";
  const std::string text = std::to_string(interval.count());
  // To write it the kernel waits for all requests, also for those that wait for a new server.
  if (first_line(name) == text) return {};
  const FileDescriptor file(open(name.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  if (!file) return errno_error(errno, fmt::format("opening {}", name));
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return errno_error(errno, fmt::format("writing {} to {}", text, name));
  }
  return {};
}

Result<void> KernelNbdFolder::settle(std::uint32_t index, std::chrono::milliseconds most) const {
  const auto end = std::chrono::steady_clock::now() + most;
  const auto wait_while = [&](auto&& is_so) {
    while (is_so() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(kPause);
  };
  wait_while([&] { return !exists(path(index)); });
  // It is there as long as udev has events to handle: that of this device, whose links it makes.
  wait_while([&] { return exists(udev_ + "/queue"); });
  if (exists(path(index))) return {};
  return Error(Errc::not_found,
               fmt::format("the kernel has made the device nbd{0}, but {1} is not there: where "
                           "nothing makes device nodes, mknod makes it from the numbers in "
                           "{2}/dev",
                           index, path(index), folder(index)));
}

}  // namespace uvdo
