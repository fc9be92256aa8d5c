// SPDX-License-Identifier: BSD-3-Clause
//
// The AF_XDP device: a socket's rings over our frames, and the steering program that feeds them.
#pragma once

#include <memory>
#include <span>

#include "adoption_info.hpp"
#include "tandem/device.hpp"

namespace tandem {

/// Throw DeviceError.
std::unique_ptr<Device> open_xdp_device(const DeviceOptions& options);
std::unique_ptr<Device> attach_xdp_device(const DeviceOptions& options, const AdoptionInfo& info,
                                          std::span<const NamedDescriptor> descriptors);

}  // namespace tandem
