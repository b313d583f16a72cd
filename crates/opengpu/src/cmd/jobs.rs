//! `opengpu job result`: what an ended job left, for those who left it running.

use super::Context;
use crate::args;
use crate::failure::{Failure, Outcome};
use crate::interrupts::Interrupts;
use crate::job::collect::check_output_folder;
use crate::job::finish::{finish, result_text};
use crate::job::follow::Learnt;
use crate::job::record::Records;
use crate::job::story::{Happening, LogTo, Story, Teller};
use crate::job::verdict::verdict;
use crate::output::{print_json_with, print_line};
use crate::session::Session;

/// Tells all but the log, which is one of the files fetched.
struct Quiet(Teller);

impl Story for Quiet {
    fn tell(&mut self, happening: &Happening<'_>) {
        if !matches!(happening, Happening::Log(_)) {
            self.0.tell(happening);
        }
    }
}

/// Fetches output, log and receipt of a closed job and prints its bill.
pub(crate) async fn result(context: &Context, args: &args::JobResult) -> Outcome {
    let mut interrupts = Interrupts::listen()?;
    let session = Session::open(&context.home, &context.global).await?;
    let (job, record) = Records::of(&context.home).find(&session.profile.name, &args.job)?;
    let record = record.ok_or_else(|| {
        Failure::usage(format_args!("job {job} was not started from here"))
            .hint("`opengpu ps --all` lists those that were")
    })?;
    let folder = args.output.clone().unwrap_or_else(|| record.output.clone());
    check_output_folder(&folder)?;
    let mut story = Quiet(Teller::new(session.token_name(record.order.order.token), LogTo::Stderr));
    let mut learnt = Learnt::default();
    let work = finish(&session, &record, &mut learnt, &folder, &mut story);
    let (finished, history) = interrupts.or(work, result_text(job)).await?;
    let verdict = verdict(&learnt, &history.terms, &finished.bill);
    if context.global.json {
        return print_json_with(&finished, verdict);
    }
    print_line(&folder.display().to_string())?;
    verdict
}
