//! The memory of a server that runs: nothing is left of a client that was revoked, nor of what it asked and was answered.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::time::sleep;
use xllm_proxy::{client::Client, proto::Credential};

use super::support::{
    child::Stand,
    request::{request, whole},
    within,
};

/// How long a server may take to let go of it all.
const LIMIT: Duration = Duration::from_secs(20);
/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(200);

/// Where these are found in the memory of a process.
fn found(pid: u32, secrets: &[(&str, Vec<u8>)]) -> Vec<String> {
    let memory = File::open(format!("/proc/{pid}/mem")).expect("a child's memory can be read");
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
    let mut found = Vec::new();
    for map in maps.lines() {
        let mut fields = map.split_whitespace();
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else { continue };
        let Some((from, to)) = range.split_once('-') else { continue };
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        let (from, to) = (number(from), number(to));
        if !rights.starts_with("rw") {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(to - from).expect("a size")];
        if memory.read_exact_at(&mut bytes, from).is_err() {
            continue;
        }
        for (name, secret) in secrets {
            let count = bytes.windows(secret.len()).filter(|window| window == secret).count();
            if count > 0 {
                found.push(format!("{name}: {count} times in {map}"));
            }
        }
    }
    found
}

#[tokio::test]
async fn nothing_is_left_of_a_client_that_was_revoked() {
    let stand = Stand::logging("trace", "", &[]).await;
    let guest: Credential = stand.server.client_command(&["add", "guest"]).await;
    let client = Client::builder(&stand.server.address.to_string(), guest.clone()).unwrap().sessions(1).build();
    let secrets = [
        ("the key", guest.psk.expose().to_vec()),
        ("the key as it is written", URL_SAFE_NO_PAD.encode(guest.psk.expose()).into_bytes()),
        ("an API key", b"sk-canary-of-an-api-key".to_vec()),
        ("a cookie", b"cookie-canary-of-a-session".to_vec()),
        ("a prompt", b"prompt-canary-what-is-asked".to_vec()),
    ];
    for _ in 0..3 {
        let mut request =
            request("POST", &stand.url("/raw/echo?canary=query-canary-of-a-url"), "prompt-canary-what-is-asked".repeat(50));
        let headers = request.headers_mut();
        headers.insert("authorization", "Bearer sk-canary-of-an-api-key".parse().unwrap());
        headers.insert("cookie", "id=cookie-canary-of-a-session".parse().unwrap());
        whole(&client, request).await.unwrap();
    }
    stand.server.command(&["client", "revoke", "guest"]).await;
    let over = async { while whole(&client, request("GET", &stand.url("/raw/binary"), "")).await.is_ok() {} };
    within("the end of the client", over).await;
    // What was under way at that moment is let go a turn or two of the threads later: a connection to the upstream, what had come in.
    let mut left = found(stand.server.pid(), &secrets);
    let limit = Instant::now() + LIMIT;
    while !left.is_empty() && Instant::now() < limit {
        sleep(LOOK).await;
        left = found(stand.server.pid(), &secrets);
    }
    assert_eq!(left, [""; 0], "still there: {left:#?}");
}
