# SPDX-License-Identifier: GPL-2.0-or-later
# Runs as many histories as the environment asks for: SEEDS of them, from SEED on, in JOBS processes.
cmake_host_system_information(RESULT jobs QUERY NUMBER_OF_LOGICAL_CORES)
set(seeds 10000)
set(seed 1)
foreach(name seeds seed jobs)
  string(TOUPPER ${name} variable)
  if(DEFINED ENV{${variable}} AND NOT "$ENV{${variable}}" STREQUAL "")
    set(${name} $ENV{${variable}})
  endif()
endforeach()
execute_process(
  COMMAND ${PROGRAM} --subject volume --seed ${seed} --count ${seeds} --jobs ${jobs} --keep-going
  RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "The simulation found something: see the seeds above.")
endif()
