// SPDX-License-Identifier: Apache-2.0
#include "host/config.hpp"

#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "temp_dir.hpp"

namespace isthmus::host {
namespace {

constexpr std::string_view small_vm = "[[vm]]\nname = \"a\"\npath = \"/dev/shm/a\"\nregion_size = \"8 MiB\"\n";

/// The message that a configuration earns; empty if it is accepted.
std::string complaint(const std::string& toml) {
  const auto config = parse_config(toml, "d.toml");
  if (config) {
    return {};
  }
  EXPECT_EQ(config.error().code, Errc::invalid_argument);
  EXPECT_EQ(config.error().message.find('\n'), std::string::npos);
  return config.error().message;
}

/// A [[vm]] with one line more (its fifth), or with a line replaced.
std::string vm_with(std::string_view line) { return std::string(small_vm).append(line).append("\n"); }

std::string vm_of_size(std::string_view size) {
  return std::string("[[vm]]\nname = \"a\"\npath = \"/dev/shm/a\"\nregion_size = ").append(size).append("\n");
}

void expect_complaint(const std::string& toml, std::string_view start, std::string_view part) {
  const std::string message = complaint(toml);
  EXPECT_TRUE(message.starts_with(start)) << message;
  EXPECT_NE(message.find(part), std::string::npos) << message;
}

TEST(Config, a_full_file_is_read) {
  const auto config = parse_config(R"(
runtime_dir = "/run/elsewhere"
worker = "/opt/isthmus-worker"
event_loop = "epoll"
worker_user = "nobody"
plugin_dir = "/opt/plugins"
cache_dir = "/opt/cache"
[[vm]]
name = "alpha"
path = "/dev/shm/isthmus-alpha"
region_size = "256 MiB"
mode = "0660"
owner = "root"
group = "root"
lanes = 64
warm_workers = 64
device_memory = "8 GiB"
context_memory = "100 MiB"
huge_pages = true
plugins = ["opencl", "/opt/mine.so"]
environment = ["A=1", "B="]
[[vm]]
name = "beta"
path = "/dev/shm/isthmus-beta"
region_size = 8388608
owner = 107
group = 64055
[[shm]]
name = "local"
region_size = "64 MiB"
mode = "0666"
max_clients = 3
huge_pages = true
plugins = ["cuda-12_x"]
environment = ["C=x=y"]
)",
                                   "test");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->runtime_dir, "/run/elsewhere");
  EXPECT_EQ(config->worker, "/opt/isthmus-worker");
  EXPECT_EQ(config->event_loop, LoopEngine::epoll);
  const passwd* nobody = ::getpwnam("nobody");
  ASSERT_TRUE(config->worker_user && nobody != nullptr);
  EXPECT_EQ(config->worker_user->uid, nobody->pw_uid);
  EXPECT_EQ(config->worker_user->gid, nobody->pw_gid);
  EXPECT_NE(std::ranges::find(config->worker_user->groups, nobody->pw_gid), config->worker_user->groups.end());
  EXPECT_EQ(config->plugin_dir, "/opt/plugins");
  EXPECT_EQ(config->cache_dir, "/opt/cache");
  ASSERT_EQ(config->vms.size(), 2U);
  EXPECT_EQ(config->vms[0].plugins, (std::vector<std::string>{"opencl", "/opt/mine.so"}));
  EXPECT_EQ(config->vms[0].environment, (std::vector<std::string>{"A=1", "B="}));
  EXPECT_TRUE(config->vms[1].plugins.empty());
  EXPECT_EQ(config->vms[0].name, "alpha");
  EXPECT_EQ(config->vms[0].path, "/dev/shm/isthmus-alpha");
  EXPECT_EQ(config->vms[0].region_size, std::uint64_t{256} << 20U);
  EXPECT_EQ(config->vms[0].access.mode, 0660U);
  EXPECT_EQ(config->vms[0].access.owner, 0U);
  EXPECT_EQ(config->vms[0].access.group, 0U);
  EXPECT_EQ(config->vms[0].lanes, 64U);
  EXPECT_EQ(config->vms[0].warm_workers, 64U);
  EXPECT_EQ(config->vms[1].warm_workers, 0U);
  EXPECT_TRUE(config->vms[0].huge_pages);
  EXPECT_EQ(config->vms[0].device_memory, std::uint64_t{8} << 30U);
  EXPECT_EQ(config->vms[0].context_memory, std::uint64_t{100} << 20U);
  EXPECT_EQ(config->vms[1].device_memory, 0U);
  EXPECT_EQ(config->vms[1].context_memory, 0U);
  EXPECT_FALSE(config->vms[1].huge_pages);
  EXPECT_EQ(config->vms[1].region_size, std::uint64_t{8} << 20U);
  EXPECT_EQ(config->vms[1].access.owner, 107U);
  EXPECT_EQ(config->vms[1].access.group, 64055U);
  ASSERT_EQ(config->shms.size(), 1U);
  EXPECT_EQ(config->shms[0].name, "local");
  EXPECT_EQ(config->shms[0].region_size, std::uint64_t{64} << 20U);
  EXPECT_EQ(config->shms[0].access.mode, 0666U);
  EXPECT_EQ(config->shms[0].max_clients, 3U);
  EXPECT_TRUE(config->shms[0].huge_pages);
  EXPECT_EQ(config->shms[0].plugins, std::vector<std::string>{"cuda-12_x"});
  EXPECT_EQ(config->shms[0].environment, std::vector<std::string>{"C=x=y"});
}

TEST(Config, plugins_are_names_or_absolute_paths) {
  for (const std::string plugin : {"", "OpenCL", "../opencl", "./a", "a/b", "/dir/", "a.so", "a\\u0000"}) {
    expect_complaint(vm_with("plugins = [\"" + plugin + "\"]"), "d.toml:5: ", "must be a name");
  }
  expect_complaint(vm_with("plugins = \"opencl\""), "d.toml:5: ", "plugins must be a list of strings");
  expect_complaint(vm_with("plugins = [1]"), "d.toml:5: ", "must be a string in quotes");
  expect_complaint(vm_with("plugins = [\"a\", \"b\", \"a\"]"), "d.toml:5: ", "named twice");
  std::string many;
  for (int i = 0; i < 17; ++i) {
    many.append("\"p").append(std::to_string(i)).append("\",");
  }
  expect_complaint(vm_with("plugins = [" + many + "]"), "d.toml:5: ", "at most 16");
  expect_complaint("runtime_dir = \"/r\"\n[[shm]]\nname = \"s\"\nregion_size = 8388608\nplugins = [\"A\"]\n",
                   "d.toml:5: ", "must be a name");
  EXPECT_EQ(complaint(vm_with("plugins = []")), "");
}

TEST(Config, environments_are_lists_of_keys_and_values) {
  for (const std::string variable : {"", "A", "=1", "A=\\u0000"}) {
    expect_complaint(vm_with("environment = [\"" + variable + "\"]"), "d.toml:5: ", "KEY=VALUE");
  }
}

TEST(Config, workers_are_never_root) {
  const auto with = [](const std::string& user) { return "worker_user = " + user + "\n" + std::string(small_vm); };
  expect_complaint(with("\"root\""), "d.toml:1: ", "is root");
  expect_complaint(with("0"), "d.toml:1: ", "is root");
  expect_complaint(with("-1"), "d.toml:1: ", "worker_user -1 is no id");
  expect_complaint(with("\"no-such-user\""), "d.toml:1: ", "does not exist");
  EXPECT_EQ(complaint(with("12345")), "");
}

TEST(Config, what_is_not_said_has_a_default) {
  ::setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
  const auto config = parse_config(vm_with("[[shm]]\nname = \"s\"\nregion_size = \"8 MiB\"\n"), "test");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_FALSE(config->worker);
  EXPECT_EQ(config->event_loop, LoopEngine::automatic);
  EXPECT_EQ(config->vms[0].access.mode, 0600U);
  EXPECT_FALSE(config->vms[0].access.owner);
  EXPECT_FALSE(config->vms[0].access.group);
  EXPECT_EQ(config->vms[0].lanes, 16U);
  EXPECT_EQ(config->shms[0].access.mode, 0600U);
  EXPECT_EQ(config->shms[0].max_clients, 64U);
  EXPECT_EQ(config->runtime_dir, ::geteuid() == 0 ? "/run/isthmus" : "/run/user/7/isthmus");
}

TEST(Config, a_file_that_is_no_toml_is_told_with_its_line) { expect_complaint("\n[[vm]\n", "d.toml:2: ", ""); }

TEST(Config, an_empty_file_serves_nothing) { expect_complaint("", "d.toml: ", "add a [[vm]] or a [[shm]]"); }

TEST(Config, unknown_keys_are_errors) {
  expect_complaint("runtime = \"/x\"\n" + std::string(small_vm), "d.toml:1: ", "unknown key runtime in the file");
  expect_complaint(vm_with("pth = \"/x\""), "d.toml:5: ", "unknown key pth in [[vm]]; known are name, path,");
  expect_complaint("runtime_dir = \"/r\"\n[[shm]]\nname = \"s\"\nregion_size = 8388608\nlanes = 3\n",
                   "d.toml:5: ", "unknown key lanes in [[shm]]");
  expect_complaint(vm_with("[logging]\nlevel = 3"), "d.toml:5: ", "unknown key logging");
}

TEST(Config, tables_must_be_arrays_of_tables) {
  expect_complaint("[vm]\nname = \"a\"\n", "d.toml:1: ", "[[vm]]");
  expect_complaint("shm = [1, 2]\nruntime_dir = \"/x\"\n", "d.toml:1: ", "[[shm]]");
}

TEST(Config, what_is_needed_is_asked_for) {
  expect_complaint(vm_with("device_memory = \"8 MiB\"\n"), "d.toml:5: ", "device_memory 8 MiB is too small");
  expect_complaint(vm_with("device_memory = true\n"), "d.toml:5: ", "device_memory must be a number of bytes");
  expect_complaint("[[vm]]\npath = \"/a\"\nregion_size = 8388608\n", "d.toml:1: ", "[[vm]] needs name");
  expect_complaint("[[vm]]\nname = \"a\"\nregion_size = 8388608\n", "d.toml:1: ", "[[vm]] needs path");
  expect_complaint("[[vm]]\nname = \"a\"\npath = \"/a\"\n", "d.toml:1: ", "[[vm]] needs region_size");
  expect_complaint("runtime_dir = \"/r\"\n[[shm]]\nregion_size = 8388608\n", "d.toml:2: ", "[[shm]] needs name");
}

TEST(Config, contexts_count_in_device_memory_unless_they_are_told_not_to) {
  const auto context_memory = [](const std::string& lines) {
    const auto config = parse_config(vm_with(lines), "d.toml");
    EXPECT_TRUE(config) << config.error().message;
    return config ? config->vms.front().context_memory : UINT64_MAX;
  };
  EXPECT_EQ(context_memory("device_memory = \"542 MiB\"\n"), std::uint64_t{526} << 20U);
  EXPECT_EQ(context_memory("device_memory = \"16 MiB\"\ncontext_memory = 0\n"), 0U);
  EXPECT_EQ(context_memory("device_memory = \"46 MiB\"\nwarm_workers = 3\ncontext_memory = \"10 MiB\"\n"),
            std::uint64_t{10} << 20U);
}

TEST(Config, contexts_that_never_fit_into_device_memory_are_errors) {
  expect_complaint(vm_with("context_memory = \"1 MiB\"\n"), "d.toml:5: ", "device_memory, which is not set");
  expect_complaint(vm_with("device_memory = \"1 GiB\"\ncontext_memory = true\n"),
                   "d.toml:6: ", "context_memory must be a number of bytes");
  expect_complaint(vm_with("device_memory = \"541 MiB\"\n"), "d.toml:5: ",
                   "device_memory 541 MiB has no room for a context, 526 MiB (context_memory's default), and 16 MiB "
                   "for a program; enlarge it, or set context_memory");
  expect_complaint(vm_with("device_memory = \"45 MiB\"\nwarm_workers = 3\ncontext_memory = \"10 MiB\"\n"), "d.toml:7: ",
                   "no room for the contexts of 3 warm_workers, 10 MiB each (context_memory), and 16 MiB");
  expect_complaint(vm_with("device_memory = \"1 GiB\"\nwarm_workers = 16\ncontext_memory = 9223372036854775807\n"),
                   "d.toml:7: ", "no room for the contexts of 16 warm_workers");
}

TEST(Config, a_region_size_out_of_range_names_the_limit) {
  expect_complaint(vm_of_size("\"4 MiB\""), "d.toml:4: ", "the least is 8 MiB");
  expect_complaint(vm_of_size("\"128 GiB\""), "d.toml:4: ", "the most is 65536 MiB");
  expect_complaint(vm_of_size("-8388608"), "d.toml:4: ", "negative");
  expect_complaint(vm_of_size("0"), "d.toml:4: ", "the least is 8 MiB");
}

TEST(Config, a_region_size_that_is_no_power_of_two_names_its_neighbours) {
  expect_complaint(vm_of_size("\"100 MiB\""), "d.toml:4: ", "64 MiB and 128 MiB");
  expect_complaint(vm_of_size("8388609"), "d.toml:4: ", "8 MiB and 16 MiB");
}

TEST(Config, a_region_size_of_another_type_or_unit_is_told) {
  expect_complaint(vm_of_size("\"8 MB\""), "d.toml:4: ", "KiB, MiB or GiB");
  expect_complaint(vm_of_size("8.5"), "d.toml:4: ", "number of bytes");
}

TEST(Config, names_are_short_and_plain) {
  for (const std::string& name : {std::string(), std::string("a b"), std::string("a/b"), std::string("ä"),
                                  std::string(64, 'n'), std::string("a\\u0000")}) {
    expect_complaint("[[vm]]\nname = \"" + name + "\"\n", "d.toml:2: ", "1 to 63 characters");
  }
  EXPECT_EQ(complaint("[[vm]]\nname = \"" + std::string(63, 'n') + "\"\npath = \"/a\"\nregion_size = 8388608\n"), "");
}

TEST(Config, paths_are_absolute) {
  for (const std::string path : {"", "a", "./a", "/a/", "/a\\u0000b"}) {
    expect_complaint("[[vm]]\nname = \"a\"\npath = \"" + path + "\"\n", "d.toml:3: ", "absolute path");
  }
  expect_complaint("runtime_dir = \"run\"\n", "d.toml:1: ", "runtime_dir \"run\" must be an absolute path");
  expect_complaint("worker = \"isthmus-worker\"\n", "d.toml:1: ", "worker \"isthmus-worker\" must be");
  expect_complaint("plugin_dir = \"plugins\"\n", "d.toml:1: ", "plugin_dir \"plugins\" must be");
  expect_complaint("cache_dir = \"cache\"\n", "d.toml:1: ", "cache_dir \"cache\" must be");
}

TEST(Config, no_two_regions_share_a_name_or_a_path) {
  const std::string other = "[[vm]]\nname = \"b\"\npath = \"/dev/shm/../shm/a\"\nregion_size = 8388608\n";
  expect_complaint(vm_with(other), "d.toml:7: ", "path \"/dev/shm/a\" is taken by line 3");
  expect_complaint(vm_with(small_vm), "d.toml:6: ", "name \"a\" is taken by line 2");
  expect_complaint("runtime_dir = \"/r\"\n" + vm_with("[[shm]]\nname = \"a\"\nregion_size = 8388608\n"),
                   "d.toml:7: ", "name \"a\" is taken by line 3");
}

TEST(Config, modes_are_octal_strings_within_limits) {
  expect_complaint(vm_with("mode = 600"), "d.toml:5: ", "string in quotes");
  for (const std::string mode : {"", "60", "00600", "0680", "rw", "0600 "}) {
    expect_complaint(vm_with("mode = \"" + mode + "\""), "d.toml:5: ", "octal digits");
  }
  for (const std::string mode : {"0644", "0666", "0700", "0400", "4600", "0060"}) {
    expect_complaint(vm_with("mode = \"" + mode + "\""), "d.toml:5: ", "nothing outside 0660");
  }
  EXPECT_EQ(complaint(vm_with("mode = \"640\"")), "");
  expect_complaint("runtime_dir = \"/r\"\n[[shm]]\nname = \"s\"\nregion_size = 8388608\nmode = \"0777\"\n",
                   "d.toml:5: ", "nothing outside 0666");
}

TEST(Config, owners_and_groups_must_exist) {
  expect_complaint(vm_with("owner = \"no-such-user\""), "d.toml:5: ", "owner \"no-such-user\" does not exist");
  expect_complaint(vm_with("group = \"no-such-group\""), "d.toml:5: ", "group \"no-such-group\" does not exist");
  expect_complaint(vm_with("owner = -1"), "d.toml:5: ", "owner -1 is no id");
  expect_complaint(vm_with("group = 4294967295"), "d.toml:5: ", "0 to 4294967294");
  expect_complaint(vm_with("owner = true"), "d.toml:5: ", "owner must be a string");
}

TEST(Config, counts_stay_in_their_range) {
  for (const std::string count : {"-1", "5", "9223372036854775807"}) {
    expect_complaint(vm_with("lanes = 4\nwarm_workers = " + count),
                     "d.toml:6: ", "warm_workers " + count + " is out of range; 0 to 4 is possible");
    expect_complaint(
        "runtime_dir = \"/r\"\n[[shm]]\nname = \"s\"\nregion_size = 8388608\nmax_clients = 4\nwarm_workers = " + count +
            "\n",
        "d.toml:6: ", "0 to 4 is possible");
  }
  expect_complaint(vm_with("warm_workers = true"), "d.toml:5: ", "warm_workers must be a whole number");
  for (const std::string lanes : {"0", "65", "-1", "9223372036854775807"}) {
    expect_complaint(vm_with("lanes = " + lanes), "d.toml:5: ", "1 to 64 is possible");
  }
  expect_complaint(vm_with("lanes = \"4\""), "d.toml:5: ", "whole number");
  expect_complaint(vm_with("huge_pages = 1"), "d.toml:5: ", "huge_pages must be true or false");
  expect_complaint("runtime_dir = \"/r\"\n[[shm]]\nname = \"s\"\nregion_size = 8388608\nmax_clients = 1025\n",
                   "d.toml:5: ", "1 to 1024 is possible");
}

TEST(Config, an_unknown_event_loop_is_told) {
  expect_complaint("event_loop = \"kqueue\"\n", "d.toml:1: ", "\"auto\", \"io_uring\" or \"epoll\"");
  expect_complaint("event_loop = 3\n", "d.toml:1: ", "event_loop must be a string");
}

TEST(Config, a_socket_path_must_fit_the_kernels_limit) {
  const std::string shm = "[[shm]]\nname = \"s\"\nregion_size = 8388608\n";  // "/s.sock": 7 more
  EXPECT_EQ(complaint("runtime_dir = \"/" + std::string(99, 'r') + "\"\n" + shm), "");
  expect_complaint("runtime_dir = \"/" + std::string(100, 'r') + "\"\n" + shm, "d.toml:3: ", "the most is 107");
}

TEST(Config, a_file_is_loaded_by_its_path) {
  const test::TempDir dir;
  const auto file = dir.path() / "isthmusd.toml";
  std::ofstream(file) << small_vm;
  const auto config = load_config(file);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->vms.size(), 1U);
  std::ofstream(file) << small_vm << "x = 1\n";
  EXPECT_TRUE(load_config(file).error().message.starts_with(file.native() + ":5: unknown key x"));
}

TEST(Config, a_missing_file_a_directory_and_a_giant_are_told) {
  const test::TempDir dir;
  EXPECT_EQ(load_config(dir.path() / "none.toml").error().code, Errc::not_found);
  EXPECT_NE(load_config(dir.path()).error().message.find("directory"), std::string::npos);
  const auto giant = dir.path() / "giant";
  std::ofstream(giant).put('\n');
  std::filesystem::resize_file(giant, (1U << 20U) + 1);
  EXPECT_NE(load_config(giant).error().message.find("longer than 1 MiB"), std::string::npos);
}

}  // namespace
}  // namespace isthmus::host
