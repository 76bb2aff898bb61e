// SPDX-License-Identifier: GPL-2.0-or-later
// Taking over all volumes of a configuration file of `vdo` at once, for `uvdo adopt --vdoconf`.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "registry/registry.h"

namespace uvdo {

struct AdoptedFile {
  std::vector<std::string> adopted{};  ///< names, sorted
  std::vector<Error> refused{};        ///< a sentence with the name for each that could not be had
};

/// Makes each volume of the file a named volume with the settings that it has there; one that is
/// named already gets them. The file stays as it is. corrupt, io: the file cannot be read.
Result<AdoptedFile> adopt_vdo_file(const Registry& registry, const std::string& path);

}  // namespace uvdo
