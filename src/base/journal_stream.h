// SPDX-License-Identifier: GPL-2.0-or-later
// Systemd's journal as a place for a log, of a program that no unit starts.
#pragma once

#include <string>
#include <string_view>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace uvdo {

/// The name of the journal where others are those of files; a file of that name is "./journal".
inline constexpr std::string_view kJournal = "journal";

/// `name`, made absolute if it is that of a file.
[[nodiscard]] std::string absolute_log_name(const std::string& name);

/// A stream whose lines become entries of the journal, each with the level that it begins with
/// (Log::Format::journal), under the name `identifier`; as systemd-cat(1) opens one. not_found:
/// nobody listens at `socket`.
Result<FileDescriptor> open_journal_stream(
    std::string_view identifier, const std::string& socket = "/run/systemd/journal/stdout");

}  // namespace uvdo
