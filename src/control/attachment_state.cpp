// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/attachment_state.h"

#include <cerrno>
#include <cstdio>

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include "base/file_checks.h"

namespace uvdo {
namespace {

constexpr std::size_t kMostBytes = 1U << 20U;

struct State {
  std::string volume;  // UUID
  std::vector<AttachedDevice> devices;
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.required("volume", self.volume);
    v.required("devices", self.devices);
  }
};

}  // namespace

Result<std::vector<AttachedDevice>> AttachmentState::load() const {
  if (path_.empty() || access(path_.c_str(), F_OK) != 0) return std::vector<AttachedDevice>();
  std::string volume_id;
  auto devices = load_any(path_, volume_id);
  if (devices && volume_id != volume_id_) return std::vector<AttachedDevice>();
  return devices;
}

Result<std::vector<AttachedDevice>> AttachmentState::load_any(const std::string& path,
                                                              std::string& volume_id) {
  auto text = read_small_file(path, kMostBytes);
  if (!text) return std::move(text).error();
  const auto json = parse_json(*text);
  State state;
  if (!json || read_fields(*json, state)) {
    return Error(Errc::corrupt, fmt::format("{} is no list of devices", path));
  }
  volume_id = std::move(state.volume);
  return std::move(state.devices);
}

Result<void> AttachmentState::save(const std::vector<AttachedDevice>& devices) const {
  if (path_.empty()) return {};
  if (devices.empty()) {
    // In a folder that is closed to this user load() finds nothing either.
    if (access(path_.c_str(), F_OK) != 0) return {};
    if (unlink(path_.c_str()) == 0 || errno == ENOENT) return {};
    return errno_error(errno, fmt::format("removing {}", path_));
  }
  const std::string text = json_text(fields_json(State{volume_id_, devices})) + "\n";
  const std::string draft = path_ + ".new";
  const FileDescriptor file(open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) return errno_error(errno, fmt::format("making {}", draft));
  const ssize_t written = write(file.get(), text.data(), text.size());
  if (written != static_cast<ssize_t>(text.size())) {
    return errno_error(written < 0 ? errno : ENOSPC, fmt::format("writing {}", draft));
  }
  if (rename(draft.c_str(), path_.c_str()) != 0) {
    return errno_error(errno, fmt::format("replacing {}", path_));
  }
  return {};
}

}  // namespace uvdo
