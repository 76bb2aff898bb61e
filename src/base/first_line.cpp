// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/first_line.h"

#include <fstream>

namespace uvdo {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace uvdo
