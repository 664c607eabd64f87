// SPDX-License-Identifier: Apache-2.0

#include "guest/cudart/error.hpp"

#include <algorithm>
#include <array>
#include <functional>

#include "guest/cudart/context.hpp"

namespace isthmus::cudart {
namespace {

struct ErrorName {
  cudaError_t error;
  const char* name;
};

#define ERROR_NAME(error) \
  ErrorName { error, #error }
/// By number, as they stand in the public header.
constexpr auto error_names = std::to_array<ErrorName>({
    ERROR_NAME(cudaSuccess),
    ERROR_NAME(cudaErrorInvalidValue),
    ERROR_NAME(cudaErrorMemoryAllocation),
    ERROR_NAME(cudaErrorInitializationError),
    ERROR_NAME(cudaErrorCudartUnloading),
    ERROR_NAME(cudaErrorProfilerDisabled),
    ERROR_NAME(cudaErrorProfilerNotInitialized),
    ERROR_NAME(cudaErrorProfilerAlreadyStarted),
    ERROR_NAME(cudaErrorProfilerAlreadyStopped),
    ERROR_NAME(cudaErrorInvalidConfiguration),
    ERROR_NAME(cudaErrorInvalidPitchValue),
    ERROR_NAME(cudaErrorInvalidSymbol),
    ERROR_NAME(cudaErrorInvalidHostPointer),
    ERROR_NAME(cudaErrorInvalidDevicePointer),
    ERROR_NAME(cudaErrorInvalidTexture),
    ERROR_NAME(cudaErrorInvalidTextureBinding),
    ERROR_NAME(cudaErrorInvalidChannelDescriptor),
    ERROR_NAME(cudaErrorInvalidMemcpyDirection),
    ERROR_NAME(cudaErrorAddressOfConstant),
    ERROR_NAME(cudaErrorTextureFetchFailed),
    ERROR_NAME(cudaErrorTextureNotBound),
    ERROR_NAME(cudaErrorSynchronizationError),
    ERROR_NAME(cudaErrorInvalidFilterSetting),
    ERROR_NAME(cudaErrorInvalidNormSetting),
    ERROR_NAME(cudaErrorMixedDeviceExecution),
    ERROR_NAME(cudaErrorNotYetImplemented),
    ERROR_NAME(cudaErrorMemoryValueTooLarge),
    ERROR_NAME(cudaErrorStubLibrary),
    ERROR_NAME(cudaErrorInsufficientDriver),
    ERROR_NAME(cudaErrorCallRequiresNewerDriver),
    ERROR_NAME(cudaErrorInvalidSurface),
    ERROR_NAME(cudaErrorDuplicateVariableName),
    ERROR_NAME(cudaErrorDuplicateTextureName),
    ERROR_NAME(cudaErrorDuplicateSurfaceName),
    ERROR_NAME(cudaErrorDevicesUnavailable),
    ERROR_NAME(cudaErrorIncompatibleDriverContext),
    ERROR_NAME(cudaErrorMissingConfiguration),
    ERROR_NAME(cudaErrorPriorLaunchFailure),
    ERROR_NAME(cudaErrorLaunchMaxDepthExceeded),
    ERROR_NAME(cudaErrorLaunchFileScopedTex),
    ERROR_NAME(cudaErrorLaunchFileScopedSurf),
    ERROR_NAME(cudaErrorSyncDepthExceeded),
    ERROR_NAME(cudaErrorLaunchPendingCountExceeded),
    ERROR_NAME(cudaErrorInvalidDeviceFunction),
    ERROR_NAME(cudaErrorNoDevice),
    ERROR_NAME(cudaErrorInvalidDevice),
    ERROR_NAME(cudaErrorDeviceNotLicensed),
    ERROR_NAME(cudaErrorSoftwareValidityNotEstablished),
    ERROR_NAME(cudaErrorStartupFailure),
    ERROR_NAME(cudaErrorInvalidKernelImage),
    ERROR_NAME(cudaErrorDeviceUninitialized),
    ERROR_NAME(cudaErrorMapBufferObjectFailed),
    ERROR_NAME(cudaErrorUnmapBufferObjectFailed),
    ERROR_NAME(cudaErrorArrayIsMapped),
    ERROR_NAME(cudaErrorAlreadyMapped),
    ERROR_NAME(cudaErrorNoKernelImageForDevice),
    ERROR_NAME(cudaErrorAlreadyAcquired),
    ERROR_NAME(cudaErrorNotMapped),
    ERROR_NAME(cudaErrorNotMappedAsArray),
    ERROR_NAME(cudaErrorNotMappedAsPointer),
    ERROR_NAME(cudaErrorECCUncorrectable),
    ERROR_NAME(cudaErrorUnsupportedLimit),
    ERROR_NAME(cudaErrorDeviceAlreadyInUse),
    ERROR_NAME(cudaErrorPeerAccessUnsupported),
    ERROR_NAME(cudaErrorInvalidPtx),
    ERROR_NAME(cudaErrorInvalidGraphicsContext),
    ERROR_NAME(cudaErrorNvlinkUncorrectable),
    ERROR_NAME(cudaErrorJitCompilerNotFound),
    ERROR_NAME(cudaErrorUnsupportedPtxVersion),
    ERROR_NAME(cudaErrorJitCompilationDisabled),
    ERROR_NAME(cudaErrorUnsupportedExecAffinity),
    ERROR_NAME(cudaErrorUnsupportedDevSideSync),
    ERROR_NAME(cudaErrorContained),
    ERROR_NAME(cudaErrorInvalidSource),
    ERROR_NAME(cudaErrorFileNotFound),
    ERROR_NAME(cudaErrorSharedObjectSymbolNotFound),
    ERROR_NAME(cudaErrorSharedObjectInitFailed),
    ERROR_NAME(cudaErrorOperatingSystem),
    ERROR_NAME(cudaErrorInvalidResourceHandle),
    ERROR_NAME(cudaErrorIllegalState),
    ERROR_NAME(cudaErrorLossyQuery),
    ERROR_NAME(cudaErrorSymbolNotFound),
    ERROR_NAME(cudaErrorNotReady),
    ERROR_NAME(cudaErrorIllegalAddress),
    ERROR_NAME(cudaErrorLaunchOutOfResources),
    ERROR_NAME(cudaErrorLaunchTimeout),
    ERROR_NAME(cudaErrorLaunchIncompatibleTexturing),
    ERROR_NAME(cudaErrorPeerAccessAlreadyEnabled),
    ERROR_NAME(cudaErrorPeerAccessNotEnabled),
    ERROR_NAME(cudaErrorSetOnActiveProcess),
    ERROR_NAME(cudaErrorContextIsDestroyed),
    ERROR_NAME(cudaErrorAssert),
    ERROR_NAME(cudaErrorTooManyPeers),
    ERROR_NAME(cudaErrorHostMemoryAlreadyRegistered),
    ERROR_NAME(cudaErrorHostMemoryNotRegistered),
    ERROR_NAME(cudaErrorHardwareStackError),
    ERROR_NAME(cudaErrorIllegalInstruction),
    ERROR_NAME(cudaErrorMisalignedAddress),
    ERROR_NAME(cudaErrorInvalidAddressSpace),
    ERROR_NAME(cudaErrorInvalidPc),
    ERROR_NAME(cudaErrorLaunchFailure),
    ERROR_NAME(cudaErrorCooperativeLaunchTooLarge),
    ERROR_NAME(cudaErrorTensorMemoryLeak),
    ERROR_NAME(cudaErrorNotPermitted),
    ERROR_NAME(cudaErrorNotSupported),
    ERROR_NAME(cudaErrorSystemNotReady),
    ERROR_NAME(cudaErrorSystemDriverMismatch),
    ERROR_NAME(cudaErrorCompatNotSupportedOnDevice),
    ERROR_NAME(cudaErrorMpsConnectionFailed),
    ERROR_NAME(cudaErrorMpsRpcFailure),
    ERROR_NAME(cudaErrorMpsServerNotReady),
    ERROR_NAME(cudaErrorMpsMaxClientsReached),
    ERROR_NAME(cudaErrorMpsMaxConnectionsReached),
    ERROR_NAME(cudaErrorMpsClientTerminated),
    ERROR_NAME(cudaErrorCdpNotSupported),
    ERROR_NAME(cudaErrorCdpVersionMismatch),
    ERROR_NAME(cudaErrorStreamCaptureUnsupported),
    ERROR_NAME(cudaErrorStreamCaptureInvalidated),
    ERROR_NAME(cudaErrorStreamCaptureMerge),
    ERROR_NAME(cudaErrorStreamCaptureUnmatched),
    ERROR_NAME(cudaErrorStreamCaptureUnjoined),
    ERROR_NAME(cudaErrorStreamCaptureIsolation),
    ERROR_NAME(cudaErrorStreamCaptureImplicit),
    ERROR_NAME(cudaErrorCapturedEvent),
    ERROR_NAME(cudaErrorStreamCaptureWrongThread),
    ERROR_NAME(cudaErrorTimeout),
    ERROR_NAME(cudaErrorGraphExecUpdateFailure),
    ERROR_NAME(cudaErrorExternalDevice),
    ERROR_NAME(cudaErrorInvalidClusterSize),
    ERROR_NAME(cudaErrorFunctionNotLoaded),
    ERROR_NAME(cudaErrorInvalidResourceType),
    ERROR_NAME(cudaErrorInvalidResourceConfiguration),
    ERROR_NAME(cudaErrorUnknown),
    ERROR_NAME(cudaErrorApiFailureBase),
});
#undef ERROR_NAME
static_assert(std::ranges::is_sorted(error_names, std::ranges::less{}, &ErrorName::error));

struct ErrorText {
  cudaError_t error;
  const char* text;
};

/// What the runtime alone has; for the others the driver is asked.
constexpr auto error_texts = std::to_array<ErrorText>({
    {cudaErrorInvalidConfiguration, "invalid configuration argument"},
    {cudaErrorInvalidPitchValue, "invalid pitch argument"},
    {cudaErrorInvalidSymbol, "invalid device symbol"},
    {cudaErrorInvalidHostPointer, "invalid host pointer"},
    {cudaErrorInvalidDevicePointer, "invalid device pointer"},
    {cudaErrorInvalidTexture, "invalid texture reference"},
    {cudaErrorInvalidTextureBinding, "texture is not bound to a pointer"},
    {cudaErrorInvalidChannelDescriptor, "invalid channel descriptor"},
    {cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"},
    {cudaErrorInvalidFilterSetting, "filter mode does not fit the texture's type"},
    {cudaErrorInvalidNormSetting, "read mode does not fit the texture's type"},
    {cudaErrorNotYetImplemented, "feature not yet implemented"},
    {cudaErrorInsufficientDriver, "no libcuda.so.1 that can serve this runtime"},
    {cudaErrorInvalidSurface, "invalid surface reference"},
    {cudaErrorIncompatibleDriverContext, "the current driver context cannot be used by the runtime"},
    {cudaErrorMissingConfiguration, "kernel launch without a configuration"},
    {cudaErrorInvalidDeviceFunction, "invalid device function"},
    {cudaErrorStartupFailure, "startup failure in the runtime"},
});

const ErrorName* find_name(cudaError_t error) {
  const auto* found = std::ranges::lower_bound(error_names, error, std::ranges::less{}, &ErrorName::error);
  return found != error_names.end() && found->error == error ? found : nullptr;
}

constexpr const char* no_such_error = "unrecognized error code";

/// After one of these the context is lost: every call answers the same until the device is reset.
bool is_sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
      return true;
    default:
      return false;
  }
}

struct LastError {
  cudaError_t error = cudaSuccess;
  unsigned resets = 0;  ///< device resets before it

  /// A reset of a device ends what was wrong with it.
  [[nodiscard]] cudaError_t now() const {
    return is_sticky(error) && resets != count_of_resets() ? cudaSuccess : error;
  }
};

thread_local LastError last_error;

}  // namespace

cudaError_t to_runtime(CUresult result) noexcept {
  if (result == CUDA_SUCCESS) [[likely]] {
    return cudaSuccess;
  }
  const auto error = static_cast<cudaError_t>(result);
  return find_name(error) != nullptr ? error : cudaErrorUnknown;
}

void remember(cudaError_t error) noexcept { last_error = {.error = error, .resets = count_of_resets()}; }

}  // namespace isthmus::cudart

using namespace isthmus::cudart;  // NOLINT(google-build-using-namespace): the names below are C's

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error.now();
  if (!is_sticky(error)) {
    last_error = {};
  }
  return error;
}

cudaError_t cudaPeekAtLastError() { return last_error.now(); }

const char* cudaGetErrorName(cudaError_t error) {
  const ErrorName* found = find_name(error);
  return found != nullptr ? found->name : no_such_error;
}

const char* cudaGetErrorString(cudaError_t error) {
  const ErrorName* found = find_name(error);
  if (found == nullptr) {
    return no_such_error;
  }
  const auto* own = std::ranges::find(error_texts, error, &ErrorText::error);
  if (own != error_texts.end()) {
    return own->text;
  }
  const char* text = nullptr;
  if (cuGetErrorString == nullptr || cuGetErrorString(to_driver(error), &text) != CUDA_SUCCESS || text == nullptr) {
    return found->name;
  }
  return text;
}

/// What the names of not_supported.txt answer (not_supported.cpp).
extern "C" int isthmus_cudart_not_supported() { return report(cudaErrorNotSupported); }
