// SPDX-License-Identifier: GPL-2.0-or-later
// What kinds of names a backing store may have: the path of a file or block device, or the URI of
// something that is reached through a network. Whoever makes paths absolute, resolves links or asks
// the file system about a name asks here first whether it is a path at all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace uvdo {

enum class StoreKind : std::uint8_t {
  path,  ///< of a regular file or a block device
  nbd,   ///< nbd://, nbds://, nbd+unix://, nbds+unix://
  rbd,   ///< rbd:POOL/IMAGE, of Ceph
};

/// By how the name begins; a file of such a name is meant by "./" before it.
[[nodiscard]] StoreKind kind_of_store(std::string_view name);
[[nodiscard]] inline bool is_path(std::string_view name) {
  return kind_of_store(name) == StoreKind::path;
}

/// The parts of an NBD URI that tell where an export is, as they are written.
struct NbdPlace {
  std::string server;  ///< "host:port" in small letters, or "unix:/path/of/socket"
  std::string export_name;
  std::string wait;          ///< the value of the parameter "uvdo-wait"; empty if there is none
  std::string key_file;      ///< of TLS: "tls-psk-file"; empty if there is none
  std::string certificates;  ///< of TLS: the folder "tls-certificates"; empty if there is none
  /// Nothing if it is no URI of that kind.
  static std::optional<NbdPlace> of(std::string_view uri);
};

/// The parts of "rbd:POOL/IMAGE[?conf=FILE&id=USER&namespace=NAME]".
struct RbdPlace {
  std::string pool;
  std::string image;
  std::string name_space;  ///< "": the pool's own
  std::string conf;        ///< "": where Ceph looks for it
  std::string id;          ///< of the user, without "client."; "": as Ceph's configuration says
  /// Nothing if it is no name of that kind.
  static std::optional<RbdPlace> of(std::string_view name);
};

/// One text for all the ways in which a URI may call one and the same store: what its lock and its
/// control socket are named after. A path is its own.
[[nodiscard]] std::string store_key(const std::string& name);

/// "store-0123456789abcdef", of the key of a URI: the name of its files in run_folder() and
/// lock_folder().
[[nodiscard]] std::string file_name_of_store(const std::string& uri);

/// The file that stands for a store on this machine: that of a path is the path itself; that of a
/// URI is an empty file in lock_folder(), there from the first time on that it was opened, whose
/// lock keeps two programs from using the store.
[[nodiscard]] std::string file_of_store(const std::string& name);

}  // namespace uvdo
