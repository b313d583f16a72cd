//! Uploads, quotas, and the trustless gateway.

use opengpu_gateway::Quotas;
use opengpu_store::dag::Scope;
use opengpu_store::{BlockStore, CarFrames, Cid, import_bytes, raw_cid};

use super::matched;
use super::support::{Gateway, code, people, problem, taken};

/// A file as a CAR, made in a store of its own.
pub(super) fn car_of(bytes: &[u8]) -> (Cid, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let store = BlockStore::open(dir.path()).unwrap();
    let imported = import_bytes(&store, bytes).unwrap();
    let frames = CarFrames::new(&store, &imported.cid, Scope::All).unwrap();
    let car = frames.map(Result::unwrap).fold(Vec::new(), |mut all, frame| {
        all.extend_from_slice(&frame);
        all
    });
    (imported.cid, car)
}

#[tokio::test]
async fn what_a_party_uploads_anybody_fetches_and_verifies() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let content = vec![7u8; 3 << 20];
    let (root, car) = car_of(&content);
    for key in [people::payer(), people::agent(), people::operator()] {
        taken(gateway.upload(&key, job.id, &root.to_string(), car.clone()).await).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = BlockStore::open(dir.path()).unwrap();
    let url = gateway.url.parse().unwrap();
    opengpu_store::fetch(&gateway.http, &[url], &root, &store, &Default::default())
        .await
        .unwrap();
    assert_eq!(opengpu_store::read_to_vec(&store, &root, u64::MAX).unwrap(), content);
    gateway.stop().await;
}

#[tokio::test]
async fn strangers_unmatched_jobs_and_wrong_bytes_are_refused() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let (root, car) = car_of(b"image");
    let text = root.to_string();

    let refused = problem(gateway.upload(&people::stranger(), job.id, &text, car.clone()).await).await;
    assert_eq!(code(&refused), "bad-signature");

    let other = raw_cid(b"another").to_string();
    let refused = problem(gateway.upload(&people::payer(), job.id, &other, car.clone()).await).await;
    assert_eq!(code(&refused), "invalid-artifact");

    let mut broken = car.clone();
    *broken.last_mut().unwrap() ^= 1;
    let refused = problem(gateway.upload(&people::payer(), job.id, &text, broken).await).await;
    assert_eq!(code(&refused), "invalid-artifact");

    let refused = problem(gateway.upload(&people::payer(), job.id, "nonsense", car.clone()).await).await;
    assert_eq!(code(&refused), "bad-request");

    let token = super::support::network().contracts.tokens[0].address;
    let waiting = people::order(gateway.domain, token, 77);
    let id = taken(gateway.post("/v1/orders", &waiting).await).await.job_id;
    let refused = problem(gateway.upload(&people::payer(), id, &text, car).await).await;
    assert_eq!(code(&refused), "not-matched");
    gateway.stop().await;
}

#[tokio::test]
async fn each_side_of_a_job_has_a_quota_of_its_own() {
    let quotas = Quotas {
        artifact_bytes: 3000,
        ..Quotas::default()
    };
    let gateway = Gateway::start_with(quotas).await;
    let job = matched(&gateway, 1).await;
    let upload = async |key, bytes: &[u8]| {
        let (root, car) = car_of(bytes);
        gateway.upload(&key, job.id, &root.to_string(), car).await
    };
    taken(upload(people::payer(), &[1; 2000]).await).await;
    let refused = problem(upload(people::payer(), &[2; 2000]).await).await;
    assert_eq!(code(&refused), "quota-exceeded");
    taken(upload(people::payer(), &[2; 500]).await).await;
    taken(upload(people::operator(), &[3; 2000]).await).await;
    gateway.stop().await;
}
