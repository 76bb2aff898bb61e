// SPDX-License-Identifier: GPL-2.0-or-later
// A folder that looks like /sys and /dev of a machine with block devices of all kinds, for tests.
// The files beneath loop devices are real; the devices have no nodes.
#pragma once

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/stat.h>

#include "device/storage_map.h"

namespace uvdo::testing {

class MadeUpMachine {
 public:
  MadeUpMachine() {
    std::string name = std::filesystem::temp_directory_path() / "uvdo-machine.XXXXXX";
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder for a test");
    folder_ = std::filesystem::canonical(name);
    std::filesystem::create_directories(sys() / "dev/block");
    std::filesystem::create_directories(sys() / "block");
    std::filesystem::create_directories(folder_ / "dev");
  }
  MadeUpMachine(const MadeUpMachine&) = delete;
  MadeUpMachine& operator=(const MadeUpMachine&) = delete;
  ~MadeUpMachine() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  [[nodiscard]] StorageMap map() const { return StorageMap(sys(), folder_ / "dev"); }
  /// Of a machine that tells the tables of maps.
  [[nodiscard]] StorageMap map_with(StorageMap::TableOf table_of) const {
    return StorageMap(sys(), folder_ / "dev", std::move(table_of));
  }
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }

  /// A file of a few bytes; its path.
  std::string make_file(const std::string& name) {
    write(folder_ / name, "what a volume holds");
    return folder_ / name;
  }
  [[nodiscard]] StorageId id_of(const std::string& name) const {
    struct stat status {};
    if (stat(path(name).c_str(), &status) != 0) throw std::runtime_error("no such file");
    return *StorageId::of(status);
  }

  void add_device(const std::string& name, const std::string& number) {
    add(sys() / "block" / name, number);
  }
  void add_loop(const std::string& name, const std::string& number, const std::string& file,
                std::uint64_t offset = 0, std::uint64_t limit = 0) {
    add_device(name, number);
    const auto loop = sys() / "block" / name / "loop";
    std::filesystem::create_directories(loop);
    write(loop / "backing_file", file);
    write(loop / "offset", std::to_string(offset));
    write(loop / "sizelimit", std::to_string(limit));
  }
  /// Start and size in sectors of 512 bytes, as all sizes of /sys.
  void add_partition(const std::string& disk, const std::string& name, const std::string& number,
                     std::uint64_t start, std::uint64_t size) {
    const auto folder = sys() / "block" / disk / name;
    add(folder, number);
    write(folder / "partition", "1");
    write(folder / "start", std::to_string(start));
    write(folder / "size", std::to_string(size));
  }
  void set_size(const std::string& name, std::uint64_t sectors) {
    write(sys() / "block" / name / "size", std::to_string(sectors));
  }
  void add_slave(const std::string& name, const std::string& slave) {
    const auto above = sys() / "block" / name;
    const auto below = sys() / "block" / slave;
    std::filesystem::create_directory_symlink(below, above / "slaves" / slave);
    std::filesystem::create_directory_symlink(above, below / "holders" / name);
  }
  void add_map(const std::string& name, const std::string& number, std::uint64_t sectors,
               const std::vector<std::string>& slaves) {
    add_device(name, number);
    set_size(name, sectors);
    set_map_uuid(name, "");
    for (const std::string& slave : slaves) add_slave(name, slave);
  }
  /// What whoever made the map calls it.
  void set_map_uuid(const std::string& name, const std::string& uuid) {
    const auto dm = sys() / "block" / name / "dm";
    std::filesystem::create_directories(dm);
    write(dm / "uuid", uuid);
  }

 private:
  [[nodiscard]] std::filesystem::path sys() const { return folder_ / "sys"; }
  static void write(const std::filesystem::path& file, const std::string& text) {
    std::ofstream(file) << text << '\n';
  }
  void add(const std::filesystem::path& folder, const std::string& number) {
    std::filesystem::create_directories(folder / "slaves");
    std::filesystem::create_directories(folder / "holders");
    write(folder / "dev", number);
    std::filesystem::create_directory_symlink(folder, sys() / "dev/block" / number);
  }

  std::filesystem::path folder_;
};

}  // namespace uvdo::testing
