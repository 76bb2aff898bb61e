// SPDX-License-Identifier: GPL-2.0-or-later
// The blocks that a volume would have stored: by their names, with as many references as they
// have. What the deduplication index, the counts and the packer know of them, in 16 bytes each.
//
// What holds here: a name is in the table once, as the copy of its block that was stored last,
// which is the one that the index would find. Fragments of one compressed block share its count.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "base/page_memory.h"
#include "format/record_name.h"

namespace uvdo {

/// How far back the index finds a name.
struct IndexWindow {
  std::uint64_t chapters = 0;             ///< 0: it forgets nothing
  std::uint64_t records_per_chapter = 1;  ///< names that one chapter takes
};

/// May be used by several threads at once.
class NameTable {
 public:
  enum class Verdict : std::uint8_t {
    duplicate,  ///< refers to a block that is stored already
    wanted,     ///< the same, but the block waits in the packer, and is to come out
    stored,     ///< must be stored: new, forgotten, or there are as many references as there can be
    no_room,    ///< must be stored, and there is no room for its name
  };

  /// For `names` names.
  NameTable(std::uint64_t names, IndexWindow window);

  /// Bytes of memory for so many names.
  [[nodiscard]] static std::uint64_t memory_needed(std::uint64_t names);

  /// What becomes of a block that is written.
  struct Outcome {
    Verdict verdict;
    std::size_t waiting_size = 0;  ///< of a fragment that is wanted
  };
  /// A block with this name is written.
  Outcome write(const RecordName& name);
  /// The block that must be stored waits in the packer, as a fragment of `size` bytes.
  void wait_in_packer(const RecordName& name, std::size_t size);
  /// It has come out without company.
  void place_alone(const RecordName& name);
  /// It is in compressed block `bin`, with others. Beyond as many bins as the names could fill, it
  /// counts references of its own.
  void place_in_bin(const RecordName& name, std::uint32_t bin);
  /// Names that the index was told of so far, those of duplicates that it had to remember again
  /// among them.
  [[nodiscard]] std::uint64_t records() const { return records_; }

 private:
  struct Entry {
    std::uint64_t key = 0;         // half of the name
    std::uint32_t bin = 0;         // where it is, if it is in one; its size, if it waits for one
    std::uint32_t is_in_bin : 1;   // otherwise `references` counts
    std::uint32_t references : 8;  // 0: the entry is free
    std::uint32_t chapter : 23;
  };
  static_assert(sizeof(Entry) == 16);
  /// A part of the entries, some of which always stay free: a search ends at one of those.
  struct alignas(64) Shard {
    std::mutex mutex;
    std::uint64_t names = 0;  // entries that are not free
  };
  static constexpr std::uint64_t kShards = 256;

  [[nodiscard]] Shard& shard_of(const RecordName& name) const;
  /// The entry of a name, or the free one for it. Needs the lock of its shard.
  [[nodiscard]] Entry& find(const RecordName& name) const;
  /// Adds a reference to what the entry is of. False: it has as many as it can have.
  [[nodiscard]] bool add_reference(Entry& entry);
  [[nodiscard]] std::atomic<std::uint8_t>& references_of(std::uint32_t bin) const;
  /// The chapter that the index fills at the moment.
  [[nodiscard]] std::uint32_t open_chapter() const;

  std::uint64_t slots_;  // of a shard
  IndexWindow window_;
  PageMemory entries_;
  PageMemory bins_;
  std::unique_ptr<Shard[]> shards_;
  std::atomic<std::uint64_t> records_{0};
};

}  // namespace uvdo
