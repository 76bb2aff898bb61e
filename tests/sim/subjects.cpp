// SPDX-License-Identifier: GPL-2.0-or-later
#include "subjects.h"

#include <fmt/core.h>

#include "reference_store.h"
#include "volume_subject.h"

namespace uvdo::sim {

std::vector<std::string_view> subject_names() {
  std::vector<std::string_view> names{"volume", "reference"};
  for (const auto& [name, mistake] : mistakes()) names.push_back(name);
  return names;
}

std::unique_ptr<Subject> make_subject(std::string_view name) {
  if (name == "volume") return std::make_unique<VolumeSubject>();
  for (const auto& [known, fault] : kFaults) {
    if (FaultPoints::kPossible && name == fmt::format("volume/{}", known)) {
      return std::make_unique<VolumeSubject>(fault);
    }
  }
  if (name == "reference") return std::make_unique<ReferenceSubject>();
  for (const auto& [known, mistake] : mistakes()) {
    if (known == name) return std::make_unique<ReferenceSubject>(mistake);
  }
  return nullptr;
}

}  // namespace uvdo::sim
