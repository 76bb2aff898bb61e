// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/damage_file.h"

#include <cerrno>

#include <fmt/core.h>

namespace uvdo {

void DamageFile::Close::operator()(std::FILE* file) const {
  if (file != stdout) static_cast<void>(std::fclose(file));
}

void DamageFile::add_to(Arguments& app, std::string& path) {
  app.option("--list-damaged", path,
             "write a line \"FIRST COUNT REASON\" for each run of damaged logical blocks to this "
             "file (-: standard output)");
}

Result<DamageFile> DamageFile::open(const std::string& path) {
  DamageFile result;
  result.path_ = path;
  if (path.empty()) return result;
  result.file_.reset(path == "-" ? stdout : std::fopen(path.c_str(), "we"));
  if (result.file_ == nullptr) return errno_error(errno, fmt::format("cannot create {}", path));
  return result;
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
