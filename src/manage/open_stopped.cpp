// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/open_stopped.h"

#include <utility>

#include "lease/open_owned.h"

namespace uvdo {

Task<Result<OpenedVolume>> open_stopped(UringLoop& loop, const std::string& path, OpenMode mode) {
  auto opening = open_owned_device(loop, path, mode);
  auto device = co_await std::move(opening);
  if (!device) co_return std::move(device).error();
  auto headers = co_await read_volume_headers(**device);
  if (!headers) co_return std::move(headers).error();
  co_return OpenedVolume{std::move(*device), std::move(*headers)};
}

}  // namespace uvdo
