//! What a job can see and do, asked from inside it. Each probe prints its name and what it found.

use std::collections::BTreeMap;

use opengpu_node::runtime::ContainerStatus;

use crate::support::{Workplace, wait_until};

/// Prints `name: value` lines about the process's own state.
const LOOK: &str = r#"
for key in NoNewPrivs CapInh CapPrm CapEff CapBnd CapAmb Seccomp; do
  echo "$key: $(awk -v k="$key:" '$1==k {print $2}' /proc/self/status)"
done
echo "root: $(awk '$5=="/" {print $6}' /proc/self/mountinfo | cut -d, -f1)"
echo "interfaces: $(ls /sys/class/net | tr '\n' ' ')"
echo "routes: $(wc -l < /proc/net/route)"
echo "pid: $$"
echo "processes: $(ls -d /proc/[0-9]* | wc -l)"
echo "hostname: $(hostname)"
echo "devices: $(ls /dev | tr '\n' ' ')"
echo "tmp: $(awk '$5=="/tmp" {print $9}' /proc/self/mountinfo)"
echo "uid_map: $(awk '{print $1, $3}' /proc/self/uid_map)"
echo "host_uid: $(awk '{print $2}' /proc/self/uid_map)"
echo "setgroups: $(cat /proc/self/setgroups)"
"#;

/// Attempts that must fail. Each line: a name, then a command that would succeed on a host as root.
const ATTEMPTS: &[(&str, &str)] = &[
    ("mount tmpfs", "mount -t tmpfs none /tmp"),
    ("mount proc", "mkdir -p /tmp/p && mount -t proc none /tmp/p"),
    ("remount root", "mount -o remount,rw /"),
    ("bind over", "mount --bind /tmp /out"),
    ("unmount", "umount /tmp"),
    ("unmask by unmount", "umount /proc/kcore"),
    ("write root", "touch /escape"),
    ("write bin", "echo x > /bin/busybox"),
    ("write input", "touch /in/x"),
    ("chmod root", "chmod 777 /bin"),
    ("new user namespace", "unshare -U true"),
    ("new mount namespace", "unshare -m true"),
    ("new network namespace", "unshare -n true"),
    ("enter namespace", "nsenter -t 1 -m true"),
    ("make disk device", "mknod /tmp/disk b 254 0"),
    ("make memory device", "mknod /tmp/mem c 1 1"),
    ("make kmsg device", "mknod /tmp/kmsg c 1 11"),
    ("read kernel log", "dmesg"),
    ("read kcore", "test -s /proc/kcore || head -c 1 /proc/kcore | grep -q ."),
    ("read keys", "test -s /proc/keys"),
    ("write sysctl", "echo x > /proc/sys/kernel/core_pattern"),
    ("write host name by sysctl", "echo x > /proc/sys/kernel/hostname"),
    ("sysrq", "echo h > /proc/sysrq-trigger"),
    ("set host name", "hostname other"),
    ("raw socket", "ping -c 1 -W 1 127.0.0.1"),
    ("metadata service", "nc -w 1 169.254.169.254 80 < /dev/null"),
    ("private network", "nc -w 1 10.0.0.1 80 < /dev/null"),
    ("public network", "nc -w 1 1.1.1.1 53 < /dev/null"),
    ("new interface", "ip link add dummy0 type dummy"),
    ("add address", "ip addr add 10.9.9.9/8 dev lo"),
    ("load module", "insmod /bin/busybox"),
    ("reboot", "reboot -f"),
    ("swap on", "swapon /bin/busybox"),
    ("set clock", "date -s 2000-01-01; test $(date +%Y) = 2000"),
    ("raise priority", "renice -n -5 -p $$"),
    ("real-time scheduling", "chrt -f 50 true"),
    ("loop device", "losetup /dev/loop0 /bin/busybox"),
    ("cgroup release agent", "echo /bin/sh > /sys/fs/cgroup/release_agent"),
    ("cgroup write", "mkdir /sys/fs/cgroup/x"),
    ("see other processes", "ls -d /proc/[0-9]* | wc -l | grep -qv '^[1-9]$'"),
    ("kill outside", "kill -0 100000"),
    ("host root by proc", "ls /proc/1/root/lib 2> /dev/null"),
    ("sysfs write", "echo 1 > /sys/kernel/profiling"),
    ("debugfs", "ls /sys/kernel/debug/* 2> /dev/null"),
    ("firmware", "ls /sys/firmware/* 2> /dev/null"),
    ("fill tmp", "dd if=/dev/zero of=/tmp/big bs=1M count=20"),
    ("fill dev", "dd if=/dev/zero of=/dev/big bs=1M count=70"),
    (
        "host disk device",
        "ls /dev/vda /dev/sda /dev/mem /dev/kmsg /dev/fuse /dev/kvm 2> /dev/null | grep -q .",
    ),
    (
        "gain by set-user-id",
        "chmod u+s /tmp/x 2> /dev/null; awk '$5==\"/tmp\" {print $6}' /proc/self/mountinfo | grep -qv nosuid",
    ),
];

pub(crate) async fn a_job_has_no_rights_and_sees_nothing_of_the_host(place: &Workplace) {
    place.run("look", LOOK).await;
    let log = place.log("look");
    let seen: BTreeMap<&str, &str> = log.lines().filter_map(|line| line.split_once(": ")).collect();
    let is = |name: &str, value: &str| assert_eq!(seen.get(name), Some(&value), "{name}\n{log}");
    is("NoNewPrivs", "1");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        is(set, "0000000000000000");
    }
    is("Seccomp", "2");
    is("root", "ro");
    is("interfaces", "lo ");
    is("pid", "1");
    is("tmp", "tmpfs");
    assert!(seen["processes"].parse::<u32>().unwrap() < 10, "{log}");
    assert_eq!(seen["routes"], "1", "only the headline\n{log}");
    let devices = [
        "console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout",
        "tty", "urandom", "zero",
    ];
    assert!(
        seen["devices"]
            .split_whitespace()
            .all(|device| devices.contains(&device)),
        "{log}"
    );
}

pub(crate) async fn every_attempt_to_get_out_fails(place: &Workplace) {
    let mut script = String::from("touch /tmp/x\n");
    for (name, command) in ATTEMPTS {
        script +=
            &format!("if ( {command} ) > /dev/null 2>&1; then echo 'GOT OUT: {name}'; else echo 'held: {name}'; fi\n");
    }
    script += "echo probes are over\n";
    let record = place.run("attempts", &script).await;
    let log = place.log("attempts");
    assert!(log.contains("probes are over"), "{record:?}\n{log}");
    let out: Vec<&str> = log.lines().filter(|line| line.starts_with("GOT OUT")).collect();
    assert_eq!(out, Vec::<&str>::new());
    assert_eq!(
        log.lines().filter(|line| line.starts_with("held")).count(),
        ATTEMPTS.len(),
        "{log}"
    );
}

pub(crate) async fn commands_run_inside_are_held_the_same(place: &Workplace) {
    let spec = place.spec("inside", "sleep 1000");
    place.runtime.start(&spec).await.unwrap();
    let script = format!("({LOOK}) > /out/look 2>&1");
    let argv = ["/bin/sh", "-c", &script].map(str::to_owned);
    assert_eq!(place.runtime.exec(&spec.id, &argv).await.unwrap(), 0);
    let seen = std::fs::read_to_string(place.path("inside.out/look")).unwrap();
    for line in [
        "NoNewPrivs: 1",
        "CapEff: 0000000000000000",
        "CapBnd: 0000000000000000",
        "Seccomp: 2",
        "interfaces: lo ",
    ] {
        assert!(seen.contains(line), "{line} is missing in\n{seen}");
    }
    for command in ["mount -t tmpfs none /tmp", "unshare -U true", "touch /escape"] {
        let argv = ["/bin/sh", "-c", command].map(str::to_owned);
        assert_ne!(place.runtime.exec(&spec.id, &argv).await.unwrap(), 0, "{command}");
    }
    place.runtime.remove(&spec.id).await.unwrap();
}

pub(crate) async fn only_the_job_suffers_from_its_own_flood(place: &Workplace) {
    let mut spec = place.spec("flood", "yes | head -c 3000000; echo end");
    spec.log_max_bytes = 100_000;
    let record = place.run_spec(&spec).await;
    assert!(record.outcome.is_success());
    wait_until("log", async || place.log("flood").contains("log is cut")).await;
    assert!(place.log("flood").len() < 101_000);
}

/// Two jobs at a time have no host id in common. Embedded engine only: Docker has one range for all.
pub(crate) async fn jobs_have_id_ranges_of_their_own(place: &Workplace) {
    let script = "awk '{print $2, $3}' /proc/self/uid_map; sleep 1000";
    let mut ranges = Vec::new();
    for name in ["first", "second"] {
        place.runtime.start(&place.spec(name, script)).await.unwrap();
        wait_until("map", async || !place.log(name).is_empty()).await;
        let log = place.log(name);
        let (start, length) = log.trim().split_once(' ').unwrap();
        assert_eq!(length, "65536");
        ranges.push(start.parse::<u32>().unwrap());
    }
    assert!(ranges.iter().all(|start| *start >= 65_536), "{ranges:?}");
    assert!(ranges[0].abs_diff(ranges[1]) >= 65_536, "{ranges:?}");
    for name in ["first", "second"] {
        assert!(matches!(
            place.runtime.status(&name.parse().unwrap()).await.unwrap(),
            ContainerStatus::Running { .. }
        ));
        place.runtime.remove(&name.parse().unwrap()).await.unwrap();
    }
}
