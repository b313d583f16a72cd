//! `opengpu demo`: one paid job on a network of its own, told as it happens, checked by a second process, and nothing left.

mod stranger;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use opengpu_core::wire::Step;
use serde::Serialize;

use super::Context;
use crate::args;
use crate::failure::{Failure, OrFail, Outcome};
use crate::home::{Home, LOCAL};
use crate::interrupts::{Interrupts, interrupted};
use crate::job::finish::{Finished, finish};
use crate::job::follow::{End, Follower, Learnt};
use crate::job::history::History;
use crate::job::start::prepare;
use crate::job::story::{Happening, LogTo, Story, Teller};
use crate::job::verdict::verdict;
use crate::network::{LocalNetwork, Role, Started};
use crate::output::{print_json, say, show_duration};
use crate::session::Session;
use stranger::Isolation;

/// The demo's escrow, whole USDC: far above what the job costs, to show the refund.
const MAX_COST: &str = "1";
/// What the path tracer needs at most, seconds; it computes about eleven.
const EXPECT: &str = "12s";
/// What an interrupted demo says.
const NOTHING_LEFT: &str = "nothing is left running";
/// File the program writes.
const PICTURE: &str = "image.png";

/// `--json`: what the run says, and what only the demo knows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Demo {
    #[serde(flatten)]
    finished: serde_json::Map<String, serde_json::Value>,
    timings: Timings,
}

/// Milliseconds from submitting the order.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Timings {
    #[serde(rename = "match")]
    matched: u64,
    ready: u64,
    first_log_line: u64,
    settled: u64,
}

/// Tells the story and notes when things happened.
struct Timed {
    teller: Teller,
    submitted: Instant,
    timings: Timings,
}

impl Timed {
    fn new(teller: Teller) -> Self {
        Self {
            teller,
            submitted: Instant::now(),
            timings: Timings::default(),
        }
    }

    fn since_submit(&self) -> u64 {
        u64::try_from(self.submitted.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Story for Timed {
    fn tell(&mut self, happening: &Happening<'_>) {
        let now = self.since_submit();
        match happening {
            Happening::Prepared { .. } => self.submitted = Instant::now(),
            Happening::Matched { .. } => self.timings.matched = now,
            Happening::Step(Step::Ready) => self.timings.ready = now,
            Happening::Log(_) if self.timings.first_log_line == 0 => self.timings.first_log_line = now,
            Happening::Settled(_) => self.timings.settled = now,
            _ => {}
        }
        self.teller.tell(happening);
    }
}

/// Runs the demo.
pub(crate) async fn demo(context: &Context, args: &args::Demo) -> Outcome {
    let begun = Instant::now();
    let parts = Parts::find(&args.scene)?;
    let mut interrupts = Interrupts::listen()?;
    let private = tempfile::Builder::new()
        .prefix("opengpu-demo-")
        .tempdir()
        .or_fail("cannot make a temporary folder")?;
    let home = Home::at(private.path().to_owned());
    let local = LocalNetwork::of(&home);
    let started = Started::default();
    let outcome = show(context, args, &Stage { home, parts, started }, &mut interrupts).await;
    say("stop     everything the demo started");
    let stopped = local.down().await;
    if outcome.is_err() {
        keep_logs(&local);
    }
    let (demo, folder) = outcome?;
    stopped?;
    if context.global.json {
        print_json(&demo)?;
    }
    say(&format!(
        "done in {}: picture, log and receipt are in {}",
        show_duration(begun.elapsed()),
        folder.display()
    ));
    Ok(())
}

/// What the demo plays with.
struct Stage {
    home: Home,
    parts: Parts,
    started: Started,
}

async fn show(
    context: &Context,
    args: &args::Demo,
    stage: &Stage,
    interrupts: &mut Interrupts,
) -> Outcome<(Demo, PathBuf)> {
    let local = LocalNetwork::of(&stage.home);
    let any_port = args::Up {
        chain_port: Some(0),
        gateway_port: Some(0),
        node_port: Some(0),
        ..args::Up::default()
    };
    let tell = |text: &str| say(&format!("network  {text}"));
    interrupts
        .or(local.up(&any_port, &stage.started, &tell), NOTHING_LEFT)
        .await?;
    let global = args::Global {
        network: Some(LOCAL.to_owned()),
        ..context.global.clone()
    };
    let session = Session::open(&stage.home, &global).await?;
    let run = stage.parts.run_args(args.output.clone())?;
    let mut story = Timed::new(Teller::new(session.token(&run.token)?.1, LogTo::Stderr));
    let (learnt, finished, history) = play(&session, &run, &mut story, interrupts).await?;
    verdict(&learnt, &history.terms, &finished.bill)?;
    say(&format!(
        "receipt  {} ({})",
        finished.receipt.path.display(),
        finished.receipt.cid
    ));
    say(
        match interrupts
            .or(stranger::verify(&finished.receipt.path), NOTHING_LEFT)
            .await?
        {
            Isolation::Namespace => "verified by a second process without a network and without our data",
            Isolation::Proxies => "verified by a second process without our data",
        },
    );
    let folder = finished.receipt.path.parent().unwrap_or(Path::new(".")).to_owned();
    let demo = Demo::new(&finished, story.timings)?;
    Ok((demo, folder))
}

/// The job, from order to receipt.
async fn play(
    session: &Session,
    run: &args::Run,
    story: &mut Timed,
    interrupts: &mut Interrupts,
) -> Outcome<(Learnt, Finished, History)> {
    let prepared = interrupts.or(prepare(session, run, story), NOTHING_LEFT).await?;
    let offer = interrupts.or(prepared.offer(session, story), NOTHING_LEFT).await?;
    let record = prepared.accept(session, run, offer, story).await?;
    prepared.upload(session, &record, story, interrupts).await?;
    let mut follower = Follower {
        session,
        record: &record,
        story,
        cosigner: None,
        may_ask: false,
        learnt: Learnt::default(),
    };
    if follower.follow(interrupts).await? == End::Detached {
        return Err(interrupted().hint(NOTHING_LEFT));
    }
    let mut learnt = follower.learnt;
    let work = finish(session, &record, &mut learnt, &record.output, story);
    let (finished, history) = interrupts.or(work, NOTHING_LEFT).await?;
    Ok((learnt, finished, history))
}

impl Demo {
    fn new(finished: &Finished, timings: Timings) -> Outcome<Self> {
        let mut value = serde_json::to_value(finished).or_fail("cannot write JSON")?;
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|name, _| !matches!(name.as_str(), "ending" | "exitCode"));
        }
        value["receipt"]["verified"] = true.into();
        value["output"] = finished.output.join(PICTURE).display().to_string().into();
        match value {
            serde_json::Value::Object(finished) => Ok(Self { finished, timings }),
            other => Err(Failure::error(format_args!("cannot write JSON: {other}"))),
        }
    }
}

/// A failed demo's folder goes away; what its processes said is worth keeping.
fn keep_logs(local: &LocalNetwork) {
    for role in Role::ALL {
        if let Some(words) = local.processes().last_words(role) {
            say(&format!("note     the {} said last: {words}", role.name()));
        }
    }
}

/// What the build puts beside the program.
struct Parts {
    image: PathBuf,
    scene: PathBuf,
}

impl Parts {
    fn find(scene: &str) -> Outcome<Self> {
        let program = std::env::current_exe().or_fail("cannot find this program")?;
        let folder = program.parent().unwrap_or(Path::new("/")).join("demo");
        let image = folder.join("path-tracer");
        if !image.join("index.json").is_file() {
            return Err(
                Failure::error(format_args!("the demo's image is not in {}", image.display()))
                    .hint("`make demo` builds it"),
            );
        }
        let named = folder.join("scenes").join(format!("{scene}.json"));
        let given = PathBuf::from(scene);
        let scene_file = if named.is_file() { named } else { given };
        if !scene_file.is_file() {
            let known = scene_names(&folder.join("scenes")).join(", ");
            return Err(
                Failure::usage(format_args!("there is no scene `{scene}`; there are {known}"))
                    .hint("--scene also takes a JSON file"),
            );
        }
        Ok(Self {
            image,
            scene: scene_file,
        })
    }

    /// The job as a command line would ask for it: all cores, one USDC at most.
    fn run_args(&self, output: Option<PathBuf>) -> Outcome<args::Run> {
        let cores = std::thread::available_parallelism()
            .map_or(1, std::num::NonZero::get)
            .to_string();
        let image = format!("oci:{}", self.image.display());
        let scene = self.scene.display().to_string();
        let line = [
            "opengpu",
            "run",
            "--input",
            &scene,
            "--max-cost",
            MAX_COST,
            "--expect",
            EXPECT,
            "--max-duration",
            "5m",
            "--cpus",
            &cores,
            "--memory",
            "256MiB",
            "--disk",
            "64MiB",
            "--name",
            "demo",
            &image,
        ];
        match args::Cli::try_parse_from(line) {
            Ok(args::Cli {
                command: args::Command::Run(run),
                ..
            }) => Ok(args::Run {
                output,
                folder_prefix: "demo".to_owned(),
                ..*run
            }),
            Ok(_) => Err(Failure::error("the demo's own command line is wrong")),
            Err(error) => Err(Failure::error(format_args!(
                "the demo's own command line is wrong: {error}"
            ))),
        }
    }
}

fn scene_names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.path().file_stem().map(|name| name.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}
