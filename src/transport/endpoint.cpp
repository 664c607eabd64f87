// SPDX-License-Identifier: Apache-2.0
#include "isthmus/endpoint.hpp"

#include <algorithm>

#include "src/transport/text.hpp"

namespace isthmus {
namespace {

constexpr std::size_t longest_name = 63;

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= longest_name && text != "." && text != ".." &&
         std::ranges::all_of(text, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
                  c == '-';
         });
}

// DDDD:BB:SS.F in lower-case hexadecimal, as sysfs spells it.
bool is_pci_address(std::string_view text) {
  constexpr std::string_view form = "xxxx:xx:xx.x";
  return text.size() == form.size() && std::ranges::equal(text, form, [](char c, char f) {
           return f == 'x' ? (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') : c == f;
         });
}

std::unexpected<Error> bad(std::string_view uri) {
  return fail(Errc::invalid_argument, text("endpoint \"", uri,
                                           "\": expected shm:NAME, ivshmem:auto, ivshmem:auto?region=NAME or "
                                           "ivshmem:0000:00:04.0"));
}

}  // namespace

Result<Endpoint> Endpoint::parse(std::string_view uri) {
  constexpr std::string_view shm = "shm:";
  constexpr std::string_view ivshmem = "ivshmem:";
  constexpr std::string_view any = "auto";
  constexpr std::string_view any_named = "auto?region=";
  Endpoint endpoint;
  if (uri.starts_with(shm)) {
    endpoint.name = uri.substr(shm.size());
    return is_name(endpoint.name) ? Result<Endpoint>(std::move(endpoint)) : bad(uri);
  }
  if (!uri.starts_with(ivshmem)) {
    return bad(uri);
  }
  endpoint.kind = Kind::ivshmem;
  const std::string_view rest = uri.substr(ivshmem.size());
  if (rest == any) {
    return endpoint;
  }
  if (rest.starts_with(any_named)) {
    endpoint.region = rest.substr(any_named.size());
    return is_name(endpoint.region) ? Result<Endpoint>(std::move(endpoint)) : bad(uri);
  }
  endpoint.device = rest;
  return is_pci_address(rest) ? Result<Endpoint>(std::move(endpoint)) : bad(uri);
}

}  // namespace isthmus
