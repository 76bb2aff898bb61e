// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/copied_feed.h"

#include <charconv>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fmt/core.h>

#include "base/absolute_path.h"
#include "base/block_types.h"

namespace uvdo {
namespace {

/// The size of what `source` serves.
Result<std::uint64_t> size_of(const std::string& name, const std::vector<std::string>& source) {
  std::vector<std::string> words{"nbdinfo", "--size"};
  words.insert(words.end(), source.begin(), source.end());
  auto told = run_program_for_output(words);
  if (!told) {
    return Error(Errc::not_found, fmt::format("{} is read by nbdcopy, which is missing: install "
                                              "libnbd-bin",
                                              name));
  }
  const std::string& text = told->text;
  std::uint64_t size = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), size);
  if (told->ended.status != 0 || parsed.ec != std::errc()) {
    return Error(Errc::io, fmt::format("{} cannot be read: {}", name, told->ended.error_text));
  }
  return size;
}

}  // namespace

Result<std::unique_ptr<Feed>> CopiedFeed::open_uri(const std::string& uri,
                                                   const FeedOptions& options) {
  return open(uri, {uri}, options);
}

Result<std::unique_ptr<Feed>> CopiedFeed::open_qcow2(const std::string& path,
                                                     const FeedOptions& options) {
  if (auto found = run_program({"qemu-nbd", "--version"}); !found) {
    return Error(Errc::not_found,
                 fmt::format("{} is a qcow2 image, which qemu-nbd reads, and that is missing: "
                             "install qemu-utils",
                             path));
  }
  const std::string place = absolute_path(path);
  return open(path, {"--", "[", "qemu-nbd", "--read-only", "--format=qcow2", place, "]"}, options);
}

Result<std::unique_ptr<Feed>> CopiedFeed::open(const std::string& name,
                                               const std::vector<std::string>& source,
                                               const FeedOptions& options) {
  auto bytes = size_of(name, source);
  if (!bytes) return std::move(bytes).error();
  std::vector<std::string> words{"nbdcopy"};
  words.insert(words.end(), source.begin(), source.end());
  words.emplace_back("-");
  auto program = PipedProgram::start(words);
  if (!program) return std::move(program).error();
  return std::unique_ptr<Feed>(new CopiedFeed(name, std::move(*program), *bytes, options));
}

CopiedFeed::CopiedFeed(std::string name, PipedProgram program, std::uint64_t bytes,
                       const FeedOptions& options)
    : name_(std::move(name)),
      program_(std::move(program)),
      expected_(bytes),
      group_(options.events.group(name_)) {
  options.events.file(bytes);
}

Result<Piece> CopiedFeed::next(MutableBytes out) {
  const std::lock_guard guard(mutex_);
  Piece piece;
  if (ended_) return piece;
  auto got = program_.read(out.first(kPieceBytes));
  if (!got) return std::move(got).error();
  if (*got < kPieceBytes) {
    ended_ = true;
    auto ended = program_.finish();
    if (!ended) return std::move(ended).error();
    if (ended->status != 0) {
      return Error(Errc::io, fmt::format("reading {}: {}", name_, ended->error_text));
    }
  }
  const std::size_t blocks = (*got + kBlockSize - 1) / kBlockSize;
  std::memset(out.data() + *got, 0, blocks * kBlockSize - *got);
  if (blocks > 0) piece.spans.push_back({group_, static_cast<std::uint32_t>(blocks)});
  return piece;
}

}  // namespace uvdo
