// SPDX-License-Identifier: GPL-2.0-or-later
// The pages of chapters on storage that were used last. A page that several lookups need is read
// once.
//
// What holds here: a page with has_key is the only one of its key and can be found; one that is
// being read, or whose waiters are being served, is not taken for another key. All pages that were
// ever used are in one list, from the newest to the oldest use. Waiting allocates nothing
// (index_waiters.h).
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "async/wait_queue.h"
#include "base/flat_map.h"
#include "base/page_memory.h"
#include "device/device.h"
#include "index/chapter_index.h"
#include "index/index_waiters.h"

namespace uvdo {

class PageCache {
 public:
  /// Names a page for ever: chapters are numbered without end.
  struct Key {
    std::uint64_t chapter = 0;
    std::uint32_t page = 0;  ///< within the chapter, index pages first
    friend bool operator==(const Key&, const Key&) = default;
  };
  enum class State : std::uint8_t { empty, loading, ready };
  struct Page {
    Key key;
    State state = State::empty;
    std::byte* data = nullptr;
    /// Of an index page that is well-formed and of its chapter.
    std::optional<IndexPageHeader> header;
    bool has_key = false;  ///< find() finds it
    ParkingLot waiting;
    bool in_use = false;  ///< its waiters are being served: not to be evicted
    Page* newer = nullptr;
    Page* older = nullptr;

    [[nodiscard]] ConstBytes bytes() const { return {data, kIndexPageSize}; }
  };
  /// Called with all who waited for a page (or for room) when it has come.
  using Serve = std::function<void(ParkingLot)>;

  PageCache(Executor& executor, Device& device, const IndexGeometry& geometry, std::uint32_t pages,
            Serve serve);

  /// The nonce that index pages must carry.
  void set_nonce(std::uint64_t nonce) { nonce_ = nonce; }
  /// The page, ready or being read; nothing if it is not here.
  Page* find(Key key);
  /// Starts to read a page that is not here from byte `offset`. It may be ready at once; nullptr
  /// if all pages are being read. A page that cannot be read is ready, but empty of sense.
  Page* load(Key key, std::uint64_t offset);
  /// Forgets all pages: chapters will be numbered anew. Nobody may read or wait.
  void forget_all();
  /// Puts in a page that has just been written.
  void insert(Key key, ConstBytes content);
  /// Where those wait who found all pages being read.
  [[nodiscard]] ParkingLot& waiting_for_room() { return waiting_for_room_; }
  /// Waits until no page is being read.
  Task<void> wait_idle() { return reads_.wait(); }
  /// Reads that failed.
  [[nodiscard]] std::uint64_t read_errors() const { return read_errors_; }

 private:
  /// The number of a page among those of all chapters.
  [[nodiscard]] std::uint64_t number_of(Key key) const {
    return key.chapter * pages_per_chapter_ + key.page;
  }
  void forget_key(Page& page);
  Page* take_page(Key key);
  /// The list by use.
  void unlink(Page& page);
  void link_newest(Page& page);
  /// Needs its bytes to be there.
  void understand(Page& page);
  Task<void> read(Page& page, std::uint64_t offset);

  Device& device_;
  const IndexGeometry& geometry_;
  std::uint64_t pages_per_chapter_;
  std::uint64_t nonce_ = 0;
  Serve serve_;
  PageMemory memory_;
  std::vector<Page> pages_;
  std::size_t used_ = 0;
  FlatMap<Page*> by_number_;
  Page* newest_ = nullptr;
  Page* oldest_ = nullptr;
  ParkingLot waiting_for_room_;
  TaskGroup reads_;
  std::uint64_t read_errors_ = 0;
};

}  // namespace uvdo
