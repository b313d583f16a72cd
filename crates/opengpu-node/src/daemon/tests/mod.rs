//! The whole daemon with chain, gateway and containers faked, files and time real: what one job leaves in the world, also when
//! the daemon is killed again and again.

mod fake_chain;
mod fake_gateway;
mod fake_runtime;
mod world;

use std::time::{Duration, Instant};

use opengpu_core::order::Outcome;

use world::TestWorld;

#[test]
fn job_is_bid_for_run_metered_settled_and_cleared_away() {
    let world = TestWorld::new(Duration::from_millis(5_600));
    let node = world.start_node();
    let job = world.post_order();
    world.wait("a bid", || world.gateway.bid().is_some());
    world.match_order();
    world.wait("READY", || world.gateway.steps().contains(&"ready".to_owned()));
    world.wait("the settlement", || !world.chain.settled().is_empty());
    world.wait("a clean machine", || {
        world.runtime.ids().is_empty() && !world.job_folder(job).exists()
    });
    node.kill();
    let settled = world.chain.settled();
    assert_eq!(settled.len(), 1);
    assert_eq!(settled[0].result.outcome, Outcome::Completed);
    assert_eq!(settled[0].result.billed_millis, 5_600);
    assert_eq!(world.gateway.refusals(), Vec::<String>::new());
    assert!(world.gateway.vouchers_signed() >= 2);
    assert_eq!(world.gateway.log(), b"line 1\nline 2\n");
    assert_eq!(world.runtime.input_seen(), Some(b"the input".to_vec()));
    assert_eq!(world.runtime.starts(), 1);
}

#[test]
fn order_given_up_before_its_match_makes_room_for_the_next_at_once() {
    let world = TestWorld::new(Duration::from_millis(300));
    let node = world.start_node();
    let first = world.post_order();
    world.wait("a bid", || world.gateway.bid().is_some());
    // The machine has room for one of them; the first would hold it for a minute.
    let second = world.post_order_number(2);
    let begun = Instant::now();
    world.give_up(first);
    world.wait("a bid for the next", || {
        world.gateway.bid().is_some_and(|bid| bid.bid.job_id == second)
    });
    node.kill();
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "waited for the first bid to lapse"
    );
}

#[test]
fn order_of_a_budget_is_given_up_by_its_key_and_one_of_another_payers_budget_gets_no_bid() {
    let world = TestWorld::new(Duration::from_millis(300));
    let node = world.start_node();
    let elsewhere = opengpu_core::ids::BudgetId(opengpu_core::U256::from(13));
    world.post_order_paid_from(elsewhere, 1);
    let first = world.post_order_paid_from(world::budget(), 2);
    // Orders are looked at as they come: the one before got none.
    world.wait("a bid", || world.gateway.bid().is_some());
    assert_eq!(world.gateway.bid().unwrap().bid.job_id, first);
    let second = world.post_order_number(3);
    let begun = Instant::now();
    world.give_up_by(7, first);
    world.wait("a bid for the next", || {
        world.gateway.bid().is_some_and(|bid| bid.bid.job_id == second)
    });
    node.kill();
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "waited for the first bid to lapse"
    );
}

#[test]
fn daemon_killed_at_twenty_moments_starts_once_bills_once_and_settles_once() {
    is_killed_twenty_times(7_000);
}

#[test]
fn daemon_killed_around_the_end_of_a_short_job_starts_once_bills_once_and_settles_once() {
    is_killed_twenty_times(700);
}

fn is_killed_twenty_times(program_millis: u64) {
    let world = TestWorld::new(Duration::from_millis(program_millis));
    let mut node = world.start_node();
    let job = world.post_order();
    world.wait("a bid", || world.gateway.bid().is_some());
    world.match_order();
    // Moments from 5 ms to 600 ms after each start, so that preparing, starting, running and ending are all hit.
    for round in 0u64..20 {
        std::thread::sleep(Duration::from_millis(5 + (round * 7_919) % 595));
        node.kill();
        node = world.start_node();
    }
    world.wait("the settlement", || !world.chain.settled().is_empty());
    world.wait("a clean machine", || {
        world.runtime.ids().is_empty() && !world.job_folder(job).exists()
    });
    node.kill();
    assert_eq!(world.gateway.refusals(), Vec::<String>::new());
    assert_eq!((world.runtime.starts(), world.chain.settled().len()), (1, 1));
    assert_eq!(world.chain.settled()[0].result.billed_millis, program_millis);
}

#[test]
fn gateway_that_forgets_everything_is_told_again_and_the_job_settles() {
    let world = TestWorld::new(Duration::from_millis(6_000));
    let node = world.start_node();
    world.post_order();
    world.wait("a bid", || world.gateway.bid().is_some());
    world.match_order();
    world.wait("a signed voucher", || world.gateway.vouchers_signed() == 1);
    world.gateway.forget();
    world.wait("the bid again", || world.gateway.bid().is_some());
    world.wait("the settlement", || !world.chain.settled().is_empty());
    node.kill();
    assert_eq!(world.chain.settled()[0].result.billed_millis, 6_000);
    // Its log is whole again, too.
    assert_eq!(world.gateway.log(), b"line 1\nline 2\n");
}

#[test]
fn settlement_a_reorganisation_undid_is_sent_again() {
    let world = TestWorld::new(Duration::from_millis(300));
    let node = world.start_node();
    let job = world.post_order();
    world.wait("a bid", || world.gateway.bid().is_some());
    world.match_order();
    world.wait("the settlement", || !world.chain.settled().is_empty());
    world.chain.undo_last_block();
    world.wait("the settlement again", || world.chain.settled().len() == 2);
    world.wait("a clean machine", || {
        world.runtime.ids().is_empty() && !world.job_folder(job).exists()
    });
    node.kill();
    let settled = world.chain.settled();
    assert_eq!(settled[0], settled[1]);
}

#[test]
fn full_disk_loses_nothing_and_the_job_goes_on_when_there_is_room() {
    let Some(world) = TestWorld::on_small_disk(Duration::from_millis(6_000)) else {
        return;
    };
    let node = world.start_node();
    let job = world.post_order();
    world.wait("a bid", || world.gateway.bid().is_some());
    world.match_order();
    world.wait("a signed voucher", || world.gateway.vouchers_signed() == 1);
    world.fill_disk();
    // The program ends meanwhile; its end can be neither recorded nor collected.
    std::thread::sleep(Duration::from_secs(8));
    assert!(world.chain.settled().is_empty());
    world.empty_disk();
    world.wait("the settlement", || !world.chain.settled().is_empty());
    world.wait("a clean machine", || {
        world.runtime.ids().is_empty() && !world.job_folder(job).exists()
    });
    node.kill();
    assert_eq!(world.gateway.refusals(), Vec::<String>::new());
    assert_eq!((world.runtime.starts(), world.chain.settled().len()), (1, 1));
    assert_eq!(world.chain.settled()[0].result.billed_millis, 6_000);
}

#[test]
fn node_with_a_full_disk_makes_no_offer_until_there_is_room() {
    let Some(world) = TestWorld::on_small_disk(Duration::from_millis(100)) else {
        return;
    };
    world.fill_disk();
    let node = world.start_node();
    world.post_order();
    std::thread::sleep(Duration::from_secs(1));
    assert!(world.gateway.bid().is_none());
    world.empty_disk();
    world.wait("a bid", || world.gateway.bid().is_some());
    node.kill();
}

#[test]
fn container_without_a_job_is_removed_at_the_start() {
    let world = TestWorld::new(Duration::from_millis(300));
    world.runtime.plant("0123456789abcdef0123456789abcdef-1");
    let node = world.start_node();
    world.wait("a clean machine", || world.runtime.ids().is_empty());
    node.kill();
}
