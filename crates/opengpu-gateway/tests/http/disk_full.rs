//! A store on a disk with little room: one clear line, nothing lost, and on it goes when there is room.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::artifacts::car_of;
use super::matched;
use super::support::{Gateway, code, people, problem, taken};

/// A tmpfs, unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={size}");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(at)
            .status();
        done.is_ok_and(|status| status.success())
            .then(|| Self(at.to_path_buf()))
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        assert!(
            Command::new("mount")
                .args(["-o", &options])
                .arg(&self.0)
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn an_upload_that_does_not_fit_is_refused_and_passes_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("blocks"), "1m") else {
        eprintln!("SKIPPED: an_upload_that_does_not_fit_… needs the right to mount a tmpfs");
        return;
    };
    let gateway = Gateway::start_at(folder.path().to_path_buf()).await;
    let job = matched(&gateway, 1).await;
    let (small, small_car) = car_of(b"small");
    let (large, large_car) = car_of(&vec![9; 4 << 20]);
    let operator = people::operator();
    taken(gateway.upload(&operator, job.id, &small.to_string(), small_car).await).await;
    let refused = problem(
        gateway
            .upload(&operator, job.id, &large.to_string(), large_car.clone())
            .await,
    )
    .await;
    assert_eq!((refused.status, code(&refused)), (507, "disk-full"));
    let kept = format!("{}/ipfs/{small}?format=raw", gateway.url);
    assert_eq!(
        gateway.http.get(kept).send().await.unwrap().text().await.unwrap(),
        "small"
    );

    disk.grow("16m");
    taken(gateway.upload(&operator, job.id, &large.to_string(), large_car).await).await;
    gateway.stop().await;
}
