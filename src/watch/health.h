// SPDX-License-Identifier: GPL-2.0-or-later
// Whether all is well with a served volume, in sentences, and what to do if not.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_fields.h"
#include "device/backing_state.h"
#include "device/device_activity.h"
#include "statistics/statistics_state.h"

namespace uvdo {

/// In what way a served volume is in use: what `top`, `stats --watch`, `status`, `info` and metrics
/// all say. The gravest that applies.
enum class Condition : std::uint8_t { normal, recovering, suspended, read_only };
/// From counters alone, so that server and commands say the same.
[[nodiscard]] Condition condition_of(const VolumeStatistics& statistics);
/// "normal", "recovering", "suspended", "read-only".
[[nodiscard]] std::string_view name_of(Condition condition);

/// All that assess() knows; gathered by who asks, so that tests need no volume.
struct HealthFacts {
  std::string volume;  ///< what people call it
  VolumeStatistics statistics;
  std::optional<std::string> read_only_reason;
  bool is_for_reading = false;  ///< it was opened for reading only, as somebody wished
  /// Logical blocks whose last flushed contents are lost with a damaged journal, at most.
  std::uint64_t blocks_lost = 0;
  /// When the room for data is used up if it goes on as it does now; nothing if it does not fill.
  std::optional<std::chrono::seconds> until_full;
  std::chrono::seconds rate_over{0};  ///< the time over which "now" was seen

  // ---- of the file or disk beneath
  DeviceActivity device;
  std::string last_device_error;        ///< a sentence; "" if there was none
  std::optional<BackingState> backing;  ///< none: it is not open, or cannot be looked at
  bool was_cut_off = false;             ///< the file has been shorter than the volume
  std::uint64_t end_of_volume = 0;      ///< in bytes on it
  /// Since when writes have been waiting for room beneath, and how many bytes; none if none wait.
  std::optional<std::chrono::seconds> short_for;
  std::uint64_t bytes_waiting = 0;
  bool refuses_writes = false;  ///< they have waited too long
};

/// What a trouble is about.
enum class TroubleKind : std::uint8_t {
  other,                ///< told by a server that knows more kinds than this program
  read_only,            ///< no more writes since an error
  room,                 ///< the room for data is used up, or nearly
  journal,              ///< flushed data is lost with a damaged journal
  disk,                 ///< requests to the file or disk beneath fail
  cut_off,              ///< the file or device is smaller than the volume
  removed,              ///< the file has no name any more
  moved,                ///< it has another one
  no_room_beneath,      ///< of the file system or thin disk
  beneath_nearly_full,  ///< and may need more than is left
  silent,               ///< a store behind a network has stopped answering
  suspended,
  index,  ///< new data is not deduplicated, though it should be
};
/// "read-only", "no-room-beneath"; an interface: docs/control.md.
[[nodiscard]] std::string_view name_of(TroubleKind kind);

/// How grave a trouble is for who keeps watch.
enum class Gravity : std::uint8_t {
  warning,   ///< it should be seen to
  critical,  ///< writes fail, or data is in danger
};
[[nodiscard]] Gravity gravity_of(TroubleKind kind);

/// A kind that is not known is `other`.
template <>
struct JsonCodec<TroubleKind> {
  static Json write(TroubleKind kind) { return std::string(name_of(kind)); }
  static std::optional<TroubleKind> read(const Json& json);
};

/// A problem and its cure, a sentence each.
struct Trouble {
  TroubleKind kind = TroubleKind::other;
  std::string problem;
  std::string advice;
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("kind", self.kind);
    v.value("problem", self.problem);
    v.value("advice", self.advice);
  }
};

struct Health {
  std::string summary;  ///< one sentence: all is well, or how many things are not
  std::vector<Trouble> troubles;
  std::vector<std::string> notes;  ///< what is worth knowing and needs nothing to be done
  [[nodiscard]] bool is_well() const { return troubles.empty(); }
};

/// The sentences for all that is not as it should be, in a fixed order, and the summary over them.
/// Pure.
[[nodiscard]] Health assess(const HealthFacts& facts);

/// Data blocks that the slabs have, used or not.
[[nodiscard]] std::uint64_t room_for_data(const VolumeStatistics& statistics);
/// Blocks of them that are taken: by data, and by pages of the block map. Nothing where nobody
/// knows: until a recovery has ended, and after an error.
[[nodiscard]] std::optional<std::uint64_t> room_used(const VolumeStatistics& statistics);

/// "at the rate of the last 20 seconds it is full in 3 hours".
[[nodiscard]] std::string outlook_text(std::chrono::seconds until_full,
                                       std::chrono::seconds rate_over);

/// "3 days", "5 hours", "12 minutes", "40 seconds".
[[nodiscard]] std::string duration_text(std::chrono::seconds duration);

}  // namespace uvdo
