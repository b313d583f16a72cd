//! The text formats of control groups and mounts, read without touching the system.

use std::path::PathBuf;

use super::Hierarchy;

/// Mount points of the controllers a container needs, and of every v1 hierarchy there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct V1Mounts {
    pub(crate) cpuacct: PathBuf,
    pub(crate) memory: PathBuf,
    pub(crate) pids: PathBuf,
    pub(crate) freezer: PathBuf,
    /// All v1 mounts: a container's group may exist in each.
    pub(crate) all: Vec<PathBuf>,
}

/// Which hierarchy `/proc/self/mountinfo` shows; `None` when neither is complete.
///
/// Lines are `id parent major:minor root mount-point options [optional…] - type source super-options`, see `proc(5)`.
pub(crate) fn hierarchy(mountinfo: &str) -> Option<Hierarchy> {
    let mut unified = None;
    let mut controllers: Vec<(Vec<&str>, PathBuf)> = Vec::new();
    for line in mountinfo.lines() {
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let mut after = after.split(' ');
        let kind = after.next();
        let Some(point) = before.split(' ').nth(4).map(PathBuf::from) else {
            continue;
        };
        match kind {
            Some("cgroup2") if unified.is_none() => unified = Some(point),
            Some("cgroup") => controllers.push((after.nth(1).unwrap_or("").split(',').collect(), point)),
            _ => {}
        }
    }
    let of = |name: &str| {
        let found = controllers.iter().find(|(names, _)| names.contains(&name));
        found.map(|(_, point)| point.clone())
    };
    match (of("cpuacct"), of("memory"), of("pids"), of("freezer")) {
        (Some(cpuacct), Some(memory), Some(pids), Some(freezer)) => {
            let mut all: Vec<PathBuf> = controllers.iter().map(|(_, point)| point.clone()).collect();
            all.dedup();
            Some(Hierarchy::V1(V1Mounts {
                cpuacct,
                memory,
                pids,
                freezer,
                all,
            }))
        }
        _ => unified.map(Hierarchy::V2),
    }
}

/// The value of `key` in a file of `key value` lines.
pub(crate) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The group of a process in one hierarchy, from `/proc/<pid>/cgroup`: lines are `id:controller,controller:path`, and
/// v2's line has no controller. See `cgroups(7)`.
pub(crate) fn own_group<'a>(text: &'a str, controller: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let controllers = parts.nth(1)?;
        controllers
            .split(',')
            .any(|name| name == controller)
            .then(|| parts.next())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2_ONLY: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
";
    const HYBRID: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/vda1 rw
31 22 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw
32 22 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:10 - cgroup cgroup rw,cpu,cpuacct
33 22 0:29 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
34 22 0:30 / /sys/fs/cgroup/pids rw,nosuid - cgroup cgroup rw,pids
35 22 0:31 / /sys/fs/cgroup/freezer rw,nosuid - cgroup cgroup rw,freezer
36 22 0:32 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,xattr,name=systemd
";

    #[test]
    fn a_machine_with_cgroup2_alone_is_v2() {
        assert_eq!(hierarchy(V2_ONLY), Some(Hierarchy::V2("/sys/fs/cgroup".into())));
    }

    #[test]
    fn a_hybrid_machine_is_v1_with_shared_controllers_found() {
        let Some(Hierarchy::V1(mounts)) = hierarchy(HYBRID) else {
            panic!("not v1")
        };
        assert_eq!(mounts.cpuacct, PathBuf::from("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(mounts.memory, PathBuf::from("/sys/fs/cgroup/memory"));
        assert_eq!(mounts.all.len(), 5);
    }

    #[test]
    fn a_machine_without_the_needed_controllers_is_neither() {
        let bare = "22 1 254:0 / / rw,relatime - ext4 /dev/vda1 rw\n";
        assert_eq!(hierarchy(bare), None);
    }

    #[test]
    fn keyed_values_are_found_by_their_whole_key() {
        let events = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n";
        assert_eq!(keyed(events, "oom_kill"), Some(2));
        assert_eq!(keyed(events, "oom"), Some(3));
        assert_eq!(keyed("usage_usec 4210\nuser_usec 4000\n", "usage_usec"), Some(4210));
        assert_eq!(
            keyed("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", "oom_kill"),
            Some(1)
        );
        assert_eq!(keyed(events, "peak"), None);
    }

    #[test]
    fn a_process_s_group_is_found_in_both_hierarchies() {
        let text = "9:name=systemd:/\n5:cpu,cpuacct:/a\n4:memory:/b:c\n0::/user.slice\n";
        assert_eq!(own_group(text, "memory"), Some("/b:c"));
        assert_eq!(own_group(text, "cpuacct"), Some("/a"));
        assert_eq!(own_group(text, ""), Some("/user.slice"));
        assert_eq!(own_group(text, "pids"), None);
    }
}
