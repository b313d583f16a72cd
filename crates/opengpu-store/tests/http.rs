//! The trustless gateway and its client, over real sockets.
#![allow(clippy::unwrap_used)]

mod tree;

use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use opengpu_store::client::UPLOAD_PATH;
use opengpu_store::dag::{self, Scope};
use opengpu_store::gateway::status_of;
use opengpu_store::{
    BlockStore, CarError, CarFrames, Cid, Limits, StoreError, TransferError, fetch, import_path, raw_cid, receive_car,
    trustless_router, upload,
};
use reqwest::{Client, StatusCode, Url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tree::Entry;

fn store(dir: &Path, name: &str) -> BlockStore {
    BlockStore::open(dir.join(name)).unwrap()
}

fn sample(dir: &Path, store: &BlockStore) -> Cid {
    let path = dir.join("sample");
    tree::lay_out(
        &path,
        &[
            Entry::file("long", (3 << 20) + 17, 1),
            Entry::file("sub/short", 9, 2),
            Entry::link("link", "long"),
        ],
    );
    import_path(store, &path, &Limits::default()).unwrap().cid
}

/// Serves until the test ends; the base URL.
async fn serve(router: Router) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    base(address)
}

fn base(address: SocketAddr) -> Url {
    format!("http://{address}").parse().unwrap()
}

/// The client of main has a TLS provider; this one needs none.
fn client() -> Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Client::new()
}

async fn ask(url: &Url, path: &str, accept: Option<&str>) -> reqwest::Response {
    let request = client().get(url.join(path).unwrap());
    let request = match accept {
        Some(accept) => request.header("accept", accept),
        None => request,
    };
    request.send().await.unwrap()
}

fn header<'a>(response: &'a reqwest::Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

#[tokio::test]
async fn a_block_is_served_as_the_specification_says() {
    let dir = tempfile::tempdir().unwrap();
    let here = store(dir.path(), "here");
    let cid = raw_cid(b"block");
    here.put(&cid, b"block").unwrap();
    let url = serve(trustless_router(here)).await;
    let by_query = ask(&url, &format!("/ipfs/{cid}?format=raw"), Some("text/html")).await;
    let by_accept = ask(&url, &format!("/ipfs/{cid}"), Some("application/vnd.ipld.raw")).await;
    for response in [by_query, by_accept] {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "content-type"), "application/vnd.ipld.raw");
        assert_eq!(header(&response, "content-length"), "5");
        assert_eq!(header(&response, "etag"), format!("\"{cid}.raw\""));
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert_eq!(
            header(&response, "cache-control"),
            "public, max-age=29030400, immutable"
        );
        assert_eq!(header(&response, "x-ipfs-path"), format!("/ipfs/{cid}"));
        assert_eq!(
            header(&response, "content-disposition"),
            format!("attachment; filename=\"{cid}.bin\"")
        );
        assert_eq!(response.bytes().await.unwrap(), "block");
    }
    let probe = ask(&url, "/ipfs/bafkqaaa?format=raw", None).await;
    assert_eq!(
        (probe.status(), probe.bytes().await.unwrap().len()),
        (StatusCode::OK, 0)
    );
}

#[tokio::test]
async fn a_car_is_served_whole_and_narrowed_by_its_scope() {
    let dir = tempfile::tempdir().unwrap();
    let here = store(dir.path(), "here");
    let root = sample(dir.path(), &here);
    let url = serve(trustless_router(here.clone())).await;
    for (query, scope) in [
        ("", Scope::All),
        ("?dag-scope=all", Scope::All),
        ("?dag-scope=entity", Scope::Entity),
        ("?dag-scope=block", Scope::Block),
    ] {
        let accept = "text/plain, application/vnd.ipld.car; version=1; order=dfs";
        let response = ask(&url, &format!("/ipfs/{root}{query}"), Some(accept)).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            header(&response, "content-type"),
            "application/vnd.ipld.car; version=1; order=dfs; dups=n"
        );
        let expected = CarFrames::new(&here, &root, scope).unwrap();
        assert_eq!(header(&response, "content-length"), expected.total_bytes().to_string());
        let expected: Vec<bytes::Bytes> = expected.map(Result::unwrap).collect();
        assert_eq!(response.bytes().await.unwrap(), expected.concat());
    }
}

#[tokio::test]
async fn head_and_revalidation_send_no_body() {
    let dir = tempfile::tempdir().unwrap();
    let here = store(dir.path(), "here");
    let root = sample(dir.path(), &here);
    let length = CarFrames::new(&here, &root, Scope::All).unwrap().total_bytes();
    let url = serve(trustless_router(here)).await;
    let target = url.join(&format!("/ipfs/{root}?format=car")).unwrap();
    let head = client().head(target.clone()).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(header(&head, "content-length"), length.to_string());
    let tag = header(&head, "etag").to_owned();
    assert!(head.bytes().await.unwrap().is_empty());
    let known = client()
        .get(target)
        .header("if-none-match", format!("\"x\", W/{tag}"))
        .send()
        .await
        .unwrap();
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    assert!(known.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn refusals_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let here = store(dir.path(), "here");
    let root = sample(dir.path(), &here);
    let partial = store(dir.path(), "partial");
    partial.put(&root, &here.get(&root).unwrap()).unwrap();
    let nowhere = raw_cid(b"nowhere");
    let sha512 = "bafkrgqhhyivzstcz3hhswshfjgy6ertgmnqeleynhwt4dlfsthi4hn7zgh4uvlsb5xncykzapi3ocd4lzogukir6ksdy6wzrnz6ohnv4aglcs";
    let url = serve(trustless_router(partial)).await;
    let cases = [
        (format!("/ipfs/{nowhere}?format=raw"), None, 404, "is not in the store"),
        (format!("/ipfs/{root}?format=car"), None, 404, "is not in the store"),
        ("/ipfs/nonsense?format=raw".into(), None, 400, "is not a CID"),
        (format!("/ipfs/{sha512}?format=raw"), None, 400, "only sha2-256"),
        (format!("/ipfs/{root}?format=tar"), None, 400, "use raw or car"),
        (format!("/ipfs/{root}"), None, 400, "add ?format=raw"),
        (format!("/ipfs/{root}"), Some("text/html"), 406, "add ?format=raw"),
        (
            format!("/ipfs/{root}"),
            Some("application/vnd.ipld.car; version=2"),
            406,
            "CARv1",
        ),
        (
            format!("/ipfs/{root}?format=car&dag-scope=some"),
            None,
            400,
            "none of all, entity, block",
        ),
        (
            format!("/ipfs/{root}?format=car&entity-bytes=0:9"),
            None,
            400,
            "entity-bytes",
        ),
        (format!("/ipfs/{root}/sub/short?format=raw"), None, 501, "paths"),
    ];
    for (path, accept, status, text) in cases {
        let response = ask(&url, &path, accept).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert!(
            response.headers().get("cache-control").is_none(),
            "{path}: a refusal must not be kept"
        );
        let said = response.text().await.unwrap();
        assert!(said.contains(text), "{path}: {said}");
    }
}

/// Takes uploads as the gateway and the node do.
fn upload_router(store: BlockStore, limits: Limits) -> Router {
    let take = move |State(store): State<BlockStore>, body: Body| async move {
        match receive_car(&store, body, None, &limits).await {
            Ok(taken) => taken.root.to_string().into_response(),
            Err(error) => (status_of(&error), error.to_string()).into_response(),
        }
    };
    Router::new().route(UPLOAD_PATH, post(take)).with_state(store)
}

#[tokio::test]
async fn an_upload_arrives_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (store(dir.path(), "here"), store(dir.path(), "there"));
    let root = sample(dir.path(), &here);
    let url = serve(upload_router(there.clone(), Limits::default())).await;
    let sent = upload(&client(), &url, &here, &root).await.unwrap();
    assert_eq!(sent, CarFrames::new(&here, &root, Scope::All).unwrap().total_bytes());
    assert!(dag::missing(&there, &root).unwrap().is_empty());
}

#[tokio::test]
async fn a_refused_upload_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (store(dir.path(), "here"), store(dir.path(), "there"));
    let root = sample(dir.path(), &here);
    let limits = Limits {
        bytes: 1 << 20,
        ..Limits::default()
    };
    let url = serve(upload_router(there, limits)).await;
    match upload(&client(), &url, &here, &root).await.unwrap_err() {
        TransferError::Refused { status, text } => {
            assert_eq!(
                (status, text.as_str()),
                (StatusCode::PAYLOAD_TOO_LARGE, "more than 1048576 bytes")
            );
        }
        // The refusal may be overtaken by the closing of a connection that still has megabytes to send.
        TransferError::Http(error) => assert!(error.is_request() || error.is_body(), "{error}"),
        other => panic!("{other}"),
    }
    let absent = raw_cid(b"absent");
    let refused = upload(&client(), &url, &here, &absent).await;
    assert!(matches!(
        refused,
        Err(TransferError::Car(CarError::Store(StoreError::Missing { .. })))
    ));
}

/// A gateway that answers every request with these bytes as a CAR.
fn canned(bytes: Vec<u8>) -> Router {
    Router::new().route(
        "/ipfs/{cid}",
        get(move || async move { Response::new(Body::from(bytes)) }),
    )
}

/// A gateway that promises more than it sends, then hangs up.
async fn breaks_off(part: Vec<u8>) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n")
                .await;
            let _ = socket.write_all(&part).await;
        }
    });
    base(address)
}

#[tokio::test]
async fn a_fetch_falls_over_from_every_kind_of_bad_gateway_to_the_good_one() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (store(dir.path(), "here"), store(dir.path(), "there"));
    let root = sample(dir.path(), &here);
    let car: Vec<u8> = CarFrames::new(&here, &root, Scope::All)
        .unwrap()
        .map(Result::unwrap)
        .collect::<Vec<_>>()
        .concat();
    let mut damaged = car.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = base(unused.local_addr().unwrap());
    drop(unused);
    let bad = [
        closed,
        serve(trustless_router(store(dir.path(), "empty"))).await,
        serve(canned(b"<html>not a CAR</html>".to_vec())).await,
        serve(canned(damaged)).await,
        serve(canned(car[..car.len() / 2].to_vec())).await,
        breaks_off(car[..car.len() / 3].to_vec()).await,
    ];
    let limits = Limits::default();
    let refused = fetch(&client(), &bad, &root, &there, &limits).await.unwrap_err();
    let TransferError::NoGateway { attempts, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(attempts.len(), bad.len());
    assert!(refused.to_string().contains("is not in the store"), "{refused}");
    assert!(!dag::missing(&there, &root).unwrap().is_empty());

    let mut all = bad.to_vec();
    all.push(serve(trustless_router(here)).await);
    fetch(&client(), &all, &root, &there, &limits).await.unwrap();
    assert!(dag::missing(&there, &root).unwrap().is_empty());
    // All of it is here now: nobody has to be asked.
    fetch(&client(), &[], &root, &there, &limits).await.unwrap();
}

#[tokio::test]
async fn a_fetch_with_nobody_to_ask_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let cid = raw_cid(b"x");
    let refused = fetch(&client(), &[], &cid, &store(dir.path(), "here"), &Limits::default())
        .await
        .unwrap_err();
    assert_eq!(refused.to_string(), format!("no gateway gave {cid}: none was named"));
}
