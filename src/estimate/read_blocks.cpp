// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/read_blocks.h"

#include <utility>

#include <fmt/core.h>

#include "base/block_types.h"

namespace uvdo {

std::size_t read_good_blocks(const ReadBytes& read, std::uint64_t offset, MutableBytes out,
                             const TellUnread& unread) {
  auto whole = read(offset, out);
  if (whole) return out.size();
  if (out.size() <= kBlockSize) {
    unread(offset, out.size(), whole.error());
    return 0;
  }
  std::size_t filled = 0;
  Error reason = std::move(whole).error();
  std::uint64_t bad = 0;  // bytes before `at` that are not told of yet, for that reason
  std::uint64_t at = offset;
  const auto tell = [&] {
    if (bad > 0) unread(at - bad, bad, reason);
    bad = 0;
  };
  for (; at < offset + out.size(); at += kBlockSize) {
    auto done = read(at, out.subspan(filled, kBlockSize));
    if (done) {
      tell();
      filled += kBlockSize;
      continue;
    }
    if (bad == 0) reason = std::move(done).error();
    bad += kBlockSize;
  }
  tell();
  return filled;
}

std::string unread_text(std::uint64_t offset, std::uint64_t length, const Error& error) {
  return fmt::format("{}: {} bytes at {} are left out", error.message(), length, offset);
}

}  // namespace uvdo
