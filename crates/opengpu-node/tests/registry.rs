//! Pulling from a real registry: Debian's `docker-registry` on loopback.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use opengpu_node::image::{Digest, ImageError, ImageReference, PackedImage, pack_binary, resolve_image};
use opengpu_node::runtime::{EmbeddedRuntime, HelperProgram, Runtime, RuntimeError};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    /// `None` after one loud line. The registry chooses its port and says so in its log.
    fn start(folder: &Path) -> Option<Self> {
        let config = folder.join("registry.yml");
        let storage = folder.join("registry");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n",
            storage.display()
        );
        std::fs::write(&config, text).unwrap();
        let command = Command::new("docker-registry")
            .arg("serve")
            .arg(config)
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = command else {
            eprintln!("SKIPPED: docker-registry is not installed");
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let said = lines.find_map(|line| Some(line.split_once("listening on ")?.1.split('"').next()?.to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self {
            child,
            address: said.unwrap(),
        })
    }

    /// Pushes the one image of a layout under a tag.
    async fn push(&self, layout: &Path, digest: &Digest, name: &str) {
        let protocol = ClientProtocol::HttpsExcept(vec![self.address.clone()]);
        let client = Client::new(ClientConfig {
            protocol,
            ..ClientConfig::default()
        });
        let reference: Reference = format!("{}/{name}", self.address).parse().unwrap();
        client
            .auth(&reference, &RegistryAuth::Anonymous, RegistryOperation::Push)
            .await
            .unwrap();
        let blob = |digest: &str| std::fs::read(layout.join("blobs/sha256").join(&digest[7..])).unwrap();
        let bytes = blob(digest.as_str());
        let manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        for part in manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .chain([&manifest["config"]])
        {
            let digest = part["digest"].as_str().unwrap();
            client.push_blob(&reference, blob(digest), digest).await.unwrap();
        }
        client
            .push_manifest_raw(&reference, bytes, MANIFEST.parse().unwrap())
            .await
            .unwrap();
    }

    fn reference(&self, name: &str) -> ImageReference {
        format!("{}/{name}", self.address).parse().unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pack(folder: &Path, content: &str) -> Digest {
    let program = folder.join("program");
    std::fs::write(&program, content).unwrap();
    let image = PackedImage {
        binary: program,
        entrypoint: vec!["/bin/program".to_owned()],
        files: BTreeMap::new(),
        links: BTreeMap::new(),
        env: Vec::new(),
    };
    pack_binary(&image, &folder.join(content)).unwrap()
}

#[tokio::test]
async fn an_image_is_pulled_by_tag_or_digest_checked_and_kept() {
    if let Some(reason) = EmbeddedRuntime::why_not() {
        return eprintln!("SKIPPED: embedded container engine: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(registry) = Registry::start(folder.path()) else {
        return;
    };
    let first = pack(folder.path(), "first");
    let second = pack(folder.path(), "second");
    registry.push(&folder.path().join("first"), &first, "team/tool:1").await;
    let runtime = EmbeddedRuntime::open(folder.path(), HelperProgram::at("/not/needed")).unwrap();

    let by_tag = registry.reference("team/tool:1");
    assert_eq!(resolve_image(&by_tag).await.unwrap(), first);
    let image = runtime.prepare_image(&by_tag).await.unwrap();
    assert_eq!(image.digest, first);
    assert_eq!(
        std::fs::read_to_string(image.folder.join("bin/program")).unwrap(),
        "first"
    );

    // The tag moves; what was named by digest stays what it was.
    registry
        .push(&folder.path().join("second"), &second, "team/tool:1")
        .await;
    assert_eq!(
        runtime.prepare_image(&by_tag.pinned(first.clone())).await.unwrap(),
        image
    );
    assert_eq!(runtime.prepare_image(&by_tag).await.unwrap().digest, second);
    let elsewhere = EmbeddedRuntime::open(&folder.path().join("other"), HelperProgram::at("/not/needed")).unwrap();
    assert_eq!(
        elsewhere
            .prepare_image(&by_tag.pinned(first.clone()))
            .await
            .unwrap()
            .digest,
        first
    );

    let unknown = runtime.prepare_image(&registry.reference("team/tool:never")).await;
    assert!(
        matches!(&unknown, Err(RuntimeError::Image(ImageError::NotFound { .. }))),
        "{unknown:?}"
    );
    let unknown = runtime.prepare_image(&registry.reference("no/such")).await.unwrap_err();
    assert!(unknown.is_users_fault(), "{unknown}");

    drop(registry);
    assert_eq!(
        runtime.prepare_image(&by_tag.pinned(first)).await.unwrap(),
        image,
        "kept without the registry"
    );
    let gone = runtime.prepare_image(&by_tag).await.unwrap_err();
    assert!(
        matches!(&gone, RuntimeError::Image(ImageError::Registry { .. })),
        "{gone}"
    );
    assert!(!gone.is_users_fault());
}

#[tokio::test]
async fn a_registry_that_serves_other_bytes_is_refused() {
    if let Some(reason) = EmbeddedRuntime::why_not() {
        return eprintln!("SKIPPED: embedded container engine: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(registry) = Registry::start(folder.path()) else {
        return;
    };
    let digest = pack(folder.path(), "honest");
    registry.push(&folder.path().join("honest"), &digest, "tool:1").await;
    let blobs = folder.path().join("registry/docker/registry/v2/blobs/sha256");
    let layers = walk(&blobs);
    assert_eq!(layers.len(), 3);
    for (number, blob) in layers.iter().enumerate() {
        let good = std::fs::read(blob).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        std::fs::write(blob, bad).unwrap();
        let state = folder.path().join(format!("state{number}"));
        let runtime = EmbeddedRuntime::open(&state, HelperProgram::at("/not/needed")).unwrap();
        let result = runtime
            .prepare_image(&registry.reference("tool").pinned(digest.clone()))
            .await;
        assert!(result.is_err(), "{}", blob.display());
        std::fs::write(blob, good).unwrap();
        runtime
            .prepare_image(&registry.reference("tool").pinned(digest.clone()))
            .await
            .unwrap();
    }
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path))
        } else {
            files.push(path)
        }
    }
    files
}
