// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/mapped_devices.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>

#include "base/file_descriptor.h"
#include "device/mapper_table.h"

namespace uvdo {
namespace {

/// A request's head, and behind it what goes to the kernel and what comes back.
class MapperRequest {
 public:
  explicit MapperRequest(std::size_t size) : bytes_(size) {
    head_.version[0] = DM_VERSION_MAJOR;
    head_.data_size = static_cast<std::uint32_t>(size);
    head_.data_start = sizeof(dm_ioctl);
  }
  dm_ioctl& head() { return head_; }
  void put(std::size_t at, const void* data, std::size_t size) {
    std::memcpy(bytes_.data() + sizeof(dm_ioctl) + at, data, size);
  }
  /// Whether the kernel did it; else errno says why not.
  [[nodiscard]] bool send(int fd, unsigned long request) {
    std::memcpy(bytes_.data(), &head_, sizeof head_);
    const bool is_done = ioctl(fd, request, bytes_.data()) == 0;
    std::memcpy(&head_, bytes_.data(), sizeof head_);
    return is_done;
  }
  [[nodiscard]] bool is_too_small() const { return (head_.flags & DM_BUFFER_FULL_FLAG) != 0; }
  /// What came back.
  [[nodiscard]] std::string_view answer() const {
    const std::size_t start = std::min<std::size_t>(head_.data_start, bytes_.size());
    const std::size_t end = std::clamp<std::size_t>(head_.data_size, start, bytes_.size());
    return {bytes_.data() + start, end - start};
  }

 private:
  dm_ioctl head_{};
  std::vector<char> bytes_;  // from an allocation, so aligned for any type
};

constexpr std::size_t kFirstSize = std::size_t{64} << 10;
constexpr std::size_t kMostSize = std::size_t{16} << 20;

/// Sends what `make` makes in a buffer of a size, in larger ones until the answer fits.
template <class Make>
Result<std::string> ask(int fd, unsigned long request, std::string_view what, Make&& make) {
  for (std::size_t size = kFirstSize; size <= kMostSize; size *= 4) {
    MapperRequest asked = make(size);
    if (!asked.send(fd, request)) return errno_error(errno, what);
    if (!asked.is_too_small()) return std::string(asked.answer());
  }
  return Error(Errc::io, fmt::format("{}: the answer does not end", what));
}

std::vector<MappedDevice> read_names(std::string_view list) {
  constexpr std::size_t kNameAt = offsetof(dm_name_list, name);
  std::vector<MappedDevice> devices;
  for (std::size_t at = 0; at + kNameAt < list.size();) {
    dm_name_list entry{};
    std::memcpy(&entry, list.data() + at, kNameAt);
    // An empty list is one entry of device 0.
    if (entry.dev == 0) break;
    const std::string_view name = list.substr(at + kNameAt);
    devices.push_back({std::string(name.substr(0, name.find('\0'))), entry.dev});
    if (entry.next == 0) break;
    at += entry.next;
  }
  return devices;
}

}  // namespace

Result<std::vector<MappedDevice>> mapped_devices(const std::string& type,
                                                 const std::string& control) {
  const FileDescriptor fd(open(control.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT || errno == ENODEV || errno == ENXIO) return std::vector<MappedDevice>{};
    return errno_error(errno, fmt::format("asking the device-mapper at {}", control));
  }
  auto list = ask(fd.get(), DM_LIST_DEVICES, "listing the device-mapper's devices",
                  [](std::size_t size) { return MapperRequest(size); });
  if (!list) return std::move(list).error();
  std::vector<MappedDevice> devices = read_names(*list);
  std::erase_if(devices, [&](const MappedDevice& each) {
    const auto table = ask_map_table(control, each.device);
    return !table || table->empty() || table->front().type != type;
  });
  return devices;
}

Result<std::string> send_target_message(const MappedDevice& device, const std::string& message,
                                        const std::string& control) {
  const FileDescriptor fd(open(control.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) return errno_error(errno, fmt::format("asking the device-mapper at {}", control));
  auto answer =
      ask(fd.get(), DM_TARGET_MSG, fmt::format("the message \"{}\" to {}", message, device.name),
          [&](std::size_t size) {
            MapperRequest request(size);
            request.head().dev = device.device;
            dm_target_msg head{};  // to the target at sector 0
            request.put(0, &head, sizeof head);
            request.put(sizeof head, message.c_str(), message.size() + 1);
            return request;
          });
  if (!answer) return answer;
  answer->resize(std::min(answer->find('\0'), answer->size()));
  return answer;
}

}  // namespace uvdo
