# SPDX-License-Identifier: GPL-2.0-or-later
# A layer is a folder of src/: a static library of its *.cpp, and a test program of its *_test.cpp.

add_library(uvdo_options INTERFACE)
target_include_directories(uvdo_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(uvdo_options INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Coroutines hand over by tail calls; without them a long chain would eat the stack.
  target_compile_options(uvdo_options INTERFACE -fcoroutines -foptimize-sibling-calls)
  # The compiler looks for garbage of its own from half a gigabyte on, which most never reach: a
  # tenth of its time.
  target_compile_options(uvdo_options INTERFACE "SHELL:--param ggc-min-heapsize=524288")
endif()
if(UVDO_SANITIZE)
  target_compile_options(uvdo_options INTERFACE
    -fsanitize=${UVDO_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(uvdo_options INTERFACE -fsanitize=${UVDO_SANITIZE})
endif()

if(UVDO_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()

# What most files include is parsed once, which saves a fifth of a build. Not with a compiler cache,
# which would have to trust it, nor with Clang: those builds show what a file forgets to include.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(UVDO_PRECOMPILE ON)
  # GCC forgets then which headers are the system's, and reports the false alarms that it has in them.
  target_compile_options(uvdo_options INTERFACE
    -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread)
endif()
set(UVDO_COMMON_HEADERS <algorithm> <array> <atomic> <bit> <cerrno> <chrono> <coroutine> <cstdint>
  <cstring> <deque> <functional> <map> <memory> <optional> <random> <span> <string> <string_view>
  <unordered_map> <utility> <vector> <fmt/core.h>)

# A target that others take their parsed headers from.
function(uvdo_precompiled_headers name)
  cmake_parse_arguments(ARG "" "" "LIBS;HEADERS" ${ARGN})
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/${name}.cpp CONTENT "")
  add_library(${name} OBJECT ${CMAKE_BINARY_DIR}/${name}.cpp)
  target_link_libraries(${name} PRIVATE uvdo_options ${ARG_LIBS})
  target_precompile_headers(${name} PRIVATE ${ARG_HEADERS})
endfunction()

function(uvdo_use_precompiled_headers target name)
  if(UVDO_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM ${name})
  endif()
endfunction()

# Code that need not be fast, but is much of what is compiled: of unit tests, and of the layers that
# parse, print and tell.
set(UVDO_LEISURELY_OPTIONS $<$<NOT:$<CONFIG:Debug>>:-O1>)
set(UVDO_LEISURELY_LAYERS arguments boot cli control manage statistics vdo watch)

# For programs of unit tests.
function(uvdo_unit_tests target)
  target_link_libraries(${target} PRIVATE GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_options(${target} PRIVATE ${UVDO_LEISURELY_OPTIONS})
  uvdo_use_precompiled_headers(${target} uvdo_test_headers)
endfunction()

if(UVDO_PRECOMPILE)
  uvdo_precompiled_headers(uvdo_common_headers LIBS fmt::fmt HEADERS ${UVDO_COMMON_HEADERS})
  if(UVDO_TESTS)
    uvdo_precompiled_headers(uvdo_test_headers LIBS fmt::fmt GTest::gtest
      HEADERS ${UVDO_COMMON_HEADERS} <gtest/gtest.h>)
    target_compile_options(uvdo_test_headers PRIVATE ${UVDO_LEISURELY_OPTIONS})
  endif()
endif()

# What is parsed is most of what a compilation costs: with several sources in one of them all are
# built in half the time. Names of a source's own must then differ from its neighbours'.
if(UVDO_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # It takes sources that another includes for headers.
  target_compile_options(uvdo_options INTERFACE -Wno-subobject-linkage)
endif()
function(uvdo_compile_together target)
  if(UVDO_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  endif()
endfunction()

function(uvdo_layer name)
  cmake_parse_arguments(ARG "" "" "USES;LIBS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(TRANSFORM ARG_USES PREPEND uvdo_)
  if(sources)
    add_library(uvdo_${name} STATIC ${sources})
    target_link_libraries(uvdo_${name} PUBLIC uvdo_options ${ARG_USES} ${ARG_LIBS})
    uvdo_use_precompiled_headers(uvdo_${name} uvdo_common_headers)
    # Each structure of the format has an offset or a version of the same name.
    if(NOT name STREQUAL "format")
      uvdo_compile_together(uvdo_${name})
    endif()
    if(name IN_LIST UVDO_LEISURELY_LAYERS)
      target_compile_options(uvdo_${name} PRIVATE ${UVDO_LEISURELY_OPTIONS})
    endif()
  else()
    add_library(uvdo_${name} INTERFACE)
    target_link_libraries(uvdo_${name} INTERFACE uvdo_options ${ARG_USES} ${ARG_LIBS})
  endif()
  if(UVDO_TESTS AND tests)
    add_executable(test_${name} ${tests})
    target_link_libraries(test_${name} PRIVATE uvdo_${name})
    uvdo_unit_tests(test_${name})
    # Tests of these have fixtures of the same name.
    if(NOT name MATCHES "^(device|index|volume)$")
      uvdo_compile_together(test_${name})
    endif()
    target_compile_definitions(test_${name} PRIVATE UVDO_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    gtest_discover_tests(test_${name} TEST_PREFIX ${name}: DISCOVERY_MODE PRE_TEST
      PROPERTIES TIMEOUT 300)
  endif()
endfunction()

# A folder of src/ as a module that the program loads, uvdo-NAME.so beside it in the build tree. Of
# the layers that it uses it has the headers alone: their libraries are no code for modules.
function(uvdo_module name)
  cmake_parse_arguments(ARG "" "" "USES;LIBS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  add_library(uvdo_${name} MODULE ${sources})
  target_link_libraries(uvdo_${name} PRIVATE uvdo_options ${ARG_LIBS})
  target_compile_options(uvdo_${name} PRIVATE -fPIC)
  target_compile_definitions(uvdo_${name} PRIVATE UVDO_VERSION="${PROJECT_VERSION}")
  set_target_properties(uvdo_${name} PROPERTIES PREFIX "" OUTPUT_NAME uvdo-${name}
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR} CXX_VISIBILITY_PRESET hidden)
  install(TARGETS uvdo_${name} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/uvdo)
endfunction()
