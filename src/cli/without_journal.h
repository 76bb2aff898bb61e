// SPDX-License-Identifier: GPL-2.0-or-later
// The option of commands for stopped volumes to leave the recovery journal out.
#pragma once

namespace uvdo {

inline constexpr const char* kWithoutJournal = "--without-journal";
/// The same for commands that had it under another name first.
inline constexpr const char* kWithoutJournalOrRaw = "--without-journal,--raw";
inline constexpr const char* kWithoutJournalHelp =
    "leave out the recovery journal of a volume that was not shut down or is read-only: what the "
    "kernel shows of a read-only one; flushed data may be missing, or be other data";

}  // namespace uvdo
