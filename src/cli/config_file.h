// SPDX-License-Identifier: GPL-2.0-or-later
// Parameters from a TOML file (--config): `volume`, and a table for each command whose keys are the
// names of its options. What is given on the command line counts instead of what the file says.
//
//   volume = "/dev/disk/by-id/scsi-1"
//   [format]
//   logical-size = "10T"
//   [serve]
//   nbd = ["unix:/run/pool.sock"]
//   compression = true
//
// The file of a named volume is one, too (registry/named_volume.h): `uvdo serve NAME` is the same
// as `uvdo serve --config` with that file. Its volume is found by its UUID.
#pragma once

#include <optional>
#include <string>

#include "cli/command.h"
#include "format/uuid.h"

namespace uvdo {

/// What a file says for one command.
struct ConfigFile {
  std::string path;
  std::string volume;                  ///< empty if it does not say
  std::optional<Uuid> uuid{};          ///< of the volume, in the file of a named one
  std::vector<std::string> arguments;  ///< "--name=value"
};

/// Reads `text`, the contents of the file `path`, for the command whose options are in `app` and
/// whose table is `table`. invalid_argument: not TOML, a key that is no option, or a value of a
/// kind that the option does not have; with the line.
Result<ConfigFile> parse_config(const Arguments& app, std::string_view table,
                                const std::string& path, std::string_view text);

/// What the file of --config says, or that of the volume that the command line of serve names, but
/// for what the command line says itself.
Result<ConfigFile> read_config(const Arguments& app, std::string_view table, int argc, char** argv);

/// parse_arguments(), after what the file of --config says (which is added to the options). If the
/// command line does not name a volume, `volume` is what the file says. All that it says is put
/// into `file`, if that is not null.
[[nodiscard]] std::optional<int> parse_arguments_with_config(Arguments& app, std::string_view table,
                                                             std::string& volume, int argc,
                                                             char** argv,
                                                             ConfigFile* file = nullptr);

}  // namespace uvdo
