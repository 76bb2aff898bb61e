// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/lvm_pool.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include <fmt/core.h>
#include <unistd.h>

#include "base/child_program.h"
#include "base/file_checks.h"
#include "registry/find_storage.h"

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

std::string hold_of(const std::string& pool) { return map_of(pool) + "-hold"; }

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

Result<void> change(std::string_view how, const std::string& volume, Errc code = Errc::io) {
  auto done = run_tool({"lvm", "lvchange", std::string(how), "-y", volume}, code);
  return done ? Result<void>() : std::move(done).error();
}

/// The pool's logical volumes and, last, the pool itself: it can be active without any of them.
std::vector<std::string> names_of(const LvmPool& pool) {
  std::vector<std::string> names;
  for (const LvmLogicalVolume& volume : pool.volumes) {
    names.push_back(pool.group + "/" + volume.name);
  }
  names.push_back(pool.group + "/" + pool.name);
  return names;
}

Result<std::vector<std::string>> active_ones(const LvmPool& pool) {
  std::vector<std::string> active;
  for (const std::string& name : names_of(pool)) {
    auto told = run_tool({"lvm", "lvs", "--noheadings", "-o", "lv_active", name});
    if (!told) return std::move(told).error();
    if (told->find("active") != std::string::npos) active.push_back(name);
  }
  return active;
}

/// After `error`, which is returned with what has failed of this.
Error activate_again(const std::vector<std::string>& volumes, Error error) {
  for (const std::string& volume : volumes) {
    if (auto done = change("-ay", volume); !done) error = done.error().within(error.message());
  }
  return error;
}

/// The map `map` with the lines of a table.
Result<void> make_map(const std::string& map, std::string_view access,
                      const std::vector<std::string>& lines) {
  std::string concise = fmt::format("{},,,{}", map, access);
  for (const std::string& line : lines) concise += "," + line;
  auto done = run_tool({"dmsetup", "create", "--concise", concise});
  return done ? Result<void>() : std::move(done).error();
}

Result<void> remove_map(const std::string& map) {
  if (access(("/dev/mapper/" + map).c_str(), F_OK) != 0) return {};
  auto done = run_tool({"dmsetup", "remove", "--retry", map}, Errc::busy);
  return done ? Result<void>() : std::move(done).error();
}

/// A table for all of what is mapped by these lines, whose device is `device`.
std::string line_over(const std::vector<std::string>& lines, const std::string& device) {
  std::uint64_t sectors = 0;
  for (const std::string& line : lines) {
    std::istringstream words(line);
    std::uint64_t start = 0;
    std::uint64_t length = 0;
    words >> start >> length;
    sectors = std::max(sectors, start + length);
  }
  return fmt::format("0 {} linear {} 0", sectors, device);
}

/// Makes both maps. The one that holds LVM's volume is there first, and goes last: there is no
/// moment at which uvdo could write and LVM take the data away.
Result<void> map_data(const std::string& pool, const LvmPool& known) {
  const std::string data = mapper_name(known.group, known.data);
  auto lines = table_of(data);
  if (!lines) return std::move(lines).error();
  auto held = make_map(hold_of(pool), "ro", {line_over(*lines, "/dev/mapper/" + data)});
  if (!held) return held;
  auto mapped = make_map(map_of(pool), "rw", *lines);
  if (mapped) return mapped;
  auto let_go = remove_map(hold_of(pool));
  return let_go ? std::move(mapped) : let_go.error().within(mapped.error().message());
}

/// The named volume that is the pool's data, by the pool's name, or by its UUID while LVM has it
/// active.
std::optional<NamedVolume> find_adopted(const Registry& registry, const std::string& pool,
                                        const LvmPool& known) {
  NamedVolumes named = registry.all();
  const auto it = std::ranges::find(named.volumes, pool, &NamedVolume::lvm_pool);
  if (it != named.volumes.end()) return std::move(*it);
  auto uuid = uuid_at("/dev/mapper/" + mapper_name(known.group, known.data));
  return uuid ? registry.find(*uuid) : std::nullopt;
}

/// The data alone, of a pool that is not active in LVM.
Result<void> take_data(const std::string& pool, const LvmPool& known) {
  const std::string data = known.group + "/" + known.data;
  // From here on LVM leaves the pool alone.
  if (auto held = change("-ay", data, Errc::busy); !held) return held;
  auto mapped = map_data(pool, known);
  if (mapped) return mapped;
  auto released = change("-an", data);
  return released ? std::move(mapped) : released.error().within(mapped.error().message());
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

Result<TakenPool> take_lvm_pool(const std::string& pool) {
  if (is_mapped(pool)) return TakenPool{pool};
  auto known = read_lvm_pool(pool);
  if (!known) return std::move(known).error();
  auto active = active_ones(*known);
  if (!active) return std::move(active).error();
  Result<void> done;
  for (const std::string& volume : names_of(*known)) {
    if (done) done = change("-an", volume, Errc::busy);
  }
  if (done) done = take_data(pool, *known);
  if (!done) return activate_again(*active, std::move(done).error());
  return TakenPool{pool, std::move(*active)};
}

Result<void> release_lvm_pool(const std::string& pool) {
  const bool is_held = access(("/dev/mapper/" + hold_of(pool)).c_str(), F_OK) == 0;
  if (!is_mapped(pool) && !is_held) return {};
  if (auto removed = remove_map(map_of(pool)); !removed) return removed;
  if (auto removed = remove_map(hold_of(pool)); !removed) return removed;
  auto known = read_lvm_pool(pool);
  if (!known) return std::move(known).error();
  return change("-an", known->group + "/" + known->data);
}

Error return_lvm_pool(const TakenPool& taken, Error error) {
  auto released = release_lvm_pool(taken.pool);
  if (!released) return released.error().within(error.message());
  return activate_again(taken.was_active, std::move(error));
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
  // What would be refused is refused before LVM's volumes are touched.
  if (auto is_free = registry.check_is_free(volume.name); !is_free) {
    return std::move(is_free).error();
  }
  auto known = read_lvm_pool(pool);
  if (!known) return std::move(known).error();
  if (auto named = find_adopted(registry, pool, *known)) {
    return Error(Errc::exists, fmt::format("{} is the volume \"{}\" already", pool, named->name));
  }
  if (volume.serve.find("attach") == nullptr) {
    volume.serve.set("attach", attach_settings(*known));
  }
  volume.lvm_pool = pool;
  auto taken = take_lvm_pool(pool);
  if (!taken) return std::move(taken).error();
  auto adopted = adopt_volume(registry, {lvm_pool_path(pool), std::move(volume)});
  if (!adopted) return return_lvm_pool(*taken, std::move(adopted).error());
  return adopted;
}

}  // namespace uvdo
