// SPDX-License-Identifier: GPL-2.0-or-later
// Errors as values. Result<T> is a T or an Error; Result<void> is one pointer, null when all is
// well, so that the I/O path pays nothing for it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace uvdo {

/// What went wrong, in the terms in which callers decide. The message tells people.
enum class Errc {
  invalid_argument,  ///< the caller asked for something that makes no sense
  out_of_range,      ///< beyond the end of the device or of a limit
  no_space,          ///< no free physical block is left
  read_only,         ///< the volume or device takes no writes
  io,                ///< the backing device failed
  corrupt,           ///< bytes on disk are not what the format demands
  unsupported,       ///< a version or feature that this program does not know
  not_found,         ///< no such thing
  exists,            ///< it would overwrite something
  busy,              ///< in use by another process or operation
  cancelled,         ///< the operation was given up because of a shutdown
  protocol,          ///< a peer broke the protocol
  no_memory,         ///< a bounded pool or the machine has no memory left
};

/// The name of a code, for logs and JSON ("no_space").
[[nodiscard]] std::string_view name_of(Errc code);
/// The code of a name; `io` if there is none such.
[[nodiscard]] Errc errc_of(std::string_view name);

/// The errno value that tells a client of a block device about `code` (ENOSPC, EROFS, EIO, ...).
[[nodiscard]] int errno_of(Errc code);

/// An error: a code and one sentence for people. Cheap to move, never empty.
class [[nodiscard]] Error {
 public:
  Error(Errc code, std::string message)
      : detail_(std::make_unique<Detail>(Detail{code, std::move(message)})) {}
  [[nodiscard]] Errc code() const { return detail_->code; }
  [[nodiscard]] const std::string& message() const { return detail_->message; }
  /// The same error with `where` put in front of the message ("opening x: ...").
  [[nodiscard]] Error within(std::string_view where) const;
  [[nodiscard]] Error clone() const { return {code(), message()}; }

 private:
  template <class T>
  friend class Result;
  struct Detail {
    Errc code;
    std::string message;
  };
  explicit Error(std::unique_ptr<Detail> detail) : detail_(std::move(detail)) {}
  std::unique_ptr<Detail> detail_;
};

/// An Error made of errno and what was attempted ("read of 4096 bytes at 0: Input/output error").
Error errno_error(int errno_value, std::string_view what);

/// A value or an Error.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(*-explicit-*)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(*-explicit-*)

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] T& value() & { return std::get<0>(state_); }
  [[nodiscard]] const T& value() const& { return std::get<0>(state_); }
  [[nodiscard]] T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  [[nodiscard]] const Error& error() const& { return std::get<1>(state_); }
  [[nodiscard]] Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error.detail_)) {}  // NOLINT(*-explicit-*)

  [[nodiscard]] bool ok() const { return error_.detail_ == nullptr; }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] const Error& error() const& { return error_; }
  [[nodiscard]] Error&& error() && { return std::move(error_); }

 private:
  Error error_{std::unique_ptr<Error::Detail>{}};
};

/// The same result; an error names the step that failed ("saving: block map: ...").
[[nodiscard]] inline Result<void> within(std::string_view step, Result<void> done) {
  if (done) return done;
  return std::move(done).error().within(step);
}

}  // namespace uvdo
