//! Streams, logs, and who may post what.

use futures::StreamExt as _;
use opengpu_core::sign::SecretKey;
use opengpu_core::wire::{JobEvent, JobEventBody, Page, Progress, Refusal, SignedStop, Step};

use super::matched;
use super::support::{Gateway, code, people, problem, taken};

fn progress(seq: u32, step: Step) -> Progress {
    Progress {
        attempt: 1,
        seq,
        at_millis: 1,
        step,
    }
}

fn usage(billed_millis: u64) -> Step {
    Step::Usage {
        billed_millis,
        cpu_millis: 1,
        memory_bytes: 1,
        egress_bytes: 0,
    }
}

/// Reads server-sent events until `count` data lines came, or the stream ends.
async fn sse(response: reqwest::Response, count: usize) -> Vec<String> {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.bytes_stream();
    let mut text = String::new();
    while let Some(bytes) = stream.next().await {
        text += std::str::from_utf8(&bytes.unwrap()).unwrap();
        if text.matches("\ndata: ").count() >= count && text.ends_with("\n\n") {
            break;
        }
    }
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn a_waiting_reader_gets_progress_at_once_and_a_repeated_one_once() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let path = format!("/v1/jobs/{}/events", job.id);
    let so_far: Page<JobEvent> = gateway.get(&path).await;
    let waiting_path = format!("{path}?after={}&wait=20", so_far.cursor);
    let waiting = gateway.get::<Page<JobEvent>>(&waiting_path);
    let posting = async {
        let to = format!("/v1/jobs/{}/progress", job.id);
        let ready = progress(2, Step::Ready);
        assert!(
            !taken(gateway.post_as(&people::operator(), &to, &ready).await)
                .await
                .is_repeat
        );
        assert!(
            taken(gateway.post_as(&people::operator(), &to, &ready).await)
                .await
                .is_repeat
        );
        let late = progress(1, Step::Started);
        assert!(
            taken(gateway.post_as(&people::operator(), &to, &late).await)
                .await
                .is_repeat
        );
    };
    let (page, ()) = tokio::join!(waiting, posting);
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.items[0].body, JobEventBody::Progress(progress(2, Step::Ready)));
    gateway.stop().await;
}

#[tokio::test]
async fn of_usage_lines_only_the_newest_is_kept() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let to = format!("/v1/jobs/{}/progress", job.id);
    for second in 1..=5u32 {
        let line = progress(second, usage(u64::from(second) * 1000));
        taken(gateway.post_as(&people::operator(), &to, &line).await).await;
    }
    let bodies: Vec<_> = gateway
        .events(job.id)
        .await
        .into_iter()
        .map(|event| event.body)
        .collect();
    let lines: Vec<_> = bodies
        .iter()
        .filter(|body| matches!(body, JobEventBody::Progress(_)))
        .collect();
    assert_eq!(lines, vec![&JobEventBody::Progress(progress(5, usage(5000)))]);
    gateway.stop().await;
}

#[tokio::test]
async fn server_sent_events_tell_the_same_and_go_on_after_the_last_id() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let polled = gateway.events(job.id).await;
    assert_eq!(polled.len(), 2);
    let ask = |last: Option<String>| {
        let request = gateway.http.get(format!("{}/v1/jobs/{}/events", gateway.url, job.id));
        let request = request.header("accept", "text/event-stream");
        last.map_or(request.try_clone().unwrap(), |id| request.header("last-event-id", id))
            .send()
    };
    let told = sse(ask(None).await.unwrap(), 2).await;
    let told: Vec<JobEvent> = told.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(told, polled);

    let following = ask(Some(polled[1].cursor.clone())).await.unwrap();
    let to = format!("/v1/jobs/{}/progress", job.id);
    taken(
        gateway
            .post_as(&people::operator(), &to, &progress(1, Step::Ready))
            .await,
    )
    .await;
    let told: JobEvent = serde_json::from_str(&sse(following, 1).await[0]).unwrap();
    assert_eq!(told.body, JobEventBody::Progress(progress(1, Step::Ready)));
    gateway.stop().await;
}

#[tokio::test]
async fn a_cursor_of_a_lost_database_starts_over() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let cursor = gateway.events(job.id).await.pop().unwrap().cursor;
    std::fs::remove_file(gateway.dir.join("gateway.db")).unwrap();
    gateway.until_ready().await;
    let page: Page<JobEvent> = gateway
        .get(&format!("/v1/jobs/{}/events?after={cursor}&wait=5", job.id))
        .await;
    assert!(
        matches!(&page.items[0].body, JobEventBody::Chain { event, .. } if event == "Matched"),
        "{page:?}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn only_the_right_role_may_post() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let base = format!("/v1/jobs/{}", job.id);
    let refusal = Refusal {
        refused: opengpu_core::B256::ZERO,
        reason: "no".to_owned(),
        is_retryable: false,
    };
    let bodies: [(&str, Vec<u8>, SecretKey); 3] = [
        (
            "progress",
            serde_json::to_vec(&progress(1, Step::Ready)).unwrap(),
            people::operator(),
        ),
        ("logs?offset=0", b"hello\n".to_vec(), people::operator()),
        ("refusals", serde_json::to_vec(&refusal).unwrap(), people::agent()),
    ];
    let everyone = [people::payer(), people::operator(), people::agent(), people::stranger()];
    for (call, body, allowed) in bodies {
        let path = format!("{base}/{call}");
        let unsigned = problem(gateway.send(&path, body.clone(), None).await).await;
        assert_eq!((unsigned.status, code(&unsigned)), (401, "signature-missing"), "{call}");
        for key in everyone.iter().filter(|key| key.address() != allowed.address()) {
            let refused = problem(gateway.send(&path, body.clone(), Some(key)).await).await;
            assert_eq!(
                (refused.status, code(&refused)),
                (403, "bad-signature"),
                "{call} by {key:?}"
            );
        }
        taken(gateway.send(&path, body, Some(&allowed)).await).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_relay_signature_is_good_for_one_path_one_query_and_one_body() {
    use opengpu_core::wire::{RELAY_HEADER, relay_digest};
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let other = matched(&gateway, 2).await;
    let path = format!("/v1/jobs/{}/logs?offset=0", job.id);
    let mut elsewhere = gateway.domain;
    elsewhere.chain_id = opengpu_core::ids::ChainId(1);
    let digests = [
        relay_digest(gateway.domain, "POST", &path, b"other bytes"),
        relay_digest(gateway.domain, "PUT", &path, b"bytes"),
        relay_digest(
            gateway.domain,
            "POST",
            &format!("/v1/jobs/{}/logs?offset=0", other.id),
            b"bytes",
        ),
        relay_digest(
            gateway.domain,
            "POST",
            &format!("/v1/jobs/{}/logs?offset=1", job.id),
            b"bytes",
        ),
        relay_digest(elsewhere, "POST", &path, b"bytes"),
    ];
    for digest in digests {
        let request = gateway.http.post(format!("{}{path}", gateway.url)).body("bytes");
        let request = request.header(RELAY_HEADER, people::operator().sign(digest).to_string());
        let refused = problem(request.send().await.unwrap()).await;
        assert_eq!(code(&refused), "bad-signature");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_log_is_relayed_live_and_ends_with_the_job() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let path = |offset: u64| format!("/v1/jobs/{}/logs?offset={offset}", job.id);
    let operator = people::operator();
    taken(gateway.send(&path(0), b"hello ".to_vec(), Some(&operator)).await).await;
    assert!(
        taken(gateway.send(&path(0), b"hell".to_vec(), Some(&operator)).await)
            .await
            .is_repeat
    );
    let hole = problem(gateway.send(&path(9), b"x".to_vec(), Some(&operator)).await).await;
    assert_eq!(code(&hole), "log-gap");
    assert!(hole.detail.contains("6 bytes"), "{}", hole.detail);

    let following = gateway
        .http
        .get(format!("{}{}&follow=true", gateway.url, path(0)))
        .send()
        .await
        .unwrap();
    taken(gateway.send(&path(6), b"world\n".to_vec(), Some(&operator)).await).await;
    gateway.mine(vec![(job.id, people::settled(&job.terms))]).await;
    let pieces = sse(following, usize::MAX).await;
    use base64::Engine as _;
    let bytes: Vec<u8> = pieces
        .iter()
        .flat_map(|piece| base64::engine::general_purpose::STANDARD.decode(piece).unwrap())
        .collect();
    assert_eq!(bytes, b"hello world\n");

    let rest = gateway
        .http
        .get(format!("{}{}", gateway.url, path(6)))
        .send()
        .await
        .unwrap();
    assert_eq!(rest.headers()["opengpu-log-length"], "12");
    assert_eq!(rest.bytes().await.unwrap(), "world\n");
    gateway.stop().await;
}

#[tokio::test]
async fn payer_and_signer_may_stop_a_job_and_nobody_else() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let path = format!("/v1/jobs/{}/stop", job.id);
    let by_stranger = SignedStop::sign(gateway.domain, job.id, &people::stranger());
    assert_eq!(
        code(&problem(gateway.post(&path, &by_stranger).await).await),
        "bad-signature"
    );
    let stop = SignedStop::sign(gateway.domain, job.id, &people::payer());
    taken(gateway.post(&path, &stop).await).await;
    let found = gateway.event(job.id, |body| match body {
        JobEventBody::StopRequested(stop) => Some(stop.clone()),
        _ => None,
    });
    assert_eq!(found.await, stop);
    gateway.stop().await;
}
