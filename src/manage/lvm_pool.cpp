// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/lvm_pool.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include <fmt/core.h>
#include <unistd.h>

#include "base/file_checks.h"
#include "manage/child_program.h"

namespace uvdo {
namespace {

/// Of a group's description: those of large groups have some hundred KiB.
constexpr std::size_t kMostBytes = 64U << 20U;

struct PoolName {
  std::string group;
  std::string name;
};

PoolName parted(const std::string& pool) {
  const std::size_t slash = pool.find('/');
  return {pool.substr(0, slash), pool.substr(slash + 1)};
}

/// What device-mapper calls a logical volume: hyphens in names are doubled.
std::string mapper_name(const std::string& group, const std::string& volume) {
  const auto doubled = [](const std::string& name) {
    std::string text;
    for (const char c : name) text += c == '-' ? std::string("--") : std::string(1, c);
    return text;
  };
  return doubled(group) + "-" + doubled(volume);
}

std::string map_of(const std::string& pool) {
  const PoolName name = parted(pool);
  return "uvdo-" + mapper_name(name.group, name.name);
}

bool is_mapped(const std::string& pool) { return access(lvm_pool_path(pool).c_str(), F_OK) == 0; }

/// Runs a program of LVM or device-mapper; its output. Errors are its own sentences, as `code`.
Result<std::string> run_tool(const std::vector<std::string>& words, Errc code = Errc::io) {
  auto output = run_program_for_output(words);
  if (!output) {
    return Error(Errc::unsupported, fmt::format("{} (LVM's programs are needed for its pools)",
                                                output.error().message()));
  }
  if (output->ended.status == 0) return std::move(output->text);
  // Its lines become one sentence.
  std::string text = std::move(output->ended.error_text);
  std::ranges::replace(text, '\n', ';');
  text.erase(0, std::min(text.find_first_not_of(' '), text.size()));
  return Error(code, fmt::format("{} {}: {}", words[0], words[1], text));
}

/// The lines of a table, for the map that uvdo writes by.
Result<std::vector<std::string>> table_of(const std::string& map) {
  auto text = run_tool({"dmsetup", "table", map});
  if (!text) return std::move(text).error();
  std::vector<std::string> lines;
  std::istringstream all(*text);
  for (std::string line; std::getline(all, line);) {
    std::istringstream words(line);
    std::string start;
    std::string length;
    std::string type;
    words >> start >> length >> type;
    // Others have memory of their own, which two maps must not both have.
    if (type != "linear" && type != "striped") {
      return Error(Errc::unsupported,
                   fmt::format("{} is of the type \"{}\" of device-mapper, which uvdo cannot map a "
                               "second time; export its logical volumes while LVM has them",
                               map, type));
    }
    lines.push_back(line);
  }
  if (lines.empty()) return Error(Errc::io, fmt::format("{} has no table", map));
  return lines;
}

Result<void> deactivate(const LvmPool& pool) {
  for (const LvmLogicalVolume& volume : pool.volumes) {
    auto done = run_tool({"lvm", "lvchange", "-an", pool.group + "/" + volume.name}, Errc::busy);
    if (!done) return std::move(done).error();
  }
  // A pool can be active without any of them.
  auto done = run_tool({"lvm", "lvchange", "-an", pool.group + "/" + pool.name}, Errc::busy);
  return done ? Result<void>() : std::move(done).error();
}

Result<void> map_data(const std::string& pool, const LvmPool& known) {
  auto lines = table_of(mapper_name(known.group, known.data));
  if (!lines) return std::move(lines).error();
  std::string concise = map_of(pool) + ",,,rw";
  for (const std::string& line : *lines) concise += "," + line;
  auto done = run_tool({"dmsetup", "create", "--concise", concise});
  return done ? Result<void>() : std::move(done).error();
}

}  // namespace

Result<LvmPool> read_lvm_pool(const std::string& pool) {
  const PoolName name = parted(pool);
  // LVM replaces the file that it is given: it gets one of its own.
  std::string folder = "/tmp/uvdo-lvm.XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) return errno_error(errno, "making " + folder);
  const std::string file = folder + "/group";
  auto done = run_tool({"lvm", "vgcfgbackup", "-f", file, name.group}, Errc::not_found);
  auto text = done ? read_small_file(file, kMostBytes) : std::move(done).error();
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  if (!text) return std::move(text).error();
  return parse_lvm_pool(*text, name.name);
}

bool is_lvm_pool_name(const std::string& text) {
  const std::size_t slash = text.find('/');
  if (slash == 0 || slash == std::string::npos || slash + 1 == text.size()) return false;
  if (text.find('/', slash + 1) != std::string::npos || text.starts_with('.')) return false;
  return access(text.c_str(), F_OK) != 0;
}

std::string lvm_pool_path(const std::string& pool) { return "/dev/mapper/" + map_of(pool); }

Result<void> take_lvm_pool(const std::string& pool) {
  if (is_mapped(pool)) return {};
  auto known = read_lvm_pool(pool);
  if (!known) return std::move(known).error();
  if (auto done = deactivate(*known); !done) return done;
  // From here on LVM leaves the pool alone.
  const std::string data = known->group + "/" + known->data;
  auto held = run_tool({"lvm", "lvchange", "-ay", "-y", data}, Errc::busy);
  if (!held) return std::move(held).error();
  auto mapped = map_data(pool, *known);
  if (mapped) return {};
  auto released = run_tool({"lvm", "lvchange", "-an", data});
  if (!released) return released.error().within(mapped.error().message());
  return mapped;
}

Result<void> release_lvm_pool(const std::string& pool) {
  if (!is_mapped(pool)) return {};
  auto removed = run_tool({"dmsetup", "remove", "--retry", map_of(pool)}, Errc::busy);
  if (!removed) return std::move(removed).error();
  auto known = read_lvm_pool(pool);
  if (!known) return std::move(known).error();
  auto done = run_tool({"lvm", "lvchange", "-an", known->group + "/" + known->data});
  return done ? Result<void>() : std::move(done).error();
}

std::vector<std::string> attach_settings(const LvmPool& pool) {
  std::vector<std::string> devices;
  for (const LvmLogicalVolume& volume : pool.volumes) {
    for (std::size_t i = 0; i < volume.runs.size(); ++i) {
      const std::string piece = volume.runs.size() == 1 ? "" : fmt::format(".{}", i + 1);
      devices.push_back(fmt::format("auto,name={}-{}{},offset={},size={}", pool.group, volume.name,
                                    piece, volume.runs[i].offset, volume.runs[i].length));
    }
  }
  return devices;
}

Result<NamedVolume> adopt_lvm_pool(const Registry& registry, const std::string& pool,
                                   NamedVolume volume) {
  auto known = read_lvm_pool(pool);
  if (!known) return std::move(known).error();
  if (volume.serve.find("attach") == nullptr) {
    volume.serve.set("attach", attach_settings(*known));
  }
  volume.lvm_pool = pool;
  if (auto taken = take_lvm_pool(pool); !taken) return std::move(taken).error();
  auto adopted = adopt_volume(registry, {lvm_pool_path(pool), std::move(volume)});
  if (adopted) return adopted;
  auto released = release_lvm_pool(pool);
  if (!released) return released.error().within(adopted.error().message());
  return adopted;
}

}  // namespace uvdo
