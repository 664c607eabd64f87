// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "guest/cudart/driver.hpp"
#include "guest/cudart/runtime.hpp"

/// \file
/// Which device a thread uses, and the primary contexts. All functions may be called by any thread.

namespace isthmus::cudart {

/// Devices with a higher ordinal are refused as invalid.
constexpr int max_devices = 64;

/// Starts the driver. cudaErrorInsufficientDriver where libcuda.so.1 cannot even be started, else the driver's error.
cudaError_t initialise();

/// Sees to it that the calling thread has a context: one that the program made current through the driver API stays,
/// else it is the primary context of the thread's device. Nearly every entry point starts with it.
cudaError_t ready();

/// The primary context of a device; it is made, and stays, if need be.
cudaError_t primary_context(int device, CUcontext& context);

/// The device of the current context; without one, the device that the thread chose.
cudaError_t current_device(int& device);

/// Makes `device` the thread's, and its primary context current. After an error everything is as it was.
cudaError_t choose_device(int device);

/// Destroys the primary context of the thread's device. Every thread that used it gets a fresh one at its next call.
/// Nothing happens where the program made a context of its own current.
cudaError_t reset_device();

/// The flags of the current context; without one, those that the primary context of the thread's device has or will
/// have.
cudaError_t device_flags(unsigned& flags);

/// How many times a device was reset in this process.
unsigned count_of_resets();

/// cudaErrorInvalidDevice unless `device` is the ordinal of a device.
cudaError_t check_device(int device);

}  // namespace isthmus::cudart
