//! A container's life, the same in every engine: start, output, exit codes, signals, limits, counters.

use std::time::Duration;

use opengpu_node::runtime::{ContainerStatus, ExitOutcome, RuntimeError, Signal};

use crate::support::{Workplace, exit_of, wait_for, wait_until};

pub(crate) async fn output_goes_to_the_log_in_order(place: &Workplace) {
    let record = place
        .run(
            "order",
            "for i in 1 2 3; do echo out $i; echo err $i >&2; done; echo again > /dev/stdout",
        )
        .await;
    assert_eq!(record.outcome, ExitOutcome::Code(0));
    let log = place.log("order");
    if place.runtime.name() == "embedded" {
        assert_eq!(log, "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\nagain\n");
    }
    // Docker has two pipes and keeps the order within each.
    let of = |start: &str| {
        log.lines()
            .filter(|line| line.starts_with(start))
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(
        (of("out").as_str(), of("err").as_str()),
        ("out 1,out 2,out 3", "err 1,err 2,err 3")
    );
    assert!(log.contains("again\n"));
    assert!(record.finished_at.boot_millis >= record.started_at.boot_millis);
}

pub(crate) async fn input_output_and_environment_reach_the_program(place: &Workplace) {
    let spec = place.spec(
        "files",
        "cat /in/hello; echo \"$FROM_IMAGE,$FROM_JOB\"; echo made > /out/made; touch /in/x",
    );
    std::fs::write(place.path("files.in/hello"), "hello\n").unwrap();
    if place.runtime.name() == "embedded" {
        // Root's private files are the job's own to read there; Docker shows ids as they are on disk.
        std::fs::set_permissions(
            place.path("files.in/hello"),
            std::os::unix::fs::PermissionsExt::from_mode(0o600),
        )
        .unwrap();
    }
    let record = place.run_spec(&spec).await;
    let log = place.log("files");
    assert!(log.contains("hello\n") && log.contains("yes,yes too\n"), "{log}");
    assert!(log.contains("Read-only file system"), "{log}");
    assert_eq!(record.outcome, ExitOutcome::Code(1));
    assert_eq!(std::fs::read_to_string(place.path("files.out/made")).unwrap(), "made\n");
    assert!(!place.path("files.in/x").exists());
}

pub(crate) async fn exit_codes_and_signals_are_told_apart(place: &Workplace) {
    assert_eq!(place.run("three", "exit 3").await.outcome, ExitOutcome::Code(3));
    assert_eq!(place.run("zero", "true").await.outcome, ExitOutcome::Code(0));

    let spec = place.spec("killed", "echo up; sleep 1000");
    place.runtime.start(&spec).await.unwrap();
    place.runtime.kill(&spec.id, Signal::Kill).await.unwrap();
    assert_eq!(exit_of(&*place.runtime, &spec.id).await.outcome.shell_code(), 137);
    place.runtime.kill(&spec.id, Signal::Kill).await.unwrap();

    let spec = place.spec(
        "asked",
        "trap 'echo stopping; exit 7' TERM; echo up; while true; do sleep 0.05; done",
    );
    place.runtime.start(&spec).await.unwrap();
    wait_until("handler set", async || place.log("asked").contains("up")).await;
    place.runtime.kill(&spec.id, Signal::Terminate).await.unwrap();
    assert_eq!(exit_of(&*place.runtime, &spec.id).await.outcome, ExitOutcome::Code(7));
    assert!(place.log("asked").contains("stopping"));
}

pub(crate) async fn a_command_that_cannot_run_is_the_jobs_fault(place: &Workplace) {
    let mut spec = place.spec("missing", "");
    for argv in [&["/no/such/program"][..], &["/out"], &["no-such-program"]] {
        spec.argv = Some(argv.iter().map(|word| (*word).to_owned()).collect());
        let error = place.runtime.start(&spec).await.unwrap_err();
        assert!(matches!(error, RuntimeError::BadCommand { .. }), "{argv:?}: {error}");
        assert!(error.is_users_fault());
        assert_eq!(place.runtime.status(&spec.id).await.unwrap(), ContainerStatus::Absent);
    }
    // The same id can be tried again.
    spec.argv = Some(vec!["/bin/true".to_owned()]);
    assert_eq!(place.run_spec(&spec).await.outcome, ExitOutcome::Code(0));
}

pub(crate) async fn starting_twice_attaches(place: &Workplace) {
    let spec = place.spec("twice", "echo once; sleep 1000");
    place.runtime.start(&spec).await.unwrap();
    place.runtime.start(&spec).await.unwrap();
    wait_until("output", async || !place.log("twice").is_empty()).await;
    place.runtime.kill(&spec.id, Signal::Kill).await.unwrap();
    let record = exit_of(&*place.runtime, &spec.id).await;
    place.runtime.start(&spec).await.unwrap();
    assert_eq!(
        place.runtime.status(&spec.id).await.unwrap(),
        ContainerStatus::Exited(record)
    );
    assert_eq!(place.log("twice"), "once\n");
}

pub(crate) async fn memory_above_the_limit_ends_the_job_and_is_recorded(place: &Workplace) {
    // tail keeps its whole input in memory while it waits for a line end.
    let record = place.run("hungry", "exec tail -n 1 /dev/zero").await;
    assert!(record.oom_killed, "{record:?}");
    assert_eq!(record.outcome.shell_code(), 137);
    let record = place.run("modest", "exit 9").await;
    assert!(!record.oom_killed);
}

pub(crate) async fn a_pid_limit_stops_a_fork_bomb(place: &Workplace) {
    let record = place
        .run(
            "bomb",
            "i=0; while [ $i -lt 200 ]; do sleep 30 & i=$((i+1)); done; exit 5",
        )
        .await;
    assert_ne!(record.outcome, ExitOutcome::Code(5), "200 processes with a limit of 64");
    assert!(place.log("bomb").contains("fork"), "{}", place.log("bomb"));
}

pub(crate) async fn a_command_runs_inside_and_says_how_it_ended(place: &Workplace) {
    let spec = place.spec("inner", "echo up; touch /tmp/ready; sleep 1000");
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let early = place.runtime.exec(&spec.id, &words(&["true"])).await;
    assert!(matches!(early, Err(RuntimeError::NotRunning { .. })), "{early:?}");
    place.runtime.start(&spec).await.unwrap();
    wait_until("ready", async || {
        place
            .runtime
            .exec(&spec.id, &words(&["test", "-e", "/tmp/ready"]))
            .await
            .unwrap()
            == 0
    })
    .await;
    assert_eq!(
        place
            .runtime
            .exec(&spec.id, &words(&["sh", "-c", "exit 42"]))
            .await
            .unwrap(),
        42
    );
    assert_eq!(
        place
            .runtime
            .exec(&spec.id, &words(&["test", "-e", "/tmp/never"]))
            .await
            .unwrap(),
        1
    );
    let missing = place.runtime.exec(&spec.id, &words(&["no-such-program"])).await;
    assert!(matches!(missing, Err(RuntimeError::BadCommand { .. })), "{missing:?}");
    place.runtime.remove(&spec.id).await.unwrap();
}

pub(crate) async fn a_paused_job_uses_no_processor_and_goes_on(place: &Workplace) {
    let spec = place.spec("frozen", "while true; do :; done");
    place.runtime.start(&spec).await.unwrap();
    place.runtime.pause(&spec.id).await.unwrap();
    place.runtime.pause(&spec.id).await.unwrap();
    let paused = |status: &ContainerStatus| matches!(status, ContainerStatus::Paused { .. });
    wait_for(&*place.runtime, &spec.id, paused).await;
    let before = place.runtime.sample(&spec.id).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let after = place.runtime.sample(&spec.id).await.unwrap();
    assert!(after.cpu_nanos - before.cpu_nanos < 5_000_000, "{before:?} {after:?}");
    place.runtime.resume(&spec.id).await.unwrap();
    wait_until("more processor time", async || {
        place.runtime.sample(&spec.id).await.unwrap().cpu_nanos > after.cpu_nanos + 50_000_000
    })
    .await;
    // A paused job can be ended.
    place.runtime.pause(&spec.id).await.unwrap();
    place.runtime.kill(&spec.id, Signal::Kill).await.unwrap();
    assert_eq!(exit_of(&*place.runtime, &spec.id).await.outcome.shell_code(), 137);
}

pub(crate) async fn removed_containers_are_forgotten_and_their_files_stay(place: &Workplace) {
    let spec = place.spec("gone", "echo kept; echo kept > /out/kept; sleep 1000");
    place.runtime.start(&spec).await.unwrap();
    wait_until("output", async || {
        place.path("gone.out/kept").exists() && !place.log("gone").is_empty()
    })
    .await;
    assert!(place.runtime.list().await.unwrap().contains(&spec.id));
    place.runtime.remove(&spec.id).await.unwrap();
    assert_eq!(place.runtime.status(&spec.id).await.unwrap(), ContainerStatus::Absent);
    assert!(!place.runtime.list().await.unwrap().contains(&spec.id));
    place.runtime.remove(&spec.id).await.unwrap();
    assert_eq!(place.log("gone"), "kept\n");
    assert!(place.path("gone.out/kept").exists());
}
