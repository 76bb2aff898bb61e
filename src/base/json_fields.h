// SPDX-License-Identifier: GPL-2.0-or-later
// Structures as JSON objects, each by one list of its fields, so that what writes a key and what
// reads it cannot differ. A list is a function that shows a visitor each field under its key:
//
//   struct Point {
//     std::uint64_t x = 0;
//     std::optional<std::string> name{};
//     template <class Self, class Visitor>
//     static void visit_fields(Self& self, Visitor& v) {
//       v.required("x", self.x, "is a number");
//       v.optional("name", self.name, "is a text");
//     }
//   };
//
// A visitor has
//   value(key, field)       written always; where it is missing the field keeps what it has
//   required(key, field)    the same, but it must not be missing
//   optional(key, field)    a std::optional, not written while it is unset
//   derived(key, value)     written for those who read the JSON, and never read
//   group(key, f)           an object of its own, whose fields f() shows
// each with a rule at the end if the key is one that people write: what the value is, as the end of
// a sentence that begins with the key.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace uvdo {

/// How a type is written and read: `static Json write(const T&)`, and `static std::optional<T>
/// read(const Json&)`, which gives nothing if the value is not one of T.
template <class T>
struct JsonCodec;

/// What was wrong with the first field that could not be read.
struct JsonProblem {
  std::string key;
  std::string rule;  ///< what it should be; may be empty
};

/// Writes fields into an object.
class JsonFieldWriter {
 public:
  explicit JsonFieldWriter(Json& object) : at_(&object) {}
  template <class T>
  void value(const char* key, const T& field, std::string_view /*rule*/ = {}) {
    (*at_)[key] = JsonCodec<T>::write(field);
  }
  template <class T>
  void required(const char* key, const T& field, std::string_view /*rule*/ = {}) {
    value(key, field);
  }
  template <class T>
  void optional(const char* key, const std::optional<T>& field, std::string_view /*rule*/ = {}) {
    if (field) value(key, *field);
  }
  template <class T>
  void derived(const char* key, const T& value_now) {
    value(key, value_now);
  }
  template <class F>
  void group(const char* key, F&& f) {
    // Fields that f() shows meanwhile belong to the inner object.
    Json inner = Json::object();
    Json* outer = std::exchange(at_, &inner);
    f();
    at_ = outer;
    (*at_)[key] = std::move(inner);
  }

 private:
  Json* at_;
};

/// Reads fields from an object. A wrong one is remembered and keeps its value; the rest is read.
class JsonFieldReader {
 public:
  explicit JsonFieldReader(const Json& object) : at_(&object) {}
  template <class T>
  void value(const char* key, T& field, std::string_view rule = {}) {
    const Json* found = find(key);
    if (found == nullptr) return;
    auto read = JsonCodec<T>::read(*found);
    if (!read) return complain(key, rule);
    field = std::move(*read);
  }
  template <class T>
  void required(const char* key, T& field, std::string_view rule = {}) {
    if (find(key) == nullptr) return complain(key, rule);
    value(key, field, rule);
  }
  template <class T>
  void optional(const char* key, std::optional<T>& field, std::string_view rule = {}) {
    field.reset();
    if (find(key) != nullptr) value(key, field.emplace(), rule);
  }
  template <class T>
  void derived(const char* /*key*/, const T& /*value_now*/) {}
  template <class F>
  void group(const char* key, F&& f) {
    const Json* inner = find(key);
    if (inner == nullptr) return;
    if (!inner->is_object()) return complain(key, {});
    const Json* outer = std::exchange(at_, inner);
    f();
    at_ = outer;
  }
  [[nodiscard]] const std::optional<JsonProblem>& problem() const { return problem_; }

 private:
  [[nodiscard]] const Json* find(const char* key) const {
    if (!at_->is_object()) return nullptr;
    const auto found = at_->find(key);
    return found == at_->end() ? nullptr : &*found;
  }
  void complain(const char* key, std::string_view rule) {
    if (!problem_) problem_ = JsonProblem{key, std::string(rule)};
  }
  const Json* at_;
  std::optional<JsonProblem> problem_;
};

/// Collects the keys of the outermost object, in order.
class JsonFieldKeys {
 public:
  template <class T>
  void value(const char* key, const T& /*field*/, std::string_view /*rule*/ = {}) {
    keys_.emplace_back(key);
  }
  template <class T>
  void required(const char* key, const T& field, std::string_view /*rule*/ = {}) {
    value(key, field);
  }
  template <class T>
  void optional(const char* key, const T& field, std::string_view /*rule*/ = {}) {
    value(key, field);
  }
  template <class T>
  void derived(const char* key, const T& value_now) {
    value(key, value_now);
  }
  template <class F>
  void group(const char* key, F&& /*f*/) {
    keys_.emplace_back(key);
  }
  [[nodiscard]] const std::vector<std::string_view>& keys() const { return keys_; }

 private:
  std::vector<std::string_view> keys_;
};

/// Has a list of fields as above.
template <class T>
concept HasJsonFields = requires(const T& self, JsonFieldKeys& keys) {
  T::visit_fields(self, keys);
};

/// The fields as an object.
template <HasJsonFields T>
[[nodiscard]] Json fields_json(const T& value) {
  Json json = Json::object();
  JsonFieldWriter writer(json);
  T::visit_fields(value, writer);
  return json;
}

/// What `json` says of the fields of `value`; the first problem, if there is one. No object at all
/// is a problem without a key.
template <HasJsonFields T>
[[nodiscard]] std::optional<JsonProblem> read_fields(const Json& json, T& value) {
  if (!json.is_object()) return JsonProblem{};
  JsonFieldReader reader(json);
  T::visit_fields(value, reader);
  return reader.problem();
}

/// The keys that such an object may have, in the order of the list.
template <HasJsonFields T>
[[nodiscard]] std::vector<std::string_view> field_keys() {
  JsonFieldKeys keys;
  const T value = T();
  T::visit_fields(value, keys);
  return keys.keys();
}

// ---- the types that fields have

template <>
struct JsonCodec<bool> {
  static Json write(bool value) { return value; }
  static std::optional<bool> read(const Json& json) {
    return json.is_boolean() ? std::optional(json.get<bool>()) : std::nullopt;
  }
};

/// Not negative, without a fraction, and no more than T holds.
template <std::unsigned_integral T>
struct JsonCodec<T> {
  static Json write(T value) { return value; }
  static std::optional<T> read(const Json& json) {
    if (!json.is_number_unsigned()) return std::nullopt;
    const auto number = json.get<std::uint64_t>();
    return static_cast<T>(number) == number ? std::optional(static_cast<T>(number)) : std::nullopt;
  }
};

/// The same with a sign.
template <>
struct JsonCodec<std::int64_t> {
  static Json write(std::int64_t value) { return value; }
  static std::optional<std::int64_t> read(const Json& json) {
    if (!json.is_number_integer()) return std::nullopt;
    const bool is_too_large =
        json.is_number_unsigned() && !std::in_range<std::int64_t>(json.get<std::uint64_t>());
    return is_too_large ? std::nullopt : std::optional(json.get<std::int64_t>());
  }
};

/// Any number.
template <>
struct JsonCodec<double> {
  static Json write(double value) { return value; }
  static std::optional<double> read(const Json& json) {
    return json.is_number() ? std::optional(json.get<double>()) : std::nullopt;
  }
};

template <>
struct JsonCodec<std::string> {
  static Json write(const std::string& value) { return value; }
  static std::optional<std::string> read(const Json& json) {
    return json.is_string() ? std::optional(json.get<std::string>()) : std::nullopt;
  }
};

/// Whole seconds, from now on or of length: not negative.
template <>
struct JsonCodec<std::chrono::seconds> {
  static Json write(std::chrono::seconds value) { return value.count(); }
  static std::optional<std::chrono::seconds> read(const Json& json) {
    const auto count = JsonCodec<std::uint64_t>::read(json);
    if (!count || *count > static_cast<std::uint64_t>(std::chrono::seconds::max().count())) {
      return std::nullopt;
    }
    return std::chrono::seconds(static_cast<std::int64_t>(*count));
  }
};

/// null while it is unset.
template <class T>
struct JsonCodec<std::optional<T>> {
  static Json write(const std::optional<T>& value) {
    return value ? JsonCodec<T>::write(*value) : Json(nullptr);
  }
  static std::optional<std::optional<T>> read(const Json& json) {
    if (json.is_null()) return std::optional<std::optional<T>>(std::in_place, std::nullopt);
    auto value = JsonCodec<T>::read(json);
    if (!value) return std::nullopt;
    return std::optional<std::optional<T>>(std::in_place, std::move(value));
  }
};

/// All elements, or, if one is wrong, nothing.
template <class T>
struct JsonCodec<std::vector<T>> {
  static Json write(const std::vector<T>& values) {
    Json json = Json::array();
    for (const T& value : values) json.push_back(JsonCodec<T>::write(value));
    return json;
  }
  static std::optional<std::vector<T>> read(const Json& json) {
    if (!json.is_array()) return std::nullopt;
    std::vector<T> values;
    for (const Json& element : json) {
      auto value = JsonCodec<T>::read(element);
      if (!value) return std::nullopt;
      values.push_back(std::move(*value));
    }
    return values;
  }
};

template <HasJsonFields T>
struct JsonCodec<T> {
  static Json write(const T& value) { return fields_json(value); }
  static std::optional<T> read(const Json& json) {
    T value;
    if (read_fields(json, value)) return std::nullopt;
    return value;
  }
};

}  // namespace uvdo
