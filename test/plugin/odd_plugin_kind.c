// SPDX-License-Identifier: Apache-2.0

// Which of the odd plug-ins this is. Alone, as "stranger", it loads and is no plug-in.

extern const char odd_plugin_kind[];
const char odd_plugin_kind[] = ODD_PLUGIN;
