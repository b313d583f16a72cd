//! What Docker is asked for: all of a container's isolation is on this page.

use std::collections::HashMap;
use std::os::unix::fs::{MetadataExt, chown};

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount, MountBindOptions,
    MountType, ResourcesUlimits,
};
use nix::unistd::{Gid, Uid, getegid, geteuid};

use crate::runtime::{ContainerSpec, MountAccess, RuntimeError};
use crate::shim::oci_spec;

use super::load::docker_name;

/// User and group of a job whose image names no plain user, when the node runs as root: nobody's.
const NOBODY: u32 = 65_534;
/// Kernel period that the CPU quota is counted in, in microseconds: the kernel's default.
const CPU_PERIOD_MICROS: i64 = 100_000;
/// Open files of one process: the most that every Docker daemon may give without privileges of its own.
const OPEN_FILES: i64 = 16_384;
/// Processes of one user in all containers together: the limit per container is `pids_limit`, this one is a second net.
const USER_PROCESSES: i64 = 16_384;

/// The request that makes this container.
pub(super) fn body(spec: &ContainerSpec, labels: HashMap<String, String>) -> Result<ContainerCreateBody, RuntimeError> {
    let user = user(&spec.image.config.user, geteuid(), getegid());
    let argv = oci_spec::argv(spec)?;
    Ok(ContainerCreateBody {
        image: Some(docker_name(&spec.image.digest)),
        // An entrypoint of our own replaces the image's: the command is exactly `argv`.
        entrypoint: Some(argv),
        cmd: Some(Vec::new()),
        env: Some(oci_spec::environment(spec)),
        working_dir: Some(oci_spec::working_folder(spec)),
        user: Some(user.clone()),
        hostname: Some("job".to_owned()),
        labels: Some(labels),
        network_disabled: Some(true),
        host_config: Some(host_config(spec, &user)?),
        ..ContainerCreateBody::default()
    })
}

fn host_config(spec: &ContainerSpec, user: &str) -> Result<HostConfig, RuntimeError> {
    let memory = i64::try_from(spec.memory_bytes).unwrap_or(i64::MAX);
    let limit = |name: &str, most| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(most),
        hard: Some(most),
    };
    let tmp = format!("rw,nosuid,nodev,exec,mode=1777,size={}", spec.tmp_bytes);
    // Docker's own copy of the output; ours is cut at the same size.
    let log_size = spec.log_max_bytes.saturating_mul(2).max(1 << 20);
    Ok(HostConfig {
        network_mode: Some("none".to_owned()),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        privileged: Some(false),
        readonly_rootfs: Some(true),
        ipc_mode: Some("private".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        memory: Some(memory),
        memory_swap: Some(memory),
        cpu_period: Some(CPU_PERIOD_MICROS),
        cpu_quota: Some(i64::from(spec.cpu_millis).max(10) * CPU_PERIOD_MICROS / 1000),
        pids_limit: Some(i64::from(spec.pids_max)),
        ulimits: Some(vec![
            limit("nofile", OPEN_FILES),
            limit("nproc", USER_PROCESSES),
            limit("core", 0),
        ]),
        shm_size: Some(memory),
        tmpfs: Some(HashMap::from([("/tmp".to_owned(), tmp)])),
        mounts: Some(mounts(spec, user)?),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), log_size.to_string()),
                ("max-file".to_owned(), "2".to_owned()),
            ])),
        }),
        ..HostConfig::default()
    })
}

fn mounts(spec: &ContainerSpec, user: &str) -> Result<Vec<Mount>, RuntimeError> {
    let mut mounts = Vec::new();
    for mount in &spec.mounts {
        oci_spec::check_mount_point(&mount.inside)?;
        let failed = |error| RuntimeError::Io {
            action: "share",
            path: mount.host.clone(),
            source: error,
        };
        let host = mount.host.canonicalize().map_err(failed)?;
        if mount.access == MountAccess::Writable && geteuid().is_root() {
            let (uid, gid) = ids(user);
            if host.metadata().map_err(failed)?.uid() != uid {
                chown(&host, Some(uid), Some(gid)).map_err(failed)?;
            }
        }
        mounts.push(Mount {
            target: Some(mount.inside.clone()),
            source: Some(host.display().to_string()),
            typ: Some(MountType::BIND),
            read_only: Some(mount.access == MountAccess::ReadOnly),
            bind_options: Some(MountBindOptions {
                non_recursive: Some(true),
                ..MountBindOptions::default()
            }),
            ..Mount::default()
        });
    }
    Ok(mounts)
}

/// The image's user when it is a number and not root's. Docker's root is the host's, and a name may be one of root's, so
/// these run as the node's own user when that is not root (so that it can read the output), else as nobody.
fn user(of_image: &str, node_user: Uid, node_group: Gid) -> String {
    let uid = of_image.split_once(':').map_or(of_image, |(uid, _)| uid);
    let is_plain = uid.parse::<u32>().is_ok_and(|uid| uid != 0);
    match (is_plain, node_user.is_root()) {
        (true, _) => of_image.to_owned(),
        (false, false) => format!("{node_user}:{node_group}"),
        (false, true) => format!("{NOBODY}:{NOBODY}"),
    }
}

/// Numeric ids of a user text; names are only known inside the image and count as nobody's.
fn ids(user: &str) -> (u32, u32) {
    let (uid, gid) = user.split_once(':').unwrap_or((user, ""));
    let uid = uid.parse().unwrap_or(NOBODY);
    (uid, gid.parse().unwrap_or(uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_named_and_missing_users_of_an_image_run_without_rights() {
        for of_image in [
            "",
            "0",
            "0:0",
            "00",
            "0:1000",
            "root",
            "worker",
            "worker:1000",
            ":1000",
            "4294967296",
        ] {
            let user = |uid, gid| user(of_image, Uid::from_raw(uid), Gid::from_raw(gid));
            assert_eq!(user(0, 0), "65534:65534", "{of_image:?}");
            assert_eq!(user(1001, 1002), "1001:1002", "{of_image:?}");
        }
    }

    #[test]
    fn numeric_user_of_an_image_is_kept() {
        for of_image in ["1000", "1000:100"] {
            assert_eq!(user(of_image, Uid::from_raw(0), Gid::from_raw(0)), of_image);
        }
    }
}
