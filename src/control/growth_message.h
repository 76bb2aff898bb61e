// SPDX-License-Identifier: GPL-2.0-or-later
// The control command "grow".
#pragma once

#include "control/message.h"
#include "volume/growth.h"

namespace uvdo {

/// Bytes, or as far as it goes.
struct PhysicalTarget {
  static constexpr std::string_view kMax = "max";
  std::uint64_t bytes = 0;
  bool is_max = false;
};

template <>
struct JsonCodec<PhysicalTarget> {
  static Json write(const PhysicalTarget& target) {
    return target.is_max ? Json(std::string(PhysicalTarget::kMax)) : Json(target.bytes);
  }
  static std::optional<PhysicalTarget> read(const Json& json) {
    if (json.is_string() && json.get<std::string>() == PhysicalTarget::kMax) {
      return PhysicalTarget{0, true};
    }
    const auto bytes = JsonCodec<std::uint64_t>::read(json);
    return bytes ? std::optional(PhysicalTarget{*bytes}) : std::nullopt;
  }
};

/// The sizes of a volume, in bytes, when its growth has ended.
struct GrowthAnswer {
  std::uint64_t logical = 0;
  std::uint64_t physical = 0;
  bool changed = true;
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("logical", self.logical);
    v.value("physical", self.physical);
    v.value("changed", self.changed);
  }
};

/// How far the volume is to grow; a size that is not named stays.
struct GrowthMessage {
  static constexpr std::string_view kCommand = "grow";
  using Answer = GrowthAnswer;
  std::optional<std::uint64_t> logical{};
  std::optional<PhysicalTarget> physical{};

  GrowthMessage() = default;
  explicit GrowthMessage(const GrowthRequest& wanted) : logical(wanted.logical_bytes) {
    if (wanted.physical_bytes) physical = {*wanted.physical_bytes};
    if (wanted.physical_max) physical = {0, true};
  }
  [[nodiscard]] GrowthRequest wanted() const {
    GrowthRequest request;
    request.logical_bytes = logical;
    request.physical_max = physical && physical->is_max;
    if (physical && !physical->is_max) request.physical_bytes = physical->bytes;
    return request;
  }

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.optional("logical", self.logical, "is a number of bytes");
    v.optional("physical", self.physical, "is a number of bytes or \"max\"");
  }
  /// invalid_argument: nothing is to grow. Whether a size is possible is the volume's business.
  [[nodiscard]] Result<void> check() const {
    if (logical || physical) return {};
    return Error(Errc::invalid_argument, "grow needs \"logical\" or \"physical\"");
  }
};

}  // namespace uvdo
