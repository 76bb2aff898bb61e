// SPDX-License-Identifier: GPL-2.0-or-later
// The control command "stats".
#pragma once

#include "control/message.h"
#include "watch/activity.h"
#include "watch/statistics_json.h"

namespace uvdo {

struct StatisticsAnswer {
  VolumeStatistics statistics;
  std::optional<Activity> activity{};  ///< if it was asked for
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    VolumeStatistics::visit_fields(self.statistics, v);
    v.optional("activity", self.activity);
  }
};

/// The first one without `activity` waits for up to two seconds while the savings are counted.
struct StatisticsRequest {
  static constexpr std::string_view kCommand = "stats";
  using Answer = StatisticsAnswer;
  bool activity = false;  ///< also what rates are made of
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("activity", self.activity, "is true or false");
  }
};

}  // namespace uvdo
