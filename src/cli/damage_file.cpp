// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/damage_file.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_checks.h"
#include "device/storage_map.h"

namespace uvdo {
namespace {

constexpr mode_t kMode = 0666;

std::string path_without_links(const std::string& path) {
  std::error_code error;
  const std::filesystem::path found = std::filesystem::weakly_canonical(path, error);
  return error ? path : found.string();
}

/// Whether what is at `path` is at `other` too, or will be when it is made, or lies beneath what is
/// there.
bool is_part_of(const std::string& path, const std::string& other) {
  if (path_without_links(path) == path_without_links(other)) return true;
  struct stat mine {};
  struct stat its {};
  if (stat(path.c_str(), &mine) != 0 || stat(other.c_str(), &its) != 0) return false;
  const auto id = StorageId::of(mine);
  const auto top = StorageId::of(its);
  if (!id || !top) return false;
  return std::ranges::any_of(StorageMap().beneath(*top, other),
                             [&](const StorageRange& part) { return part.id == *id; });
}

}  // namespace

void DamageFile::Close::operator()(std::FILE* file) const {
  if (file != stdout) static_cast<void>(std::fclose(file));
}

void DamageFile::add_to(Arguments& app, std::string& path) {
  app.option("--list-damaged", path,
             "write a line \"FIRST COUNT REASON\" for each run of damaged logical blocks to this "
             "file (-: standard output)");
}

Result<DamageFile> DamageFile::open(const std::string& path,
                                    const std::vector<std::string>& others) {
  DamageFile result;
  result.path_ = path;
  if (path == "-") result.file_.reset(stdout);
  if (path.empty() || path == "-") return result;
  for (const std::string& other : others) {
    if (!is_part_of(path, other)) continue;
    return Error(Errc::invalid_argument,
                 fmt::format("the list of damaged blocks cannot be written to {}, which is {} or "
                             "lies beneath it; give another file",
                             path, other));
  }
  auto fd = open_checked(path, O_WRONLY | O_CREAT, FileKind::regular, kMode);
  if (!fd) return std::move(fd).error();
  // What was looked at may be another one by now; what is open stays what it is.
  result.file_.reset(fdopen(fd->get(), "w"));
  if (result.file_ == nullptr) return errno_error(errno, fmt::format("cannot open {}", path));
  static_cast<void>(fd->release());  // it is the stream's now
  return result;
}

Result<void> DamageFile::begin() {
  if (!file_ || file_.get() == stdout || ftruncate(fileno(file_.get()), 0) == 0) return {};
  return errno_error(errno, fmt::format("emptying {}", path_));
}

void DamageFile::add(const ContentRun& run) {
  if (!file_) return;
  put(fmt::format("{} {} {}\n", run.start.value(), run.blocks, run.problem));
}

/// An error is told by finish().
void DamageFile::put(const std::string& line) {
  static_cast<void>(std::fputs(line.c_str(), file_.get()));
}

void DamageFile::remark(const std::string& text) {
  if (file_) put(fmt::format("# {}\n", text));
}

Result<void> DamageFile::finish() {
  if (!file_) return {};
  if (std::fflush(file_.get()) == 0 && std::ferror(file_.get()) == 0) return {};
  return errno_error(errno, fmt::format("writing to {}", path_));
}

}  // namespace uvdo
