// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/rbd_module.h"

#include <cstdlib>
#include <filesystem>
#include <string_view>

#include <dlfcn.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

namespace uvdo {
namespace {

namespace fs = std::filesystem;
constexpr const char* kFile = "uvdo-rbd.so";

/// Of this build tree, or where it has been installed. The names are the program's own: no variable
/// of the environment leads a program of root elsewhere.
fs::path file_of_module() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path beside = program.parent_path() / kFile;
  if (!error && fs::exists(beside, error)) return beside;
  return fs::path(UVDO_MODULE_FOLDER) / kFile;
}

/// Who loads a file runs what is in it: only root's and one's own are.
Result<void> check_owner(const fs::path& path) {
  for (const fs::path& each : {path, path.parent_path()}) {
    struct stat status {};
    if (stat(each.c_str(), &status) != 0) {
      return Error(Errc::not_found,
                   "names that begin with rbd: need Ceph's library; install the package uvdo-rbd");
    }
    const bool is_ours = status.st_uid == 0 || status.st_uid == geteuid();
    if (!is_ours || (status.st_mode & S_IWOTH) != 0) {
      return Error(Errc::unsupported, fmt::format("{} is not loaded: {} may be written by others",
                                                  path.string(), each.string()));
    }
  }
  return {};
}

Result<const RbdModule*> load() {
  const fs::path path = file_of_module();
  if (auto checked = check_owner(path); !checked) return std::move(checked).error();
  // It stays until the process ends: librados has threads that outlive a connection.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    return Error(Errc::unsupported, fmt::format("{} cannot be loaded: {}; install the package "
                                                "uvdo-rbd anew",
                                                path.string(), dlerror()));
  }
  const auto function = reinterpret_cast<RbdModuleFunction>(dlsym(library, kRbdModuleFunction));
  const RbdModule* module = function == nullptr ? nullptr : function();
  if (module == nullptr || std::string_view(module->version) != UVDO_VERSION) {
    return Error(
        Errc::unsupported,
        fmt::format("{} is of version {}, and this is {}; install the packages uvdo and "
                    "uvdo-rbd of one version",
                    path.string(), module == nullptr ? "none" : module->version, UVDO_VERSION));
  }
  return module;
}

}  // namespace

Result<const RbdModule*> rbd_module() {
  static const auto kLoaded = load();
  if (!kLoaded) return kLoaded.error().clone();
  return *kLoaded;
}

}  // namespace uvdo
