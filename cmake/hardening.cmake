# SPDX-License-Identifier: GPL-2.0-or-later
# What makes a mistake of the program hard to use for an attacker, in one place: position
# independent and with read-only relocations, stack protectors, checked library calls, landing pads
# for indirect jumps, memory that is never unset (Clang). tests/hardening proves each of them on the
# release program. Builds with sanitizers have checks of their own instead.
include(CheckCXXCompilerFlag)

# Paths in messages begin at the sources' top folder, wherever that was.
add_compile_options(-ffile-prefix-map=${CMAKE_BINARY_DIR}/= -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)

if(UVDO_SANITIZE)
  return()
endif()

# The same for libraries as for programs, so that they can share precompiled headers.
add_compile_options(-fPIE)
add_link_options(-pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)

add_compile_options(-fstack-protector-strong)
set(hardening_flags -fcf-protection=full -fstack-clash-protection)
# GCC 12 clears what it takes for padding as well: in a variant, also members of the alternative that
# is there. With it read_volume_headers() gives the journal's start without its upper bytes
# (src/volume/volume_headers_test.cpp).
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  list(APPEND hardening_flags -ftrivial-auto-var-init=zero)
endif()
foreach(flag ${hardening_flags})
  string(MAKE_C_IDENTIFIER "UVDO_HAS${flag}" has)
  check_cxx_compiler_flag(${flag} ${has})
  if(${has})
    add_compile_options(${flag})
  endif()
endforeach()

# It needs an optimiser, and is an error without one where warnings are.
add_compile_options("$<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2>")
