// SPDX-License-Identifier: Apache-2.0
// Nothing of its own: carries the precompiled headers of the sanitizers' builds (test/CMakeLists.txt).
