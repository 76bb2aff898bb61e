// SPDX-License-Identifier: GPL-2.0-or-later
#include "lease/owner_record.h"

#include <algorithm>
#include <cstring>

#include "base/block_types.h"
#include "base/check.h"
#include "base/crc32.h"

namespace uvdo {
namespace {

constexpr std::size_t kSector = 512;
constexpr std::size_t kMagicSize = 8;
constexpr const char* kMagic = "uvdowner";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHostSize = 64;
constexpr std::size_t kChecksumSize = 4;
constexpr std::size_t kChecksumAt = kSector - kChecksumSize;

Error damaged() {
  return {Errc::corrupt,
          "the record of the volume's owner is damaged; make sure that no server has the volume on "
          "any machine, then write it anew by uvdo lease --force"};
}

void copy(ConstBytes from, MutableBytes to) { std::ranges::copy(from, to.begin()); }

}  // namespace

void encode_owner_record(const OwnerRecord& record, std::uint64_t nonce, MutableBytes block) {
  check(block.size() == kBlockSize, "an owner record is 4096 bytes");
  check(record.host.size() <= kHostSize, "the host's name in an owner record");
  std::memset(block.data(), 0, block.size());
  ByteWriter out(block);
  out.bytes(std::as_bytes(std::span(kMagic, kMagicSize)));
  out.le32(kVersion);
  out.le64(nonce);
  out.u8(static_cast<std::uint8_t>(record.state));
  out.le32(record.lease_seconds);
  out.le64(record.generation);
  out.le64(record.beat);
  out.bytes(record.owner);
  out.bytes(record.boot);
  out.le32(record.process);
  out.le64(record.next_place);
  out.u8(static_cast<std::uint8_t>(record.host.size()));
  out.bytes(std::as_bytes(std::span(record.host)));
  store_le32(block.data() + kChecksumAt, vdo_crc32(block.first(kChecksumAt)));
}

Result<std::optional<OwnerRecord>> decode_owner_record(ConstBytes block, std::uint64_t nonce) {
  check(block.size() == kBlockSize, "an owner record is 4096 bytes");
  if (std::memcmp(block.data(), kMagic, kMagicSize) != 0) return std::optional<OwnerRecord>();
  if (load_le32(block.data() + kChecksumAt) != vdo_crc32(block.first(kChecksumAt))) {
    return damaged();
  }
  ByteReader in(block.first(kChecksumAt));
  in.skip(kMagicSize);
  const std::uint32_t version = in.le32();
  if (in.le64() != nonce) return std::optional<OwnerRecord>();  // of a volume that was here before
  if (version != kVersion) {
    return Error(Errc::unsupported,
                 "the record of the volume's owner is of a later version of uvdo; use that");
  }
  OwnerRecord record;
  const std::uint8_t state = in.u8();
  record.state = static_cast<OwnerRecord::State>(state);
  record.lease_seconds = in.le32();
  record.generation = in.le64();
  record.beat = in.le64();
  copy(in.bytes(record.owner.size()), record.owner);
  copy(in.bytes(record.boot.size()), record.boot);
  record.process = in.le32();
  record.next_place = in.le64();
  const std::size_t length = in.u8();
  const bool is_right = state >= static_cast<std::uint8_t>(OwnerRecord::State::free) &&
                        state <= static_cast<std::uint8_t>(OwnerRecord::State::elsewhere) &&
                        record.lease_seconds >= kShortestLease &&
                        record.lease_seconds <= kLongestLease && length <= kHostSize &&
                        record.next_place % kBlockSize == 0;
  if (!is_right) return damaged();
  record.host.resize(length);
  copy(in.bytes(length), std::as_writable_bytes(std::span(record.host)));
  return std::optional(std::move(record));
}

}  // namespace uvdo
