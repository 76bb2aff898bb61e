// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/nbd_store.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/core.h>

#include "base/block_types.h"
#include "base/store_name.h"
#include "device/nbd_store_parts.h"

namespace uvdo {
namespace {

using std::chrono::milliseconds;

/// What may be asked for by uvdo-wait: a year.
constexpr std::chrono::seconds kLongestWait{31'536'000};

std::optional<std::chrono::seconds> whole_seconds(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::chrono::seconds found{value};
  if (error != std::errc() || end != text.data() + text.size() || found > kLongestWait) return {};
  return found;
}

}  // namespace

Result<std::unique_ptr<NbdStore>> NbdStore::open(UringLoop* loop, const std::string& uri,
                                                 OpenMode mode, milliseconds patience) {
  const auto place = NbdPlace::of(uri);
  if (!place) return Error(Errc::invalid_argument, fmt::format("{} is no NBD URI", uri));
  constexpr std::string_view kUnix = "unix:";
  if (place->server.starts_with(kUnix) && !place->server.substr(kUnix.size()).starts_with('/')) {
    return Error(Errc::invalid_argument,
                 fmt::format("{} names no socket; give its whole path, as in "
                             "nbd+unix:///EXPORT?socket=/PATH",
                             uri));
  }
  if (!place->wait.empty()) {
    const auto seconds = whole_seconds(place->wait);
    if (!seconds) {
      return Error(Errc::invalid_argument,
                   fmt::format("{}: uvdo-wait={} is no number of seconds up to {}", uri,
                               place->wait, kLongestWait.count()));
    }
    patience = *seconds;
  }
  std::unique_ptr<NbdStore> store(new NbdStore(loop, uri, mode, patience));
  if (auto opened = store->reopen(); !opened) return std::move(opened).error();
  return store;
}

Result<std::size_t> NbdStore::peek(const std::string& uri, MutableBytes out) {
  NbdStore store(nullptr, uri, OpenMode::read_only, kConnectPatience);
  auto connections = store.connect_all(1);
  if (!connections) return std::move(connections).error();
  store.use(std::move(*connections));
  return store.read_beginning(out);
}

NbdStore::NbdStore(UringLoop* loop, std::string uri, OpenMode mode, milliseconds patience)
    : NetworkStore(std::move(uri), mode), loop_(loop), patience_(patience) {}

NbdStore::~NbdStore() { forget_watches(); }

Result<void> NbdStore::reopen() {
  if (auto locked = lock_.take(name_, mode_); !locked) return locked;
  auto connections = connect_all(kConnections);
  if (!connections) {
    lock_.give_back();
    return std::move(connections).error();
  }
  use(std::move(*connections));
  return {};
}

Result<void> NbdStore::check(const NbdExportOffer& found) const {
  if (mode_ == OpenMode::read_write && found.is_read_only) {
    return Error(Errc::read_only, fmt::format("{} is an export that may only be read", name_));
  }
  if (found.least_block > kBlockSize) {
    return Error(Errc::unsupported,
                 fmt::format("{} takes no less than {} bytes at a time, and a volume writes {}",
                             name_, found.least_block, kBlockSize));
  }
  if (found.size < size_) {
    return Error(Errc::io, fmt::format("{} has come back with {} bytes, and had {}", name_,
                                       found.size, size_));
  }
  const bool was_open = size_ > 0;
  return was_open ? check_is_as_able(found) : Result<void>();
}

/// What is under way was made for what the server could do before.
Result<void> NbdStore::check_is_as_able(const NbdExportOffer& found) const {
  const auto without = [&](std::string_view what) {
    return Error(Errc::io, fmt::format("{} has come back without {}", name_, what));
  };
  if (mode_ == OpenMode::read_write) {
    if (export_.can_flush && !found.can_flush) return without("flush");
    if (export_.can_fua && !found.can_fua) return without("FUA");
    if (export_.can_zero && !found.can_zero) return without("write zeroes");
    if (export_.can_trim && !found.can_trim) return without("trim");
  }
  if (found.longest_data < export_.longest_data) {
    return without(fmt::format("requests of {} bytes: it takes {} at most", export_.longest_data,
                               found.longest_data));
  }
  if (found.least_block > export_.least_block) {
    return without(fmt::format("requests of {} bytes: it takes {} at least", export_.least_block,
                               found.least_block));
  }
  return {};
}

Result<std::vector<std::unique_ptr<NbdClient>>> NbdStore::connect_all(std::size_t most) {
  std::vector<std::unique_ptr<NbdClient>> made;
  auto first = NbdClient::connect(name_, kConnectPatience);
  if (!first) return std::move(first).error();
  const NbdExportOffer found = (*first)->look();
  if (auto usable = check(found); !usable) return std::move(usable).error();
  made.push_back(std::move(*first));
  while (found.can_multi_conn && made.size() < most) {
    auto more = NbdClient::connect(name_, kConnectPatience);
    if (!more) break;  // a server may limit them
    made.push_back(std::move(*more));
  }
  return made;
}

void NbdStore::use(std::vector<std::unique_ptr<NbdClient>> connections) {
  forget_watches();
  connections_ = std::move(connections);
  export_ = connections_.front()->look();
  size_ = export_.size;
  state_ = State::up;
  broken_since_.reset();
  has_given_up_ = false;
  trouble_.clear();
  last_sign_ = Clock::now();
}

Result<std::uint64_t> NbdStore::look_up_size() {
  if (export_.can_multi_conn) {
    auto probe = NbdClient::connect(name_, kConnectPatience);
    if (!probe) return std::move(probe).error();
    const NbdExportOffer found = (*probe)->look();
    if (auto usable = check(found); !usable) return std::move(usable).error();
    if (found.size == size_) return size_;
  }
  // What is written by a connection that is closed may not be flushed by a new one.
  if (auto settled = settle(); !settled) return std::move(settled).error();
  // Without multi-conn the server may take one client, and answer a second one never.
  close_all();
  state_ = State::pausing;
  next_attempt_ = Clock::now();
  auto connections = connect_all(kConnections);
  if (!connections) return std::move(connections).error();
  use(std::move(*connections));
  return size_;
}

/// Waits until nothing is under way, and all is stable.
Result<void> NbdStore::settle() {
  const auto end = Clock::now() + kConnectPatience;
  const auto wait_until_idle = [&]() -> Result<void> {
    for (turn(); !is_idle(); wait()) {
      if (Clock::now() < end) continue;
      return Error(Errc::busy, fmt::format("{} does not answer: what is under way has not ended "
                                           "within {} seconds",
                                           name_, kConnectPatience.count() / 1000));
    }
    return {};
  };
  if (auto waited = wait_until_idle(); !waited) return waited;
  if (!export_.can_flush || unflushed_.empty()) return {};
  flush_by_itself();
  if (auto waited = wait_until_idle(); !waited) return waited;
  if (lost_error_ == 0 && unflushed_.empty()) return {};
  return errno_error(lost_error_, request_text(Op::flush, 0, 0, name_));
}

Task<Result<void>> NbdStore::extend(std::uint64_t size) {
  if (size_ >= size) co_return Result<void>();
  auto now = look_up_size();
  if (!now) co_return std::move(now).error();
  if (*now >= size) co_return Result<void>();
  co_return too_small(*now, size);
}

Result<void> NbdStore::release() {
  // A flush of the store's own may be left of a look at its size.
  if (!is_idle()) {
    if (auto settled = settle(); !settled) return settled;
  }
  close_all();
  unflushed_ = UnflushedWrites();
  lost_error_ = 0;
  lock_.give_back();
  size_ = 0;
  return {};
}

Result<BackingState> NbdStore::last_look() {
  // Where nothing happens any more nobody else would find out.
  static_cast<void>(has_ended());
  return look();
}

Result<BackingState> NbdStore::look() const {
  if (storages().empty()) return Error(Errc::busy, fmt::format("{} is not open", name_));
  BackingState state;
  state.size = size_;
  if (!is_idle()) {
    state.silent_for = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - last_sign_);
    state.trouble = trouble_;
  }
  return state;
}

}  // namespace uvdo
