//! What is counted.

use super::{
    ADMIN,
    scrape::{get as ask, value, wait_for},
    support::{
        child::Stand,
        request::{assert_clean, call, chunk, get, request, whole},
        within,
    },
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use xllm_proxy::{
    client::Client,
    proto::{Credential, KeyId, ServerKey, crypto::Secret},
};

#[tokio::test]
async fn known_traffic_is_counted_exactly() {
    let config = format!("{ADMIN}[limits]\nhello_seconds = 0.3\n");
    let stand = Stand::with(&config, &[]).await;
    let (client, admin) = (stand.client(), stand.server.admin.unwrap());

    // One that is complete, in four pieces of 100 bytes, with a body of 1000.
    stand.mock.release("known", 4);
    let answer = whole(&client, request("GET", &stand.url("/raw/gated?gate=known&chunks=4&size=100"), vec![b'u'; 1000])).await;
    assert_eq!(answer.unwrap().body().len(), 400);
    // One that is cancelled after a piece.
    stand.mock.release("cancelled", 1);
    let mut body = call(&client, get(&stand.url("/raw/gated?gate=cancelled&chunks=2&size=100"))).await.unwrap().into_body();
    assert_eq!(chunk(&mut body).await.unwrap().len(), 100);
    let open = wait_for(admin, &[("xllm_exchanges_open", 1.0), ("xllm_sessions_open", 1.0)]).await;
    assert_eq!(
        value(&open, r#"gen_ai_client_operation_time_to_first_chunk_seconds_count{server_address="127.0.0.1"}"#),
        Some(2.0)
    );
    drop(body);
    // One that is refused.
    whole(&client, get("https://secret-host.example/")).await.expect_err("it is not listed");

    // A wrong key, an unknown one, one of another server, one that says nothing, and one that leaves.
    let good = stand.server.credential.clone();
    let wrong = Credential { psk: Secret::new([1; 32]), ..good.clone() };
    let unknown = Credential { key_id: KeyId([1; 16]), ..good.clone() };
    let foreign = Credential { server: *ServerKey::new(Secret::new([5; 32])).public(), ..good };
    for credential in [wrong, unknown, foreign] {
        let bad = Client::builder(&stand.server.address.to_string(), credential).unwrap().sessions(1).build();
        whole(&bad, get(&stand.url("/raw/binary"))).await.expect_err("it is refused");
    }
    let silent = TcpStream::connect(stand.server.address).await.unwrap();
    let mut leaving = TcpStream::connect(stand.server.address).await.unwrap();
    leaving.shutdown().await.unwrap();

    let of = |kind: &str| format!("xllm_handshake_failures_total{{kind=\"{kind}\"}}");
    let ended = |outcome: &str, host: &str| format!("xllm_exchanges_total{{outcome=\"{outcome}\",server_address=\"{host}\"}}");
    let text = wait_for(
        admin,
        &[
            (&ended("complete", "127.0.0.1"), 1.0),
            (&ended("cancelled", "127.0.0.1"), 1.0),
            (&ended("origin-not-allowed", "other"), 1.0),
            (&of("unproved"), 1.0),
            (&of("unknown-key"), 1.0),
            (&of("hello-garbage"), 1.0),
            (&of("timeout"), 1.0),
            (&of("lost"), 1.0),
            ("xllm_connections_unauthenticated", 0.0),
            ("xllm_exchanges_open", 0.0),
            ("xllm_sessions_open", 1.0),
            ("xllm_sessions_opened_total", 1.0),
            (r#"xllm_sessions_ended_total{reason="done"}"#, 0.0),
            (r#"xllm_client_exchanges_total{client="laptop"}"#, 3.0),
            (r#"xllm_client_bytes_total{client="laptop",direction="to_client"}"#, 500.0),
            (r#"xllm_client_bytes_total{client="laptop",direction="from_client"}"#, 1000.0),
            (r#"xllm_body_bytes_total{direction="to_client"}"#, 500.0),
            (r#"xllm_body_bytes_total{direction="from_client"}"#, 1000.0),
            (r#"gen_ai_client_operation_time_to_first_chunk_seconds_count{server_address="127.0.0.1"}"#, 2.0),
            (r#"gen_ai_client_operation_time_per_output_chunk_seconds_count{server_address="127.0.0.1"}"#, 3.0),
            // The cancelled one had a piece as well.
            ("xllm_added_seconds_count", 2.0),
            ("xllm_cancel_seconds_count", 1.0),
            ("xllm_sessions_max", 10000.0),
            ("xllm_draining", 0.0),
            (r#"xllm_buffer_bytes{kind="whole"}"#, 0.0),
            ("xllm_log_lines_lost_total", 0.0),
        ],
    )
    .await;
    drop(silent);
    for way in ["to_client", "from_client"] {
        let of = |what: &str| value(&text, &format!("xllm_{what}_total{{direction=\"{way}\"}}")).unwrap();
        assert!(of("wire_bytes") > of("body_bytes") && of("frames") >= of("records") && of("records") >= 1.0, "{text}");
    }
    if cfg!(target_os = "linux") {
        for name in ["process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds", "process_max_fds"] {
            assert!(value(&text, name).is_some_and(|value| value > 0.0), "{name} in {text}");
        }
        assert!(value(&text, "process_cpu_seconds_total").is_some());
    }
    assert_clean(&text);
    assert!(!text.contains("example") && !text.contains("gated"), "{text}");

    drop(client);
    wait_for(admin, &[("xllm_sessions_open", 0.0), (r#"xllm_sessions_ended_total{reason="done"}"#, 1.0)]).await;
}

#[tokio::test]
async fn a_stream_shows_while_it_runs() {
    let stand = Stand::with(ADMIN, &[]).await;
    let (client, admin) = (stand.client(), stand.server.admin.unwrap());
    let mut body = call(&client, get(&stand.url("/raw/gated?gate=long&chunks=9&size=100"))).await.unwrap().into_body();
    for (piece, bytes) in [(1, 100.0), (2, 200.0), (3, 300.0)] {
        stand.mock.release("long", 1);
        assert!(chunk(&mut body).await.is_some());
        let later = r#"gen_ai_client_operation_time_per_output_chunk_seconds_count{server_address="127.0.0.1"}"#;
        let body = (r#"xllm_body_bytes_total{direction="to_client"}"#, bytes);
        let later = (later, f64::from(piece - 1));
        let both = [body, later];
        wait_for(admin, if piece == 1 { &both[..1] } else { &both }).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_collected_counts_as_memory_until_it_is_whole() {
    let stand = Stand::with(ADMIN, &[]).await;
    let (client, admin) = (stand.client(), stand.server.admin.unwrap());
    let asked = get(&stand.url("/raw/gated?gate=whole&chunks=2&size=1000"));
    let answer = tokio::spawn(async move { client.buffered(asked).await });
    stand.mock.release("whole", 1);
    let kind = r#"xllm_buffer_bytes{kind="whole"}"#;
    wait_for(admin, &[(kind, 1000.0)]).await;
    stand.mock.release("whole", 1);
    let answer = within("the answer", answer).await.unwrap().unwrap();
    assert_eq!(answer.body().len(), 2000);
    let text = wait_for(admin, &[(kind, 0.0)]).await;
    // It was not streamed: its pieces are none.
    assert!(!text.contains("time_to_first_chunk_seconds_count"), "{text}");
}

#[tokio::test]
async fn a_draining_server_says_so_and_ends_when_all_is_done() {
    let mut stand = Stand::with(ADMIN, &[]).await;
    let (client, admin) = (stand.client(), stand.server.admin.unwrap());
    assert_eq!(ask(admin, "/readyz").await.status, 200);
    let mut body = call(&client, get(&stand.url("/raw/gated?gate=last&chunks=2"))).await.unwrap().into_body();
    stand.mock.release("last", 1);
    assert!(chunk(&mut body).await.is_some());
    stand.server.terminate();
    wait_for(admin, &[("xllm_draining", 1.0)]).await;
    let answer = ask(admin, "/readyz").await;
    assert!(answer.status == 503 && answer.body.contains("draining"), "{answer:?}");
    assert_eq!(ask(admin, "/healthz").await.status, 200);
    stand.mock.release("last", 1);
    assert!(chunk(&mut body).await.is_some() && chunk(&mut body).await.is_none());
    assert!(stand.server.exited().await);
}
