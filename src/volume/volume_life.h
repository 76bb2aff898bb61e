// SPDX-License-Identifier: GPL-2.0-or-later
// The life of a volume from its opening to its end. (That it is suspended meanwhile is told by
// Suspension, and that it has become read-only by ReadOnlyNotifier.)
#pragma once

#include <cstdint>

#include "base/check.h"

namespace uvdo {

/// The stages are one way; whoever acts on a stage asks after each wait, as it may have gone on.
class VolumeLife {
 public:
  enum class Stage : std::uint8_t {
    opening,   ///< its device says what it was before
    in_use,    ///< whatever ends it without a save is a crash now, if it may be written
    leaving,   ///< a stop has been asked for: requests end, and none is held any more
    stopping,  ///< new requests are refused
    ending,    ///< none is left, and what goes on in the background ends
  };
  enum class Use : std::uint8_t {
    writing,
    reading,  ///< it was opened for reading only
    salvage,  ///< it was opened for writing, and an error lets it only be read
  };

  /// Each stage leads to the next one. (A stop may be asked for more than once before it begins.)
  void enter(Stage next) {
    check(may_follow(stage_, next), "a volume's life has gone back");
    stage_ = next;
  }
  /// Whether its opening is over.
  [[nodiscard]] bool is_in_use() const { return stage_ != Stage::opening; }
  [[nodiscard]] bool is_leaving() const { return stage_ >= Stage::leaving; }
  [[nodiscard]] bool is_stopping() const { return stage_ >= Stage::stopping; }
  [[nodiscard]] bool is_ending() const { return stage_ == Stage::ending; }

  [[nodiscard]] Use use() const { return use_; }
  [[nodiscard]] bool is_for_reading() const { return use_ != Use::writing; }
  /// It is not to be written, or cannot be: what is found out while it is opened, `salvage` also
  /// right behind the mark that it is in use.
  void restrict_to(Use use) {
    check(stage_ == Stage::opening || (stage_ == Stage::in_use && use == Use::salvage),
          "a volume's use is known too late");
    use_ = use;
  }

  /// The table of the transitions.
  [[nodiscard]] static constexpr bool may_follow(Stage stage, Stage next) {
    switch (stage) {
      case Stage::opening: return next == Stage::in_use;
      case Stage::in_use: return next == Stage::leaving;
      case Stage::leaving: return next == Stage::leaving || next == Stage::stopping;
      case Stage::stopping: return next == Stage::ending;
      case Stage::ending: return false;
    }
    return false;
  }

 private:
  Stage stage_ = Stage::opening;
  Use use_ = Use::writing;
};

}  // namespace uvdo
