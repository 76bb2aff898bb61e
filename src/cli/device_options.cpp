// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/device_options.h"

#include <fmt/core.h>

#include "base/size_text.h"

namespace uvdo {

void DeviceOptions::add_to(Arguments& app) {
  app.option("--as", kind,
             "ublk, nbd (the kernel's client), fuse (with a loop device), file (FUSE alone), or "
             "auto: the first that can be had")
      .show_default();
  app.option("--name", name, "its name in /dev/uvdo (default: that of the volume's file)");
  app.option("--offset", offset, "the logical space from here on only");
  app.option("--size", size, "only so much of it (default: up to its end)");
  app.option("--block-size", block_size, "bytes of a logical block: 512 or 4096").show_default();
}

Result<AttachRequest> DeviceOptions::request() const {
  AttachRequest request;
  auto parsed = parse_device_kind("--as", kind);
  if (!parsed) return std::move(parsed).error();
  request.kind = *parsed;
  request.name = name;
  if (!offset.empty()) {
    auto bytes = parse_size(offset);
    if (!bytes) return bytes.error().within("--offset");
    request.offset = *bytes;
  }
  if (!size.empty()) {
    auto bytes = parse_size(size);
    if (!bytes) return bytes.error().within("--size");
    request.size = *bytes;
  }
  if (block_size != "512" && block_size != "4096") {
    return Error(Errc::invalid_argument,
                 fmt::format("--block-size is \"{}\"; it takes 512 or 4096", block_size));
  }
  request.block_size = block_size == "512" ? 512 : 4096;
  return request;
}

Result<std::optional<DeviceKind>> parse_device_kind(std::string_view option,
                                                    const std::string& text) {
  if (text == "auto") return std::optional<DeviceKind>();
  if (const auto kind = device_kind_of(text)) return kind;
  return Error(Errc::invalid_argument,
               fmt::format("{} is \"{}\"; it takes ublk, nbd, fuse, file or auto", option, text));
}

}  // namespace uvdo
