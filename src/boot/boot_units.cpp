// SPDX-License-Identifier: GPL-2.0-or-later
#include "boot/boot_units.h"

#include <optional>

#include <fmt/core.h>

#include "base/store_name.h"
#include "boot/unit_name.h"
#include "format/uuid.h"

namespace uvdo {
namespace {

constexpr std::string_view kDevices = "/dev/";
/// How long a mount waits for the device; in systemd's 90 seconds a large volume may not be
/// recovered from a power cut. "x-systemd.device-timeout=" in fstab counts instead: its file is
/// read later.
constexpr std::string_view kDeviceTimeout = "[Unit]\nJobRunningTimeoutSec=5min\n";
constexpr std::string_view kMapped = "/dev/mapper/";

/// For a value in a unit's file, where "%" begins a specifier.
std::string without_specifiers(std::string_view text) {
  std::string safe;
  for (const char c : text) safe += c == '%' ? "%%" : std::string(1, c);
  return safe;
}

/// The same between quotation marks.
std::string quoted(std::string_view text) {
  std::string safe = "\"";
  for (const char c : without_specifiers(text)) {
    if (c == '"' || c == '\\') safe += '\\';
    safe += c;
  }
  return safe + "\"";
}

bool is_on_device(const NamedVolume& volume) { return volume.storage.starts_with(kDevices); }

/// The unit of the disk: by the UUID, which it has wherever it is plugged in. Mapped devices may be
/// hidden from the search for UUIDs, as the parts of LVM's pools are, and have names that stay.
std::string disk_unit_of(const NamedVolume& volume) {
  const std::string path = volume.storage.starts_with(kMapped)
                               ? volume.storage
                               : "/dev/disk/by-uuid/" + to_text(volume.uuid);
  return unit_word_of_path(path) + ".device";
}

/// What stands behind ",name=" in a text of --attach.
std::optional<std::string> name_in(std::string_view attach) {
  constexpr std::string_view kName = ",name=";
  const std::size_t at = attach.find(kName);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = attach.substr(at + kName.size());
  return std::string(rest.substr(0, rest.find(',')));
}

/// The paths of the volume's block devices, as far as they are known before they are there.
std::vector<std::string> device_paths_of(const NamedVolume& volume) {
  std::vector<std::string> paths;
  // Beside the first one, those without a name of their own are called as their server likes.
  std::optional<std::string> usual = volume.serve.text("device-name").value_or(volume.name);
  for (const std::string& attach : volume.serve.list("attach")) {
    const auto own = name_in(attach);
    const auto name = own ? own : usual;
    if (name) paths.push_back("/dev/uvdo/" + *name);
    usual.reset();
  }
  const auto mapped = volume.serve.text("mapper-name");
  if (mapped && !paths.empty()) paths.push_back("/dev/mapper/" + *mapped);
  return paths;
}

std::string needs_of(const NamedVolume& volume) {
  if (!is_path(volume.storage)) {
    return "Wants=network-online.target\nAfter=network-online.target\n";
  }
  if (!is_on_device(volume)) {
    return fmt::format("RequiresMountsFor={}\n", quoted(volume.storage));
  }
  // The map of a pool of LVM is made by its server, of disks that udev has told LVM of by then.
  if (!volume.lvm_pool.empty()) {
    return "Wants=systemd-udev-settle.service\n"
           "After=systemd-udev-settle.service lvm2-monitor.service\n";
  }
  const std::string disk = disk_unit_of(volume);
  return fmt::format("Requires={0}\nAfter={0}\n", disk);
}

/// The drivers that devices of the volume need, beside that of ublk, which the unit itself wants.
std::string drivers_of(const NamedVolume& volume) {
  std::string text;
  for (const std::string& wanted : volume.serve.list("attach")) {
    const std::string kind = wanted.substr(0, wanted.find(','));
    if (kind == "nbd") text += "Wants=modprobe@nbd.service\n";
    // Where there is no ublk any kernel has these.
    if (kind == "fuse" || kind == "auto") {
      text += "Wants=modprobe@fuse.service modprobe@loop.service\n";
    }
  }
  return text;
}

std::string head_of(const std::string& source) {
  return fmt::format("# Written by uvdo-generator.\n[Unit]\nSourcePath={}\n",
                     without_specifiers(source));
}

/// Of a unit whose instance is not the name, as it is escaped.
std::string start_of(const NamedVolume& volume, const std::string& program,
                     std::string_view options) {
  return fmt::format("ExecStart=\nExecStart={} serve {}{}\n", without_specifiers(program),
                     volume.name, options);
}

UnitFile service_file(const NamedVolume& volume, const std::string& source,
                      const std::string& program) {
  const std::string unit = service_unit_of(volume.name);
  std::string text = head_of(source) + needs_of(volume) + drivers_of(volume);
  // Mount units are ordered behind this target of their device by themselves.
  for (const std::string& path : device_paths_of(volume)) {
    text += fmt::format("Wants=blockdev@{0}.target\nBefore=blockdev@{0}.target\n",
                        unit_word_of_path(path));
  }
  if (unit != fmt::format("uvdo@{}.service", volume.name)) {
    text += "\n[Service]\n" + start_of(volume, program, "");
  }
  return {unit + ".d/50-volume.conf", std::move(text)};
}

UnitFile nbd_service_file(const NamedVolume& volume, const std::string& source,
                          const std::string& program) {
  const std::string unit = nbd_service_unit_of(volume.name);
  std::string text = head_of(source) + needs_of(volume) + "\n[Service]\n";
  const std::size_t slash = volume.storage.rfind('/');
  if (is_path(volume.storage) && slash != std::string::npos && slash > 0) {
    text += fmt::format("ReadWritePaths={}\n", quoted("-" + volume.storage.substr(0, slash)));
  }
  if (unit != fmt::format("uvdo-nbd@{}.service", volume.name)) {
    text += start_of(volume, program, " --user uvdo");
  }
  return {unit + ".d/50-volume.conf", std::move(text)};
}

}  // namespace

Result<BootUnits> boot_units_of(const NamedVolume& volume, const std::string& source,
                                const std::string& program) {
  // A line feed would begin a directive of its own.
  for (const std::string& path : {volume.storage, source, program}) {
    if (auto right = check_storage_path(path); !right) return std::move(right).error();
  }
  BootUnits units;
  units.files.push_back(service_file(volume, source, program));
  if (!is_on_device(volume)) units.files.push_back(nbd_service_file(volume, source, program));
  for (const std::string& path : device_paths_of(volume)) {
    units.files.push_back({fmt::format("{}.device.d/40-uvdo.conf", unit_word_of_path(path)),
                           std::string(kDeviceTimeout)});
  }
  if (!volume.is_activated) return units;
  const std::string service = service_unit_of(volume.name);
  const auto add_link = [&](const std::string& unit) {
    units.links.push_back({fmt::format("{}.wants/{}", unit, service), "../uvdo@.service"});
  };
  add_link("uvdo.target");
  if (is_on_device(volume)) add_link(fmt::format("uvdo-disk@{}.target", to_text(volume.uuid)));
  for (const std::string& path : device_paths_of(volume)) {
    add_link(unit_word_of_path(path) + ".device");
  }
  return units;
}

}  // namespace uvdo
