# SPDX-License-Identifier: GPL-2.0-or-later
# A layer is a folder of src/: a static library of its *.cpp, and a test program of its *_test.cpp.

add_library(uvdo_options INTERFACE)
target_include_directories(uvdo_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(uvdo_options INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Coroutines hand over by tail calls; without them a long chain would eat the stack.
  target_compile_options(uvdo_options INTERFACE -fcoroutines -foptimize-sibling-calls)
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
  else()
    add_library(uvdo_${name} INTERFACE)
    target_link_libraries(uvdo_${name} INTERFACE uvdo_options ${ARG_USES} ${ARG_LIBS})
  endif()
  if(UVDO_TESTS AND tests)
    add_executable(test_${name} ${tests})
    target_link_libraries(test_${name} PRIVATE uvdo_${name} GTest::gtest GTest::gmock GTest::gtest_main)
    target_compile_definitions(test_${name} PRIVATE UVDO_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    gtest_discover_tests(test_${name} TEST_PREFIX ${name}: DISCOVERY_MODE PRE_TEST
      PROPERTIES TIMEOUT 300)
  endif()
endfunction()
