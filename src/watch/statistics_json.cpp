// SPDX-License-Identifier: GPL-2.0-or-later
// The two visitors that write and read statistics as JSON.
#include "watch/statistics_json.h"

#include <optional>
#include <string>
#include <type_traits>

#include <fmt/core.h>

#include "statistics/statistics_fields.h"
#include "statistics/statistics_text.h"

namespace uvdo {
namespace {

class JsonWriter {
 public:
  explicit JsonWriter(Json& json) : at_(&json) {}
  template <class T>
  void value(const char* key, const T& field) {
    if constexpr (std::is_same_v<T, OperatingMode>) {
      (*at_)[key] = std::string(name_of(field));
    } else if constexpr (std::is_same_v<T, std::optional<std::uint64_t>>) {
      (*at_)[key] = field ? Json(*field) : Json(nullptr);
    } else {
      (*at_)[key] = field;
    }
  }
  template <class F>
  void group(const char* key, F&& f) {
    Json* outer = at_;
    Json inner = Json::object();
    at_ = &inner;
    f();
    at_ = outer;
    (*at_)[key] = std::move(inner);
  }

 private:
  Json* at_;
};

class JsonReader {
 public:
  explicit JsonReader(const Json& json) : at_(&json) {}
  void value(const char* key, std::uint64_t& field) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (!found->is_number_unsigned()) return complain(key);
    field = found->get<std::uint64_t>();
  }
  void value(const char* key, std::optional<std::uint64_t>& field) {
    const Json* found = find(key);
    field.reset();
    if (found == nullptr || found->is_null()) return;
    if (!found->is_number_unsigned()) return complain(key);
    field = found->get<std::uint64_t>();
  }
  void value(const char* key, bool& field) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (!found->is_boolean()) return complain(key);
    field = found->get<bool>();
  }
  void value(const char* key, std::string& field) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (!found->is_string()) return complain(key);
    field = found->get<std::string>();
  }
  void value(const char* key, OperatingMode& field) {
    std::string text(name_of(field));
    value(key, text);
    for (const OperatingMode mode :
         {OperatingMode::normal, OperatingMode::recovering, OperatingMode::read_only}) {
      if (text != name_of(mode)) continue;
      field = mode;
      return;
    }
    complain(key);
  }
  template <class F>
  void group(const char* key, F&& f) {
    const Json* outer = at_;
    const Json* inner = find(key);
    if (inner == nullptr) return;
    if (!inner->is_object()) return complain(key);
    at_ = inner;
    f();
    at_ = outer;
  }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  [[nodiscard]] const Json* find(const char* key) const {
    const auto found = at_->find(key);
    return found == at_->end() ? nullptr : &*found;
  }
  void complain(const char* key) {
    if (problem_.empty()) problem_ = key;
  }
  const Json* at_;
  std::string problem_;
};

}  // namespace

Json to_json(const VolumeStatistics& statistics) {
  Json json = Json::object();
  JsonWriter writer(json);
  visit_statistics(statistics, writer);
  return json;
}

Result<VolumeStatistics> statistics_from_json(const Json& json) {
  if (!json.is_object()) return Error(Errc::protocol, "the statistics are no JSON object");
  VolumeStatistics statistics;
  JsonReader reader(json);
  visit_statistics(statistics, reader);
  if (!reader.problem().empty()) {
    return Error(Errc::protocol,
                 fmt::format("the statistic \"{}\" has a value of a wrong type", reader.problem()));
  }
  return statistics;
}

}  // namespace uvdo
