// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "isthmus/endpoint.hpp"

namespace isthmus::test::endpoint_tests {
namespace {

struct GoodUri {
  std::string uri;
  Endpoint::Kind kind;
  std::string name;
  std::string device;
  std::string region;
};

TEST(EndpointTest, EveryKnownFormIsUnderstood) {
  using enum Endpoint::Kind;
  const std::string longest(63, 'n');
  for (const GoodUri& good : {
           GoodUri{.uri = "shm:gpu", .kind = shm, .name = "gpu", .device = "", .region = ""},
           GoodUri{.uri = "shm:A-b_c.9", .kind = shm, .name = "A-b_c.9", .device = "", .region = ""},
           GoodUri{.uri = "shm:...", .kind = shm, .name = "...", .device = "", .region = ""},
           GoodUri{.uri = "shm:" + longest, .kind = shm, .name = longest, .device = "", .region = ""},
           GoodUri{.uri = "ivshmem:auto", .kind = ivshmem, .name = "", .device = "", .region = ""},
           GoodUri{.uri = "ivshmem:auto?region=vm1", .kind = ivshmem, .name = "", .device = "", .region = "vm1"},
           GoodUri{
               .uri = "ivshmem:auto?region=" + longest, .kind = ivshmem, .name = "", .device = "", .region = longest},
           GoodUri{.uri = "ivshmem:0000:00:04.0", .kind = ivshmem, .name = "", .device = "0000:00:04.0", .region = ""},
           GoodUri{.uri = "ivshmem:10af:ff:1f.7", .kind = ivshmem, .name = "", .device = "10af:ff:1f.7", .region = ""},
       }) {
    const auto endpoint = Endpoint::parse(good.uri);
    ASSERT_TRUE(endpoint) << endpoint.error().message;
    EXPECT_EQ(endpoint->kind, good.kind) << good.uri;
    EXPECT_EQ(endpoint->name, good.name) << good.uri;
    EXPECT_EQ(endpoint->device, good.device) << good.uri;
    EXPECT_EQ(endpoint->region, good.region) << good.uri;
  }
}

TEST(EndpointTest, EverythingElseIsAnErrorThatShowsTheForms) {
  for (const std::string& uri : {
           std::string(),
           std::string("shm"),
           std::string("shm:"),
           std::string("SHM:gpu"),
           std::string(" shm:gpu"),
           std::string("shm:gpu "),
           std::string("shm:."),
           std::string("shm:.."),
           std::string("shm:../gpu"),
           std::string("shm:/run/gpu"),
           std::string("shm:a/b"),
           std::string("shm:a\nb"),
           std::string("shm:gp\xc3\xbc"),
           std::string("shm:gpu\0x", 9),
           "shm:" + std::string(64, 'n'),
           "shm:" + std::string(100'000, 'n'),
           std::string("ivshmem"),
           std::string("ivshmem:"),
           std::string("ivshmem:auto?"),
           std::string("ivshmem:auto?region"),
           std::string("ivshmem:auto?region="),
           std::string("ivshmem:auto?region=a/b"),
           std::string("ivshmem:auto?region=vm1&x=1"),
           std::string("ivshmem:auto?name=vm1"),
           std::string("ivshmem:Auto"),
           std::string("ivshmem:autovm1"),
           std::string("ivshmem:vm1"),
           std::string("ivshmem:00:04.0"),
           std::string("ivshmem:0000:00:04"),
           std::string("ivshmem:0000:00:04.0 "),
           std::string("ivshmem:0000:00:0G.0"),
           std::string("ivshmem:0000:00:0A.0"),
           std::string("ivshmem:0000.00:04:0"),
           std::string("ivshmem:../../../etc"),
           std::string("tcp:host:1"),
           std::string("vsock:2:1"),
           std::string("unix:/run/x"),
           std::string("ivshmem:auto?region=vm1\0", 24),
       }) {
    const auto endpoint = Endpoint::parse(uri);
    ASSERT_FALSE(endpoint) << uri;
    EXPECT_EQ(endpoint.error().code, Errc::invalid_argument) << uri;
    for (const char* form : {"shm:NAME", "ivshmem:auto,", "ivshmem:auto?region=NAME", "ivshmem:0000:00:04.0"}) {
      EXPECT_NE(endpoint.error().message.find(form), std::string::npos) << endpoint.error().message;
    }
  }
}

}  // namespace
}  // namespace isthmus::test::endpoint_tests
