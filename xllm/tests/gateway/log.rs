//! The log on stderr, and who does not read it.

use crate::{
    caller::{Http, piece, until_failure},
    support::{Gateway, Said, Start, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_up_no_stream_and_says_later_what_is_missing() {
    let world = World::new().await;
    let start = Start { args: &["--listen", "127.0.0.1:0"], ..Start::default() };
    let mut gateway = Gateway::unread(world.command(&start)).await;
    let path = "/anthropic/raw/gated?gate=stream&chunks=2&size=100";
    let mut body = gateway.ask(Http::One, gateway.get(path)).await.into_body();
    world.mock.release("stream", 1);
    assert_eq!(piece(&mut body).await.len(), 100);
    // Far more than a pipe takes and than may wait.
    let nowhere = format!("/nowhere/{}", "x".repeat(8000));
    for _ in 0..300 {
        assert_eq!(gateway.fetch(&nowhere).await.status(), 404);
    }
    world.mock.release("stream", 1);
    let (rest, failed) = until_failure(body).await;
    assert_eq!((rest.len(), failed), (100, false));
    let mut stderr = Said::of(gateway.child.stderr.take().expect("piped"));
    stderr.until(|said| said.contains("lines are missing here") && said.contains("lost_in_all=")).await;
    assert_eq!(gateway.fetch("/neither/here").await.status(), 404);
    // The gap has an end.
    stderr.until(|said| said.contains("GET /neither/here → 404")).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_off_by_the_end_is_logged_before_it() {
    let world = World::new().await;
    let line = "url=${ANTHROPIC_BASE_URL#http://}; host=${url%%/*}; exec 3<>/dev/tcp/${host%:*}/${host#*:}; \
                printf 'GET /anthropic/raw/gated?gate=never HTTP/1.1\\r\\nhost: %s\\r\\n\\r\\n' $host >&3; read line <&3";
    let ran = world.run(Start { args: &["-v", "--", "bash", "-c", line], ..Start::default() }).await;
    assert!(ran.stderr.contains("/anthropic/raw/gated: the caller left"), "{ran:?}");
}
