// SPDX-License-Identifier: BSD-3-Clause
#include <stdexcept>
#include <system_error>

#include "adoption_info.hpp"
#include "tandem/capture.hpp"
#include "tandem/device.hpp"
#include "tap_device.hpp"
#ifdef TANDEM_XDP
#include "xdp_device.hpp"
#endif

namespace tandem {
namespace {

[[maybe_unused, noreturn]] void no_xdp() {
  throw DeviceError(
      DeviceError::Kind::unsupported,
      "this program was built without AF_XDP (TANDEM_XDP=OFF); use a tap device (--device tap:IFNAME), or build "
      "it with libxdp, libbpf, clang and bpftool");
}

std::unique_ptr<Device> wrapped(std::unique_ptr<Device> device, const DeviceOptions& options, bool attached) {
  if (options.capture_path.empty()) return device;
  CaptureOptions capture;
  capture.path = options.capture_path;
  capture.interface = options.spec.interface;
  capture.attached = attached;
  return capture_device(std::move(device), std::move(capture));
}

/// Geometry and system calls below a device tell what they know; the rest is said here.
template <class Make>
std::unique_ptr<Device> with_device_errors(const std::string& what, Make make) {
  try {
    return make();
  } catch (const DeviceError&) {
    throw;
  } catch (const std::invalid_argument& error) {
    throw DeviceError(DeviceError::Kind::bad_option, what + ": " + error.what());
  } catch (const std::system_error& error) {
    const bool memory = error.code().value() == ENOMEM || error.code().value() == EAGAIN;
    throw DeviceError(DeviceError::Kind::system,
                      what + ": " + error.what() + (memory ? "; use fewer frames, or raise the limits on memory" : ""));
  }
}

void require_fit(const DeviceOptions& options, const AdoptionInfo& info) {
  const auto differ = [](const std::string& what, const std::string& ours, const std::string& theirs) {
    if (ours != theirs)
      throw DeviceError(DeviceError::Kind::bad_option, "the primary's " + what + " is " + theirs + ", ours is " + ours +
                                                           "; start both processes with the same options");
  };
  const auto text = [](DeviceSpec::Kind kind) { return std::string(kind == DeviceSpec::Kind::xdp ? "xdp" : "tap"); };
  differ("kind of device", text(options.spec.kind), text(info.kind));
  differ("interface", options.spec.interface, info.interface);
  if (info.kind == DeviceSpec::Kind::xdp)
    differ("queue", options.spec.all_queues ? "all" : std::to_string(options.spec.queue),
           info.queues != 0 ? "all" : std::to_string(info.queue));
  differ("VLAN", std::to_string(options.spec.vlan), std::to_string(info.vlan));
  differ("number of frames", std::to_string(options.frames), std::to_string(info.geometry.frames));
  differ("number of ring entries", std::to_string(options.ring_entries), std::to_string(info.geometry.ring_entries));
  if (options.mac && *options.mac != info.mac)
    throw DeviceError(DeviceError::Kind::bad_option,
                      "the primary's MAC address is another one than ours; start both processes with the same --mac");
}

}  // namespace

std::unique_ptr<Device> open_device(const DeviceOptions& options) {
  return with_device_errors("opening device " + options.spec.to_string(), [&] {
    if (options.spec.kind == DeviceSpec::Kind::tap) return wrapped(open_tap_device(options), options, false);
#ifdef TANDEM_XDP
    return wrapped(open_xdp_device(options), options, false);
#else
    no_xdp();
    return std::unique_ptr<Device>{};
#endif
  });
}

std::unique_ptr<Device> attach_device(const DeviceOptions& options, std::span<const std::uint8_t> adoption_info,
                                      std::span<const NamedDescriptor> descriptors) {
  return with_device_errors("attaching to the primary's device " + options.spec.to_string(), [&] {
    const AdoptionInfo info = AdoptionInfo::decode(adoption_info);
    require_fit(options, info);
    if (info.kind == DeviceSpec::Kind::tap) return wrapped(attach_tap_device(info, descriptors), options, true);
#ifdef TANDEM_XDP
    return wrapped(attach_xdp_device(options, info, descriptors), options, true);
#else
    no_xdp();
    return std::unique_ptr<Device>{};
#endif
  });
}

}  // namespace tandem
