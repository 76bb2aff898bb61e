// SPDX-License-Identifier: GPL-2.0-or-later
#include "lease/record_storage.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include "base/aligned_memory.h"
#include "base/block_types.h"
#include "base/file_checks.h"
#include "base/file_descriptor.h"
#include "base/store_name.h"
#include "device/nbd_client.h"

namespace uvdo {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

/// A file or disk, past the page cache where its file system can do that.
class RecordFile final : public RecordStorage {
 public:
  RecordFile(std::string path, FileDescriptor fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  Result<void> read(std::uint64_t offset, MutableBytes block) override {
    const ssize_t got = pread(fd_.get(), block_.data(), kBlockSize, static_cast<off_t>(offset));
    if (got != static_cast<ssize_t>(kBlockSize)) return failed("reading", offset, got);
    std::copy_n(block_.data(), kBlockSize, block.data());
    return {};
  }
  Result<void> write(std::uint64_t offset, ConstBytes block) override {
    std::copy_n(block.data(), kBlockSize, block_.data());
    const ssize_t done = pwrite(fd_.get(), block_.data(), kBlockSize, static_cast<off_t>(offset));
    if (done != static_cast<ssize_t>(kBlockSize)) return failed("writing", offset, done);
    return {};
  }

 private:
  [[nodiscard]] Error failed(const char* what, std::uint64_t offset, ssize_t result) const {
    if (result >= 0) {
      return {Errc::out_of_range, fmt::format("{} ends before byte {}, and a volume is longer",
                                              path_, offset + kBlockSize)};
    }
    return errno_error(errno, fmt::format("{} the owner's record on {}", what, path_));
  }
  std::string path_;
  FileDescriptor fd_;
  AlignedMemory block_{kBlockSize};
};

/// A connection, made anew when it has broken or did not answer in time.
class RecordExport final : public RecordStorage {
 public:
  RecordExport(std::string uri, milliseconds patience)
      : uri_(std::move(uri)), patience_(patience) {}

  Result<void> read(std::uint64_t offset, MutableBytes block) override {
    return carry_out(command_of(Device::Op::read, offset, block.data()));
  }
  Result<void> write(std::uint64_t offset, ConstBytes block) override {
    std::copy_n(block.data(), kBlockSize, block_.data());
    NbdCommand command = command_of(Device::Op::write, offset, block_.data());
    if (auto connected = connect(); !connected) return connected;
    const NbdExportOffer offer = client_->look();
    if (offer.can_fua) {
      command.durability = Durability::fua;
      return carry_out(std::move(command));
    }
    if (auto written = carry_out(std::move(command)); !written || !offer.can_flush) return written;
    NbdCommand flush;
    flush.op = Device::Op::flush;
    return carry_out(std::move(flush));
  }

  Result<void> connect() {
    if (client_) return {};
    auto made = NbdClient::connect(uri_, patience_);
    if (!made) return std::move(made).error();
    client_ = std::move(*made);
    return {};
  }

 private:
  static NbdCommand command_of(Device::Op op, std::uint64_t offset, std::byte* data) {
    NbdCommand command;
    command.op = op;
    command.offset = offset;
    command.length = kBlockSize;
    command.data = data;
    return command;
  }

  Result<void> carry_out(NbdCommand command) {
    // A connection knows the size that the export had at its beginning.
    if (client_ && command.offset + command.length > client_->look().size) client_.reset();
    if (auto connected = connect(); !connected) return connected;
    const auto end = Clock::now() + patience_;
    if (client_->send(command)) {
      while (client_->take_answered().empty()) {
        const auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now());
        if (client_->phase() == NbdClient::Phase::broken || left.count() <= 0) {
          Error error = client_->phase() == NbdClient::Phase::broken
                            ? client_->error(uri_)
                            : Error(Errc::io, fmt::format("{} does not answer", uri_));
          client_.reset();  // before the command goes, whose memory it may still fill
          return error;
        }
        wait_for({client_.get()}, left);
      }
    }
    if (command.error == 0) return {};
    return errno_error(command.error, fmt::format("the owner's record on {}", uri_));
  }

  std::string uri_;
  milliseconds patience_;
  AlignedMemory block_{kBlockSize};
  std::unique_ptr<NbdClient> client_;  // goes first: a command may be under way
};

Result<std::unique_ptr<RecordStorage>> open_file(const std::string& path, OpenMode mode) {
  const int access = mode == OpenMode::read_only ? O_RDONLY : O_RDWR;
  for (const int cache : {O_DIRECT, 0}) {
    auto fd = open_checked(path, access | O_CLOEXEC | O_DSYNC | cache, FileKind::store);
    if (fd) return std::unique_ptr<RecordStorage>(new RecordFile(path, std::move(*fd)));
    if (cache == 0 || fd.error().code() != Errc::invalid_argument) return std::move(fd).error();
  }
  return Error(Errc::io, fmt::format("cannot open {}", path));
}

}  // namespace

Result<std::unique_ptr<RecordStorage>> RecordStorage::open(const std::string& store, OpenMode mode,
                                                           milliseconds patience) {
  switch (kind_of_store(store)) {
    case StoreKind::path: return open_file(store, mode);
    case StoreKind::nbd: {
      auto made = std::make_unique<RecordExport>(store, patience);
      if (auto connected = made->connect(); !connected) {
        return Error(connected.error().code(),
                     fmt::format("the owner's record needs a connection of its own: {}; give the "
                                 "server room for one client more",
                                 connected.error().message()));
      }
      return std::unique_ptr<RecordStorage>(std::move(made));
    }
    case StoreKind::rbd: break;
  }
  return Error(Errc::unsupported,
               fmt::format("{} has a lock of its own, and needs no record of its owner", store));
}

}  // namespace uvdo
