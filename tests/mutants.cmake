# A mutant is one source file with something that guards an invariant taken out (tests/mutants/*.patch). Its test passes
# only if the mutated build fails: so that a property test which would notice nothing is noticed.
#
# tandem_mutant(NAME <patch without .patch> SOURCE <file that is patched>
#               SCHEDULES, for tests/schedules; or, for one test of a room,
#               ROOM <of the test> TEST <its file without .cc> CATCHES <Suite.Test> LINK <libraries>)
function(tandem_mutant)
  cmake_parse_arguments(M "SCHEDULES" "NAME;SOURCE;ROOM;TEST;CATCHES" "LINK" ${ARGN})
  set(target mutant_${M_NAME})
  set(patch "${CMAKE_SOURCE_DIR}/tests/mutants/${M_NAME}.patch")
  set(mutated "${CMAKE_CURRENT_BINARY_DIR}/mutants/${M_NAME}.cc")
  # The build fails when the patch does not apply any more.
  add_custom_command(OUTPUT "${mutated}"
    COMMAND patch --silent --fuzz=0 -p1 -o "${mutated}" "${CMAKE_SOURCE_DIR}/${M_SOURCE}" "${patch}"
    DEPENDS "${CMAKE_SOURCE_DIR}/${M_SOURCE}" "${patch}" COMMENT "Mutating ${M_SOURCE}: ${M_NAME}" VERBATIM)

  # The mutated object comes before the library, whose own object of that name is then never taken out of the archive.
  if(M_SCHEDULES)
    add_executable(${target} "${mutated}" $<TARGET_OBJECTS:schedules_main>)
    target_link_libraries(${target} PRIVATE tandem_schedules)
    add_test(NAME mutant.${M_NAME} COMMAND sh -c "\"$0\" --count 500; true" $<TARGET_FILE:${target}>)
    set(caught "shrunk in [0-9]+ tries from [0-9]+ groups to [0-9]+, which violates: [^\n]")
  else()
    add_executable(${target} "${mutated}" $<FILTER:$<TARGET_OBJECTS:${M_ROOM}_test_objects>,INCLUDE,/${M_TEST}\\.>)
    target_link_libraries(${target} PRIVATE ${M_LINK} GTest::gmock GTest::gtest_main)
    # A check of the program's own ("bug: ...") that stops the test catches the mutant too; the shell keeps ctest from
    # taking the abort for a failure of its own.
    add_test(NAME mutant.${M_NAME}
      COMMAND sh -c "\"$0\" --gtest_filter=\"$1\" --gtest_brief=1 2>&1; true" $<TARGET_FILE:${target}> ${M_CATCHES})
    string(REPLACE "." "\\." test_name "${M_CATCHES}")
    set(caught "\\[  FAILED  \\] ${test_name};: bug: .* does not hold")
  endif()
  tandem_uses_messages(${target})
  tandem_compiles_quickly(${target})
  set_tests_properties(mutant.${M_NAME} PROPERTIES TIMEOUT 120 PASS_REGULAR_EXPRESSION "${caught}")
endfunction()

function(tandem_exchange_mutant name source test catches)
  tandem_mutant(NAME ${name} SOURCE exchange/${source} ROOM exchange TEST ${test} CATCHES ${catches}
    LINK tandem_schedules)
endfunction()

# A mutant that random schedules must catch, within 500 of them; the failing one is shrunk, and replayed from its text.
function(tandem_schedule_mutant name source)
  tandem_mutant(NAME ${name} SOURCE ${source} SCHEDULES)
endfunction()

tandem_schedule_mutant(no_admission_rule exchange/gate.cc)
tandem_schedule_mutant(no_consumption_check exchange/batcher.cc)
tandem_schedule_mutant(no_group_dedup exchange/ticket_book.cc)
tandem_schedule_mutant(fifo_not_edf exchange/batcher.cc)
tandem_schedule_mutant(no_least_version exchange/lane.cc)
tandem_schedule_mutant(least_ignored tests/exchange/simulated_worker.cc)
tandem_schedule_mutant(no_mask exchange/batcher.cc)
tandem_schedule_mutant(no_drift_check exchange/batcher.cc)
tandem_schedule_mutant(nobody_waits exchange/exchange_training.cc)
tandem_schedule_mutant(lag_ignored exchange/slots.cc)
tandem_schedule_mutant(unjournaled_groups exchange/exchange_tickets.cc)
tandem_schedule_mutant(ledger_leak exchange/ledger.cc)

tandem_exchange_mutant(arrival_order batcher.cc property_test
  ExchangePropertyTest.WithBoundZeroBatchesDoNotDependOnTheOrderOfArrival)
tandem_exchange_mutant(torn_weights weight_store.cc weight_store_test
  WeightStoreTest.NothingIsVisibleWithoutItsDigest)
tandem_exchange_mutant(version_reused weight_store.cc weight_store_test WeightStoreTest.AVersionNamesOneSetOfBytes)

tandem_mutant(NAME no_call_dedup SOURCE proto/wire/inbox.cc ROOM proto TEST session_test
  CATCHES SessionPropertyTest.EveryCallIsExecutedAtMostOnceAndAnsweredOnceInBoundedMemory/0 LINK tandem_proto)
