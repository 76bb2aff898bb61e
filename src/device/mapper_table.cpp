// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/mapper_table.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <sstream>

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "base/file_descriptor.h"

namespace uvdo {
namespace {

/// Of a table that needs more it is not known that it is simple.
constexpr std::size_t kMostBytes = 16384;

struct Answer {
  alignas(dm_ioctl) std::array<char, kMostBytes> bytes{};
  Answer() = default;
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;
  ~Answer() { explicit_bzero(bytes.data(), bytes.size()); }  // a table may have a key in it
};

MapTarget target_at(const dm_target_spec& spec, const char* parameters, std::size_t room) {
  MapTarget target;
  target.start = spec.sector_start;
  target.length = spec.length;
  target.type.assign(spec.target_type, strnlen(spec.target_type, sizeof spec.target_type));
  target.parameters.assign(parameters, strnlen(parameters, room));
  return target;
}

/// Word `index` of the parameters is the number 0.
bool is_zero(const MapTarget& target, unsigned index) {
  std::istringstream words(target.parameters);
  std::string word;
  for (unsigned i = 0; i <= index; ++i) {
    if (!(words >> word)) return false;
  }
  return word == "0";
}

}  // namespace

std::optional<MapTable> ask_map_table(const std::string& control, dev_t device) {
  const FileDescriptor fd(open(control.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) return std::nullopt;
  Answer answer;
  dm_ioctl head{};
  head.version[0] = DM_VERSION_MAJOR;
  head.data_size = kMostBytes;
  head.data_start = sizeof head;
  head.dev = device;
  // The table, not the status; without a flush of the map; and the kernel wipes its copy.
  head.flags = DM_STATUS_TABLE_FLAG | DM_NOFLUSH_FLAG | DM_SECURE_DATA_FLAG;
  std::memcpy(answer.bytes.data(), &head, sizeof head);
  if (ioctl(fd.get(), DM_TABLE_STATUS, answer.bytes.data()) != 0) return std::nullopt;
  std::memcpy(&head, answer.bytes.data(), sizeof head);
  if ((head.flags & DM_BUFFER_FULL_FLAG) != 0) return std::nullopt;
  MapTable table;
  std::size_t at = head.data_start;  // of the target; `next` counts from data_start
  for (std::uint32_t i = 0; i < head.target_count; ++i) {
    dm_target_spec spec{};
    const std::size_t parameters = at + sizeof spec;
    if (parameters >= kMostBytes) return std::nullopt;
    std::memcpy(&spec, answer.bytes.data() + at, sizeof spec);
    table.push_back(target_at(spec, answer.bytes.data() + parameters, kMostBytes - parameters));
    at = std::size_t{head.data_start} + spec.next;
  }
  return table;
}

bool is_whole_device(const MapTable& table, std::uint64_t sectors) {
  if (table.size() != 1 || table[0].start != 0 || table[0].length != sectors) return false;
  const MapTarget& target = table[0];
  if (target.type == "linear") return is_zero(target, 1);  // DEVICE OFFSET
  if (target.type == "crypt") return is_zero(target, 4);   // CIPHER KEY IV_OFFSET DEVICE OFFSET
  return target.type == "multipath";
}

bool is_whole_device(const std::string& map_uuid) {
  return map_uuid.starts_with("mpath-") || map_uuid.starts_with("CRYPT-");
}

}  // namespace uvdo
