//! Writes down one container as an OCI runtime specification: all of its isolation is on this page.
//!
//! Source: OCI runtime specification 1.2; masked paths as Docker's defaults.

use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};
use serde_json::{Value, json};

use crate::runtime::{ContainerSpec, MountAccess, RuntimeError};

use super::seccomp;
use super::user::{InsideUser, RANGE};

/// Kernel period that the CPU quota is counted in, in microseconds: the kernel's default.
const CPU_PERIOD_MICROS: u64 = 100_000;
/// Open files of one process: what databases and data loaders ask for, far below what harms a host.
const OPEN_FILES: u64 = 1 << 20;

/// [`OPEN_FILES`], or what this process may give: a limit cannot be raised from within the container's user range.
fn open_files() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(OPEN_FILES, |(_, hard)| hard.min(OPEN_FILES))
}

/// Used when the image sets none: where programs lie in every distribution.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What differs from job to job once its folders are mounted.
pub(crate) struct Inputs<'a> {
    pub(crate) container: &'a ContainerSpec,
    pub(crate) first_id: u32,
    pub(crate) user: InsideUser,
    /// The root file system, where the shim has mounted it.
    pub(crate) root: &'a Path,
    /// Same order as the container's mounts: where the shim has mounted them.
    pub(crate) sources: &'a [PathBuf],
    pub(crate) cgroup: &'a Path,
    /// Whether the kernel can limit swap; where it cannot, there is none to limit or the host must turn it off.
    pub(crate) limits_swap: bool,
}

/// The command: the job's, or the image's own.
pub(crate) fn argv(container: &ContainerSpec) -> Result<Vec<String>, RuntimeError> {
    let argv = container
        .argv
        .clone()
        .unwrap_or_else(|| container.image.config.default_argv());
    if argv.is_empty() {
        let reason = "the image has no default command and the job names none".to_owned();
        return Err(RuntimeError::BadCommand { reason });
    }
    if argv.iter().any(|argument| argument.contains('\0')) {
        return Err(RuntimeError::BadCommand {
            reason: "an argument holds a zero byte".to_owned(),
        });
    }
    Ok(argv)
}

/// The image's variables with the job's on top, as `NAME=value`.
pub(crate) fn environment(container: &ContainerSpec) -> Vec<String> {
    let mut variables: Vec<(&str, &str)> = vec![("PATH", DEFAULT_PATH)];
    for (name, value) in container.image.config.env.iter().chain(&container.env) {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            continue;
        }
        variables.retain(|(known, _)| known != name);
        variables.push((name, value));
    }
    variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// Where the program starts.
pub(crate) fn working_folder(container: &ContainerSpec) -> String {
    let own = container.working_folder.as_deref().filter(|folder| !folder.is_empty());
    let folder = own.unwrap_or(&container.image.config.working_folder);
    format!("/{}", folder.trim_start_matches('/'))
}

/// The specification as `config.json` holds it.
pub(crate) fn build(inputs: &Inputs<'_>) -> Result<Value, RuntimeError> {
    let container = inputs.container;
    let none: [&str; 0] = [];
    Ok(json!({
        "ociVersion": "1.2.0",
        "process": {
            "terminal": false,
            "user": { "uid": inputs.user.uid, "gid": inputs.user.gid },
            "args": argv(container)?,
            "env": environment(container),
            "cwd": working_folder(container),
            "capabilities": {
                "bounding": none, "effective": none, "inheritable": none, "permitted": none, "ambient": none,
            },
            "rlimits": [
                { "type": "RLIMIT_NOFILE", "soft": open_files(), "hard": open_files() },
                { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
            ],
            "noNewPrivileges": true,
        },
        "root": { "path": inputs.root, "readonly": true },
        "hostname": "job",
        "mounts": mounts(inputs),
        "linux": linux(inputs),
    }))
}

fn linux(inputs: &Inputs<'_>) -> Value {
    let container = inputs.container;
    let map = json!([{ "containerID": 0, "hostID": inputs.first_id, "size": RANGE }]);
    let mut memory = json!({ "limit": container.memory_bytes });
    if inputs.limits_swap {
        memory["swap"] = json!(container.memory_bytes);
    }
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "user", "cgroup"].map(|kind| json!({ "type": kind }));
    json!({
        "uidMappings": map,
        "gidMappings": map,
        "namespaces": namespaces,
        "cgroupsPath": inputs.cgroup,
        "resources": {
            "devices": [{ "allow": false, "access": "rwm" }],
            "memory": memory,
            "cpu": {
                "period": CPU_PERIOD_MICROS,
                "quota": u64::from(container.cpu_millis).max(10) * CPU_PERIOD_MICROS / 1000,
            },
            "pids": { "limit": container.pids_max },
        },
        "maskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/key-users",
            "/proc/kallsyms", "/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats", "/proc/sched_debug",
            "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/firmware", "/sys/kernel/debug",
            "/sys/devices/virtual/powercap", "/sys/fs/cgroup", "/sys/kernel/security",
        ],
        "readonlyPaths": [
            "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
        ],
        "seccomp": seccomp::profile(),
    })
}

fn mounts(inputs: &Inputs<'_>) -> Vec<Value> {
    let tmpfs = |inside: &str, options: Vec<String>| json!({ "destination": inside, "type": "tmpfs", "source": "tmpfs", "options": options });
    let fixed = |inside: &str, kind: &str, options: &[&str]| json!({ "destination": inside, "type": kind, "source": kind, "options": options });
    let words = |options: &[&str]| options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>();
    let mut tmp = words(&["nosuid", "nodev", "mode=1777"]);
    tmp.push(format!("size={}", inputs.container.tmp_bytes));
    let mut shared_memory = words(&["nosuid", "nodev", "noexec", "mode=1777"]);
    shared_memory.push(format!("size={}", inputs.container.memory_bytes));
    let mut mounts = vec![
        fixed("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        tmpfs("/dev", words(&["nosuid", "strictatime", "mode=755", "size=64k"])),
        fixed(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        tmpfs("/dev/shm", shared_memory),
        fixed("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        fixed("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        tmpfs("/tmp", tmp),
    ];
    for (mount, source) in inputs.container.mounts.iter().zip(inputs.sources) {
        let access = match mount.access {
            MountAccess::ReadOnly => "ro",
            MountAccess::Writable => "rw",
        };
        let options = ["bind", "nosuid", "nodev", access];
        mounts.push(json!({ "destination": mount.inside, "type": "bind", "source": source, "options": options }));
    }
    mounts
}

/// Refuses a mount that would cover what the isolation rests on.
pub(crate) fn check_mount_point(inside: &str) -> Result<(), RuntimeError> {
    let names: Vec<&str> = inside
        .split('/')
        .filter(|name| !name.is_empty() && *name != ".")
        .collect();
    let is_reserved = matches!(names.first(), None | Some(&"proc" | &"sys" | &"dev"));
    if !inside.starts_with('/') || is_reserved || names.contains(&"..") || inside.contains('\0') {
        return Err(RuntimeError::BadCommand {
            reason: format!("nothing can be mounted at {inside:?}"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_over_the_kernels_folders_are_refused() {
        for inside in [
            "/",
            "",
            "/proc",
            "/proc/sys",
            "/sys/x",
            "/dev/shm",
            "in",
            "/in/../proc",
            "//proc",
        ] {
            assert!(check_mount_point(inside).is_err(), "{inside:?}");
        }
        for inside in ["/in", "/out", "/data/set", "/processed"] {
            assert!(check_mount_point(inside).is_ok(), "{inside:?}");
        }
    }
}
