// SPDX-License-Identifier: Apache-2.0
#include "host/config.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/types.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <initializer_list>
#include <memory>
#include <utility>

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "host/byte_size.hpp"
#include "host/octal.hpp"
#include "host/runtime_dir.hpp"
#include "host/system_error.hpp"
#include "isthmus/abi.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {
namespace {

constexpr std::size_t max_name_length = abi::name_size - 1;
// A program that allocates anything has a chunk of some MiB.
constexpr std::uint64_t least_device_memory = std::uint64_t{16} << 20;
// What a context was seen to take at most, on an H100 (CUDA 13.0, driver 580; docs/cuda.md). Not 0: who sets a limit
// wants it kept, and 16 programs' contexts are 8 GiB that nobody would have counted.
constexpr std::uint64_t usual_context_memory = std::uint64_t{526} << 20;
constexpr std::size_t max_socket_path = sizeof(sockaddr_un::sun_path) - 1;

/// Walks one parsed file. The first error ends it.
class Reader {
 public:
  explicit Reader(std::string_view source) : source_(source) {}

  [[nodiscard]] Result<Config> read(const toml::table& root);

 private:
  [[nodiscard]] std::unexpected<Error> fail_at(const toml::source_region& where, std::string_view what) const {
    return fail(Errc::invalid_argument, text(source_, ":", where.begin.line, ": ", what));
  }

  [[nodiscard]] Result<void> check_keys(const toml::table& table, std::string_view place,
                                        std::initializer_list<std::string_view> known) const;
  [[nodiscard]] Result<const toml::node*> required(const toml::table& table, std::string_view place,
                                                   std::string_view key) const;
  [[nodiscard]] Result<std::string> string_of(const toml::node& node, std::string_view key) const;
  [[nodiscard]] Result<std::string> name_of(const toml::table& table, std::string_view place) const;
  [[nodiscard]] Result<std::filesystem::path> path_of(const toml::node& node, std::string_view key) const;
  [[nodiscard]] Result<std::uint64_t> size_of(const toml::node& node, std::string_view key) const;
  [[nodiscard]] Result<std::uint64_t> region_size_of(const toml::table& table, std::string_view place) const;
  [[nodiscard]] Result<std::uint32_t> count_of(const toml::table& table, std::string_view key, std::uint32_t value,
                                               std::uint32_t min, std::uint32_t max) const;
  [[nodiscard]] Result<bool> flag_of(const toml::table& table, std::string_view key) const;
  [[nodiscard]] Result<std::vector<std::string>> strings_of(const toml::table& table, std::string_view key) const;
  [[nodiscard]] Result<std::vector<std::string>> plugins_of(const toml::table& table) const;
  [[nodiscard]] Result<std::vector<std::string>> environment_of(const toml::table& table) const;
  [[nodiscard]] Result<ChildProcess::Identity> worker_user_of(const toml::node& node) const;
  [[nodiscard]] Result<std::optional<std::filesystem::path>> optional_path_of(const toml::table& table,
                                                                              std::string_view key) const;
  [[nodiscard]] Result<FileAccess> access_of(const toml::table& table, mode_t allowed) const;
  [[nodiscard]] Result<mode_t> mode_of(const toml::node& node, mode_t allowed) const;
  template <class Id, class Find>
  [[nodiscard]] Result<Id> id_of(const toml::node& node, std::string_view key, Find find) const;
  template <class Entry, class Read>
  [[nodiscard]] Result<std::vector<Entry>> entries_of(const toml::table& root, std::string_view key, Read read);
  /// What VMs and shm names have alike. `clients`: as many as there may be at a time.
  template <class Config>
  [[nodiscard]] Result<void> read_common(const toml::table& table, Config& config, std::uint32_t clients) const;
  /// device_memory and context_memory. \pre warm_workers are read
  template <class Config>
  [[nodiscard]] Result<void> read_device_memory(const toml::table& table, Config& config) const;
  [[nodiscard]] Result<VmConfig> read_vm(const toml::table& table);
  [[nodiscard]] Result<ShmConfig> read_shm(const toml::table& table);
  [[nodiscard]] Result<void> claim(std::vector<std::pair<std::string, std::string>>& taken, const toml::node& node,
                                   std::string_view key, std::string value);

  std::string_view source_;
  std::filesystem::path runtime_dir_;
  std::vector<std::pair<std::string, std::string>> names_;  ///< value, and where it stands
  std::vector<std::pair<std::string, std::string>> paths_;
};

Result<void> Reader::check_keys(const toml::table& table, std::string_view place,
                                std::initializer_list<std::string_view> known) const {
  for (const auto& [key, value] : table) {
    if (std::ranges::find(known, key.str()) == known.end()) {
      std::string list;
      for (const std::string_view one : known) {
        list.append(list.empty() ? "" : ", ").append(one);
      }
      return fail_at(key.source(), text("unknown key ", key.str(), " in ", place, "; known are ", list));
    }
  }
  return {};
}

Result<const toml::node*> Reader::required(const toml::table& table, std::string_view place,
                                           std::string_view key) const {
  const toml::node* node = table.get(key);
  if (node == nullptr) {
    return fail_at(table.source(), text(place, " needs ", key));
  }
  return node;
}

Result<std::string> Reader::string_of(const toml::node& node, std::string_view key) const {
  const auto* value = node.as_string();
  if (value == nullptr) {
    return fail_at(node.source(), text(key, " must be a string in quotes"));
  }
  return value->get();
}

Result<std::string> Reader::name_of(const toml::table& table, std::string_view place) const {
  constexpr std::string_view allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
  const auto node = required(table, place, "name");
  if (!node) {
    return std::unexpected(node.error());
  }
  auto name = string_of(**node, "name");
  if (name &&
      (name->empty() || name->size() > max_name_length || name->find_first_not_of(allowed) != std::string::npos)) {
    return fail_at((*node)->source(),
                   text("name \"", *name, "\" must be 1 to ", max_name_length, " characters of A-Z a-z 0-9 _ . -"));
  }
  return name;
}

Result<std::filesystem::path> Reader::path_of(const toml::node& node, std::string_view key) const {
  const auto written = string_of(node, key);
  if (!written) {
    return std::unexpected(written.error());
  }
  if (!written->starts_with('/') || written->ends_with('/') || written->find('\0') != std::string::npos) {
    return fail_at(node.source(), text(key, " \"", *written, "\" must be an absolute path, not ending in /"));
  }
  return std::filesystem::path(*written).lexically_normal();
}

Result<std::uint64_t> Reader::size_of(const toml::node& node, std::string_view key) const {
  if (const auto* number = node.as_integer(); number != nullptr) {
    return number->get() < 0
               ? Result<std::uint64_t>(fail_at(node.source(), text(key, " ", number->get(), " is negative")))
               : static_cast<std::uint64_t>(number->get());
  }
  if (const auto* written = node.as_string(); written != nullptr) {
    const auto parsed = parse_byte_size(written->get());
    return parsed ? Result<std::uint64_t>(*parsed)
                  : Result<std::uint64_t>(fail_at(node.source(), text(key, " ", parsed.error().message)));
  }
  return fail_at(node.source(), text(key, " must be a number of bytes, or a string like \"256 MiB\""));
}

Result<std::uint64_t> Reader::region_size_of(const toml::table& table, std::string_view place) const {
  const auto node = required(table, place, "region_size");
  if (!node) {
    return std::unexpected(node.error());
  }
  const auto& where = (*node)->source();
  const auto written = size_of(**node, "region_size");
  if (!written) {
    return written;
  }
  const std::uint64_t size = *written;
  if (size < abi::min_region_size) {
    return fail_at(where,
                   text("region_size ", Bytes{size}, " is too small; the least is ", Bytes{abi::min_region_size}));
  }
  if (size > abi::max_region_size) {
    return fail_at(where, text("region_size ", Bytes{size}, " is too big; the most is ", Bytes{abi::max_region_size}));
  }
  if (!std::has_single_bit(size)) {
    return fail_at(where,
                   text("region_size ", Bytes{size}, " is no power of two, and QEMU takes no other; nearest are ",
                        Bytes{std::bit_floor(size)}, " and ", Bytes{std::bit_ceil(size)}));
  }
  return size;
}

Result<std::uint32_t> Reader::count_of(const toml::table& table, std::string_view key, std::uint32_t value,
                                       std::uint32_t min, std::uint32_t max) const {
  const toml::node* node = table.get(key);
  if (node == nullptr) {
    return value;
  }
  const auto* number = node->as_integer();
  if (number == nullptr) {
    return fail_at(node->source(), text(key, " must be a whole number"));
  }
  if (number->get() < std::int64_t{min} || number->get() > std::int64_t{max}) {
    return fail_at(node->source(),
                   text(key, " ", number->get(), " is out of range; ", min, " to ", max, " is possible"));
  }
  return static_cast<std::uint32_t>(number->get());
}

Result<bool> Reader::flag_of(const toml::table& table, std::string_view key) const {
  const toml::node* node = table.get(key);
  if (node == nullptr) {
    return false;
  }
  const auto* flag = node->as_boolean();
  if (flag == nullptr) {
    return fail_at(node->source(), text(key, " must be true or false"));
  }
  return flag->get();
}

Result<std::vector<std::string>> Reader::strings_of(const toml::table& table, std::string_view key) const {
  std::vector<std::string> strings;
  const toml::node* node = table.get(key);
  if (node == nullptr) {
    return strings;
  }
  const auto* array = node->as_array();
  if (array == nullptr) {
    return fail_at(node->source(), text(key, " must be a list of strings, as [\"one\", \"two\"]"));
  }
  for (const toml::node& element : *array) {
    auto string = string_of(element, text("an element of ", key));
    if (!string) {
      return std::unexpected(std::move(string).error());
    }
    strings.push_back(std::move(*string));
  }
  return strings;
}

Result<std::vector<std::string>> Reader::plugins_of(const toml::table& table) const {
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyz0123456789_-";
  constexpr std::size_t longest = 64;
  constexpr std::size_t most = 16;
  auto plugins = strings_of(table, "plugins");
  if (!plugins || plugins->empty()) {
    return plugins;
  }
  const auto& where = table.get("plugins")->source();
  if (plugins->size() > most) {
    return fail_at(where, text("plugins: ", plugins->size(), " of them; at most ", most, " are possible"));
  }
  for (const std::string& plugin : *plugins) {
    const bool path = plugin.starts_with('/') && !plugin.ends_with('/') && plugin.find('\0') == std::string::npos;
    const bool name =
        !plugin.empty() && plugin.size() <= longest && plugin.find_first_not_of(allowed) == std::string::npos;
    if (!path && !name) {
      return fail_at(where, text("plug-in \"", plugin, "\" must be a name, 1 to ", longest,
                                 " characters of a-z 0-9 _ -, or an absolute path"));
    }
    if (std::ranges::count(*plugins, plugin) > 1) {
      return fail_at(where, text("plug-in \"", plugin, "\" is named twice"));
    }
  }
  return plugins;
}

Result<std::vector<std::string>> Reader::environment_of(const toml::table& table) const {
  auto environment = strings_of(table, "environment");
  if (!environment) {
    return environment;
  }
  for (const std::string& variable : *environment) {
    if (variable.find('=') == std::string::npos || variable.starts_with('=') ||
        variable.find('\0') != std::string::npos) {
      return fail_at(table.get("environment")->source(),
                     text("environment \"", variable, "\" must be written as \"KEY=VALUE\""));
    }
  }
  return environment;
}

Result<ChildProcess::Identity> Reader::worker_user_of(const toml::node& node) const {
  if (node.is_integer()) {
    const auto uid = id_of<uid_t>(node, "worker_user", [](const char*) { return std::optional<uid_t>(); });
    if (!uid) {
      return std::unexpected(uid.error());
    }
    if (*uid == 0) {
      return fail_at(node.source(), "worker_user 0 is root; workers must have no rights");
    }
    return ChildProcess::Identity{.uid = *uid, .gid = *uid, .groups = {}};
  }
  const auto name = string_of(node, "worker_user");
  if (!name) {
    return std::unexpected(name.error());
  }
  const passwd* entry = ::getpwnam(name->c_str());
  if (entry == nullptr) {
    return fail_at(node.source(), text("worker_user \"", *name, "\" does not exist on this machine"));
  }
  if (entry->pw_uid == 0) {
    return fail_at(node.source(), text("worker_user \"", *name, "\" is root; workers must have no rights"));
  }
  ChildProcess::Identity identity{.uid = entry->pw_uid, .gid = entry->pw_gid, .groups = std::vector<gid_t>(64)};
  int count = static_cast<int>(identity.groups.size());
  if (::getgrouplist(name->c_str(), identity.gid, identity.groups.data(), &count) < 0) {
    return fail_at(node.source(), text("worker_user \"", *name, "\" is in ", count, " groups; at most ",
                                       identity.groups.size(), " are possible"));
  }
  identity.groups.resize(static_cast<std::size_t>(count));
  return identity;
}

Result<std::optional<std::filesystem::path>> Reader::optional_path_of(const toml::table& table,
                                                                      std::string_view key) const {
  const toml::node* node = table.get(key);
  if (node == nullptr) {
    return std::nullopt;
  }
  auto path = path_of(*node, key);
  if (!path) {
    return std::unexpected(std::move(path).error());
  }
  return std::move(*path);
}

Result<mode_t> Reader::mode_of(const toml::node& node, mode_t allowed) const {
  const auto* written = node.as_string();
  if (written == nullptr) {
    return fail_at(node.source(), "mode must be a string in quotes, as \"0600\"");
  }
  const std::string& digits = written->get();
  mode_t mode = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), mode, 8);
  if (error != std::errc{} || end != digits.data() + digits.size() || digits.size() < 3 || digits.size() > 4) {
    return fail_at(node.source(), text("mode \"", digits, "\" must be 3 or 4 octal digits, as \"0600\""));
  }
  if ((mode & ~allowed) != 0 || (mode & 0600U) != 0600U) {
    return fail_at(node.source(), text("mode \"", digits, "\" must contain 0600 and nothing outside ", octal(allowed),
                                       "; give others access by owner and group"));
  }
  return mode;
}

template <class Id, class Find>
Result<Id> Reader::id_of(const toml::node& node, std::string_view key, Find find) const {
  if (const auto* number = node.as_integer(); number != nullptr) {
    // The highest value means "leave it" to chown.
    if (number->get() < 0 || number->get() >= std::int64_t{static_cast<Id>(-1)}) {
      return fail_at(node.source(),
                     text(key, " ", number->get(), " is no id; 0 to ", static_cast<Id>(-2), " is possible"));
    }
    return static_cast<Id>(number->get());
  }
  const auto name = string_of(node, key);
  if (!name) {
    return std::unexpected(name.error());
  }
  const std::optional<Id> id = find(name->c_str());
  if (!id) {
    return fail_at(node.source(), text(key, " \"", *name, "\" does not exist on this machine"));
  }
  return *id;
}

Result<FileAccess> Reader::access_of(const toml::table& table, mode_t allowed) const {
  FileAccess access;
  if (const toml::node* node = table.get("mode"); node != nullptr) {
    const auto mode = mode_of(*node, allowed);
    if (!mode) {
      return std::unexpected(mode.error());
    }
    access.mode = *mode;
  }
  if (const toml::node* node = table.get("owner"); node != nullptr) {
    const auto owner = id_of<uid_t>(*node, "owner", [](const char* name) -> std::optional<uid_t> {
      const passwd* entry = ::getpwnam(name);
      return entry != nullptr ? std::optional(entry->pw_uid) : std::nullopt;
    });
    if (!owner) {
      return std::unexpected(owner.error());
    }
    access.owner = *owner;
  }
  if (const toml::node* node = table.get("group"); node != nullptr) {
    const auto group = id_of<gid_t>(*node, "group", [](const char* name) -> std::optional<gid_t> {
      const ::group* entry = ::getgrnam(name);
      return entry != nullptr ? std::optional(entry->gr_gid) : std::nullopt;
    });
    if (!group) {
      return std::unexpected(group.error());
    }
    access.group = *group;
  }
  return access;
}

Result<void> Reader::claim(std::vector<std::pair<std::string, std::string>>& taken, const toml::node& node,
                           std::string_view key, std::string value) {
  const auto found = std::ranges::find(taken, value, &std::pair<std::string, std::string>::first);
  if (found != taken.end()) {
    return fail_at(node.source(), text(key, " \"", value, "\" is taken by line ", found->second));
  }
  taken.emplace_back(std::move(value), std::to_string(node.source().begin.line));
  return {};
}

template <class Config>
Result<void> Reader::read_device_memory(const toml::table& table, Config& config) const {
  const toml::node* const whole = table.get("device_memory");
  const toml::node* const part = table.get("context_memory");
  if (whole == nullptr) {
    return part == nullptr ? Result<void>()
                           : fail_at(part->source(),
                                     "context_memory is what a context counts as in device_memory, which is not set; "
                                     "set it, or leave context_memory out");
  }
  const auto total = size_of(*whole, "device_memory");
  if (!total) {
    return std::unexpected(total.error());
  }
  if (*total < least_device_memory) {
    return fail_at(whole->source(), text("device_memory ", Bytes{*total}, " is too small; the least is ",
                                         Bytes{least_device_memory}, "; leave it out for no limit"));
  }
  const auto context = part == nullptr ? Result<std::uint64_t>(usual_context_memory) : size_of(*part, "context_memory");
  if (!context) {
    return std::unexpected(context.error());
  }
  // What can never be is an error now, not a log full of workers that stay cold.
  const std::uint64_t contexts = std::max<std::uint64_t>(config.warm_workers, 1);
  if (*context > (*total - least_device_memory) / contexts) {
    return fail_at((part == nullptr ? whole : part)->source(),
                   text("device_memory ", Bytes{*total}, " has no room for ",
                        contexts == 1 ? "a context" : text("the contexts of ", contexts, " warm_workers"), ", ",
                        Bytes{*context}, contexts == 1 ? "" : " each",
                        part == nullptr ? " (context_memory's default), and " : " (context_memory), and ",
                        Bytes{least_device_memory}, " for a program; enlarge it, or set context_memory to ",
                        "what a context takes on this device, or to 0 so that contexts do not count"));
  }
  config.device_memory = *total;
  config.context_memory = *context;
  return {};
}

template <class Config>
Result<void> Reader::read_common(const toml::table& table, Config& config, std::uint32_t clients) const {
  const auto warm_workers = count_of(table, "warm_workers", config.warm_workers, 0, clients);
  if (!warm_workers) {
    return std::unexpected(warm_workers.error());
  }
  config.warm_workers = *warm_workers;

  if (auto memory = read_device_memory(table, config); !memory) {
    return memory;
  }

  const auto huge_pages = flag_of(table, "huge_pages");
  if (!huge_pages) {
    return std::unexpected(huge_pages.error());
  }
  config.huge_pages = *huge_pages;

  auto plugins = plugins_of(table);
  if (!plugins) {
    return std::unexpected(std::move(plugins).error());
  }
  config.plugins = std::move(*plugins);

  auto environment = environment_of(table);
  if (!environment) {
    return std::unexpected(std::move(environment).error());
  }
  config.environment = std::move(*environment);
  return {};
}

Result<VmConfig> Reader::read_vm(const toml::table& table) {
  constexpr std::string_view place = "[[vm]]";
  if (auto keys = check_keys(table, place,
                             {"name", "path", "region_size", "mode", "owner", "group", "lanes", "warm_workers",
                              "device_memory", "context_memory", "huge_pages", "plugins", "environment"});
      !keys) {
    return std::unexpected(std::move(keys).error());
  }
  VmConfig vm;
  auto name = name_of(table, place);
  if (!name) {
    return std::unexpected(std::move(name).error());
  }
  vm.name = std::move(*name);
  if (auto claimed = claim(names_, *table.get("name"), "name", vm.name); !claimed) {
    return std::unexpected(std::move(claimed).error());
  }

  const auto path_node = required(table, place, "path");
  if (!path_node) {
    return std::unexpected(path_node.error());
  }
  auto path = path_of(**path_node, "path");
  if (!path) {
    return std::unexpected(std::move(path).error());
  }
  vm.path = std::move(*path);
  if (auto claimed = claim(paths_, **path_node, "path", vm.path.native()); !claimed) {
    return std::unexpected(std::move(claimed).error());
  }

  const auto size = region_size_of(table, place);
  if (!size) {
    return std::unexpected(size.error());
  }
  vm.region_size = *size;

  // Whoever can read a region reads the guest's data, so "others" get nothing.
  const auto access = access_of(table, 0660);
  if (!access) {
    return std::unexpected(access.error());
  }
  vm.access = *access;

  const auto lanes = count_of(table, "lanes", vm.lanes, 1, abi::max_lanes);
  if (!lanes) {
    return std::unexpected(lanes.error());
  }
  vm.lanes = *lanes;

  if (auto common = read_common(table, vm, vm.lanes); !common) {
    return std::unexpected(std::move(common).error());
  }
  return vm;
}

Result<ShmConfig> Reader::read_shm(const toml::table& table) {
  constexpr std::string_view place = "[[shm]]";
  if (auto keys = check_keys(table, place,
                             {"name", "region_size", "mode", "owner", "group", "max_clients", "warm_workers",
                              "device_memory", "context_memory", "huge_pages", "plugins", "environment"});
      !keys) {
    return std::unexpected(std::move(keys).error());
  }
  ShmConfig shm;
  auto name = name_of(table, place);
  if (!name) {
    return std::unexpected(std::move(name).error());
  }
  shm.name = std::move(*name);
  const toml::node& name_node = *table.get("name");
  if (auto claimed = claim(names_, name_node, "name", shm.name); !claimed) {
    return std::unexpected(std::move(claimed).error());
  }
  if (const std::size_t length = (runtime_dir_ / (shm.name + ".sock")).native().size(); length > max_socket_path) {
    return fail_at(name_node.source(),
                   text("name \"", shm.name, "\" makes a socket path of ", length, " characters in ",
                        runtime_dir_.native(), "; the most is ", max_socket_path, ": shorten it or runtime_dir"));
  }

  const auto size = region_size_of(table, place);
  if (!size) {
    return std::unexpected(size.error());
  }
  shm.region_size = *size;

  const auto access = access_of(table, 0666);
  if (!access) {
    return std::unexpected(access.error());
  }
  shm.access = *access;

  const auto max_clients = count_of(table, "max_clients", shm.max_clients, 1, ShmConfig::max_max_clients);
  if (!max_clients) {
    return std::unexpected(max_clients.error());
  }
  shm.max_clients = *max_clients;

  if (auto common = read_common(table, shm, shm.max_clients); !common) {
    return std::unexpected(std::move(common).error());
  }
  return shm;
}

template <class Entry, class Read>
Result<std::vector<Entry>> Reader::entries_of(const toml::table& root, std::string_view key, Read read) {
  std::vector<Entry> entries;
  const toml::node* node = root.get(key);
  if (node == nullptr) {
    return entries;
  }
  const toml::array* array = node->as_array();
  if (array == nullptr || !array->is_array_of_tables()) {
    return fail_at(node->source(), text(key, " must be written as [[", key, "]], once for each"));
  }
  for (const toml::node& element : *array) {
    auto entry = read(*element.as_table());
    if (!entry) {
      return std::unexpected(std::move(entry).error());
    }
    entries.push_back(std::move(*entry));
  }
  return entries;
}

Result<Config> Reader::read(const toml::table& root) {
  if (auto keys =
          check_keys(root, "the file",
                     {"runtime_dir", "worker", "worker_user", "plugin_dir", "cache_dir", "event_loop", "vm", "shm"});
      !keys) {
    return std::unexpected(std::move(keys).error());
  }
  Config config;
  for (auto [key, value] : {std::pair("worker", &config.worker), std::pair("plugin_dir", &config.plugin_dir),
                            std::pair("cache_dir", &config.cache_dir)}) {
    auto path = optional_path_of(root, key);
    if (!path) {
      return std::unexpected(std::move(path).error());
    }
    *value = std::move(*path);
  }
  if (const toml::node* node = root.get("worker_user"); node != nullptr) {
    auto user = worker_user_of(*node);
    if (!user) {
      return std::unexpected(std::move(user).error());
    }
    config.worker_user = std::move(*user);
  }
  if (const toml::node* node = root.get("event_loop"); node != nullptr) {
    constexpr std::array<std::pair<std::string_view, LoopEngine>, 3> engines{
        {{"auto", LoopEngine::automatic}, {"io_uring", LoopEngine::io_uring}, {"epoll", LoopEngine::epoll}}};
    const auto written = string_of(*node, "event_loop");
    if (!written) {
      return std::unexpected(written.error());
    }
    const auto* const found =
        std::ranges::find(engines, std::string_view(*written), &std::pair<std::string_view, LoopEngine>::first);
    if (found == engines.end()) {
      return fail_at(node->source(),
                     text("event_loop \"", *written, "\" is unknown; write \"auto\", \"io_uring\" or \"epoll\""));
    }
    config.event_loop = found->second;
  }
  if (const toml::node* node = root.get("runtime_dir"); node != nullptr) {
    auto directory = path_of(*node, "runtime_dir");
    if (!directory) {
      return std::unexpected(std::move(directory).error());
    }
    config.runtime_dir = std::move(*directory);
  } else if (root.contains("shm")) {
    auto directory = default_runtime_dir();
    if (!directory) {
      return fail(directory.error().code, text(source_, ": ", directory.error().message));
    }
    config.runtime_dir = std::move(*directory);
  }
  runtime_dir_ = config.runtime_dir;

  auto vms = entries_of<VmConfig>(root, "vm", [this](const toml::table& table) { return read_vm(table); });
  if (!vms) {
    return std::unexpected(std::move(vms).error());
  }
  config.vms = std::move(*vms);
  auto shms = entries_of<ShmConfig>(root, "shm", [this](const toml::table& table) { return read_shm(table); });
  if (!shms) {
    return std::unexpected(std::move(shms).error());
  }
  config.shms = std::move(*shms);

  if (config.vms.empty() && config.shms.empty()) {
    return fail(Errc::invalid_argument, text(source_, ": nothing to serve; add a [[vm]] or a [[shm]]"));
  }
  return config;
}

}  // namespace

Result<Config> load_config(const std::filesystem::path& file) {
  constexpr std::size_t limit = std::size_t{1} << 20;  // whoever names a region file here by mistake gets an answer
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(file.c_str(), "re"), &std::fclose);
  if (!stream) {
    return fail_errno(errno, text("configuration ", file.native()));
  }
  std::string content(limit + 1, '\0');
  errno = 0;
  content.resize(std::fread(content.data(), 1, content.size(), stream.get()));
  if (std::ferror(stream.get()) != 0) {
    return fail_errno(errno, text("configuration ", file.native()));
  }
  if (content.size() > limit) {
    return fail(Errc::invalid_argument,
                text("configuration ", file.native(), ": longer than ", Bytes{limit}, "; is this the right file?"));
  }
  return parse_config(content, file.native());
}

Result<Config> parse_config(std::string_view toml, std::string_view source) {
  const toml::parse_result parsed = toml::parse(toml, source);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return fail(Errc::invalid_argument, text(source, ":", error.source().begin.line, ": ", error.description()));
  }
  return Reader(source).read(parsed.table());
}

}  // namespace isthmus::host
