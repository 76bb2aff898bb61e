// SPDX-License-Identifier: GPL-2.0-or-later
// Little- and big-endian numbers in byte buffers, and bounded cursors for the codecs of
// structures on disk. Compilers turn each of these into a single load or store.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/check.h"

namespace uvdo {

using ConstBytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

// Written out by pack expansions: GCC leaves a loop over the bytes as it is at -O2, and only
// straight code becomes a single load or store.
namespace detail {
template <std::size_t... byte>
constexpr std::uint64_t load_le(const std::byte* p, std::index_sequence<byte...>) {
  return ((std::to_integer<std::uint64_t>(p[byte]) << (8 * byte)) | ...);
}
template <std::size_t... byte>
constexpr void store_le(std::byte* p, std::uint64_t value, std::index_sequence<byte...>) {
  ((p[byte] = static_cast<std::byte>(value >> (8 * byte))), ...);
}
template <std::size_t... byte>
constexpr std::uint64_t load_be(const std::byte* p, std::index_sequence<byte...>) {
  return ((std::to_integer<std::uint64_t>(p[sizeof...(byte) - 1 - byte]) << (8 * byte)) | ...);
}
template <std::size_t... byte>
constexpr void store_be(std::byte* p, std::uint64_t value, std::index_sequence<byte...>) {
  ((p[sizeof...(byte) - 1 - byte] = static_cast<std::byte>(value >> (8 * byte))), ...);
}
template <std::size_t kWidth>
constexpr std::uint64_t load_le(const std::byte* p) {
  return load_le(p, std::make_index_sequence<kWidth>());
}
template <std::size_t kWidth>
constexpr void store_le(std::byte* p, std::uint64_t value) {
  store_le(p, value, std::make_index_sequence<kWidth>());
}
template <std::size_t kWidth>
constexpr std::uint64_t load_be(const std::byte* p) {
  return load_be(p, std::make_index_sequence<kWidth>());
}
template <std::size_t kWidth>
constexpr void store_be(std::byte* p, std::uint64_t value) {
  store_be(p, value, std::make_index_sequence<kWidth>());
}
}  // namespace detail

// Numbers of 8 to 64 bits at any address, which has all their bytes: le with the lowest first, be
// with the highest.
constexpr std::uint8_t load_u8(const std::byte* p) { return std::to_integer<std::uint8_t>(*p); }
constexpr std::uint16_t load_le16(const std::byte* p) {
  return static_cast<std::uint16_t>(detail::load_le<2>(p));
}
constexpr std::uint32_t load_le24(const std::byte* p) {
  return static_cast<std::uint32_t>(detail::load_le<3>(p));
}
constexpr std::uint32_t load_le32(const std::byte* p) {
  return static_cast<std::uint32_t>(detail::load_le<4>(p));
}
constexpr std::uint64_t load_le64(const std::byte* p) { return detail::load_le<8>(p); }
constexpr void store_u8(std::byte* p, std::uint8_t v) { *p = static_cast<std::byte>(v); }
constexpr void store_le16(std::byte* p, std::uint16_t v) { detail::store_le<2>(p, v); }
constexpr void store_le24(std::byte* p, std::uint32_t v) { detail::store_le<3>(p, v); }
constexpr void store_le32(std::byte* p, std::uint32_t v) { detail::store_le<4>(p, v); }
constexpr void store_le64(std::byte* p, std::uint64_t v) { detail::store_le<8>(p, v); }
constexpr std::uint16_t load_be16(const std::byte* p) {
  return static_cast<std::uint16_t>(detail::load_be<2>(p));
}
constexpr std::uint32_t load_be32(const std::byte* p) {
  return static_cast<std::uint32_t>(detail::load_be<4>(p));
}
constexpr std::uint64_t load_be48(const std::byte* p) { return detail::load_be<6>(p); }
constexpr std::uint64_t load_be64(const std::byte* p) { return detail::load_be<8>(p); }
constexpr void store_be16(std::byte* p, std::uint16_t v) { detail::store_be<2>(p, v); }
constexpr void store_be32(std::byte* p, std::uint32_t v) { detail::store_be<4>(p, v); }
constexpr void store_be64(std::byte* p, std::uint64_t v) { detail::store_be<8>(p, v); }

/// Reads little-endian fields one after the other. Reading past the end is a bug of the codec
/// (which knows its size before it starts), never a question of the input.
class ByteReader {
 public:
  constexpr explicit ByteReader(ConstBytes bytes) : bytes_(bytes) {}
  // Each takes the next field.
  constexpr std::uint8_t u8() { return load_u8(take(1)); }
  constexpr std::uint16_t le16() { return load_le16(take(2)); }
  constexpr std::uint32_t le32() { return load_le32(take(4)); }
  constexpr std::uint64_t le64() { return load_le64(take(8)); }
  /// The next n bytes themselves, as long as those that were given are there.
  constexpr ConstBytes bytes(std::size_t n) { return {take(n), n}; }
  constexpr void skip(std::size_t n) { take(n); }
  /// Bytes that have been passed.
  [[nodiscard]] constexpr std::size_t offset() const { return offset_; }
  [[nodiscard]] constexpr std::size_t remaining() const { return bytes_.size() - offset_; }

 private:
  constexpr const std::byte* take(std::size_t n) {
    check(n <= remaining(), "decoder reads past its structure");
    const std::byte* p = bytes_.data() + offset_;
    offset_ += n;
    return p;
  }
  ConstBytes bytes_;
  std::size_t offset_ = 0;
};

/// Writes little-endian fields one after the other.
class ByteWriter {
 public:
  constexpr explicit ByteWriter(MutableBytes bytes) : bytes_(bytes) {}
  // As the next field. Writing past the end is a bug of the codec.
  constexpr void u8(std::uint8_t v) { store_u8(take(1), v); }
  constexpr void le16(std::uint16_t v) { store_le16(take(2), v); }
  constexpr void le32(std::uint32_t v) { store_le32(take(4), v); }
  constexpr void le64(std::uint64_t v) { store_le64(take(8), v); }
  constexpr void bytes(ConstBytes source) {
    std::byte* p = take(source.size());
    for (std::size_t i = 0; i < source.size(); ++i) p[i] = source[i];
  }
  constexpr void zeros(std::size_t n) {
    std::byte* p = take(n);
    for (std::size_t i = 0; i < n; ++i) p[i] = std::byte{0};
  }
  /// Bytes that have been written.
  [[nodiscard]] constexpr std::size_t offset() const { return offset_; }

 private:
  constexpr std::byte* take(std::size_t n) {
    check(n <= bytes_.size() - offset_, "encoder writes past its structure");
    std::byte* p = bytes_.data() + offset_;
    offset_ += n;
    return p;
  }
  MutableBytes bytes_;
  std::size_t offset_ = 0;
};

}  // namespace uvdo
