//! A busybox image, a workplace per test, and waiting for what a container does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use opengpu_node::image::{PackedImage, pack_binary};
use opengpu_node::runtime::{
    BindMount, ContainerId, ContainerSpec, ContainerStatus, EmbeddedRuntime, ExitRecord, HelperProgram, ImageReference,
    MountAccess, PreparedImage, Runtime,
};

/// Applets the tests use.
const APPLETS: &str = "sh cat ls echo sleep id mount umount mknod unshare grep wc head tail touch mkdir rm ln chmod dd \
    true false kill ps hostname date seq cut tr sort test env nc ping ip insmod chroot nsenter swapon reboot dmesg \
    hwclock losetup od awk timeout yes stat readlink find setpriv chrt renice ifconfig sysctl";

/// One engine with a place on disk of its own, and the test image prepared.
pub(crate) struct Workplace {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) image: PreparedImage,
    pub(crate) folder: tempfile::TempDir,
}

/// The embedded engine, or `None` after one loud line.
pub(crate) async fn embedded() -> Option<Workplace> {
    if let Some(reason) = EmbeddedRuntime::why_not() {
        eprintln!("SKIPPED: embedded container engine: {reason}");
        return None;
    }
    let folder = workplace_folder();
    let runtime = embedded_at(folder.path());
    Some(Workplace::new(runtime, folder).await)
}

/// The embedded engine on a state folder, as a daemon makes it when it starts.
pub(crate) fn embedded_at(folder: &Path) -> Arc<dyn Runtime> {
    let helper = HelperProgram::at(env!("CARGO_BIN_EXE_opengpu"));
    Arc::new(EmbeddedRuntime::open(&folder.join("state"), helper).unwrap())
}

/// Private to root, as a real state folder is.
pub(crate) fn workplace_folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("opengpu-test-").tempdir().unwrap()
}

/// Packs the host's static busybox as an OCI layout.
pub(crate) fn busybox_layout(folder: &Path) -> PathBuf {
    let layout = folder.join("busybox");
    let links = APPLETS
        .split_whitespace()
        .map(|name| (format!("/bin/{name}"), "busybox".to_owned()));
    let image = PackedImage {
        binary: "/bin/busybox".into(),
        entrypoint: vec!["/bin/busybox".to_owned()],
        files: BTreeMap::new(),
        links: links.collect(),
        env: vec![("FROM_IMAGE".to_owned(), "yes".to_owned())],
    };
    pack_binary(&image, &layout).unwrap();
    layout
}

impl Workplace {
    pub(crate) async fn new(runtime: Arc<dyn Runtime>, folder: tempfile::TempDir) -> Self {
        let layout = busybox_layout(folder.path());
        let reference = ImageReference::Layout {
            folder: layout,
            digest: None,
        };
        let image = runtime.prepare_image(&reference).await.unwrap();
        Self { runtime, image, folder }
    }

    /// A container that runs this shell script, with `/in` and `/out`.
    pub(crate) fn spec(&self, name: &str, script: &str) -> ContainerSpec {
        for folder in ["in", "out"] {
            std::fs::create_dir_all(self.path(&format!("{name}.{folder}"))).unwrap();
        }
        let mount = |folder: &str, access| BindMount {
            host: self.path(&format!("{name}.{folder}")),
            inside: format!("/{folder}"),
            access,
        };
        ContainerSpec {
            id: name.parse().unwrap(),
            image: self.image.clone(),
            argv: Some(["/bin/sh", "-c", script].map(str::to_owned).to_vec()),
            env: vec![("FROM_JOB".to_owned(), "yes too".to_owned())],
            working_folder: None,
            mounts: vec![mount("in", MountAccess::ReadOnly), mount("out", MountAccess::Writable)],
            memory_bytes: 64 << 20,
            cpu_millis: 2000,
            pids_max: 64,
            tmp_bytes: 8 << 20,
            log_path: self.path(&format!("{name}.log")),
            log_max_bytes: 1 << 20,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// Starts the script and waits for its end.
    pub(crate) async fn run(&self, name: &str, script: &str) -> ExitRecord {
        self.run_spec(&self.spec(name, script)).await
    }

    pub(crate) async fn run_spec(&self, spec: &ContainerSpec) -> ExitRecord {
        self.runtime.start(spec).await.unwrap();
        exit_of(&*self.runtime, &spec.id).await
    }
}

/// Waits for the exit record.
pub(crate) async fn exit_of(runtime: &dyn Runtime, id: &ContainerId) -> ExitRecord {
    match wait_for(runtime, id, |status| !status.is_alive()).await {
        ContainerStatus::Exited(record) => record,
        other => panic!("{id} ended as {other:?}"),
    }
}

/// Waits until the status is as wished.
pub(crate) async fn wait_for(
    runtime: &dyn Runtime,
    id: &ContainerId,
    wished: impl Fn(&ContainerStatus) -> bool,
) -> ContainerStatus {
    let mut last = None;
    wait_until("status", async || {
        let status = runtime.status(id).await.unwrap();
        let is_wished = wished(&status);
        last = Some(status);
        is_wished
    })
    .await;
    last.unwrap()
}

/// Looks again every few milliseconds until `there` says yes; fails after a minute.
pub(crate) async fn wait_until(what: &str, mut there: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    while !there().await {
        assert!(Instant::now() < deadline, "waited a minute for: {what}");
        tick.tick().await;
    }
}
