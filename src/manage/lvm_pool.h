// SPDX-License-Identifier: GPL-2.0-or-later
// VDO pools of LVM: taking the data of one away from LVM for a while, and giving it back. Nothing
// of LVM's own description is changed.
//
// While uvdo has a pool its hidden logical volume POOL_vdata is active by itself. LVM allows that
// for reading only, and does not activate the pool meanwhile: so both cannot write to it. uvdo
// writes by a map of its own with the same table, /dev/mapper/uvdo-VG-POOL; a second one on top of
// POOL_vdata, uvdo-VG-POOL-hold, keeps that in use, so that LVM does not deactivate it.
#pragma once

#include <string>
#include <vector>

#include "manage/lvm_metadata.h"
#include "manage/named_volume.h"

namespace uvdo {

/// What LVM says of the pool "VG/POOL", active or not. not_found: there is none; unsupported: LVM's
/// programs are not here.
Result<LvmPool> read_lvm_pool(const std::string& pool);

/// Whether the text can be the name of a pool, and is no file here.
[[nodiscard]] bool is_lvm_pool_name(const std::string& text);

/// The path of the pool's data while uvdo has it.
[[nodiscard]] std::string lvm_pool_path(const std::string& pool);

/// What was active of a pool when it was taken, "VG/LV".
struct TakenPool {
  std::string pool;
  std::vector<std::string> was_active{};
};
/// Deactivates the pool in LVM and maps its data to lvm_pool_path(). busy: somebody uses a logical
/// volume of it. One that is mapped already is fine. After an error all is as it was.
Result<TakenPool> take_lvm_pool(const std::string& pool);
/// Gives it back. One that is not mapped is fine; busy: the map is in use.
Result<void> release_lvm_pool(const std::string& pool);
/// Gives it back as it was, after `error`, which is returned; also what has failed of that.
[[nodiscard]] Error return_lvm_pool(const TakenPool& taken, Error error);

/// What --attach of uvdo serve takes to offer each logical volume as the device VG-LV. One that
/// lies in several pieces becomes several devices, VG-LV.1 and so on.
[[nodiscard]] std::vector<std::string> attach_settings(const LvmPool& pool);

/// Registers the data of a pool as adopt_volume() does, with the devices of attach_settings() if
/// `volume` has none. The pool stays with uvdo: release_lvm_pool() gives it back until it is
/// started. After an error LVM has it.
Result<NamedVolume> adopt_lvm_pool(const Registry& registry, const std::string& pool,
                                   NamedVolume volume);

}  // namespace uvdo
