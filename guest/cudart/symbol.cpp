// SPDX-License-Identifier: Apache-2.0

// Variables in device memory by the address of what stands for them in the program.

#include "guest/cudart/module.hpp"
#include "guest/cudart/transfer.hpp"

namespace isthmus::cudart {
namespace {

cudaError_t place_of(const void* symbol, Variable::Place& place) {
  Variable* variable = find_variable(symbol);
  return variable != nullptr ? variable->place(place) : cudaErrorInvalidSymbol;
}

}  // namespace

cudaError_t inside_symbol(const void* symbol, std::size_t offset, std::size_t size, void*& address) {
  Variable::Place place;
  const cudaError_t error = place_of(symbol, place);
  if (error != cudaSuccess) {
    return error;
  }
  if (offset > place.size || size > place.size - offset) {
    return cudaErrorInvalidValue;
  }
  address = reinterpret_cast<void*>(place.address + offset);  // NOLINT(performance-no-int-to-ptr): the driver's address
  return cudaSuccess;
}

cudaError_t copy_to_symbol(Order order, const void* symbol, const void* from, std::size_t size, std::size_t offset,
                           cudaMemcpyKind kind) {
  if (kind != cudaMemcpyHostToDevice && kind != cudaMemcpyDeviceToDevice && kind != cudaMemcpyDefault) {
    return cudaErrorInvalidMemcpyDirection;
  }
  void* to = nullptr;
  const cudaError_t error = inside_symbol(symbol, offset, size, to);
  return error == cudaSuccess ? copy(order, to, from, size, kind) : error;
}

cudaError_t copy_from_symbol(Order order, void* to, const void* symbol, std::size_t size, std::size_t offset,
                             cudaMemcpyKind kind) {
  if (kind != cudaMemcpyDeviceToHost && kind != cudaMemcpyDeviceToDevice && kind != cudaMemcpyDefault) {
    return cudaErrorInvalidMemcpyDirection;
  }
  void* from = nullptr;
  const cudaError_t error = inside_symbol(symbol, offset, size, from);
  return error == cudaSuccess ? copy(order, to, from, size, kind) : error;
}

}  // namespace isthmus::cudart

using namespace isthmus::cudart;  // NOLINT(google-build-using-namespace): the names below are C's

cudaError_t cudaGetSymbolAddress(void** address, const void* symbol) {
  return with_context(
      [&] { return address != nullptr ? inside_symbol(symbol, 0, 0, *address) : cudaErrorInvalidValue; });
}

cudaError_t cudaGetSymbolSize(std::size_t* size, const void* symbol) {
  return with_context([&] {
    Variable::Place place;
    const cudaError_t error = size != nullptr ? place_of(symbol, place) : cudaErrorInvalidValue;
    if (error == cudaSuccess) {
      *size = place.size;
    }
    return error;
  });
}
