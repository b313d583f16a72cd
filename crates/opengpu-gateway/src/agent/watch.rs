//! When the payer agent acts on a node that does not speak. Pure.

use opengpu_core::job::{JobState, Terms};

use super::journal::Record;
use crate::config::Patience;
use crate::ports::Action;
use crate::projector::ChainJob;

/// Voucher intervals without a word after which a node counts as silent (the node itself pauses after two).
const SILENT_INTERVALS: u64 = 3;
/// A node that stores the output of an ended program bills nothing and may be busy with its disk: it is given this long, seconds.
const WRAPPING_UP_SECONDS: u64 = 600;
/// Beyond `readyWithinSeconds + 2·maxSeconds` an attempt ends a day later (protocol, section 4), seconds.
const LAST_DEADLINE_SECONDS: u64 = 86_400;

/// A job as the watch sees it.
pub(crate) struct Watched<'a> {
    pub(crate) job: &'a ChainJob,
    pub(crate) terms: &'a Terms,
    pub(crate) record: &'a Record,
    /// The spec's, or the longest there is when the order is not known here.
    pub(crate) interval_seconds: u32,
    /// Last word of the attempt's node, unix milliseconds; none since we listen.
    pub(crate) heard_millis: Option<u64>,
    /// Whether the node said that the program ended and it is storing what it gave.
    pub(crate) is_wrapping_up: bool,
    /// Since when we could have heard it, unix milliseconds.
    pub(crate) listening_since_millis: u64,
    pub(crate) now_millis: u64,
    pub(crate) response_window_seconds: u64,
}

/// What to do now, if anything.
pub(crate) fn next_action(watched: &Watched<'_>, patience: &Patience) -> Option<Action> {
    let job = watched.job;
    let now = watched.now_millis / 1000;
    let in_state = now.saturating_sub(job.state_since);
    if let Some(approved) = watched.record.approved.as_ref().filter(|_| job.state.can_settle()) {
        // Nothing else can be due: both have said how it ended, and that settles a report as well.
        let is_due = watched.silent_millis() >= patience.settle_seconds * 1000;
        return is_due.then(|| Action::Settle(approved.clone()));
    }
    match job.state {
        JobState::Matched if now >= last_deadline(watched.terms) => {
            Some(Action::Expire(watched.record.voucher.clone()))
        }
        JobState::Matched => watched.on_running(patience),
        JobState::Reported => (now >= job.progress.reported_at.saturating_add(watched.response_window_seconds))
            .then_some(Action::ResolveFault),
        JobState::Interrupted => (in_state >= patience.close_seconds).then_some(Action::Close),
        JobState::None | JobState::Submitted | JobState::Disputed | JobState::Settled | JobState::Cancelled => None,
    }
}

fn last_deadline(terms: &Terms) -> u64 {
    let limits = &terms.limits;
    let seconds = u64::from(limits.ready_within_seconds) + 2 * u64::from(limits.max_seconds) + LAST_DEADLINE_SECONDS;
    terms.matched_at().saturating_add(seconds)
}

impl Watched<'_> {
    fn silent_millis(&self) -> u64 {
        let heard = self.heard_millis.unwrap_or(0).max(self.listening_since_millis);
        self.now_millis.saturating_sub(heard)
    }

    fn on_running(&self, patience: &Patience) -> Option<Action> {
        let now = self.now_millis / 1000;
        if now < self.job.progress.reportable_from {
            return None;
        }
        let interval = u64::from(self.interval_seconds);
        let wrapping_up = if self.is_wrapping_up { WRAPPING_UP_SECONDS } else { 0 };
        let silence = (SILENT_INTERVALS * interval)
            .max(patience.silence_seconds)
            .max(wrapping_up);
        let is_silent = self.silent_millis() >= silence * 1000;
        if let Some(voucher) = &self.record.voucher {
            return is_silent.then(|| Action::ReportFault(Some(voucher.clone())));
        }
        // Never READY as far as we know. If we did not listen the whole time we may have missed it, so it must be silent too.
        let ready_by = self.terms.matched_at() + u64::from(self.terms.limits.ready_within_seconds);
        let is_late = now >= ready_by + interval;
        let listened = self.listening_since_millis <= ready_by * 1000;
        (is_late && (listened || is_silent)).then_some(Action::ReportFault(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{MATCHED_AT, approve, chain_job, result, sign_both, terms, voucher_at};

    const PATIENCE: Patience = Patience {
        silence_seconds: 30,
        settle_seconds: 120,
        close_seconds: 600,
        look_seconds: 1,
    };

    struct Scene {
        job: ChainJob,
        record: Record,
        heard: Option<u64>,
        is_wrapping_up: bool,
        listening_since: u64,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                job: chain_job(),
                record: Record::default(),
                heard: None,
                is_wrapping_up: false,
                listening_since: MATCHED_AT,
            }
        }

        fn at(&self, after_seconds: u64) -> Option<Action> {
            let terms = terms();
            let watched = Watched {
                job: &self.job,
                terms: &terms,
                record: &self.record,
                interval_seconds: 20,
                heard_millis: self.heard.map(|at| at * 1000),
                is_wrapping_up: self.is_wrapping_up,
                listening_since_millis: self.listening_since * 1000,
                now_millis: (MATCHED_AT + after_seconds) * 1000,
                response_window_seconds: 60,
            };
            next_action(&watched, &PATIENCE)
        }
    }

    #[test]
    fn a_node_silent_for_three_intervals_is_reported_with_the_newest_voucher() {
        let mut scene = Scene::new();
        let newest = sign_both(voucher_at(1, 5000, MATCHED_AT + 10));
        scene.record.voucher = Some(newest.clone());
        scene.heard = Some(MATCHED_AT + 10);
        assert_eq!(scene.at(69), None);
        assert_eq!(scene.at(70), Some(Action::ReportFault(Some(newest))));
    }

    #[test]
    fn a_node_that_stores_a_large_output_is_given_time() {
        let mut scene = Scene::new();
        scene.record.voucher = Some(sign_both(voucher_at(1, 5000, MATCHED_AT + 10)));
        scene.heard = Some(MATCHED_AT + 10);
        scene.is_wrapping_up = true;
        assert_eq!(scene.at(609), None);
        assert!(matches!(scene.at(610), Some(Action::ReportFault(Some(_)))));
    }

    #[test]
    fn a_node_is_not_reported_for_the_time_the_gateway_was_away() {
        let mut scene = Scene::new();
        scene.record.voucher = Some(sign_both(voucher_at(1, 5000, MATCHED_AT + 10)));
        scene.heard = Some(MATCHED_AT + 10);
        scene.listening_since = MATCHED_AT + 1000;
        assert_eq!(scene.at(1059), None);
        assert!(scene.at(1060).is_some());
    }

    #[test]
    fn a_node_that_is_not_ready_in_time_is_reported_though_it_talks() {
        let mut scene = Scene::new();
        let late = u64::from(terms().limits.ready_within_seconds) + 20;
        scene.heard = Some(MATCHED_AT + late);
        assert_eq!(scene.at(late - 1), None);
        assert_eq!(scene.at(late), Some(Action::ReportFault(None)));
    }

    #[test]
    fn a_gateway_that_lost_its_memory_does_not_call_a_running_node_never_ready() {
        let mut scene = Scene::new();
        let late = u64::from(terms().limits.ready_within_seconds) + 500;
        scene.listening_since = MATCHED_AT + late;
        assert_eq!(scene.at(late + 1), None);
    }

    #[test]
    fn no_report_before_the_chain_takes_one() {
        let mut scene = Scene::new();
        scene.record.voucher = Some(sign_both(voucher_at(1, 5000, MATCHED_AT + 10)));
        scene.job.progress.reportable_from = MATCHED_AT + 500;
        assert_eq!(scene.at(499), None);
        assert!(scene.at(500).is_some());
    }

    #[test]
    fn an_unanswered_report_is_resolved_when_its_window_is_over() {
        let mut scene = Scene::new();
        scene.job.state = JobState::Reported;
        scene.job.progress.reported_at = MATCHED_AT + 100;
        assert_eq!(scene.at(159), None);
        assert_eq!(scene.at(160), Some(Action::ResolveFault));
    }

    #[test]
    fn an_interrupted_job_is_closed_when_the_payer_let_its_time_pass() {
        let mut scene = Scene::new();
        scene.job.state = JobState::Interrupted;
        scene.job.state_since = MATCHED_AT + 100;
        assert_eq!(scene.at(699), None);
        assert_eq!(scene.at(700), Some(Action::Close));
    }

    #[test]
    fn an_approved_result_the_node_does_not_send_is_settled_by_the_agent() {
        let mut scene = Scene::new();
        let approved = approve(result(5000));
        scene.record.approved = Some(approved.clone());
        scene.heard = Some(MATCHED_AT + 50);
        assert_eq!(scene.at(169), None);
        assert_eq!(scene.at(170), Some(Action::Settle(approved)));
    }

    #[test]
    fn an_attempt_past_its_last_deadline_is_expired() {
        let scene = Scene::new();
        let deadline = last_deadline(&terms()) - MATCHED_AT;
        assert_eq!(scene.at(deadline), Some(Action::Expire(None)));
    }
}
