// SPDX-License-Identifier: GPL-2.0-or-later
#include "arguments/abbreviation.h"

#include <algorithm>
#include <iterator>

#include <fmt/core.h>

namespace uvdo {
namespace {

/// All long names, second ones too.
std::vector<std::string> names_of(const Arguments& app) {
  std::vector<std::string> names;
  for (const std::string& first : app.long_names()) {
    const auto shape = app.find(first);
    if (!shape) continue;
    std::ranges::copy_if(shape->names, std::back_inserter(names),
                         [](const std::string& name) { return name.starts_with("--"); });
  }
  return names;
}

}  // namespace

Result<std::vector<std::string>> with_full_options(const Arguments& app,
                                                   std::vector<std::string> words) {
  const std::vector<std::string> names = names_of(app);
  for (std::string& word : words) {
    if (word == "--") break;
    if (!word.starts_with("--")) continue;
    const std::string given = word.substr(0, word.find('='));
    if (std::ranges::find(names, given) != names.end()) continue;
    std::vector<std::string> meant;
    std::ranges::copy_if(names, std::back_inserter(meant),
                         [&](const std::string& name) { return name.starts_with(given); });
    if (meant.size() > 1) {
      return Error(Errc::invalid_argument,
                   fmt::format("{} may be {} or {}", given, meant[0], meant[1]));
    }
    if (meant.size() == 1) word.replace(0, given.size(), meant[0]);
  }
  return words;
}

}  // namespace uvdo
