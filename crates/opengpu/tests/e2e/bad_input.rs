//! Wrong input and programs that fail: one clear line, a hint, and nothing lost.

use crate::network::{Network, assert_adds_up, assert_fails, number, words};

#[test]
fn an_image_that_is_not_there_is_named_before_anything_is_locked() {
    let Some(network) = Network::up() else { return };
    let before = network.credits("USDC");
    for image in [
        "oci:/no/such/folder",
        "oci-archive:/no/such/file.tar",
        "127.0.0.1:1/no/such:image",
        "Bad Name",
    ] {
        let output = network.opengpu(&["run", "--yes", image, "--", "true"]);
        let code = output.status.code();
        assert!(matches!(code, Some(1 | 2)), "{image}: {}", words(&output));
        assert_fails(&output, code.unwrap(), "");
    }
    assert_eq!(network.credits("USDC"), before);
}

#[test]
fn a_command_that_exits_three_pays_for_its_time_and_says_so() {
    let Some(network) = Network::up() else { return };
    let output = network.run(&[], "echo about to fail; sleep 1; exit 3");
    assert_fails(&output, 3, "3");
    let bill: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(bill["exitCode"], 3, "{bill}");
    assert_eq!(bill["error"]["code"], "program", "{bill}");
    let record = network.json(&["node", "show"])["record"].clone();
    assert_eq!(
        (&record["closed"], &record["userFaults"]),
        (&1.into(), &1.into()),
        "{record}"
    );
    assert_adds_up(&bill);
    assert!(number(&bill["paid"]) > 0, "{bill}");
}

#[test]
fn a_program_that_is_not_in_the_image_is_named_and_costs_nothing() {
    let Some(network) = Network::up() else { return };
    let image = network.image();
    let before = network.credits("USDC");
    let output = network.opengpu(&["run", "--yes", &image, "--", "/bin/no-such-program"]);
    assert_ne!(output.status.code(), Some(0), "{}", words(&output));
    assert!(words(&output).contains("no-such-program"), "{}", words(&output));
    let paid = before - network.credits("USDC");
    assert!(paid < 1_000, "paid {paid} for a program that never ran");
}

#[test]
fn a_program_that_never_becomes_ready_costs_nothing() {
    let Some(network) = Network::up() else { return };
    let before = network.credits("USDC");
    let output = network.run(&["--ready", "false", "--ready-within", "5s"], "sleep 600");
    let code = output.status.code();
    assert!(matches!(code, Some(3 | 4 | 6)), "{}", words(&output));
    assert_fails(&output, code.unwrap(), "ready");
    assert_eq!(network.credits("USDC"), before, "an init loop costs 0");
}

#[test]
fn too_much_memory_ends_the_job_as_out_of_memory() {
    let Some(network) = Network::up() else { return };
    let output = network.run(
        &["--memory", "32MiB"],
        "yes | tr -d '\\n' | head -c 200000000 | dd bs=190M count=1 iflag=fullblock of=/dev/null",
    );
    assert_fails(&output, 3, "memory");
    let bill: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_adds_up(&bill);
}

#[test]
fn a_max_cost_below_the_cheapest_bid_names_the_cheapest() {
    let Some(network) = Network::up() else { return };
    let output = network.run(&["--max-cost", "0.000001", "--expect", "1h"], "true");
    assert_fails(&output, 5, "cheapest");
    assert!(words(&output).contains("USDC"), "{}", words(&output));
}

#[test]
fn too_few_credits_says_how_many_are_missing_and_how_to_deposit_them() {
    let Some(network) = Network::up() else { return };
    let all = network.credits("USDC");
    let keep = 250_000;
    let withdraw = format!("{}.{:06}", (all - keep) / 1_000_000, (all - keep) % 1_000_000);
    let output = network.opengpu(&["wallet", "withdraw", &withdraw]);
    assert!(output.status.success(), "{}", words(&output));
    let output = network.run(&[], "true");
    assert_fails(&output, 5, "0.75");
    let said = words(&output);
    let command = said.split("opengpu wallet deposit ").nth(1).expect(&said);
    let amount = command.split_whitespace().next().unwrap();
    let output = network.opengpu(&["wallet", "deposit", amount]);
    assert!(output.status.success(), "{}", words(&output));
    network.bill(&[], "true");
}

#[test]
fn wrong_options_name_the_option() {
    let Some(network) = Network::up() else { return };
    let image = network.image();
    for (option, value) in [
        ("--max-cost", "much"),
        ("--token", "DOGE"),
        ("--memory", "-1"),
        ("--input", "/no/such/input"),
        ("--max-cost", "0.0000001"),
    ] {
        let output = network.opengpu(&["run", "--yes", option, value, &image, "--", "true"]);
        assert!(!output.status.success(), "{option} {value}");
        assert!(words(&output).contains(value), "{option} {value}: {}", words(&output));
        assert!(
            words(&output).contains("hint: "),
            "{option} {value}: {}",
            words(&output)
        );
    }
}
