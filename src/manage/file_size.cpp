// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/file_size.h"

#include <cerrno>

#include <fmt/core.h>
#include <unistd.h>

#include "base/size_text.h"

namespace uvdo {

Result<void> make_file_empty(int fd, const std::string& path, std::uint64_t size,
                             std::string_view advice) {
  // From nothing: what the file held before must not show through.
  if (ftruncate(fd, 0) == 0 && ftruncate(fd, static_cast<off_t>(size)) == 0) return {};
  if (errno == EFBIG) {
    return Error(Errc::no_space, fmt::format("the file system of {} cannot hold a file of {}{}",
                                             path, size_text(size), advice));
  }
  return errno_error(errno, fmt::format("cannot set the size of {}", path));
}

}  // namespace uvdo
