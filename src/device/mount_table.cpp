// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/mount_table.h"

#include <charconv>
#include <fstream>
#include <iterator>
#include <sstream>

#include <sys/sysmacros.h>

namespace uvdo {
namespace {

/// The kernel writes white space and backslashes in paths as three octal digits.
std::string decoded(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    const char* const digits = text.data() + i + 1;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(digits, digits + 3, code, 8).ptr == digits + 3) {
      plain.push_back(static_cast<char>(code));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

}  // namespace

std::vector<MountEntry> parse_mounts(std::string_view mountinfo) {
  std::vector<MountEntry> all;
  std::istringstream lines{std::string(mountinfo)};
  for (std::string line; std::getline(lines, line);) {
    // ID PARENT MAJOR:MINOR ROOT PLACE OPTIONS OPTIONAL... - TYPE SOURCE SUPER-OPTIONS
    std::istringstream words(line);
    std::string word;
    unsigned major_number = 0;
    unsigned minor_number = 0;
    char colon = 0;
    MountEntry mount;
    words >> word >> word >> major_number >> colon >> minor_number >> word >> mount.place;
    if (!words || colon != ':') continue;
    while (words >> word && word != "-") {
    }
    if (!(words >> mount.type)) continue;
    words >> mount.source;
    mount.device = makedev(major_number, minor_number);
    mount.place = decoded(mount.place);
    all.push_back(std::move(mount));
  }
  return all;
}

std::vector<MountEntry> mounts_now(const std::string& proc) {
  std::ifstream file(proc + "/self/mountinfo");
  return parse_mounts(
      std::string{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()});
}

}  // namespace uvdo
