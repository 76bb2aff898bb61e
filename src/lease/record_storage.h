// SPDX-License-Identifier: GPL-2.0-or-later
// The storage of a volume as far as the record of its owner goes: one block at a time, by a way of
// its own, so that renewing does not wait behind the requests of clients, nor for their thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "device/backing_file.h"

namespace uvdo {

/// Of one thread at a time.
class RecordStorage {
 public:
  /// `store` is a path or the URI of an NBD export, whose server must take one connection more than
  /// the volume needs. An answer is waited for no longer than `patience`, by NBD.
  static Result<std::unique_ptr<RecordStorage>> open(const std::string& store, OpenMode mode,
                                                     std::chrono::milliseconds patience);

  RecordStorage() = default;
  RecordStorage(const RecordStorage&) = delete;
  RecordStorage& operator=(const RecordStorage&) = delete;
  virtual ~RecordStorage() = default;

  /// 4096 bytes at `offset`, as they are on the storage, whatever this machine remembers of them.
  virtual Result<void> read(std::uint64_t offset, MutableBytes block) = 0;
  /// The same; they are stable then.
  virtual Result<void> write(std::uint64_t offset, ConstBytes block) = 0;
};

}  // namespace uvdo
