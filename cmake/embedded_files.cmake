# SPDX-License-Identifier: GPL-2.0-or-later
# Files of text that become part of the program. Run as a script (-P) with SOURCE, the folder, and
# OUTPUT it writes src/watch/web_files.h's other half; included it has the build do so.

set(UVDO_WEB_FILES page.html page.css page.js icon.svg)

if(CMAKE_SCRIPT_MODE_FILE)
  set(entries "")
  foreach(name IN LISTS UVDO_WEB_FILES)
    file(READ "${SOURCE}/${name}" text)
    string(FIND "${text}" ")uvdo\"" closing)
    if(NOT closing EQUAL -1)
      message(FATAL_ERROR "${name} has the characters that end it in the program")
    endif()
    string(APPEND entries "    WebFile{\"${name}\", R\"uvdo(${text})uvdo\"},\n")
  endforeach()
  file(WRITE "${OUTPUT}" "// Made by cmake/embedded_files.cmake.
#include \"watch/web_files.h\"

#include <array>

namespace uvdo {

std::span<const WebFile> web_files() {
  static constexpr std::array kFiles{
${entries}  };
  return kFiles;
}

}  // namespace uvdo
")
  return()
endif()

# `target` gets the files of `folder`.
function(uvdo_embed_web_files target folder)
  set(output ${CMAKE_BINARY_DIR}/web_files.cpp)
  list(TRANSFORM UVDO_WEB_FILES PREPEND ${folder}/ OUTPUT_VARIABLE inputs)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DSOURCE=${folder} -DOUTPUT=${output}
      -P ${CMAKE_SOURCE_DIR}/cmake/embedded_files.cmake
    DEPENDS ${inputs} ${CMAKE_SOURCE_DIR}/cmake/embedded_files.cmake VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()
