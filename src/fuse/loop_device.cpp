// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/loop_device.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_descriptor.h"

namespace uvdo {
namespace {

constexpr const char* kControl = "/dev/loop-control";
constexpr std::uint64_t kSector = 512;
/// Others may take the device that was free a moment ago.
constexpr int kAttempts = 100;
constexpr std::chrono::milliseconds kPause(10);
/// Who looks at every new device (udev) has it open for a moment.
constexpr int kLooks = 50;

std::string path_of(int number) { return fmt::format("/dev/loop{}", number); }

/// The one line of an attribute in /sys; nothing if it is not there.
std::optional<std::string> attribute(int number, const char* name) {
  std::ifstream file(fmt::format("/sys/block/loop{}/{}", number, name));
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::uint64_t number_in(const std::optional<std::string>& text) {
  std::uint64_t number = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), number);
  return number;
}

std::optional<std::string> file_of(int number) { return attribute(number, "loop/backing_file"); }

FileDescriptor open_device(int number, int flags) {
  return FileDescriptor(open(path_of(number).c_str(), flags | O_CLOEXEC));
}

Error cannot_open_control(int error) {
  switch (error) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
      return {Errc::not_found,
              fmt::format("there are no loop devices ({}): load the kernel module (modprobe loop), "
                          "or give the container those devices",
                          kControl)};
    case EACCES:
    case EPERM:
      return {
          Errc::unsupported,
          fmt::format("loop devices may not be made by this user ({}): run it as root", kControl)};
    default: return errno_error(error, fmt::format("opening {}", kControl));
  }
}

/// Puts device `number` on the file.
Result<void> configure(const FileDescriptor& device, int file,
                       const LoopDevice::Settings& settings) {
  loop_config config{};
  config.fd = static_cast<std::uint32_t>(file);
  config.block_size = settings.block_size;
  config.info.lo_flags = LO_FLAGS_DIRECT_IO;
  if (settings.read_only) config.info.lo_flags |= LO_FLAGS_READ_ONLY;
  // What losetup shows where it cannot look into /sys; as much as there is room for.
  const std::size_t length = std::min(settings.file.size(), std::size_t{LO_NAME_SIZE - 1});
  std::memcpy(&config.info.lo_file_name[0], settings.file.data(), length);
  if (ioctl(device.get(), LOOP_CONFIGURE, &config) == 0) return {};
  return errno_error(errno, fmt::format("a loop device on {}", settings.file));
}

}  // namespace

Result<LoopDevice> LoopDevice::attach(const Settings& settings) {
  const int mode = settings.read_only ? O_RDONLY : O_RDWR;
  const FileDescriptor file(open(settings.file.c_str(), mode | O_CLOEXEC));
  if (!file) return errno_error(errno, fmt::format("opening {}", settings.file));
  const FileDescriptor control(open(kControl, O_RDWR | O_CLOEXEC));
  if (!control) return cannot_open_control(errno);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return errno_error(errno, "asking for a free loop device");
    const FileDescriptor device = open_device(number, mode);
    if (!device) {
      const int error = errno;
      // The name may come a moment after the device.
      if (error != ENOENT && error != ENXIO && error != EBUSY) {
        return errno_error(error, fmt::format("opening {}", path_of(number)));
      }
      std::this_thread::sleep_for(kPause);
      continue;
    }
    auto configured = configure(device, file.get(), settings);
    if (!configured) {
      if (configured.error().code() != Errc::busy) return std::move(configured).error();
      continue;
    }
    const LoopDevice made(number, file_of(number).value_or(settings.file));
    if (made.is_past_page_cache()) return made;
    // Through the page cache what was flushed would lie in memory twice, and writing it back
    // could wait for the memory of the one who serves the file.
    static_cast<void>(ioctl(device.get(), LOOP_CLR_FD));
    return Error(Errc::unsupported,
                 fmt::format("the kernel refuses a loop device on {} that passes the page cache",
                             settings.file));
  }
  return Error(Errc::busy,
               "no loop device is free for long enough, or /dev lacks those that the "
               "kernel has: see losetup -a and ls /dev/loop*");
}

std::vector<LoopDevice> LoopDevice::find(const std::string& file) {
  constexpr std::string_view kPrefix = "loop";
  std::vector<LoopDevice> found;
  std::error_code error;
  for (auto at = std::filesystem::directory_iterator("/sys/block", error);
       !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
    const std::string name = at->path().filename();
    if (!name.starts_with(kPrefix)) continue;
    int number = 0;
    const char* const end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + kPrefix.size(), end, number);
    if (parsed.ec != std::errc() || parsed.ptr != end) continue;
    if (file_of(number) == file) found.push_back(LoopDevice(number, file));
  }
  return found;
}

std::string LoopDevice::path() const { return path_of(number_); }

std::uint64_t LoopDevice::largest_discard() const {
  return number_in(attribute(number_, "queue/discard_max_bytes"));
}

std::uint64_t LoopDevice::size() const { return number_in(attribute(number_, "size")) * kSector; }

bool LoopDevice::is_past_page_cache() const { return attribute(number_, "loop/dio") == "1"; }

bool LoopDevice::is_attached() const { return file_of(number_) == file_; }

Result<void> LoopDevice::update_size() const {
  const FileDescriptor device = open_device(number_, O_RDONLY);
  if (!device) return errno_error(errno, fmt::format("opening {}", path()));
  if (!is_attached()) {
    return Error(Errc::not_found, fmt::format("{} is no longer on {}", path(), file_));
  }
  // Who has the file open sees its size as it was last asked for.
  struct stat now {};
  if (stat(file_.c_str(), &now) != 0)
    return errno_error(errno, fmt::format("looking at {}", file_));
  if (ioctl(device.get(), LOOP_SET_CAPACITY) == 0) return {};
  return errno_error(errno, fmt::format("making {} as large as its file", path()));
}

Result<LoopDevice::Detached> LoopDevice::detach(InUse in_use) const {
  const bool refuses = in_use == InUse::refuse;
  const Error busy(Errc::busy,
                   fmt::format("{} is in use: unmount what is on it, and close it, first", path()));
  {
    // Where it is mounted, or part of another device, nobody else gets it exclusively.
    const FileDescriptor device = open_device(number_, O_RDONLY | (refuses ? O_EXCL : 0));
    if (!device && errno == EBUSY) return busy.clone();
    if (!device && (errno == ENXIO || errno == ENOENT)) return Detached::now;
    if (!device) return errno_error(errno, fmt::format("opening {}", path()));
    if (!is_attached()) return Detached::now;
    if (ioctl(device.get(), LOOP_CLR_FD) != 0 && errno != ENXIO) {
      return errno_error(errno, fmt::format("detaching {}", path()));
    }
  }
  // It goes with the last who has it open.
  for (int look = 0; look < kLooks; ++look) {
    if (!is_attached()) return Detached::now;
    std::this_thread::sleep_for(kPause);
  }
  if (!refuses) return Detached::later;
  if (auto kept = keep_attached(); !kept) return std::move(kept).error();
  return is_attached() ? Result<Detached>(busy.clone()) : Result<Detached>(Detached::now);
}

/// Takes back that it goes with its last user.
Result<void> LoopDevice::keep_attached() const {
  const FileDescriptor device = open_device(number_, O_RDWR);
  if (!device || !is_attached()) return {};
  loop_info64 info{};
  if (ioctl(device.get(), LOOP_GET_STATUS64, &info) != 0) {
    return errno_error(errno, fmt::format("asking for the state of {}", path()));
  }
  info.lo_flags &= ~std::uint32_t{LO_FLAGS_AUTOCLEAR};
  if (ioctl(device.get(), LOOP_SET_STATUS64, &info) == 0) return {};
  return errno_error(errno, fmt::format("keeping {} attached", path()));
}

}  // namespace uvdo
