// SPDX-License-Identifier: GPL-2.0-or-later
// Printing for people. It never throws and never ends the program: whether all of it has arrived at
// standard output is asked once, at the end, and what cannot be printed on standard error is lost.
#pragma once

#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "base/printable.h"
#include "base/result.h"

namespace uvdo {

/// Opens those of the descriptors 0 to 2 that are closed, so that no file, socket or ring gets
/// their numbers and what is printed. They lead to /dev/null, and what is printed there has not
/// arrived. To be called before anything is opened.
void reserve_standard_descriptors();

/// As it is, with what steers a terminal.
void print_text(std::string_view text);
void print_error_text(std::string_view text);

/// Prints to standard output, as fmt::print does. No control characters get out but line feeds and
/// tabs: what is printed may hold names of files and words of others (printable.h).
template <typename... T>
void print(fmt::format_string<T...> text, T&&... arguments) {
  print_text(printable_lines(fmt::format(text, std::forward<T>(arguments)...)));
}

/// The same to standard error, behind what was printed to standard output.
template <typename... T>
void print_error(fmt::format_string<T...> text, T&&... arguments) {
  print_error_text(printable_lines(fmt::format(text, std::forward<T>(arguments)...)));
}

/// Writes what print() still has. An error if any of it has not arrived.
Result<void> finish_output();

}  // namespace uvdo
