// SPDX-License-Identifier: GPL-2.0-or-later
// Where the bytes of a stopped volume come from: a file or block device that is only read, or
// memory (tests, fuzzers). Synchronous: the offline tools need no runtime.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace uvdo {

class ImageSource {
 public:
  ImageSource() = default;
  ImageSource(const ImageSource&) = delete;
  ImageSource& operator=(const ImageSource&) = delete;
  virtual ~ImageSource() = default;

  /// Bytes of the device.
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  /// What messages call it: the path.
  [[nodiscard]] virtual const std::string& name() const = 0;
  /// Fills `out` from `offset`. out_of_range beyond the end, io if the device fails.
  virtual Result<void> read(std::uint64_t offset, MutableBytes out) = 0;
  /// The first byte at or after `offset` that may not be zero, at most `limit`: lets readers of
  /// sparse files skip holes. Sources that cannot tell return `offset`.
  [[nodiscard]] virtual std::uint64_t next_data(std::uint64_t offset, std::uint64_t limit);
};

/// Opens a file or block device for reading, under a shared lock that a running volume refuses.
/// busy: it is in use; not_found, io: it cannot be opened.
Result<std::unique_ptr<ImageSource>> open_image_source(const std::string& path);

/// An image of which only some blocks exist; all others, up to `size`, are zero. For tests and
/// fuzzers, which could not afford the gigabyte that the smallest volume spans.
struct MemoryImage {
  std::uint64_t size = 0;                                  ///< bytes
  std::map<std::uint64_t, std::vector<std::byte>> blocks;  ///< device block -> 4096 bytes
};
std::unique_ptr<ImageSource> make_memory_image(MemoryImage image, std::string name = "memory");

}  // namespace uvdo
