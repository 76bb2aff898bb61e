// SPDX-License-Identifier: GPL-2.0-or-later
#include "boot/generator.h"

#include <cerrno>
#include <filesystem>
#include <fstream>

#include <fmt/core.h>

#include "base/print.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

Result<void> make_folder_for(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (!error) return {};
  return Error(Errc::io,
               fmt::format("making {}: {}", path.parent_path().string(), error.message()));
}

Result<void> write_file(const fs::path& path, const std::string& text) {
  if (auto made = make_folder_for(path); !made) return made;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (file.fail()) return Error(Errc::io, fmt::format("{} cannot be written", path.string()));
  return {};
}

Result<void> make_link(const fs::path& path, const std::string& target) {
  if (auto made = make_folder_for(path); !made) return made;
  std::error_code error;
  fs::create_symlink(target, path, error);
  if (!error || error == std::errc::file_exists) return {};
  return Error(Errc::io, fmt::format("making {}: {}", path.string(), error.message()));
}

}  // namespace

Result<void> write_boot_units(const BootUnits& units, const std::string& folder) {
  for (const UnitFile& file : units.files) {
    if (auto written = write_file(fs::path(folder) / file.path, file.text); !written) {
      return written;
    }
  }
  for (const UnitLink& link : units.links) {
    if (auto made = make_link(fs::path(folder) / link.path, link.target); !made) return made;
  }
  return {};
}

Result<void> generate_units(const Registry& registry, const std::string& program,
                            const std::string& folder) {
  NamedVolumes all = registry.all();
  Result<void> done;
  for (Error& error : all.unreadable) {
    if (done) done = std::move(error);
  }
  for (const NamedVolume& volume : all.volumes) {
    auto units = boot_units_of(volume, registry.path_of(volume.name), program);
    auto written = units ? write_boot_units(*units, folder) : std::move(units).error();
    if (done && !written) done = std::move(written);
  }
  return done;
}

int run_generator(int argc, char** argv) {
  constexpr int kUsage = 2;
  if (argc < 2) {
    print_error("Usage: uvdo-generator FOLDER\nsystemd runs it; see systemd.generator(7).\n");
    return kUsage;
  }
  // The link that systemd runs is beside its own programs; units name what it leads to.
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  auto done = generate_units(Registry::of_environment(), error ? "/usr/bin/uvdo" : program.string(),
                             argv[1]);
  if (done) return 0;
  print_error("uvdo-generator: {}\n", done.error().message());
  return 1;
}

}  // namespace uvdo
