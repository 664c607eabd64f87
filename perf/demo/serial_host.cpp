// SPDX-License-Identifier: Apache-2.0

// The host's side of the demo's rival: answers over a connected stream socket, given as descriptor number. The work is
// the same as the worker's (host/worker/probe_service.cpp), by the same libraries.

#include <isa-l/crc.h>
#include <openssl/evp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "perf/demo/serial_protocol.hpp"

namespace {

using isthmus::demo::SerialHeader;

bool read_all(int fd, void* data, std::size_t size) {
  auto* at = static_cast<char*>(data);
  while (size != 0) {
    const ssize_t got = read(fd, at, size);
    if (got <= 0) {
      return false;
    }
    at += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

bool write_all(int fd, const void* data, std::size_t size) {
  const auto* at = static_cast<const char*>(data);
  while (size != 0) {
    const ssize_t put = send(fd, at, size, MSG_NOSIGNAL);
    if (put <= 0) {
      return false;
    }
    at += put;
    size -= static_cast<std::size_t>(put);
  }
  return true;
}

bool answer(int fd, SerialHeader::Op op, std::span<const unsigned char> bytes) {
  const SerialHeader header{.op = op, .length = static_cast<std::uint32_t>(bytes.size())};
  std::vector<unsigned char> frame(sizeof header);
  std::memcpy(frame.data(), &header, sizeof header);
  frame.insert(frame.end(), bytes.begin(), bytes.end());
  return write_all(fd, frame.data(), frame.size());
}

}  // namespace

int main(int argc, char** argv) {
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  int fd = -1;
  if (arguments.size() == 2) {
    const std::string_view number = arguments[1];
    std::from_chars(number.data(), number.data() + number.size(), fd);
  }
  if (fd < 0) {
    static_cast<void>(std::fputs("usage: demo_serial_host DESCRIPTOR\n", stderr));
    return 2;
  }
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> hash(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr);
  std::vector<unsigned char> payload;
  SerialHeader header;
  while (read_all(fd, &header, sizeof header)) {
    if (header.length > isthmus::demo::serial_max_length) {
      return 1;
    }
    payload.resize(header.length);
    if (!read_all(fd, payload.data(), payload.size())) {
      return 1;
    }
    bool going = false;
    if (header.op == SerialHeader::Op::crc32c) {
      const std::uint32_t crc = ~crc32_iscsi(payload.data(), static_cast<int>(payload.size()), ~0U);
      std::array<unsigned char, sizeof crc> bytes{};
      std::memcpy(bytes.data(), &crc, sizeof crc);
      going = answer(fd, header.op, bytes);
    } else if (header.op == SerialHeader::Op::hash_chunk) {
      EVP_DigestUpdate(hash.get(), payload.data(), payload.size());
      going = answer(fd, header.op, payload);
    } else if (header.op == SerialHeader::Op::hash_finish) {
      std::array<unsigned char, 32> digest{};
      EVP_DigestFinal_ex(hash.get(), digest.data(), nullptr);
      EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr);
      going = answer(fd, header.op, digest);
    }
    if (!going) {
      return 1;
    }
  }
  return 0;
}
