// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/udev_names.h"

#include <filesystem>
#include <fstream>

#include <fmt/core.h>

namespace uvdo {
namespace {

namespace fs = std::filesystem;

fs::path file_of(const std::string& folder, const std::string& device) {
  return fs::path(folder) / fs::path(device).filename();
}

/// Has the kernel send an event of the device. One that is gone needs none.
void trigger(const std::string& device) {
  std::ofstream event(fs::path("/sys/class/block") / fs::path(device).filename() / "uevent");
  event << "change";
}

}  // namespace

Result<void> UdevNames::tell(const std::string& device, const std::string& name,
                             const std::string& mapper_name) const {
  if (folder_.empty()) return {};
  std::error_code error;
  fs::create_directories(folder_, error);
  const fs::path file = file_of(folder_, device);
  const fs::path draft = file.string() + ".new";
  {
    std::ofstream out(draft, std::ios::trunc);
    out << "UVDO_NAME=" << name << "\n";
    if (!mapper_name.empty()) out << "UVDO_MAPPER_NAME=" << mapper_name << "\n";
    out.close();
    if (out.fail()) return Error(Errc::io, fmt::format("{} cannot be written", draft.string()));
  }
  // udev may read it at any moment.
  fs::rename(draft, file, error);
  if (error) return Error(Errc::io, fmt::format("{}: {}", file.string(), error.message()));
  trigger(device);
  return {};
}

void UdevNames::forget(const std::string& device) const {
  if (folder_.empty()) return;
  std::error_code error;
  if (fs::remove(file_of(folder_, device), error)) trigger(device);
}

}  // namespace uvdo
