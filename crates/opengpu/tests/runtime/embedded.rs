//! Every scenario in the embedded engine.

macro_rules! in_embedded_engine {
    ($($module:ident :: $scenario:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $scenario() {
                if let Some(place) = crate::support::embedded().await {
                    crate::$module::$scenario(&place).await;
                }
            }
        )*
    };
}

in_embedded_engine!(
    life::output_goes_to_the_log_in_order,
    life::input_output_and_environment_reach_the_program,
    life::exit_codes_and_signals_are_told_apart,
    life::a_command_that_cannot_run_is_the_jobs_fault,
    life::starting_twice_attaches,
    life::memory_above_the_limit_ends_the_job_and_is_recorded,
    life::a_pid_limit_stops_a_fork_bomb,
    life::a_command_runs_inside_and_says_how_it_ended,
    life::a_paused_job_uses_no_processor_and_goes_on,
    life::removed_containers_are_forgotten_and_their_files_stay,
    isolation::a_job_has_no_rights_and_sees_nothing_of_the_host,
    isolation::every_attempt_to_get_out_fails,
    isolation::commands_run_inside_are_held_the_same,
    isolation::only_the_job_suffers_from_its_own_flood,
    isolation::jobs_have_id_ranges_of_their_own,
);
